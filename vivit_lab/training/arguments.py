"""What `finetune` and `evaluate` have in common on the command line: data, frames, device.

Building a parser is free; torch and the readers come in when something is opened.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vivit_lab.errors import one_of

if TYPE_CHECKING:
    import torch

    from vivit_lab.data import ArrowOfTime, Catalog
    from vivit_lab.models import ViViTConfig
    from vivit_lab.video.sampling import ByFrame, BySegment, ByTime

RENDERED = "arrow-of-time"
STRIDE = 2  # of the frames of a clip, as in the paper
FORMATS = "kinetics", "ssv2", "epic", "moments", "ucf101", "hmdb51", "csv", "folder"

DATA_HELP = """\
how to name data:
  videos/                 a folder with a folder per class: videos/jump/a.mp4, videos/run/b.mp4
  val.csv, labels.json    an annotation file as its owners publish it (Kinetics, EPIC-Kitchens,
                          Something-Something, Moments in Time, UCF101, HMDB51), or lines
                          `path,label`; --root says where the videos are, if not beside it
  arrow-of-time           clips that are rendered on the fly, whose class is the order of their
                          frames; arrow-of-time:hard is a harder level
"""


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that say how data are to be read: --root, --format, --split.

    >>> parser = argparse.ArgumentParser()
    >>> add_data_arguments(parser)
    >>> parser.parse_args(["--format", "csv"]).format
    'csv'
    """
    group = parser.add_argument_group("data")
    group.add_argument("--root", type=Path, metavar="FOLDER", help="where the videos are")
    group.add_argument("--format", choices=FORMATS, help="of the annotations; else told by looking")
    group.add_argument("--split", help="sub-folder to take, where a folder has train, val, ...")


def add_sampling_arguments(
    parser: argparse.ArgumentParser, stride: str = f"{STRIDE}, as in the paper"
) -> None:
    """Options that say which frames make a clip: --stride, --fps, --segments.

    stride: what the help calls the default.

    >>> parser = argparse.ArgumentParser()
    >>> add_sampling_arguments(parser)
    >>> sampling(parser.parse_args(["--stride", "4"]), frames=16)
    ByFrame(clip_frames=16, stride=4, short='loop')
    """
    group = parser.add_argument_group("which frames make a clip")
    ways = group.add_mutually_exclusive_group()
    ways.add_argument(
        "--stride",
        type=int,
        metavar="N",
        help=f"every N-th frame (default {stride})",
    )
    ways.add_argument(
        "--fps", type=float, metavar="N", help="N frames a second, whatever the file's own rate"
    )
    ways.add_argument(
        "--segments",
        action="store_true",
        help="one frame of each of as many equal parts of the video as the clip has frames"
        " (Something-Something)",
    )


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """The option --device.

    >>> parser = argparse.ArgumentParser()
    >>> add_device_argument(parser)
    >>> device(parser.parse_args(["--device", "cpu"]))
    device(type='cpu')
    """
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, mps; else a GPU if any")


def is_rendered(name: str) -> bool:
    """Whether a name of data means clips that are rendered; else it is that of a file or folder.

    >>> is_rendered("arrow_of_time:hard"), is_rendered("arrows/")
    (True, False)
    """
    return name.partition(":")[0].replace("_", "-") == RENDERED


def check_rendered(arguments: argparse.Namespace, options: Sequence[str]) -> None:
    """ValueError for an option that means something for videos only.

    >>> check_rendered(argparse.Namespace(stride=2), ["stride"])
    Traceback (most recent call last):
    ValueError: --stride is for videos, but arrow-of-time is rendered.
    """
    for option in options:
        if getattr(arguments, option):
            name = option.replace("_", "-")
            raise ValueError(f"--{name} is for videos, but {RENDERED} is rendered.")


def open_data(
    name: str,
    arguments: argparse.Namespace,
    *,
    config: "ViViTConfig",
    class_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    clips: int = 1024,
    seed: int = 0,
) -> "Catalog | ArrowOfTime":
    """The data that a command line names: a catalogue of videos, or rendered clips.

    name: see DATA_HELP. arguments: parsed by a parser with `add_data_arguments`. class_names: the
    order in which a model has its classes; labels are then numbered so. config, clips, seed: of
    clips that are rendered, which are as long and as large as the model's.

    Raises FileNotFoundError, AnnotationError or ValueError, each with what to do about it.

    >>> from vivit_lab import ViViTConfig
    >>> arguments = argparse.Namespace(root=None, format=None, split=None)
    >>> config = ViViTConfig(frames=8, image_size=32, num_classes=8)
    >>> open_data("arrow-of-time", arguments, config=config, clips=16)[3][0].shape
    torch.Size([8, 3, 32, 32])
    """
    if is_rendered(name):
        level = name.partition(":")[2]
        return _rendered(level or "easy", arguments, config, clips, seed)
    path = Path(name)
    if not path.exists():
        raise FileNotFoundError(
            f"There is no {name!r}: neither a folder nor an annotation file, nor {RENDERED!r}."
        )
    from vivit_lab.data import read_annotations, read_folder

    if arguments.split is None:
        return read_annotations(path, arguments.root, format=arguments.format, classes=class_names)
    if not path.is_dir() or arguments.format not in (None, "folder"):
        raise ValueError(f"--split {arguments.split} is for a folder of classes, not for {name!r}.")
    return read_folder(arguments.root or path, split=arguments.split, classes=class_names)


def checkpoint_in(path: Path) -> Path:
    """The checkpoint that a path names: a file itself, of a run's folder the best, or the newest.

    Raises FileNotFoundError with what was looked for.
    """
    if not path.is_dir():
        return path
    best, epochs = path / "best.safetensors", sorted(path.glob("epoch-*.safetensors"))
    if best.is_file():
        return best
    if epochs:
        return epochs[-1]
    hint = ""
    if (path / "config.json").is_file():
        hint = (
            " A folder of transformers is for load_huggingface; save_checkpoint then writes ours."
        )
    raise FileNotFoundError(
        f"{str(path)!r} holds neither best.safetensors nor epoch-*.safetensors: it is not the "
        f"folder of a run, or no epoch of it has ended.{hint}"
    )


def sampling(arguments: argparse.Namespace, frames: int) -> "ByFrame | ByTime | BySegment":
    """Which frames make a clip of so many frames, as the options say.

    Raises ValueError for a stride or rate below its least value.

    >>> sampling(argparse.Namespace(stride=None, fps=None, segments=True), frames=8)
    BySegment(clip_frames=8)
    """
    from vivit_lab.video.sampling import ByFrame, BySegment, ByTime

    if arguments.segments:
        return BySegment(frames)
    if arguments.fps is not None:
        return ByTime(frames, arguments.fps)
    return ByFrame(frames, STRIDE if arguments.stride is None else arguments.stride)


def check_square(config: "ViViTConfig") -> int:
    """The side of the model's clips in pixels; ValueError if they are not square.

    >>> from vivit_lab import ViViTConfig
    >>> check_square(ViViTConfig())
    224
    """
    height, width = config.image_size
    if height != width:
        raise ValueError(
            f"The model takes clips of {height} x {width} pixels, but videos are cut into squares: "
            f"load it with image_size={min(height, width)}."
        )
    return height


def scaled_short_side(crop: int) -> int:
    """The short side to which videos are scaled before a crop: 256 for 224, and in proportion.

    SlowFast's 256 of 256 is to be asked for. Source: paper section 4.1.

    >>> scaled_short_side(224), scaled_short_side(32)
    (256, 37)
    """
    return round(crop * 256 / 224)


def device(arguments: argparse.Namespace) -> "torch.device":
    """The device asked for, else a GPU if there is one, else the CPU.

    Raises ValueError for a device that is not there, with what is.

    >>> device(argparse.Namespace(device="gpu"))
    Traceback (most recent call last):
    ValueError: --device is 'gpu', but must be cpu, cuda, cuda:0, ..., or mps. Did you mean 'cuda'?
    """
    import torch

    there = _devices()
    name = arguments.device
    if name is None:
        return torch.device(there[-1])
    if name == "gpu" or not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        hint = " Did you mean 'cuda'?" if name.startswith(("gpu", "nvidia")) else ""
        raise ValueError(f"--device is {name!r}, but must be cpu, cuda, cuda:0, ..., or mps.{hint}")
    kind, _, number = name.partition(":")
    if kind not in there or (number and int(number) >= torch.cuda.device_count()):
        found = ", ".join(there)
        gpus = f" with {torch.cuda.device_count()} GPUs" if "cuda" in there else ""
        raise ValueError(f"--device is {name!r}, but this machine has: {found}{gpus}.")
    return torch.device(name)


def _devices() -> list[str]:
    """Kinds of device that are there; the last is the best."""
    import torch

    found = ["cpu"]
    if torch.backends.mps.is_available():
        found.append("mps")
    if torch.cuda.is_available():
        found.append("cuda")
    return found


def _rendered(
    level: str, arguments: argparse.Namespace, config: "ViViTConfig", clips: int, seed: int
) -> "ArrowOfTime":
    from vivit_lab.data import ArrowOfTime
    from vivit_lab.data.arrow_drawing import LEVELS

    check_rendered(arguments, ("root", "format", "split"))
    one_of("the level of arrow-of-time", level, LEVELS)
    return ArrowOfTime(clips, config.frames, check_square(config), seed, level)

"""`python -m vivit_lab evaluate`: the command line of `evaluate`."""

import argparse
import os
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from vivit_lab.training.arguments import (
    DATA_HELP,
    add_data_arguments,
    add_device_argument,
    add_sampling_arguments,
    check_rendered,
    check_square,
    checkpoint_in,
    device,
    is_rendered,
    open_data,
    sampling,
    scaled_short_side,
)

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from vivit_lab.models import ViViT
    from vivit_lab.training.results import Evaluation

DESCRIPTION = """\
How good is a model? It sees several views of each video (by default 4 clips, evenly spread in time,
x 3 crops, as in the paper), and their scores are averaged. Printed are the accuracy of videos and
of single views, how many videos there were and which were missing, and what it cost.

CHECKPOINT is a .safetensors file of this package, or the folder of a run (its best epoch is taken).
"""

EPILOG = f"""\
{DATA_HELP}
examples:
  python -m vivit_lab evaluate runs/first arrow-of-time
  python -m vivit_lab evaluate model.safetensors videos/val
  python -m vivit_lab evaluate model.safetensors val.csv --root videos/ --workers 8
  python -m vivit_lab evaluate m.safetensors val.csv --clips 10 --image-size 256 --short-side 256
                                        SlowFast's way: 10 clips x 3 crops of 256 pixels
  python -m vivit_lab evaluate model.safetensors val.csv --average logits
                                        average as the official code does
  python -m vivit_lab evaluate model.safetensors val.csv --order shuffled
                                        the frames of each clip shuffled: does the model notice?
  accelerate launch --num_processes 4 -m vivit_lab evaluate model.safetensors val.csv
                                        on 4 GPUs; each video is counted once

The report is written to NAME.json, the scores of every view to NAME.npz, from which other
averages and fewer views follow without the model (vivit_lab.training.load_evaluation). NAME is made
of checkpoint, data and views; --out gives another. Ctrl-C loses nothing: the same command goes on.
exit status: 0 all is well; 1 evaluated, but videos are missing or a warning was given; 2 not
understood or not possible; 130 interrupted
"""
TEST_SEED, TEST_CLIPS = 20_001, 1024  # of rendered clips: training draws others


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="model, or run folder")
    parser.add_argument("data", metavar="DATA", help="videos, annotations, or arrow-of-time")
    views = parser.add_argument_group("views")
    views.add_argument("--clips", metavar="N", type=int, help="evenly spread in time (default 4)")
    views.add_argument("--crops", type=int, choices=(1, 3), help="of each clip (default 3)")
    views.add_argument(
        "--short-side",
        metavar="PIXELS",
        type=int,
        help="scale videos to this before cropping (default: 256 for a crop of 224, in proportion)",
    )
    views.add_argument(
        "--image-size",
        metavar="PIXELS",
        type=int,
        help="side of a crop, if not the model's: its positions are then resized",
    )
    add_sampling_arguments(parser)
    add_data_arguments(parser)
    score = parser.add_argument_group("scores")
    score.add_argument(
        "--average",
        choices=("softmax", "logits"),
        default="softmax",
        help="over the views: softmax (the paper, default), or logits (the official code)",
    )
    score.add_argument(
        "--order",
        choices=("in_order", "shuffled", "reversed", "middle"),
        default="in_order",
        help="of the frames: to see whether the model looks at time; middle: one frame alone",
    )
    score.add_argument("--seed", metavar="N", type=int, default=0, help="of the shuffle")
    machine = parser.add_argument_group("machine")
    add_device_argument(machine)
    machine.add_argument(
        "--precision",
        choices=("float32", "fast_float32", "bfloat16"),
        default="float32",
        help="float32 is exact (default); bfloat16 is several times faster on a recent GPU",
    )
    machine.add_argument(
        "--batch-size", metavar="N", type=int, help="views at once (default: as many as fit)"
    )
    machine.add_argument(
        "--workers", metavar="N", type=int, help="processes that read videos (default: up to 4)"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--out", metavar="NAME", type=Path, help="write NAME.json, NAME.npz")
    output.add_argument("--restart", action="store_true", help="forget what NAME.npz holds")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, print, save, and return the exit status."""
    from vivit_lab.data.dataset import BadVideoWarning

    first = os.environ.get("RANK", "0") == "0"  # of the processes of `accelerate launch`
    out = arguments.out or Path(_name(arguments))
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names have all sorts of letters
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BadVideoWarning)  # the report names every one
            result = _evaluated(arguments, out, first)
    except KeyboardInterrupt:
        print(_stopped(Path(f"{out}.npz")), file=sys.stderr)
        return 130
    except (OSError, ValueError, TypeError, RuntimeError, MemoryError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    if first:
        print(result)
        print(f"\nThe report is in {out}.json, the scores of every view in {out}.npz.")
    lost = result.scores.videos < result.scores.origin.listed
    return 1 if lost or result.warnings else 0


def _evaluated(arguments: argparse.Namespace, out: Path, first: bool) -> "Evaluation":
    from vivit_lab.training.evaluation import evaluate

    where = _device(arguments)
    model = _model(arguments)
    data, views = _data(arguments, model)
    if first:
        print(f"{len(data):,} videos x {views}, on {where}", file=sys.stderr)
    if arguments.precision != "float32":
        model = model.to(where).for_inference(arguments.precision)
    scores = Path(f"{out}.npz")
    if arguments.restart and first:
        scores.unlink(missing_ok=True)
    result = evaluate(
        model.to(where),
        data,
        arguments.average,
        batch_size=arguments.batch_size,
        workers=_workers(arguments),
        frames=arguments.order,
        seed=arguments.seed,
        file=scores,
    )
    if first:
        result.save_report(f"{out}.json")
    return result


def _model(arguments: argparse.Namespace) -> "ViViT":
    from vivit_lab.weights import load_checkpoint

    size = arguments.image_size
    file = checkpoint_in(arguments.checkpoint)
    model, _ = load_checkpoint(file, **({} if size is None else {"image_size": size}))
    return model


def _data(arguments: argparse.Namespace, model: "ViViT") -> tuple["Dataset", str]:
    """The data set, and its views in words."""
    from vivit_lab.data import ArrowOfTime
    from vivit_lab.data.dataset import ViewDataset
    from vivit_lab.video import TestTransform

    data = open_data(
        arguments.data,
        arguments,
        config=model.config,
        class_names=model.class_names,
        clips=TEST_CLIPS,
        seed=TEST_SEED,
    )
    if isinstance(data, ArrowOfTime):
        check_rendered(arguments, ("clips", "crops", "short_side", "stride", "fps", "segments"))
        return data, "1 view"
    crop = check_square(model.config)
    clips = 4 if arguments.clips is None else arguments.clips
    crops = 3 if arguments.crops is None else arguments.crops
    short_side = arguments.short_side or max(scaled_short_side(crop), crop)
    views = ViewDataset(
        data,
        sampling(arguments, model.config.frames),
        clips,
        TestTransform(crop, short_side, crops),
        bad="leave_out",
    )
    return views, f"({clips} clips x {crops} crops)"


def _device(arguments: argparse.Namespace):
    """Where to compute; several processes meet here, and take a GPU each."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return device(arguments)
    from accelerate import PartialState

    if arguments.device not in (None, "cpu", "cuda"):
        raise ValueError(
            f"--device is {arguments.device!r}, but several processes share out the devices: "
            "leave it out, or give cpu."
        )
    return PartialState(cpu=arguments.device == "cpu").device


def _workers(arguments: argparse.Namespace) -> int:
    if arguments.workers is not None:
        return arguments.workers
    return min(4, os.cpu_count() or 1)


def _stopped(scores: Path) -> str:
    if not scores.exists():
        return "Stopped before the first video."
    return f"Stopped. What was done is in {scores}; the same command goes on from there."


def _name(arguments: argparse.Namespace) -> str:
    """A name for the outcome: checkpoint, data, views, and what is out of the ordinary."""
    checkpoint = arguments.checkpoint.absolute()
    words = [checkpoint.stem if checkpoint.suffix == ".safetensors" else checkpoint.name, "on"]
    data = Path(arguments.data.rstrip("/")).name
    data = re.sub(r"\.(csv|json|txt)$", "", data, flags=re.IGNORECASE)
    words.append(re.sub(r"[^\w.-]+", "-", data))
    if not is_rendered(arguments.data):
        words.append(f"{arguments.clips or 4}x{arguments.crops or 3}")
    if arguments.order != "in_order":
        words.append(arguments.order)
    return "-".join(words)

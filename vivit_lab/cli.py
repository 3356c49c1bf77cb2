"""The command line: `python -m vivit_lab doctor`, or `vivit-lab doctor`, and so on.

A command is a function that returns the exit status; its docstring is its help. Another function
adds its options. What it needs is imported when it is given, so that `--help` answers at once.
"""

import argparse
import contextlib
import dataclasses
import functools
import inspect
import json
import os
import re
import shlex
import signal
import sys
import textwrap
import threading
import time
import typing
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

RENDERED = "arrow-of-time"
FORMATS = "kinetics", "ssv2", "epic", "moments", "ucf101", "hmdb51", "csv", "folder"
READING = "root", "format", "classes", "split", "subset", "frame_rate", "trimmed"
READING += "allow_outside", "allow_duplicates"  # options of the readers of annotations
DEVICES, SUBSETS = ("auto", "cpu", "cuda", "mps"), ("train", "test")
VALIDATION_CLIPS, VALIDATION_SEED = 512, 10_001  # of rendered clips: each set draws others
TEST_CLIPS, TEST_SEED = 1024, 20_001


def main(words: Sequence[str] | None = None) -> int:
    """ViViT Lab: learn video transformers by doing. Start with the notebooks: `make lab`.

    If a notebook does not work, start here:

      python -m vivit_lab doctor         what works on this machine, and what to do about the rest
      python -m vivit_lab check clips/   which of your videos cannot be used, and why

    `python -m vivit_lab COMMAND --help` explains a command, with examples. The exit status of a
    command is 0 if there was no problem, 1 if there is something to do, 2 if the command was not
    understood. In a notebook, call:  import vivit_lab; vivit_lab.doctor()
                                      from vivit_lab.data import check; check("clips/")
    """
    words = sys.argv[1:] if words is None else list(words)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names have all sorts of letters
    parser = argparse.ArgumentParser(prog="python -m vivit_lab", **_help_of(main))
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
    parsers = {
        name: commands.add_parser(name, help=what, allow_abbrev=False, **_help_of(run))
        for name, (what, _, run) in COMMANDS.items()
    }
    if not words:
        parser.print_help()
        return 0
    command = next((word for word in words if word in COMMANDS), None)
    if command is None:
        parser.parse_args(words)  # --help, or an unknown command
        parser.error("a command must come first.")
    _, add_options, run = COMMANDS[command]
    try:
        add_options(parsers[command])
        return run(parser.parse_args(words))
    except KeyboardInterrupt:
        again = " with --resume" if command == "finetune" else ""
        print(f"\nStopped. The same command{again} continues from here.", file=sys.stderr)
        return 130
    except (OSError, ValueError, TypeError, RuntimeError, MemoryError, ImportError) as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 2


def _help_of(function: Callable) -> dict:
    """The first paragraph of its docstring above the options, the rest below them."""
    description, _, epilog = inspect.getdoc(function).partition("\n\n")
    form = argparse.RawDescriptionHelpFormatter
    return {"description": description, "epilog": epilog, "formatter_class": form}


def options_of(group, function: Callable, **helps: str) -> None:
    """Add an option for each of these parameters of `function`, with its type and its default."""
    parameters = inspect.signature(function).parameters
    for name, text in helps.items():
        default, kind = parameters[name].default, parameters[name].annotation
        add = functools.partial(group.add_argument, f"--{name.replace('_', '-')}", default=default)
        if default is False:
            add(action="store_true", help=text)
            continue
        kinds = {type(default), kind, *typing.get_args(kind)}
        kind = next((each for each in (int, float) if each in kinds), str)
        text += f" (default {default})" * (default is not None)
        add(type=kind, metavar=name.upper() if kind is str else "N", help=text)


def numbers(group, kind: type, **helps: str) -> None:
    """Add options that take a number of this kind, and are None where they are not given."""
    for name, text in helps.items():
        group.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N", help=text)


def given(options: argparse.Namespace, function: Callable) -> dict:
    """The options that are parameters of `function`."""
    parameters = inspect.signature(function).parameters
    return {name: value for name, value in vars(options).items() if name in parameters}


# ---- doctor


def _doctor(options: argparse.Namespace) -> int:
    """Run a small part of everything that the notebooks need, and say what to do about the parts
    that do not work. Exit status: 0 everything works, 1 something to do.
    """
    from vivit_lab.doctor import doctor

    report = doctor()
    print(report)
    return 0 if report.ok else 1


# ---- check


def _check_options(parser: argparse.ArgumentParser) -> None:
    from vivit_lab.data import check

    parser.add_argument("path", metavar="PATH", help="a folder, an annotation file, or a video")
    options_of(
        parser,
        check,
        full="decode every frame of every video",
        frames="also name clips that are too short for N frames",
        stride="of which every N-th frame is taken",
        timeout="seconds to open a video, or to read a frame; after that it is left",
        workers="processes; else one for each CPU, at most 8",
        report="file for the results, else NAME.check.jsonl in this folder",
        restart="check every file again",
    )
    _reading_options(parser)


def _check(options: argparse.Namespace) -> int:
    """Open every video before a training, and say which ones cannot be used, why, and what to do.
    PATH is a folder of videos (any depth), an annotation file, or one video.

    examples:
      python -m vivit_lab check clips/                 every video in a folder, and below it
      python -m vivit_lab check clips/ --full          decode every frame: slow, but complete
      python -m vivit_lab check clips/ --format folder     a folder for each class: also its size
      python -m vivit_lab check train.csv --root videos/   Kinetics, EPIC, Moments, lists
      python -m vivit_lab check train.csv --root videos/ --frames 32 --stride 2
                                                   also name clips too short for 32 x 2
      python -m vivit_lab check clips/ > problems.txt  all problems, not a dozen of each kind

    The results are kept in NAME.check.jsonl in the current folder, one line of JSON for each video.
    Ctrl-C stops at once and loses nothing: the same command continues, and checks again only the
    files that changed, hung or crashed. Exit status: 0 no problem, 1 something is wrong, 2 not
    understood or not possible, 130 interrupted.
    """
    from vivit_lab.data.checking import CheckInterrupted, check

    options.report = options.report or f"{Path(os.path.abspath(options.path)).name}.check.jsonl"
    try:
        outcome = check(options.path, **given(options, check), **_reading(options))
    except CheckInterrupted as stopped:
        print(f"{stopped.report}\n\nS{str(stopped)[1:]}")
        return 130
    print(outcome if sys.stdout.isatty() else outcome.text())
    return 0 if outcome.ok else 1


# ---- shard


def _shard_options(parser: argparse.ArgumentParser) -> None:
    from vivit_lab.data import write_shards

    add = parser.add_argument
    add("source", help="an annotation file, or a folder with a folder per class")
    add("folder", help="where the shards go: a new folder")
    add("--samples", type=int, default=1000, help="videos in a shard (default 1000)")
    add("--megabytes", type=int, default=1000, help="size of a shard (default 1000)")
    add("--in-order", action="store_true", help="in the order of the source; else random")
    options_of(parser, write_shards, seed="seed of the random order")
    _reading_options(parser)


def _shard(options: argparse.Namespace) -> int:
    """Write the videos of a data set into tar shards, which disks and networks read far faster than
    millions of small files. The bytes of each video are not changed; its label is stored beside it.

    python -m vivit_lab shard train.csv shards/train --root videos
      python -m vivit_lab shard my_clips shards/mine            a folder for each class

    and then, in Python:

      ShardDataset("shards/train", sampling, transform)         clips as from ClipDataset

    Ctrl-C is safe: the same command continues where it stopped. Nothing is overwritten. Videos that
    cannot be read are left out, and listed at the end and in index.json. Exit status: 0 all videos
    are in the shards, 1 some were left out, 2 no shards were made.
    """
    from vivit_lab.data import read_annotations, write_shards

    catalog = read_annotations(options.source, **_reading(options))
    sizes, shuffle = (options.samples, options.megabytes), not options.in_order
    report = write_shards(catalog, options.folder, *sizes, shuffle, options.seed, progress=True)
    print(report)
    return 1 if report.left_out else 0


# ---- data, frames: what the commands have in common


def _reading_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of all readers of annotations."""
    group = parser.add_argument_group("how annotations and folders are read")
    add = group.add_argument
    add("--root", metavar="FOLDER", help="where the videos are, if not beside their annotations")
    add("--format", choices=FORMATS, help="format of the annotations; else found from the file")
    add("--classes", metavar="FILE", help="class names, if they are not beside the annotations")
    add("--split", metavar="S", type=_number_or_name, help="split to read: a folder (train,"
        " val), a value in a column of splits, or a number (HMDB51, UCF101)")  # fmt: skip
    add("--subset", choices=SUBSETS, help="subset of HMDB51 or UCF101 (a folder of lists)")
    numbers(group, float, frame_rate="frame rate of folders of frames, which are then read")
    add("--trimmed", action="store_true", help="Kinetics: the videos are already cut")
    add("--allow-outside", action="store_true", help="a list may name videos outside of --root")
    add("--allow-duplicates", action="store_true", help="a list may name a segment twice")


def _number_or_name(text: str) -> int | str:
    return int(text) if text in ("1", "2", "3") else text  # HMDB51 and UCF101 have these


def _reading(options: argparse.Namespace, **other: object) -> dict:
    """The options of the readers that were given, as they take them; `other` goes before."""
    found = {name: getattr(options, name) for name in READING} | other
    found["fps"] = found.pop("frame_rate")
    return {name: value for name, value in found.items() if not (value is None or value is False)}


def _data_options(parser: argparse.ArgumentParser, stride: str) -> None:
    """Add the options that say how data are read, and to the help how data are named.

    how to name data:
      videos/                 a folder with one folder for each class: videos/jump/a.mp4, ...
      val.csv, labels.json    an annotation file as its owners publish it (Kinetics, EPIC-Kitchens,
                              Something-Something, Moments in Time, UCF101, HMDB51), or lines
                              `path,label`; --root says where the videos are, if not beside it
      arrow-of-time           clips that are drawn while they are read; their class is the order of
                              their frames; arrow-of-time:hard is a harder level
    """
    parser.epilog = f"{_help_of(_data_options)['epilog']}\n{parser.epilog}"
    data = parser.add_argument_group("data")
    share = "share of each class of DATA, such as 0.2, that is held out from training; evaluate"
    numbers(data, float, validation_share=f"{share} uses only it")
    data.add_argument("--group", metavar="REGEX", help="the part of a name that clips of one"
        " source share, so that they stay together: '(.*_g[0-9]+)_c'; else their file")  # fmt: skip
    _reading_options(parser)
    _frames_options(parser, stride)


def _frames_options(parser: argparse.ArgumentParser, stride: str) -> None:
    ways = parser.add_argument_group("which frames make a clip").add_mutually_exclusive_group()
    numbers(ways, int, stride=f"every N-th frame (default {stride})")
    numbers(ways, float, fps="N frames a second, whatever rate the file has")
    how = "one frame from each of T equal parts of the video"
    ways.add_argument("--segments", action="store_true", help=how)


def is_rendered(name: str) -> bool:
    """Whether a name of data means clips that are rendered; else it is that of a file or folder."""
    return name.partition(":")[0].replace("_", "-") == RENDERED


def _only_for_videos(options: argparse.Namespace, *names: str) -> None:
    for name in names:
        if vars(options).get(name):
            name = name.replace("_", "-")
            raise ValueError(f"--{name} is for videos, but {RENDERED} is rendered.")


def _open_data(name, options, frames, crop, clips, seed, training=False, **other):
    """The data that a command line names: a catalogue of videos, or rendered clips."""
    from vivit_lab.data import ArrowOfTime, read_annotations
    from vivit_lab.data.arrow_drawing import LEVELS
    from vivit_lab.data.formats import format_of
    from vivit_lab.errors import one_of

    if is_rendered(name):
        parts = "validation_share", "validation_split", "validation_subset", "group"
        _only_for_videos(options, *READING, *parts, "stride", "fps", "segments")
        level = name.partition(":")[2] or "easy"
        one_of(f"the level of {RENDERED}", level, LEVELS)
        return ArrowOfTime(clips, frames, crop, seed, level)
    path, reading = Path(name), _reading(options, **other)
    if not path.exists():
        raise FileNotFoundError(
            f"There is no {name!r}: it is no folder, no annotation file, and not {RENDERED!r}."
        )
    both = path.is_dir() and reading.get("format", format_of(path)) in ("hmdb51", "ucf101")
    if both and not training and "subset" not in reading:
        raise ValueError(
            f"{name!r} holds lists for training and for testing: add --subset test (in "
            "finetune, for the validation set: --validation-subset test)."
        )
    return read_annotations(path, **reading)


def _held_out(catalog, options: argparse.Namespace):
    """The catalogue in two parts, for training and for validation."""
    share, group = options.validation_share, options.group
    if group is not None and share is None:
        raise ValueError("--group does nothing without --validation-share: leave it out.")
    return (catalog, None) if share is None else catalog.split(share, group=group)


def _sampling(options: argparse.Namespace, frames: int, otherwise):
    """Which frames make a clip of so many frames: as the options say, or `otherwise`."""
    from vivit_lab.video import ByFrame, BySegment, ByTime

    if options.segments:
        return BySegment(frames)
    if options.fps is not None:
        return ByTime(frames, options.fps)
    return otherwise if options.stride is None else ByFrame(frames, options.stride)


def _square(config) -> int:
    height, width = config.image_size
    if height != width:
        raise ValueError(
            f"The model takes clips of {height} x {width} pixels, but videos are cut into squares: "
            f"load it with image_size={min(height, width)}."
        )
    return height


def _is_first() -> bool:
    return os.environ.get("RANK", "0") == "0"  # of the processes of `accelerate launch`


# ---- finetune


def _finetune_options(parser: argparse.ArgumentParser) -> None:
    from vivit_lab.tables import as_text
    from vivit_lab.training import Recipe, fit
    from vivit_lab.training.presets import PRESETS
    from vivit_lab.weights.inflate import KERNELS

    parser.epilog += f"\n\npresets (--recipe; by default small_data, or cpu_tiny for {RENDERED}):"
    rows = [("", "size", "clip", "epochs", "starts from")]
    for name, each in ((name, Recipe.preset(name)) for name in PRESETS):
        clip = f"{each.frames} x {each.crop} x {each.crop}"
        rows.append((name, each.size, clip, f"{each.epochs}", each.init))
    parser.epilog += "\n" + textwrap.indent(as_text(rows, "lllrl"), "  ")
    fields = textwrap.indent(str(Recipe.preset("small_data").change(notes=())), "  ")
    parser.epilog += f"\n\nfields as in small_data (--set lr=0.01 rand_augment=[2,9]):\n{fields}"
    add = parser.add_argument
    add("data", metavar="DATA", help="videos, annotations, or arrow-of-time")
    how = "validation set, named in the same way; the best epoch is kept"
    add("--validation", metavar="DATA", help=how)
    add("--validation-split", metavar="S", type=_number_or_name, help="split of the validation set,"
        " as in --split; without --validation, of DATA")  # fmt: skip
    how = "subset of the validation set, as in --subset"
    add("--validation-subset", choices=SUBSETS, help=how)
    add("--folder", type=Path, metavar="RUN", help="folder of the run (default runs/NAME)")
    _data_options(parser, stride="the recipe's")
    add = parser.add_argument_group("how to train").add_argument
    add("--recipe", metavar="NAME", help="a preset, or a .json file of Recipe.save; see below")
    add("--set", nargs="+", default=[], metavar="FIELD=VALUE", help="change the recipe; see below")
    add("--init", metavar="FROM", help="start of the training; see below (default: the recipe's)")
    add("--file", type=Path, help="weights of the image ViT that training starts from")
    how = f"how its patch embedding is inflated (default {KERNELS[0]})"
    add("--tubelet", default=KERNELS[0], choices=(*KERNELS, "random"), help=how)
    add("--clips", type=int, default=4096, metavar="N", help=f"clips of {RENDERED} (default 4096)")
    machine = parser.add_argument_group("machine and files")
    add = machine.add_argument
    add("--device", default="auto", choices=DEVICES)
    numbers(machine, int, workers="processes that read videos")
    add("--max-missing", type=float, default=0.2, metavar="N", help="share of each set whose"
        " videos may be missing (default 0.2)")  # fmt: skip
    number = lambda text: int(text) if text.isdigit() else float(text)  # noqa: E731
    add("--max-bad", type=number, default=0.01, metavar="N", help="how many videos of the training"
        " set may be unreadable and replaced: a number, or a share (default 0.01)")  # fmt: skip
    options_of(
        machine,
        fit,
        balanced="draw from each class equally often",
        save_every="steps between two saved states",
        keep="number of last epochs whose weights are kept",
        tensorboard="write a log for TensorBoard, too",
        resume="continue the run in the folder",
    )
    add = parser.add_mutually_exclusive_group().add_argument
    add("--show", action="store_true", help="print what would be done, memory and time; then end")
    add("--check", action="store_true", help="test whether the model memorises one batch; then end")


def _finetune(options: argparse.Namespace) -> int:
    """Train a video transformer on your videos: from an image ViT that is inflated (the paper's
    way), from a checkpoint, or from random weights. The folder of the run gets a log, checkpoints,
    and what is needed to repeat the run.

    where training starts (--init; the default is in the recipe):
      vit_base_patch16_224     an image ViT by its name in timm, inflated (section 3.4); with --file
                               from weights on this machine, which needs no network
      small_image_vit          our own image ViT, inflated: 64 wide, for clips of 32 pixels; it
                               is part of the package, and needs no network
      small_video_vit          our own video ViT (Model 1), trained on the motion of Arrow of Time,
                               for clips of 48 pixels; it is part of the package, too
      model.safetensors        a checkpoint of this package, or the folder of a run; the classifier
                               is kept if the classes are the same, and is new if they are not
      random                   random weights: for very large data sets, or for tiny models
    examples:
      python -m vivit_lab finetune arrow-of-time --folder runs/first
                                        a minute or two on a laptop
      python -m vivit_lab finetune videos/ --validation-share 0.2 --folder runs/mine
                                        a fifth of the videos of each class is held out
      python -m vivit_lab finetune videos/ --validation-share 0.2 --recipe cpu_small
                                        a few hundred videos on a laptop: no GPU, no network
      python -m vivit_lab finetune videos/train --validation videos/val --folder runs/mine \\
          --init vit_base_patch16_224 --set batch=8 accumulate=4
                                        a small GPU: 8 clips a step, 2 at a time
      python -m vivit_lab finetune train.csv --root videos/ --folder runs/k400 --workers 12 \\
          --recipe kinetics400_factorised_encoder
                                        the paper's recipe
      python -m vivit_lab finetune videos/ --init vit_small_patch14_dinov2 --set crop=98 \\
          --file dinov2.safetensors     patches of 14 pixels take a crop that 14 divides
      python -m vivit_lab finetune videos/ --init runs/mine --folder runs/more
                                        more epochs of a run: its best weights, its recipe
      accelerate launch --num_processes 8 -m vivit_lab finetune ...
                                        the same on 8 GPUs: they share the recipe's batch
      python -m vivit_lab finetune videos/ --recipe small_data --show
                                        what would be done, and what it costs; nothing is trained
    First test with --check whether the model can memorise one batch. Ctrl-C stops after the step
    and saves. After a stop or a crash, the same command with --resume continues. To evaluate:
      python -m vivit_lab evaluate runs/mine videos/val
    Exit status: 0 trained; 1 training had to stop, or was finished already; 2 not understood or not
    possible; 130 interrupted.
    """
    from vivit_lab.training import TrainingError, fit, overfit_one_batch
    from vivit_lab.training.run import FinishedWarning
    from vivit_lab.training.sanity import class_names_of
    from vivit_lab.video import VideoError

    folder = options.folder or Path("runs", Path(options.data.replace(":", "-")).resolve().stem)
    recipe = _recipe(options, folder)
    train, validation = _data_sets(options, recipe)
    model, report = _start_model(options, recipe, class_names_of(train), folder)
    if _is_first() and report is not None:
        print(report, file=sys.stderr)
    if options.show:
        _show(options, recipe, model, train, validation)
        return 0
    if options.check:
        said = {"device": options.device, "seed": recipe.seed, "recipe": recipe}
        result = overfit_one_batch(model, train, **said)
        print(result)
        return 0 if result.ok else 1
    workers = options.workers
    if workers is None:  # rendering a clip is quicker than sending it
        workers = 0 if is_rendered(options.data) else min(8, os.cpu_count() or 1)
    settings = {"recipe": recipe, "validation": validation, "folder": folder, "workers": workers}
    try:
        with _stop_asked_for() as stop, warnings.catch_warnings():
            warnings.simplefilter("error", FinishedWarning)
            run = fit(model, train, **given(options, fit) | settings, callback=stop)
    except (TrainingError, VideoError, FinishedWarning) as error:
        print(f"finetune: {error}", file=sys.stderr)
        return 1
    if _is_first() and run.stopped:
        again = "The same command with --resume continues."
        print(f"Stopped after step {run.steps}, and saved. {again}")
    elif _is_first():
        print(f"{run.steps} steps; weights, log and how to repeat it are in {run.folder}")
        print(evaluate_line(options, run.folder))
    return 130 if run.stopped else 0


def _recipe(options: argparse.Namespace, folder: Path):
    """The recipe that the options name, with its changes; else that of the run that goes on, or
    from which another one starts."""
    from vivit_lab.training import Recipe

    runs = [Path(run, "recipe.json") for run in (options.resume and folder, options.init) if run]
    usual = "cpu_tiny" if is_rendered(options.data) else "small_data"
    name = options.recipe or str(next(filter(Path.exists, runs), usual))
    recipe = Recipe.load(name) if name.endswith(".json") else Recipe.preset(name)
    changes = {} if options.init is None else {"init": options.init}
    for change in options.set:
        field, equals, text = change.partition("=")
        if not equals:
            raise ValueError(f"--set {change!r} must be FIELD=VALUE, for example lr=0.01.")
        try:  # as JSON says: numbers, true, false, null, [2, 9]; all else is a text
            changes[field] = json.loads("null" if text == "None" else text.lower())
        except ValueError:
            changes[field] = text
    if isinstance(crop := changes.get("crop"), int):  # what it is cut from keeps the proportion
        for side in ("min_short_side", "max_short_side"):
            changes.setdefault(side, round(getattr(recipe, side) * crop / recipe.crop))
    recipe = recipe.change(**changes)
    if recipe.init is None and not _goes_on(options, folder):
        raise ValueError(
            f"The recipe {recipe.name!r} does not say where training starts: name an image ViT, a "
            "checkpoint or a run with --init, or ask for random weights with --init random."
        )
    start, file = recipe.init, options.file
    alone = (None, "random", "small_image_vit", "small_video_vit")
    if file is not None and (start in alone or _is_path(start)):
        raise ValueError(
            f"Training starts from {start!r}: leave out --file {file}, or say which image ViT of "
            "timm's it holds, as in --init vit_base_patch16_224."
        )
    return recipe


def _data_sets(options: argparse.Namespace, recipe):
    """The training set, and the validation set if there is one: the centre view of each video."""
    from torch.utils.data import Dataset

    from vivit_lab.data import ClipDataset, ViewDataset
    from vivit_lab.training.sanity import class_names_of

    size = recipe.frames, recipe.crop
    train = _open_data(options.data, options, *size, options.clips, recipe.seed, training=True)
    train, validation = _held_out(train, options)
    name, part = _validated(options)
    if name is not None and validation is not None:
        raise ValueError("--validation-share holds out a part of DATA: leave --validation out.")
    if name is not None:
        part["classes"], seed = class_names_of(train), VALIDATION_SEED
        validation = _open_data(name, options, *size, VALIDATION_CLIPS, seed, **part)
    _look_at(train, validation, options.max_missing)
    frames = _sampling(options, recipe.frames, recipe.sampling())
    if not isinstance(train, Dataset):
        transform, bad = recipe.train_transform(train.class_names), options.max_bad
        train = ClipDataset(train, frames, transform, seed=recipe.seed, max_bad=bad)
    if not (validation is None or isinstance(validation, Dataset)):
        view = recipe.test_transform(crops=1)
        validation = ViewDataset(validation, frames, clips=1, transform=view, bad="leave_out")
    return train, validation


def _validated(options: argparse.Namespace) -> tuple[str | None, dict]:
    """The data to validate on, and what is read of them: never in silence what is trained on."""
    split, subset = options.validation_split, options.validation_subset
    of_data = is_rendered(options.data) or split or subset  # rendered: others of the same kind
    split = split or (subset and options.split)  # where there are subsets, each split has both
    name = options.validation or (options.data if of_data else None)
    return name, {"split": split, "subset": subset}


def _look_at(train, validation, max_missing: float) -> None:
    """Say what is in both sets before anything is trained. ValueError: too much is missing."""
    from vivit_lab.data import Catalog
    from vivit_lab.data.catalog import resolver

    sets, files, resolve = {"training": train, "validation": validation}, [], resolver()
    for name, catalog in sets.items():
        if not isinstance(catalog, Catalog):
            continue
        if _is_first():
            print(f"{name} set: {catalog.report()}", file=sys.stderr)
        share = len(catalog.missing) / (len(catalog) + len(catalog.missing))
        if share > max_missing:
            raise ValueError(
                f"{share:.1%} of the segments of {catalog.source} are missing, and --max-missing "
                f"allows {max_missing:.1%}: find them, or point --root to them."
            )
        files.append({resolve(str(segment.path)) for segment in catalog})
    shared = sorted(set.intersection(*files)) if len(files) == 2 else []
    if shared and _is_first():
        says = f"{len(shared):,} of {len(files[1]):,} videos to validate on are in the training set"
        print(f"WARNING: {says}, e.g. {shared[0]}: the accuracy will be too high.", file=sys.stderr)


def _goes_on(options: argparse.Namespace, folder: Path) -> bool:
    """Whether the command goes on with a run: its weights are in the state."""
    return options.resume and (folder / "state.safetensors").exists()


def _is_path(start: str) -> bool:
    """Whether --init means a checkpoint or the folder of a run, be it there or not."""
    return "/" in start or start.endswith(".safetensors") or Path(start).exists()


def _start_model(options: argparse.Namespace, recipe, names, folder: Path):
    """The model that training starts from, and what became of the weights that it was given.

    With --show it is on the device "meta": nothing is loaded, and no network is needed.
    """
    import torch

    from vivit_lab import weights
    from vivit_lab.io import read_json
    from vivit_lab.models import ViViTConfig, build_model
    from vivit_lab.training.recipe import check_crop
    from vivit_lab.weights.checkpoint import SMALL_VIDEO_VIT, checkpoint_in

    init, classes = recipe.init, recipe.classes
    if isinstance(names, dict):
        classes = {head: len(each) for head, each in names.items()}
    elif names is not None:
        classes = len(names)
    fields = {"image_size": recipe.crop, "num_classes": classes}
    fields |= {name: getattr(recipe, name) for name in ("frames", "drop_path")}
    torch.manual_seed(recipe.seed)
    where, start = torch.device("meta" if options.show else "cpu"), None
    if _goes_on(options, folder):
        config = ViViTConfig(**read_json(folder / "run.json")["model"])
    elif init == "random":
        config = recipe.config(num_classes=classes)
    elif init == "small_video_vit" or _is_path(init):
        checkpoint = SMALL_VIDEO_VIT if init == "small_video_vit" else checkpoint_in(Path(init))
        config = weights.read_checkpoint_info(checkpoint).config
        check_crop(recipe.crop, config.tubelet[1], init)
        config = dataclasses.replace(config, **fields)

        def start(model):
            report = weights.adapt(model, weights.load_checkpoint(checkpoint)[0])
            return dataclasses.replace(report, source=init)
    else:
        with where:
            if init == "small_image_vit":
                source = weights.small_image_vit()
            else:
                file = None if options.show else options.file
                source = weights.load_timm(init, file, pretrained=not options.show)
        check_crop(recipe.crop, source.patch[0], init)
        fields |= {"model": recipe.model, "temporal_depth": recipe.temporal_depth}
        config = source.config(tubelet=(recipe.tubelet[0], *source.patch), **fields)
        own = recipe.config(image_size=recipe.tubelet[1])
        fits = (own.dim, own.depth, own.tubelet) == (config.dim, config.depth, config.tubelet)
        if not fits and any(change.startswith("size=") for change in options.set):
            raise ValueError(
                f"size is {recipe.size}, but {init} has {config.depth} blocks of width {config.dim}"
                f" and patches of {source.patch[0]} pixels: leave size out, or name another --init."
            )
        start = functools.partial(weights.inflate, source=source, tubelet=options.tubelet)
    with where:
        model = build_model(config)
    model.class_names = names  # by which `adapt` finds the rows of the head
    return model, None if start is None or options.show else start(model)


@contextlib.contextmanager
def _stop_asked_for() -> Iterator[Callable]:
    """A callback that ends training, saved, after the first Ctrl-C, or the end of a job's time.

    The second Ctrl-C does what it always does: it ends the program at once.
    """
    asked = threading.Event()
    is_main = threading.current_thread() is threading.main_thread()  # none else may listen
    before = {
        number: signal.getsignal(number)
        for number in ((signal.SIGINT, signal.SIGTERM) if is_main else ())
        if signal.getsignal(number) is not signal.SIG_IGN  # as of nohup, and of jobs behind &
    }

    def ask(number: int, _frame: object) -> None:
        asked.set()
        signal.signal(number, before[number])
        said = "\nStopping after this step, then saving. Ctrl-C again stops at once."
        print(said, file=sys.stderr)

    def callback(moment) -> None:
        moment.control.stop = asked.is_set()

    try:
        for number in before:
            signal.signal(number, ask)
        yield callback
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def evaluate_line(options: argparse.Namespace, folder: Path) -> str:
    """The command that evaluates a run on its validation set; the run knows frames and pixels."""
    words = ["python", "-m", "vivit_lab", "evaluate", str(folder)]
    if is_rendered(options.data):
        return shlex.join([*words, options.data])
    name, part = _validated(options)
    if options.validation_share is not None:
        name, part = options.data, {}
    names = *READING, "validation_share", "group"
    said = {each: getattr(options, each) for each in names} | part
    words.append(name or "DATA")
    for name, value in said.items():
        if value not in (None, False) and name != "classes":
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return shlex.join(words)


def _show(options: argparse.Namespace, recipe, model, train, validation) -> None:
    """What would be done, and what it costs."""
    from vivit_lab.analysis import calibrate, cost, measure_time
    from vivit_lab.analysis.cost import in_bytes, in_seconds
    from vivit_lab.analysis.flops import title_of
    from vivit_lab.data.catalog import plural
    from vivit_lab.models import build_model
    from vivit_lab.tables import as_text
    from vivit_lab.training import Recipe
    from vivit_lab.training.optim import autocast, by_head, open_accelerator
    from vivit_lab.training.sanity import check_memory, check_recipe_fits, step_bytes

    paper, config = Recipe.preset("kinetics400_factorised_encoder"), model.config
    print(f"{recipe}\n\nDifference to the paper's recipe:\n{recipe.difference(paper)}\n")
    each, weights = len(train) // recipe.batch, sum(p.numel() for p in model.parameters())
    steps, epochs, rows = recipe.epochs * each, plural(recipe.epochs, "epoch"), []
    for head, names in by_head(model.class_names or {}).items():
        named = textwrap.shorten(", ".join(names), 70, placeholder=" ...")
        rows.append((f"{head} classes".strip(), f"{len(names):,}: {named}"))
    none = "no clips: the best epoch will not be known"
    rows += [
        ("training set", f"{len(train):,} clips"),
        ("validation set", f"{len(validation):,} clips" if validation else none),
        ("model", f"{title_of(config, 1)}; {weights:,} weights"),
        ("starts from", f"{recipe.init}"),
        ("steps", f"{steps:,}: {epochs} of {each:,} x {recipe.batch} clips"),
        ("peak learning rate", f"{recipe.peak_lr:.3g}"),
        ("memory", f"about {in_bytes(step_bytes(model, recipe))} for a step on one device"),
    ]
    print(as_text(rows))
    check_recipe_fits(model, recipe, each, len(train))
    device, clips = open_accelerator(options.device).device, recipe.batch // recipe.accumulate
    check_memory(model, recipe, device)
    train[0]  # the first one loads libraries
    begun = time.perf_counter()
    train[len(train) - 1]
    reading = steps * recipe.batch * (time.perf_counter() - begun)
    again = recipe.checkpointing
    if device.type == "cpu":
        how = "this processor's speed in large products, which small models do not reach"
        options = {"batch": clips, "training": True, "checkpointing": again}
        seconds = cost(config, **options, machine=calibrate()).seconds
    else:  # the way back costs two ways there
        how = f"a pass of {clips} clips on this {device.type}"
        with autocast(device, recipe.precision):
            seconds = (3 + again) * measure_time(build_model(config).to(device), batch=clips)[0]
    computing = steps * recipe.accumulate * seconds
    print(
        "Estimates of the time on one device, validation not counted:\n"
        f"  computing  {in_seconds(computing)}, by {how}\n"
        f"  reading    {in_seconds(reading)} by one process, from one clip (--workers: faster)"
    )


# ---- evaluate


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    from vivit_lab.models.inference import PRECISIONS
    from vivit_lab.training import evaluate
    from vivit_lab.training.results import ORDERS

    add = parser.add_argument
    how = "a model file, or the folder of a model or of a run"
    add("checkpoint", metavar="CHECKPOINT", type=Path, help=how)
    add("data", metavar="DATA", help="videos, annotations, or arrow-of-time")
    numbers(parser, int, clips="clips of a video, evenly spread in time (default 4)")
    add("--crops", type=int, choices=(1, 3), help="crops of each clip (default 3)")
    numbers(parser, int, short_side="in pixels, before cropping (default: the model's)")
    numbers(parser, int, image_size="side of a crop (default: the model's)")
    _data_options(parser, stride="the model's own, else 2, as in the paper")
    options_of(
        parser, evaluate, average="what is averaged: softmax (the paper), or logits (Scenic)"
    )
    add("--order", choices=ORDERS, default="in_order", help="order of the frames, to see whether"
        " the model uses it; middle: one frame alone")  # fmt: skip
    add("--device", default="auto", choices=DEVICES)
    add("--precision", choices=PRECISIONS, default="float32", help="float32 is exact (default);"
        " bfloat16 is several times faster on a recent GPU")  # fmt: skip
    options_of(
        parser,
        evaluate,
        seed="seed of the shuffle",
        batch_size="views at once; else as many as fit",
    )
    numbers(parser, int, workers="processes that read videos (default: up to 4)")
    add("--out", metavar="NAME", type=Path, help="write NAME.json, NAME.npz")
    add("--restart", action="store_true", help="do not use what NAME.npz holds")


def _evaluate(options: argparse.Namespace) -> int:
    """Measure how good a model is. It sees several views of each video (by default 4 clips, evenly
    spread in time, x 3 crops, as in the paper), and their scores are averaged. Frames and pixels
    are those that the model was made for; if you choose others, the report says so. The report has
    the accuracy of videos and of single views, the number of videos, which ones were missing, the
    cost, the worst classes and the most common mistakes. CHECKPOINT is a .safetensors file of this
    package, the folder of a run (its best epoch), or a folder of transformers.

    examples:
      python -m vivit_lab evaluate runs/first arrow-of-time
      python -m vivit_lab evaluate model.safetensors videos/val
      python -m vivit_lab evaluate model.safetensors val.csv --root videos/ --workers 8
      python -m vivit_lab evaluate m.safetensors val.csv --clips 10 --image-size 256 \\
          --short-side 256
                                            SlowFast's way: 10 clips x 3 crops of 256 pixels
      python -m vivit_lab evaluate model.safetensors val.csv --average logits
                                            average as the official code does
      python -m vivit_lab evaluate model.safetensors val.csv --order shuffled
                                            the frames of each clip shuffled: is the model worse?
      accelerate launch --num_processes 4 -m vivit_lab evaluate model.safetensors val.csv
                                            on 4 GPUs; each video is counted once

    The report is written to NAME.json, the scores of every view to NAME.npz, from which other
    averages and fewer views follow without the model (vivit_lab.training.load_evaluation). NAME is
    made of checkpoint, data and views; --out gives another. Ctrl-C loses nothing: the same command
    continues. Exit status: 0 no problem; 1 evaluated, but videos are missing or there is a warning;
    2 not understood or not possible; 130 interrupted.
    """
    from vivit_lab.data import BadVideoWarning
    from vivit_lab.training import evaluate
    from vivit_lab.training.optim import open_accelerator
    from vivit_lab.weights import load_huggingface
    from vivit_lab.weights.checkpoint import checkpoint_in, load_checkpoint

    where = open_accelerator(options.device).device
    size = {} if options.image_size is None else {"image_size": options.image_size}
    if (options.checkpoint / "config.json").exists() and not size:
        model, _ = load_huggingface(options.checkpoint)
    else:
        model, _ = load_checkpoint(checkpoint_in(options.checkpoint), **size)
    data, views = _views(options, model)
    out = options.out or Path(_outcome_name(options))
    scores = Path(f"{out}.npz")
    if _is_first():
        print(f"{len(data):,} videos x {views}, on {where}", file=sys.stderr)
        if options.restart:
            scores.unlink(missing_ok=True)
    if options.precision != "float32":
        model = model.to(where).for_inference(options.precision)
    workers = min(4, os.cpu_count() or 1) if options.workers is None else options.workers
    settings = {"data": data, "workers": workers, "frames": options.order, "file": scores}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BadVideoWarning)  # the report names every one
        result = evaluate(model.to(where), **given(options, evaluate) | settings)
    if _is_first():
        result.save_report(f"{out}.json")
        print(result)
        for head in result.heads.values():
            print(f"\n{head.by_class()}")
        print(f"\nThe report is in {out}.json, the scores of every view in {out}.npz.")
    known = _was_trained_on(options)
    if known and _is_first():
        rule = "--validation-share evaluates what was held out of it"
        print(f"WARNING: the model was trained on {options.data}: {rule}.", file=sys.stderr)
    lost = result.scores.videos < result.scores.origin.listed
    return 1 if lost or known or result.warnings else 0


def _was_trained_on(options: argparse.Namespace) -> bool:
    """Whether a run says that it was trained on these data; of a part of them it cannot be said."""
    place = options.checkpoint if options.checkpoint.is_dir() else options.checkpoint.parent
    if not (place / "run.json").is_file() or is_rendered(options.data):
        return False
    about = json.loads((place / "run.json").read_text())
    source = (about["training set"] or {}).get("source") or "?"
    source = Path(about.get("working_folder", ""), source)
    part = options.validation_share or options.split or options.subset
    return not part and source.exists() and source.samefile(options.data)


def _views(options: argparse.Namespace, model):
    """The data set, and its views in words."""
    from torch.utils.data import Dataset

    from vivit_lab.data import ViewDataset
    from vivit_lab.training.prediction import preprocessing_of
    from vivit_lab.video import TestTransform

    crop, frames = _square(model.config), model.config.frames
    if model.class_names and options.classes:
        raise ValueError("The model names its classes itself: leave out --classes.")
    own = {"classes": model.class_names or options.classes}
    data = _open_data(options.data, options, frames, crop, TEST_CLIPS, TEST_SEED, **own)
    if isinstance(data, Dataset):
        _only_for_videos(options, "clips", "crops", "short_side")
        return data, "1 view"
    data = _held_out(data, options)[1] or data
    usual, _ = preprocessing_of(model)
    clips, crops = 4 if options.clips is None else options.clips, options.crops or 3
    transform = TestTransform(crop, options.short_side or usual.short_side, crops)
    sampling = _sampling(options, frames, usual.sampling)
    views = ViewDataset(data, sampling, clips, transform, bad="leave_out")
    return views, f"({clips} clips x {crops} crops)"


def _outcome_name(options: argparse.Namespace) -> str:
    """A name for the outcome: checkpoint, data, views, and what is out of the ordinary."""
    words = [options.checkpoint.absolute().name.removesuffix(".safetensors"), "on"]
    data = re.sub(r"\.(csv|json|txt)$", "", Path(options.data.rstrip("/")).name, flags=re.I)
    words.append(re.sub(r"[^\w.-]+", "-", data))
    if not is_rendered(options.data):
        words.append(f"{options.clips or 4}x{options.crops or 3}")
    if options.order != "in_order":
        words.append(options.order)
    ways = "stride", "fps", "segments", "short_side", "image_size"
    for name in (*ways, "split", "subset", "validation_share"):
        if value := getattr(options, name):
            words.append(name.replace("_", "-") + ("" if value is True else f"-{value}"))
    return "-".join(words)


# ---- predict


def _predict_options(parser: argparse.ArgumentParser) -> None:
    from vivit_lab.training import predict, timeline

    add = parser.add_argument
    add("run", metavar="RUN", help="run folder, checkpoint, folder of transformers, or hub name")
    add("videos", metavar="VIDEO", nargs="+", help="file, folder (any depth), or pattern")
    options_of(
        parser,
        predict,
        top="answers of each classifier",
        clips="clips of a video, evenly spread in time",
    )
    add("--crops", type=int, choices=(1, 3), default=argparse.SUPPRESS,
        help="crops of each clip (default 3; of a time line 1)")  # fmt: skip
    add("--timeline", action="store_true", help="what a long video shows, and when")
    options_of(parser, timeline, window="seconds of a video that the model sees at once (default:"
        " those of a clip)", step="seconds between windows (default: half a window)")  # fmt: skip
    _frames_options(parser, stride="the model's")
    add("--device", default="auto", choices=DEVICES)
    options_of(parser, predict, batch_size="views at once; else as many as fit", workers="processes"
        " that read videos")  # fmt: skip
    add("--json", action="store_true", help="print JSON in place of a table")


def _predict(options: argparse.Namespace) -> int:
    """Say what videos show: print the most probable classes of each video, or with --timeline those
    of the parts of a long video. RUN is the folder of a run (its best epoch), a
    .safetensors file of this package, a folder of transformers, or a repository of the hub. Frames
    and pixels are those that the model was trained with.

    examples:
      python -m vivit_lab predict runs/first a.mp4
      python -m vivit_lab predict runs/first new_videos/ --top 1 --json > answers.json
      python -m vivit_lab predict google/vivit-b-16x2-kinetics400 "holidays/**/*.mp4"
      python -m vivit_lab predict runs/first match.mp4 --timeline --step 0.5

    Exit status: 0 no problem; 1 some videos could not be read, and are named; 2 not understood, or
    no video could be read.
    """
    from vivit_lab.training import predict, timeline
    from vivit_lab.training.evaluation import NothingScored
    from vivit_lab.training.prediction import find_videos, open_model, preprocessing_of
    from vivit_lab.video import VideoError

    other, how = (predict, "with") if options.timeline else (timeline, "without")
    for name in ("top", "clips", "workers") if options.timeline else ("window", "step"):
        if getattr(options, name) != inspect.signature(other).parameters[name].default:
            raise ValueError(f"--{name} does nothing {how} --timeline: leave it out.")
    model = open_model(options.run, options.device)
    expected, _ = preprocessing_of(model)
    asked = _sampling(options, expected.sampling.clip_frames, None)
    settings = {"preprocessing": asked and dataclasses.replace(expected, sampling=asked)}
    settings["progress"] = sys.stderr.isatty()
    if not options.timeline:
        found = predict(model, **given(options, predict) | settings)
        print(json.dumps(found.to_dict(), indent=1) if options.json else found)
        return 1 if found.unreadable else 0
    lines, unreadable = [], []
    for file in find_videos(options.videos):
        try:
            lines.append(timeline(model, file, **given(options, timeline) | settings))
        except (VideoError, NothingScored) as error:
            unreadable.append(str(error))
            print(f"Not readable: {error}", file=sys.stderr)
        else:
            if not options.json:
                print(f"{file}\n{lines[-1]}\n", flush=True)
    if options.json:
        told = {"videos": [each.to_dict() for each in lines], "unreadable": unreadable}
        print(json.dumps(told, indent=1))
    complete = not unreadable and not any(each.unreadable for each in lines)
    return 0 if complete else 1 if lines else 2


COMMANDS = {  # name -> (what it does, its options, the function that runs it)
    "doctor": ("check this machine: versions, GPU, video, widgets", lambda parser: None, _doctor),
    "check": ("which videos cannot be used, and why", _check_options, _check),
    "shard": ("pack a large data set into webdataset shards", _shard_options, _shard),
    "finetune": ("train a model on your videos", _finetune_options, _finetune),
    "evaluate": (
        "how good a model is, from several views of each video",
        _evaluate_options,
        _evaluate,
    ),
    "predict": ("what videos show, and when", _predict_options, _predict),
}

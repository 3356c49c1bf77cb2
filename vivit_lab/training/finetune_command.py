"""`python -m vivit_lab finetune`: the command line of `fit`."""

import argparse
import contextlib
import json
import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from vivit_lab.training.arguments import (
    DATA_HELP,
    STRIDE,
    add_data_arguments,
    add_sampling_arguments,
    is_rendered,
    scaled_short_side,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vivit_lab.training.journal import Callback, Moment
    from vivit_lab.training.recipe import Recipe

DESCRIPTION = """\
Train a video transformer on your videos: from an image ViT that is inflated (the paper's way), from
a checkpoint, or from random weights. What happens is written into the folder of the run: log,
checkpoints, and how to repeat it.
"""

EPILOG = f"""\
{DATA_HELP}
where training starts (--init):
  random                       new weights
  vit_base_patch16_224         an image ViT by its name in timm, inflated (section 3.4); with --file
                               from weights on this machine
  small_image_vit              our own image ViT, inflated: 64 wide, for clips of 32 pixels; it
                               comes along, and needs no network
  model.safetensors            a checkpoint of this package, or the folder of a run: same classes,
                               the head is kept; other classes, the head is new
examples:
  python -m vivit_lab finetune arrow-of-time --folder runs/first
                                        a minute or two on a laptop
  python -m vivit_lab finetune videos/train --validation videos/val --init vit_base_patch16_224 \\
      --folder runs/mine --set batch=8 accumulate=4 bf16=true
                                        a small GPU: 8 clips a step, 2 at a time
  python -m vivit_lab finetune train.csv --root videos/ --recipe kinetics400_factorised_encoder \\
      --init vit_base_patch16_224.augreg_in21k --folder runs/k400 --workers 12
                                        the paper's recipe
  accelerate launch --num_processes 8 -m vivit_lab finetune ...
                                        the same on 8 GPUs: they share the recipe's batch
  python -m vivit_lab finetune videos/ --recipe small_data --show
                                        what would be done, and what it costs; nothing is trained
First check that the model can learn one batch by heart: --check. Ctrl-C stops after a step, and
saves. Stopped, or killed? The same command with --resume goes on. How good is it?
  python -m vivit_lab evaluate runs/mine videos/val
exit status: 0 trained; 1 training had to stop; 2 not understood or not possible; 130 interrupted
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("data", metavar="DATA", help="videos, annotations, or arrow-of-time")
    parser.add_argument("--validation", metavar="DATA", help="named in the same way; best is kept")
    parser.add_argument("--folder", type=Path, metavar="RUN", help="of the run (default runs/NAME)")
    add_data_arguments(parser)
    add_sampling_arguments(parser, stride="the recipe's")
    how = parser.add_argument_group("how to train")
    how.add_argument(
        "--recipe",
        metavar="NAME",
        help="a preset, or a .json file of Recipe.save (default small_data; cpu_tiny for"
        " arrow-of-time)",
    )
    how.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="FIELD=VALUE",
        help="change the recipe: lr=0.01 epochs=5 bf16=true rand_augment=[2,9] ema=0.999",
    )
    how.add_argument("--init", default="random", metavar="FROM", help="see below (default random)")
    how.add_argument("--file", type=Path, help="weights of the image ViT that --init names")
    how.add_argument(
        "--tubelet",
        default="central_frame",
        choices=("central_frame", "filter_inflation", "rank_pooling", "random"),
        help="how its patch embedding is inflated (default central_frame)",
    )
    how.add_argument(
        "--clips", type=int, default=4096, metavar="N", help="of arrow-of-time to train on"
    )
    machine = parser.add_argument_group("machine and files")
    machine.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    machine.add_argument("--workers", type=int, metavar="N", help="processes that read videos")
    machine.add_argument(
        "--max-bad",
        type=_count_or_share,
        default=0.01,
        metavar="N",
        help="videos to train on that may be unreadable and replaced: a number, or a share"
        " (default 0.01)",
    )
    machine.add_argument("--save-every", type=int, default=500, metavar="STEPS")
    machine.add_argument("--keep", type=int, default=2, metavar="N", help="last epochs' weights")
    machine.add_argument("--tensorboard", action="store_true", help="log for it, too")
    machine.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--show", action="store_true", help="print recipe, model and cost; then end")
    ways.add_argument("--check", action="store_true", help="learn one batch by heart; then end")


def run(arguments: argparse.Namespace) -> int:
    """Train, and return the exit status."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names have all sorts of letters
    try:
        from vivit_lab.training.trouble import TrainingError
        from vivit_lab.video.opening import VideoError

        return _run(arguments)
    except KeyboardInterrupt:
        print(
            "Stopped. The same command with --resume goes on from the last save.", file=sys.stderr
        )
        return 130
    except ImportError as error:
        print(f"finetune: {error}", file=sys.stderr)
        return 2
    except (TrainingError, VideoError) as error:
        print(f"finetune: {error}", file=sys.stderr)
        return 1
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        print(f"finetune: {error}", file=sys.stderr)
        return 2


def chosen_recipe(arguments: argparse.Namespace, folder: Path) -> "Recipe":
    """The recipe that the options name, with its changes; of a run that goes on, its own.

    Raises ValueError, TypeError or FileNotFoundError: see `Recipe`.

    >>> parser = argparse.ArgumentParser()
    >>> add_arguments(parser)
    >>> arguments = parser.parse_args(["arrow-of-time", "--set", "lr=0.5", "bf16=true"])
    >>> recipe = chosen_recipe(arguments, Path("nowhere"))
    >>> recipe.name, recipe.lr, recipe.bf16
    ('cpu_tiny', 0.5, True)
    """
    from vivit_lab.training.recipe import Recipe

    name, saved = arguments.recipe, folder / "recipe.json"
    if name is None and arguments.resume and saved.exists():
        recipe = Recipe.load(saved)
    elif name is not None and name.endswith(".json"):
        recipe = Recipe.load(name)
    else:
        default = "cpu_tiny" if is_rendered(arguments.data) else "small_data"
        recipe = Recipe.preset(name or default)
    changes = {}
    for change in arguments.set:
        field, equals, value = change.partition("=")
        if not equals:
            raise ValueError(f"--set {change!r} must be FIELD=VALUE, for example lr=0.01.")
        changes[field] = _value(value)
    return recipe.change(**changes)


def _count_or_share(text: str) -> int | float:
    return int(text) if text.isdigit() else float(text)


def _value(text: str) -> object:
    """As JSON says: numbers, true, false, null, [2, 9]; all else is a text."""
    try:
        return json.loads("null" if text == "None" else text.lower())
    except ValueError:
        return text


def _run(arguments: argparse.Namespace) -> int:
    from vivit_lab.training.finetune_setup import data_sets, start_model

    folder = arguments.folder
    if folder is None:
        folder = Path("runs", Path(arguments.data.replace(":", "-")).resolve().stem)
    recipe = chosen_recipe(arguments, folder)
    first = os.environ.get("RANK", "0") == "0"  # of the processes of `accelerate launch`
    train, validation = data_sets(arguments, recipe)
    model, report = start_model(arguments, recipe, train)
    if first and report is not None:
        print(report, file=sys.stderr)
    if arguments.show:
        _show(recipe, model)
        return 0
    if arguments.check:
        from vivit_lab.training.first_check import overfit_one_batch

        result = overfit_one_batch(model, train, device=arguments.device, seed=recipe.seed)
        print(result)
        return 0 if result.ok else 1

    from vivit_lab.training.loop import fit

    workers = arguments.workers
    if workers is None:  # rendering a clip is quicker than sending it
        workers = 0 if is_rendered(arguments.data) else min(8, os.cpu_count() or 1)
    with stop_asked_for() as stop:
        done = fit(
            model,
            train,
            validation,
            recipe=recipe,
            folder=folder,
            callback=stop,
            resume=arguments.resume,
            device=arguments.device,
            workers=workers,
            save_every=arguments.save_every,
            keep=arguments.keep,
            tensorboard=arguments.tensorboard,
        )
    if done.stopped:
        if first:
            print(
                f"Stopped after step {done.steps}, and saved. The same command with --resume goes "
                "on."
            )
        return 130
    if first:
        print(f"{done.steps} steps; weights, log and how to repeat it are in {done.folder}")
        print(evaluate_line(arguments, recipe, done.folder))
    return 0


@contextlib.contextmanager
def stop_asked_for() -> "Iterator[Callback]":
    """A callback that ends training, saved, after the first Ctrl-C, or the end of a job's time.

    The second Ctrl-C does what it always does: it ends the program at once.

    >>> with stop_asked_for() as callback:
    ...     callable(callback)
    True
    """
    asked = threading.Event()

    def ask(number: int, _frame: object) -> None:
        asked.set()
        signal.signal(number, before[number])
        print("\nStopping after this step, and saving; once more stops at once.", file=sys.stderr)

    def callback(moment: "Moment") -> None:
        moment.control.stop = asked.is_set()

    is_main = threading.current_thread() is threading.main_thread()  # none else may listen
    before = {
        number: signal.getsignal(number) or signal.SIG_DFL
        for number in ((signal.SIGINT, signal.SIGTERM) if is_main else ())
        if signal.getsignal(number) is not signal.SIG_IGN  # as of nohup, and of jobs behind &
    }
    for number in before:
        signal.signal(number, ask)
    try:
        yield callback
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def evaluate_line(arguments: argparse.Namespace, recipe: "Recipe", folder: Path) -> str:
    """The command that evaluates a run on its validation set, with the same frames and pixels.

    >>> from vivit_lab.training.recipe import Recipe
    >>> parser = argparse.ArgumentParser()
    >>> add_arguments(parser)
    >>> arguments = parser.parse_args(["train.csv", "--validation", "val.csv", "--segments"])
    >>> evaluate_line(arguments, Recipe.preset("small_data"), Path("runs/mine"))
    'python -m vivit_lab evaluate runs/mine val.csv --segments'
    """
    words = ["python", "-m", "vivit_lab", "evaluate", str(folder)]
    if is_rendered(arguments.data):
        return shlex.join([*words, arguments.data])
    words.append(arguments.validation or "DATA")
    for option in ("root", "format", "split", "fps", "stride"):
        value = getattr(arguments, option)
        if value is not None:
            words += [f"--{option}", str(value)]
    if arguments.segments:
        words.append("--segments")
    elif arguments.fps is None and arguments.stride is None and recipe.stride != STRIDE:
        words += ["--stride", str(recipe.stride)]
    if recipe.min_short_side != scaled_short_side(recipe.crop):
        words += ["--short-side", str(recipe.min_short_side)]
    return shlex.join(words)


def _show(recipe: "Recipe", model: object) -> None:
    from vivit_lab.analysis.cost import in_bytes
    from vivit_lab.training.memory import step_bytes
    from vivit_lab.training.recipe import Recipe

    paper = Recipe.preset("kinetics400_factorised_encoder")
    print(recipe)
    print(f"\nDifference to the paper's recipe:\n{recipe.difference(paper)}")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"\n{type(model).__name__}, {parameters:,} parameters")
    print(f"A step on one device takes about {in_bytes(step_bytes(model, recipe))} of memory.")

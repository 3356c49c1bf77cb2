"""`python -m vivit_lab check`: the command line of `check`."""

import argparse
import os
import sys
from pathlib import Path

DESCRIPTION = """\
Open every video, and say which cannot be used, why, and what to do: before a training run, not in
the middle of one. PATH is a folder of videos (any depth), an annotation file, or one video.
"""

EPILOG = """\
examples:
  python -m vivit_lab check clips/                     every video in a folder, and below it
  python -m vivit_lab check clips/ --full              decode every frame: slow, and certain
  python -m vivit_lab check clips/ --format folder     a folder per class: its balance, too
  python -m vivit_lab check train.csv --root videos/   Kinetics, EPIC-Kitchens, Moments, plain lists
  python -m vivit_lab check something-something-v2-train.json --root videos/
  python -m vivit_lab check train.csv --root videos/ --frames 32 --stride 2
                                                       name clips too short for 32 x 2, too
  python -m vivit_lab check clips/ > problems.txt      all of them, not a dozen of each kind

What is found is kept in NAME.check.jsonl in the current folder, a line of JSON a video. Ctrl-C
stops at once and loses nothing: the same command goes on, looking again at files that changed, hung
or crashed only.
exit status: 0 all is well, 1 something is wrong, 2 not understood or not possible, 130 interrupted
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("path", metavar="PATH", help="a folder, an annotation file, or a video")
    add("--root", metavar="FOLDER", help="where the videos of an annotation file are (beside it)")
    add("--format", metavar="NAME", help="of annotations (told by the content): kinetics, ssv2, "
        "epic, moments, ucf101, hmdb51, csv or folder")  # fmt: skip
    add("--classes", metavar="FILE", help="class names (the owners' file beside PATH)")
    add("--full", action="store_true", help="decode every frame of every video")
    add("--frames", metavar="N", type=int, help="name clips too short for N frames, too")
    add("--stride", metavar="N", type=int, default=2, help="taking every Nth (2)")
    add("--timeout", metavar="SECONDS", type=float, default=60.0,
        help="give a video up that takes longer to open, or for a frame (60)")  # fmt: skip
    add("--workers", metavar="N", type=int, help="processes (one a CPU, at most 8)")
    add("--report", metavar="FILE", help="what is known (NAME.check.jsonl, here)")
    add("--restart", action="store_true", help="look at every file, also at those known")


def run(arguments: argparse.Namespace) -> int:
    """Check, print, and return the exit status."""
    from vivit_lab.data.checking import CheckInterrupted, check

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names have all sorts of letters
    options = {name: value for name, value in vars(arguments).items() if name != "command"}
    path = options.pop("path")
    options["report"] = options["report"] or f"{Path(os.path.abspath(path)).name}.check.jsonl"
    try:
        outcome = check(path, **options)
    except CheckInterrupted as stopped:
        print(f"{stopped.report}\n\nS{str(stopped)[1:]}")
        return 130
    except (OSError, ValueError, RuntimeError) as error:
        print(f"check: {error}", file=sys.stderr)
        return 2
    print(outcome if sys.stdout.isatty() else outcome.text())
    return 0 if outcome.ok else 1

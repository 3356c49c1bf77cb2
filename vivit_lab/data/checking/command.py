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

The outcome is printed, and written to NAME.check.txt (the same in full) and NAME.check.jsonl (a
line of JSON a video, the worst first) in the current folder. Ctrl-C stops at once and loses
nothing: the same command goes on, looking again at files that changed, hung or crashed only.
exit status: 0 all is well, 1 something is wrong, 2 not understood or not possible, 130 interrupted
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("path", metavar="PATH", help="a folder, an annotation file, or a video")
    lists = parser.add_argument_group("annotation files")
    lists.add_argument(
        "--root", metavar="FOLDER", help="where the videos are (default: beside the file)"
    )
    lists.add_argument(
        "--format",
        metavar="NAME",
        help="kinetics, ssv2, epic, moments, ucf101, hmdb51, csv or folder (default: told by the "
        "content)",
    )
    lists.add_argument(
        "--classes", metavar="FILE", help="class names (default: the owners' file beside PATH)"
    )
    depth = parser.add_argument_group("how closely")
    depth.add_argument("--full", action="store_true", help="decode every frame of every video")
    depth.add_argument(
        "--frames", metavar="N", type=_whole, help="name clips too short for N frames, too"
    )
    depth.add_argument(
        "--stride", metavar="N", type=_whole, default=2, help="taking every Nth (default: 2)"
    )
    depth.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        help="give a video up after that long (default: 60, or 600 with --full)",
    )
    parser.add_argument(
        "--workers", metavar="N", type=_whole, help="processes (default: one a CPU, at most 8)"
    )
    parser.add_argument(
        "--report", metavar="FILE", help="where to write (default: NAME.check.jsonl, here)"
    )
    parser.add_argument(
        "--restart", action="store_true", help="look at every file, also at those known"
    )


def run(arguments: argparse.Namespace) -> int:
    """Check, print, and return the exit status."""
    from vivit_lab.data.checking.pool import WorkerError
    from vivit_lab.data.checking.records import ReportError
    from vivit_lab.data.checking.scan import CheckInterrupted, check

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names have all sorts of letters
    report = arguments.report or _default_report(arguments.path)
    try:
        outcome = check(
            arguments.path,
            root=arguments.root,
            format=arguments.format,
            classes=arguments.classes,
            full=arguments.full,
            frames=arguments.frames,
            stride=arguments.stride,
            workers=arguments.workers,
            timeout=arguments.timeout,
            report=report,
            restart=arguments.restart,
        )
    except CheckInterrupted as stopped:
        print(stopped.report)
        print(f"\nStopped. What was found is kept in {report}; the same command goes on from here.")
        return 130
    except KeyboardInterrupt:
        print("Stopped before the first video.", file=sys.stderr)
        return 130
    except (OSError, ValueError, ReportError, WorkerError) as error:
        print(f"check: {error}", file=sys.stderr)
        return 2
    print(outcome)
    return 0 if outcome.ok else 1


def _default_report(path: str) -> str:
    name = Path(os.path.abspath(path)).name or "root"
    return f"{name}.check.jsonl"


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds

"""The command line: `python -m vivit_lab doctor`, or `vivit-lab doctor`, and so on.

Each command is a module with `add_arguments(parser)` and `run(arguments) -> exit status`, imported
when its command is given.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # two at once: see Makefile

COMMANDS = {  # name -> (its module, what it does)
    "doctor": (
        "vivit_lab.doctor_command",
        "check this machine: versions, GPU, video, widgets, sample clips",
    ),
    "check": (
        "vivit_lab.data.check_command",
        "check videos: a folder, an annotation file, or one; which cannot be used, and why",
    ),
    "shard": (
        "vivit_lab.data.shard_command",
        "pack a data set that outgrows a disk into webdataset shards",
    ),
    "finetune": (
        "vivit_lab.training.finetune_command",
        "train a video transformer on your videos, from an image model, a checkpoint or nothing",
    ),
    "evaluate": (
        "vivit_lab.training.evaluate_command",
        "how good a model is: several views of each video, averaged",
    ),
}

EPILOG = """\
When a notebook misbehaves, start here:

  python -m vivit_lab doctor         what works on this machine, and what to do about the rest
  python -m vivit_lab check clips/   which of your videos cannot be used, and why

`python -m vivit_lab COMMAND --help` tells more, with examples. A command ends with exit status 0
when all is well, 1 when something needs doing, 2 when it was not understood.
In a notebook the same is one call away:  import vivit_lab; vivit_lab.doctor()
                                          from vivit_lab.data import check; check("clips/")
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0 well, 1 something to do, 2 not understood)."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        prog="python -m vivit_lab",
        description="ViViT Lab: learn video transformers by doing. The notebooks are the way in:"
        " `make lab` opens them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
    if arguments[:1] == ["study"]:
        parser.error("studies are run by a script now: python assets/run_studies.py")
    parsers = {
        name: commands.add_parser(name, help=what, allow_abbrev=False)
        for name, (_, what) in COMMANDS.items()
    }
    given = next((each for each in arguments if each in COMMANDS), None)
    if given is None:
        if not arguments:
            parser.print_help()
            return 0
        parser.parse_args(arguments)  # --help, or an unknown command
        parser.error("a command must come first.")
    module = importlib.import_module(COMMANDS[given][0])
    module.add_arguments(parsers[given])
    return module.run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())

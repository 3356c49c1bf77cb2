"""The command line: `python -m vivit_lab doctor`, or `vivit-lab doctor`."""

import argparse
import sys
from collections.abc import Sequence

EPILOG = """\
When a notebook misbehaves, start here:

  python -m vivit_lab doctor     what works on this machine, and what to do about the rest

It ends with exit status 0 when all is well, 1 when something needs doing.
In a notebook the same table is one call away:  import vivit_lab; vivit_lab.doctor()
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0 well, 1 something to do, 2 not understood)."""
    parser = argparse.ArgumentParser(
        prog="python -m vivit_lab",
        description="ViViT Lab: learn video transformers by doing. The notebooks are the way in:"
        " `make lab` opens them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
    commands.add_parser(
        "doctor",
        help="check this machine: versions, GPU, video, widgets, sample clips",
        description="Really run a little of everything that the notebooks need, and say in plain"
        " words what to do about what does not work. Exit status: 0 all well, 1 something to do.",
    )
    command = parser.parse_args(arguments).command
    if command is None:
        parser.print_help()
        return 0
    from vivit_lab.doctor import doctor

    report = doctor()
    print(report)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())

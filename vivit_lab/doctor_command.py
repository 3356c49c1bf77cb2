"""`python -m vivit_lab doctor`: the command line of `doctor`."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command; it takes no arguments."""
    parser.description = (
        "Really run a little of everything that the notebooks need, and say in plain words what to"
        " do about what does not work. Exit status: 0 all well, 1 something to do."
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the table, and return the exit status."""
    from vivit_lab.doctor import doctor

    report = doctor()
    print(report)
    return 0 if report.ok else 1

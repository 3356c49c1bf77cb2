"""`python -m vivit_lab`: the command line."""

import sys

from vivit_lab.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""`import vivit_lab` stays light: what it may not bring in, and what it costs beyond torch."""

import re
import subprocess
import sys

HEAVY = ["torchvision", "timm", "av", "matplotlib", "ipywidgets", "IPython", "fvcore", "PIL"]


def python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)


def test_import_brings_in_no_heavy_library():
    code = "import sys, torch; before = set(sys.modules); import vivit_lab; "
    code += "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    brought = python("-c", code).stdout.split()
    assert "vivit_lab" in brought
    assert not set(HEAVY) & set(brought)


def test_import_time_beyond_torch(record_property):
    done = python("-X", "importtime", "-c", "import torch; import vivit_lab")
    # "import time:  self [us] |  cumulative | name"; torch is loaded by then, so counts nothing
    cumulative = re.search(r"\|\s*(\d+) \| vivit_lab$", done.stderr, re.MULTILINE)
    seconds = int(cumulative[1]) / 1e6
    record_property("figure", f"import vivit_lab adds {seconds:.3f} s to import torch (goal: 1 s)")

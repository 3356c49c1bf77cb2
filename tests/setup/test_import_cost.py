"""`import vivit_lab` stays light, and no module ever stands in the place of a public name."""

import json
import re
import subprocess
import sys

HEAVY = {"torchvision", "timm", "av", "matplotlib", "ipywidgets", "IPython", "fvcore", "PIL"}


def python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)


def test_import_brings_in_no_heavy_library(record_property):
    code = "import sys, torch; before = set(sys.modules); import vivit_lab; "
    code += "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    done = python("-X", "importtime", "-c", code)
    assert "vivit_lab" in done.stdout.split() and not HEAVY & set(done.stdout.split())
    # "import time:  self [us] |  cumulative | name"; torch is loaded by then, so counts nothing
    cumulative = re.search(r"\|\s*(\d+) \| vivit_lab$", done.stderr, re.MULTILINE)
    seconds = int(cumulative[1]) / 1e6
    record_property("figure", f"import vivit_lab adds {seconds:.3f} s to import torch (goal: 1 s)")


EVERY_PUBLIC_NAME = """
import importlib, json, pkgutil, types, vivit_lab
modules = [importlib.import_module(found.name)
           for found in pkgutil.walk_packages(vivit_lab.__path__, "vivit_lab.")]
kinds = {}
for package in [vivit_lab, *modules]:
    for name in getattr(package, "__all__", ()):
        value = getattr(package, name)
        kind = "module" if isinstance(value, types.ModuleType) else "constant"
        kinds[f"{package.__name__}.{name}"] = "callable" if callable(value) else kind
print(json.dumps(kinds))
"""


def test_after_importing_every_submodule_all_public_names_are_what_they_were():
    """A file with the name of a function would put the module in the function's place."""
    kinds = json.loads(python("-c", EVERY_PUBLIC_NAME).stdout.splitlines()[-1])
    assert {"vivit_lab.doctor", "vivit_lab.training.fit", "vivit_lab.models.MODELS"} <= set(kinds)
    for name, kind in kinds.items():
        constant = name.rpartition(".")[2].isupper()
        assert kind == ("constant" if constant else "callable"), name

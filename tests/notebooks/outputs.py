"""What the cells of a notebook show in words, and whether two runs show the same."""

import math
import re
import shutil
import subprocess
from pathlib import Path

import nbformat
from build import FOLDER, WIDGET_VIEW, unexecuted

NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:e[+-]?\d+)?")
MEASURED = re.compile(r" *\d[\d.,]* (ms|s|min|GB|MB|GFLOP/s|threads)\b")  # differs by machine
SCRATCH = re.compile(r"\S*[/\\](tmp|vivit_lab_)\w{8}\b")  # a folder of tempfile's
# in the code of a cell that shows Python's version, the GPU, a speed, times beside such a speed
OF_THE_MACHINE = re.compile(r"vivit_lab\.doctor\(\)|machine = calibrate\(\)|machine=machine")
TRAINED = ("03", "07")  # a training in them rounds differently on another processor
EQUAL_ENOUGH, ANY = 0.02, math.inf
# no network: whoever tries to reach one is sent to a port where nobody listens
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
OFFLINE = {"HF_HUB_OFFLINE": "1"} | dict.fromkeys(PROXIES, "http://127.0.0.1:9")


def committed(source: Path, folder: Path = FOLDER) -> nbformat.NotebookNode:
    """A notebook as `make notebooks` left it.

    That is the file, as long as nobody has run or changed it: it has the source's cells, run once
    from top to bottom, and no live widget. Else it is the last one committed, where there is git:
    so answers and notes of a learner fail no test, and a developer need not commit before one.
    """
    file = folder / f"{source.stem}.ipynb"
    found = nbformat.read(file, as_version=4)
    counts = [cell.execution_count for cell in code_cells(found)]
    live = [
        o for cell in code_cells(found) for o in cell.outputs if WIDGET_VIEW in o.get("data", {})
    ]
    in_order = counts == list(range(1, len(counts) + 1))
    if in_step(found, source) and in_order and not live or not shutil.which("git"):
        return found
    command = ["git", "show", f"HEAD:./{file.name}"]
    shown = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8")
    return found if shown.returncode else nbformat.reads(shown.stdout, as_version=4)


def in_step(notebook: nbformat.NotebookNode, source: Path) -> bool:
    """Whether a notebook has the cells of this source."""
    found, wanted = (
        [(cell.cell_type, cell.source) for cell in each.cells]
        for each in (notebook, unexecuted(source))
    )
    return found == wanted


def code_cells(notebook: nbformat.NotebookNode) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tolerance(source: Path) -> float:
    """How far apart the numbers of two runs of this notebook may be, as a share."""
    return ANY if source.stem[:2] in TRAINED else EQUAL_ENOUGH


def differences(
    found: nbformat.NotebookNode, wanted: nbformat.NotebookNode, within: float
) -> list[str]:
    """What the cells of two runs print and return that is not the same, measurements aside."""
    pairs = zip(_texts(found), _texts(wanted), strict=True)
    return [
        line for number, pair in enumerate(pairs) if (line := _difference(number, *pair, within))
    ]


def _texts(notebook: nbformat.NotebookNode) -> list[str]:
    texts = []
    for cell in code_cells(notebook):
        words = ""
        for output in () if OF_THE_MACHINE.search(cell.source) else cell.outputs:
            data = output.get("data", {})
            if "image/jpeg" not in data and "<img" not in data.get("text/html", ""):  # no picture
                words += output.get("text") or data.get("text/plain", "")
        words = SCRATCH.sub("FOLDER", MEASURED.sub(" MEASURED", words))
        texts.append(re.sub(r"\s+", " ", words))
    return texts


def _difference(number: int, found: str, wanted: str, within: float) -> str:
    if NUMBER.sub("#", found) != NUMBER.sub("#", wanted):
        return f"code cell {number}: {found!r} is not {wanted!r}"
    for ours, theirs in zip(NUMBER.findall(found), NUMBER.findall(wanted), strict=True):
        a, b = (float(text.replace(",", "")) for text in (ours, theirs))
        if not math.isclose(a, b, rel_tol=within, abs_tol=1e-5):
            return f"code cell {number}: {ours} is not {theirs} in {found!r}"
    return ""

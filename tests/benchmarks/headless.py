"""Run a notebook without a browser, from its source, and keep what it printed.

With nbclient, jupytext and a kernel installed the report is the executed notebook. Without them
the code cells run one after another in a plain Python, and the report is a text: each cell's first
line, what it printed, and the seconds it took.

    python tests/benchmarks/headless.py notebooks/src/07_fine_tuning.py       the plain way
"""

import importlib.util
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

JUPYTER = ("jupytext", "nbformat", "nbclient", "ipykernel")


def run_notebook(
    source: Path, folder: Path, environment: Mapping[str, str], plain: bool = False
) -> tuple[Path, bool]:
    """Run all cells until one fails. Returns the report, and whether all went well.

    plain: without a kernel, even where there is one.
    """
    lacking = [name for name in JUPYTER if importlib.util.find_spec(name) is None]
    if not (plain or lacking):
        return _by_kernel(source, folder, environment)
    report = folder / f"{source.stem}.txt"
    with open(report, "w") as file:
        if lacking:
            print(f"run as plain Python; not installed: {', '.join(lacking)}", file=file)
        file.flush()
        command = [sys.executable, "-u", __file__, str(source)]
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
    return report, done.returncode == 0


def _by_kernel(source: Path, folder: Path, environment: Mapping[str, str]) -> tuple[Path, bool]:
    import jupytext
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook, well = jupytext.read(source), True
    report = folder / f"{source.stem}.ipynb"
    client = NotebookClient(notebook, timeout=3600, kernel_name="python3")
    try:
        client.execute(env=dict(environment))
    except CellExecutionError as error:
        print(error, file=sys.stderr)
        well = False
    finally:
        nbformat.write(notebook, report)  # as far as it came
    return report, well


def code_cells(text: str) -> list[tuple[int, str]]:
    """(number of its first line, source) of each code cell of a notebook in percent format.

    >>> code_cells("# %% [markdown]\\n# Title\\n# %%\\nx = 1\\n# %%\\nx\\n")
    [(4, 'x = 1\\n'), (6, 'x\\n')]
    """
    cells = []
    for match in re.finditer(r"^# %%(.*)\n((?:(?!# %%).*\n?)*)", text, re.MULTILINE):
        if "[markdown]" not in match[1] and match[2].strip():
            cells.append((text[: match.start(2)].count("\n") + 1, match[2]))
    return cells


def run_plainly(source: Path) -> int:
    """Run the cells in this process; the first error ends it, with its traceback."""
    space = {"__name__": "__main__"}
    for line, cell in code_cells(source.read_text(encoding="utf-8")):
        first = next(each for each in cell.splitlines() if each.strip())
        print(f"\n--- line {line}: {first}")
        begun = time.perf_counter()
        try:
            exec(compile("\n" * (line - 1) + cell, str(source), "exec"), space)
        except Exception:
            traceback.print_exc()
            return 1
        print(f"    ({time.perf_counter() - begun:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(run_plainly(Path(sys.argv[1])))

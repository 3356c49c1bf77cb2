"""Build notebooks/*.ipynb from notebooks/src/*.py, executed, with their outputs.

    make notebooks        or, for some:        python notebooks/build.py 02

The sources are the truth. A built notebook keeps what a reader without a kernel can see (text,
plots, the still of each explorer) and drops what only a running kernel could use.
"""

import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

from vivit_lab.widgets.surface import HIDE_LOST

FOLDER = Path(__file__).resolve().parent
SOURCES = sorted((FOLDER / "src").glob("*.py"))
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
TIMEOUT = 600  # seconds a cell


def unexecuted(source: Path) -> nbformat.NotebookNode:
    """The notebook of a source, without outputs; cells are numbered, so that a diff is small."""
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
    notebook.metadata = {
        "kernelspec": {
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python"},
    }
    return notebook


def execute(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Run all cells, top to bottom, in `folder`; the first error ends it."""
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        startup_timeout=TIMEOUT,
        iopub_timeout=TIMEOUT,  # by default what comes 4 s after a cell has ended is left out
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,  # how many pieces a text comes in is chance
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute()


def stripped(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without what needs a kernel: of an explorer the still is left, which is HTML.

    That is shown wherever HTML is, and the only way to keep the picture's alternative text.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text/html" in (data := output.get("data", {})):
                data["text/html"] = data["text/html"].replace(HIDE_LOST, "")
        if "outputs" in cell:
            cell.outputs = [o for o in cell.outputs if WIDGET_VIEW not in o.get("data", {})]
    notebook.metadata.pop("widgets", None)
    return notebook


def main(wanted: list[str]) -> None:
    for source in SOURCES:
        if wanted and not any(source.name.startswith(start) for start in wanted):
            continue
        start = time.monotonic()
        target = FOLDER / f"{source.stem}.ipynb"
        nbformat.write(stripped(execute(unexecuted(source), FOLDER)), target)
        seconds, size = time.monotonic() - start, target.stat().st_size / 1000
        print(f"{target.name}: {seconds:.0f} s, {size:.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

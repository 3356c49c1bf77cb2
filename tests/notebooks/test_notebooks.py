"""The committed notebooks: in step with their sources, fit for GitHub, and they run."""

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
sys.path.insert(0, str(FOLDER))
from build import SOURCES, WIDGET_VIEW, execute, stripped, unexecuted  # noqa: E402

every_notebook = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def committed(source: Path) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{source.stem}.ipynb", as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(notebook: nbformat.NotebookNode) -> list[str]:
    """What the cells print and return, without what may differ: times, free memory, rounding."""
    found = []
    for cell in code_cells(notebook):
        for output in cell.outputs:
            words = output.get("text") or output.get("data", {}).get("text/plain", "")
            words = re.sub(r" *\d+(\.\d+)? (m?s|GB)\b", " MEASURED", words)  # wider from 10 s on
            found.append(re.sub(r"\d(\.\d+)?e-0\d", "ROUNDING", words))
    return found


def test_there_is_a_notebook_for_each_source_and_no_other():
    assert [p.stem for p in sorted(FOLDER.glob("*.ipynb"))] == [p.stem for p in SOURCES]
    assert SOURCES


def test_a_still_says_that_controls_come_with_the_kernel_and_a_picture_does_not():
    explorer = {"image/jpeg": "AA==", "text/plain": "Box()", WIDGET_VIEW: {"model_id": "1"}}
    picture = {"image/jpeg": "AA==", "text/plain": "<Image>"}
    outputs = [nbformat.v4.new_output("execute_result", data) for data in (explorer, picture)]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=outputs)])
    first, second = (output.data for output in stripped(notebook).cells[0].outputs)
    assert "live controls" in first["text/plain"] and WIDGET_VIEW not in first
    assert second == picture


@every_notebook
def test_it_is_in_step_with_its_source(source):
    wanted = [(cell.cell_type, cell.source) for cell in unexecuted(source).cells]
    built = [(cell.cell_type, cell.source) for cell in committed(source).cells]
    assert built == wanted, f"{source.stem}: run `make notebooks`"


@every_notebook
def test_it_can_be_read_on_github(source):
    path = FOLDER / f"{source.stem}.ipynb"
    assert path.stat().st_size < 300_000
    notebook = committed(source)
    assert "widgets" not in notebook.metadata
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    assert not [o for o in outputs if WIDGET_VIEW in o.get("data", {})]
    assert any("image/jpeg" in o.get("data", {}) for o in outputs)  # the still of an explorer
    assert str(FOLDER.parent) not in json.dumps(notebook)  # no path of the machine that built it


@every_notebook
def test_it_has_what_every_notebook_has(source):
    text = "\n".join(cell.source for cell in committed(source).cells)
    for part in ("arxiv.org/abs/2103.15691", "minutes", "**Predict first", "CC BY 3.0"):
        assert part in text
    if not source.stem.startswith("00"):
        for part in ("## Exercises", "## What surprised people", "## Where next"):
            assert part in text


@every_notebook
def test_links_lead_somewhere(source):
    for cell in committed(source).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)#]+)\)", cell.source):
                if not target.startswith("http"):
                    assert (FOLDER / target).exists(), target


@every_notebook
def test_it_runs_twice_anywhere_with_the_same_result(source, tmp_path, monkeypatch):
    # no network: whoever tries to reach one is sent to a port where nobody listens
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    elsewhere = tmp_path / "some where else"
    elsewhere.mkdir()
    with ThreadPoolExecutor(2) as both:  # at once: a kernel leaves half of two cores idle
        first, second = both.map(
            lambda folder: texts(execute(unexecuted(source), folder)), (elsewhere, tmp_path)
        )
    assert first == second

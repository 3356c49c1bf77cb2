"""The committed notebooks: in step with their sources, fit for GitHub, and they run.

Each is run once, from a folder elsewhere, and must show what the committed one shows: in JupyterLab
by tests/browser, or here where there is no browser (`make test NO_BROWSER=1`).
"""

import json
import os
import re

import nbformat
import pytest
from build import FOLDER, SOURCES, WIDGET_VIEW, execute, stripped, unexecuted
from outputs import OFFLINE, code_cells, committed, differences, tolerance

every_notebook = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


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


def test_a_change_of_what_a_cell_shows_is_found():
    def notebook(text):
        output = nbformat.v4.new_output("stream", text=text)
        return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])])

    shown = notebook("12 tokens of 0.500 in 3.1 s, error 2e-07")
    assert not differences(shown, notebook("12  tokens of 0.504 in 14.0 s, error 3e-07"), 0.02)
    for other in ("12 tokens of 0.52 in 3 s, error 2e-07", "12 boxes of 0.500 in 3 s, error 2e-07"):
        assert differences(shown, notebook(other), 0.02)


@every_notebook
def test_it_is_in_step_with_its_source_and_can_be_read_on_github(source):
    notebook = committed(source)
    wanted, built = (
        [(cell.cell_type, cell.source) for cell in each.cells]
        for each in (unexecuted(source), notebook)
    )
    assert built == wanted, f"{source.stem}: run `make notebooks`"
    assert (FOLDER / f"{source.stem}.ipynb").stat().st_size < 300_000
    assert "widgets" not in notebook.metadata
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error" or WIDGET_VIEW in o.get("data", {})]
    assert any("image/jpeg" in o.get("data", {}) for o in outputs)  # the still of an explorer
    assert str(FOLDER.parent) not in json.dumps(notebook)  # no path of the machine that built it


@every_notebook
def test_it_has_what_every_notebook_has_and_its_links_lead_somewhere(source):
    texts = [cell.source for cell in committed(source).cells if cell.cell_type == "markdown"]
    wanted = ["arxiv.org/abs/2103.15691", "minutes", "**Predict first", "CC BY 3.0"]
    if not source.stem.startswith("00"):
        wanted += ["## Exercises", "## What surprised people", "## Where next"]
    for part in wanted:
        assert any(part in text for text in texts), part
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", "\n".join(texts)):
        assert (FOLDER / target).exists(), target


if os.environ.get("NO_BROWSER"):

    @every_notebook
    def test_it_runs_anywhere_and_shows_what_the_committed_one_shows(source, tmp_path, monkeypatch):
        for name, value in OFFLINE.items():
            monkeypatch.setenv(name, value)
        elsewhere = tmp_path / "some where else"
        elsewhere.mkdir()
        found = execute(unexecuted(source), elsewhere)
        assert differences(found, committed(source), tolerance(source)) == []

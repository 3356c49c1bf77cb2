"""The committed notebooks: in step with their sources, fit for GitHub, and they run.

Each is run once, from a folder elsewhere, and must show what the committed one shows: in JupyterLab
by tests/browser, or here where there is no browser (`make test NO_BROWSER=1`).
"""

import html
import json
import os
import re
import shutil
import subprocess

import nbformat
import pytest
from build import FOLDER, GLOSSARY, KOREAN, SOURCES, WIDGET_VIEW, execute, stripped, unexecuted
from nbconvert import HTMLExporter
from outputs import OFFLINE, code_cells, committed, differences, in_step, tolerance

from vivit_lab.widgets import TokenExplorer

TEXT = {"capture_output": True, "text": True}
every_notebook = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def test_there_is_a_notebook_for_each_source_and_none_is_committed_without():
    wanted = {f"{path.stem}.ipynb" for path in [*SOURCES, GLOSSARY]}
    wanted |= {f"ko/{path.stem}.ipynb" for path in KOREAN}
    found = {path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("**/*.ipynb")}
    assert wanted and wanted <= found
    command = ["git", "ls-files", "*.ipynb"]
    if (
        shutil.which("git")
        and not (found := subprocess.run(command, cwd=FOLDER, **TEXT)).returncode
    ):
        assert set(found.stdout.split()) <= wanted


def test_of_an_explorer_the_still_is_left_with_its_words_also_in_an_export():
    code = "from vivit_lab.widgets import TokenExplorer, film_strip; import numpy as np\n"
    code += "display(TokenExplorer()); film_strip({'noise': np.zeros((2, 3, 8, 8), np.uint8)})"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    (cell,) = stripped(execute(notebook, FOLDER)).cells
    assert [list(output.data) for output in cell.outputs] == [["text/html", "text/plain"]] * 2
    assert 'class="vl-still"' in cell.outputs[0].data["text/html"]
    assert "<style" not in cell.outputs[0].data["text/html"]
    exported, _ = HTMLExporter().from_notebook_node(notebook)
    words = re.findall(r'<img[^>]* alt="([^"]*)"', exported)
    assert len(words) == 2 and words[1] == "Frames in rows: noise (2 frames)."
    assert words[0] == html.escape(TokenExplorer().still().alt)


def test_what_is_tested_is_the_notebook_as_it_was_built(tmp_path):
    """Whatever a learner does with the file; and what a developer has built counts at once."""

    def git(*command):
        person = "-c", "user.name=A", "-c", "user.email=a@b.c"
        subprocess.run(["git", *person, *command], cwd=tmp_path, check=True, capture_output=True)

    def built(text):
        notebook, output = unexecuted(source), nbformat.v4.new_output("stream", text=text)
        for number, cell in enumerate(code_cells(notebook)):
            cell.execution_count, cell.outputs = number + 1, [output]
        return notebook

    def found(notebook):
        nbformat.write(notebook, tmp_path / "01_x.ipynb")
        return committed(source, tmp_path)

    def text(notebook):
        return notebook.cells[-1].outputs[0].text

    source = tmp_path / "01_x.py"
    source.write_text("# %% [markdown]\n# Title\n# %%\nx = 1\n# %%\nx\n")
    stored = built("stored")
    assert text(found(built("no git"))) == "no git"
    git("init", "-q")
    found(stored)
    git("add", ".")
    git("commit", "-q", "-m", "x")
    assert text(found(built("built anew, not yet committed"))) == "built anew, not yet committed"

    view = nbformat.v4.new_output("display_data", {WIDGET_VIEW: {"model_id": "1"}})
    for learned in (
        lambda note: note.cells[1].update(source="x = my_answer"),
        lambda note: note.cells[0].update(source="# My notes"),
        lambda note: note.cells.insert(1, nbformat.v4.new_code_cell("more()")),
        lambda note: note.cells[1].update(execution_count=7),
        lambda note: note.cells[1].update(execution_count=None, outputs=[]),
        lambda note: note.cells[1].outputs.append(view),
    ):
        notebook = built("learned")
        learned(notebook)
        assert text(found(notebook)) == "stored"

    source.write_text(source.read_text().replace("x = 1", "x = 2"))
    assert not in_step(found(stored), source)  # `make notebooks` was forgotten
    assert in_step(found(built("built of the new source")), source)


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
    assert in_step(notebook, source), f"{source.stem}: run `make notebooks`"
    assert len(nbformat.writes(notebook).encode()) < 500_000
    assert "widgets" not in notebook.metadata
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error" or WIDGET_VIEW in o.get("data", {})]
    shown = "".join(o.get("data", {}).get("text/html", "") for o in outputs)
    words = re.findall(r'<img class="vl-still"[^>]* alt="([^"]*)"', shown)
    assert all(words) and (words or source.stem[:2] in ("10", "11"))  # the stills of explorers
    assert str(FOLDER.parent) not in json.dumps(notebook)  # no path of the machine that built it


@every_notebook
def test_it_has_what_every_notebook_has_and_its_links_lead_somewhere(source):
    texts = [cell.source for cell in committed(source).cells if cell.cell_type == "markdown"]
    wanted = ["arxiv.org/abs/2103.15691", "minutes", "**Predict first"]
    if source.stem[:2] not in ("10", "11"):  # which show no picture
        wanted.append("CC BY 3.0")
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
        found = stripped(execute(unexecuted(source), elsewhere))
        assert differences(found, committed(source), tolerance(source)) == []

"""A notebook is run, saved, and opened again when its kernel has gone: its pictures are there."""

import shutil
import subprocess
from functools import partial

import nbformat
import pytest
import test_notebooks
from build import SOURCES
from lab import ARTEFACTS, ROOT, open_and_run, open_notebook, stop_kernels
from outputs import committed

SOURCE = SOURCES[2]
LOST = "Error displaying widget"
MODEL = "window.jupyterapp.shell.currentWidget.context.model"
EXPLORERS = """() => window.jupyterapp.shell.currentWidget.content.widgets.flatMap((cell, i) =>
    JSON.stringify(cell.model.toJSON().outputs ?? []).includes('vl-still') ? [i] : [])"""
GO_TO = """number => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = number;
    return notebook.scrollToItem(number, 'start');
}"""


@pytest.fixture(scope="module")
def saved(address, folder, new_page):
    """Its file, after it was opened, run, given another cell, saved, and left by its kernel."""
    page, path = new_page, f"notebooks/{SOURCE.stem}.ipynb"
    open_notebook(page, address, path)
    page.wait_for_timeout(2000)
    assert not page.evaluate(f"{MODEL}.dirty"), "opening alone has changed it"
    open_and_run(page, address, SOURCE)
    page.locator(".jp-MarkdownCell").first.click()
    page.keyboard.press("b")
    page.keyboard.press("Control+s")
    page.wait_for_function(f"!{MODEL}.dirty")
    stop_kernels(address)
    open_notebook(page, address, path)
    return folder / path


def test_a_picture_is_in_every_explorers_cell_and_no_error(saved, new_page):
    page = new_page
    numbers = page.evaluate(EXPLORERS)
    assert numbers
    for number in numbers:
        page.evaluate(GO_TO, number)
        page.get_by_text(LOST).first.wait_for(
            state="attached", timeout=60_000
        )  # hidden, it must be
        page.screenshot(path=ARTEFACTS / f"browser-saved-{number}.png")
        stills = page.locator(".jp-Cell.jp-mod-active img.vl-still").all()
        assert stills and all(each.bounding_box()["height"] >= 300 for each in stills)
        assert not any(each.is_visible() for each in page.get_by_text(LOST).all())


def test_the_notebooks_tests_pass_on_what_was_saved(saved, tmp_path, monkeypatch):
    if not (ROOT / ".git").exists():
        pytest.skip("no git to get the committed notebooks from")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--shared", ROOT, clone], check=True)
    shutil.copy(saved, clone / "notebooks")
    theirs = partial(committed, folder=clone / "notebooks")
    assert theirs(SOURCE) != nbformat.read(saved, as_version=4)
    monkeypatch.setattr(test_notebooks, "committed", theirs)
    test_notebooks.test_it_is_in_step_with_its_source_and_can_be_read_on_github(SOURCE)
    test_notebooks.test_it_has_what_every_notebook_has_and_its_links_lead_somewhere(SOURCE)

"""The training cockpit in a real JupyterLab: it trains while the kernel answers, and obeys."""

import re

import nbformat
import pytest
from lab import ARTEFACTS, open_notebook, picture, wait_until
from playwright.sync_api import Locator, Page

NOTEBOOK = "cockpit.ipynb"
CELLS = (
    """\
import tempfile, torch
from vivit_lab import build_model
from vivit_lab.data import ArrowOfTime
from vivit_lab.training import Recipe, StoredRun
from vivit_lab.widgets import TrainingCockpit
torch.manual_seed(0)
recipe = Recipe.preset("cpu_tiny", batch=16, epochs=60)
folder = tempfile.mkdtemp() + "/run"
cockpit = TrainingCockpit(build_model(recipe.config()), ArrowOfTime(512, 8),
                          ArrowOfTime(32, 8, seed=1), recipe=recipe, folder=folder)
cockpit""",
    "print('answer', 6 * 7, cockpit.state, cockpit.lr.value)",
    "run = cockpit.wait(); print('stopped', run.stopped, run.steps > 0)",
    "TrainingCockpit.replay(StoredRun.of(folder))",
    "cockpit.refresh(); print('drawn')",
)


@pytest.fixture(scope="module")
def page(folder, address, new_page):
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, CELLS)))
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "name": "python3"}
    nbformat.write(notebook, folder / NOTEBOOK)
    page = new_page
    open_notebook(page, address, NOTEBOOK)
    yield page
    page.screenshot(path=ARTEFACTS / "browser-cockpit-last.png")


def cell(page: Page, number: int) -> Locator:
    return page.locator(".jp-CodeCell").nth(number)


def run(page: Page, number: int) -> None:
    cell(page, number).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")


def answer(page: Page, number: int, seconds: float = 60) -> str:
    """Run a cell and return what it prints."""
    output = cell(page, number).locator(".jp-OutputArea-output pre")
    prompt = cell(page, number).locator(".jp-InputPrompt")
    before = prompt.inner_text()
    run(page, number)
    page.wait_for_function(
        "([node, before]) => /\\d/.test(node.textContent) && node.textContent !== before",
        arg=[prompt.element_handle(), before],
        timeout=seconds * 1000,
    )
    return output.first.inner_text(timeout=seconds * 1000)


def explorer(page: Page, number: int = 0) -> Locator:
    return cell(page, number).locator(".vivit-lab-explorer")


def button(page: Page, words: str) -> Locator:
    return explorer(page).locator("button:enabled", has_text=words)


def wait_for_other(page: Page, before: bytes, number: int = 0) -> bytes:
    return wait_until(page, explorer(page, number), lambda shown: shown != before)


def test_a_training_in_the_browser(page):
    run(page, 0)
    explorer(page).locator(".vl-stage[data-drawn]").wait_for(timeout=240_000)
    ready = picture(explorer(page))
    button(page, "Start").click()
    moving = wait_for_other(page, wait_for_other(page, ready))
    wait_for_other(page, moving)

    said = answer(page, 1)  # another cell runs meanwhile
    assert re.match(r"answer 42 (training|validating) 1$", said.strip())
    wait_for_other(page, picture(explorer(page)))
    page.screenshot(path=ARTEFACTS / "browser-cockpit-training.png")

    row = explorer(page).locator(".widget-hslider", has=page.get_by_text("learning rate"))
    row.locator(".noUi-handle").focus()
    page.keyboard.press("ArrowLeft")
    row.locator(".widget-readout", has_text="× 0.5").wait_for(timeout=60_000)
    assert answer(page, 1).strip().endswith(" 0.5")

    button(page, "Pause").click()
    button(page, "Go on").wait_for(timeout=60_000)
    for _ in range(60):  # a step, or a validation, ends first
        if "paused" in answer(page, 1):
            break
        page.wait_for_timeout(1000)
    assert answer(page, 4).strip() == "drawn"  # after whatever the training had still to draw
    paused = picture(explorer(page))
    page.wait_for_timeout(1500)
    assert picture(explorer(page)) == paused
    assert "paused" in answer(page, 1)
    page.screenshot(path=ARTEFACTS / "browser-cockpit-paused.png")

    button(page, "Go on").click()
    wait_for_other(page, paused)
    run(page, 2)  # waits in the kernel, and the picture moves on
    wait_for_other(page, wait_for_other(page, picture(explorer(page))))
    button(page, "Stop").click()
    said = cell(page, 2).locator(".jp-OutputArea-output pre", has_text="stopped True True")
    said.wait_for(timeout=60_000)
    button(page, "Go on").wait_for(timeout=60_000)

    run(page, 3)
    explorer(page, 3).locator(".vl-stage[data-drawn]").wait_for(timeout=60_000)
    explorer(page, 3).scroll_into_view_if_needed()
    last = picture(explorer(page, 3))
    explorer(page, 3).locator(".jupyter-widget-play button, .widget-play button").first.click()
    wait_for_other(page, wait_for_other(page, last, 3), 3)
    page.screenshot(path=ARTEFACTS / "browser-cockpit-replay.png")
    assert page.locator(".jp-OutputArea-output[data-mime-type*='error']").count() == 0
    assert page.get_by_text("Traceback").count() == 0

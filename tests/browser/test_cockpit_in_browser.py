"""The training cockpit in a real JupyterLab: it trains while the kernel answers, and obeys."""

import os
import re
import signal

import nbformat
import pytest
from lab import ARTEFACTS, drawn, open_notebook, picture, wait_until, words
from playwright.sync_api import ElementHandle, Locator, Page

NOTEBOOK = "cockpit.ipynb"
CELLS = (
    """\
import os, tempfile, torch
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
    "cockpit.refresh(); print('drawn', os.getpid())",
)
CONTENT = "window.jupyterapp.shell.currentWidget.content"
CHANGED = "([canvas, said]) => canvas.getAttribute('aria-label') !== said"


@pytest.fixture(scope="module")
def page(folder, address, new_page):
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, CELLS)))
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "name": "python3"}
    nbformat.write(notebook, folder / NOTEBOOK)
    page = new_page
    open_notebook(page, address, NOTEBOOK)
    yield page
    page.screenshot(path=ARTEFACTS / "browser-cockpit-last.png")


def canvas(shown: Locator) -> ElementHandle:
    return shown.locator("canvas").first.element_handle()


def step_of(said: str) -> int:
    return int(re.search(r"step (\d+) of", said)[1])


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


def hover(page: Page, number: int, across: float, down: float) -> None:
    stage = explorer(page, number).locator(".vl-stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])


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
    before = drawn(explorer(page))
    page.wait_for_timeout(10_000)
    assert drawn(explorer(page)) - before >= 10, "a picture a second"

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
    assert "drawn" in answer(page, 4)  # after whatever the training had still to draw
    paused = picture(explorer(page))
    page.wait_for_timeout(1500)
    assert picture(explorer(page)) == paused
    assert "paused" in answer(page, 1)
    hover(page, 0, 0.1, 0.3)  # a step in all charts
    tip = explorer(page).locator(".vl-tip").inner_text()
    assert re.fullmatch(
        r"step \d+, epoch 1\nloss [\d.]+\naccuracy [\d.]+%\nlearning rate [\d.e-]+\n[\d,]+ clips/s",
        tip,
    )
    hover(page, 0, 0.075, 0.96)  # below them: before the first epoch
    page.mouse.down(), page.mouse.up()
    epoch = explorer(page).locator(".widget-hslider", has_text="after epoch")
    epoch.locator(".widget-readout", has_text=re.compile("^0$")).wait_for(timeout=60_000)
    explorer(page).get_by_role("button", name="Play", exact=True).click()
    epoch.locator(".widget-readout", has_text=re.compile("^1$")).wait_for(timeout=60_000)
    explorer(page).locator(".vl-bar").get_by_label("Pause", exact=True).click()
    paused = picture(explorer(page))
    page.screenshot(path=ARTEFACTS / "browser-cockpit-paused.png")

    button(page, "Go on").click()
    wait_for_other(page, paused)
    run(page, 2)  # waits in the kernel, and the picture moves on
    wait_for_other(page, wait_for_other(page, picture(explorer(page))))
    button(page, "Stop").click()
    said = cell(page, 2).locator(".jp-OutputArea-output pre", has_text="stopped True True")
    said.wait_for(timeout=60_000)
    button(page, "Go on").wait_for(timeout=60_000)
    stored = f"{CONTENT}.widgets[0].model.toJSON().outputs[0].data['text/plain']"
    page.wait_for_function(f"String({stored}).includes('. stopped: ')", timeout=60_000)
    assert page.evaluate(stored) == words(explorer(page))


def test_a_replay_plays_pauses_stays_and_is_moved_by_keys(page):
    run(page, 3)
    shown = explorer(page, 3)
    shown.locator(".vl-stage[data-drawn]").wait_for(timeout=60_000)
    shown.scroll_into_view_if_needed()
    last = words(shown)
    shown.get_by_role("button", name="Play", exact=True).click()
    for before in (last, words(shown)):  # to its start, and on
        page.wait_for_function(CHANGED, arg=[canvas(shown), before])
    shown.get_by_role("button", name="Pause", exact=True).click()
    page.wait_for_timeout(1000)  # what was under way
    paused, step = words(shown), step_of(words(shown))
    assert 0 < step < step_of(last)
    page.wait_for_timeout(1000)
    assert words(shown) == paused
    canvas(shown).focus()
    for key in ("ArrowRight", " "):  # a step further; on to the end, where it stays
        before = words(shown)
        page.keyboard.press(key)
        page.wait_for_function(CHANGED, arg=[canvas(shown), before])
    page.wait_for_function(
        "([canvas, last]) => canvas.getAttribute('aria-label') === last",
        arg=[canvas(shown), last],
        timeout=60_000,
    )
    shown.get_by_role("button", name="Play", exact=True).wait_for()
    page.screenshot(path=ARTEFACTS / "browser-cockpit-replay.png")
    assert page.locator(".jp-OutputArea-output[data-mime-type*='error']").count() == 0
    assert page.get_by_text("Traceback").count() == 0


def test_pictures_say_that_their_kernel_has_ended(page):
    lost = page.locator(".vl-lost")
    assert lost.count() >= 2 and not any(each.is_visible() for each in lost.all())
    os.kill(int(answer(page, 4).split()[1]), signal.SIGKILL)
    page.get_by_role("button", name="Ok").click(timeout=60_000)  # JupyterLab says that it restarts
    for number in (0, 3):
        explorer(page, number).scroll_into_view_if_needed()
        said = explorer(page, number).locator(".vl-lost")
        said.wait_for(timeout=60_000)
        assert re.match(r"No kernel: this picture is of \d\d:\d\d", said.inner_text())

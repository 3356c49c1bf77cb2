"""Notebook 03 in a real JupyterLab: move the token, and step through Model 4 by keyboard."""

import pytest
from build import SOURCES
from lab import ARTEFACTS, open_and_run, wait_for_picture
from playwright.sync_api import Locator, Page

from vivit_lab.widgets import HalfHeadsStepper, PatternExplorer

PATTERNS, STEPPER = 0, 1  # the explorers, in the notebook's order


@pytest.fixture(scope="module")
def page(address, new_page):
    open_and_run(new_page, address, SOURCES[3])  # it trains a model
    return new_page


def explorer(page: Page, which: int) -> Locator:
    """One of the notebook's explorers, on the screen; JupyterLab may have put its cell away."""
    title = ("One query, four models", "Model 4, slowly")[which]
    page.get_by_role("heading", name=title).first.scroll_into_view_if_needed()
    found = page.locator(".vivit-lab-explorer").filter(
        has=page.get_by_text(("Query token", "Our token")[which], exact=True)
    )
    found.scroll_into_view_if_needed()
    return found


def handle(page: Page, box: Locator, label: str) -> Locator:
    row = box.locator(".widget-hslider", has=page.get_by_text(label, exact=True))
    return row.locator(".noUi-handle")


def test_the_token_moves_by_keyboard_and_the_patterns_follow(page):
    box = explorer(page, PATTERNS)
    reference = PatternExplorer("rabbit", frames=8, stage="1 block")
    wait_for_picture(page, box, reference)
    for label, slider in (("time step", reference.step), ("column", reference.column)):
        handle(page, box, label).focus()
        page.keyboard.press("ArrowLeft")
        slider.value -= 1
        wait_for_picture(page, box, reference)
    handle(page, box, "stage").focus()
    page.keyboard.press("ArrowRight")
    reference.stage.value = "2 blocks"
    wait_for_picture(page, box, reference)
    page.screenshot(path=ARTEFACTS / "browser-03-patterns.png")


def test_model_4_is_stepped_through_by_keyboard(page):
    box = explorer(page, STEPPER)
    reference = HalfHeadsStepper("moves right")
    wait_for_picture(page, box, reference)
    box.get_by_role("button", name="Next").focus()
    page.keyboard.press("Enter")
    reference.next.click()
    wait_for_picture(page, box, reference)
    page.keyboard.press("Enter")  # the button keeps the focus
    reference.next.click()
    wait_for_picture(page, box, reference)
    handle(page, box, "step").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
        reference.step.value += 1
    wait_for_picture(page, box, reference)
    handle(page, box, "row").focus()
    page.keyboard.press("ArrowRight")
    reference.place[1].value += 1
    wait_for_picture(page, box, reference)
    page.screenshot(path=ARTEFACTS / "browser-03-stepper.png")
    assert page.get_by_text("Traceback").count() == 0

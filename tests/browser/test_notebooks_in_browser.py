"""Notebooks in a real JupyterLab: they run, and their sliders lead there and back."""

import io

import pytest
from build import SOURCES
from lab import ARTEFACTS, is_like, open_and_run, picture, stop_kernels, wait_until, words
from PIL import Image
from playwright.sync_api import Locator, Page

SLIDERS = {  # of a notebook, by number: those whose every step changes the picture
    4: ("block", "head"),
    5: ("frames", "views", "model size"),
    6: ("motion", "tubelet t"),
    8: ("video",),
}
OTHERS = [number for number in range(len(SOURCES)) if number not in (2, 3)]  # these have a file


def explorer(page: Page) -> Locator:
    return page.locator(".vivit-lab-explorer").first


def slider(page: Page, label: str) -> Locator:
    return explorer(page).locator(".widget-hslider", has=page.get_by_text(label, exact=True))


def ways(page: Page, label: str) -> tuple[str, str]:
    """A key that moves this slider, and the key that leads back."""
    handle = slider(page, label).locator(".noUi-handle")
    if handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemin"):
        return "ArrowRight", "ArrowLeft"
    return "ArrowLeft", "ArrowRight"


def press(page: Page, label: str, key: str) -> None:
    """One key on a slider; returns when its readout has followed."""
    row = slider(page, label)
    readout = row.locator(".widget-readout")
    before = readout.inner_text()
    row.locator(".noUi-handle").focus()
    page.keyboard.press(key)
    page.wait_for_function(
        "([node, before]) => node.textContent !== before",
        arg=[readout.element_handle(), before],
        timeout=60_000,
    )


@pytest.mark.parametrize("number", OTHERS, ids=lambda number: SOURCES[number].stem)
def test_it_runs_and_its_sliders_lead_there_and_back(address, new_page, number):
    page = new_page
    open_and_run(page, address, SOURCES[number])
    if SOURCES[number].stem[:2] not in ("10", "11"):  # these have none
        explorer(page).scroll_into_view_if_needed()
    for label in SLIDERS.get(number, ()):
        start, said = picture(explorer(page)), words(explorer(page))
        first, back = ways(page, label)
        press(page, label, first)
        wait_until(page, explorer(page), lambda shown, start=start: shown != start)
        press(page, label, back)
        start = Image.open(io.BytesIO(start)).convert(
            "RGB"
        )  # its width may have changed with a scroll bar
        wait_until(page, explorer(page), lambda shown, start=start: is_like(shown, start))
        assert words(explorer(page)) == said
    page.screenshot(path=ARTEFACTS / f"browser-{number:02}.png")
    assert page.get_by_text("Traceback").count() == 0
    stop_kernels(address)

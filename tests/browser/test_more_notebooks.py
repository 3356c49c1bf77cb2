"""Notebooks 04 to 06 in a real JupyterLab: they run, and their sliders lead there and back."""

import hashlib

import pytest
from lab import ROOT, chromium_page, jupyter, open_and_run
from playwright.sync_api import Locator, Page

ARTEFACTS = ROOT / "artefacts"
SLIDERS = {  # notebook: sliders whose every step changes the picture
    "04_attention_maps": ("block", "head"),
    "05_flops": ("frames", "views", "model size"),
    "06_inflation": ("motion", "tubelet t"),
}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    ARTEFACTS.mkdir(exist_ok=True)
    with jupyter(tmp_path_factory.mktemp("lab")) as address:
        yield address


def explorer(page: Page) -> Locator:
    return page.locator(".vivit-lab-explorer").first


def picture(page: Page) -> str:
    """A fingerprint of the picture that the browser shows."""
    image = explorer(page).locator("img").element_handle()
    data = image.evaluate(
        """async image => {
            const file = await fetch(image.src);
            return Array.from(new Uint8Array(await file.arrayBuffer()));
        }"""
    )
    return hashlib.sha256(bytes(data)).hexdigest()


def press(page: Page, label: str, key: str) -> None:
    """One key on a slider; returns when its readout has followed."""
    row = explorer(page).locator(".widget-hslider", has=page.get_by_text(label, exact=True))
    readout = row.locator(".widget-readout")
    before = readout.inner_text()
    row.locator(".noUi-handle").focus()
    page.keyboard.press(key)
    page.wait_for_function(
        "([node, before]) => node.textContent !== before",
        arg=[readout.element_handle(), before],
        timeout=10_000,
    )


def wait_for(page: Page, wanted: bool, fingerprint: str) -> None:
    """Until the picture is (or is no longer) the one with this fingerprint."""
    for _ in range(100):
        if (picture(page) == fingerprint) == wanted:
            return
        page.wait_for_timeout(100)
    pytest.fail("the picture does not follow the slider")


@pytest.mark.parametrize("notebook", SLIDERS)
def test_it_runs_and_its_sliders_lead_there_and_back(address, notebook):
    with chromium_page() as page:
        open_and_run(page, address, f"{notebook}.ipynb")
        assert page.locator(".jp-OutputArea-output[data-mime-type*='error']").count() == 0
        assert page.get_by_text("Error displaying widget").count() == 0
        explorer(page).scroll_into_view_if_needed()
        for label in SLIDERS[notebook]:
            start = picture(page)
            first, back = ("ArrowLeft", "ArrowRight")
            if label == "head":  # it starts at its first option
                first, back = back, first
            press(page, label, first)
            wait_for(page, False, start)
            press(page, label, back)
            wait_for(page, True, start)
        page.screenshot(path=ARTEFACTS / f"browser-{notebook[:2]}.png")
        assert page.get_by_text("Traceback").count() == 0

"""Notebook 02 in a real JupyterLab: an arrow key on a slider changes picture and token count."""

from pathlib import Path

import pytest
from build import SOURCES
from lab import ARTEFACTS, is_like, open_and_run, picture, wait_for_picture
from playwright.sync_api import Page

from vivit_lab.widgets import TokenExplorer


@pytest.fixture(scope="module")
def page(address, new_page):
    open_and_run(new_page, address, SOURCES[2])
    yield new_page
    new_page.screenshot(path=ARTEFACTS / "browser-02-last.png")


def explorer(page: Page):
    return page.locator(".vivit-lab-explorer").first


def expected(**fields) -> TokenExplorer:
    reference = TokenExplorer("rabbit", frames=16)
    for name, value in fields.items():
        getattr(reference, name).value = value
    return reference


def slider(page: Page, label: str):
    row = explorer(page).locator(".widget-hslider", has=page.get_by_text(label, exact=True))
    return row.locator(".noUi-handle"), row.locator(".widget-readout")


def wait_for_readout(page: Page, label: str, value: str) -> None:
    _, readout = slider(page, label)
    page.wait_for_function(
        "([node, value]) => node.textContent.trim() === value",
        arg=[readout.element_handle(), value],
        timeout=60_000,
    )


def test_arrow_keys_on_the_tubelet_slider_change_picture_and_token_count_up_to_its_ends(page):
    wait_for_picture(page, explorer(page), expected())
    explorer(page).scroll_into_view_if_needed()
    page.screenshot(path=ARTEFACTS / "browser-02-before.png")
    handle, readout = slider(page, "tubelet t")
    token_handle, _ = slider(page, "token")
    assert readout.inner_text() == "2"
    assert token_handle.get_attribute("aria-valuemax") == "1567.0"  # 8 · 14 · 14 tokens

    handle.focus()
    page.keyboard.press("ArrowRight")

    wait_for_readout(page, "tubelet t", "4")
    wait_for_picture(page, explorer(page), expected(tubelet_t=4))
    other = expected().picture.canvas.image()
    assert not is_like(picture(explorer(page)), other)  # a difference that can be seen
    assert token_handle.get_attribute("aria-valuemax") == "783.0"  # 4 · 14 · 14 tokens
    page.screenshot(path=ARTEFACTS / "browser-02-after.png")

    for key, end in (("ArrowRight", "16"), ("ArrowLeft", "1")):
        for _ in range(6):
            page.keyboard.press(key)
        wait_for_readout(page, "tubelet t", end)
    wait_for_picture(page, explorer(page), expected(tubelet_t=1))


def test_moving_fast_leaves_sliders_and_picture_together(page):
    """Threads, and what a slider's new range makes the browser send back, must not part them."""
    for label, keys in (
        ("frames", ("ArrowRight",) * 4 + ("ArrowLeft",) * 5 + ("ArrowRight",) * 2),
        ("tubelet t", ("ArrowRight",) * 6 + ("ArrowLeft",) * 3),
    ):
        handle, _ = slider(page, label)
        handle.focus()
        for key in keys:
            page.keyboard.press(key)
    labels = ("frames", "tubelet t", "kept frames", "token", "pixel: frame", "row", "column")
    before = None
    for _ in range(60):  # until the kernel has worked off all keys
        page.wait_for_timeout(1000)
        values = {label: int(slider(page, label)[1].inner_text()) for label in labels}
        if values["frames"] == 12 and values == before:
            break
        before = values
    assert values["frames"] == 12
    assert (values["row"], values["column"]) == (112, 112)  # the pixel under the lens stays
    reference = TokenExplorer(
        "rabbit",
        frames=12,
        tubelet=(values["tubelet t"], 16, 16),
        sampled_frames=values["kept frames"],
    )
    for control, label in zip(reference.voxel, labels[-3:], strict=True):
        control.value = values[label]
    assert values["token"] == reference.token.value
    wait_for_picture(page, explorer(page), reference)


def test_a_bad_path_and_a_bad_upload_are_said_in_place_without_a_traceback(page, tmp_path: Path):
    field = explorer(page).locator("input[placeholder*='path of a video']")
    field.fill("/no/such/clip.mp4")
    field.press("Enter")
    message = explorer(page).get_by_text("/no/such/clip.mp4: there is no such file")
    message.wait_for(timeout=60_000)
    page.screenshot(path=ARTEFACTS / "browser-02-bad-path.png")
    fake = tmp_path / "holiday.mp4"
    fake.write_text("Dear diary, " * 50)
    with page.expect_file_chooser() as chooser:
        explorer(page).locator(".widget-upload").click()
    chooser.value.set_files(fake)
    explorer(page).get_by_text("holiday.mp4: this is a text file").wait_for(timeout=60_000)
    assert page.get_by_text("Traceback").count() == 0

"""Notebook 02 in a real JupyterLab: an arrow key on a slider changes picture and token count."""

from pathlib import Path

import pytest
from build import SOURCES
from lab import ARTEFACTS, is_like, open_and_run, picture, wait_for_picture
from playwright.sync_api import Page

from vivit_lab.data import sample
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


def test_drop_down_message_and_picture_agree_on_a_video_of_ones_own(page, tmp_path: Path):
    box, film = explorer(page), sample("bars").read_bytes()
    chosen = box.locator(".widget-dropdown select").first
    own = box.get_by_role("button", name="own …")
    assert not box.locator(".widget-upload").is_visible()  # folded
    own.focus()
    page.keyboard.press("Enter")

    def shows(name: str, trouble: str = "") -> None:
        """In the drop-down, in the picture and, where a file is no video, in the message."""
        box.locator(f"canvas[aria-label*='{name}']").first.wait_for(timeout=60_000)
        page.wait_for_function(
            "([node, name]) => node.selectedOptions[0]?.textContent === name",
            arg=[chosen.element_handle(), name],
            timeout=60_000,
        )
        if trouble:
            said = box.get_by_text(trouble).filter(has_text=f"The picture still shows {name}.")
            said.wait_for(timeout=60_000)
        else:
            assert box.get_by_text("still shows").count() == 0

    def upload(name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        with page.expect_file_chooser() as chooser:
            box.locator(".widget-upload").click()
        chooser.value.set_files(tmp_path / name)

    field = box.locator("input[placeholder*='path of a video']")
    field.fill("/no/such/clip.mp4")
    field.press("Enter")
    shows("rabbit", "/no/such/clip.mp4: there is no such file")
    upload("holiday.mp4", film)
    shows("holiday.mp4")
    page.screenshot(path=ARTEFACTS / "browser-02-own-video.png")
    for name, content in (
        ("diary.mp4", b"Dear diary, " * 50),
        ("nothing.mp4", b""),
        ("cut.mp4", film[: len(film) // 2]),
    ):
        upload(name, content)
        shows("holiday.mp4", name)
    chosen.select_option("rabbit")
    shows("rabbit")
    upload("holiday.mp4", film)  # once more
    shows("holiday.mp4")
    assert page.get_by_text("Traceback").count() == 0

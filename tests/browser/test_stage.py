"""The stage in the browser, whatever happens to it: straying drags, quick keys, two views, losses.

One explorer in a notebook that the test writes, shown by two cells.
"""

from pathlib import Path

import nbformat
import pytest
from lab import drawn, open_notebook, run_all, run_cell, wait_for_drawing, words
from playwright.sync_api import Locator, Page

CELLS = (
    "from vivit_lab.widgets import TokenExplorer\n"
    "explorer = TokenExplorer('crossing', frames=8)\nexplorer",
    "explorer",
    "explorer.tubelet_t.value = 6 - explorer.tubelet_t.value",  # 2 or 4
    "def fail(): raise ValueError('nothing to see')\nexplorer.draw = fail\nexplorer.refresh()",
    "del explorer.draw\nexplorer.refresh()",
)
AGAIN, CHANGE, BREAK, MEND = 1, 2, 3, 4


@pytest.fixture(scope="module")
def page(folder, address, new_page):
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, CELLS)))
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "name": "python3"}
    nbformat.write(notebook, folder / "stage.ipynb")
    open_notebook(new_page, address, "stage.ipynb")
    run_all(new_page, len(CELLS))
    new_page.evaluate(Path(__file__).with_name("touch.js").read_text())
    return new_page


def view(page: Page, number: int) -> Locator:
    """One of the two, in sight."""
    found = page.locator(".vivit-lab-explorer").nth(number)
    found.evaluate("node => node.scrollIntoView({block: 'start'})")
    found.locator(".vl-stage[data-drawn]").wait_for(timeout=60_000)
    return found


def readout(explorer: Locator, label: str) -> Locator:
    row = explorer.locator(".widget-hslider", has=explorer.page.get_by_text(label, exact=True))
    return row.locator(".widget-readout")


def settled(page: Page, explorer: Locator) -> dict[str, int]:
    """What the sliders are at when the kernel has answered all that was pressed."""
    stage = explorer.locator(".vl-stage").element_handle()
    page.wait_for_function("stage => stage.ariaBusy === 'false'", arg=stage)
    page.evaluate("frames(2)")
    labels = ("frames", "tubelet t", "pixel: frame", "row", "column")
    return {label: int(readout(explorer, label).inner_text()) for label in labels}


KEYS = """([canvas, repeat]) => {
    for (const again of [false, repeat, repeat])
        canvas.dispatchEvent(new KeyboardEvent('keydown',
            {key: 'ArrowRight', repeat: again, bubbles: true, cancelable: true}));
}"""


@pytest.mark.parametrize(("repeat", "moved"), [(False, 3), (True, 2)])
def test_quick_key_strokes_add_up_and_a_key_held_down_does_not_run_away(page, repeat, moved):
    """All three come while the kernel is busy with the first."""
    explorer = view(page, 0)
    canvas = explorer.locator("canvas").first.element_handle()
    before = int(readout(explorer, "column").inner_text())
    page.evaluate(KEYS, [canvas, repeat])
    assert settled(page, explorer)["column"] == before + 16 * moved  # a patch each


def test_a_drag_moves_what_it_began_with_wherever_it_goes(page):
    explorer = view(page, 0)
    stage, before = explorer.locator(".vl-stage"), settled(page, explorer)
    patches = stage.evaluate("""stage => things(stage)
        .filter(each => each.hand).filter(({lit}) => 'row' in JSON.parse(lit))
        .filter(({lit}) => !('frame' in JSON.parse(lit)))""")
    start, box = patches[len(patches) // 2], stage.bounding_box()
    page.mouse.move(start["x"], start["y"])
    page.mouse.down()
    for share in (0.2, 0.6, 1):  # over other things, and out of the picture
        x = start["x"] + share * (box["x"] - 60 - start["x"])
        page.mouse.move(x, start["y"] + share * (box["y"] - 20 - start["y"]))
    page.mouse.up()
    after = settled(page, explorer)
    assert (after["row"], after["column"]) == (0, 0)
    others = {label: after[label] for label in ("frames", "tubelet t")}
    assert others == {label: before[label] for label in others}
    said = words(explorer)
    page.mouse.move(start["x"], start["y"])  # the button is up: this is a hover
    page.evaluate("frames(2)")
    assert stage.get_attribute("aria-busy") == "false" and words(explorer) == said
    page.mouse.click(start["x"], start["y"], button="right")
    page.keyboard.press("Escape")
    assert stage.get_attribute("aria-busy") == "false" and words(explorer) == said


def test_two_views_of_an_explorer_show_the_same_and_go_with_their_cells(page):
    run_cell(page, CHANGE)
    said = words(view(page, 0))
    assert words(view(page, 1)) == said and "crossing" in said
    run_cell(page, AGAIN)
    view(page, 1)
    assert page.evaluate("vivitLab.views.size") == 2


def test_a_picture_that_the_page_has_lost_is_asked_for_and_old_ones_make_room(page):
    first, second = view(page, 0), view(page, 1)
    counts = drawn(first), drawn(second)
    page.evaluate("""() => {
        for (const key of [...vivitLab.pictures.keys()])
            if (!key.startsWith('font')) vivitLab.pictures.delete(key);
        for (let i = 0; i < 1000; i++) vivitLab.pictures.set(`old ${i}`, {close() {}});
    }""")
    said = words(first)
    run_cell(page, CHANGE)
    wait_for_drawing(page, first, counts[0])
    wait_for_drawing(page, second, counts[1])
    assert words(first) == words(second) != said
    left = page.evaluate("[...vivitLab.pictures.keys()].filter(key => !key.startsWith('old'))")
    assert len(left) >= 8 + 2  # frames, and letters
    assert page.evaluate("vivitLab.pictures.size") <= 800


def test_what_cannot_be_drawn_is_said_in_the_pictures_place_and_the_picture_comes_back(page):
    explorer = view(page, 0)
    size = explorer.locator("canvas").first.bounding_box()
    run_cell(page, BREAK)
    explorer.get_by_text("nothing to see").wait_for(timeout=30_000)
    assert not explorer.locator("canvas").first.is_visible()
    run_cell(page, MEND)
    explorer.locator("canvas").first.wait_for(timeout=30_000)
    explorer = view(page, 0)
    back = explorer.locator("canvas").first.bounding_box()
    assert (back["width"], back["height"]) == (size["width"], size["height"])
    assert explorer.get_by_text("nothing to see").count() == 0

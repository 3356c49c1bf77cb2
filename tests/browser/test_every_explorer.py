"""Every explorer in a real JupyterLab: named, in sight, touched, played, and like Pillow's picture.

The one notebook that it writes has a cell for each class of `vivit_lab.widgets` that is an explorer
(the cockpit, which trains, has a file of its own). What a picture can do is found by looking: where
the cursor becomes a hand, something can be pressed.
"""

import contextlib
import io
from pathlib import Path

import nbformat
import numpy as np
import pytest
from lab import (
    ARTEFACTS,
    close,
    difference,
    open_notebook,
    picture,
    run_all,
    run_cell,
    words,
)
from PIL import Image
from playwright.sync_api import ElementHandle, Locator, Page

from vivit_lab import widgets
from vivit_lab.data.samples import ASSETS
from vivit_lab.widgets.surface import Explorer

MODEL = ASSETS / "weights" / "joint.safetensors"
ARGUMENTS = {
    "TimelineExplorer": f"r'{MODEL}', 'crossing'",
    "ClipExplorer": "'crossing', clip_frames=8",
}
NAMES = [
    name
    for name in widgets.__all__
    if isinstance(getattr(widgets, name), type)
    and issubclass(getattr(widgets, name), Explorer)
    and name != "TrainingCockpit"
]
SCREENS = {"laptop": (1366, 768, 1), "small": (1024, 768, 1), "150 %": (911, 512, 1.5)}
WAITS, DRAWS = len(NAMES) + 1, len(NAMES) + 2  # two more cells
PILLOW = """
for name, each in made.items():
    each.picture.canvas.image().save(f'{name}-light.png')
    each.picture.canvas.image(dark=True).save(f'{name}-dark.png')
"""
BUSY = """
import pathlib, time
while not pathlib.Path('go on').exists():
    time.sleep(0.05)
"""

SCRIPT = Path(__file__).with_name("touch.js").read_text()


@pytest.fixture(scope="module")
def page(folder, address, new_page):
    cells = ["from vivit_lab.widgets import *; made = {}"]
    cells += [
        f"made['{name}'] = {name}({ARGUMENTS.get(name, '')})\nmade['{name}']" for name in NAMES
    ]
    cells += [BUSY, PILLOW]
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "name": "python3"}
    nbformat.write(notebook, folder / "every.ipynb")
    (folder / "go on").touch()
    open_notebook(new_page, address, "every.ipynb")
    run_all(new_page, len(cells))
    new_page.evaluate(SCRIPT)
    return new_page


@pytest.fixture(autouse=True)
def kept(page, request):
    """A screenshot of what a test leaves."""
    yield
    page.screenshot(path=ARTEFACTS / f"browser-{request.node.name.replace('/', '-')}.png")


def explorer(page: Page, name: str) -> Locator:
    """In sight, and drawn."""
    found = page.locator(".jp-CodeCell").nth(1 + NAMES.index(name)).locator(".vivit-lab-explorer")
    found.wait_for(timeout=120_000)
    found.evaluate("node => node.scrollIntoView({block: 'start'})")
    found.locator(".vl-stage[data-drawn]").wait_for(timeout=120_000)
    return found


def stage(found: Locator) -> ElementHandle:
    return found.locator(".vl-stage").element_handle()


@contextlib.contextmanager
def screen(page: Page, width: int, height: int, scale: float):
    """A window of this size on a screen of this density; JupyterLab has its file browser open."""
    session = page.context.new_cdp_session(page)
    size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
    session.send("Emulation.setDeviceMetricsOverride", size)
    page.wait_for_function(f"innerWidth === {width} && devicePixelRatio === {scale}")
    page.evaluate("frames(3)")
    try:
        yield
    finally:
        session.send("Emulation.clearDeviceMetricsOverride")
        page.evaluate("frames(3)")


def wait_for_change(page: Page, found: Locator, said: str) -> None:
    """Until the picture says something else."""
    page.wait_for_function(
        "([canvas, said]) => canvas.getAttribute('aria-label') !== said",
        arg=[found.locator("canvas").first.element_handle(), said],
        timeout=20_000,
    )


def answered(page: Page, handle: ElementHandle) -> None:
    """Until the kernel has answered what was pressed, if it was told."""
    page.wait_for_function("stage => stage.ariaBusy !== 'true'", arg=handle, timeout=60_000)
    page.evaluate("frames(1)")


# ---- words


ROLES = "button slider combobox textbox checkbox radio spinbutton tab listbox searchbox switch"
ROLES = {*ROLES.split(), "image", "img", "application", "togglebutton"}


@pytest.mark.parametrize("name", NAMES)
def test_every_control_and_picture_has_a_name_and_no_value_is_an_index(page, name):
    found = explorer(page, name)
    session = page.context.new_cdp_session(page)
    expression = (
        f"document.querySelectorAll('.jp-CodeCell')[{1 + NAMES.index(name)}]"
        ".querySelector('.vivit-lab-explorer')"
    )
    session.send("Accessibility.enable")  # the first of a page is made beside what the page does
    node = session.send("Runtime.evaluate", {"expression": expression})["result"]["objectId"]
    while not (tree := session.send("Accessibility.queryAXTree", {"objectId": node})["nodes"]):
        page.evaluate("frames(1)")
    tree = [each for each in tree if not each["ignored"] and each["role"]["value"] in ROLES]
    nameless = [each["role"]["value"] for each in tree if not each["name"]["value"].strip()]
    assert not nameless, f"without a name: {nameless}"
    assert {"slider", "combobox", "button", "checkbox"} & {each["role"]["value"] for each in tree}
    assert found.locator('[title="null"], [title="undefined"]').count() == 0
    for row in found.locator(".widget-hslider").all():
        said = row.locator(".noUi-handle").get_attribute("aria-valuetext")
        assert said == row.locator(".widget-readout").text_content().strip()
    assert len(words(found)) > 20 and any(letter.isdigit() for letter in words(found))


# ---- layout


@pytest.mark.parametrize("size", SCREENS)
@pytest.mark.parametrize("name", NAMES)
def test_the_picture_is_in_sight_while_a_control_has_the_focus(page, name, size):
    with screen(page, *SCREENS[size]):
        found = explorer(page, name)
        page.keyboard.press("Shift")  # a focus that follows is one of the keyboard
        shares = found.evaluate("explorer => sharesWithFocus(explorer)")
    assert len(shares) > 1
    hidden = {label: round(share, 2) for label, share in shares if share < 0.9}
    assert not hidden, f"so much of the picture is in sight: {hidden}"


# ---- mouse and keyboard


@pytest.mark.parametrize("name", NAMES)
def test_the_mouse_alone_drives_it(page, name):
    found = explorer(page, name)
    handle, box = stage(found), found.element_handle()
    things = [each for each in page.evaluate("stage => things(stage)", handle) if each["hand"]]
    assert things, "nothing in the picture can be pressed"
    said, before = words(found), page.evaluate("each => settings(each)", box)
    for thing in things[:: max(1, len(things) // 12)]:
        page.mouse.click(thing["x"], thing["y"])
        answered(page, handle)
        if words(found) != said:
            break
    assert words(found) != said, "a press changes nothing that the picture says"
    assert page.evaluate("each => settings(each)", box) != before, "no control follows"


@pytest.mark.parametrize("name", NAMES)
def test_the_keyboard_alone_drives_it(page, name):
    found = explorer(page, name)
    box = found.element_handle()
    found.locator("canvas").first.focus()
    said, before = words(found), page.evaluate("each => settings(each)", box)
    for key in ("ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowDown", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
        answered(page, stage(found))
        if words(found) != said:
            break
    assert words(found) != said, "an arrow key changes nothing that the picture says"
    assert page.evaluate("each => settings(each)", box) != before, "no control follows"

    reached = page.evaluate(
        "each => { window.wanted = new Set(controlsOf(each)); return wanted.size; }", box
    )
    unseen = []
    for _ in range(2 * reached):
        state = page.evaluate("""() => {
            const node = document.activeElement, style = getComputedStyle(node);
            const other = wanted.delete(node);
            const seen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1;
            return {left: wanted.size, seen: seen || !other, node: node.className + node.tagName};
        }""")
        unseen += [] if state["seen"] else [state["node"]]
        if not state["left"]:
            break
        page.keyboard.press("Tab")
    left = page.evaluate("[...wanted].map(node => node.ariaLabel || node.outerHTML.slice(0, 90))")
    assert not left, f"Tab does not reach {left}"
    assert not unseen, f"the focus cannot be seen on {unseen}"


# ---- without the kernel


def test_hover_and_play_do_not_wait_for_the_kernel(page, folder):
    faults = []
    boxes = {name: explorer(page, name) for name in NAMES}
    (folder / "go on").unlink()
    try:
        page.evaluate(f"""() => {{
            jupyterapp.shell.currentWidget.content.activeCellIndex = {WAITS};
            jupyterapp.commands.execute('notebook:run-cell');
        }}""")
        busy = page.locator(".jp-StatusBar-Widget", has_text="| Busy")
        busy.wait_for(timeout=60_000)
        for name in boxes:
            found = explorer(page, name)
            lit = page.evaluate("stage => litUp(stage)", stage(found))
            if lit[1] == 0 or lit[2] <= 0:
                faults.append(f"{name}: things, with figures, pixels lit up: {lit}")
            film = found.locator(".vl-bar[aria-label=Film]")
            if film.is_visible():
                film.get_by_label("Play", exact=True).click()
                moved = page.evaluate(
                    "stage => changes(stage.querySelector('.vl-overlay'))", stage(found)
                )
                film.get_by_label("Pause", exact=True).click()
                if moved < 3:
                    faults.append(f"{name}: the film shows {moved} pictures")
        assert busy.is_visible()
    finally:
        (folder / "go on").touch()
        page.locator(".jp-StatusBar-Widget", has_text="| Idle").wait_for(timeout=60_000)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("name", NAMES)
def test_what_has_steps_goes_through_them(page, name):
    found = explorer(page, name)
    steps = found.locator(".vl-bar[aria-label=Steps]")
    if not steps.is_visible():
        return  # it has none
    steps.get_by_label("Speed").select_option("2")
    steps.get_by_label("Play", exact=True).click()
    for _ in range(3):
        said = words(found)
        wait_for_change(page, found, said)
    steps.get_by_label("Pause", exact=True).click()
    said = words(found)
    steps.get_by_label("One step back").click()
    wait_for_change(page, found, said)


# ---- against Pillow


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("scale", [1, 2])
def test_the_browser_draws_what_pillow_draws(page, folder, theme, scale):
    """Whatever the tests before have made of them: nearly the same pixels."""
    run_cell(page, DRAWS)
    apart = {}
    show = "theme => { document.body.dataset.jpThemeLight = theme === 'light'; }"
    page.evaluate(show, theme)
    with screen(page, 1366, 900, scale):
        for name in NAMES:
            shown, expected = (
                picture(explorer(page, name)),
                Image.open(folder / f"{name}-{theme}.png"),
            )
            apart[name] = difference(shown, expected)
            if not close(*apart[name]):
                (ARTEFACTS / f"browser-{name}-{theme}.png").write_bytes(shown)
                expected.save(ARTEFACTS / f"browser-{name}-{theme}-pillow.png")
    page.evaluate(show, "light")
    print(
        theme, scale, {name: tuple(round(each, 4) for each in pair) for name, pair in apart.items()}
    )
    assert not {name: pair for name, pair in apart.items() if not close(*pair)}


def test_at_scale_2_letters_are_as_sharp_as_the_screen(page):
    """Twice the pixels, and steeper edges (mean of the steepest) than the picture of scale 1 has
    when it is enlarged: 1.6 times was seen; a picture of scale 1 in the browser would have 1."""
    sharp = {}
    for scale in (1, 2):
        with screen(page, 1366, 900, scale):
            shown = picture(explorer(page, "TokenExplorer"))
            sharp[scale] = Image.open(io.BytesIO(shown)).convert("L")
    size = sharp[2].size
    assert np.abs(np.subtract(size, np.multiply(sharp[1].size, 2))).max() <= 2
    enlarged, steepest = sharp[1].resize(size, Image.Resampling.BICUBIC), size[0] * size[1] // 50
    edges = [np.abs(np.diff(np.asarray(each, int))).ravel() for each in (sharp[2], enlarged)]
    steep = [np.sort(each)[-steepest:].mean() for each in edges]
    assert steep[0] > 1.4 * steep[1]

"""A real JupyterLab in a real Chromium, for the browser tests and the slider benchmark."""

import base64
import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
from build import SOURCES, stripped
from outputs import OFFLINE, committed, differences, tolerance
from PIL import Image
from playwright.sync_api import Locator, Page, sync_playwright
from playwright.sync_api import TimeoutError as Late

from vivit_lab.widgets.surface import Explorer

ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = ROOT / "artefacts"
TOKEN = "vivit-lab-browser-test"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FAR, MEAN_BOUND, FAR_BOUND = 48, 4, 0.003  # of 255; of 255; of 1: see `difference`
CHROMIUM_FLAGS = "--no-sandbox --disable-gpu --disable-background-networking"
CHROMIUM_FLAGS += " --disable-component-update --disable-sync --no-first-run"


@contextlib.contextmanager
def jupyter(folder: Path, theme: str = "JupyterLab Light", package: Path = ROOT) -> Iterator[str]:
    """JupyterLab over a copy of the notebooks, as they were built; yields its address.

    package: the checkout whose `vivit_lab` the notebooks import.
    """
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", dirs_exist_ok=True)
    for source in SOURCES:
        nbformat.write(committed(source), folder / "notebooks" / f"{source.stem}.ipynb")
    settings = folder / "settings"
    settings.mkdir(exist_ok=True)
    overrides = {
        "@jupyterlab/apputils-extension:notification": {"fetchNews": "false"},
        "@jupyterlab/apputils-extension:themes": {"theme": theme},
    }
    (settings / "overrides.json").write_text(json.dumps(overrides))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}",
        f"--LabApp.app_settings_dir={settings}", "--LabApp.expose_app_in_browser=True",
        f"--ServerApp.root_dir={folder}",
    ]  # fmt: skip
    own = OFFLINE | {"JUPYTER_CONFIG_DIR": str(folder / "config")}
    own |= {"JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"), "PYTHONPATH": str(package)}
    with (folder / "jupyter.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | own)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for_server(f"{address}/api/status?token={TOKEN}", server, folder / "jupyter.log")
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_for_server(url: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(240):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        if server.poll() is not None:
            break
        time.sleep(0.5)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-3000:]}")


@contextlib.contextmanager
def chromium_page(width: int = 1280, height: int = 900) -> Iterator[Page]:
    """A page of the installed Chromium, else of playwright's own."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=CHROMIUM_FLAGS.split())
        page = browser.new_page(viewport={"width": width, "height": height})
        yield page
        browser.close()


def open_notebook(page: Page, address: str, path: str) -> None:
    """Open a notebook, and wait for its kernel.

    `reset` empties the workspace: else JupyterLab would open the notebook of the test before too,
    in a tab behind this one, and a test would wait for that one's pictures.
    """
    page.goto(f"{address}/lab/tree/{path}?reset&token={TOKEN}", timeout=240_000)
    page.locator(".jp-StatusBar-Widget", has_text="| Idle").wait_for(timeout=240_000)


def open_and_run(page: Page, address: str, source: Path) -> None:
    """Open a notebook, run all cells; they must show, without an error, what was committed."""
    open_notebook(page, address, f"notebooks/{source.stem}.ipynb")
    wanted = committed(source)
    run_all(page, len(wanted.cells))
    content = "window.jupyterapp?.shell.currentWidget?.content"
    shown = nbformat.from_dict(json.loads(page.evaluate(f"JSON.stringify({content}.model)")))
    found = differences(stripped(shown), wanted, tolerance(source))
    assert not found, "\n".join(found)
    assert page.locator(".jp-OutputArea-output[data-mime-type*='error']").count() == 0
    assert page.get_by_text("Error displaying widget").count() == 0


def run_all(page: Page, count: int) -> None:
    """Run all cells of the open notebook, which has so many, and wait for the last."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    done = f"""() => {{
        const cells = window.jupyterapp?.shell.currentWidget?.content?.widgets ?? [];
        const code = cells.filter(cell => cell.model.type === 'code');
        return cells.length === {count} && code.every(cell =>
            cell.model.executionState === 'idle' && cell.model.executionCount > 0);
    }}"""
    page.wait_for_function(done, timeout=800_000, polling=250)
    page.locator(".jp-StatusBar-Widget", has_text="| Idle").wait_for(timeout=240_000)


def run_cell(page: Page, number: int) -> None:
    """Run a cell of the open notebook, and wait for its end."""
    page.evaluate(
        """async number => {
            window.jupyterapp.shell.currentWidget.content.activeCellIndex = number;
            await window.jupyterapp.commands.execute('notebook:run-cell');
        }""",
        number,
    )


def stop_kernels(address: str) -> None:
    """End what the notebooks of a test leave running."""
    for kernel in json.load(urllib.request.urlopen(f"{address}/api/kernels?token={TOKEN}")):
        url = f"{address}/api/kernels/{kernel['id']}?token={TOKEN}"
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()


def picture(explorer: Locator) -> bytes:
    """What the browser shows in an explorer, without what lights up, as PNG bytes."""
    explorer.scroll_into_view_if_needed()  # JupyterLab does not lay out what is far away
    explorer.locator(".vl-stage[data-drawn]").wait_for(timeout=60_000)
    data = explorer.locator("canvas").first.evaluate("canvas => canvas.toDataURL()")
    return base64.b64decode(data.split(",")[1])


def drawn(explorer: Locator) -> int:
    """How often the picture has been drawn."""
    return int(explorer.locator(".vl-stage").get_attribute("data-drawn") or 0)


def words(explorer: Locator) -> str:
    """What the picture says to those who do not see it."""
    return explorer.locator("canvas").first.get_attribute("aria-label") or ""


def decoded(file: bytes) -> np.ndarray:
    """Its pixels, (H, W, 3), in the picture's own size."""
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).astype(int)


def difference(shown: bytes, expected: Image.Image) -> tuple[float, float]:
    """How far the browser's picture is from Pillow's, both at an eighth of the size of Pillow's.

    Returns the mean absolute difference (0..255), and the share of pixels (0..1) that are more
    than FAR off in a channel. Letters have other widths and edges, which at an eighth is a little
    everywhere: up to 2.4 and 0.0004 were seen. Another token of another explorer makes 0.007.
    """
    size = expected.width // 8, expected.height // 8
    both = (Image.open(io.BytesIO(shown)).convert("RGB"), expected)
    ours, theirs = (
        np.asarray(each.resize(size, Image.Resampling.BILINEAR)).astype(int) for each in both
    )
    apart = np.abs(ours - theirs)
    return float(apart.mean()), float((apart.max(axis=2) > FAR).mean())


def close(mean: float, far: float) -> bool:
    return mean < MEAN_BOUND and far < FAR_BOUND


def is_like(shown: bytes, expected: Image.Image) -> bool:
    return close(*difference(shown, expected))


def wait_until(page: Page, explorer: Locator, right: Callable[[bytes], bool]) -> bytes:
    """The first picture that is right; if none comes in a minute, the test fails."""
    while True:
        count, shown = drawn(explorer), picture(explorer)
        if right(shown):
            return shown
        try:
            wait_for_drawing(page, explorer, count)
        except Late:
            (ARTEFACTS / "browser-shown.png").write_bytes(shown)
            pytest.fail("the picture does not follow the controls")


def wait_for_drawing(page: Page, explorer: Locator, count: int, seconds: float = 60) -> None:
    """Until it has been drawn more than so often."""
    page.wait_for_function(
        "([stage, count]) => Number(stage.dataset.drawn) > count",
        arg=[explorer.locator(".vl-stage").element_handle(), count],
        timeout=1000 * seconds,
    )


def wait_for_picture(page: Page, explorer: Locator, reference: Explorer) -> None:
    """Until the browser shows, and says, what this explorer in our own process does."""
    expected = reference.picture.canvas.image()
    expected.save(ARTEFACTS / "browser-expected.png")

    def right(shown: bytes) -> bool:
        said = words(explorer) == reference.picture.canvas.words
        return said and is_like(shown, expected)

    wait_until(page, explorer, right)

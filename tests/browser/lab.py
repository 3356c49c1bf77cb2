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

ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = ROOT / "artefacts"
TOKEN = "vivit-lab-browser-test"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_FLAGS = "--no-sandbox --disable-gpu --disable-background-networking"
CHROMIUM_FLAGS += " --disable-component-update --disable-sync --no-first-run"


@contextlib.contextmanager
def jupyter(folder: Path, theme: str = "JupyterLab Light") -> Iterator[str]:
    """JupyterLab over a copy of the notebooks, as they were built; yields its address."""
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
    own |= {"JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces")}
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


def open_notebook(page: Page, address: str, path: str) -> Locator:
    """Open a notebook, wait for its kernel; returns what is to be seen while that is idle.

    `reset` empties the workspace: else JupyterLab would open the notebook of the test before too,
    in a tab behind this one, and a test would wait for that one's pictures.
    """
    page.goto(f"{address}/lab/tree/{path}?reset&token={TOKEN}", timeout=240_000)
    idle = page.locator(".jp-StatusBar-Widget", has_text="| Idle")
    idle.wait_for(timeout=240_000)
    return idle


def open_and_run(page: Page, address: str, source: Path) -> None:
    """Open a notebook, run all cells; they must show, without an error, what was committed."""
    idle = open_notebook(page, address, f"notebooks/{source.stem}.ipynb")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    wanted = committed(source)
    content = "window.jupyterapp?.shell.currentWidget?.content"
    done = f"""() => {{
        const cells = {content}?.widgets ?? [];
        const code = cells.filter(cell => cell.model.type === 'code');
        return cells.length === {len(wanted.cells)} && code.every(cell =>
            cell.model.executionState === 'idle' && cell.model.executionCount > 0);
    }}"""
    page.wait_for_function(done, timeout=800_000, polling=250)
    idle.wait_for(timeout=240_000)
    shown = nbformat.from_dict(json.loads(page.evaluate(f"JSON.stringify({content}.model)")))
    found = differences(stripped(shown), wanted, tolerance(source))
    assert not found, "\n".join(found)
    assert page.locator(".jp-OutputArea-output[data-mime-type*='error']").count() == 0
    assert page.get_by_text("Error displaying widget").count() == 0


def stop_kernels(address: str) -> None:
    """End what the notebooks of a test leave running."""
    for kernel in json.load(urllib.request.urlopen(f"{address}/api/kernels?token={TOKEN}")):
        url = f"{address}/api/kernels/{kernel['id']}?token={TOKEN}"
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()


def picture(explorer: Locator) -> bytes:
    """The JPEG that the browser shows in an explorer."""
    read = """async image => {
        const reader = new FileReader();
        const read = new Promise(resolve => { reader.onload = resolve; });
        reader.readAsDataURL(await (await fetch(image.src)).blob());
        await read;
        return reader.result;
    }"""
    data = explorer.locator("img").element_handle().evaluate(read)
    return base64.b64decode(data.split(",")[1])


def decoded(jpeg: bytes) -> np.ndarray:
    """Its pixels, (H, W, 3), in the picture's own size."""
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)


def wait_until(page: Page, explorer: Locator, right: Callable[[bytes], bool]) -> bytes:
    """The first picture that is right; if none comes, the last is kept, and the test fails."""
    for _ in range(600):
        jpeg = picture(explorer)
        if right(jpeg):
            return jpeg
        page.wait_for_timeout(100)
    (ARTEFACTS / "browser-shown.jpg").write_bytes(jpeg)
    pytest.fail("the picture does not follow the controls")


def wait_for_picture(page: Page, explorer: Locator, expected: np.ndarray) -> None:
    """Until the browser shows these pixels (H, W, 3)."""
    Image.fromarray(expected.astype(np.uint8)).save(ARTEFACTS / "browser-expected.png")

    def right(jpeg: bytes) -> bool:
        shown = decoded(jpeg)
        return shown.shape == expected.shape and np.abs(shown - expected).mean() < 0.01

    wait_until(page, explorer, right)

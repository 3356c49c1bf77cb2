"""Press to changed picture, each explorer in JupyterLab in Chromium: milliseconds, and bytes sent.

    make bench            or            python tests/benchmarks/slider.py --presses 40

Measured inside the page: from the key on a control (and from the press in the picture) to the
frame in which the new picture can be painted. The way there and back: browser -> kernel -> commands
of the new picture -> browser. The bytes are all that goes over the page's websockets for that
press, both ways. The machine's load stands beside the figures, because it decides them.

`--old FOLDER` names a checkout of another version, in which a picture is a canvas or an image: both
versions have a server and a page of their own and take turns, press by press.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import nbformat
from playwright.sync_api import Browser, Locator, Page
from playwright.sync_api import TimeoutError as Late

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("notebooks", "tests/notebooks", "tests/browser")]
from lab import chromium_page, jupyter, open_notebook, run_all  # noqa: E402
from measuring import load, print_table  # noqa: E402

PRESSED = {  # the control that takes a key, by its label
    "AblationExplorer('four_models')": "highlight",
    "AttentionExplorer()": "head",
    "ClipExplorer()": "seed",
    "ConfusionExplorer()": "views",
    "CostExplorer()": "frames",
    "EvaluationExplorer()": "views",
    "HalfHeadsStepper()": "step",
    "InflationExplorer()": "motion",
    "PatternExplorer()": "time step",
    "RegularisationExplorer()": "mixup",
    "TokenExplorer()": "tubelet t",
}
QUIET = 250  # milliseconds after which no message of a press comes any more
WATCH = """explorer => {
    const picture = explorer.querySelector('.vl-stage, img');
    let pressed = 0;
    window.latencies = [];
    const start = event => { if (explorer.contains(event.target)) pressed = performance.now(); };
    for (const kind of ['keydown', 'pointerdown']) addEventListener(kind, start, true);
    new MutationObserver(async () => {
        if (!pressed) return;
        if (picture.decode) await picture.decode().catch(() => {});
        requestAnimationFrame(() => {
            if (pressed) window.latencies.push(performance.now() - pressed);
            pressed = 0;
        });
    }).observe(picture, {attributes: true, attributeFilter: ['src', 'data-drawn']});
}"""


@dataclass
class Version:
    """A page with all explorers of one version of the package."""

    page: Page
    sent: int = 0  # bytes over its websockets
    found: dict[str, list[tuple[float, float]]] = field(default_factory=dict)  # ms, kB

    def listen(self) -> None:
        def count(data: str | bytes) -> None:
            self.sent += len(data)

        def opened(socket) -> None:
            socket.on("framesent", count)
            socket.on("framereceived", count)

        self.page.on("websocket", opened)

    def explorer(self, number: int) -> Locator:
        cell = self.page.locator(".jp-CodeCell").nth(number + 1)
        cell.scroll_into_view_if_needed()
        found = cell.locator(".vivit-lab-explorer")
        found.locator(".vl-stage[data-drawn], img").first.wait_for(timeout=120_000)
        found.evaluate("node => node.scrollIntoView({block: 'start'})")
        self.page.wait_for_timeout(QUIET)
        return found

    def measured(self, key: str, press: Callable[[], None]) -> None:
        """A press, and what it took; a press that draws nothing new is not counted."""
        before, count = self.sent, self.page.evaluate("latencies.length")
        press()
        with contextlib.suppress(Late):
            self.page.wait_for_function(f"latencies.length > {count}", timeout=5_000)
            self.page.wait_for_timeout(QUIET)
            took = self.page.evaluate(f"latencies[{count}]")
            self.found.setdefault(key, []).append((took, (self.sent - before) / 1000))


def control(explorer: Locator, label: str) -> Locator:
    """The handle of a slider, or a drop-down."""
    row = explorer.locator(".widget-inline-hbox:has(.widget-label)").filter(
        has=explorer.page.get_by_text(label, exact=True)
    )
    return row.locator(".noUi-handle, select").first


def keys(node: Locator) -> tuple[str, str]:
    """One that moves a control, and the one back."""
    if node.evaluate("node => node.tagName === 'SELECT'"):
        return "ArrowDown", "ArrowUp"
    at_end = node.evaluate("node => node.ariaValueNow === node.ariaValueMax")
    return ("ArrowLeft", "ArrowRight") if at_end else ("ArrowRight", "ArrowLeft")


def places(explorer: Locator) -> list[dict]:
    """Two places in a picture that set the same controls to other values."""
    stage = explorer.locator(".vl-stage")
    if not stage.count():
        return []
    found = stage.evaluate("stage => things(stage).filter(thing => thing.hand)")
    names = [sorted(json.loads(each["lit"])) for each in found]
    most = max(names, key=names.count, default=None)
    alike = [each for each, own in zip(found, names, strict=True) if own == most]
    return alike[len(alike) // 3 :: max(1, len(alike) // 3)][:2]


@contextlib.contextmanager
def version(browser: Browser, package: Path) -> Iterator[Version]:
    """A notebook with all explorers of a checkout of the package, run."""
    cells = ["from vivit_lab.widgets import *", *PRESSED]
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "name": "python3"}
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(notebook, Path(folder) / "all.ipynb")
        with jupyter(Path(folder), package=package) as address:
            page = browser.new_page(viewport={"width": 1366, "height": 900})
            found = Version(page)
            found.listen()
            open_notebook(page, address, "all.ipynb")
            run_all(page, len(cells))
            page.evaluate((ROOT / "tests/browser/touch.js").read_text())
            yield found


def measure(versions: list[Version], number: int, presses: int) -> None:
    """One explorer. The first two presses of each kind send frames, and are left out."""
    label, ways = [*PRESSED.values()][number], []
    for each in versions:
        explorer = each.explorer(number)
        explorer.evaluate(WATCH)
        node = control(explorer, label)
        ways.append((each, node, keys(node), places(explorer)))
    for turn in range(presses + 2):
        for each, node, way, spots in ways:
            node.focus()
            each.measured("key", partial(each.page.keyboard.press, way[turn % 2]))
            if len(spots) == 2:
                at = spots[turn % 2]["x"], spots[turn % 2]["y"]
                each.measured("press", partial(each.page.mouse.click, *at))


def rows(versions: list[Version], presses: int) -> Iterator[list]:
    for number, name in enumerate(PRESSED):
        measure(versions, number, presses)
        each, *others = (version.found for version in versions)
        for kind in [kind for kind in ("key", "press") if len(each.get(kind, ())) > 4]:
            words, median = said(each[kind])
            row = [name, kind, len(each[kind]) - 2, words]
            for other in others:
                old = said(other[kind]) if len(other.get(kind, ())) > 4 else ("- | - | -", 0)
                row += [old[0], f"{median / old[1]:.2f}" if old[1] else "-"]
            yield row
        for version in versions:
            version.found.clear()


def said(found: list[tuple[float, float]]) -> tuple[str, float]:
    """Median and slowest, and the median of the bytes."""
    times, sizes = zip(*found[2:], strict=True)
    median = statistics.median(times)
    return f"{median:.0f} | {max(times):.0f} | {statistics.median(sizes):.1f}", median


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presses", type=int, default=10)
    parser.add_argument("--old", type=Path, help="a checkout of another version")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        browser = stack.enter_context(chromium_page()).context.browser
        packages = [ROOT] + ([options.old.resolve()] if options.old else [])
        versions = [stack.enter_context(version(browser, package)) for package in packages]
        old = " | old: ms | slowest | kB | new / old" if options.old else ""
        heading = f"explorer | by | count | ms, median | slowest | kB, median{old}"
        print_table(heading, rows(versions, options.presses))
    print(f"\n{load()}")


if __name__ == "__main__":
    main()

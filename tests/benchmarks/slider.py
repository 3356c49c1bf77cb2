"""Slider press to changed picture, notebook 02 in JupyterLab in Chromium, in milliseconds.

    make bench            or            python tests/benchmarks/slider.py --presses 40

Measured inside the page: from the keydown event on the tubelet slider to the frame in which the
new picture has been decoded and can be painted. The way there and back: browser -> kernel ->
new picture -> browser. The machine's load stands beside the figures, because it decides them.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("notebooks", "tests/notebooks", "tests/browser")]
from build import SOURCES  # noqa: E402
from lab import chromium_page, jupyter, open_and_run  # noqa: E402
from measuring import load  # noqa: E402

WATCH = """image => {
    window.pressed = 0; window.latencies = [];
    document.addEventListener('keydown', () => { window.pressed = performance.now(); }, true);
    new MutationObserver(async () => {
        await image.decode().catch(() => {});
        requestAnimationFrame(() => {
            if (window.pressed) window.latencies.push(performance.now() - window.pressed);
            window.pressed = 0;
        });
    }).observe(image, {attributes: true, attributeFilter: ['src']});
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presses", type=int, default=40)
    presses = parser.parse_args().presses
    with (
        tempfile.TemporaryDirectory() as folder,
        jupyter(Path(folder)) as address,
        chromium_page() as page,
    ):
        open_and_run(page, address, SOURCES[2])
        explorer = page.locator(".vivit-lab-explorer").first
        explorer.scroll_into_view_if_needed()
        explorer.locator("img").element_handle().evaluate(WATCH)
        row = explorer.locator(".widget-hslider", has_text="tubelet t")
        row.locator(".noUi-handle").focus()
        for press in range(presses):
            page.keyboard.press("ArrowRight" if press % 2 == 0 else "ArrowLeft")
            page.wait_for_function(f"window.latencies.length > {press}", timeout=10_000)
            page.wait_for_timeout(50)
        found = page.evaluate("window.latencies")[2:]  # the first ones make thumbnails
        readout = row.locator(".widget-readout").inner_text()
    print(
        f"slider press to changed picture: median {statistics.median(found):.0f} ms, "
        f"fastest {min(found):.0f}, slowest {max(found):.0f} ({len(found)} presses; "
        f"tubelet t ended at {readout}; {load()})"
    )


if __name__ == "__main__":
    main()

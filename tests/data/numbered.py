"""A small data set for the tests: square videos, each frame showing 100 * video + its number."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "video"))
from clips import numbers_in, picture, write_clip

from vivit_lab.data.catalog import Catalog, Segment
from vivit_lab.video import TrainTransform
from vivit_lab.video.sampling import ByFrame

FRAMES, SIDE = 40, 96
SAMPLING = ByFrame(clip_frames=4, stride=2)
WHOLE = {"crop": SIDE, "min_short_side": SIDE, "max_short_side": SIDE}
PLAIN = TrainTransform(**WHOLE, flip=0, colour=0, grey=0)  # the whole picture as it is
OPTIONS = {"g": "12", "preset": "ultrafast"}


def write_videos(folder: Path, count: int = 6, frames: int = FRAMES) -> list[Path]:
    """Videos 0 to count - 1; the number in a frame says which video, and which frame of it."""
    paths = []
    for video in range(count):

        def drawn(i: int, height: int, width: int, first: int = 100 * video):
            return picture(first + i, height, width)

        path = folder / f"video_{video}.mp4"
        write_clip(path, frames, SIDE, SIDE, options=OPTIONS, drawn=drawn)
        paths.append(path)
    return paths


def catalog_of(paths: list[Path], repeat: int = 1) -> Catalog:
    """Sample i is video i % len(paths), whose label is its number."""
    segments = [Segment(path, label) for label, path in enumerate(paths)] * repeat
    return Catalog(segments, [path.stem for path in paths], source="list.csv")


def shown(clip) -> tuple[int, list[int]]:
    """Which video a clip (T,3,H,W) is of, and which of its frames."""
    numbers = numbers_in(clip)
    videos = {number // 100 for number in numbers}
    assert len(videos) == 1 and min(numbers) >= 0, numbers
    return videos.pop(), [number % 100 for number in numbers]

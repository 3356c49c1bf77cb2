"""Small data sets for the tests: square videos, each frame showing 100 * video + its number."""

import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch.utils.data import Dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "video"))
from clips import numbers_in, picture, write_clip

from vivit_lab.data.catalog import Catalog, Segment
from vivit_lab.video import ByFrame, TrainTransform

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


class Marks(Dataset):
    """Sample i is one pixel of the value i, in no time; at sample 5 `action` is done before."""

    def __init__(self, count=40, action=None):
        self.count, self.action = count, action

    def __len__(self):
        return self.count

    def name_of(self, number):
        return f"/videos/{number}.mp4"

    def __getitem__(self, number):
        if number == 5 and self.action is not None:
            self.action()
        return torch.full((1, 3, 1, 1), number, dtype=torch.uint8), {"verb": number, "noun": 0}


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def divide():
    return 1 / 0


def sleep():
    time.sleep(1000)

"""Long, wide videos of Arrow of Time, of which one view shows but a part.

A shape stands somewhere in a wide picture; for a quarter of the video one of its properties runs
round its circle, as in Arrow of Time. So a clip may come too early or too late, and a crop may miss
the shape. What changes is the verb, the shape is the noun.
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vivit_lab.data.arrow_drawing import NUMBERS, SHAPES, Level, Scene, add_noise, render, scenes_of
from vivit_lab.data.arrow_of_time import CLASSES, encode, even
from vivit_lab.data.catalog import Catalog, Segment
from vivit_lab.errors import takes_plain, whole

ACTION = 20  # frames in which something changes
MOVING = ("row", "column", "turn", "radius", "colour")
# Lengths are shares of the width, which is two heights: shapes as large as on the medium level.
LOOKS = Level((0.1, 0.18), (0.47, 0.53), (72, 104), texture=12, stripes=0.2, noise=12, shake=0.005)


@takes_plain
class LongVideos:
    """Videos that we render, each with a verb (8, what changes) and a noun (5, the shape).

    videos: how many; all 40 pairs are equally frequent in a multiple of 40. frames: T, at least 20;
    something changes in 20 of them, which may begin anywhere. height: in pixels, even, at least 16;
    the width is twice that. Raises TypeError or ValueError for illegal settings, IndexError for no
    video of that number.

    >>> videos = LongVideos(videos=40)
    >>> videos.video(3).shape, videos.label(3), videos.action(3)
    ((80, 3, 32, 64), {'verb': 3, 'noun': 0}, (30, 50))
    """

    classes = {"verb": CLASSES, "noun": SHAPES}

    def __init__(self, videos: int = 800, frames: int = 80, height: int = 32, seed: int = 0):
        whole("videos", videos)
        whole("frames", frames, least=ACTION)
        whole("height", height, least=16)
        whole("seed", seed, least=0)
        even("height", height)
        self.videos, self.frames, self.height, self.seed = videos, frames, height, seed

    def __len__(self) -> int:
        return self.videos

    @takes_plain
    def label(self, number: int) -> dict[str, int]:
        """Verb and noun of a video."""
        verbs, nouns = len(CLASSES), len(SHAPES)
        return {"verb": self._checked(number) % verbs, "noun": number // verbs % nouns}

    def action(self, number: int) -> tuple[int, int]:
        """The frames in which something changes: the first, and the one after the last."""
        random = np.random.default_rng((self.seed, self._checked(number)))
        start = int(random.integers(self.frames - ACTION + 1))
        return start, start + ACTION

    def video(self, number: int) -> np.ndarray:
        """All frames of a video: uint8 (T, 3, height, 2 * height)."""
        return self.draw([number], np.arange(self.frames)[None])[0]

    def draw(self, numbers: Sequence[int], frames: np.ndarray) -> np.ndarray:
        """Some frames, int (B, t), of B videos: uint8 (B, t, 3, height, 2 * height)."""
        top, side = self.height // 2, 2 * self.height
        square = render(self._scenes(numbers, np.asarray(frames)), side)
        wide = np.ascontiguousarray(square[..., top : top + self.height, :])
        for clip, number in zip(wide, numbers, strict=True):
            add_noise(clip, LOOKS.noise, np.random.default_rng((self.seed, int(number), 1)))
        return wide

    def write(self, folder: str | os.PathLike) -> Catalog:
        """Write the videos as mp4 files (H.264, 25 frames a second) and list them. Raises
        FileExistsError if the folder holds something; OSError if it cannot be written to."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty; name an empty or a new folder.")
        segments = []
        for number in range(self.videos):
            path = folder / f"{number:06d}.mp4"
            path.write_bytes(encode(self.video(number)))
            segments.append(Segment(path, self.label(number), name=path.name))
        return Catalog(segments, {head: list(each) for head, each in self.classes.items()}, folder)

    def _checked(self, number: int) -> int:
        if not 0 <= number < self.videos:
            raise IndexError(f"video {number}, but the videos are 0 to {self.videos - 1}.")
        return int(number)

    def _scenes(self, numbers: Sequence[int], frames: np.ndarray) -> Scene:
        """What these frames show: before and after the action all stands still, as at its ends."""
        labels = [self.label(number) for number in numbers]
        sources = [np.random.default_rng((self.seed, int(number), 2)) for number in numbers]
        drawn = np.array([source.random(NUMBERS) for source in sources])
        verbs = np.array([label["verb"] for label in labels])
        scenes = scenes_of(LOOKS, verbs, drawn, ACTION)
        starts = np.array([self.action(number)[0] for number in numbers])[:, None]
        moments = np.clip(frames - starts, 0, ACTION - 1)  # (B, t), of the action

        def at(values: np.ndarray) -> np.ndarray:  # (B, ACTION) -> (B, t)
            return np.take_along_axis(values, moments, axis=-1)

        return dataclasses.replace(
            scenes,
            shape=np.array(SHAPES)[[label["noun"] for label in labels]],
            camera=np.stack([at(scenes.camera[:, axis]) for axis in (0, 1)], axis=1),
            **{name: at(getattr(scenes, name)) for name in MOVING},
        )

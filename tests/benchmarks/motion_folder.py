"""A folder of videos whose classes differ in motion only.

    python tests/benchmarks/motion_folder.py videos            360 clips, a folder for each class
    python tests/benchmarks/motion_folder.py videos --bounds   then: what one frame, and what a bag
                                                               of frames, tells a trained model

A blob with a texture of its own moves left, right, up or down, or turns either way, before another
texture that drifts. Appearance, start, speed, drift, size of the picture, rate and length are drawn
before the class is known. So one frame says nothing: where the blob is (it comes back on the other
side) and at what angle are uniform at every moment, whatever the class. And a bag of frames tells
left from up at best, never left from right: the classes are three pairs, each the other one
backwards, so that it is right in half of the clips at most. Every frame is coded on its own: it
keeps no trace of its neighbours.

Two more files are no videos: one is cut short, one is a page of HTML with the name of an mp4.
"""

import argparse
import contextlib
import multiprocessing
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from vivit_lab import build_model
from vivit_lab.data import Catalog, read_folder
from vivit_lab.data.arrow_of_time import encode
from vivit_lab.io import write_atomically
from vivit_lab.training import Recipe, fit
from vivit_lab.training.evaluation import score_views
from vivit_lab.training.metrics import interval
from vivit_lab.video import VideoError, VideoReader
from vivit_lab.weights import adapt, load_checkpoint
from vivit_lab.weights.checkpoint import SMALL_VIDEO_VIT

MOTIONS = {  # down, right, clockwise
    "moves_left": (0, -1, 0),
    "moves_right": (0, 1, 0),
    "moves_up": (-1, 0, 0),
    "moves_down": (1, 0, 0),
    "turns_left": (0, 0, -1),  # anticlockwise: what a mirror makes of a turn to the right
    "turns_right": (0, 0, 1),
}
CLIPS = 60  # of each class
SIZES = (96, 128), (112, 112), (112, 160), (128, 176), (128, 96), (160, 112)  # height, width
RATES = 15, 20, 24, 25, 30  # frames a second
SECONDS = 1.4, 2.8
SPEED = 0.45, 0.9  # short sides a second
TURN = 0.35, 0.7  # turns a second
DRIFT = 0.2  # largest speed of the background, short sides a second, in any direction
RADIUS = 0.17, 0.27  # of the blob, short sides
NOISE = 6  # largest change of a pixel's brightness
TILE = 256  # pixels a side of a texture, which repeats
HELD_OUT, VIEWS = 0.25, 4  # share of each class; of each of its videos
CUT, HTML = "moves_up/cut_short.mp4", "turns_left/not_found.mp4"  # the two that are no videos


def texture(random: np.random.Generator, contrast: float) -> np.ndarray:
    """Coloured noise with the 1/f spectrum of natural pictures, float32 (TILE, TILE, 3)."""
    frequency = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)) * TILE
    falling = np.where(frequency > 2, frequency, np.inf) ** -1.3
    shared, *own = random.normal(size=(4, TILE, TILE))
    noise = [np.fft.irfft2(np.fft.rfft2(shared + 0.7 * each) * falling) for each in own]
    colour = random.uniform(60, 195, 3)
    picture = np.stack([contrast * each / each.std() for each in noise], axis=-1) + colour
    return picture.astype(np.float32)


def sampled(tile: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The texture at any places, (N,), between its pixels too: (N, 3)."""
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = (rows - top)[:, None], (columns - left)[:, None]
    top, left, low, far = top % TILE, left % TILE, (top + 1) % TILE, (left + 1) % TILE
    above = (1 - right) * tile[top, left] + right * tile[top, far]
    below = (1 - right) * tile[low, left] + right * tile[low, far]
    return (1 - down) * above + down * below


def window(tile: np.ndarray, row: float, column: float, height: int, width: int) -> np.ndarray:
    """The same for a rectangle from (row, column) on, which is far quicker: (height, width, 3)."""
    top, left = int(np.floor(row)), int(np.floor(column))
    down, right = np.float32(row - top), np.float32(column - left)
    part = tile.take(np.arange(top, top + height + 1), axis=0, mode="wrap")
    part = part.take(np.arange(left, left + width + 1), axis=1, mode="wrap")
    part = part[:-1] + down * (part[1:] - part[:-1])
    return part[:, :-1] + right * (part[:, 1:] - part[:, :-1])


def draw(motion: str, seed: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """A clip, uint8 (T, 3, H, W), and its rate: the same for the same seed."""
    random = np.random.default_rng(seed)
    height, width = random.permutation(SIZES)[0]
    side, rate = min(height, width), int(random.choice(RATES))
    behind, blob = texture(random, 28), texture(random, 50)
    radius = side * random.uniform(*RADIUS)
    bumps, at = random.uniform(0.05, 0.25, 2), 2 * np.pi * random.random(2)
    row, column, angle = random.random(3) * (height, width, 2 * np.pi)
    pace, way, drift = random.random(3)
    time = np.arange(round(rate * random.uniform(*SECONDS))) / rate

    down, right, clockwise = MOTIONS[motion]  # the class, known from here on
    speed = side * (SPEED[0] + pace * (SPEED[1] - SPEED[0]))
    turn = 2 * np.pi * (TURN[0] + pace * (TURN[1] - TURN[0]))
    drift, way = side * DRIFT * drift, 2 * np.pi * way
    frames = []
    for t in time:
        picture = window(behind, drift * np.sin(way) * t, drift * np.cos(way) * t, height, width)
        dy = (np.arange(height) - row - down * speed * t + height / 2) % height - height / 2
        dx = (np.arange(width) - column - right * speed * t + width / 2) % width - width / 2
        near = np.ix_(abs(dy) < 1.6 * radius, abs(dx) < 1.6 * radius)  # no bump reaches so far
        dy, dx = np.broadcast_arrays(dy[near[0]], dx[near[1]])
        now = angle + clockwise * turn * t
        across = np.cos(now) * dx + np.sin(now) * dy  # the blob's own axes
        along = np.cos(now) * dy - np.sin(now) * dx
        around = np.arctan2(along, across)
        edge = 1 + bumps[0] * np.cos(2 * around + at[0]) + bumps[1] * np.cos(3 * around + at[1])
        share = np.clip(radius * edge - np.hypot(dy, dx) + 0.5, 0, 1)[..., None]
        painted = sampled(blob, 2 * along.ravel(), 2 * across.ravel()).reshape(*dy.shape, 3)
        picture[near] += share * (painted - picture[near])
        picture += random.integers(-NOISE, NOISE, picture.shape, np.int8, endpoint=True)
        frames.append(np.clip(picture, 0, 255).astype(np.uint8))
    return np.stack(frames).transpose(0, 3, 1, 2), rate


def write_clip(folder: Path, seed: int, number: int) -> None:
    """Clip `number` of the folder; its class is number % 6."""
    motion = list(MOTIONS)[number % len(MOTIONS)]
    (folder / motion).mkdir(exist_ok=True)
    write_atomically(folder / motion / f"{number:03}.mp4", encode(*draw(motion, (seed, number))))


def write_folder(folder: Path, clips: int = CLIPS, seed: int = 0, processes: int = 2) -> Path:
    """`clips` of each class and the two bad files, in a new folder."""
    folder.mkdir(parents=True)
    numbers = range(clips * len(MOTIONS))
    with multiprocessing.Pool(processes) as pool:
        pool.map(partial(write_clip, folder, seed), numbers, chunksize=4)
    whole = encode(*draw("moves_up", (seed, len(numbers))))
    write_atomically(folder / CUT, whole[: len(whole) // 2])
    write_atomically(folder / HTML, "<!DOCTYPE html><title>404 Not Found</title>\n")
    return folder


class Frames(Dataset):
    """Training clips, or views, of videos read once: one frame alone, repeated, or in no order."""

    def __init__(self, catalog: Catalog, recipe: Recipe, frames: str, views: bool = False):
        self.class_names, self.recipe, self.frames = catalog.class_names, recipe, frames
        self.views, self.epoch, self.videos = views, 0, []
        for segment in catalog:
            with contextlib.suppress(VideoError), VideoReader(segment.path) as video:
                pixels = video.read(range(video.num_frames), short_side=recipe.max_short_side)
                self.videos.append((pixels, video.times, segment.label))

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        pixels, times, label = self.videos[number]
        random = np.random.default_rng((self.recipe.seed, self.epoch, number))
        indices = self.recipe.sampling().train(times, random)
        shown = random.permutation(indices)
        if self.frames == "one":
            shown[:] = shown[0]
        clip = pixels[torch.from_numpy(shown)]
        if self.views:
            return self.recipe.test_transform(crops=1)(clip)[0], label
        transform = self.recipe.train_transform(self.class_names)
        return transform.with_label(clip, label, int(random.integers(2**31)))


def bound(folder: Path, frames: str, seed: int) -> str:
    """What a model reaches on held-out clips that learns from such frames, and is shown such.

    frames: "one", or "shuffled". Recipe, start and clips are those of the run that is measured.
    """
    recipe = Recipe.preset("cpu_small", seed=seed, classes=len(MOTIONS))
    train, held_out = read_folder(folder).split(HELD_OUT)
    start, _ = load_checkpoint(SMALL_VIDEO_VIT)
    torch.manual_seed(seed)
    model = build_model(replace(start.config, num_classes=len(MOTIONS)))
    model.class_names = train.class_names
    adapt(model, start)
    with tempfile.TemporaryDirectory() as aside:
        data = Frames(train, recipe, frames)
        run = fit(model, data, recipe=recipe, folder=Path(aside, "run"), device="cpu")
    views, hits = Frames(held_out, recipe, frames, views=True), 0
    for epoch in range(VIEWS):  # of each video, all averaged
        views.set_epoch(epoch)
        hits = hits + score_views(run.model, views, progress=False).average()["class"]
    labels = np.array([label for *_, label in views.videos])
    right = int((hits.argmax(1) == labels).sum())
    low, high = interval(right, len(labels))
    learnt = run.history[-1]["accuracy"]
    return (
        f"{frames}: {right / len(labels):.1%} ({low:.1%} to {high:.1%}) of {len(labels)} held-out "
        f"clips, {learnt:.1%} of those that it learns"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=CLIPS, help="of each class")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bounds", action="store_true", help="train on the folder that is there")
    options = parser.parse_args()
    if not options.bounds:
        write_folder(options.folder, options.clips, options.seed)
        return
    for frames in ("one", "shuffled"):
        print(bound(options.folder, frames, options.seed), flush=True)


if __name__ == "__main__":
    main()

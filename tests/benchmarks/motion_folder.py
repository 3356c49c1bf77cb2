"""A folder of videos whose classes differ in motion only.

    python tests/benchmarks/motion_folder.py videos            360 clips, a folder for each class
    python tests/benchmarks/motion_folder.py videos --bounds   then: what one frame, and what a bag
                                                               of frames, tells of the class

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
import itertools
import multiprocessing
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from vivit_lab.data import Catalog, read_folder
from vivit_lab.data.arrow_of_time import encode
from vivit_lab.io import write_atomically
from vivit_lab.training.metrics import interval
from vivit_lab.video import VideoError, VideoReader

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
HELD_OUT = 0.25  # of each class
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


def one_frame(clip: torch.Tensor) -> torch.Tensor:
    """What the middle frame shows, (T, 3, 18, 18) -> features."""
    return clip[len(clip) // 2].flatten()


def bag_of_frames(clip: torch.Tensor) -> torch.Tensor:
    """What all frames show in whatever order: how much each place changes, and along which lines"""
    changes = clip.std(0).mean(0), (clip.amax(0) - clip.amin(0)).mean(0)
    waves = [torch.fft.rfft2(each).abs()[:8, :8] for each in changes]  # wherever the blob is
    sums = changes[0].mean(0), changes[0].mean(1)  # along columns, and along rows
    lines = [each for line in sums for each in (line.sort()[0], line.std())]
    return torch.cat([each.flatten() for each in (*changes, *waves, *lines)])


def features(catalog: Catalog, seen: Callable) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, F) and labels (N,) of the videos that can be read, their middles in small."""
    found = []
    for segment in catalog:
        with contextlib.suppress(VideoError), VideoReader(segment.path) as video:
            clip = video.read(range(video.num_frames), short_side=72)
            top, left = (size // 2 - 36 for size in clip.shape[-2:])
            middle = clip[..., top : top + 72, left : left + 72].float()
            found.append((seen(adaptive_avg_pool2d(middle, 18)).numpy(), segment.label))
    return np.array([each for each, _ in found]), np.array([label for _, label in found])


def bound(folder: Path, seen: Callable) -> str:
    """How many held-out clips a classifier on these features names rightly.

    Ridge regression on the classes, its kernel (linear or Gaussian) and its penalty chosen by five
    folds of the other clips.
    """
    train, held_out = (features(part, seen) for part in read_folder(folder).split(HELD_OUT))
    (x, y), (new, labels) = train, held_out
    middle, spread = x.mean(0), x.std(0) + 1e-6
    x, new = (x - middle) / spread, (new - middle) / spread
    fold = np.random.default_rng(0).permutation(len(x)) % 5

    def answers(kernel: Callable, penalty: float, x, y, new) -> np.ndarray:
        weights = np.linalg.solve(kernel(x, x) + penalty * np.eye(len(x)), np.eye(len(MOTIONS))[y])
        return (kernel(new, x) @ weights).argmax(1)

    def right_in_folds(choice: tuple) -> float:
        parts = [(fold != k, fold == k) for k in range(5)]
        return np.mean([(answers(*choice, x[a], y[a], x[b]) == y[b]).mean() for a, b in parts])

    linear = lambda a, b: a @ b.T / a.shape[1]  # noqa: E731
    square = lambda a: (a**2).mean(1)  # noqa: E731
    gauss = lambda a, b: np.exp(linear(a, b) - (square(a)[:, None] + square(b)) / 2)  # noqa: E731
    choice = max(itertools.product((linear, gauss), 10.0 ** np.arange(-3, 2)), key=right_in_folds)
    hits = int((answers(*choice, x, y, new) == labels).sum())
    low, high = interval(hits, len(labels))
    return (
        f"{seen.__name__}: {hits / len(labels):.1%} ({low:.1%} to {high:.1%}) of {len(labels)} "
        f"held-out clips; {right_in_folds(choice):.1%} of the {len(x)} others, in five folds"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=CLIPS, help="of each class")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bounds", action="store_true", help="of the folder that is there")
    options = parser.parse_args()
    if not options.bounds:
        write_folder(options.folder, options.clips, options.seed)
        return
    for seen in (one_frame, bag_of_frames):
        print(bound(options.folder, seen), flush=True)


if __name__ == "__main__":
    main()

"""Clips a second through the loader, beside bare decoding of the very same frames.

    make bench            or            python tests/benchmarks/loading.py --clips 24

Files of 10 s, 340x256, 25 frames a second, with a key picture every 12 and every 250 frames. A
training clip is 32 frames at stride 2, scaled to 256..320 and cropped to 224; a test sample is the
12 views of a video. Bare decoding is `VideoReader.read` alone, at the same size and cut: no flip,
no colours, no views, no batch. All contestants take turns; the figure is the median of the turns.
The machine's load stands beside the figures, because it decides them.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "video"))
from clips import write_clip

from vivit_lab.data.catalog import Catalog, Segment
from vivit_lab.data.dataset import ClipDataset, ViewDataset, generator
from vivit_lab.data.loader import ClipLoader
from vivit_lab.data.shards import ShardDataset, write_shards
from vivit_lab.video import VideoReader

FILES = 6


def write_videos(folder: Path, gop: int) -> Catalog:
    """Noisy moving bars, so that the pictures cost what real ones do."""
    grain = np.random.default_rng(0).normal(0, 6, (64, 256, 340, 1))

    def drawn(i: int, height: int, width: int) -> np.ndarray:
        waves = np.sin((np.arange(width) + 3 * i) / 17)[:, None] * (90, 60, 30) + (128, 120, 100)
        return np.clip(waves[None] + grain[i % 64], 0, 255).astype(np.uint8)

    options = {"g": str(gop), "crf": "26", "preset": "fast", "sc_threshold": "0"}
    folder.mkdir()
    first = write_clip(folder / "0.mp4", 250, 256, 340, options=options, drawn=drawn)
    paths = [first]
    for number in range(1, FILES):
        paths.append(folder / f"{number}.mp4")
        paths[-1].write_bytes(first.read_bytes())
    return Catalog([Segment(path, 0) for path in paths], ["moving"], source=folder)


def repeated(catalog: Catalog, count: int) -> Catalog:
    segments = [catalog[number % len(catalog)] for number in range(count)]
    return Catalog(segments, catalog.class_names, catalog.source)


def bare_clips(dataset: ClipDataset) -> Iterator[int]:
    for number in range(len(dataset)):
        random = generator(dataset.seed, dataset.epoch, number)
        with VideoReader(dataset.catalog[number].path) as video:
            numbers = dataset.sampling.train(video.times, random)
            draw = dataset.transform.draw(video.height, video.width, int(random.integers(2**31)))
            yield len(video.read(numbers, short_side=draw.short_side, crop=draw.box))


def bare_views(dataset: ViewDataset) -> Iterator[int]:
    for segment in dataset.catalog:
        with VideoReader(segment.path) as video:
            numbers = np.unique(dataset.sampling.test(video.times, dataset.clips))
            yield len(video.read(numbers, short_side=dataset.transform.short_side))


def per_second(samples: int, run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return samples / (time.perf_counter() - begun)


def loaded(loader: ClipLoader) -> Callable[[], None]:
    """A whole epoch; the workers have been started by an earlier one."""

    def run() -> None:
        for _ in loader:
            pass

    run()
    return run


class Ready(torch.utils.data.Dataset):
    """The same clip over and over, at once."""

    def __init__(self, count: int):
        self.count, self.clip = count, torch.zeros(32, 3, 224, 224, dtype=torch.uint8)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        return self.clip, 0


def through_a_file(count: int) -> float:
    """Clips a second, from a worker to here, when they are there already: what a batch costs."""

    loader = ClipLoader(Ready(count), batch_size=4, workers=1)
    return per_second(count, loaded(loader))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=24, help="training clips a turn")
    parser.add_argument("--views", type=int, default=6, help="test videos a turn")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        contestants = {}
        for gop in (12, 250):
            catalog = write_videos(Path(folder, str(gop)), gop)
            shards = Path(folder, f"shards_{gop}")
            write_shards(repeated(catalog, FILES), shards, samples_per_shard=2)
            clips = ClipDataset(repeated(catalog, options.clips))
            views = ViewDataset(repeated(catalog, options.views))
            streamed = ShardDataset(shards, buffer=4)
            rows = {("clips", "bare", options.clips): lambda d=clips: list(bare_clips(d))}
            for workers in (0, 1, 2):
                how = f"{workers} workers"
                rows["clips", how, options.clips] = loaded(ClipLoader(clips, 4, workers))
                rows["shards", how, len(streamed)] = loaded(ClipLoader(streamed, 2, workers))
            rows["views", "bare", options.views] = lambda d=views: list(bare_views(d))
            for workers in (0, 1, 2):
                rows["views", f"{workers} workers", options.views] = loaded(
                    ClipLoader(views, 1, workers)
                )
            contestants |= {(gop, *row): run for row, run in rows.items()}
        found: dict[tuple, list[float]] = {row: [] for row in contestants}
        for turn in range(options.turns):
            for row, run in contestants.items():
                found[row].append(per_second(row[-1], run))
            print(f"turn {turn + 1} of {options.turns} done", flush=True)

    print("\n| key every | what | how | a second | of bare decoding, one core |")
    print("|---|---|---|---|---|")
    median = {row[:3]: statistics.median(values) for row, values in found.items()}
    for (gop, what, how), rate in median.items():
        bare = median[gop, "views" if what == "views" else "clips", "bare"]
        print(f"| {gop} | {what} | {how} | {rate:.1f} | {rate / bare:.0%} |")
    print(
        f"\na batch from worker to here: {through_a_file(200):.0f} clips/s "
        f"(load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)"
    )


if __name__ == "__main__":
    main()

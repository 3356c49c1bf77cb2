"""Clips a second through the loader, beside bare decoding of the very same frames.

    make bench            or            python tests/benchmarks/loading.py --clips 24

The files of reading.py, 10 s, 340x256, with a key picture every 12 and every 250 frames. A
training clip is 32 frames at stride 2, scaled to 256..320 and cropped to 224; a test sample is the
12 views of a video. Bare decoding is `VideoReader.read` alone, at the same size and cut: no flip,
no colours, no views, no batch. All contestants take turns; the figure is the median of the turns.
The machine's load stands beside the figures, because it decides them.
"""

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measuring import load, per_second, print_table, take_turns
from reading import file

from vivit_lab.data.catalog import Catalog, Segment
from vivit_lab.data.dataset import ClipDataset, ViewDataset, generator
from vivit_lab.data.loader import ClipLoader
from vivit_lab.data.shards import ShardDataset, write_shards
from vivit_lab.video import VideoReader

FILES = 6


def bare_clips(dataset: ClipDataset) -> None:
    for number in range(len(dataset)):
        random = generator(dataset.seed, dataset.epoch, number)
        with VideoReader(dataset.catalog[number].path) as video:
            numbers = dataset.sampling.train(video.times, random)
            draw = dataset.transform.draw(video.height, video.width, int(random.integers(2**31)))
            video.read(numbers, short_side=draw.short_side, crop=draw.box)


def bare_views(dataset: ViewDataset) -> None:
    for segment in dataset.catalog:
        with VideoReader(segment.path) as video:
            numbers = np.unique(dataset.sampling.test(video.times, dataset.clips))
            video.read(numbers, short_side=dataset.transform.short_side)


def loaded(data, batch: int, workers: int) -> Callable[[], None]:
    """A whole epoch; the workers have been started by an earlier one."""
    loader = ClipLoader(data, batch, workers)

    def run() -> None:
        for _ in loader:
            pass

    run()
    return run


def contestants(folder: Path, gop: int, options: argparse.Namespace) -> dict:
    """(what, how, samples) -> a run of so many."""
    paths = [folder / f"{number}.mp4" for number in range(FILES)]
    for path in paths:
        shutil.copy(file(f"340x256, GOP {gop}"), path)

    def catalog(count: int) -> Catalog:
        return Catalog([Segment(paths[i % FILES], 0) for i in range(count)], ["moving"], folder)

    write_shards(catalog(FILES), folder / "shards", samples_per_shard=2)
    streamed = ShardDataset(folder / "shards", buffer=4)
    clips, views = ClipDataset(catalog(options.clips)), ViewDataset(catalog(options.views))
    runs = {
        ("clips", "bare", len(clips)): partial(bare_clips, clips),
        ("views", "bare", len(views)): partial(bare_views, views),
    }
    for what, data, batch in ("clips", clips, 4), ("shards", streamed, 2), ("views", views, 1):
        for workers in (0, 1, 2):
            runs[what, f"{workers} workers", len(data)] = loaded(data, batch, workers)
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=24, help="training clips a turn")
    parser.add_argument("--views", type=int, default=6, help="test videos a turn")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for gop in (12, 250):
        with tempfile.TemporaryDirectory() as folder:
            runs = contestants(Path(folder), gop, options)
            rates = {row: partial(per_second, row[-1], run) for row, run in runs.items()}
            found = take_turns(rates, options.turns)
        medians = {row[:2]: statistics.median(values) for row, values in found.items()}
        rows = []
        for (what, how), rate in medians.items():
            bare = medians["views" if what == "views" else "clips", "bare"]
            rows.append((what, how, f"{rate:.1f}", f"{rate / bare:.0%}"))
        print_table(
            f"a key picture every {gop} | how | a second | of bare decoding, one core", rows
        )
    ready = [(torch.zeros(32, 3, 224, 224, dtype=torch.uint8), 0)] * 200
    rate = per_second(len(ready), loaded(ready, 4, 1))
    print(f"\na batch from worker to here: {rate:.0f} clips/s ({load()})")


if __name__ == "__main__":
    main()

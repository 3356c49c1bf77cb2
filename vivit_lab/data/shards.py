"""ShardDataset: training and test clips out of tar shards, read from beginning to end.

A shard is an ordinary tar file in the manner of webdataset: each sample is a video and, under the
same key, a JSON file with its label. webdataset opens them, from a disk, a URL or a pipe. Reading
in one go suits disks, networks and stores that are slow at finding many small files.
"""

import json
import warnings
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import braceexpand
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info
from webdataset.gopen import gopen
from webdataset.tariterators import group_by_keys, tar_file_expander

from vivit_lab.data.bad_videos import (
    BadVideo,
    BadVideoWarning,
    ShardError,
    TooManyBadVideos,
    allowed,
    check_limit,
    listed,
)
from vivit_lab.data.catalog import Segment
from vivit_lab.data.dataset import (
    ATTEMPTS,
    Sampling,
    generator,
    read_clip,
    read_views,
    reason,
)
from vivit_lab.data.fetched import Fetched, Label
from vivit_lab.data.shard_plan import Part, batches_of, parts_of, share_of
from vivit_lab.data.shard_writing import INDEX, read_index
from vivit_lab.errors import whole
from vivit_lab.video.clip_sampling import ByFrame
from vivit_lab.video.opening import VideoError
from vivit_lab.video.reader import VideoReader
from vivit_lab.video.transforms import TestTransform, TrainTransform

BLOCK = 512  # bytes; a tar file ends with blocks of zeros
KEPT = 8  # samples kept after use, to replace a bad one


class Stored(NamedTuple):
    """A sample as it lies in a shard.

    >>> Stored("000000.tar", "00000007", 7, b"...", Segment(Path("a.mp4"), 3)).number
    7
    """

    shard: str
    key: str
    number: int  # of the catalogue's segment; a checksum of the key where the shard does not say
    video: bytes
    segment: Segment

    @property
    def name(self) -> str:
        return f"{self.shard}: {self.segment.name or self.segment.path.name} (sample {self.key})"


class ShardDataset(IterableDataset):
    """The clips of a sharded data set, as a stream: `ClipDataset` or `ViewDataset` out of shards.

    source: a folder that `write_shards` made; or, for shards on the network or made elsewhere, a
    pattern such as "https://host/train-{000000..000146}.tar" or "pipe:ssh host cat {0..9}.tar", or
    a list of paths and URLs. sampling, transform, seed, max_bad: as for `ClipDataset`; with a
    `TestTransform` each sample is all views of `clips` test clips, and a bad video is an error.
    shuffle: the order of the shards, by (seed, epoch), and of the samples within a buffer of so
    many videos; `write_shards` has already put the samples into a random order.

    Use it in a `ClipLoader`, which hands every sample to exactly one worker of one process in each
    epoch, also where the number of shards does not divide: the index of the folder says how many
    samples each shard has, so that each process takes a stretch of samples, within one of the
    others' in length. Without an index whole shards are shared out, and processes may differ.
    A clip depends on (seed, epoch, sample) only; its place in the order also on the number of
    workers. A saved place is exact with the same number of workers and the same batch size; going
    there reads the shards again up to it, but decodes nothing.

    A bad video is replaced by another that is in the buffer. Raises ShardError for a shard that is
    missing, cut short or not complete (a sample without label, or without video).

    >>> import tempfile
    >>> from vivit_lab.data import sample
    >>> from vivit_lab.data.catalog import Catalog
    >>> from vivit_lab.data.shard_writing import write_shards
    >>> catalog = Catalog([Segment(sample("counter"), label=0)], ["counting"], source="here")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = write_shards(catalog, Path(folder, "shards"))
    ...     for clip, label in ShardDataset(Path(folder, "shards"), ByFrame(clip_frames=8)):
    ...         print(clip.shape, label)
    torch.Size([8, 3, 224, 224]) 0
    """

    def __init__(
        self,
        source: str | Path | Sequence[str | Path],
        sampling: Sampling | None = None,
        transform: TrainTransform | TestTransform | None = None,
        seed: int = 0,
        max_bad: int | float | None = None,
        shuffle: bool = True,
        buffer: int = 100,
        clips: int = 4,
    ):
        for name, value, least in (("seed", seed, 0), ("buffer", buffer, 1), ("clips", clips, 1)):
            whole(name, value, least)
        self.source, self.seed, self.epoch = source, seed, 0
        self.sampling = ByFrame() if sampling is None else sampling
        self.transform = TrainTransform() if transform is None else transform
        self.testing = isinstance(self.transform, TestTransform)
        self.shuffle, self.buffer, self.clips = shuffle, buffer, clips
        self.class_names, self.counts = None, None
        folder = Path(source) if isinstance(source, (str, Path)) else None
        if folder is not None and folder.is_dir():
            index = read_index(folder)
            self.class_names = index["class_names"]
            self.shards = [str(folder / shard["file"]) for shard in index["shards"]]
            self.counts = [shard["samples"] for shard in index["shards"]]
        else:
            self.shards = _expanded(source)
        self.bad_limit = 0 if self.testing else self._limit(max_bad)
        self._reasons: dict[int, str] = {}

    def _limit(self, max_bad: int | float | None) -> int:
        if self.counts is not None:
            return allowed(0.01 if max_bad is None else max_bad, sum(self.counts))
        if isinstance(max_bad, float):
            raise ValueError(
                f"max_bad is {max_bad}, a share of a number that is not known here, because the "
                "shards have no index; give a number of videos, such as 10."
            )
        return allowed(10 if max_bad is None else max_bad, 0)

    def __repr__(self) -> str:
        return f"ShardDataset({str(self.source)!r}: {len(self.shards)} shards)"

    def set_epoch(self, epoch: int) -> None:
        """Draw other clips in another order: those of this epoch, a whole number of at least 0."""
        whole("epoch", epoch, least=0)
        self.epoch = epoch

    def __len__(self) -> int:
        """Samples in all shards. Raises TypeError where no index says."""
        if self.counts is None:
            raise TypeError(f"{self!r} has no index, so that its length is not known.")
        return sum(self.counts)

    def batches(self, rank: int, world_size: int, batch_size: int, drop_last: bool) -> int:
        """Batches that a `ClipLoader` of process `rank` gets in an epoch."""
        first, stop = share_of(len(self), rank, world_size, batch_size, drop_last)
        return batches_of(stop - first, batch_size)

    def settings(self) -> dict:
        """What decides the order, for the saved place of a loader."""
        return {
            "shards": [Path(shard).name for shard in self.shards],
            "shard_seed": self.seed,
            "shard_shuffle": self.shuffle,
            "buffer": self.buffer,
        }

    def __iter__(self) -> Iterator[tuple[Tensor, Label]]:
        rank, world_size = 0, 1
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        for fetched in self.stream(self.epoch, rank, world_size, 1, False, worker, workers):
            for bad in fetched.bad:
                warnings.warn(str(bad), BadVideoWarning, stacklevel=2)
            yield fetched.clip, fetched.label

    def stream(
        self,
        epoch: int,
        rank: int,
        world_size: int,
        batch_size: int,
        drop_last: bool,
        worker: int,
        workers: int,
        skip: int = 0,
    ) -> Iterator[Fetched]:
        """The samples of one worker of one process in an epoch, without the first `skip`."""
        order = np.arange(len(self.shards))
        random = generator(self.seed, epoch, rank * workers + worker, ATTEMPTS)
        if self.shuffle:
            order = generator(self.seed, epoch, 0, ATTEMPTS + 1).permutation(len(order))
        parts = parts_of(
            order.tolist(), self.counts, rank, world_size, batch_size, drop_last, worker, workers
        )
        held, used = [], deque(maxlen=KEPT)
        size = self.buffer if self.shuffle else 1
        stored, done = self._stored(parts), 0
        while True:
            while len(held) <= size and (sample := next(stored, None)) is not None:
                held.append(sample)
            if not held:
                return
            sample = held.pop(int(random.integers(len(held))) if self.shuffle else 0)
            if done >= skip:
                yield self._fetch(epoch, sample, [*held, *used])
            used.append(sample)
            done += 1

    def _fetch(self, epoch: int, sample: Stored, others: list[Stored]) -> Fetched:
        asked, tried, bad = sample.number, {}, []
        random = generator(self.seed, epoch, asked)
        for attempt in range(ATTEMPTS):
            if attempt:
                random = generator(self.seed, epoch, asked, attempt)
                others = [other for other in others if other.number not in tried]
                if not others:
                    break
                sample = others[int(random.integers(len(others)))]
                bad.append(BadVideo(epoch, *list(tried.items())[-1], replaced_by=sample.number))
            try:
                return Fetched(*self._clip(sample, random), sample.number, tuple(bad))
            except (VideoError, OSError) as error:
                tried[sample.number] = self._reasons[sample.number] = reason(sample.name, error)
                count = None if self.counts is None else len(self)
                check_limit(self._reasons, self.bad_limit, count, None)
        raise TooManyBadVideos(
            f"Sample {asked} and those that could take its place cannot be used:\n"
            f"{listed(tried.values())}"
        )

    def _clip(self, sample: Stored, random: np.random.Generator) -> tuple[Tensor, Label]:
        segment = sample.segment
        with VideoReader(sample.video, name=sample.name) as video:
            if self.testing:
                views = read_views(video, segment, self.sampling, self.clips, self.transform)
                return views, segment.label
            return read_clip(video, segment, self.sampling, self.transform, random)

    def _stored(self, parts: list[Part]) -> Iterator[Stored]:
        """The samples of some stretches of some shards, in their order."""
        for part in parts:
            place = -1
            for place, sample in enumerate(read_shard(self.shards[part.shard])):
                if part.stop is not None and place >= part.stop:
                    break
                if place >= part.first:
                    yield sample
            if part.stop is not None and place < part.stop - 1:
                raise ShardError(
                    f"{self.shards[part.shard]}: it is cut short after {place + 1} samples of "
                    f"{self.counts[part.shard]}. Copy it again, or write the shards anew."
                )


def read_shard(shard: str) -> Iterator[Stored]:
    """The samples of one shard, by its path, URL or pipe, from beginning to end.

    Raises ShardError if it is missing or cut short, or a sample lacks its video or label.
    """
    last = "its beginning"
    try:
        stream = gopen(shard)
    except (OSError, ValueError) as error:
        raise ShardError(f"{shard}: it cannot be opened ({error}).") from error
    try:
        tail = _Tail(stream)
        files = tar_file_expander([{"url": shard, "stream": tail}])
        samples = group_by_keys(files)
        while True:
            try:
                sample = next(samples, None)
            except Exception as error:  # webdataset and tarfile raise many kinds
                said = str(error).partition(" @ ")[0]
                raise ShardError(
                    f"{shard}: it is cut short or damaged after {last} ({said})."
                ) from error
            if sample is None:
                break
            yield _checked(shard, sample)
            last = f"sample {sample['__key__']}"
        if str(shard).endswith(".tar") and any(tail.end):
            raise ShardError(
                f"{shard}: it is cut short after {last}; the end of the tar is missing."
            )
    finally:
        with suppress(OSError):  # a pipe that was left early complains
            stream.close()


class _Tail:
    """A stream that remembers the last block that was read from it."""

    def __init__(self, stream):
        self._stream, self.end = stream, b"\1"

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.end = (self.end + data)[-BLOCK:]
        return data


def _checked(shard: str, sample: dict) -> Stored:
    """A sample as webdataset groups it, or ShardError if its video or its label is not there."""
    key = sample["__key__"]
    videos = [name for name in sample if not name.startswith("__") and name not in ("json", "cls")]
    if len(videos) != 1:
        found = ", ".join(videos) or "none"
        raise ShardError(f"{shard}: sample {key} should have one video, but has {found}.")
    try:
        about = json.loads(sample["json"]) if "json" in sample else {"label": int(sample["cls"])}
        label = about["label"]
    except KeyError:
        raise ShardError(
            f"{shard}: sample {key} has no label. It should lie beside the video, as {key}.json "
            f'with {{"label": 3}}, or as {key}.cls.'
        ) from None
    except ValueError as error:
        raise ShardError(f"{shard}: the label of sample {key} cannot be read ({error}).") from None
    segment = Segment(
        Path(f"{key}.{videos[0]}"),
        label,
        about.get("start"),
        about.get("end"),
        about.get("name", ""),
    )
    number = about.get("number", zlib.crc32(key.encode()))
    return Stored(shard, key, number, sample[videos[0]], segment)


def _expanded(source: str | Path | Sequence[str | Path]) -> list[str]:
    given = [source] if isinstance(source, (str, Path)) else list(source)
    shards = [shard for one in given for shard in braceexpand.braceexpand(str(one))]
    missing = [shard for shard in shards if ":" not in shard and not Path(shard).is_file()]
    if missing or not shards:
        raise ShardError(
            f"{missing[0] if missing else source}: there is no such shard, nor a folder with "
            f"{INDEX} in it. Shards are made by: python -m vivit_lab shard SOURCE FOLDER"
        )
    return shards

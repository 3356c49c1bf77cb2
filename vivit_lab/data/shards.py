"""ShardDataset: training and test clips out of tar shards, read from beginning to end.

A shard is an ordinary tar file in the manner of webdataset: each sample is a video and, under the
same key, a JSON file with its label. webdataset opens them, from a disk, a URL or a pipe. Reading
in one go suits disks, networks and stores that are slow at finding many small files.
"""

import errno
import hashlib
import json
import os
import shutil
import warnings
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import braceexpand
import numpy as np
import torch
import webdataset as wds
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info
from tqdm import tqdm
from webdataset.gopen import gopen
from webdataset.tariterators import group_by_keys, tar_file_expander

from vivit_lab.data.catalog import Catalog, Segment
from vivit_lab.data.dataset import (
    ATTEMPTS,
    BadVideo,
    BadVideoWarning,
    Fetched,
    Label,
    Sampling,
    TooManyBadVideos,
    allowed,
    check_limit,
    generator,
    listed,
    read_clip,
    read_views,
    reason,
)
from vivit_lab.errors import whole
from vivit_lab.video.opening import VideoError
from vivit_lab.video.reader import VideoReader
from vivit_lab.video.sampling import ByFrame, frames_between
from vivit_lab.video.transforms import TestTransform, TrainTransform

BLOCK = 512  # bytes; a tar file ends with blocks of zeros
FORMAT = "vivit-lab-shards-1"
INDEX = "index.json"  # the last file to be written: where it lies, the shards are complete
PLAN = "unfinished.json"  # lies there until then
SPARE = 1 << 20  # bytes that a disk should have left over
HEADERS = 4096  # bytes of tar that a sample costs beside its video, generously
KEPT = 8  # samples kept after use, to replace a bad one


class ShardError(Exception):
    """A shard that cannot be read or written. The message names it, the sample, and the reason.

    >>> raise ShardError("000003.tar: it is cut short after 17 of 100 samples.")
    Traceback (most recent call last):
    vivit_lab.data.shards.ShardError: 000003.tar: it is cut short after 17 of 100 samples.
    """


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
    >>> from vivit_lab.data.shards import write_shards
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

    def _stored(self, parts: "list[Part]") -> Iterator[Stored]:
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


class Part(NamedTuple):
    """Samples first to stop - 1 of a shard; stop is None where its length is not known.

    >>> Part(shard=2, first=10, stop=20).shard
    2
    """

    shard: int
    first: int
    stop: int | None


def share_of(
    count: int, rank: int, world_size: int, batch_size: int, drop_last: bool
) -> tuple[int, int]:
    """Places in the epoch's order, first to stop - 1, that process `rank` takes of `count`.

    The shares differ by at most one. With drop_last they are equal, and whole batches.

    >>> [share_of(10, rank, 3, batch_size=2, drop_last=False) for rank in range(3)]
    [(0, 3), (3, 6), (6, 10)]
    >>> [share_of(10, rank, 3, batch_size=2, drop_last=True) for rank in range(3)]
    [(0, 2), (3, 5), (6, 8)]
    """
    first, stop = rank * count // world_size, (rank + 1) * count // world_size
    if drop_last:
        stop = first + count // world_size // batch_size * batch_size
    return first, stop


def batches_of(count: int, batch_size: int) -> int:
    """Batches that `count` samples make; the last may be smaller.

    >>> batches_of(9, 4)
    3
    """
    return -(-count // batch_size)


def parts_of(
    order: list[int],
    counts: list[int] | None,
    rank: int,
    world_size: int,
    batch_size: int,
    drop_last: bool,
    worker: int,
    workers: int,
) -> list[Part]:
    """What one worker reads. order: the shards as the epoch takes them; counts: their samples.

    A process's share is cut into whole batches for its workers, so that only its last batch may
    be smaller. Without counts each worker takes every so manieth shard, whole.

    >>> parts_of([1, 0], [4, 6], 0, 1, 2, False, worker=1, workers=2)
    [Part(shard=1, first=4, stop=6), Part(shard=0, first=0, stop=4)]
    >>> parts_of([1, 0, 2], None, 0, 1, 2, False, worker=1, workers=2)
    [Part(shard=0, first=0, stop=None)]
    """
    if counts is None:
        mine = order[rank * workers + worker :: world_size * workers]
        return [Part(shard, 0, None) for shard in mine]
    first, stop = share_of(sum(counts), rank, world_size, batch_size, drop_last)
    batches = batches_of(stop - first, batch_size)
    begin = first + worker * batches // workers * batch_size
    end = min(first + (worker + 1) * batches // workers * batch_size, stop)
    parts, before = [], 0
    for shard in order:
        low, high = max(begin - before, 0), min(end - before, counts[shard])
        if low < high:
            parts.append(Part(shard, low, high))
        before += counts[shard]
    return parts


@dataclass
class ShardReport:
    """What `write_shards` did; print it.

    >>> print(ShardReport("train", samples=20, shards=2, bytes=3_000_000))
    train: 20 videos in 2 shards, 3.0 MB
    """

    folder: str
    samples: int
    shards: int
    bytes: int
    left_out: list[str] = field(default_factory=list)  # why, for each video that is not in them

    def __str__(self) -> str:
        size = f"{self.bytes / 1e6:,.1f} MB"
        text = f"{self.folder}: {self.samples:,} videos in {self.shards:,} shards, {size}"
        if self.left_out:
            text += f"\n{len(self.left_out):,} left out:\n{listed(self.left_out)}"
        return text


def write_shards(
    catalog: Catalog,
    folder: str | os.PathLike,
    samples_per_shard: int = 1000,
    megabytes_per_shard: int = 1000,
    shuffle: bool = True,
    seed: int = 0,
    progress: bool = False,
) -> ShardReport:
    """Write the videos of a catalogue into `folder`, as 000000.tar, 000001.tar, ..., index.json.

    A shard ends at so many samples or megabytes, whichever comes first. shuffle: into a random
    order, by `seed`; annotation files are often sorted by class, and a reader's buffer cannot mend
    that. progress: show a bar.

    Each video is opened first; one that cannot be read, or whose segment lies beyond its end, is
    left out, and said to be: in the report and in the index. The index also holds the class names
    and, for each shard, the number of samples, the size and the SHA-256.

    Call it again after an interruption, with the same arguments, and it goes on with the shard
    that was being written. Raises ShardError if the folder holds anything else, if several
    segments are of one video (its bytes would be stored over and over: cut it up first), for
    folders of frames, and if the disk is too small or full.

    >>> import tempfile
    >>> from vivit_lab.data import sample
    >>> catalog = Catalog([Segment(sample("counter"), label=0)], ["counting"], source="here")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = write_shards(catalog, Path(folder, "train"))
    ...     sorted(path.name for path in Path(folder, "train").iterdir()), report.samples
    (['000000.tar', 'index.json'], 1)
    """
    whole("samples_per_shard", samples_per_shard)
    whole("megabytes_per_shard", megabytes_per_shard)
    whole("seed", seed, least=0)
    folder = Path(folder)
    order = np.arange(len(catalog))
    if shuffle:
        order = np.random.default_rng(seed).permutation(len(catalog))
    sizes = _sizes(catalog)
    shards = list(_divided(order.tolist(), sizes, samples_per_shard, megabytes_per_shard * 10**6))
    _begin(folder, catalog, shards, sum(sizes) + HEADERS * len(sizes))
    entries = []
    with tqdm(total=len(catalog), unit="video", disable=not progress) as bar:
        for place, numbers in enumerate(shards):
            entries.append(_shard(folder / f"{place:06d}.tar", catalog, numbers, bar))
    return _finish(folder, catalog, entries)


def read_index(folder: str | os.PathLike) -> dict:
    """The index of a folder of shards, once each shard was found there with its size.

    Raises ShardError if the folder has none, is unfinished, or a shard is missing or cut short.

    >>> read_index("no/such/folder")
    Traceback (most recent call last):
    vivit_lab.data.shards.ShardError: no/such/folder: there is no index.json in it, so these \
are no shards. They are made by: python -m vivit_lab shard SOURCE FOLDER
    """
    folder = Path(folder)
    if (folder / PLAN).exists():
        raise ShardError(
            f"{folder}: its shards are unfinished. Write them to the end first, by the same "
            "command (python -m vivit_lab shard ...) or call of write_shards."
        )
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ShardError(
            f"{folder}: there is no {INDEX} in it, so these are no shards. They are made by: "
            "python -m vivit_lab shard SOURCE FOLDER"
        ) from None
    except ValueError as error:
        raise ShardError(f"{folder / INDEX}: it cannot be read ({error}).") from None
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise ShardError(f"{folder / INDEX}: it is not an index of the format {FORMAT}.")
    for shard in index["shards"]:
        path = folder / shard["file"]
        if not path.is_file():
            raise ShardError(f"{path}: this shard is missing. Copy it again.")
        if path.stat().st_size != shard["bytes"]:
            raise ShardError(
                f"{path}: it has {path.stat().st_size:,} bytes in place of {shard['bytes']:,}: it "
                "is cut short, or another. Copy it again."
            )
    return index


def _sizes(catalog: Catalog) -> list[int]:
    """Bytes of each video; 0 where there is none to be read, which is reported later."""
    if not len(catalog):
        raise ShardError(f"{catalog.source}: the catalogue is empty; there is nothing to shard.")
    seen, sizes = {}, []
    for segment in catalog:
        if segment.path.is_dir():
            raise ShardError(
                f"{segment.path}: this is a folder of frames, which shards cannot hold. Make a "
                "video of it first, e.g. ffmpeg -i frame_%010d.jpg OUTPUT.mp4"
            )
        if segment.path in seen:
            raise ShardError(
                f"{segment.path}: several segments are of this video (lines "
                f"{seen[segment.path].line} and {segment.line}), and it would be stored whole for "
                "each. Cut it up first, e.g. ffmpeg -ss START -to END -i INPUT OUTPUT.mp4"
            )
        seen[segment.path] = segment
        sizes.append(segment.path.stat().st_size if segment.path.is_file() else 0)
    return sizes


def _divided(
    order: list[int], sizes: list[int], most_samples: int, most_bytes: int
) -> Iterator[list[int]]:
    shard, total = [], 0
    for number in order:
        if shard and (len(shard) == most_samples or total + sizes[number] > most_bytes):
            yield shard
            shard, total = [], 0
        shard.append(number)
        total += sizes[number]
    yield shard


def _begin(folder: Path, catalog: Catalog, shards: list[list[int]], needed: int) -> None:
    """Make the folder, or find that it holds the beginning of the very same shards."""
    plan = json.dumps([[_line(catalog[number]) for number in shard] for shard in shards])
    plan = {"format": FORMAT, "plan": hashlib.sha256(plan.encode()).hexdigest()}
    if (folder / INDEX).exists():
        raise ShardError(f"{folder}: there are shards in it already. Give another folder.")
    if (folder / PLAN).exists():
        if json.loads((folder / PLAN).read_text(encoding="utf-8")) != plan:
            raise ShardError(
                f"{folder}: it holds unfinished shards of other videos or settings. Finish those, "
                "or remove the folder, or give another one."
            )
        needed -= sum(path.stat().st_size for path in folder.glob("*.tar"))
    elif folder.exists() and any(folder.iterdir()):
        raise ShardError(f"{folder}: it is not empty. Give another folder; nothing is overwritten.")
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed + SPARE > free:
        raise ShardError(
            f"{folder}: the shards need {needed / 1e6:,.0f} MB, but the disk has "
            f"{free / 1e6:,.0f} MB free."
        )
    _write_json(folder / PLAN, plan)


def _line(segment: Segment) -> dict:
    return {**asdict(segment), "path": str(segment.path)}


def _shard(path: Path, catalog: Catalog, numbers: list[int], bar: tqdm) -> dict:
    """Write one shard, unless it is there; its entry in the index."""
    note = path.with_suffix(".json")  # what the index will say of it
    if note.exists():
        entry = json.loads(note.read_text(encoding="utf-8"))
        if path.exists() and path.stat().st_size == entry["bytes"]:
            bar.update(len(numbers))
            return entry
    part, left_out = path.with_suffix(".part"), []
    try:
        with open(part, "wb") as file:
            hashed = _Hashed(file)
            with wds.TarWriter(hashed, encoder=False, mtime=0, user="", group="") as writer:
                for number in numbers:
                    try:
                        writer.write(_sample(number, catalog[number]))
                    except VideoError as error:
                        left_out.append(str(error))
                    bar.update(1)
            file.flush()
            os.fsync(file.fileno())
        entry = {
            "file": path.name,
            "samples": len(numbers) - len(left_out),
            "bytes": part.stat().st_size,
            "sha256": hashed.hash.hexdigest(),
            "left_out": left_out,
        }
        os.replace(part, path)
        _write_json(note, entry)
        return entry
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise ShardError(
            f"{part}: the disk is full. What was written before this shard is kept: make room, "
            "and give the same command again."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _sample(number: int, segment: Segment) -> dict:
    """What webdataset writes of a segment. Raises VideoError if its video cannot be used."""
    with VideoReader(segment.path) as video:
        try:
            frames_between(video.times, segment.start, segment.end)
        except ValueError as error:
            raise VideoError(f"{segment.path}: {error}") from error
    about = {"number": number, "name": segment.name or segment.path.stem, "label": segment.label}
    about |= {"start": segment.start, "end": segment.end}
    kind = segment.path.suffix.lower().lstrip(".") or "video"
    return {
        "__key__": f"{number:08d}",
        kind: segment.path.read_bytes(),
        "json": json.dumps(about).encode(),
    }


def _finish(folder: Path, catalog: Catalog, entries: list[dict]) -> ShardReport:
    left_out = [why for entry in entries for why in entry.pop("left_out")]
    entries = [entry for entry in entries if entry["samples"]]
    index = {
        "format": FORMAT,
        "source": str(catalog.source),
        "class_names": catalog.class_names,
        "samples": sum(entry["samples"] for entry in entries),
        "shards": entries,
        "left_out": left_out,
    }
    if not entries:
        raise ShardError(f"{folder}: not one of the videos can be used:\n{listed(left_out)}")
    _write_json(folder / INDEX, index)
    (folder / PLAN).unlink()
    for note in folder.glob("[0-9]*.json"):
        note.unlink()
    total = sum(entry["bytes"] for entry in entries)
    return ShardReport(str(folder), index["samples"], len(entries), total, left_out)


def _write_json(path: Path, content: dict) -> None:
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)


class _Hashed:
    """A file that keeps the SHA-256 of what is written to it."""

    def __init__(self, file):
        self._file, self.hash = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return self._file.write(data)

"""Shards: a data set's videos in tar files, which webdataset writes and reads from end to end.

Reading in one go suits disks, networks and stores that are slow at finding many small files. The
bytes of a video are stored as they are, so that a clip out of a shard is pixel for pixel that out
of the file. Beside each video, under the same key, lies a JSON file with its label.
"""

import hashlib
import itertools
import json
import os
import random
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import webdataset as wds
from braceexpand import braceexpand
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info
from tqdm import tqdm

from vivit_lab.data.catalog import Catalog, Segment
from vivit_lab.data.dataset import (
    ATTEMPTS,
    BadVideo,
    BadVideoWarning,
    Fetched,
    Label,
    Sampling,
    allowed,
    check_limit,
    generator,
    listed,
    read_clip,
    read_views,
    reason,
)
from vivit_lab.errors import whole
from vivit_lab.io import read_json, write_atomically
from vivit_lab.video.opening import VideoError
from vivit_lab.video.reader import VideoReader
from vivit_lab.video.sampling import ByFrame, frames_between
from vivit_lab.video.transforms import TestTransform, TrainTransform

FORMAT = "vivit-lab-shards-1"
INDEX = "index.json"
MADE_BY = "Shards are made by: python -m vivit_lab shard SOURCE FOLDER"


class ShardError(Exception):
    """A shard that cannot be read or written. The message names it, the sample, and the reason.

    >>> ShardError("000003.tar: it ends after 17 of 100 samples.")
    ShardError('000003.tar: it ends after 17 of 100 samples.')
    """


class ShardDataset(IterableDataset):
    """The clips of a sharded data set, as a stream: `ClipDataset` or `ViewDataset` out of shards.

    source: a folder that `write_shards` made; or, for shards on the network or made elsewhere, a
    pattern such as "https://host/train-{000000..000146}.tar" or "pipe:ssh host cat {0..9}.tar", or
    a list of paths and URLs. sampling, transform, seed, max_bad: as for `ClipDataset`; with a
    `TestTransform` each sample is all views of `clips` test clips, and a bad video is an error.
    shuffle: the order of the shards, by (seed, epoch), and of the samples within a buffer of so
    many videos; `write_shards` has already put the samples into a random order.

    Use it in a `ClipLoader`. The index of the folder says how many samples each shard has, so that
    each process takes a stretch of samples, equally long for all, and every sample comes; where it
    does not divide a few come twice, in an evaluation none. Without an index whole shards are
    shared out, and processes may differ. A clip depends on (seed, epoch, sample) only, its place
    in the order also on the number of workers. A resume starts the epoch again.

    A bad video is replaced by the sound one before it. Raises ShardError for a shard that is
    missing, cut short or not complete (a sample without label, or without video).

    >>> import tempfile
    >>> from vivit_lab.data import Catalog, Segment, sample, write_shards
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
        max_bad: int | float = 0.01,
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
        several = [source] if isinstance(source, (str, Path)) else source
        self.shards = [str(shard) for one in several for shard in braceexpand(str(one))]
        self.class_names, self.counts = None, None  # samples of each shard, where an index says
        if Path(self.shards[0]).is_dir():
            index = read_index(self.shards[0])
            self.class_names = index["class_names"]
            self.counts = [shard["samples"] for shard in index["shards"]]
            self.shards = [str(Path(self.shards[0], shard["file"])) for shard in index["shards"]]
        for shard in self.shards:
            if ":" not in shard and not Path(shard).is_file():
                raise ShardError(f"{shard}: there is no such shard. {MADE_BY}")
        count = 1000 if self.counts is None else sum(self.counts)
        self.bad_limit = 0 if self.testing else allowed(max_bad, count)

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
        first, stop = self._share(rank, world_size, batch_size, drop_last)
        return -(-(stop - first) // batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Label]]:
        for fetched in self.stream(self.epoch):
            for bad in fetched.bad:
                warnings.warn(str(bad), BadVideoWarning, stacklevel=2)
            yield fetched.clip, fetched.label

    def stream(
        self,
        epoch: int,
        rank: int = 0,
        world_size: int = 1,
        batch_size: int = 1,
        drop_last: bool = False,
    ) -> Iterator[Fetched]:
        """The samples of an epoch that are for this worker of process `rank`."""
        samples = self._stored(epoch, rank, world_size, batch_size, drop_last)
        if self.shuffle:
            rng = random.Random(f"{self.seed} {epoch}")
            samples = wds.shuffle(self.buffer, initial=self.buffer, rng=rng)(samples)
        reasons: dict[int, str] = {}
        waiting: list[int] = []  # bad ones, for which there is no other sample yet
        spare = None
        for sample in samples:
            number = sample.number
            try:
                clip, label = self._clip(sample, generator(self.seed, epoch, number))
                spare = sample
                yield Fetched(clip, label, number, ())
            except (VideoError, OSError) as error:
                reasons[number] = reason(sample.name, error)
                check_limit(self, reasons)
                waiting.append(number)
            while waiting and spare is not None:
                number = waiting.pop()
                clip, label = self._clip(spare, generator(self.seed, epoch, number, 1))
                bad = BadVideo(epoch, number, reasons[number], replaced_by=spare.number)
                yield Fetched(clip, label, spare.number, (bad,))
        if waiting:
            raise ShardError(f"Not one of the videos can be used:\n{listed(reasons.values())}")

    def _share(
        self, rank: int, world_size: int, batch_size: int, drop_last: bool
    ) -> tuple[int, int]:
        """The places, first to stop - 1, in the epoch's order of samples that a process takes."""
        count = len(self)
        if self.testing and not drop_last:  # an evaluation counts each sample once
            return rank * count // world_size, (rank + 1) * count // world_size
        share = -(-count // world_size)  # beyond the end the first ones come again
        if drop_last:
            share = count // world_size // batch_size * batch_size
        return rank * share, (rank + 1) * share

    def _stored(
        self, epoch: int, rank: int, world_size: int, batch_size: int, drop_last: bool
    ) -> Iterator["Stored"]:
        """What this worker reads: whole batches, so that only a process's last one is smaller."""
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        order = list(range(len(self.shards)))
        if self.shuffle:
            order = generator(self.seed, epoch, 0, ATTEMPTS + 1).permutation(order).tolist()
        if self.counts is None:
            for shard in order[rank * workers + worker :: world_size * workers]:
                yield from read_shard(self.shards[shard])
            return
        first, stop = self._share(rank, world_size, batch_size, drop_last)
        batches = -(-(stop - first) // batch_size)
        begin = first + worker * batches // workers * batch_size
        end = min(first + (worker + 1) * batches // workers * batch_size, stop)
        before = 0  # samples of the shards so far
        for shard in itertools.cycle(order):
            name, count = self.shards[shard], self.counts[shard]
            low, high = max(begin - before, 0), min(end - before, count)
            if high <= 0:
                return
            before += count
            if low >= high:
                continue
            place = -1
            for place, sample in enumerate(itertools.islice(read_shard(name), high)):
                if place >= low:
                    yield sample
            if place + 1 < high:
                raise ShardError(f"{name}: it ends after {place + 1} of {count} samples.")

    def _clip(self, sample: "Stored", random: np.random.Generator) -> tuple[Tensor, Label]:
        segment = sample.segment
        with VideoReader(sample.video, name=sample.name) as video:
            if self.testing:
                views = read_views(video, segment, self.sampling, self.clips, self.transform)
                return views, segment.label
            return read_clip(video, segment, self.sampling, self.transform, random)


class Stored(NamedTuple):
    """A sample as it lies in a shard."""

    name: str  # what messages call it: with the shard and the key
    number: int  # of the catalogue's segment; a checksum of the key where the shard does not say
    video: bytes
    segment: Segment


def read_shard(shard: str) -> Iterator[Stored]:
    """The samples of one shard, by its path, URL or pipe, from beginning to end."""
    try:
        for sample in wds.tarfile_to_samples()(iter([{"url": shard}])):
            yield _stored(shard, sample)
    except ShardError:
        raise
    except Exception as error:  # webdataset and tarfile raise many kinds
        said = next((part for part in error.args if isinstance(part, str)), error)
        said = str(said).partition(" @ ")[0]
        raise ShardError(f"{shard}: it cannot be read to its end ({said}).") from error


def _stored(shard: str, sample: dict[str, bytes]) -> Stored:
    key = sample["__key__"]
    files = [name for name in sample if not name.startswith("__")]
    try:
        (kind,) = (name for name in files if name not in ("json", "cls"))
        about = json.loads(sample["json"]) if "json" in sample else {"label": int(sample["cls"])}
        label = about["label"]
    except (ValueError, KeyError, TypeError) as error:
        raise ShardError(
            f"{shard}: sample {key} should be one video, and its label as {key}.json with "
            f'{{"label": 3}} or as {key}.cls, but has {", ".join(files)} ({error}).'
        ) from error
    name, number = about.get("name", ""), about.get("number", zlib.crc32(key.encode()))
    path = Path(f"{key}.{kind}")
    segment = Segment(path, label, about.get("start"), about.get("end"), name)
    return Stored(f"{shard}: {name or path.name} (sample {key})", number, sample[kind], segment)


def read_index(folder: str | Path) -> dict:
    """The index of a folder of shards, once each shard was found there with its size."""
    folder = Path(folder)
    try:
        index = read_json(folder / INDEX)
    except (ValueError, FileNotFoundError) as error:
        raise ShardError(f"{folder}: {error} {MADE_BY}") from None
    if index.get("format") != FORMAT or "unfinished" in index:
        raise ShardError(f"{folder}: its shards are unfinished, or not of the format {FORMAT}.")
    for shard in index["shards"]:
        path = folder / shard["file"]
        size = path.stat().st_size if path.is_file() else 0
        if size != shard["bytes"]:
            raise ShardError(f"{path}: it has {size:,} of {shard['bytes']:,} bytes; copy it again.")
    return index


@dataclass
class ShardReport:
    """What `write_shards` did; print it."""

    folder: str
    samples: int
    shards: int
    bytes: int
    left_out: list[str]  # why, for each video that is not in them

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

    A shard ends after so many samples or megabytes, whichever comes first. shuffle: into a random
    order, by `seed`; annotation files are often sorted by class, and a reader's buffer cannot mend
    that. progress: show a bar.

    Each video is opened first; one that cannot be read, or whose segment lies beyond its end, is
    left out, and said to be: in the report and in the index. The index also holds the class names
    and, for each shard, the number of samples, the size and the SHA-256.

    Call it again after an interruption, with the same arguments, and it goes on with the shard
    that was being written. Raises ShardError if the folder holds anything else, if several
    segments are of one video (its bytes would be stored over and over: cut it up first), for
    folders of frames, and if the disk is too small.

    >>> import tempfile
    >>> from vivit_lab.data import Catalog, Segment, sample
    >>> catalog = Catalog([Segment(sample("counter"), label=0)], ["counting"], source="here")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = write_shards(catalog, Path(folder, "train"))
    ...     sorted(path.name for path in Path(folder, "train").iterdir()), report.samples
    (['000000.tar', 'index.json'], 1)
    """
    whole("samples_per_shard", samples_per_shard)
    whole("megabytes_per_shard", megabytes_per_shard)
    whole("seed", seed, least=0)
    folder = Path(folder).absolute()
    settings = [list(catalog), samples_per_shard, megabytes_per_shard, shuffle, seed]
    index = _begin(catalog, folder, hashlib.sha256(repr(settings).encode()).hexdigest())
    shards, left_out, state = index["shards"], index["left_out"], index["unfinished"]
    place = state["done"]  # in the order: of the samples before it each shard is complete
    order = list(range(len(catalog)))
    if shuffle:
        order = np.random.default_rng(seed).permutation(len(catalog)).tolist()

    def save() -> None:
        write_atomically(folder / INDEX, json.dumps(index, indent=1) + "\n")

    def note(path: str) -> None:
        """A shard is complete: another call goes on behind it."""
        if not writer.count:  # all that should have followed was bad
            return os.remove(path)
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        entry = {"file": os.path.basename(path), "samples": writer.count}
        shards.append(entry | {"bytes": os.path.getsize(path), "sha256": digest})
        state["done"] = place
        save()

    save()
    writer = wds.ShardWriter(
        f"{folder}".replace("%", "%%") + "/%06d.tar",
        maxcount=samples_per_shard,
        maxsize=megabytes_per_shard * 10**6,
        post=note,
        start_shard=len(shards),
        verbose=0,
        encoder=False,
        **{"mtime": 0, "user": "", "group": ""},  # the same bytes whoever writes them
    )
    try:
        for number in tqdm(order[place:], unit="video", disable=not progress):
            try:
                sample = _sample(number, catalog[number])
            except VideoError as error:
                left_out.append(str(error))
            else:
                writer.write(sample)  # which may end a shard before it
            place += 1
    except BaseException:
        writer.post = None  # the shard that was being written is to be written again
        raise
    finally:
        writer.close()
    if not shards:
        raise ShardError(f"{folder}: not one of the videos can be used:\n{listed(left_out)}")
    del index["unfinished"]
    index["samples"] = sum(shard["samples"] for shard in shards)
    save()
    size = sum(shard["bytes"] for shard in shards)
    return ShardReport(str(folder), index["samples"], len(shards), size, left_out)


def _begin(catalog: Catalog, folder: Path, plan: str) -> dict:
    """The index of shards that are to be written, or to be gone on with."""
    if len({segment.path for segment in catalog}) < len(catalog):
        raise ShardError(
            f"{catalog.source}: several segments are of one video, which would be stored whole for "
            "each. Cut it up first, e.g. ffmpeg -ss START -to END -i INPUT OUTPUT.mp4"
        )
    if (folder / INDEX).exists():
        index = read_json(folder / INDEX)
        if index.get("unfinished", {}).get("plan") != plan:
            raise ShardError(f"{folder}: there are other shards in it. Give another folder.")
        return index
    if folder.exists() and any(folder.iterdir()):
        raise ShardError(f"{folder}: it is not empty. Give another folder; nothing is overwritten.")
    folder.mkdir(parents=True, exist_ok=True)
    index = {"format": FORMAT, "source": str(catalog.source), "class_names": catalog.class_names}
    return index | {"shards": [], "left_out": [], "unfinished": {"done": 0, "plan": plan}}


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
    video, about = segment.path.read_bytes(), json.dumps(about).encode()
    return {"__key__": f"{number:08d}", kind: video, "json": about}

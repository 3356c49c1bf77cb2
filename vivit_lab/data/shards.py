"""Shards: a data set's videos in tar files, which webdataset writes and reads from end to end.

The bytes of a video are stored as they are, so that a clip out of a shard is pixel for pixel that
out of the file. Beside each video, under the same key, lies a JSON file with its label.
"""

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

from vivit_lab.data import dataset
from vivit_lab.data.catalog import Catalog, Segment
from vivit_lab.data.dataset import BadVideo, Fetched, Label, Sampling, generator, listed
from vivit_lab.errors import takes_plain, whole
from vivit_lab.io import read_json, write_atomically
from vivit_lab.video.opening import VideoError
from vivit_lab.video.reader import VideoReader
from vivit_lab.video.transforms import TestTransform, TrainTransform

FORMAT = "vivit-lab-shards-1"
INDEX = "index.json"
MADE_BY = "Shards are made by: python -m vivit_lab shard SOURCE FOLDER"


class ShardError(RuntimeError):
    """A shard that cannot be read or written. The message names it, the sample, and the reason.

    >>> ShardError("000003.tar cannot be read: it ends after 17 of 100 samples.")
    ShardError('000003.tar cannot be read: it ends after 17 of 100 samples.')
    """


class ShardDataset(dataset.DrawnClips, IterableDataset):
    """The clips of a sharded data set, as a stream: `ClipDataset` or `ViewDataset` out of shards.

    source: a folder that `write_shards` made; or, for shards on the network or made elsewhere, a
    pattern such as "https://host/train-{000000..000146}.tar" or "pipe:ssh host cat {0..9}.tar", or
    a list of paths and URLs. sampling, transform, seed, max_bad: as for `ClipDataset`; with a
    `TestTransform` each sample is all views of `clips` test clips, and a bad video is an error.
    shuffle: the order of the shards, by (seed, epoch), and of the samples within a buffer of so
    many videos.

    Use it in a `ClipLoader`. By the index of the folder each process takes a stretch of samples,
    equally long for all, and every sample comes; where it does not divide a few come twice, in an
    evaluation none. Without an index whole shards are shared out, and processes may differ. A clip
    depends on (seed, epoch, sample) only. A resume starts the epoch again.

    A bad video is replaced by the sound one before it. Raises ShardError for a shard that is
    missing, cut short or not complete (a sample without label, or without video).

    >>> import tempfile
    >>> from vivit_lab.data import Catalog, Segment, sample, write_shards
    >>> catalog = Catalog([Segment(sample("counter"), label=0)], ["counting"], source="here")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = write_shards(catalog, Path(folder, "shards"))
    ...     for clip, label in ShardDataset(Path(folder, "shards")):
    ...         print(clip.shape, label)
    torch.Size([32, 3, 224, 224]) 0
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
        whole("buffer", buffer)
        whole("clips", clips)
        self.source, self.shuffle, self.buffer, self.clips = source, shuffle, buffer, clips
        several = [source] if isinstance(source, (str, Path)) else source
        self.shards = [str(shard) for one in several for shard in braceexpand(str(one))]
        self.class_names, self.counts = None, None  # samples of each shard, where an index says
        folder = Path(self.shards[0])
        if folder.is_dir():
            index = read_index(folder)
            self.class_names = index["class_names"]
            self.counts = [shard["samples"] for shard in index["shards"]]
            self.shards = [str(folder / shard["file"]) for shard in index["shards"]]
        for shard in self.shards:
            if ":" not in shard and not Path(shard).is_file():
                raise ShardError(f"{shard}: there is no such shard. {MADE_BY}")
        count = 1000 if self.counts is None else sum(self.counts)
        super().__init__(sampling, transform, seed, max_bad, count)

    def __repr__(self) -> str:
        return f"ShardDataset({str(self.source)!r}: {len(self.shards)} shards)"

    def __len__(self) -> int:
        """Samples in all shards. Raises TypeError where no index says."""
        if self.counts is None:
            raise TypeError(f"{self!r} has no index, so that its length is not known.")
        return sum(self.counts)

    def __iter__(self) -> Iterator[tuple[Tensor, Label]]:
        for fetched in self.stream(self.epoch):
            for bad in fetched.bad:
                warnings.warn(str(bad), dataset.BadVideoWarning, stacklevel=2)
            yield fetched.clip, fetched.label

    def stream(self, epoch: int, *share: int) -> Iterator[Fetched]:
        """The samples of an epoch for this worker. share: rank, world_size, batch_size, drop_last
        of its loader; by default all samples."""
        samples = self._stored(epoch, *(share or (0, 1, 1, False)))
        if self.shuffle:
            rng = random.Random(f"{self.seed} {epoch}")
            samples = wds.shuffle(self.buffer, initial=self.buffer, rng=rng)(samples)
        spare, waiting = None, []  # bad ones, for which there is no other sample yet
        for sample in samples:
            number = sample.number
            try:
                clip, label = self._clip(sample, generator(self.seed, epoch, number))
            except (VideoError, OSError) as error:
                waiting.append((number, self.why_bad(number, sample.segment.name, error)))
            else:
                spare = sample
                yield Fetched(clip, label, number, ())
            while waiting and spare is not None:
                number, why = waiting.pop()
                clip, label = self._clip(spare, generator(self.seed, epoch, number, 1))
                bad = BadVideo(epoch, number, why, replaced_by=spare.number)
                yield Fetched(clip, label, spare.number, (bad,))
        if waiting:
            raise ShardError(f"None of the videos can be used:\n{listed(dict(waiting).values())}")

    def batches(self, rank: int, world_size: int, batch_size: int, drop_last: bool) -> int:
        """Batches that a `ClipLoader` of process `rank` gets in an epoch."""
        first, stop = self._stretch(rank, world_size, batch_size, drop_last)
        return -(-(stop - first) // batch_size)

    def _stretch(self, rank: int, world_size: int, batch_size: int, drop_last: bool) -> tuple:
        """The places, first and stop, in the epoch's order of samples that a process takes."""
        count = len(self)
        if self.testing and not drop_last:  # an evaluation counts each sample once
            return rank * count // world_size, (rank + 1) * count // world_size
        share = -(-count // world_size)  # beyond the end the first ones come again
        if drop_last:
            share = count // world_size // batch_size * batch_size
        return rank * share, (rank + 1) * share

    def _stored(self, epoch: int, rank: int, world_size: int, *batches: int) -> Iterator["Stored"]:
        """What this worker reads: whole batches, so that only a process's last one is smaller."""
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        order = range(len(self.shards))
        if self.shuffle:
            order = generator(self.seed, epoch, 0, dataset.ATTEMPTS + 1).permutation(order)
        if self.counts is None:
            for shard in order[rank * workers + worker :: world_size * workers]:
                yield from read_shard(self.shards[shard])
            return
        size, count = batches[0], self.batches(rank, world_size, *batches)
        first, stop = self._stretch(rank, world_size, *batches)
        begin = first + worker * count // workers * size
        end = min(first + (worker + 1) * count // workers * size, stop)
        for shard in itertools.cycle(order):
            if end <= 0:
                return
            count = self.counts[shard]
            low, high = max(begin, 0), min(end, count)
            if low < high:
                yield from itertools.islice(read_shard(self.shards[shard], count), low, high)
            begin, end = begin - count, end - count

    def _clip(self, sample: "Stored", random: np.random.Generator) -> tuple[Tensor, Label]:
        with VideoReader(sample.video, name=sample.segment.name) as video:
            return self.read(video, sample.segment, random)


class Stored(NamedTuple):
    """A sample as it lies in a shard."""

    number: int  # of the catalogue's segment; a checksum of the key where the shard does not say
    segment: Segment  # its name is what messages call it: with the shard and the key
    video: bytes


def read_shard(shard: str, least: int = 0) -> Iterator[Stored]:
    """The samples of a shard, at least so many, by its path, URL or pipe, from the beginning on."""
    count = 0
    try:
        for sample in wds.tarfile_to_samples()(iter([{"url": shard}])):
            yield _stored(shard, sample)
            count += 1
        if count < least:
            raise ValueError(f"it ends after {count} of {least} samples.")
    except Exception as error:  # webdataset and tarfile raise many kinds
        said = next((part for part in error.args if isinstance(part, str)), error)
        raise ShardError(f"{shard} cannot be read: {str(said).partition(' @ ')[0]}") from error


def _stored(shard: str, sample: dict[str, bytes]) -> Stored:
    key = sample["__key__"]
    files = [name for name in sample if not name.startswith("__")]
    try:
        (kind,) = (name for name in files if name not in ("json", "cls"))
        about = json.loads(sample["json"]) if "json" in sample else {"label": int(sample["cls"])}
        label = about["label"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"sample {key} should be one video, and its label as {key}.json with "
            f'{{"label": 3}} or as {key}.cls, but has {", ".join(files)} ({error}).'
        ) from None
    file = f"{key}.{kind}"
    name = f"{shard}: {about.get('name') or file} (sample {key})"
    segment = Segment(Path(file), label, about.get("start"), about.get("end"), name)
    return Stored(about.get("number", zlib.crc32(key.encode())), segment, sample[kind])


def read_index(folder: Path) -> dict:
    """The index of a folder of shards, once each shard was found there with its size."""
    index = read_json(folder / INDEX) if (folder / INDEX).is_file() else {}
    if index.get("format") != FORMAT or "unfinished" in index:
        rule = f"an {INDEX} of the format {FORMAT}, and no unfinished one"
        raise ShardError(f"{folder}: a folder of shards has {rule}. {MADE_BY}")
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


@takes_plain
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
    that. progress: show a bar. The index holds the class names and, for each shard, the number of
    samples and the size. A video that cannot be read, or whose segment lies beyond its end, is left
    out, and said to be: in the report and in the index.

    Call it again after an interruption, with the same arguments, and it goes on with the shard
    that was being written. Raises ShardError if the folder holds anything else, if several
    segments are of one video (its bytes would be stored over and over: cut it up first), if no
    video can be used.

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
    index = _begin(catalog, folder, zlib.crc32(repr(settings).encode()))
    shards, left_out, state = index["shards"], index["left_out"], index["unfinished"]
    place = state["done"]  # in the order: of the samples before it each shard is complete
    order = np.arange(len(catalog))
    if shuffle:
        order = np.random.default_rng(seed).permutation(order)

    def save() -> None:
        write_atomically(folder / INDEX, json.dumps(index, indent=1) + "\n")

    def note(path: str) -> None:
        """A shard is complete: another call goes on behind it."""
        if not writer.count:  # all that should have followed was bad
            return os.remove(path)
        shards.append({"file": os.path.basename(path), "samples": writer.count})
        shards[-1]["bytes"] = os.path.getsize(path)
        state["done"] = place
        save()

    save()
    pattern = f"{folder}".replace("%", "%%") + "/%06d.tar"
    limits = samples_per_shard, megabytes_per_shard * 10**6
    plain = {"encoder": False, "mtime": 0, "user": "", "group": ""}  # the same whoever writes them
    writer = wds.ShardWriter(pattern, *limits, note, len(shards), verbose=0, **plain)
    try:
        for number in tqdm(order[place:].tolist(), unit="video", disable=not progress):
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
        raise ShardError(f"{folder}: none of the videos can be used:\n{listed(left_out)}")
    del index["unfinished"]
    index["samples"], size = (sum(shard[key] for shard in shards) for key in ("samples", "bytes"))
    save()
    return ShardReport(str(folder), index["samples"], len(shards), size, left_out)


def _begin(catalog: Catalog, folder: Path, plan: int) -> dict:
    """The index of shards that are to be written, or to be gone on with."""
    if len({segment.path for segment in catalog}) < len(catalog):
        raise ShardError(
            f"{catalog.source}: several segments are of one video, and the whole video would be "
            "stored for each of them. Cut it, e.g. ffmpeg -ss START -to END -i INPUT OUTPUT.mp4"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        index = read_json(folder / INDEX) if (folder / INDEX).exists() else {}
        if index.get("unfinished", {}).get("plan") != plan:
            held = "it is not empty, there are other shards in it, or other files"
            raise ShardError(f"{folder}: {held}. Give another folder; nothing is overwritten.")
        return index
    index = {"format": FORMAT, "source": str(catalog.source), "class_names": catalog.class_names}
    return index | {"shards": [], "left_out": [], "unfinished": {"done": 0, "plan": plan}}


def _sample(number: int, segment: Segment) -> dict:
    """What webdataset writes of a segment. Raises VideoError if its video cannot be used."""
    with VideoReader(segment.path) as video:
        dataset.frames_of(video, segment, len)
    about = {"number": number, "name": segment.name or segment.path.stem, "label": segment.label}
    about |= {"start": segment.start, "end": segment.end}
    kind = segment.path.suffix.lower().lstrip(".") or "video"
    video, about = segment.path.read_bytes(), json.dumps(about).encode()
    return {"__key__": f"{number:08d}", kind: video, "json": about}

"""write_shards: the videos of a catalogue into tar files of a handy size, with an index.

The bytes of a video are stored as they are: nothing is encoded anew, nothing is lost, and a clip
out of a shard is pixel for pixel that out of the file. Beside each video lies a JSON file with its
label. Each shard appears under its name only once it is complete; what was written before an
interruption is kept, and the same call goes on from there.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import webdataset as wds
from tqdm import tqdm

from vivit_lab.data.bad_videos import ShardError, listed
from vivit_lab.data.catalog import Catalog, Segment
from vivit_lab.errors import whole
from vivit_lab.video.clip_sampling import frames_between
from vivit_lab.video.opening import VideoError
from vivit_lab.video.reader import VideoReader

FORMAT = "vivit-lab-shards-1"
INDEX = "index.json"  # the last file to be written: where it lies, the shards are complete
PLAN = "unfinished.json"  # lies there until then
SPARE = 1 << 20  # bytes that a disk should have left over
HEADERS = 4096  # bytes of tar that a sample costs beside its video, generously


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
    vivit_lab.data.bad_videos.ShardError: no/such/folder: there is no index.json in it, so these \
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

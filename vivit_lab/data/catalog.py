"""A data set as a list of labelled segments of videos; `formats.py` reads them from files."""

import hashlib
import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vivit_lab.errors import takes_plain
from vivit_lab.io import write_atomically

ClassNames = list[str] | dict[str, list[str]]  # dict: several heads, {"verb": [...], "noun": [...]}


class AnnotationError(ValueError):
    """Bad input in an annotation file: `.file`, `.line` (from 1; None: all of it) and `.reason`.

    >>> raise AnnotationError("time_start is 'x', but must be a number.", "train.csv", line=7)
    Traceback (most recent call last):
    vivit_lab.data.catalog.AnnotationError: train.csv, line 7: time_start is 'x', but must be a \
number.
    """

    def __init__(self, reason: str, file: str | os.PathLike, line: int | None = None):
        super().__init__(reason, file, line)  # all of them, so that it can be pickled
        self.reason, self.file, self.line = reason, str(file), line

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{place}: {self.reason}"


@takes_plain
@dataclass(frozen=True, slots=True)
class Segment:
    """One labelled stretch of one video.

    >>> Segment(Path("/data/P01/P01_101.MP4"), {"verb": 3, "noun": 40}, start=1.09, end=2.5).end
    2.5
    """

    path: Path  # the video file, or a folder of numbered frames; absolute
    label: int | dict[str, int] | None  # dict: one for each head; None: a test set without labels
    start: float | None = None  # seconds since the first frame shown; None: the beginning
    end: float | None = None  # seconds, not included; None: the end
    name: str = ""  # the data set's own id
    line: int | None = None  # of the annotation file
    fps: float | None = None  # frames a second of a folder of frames; None for a video file


class Catalog(Sequence[Segment]):
    """The segments of a data set; `catalog[:100]` is a catalog with the same classes.

    segments     the segments whose file is there, in the order of the annotation file
    missing      the segments whose file is not; `path` is where it was expected
    class_names  name of each label; a dict of lists for several heads
    source       the annotation file or folder that was read
    notes        what else was noticed: ambiguous files, duplicates that were kept, ...

    Raises AnnotationError if there are segments, and the video of none is there.

    >>> one = Segment(Path("/data/jump/a.mp4"), 0)
    >>> catalog = Catalog([one], class_names=["jump", "run"], source="/data")
    >>> len(catalog), catalog.class_names[catalog[0].label]
    (1, 'jump')
    """

    def __init__(
        self,
        segments: Iterable[Segment],
        class_names: ClassNames,
        source: str | os.PathLike,
        missing: Iterable[Segment] = (),
        notes: Iterable[str] = (),
    ):
        self.segments, self.missing = list(segments), list(missing)
        self.class_names, self.source, self.notes = class_names, Path(source), list(notes)
        if self.missing and not self.segments:
            tried = dict.fromkeys(str(self.missing[place].path) for place in (0, -1))
            raise AnnotationError(
                f"no video of its {len(self.missing):,} segments is there. Looked for "
                f"{' and '.join(tried)}, also with other extensions. Give the folder of the "
                "videos as `root`.",
                self.source,
            )

    def __len__(self) -> int:
        return len(self.segments)

    def __getitem__(self, index: int | slice) -> "Segment | Catalog":
        if isinstance(index, slice):
            return Catalog(self.segments[index], self.class_names, self.source)
        return self.segments[index]

    def __repr__(self) -> str:
        absent = f", {len(self.missing):,} missing" if self.missing else ""
        return f"Catalog({str(self.source)!r}: {len(self):,} segments{absent})"

    def save_classes(self, path: str | os.PathLike) -> None:
        """Write the class names, in their order, as JSON; any reader takes the file as `classes`.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Catalog([], ["jump", "run"], "/data").save_classes(Path(folder, "classes.json"))
        ...     Path(folder, "classes.json").read_text()
        '["jump", "run"]\\n'
        """
        write_atomically(path, json.dumps(self.class_names) + "\n")

    def split(
        self,
        validation: float = 0.2,
        seed: int = 0,
        group: str | Callable[[Segment], Hashable] | None = None,
    ) -> "tuple[Catalog, Catalog]":
        """Two catalogues, for training and for validation, at random.

        validation: the share of each class that is held out, above 0 and below 1; where a class has
        two source videos, at least one on each side. group: what clips of one source, which stay
        together, have in common: by default their file; or a regular expression in their names, of
        which the first bracket holds (`(.*_g[0-9]+)_c` for UCF101's v_X_g01_c02), or a function of
        a Segment. seed: another one draws others. What is missing stays with the training part.
        Raises ValueError for another share, for a name without a group, and where no class has two
        sources.

        >>> videos = [Segment(Path(f"/data/{n}.mp4"), n % 2) for n in range(10)]
        >>> train, validation = Catalog(videos, ["jump", "run"], "/data").split(0.2)
        >>> len(train), sorted(segment.label for segment in validation)
        (8, [0, 1])
        """
        if not 0 < validation < 1:
            raise ValueError(f"validation is {validation}, but must be a share between 0 and 1.")
        resolve, hints = resolver(), []
        if group is None and (
            named := next((s.name for s in self if re.search(r"_g\d+_c\d+", s.name)), None)
        ):
            hints = [f"to keep clips of one source, as {named}, together: group='(.*_g[0-9]+)_c'"]

        def source_of(segment: Segment) -> Hashable:
            if not isinstance(group, str):
                return group(segment) if group else resolve(str(segment.path))
            try:
                found = re.search(group, name := segment.name or segment.path.name)
            except re.error as error:
                raise ValueError(
                    f"group is {group!r}, which is not a regular expression: {error}."
                ) from None
            if found is None:
                raise ValueError(f"group is {group!r}, but nothing matches it in {name!r}.")
            return found[min(found.re.groups, 1)]

        sources = [source_of(segment) for segment in self]
        labels: dict[Hashable, list] = {}  # source -> those of its segments; of several heads one
        for source, segment in zip(sources, self, strict=True):
            heads = segment.label if isinstance(segment.label, dict) else {"": segment.label}
            labels.setdefault(source, []).append(next(iter(heads.values())))
        order, alike, held_out = list(labels), {}, set()
        random.Random(seed).shuffle(order)
        for source in order:  # with those whose most common label is the same
            alike.setdefault(Counter(labels[source]).most_common(1)[0][0], []).append(source)
        for those in alike.values():
            wanted, taken = validation * sum(len(labels[source]) for source in those), []
            for source in those:
                if wanted > len(labels[source]) / 2:  # it brings the share nearer
                    taken.append(source)
                    wanted -= len(labels[source])
            if len(those) > 1:
                held_out.update((taken or those[:1])[: len(those) - 1])
        if not held_out:
            raise ValueError(f"{self.source} cannot be split: no class has two source videos.")

        def part(name: str, missing: list, is_out: bool) -> Catalog:
            says = f"the {name} part of {1 - validation:.0%} and {validation:.0%}"
            notes, pairs = [*self.notes, says, *hints], zip(self, sources, strict=True)
            segments = [each for each, source in pairs if (source in held_out) == is_out]
            return Catalog(segments, self.class_names, self.source, missing, notes)

        return part("training", self.missing, False), part("validation", [], True)

    def fingerprint(self) -> str:
        """What tells whether two catalogues hold the same data: 64 hexadecimal digits.

        sha256 over the names of classes and, in their order, each segment's name, label, times,
        rate and file size (of a folder of frames the number of files): the same wherever the
        folder lies. The pixels are not looked at.

        >>> one = Catalog([Segment(Path("/a/x.mp4"), 0, end=2.0)], ["jump"], "/a")
        >>> other = Catalog([Segment(Path("/b/x.mp4"), 0, end=3.0)], ["jump"], "/b")
        >>> one.fingerprint()[:8], other.fingerprint() == one.fingerprint()
        ('54cae590', False)
        """

        @cache
        def size(path: Path) -> int | None:
            if path.is_dir():
                return len(os.listdir(path))
            return path.stat().st_size if path.exists() else None

        rows = []
        for segment in self:
            name = segment.path.name if os.path.isabs(segment.name or "/") else segment.name
            rows.append((name, segment.label, segment.start, segment.end, segment.fps))
            rows.append(size(segment.path))
        text = json.dumps([self.class_names, rows], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def report(self) -> str:
        """What was found, to be printed: present, missing, the balance of the classes, notes.

        >>> one = Segment(Path("/data/jump/a.mp4"), 0)
        >>> print(Catalog([one], class_names=["jump", "run"], source="/data").report())
        /data
          1 segment in 1 video; none missing
          2 classes, 0 to 1 segments each: fewest 'run', most 'jump'
          1 class without a segment: 'run'
        """
        videos, absent = len({segment.path for segment in self}), len(self.missing)
        share = f"{absent:,} segments missing ({100 * absent / max(len(self) + absent, 1):.1f} %)"
        lines = [
            f"{plural(len(self), 'segment')} in {plural(videos, 'video')}; "
            f"{share if absent else 'none missing'}",
            *balance(self.class_names, self),
            *(f"missing: {segment.path}" for segment in self.missing[:3]),
            *(f"note: {note}" for note in self.notes),
        ]
        return "\n  ".join([str(self.source), *lines])


def resolver() -> Callable[[str], str]:
    """A function that follows links: the same file has one path. Folders are asked about once."""
    real = cache(os.path.realpath)

    def resolve(path: str) -> str:
        folder, name = os.path.split(path)
        path = os.path.join(real(folder), name)
        return os.path.realpath(path) if os.path.islink(path) else path

    return resolve


def plural(count: int, thing: str) -> str:
    """A number with its noun: "1 class", "1,200 classes"."""
    ending = "" if count == 1 else "es" if thing.endswith("s") else "s"
    return f"{count:,} {thing}{ending}"


def balance(class_names: ClassNames, segments: Iterable) -> list[str]:
    """How many segments each class has, for each head; anything with a label will do."""
    labels = [segment.label for segment in segments if segment.label is not None]
    heads = class_names if isinstance(class_names, dict) else {"": class_names}
    lines = []
    for head, names in heads.items():
        kind = f"{head} class".strip()
        count = Counter(label[head] if head else label for label in labels)
        if names and labels:
            fewest = min(range(len(names)), key=count.__getitem__)
            most = max(range(len(names)), key=count.__getitem__)
            line = f"{plural(len(names), kind)}, {count[fewest]:,} to {count[most]:,} segments each"
            if count[fewest] != count[most]:
                line += f": fewest {names[fewest]!r}, most {names[most]!r}"
            lines.append(line)
        elif names:
            lines.append(f"{plural(len(names), kind)}; the segments have no labels")
        empty = [repr(name) for label, name in enumerate(names) if labels and not count[label]]
        if empty:
            shown = ", ".join(empty[:5]) + (", ..." if len(empty) > 5 else "")
            lines.append(f"{plural(len(empty), kind)} without a segment: {shown}")
    return lines

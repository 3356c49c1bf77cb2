"""What every annotation file becomes: a list of labelled segments, and the names of the classes."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ClassNames = list[str] | dict[str, list[str]]  # dict: several heads, {"verb": [...], "noun": [...]}


class AnnotationError(ValueError):
    """Bad input in an annotation file: says where (file, line, column) and what to do about it.

    `.file`, `.line` (from 1) and `.column` hold the place; `.column` is a text such as
    "3 (time_end)" in a table, the number of a character elsewhere. Either may be None.

    >>> raise AnnotationError("'x' is not a number.", "train.csv", line=7, column="2 (time_start)")
    Traceback (most recent call last):
    vivit_lab.data.catalog.segments.AnnotationError: train.csv, line 7, column 2 (time_start): \
'x' is not a number.
    """

    def __init__(
        self,
        reason: str,
        file: str | os.PathLike,
        line: int | None = None,
        column: str | int | None = None,
    ):
        super().__init__(reason, file, line, column)  # all of them, so that it can be pickled
        self.reason, self.file, self.line, self.column = reason, str(file), line, column

    def __str__(self) -> str:
        place = [self.file]
        if self.line is not None:
            place.append(f"line {self.line}")
        if self.column is not None:
            place.append(f"column {self.column}")
        return f"{', '.join(place)}: {self.reason}"


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
    """The segments of a data set, those whose video is there; the others are in `.missing`.

    segments     the segments whose file is there, in the order of the annotation file
    missing      the segments whose file is not; `path` is where it was expected
    class_names  name of each label; a dict of lists for several heads
    source       the annotation file or folder that was read
    notes        what else was noticed: ambiguous files, duplicates that were kept, ...

    `len`, iteration and `catalog[3]` speak of `segments`; `catalog[:100]` is a catalog with the
    same classes. Print `catalog.report()` to see what was found. Raises AnnotationError if there
    are segments, and the video of none of them is there.

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
            tried = [str(segment.path) for segment in (self.missing[0], self.missing[-1])]
            raise AnnotationError(
                f"of its {len(self.missing):,} segments not one video is there. Looked for "
                f"{' and '.join(dict.fromkeys(tried))}, also with other extensions. Give the "
                "folder of the videos as `root`.",
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
        >>> catalog = Catalog([], class_names=["jump", "run"], source="/data")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     catalog.save_classes(Path(folder, "classes.json"))
        ...     Path(folder, "classes.json").read_text()
        '["jump", "run"]\\n'
        """
        path = Path(path)
        beside = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            beside.write_text(json.dumps(self.class_names) + "\n", encoding="utf-8")
            os.replace(beside, path)  # complete, or not there at all
        finally:
            beside.unlink(missing_ok=True)

    def report(self) -> str:
        """What was found, to be printed: present, missing, the balance of the classes, notes.

        >>> one = Segment(Path("/data/jump/a.mp4"), 0)
        >>> print(Catalog([one], class_names=["jump", "run"], source="/data").report())
        /data
          1 segment in 1 video; none missing
          2 classes, 0 to 1 segments each: fewest 'run', most 'jump'
          1 class without a segment: 'run'
        """
        lines = [str(self.source), f"  {self._found()}"]
        lines += [f"  {line}" for line in balance(self.class_names, self.segments)]
        for segment in self.missing[:3]:
            lines.append(f"  missing: {segment.path}")
        if len(self.missing) > 3:
            lines.append(f"  ... and {len(self.missing) - 3:,} more, in catalog.missing")
        return "\n".join(lines + [f"  note: {note}" for note in self.notes])

    def _found(self) -> str:
        videos = len({segment.path for segment in self.segments})
        found = f"{plural(len(self), 'segment')} in {plural(videos, 'video')}"
        if not self.missing:
            return f"{found}; none missing"
        share = 100 * len(self.missing) / (len(self) + len(self.missing))
        return f"{found}; {len(self.missing):,} segments missing ({share:.1f} %)"


def plural(count: int, thing: str) -> str:
    """A number with its noun.

    >>> plural(1, "class"), plural(1200, "class")
    ('1 class', '1,200 classes')
    """
    if count == 1:
        return f"1 {thing}"
    return f"{count:,} {thing}{'es' if thing.endswith('s') else 's'}"


def balance(class_names: ClassNames, segments: Iterable[Segment]) -> list[str]:
    """Lines about how many segments each class has, for each head; anything with a label will do.

    >>> balance(["jump", "run"], [Segment(Path("a.mp4"), 0), Segment(Path("b.mp4"), 1)])
    ['2 classes, 1 to 1 segments each']
    """
    if not isinstance(class_names, dict):
        return _balance("class", class_names, [s.label for s in segments if s.label is not None])
    lines = []
    for head, names in class_names.items():
        labels = [s.label[head] for s in segments if s.label is not None]
        lines += _balance(f"{head} class", names, labels)
    return lines


def _balance(kind: str, names: list[str], labels: list[int]) -> list[str]:
    if not labels:
        return [f"{plural(len(names), kind)}; the segments have no labels"] if names else []
    count = Counter(labels)
    fewest = min(range(len(names)), key=lambda label: count[label])
    most = max(range(len(names)), key=lambda label: count[label])
    line = f"{plural(len(names), kind)}, {count[fewest]:,} to {count[most]:,} segments each"
    if count[fewest] != count[most]:
        line += f": fewest {names[fewest]!r}, most {names[most]!r}"
    empty = [name for label, name in enumerate(names) if not count[label]]
    if not empty:
        return [line]
    shown = ", ".join(repr(name) for name in empty[:5]) + (", ..." if len(empty) > 5 else "")
    return [line, f"{plural(len(empty), kind)} without a segment: {shown}"]

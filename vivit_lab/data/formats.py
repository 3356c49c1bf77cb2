"""Annotation files, as the owners of eight data sets publish them, become catalogues.

A name in an annotation file and a file on disk are the same where they are equal, or differ only in
the extension (`.avi` re-encoded as `.mp4`), in spaces for underscores, or in how Unicode writes a
letter with an accent. In the place of a video there may be a folder of frames, where their rate is
given.
"""

import csv
import difflib
import io
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

from vivit_lab.data.catalog import AnnotationError, Catalog, Segment, plural, resolver
from vivit_lab.errors import one_of

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
    *(".flv", ".wmv", ".asf", ".3gp", ".3g2", ".ogv", ".gif", ".mxf", ".ivf", ".dv", ".vob"),
    *(".h264", ".hevc", ".apng"),
)
SPLIT = re.compile(r"(train|training|val|valid|validation|test|testing|dev|eval)[ _-]?\d*p?", re.I)
SYSTEM = (  # folders that archives, disks and network stores leave behind
    *("__macosx", "@eadir", "#recycle", "@recycle", "$recycle.bin", "lost+found", "__pycache__"),
    *("system volume information", "@recently-snapshot", "#snapshot", "found.000"),
)
COLUMNS = {  # of a plain list -> what a header may call it, the best first
    "path": "path filepath file_path video_path clip_path full_path filename file_name file video "
    "clip video_name clip_name video_id clip_id name id",
    "label": "label class category action target class_name label_name class_label class_id "
    "label_id",
    "start": "start start_time time_start start_seconds start_sec",
    "end": "end end_time time_end end_seconds end_sec stop",
    "split": "split subset set partition usage",
}
LINE = (  # how those of a plain list must be
    "A line must be a path and one label, and nothing else; a label with spaces in it needs a "
    "comma or a tab before it. A header must name its columns path and label."
)
# {p} is the participant, P01; first the owners' layout, then those of mirrors
EPIC_PLACES = ("{p}/videos", "{p}/rgb_frames", "{p}", ".", "videos", "rgb_frames", "videos/{p}")
PathLike = str | os.PathLike
Names = list[str] | tuple[str, ...] | str | os.PathLike | None  # in their order, or a file of them


# --- rows of text, CSV and JSON, each with its line ----------------------------------------------


@dataclass(slots=True)
class _Row:
    """The fields of one row by the names of their columns, and its place for errors."""

    file: PathLike
    line: int | None
    fields: dict[str, str]

    def error(self, reason: str) -> AnnotationError:
        return AnnotationError(reason, self.file, self.line)

    def __getitem__(self, column: str) -> str:
        value = self.fields.get(column, "").strip()
        if not value:
            raise self.error(f"{column} is empty.")
        return value

    def match(self, column: str, pattern: str, rule: str) -> str:
        if not re.fullmatch(pattern, self[column], re.ASCII):
            raise self.error(f"{column} is {self[column]!r}, but must be {rule}.")
        return self[column]

    def whole(self, column: str) -> int:
        if (number := _whole(self[column])) is None:
            rule = "must be a whole number of at least 0"
            raise self.error(f"{column} is {self[column]!r}, but {rule}.")
        return number

    def seconds(self, column: str) -> float:
        rule = "a number of seconds from 0 on, such as 12 or 12.5"
        return float(self.match(column, r"\d{1,15}(\.\d*)?|\.\d+", rule))

    def clock(self, column: str) -> float:
        pattern = r"\d{1,6}:[0-5]?\d:[0-5]?\d(\.\d*)?"
        hours, minutes, seconds = self.match(column, pattern, "a time as 00:01:02.50").split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)

    def in_order(self, start: float | None, end: float | None) -> tuple[float | None, float | None]:
        if end is not None and end <= (start or 0):
            raise self.error(f"the segment ends at {end:g} s, but starts at {start or 0:g} s.")
        return start, end


def _whole(text: str) -> int | None:
    """The whole number that a text is: 12, or 12.0 and 1.2e+01, as pandas and numpy write it."""
    looks = re.fullmatch(r"\d{1,15}(\.\d*)?(e[+-]?\d{1,2})?", text, re.ASCII | re.IGNORECASE)
    return int(float(text)) if looks and float(text).is_integer() else None


def _read_text(path: PathLike) -> str:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: there is no such annotation file.")
    data = Path(path).read_bytes()
    try:
        text, wrong = data.decode("utf-8-sig"), data.find(b"\0")
    except UnicodeDecodeError as error:
        wrong = error.start
    if wrong >= 0:
        rule = "Save the file as UTF-8, e.g. with: iconv -f ITS_ENCODING -t UTF-8"
        line = data.count(b"\n", 0, wrong) + 1
        raise AnnotationError(f"the byte 0x{data[wrong]:02x} is not UTF-8. {rule}", path, line)
    if not text.strip():
        raise AnnotationError("the file is empty.", path)
    return text


def _read_lines(path: PathLike) -> list[tuple[int, str]]:
    """(line number, line) of those that are not blank; they end with \\n, \\r\\n or \\r only."""
    lines = io.StringIO(_read_text(path), newline=None)
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def _read_pairs(path: PathLike, first: str, second: str, at_last: bool = False) -> list[_Row]:
    """The rows of a list of two columns, apart at the first blank or at the last."""
    split = str.rsplit if at_last else str.split
    return [
        _Row(path, line, dict(zip((first, second), [*split(text, None, 1), ""], strict=False)))
        for line, text in _read_lines(path)
    ]


def _read_fields(path: PathLike, delimiter: str) -> list[tuple[int, list[str]]]:
    """(line, fields) of the rows of a CSV file that are not blank."""
    text = io.StringIO(_read_text(path), newline="")
    reader, lines, line = csv.reader(text, delimiter=delimiter, strict=True), [], 1
    try:
        for fields in reader:
            if any(map(str.strip, fields)):
                lines.append((line, fields))
            line = reader.line_num + 1  # where the next row begins
    except csv.Error as error:
        reason = f"this is not valid CSV ({error}). Is a quotation mark not closed?"
        raise AnnotationError(reason, path, line) from None
    return lines


def _fields_of(line: str, delimiter: str) -> list[str]:
    start = [line[:100_000]]  # longer fields are errors of csv, not ours
    return [field.strip() for field in next(csv.reader(start, delimiter=delimiter))]


def _read_table(path: PathLike, columns: Sequence[str], header: bool = True) -> list[_Row]:
    """The rows of a CSV file, at least one. The header must have `columns`, among others; without a
    header they are all that there are. They are apart at what the first line is: , or ; or tabs."""
    _, first = _read_lines(path)[0]

    def fits(delimiter: str) -> bool:
        found = _fields_of(first, delimiter)
        return set(columns) <= set(found) if header else len(found) == len(columns)

    lines, names = _read_fields(path, next(filter(fits, ",;\t"), ",")), list(columns)
    if header and lines:
        line, names = lines[0][0], [field.strip() for field in lines.pop(0)[1]]
        if not set(columns) <= set(names) or len(set(names)) < len(names):
            found, rule = ",".join(names)[:200], "and no name twice"
            reason = f"the header is {found}, but must have {','.join(columns)}, {rule}."
            raise AnnotationError(reason, path, line)
    return _rows(path, lines, names)


def _rows(path: PathLike, lines: list, names: list[str], hint: str = "") -> list[_Row]:
    if not lines:
        raise AnnotationError("there is no row below the header.", path)
    for line, fields in lines:
        if len(fields) != len(names):
            reason = f"the row has {len(fields)} columns, but must have {len(names)}"
            rule = f"A comma inside a field needs quotes. {hint}".strip()
            raise AnnotationError(f"{reason} ({','.join(names)}). {rule}", path, line)
    return [_Row(path, line, dict(zip(names, fields, strict=True))) for line, fields in lines]


def _read_list(path: PathLike) -> tuple[list[_Row], bool, bool]:
    """The rows of a plain list, whether it has a header, whether its columns are apart at blanks:
    told from the first lines; AnnotationError where they could be read in two ways."""
    lines = _read_lines(path)
    line, first = lines[0]
    delimiters = [each for each in "\t,;|" if len(_fields_of(first, each)) > 1]
    with_video = [each for each in delimiters if any(map(is_video, _fields_of(first, each)))]
    if with_video or is_video(first.rsplit(None, 1)[0]):  # a comma may be in a name: "a,b.mp4 1"
        delimiters = with_video
    delimiters = ["\t"] if "\t" in delimiters else delimiters
    if len(delimiters) > 1:
        says = f"are the columns separated by {' or '.join(map(repr, delimiters))}?"
        raise AnnotationError(f"{says} Quote the names. {LINE}", path, line)
    if delimiters:
        lines = _read_fields(path, delimiters[0])
    else:  # blanks
        parts = ((line, [*text.rsplit(None, 1), ""][:2]) for line, text in lines)
        lines = [(line, [name.strip('"'), label]) for line, (name, label) in parts]
    found = [re.sub(r"[\s-]+", "_", field.strip().lower()) for field in lines[0][1]]
    columns = {}
    for column, aliases in COLUMNS.items():
        if alias := next(filter(found.__contains__, aliases.split()), None):
            columns[found.index(alias)] = column
    if {"path", "label"}.isdisjoint(columns.values()) or any(map(is_video, found)):
        return _rows(path, lines, ["path", "label"], LINE), False, not delimiters
    if not {"path", "label"} <= set(columns.values()):
        raise AnnotationError(f"the header is {','.join(found)}. {LINE}", path, line)
    names = [columns.get(place, f"({name})") for place, name in enumerate(found)]
    return _rows(path, lines[1:], names), True, not delimiters


def _of_split(rows: list[_Row], split: str | int | None) -> list[_Row]:
    """The rows of one split, where a column tells it; "all": every row."""
    split = split if split is None else str(split)
    found = list(dict.fromkeys(row.fields.get("split", "").strip() for row in rows))
    if split == "all" or (split is None and len(found) == 1):
        return rows
    if split not in found:
        says = f"the rows are of the splits {', '.join(found)}: choose one, or 'all' (--split)"
        says = says if any(found) else "there is no column of splits"
        raise AnnotationError(f"split is {split!r}, but {says}.", rows[0].file)
    return [row for row in rows if row.fields["split"].strip() == split]


def _read_json(path: PathLike) -> object:
    text = _read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = f"the JSON is broken ({error}); the file may be cut short."
        raise AnnotationError(reason, path, getattr(error, "lineno", None)) from None


# --- the numbers of the classes ------------------------------------------------------------------


def _read_names(path: PathLike) -> list[str]:
    """A name a line."""
    return [name for _, name in _read_lines(path)]


def _same(name: str) -> str:
    """What names that count as the same have in common."""
    return unicodedata.normalize("NFC", name).replace(" ", "_")


class _Classes:
    """Names and their numbers; spaces and underscores are alike.

    given: names in their order, {name: number}, or a file of either; what is no JSON, `owners`
    reads. None: the names in the annotations themselves, `own`, which are put in order.
    """

    def __init__(
        self, given: Names | dict, source: PathLike, owners: Callable = _read_names, own=()
    ):
        names = given if isinstance(given, (list, tuple)) else ()
        if isinstance(given, PathLike):
            is_json = Path(given).suffix.lower() == ".json"
            source, given = given, (_read_json if is_json else owners)(given)
        elif given is None:  # 10 after 9; a Mac's file system writes accents in its own way
            given = sorted({unicodedata.normalize("NFC", name) for name in own})
            if None not in map(_whole, given):
                given.sort(key=_whole)
        if isinstance(given, dict):  # the numbers are text in some files
            numbered = {_whole(str(n).strip()): _no_brackets(name) for name, n in given.items()}
            given = [numbered.get(number) for number in range(len(given))]
        if not isinstance(given, (list, tuple)) or not given:
            raise AnnotationError('the classes must be a list of names, ["jump", ...].', source)
        self.names, self.source, self._numbers = list(given), source, {}
        known = ", ".join(map(str, names[:8])) + ", ..." * (len(names) > 8)
        self.known = f"that the model knows ({known})" if names else f"of {source}"  # in errors
        for number, name in enumerate(given):
            bad = not isinstance(name, str) or not name.strip()
            if bad or self._numbers.setdefault(_same(name), number) != number:
                rule = "each number from 0 on must have a name of its own"
                raise AnnotationError(f"class {number} is {name!r}, but {rule}.", source)

    def number(self, name: str, row: _Row) -> int:
        number = self._numbers.get(_same(name))
        if number is None:
            close = difflib.get_close_matches(name, self.names, n=1, cutoff=0.5)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            classes = f"{len(self.names):,} classes {self.known}"
            raise row.error(f"{name!r} is not one of the {classes}.{hint}")
        return number

    def in_range(self, row: _Row, column: str) -> int:
        number, count = row.whole(column), len(self.names)
        if number >= count:
            known = f"for the {count:,} classes {self.known}"
            raise row.error(f"{column} is {row[column]}, but must be 0 to {count - 1}, {known}.")
        return number


def _no_brackets(template: str) -> str:
    """Something-Something writes "Pushing [something]" in one file, without brackets in another."""
    return template.replace("[", "").replace("]", "")


def _beside(annotations: PathLike, *names: str) -> Path:
    """The first of the files `names` that lies beside the annotation file."""
    for path in (Path(annotations).absolute().with_name(name) for name in names):
        if path.is_file() and path.name != Path(annotations).name:
            return path
    raise FileNotFoundError(
        f"The classes of {annotations} are in {' or '.join(dict.fromkeys(names))}, which is not "
        "beside it. Give its path, or the names in their order, as `classes`."
    )


# --- the videos on disk --------------------------------------------------------------------------


def is_video(name: str) -> bool:
    """Whether a file's name has the extension of a video, in capitals or not."""
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def _leads_outside(path: str) -> bool:
    """Whether it is absolute or has ".." in it. Links are followed: the disk's owner put them."""
    return bool(re.match(r"(?s)[/\\]|[A-Za-z]:|(.*[/\\])?\.\.($|[/\\])", path))


def _loose(name: str) -> str:
    """What names of files that count as the same have in common."""
    return _same(os.path.splitext(name)[0] if is_video(name) else name)


def holds_frames(folder: str) -> bool:
    """Whether there are pictures in a folder, and no video."""
    from vivit_lab.video.frame_folder import SUFFIXES

    names = os.listdir(folder)
    pictures = any(os.path.splitext(name)[1].lower() in SUFFIXES for name in names)
    return pictures and not any(map(is_video, names))


def wants_frames(fps: float | None) -> bool:
    """Whether folders of frames are videos: where their rate is given."""
    if fps is not None and not fps > 0:
        raise ValueError(f"fps is {fps}, but must be a number of frames a second above 0.")
    return fps is not None


def is_hidden(name: str) -> bool:
    """Whether the name of a file or folder says that it is none of the data."""
    return name[0] == "." or name.lower() in SYSTEM


def _listing(folder: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Names of the files, and of the folders, by what those that count as the same share."""
    files, folders = {}, {}
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir() or not entry.is_symlink() or os.path.exists(entry.path):
                alike = folders if entry.is_dir() else files  # no links that lead nowhere
                alike.setdefault(_loose(entry.name), []).append(entry.name)
    return files, folders


def walk(
    folder: str, levels: int = 99, frames: bool = False, above: tuple[str, ...] = ()
) -> Iterator[str]:
    """Paths of all files from `folder` down, sorted; hidden files and folders are left out.

    frames: a folder of frames counts as one file.
    """
    place = os.path.realpath(folder)
    for is_folder, alike in enumerate(_listing(folder)):
        for name in sorted(chain.from_iterable(alike.values())):
            path = os.path.join(folder, name)
            if is_hidden(name):
                continue
            if not is_folder or (frames and holds_frames(path)):
                yield path
            elif levels and place not in above:  # links may lead round and round
                yield from walk(path, levels - 1, frames, (*above, place))


class _Builder:
    """Takes in the segments of one annotation file and finds their videos."""

    def __init__(
        self, source: PathLike, root: PathLike, allow_duplicates: bool, fps=None, outside=False
    ):
        self.source, self.root = source, os.path.abspath(root)
        if not os.path.isdir(self.root):
            raise FileNotFoundError(f"root is {os.fspath(root)!r}, but there is no such folder.")
        self.frames = wants_frames(fps)
        self.allow_duplicates, self.allow_outside, self.fps = allow_duplicates, outside, fps
        self.segments, self.missing, self.notes, self._duplicates = [], [], [], []
        self._lines: dict[Hashable, int | None] = {}
        self._ambiguous: dict[str, str] = {}
        self._list = cache(_listing)  # each folder once, when it is first asked about
        self._resolve = resolver()

    def find(self, path: str, folder: bool = False) -> list[str]:
        """Absolute paths of the video (or folder) at `path` below the root; of several, where no
        name is equal, and several are alike."""
        top, parts = self.root, [part for part in path.split("/") if part not in ("", ".")] or [""]
        if _leads_outside(path):
            top, *parts = os.path.split(os.path.normpath(os.path.join(top, path)))
        places = [top]
        for depth, name in enumerate(parts, 1):
            kind = 1 if folder or depth < len(parts) else 0
            alike = [
                os.path.join(place, each)
                for place in places
                for each in self._list(place)[kind].get(_loose(name), [])
                if kind or is_video(each) or each == name
            ]
            places = [p for p in alike if os.path.basename(p) == name] or alike
        return places

    def once(self, row: _Row, *keys: Hashable) -> None:
        """Note a segment by its names; one that is there twice is an error, or counted."""
        first = {self._lines.setdefault(key, row.line) for key in keys} - {row.line}
        if first:
            self._duplicates.append(row.line)
            if not self.allow_duplicates:
                hint = "Remove one of them; allow_duplicates=True (--allow-duplicates) keeps both."
                raise row.error(f"the same segment is in line {min(first)}. {hint}")

    def _below(self, row: _Row, place: str) -> str:
        """A place that is absolute, or has "..", from the root on; only what is below is taken."""
        real, path = os.path.realpath(self.root), os.path.join(self.root, place)
        for root, below in ((self.root, path), (real, path), (real, os.path.realpath(path))):
            path = os.path.relpath(below, root)
            if not _leads_outside(path) and "\\" not in path:
                return path
        if not self.allow_outside:
            rule = "must lie below root, unless read_csv has allow_outside=True (--allow-outside)"
            raise row.error(f"the video is {place!r}, but {rule}.")
        return place

    def add(
        self,
        row: _Row,
        label: int | dict[str, int] | None,
        name: str,
        place: str | None = None,  # where the video should lie below root; by default `name`
        found: list[str] | None = None,  # where it does, the best first; by default in its place
        times: tuple[float | None, float | None] = (None, None),
        fps: float | None = None,
    ) -> bool:
        """Take in one segment; whether its video is there."""
        place, keys = place or name, [(name, times)]
        if _leads_outside(place):
            place = self._below(row, place)
            name = place if name == row.fields.get("path") else name
        if found is None:
            found = self.find(place)
        if not found and (folders := list(filter(holds_frames, self.find(place, folder=True)))):
            if not self.frames:
                rule = "give their rate: fps=25 (--frame-rate 25)"
                raise row.error(f"{folders[0]} is a folder of frames; {rule}.")
            found, fps = folders, float(self.fps)
        if found and place is name:  # the name is that of a file: links, and x/../a.mp4, are one
            keys.append((self._resolve(found[0]), times))
        self.once(row, *keys)
        if len(found) > 1:
            self._ambiguous.setdefault(found[0], found[1])
        path = Path(found[0] if found else os.path.join(self.root, place))
        segment = Segment(path, label, *times, name, row.line, fps)
        (self.segments if found else self.missing).append(segment)
        return bool(found)

    def catalog(self, class_names: list[str] | dict[str, list[str]]) -> Catalog:
        if self._duplicates:
            kept = plural(len(self._duplicates), "duplicate")
            self.notes.append(f"{kept} kept, the first in line {self._duplicates[0]}")
        if self._ambiguous:
            took, other = next(iter(self._ambiguous.items()))
            names = plural(len(self._ambiguous), "name")
            self.notes.append(f"several files for {names}; e.g. took {took}, not {other}")
        return Catalog(self.segments, class_names, self.source, self.missing, self.notes)


# --- one reader a format -------------------------------------------------------------------------


def read_kinetics(
    annotations: PathLike,
    root: PathLike,
    *,
    classes: Names = None,
    split: str | None = None,
    trimmed: bool = False,
    fps: float | None = None,
    allow_duplicates: bool = False,
) -> Catalog:
    """Kinetics-400, 600, 700, from the owners' CSV (`label,youtube_id,time_start,time_end,split`).

    root: the folder of `<id>_<start>_<end>.mp4`, or of whole videos `<id>.mp4`, from which the
    segment is then cut (trimmed=True: they are cut already); up to two folders deep. Of several
    files that fit, the one in a folder named after its class is taken. classes: names in their
    order, e.g. `train.class_names`, or a file of `save_classes`; by default the labels of this
    file, sorted. split, fps, allow_duplicates and what is raised: as for `read_csv`. Source:
    DeepMind's files.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     text = "label,youtube_id,time_start,time_end,split\\nyoga,abc,5,15,val\\n"
    ...     _ = Path(root, "val.csv").write_text(text)
    ...     Path(root, "abc_000005_000015.mp4").touch()
    ...     catalog = read_kinetics(Path(root, "val.csv"), root)
    >>> catalog[0].path.name, catalog.class_names
    ('abc_000005_000015.mp4', ['yoga'])
    """
    rows = _read_table(annotations, ("youtube_id", "time_start", "time_end"))
    labelled = "label" in rows[0].fields  # test sets have no labels
    own = [row["label"] for row in rows] if labelled and classes is None else ()
    table = _Classes(classes, annotations, own=own) if labelled or classes is not None else None
    build = _Builder(annotations, root, allow_duplicates, fps)
    files: dict[str, list[str]] = {}  # every video by its name without the extension
    for path in walk(build.root, 2 + build.frames, build.frames):  # root/train/abseiling/
        if is_video(path) or os.path.isdir(path):
            files.setdefault(_loose(os.path.basename(path)), []).append(path)
    for row in _of_split(rows, split):
        video = row["youtube_id"]
        start, end = row.in_order(row.seconds("time_start"), row.seconds("time_end"))
        cut = f"{video}_{int(start):06d}_{int(end):06d}"
        whole = cut not in files and video in files
        found, label = files.get(video if whole else cut, []), None
        if labelled:
            label, name = table.number(row["label"], row), _loose(row["label"])
            found = sorted(found, key=lambda path: _loose(Path(path).parent.name) != name)
        times = (start, end) if whole and not trimmed else (None, None)
        rate = fps if found and not is_video(found[0]) else None
        build.add(row, label, cut, f"{cut}.mp4", found, times, rate)
    return build.catalog(table.names if table else [])


def read_ssv2(
    annotations: PathLike,
    root: PathLike,
    *,
    classes: Names = None,
    fps: float = 12.0,
    allow_duplicates: bool = False,
) -> Catalog:
    """Something-Something v2, from the owners' JSON; its test set has no labels.

    annotations: a list of `{"id": ..., "template": "Pushing [something]", ...}`; the class is the
    template without its brackets. root: the folder of `<id>.webm`, or of another extension.
    classes: the owners' `{"Pushing something": "0", ...}`, by default the file beside the
    annotations; or names in their order, or a file of `save_classes`. fps: of folders of frames, as
    for `read_csv`; the videos have 12. allow_duplicates and what is raised: as there. Source: the
    files of Something-Something v2 (174 classes).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     items = '[{"id": "7", "template": "Pushing [something]"}]'
    ...     _ = Path(root, "train.json").write_text(items)
    ...     Path(root, "7.webm").touch()
    ...     read_ssv2(Path(root, "train.json"), root, classes=["Pushing something"])[0].label
    0
    """
    text, items = _read_text(annotations), _read_json(annotations)
    if not isinstance(items, list) or not items:
        raise AnnotationError("it must be a JSON list, [...], and not empty.", annotations)
    if classes is None:
        own = re.sub(r"(train|validation|test)\.json$", "labels.json", Path(annotations).name)
        classes = _beside(annotations, own, "labels.json", "something-something-v2-labels.json")
    table = _Classes(classes, annotations)
    build = _Builder(annotations, root, allow_duplicates, fps)
    at, line = text.index("["), 1
    for item in items:  # json does not tell where each one begins: walk over them once more
        begin = re.compile(r"[\s,[]*").match(text, at).end()
        line += text.count("\n", at, begin)
        _, at = json.JSONDecoder().raw_decode(text, begin)
        row = _Row(annotations, line, item if isinstance(item, dict) else {})
        line += text.count("\n", begin, at)
        template = row.fields.get("template", "")
        if not isinstance(template, str) or "id" not in row.fields:
            raise row.error(f"the item must be {{'id': '7', 'template': '...'}}, not {item!r:.80}")
        row.fields["id"] = str(row.fields["id"])
        label = table.number(_no_brackets(template), row) if template else None  # of test sets
        build.add(row, label, row["id"], f"{row['id']}.webm")
    return build.catalog(table.names)


def read_epic(
    annotations: PathLike,
    root: PathLike,
    *,
    classes: Mapping[str, list[str] | str | os.PathLike] | str | os.PathLike | None = None,
    fps: float | Mapping[str, float] | None = None,
    allow_duplicates: bool = False,
) -> Catalog:
    """EPIC-Kitchens-100, from the owners' CSV; labels are `{"verb": 3, "noun": 40}`, None in tests.

    root: holds `P01/P01_101.MP4`, `P01/videos/P01_101.MP4` or `P01_101.MP4`, with any extension; or
    folders of frames in their place, `P01/rgb_frames/P01_101/frame_0000000001.jpg`. Segments of
    videos are cut by the time stamps, those of frames by `start_frame` and `stop_frame` (from 1,
    both included). Where there are both, the video is taken. fps: of frames, for all or
    {"P01_101": 50}; else the data set's own: 50 for videos from number 101 on, 59.94 before.
    classes: {"verb": ..., "noun": ...}, each a list of names or the owners' file; or a file of
    `save_classes`; by default the owners' beside the annotations. allow_duplicates and what is
    raised: as for `read_csv`. Source: the files of EPIC-Kitchens-100 (97 verbs, 300 nouns).

    >>> import tempfile
    >>> header = "narration_id,video_id,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    >>> with tempfile.TemporaryDirectory() as root:
    ...     row = "P01_101_0,P01_101,00:00:01.00,00:00:02.50,50,125,1,0"
    ...     _ = Path(root, "a.csv").write_text(f"{header}verb_class,noun_class\\n{row}\\n")
    ...     Path(root, "P01_101.MP4").touch()
    ...     names = {"verb": ["take", "put"], "noun": ["cup"]}
    ...     catalog = read_epic(Path(root, "a.csv"), root, classes=names)
    >>> catalog[0].label, catalog[0].start, catalog[0].end
    ({'verb': 1, 'noun': 0}, 1.0, 2.5)
    """
    columns = "narration_id,video_id,start_timestamp,stop_timestamp,start_frame,stop_frame"
    rows, heads = _read_table(annotations, columns.split(",")), ("verb", "noun")
    if isinstance(classes, PathLike):
        classes = _read_json(classes)
    elif classes is None:
        classes = {head: _beside(annotations, f"EPIC_100_{head}_classes.csv") for head in heads}
    if not isinstance(classes, Mapping) or set(classes) != set(heads):
        raise TypeError('classes must be {"verb": ..., "noun": ...}, each a list or a file.')
    tables = {head: _Classes(classes[head], annotations, _epic_classes) for head in heads}
    labelled = "verb_class" in rows[0].fields  # test sets are not
    build = _Builder(annotations, root, allow_duplicates)

    @cache
    def places(video: str, folder: bool) -> list[str]:
        options = [f"{place.format(p=video.partition('_')[0])}/{video}" for place in EPIC_PLACES]
        return list(chain.from_iterable(build.find(option, folder) for option in options))

    for row in rows:
        video, label, rate = row["video_id"], None, None
        videos, frames = places(video, False), places(video, True)
        times = row.in_order(row.clock("start_timestamp"), row.clock("stop_timestamp"))
        if frames and not videos:
            rate = fps.get(video) if isinstance(fps, Mapping) else fps
            if rate is None:
                rate = 50.0 if re.search(r"_\d{3}$", video) else 60000 / 1001
            if not rate > 0:
                raise ValueError(f"fps is {rate} for {video}, but must be above 0.")
            first, last = max(row.whole("start_frame"), 1), row.whole("stop_frame")
            times = row.in_order((first - 1) / rate, last / rate)  # frame n from (n - 1) / rate on
        if labelled:
            label = {head: tables[head].in_range(row, f"{head}_class") for head in heads}
        place = f"{video.partition('_')[0]}/{video}.MP4"
        build.add(row, label, row["narration_id"], place, videos + frames, times, rate)
    return build.catalog({head: tables[head].names for head in heads})


def _epic_classes(path: PathLike) -> dict[str, str]:
    """The owners' class file: the name of class `id` is its `key`."""
    return {row["key"]: row["id"] for row in _read_table(path, ("id", "key"))}


def read_moments(
    annotations: PathLike,
    root: PathLike,
    *,
    classes: Names = None,
    fps: float | None = None,
    allow_duplicates: bool = False,
) -> Catalog:
    """Moments in Time, from the owners' CSV: `class/file.mp4,class,agree,disagree`.

    root: the folder of the folders of the classes. classes: the owners' `moments_categories.txt`
    (`class,index`), by default the one beside the annotations; or names in their order, or a file
    of `save_classes`. fps, allow_duplicates and what is raised: as for `read_csv`. Source:
    the files of Moments in Time (305 to 339 classes by version).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     _ = Path(root, "trainingSet.csv").write_text("baking/a.mp4,baking,3,0\\n")
    ...     Path(root, "baking").mkdir()
    ...     Path(root, "baking", "a.mp4").touch()
    ...     read_moments(Path(root, "trainingSet.csv"), root, classes=["asking", "baking"])[0].label
    1
    """
    rows = _read_table(annotations, ("path", "class", "agree", "disagree"), header=False)
    classes = _beside(annotations, "moments_categories.txt") if classes is None else classes
    table = _Classes(classes, annotations, _moments_classes)
    build = _Builder(annotations, root, allow_duplicates, fps)
    for row in rows:
        build.add(row, table.number(row["class"], row), row["path"])
    return build.catalog(table.names)


def _moments_classes(path: PathLike) -> dict[str, str]:
    """The owners' categories, `class,index`."""
    rows = _read_table(path, ("class", "index"), header=False)
    return {row["class"]: row["index"] for row in rows}


def read_ucf101(
    annotations: PathLike,
    root: PathLike,
    *,
    split: int | None = None,
    subset: str | None = None,
    classes: Names = None,
    fps: float | None = None,
    allow_duplicates: bool = False,
) -> Catalog:
    """UCF101, from the owners' lists `trainlist01.txt`, `testlist01.txt` and so on.

    annotations: lines `Archery/v_Archery_g08_c01.avi 3`, or without the number; or the folder of
    the lists, of which split (1, 2 or 3; by default 1) and subset ("train" or "test"; by default
    "train") choose one. The label is the folder's class; a number must agree with it. root: the
    folder of the folders of the classes. classes: the owners' `classInd.txt` (`1 ApplyEyeMakeup`),
    by default the one beside the annotations; or names in their order, or a file of `save_classes`.
    Our labels count from 0. fps, allow_duplicates and what is raised: as for `read_csv`. Source:
    the files of UCF101 (101 classes).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     _ = Path(root, "trainlist01.txt").write_text("Diving/v_Diving_g08_c01.avi 2\\n")
    ...     Path(root, "Diving").mkdir()
    ...     Path(root, "Diving", "v_Diving_g08_c01.avi").touch()
    ...     read_ucf101(Path(root, "trainlist01.txt"), root, classes=["Archery", "Diving"])[0].label
    1
    """
    if Path(annotations).is_dir():
        one_of("split", split or 1, (1, 2, 3))
        one_of("subset", subset or "train", ("train", "test"))
        annotations = Path(annotations, f"{subset or 'train'}list{split or 1:02d}.txt")
    elif split or subset:
        raise ValueError(f"split and subset are for a folder, but {annotations} is a list.")
    rows = _read_pairs(annotations, "path", "number")
    classes = _beside(annotations, "classInd.txt") if classes is None else classes
    table = _Classes(classes, annotations, _ucf101_classes)
    build = _Builder(annotations, root, allow_duplicates, fps)
    for row in rows:
        folder = row.match("path", r"[^/]+/.+", "`Class/video.avi`").partition("/")[0]
        label = table.number(folder, row)
        if row.fields["number"] and row.whole("number") != label + 1:
            right = f"the folder {folder!r} is class {label + 1} of {table.source}"
            raise row.error(f"the number is {row['number']}, but {right}.")
        build.add(row, label, row["path"])
    return build.catalog(table.names)


def _ucf101_classes(path: PathLike) -> dict[str, int]:
    """The owners' class index, `1 ApplyEyeMakeup`: numbers from 1."""
    return {row["name"]: row.whole("number") - 1 for row in _read_pairs(path, "number", "name")}


def read_hmdb51(
    annotations: PathLike,
    root: PathLike,
    *,
    split: int = 1,
    subset: str = "train",
    classes: Names = None,
    fps: float | None = None,
    allow_duplicates: bool = False,
) -> Catalog:
    """HMDB51, from the owners' lists `<class>_test_split1.txt` and so on, lines `name.avi 1`.

    annotations: the folder of the lists. split: 1, 2 or 3. subset: "train" (marked 1) or "test"
    (2); videos marked 0 belong to neither. root: the folder of the folders of the classes. classes:
    names in their order, or a file of `save_classes`; by default those of the lists, sorted. fps,
    allow_duplicates and what is raised: as for `read_csv`. Source: HMDB51's files (51 classes).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     _ = Path(root, "wave_test_split1.txt").write_text("a.avi 1 \\nb.avi 2 \\nc.avi 0 \\n")
    ...     Path(root, "wave").mkdir()
    ...     Path(root, "wave", "a.avi").touch()
    ...     [segment.name for segment in read_hmdb51(root, root, split=1, subset="train")]
    ['wave/a.avi']
    """
    one_of("split", split, (1, 2, 3))
    one_of("subset", subset, ("train", "test"))
    folder, ending = Path(annotations), f"_test_split{split}.txt"
    lists = {path.name.removesuffix(ending): path for path in sorted(folder.glob(f"*{ending}"))}
    if not lists:
        raise FileNotFoundError(f"{folder}: there is no list <class>{ending} in it.")
    table = _Classes(classes, folder, own=lists)
    build = _Builder(folder, root, allow_duplicates, fps)
    build.notes.append(f"the {subset} set of split {split}")
    for name, path in lists.items():
        for row in _read_pairs(path, "name", "mark", at_last=True):
            mark = row.match("mark", "[012]", "0 (neither), 1 (train) or 2 (test)")
            file = f"{name}/{row['name']}"
            if mark == {"train": "1", "test": "2"}[subset]:
                build.add(row, table.number(name, row), file)
            else:
                build.once(row, (file, (None, None)))
    if not (build.segments or build.missing):
        raise AnnotationError(f"the {subset} set of split {split} is empty.", folder)
    return build.catalog(table.names)


def read_csv(
    annotations: PathLike,
    root: PathLike,
    *,
    classes: Names = None,
    split: str | None = None,
    fps: float | None = None,
    allow_outside: bool = False,
    allow_duplicates: bool = False,
) -> Catalog:
    """A plain list: `path,label` or `path label`, one video a line.

    annotations: its columns are apart at commas, semicolons, tabs, or the last blank. A header
    names them in any order: path (or filename, video, ...), label (class, category, ...), start and
    end (seconds, to cut segments out of longer videos), split; others are noted and not used.
    Labels are whole numbers from 0, or names. root: the folder that paths are relative to; an
    absolute path may lie below it, too. classes: names in their order, a file of `save_classes`, or
    of a name a line; by default the names in the list, sorted, or "0", "1", ... for numbers. split:
    which rows to take, where a column tells; "all": all of them. fps: frames a second of folders of
    frames, which may stand in the place of a video. allow_outside: let paths lead outside of root.
    allow_duplicates: keep a segment that comes twice, also by a link. Raises FileNotFoundError,
    AnnotationError for what is wrong in the file, ValueError or TypeError for an illegal option.
    Source: PySlowFast's `train.csv`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     _ = Path(root, "train.csv").write_text("a.mp4 1\\nb.mp4 0\\n")
    ...     Path(root, "a.mp4").touch()
    ...     Path(root, "b.mp4").touch()
    ...     [segment.label for segment in read_csv(Path(root, "train.csv"), root)]
    [1, 0]
    """
    rows, has_header, at_blanks = _read_list(annotations)
    table, label = None if classes is None else _Classes(classes, annotations), rows[0]["label"]
    numbers = _whole(label.removeprefix("-")) is not None and not (table and label in table.names)
    if table is None:
        names = [row["label"] for row in rows]
        if numbers:
            highest = max(rows, key=lambda row: row.whole("label"))
            if highest.whole("label") >= 10**5:
                rule = "must be below 100,000 (or give the names as `classes`)"
                raise highest.error(f"label is {highest['label']!r}, but {rule}.")
            names = map(str, range(highest.whole("label") + 1))
        table = _Classes(None, annotations, own=names)
    build = _Builder(annotations, root, allow_duplicates, fps, allow_outside)
    for row in _of_split(rows, split):
        path, label = row["path"], row["label"]
        several = re.fullmatch(r"\W?\d+([\s,;|]+\d+)+\W?", label)
        if several or (is_video(label) and not is_video(path)):
            raise row.error(f"the label is {label!r}. {LINE}")
        label = table.in_range(row, "label") if numbers else table.number(label, row)
        times = (
            row.seconds(column) if row.fields.get(column, "").strip() else None
            for column in ("start", "end")
        )
        if build.add(row, label, path, times=row.in_order(*times)):
            continue
        *before, last = path.split()
        too_many = at_blanks and before and (is_video(before[-1]) or last.isdigit())
        is_header = row is rows[0] and len(rows) > 1 and not (has_header or is_video(path))
        is_header = is_header and [other["label"] for other in rows].count(row["label"]) == 1
        if too_many or is_header:
            raise row.error(f"there is no video {path!r} (its label: {row['label']!r}). {LINE}")
    unused = ", ".join(name[1:-1] for name in rows[0].fields if name[0] == "(" and len(name) > 2)
    build.notes += [f"columns that are not used: {unused}"] if unused else []
    return build.catalog(table.names)


def read_folder(
    root: PathLike, *, split: str | None = None, classes: Names = None, fps: float | None = None
) -> Catalog:
    """The videos below the folder of each class, at any depth: `root/jump/a.mp4`.

    root: holds a folder per class, or folders `train`, `val`, ... that do: then `split` picks one.
    classes: names in their order (e.g. `train.class_names`), or a file of `save_classes`; by
    default the names of the folders, sorted. fps: frames a second of folders of frames, such as
    `root/jump/a/img_00001.jpg`, which are then videos. Hidden files, and the folders of archives
    and stores (`__MACOSX`, `@eaDir`), are not looked at; other files that are no videos are counted
    in `notes`. Raises FileNotFoundError, AnnotationError where there is no class, no video, or
    another class.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("run/b.mp4", "jump/a.mp4"):
    ...         Path(root, name).parent.mkdir()
    ...         Path(root, name).touch()
    ...     catalog = read_folder(root)
    >>> [(segment.path.name, segment.label) for segment in catalog], catalog.class_names
    ([('a.mp4', 0), ('b.mp4', 1)], ['jump', 'run'])
    """
    root = Path(os.path.abspath(root), str(split or ""))
    folders = sorted(e.name for e in os.scandir(root) if e.is_dir() and e.name[0] != ".")
    names = [name for name in folders if not is_hidden(name)]
    splits = [name for name in names if SPLIT.fullmatch(name)]
    if len(splits) == 1 < len(names):  # a class may be called "train": then videos are in it
        splits = splits if not any(map(is_video, os.listdir(root / splits[0]))) else []
    if splits or not names:
        hint = "these folders are splits: choose one, split={!r} (--split, --validation-split)"
        hint = hint.format(splits[0]) if splits else "there is none"
        raise AnnotationError(f"it must have a folder for each class, but {hint}.", root)
    table, segments, files, resolve = _Classes(classes, root, own=names), [], {}, resolver()
    passed, above = list(filter(is_video, walk(str(root), 0))), (os.path.realpath(root),)
    for folder in names:
        label = table.number(folder, _Row(root, None, {}))
        for path in walk(str(root / folder), frames=wants_frames(fps), above=above):
            if is_video(path) or os.path.isdir(path):
                rate = None if is_video(path) else fps
                name = os.path.relpath(path, root)
                segments.append(Segment(Path(path), label, name=name, fps=rate))
                files.setdefault(resolve(path), []).append(name)
            else:
                passed.append(path)
    deep = [f for f in dict.fromkeys(map(os.path.dirname, passed)) if Path(f).parent != root]
    frames, rate = list(filter(holds_frames, deep)), "give their rate, fps=25 (--frame-rate 25)"
    if not segments:
        found = f"{plural(len(names), 'folder')} ({names[0]!r}, ...)"
        hint = f" {frames[0]} is a folder of frames: {rate}." if frames else ""
        raise AnnotationError(f"there is no video in its {found}.{hint}", root)
    notes = []
    if passed:
        count = Counter(Path(path).suffix.lower() or "no extension" for path in passed)
        kinds = ", ".join(f"{number} {suffix}" for suffix, number in count.most_common())
        notes.append(f"not read, not in a class folder or not videos by their names: {kinds}")
    if frames:
        notes.append(f"not read, {plural(len(frames), 'folder')} of frames: {rate}")
    if system := ", ".join(name for name in folders if is_hidden(name)):
        notes.append(f"not read, folders that operating systems make: {system}")
    if twice := [names for names in files.values() if len(names) > 1]:
        count = plural(len(twice), "file")
        notes.append(f"{count} have several names, by links; e.g. {' and '.join(twice[0][:2])}")
    return Catalog(segments, table.names, root, notes=notes)


# --- any of them ---------------------------------------------------------------------------------

FORMATS = {  # name -> its reader, and how the first line of an annotation file looks
    "ssv2": (read_ssv2, r"[\[{].*"),
    "kinetics": (read_kinetics, r".*\b(youtube_id|time_start)\b.*"),
    "epic": (read_epic, r".*\b(narration_id|start_timestamp)\b.*"),
    "moments": (read_moments, r"[^,;\t]+/[^,;\t]+[,;\t][^,;\t]+([,;\t]\d+){2}"),
    "ucf101": (read_ucf101, r"\w+/v_[^\s,;|]+( \d+)?"),
    "csv": (read_csv, r".*"),
    "hmdb51": (read_hmdb51, ""),
    "folder": (read_folder, ""),
}


def read_annotations(
    annotations: PathLike,
    root: PathLike | None = None,
    *,
    format: str | None = None,
    **options: object,
) -> Catalog:
    """The catalogue of an annotation file or folder, by the reader of its format.

    root: the folder of the videos, by default the one that the annotations are in. format: a key of
    FORMATS, by default told by the first line. options, what is raised: as for that reader;
    TypeError for an option that it has not.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     _ = Path(root, "train.csv").write_text("a.mp4 1")
    ...     Path(root, "a.mp4").touch()
    ...     read_annotations(Path(root, "train.csv"))[0].label
    1
    """
    path = Path(annotations)
    format = format or format_of(path)
    one_of("format", format, FORMATS)
    reader = FORMATS[format][0]
    if format == "folder":
        if root is not None and not os.path.samefile(root, path):
            raise ValueError(f"{path} is a folder of classes: leave out root, which is {root}.")
        return reader(path, **options)
    return reader(path, root or (path if path.is_dir() else path.parent), **options)


def format_of(annotations: PathLike) -> str:
    """The format of a file, told by its first line; of a folder, by the names of its files."""
    path = Path(annotations)
    if path.is_dir():
        lists = {"hmdb51": "*_test_split[123].txt", "ucf101": "t*list0[123].txt"}
        return next((name for name, these in lists.items() if any(path.glob(these))), "folder")
    _, first = _read_lines(path)[0]
    return next(name for name, (_, line) in FORMATS.items() if re.fullmatch(line, first))

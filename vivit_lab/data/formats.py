"""Annotation files, as the owners of eight data sets publish them, become catalogues.

A name in an annotation file and a file on disk are the same where they are equal, or differ only in
the extension (`.avi` re-encoded as `.mp4`) or in spaces for underscores.
"""

import csv
import difflib
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

from vivit_lab.data.catalog import AnnotationError, Catalog, Segment, plural
from vivit_lab.errors import one_of

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
    *(".flv", ".wmv", ".asf", ".3gp", ".3g2", ".ogv", ".gif", ".mxf", ".ivf", ".dv", ".vob"),
    *(".h264", ".hevc", ".apng"),
)
SPLITS = ("train", "training", "val", "valid", "validation", "test")  # names of folders
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
        return int(self.match(column, r"\d{1,15}", "a whole number of at least 0"))

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


def _read_text(path: PathLike) -> str:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: there is no such annotation file.")
    data = Path(path).read_bytes()
    try:
        text, wrong = data.decode("utf-8-sig"), data.find(b"\0")
    except UnicodeDecodeError as error:
        wrong = error.start
    if wrong >= 0:
        rule = "Save the file as UTF-8, e.g. with: iconv -f CP1252 (or UTF-16) -t UTF-8"
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


def _read_table(path: PathLike, columns: Sequence[str], header: bool = True) -> list[_Row]:
    """The rows of a CSV file, at least one. The header must have `columns`, among others; without a
    header they are all that there are."""
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)
    lines, line = [], 1
    try:
        for fields in reader:
            if any(map(str.strip, fields)):
                lines.append((line, fields))
            line = reader.line_num + 1  # where the next row begins
    except csv.Error as error:
        reason = f"this is no proper CSV ({error}). Is a quotation mark not closed?"
        raise AnnotationError(reason, path, line) from None
    names = list(columns)
    if header and lines:
        line, names = lines[0][0], [field.strip() for field in lines.pop(0)[1]]
        if not set(columns) <= set(names) or len(set(names)) < len(names):
            found, rule = ",".join(names)[:200], "and no name twice"
            reason = f"the header is {found}, but must have {','.join(columns)}, {rule}."
            raise AnnotationError(reason, path, line)
    if not lines:
        raise AnnotationError("there is no row below the header.", path)
    for line, fields in lines:
        if len(fields) != len(names):
            reason = f"the row has {len(fields)} columns, but must have {len(names)}"
            hint = "A comma inside a field needs quotes."
            raise AnnotationError(f"{reason} ({','.join(names)}). {hint}", path, line)
    return [_Row(path, line, dict(zip(names, fields, strict=True))) for line, fields in lines]


def _read_json(path: PathLike) -> object:
    text = _read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = f"the JSON is broken ({error}); the file may be cut short."
        raise AnnotationError(reason, path, getattr(error, "lineno", None)) from None


# --- the numbers of the classes ------------------------------------------------------------------


class _Classes:
    """Names and their numbers; spaces and underscores are alike.

    given: names in their order, {name: number}, or a file of either; what is no JSON, `owners`
    reads. source: what errors call the names where they are from no file.
    """

    def __init__(self, given: Names | dict, source: PathLike, owners: Callable = _read_json):
        if isinstance(given, PathLike):
            is_json = Path(given).suffix.lower() == ".json"
            given, source = (_read_json if is_json else owners)(given), given
        if isinstance(given, dict):  # the numbers are text in some files
            numbered = {str(number): _no_brackets(name) for name, number in given.items()}
            given = [numbered.get(str(number)) for number in range(len(given))]
        if not isinstance(given, (list, tuple)) or not given:
            raise AnnotationError('the classes must be a list of names, ["jump", ...].', source)
        self.names, self.source, self._numbers = list(given), source, {}
        for number, name in enumerate(given):
            bad = not isinstance(name, str) or not name.strip()
            if bad or self._numbers.setdefault(name.replace(" ", "_"), number) != number:
                rule = "each number from 0 on must have a name of its own"
                raise AnnotationError(f"class {number} is {name!r}, but {rule}.", source)

    def number(self, name: str, row: _Row) -> int:
        number = self._numbers.get(name.replace(" ", "_"))
        if number is None:
            close = difflib.get_close_matches(name, self.names, n=1, cutoff=0.5)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            classes = f"{len(self.names):,} classes of {self.source}"
            raise row.error(f"{name!r} is none of the {classes}.{hint}")
        return number

    def in_range(self, row: _Row, column: str) -> int:
        if row.whole(column) >= len(self.names):
            raise row.error(f"{column} is {row[column]}, but must be 0 to {len(self.names) - 1}.")
        return row.whole(column)


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
    """What names that count as the same have in common."""
    return (os.path.splitext(name)[0] if is_video(name) else name).replace(" ", "_")


def _listing(folder: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Names of the files, and of the folders, by what those that count as the same share."""
    files, folders = {}, {}
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir() or not entry.is_symlink() or os.path.exists(entry.path):
                alike = folders if entry.is_dir() else files  # no links that lead nowhere
                alike.setdefault(_loose(entry.name), []).append(entry.name)
    return files, folders


def walk(folder: str, levels: int = 99, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Paths of all files from `folder` down, sorted; hidden files and folders are left out."""
    place = os.path.realpath(folder)
    for is_folder, alike in enumerate(_listing(folder)):
        for name in sorted(chain.from_iterable(alike.values())):
            path = os.path.join(folder, name)
            if name[0] != "." and not is_folder:
                yield path
            elif name[0] != "." and levels and place not in above:  # links may lead round and round
                yield from walk(path, levels - 1, (*above, place))


class _Builder:
    """Takes in the segments of one annotation file and finds their videos."""

    def __init__(
        self, source: PathLike, root: PathLike, allow_duplicates: bool, allow_outside: bool = False
    ):
        self.source, self.root = source, os.path.abspath(root)
        if not os.path.isdir(self.root):
            raise FileNotFoundError(f"root is {os.fspath(root)!r}, but there is no such folder.")
        self.allow_duplicates, self.allow_outside = allow_duplicates, allow_outside
        self._segments, self._missing, self._duplicates = [], [], []
        self._lines: dict[Hashable, int | None] = {}
        self._ambiguous: dict[str, str] = {}
        self._list = cache(_listing)  # each folder once, when it is first asked about

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

    def once(self, row: _Row, name: str, times: tuple = (None, None)) -> None:
        """Note a segment; one that is there twice is an error, or counted."""
        first = self._lines.setdefault((name, times), row.line)
        if first != row.line:
            self._duplicates.append(row.line)
            if not self.allow_duplicates:
                hint = "Remove one of them; allow_duplicates=True keeps both."
                raise row.error(f"the same segment is in line {first}. {hint}")

    def add(
        self,
        row: _Row,
        label: int | dict[str, int] | None,
        name: str,
        place: str | None = None,  # where the video should lie below root; by default `name`
        found: list[str] | None = None,  # where it does, the best first; by default in its place
        times: tuple[float | None, float | None] = (None, None),
        fps: float | None = None,
    ) -> None:
        place = place or name
        if _leads_outside(place) and not self.allow_outside:
            rule = "must lie below root, unless read_csv has allow_outside=True"
            raise row.error(f"the video is {place!r}, but {rule}.")
        self.once(row, name, times)
        found = self.find(place) if found is None else found
        if len(found) > 1:
            self._ambiguous.setdefault(found[0], found[1])
        path = Path(found[0] if found else os.path.join(self.root, place))
        segment = Segment(path, label, *times, name, row.line, fps)
        (self._segments if found else self._missing).append(segment)

    def catalog(self, class_names: list[str] | dict[str, list[str]]) -> Catalog:
        notes = []
        if self._duplicates:
            kept = plural(len(self._duplicates), "duplicate")
            notes.append(f"{kept} kept, the first in line {self._duplicates[0]}")
        if self._ambiguous:
            took, other = next(iter(self._ambiguous.items()))
            names = plural(len(self._ambiguous), "name")
            notes.append(f"several files for {names}; e.g. took {took}, not {other}")
        return Catalog(self._segments, class_names, self.source, self._missing, notes)


# --- one reader a format -------------------------------------------------------------------------


def read_kinetics(
    annotations: PathLike,
    root: PathLike,
    *,
    classes: Names = None,
    trimmed: bool = False,
    allow_duplicates: bool = False,
) -> Catalog:
    """Kinetics-400, 600, 700, from the owners' CSV (`label,youtube_id,time_start,time_end,split`).

    root: the folder of `<id>_<start>_<end>.mp4`, or of whole videos `<id>.mp4`, from which the
    segment is then cut (trimmed=True: they are cut already); up to two folders deep. Of several
    files that fit, the one in a folder named after its class is taken. classes: names in their
    order, e.g. `train.class_names`, or a file of `save_classes`; by default the labels of this
    file, sorted. allow_duplicates and what is raised: as for `read_csv`. Source: DeepMind's files.

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
    labelled, table = "label" in rows[0].fields, None  # test sets have no labels
    if labelled or classes is not None:
        own = sorted({row["label"] for row in rows}) if classes is None else classes
        table = _Classes(own, annotations)
    build = _Builder(annotations, root, allow_duplicates)
    files: dict[str, list[str]] = {}  # every video by its name without the extension
    for path in filter(is_video, walk(build.root, levels=2)):  # root/train/abseiling/
        files.setdefault(Path(path).stem, []).append(path)
    for row in rows:
        video = row["youtube_id"]
        start, end = row.in_order(row.seconds("time_start"), row.seconds("time_end"))
        cut = f"{video}_{int(start):06d}_{int(end):06d}"
        whole = cut not in files and video in files
        found, label = files.get(video if whole else cut, []), None
        if labelled:
            label, own = table.number(row["label"], row), _loose(row["label"])
            found = sorted(found, key=lambda path: _loose(Path(path).parent.name) != own)
        times = (start, end) if whole and not trimmed else (None, None)
        build.add(row, label, cut, f"{cut}.mp4", found, times)
    return build.catalog(table.names if table else [])


def read_ssv2(
    annotations: PathLike, root: PathLike, *, classes: Names = None, allow_duplicates: bool = False
) -> Catalog:
    """Something-Something v2, from the owners' JSON; its test set has no labels.

    annotations: a list of `{"id": ..., "template": "Pushing [something]", ...}`; the class is the
    template without its brackets. root: the folder of `<id>.webm`, or of another extension.
    classes: the owners' `{"Pushing something": "0", ...}`, by default the file beside the
    annotations; or names in their order, or a file of `save_classes`. allow_duplicates and what is
    raised: as for `read_csv`. Source: the files of Something-Something v2 (174 classes).

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
        raise AnnotationError("it must be a JSON list, [...], with something in it.", annotations)
    if classes is None:
        own = re.sub(r"(train|validation|test)\.json$", "labels.json", Path(annotations).name)
        classes = _beside(annotations, own, "labels.json", "something-something-v2-labels.json")
    table, build = _Classes(classes, annotations), _Builder(annotations, root, allow_duplicates)
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
    annotations: PathLike, root: PathLike, *, classes: Names = None, allow_duplicates: bool = False
) -> Catalog:
    """Moments in Time, from the owners' CSV: `class/file.mp4,class,agree,disagree`.

    root: the folder of the folders of the classes. classes: the owners' `moments_categories.txt`
    (`class,index`), by default the one beside the annotations; or names in their order, or a file
    of `save_classes`. allow_duplicates and what is raised: as for `read_csv`. Source: the files of
    Moments in Time (305 to 339 classes by version).

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
    build = _Builder(annotations, root, allow_duplicates)
    for row in rows:
        build.add(row, table.number(row["class"], row), row["path"])
    return build.catalog(table.names)


def _moments_classes(path: PathLike) -> dict[str, str]:
    """The owners' categories, `class,index`."""
    rows = _read_table(path, ("class", "index"), header=False)
    return {row["class"]: row["index"] for row in rows}


def read_ucf101(
    annotations: PathLike, root: PathLike, *, classes: Names = None, allow_duplicates: bool = False
) -> Catalog:
    """UCF101, from the owners' lists `trainlist01.txt`, `testlist01.txt` and so on.

    annotations: `Archery/v_Archery_g08_c01.avi 3`, or without the number. The label is the folder's
    class; a number must agree with it. root: the folder of the folders of the classes. classes: the
    owners' `classInd.txt` (`1 ApplyEyeMakeup`), by default the one beside the annotations; or names
    in their order, or a file of `save_classes`. Our labels count from 0. allow_duplicates and what
    is raised: as for `read_csv`. Source: the files of UCF101 (101 classes).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     _ = Path(root, "trainlist01.txt").write_text("Diving/v_Diving_g08_c01.avi 2\\n")
    ...     Path(root, "Diving").mkdir()
    ...     Path(root, "Diving", "v_Diving_g08_c01.avi").touch()
    ...     read_ucf101(Path(root, "trainlist01.txt"), root, classes=["Archery", "Diving"])[0].label
    1
    """
    rows = _read_pairs(annotations, "path", "number")
    classes = _beside(annotations, "classInd.txt") if classes is None else classes
    table = _Classes(classes, annotations, _ucf101_classes)
    build = _Builder(annotations, root, allow_duplicates)
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
    allow_duplicates: bool = False,
) -> Catalog:
    """HMDB51, from the owners' lists `<class>_test_split1.txt` and so on, lines `name.avi 1`.

    annotations: the folder of the lists. split: 1, 2 or 3. subset: "train" (marked 1) or "test"
    (2); videos marked 0 belong to neither. root: the folder of the folders of the classes. classes:
    names in their order, or a file of `save_classes`; by default those of the lists, sorted.
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
    table = _Classes(sorted(lists) if classes is None else classes, folder)
    build = _Builder(folder, root, allow_duplicates)
    for name, path in lists.items():
        for row in _read_pairs(path, "name", "mark", at_last=True):
            mark = row.match("mark", "[012]", "0 (neither), 1 (train) or 2 (test)")
            file = f"{name}/{row['name']}"
            if mark == {"train": "1", "test": "2"}[subset]:
                build.add(row, table.number(name, row), file)
            else:
                build.once(row, file)
    return build.catalog(table.names)


def read_csv(
    annotations: PathLike,
    root: PathLike,
    *,
    classes: Names = None,
    allow_outside: bool = False,
    allow_duplicates: bool = False,
) -> Catalog:
    """A plain list: `path,label` or `path label`, one video a line.

    annotations: with commas or, where the first line has none, with blanks. A first line
    `path,label` is a header, and may go on with `,start,end` (seconds) to cut segments out of
    longer videos. Labels are whole numbers from 0, or names. root: the folder that paths are
    relative to. classes: names in their order, or a file of `save_classes`; by default the names in
    the list, sorted, or "0", "1", ... for numbers. allow_outside: let paths be absolute, or have
    `..` in them. allow_duplicates: keep a segment that comes twice. Raises FileNotFoundError,
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
    first = _read_lines(annotations)[0][1].replace(" ", "").lower()
    if "," in first:
        rows = _read_table(annotations, ("path", "label"), first.startswith("path,label"))
    else:
        rows = _read_pairs(annotations, "path", "label", at_last=True)
    table, label = None if classes is None else _Classes(classes, annotations), rows[0]["label"]
    numbers = label.removeprefix("-").isdigit() and not (table and label in table.names)
    if table is None:
        names = sorted({row["label"] for row in rows})
        if numbers:
            rule = "a whole number below 100,000 (or give the names as `classes`)"
            highest = max(int(row.match("label", r"\d{1,5}", rule)) for row in rows)
            names = [str(number) for number in range(highest + 1)]
        table = _Classes(names, annotations)
    build = _Builder(annotations, root, allow_duplicates, allow_outside)
    for row in rows:
        label = table.in_range(row, "label") if numbers else table.number(row["label"], row)
        times = (
            row.seconds(column) if row.fields.get(column, "").strip() else None
            for column in ("start", "end")
        )
        build.add(row, label, row["path"], times=row.in_order(*times))
    return build.catalog(table.names)


def read_folder(root: PathLike, *, split: str | None = None, classes: Names = None) -> Catalog:
    """The videos below the folder of each class, at any depth: `root/jump/a.mp4`.

    root: holds a folder per class, or folders `train`, `val`, ... that do: then `split` picks one.
    classes: names in their order (e.g. `train.class_names`), or a file of `save_classes`; by
    default the names of the folders, sorted. Hidden files are not looked at; other files that are
    no videos are counted in `notes`. Raises FileNotFoundError, AnnotationError where there is no
    class, no video, or another class.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("run/b.mp4", "jump/a.mp4"):
    ...         Path(root, name).parent.mkdir()
    ...         Path(root, name).touch()
    ...     catalog = read_folder(root)
    >>> [(segment.path.name, segment.label) for segment in catalog], catalog.class_names
    ([('a.mp4', 0), ('b.mp4', 1)], ['jump', 'run'])
    """
    root = Path(os.path.abspath(root), split or "")
    names = sorted(e.name for e in os.scandir(root) if e.is_dir() and e.name[0] != ".")
    if all(name.lower() in SPLITS for name in names):
        hint = f"they are splits: choose one, split={names[0]!r}" if names else "there is none"
        raise AnnotationError(f"each class needs a folder in it, but {hint}.", root)
    table = _Classes(names if classes is None else classes, root)
    labels = {name: table.number(name, _Row(root, None, {})) for name in names}
    segments, others = [], Counter()
    for path in map(Path, walk(root)):
        name = path.relative_to(root)
        if is_video(path.name) and name.parts[0] in labels:
            segments.append(Segment(path, labels[name.parts[0]], name=str(name)))
        elif is_video(path.name) or len(name.parts) > 1:  # a list beside the classes is no surprise
            others[path.suffix.lower() or "no extension"] += 1
    if not segments:
        found = f"{plural(len(names), 'folder')} ({names[0]!r}, ...)"
        raise AnnotationError(f"there is no video in its {found}.", root)
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common())
    note = f"passed over, no videos by their names or in no folder of a class: {kinds}"
    return Catalog(segments, table.names, root, notes=[note] if others else [])


# --- any of them ---------------------------------------------------------------------------------

FORMATS = {  # name -> its reader, and how the first line of an annotation file looks
    "ssv2": (read_ssv2, r"[\[{].*"),
    "kinetics": (read_kinetics, r".*\b(youtube_id|time_start)\b.*"),
    "epic": (read_epic, r".*\b(narration_id|start_timestamp)\b.*"),
    "moments": (read_moments, r"[^,]+/[^,]+,[^,]+,\d+,\d+"),
    "ucf101": (read_ucf101, r"\w+/v_\S+( \d+)?"),
    "csv": (read_csv, r".*"),
    "hmdb51": (read_hmdb51, ""),
    "folder": (read_folder, ""),
}


def read_annotations(
    annotations: PathLike,
    root: PathLike | None = None,
    *,
    format: str | None = None,
    classes: object = None,
) -> Catalog:
    """The catalogue of an annotation file or folder, by the reader of its format.

    root: the folder of the videos, by default the one that the annotations are in. format: a key of
    FORMATS, by default told by the first line. classes, what is raised: as for that reader.

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
    if format == "folder":
        return read_folder(root or path, classes=classes)
    folder = path if path.is_dir() else path.parent
    return FORMATS[format][0](path, root or folder, classes=classes)


def format_of(annotations: PathLike) -> str:
    """The format of a file, told by its first line; of a folder, by the names of its files."""
    path = Path(annotations)
    if path.is_dir():
        return "hmdb51" if any(path.glob("*_test_split[123].txt")) else "folder"
    _, first = _read_lines(path)[0]
    return next(name for name, (_, line) in FORMATS.items() if re.fullmatch(line, first))

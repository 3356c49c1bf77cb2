"""Plain lists of videos and labels, as SlowFast and its kin take them, and our own with times."""

import os

from vivit_lab.data.catalog.classes import Classes
from vivit_lab.data.catalog.collecting import Collector
from vivit_lab.data.catalog.files import Folders, outside
from vivit_lab.data.catalog.segments import AnnotationError, Catalog, ClassNames, Segment, plural
from vivit_lab.data.catalog.tables import Row, table_rows
from vivit_lab.data.catalog.text import numbered_lines, read_text

MOST_CLASSES = 100_000  # without a list of names; a larger label is a mistake
COLUMNS = ("path", "label")
TIMES = ("start", "end")


def read_csv(
    annotations: str | os.PathLike,
    root: str | os.PathLike,
    *,
    classes: ClassNames | str | os.PathLike | None = None,
    allow_outside: bool = False,
    allow_duplicates: bool = False,
) -> Catalog:
    """A plain list: `path,label` or `path label`, one video a line.

    annotations: with commas or, where the first line has none, with blanks. A first line
    `path,label` is a header, and may go on with `,start,end` (seconds) to cut segments out of
    longer videos. Labels are whole numbers from 0, or names. root: the folder that paths are
    relative to; another extension will do, and a folder name with underscores for spaces.
    classes: the names in their order, or a file of `save_classes`; by default the names in the
    list, sorted, or "0", "1", ... for numbers. allow_outside: let paths be absolute, or have `..`
    in them. allow_duplicates: keep a line that comes twice.

    Raises FileNotFoundError for a missing file or root, AnnotationError for whatever is wrong in
    the file. Source: the lists of SlowFast, PySlowFast's `train.csv`.

    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as root:
    ...     _ = Path(root, "train.csv").write_text("a.mp4 1\\nb.mp4 0\\n")
    ...     Path(root, "a.mp4").touch()
    ...     Path(root, "b.mp4").touch()
    ...     [segment.label for segment in read_csv(Path(root, "train.csv"), root)]
    [1, 0]
    """
    rows = _rows(annotations)
    table, numbers = _classes(classes, rows, annotations)
    folders, collector = Folders(root), Collector(annotations, allow_duplicates)
    for row in rows:
        name, (start, end) = row["path"], _times(row)
        if (reason := outside(name)) and not allow_outside:
            raise row.error(
                "path",
                f"{name!r} is refused: {reason}, and must lie below root. allow_outside=True "
                "reads it all the same.",
            )
        collector.new((name, start, end), row, "path")
        label = table.in_range(row, "label") if numbers else table.number(row["label"], row)
        found = folders.find_anywhere(name) if reason else folders.find(name)
        path, present = collector.choose(found, folders.expected(name))
        collector.add(Segment(path, label, start, end, name, row.line), present)
    unused = len(table) - len({row["label"] for row in rows}) if numbers else 0
    if unused and classes is None:
        collector.notes.append(f"{plural(unused, 'label')} below the highest that no line has")
    return collector.catalog(table.names)


def _rows(annotations: str | os.PathLike) -> list[Row]:
    text = read_text(annotations)
    _, first = next(numbered_lines(text))
    if "," not in first:
        return [_by_blanks(annotations, line, each) for line, each in numbered_lines(text)]
    names = [name.strip().lower() for name in first.split(",")]
    if names[:2] == list(COLUMNS):
        return table_rows(text, annotations, COLUMNS, optional=TIMES)
    return table_rows(text, annotations, COLUMNS, header=False)


def _by_blanks(annotations: str | os.PathLike, line: int, text: str) -> Row:
    fields = text.rsplit(None, 1)
    if len(fields) < 2:
        raise AnnotationError("the label is missing: `path label`.", annotations, line, column=2)
    return Row(str(annotations), line, fields, {"path": 0, "label": 1})


def _times(row: Row) -> tuple[float | None, float | None]:
    start, end = (
        row.seconds(column) if column in row and row.fields[row.places[column]].strip() else None
        for column in TIMES
    )
    if end is not None:
        row.ordered(start or 0.0, end, "end")
    return start, end


def _classes(
    classes: ClassNames | str | os.PathLike | None, rows: list[Row], source: str | os.PathLike
) -> tuple[Classes, bool]:
    """The classes, and whether the labels are numbers."""
    table = Classes.given(classes, source)
    if table and table.get(rows[0]["label"]) is not None:
        return table, False
    numbers = rows[0]["label"].removeprefix("-").isdigit()  # the first line decides
    if table or not numbers:
        return table or Classes(sorted({row["label"] for row in rows}), source), numbers
    highest = max(rows, key=lambda row: row.whole("label"))
    if highest.whole("label") >= MOST_CLASSES:
        raise highest.error(
            "label",
            f"the label is {highest['label']}, which would make more than {MOST_CLASSES:,} classes;"
            " give their names as `classes` if that is so.",
        )
    return Classes(map(str, range(highest.whole("label") + 1)), source), numbers

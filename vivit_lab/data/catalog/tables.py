"""Annotation files as tables: rows whose every field knows its line and column, for errors."""

import csv
import difflib
import io
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vivit_lab.data.catalog.segments import AnnotationError
from vivit_lab.data.catalog.text import read_text

NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+")
CLOCK = re.compile(r"(\d+):([0-5]?\d):([0-5]?\d(?:\.\d*)?)")


@dataclass(slots=True)
class Row:
    """One row of a table, whose fields are known by the names of their columns.

    >>> row = Row("train.csv", 7, ["run", "x"], {"label": 0, "time_start": 1})
    >>> row["label"], "split" in row
    ('run', False)
    >>> row.seconds("time_start")
    Traceback (most recent call last):
    vivit_lab.data.catalog.segments.AnnotationError: train.csv, line 7, column 2 (time_start): \
'x' is no number of seconds, such as 12 or 12.5.
    """

    file: str
    line: int
    fields: list[str]
    places: dict[str, int]  # name of a column -> its place, shared by all rows

    def __contains__(self, column: str) -> bool:
        return column in self.places

    def __getitem__(self, column: str) -> str:
        value = self.fields[self.places[column]].strip()
        if not value:
            raise self.error(column, "it is empty.")
        return value

    def error(self, column: str, reason: str) -> AnnotationError:
        """An error at this row and column, to be raised."""
        return AnnotationError(
            reason, self.file, self.line, f"{self.places[column] + 1} ({column})"
        )

    def whole(self, column: str) -> int:
        """A whole number of at least 0."""
        value = self[column]
        if not value.isascii() or not value.isdigit() or len(value) > 15:
            raise self.error(column, f"{value!r} is no whole number of at least 0.")
        return int(value)

    def seconds(self, column: str) -> float:
        """A number of seconds, at least 0."""
        value = self[column]
        if NUMBER.fullmatch(value) and math.isfinite(float(value)):
            return float(value)
        if NUMBER.fullmatch(value.removeprefix("-")):
            raise self.error(column, f"{value} is negative; seconds count from 0.")
        raise self.error(column, f"{value!r} is no number of seconds, such as 12 or 12.5.")

    def clock(self, column: str) -> float:
        """A time `HH:MM:SS.ff`, with any number of decimals, in seconds."""
        value = self[column]
        if not (parts := CLOCK.fullmatch(value)):
            raise self.error(column, f"{value!r} is no time such as 00:01:02.50.")
        hours, minutes, seconds = parts.groups()
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)

    def ordered(self, start: float, end: float, column: str) -> None:
        """Raise unless a segment ends (in `column`) after it starts."""
        if end <= start:
            raise self.error(column, f"it ends at {end:g} s, but starts at {start:g} s.")


def read_table(
    path: str | os.PathLike,
    columns: Sequence[str],
    header: bool = True,
    optional: Sequence[str] = (),
) -> list[Row]:
    """The rows of a CSV file, blank lines left out.

    columns: the names that the header must have, among others, in any order (`optional` ones are
    only offered as a spelling); without a header, exactly the columns of each row.

    Raises AnnotationError for a header that lacks a column, a row with too many or too few, quotes
    that do not close, no rows.
    """
    return table_rows(read_text(path), path, columns, header, optional)


def table_rows(
    text: str,
    path: str | os.PathLike,
    columns: Sequence[str],
    header: bool = True,
    optional: Sequence[str] = (),
) -> list[Row]:
    """As `read_table`, of a text that is already read; `path` is what errors call it."""
    file, lines = str(path), _csv_lines(text, path)
    places = {name: place for place, name in enumerate(columns)}
    if header:
        line, fields = next(lines)
        places = _header(fields, file, line, columns, optional)
    rows = []
    for line, fields in lines:
        if len(fields) != len(places):
            raise _column_count(file, line, fields, list(places), header)
        rows.append(Row(file, line, fields, places))
    if not rows:
        raise AnnotationError("there is a header, but no row below it.", file, line)
    return rows


def _csv_lines(text: str, path: str | os.PathLike) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for fields in reader:
            if fields and (len(fields) > 1 or fields[0].strip()):
                yield line, fields
            line = reader.line_num + 1  # where the next row begins
    except csv.Error as error:
        raise AnnotationError(
            f"this is no proper CSV ({error}). Look for a quotation mark that is not closed; one "
            'inside quotes is doubled: "".',
            path,
            line,
            column=1,
        ) from None


def _header(
    fields: list[str], file: str, line: int, columns: Sequence[str], optional: Sequence[str]
) -> dict[str, int]:
    names = [field.strip() for field in fields]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise AnnotationError(
                f"the header has {name!r} twice.", file, line, f"{place + 1} ({name})"
            )
    for wanted in columns:
        if wanted not in names:
            spare = [name for name in names if name not in (*columns, *optional)]
            close = difflib.get_close_matches(wanted, spare, n=1)
            place = names.index(close[0]) if close else 0
            hint = f" Is {close[0]!r} meant for it?" if close else ""
            raise AnnotationError(
                f"the header lacks {wanted!r}.{hint} Expected: {','.join(columns)}; found: "
                f"{','.join(names)[:200]}",
                file,
                line,
                f"{place + 1} ({names[place]})",
            )
    return {name: place for place, name in enumerate(names)}


def _column_count(
    file: str, line: int, fields: list[str], names: list[str], header: bool
) -> AnnotationError:
    rule = f"the header has {len(names)}" if header else f"there must be {len(names)}"
    few = len(fields) < len(names)
    place = len(fields) if few else len(names)
    hint = (
        f"{names[place]!r} is missing, or a comma."
        if few
        else f"{fields[place][:40]!r} is too many; a comma inside a field needs quotes."
    )
    return AnnotationError(
        f"the row has {len(fields)} columns, but {rule} ({','.join(names)}): {hint}",
        file,
        line,
        column=place + 1,
    )

"""From rows to a catalog: present or missing, duplicates, names that fit several files."""

from collections.abc import Hashable
from pathlib import Path

from vivit_lab.data.catalog.segments import Catalog, ClassNames, Segment, plural
from vivit_lab.data.catalog.tables import Row


class Collector:
    """Takes the segments of one annotation file in, one by one; `catalog` is the outcome.

    A segment that comes twice is an error, unless `allow_duplicates`: then it is kept and counted.
    """

    def __init__(self, source: Path | str, allow_duplicates: bool):
        self.source, self.allow_duplicates = source, allow_duplicates
        self.notes: list[str] = []
        self._segments: list[Segment] = []
        self._missing: list[Segment] = []
        self._lines: dict[Hashable, int] = {}
        self._duplicates: list[int] = []
        self._ambiguous: dict[str, list[str]] = {}

    def new(self, key: Hashable, row: Row, column: str) -> None:
        """Raise if a segment of that key was there before, in an earlier line."""
        first = self._lines.setdefault(key, row.line)
        if first == row.line:
            return
        if not self.allow_duplicates:
            raise row.error(
                column,
                f"the same segment is in line {first}. Remove one of them; allow_duplicates=True "
                "keeps both.",
            )
        self._duplicates.append(row.line)

    def choose(self, found: list[str], expected: str) -> tuple[Path, bool]:
        """(path, whether it is there): the best of the files found, or where one should be."""
        if len(found) > 1:
            self._ambiguous.setdefault(found[0], found)
        return (Path(found[0] if found else expected), bool(found))

    def add(self, segment: Segment, present: bool) -> None:
        """Keep a segment, as present or as missing."""
        (self._segments if present else self._missing).append(segment)

    def catalog(self, class_names: ClassNames) -> Catalog:
        """All that was added."""
        notes = list(self.notes)
        if self._duplicates:
            lines = ", ".join(str(line) for line in self._duplicates[:5])
            more = ", ..." if len(self._duplicates) > 5 else ""
            notes.append(
                f"{plural(len(self._duplicates), 'duplicate')} kept, in line {lines}{more}"
            )
        if self._ambiguous:
            first, *others = next(iter(self._ambiguous.values()))
            names = plural(len(self._ambiguous), "name")
            notes.append(f"several files for {names}; e.g. took {first}, not {others[0]}")
        return Catalog(self._segments, class_names, self.source, self._missing, notes)

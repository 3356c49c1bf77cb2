"""UCF101: three official splits, classes counted from 1."""

import os
from pathlib import Path

from vivit_lab.data.catalog.classes import Classes, beside
from vivit_lab.data.catalog.collecting import Collector
from vivit_lab.data.catalog.files import Folders, outside
from vivit_lab.data.catalog.segments import AnnotationError, Catalog, ClassNames, Segment
from vivit_lab.data.catalog.tables import Row
from vivit_lab.data.catalog.text import numbered_lines, read_text

PLACES = {"path": 0, "label": 1}


def read_ucf101(
    annotations: str | os.PathLike,
    root: str | os.PathLike,
    *,
    classes: ClassNames | str | os.PathLike | None = None,
    allow_duplicates: bool = False,
) -> Catalog:
    """UCF101, from the owners' lists.

    annotations: `trainlist01.txt` (`Archery/v_Archery_g08_c01.avi 3`) or `testlist01.txt` (without
    numbers), or 02, 03. The label is the folder's class; a number must agree with it. root: the
    folder of the folders of the classes; another extension will do. classes: the owners'
    `classInd.txt` (`1 ApplyEyeMakeup`), by default the one beside the annotations; or the names in
    their order, or a file of `save_classes`. Our labels count from 0.
    allow_duplicates: keep a path that comes twice.

    Raises FileNotFoundError for a missing file or root, AnnotationError for whatever is wrong in
    the files. Source: the files of UCF101 (101 classes).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     _ = Path(root, "classInd.txt").write_text("1 Archery\\n2 Diving\\n")
    ...     _ = Path(root, "trainlist01.txt").write_text("Diving/v_Diving_g08_c01.avi 2\\n")
    ...     Path(root, "Diving").mkdir()
    ...     Path(root, "Diving", "v_Diving_g08_c01.avi").touch()
    ...     read_ucf101(Path(root, "trainlist01.txt"), root)[0].label
    1
    """
    rows = [_row(annotations, *each) for each in numbered_lines(read_text(annotations))]
    if classes is None:
        classes = beside(annotations, "classInd.txt")
    table = Classes.given(classes, annotations, _owners)
    folders, collector = Folders(root), Collector(annotations, allow_duplicates)
    for row in rows:
        name = row["path"]
        collector.new(name, row, "path")
        label = table.number(name.split("/")[0], row, "path")
        if row.fields[1] and row.whole("label") != label + 1:
            raise row.error(
                "label",
                f"the number is {row['label']}, but the folder {table.names[label]!r} is class "
                f"{label + 1} of {table.source}.",
            )
        path, present = collector.choose(folders.find(name), folders.expected(name))
        collector.add(Segment(path, label, name=name, line=row.line), present)
    return collector.catalog(table.names)


def _row(file: str | os.PathLike, line: int, text: str) -> Row:
    fields = text.split()
    row = Row(str(file), line, [*fields, ""][:2], PLACES)
    if len(fields) > 2:
        raise AnnotationError(
            f"there are {len(fields)} columns, but must be 1 or 2: `Class/video.avi` or "
            "`Class/video.avi 1`.",
            file,
            line,
            column=3,
        )
    if reason := outside(fields[0]):
        raise row.error("path", f"{fields[0]!r} is refused: {reason}, and must lie below root.")
    if "/" not in fields[0]:
        raise row.error("path", f"{fields[0]!r} lacks the folder of its class, `Class/video.avi`.")
    return row


def _owners(path: Path) -> list[str]:
    """The owners' class index, `1 ApplyEyeMakeup`: numbers from 1, in order."""
    names = []
    for line, text in numbered_lines(read_text(path)):
        number, _, name = text.partition(" ")
        if number != str(len(names) + 1) or not name.strip():
            raise AnnotationError(
                f"{text!r:.60} should be `{len(names) + 1} NameOfTheClass`.", path, line, column=1
            )
        names.append(name.strip())
    return names

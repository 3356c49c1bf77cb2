"""HMDB51: a list for each class and each of the three official splits."""

import os
from pathlib import Path

from vivit_lab.data.catalog.classes import Classes
from vivit_lab.data.catalog.collecting import Collector
from vivit_lab.data.catalog.files import Folders, outside
from vivit_lab.data.catalog.segments import AnnotationError, Catalog, ClassNames, Segment, plural
from vivit_lab.data.catalog.tables import Row
from vivit_lab.data.catalog.text import numbered_lines, read_text
from vivit_lab.errors import one_of

SPLITS = (1, 2, 3)
SUBSETS = {"train": "1", "test": "2"}  # the mark in the lists; "0" is neither
PLACES = {"path": 0, "mark": 1}


def read_hmdb51(
    annotations: str | os.PathLike,
    root: str | os.PathLike,
    *,
    split: int = 1,
    subset: str = "train",
    classes: ClassNames | str | os.PathLike | None = None,
    allow_duplicates: bool = False,
) -> Catalog:
    """HMDB51, from the owners' lists.

    annotations: the folder of `<class>_test_split1.txt` and so on, lines `name.avi 1`. split: 1, 2
    or 3. subset: "train" (marked 1) or "test" (2); videos marked 0 belong to neither.
    root: the folder of the folders of the classes; another extension will do. classes: the names in
    their order, or a file of `save_classes`; by default those of the lists, sorted.
    allow_duplicates: keep a video that comes twice.

    Raises FileNotFoundError for a missing folder, ValueError for another split or subset,
    AnnotationError for whatever is wrong in the lists. Source: the files of HMDB51 (51 classes).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     _ = Path(root, "wave_test_split1.txt").write_text("a.avi 1 \\nb.avi 2 \\nc.avi 0 \\n")
    ...     Path(root, "wave").mkdir()
    ...     Path(root, "wave", "a.avi").touch()
    ...     [segment.name for segment in read_hmdb51(root, root, split=1, subset="train")]
    ['wave/a.avi']
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}, but must be 1, 2 or 3.")
    one_of("subset", subset, SUBSETS)
    folder, ending = Path(annotations), f"_test_split{split}.txt"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder of lists.")
    lists = {path.name.removesuffix(ending): path for path in folder.glob(f"*{ending}")}
    if not lists:
        raise AnnotationError(f"there is no list <class>{ending} in it.", folder)
    table = Classes.given(classes, folder) or Classes(sorted(lists), folder)
    folders, collector, unused = Folders(root), Collector(folder, allow_duplicates), 0
    for name, path in sorted(lists.items()):
        label = table.number(name)
        for row in (_row(path, *each) for each in numbered_lines(read_text(path))):
            collector.new((name, row["path"]), row, "path")
            unused += row["mark"] == "0"
            if row["mark"] == SUBSETS[subset]:
                relative = f"{name}/{row['path']}"
                found, present = collector.choose(
                    folders.find(relative), folders.expected(relative)
                )
                collector.add(Segment(found, label, name=relative, line=row.line), present)
    if unused:
        collector.notes.append(f"{plural(unused, 'video')} in neither subset of split {split}")
    return collector.catalog(table.names)


def _row(file: Path, line: int, text: str) -> Row:
    fields = text.rsplit(None, 1)
    if len(fields) < 2:
        raise AnnotationError("the mark is missing: `name.avi 1`.", file, line, column=2)
    row = Row(str(file), line, fields, PLACES)
    if row["mark"] not in ("0", "1", "2"):
        raise row.error("mark", f"{row['mark']!r} must be 0 (neither), 1 (train) or 2 (test).")
    if outside(row["path"]) or "/" in row["path"]:
        raise row.error("path", f"{row['path']!r} must be the name of a file, not a path.")
    return row

"""Moments in Time: a CSV without a header, and a file of categories."""

import os
from pathlib import Path

from vivit_lab.data.catalog.classes import Classes, beside
from vivit_lab.data.catalog.collecting import Collector
from vivit_lab.data.catalog.files import Folders, outside
from vivit_lab.data.catalog.segments import Catalog, ClassNames, Segment
from vivit_lab.data.catalog.tables import read_table

COLUMNS = ("path", "class", "agree", "disagree")


def read_moments(
    annotations: str | os.PathLike,
    root: str | os.PathLike,
    *,
    classes: ClassNames | str | os.PathLike | None = None,
    allow_duplicates: bool = False,
) -> Catalog:
    """Moments in Time, from the owners' CSV.

    annotations: `trainingSet.csv` or `validationSet.csv`: `class/file.mp4,class,agree,disagree`.
    root: the folder of the folders of the classes; another extension will do, and a folder name
    with underscores for spaces. classes: the owners' `moments_categories.txt` (`class,index`), by
    default the one beside the annotations; or the names in their order, or a file of
    `save_classes`. allow_duplicates: keep a path that comes twice.

    Raises FileNotFoundError for a missing file or root, AnnotationError for whatever is wrong in
    the files. Source: the files of Moments in Time (305 to 339 classes by version).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     _ = Path(root, "moments_categories.txt").write_text("asking,0\\nbaking,1\\n")
    ...     _ = Path(root, "trainingSet.csv").write_text("baking/a.mp4,baking,3,0\\n")
    ...     Path(root, "baking").mkdir()
    ...     Path(root, "baking", "a.mp4").touch()
    ...     read_moments(Path(root, "trainingSet.csv"), root)[0].label
    1
    """
    rows = read_table(annotations, COLUMNS, header=False)
    if classes is None:
        classes = beside(annotations, "moments_categories.txt")
    table = Classes.given(classes, annotations, _owners)
    folders, collector = Folders(root), Collector(annotations, allow_duplicates)
    for row in rows:
        name = row["path"]
        if reason := outside(name):
            raise row.error("path", f"{name!r} is refused: {reason}, and must lie below root.")
        collector.new(name, row, "path")
        label = table.number(row["class"], row, "class")
        path, present = collector.choose(folders.find(name), folders.expected(name))
        collector.add(Segment(path, label, name=name, line=row.line), present)
    return collector.catalog(table.names)


def _owners(path: Path) -> list[str]:
    """The owners' categories, `class,index`: indices from 0, each once, in any order."""
    rows = read_table(path, ("class", "index"), header=False)
    names: dict[int, str] = {}
    for row in rows:
        index = row.whole("index")
        if index in names or index >= len(rows):
            raise row.error(
                "index", f"the index is {index}; each of 0 to {len(rows) - 1} must come once."
            )
        names[index] = row["class"]
    return [names[index] for index in range(len(rows))]

"""Something-Something v2: JSON lists, with the classes in a file of their own."""

import os
from pathlib import Path

from vivit_lab.data.catalog.classes import Classes, beside
from vivit_lab.data.catalog.collecting import Collector
from vivit_lab.data.catalog.files import Folders
from vivit_lab.data.catalog.json_files import json_items, read_json
from vivit_lab.data.catalog.segments import AnnotationError, Catalog, ClassNames, Segment
from vivit_lab.data.catalog.tables import Row

PLACES = {"id": 0, "template": 1}  # for errors: an item has keys, not columns


def read_ssv2(
    annotations: str | os.PathLike,
    root: str | os.PathLike,
    *,
    classes: ClassNames | str | os.PathLike | None = None,
    allow_duplicates: bool = False,
) -> Catalog:
    """Something-Something v2, from the owners' JSON.

    annotations: `something-something-v2-train.json`, `-validation.json` or `-test.json` (whose
    items have no template, hence label None), or `train.json` and its like: a list of
    `{"id": ..., "template": "Pushing [something]", ...}`. The class is the template without its
    brackets. root: the folder of `<id>.webm`, or of another extension.
    classes: the owners' labels file `{"Pushing something": "0", ...}`, by default the one beside
    the annotations; or the names in their order, or a file of `save_classes`.
    allow_duplicates: keep an id that comes twice.

    Raises FileNotFoundError for a missing file or root, AnnotationError for whatever is wrong in
    the files. Source: the files of Something-Something v2 (174 classes, 12 frames a second).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     _ = Path(root, "labels.json").write_text('{"Pushing something": "0"}')
    ...     items = '[{"id": "7", "template": "Pushing [something]"}]'
    ...     _ = Path(root, "train.json").write_text(items)
    ...     Path(root, "7.webm").touch()
    ...     catalog = read_ssv2(Path(root, "train.json"), root)
    >>> catalog.class_names[catalog[0].label]
    'Pushing something'
    """
    annotations = Path(annotations)
    items = [_row(annotations, line, item) for line, item in json_items(annotations)]
    if not items:
        raise AnnotationError("the list is empty.", annotations)
    table = Classes.given(
        classes if classes is not None else _labels_file(annotations), annotations, _owners
    )
    folders, collector = Folders(root), Collector(annotations, allow_duplicates)
    for row, item in items:
        name = row["id"]
        collector.new(name, row, "id")
        label = None
        if "template" in item:
            label = table.number(_class_name(row["template"]), row, "template")
        expected = folders.expected(f"{name}.webm")
        path, present = collector.choose(folders.find(f"{name}.webm"), expected)
        collector.add(Segment(path, label, name=name, line=row.line), present)
    return collector.catalog(table.names)


def _class_name(template: str) -> str:
    return template.replace("[", "").replace("]", "")


def _row(annotations: Path, line: int, item: object) -> tuple[Row, dict]:
    row = Row(str(annotations), line, ["", ""], PLACES)
    if not isinstance(item, dict) or "id" not in item:
        raise row.error("id", f"an item must be {{'id': ..., 'template': ...}}, not {item!r:.80}.")
    for key in PLACES:
        value = item.get(key, "")
        if key == "id" and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise row.error(key, f"{key!r} is {value!r:.60}, but must be a text.")
        row.fields[PLACES[key]] = value
    if set(row["id"]) & set("/\\") or row["id"].startswith("."):
        raise row.error("id", f"{row['id']!r} is no id, but looks like a path.")
    return row, item


def _labels_file(annotations: Path) -> Path:
    same = annotations.name
    for split in ("train", "validation", "test"):
        same = same.replace(f"{split}.json", "labels.json")
    names = [same, "labels.json", "something-something-v2-labels.json"]
    return beside(annotations, *(name for name in names if name != annotations.name))


def _owners(path: Path) -> list[str]:
    """The owners' labels file: names -> numbers from 0, written as texts."""
    table = read_json(path)
    numbers = {str(number): name for name, number in table.items()}
    names = [numbers.get(str(number)) for number in range(len(table))]
    if None in names:
        raise AnnotationError(
            f"its {len(table)} classes must be numbered 0 to {len(table) - 1}, each once; number "
            f"{names.index(None)} is not there.",
            path,
        )
    return [name.replace("[", "").replace("]", "") for name in names]

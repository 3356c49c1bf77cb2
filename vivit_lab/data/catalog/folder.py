"""A folder per class: `root/jump/a.mp4`, or `root/train/jump/a.mp4` with split folders."""

import os
from collections import Counter
from pathlib import Path

from vivit_lab.data.catalog.classes import Classes
from vivit_lab.data.catalog.files import Folders
from vivit_lab.data.catalog.segments import AnnotationError, Catalog, ClassNames, Segment, plural

SPLITS = ("train", "training", "val", "valid", "validation", "test")


def read_folder(
    root: str | os.PathLike,
    *,
    split: str | None = None,
    classes: ClassNames | str | os.PathLike | None = None,
) -> Catalog:
    """The videos below the folder of each class, at any depth.

    root: holds a folder per class, or folders `train`, `val`, ... that do: then `split` picks one.
    classes: the names in their order (e.g. `train.class_names`), or a file of `save_classes`; by
    default the names of the folders, sorted. An empty class keeps its number. Hidden files and
    folders (`.git`) are not looked at; other files that are no videos are counted in `notes`.

    Raises FileNotFoundError for a missing folder, AnnotationError where there is no class, no
    video, or a folder that is none of `classes`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("run/b.mp4", "jump/a.mp4"):
    ...         Path(root, name).parent.mkdir()
    ...         Path(root, name).touch()
    ...     catalog = read_folder(root)
    >>> [(segment.path.name, segment.label) for segment in catalog], catalog.class_names
    ([('a.mp4', 0), ('b.mp4', 1)], ['jump', 'run'])
    """
    root = Path(root) if split is None else Path(root, split)
    folders = Folders(root)
    names = sorted(n for n in folders.listing(folders.root).folders if n[0] != ".")
    _check_names(names, root)
    table = Classes.given(classes, root) or Classes(names, root)
    segments, others = [], Counter()
    for name in names:
        label = table.number(name)
        below = Folders(root / name)
        for folder in below.walk():
            for path in below.videos(folder):
                segments.append(Segment(Path(path), label, name=os.path.relpath(path, root)))
            _count_others(below.listing(folder).files, below.videos(folder), others)
    if not segments:
        raise AnnotationError(
            f"there is no video in its {plural(len(names), 'folder')} ({names[0]!r}, ...).", root
        )
    return Catalog(segments, table.names, root, notes=_notes(folders, others))


def _check_names(names: list[str], root: Path) -> None:
    if not names:
        raise AnnotationError("there is no folder in it, but each class needs one.", root)
    if all(name.lower() in SPLITS for name in names):
        raise AnnotationError(
            f"its folders are splits, not classes; choose one: split={names[0]!r}.", root
        )


def _count_others(files: set[str], videos: list[str], others: Counter) -> None:
    visible = {name for name in files if not name.startswith(".")}
    for name in visible - {os.path.basename(path) for path in videos}:
        others[os.path.splitext(name)[1].lower() or "no extension"] += 1


def _notes(folders: Folders, others: Counter) -> list[str]:
    notes = []
    if others:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common())
        notes.append(f"passed over, not the name of a video: {kinds}")
    if loose := folders.videos(folders.root):
        notes.append(
            f"{plural(len(loose), 'video')} beside the folders of the classes, passed over: "
            f"{loose[0]}"
        )
    return notes

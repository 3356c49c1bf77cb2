"""What `check` is asked to look at: a video, a folder of them, an annotation file, a catalogue."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from vivit_lab.data.catalog.files import Folders, is_video
from vivit_lab.data.catalog.reading import format_of, read_annotations
from vivit_lab.data.catalog.segments import AnnotationError, Catalog, ClassNames, Segment

LISTS = (".csv", ".json", ".txt", ".tsv")  # extensions of annotation files


@dataclass
class Subject:
    """The segments to be checked; a plain video is one segment, from its beginning to its end."""

    source: str  # absolute path of what was given
    base: str  # folder to which paths are shown
    segments: list[Segment]
    missing: list[Segment] = field(default_factory=list)
    class_names: ClassNames = field(default_factory=list)
    passed_over: Counter = field(
        default_factory=Counter
    )  # files that are no videos: extension -> n
    notes: list[str] = field(default_factory=list)


def subject_of(
    source: str | os.PathLike | Catalog,
    root: str | os.PathLike | None = None,
    format: str | None = None,
    classes: object = None,
) -> Subject:
    """Find out what `source` is, and list what is in it.

    A folder is all the videos below it, unless it holds the lists of HMDB51, or a format is given.
    Raises FileNotFoundError, AnnotationError, and ValueError for an unknown format.
    """
    if isinstance(source, Catalog):
        return _of_catalog(source, root)
    path = Path(os.path.abspath(source))
    if not path.exists() and not path.is_symlink():
        raise FileNotFoundError(f"{path}: there is no such file or folder.")
    lists = format is not None or path.suffix.lower() in LISTS and path.is_file()
    if lists or path.is_dir() and format_of(path) == "hmdb51":
        return _of_catalog(read_annotations(path, root, format=format, classes=classes), root)
    if path.is_dir():
        return _of_folder(path)
    return Subject(str(path), str(path.parent), [Segment(path, None)])


def _of_catalog(catalog: Catalog, root: str | os.PathLike | None) -> Subject:
    source = Path(os.path.abspath(catalog.source))
    base = os.path.abspath(root) if root else str(source if source.is_dir() else source.parent)
    return Subject(
        str(source),
        base,
        catalog.segments,
        catalog.missing,
        catalog.class_names,
        notes=catalog.notes,
    )


def _of_folder(path: Path) -> Subject:
    folders, found = Folders(path), Subject(str(path), str(path), [])
    for folder in folders.walk():
        for name in sorted(folders.listing(folder).files):
            suffix = os.path.splitext(name)[1].lower()
            if is_video(name) or not suffix and name[0] != ".":  # a name may have lost its ending
                found.segments.append(Segment(Path(folder, name), None))
            elif name[0] != ".":
                found.passed_over[suffix] += 1
    if not found.segments:
        raise AnnotationError(
            "there is no video in this folder, nor below it. Is it a folder of frames? "
            "vivit_lab.video.FrameFolder reads those.",
            path,
        )
    return found

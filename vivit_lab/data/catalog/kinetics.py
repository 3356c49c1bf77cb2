"""Kinetics-400, 600 and 700: `train.csv` and its like, in all the ways the videos are stored."""

import os

from vivit_lab.data.catalog.classes import Classes
from vivit_lab.data.catalog.collecting import Collector
from vivit_lab.data.catalog.files import VIDEO_SUFFIXES, Folders
from vivit_lab.data.catalog.segments import Catalog, ClassNames, Segment
from vivit_lab.data.catalog.tables import Row, read_table

COLUMNS = ("youtube_id", "time_start", "time_end")  # `label` too, but for test sets
LEVELS = 2  # folders below the root that are listed: root/train/abseiling/


def read_kinetics(
    annotations: str | os.PathLike,
    root: str | os.PathLike,
    *,
    classes: ClassNames | str | os.PathLike | None = None,
    trimmed: bool = False,
    allow_duplicates: bool = False,
) -> Catalog:
    """Kinetics, from the owners' CSV (`label,youtube_id,time_start,time_end,split` and others).

    annotations: the CSV file; columns are known by the header, and further ones do not matter.
    root: the folder of `<id>_<start>_<end>.mp4`, or of whole videos `<id>.mp4`, from which the
    segment is then cut; flat, or with folders up to two levels deep, whatever their names; any
    extension of a video. If one name fits several files, the one in a folder named after its class
    is taken, and `notes` say so.
    classes: the names in their order (e.g. `train.class_names`), or a file of `save_classes`; by
    default the labels of this file, sorted. trimmed: files `<id>.mp4` are already cut to the
    segment. allow_duplicates: keep a segment that comes twice.

    Raises FileNotFoundError for a missing file or root, AnnotationError for whatever is wrong in
    the file. Source: the files of DeepMind's Kinetics.

    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as root:
    ...     text = "label,youtube_id,time_start,time_end,split\\nyoga,abc,5,15,val\\n"
    ...     _ = Path(root, "val.csv").write_text(text)
    ...     Path(root, "abc_000005_000015.mp4").touch()
    ...     catalog = read_kinetics(Path(root, "val.csv"), root)
    >>> catalog[0].path.name, catalog.class_names
    ('abc_000005_000015.mp4', ['yoga'])
    """
    rows = read_table(annotations, COLUMNS, optional=("label", "split"))
    table = Classes.given(classes, annotations)
    labelled = "label" in rows[0]
    if table is None and labelled:
        table = Classes(sorted({row["label"] for row in rows}), annotations)
    folders = Folders(root)
    files = _by_stem(folders)
    collector = Collector(annotations, allow_duplicates)
    for row in rows:
        video, start, end = _segment(row)
        collector.new((video, start, end), row, "youtube_id")
        cut = f"{video}_{int(start):06d}_{int(end):06d}"
        label = table.number(row["label"], row) if labelled else None
        whole = cut not in files and video in files
        found = files.get(video if whole else cut, [])
        if len(found) > 1 and labelled:
            found = sorted(found, key=lambda path: not _in_folder_of(path, row["label"]))
        path, present = collector.choose(found, folders.expected(f"{cut}.mp4"))
        times = (start, end) if whole and not trimmed else (None, None)
        collector.add(Segment(path, label, *times, name=cut, line=row.line), present)
    return collector.catalog(table.names if table else [])


def _segment(row: Row) -> tuple[str, float, float]:
    video = row["youtube_id"]
    if set(video) & set("/\\") or video.startswith("."):
        raise row.error("youtube_id", f"{video!r} is no video id, but looks like a path.")
    start, end = row.seconds("time_start"), row.seconds("time_end")
    row.ordered(start, end, "time_end")
    return video, start, end


def _by_stem(folders: Folders) -> dict[str, list[str]]:
    """Every video by its name without the extension."""
    files: dict[str, list[str]] = {}
    for folder in folders.walk(LEVELS):
        for file in sorted(folders.listing(folder).files):
            name, suffix = os.path.splitext(file)
            if suffix.lower() in VIDEO_SUFFIXES and file[0] != ".":
                files.setdefault(name, []).append(os.path.join(folder, file))
    return files


def _in_folder_of(path: str, label: str) -> bool:
    return os.path.basename(os.path.dirname(path)).replace("_", " ") == label.replace("_", " ")

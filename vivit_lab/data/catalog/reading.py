"""Any annotation file: which format it is in is told by looking inside."""

import os
import re
from pathlib import Path

from vivit_lab.data.catalog.epic import read_epic
from vivit_lab.data.catalog.folder import read_folder
from vivit_lab.data.catalog.hmdb51 import read_hmdb51
from vivit_lab.data.catalog.kinetics import read_kinetics
from vivit_lab.data.catalog.moments import read_moments
from vivit_lab.data.catalog.plain import read_csv
from vivit_lab.data.catalog.segments import Catalog
from vivit_lab.data.catalog.ssv2 import read_ssv2
from vivit_lab.data.catalog.text import numbered_lines, read_text
from vivit_lab.data.catalog.ucf101 import read_ucf101
from vivit_lab.errors import one_of

READERS = {
    "kinetics": read_kinetics,
    "ssv2": read_ssv2,
    "epic": read_epic,
    "moments": read_moments,
    "ucf101": read_ucf101,
    "hmdb51": read_hmdb51,
    "csv": read_csv,
}
FORMATS = (*READERS, "folder")


def read_annotations(
    annotations: str | os.PathLike,
    root: str | os.PathLike | None = None,
    *,
    format: str | None = None,
    classes: object = None,
) -> Catalog:
    """The catalogue of an annotation file or folder, by the reader of its format.

    root: the folder of the videos, by default the one that the annotations are in. format: one of
    FORMATS, by default as `format_of` says. classes: as that format's reader takes it.

    Raises what the reader raises, ValueError for an unknown format.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     _ = Path(root, "train.csv").write_text("a.mp4 1")
    ...     Path(root, "a.mp4").touch()
    ...     read_annotations(Path(root, "train.csv"))[0].label
    1
    """
    path = Path(annotations)
    format = format or format_of(path)
    one_of("format", format, FORMATS)
    if format == "folder":
        return read_folder(root or path, classes=classes)
    return READERS[format](path, root or (path if path.is_dir() else path.parent), classes=classes)


def format_of(annotations: str | os.PathLike) -> str:
    """The format of an annotation file, told by its first line; of a folder, by its files' names.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "list.csv")
    ...     _ = path.write_text("narration_id,video_id,start_timestamp")
    ...     format_of(path)
    'epic'
    """
    path = Path(annotations)
    if path.is_dir():
        return "hmdb51" if any(path.glob("*_test_split[123].txt")) else "folder"
    _, first = next(numbered_lines(read_text(path)))
    if path.suffix.lower() == ".json" or first.startswith(("[", "{")):
        return "ssv2"
    if re.search(r"\b(youtube_id|time_start)\b", first):
        return "kinetics"
    if re.search(r"\b(narration_id|start_timestamp)\b", first):
        return "epic"
    if re.fullmatch(r"[^,]+/[^,]+,[^,]+,\d+,\d+", first):
        return "moments"
    if re.fullmatch(r"\w+/v_\S+( \d+)?", first):
        return "ucf101"
    return "csv"

"""EPIC-Kitchens-100: two labels a segment, long videos or folders of frames."""

import os
from collections.abc import Mapping
from pathlib import Path

from vivit_lab.data.catalog.classes import Classes, beside
from vivit_lab.data.catalog.collecting import Collector
from vivit_lab.data.catalog.files import Folders
from vivit_lab.data.catalog.json_files import read_json
from vivit_lab.data.catalog.segments import AnnotationError, Catalog, Segment
from vivit_lab.data.catalog.tables import Row, read_table

COLUMNS = (  # `verb_class` and `noun_class` too, but for test sets
    "narration_id",
    "video_id",
    "start_timestamp",
    "stop_timestamp",
    "start_frame",
    "stop_frame",
)
HEADS = ("verb", "noun")
# {p} is the participant, P01. The first two are the owners' layout, mirrors have the others.
PLACES = ("{p}/videos", "{p}/rgb_frames", "{p}", "", "videos", "rgb_frames", "videos/{p}")


def read_epic(
    annotations: str | os.PathLike,
    root: str | os.PathLike,
    *,
    classes: Mapping[str, list[str] | str | os.PathLike] | str | os.PathLike | None = None,
    fps: float | Mapping[str, float] | None = None,
    allow_duplicates: bool = False,
) -> Catalog:
    """EPIC-Kitchens-100, from the owners' CSV; labels are `{"verb": 3, "noun": 40}`.

    annotations: `EPIC_100_train.csv`, `EPIC_100_validation.csv`, or the test set's (no labels).
    root: holds `P01/P01_101.MP4`, `P01/videos/P01_101.MP4` or `P01_101.MP4`, with any extension; or
    folders of frames in their place, `P01/rgb_frames/P01_101/frame_0000000001.jpg`. Segments of
    videos are cut by the time stamps, those of frames by `start_frame` and `stop_frame` (counted
    from 1, both included). Where there are both, the video is taken.
    classes: {"verb": ..., "noun": ...}, each a list of names or the owners' file; or a file of
    `save_classes`; by default `EPIC_100_verb_classes.csv` and `EPIC_100_noun_classes.csv` beside
    the annotations. fps: of folders of frames, for all or {"P01_101": 50}; by default the data
    set's two rates, 50 for videos numbered from 101 on and 59.94 for the older ones.
    allow_duplicates: keep a narration_id that comes twice.

    Raises FileNotFoundError for a missing file or root, AnnotationError for whatever is wrong in
    the files. Source: the files of EPIC-Kitchens-100 (97 verbs, 300 nouns).

    >>> import tempfile
    >>> header = "narration_id,video_id,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    >>> with tempfile.TemporaryDirectory() as root:
    ...     row = "P01_101_0,P01_101,00:00:01.00,00:00:02.50,50,125,1,0"
    ...     _ = Path(root, "a.csv").write_text(f"{header}verb_class,noun_class\\n{row}\\n")
    ...     Path(root, "P01_101.MP4").touch()
    ...     names = {"verb": ["take", "put"], "noun": ["cup"]}
    ...     catalog = read_epic(Path(root, "a.csv"), root, classes=names)
    >>> catalog[0].label, catalog[0].start, catalog[0].end
    ({'verb': 1, 'noun': 0}, 1.0, 2.5)
    """
    rows = read_table(annotations, COLUMNS, optional=("verb_class", "noun_class", "participant_id"))
    tables = _classes(classes, annotations)
    labelled = "verb_class" in rows[0]
    if labelled and "noun_class" not in rows[0]:
        raise rows[0].error("verb_class", "the header has 'verb_class', but no 'noun_class'.")
    folders, collector, places = Folders(root), Collector(annotations, allow_duplicates), {}
    for row in rows:
        collector.new(row["narration_id"], row, "narration_id")
        video = row["video_id"]
        if video not in places:
            places[video] = _find(folders, collector, row)
        path, present, is_frames = places[video]
        label = None
        if labelled:
            label = {head: tables[head].in_range(row, f"{head}_class") for head in HEADS}
        rate = _rate(fps, row) if is_frames else None
        start, end = _times(row, rate)
        collector.add(
            Segment(path, label, start, end, row["narration_id"], row.line, rate), present
        )
    return collector.catalog({head: tables[head].names for head in HEADS})


def _times(row: Row, rate: float | None) -> tuple[float, float]:
    start, end = row.clock("start_timestamp"), row.clock("stop_timestamp")
    row.ordered(start, end, "stop_timestamp")
    first, last = row.whole("start_frame"), row.whole("stop_frame")
    if first > last:
        raise row.error("stop_frame", f"it ends with frame {last}, but starts with frame {first}.")
    if rate is None:
        return start, end
    return max(first - 1, 0) / rate, max(last, 1) / rate  # frame n is shown from (n - 1) / rate on


def _rate(fps: float | Mapping[str, float] | None, row: Row) -> float:
    video = row["video_id"]
    if isinstance(fps, Mapping):
        if video not in fps:
            raise row.error("video_id", f"fps says nothing about {video!r}.")
        fps = fps[video]
    if fps is None:
        return 50.0 if len(video.rpartition("_")[2]) == 3 else 60000 / 1001
    if not fps > 0:
        raise ValueError(f"fps is {fps} for {video}, but must be above 0.")
    return float(fps)


def _find(folders: Folders, collector: Collector, row: Row) -> tuple[Path, bool, bool]:
    """(path, whether it is there, whether it is a folder of frames) of a row's video."""
    video = row["video_id"]
    if set(video) & set("/\\") or video.startswith("."):
        raise row.error("video_id", f"{video!r} is no video id, but looks like a path.")
    participant, videos, frames = video.partition("_")[0], [], []
    for place in PLACES:
        folder = place.format(p=participant)
        videos += folders.find(f"{folder}/{video}" if folder else video)
        where = os.path.join(folders.root, folder) if folder else folders.root
        if video in folders.listing(where).folders:
            frames.append(os.path.join(where, video))
    expected = folders.expected(f"{participant}/{video}.MP4")
    path, present = collector.choose(videos + frames, expected)
    return path, present, bool(frames and not videos)


def _classes(classes: object, annotations: str | os.PathLike) -> dict[str, Classes]:
    if isinstance(classes, (str, os.PathLike)):
        path, classes = classes, read_json(classes)
        if not isinstance(classes, dict) or set(classes) != set(HEADS):
            raise AnnotationError('it must be {"verb": [...], "noun": [...]}.', path)
    if classes is None:
        classes = {head: beside(annotations, f"EPIC_100_{head}_classes.csv") for head in HEADS}
    if not isinstance(classes, Mapping) or set(classes) != set(HEADS):
        raise TypeError(
            'classes must be {"verb": ..., "noun": ...}, each a list of names or a file.'
        )
    return {head: Classes.given(classes[head], annotations, _owners) for head in HEADS}


def _owners(path: Path) -> list[str]:
    """The owners' class file: the name of class `id` is its `key`; ids from 0, in order."""
    rows = read_table(path, ("id", "key"))
    for number, row in enumerate(rows):
        if row.whole("id") != number:
            raise row.error("id", f"the id is {row['id']}, but ids count from 0, here {number}.")
    return [row["key"] for row in rows]

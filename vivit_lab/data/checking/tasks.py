"""What has to be looked at, and which of it is known already."""

import os
from collections import defaultdict
from collections.abc import Iterable

from vivit_lab.data.catalog.segments import Segment


def tasks_of(segments: Iterable[Segment], full: bool) -> list[dict]:
    """One a video, with all its segments: what `examine.examine` takes."""
    wanted: dict[tuple[str, float | None], dict] = defaultdict(dict)
    for segment in segments:
        wanted[str(segment.path), segment.fps][segment.start, segment.end] = None
    return [
        {"path": path, "fps": fps, "full": full, "segments": [list(each) for each in times]}
        for (path, fps), times in wanted.items()
    ]


def state_of(task: dict) -> dict:
    """What changes when a file does."""
    try:
        found = os.stat(task["path"])
    except OSError:
        return {"size": None, "mtime_ns": None}
    return {"size": found.st_size, "mtime_ns": found.st_mtime_ns}


def is_known(record: dict | None, task: dict, state: dict) -> bool:
    """Whether a record says all that the task asks, of the file as it is."""
    if record is None or record.get("retry"):
        return False
    same = record["size"] == state["size"] and record["mtime_ns"] == state["mtime_ns"]
    if not same or record["given_fps"] != task["fps"] or task["full"] > record["full"]:
        return False
    answered = [answer[:2] for answer in record.get("segments", ())]
    return "reason" in record or all(each in answered for each in task["segments"])


def record_of(task: dict, state: dict, answer: dict) -> dict:
    record = {"path": task["path"], **state, "given_fps": task["fps"], "full": task["full"]}
    record.update(answer)
    if "segments" in answer:
        pairs = zip(task["segments"], answer["segments"], strict=True)
        record["segments"] = [[*times, frames] for times, frames in pairs]
    return record

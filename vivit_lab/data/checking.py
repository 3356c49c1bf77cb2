"""Look at every video before a run: `check`, in processes that a bad video may crash."""

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import time
import types
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from vivit_lab.data import formats
from vivit_lab.data.catalog import AnnotationError, Catalog, Segment, balance, plural
from vivit_lab.errors import whole
from vivit_lab.tables import as_text

ADVICE = {  # status, the worst first -> what it means, what to do
    "unreadable": "copy or download them again, or leave them out",
    "missing": "in the annotations, but not on disk: download them, or point --root to them",
    "outside": "the segment is outside of its video: is it already cut, or another version?",
    "short": "fewer frames than a clip spans: frames would be repeated",
}
STATUSES = (*ADVICE, "ok")
LISTS = (".csv", ".json", ".txt", ".tsv")  # extensions of annotation files
SHOWN = 12  # problems of each kind in a short report
MOST_WORKERS = 8  # by default; each takes about 250 MB
SHORT_SIDE = 16  # pixels; the frames are decoded whole, but nobody looks at them
AT_ONCE = 50_000  # frames, so that an hour of video takes no more than 100 MB


@dataclass(frozen=True, slots=True)
class Finding:
    """One clip (a segment, or a whole video): what state it is in, and why."""

    status: str  # one of STATUSES
    path: str
    reason: str = ""  # empty when ok, or missing
    label: int | dict[str, int] | None = None
    line: int | None = None  # of the annotation file


@dataclass
class CheckReport:
    """What `check` found: prints as a table; `.ok` when all is well.

    findings   one Finding a clip: status "ok", "short", "outside", "missing" or "unreadable"
    videos     what each readable video is: {"path", "frames", "fps", "seconds", "height", "width"}
    remaining  videos that were not looked at, because the check was interrupted

    >>> bad = Finding("unreadable", "/data/a.mp4", "the file is empty.")
    >>> report = CheckReport("/data", "/data", findings=[bad])
    >>> report.ok, report.counts["unreadable"]
    (False, 1)
    """

    source: str
    base: str  # folder to which paths are shown
    full: bool = False
    class_names: list[str] | dict[str, list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    videos: list[dict] = field(default_factory=list)
    looked_at: int = 0  # videos that were opened in this run; the rest was known
    remaining: int = 0
    seconds: float = 0.0

    @property
    def counts(self) -> dict[str, int]:
        """Status -> number of clips."""
        count = Counter(finding.status for finding in self.findings)
        return {status: count[status] for status in STATUSES}

    @property
    def ok(self) -> bool:
        """Whether everything was looked at and nothing is wrong."""
        return not self.remaining and self.counts["ok"] == len(self.findings)

    def __repr__(self) -> str:
        return self.text(SHOWN)

    def text(self, most: int | None = None) -> str:
        """The table; `most` problems of each kind, or all of them."""
        how = "every frame" if self.full else "index, first, middle and last frame"
        looked = f"{plural(self.looked_at, 'video')} looked at ({how}) in {self.seconds:.1f} s"
        known = len({f.path for f in self.findings if f.status != "missing"}) - self.looked_at
        looked += f"; {plural(known, 'video')} known from an earlier check" if known else ""
        counts = [(f"{n:,}", status) for status, n in reversed(self.counts.items()) if n]
        if self.remaining:
            counts.append((f"{self.remaining:,}", "not looked at: the check was interrupted"))
        parts = [f"{_shown(self.source)}\n{looked}", _table(counts, "lrl")]
        for status, advice in ADVICE.items():
            found = [finding for finding in self.findings if finding.status == status]
            rows = []
            for finding in found[:most]:
                path = finding.path.removeprefix(os.path.join(self.base, ""))
                line = f"  [line {finding.line}]" if finding.line else ""
                rows.append((_shown(path) + line, _shown(finding.reason)))
            if len(rows) < len(found):
                rows.append((f"... and {len(found) - len(rows):,} more", ""))
            parts.append(_table(rows, "l", f"{status.upper()} ({len(found):,})  {advice}"))
        if self.videos:
            seconds, frames = ([v[key] for v in self.videos] for key in ("seconds", "frames"))
            rows = [
                ("length", f"{min(seconds):.2f} to {max(seconds):.2f} s"),
                ("frames", f"{min(frames):,} to {max(frames):,}"),
                ("rate", _most_common(f"{v['fps']:g} fps" for v in self.videos)),
                ("size", _most_common(f"{v['height']}x{v['width']}" for v in self.videos)),
            ]
            parts.append(_table(rows, "l", f"VIDEOS ({len(self.videos):,} that can be read)"))
        usable = [finding for finding in self.findings if finding.status in ("ok", "short")]
        rows = [(line,) for line in balance(self.class_names, usable)]
        parts.append(_table(rows, "l", "CLASSES (of clips that can be used)"))
        parts.append("\n".join(map(_shown, self.notes)))
        return "\n\n".join(filter(None, parts))


def _table(rows: list[tuple], align: str, *above: str) -> str:
    return as_text([("", *row) for row in rows], align, above) if rows else ""


def _shown(text: str) -> str:
    """On one line of any terminal, whatever bytes a file's name is made of."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _most_common(values: Iterable[str]) -> str:
    common = [f"{value} ({number:,})" for value, number in Counter(values).most_common(5)]
    return ", ".join(common[:4] + ["..."] * (len(common) > 4))


class CheckInterrupted(KeyboardInterrupt):
    """A check was interrupted; `.report` is what it found until then."""

    def __init__(self, report: CheckReport):
        super().__init__(
            f"stopped: {report.remaining:,} videos are not checked yet; to continue, run the same "
            "check with the same report file."
        )
        self.report = report


def check(
    source: formats.PathLike | Catalog,
    *,
    full: bool = False,
    frames: int | None = None,
    stride: int = 2,
    workers: int | None = None,
    timeout: float = 60.0,
    report: formats.PathLike | None = None,
    restart: bool = False,
    progress: bool | None = None,
    **reading: object,
) -> CheckReport:
    """Open every video, and say which cannot be used and why.

    source: a video, a folder of videos (any depth), an annotation file, or a Catalog. reading:
    root, format, split, fps and so on, as `read_annotations` takes them. full: decode every frame;
    otherwise the first, middle and last. frames, stride: clips of fewer frames than
    `(frames - 1) * stride + 1` are reported as short. workers: processes, by default one a CPU, at
    most 8. timeout: seconds for opening a video, and for each frame. report: a file that keeps what
    was found, a line of JSON a video; what it knows is not looked at again, unless the video
    changed, hung or crashed. restart: look at all. progress: show a bar; by default in a terminal.

    A video that crashes its process is named, and the check goes on. Ctrl-C ends it with
    CheckInterrupted, which holds the report so far. Raises FileNotFoundError or AnnotationError if
    there is nothing to check, ValueError for a report file that is something else, OSError if it
    cannot be written.

    >>> from vivit_lab.data import sample
    >>> report = check(sample("counter"), frames=32)
    >>> report.ok, report.videos[0]["frames"]
    (True, 300)
    """
    began = time.monotonic()
    for name, value in (("stride", stride), ("frames", frames), ("workers", workers)):
        whole(name, 1 if value is None else value)
    if not timeout > 0:
        raise ValueError(f"timeout is {timeout}, but must be a number of seconds above 0.")
    from tqdm import tqdm

    catalog = source if isinstance(source, Catalog) else _list(source, **reading)
    tasks = _tasks_of(catalog, full)
    before = {} if report is None else _read_records(Path(report))
    known = {t["path"]: before[t["path"]] for t in tasks if not restart and _knows(before, t)}
    todo = [task for task in tasks if task["path"] not in known]
    workers = min(workers or min(os.cpu_count() or 1, MOST_WORKERS), len(todo) or 1)
    hidden = None if progress is None else not progress  # None: hidden unless in a terminal
    bar = tqdm(total=len(tasks), initial=len(known), disable=hidden, unit="video", leave=False)
    looked_at, results = 0, _examine_all(todo, workers, timeout)
    with contextlib.suppress(KeyboardInterrupt), bar, contextlib.closing(results):
        for task, found in results:
            known[task["path"]] = {**task, "found": found}
            looked_at += 1
            bar.update()
            if report is not None:
                _append(Path(report), known[task["path"]])
    least = 1 if frames is None else (frames - 1) * stride + 1
    findings = [Finding("missing", str(s.path), "", s.label, s.line) for s in catalog.missing]
    for segment in catalog:
        if record := known.get(str(segment.path)):
            status, reason = _status(segment, record, least)
            findings.append(Finding(status, record["path"], reason, segment.label, segment.line))
    facts = ({"path": path, **record["found"]} for path, record in known.items())
    place = catalog.source if catalog.source.is_dir() else catalog.source.parent
    notes = [f"note: {note}" for note in catalog.notes]
    outcome = CheckReport(
        os.path.abspath(catalog.source), os.path.abspath(reading.get("root") or place), full
    )
    outcome.class_names, outcome.looked_at = catalog.class_names, looked_at
    outcome.notes = notes if report is None else [*notes, f"report: {report}"]
    outcome.findings = sorted(findings, key=lambda finding: STATUSES.index(finding.status))
    outcome.videos = [video for video in facts if "frames" in video]
    outcome.remaining, outcome.seconds = len(tasks) - len(known), time.monotonic() - began
    if outcome.remaining:
        raise CheckInterrupted(outcome)
    return outcome


def _list(source: formats.PathLike, **reading: object) -> Catalog:
    """A plain video is one segment; a folder is all the videos below it, unless it holds lists."""
    path, rate = Path(os.path.abspath(source)), reading.get("fps")
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder.")
    is_list = path.is_file() and path.suffix.lower() in LISTS
    if set(reading) - {"fps"} or is_list or (path.is_dir() and formats.format_of(path) != "folder"):
        return formats.read_annotations(path, **reading)
    if path.is_file() or (rate and formats.holds_frames(path)):
        videos, others = [str(path)], []
    else:
        files = list(formats.walk(str(path), frames=formats.wants_frames(rate)))
        named = [f for f in files if Path(f).suffix and os.path.isfile(f)]
        others = [f for f in named if not formats.is_video(f)]
        videos = sorted(set(files) - set(others))  # some lost their endings
    if not videos:
        hint = "Is it a folder of frames? Then give their rate: fps=25 (--frame-rate 25)."
        raise AnnotationError(f"there is no video in this folder or below it. {hint}", path)
    kinds = _most_common(Path(file).suffix.lower() for file in others)
    notes = [f"not checked, because their names are not those of videos: {kinds}"] if kinds else []
    rates = [rate if os.path.isdir(video) else None for video in videos]
    segments = [Segment(Path(v), None, fps=fps) for v, fps in zip(videos, rates, strict=True)]
    return Catalog(segments, [], path, notes=notes)


def _tasks_of(catalog: Catalog, full: bool) -> list[dict]:
    """One a video: its path, what changes when the file does, all its segments."""
    spans: dict[tuple, dict] = {}
    for segment in catalog:
        spans.setdefault((str(segment.path), segment.fps), {})[segment.start, segment.end] = None
    tasks = []
    for (path, fps), times in spans.items():
        task = {"path": path, "size": None, "mtime_ns": None, "rate": fps, "full": full}
        with contextlib.suppress(OSError):
            state = os.stat(path)
            task |= {"size": state.st_size, "mtime_ns": state.st_mtime_ns}
        tasks.append({**task, "segments": [list(span) for span in times]})
    return tasks


def _knows(records: dict[str, dict], task: dict) -> bool:
    """Whether all that the task asks is known, of the file as it is."""
    record = records.get(task["path"], {"found": {"retry": True}})
    same = all(record.get(key) == value for key, value in task.items() if key != "full")
    return same and record["full"] >= task["full"] and not record["found"].get("retry")


def _status(segment: Segment, record: dict, least: int) -> tuple[str, str]:
    """(status, reason) of a segment whose video was looked at."""
    found = record["found"]
    if "reason" in found:
        return "unreadable", found["reason"]
    frames = found["segments"][record["segments"].index([segment.start, segment.end])]
    if isinstance(frames, str):
        return "outside", frames
    return ("short", f"{frames} of {least} frames") if frames < least else ("ok", "")


# --- looking, in processes of their own ----------------------------------------------------------


def examine(task: dict, timeout: float) -> dict:
    """What is in a video, and the frames of each segment, or why it cannot be cut; or {"reason"},
    with "retry" if the machine or the reader may be to blame."""
    from vivit_lab.video import FrameFolder, VideoError, VideoReader, frames_between

    path, began = task["path"], time.monotonic()
    try:
        is_folder = os.path.isdir(path)
        opened = FrameFolder(path, task["rate"]) if is_folder else VideoReader(path, None, timeout)
        with opened as video:
            count = video.num_frames
            numbers = range(count) if task["full"] else sorted({0, count // 2, count - 1})
            for first in range(0, len(numbers), AT_ONCE):
                video.read(numbers[first : first + AT_ONCE], short_side=SHORT_SIDE)
            segments = []
            for span in task["segments"]:
                try:
                    first, stop = frames_between(video.times, *span)
                    segments.append(stop - first)
                except ValueError as error:
                    segments.append(str(error))
            rate, seconds = round(video.fps, 4), round(video.duration, 4)
            size = {"height": video.height, "width": video.width}
            return {"frames": count, "fps": rate, "seconds": seconds, **size, "segments": segments}
    except VideoError as error:
        hung = {"retry": True} if time.monotonic() - began >= timeout else {}
        return {"reason": str(error).removeprefix(f"{path}: "), **hung}
    except Exception as error:  # whatever a strange file does to the reader, the check goes on
        return {"reason": f"the reader failed: {type(error).__name__}: {error}", "retry": True}


def _examine_all(tasks: list[dict], workers: int, timeout: float) -> Iterator[tuple[dict, dict]]:
    """(task, what was found) of each task, as they are done, `workers` of them side by side."""
    waiting, context = deque(tasks), multiprocessing.get_context("spawn")  # a notebook has threads
    while waiting:
        quiet = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the business of this process
        pool = ProcessPoolExecutor(workers, context, signal.signal, quiet)
        in_flight: dict[Future, dict] = {}
        try:
            if workers == 1:
                _submit(pool, os.getpid).result()  # if it cannot start, no video is to blame
            while waiting or in_flight:
                while waiting and len(in_flight) < workers:
                    in_flight[_submit(pool, examine, waiting[0], timeout)] = waiting[0]
                    waiting.popleft()
                for future in wait(in_flight, return_when=FIRST_COMPLETED).done:
                    found = future.result()
                    yield in_flight.pop(future), found
        except BrokenProcessPool:  # a process died: of one of the videos in flight
            processes = list(pool._processes.values())
            pool.shutdown()
            if not in_flight:
                raise
            for task in in_flight.values():
                if workers > 1:  # once more alone, to find out
                    yield from _examine_all([task], 1, timeout)
                else:
                    how = f"exit status {processes[0].exitcode}"
                    hint = "-9: perhaps there is not enough memory; -11: the decoder crashed"
                    reason = f"reading the video ended the process ({how}; {hint})."
                    yield task, {"reason": reason, "retry": True}
        finally:
            for process in list((pool._processes or {}).values()):
                process.kill()  # at once, when interrupted
            pool.shutdown(cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, *call: object) -> Future:
    """A process that this starts must not run the script of the user again, as it would."""
    main, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
    try:
        return pool.submit(*call)
    finally:
        sys.modules["__main__"] = main


# --- the file of what is known -------------------------------------------------------------------


def _read_records(path: Path) -> dict[str, dict]:
    """What the file knows of each video, by its path; the last line of one holds."""
    data = path.read_bytes() if path.is_file() else b""
    if data and not data.startswith(b'{"path": '):
        raise ValueError(
            f"{path} exists, but is not a report of this command: choose another file."
        )
    end = data.rfind(b"\n") + 1
    if end < len(data):  # a run was killed, or the disk full, in the middle of a line
        os.truncate(path, end)
    return {record["path"]: record for record in map(json.loads, data[:end].splitlines())}


def _append(path: Path, record: dict) -> None:
    try:
        with open(path, "a") as file:
            file.write(f"{json.dumps(record)}\n")
    except OSError as error:
        reason = f"the report {path} cannot be written ({error}); what was written before is kept."
        raise OSError(f"{reason} Make room, or choose another file, and start again.") from None

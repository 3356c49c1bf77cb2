"""`check`: every video of a folder or an annotation file, looked at side by side, resumable."""

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from vivit_lab.data.catalog.segments import Catalog, Segment
from vivit_lab.data.checking.pool import examine_all
from vivit_lab.data.checking.records import Records, table_beside, write_whole
from vivit_lab.data.checking.report import STATUSES, CheckReport, Finding
from vivit_lab.data.checking.subject import Subject, subject_of
from vivit_lab.data.checking.tasks import is_known, record_of, state_of, tasks_of
from vivit_lab.errors import whole

QUICK_SECONDS, FULL_SECONDS = 60, 600  # for one video, before it is given up
MOST_WORKERS = 8  # by default; each takes about 250 MB


class CheckInterrupted(KeyboardInterrupt):
    """A check was interrupted; `.report` is what it found until then."""

    def __init__(self, report: CheckReport):
        super().__init__(
            f"stopped with {report.remaining:,} videos to go; the same check with the same report "
            "file goes on from here."
        )
        self.report = report


def check(
    source: str | os.PathLike | Catalog,
    *,
    root: str | os.PathLike | None = None,
    format: str | None = None,
    classes: object = None,
    full: bool = False,
    frames: int | None = None,
    stride: int = 2,
    workers: int | None = None,
    timeout: float | None = None,
    report: str | os.PathLike | None = None,
    restart: bool = False,
    progress: bool | None = None,
) -> CheckReport:
    """Open every video, and say which cannot be used and why.

    source: a video, a folder of videos (any depth), an annotation file, or a Catalog. root, format,
    classes: of an annotation file, as `read_annotations` takes them.
    full: decode every frame; otherwise the index and the first, middle and last frame.
    frames, stride: clips of fewer frames than `(frames - 1) * stride + 1` are reported as short;
    without `frames` none are. workers: processes, by default one a CPU, at most 8. timeout: seconds
    after which a video is given up, by default 60, or 600 with `full`.
    report: a file for the outcome (JSON lines; a readable table is written beside it, `.txt`).
    Videos that it knows and that have not changed are not looked at again, except those that hung
    or crashed. restart: look at all. progress: show a bar; by default in a terminal only.

    A video that hangs or crashes its process is named, and the check goes on. Interrupted (Ctrl-C),
    it ends at once with CheckInterrupted, which holds the report so far.
    Raises FileNotFoundError or AnnotationError if there is nothing to check, ReportError if the
    report cannot be written.

    >>> from vivit_lab.data import sample
    >>> report = check(sample("counter"), frames=32)
    >>> report.ok, report.videos[0]["frames"]
    (True, 300)
    """
    began = time.monotonic()
    least = _least_frames(frames, stride)
    if workers is not None:
        whole("workers", workers)
    timeout = timeout or (FULL_SECONDS if full else QUICK_SECONDS)
    subject = subject_of(source, root, format, classes)
    records = Records(report, subject.source, restart)
    tasks = tasks_of(subject.segments, full)
    states = {task["path"]: state_of(task) for task in tasks}
    todo = [t for t in tasks if not is_known(records.known.get(t["path"]), t, states[t["path"]])]
    for task in todo:
        records.known.pop(task["path"], None)  # what was known of it is no longer true
    done = len(tasks) - len(todo)
    interrupted = False
    try:
        with contextlib.closing(examine_all(todo, workers or _workers(), timeout)) as found:
            for task, answer in _with_bar(found, len(tasks), done, progress):
                records.add(record_of(task, states[task["path"]], answer))
                done += 1
    except KeyboardInterrupt:
        interrupted = True
    finally:
        records.close()
    outcome = _report(subject, records.known, tasks, least, full)
    outcome.looked_at = done - (len(tasks) - len(todo))
    outcome.seconds, outcome.remaining = time.monotonic() - began, len(tasks) - done
    if interrupted:
        raise CheckInterrupted(outcome)
    if report is not None:
        _write(outcome, records, Path(report))
    return outcome


def _least_frames(frames: int | None, stride: int) -> int:
    whole("stride", stride)
    if frames is None:
        return 1
    whole("frames", frames)
    return (frames - 1) * stride + 1


def _workers() -> int:
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        cpus = os.cpu_count() or 1
    return min(cpus, MOST_WORKERS)


def _with_bar(found: Iterable, total: int, done: int, progress: bool | None) -> Iterable:
    from tqdm.auto import tqdm

    bad = 0
    hidden = None if progress is None else not progress  # None: hidden unless in a terminal
    with tqdm(
        total=total, initial=done, disable=hidden, unit="video", dynamic_ncols=True, leave=False
    ) as bar:
        for task, answer in found:
            yield task, answer
            if "reason" in answer:
                bad += 1
                bar.set_postfix_str(f"{bad} unreadable", refresh=False)
            bar.update()


def _report(
    subject: Subject, known: dict[str, dict], tasks: list[dict], least: int, full: bool
) -> CheckReport:
    findings = [_finding(s, "missing") for s in subject.missing]
    for segment in subject.segments:
        record = known.get(str(segment.path))
        if record is None:
            continue  # not looked at: the check was interrupted
        if "reason" in record:
            findings.append(_finding(segment, "unreadable", record["reason"]))
            continue
        frames = _frames_of(segment, record)
        if isinstance(frames, str):
            findings.append(_finding(segment, "outside", frames))
        elif frames is not None:
            short = f"{frames} of {least} frames" if frames < least else ""
            findings.append(_finding(segment, "short" if short else "ok", short))
    asked = {task["path"] for task in tasks}
    videos = [record for path, record in known.items() if path in asked and "reason" not in record]
    return CheckReport(
        source=subject.source,
        base=subject.base,
        findings=sorted(findings, key=lambda finding: STATUSES.index(finding.status)),
        videos=videos,
        class_names=subject.class_names,
        full=full,
        passed_over=subject.passed_over,
        notes=subject.notes,
    )


def _frames_of(segment: Segment, record: dict) -> int | str | None:
    """What was found about the segment: its frames, why it cannot be cut, or None if nothing."""
    for start, end, frames in record["segments"]:
        if (start, end) == (segment.start, segment.end):
            return frames
    return None


def _finding(segment: Segment, status: str, reason: str = "") -> Finding:
    return Finding(status, str(segment.path), reason, segment.label, segment.name, segment.line)


def _write(outcome: CheckReport, records: Records, path: Path) -> None:
    """The report files as they stay: the worst first, each written completely or not at all."""
    table = table_beside(path)
    outcome.files = [str(table), str(path)]
    lines, told = [], set()
    for finding in outcome.findings:  # each video stands where its worst segment does
        about = {"status": finding.status, "problem": finding.reason, "line": finding.line}
        if finding.status == "missing":
            lines.append({**about, "path": finding.path})
        elif finding.path not in told:
            told.add(finding.path)
            lines.append({**about, **records.known[finding.path]})
    records.finish(lines, outcome.counts)
    write_whole(table, [outcome.text(), "\n"])

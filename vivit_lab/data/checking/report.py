"""What a check found, as a table to read: the worst first."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from textwrap import wrap

from vivit_lab.data.catalog.segments import ClassNames, balance, plural

ADVICE = {  # status, the worst first -> what it means, what to do
    "unreadable": "copy or download them again, or leave them out",
    "missing": "in the annotations, but not on disk: download them, or point --root to them",
    "outside": "the segment is not inside its video: is it cut already, or another version?",
    "short": "fewer frames than a clip spans: they would have to be repeated",
}
STATUSES = (*ADVICE, "ok")
INDENTED = {"initial_indent": " " * 6, "subsequent_indent": " " * 6, "break_on_hyphens": False}
SHOWN = 12  # problems of each kind that are printed; the file has all of them


@dataclass(frozen=True, slots=True)
class Finding:
    """One clip (a segment, or a whole video): what state it is in, and why."""

    status: str  # one of STATUSES
    path: str
    reason: str = ""  # empty when ok, or missing
    label: int | dict[str, int] | None = None
    name: str = ""
    line: int | None = None  # of the annotation file


@dataclass
class CheckReport:
    """What `check` found: prints as a table; `.ok` when all is well.

    findings   one Finding a clip: status "ok", "short", "outside", "missing" or "unreadable"
    videos     what each readable video is: {"path", "frames", "fps", "seconds", "height", "width"}
    remaining  videos that were not looked at, because the check was interrupted
    files      the report files that were written

    >>> bad = Finding("unreadable", "/data/a.mp4", "the file is empty (0 bytes).")
    >>> report = CheckReport("/data", "/data", [bad])
    >>> report.ok, report.counts["unreadable"]
    (False, 1)
    """

    source: str
    base: str  # folder to which paths are shown
    findings: list[Finding]
    videos: list[dict] = field(default_factory=list)
    class_names: ClassNames = field(default_factory=list)
    full: bool = False
    passed_over: Counter = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    looked_at: int = 0  # videos that were opened in this run; the rest was known
    seconds: float = 0.0
    remaining: int = 0
    files: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Status -> number of clips."""
        count = Counter(finding.status for finding in self.findings)
        return {status: count[status] for status in STATUSES}

    @property
    def ok(self) -> bool:
        """Whether everything was looked at and nothing is wrong."""
        return not self.remaining and self.counts["ok"] == len(self.findings)

    def __str__(self) -> str:
        return self.text(SHOWN)

    __repr__ = __str__

    def text(self, most: int | None = None) -> str:
        """The table; `most` problems of each kind, or all of them."""
        parts = [self._head(), self._count()]
        parts += [self._problems(status, most) for status in ADVICE if self.counts[status]]
        parts += [self._about_videos(), self._about_classes(), self._rest()]
        return "\n\n".join(part for part in parts if part)

    def _head(self) -> str:
        how = "every frame" if self.full else "index, first, middle and last frame"
        known = len(self.videos_seen) - self.looked_at
        if known and not self.looked_at:
            return f"{shown(self.source)}\nnothing new: {plural(known, 'video')} known from before"
        before = f", {known:,} more known from before" if known else ""
        return (
            f"{shown(self.source)}\n{plural(self.looked_at, 'video')} looked at ({how}) in "
            f"{duration(self.seconds)}{before}"
        )

    @property
    def videos_seen(self) -> set[str]:
        """Paths of the videos that are there and were looked at, now or before."""
        return {finding.path for finding in self.findings if finding.status != "missing"}

    def _count(self) -> str:
        rows = [(self.counts[status], status) for status in reversed(STATUSES)]
        width = max(len(f"{number:,}") for number, _ in rows)
        lines = [f"  {number:>{width},}  {status}" for number, status in rows if number]
        if self.remaining:
            lines.append(f"  {self.remaining:>{width},}  not looked at: the check was interrupted")
        return "\n".join(lines)

    def _problems(self, status: str, most: int | None) -> str:
        found = [finding for finding in self.findings if finding.status == status]
        lines = [f"{status.upper()} ({len(found):,})  {ADVICE[status]}"]
        for finding in found[:most]:
            line = f"  [line {finding.line}]" if finding.line else ""
            lines.append(f"  {self._relative(finding.path)}{line}")
            if len(lines[-1]) + len(finding.reason) < 60:  # both fit on one line
                lines[-1] += f"  {shown(finding.reason)}".rstrip()
            else:
                lines += wrap(shown(finding.reason), 94, **INDENTED)
        if most is not None and len(found) > most:
            lines.append(f"  ... and {len(found) - most:,} more")
        return "\n".join(lines)

    def _about_videos(self) -> str:
        if not self.videos:
            return ""
        seconds, frames = ([video[key] for video in self.videos] for key in ("seconds", "frames"))
        longest, middle = max(seconds), median(seconds)
        lines = [
            f"VIDEOS ({len(self.videos):,} that can be read)",
            f"  length  {min(seconds):.2f} to {longest:.2f} s, median {middle:.2f} s",
            f"  frames  {min(frames):,} to {max(frames):,}, median {median(frames):,.0f}",
            f"  rate    {shares(_rate(video) for video in self.videos)}",
            f"  size    {shares(_size(video) for video in self.videos)} (height x width)",
        ]
        return "\n".join(lines)

    def _about_classes(self) -> str:
        usable = [finding for finding in self.findings if finding.status in ("ok", "short")]
        if not (lines := balance(self.class_names, usable)):
            return ""
        return "\n".join(["CLASSES (of clips that can be used)", *(f"  {line}" for line in lines)])

    def _rest(self) -> str:
        lines = [f"note: {shown(note)}" for note in self.notes]
        if self.passed_over:
            kinds = ", ".join(f"{n:,} {suffix}" for suffix, n in self.passed_over.most_common(8))
            lines.append(f"not looked at, no videos by their names: {kinds}")
        lines += [f"report: {shown(file)}" for file in self.files]
        return "\n".join(lines)

    def _relative(self, path: str) -> str:
        inside = path.startswith(self.base.rstrip(os.sep) + os.sep)
        return shown(os.path.relpath(path, self.base) if inside else path)


def shown(text: str) -> str:
    """A text that any terminal can print on one line, whatever bytes a file's name is made of.

    >>> print(shown("two\\nlines.mp4"))
    two\\nlines.mp4
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def shares(values: Iterable[str], most: int = 4) -> str:
    """How values are spread, the most frequent first.

    >>> shares(["25 fps", "25 fps", "25 fps", "30 fps"])
    '25 fps 75 %, 30 fps 25 %'
    """
    count = Counter(values)
    total = sum(count.values())
    if len(count) == 1:
        return f"all {next(iter(count))}"
    parts = [f"{value} {_percent(n, total)}" for value, n in count.most_common(most)]
    if len(count) > most:
        others = total - sum(n for _, n in count.most_common(most))
        parts.append(f"{len(count) - most} others {_percent(others, total)}")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """
    >>> duration(3.21), duration(200), duration(7500)
    ('3.2 s', '3 min 20 s', '2 h 5 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _percent(part: int, total: int) -> str:
    percent = 100 * part / total
    return f"{percent:.0f} %" if percent >= 1 else "<1 %"


def _rate(video: dict) -> str:
    return f"{video['fps']:.2f}".rstrip("0").rstrip(".") + " fps"


def _size(video: dict) -> str:
    return f"{video['height']}x{video['width']}"

"""An evaluation on paper: accuracy, number of videos and cost side by side; text, HTML, JSON."""

import html
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from vivit_lab.analysis.flops import in_units
from vivit_lab.training.frame_order import ORDERS
from vivit_lab.training.head_result import HeadResult, PairResult
from vivit_lab.training.view_scores import AVERAGES, ONLY

if TYPE_CHECKING:
    from vivit_lab.training.evaluation import Evaluation

HEADER = ("", "top-1", "95 % interval", "top-5", "mean of classes", "over", "cost of each")
SHOWN = 5  # files, before "and so many more"


class ViewCount(NamedTuple):
    """Accuracy with so many views of each video, and what they cost.

    >>> print(ViewCount(3, (0, 1, 2), 0.75, (0.5, 0.9), 3 * 10**9))
    3 views: 75.0 % (50.0 to 90.0 %) for 3.00 GMACs a video
    """

    count: int
    views: tuple[int, ...]  # which they are, by number
    top1: float
    interval: tuple[float, float]  # 95 %
    macs: int | None  # of one video; None: unknown

    def __str__(self) -> str:
        views = f"{self.count} view{'s' * (self.count != 1)}"
        cost = f"{_cost(self.macs, 1)} a video"
        return f"{views}: {percent(self.top1)} ({_span(self.interval)}) for {cost}"


def as_text(result: "Evaluation") -> str:
    """The report for a terminal."""
    rows = [HEADER, *_rows(result)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*_heading(result), "", *lines, "", *_remarks(result)])


def as_html(result: "Evaluation") -> str:
    """The report for a notebook."""
    cell = "padding:2px 14px 2px 0;text-align:{};font-size:13px"
    body = ""
    for row in (HEADER, *_rows(result)):
        sides = ("left", *("right",) * (len(row) - 1))
        cells = (
            f'<td style="{cell.format(side)}">{html.escape(text)}</td>'
            for side, text in zip(sides, row, strict=True)
        )
        body += f"<tr>{''.join(cells)}</tr>"
    first, *others = _heading(result)
    above = "".join(f"<div>{html.escape(line)}</div>" for line in others)
    below = "".join(f"<div>{html.escape(line)}</div>" for line in _remarks(result))
    return (
        f"<div><b>{html.escape(first)}</b></div>{above}"
        f'<table style="border-collapse:collapse">{body}</table>{below}'
    )


def as_dict(result: "Evaluation") -> dict:
    """The report for a program."""
    scores, origin = result.scores, result.scores.origin
    found = {
        "model": origin.model,
        "data": origin.data,
        "clips": origin.clips,
        "average": result.average,
        "views": {"count": scores.views, "text": scores.view_text},
        "frames": origin.frames,
        "seed": origin.seed,
        "top1": result.top1,
        "top5": result.top5,
        "view_top1": result.view_top1,
        "interval": list(result.interval),
        "loss": result.loss,
        "videos": {
            "listed": origin.listed,
            "evaluated": scores.videos,
            "absent": list(origin.absent),
            "unreadable": list(origin.unreadable),
            "not_evaluated": _not_evaluated(result),
            "top1_if_others_are_wrong": result.top1 * scores.videos / origin.listed,
        },
        "macs": {
            "view": origin.macs,
            "video": None if origin.macs is None else origin.macs * scores.views,
        },
        "heads": {name: _head_dict(head) for name, head in result.heads.items()},
        "warnings": result.warnings,
        "notes": list(origin.notes),
    }
    if result.pair is not None:
        found["heads"][result.pair.name] = _pair_dict(result.pair)
    return found


def percent(share: float) -> str:
    """A share as a report shows it.

    >>> percent(0.78849), percent(float("nan"))
    ('78.8 %', '-')
    """
    return "-" if math.isnan(share) else f"{100 * share:.1f} %"


def _heading(result: "Evaluation") -> list[str]:
    origin = result.scores.origin
    return [
        f"{origin.model}, on {origin.data}",
        f"{result.scores.view_text} · {AVERAGES[result.average]} · {ORDERS[origin.frames]}",
        *([f"each clip: {origin.clips}"] if origin.clips else []),
        *(f"WARNING: {line}" for line in result.warnings),
    ]


def _rows(result: "Evaluation") -> Iterator[tuple[str, ...]]:
    scores = result.scores
    several = len(result.heads) > 1
    videos = f"{scores.videos:,} video{'s' * (scores.videos != 1)}"
    views = f"{scores.videos * scores.views:,} views"
    heads = [*result.heads.values(), *([result.pair] if result.pair else [])]
    for head in heads:
        name = f"{head.name}, " if several else ""
        mean = percent(head.mean_per_class) if isinstance(head, HeadResult) else ""
        yield (
            f"{name}{'video (all views)' if scores.views > 1 else 'clip (one view)'}",
            percent(head.top1),
            _span(head.interval),
            _top5(head, head.top5),
            mean,
            videos,
            _cost(result.macs, scores.views),
        )
        if scores.views > 1:
            yield (
                f"{name}clip (each view)",
                percent(head.view_top1),
                "",
                _top5(head, head.view_top5) if isinstance(head, HeadResult) else "",
                "",
                views,
                _cost(result.macs, 1),
            )
        five = min(5 * head.chance, 1)
        yield f"{name}chance", percent(head.chance), "", _top5(head, five), "", "", ""


def _remarks(result: "Evaluation") -> Iterator[str]:
    scores, origin = result.scores, result.scores.origin
    if lost := _not_evaluated(result):
        reasons = [
            f"{count:,} {what}"
            for count, what in (
                (len(origin.absent), "not there"),
                (len(origin.unreadable), "unreadable"),
                (lost - len(origin.absent) - len(origin.unreadable), "not yet evaluated"),
            )
            if count > 0
        ]
        yield (
            f"Videos: {origin.listed:,} listed, {scores.videos:,} evaluated; {', '.join(reasons)}. "
            "The figures are over those evaluated; with the others counted as wrong, top-1 is "
            f"{percent(result.top1 * scores.videos / origin.listed)}."
        )
        yield from _some("not there", origin.absent)
        yield from _some("unreadable", origin.unreadable)
    else:
        yield f"Videos: all {origin.listed:,} that the data set lists were evaluated."
    absent = {
        name: int((head.confusion.sum(axis=1) == 0).sum()) for name, head in result.heads.items()
    }
    for name, count in absent.items():
        if count:
            which = "" if name == ONLY else f"{name} "
            total = result.heads[name].classes
            yield (
                f"{count:,} of the {total:,} {which}classes have no video: the mean of classes is "
                "over the others."
            )
    if origin.macs is not None:
        yield "1 MAC = 2 FLOPs; what the paper's tables call GFLOPs are the GMACs of one view."
    for note in origin.notes:
        yield f"Note: {note}."


def _some(what: str, names: tuple[str, ...]) -> Iterator[str]:
    for name in names[:SHOWN]:
        yield f"  {what}: {name}"
    if len(names) > SHOWN:
        yield f"  ... and {len(names) - SHOWN:,} more {what}"


def _not_evaluated(result: "Evaluation") -> int:
    return result.scores.origin.listed - result.scores.videos


def _span(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"


def _top5(head: HeadResult | PairResult, share: float) -> str:
    """Nothing where five classes are all there are."""
    return percent(share) if head.classes > 5 else ""


def _cost(macs: int | None, views: int) -> str:
    if macs is None:
        return "unknown"
    each = in_units(macs)
    return f"{each}MACs" if views == 1 else f"{in_units(macs * views)}MACs ({views} x {each})"


def _head_dict(head: HeadResult) -> dict:
    counts, shares = head.confusion.sum(axis=1).tolist(), head.per_class.tolist()
    return {
        "classes": head.classes,
        "chance": head.chance,
        "top1": head.top1,
        "interval": list(head.interval),
        "top5": head.top5,
        "view_top1": head.view_top1,
        "view_top5": head.view_top5,
        "mean_per_class": head.mean_per_class,
        "per_class": [
            {"name": head.class_name(number), "videos": count, "top1": share if count else None}
            for number, (count, share) in enumerate(zip(counts, shares, strict=True))
        ],
        "most_confused": [list(pair) for pair in head.most_confused(20)],
    }


def _pair_dict(pair: PairResult) -> dict:
    return {
        "classes": pair.classes,
        "chance": pair.chance,
        "top1": pair.top1,
        "interval": list(pair.interval),
        "top5": pair.top5,
        "view_top1": pair.view_top1,
    }

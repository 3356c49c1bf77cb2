"""Wrong answers to the exercises of ablations, by words of the message that they get."""

import math
from itertools import pairwise
from operator import gt
from statistics import fmean, stdev

from vivit_lab.lessons.exercises.ablations import _by_luck


def _verdict(low_a, high_a, low_b, high_b):
    return "a" if low_a > high_b else "b" if low_b > high_a else "open"


def _deviations(a, b):
    return _verdict(*(f for x in (a, b) for f in (fmean(x) - stdev(x), fmean(x) + stdev(x))))


def _steps(function):
    """A wrong answer: this function of (points before, after, cost before, after) at each step."""
    return lambda points, cost: [
        function(*step, *price)
        for step, price in zip(pairwise(points), pairwise(cost), strict=True)
    ]


def _fields(settings):
    parts = {key: each if isinstance(each, dict) else {"": each} for key, each in settings.items()}
    return {f"{part}.{name}".strip("."): x for part in parts for name, x in parts[part].items()}


def _differs(a, b):
    return {name for name, value in _fields(a).items() if value != _fields(b)[name]}


better = {
    "Compare the worst with the best": lambda a, b: "a" if fmean(a) > fmean(b) else "b",
    "the worst with the worst": lambda a, b: (
        "a"
        if min(a) > min(b) and max(a) > max(b)
        else ("b" if min(b) > min(a) and max(b) > max(a) else "open")
    ),
    "b can be better, too": lambda a, b: "a" if min(a) > max(b) else "open",
    "Seeds are in no order": lambda a, b: _verdict(a[0], a[-1], b[0], b[-1]),
    "the means are far apart": _deviations,
    "you compare seed by seed": lambda a, b: ["b", "open", "a"][
        1 + all(map(gt, a, b)) - all(map(gt, b, a))
    ],
    "have 0.90 in common": lambda a, b: _verdict(min(a), max(a) - 1e-9, min(b), max(b) - 1e-9),
    'asks for "a", "b" or "open"': lambda a, b: min(a) > max(b),
}


by_luck = {
    "b can be above a, too": lambda n: _by_luck(n) / 2,
    "that the two arms overlap": lambda n: 1 - _by_luck(n),
    "Take math.comb": lambda n: 2 / math.perm(2 * n, n),
    "in per cent": lambda n: 100 * _by_luck(n),
    "Count which places belong to a": lambda n: 2 / math.factorial(2 * n),
    "one way round": lambda n: 0.5**n,
    "compare the runs two by two": lambda n: 2 * 0.5**n,
    "as if the comparisons were independent": lambda n: 2 * 0.5**n**2,
    "a number from 0 to 1, but it is": lambda n: f"{_by_luck(n):.0%}",
}


price = {
    "What does a step *add*": _steps(lambda a, b, c, d: d / b),
    "the cost that the step adds": _steps(lambda a, b, c, d: d / (b - a) if b > a else None),
    "Divide the cost by the points": _steps(lambda a, b, c, d: (b - a) / (d - c)),
    "count from the first row": lambda points, cost: [
        (c - cost[0]) / (p - points[0]) if p > points[0] else None
        for p, c in zip(points[1:], cost[1:], strict=True)
    ],
    "from the best row so far": lambda points, cost: [
        (c - cost[best]) / (p - points[best]) if p > points[best] else None
        for p, c, best in (
            (points[i], cost[i], max(range(i), key=points.__getitem__))
            for i in range(1, len(points))
        )
    ],
    "None, not 0": _steps(lambda a, b, c, d: (d - c) / (b - a) if b > a else 0),
    "loses points": _steps(lambda a, b, c, d: (d - c) / (b - a) if b != a else None),
    "divides by zero": _steps(lambda a, b, c, d: (d - c) / (b - a) if b >= a else None),
    "one entry a step": lambda points, cost: 0.04,
    "a price is a number, or None": _steps(lambda a, b, c, d: f"{d - c:.2f}"),
}


differs = {
    "Look inside them": lambda a, b: {k for k in a if a[k] != b[k]},
    "fields of the same name": lambda a, b: {n.split(".")[-1] for n in _differs(a, b)},
    "is a plain value": lambda a, b: _differs(a, b) - {"start"},
    "fields that are equal": lambda a, b: {*_fields(a)} - _differs(a, b),
    "asks for a set, but got list": lambda a, b: sorted(_differs(a, b)),
}

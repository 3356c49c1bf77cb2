"""Wrong answers to the exercises of ablations, by words of the message that they get."""

import math
from itertools import pairwise
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
    "b can be the better one": lambda a, b: "a" if min(a) > max(b) else "open",
    "Seeds come in any order": lambda a, b: _verdict(a[0], a[-1], b[0], b[-1]),
    "more than a standard deviation": _deviations,
    "0.90 is in both": lambda a, b: _verdict(min(a), max(a) - 1e-9, min(b), max(b) - 1e-9),
    'asks for "a", "b" or "open"': lambda a, b: min(a) > max(b),
}


by_luck = {
    "b can win by luck, too": lambda n: _by_luck(n) / 2,
    "in per cent": lambda n: 100 * _by_luck(n),
    "Count which places belong to a": lambda n: 2 / math.factorial(2 * n),
    "coins thrown one by one": lambda n: 2 * 0.5**n,
    "a number from 0 to 1, but got": lambda n: f"{_by_luck(n):.0%}",
}


price = {
    "What does a step *add*": _steps(lambda a, b, c, d: d / b),
    "turn it round": _steps(lambda a, b, c, d: (b - a) / (d - c)),
    "loses points": _steps(lambda a, b, c, d: (d - c) / (b - a) if b != a else None),
    "divides by zero": _steps(lambda a, b, c, d: (d - c) / (b - a) if b >= a else None),
    "one entry a step": lambda points, cost: 0.04,
    "a price is a number, or None": _steps(lambda a, b, c, d: f"{d - c:.2f}"),
}


differs = {
    "look inside them": lambda a, b: {k for k in a if a[k] != b[k]},
    "two parts may share a name": lambda a, b: {n.split(".")[-1] for n in _differs(a, b)},
    "is no dictionary": lambda a, b: _differs(a, b) - {"start"},
    "fields that are equal": lambda a, b: {*_fields(a)} - _differs(a, b),
    "asks for a set, but got list": lambda a, b: sorted(_differs(a, b)),
}

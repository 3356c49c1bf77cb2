"""Wrong answers to the exercises of ablations, each with words of its message."""

import math
import statistics
from collections.abc import Mapping

from vivit_lab.lessons.exercises.ablations import _by_luck


def _by_mean(a, b):
    return "a" if statistics.fmean(a) > statistics.fmean(b) else "b"


def _only_a(a, b):
    return "a" if min(a) > max(b) else "open"


def _as_they_come(a, b):
    if a[0] > b[-1]:
        return "a"
    return "b" if b[0] > a[-1] else "open"


def _deviations(a, b):
    (low_a, high_a), (low_b, high_b) = (
        (statistics.fmean(x) - statistics.stdev(x), statistics.fmean(x) + statistics.stdev(x))
        for x in (a, b)
    )
    return "a" if low_a > high_b else "b" if low_b > high_a else "open"


def _touching(a, b):
    if min(a) >= max(b):
        return "a"
    return "b" if min(b) >= max(a) else "open"


def _steps(function):
    """A wrong answer: this function of (points before, after, cost before, after) at each step."""

    def price(points, cost):
        return [
            function(points[i], points[i + 1], cost[i], cost[i + 1]) for i in range(len(points) - 1)
        ]

    return price


def _fields(settings: Mapping) -> dict:
    found = {}
    for part, value in settings.items():
        if isinstance(value, Mapping):
            found |= {f"{part}.{name}": each for name, each in value.items()}
        else:
            found[part] = value
    return found


def _differs(a, b):
    fields = _fields(b)
    return {name for name, value in _fields(a).items() if value != fields[name]}


better = {
    "means": (_by_mean, "Compare the worst with the best"),
    "one side": (_only_a, "b can be the better one as well"),
    "as they come": (_as_they_come, "Seeds come in any order"),
    "standard deviations": (_deviations, "more than a standard deviation"),
    "touching": (_touching, "0.90 is in both"),
    "a bool": (lambda a, b: min(a) > max(b), 'asks for "a", "b" or "open"'),
}


by_luck = {
    "one side": (lambda n: _by_luck(n) / 2, "b can win by luck, too"),
    "per cent": (lambda n: 100 * _by_luck(n), "in per cent"),
    "orders": (lambda n: 2 / math.factorial(2 * n), "Count which places belong to a"),
    "coins": (lambda n: 2 * 0.5**n, "coins thrown one by one"),
    "a text": (lambda n: f"{_by_luck(n):.0%}", "a number from 0 to 1, but got"),
}


price = {
    "whole": (_steps(lambda a, b, c, d: d / b), "What does a step *add*"),
    "upside down": (_steps(lambda a, b, c, d: (b - a) / (d - c)), "turn it round"),
    "negative": (
        _steps(lambda a, b, c, d: (d - c) / (b - a) if b != a else None),
        "loses points has no price",
    ),
    "zero": (
        _steps(lambda a, b, c, d: (d - c) / (b - a) if b >= a else None),
        "divides by zero",
    ),
    "one number": (lambda points, cost: 0.04, "one entry a step"),
    "words": (_steps(lambda a, b, c, d: f"{d - c:.2f}"), "a price is a number, or None"),
}


differs = {
    "parts": (lambda a, b: {k for k in a if a[k] != b[k]}, "look inside them"),
    "bare names": (
        lambda a, b: {name.split(".")[-1] for name in _differs(a, b)},
        "two parts may share a name",
    ),
    "no start": (lambda a, b: _differs(a, b) - {"start"}, "it is no dictionary"),
    "equal": (
        lambda a, b: {k for k, v in _fields(a).items() if _fields(b)[k] == v},
        "fields that are equal",
    ),
    "a list": (lambda a, b: sorted(_differs(a, b)), "asks for a set, but got list"),
}

"""Wrong answers to the exercises of ablations, each with words of its message."""

import math
from itertools import pairwise
from statistics import fmean, stdev

from vivit_lab.lessons.exercises.ablations import _by_luck


def _verdict(low_a, high_a, low_b, high_b):
    return "a" if low_a > high_b else "b" if low_b > high_a else "open"


def _deviations(a, b):
    return _verdict(*(f for x in (a, b) for f in (fmean(x) - stdev(x), fmean(x) + stdev(x))))


def _touching(a, b):
    return "a" if min(a) >= max(b) else "b" if min(b) >= max(a) else "open"


def _steps(function):
    """A wrong answer: this function of (points before, after, cost before, after) at each step."""
    return lambda points, cost: [
        function(*points, *cost)
        for points, cost in zip(pairwise(points), pairwise(cost), strict=True)
    ]


def _fields(settings):
    return {
        f"{part}.{name}" if isinstance(value, dict) else part: each
        for part, value in settings.items()
        for name, each in (value.items() if isinstance(value, dict) else [("", value)])
    }


def _differs(a, b):
    return {name for name, value in _fields(a).items() if value != _fields(b)[name]}


better = {
    "means": (lambda a, b: "a" if fmean(a) > fmean(b) else "b", "Compare the worst with the best"),
    "one side": (
        lambda a, b: "a" if min(a) > max(b) else "open",
        "b can be the better one",
    ),
    "as they come": (lambda a, b: _verdict(a[0], a[-1], b[0], b[-1]), "Seeds come in any order"),
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
    "negative": (_steps(lambda a, b, c, d: (d - c) / (b - a) if b != a else None), "loses points"),
    "zero": (_steps(lambda a, b, c, d: (d - c) / (b - a) if b >= a else None), "divides by zero"),
    "one number": (lambda points, cost: 0.04, "one entry a step"),
    "words": (_steps(lambda a, b, c, d: f"{d - c:.2f}"), "a price is a number, or None"),
}


differs = {
    "parts": (lambda a, b: {k for k in a if a[k] != b[k]}, "look inside them"),
    "bare": (lambda a, b: {n.split(".")[-1] for n in _differs(a, b)}, "two parts may share a name"),
    "no start": (lambda a, b: _differs(a, b) - {"start"}, "is no dictionary"),
    "equal": (lambda a, b: {*_fields(a)} - _differs(a, b), "fields that are equal"),
    "a list": (lambda a, b: sorted(_differs(a, b)), "asks for a set, but got list"),
}

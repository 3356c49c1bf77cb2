"""Wrong answers to the exercises of fine_tuning, each with words of its message."""

import math
from collections.abc import Callable

from vivit_lab.lessons.exercises.fine_tuning import RIGHT


def _half(step: int, peak: float, begin: float, end: float) -> float:
    return peak * 0.5 * (1 + math.cos(math.pi * (step - begin) / (end - begin)))


def _risen(step: int, peak: float, warm: int, fall: Callable[[], float]) -> float:
    return peak * step / warm if step < warm else fall()


scaled_lr = {
    "not scaled": (lambda lr, b, n, c, a: lr, "as it was"),
    "upside down": (lambda lr, b, n, c, a: lr * b / (n * c * a), "upside down"),
    "no microbatches": (lambda lr, b, n, c, a: lr * n * c / b, "microbatches are missing"),
    "one device": (lambda lr, b, n, c, a: lr * c * a / b, "devices are missing"),
    "what fits": (lambda lr, b, n, c, a: lr * c / b, "holds at a time"),
    "square root": (lambda lr, b, n, c, a: lr * math.sqrt(n * c * a / b), "square root"),
    "not divided": (lambda lr, b, n, c, a: lr * n * c * a, "of them already"),
    "never higher": (lambda lr, b, n, c, a: min(lr, lr * n * c * a / b), "yours stops at lr"),
}


schedule = {
    "no warm-up": (
        lambda s, p, w, n: p if s < w else _half(s, p, w, n),
        "There is no warm-up",
    ),
    "one ahead": (
        lambda s, p, w, n: p * (s + 1) / w if s < w else _half(s, p, w, n),
        "one step ahead",
    ),
    "no fall": (lambda s, p, w, n: _risen(s, p, w, lambda: p), "nothing falls any more"),
    "straight": (
        lambda s, p, w, n: _risen(s, p, w, lambda: p * (n - s) / (n - w)),
        "straight line",
    ),
    "from step 0": (
        lambda s, p, w, n: _risen(s, p, w, lambda: _half(s, p, 0, n)),
        "cosine begins at step 0",
    ),
    "a quarter": (
        lambda s, p, w, n: _risen(s, p, w, lambda: p * math.cos(0.5 * math.pi * (s - w) / (n - w))),
        "quarter of a cosine",
    ),
    "not lifted": (
        lambda s, p, w, n: _risen(s, p, w, lambda: p * math.cos(math.pi * (s - w) / (n - w))),
        "half of (1 + cos) at 0",
    ),
    "twice as high": (
        lambda s, p, w, n: _risen(s, p, w, lambda: 2 * _half(s, p, w, n)),
        "its highest value",
    ),
    "from a tenth": (
        lambda s, p, w, n: p * (0.1 + 0.9 * s / w) if s < w else _half(s, p, w, n),
        "The fall is right",
    ),
    "neither": (
        lambda s, p, w, n: p if s < w else p * (n - s) / (n - w),
        "but it is 0.0",
    ),
    "still high": (
        lambda s, p, w, n: _risen(s, p, w, lambda: _half(s, p, w, 2 * n - w)),
        "The last step still has",
    ),
    "squared": (
        lambda s, p, w, n: _risen(s, p, w, lambda: _half(s, p, w, n) ** 2 / p),
        "halfway down",
    ),
    "a word": (lambda s, p, w, n: "gently", "is no number"),
}


diagnosis = {
    "A too low": (RIGHT | {"A": "learning rate too low"}, "still on its way"),
    "A too few": (RIGHT | {"A": "too few clips"}, "How many clips were there"),
    "B swapped": (RIGHT | {"B": "learning rate too high"}, "loss jump above"),
    "D shuffled": (RIGHT | {"D": "labels shuffled"}, "learnt by heart at most"),
    "D in another order": (
        RIGHT | {"D": "classes in another order"},
        "whole classes are wrong",
    ),
    "E nothing": (RIGHT | {"E": "nothing"}, "What would you want"),
    "a word of one's own": (RIGHT | {"F": "overfitting"}, "is none of"),
    "one left out": ({"A": "labels shuffled"}, "has no answer yet"),
    "a list": (list(RIGHT.values()), "asks for {letter: fault}"),
}

"""Wrong answers to the exercises of fine_tuning, by words of the message that they get."""

import math

from vivit_lab.lessons.exercises.fine_tuning import RIGHT


def _half(step, peak, begin, end):
    return peak * 0.5 * (1 + math.cos(math.pi * (step - begin) / (end - begin)))


def _rising(rise):
    """A wrong answer: this rise, then the right fall."""
    return lambda s, p, w, n: rise(s, p, w) if s < w else _half(s, p, w, n)


def _falling(fall):
    """A wrong answer: the right rise, then this fall."""
    return lambda s, p, w, n: p * s / w if s < w else fall(s, p, w, n)


def _cosine(share):
    return _falling(lambda s, p, w, n: p * math.cos(share * math.pi * (s - w) / (n - w)))


scaled_lr = {
    "as it was": lambda lr, b, n, c, a: lr,
    "upside down": lambda lr, b, n, c, a: lr * b / (n * c * a),
    "microbatches are missing": lambda lr, b, n, c, a: lr * n * c / b,
    "devices are missing": lambda lr, b, n, c, a: lr * c * a / b,
    "holds at a time": lambda lr, b, n, c, a: lr * c / b,
    "square root": lambda lr, b, n, c, a: lr * math.sqrt(n * c * a / b),
    "of them already": lambda lr, b, n, c, a: lr * n * c * a,
    "yours stops at lr": lambda lr, b, n, c, a: min(lr, lr * n * c * a / b),
}


schedule = {
    "There is no warm-up": _rising(lambda s, p, w: p),
    "one step ahead": _rising(lambda s, p, w: p * (s + 1) / w),
    "The fall is right": _rising(lambda s, p, w: p * (0.1 + 0.9 * s / w)),
    "nothing falls any more": _falling(lambda s, p, w, n: p),
    "straight line": _falling(lambda s, p, w, n: p * (n - s) / (n - w)),
    "cosine begins at step 0": _falling(lambda s, p, w, n: _half(s, p, 0, n)),
    "quarter of a cosine": _cosine(0.5),
    "half of (1 + cos) at 0": _cosine(1),
    "its highest value": _falling(lambda s, p, w, n: 2 * _half(s, p, w, n)),
    "For step 0 you have 0.5,": lambda s, p, w, n: p if s < w else p * (n - s) / (n - w),
    "The last step still has": _falling(lambda s, p, w, n: _half(s, p, w, 2 * n - w)),
    "halfway down": _falling(lambda s, p, w, n: _half(s, p, w, n) ** 2 / p),
    "a number for step 0": lambda s, p, w, n: "gently",
}


diagnosis = {
    "still on its way": RIGHT | {"A": "learning rate too low"},
    "How many clips were there": RIGHT | {"A": "too few clips"},
    "loss jump above": RIGHT | {"B": "learning rate too high"},
    "learnt by heart at most": RIGHT | {"D": "labels shuffled"},
    "whole classes are wrong": RIGHT | {"D": "classes in another order"},
    "What would you want": RIGHT | {"E": "nothing"},
    "is none of": RIGHT | {"F": "overfitting"},
    "has no answer yet": {"A": "labels shuffled"},
    "asks for {letter: fault}": list(RIGHT.values()),
}

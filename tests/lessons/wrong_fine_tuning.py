"""Wrong answers to the exercises of fine_tuning, each with words of its message."""

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
    "no warm-up": (_rising(lambda s, p, w: p), "There is no warm-up"),
    "one ahead": (_rising(lambda s, p, w: p * (s + 1) / w), "one step ahead"),
    "from a tenth": (_rising(lambda s, p, w: p * (0.1 + 0.9 * s / w)), "The fall is right"),
    "no fall": (_falling(lambda s, p, w, n: p), "nothing falls any more"),
    "straight": (_falling(lambda s, p, w, n: p * (n - s) / (n - w)), "straight line"),
    "from step 0": (_falling(lambda s, p, w, n: _half(s, p, 0, n)), "cosine begins at step 0"),
    "a quarter": (_cosine(0.5), "quarter of a cosine"),
    "not lifted": (_cosine(1), "half of (1 + cos) at 0"),
    "twice as high": (_falling(lambda s, p, w, n: 2 * _half(s, p, w, n)), "its highest value"),
    "neither": (lambda s, p, w, n: p if s < w else p * (n - s) / (n - w), "but it is 0.0"),
    "high": (_falling(lambda s, p, w, n: _half(s, p, w, 2 * n - w)), "The last step still has"),
    "squared": (_falling(lambda s, p, w, n: _half(s, p, w, n) ** 2 / p), "halfway down"),
    "a word": (lambda s, p, w, n: "gently", "a number for step 0"),
}


diagnosis = {
    "A too low": (RIGHT | {"A": "learning rate too low"}, "still on its way"),
    "A too few": (RIGHT | {"A": "too few clips"}, "How many clips were there"),
    "B swapped": (RIGHT | {"B": "learning rate too high"}, "loss jump above"),
    "D shuffled": (RIGHT | {"D": "labels shuffled"}, "learnt by heart at most"),
    "D reordered": (RIGHT | {"D": "classes in another order"}, "whole classes are wrong"),
    "E nothing": (RIGHT | {"E": "nothing"}, "What would you want"),
    "a word of one's own": (RIGHT | {"F": "overfitting"}, "is none of"),
    "one left out": ({"A": "labels shuffled"}, "has no answer yet"),
    "a list": (list(RIGHT.values()), "asks for {letter: fault}"),
}

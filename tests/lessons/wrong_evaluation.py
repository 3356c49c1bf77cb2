"""Wrong answers to the exercises of evaluation, each with words of its message."""

import math

import numpy as np

from vivit_lab.lessons.exercises.evaluation import _pairs, _right_action, _top
from vivit_lab.training.metrics import softmax


def _right_average(logits, average):
    return (softmax(logits) if average == "softmax" else logits).mean(axis=1)


def _softmax_over_views(logits):
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def _of_heads(join):
    return lambda v, n, a, b, k: float(join(_top(v, a, k), _top(n, b, k)))


average_views = {
    "over classes": (lambda x, a: x.mean(axis=2), "averaged over the classes"),
    "over videos": (lambda x, a: x.mean(axis=0), "averaged over the videos"),
    "sum": (lambda x, a: 1.0 * x.shape[1] * _right_average(x, a), "sum over the views"),
    "mean first": (
        lambda x, a: softmax(x.mean(axis=1)) if a == "softmax" else x.mean(axis=1),
        "softmax of the mean logits",
    ),
    "no softmax": (lambda x, a: x.mean(axis=1), "there is no softmax at all"),
    "always softmax": (lambda x, a: softmax(x).mean(axis=1), "those are probabilities"),
    "softmax over views": (
        lambda x, a: (_softmax_over_views(x) if a == "softmax" else x).mean(axis=1),
        "softmax runs over the views",
    ),
    "maximum": (
        lambda x, a: (softmax(x) if a == "softmax" else x).max(axis=1),
        "trusts the one surest view",
    ),
    "in place": (lambda x, a: np.multiply(x, 1.5, out=x).mean(axis=1), "have changed"),
}


action_accuracy = {
    "mean": (_of_heads(lambda v, n: (v.mean() + n.mean()) / 2), "mean of the two accuracies"),
    "product": (_of_heads(lambda v, n: v.mean() * n.mean()), "product of the two accuracies"),
    "either": (_of_heads(lambda v, n: (v | n).mean()), "one head or the other"),
    "each its five": (_of_heads(lambda v, n: (v & n).mean()), "each head alone has its label"),
    "k ignored": (
        lambda v, n, a, b, k: float((_top(v, a, 1) & _top(n, b, 1)).mean()),
        "both heads' best class only",
    ),
    "sum": (
        lambda v, n, a, b, k: float(_top(*_pairs(v, n, a, b, np.add), k).mean()),
        "add the two probabilities",
    ),
    "pair number": (
        lambda v, n, a, b, k: float(_top(_pairs(v, n, a, b)[0], a + 8 * b, k).mean()),
        "number of the pair does not fit",
    ),
    "per cent": (lambda *heads: 100 * float(_right_action(*heads)), "that is in per cent"),
}


videos_needed = {
    "one sigma": (lambda p, half: p * (1 - p) / half**2, "one standard error"),
    "whole width": (lambda p, half: p * (1 - p) * (0.98 / half) ** 2, "the whole width"),
    "no square": (lambda p, half: p * (1 - p) * 1.96 / half, "with the square root"),
    "per cent": (lambda p, half: p * (1 - p) * (0.0196 / half) ** 2, "half in per cent"),
    "always a quarter": (lambda p, half: 0.25 * (1.96 / half) ** 2, "only for an accuracy"),
    "no variance": (lambda p, half: p * (1.96 / half) ** 2, "p alone is no variance"),
    "guess": (lambda p, half: 800, "but it is 38416"),
    "no end": (lambda p, half: math.inf, "but got inf"),
}

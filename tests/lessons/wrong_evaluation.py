"""Wrong answers to the exercises of evaluation, each with words of its message."""

import math

import numpy as np

from vivit_lab.lessons.exercises.evaluation import _pairs, _right_action, _top
from vivit_lab.training.metrics import softmax


def _scores(logits, average):
    return softmax(logits) if average == "softmax" else logits


def _mean_first(logits, average):
    return _scores(logits.mean(axis=1), average)


def _softmax_over_views(x, average):
    powers = np.exp(x) if average == "softmax" else x
    return powers.mean(axis=1) / (np.exp(x).sum(axis=1) if average == "softmax" else 1)


def _of_heads(join):
    return lambda v, n, a, b, k: float(join(_top(v, a, k), _top(n, b, k)))


def _first_only(v, n, a, b, k):
    return float((_top(v, a, 1) & _top(n, b, 1)).mean())


def _added(v, n, a, b, k):
    return float(_top(*_pairs(v, n, a, b, np.add), k).mean())


def _misnumbered(v, n, a, b, k):
    return float(_top(_pairs(v, n, a, b)[0], a + 8 * b, k).mean())


average_views = {
    "over classes": (lambda x, a: x.mean(axis=2), "averaged over the classes"),
    "over videos": (lambda x, a: x.mean(axis=0), "averaged over the videos"),
    "sum": (lambda x, a: _scores(x, a).sum(axis=1), "sum over the views"),
    "mean first": (_mean_first, "softmax of the mean logits"),
    "no softmax": (lambda x, a: x.mean(axis=1), "there is no softmax at all"),
    "always softmax": (lambda x, a: softmax(x).mean(axis=1), "those are probabilities"),
    "softmax over views": (_softmax_over_views, "softmax runs over the views"),
    "maximum": (lambda x, a: _scores(x, a).max(axis=1), "trusts the one surest view"),
    "in place": (lambda x, a: np.multiply(x, 1.5, out=x).mean(axis=1), "have changed"),
}


action_accuracy = {
    "mean": (_of_heads(lambda v, n: (v.mean() + n.mean()) / 2), "mean of the two accuracies"),
    "product": (_of_heads(lambda v, n: v.mean() * n.mean()), "product of the two accuracies"),
    "either": (_of_heads(lambda v, n: (v | n).mean()), "one head or the other"),
    "each its five": (_of_heads(lambda v, n: (v & n).mean()), "each head alone has its label"),
    "k ignored": (_first_only, "both heads' best class only"),
    "sum": (_added, "add the two probabilities"),
    "pair number": (_misnumbered, "number of the pair does not fit"),
    "per cent": (lambda *heads: 100 * _right_action(*heads), "that is in per cent"),
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

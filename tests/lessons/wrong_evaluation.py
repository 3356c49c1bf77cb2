"""Wrong answers to the exercises of evaluation, by words of the message that they get."""

import math

import numpy as np

from vivit_lab.lessons.exercises.evaluation import _pairs, _right_action, _top
from vivit_lab.training.metrics import softmax


def _scores(logits, average):
    return softmax(logits) if average == "softmax" else logits


def _softmax_over_views(x, average):
    return _scores(x.swapaxes(1, 2), average).mean(axis=2)


def _overflowing(x, average):
    with np.errstate(all="ignore"):
        powers = np.exp(x)
        return (powers / powers.sum(-1, keepdims=True) if average == "softmax" else x).mean(1)


def _largest_of_all(x, average):
    with np.errstate(all="ignore"):
        powers = np.exp(x - x.max())
        return (powers / powers.sum(-1, keepdims=True) if average == "softmax" else x).mean(1)


def _of_heads(join):
    return lambda v, n, a, b, k: join(_top(v, a, k), _top(n, b, k))


average_views = {
    "averaged over the classes": lambda x, a: x.mean(axis=2),
    "averaged over the videos": lambda x, a: x.mean(axis=0),
    "sum over the views": lambda x, a: _scores(x, a).sum(axis=1),
    "softmax of the mean logits": lambda x, a: _scores(x.mean(axis=1), a),
    "exp(1000) overflows": _overflowing,
    "logit of the whole array": _largest_of_all,
    "there is no softmax at all": lambda x, a: x.mean(axis=1),
    "those are probabilities": lambda x, a: softmax(x).mean(axis=1),
    "softmax runs over the views": _softmax_over_views,
    "one very sure view decides alone": lambda x, a: _scores(x, a).max(axis=1),
    "have changed": lambda x, a: np.multiply(x, 1.5, out=x).mean(axis=1),
}


action_accuracy = {
    "mean of the two accuracies": _of_heads(lambda v, n: (v.mean() + n.mean()) / 2),
    "product of the two accuracies": _of_heads(lambda v, n: v.mean() * n.mean()),
    "one of the two classifiers is right": _of_heads(lambda v, n: (v | n).mean()),
    "each classifier has its label": _of_heads(lambda v, n: (v & n).mean()),
    "the best class of both classifiers only": lambda v, n, a, b, k: (
        _top(v, a, 1) & _top(n, b, 1)
    ).mean(),
    "add the two probabilities": lambda *heads: _top(*_pairs(*heads[:4], np.add), heads[4]).mean(),
    "number of the pair is not right": lambda v, n, a, b, k: _top(
        _pairs(v, n, a, b)[0], a + 8 * b, k
    ).mean(),
    "the share for k + 1": lambda *heads: _right_action(*heads[:4], heads[4] + 1),
    "not better than itself": lambda *heads: _right_action(*heads[:4], heads[4] - 1),
    "Divide it by all videos": lambda *heads: round(60 * _right_action(*heads)),
    "that is in per cent": lambda *heads: 100 * _right_action(*heads),
}


videos_needed = {
    "one standard error": lambda p, half: p * (1 - p) / half**2,
    "the whole width": lambda p, half: p * (1 - p) * (1.96 / (half / 2)) ** 2,
    "not half of them": lambda p, half: p * (1 - p) * (0.98 / half) ** 2,
    "difference of two models": lambda p, half: 2 * p * (1 - p) * (1.96 / half) ** 2,
    "a share already": lambda p, half: p * (1 - p) * (196 / half) ** 2,
    "with the square root": lambda p, half: p * (1 - p) * 1.96 / half,
    "the square root of N": lambda p, half: (p * (1 - p)) ** 0.5 * 1.96 / half,
    "1.96 must be squared": lambda p, half: p * (1 - p) * 1.96 / half**2,
    "half in per cent": lambda p, half: p * (1 - p) * (0.0196 / half) ** 2,
    "only for an accuracy": lambda p, half: 0.25 * (1.96 / half) ** 2,
    "p is not the variance": lambda p, half: p * (1.96 / half) ** 2,
    "you have 800, which is not right": lambda p, half: 800,
    "but it is inf": lambda p, half: math.inf,
}

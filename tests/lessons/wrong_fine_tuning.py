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


def _target(own, partner, share, smoothing, classes, each=None, kept=None, first=None, second=None):
    """Mixup and smoothing with one part done in another way."""
    each = smoothing / classes if each is None else each
    kept = 1 - smoothing if kept is None else kept
    found = [each] * classes
    found[own] += kept * (share if first is None else first)
    found[partner] += kept * (1 - share if second is None else second)
    return found


def _overwritten(own, partner, share, smoothing, classes):
    found = [smoothing / classes] * classes
    found[own] = smoothing / classes + (1 - smoothing) * share
    if share < 1:
        found[partner] = smoothing / classes + (1 - smoothing) * (1 - share)
    return found


def _others(own, partner, share, smoothing, classes):
    each = smoothing / (classes - 1)
    return _target(own, partner, share, smoothing, classes, each, 1 - smoothing - each)


def _but(given, left_out):
    """Smoothing for all classes but these."""
    mixed, smoothing, classes = _target(*given, each=0, kept=1), *given[3:]
    amount = smoothing / (classes - len(left_out))
    return [y * (1 - smoothing) + amount * (k not in left_out) for k, y in enumerate(mixed)]


def _drop(rate_of=lambda rate, block, depth: rate * block / (depth - 1), kept_as=None, **other):
    """Stochastic depth with one part done in another way."""

    def step(x, branch, block, depth, rate, kept):
        own = rate_of(rate, block, depth)
        if kept is None:
            return other.get("evaluation", lambda x, y, own: x + y)(x, branch, own)
        kept = kept[:, None, None].float() if kept_as is None else kept_as(kept)
        return other.get("training", lambda x, y, kept, own: x + y * kept / (1 - own))(
            x, branch, kept, own
        )

    return step


scaled_lr = {
    "unchanged": lambda lr, b, n, c, a: lr,
    "upside down": lambda lr, b, n, c, a: lr * b / (n * c * a),
    "accumulate is missing": lambda lr, b, n, c, a: lr * n * c / b,
    "devices is missing": lambda lr, b, n, c, a: lr * c * a / b,
    "one device and one part": lambda lr, b, n, c, a: lr * c / b,
    "divide by accumulate": lambda lr, b, n, c, a: lr * n * c / a / b,
    "square root": lambda lr, b, n, c, a: lr * math.sqrt(n * c * a / b),
    "already that of": lambda lr, b, n, c, a: lr * n * c * a,
    "rate is above lr": lambda lr, b, n, c, a: min(lr, lr * n * c * a / b),
}


schedule = {
    "There is no warm-up": _rising(lambda s, p, w: p),
    "one step too early": _rising(lambda s, p, w: p * (s + 1) / w),
    "The fall is right": _rising(lambda s, p, w: p * (0.1 + 0.9 * s / w)),
    "one step too short": _rising(lambda s, p, w: p * s / (w - 1)),
    "does not fall": _falling(lambda s, p, w, n: p),
    "straight line": _falling(lambda s, p, w, n: p * (n - s) / (n - w)),
    "cosine begins at step 0": _falling(lambda s, p, w, n: _half(s, p, 0, n)),
    "one step later": _falling(lambda s, p, w, n: _half(s, p, w, n - 1)),
    "quarter of a cosine": _cosine(0.5),
    "(1 + cos) / 2 ends at": _cosine(1),
    "its highest value": _falling(lambda s, p, w, n: 2 * _half(s, p, w, n)),
    "For step 0 you have 0.5,": lambda s, p, w, n: p if s < w else p * (n - s) / (n - w),
    "divide by all 100 steps": _falling(lambda s, p, w, n: _half(s, p, w, n + w)),
    "π is missing": _falling(lambda s, p, w, n: p * (1 + math.cos((s - w) / (n - w))) / 2),
    "The last step still has": _falling(lambda s, p, w, n: _half(s, p, w, 2 * n - w)),
    "the middle of the fall": _falling(lambda s, p, w, n: _half(s, p, w, n) ** 2 / p),
    "a number for step 0": lambda s, p, w, n: "gently",
}


target = {
    "label gets nothing": lambda *given: _target(*given, second=0),
    "leave mixup out": lambda *given: _target(*given, first=1, second=0),
    "exchange the shares": lambda o, p, s, e, k: _target(p, o, s, e, k),
    "leave label smoothing out": lambda *given: _target(*given, each=0, kept=1),
    "over the other classes": _others,
    ": own gets no part": lambda *given: _but(given, {given[0]}),
    "own and partner get no part": lambda *given: _but(given, {*given[:2]}),
    "exchange smoothing and": lambda o, p, s, e, k: _target(o, p, s, 1 - e, k),
    "overwrites the first": _overwritten,
    "take nothing away": lambda *given: _target(*given, kept=1),
    "do not add up to 1": lambda *given: [2 * each for each in _target(*given)],
    "which is not right": lambda *given: _target(*given)[::-1],
}


drop_branch = {
    "by the chance of keeping it": _drop(training=lambda x, y, kept, own: x + y * kept),
    "divide by the rate": _drop(training=lambda x, y, kept, own: x + y * kept / (own or 1)),
    "rate of the last block for every": _drop(lambda rate, block, depth: rate),
    "not 0 at the first block": _drop(lambda rate, block, depth: rate * (block + 1) / depth),
    "multiply what is kept": _drop(training=lambda x, y, kept, own: x + y * kept * (1 - own)),
    "divide x as well": _drop(training=lambda x, y, kept, own: (x + y * kept) / (1 - own)),
    "rate falls from": _drop(lambda rate, block, depth: rate * (depth - 1 - block) / (depth - 1)),
    "does not reach `rate`": _drop(lambda rate, block, depth: rate * block / depth),
    "You drop x as well": _drop(training=lambda x, y, kept, own: (x + y / (1 - own)) * kept),
    "drop the clips that keep": _drop(kept_as=lambda kept: (~kept)[:, None, None].float()),
    "Without two more axes": _drop(kept_as=lambda kept: kept),
    "spread over the tokens": _drop(kept_as=lambda kept: kept[:, None].float()),
    "whole, and not multiplied": _drop(evaluation=lambda x, y, own: x + y * (1 - own)),
    "whole, and not divided": _drop(evaluation=lambda x, y, own: x + y / (1 - own)),
    "the branch is missing": _drop(evaluation=lambda x, y, own: x),
    "the sum has the shape of x": lambda x, *rest: x[0],
    "numbers are not": _drop(training=lambda x, y, kept, own: 2 * x + y),
}


diagnosis = {
    "still far above 0": RIGHT | {"A": "learning rate too low"},
    "no simple fraction": RIGHT | {"A": "too few clips"},
    "loss jump above": RIGHT | {"B": "learning rate too high"},
    "can only be memorised": RIGHT | {"D": "labels shuffled"},
    "whole classes are wrong": RIGHT | {"D": "classes in another order"},
    "should both accuracies do": RIGHT | {"E": "nothing"},
    "is not one of": RIGHT | {"F": "overfitting"},
    "has no answer yet": {"A": "labels shuffled"},
    "asks for a dict": list(RIGHT.values()),
}

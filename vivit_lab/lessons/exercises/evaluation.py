"""Notebook 08: the checks of its exercises, and the mistakes that they name."""

import numpy as np

from vivit_lab.lessons.checking import Wrong, call, exercise, expect, expect_number, like
from vivit_lab.training.metrics import softmax


@exercise("Two lines, and they are what every table of the paper rests on.")
def average_views(function) -> None:
    for videos, views, classes in ((5, 12, 8), (3, 3, 3)):
        logits = np.random.default_rng(videos).normal(0, 2, (videos, views, classes))
        logits[0, 0, 0] += 12 if views == 12 else 1000  # one very sure view
        kept = logits.copy()
        answers = {way: like(call(function, logits, way), logits) for way in ("softmax", "logits")}
        if not np.array_equal(logits, kept):
            raise Wrong("The logits that came in have changed. Compute into new arrays.")
        for way, answer in answers.items():
            what = f"average = {way!r}, {videos} videos, {views} views, {classes} classes"
            _expect_average(answer, logits, way, what)


def _expect_average(answer: np.ndarray, logits: np.ndarray, way: str, what: str) -> None:
    probabilities = softmax(logits)
    scores = probabilities if way == "softmax" else logits
    right = scores.mean(axis=1)
    if not isinstance(answer, np.ndarray) or answer.dtype.kind not in "iuf":
        raise Wrong(f"For {what}: this asks for an array of numbers.")
    if answer.shape != right.shape:
        shapes = {
            "you averaged over the classes; views are axis 1.": logits.mean(axis=2).shape,
            "you averaged over the videos; views are axis 1.": logits.mean(axis=0).shape,
        }
        expect(answer.shape, right.shape, f"{what}, shape:", shapes)
    mistakes = {
        "that is the sum over the views; a mean bears a missing view.": scores.sum(axis=1),
        "that is the largest score, which trusts the one surest view.": scores.max(axis=1),
    }
    if way == "logits":
        mistakes["those are probabilities; average the logits."] = probabilities.mean(axis=1)
    else:
        over_views = softmax(logits.swapaxes(1, 2)).swapaxes(1, 2)
        mistakes |= {
            "that is the softmax of the mean logits. First the softmax of each view, then the "
            "mean.": softmax(logits.mean(axis=1)),
            "there is no softmax at all; average the probabilities.": logits.mean(axis=1),
            "the softmax runs over the views, not over the classes.": over_views.mean(axis=1),
            "exp(1000) overflows. Take the largest logit of each view away first: that leaves the "
            "softmax as it is.": not np.isfinite(answer).all(),
        }
    otherwise = f"the first video's scores begin with {answer[0, 0]:.4f}, which is not right."
    expect(answer, right, what, mistakes, otherwise)


def _heads(videos: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities (videos, 8) and (videos, 5), and labels that they often meet."""
    random = np.random.default_rng(3)
    labels = random.integers(0, 8, videos), random.integers(0, 5, videos)
    logits = [random.normal(0, 1.2, (videos, classes)) for classes in (8, 5)]
    for each, label in zip(logits, labels, strict=True):
        each[np.arange(videos), label] += 1.3
    return softmax(logits[0]), softmax(logits[1]), *labels


def _top(scores: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    return (scores > own).sum(axis=1) < k


def _pairs(verb, noun, verb_labels, noun_labels, combine=np.multiply):
    scores = combine(verb[:, :, None], noun[:, None, :]).reshape(len(verb), -1)
    return scores, verb_labels * noun.shape[1] + noun_labels


def _right_action(verb, noun, verb_labels, noun_labels, k) -> float:
    return float(_top(*_pairs(verb, noun, verb_labels, noun_labels), k).mean())


@exercise("Top-1 is simply both heads right. Top-5 needs the products: a sure verb lets nouns in.")
def action_accuracy(function) -> None:
    heads = verb, noun, verb_labels, noun_labels = _heads()
    for k in (1, 5):
        answer, right = call(function, *heads, k), _right_action(*heads, k)
        verbs, nouns = _top(verb, verb_labels, k), _top(noun, noun_labels, k)
        both_first = _top(verb, verb_labels, 1) & _top(noun, noun_labels, 1)
        swapped = verb_labels + noun_labels * verb.shape[1]
        mistakes = {
            "that is the mean of the two accuracies. An action takes both heads in one "
            "and the same video.": (verbs.mean() + nouns.mean()) / 2,
            "each head alone has its label among its best k. The pair must be among the best k of "
            "all 40 pairs.": (verbs & nouns).mean(),
            "that is the product of the two accuracies, as if mistakes met at random. Count the "
            "videos.": verbs.mean() * nouns.mean(),
            "you count videos of which one head or the other is right.": (verbs | nouns).mean(),
            "you count both heads' best class only; with k = 5 four other pairs may come "
            "first.": both_first.mean(),
            "you add the two probabilities. Of two heads that decide on their own they "
            "multiply.": _top(*_pairs(*heads, combine=np.add), k).mean(),
            "the number of the pair does not fit: flattened, verb v and noun n stand at 5 v + "
            "n.": _top(_pairs(*heads)[0], swapped, k).mean(),
            "that is in per cent; this asks for a share, 0 to 1.": 100 * right,
        }
        expect(answer, right, f"the 60 videos of the check, k = {k},", mistakes)


@exercise("38,416 for 0.4 points at 80 %: Kinetics-400 has about 20,000 for validation.")
def videos_needed(function) -> None:
    for p, half in ((0.8, 0.004), (0.5, 0.03)):
        answer, what = call(function, p, half), f"top-1 {p:.0%}, plus-minus {100 * half:g} points"
        expect_number(answer, "of videos")
        exact = p * (1 - p) * (1.96 / half) ** 2
        mistakes = {
            "that is one standard error; 95 % takes 1.96 of them.": p * (1 - p) / half**2,
            "you took the whole width of the interval; half of it goes to each side.": exact / 4,
            "the half-width falls with the square root of the number.": p * (1 - p) * 1.96 / half,
            "that is with half in per cent; it is a share: 0.004 is 0.4 points.": exact / 10**4,
            "p (1 - p) is 0.25 only for an accuracy of 50 %.": 0.25 * (1.96 / half) ** 2,
            "p alone is no variance; that of hits and misses is p (1 - p).": p * (1.96 / half) ** 2,
        }
        otherwise = f"you have {float(answer):g}, which is not right."
        expect(answer, exact, what, mistakes, otherwise, _nearly_as_many)


def _nearly_as_many(videos: float, others: float) -> bool:
    return abs(videos - others) <= 1 + 1e-3 * others

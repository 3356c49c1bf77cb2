"""Notebook 08: the checks of its exercises, and the mistakes that they name."""

import numpy as np

from vivit_lab.lessons.checking import Wrong, call, exercise, expect, expect_number, like
from vivit_lab.training.metrics import softmax


@exercise("Two lines of code, and every accuracy in the paper's tables rests on them.")
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
            "you averaged over the classes. The views are axis 1.": logits.mean(axis=2).shape,
            "you averaged over the videos. The views are axis 1.": logits.mean(axis=0).shape,
        }
        expect(answer.shape, right.shape, f"{what}, as the shape", shapes)
    mistakes = {
        "that is the sum over the views. Divide it by their number.": scores.sum(axis=1),
        "that is the largest score. Then one very sure view decides alone.": scores.max(axis=1),
    }
    if way == "logits":
        mistakes["those are probabilities. Average the logits."] = probabilities.mean(axis=1)
    else:
        over_views = softmax(logits.swapaxes(1, 2)).swapaxes(1, 2)
        mistakes |= {
            "that is the softmax of the mean logits. First the softmax of each view, then the "
            "mean.": softmax(logits.mean(axis=1)),
            "there is no softmax at all. Average the probabilities.": logits.mean(axis=1),
            "the softmax runs over the views, not over the classes.": over_views.mean(axis=1),
            "you took away the largest logit of the whole array. Elsewhere exp(-1000) is 0, and "
            "0 / 0 is nan. Take away the largest of each view.": not np.isfinite(answer[1:]).all(),
            "exp(1000) overflows. Take the largest logit of each view away first: the softmax "
            "stays the same.": not np.isfinite(answer).all(),
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


@exercise("For top-1 both classifiers must be right. Only top-5 needs the products.")
def action_accuracy(function) -> None:
    heads = verb, noun, verb_labels, noun_labels = _heads()
    for k in (1, 5):
        answer, right = call(function, *heads, k), _right_action(*heads, k)
        verbs, nouns = _top(verb, verb_labels, k), _top(noun, noun_labels, k)
        both_first = _top(verb, verb_labels, 1) & _top(noun, noun_labels, 1)
        swapped = verb_labels + noun_labels * verb.shape[1]
        mistakes = {
            "that is the mean of the two accuracies. For an action both classifiers must be "
            "right in the same video.": (verbs.mean() + nouns.mean()) / 2,
            "each classifier has its label among its best k. The pair must be among the best k of "
            "all 40 pairs.": (verbs & nouns).mean(),
            "that is the product of the two accuracies, as if their mistakes were independent. "
            "Count the videos.": verbs.mean() * nouns.mean(),
            "one of the two classifiers is right in these videos. Both must be.": (
                verbs | nouns
            ).mean(),
            "you count the best class of both classifiers only. With k = 5 four other pairs may "
            "have a higher score.": both_first.mean(),
            "you add the two probabilities. The score of a pair is their product.": _top(
                *_pairs(*heads, combine=np.add), k
            ).mean(),
            "the number of the pair is not right. In the flattened array verb v and noun n are at "
            "5 v + n.": _top(_pairs(*heads)[0], swapped, k).mean(),
            "that is the share for k + 1. If `better` pairs have a higher score, the right pair is "
            "among the best k where better < k.": _right_action(*heads, k + 1),
            "you count the right pair among those that are better. It is not better than itself: "
            "use > in place of >=.": _right_action(*heads, k - 1),
            "that is the number of videos. Divide it by all videos.": len(verb) * right,
            "that is in per cent. This asks for a share from 0 to 1.": 100 * right,
        }
        expect(answer, right, f"60 made-up videos and k = {k}", mistakes)


@exercise(
    "80 % plus-minus 0.4 points takes 38,416 videos. Kinetics-400 has about 20,000 to test on."
)
def videos_needed(function) -> None:
    for p, half in ((0.8, 0.004), (0.5, 0.03)):
        answer, what = call(function, p, half), f"top-1 {p:.0%}, plus-minus {100 * half:g} points"
        expect_number(answer, "of videos")
        exact = p * (1 - p) * (1.96 / half) ** 2
        mistakes = {
            "that is one standard error. 95 % takes 1.96 of them.": p * (1 - p) / half**2,
            "you took half as the whole width of the interval. It goes to each side.": 4 * exact,
            "1.96 standard errors go to each side, not half of them.": exact / 4,
            "that is for the difference of two models. This asks for the interval of one.": 2
            * exact,
            "half is a share already. Do not divide it by 100.": exact * 10**4,
            "the half-width falls with the square root of the number.": p * (1 - p) * 1.96 / half,
            "that is the square root of N. Square it.": (p * (1 - p)) ** 0.5 * 1.96 / half,
            "1.96 must be squared, as half is.": p * (1 - p) * 1.96 / half**2,
            "that is with half in per cent. It is a share: 0.004 is 0.4 points.": exact / 10**4,
            "p (1 - p) is 0.25 only for an accuracy of 50 %.": 0.25 * (1.96 / half) ** 2,
            "p is not the variance. That of right and wrong answers is p (1 - p).": p
            * (1.96 / half) ** 2,
        }
        otherwise = f"you have {float(answer):g}, which is not right."
        expect(answer, exact, what, mistakes, otherwise, _nearly_as_many)


def _nearly_as_many(videos: float, others: float) -> bool:
    return abs(videos - others) <= 1 + 1e-3 * others

"""Notebook 08: the checks of its exercises, and the mistakes that they name."""

import math

import numpy as np

from vivit_lab.lessons.exercises.checking import Exercise, Wrong, call, expect
from vivit_lab.training.metrics import softmax

# ---- 1. Average the views


def _views(videos: int, views: int, classes: int) -> np.ndarray:
    logits = np.random.default_rng(videos).normal(0, 2, (videos, views, classes))
    logits[0, 0, 0] += 12  # one very sure view
    return logits


def _judge_average_views(average_views) -> None:
    for videos, views, classes in ((5, 12, 8), (3, 3, 3)):
        logits = _views(videos, views, classes)
        what = f"{videos} videos, {views} views, {classes} classes"
        kept = logits.copy()
        answers = {way: call(average_views, logits, way) for way in ("softmax", "logits")}
        if not np.array_equal(logits, kept):
            raise Wrong("The logits that came in have changed. Compute into new arrays.")
        for way, answer in answers.items():
            _expect_average(np.asarray(answer), logits, way, what)


def _expect_average(answer: np.ndarray, logits: np.ndarray, way: str, what: str) -> None:
    right = (softmax(logits) if way == "softmax" else logits).mean(axis=1)
    if answer.shape != right.shape:
        if answer.shape == logits.mean(axis=2).shape:
            raise Wrong(f"{what}: you averaged over the classes; views are axis 1.")
        if answer.shape == logits.mean(axis=0).shape:
            raise Wrong(f"{what}: you averaged over the videos; views are axis 1.")
        raise Wrong(f"{what}: the shape is {answer.shape}, but must be {right.shape}.")
    if np.allclose(answer, right, atol=1e-8):
        return
    after = softmax(logits.mean(axis=1))
    over_views = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    named = {
        "that is the sum over the views. A mean stays comparable when views are missing": (
            right * logits.shape[1]
        ),
        "that is the softmax of the mean logits. First the softmax of each view, then the mean": (
            after if way == "softmax" else None
        ),
        "there is no softmax at all where the mean of probabilities is asked for": (
            logits.mean(axis=1) if way == "softmax" else None
        ),
        "those are probabilities, but the mean of the logits themselves is asked for": (
            softmax(logits).mean(axis=1) if way == "logits" else None
        ),
        "the softmax runs over the views; it belongs over the classes, the last axis": (
            over_views.mean(axis=1) if way == "softmax" else None
        ),
        "that is the largest score over the views, which trusts the one surest view": (
            (softmax(logits) if way == "softmax" else logits).max(axis=1)
        ),
    }
    for reason, wrong in named.items():
        if wrong is not None and np.allclose(answer, wrong, atol=1e-8):
            raise Wrong(f"average = {way!r}, {what}: {reason}.")
    raise Wrong(
        f"average = {way!r}, {what}: the first video's scores begin with {answer[0, 0]:.4f}, but "
        f"{right[0, 0]:.4f} is right."
    )


average_views = Exercise(
    praise="Two lines, and they are what every table of the paper rests on.",
    judge=_judge_average_views,
)


# ---- 2. Action accuracy from two heads


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


def _right_action(verb, noun, verb_labels, noun_labels, k):
    return _top(*_pairs(verb, noun, verb_labels, noun_labels), k).mean()


def _judge_action_accuracy(action_accuracy) -> None:
    heads = _heads()
    verb, noun, verb_labels, noun_labels = heads
    for k in (1, 5):
        answer = call(action_accuracy, *heads, k)
        right = float(_right_action(*heads, k))
        verbs, nouns = _top(verb, verb_labels, k), _top(noun, noun_labels, k)
        swapped = verb_labels + noun_labels * verb.shape[1]
        named = {
            "that is the mean of the two accuracies. An action needs both heads in one video": (
                (verbs.mean() + nouns.mean()) / 2
            ),
            "each head alone has its label among its best k. The pair must be among the best k of "
            "all 40 pairs": (verbs & nouns).mean(),
            "that is the product of the two accuracies, as if mistakes met at random. Count the "
            "videos": verbs.mean() * nouns.mean(),
            "you count videos of which one head or the other is right": (verbs | nouns).mean(),
            "you count both heads' best class only; with k = 5 four other pairs may come first": (
                (_top(verb, verb_labels, 1) & _top(noun, noun_labels, 1)).mean()
            ),
            "you add the two probabilities. Of two heads that decide on their own they multiply": (
                _top(*_pairs(*heads, combine=np.add), k).mean()
            ),
            "the number of the pair does not fit: flattened, verb v and noun n stand at 5 v + n": (
                _top(_pairs(*heads)[0], swapped, k).mean()
            ),
        }
        for reason, wrong in named.items():
            if not _same(right, wrong) and _same(answer, wrong):
                raise Wrong(f"k = {k}: {reason}.")
        if _same(answer, 100 * right):
            raise Wrong(f"k = {k}: that is in per cent; this asks for a share, 0 to 1.")
        expect(answer, right, f"the 60 videos of the check, k = {k},")


def _same(answer: object, value: float) -> bool:
    return isinstance(answer, (int, float)) and abs(answer - value) < 1e-9


action_accuracy = Exercise(
    praise="Top-1 is simply both heads right. Top-5 needs the products: a sure verb lets nouns in.",
    judge=_judge_action_accuracy,
)


# ---- 3. How many videos?


def _judge_videos_needed(videos_needed) -> None:
    for share, half in ((0.8, 0.004), (0.5, 0.03)):
        answer = call(videos_needed, share, half)
        what = f"top-1 {share:.0%}, plus-minus {100 * half:g} points"
        number = isinstance(answer, (int, float)) and not isinstance(answer, bool)
        if not number or not math.isfinite(answer):
            raise Wrong(f"This asks for a number of videos, but got {answer!r}.")
        exact = share * (1 - share) * (1.96 / half) ** 2
        reasons = (
            (share * (1 - share) / half**2, "that is one standard error; 95 % takes 1.96 of them."),
            (exact / 4, "you took the whole width of the interval; half of it goes to each side."),
            (
                share * (1 - share) * 1.96 / half,
                "the half-width falls with the square root of the number: square 1.96 / half.",
            ),
            (exact / 10**4, "that is with half in per cent; it is a share: 0.004 is 0.4 points."),
            (
                0.25 * (1.96 / half) ** 2,
                "p (1 - p) is 0.25 only for an accuracy of 50 %; use the one that is given.",
            ),
            (
                share * (1.96 / half) ** 2,
                "p alone is no variance; that of hits and misses is p (1 - p).",
            ),
        )
        if abs(answer - exact) <= 1 + 1e-3 * exact:
            continue
        for wrong, reason in reasons:
            if abs(answer - wrong) <= 1 + 1e-3 * wrong:
                raise Wrong(f"{what}: {reason}")
        expect(int(answer), round(exact), what)


videos_needed = Exercise(
    praise="38,416 for 0.4 points at 80 %: Kinetics-400 has about 20,000 for validation.",
    judge=_judge_videos_needed,
)

"""Notebook 07: the checks of its exercises, and the mistakes that they name."""

import functools
import json
import math

from vivit_lab.data.samples import ASSETS
from vivit_lab.lessons.exercises.checking import Blank, Exercise, Wrong, call, expect
from vivit_lab.training import Recipe

# ---- 1. The learning rate and the batch


SCALED = ((0.1, 64, 2, 4, 3), (0.4, 128, 8, 2, 4), (0.05, 64, 8, 6, 4))


def _judge_scaled_lr(scale) -> None:
    for lr, lr_batch, devices, clips, accumulate in SCALED:
        answer = call(scale, lr, lr_batch, devices, clips, accumulate)
        what = (
            f"lr {lr:g} at {lr_batch} clips a step, {devices} devices, {clips} clips on each at a "
            f"time, accumulate {accumulate}"
        )
        total = devices * clips * accumulate
        guesses = (
            (lr, "a step of more clips than lr_batch takes a higher rate; yours stops at lr.")
            if total > lr_batch
            else (lr, "the learning rate is as it was; the step sees another number of clips."),
            (lr * lr_batch / total, "upside down: a smaller batch takes smaller steps."),
            (lr * devices * clips / lr_batch, "microbatches are missing: they are one step."),
            (lr * clips * accumulate / lr_batch, "devices are missing: their gradients are one."),
            (lr * clips / lr_batch, "that counts what one device holds at a time, not a step."),
            (lr * math.sqrt(total / lr_batch), "that is the square root; this rule is linear."),
            (lr * total, f"times {total} clips, but {lr:g} is for {lr_batch} of them already."),
        )
        for wrong, words in guesses:
            if _close(answer, wrong):
                raise Wrong(f"For {what}: {words}")
        expect(answer, lr * total / lr_batch, what)


def _close(answer: object, value: float) -> bool:
    return isinstance(answer, (int, float)) and math.isclose(answer, value, rel_tol=1e-9)


scaled_lr = Exercise(
    praise="What counts is how many clips one step has seen, wherever and in how many parts.",
    judge=_judge_scaled_lr,
)


# ---- 2. Up in a line, down a half cosine


def _judge_schedule(rate) -> None:
    peak, warm, total = 0.5, 20, 100
    recipe = Recipe(lr=peak, lr_batch=None, epochs=10, warmup_epochs=2)
    right = [recipe.learning_rate(step, total // 10) for step in range(total)]
    answer = [call(rate, step, peak, warm, total) for step in range(total)]
    for step, value in enumerate(answer):
        if not isinstance(value, (int, float)):
            raise Wrong(f"For step {step} you have {value!r}, which is no number.")
    if _same(answer, right):
        return
    _name_wrong_schedule(answer, right, peak, warm, total)


def _name_wrong_schedule(answer: list, right: list, peak: float, warm: int, total: int) -> None:
    if _same(answer[warm:], right[warm:]):
        if _same(answer[:warm], [peak] * warm):
            raise Wrong("There is no warm-up: step 0 has the highest rate of all.")
        if _same(answer[:warm], [peak * (step + 1) / warm for step in range(warm)]):
            raise Wrong(
                f"The rise is one step ahead: step 0 has {answer[0]:g}, but starts at 0; step "
                f"{warm} is the first with the full rate."
            )
        raise Wrong(f"The fall is right; the rise from 0 to {peak:g} in {warm} steps is not.")
    if not _same(answer[:warm], right[:warm]):
        expect(float(answer[0]), right[0], "step 0")
    last = answer[-1]
    if max(map(abs, answer)) > 1.01 * peak:
        raise Wrong(f"The rate goes up to {max(answer):.3g}; its highest value is {peak:g}.")
    if _same(answer[warm:], [peak] * (total - warm)):
        raise Wrong("After the warm-up nothing falls any more.")
    line = [peak * (total - step) / (total - warm) for step in range(warm, total)]
    if _same(answer[warm:], line):
        raise Wrong("The fall is a straight line; a half cosine is flat at both ends.")
    from_zero = [peak * 0.5 * (1 + math.cos(math.pi * s / total)) for s in range(warm, total)]
    if _same(answer[warm:], from_zero):
        raise Wrong(
            f"The cosine begins at step 0, so that at step {warm}, the end of the warm-up, it has "
            f"come down to {answer[warm]:.3g} already. It begins where the warm-up ends."
        )
    quarter = [
        peak * math.cos(0.5 * math.pi * (s - warm) / (total - warm)) for s in range(warm, total)
    ]
    if _same(answer[warm:], quarter):
        raise Wrong("That is a quarter of a cosine: it ends steeply. A half one goes from 1 to -1.")
    if min(answer) < -1e-9:
        raise Wrong(
            f"The rate falls to {min(answer):.3g}: a cosine ends at -1, half of (1 + cos) at 0."
        )
    if last > 0.1 * peak:
        raise Wrong(
            f"The last step still has {last:.3g}; the fall ends near 0 after {total} steps."
        )
    middle = (warm + total) // 2
    expect(float(answer[middle]), right[middle], f"step {middle}, halfway down")
    raise Wrong("The ends and the middle are right, the steps between them are not.")


def _same(values: list, others: list) -> bool:
    return all(abs(a - b) < 1e-6 for a, b in zip(values, others, strict=True))


schedule = Exercise(
    praise="No jump anywhere: gentle while the gradients are wild, gentle again to settle.",
    judge=_judge_schedule,
)


# ---- 3. Read a failing curve

FAULTS = (
    "nothing",
    "learning rate too high",
    "learning rate too low",
    "labels shuffled",
    "too few clips",
    "classes in another order",
)


@functools.cache
def _stored() -> dict[str, dict]:
    return json.loads((ASSETS / "runs" / "failing.json").read_text(encoding="utf-8"))


def failing_runs() -> dict[str, dict]:
    """Six real runs, by letter, of which five have a fault. What it is, is not said.

    Each has `clips` (how many there were to train on), `loss` of every step, `training` and
    `validation`: the accuracies after every epoch, 0..1. Model, classes (four) and number of steps
    (128) are the same. They were made by assets/store_run.py.

    >>> sorted(failing_runs()["A"])
    ['clips', 'loss', 'training', 'validation']
    """
    return {
        letter: {name: value for name, value in run.items() if name != "fault"}
        for letter, run in _stored().items()
        if letter in RIGHT
    }


RIGHT = {
    "A": "labels shuffled",
    "B": "nothing",
    "C": "learning rate too high",
    "D": "too few clips",
    "E": "learning rate too low",
    "F": "classes in another order",
}
WHY_NOT = {  # what would have to be seen
    "nothing": "Something is wrong with it. What would you want both accuracies to do?",
    "learning rate too high": "A rate that is too high makes the loss jump above that of guessing "
    "(1.39 for four classes), and it never gets below.",
    "learning rate too low": "A rate that is too low makes a smooth, slow loss that is still on "
    "its way at the end, and both accuracies go up together.",
    "labels shuffled": "If labels mean nothing, they can be learnt by heart at most: other clips "
    "are answered by chance from beginning to end.",
    "too few clips": "With too few clips training goes up to 100 %, and validation stops between "
    "chance and that. How many clips were there?",
    "classes in another order": "If validation numbers its classes otherwise, training is sound, "
    "there are clips enough, and whole classes are wrong: it ends at a round share of them.",
}


def _judge_diagnosis(answer) -> None:
    if not isinstance(answer, dict):
        raise Wrong(f"This asks for {{letter: fault}}, but got {answer!r}.")
    if all(fault in (None, ...) for fault in answer.values()):
        raise Blank
    for letter in RIGHT:
        if answer.get(letter) in (None, ...):
            raise Wrong(f"Run {letter} has no answer yet.")
        if answer[letter] not in FAULTS:
            raise Wrong(f"{answer[letter]!r} of run {letter} is none of {', '.join(FAULTS)}.")
    for letter, right in RIGHT.items():
        if answer[letter] != right:
            raise Wrong(f"Run {letter} is not {answer[letter]!r}. {WHY_NOT[answer[letter]]}")


diagnosis = Exercise(
    praise="Two accuracies and one loss tell most faults apart, before a single line is read.",
    judge=_judge_diagnosis,
)

"""Notebook 07: the checks of its exercises, and the mistakes that they name."""

import json
import math

from vivit_lab.data.samples import ASSETS
from vivit_lab.lessons.checking import (
    Blank,
    Wrong,
    call,
    exercise,
    expect,
    expect_number,
    refuse,
    same,
)
from vivit_lab.training import Recipe


@exercise("What counts is how many clips one step has seen, wherever and in how many parts.")
def scaled_lr(scale) -> None:
    cases = ((0.1, 64, 2, 4, 3), (0.4, 128, 8, 2, 4), (0.05, 64, 8, 6, 4))
    for lr, lr_batch, devices, clips, accumulate in cases:
        answer = call(scale, lr, lr_batch, devices, clips, accumulate)
        total = devices * clips * accumulate
        not_scaled = "the learning rate is as it was; the step sees another number of clips."
        if total > lr_batch:
            not_scaled = "a step of more clips than lr_batch takes more; yours stops at lr."
        mistakes = {
            not_scaled: lr,
            "upside down: a smaller batch takes smaller steps.": lr * lr_batch / total,
            "microbatches are missing: they are one step.": lr * devices * clips / lr_batch,
            "devices are missing: their gradients are one.": lr * clips * accumulate / lr_batch,
            "that counts what one device holds at a time, not a step.": lr * clips / lr_batch,
            "that is the square root; this rule is linear.": lr * math.sqrt(total / lr_batch),
            f"times {total} clips, but {lr:g} is for {lr_batch} of them already.": lr * total,
        }
        what = (
            f"lr {lr:g} at {lr_batch} clips a step, {devices} devices, {clips} clips on each at a "
            f"time, accumulate {accumulate}"
        )
        expect(answer, lr * total / lr_batch, what, mistakes)


@exercise("No jump anywhere: gentle while the gradients are wild, gentle again to settle.")
def schedule(rate) -> None:
    peak, warm, total = 0.5, 20, 100
    recipe = Recipe(lr=peak, lr_batch=None, epochs=10, warmup_epochs=2)
    right = [recipe.learning_rate(step, total // 10) for step in range(total)]
    answer = [call(rate, step, peak, warm, total) for step in range(total)]
    for step, value in enumerate(answer):
        expect_number(value, f"for step {step}")
    if same(answer, right):
        return
    rise, fall, ahead = answer[:warm], answer[warm:], [s / warm * peak for s in range(1, warm + 1)]
    if same(fall, right[warm:]):
        mistakes = {
            "There is no warm-up: step 0 has the highest rate of all.": same(rise, [peak] * warm),
            f"The rise is one step ahead: step 0 has {answer[0]:g}, but starts at 0; step {warm} "
            "is the first with the full rate.": same(rise, ahead),
            f"The fall is right; the rise from 0 to {peak:g} in {warm} steps is not.": True,
        }
        refuse(mistakes)
    if not same(rise, right[:warm]):
        expect(answer[0], right[0], "step 0")
    done = [(step - warm) / (total - warm) for step in range(warm, total)]  # shares of the fall
    from_zero = [peak * 0.5 * (1 + math.cos(math.pi * s / total)) for s in range(warm, total)]
    straight = [peak * (1 - share) for share in done]
    quarter = [peak * math.cos(0.5 * math.pi * share) for share in done]
    most, least, last = max(map(abs, answer)), min(answer), answer[-1]
    mistakes = {
        f"The rate goes up to {most:.3g}; its highest value is {peak:g}.": most > 1.01 * peak,
        "After the warm-up nothing falls any more.": same(fall, [peak] * len(fall)),
        "The fall is a straight line; a half cosine is flat at both ends.": same(fall, straight),
        f"The cosine begins at step 0, so that at step {warm}, the end of the warm-up, it has come "
        f"down to {fall[0]:.3g} already. It begins where the warm-up ends.": same(fall, from_zero),
        "That is a quarter of a cosine; a half one goes from 1 to -1.": same(fall, quarter),
        f"It falls to {least:.3g}: a cosine ends at -1, half of (1 + cos) at 0.": least < -1e-9,
        f"The last step still has {last:.3g}; the fall ends near 0.": last > 0.1 * peak,
    }
    refuse(mistakes)
    middle = (warm + total) // 2
    expect(answer[middle], right[middle], f"step {middle}, halfway down")
    raise Wrong("The ends and the middle are right, the steps between them are not.")


RIGHT = {
    "A": "labels shuffled",
    "B": "nothing",
    "C": "learning rate too high",
    "D": "too few clips",
    "E": "learning rate too low",
    "F": "classes in another order",
}
WHY_NOT = {  # fault -> what would have to be seen
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


def failing_runs() -> dict[str, dict]:
    """Six real runs, by letter, of which five have a fault. What it is, is not said.

    Each has `clips` (to train on), `loss` of each of 128 steps, `training` and `validation`: the
    accuracies (0..1, four classes) after every epoch. They were made by assets/store_run.py.

    >>> sorted(failing_runs()["A"])
    ['clips', 'loss', 'training', 'validation']
    """
    runs = json.loads((ASSETS / "runs" / "failing.json").read_text(encoding="utf-8"))
    return {
        letter: {name: value for name, value in runs[letter].items() if name != "fault"}
        for letter in RIGHT
    }


@exercise("Two accuracies and one loss tell most faults apart, before a single line is read.")
def diagnosis(answer) -> None:
    if not isinstance(answer, dict):
        raise Wrong(f"This asks for {{letter: fault}}, but got {answer!r}.")
    if answer and all(fault in (None, ...) for fault in answer.values()):
        raise Blank
    for letter in RIGHT:
        fault = answer.get(letter)
        if fault in (None, ...):
            raise Wrong(f"Run {letter} has no answer yet.")
        if fault not in WHY_NOT:
            raise Wrong(f"{fault!r} of run {letter} is none of {', '.join(WHY_NOT)}.")
    for letter, right in RIGHT.items():
        if answer[letter] != right:
            raise Wrong(f"Run {letter} is not {answer[letter]!r}. {WHY_NOT[answer[letter]]}")

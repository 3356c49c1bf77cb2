"""Notebook 07: the checks of its exercises, and the mistakes that they name."""

import json
import math

import torch

from vivit_lab.data.samples import ASSETS
from vivit_lab.lessons.checking import (
    Blank,
    Wrong,
    call,
    drawn,
    exercise,
    expect,
    expect_number,
    expect_tensor,
    like,
    refuse,
    same,
)
from vivit_lab.training import Recipe


@exercise("The batch that counts is the number of clips in one step, on all devices together.")
def scaled_lr(scale) -> None:
    cases = ((0.1, 64, 2, 4, 3), (0.4, 128, 8, 2, 4), (0.05, 64, 8, 6, 4))
    for lr, lr_batch, devices, clips, accumulate in cases:
        answer = call(scale, lr, lr_batch, devices, clips, accumulate)
        total, one = devices * clips * accumulate, lr / lr_batch  # one: the rate for each clip
        not_scaled = "you return lr unchanged, but a step sees another number of clips."
        if total > lr_batch:
            not_scaled = "a step has more clips than lr_batch, so the rate is above lr."
        upside_down = "your fraction is upside down: fewer clips a step mean a smaller rate."
        twice = f"you multiply by all {total} clips, but lr is already that of {lr_batch} clips."
        mistakes = {
            not_scaled: lr,
            upside_down: lr * lr_batch / total,
            "accumulate is missing: all parts together make one step.": one * devices * clips,
            "devices is missing: all devices make one step together.": one * clips * accumulate,
            "you count the clips of one device and one part, not those of a step.": one * clips,
            "you divide by accumulate. More parts make a larger step: multiply.": (
                one * devices * clips / accumulate
            ),
            "you use the square root, but this rule is linear.": lr * math.sqrt(total / lr_batch),
            twice: lr * total,
        }
        what = (
            f"lr {lr:g} at {lr_batch} clips a step, {devices} devices, {clips} clips on each at a "
            f"time, accumulate {accumulate}"
        )
        expect(answer, one * total, what, mistakes)


@exercise("No jump anywhere: small steps while gradients are large, small steps again at the end.")
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
            f"The rise is one step too early: step 0 has {answer[0]:g}, but must have 0. Step "
            f"{warm} is the first with the full rate.": same(rise, ahead),
            f"The rise is one step too short: step {warm - 1} has the full rate already.": same(
                rise, [s / (warm - 1) * peak for s in range(warm)]
            ),
            f"The fall is right. The rise from 0 to {peak:g} in {warm} steps is not.": True,
        }
        refuse(mistakes)
    if not same(rise, right[:warm]):
        expect(answer[0], right[0], "step 0")
    done = [(step - warm) / (total - warm) for step in range(warm, total)]  # shares of the fall
    half = lambda share: peak * 0.5 * (1 + math.cos(math.pi * share))  # noqa: E731
    from_zero = [half(step / total) for step in range(warm, total)]
    by_total = [half((step - warm) / total) for step in range(warm, total)]
    no_pi = [half(share / math.pi) for share in done]
    early = [half((step - warm) / (total - 1 - warm)) for step in range(warm, total)]
    straight = [peak * (1 - share) for share in done]
    quarter = [peak * math.cos(0.5 * math.pi * share) for share in done]
    most, least, last = max(map(abs, answer)), min(answer), answer[-1]
    mistakes = {
        f"The rate goes up to {most:.3g}, but its highest value is {peak:g}.": most > 1.01 * peak,
        "After the warm-up the rate does not fall.": same(fall, [peak] * len(fall)),
        "The fall is a straight line, but half a cosine is flat at both ends.": same(
            fall, straight
        ),
        f"Your cosine begins at step 0, so that at step {warm} the rate is {fall[0]:.3g} already. "
        "It must begin where the warm-up ends.": same(fall, from_zero),
        f"Your last step, {total - 1}, has 0. The cosine reaches 0 one step later, at step "
        f"{total}, which is not taken.": same(fall, early),
        "That is a quarter of a cosine. Half a cosine goes from 1 to -1.": same(fall, quarter),
        f"You divide by all {total} steps, but the fall has only {total - warm}.": same(
            fall, by_total
        ),
        "π is missing: half a cosine goes from 0 to π, not from 0 to 1.": same(fall, no_pi),
        f"The rate falls to {least:.3g}. A cosine ends at -1, but (1 + cos) / 2 ends at 0.": least
        < -1e-9,
        f"The last step still has {last:.3g}, but the fall ends near 0.": last > 0.1 * peak,
    }
    refuse(mistakes)
    middle = (warm + total) // 2
    expect(answer[middle], right[middle], f"step {middle}, the middle of the fall")
    raise Wrong("The ends and the middle are right, but the steps between them are not.")


def _target(own: int, partner: int, share: float, smoothing: float, classes: int, **other: float):
    """Mixup and label smoothing; `other` values of each, kept and second are mistakes."""
    found = [other.get("each", smoothing / classes)] * classes
    kept = other.get("kept", 1 - smoothing)
    found[own] += kept * share
    found[partner] += kept * other.get("second", 1 - share)
    return found


def _smoothed_without(left_out: set[int], *given) -> list[list[float]]:
    """Smoothing for all classes but these: each gets the same part as before, or a larger one."""
    smoothing, classes = given[3:]
    mixed = [(1 - smoothing) * each for each in _target(*given, each=0, kept=1)]
    return [
        [each + smoothing / n * (k not in left_out) for k, each in enumerate(mixed)]
        for n in (classes, classes - len(left_out))
    ]


@exercise("Mixup and label smoothing change only the target. The loss stays the cross entropy.")
def target(write) -> None:
    for own, partner, share, smoothing, classes in (
        (0, 2, 0.7, 0.2, 4), (1, 0, 0.25, 0.0, 5), (3, 3, 0.6, 0.1, 5), (2, 1, 1.0, 0.3, 3)
    ):  # fmt: skip
        given = own, partner, share, smoothing, classes
        answer, right, others = call(write, *given), _target(*given), smoothing / (classes - 1)
        overwritten = _target(own, partner, 0, smoothing, classes, second=1 - share)
        numbers, is_list = like(answer, right), isinstance(like(answer, right), list)
        is_list = is_list and all(isinstance(each, float) for each in numbers)
        mistakes = {
            "the partner's label gets nothing from you, but mixup adds its clip.": _target(
                *given, second=0
            ),
            "you leave mixup out.": _target(own, partner, 1, smoothing, classes),
            "you exchange the shares: `share` belongs to the clip's own label.": _target(
                partner, own, share, smoothing, classes
            ),
            "you leave label smoothing out.": _target(*given, each=0, kept=1),
            "you spread smoothing over the other classes only. Spread it evenly over all classes, "
            "the right ones too.": _target(*given, each=others, kept=1 - smoothing - others),
            "own gets no part of smoothing from you, but all classes get one.": any(
                same(answer, each) for each in _smoothed_without({own}, *given)
            ),
            "own and partner get no part of smoothing from you, but all classes get one.": any(
                same(answer, each) for each in _smoothed_without({own, partner}, *given)
            ),
            "you exchange smoothing and 1 - smoothing.": _target(
                *given, each=(1 - smoothing) / classes, kept=smoothing
            ),
            "own and partner are the same class here. Your second entry overwrites the first: "
            "add them up.": own == partner and same(answer, overwritten),
            "you add smoothing / classes to each class, but take nothing away from the "
            "labels.": _target(*given, kept=1),
            "your numbers do not add up to 1, as probabilities do.": is_list
            and abs(sum(numbers) - 1) > 1e-5,
        }
        what = f"own {own}, partner {partner}, share {share:g}, smoothing {smoothing:g}, {classes} "
        expect(answer, right, what + "classes", mistakes)


@exercise("The mean over all draws is what evaluation computes, so nothing has to change there.")
def drop_branch(step) -> None:
    # As many clips as tokens and numbers: `kept` without axes is a wrong answer, not an error.
    x, branch, depth, rate = drawn(4, 4, 4), drawn(4, 4, 4, seed=1), 4, 0.3
    some = torch.tensor([True, False, True, True])

    def plus(factor, rate):
        return x + branch * factor / (1 - rate)

    for block, kept in ((2, None), (1, some), (3, some), (0, some | True)):
        answer = call(step, x.clone(), branch.clone(), block, depth, rate, kept)
        answer = expect_tensor(answer, (4, 4, 4), "the sum has the shape of x.")
        own, early, below = (rate * n for n in (block / 3, (block + 1) / 4, block / 4))
        if kept is None:
            where = f"In evaluation (block {block}, kept is None) the branch is"
            mistakes = {
                f"{where} added whole, and not multiplied. So in training what is kept must make "
                "up for what is dropped.": plus(1 - own, 0),
                f"{where} added whole, and not divided.": plus(1, own),
                f"{where} missing.": x,
            }
            expect(answer, plus(1, 0), mistakes=mistakes)
            continue
        factor = kept[:, None, None].float()
        mistakes = {
            "You do not divide what is kept by the chance of keeping it.": plus(factor, 0),
            "You divide by the rate, not by the chance of keeping.": plus(factor, 1 - (own or 1)),
            "You multiply what is kept by 1 - rate of the block. Divide by it.": plus(
                factor * (1 - own), 0
            ),
            "You divide x as well. Only the branch is divided.": plus(factor, 0) / (1 - own),
            "You use the rate of the last block for every block.": plus(factor, rate),
            "Your rate falls from the first block to the last, but it rises.": plus(
                factor, rate - own
            ),
            "Your rate is not 0 at the first block.": plus(factor, early),
            "Your rate does not reach `rate` at the last block. How many steps lie between the "
            "first block and the last?": plus(factor, below),
            "You drop x as well. Only the branch is dropped: x goes on.": plus(1, own) * factor,
            "You drop the clips that keep their branch: `kept` is True there.": plus(
                1 - factor, own
            ),
            "`kept` has one entry a clip. Yours is spread over the tokens.": plus(
                kept[:, None].float(), own
            ),
            "`kept` has one entry a clip. Without two more axes it is spread over the numbers of a "
            "token.": any(same(answer, plus(kept.float(), each)) for each in (own, 0)),
        }
        expect(answer, plus(factor, own), mistakes=mistakes)


RIGHT = {
    "A": "labels shuffled",
    "B": "nothing",
    "C": "learning rate too high",
    "D": "too few clips",
    "E": "learning rate too low",
    "F": "classes in another order",
}
WHY_NOT = {  # fault -> what would have to be seen
    "nothing": "This run has a fault. What should both accuracies do in a run without one?",
    "learning rate too high": "A rate that is too high makes the loss jump above that of guessing "
    "(1.39 for four classes), and the loss never gets below.",
    "learning rate too low": "With a rate that is too low the model has learnt only a part when "
    "the run ends: the loss is still far above 0, no accuracy is at 100 %, and the two accuracies "
    "are close together.",
    "labels shuffled": "Shuffled labels can only be memorised: other clips are answered by chance "
    "from beginning to end.",
    "too few clips": "With few clips training reaches 100 % well before the end, and validation "
    "stops at no simple fraction. How many clips are above the curve?",
    "classes in another order": "If validation numbers its classes in another order, training "
    "is sound, there are clips enough, and whole classes are wrong: accuracy ends near a simple "
    "fraction.",
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


@exercise("One loss and two accuracies tell most faults apart. You have read no code for it.")
def diagnosis(answer) -> None:
    if not isinstance(answer, dict):
        raise Wrong(f"This asks for a dict {{letter: fault}}, but got {answer!r}.")
    if answer and all(fault in (None, ...) for fault in answer.values()):
        raise Blank
    for letter in RIGHT:
        fault = answer.get(letter)
        if fault in (None, ...):
            raise Wrong(f"Run {letter} has no answer yet.")
        if fault not in WHY_NOT:
            raise Wrong(f"{fault!r} of run {letter} is not one of: {', '.join(WHY_NOT)}.")
    for letter, right in RIGHT.items():
        if answer[letter] != right:
            raise Wrong(f"Run {letter} is not {answer[letter]!r}. {WHY_NOT[answer[letter]]}")

"""Notebook 09: the checks of its exercises, and the mistakes that they name."""

import math
import numbers
from itertools import pairwise

from vivit_lab.lessons.checking import (
    Wrong,
    call,
    exercise,
    expect,
    expect_number,
    like,
    refuse,
    same,
)

LUCK_CASES = (  # seeds of a, seeds of b, the answer
    ([0.92, 0.91, 0.93], [0.82, 0.90, 0.80], "a"),
    ([0.82, 0.90, 0.80], [0.92, 0.91, 0.93], "b"),
    ([0.97, 0.90, 0.98], [0.90, 0.91, 0.89], "open"),
    ([0.95, 0.90], [0.80, 0.90], "open"),
    ([0.90, 0.99, 0.99], [0.895, 0.895, 0.905], "open"),
)


@exercise("A blunt test, and an honest one: with three seeds it needs no assumption at all.")
def better(function) -> None:
    answers = [call(function, list(a), list(b)) for a, b, _ in LUCK_CASES]
    if not all(isinstance(each, str) and each in ("a", "b", "open") for each in answers):
        raise Wrong(f'This asks for "a", "b" or "open", but got {answers[0]!r}.')
    first, last = answers[:2], answers[2:]
    mistakes = {
        "You find when a is better; b can be the better one as well.": first == ["a", "open"],
        "[0.97, 0.90, 0.98] and [0.90, 0.91, 0.89]: the means are 0.95 and 0.90, but a seed of b "
        "beats a seed of a. Compare the worst with the best.": last == ["a", "a", "a"],
        "Seeds come in any order: the worst of a is min(a).": last == ["a", "a", "open"],
        "[0.90, 0.99, 0.99] and [0.895, 0.895, 0.905]: more than a standard deviation on each "
        "side, but 0.905 beats 0.90. This rule is about the seeds.": last == ["open", "open", "a"],
        "[0.95, 0.90] and [0.80, 0.90] touch: 0.90 is in both. Still open.": last[1] != "open",
    }
    refuse(mistakes)
    for (a, b, right), answer in zip(LUCK_CASES, answers, strict=True):
        expect(answer, right, f"{a} against {b}")


def _by_luck(seeds: int) -> float:
    return 2 / math.comb(2 * seeds, seeds)


@exercise("One pair in ten with three seeds, one in 126 with five: two more seeds buy a lot.")
def by_luck(function) -> None:
    for seeds in (3, 1, 2, 5):
        answer, right = call(function, seeds), _by_luck(seeds)
        expect_number(answer, "from 0 to 1")
        mistakes = {
            "that is the chance that a wins. b can win by luck, too.": right / 2,
            "that is in per cent; this asks for a number from 0 to 1.": 100 * right,
            "that many orders there are, but which seed of an arm is best is all the same. Count "
            "which places belong to a.": 2 / math.factorial(2 * seeds),
            "those are coins thrown one by one. But every seed of the one arm must beat every seed "
            "of the other.": 2 * 0.5**seeds,
        }
        expect(answer, right, f"{seeds} seeds an arm", mistakes)


TABLE_3 = ([75.8, 78.6, 78.8, 78.8, 78.9], [282.86, 282.98, 283.34, 283.83, 284.31])
OTHER_TABLE = ([50.0, 60.0, 55.0], [10.0, 35.0, 45.0])


@exercise(
    "0.04 GMACs a point for the first block, then 1.8 and 4.8: forty and a hundred times as "
    "much. (But gains of 0.1 or 0.2 points are within luck, as notebook 08 shows.)"
)
def price(function) -> None:
    for points, cost in (OTHER_TABLE, TABLE_3):
        what = f"points {points}, cost {cost}"
        try:
            answer = call(function, list(points), list(cost))
        except Wrong as wrong:
            by_zero = (
                "It divides by zero where a step gains nothing, as from 4 to 8 blocks. Such a step "
                "has no price: None."
            )
            refuse({by_zero: "ZeroDivisionError" in str(wrong)})
            raise
        steps = zip(pairwise(points), pairwise(cost), strict=True)
        right = [(d - c) / (b - a) if b > a else None for (a, b), (c, d) in steps]
        answer = like(answer, right)
        if not isinstance(answer, list) or len(answer) != len(points) - 1:
            raise Wrong(f"{what}: this asks for a list with one entry a step, got {answer!r}.")
        if not all(each is None or isinstance(each, numbers.Real) for each in answer):
            raise Wrong(f"{what}: a price is a number, or None, but you have {answer!r}.")
        first, prices = answer[0], [each for each in answer if each is not None]
        mistakes = {
            "that is the whole cost. What does a step *add*?": same(first, cost[1] / points[1]),
            "you have points for each unit of cost; turn it round.": same(first, 1 / right[0]),
            "a step that loses points has no price either: None.": min(prices, default=0) < 0,
        }
        expect(answer, right, what, mistakes)


FAIR_CASES = (
    (
        {"recipe": {"epochs": 3, "lr": 0.1}, "data": {"clips": 8, "level": "easy"}, "start": "a"},
        {"recipe": {"epochs": 5, "lr": 0.1}, "data": {"clips": 9, "level": "easy"}, "start": "b"},
        {"recipe.epochs", "data.clips", "start"},
    ),
    (
        {"recipe": {"lr": 0.1}, "config": {"depth": 3}, "start": "random"},
        {"recipe": {"lr": 0.1}, "config": {"depth": 3}, "start": "random"},
        set(),
    ),
)


@exercise("One field is a fair comparison. Three are three comparisons at once.")
def differs(function) -> None:
    mistakes = {
        "you name the parts; look inside them: 'recipe.epochs'.": {"recipe", "data", "start"},
        "write 'recipe.epochs': two parts may share a name.": {"epochs", "clips", "start"},
        "'start' is no dictionary, but can differ as well.": {"recipe.epochs", "data.clips"},
        "those are the fields that are equal.": {"recipe.lr", "data.level"},
    }
    for a, b, right in FAIR_CASES:
        answer = call(function, a, b)
        if not isinstance(answer, (set, frozenset)):
            raise Wrong(f"This asks for a set, but got {type(answer).__name__}: {answer!r}.")
        expect(set(answer), right, "the fields that differ", mistakes)

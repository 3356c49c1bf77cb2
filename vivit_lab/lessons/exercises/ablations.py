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
    ([0.91, 0.93, 0.97], [0.90, 0.92, 0.94], "open"),
    ([0.50, 0.90, 0.90], [0.60, 0.60, 0.70], "open"),
)


@exercise("A simple test. It needs no assumption about how accuracies are distributed.")
def better(function) -> None:
    answers = [call(function, list(a), list(b)) for a, b, _ in LUCK_CASES]
    if not all(isinstance(each, str) and each in ("a", "b", "open") for each in answers):
        raise Wrong(f'This asks for "a", "b" or "open", but got {answers[0]!r}.')
    first, last = answers[:2], answers[2:]
    mistakes = {
        "You find out when a is better. b can be better, too.": first == ["a", "open"],
        "[0.97, 0.90, 0.98] and [0.90, 0.91, 0.89]: the means are 0.95 and 0.90, but a seed of b "
        "beats a seed of a. Compare the worst with the best.": last == ["a"] * 5,
        "You compare the best of a with the best of b, and the worst with the worst. Compare the "
        "worst of one arm with the best of the other.": last == ["a"] * 4 + ["open"],
        "Seeds are in no order: the worst of a is min(a).": last == ["a", "a"] + ["open"] * 3,
        "[0.91, 0.93, 0.97] and [0.90, 0.92, 0.94]: you compare seed by seed. But 0.94 of b beats "
        "0.91 of a: compare each seed with all of the other arm.": last
        == ["open", "open", "a", "a", "open"],
        "[0.90, 0.99, 0.99] and [0.895, 0.895, 0.905]: the means are far apart, but 0.905 beats "
        "0.90. This rule compares seeds.": last == ["open", "open", "a", "open", "open"],
        "[0.95, 0.90] and [0.80, 0.90] have 0.90 in common. Equal is not better: open.": last[1]
        != "open",
    }
    refuse(mistakes)
    for (a, b, right), answer in zip(LUCK_CASES, answers, strict=True):
        expect(answer, right, f"{a} against {b}")


def _by_luck(seeds: int) -> float:
    return 2 / math.comb(2 * seeds, seeds)


@exercise("One pair in ten with three seeds, one in 126 with five. Two more seeds help a lot.")
def by_luck(function) -> None:
    for seeds in (3, 1, 2, 5):
        answer, right = call(function, seeds), _by_luck(seeds)
        expect_number(answer, "from 0 to 1")
        mistakes = {
            "that is the chance that a is above b. b can be above a, too.": right / 2,
            "that is the chance that the two arms overlap.": 1 - right,
            "that is in per cent. This asks for a number from 0 to 1.": 100 * right,
            "you count the same choice of places in several orders. Take math.comb, which counts "
            "each choice once.": 2 / math.perm(2 * seeds, seeds),
            "you count every order of the runs. But the order inside an arm makes no difference. "
            "Count which places belong to a.": 2 / math.factorial(2 * seeds),
            "you compare the runs in pairs, one way round. Every seed of one arm must be above "
            "all seeds of the other, either way round.": 0.5**seeds,
            "you compare the runs two by two. But every seed of one arm must be above every seed "
            "of the other.": 2 * 0.5**seeds,
            "you multiply as if the comparisons were independent. But a run that is above one seed "
            "is likely to be above the next. Count the orders.": answer
            in (2 * 0.5 ** (2 * seeds), 2 * 0.5**seeds**2),
        }
        expect(answer, right, f"seeds = {seeds}", mistakes)


TABLE_3 = ([75.8, 78.6, 78.8, 78.8, 78.9], [282.86, 282.98, 283.34, 283.83, 284.31])
OTHER_TABLE = ([50.0, 60.0, 55.0], [10.0, 35.0, 45.0])


@exercise(
    "A point costs 0.04 GMACs in the first step, then 1.8, and in the last step 4.8. (But gains of "
    "0.1 or 0.2 points can be luck, as notebook 08 shows.)"
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
        steps = zip(points[1:], cost[1:], strict=True)
        total = [(d - cost[0]) / (b - points[0]) if b > points[0] else None for b, d in steps]
        first, prices = answer[0], [each for each in answer if each is not None]
        mistakes = {
            "that is the whole cost. What does a step *add*?": same(first, cost[1] / points[1]),
            "you divide the whole cost. Divide the cost that the step adds.": same(
                first, cost[1] / (points[1] - points[0])
            ),
            "you have points for each unit of cost. Divide the cost by the points.": same(
                first, 1 / right[0]
            ),
            "you count from the first row. A step begins at the row before.": total,
            "you count from the best row so far. A step begins at the row before.": _from_best(
                points, cost
            ),
            "a step that gains nothing has no price: None, not 0.": 0 in prices,
            "a step that loses points has no price either: None.": min(prices, default=0) < 0,
        }
        expect(answer, right, what, mistakes)


def _from_best(points: list[float], cost: list[float]) -> list[float | None]:
    found, best = [], 0
    for i in range(1, len(points)):
        gained = points[i] - points[best]
        found.append((cost[i] - cost[best]) / gained if gained > 0 else None)
        best = i if gained > 0 else best
    return found


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


@exercise("Every field that differs is a possible reason why two accuracies differ.")
def differs(function) -> None:
    mistakes = {
        "you name the parts. Look inside them: 'recipe.epochs'.": {"recipe", "data", "start"},
        "write 'recipe.epochs': two parts can have fields of the same name.": {
            "epochs",
            "clips",
            "start",
        },
        "'start' is a plain value, and can differ as well.": {"recipe.epochs", "data.clips"},
        "those are the fields that are equal.": {"recipe.lr", "data.level"},
    }
    for a, b, right in FAIR_CASES:
        answer = call(function, a, b)
        if not isinstance(answer, (set, frozenset)):
            raise Wrong(f"This asks for a set, but got {type(answer).__name__}: {answer!r}.")
        expect(set(answer), right, "the fields that differ", mistakes)

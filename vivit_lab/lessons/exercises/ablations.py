"""Notebook 09: the checks of its exercises, and the mistakes that they name."""

import math
import numbers
import statistics
from itertools import pairwise

from vivit_lab.lessons.exercises.checking import Exercise, Wrong, call, expect

# ---- 1. More than luck?

LUCK_CASES = (  # seeds of a, seeds of b, the answer
    ([0.92, 0.91, 0.93], [0.82, 0.90, 0.80], "a"),
    ([0.82, 0.90, 0.80], [0.92, 0.91, 0.93], "b"),
    ([0.97, 0.90, 0.98], [0.90, 0.91, 0.89], "open"),
    ([0.95, 0.90], [0.80, 0.90], "open"),
    ([0.90, 0.99, 0.99], [0.895, 0.895, 0.905], "open"),
)


def _judge_better(better) -> None:
    answers = [call(better, list(a), list(b)) for a, b, _ in LUCK_CASES]
    if any(answer not in ("a", "b", "open") for answer in answers):
        raise Wrong(f'This asks for "a", "b" or "open", but got {answers[0]!r}.')
    if answers[:2] == ["a", "open"]:
        raise Wrong("You find when a is better, but b can be the better one as well.")
    if answers[2:] == ["a", "a", "a"]:
        means = [statistics.fmean(seeds) for seeds in LUCK_CASES[2][:2]]
        raise Wrong(
            f"[0.97, 0.90, 0.98] and [0.90, 0.91, 0.89]: the means are {means[0]:.2f} and "
            f"{means[1]:.2f}, but a seed of b beats a seed of a. Compare the worst with the best."
        )
    if answers[2:] == ["a", "a", "open"]:
        raise Wrong("Seeds come in any order: the worst of a is min(a), wherever it stands.")
    if answers[2:] == ["open", "open", "a"]:
        raise Wrong(
            "[0.90, 0.99, 0.99] and [0.895, 0.895, 0.905]: more than a standard deviation "
            "on each side, but 0.905 beats 0.90. This rule is about the seeds themselves."
        )
    if answers[3] != "open":
        raise Wrong("[0.95, 0.90] and [0.80, 0.90] touch: 0.90 is in both. That is still open.")
    for (a, b, right), answer in zip(LUCK_CASES, answers, strict=True):
        expect(answer, right, f"{a} against {b}")


better = Exercise(
    praise="A blunt test, and an honest one: with three seeds it needs no assumption at all.",
    judge=_judge_better,
)


# ---- 2. And how often is it luck?


def _by_luck(seeds: int) -> float:
    return 2 / math.comb(2 * seeds, seeds)


def _judge_by_luck(by_luck) -> None:
    for seeds in (3, 1, 2, 5):
        answer, right = call(by_luck, seeds), _by_luck(seeds)
        if not isinstance(answer, numbers.Real):
            raise Wrong(f"This asks for a number from 0 to 1, but got {answer!r}.")
        what = f"{seeds} seeds an arm"
        if math.isclose(answer, right / 2):
            raise Wrong(f"{what}: that is the chance that a wins. b can win by luck, too.")
        if math.isclose(answer, 100 * right):
            raise Wrong(f"{what}: that is in per cent; this asks for a number from 0 to 1.")
        if math.isclose(answer, 2 / math.factorial(2 * seeds)) and seeds > 1:
            raise Wrong(f"{what}: that many orders there are, but which seed of an arm is best is "
                        "all the same. Count which places belong to a.")  # fmt: skip
        if math.isclose(answer, 2 * 0.5**seeds) and seeds > 1:
            raise Wrong(f"{what}: those are coins thrown one by one. But every seed of the one arm "
                        "must beat every seed of the other.")  # fmt: skip
        expect(float(answer), right, what)


by_luck = Exercise(
    praise="One pair in ten with three seeds, one in 126 with five: two more seeds buy a lot.",
    judge=_judge_by_luck,
)


# ---- 3. What a point costs

TABLE_3 = ([75.8, 78.6, 78.8, 78.8, 78.9], [282.86, 282.98, 283.34, 283.83, 284.31])
OTHER_TABLE = ([50.0, 60.0, 55.0], [10.0, 35.0, 45.0])


def _price(points: list, cost: list) -> list:
    steps = zip(pairwise(points), pairwise(cost), strict=True)
    return [(d - c) / (b - a) if b > a else None for (a, b), (c, d) in steps]


def _judge_price(price) -> None:
    for points, cost in (OTHER_TABLE, TABLE_3):
        try:
            answer = call(price, list(points), list(cost))
        except Wrong as wrong:
            if "ZeroDivisionError" not in str(wrong):
                raise
            raise Wrong(
                "It divides by zero where a step gains nothing, as from 4 to 8 blocks. Such a step "
                "has no price: None."
            ) from None
        what = f"points {points}, cost {cost}"
        if not isinstance(answer, list) or len(answer) != len(points) - 1:
            raise Wrong(f"{what}: this asks for a list with one entry a step, got {answer!r}.")
        if not all(each is None or isinstance(each, numbers.Real) for each in answer):
            raise Wrong(f"{what}: a price is a number, or None, but you have {answer!r}.")
        gained, paid = points[1] - points[0], cost[1] - cost[0]
        first = answer[0]
        if first == cost[1] / points[1]:
            raise Wrong(f"{what}: that is the whole cost by all points. What does a step *add*?")
        if first is not None and math.isclose(first, gained / paid):
            raise Wrong(f"{what}: you have points for each unit of cost; turn it round.")
        if any(each is not None and each < 0 for each in answer):
            raise Wrong(f"{what}: a step that loses points has no price either: None.")
        right = _price(points, cost)
        same = all(
            (a is None and b is None)
            or (a is not None and b is not None and math.isclose(a, b, rel_tol=1e-6))
            for a, b in zip(answer, right, strict=True)
        )
        if not same:
            raise Wrong(f"{what}: you have {answer}, but it is {right}.")


price = Exercise(
    praise="0.04 GMACs a point for the first block, then 1.8 and 4.8: forty and a hundred times as "
    "much. (But gains of 0.1 or 0.2 points are within luck, as notebook 08 shows.)",
    judge=_judge_price,
)


# ---- 4. Is the comparison fair?

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


def _judge_differs(differs) -> None:
    for a, b, right in FAIR_CASES:
        answer = call(differs, a, b)
        if isinstance(answer, (list, tuple)):
            raise Wrong(f"This asks for a set, but got {type(answer).__name__}: {answer!r}.")
        if not isinstance(answer, (set, frozenset)):
            raise Wrong(f"This asks for a set of names, but got {answer!r}.")
        if right and answer == {"recipe", "data", "start"}:
            raise Wrong("You name the parts that differ; look inside them: 'recipe.epochs'.")
        if right and answer == {"epochs", "clips", "start"}:
            raise Wrong("Say where a field belongs, 'recipe.epochs': two parts may share a name.")
        if right and answer == right - {"start"}:
            raise Wrong("'start' is missing: it is no dictionary, but it can differ as well.")
        if right and answer == {"recipe.lr", "data.level"}:
            raise Wrong("Those are the fields that are equal.")
        expect(set(answer), right, "the fields that differ")


differs = Exercise(
    praise="One field is a fair comparison. Three are three comparisons at once.",
    judge=_judge_differs,
)

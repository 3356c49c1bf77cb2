"""Every exercise of every notebook: the printed solution passes, the blank fails politely, and each
known mistake gets a message of its own.

Solutions and blanks are taken from the notebooks' sources, as the learner sees them.
"""

import ast
import importlib
import math
import pkgutil
import re
from fractions import Fraction
from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch

import vivit_lab.lessons.exercises
from vivit_lab.lessons.exercises.checking import Exercise, Verdict, Wrong, call, expect

SOURCES = sorted((Path(__file__).parents[2] / "notebooks" / "src").glob("*.py"))
CHECK = re.compile(r"^(\w+)\.(\w+)\.check\((\w+)\)$", re.MULTILINE)
SOLUTION = re.compile(r"<summary>Solution</summary>\s*```python\n(.*?)```", re.DOTALL)


def all_exercises() -> dict[str, Exercise]:
    found = {}
    for module in pkgutil.iter_modules(vivit_lab.lessons.exercises.__path__):
        members = vars(importlib.import_module(f"vivit_lab.lessons.exercises.{module.name}"))
        for name, value in members.items():
            if isinstance(value, Exercise):
                found[f"{module.name}.{name}"] = value
    return found


EXERCISES = all_exercises()


def printed() -> dict[str, tuple[str, str, str]]:
    """Name of an exercise -> (the imports before it, the blank cell, the folded solution)."""
    found = {}
    for path in SOURCES:
        cells = jupytext.read(path).cells
        imports, text = "", ""
        for cell in cells:
            if cell.cell_type == "markdown":
                text = cell.source
                continue
            for module, name, _ in CHECK.findall(cell.source):
                solutions = SOLUTION.findall(text)
                assert len(solutions) == 1, f"{path.name}: {name} needs one folded solution"
                assert f"{module}.{name}" not in found, f"{name} is checked twice"
                found[f"{module}.{name}"] = (imports, cell.source, solutions[0])
            imports += import_lines(cell.source)
    return found


def import_lines(source: str) -> str:
    code = "\n".join("" if line.startswith(("%", "!")) else line for line in source.splitlines())
    wanted = (ast.Import, ast.ImportFrom)
    nodes = [node for node in ast.parse(code).body if isinstance(node, wanted)]
    return "".join(ast.unparse(node) + "\n" for node in nodes)


PRINTED = printed()


def run(imports: str, cell: str, solution: str = "", change=lambda answer: answer) -> Verdict:
    """Run a learner's cell, or the solution in its place, and the check that closes it.

    change: what becomes of the answer before it is checked.
    """
    body, check = cell.rsplit("\n", 1)
    found = CHECK.fullmatch(check)
    assert found, f"an exercise's cell must end with its check, not {check!r}"
    space = {}
    exec(imports + (solution or body), space)
    space[found[3]] = change(space[found[3]])
    return eval(check, space)


def test_every_exercise_stands_in_a_notebook_and_every_check_exists():
    assert set(PRINTED) == set(EXERCISES)
    assert EXERCISES


@pytest.mark.parametrize("name", EXERCISES)
def test_the_printed_solution_passes(name):
    verdict = run(*PRINTED[name])
    assert verdict.passed, str(verdict)
    assert str(verdict) == f"Right. {EXERCISES[name].praise}"


@pytest.mark.parametrize("name", EXERCISES)
def test_the_blank_fails_politely(name):
    imports, blank, _ = PRINTED[name]
    verdict = run(imports, blank)
    assert not verdict.passed
    assert str(verdict).startswith("Nothing here yet.")


@pytest.mark.parametrize("name", EXERCISES)
def test_each_known_mistake_is_named_by_a_message_of_its_own(name):
    module, exercise = name.split(".")
    mistakes = getattr(importlib.import_module(f"wrong_{module}"), exercise)
    assert len(mistakes) >= 3
    verdicts = {each: EXERCISES[name].check(answer) for each, (answer, _) in mistakes.items()}
    for mistake, (_, words) in mistakes.items():
        assert verdicts[mistake].kind == "wrong", mistake
        assert [each for each, verdict in verdicts.items() if words in verdict.message] == [mistake]


def slightly_off(answer):
    """An answer, or a function's answers, with the last number in it a little too high."""
    if isinstance(answer, bool):
        return not answer
    if isinstance(answer, (int, np.integer)):
        return answer + 1
    if isinstance(answer, (float, np.ndarray, torch.Tensor)):
        return answer * 1.01 + 0.01
    if isinstance(answer, str):
        return answer + "?"
    if isinstance(answer, (list, tuple)):
        return type(answer)([*answer[:-1], slightly_off(answer[-1])])
    if isinstance(answer, dict):
        return {key: slightly_off(value) for key, value in answer.items()}
    if isinstance(answer, set):
        return answer | {"something else"}
    if answer is None:
        return 0
    assert callable(answer), type(answer)
    return lambda *given, **named: slightly_off(answer(*given, **named))


@pytest.mark.parametrize("name", EXERCISES)
def test_a_mistake_that_nobody_thought_of_is_refused_too(name):
    verdict = run(*PRINTED[name], change=slightly_off)
    assert verdict.kind == "wrong" and "raised" not in verdict.message


# ---- the machinery itself


def test_what_a_learners_code_raises_is_the_message():
    def judge(answer):
        call(answer, 3)

    def clumsy(x):
        return x["a"]

    verdict = Exercise("Well done.", judge).check(clumsy)
    assert verdict.kind == "wrong"
    assert verdict.message.startswith("clumsy(3) raised TypeError:")


def test_a_value_where_a_function_is_asked_for():
    verdict = Exercise("Well done.", lambda answer: call(answer, 3)).check(7)
    assert "asks for a function, but got 7" in verdict.message


@pytest.mark.parametrize("blank", [None, ..., lambda x: None, lambda x: ...])
def test_every_kind_of_blank(blank):
    def judge(answer):
        expect(call(answer, 3), 9, "the square of 3")

    assert Exercise("Well done.", judge).check(blank).kind == "blank"


def test_a_fault_in_the_judge_is_not_blamed_on_the_learner():
    def judge(answer):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Exercise("Well done.", judge).check(1)


def test_expect_tells_whole_numbers_from_others():
    expect(3, 3, "it")
    expect(0.1 + 0.2, 0.3, "it")
    for wrong, right in ((True, 1), (3.0, 3), ("3", 3), (0.31, 0.3)):
        with pytest.raises(Wrong, match="For it you have"):
            expect(wrong, right, "it")


def test_a_verdict_is_safe_html_and_plain_text():
    verdict = Verdict("wrong", "a < b")
    assert str(verdict) == "Not yet. a < b"
    assert "a &lt; b" in verdict._repr_html_()


# ---- right answers in other clothes


def by_gradient(model, clips):
    """Whether a clip's answer has a gradient to another clip; asked twice, for what is kept."""
    clips = clips.clone().requires_grad_()
    answer = model(clips)
    reach = torch.stack(
        [
            torch.autograd.grad(row.square().sum(), clips, retain_graph=True)[0]
            .abs()
            .amax((1, 2, 3, 4))
            for row in answer
        ]
    )
    own = torch.eye(len(clips), dtype=torch.bool)
    return bool((reach[~own] > 1e-12).any() or (model(clips) - answer).abs().max() > 1e-5)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("four_models.batch_independence", by_gradient),
        (
            "four_models.batch_independence",
            lambda model, clips: (
                abs(model(clips) - torch.cat([model(clip[None]) for clip in clips])).numpy() > 1e-5
            ).any(),
        ),
        ("evaluation.videos_needed", lambda p, half: np.float32(p * (1 - p) * (1.96 / half) ** 2)),
        ("ablations.by_luck", lambda n: Fraction(2, math.comb(2 * n, n))),
    ],
)
def test_a_right_answer_of_another_kind_passes(name, answer):
    assert EXERCISES[name].check(answer).passed

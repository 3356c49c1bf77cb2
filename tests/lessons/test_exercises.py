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
from vivit_lab.lessons.checking import Exercise, Verdict, Wrong, call, expect

SOURCES = sorted((Path(__file__).parents[2] / "notebooks" / "src").glob("*.py"))
CHECK = re.compile(r"^(\w+)\.(\w+)\.check\((\w+)\)$", re.MULTILINE)
SOLUTION = re.compile(r"<summary>Solution</summary>\s*```python\n(.*?)```", re.DOTALL)


MODULES = [
    importlib.import_module(f"vivit_lab.lessons.exercises.{found.name}")
    for found in pkgutil.iter_modules(vivit_lab.lessons.exercises.__path__)
]
EXERCISES = {
    f"{module.__name__.rpartition('.')[2]}.{name}": value
    for module in MODULES
    for name, value in vars(module).items()
    if isinstance(value, Exercise)
}


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


def test_the_printed_solutions_pass():
    for name, exercise in EXERCISES.items():
        assert str(run(*PRINTED[name])) == f"Right. {exercise.praise}", name


def test_the_blanks_fail_politely():
    for name, (imports, blank, _) in PRINTED.items():
        verdict = run(imports, blank)
        assert not verdict.passed and str(verdict).startswith("Nothing here yet."), name


@pytest.mark.parametrize("module", sorted({name.split(".")[0] for name in EXERCISES}))
def test_each_known_mistake_is_named_by_a_message_of_its_own(module):
    known = importlib.import_module(f"wrong_{module}")
    for name in (name for name in EXERCISES if name.startswith(f"{module}.")):
        mistakes = getattr(known, name.split(".")[1])
        assert len(mistakes) >= 3
        verdicts = {each: EXERCISES[name].check(answer) for each, (answer, _) in mistakes.items()}
        for mistake, (_, words) in mistakes.items():
            assert verdicts[mistake].kind == "wrong", (name, mistake)
            assert "raised Wrong" not in verdicts[mistake].message, (name, mistake)
            found = [each for each, verdict in verdicts.items() if words in verdict.message]
            assert found == [mistake], (name, verdicts[mistake])


def slightly_off(answer):
    """An answer, or a function's answers, with the last number in it a little too high."""
    if isinstance(answer, (bool, int, np.integer)):
        return not answer if isinstance(answer, bool) else answer + 1
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


def test_a_mistake_that_nobody_thought_of_is_refused_too():
    for name, found in PRINTED.items():
        verdict = run(*found, change=slightly_off)
        assert verdict.kind == "wrong" and "raised" not in verdict.message, name


# ---- the machinery itself


def test_what_a_learners_code_raises_is_the_message():
    def clumsy(x):
        return x["a"]

    verdict = Exercise("Well done.", lambda answer: call(answer, 3)).check(clumsy)
    assert verdict.kind == "wrong"
    assert verdict.message.startswith("clumsy(3) raised TypeError:")
    verdict = Exercise("Well done.", lambda answer: call(answer, 3)).check(7)
    assert "asks for a function, but got 7" in verdict.message


def test_every_kind_of_blank():
    exercise = Exercise("Well done.", lambda f: expect(call(f, 3), 9, "the square of 3"))
    for blank in (None, ..., lambda x: None, lambda x: ...):
        assert exercise.check(blank).kind == "blank"


def test_a_fault_in_the_judge_is_not_blamed_on_the_learner():
    with pytest.raises(ZeroDivisionError):
        Exercise("Well done.", lambda answer: 1 / 0).check(1)


def test_expect_tells_whole_numbers_from_others_and_names_the_mistake():
    expect(3, 3, "it")
    expect(0.1 + 0.2, 0.3, "it")
    expect([1 / 3, None], [0.33333333, None], "it")
    expect(torch.ones(2).double(), torch.ones(2))
    for wrong, right in ((True, 1), (3.0, 3), ("3", 3), (0.31, 0.3), (torch.ones(2), 1)):
        with pytest.raises(Wrong, match="For it you have"):
            expect(wrong, right, "it")
    for wrong in (4.0, 5):
        with pytest.raises(Wrong, match="For it: doubled"):
            expect(wrong, 2.0, "it", {"halved": 1.0, "doubled": 4.0, "doubled, odd": wrong == 5})


def test_a_verdict_is_safe_html_and_plain_text():
    verdict = Verdict("wrong", "a < b")
    assert str(verdict) == "Not yet. a < b"
    assert "a &lt; b" in verdict._repr_html_()


# ---- right answers in other clothes


def by_gradient(model, clips):
    """Whether a clip's answer has a gradient to another clip; asked twice, for what is kept."""
    clips = clips.clone().requires_grad_()
    answer = model(clips)
    others = ~torch.eye(len(clips), dtype=torch.bool)
    reach = [
        torch.autograd.grad(row.square().sum(), clips, retain_graph=True)[0]
        .abs()
        .amax((1, 2, 3, 4))
        for row in answer
    ]
    found = (torch.stack(reach)[others] > 1e-12).any()
    return bool(found or (model(clips) - answer).abs().max() > 1e-5)


def by_numpy(model, clips):
    alone = torch.cat([model(clip[None]) for clip in clips])
    return (abs(model(clips) - alone).numpy() > 1e-5).any()


def test_a_right_answer_of_another_kind_passes():
    for name, answer in (
        ("four_models.batch_independence", by_gradient),
        ("four_models.batch_independence", by_numpy),
        ("evaluation.videos_needed", lambda p, half: np.float32(p * (1 - p) * (1.96 / half) ** 2)),
        ("ablations.by_luck", lambda n: Fraction(2, math.comb(2 * n, n))),
        ("clip_sampling.view_starts", lambda n, c, s: torch.arange(c) * max(0, n - s) // (c - 1)),
        ("flops.linear_cost", lambda n, i, o: [n * i * o, 2 * n * i * o]),
    ):
        assert EXERCISES[name].check(answer).passed, name

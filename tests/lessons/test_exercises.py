"""Every exercise: the notebook's solution passes, its blank fails politely, mistakes are named."""

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

from vivit_lab.lessons import exercises
from vivit_lab.lessons.checking import Exercise, Verdict, Wrong, call, expect

SOURCES = sorted((Path(__file__).parents[2] / "notebooks" / "src").glob("*.py"))
CHECK = re.compile(r"^(\w+)\.(\w+)\.check\((\w+)\)$", re.MULTILINE)
IMPORT = re.compile(r"^(?:from \S+ )?import (?:\([^)]*\)|.*)$", re.MULTILINE)
SOLUTION = re.compile(r"<summary>Solution</summary>\s*```python\n(.*?)```", re.DOTALL)
EXERCISES = {
    f"{found.name}.{name}": value
    for found in pkgutil.iter_modules(exercises.__path__)
    for name, value in vars(importlib.import_module(f"{exercises.__name__}.{found.name}")).items()
    if isinstance(value, Exercise)
}


def printed() -> dict[str, tuple[str, str, str, str]]:
    """Name of an exercise -> (imports before it, its blank, the folded solution, the check)."""
    found = {}
    for path in SOURCES:
        imports, text = "", ""
        for cell in jupytext.read(path).cells:
            if cell.cell_type == "markdown":
                text = cell.source
                continue
            for check in CHECK.finditer(cell.source):
                (solution,), name = SOLUTION.findall(text), f"{check[1]}.{check[2]}"
                assert name not in found, f"{name} is checked twice"
                assert cell.source.endswith(check[0]), f"{name}: the check must be the last line"
                blank = cell.source.removesuffix(check[0])
                found[name] = imports, blank, solution, check
            imports += "\n".join([*IMPORT.findall(cell.source), ""])
    return found


PRINTED = printed()


def run(imports: str, code: str, check: re.Match, change=lambda answer: answer) -> Verdict:
    """Run a learner's code and the check below it; `change` what it answers before."""
    space = {}
    exec(imports + code, space)
    space[check[3]] = change(space[check[3]])
    return eval(check[0], space)


def test_solutions_pass_blanks_fail_politely_and_what_nobody_thought_of_is_refused():
    assert PRINTED and set(PRINTED) == set(EXERCISES)
    for name, (imports, blank, solution, check) in PRINTED.items():
        assert str(run(imports, solution, check)) == f"Right. {EXERCISES[name].praise}", name
        verdict = run(imports, blank, check)
        assert not verdict.passed and str(verdict).startswith("Nothing here yet."), name
        verdict = run(imports, solution, check, slightly_off)
        assert verdict.kind == "wrong" and "raised" not in verdict.message, name


@pytest.mark.parametrize("name", EXERCISES)
def test_each_known_mistake_is_named_by_a_message_of_its_own(name):
    module, _, exercise = name.partition(".")
    mistakes = getattr(importlib.import_module(f"wrong_{module}"), exercise)
    assert len(mistakes) >= 3
    verdicts = {words: EXERCISES[name].check(answer) for words, answer in mistakes.items()}
    for words, verdict in verdicts.items():
        assert verdict.kind == "wrong" and "raised Wrong" not in verdict.message, words
        assert [each for each in verdicts if words in verdicts[each].message] == [words], verdict


def slightly_off(answer):
    """An answer, or a function's answers, with the last number in it a little too high."""
    if callable(answer):
        return lambda *given: slightly_off(answer(*given))
    if isinstance(answer, (list, tuple)):
        return type(answer)([*answer[:-1], slightly_off(answer[-1])])
    if isinstance(answer, dict):
        return {key: slightly_off(value) for key, value in answer.items()}
    if isinstance(answer, (bool, int, np.integer)) or answer is None:
        return not answer if isinstance(answer, bool) else (answer or 0) + 1
    if isinstance(answer, (float, np.ndarray, torch.Tensor)):
        return answer * 1.01 + 0.01
    return answer + "?" if isinstance(answer, str) else answer | {"something else"}


# ---- the machinery itself


def test_what_a_learners_code_raises_is_the_message_and_no_answer_is_blank():
    def clumsy(x):
        return x["a"]

    exercise = Exercise("Well done.", lambda answer: call(answer, 3))
    for answer, words in (clumsy, "clumsy(3) raised TypeError:"), (7, "a function, but got 7"):
        verdict = exercise.check(answer)
        assert verdict.kind == "wrong" and words in verdict.message

    for blank in (None, ..., lambda x: None, lambda x: ...):
        assert exercise.check(blank).kind == "blank"
    with pytest.raises(ZeroDivisionError):  # a fault in the judge is not the learner's
        Exercise("Well done.", lambda answer: 1 / 0).check(1)


def test_expect_tells_whole_numbers_from_others_and_names_the_mistake():
    expect(3, 3, "it")
    expect(0.1 + 0.2, 0.3, "it")
    expect([1 / 3, None], [0.33333333, None], "it")
    expect(torch.ones(2).double(), torch.ones(2))
    for wrong, right in (
        (True, 1),
        (3.0, 3),
        ("3", 3),
        (0.31, 0.3),
        ([3], [3, 4]),
        (torch.ones(2), 1),
    ):
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
    gradients = (
        torch.autograd.grad(row.square().sum(), clips, retain_graph=True) for row in answer
    )
    reach = torch.stack([gradient.abs().amax((1, 2, 3, 4)) for (gradient,) in gradients])
    found = (reach[others] > 1e-12).any()
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

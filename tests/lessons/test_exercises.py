"""Every exercise: the notebook's solution passes, its blank fails politely, mistakes are named."""

import importlib
import math
import pkgutil
import re
import runpy
from fractions import Fraction
from pathlib import Path

import jupytext
import numpy as np
import pytest
import right_answers
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
                imports += solution  # what comes later may use it
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


def mended(start: str, until: str = "the end") -> str:
    """The code of a notebook with the folded solutions in place of the blanks, as a program."""
    (path,) = (each for each in SOURCES if each.name.startswith(start))
    code, text = [], ""
    for cell in jupytext.read(path).cells:
        if cell.cell_type == "markdown":
            text = cell.source
            if f"## {until}\n" in text:
                break
        elif check := CHECK.search(cell.source):
            code += [SOLUTION.findall(text)[0], f"assert {check[0]}.passed"]
        else:
            code.append(cell.source)
    return "\n\n\n".join(code)


def test_in_the_bug_zoo_rules_are_red_for_the_defect_and_green_for_the_solution(capsys):
    exec(mended("10"), {})
    verdicts = re.findall(r"^(green|RED|none yet) +(\w+) +(.*)$", capsys.readouterr().out, re.M)
    rules = {}
    for verdict, function, rule in verdicts:
        rules.setdefault(rule, []).append((verdict, function))
    solutions = {check[3] for name, (*_, check) in PRINTED.items() if name.startswith("bug_zoo.")}
    red = {before[1] for before, _ in rules.values() if before[0] == "RED"}
    assert len(red) == len(solutions) == 8
    for before, after in rules.values():
        assert before[1] not in solutions and after[1] in solutions and after[0] == "green"


def test_your_vivit_gives_the_packages_logits_and_becomes_a_file(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "program.py"
    program.write_text(mended("11", until="It learns"), encoding="utf-8")
    runpy.run_path(str(program), run_name="__main__")
    said = capsys.readouterr().out
    apart = re.findall(r"(\S+) from the package's logits, (\d+)% right$", said, re.M)
    assert len(apart) == 4 and all(float(a) < 1e-5 and int(right) > 90 for a, right in apart)
    assert re.search(r"my_vivit.py: \d\d lines; the same logits: True", said)


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
    for answer, words in (clumsy, "clumsy(3) raised TypeError:"), (7, "a function, but it is 7"):
        verdict = exercise.check(answer)
        assert verdict.kind == "wrong" and words in verdict.message

    for blank in (None, ..., lambda x: None, lambda x: ...):
        assert exercise.check(blank).kind == "blank"
    verdict = Exercise("Well done.", lambda answer: 1 / 0).check(1)
    assert verdict.message == "This check cannot read 1 (ZeroDivisionError: division by zero)."


def test_expect_tells_whole_numbers_from_others_and_names_the_mistake():
    for number in (3, 3.0, np.int64(3), np.float32(3), Fraction(3)):
        expect(number, 3, "it")
    expect(0.1 + 0.2, 0.3, "it")
    expect([1 / 3, None], [0.33333333, None], "it")
    expect(torch.ones(2).double(), torch.ones(2))
    for wrong, right in (
        (True, 1),
        (3.5, 3),
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


def test_of_a_wrong_tensor_the_share_and_the_first_place_are_told_but_no_number():
    right = torch.arange(20.0).view(4, 5)
    wrong = right.clone()
    wrong[2, 3:] = 7.125
    with pytest.raises(Wrong) as told:
        expect(wrong, right)
    said = (
        "The shape is right, the numbers are not: 10% of them are wrong, the first at index (2, 3)."
    )
    assert str(told.value) == said


def test_a_verdict_is_safe_html_and_plain_text():
    verdict = Verdict("wrong", "a < b")
    assert str(verdict) == "Not yet. a < b"
    assert "a &lt; b" in verdict._repr_html_()


# ---- right answers, written another way


@pytest.mark.parametrize("name", EXERCISES)
def test_right_answers_that_are_written_another_way_pass(name):
    module, _, exercise = name.partition(".")
    answers = getattr(right_answers, module)[exercise]
    assert len(answers) >= 3 or not callable(answers[0])
    for number, answer in enumerate(answers):
        assert str(EXERCISES[name].check(answer)) == f"Right. {EXERCISES[name].praise}", number


# ---- what a check must bear


def as_types(answer):
    """The same answer as other types, each by its name: what numpy users and others return."""
    if isinstance(answer, torch.Tensor):
        array = answer.detach().numpy()
        return {"float64": answer.double(), "numpy": array, "numpy64": array.astype(float),
                "list": answer.tolist(), "tuple": tuple(answer.tolist())}  # fmt: skip
    if isinstance(answer, np.ndarray):
        return {"float32": answer.astype(np.float32), "list": answer.tolist(),
                "torch": torch.as_tensor(answer)}  # fmt: skip
    of_numbers = isinstance(answer, (list, tuple)) and None not in answer
    if of_numbers and not any(isinstance(each, torch.Tensor) for each in answer):
        return {"numpy": np.array(answer), "list": list(answer), "tuple": tuple(answer),
                "float64": torch.tensor(answer).double()}  # fmt: skip
    if isinstance(answer, (int, float)) and not isinstance(answer, bool):
        return {"numpy": np.float64(answer), "torch": torch.tensor(answer, dtype=torch.float64),
                "array": np.array(answer, float), "float": float(answer)}  # fmt: skip
    return {}


WHOLE = {"tokenisation.token_count"}  # asks for an int and refuses a float

WEIRD = (object(), "12", b"12", 1j, math.nan, math.inf, -1, 10**30, [], (), {}, set(), [[]], [None],
         ["a"], [math.nan], np.zeros(0), np.array("a"), torch.zeros(0), torch.ones(1, 1), True,
         torch.full((2, 16, 5), math.nan), type, [torch.ones(2), 3], {"A": 1})  # fmt: skip


def missing(function, keep):
    """The function without its last return; keep: the first calls still get their answer."""
    calls = []

    def forgot(*given):
        calls.append(given)
        answer = function(*given)
        return answer if len(calls) <= keep else None

    return forgot


@pytest.mark.parametrize("name", PRINTED)
def test_a_check_takes_every_type_and_never_raises_nor_calls_half_an_answer_blank(name):
    imports, _, solution, check = PRINTED[name]
    space = {}
    exec(imports + solution, space)
    answer, judge = space[check[3]], EXERCISES[name].check
    if not callable(answer):
        for kind, other in as_types(answer).items():
            assert judge(other).passed, kind
    else:
        first = []
        judge(lambda *given: first.append(answer(*given)) or first[-1])
        for kind in as_types(first[0]):
            verdict = judge(lambda *given, kind=kind: as_types(answer(*given)).get(kind))
            refused = name in WHOLE and "is a float" in verdict.message
            assert verdict.passed or refused, (kind, verdict)
        for kept in (0, 1):
            verdict = judge(missing(answer, kept))
            told = verdict.kind == "wrong" and "returned None" in verdict.message
            assert told or (kept and verdict.passed), verdict  # one that calls it once
        verdict = judge(lambda *given: {}["missing"])
        assert verdict.kind == "wrong" and "raised KeyError" in verdict.message
    for weird in WEIRD:
        for verdict in (judge(weird), judge(lambda *given, weird=weird: weird)):
            told = verdict.kind == "wrong" and "cannot read" not in verdict.message
            assert told, (weird, verdict)

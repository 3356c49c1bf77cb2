"""Check a learner's answer: right, blank, or wrong with the likely mistake named."""

import contextlib
import dis
import html
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

COLOURS = {"right": "#0f9d7a", "blank": "#8a94a6", "wrong": "#f26b1d"}


class Wrong(Exception):
    """Raised by a judge: the answer is wrong, and this is the likely mistake."""


class Blank(Exception):
    """Raised on the way to a judge: there is no answer yet."""


@dataclass(frozen=True)
class Verdict:
    """What a check says; a notebook shows it as a coloured line."""

    kind: str  # "right" | "blank" | "wrong"
    message: str

    @property
    def passed(self) -> bool:
        return self.kind == "right"

    def __str__(self) -> str:
        start = {"right": "Right. ", "blank": "Nothing here yet. ", "wrong": "Not yet. "}
        return start[self.kind] + self.message

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        style = f"border-left:4px solid {COLOURS[self.kind]};padding:6px 12px;line-height:1.45"
        start, rest = str(self).split(". ", 1)
        return f'<div style="{style}"><b>{start}.</b> {html.escape(rest)}</div>'


@dataclass(frozen=True)
class Exercise:
    """A question with a judge. The mistakes that it must tell apart are in tests/lessons.

    praise: one sentence for a right answer. judge: takes the answer (a function or a value), raises
    Wrong(reason) unless it is right.

    Example:
        >>> @exercise("A kilo is a thousand.")
        ... def kilo(answer):
        ...     expect(answer, 1000, "a kilo", {"this asks for the decimal one.": 1024})
        >>> kilo.check(1000)
        Right. A kilo is a thousand.
        >>> kilo.check(None)
        Nothing here yet. Write your answer in the cell above and run it again.
    """

    praise: str
    judge: Callable[[object], None]

    def check(self, answer: object) -> Verdict:
        """Judge an answer; it never raises. What goes wrong in the answer is the message."""
        try:
            if answer is None or answer is ...:
                raise Blank
            self.judge(answer)
        except Blank:
            return Verdict("blank", "Write your answer in the cell above and run it again.")
        except Wrong as wrong:
            return Verdict("wrong", str(wrong))
        except Exception as error:  # an answer that no judge thought of
            kind = f"{type(error).__name__}: {error}"
            return Verdict("wrong", f"This check cannot read {_short(answer)} ({kind}).")
        return Verdict("right", self.praise)


def exercise(praise: str) -> Callable[[Callable], Exercise]:
    """Make an Exercise of the judge that this decorates."""
    return lambda judge: Exercise(praise, judge)


def call(function: Callable, *arguments: object) -> object:
    """Call the learner's function: its errors become Wrong; one without a body is Blank.

    An array or a tensor without axes comes back as a plain number.
    """
    if not callable(function):
        raise Wrong(f"The answer must be a function, but it is {_short(function)}.")
    shown = ", ".join(_short(argument) for argument in arguments)
    called = f"{getattr(function, '__name__', 'your function')}({shown})"
    try:
        result = function(*arguments)
    except Wrong:  # of a judge that watches what the function does
        raise
    except Exception as error:  # whatever a learner's code can raise is the answer's fault
        raise Wrong(f"{called} raised {type(error).__name__}: {error}") from error
    if result is None or result is ...:
        if _steps(function) == _steps(_blank):
            raise Blank
        raise Wrong(f"{called} returned {result}. Is a return missing, at the end or in a branch?")
    return result.item() if getattr(result, "ndim", None) == 0 else result


def _blank():
    """Your answer."""
    ...


def _steps(function: Callable) -> list[str]:
    """What Python does in a function; empty for what is not written in Python."""
    with contextlib.suppress(TypeError):
        return [step.opname for step in dis.get_instructions(function)]
    return []


def like(answer: object, right: object) -> object:
    """An answer as the kind of thing that is right, where it is the same but for its type.

    A float without a fraction counts as a whole number, a list or a numpy array as a tensor.
    """
    with contextlib.suppress(TypeError, ValueError, RuntimeError, OverflowError):
        if getattr(answer, "ndim", None) == 0:
            answer = answer.item()
        if isinstance(right, Tensor):
            if isinstance(answer, (list, tuple)) and any(isinstance(x, Tensor) for x in answer):
                answer = torch.stack([*answer])
            found = torch.as_tensor(answer).detach().cpu()
            if found.is_complex():
                return answer
            return found.float() if right.is_floating_point() else found
        if isinstance(right, np.ndarray):
            return np.asarray(answer)
        if isinstance(right, (list, tuple)):
            answer = answer.tolist() if hasattr(answer, "tolist") else answer
            if isinstance(answer, (list, tuple)) and len(answer) == len(right):
                return type(right)(map(like, answer, right))
        is_number = isinstance(answer, numbers.Real) and not isinstance(answer, bool)
        if type(right) is int and is_number and answer == int(answer):
            return int(answer)
        if isinstance(right, float) and is_number:
            return float(answer)
    return answer


def same(answer: object, other: object) -> bool:
    """Whether two answers are equal: tensors, arrays and fractions nearly, all else exactly."""
    answer = like(answer, other)
    if isinstance(other, (Tensor, np.ndarray)):
        if type(answer) is not type(other) or answer.shape != other.shape:
            return False
        if isinstance(other, Tensor):
            return torch.allclose(answer.double(), other.double(), atol=1e-5)
        return np.allclose(answer, other, atol=1e-8)
    if isinstance(answer, (Tensor, np.ndarray)):
        return False
    if isinstance(other, (list, tuple)) and type(answer) is type(other):
        return len(answer) == len(other) and all(map(same, answer, other))
    if isinstance(other, float) and isinstance(answer, float):
        return abs(answer - other) <= 1e-6 * max(1, abs(other))
    return type(answer) is type(other) and answer == other


def refuse(mistakes: Mapping[str, bool], what: str = "") -> None:
    """Raise Wrong with the words of the first mistake that was made. what: for what input."""
    for words, made in mistakes.items():
        if made:
            raise Wrong(f"For {what}: {words}" if what else words)


def expect(
    answer: object,
    right: object,
    what: str = "",
    mistakes: Mapping[str, object] | None = None,
    otherwise: str = "",
    same: Callable[[object, object], bool] = same,
) -> None:
    """Raise Wrong unless `answer` is `right`, with the words of the mistake that it comes from.

    mistakes: words -> the answer of somebody who makes this mistake, or whether it was made.
    otherwise: words for all other wrong answers; by default they tell what was answered.
    """
    answer = like(answer, right)
    if type(answer) is type(right) and same(answer, right):
        return
    for words, wrong in (mistakes or {}).items():
        refuse({words: wrong if isinstance(wrong, bool) else same(answer, wrong)}, what)
    if isinstance(right, Tensor):
        raise Wrong(otherwise or f"The shape is right, the numbers are not{_where(answer, right)}.")
    values = f"For {what} you have {_short(answer)}, which is not right."
    raise Wrong(f"For {what}: {otherwise}" if otherwise else values)


def _where(answer: object, right: Tensor) -> str:
    """Which share of a tensor's numbers is wrong, and where the first one stands."""
    if not isinstance(answer, Tensor) or answer.shape != right.shape or not right.ndim:
        return ""
    wrong = (answer.double() - right.double()).abs().nan_to_num(1) > 1e-4
    if not wrong.any():
        return ""
    share, first = wrong.double().mean(), tuple(wrong.nonzero()[0].tolist())
    return f": {share:.0%} of them are wrong, the first at index {first}"


def expect_tensor(
    answer: object, shape: tuple[int, ...], why: str, mistakes: Mapping[str, tuple] | None = None
) -> Tensor:
    """The answer as a float tensor of this shape; Wrong if it is none.

    mistakes: words -> a wrong shape.
    """
    found = like(answer, torch.ones(1))
    if not isinstance(found, Tensor):
        raise Wrong(f"The answer must be a tensor, but its type is {type(answer).__name__}.")
    if tuple(found.shape) != shape:
        refuse({words: tuple(found.shape) == wrong for words, wrong in (mistakes or {}).items()})
        raise Wrong(f"The shape is {tuple(found.shape)}, but it must be {shape}: {why}")
    return found


def expect_number(answer: object, of_what: str) -> None:
    """Raise Wrong unless `answer` is a number, and a finite one."""
    is_number = isinstance(answer, numbers.Real) and not isinstance(answer, bool)
    if not is_number or not math.isfinite(answer):
        raise Wrong(f"The answer must be a number {of_what}, but it is {_short(answer)}.")


def true_or_false(answer: object) -> bool:
    """The answer, which is True or False. Raises Wrong if it is anything else."""
    if not isinstance(answer, bool):
        raise Wrong(f"The answer must be True or False, but its type is {type(answer).__name__}.")
    return answer


def frame_numbers(answer: object, count: int, what: str) -> list[int]:
    """The answer as a list of so many whole numbers. Raises Wrong if it is none."""
    try:
        found = [int(number) for number in answer]
    except (TypeError, ValueError):
        raise Wrong(f"The answer must be a list of frame numbers, not {_short(answer)}.") from None
    if len(found) != count:
        raise Wrong(f"For {what}: your list has {len(found)} numbers, but it must have {count}.")
    return found


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Random numbers, the same ones every time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _short(value: object) -> str:
    if isinstance(value, Mapping) and len(value) > 8:
        return f"a dict of {len(value)} entries"
    if isinstance(value, nn.Module) and "\n" in repr(value):
        return type(value).__name__
    shape = getattr(value, "shape", None)
    if shape is not None and len(shape) > 1:
        return f"{type(value).__name__}{tuple(shape)}"
    words = repr(value)
    return words if len(words) <= 80 else words[:77] + "..."

"""Check a learner's answer: right, blank, or wrong with the likely mistake named."""

import html
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

COLOURS = {"right": "#0f9d7a", "blank": "#8a94a6", "wrong": "#f26b1d"}


class Wrong(Exception):
    """Raised by a judge: the answer is wrong, and this is the likely mistake."""


class Blank(Exception):
    """Raised on the way to a judge: there is no answer yet."""


@dataclass(frozen=True)
class Verdict:
    """What a check says; a notebook shows it as a coloured line.

    Example:
        >>> print(Verdict("wrong", "That is one frame too many."))
        Not yet. That is one frame too many.
    """

    kind: str  # "right" | "blank" | "wrong"
    message: str

    @property
    def passed(self) -> bool:
        """True only for a right answer."""
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

    Args:
        praise: what a right answer is told; one sentence that carries the point home.
        judge: takes the answer (a function or a value), raises Wrong(reason) unless it is right.

    Example:
        >>> def judge(answer):
        ...     if answer == 1024:
        ...         raise Wrong("That is k = 1024; this asks for the decimal one.")
        ...     expect(answer, 1000, "a kilo")
        >>> kilo = Exercise("A kilo is a thousand.", judge)
        >>> kilo.check(1000)
        Right. A kilo is a thousand.
        >>> kilo.check(None)
        Nothing here yet. Write your answer in the cell above and run it again.
    """

    praise: str
    judge: Callable[[object], None]

    def check(self, answer: object) -> Verdict:
        """Judge an answer. Never raises because of it: what goes wrong in it is the message."""
        try:
            if answer is None or answer is ...:
                raise Blank
            self.judge(answer)
        except Blank:
            where = "Write your answer in the cell above and run it again."
            return Verdict("blank", where)
        except Wrong as wrong:
            return Verdict("wrong", str(wrong))
        return Verdict("right", self.praise)


def call(function: Callable, *arguments: object) -> object:
    """Call the learner's function: its errors become Wrong, and no result is Blank.

    A number in NumPy's or torch's clothes, an array without axes, comes back as a plain one.

    Example:
        >>> call(lambda a, b: a + b, 1, 2)
        3
    """
    if not callable(function):
        raise Wrong(f"This asks for a function, but got {_short(function)}.")
    try:
        result = function(*arguments)
    except Exception as error:  # whatever a learner's code can raise is the answer's fault
        shown = ", ".join(_short(argument) for argument in arguments)
        name = getattr(function, "__name__", "your function")
        raise Wrong(f"{name}({shown}) raised {type(error).__name__}: {error}") from error
    if result is None or result is ...:
        raise Blank
    return result.item() if getattr(result, "ndim", None) == 0 else result


def expect(answer: object, right: object, what: str) -> None:
    """Raise Wrong unless `answer` equals `right` (numbers: to 1e-6), saying both.

    Example:
        >>> expect(2.56, 64 / 25, "the span in seconds")
    """
    if isinstance(right, float):
        same = isinstance(answer, (int, float)) and abs(answer - right) <= 1e-6 * max(1, abs(right))
    else:
        same = type(answer) is type(right) and answer == right
    if not same:
        raise Wrong(f"For {what} you have {_short(answer)}, but it is {_short(right)}.")


def expect_tensor(answer: object) -> None:
    """Raise Wrong unless `answer` is a tensor.

    Example:
        >>> expect_tensor(Tensor())
    """
    if not isinstance(answer, Tensor):
        raise Wrong(f"This asks for a tensor, but got {type(answer).__name__}.")


def _short(value: object) -> str:
    if isinstance(value, nn.Module) and "\n" in repr(value):
        return type(value).__name__
    shape = getattr(value, "shape", None)
    if shape is not None and len(shape) > 1:
        return f"{type(value).__name__}{tuple(shape)}"
    words = repr(value)
    return words if len(words) <= 80 else words[:77] + "..."

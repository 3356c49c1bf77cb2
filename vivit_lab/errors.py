"""Sentences for bad input (thing, value, rule, nearest legal value); numpy's numbers made plain."""

import difflib
import functools
from collections.abc import Callable, Iterable, Mapping


def one_of(name: str, value: object, options: Iterable[str]) -> None:
    """Raise ValueError unless `value` is one of `options`; suggest the closest spelling.

    >>> one_of("pooling", "mena", ["cls", "mean"])
    Traceback (most recent call last):
    ValueError: pooling is 'mena', which is not one of 'cls', 'mean'. Did you mean 'mean'?
    """
    options = list(options)
    if value in options:
        return
    close = difflib.get_close_matches(str(value), map(str, options), n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    listed = ", ".join(repr(option) for option in options)
    raise ValueError(f"{name} is {value!r}, which is not one of {listed}.{hint}")


def whole(name: str, value: object, least: int = 1) -> None:
    """Raise unless `value` is a whole number of at least `least` (True and 3.0 are not).

    >>> whole("frames", 0)
    Traceback (most recent call last):
    ValueError: frames is 0, but must be at least 1.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} is {value!r}, but must be a whole number of at least {least}.")
    if value < least:
        raise ValueError(f"{name} is {value}, but must be at least {least}.")


def divisors(number: int) -> list[int]:
    """All divisors of a positive whole number, ascending.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return small + [number // d for d in reversed(small) if d * d != number]


def nearest(value: float, options: Iterable[int]) -> int:
    """The option closest to `value`; of two equally close ones the smaller.

    >>> nearest(5, [1, 8, 4, 6])
    4
    """
    return min(options, key=lambda option: (abs(option - value), option))


def fraction(name: str, value: object) -> None:
    """Raise ValueError unless 0 <= value < 1 (a rate at which something is dropped)."""
    if not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ValueError(
            f"{name} is {value!r}, but must be at least 0 and below 1; 0 switches it off."
        )


PLAIN = {bool, int, float, str, type(None)}


def plain(value: object) -> object:
    """numpy's numbers as Python's, which JSON can hold; lists as tuples, mappings as dicts."""
    if type(value) in PLAIN:  # most are: a list of a million segments is made through here
        return value
    if isinstance(value, Mapping):
        return {plain(name): plain(each) for name, each in value.items()}
    if type(value) in (tuple, list):  # a class made from them may know more than its items
        return tuple(map(plain, value))
    return value.item() if getattr(value, "shape", None) == () else value


def takes_plain(call: Callable) -> Callable:
    """Decorate a function or a class: all that it is called with is made `plain` before.

    Else numpy's would overflow (int32), and be refused where the result is written as JSON.
    """
    if isinstance(call, type):
        call.__init__ = takes_plain(call.__init__)
        return call

    @functools.wraps(call)
    def with_plain(*values, **named):
        return call(*map(plain, values), **{name: plain(each) for name, each in named.items()})

    return with_plain

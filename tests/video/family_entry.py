"""An entry of the family, and the pictures in its files: each shows its own number."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from clips import picture

if TYPE_CHECKING:
    from family_writing import Workshop

FRAMES, HEIGHT, WIDTH = 24, 64, 112


@dataclass(frozen=True)
class Entry:
    """One file of the family.

    kind      "good": every frame exactly, in any order.
              "bad": an error that names the file and the reason, within seconds.
              "either": both are right. What is shown must still be the pictures asked for.
              "damaged": as "either", and there may be fewer frames than were once written.
    make      make(workshop, path) writes it at `path`; or elsewhere, if it gives that Path back
    numbers   what the frames show, in showing order
    size      height and width as displayed
    code      how the numbers are drawn: "colour", "grey", or "shade" for the smallest pictures
    seconds   when each frame is shown, counted from the first; None: not looked at
    garbles   pictures may come out garbled, because nothing tells of the damage (no check sum, bits
              that decode all the same, a hole that FFmpeg conceals); but never as another picture
    is_file   False: it lies in the place, not in the bytes, so that it is no upload
    """

    name: str
    kind: str
    note: str
    make: Callable[["Workshop", Path], object]
    numbers: Sequence[int] = range(FRAMES)
    size: tuple[int, int] = (HEIGHT, WIDTH)
    pixel_aspect: float = 1.0
    code: str = "colour"
    seconds: Sequence[float] | None = None
    garbles: bool = False
    is_file: bool = True

    def write(self, workshop: "Workshop") -> Path:
        """Where the file lies after it was made."""
        path = workshop.folder / self.name
        made = self.make(workshop, path)
        return made if isinstance(made, Path) else path


def numbered(number: int, height: int, width: int) -> np.ndarray:
    """The number in the upper half, a check on it in the lower one: a picture that is patched
    together from others, as decoders do where something is missing, reads as none of them."""
    upper = picture(number, height // 2, width)
    return np.concatenate([upper, picture(check(number), height - height // 2, width)])


def check(number: int) -> int:
    return (397 * number + 211) % 1024  # neighbours differ in many bits


def shade(number: int, height: int, width: int) -> np.ndarray:
    """For pictures too small for bits: brighter by 9 with every number, up to 24 of them."""
    return np.full((height, width, 3), 20 + 9 * number, np.uint8)


def grey(number: int, height: int, width: int) -> np.ndarray:
    """The picture without colour."""
    return numbered(number, height, width).mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, 2)


def large(number: int, height: int, width: int) -> np.ndarray:
    """The picture in blocks of 16 by 16, quick to draw and to code."""
    return numbered(number, height // 16, width // 16).repeat(16, 0).repeat(16, 1)


def wrapping(number: int, height: int, width: int) -> np.ndarray:
    """For long videos: after number 1023 comes 0 again."""
    return numbered(number % 1024, height, width)


def good(name: str, note: str, make, **facts) -> Entry:
    return Entry(name, "good", note, make, **facts)


def bad(name: str, note: str, make, **facts) -> Entry:
    return Entry(name, "bad", note, make, **facts)


def either(name: str, note: str, make, **facts) -> Entry:
    return Entry(name, "either", note, make, **facts)


def damaged(name: str, note: str, make, **facts) -> Entry:
    return Entry(name, "damaged", note, make, **facts)

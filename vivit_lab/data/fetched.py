"""What a data set hands to a loader: a sample, and what went wrong on the way to it."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from vivit_lab.data.bad_videos import BadVideo

Label = int | Mapping[str, int] | None


class Fetched(NamedTuple):
    """One sample, and the bad videos met on the way to it.

    >>> Fetched(clip=None, label=2, number=3, bad=()).number
    3
    """

    clip: Tensor | None  # uint8; None: the video is bad, and left out
    label: Label
    number: int  # of the sample whose clip this is
    bad: tuple[BadVideo, ...]

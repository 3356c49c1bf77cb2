"""Videos that cannot be used: each one named, counted, and never passed over in silence."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from vivit_lab.video.opening import VideoError

SHOWN = 10  # files that an error lists before it says "and so many more"


class BadVideo(NamedTuple):
    """What became of one video that could not be used.

    >>> print(BadVideo(0, 7, "/videos/a.mp4: the file is empty (0 bytes).", replaced_by=31))
    epoch 0, sample 7: /videos/a.mp4: the file is empty (0 bytes). Sample 31 takes its place.
    """

    epoch: int
    number: int  # of the sample that was asked for
    reason: str  # begins with the file's name
    replaced_by: int | None  # number of the sample in its place; None: it was left out

    def __str__(self) -> str:
        outcome = "It is left out."
        if self.replaced_by is not None:
            outcome = f"Sample {self.replaced_by} takes its place."
        return f"epoch {self.epoch}, sample {self.number}: {self.reason} {outcome}"


class BadVideoWarning(UserWarning):
    """A video could not be used; the message names it, the reason, and what became of its sample.

    >>> BadVideoWarning("epoch 0, sample 7: a.mp4: the file is empty. It is left out.")
    BadVideoWarning('epoch 0, sample 7: a.mp4: the file is empty. It is left out.')
    """


class TooManyBadVideos(VideoError):
    """More videos than `max_bad` allows cannot be used. The message names them, with reasons.

    >>> raise TooManyBadVideos("1 of 20 videos cannot be used, and max_bad allows none.")
    Traceback (most recent call last):
    vivit_lab.data.bad_videos.TooManyBadVideos: 1 of 20 videos cannot be used, and max_bad allows \
none.
    """


def allowed(max_bad: int | float, count: int) -> int:
    """How many of `count` videos may be bad: `max_bad` itself if whole, else that share of them.

    A share is rounded up. Raises TypeError or ValueError for anything but a whole number of at
    least 0 or a share below 1.

    >>> allowed(3, 1000), allowed(0.01, 1000), allowed(0.01, 20), allowed(0, 20)
    (3, 10, 1, 0)
    """
    if isinstance(max_bad, bool) or not isinstance(max_bad, (int, float)):
        raise TypeError(
            f"max_bad is {max_bad!r}, but must be a number of videos, such as 10, or a share of "
            "the data set, such as 0.01."
        )
    if isinstance(max_bad, int):
        if max_bad < 0:
            raise ValueError(f"max_bad is {max_bad}, but must be at least 0, which allows none.")
        return max_bad
    if not 0 <= max_bad < 1:
        raise ValueError(
            f"max_bad is {max_bad}, but as a share of the data set must be at least 0 and below 1; "
            "for a number of videos give a whole number, such as 10."
        )
    return math.ceil(max_bad * count)


def check_limit(reasons: Mapping[int, str], limit: int, count: int | None, source: object) -> None:
    """Raise TooManyBadVideos if there are more `reasons` (by sample number) than `limit`.

    count: samples in the data set, None if unknown. source: where its list came from.

    >>> check_limit({4: "a.mp4: the file is empty (0 bytes)."}, limit=0, count=20, source="l.csv")
    Traceback (most recent call last):
    vivit_lab.data.bad_videos.TooManyBadVideos: 1 of 20 videos cannot be used, and max_bad \
allows 0:
      a.mp4: the file is empty (0 bytes).
    To find them all: python -m vivit_lab check l.csv
    """
    if len(reasons) <= limit:
        return
    of = f" of {count:,}" if count is not None else ""
    raise TooManyBadVideos(
        f"{len(reasons):,}{of} videos cannot be used, and max_bad allows {limit:,}:\n"
        f"{listed(reasons.values())}\n"
        f"To find them all: python -m vivit_lab check {source or 'PATH'}"
    )


def listed(reasons: Iterable[str]) -> str:
    """One line for each of the first reasons, and how many more there are.

    >>> print(listed(["a.mp4: empty.", "b.mp4: no such file."]))
      a.mp4: empty.
      b.mp4: no such file.
    """
    reasons = list(reasons)
    lines = [f"  {reason}" for reason in reasons[:SHOWN]]
    if len(reasons) > SHOWN:
        lines.append(f"  and {len(reasons) - SHOWN:,} more")
    return "\n".join(lines)


class ShardError(Exception):
    """A shard that cannot be read or written. The message names it, the sample, and the reason.

    >>> raise ShardError("000003.tar: it is cut short after 17 of 100 samples.")
    Traceback (most recent call last):
    vivit_lab.data.bad_videos.ShardError: 000003.tar: it is cut short after 17 of 100 samples.
    """

"""The seconds at which the frames of a video are shown: how long it lasts, what is on show when.

`times` are float64 seconds, (N,), never falling. Seconds count from the first frame.
"""

import math

import numpy as np

ROUNDING = 0.0011  # seconds: containers that write milliseconds round two times apart by 1 ms


def frames_between(
    times: np.ndarray, start: float | None = None, end: float | None = None
) -> tuple[int, int]:
    """The frames on show from `start` to `end`: (first, stop), for `times[first:stop]`.

    start, end: seconds since the first frame; None is the beginning, the end of the video. `first`
    is on show at `start`; the frame that appears at `end` is left out. At least one frame.
    Raises ValueError if the segment is empty or reaches more than one frame beyond the video;
    the sentence gives the video's real length.

    >>> frames_between(np.arange(250) / 25, start=2.0, end=4.0)
    (50, 100)
    """
    times = checked_times(times)
    length, gap = duration(times), typical_gap(times)
    start = 0.0 if start is None else _seconds("start", start)
    end = length if end is None else _seconds("end", end)
    if start >= length or end > length + gap + ROUNDING:
        raise ValueError(
            f"The segment from {start:g} to {end:g} s lies beyond the video, "
            f"which lasts {length:.6g} s."
        )
    if end <= start:
        raise ValueError(
            f"The segment from {start:g} to {end:g} s ends before it has begun; end must be above "
            f"start, and at most {length:.6g}, the length of the video in seconds."
        )
    first = int(on_show(times, np.array(start)))
    stop = int(np.searchsorted(times, times[0] + end - slack(times), side="left"))
    return first, max(stop, first + 1)


def duration(times: np.ndarray) -> float:
    """Seconds from the first frame to the end of the last, which lasts as long as is typical.

    >>> duration(np.array([0.0, 0.5, 1.0, 1.5]))
    2.0
    """
    return float(times[-1] - times[0]) + typical_gap(times)


def typical_gap(times: np.ndarray) -> float:
    """Seconds from one frame to the next: the median; 1/25 where there is none, or it is 0.

    >>> typical_gap(np.array([0.0, 0.5, 1.0, 5.0]))
    0.5
    """
    return float(np.median(np.diff(times)) if len(times) > 1 else 0) or 0.04


def checked_times(times: np.ndarray) -> np.ndarray:
    """`times` as float64 (N,); raises ValueError unless they are finite and never fall.

    >>> checked_times([0.0, 0.04, 0.02])
    Traceback (most recent call last):
    ValueError: times must never fall, but frame 2 is shown at 0.02 s, after frame 1 at 0.04 s.
    """
    times = np.asarray(times, dtype=np.float64)
    if times.ndim != 1 or len(times) == 0:
        raise ValueError(
            f"times has the shape {times.shape}, but must be (N,): one second for each frame of "
            "the video, and at least one frame."
        )
    if not np.isfinite(times).all():
        frame = int(np.flatnonzero(~np.isfinite(times))[0])
        raise ValueError(f"times must be finite, but that of frame {frame} is {times[frame]}.")
    fall = np.flatnonzero(times[1:] < times[:-1])
    if len(fall):
        frame = int(fall[0]) + 1
        raise ValueError(
            f"times must never fall, but frame {frame} is shown at {times[frame]:g} s, after frame "
            f"{frame - 1} at {times[frame - 1]:g} s."
        )
    return times


def on_show(times: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Of each second since the first frame, the frame on show then: int64, the same shape."""
    after = np.searchsorted(times, times[0] + seconds + slack(times), side="right")
    return np.clip(after - 1, 0, len(times) - 1).astype(np.int64)


def slack(times: np.ndarray) -> float:
    """Seconds by which two equal times may differ; a quarter of a frame where frames are short."""
    return min(ROUNDING, typical_gap(times) / 4)


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise TypeError(f"{name} is {value!r}, but must be seconds, or None.")
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value}, but must be at least 0 seconds, and finite.")
    return float(value)

"""Which frames make a clip, given the second at which each frame of the video is shown.

Four ways, one face: `train(times, random)` draws one clip, `test(times, clips)` spreads several.

    ByFrame    every stride-th frame (ViViT)
    ByTime     so many frames a second, whatever the file's rate, even one that varies
    BySpan     evenly spread over a span of seconds, as SlowFast's code does it
    BySegment  one frame of each of N equal parts of the whole video (TSN; Something-Something)

`times` are float64 seconds, (N,), never falling; the numbers that come back index `times`. For a
trimmed segment give `times[first:stop]`, with (first, stop) from `frames_between`.
"""

import math
from dataclasses import dataclass

import numpy as np

from vivit_lab.errors import one_of, whole
from vivit_lab.video.frame_times import (
    checked_times,
    duration,
    frames_between,
    on_show,
    slack,
)
from vivit_lab.video.sampling import SHORT_VIDEO, generator, span_frames, test_clips, train_clip

__all__ = ["ByFrame", "BySegment", "BySpan", "ByTime", "frames_between"]


@dataclass(frozen=True)
class ByFrame:
    """Every stride-th frame, counted in frames, as in the paper; `train_clip` and `test_clips`.

    A file of 60 frames a second gives a clip of half as many seconds as one of 30.
    Raises TypeError or ValueError on construction for an illegal setting, and when used for a
    video that is too short if short="error". Source: section 4.1, and the official code.

    >>> ByFrame(clip_frames=4, stride=2).test(np.arange(100) / 25, clips=2)
    array([[ 0,  2,  4,  6],
           [92, 94, 96, 98]])
    """

    clip_frames: int = 32
    stride: int = 2  # frames from one to the next
    short: str = "loop"  # a video shorter than the clip: "loop", "hold" its last frame, "error"

    def __post_init__(self) -> None:
        span_frames(self.clip_frames, self.stride)
        one_of("short", self.short, SHORT_VIDEO)

    def train(self, times: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """One random clip: int64 (clip_frames,). Each draw takes from `random`.

        Source: DMVR's `sample_sequence`, which the official code calls.

        >>> ByFrame(4, 2).train(np.arange(100) / 25, np.random.default_rng(0))
        array([79, 81, 83, 85])
        """
        count = len(checked_times(times))
        return train_clip(count, self.clip_frames, self.stride, random, self.short)

    def test(self, times: np.ndarray, clips: int = 4) -> np.ndarray:
        """Evenly spread clips, first to last: int64 (clips, clip_frames). Source: section 4.1.

        >>> ByFrame(2, 2).test(np.arange(100) / 25, clips=3)
        array([[ 0,  2],
               [48, 50],
               [96, 98]])
        """
        count = len(checked_times(times))
        return test_clips(count, clips, self.clip_frames, self.stride, self.short)


@dataclass(frozen=True)
class ByTime:
    """So many frames a second, whatever the file's own rate: always the same pace.

    For each second wanted it takes the frame on show then: the last one with time <= second (a
    millisecond, by which containers round, counts as equal). A file slower than that shows some
    frames twice. At a constant rate of frames_per_second * stride it is `ByFrame`.
    The paper's 32 x 2 at 25 frames a second are 12.5 a second.
    Raises TypeError or ValueError on construction for an illegal setting, and when used for a
    video that is too short if short="error". Source: our own; the pace is that of section 4.1.

    >>> times = np.array([0.0, 0.1, 0.2, 1.0, 1.1, 1.2])  # a file that stands still for 0.8 s
    >>> ByTime(clip_frames=5, frames_per_second=4).test(times, clips=1)
    array([[0, 2, 2, 2, 3]])
    """

    clip_frames: int = 32
    frames_per_second: float = 12.5  # of the clip
    short: str = "loop"  # a video shorter than the clip: "loop", "hold" its last frame, "error"

    def __post_init__(self) -> None:
        whole("clip_frames", self.clip_frames)
        _above_zero("frames_per_second", self.frames_per_second)
        one_of("short", self.short, SHORT_VIDEO)

    def train(self, times: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """One clip that starts at a random second: int64 (clip_frames,).

        The start is uniform over all seconds from which the clip ends within the video.

        >>> ByTime(4, 12.5).train(np.arange(100) / 25, np.random.default_rng(0))
        array([59, 61, 63, 65])
        """
        times = checked_times(times)
        room = duration(times) - (self.clip_frames - 1) / self.frames_per_second
        start = max(generator(random).random() * room - slack(times), 0)  # on_show adds the slack
        return self._clips(times, np.array([start]))[0]

    def test(self, times: np.ndarray, clips: int = 4) -> np.ndarray:
        """Clips that start at evenly spread seconds, first to last: int64 (clips, clip_frames).

        >>> ByTime(2, 12.5).test(np.arange(100) / 25, clips=3)
        array([[ 0,  2],
               [48, 50],
               [96, 98]])
        """
        whole("clips", clips)
        times = checked_times(times)
        room = max(duration(times) - self.clip_frames / self.frames_per_second, 0)
        return self._clips(times, room * np.arange(clips) / max(clips - 1, 1))

    def _clips(self, times: np.ndarray, starts: np.ndarray) -> np.ndarray:
        wanted = starts[:, None] + np.arange(self.clip_frames) / self.frames_per_second
        length, close = duration(times), slack(times)
        if wanted[0, -1] - starts[0] >= length - close:  # short: every start is 0
            if self.short == "error":
                raise ValueError(self._too_short(length))
            if self.short == "loop":
                wanted = (wanted + close) % length - close
        return on_show(times, wanted)  # past the end: the last frame, which is still on show

    def _too_short(self, length: float) -> str:
        fits = math.ceil(length * self.frames_per_second - 1e-9)
        return (
            f"The video lasts {length:.4g} s, but {self.clip_frames} frames at "
            f"{self.frames_per_second:g} a second reach to "
            f"{(self.clip_frames - 1) / self.frames_per_second:.4g} s. Take at most "
            f'{max(fits, 1)} frames, or short="loop".'
        )


@dataclass(frozen=True)
class BySpan:
    """Evenly spread over a span of seconds, as SlowFast's code does it, with fractions cut off.

    The span is clip_frames * stride frames of a file of frames_per_second, so its seconds are the
    same for every file. The gaps are (span - 1) / (clip_frames - 1): a little more than the stride,
    and so not all equal. A video shorter than the span holds its last frame.
    SlowFast 8x8 takes 32 frames at stride 2 for its fast pathway, every fourth of them for the slow
    one, and is tested with 10 clips x 3 crops of 256. jitter: in training the rate is drawn from
    frames_per_second to that much more, which makes the span shorter; 0 in their configurations.
    Raises TypeError or ValueError on construction for an illegal setting.
    Source: SlowFast (Feichtenhofer et al. 2019), section 4; its code's `get_start_end_idx` and
    `temporal_sampling`, in which test clips start at k / clips of the room, so none ends the video.

    >>> BySpan(clip_frames=5, stride=4).test(np.arange(300) / 30, clips=2)
    array([[  0,   4,   9,  14,  19],
           [140, 144, 149, 154, 159]])
    """

    clip_frames: int = 32
    stride: int = 2  # frames of a file of frames_per_second
    frames_per_second: float = 30.0
    jitter: float = 0.0  # frames a second, of training

    def __post_init__(self) -> None:
        span_frames(self.clip_frames, self.stride)
        _above_zero("frames_per_second", self.frames_per_second)
        if self.jitter != 0:
            _above_zero("jitter", self.jitter)

    def train(self, times: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """A random clip, which may start between two frames: int64 (clip_frames,).

        >>> BySpan(4, 2).train(np.arange(300) / 30, np.random.default_rng(0))
        array([78, 81, 83, 85])
        """
        times, random = checked_times(times), generator(random)
        span = self._span(times, self.frames_per_second + self.jitter * random.random())
        start = random.random() * max(len(times) - span, 0)
        return self._clips(times, np.array([start]), span)[0]

    def test(self, times: np.ndarray, clips: int = 10) -> np.ndarray:
        """Evenly spread clips, the first at the start of the video: int64 (clips, clip_frames).

        >>> BySpan().test(np.arange(300) / 30, clips=10)[:, 0]
        array([  0,  23,  47,  70,  94, 118, 141, 165, 188, 212])
        """
        whole("clips", clips)
        times = checked_times(times)
        span = self._span(times, self.frames_per_second)
        return self._clips(times, max(len(times) - span, 0) * np.arange(clips) / clips, span)

    def _span(self, times: np.ndarray, frames_per_second: float) -> float:
        """In frames of this file."""
        rate = len(times) / duration(times)
        return max(self.clip_frames * self.stride * rate / frames_per_second, 1)

    def _clips(self, times: np.ndarray, starts: np.ndarray, span: float) -> np.ndarray:
        wanted = starts[:, None] + np.linspace(0, span - 1, self.clip_frames)
        return np.clip(wanted + 0.01, 0, len(times) - 1).astype(np.int64)  # 0.01: for rounding


@dataclass(frozen=True)
class BySegment:
    """One frame of each of `clip_frames` equal parts of the whole video, however long it is.

    Part i is the frames from i * N // parts to (i + 1) * N // parts: each frame lies in one part,
    and the parts differ by at most one frame. A video with fewer frames than parts shows each frame
    several times, in order. The clip spans the video, so its pace differs from video to video.
    Raises TypeError or ValueError on construction for an illegal setting.
    Source: TSN (Wang et al. 2016), section 3.1; usual for Something-Something.

    >>> BySegment(clip_frames=4).test(np.arange(40) / 12, clips=1)
    array([[ 5, 15, 25, 35]])
    """

    clip_frames: int = 16  # and so the number of parts

    def __post_init__(self) -> None:
        whole("clip_frames", self.clip_frames)

    def train(self, times: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """A random frame of each part: int64 (clip_frames,), never falling.

        >>> BySegment(4).train(np.arange(40) / 12, np.random.default_rng(0))
        array([ 8, 16, 25, 32])
        """
        first, size = self._parts(times)
        return first + generator(random).integers(size)

    def test(self, times: np.ndarray, clips: int = 1) -> np.ndarray:
        """The middle frame of each part: int64 (clips, clip_frames).

        More clips take frames evenly spread over the part: of 10 frames, two clips take 2 and 7.

        >>> BySegment(2).test(np.arange(20) / 12, clips=2)
        array([[ 2, 12],
               [ 7, 17]])
        """
        whole("clips", clips)
        first, size = self._parts(times)
        return first + (2 * np.arange(clips)[:, None] + 1) * size // (2 * clips)

    def _parts(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = len(checked_times(times))
        bounds = np.arange(self.clip_frames + 1, dtype=np.int64) * count // self.clip_frames
        return bounds[:-1], np.maximum(np.diff(bounds), 1)


def _above_zero(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise TypeError(f"{name} is {value!r}, but must be a number above 0.")
    if not 0 < value < math.inf:
        raise ValueError(f"{name} is {value}, but must be above 0; most videos have 24 to 60.")

"""Which frames, and which crops: arithmetic on NumPy alone. `train_clip` and `test_clips` count
frames, as the paper does; `ByFrame`, `ByTime`, `BySpan` and `BySegment` have one face, given the
second at which each frame is shown (float64 (N,), never falling): `train(times, random)` draws one
clip, `test(times, clips)` spreads several; the numbers that come back index `times`."""

import math
import numbers
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vivit_lab.errors import one_of, takes_plain, whole

SHORT_VIDEO = ("loop", "hold", "error")
ROUNDING = 0.0011  # seconds: containers that write milliseconds round two times apart by 1 ms


@takes_plain
def span_frames(clip_frames: int = 32, stride: int = 2) -> int:
    """Frames of the video that a clip stands for: clip_frames * stride (paper: 32 * 2 = 64).

    A clip that starts at frame 0 ends at frame (clip_frames - 1) * stride, in the paper's case 62.
    Raises TypeError or ValueError unless both are whole numbers of at least 1. Source: section 4.1.

    >>> span_frames(32, 2)
    64
    """
    whole("clip_frames", clip_frames)
    whole("stride", stride)
    return clip_frames * stride


@takes_plain
def span_seconds(clip_frames: int, stride: int, fps: float) -> float:
    """Seconds of video that a clip stands for: span_frames / fps, with fps in frames a second.

    Raises ValueError unless fps is above 0. Source: section 4.1.

    >>> span_seconds(32, 2, fps=25)
    2.56
    """
    positive("fps", fps)
    return span_frames(clip_frames, stride) / fps


def train_clip(
    num_frames: int,
    clip_frames: int = 32,
    stride: int = 2,
    seed: int | np.random.Generator = 0,
    short: str = "loop",
) -> np.ndarray:
    """Frame numbers of one random training clip: int64, shape (clip_frames,).

    The start is uniform in [0, max(num_frames - (clip_frames - 1) * stride, 1)). A NumPy
    Generator as `seed` gives another clip with each call, a whole number the same each time.
    A video shorter than the clip starts again with short="loop" (as in the official code), repeats
    its last frame with "hold", and raises ValueError with "error".
    Raises TypeError or ValueError for sizes that are no whole numbers of at least 1.
    Source: section 4.1, and DMVR's `sample_sequence`, which the official code calls.

    >>> train_clip(300, clip_frames=8, stride=2, seed=0)
    array([243, 245, 247, 249, 251, 253, 255, 257])
    """
    _check(num_frames, clip_frames, stride, short)
    starts = max(num_frames - (clip_frames - 1) * stride, 1)
    start = _generator(seed).integers(starts)
    return _fit(start + stride * np.arange(clip_frames, dtype=np.int64), num_frames, short)


def test_clips(
    num_frames: int,
    clips: int = 4,
    clip_frames: int = 32,
    stride: int = 2,
    short: str = "loop",
) -> np.ndarray:
    """Frame numbers of evenly spread test clips: int64, shape (clips, clip_frames).

    The starts are int(linspace(0, max(0, num_frames - clip_frames * stride), clips)), worked out
    in whole numbers. `short` as in `train_clip`.
    Raises TypeError or ValueError for sizes that are no whole numbers of at least 1.
    Source: section 4.1 (4 clips x 3 crops = 12 views).

    >>> test_clips(300, clips=4, clip_frames=32, stride=2)[:, 0]
    array([  0,  78, 157, 236])
    """
    _check(num_frames, clip_frames, stride, short)
    whole("clips", clips)
    room = max(0, num_frames - span_frames(clip_frames, stride))
    starts = room * np.arange(clips, dtype=np.int64) // max(clips - 1, 1)
    offsets = stride * np.arange(clip_frames, dtype=np.int64)
    return _fit(starts[:, None] + offsets, num_frames, short)  # (clips, clip_frames)


test_clips.__test__ = False  # pytest: the name is the paper's word, this is no test


def _check(num_frames: int, clip_frames: int, stride: int, short: str) -> None:
    whole("num_frames", num_frames)
    span_frames(clip_frames, stride)
    one_of("short", short, SHORT_VIDEO)
    needed = (clip_frames - 1) * stride + 1
    if short == "error" and num_frames < needed:
        raise ValueError(
            f"The video has {num_frames} frames, but {clip_frames} frames at stride {stride} need "
            f'{needed}. Take at most {(num_frames - 1) // stride + 1} frames, or short="loop".'
        )


def _fit(indices: np.ndarray, num_frames: int, short: str) -> np.ndarray:
    return np.minimum(indices, num_frames - 1) if short == "hold" else indices % num_frames


def _generator(seed: int | np.random.Generator) -> np.random.Generator:
    """A Generator as it is, a whole number as a fresh one."""
    if isinstance(seed, np.random.Generator):
        return seed
    whole("seed", seed, least=0)
    return np.random.default_rng(seed)


@takes_plain
@dataclass(frozen=True)
class ByFrame:
    """Every stride-th frame, counted in frames, as in the paper: `train_clip` and `test_clips`.

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
        """One random clip: int64 (clip_frames,). Each draw takes from `random`."""
        count = len(checked_times(times))
        return train_clip(count, self.clip_frames, self.stride, random, self.short)

    def test(self, times: np.ndarray, clips: int = 4) -> np.ndarray:
        """Evenly spread clips, first to last: int64 (clips, clip_frames)."""
        count = len(checked_times(times))
        return test_clips(count, clips, self.clip_frames, self.stride, self.short)


@takes_plain
@dataclass(frozen=True)
class ByTime:
    """So many frames a second, whatever the file's own rate: always the same pace.

    For each second wanted it takes the frame on show then: the last one with time <= second (a
    millisecond, by which containers round, counts as equal). The paper's 32 x 2 at 25 frames a
    second are 12.5 a second. Raises TypeError or ValueError on construction for an illegal setting,
    and when used for a video that is too short if short="error". Source: our own.

    >>> times = np.array([0.0, 0.1, 0.2, 1.0, 1.1, 1.2])  # a file that stands still for 0.8 s
    >>> ByTime(clip_frames=5, frames_per_second=4).test(times, clips=1)
    array([[0, 2, 2, 2, 3]])
    """

    clip_frames: int = 32
    frames_per_second: float = 12.5  # of the clip
    short: str = "loop"  # a video shorter than the clip: "loop", "hold" its last frame, "error"

    def __post_init__(self) -> None:
        whole("clip_frames", self.clip_frames)
        positive("frames_per_second", self.frames_per_second)
        one_of("short", self.short, SHORT_VIDEO)

    def train(self, times: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """One clip, from any second from which it ends within the video: int64 (clip_frames,)."""
        times = checked_times(times)
        room = duration(times) - (self.clip_frames - 1) / self.frames_per_second
        start = max(_generator(random).random() * room - _slack(times), 0)  # _on_show adds it
        return self._clips(times, np.array([start]))[0]

    def test(self, times: np.ndarray, clips: int = 4) -> np.ndarray:
        """Clips that start at evenly spread seconds, first to last: int64 (clips, clip_frames)."""
        whole("clips", clips)
        times = checked_times(times)
        room = max(duration(times) - self.clip_frames / self.frames_per_second, 0)
        return self._clips(times, room * np.arange(clips) / max(clips - 1, 1))

    def _clips(self, times: np.ndarray, starts: np.ndarray) -> np.ndarray:
        wanted = starts[:, None] + np.arange(self.clip_frames) / self.frames_per_second
        length, close = duration(times), _slack(times)
        if wanted[0, -1] - starts[0] >= length - close:  # short: every start is 0
            if self.short == "error":
                fits = max(math.ceil(length * self.frames_per_second - 1e-9), 1)
                asked = f"{self.clip_frames} frames at {self.frames_per_second:g} a second"
                raise ValueError(
                    f"The video lasts {length:.4g} s, but {asked} take longer. Take at most "
                    f'{fits} frames, or short="loop".'
                )
            if self.short == "loop":
                wanted = (wanted + close) % length - close
        return _on_show(times, wanted)  # past the end: the last frame, which is still on show


@takes_plain
@dataclass(frozen=True)
class BySpan:
    """Evenly spread over a span of seconds, as SlowFast's code does it, with fractions cut off.

    The span is clip_frames * stride frames of a file of frames_per_second, so its seconds are the
    same for every file; the gaps are a little more than the stride, and so not all equal. A video
    shorter than the span holds its last frame. jitter: in training the rate is drawn from
    frames_per_second to that much more, which makes the span shorter.
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
        positive("frames_per_second", self.frames_per_second)
        positive("jitter", self.jitter, or_zero=True)

    def train(self, times: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """A random clip, which may start between two frames: int64 (clip_frames,)."""
        times, random = checked_times(times), _generator(random)
        span = self._span(times, self.frames_per_second + self.jitter * random.random())
        start = random.random() * max(len(times) - span, 0)
        return self._clips(times, np.array([start]), span)[0]

    def test(self, times: np.ndarray, clips: int = 10) -> np.ndarray:
        """Evenly spread clips, the first at the start of the video: int64 (clips, clip_frames)."""
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


@takes_plain
@dataclass(frozen=True)
class BySegment:
    """One frame of each of `clip_frames` equal parts of the whole video, however long it is.

    Part i is the frames from i * N // parts to (i + 1) * N // parts. A video with fewer frames than
    parts shows each frame several times, in order.
    Raises TypeError or ValueError on construction for an illegal setting.
    Source: TSN (Wang et al. 2016), section 3.1; usual for Something-Something.

    >>> BySegment(clip_frames=4).test(np.arange(40) / 12, clips=1)
    array([[ 5, 15, 25, 35]])
    """

    clip_frames: int = 16  # and so the number of parts
    frame: str = "middle"  # of each part, in testing; "first": as transformers' video processors

    def __post_init__(self) -> None:
        whole("clip_frames", self.clip_frames)
        one_of("frame", self.frame, ("middle", "first"))

    def train(self, times: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """A random frame of each part: int64 (clip_frames,), never falling."""
        first, size = self._parts(times)
        return first + _generator(random).integers(size)

    def test(self, times: np.ndarray, clips: int = 1) -> np.ndarray:
        """The middle frame of each part: int64 (clips, clip_frames). More clips take frames evenly
        spread over the part: of 10 frames, two clips take 2 and 7 (with frame="first" 0 and 5)."""
        whole("clips", clips)
        first, size = self._parts(times)
        return first + (2 * np.arange(clips)[:, None] + (self.frame == "middle")) * size // (
            2 * clips
        )

    def _parts(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First frame and number of frames of each part."""
        count = len(checked_times(times))
        bounds = np.arange(self.clip_frames + 1, dtype=np.int64) * count // self.clip_frames
        return bounds[:-1], np.maximum(np.diff(bounds), 1)


def positive(name: str, value: object, or_zero: bool = False) -> None:
    rule = "a number of at least 0" if or_zero else "a number above 0"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r}, but must be {rule}.")
    if not 0 <= value < math.inf or value == 0 and not or_zero:
        raise ValueError(f"{name} is {value}, but must be {rule}.")


# --- the seconds at which frames are shown, counted from the first ---


def frames_between(
    times: np.ndarray, start: float | None = None, end: float | None = None
) -> tuple[int, int]:
    """The frames on show from `start` to `end`: (first, stop), for `times[first:stop]`.

    start, end: seconds since the first frame; None is the beginning, the end of the video. `first`
    is on show at `start`; the frame that appears at `end` is left out. At least one frame.
    Raises ValueError if the segment is empty or reaches more than one frame beyond the video.

    >>> frames_between(np.arange(250) / 25, start=2.0, end=4.0)
    (50, 100)
    """
    times = checked_times(times)
    length, gap = duration(times), _typical_gap(times)
    start, end = 0.0 if start is None else start, length if end is None else end
    positive("start, in seconds,", start, or_zero=True)
    positive("end, in seconds,", end, or_zero=True)
    if start >= length or end > length + gap + ROUNDING or end <= start:
        raise ValueError(
            f"The segment from {start:g} to {end:g} s ends before it starts, or is outside of the "
            f"video, which lasts {length:.6g} s."
        )
    first = int(_on_show(times, np.array(start)))
    stop = int(np.searchsorted(times, times[0] + end - _slack(times), side="left"))
    return first, max(stop, first + 1)


def duration(times: np.ndarray) -> float:
    """Seconds from the first frame to the end of the last, which lasts as long as is typical."""
    return float(times[-1] - times[0]) + _typical_gap(times)


def _typical_gap(times: np.ndarray) -> float:
    """Seconds from one frame to the next: the median; 1/25 where there is none, or it is 0."""
    return float(np.median(np.diff(times)) if len(times) > 1 else 0) or 0.04


def checked_times(times: np.ndarray) -> np.ndarray:
    """`times` as float64 (N,); raises ValueError unless they are finite and never fall."""
    times = np.asarray(times, dtype=np.float64)
    if times.ndim != 1 or len(times) == 0:
        raise ValueError(
            f"times has the shape {times.shape}, but must be (N,): one second for each frame of "
            "the video, and at least one frame."
        )
    fits = np.isfinite(times) & np.append(True, times[1:] >= times[:-1])
    if not fits.all():
        frame = int(np.argmin(fits))
        raise ValueError(
            f"times must be finite and never fall, but frame {frame} is shown at {times[frame]:g} "
            f"s, after {times[max(frame - 1, 0)]:g} s."
        )
    return times


def _on_show(times: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Of each second since the first frame, the frame on show then: int64, the same shape."""
    after = np.searchsorted(times, times[0] + seconds + _slack(times), side="right")
    return np.clip(after - 1, 0, len(times) - 1).astype(np.int64)


def _slack(times: np.ndarray) -> float:
    """Seconds by which two equal times may differ; a quarter of a frame where frames are short."""
    return min(ROUNDING, _typical_gap(times) / 4)


# --- sizes and crops ---


@takes_plain
def resized_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) in pixels once the short side is `short_side`, the shape kept.

    The long side is rounded down, as in the official code, and is never below the short side.
    Raises TypeError or ValueError unless all three are whole numbers of at least 1.
    Source: section 4.1 (short side 256).

    >>> resized_size(720, 1280, 256)
    (256, 455)
    """
    for name, value in (("height", height), ("width", width), ("short_side", short_side)):
        whole(name, value)
    if height <= width:
        return short_side, width * short_side // height
    return height * short_side // width, short_side


@takes_plain
def three_crops(height: int, width: int, size: int) -> list[tuple[int, int]]:
    """(top, left) in pixels of three square crops along the longer side.

    Left, centre, right of a landscape or square picture; top, centre, bottom of a portrait one.
    The shorter side is centred; a centre that falls between two pixels takes the later one.
    Raises ValueError if a crop of `size` does not fit. Source: section 4.1 (3 spatial crops).

    >>> three_crops(256, 340, 224)
    [(16, 0), (16, 58), (16, 116)]
    """
    for name, value in (("height", height), ("width", width), ("size", size)):
        whole(name, value)
    if size > min(height, width):
        raise ValueError(
            f"size is {size}, but the picture has {height}x{width} pixels (height x width); the "
            f"largest that fits is {min(height, width)}."
        )
    centre_top, centre_left = math.ceil((height - size) / 2), math.ceil((width - size) / 2)
    if height > width:
        return [(0, centre_left), (centre_top, centre_left), (height - size, centre_left)]
    return [(centre_top, 0), (centre_top, centre_left), (centre_top, width - size)]


# --- what a reader is asked for ---


def checked_numbers(indices: Iterable[int], num_frames: int, name: str) -> list[int]:
    """Frame numbers as a list; TypeError or IndexError names the video and the nearest number."""
    try:
        given = list(indices)
        frames = [operator.index(index) for index in given if not isinstance(index, bool)]
        if len(frames) < len(given):
            raise TypeError
    except TypeError:
        shown, rule = " ".join(str(indices).split())[:60], "a flat list of whole numbers"
        raise TypeError(f"{name}: indices is {shown}, but must be {rule}, as [0, 2, 4].") from None
    for frame in frames:
        if not 0 <= frame < num_frames:
            nearest = min(max(frame, 0), num_frames - 1)
            raise IndexError(
                f"{name}: there is no frame {frame}; frames run from 0 to {num_frames - 1}. "
                f"The nearest is {nearest}."
            )
    return frames


Crop = tuple[int, int, int, int]  # top, left, height, width


def checked_crop(crop: Sequence[int] | None, height: int, width: int) -> Crop:
    """`crop` as (top, left, height, width) in pixels; None is the whole picture."""
    if crop is None:
        return 0, 0, height, width
    if len(crop) != 4:
        raise ValueError(f"crop is {crop}, but must be (top, left, height, width).")
    top, left, crop_height, crop_width = crop
    for side, value in zip(("top", "left", "height", "width"), crop, strict=True):
        whole(f"crop: {side}", value, least=int(side in ("height", "width")))
    if top + crop_height > height or left + crop_width > width:
        fits = min(crop_height, height), min(crop_width, width)
        nearest = (min(top, height - fits[0]), min(left, width - fits[1]), *fits)
        raise ValueError(
            f"crop is {tuple(crop)} (top, left, height, width), but must lie within the picture of "
            f"{height}x{width} (height x width); the nearest that does is {nearest}."
        )
    return top, left, crop_height, crop_width

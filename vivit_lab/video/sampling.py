"""Which frames, and which crops: whole-number arithmetic on NumPy alone, no video needed."""

import math
import operator
from collections.abc import Iterable, Sequence

import numpy as np

from vivit_lab.errors import one_of, whole

CROP = ("top", "left", "height", "width")
SHORT_VIDEO = ("loop", "hold", "error")


def span_frames(clip_frames: int = 32, stride: int = 2) -> int:
    """Frames of the video that a clip stands for: clip_frames * stride (paper: 32 * 2 = 64).

    The last of these frames is skipped when stride > 1: a clip that starts at frame 0 ends at
    frame (clip_frames - 1) * stride, which is 62 in the paper's case.
    Raises TypeError or ValueError unless both are whole numbers of at least 1.
    Source: section 4.1 (32 frames, stride 2).

    >>> span_frames(32, 2)
    64
    """
    whole("clip_frames", clip_frames)
    whole("stride", stride)
    return clip_frames * stride


def span_seconds(clip_frames: int, stride: int, fps: float) -> float:
    """Seconds of video that a clip stands for: span_frames / fps, with fps in frames a second.

    Raises ValueError unless fps is above 0. Source: section 4.1.

    >>> span_seconds(32, 2, fps=25)
    2.56
    """
    if not fps > 0:
        raise ValueError(f"fps is {fps}, but must be above 0; most videos have 24 to 60.")
    return span_frames(clip_frames, stride) / fps


def train_clip(
    num_frames: int,
    clip_frames: int = 32,
    stride: int = 2,
    seed: int | np.random.Generator = 0,
    short: str = "loop",
) -> np.ndarray:
    """Frame numbers of one random training clip: int64, shape (clip_frames,).

    The start is uniform in [0, max(num_frames - (clip_frames - 1) * stride, 1)); the clip is
    start, start + stride, start + 2 * stride, ... Give a NumPy Generator as `seed` to draw
    another clip with each call; a whole number gives the same clip each time.

    `short` says what a video shorter than the clip does: "loop" starts it again (as the official
    code), "hold" repeats its last frame, "error" raises ValueError.
    Raises TypeError or ValueError for sizes that are no whole numbers of at least 1.
    Source: section 4.1, and DMVR's `sample_sequence`, which the official code calls.

    >>> train_clip(300, clip_frames=8, stride=2, seed=0)
    array([243, 245, 247, 249, 251, 253, 255, 257])
    """
    _check(num_frames, clip_frames, stride, short)
    starts = max(num_frames - (clip_frames - 1) * stride, 1)
    start = generator(seed).integers(starts)
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
    in whole numbers, so that no rounding can move one. `short` as in `train_clip`; a video with
    no room to move in gives the same clip `clips` times.
    Raises TypeError or ValueError for sizes that are no whole numbers of at least 1.
    Source: section 4.1 (4 clips x 3 crops = 12 views).

    >>> test_clips(300, clips=4, clip_frames=32, stride=2)[:, 0]
    array([  0,  78, 157, 236])
    """
    _check(num_frames, clip_frames, stride, short)
    whole("clips", clips)
    room = max(0, num_frames - span_frames(clip_frames, stride))
    starts = np.array([room * k // max(clips - 1, 1) for k in range(clips)], dtype=np.int64)
    offsets = stride * np.arange(clip_frames, dtype=np.int64)
    return _fit(starts[:, None] + offsets, num_frames, short)  # (clips, clip_frames)


test_clips.__test__ = False  # pytest: the name is the paper's word, this is no test


def resized_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) in pixels once the short side is `short_side`, the shape kept.

    The long side is rounded down, as in the official code, and is never below the short side.
    Raises TypeError or ValueError unless all three are whole numbers of at least 1.
    Source: section 4.1 (short side 256).

    >>> resized_size(720, 1280, 256)
    (256, 455)
    """
    whole("height", height)
    whole("width", width)
    whole("short_side", short_side)
    if height <= width:
        return short_side, width * short_side // height
    return height * short_side // width, short_side


def checked_numbers(indices: Iterable[int], num_frames: int, name: str) -> list[int]:
    """Frame numbers as a list. name: what errors call the video.

    Raises TypeError for what is no flat list of whole numbers, IndexError for a number outside
    0..num_frames - 1, with the nearest.

    >>> checked_numbers(np.array([0, 9, 9]), 10, "clip.mp4")
    [0, 9, 9]
    """
    try:
        given = list(indices)
        if any(isinstance(index, bool) for index in given):
            raise TypeError
        numbers = [operator.index(index) for index in given]
    except TypeError:
        shown = " ".join(str(indices).split())[:60]
        raise TypeError(
            f"{name}: indices is {shown}, but must be a flat list of whole numbers such as "
            "[0, 2, 4]."
        ) from None
    for number in numbers:
        if not 0 <= number < num_frames:
            nearest = min(max(number, 0), num_frames - 1)
            raise IndexError(
                f"{name}: there is no frame {number}; frames run from 0 to {num_frames - 1}. "
                f"The nearest is {nearest}."
            )
    return numbers


def checked_crop(crop: Sequence[int] | None, height: int, width: int) -> tuple[int, int, int, int]:
    """`crop` as (top, left, height, width) in pixels; None is the whole picture.

    Raises ValueError unless it lies within the picture of height x width, TypeError unless it is
    four whole numbers.

    >>> checked_crop((16, 58, 224, 224), 256, 340)
    (16, 58, 224, 224)
    """
    if crop is None:
        return 0, 0, height, width
    if len(crop) != 4:
        raise ValueError(f"crop is {crop}, but must be (top, left, height, width).")
    top, left, crop_height, crop_width = crop
    for name, value, least in zip(CROP, crop, (0, 0, 1, 1), strict=True):
        whole(f"crop: {name}", value, least)
    if top + crop_height > height or left + crop_width > width:
        fits = min(crop_height, height), min(crop_width, width)
        nearest = (min(top, height - fits[0]), min(left, width - fits[1]), *fits)
        raise ValueError(
            f"crop is {tuple(crop)} (top, left, height, width), but must lie within the picture of "
            f"{height}x{width} (height x width); the nearest that does is {nearest}."
        )
    return top, left, crop_height, crop_width


def three_crops(height: int, width: int, size: int) -> list[tuple[int, int]]:
    """(top, left) in pixels of three square crops along the longer side.

    Left, centre, right of a landscape or square picture; top, centre, bottom of a portrait one.
    The shorter side is centred; a centre that falls between two pixels takes the later one.
    Raises ValueError if a crop of `size` does not fit. Source: section 4.1 (3 spatial crops).

    >>> three_crops(256, 340, 224)
    [(16, 0), (16, 58), (16, 116)]
    """
    whole("height", height)
    whole("width", width)
    whole("size", size)
    if size > min(height, width):
        raise ValueError(
            f"size is {size}, but a crop must fit into the picture of {height}x{width} (height x "
            f"width); the largest that fits is {min(height, width)}."
        )
    centre_top, centre_left = math.ceil((height - size) / 2), math.ceil((width - size) / 2)
    if height > width:
        return [(0, centre_left), (centre_top, centre_left), (height - size, centre_left)]
    return [(centre_top, 0), (centre_top, centre_left), (centre_top, width - size)]


def _check(num_frames: int, clip_frames: int, stride: int, short: str) -> None:
    whole("num_frames", num_frames)
    span_frames(clip_frames, stride)
    one_of("short", short, SHORT_VIDEO)
    needed = (clip_frames - 1) * stride + 1
    if short == "error" and num_frames < needed:
        raise ValueError(
            f"The video has {num_frames} frames, but {clip_frames} frames at stride {stride} reach "
            f'over {needed}. Take at most {(num_frames - 1) // stride + 1} frames, or short="loop".'
        )


def _fit(indices: np.ndarray, num_frames: int, short: str) -> np.ndarray:
    return np.minimum(indices, num_frames - 1) if short == "hold" else indices % num_frames


def generator(seed: int | np.random.Generator) -> np.random.Generator:
    """The random numbers to draw from: a Generator as it is, a whole number as a fresh one.

    Raises TypeError or ValueError unless the number is a whole one of at least 0.

    >>> int(generator(7).integers(100)) == int(generator(7).integers(100))
    True
    """
    if isinstance(seed, np.random.Generator):
        return seed
    whole("seed", seed, least=0)
    return np.random.default_rng(seed)

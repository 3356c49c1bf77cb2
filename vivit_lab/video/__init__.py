"""From a file on disk to a uint8 clip (T,C,H,W): which frames, which pixels.

The arithmetic of `sampling` needs NumPy only and is here at once. The reader (PyAV) and the
transforms (torchvision) are fetched when they are first asked for.
"""

from vivit_lab.lazy import fetching
from vivit_lab.video.sampling import (
    ByFrame,
    BySegment,
    BySpan,
    ByTime,
    frames_between,
    resized_size,
    span_frames,
    span_seconds,
    test_clips,
    three_crops,
    train_clip,
)

_FETCHED = {
    "VideoReader": "reader",
    "VideoError": "opening",
    "FrameFolder": "frame_folder",
    "open_source": "frame_folder",
    "TrainTransform": "transforms",
    "TestTransform": "transforms",
    "flip_pairs": "transforms",
    "normalise": "transforms",
    "denormalise": "transforms",
}

__all__ = [
    "ByFrame",
    "BySegment",
    "BySpan",
    "ByTime",
    "FrameFolder",
    "TestTransform",
    "TrainTransform",
    "VideoError",
    "VideoReader",
    "denormalise",
    "flip_pairs",
    "frames_between",
    "normalise",
    "open_source",
    "resized_size",
    "span_frames",
    "span_seconds",
    "test_clips",
    "three_crops",
    "train_clip",
]

__getattr__, __dir__ = fetching(__name__, _FETCHED, __all__)

"""From a file on disk to a uint8 clip (T,C,H,W): which frames, which pixels.

The arithmetic of `sampling` needs NumPy only and is here at once. The reader (PyAV) and the
transforms (torchvision) are fetched when they are first asked for.
"""

import importlib

from vivit_lab.video.clip_sampling import ByFrame, BySegment, BySpan, ByTime, frames_between
from vivit_lab.video.flipping import flip_pairs
from vivit_lab.video.sampling import (
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
    "normalise": "pixels",
    "denormalise": "pixels",
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


def __getattr__(name: str) -> object:
    if name not in _FETCHED:
        raise AttributeError(f"vivit_lab.video has no {name!r}; it has {', '.join(__all__)}.")
    try:
        module = importlib.import_module(f"vivit_lab.video.{_FETCHED[name]}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("av", "torch", "torchvision", "PIL"):
            raise
        raise ImportError(
            f"vivit_lab.video.{name} needs the package {package}, which is not installed here. "
            f"Install it with: pip install {package}"
        ) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)

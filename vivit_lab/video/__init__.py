"""From a file on disk to a uint8 clip (T,C,H,W): which frames, which pixels.

Every name is fetched when it is first asked for: `sampling` needs NumPy only, the reader PyAV, the
transforms torchvision.
"""

from vivit_lab.lazy import fetching

_MODULES = {
    "sampling": "ByFrame BySegment BySpan ByTime frames_between resized_size span_frames "
    "span_seconds test_clips three_crops train_clip",
    "preprocessing": "Preprocessing",
    "opening": "VideoError",
    "reader": "VideoReader open_source",
    "frame_folder": "FrameFolder",
    "transforms": "TestTransform TrainTransform denormalise flip_pairs normalise",
}
_FETCHED = {name: module for module, names in _MODULES.items() for name in names.split()}
__all__ = sorted(_FETCHED)
__getattr__, __dir__ = fetching(__name__, _FETCHED, __all__)

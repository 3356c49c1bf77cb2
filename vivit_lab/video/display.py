"""From a decoded picture to the pixels that are shown: turned, mirrored, scaled, RGB."""

import math

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vivit_lab.video.opening import VideoError


class Display:
    """How a video wants its pictures shown, as its first decoded picture says.

    height, width: pixels as displayed, turned and mirrored. pixel_aspect: width of a pixel / its
    height, as displayed; stated, not applied.
    Raises VideoError for a picture that is to be shown at a slant.

    >>> Display(av.VideoFrame(340, 256, "yuv420p"), pixel_aspect=1.0, name="clip.mp4").width
    340
    """

    def __init__(self, frame: av.VideoFrame, pixel_aspect: float, name: str):
        a, b, c, d = _turn(frame)
        if (a or d) and (b or c):
            raise VideoError(f"{name}: it asks to be shown at a slant, not in quarter turns.")
        self._swap = bool(b or c)  # rows become columns
        self._flip_rows = (b if self._swap else d) < 0
        self._flip_columns = (c if self._swap else a) < 0
        self._coded = (frame.height, frame.width)
        self.height, self.width = self._coded[::-1] if self._swap else self._coded
        self.pixel_aspect = 1 / pixel_aspect if self._swap else pixel_aspect

    def draw(
        self,
        frame: av.VideoFrame,
        size: tuple[int, int],
        crop: tuple[int, int, int, int],
        out: np.ndarray,
        scaler: VideoReformatter,
        name: str,
    ) -> None:
        """Fill `out`, uint8 RGB, with a part of a decoded frame.

        size: (height, width) to which the frame is scaled, as displayed. crop: (top, left, height,
        width) of the part. scaler: kept by the caller, so that its tables are worked out once.
        name: what an error calls the frame.
        Raises VideoError if the frame's size is not that of the first one.

        >>> frame, out = av.VideoFrame(8, 6, "gray"), np.ones((2, 3, 3), np.uint8)
        >>> display = Display(frame, 1.0, "clip.mp4")
        >>> display.draw(frame, (3, 4), (1, 0, 2, 3), out, VideoReformatter(), "frame 0")
        """
        if (frame.height, frame.width) != self._coded:
            raise VideoError(
                f"{name} has {frame.height}x{frame.width} pixels, but the "
                f"video began with {self._coded[0]}x{self._coded[1]}; convert it to one size."
            )
        height, width = size[::-1] if self._swap else size
        # Scaling to an odd width takes FFmpeg twice as long to RGB in one plane as in three.
        planar = width % 2 == 1 and (frame.height, frame.width) != (height, width)
        kind = "gbrp" if planar else "rgb24"
        # one thread: FFmpeg's default, a thread a core, costs more than it brings
        rgb = scaler.reformat(frame, width, height, kind, interpolation="BILINEAR", threads=1)
        if planar:
            for colour, plane in zip((1, 2, 0), rgb.planes, strict=True):  # green, blue, red
                out[..., colour] = self._part(plane, (height, width), crop)
        else:
            out[:] = self._part(rgb.planes[0], (height, width, 3), crop)

    def _part(
        self, plane: av.video.plane.VideoPlane, shape: tuple, crop: tuple[int, int, int, int]
    ) -> np.ndarray:
        """The part of a plane to keep, as displayed. A plane's rows are padded at the end."""
        rows = np.frombuffer(plane, np.uint8).reshape(shape[0], -1)
        picture = rows[:, : math.prod(shape[1:])].reshape(shape)
        if self._swap:
            picture = picture.swapaxes(0, 1)
        if self._flip_rows:
            picture = picture[::-1]
        if self._flip_columns:
            picture = picture[:, ::-1]
        top, left, height, width = crop
        return picture[top : top + height, left : left + width]


def _turn(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """The display matrix takes (x, y) of the picture to (ax + cy, bx + dy) on the screen."""
    matrix = [1, 0, 0, 0, 1, 0, 0, 0, 1]
    for extra in frame.side_data:
        if extra.type.name == "DISPLAYMATRIX":
            matrix = np.frombuffer(extra, np.int32).tolist()
    return matrix[0], matrix[1], matrix[3], matrix[4]

"""A folder of numbered still pictures, read like a video."""

import os
import re
from collections.abc import Iterable
from fnmatch import fnmatch
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from vivit_lab.video.opening import MAX_PIXELS, VideoError
from vivit_lab.video.sampling import Crop, checked_crop, checked_numbers, positive, resized_size

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
NUMBERED = re.compile(r"(.*?)(\d+)(\.\w+)", re.DOTALL)  # prefix, number, extension
WRONG = {
    UnidentifiedImageError: "no picture; copy or extract it again",
    Image.DecompressionBombError: f"over the limit of {MAX_PIXELS:,} pixels; scale it down first",
}
EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # Pillow's modes


class FrameFolder:
    """Numbered pictures `frame_0000000001.jpg`, ... in one folder, with the face of `VideoReader`.

    fps: frames a second, which pictures cannot tell. pattern: which files belong, as in a shell
    ("img_*.jpg"), where a folder holds several series. name: what errors call it, not the path.
    Frame 0 is the picture with the lowest number, which must be 0 or 1, and is shown at 0 s.

    Raises VideoError for what is no such folder, for a gap in the numbers, two series at once, and,
    when it is read, for a picture that is damaged, of another size, or has more than 8 bits a
    channel; TypeError and ValueError for an fps that is no number above 0.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for number in (1, 2, 3):
    ...         Image.new("RGB", (64, 48)).save(f"{folder}/frame_{number:010d}.jpg")
    ...     with FrameFolder(folder, fps=50) as video:
    ...         print(video.num_frames, video.duration, video.read([0, 2], short_side=24).shape)
    3 0.06 torch.Size([2, 3, 24, 32])
    """

    def __init__(
        self, path: str | os.PathLike, fps: float, pattern: str = "*", name: str | None = None
    ):
        positive("fps", fps)
        self._folder, self.name = os.path.abspath(path), name or os.fspath(path)
        try:
            changed = os.stat(self._folder).st_mtime_ns
            self._series = _series(self._folder, pattern, changed)
        except (OSError, ValueError) as error:
            raise VideoError(f"{self.name}: the folder cannot be read: {error}") from None
        self.num_frames, self.fps = self._series.count, float(fps)
        self.duration = self.num_frames / self.fps
        self.times = np.arange(self.num_frames) / self.fps
        self.key_frames = list(range(self.num_frames))
        self.pixel_aspect, self._closed = 1.0, False
        self.height = self.width = None
        self.width, self.height = self._picture(0).size

    def __enter__(self) -> "FrameFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        size = f"{self.height}x{self.width}"
        return f"FrameFolder({self.name!r}: {self.num_frames} frames of {size}, {self.fps:g} fps)"

    def close(self) -> None:
        """Further reading raises VideoError. Closing twice is harmless."""
        self._closed = True

    def read(
        self, indices: Iterable[int], short_side: int | None = None, crop: Crop | None = None
    ) -> torch.Tensor:
        """Frames by number, as `VideoReader.read`: uint8 RGB (N,C=3,H,W)."""
        numbers = checked_numbers(indices, self.num_frames, self.name)
        if self._closed:
            raise VideoError(f"{self.name}: the reader is closed; open the folder again.")
        size = (self.height, self.width)
        if short_side is not None:
            size = resized_size(*size, short_side)
        top, left, height, width = checked_crop(crop, *size)
        out, row_of = np.empty((len(numbers), height, width, 3), np.uint8), {}
        for row, number in enumerate(numbers):
            if number in row_of:
                out[row] = out[row_of[number]]
                continue
            row_of[number], picture = row, self._picture(number)
            if size != (self.height, self.width):
                picture = picture.resize(size[::-1], Image.Resampling.BILINEAR)
            out[row] = np.asarray(picture)[top : top + height, left : left + width]
        return torch.from_numpy(out).permute(0, 3, 1, 2)  # (N,H,W,C) -> (N,C,H,W)

    def _picture(self, number: int) -> Image.Image:
        """Frame `number` as RGB, turned as its EXIF orientation asks."""
        file = self._series.name(self._series.first + number)
        path = os.path.join(self._folder, file)
        try:
            if not os.path.isfile(path):  # a pipe or a device could keep us waiting for ever
                raise VideoError(
                    f"{self.name}: {file} does not exist any more, or is not an ordinary file."
                )
            with Image.open(path) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise Image.DecompressionBombError  # as Pillow, which allows more
                if picture.mode not in EIGHT_BITS:
                    raise VideoError(
                        f"{self.name}: {file} has more than 8 bits a channel (mode "
                        f"{picture.mode}); convert the pictures to 8 bits."
                    )
                picture = ImageOps.exif_transpose(picture).convert("RGB")
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
            what = WRONG.get(type(error), "damaged; copy or extract it again")
            raise VideoError(f"{self.name}: the picture {file} is {what}.") from None
        if self.height and picture.size != (self.width, self.height):
            raise VideoError(
                f"{self.name}: {file} has {picture.height}x{picture.width} pixels, but the first "
                f"picture {self.height}x{self.width}; give all the same size."
            )
        return picture


class Series(NamedTuple):
    """Numbered files without a gap: `prefix` + number + `suffix`."""

    prefix: str
    digits: int  # with leading zeros up to this width; 0: none
    suffix: str
    first: int
    count: int

    def name(self, number: int) -> str:
        return f"{self.prefix}{number:0{self.digits}d}{self.suffix}"


@lru_cache(maxsize=1024)
def _series(folder: str, pattern: str, changed: int) -> Series:
    """The one series in a folder, as it was when last `changed`. Raises ValueError, OSError."""
    found: dict[tuple[str, str], set[str]] = {}
    for file in os.listdir(folder):
        parts = NUMBERED.fullmatch(file)
        if parts and parts[3].lower() in SUFFIXES and file[0] != "." and fnmatch(file, pattern):
            found.setdefault((parts[1], parts[3]), set()).add(parts[2])
    if not found:
        asked = "" if pattern == "*" else f" that fits the pattern {pattern!r}"
        raise ValueError(f"there is no numbered picture{asked} in this folder.")
    if len(found) > 1:
        kinds = " and ".join(f"{prefix}*{suffix}" for prefix, suffix in sorted(found)[:3])
        raise ValueError(f"there are several series in it, {kinds}; choose one with `pattern`.")
    (((prefix, suffix), written),) = found.items()
    numbers = set(map(int, written))
    if len(numbers) < len(written):
        raise ValueError("a number occurs twice, with and without leading zeros.")
    padded = any(each[0] == "0" and len(each) > 1 for each in written)
    first, last = min(numbers), max(numbers)
    series = Series(prefix, min(map(len, written)) * padded, suffix, first, last - first + 1)
    for number in range(min(first, 1), last + 1):  # numbers begin with 0 or 1
        if f"{number:0{series.digits}d}" not in written:
            raise ValueError(
                f"{series.name(number)} is missing, but later pictures are there: "
                "extract the video again."
            )
    return series

"""Exact frames by number from a video file or an upload: `opening` opens it, `packets` lists what
lies where, `decoder` finds and decodes, `watchdog` ends what is stuck; here the frame is turned,
scaled and made RGB, and the reader made safe for threads, forks and other processes."""

import math
import os
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter

from vivit_lab.video.decoder import Decoder
from vivit_lab.video.frame_folder import FrameFolder
from vivit_lab.video.opening import VideoError
from vivit_lab.video.sampling import Crop, checked_crop, checked_numbers, resized_size
from vivit_lab.video.watchdog import TIME_LIMIT, Overdue, Watch

MAX_BYTES = 4 * 1024**3  # of one `read`


class VideoReader:
    """A video as a list of frames, each exactly the one asked for. Use it in a `with` statement.

    source: the path of a video file, or the bytes of one (an upload: bytes or memoryview).
    name: what errors call it; by default the path, or "upload".
    time_limit: seconds that opening, and each frame, may take before the reader is given up.

    num_frames, fps, duration: frames shown, frames a second on average, seconds in all
    times: float64 (num_frames,), the second at which each frame is shown, as the file counts;
        need not start at 0, nor be evenly spaced
    key_frames: numbers of the frames at which decoding can start, ascending
    height, width: pixels as displayed, turned and mirrored as the file asks
    pixel_aspect: width of a pixel / its height; stated, not applied (1.0 where not given)

    Frames are numbered from 0 in showing order. Raises VideoError for whatever is no readable
    video: missing, folder, text, still picture, sound only, playlist, cut short, over 64 million
    pixels, stuck; TypeError for a source that is neither path nor bytes.
    Raw streams (.h264, .hevc) say neither sizes nor times: where pictures were lost from one
    without a trace, those after them count as if they had never been.

    Threads may share a reader; they take turns. After a fork parent and child each have the file
    to themselves; a pickled reader (for a spawned worker) opens it again.
    Source: section 4.1 samples frames by number; how to get them exactly is left to us.

    >>> from vivit_lab.data import sample
    >>> with VideoReader(sample("counter")) as video:
    ...     print(video.num_frames, video.fps, video.duration, video.height, video.width)
    ...     video.read([0, 150, 299], short_side=64).shape
    300 25.0 12.0 256 340
    torch.Size([3, 3, 64, 85])
    """

    def __init__(
        self,
        source: str | os.PathLike | bytes | memoryview,
        name: str | None = None,
        time_limit: float = TIME_LIMIT,
    ):
        if isinstance(source, (bytes, bytearray, memoryview)):
            self._source, self.name = bytes(source), name or "upload"
        elif isinstance(source, (str, os.PathLike)):
            self._source, self.name = os.path.abspath(source), name or os.fspath(source)
        else:
            raise TypeError(
                f"VideoReader was given a {type(source).__name__}, but reads the path of a video "
                "file, or the bytes of one."
            )
        self._limit, self._identity, self._closed = time_limit, None, False
        self._start_afresh()
        _readers.add(self)
        try:
            self._set_times(*self._watched("opening it", self._open))
        except BaseException:
            self.close()  # at once: who keeps the error would keep the file open, too
            raise

    def _start_afresh(self) -> None:
        self._turn = threading.RLock()  # FFmpeg crashes the process if two threads decode at once
        self._scaler = VideoReformatter()  # kept, so that its tables are worked out once
        self._watch = Watch(self._limit)
        self._decoder = None  # opened when needed

    def _set_times(self, time_base: float, said: float) -> None:
        self.num_frames, self.key_frames = len(self._listed.pts), self._listed.key_frames
        ticks = self._listed.ticks()
        if ticks is None:
            ticks, time_base = np.arange(self.num_frames), 1 / (said or 25.0)
        self.times = ticks.astype(np.float64) * time_base
        span = float(self.times[-1] - self.times[0])
        counted = (self.num_frames - 1) / span if span > 0 else said or 1.0
        self.fps = said if abs(said - counted) < 0.01 * counted else counted  # headers lie
        self.duration = span + 1 / self.fps

    height = property(lambda self: self._displayed().height)
    width = property(lambda self: self._displayed().width)
    pixel_aspect = property(lambda self: self._displayed().pixel_aspect)

    def _displayed(self) -> "Display":
        if self._listed.display is None:
            self._watched("decoding frame 0", self._look)
        return self._listed.display

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        display = self._listed.display
        size = f" of {display.height}x{display.width}" if display else ""
        return f"VideoReader({self.name!r}: {self.num_frames} frames{size}, {self.fps:g} fps)"

    def __reduce__(self) -> tuple:
        self._check_open()
        return VideoReader, (self._source, self.name, self._limit)

    def close(self) -> None:
        """Give the file back; further reading raises VideoError. Closing twice is harmless."""
        with self._turn:
            if self._decoder is not None:
                self._decoder.close()
            self._decoder, self._closed = None, True

    def read(
        self, indices: Iterable[int], short_side: int | None = None, crop: Crop | None = None
    ) -> torch.Tensor:
        """Frames by number: uint8 RGB 0..255, shape (N,C=3,H,W), in the order asked for.

        indices: N whole numbers from 0 to num_frames - 1, in any order, repeats allowed; a list,
        a NumPy array or a tensor. short_side: pixels to which the frames are scaled (bilinear, the
        long side as in `resized_size`); None keeps the size. crop: (top, left, height, width) of
        the part to keep, in pixels of the scaled frame as displayed. The memory is channels-last.

        Raises IndexError for a number outside the video, TypeError for what is no whole number,
        ValueError for a crop that does not fit, VideoError for a frame that cannot be decoded, or
        not within the time limit, and for more than 4 GiB of frames at once.
        """
        numbers = checked_numbers(indices, self.num_frames, self.name)
        doing = f"decoding frame {min(numbers, default=0)} of {self.num_frames}"
        out = self._watched(doing, self._read, numbers, short_side, crop)
        return torch.from_numpy(out).permute(0, 3, 1, 2)  # (N,H,W,C) -> (N,C,H,W)

    # What follows runs in the watchdog's thread.

    def _open(self) -> tuple[float, float]:
        """Seconds a tick, and frames a second, as the stream says."""
        self._listed = self._opened().listed
        if not self._decoder.says_all and self._listed.display is None:
            self._look()  # which may open the file anew, with another stream
        stream = self._decoder.stream
        return float(stream.time_base), float(stream.average_rate or 0)

    def _opened(self) -> Decoder:
        if self._decoder is None:  # at first, and after a fork
            decoder = Decoder(self._source, self.name, self._watch)
            self._watch.check()
            if self._identity not in (None, decoder.identity):
                decoder.close()
                raise VideoError(f"{self.name}: the file has changed; open the video again.")
            self._decoder, self._identity = decoder, decoder.identity
        return self._decoder

    def _look(self) -> None:
        for _, frame in self._opened().frames([0]):
            self._see(frame)

    def _see(self, frame: av.VideoFrame) -> None:
        stream = self._decoder.stream  # the container's word goes before the codec's
        said = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
        self._listed.display = Display(frame, float(said or 1), self.name)

    def _read(self, numbers: list[int], short_side: int | None, crop: Crop | None) -> np.ndarray:
        """uint8 (N,H,W,3). Room is made when the first frame has come: many a file fails before."""
        rows = defaultdict(list)
        for row, number in enumerate(numbers):
            rows[number].append(row)
        if not numbers and self._listed.display is None:
            self._look()
        out = None if numbers else self._room(0, short_side, crop)[0]
        for number, frame in self._opened().frames(sorted(rows)):
            if self._listed.display is None:
                self._see(frame)
            if out is None:
                out, size, crop = self._room(len(numbers), short_side, crop)
            first, *repeats = rows[number]
            called = f"{self.name}: frame {number}"
            self._listed.display.draw(frame, size, crop, out[first], self._scaler, called)
            out[repeats] = out[first]
        return out

    def _room(self, frames: int, short_side: int | None, crop: Crop | None) -> tuple:
        """Memory for so many frames; their (height, width) once scaled; the part of it to keep."""
        size = (self._listed.display.height, self._listed.display.width)
        if short_side is not None:
            size = resized_size(*size, short_side)
        _, _, height, width = crop = checked_crop(crop, *size)
        if frames * height * width * 3 > MAX_BYTES:
            most = MAX_BYTES // (height * width * 3)
            raise VideoError(
                f"{self.name}: {frames} frames of {height}x{width} are over the limit of 4 GiB "
                f"for one read; ask for at most {most} at once, or give a smaller short_side."
            )
        return np.empty((frames, height, width, 3), np.uint8), size, crop

    # Turns, the watchdog, forks.

    def _watched(self, doing: str, work: Callable, *arguments: object) -> object:
        with self._turn:
            self._check_open()
            try:
                return self._watch.run(doing, work, *arguments)
            except Overdue as overdue:
                raise VideoError(
                    f"{self.name}: {overdue}, so reading was stopped: the file may be damaged, or "
                    "its disk unreachable. If the disk is only slow, give a longer time_limit."
                ) from None
            finally:
                if self._watch.given_up:  # FFmpeg may still be inside: let go, but do not close
                    self._decoder, self._closed = None, True

    def _check_open(self) -> None:
        if self._closed:
            raise VideoError(f"{self.name}: the reader is closed; open the video again.")

    def _after_fork(self) -> None:
        """In the child: it must not share the file, whose position both would move."""
        if not self._turn.acquire(blocking=False):
            # a thread of the parent was in the middle of it: what it left cannot be freed
            _left_behind.append((self._decoder, self._scaler))
        self._start_afresh()


def open_source(path: str | os.PathLike, fps: float | None = None, name: str | None = None):
    """A `VideoReader` for a file; for a folder a `FrameFolder`, which needs `fps`.

    Raises VideoError for what can be read as neither, ValueError for a folder without fps.

    >>> from vivit_lab.data import sample
    >>> with open_source(sample("counter")) as video:
    ...     video.num_frames
    300
    """
    if not os.path.isdir(path):
        return VideoReader(path, name)
    if fps is None:
        raise ValueError(f"{os.fspath(path)} is a folder of frames: give its frame rate, fps.")
    return FrameFolder(path, fps, name=name)


class Display:
    """How a video wants its pictures shown, as its first decoded picture says: the display matrix
    takes (x, y) of the picture to (ax + cy, bx + dy) on the screen."""

    def __init__(self, frame: av.VideoFrame, pixel_aspect: float, name: str):
        matrix = [1, 0, 0, 0, 1, 0, 0, 0, 1]
        for extra in frame.side_data:
            if extra.type.name == "DISPLAYMATRIX":
                matrix = np.frombuffer(extra, np.int32).tolist()
        a, b, _, c, d, *_ = matrix
        if (a or d) and (b or c):
            raise VideoError(f"{name}: its rotation is not a multiple of 90 degrees.")
        self._swap = bool(b or c)  # rows become columns
        self._down = -1 if (b if self._swap else d) < 0 else 1  # step from row to row
        self._right = -1 if (c if self._swap else a) < 0 else 1
        self._coded = (frame.height, frame.width)
        self.height, self.width = self._coded[::-1] if self._swap else self._coded
        self.pixel_aspect = 1 / pixel_aspect if self._swap else pixel_aspect

    def draw(self, frame, size: tuple, crop: Crop, out: np.ndarray, scaler, name: str) -> None:
        """Fill `out`, uint8 RGB, with the part `crop` of a frame scaled to `size`, as displayed."""
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

    def _part(self, plane: av.video.plane.VideoPlane, shape: tuple, crop: Crop) -> np.ndarray:
        """The part of a plane to keep, as displayed. A plane's rows are padded at the end."""
        rows = np.frombuffer(plane, np.uint8).reshape(shape[0], -1)
        picture = rows[:, : math.prod(shape[1:])].reshape(shape)
        if self._swap:
            picture = picture.swapaxes(0, 1)
        top, left, height, width = crop
        shown = picture[:: self._down, :: self._right]
        return shown[top : top + height, left : left + width]


_readers, _left_behind = weakref.WeakSet(), []


def _after_fork() -> None:
    for reader in list(_readers):
        reader._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

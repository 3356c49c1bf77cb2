"""Exact frames by number from a video file or an upload.

How a frame is found: `packets.PacketList` knows every frame's time stamp and place in the file.
Seek to the key frame at or before the frame, decode from there, and take the picture with its time
stamp. Every packet on the way must be the one listed, or another way to the frame is tried.
"""

import operator
import os
import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter

from vivit_lab.video.opening import VideoError, open_video
from vivit_lab.video.packets import PacketList
from vivit_lab.video.sampling import resized_size


class VideoReader:
    """A video as a list of frames, each exactly the one asked for. Use it in a `with` statement.

    source: the path of a video file, or the bytes of one (an upload: bytes or memoryview).
    name: what errors call it; by default the path, or "upload".

    num_frames   how many frames are shown
    fps          frames a second, on average
    duration     seconds, the last frame's own time included
    height, width  pixels as displayed: turned and mirrored as the file asks
    pixel_aspect   width of a pixel / its height; stated, not applied (1.0 where not given)
    times        float64 (num_frames,): second at which each frame is shown, as the file counts;
                 need not start at 0, nor be evenly spaced
    key_frames   numbers of the frames at which decoding can start, ascending

    Frames are numbered from 0 in showing order. Raises VideoError for whatever is no readable
    video: missing, folder, text, still picture, sound only, playlist, cut short, over 64 million
    pixels; TypeError for a source that is neither path nor bytes. Threads may share a reader; they
    take turns. Source: section 4.1 samples frames by number; how to get them exactly is left to us.

    >>> from vivit_lab.data import sample
    >>> with VideoReader(sample("counter")) as video:
    ...     print(video.num_frames, video.fps, video.duration, video.height, video.width)
    300 25.0 12.0 256 340
    """

    def __init__(self, source: str | os.PathLike | bytes | memoryview, name: str | None = None):
        if isinstance(source, (bytes, bytearray, memoryview)):
            self._source, self.name = bytes(source), name or "upload"
        elif isinstance(source, (str, os.PathLike)):
            self._source, self.name = os.path.abspath(source), name or os.fspath(source)
        else:
            raise TypeError(
                f"VideoReader was given a {type(source).__name__}, but reads the path of a video "
                "file, or the bytes of one."
            )
        self._turn = threading.RLock()  # FFmpeg crashes the process if two threads decode at once
        self._scaler = VideoReformatter()  # kept, so that its tables are worked out once
        self._container, self._stream = open_video(self._source, self.name)
        self._listed = PacketList(self._container, self._stream, self.name)
        self._set_times()
        _, first = next(self._frames([0]))
        self._set_display(first)

    def _set_times(self) -> None:
        self.num_frames, self.key_frames = len(self._listed.pts), self._listed.key_frames
        self.times = np.array(self._listed.pts, np.float64) * float(self._stream.time_base)
        span = float(self.times[-1] - self.times[0])
        said = float(self._stream.average_rate or 0)  # exact where true, but headers lie
        counted = (self.num_frames - 1) / span if span > 0 else said or 1.0
        self.fps = said if abs(said - counted) < 0.01 * counted else counted
        self.duration = span + 1 / self.fps

    def _set_display(self, frame: av.VideoFrame) -> None:
        """The display matrix takes (x, y) of the picture to (ax + cy, bx + dy) on the screen."""
        matrix = [1, 0, 0, 0, 1, 0, 0, 0, 1]
        for extra in frame.side_data:
            if extra.type.name == "DISPLAYMATRIX":
                matrix = np.frombuffer(extra, np.int32).tolist()
        a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
        if (a or d) and (b or c):
            raise VideoError(f"{self.name}: it asks to be shown at a slant, not in quarter turns.")
        self._swap = bool(b or c)  # rows become columns
        self._flip_rows = (b if self._swap else d) < 0
        self._flip_columns = (c if self._swap else a) < 0
        self._coded = (frame.height, frame.width)
        self.height, self.width = self._coded[::-1] if self._swap else self._coded
        self.pixel_aspect = float(self._stream.sample_aspect_ratio or 1)
        if self._swap:
            self.pixel_aspect = 1 / self.pixel_aspect

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        size = f"{self.height}x{self.width}"
        return f"VideoReader({self.name!r}: {self.num_frames} frames of {size}, {self.fps:g} fps)"

    def close(self) -> None:
        """Give the file back; further reading raises VideoError. Closing twice is harmless.

        >>> from vivit_lab.data import sample
        >>> video = VideoReader(sample("counter"))
        >>> video.close()
        """
        with self._turn:
            if self._container is not None:
                self._container.close()
            self._container = self._stream = None

    def read(self, indices: Iterable[int], short_side: int | None = None) -> torch.Tensor:
        """Frames by number: uint8 RGB 0..255, shape (N,C=3,H,W), in the order asked for.

        indices: N whole numbers from 0 to num_frames - 1, in any order, repeats allowed; a list,
        a NumPy array or a tensor. short_side: pixels to which the frames are scaled (bilinear, the
        long side as in `resized_size`); None keeps the size. The memory is channels-last (that of
        the decoder, and of torchvision's fastest resize).

        Raises IndexError for a number outside the video, TypeError for what is no whole number,
        VideoError for a frame that cannot be decoded. Never gives a neighbour in its place.

        >>> from vivit_lab.data import sample
        >>> with VideoReader(sample("counter")) as video:
        ...     video.read([0, 150, 299], short_side=64).shape
        torch.Size([3, 3, 64, 85])
        """
        numbers = self._checked(indices)
        size = (self.height, self.width)
        if short_side is not None:
            size = resized_size(*size, short_side)
        with self._turn:
            if self._container is None:
                raise VideoError(f"{self.name}: the reader is closed; open the video again.")
            return self._read(numbers, size)

    def _read(self, numbers: list[int], size: tuple[int, int]) -> torch.Tensor:
        out = np.empty((len(numbers), *size, 3), np.uint8)
        rows = defaultdict(list)
        for row, number in enumerate(numbers):
            rows[number].append(row)
        for number, frame in self._frames(sorted(rows)):
            first, *repeats = rows[number]
            out[first] = self._picture(number, frame, size)
            for row in repeats:
                out[row] = out[first]
        return torch.from_numpy(out).permute(0, 3, 1, 2)  # (N,H,W,C) -> (N,C,H,W)

    def _checked(self, indices: Iterable[int]) -> list[int]:
        try:
            given = list(indices)
            if any(isinstance(index, bool) for index in given):
                raise TypeError
            numbers = [operator.index(index) for index in given]
        except TypeError:
            shown = " ".join(str(indices).split())[:60]
            raise TypeError(
                f"{self.name}: indices is {shown}, but must be a flat list of whole numbers "
                "such as [0, 2, 4]."
            ) from None
        for number in numbers:
            if not 0 <= number < self.num_frames:
                nearest = min(max(number, 0), self.num_frames - 1)
                raise IndexError(
                    f"{self.name}: there is no frame {number}; frames run from 0 to "
                    f"{self.num_frames - 1}. The nearest is {nearest}."
                )
        return numbers

    def _frames(self, numbers: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """(number, frame) for ascending, distinct numbers; one seek for each key frame needed."""
        for start, group in groupby(numbers, key=self._listed.start_before):
            missing = list(group)
            earlier = self._listed.start_earlier(start)
            for seek_to in (start, earlier, None):
                try:
                    for number, frame in self._decode(missing, start, seek_to):
                        missing.remove(number)
                        yield number, frame
                except av.FFmpegError:
                    pass  # damaged, or no way to seek there: try from further back
                if not missing:
                    break
            else:
                raise VideoError(
                    f"{self.name}: frame {missing[0]} of {self.num_frames} cannot be decoded: the "
                    "file is damaged there. Copy or download it again, or leave it out."
                )

    def _decode(
        self, numbers: list[int], start: int, seek_to: int | None
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        """Those of `numbers` that come out clean, decoding from `start` or a key packet before."""
        pts_of = self._listed.pts
        wanted = {pts_of[number] for number in numbers}
        last = max(self._listed.last_place(pts) for pts in wanted)
        seen, newest = Counter(), None
        for position, packet in self._packets_from(start, seek_to):
            context = self._stream.codec_context
            # pictures that no other picture needs are skipped; the last try takes no such chances
            skip = position != last and packet.pts not in wanted and seek_to is not None
            context.skip_frame = "NONREF" if skip else "DEFAULT"
            frames = context.decode(packet)
            if position == last:
                frames += context.decode(None)  # hand over what is held back for reordering
            for frame in frames:
                backwards = newest is not None and frame.pts is not None and frame.pts < newest
                if frame.pts is None or backwards or frame.is_corrupt:
                    return  # what follows would rest on it
                newest = frame.pts
                if frame.pts in wanted:
                    number = bisect_left(pts_of, frame.pts) + seen[frame.pts]
                    seen[frame.pts] += 1  # pictures that share a time stamp come in showing order
                    if number in numbers:
                        yield number, frame
            if position == last:
                return

    def _packets_from(self, start: int, seek_to: int | None) -> Iterator[tuple[int, av.Packet]]:
        """(place, packet) from the key packet at `start` or before it, while they are as listed.

        seek_to: place of the packet to look for; None opens the file anew, at its beginning.
        """
        if seek_to is None:
            self._container.close()
            self._container, self._stream = open_video(self._source, self.name)
        else:
            self._container.seek(self._listed.packets[seek_to].pts, stream=self._stream)
        here = None
        for packet in self._container.demux(self._stream):
            if not packet.size or (here is None and not packet.is_keyframe):
                continue
            found = self._listed.place_of(packet, expected=here)
            if found is None or (here is None and found > start):
                return  # not the file that was listed, or the seek went too far
            yield found, packet
            here = found + 1

    def _picture(self, number: int, frame: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
        """RGB picture (height, width, 3) of a decoded frame, as displayed, scaled to `size`."""
        if (frame.height, frame.width) != self._coded:
            raise VideoError(
                f"{self.name}: frame {number} has {frame.height}x{frame.width} pixels, but the "
                f"video began with {self._coded[0]}x{self._coded[1]}; convert it to one size."
            )
        height, width = size[::-1] if self._swap else size
        rgb = self._scaler.reformat(frame, width, height, "rgb24", interpolation="BILINEAR")
        rows = np.frombuffer(rgb.planes[0], np.uint8).reshape(height, -1)  # padded at the end
        picture = rows[:, : 3 * width].reshape(height, width, 3)
        if self._swap:
            picture = picture.transpose(1, 0, 2)
        if self._flip_rows:
            picture = picture[::-1]
        if self._flip_columns:
            picture = picture[:, ::-1]
        return picture

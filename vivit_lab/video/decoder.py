"""The frames that a video has, and the way to each.

A packet is one coded picture. Files keep packets in decoding order, which differs from showing
order where a picture is predicted from a later one (B pictures). Here a "place" counts packets in
decoding order, a "number" counts frames in showing order, and "pts", the time stamp, links them.
PacketList finds them without decoding. Decoder seeks to the key frame at or before the wanted one,
decodes, and takes the right picture. Where a packet is not the one listed, or a picture does not
come out clean, it tries another way: from the key frame before, then from the beginning.
"""

import io
import os
import threading
from bisect import bisect_left, bisect_right
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import groupby

import av
import numpy as np

from vivit_lab.video.opening import (
    CUT,
    CUT_HEADER,
    NOISE,
    SAYS_ALL,
    VideoError,
    cut_in_header,
    fault,
    identity,
    open_video,
)
from vivit_lab.video.watchdog import Watch

KEPT_PACKETS = 200_000  # of the files listed last: about 10 MB
EMPTY_LIST = 100  # packets, by the memory it takes
DECODE_ON = 12  # packets; to decode so many that nobody wants costs less than to seek
BEGINNING = -1
MOST_DELAY = 16  # pictures that H.264 may hold back
UNSTAMPED = ("h264", "hevc")  # FFmpeg guesses their time stamps in AVI files, and guesses wrong
NO_B = ("vp8", "vp9", "av1", "libdav1d", "mjpeg", "gif")  # shown in the order of decoding
INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "avi")
NO_STAMP = -(2**63)


class PacketList:
    """Every packet of a video stream, read from beginning to end (1-5 ms for a short video).

    By place: `stamps`, when a packet is shown, in ticks of the stream's time base; `marks`, how it
    is known in the file; `sizes`, bytes; `keys`, whether decoding can start there; `hidden`,
    whether it is decoded but never shown (cut away by an edit list).
    By number: `pts`, a frame's time stamp, never decreasing; `places`, its packet.
    delay: how many pictures a decoder must hold back to hand them out in showing order.
    display: a place to keep what the first decoded picture says (see `reader.Display`).
    stamped is False for a file whose own time stamps are missing or guessed. Then the order is not
    known before `set_order` is told. can_seek is False where packets have no marks either.
    """

    def __init__(self, source: str | bytes, container, stream, name: str, check: Callable):
        rows, broken = [], False
        guessed = container.format.name == "avi" and stream.codec_context.name in UNSTAMPED
        try:
            with closing(container.demux(stream)) as packets:
                for packet in packets:
                    check()
                    if packet.size:  # the last one is empty: it only says that this is the end
                        stamp = packet.dts if guessed else packet.pts
                        mark = NO_STAMP if stamp is None else stamp
                        rows.append((mark, packet.size, packet.is_keyframe, packet.is_discard))
                        broken |= packet.is_corrupt
        except (av.FFmpegError, MemoryError, OSError, ValueError) as error:
            raise VideoError(
                f"{name}: reading stops after {len(rows)} pictures ({error}). "
                "Copy or download it again."
            ) from None
        marks, sizes, keys, hidden = np.array(rows, np.int64).reshape(-1, 4).T.copy()
        # of these files the index lists every packet that there should be
        lacks_some = container.format.name in INDEXED and len(stream.index_entries) > len(sizes)
        if broken or lacks_some:
            found = CUT
        elif stream.codec_context.name in NO_B and (np.diff(marks) < 0).any():
            found = NOISE
        elif container.format.name == "mpegts" and _ends_in_a_hole(marks):
            found = CUT
        else:
            with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
                found = fault(file)
        if found:
            raise VideoError(
                f"{name}: the file is {found}: its parts do not fit together, and pictures "
                f"may be missing ({len(sizes)} were found). Copy or download it again."
            )
        if hidden.all():
            none = "there is no picture in this file."
            raise VideoError(f"{name}: {CUT_HEADER if cut_in_header(source) else none}")
        if not keys[0]:
            raise VideoError(
                f"{name}: the recording begins between two key frames, so that its first "
                "pictures cannot be decoded; cut them off, e.g. ffmpeg -i INPUT OUTPUT.mp4"
            )
        self.marks, self.sizes = marks, sizes
        self.keys, self.hidden = keys.astype(bool), hidden.astype(bool)
        self.can_seek = NO_STAMP not in marks
        self.stamped = self.can_seek and not guessed
        self.display = None
        self._starts = np.flatnonzero(self.keys)
        if self.stamped:
            self._number(self.marks)

    def _number(self, stamps: np.ndarray) -> None:
        self.stamps = stamps
        order = np.argsort(stamps, kind="stable")  # of all packets, by the time they are shown
        self.delay = int((order - np.arange(len(order))).max())
        self.places = order[~self.hidden[order]]
        self.pts = stamps[self.places]
        self.key_frames = np.flatnonzero(self.keys[self.places]).tolist()

    def set_order(self, places: list[int]) -> None:
        """Of a file without time stamps: the places in the order in which pictures came out, which
        are then stamped 0, 1, 2, ...; packets from which none came count as hidden."""
        stamps = np.zeros(len(self.sizes), np.int64)
        self.hidden = np.ones(len(self.sizes), bool)
        self.hidden[places] = False
        stamps[places] = np.arange(len(places))
        self._number(stamps)

    def ticks(self) -> np.ndarray | None:
        """When each frame is shown, by number; None if the file does not say."""
        if self.stamped:
            return self.pts
        return None if not self.can_seek else np.sort(self.marks[self.places])

    def start_before(self, number: int) -> int:
        """Place of the last key packet from which frame `number` comes out right."""
        pts = self.pts[number]
        first = self.places[bisect_left(self.pts, pts)]  # of the frames that share this pts
        before = self._starts[: bisect_right(self._starts, first)]
        # pictures that follow a key frame in the file but are shown before it need the one before
        return int(next((place for place in before[::-1] if self.stamps[place] <= pts), 0))

    def start_earlier(self, start: int) -> int:
        """Place of the key packet one before the key packet at `start`; 0 if there is none."""
        return int(self._starts[max(bisect_left(self._starts, start) - 1, 0)])

    def last_place(self, number: int) -> int:
        """Place of the last packet shown at the same time as frame `number`."""
        return int(self.places[bisect_right(self.pts, self.pts[number]) - 1])

    def place_of(self, packet: av.Packet, expected: int | None) -> int | None:
        """Place of a packet read from the file: the expected one if it is that; None if neither
        that nor, with nothing expected, any one listed.
        """
        stamp = packet.pts if self.stamped else packet.dts
        mark = NO_STAMP if stamp is None else stamp
        if expected is None:
            alike = np.flatnonzero((self.marks == mark) & (self.sizes == packet.size))
            return int(alike[0]) if len(alike) else None
        if expected == len(self.sizes):
            return None
        same = self.marks[expected] == mark and self.sizes[expected] == packet.size
        return expected if same else None


def _ends_in_a_hole(marks: np.ndarray) -> bool:
    """In a broadcast cut short, pictures are missing before the last one, which B pictures need."""
    gaps = np.diff(np.sort(marks))
    usual = np.sort(gaps)[: (len(gaps) + 1) // 2][-1:]  # the lower median; empty for one picture
    return bool((gaps[-3:] > 1.5 * usual).any())


class Decoder:
    """An opened video whose pictures can be had by number; not for two threads at once.

    says_all: whether it was opened by its header alone. listed: its PacketList, still known for a
    file opened before in this process, and not changed since. watch: is told of progress.
    """

    def __init__(self, source: str | bytes, name: str, watch: Watch):
        self._source, self._name, self._watch = source, name, watch
        self.identity, self._container = identity(source), None
        self._reopen(delay=0)
        try:
            self.listed = _recent.get(self.identity)
            if self.listed is None:
                self.listed = PacketList(source, self._container, self.stream, name, watch.check)
                if not self.listed.stamped:
                    self._learn_order()
                _recent.keep(self.identity, self.listed)
            self._prepare(self.listed.delay)
        except BaseException:
            self.close()  # at once: who keeps the error would keep the file open, too
            raise
        self.says_all = self._container.format.name in SAYS_ALL

    def _prepare(self, delay: int) -> None:
        """Tell H.264 how many pictures to hold back; else it finds out by losing some."""
        context = self.stream.codec_context
        if context.name == "h264":
            context.options = {**context.options, "has_b_frames": str(min(delay, MOST_DELAY))}

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = self.stream = None

    def __del__(self) -> None:
        self.close()

    def frames(self, numbers: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """(number, frame) for each of `numbers` (ascending, distinct), as they come out; after
        those that could be decoded VideoError, if one cannot."""
        missing = dict.fromkeys(numbers)
        for way in (self._near, self._earlier, lambda numbers: [(BEGINNING, numbers)]):
            for seek_to, group in way(list(missing)):
                try:
                    for number, frame in self._decode(group, seek_to):
                        del missing[number]
                        yield number, frame
                except (av.FFmpegError, MemoryError):
                    pass  # damaged, or no way to seek there
            if not missing:
                return
        raise VideoError(
            f"{self._name}: frame {min(missing)} of {len(self.listed.pts)} cannot be decoded: the "
            "file is damaged there. Copy or download it again, or leave it out."
        )

    # Each way: (place of the key packet to seek to, frames to decode from there)

    def _near(self, numbers: list[int]) -> list[tuple[int, list[int]]]:
        runs, end = [], None
        for start, group in self._by_start(numbers):
            if runs and start - end <= DECODE_ON:
                runs[-1][1].extend(group)
            else:
                runs.append((start, group))
            end = max(map(self.listed.last_place, group))
        return runs

    def _earlier(self, numbers: list[int]) -> list[tuple[int, list[int]]]:
        return [(self.listed.start_earlier(at), group) for at, group in self._by_start(numbers)]

    def _by_start(self, numbers: list[int]) -> list[tuple[int, list[int]]]:
        return [(start, list(group)) for start, group in groupby(numbers, self.listed.start_before)]

    def _decode(self, numbers: list[int], seek_to: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Those of `numbers` that come out clean, decoding from the key packet at `seek_to`."""
        listed, skips = self.listed, None
        wanted = {int(listed.pts[number]) for number in numbers}
        last = max(listed.last_place(number) for number in numbers)
        missing, seen, newest = set(numbers), Counter(), None
        for place, packet in self._packets_from(seek_to):
            self._watch.check()
            context = self.stream.codec_context  # known only now: the file may be opened anew
            stamp = int(listed.stamps[place])
            if not listed.stamped:
                packet.pts = stamp
            # pictures that no other picture needs are skipped; the last try takes no such chances
            skip = stamp not in wanted and seek_to != BEGINNING
            if skip != skips:
                context.skip_frame, skips = "NONREF" if skip else "DEFAULT", skip
            frames = context.decode(packet)
            if place == last:
                frames += context.decode(None)  # hand over what is held back for reordering
            for frame in frames:
                backwards = newest is not None and frame.pts is not None and frame.pts < newest
                if frame.pts is None or backwards or frame.is_corrupt:
                    return  # what follows would rest on it
                newest = frame.pts
                if frame.pts in wanted:
                    number = bisect_left(listed.pts, frame.pts) + seen[frame.pts]
                    seen[frame.pts] += 1  # pictures that share a time stamp come in showing order
                    if number in missing:
                        missing.remove(number)
                        self._watch.progress(f"decoding the frame after {number}")
                        yield number, frame
            if place == last:
                return

    def _packets_from(self, seek_to: int) -> Iterator[tuple[int, av.Packet]]:
        """(place, packet) from the key packet at `seek_to` or before it, while they are as listed.
        For BEGINNING, and where there is nothing to seek by, the file is opened anew."""
        here = None
        if seek_to == BEGINNING or not self.listed.can_seek:
            self._reopen(self.listed.delay)
            here = 0
        else:
            self._container.seek(int(self.listed.marks[seek_to]), stream=self.stream)
        with closing(self._container.demux(self.stream)) as packets:  # else it leaks a little
            for packet in packets:
                if not packet.size or (here is None and not packet.is_keyframe):
                    continue
                found = self.listed.place_of(packet, expected=here)
                if found is None or (here is None and found > seek_to):
                    return  # not the file that was listed, or the seek went too far
                yield found, packet
                here = found + 1

    def _reopen(self, delay: int) -> None:
        self.close()
        self._container, self.stream = open_video(self._source, self._name)
        self._prepare(delay)

    def _learn_order(self) -> None:
        """Decode everything once, in the order of the file, to see when each picture comes out."""
        self._reopen(delay=MOST_DELAY)
        context, order, place = self.stream.codec_context, [], 0
        try:
            with closing(self._container.demux(self.stream)) as packets:
                for packet in packets:
                    self._watch.progress(f"counting its pictures, {len(order)} so far,")
                    self._watch.check()
                    packet.pts = place if packet.size else None
                    place += packet.size > 0
                    frames = context.decode(packet if packet.size else None)
                    order += [frame.pts for frame in frames]
                    broken = any(frame.pts is None or frame.is_corrupt for frame in frames)
                    if broken:
                        break
        except (av.FFmpegError, MemoryError):
            broken = True
        if broken or sorted(order) != list(range(place)):
            raise VideoError(
                f"{self._name}: its pictures have no time stamps, and one near number {len(order)} "
                "is damaged, so that those after it cannot be numbered. Copy or download it again."
            )
        self.listed.set_order(order)


class _Recent:
    """The packet lists of the files opened last, by the files' identities. Threads may share it."""

    def __init__(self):
        self.forget()

    def forget(self) -> None:
        self._lists, self._size, self._lock = OrderedDict(), 0, threading.Lock()

    def get(self, key: tuple | None) -> PacketList | None:
        with self._lock:
            if key in self._lists:
                self._lists.move_to_end(key)
            return self._lists.get(key)

    def keep(self, key: tuple | None, listed: PacketList) -> None:
        if key is None:  # an upload
            return
        with self._lock:
            if key not in self._lists:
                self._lists[key] = listed
                self._size += EMPTY_LIST + len(listed.sizes)
            while self._size > KEPT_PACKETS:
                _, oldest = self._lists.popitem(last=False)
                self._size -= EMPTY_LIST + len(oldest.sizes)


_recent = _Recent()
forget_lists = _recent.forget
if hasattr(os, "register_at_fork"):  # another thread may have been in the middle of it
    os.register_at_fork(after_in_child=forget_lists)

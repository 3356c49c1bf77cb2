"""The way to a frame: seek to the key frame at or before it, decode, take the right picture. Where
a packet is not the one listed, or a picture does not come out clean, another way is tried: from the
key frame before, then from the beginning."""

import os
import threading
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby

import av

from vivit_lab.video.opening import SAYS_ALL, VideoError, identity, open_video
from vivit_lab.video.packets import PacketList
from vivit_lab.video.watchdog import Watch

KEPT_PACKETS = 200_000  # of the files listed last: about 10 MB
EMPTY_LIST = 100  # packets, by the memory it takes
DECODE_ON = 12  # packets; to decode so many that nobody wants costs less than to seek
BEGINNING = -1
MOST_DELAY = 16  # pictures that H.264 may hold back


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

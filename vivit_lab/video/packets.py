"""Which frames a video has, and where each one lies in the file: found without decoding.

A packet is one coded picture. Files keep packets in decoding order, which differs from showing
order where a picture is predicted from a later one (B pictures). Here a "place" counts packets in
decoding order, a "number" counts frames in showing order, and "pts", the time stamp, links them.
"""

from bisect import bisect_left, bisect_right
from typing import NamedTuple

import av

from vivit_lab.video.opening import VideoError


class Packet(NamedTuple):
    """What is kept of one packet.

    >>> Packet(pts=512, size=1024, key=True, hidden=False).pts
    512
    """

    pts: int | None  # when the picture is shown, in ticks of the stream's time base
    size: int  # bytes
    key: bool  # decoding can start here
    hidden: bool  # decoded but never shown (cut away by an edit list)


class PacketList:
    """Every packet of a video stream, read from beginning to end (1-5 ms for a short video).

    packets    list of Packet, by place
    pts        time stamp of each frame, by number; never decreasing
    key_frames numbers of the frames at which decoding can start, ascending

    Raises VideoError if the file is cut short, holds no picture, gives no time stamps, or begins
    in the middle of a recording.

    >>> from vivit_lab.data import sample
    >>> from vivit_lab.video.opening import open_video
    >>> listed = PacketList(*open_video(str(sample("counter")), "counter.mp4"), "counter.mp4")
    >>> len(listed.pts), listed.key_frames[:3]
    (300, [0, 50, 100])
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.video.stream.VideoStream,
        name: str,
    ):
        self.packets = []
        cut = False
        for packet in container.demux(stream):
            if packet.size:  # the last one is empty: it only says that this is the end
                hidden = packet.is_discard
                self.packets.append(Packet(packet.pts, packet.size, packet.is_keyframe, hidden))
                cut |= packet.is_corrupt
        if "mp4" in container.format.name:  # its index lists every packet that there should be
            cut |= sum(entry.size > 0 for entry in stream.index_entries) > len(self.packets)
        self._check(cut, name)

        # Packets are recognised by (pts, size). Where pictures share a pts, first and last differ.
        self._place, self._first, self._last = {}, {}, {}
        for place, packet in enumerate(self.packets):
            self._place.setdefault((packet.pts, packet.size), place)
            if not packet.hidden:
                self._first.setdefault(packet.pts, place)
                self._last[packet.pts] = place
        self._starts = [place for place, packet in enumerate(self.packets) if packet.key]
        shown = sorted((p for p in self.packets if not p.hidden), key=lambda p: p.pts)
        self.pts = [packet.pts for packet in shown]
        self.key_frames = [number for number, packet in enumerate(shown) if packet.key]

    def _check(self, cut: bool, name: str) -> None:
        if cut:
            raise VideoError(
                f"{name}: the file is cut short: pictures that it lists are missing after the "
                f"first {len(self.packets)}. Copy or download it again."
            )
        if all(packet.hidden for packet in self.packets):
            raise VideoError(f"{name}: there is not one picture in this file.")
        if any(packet.pts is None for packet in self.packets):
            raise VideoError(
                f"{name}: some pictures have no time stamp, so that frame numbers would be "
                "guesses; convert it to mp4, e.g. ffmpeg -i INPUT OUTPUT.mp4"
            )
        if not self.packets[0].key:
            raise VideoError(
                f"{name}: the recording begins between two key frames, so that its first "
                "pictures cannot be decoded; cut them off, e.g. ffmpeg -i INPUT OUTPUT.mp4"
            )

    def start_before(self, number: int) -> int:
        """Place of the last key packet from which frame `number` comes out right.

        >>> from vivit_lab.data import sample
        >>> from vivit_lab.video.opening import open_video
        >>> listed = PacketList(*open_video(str(sample("counter")), "counter.mp4"), "counter.mp4")
        >>> listed.start_before(120)
        100
        """
        pts = self.pts[number]
        before = self._starts[: bisect_right(self._starts, self._first[pts])]
        # pictures that follow a key frame in the file but are shown before it need the one before
        return next((place for place in reversed(before) if self.packets[place].pts <= pts), 0)

    def start_earlier(self, start: int) -> int:
        """Place of the key packet one before the key packet at `start`; 0 if there is none.

        >>> from vivit_lab.data import sample
        >>> from vivit_lab.video.opening import open_video
        >>> listed = PacketList(*open_video(str(sample("counter")), "counter.mp4"), "counter.mp4")
        >>> listed.start_earlier(100)
        50
        """
        return self._starts[max(bisect_left(self._starts, start) - 1, 0)]

    def last_place(self, pts: int) -> int:
        """Place of the last packet shown at `pts`.

        >>> from vivit_lab.data import sample
        >>> from vivit_lab.video.opening import open_video
        >>> listed = PacketList(*open_video(str(sample("counter")), "counter.mp4"), "counter.mp4")
        >>> listed.last_place(listed.pts[0])
        0
        """
        return self._last[pts]

    def place_of(self, packet: av.Packet, expected: int | None) -> int | None:
        """Place of a packet read from the file: the expected one if it is that; None if neither
        that nor, with nothing expected, any one listed.

        >>> from vivit_lab.data import sample
        >>> from vivit_lab.video.opening import open_video
        >>> container, stream = open_video(str(sample("counter")), "counter.mp4")
        >>> listed = PacketList(container, stream, "counter.mp4")
        >>> container.seek(listed.pts[100], stream=stream)
        >>> listed.place_of(next(container.demux(stream)), expected=None)
        100
        """
        found = (packet.pts, packet.size)
        if expected is None:
            return self._place.get(found)
        same = expected < len(self.packets) and self.packets[expected][:2] == found
        return expected if same else None

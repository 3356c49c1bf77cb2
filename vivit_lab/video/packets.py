"""Which frames a video has, and where each one lies in the file: found without decoding.

A packet is one coded picture. Files keep packets in decoding order, which differs from showing
order where a picture is predicted from a later one (B pictures). Here a "place" counts packets in
decoding order, a "number" counts frames in showing order, and "pts", the time stamp, links them.
"""

import io
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from contextlib import closing

import av
import numpy as np

from vivit_lab.video.completeness import CUT, NOISE, fault
from vivit_lab.video.opening import VideoError

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
                f"{name}: reading it breaks off after {len(rows)} pictures ({error}). "
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
            raise VideoError(f"{name}: there is not one picture in this file.")
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

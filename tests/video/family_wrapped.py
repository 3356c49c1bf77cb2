# ruff: noqa: F403, F405 - the tools of family_making have names that speak for themselves
"""How pictures are wrapped: containers and their boxes, headers that lie, when pictures are shown,
what lies beside them, and how they are to be turned."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from family_coded import STEADY, coded
from family_making import *


def wrapped(name: str, note: str, base: str = "h264.mp4", format=None, **options) -> Entry:
    """A base file's packets in another container, with options of its writer."""
    return good(name, note, copied(base, format=format, **options))


def through_a_pipe(shop: Workshop, path: Path) -> None:
    """A writer that cannot go back: no length, no index."""

    class Pipe(io.RawIOBase):
        def write(self, data):
            return file.write(data)

        def writable(self):
            return True

        def seekable(self):
            return False

    with open(path, "wb") as file:
        remux(Pipe(), shop["h264.mp4"], format="matroska")


def said_count(count: int):
    """An AVI whose header says another number of pictures."""

    def change(data: bytearray) -> None:
        struct.pack_into("<I", data, data.index(b"avih") + 8 + 16, count)
        struct.pack_into("<I", data, data.index(b"strh") + 8 + 32, count)

    return altered("sound.avi", change)


def said_duration(seconds: int):
    """Movie, track and media all say another duration than the pictures have."""

    def change(data: bytearray) -> None:
        for way, offset in (
            (("mvhd",), 24),
            (("trak", "tkhd"), 28),
            (("trak", "mdia", "mdhd"), 24),
        ):
            put(data, find_box(data, "moov", *way)[0] + offset, seconds * 1000)

    return altered("h264.mp4", change)


def long_mdat(data: bytearray) -> None:
    """A box of pictures with a 64-bit length, as cameras write it."""
    start, end = find_box(data, "mdat")
    assert data[start - 4 : start] == b"free", "the writer leaves room for it"
    data[start - 8 : start + 8] = struct.pack(">I4sQ", 1, b"mdat", end - start + 8)


def wrong_keys(data: bytearray) -> None:
    """The table of key pictures (stss) names the picture after each of them."""
    start, _ = find_box(data, *SAMPLE_TABLE, "stss")
    count, *keys = struct.unpack_from(">4I", data, start + 12)
    assert count == len(keys) == 3
    put(data, start + 20, *(key + 1 for key in keys[1:]))


def lying_cues(shop: Workshop, path: Path) -> None:
    """The index of a Matroska file sends every seek 9 bytes beyond a cluster's place."""
    remux(path, shop["h264.mp4"], options={"cluster_time_limit": "200"})
    data = bytearray(path.read_bytes())
    place = data.rindex(bytes.fromhex("1c53bb6b"))  # Cues
    while (place := data.find(b"\xf1\x82", place + 1)) >= 0:  # CueClusterPosition of two bytes
        (there,) = struct.unpack_from(">H", data, place + 2)
        struct.pack_into(">H", data, place + 2, there + 9)
    path.write_bytes(data)


def junk_before(shop: Workshop, path: Path) -> None:
    """A recording switched on in the middle of a packet."""
    remux(path, shop["h264.mp4"], format="mpegts")
    path.write_bytes(noise(101) + path.read_bytes())


CONTAINERS = [
    # the usual ones
    wrapped("h264.mkv", "Matroska"),
    wrapped("h264.mov", "QuickTime"),
    wrapped("h264.flv", "Flash"),
    wrapped("h264.ts", "a transport stream: no index", format="mpegts"),
    wrapped("h264.m2ts", "Blu-ray and camcorders: 192 bytes a packet", mpegts_m2ts_mode="1"),
    wrapped("h264.wmv", "ASF", "no_b.mp4"),
    wrapped("mpeg4.3gp", "3GP", "mpeg4.mp4"),
    coded("h264_b_pictures.avi", "AVI has no showing times", seconds=STEADY),
    either("h264_b_pictures.wmv", "ASF shows B pictures when they are decoded", copied("h264.mp4")),
    wrapped("h264_faststart.mp4", "index (moov) before the pictures", movflags="faststart"),
    # mp4 in pieces
    wrapped("h264_fragmented.mp4", "no count, no duration in moov", **FRAGMENTS),
    wrapped("h264_fragments_and_moov.mp4", "some pictures in moov", movflags="frag_keyframe"),
    wrapped("h264_dash.mp4", "sidx", movflags="dash+global_sidx+frag_keyframe"),
    wrapped("h264_fragment_each.mp4", "a fragment for every picture",
            movflags="frag_every_frame+empty_moov+default_base_moof"),
    wrapped("h264_hybrid.mp4", "fragments, and a moov over them all",
            movflags="hybrid_fragmented+frag_keyframe"),
    wrapped("h264_negative_offsets.mp4", "showing before decoding, by the table",
            movflags="negative_cts_offsets"),
    # counts, durations and key pictures that lie
    good("count_lies.avi", "the header says 1000 pictures", said_count(1000)),
    good("count_zero.avi", "the header says 0 pictures", said_count(0)),
    good("no_index.avi", "AVI without its index",
         altered("sound.avi", lambda data: data[: data.rindex(b"idx1")])),
    good("duration_lies.mp4", "the header says an hour", said_duration(3600)),
    good("duration_zero.mp4", "the header says 0 s", said_duration(0)),
    good("no_duration.mkv", "written to a pipe: no duration, no cues", through_a_pipe),
    either("all_keys.mp4", "all pass for keys (no stss)", replaced("h264.mp4", b"stss", b"free")),
    either("wrong_keys.mp4", "the wrong ones pass for keys", altered("h264.mp4", wrong_keys)),
    either("wrong_cues.mkv", "the index sends every seek astray", lying_cues),
    # boxes
    good("long_mdat.mp4", "a length of 64 bits", altered("h264.mp4", long_mdat)),
    good("open_mdat.mp4", "a box without a length: it goes on to the end of the file",
         altered("sound.mp4", lambda data: put(data, find_box(data, "mdat")[0], 0))),
    good("no_ftyp.mov", "QuickTime before 2001: it does not say what it is",
         altered("h264.mp4", lambda data: data.replace(b"ftyp", b"wide", 1))),
    good("two_moovs.mp4", "the index twice",
         altered("h264.mp4", lambda data: data + data[slice(*find_box(data, "moov"))])),
    good("garbage_behind.mp4", "noise behind the end",
         altered("h264.mp4", lambda data: data + noise(5000))),
    good("zeros_behind.avi", "zeros behind the end",
         altered("sound.avi", lambda data: data + bytes(5000))),
    good("unknown_box.mp4", "a box that nobody knows",
         altered("h264.mp4", lambda data: data + box("vvvv", bytes(500)))),
    good("junk_before.ts", "switched on in the middle of a packet", junk_before),
]  # fmt: skip


# --- when pictures are shown: rates, gaps, delays, clocks that jump, edit lists ---


def spaced(name: str, note: str, ticks, base: Fraction, **settings) -> Entry:
    """Pictures shown at these ticks of a time base."""
    ticks = list(ticks)
    seconds = [float((tick - ticks[0]) * base) for tick in ticks]
    make = of(ticks=ticks, time_base=base, **settings)
    return good(name, note, make, range(len(ticks)), seconds=seconds)


def tape_joined(shop: Workshop, path: Path) -> None:
    """Two recordings one after the other: at the seam the clock jumps back to the beginning."""
    parts = clip(shop.new("first.ts")), clip(shop.new("second.ts"), drawn=later(FRAMES))
    path.write_bytes(b"".join(part.read_bytes() for part in parts))


def size_changes(shop: Workshop, path: Path) -> None:
    """The second half has other pictures' size, as a television channel between programmes."""
    small, ticks = clip(shop.new("small.ts"), frames=12), list(range(12, 24))
    wide = clip(shop.new("large.ts"), frames=12, ticks=ticks, height=96, width=168)
    path.write_bytes(small.read_bytes() + wide.read_bytes())


def moved(packet: av.Packet, ticks: int) -> None:
    packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks


def jumps_back(place: int, packet: av.Packet) -> None:
    """From the second key picture on, 200 ms earlier."""
    if place >= 8:
        moved(packet, -int(Fraction(1, 5) / packet.time_base))


def two_edits(data: bytearray) -> bytearray:
    """An edit list of two stretches: pictures 0 to 7, then 16 to 23."""
    way = "moov", "trak", "edts", "elst"
    start, _ = find_box(data, *way)
    (first,) = struct.unpack_from(">i", data, start + 20)  # media time of picture 0
    stretches = [struct.pack(">IiI", 320, first + n * 512, 1 << 16) for n in (0, 16)]
    return exchanged(data, *way, new=box("elst", bytes(4), struct.pack(">I", 2), *stretches))


def backward_step(shop: Workshop, path: Path) -> None:
    """One step of the decoding clock is negative (stts), as some cameras write after a pause."""
    ticks = [*range(12), *range(15, 27)]
    data = bytearray(clip(shop.new("steps.mp4"), ticks=ticks, options={"bf": "0"}).read_bytes())
    start, _ = find_box(data, *SAMPLE_TABLE, "stts")
    place = data.index(struct.pack(">II", 1, 4 * 512), start)
    struct.pack_into(">i", data, place + 4, -512)
    path.write_bytes(data)


MS, RATE = Fraction(1, 1000), Fraction(1, 25)
UNEVEN = np.cumsum([0, *np.random.default_rng(0).choice([17, 33, 41, 100, 250], FRAMES - 1)])
GAP = [40 * number + 20_000 * (number >= 13) for number in range(FRAMES)]
PAIRS = [1000 * (number // 2) + number % 2 for number in range(FRAMES)]  # 0.1 ms apart
# the 33-bit clock of a transport stream goes back to 0 every 26.5 hours, here at number 12
WRAP = {"ticks": [2**33 - 12 * 3600 + 3600 * number for number in range(FRAMES)]}
WRAP["time_base"] = Fraction(1, 90_000)
WRAP["container_options"] = {"mpegts_copyts": "1", "avoid_negative_ts": "disabled"}

TIMES = [
    coded("rate_2997.mov", "30000/1001 fps", rate=Fraction(30_000, 1001)),
    coded("rate_1000.mp4", "1000 fps", rate=1000),
    coded("rate_tenth.mp4", "a picture every 10 s", rate=Fraction(1, 10)),
    coded("rate_1_1001.mkv", "a picture every 1001 s", rate=Fraction(1, 1001)),
    coded("base_1_1.mp4", "one tick a second", rate=1,
          container_options={"video_track_timescale": "1"}),
    coded("base_billionth.mp4", "a tick a nanosecond",
          container_options={"video_track_timescale": "1000000000"}),
    spaced("uneven.mp4", "variable rate, 17 to 250 ms", UNEVEN.tolist(), MS),
    spaced("uneven.mkv", "the same in Matroska", UNEVEN.tolist(), MS),
    spaced("gap_20_s.mp4", "nothing for 20 s", GAP, MS),
    spaced("gap_20_s.ts", "the same in a transport stream", GAP, MS),
    spaced("lying_rate.mkv", "20 fps, said to be 60", range(0, 50 * FRAMES, 50), MS, rate=60),
    spaced("shared_times.mkv", "pairs of pictures share one time", PAIRS, Fraction(1, 10_000)),
    spaced("late_start.mp4", "an edit list delays all by 5 s", range(125, 125 + FRAMES), RATE),
    spaced("late_start.mkv", "the first time is 5 s", range(125, 125 + FRAMES), RATE),
    spaced("hour_later.ts", "the first time is an hour", range(90_000, 90_000 + FRAMES), RATE),
    spaced("years_later.mkv", "30 years", range(10**12, 10**12 + 40 * FRAMES, 40), MS),
    good("clock_wraps.ts", "the 33-bit clock begins anew", of(**WRAP), seconds=STEADY),
    good("edit_list_cut.mp4", "pictures 0 to 4 are there, because 5 needs them, but not shown",
         copied("h264.mp4", lambda _, packet: moved(packet, -5 * 512),
                avoid_negative_ts="disabled"), range(5, FRAMES)),
    either("edit_list_two.mp4", "an edit list of two stretches", altered("h264.mp4", two_edits),
           [*range(8), *range(16, 24)]),
    either("clock_joined.ts", "two recordings joined: the clock jumps back", tape_joined,
           range(2 * FRAMES)),
    either("clock_jumps_back.flv", "from the 8th on earlier times", copied("no_b.mp4", jumps_back)),
    either("step_back.mp4", "a negative step between two pictures", backward_step),
    either("no_offsets.mp4", "B pictures without showing times (no ctts)",
           replaced("no_edits.mp4", b"ctts", b"free")),
    either("size_changes.ts", "from the 12th picture on they are larger", size_changes),
]  # fmt: skip


# --- what is beside the pictures, and how they are to be turned ---


def turned(name: str, note: str, *matrix: int, options=None, **facts) -> Entry:
    """Pictures are to be turned or mirrored, and drawn so that they are then upright."""
    a, b, c, d = matrix

    def drawn(number: int, height: int, width: int) -> np.ndarray:
        """The matrix takes (x, y) to (a x + c y, b x + d y); draw what it takes to the number."""
        if a or d:
            image = numbered(number, height, width)
            return image[:: d or 1, :: a or 1]
        return numbered(number, width, height)[::b, ::c].transpose(1, 0, 2)

    one, whole = 65536, 1 << 30  # 1.0 in its turning part; 1.0 in its last number
    in_full = [a * one, b * one, 0, c * one, d * one, 0, 0, 0, whole]
    make = of(height=112, matrix=in_full, drawn=drawn, options=options or {})
    return good(name, note, make, size=(112, WIDTH), **facts)  # square: wide enough either way


def beside(*bases: str, flag: int | None = None):
    """Streams side by side; one may be flagged as cover."""

    def before(container, streams):
        if flag is not None:
            streams[flag].disposition = av.stream.Disposition.attached_pic

    return lambda shop, path: remux(path, *(shop[base] for base in bases), before=before)


def second_track(shop: Workshop, path: Path) -> None:
    remux(path, shop["h264.mp4"], clip(shop.new("other.mp4"), drawn=later(500)))


def attachments(shop: Workshop, path: Path) -> None:
    def attach(container, streams):
        container.add_attachment("cover.jpg", "image/jpeg", shop["still.jpg"].read_bytes())
        container.add_attachment("font.ttf", "application/x-truetype-font", bytes(999))

    remux(path, shop["h264.mp4"], before=attach)


def empty_track_first(shop: Workshop, path: Path) -> None:
    """Two video tracks are announced; the first never gets a picture."""
    with av.open(str(shop["h264.mp4"])) as old, av.open(str(path), "w", options=FRAGMENTS) as new:
        source = old.streams.video[0]
        new.add_stream_from_template(source)
        stream = new.add_stream_from_template(source)
        for packet in old.demux(source):
            if packet.size:
                packet.stream = stream
                new.mux(packet)


def say_aspect(container, streams) -> None:
    streams[0].sample_aspect_ratio = Fraction(2)


TRACKS = [
    good("sound.mp4", "with sound", beside("h264.mp4", "short.m4a")),
    good("sound_first.mkv", "track 0 is the sound", beside("short.m4a", "h264.mp4")),
    good("sound_shorter.mp4", "1 s of pictures, 0.5 s of sound", beside("h264.mp4", "short.m4a")),
    good("sound_longer.mp4", "1 s of pictures, 4 s of sound", beside("h264.mp4", "long.m4a")),
    good("sound_longer.ts", "the same in a transport stream", beside("h264.mp4", "long.m4a")),
    good("two_videos.mp4", "two video tracks: the first counts", second_track),
    good("cover_first.mp4", "track 0 is a cover", beside("still.jpg", "h264.mp4", flag=0)),
    good("still_first.mp4", "track 0 is a still, not flagged", beside("still.jpg", "h264.mp4")),
    good("attachments.mkv", "a cover picture and a font attached", attachments),
    good("empty_track_first.mp4", "track 0 announces pictures and has none", empty_track_first),
    coded("one_frame.mp4", "1 picture", frames=1),
    coded("two_frames.mp4", "2 pictures", frames=2),
    turned("turned_90.mp4", "a quarter turn clockwise", 0, 1, -1, 0),
    turned("turned_180.mp4", "half a turn", -1, 0, 0, -1),
    turned("turned_270.mp4", "a quarter turn anticlockwise", 0, -1, 1, 0),
    turned("mirrored.mp4", "left and right exchanged", -1, 0, 0, 1),
    turned("upside_down.mp4", "top and bottom exchanged", 1, 0, 0, -1),
    turned("mirrored_90.mp4", "mirrored and turned", 0, 1, 1, 0),
    turned("mirrored_270.mp4", "mirrored and turned the other way", 0, -1, -1, 0),
    turned("turned_90.mkv", "a quarter turn, in Matroska", 0, 1, -1, 0),
    turned("turned_90_sar.mp4", "a quarter turn of pixels twice as wide as high", 0, 1, -1, 0,
           options=x264(sar="2/1"), pixel_aspect=0.5),
    good("sar_in_container.mp4", "pixel aspect said by the container only (pasp)",
         copied("h264.mp4", before=say_aspect), pixel_aspect=2.0),
    coded("sar_mpeg4.mp4", "12:11", MPEG4, options={"aspect": "12/11", **BITS},
          pixel_aspect=12 / 11),
]  # fmt: skip

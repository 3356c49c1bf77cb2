# ruff: noqa: F403, F405 - the tools of family_making have names that speak for themselves
"""How pictures are wrapped: containers and their boxes, headers that lie, when pictures are shown,
what lies beside them, and how they are to be turned."""

import struct
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
from family_coded import STEADY, coded
from family_making import *


def wrapped(name: str, base: str = "h264.mp4", format=None, **options) -> Entry:
    """A base file's packets in another container, with options of its writer."""
    return good(name, copied(base, format=format, **options))


def through_a_pipe(shop: Workshop, path: Path) -> None:
    """A writer that cannot go back: no length, no index."""
    with open(path, "wb") as file:
        remux(SimpleNamespace(write=file.write), shop["h264.mp4"], format="matroska")


def said_count(count: int):
    """An AVI whose header says another number of pictures."""
    said = struct.pack("<I", count)
    return patched("sound.avi", (b"avih", 24, said), (b"strh", 40, said))


def said_duration(seconds: int):
    """Movie, track and media all say another duration than the pictures have."""
    ways = ("mvhd",), ("trak", "mdia", "mdhd"), ("trak", "tkhd")
    places = zip(ways, (24, 24, 28), strict=True)
    said = words(seconds * 1000)
    return patched("h264.mp4", *((("moov", *way), offset, said) for way, offset in places))


def long_mdat(data: bytearray) -> None:
    """A box of pictures with a 64-bit length, as cameras write it: there is room before it."""
    start, end = find_box(data, "mdat")
    data[start - 8 : start + 8] = struct.pack(">I4sQ", 1, b"mdat", end - start + 8)


def wrong_keys(data: bytearray) -> None:
    """The table of key pictures (stss) names the picture after each of them."""
    start = find_box(data, *SAMPLE_TABLE, "stss")[0] + 20
    second, third = struct.unpack_from(">2I", data, start)
    data[start : start + 8] = words(second + 1, third + 1)


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
    remux(path, shop["h264.mp4"], format="mpegts")
    path.write_bytes(noise(101) + path.read_bytes())


EACH = "frag_every_frame+empty_moov+default_base_moof"

CONTAINERS = [
    # the usual ones
    *(wrapped(f"h264.{ending}") for ending in ("mkv", "mov", "flv")),
    wrapped("h264.ts", format="mpegts"),  # no index
    wrapped("h264.m2ts", mpegts_m2ts_mode="1"),  # Blu-ray and camcorders: 192 bytes a packet
    wrapped("h264.wmv", "no_b.mp4"),
    wrapped("mpeg4.3gp", "mpeg4.mp4"),
    coded("h264_b_pictures.avi", seconds=STEADY),  # AVI has no showing times
    either("h264_b_pictures.wmv", copied("h264.mp4")),  # shows B pictures when they are decoded
    wrapped("h264_faststart.mp4", movflags="faststart"),  # index (moov) before the pictures
    # mp4 in pieces
    wrapped("h264_fragmented.mp4", **FRAGMENTS),  # no count, no duration in moov
    wrapped("h264_fragments_and_moov.mp4", movflags="frag_keyframe"),  # some pictures in moov
    wrapped("h264_dash.mp4", movflags="dash+global_sidx+frag_keyframe"),
    wrapped("h264_fragment_each.mp4", movflags=EACH),
    wrapped("h264_hybrid.mp4", movflags="hybrid_fragmented+frag_keyframe"),  # a moov over them all
    wrapped("h264_negative_offsets.mp4", movflags="negative_cts_offsets"),  # shown before decoded
    # counts, durations and key pictures that lie
    good("count_lies.avi", said_count(1000)),
    good("count_zero.avi", said_count(0)),
    good("no_index.avi", altered("sound.avi", lambda data: data[: data.rindex(b"idx1")])),
    good("duration_lies.mp4", said_duration(3600)),
    good("duration_zero.mp4", said_duration(0)),
    good("no_duration.mkv", through_a_pipe),
    either("all_keys.mp4", replaced("h264.mp4", b"stss", b"free")),  # all pass for keys
    either("wrong_keys.mp4", altered("h264.mp4", wrong_keys)),
    either("wrong_cues.mkv", lying_cues),
    # boxes
    good("long_mdat.mp4", altered("h264.mp4", long_mdat)),
    good("open_mdat.mp4", patched("sound.mp4", (("mdat",), 0, bytes(4)))),  # on to the file's end
    good("no_ftyp.mov", replaced("h264.mp4", b"ftyp", b"wide")),  # QuickTime before 2001
    good("two_moovs.mp4",
         altered("h264.mp4", lambda data: data + data[slice(*find_box(data, "moov"))])),
    good("garbage_behind.mp4", altered("h264.mp4", lambda data: data + noise(5000))),
    good("zeros_behind.avi", altered("sound.avi", lambda data: data + bytes(5000))),
    good("unknown_box.mp4", altered("h264.mp4", lambda data: data + box("vvvv", bytes(500)))),
    good("junk_before.ts", junk_before),  # switched on in the middle of a packet
]  # fmt: skip


# --- when pictures are shown: rates, gaps, delays, clocks that jump, edit lists ---


def spaced(name: str, ticks, base: Fraction, **settings) -> Entry:
    """Pictures shown at these ticks of a time base."""
    ticks = list(ticks)
    seconds = [float((tick - ticks[0]) * base) for tick in ticks]
    return good(name, of(ticks=ticks, time_base=base, **settings), seconds=seconds)


def joined(**second):
    """12 pictures, then a second recording written with these settings: at the seam the clock
    jumps, or the size changes, as a television channel's between programmes."""

    def make(shop: Workshop, path: Path) -> None:
        frames = second.get("frames", FRAMES)
        parts = clip(shop.new("first.ts"), frames=frames), clip(shop.new("second.ts"), **second)
        path.write_bytes(b"".join(part.read_bytes() for part in parts))

    return make


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
    return exchanged(data, *way, new=box("elst", words(0, 2), *stretches))


def backward_step(shop: Workshop, path: Path) -> None:
    """One step of the decoding clock is negative (stts), as some cameras write after a pause."""
    ticks = [*range(12), *range(15, 27)]
    data = clip(shop.new("steps.mp4"), ticks=ticks, options={"bf": "0"}).read_bytes()
    path.write_bytes(data.replace(words(1, 4 * 512), words(1, 2**32 - 512)))


MS, RATE = Fraction(1, 1000), Fraction(1, 25)
UNEVEN = np.cumsum([0, *np.random.default_rng(0).choice([17, 33, 41, 100, 250], FRAMES - 1)])
GAP = [40 * number + 20_000 * (number >= 13) for number in range(FRAMES)]
PAIRS = [1000 * (number // 2) + number % 2 for number in range(FRAMES)]  # 0.1 ms apart
LATE = range(125, 125 + FRAMES)
LARGER = {"frames": 12, "ticks": list(range(12, 24)), "height": 96, "width": 168}
# the 33-bit clock of a transport stream goes back to 0 every 26.5 hours, here at number 12
WRAP = {"ticks": [2**33 - 12 * 3600 + 3600 * number for number in range(FRAMES)]}
WRAP["time_base"] = Fraction(1, 90_000)
WRAP["container_options"] = {"mpegts_copyts": "1", "avoid_negative_ts": "disabled"}

TIMES = [
    coded("rate_2997.mov", rate=Fraction(30_000, 1001)),
    coded("rate_1000.mp4", rate=1000),
    coded("rate_tenth.mp4", rate=Fraction(1, 10)),  # a picture every 10 s
    coded("rate_1_1001.mkv", rate=Fraction(1, 1001)),
    coded("base_1_1.mp4", rate=1, container_options={"video_track_timescale": "1"}),
    coded("base_billionth.mp4", container_options={"video_track_timescale": "1000000000"}),
    *(spaced(f"uneven.{ending}", UNEVEN.tolist(), MS) for ending in ("mp4", "mkv")),
    *(spaced(f"gap_20_s.{ending}", GAP, MS) for ending in ("mp4", "ts")),
    spaced("lying_rate.mkv", range(0, 50 * FRAMES, 50), MS, rate=60),  # it is 20
    spaced("shared_times.mkv", PAIRS, Fraction(1, 10_000)),  # pairs of pictures share one time
    *(spaced(f"late_start.{ending}", LATE, RATE) for ending in ("mp4", "mkv")),  # mp4: an edit list
    spaced("hour_later.ts", range(90_000, 90_000 + FRAMES), RATE),
    spaced("years_later.mkv", range(10**12, 10**12 + 40 * FRAMES, 40), MS),
    good("clock_wraps.ts", of(**WRAP), seconds=STEADY),
    # pictures 0 to 4 are there, because 5 needs them, but not shown
    good("edit_list_cut.mp4",
         copied("h264.mp4", lambda _, packet: moved(packet, -5 * 512),
                avoid_negative_ts="disabled"), range(5, FRAMES)),
    either("edit_list_two.mp4", altered("h264.mp4", two_edits), [*range(8), *range(16, 24)]),
    either("clock_joined.ts", joined(drawn=later(FRAMES)), range(2 * FRAMES)),
    either("clock_jumps_back.flv", copied("no_b.mp4", jumps_back)),
    either("step_back.mp4", backward_step),
    # B pictures without showing times (no ctts)
    either("no_offsets.mp4", replaced("no_edits.mp4", b"ctts", b"free")),
    either("size_changes.ts", joined(**LARGER)),
]  # fmt: skip


# --- what is beside the pictures, and how they are to be turned ---


def turned(name: str, a: int, b: int, c: int, d: int, options=None, **facts) -> Entry:
    """Pictures are to be turned or mirrored, and drawn so that they are then upright: the matrix
    takes (x, y) to (a x + c y, b x + d y)."""

    def drawn(number: int, height: int, width: int) -> np.ndarray:
        if a:
            return numbered(number, height, width)[::d, ::a]
        return numbered(number, width, height)[::b, ::c].transpose(1, 0, 2)

    make = of(height=112, turn=(a, b, c, d), drawn=drawn, options=options or {})
    return good(name, make, size=(112, WIDTH), **facts)  # square: wide enough either way


def beside(*bases: str, flag: int | None = None, **more):
    """Streams side by side; one may be flagged as cover."""

    def before(container, streams):
        if flag is not None:
            streams[flag].disposition = av.stream.Disposition.attached_pic

    return lambda shop, path: remux(path, *(shop[base] for base in bases), before=before, **more)


def second_track(shop: Workshop, path: Path) -> None:
    remux(path, shop["h264.mp4"], clip(shop.new("other.mp4"), drawn=later(500)))


def attachments(shop: Workshop, path: Path) -> None:
    def attach(container, streams):
        container.add_attachment("cover.jpg", "image/jpeg", shop["still.jpg"].read_bytes())
        container.add_attachment("font.ttf", "application/x-truetype-font", bytes(999))

    remux(path, shop["h264.mp4"], before=attach)


def say_aspect(container, streams) -> None:
    streams[0].sample_aspect_ratio = Fraction(2)


TRACKS = [
    *(good(name, beside("h264.mp4", "short.m4a")) for name in ("sound.mp4", "sound_shorter.mp4")),
    *(good(f"sound_longer.{ending}", beside("h264.mp4", "long.m4a")) for ending in ("mp4", "ts")),
    good("sound_first.mkv", beside("short.m4a", "h264.mp4")),
    good("two_videos.mp4", second_track),  # the first counts
    good("cover_first.mp4", beside("still.jpg", "h264.mp4", flag=0)),
    good("still_first.mp4", beside("still.jpg", "h264.mp4")),  # not flagged as cover
    good("attachments.mkv", attachments),
    # track 0 announces pictures and has none
    good("empty_track_first.mp4", beside("h264.mp4", "h264.mp4", options=FRAGMENTS, empty=1)),
    coded("one_frame.mp4", frames=1),
    coded("two_frames.mp4", frames=2),
    turned("turned_90.mp4", 0, 1, -1, 0),
    turned("turned_90.mkv", 0, 1, -1, 0),
    turned("turned_180.mp4", -1, 0, 0, -1),
    turned("turned_270.mp4", 0, -1, 1, 0),
    turned("mirrored.mp4", -1, 0, 0, 1),
    turned("upside_down.mp4", 1, 0, 0, -1),
    turned("mirrored_90.mp4", 0, 1, 1, 0),
    turned("mirrored_270.mp4", 0, -1, -1, 0),
    # pixels twice as wide as high, turned
    turned("turned_90_sar.mp4", 0, 1, -1, 0, options=x264(sar="2/1"), pixel_aspect=0.5),
    # pixel aspect said by the container only (pasp)
    good("sar_in_container.mp4", copied("h264.mp4", before=say_aspect), pixel_aspect=2.0),
    coded("sar_mpeg4.mp4", MPEG4, options={"aspect": "12/11", **BITS}, pixel_aspect=12 / 11),
]  # fmt: skip

"""When pictures are shown: rates, gaps, delays, clocks that jump, and edit lists."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from family_bytes import SAMPLE_TABLE, find_box, inserted
from family_codecs import coded
from family_containers import renamed
from family_entry import FRAMES, Entry, either, good, numbered
from family_writing import Workshop, clip, remux, shifted


def seconds_of(ticks: Sequence[int], base: Fraction | float) -> list[float]:
    return [float((tick - ticks[0]) * base) for tick in ticks]


def spaced(name: str, note: str, ticks, base: Fraction, kind="good", **settings) -> Entry:
    """Pictures shown at these ticks of a time base."""

    def make(shop: Workshop, path: Path) -> None:
        clip(path, ticks=list(ticks), time_base=base, **settings)

    return Entry(name, kind, note, make, range(len(ticks)), seconds=seconds_of(ticks, base))


def at_wrap(shop: Workshop, path: Path) -> None:
    """The 33-bit clock of a transport stream goes back to 0 every 26.5 hours, here at number 12."""
    ticks = [2**33 - 12 * 3600 + 3600 * number for number in range(FRAMES)]
    options = {"mpegts_copyts": "1", "avoid_negative_ts": "disabled"}
    base = Fraction(1, 90_000)
    clip(path, ticks=ticks, time_base=base, container_options=options)


def tape_joined(shop: Workshop, path: Path) -> None:
    """Two recordings one after the other: at the seam the clock jumps back to the beginning."""
    first, second = shop.new("first.ts"), shop.new("second.ts")
    clip(first)
    clip(second, drawn=lambda n, h, w: numbered(n + FRAMES, h, w))
    path.write_bytes(first.read_bytes() + second.read_bytes())


def size_changes(shop: Workshop, path: Path) -> None:
    """The second half has other pictures' size, as a television channel between programmes."""
    clip(shop.new("small.ts"), frames=12)
    ticks = range(12, 24)
    clip(shop.new("large.ts"), frames=12, ticks=list(ticks), height=96, width=168)
    path.write_bytes(shop.new("small.ts").read_bytes() + shop.new("large.ts").read_bytes())


def jumps_back(place: int, packet: av.Packet) -> None:
    """From the second key picture on, 200 ms earlier."""
    if place >= 8:
        ticks = int(Fraction(1, 5) / packet.time_base)
        packet.pts, packet.dts = packet.pts - ticks, packet.dts - ticks


def cut_by_edit_list(shop: Workshop, path: Path) -> None:
    """Pictures 0 to 4 are in the file, because 5 needs them, but are not to be shown."""
    remux(path, shop.h264, change=shifted(-5 * 512), options={"avoid_negative_ts": "disabled"})


def two_edits(shop: Workshop, path: Path) -> None:
    """An edit list of two stretches: pictures 0 to 7, then 16 to 23."""
    data = shop.h264.read_bytes()
    start, _ = find_box(data, "moov", "trak", "edts", "elst")
    (first,) = struct.unpack_from(">i", data, start + 20)  # media time of picture 0
    entries = struct.pack(">IiI", 320, first, 1 << 16) + struct.pack(
        ">IiI", 320, first + 16 * 512, 1 << 16
    )
    grown = inserted(
        shop.h264, path, "moov", "trak", "edts", "elst", at=28, new=bytes(len(entries) - 12)
    )
    data = bytearray(grown.read_bytes())
    start, _ = find_box(data, "moov", "trak", "edts", "elst")
    data[start + 12 : start + 16 + len(entries)] = struct.pack(">I", 2) + entries
    path.write_bytes(data)


def backward_step(shop: Workshop, path: Path) -> None:
    """One step of the decoding clock is negative (stts), as some cameras write after a pause."""
    base = clip(shop.new("steps.mp4"), ticks=[*range(12), *range(15, 27)], options={"bf": "0"})
    data = bytearray(base.read_bytes())
    start, _ = find_box(data, *SAMPLE_TABLE, "stts")
    place = data.index(struct.pack(">II", 1, 4 * 512), start)
    struct.pack_into(">i", data, place + 4, -512)
    path.write_bytes(data)


MS = Fraction(1, 1000)
UNEVEN = np.cumsum([0, *np.random.default_rng(0).choice([17, 33, 41, 100, 250], FRAMES - 1)])
GAP = [40 * number + 20_000 * (number >= 13) for number in range(FRAMES)]
PAIRS = [1000 * (number // 2) + number % 2 for number in range(FRAMES)]  # 0.1 ms apart


TIMES = [
    coded("rate_2997.mov", "30000/1001 fps", rate=Fraction(30_000, 1001)),
    coded("rate_1000.mp4", "1000 fps", rate=1000),
    coded("rate_tenth.mp4", "a picture every 10 s", rate=Fraction(1, 10)),
    coded("rate_1_1001.mkv", "a picture every 1001 s", rate=Fraction(1, 1001)),
    coded(
        "base_1_1.mp4",
        "one tick a second",
        rate=1,
        container_options={"video_track_timescale": "1"},
    ),
    coded(
        "base_billionth.mp4",
        "a tick a nanosecond",
        container_options={"video_track_timescale": "1000000000"},
    ),
    spaced("uneven.mp4", "variable rate, 17 to 250 ms", UNEVEN.tolist(), MS),
    spaced("uneven.mkv", "the same in Matroska", UNEVEN.tolist(), MS),
    spaced("gap_20_s.mp4", "nothing for 20 s", GAP, MS),
    spaced("gap_20_s.ts", "the same in a transport stream", GAP, MS),
    spaced(
        "lying_rate.mkv",
        "the header says 60 fps, pictures come at 20",
        range(0, 50 * FRAMES, 50),
        MS,
        rate=60,
    ),
    spaced("shared_times.mkv", "pairs of pictures share one time", PAIRS, Fraction(1, 10_000)),
    spaced(
        "late_start.mp4",
        "an edit list delays the first picture by 5 s",
        range(125, 125 + FRAMES),
        Fraction(1, 25),
    ),
    spaced("late_start.mkv", "the first time is 5 s", range(125, 125 + FRAMES), Fraction(1, 25)),
    spaced(
        "hour_later.ts",
        "the first time is an hour",
        range(90_000, 90_000 + FRAMES),
        Fraction(1, 25),
    ),
    spaced(
        "years_later.mkv", "the first time is 30 years", range(10**12, 10**12 + 40 * FRAMES, 40), MS
    ),
    good(
        "clock_wraps.ts",
        "the 33-bit clock begins anew",
        at_wrap,
        seconds=[n / 25 for n in range(FRAMES)],
    ),
    good(
        "edit_list_cut.mp4",
        "the first coded pictures are not to be shown",
        cut_by_edit_list,
        numbers=range(5, FRAMES),
    ),
    either(
        "edit_list_two.mp4",
        "an edit list of two stretches",
        two_edits,
        numbers=[*range(8), *range(16, 24)],
    ),
    either(
        "clock_joined.ts",
        "two recordings joined: the clock jumps back",
        tape_joined,
        numbers=range(2 * FRAMES),
    ),
    either(
        "clock_jumps_back.flv",
        "pictures from the 8th on have earlier times",
        lambda shop, path: remux(path, shop.no_b, change=jumps_back),
    ),
    either("step_back.mp4", "a negative step between two pictures", backward_step),
    either(
        "no_offsets.mp4",
        "B pictures whose showing times were lost (no ctts)",
        renamed(b"ctts", b"free", "no_edits"),
    ),
    either("size_changes.ts", "from the 12th picture on they are larger", size_changes),
]

"""How pictures are wrapped: containers, their boxes, and what their headers get wrong."""

import io
import struct
from pathlib import Path

import numpy as np
from family_bytes import SAMPLE_TABLE, box, find_box, replaced
from family_codecs import coded
from family_entry import Entry, either, good
from family_writing import Workshop, remux


def rewrapped(base: str, change=None, format=None, **options):
    def make(shop: Workshop, path: Path) -> None:
        remux(path, getattr(shop, base), change=change, format=format, options=options)

    return make


def wrapped(name: str, note: str, base: str = "h264", change=None, format=None, **options) -> Entry:
    """A base file's packets in another container, with options of its writer."""

    return good(name, note, rewrapped(base, change, format, **options))


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
        remux(Pipe(), shop.h264, format="matroska")


def without_index(shop: Workshop, path: Path) -> None:
    data = shop.mpeg4.read_bytes()
    path.write_bytes(data[: data.rindex(b"idx1")])


def said_count(count: int):
    """An AVI whose header says another number of pictures."""

    def make(shop: Workshop, path: Path) -> None:
        data = bytearray(shop.mpeg4.read_bytes())
        struct.pack_into("<I", data, data.index(b"avih") + 8 + 16, count)
        struct.pack_into("<I", data, data.index(b"strh") + 8 + 32, count)
        path.write_bytes(data)

    return make


def renamed(old: bytes, new: bytes, base: str = "h264"):
    return lambda shop, path: replaced(getattr(shop, base), path, old, new)


def appended(base: str, extra):
    """The file, and something behind its end."""

    def make(shop: Workshop, path: Path) -> None:
        source = getattr(shop, base)
        path.write_bytes(source.read_bytes() + extra(source))

    return make


def said_duration(seconds: int):
    """Movie, track and media all say another duration than the pictures have."""

    def make(shop: Workshop, path: Path) -> None:
        data = bytearray(shop.h264.read_bytes())
        for box_path, offset in (
            (("moov", "mvhd"), 24),
            (("moov", "trak", "tkhd"), 28),
            (("moov", "trak", "mdia", "mdhd"), 24),
        ):
            start, _ = find_box(data, *box_path)
            struct.pack_into(">I", data, start + offset, seconds * 1000)
        path.write_bytes(data)

    return make


def long_mdat(shop: Workshop, path: Path) -> None:
    """A box of pictures with a 64-bit length, as cameras write it."""
    data = bytearray(shop.h264.read_bytes())
    start, end = find_box(data, "mdat")
    before = data[start - 8 : start]
    assert before[4:] == b"free", "the writer leaves room for it"
    data[start - 8 : start + 8] = struct.pack(">I4sQ", 1, b"mdat", end - start + 8)
    path.write_bytes(data)


def open_mdat(shop: Workshop, path: Path) -> None:
    """A box of length 0 goes on to the end of the file."""
    data = bytearray(shop.fast_start.read_bytes())
    struct.pack_into(">I", data, find_box(data, "mdat")[0], 0)
    path.write_bytes(data)


def no_ftyp(shop: Workshop, path: Path) -> None:
    """QuickTime before 2001: the file does not say what it is."""
    path.write_bytes(shop.h264.read_bytes().replace(b"ftyp", b"wide", 1))


def wrong_keys(shop: Workshop, path: Path) -> None:
    """The table of key pictures (stss) names the picture after each of them."""
    data = bytearray(shop.h264.read_bytes())
    start, _ = find_box(data, *SAMPLE_TABLE, "stss")
    (count,) = struct.unpack_from(">I", data, start + 12)
    for place in range(1, count):
        (key,) = struct.unpack_from(">I", data, start + 16 + 4 * place)
        struct.pack_into(">I", data, start + 16 + 4 * place, key + 1)
    path.write_bytes(data)


def lying_cues(shop: Workshop, path: Path) -> None:
    """The index of a Matroska file sends every seek to the last cluster's place less 9 bytes."""
    remux(path, shop.h264, options={"cluster_time_limit": "200"})
    data = bytearray(path.read_bytes())
    start = data.rindex(bytes.fromhex("1c53bb6b"))  # Cues
    place = start
    while (place := data.find(b"\xf1\x82", place + 1)) >= 0:  # CueClusterPosition of two bytes
        data[place + 2 : place + 4] = struct.pack(
            ">H", struct.unpack_from(">H", data, place + 2)[0] + 9
        )
    path.write_bytes(data)


def junk_before(shop: Workshop, path: Path) -> None:
    """A recording switched on in the middle of a packet."""
    remux(path, shop.h264, format="mpegts")
    path.write_bytes(np.random.default_rng(0).bytes(101) + path.read_bytes())


FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}


CONTAINERS = [
    # the usual ones
    wrapped("h264.mkv", "Matroska"),
    wrapped("h264.mov", "QuickTime"),
    wrapped("h264.flv", "Flash"),
    wrapped("h264.ts", "a transport stream: no index", format="mpegts"),
    wrapped("h264.m2ts", "Blu-ray and camcorders: 192 bytes a packet", mpegts_m2ts_mode="1"),
    wrapped("h264.wmv", "ASF", base="no_b"),
    wrapped("mpeg4.3gp", "3GP", base="mpeg4_mp4"),
    coded("h264_b_pictures.avi", "AVI has no showing times"),
    either(
        "h264_b_pictures.wmv",
        "ASF gives B pictures the times at which they are decoded",
        rewrapped("h264"),
    ),
    wrapped("h264_faststart.mp4", "index (moov) before the pictures", movflags="faststart"),
    # mp4 in pieces
    wrapped("h264_fragmented.mp4", "no count, no duration in moov", **FRAGMENTS),
    wrapped(
        "h264_fragments_and_moov.mp4",
        "the first pictures in moov, the others in fragments",
        movflags="frag_keyframe",
    ),
    wrapped("h264_dash.mp4", "a segment index (sidx)", movflags="dash+global_sidx+frag_keyframe"),
    wrapped(
        "h264_fragment_each.mp4",
        "a fragment for every picture",
        movflags="frag_every_frame+empty_moov+default_base_moof",
    ),
    wrapped(
        "h264_hybrid.mp4",
        "fragments, and a moov over them all",
        movflags="hybrid_fragmented+frag_keyframe",
    ),
    wrapped(
        "h264_negative_offsets.mp4",
        "showing before decoding, by the table",
        movflags="negative_cts_offsets",
    ),
    # counts, durations and key pictures that lie
    good("count_lies.avi", "the header says 1000 pictures", said_count(1000)),
    good("count_zero.avi", "the header says 0 pictures", said_count(0)),
    good("no_index.avi", "AVI without its index", without_index),
    good("duration_lies.mp4", "the header says an hour", said_duration(3600)),
    good("duration_zero.mp4", "the header says 0 s", said_duration(0)),
    good("no_duration.mkv", "written to a pipe: no duration, no cues", through_a_pipe),
    either(
        "all_keys.mp4",
        "every picture passes for a key picture (no stss)",
        renamed(b"stss", b"free"),
    ),
    either("wrong_keys.mp4", "the wrong pictures pass for key pictures", wrong_keys),
    either("wrong_cues.mkv", "the index sends every seek astray", lying_cues),
    # boxes
    good("long_mdat.mp4", "a length of 64 bits", long_mdat),
    good("open_mdat.mp4", "a box without a length", open_mdat),
    good("no_ftyp.mov", "the file does not say what it is", no_ftyp),
    good(
        "two_moovs.mp4",
        "the index twice",
        appended(
            "h264",
            lambda source: source.read_bytes()[slice(*find_box(source.read_bytes(), "moov"))],
        ),
    ),
    good(
        "garbage_behind.mp4",
        "noise behind the end",
        appended("h264", lambda source: np.random.default_rng(0).bytes(5000)),
    ),
    good("zeros_behind.avi", "zeros behind the end", appended("mpeg4", lambda source: bytes(5000))),
    good(
        "unknown_box.mp4",
        "a box that nobody knows",
        appended("h264", lambda source: box("vvvv", bytes(500))),
    ),
    good("junk_before.ts", "switched on in the middle of a packet", junk_before),
]

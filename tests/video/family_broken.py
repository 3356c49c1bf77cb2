# ruff: noqa: F403, F405 - the tools of family_making have names that speak for themselves
"""What is wrong with files: cut, overwritten, forged; what was never a video; and where files lie:
names that mean something elsewhere, links, and things that are no files."""

import base64
import gzip
import io
import os
import socket
import struct
import sys
import zipfile
import zlib
from functools import partial
from pathlib import Path

import numpy as np
from family_making import *
from family_wrapped import beside
from PIL import Image

# --- what has become of files: cut, overwritten, or with pictures lost ---


def cut(ending: str, percent: int) -> Entry:
    make = altered(f"sound.{ending}", lambda data: data[: len(data) * percent // 100])
    says = "cut short" if ending in (*OFTEN, "avi") and percent == 50 else ""
    return damaged(f"cut_at_{percent}.{ending}", f"cut at {percent} %", make, says=says)


def zero_tail(ending: str) -> Entry:
    def change(data: bytearray) -> None:
        keep = len(data) * 7 // 10
        data[keep:] = bytes(len(data) - keep)

    make = altered(f"sound.{ending}", change)
    return damaged(f"zero_tail.{ending}", "the last third never arrived", make, garbles=True)


def overwritten(ending: str) -> Entry:
    def change(data: bytearray) -> None:
        middle, length = len(data) // 2, len(data) // 12
        data[middle : middle + length] = noise(length)

    make = altered(f"sound.{ending}", change)
    return damaged(f"noise_in_the_middle.{ending}", "a twelfth is noise", make, garbles=True)


def flipped(ending: str, seed: int) -> Entry:
    """A few bits wrong, as on a dying disk; behind the first eighth, where headers lie."""

    def change(data: bytearray) -> None:
        random = np.random.default_rng(seed)
        for place in random.integers(len(data) // 8, len(data), 1 + 2 * seed):
            data[place] ^= 1 << random.integers(8)

    make = altered(f"sound.{ending}", change)
    return damaged(f"flipped_{seed}.{ending}", f"{1 + 2 * seed} bits wrong", make, garbles=True)


def tuned_in(ending: str) -> Entry:
    """A recording that begins with the third coded picture; which are shown hangs on the codec."""
    base = "sound.avi" if ending == "avi" else "h264.mp4"
    shown = range(2, FRAMES) if ending == "avi" else [1, 2, 4, 5, 6, 7, *range(8, FRAMES)]
    make = copied(base, without(0, 1))
    note, says = "begins between key pictures", "between two key frames"
    return damaged(f"tuned_in.{ending}", note, make, shown, says=says)


def lost_picture(ending: str) -> Entry:
    """A picture that others rest on is missing (the 13th in coding order). FFmpeg conceals the
    hole in H.264's own numbering and only logs it, so that two pictures may come out garbled."""
    numbers = [number for number in range(FRAMES) if number != 14]
    make = copied("rich.mp4", without(12))
    note = "a picture that others rest on is gone"
    return damaged(f"lost_picture.{ending}", note, make, numbers, garbles=True)


def lost_packets(data: bytearray) -> bytes:
    """Every 25th packet of a broadcast was not received."""
    parts = [data[start : start + 188] for start in range(0, len(data), 188)]
    return b"".join(part for place, part in enumerate(parts) if place % 25 != 24)


def swapped(data: bytearray) -> bytes:
    """Two stretches of a broadcast changed places."""
    third = len(data) // 188 // 3 * 188
    return data[:third] + data[2 * third :] + data[third : 2 * third]


OFTEN = ("mp4", "mkv", "ts", "webm")

DAMAGE = [
    bad("no_index.mp4", "cut before the index (moov), which comes last",
        altered("rich.mp4", lambda data: data[: len(data) * 6 // 10]), says="index (moov)"),
    bad("header_only.mp4", "an index, and not one picture",
        altered("sound.mp4", lambda data: data[: find_box(data, "mdat")[0] + 8]), says="cut short"),
    bad("first_32_bytes.mp4", "nothing but the name of the format",
        altered("h264.mp4", lambda data: data[:32])),
    bad("ascii_mode.mp4", "sent as text: every line end became two bytes",
        altered("sound.mp4", lambda data: data.replace(b"\n", b"\r\n"))),
    bad("as_utf8.mp4", "read as text and written again: what is no UTF-8 became question marks",
        altered("sound.mp4", lambda data: data.decode(errors="replace").encode())),
    damaged("headless.mp4", "the first 4096 bytes are zeros",
            altered("sound.mp4", lambda data: bytes(4096) + data[4096:])),
    *(cut(ending, 50) for ending in SOUND),
    *(cut(ending, percent) for ending in (*OFTEN, "avi") for percent in (20, 80, 97)),
    *(zero_tail(ending) for ending in (*OFTEN, "avi", "gif")),
    *(overwritten(ending) for ending in SOUND),
    *(flipped(ending, seed) for ending in OFTEN for seed in range(6)),
    *(flipped(ending, 3) for ending in SOUND if ending not in (*OFTEN, "gif")),
    # not seed 3, which makes a picture look like the one before: a GIF has nothing to check it by
    flipped("gif", 4),
    *(tuned_in(ending) for ending in ("ts", "mkv", "mp4", "flv", "avi")),
    *(lost_picture(ending) for ending in ("ts", "mkv", "mp4", "flv")),
    good("lost_b_picture.mkv", "a picture that no other rests on is gone: the others are sound",
         copied("h264.mp4", without(3)), [0, 1, *range(3, FRAMES)]),
    damaged("lost_packets.ts", "a broadcast with gaps", altered("sound.ts", lost_packets)),
    damaged("swapped.ts", "two stretches changed places", altered("sound.ts", swapped)),
]  # fmt: skip


# --- files that lie on purpose: monstrous sizes, impossible tables, other codecs ---


def table(name: str, offset: int, new: bytes):
    """An mp4 with some bytes of a table of its index overwritten."""

    def change(data: bytearray) -> None:
        start = find_box(data, *SAMPLE_TABLE, name)[0] + offset
        data[start : start + len(new)] = new

    return altered("sound.mp4", change)


def long_box(name: str, size: int, base: str = "sound.mp4"):
    """An mp4 in which a box says a 64-bit size that it cannot have."""

    def change(data: bytearray) -> None:
        start, _ = find_box(data, name)
        data[start : start + 8] = struct.pack(">I4sQ", 1, name.encode(), size)

    return altered(base, change)


def deep() -> bytes:
    """Boxes in boxes, 20 000 of them."""
    data = b""
    while len(data) < 8 * 20_000:
        data = struct.pack(">I4s", 8 + len(data), b"moov") + data
    return box("ftyp", b"isom", bytes(4), b"isom") + data


def endless_element(data: bytearray) -> None:
    """A Matroska element near the end says that it has 2^56 - 2 bytes."""
    start = data.rindex(bytes.fromhex("1f43b675"))  # Cluster
    data[start + 4 : start + 12] = b"\x01" + b"\xff" * 6 + b"\xfe"


def foreign_index(shop: Workshop, path: Path) -> None:
    other = clip(shop.new("foreign.mp4"), options={"g": "5"}, drawn=later(99)).read_bytes()
    index = shop["sound.mp4"].read_bytes()
    pictures = other[slice(*find_box(other, "mdat"))]
    path.write_bytes(index[: find_box(index, "mdat")[0]] + pictures)


def png_bomb() -> bytes:
    """An animated PNG of 60000x60000 zeros, which compress well."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    size = struct.pack(">II", 60_000, 60_000)
    parts = {
        b"IHDR": size + bytes([8, 2, 0, 0, 0]),
        b"acTL": struct.pack(">II", 1, 0),
        b"fcTL": struct.pack(">I", 0) + size + struct.pack(">IIHHBB", 0, 0, 1, 25, 0, 0),
        b"IDAT": zlib.compress(bytes(10_000_000)),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts.items())


def jpeg_bomb(data: bytearray) -> None:
    second = data.index(b"\xff\xc0", data.index(b"\xff\xc0") + 2)
    data[second + 5 : second + 9] = struct.pack(">HH", 65_500, 65_500)


GIF_BOMB = b"GIF89a" + struct.pack("<HH", 16000, 16000) + b"\x80\0\0\0\0\0\xff\xff\xff"
GIF_BOMB += b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
SECRET = {"encryption_key": "ab" * 16, "encryption_kid": "cd" * 16}
BILLIONS = b"\x7f\xff\xff\xff"  # 2^31 - 1

FORGED = [
    bad("bomb.gif", "35 bytes that ask for 256 megapixels", holding(GIF_BOMB), says="16000x16000"),
    bad("bomb.png", "60000x60000", lambda shop, path: path.write_bytes(png_bomb())),
    bad("bomb.y4m", "65535x65535", holding("YUV4MPEG2 W65535 H65535 F25:1 C420\nFRAME\n")),
    damaged("bomb_inside.avi", "picture 2 of 65500x65500", altered("sound.mjpeg.avi", jpeg_bomb)),
    damaged("sizes_2_31.mp4", "2^31 - 1 pictures", table("stsz", 16, BILLIONS)),
    damaged("times_2_31.mp4", "2^31 times", table("stts", 12, b"\x80\0\0\0")),
    damaged("times_2_32.mp4", "a step repeated 2^32 - 1 times", table("stts", 16, b"\xff" * 4)),
    damaged("offsets_2_31.mp4", "2^31 - 1 places", table("stco", 12, BILLIONS)),
    damaged("chunks_2_31.mp4", "a chunk of 2^31 - 1 pictures", table("stsc", 20, BILLIONS)),
    damaged("huge_picture.mp4", "a picture of 2 GB", table("stsz", 32, b"\x7f\xff\xff\xf0")),
    damaged("empty_picture.mp4", "a picture of 0 bytes", table("stsz", 32, bytes(4))),
    damaged("place_beyond.mp4", "behind the end of the file", table("stco", 16, b"\x7f\0\0\0")),
    damaged("place_zero.mp4", "pictures lie at its beginning", table("stco", 16, bytes(4))),
    damaged("box_2_63.mp4", "moov says 2^63 - 1 bytes", long_box("moov", 2**63 - 1)),
    damaged("box_2_64.mp4", "moov says 2^64 - 1 bytes", long_box("moov", 2**64 - 1)),
    damaged("mdat_2_63.mp4", "mdat says 2^63 - 8 bytes, and moov follows",
            long_box("mdat", 2**63 - 8, "h264.mp4")),
    damaged("endless_element.mkv", "2^56 - 2 bytes", altered("sound.mkv", endless_element)),
    bad("deep.mp4", "boxes in boxes in boxes", holding(deep())),
    bad("encrypted.mp4", "as shops sell them: the pictures are there, the key is not",
        copied("h264.mp4", encryption_scheme="cenc-aes-ctr", **SECRET)),
    bad("unknown_codec.mp4", "a codec that nobody knows", replaced("h264.mp4", b"avc1", b"zz9z")),
    bad("unknown_codec.mkv", "a codec that nobody knows",
        replaced("h264.mkv", b"V_MPEG4/ISO/AVC", b"V_MPEG9/XYZ/ABC")),
    bad("unknown_codec.avi", "a codec that nobody knows", replaced("sound.avi", b"FMP4", b"ZZ9Z")),
    damaged("wrong_codec.mp4", "says it is HEVC", replaced("h264.mp4", b"avc1", b"hvc1")),
    damaged("foreign_index.mp4", "index of one file, pictures of another", foreign_index),
]  # fmt: skip


# --- what was never a video: texts, pictures, sound, noise; and what points elsewhere ---


def zipped(data: bytearray) -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        archive.writestr("clip.mp4", data)
    return file.getvalue()


def playlist(text: str):
    """A text that points at a sound video beside it."""

    def make(shop: Workshop, path: Path) -> None:
        path.with_name("beside.mp4").write_bytes(shop["h264.mp4"].read_bytes())
        path.write_text(text)

    return make


def numbered_series(shop: Workshop, path: Path) -> Path:
    """A name that FFmpeg takes for the pictures beside it; no such file exists."""
    folder = shop.folder / "series"
    folder.mkdir()
    for number in range(3):
        still(shop, folder / f"{number:03d}.png")
    return folder / "%03d.png"


def still(shop: Workshop, path: Path) -> None:
    Image.fromarray(numbered(0, HEIGHT, WIDTH)).save(path)


def subtitles_in(shop: Workshop, path: Path) -> None:
    text = shop.new("subtitles.srt")
    text.write_text(SUBTITLES)
    remux(path, text)


def elsewhere(link: bytes):
    """An index (moov) whose data reference (dref) names another file, which has the pictures."""

    def make(shop: Workshop, path: Path) -> None:
        data = shop["h264.mp4"].read_bytes()
        path.with_name("elsewhere_target.mp4").write_bytes(data)
        reference = box("dref", bytes(4), struct.pack(">I", 1), link)
        data = exchanged(data, "moov", "trak", "mdia", "minf", "dinf", "dref", new=reference)
        path.write_bytes(b"".join(data[slice(*find_box(data, name))] for name in ("ftyp", "moov")))

    return make


TARGET = b"elsewhere_target.mp4"
ALIAS = bytes(50) + bytes([len(TARGET)]) + TARGET.ljust(63, b"\0") + bytes(16)
ALIAS += struct.pack(">HH", 1, 1) + bytes(16) + struct.pack(">hH", 2, len(TARGET)) + TARGET
ALIAS += struct.pack(">hH", -1, 0)
SUBTITLES = "1\n00:00:00,000 --> 00:00:01,000\nHello\n"
M3U8 = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nbeside.mp4\n#EXT-X-ENDLIST\n"
BASE = "<BaseURL>beside.mp4</BaseURL>"
MPD = f'<?xml version="1.0"?>\n<MPD type="static"><Period>{BASE}</Period></MPD>'
ASX = '<asx version="3.0"><entry><ref href="beside.mp4"/></entry></asx>'
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 84739\n"
NO_GIF = b"GIF89a" + struct.pack("<HH", WIDTH, HEIGHT) + b"\0\0\0;"

NO_VIDEO = [
    bad("empty.mp4", "0 bytes", holding(b""), says="empty (0 bytes)"),
    bad("one_byte.mp4", "1 byte", holding(b"\0")),
    bad("text.mp4", "a text", holding("Dear diary,\nnothing happened.\n" * 30), says="text file"),
    bad("page.mp4", "an error page", holding("<!DOCTYPE html><html>404</html>"), says="web page"),
    bad("json.mp4", "an error message", holding('{"error": "quota exceeded"}')),
    bad("lfs_pointer.mp4", "a Git LFS pointer, not fetched", holding(LFS), says="git lfs pull"),
    bad("noise.mp4", "noise", holding(noise(5000)), says="no video that can be read"),
    bad("zeros.mp4", "zeros", holding(bytes(5000)), says="no video that can be read"),
    bad("ones.mp4", "bytes of 255, as from an empty memory chip", holding(b"\xff" * 5000)),
    bad("gzip.mp4", "a video, but packed", altered("h264.mp4", gzip.compress)),
    bad("zip.mp4", "a video in an archive", altered("h264.mp4", zipped)),
    bad("base64.mp4", "a video as text", altered("h264.mp4", base64.encodebytes)),
    bad("song.m4a", "sound only", altered("short.m4a", bytes), says="there is sound"),
    bad("song_with_cover.mp4", "sound, and a cover", beside("short.m4a", "still.jpg", flag=1)),
    bad("subtitles.srt", "subtitles only", holding(SUBTITLES)),
    bad("subtitles.mkv", "subtitles only, in Matroska", subtitles_in),
    bad("raw.yuv", "pictures not coded and without their size", holding(noise(WIDTH * HEIGHT * 3))),
    bad("no_pictures.gif", "a GIF of no picture", holding(NO_GIF)),
    *(either(f"still.{ending}", "a still picture", still, range(1), says="is a still picture")
      for ending in ("jpg", "png", "bmp", "webp", "tiff")),
    # texts that point elsewhere
    bad("playlist.mp4", "an FFmpeg script", playlist("ffconcat version 1.0\nfile beside.mp4\n"),
        says="playlist,"),
    bad("playlist.m3u8", "HLS", playlist(M3U8), says="playlist,"),
    bad("playlist_as.ts", "HLS under another name", playlist(M3U8)),
    bad("playlist.mpd", "DASH", playlist(MPD)),
    bad("playlist.pls", "Winamp", playlist("[playlist]\nFile1=beside.mp4\nNumberOfEntries=1\n")),
    bad("playlist.asx", "Windows Media", playlist(ASX), says="playlist,"),
    bad("session.sdp", "asks to listen to the network", holding(SDP)),
    bad("address.mp4", "an address on the web", holding("http://127.0.0.1:9/clip.mp4\n")),
    bad("series_%03d.png", "a name for a series of pictures", numbered_series, is_file=False),
    bad("elsewhere.mp4", "names another file", elsewhere(box("alis", bytes(4), ALIAS))),
    bad("elsewhere_by_url.mp4", "names a URL", elsewhere(box("url ", bytes(4), TARGET + b"\0"))),
]  # fmt: skip


# --- where files lie ---

NAMES = {
    "spaces": " two  spaces .mp4",
    "quotes": 'it\'s "quoted" `x` $(y).mp4',
    "percent": "frame%03d.mp4",  # FFmpeg's image2 takes it for a numbered series
    "colon": "http:clip.mp4",  # ... and this for a protocol
    "pipe_protocol": "pipe:0",
    "concat_protocol": "concat:a.mp4|b.mp4",
    "file_protocol": "file:clip.mp4",
    "glob": "*[1]{2}?.mp4",
    "dash": "-i.mp4",
    "backslash": "a\\b.mp4",
    "newline_tab": "two\tlines\u2028.mp4",
    "umlauts": "Über Größe ← 視頻.mp4",
    "hidden": ".mp4",
    "dots": "clip..mp4.",
    "250_bytes": "n" * 246 + ".mp4",
    "no_extension": "clip",
    "wrong_extension": "clip.avi",
    "picture_extension": "clip.jpg",  # FFmpeg's image2 takes it for a still picture
    "text_extension": "clip.txt",
    "playlist_extension": "clip.m3u8",
}
if sys.platform == "linux":
    NAMES["non_utf8"] = b"caf\xe9 \xff.mp4"

here, not_here = (partial(kind, is_file=False) for kind in (good, bad))


def called(label: str, name: str | bytes) -> Entry:
    """The base file under another name, in a folder of its own."""

    def make(shop: Workshop, path: Path) -> Path:
        folder = shop.folder / f"called {label}"
        folder.mkdir()
        target = folder / os.fsdecode(name)
        target.write_bytes(shop["h264.mp4"].read_bytes())
        return target

    return here(f"called_{label}", f"called {name!r}"[:60], make)


def link_to(target: str):
    """A symbolic link to this path, which need not exist."""
    return lambda shop, path: path.symlink_to(target)


def chain(shop: Workshop, path: Path) -> None:
    links = [shop.new(f"link {step}") for step in range(5)] + [path]
    for link, target in zip(links, [shop["h264.mp4"], *links], strict=False):
        link.symlink_to(target)


def loop(shop: Workshop, path: Path) -> None:
    path.symlink_to(path.name + "2")
    path.with_name(path.name + "2").symlink_to(path.name)


def through_linked_folder(shop: Workshop, path: Path) -> Path:
    path.symlink_to(shop["h264.mp4"].parent)
    return path / "h264.mp4"


def forbidden(shop: Workshop, path: Path) -> None:
    path.write_bytes(shop["h264.mp4"].read_bytes())
    path.chmod(0)


def beyond_a_file(shop: Workshop, path: Path) -> Path:
    path.write_bytes(shop["h264.mp4"].read_bytes())
    return path / "clip.mp4"


def listening_socket(shop: Workshop, path: Path) -> None:
    """A Unix socket; its name must be short, so that it is bound from within its folder."""
    before = os.getcwd()
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(before)


READS_ANYTHING = hasattr(os, "geteuid") and os.geteuid() == 0  # so does root
PLACES = [
    *(called(label, name) for label, name in NAMES.items()),
    here("relative_link.mp4", "a relative symbolic link",
         lambda shop, path: path.symlink_to(os.path.relpath(shop["h264.mp4"], path.parent))),
    here("chain_of_links.mp4", "a link to a link to a link ...", chain),
    here("linked_folder", "a folder on the way is a link", through_linked_folder),
    not_here("loop_of_links.mp4", "two links that point at each other", loop),
    not_here("dangling_link.mp4", "a link to nothing", link_to("nothing.mp4")),
    not_here("missing.mp4", "no such file", lambda shop, path: None, says="no such file"),
    not_here("folder.mp4", "a folder", lambda shop, path: path.mkdir(), says="is a folder"),
    not_here("file_as_folder.mp4", "a path that goes on where a file ends", beyond_a_file),
    not_here("name_too_long", "300 bytes", lambda shop, path: shop.folder / ("n" * 300)),
    not_here("nul_in_name", "a NUL", lambda shop, _: shop.folder / "a\0b.mp4", says="be opened"),
    (here if READS_ANYTHING else not_here)("no_permission.mp4", "nobody may read it", forbidden),
]  # fmt: skip
if hasattr(os, "mkfifo"):
    PLACES += [
        not_here("pipe.mp4", "a pipe", lambda _, path: os.mkfifo(path), says="pipe or a device"),
        not_here("socket.mp4", "a socket", listening_socket),
        not_here("link_to_zero.mp4", "a link to an endless device", link_to("/dev/zero")),
        not_here("link_to_random.mp4", "another one", link_to("/dev/urandom")),
        not_here("link_to_null.mp4", "a link to an empty device", link_to("/dev/null")),
        not_here("link_to_folder.mp4", "a link to a folder", link_to(".")),
    ]
if sys.platform == "linux":
    proc = "/proc/self/"
    PLACES += [
        not_here("link_to_full.mp4", "a device that is always full", link_to("/dev/full")),
        not_here("link_to_proc.mp4", "0 bytes that have text", link_to("/proc/cpuinfo")),
        not_here("link_to_memory.mp4", "a beginning that cannot be read", link_to(proc + "mem")),
        not_here("link_to_pagemap.mp4", "0 bytes without end", link_to(proc + "pagemap")),
    ]

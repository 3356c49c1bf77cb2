# ruff: noqa: F403, F405 - the tools of family_making have names that speak for themselves
"""What is wrong with files: cut, overwritten, forged; what was never a video; and where files lie:
names that mean something elsewhere, links, and things that are no files."""

import base64
import contextlib
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
    return damaged(f"cut_at_{percent}.{ending}", make, says=says)


def spoilt(name: str, change) -> Entry:
    """A sound file, e.g. sound.mkv for zero_tail.mkv, of which some bytes are now others."""
    return damaged(name, altered(f"sound.{name.split('.', 1)[1]}", change), garbles=True)


def zero_tail(data: bytearray) -> bytes:
    keep = len(data) * 7 // 10
    return data[:keep] + bytes(len(data) - keep)


def overwritten(data: bytearray) -> None:
    middle, length = len(data) // 2, len(data) // 12
    data[middle : middle + length] = noise(length)


def flipped(ending: str, seed: int) -> Entry:
    """A few bits wrong, as on a dying disk; behind the first eighth, where headers lie."""

    def change(data: bytearray) -> None:
        random = np.random.default_rng(seed)
        for place in random.integers(len(data) // 8, len(data), 1 + 2 * seed):
            data[place] ^= 1 << random.integers(8)

    return spoilt(f"flipped_{seed}.{ending}", change)


def tuned_in(ending: str) -> Entry:
    """A recording that begins with the third coded picture; which are shown hangs on the codec."""
    base = "sound.avi" if ending == "avi" else "h264.mp4"
    shown = range(2, FRAMES) if ending == "avi" else [1, 2, 4, 5, 6, 7, *range(8, FRAMES)]
    make = copied(base, without(0, 1))
    return damaged(f"tuned_in.{ending}", make, shown, says="between two key frames")


def lost_picture(ending: str) -> Entry:
    """A picture that others rest on is missing (the 13th in coding order). FFmpeg conceals the
    hole in H.264's own numbering and only logs it, so that two pictures may come out garbled."""
    numbers = [number for number in range(FRAMES) if number != 14]
    make = copied("rich.mp4", without(12))
    return damaged(f"lost_picture.{ending}", make, numbers, garbles=True)


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
    bad("no_index.mp4", altered("rich.mp4", lambda data: data[: len(data) * 6 // 10]),
        says="index (moov)"),
    bad("header_only.mp4",  # an index, and not one picture
        altered("sound.mp4", lambda data: data[: find_box(data, "mdat")[0] + 8]), says="cut short"),
    bad("first_32_bytes.mp4", altered("h264.mp4", lambda data: data[:32])),
    bad("ascii_mode.mp4", replaced("sound.mp4", b"\n", b"\r\n")),  # every line end, sent as text
    # read as text and written again: what is no UTF-8 became question marks
    bad("as_utf8.mp4", altered("sound.mp4", lambda data: data.decode(errors="replace").encode())),
    damaged("headless.mp4", altered("sound.mp4", lambda data: bytes(4096) + data[4096:])),
    *(cut(ending, 50) for ending in SOUND),
    *(cut(ending, percent) for ending in (*OFTEN, "avi") for percent in (20, 80, 97)),
    *(spoilt(f"zero_tail.{ending}", zero_tail) for ending in (*OFTEN, "avi", "gif")),
    *(spoilt(f"noise_in_the_middle.{ending}", overwritten) for ending in SOUND),
    *(flipped(ending, seed) for ending in OFTEN for seed in range(6)),
    *(flipped(ending, 3) for ending in SOUND if ending not in (*OFTEN, "gif")),
    # not seed 3, which makes a picture look like the one before: a GIF has nothing to check it by
    flipped("gif", 4),
    *(tuned_in(ending) for ending in ("ts", "mkv", "mp4", "flv", "avi")),
    *(lost_picture(ending) for ending in ("ts", "mkv", "mp4", "flv")),
    # a picture that no other rests on is gone: the others are sound
    good("lost_b_picture.mkv", copied("h264.mp4", without(3)), [0, 1, *range(3, FRAMES)]),
    damaged("lost_packets.ts", altered("sound.ts", lost_packets)),
    damaged("swapped.ts", altered("sound.ts", swapped)),
]  # fmt: skip


# --- files that lie on purpose: monstrous sizes, impossible tables, other codecs ---


def table(table: str, offset: int, *numbers: int):
    """An mp4 with some numbers of a table of its index overwritten."""
    return patched("sound.mp4", ((*SAMPLE_TABLE, table), offset, words(*numbers)))


def long_box(name: str, size: int, base: str = "sound.mp4"):
    """An mp4 in which a box says a 64-bit size that it cannot have."""
    head = struct.pack(">I4sQ", 1, name.encode(), size)

    def change(data: bytearray) -> None:
        start, _ = find_box(data, name)
        data[start : start + 8] = head

    return altered(base, change)


def deep() -> bytes:
    """Boxes in boxes, 20 000 of them."""
    data = b""
    while len(data) < 8 * 20_000:
        data = words(8 + len(data)) + b"moov" + data
    return box("ftyp", b"isom", bytes(4), b"isom") + data


def foreign_index(shop: Workshop, path: Path) -> None:
    """The index of one file, the pictures of another."""
    other = clip(shop.new("foreign.mp4"), options={"g": "5"}, drawn=later(99)).read_bytes()
    index = shop["sound.mp4"].read_bytes()
    pictures = other[slice(*find_box(other, "mdat"))]
    path.write_bytes(index[: find_box(index, "mdat")[0]] + pictures)


def png_bomb() -> bytes:
    """An animated PNG of 60000x60000 zeros, which compress well."""
    parts = {
        b"IHDR": words(60_000, 60_000) + bytes([8, 2, 0, 0, 0]),
        b"acTL": words(1, 0),
        b"fcTL": words(0, 60_000, 60_000) + struct.pack(">IIHHBB", 0, 0, 1, 25, 0, 0),
        b"IDAT": zlib.compress(bytes(10_000_000)),
        b"IEND": b"",
    }
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in parts.items():
        data += words(len(body)) + kind + body + words(zlib.crc32(kind + body))
    return data


def jpeg_bomb(data: bytearray) -> None:
    second = data.index(b"\xff\xc0", data.index(b"\xff\xc0") + 2)
    data[second + 5 : second + 9] = struct.pack(">HH", 65_500, 65_500)


GIF_BOMB = b"GIF89a" + struct.pack("<HH", 16000, 16000) + b"\x80\0\0\0\0\0\xff\xff\xff"
GIF_BOMB += b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
SECRET = {"encryption_key": "ab" * 16, "encryption_kid": "cd" * 16}
BILLIONS, CLUSTER = 2**31 - 1, bytes.fromhex("1f43b675")
ENDLESS = b"\x01" + b"\xff" * 6 + b"\xfe"  # 2^56 - 2 bytes, says a Matroska element

FORGED = [
    bad("bomb.gif", holding(GIF_BOMB), says="16000x16000"),  # 35 bytes that ask for 256 megapixels
    bad("bomb.png", lambda shop, path: path.write_bytes(png_bomb())),
    bad("bomb.y4m", holding("YUV4MPEG2 W65535 H65535 F25:1 C420\nFRAME\n")),
    damaged("bomb_inside.avi", altered("sound.mjpeg.avi", jpeg_bomb)),  # picture 2 of 65500x65500
    damaged("sizes_2_31.mp4", table("stsz", 16, BILLIONS)),  # so many pictures
    damaged("times_2_31.mp4", table("stts", 12, 2**31)),
    damaged("times_2_32.mp4", table("stts", 16, 2**32 - 1)),  # a step repeated so often
    damaged("offsets_2_31.mp4", table("stco", 12, BILLIONS)),
    damaged("chunks_2_31.mp4", table("stsc", 20, BILLIONS)),  # a chunk of so many pictures
    damaged("huge_picture.mp4", table("stsz", 32, 0x7FFFFFF0)),
    damaged("empty_picture.mp4", table("stsz", 32, 0)),
    damaged("place_beyond.mp4", table("stco", 16, 0x7F000000)),  # behind the end of the file
    damaged("place_zero.mp4", table("stco", 16, 0)),
    damaged("box_2_63.mp4", long_box("moov", 2**63 - 1)),
    damaged("box_2_64.mp4", long_box("moov", 2**64 - 1)),
    damaged("mdat_2_63.mp4", long_box("mdat", 2**63 - 8, "h264.mp4")),  # and moov follows
    damaged("endless_element.mkv", patched("sound.mkv", (CLUSTER, 4, ENDLESS))),
    bad("deep.mp4", holding(deep())),
    bad("encrypted.mp4", copied("h264.mp4", encryption_scheme="cenc-aes-ctr", **SECRET)),
    bad("unknown_codec.mp4", replaced("h264.mp4", b"avc1", b"zz9z")),
    bad("unknown_codec.mkv", replaced("h264.mkv", b"V_MPEG4/ISO/AVC", b"V_MPEG9/XYZ/ABC")),
    bad("unknown_codec.avi", replaced("sound.avi", b"FMP4", b"ZZ9Z")),
    damaged("wrong_codec.mp4", replaced("h264.mp4", b"avc1", b"hvc1")),  # says it is HEVC
    damaged("foreign_index.mp4", foreign_index),
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
    Image.fromarray(numbered(0)).save(path)


def subtitles_in(shop: Workshop, path: Path) -> None:
    text = shop.new("subtitles.srt")
    text.write_text(SUBTITLES)
    remux(path, text)


def elsewhere(link: bytes):
    """An index (moov) whose data reference (dref) names another file, which has the pictures."""

    def make(shop: Workshop, path: Path) -> None:
        data = shop["h264.mp4"].read_bytes()
        path.with_name("elsewhere_target.mp4").write_bytes(data)
        reference = box("dref", words(0, 1), link)
        data = exchanged(data, "moov", "trak", "mdia", "minf", "dinf", "dref", new=reference)
        path.write_bytes(b"".join(data[slice(*find_box(data, name))] for name in ("ftyp", "moov")))

    return make


TARGET = b"elsewhere_target.mp4"
ALIAS = bytes(50) + bytes([len(TARGET)]) + TARGET.ljust(63, b"\0") + bytes(16)
ALIAS += words(1 << 16 | 1) + bytes(16) + struct.pack(">hH", 2, len(TARGET)) + TARGET
ALIAS += struct.pack(">hH", -1, 0)
SUBTITLES = "1\n00:00:00,000 --> 00:00:01,000\nHello\n"
M3U8 = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nbeside.mp4\n#EXT-X-ENDLIST\n"
BASE = "<BaseURL>beside.mp4</BaseURL>"
MPD = f'<?xml version="1.0"?>\n<MPD type="static"><Period>{BASE}</Period></MPD>'
ASX = '<asx version="3.0"><entry><ref href="beside.mp4"/></entry></asx>'
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 84739\n"
NO_GIF = b"GIF89a" + struct.pack("<HH", WIDTH, HEIGHT) + b"\0\0\0;"
FFCONCAT = "ffconcat version 1.0\nfile beside.mp4\n"

NO_VIDEO = [
    bad("empty.mp4", holding(b""), says="empty (0 bytes)"),
    bad("one_byte.mp4", holding(b"\0")),
    bad("text.mp4", holding("Dear diary,\nnothing happened.\n" * 30), says="text file"),
    bad("page.mp4", holding("<!DOCTYPE html><html>404</html>"), says="web page"),
    bad("json.mp4", holding('{"error": "quota exceeded"}')),
    bad("lfs_pointer.mp4", holding(LFS), says="git lfs pull"),
    bad("noise.mp4", holding(noise(5000)), says="not a video that can be read"),
    bad("zeros.mp4", holding(bytes(5000)), says="not a video that can be read"),
    bad("ones.mp4", holding(b"\xff" * 5000)),  # as from an empty memory chip
    bad("gzip.mp4", altered("h264.mp4", gzip.compress)),
    bad("zip.mp4", altered("h264.mp4", zipped)),
    bad("base64.mp4", altered("h264.mp4", base64.encodebytes)),
    bad("song.m4a", altered("short.m4a", bytes), says="there is sound"),
    bad("song_with_cover.mp4", beside("short.m4a", "still.jpg", flag=1)),
    bad("subtitles.srt", holding(SUBTITLES)),
    bad("subtitles.mkv", subtitles_in),
    bad("raw.yuv", holding(noise(WIDTH * HEIGHT * 3))),  # pictures not coded and without their size
    bad("no_pictures.gif", holding(NO_GIF)),
    *(either(f"still.{ending}", still, range(1), says="is a still picture")
      for ending in ("jpg", "png", "bmp", "webp", "tiff")),
    # texts that point elsewhere
    bad("playlist.mp4", playlist(FFCONCAT), says="playlist,"),
    bad("playlist.m3u8", playlist(M3U8), says="playlist,"),
    bad("playlist_as.ts", playlist(M3U8)),
    bad("playlist.mpd", playlist(MPD)),
    bad("playlist.pls", playlist("[playlist]\nFile1=beside.mp4\nNumberOfEntries=1\n")),
    bad("playlist.asx", playlist(ASX), says="playlist,"),
    bad("session.sdp", holding(SDP)),  # asks to listen to the network
    bad("address.mp4", holding("http://127.0.0.1:9/clip.mp4\n")),
    bad("series_%03d.png", numbered_series, is_file=False),
    bad("elsewhere.mp4", elsewhere(box("alis", bytes(4), ALIAS))),
    bad("elsewhere_by_url.mp4", elsewhere(box("url ", bytes(4), TARGET + b"\0"))),
]  # fmt: skip


# --- where files lie ---

NAMES = [
    " two  spaces .mp4", 'it\'s "quoted" `x` $(y).mp4', "two\tlines\u2028.mp4", "a\\b.mp4",
    "Über Größe ← 視頻.mp4", "n" * 246 + ".mp4", ".mp4", "clip..mp4.", "clip", "clip.avi",
    "clip.txt", "clip.m3u8",
    # FFmpeg takes these for series of pictures, protocols, options
    "frame%03d.mp4", "*[1]{2}?.mp4", "clip.jpg", "http:clip.mp4", "pipe:0", "file:clip.mp4",
    "concat:a.mp4|b.mp4", "-i.mp4",
]  # fmt: skip
if sys.platform == "linux":
    NAMES.append(b"caf\xe9 \xff.mp4")

here, not_here = (partial(kind, is_file=False) for kind in (good, bad))


def called(number: int) -> Entry:
    """The base file under another name, in a folder of its own."""

    def make(shop: Workshop, path: Path) -> Path:
        path.mkdir()
        return lying_at(shop, path / os.fsdecode(NAMES[number]))

    return here(f"called_{number}", make)


def lying_at(shop: Workshop, path: Path) -> Path:
    path.write_bytes(shop["h264.mp4"].read_bytes())
    return path


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


def listening_socket(shop: Workshop, path: Path) -> None:
    with contextlib.chdir(path.parent):  # the name of a socket must be short
        socket.socket(socket.AF_UNIX).bind(path.name)


READS_ANYTHING = hasattr(os, "geteuid") and os.geteuid() == 0  # so does root
PLACES = [
    *(called(number) for number in range(len(NAMES))),
    here("relative_link.mp4",
         lambda shop, path: path.symlink_to(os.path.relpath(shop["h264.mp4"], path.parent))),
    here("chain_of_links.mp4", chain),
    here("linked_folder", through_linked_folder),  # a folder on the way is a link
    not_here("loop_of_links.mp4", loop),
    not_here("dangling_link.mp4", link_to("nothing.mp4")),
    not_here("missing.mp4", lambda shop, path: None, says="no such file"),
    not_here("folder.mp4", lambda shop, path: path.mkdir(), says="is a folder"),
    not_here("file_as_folder.mp4", lambda shop, path: lying_at(shop, path) / "clip.mp4"),
    not_here("name_too_long", lambda shop, path: shop.folder / ("n" * 300)),
    not_here("nul_in_name", lambda shop, _: shop.folder / "a\0b.mp4", says="be opened"),
    (here if READS_ANYTHING else not_here)(
        "no_permission.mp4", lambda shop, path: lying_at(shop, path).chmod(0)),
]  # fmt: skip
LINKS = {}
if hasattr(os, "mkfifo"):
    PLACES += [
        not_here("pipe.mp4", lambda _, path: os.mkfifo(path), says="pipe or a device"),
        not_here("socket.mp4", listening_socket),
    ]
    LINKS |= {"zero": "/dev/zero", "random": "/dev/urandom", "null": "/dev/null", "folder": "."}
if sys.platform == "linux":
    LINKS |= {"full": "/dev/full", "proc": "/proc/cpuinfo"}  # 0 bytes that have text
    LINKS |= {"memory": "/proc/self/mem", "pagemap": "/proc/self/pagemap"}
PLACES += [not_here(f"link_to_{name}.mp4", link_to(target)) for name, target in LINKS.items()]

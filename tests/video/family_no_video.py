"""What was never a video: texts, pictures, sound, noise; and what points elsewhere."""

import base64
import gzip
import struct
import zipfile
from pathlib import Path

import av
import numpy as np
from family_bytes import box, find_box
from family_entry import HEIGHT, WIDTH, Entry, bad
from family_writing import Workshop, remux, write_still


def holding(content: bytes | str):
    data = content.encode() if isinstance(content, str) else content
    return lambda shop, path: path.write_bytes(data)


def noise(count: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(count)


def changed(base: str, change):
    """A file of which the bytes went through a function."""
    return lambda shop, path: path.write_bytes(change(getattr(shop, base).read_bytes()))


def first_bytes(base: str, count: int):
    return changed(base, lambda data: data[:count])


def packed(shop: Workshop, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(shop.h264, "clip.mp4")


def playlist(text: str):
    """A text that points at a sound video beside it."""

    def make(shop: Workshop, path: Path) -> None:
        path.with_name("beside.mp4").write_bytes(shop.h264.read_bytes())
        path.write_text(text)

    return make


def numbered_series(shop: Workshop, path: Path) -> Path:
    """A name that FFmpeg takes for the pictures beside it; no such file exists."""
    folder = shop.folder / "series"
    folder.mkdir()
    for number in range(3):
        write_still(folder / f"{number:03d}.png", number)
    return folder / "%03d.png"


def still(shop: Workshop, path: Path) -> None:
    write_still(path, 0)


def song_with_cover(shop: Workshop, path: Path) -> None:
    def flag(container, streams):
        streams[1].disposition = av.stream.Disposition.attached_pic

    remux(path, shop.sound, shop.still, before=flag)


def subtitles_in(shop: Workshop, path: Path) -> None:
    text = shop.new("subtitles.srt")
    text.write_text(SUBTITLES)
    remux(path, text)


def empty_animation(shop: Workshop, path: Path) -> None:
    path.write_bytes(b"GIF89a" + struct.pack("<HH", WIDTH, HEIGHT) + b"\0\0\0;")


def elsewhere(shop: Workshop, path: Path) -> None:
    """An index (moov) whose data reference (dref) names another file, which has the pictures."""
    path.with_name("elsewhere_target.mp4").write_bytes(shop.h264.read_bytes())
    target = b"elsewhere_target.mp4"
    alias = bytes(10) + bytes([0]) + bytes(27) + bytes(12) + bytes([len(target)])
    alias += target.ljust(63, b"\0") + bytes(16) + struct.pack(">HH", 1, 1) + bytes(16)
    alias += struct.pack(">hH", 2, len(target)) + target + struct.pack(">hH", -1, 0)
    reference = box("dref", bytes(4), struct.pack(">I", 1), box("alis", bytes(4), alias))
    _swap_reference(shop.h264.read_bytes(), reference, path)


def elsewhere_by_url(shop: Workshop, path: Path) -> None:
    """The same by the newer way: a URL."""
    path.with_name("elsewhere_target.mp4").write_bytes(shop.h264.read_bytes())
    link = box("url ", bytes(4), b"elsewhere_target.mp4\0")
    _swap_reference(shop.h264.read_bytes(), box("dref", bytes(4), struct.pack(">I", 1), link), path)


def _swap_reference(data: bytes, reference: bytes, path: Path) -> None:
    """Put another dref into the index, and leave the pictures out."""
    way = ("moov", "trak", "mdia", "minf", "dinf", "dref")
    start, end = find_box(data, *way)
    grown = bytearray(data[:start] + reference + data[end:])
    for depth in range(1, len(way)):
        place, _ = find_box(data, *way[:depth])
        (size,) = struct.unpack_from(">I", data, place)
        struct.pack_into(">I", grown, place, size + len(reference) - (end - start))
    moov = find_box(grown, "moov")
    path.write_bytes(grown[slice(*find_box(grown, "ftyp"))] + grown[slice(*moov)])


SUBTITLES = "1\n00:00:00,000 --> 00:00:01,000\nHello\n"
M3U8 = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nbeside.mp4\n#EXT-X-ENDLIST\n"
MPD = (
    '<?xml version="1.0"?>\n<MPD type="static"><Period><BaseURL>beside.mp4</BaseURL></Period></MPD>'
)
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 84739\n"


NO_VIDEO = [
    bad("empty.mp4", "0 bytes", holding(b"")),
    bad("one_byte.mp4", "1 byte", holding(b"\0")),
    bad("text.mp4", "a text", holding("Dear diary,\nnothing happened.\n" * 30)),
    bad(
        "page.mp4",
        "an error page, from a failed download",
        holding("<!DOCTYPE html><html>404</html>"),
    ),
    bad(
        "json.mp4",
        "an error message, from a failed download",
        holding('{"error": "quota exceeded"}'),
    ),
    bad("lfs_pointer.mp4", "a Git LFS pointer that was not fetched", holding(LFS)),
    bad("noise.mp4", "noise", holding(noise(5000))),
    bad("zeros.mp4", "zeros", holding(bytes(5000))),
    bad("ones.mp4", "bytes of 255, as from an empty memory chip", holding(b"\xff" * 5000)),
    bad("gzip.mp4", "a video, but packed", changed("h264", gzip.compress)),
    bad("zip.mp4", "a video in an archive", packed),
    bad("base64.mp4", "a video as text", changed("h264", base64.encodebytes)),
    bad("song.m4a", "sound only", changed("sound", bytes)),
    bad("song_with_cover.mp4", "sound and a cover picture", song_with_cover),
    bad("subtitles.srt", "subtitles only", holding(SUBTITLES)),
    bad("subtitles.mkv", "subtitles only, in Matroska", subtitles_in),
    bad("raw.yuv", "pictures not coded and without their size", holding(noise(WIDTH * HEIGHT * 3))),
    bad("no_pictures.gif", "a GIF of no picture", empty_animation),
    *(
        Entry(f"still.{ending}", "either", "a still picture", still, numbers=range(1))
        for ending in ("jpg", "png", "bmp", "webp", "tiff")
    ),
    # texts that point elsewhere
    bad("playlist.mp4", "an FFmpeg script", playlist("ffconcat version 1.0\nfile beside.mp4\n")),
    bad("playlist.m3u8", "HLS", playlist(M3U8)),
    bad("playlist_as.ts", "HLS under another name", playlist(M3U8)),
    bad("playlist.mpd", "DASH", playlist(MPD)),
    bad("playlist.pls", "Winamp", playlist("[playlist]\nFile1=beside.mp4\nNumberOfEntries=1\n")),
    bad(
        "playlist.asx",
        "Windows Media",
        playlist('<asx version="3.0"><entry><ref href="beside.mp4"/></entry></asx>'),
    ),
    bad("session.sdp", "asks to listen to the network", holding(SDP)),
    bad("address.mp4", "an address on the web", holding("http://127.0.0.1:9/clip.mp4\n")),
    bad(
        "series_%03d.png",
        "a name that stands for a series of pictures",
        numbered_series,
        is_file=False,
    ),
    bad("elsewhere.mp4", "an index that names another file (dref)", elsewhere),
    bad("elsewhere_by_url.mp4", "an index that names a URL", elsewhere_by_url),
]

"""Open a video file safely, and see whether it is whole; or say in plain words why not.

FFmpeg reads a file that was cut short as if it ended there, and leaps over noise without a word.
But most containers are made of parts that state their own size: `fault` walks from part to part.
"""

import contextlib
import io
import os
import stat
import zlib
from typing import BinaryIO

import av
import numpy as np

FORMATS = (  # FFmpeg's names; none of them can point at another file, as a playlist does
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,"
    "gif,flv,asf,ogg,mxf,ivf,apng,dv,h264,hevc,m4v,mjpeg,yuv4mpegpipe,obu"
)
MAX_PIXELS = 64 * 1024**2  # a picture may have 8K (33 million pixels); a tiny file may claim more
HEAD_BYTES = 512
SAYS_ALL = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")  # in its header: no picture need be decoded
# damaged pictures are errors, not repaired by guessing
STRICT = "crccheck+bitstream+buffer+explode"
BEGINNINGS = {  # of files that are no video (of texts in small letters), and what to say of them
    (b"version https://git-lfs",): "this is a Git LFS pointer, not the video itself; fetch it "
    "with: git lfs pull",
    (b"ffconcat", b"#extm3u", b"[playlist]", b"<asx"): "this is a playlist, which points to other "
    "files; open those instead.",
    (b"<!doctype", b"<html"): "this is a web page, probably from a failed download; download the "
    "video again.",
    (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\0", b"MM\0*"): "this is a still picture, not a "
    "video.",
}
CUT, NOISE = "cut short", "damaged"
CUT_HEADER = "the file is cut short, in its header; copy or download it again."
SEGMENT = 0x18538067  # nearly the whole of a Matroska file
CLUSTER = 0x1F43B675  # a few seconds of it
IN_SEGMENT = (0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367)
IN_CLUSTER = (0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF)
BOXES_IN = (b"moov", b"trak", b"mdia", b"minf", b"stbl")  # on the way to an index
ANYWHERE = (0xEC, 0xBF)  # padding, check sum
BACKWARDS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # bits from right to left


class VideoError(Exception):
    """A video that cannot be read, or not exactly. The message names the file and the reason.

    >>> VideoError("clip.mp4: the file is empty (0 bytes).")
    VideoError('clip.mp4: the file is empty (0 bytes).')
    """


def open_video(source: str | bytes, name: str) -> tuple:
    """The opened container and its video stream, ready to decode on one thread. VideoError if it is
    no video, or one with pictures of more than MAX_PIXELS (which the decoder refuses, too)."""
    head = source[:HEAD_BYTES] if isinstance(source, bytes) else _read_head(source, name)
    try:
        return _open(source, name, head)
    except VideoError:
        if cut_in_header(source):
            raise VideoError(f"{name}: {CUT_HEADER}") from None
        raise


def _open(source: str | bytes, name: str, head: bytes) -> tuple:
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    if head[4:8] == b"ftyp" or head.startswith(b"\x1aE\xdf\xa3"):  # mp4, mov; mkv, webm
        # their headers say enough: neither decode a picture nor read on to find out more
        options |= {"skip_frame": "all", "probesize": "32"}
    try:
        container = av.open(file, options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError, MemoryError):
        raise VideoError(f"{name}: {_what_it_is(head)}") from None
    try:
        stream = _choose(container, name)
        context = stream.codec_context
        if context is None:
            raise VideoError(f"{name}: its codec is unknown here; convert it to mp4 (H.264).")
        if context.width * context.height > MAX_PIXELS:
            raise VideoError(
                f"{name}: pictures of {context.height}x{context.width} are over the limit of "
                f"{MAX_PIXELS:,} pixels; scale the video down first."
            )
        context.thread_count = 1  # loaders run many readers side by side
        context.options = {"err_detect": STRICT, "max_pixels": str(MAX_PIXELS)}
    except BaseException:
        container.close()
        raise
    return container, stream


def _choose(container: av.container.InputContainer, name: str) -> av.video.stream.VideoStream:
    """The first stream that is no cover and, where there is one, no still and not empty. The others
    are told to keep quiet: their packets need not even be read from the disk."""
    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        raise VideoError(f"{name}: there is sound, or a cover picture, but no video in it.")
    filled = [stream for stream in streams if len(stream.index_entries)] or streams
    chosen = next((stream for stream in filled if stream.frames != 1), filled[0])
    for stream in container.streams:
        if stream is not chosen:
            stream.discard = av.stream.Discard.all
    return chosen


def identity(source: str | bytes) -> tuple | None:
    """What tells a file from another one, or from what it was before: None for an upload."""
    if isinstance(source, bytes):
        return None
    try:
        status = os.stat(source)
    except (OSError, ValueError):
        return None
    return source, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _read_head(path: str, name: str) -> bytes:
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise VideoError(f"{name}: this is a folder; give the path of one video file.")
        if not stat.S_ISREG(mode):  # a pipe or a device could keep us waiting for ever
            raise VideoError(f"{name}: this is a pipe or a device, not an ordinary file.")
        with open(path, "rb") as file:
            return file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise VideoError(
            f"{name}: there is no such file. Looked for {path}; check the spelling and the folder."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise VideoError(f"{name}: the file cannot be opened ({error}).") from None


def _what_it_is(head: bytes) -> str:
    """Why FFmpeg refused a file, told from its first bytes, and what to do about it."""
    if not head:
        return "the file is empty (0 bytes); copy or download it again."
    text = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    for beginnings, words in BEGINNINGS.items():
        if head.startswith(beginnings) or text.startswith(beginnings):
            return words
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "this is a still picture, not a video."
    if head[4:8] == b"ftyp":
        return "an mp4 without its index (moov), probably cut short; copy or download it again."
    if all(byte >= 32 or byte in b"\r\n\t\f" for byte in head) and b"\xff" not in head:
        return "this is a text file, not a video."
    return "this is not a video that can be read here, or it is damaged; convert it to mp4 (H.264)."


def cut_in_header(source: str | bytes) -> bool:
    """Whether a file ends inside its header, of which FFmpeg may take half and wonder."""
    with (
        contextlib.suppress(OSError),  # of /proc: it has no end
        io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file,
    ):
        size, place = file.seek(0, io.SEEK_END), 0
        file.seek(0)
        head = file.read(12)
        if head[8:] == b"AVI ":
            return 8 + int.from_bytes(head[4:8], "little") > size
        if head[4:8] != b"ftyp":
            return fault(file) == CUT
        while place + 8 <= size:
            file.seek(place)
            head = file.read(16)
            length = int.from_bytes(head[8:] if head[:4] == b"\0\0\0\1" else head[:4], "big")
            if head[4:8] == b"moov" or length < 8:
                return place + length > size
            place += length
    return False


def fault(file: BinaryIO) -> str | None:
    """CUT or NOISE if the file's parts do not follow each other to its end; None if nothing is
    seen. Known are Matroska (WebM), AVI, mp4, FLV, Ogg, GIF and transport streams."""
    walks = ((0, b"\x1aE\xdf\xa3", _matroska), (8, b"AVI ", _avi), (4, b"ftyp", _mp4))
    walks += ((0, b"FLV", _flv), (0, b"OggS", _ogg), (0, b"GIF8", _gif))
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(189)
    for place, name, walk in walks:
        if head.startswith(name, place):
            return walk(file, size)
    if head[:1] == b"G" == head[188:]:
        return _transport_stream(file, size)
    return None


def _matroska(file: BinaryIO, size: int) -> str | None:
    """Elements: identifier, size, content. A live recording leaves sizes open."""
    place, known, cluster_end = 0, None, 0
    while place < size:
        file.seek(place)
        head = file.read(12)
        identifier, length = _number(head, keep_marker=True)
        content, more = _number(head[length:], keep_marker=False)
        if not length or not more:
            return CUT if len(head) < 12 else NOISE
        start = place + length + more
        if identifier == SEGMENT:
            if content is not None and start + content > size:
                return CUT
            known, size = IN_SEGMENT, size if content is None else start + content
        elif identifier == CLUSTER and known:
            known, cluster_end = IN_CLUSTER, size if content is None else start + content
        elif known and identifier not in (*known, *ANYWHERE, *IN_SEGMENT):
            return NOISE
        inside = identifier in (SEGMENT, CLUSTER)
        if content is None and not inside:
            return NOISE
        place = start if inside else start + content
    return CUT if max(place, cluster_end) > size else None


def _number(head: bytes, keep_marker: bool) -> tuple[int | None, int]:
    """A number of 1 to 8 bytes and its length: leading zeros in the first byte tell the length.
    (0, 0) if it is not all there, or none; (None, length) if all its bits are ones: "open"."""
    length = 9 - head[0].bit_length() if head else 9
    if len(head) < length:
        return 0, 0
    value, marker = int.from_bytes(head[:length], "big"), 1 << 7 * length
    if keep_marker:
        return value, length
    return (None if value == 2 * marker - 1 else value - marker), length


def _avi(file: BinaryIO, size: int) -> str | None:
    """Chunks: name, size, content, even in length. `movi` holds the pictures."""
    place = 12
    while place + 12 <= size:
        file.seek(place)
        head = file.read(12)
        place += 8 + int.from_bytes(head[4:8], "little")
        place += place % 2
        if head[8:] == b"movi":
            return CUT if place > size + 1 else None  # the last byte may be left out
    return None


def _mp4(file: BinaryIO, size: int) -> str | None:
    """Boxes: size, type, content, which may be boxes. An index (moov) is checked packet by packet
    elsewhere, but of a picture (stsz) larger than the file, and all after it, FFmpeg says nothing.
    """
    place, fragmented = 0, False
    while place + 8 <= size:
        file.seek(place)
        head = file.read(20)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        fragmented |= kind == b"moof"
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0: to the end of the file
            return None
        if kind == b"stsz" and not any(head[12:16]):  # not all pictures are of one size
            table = file.read(min(4 * int.from_bytes(head[16:], "big"), size))
            if np.frombuffer(table, ">u4", len(table) // 4).max(initial=0) > size:
                return NOISE
        place += 8 if kind in BOXES_IN else length
    return CUT if fragmented and place != size else None


def _flv(file: BinaryIO, size: int) -> str | None:
    """Tags: kind, size, time, 0, content, size once more."""
    file.seek(5)
    place = int.from_bytes(file.read(4), "big") + 4
    while place < size:
        file.seek(place)
        head = file.read(11)
        if len(head) < 11:
            return CUT
        if head[0] & 0x1F not in (8, 9, 18) or any(head[8:]):  # sound, picture, facts
            return NOISE
        place += 11 + int.from_bytes(head[1:4], "big") + 4
    return CUT if place > size else None


def _ogg(file: BinaryIO, size: int) -> str | None:
    """Pages: a head with a check sum over head and content, which FFmpeg leaves out if wrong."""
    file.seek(0)
    while file.tell() < size:
        head = file.read(27)
        if len(head) < 27:
            return CUT
        if head[:4] != b"OggS":
            return NOISE
        sizes = file.read(head[26])
        content = file.read(sum(sizes))
        if len(content) < sum(sizes):
            return CUT
        page = head[:22] + bytes(4) + head[26:] + sizes + content
        # zlib's sum of the same polynomial, but of bits from right to left and of the opposite
        mirrored = zlib.crc32(page.translate(BACKWARDS), 0xFFFFFFFF) ^ 0xFFFFFFFF
        if mirrored.to_bytes(4, "big").translate(BACKWARDS) != head[22:26]:
            return NOISE
    return None


def _gif(file: BinaryIO, _: int) -> str | None:
    """Blocks: a kind, a head, then lengths and contents down to length 0. The last kind is `;`."""
    file.seek(10)
    _skip_colours(file, file.read(3)[:1])
    while kind := file.read(1):
        if kind == b";":
            return None
        if kind == b",":  # an image: where it goes, its colours, how it is coded
            _skip_colours(file, file.read(9)[8:])
        elif kind != b"!":
            return NOISE
        file.seek(1, io.SEEK_CUR)
        while length := file.read(1):
            if not length[0]:
                break
            file.seek(length[0], io.SEEK_CUR)
    return CUT


def _skip_colours(file: BinaryIO, flags: bytes) -> None:
    if flags and flags[0] & 0x80:
        file.seek(3 << (flags[0] & 7) + 1, io.SEEK_CUR)


def _transport_stream(file: BinaryIO, size: int) -> str | None:
    """Packets of 188 bytes, of which the first is a G. A torn last one is common, but a sign that
    the last picture is torn, too, or that B pictures before it are missing."""
    file.seek(0)
    while block := file.read(188 * 4096):
        if block[::188].strip(b"G"):
            return NOISE
    return CUT if size % 188 else None

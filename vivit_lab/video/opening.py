"""Open a video file safely, or say in plain words why not."""

import io
import os
import stat

import av

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


class VideoError(Exception):
    """A video that cannot be read, or not exactly. The message names the file and the reason.

    >>> VideoError("clip.mp4: the file is empty (0 bytes).")
    VideoError('clip.mp4: the file is empty (0 bytes).')
    """


def open_video(source: str | bytes, name: str) -> tuple:
    """The opened container and its video stream, ready to decode on one thread. VideoError if it is
    no video, or one with pictures of more than MAX_PIXELS (which the decoder refuses, too)."""
    head = source[:HEAD_BYTES] if isinstance(source, bytes) else _read_head(source, name)
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
    return "this is no video that can be read here, or it is damaged; convert it to mp4 (H.264)."

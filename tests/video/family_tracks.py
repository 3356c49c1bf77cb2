"""What is beside the pictures, and how they are to be turned: sound, covers, second tracks."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from family_codecs import coded, x264
from family_containers import FRAGMENTS
from family_entry import WIDTH, Entry, good, numbered
from family_writing import Workshop, clip, remux


def display_matrix(a: int, b: int, c: int, d: int) -> list[int]:
    one, whole = 65536, 1 << 30  # 1.0 in its turning part; 1.0 in its last number
    return [a * one, b * one, 0, c * one, d * one, 0, 0, 0, whole]


def turned(name: str, note: str, *matrix: int, settings=None, **facts) -> Entry:
    """Pictures are to be turned or mirrored, and drawn so that they are then upright."""
    a, b, c, d = matrix

    def drawn(number: int, height: int, width: int) -> np.ndarray:
        """The matrix takes (x, y) to (a x + c y, b x + d y); draw what it takes to the number."""
        if a or d:
            image = numbered(number, height, width)
            return image[:: d or 1, :: a or 1]
        return numbered(number, width, height)[::b, ::c].transpose(1, 0, 2)

    settings = {
        "height": 112,
        "matrix": display_matrix(*matrix),
        "drawn": drawn,
        **(settings or {}),
    }
    size = (112, WIDTH)  # square, so that either way the number is wide enough
    return good(name, note, lambda shop, path: clip(path, **settings), size=size, **facts)


def with_sound(which: str, first: bool = False):
    def make(shop: Workshop, path: Path) -> None:
        parts = [shop.h264, getattr(shop, which)]
        remux(path, *(reversed(parts) if first else parts))

    return make


def second_track(shop: Workshop, path: Path) -> None:
    other = clip(shop.new("other.mp4"), drawn=lambda n, h, w: numbered(n + 500, h, w))
    remux(path, shop.h264, other)


def still_track_first(shop: Workshop, path: Path) -> None:
    """A JPEG as a track of its own, flagged as cover."""

    def flag(container, streams):
        streams[0].disposition = av.stream.Disposition.attached_pic

    remux(path, shop.still, shop.h264, before=flag)


def cover_beside(shop: Workshop, path: Path) -> None:
    def attach(container, streams):
        container.add_attachment("cover.jpg", "image/jpeg", shop.still.read_bytes())
        container.add_attachment("font.ttf", "application/x-truetype-font", bytes(999))

    remux(path, shop.h264, before=attach)


def empty_track_first(shop: Workshop, path: Path) -> None:
    """Two video tracks are announced; the first never gets a picture."""
    with av.open(str(shop.h264)) as old, av.open(str(path), "w", options=FRAGMENTS) as new:
        source = old.streams.video[0]
        new.add_stream_from_template(source)
        stream = new.add_stream_from_template(source)
        for packet in old.demux(source):
            if packet.size:
                packet.stream = stream
                new.mux(packet)


def said_aspect(base: str):
    """The codec knows nothing of the pixel aspect; the container states it."""

    def state(container, streams):
        streams[0].sample_aspect_ratio = Fraction(2)

    return lambda shop, path: remux(path, getattr(shop, base), before=state)


TRACKS = [
    # tracks
    good("sound.mp4", "with sound", with_sound("sound")),
    good("sound_first.mkv", "track 0 is the sound", with_sound("sound", first=True)),
    good("sound_shorter.mp4", "1 s of pictures, 0.5 s of sound", with_sound("sound")),
    good("sound_longer.mp4", "1 s of pictures, 4 s of sound", with_sound("long_sound")),
    good("sound_longer.ts", "the same in a transport stream", with_sound("long_sound")),
    good("two_videos.mp4", "two video tracks: the first counts", second_track),
    good("cover_first.mp4", "track 0 is a cover picture", still_track_first),
    good("attachments.mkv", "a cover picture and a font attached", cover_beside),
    good("empty_track_first.mp4", "track 0 announces pictures and has none", empty_track_first),
    coded("one_frame.mp4", "1 picture", frames=1),
    coded("two_frames.mp4", "2 pictures", frames=2),
    # turns, as phones ask for them
    turned("turned_90.mp4", "a quarter turn clockwise", 0, 1, -1, 0),
    turned("turned_180.mp4", "half a turn", -1, 0, 0, -1),
    turned("turned_270.mp4", "a quarter turn anticlockwise", 0, -1, 1, 0),
    turned("mirrored.mp4", "left and right exchanged", -1, 0, 0, 1),
    turned("upside_down.mp4", "top and bottom exchanged", 1, 0, 0, -1),
    turned("mirrored_90.mp4", "mirrored and turned", 0, 1, 1, 0),
    turned("mirrored_270.mp4", "mirrored and turned the other way", 0, -1, -1, 0),
    turned("turned_90.mkv", "a quarter turn, in Matroska", 0, 1, -1, 0),
    turned(
        "turned_90_sar.mp4",
        "a quarter turn of pixels twice as wide as high",
        *(0, 1, -1, 0),
        settings={"options": x264(sar="2/1")},
        pixel_aspect=0.5,
    ),
    # pixel aspect outside the codec
    good(
        "sar_in_container.mp4",
        "said by the container only (pasp)",
        said_aspect("h264"),
        pixel_aspect=2.0,
    ),
    coded(
        "sar_mpeg4.mp4",
        "12:11",
        codec="mpeg4",
        options={"aspect": "12/11", "b": "2M"},
        pixel_aspect=12 / 11,
    ),
]

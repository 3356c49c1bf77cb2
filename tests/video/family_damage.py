"""What has become of files: cut, overwritten, or with pictures lost."""

from pathlib import Path

import numpy as np
from family_bytes import find_box
from family_codecs import AV1, BITS, VPX, x265
from family_entry import FRAMES, Entry, bad, damaged
from family_no_video import changed, first_bytes, noise
from family_old_codecs import JPEG, gif
from family_writing import Workshop, clip, remux, without

# By the ending of the damaged file: what the workshop has, or how `clip` writes it. A few hundred
# bytes a picture, so that damage hits pictures. No raw streams: they have neither sizes nor times,
# so that nothing misses the pictures that a cut or noise swallows.
SOURCES = {
    "mp4": "fast_start",
    "mkv": "rich",
    "ts": "rich",
    "flv": "rich",
    "fragmented.mp4": ("rich", {"movflags": "frag_keyframe+empty_moov"}),
    "avi": "mpeg4",
    "webm": {"codec": "libvpx-vp9", "options": VPX},
    "ogv": {"codec": "libvpx", "options": VPX},
    "mpg": {"codec": "mpeg2video", "options": {"g": "8", "bf": "2", **BITS}},
    "wmv": {"codec": "wmv2", "options": {"g": "8", **BITS}},
    "hevc.mp4": {"codec": "libx265", "options": x265()},
    "av1.mkv": {
        "codec": "libsvtav1",
        "options": AV1,
    },
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": JPEG},
    "gif": gif(100),
    "ivf": {"codec": "libvpx-vp9", "options": VPX},
}


def source(shop: Workshop, ending: str) -> Path:
    """The sound file whose copy is to be damaged; written once."""
    path, recipe = shop.new(f"sound.{ending}"), SOURCES[ending]
    if path.exists():
        return path
    if isinstance(recipe, dict):
        return clip(path, **recipe)
    if callable(recipe):
        recipe(shop, path)
        return path
    base, options = recipe if isinstance(recipe, tuple) else (recipe, {})
    return (
        remux(path, getattr(shop, base), options=options) if base == "rich" else getattr(shop, base)
    )


def cut(ending: str, percent: int) -> Entry:
    def make(shop: Workshop, path: Path) -> None:
        data = source(shop, ending).read_bytes()
        path.write_bytes(data[: len(data) * percent // 100])

    return damaged(f"cut_at_{percent}.{ending}", f"cut at {percent} %", make)


def zero_tail(ending: str) -> Entry:
    def make(shop: Workshop, path: Path) -> None:
        data = source(shop, ending).read_bytes()
        keep = len(data) * 7 // 10
        path.write_bytes(data[:keep] + bytes(len(data) - keep))

    return damaged(f"zero_tail.{ending}", "the last third never arrived: zeros", make, garbles=True)


def overwritten(ending: str) -> Entry:
    def make(shop: Workshop, path: Path) -> None:
        data = bytearray(source(shop, ending).read_bytes())
        middle, length = len(data) // 2, len(data) // 12
        data[middle : middle + length] = noise(length)
        path.write_bytes(data)

    return damaged(
        f"noise_in_the_middle.{ending}", "a twelfth in the middle is noise", make, garbles=True
    )


def flipped(ending: str, seed: int) -> Entry:
    """A few bits wrong, as on a dying disk; behind the first eighth, where headers lie."""

    def make(shop: Workshop, path: Path) -> None:
        data, random = bytearray(source(shop, ending).read_bytes()), np.random.default_rng(seed)
        for place in random.integers(len(data) // 8, len(data), 1 + 2 * seed):
            data[place] ^= 1 << random.integers(8)
        path.write_bytes(data)

    return damaged(f"flipped_{seed}.{ending}", f"{1 + 2 * seed} bits wrong", make, garbles=True)


def tuned_in(ending: str, base: str = "h264") -> Entry:
    """A recording that begins with the third coded picture; which are shown hangs on the codec."""
    order = [0, 3, 1, 2, 6, 4, 5, 7]  # numbers in coding order up to the next key picture
    numbers = [*sorted(order[2:]), *range(8, FRAMES)] if base == "h264" else range(2, FRAMES)

    def make(shop: Workshop, path: Path) -> None:
        remux(path, getattr(shop, base), change=without(0, 1))

    return damaged(f"tuned_in.{ending}", "begins between key pictures", make, numbers=numbers)


def lost_picture(ending: str) -> Entry:
    """A picture that others rest on is missing (the 13th in coding order). FFmpeg conceals the
    hole in H.264's own numbering and only logs it, so that two pictures may come out garbled."""
    numbers = [number for number in range(FRAMES) if number != 14]
    note = "a picture that others rest on is gone"

    def make(shop: Workshop, path: Path) -> None:
        remux(path, shop.rich, change=without(12))

    return damaged(f"lost_picture.{ending}", note, make, numbers=numbers, garbles=True)


def lost_b_picture(shop: Workshop, path: Path) -> None:
    """A picture that no other rests on is missing: the others are sound."""
    remux(path, shop.h264, change=without(3))


def lost_packets(shop: Workshop, path: Path) -> None:
    """Every 25th packet of a broadcast was not received."""
    data = source(shop, "ts").read_bytes()
    parts = [data[start : start + 188] for start in range(0, len(data), 188)]
    path.write_bytes(b"".join(part for place, part in enumerate(parts) if place % 25 != 24))


def swapped(shop: Workshop, path: Path) -> None:
    """Two stretches of a broadcast changed places."""
    data = source(shop, "ts").read_bytes()
    third = len(data) // 188 // 3 * 188
    path.write_bytes(data[:third] + data[2 * third :] + data[third : 2 * third])


def ascii_mode(shop: Workshop, path: Path) -> None:
    """Sent as if it were text: every line end became two bytes."""
    path.write_bytes(source(shop, "mp4").read_bytes().replace(b"\n", b"\r\n"))


def as_utf8(shop: Workshop, path: Path) -> None:
    """Read as text and written again: what is no UTF-8 became question marks."""
    text = source(shop, "mp4").read_bytes().decode(errors="replace")
    path.write_bytes(text.encode())


def headless(shop: Workshop, path: Path) -> None:
    data = source(shop, "mp4").read_bytes()
    path.write_bytes(bytes(4096) + data[4096:])


OFTEN = ("mp4", "mkv", "ts", "webm")

DAMAGE = [
    bad(
        "no_index.mp4",
        "cut before the index (moov), which comes last",
        changed("rich", lambda data: data[: len(data) * 6 // 10]),
    ),
    bad(
        "header_only.mp4",
        "an index, and not one picture",
        changed("fast_start", lambda data: data[: find_box(data, "mdat")[0] + 8]),
    ),
    bad("first_32_bytes.mp4", "nothing but the name of the format", first_bytes("h264", 32)),
    bad("ascii_mode.mp4", "sent as text: line ends doubled", ascii_mode),
    bad("as_utf8.mp4", "read as text and written again", as_utf8),
    damaged("headless.mp4", "the first 4096 bytes are zeros", headless),
    *(cut(ending, 50) for ending in SOURCES),
    *(cut(ending, percent) for ending in (*OFTEN, "avi") for percent in (20, 80, 97)),
    *(zero_tail(ending) for ending in (*OFTEN, "avi", "gif")),
    *(overwritten(ending) for ending in SOURCES),
    *(flipped(ending, seed) for ending in OFTEN for seed in range(6)),
    *(flipped(ending, 3) for ending in SOURCES if ending not in (*OFTEN, "gif")),
    # not seed 3, which makes a picture look like the one before: a GIF has nothing to check it by
    flipped("gif", 4),
    *(tuned_in(ending) for ending in ("ts", "mkv", "mp4", "flv")),
    tuned_in("avi", "mpeg4"),
    *(lost_picture(ending) for ending in ("ts", "mkv", "mp4", "flv")),
    Entry(
        "lost_b_picture.mkv",
        "good",
        "a picture that no other rests on is gone; the others are sound",
        lost_b_picture,
        numbers=[0, 1, *range(3, FRAMES)],
    ),
    damaged("lost_packets.ts", "a broadcast with gaps", lost_packets),
    damaged("swapped.ts", "two stretches of a broadcast changed places", swapped),
]

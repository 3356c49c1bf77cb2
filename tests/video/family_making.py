"""The tools with which the family of files is made: pictures that show their own number, base files
that are written once and then copied, cut and forged, and surgery on bytes."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np
from clips import BRIGHT, DARK, picture, write_clip, write_sound
from PIL import Image

FRAMES, HEIGHT, WIDTH = 24, 64, 112
SAMPLE_TABLE = ("moov", "trak", "mdia", "minf", "stbl")
SAME = {"fflags": "+bitexact"}  # no random numbers, no date: the same bytes every time


@dataclass(frozen=True)
class Entry:
    """One file of the family.

    kind      "good": every frame exactly, in any order.
              "bad": an error that names the file and the reason, within seconds.
              "either": both are right. What is shown must still be the pictures asked for.
              "damaged": as "either", and there may be fewer frames than were once written.
    make      make(workshop, path) writes it at `path`; or elsewhere, if it gives that Path back
    numbers   what the frames show, in showing order
    size      height and width as displayed
    code      how the numbers are drawn: "colour", "grey", or "shade" for the smallest pictures
    seconds   when each frame is shown, counted from the first; None: not looked at
    garbles   pictures may come out garbled, because nothing tells of the damage (no check sum, bits
              that decode all the same, a hole that FFmpeg conceals); but never as another picture
    is_file   False: it lies in the place, not in the bytes, so that it is no upload
    says      words that a refusal must contain, "" for any
    """

    kind: str
    name: str
    make: Callable[["Workshop", Path], object]
    numbers: Sequence[int] = range(FRAMES)
    size: tuple[int, int] = (HEIGHT, WIDTH)
    pixel_aspect: float = 1.0
    code: str = "colour"
    seconds: Sequence[float] | None = None
    garbles: bool = False
    is_file: bool = True
    says: str = ""

    def write(self, workshop: "Workshop") -> Path:
        """Where the file lies after it was made."""
        path = workshop.folder / self.name
        made = self.make(workshop, path)
        return made if isinstance(made, Path) else path


good, bad, either, damaged = (partial(Entry, k) for k in ("good", "bad", "either", "damaged"))


# --- the pictures ---


def numbered(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """The number in the upper half, a check on it in the lower one: a picture that is patched
    together from others, as decoders do where something is missing, reads as none of them."""
    upper = picture(number, height // 2, width)
    return np.concatenate([upper, picture(check(number), height - height // 2, width)])


def check(number: int) -> int:
    return (397 * number + 211) % 1024  # neighbours differ in many bits


def shade(number: int, height: int, width: int) -> np.ndarray:
    """For pictures too small for bits: brighter by 9 with every number, up to 24 of them."""
    return np.full((height, width, 3), 20 + 9 * number, np.uint8)


def grey(number: int, height: int, width: int) -> np.ndarray:
    return numbered(number, height, width).mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, 2)


def fading(number: int, height: int, width: int) -> np.ndarray:
    """RGBA: the left half is quite opaque, the right half fades away."""
    alpha = np.linspace(510, 40, width).clip(0, 255) * np.ones((height, 1))
    return np.dstack([numbered(number, height, width), alpha.astype(np.uint8)])


def large(number: int, height: int, width: int) -> np.ndarray:
    """The picture in blocks of 16 by 16, quick to draw and to code."""
    return numbered(number, height // 16, width // 16).repeat(16, 0).repeat(16, 1)


def later(first: int):
    """Pictures of the numbers from `first` on; after 1023 comes 0 again."""
    return lambda number, height, width: numbered((first + number) % 1024, height, width)


def noisy(number: int, height: int, width: int) -> np.ndarray:
    """40 times the bits, so that damage hits pictures, not headers."""
    noise = np.random.default_rng(0).integers(-6, 7, (height, width, 3))
    rolled = np.roll(noise, 5 * number, axis=1)
    return np.clip(numbered(number, height, width) + rolled, 0, 255).astype(np.uint8)


def flat(number: int) -> Image.Image:
    """The number without the ripple: two colours, so that a palette holds them."""
    return Image.fromarray(np.where(numbered(number)[..., :1] > 128, BRIGHT, DARK).astype("u1"))


# --- how files are written ---


def x264(**params) -> dict:
    """Options for libx264: its own by their own names, `_` for `-`."""
    params = {"b_adapt": 0, "scenecut": 0, "mbtree": 0, **params}
    return {"x264-params": _joined(params)}


def x265(**params) -> dict:
    quiet = {"log_level": "error", "pools": "none", "keyint": 8, "bframes": 2, "scenecut": 0}
    return {"preset": "ultrafast", "x265-params": _joined({**quiet, **params})}


def _joined(params: dict) -> str:
    return ":".join(f"{key.replace('_', '-')}={value}" for key, value in params.items())


X264 = {"preset": "veryfast", "crf": "16", "bf": "2", "g": "8", **x264()}


def clip(path: Path, **settings) -> Path:
    """`write_clip` with the family's small size and B pictures."""
    small = {"frames": FRAMES, "height": HEIGHT, "width": WIDTH, "drawn": numbered}
    if settings.get("codec", "libx264") == "libx264":
        settings["options"] = {**X264, **settings.get("options", {})}
    settings["container_options"] = {**SAME, **settings.get("container_options", {})}
    return write_clip(path, **{**small, **settings})


def of(**settings):
    return lambda shop, path: clip(path, **settings)


def drawn_by_pillow(pictures, durations=40, **settings):
    def make(shop: "Workshop", path: Path) -> None:
        first, *rest = map(pictures, range(FRAMES))
        first.save(path, save_all=True, append_images=rest, duration=durations, **settings)

    return make


def gif(durations):
    """A GIF as web sites make them: each picture only where it differs, a palette of its own."""
    return drawn_by_pillow(lambda number: flat(number).quantize(4), durations)


def remux(target, *sources: Path, change=None, before=None, options=None, format=None, empty=0):
    """The streams of all `sources` in one file, their packets copied without coding anew.

    target: a path, which is given back, or an object with `write`.
    change: change(place, packet) may alter a packet; where it returns False, the packet is dropped.
    before: before(container, streams) may set names and flags before the first packet is written.
    empty: so many streams get no packet.
    """
    old = [av.open(str(source)) for source in sources]
    file = str(target) if isinstance(target, Path) else target
    with av.open(file, "w", options={**SAME, **(options or {})}, format=format) as new:
        streams = [new.add_stream_from_template(c.streams[0], opaque=True) for c in old]
        if before:
            before(new, streams)
        queue = []
        for container, stream in list(zip(old, streams, strict=True))[empty:]:
            for place, packet in enumerate(p for p in container.demux() if p.size):
                if change is None or change(place, packet) is not False:
                    time = 0 if packet.dts is None else packet.dts * packet.time_base
                    queue.append((time, place, len(queue), packet))
                    packet.stream = stream
        for *_, packet in sorted(queue):
            new.mux(packet)
    for container in old:
        container.close()
    return target


def copied(base: str, change=None, before=None, format=None, **options):
    """A base file's packets, with options of the new file's writer."""
    return lambda shop, path: remux(
        path, shop[base], change=change, before=before, options=options, format=format
    )


def without(*places: int):
    """For `remux`: the packets at these places (in coding order) left out."""
    return lambda place, packet: place not in places


def altered(base: str, change):
    """A base file whose bytes went through `change`, which alters a bytearray or gives new bytes
    back."""

    def make(shop: "Workshop", path: Path) -> None:
        data = bytearray(shop[base].read_bytes())
        new = change(data)
        path.write_bytes(data if new is None else new)

    return make


def replaced(base: str, old: bytes, new: bytes):
    """A base file in which every `old` is a `new` of the same length."""
    return altered(base, lambda data: data.replace(old, new))


def patched(base: str, *patches: tuple):
    """A base file with bytes overwritten by (where, offset, new) each: `offset` bytes after the
    beginning of an mp4 box, or after the last place where some bytes stand."""

    def change(data: bytearray) -> None:
        for where, offset, new in patches:
            start = data.rindex(where) if isinstance(where, bytes) else find_box(data, *where)[0]
            data[start + offset : start + offset + len(new)] = new

    return altered(base, change)


def holding(content: bytes | str):
    data = content.encode() if isinstance(content, str) else content
    return lambda shop, path: path.write_bytes(data)


def noise(count: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(count)


BITS = {"b": "2M"}
NO_B, MPEG = {"g": "8", **BITS}, {"g": "8", "bf": "2", **BITS}
HEVC = {"codec": "libx265", "options": x265()}
SVT = {"preset": "8", "g": "8", "crf": "20", "svtav1-params": "lp=1"}
AV1 = {"codec": "libsvtav1", "options": SVT}
VPX = {"deadline": "realtime", "cpu-used": "8", "g": "8", "b": "2M"}
VP8, VP9 = {"codec": "libvpx", "options": VPX}, {"codec": "libvpx-vp9", "options": VPX}
MPEG1, MPEG2 = {"codec": "mpeg1video", "options": MPEG}, {"codec": "mpeg2video", "options": MPEG}
MPEG4 = {"codec": "mpeg4", "options": NO_B}  # part 2: Xvid, DivX
WMV2 = {"codec": "wmv2", "options": NO_B}
JPEG = {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {"qmin": "2", "qmax": "4"}}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}

# "sound" ones are those whose copies are damaged: a few hundred bytes a picture. No raw streams:
# they have neither sizes nor times, so that nothing misses what a cut or noise swallows.
CODED_ANEW = {"avi": MPEG4, "webm": VP9, "ogv": VP8, "mpg": MPEG2, "wmv": WMV2, "hevc.mp4": HEVC}
CODED_ANEW |= {"av1.mkv": AV1, "mjpeg.avi": JPEG, "ivf": VP9}
SOUND = {
    "mp4": copied("rich.mp4", movflags="faststart"),  # its index (moov) before the pictures
    "fragmented.mp4": copied("rich.mp4", **FRAGMENTS),
    **{ending: copied("rich.mp4") for ending in ("mkv", "ts", "flv")},
    **{ending: of(**settings) for ending, settings in CODED_ANEW.items()},
    "gif": gif(100),
}
BASES = {
    "h264.mp4": of(),  # B pictures, a key picture every 8, its index (moov) last
    "rich.mp4": of(drawn=noisy, options={"crf": "12"}),
    "no_b.mp4": of(options={"bf": "0"}),  # showing order is coding order
    "no_edits.mp4": copied("h264.mp4", use_editlist="0"),
    "h264.mkv": copied("h264.mp4"),
    "mpeg4.mp4": of(**MPEG4),
    "short.m4a": lambda shop, path: write_sound(path, 0.5),
    "long.m4a": lambda shop, path: write_sound(path, 4),
    "still.jpg": lambda shop, path: Image.fromarray(numbered(900)).save(path),
    **{f"sound.{ending}": make for ending, make in SOUND.items()},
}


class Workshop:
    """A folder for the family, with a stock of base files, each written when first asked for."""

    def __init__(self, folder: Path):
        self.folder, self.stock = folder, folder / "stock"
        self.stock.mkdir()

    def __getitem__(self, base: str) -> Path:
        if not self.new(base).exists():
            BASES[base](self, self.new(base))
        return self.new(base)

    def new(self, name: str) -> Path:
        """Where something can be put that is not of the family."""
        return self.stock / name


# --- surgery on bytes ---


def find_box(data: bytes, *names: str) -> tuple[int, int]:
    """Start and end of an mp4 box, found by its path, e.g. find_box(data, "moov", "trak")."""
    place = -8
    for name in names:
        place += 8
        while (head := struct.unpack_from(">I4s", data, place))[1] != name.encode():
            place += head[0]
    return place, place + head[0]


def exchanged(data: bytes, *way: str, new: bytes) -> bytearray:
    """An mp4 with another box in the place of the one at `way`; all boxes around it grow."""
    start, end = find_box(data, *way)
    grown = bytearray(data[:start] + new + data[end:])
    for depth in range(1, len(way)):
        place, stop = find_box(data, *way[:depth])
        grown[place : place + 4] = words(stop - place + len(new) - (end - start))
    return grown


def words(*numbers: int) -> bytes:
    """Four bytes for each number."""
    return struct.pack(f">{len(numbers)}I", *numbers)


def box(name: str, *content: bytes) -> bytes:
    body = b"".join(content)
    return words(8 + len(body)) + name.encode() + body

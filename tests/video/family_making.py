"""The tools with which the family of files is made: pictures that show their own number, base files
that are written once and then copied, cut and forged, and surgery on bytes."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np
from clips import picture, write_clip, write_sound
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
    note: str
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


def numbered(number: int, height: int, width: int) -> np.ndarray:
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
    bright = numbered(number, HEIGHT, WIDTH)[..., :1] > 128
    return Image.fromarray(np.where(bright, (236, 200, 80), (24, 40, 110)).astype("u1"))


# --- how files are written ---

X264 = {
    "preset": "veryfast",
    "crf": "16",
    "bf": "2",
    "g": "8",
    "x264-params": "b-adapt=0:scenecut=0:mbtree=0",
}


def x264(**params) -> dict:
    """Options for libx264: its own by their own names, `_` for `-`."""
    params = {"b_adapt": 0, "scenecut": 0, "mbtree": 0, **params}
    listed = ":".join(f"{key.replace('_', '-')}={value}" for key, value in params.items())
    return {"x264-params": listed}


def x265(**params) -> dict:
    quiet = {"log_level": "error", "pools": "none", "keyint": 8, "bframes": 2, "scenecut": 0}
    listed = {key.replace("_", "-"): value for key, value in {**quiet, **params}.items()}
    return {"preset": "ultrafast", "x265-params": ":".join(f"{k}={v}" for k, v in listed.items())}


def clip(path: Path, **settings) -> Path:
    """`write_clip` with the family's small size and B pictures."""
    small = {"frames": FRAMES, "height": HEIGHT, "width": WIDTH, "drawn": numbered}
    if settings.get("codec", "libx264") == "libx264":
        settings["options"] = {**X264, **settings.get("options", {})}
    settings["container_options"] = {**SAME, **settings.get("container_options", {})}
    return write_clip(path, **{**small, **settings})


def gif(durations, **settings):
    """A GIF as web sites make them: each picture only where it differs, a palette of its own."""

    def make(shop: "Workshop", path: Path) -> None:
        pictures = [flat(number).quantize(4) for number in range(FRAMES)]
        more = {"append_images": pictures[1:], "duration": durations, **settings}
        pictures[0].save(path, save_all=True, **more)

    return make


def remux(target, *sources: Path, change=None, before=None, options=None, format=None) -> Path:
    """The streams of all `sources` in one file, their packets copied without coding anew.

    target: a path, or an object with `write`.
    change: change(place, packet) may alter a packet; where it returns False, the packet is dropped.
    before: before(container, streams) may set names and flags before the first packet is written.
    """
    old = [av.open(str(source)) for source in sources]
    file = str(target) if isinstance(target, Path) else target
    with av.open(file, "w", options={**SAME, **(options or {})}, format=format) as new:
        streams = [new.add_stream_from_template(c.streams[0], opaque=True) for c in old]
        if before:
            before(new, streams)
        queue = []
        for container, stream in zip(old, streams, strict=True):
            for place, packet in enumerate(p for p in container.demux() if p.size):
                if change and change(place, packet) is False:
                    continue
                time = packet.dts * packet.time_base if packet.dts is not None else 0
                queue.append((time, place, stream, packet))
        for _, _, stream, packet in sorted(queue, key=lambda entry: (entry[0], entry[1])):
            packet.stream = stream
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
    """A base file in which every `old` is a `new` of the same length; there must be one."""

    def change(data: bytearray) -> bytes:
        assert old in data and len(old) == len(new)
        return data.replace(old, new)

    return altered(base, change)


def holding(content: bytes | str):
    data = content.encode() if isinstance(content, str) else content
    return lambda shop, path: path.write_bytes(data)


def noise(count: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(count)


BITS = {"b": "2M"}
NO_B, MPEG = {"g": "8", **BITS}, {"g": "8", "bf": "2", **BITS}
HEVC = {"codec": "libx265", "options": x265()}
AV1 = {"codec": "libsvtav1"}
AV1["options"] = {"preset": "8", "g": "8", "crf": "20", "svtav1-params": "lp=1"}
VPX = {"deadline": "realtime", "cpu-used": "8", "g": "8", "b": "2M"}
VP8, VP9 = {"codec": "libvpx", "options": VPX}, {"codec": "libvpx-vp9", "options": VPX}
MPEG1, MPEG2 = {"codec": "mpeg1video", "options": MPEG}, {"codec": "mpeg2video", "options": MPEG}
MPEG4 = {"codec": "mpeg4", "options": NO_B}  # part 2: Xvid, DivX
JPEG = {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {"qmin": "2", "qmax": "4"}}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}


def of(**settings):
    return lambda shop, path: clip(path, **settings)


# "sound" ones are those whose copies are damaged: a few hundred bytes a picture. No raw streams:
# they have neither sizes nor times, so that nothing misses what a cut or noise swallows.
SOUND = {
    "mp4": copied("rich.mp4", movflags="faststart"),  # its index (moov) before the pictures
    "mkv": copied("rich.mp4"),
    "ts": copied("rich.mp4"),
    "flv": copied("rich.mp4"),
    "fragmented.mp4": copied("rich.mp4", **FRAGMENTS),
    "avi": of(**MPEG4),
    "webm": of(**VP9),
    "ogv": of(**VP8),
    "mpg": of(**MPEG2),
    "wmv": of(codec="wmv2", options=NO_B),
    "hevc.mp4": of(**HEVC),
    "av1.mkv": of(**AV1),
    "mjpeg.avi": of(**JPEG),
    "gif": gif(100),
    "ivf": of(**VP9),
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
    "still.jpg": lambda shop, path: Image.fromarray(numbered(900, HEIGHT, WIDTH)).save(path),
    **{f"sound.{ending}": make for ending, make in SOUND.items()},
}


class Workshop:
    """A folder for the family, with a stock of base files, each written when first asked for."""

    def __init__(self, folder: Path):
        self.folder, self.stock = folder, folder / "stock"

    def __getitem__(self, base: str) -> Path:
        if not self.new(base).exists():
            BASES[base](self, self.new(base))
        return self.new(base)

    def new(self, name: str) -> Path:
        """Where something can be put that is not of the family."""
        self.stock.mkdir(exist_ok=True)
        return self.stock / name


# --- surgery on bytes ---


def find_box(data: bytes, *names: str) -> tuple[int, int]:
    """Start and end of an mp4 box, found by its path, e.g. find_box(data, "moov", "trak")."""
    start, end = 0, len(data)
    for depth, name in enumerate(names):
        place = start if depth == 0 else start + 8
        while place < end:
            size, kind = struct.unpack_from(">I4s", data, place)
            header = 8
            if size == 1:
                (size,), header = struct.unpack_from(">Q", data, place + 8), 16
            if kind == name.encode():
                start, end = place, place + (size or end - place)
                break
            place += max(size, header)
        else:
            raise LookupError(f"no box {name} in {names}")
    return start, end


def put(data: bytearray, place: int, *numbers: int) -> None:
    """Overwrite four bytes with each number."""
    struct.pack_into(f">{len(numbers)}I", data, place, *numbers)


def exchanged(data: bytes, *way: str, new: bytes) -> bytearray:
    """An mp4 with another box in the place of the one at `way`; all boxes around it grow."""
    start, end = find_box(data, *way)
    grown = bytearray(data[:start] + new + data[end:])
    for depth in range(1, len(way)):
        place, stop = find_box(data, *way[:depth])
        put(grown, place, stop - place + len(new) - (end - start))
    return grown


def box(name: str, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), name.encode()) + body

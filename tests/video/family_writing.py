"""The tools with which the family is made: a workshop of base files, and ways to copy them."""

import functools
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from clips import write_clip
from family_entry import FRAMES, HEIGHT, WIDTH, numbered
from PIL import Image

X264 = {
    "preset": "veryfast",
    "crf": "16",
    "bf": "2",
    "g": "8",
    "x264-params": "b-adapt=0:scenecut=0:mbtree=0",
}
SAME = {"fflags": "+bitexact"}  # no random numbers, no date: the same bytes every time


def clip(path: Path, **settings) -> Path:
    """`write_clip` with the family's small size and B pictures."""
    small = {"frames": FRAMES, "height": HEIGHT, "width": WIDTH, "drawn": numbered}
    if settings.get("codec", "libx264") == "libx264":
        settings["options"] = {**X264, **settings.get("options", {})}
    settings["container_options"] = {**SAME, **settings.get("container_options", {})}
    return write_clip(path, **{**small, **settings})


class Workshop:
    """A folder in which base files are written once and then copied, cut and forged.

    >>> Workshop(Path("/somewhere")).folder.name
    'somewhere'
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.stock = folder / "stock"  # so that the bases do not lie beside the family

    @functools.cached_property
    def h264(self) -> Path:
        """24 pictures with B pictures, a key picture every 8; mp4, its index (moov) last."""
        return clip(self.new("h264.mp4"))

    @functools.cached_property
    def rich(self) -> Path:
        """The same at 40 times the bits, so that damage hits pictures, not headers."""
        noisy = np.random.default_rng(0).integers(-6, 7, (HEIGHT, WIDTH, 3))

        def drawn(number, height, width):
            rolled = np.roll(noisy, 5 * number, axis=1)
            return np.clip(numbered(number, height, width) + rolled, 0, 255).astype(np.uint8)

        return clip(self.new("rich.mp4"), drawn=drawn, options={"crf": "12"})

    @functools.cached_property
    def fast_start(self) -> Path:
        """The rich one with its index (moov) before the pictures."""
        return remux(self.new("fast.mp4"), self.rich, options={"movflags": "faststart"})

    @functools.cached_property
    def no_b(self) -> Path:
        """Showing order is coding order."""
        return clip(self.new("no_b.mp4"), options={"bf": "0"})

    @functools.cached_property
    def no_edits(self) -> Path:
        """With B pictures, but without an edit list."""
        return remux(self.new("no_edits.mp4"), self.h264, options={"use_editlist": "0"})

    @functools.cached_property
    def mpeg4_mp4(self) -> Path:
        """MPEG-4 part 2 in an mp4."""
        return clip(self.new("mpeg4.mp4"), codec="mpeg4", options={"g": "8", "b": "2M"})

    @functools.cached_property
    def mpeg4(self) -> Path:
        """MPEG-4 part 2 (Xvid, DivX), in an AVI, without B pictures, as UCF101 has it."""
        return clip(self.new("mpeg4.avi"), codec="mpeg4", options={"g": "8", "b": "2M"})

    @functools.cached_property
    def sound(self) -> Path:
        """0.5 s of silence."""
        return write_silence(self.new("short.m4a"), 0.5)

    @functools.cached_property
    def long_sound(self) -> Path:
        """4 s of silence."""
        return write_silence(self.new("long.m4a"), 4)

    @functools.cached_property
    def still(self) -> Path:
        """A JPEG of picture 900, which no clip here has."""
        return write_still(self.new("still.jpg"), 900)

    def new(self, name: str) -> Path:
        self.stock.mkdir(exist_ok=True)
        return self.stock / name


def write_silence(path: Path, seconds: float) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        samples = np.zeros((1, int(16000 * seconds)), np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_still(path: Path, number: int) -> Path:

    Image.fromarray(numbered(number, HEIGHT, WIDTH)).save(path)
    return path


def remux(
    target: Path,
    *sources: Path,
    change: Callable[[int, av.Packet], bool | None] | None = None,
    before: Callable[[av.container.OutputContainer, list], None] | None = None,
    options: dict | None = None,
    format: str | None = None,
) -> Path:
    """The streams of all `sources` in one file, their packets copied without coding anew.

    change: change(place, packet) may alter a packet; where it returns False, the packet is dropped.
    before: before(container, streams) may set names and flags before the first packet is written.
    """
    old = [av.open(str(source)) for source in sources]
    file = str(target) if isinstance(target, Path) else target  # or an object with `write`
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


def shifted(ticks: int) -> Callable[[int, av.Packet], None]:
    """For `remux`: every packet later by this many ticks."""

    def change(place: int, packet: av.Packet) -> None:
        packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks

    return change


def without(*places: int) -> Callable[[int, av.Packet], bool]:
    """For `remux`: the packets at these places (in coding order) left out."""
    return lambda place, packet: place not in places

"""Draws the sample clips of our own into this folder: python assets/render_clips.py [name ...]

Everything here is drawn with PIL at three times its size and scaled down, and coded with libx264
on one thread, so that the same versions of both write the same bytes. Licence: MIT, as the rest.
"""

import colorsys
import math
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
SCALE = 3  # drawn larger, then scaled down: smooth edges

INK, PAPER = (31, 41, 55), (250, 247, 240)
NIGHT, SLATE = (24, 30, 46), (51, 65, 92)
CORAL, AMBER, TEAL, SKY, PLUM = (
    (239, 108, 87),
    (246, 189, 96),
    (42, 157, 143),
    (94, 163, 214),
    (142, 93, 163),
)


class Canvas:
    """A picture drawn in its final coordinates, (0, 0) at the top left."""

    def __init__(self, width: int, height: int, colour: tuple):
        self.size = (width, height)
        self.image = Image.new("RGB", (width * SCALE, height * SCALE), colour)
        self.draw = ImageDraw.Draw(self.image)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: tuple, radius: float = 0):
        area = [v * SCALE for v in (x0, y0, x1, y1)]
        self.draw.rounded_rectangle(area, radius * SCALE, fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: tuple):
        area = [v * SCALE for v in (x - radius, y - radius, x + radius, y + radius)]
        self.draw.ellipse(area, fill=colour)

    def shape(self, points: list, colour: tuple):
        self.draw.polygon([(x * SCALE, y * SCALE) for x, y in points], fill=colour)

    def line(self, points: list, colour: tuple, width: float):
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self.draw.line(scaled, fill=colour, width=round(width * SCALE), joint="curve")

    def text(self, x: float, y: float, words: str, size: float, colour: tuple, anchor="mm"):
        font = ImageFont.truetype(FONT, round(size * SCALE))
        self.draw.text((x * SCALE, y * SCALE), words, colour, font, anchor)

    def pixels(self) -> np.ndarray:
        return np.asarray(self.image.resize(self.size, Image.Resampling.LANCZOS))  # (H,W,3)


def blend(first: tuple, second: tuple, amount: float) -> tuple:
    return tuple(round(a + (b - a) * amount) for a, b in zip(first, second, strict=True))


def clock(canvas: Canvas, x: float, y: float, radius: float, turn: float):
    canvas.disc(x, y, radius, SLATE)
    canvas.disc(x, y, radius - 3, PAPER)
    for hour in range(12):
        angle = hour / 12 * math.tau
        canvas.disc(
            x + (radius - 9) * math.sin(angle), y - (radius - 9) * math.cos(angle), 1.6, SLATE
        )
    angle = turn * math.tau
    tip = (x + (radius - 13) * math.sin(angle), y - (radius - 13) * math.cos(angle))
    canvas.line([(x, y), tip], CORAL, 4)
    canvas.disc(x, y, 4.5, CORAL)


def star(canvas: Canvas, x: float, y: float, radius: float, colour: tuple):
    corners = []
    for k in range(10):
        reach = radius if k % 2 == 0 else radius * 0.45
        angle = k / 10 * math.tau
        corners.append((x + reach * math.sin(angle), y - reach * math.cos(angle)))
    canvas.shape(corners, colour)


def counter(width: int = 340, height: int = 256, frames: int = 300) -> Iterator[np.ndarray]:
    """The frame number in large figures, a clock hand (a turn in 4 s) and a progress bar."""
    for i in range(frames):
        done = i / (frames - 1)
        canvas = Canvas(width, height, PAPER)
        canvas.text(128, 112, f"{i}", 92, INK)
        canvas.text(128, 176, f"{i / 25:.2f} s", 22, SLATE)
        clock(canvas, 280, 100, 44, i / 100)
        canvas.box(24, 216, width - 24, 230, (226, 222, 210), 7)
        canvas.box(24, 216, 38 + (width - 62) * done, 230, blend(TEAL, PLUM, done), 7)
        yield canvas.pixels()


def crossing(size: int = 224, frames: int = 64) -> Iterator[np.ndarray]:
    """A disc moves right, a square moves down and left; a star shines in frames 37 to 39 only."""
    for i in range(frames):
        done = i / (frames - 1)
        canvas = Canvas(size, size, NIGHT)
        x, y = 192 - 150 * done, 36 + 150 * done
        canvas.box(x - 18, y - 18, x + 18, y + 18, SKY, 4)
        canvas.disc(24 + 176 * done, 96, 20, AMBER)
        if 37 <= i < 40:
            star(canvas, 172, 176, 30, PAPER)
        yield canvas.pixels()


def bars(size: int = 224, frames: int = 32) -> Iterator[np.ndarray]:
    """7 bars of 7 colours slide right by 4 pixels a frame; 7 rows get darker downwards."""
    columns, rows = np.arange(size) // 32, np.arange(size) // 32
    picture = np.array(
        [
            [colorsys.hsv_to_rgb(column / 7, 0.72, 1.0 - 0.1 * row) for column in columns]
            for row in rows
        ]
    )
    picture = (picture * 255).round().astype(np.uint8)
    for i in range(frames):
        yield np.roll(picture, 4 * i, axis=1)


def portrait(width: int = 180, height: int = 320, frames: int = 100) -> Iterator[np.ndarray]:
    """Sun and clouds at the top, a balloon at the centre, a boat at the bottom."""
    for i in range(frames):
        done = i / (frames - 1)
        canvas = Canvas(width, height, (190, 222, 240))
        canvas.disc(134, 52, 25 + 2 * math.sin(i / 8), AMBER)
        for x, y in ((-30 + 130 * done, 40), (60 + 90 * done, 88)):
            for dx, radius in ((-20, 11), (0, 16), (20, 11)):
                canvas.disc(x + dx, y, radius, PAPER)
            canvas.box(x - 30, y, x + 30, y + 12, PAPER, 6)
        balloon(canvas, 84 + 26 * math.sin(i / 17), 158 + 8 * math.cos(i / 11))
        canvas.box(0, 254, width, height, SKY)
        boat(canvas, 150 - 120 * done, 258 + 2 * math.sin(i / 5))
        swell = [(x, 278 + 3 * math.sin(x / 13 + i / 6)) for x in range(0, width + 4, 4)]
        canvas.shape([(0, height), *swell, (width, height)], (58, 124, 176))
        yield canvas.pixels()


def balloon(canvas: Canvas, x: float, y: float):
    for side in (-1, 1):
        canvas.line([(x + side * 24, y + 22), (x + side * 9, y + 56)], INK, 1.5)
    canvas.disc(x, y, 36, CORAL)
    for half, colour in ((24, AMBER), (10, PLUM)):
        area = [v * SCALE for v in (x - half, y - 36, x + half, y + 36)]
        canvas.draw.ellipse(area, fill=colour)
    canvas.box(x - 10, y + 55, x + 10, y + 69, (124, 82, 50), 3)


def boat(canvas: Canvas, x: float, y: float):
    canvas.line([(x, y + 14), (x, y - 36)], INK, 2.5)
    canvas.shape([(x - 3, y - 34), (x - 3, y + 6), (x - 26, y + 6)], PAPER)
    canvas.shape([(x + 3, y - 28), (x + 3, y + 6), (x + 22, y + 6)], CORAL)
    canvas.shape([(x - 32, y + 12), (x + 32, y + 12), (x + 20, y + 30), (x - 20, y + 30)], INK)


def rotated(width: int = 128, height: int = 192, frames: int = 48) -> Iterator[np.ndarray]:
    """An arrow that points up, and the frame number: upright only once the turn is applied."""
    for i in range(frames):
        canvas = Canvas(width, height, TEAL)
        lift = 5 * math.sin(i / 24 * math.tau)
        arrow = [(64, 20), (104, 66), (80, 66), (80, 112), (48, 112), (48, 66), (24, 66)]
        canvas.shape([(x, y - lift + 4) for x, y in arrow], PAPER)
        canvas.text(64, 150, f"{i}", 44, PAPER)
        yield np.rot90(canvas.pixels())  # a quarter turn anticlockwise, to lie on its side


def uneven_milliseconds(frames: int = 60) -> list[int]:
    """Times of frames that come every 40 ms, then every 120 ms, then every 20 ms."""
    gaps = [40] * (frames // 3) + [120] * (frames // 3) + [20] * (frames // 3)
    return [sum(gaps[:i]) for i in range(frames)]


def variable_rate(width: int = 256, height: int = 192) -> Iterator[np.ndarray]:
    """Frame number and time, the time line below; the clock hand turns once in 3.6 seconds."""
    times = uneven_milliseconds()
    for i, time in enumerate(times):
        canvas = Canvas(width, height, PAPER)
        canvas.text(92, 66, f"{i}", 64, INK)
        canvas.text(92, 118, f"{time / 1000:.2f} s", 20, SLATE)
        clock(canvas, 202, 76, 38, time / 3600)
        for k, other in enumerate(times):
            x = 20 + (width - 40) * other / times[-1]
            canvas.box(x - 0.7, 152, x + 0.7, 170, CORAL if k <= i else (206, 202, 190))
        x = 20 + (width - 40) * time / times[-1]
        canvas.disc(x, 161, 6, CORAL)
        yield canvas.pixels()


def write(
    name: str,
    pictures: Iterator[np.ndarray],
    rate: int = 25,
    key_every: int = 50,
    turn: int = 0,
    milliseconds: list[int] | None = None,
) -> None:
    """Code RGB pictures as H.264 with B pictures; `turn` is written into the file, not applied."""
    path = HERE / f"{name}.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {
            "crf": "23",
            "preset": "slow",
            "bf": "3",
            "sc_threshold": "0",  # key frames only where we want them
            "x264-params": "mbtree=0",  # with it x264 writes other bytes each time
        }
        stream.codec_context.gop_size = key_every
        time_base = Fraction(1, 1000) if milliseconds else Fraction(1, rate)
        stream.codec_context.time_base = time_base
        if turn:
            stream.set_display_rotation(turn)
        for i, picture in enumerate(pictures):
            if i == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = (milliseconds[i] if milliseconds else i), time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    print(f"{path.name}: {i + 1} frames, {path.stat().st_size / 1000:.0f} kB")


CLIPS: dict[str, Callable[[], None]] = {
    "counter": lambda: write("counter", counter()),
    "crossing": lambda: write("crossing", crossing(), key_every=32),
    "bars": lambda: write("bars", bars(), key_every=16),
    "portrait": lambda: write("portrait", portrait(), rate=30),
    "rotated": lambda: write("rotated", rotated(), turn=-90),
    "variable_rate": lambda: write(
        "variable_rate", variable_rate(), key_every=20, milliseconds=uneven_milliseconds()
    ),
}

if __name__ == "__main__":
    for chosen in sys.argv[1:] or CLIPS:
        if chosen not in CLIPS:
            sys.exit(f"There is no clip {chosen!r}; there are {', '.join(CLIPS)}.")
        CLIPS[chosen]()

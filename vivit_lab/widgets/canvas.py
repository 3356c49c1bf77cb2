"""A card to draw on: the few commands that every picture of the explorers is made of."""

# Pillow carries them out, because a text costs 0.1 ms there and 4 ms in matplotlib. The card is
# sent as JPEG at full chroma, because PNG takes seven times as long to write. Together that is the
# difference between a slider that follows the hand and one that lags.

import functools
import io
import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

PAPER, INK, MUTED, LINE, TRACK = "#ffffff", "#1f2430", "#6b7280", "#d8dce3", "#eef0f4"
BLUE, TEAL, ORANGE, RED = "#2f6fed", "#0f9d7a", "#f26b1d", "#b42318"

FINE = 3  # smooth shapes are drawn so many times larger, then reduced
MARGIN = 5  # pixels around a clipped area in which a dot or a thick line may still be seen

Points = Sequence[tuple[float, float]] | np.ndarray
Area = tuple[float, float, float, float]  # left, top, right, bottom
rgb = ImageColor.getrgb  # a colour as three numbers, 0 to 255


class Canvas:
    """A white card. Lengths are pixels (float), y downwards; colours are #rrggbb."""

    def __init__(self, width: int, height: int):
        self.width, self.height = width, height
        self.image = Image.new("RGB", (width, height), PAPER)
        self._draw = ImageDraw.Draw(self.image, "RGBA")

    # ---- frames

    def picture(self, x, y, width, height, pixels: np.ndarray) -> None:
        """Paste uint8 (H, W, 3), resized; pixels stay square blocks when enlarged far."""
        left, top, right, bottom = map(round, (x, y, x + width, y + height))
        size = max(1, right - left), max(1, bottom - top)
        blocks = size[0] > 2 * pixels.shape[1]
        how = Image.Resampling.NEAREST if blocks else Image.Resampling.BILINEAR
        self.image.paste(Image.fromarray(pixels).resize(size, how), (left, top))

    def thumbnail(self, x, y, image: Image.Image) -> None:
        self.image.paste(image, (round(x), round(y)))

    # ---- words

    def text(self, x, y, words: str, size=13, colour=INK, bold=False, anchor="la") -> None:
        """Write one line; `anchor` is Pillow's (l/m/r, then a/m/s: ascender, middle, baseline)."""
        mask, left, top = written(words, size, bold, anchor)
        self.image.paste(colour, (round(x) + left, round(y) + top), mask)

    def note(self, x, y, words: str, size=11, anchor="la") -> None:
        self.text(x, y, words, size, MUTED, anchor=anchor)

    def paragraph(self, x, y, lines, step=17, size=12, colour=INK, anchor="la") -> None:
        """Write lines, one `step` below the other."""
        for i, words in enumerate(lines):
            self.text(x, y + step * i, words, size, colour, anchor=anchor)

    # ---- shapes

    def box(self, x, y, width, height, outline=None, fill=None, line=1, radius=0) -> None:
        """A rectangle, its outline drawn inwards; colours may have alpha (#rrggbbaa)."""
        self._draw.rounded_rectangle(
            tuple(map(round, (x, y, x + width, y + height))),
            radius=radius,
            outline=outline,
            fill=fill,
            width=max(1, round(line)) if outline else 0,
        )

    def line(self, points: Points, colour: str, width: float = 1) -> None:
        """A crisp line through points; colours may have alpha."""
        self._draw.line(list(points), fill=colour, width=max(1, round(width)))

    def dashes(self, x, y, width, colour: str) -> None:
        pattern = (255, 255, 255, 255, 0, 0, 0, 0) * (round(width) // 8 + 1)
        mask = Image.frombytes("L", (round(width), 1), bytes(pattern[: round(width)]))
        self.image.paste(colour, (round(x), round(y)), mask)

    def curve(self, points: Points, colour: str, within: Area, width: float = 0) -> None:
        """A smooth line, or a filled polygon if `width` is 0; cut off at the area `within`."""
        points = np.asarray(points, float)
        least, most = np.round(within[:2]) - MARGIN, np.round(within[2:]) + MARGIN
        first = np.clip(np.floor(points.min(axis=0)) - MARGIN, least, most)
        size = np.clip(np.ceil(points.max(axis=0)) + MARGIN, least, most) - first
        layer = Image.new("L", tuple((np.maximum(size, 1) * FINE).astype(int).tolist()))
        pen, fine = ImageDraw.Draw(layer), list(map(tuple, ((points - first) * FINE).tolist()))
        if width:
            pen.line(fine, fill=255, width=round(width * FINE))
        else:
            pen.polygon(fine, fill=255)
        self.image.paste(colour, tuple(first.astype(int).tolist()), layer.reduce(FINE))

    def dots(self, points: Points, colour: str, radius: float = 3.5, edge: float = 0) -> None:
        """A round dot at each point, with an edge of paper that keeps it apart from others."""
        reach = radius + edge
        for x, y in points:
            left, top = math.floor(x - reach), math.floor(y - reach)
            middle = round(FINE * (x - left)), round(FINE * (y - top))
            picture, mask = _dot(colour, radius, edge, middle)
            self.image.paste(picture, (left, top), mask)

    # ---- as a file

    def jpeg(self, quality=90, **options) -> bytes:
        """The card as JPEG bytes, by default sharp, for the screen; `options` are Pillow's."""
        buffer = io.BytesIO()
        self.image.save(buffer, "JPEG", **{"quality": quality, "subsampling": 0} | options)
        return buffer.getvalue()

    def small_jpeg(self) -> bytes:
        """The card as JPEG bytes, small, for a committed notebook."""
        return self.jpeg(quality=62, subsampling=2, optimize=True)


@functools.lru_cache(maxsize=1024)
def _dot(colour: str, radius: float, edge: float, middle: tuple[int, int]) -> tuple:
    """A dot with its edge, and its mask; the middle is FINE parts of a pixel from the corner."""
    side, (x, y) = FINE * math.ceil(2 * (radius + edge) + 2), middle
    layers = Image.new("RGB", (side, side), PAPER if edge else colour), Image.new("L", (side, side))
    for layer, fill, reach in zip(layers, (colour, 255), (radius, radius + edge), strict=True):
        box = x - FINE * reach, y - FINE * reach, x + FINE * reach, y + FINE * reach
        ImageDraw.Draw(layer).ellipse(box, fill=fill)
    return tuple(layer.reduce(FINE) for layer in layers)


@functools.cache
def _font(size: float, bold: bool) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}", size)


@functools.lru_cache(maxsize=2048)
def written(words: str, size: float, bold: bool, anchor: str) -> tuple[Image.Image, int, int]:
    """A line of text as a mask, and its corner from the anchor; kept, for most words come again."""
    font = _font(size, bold)
    left, top, right, bottom = (round(edge) for edge in font.getbbox(words, anchor=anchor))
    mask = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(mask).text((-left, -top), words, fill=255, font=font, anchor=anchor)
    return mask, left, top

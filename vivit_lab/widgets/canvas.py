"""A picture as a list of drawing commands: a browser draws it, and Pillow, and both alike."""

# The browser draws the list on a canvas of its own resolution (stage.js); pictures of frames go
# there once and are kept by name, so that a press sends a few kB. Pillow draws the same list for
# stills and tests. Regions say what lies where: they are what can be pressed and hovered.

import functools
import hashlib
import io
import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

PAPER, INK, MUTED, LINE, TRACK = "#ffffff", "#1f2430", "#565e6c", "#d8dce3", "#eef0f4"
BLUE, TEAL, ORANGE, RED = "#1f5ed6", "#0a7558", "#b3470a", "#b42318"
VIOLET, PINK, GOLD, DIM = "#7c3aed", "#a8327e", "#8a6100", "#aab1bd"
SERIES = MUTED, GOLD, VIOLET, PINK, RED, BLUE, TEAL, ORANGE  # side by side; the last four strong
WHITE, YELLOW = "#fefefe", "#ffd60a"  # over frames; the same in both themes
DARK = {  # what takes their places in a dark theme; a text in any has a contrast of 4.5 or more
    PAPER: "#16191f", INK: "#e8ebf1", MUTED: "#a3acba", LINE: "#3b424f", TRACK: "#262b35",
    BLUE: "#82aaff", TEAL: "#3ecf9f", ORANGE: "#ff9d57", RED: "#ff8a80",
    VIOLET: "#b79bff", PINK: "#f28bc8", GOLD: "#e5b83b", DIM: "#5d6675",
}  # fmt: skip

FINE = 3  # smooth shapes are drawn so many times larger, then reduced
MARGIN = 5  # pixels around a clipped area in which a dot or a thick line may still be seen
GREY = 60, 0.4  # a grey frame is covered by so much of this grey

Points = Sequence[tuple[float, float]] | np.ndarray
Area = tuple[float, float, float, float]  # left, top, right, bottom
rgb = ImageColor.getrgb  # a colour as three numbers, 0 to 255


class Picture:
    """Pixels uint8 (H, W, 3) or (H, W, 4), not to be written into, named by what they show."""

    def __init__(self, pixels: np.ndarray):
        self.pixels = np.ascontiguousarray(pixels)

    @functools.cached_property
    def key(self) -> str:
        shape = str(self.pixels.shape).encode()
        return hashlib.blake2b(self.pixels.tobytes() + shape, digest_size=6).hexdigest()

    def part(self, crop: Area | None) -> Area:
        """Left, top, width and height of a crop, by default of the whole picture."""
        rows, columns = self.pixels.shape[:2]
        left, top, right, bottom = crop or (0, 0, columns, rows)
        return left, top, right - left, bottom - top

    @functools.cached_property
    def image(self) -> Image.Image:
        return Image.fromarray(self.pixels)

    @functools.cached_property
    def file(self) -> bytes:
        """As the browser gets it: JPEG of a frame, PNG of a few cells."""
        buffer, large = io.BytesIO(), self.image.mode == "RGB" and min(self.image.size) >= 32
        options = {"quality": 90, "subsampling": 0} if large else {"compress_level": 1}
        self.image.save(buffer, "JPEG" if large else "PNG", **options)
        return buffer.getvalue()


class Canvas:
    """A card to draw on. Lengths are pixels (float), y downwards.

    Colours are #rrggbb or #rrggbbaa; those of `DARK` change with the theme, all others stay.
    `words` says what the picture shows, for those who do not see it. `animate`: milliseconds in
    which what has a name moves from its place in the picture before.
    """

    def __init__(self, width: int, height: int, words: str = "", animate: int = 0):
        self.width, self.height, self.words, self.animate = width, height, words, animate
        self.commands: list[list] = []
        self.pictures: dict[str, Picture] = {}
        self.regions: list[dict] = []
        self.films: list[dict] = []
        self.play: dict = {}

    def _add(self, *command) -> None:
        self.commands.append([_short(part) for part in command])

    # ---- frames

    def frame(
        self, x, y, width, height, picture: Picture, crop: Area | None = None, fade: float = 0,
        grey: bool = False, name: str = "",
    ) -> None:  # fmt: skip
        """A picture, or its `crop`, resized; pixels stay square blocks when enlarged far.

        fade: 0..1, towards the paper. grey: dark and without colour, to carry a map.
        """
        self.pictures[picture.key] = picture
        source = picture.part(crop)
        look = (width > 2 * source[2]) + 2 * grey
        self._add("f", picture.key, *source, x, y, width, height, fade, look, name)

    def picture(self, x, y, width, height, pixels: np.ndarray) -> None:
        """Pixels uint8 (H, W, 3) or (H, W, 4) of any kind; a frame of a clip goes by `frame`."""
        self.frame(x, y, width, height, Picture(pixels))

    # ---- words

    def text(self, x, y, words: str, size=13, colour=INK, bold=False, anchor="la") -> None:
        """Write one line; `anchor` is Pillow's (l/m/r, then a/m/s: ascender, middle, baseline)."""
        up, down = _font(size, bold).getmetrics()
        base = {"a": up, "m": (up - down) / 2, "s": 0}[anchor[1]]
        self._add("t", x, y + base, words, size, colour, int(bold), anchor[0])

    def note(self, x, y, words: str, size=12, anchor="la") -> None:
        self.text(x, y, words, size, MUTED, anchor=anchor)

    def paragraph(self, x, y, lines, step=17, size=12, colour=INK, anchor="la") -> None:
        """Write lines, one `step` below the other."""
        for i, words in enumerate(lines):
            self.text(x, y + step * i, words, size, colour, anchor=anchor)

    # ---- shapes

    def box(self, x, y, width, height, outline=None, fill=None, line=1, radius=0, name="") -> None:
        """A rectangle, its outline drawn inwards; colours may have alpha (#rrggbbaa)."""
        left, top, right, bottom = map(round, (x, y, x + width, y + height))
        line = max(1, round(line)) if outline else 0
        size = right - left, bottom - top
        self._add("b", left, top, *size, fill or 0, outline or 0, line, radius, name)

    def line(self, points: Points, colour: str = LINE, width: float = 1) -> None:
        """A crisp line through points, by default the pale one between parts of a picture."""
        self._add("l", np.asarray(points, float), colour, max(1, round(width)))

    def ticks(self, xs: Sequence[float], top, bottom, colour: str, width: float = 1) -> None:
        """Crisp upright lines, all equally long."""
        self._add("|", np.asarray(xs, float), top, bottom, colour, max(1, round(width)))

    def dashes(self, x, y, width, colour: str) -> None:
        self._add("-", round(x), round(y), round(width), colour)

    def curve(self, points: Points, colour: str, within: Area, width: float = 0) -> None:
        """A smooth line, or a filled polygon if `width` is 0; cut off at the area `within`."""
        self._add("c", np.asarray(points, float), colour, width, [*map(round, within)])

    def dots(self, points: Points, colour: str, radius: float = 3.5, edge: float = 0) -> None:
        """A round dot at each point, with an edge of paper that keeps it apart from others."""
        self._add("d", np.asarray(points, float).reshape(-1, 2), colour, radius, edge)

    # ---- what can be touched

    def region(
        self, x, y, width, height, says: str = "", values: Sequence = (),
        across: tuple = (), down: tuple = (), places: Sequence[float] = (),
        levels: Sequence[float] = (), dots: bool = False, grip: tuple = (), **at,
    ) -> None:  # fmt: skip
        """A thing, or a grid of things, that can be hovered and pressed.

        at: what it is, {name: value}, as step=2. across, down: (name, values) of a grid's columns
        and rows, of equal size; or `places`, the x of each column, of which the nearest counts;
        `levels`, the y of a curve at them, outside which there is nothing: of curves the nearest;
        with `dots` there is no curve through these points, but a thing at each. grip: the x and the
        width of what is dragged; held anywhere in there, it counts as held by its middle.
        What is hovered lights up wherever all names that both have agree. A press sets the
        controls of those names. says: words with {name}, {value}, which is one of `values`, row by
        row, and {value+15} or {name-1}, for a number that is so much more or less.
        """
        found = {"box": [_short(each) for each in (x, y, width, height)], "at": at, "says": says}
        for axis, each in (("across", across), ("down", down)):
            if each:
                found[axis] = [each[0], list(each[1])]
        for name, each in (("places", places), ("levels", levels), ("grip", grip)):
            if len(each):
                found[name] = _short(np.asarray(each, float))
        if dots:
            found["dots"] = True
        if len(values):
            found["values"] = [_short(value) for value in np.ravel(values).tolist()]
        self.regions.append(found)

    def film(
        self, x, y, width, height, frames: Sequence[Picture], name="", values=(), rate: float = 8,
        crop: Area | None = None,
    ) -> None:  # fmt: skip
        """Frames, or their `crop`, that run when play is pressed; {name: value} lights up."""
        self.pictures |= {each.key: each for each in frames}
        self.films.append({
            "keys": [each.key for each in frames], "name": name, "rate": rate,
            "values": list(values or range(len(frames))),
            "box": [_short(each) for each in (x, y, width, height)],
            "crop": list(frames[0].part(crop)),
        })  # fmt: skip

    def steps(self, name: str, values: Sequence, seconds: float = 1.5) -> None:
        """When play is pressed, the control of this name goes through these values."""
        self.play = {"name": name, "values": list(values), "seconds": seconds}

    def scene(self) -> dict:
        """All that a browser needs besides the pictures."""
        parts = ("width", "height", "words", "animate", "commands", "regions", "films", "play")
        return {part: getattr(self, part) for part in parts}

    # ---- as an image

    def image(self, dark: bool = False) -> Image.Image:
        """The picture by Pillow, at scale 1."""
        return _Painter(self, dark).image

    def jpeg(self, quality=90, **options) -> bytes:
        """The card as JPEG bytes, by default sharp, for the screen; `options` are Pillow's."""
        buffer = io.BytesIO()
        self.image().save(buffer, "JPEG", **{"quality": quality, "subsampling": 0} | options)
        return buffer.getvalue()


def _short(part):
    """A number with two decimals at most, points as a flat list; all else as it is."""
    if isinstance(part, np.ndarray):
        return np.round(part, 2).ravel().tolist()  # at once: a curve has hundreds
    if isinstance(part, (float, np.floating)):
        return int(part) if part == int(part) else round(float(part), 2)
    return part.item() if isinstance(part, np.generic) else part


class _Painter:
    """Draws the commands of a canvas by Pillow, one method a letter; stage.js has the same ones."""

    def __init__(self, canvas: Canvas, dark: bool):
        self.colours, self.pictures = DARK if dark else {}, canvas.pictures
        self.paper = self.colour(PAPER)
        self.image = Image.new("RGB", (canvas.width, canvas.height), self.paper)
        self.pen = ImageDraw.Draw(self.image, "RGBA")
        ways = {"f": self.frame, "t": self.text, "b": self.box, "l": self.line, "-": self.dashes,
                "|": self.ticks, "c": self.curve, "d": self.dots}  # fmt: skip
        for letter, *rest in canvas.commands:
            ways[letter](*rest)

    def colour(self, colour: str) -> str:
        return self.colours.get(colour[:7], colour[:7]) + colour[7:]

    def frame(self, key, left, top, across, down, x, y, width, height, fade, look, _name) -> None:
        first = round(x), round(y)
        size = max(1, round(x + width) - first[0]), max(1, round(y + height) - first[1])
        blocks, grey = look & 1, look & 2
        how = Image.Resampling.NEAREST if blocks else Image.Resampling.BILINEAR
        box, image = (left, top, left + across, top + down), self.pictures[key].image
        image = image.resize(size, how, box, None if blocks else 2.0)
        mask = image.getchannel("A") if image.mode == "RGBA" else None
        image = image.convert("RGB")
        if grey:
            level, share = GREY
            image = image.convert("L").point(lambda v: round(share * level + (1 - share) * v))
            image = image.convert("RGB")
        if fade:
            image = Image.blend(image, Image.new("RGB", size, self.paper), fade)
        self.image.paste(image, first, mask)

    def text(self, x, base, words, size, colour, bold, side) -> None:
        mask, left, top = written(words, size, bool(bold), side + "s")
        place = round(x) + left, round(base) + top
        self.image.paste(self.colour(colour), place, mask)

    def box(self, x, y, width, height, fill, outline, line, radius, _name) -> None:
        fill, outline = (self.colour(each) if each else None for each in (fill, outline))
        edges = (x, y, max(x, x + width - 1), max(y, y + height - 1))
        self.pen.rounded_rectangle(edges, radius, fill, outline, line)

    def line(self, points, colour, width) -> None:
        self.pen.line(points, self.colour(colour), width)

    def ticks(self, xs, top, bottom, colour, width) -> None:
        for x in xs:
            self.line([x, top, x, bottom], colour, width)

    def dashes(self, x, y, width, colour) -> None:
        for left in range(x, x + width, 8):
            self.pen.line([left, y, min(left + 3, x + width - 1), y], self.colour(colour))

    def curve(self, points, colour, width, within) -> None:
        points = np.reshape(points, (-1, 2))
        least, most = np.subtract(within[:2], MARGIN), np.add(within[2:], MARGIN)
        first = np.clip(np.floor(points.min(axis=0)) - MARGIN, least, most)
        size = np.clip(np.ceil(points.max(axis=0)) + MARGIN, least, most) - first
        layer = Image.new("L", tuple((np.maximum(size, 1) * FINE).astype(int).tolist()))
        pen, fine = ImageDraw.Draw(layer), list(map(tuple, ((points - first) * FINE).tolist()))
        full = rgb(colour)[3] if len(colour) == 9 else 255
        if width:
            pen.line(fine, fill=full, width=round(width * FINE), joint="curve")
        else:
            pen.polygon(fine, fill=full)
        place = tuple(first.astype(int).tolist())
        self.image.paste(self.colour(colour[:7]), place, layer.reduce(FINE))

    def dots(self, points, colour, radius, edge) -> None:
        reach = radius + edge
        for x, y in zip(points[::2], points[1::2], strict=True):
            left, top = math.floor(x - reach), math.floor(y - reach)
            middle = round(FINE * (x - left)), round(FINE * (y - top))
            picture, mask = _dot(self.colour(colour), self.paper, radius, edge, middle)
            self.image.paste(picture, (left, top), mask)


@functools.lru_cache(maxsize=1024)
def _dot(colour: str, paper: str, radius: float, edge: float, middle: tuple[int, int]) -> tuple:
    """A dot with its edge, and its mask; the middle is FINE parts of a pixel from the corner."""
    side, (x, y) = FINE * math.ceil(2 * (radius + edge) + 2), middle
    full = rgb(colour)[3] if len(colour) == 9 else 255
    colour = colour[:7]
    layers = Image.new("RGB", (side, side), paper if edge else colour), Image.new("L", (side, side))
    for layer, fill, reach in zip(layers, (colour, full), (radius, radius + edge), strict=True):
        box = x - FINE * reach, y - FINE * reach, x + FINE * reach, y + FINE * reach
        ImageDraw.Draw(layer).ellipse(box, fill=fill)
    return tuple(layer.reduce(FINE) for layer in layers)


@functools.cache
def _font(size: float, bold: bool) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_path(bold), size)


def font_path(bold: bool) -> str:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return f"{matplotlib.get_data_path()}/fonts/ttf/{name}"


@functools.lru_cache(maxsize=2048)
def written(words: str, size: float, bold: bool, anchor: str) -> tuple[Image.Image, int, int]:
    """A line of text as a mask, and its corner from the anchor; kept, for most words come again."""
    font = _font(size, bold)
    left, top, right, bottom = (round(edge) for edge in font.getbbox(words, anchor=anchor))
    mask = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(mask).text((-left, -top), words, fill=255, font=font, anchor=anchor)
    return mask, left, top


@functools.cache
def font_file(bold: bool) -> bytes:
    """The letters that Europe writes, and the signs of mathematics, for the browser: 60 kB."""
    from fontTools import subset  # comes with matplotlib

    options = subset.Options(
        layout_features=[], hinting=False, drop_tables=["FFTM", "GSUB", "GPOS"]
    )
    font = subset.load_font(font_path(bold), options)
    chosen = subset.Subsetter(options)
    blocks = (0x20, 0x180), (0x370, 0x400), (0x2010, 0x2040), (0x2070, 0x20A0), (0x2190, 0x2300)
    chosen.populate(unicodes=[code for block in blocks for code in range(*block)] + [0x25B6])
    chosen.subset(font)
    buffer = io.BytesIO()
    font.save(buffer)
    return buffer.getvalue()

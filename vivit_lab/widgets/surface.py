"""What the explorers share: a canvas in pixels, sliders over legal values, a frame around both.

The way of every explorer is state -> pure function -> Canvas -> JPEG bytes -> widgets.Image.
Pictures are drawn with Pillow, because a text costs 0.1 ms there and 4 ms in matplotlib, and
sent as JPEG at full chroma, because PNG takes seven times as long to write: together that is the
difference between a slider that follows the hand and one that lags.
"""

import base64
import contextlib
import functools
import html
import io
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator

import ipywidgets as widgets
import matplotlib
import numpy as np
from IPython import display
from PIL import Image, ImageDraw, ImageFont

from vivit_lab.errors import nearest
from vivit_lab.video import VideoError

PAPER, INK, MUTED, LINE = "#ffffff", "#1f2430", "#6b7280", "#d8dce3"
BLUE, TEAL, ORANGE, RED = "#2f6fed", "#0f9d7a", "#f26b1d", "#b42318"


class Canvas:
    """A white card to draw on. Lengths are pixels, y downwards.

    Example:
        >>> canvas = Canvas(300, 100)
        >>> canvas.text(10, 10, "16 x 14 x 14 tokens")
        >>> canvas.jpeg()[:2]
        b'\\xff\\xd8'
    """

    def __init__(self, width: int, height: int):
        self.width, self.height = width, height
        self.image = Image.new("RGB", (width, height), PAPER)
        self._draw = ImageDraw.Draw(self.image, "RGBA")

    def picture(self, x: float, y: float, width: float, height: float, pixels: np.ndarray) -> None:
        """Paste uint8 (H, W, 3), resized; pixels stay square blocks when enlarged far."""
        left, top, right, bottom = map(round, (x, y, x + width, y + height))
        size = max(1, right - left), max(1, bottom - top)
        blocks = size[0] > 2 * pixels.shape[1]
        how = Image.Resampling.NEAREST if blocks else Image.Resampling.BILINEAR
        self.image.paste(Image.fromarray(pixels).resize(size, how), (left, top))

    def thumbnail(self, x: float, y: float, image: Image.Image) -> None:
        """Paste an image that `thumbnail` has already made the right size."""
        self.image.paste(image, (round(x), round(y)))

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float = 13,
        colour: str = INK,
        bold: bool = False,
        anchor: str = "la",
    ) -> None:
        """Write one line; `anchor` is Pillow's (l/m/r, then a/m/s: ascender, middle, baseline)."""
        mask, left, top = _written(words, size, bold, anchor)
        self.image.paste(colour, (round(x) + left, round(y) + top), mask)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        outline: str | None = None,
        fill: str | None = None,
        line: float = 1,
        radius: float = 0,
    ) -> None:
        """A rectangle, its outline drawn inwards; colours may have alpha (#rrggbbaa)."""
        self._draw.rounded_rectangle(
            tuple(map(round, (x, y, x + width, y + height))),
            radius=radius,
            outline=outline,
            fill=fill,
            width=max(1, round(line)) if outline else 0,
        )

    def line(self, points: Iterable[tuple[float, float]], colour: str, width: float = 1) -> None:
        """A line through the points (x, y)."""
        self._draw.line(list(points), fill=colour, width=max(1, round(width)))

    def jpeg(self) -> bytes:
        """The card as JPEG bytes, sharp, for the screen."""
        return _jpeg(self.image, quality=90, subsampling=0)

    def small_jpeg(self) -> bytes:
        """The card as JPEG bytes, small, for a committed notebook."""
        return _jpeg(self.image, quality=62, subsampling=2, optimize=True)


def _jpeg(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def thumbnail(pixels: np.ndarray, width: float, height: float, dim: float = 0) -> Image.Image:
    """A small copy of uint8 (H, W, 3) for `Canvas.thumbnail`.

    `dim` 0..1 fades it towards the paper.

    Example:
        >>> thumbnail(np.zeros((224, 224, 3), np.uint8), 40, 30).size
        (40, 30)
    """
    size = max(1, round(width)), max(1, round(height))
    image = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return Image.blend(image, Image.new("RGB", size, PAPER), dim) if dim else image


@functools.cache
def _font(size: float, bold: bool) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}", size)


@functools.lru_cache(maxsize=2048)
def _written(words: str, size: float, bold: bool, anchor: str) -> tuple[Image.Image, int, int]:
    """A line of text as a mask, and its corner from the anchor; kept, for most words come again."""
    font = _font(size, bold)
    left, top, right, bottom = (round(edge) for edge in font.getbbox(words, anchor=anchor))
    mask = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(mask).text((-left, -top), words, fill=255, font=font, anchor=anchor)
    return mask, left, top


_TURN = threading.RLock()


def one_at_a_time(callback: Callable) -> Callable:
    """Let the callbacks of all explorers run one after another.

    JupyterLab hands the messages of different widgets to different threads of the kernel. Without
    this a callback would see the sliders of an explorer halfway through another callback.

    Example:
        >>> one_at_a_time(lambda change: change + 1)(1)
        2
    """

    @functools.wraps(callback)
    def alone(*arguments, **named):
        with _TURN:
            return callback(*arguments, **named)

    return alone


class Explorer(ABC):
    """Controls above a picture, and the message that stands in its place when something is wrong.

    A subclass makes its controls, passes them on, and says in `draw` what the picture is. To drive
    one without a browser set a control's value (`explorer.frames.value = 16`) and look at
    `explorer.picture.value` (JPEG bytes) or `explorer.message.value` (HTML; empty if all is well).
    """

    width, height = 920, 400  # of the picture, in pixels

    def __init__(self, controls: widgets.Widget):
        size = {"width": f"{self.width}px", "height": f"{self.height}px", "max_width": "100%"}
        self.picture = widgets.Image(
            format="jpeg", layout=widgets.Layout(object_fit="contain", margin="6px 0 0 0", **size)
        )
        self.message = widgets.HTML()
        self.ui = widgets.VBox(
            [controls, self.message, self.picture],
            layout=widgets.Layout(overflow="hidden", width="100%"),
        )
        self.ui.add_class("vivit-lab-explorer")
        self._quiet = False
        self.refresh()

    @abstractmethod
    def draw(self) -> Canvas:
        """The picture of the present state."""

    @one_at_a_time
    def refresh(self, _change: object = None) -> None:
        """Draw again, or say in the picture's place why that cannot be done."""
        if self._quiet:
            return
        try:
            canvas = self.draw()
        except REPORTED as error:
            self.say(error)
        else:
            self.message.value = ""
            self.picture.layout.display = None
            self.picture.value = canvas.jpeg()

    def say(self, error: Exception | str) -> None:
        """Put a message where the picture was."""
        self.message.value = message_html(error)
        self.picture.layout.display = "none"

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Changes of controls inside the block redraw nothing."""
        outer, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = outer

    @contextlib.contextmanager
    def one_redraw(self) -> Iterator[None]:
        """Changes of several controls inside the block redraw once, at its end."""
        with self.quiet():
            yield
        self.refresh()

    @one_at_a_time
    def still(self) -> display.Image:
        """The present picture as a plain image, which needs no kernel to be seen."""
        return display.Image(self.draw().small_jpeg(), format="jpeg", width=self.width)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        """The live widgets, and beside them the still for a reader without a kernel."""
        bundle = self.ui._repr_mimebundle_()
        return bundle | {"image/jpeg": base64.b64encode(self.still().data).decode()}


# What a learner can cause with a slider or a file; anything else is a fault of ours and is raised.
REPORTED = (VideoError, ValueError, TypeError, OSError)


def message_html(error: Exception | str) -> str:
    """A message as a small red-edged box that reads well on light and dark.

    Example:
        >>> "a &lt; b" in message_html("a < b")
        True
    """
    style = f"border-left:4px solid {RED};padding:6px 12px;margin:6px 0;line-height:1.45"
    return f'<div style="{style}">{html.escape(str(error))}</div>'


def legal_slider(label: str, options: Iterable[int], value: int, tip: str = "") -> widgets.Widget:
    """A slider that stops at the legal values only.

    Example:
        >>> legal_slider("frames", [4, 8, 16, 32], 32).value
        32
    """
    return widgets.SelectionSlider(
        options=list(options),
        value=value,
        description=label,
        tooltip=tip,
        style={"description_width": "96px"},
        layout=widgets.Layout(width="98%"),
    )


def set_options(slider: widgets.SelectionSlider, options: Iterable[int]) -> None:
    """Give a slider other legal values; it keeps its value, or moves to the nearest legal one.

    Example:
        >>> slider = legal_slider("tubelet t", [1, 2, 4, 8], 8)
        >>> set_options(slider, [1, 2, 4])
        >>> slider.value
        4
    """
    options = list(options)
    value = nearest(slider.value, options)
    if list(slider.options) != options:
        with slider.hold_sync():  # one message: the browser must not see the new options alone
            slider.options = options  # moves it to the first one
            slider.value = value


def column(title: str, *controls: widgets.Widget) -> widgets.VBox:
    """Controls under a small heading, one of several columns."""
    heading = widgets.HTML(f"<b>{html.escape(title)}</b>")
    layout = widgets.Layout(flex="1 1 280px", min_width="270px", margin="0 10px 0 0")
    return widgets.VBox([heading, *controls], layout=layout)


def columns(*parts: widgets.Widget) -> widgets.HBox:
    """Columns side by side, below each other where the window is narrow."""
    return widgets.HBox(list(parts), layout=widgets.Layout(flex_flow="row wrap", width="100%"))

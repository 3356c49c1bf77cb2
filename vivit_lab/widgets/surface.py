"""What the explorers share: a frame, controls over legal values, one callback at a time.

The way of every explorer is state -> pure function -> Canvas -> JPEG bytes -> widgets.Image.
"""

import base64
import contextlib
import dataclasses
import functools
import html
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import ipywidgets as widgets
import torch
from IPython import display

from vivit_lab.errors import nearest
from vivit_lab.models import ViViT, ViViTConfig, build_model
from vivit_lab.video import VideoError
from vivit_lab.widgets.canvas import RED, Canvas

# What a learner can cause with a slider or a file; anything else is a fault of ours and is raised.
REPORTED = (VideoError, ValueError, TypeError, OSError)

_TURN = threading.RLock()


def one_at_a_time(callback: Callable) -> Callable:
    """Let the callbacks of all explorers run one after another."""
    # JupyterLab hands the messages of different widgets to different threads of the kernel. Without
    # this a callback would see the sliders of an explorer halfway through another callback.

    @functools.wraps(callback)
    def alone(*arguments, **named):
        with _TURN:
            return callback(*arguments, **named)

    return alone


class Explorer(ABC):
    """Controls above a picture, and the message that stands in its place when something is wrong.

    A subclass makes its controls, passes them on in columns {title: controls}, or as one widget if
    it watches them itself; `draw` says what the picture is, `adjust` what moves with a control.
    Without a browser: set a control's value (`explorer.frames.value = 16`), and look at
    `explorer.picture.value` (JPEG) or `explorer.message.value` (HTML; empty if all is well).
    """

    width, height = 920, 400  # of the picture, in pixels

    def __init__(self, controls: Mapping[str, Sequence[widgets.Widget]] | widgets.Widget):
        if isinstance(controls, Mapping):
            for control in (each for column in controls.values() for each in column):
                if control.has_trait("value"):
                    control.observe(self._on_control, "value")
            column = widgets.Layout(flex="1 1 280px", min_width="270px", margin="0 10px 0 0")
            columns = [
                widgets.VBox([widgets.HTML(f"<b>{html.escape(title)}</b>"), *each], layout=column)
                for title, each in controls.items()
            ]  # side by side, or below each other where the window is narrow
            wrapped = widgets.Layout(flex_flow="row wrap", width="100%")
            controls = widgets.HBox(columns, layout=wrapped)
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

    def adjust(self, moved: widgets.Widget) -> None:  # noqa: B027 - most have nothing to adjust
        """Make the other controls fit the one that was moved; the picture is drawn after it."""

    @one_at_a_time
    def _on_control(self, change: dict) -> None:
        if not self._quiet:
            with self.one_redraw():
                self.adjust(change["owner"])

    @one_at_a_time
    def refresh(self, _change: object = None) -> None:
        """Draw again, or say in the picture's place why that cannot be done."""
        if self._quiet:
            return
        try:
            canvas = self.draw()
        except REPORTED as error:
            self.message.value = message_html(error)
            self.picture.layout.display = "none"
        else:
            self.message.value = ""
            self.picture.layout.display = None
            self.picture.value = canvas.jpeg()

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
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

    def read(self, kind: type, **others: object) -> object:
        """A state: the values of the controls that have its fields' names, and others beside."""
        names = {field.name for field in dataclasses.fields(kind)} - others.keys()
        return kind(**{name: getattr(self, name).value for name in names}, **others)

    @staticmethod
    def set_options(control: widgets.Widget, options: Iterable) -> None:
        """Give a control other options; it keeps its value, or takes the nearest, or the first."""
        options, value = list(options), control.value
        values = [option[1] if isinstance(option, tuple) else option for option in options]
        if value not in values:
            whole = all(isinstance(each, int) for each in (value, *values))
            value = nearest(value, values) if whole else values[0]
        if list(control.options) != options:
            with control.hold_sync():  # one message: the browser must not see the new options alone
                control.options = options  # moves it to the first one
                control.value = value

    @staticmethod
    def set_last(slider: widgets.Widget, last: int, value: int | None = None) -> None:
        """Another end for a slider over whole numbers, and a value, by default the one it has."""
        value = min(slider.value if value is None else value, last)
        if last < slider.max:  # value first: a browser would clip it, and send that back as a move
            slider.value, slider.max = value, last
        else:
            slider.max, slider.value = last, value

    @one_at_a_time
    def still(self) -> display.Image:
        """The present picture as a plain image, which needs no kernel to be seen."""
        return display.Image(self.draw().small_jpeg(), format="jpeg", width=self.width)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        """The live widgets, and beside them the still for a reader without a kernel."""
        bundle = self.ui._repr_mimebundle_()
        return bundle | {"image/jpeg": base64.b64encode(self.still().data).decode()}


def message_html(error: Exception | str) -> str:
    """A message as a small red-edged box that reads well on light and dark."""
    style = f"border-left:4px solid {RED};padding:6px 12px;margin:6px 0;line-height:1.45"
    return f'<div style="{style}">{html.escape(str(error))}</div>'


def new_model(config: ViViTConfig, seed: int = 0) -> ViViT:
    """A model with random weights, the same ones every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(config).eval()


# ---- controls


def look(label_width: int = 96) -> dict:
    """Style and layout of a control in a column."""
    style = {"description_width": f"{label_width}px"}
    return {"style": style, "layout": widgets.Layout(width="98%")}


def legal_slider(label: str, options: Iterable, value: object, tip: str = "") -> widgets.Widget:
    return widgets.SelectionSlider(
        options=list(options), value=value, description=label, tooltip=tip, **look()
    )


def whole_slider(label: str, count: int, value: int = 0) -> widgets.Widget:  # 0 to count - 1
    return widgets.IntSlider(value, max=count - 1, description=label, **look())


def place_sliders(
    grid: Sequence[int], at: Sequence[int] = (), names=("time step", "row", "column")
) -> list[widgets.Widget]:
    """Three sliders to a place in a grid, by default its middle."""
    at = at or [count // 2 for count in grid]
    return [whole_slider(*each) for each in zip(names, grid, at, strict=True)]


def dropdown(
    label: str, options: Iterable, value: object = None, label_width: int = 96
) -> widgets.Widget:
    """One of some options, by default the first."""
    found = widgets.Dropdown(options=list(options), description=label, **look(label_width))
    if value is not None:
        found.value = value
    return found


def buttons(options: Iterable, value: object = None, width: int = 84) -> widgets.Widget:
    found = widgets.ToggleButtons(options=list(options), style={"button_width": f"{width}px"})
    found.layout = widgets.Layout(width="98%", margin="2px 2px 10px 2px")  # a row, seen as one
    if value is not None:
        found.value = value
    return found


def button(words: str, callback: Callable, icon: str = "", style: str = "") -> widgets.Widget:
    found = widgets.Button(description=words, icon=icon, button_style=style)
    found.on_click(one_at_a_time(lambda _: callback()))
    return found

"""What the explorers share: a frame, controls over legal values, one callback at a time.

The way of every explorer is state -> pure function -> Canvas -> the stage in the browser.
"""

import base64
import contextlib
import dataclasses
import functools
import html
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import anywidget
import ipywidgets as widgets
import traitlets
from IPython import display

from vivit_lab.errors import nearest
from vivit_lab.models import ViViT, ViViTConfig, build_model
from vivit_lab.video import VideoError
from vivit_lab.video.transforms import seeded
from vivit_lab.widgets.canvas import DARK, RED, Canvas, font_file

# What a learner can cause with a slider or a file; anything else is a fault of ours and is raised.
REPORTED = (VideoError, ValueError, TypeError, OSError)

MOVED = "vl-moved-a", "vl-moved-b"  # classes of a control that a button has just moved

TURN = threading.RLock()


def one_at_a_time(callback: Callable) -> Callable:
    """Let the callbacks of all explorers run one after another."""
    # JupyterLab hands the messages of different widgets to different threads of the kernel. Without
    # this a callback would see the sliders of an explorer halfway through another callback.

    @functools.wraps(callback)
    def alone(*arguments, **named):
        with TURN:
            return callback(*arguments, **named)

    return alone


class Stage(anywidget.AnyWidget):
    """The picture of an explorer: a canvas in the browser, its script beside this file."""

    _esm = Path(__file__).with_name("stage.js")
    _css = Path(__file__).with_name("stage.css")
    scene = traitlets.Dict().tag(sync=True)
    palette = traitlets.Dict(DARK).tag(sync=True)

    def __init__(self, heard: Callable[[dict], None]):
        super().__init__()
        self.canvas: Canvas | None = None
        self._there: set[str] | None = None  # names of the pictures sent; None: nobody has asked
        self.on_msg(lambda _stage, message, _buffers: self._on_message(message, heard))

    def show(self, canvas: Canvas, **others: object) -> None:
        """Draw this, and send those of its pictures that the browser does not have."""
        self.canvas = canvas
        if self._there is not None:  # a browser that has not asked yet does not listen either
            self._bring([key for key in canvas.pictures if key not in self._there])
        self.scene = canvas.scene() | others

    @property
    def value(self) -> bytes:
        """What is shown, as JPEG."""
        return self.canvas.jpeg()

    def _bring(self, keys: Sequence[str]) -> None:
        pictures = self.canvas.pictures
        files = [font_file("bold" in k) if "font" in k else pictures[k].file for k in keys]
        self._there = (self._there or set()).union(keys)
        if keys:
            self.send({"pictures": list(keys)}, files)

    def _on_message(self, message: dict, heard: Callable[[dict], None]) -> None:
        if "want" in message:  # another browser, or one that has forgotten
            known = self.canvas.pictures
            return self._bring([key for key in message["want"] if "font" in key or key in known])
        try:
            heard(message)
        finally:
            self.send({"done": True})


class Explorer(ABC):
    """A picture that can be touched, its controls, and the message in its place if all is not well.

    A subclass makes its controls, passes them on in columns {title: controls}, or as one widget if
    it watches them itself; `draw` says what the picture is, `adjust` what moves with a control,
    `control` which control a name in the picture moves, `pressed` what else a press does.
    Without a browser: set a control's value (`explorer.frames.value = 16`), and look at
    `explorer.picture.value` (JPEG) or `explorer.message.value` (HTML; empty if all is well).
    """

    width, height = 920, 400  # of the picture, in pixels
    arrows: Sequence[str] = ()  # names that ← →, ↑ ↓ and Page Up, Page Down on the picture move
    switches: Sequence[str] = ()  # names of which a press turns something on or off, and no drag

    def __init__(self, controls: Mapping[str, Sequence[widgets.Widget]] | widgets.Widget):
        if isinstance(controls, Mapping):
            for control in (each for column in controls.values() for each in column):
                if control.has_trait("value"):
                    control.observe(self._on_control, "value")
            column = widgets.Layout(flex="1 1 260px", min_width="250px", margin="0 10px 0 0")
            columns = [
                widgets.VBox([widgets.HTML(f"<b>{html.escape(title)}</b>"), *each], layout=column)
                for title, each in controls.items()
            ]
            controls = wrapped(columns)
        self.message = widgets.HTML()
        self.picture = Stage(self._on_touch)
        above = widgets.VBox([self.message, self.picture])
        above.add_class("vl-picture")
        self.controls = widgets.VBox([controls])
        self.controls.add_class("vl-controls")
        self.ui = widgets.VBox([above, self.controls])
        self.ui.add_class("vivit-lab-explorer")
        self._quiet = False
        self._stored: display.DisplayHandle | None = None  # the still in a notebook
        self.refresh()

    @abstractmethod
    def draw(self) -> Canvas:
        """The picture of the present state."""

    def adjust(self, moved: widgets.Widget) -> None:  # noqa: B027 - most have nothing to adjust
        """Make the other controls fit the one that was moved; the picture is drawn after it."""

    def control(self, name: str) -> widgets.Widget | None:
        """The control that a name in the picture stands for; None: it is only hovered."""
        found = getattr(self, name, None)
        return found if isinstance(found, widgets.Widget) else None

    def pressed(self, at: dict) -> None:
        """A thing in the picture was pressed: its controls take its values."""
        for name, value in at.items():
            control = self.control(name)
            if control is not None and not control.disabled:
                control.value = value
                self.adjust(control)

    @one_at_a_time
    def _on_touch(self, message: dict) -> None:
        with self.one_redraw():
            if "press" in message:
                self.pressed(message["press"])
            else:
                axis, steps = message["key"]
                self._move(self.control(self.arrows[axis]), steps)

    def _move(self, control: widgets.Widget, steps: int) -> None:
        """A slider so many of its values further, not beyond its ends."""
        if control.disabled:
            return
        if hasattr(control, "options"):
            last, now = len(control.options) - 1, -1 if control.index is None else control.index
            control.index = min(max(now + steps, 0), last)
        else:
            control.value = min(max(control.value + steps * control.step, control.min), control.max)
        self.adjust(control)

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
            for region in canvas.regions:
                axes = [region[axis][0] for axis in ("across", "down") if axis in region]
                names = [*region["at"], *axes]
                region["press"] = any(map(self.control, names))
                region["once"] = any(name in self.switches for name in names)
            if canvas.play:
                canvas.play["now"] = self.control(canvas.play["name"]).value
            self.picture.show(canvas, keys=len(self.arrows))

    def offer(self, tries: Mapping[str, Mapping[str, object]]) -> "Explorer":
        """Buttons that do what a text suggests: {words: {control: value, ...}}; in that order."""

        def move(values: Mapping[str, object]) -> None:
            with self.one_redraw():
                self.pressed(dict(values))
            for name in values:  # two classes in turn: an animation begins with a new one
                control = self.control(name)
                old, new = MOVED if MOVED[0] in control._dom_classes else MOVED[::-1]
                control.remove_class(old)
                control.add_class(new)

        row = [widgets.HTML("<b>Try</b>")]
        for words, values in tries.items():
            row.append(button(words, functools.partial(move, values)))
            row[-1].layout = widgets.Layout(width="auto")
        self.controls.children = (*self.controls.children, wrapped(row))
        return self

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
        return Still(self.draw())

    def _ipython_display_(self) -> None:
        """The still, stored with the notebook, and the live widgets, which hide it while they live.

        A notebook that is opened again without its kernel shows the still alone.
        """
        if self.picture.canvas:
            stored = Still(self.picture.canvas).bundle(HIDE_LOST)
            self._stored = display.display(stored, raw=True, display_id=True)
        live = self.ui._repr_mimebundle_() | {"text/plain": RUN_ME}
        display.display(live, raw=True)

    def renew_still(self) -> None:
        """Let the notebook store what is shown now, in place of what the explorer opened with."""
        if self._stored:
            self._stored.update(Still(self.picture.canvas).bundle(HIDE_LOST), raw=True)


RUN_ME = "The same picture with live controls: run this cell."  # where there are no widgets
HIDE_LOST = (  # the words in the place of widgets whose kernel has gone
    "<style>.jp-OutputArea:has(.vl-still) .jp-OutputArea-output.jupyter-widgets:not(:has(*)) "
    "{display: none}</style>"
)


class Still(display.Image):
    """A canvas as a small JPEG; wherever it is shown its words are its alternative text."""

    def __init__(self, canvas: Canvas):
        words = canvas.words or None
        small = canvas.jpeg(quality=62, subsampling=2, optimize=True)  # for a committed notebook
        super().__init__(small, format="jpeg", width=canvas.width, alt=words)

    def _ipython_display_(self) -> None:
        display.display(self.bundle(), raw=True)

    def bundle(self, style: str = "") -> dict:
        """As HTML, since JupyterLab and nbconvert show a JPEG without its alternative text.

        With a style it stands for live widgets, which hide it as long as they are there.
        """
        source = f"data:image/jpeg;base64,{base64.b64encode(self.data).decode()}"
        words = html.escape(self.alt or "", quote=True)
        kept = ' class="vl-still"' if style else ""
        shown = f'<img{kept} width="{self.width}" alt="{words}" src="{source}">{style}'
        return {"text/html": shown, "text/plain": self.alt or repr(self)}


def message_html(error: Exception | str) -> str:
    """A message as a small red-edged box that reads well on light and dark."""
    style = f"border-left:4px solid {RED};padding:6px 12px;margin:6px 0;line-height:1.45"
    return f'<div style="{style}">{html.escape(str(error))}</div>'


def new_model(config: ViViTConfig, seed: int = 0) -> ViViT:
    """A model with random weights, the same ones every time."""
    with seeded(seed):
        return build_model(config).eval()


# ---- controls


def look(label_width: int = 96) -> dict:
    """Style and layout of a control in a column."""
    style = {"description_width": f"{label_width}px"}
    return {"style": style, "layout": widgets.Layout(width="98%")}


def wrapped(row: Sequence[widgets.Widget]) -> widgets.Widget:
    """Side by side, or below each other where the window is narrow."""
    return widgets.HBox(row, layout=widgets.Layout(flex_flow="row wrap", width="100%"))


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

"""What does a video show, and when? A model's answers along a video, under its frames."""

import functools
import textwrap
from pathlib import Path

import numpy as np
from IPython import display
from torch import nn

from vivit_lab.training.metrics import percent
from vivit_lab.training.prediction import Timeline, clock, open_model, timeline
from vivit_lab.training.results import ONLY, prefix
from vivit_lab.widgets.canvas import BLUE, INK, MUTED, ORANGE, RED, TEAL, Canvas
from vivit_lab.widgets.charts import Plot, bar, legend, paler, round_steps, shortened
from vivit_lab.widgets.footage import Footage, FootagePicker
from vivit_lab.widgets.surface import Explorer, Still, dropdown, whole_slider

WIDTH, MARGIN, LEFT = 920, 14, 58
HEIGHT, LOW = 520, 396  # with the best of a moment, and without
ROOM = WIDTH - LEFT - 24  # from the beginning of the video to its end
COLOURS = (BLUE, ORANGE, TEAL, "#7c5cd6", "#c2549a", RED)  # of the classes that stand out
OTHER = "#8a94a6"  # of the rest
FRAME, PART, PLOT, BARS = 60, 128, 166, 362  # where each begins


def draw(found: Timeline, head: str, footage: Footage, share: float | None = None) -> Canvas:
    """Frames, parts, probabilities; then the best at a moment.

    share: where the moment lies, 0..1 of the video; None: no moment.
    """
    height, length = LOW if share is None else HEIGHT, float(found.edges[-1])
    canvas, each = Canvas(WIDTH, height), found.probabilities[head]
    known = np.nan_to_num(each)  # 0 where no window could be read
    strong = np.argsort(-known.max(axis=0), kind="stable")[: len(COLOURS)]
    colours = dict(zip((found.name_of(head, k) for k in strong), COLOURS, strict=False))
    title = f"{shortened(footage.name, 40)}: which {prefix(head)}class, and when"
    canvas.text(MARGIN, 10, title, size=15, bold=True)
    canvas.note(MARGIN, 35, found.views)
    # as many frames as there is room for, each above the middle of its part of the time
    video, tall = footage.video, PART - FRAME - 8
    wide = min(tall * video.width / video.height, 3 * tall)
    count = max(1, int(ROOM // (wide + 4)))
    middles = (np.arange(count) + 0.5) / count
    numbers = np.searchsorted(video.times - video.times[0], middles * length, "right") - 1
    images = footage.clip(numbers, tall).thumbnails(wide, tall)
    for middle, image in zip(middles, images, strict=True):
        canvas.thumbnail(LEFT + middle * ROOM - wide / 2, FRAME, image)
    plot = Plot(canvas, LEFT, PLOT, ROOM, 126, (0, length), (0, 1))
    for part in found.parts[head]:
        left, right = plot.place([part.start, part.end], [0, 0])[:, 0]
        colour = colours.get(part.name, OTHER)
        canvas.box(left, PART, right - left, 26, outline=colour, fill=paler(colour, 0.3))
        if right - left > 24:
            name = shortened(part.name, int((right - left) / 8))
            canvas.text((left + right) / 2, PART + 13, name, 12, anchor="mm")
    plot.grid((0, 0.5, 1), ("0 %", "50 %", "100 %"))
    ticks = round_steps(0, length, 9)
    plot.marks(ticks, map(clock, ticks))
    steps = np.repeat(found.edges, 2)[1:-1]
    for number, colour in [*zip(strong, COLOURS, strict=False)][::-1]:  # the strongest on top
        plot.line(steps, np.repeat(known[:, number], 2), colour)
    entries = [(shortened(name, 28), colour) for name, colour in colours.items()]
    for row in range(0, len(entries), 3):
        legend(canvas, LEFT, PLOT + 150 + 6 * row, entries[row : row + 3])
    if share is not None:
        moment = min(int(np.searchsorted(found.edges, share * length, "right")), len(each)) - 1
        x = plot.place([share * length], [0])[0, 0]
        canvas.line([(x, PLOT), (x, PLOT + 126)], INK)
        canvas.text(LEFT, BARS, f"At {clock(share * length)}", bold=True)
        for row, (name, probability) in enumerate(found.best(head, each[moment]).items()):
            y = BARS + 22 + 18 * row
            canvas.text(LEFT, y + 7, shortened(name, 24), 12, anchor="lm")
            bar(canvas, LEFT + 180, y + 2, 150, 11, probability, colours.get(name, OTHER))
            canvas.text(LEFT + 384, y + 7, percent(probability), 12, anchor="rm")
    said = textwrap.wrap(" ".join([*found.unreadable, *(f"{x}." for x in found.notes)]), 140)
    canvas.paragraph(MARGIN, height - 34, said[:2], 15, 11, MUTED)
    return canvas


def timeline_picture(found: Timeline, video: str | Path | bytes) -> display.Image:
    """A time line as a small JPEG, under frames of its video; of several heads the first.

    >>> from vivit_lab.data.samples import ASSETS
    >>> found = timeline(ASSETS / "weights" / "joint.safetensors", ASSETS / "bars.mp4", window=2)
    >>> timeline_picture(found, ASSETS / "bars.mp4").format
    'jpeg'
    """
    return Still(draw(found, next(iter(found.parts)), Footage(video)))


class TimelineExplorer(Explorer):
    """Drop in a video: what a model sees in it, and when.

    Args:
        model: a model, or where one is, as for `predict`.
        clip: name of a sample, or path of a video.

    Example:
        >>> from vivit_lab.data.samples import ASSETS
        >>> explorer = TimelineExplorer(ASSETS / "weights" / "joint.safetensors", "counter")
        >>> explorer.found().window  # seconds
        0.64
    """

    width, height = WIDTH, HEIGHT

    def __init__(self, model: nn.Module | str | Path, clip: str | Path = "rabbit"):
        self.model = open_model(model)
        self.picker = FootagePicker(clip, self.refresh)
        steps = ("half a window", 0.5), ("a quarter of a window", 0.25), ("a window", 1.0)
        self.step = dropdown("a step is", steps)
        self.moment = whole_slider("moment, %", 101, 50)
        self.head = dropdown("head", self.model.config.classes)
        self._found = functools.lru_cache(maxsize=4)(functools.partial(timeline, self.model))
        line = [self.step, self.moment] + [self.head] * (len(self.head.options) > 1)
        super().__init__({"Video": [self.picker.ui], "Time line": line})

    def found(self) -> Timeline:
        """The time line in the picture."""
        video, step = self.picker.footage.video, self.step.value
        half = self._found(video)
        return half if step == 0.5 else self._found(video, step=step * half.window)

    def draw(self) -> Canvas:
        found = self.found()
        return draw(found, self.head.value or ONLY, self.picker.footage, self.moment.value / 100)

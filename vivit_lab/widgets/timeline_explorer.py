"""What does a video show, and when? A model's answers along a video, under its frames."""

import functools
import textwrap
from pathlib import Path

import ipywidgets as widgets
import numpy as np
from torch import nn

from vivit_lab.training.metrics import percent
from vivit_lab.training.prediction import Timeline, clock, open_model, timeline
from vivit_lab.training.results import ONLY, prefix
from vivit_lab.widgets.canvas import BLUE, DIM, INK, MUTED, ORANGE, PINK, RED, TEAL, VIOLET, Canvas
from vivit_lab.widgets.charts import Plot, bar, legend, plural, round_steps, shortened
from vivit_lab.widgets.footage import Footage, FootagePicker
from vivit_lab.widgets.surface import Explorer, Still, dropdown, whole_slider

WIDTH, MARGIN, LEFT = 920, 14, 58
HEIGHT, LOW = 484, 362  # with the best of a moment, and without
ROOM = WIDTH - LEFT - 24  # from the beginning of the video to its end
COLOURS = (BLUE, ORANGE, TEAL, VIOLET, PINK, RED)  # of the classes that stand out
FRAME, PART, PLOT, BARS = 36, 104, 140, 328  # where each begins
STRIP, VIEW, FILM = 60, 122, 470  # height of the frames, of the film; where the film begins
MOMENTS = range(101)  # hundredths of a video


def draw(found: Timeline, head: str, footage: Footage, now: int | None = None) -> Canvas:
    """Frames, parts, probabilities; then the best at a moment, and the video, which can be played.

    now: where the moment lies, one of MOMENTS; None: no moment.
    """
    height, length = LOW if now is None else HEIGHT, float(found.edges[-1])
    canvas, each = Canvas(WIDTH, height), found.probabilities[head]
    known = np.nan_to_num(each)  # 0 where no window could be read
    strong = np.argsort(-known.max(axis=0), kind="stable")[: len(COLOURS)]
    colours = dict(zip((found.name_of(head, k) for k in strong), COLOURS, strict=False))
    title = f"{shortened(footage.name, 26)}: which {prefix(head)}class, and when"
    canvas.text(MARGIN, 8, title, size=15, bold=True)
    canvas.note(WIDTH - MARGIN, 11, found.views, anchor="ra")
    # as many frames as there is room for, each above the middle of its part of the time
    video, begin = footage.video, footage.video.times[0]
    wide = min(STRIP * video.width / video.height, 3 * STRIP)
    count = max(1, int(ROOM // (wide + 4)))
    middles = (np.arange(count) + 0.5) / count
    sparse = now is None or footage.is_large  # a large video is read where it is shown only
    shares = middles if sparse else np.array(MOMENTS) / 100
    numbers = np.searchsorted(video.times - begin, shares * length, "right") - 1
    pictures = footage.pictures(numbers, VIEW)
    for middle in middles:
        picture = pictures[np.abs(shares - middle).argmin()]
        canvas.frame(LEFT + middle * ROOM - wide / 2, FRAME, wide, STRIP, picture)
    plot = Plot(canvas, LEFT, PLOT, ROOM, 118, (0, length), (0, 1))
    plot.grid((0, 0.5, 1), ("0 %", "50 %", "100 %"))
    ticks = round_steps(0, length, 9)
    plot.marks(ticks, map(clock, ticks))
    steps = np.repeat(found.edges, 2)[1:-1]
    for number, colour in [*zip(strong, COLOURS, strict=False)][::-1]:  # the strongest on top
        plot.line(steps, np.repeat(known[:, number], 2), colour)
    entries = [(shortened(name, 28), colour) for name, colour in colours.items()]
    for row in range(0, len(entries), 3):
        legend(canvas, LEFT, PLOT + 143 + 6 * row, entries[row : row + 3], name="class")
    # what can be touched: all of the time, and the parts of it
    whens = np.array(MOMENTS) / 100 * length
    moments = np.searchsorted(found.edges, whens, "right").clip(1, len(each)) - 1
    bests = [found.best(head, each[moment]) for moment in moments]
    says = ["\n".join(f"{name} {percent(p)}" for name, p in best.items()) for best in bests]
    times = map(clock, whens)
    says = [f"{time}\n{words or 'not read'}" for time, words in zip(times, says, strict=True)]
    across, places = ("moment", MOMENTS), plot.place(whens, whens)[:, 0]
    under = PLOT + plot.height - FRAME
    canvas.region(LEFT, FRAME, ROOM, under, "{value}", says, across, places=places)
    for part in found.parts[head]:
        left, right = plot.place([part.start, part.end], [0, 0])[:, 0]
        colour = colours.get(part.name, DIM)
        canvas.box(left, PART, right - left, 26, outline=colour, fill=colour + "48")
        if right - left > 24:
            name = shortened(part.name, int((right - left) / 8))
            canvas.text((left + right) / 2, PART + 13, name, 12, anchor="mm")
        span, middle = f"{clock(part.start)} to {clock(part.end)}", (part.start + part.end) / 2
        at = {"class": shortened(part.name, 28), "part": round(100 * middle / length)}
        words = f"{span}: {part.name}, {percent(part.probability)}"
        canvas.region(left, PART, right - left, 26, words, **at)
    canvas.words = f"{footage.name}, {found.views}: {plural(len(found.parts[head]), 'part')}."
    if now is not None:
        x, best = places[now], bests[now]
        canvas.line([(x, FRAME), (x, PLOT + plot.height)], INK)
        canvas.text(LEFT, BARS, f"At {clock(whens[now])}", bold=True)
        for row, (name, probability) in enumerate(best.items()):
            y, colour = BARS + 22 + 19 * row, colours.get(name, DIM)
            canvas.text(LEFT, y + 7, shortened(name, 24), anchor="lm")
            bar(canvas, LEFT + 180, y + 2, 150, 11, probability, colour)
            canvas.text(LEFT + 394, y + 7, percent(probability), anchor="rm")
            words = f"{name}: {100 * probability:.3f} %"
            canvas.region(LEFT, y - 2, 398, 19, words, **{"class": shortened(name, 28)})
        wide *= VIEW / STRIP
        at = [round(100 * share) for share in shares]
        canvas.frame(FILM, BARS, wide, VIEW, pictures[np.abs(shares - now / 100).argmin()])
        canvas.film(FILM, BARS, wide, VIEW, pictures, "moment", at, len(pictures) / length)
        best = ", ".join(f"{name} {percent(p)}" for name, p in best.items()) or "nothing was read"
        canvas.words += f" At {clock(whens[now])}: {best}."
    said = textwrap.wrap(" ".join([*found.unreadable, *(f"{x}." for x in found.notes)]), 138)
    canvas.paragraph(MARGIN, height - 32, said[:2], 15, 12, MUTED)
    return canvas


def timeline_picture(found: Timeline, video: str | Path | bytes) -> Still:
    """A time line as a small JPEG, under frames of its video; of several classifiers the first.

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
    arrows = ("moment",)

    def __init__(self, model: nn.Module | str | Path, clip: str | Path = "rabbit"):
        self.model = open_model(model)
        self.picker = FootagePicker(clip, self.refresh)
        self.clip = self.picker.name
        steps = ("half a window", 0.5), ("a quarter of a window", 0.25), ("a window", 1.0)
        self.step = dropdown("a step is", steps)
        self.moment = whole_slider("moment, %", 101, 50)
        self.head = dropdown("classifier", self.model.config.classes)
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
        return draw(found, self.head.value or ONLY, self.picker.footage, self.moment.value)

    def control(self, name: str) -> widgets.Widget | None:
        """A part stands for the moment in its middle."""
        return super().control("moment" if name == "part" else name)

"""What happens to a video in a ViViT? A walk of six stages, from the file to the answer."""

import functools
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import torch

from vivit_lab.analysis import AttentionMaps, attention_maps
from vivit_lab.data import ArrowOfTime
from vivit_lab.models import MODELS, ViViT, ViViTConfig, token_voxels
from vivit_lab.training.prediction import open_model
from vivit_lab.video import normalise, span_frames
from vivit_lab.widgets import canvas as ink
from vivit_lab.widgets import charts
from vivit_lab.widgets.attention_explorer import models
from vivit_lab.widgets.canvas import BLUE, INK, MUTED, ORANGE, TEAL, Canvas
from vivit_lab.widgets.footage import STRIDE, Clip, FootagePicker, arrow_clip
from vivit_lab.widgets.pattern_explorer import pairs, pattern
from vivit_lab.widgets.surface import Explorer, dropdown, legal_slider, place_sliders, whole_slider

STAGES = {  # what is to be told at each, of a configuration
    "File": "A video file is compressed: most frames are stored as changes to other frames, so "
    "reading starts at a key frame, which\nis stored whole. A model does not see all frames. It "
    "sees a clip: here {0.frames} frames from the middle of the video.",
    "Frames": "A clip is {0.frames} frames of {0.image_size[0]} × {0.image_size[1]} pixels. Each "
    "pixel is three numbers: red, green, blue.\nOne frame does not tell in which direction a shape "
    "moves.",
    "Tubelets": "The clip is cut, in space and in time, into boxes called tubelets. Each tubelet is"
    " {0.tubelet[0]} frames of {0.tubelet[1]} × {0.tubelet[2]} pixels.\nTogether the tubelets cover"
    " the whole clip, and no two of them overlap. Press one.",
    "Tokens": "One matrix, learned in training, turns the numbers of a tubelet into a vector of "
    "{0.dim} numbers: a token. Each column below is a\ntoken. (The model then adds a position "
    "embedding, a learned vector for the place of the token.) Press a column.",
    "Attention": "In each block, attention adds to each token a weighted sum over tokens. Which "
    "tokens a token MAY attend to (green) is fixed by the\nmodel. HOW MUCH it attends to each of "
    "them (yellow) depends on what training has learned. Press a token. Press a model.",
    "Answer": "The classifier turns one vector of {0.dim} numbers into a score (logit) for each "
    "class. Softmax turns the scores into the percentages.\nPlay the clip backwards (←): the same "
    "frames in the opposite order get another answer.",
}
LOOKS = {  # who may attend to whom
    "joint": "A token may attend to every token of the clip, and to the class token, in one "
    "attention.",
    "factorised_encoder": "A token may attend to its own time step. A second encoder (one "
    "token for each step) then lets the steps attend to each other.",
    "factorised_self_attention": "A token may attend to its own time step, then to its own place "
    "in every time step.",
    "factorised_dot_product": "Half of the attention heads may attend to the token's own time "
    "step, the other half to its own place in every time step.",
}
ARROWS = (
    "Eight classes in four pairs: each is the other one, played backwards. A shape that leaves on "
    "one side comes back on the opposite side. This kit draws the clips: there is no file to read."
)
UNKNOWN = "The video is not shown here: these models know moving shapes only (published=...)."
SHAPES, VIDEO = "shapes", "video"  # the two clips; the second is also the published model
PLACE = "step {step}, row {row}, column {column}"
WIDTH, HEIGHT, MARGIN, ROOM = 920, 424, 12, 896
DRAWN = 192  # pixels a side of the frames in the picture; the models see fewer
FEW = 200  # tokens that are drawn one by one
SHOWN = 12  # numbers of each vector in the row of tokens
MAY = 10, 160, 120, 60  # red, green, blue, alpha of cells that get hardly any weight


class Answer:
    """What a model makes of a clip. All but the tokens is computed when it is first asked for."""

    def __init__(self, model: ViViT, clip: Clip, backwards: bool):
        pixels = normalise(clip.frames().flip([0] * backwards))[None]
        if model.preprocessing:
            pixels = model.preprocessing.rescale(pixels)
        self.model, self.config, self.pixels = model, model.config, pixels
        self.names = model.class_names or [f"class {k}" for k in range(self.config.num_classes)]
        self.costs = sum(p.numel() for p in model.parameters()), pairs(self.config).value
        with torch.inference_mode():  # before positions are added
            self.tokens = model.patch_embed(pixels)[0].unflatten(1, self.config.grid[1:]).numpy()

    @functools.cached_property
    def probabilities(self) -> np.ndarray:  # (K,)
        with torch.inference_mode():
            return self.model(self.pixels)[0].softmax(dim=-1).numpy()

    @functools.cached_property
    def maps(self) -> AttentionMaps:  # of the last block; in Model 2 of that of each encoder
        return attention_maps(self.model, self.pixels, {self.config.depth - 1, -1})

    @property
    def says(self) -> str:
        return self.names[int(self.probabilities.argmax())]

    def looks(self, token: tuple[int, int, int]) -> tuple[np.ndarray, float, np.ndarray | None]:
        """The weights that a token gives: to each token (t, h, w), mean of its attentions; to cls.

        Of Model 2 then what the time step of the token gives to each step (t), else None.
        """
        rows = [found.row(token) for found in self.maps]
        steps = rows.pop().weights.flatten().numpy() if self.config.temporal_depth else None
        weights = sum(row.weights for row in rows) / len(rows)
        return weights.numpy(), float(sum(row.on_cls for row in rows)) / len(rows), steps

    def reads(self) -> np.ndarray:
        """The weight of each token (t, h, w) in the vector that is classified."""
        if self.config.pooling == "mean":
            return np.full(self.config.grid, 1 / self.config.tokens)
        if self.config.temporal_depth:
            return self.maps.product(self.config.depth - 1).weights.numpy()
        return self.maps.at(-1).row("cls").weights.numpy()

    def may(self, token: tuple[int, int, int]) -> np.ndarray:  # bool (t, h, w)
        (_, h, w), (step, row, column) = self.config.grid, token
        found = pattern(self.config, "1 block", (step, row * w + column)).looked_at
        return found.tokens.reshape(-1, h, w)


ask = functools.lru_cache(maxsize=64)(Answer)


def places(count: int, x, y, width, height, below=0, gap=6) -> list[tuple[float, float, float]]:
    """Left, top and side of so many squares in one row or two, with room below each."""
    rows = 1 + (count > 8)
    n = -(-count // rows)
    side = min(width / n - gap, height / rows - below)
    return [(x + i % n * width / n, y + i // n * height / rows, side) for i in range(count)]


class Walk(Canvas):
    """The picture: the six stages, and below a method for each, which returns words about it."""

    def __init__(self, of: "StartExplorer"):
        super().__init__(WIDTH, HEIGHT, animate=900)
        self.of, self.model, self.back = of, of.model.value, of.backwards.value
        self.config = config = of.config()
        self.grid, self.token = config.grid, tuple(slider.value for slider in of.place)
        self.kind = VIDEO if self.model == VIDEO else SHAPES  # of the clip that the model knows
        self.named = f"token {np.ravel_multi_index(self.token, self.grid):,}"
        self.who = MODELS[config.model].split(": ")[0]
        blocks = config.depth + (config.temporal_depth or 0)
        sizes = (
            f"{of.picker.footage.video.num_frames:,} frames",
            "{0} × {2} × {3} × {1}".format(*config.clip_shape),
            "{} × {} × {} boxes".format(*self.grid), f"{config.tokens:,} vectors of {config.dim}",
            f"{blocks} blocks", f"{config.num_classes} classes",
        )  # fmt: skip
        for i, (stage, size) in enumerate(zip(STAGES, sizes, strict=True)):
            x, here = MARGIN + i * 150.6, i == of.stage.value
            colour = ink.PAPER if here else INK
            self.box(x, 8, 143, 40, fill=BLUE if here else ink.TRACK, radius=6)
            self.text(x + 71, 20, f"{i + 1} · {stage}", 13, colour, True, "mm")
            self.text(x + 71, 37, size, 12, colour, anchor="mm")
            self.region(x, 8, 143, 40, f"go to stage {i + 1}, {stage}", stage=i)
            if here:
                self.box(x, 51, 143, 3, fill=BLUE, name="you are here")
                self.paragraph(MARGIN, 60, STAGES[stage].format(config).split("\n"), 17, 13)
                more = getattr(self, "_" + stage.lower())()
                title = of.titles()[self.kind][0]
                self.words = f"Stage {i + 1} of 6, {stage}: {size}. {title}. {more}"
        self.steps("stage", range(6), 7)

    # ---- the stages

    def _file(self) -> str:
        footage, frames = self.of.picker.footage, self.config.frames
        video, titles, numbers = footage.video, self.of.titles(), footage.middle(frames)
        self._title(100, *titles[SHAPES])
        self._strip(SHAPES, places(frames, MARGIN, 121, 530, 62))
        self.paragraph(556, 114, textwrap.wrap(ARROWS, 48), 18, 13)
        keys = charts.plural(len(video.key_frames), "key frame")
        self._title(196, titles[VIDEO][0], f"{titles[VIDEO][1]}, {keys} (purple)")
        count = int(ROOM // (66 * min(max(video.width / video.height, 0.5), 2)))
        every = np.linspace(0, video.num_frames - 1, count).astype(int)
        for i, picture in enumerate(footage.clip(every, DRAWN).pictures):
            self.frame(MARGIN + i * ROOM / count, 217, ROOM / count - 4, 62, picture)
        at = MARGIN + ROOM / video.num_frames * (np.arange(video.num_frames) + 0.5)
        first, last = float(at[min(numbers)]), float(at[max(numbers)])
        self.box(MARGIN, 290, ROOM, 12, fill=ink.TRACK)
        for key in video.key_frames:
            self.box(at[key] - 1, 286, 2, 20, fill=ink.VIOLET)
        self.box(first - 2, 286, last - first + 4, 20, ORANGE, ORANGE + "40", 2, name="span")
        says, across = "frame {of} of the video", ("of", range(video.num_frames))
        self.region(MARGIN, 284, ROOM, 24, says, across=across, places=at)
        x = min(max((first + last) / 2 - 310, MARGIN), WIDTH - MARGIN - 620)
        squares = places(frames, x, 330, 620, 90)
        for number, (x, y, side) in zip(numbers[:: -1 if self.back else 1], squares, strict=True):
            if y == 330:
                self.line([(at[number], 306), (x + side / 2, y)], ORANGE + "a0")
        self._strip(VIDEO, squares)
        seconds = span_frames(frames, STRIDE) / video.fps
        clip = f"The clip of the video begins at frame {numbers[0]} and spans {seconds:.2f} s"
        return f"{clip}; its frame {self.of.frame.value} is framed."

    def _frames(self) -> str:
        for kind, y in self._clips(162):
            self._player(kind, y, 134)
            self._strip(kind, places(self.config.frames, 166, y, 742, 134, 18), 18)
        return f"Frame {self.of.frame.value} is large."

    def _tubelets(self) -> str:
        for kind, y in self._clips(192):
            tall = 164 if kind == SHAPES else 102
            squares = places(self.grid[0], MARGIN, y + 6, ROOM, tall, 8, gap=64)
            for step, (x, top, side) in enumerate(squares):
                frames, gap, across = self._step(step), side / 18, self.grid[2]
                for depth, frame in [*enumerate(frames[:4])][::-1]:  # the first one lies in front
                    shift, pitch = 0.5 * gap * depth, (side + gap) / across
                    self._patches(kind, frame, x + shift, top - shift, pitch, across, gap)
                self._press(step, x, top, side + gap, f"box at {PLACE}")
                words = f"step {step}", "frames", f"{frames[0]}–{frames[-1]}"
                self.paragraph(x + side + 10, top, words[: int(side / 16)], 16, 12, MUTED)
        return "The box at step {}, row {}, column {} is framed.".format(*self.token)

    def _tokens(self) -> str:
        (_, rows, columns), (step, row, column), config = self.grid, self.token, self.config
        steps = range(self.grid[0]) if config.tokens <= FEW else [step]
        room, tall = (ROOM + 8) / len(steps), 4 * SHOWN
        pitch = (room - 8) / (rows * columns)
        for kind, y in self._clips(162):
            vectors = self.of.ask(self.model, kind).tokens
            most = np.abs(vectors[..., :SHOWN]).max()
            for i, each in enumerate(steps):
                left, some = MARGIN + i * room, vectors[each].reshape(-1, config.dim)[:, :SHOWN]
                self._patches(kind, self._step(each)[0], left, y, pitch)
                charts.draw_numbers(self, left, y + 10, room - 8, tall, some.T, most)
                for j in range(rows):
                    box = left + j * columns * pitch, y, columns * pitch, tall + 10
                    self.region(*box, PLACE, across=("column", range(columns)), step=each, row=j)
                if each == step:
                    x = left + (row * columns + column) * pitch
                    self.box(x - 1, y - 2, pitch + 2, tall + 14, ORANGE, line=2)
            y, frames, pictures = y + 68, self._step(step)[:2], self._pictures(kind)
            self.frame(MARGIN, y, 66, 66, pictures[frames[0]])
            self._press(step, MARGIN, y, 66, PLACE)
            for i, frame in enumerate(frames):
                crop = self._crop(row * columns + column)
                self.frame(90 + 50 * i, y + 10, 46, 46, pictures[frame], crop)
            pixels = "{} · {} · {} · 3".format(*config.tubelet)
            words = self.named, f"{pixels} numbers", f"→ a vector of {config.dim}"
            self.paragraph(200, y + 6, words, 19, 13)
            vector, says = vectors[step, row, column], "number {index}: {value}"
            box, across = (350, y + 8, 558, 24), ("index", range(config.dim))
            charts.draw_numbers(self, *box, vector, np.abs(vector).max(), says, across=across)
            first = charts.minus("   ".join(f"{value:.2f}" for value in vector[:9]))
            self.text(350, y + 40, f"{first}   …")
        return f"In the video {self.named} begins {first}."

    def _attention(self) -> str:
        answer, config = self.of.ask(self.model, self.kind), self.config
        weights, on_cls, steps = answer.looks(self.token)
        may, most = answer.may(self.token), weights.max()
        title = f"{self.who}: the weight that {self.named} gives to each token"
        self._title(100, title, "last block, mean over its attentions and heads")
        self._heat(weights, MARGIN, 592, 122, 176, may, steps)
        lines = textwrap.wrap(LOOKS[config.model], 42)
        allowed = f"may attend to {may.sum():,} tokens"
        self.paragraph(616, 122, lines, 18, 13)
        y = 130 + 18 * len(lines)
        self.text(616, y, f"It {allowed} (green)", 13, TEAL, True)
        charts.heat(self, 616, y + 28, 160, 12, charts.BLACK, np.linspace(0, 1, 80)[None])
        self.text(784, y + 26, f"0 to {most:.2%}")
        parts = f": tokens {weights.sum():.3f}, class token {on_cls:.3f}" * (on_cls > 0)
        self.note(616, y + 48, f"sum {weights.sum() + on_cls:.3f}{parts}")
        if VIDEO not in self.of.models:
            self.paragraph(616, y + 72, textwrap.wrap(UNKNOWN, 44), 16, 12, MUTED)
        self._cards()
        return f"{self.who}: {self.named} {allowed}, and gives at most {most:.1%} to one."

    def _answer(self) -> str:
        answer, truth = self.of.ask(self.model, self.kind), self.of.truth(self.back)
        self._player(self.kind, 102, 146)
        self._strip(self.kind, places(self.config.frames, 172, 102, 432, 52, gap=4))
        says, words = "the same frames in the opposite order", "← play backwards"
        self.box(MARGIN, 258, 146, 30, BLUE, BLUE + "20", 2, 6)
        self.text(85, 273, "→ play forwards" if self.back else words, 13, INK, True, "mm")
        self.region(MARGIN, 258, 146, 30, says, backwards=not self.back)
        reader = "class token" if self.config.pooling == "cls" else "mean"
        self.note(172, 160, f"The weight of each token in the {reader}:")
        reads = answer.reads()
        self._heat(reads, 172, 432, 180, 116, reads >= 0)
        verdict = "" if truth is None else ": correct" if answer.says == truth else ": wrong"
        colour = ink.RED if verdict == ": wrong" else TEAL
        self.text(622, 100, f"“{answer.says}”{verdict}", 14, colour, True)
        best = sorted(np.argsort(-answer.probabilities, kind="stable")[:8].tolist())
        for y, k in zip(range(124, 292, 21), best, strict=False):
            name, share = answer.names[k], float(answer.probabilities[k])
            shade = colour if name == answer.says else MUTED
            self.text(622, y + 8, charts.shortened(name, 20), 13, INK, name == truth, "lm")
            charts.bar(self, 772, y + 1, 84, 14, share, shade, f"bar {k}")
            self.text(WIDTH - MARGIN, y + 8, f"{share:.1%}", 13, anchor="rm")
            self.region(622, y - 2, 286, 21, "{shape}: {value}", [f"{share:.3%}"], shape=name)
        self._cards()
        says = f"{self.who} says {answer.says}{verdict}, {answer.probabilities.max():.1%}"
        return f"{says}; {self.named} has {reads[self.token]:.1%} of the {reader}."

    # ---- their parts

    def _title(self, y, title: str, about: str) -> None:
        self.text(MARGIN, y, title, 14, bold=True)
        self.note(MARGIN + 10 + ink.written(title, 14, True, "la")[0].width, y + 2, about)

    def _clips(self, pitch: int) -> Iterator[tuple[str, int]]:
        """Both clips under their titles: which, and where there is room."""
        for i, (kind, titles) in enumerate(self.of.titles().items()):
            self._title(100 + pitch * i, *titles)
            yield kind, 120 + pitch * i

    def _step(self, step: int) -> list[int]:  # its frames
        return token_voxels(self.config, step * self.config.spatial_tokens)[0]

    def _pictures(self, kind: str) -> list[ink.Picture]:
        return self.of.clip(kind, DRAWN, self.config.frames).pictures[:: -1 if self.back else 1]

    def _name(self, kind: str, frame: int) -> str:
        """The same for a frame wherever it is played: so it moves when that is reversed."""
        return f"{kind} {self.config.frames - 1 - frame if self.back else frame}"

    def _player(self, kind: str, y, side) -> None:
        self.frame(MARGIN, y, side, side, self._pictures(kind)[self.of.frame.value])
        self.film(MARGIN, y, side, side, self._pictures(kind), "frame", rate=6)

    def _strip(self, kind: str, squares: Sequence[tuple], below=0) -> None:
        """All frames of a clip, each in its square."""
        for i, (x, y, side) in enumerate(squares):
            self.frame(x, y, side, side, self._pictures(kind)[i], name=self._name(kind, i))
            self.region(x, y, side, side, "frame {frame}", frame=i)
            if below and side > 30:
                self.note(x + side / 2, y + side + 3, f"{i}", anchor="ma")
            if i == self.of.frame.value:
                self.box(x - 2, y - 2, side + 4, side + 4, ORANGE, line=3)

    def _crop(self, patch: int) -> ink.Area:
        box = charts.cell(0, 0, DRAWN, *self.grid[1:], divmod(patch, self.grid[2]))
        return *box[:2], box[0] + box[2], box[1] + box[3]

    def _patches(self, kind: str, frame: int, x, y, pitch, across=0, gap=0, fades=None, grey=False):
        """The patches of a frame, `across` side by side; of very many in rows the frame as it is.

        By its name each sets out from its place in the picture before.
        """
        picture, name = self._pictures(kind)[frame], self._name(kind, frame)
        if across and self.config.tokens > FEW:
            return self.frame(x, y, across * pitch, across * pitch, picture, grey=grey)
        across, count, size = across or self.config.tokens, self.config.spatial_tokens, pitch - gap
        for k, fade in enumerate(np.zeros(count) if fades is None else fades.flat):
            left, top = x + k % across * pitch, y + k // across * pitch
            crop, part = self._crop(k), f"{name}/{k}"
            self.frame(left, top, size, size, picture, crop, float(fade), grey, part)

    def _press(self, step: int, x, y, side, says: str, values=()) -> None:
        """The tokens of a time step, to be pressed; the one that is chosen is framed."""
        charts.cells_region(self, x, y, side, self.grid[1:], says, values, step=step)
        if step == self.token[0]:
            box = charts.cell(x, y, side, *self.grid[1:], self.token[1:], 1)
            self.box(*box, ink.YELLOW, line=3)

    def _heat(self, weights, x, width, y, height, may, steps=None) -> None:
        """Weights (t, h, w) on a scale of their own, over the first frame of every time step."""
        whole, shares = steps is not None, weights.sum((1, 2)) if steps is None else steps
        for step, (left, top, side) in enumerate(places(len(weights), x, y, width, height, 18)):
            first, across, fades = self._step(step)[0], self.grid[2], 0.7 * ~may[step]
            self._patches(self.kind, first, left, top, side / across, across, 0, fades, True)
            self.picture(left, top, side, side, charts.heat_colours(weights[step] / weights.max()))
            words = f"{'whole ' * whole}step {step}: " * (side > 80) + f"{shares[step]:.0%}"
            self.note(left + side / 2, top + side + 3, words, anchor="ma")
            if self.config.tokens <= FEW:
                charts.grid_lines(self, left, top, side, *self.grid[1:], ink.WHITE + "30")
            allowed = may[step, :1, :1] if may[step].all() else may[step]  # one frame around all
            for place in np.argwhere(allowed):
                self.box(*charts.cell(left, top, side, *allowed.shape, place), TEAL, line=2)
            values = [f"{value:.2%}" for value in weights[step].flat]
            self._press(step, left, top, side, f"{PLACE}: {{value}}", values)

    def _cards(self) -> None:
        """The models beside each other: their attention or their answer, and what they cost."""
        names = MODELS if self.model in MODELS else [self.model]
        found = [self.of.ask(name, self.kind) for name in names]
        most = np.max([answer.costs for answer in found], axis=0)
        for i, (name, answer) in enumerate(zip(names, found, strict=True)):
            x, line = MARGIN + 226 * i, 2 if name == self.model else 1
            number, title = MODELS[answer.config.model].split(": ")
            self.box(x, 306, 218, 114, (ink.LINE, BLUE)[line - 1], None, line, 6)
            self.region(x, 306, 218, 114, f"{number}. {LOOKS[answer.config.model]}", model=name)
            x += 10
            self.text(x, 312, number, 13, (INK, BLUE)[line - 1], True)
            self.note(x, 329, title)
            for k, what in enumerate(("parameters", "pairs a block")):
                words, y = f"{charts.short(answer.costs[k]).strip()} {what}", 393 + 16 * k
                self.text(x, y, words, 12, anchor="lm")
                charts.bar(self, x + 128, y - 4, 70, 8, answer.costs[k] / most[k], TEAL)
            if self.of.stage.value == 4:
                weights, may = answer.looks(self.token)[0], answer.may(self.token)
                colours = charts.heat_colours(weights / weights.max())
                colours[may & (colours[..., 3] < MAY[3])] = MAY
                for step, (left, top, side) in enumerate(places(len(may), x, 347, 172, 36, gap=4)):
                    self.box(left, top, side, side, fill=ink.TRACK)
                    self.picture(left, top, side, side, colours[step])
                continue
            for back, arrow in enumerate("→←"):
                answer, y = self.of.ask(name, self.kind, bool(back)), 356 + 18 * back
                colour = TEAL if self.of.truth(bool(back)) in (None, answer.says) else ink.RED
                words = f"{arrow} {charts.shortened(answer.says, 20)}"
                self.text(x, y, words, 12.5, colour, anchor="lm")
                self.text(x + 198, y, f"{answer.probabilities.max():.1%}", 12.5, anchor="rm")


class StartExplorer(Explorer):
    """A walk from the file to the answer; every stage can be touched, and four models be chosen.

    Args:
        clip: name of a sample, or path of a video, which is cut beside the moving shapes.
        shape: the class of `ArrowOfTime` that the models are shown.
        published: where a model of real videos is (a run, a checkpoint, a folder of transformers);
            then it can be chosen too, and the video goes through all stages.

    The four models are small, and trained on moving shapes alone. `stage` (0..5) is where the walk
    stands, `step`, `row` and `column` the token that attends; `backwards` reverses both clips.

    Source: paper section 3, figure 1.

    Example:
        >>> explorer = StartExplorer("crossing", shape="grows")
        >>> explorer.ask("joint").says
        'grows'
        >>> explorer.backwards.value = True
        >>> explorer.ask("joint").says
        'shrinks'
    """

    width, height = WIDTH, HEIGHT
    switches = ("backwards",)

    def __init__(self, clip: str | Path = "rabbit", shape="moves right", published=None):
        self.models = models()["trained"] or models()["random"]
        names = [(text.split(": ")[0], name) for name, text in MODELS.items()]
        if published is not None:
            self.models = self.models | {VIDEO: open_model(published, "cpu").eval()}
            names.append(("published", VIDEO))
        self.picker = FootagePicker(clip, self.refresh, decode=DRAWN)
        self.stage = legal_slider("stage", [(name, i) for i, name in enumerate(STAGES)], 0)
        self.model = dropdown("model", names)
        self.backwards = widgets.Checkbox(description="play backwards", indent=False)
        self.shape = dropdown("moving shape", ArrowOfTime.classes, shape)
        self.number = whole_slider("clip number", 20)
        self.frame = whole_slider("frame", self.config().frames, 2)
        self.step, self.row, self.column = self.place = place_sliders(self.config().grid, (1, 3, 2))
        walk, token = [self.stage, self.model, self.backwards], [self.frame, *self.place]
        clips = [self.shape, self.number, self.picker.ui]
        super().__init__({"Walk": walk, "Clips": clips, "Frame and token": token})

    @property
    def arrows(self) -> Sequence[str]:
        return ("frame",) if self.stage.value < 2 else ("column", "row", "step")

    def draw(self) -> Canvas:
        return Walk(self)

    def config(self) -> ViViTConfig:
        """Of the model that is chosen."""
        return self.models[self.model.value].config

    def titles(self) -> dict[str, tuple[str, str]]:
        """What the two clips are, and more about them."""
        footage, back = self.picker.footage, ", played backwards" * self.backwards.value
        video = footage.video
        about = f"{video.width} × {video.height}, {video.fps:.4g} frames a second"
        shapes, number = f"Moving shapes: {self.shape.value}{back}", self.number.value
        video = f"Video: {footage.name}{back}", about
        return {SHAPES: (shapes, f"clip {number} (of 0 to 19)"), VIDEO: video}

    def truth(self, backwards: bool) -> str | None:
        """The class of the moving shapes, played so; nothing is known of a video."""
        number = ArrowOfTime.classes.index(self.shape.value)
        return None if self.model.value == VIDEO else ArrowOfTime.classes[number ^ backwards]

    def clip(self, kind: str, size: int, frames: int) -> Clip:
        """As it is, not backwards."""
        if kind == VIDEO:
            return self.picker.footage.middle_clip(frames, size)
        return arrow_clip(self.shape.value, self.number.value, frames, size)

    def ask(self, name: str, kind: str = SHAPES, backwards: bool | None = None) -> Answer:
        """What a model makes of a clip, by default as it is played now."""
        model, config = self.models[name], self.models[name].config
        back = self.backwards.value if backwards is None else backwards
        return ask(model, self.clip(kind, config.image_size[0], config.frames), back)

    def pressed(self, at: dict) -> None:
        super().pressed({"backwards": False} | at if "shape" in at else at)

    def adjust(self, moved: widgets.Widget) -> None:
        config, sliders = self.config(), (*self.place, self.frame)
        for slider, count in zip(sliders, (*config.grid, config.frames), strict=True):
            self.set_last(slider, count - 1)
        per_step = config.frames // config.grid[0]
        if moved is self.frame:
            self.step.value = self.frame.value // per_step
        elif self.frame.value // per_step != self.step.value:
            self.frame.value = self.step.value * per_step

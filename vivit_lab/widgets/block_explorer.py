"""How does an answer form? What the models would say after each block; how alike tokens grow."""

import functools
from dataclasses import dataclass

import numpy as np
import torch

from vivit_lab.analysis import logit_lens, token_similarity
from vivit_lab.data import ArrowOfTime
from vivit_lab.models import MODELS, ViViT
from vivit_lab.training.metrics import percent
from vivit_lab.video import normalise
from vivit_lab.widgets.attention_explorer import DRAWN, models
from vivit_lab.widgets.canvas import BLUE, INK, LINE, MUTED, ORANGE, WHITE, Canvas
from vivit_lab.widgets.charts import BLACK, cell, signed_colours
from vivit_lab.widgets.footage import Clip, arrow_clip
from vivit_lab.widgets.surface import Explorer, dropdown, place_sliders, whole_slider

WIDTH, MARGIN = 920, 12
TABLES, ROW, COLUMN = 156, 21, 30  # left edge of the tables; size of their cells
STRIP, SIDE = 306, 62  # top of the frames; their side
HEIGHT = STRIP + 4 * (SIDE + 4) + 8
SAID = 0.13  # shares above it, more than chance, are written


@dataclass(frozen=True)
class BlockState:
    """All that the picture depends on, besides the models."""

    shape: str  # class of ArrowOfTime
    number: int  # which clip of it
    weights: str  # "trained" | "random"
    model: str  # whose tokens are compared
    place: tuple[int, int, int]  # step, row and column of the token that is compared


def draw(state: BlockState, clip: Clip, shares: dict[str, np.ndarray], alike: np.ndarray) -> Canvas:
    """shares: model -> (blocks, K), probabilities; alike: (blocks, t, h, w), cosines."""
    canvas, classes = Canvas(WIDTH, HEIGHT), ArrowOfTime.classes
    words = "What each model would say of the clip after each block, in %"
    canvas.text(MARGIN, 8, words, 15, bold=True)
    note = f"framed: its answer, orange if right; written: above {SAID:.0%}"
    canvas.note(WIDTH - MARGIN, 10, note, anchor="ra")
    for row, name in enumerate(classes):
        y, right = 62 + ROW * row, name == state.shape
        canvas.text(TABLES - 10, y + ROW / 2, name, 13, ORANGE if right else INK, right, "rm")
        canvas.region(MARGIN, y, TABLES - MARGIN - 10, ROW, "{answer}", answer=name)
    left = TABLES
    for name, each in shares.items():
        _table(canvas, left, state, name, each)
        left += COLUMN * len(each) + 36
    _alike(canvas, state, clip, alike)
    said = {name: classes[int(each[-1].argmax())] for name, each in shares.items()}
    canvas.words = (
        f"The clip “{state.shape}”, {state.weights} weights. The four models say in the end: "
        f"{', '.join(said.values())}. After each block, how alike the tokens of "
        f"{MODELS[state.model].split(':')[0]} are to token {state.place}."
    )
    return canvas


def _table(canvas: Canvas, x, state: BlockState, model: str, shares: np.ndarray) -> None:
    """Probabilities of a model, a column a block and a row a class; the winners are framed."""
    chosen, (blocks, count) = model == state.model, shares.shape
    number = MODELS[model].split(":")[0]
    canvas.text(x, 34, number, 14, BLUE if chosen else MUTED, chosen)
    canvas.region(x, 30, COLUMN * blocks, 20, f"compare the tokens of {number}", model=model)
    for block, each in enumerate(shares):
        canvas.note(x + COLUMN * (block + 0.5), 62 + ROW * count + 3, f"{block}", 12, "ma")
        for row, share in enumerate(each):
            at = x + COLUMN * block, 62 + ROW * row, COLUMN - 2, ROW - 2
            canvas.box(*at, fill=f"{BLUE}{round(12 + 128 * share):02x}")
            if share == each.max():
                right = ArrowOfTime.classes[row] == state.shape
                canvas.box(*at, outline=ORANGE if right else INK, line=2)
            if share > SAID:
                middle = at[0] + at[2] / 2, at[1] + at[3] / 2
                canvas.text(*middle, f"{100 * share:.0f}", 12, anchor="mm")
    canvas.region(
        x, 62, COLUMN * blocks, ROW * count,
        f"{number}, after block {{block}}: {{answer}} {{value}}",
        [percent(share) for share in shares.T.ravel().tolist()],
        across=("block", range(blocks)), down=("answer", ArrowOfTime.classes), model=model,
    )  # fmt: skip


def _alike(canvas: Canvas, state: BlockState, clip: Clip, alike: np.ndarray) -> None:
    """The frame of each time step, then a map of cosines for each block, steps below each other."""
    blocks, steps, rows, columns = alike.shape
    step, *place = state.place
    number = MODELS[state.model].split(":")[0]
    title = f"How alike the tokens of {number} are to the marked one, after each block"
    canvas.line([(MARGIN, STRIP - 52), (WIDTH - MARGIN, STRIP - 52)], LINE)
    canvas.text(MARGIN, STRIP - 46, title, 14, bold=True)
    across, down = ("column", range(columns)), ("row", range(rows))
    for i in range(steps):
        top = STRIP + i * (SIDE + 4)
        frame = clip.pictures[i * len(clip.pictures) // steps]
        canvas.note(TABLES - SIDE - 22, top + SIDE / 2, f"step {i}", 12, "rm")
        lefts = [
            TABLES - SIDE - 12,
            *(TABLES + 12 + (SIDE + 14) * block for block in range(blocks)),
        ]
        for left, found in zip(lefts, [None, *alike[:, i]], strict=True):
            values, says = (), "the token at step {step}, row {row}, column {column}"
            if found is None:
                canvas.frame(left, top, SIDE, SIDE, frame)
            else:
                canvas.frame(left, top, SIDE, SIDE, BLACK)
                canvas.picture(left, top, SIDE, SIDE, signed_colours(found))
                values, says = np.round(found, 2), says + ": cosine {value}"
            canvas.region(left, top, SIDE, SIDE, says, values, across, down, step=i)
            if i == step:
                canvas.box(
                    *cell(left, top, SIDE, rows, columns, place, grow=1), outline=WHITE, line=2
                )
    for block in range(blocks):
        x = TABLES + 12 + (SIDE + 14) * block + SIDE / 2
        by_step = (alike[block] == alike[block, :, :1, :1]).all()  # Model 2's temporal encoder
        words = f"{block}, by step" if by_step else f"block {block}"
        canvas.note(x, STRIP - 18, words, 12, "ma")
    x = TABLES + 24 + (SIDE + 14) * blocks
    canvas.text(x, STRIP, "cosine of two tokens")
    scale = signed_colours(np.linspace(-1, 1, 41)[None])
    canvas.frame(x, STRIP + 24, 164, 14, BLACK)
    canvas.picture(x, STRIP + 24, 164, 14, scale)
    for at, words in ((0, "−1"), (82, "0"), (164, "1")):
        canvas.note(x + at, STRIP + 42, words, 12, "ma")
    film = [i * steps // len(clip.pictures) for i in range(len(clip.pictures))]
    side = HEIGHT - STRIP - 108
    canvas.note(x, STRIP + 66, f"step {step}, which has the marked token")
    canvas.frame(x, STRIP + 88, side, side, clip.pictures[step * len(clip.pictures) // steps])
    canvas.film(x, STRIP + 88, side, side, clip.pictures, "step", film)
    canvas.box(*cell(x, STRIP + 88, side, rows, columns, place, grow=1), outline=WHITE, line=2)


class BlockExplorer(Explorer):
    """What the models would say after each block, and one token against all, block by block.

    Args:
        clip: a class of `ArrowOfTime`. model: id of the one whose tokens are compared.

    The models are those of the attention explorer. `logit_lens` says what the upper tables are and
    what they cannot tell; `token_similarity` what the maps below are.

    Example:
        >>> explorer = BlockExplorer("grows", model="factorised_encoder")
        >>> explorer.shares()["factorised_encoder"].shape
        (6, 8)
    """

    width, height = WIDTH, HEIGHT
    arrows = "column", "row", "step"

    def __init__(self, clip: str = "moves right", model: str = "joint"):
        self.shape = dropdown("moving shape", ArrowOfTime.classes, clip)
        self.number = whole_slider("another one", 20)
        kinds = [kind for kind in ("trained", "random") if models()[kind]]
        self.weights = dropdown("weights", kinds)
        names = [(text.split(": ")[0], name) for name, text in MODELS.items()]
        self.model = dropdown("model", names, model)
        grid = models()[kinds[0]][model].config.grid
        self.step, self.row, self.column = self.place = place_sliders(grid)
        controls = {"Clip": [self.shape, self.number], "Models": [self.weights, self.model]}
        super().__init__(controls | {"Token": self.place})

    def state(self) -> BlockState:
        return self.read(BlockState, place=tuple(slider.value for slider in self.place))

    def shares(self) -> dict[str, np.ndarray]:
        """Model -> (blocks, K): the probabilities in the picture."""
        state = self.state()
        return _shares(state.weights, state.shape, state.number)

    def draw(self) -> Canvas:
        state = self.state()
        model = models()[state.weights][state.model]
        alike = token_similarity(model, _pixels(model, state.shape, state.number), state.place)
        frames = model.config.frames
        clip = arrow_clip(state.shape, state.number, frames, DRAWN)
        return draw(state, clip, self.shares(), alike.numpy())


def _pixels(model: ViViT, shape: str, number: int) -> torch.Tensor:
    frames, _, size, _ = model.config.clip_shape
    return normalise(arrow_clip(shape, number, frames, size).frames())[None]


@functools.lru_cache(maxsize=32)
def _shares(weights: str, shape: str, number: int) -> dict[str, np.ndarray]:
    return {
        name: logit_lens(model, _pixels(model, shape, number)).softmax(-1).numpy()
        for name, model in models()[weights].items()
    }

"""What happens to a video in a ViViT? One clip, all stages, one slider through all of them."""

import functools
import textwrap
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vivit_lab.models import MODELS, ViViT, ViViTConfig
from vivit_lab.video import normalise, span_frames
from vivit_lab.widgets.canvas import BLUE, LINE, MUTED, ORANGE, TEAL, Canvas
from vivit_lab.widgets.charts import bar, grid_lines
from vivit_lab.widgets.footage import STRIDE, Clip, FootagePicker
from vivit_lab.widgets.surface import Explorer, legal_slider, new_model

FRAME_COUNTS = (4, 8, 16, 32)
CLASSES = ("forwards", "backwards")
# small enough to answer at once on a laptop; the paper's B/16x2 is 768 wide and 12 deep
SIZE = 112
SMALL = {
    "image_size": SIZE, "tubelet": (2, 16, 16), "dim": 96, "depth": 3, "heads": 4, "mlp_dim": 384,
    "num_classes": len(CLASSES),
}  # fmt: skip
LOOKS = {  # what the film strip of each model shows, from its last block, heads averaged
    "joint": "the class token's attention",
    "factorised_encoder": "class tokens: space × time",
    "factorised_self_attention": "attention received: space × time",
    "factorised_dot_product": "attention received: space × time",
}
WIDTH, HEIGHT, MARGIN = 920, 718, 12


@dataclass(frozen=True)
class Answer:
    name: str  # model id
    parameters: int
    pairs: int  # query-key pairs in one block, all heads counted once
    looks: np.ndarray  # (t, h, w), sums to 1: where the attention goes
    order: float  # how far reversing the clip moves its representation, relative to its length
    probabilities: np.ndarray  # (2,), of CLASSES


def learn_by_heart(model: ViViT, clip: Tensor) -> None:
    """Set the head so that it tells this clip (1, T, C, H, W) from its reversal, in closed form."""
    # The weights point from one representation to the other, scaled so that the logits of the two
    # differ by 4 (98 %). This works however little the two differ: it shows that order is in the
    # representation, and no more. The rest of the model stays untrained.
    with torch.no_grad():
        forwards, backwards = (model.encode(x, False)[0][0] for x in (clip, clip.flip(1)))
        difference, middle = forwards - backwards, (forwards + backwards) / 2
        weight = 4 * difference / difference.square().sum()
        model.head.weight.copy_(torch.stack([weight, -weight]))
        model.head.bias.copy_(torch.stack([-weight @ middle, weight @ middle]))


def ask(model: ViViT, clip: Tensor) -> Answer:
    """Send a clip (1, T, C, H, W) through a model: where it looks, and what it says."""
    with torch.inference_mode():
        features, maps = model.encode(clip, return_attention=True)
        logits = model.head(features)
        reversed_, _ = model.encode(clip.flip(1), return_attention=False)
    # the last block's weights of each kind (Model 2 has them in two encoders), mean of the heads
    means = {kind: weights[0].mean(dim=-3) for block in maps for kind, weights in block.items()}
    config = model.config
    if "joint" in means:
        looks = means["joint"][0, 1:].unflatten(0, (config.temporal_tokens, -1))
    elif config.pooling == "cls":
        looks = means["time"][0, 1:, None] * means["space"][:, 0, 1:]
    else:  # no class token: what each token gets, averaged over those that look
        looks = means["space"].mean(dim=-2) * means["time"].mean(dim=-2).T
    return Answer(
        name=config.model,
        parameters=sum(p.numel() for p in model.parameters()),
        pairs=sum(attention.sequences * attention.length**2 for attention in config.attentions()),
        looks=(looks / looks.sum()).unflatten(1, config.grid[1:]).numpy(),
        order=float((features - reversed_).norm() / features.norm()),
        probabilities=logits[0].softmax(-1).numpy(),
    )


def draw(clip: Clip, numbers: list[int], about: str, answers: list[Answer], taught: bool) -> Canvas:
    """File, clip, tokens, then a row a model: pattern, attention, prediction."""
    canvas = Canvas(WIDTH, HEIGHT)
    config = ViViTConfig(frames=len(clip), **SMALL)
    t, (nt, nh, nw) = config.tubelet[0], config.grid
    shape = f"(T, C, H, W) = ({len(clip)}, 3, {SIZE}, {SIZE})"
    tokens = f"{nt} × {nh} × {nw} = {config.tokens:,} tokens, each a vector of {config.dim}"
    taught = "untrained but for the head, which knows this one clip by heart" * taught
    for y, number, title, words in (
        (10, "1", "File", about),
        (36, "2", "Clip", f"frames {numbers[0]} to {numbers[-1]}: {shape}"),
        (126, "3", "Tokens", f"boxes of {t} × 16 × 16: {tokens}"),
        (266, "4", "Models", f"{taught or 'untrained'}: where they look, what they say"),
    ):
        canvas.box(MARGIN, y, 20, 20, fill=BLUE, radius=10)
        canvas.text(MARGIN + 10, y + 10, number, bold=True, colour="#ffffff", anchor="mm")
        canvas.text(MARGIN + 28, y + 2, title, size=14, bold=True)
        canvas.text(MARGIN + 96, y + 2, words, size=14, colour=MUTED)
    pitch = min((WIDTH - 2 * MARGIN) / len(clip), 58)
    for i, image in enumerate(clip.thumbnails(pitch - 3, pitch - 3)):
        canvas.thumbnail(MARGIN + i * pitch, 60, image)
    # at most six time steps, evenly spread, the first and the last among them
    steps = sorted({round(i) for i in np.linspace(0, nt - 1, min(6, nt))})
    for k, step in enumerate(steps):
        x = MARGIN + k * 108
        canvas.picture(x, 152, 100, 100, clip.pixels[step * t])
        grid_lines(canvas, x, 152, 100, nh, nw, "#ffffff90")
    for i, answer in enumerate(answers):
        _model_row(canvas, 294 + 106 * i, clip.pixels[::t], answer, steps)
    return canvas


def _model_row(canvas: Canvas, y: float, frames, answer: Answer, steps: list[int]) -> None:
    canvas.line([(MARGIN, y - 5), (WIDTH - MARGIN, y - 5)], LINE)
    number, title = MODELS[answer.name].split(": ")
    canvas.text(MARGIN, y + 2, number, size=14, bold=True, colour=BLUE)
    title = textwrap.wrap(title[0].upper() + title[1:], 24, break_on_hyphens=False)
    for i, words in enumerate(title):
        canvas.text(MARGIN, y + 21 + 16 * i, words, size=12.5, bold=True)
    costs = f"{answer.parameters:,} parameters", f"{answer.pairs:,} pairs a head and block"
    canvas.paragraph(MARGIN, y + 58, costs, 15, 11, MUTED)

    looks = (answer.looks - answer.looks.min()) / np.ptp(answer.looks)
    for k, step in enumerate(steps):
        canvas.picture(200 + 80 * k, y + 1, 76, 76, spotlight(frames[step], looks[step]))
    canvas.note(200, y + 81, f"{LOOKS[answer.name]}; bright = most")

    for k, (name, p) in enumerate(zip(CLASSES, answer.probabilities.tolist(), strict=True)):
        top, likely = y + 14 + 30 * k, p > 0.5
        canvas.text(712, top, name, size=12, anchor="lm", bold=likely)
        bar(canvas, 790, top - 8, 100, 16, p, ORANGE if likely else TEAL)
        canvas.text(888, top, f"{100 * p:.0f} %", size=11, anchor="rm")
    canvas.note(712, y + 68, f"reversal moves features {100 * answer.order:.1f} %")


def spotlight(frame: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A frame (H, W, 3), dark where `weights` (h, w) is 0 and in full light where it is 1."""
    height, width = frame.shape[:2]
    light = Image.fromarray(weights.astype(np.float32)).resize((width, height), Image.BILINEAR)
    light = 0.2 + 0.8 * np.clip(np.asarray(light), 0, 1) ** 0.7  # the eye is not linear either
    return (frame * light[..., None]).astype(np.uint8)


class StartExplorer(Explorer):
    """One slider, the number of frames, that reaches through every stage.

    Args:
        clip: name of a sample, or path of a video.
        frames: where the slider starts: 4, 8, 16 or 32.

    The models are small and untrained. `by_heart` sets their heads to tell this clip from its
    reversal (`learn_by_heart`); `backwards` plays it to them in reverse.

    Source: paper section 3, figure 1.

    Example:
        >>> explorer = StartExplorer("crossing", frames=4)
        >>> [round(float(a.probabilities[0]), 2) for a in explorer.answers()]
        [0.5, 0.5, 0.5, 0.5]
    """

    width, height = WIDTH, HEIGHT

    def __init__(self, clip: str | Path = "rabbit", frames: int = 16):
        self.picker = FootagePicker(clip, on_change=self.refresh)
        self.frames = legal_slider("frames", FRAME_COUNTS, frames)
        self.backwards = widgets.Checkbox(description="play it backwards", indent=False)
        self.by_heart = widgets.Checkbox(description="heads learn it by heart", indent=False)
        controls = {
            "Clip": [self.picker.ui],
            "All stages at once": [self.frames],
            "Models": [self.backwards, self.by_heart],
        }
        super().__init__(controls)

    def numbers(self) -> list[int]:
        """Which frames of the video are on show, in the order in which the models get them."""
        middle = self.picker.footage.middle(self.frames.value)
        return middle[::-1] if self.backwards.value else middle

    def clip(self) -> Clip:
        return self.picker.footage.clip(self.numbers(), SIZE, square=True)

    def answers(self) -> list[Answer]:
        forwards = self.picker.footage.middle_clip(self.frames.value, SIZE)
        return _answers(forwards, self.backwards.value, self.by_heart.value)

    def draw(self) -> Canvas:
        video, frames = self.picker.footage.video, self.frames.value
        about = (
            f"{self.picker.footage.name}: {video.num_frames} frames of {video.width} × "
            f"{video.height}, {video.fps:.4g} a second; a clip of {frames} at stride {STRIDE} "
            f"stands for {span_frames(frames, STRIDE) / video.fps:.2f} s"
        )
        return draw(self.clip(), self.numbers(), about, self.answers(), self.by_heart.value)


@functools.lru_cache(maxsize=32)
def _answers(clip: Clip, backwards: bool, by_heart: bool) -> list[Answer]:
    pixels = normalise(clip.frames())[None]
    depths = {"factorised_encoder": 2}  # of temporal encoders
    models = [
        new_model(
            ViViTConfig(model=name, frames=len(clip), temporal_depth=depths.get(name), **SMALL)
        )
        for name in MODELS
    ]
    for model in models if by_heart else ():
        learn_by_heart(model, pixels)
    return [ask(model, pixels.flip(1) if backwards else pixels) for model in models]

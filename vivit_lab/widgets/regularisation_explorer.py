"""What does one training step do to a clip, to its label, and to the model's blocks?"""

import copy
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vivit_lab.data import samples
from vivit_lab.models import ViViTConfig
from vivit_lab.models.layers import DropPath
from vivit_lab.training.optim import loss_of, mixed
from vivit_lab.video import TrainTransform, denormalise, normalise
from vivit_lab.video.transforms import clip_rand_augment, seeded
from vivit_lab.widgets.canvas import BLUE, LINE, MUTED, ORANGE, TEAL, TRACK, VIOLET, Canvas
from vivit_lab.widgets.charts import Plot, bar, shortened
from vivit_lab.widgets.footage import Clip, Footage, FootagePicker
from vivit_lab.widgets.surface import Explorer, dropdown, legal_slider, new_model, whole_slider

FRAMES, SIDE = 6, 88  # of a clip; pixels
LAYERS = 2  # operations of RandAugment, as in the paper's recipes
OFF = "off"
MAGNITUDES = (OFF, 0, 5, 10, 15, 20, 25, 30)
SHARES = [round(k / 20, 2) for k in range(21)]
AMOUNTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
SEEDS = 40
SURE = np.linspace(0.001, 0.999, 999)  # probabilities of the clip's own class, of many answers
DRAWN = [0, *range(9, 998, 10), 998]  # of these answers
SMALL = {"frames": 2, "image_size": 16, "dim": 4, "heads": 1, "mlp_dim": 4, "num_classes": 2}
WIDTH, HEIGHT, MARGIN = 920, 492, 12


def augmented(clip: Tensor, magnitude: int | str, seed: int) -> tuple[Tensor, str]:
    """A clip uint8 (T,C,H,W) after the training's RandAugment, and the names of what was done."""
    settings = None if magnitude == OFF else (LAYERS, magnitude)
    sides = dict.fromkeys(("crop", "min_short_side", "max_short_side"), clip.shape[-1])
    transform = TrainTransform(**sides, flip=0, colour=0, grey=0, rand_augment=settings)
    draw, done = transform.draw(*clip.shape[-2:], seed), []
    if settings:  # once more, on one frame, by a copy that notes what it does
        noting = copy.copy(clip_rand_augment(*settings))
        apply = noting._apply_image_or_video_transform

        def noted(image: Tensor, name: str, *rest, **named) -> Tensor:
            done.append(name)
            return apply(image, name, *rest, **named)

        noting._apply_image_or_video_transform = noted
        with seeded(draw.operations_seed):
            noting(clip[:1])
    return transform.apply(clip, draw), " and ".join(done) or "as it was read"


def target(labels: Sequence[int], classes: int, share: float, smoothing: float) -> Tensor:
    """What the loss of the first clip of a pair wants as probabilities, (classes,).

    Read from `loss_of` itself: its gradient by the logits is (answer - target) / clips.
    """
    logits, given = torch.zeros(2, classes, requires_grad=True), {"": torch.tensor(labels)}
    loss_of(logits, given, share, smoothing)[0].backward()
    return (1 / classes - 2 * logits.grad[0]).clamp(min=0)


def losses(wanted: Tensor, own: int) -> np.ndarray:
    """The loss of answers which give SURE to the own class, and the rest out as the target does."""
    sure = torch.from_numpy(SURE)[:, None]
    rest = wanted.double().clamp(min=1e-9).index_fill(0, torch.tensor(own), 0)
    answers = (1 - sure) * rest / rest.sum()
    answers[:, own] = sure[:, 0]
    return -(wanted * answers.log()).sum(dim=1).numpy()


@functools.cache
def branches(rate: float) -> dict[str, DropPath]:
    """The layers that drop branches, by name: of a Model 2 with the blocks of ViViT-B."""
    config = ViViTConfig.preset("B/16x2", model="factorised_encoder", drop_path=rate, **SMALL)
    model = new_model(config).train()
    return {name: each for name, each in model.named_modules() if isinstance(each, DropPath)}


def factors(rate: float, seed: int) -> list[float]:
    """What each branch of one clip is multiplied by in a step: 0 where it is dropped."""
    with seeded(seed):
        return [each(torch.ones(1)).item() for each in branches(rate).values()]


# ---- drawing

PITCH, ROW = SIDE + 4, SIDE + 31
RIGHT, WIDE = 588, 320  # where the right half begins; its width


def _target(canvas: Canvas, wanted: Tensor, names: list[str], pair: list[int]) -> None:
    """A bar for each class, which can be pressed: its clip becomes the partner."""
    canvas.text(RIGHT, 8, "Target: what the loss asks for", bold=True, colour=VIOLET)
    step = min(17, 160 / len(names))
    for i, (name, share) in enumerate(zip(names, wanted.tolist(), strict=True)):
        y, strong = 30 + i * step, i in pair
        canvas.text(RIGHT + 98, y, shortened(name, 14), 12, bold=strong, anchor="ra")
        bar(canvas, RIGHT + 106, y + 4, 150, 9, share, VIOLET if strong else MUTED)
        canvas.text(RIGHT + WIDE, y, f"{100 * share:.1f} %", 12, bold=strong, anchor="ra")
        says = f"{name}: target {100 * share:.2f} %\na press makes it the partner"
        canvas.region(RIGHT, y, WIDE, step, says, partner=name)


def _loss(canvas: Canvas, found: np.ndarray, own: str) -> None:
    """The loss of surer and surer answers; its lowest point is the target."""
    best, top = found.argmin(), 192
    canvas.text(RIGHT, top, f"Loss of an answer, by its share for {own}", bold=True)
    plot = Plot(canvas, RIGHT + 20, top + 26, WIDE - 44, 84, (0, 1), (0, 4))
    plot.grid((0, 2, 4), "024")
    plot.marks((0, 0.5, 1), ("0 %", "50 %", "100 %"))
    plot.line(SURE[DRAWN], found[DRAWN], VIOLET, 2)
    plot.dots([SURE[best]], [found[best]], ORANGE, 5)
    words = f"lowest: {found[best]:.2f} at {100 * SURE[best]:.1f} %"
    canvas.text(RIGHT + WIDE / 2 + 24, top + 28, words, 12, ORANGE, True, "ma")
    losses = [f"{each:.2f}" for each in found[DRAWN]]
    plot.region(f"{own}: {{sure}}, loss {{value}}", "sure", SURE[DRAWN].round(3), losses)


def _blocks(canvas: Canvas, rate: float, seed: int) -> str:
    """The rate of each block, and which of its two branches the clip loses; returns it in words."""
    left, top, side, kept = RIGHT + 104, 338, 11, factors(rate, seed)
    canvas.text(RIGHT, top, f"Stochastic depth {rate:g}, for this clip", bold=True, colour=TEAL)
    for y, words in ((44, "rate"), (69, "attention"), (87, "MLP")):
        canvas.text(left - 8, top + y, words, 12, anchor="rm")
    for i, (factor, (name, layer)) in enumerate(zip(kept, branches(rate).items(), strict=True)):
        x, y = left + i // 2 * 13 + 8 * (i >= 24), top + 63 + 18 * (i % 2)
        canvas.box(x, top + 54 - 60 * layer.rate, side, 60 * layer.rate + 1, fill=TEAL)
        canvas.box(x, y, side, side, fill=TEAL if factor else TRACK, outline=TEAL)
        says = f"kept, times {factor:.2f}" if factor else "dropped"
        words = f"{name.rpartition('.')[0]}, {('attention', 'MLP')[i % 2]}: rate {layer.rate:.2f}"
        canvas.region(x, y, side, side, f"{words}\n{says}", branch=name)
    canvas.note(left, top + 101, "12 spatial blocks")
    canvas.note(RIGHT + WIDE, top + 101, "4 temporal", anchor="ra")
    canvas.note(RIGHT, top + 124, "branches of a Model 2; filled: kept, empty: dropped")
    lost = f"the clip loses {kept.count(0)} of {len(kept)} branches"
    return f"Stochastic depth {rate:g}, draw {seed}: {lost}."


class RegularisationExplorer(Explorer):
    """One training step on one clip: RandAugment, mixup, label smoothing, stochastic depth.

    clip: name of a sample, or path of a video. partner: name of the sample that mixup adds. The
    classes are the clips. magnitude: 0, 5, ... 30 or "off". share: of the clip in the mixture.
    smoothing, drop_path: 0 to 0.5. All of it comes from the transforms, loss and layers of `fit`.

    Source: paper section 4 and table 4; the start is the recipe for EPIC-Kitchens.

    Example:
        >>> explorer = RegularisationExplorer("crossing", partner="bars", share=0.5)
        >>> explorer.smoothing.value = 0.0
        >>> sorted(explorer.target().tolist())[-2:]
        [0.5, 0.5]
    """

    width, height = WIDTH, HEIGHT
    arrows = "share", "magnitude", "seed"

    def __init__(
        self, clip: str | Path = "rabbit", partner: str = "portrait", magnitude: int | str = 15,
        share: float = 0.7, smoothing: float = 0.2, drop_path: float = 0.2,
    ):  # fmt: skip
        self.picker = FootagePicker(clip, self.refresh)
        self.partner = dropdown("partner", samples(), partner)
        self.magnitude = legal_slider("RandAugment", MAGNITUDES, magnitude)
        self.share = legal_slider("mixup", SHARES, share, "share of the clip; 1: no mixup")
        self.smoothing = legal_slider("smoothing", AMOUNTS, smoothing, "of the label; 0: none")
        tip = "stochastic depth: rate of the last block; 0: none"
        self.drop_path = legal_slider("drop path", AMOUNTS, drop_path, tip)
        self.seed = whole_slider("draw", SEEDS)
        pixels = [self.magnitude, self.share]
        controls = {"Clips": [self.picker.ui, self.partner], "Pixels": pixels}
        super().__init__(controls | {"Label, blocks": [self.smoothing, self.drop_path, self.seed]})

    def target(self) -> Tensor:
        """What the loss of the clip asks for: a probability for each class."""
        names, pair = self._classes()
        return target(pair, len(names), self.share.value, self.smoothing.value)

    def draw(self) -> Canvas:
        canvas, (names, pair), wanted = Canvas(WIDTH, HEIGHT), self._classes(), self.target()
        own, partner = (shortened(names[each], 16) for each in pair)
        magnitude, share, seed = self.magnitude.value, self.share.value, self.seed.value
        films = self.picker.footage, _footage(self.partner.value)
        clips = [film.middle_clip(FRAMES, SIDE).frames() for film in films]
        one, done = augmented(clips[0], magnitude, 2 * seed)
        other, others = augmented(clips[1], magnitude, 2 * seed + 1)
        both = denormalise(mixed(torch.stack([normalise(one), normalise(other)]), share))[0]
        kept = f"{share:.2f} × {own} + {1 - share:.2f} × {partner}"
        rows = {
            f"{own}, as it was read": (MUTED, clips[0]),
            f"RandAugment {magnitude}: {done}": (ORANGE, one),
            f"its partner, {partner}: {others}": (ORANGE, other),
            f"mixup: {kept}": (BLUE, both),
        }
        for y, (title, (colour, frames)) in zip(range(8, HEIGHT, ROW), rows.items(), strict=False):
            canvas.text(MARGIN, y, title, bold=True, colour=colour)
            for i, picture in enumerate(Clip.of(frames).pictures):
                canvas.frame(MARGIN + i * PITCH, y + 22, SIDE, SIDE, picture)
            box, across = (MARGIN, y + 22, PITCH * FRAMES, SIDE), ("frame", range(FRAMES))
            canvas.region(*box, f"frame {{frame}} of {title}", across=across)
        canvas.line([(RIGHT - 17, 12), (RIGHT - 17, HEIGHT - 12)], LINE)
        _target(canvas, wanted, names, pair)
        _loss(canvas, losses(wanted, pair[0]), own)
        lost = _blocks(canvas, self.drop_path.value, seed)
        canvas.steps("seed", range(SEEDS), 0.8)
        canvas.words = (
            f"{own} and its partner {partner}. RandAugment {magnitude}: {done}; {others}. "
            f"Mixup: {kept}. Label smoothing {self.smoothing.value:g}: the target of {own} is "
            f"{100 * wanted[pair[0]]:.1f} %. {lost}"
        )
        return canvas

    def _classes(self) -> tuple[list[str], list[int]]:
        """The names of the classes, and which the clip and its partner have."""
        name = self.picker.footage.name
        names = list(dict.fromkeys((*samples(), name)))
        return names, [names.index(name), names.index(self.partner.value)]


_footage = functools.lru_cache(maxsize=4)(Footage)

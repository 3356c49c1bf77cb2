"""A recipe: everything about a training run that is neither the data nor the machine."""

import dataclasses
import json
import math
import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vivit_lab.errors import one_of
from vivit_lab.models import ViViTConfig

ClassNames = Sequence[str] | Mapping[str, Sequence[str]]
MODEL, CLIP, REGULARISATION, OPTIMISATION, MEANS = (
    "Model",
    "Clips",
    "Augmentation and regularisation",
    "Optimisation",
    "Means: another cost, the same result up to rounding and to what is drawn",
)


def _field(default: object, group: str, meaning: str) -> object:
    return dataclasses.field(default=default, metadata={"group": group, "meaning": meaning})


@dataclass(frozen=True, kw_only=True, repr=False)
class Recipe:
    """How a model is trained; checked when it is made, immutable after, and printed as a table.

    The defaults are the paper's for Kinetics-400, Model 2. `Recipe.preset(name)` knows the others,
    `recipe.change(lr=0.05)` makes a variant. The model that `fit` is given may have any size;
    model, size, temporal_depth and classes only say which one the recipe was made for.

    Raises:
        ValueError, TypeError: for an illegal field or fields that contradict each other; the
            message names them, and the rule.

    Source: paper section 4.1 and its table of hyperparameters; the official configurations.

    Example:
        >>> recipe = Recipe(lr=0.1, lr_batch=64, batch=16)
        >>> recipe.peak_lr
        0.025
    """

    name: str = _field("custom", MODEL, "what the run folder and the tables call it")
    model: str = _field("factorised_encoder", MODEL, "which of the paper's four")
    size: str = _field("B/16x2", MODEL, "<size>/<patch>x<frames of a tubelet>, or 'tiny'")
    temporal_depth: int | None = _field(None, MODEL, "blocks of Model 2's temporal encoder")
    classes: int | Mapping[str, int] = _field(400, MODEL, "classes, or {head: classes}")

    frames: int = _field(32, CLIP, "frames in a clip")
    stride: int = _field(2, CLIP, "every stride-th frame of the video")
    crop: int = _field(224, CLIP, "pixels a side that the model sees")
    min_short_side: int = _field(256, CLIP, "pixels; also the size for testing")
    max_short_side: int = _field(320, CLIP, "pixels")
    scale: str = _field("uniform", CLIP, "how the short side is drawn: TrainTransform says more")

    flip: float = _field(0.5, REGULARISATION, "chance of mirroring a clip")
    colour: float = _field(0.8, REGULARISATION, "chance of colour jitter")
    grey: float = _field(0.1, REGULARISATION, "chance of taking the colours out")
    rand_augment: tuple[int, int] | None = _field(None, REGULARISATION, "(layers, magnitude)")
    mixup: float = _field(0.0, REGULARISATION, "alpha of Beta(alpha, alpha); 0 = off")
    label_smoothing: float = _field(0.0, REGULARISATION, "share spread over all classes")
    drop_path: float = _field(0.0, REGULARISATION, "stochastic depth, rate at the last block")

    optimiser: str = _field("sgd", OPTIMISATION, "'sgd' (with momentum) or 'adamw'")
    lr: float = _field(0.1, OPTIMISATION, "highest learning rate, at lr_batch clips a step")
    lr_batch: int | None = _field(
        64, OPTIMISATION, "lr grows with batch / lr_batch; None: it stays"
    )
    batch: int = _field(64, OPTIMISATION, "clips a step: all devices, all microbatches")
    epochs: int = _field(30, OPTIMISATION, "times through the training set")
    warmup_epochs: float = _field(2.5, OPTIMISATION, "from 0 to lr in a line; then cosine to 0")
    momentum: float | None = _field(None, OPTIMISATION, "of sgd; None = 0.9")
    betas: tuple[float, float] | None = _field(None, OPTIMISATION, "of adamw; None = (0.9, 0.999)")
    weight_decay: float = _field(0.0, OPTIMISATION, "not on biases, norms, positions, class tokens")
    layer_decay: float | None = _field(
        None, OPTIMISATION, "lr factor from a block to the one below"
    )
    max_grad_norm: float | None = _field(1.0, OPTIMISATION, "gradients are scaled down to it")
    ema: float | None = _field(None, OPTIMISATION, "decay of averaged weights, after a warm-up")
    freeze: str | None = _field(None, OPTIMISATION, "'spatial_encoder', 'all_but_head', or None")
    seed: int = _field(0, OPTIMISATION, "of the order, the augmentation, and what drops")

    accumulate: int = _field(1, MEANS, "microbatches a step, one after the other: less memory")
    bf16: bool = _field(False, MEANS, "matrix products in bfloat16, weights in float32")
    checkpointing: bool = _field(False, MEANS, "blocks computed twice: far less memory")
    compile: bool = _field(False, MEANS, "torch.compile: minutes at first, faster after")

    notes: tuple[str, ...] = _field(
        (), "Notes", "differences between paper, official code and this"
    )

    def __post_init__(self):
        from vivit_lab.training.recipe_checks import WHOLE, check_recipe

        for name in ("rand_augment", "betas", "notes"):
            if isinstance(getattr(self, name), list):  # as JSON gives them
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if isinstance(self.classes, Mapping):
            object.__setattr__(self, "classes", dict(self.classes))  # yours may change, not this
        check_recipe(self)
        for name in (*WHOLE, "accumulate", "seed"):
            object.__setattr__(self, name, int(getattr(self, name)))  # NumPy's are no JSON
        self.config()

    # ---- making one

    @classmethod
    def preset(cls, name: str, **changes: object) -> "Recipe":
        """A named recipe, with any fields changed.

        Names: kinetics400_joint, kinetics400_factorised_encoder, kinetics400_large,
        kinetics600_large, moments_in_time_large, epic_kitchens_large,
        something_something_v2_large; small_data; cpu_tiny.

        Example:
            >>> Recipe.preset("epic_kitchens_large").mixup
            0.1
        """
        from vivit_lab.training.presets import PRESETS

        one_of("preset", name, PRESETS)
        return cls(name=name, **PRESETS[name]).change(**changes)

    def change(self, **fields: object) -> "Recipe":
        """The same recipe with other values for some fields.

        Example:
            >>> Recipe().change(bacth=8)
            Traceback (most recent call last):
            ValueError: field of Recipe is 'bacth', which is not one of 'name', 'model', ...
        """
        _check_names(fields)
        return dataclasses.replace(self, **fields)

    @classmethod
    def load(cls, file: str | os.PathLike) -> "Recipe":
        """Read what `save` wrote, or what was written by hand: fields left out have their defaults.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError, TypeError: it is not a JSON object, or no legal recipe.
        """
        try:
            fields = json.loads(Path(file).read_text(encoding="utf-8"))
        except ValueError as reason:
            raise ValueError(f"{str(file)!r} is not sound JSON: {reason}") from None
        if not isinstance(fields, dict):
            raise ValueError(f'{str(file)!r} must hold a JSON object, such as {{"lr": 0.1}}.')
        return cls.from_dict(fields)

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> "Recipe":
        """The recipe that `to_dict` described.

        Example:
            >>> Recipe.from_dict(json.loads(json.dumps(Recipe(lr=0.3).to_dict()))) == Recipe(lr=0.3)
            True
        """
        _check_names(fields)
        return cls(**fields)

    def to_dict(self) -> dict[str, object]:
        """All fields, as JSON can hold them."""
        return dataclasses.asdict(self)

    def result_fields(self) -> dict[str, object]:
        """The fields that decide what comes out, beyond rounding: all but names, notes and means.

        Example:
            >>> Recipe(bf16=True, name="small GPU").result_fields() == Recipe().result_fields()
            True
        """
        aside = {"name", "notes"} | {name for group, name, *_ in self.rows() if group == MEANS}
        return {name: value for name, value in self.to_dict().items() if name not in aside}

    def save(self, file: str | os.PathLike) -> None:
        """Write all fields as JSON, to be read by `load`, or changed by hand.

        Example:
            >>> import tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     Recipe(lr=0.3).save(Path(folder, "recipe.json"))
            ...     Recipe.load(Path(folder, "recipe.json")).lr
            0.3
        """
        Path(file).write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")

    # ---- what follows from it

    @property
    def peak_lr(self) -> float:
        """The highest learning rate at this total batch (linear scaling, Goyal et al. 2017)."""
        return self.lr * (self.batch / self.lr_batch if self.lr_batch else 1)

    def learning_rate(self, step: int, steps_per_epoch: int) -> float:
        """Of step 0, 1, ...: up in a line, then down a half cosine. Source: the official code.

        Example:
            >>> recipe = Recipe(epochs=10, warmup_epochs=2, lr=0.1)
            >>> [round(recipe.learning_rate(step, 100), 3) for step in (0, 100, 200, 600, 999)]
            [0.0, 0.05, 0.1, 0.05, 0.0]
        """
        total, warm = self.epochs * steps_per_epoch, self.warmup_epochs * steps_per_epoch
        rise = min(1.0, step / warm) if warm else 1.0
        fall = 0.5 * (1 + math.cos(math.pi * max(0.0, step - warm) / (total - warm)))
        return self.peak_lr * rise * fall

    def config(self, **changes: object) -> ViViTConfig:
        """Configuration of the model that it is for; classes and clips are often yours.

        Example:
            >>> Recipe.preset("kinetics400_large").config(num_classes=12).depth
            24
        """
        from vivit_lab.training.presets import TINY

        fields = {
            "model": self.model,
            "frames": self.frames,
            "image_size": self.crop,
            "temporal_depth": self.temporal_depth,
            "num_classes": self.classes,
            "drop_path": self.drop_path,
        } | changes
        if self.size == "tiny":
            return ViViTConfig(**(TINY | fields))
        return ViViTConfig.preset(self.size, **fields)

    def sampling(self):
        """Which frames: `ByFrame(frames, stride)`, for ClipDataset and ViewDataset."""
        from vivit_lab.video.clip_sampling import ByFrame

        return ByFrame(clip_frames=self.frames, stride=self.stride)

    def train_transform(self, class_names: ClassNames | None = None):
        """Which pixels in training: the `TrainTransform` for a ClipDataset.

        class_names: with them a mirrored clip of "left to right" becomes one of "right to left".

        Raises ValueError for a name with left or right in it, and no partner, unless flip is 0.
        """
        from vivit_lab.video import TrainTransform, flip_pairs

        mirrored = flip_pairs(class_names) if class_names and self.flip else None
        return TrainTransform(
            crop=self.crop,
            min_short_side=self.min_short_side,
            max_short_side=self.max_short_side,
            scale=self.scale,
            flip=self.flip,
            flip_labels=mirrored,
            colour=self.colour,
            grey=self.grey,
            rand_augment=self.rand_augment,
        )

    def test_transform(self, crops: int = 3):
        """Which pixels in testing: the `TestTransform` for a ViewDataset."""
        from vivit_lab.video import TestTransform

        return TestTransform(crop=self.crop, short_side=self.min_short_side, crops=crops)

    # ---- showing it

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(group, field, value, meaning) of every field but the notes."""
        return [
            (f.metadata["group"], f.name, _shown(getattr(self, f.name)), f.metadata["meaning"])
            for f in dataclasses.fields(self)
            if f.name != "notes"
        ]

    def __str__(self) -> str:
        lines, group = [], ""
        for this_group, name, value, meaning in self.rows():
            if this_group != group:
                group = this_group
                lines.append(group)
            lines.append(f"  {name:16} {value:22} {meaning}")
        scaled = f" = {self.lr:g} x {self.batch} / {self.lr_batch}" if self.lr_batch else ""
        lines.append(f"Highest learning rate at this batch: {self.peak_lr:g}{scaled}")
        lines += [textwrap.fill(f"* {note}", 100, subsequent_indent="  ") for note in self.notes]
        return "\n".join(lines)

    __repr__ = __str__

    def difference(self, other: "Recipe") -> str:
        """The fields in which two recipes differ, as a table to be printed.

        Example:
            >>> print(Recipe(name="mine", lr=0.05, ema=0.999).difference(Recipe(name="paper's")))
                              mine                   paper's
              lr              0.05                   0.1
              ema             0.999                  -
        """
        lines = [f"  {'':15} {self.name:22} {other.name}"]
        for (_, name, mine, _), (_, _, theirs, _) in zip(self.rows(), other.rows(), strict=True):
            if name != "name" and mine != theirs:
                lines.append(f"  {name:15} {mine:22} {theirs}")
        return "\n".join(lines) if len(lines) > 1 else "No field differs."


def _check_names(fields: Mapping[str, object]) -> None:
    for name in fields:
        one_of("field of Recipe", name, [field.name for field in dataclasses.fields(Recipe)])


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{head} {count}" for head, count in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)

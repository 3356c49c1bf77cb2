"""A recipe: everything about a training run that is neither the data nor the machine."""

import dataclasses
import json
import math
import os
import re
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import NoneType
from typing import get_args

from vivit_lab.errors import fraction, one_of, takes_plain, whole
from vivit_lab.io import read_json, write_atomically
from vivit_lab.models import MODELS, ViViTConfig
from vivit_lab.training.presets import PRESETS, TINY

ClassNames = Sequence[str] | Mapping[str, Sequence[str]]
PRECISIONS = ("auto", "float32", "bf16", "fp16")
SCALES = ("uniform", "inverse", "stretch", "area")  # of TrainTransform
MEANS = "Cost: other time and memory; the same result up to rounding and random draws"
GROUPS = {  # the first field of each group, and its heading
    "name": "Model",
    "frames": "Clips",
    "flip": "Augmentation and regularisation",
    "optimiser": "Optimisation",
    "accumulate": MEANS,
    "notes": "Notes",
}

# ---- what one field may be: each check is called with its name and its value, unless that is None

Check = Callable[[str, object], None]


def _number(rule: str, legal: Callable[[float], bool]) -> Check:
    def check(name: str, value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not legal(value):
            raise ValueError(f"{name} is {value!r}, but {rule}.")

    return check


def _options(*options: str) -> Check:
    return lambda name, value: one_of(name, value, options)


def _switch(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, but must be True or False.")


def _text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name} is {value!r}, but must be a text.")


def _notes(name: str, value: object) -> None:
    for note in value:
        _text("a note", note)


def _betas(name: str, value: object) -> None:
    if not isinstance(value, tuple) or len(value) != 2:
        raise TypeError(f"{name} is {value!r}, but must be two numbers: (0.9, 0.999).")
    for beta in value:
        fraction(name, beta)


def _rand_augment(name: str, value: object) -> None:
    if not isinstance(value, tuple) or len(value) != 2:
        raise TypeError(f"{name} is {value!r}, but must be (layers, magnitude) or None.")
    whole(f"{name}'s layers", value[0])
    whole(f"{name}'s magnitude", value[1], least=0)
    if value[1] > 30:
        raise ValueError(f"{name}'s magnitude is {value[1]}, but must be at most 30.")


_positive = _number("must be a number above 0", lambda value: 0 < value < math.inf)
_not_negative = _number("must be a number of at least 0", lambda value: 0 <= value < math.inf)
_chance = _number("is a chance: from 0 (never) to 1 (always)", lambda value: 0 <= value <= 1)
_between = _number("must be above 0 and below 1; None switches it off", lambda value: 0 < value < 1)


def _field(default: object, check: Check | None, meaning: str) -> object:
    """check: None where ViViTConfig checks it, when the recipe makes its configuration."""
    return dataclasses.field(default=default, metadata={"check": check, "meaning": meaning})


@takes_plain
@dataclass(frozen=True, kw_only=True, repr=False)
class Recipe:
    """How a model is trained; checked when it is made, immutable after, and printed as a table.

    The defaults are the paper's for Kinetics-400, Model 2. The model that `fit` is given may have
    any size; model, size, temporal_depth and classes only say which one the recipe was made for.
    init says where the command `finetune` takes the weights from; `fit` starts from those it gets.
    Raises ValueError or TypeError for an illegal field, or fields that contradict each other.

    Source: paper section 4.1 and its table of hyperparameters; the official configurations.

    Example:
        >>> recipe = Recipe(lr=0.1, lr_batch=64, batch=16)
        >>> recipe.peak_lr
        0.025
    """

    name: str = _field("custom", _text, "what the run folder and the tables call it")
    model: str = _field("factorised_encoder", _options(*MODELS), "which of the paper's four")
    size: str = _field("B/16x2", None, "<size>/<patch>x<frames of a tubelet>, or 'tiny'")
    init: str | None = _field(None, _text, "image ViT, checkpoint, 'random', or None")
    temporal_depth: int | None = _field(None, None, "blocks of Model 2's temporal encoder")
    classes: int | Mapping[str, int] = _field(
        400, None, "or a number for each classifier; finetune counts"
    )

    frames: int = _field(32, whole, "frames in a clip")
    stride: int = _field(2, whole, "every stride-th frame of the video")
    crop: int = _field(224, whole, "pixels a side that the model sees")
    min_short_side: int = _field(256, whole, "pixels; also the size for testing")
    max_short_side: int = _field(320, whole, "pixels")
    scale: str = _field(
        "uniform", _options(*SCALES), "how the short side is drawn: see TrainTransform"
    )

    flip: float = _field(0.5, _chance, "chance of mirroring a clip")
    colour: float = _field(0.8, _chance, "chance of colour jitter")
    grey: float = _field(0.1, _chance, "chance of taking the colours out")
    rand_augment: tuple[int, int] | None = _field(None, _rand_augment, "(layers, magnitude)")
    mixup: float = _field(0.0, _not_negative, "alpha of Beta(alpha, alpha); 0 = off")
    label_smoothing: float = _field(0.0, fraction, "share of the target, spread over all classes")
    drop_path: float = _field(0.0, fraction, "stochastic depth, rate at the last block")

    optimiser: str = _field("sgd", _options("sgd", "adamw"), "'sgd' (with momentum) or 'adamw'")
    lr: float = _field(0.1, _positive, "highest learning rate, at lr_batch clips a step")
    lr_batch: int | None = _field(64, whole, "lr grows with batch / lr_batch; None: it stays")
    batch: int = _field(64, whole, "clips a step: all devices, all parts")
    epochs: int = _field(30, whole, "times through the training set")
    warmup_epochs: float = _field(
        2.5, _not_negative, "lr rises from 0; then it falls along a cosine"
    )
    patience: int | None = _field(None, whole, "so many epochs without a better validation end it")
    momentum: float | None = _field(None, fraction, "of sgd; None = 0.9")
    betas: tuple[float, float] | None = _field(None, _betas, "of adamw; None = (0.9, 0.999)")
    weight_decay: float = _field(
        0.0, _not_negative, "not on biases, norms, positions, class tokens"
    )
    layer_decay: float | None = _field(None, _between, "lr factor from a block to the one below")
    max_grad_norm: float | None = _field(
        1.0, _positive, "largest norm of the gradient, which is scaled down"
    )
    ema: float | None = _field(None, _between, "decay of a running mean of the weights, for tests")
    freeze: str | None = _field(
        None,
        _options("spatial_encoder", "all_but_head"),
        "'spatial_encoder', 'all_but_head', or None",
    )
    seed: int = _field(0, partial(whole, least=0), "of all random choices")

    accumulate: int = _field(1, whole, "parts of a batch, one after the other: less memory")
    precision: str = _field(
        "auto", _options(*PRECISIONS), "of matrix products; auto: bf16 or fp16 on an NVIDIA GPU"
    )
    checkpointing: bool = _field(False, _switch, "blocks are computed twice: far less memory")
    compile: bool = _field(False, _switch, "torch.compile: first minutes, then faster steps")

    notes: tuple[str, ...] = _field((), _notes, "differences between paper, official code and this")

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            check, may_be_none = field.metadata["check"], NoneType in get_args(field.type)
            if check and not (value is None and may_be_none):
                check(field.name, value)
        for name, owner in (("momentum", "sgd"), ("betas", "adamw")):
            value = getattr(self, name)
            if value is not None and self.optimiser != owner:
                raise ValueError(
                    f"{name} is {value!r}, but belongs to optimiser = {owner!r}; leave it None for "
                    f"{self.optimiser!r}."
                )
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs is {self.warmup_epochs:g}, but must be less than epochs = "
                f"{self.epochs}: the learning rate would never fall."
            )
        for name, least in (("min_short_side", "crop"), ("max_short_side", "min_short_side")):
            value, bound = getattr(self, name), getattr(self, least)
            if value < bound:
                raise ValueError(f"{name} is {value}, but must be at least {least} = {bound}.")
        if self.rand_augment and (self.colour or self.grey):
            raise ValueError(
                f"rand_augment is {self.rand_augment}, which replaces colour jitter, but "
                f"colour is {self.colour:g} and grey is {self.grey:g}: set colour=0, grey=0."
            )
        if self.freeze == "all_but_head" and self.layer_decay is not None:
            raise ValueError(
                f"layer_decay is {self.layer_decay:g}, but freeze = 'all_but_head' leaves no "
                "layers to decay over: leave it None."
            )
        patch = self.tubelet[1]
        if self.init in (None, "random"):  # else the patch is that of the image ViT or checkpoint
            check_crop(self.crop, patch, self.size)
        self.config(image_size=patch)  # it checks the rest

    # ---- making one

    @classmethod
    def preset(cls, name: str, **changes: object) -> "Recipe":
        """A named recipe, with any fields changed.

        Names: kinetics400_joint, kinetics400_factorised_encoder, kinetics400_large,
        kinetics600_large, moments_in_time_large, epic_kitchens_large,
        something_something_v2_large; small_data; cpu_small, cpu_tiny.

        Example:
            >>> Recipe.preset("epic_kitchens_large").mixup
            0.1
        """
        one_of("preset", name, PRESETS)
        return cls(name=name, **PRESETS[name]).change(**changes)

    def change(self, **fields: object) -> "Recipe":
        """The same recipe with other values for some fields.

        Example:
            >>> Recipe().change(bacth=8)
            Traceback (most recent call last):
            ValueError: field of Recipe is 'bacth', which is not one of 'name', 'model', ...
        """
        return dataclasses.replace(self, **_checked_names(fields))

    @classmethod
    def load(cls, file: str | os.PathLike) -> "Recipe":
        """Read what `save` wrote, or what was written by hand: fields left out have their defaults.

        Raises FileNotFoundError; ValueError or TypeError for no legal recipe.
        """
        return cls.from_dict(read_json(file))

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> "Recipe":
        """The recipe that `to_dict` described; an older one with `bf16` too, with a warning."""
        return cls(**_checked_names(fields))

    def to_dict(self) -> dict[str, object]:
        """All fields, as JSON can hold them."""
        return dataclasses.asdict(self)

    def result_fields(self) -> dict[str, object]:
        """The fields that decide what comes out beyond rounding: all but names, notes and means."""
        aside = {"name", "notes"} | {name for group, name, *_ in self.rows() if group == MEANS}
        return {name: value for name, value in self.to_dict().items() if name not in aside}

    def save(self, file: str | os.PathLike) -> None:
        """Write all fields as JSON, to be read by `load`, or changed by hand."""
        write_atomically(file, json.dumps(self.to_dict(), indent=1) + "\n")

    # ---- what follows from it

    @property
    def tubelet(self) -> tuple[int, int, int]:
        """(t, h, w) of size; an image ViT or a checkpoint brings its own h and w."""
        found = re.search(r"/0*([1-9]\d*)x0*([1-9]\d*)$", self.size)
        return (int(found[2]), *2 * (int(found[1]),)) if found else TINY["tubelet"]

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
        from vivit_lab.video.sampling import ByFrame

        return ByFrame(clip_frames=self.frames, stride=self.stride)

    def train_transform(self, class_names: ClassNames | None = None):
        """Which pixels in training: the `TrainTransform` for a ClipDataset.

        class_names: with them a mirrored clip of "left to right" becomes one of "right to left".
        Raises ValueError for a name with left or right in it, and no partner, unless flip is 0.
        """
        from vivit_lab.video import TrainTransform, flip_pairs

        mirrored = flip_pairs(class_names) if class_names and self.flip else None
        names = ("crop", "min_short_side", "max_short_side", "scale", "flip", "colour", "grey")
        fields = {name: getattr(self, name) for name in (*names, "rand_augment")}
        return TrainTransform(**fields, flip_labels=mirrored)

    def test_transform(self, crops: int = 3):
        """Which pixels in testing: the `TestTransform` for a ViewDataset."""
        from vivit_lab.video import TestTransform

        return TestTransform(crop=self.crop, short_side=self.min_short_side, crops=crops)

    # ---- showing it

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(group, field, value, meaning) of every field but the notes."""
        found, group = [], ""
        for field in dataclasses.fields(self):
            group = GROUPS.get(field.name, group)
            shown = _shown(getattr(self, field.name))
            found.append((group, field.name, shown, field.metadata["meaning"]))
        return found[:-1]

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
            >>> Recipe().difference(Recipe(name="the same"))
            'No field differs.'
        """
        lines = [f"  {'':15} {self.name:22} {other.name}"]
        for (_, name, mine, _), (_, _, theirs, _) in zip(self.rows(), other.rows(), strict=True):
            if name != "name" and mine != theirs:
                lines.append(f"  {name:15} {mine:22} {theirs}")
        return "\n".join(lines) if len(lines) > 1 else "No field differs."


def check_crop(crop: int, patch: int, of: str) -> None:
    """Raise ValueError unless patches of so many pixels a side fill a crop."""
    if crop % patch:
        below = crop // patch * patch or patch
        raise ValueError(
            f"crop is {crop}, but must be a multiple of the {patch} pixels of a patch of {of}: the "
            f"nearest is {below} or {below + patch}."
        )


def _checked_names(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields, all of which exist; `bf16`, which was one, becomes `precision`."""
    fields = dict(fields)
    if "bf16" in fields:
        _switch("bf16", was := fields.pop("bf16"))
        fields["precision"] = "bf16" if was else "float32"
        said = f"bf16 is called precision now: {was} was read as {fields['precision']!r}."
        warnings.warn(said, stacklevel=3)
    for name in fields:
        one_of("field of Recipe", name, [field.name for field in dataclasses.fields(Recipe)])
    return fields


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{head} {count}" for head, count in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)

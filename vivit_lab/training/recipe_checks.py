"""What makes a recipe illegal: values out of range, and fields that contradict each other."""

from typing import TYPE_CHECKING

from vivit_lab.errors import divisors, fraction, nearest, one_of, whole
from vivit_lab.models import MODELS

if TYPE_CHECKING:
    from vivit_lab.training.recipe import Recipe

OPTIMISERS = ("sgd", "adamw")
FREEZE = ("spatial_encoder", "all_but_head")
SCALES = ("uniform", "inverse", "stretch", "area")  # of TrainTransform
WHOLE = ("frames", "stride", "crop", "min_short_side", "max_short_side", "batch", "epochs")
SWITCHES = ("bf16", "checkpointing", "compile")


def check_recipe(recipe: "Recipe") -> None:
    """Raise unless every field is legal by itself and together with the others.

    Raises:
        ValueError, TypeError: naming the field, the rule, and what to do.

    Example:
        >>> from vivit_lab.training import Recipe
        >>> Recipe(optimiser="adamw", lr=1e-4, momentum=0.9)
        Traceback (most recent call last):
        ValueError: momentum is 0.9, but belongs to optimiser = 'sgd'; leave it None for 'adamw'.
    """
    _check_values(recipe)
    _check_optimiser(recipe)
    _check_schedule(recipe)
    _check_augmentation(recipe)
    _check_freezing(recipe)


def _check_values(recipe: "Recipe") -> None:
    if not isinstance(recipe.name, str) or not recipe.name:
        raise TypeError(f"name is {recipe.name!r}, but must be a text.")
    if not all(isinstance(note, str) for note in recipe.notes):
        raise TypeError(f"notes is {recipe.notes!r}, but must be texts.")
    one_of("model", recipe.model, MODELS)
    one_of("scale", recipe.scale, SCALES)
    for name in WHOLE:
        whole(name, getattr(recipe, name))
    whole("accumulate", recipe.accumulate)
    whole("seed", recipe.seed, least=0)
    for name in ("label_smoothing", "drop_path"):
        fraction(name, getattr(recipe, name))
    for name in ("lr", "max_grad_norm"):
        _above_zero(name, getattr(recipe, name), optional=name == "max_grad_norm")
    for name in ("mixup", "weight_decay", "warmup_epochs"):
        value = getattr(recipe, name)
        if not _number(value) or not 0 <= value < float("inf"):
            raise ValueError(f"{name} is {value!r}, but must be a number of at least 0.")
    for name in ("flip", "colour", "grey"):
        value = getattr(recipe, name)
        if not _number(value) or not 0 <= value <= 1:
            raise ValueError(f"{name} is {value!r}, but is a chance: from 0 (never) to 1 (always).")
    for name in SWITCHES:
        if not isinstance(getattr(recipe, name), bool):
            raise TypeError(f"{name} is {getattr(recipe, name)!r}, but must be True or False.")
    for name in ("ema", "layer_decay"):
        value = getattr(recipe, name)
        if value is not None and not (_number(value) and 0 < value < 1):
            example = 0.999 if name == "ema" else 0.75
            raise ValueError(
                f"{name} is {value!r}, but must be above 0 and below 1, for example {example}; "
                "None switches it off."
            )


def _check_optimiser(recipe: "Recipe") -> None:
    one_of("optimiser", recipe.optimiser, OPTIMISERS)
    for name, owner in (("momentum", "sgd"), ("betas", "adamw")):
        value = getattr(recipe, name)
        if value is not None and recipe.optimiser != owner:
            raise ValueError(
                f"{name} is {value!r}, but belongs to optimiser = {owner!r}; leave it None for "
                f"{recipe.optimiser!r}."
            )
    if recipe.momentum is not None:
        fraction("momentum", recipe.momentum)
    if recipe.betas is not None:
        if not isinstance(recipe.betas, tuple) or len(recipe.betas) != 2:
            raise TypeError(f"betas is {recipe.betas!r}, but must be two numbers: (0.9, 0.999).")
        for value in recipe.betas:
            fraction("betas", value)


def _check_schedule(recipe: "Recipe") -> None:
    if recipe.warmup_epochs >= recipe.epochs:
        raise ValueError(
            f"warmup_epochs is {recipe.warmup_epochs:g}, but must be less than epochs = "
            f"{recipe.epochs}: the learning rate would never come down."
        )
    if recipe.lr_batch is not None:
        whole("lr_batch", recipe.lr_batch)
    if recipe.batch % recipe.accumulate:
        legal = nearest(recipe.accumulate, divisors(recipe.batch))
        raise ValueError(
            f"accumulate is {recipe.accumulate}, but must divide batch = {recipe.batch}; the "
            f"nearest number that does is {legal}."
        )


def _check_augmentation(recipe: "Recipe") -> None:
    if recipe.min_short_side < recipe.crop:
        raise ValueError(
            f"min_short_side is {recipe.min_short_side}, but must be at least crop = {recipe.crop}."
        )
    if recipe.max_short_side < recipe.min_short_side:
        raise ValueError(
            f"max_short_side is {recipe.max_short_side}, but must be at least min_short_side = "
            f"{recipe.min_short_side}."
        )
    setting = recipe.rand_augment
    if setting is None:
        return
    if not isinstance(setting, tuple) or len(setting) != 2:
        raise TypeError(f"rand_augment is {setting!r}, but must be (layers, magnitude) or None.")
    whole("rand_augment's layers", setting[0])
    whole("rand_augment's magnitude", setting[1], least=0)
    if setting[1] > 30:
        raise ValueError(f"rand_augment's magnitude is {setting[1]}, but must be at most 30.")
    if recipe.colour or recipe.grey:
        raise ValueError(
            f"rand_augment is {setting}, which takes the place of colour jitter, but colour is "
            f"{recipe.colour:g} and grey is {recipe.grey:g}: set colour=0, grey=0."
        )


def _check_freezing(recipe: "Recipe") -> None:
    if recipe.freeze is None:
        return
    one_of("freeze", recipe.freeze, FREEZE)
    if recipe.freeze == "spatial_encoder" and recipe.model != "factorised_encoder":
        raise ValueError(
            "freeze is 'spatial_encoder', but only 'factorised_encoder' has one by itself; in "
            f"{recipe.model!r} space and time take turns. 'all_but_head' is for any model."
        )
    if recipe.freeze == "spatial_encoder" and recipe.temporal_depth == 0:
        raise ValueError(
            "freeze is 'spatial_encoder', but with temporal_depth = 0 only the head is left to "
            "learn: say 'all_but_head'."
        )
    if recipe.freeze == "all_but_head" and recipe.layer_decay is not None:
        raise ValueError(
            f"layer_decay is {recipe.layer_decay:g}, but freeze = 'all_but_head' leaves no layers "
            "to decay over: leave it None."
        )


def _above_zero(name: str, value: object, optional: bool) -> None:
    if value is None and optional:
        return
    if not _number(value) or not 0 < value < float("inf"):
        off = "; None switches it off" if optional else ""
        raise ValueError(f"{name} is {value!r}, but must be a number above 0{off}.")


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

"""What would go wrong in an hour, found before the first step: data that does not fit the model."""

from collections.abc import Mapping, Sequence
from itertools import islice

import torch
from torch.utils.data import Dataset, IterableDataset

from vivit_lab.data.dataset import ViewDataset
from vivit_lab.models import ViViT
from vivit_lab.training.recipe import Recipe

LISTED = 100_000  # labels of a catalogue that are looked at


def class_names_of(dataset: Dataset) -> list[str] | dict[str, list[str]] | None:
    """The names of a data set's classes in the order of their labels, if it knows them.

    Example:
        >>> from vivit_lab.data import ArrowOfTime
        >>> len(class_names_of(ArrowOfTime()))
        8
    """
    source = getattr(dataset, "catalog", dataset)
    names = getattr(source, "class_names", None) or getattr(source, "classes", None)
    if isinstance(names, Mapping):
        return {head: list(each) for head, each in names.items()}
    return None if names is None else list(names)


def check_data(model: ViViT, dataset: Dataset, which: str) -> None:
    """Raise unless the clips and labels of a data set fit the model.

    which: "training" or "validation", for the message.

    Raises:
        ValueError, TypeError: an empty set; one class; another number of classes or other names
            than the model's; labels that are missing, out of range or for other heads; clips of
            another shape.

    Example:
        >>> from vivit_lab import build_model
        >>> from vivit_lab.data import ArrowOfTime
        >>> model = build_model(Recipe.preset("cpu_tiny").config(num_classes=5))
        >>> check_data(model, ArrowOfTime(frames=8), "training")
        Traceback (most recent call last):
        ValueError: The training set has 8 classes, but the model has 5.
    """
    what = f"The {which} set"
    _check_classes(model, class_names_of(dataset), what)
    if isinstance(dataset, IterableDataset):
        return  # its first batch will tell
    if not len(dataset):
        raise ValueError(f"{what} is empty.")
    if which == "training" and isinstance(dataset, ViewDataset):
        raise TypeError(f"{what} is a ViewDataset, which is for testing: take a ClipDataset.")
    catalog = getattr(dataset, "catalog", None)
    if catalog is not None:
        labels = [segment.label for segment in islice(catalog, LISTED)]
        for number, label in enumerate(labels):
            _check_label(model, label, f"{what}: the label of {catalog[number].path}")
        _check_variety(labels, what)
        shape = None  # its first clip will tell
        if hasattr(dataset, "sampling") and hasattr(dataset, "transform"):
            side = dataset.transform.crop
            shape = (dataset.sampling.clip_frames, 3, side, side)
    else:
        clip, label = dataset[0]
        _check_label(model, label, f"{what}: the label of its first clip")
        shape = tuple(clip.shape[-4:])
        if clip.dtype != torch.uint8:
            raise TypeError(
                f"{what} has clips of {clip.dtype}, but must have uint8 pixels, 0 to 255: the "
                "loader normalises them."
            )
    if shape not in (None, model.config.clip_shape):
        raise ValueError(
            f"{what} has clips (T, C, H, W) = {shape}, but the model was built for "
            f"{model.config.clip_shape}."
        )


def check_recipe_fits(
    model: ViViT, recipe: Recipe, steps_per_epoch: int, samples: int | None
) -> None:
    """Raise ValueError if model and recipe contradict each other, or the batch is never full.

    steps_per_epoch: with a full batch. samples: in the training set; None: unknown.

    Example:
        >>> from vivit_lab import build_model
        >>> recipe = Recipe.preset("cpu_tiny", batch=64)
        >>> check_recipe_fits(build_model(recipe.config()), recipe, 0, samples=20)
        Traceback (most recent call last):
        ValueError: The training set has 20 clips, too few for a batch of 64: set batch=20 or less.
    """
    config = model.config
    if config.drop_path != recipe.drop_path:
        raise ValueError(
            f"The recipe has drop_path = {recipe.drop_path:g}, but the model was built with "
            f"{config.drop_path:g}. Build it with recipe.config(), or load it with drop_path="
            f"{recipe.drop_path:g}; or change the recipe."
        )
    if recipe.freeze == "spatial_encoder" and not config.temporal_depth:
        raise ValueError(
            "freeze is 'spatial_encoder', but the model has no temporal encoder of its own: "
            f"it is {config.model!r} with temporal_depth = {config.temporal_depth}."
        )
    if not steps_per_epoch:
        have = "The training set" if samples is None else f"The training set has {samples} clips,"
        hint = "" if samples is None else f": set batch={samples} or less"
        raise ValueError(f"{have} too few for a batch of {recipe.batch}{hint}.")


def _check_classes(model: ViViT, names: object, what: str) -> None:
    have = _by_head(model.config.num_classes)
    for head, count in have.items():
        if count < 2:
            raise ValueError(
                f"The model has one class{_of(head)}: there is nothing to tell apart. A "
                "classifier needs at least two."
            )
    if names is None:
        return
    given = _by_head(names)
    if set(given) != set(have):
        raise ValueError(f"{what} has the heads {_heads(given)}, but the model has {_heads(have)}.")
    known = _by_head(model.class_names) if model.class_names is not None else {}
    for head, of_head in given.items():
        if len(of_head) < 2:
            raise ValueError(f"{what} has one class{_of(head)}: there is nothing to tell apart.")
        if len(of_head) != have[head]:
            raise ValueError(
                f"{what} has {len(of_head)} classes{_of(head)}, but the model has {have[head]}."
            )
        for label, (here, there) in enumerate(zip(of_head, known.get(head, of_head), strict=True)):
            if here != there:
                raise ValueError(
                    f"{what} calls class {label}{_of(head)} {here!r}, but the model calls it "
                    f"{there!r}. Read it with the model's names (classes=...), or let the model "
                    "forget them: model.class_names = None."
                )


def _check_label(model: ViViT, label: object, what: str) -> None:
    if label is None:
        raise ValueError(f"{what} is missing: nothing can be learnt from it.")
    counts = model.config.num_classes
    if isinstance(label, Mapping) != isinstance(counts, Mapping):
        raise TypeError(
            f"{what} is {label!r}, but the model has the heads {_heads(_by_head(counts))}."
        )
    given = _by_head(label)
    if set(given) != set(_by_head(counts)):
        raise ValueError(
            f"{what} has the heads {_heads(given)}, but the model has {_heads(_by_head(counts))}."
        )
    for head, value in given.items():
        count = _by_head(counts)[head]
        if not 0 <= value < count:
            raise ValueError(
                f"{what} is {value}{_of(head)}, but the model has classes 0 to {count - 1}."
            )


def _check_variety(labels: Sequence, what: str) -> None:
    for head in _by_head(labels[0]):
        seen = {_by_head(label)[head] for label in labels}
        if len(seen) == 1 and len(labels) > 1:
            raise ValueError(
                f"{what} holds clips of one class only{_of(head)} ({seen.pop()}): there is nothing "
                "to tell apart."
            )


def _by_head(value: object) -> dict:
    return dict(value) if isinstance(value, Mapping) else {"": value}


def _of(head: str) -> str:
    return f" of head {head!r}" if head else ""


def _heads(by_head: Mapping) -> str:
    return ", ".join(repr(head) for head in by_head) if "" not in by_head else "(none by name)"

"""What `finetune` makes of its arguments: data sets, and the model that training starts from."""

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch.utils.data import Dataset

from vivit_lab.data.catalog import Catalog
from vivit_lab.data.dataset import ClipDataset, ViewDataset
from vivit_lab.models import ViViT, build_model
from vivit_lab.training.arguments import check_rendered, checkpoint_in, open_data, sampling
from vivit_lab.training.data_checks import class_names_of
from vivit_lab.training.recipe import ClassNames, Recipe
from vivit_lab.weights import (
    ImageViT,
    LoadReport,
    adapt,
    inflate,
    load_checkpoint,
    load_timm,
    small_image_vit,
)

VALIDATION_CLIPS, VALIDATION_SEED = 512, 10_001  # of rendered clips; `evaluate` has others


def data_sets(arguments: argparse.Namespace, recipe: Recipe) -> tuple[Dataset, Dataset | None]:
    """The training set and the validation set, if there is one, of the options.

    Validation looks at the centre view of each video; `evaluate` looks at all twelve.

    Raises FileNotFoundError, AnnotationError or ValueError, each with what to do about it.
    """
    options = {"config": recipe.config(), "seed": recipe.seed}
    train = open_data(arguments.data, arguments, clips=arguments.clips, **options)
    names = class_names_of(train)
    name = arguments.validation
    if name is None and isinstance(train, Dataset):
        name = arguments.data  # rendered: other clips of the same kind
    validation = None
    if name is not None:
        options["seed"] = VALIDATION_SEED
        validation = open_data(
            name, arguments, class_names=names, clips=VALIDATION_CLIPS, **options
        )
    train = _clips(arguments, recipe, train, training=True)
    if validation is not None:
        validation = _clips(arguments, recipe, validation, training=False)
    return train, validation


def start_model(
    arguments: argparse.Namespace, recipe: Recipe, train: Dataset
) -> tuple[ViViT, LoadReport | None]:
    """The model that training starts from, and what became of the weights that it was given.

    Raises WeightsError, FileNotFoundError or ValueError: what --init names is not there, or does
    not fit the recipe.
    """
    names = class_names_of(train)
    classes = recipe.classes if names is None else _count(names)
    torch.manual_seed(recipe.seed)
    if arguments.init == "random":
        model, report = build_model(recipe.config(num_classes=classes)), None
    elif Path(arguments.init).exists():
        model, report = _from_checkpoint(arguments.init, recipe, names, classes)
    else:
        source = _image_vit(arguments)
        config = recipe.config(num_classes=classes)
        model = build_model(
            source.config(
                model=config.model,
                frames=config.frames,
                image_size=config.image_size,
                tubelet=(config.tubelet[0], *source.patch),
                temporal_depth=config.temporal_depth,
                num_classes=classes,
                drop_path=config.drop_path,
            )
        )
        report = inflate(model, source, tubelet=arguments.tubelet)
    model.class_names = names
    return model, report


def _image_vit(arguments: argparse.Namespace) -> ImageViT:
    if arguments.init != "small_image_vit":
        return load_timm(arguments.init, arguments.file)
    if arguments.file is not None:
        raise ValueError(
            f"--init small_image_vit has its own weights: leave out --file {arguments.file}."
        )
    return small_image_vit()


def _from_checkpoint(
    file: str, recipe: Recipe, names: ClassNames | None, classes: int | Mapping[str, int]
) -> tuple[ViViT, LoadReport]:
    """The model of a checkpoint, for the recipe's clips; its head stays if its classes do."""
    source, _ = load_checkpoint(checkpoint_in(Path(file)))
    wanted = recipe.config(num_classes=classes)
    config = dataclasses.replace(
        source.config,
        frames=wanted.frames,
        image_size=wanted.image_size,
        num_classes=classes,
        drop_path=wanted.drop_path,
    )
    model = build_model(config)
    model.class_names = names
    return model, dataclasses.replace(adapt(model, source), source=str(file))


def _count(names: ClassNames) -> int | dict[str, int]:
    if isinstance(names, Mapping):
        return {head: len(each) for head, each in names.items()}
    return len(names)


def _clips(
    arguments: argparse.Namespace, recipe: Recipe, data: Dataset | Catalog, training: bool
) -> Dataset:
    """Clips of a catalogue; rendered ones are clips already."""
    if isinstance(data, Dataset):
        check_rendered(arguments, ("stride", "fps", "segments"))
        return data
    frames = recipe.sampling()
    if arguments.segments or arguments.fps is not None or arguments.stride is not None:
        frames = sampling(arguments, recipe.frames)
    if training:
        transform = recipe.train_transform(data.class_names)
        bad = arguments.max_bad
        return ClipDataset(data, frames, transform, seed=recipe.seed, max_bad=bad)
    views = recipe.test_transform(crops=1)
    return ViewDataset(data, frames, clips=1, transform=views, bad="leave_out")

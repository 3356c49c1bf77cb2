"""From a model, data and a recipe to the first step: checked, placed, frozen, wrapped."""

import contextlib
from collections.abc import Iterator

import torch
from accelerate import Accelerator
from timm.utils import ModelEmaV3
from torch import nn
from torch.utils.data import Dataset

from vivit_lab.data.loader import ClipLoader
from vivit_lab.models import ViViT
from vivit_lab.training.data_checks import check_data, check_recipe_fits, class_names_of
from vivit_lab.training.memory import available_bytes, what_would_fit
from vivit_lab.training.optimiser import build_optimiser, freeze
from vivit_lab.training.recipe import Recipe
from vivit_lab.training.state import Training
from vivit_lab.training.trouble import TrainingError, is_out_of_memory


@contextlib.contextmanager
def started(
    model: ViViT,
    train: Dataset,
    validation: Dataset | None,
    recipe: Recipe,
    accelerator: Accelerator,
    workers: int,
) -> Iterator[tuple[Training, nn.Module]]:
    """Everything ready for the first step; afterwards the model is an ordinary one again.

    Gives the Training, and the model as Accelerate wraps it (for several devices), compiled if the
    recipe says so. Inside, running out of memory becomes a message that says what would fit.

    Raises:
        ValueError, TypeError: data, model and recipe do not fit together.
    """
    check_data(model, train, "training")
    if validation is not None:
        check_data(model, validation, "validation")
    loader = open_loader(train, recipe, accelerator, workers)
    samples = len(train) if hasattr(train, "__len__") else None
    steps_per_epoch = len(loader) // recipe.accumulate
    if samples is not None:  # as many on several devices as on one
        steps_per_epoch = min(steps_per_epoch, samples // recipe.batch)
    check_recipe_fits(model, recipe, steps_per_epoch, samples)
    model.class_names = model.class_names or class_names_of(train)
    checkpointed = model.grad_checkpointing
    gpus = [accelerator.device] if accelerator.device.type == "cuda" else []
    with contextlib.ExitStack() as at_the_end:
        at_the_end.enter_context(torch.random.fork_rng(gpus))  # yours stay as they were
        at_the_end.callback(loader.close)
        model.to(accelerator.device).train()
        at_the_end.callback(model.eval)
        frozen = freeze(model, recipe.freeze)
        at_the_end.callback(lambda: [parameter.requires_grad_(True) for parameter in frozen])
        model.set_grad_checkpointing(recipe.checkpointing)
        at_the_end.callback(model.set_grad_checkpointing, checkpointed)
        if recipe.compile:
            model.compile()
            at_the_end.callback(setattr, model, "_compiled_call_impl", None)
        wrapped = accelerator.prepare(model)  # several devices: all start with the first one's
        ema = ModelEmaV3(model, recipe.ema, use_warmup=True) if recipe.ema else None
        optimiser = build_optimiser(model, recipe)
        at_the_end.callback(optimiser.zero_grad)
        try:
            yield Training(recipe, model, optimiser, ema, loader, steps_per_epoch), wrapped
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            available = available_bytes(accelerator.device)
            raise TrainingError(
                what_would_fit(model, recipe, accelerator.num_processes, available)
            ) from error


def open_loader(
    train: Dataset, recipe: Recipe, accelerator: Accelerator, workers: int
) -> ClipLoader:
    """Microbatches of this process: its share of the total batch, in `accumulate` parts.

    Raises ValueError if the batch cannot be shared out equally, or clips are left alone that mixup
    is to mix.
    """
    parts = accelerator.num_processes * recipe.accumulate
    cut = f"{accelerator.num_processes} devices and accumulate = {recipe.accumulate} cut it into"
    if recipe.batch % parts:
        least = max(recipe.batch // parts, 1) * parts
        more = -(-recipe.batch // parts) * parts
        legal = f"{least} would do" if least == more else f"{least} or {more} would do"
        raise ValueError(f"batch is {recipe.batch}, but {cut} {parts} equal parts; {legal}.")
    if recipe.mixup and recipe.batch == parts:
        raise ValueError(
            f"mixup is {recipe.mixup:g}, but batch is {recipe.batch}, and {cut} parts of one clip: "
            f"there is nothing to mix it with. Set mixup=0, or batch={2 * parts} or more."
        )
    streams = isinstance(train, torch.utils.data.IterableDataset)
    return ClipLoader(
        train,
        batch_size=recipe.batch // parts,
        workers=workers,
        shuffle=not streams,  # shards shuffle by themselves
        seed=recipe.seed,
        drop_last=True,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
    )

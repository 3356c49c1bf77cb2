"""`fit`: the training loop, on a CPU, a GPU, several GPUs, or several machines."""

import contextlib
import math
from collections.abc import Iterator

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import Dataset

from vivit_lab.data.loader import Batch
from vivit_lab.errors import whole
from vivit_lab.models import ViViT
from vivit_lab.training.devices import agree, open_accelerator, seed_step
from vivit_lab.training.journal import Callback, Journal
from vivit_lab.training.mixing import in_range, loss_of, mixup
from vivit_lab.training.optimiser import set_learning_rate
from vivit_lab.training.recipe import Recipe
from vivit_lab.training.run_folder import Run, RunFolder
from vivit_lab.training.starting import started
from vivit_lab.training.state import Taken, Training
from vivit_lab.training.trouble import check_labels, check_step, smoothed
from vivit_lab.training.validating import validate


def fit(
    model: ViViT,
    train: Dataset,
    validation: Dataset | None = None,
    *,
    recipe: Recipe,
    folder: str,
    callback: Callback | None = None,
    resume: bool = False,
    device: str = "auto",
    workers: int = 0,
    save_every: int = 500,
    keep: int = 2,
    tensorboard: bool = False,
    progress: bool = True,
) -> Run:
    """Train a model by a recipe.

    The same call runs under `accelerate launch`, one process a GPU, which share `recipe.batch`.

    Args:
        model: its weights are trained in place; it is left in evaluation mode.
        train: clips and labels: ClipDataset, ShardDataset, ArrowOfTime, any data set of (uint8
            (T,C,H,W), int or {head: int}).
        validation: for `evaluate` after each epoch, and to know the best: ViewDataset or the like.
        folder: of this run, for log and checkpoints (`RunFolder` lists them); must be new.
        callback: called with a `Moment` after each step and each epoch, in the first process.
        resume: go on from the last saved state in the folder; begin if there is none.
        device: "auto", "cpu", "cuda" or "mps".
        workers: processes that read clips, for each device.
        save_every: steps from one saved state to the next; one is saved after each epoch, too.
        keep: of how many last epochs the weights are kept, beside the best.
        tensorboard: log for TensorBoard, too.

    Returns:
        The trained model (the averaged weights if the recipe has `ema`), and each epoch's figures.

    Raises:
        ValueError, TypeError: data, model and recipe do not fit together.
        FileExistsError: the folder holds a run, and resume is False.
        TrainingError: NaN, divergence, no memory, no room on the disk. What was saved is sound.

    Source: paper section 4.1; the steps are those of the official trainer.

    Example:
        >>> import tempfile
        >>> from vivit_lab import build_model
        >>> from vivit_lab.data import ArrowOfTime
        >>> recipe = Recipe.preset("cpu_tiny", batch=4, epochs=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = fit(build_model(recipe.config()), ArrowOfTime(8, frames=8), recipe=recipe,
        ...               folder=f"{folder}/run", device="cpu", progress=False)
        >>> run.steps
        4
    """
    whole("save_every", save_every)
    whole("keep", keep)
    accelerator = open_accelerator(device)
    main = accelerator.is_main_process
    files = RunFolder(folder, resume=resume or not main)
    with started(model, train, validation, recipe, accelerator, workers) as (training, wrapped):
        if resume and files.state.exists():
            training.load(files.state)
        if main:
            files.describe(training, accelerator, train, validation)
        journal = Journal(
            files if main else None,
            training,
            recipe.epochs * training.steps_per_epoch,
            tensorboard=tensorboard,
            progress=progress and main,
            callback=callback if main else None,
        )
        with journal:
            control = journal.control  # what the callback changes
            while training.epoch < recipe.epochs and not control.stop:
                batches = training.loader.on(accelerator.device)
                end = (training.epoch + 1) * training.steps_per_epoch
                while training.step < end and not control.stop:
                    journal.start_clock()
                    journal.step(train_step(training, wrapped, batches, accelerator))
                    agree(accelerator, training, control, callback)
                    validates = training.step == end and validation is not None
                    if main and (control.stop or validates or training.step % save_every == 0):
                        files.save(training)  # so an error in the validation costs no epoch
                if training.step < end:
                    break
                mean = training.end_epoch()
                figures = validate(training, validation, workers)
                is_best = training.note(mean, figures)
                journal.epoch(mean, figures)
                agree(accelerator, training, control, callback)
                if main:
                    files.save_epoch(training, keep, is_best)
                    files.save(training)
                accelerator.wait_for_everyone()
    stopped = training.epoch < recipe.epochs
    return Run(files.path, training.result, training.step, training.history, stopped)


def train_step(
    training: Training,
    wrapped: nn.Module,
    batches: Iterator[Batch],
    accelerator: Accelerator,
) -> Taken:
    """Take one step of the optimiser, over `recipe.accumulate` microbatches.

    wrapped: the model as Accelerate prepared it. batches: microbatches of this process, float
    (B,T,C,H,W). Returns loss and accuracy (means over all clips of all devices).

    Raises:
        TrainingError: NaN, divergence, labels out of range; the weights are those of before.
    """
    recipe, model, optimiser = training.recipe, training.model, training.optimiser
    seed_step(recipe.seed, training.step, accelerator.process_index, accelerator.device)
    rate = training.learning_rate()
    set_learning_rate(optimiser, rate)

    seen, figures = [], torch.zeros(3, device=accelerator.device)
    for i in range(recipe.accumulate):
        clips, labels, numbers = next(batches)
        safe_labels, wrong = in_range(labels, model.config.num_classes)
        seen.append(Batch(None, labels, numbers))
        mixed = mixup(clips, safe_labels, recipe.mixup)
        waits = i + 1 < recipe.accumulate  # gradients of all devices meet at the last microbatch
        with accelerator.no_sync(wrapped) if waits else contextlib.nullcontext():
            with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=recipe.bf16):
                logits = wrapped(mixed.clips)
            loss, accuracy = loss_of(logits, mixed, recipe.label_smoothing)
            accelerator.backward(loss / recipe.accumulate)
        figures += torch.stack([loss.detach(), accuracy, wrong]) / recipe.accumulate
    norm = nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm or math.inf)
    figures = accelerator.reduce(figures, "mean")
    loss, accuracy, wrong, norm = torch.cat([figures, norm[None]]).tolist()  # waits for the GPU

    if wrong:
        check_labels(seen, model.config.num_classes, training.step + 1)
    training.average = smoothed(training.average, loss)
    training.first = loss if training.first is None else training.first
    check_step(training, rate, loss, norm)
    optimiser.step()
    optimiser.zero_grad()
    if training.ema is not None:
        training.ema.update(model, step=training.step + 1)
    return training.count(Taken(loss, accuracy, rate, norm))

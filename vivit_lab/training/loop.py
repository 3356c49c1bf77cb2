"""`fit`: the training loop, on a CPU, a GPU, several GPUs, or several machines."""

import contextlib
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from timm.utils import ModelEmaV3
from torch import nn
from torch.utils.data import Dataset, IterableDataset
from tqdm import tqdm

from vivit_lab.data.loader import Batch, ClipLoader
from vivit_lab.errors import whole
from vivit_lab.models import ViViT
from vivit_lab.training import optim
from vivit_lab.training.evaluation import evaluate, reader_of
from vivit_lab.training.recipe import Recipe
from vivit_lab.training.run import FinishedWarning, Run, RunFolder, TrainingError, TrainingState
from vivit_lab.training.sanity import (
    check_data,
    check_memory,
    check_recipe_fits,
    class_names_of,
    is_out_of_memory,
    lets_go,
    of_head,
    what_would_fit,
)
from vivit_lab.video.preprocessing import SAMPLINGS, Preprocessing

DIVERGED = 4  # times the first loss, or that of answering every clip alike, on average
MEMORY = 0.9  # share of the past in that average
FIGURES = ("loss", "accuracy", "lr", "grad_norm")  # of a step; of an epoch their means


@dataclass
class Control:
    """What a callback may change. It may also wait: training then pauses until it returns."""

    lr_scale: float = 1.0  # factor on the recipe's learning rate, from the next step on
    stop: bool = False  # save everything, then end; `fit(..., resume=True)` goes on


@dataclass(frozen=True)
class Moment:
    """What a callback is told after each step, and once more after each epoch.

    Example:
        >>> def slow_down(moment: Moment) -> None:
        ...     if moment.loss < 0.1:
        ...         moment.control.lr_scale = 0.1
    """

    step: int  # steps taken, from 1
    steps: int  # in all
    epoch: int  # epochs complete
    epochs: int  # in all
    loss: float  # of this step; after an epoch the mean of its steps. Over all devices
    accuracy: float  # 0..1, of the training clips of this step, or epoch; several heads: all right
    lr: float  # of this step
    grad_norm: float  # before clipping
    clips_per_second: float  # over the last steps; saving, validation and callbacks not counted
    seconds_left: float  # to the last step, at this pace
    waited: float  # seconds of this epoch in which training waited for clips
    validation: dict | None  # after an epoch: accuracy and what else `evaluate` says; else None
    after_epoch: bool
    model: ViViT  # as it is now: to look at, not to change
    control: Control


Callback = Callable[[Moment], None]


@lets_go
def fit(
    model: ViViT,
    train: Dataset,
    validation: Dataset | None = None,
    *,
    recipe: Recipe,
    folder: str | Path,
    callback: Callback | None = None,
    resume: bool = False,
    balanced: bool = False,
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
        train: ClipDataset, ArrowOfTime, any data set of (uint8 (T,C,H,W), int or {head: int}).
        validation: for `evaluate` after each epoch, and to know the best: ViewDataset or the like.
        folder: of this run, for log and checkpoints (`run.py` lists them); must be new.
        callback: called with a `Moment` after each step and each epoch, in the first process.
        resume: go on from the last saved state in the folder; begin if there is none. A run that
            is finished is left as it is, with a FinishedWarning.
        balanced: draw from each class equally often, however many videos it has.
        device: "auto", "cpu", "cuda" or "mps".
        workers: processes that read clips, for each device.
        save_every: steps from one saved state to the next, beside those after epochs.
        keep: of how many last epochs the weights are kept, beside the best.
        tensorboard: log for TensorBoard, too, which must be installed.

    Raises:
        ValueError, TypeError: data, model and recipe do not fit together, or not into memory.
        FileExistsError: the folder holds a run, and resume is False; another process trains in it.
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
    accelerator = optim.open_accelerator(device)
    main = accelerator.is_main_process
    files = RunFolder(folder, resume=resume or not main)
    parts = (model, train, validation, recipe, accelerator, workers, balanced)
    held = files.held() if main else contextlib.nullcontext()
    with prepared(*parts) as (state, wrapped), held:
        if resume and files.state.exists():
            state.load(files.state)
            if main and state.finished:
                warnings.warn(
                    f"The run in {str(files.path)!r} is finished, after {state.epoch} epochs. For "
                    "more start a new run, in another folder, from its weights: --init "
                    f"{files.path} (in Python: load_checkpoint, then fit).",
                    FinishedWarning,
                    stacklevel=3,  # of who called `fit`, which is decorated
                )
        if main:
            place = {"device": accelerator.device, "processes": accelerator.num_processes}
            place["precision"] = optim.precision_on(accelerator.device, recipe.precision)
            files.describe(state, place, train=train, validation=validation)
            if not state.step:
                files.save(state)  # whatever happens from here on, the run can go on
        told = (files, callback, progress, tensorboard) if main else ()
        with contextlib.closing(Reporter(state, *told)) as reporter:
            control = reporter.control  # what the callback changes
            while not (state.finished or control.stop):
                batches = state.loader.on(accelerator.device)
                end = (state.epoch + 1) * state.steps_per_epoch
                while state.step < end and not control.stop:
                    begun = time.perf_counter()
                    figures = train_step(state, wrapped, batches, accelerator)
                    reporter.step(figures, time.perf_counter() - begun)
                    if callback is not None:
                        _agree(accelerator, state, control)
                    validates = state.step == end and validation is not None
                    if main and (control.stop or validates or state.step % save_every == 0):
                        files.save(state)  # so an error in the validation costs no epoch
                if state.step < end:
                    break
                state.epoch += 1
                state.loader.set_epoch(state.epoch)
                loss, accuracy, norm = (total / state.steps_per_epoch for total in state.sums)
                means = loss, accuracy, state.learning_rate(), norm
                entry = {"epoch": state.epoch} | dict(zip(FIGURES, means, strict=True))
                state.sums, begun = [0.0] * 3, time.perf_counter()
                if validation is not None:
                    with optim.autocast(accelerator.device, recipe.precision):
                        entry["validation"] = validate(state.result, validation, state.reader)
                if reasons := newly_unreadable(state, accelerator):
                    entry["unreadable"] = reasons
                state.history.append(entry)
                reporter.epoch(entry, time.perf_counter() - begun)
                if callback is not None:
                    _agree(accelerator, state, control)
                if main:
                    files.save_epoch(state, keep, validation is not None and not state.since_best)
                    files.save(state)
                accelerator.wait_for_everyone()
    return Run(files.path, state.result, state.step, state.history, not state.finished)


def train_step(
    state: TrainingState, wrapped: nn.Module, batches: Iterator[Batch], accelerator: Accelerator
) -> dict[str, float]:
    """Take one step of the optimiser, over `recipe.accumulate` microbatches.

    wrapped: the model as Accelerate prepared it. Returns FIGURES, means over all devices.
    TrainingError: NaN, divergence, labels out of range; the weights are those of before.
    """
    recipe, model, classes = state.recipe, state.model, state.model.config.num_classes
    seed_step(recipe.seed, state.step, accelerator.process_index, accelerator.device)
    rate = state.learning_rate()
    for group in state.optimiser.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)

    seen, totals = [], torch.zeros(3, device=accelerator.device)
    for i in range(recipe.accumulate):
        clips, given, numbers = next(batches)
        labels, wrong = optim.in_range(given, classes)
        seen.append((given, numbers))
        if model.preprocessing is not None:
            clips = model.preprocessing.rescale(clips)
        clips, share = optim.mixup(clips, recipe.mixup)
        waits = i + 1 < recipe.accumulate  # gradients of all devices meet at the last microbatch
        with accelerator.no_sync(wrapped) if waits else contextlib.nullcontext():
            with optim.autocast(accelerator.device, recipe.precision):
                logits = wrapped(clips)
            loss, accuracy = optim.loss_of(logits, labels, share, recipe.label_smoothing)
            accelerator.backward(state.scaler.scale(loss / recipe.accumulate))
        totals += torch.stack([loss.detach(), accuracy, wrong]) / recipe.accumulate
    state.scaler.unscale_(state.optimiser)
    norm = nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm or math.inf)
    totals = accelerator.reduce(totals, "mean")
    loss, accuracy, wrong, norm = torch.cat([totals, norm[None]]).tolist()  # waits for the GPU

    if wrong:
        raise wrong_label(seen, classes, state.step + 1)
    state.average = loss if state.average is None else MEMORY * state.average + (1 - MEMORY) * loss
    state.first = loss if state.first is None else state.first
    # Too large for float16: the scaler leaves the step out and takes a smaller scale, down to 1
    overflowed = not math.isfinite(norm) and state.scaler.get_scale() > 1
    counted = 0.0 if overflowed else norm
    check_step(state, rate, loss, counted)
    state.scaler.step(state.optimiser)
    state.scaler.update()
    state.optimiser.zero_grad()
    if state.ema is not None:
        state.ema.update(model, step=state.step + 1)
    state.step += 1
    state.sums = [a + b for a, b in zip(state.sums, (loss, accuracy, counted), strict=True)]
    return {"loss": loss, "accuracy": accuracy, "lr": rate, "grad_norm": norm}


def validate(model: ViViT, validation: Dataset, reader: ClipLoader) -> dict[str, float | int]:
    """Top-1 and top-5 accuracy (of verb and noun: of both right), and the loss: cross-entropy of
    single views, the mean of the heads, without label smoothing. The same in every process.
    """
    # Compiled, every new batch size and the missing gradients would cost minutes once more
    compiled, model._compiled_call_impl = model._compiled_call_impl, None
    try:
        result = evaluate(model, validation, workers=reader, progress=False)
    finally:
        model._compiled_call_impl = compiled
    figures = {"top1": result.top1, "top5": result.top5, "loss": result.loss}
    figures["videos"] = result.scores.videos
    if len(result.heads) > 1:
        figures |= {f"{head}_top1": each.top1 for head, each in result.heads.items()}
    return figures


def newly_unreadable(state: TrainingState, accelerator: Accelerator) -> list[str]:
    """Why files could not be used that no epoch before has named, on all devices."""
    loaders = [each for each in (state.loader, state.reader) if each is not None]
    found = [bad.reason for each in loaders for bad in each.bad]
    if accelerator.num_processes > 1:
        found = gather_object(found)
    known = {reason for entry in state.history for reason in entry.get("unreadable", ())}
    return [reason for reason in dict.fromkeys(found) if reason not in known]


def seed_step(seed: int, step: int, process: int, device: torch.device) -> None:
    """Make what this step draws (mixup, dropout, what is skipped) depend on these three alone.

    A run that was interrupted then draws the same in step 100 as one that was not.
    """
    words = np.random.SeedSequence((seed, step, process)).generate_state(2)
    number = int(words[0]) << 32 | int(words[1])
    if device.type == "cpu":
        torch.default_generator.manual_seed(number)  # a fifth of the time of the next line
    else:
        torch.manual_seed(number)


def _agree(accelerator: Accelerator, state: TrainingState, control: Control) -> None:
    """Do in all processes what the callback said in the first: new learning rate, or stop?"""
    if accelerator.num_processes > 1:
        said = broadcast_object_list([control.lr_scale, control.stop], from_process=0)
        control.lr_scale, control.stop = said
    state.lr_scale = control.lr_scale


# ---- what is checked in a step


def check_step(state: TrainingState, rate: float, loss: float, norm: float) -> None:
    """Raise TrainingError for what is no number, and for a loss far above where it began.

    A classifier that was trained for other labels begins far above chance: no divergence.
    """
    step, average = state.step + 1, state.average
    if not (math.isfinite(loss) and math.isfinite(norm)):
        what = f"loss is {loss}" if not math.isfinite(loss) else f"gradient is {norm}"
        named = state.model.named_parameters()
        sick = next((name for name, p in named if not p.isfinite().all()), None)
        advice = _lower_rate(state.recipe)
        if sick:
            advice = (
                f"The weights ({sick}, ...) were not finite before the step: start from other ones."
            )
        elif state.scaler.is_enabled():
            advice += " Or numbers are too large for float16: then try precision='float32'."
        elif step == 1:
            advice = (
                "It is the first step: check the clips, and the weights that training starts from."
            )
        raise TrainingError(
            f"The {what} at step {step} (learning rate {rate:.3g}). {advice} The weights were not "
            "changed by this step."
        )
    chance = optim.chance_loss(state.model.config.num_classes)
    if average > DIVERGED * max(chance, state.first):
        raise TrainingError(
            f"Training diverged: the loss is {average:.2f} on average at step {step}, "
            f"{average / chance:.0f} times that of equal answers for all classes ({chance:.2f}); "
            f"it began with {state.first:.2f}. {_lower_rate(state.recipe)}"
        )


def _lower_rate(recipe: Recipe) -> str:
    advice = [f"lr={recipe.lr / 3:.2g}"]
    advice += ["max_grad_norm=1.0"] * (recipe.max_grad_norm is None)
    advice += ["warmup_epochs=1 or more"] * (recipe.warmup_epochs < 1)
    return f"The learning rate is the likely cause; try {', '.join(advice)}."


def wrong_label(seen: list, classes: int | Mapping[str, int], step: int) -> TrainingError:
    """Names the first sample whose label the model has no class for; seen: (labels, numbers)."""
    for labels, numbers in seen:
        for head, own in optim.by_head(labels).items():
            last = optim.by_head(classes)[head] - 1
            for number, label in zip(numbers.tolist(), own.tolist(), strict=True):
                if not 0 <= label <= last:
                    return TrainingError(
                        f"Step {step} found a label out of range: sample {number} has the label "
                        f"{label}, but the model has classes 0 to {last}{of_head(head)}."
                    )
    return TrainingError(f"Step {step} found a label out of range on another device.")


# ---- before the first step


@contextlib.contextmanager
def prepared(
    model: ViViT,
    train: Dataset,
    validation: Dataset | None,
    recipe: Recipe,
    accelerator: Accelerator,
    workers: int,
    balanced: bool = False,
) -> Iterator[tuple[TrainingState, nn.Module]]:
    """Everything ready for the first step; afterwards the model is an ordinary one again.

    Gives the state, and the model as Accelerate wraps it. Inside, running out of memory becomes a
    message that says what would fit.
    """
    check_data(model, train, "training")
    if validation is not None:
        check_data(model, validation, "validation")
    elif recipe.patience is not None:
        raise ValueError(
            f"patience is {recipe.patience}, but there is no validation set to tell which epoch "
            "is better: give one, or leave patience None."
        )
    loader = open_loader(train, recipe, accelerator, workers, balanced)
    samples = len(train) if hasattr(train, "__len__") else None
    steps_per_epoch = len(loader) // recipe.accumulate
    if samples is not None:  # as many on several devices as on one
        steps_per_epoch = min(steps_per_epoch, samples // recipe.batch)
    check_recipe_fits(model, recipe, steps_per_epoch, samples)
    check_memory(model, recipe, accelerator.device, accelerator.num_processes)
    model.class_names = model.class_names or class_names_of(train)
    model.preprocessing = expected_of(model, train, recipe)
    checkpointed = model.grad_checkpointing
    gpus = [accelerator.device] if accelerator.device.type == "cuda" else []
    with contextlib.ExitStack() as at_the_end:
        at_the_end.enter_context(torch.random.fork_rng(gpus))  # yours stay as they were
        at_the_end.callback(loader.close)
        reader = None
        if validation is not None:
            place = accelerator.process_index, accelerator.num_processes
            reader = at_the_end.enter_context(reader_of(validation, workers, *place))
        model.to(accelerator.device).train()
        at_the_end.callback(model.eval)
        frozen = optim.freeze(model, recipe.freeze)
        at_the_end.callback(lambda: [parameter.requires_grad_(True) for parameter in frozen])
        model.set_grad_checkpointing(recipe.checkpointing)
        at_the_end.callback(model.set_grad_checkpointing, checkpointed)
        if recipe.compile:
            model.compile()
            at_the_end.callback(setattr, model, "_compiled_call_impl", None)
        wrapped = accelerator.prepare(model)  # several devices: all start with the first one's
        ema = ModelEmaV3(model, recipe.ema, use_warmup=True) if recipe.ema else None
        optimiser = optim.build_optimiser(model, recipe)
        scaler = optim.grad_scaler(accelerator.device, recipe.precision)
        at_the_end.callback(optimiser.zero_grad)
        try:
            parts = model, optimiser, scaler, ema, loader, reader
            yield TrainingState(recipe, *parts, steps_per_epoch), wrapped
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            total = torch.cuda.get_device_properties(gpus[0]).total_memory if gpus else None
            precision = optim.precision_on(accelerator.device, recipe.precision)
            counted = recipe.change(precision=precision)
            said = what_would_fit(model, counted, accelerator.num_processes, total)
            raise TrainingError(said) from error


def expected_of(model: ViViT, train: Dataset, recipe: Recipe) -> Preprocessing | None:
    """What the trained model will expect of a video; the scale of pixels is that of its start."""
    height, width = model.config.image_size
    sampling = getattr(getattr(train, "dataset", train), "sampling", recipe.sampling())
    if height != width or type(sampling) not in SAMPLINGS.values():
        return None  # videos are cut into squares; a sampling of yours is no word of a checkpoint
    expected = Preprocessing(sampling, recipe.crop, recipe.min_short_side)
    expected = expected.resized(model.config.frames, height)
    was = model.preprocessing or expected
    return replace(expected, mean=was.mean, std=was.std)


def open_loader(
    train: Dataset,
    recipe: Recipe,
    accelerator: Accelerator,
    workers: int,
    balanced: bool = False,
) -> ClipLoader:
    """Microbatches of this process: its share of the total batch, in `accumulate` parts."""
    devices = accelerator.num_processes
    parts = devices * recipe.accumulate
    said = f"batch is {recipe.batch}, but {devices} devices and accumulate = {recipe.accumulate}"
    if recipe.batch % parts:
        more = -(-recipe.batch // parts) * parts
        raise ValueError(f"{said} must divide it into {parts} equal parts; {more} is possible.")
    if recipe.mixup and recipe.batch == parts:
        raise ValueError(
            f"{said} divide it into parts of one clip, and mixup needs two. Set "
            f"mixup=0, or batch={2 * parts} or more."
        )
    return ClipLoader(
        train,
        batch_size=recipe.batch // parts,
        workers=workers,
        # shards shuffle by themselves
        shuffle="balanced" if balanced else not isinstance(train, IterableDataset),
        seed=recipe.seed,
        drop_last=True,
        rank=accelerator.process_index,
        world_size=devices,
    )


# ---- who is told


class Reporter:
    """Tells of each step and epoch: the log, a bar, TensorBoard, your callback."""

    def __init__(
        self,
        state: TrainingState,
        folder: RunFolder | None = None,
        callback: Callback | None = None,
        progress: bool = False,
        tensorboard: bool = False,
    ):
        self.state, self.folder, self.callback = state, folder, callback
        self.control = Control(lr_scale=state.lr_scale)
        self._pace = math.nan  # seconds a step, running average
        self._log = self._board = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(folder.path / "tensorboard")
        if folder is not None:
            self._log = folder.open_log(state)
        steps = {"total": state.steps, "initial": state.step, "unit": "step"}
        self._bar = tqdm(**steps, disable=not progress)

    def close(self) -> None:
        for each in (self._log, self._bar, self._board):
            if each is not None:
                with contextlib.suppress(OSError):  # a full disk has been told of already
                    each.close()

    def step(self, figures: dict[str, float], seconds: float) -> None:
        """After a step."""
        self._pace = seconds if math.isnan(self._pace) else 0.9 * self._pace + 0.1 * seconds
        self._write({"step": self.state.step, "epoch": self.state.epoch, **figures}, seconds)
        words = "loss {loss:.3f}, accuracy {accuracy:.0%}, lr {lr:.2g}".format(**figures)
        self._bar.set_postfix_str(words, refresh=False)
        self._bar.update()
        self._call_back(figures, None, after_epoch=False)

    def epoch(self, entry: dict, seconds: float) -> None:
        """After an epoch: the means of its steps, and what validation said, if there was any."""
        self._write({"after_epoch": self.state.epoch, **entry}, seconds)
        figures = {name: entry[name] for name in FIGURES}
        validation = entry.get("validation")
        if not self._bar.disable:
            line = "epoch {epoch}: loss {loss:.3f}, accuracy {accuracy:.1%}".format(**entry)
            if validation:
                line += "; validation {top1:.1%}, loss {loss:.3f}".format(**validation)
            if self.state.finished and self.state.epoch < self.state.recipe.epochs:
                line += (
                    f"; training ends: none of the last {self.state.since_best} epochs was better"
                )
            self._bar.write(line)
        self._call_back(figures, validation, after_epoch=True)

    def _call_back(self, figures: dict, validation: dict | None, after_epoch: bool) -> None:
        if self.callback is None:
            return
        state = self.state
        self.callback(
            Moment(
                step=state.step,
                steps=state.steps,
                epoch=state.epoch,
                epochs=state.recipe.epochs,
                **figures,
                clips_per_second=state.recipe.batch / self._pace,
                seconds_left=(state.steps - state.step) * self._pace,
                waited=state.loader.waited,
                validation=validation,
                after_epoch=after_epoch,
                model=state.result,
                control=self.control,
            )
        )

    def _write(self, entry: dict, seconds: float) -> None:
        if self._log is not None:
            line = json.dumps(entry | {"seconds": round(seconds, 6)}) + "\n"
            with self.folder.saving():
                self._log.write(line.encode())
        if self._board is not None:
            kind = "epoch" if "after_epoch" in entry else "step"
            figures = {name: value for name, value in entry.items() if name in FIGURES}
            for name, value in entry.get("validation", {}).items():
                figures[f"validation/{name}"] = value
            for name, value in figures.items():
                self._board.add_scalar(f"{kind}/{name}", value, self.state.step)

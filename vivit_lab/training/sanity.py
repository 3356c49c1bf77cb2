"""What would go wrong in an hour, found before the first step."""

import copy
import functools
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset

from vivit_lab.analysis.cost import cost, in_bytes
from vivit_lab.data.dataset import ViewDataset
from vivit_lab.data.loader import ClipLoader, LoadingError
from vivit_lab.errors import divisors, whole
from vivit_lab.models import ViViT
from vivit_lab.training import optim
from vivit_lab.training.recipe import Recipe

LISTED = 100_000  # labels of a catalogue that are looked at
CLEARLY = 1.1  # times the free memory: so much a step must need to be refused before it is tried
ALONE = "there is nothing to learn"


def class_names_of(dataset: Dataset) -> list[str] | dict[str, list[str]] | None:
    """The names of a data set's classes in the order of their labels, if it knows them."""
    source = getattr(dataset, "catalog", dataset)
    names = getattr(source, "class_names", None) or getattr(source, "classes", None)
    if isinstance(names, Mapping):
        return {head: list(each) for head, each in names.items()}
    return None if names is None else list(names)


def of_head(head: str) -> str:
    return f" of the classifier {head!r}" if head else ""


def check_data(model: ViViT, dataset: Dataset, which: str) -> None:
    """Raise ValueError or TypeError unless the clips and labels of a set fit the model."""
    what, counts = f"The {which} set", optim.by_head(model.config.num_classes)
    for head, count in counts.items():
        if count < 2:
            raise ValueError(f"The model has one class{of_head(head)}: {ALONE}.")
    names = class_names_of(dataset)
    if names is not None:
        _check_names(optim.by_head(names), model, what)
    if isinstance(dataset, IterableDataset):
        return  # its first batch will tell
    if not len(dataset):
        raise ValueError(f"{what} is empty.")
    if which == "training" and isinstance(dataset, ViewDataset):
        raise TypeError(f"{what} is a ViewDataset, which is for testing: take a ClipDataset.")
    catalog, shape = getattr(dataset, "catalog", None), None
    if catalog is None:
        clip, label = dataset[0]
        _check_label(label, counts, f"{what}: the label of its first clip")
        shape = tuple(clip.shape[-4:])
        if clip.dtype != torch.uint8:
            raise TypeError(
                f"{what} has clips of {clip.dtype}, but must have uint8 pixels, 0 to 255: the "
                "loader normalises them."
            )
    else:
        labels = [segment.label for segment in islice(catalog, LISTED)]
        for number, label in enumerate(labels):
            _check_label(label, counts, f"{what}: the label of {catalog[number].path}")
        for head in counts:
            seen = {optim.by_head(label)[head] for label in labels}
            if len(seen) == 1 and len(labels) > 1:
                raise ValueError(f"{what} holds clips of one class only{of_head(head)}: {ALONE}.")
        if hasattr(dataset, "sampling") and hasattr(dataset, "transform"):
            side = dataset.transform.crop
            shape = (dataset.sampling.clip_frames, 3, side, side)
    if shape not in (None, model.config.clip_shape):
        raise ValueError(
            f"{what} has clips (T, C, H, W) = {shape}, but the model was built for "
            f"{model.config.clip_shape}."
        )


def _check_names(names: dict, model: ViViT, what: str) -> None:
    counts = optim.by_head(model.config.num_classes)
    optim.check_heads(names, counts, what)
    known = names if model.class_names is None else optim.by_head(model.class_names)
    for head, here in names.items():
        if len(here) != counts[head]:
            raise ValueError(
                f"{what} has {len(here)} classes{of_head(head)}, but the model has {counts[head]}."
            )
        for label, (name, there) in enumerate(zip(here, known[head], strict=True)):
            if name != there:
                raise ValueError(
                    f"{what} calls class {label}{of_head(head)} {name!r}, but the model calls it "
                    f"{there!r}. Read it with the model's names (classes=...), or remove them "
                    "from the model: model.class_names = None."
                )


def _check_label(label: object, counts: dict, what: str) -> None:
    if label is None:
        raise ValueError(f"{what} is missing: nothing can be learnt from it.")
    optim.check_heads(optim.by_head(label), counts, what)
    for head, value in optim.by_head(label).items():
        last = counts[head] - 1
        if not 0 <= value <= last:
            raise ValueError(f"{what} is {value}{of_head(head)}; the model has 0 to {last}.")


def check_recipe_fits(
    model: ViViT, recipe: Recipe, steps_per_epoch: int, samples: int | None
) -> None:
    """Raise ValueError if model and recipe contradict each other, or the batch is never full."""
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
        have = "too few clips" if samples is None else f"{samples} clips, too few"
        lower = "lower it" + (f" to {samples} or less" if samples else "")
        raise ValueError(f"The training set has {have} for a batch of {recipe.batch}: {lower}.")


def lets_go(call: Callable) -> Callable:
    """Decorate what trains: out of memory, nothing of the step stays alive.

    A notebook keeps the last error, that keeps each frame which it came through, and these keep
    the optimiser's moments. The frames of `call` have ended here, so they can be emptied.
    """

    @functools.wraps(call)
    def calling(*args, **kwargs):
        try:
            return call(*args, **kwargs)
        except (RuntimeError, MemoryError) as error:
            link = error if is_out_of_memory(error.__cause__ or error) else None
            while link is not None:
                traceback.clear_frames(link.__traceback__)
                link = link.__cause__ or link.__context__
            raise

    return calling


# ---- one batch, memorised


@dataclass(frozen=True)
class OneBatch:
    """What came of it; printed, it says what to do.

    >>> print(OneBatch([2.08, 0.4, 0.01], 1.0, chance=2.08, clips=8))
    Memorised: 8 clips in 3 steps, loss 2.08 -> 0.01, accuracy 100%.
    """

    losses: list[float]  # before each step
    accuracy: float  # 0..1, at the end
    chance: float  # loss of answering every clip alike
    clips: int

    @property
    def ok(self) -> bool:
        """All clips are right, at a tenth of the loss of chance."""
        return self.accuracy == 1 and self.losses[-1] < 0.1 * self.chance

    def __str__(self) -> str:
        what = (
            f"{self.clips} clips in {len(self.losses)} steps, loss {self.losses[0]:.2f} -> "
            f"{self.losses[-1]:.2f}, accuracy {self.accuracy:.0%}"
        )
        if self.ok:
            return f"Memorised: {what}."
        return (
            f"Not memorised: {what}. If the loss falls, give it more steps, or a higher lr. If it "
            "does not: do equal clips have different labels? Are the weights damaged?"
        )


@lets_go
def overfit_one_batch(
    model: ViViT,
    train: Dataset,
    *,
    clips: int = 8,
    steps: int = 60,
    lr: float | None = None,
    seed: int = 0,
    device: str = "auto",
    recipe: Recipe | None = None,
) -> OneBatch:
    """Train a copy of the model on the same few clips again and again: the loss must go to zero.

    If it does not, no recipe will help: data, labels or model are at fault. AdamW without dropout,
    mixup, smoothing or decay. The model stays as it was.

    lr: by default 0.06 / dim, which is 1e-3 for a small model and 8e-5 for ViViT-B. recipe: its
    precision, its checkpointing and the size of its microbatches are used, and no more memory.
    Raises ValueError or TypeError for data that do not fit the model, or clips the memory.

    Example:
        >>> from vivit_lab import build_model
        >>> from vivit_lab.data import ArrowOfTime
        >>> from vivit_lab.training import Recipe
        >>> _ = torch.manual_seed(0)
        >>> model = build_model(Recipe.preset("cpu_tiny").config())
        >>> overfit_one_batch(model, ArrowOfTime(64, frames=8), device="cpu").ok
        True
    """
    whole("clips", clips)
    whole("steps", steps)
    check_data(model, train, "training")
    place = optim.open_accelerator(device).device
    recipe = recipe or Recipe(batch=clips)
    size = max(1, min(clips, recipe.batch // recipe.accumulate))
    check_memory(model, recipe.change(batch=clips, accumulate=-(-clips // size)), place)
    streams = isinstance(train, IterableDataset)
    with ClipLoader(train, batch_size=clips, shuffle=not streams, seed=seed) as loader:
        batch = next(iter(loader.on(place)))
    labels, _ = optim.in_range(batch.labels, model.config.num_classes)
    learner = copy.deepcopy(model).to(place).eval()  # eval: nothing is dropped
    learner.requires_grad_(True)
    learner.set_grad_checkpointing(recipe.checkpointing)
    lr = 0.06 / model.config.dim if lr is None else lr
    optimiser = torch.optim.AdamW(learner.parameters(), lr=lr, weight_decay=0)
    scaler = optim.grad_scaler(place, recipe.precision)
    losses, count = [], len(batch.clips)
    for _ in range(steps):
        total = right = 0.0
        for start in range(0, count, size):
            part = batch.clips[start : start + size]
            own = {head: each[start : start + size] for head, each in labels.items()}
            with optim.autocast(place, recipe.precision):
                logits = learner(part)
            loss, accuracy = optim.loss_of(logits, own)
            scaler.scale(loss * (len(part) / count)).backward()
            total += loss.item() * len(part) / count
            right += accuracy.item() * len(part)
        scaler.unscale_(optimiser)
        nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        scaler.step(optimiser)
        scaler.update()
        optimiser.zero_grad()
        losses.append(total)
    chance = optim.chance_loss(model.config.num_classes)
    return OneBatch(losses, right / count, chance, count)


# ---- what fits into memory


def here() -> torch.device:
    """Where this machine trains, if nothing else is said; Apple's GPUs count as its memory."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def step_bytes(model: ViViT, recipe: Recipe, processes: int = 1) -> int:
    """Memory of one training step on each device, by the count of `analysis.cost`.

    precision "auto" counts as what it means on this machine. What a frozen part saves is not
    subtracted: the number is then too high.
    """
    price = cost(
        model,
        batch=max(1, recipe.batch // (processes * recipe.accumulate)),
        training=True,
        checkpointing=recipe.checkpointing,
        optimiser=recipe.optimiser,
    )
    halved = optim.precision_on(here(), recipe.precision) != "float32"
    return round(price.total_bytes - (price.activation_bytes / 2 if halved else 0))


def what_would_fit(model: ViViT, recipe: Recipe, processes: int, available: int | None) -> str:
    """A message for who ran out of memory: what was needed, and each way to need less.

    processes: devices that share the batch. available: bytes of one device; None: unknown.

    Example:
        >>> from vivit_lab import build_model
        >>> recipe = Recipe.preset("cpu_tiny", batch=64)
        >>> print(what_would_fit(build_model(recipe.config()), recipe, 1, 30_000_000))
        Not enough memory: by our count a step of 64 clips on each device needs 56.10 MB, of 30.00 \
MB.
          checkpointing=True                                     38.63 MB  too much
          precision=bf16                                         29.22 MB  fits
          checkpointing=True, precision=bf16                     20.48 MB  fits
          accumulate=2                                           29.22 MB  fits
          accumulate=2, checkpointing=True, precision=bf16       11.41 MB  fits
        These settings change the result only by rounding and random draws. Libraries need some \
hundred MB more.
    """

    def needed(**changes) -> int:
        return step_bytes(model, recipe.change(**changes), processes)

    def fits(**changes) -> bool:
        return available is None or needed(**changes) < available

    clips, least = recipe.batch // (processes * recipe.accumulate), 2 if recipe.mixup else 1
    more = [recipe.accumulate * d for d in divisors(clips)[1:] if clips // d >= least]  # parts
    switches = {} if recipe.checkpointing else {"checkpointing": True}
    if optim.precision_on(here(), recipe.precision) == "float32":
        half = optim.precision_on(here(), "auto")
        switches["precision"] = "bf16" if half == "float32" else half
    ways = [{name: value} for name, value in switches.items()] + [switches] * (len(switches) > 1)
    for others in ({}, switches) if switches else ({},):  # in as few parts as will do
        if more:
            parts = next((n for n in more if fits(accumulate=n, **others)), more[-1])
            ways.append({"accumulate": parts, **others})
    lines = [
        f"Not enough memory: by our count a step of {clips} clips on each device needs "
        f"{in_bytes(needed())}{f', of {in_bytes(available)}' if available else ''}."
    ]
    for way in ways:
        verdict = "" if available is None else "  fits" if fits(**way) else "  too much"
        name = ", ".join(f"{field}={value}" for field, value in way.items())
        lines.append(f"  {name:50} {in_bytes(needed(**way)):>12}{verdict}")
    if not ways:
        lines.append("  No setting of the recipe saves more: use a smaller model or clip.")
    lines.append(
        "These settings change the result only by rounding and random draws. Libraries need some "
        "hundred MB more."
    )
    return "\n".join(lines)


def free_bytes(device: torch.device) -> int:
    """Memory that is free: of a GPU, with what torch holds there unused; else of the machine."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    import psutil  # accelerate needs it too

    return psutil.virtual_memory().available


def check_memory(model: ViViT, recipe: Recipe, device: torch.device, processes: int = 1) -> None:
    """Raise ValueError if a step needs clearly more memory than the device has free.

    Of a model with a frozen part the count is too high: there it is tried.
    """
    recipe = recipe.change(precision=optim.precision_on(device, recipe.precision))
    there = sum(p.nbytes for p in model.parameters() if p.device.type == device.type)
    free = free_bytes(device) + there
    if recipe.freeze is None and step_bytes(model, recipe, processes) > CLEARLY * free:
        raise ValueError(what_would_fit(model, recipe, processes, free))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not enough, of the GPU or of the machine."""
    if isinstance(error, LoadingError):
        return False  # of a process that reads clips; it says itself what to do
    said = str(error)  # the CPU's and older backends' is a plain RuntimeError
    of_memory = isinstance(error, MemoryError) or "out of memory" in said
    return of_memory or "can't allocate memory" in said

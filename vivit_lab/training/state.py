"""All that a step changes, in one file: what a run needs to go on as if nothing had happened."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch.utils.data import IterableDataset

from vivit_lab.models import ViViT, ViViTConfig
from vivit_lab.training.recipe import Recipe
from vivit_lab.training.trouble import TrainingError
from vivit_lab.weights.files import parse_json, read_safetensors, write_safetensors

FIELD = "vivit_lab_training"  # of the file's header: a JSON document
FORMAT_VERSION = 2
COUNTERS = ("epoch", "step", "lr_scale", "first", "average", "history", "best", "sums")


class Taken(NamedTuple):
    """Figures of one step, or the means of one epoch.

    >>> Taken(loss=2.1, accuracy=0.125, lr=1e-3, grad_norm=0.7).lr
    0.001
    """

    loss: float
    accuracy: float  # 0..1
    lr: float
    grad_norm: float  # before clipping


@dataclass
class Training:
    """What a step changes: weights, optimiser, averaged weights, place in the data, counters.

    There is no state of random numbers in it: what step s draws follows from (seed, s, process)
    alone, what a sample draws from (seed, epoch, sample).
    """

    recipe: Recipe
    model: ViViT
    optimiser: torch.optim.Optimizer
    ema: torch.nn.Module | None  # timm's ModelEmaV3
    loader: object  # ClipLoader: knows which clips are due
    steps_per_epoch: int  # with a full batch; what is left over is in another epoch's steps
    epoch: int = 0  # epochs that are complete
    step: int = 0  # steps that were taken
    lr_scale: float = 1.0  # by which a callback changed the learning rate
    first: float | None = None  # loss of the first step, to judge divergence by
    average: float | None = None  # of the loss, to judge divergence by
    history: list[dict] = field(default_factory=list)  # an entry for each epoch
    best: float | None = None  # highest validation accuracy so far
    sums: list[float] = field(default_factory=lambda: [0.0] * 3)  # of this epoch's steps

    @property
    def result(self) -> ViViT:
        """The model to use: the averaged weights if there are any."""
        return self.model if self.ema is None else self.ema.module

    def count(self, taken: Taken) -> Taken:
        """Note a step."""
        self.step += 1
        figures = (taken.loss, taken.accuracy, taken.grad_norm)
        self.sums = [total + figure for total, figure in zip(self.sums, figures, strict=True)]
        return taken

    def learning_rate(self) -> float:
        """Of the step that is due, or of the last one."""
        step = min(self.step, self.recipe.epochs * self.steps_per_epoch - 1)
        return self.recipe.learning_rate(step, self.steps_per_epoch) * self.lr_scale

    def end_epoch(self) -> Taken:
        """Note that an epoch is complete, and make the next one due. Returns its means."""
        self.epoch += 1
        self.loader.set_epoch(self.epoch)
        loss, accuracy, norm = (total / self.steps_per_epoch for total in self.sums)
        self.sums = [0.0] * 3
        return Taken(loss, accuracy, self.learning_rate(), norm)

    def note(self, mean: Taken, figures: dict | None) -> bool:
        """Keep an epoch's figures; is its validation accuracy the best so far?"""
        entry = {"epoch": self.epoch, **mean._asdict()}
        self.history.append(entry if figures is None else entry | {"validation": figures})
        is_best = figures is not None and (self.best is None or figures["top1"] > self.best)
        if is_best:
            self.best = figures["top1"]
        return is_best

    def save(self, file: Path) -> None:
        """Write everything, completely or not at all."""
        tensors = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        for number, values in self.optimiser.state_dict()["state"].items():
            for name, value in values.items():
                if value is not None:  # SGD's momentum before its first step
                    tensors[f"optimiser/{number}/{name}"] = value
        if self.ema is not None:
            averaged = self.ema.module.state_dict()
            tensors |= {f"ema/{name}": tensor for name, tensor in averaged.items()}
        write_safetensors(file, tensors, {FIELD: json.dumps(self._document())})

    def load(self, file: Path) -> None:
        """Put everything back.

        Raises:
            TrainingError: the file is of another model or another recipe; the message says where
                they differ, and nothing has changed.
            WeightsError, FileNotFoundError: it cannot be read.
        """
        tensors, texts = read_safetensors(file)
        document = parse_json(texts.get(FIELD, "{}"), f"the header of {file.name!r}")
        self._check(file, document)
        parts = {"model": {}, "ema": {}, "optimiser": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = tensor
        self._place_loader(document)  # refuses other data, before all else
        self.model.load_state_dict(parts["model"])
        if self.ema is not None:
            self.ema.module.load_state_dict(parts["ema"])
        values: dict[int, dict] = {}
        for name, tensor in parts["optimiser"].items():
            number, _, key = name.partition("/")
            values.setdefault(int(number), {})[key] = tensor
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": values, "param_groups": groups})
        for name in COUNTERS:
            setattr(self, name, document[name])

    def _place_loader(self, document: dict) -> None:
        """The clips that are due; with another number of devices they are shared out anew."""
        saved, here = document["loader"], self.loader.state_dict()
        if saved["world_size"] != here["world_size"] and not isinstance(
            self.loader.dataset, IterableDataset
        ):
            steps = document["step"] - document["epoch"] * self.steps_per_epoch
            taken = steps * self.recipe.batch // here["world_size"]
            saved = saved | {"world_size": here["world_size"], "taken": [taken]}
        self.loader.load_state_dict(saved)

    def _document(self) -> dict:
        return {
            "format_version": FORMAT_VERSION,
            "recipe": self.recipe.to_dict(),
            "config": _config_dict(self.model.config),
            "class_names": self.model.class_names,
            "loader": self.loader.state_dict(),
        } | {name: getattr(self, name) for name in COUNTERS}

    def _check(self, file: Path, document: dict) -> None:
        if document.get("format_version") != FORMAT_VERSION:
            raise TrainingError(
                f"{str(file)!r} is not the state of a run, or of another version of this package."
            )
        saved, here = document["config"], _config_dict(self.model.config)
        changed = [name for name in here if saved.get(name) != here[name]]
        if changed:
            listed = ", ".join(f"{n} {saved.get(n)!r}, not {here[n]!r}" for n in changed)
            raise TrainingError(f"{str(file)!r} is of another model, with {listed}.")
        recipe = Recipe.from_dict(document["recipe"])
        if recipe.result_fields() != self.recipe.result_fields():
            raise TrainingError(
                f"{str(file)!r} is of another recipe. A run goes on with its own, which is in "
                f"recipe.json beside it; or start a new one in another folder.\n"
                f"{recipe.change(name='saved').difference(self.recipe.change(name='given'))}"
            )
        saved, here = document["class_names"], _plain(self.model.class_names)
        if saved != here:
            raise TrainingError(f"{str(file)!r} is of other classes: {saved}, not {here}.")


def _config_dict(config: ViViTConfig) -> dict:
    return _plain(dataclasses.asdict(config))


def _plain(value: object) -> object:
    """As it comes back from JSON: lists for tuples."""
    return json.loads(json.dumps(value))

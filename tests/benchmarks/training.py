"""What a step of `fit` costs beyond a bare loop: python tests/benchmarks/training.py [--device D]

Both train the same model on the same batches with AdamW and clipping, and read the loss after each
step. They take turns, a few steps each, on a CPU in seconds of the processor. `fit`'s side includes
its reporter: the log, the callback. Then memory: what a frozen spatial encoder, checkpointing and
microbatches save. Then hunger: the share of an epoch in which the tiny model waited for its clips,
drawn in memory and read from mp4 files.
"""

import argparse
import contextlib
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from measuring import ratio, take_turns
from torch import nn
from torch.utils.data import Dataset

from vivit_lab import ViViTConfig, build_model
from vivit_lab.data import ArrowOfTime, ClipDataset, read_folder, write_arrow_of_time
from vivit_lab.data.loader import Batch
from vivit_lab.training import Moment, Recipe, fit
from vivit_lab.training.loop import Reporter, prepared, train_step
from vivit_lab.training.optim import freeze, open_accelerator
from vivit_lab.training.run import RunFolder

TINY = Recipe.preset("cpu_tiny")
SMALL = {"frames": 8, "image_size": 112, "num_classes": 8}
SMALL = ViViTConfig.preset("Ti/16x2", model="factorised_encoder", **SMALL)
MODELS = {
    "tiny, 8 x 32 x 32, batch 16": (TINY.config(), 16),
    "tiny, 8 x 32 x 32, batch 64": (TINY.config(), 64),
    "Ti/16x2, 8 x 112 x 112, batch 4": (SMALL, 4),
}


def batch_for(config: ViViTConfig, size: int, device: torch.device) -> Batch:
    torch.manual_seed(0)
    clips = torch.rand(size, *config.clip_shape, device=device) * 2 - 1
    return Batch(clips, torch.arange(size, device=device) % 8, torch.arange(size))


def bare_steps(config: ViViTConfig, batch: Batch):
    """A training loop as one writes it in ten lines; each `next` is one step."""
    model = build_model(config).to(batch.clips.device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05)
    while True:
        loss = F.cross_entropy(model(batch.clips), batch.labels)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        yield loss.item()


def compare(name: str, device: str, rounds: int, steps: int) -> None:
    config, size = MODELS[name]
    accelerator = open_accelerator(device)
    batch = batch_for(config, size, accelerator.device)
    recipe = TINY.change(batch=size, epochs=1000)
    data = ArrowOfTime(size, frames=config.frames, image_size=config.image_size[0])
    model = build_model(config)
    bare = bare_steps(config, batch)
    clock = time.process_time if accelerator.device.type == "cpu" else time.perf_counter
    with (
        tempfile.TemporaryDirectory() as folder,
        prepared(model, data, None, recipe, accelerator, 0) as (state, wrapped),
        contextlib.closing(Reporter(state, RunFolder(folder), lambda moment: None)) as reporter,
    ):
        batches = itertools.repeat(batch)

        def fit_step() -> None:
            began = time.perf_counter()
            figures = train_step(state, wrapped, batches, accelerator)
            reporter.step(figures, time.perf_counter() - began)

        def timed(step: Callable) -> float:
            begun = clock()
            for _ in range(steps):
                step()
            return 1000 * (clock() - begun) / steps

        sides = {"bare": partial(timed, partial(next, bare)), "fit": partial(timed, fit_step)}
        found = take_turns(sides, rounds + 1)
    (_, *plain), (_, *fitted) = found.values()  # the first turn warms up
    print(
        f"{name:34} bare {statistics.median(plain):8.2f} ms, fit {statistics.median(fitted):8.2f} "
        f"ms, {ratio(fitted, plain)} times as long"
    )


def kept_megabytes(model: nn.Module, clips: torch.Tensor) -> float:
    """What the forward pass keeps for the way back, weights not counted."""
    sizes = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes(), tensor  # held, so that no place comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(clips).sum()
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    return sum(size for place, (size, _) in sizes.items() if place not in weights) / 1e6


def memory() -> None:
    clips = batch_for(SMALL, 4, torch.device("cpu")).clips
    ways = {
        "as it is": lambda model: None,
        "checkpointing": lambda model: model.set_grad_checkpointing(),
        "freeze='spatial_encoder'": lambda model: freeze(model, "spatial_encoder"),
        "freeze='all_but_head'": lambda model: freeze(model, "all_but_head"),
    }
    for name, prepare in ways.items():
        model = build_model(SMALL).train()
        prepare(model)
        print(f"{name:34} keeps {kept_megabytes(model, clips):8.2f} MB for the way back")
    half = kept_megabytes(build_model(SMALL).train(), clips[:2])
    print(f"{'accumulate=2':34} keeps {half:8.2f} MB for the way back")


def hunger(clips: int, device: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        videos = read_folder(write_arrow_of_time(Path(folder, "videos"), clips, frames=8))
        sources = {
            "in memory": ArrowOfTime(clips, frames=8),
            "from mp4 files": ClipDataset(videos, TINY.sampling(), TINY.train_transform()),
        }
        for (source, data), workers in itertools.product(sources.items(), (0, 1, 2)):
            print(f"{source:34} {workers} workers: {waiting(data, workers, device):.0%} waited")


def waiting(data: Dataset, workers: int, device: str) -> float:
    """Share of the second epoch, in which workers have long started, spent waiting for clips."""
    noted = []

    def note(moment: Moment) -> None:
        if not moment.after_epoch and moment.epoch == 1:
            noted.append((time.perf_counter(), moment.waited))

    recipe, how = TINY.change(epochs=2), {"device": device, "workers": workers, "progress": False}
    with tempfile.TemporaryDirectory() as folder:
        model = build_model(TINY.config())
        fit(model, data, recipe=recipe, folder=f"{folder}/run", callback=note, **how)
    (begun, before), *_, (ended, after) = noted
    return (after - before) / (ended - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "mps"))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=5, help="of each side in a round")
    parser.add_argument("--clips", type=int, default=2048, help="of an epoch, for the hunger")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in MODELS:
        compare(name, options.device, options.rounds, options.steps)
    memory()
    hunger(options.clips, options.device)


if __name__ == "__main__":
    main()

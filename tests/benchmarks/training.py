"""What a step of `fit` costs beyond a bare loop: python tests/benchmarks/training.py [--device D]

Both train the same model on the same batches with AdamW and clipping, and read the loss after each
step. They take turns, a few steps each, so that whatever else the machine does meets both; medians
over the rounds are compared, on a CPU in seconds of the processor. `fit`'s side includes its
reporter: the log, the callback. Then memory: what a frozen spatial encoder, checkpointing and
microbatches save. Then hunger: the share of an epoch in which the tiny model waited for its clips,
drawn in memory and read from mp4 files.
"""

import argparse
import contextlib
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
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
MODELS = {
    "tiny, 8 x 32 x 32, batch 16": (TINY.config(), 16),
    "tiny, 8 x 32 x 32, batch 64": (TINY.config(), 64),
    "Ti/16x2, 8 x 112 x 112, batch 4": (
        ViViTConfig.preset(
            "Ti/16x2", model="factorised_encoder", frames=8, image_size=112, num_classes=8
        ),
        4,
    ),
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
    seconds = {"bare": [], "fit": []}
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

        trials = {"bare": lambda: next(bare), "fit": fit_step}
        for number in range(rounds + 1):  # the first warms up
            for side in sorted(trials, reverse=bool(number % 2)):
                begun = clock()
                for _ in range(steps):
                    trials[side]()
                if number:
                    seconds[side].append((clock() - begun) / steps)
    medians = {side: 1000 * statistics.median(values) for side, values in seconds.items()}
    ratio = statistics.median(f / b for f, b in zip(seconds["fit"], seconds["bare"], strict=True))
    print(
        f"{name:34} bare {medians['bare']:8.2f} ms  fit {medians['fit']:8.2f} ms  "
        f"overhead {100 * (ratio - 1):+.1f} % (median of {rounds} ratios)"
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
    config, size = MODELS["Ti/16x2, 8 x 112 x 112, batch 4"]
    clips = batch_for(config, size, torch.device("cpu")).clips
    ways = {
        "as it is": lambda model: clips,
        "accumulate=2": lambda model: clips[:2],
        "checkpointing": lambda model: model.set_grad_checkpointing() or clips,
        "freeze='spatial_encoder'": lambda model: (freeze(model, "spatial_encoder"), clips)[1],
        "freeze='all_but_head'": lambda model: (freeze(model, "all_but_head"), clips)[1],
    }
    for name, prepare in ways.items():
        model = build_model(config).train()
        given = prepare(model)
        print(f"{name:34} keeps {kept_megabytes(model, given):8.2f} MB for the way back")


def hunger(clips: int, device: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        drawn = ArrowOfTime(clips, frames=8)
        write_arrow_of_time(Path(folder, "videos"), clips, frames=8)
        from_files = ClipDataset(
            read_folder(Path(folder, "videos")), TINY.sampling(), TINY.train_transform()
        )
        for source, data in (("in memory", drawn), ("from mp4 files", from_files)):
            for workers in (0, 1, 2):
                print(f"{source:34} {workers} workers: {waiting(data, workers, device):.0%} waited")


def waiting(data: Dataset, workers: int, device: str) -> float:
    """Share of the second epoch, in which workers have long started, spent waiting for clips."""
    seconds, waited = [], []

    def note(moment: Moment) -> None:
        if not moment.after_epoch and moment.epoch == 1:
            seconds.append(time.perf_counter())
            waited.append(moment.waited)

    with tempfile.TemporaryDirectory() as folder:
        fit(
            build_model(TINY.config()),
            data,
            recipe=TINY.change(epochs=2),
            folder=f"{folder}/run",
            callback=note,
            device=device,
            workers=workers,
            progress=False,
        )
    return (waited[-1] - waited[0]) / (seconds[-1] - seconds[0])


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

"""The four models on a GPU beside transformers: throughput, share of the peak, peak memory.

    python tests/benchmarks/gpu.py                    on a GPU: ViViT-B/16x2, 32 x 224 x 224
    python tests/benchmarks/gpu.py --toy              on any machine, at toy size: does it run?

All contestants take turns in forward passes and in train steps (AdamW), plain and compiled, in
bfloat16, or in float16 where the GPU has none. Each figure is written to OUT as soon as it is
there, and who runs out of memory is left out. Clips a second is the median over the turns. The
share of the peak counts 2 FLOPs for each MAC of the model (a train step: three times that), against
one large matrix product in the same run. Needs torch, einops and this package; transformers too,
where the peer is wanted. The first lines check that the GPU computes what the CPU computes, and
that the loader's batches arrive there as they are on the CPU: pinned, copied while the one before
is in use, normalised on the device.
"""

import argparse
import datetime
import importlib.util
import itertools
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from measuring import (
    Transformers,
    per_second,
    print_table,
    take_turns,
    unless_out_of_memory,
    write_figures,
)
from torch import nn

from vivit_lab import ViViTConfig, build_model
from vivit_lab.analysis import count_flops
from vivit_lab.data import ArrowOfTime, ClipLoader
from vivit_lab.models import MODELS
from vivit_lab.training.optim import DTYPES, autocast, grad_scaler, precision_on
from vivit_lab.video import normalise

TOY = {"frames": 4, "image_size": 32, "dim": 48, "depth": 2, "heads": 4, "mlp_dim": 96}


def config(model: str, toy: bool) -> ViViTConfig:
    return ViViTConfig(model=model, **(TOY if toy else {}))


def contestants(toy: bool) -> dict[str, tuple[Callable[[], nn.Module], int]]:
    """name -> how to make it, and its multiply-accumulates a clip."""
    found = {}
    for name, title in MODELS.items():
        size = config(name, toy)
        macs = count_flops(size, counter="closed_form").macs
        found[f"{title.split(':')[0]} {name}"] = partial(build_model, size), macs
        if name == "joint" and importlib.util.find_spec("transformers"):
            found["Model 1 transformers sdpa"] = partial(Transformers, size), macs
    return found


def half(device: torch.device) -> str:
    """The precision of two bytes that a device is fast in; of a CPU bf16."""
    return precision_on(device, "auto" if device.type == "cuda" else "bf16")


def seconds(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median time of one call, the device's queue empty before and after."""
    times = []
    for _ in range(repeats):
        synchronise(device)
        start = time.perf_counter()
        call()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_flops(device: torch.device, size: int) -> float:
    """FLOPs a second of one size^3 matrix product in two bytes a number."""
    a, b = torch.randn(2, size, size, device=device, dtype=DTYPES[half(device)])
    for _ in range(3):
        a @ b
    return 2 * size**3 / seconds(lambda: a @ b, device, 20)


def check(device: torch.device) -> None:
    """float32 logits of every model on the device against those on the CPU, at a small size."""
    for name in MODELS:
        torch.manual_seed(0)
        model = build_model(config(name, toy=True)).eval()
        nn.init.normal_(model.head.weight)
        clip = torch.rand(2, *model.config.clip_shape) * 2 - 1
        with torch.inference_mode():
            here = model(clip)
            there = model.to(device)(clip.to(device)).cpu()
        error = (here - there).abs().max().item()
        print(f"check {name:28} largest difference to the CPU {error:.1e}")
        assert error < 1e-3, name


def check_loading(device: torch.device, workers: int, batch: int) -> None:
    """The loader's batches on the device against those on the CPU, bit for bit, and their speed."""
    clips = ArrowOfTime(clips=20 * batch, frames=16, image_size=64)
    plain = ClipLoader(clips, batch, shuffle=True)
    moved = ClipLoader(clips, batch, workers, shuffle=True)
    pinned = next(iter(moved)).clips.is_pinned()
    assert pinned == (device.type == "cuda"), "batches for a GPU must lie in pinned memory"
    moved.set_epoch(0)
    for here, there in zip(plain, moved.on(device), strict=True):
        assert there.clips.device.type == there.labels.device.type == device.type
        assert torch.equal(there.labels.cpu(), here.labels)
        error = (there.clips.cpu() - normalise(here.clips)).abs().max().item()
        assert error < 1e-6, f"a batch on {device} differs by {error:.1e} from that on the CPU"
        busy = there.clips.mean() + 1  # used at once, while the next one is on its way
        assert torch.isfinite(busy)

    def epoch():
        for there in moved.on(device):
            there.clips.mean()
        synchronise(device)

    rate = per_second(len(clips), epoch)
    moved.close()
    print(
        f"check loader on {device.type}, {workers} workers, pinned {pinned}: equal to the CPU; "
        f"{rate:.0f} clips/s of 16x64x64, waited {moved.waited:.2f} s"
    )


def measure(make: Callable, train: bool, compiled: bool, device, options) -> tuple[float, float]:
    """Clips a second, and peak memory in GB, of one contestant."""
    torch.manual_seed(0)
    model = make().to(device)
    model.train(train)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    scaler = grad_scaler(device, half(device))
    # at toy size the script is tried, not the compiler: the tests of the models do that
    run = torch.compile(model, disable=options.toy) if compiled else model
    shape = config("joint", options.toy).clip_shape
    clip = torch.rand(options.batch, *shape, device=device) * 2 - 1
    labels = torch.zeros(options.batch, dtype=torch.long, device=device)

    def forward():
        with torch.inference_mode(), autocast(device, half(device)):
            run(clip)

    def step():
        optimiser.zero_grad()
        with autocast(device, half(device)):
            loss = F.cross_entropy(run(clip), labels)
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()

    call = step if train else forward
    for _ in range(3):
        call()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    clips = options.batch / seconds(call, device, options.repeats)
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return clips, memory / 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toy", action="store_true", help="toy size, on the CPU if need be")
    parser.add_argument("--batch", type=int, default=8, help="clips in a batch")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("artefacts/gpu.json"))
    options = parser.parse_args()
    if not (options.toy or torch.cuda.is_available()):
        parser.error("there is no GPU here; --toy runs the same at toy size on the CPU")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{datetime.date.today()}, {name}, torch {torch.__version__}, batch {options.batch}")
    check(device)
    for workers in (0, 2):
        check_loading(device, workers, options.batch)
    peak = peak_flops(device, 256 if options.toy else 8192)
    print(f"matrix product in {half(device)}: {peak / 1e12:.3g} TFLOP/s\n")

    about = {"device": name, "torch": torch.__version__, "batch": options.batch, "peak": peak}

    def keep(found: dict) -> None:
        figures = ("contestant", "macs", "train", "compiled", "clips and GB, turn by turn")
        rows = [dict(zip(figures, (*key, each), strict=True)) for key, each in found.items()]
        write_figures(options.out, about | {"figures": rows})

    trials = {}
    for name, (make, macs) in contestants(options.toy).items():
        for how in itertools.product((False, True), repeat=2):
            trial = partial(measure, make, *how, device, options)
            trials[name, macs, *how] = partial(unless_out_of_memory, f"{name} {how}", trial)
    rows, found = [], take_turns(trials, options.turns, keep)
    for (name, macs, train, compiled), values in found.items():
        if None in values:
            rows.append((name, "train step" if train else "forward", "out of memory"))
            continue
        clips, memory = (statistics.median(column) for column in zip(*values, strict=True))
        share = clips * macs * (6 if train else 2) / peak
        how = "train step" if train else "forward", "yes" if compiled else "no"
        rows.append((name, *how, f"{clips:.4g}", f"{share:.1%}", f"{memory:.2f} GB"))
    print(f"all figures: {options.out}")
    print_table(" | pass | compiled | clips/s | of the peak | peak memory", rows)


if __name__ == "__main__":
    main()

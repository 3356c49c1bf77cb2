"""The four models on a GPU beside transformers: throughput, share of the peak, peak memory.

    python tests/benchmarks/gpu.py                    on a GPU: ViViT-B/16x2, 32 x 224 x 224, bf16
    python tests/benchmarks/gpu.py --toy              on any machine, at toy size: does it run?

All contestants take turns in forward passes and in train steps (AdamW), plain and compiled. Clips
a second is the median over the turns. The share of the peak counts 2 FLOPs for each MAC of the
model (a train step: three times that), against one large matrix product in the same run.
Needs torch, einops and this package; transformers too, where the peer is wanted. The first lines
check that the GPU computes what the CPU computes, and that the loader's batches arrive there as
they are on the CPU: pinned, copied while the one before is in use, normalised on the device.
"""

import argparse
import datetime
import functools
import itertools
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from vivit_lab import ViViTConfig, build_model
from vivit_lab.analysis import count_flops
from vivit_lab.data import ArrowOfTime, ClipLoader
from vivit_lab.models import MODELS
from vivit_lab.video import normalise

TOY = {"frames": 4, "image_size": 32, "dim": 48, "depth": 2, "heads": 4, "mlp_dim": 96}


def config(model: str, toy: bool) -> ViViTConfig:
    return ViViTConfig(model=model, **(TOY if toy else {}))


class Transformers(nn.Module):
    def __init__(self, toy: bool):
        super().__init__()
        from transformers import VivitConfig, VivitForVideoClassification

        sizes = {
            "image_size": 32,
            "num_frames": 4,
            "hidden_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 96,
        }
        chosen = VivitConfig(num_labels=400, attn_implementation="sdpa", **(sizes if toy else {}))
        self.module = VivitForVideoClassification(chosen)

    def forward(self, clip):
        return self.module(pixel_values=clip).logits


def contestants(toy: bool) -> dict[str, tuple[Callable[[], nn.Module], int]]:
    """name -> how to make it, and its multiply-accumulates a clip."""
    macs = {name: count_flops(config(name, toy), counter="closed_form").macs for name in MODELS}
    found = {}
    for name, title in MODELS.items():
        make = functools.partial(build_model, config(name, toy))
        found[f"{title.split(':')[0]} {name}"] = make, macs[name]
    try:
        import transformers  # noqa: F401
    except ImportError:
        print("transformers is not installed: no peer in this run")
    else:
        found["Model 1 transformers sdpa"] = (lambda: Transformers(toy), macs["joint"])
    return found


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
    """FLOPs a second of one size^3 matrix product in bfloat16."""
    a, b = torch.randn(2, size, size, device=device, dtype=torch.bfloat16)
    for _ in range(3):
        a @ b
    return 2 * size**3 / seconds(lambda: a @ b, device, 20)


def check(device: torch.device, toy: bool) -> None:
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
    begun = time.perf_counter()
    for batch_there in moved.on(device):
        batch_there.clips.mean()
    synchronise(device)
    rate = len(clips) / (time.perf_counter() - begun)
    moved.close()
    print(
        f"check loader on {device.type}, {workers} workers, pinned {pinned}: equal to the CPU; "
        f"{rate:.0f} clips/s of 16x64x64, waited {moved.waited:.2f} s"
    )


def measure(
    make: Callable[[], nn.Module],
    device: torch.device,
    options: argparse.Namespace,
    train: bool,
    compiled: bool,
) -> tuple[float, float]:
    """Clips a second, and peak memory in bytes, of one contestant."""
    torch.manual_seed(0)
    model = make().to(device)
    model.train(train)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=device.type == "cuda")
    # at toy size the script is tried, not the compiler: the tests of the models do that
    run = torch.compile(model, disable=options.toy) if compiled else model
    shape = config("joint", options.toy).clip_shape
    clip = torch.rand(options.batch, *shape, device=device) * 2 - 1
    labels = torch.zeros(options.batch, dtype=torch.long, device=device)

    def forward():
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            run(clip)

    def step():
        optimiser.zero_grad()
        with torch.autocast(device.type, torch.bfloat16):
            loss = F.cross_entropy(run(clip), labels)
        loss.backward()
        optimiser.step()

    call = step if train else forward
    for _ in range(3):
        call()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    clips = options.batch / seconds(call, device, options.repeats)
    return clips, torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toy", action="store_true", help="toy size, on the CPU if need be")
    parser.add_argument("--batch", type=int, default=8, help="clips in a batch")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--turns", type=int, default=2)
    options = parser.parse_args()
    if not (options.toy or torch.cuda.is_available()):
        parser.error("there is no GPU here; --toy runs the same at toy size on the CPU")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{datetime.date.today()}, {name}, torch {torch.__version__}, batch {options.batch}")
    check(device, options.toy)
    for workers in (0, 2):
        check_loading(device, workers, options.batch)
    peak = peak_flops(device, 256 if options.toy else 8192)
    print(f"matrix product in bfloat16: {peak / 1e12:.3g} TFLOP/s\n")

    rows: dict[tuple, list] = {}
    for turn in range(options.turns):
        for contestant, (make, macs) in contestants(options.toy).items():
            for train, compiled in itertools.product((False, True), repeat=2):
                found = measure(make, device, options, train, compiled)
                rows.setdefault((contestant, macs, train, compiled), []).append(found)
        print(f"turn {turn + 1} of {options.turns} done", flush=True)

    print("\n| | pass | compiled | clips/s | of the peak | peak memory |")
    print("|---|---|---|---|---|---|")
    for (contestant, macs, train, compiled), values in rows.items():
        clips, memory = (statistics.median(column) for column in zip(*values, strict=True))
        share = clips * macs * (6 if train else 2) / peak
        print(
            f"| {contestant} | {'train step' if train else 'forward'} | "
            f"{'yes' if compiled else 'no'} | {clips:.4g} | {share:.1%} | {memory / 2**30:.2f} GB |"
        )


if __name__ == "__main__":
    main()

"""The models on this CPU beside named peers in the same run: forward pass, and a train step.

    make bench            or            python tests/benchmarks/models.py --threads 1 2

Forward: ViViT-B/16x2 on one random clip of 32 x 224 x 224, eval. Train step: a small model (192
wide, 12 blocks, 16 frames of 112, batch 2, AdamW). Contestants take turns (A B C A B C ...), so
that a change in the machine's load meets all alike. Reported: the median of each one's process CPU
seconds, the median of the ratios turn by turn, and the peak memory of each in a process of its own.
A 2048^3 matrix product in the same run says how fast this processor can multiply.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from vivit_lab import ViViTConfig, build_model

SMALL = {"frames": 16, "image_size": 112, "dim": 192, "depth": 12, "heads": 3, "mlp_dim": 768}


def ours(model: str, small: bool = False, gelu: str = "tanh") -> nn.Module:
    if small:
        return build_model(ViViTConfig(model=model, gelu=gelu, **SMALL))
    return build_model(ViViTConfig.preset("B/16x2", model=model, gelu=gelu))


class Transformers(nn.Module):
    """Model 1 as in transformers, with either of its attention implementations."""

    def __init__(self, attention: str, small: bool = False):
        super().__init__()
        from transformers import VivitConfig, VivitForVideoClassification

        sizes = {
            "image_size": 112,
            "num_frames": 16,
            "hidden_size": 192,
            "num_attention_heads": 3,
            "intermediate_size": 768,
        }
        config = VivitConfig(
            num_labels=400, attn_implementation=attention, **(sizes if small else {})
        )
        self.module = VivitForVideoClassification(config)
        assert self.module.config._attn_implementation == attention

    def forward(self, clip):
        return self.module(pixel_values=clip).logits


class VitPytorch(nn.Module):
    """Model 2 as in vit-pytorch, which wants (B, C, T, H, W)."""

    def __init__(self, small: bool = False):
        super().__init__()
        from vit_pytorch.vivit import ViViT

        side, frames, dim, heads = (112, 16, 192, 3) if small else (224, 32, 768, 12)
        self.module = ViViT(
            image_size=side,
            image_patch_size=16,
            frames=frames,
            frame_patch_size=2,
            num_classes=400,
            dim=dim,
            spatial_depth=12,
            temporal_depth=4,
            heads=heads,
            mlp_dim=4 * dim,
            dim_head=64,
            variant="factorized_encoder",
        )

    def forward(self, clip):
        return self.module(clip.transpose(1, 2))


FORWARD = {
    "Model 1, ours": lambda: ours("joint").eval(),
    "Model 1, ours, fast_float32": lambda: ours("joint").for_inference("fast_float32"),
    "Model 1, ours, bfloat16": lambda: ours("joint").for_inference("bfloat16"),
    "Model 1, transformers sdpa": lambda: Transformers("sdpa").eval(),
    "Model 1, transformers eager": lambda: Transformers("eager").eval(),
    "Model 2, ours": lambda: ours("factorised_encoder").eval(),
    "Model 2, ours, fast_float32": lambda: ours("factorised_encoder").for_inference("fast_float32"),
    "Model 2, ours, bfloat16": lambda: ours("factorised_encoder").for_inference("bfloat16"),
    "Model 2, ours, exact GELU": lambda: ours("factorised_encoder", gelu="exact").eval(),
    "Model 2, vit-pytorch": lambda: VitPytorch().eval(),  # which has the exact one
}
TRAIN = {
    "Model 1, ours": lambda: ours("joint", small=True),
    "Model 1, ours, checkpointing": lambda: checkpointed(ours("joint", small=True)),
    "Model 1, transformers sdpa": lambda: Transformers("sdpa", small=True),
    "Model 1, transformers eager": lambda: Transformers("eager", small=True),
    "Model 2, ours": lambda: ours("factorised_encoder", small=True),
    "Model 2, vit-pytorch": lambda: VitPytorch(small=True),
}


def checkpointed(model: nn.Module) -> nn.Module:
    model.set_grad_checkpointing()
    return model


def forward(name: str) -> Callable[[], object]:
    """The forward pass of one contestant, warm."""
    model = FORWARD[name]()
    clip = torch.rand(1, 32, 3, 224, 224) * 2 - 1

    def call():
        with torch.inference_mode():
            return model(clip)

    call()
    return call


def train_step(name: str) -> Callable[[], object]:
    """One step of AdamW of one contestant, warm."""
    model = TRAIN[name]().train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5)
    clip, labels = torch.rand(2, 16, 3, 112, 112) * 2 - 1, torch.tensor([3, 5])

    def call():
        optimiser.zero_grad()
        F.cross_entropy(model(clip), labels).backward()
        optimiser.step()

    call()
    return call


KINDS = {"forward": (forward, FORWARD), "train": (train_step, TRAIN)}


def cpu_seconds(call: Callable) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def multiplies_faster_in_bfloat16() -> bool:
    a = torch.randn(1024, 1024)
    b = a.bfloat16()
    float32 = min(cpu_seconds(lambda: a @ a) for _ in range(5))
    return min(cpu_seconds(lambda: b @ b) for _ in range(5)) < float32


def take_turns(kind: str, names: list[str], repeats: int) -> dict[str, list[float]]:
    make, _ = KINDS[kind]
    a, b = torch.randn(2, 2048, 2048)
    calls = {"matrix product 2048^3": lambda: a @ b} | {name: make(name) for name in names}
    seconds = {name: [] for name in calls}
    for turn in range(repeats):
        for name, call in calls.items():
            seconds[name].append(cpu_seconds(call))
        print(f"turn {turn + 1} of {repeats}, load {os.getloadavg()[0]:.1f}", flush=True)
    return seconds


def peak_megabytes(kind: str, name: str) -> float:
    """Peak memory of one contestant in a process of its own, over that of its imports."""
    command = [sys.executable, __file__, "--peak", kind, name]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_peak(kind: str, name: str) -> None:
    import transformers  # noqa: F401  (all contestants alike)
    import vit_pytorch  # noqa: F401

    torch.set_num_threads(1)
    before = high_water()
    KINDS[kind][0](name)()
    print(high_water() - before)


def high_water() -> float:
    """The most memory that this process ever held, in MB. (getrusage would tell the parent's.)"""
    status = Path("/proc/self/status").read_text()  # Linux only
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def report(kind: str, names: list[str], threads: int, repeats: int) -> None:
    torch.set_num_threads(threads)
    seconds = take_turns(kind, names, repeats)
    print(f"\n{kind}, torch {torch.__version__}, {threads} thread(s), {repeats} turns")
    for name, values in seconds.items():
        print(f"{name:30} {statistics.median(values):8.3f} s CPU (min {min(values):.3f})")
    peers = [name for name in names if "ours" not in name]
    for mine in (name for name in names if "ours" in name):
        for theirs in (peer for peer in peers if peer[:7] == mine[:7]):
            ratios = [t / m for m, t in zip(seconds[mine], seconds[theirs], strict=True)]
            print(
                f"{mine}: {statistics.median(ratios):.2f} times as fast as {theirs[9:]} "
                f"(turns {min(ratios):.2f} to {max(ratios):.2f})"
            )
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--only", choices=KINDS, nargs="+", default=list(KINDS))
    parser.add_argument("--match", default="", help="only contestants with this in their names")
    parser.add_argument("--peak", nargs=2, metavar=("KIND", "NAME"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.peak:
        return print_peak(*options.peak)
    has_bfloat16 = multiplies_faster_in_bfloat16()
    if not has_bfloat16:
        print("This processor is no faster in bfloat16: those contestants are left out.")
    for kind in options.only:
        names = [name for name in KINDS[kind][1] if options.match in name]
        names = [name for name in names if has_bfloat16 or not name.endswith("bfloat16")]
        for threads in options.threads:
            report(kind, names, threads, options.repeats)
        print(f"{kind}, peak memory over the imports")
        for name in names:
            print(f"{name:30} {peak_megabytes(kind, name):8.0f} MB", flush=True)
        print()
    return None


if __name__ == "__main__":
    main()

"""The models on this CPU beside named peers in the same run: forward pass, and a train step.

    make bench            or            python tests/benchmarks/models.py --threads 2

Forward: ViViT-B/16x2 on one random clip of 32 x 224 x 224, eval. Train step: a small model (192
wide, 12 blocks, 16 frames of 112, batch 2, AdamW). Contestants take turns. Reported: the median of
each one's process CPU seconds, the median of the ratios turn by turn, and the peak memory of each
in a process of its own. A 2048^3 matrix product in the same run says how fast this processor is.
"""

import argparse
import contextlib
import statistics
from collections.abc import Callable

import torch
import torch.nn.functional as F
from measuring import (
    Transformers,
    cpu_seconds,
    load,
    peak_megabytes,
    print_peak,
    ratio,
    take_turns,
    usable,
)
from torch import nn

from vivit_lab import ViViTConfig, build_model

SMALL = {"frames": 16, "image_size": 112, "dim": 192, "depth": 12, "heads": 3, "mlp_dim": 768}


def config(model: str, small: bool = False, **fields) -> ViViTConfig:
    return ViViTConfig(model=model, **fields, **(SMALL if small else {}))


def ours(model: str, precision: str = "", checkpointing=False, **fields) -> nn.Module:
    made = build_model(config(model, **fields))
    made.set_grad_checkpointing(checkpointing)
    return made.for_inference(precision) if precision else made


class VitPytorch(nn.Module):
    """Model 2 as in vit-pytorch, which wants (B, C, T, H, W)."""

    def __init__(self, size: ViViTConfig):
        super().__init__()
        from vit_pytorch.vivit import ViViT

        self.module = ViViT(
            image_size=size.image_size[0],
            image_patch_size=16,
            frames=size.frames,
            frame_patch_size=2,
            num_classes=size.num_classes,
            dim=size.dim,
            spatial_depth=size.depth,
            temporal_depth=size.temporal_depth,
            heads=size.heads,
            mlp_dim=size.mlp_dim,
            dim_head=64,
            variant="factorized_encoder",
        )

    def forward(self, clip):
        return self.module(clip.transpose(1, 2))


ONE, TWO = "joint", "factorised_encoder"
FORWARD = {
    "Model 1, ours": lambda: ours(ONE),
    "Model 1, ours, fast_float32": lambda: ours(ONE, "fast_float32"),
    "Model 1, ours, bfloat16": lambda: ours(ONE, "bfloat16"),
    "Model 1, transformers sdpa": lambda: Transformers(config(ONE)),
    "Model 1, transformers eager": lambda: Transformers(config(ONE), "eager"),
    "Model 2, ours": lambda: ours(TWO),
    "Model 2, ours, fast_float32": lambda: ours(TWO, "fast_float32"),
    "Model 2, ours, bfloat16": lambda: ours(TWO, "bfloat16"),
    "Model 2, ours, exact GELU": lambda: ours(TWO, gelu="exact"),
    "Model 2, vit-pytorch": lambda: VitPytorch(config(TWO)),  # which has the exact one
}
TRAIN = {
    "Model 1, ours": lambda: ours(ONE, small=True),
    "Model 1, ours, checkpointing": lambda: ours(ONE, small=True, checkpointing=True),
    "Model 1, transformers sdpa": lambda: Transformers(config(ONE, small=True)),
    "Model 1, transformers eager": lambda: Transformers(config(ONE, small=True), "eager"),
    "Model 2, ours": lambda: ours(TWO, small=True),
    "Model 2, vit-pytorch": lambda: VitPytorch(config(TWO, small=True)),
}
KINDS = {"forward": FORWARD, "train": TRAIN}


def warm(kind: str, make: Callable[[], nn.Module]) -> Callable[[], object]:
    """The forward pass, or one step of AdamW, of a contestant; it has run once."""
    model = make().train(kind == "train")

    def forward():
        with torch.inference_mode():
            return model(clip)

    def step():
        optimiser.zero_grad()
        F.cross_entropy(model(clip), labels).backward()
        optimiser.step()

    if kind == "forward":
        call, clip = forward, torch.rand(1, 32, 3, 224, 224) * 2 - 1
    else:
        call, clip, labels = step, torch.rand(2, 16, 3, 112, 112) * 2 - 1, torch.tensor([3, 5])
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5)
    call()
    return call


def multiplies_faster_in_bfloat16() -> bool:
    a = torch.randn(1024, 1024)
    float32, bfloat16 = (
        min(cpu_seconds(torch.mm, x, x) for _ in range(5)) for x in (a, a.bfloat16())
    )
    return bfloat16 < float32


def report(kind: str, names: list[str], turns: int) -> list[str]:
    """Time these contestants; returns those that could be had."""
    a, b = torch.randn(2, 2048, 2048)
    calls = usable({name: KINDS[kind][name] for name in names}, lambda make: warm(kind, make))
    measures = {name: lambda call=call: cpu_seconds(call) for name, call in calls.items()}
    measures["matrix product 2048^3"] = lambda: cpu_seconds(torch.mm, a, b)
    seconds = take_turns(measures, turns)
    threads = torch.get_num_threads()
    print(f"\n{kind}, torch {torch.__version__}, {threads} thread(s), {turns} turns, {load()}")
    for name, values in seconds.items():
        print(f"{name:30} {statistics.median(values):8.3f} s CPU (min {min(values):.3f})")
    for mine in (name for name in calls if "ours" in name):
        for peer in (name for name in calls if "ours" not in name and name[:7] == mine[:7]):
            print(f"{mine}: {ratio(seconds[peer], seconds[mine])} times as fast as {peer[9:]}")
    return list(calls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=KINDS, nargs="+", default=list(KINDS))
    parser.add_argument("--peak", nargs=2, metavar=("KIND", "NAME"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    if options.peak:
        with contextlib.suppress(ImportError):  # all contestants alike
            import transformers  # noqa: F401
            import vit_pytorch  # noqa: F401
        kind, name = options.peak
        return print_peak(lambda: warm(kind, KINDS[kind][name]))
    left_out = () if multiplies_faster_in_bfloat16() else "bfloat16"
    if left_out:
        print("This processor is no faster in bfloat16: those contestants are left out.")
    for kind in options.only:
        names = [name for name in KINDS[kind] if not (left_out and name.endswith(left_out))]
        names = report(kind, names, options.turns)
        print(f"\n{kind}, peak memory over the imports")
        for name in names:
            print(f"{name:30} {peak_megabytes(kind, name):8.0f} MB", flush=True)
        print()
    return None


if __name__ == "__main__":
    main()

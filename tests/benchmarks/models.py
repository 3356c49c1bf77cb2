"""Forward pass of ViViT-B/16x2 on this CPU, against named peers in the same run.

    make bench            or            python tests/benchmarks/models.py --repeats 5

Every contestant gets the same random clip of 32 x 224 x 224, batch 1, one thread, eval, float32.
Contestants take turns (A B C A B C ...), so that a change in the machine's load meets all alike.
Reported: the median of each one's process CPU seconds, and the median of the ratios turn by turn.
A 2048^3 matrix product in the same run says how fast this processor can multiply.
"""

import argparse
import os
import statistics
import time

import torch

from vivit_lab import ViViTConfig, build_model


def ours(model: str):
    module = build_model(ViViTConfig.preset("B/16x2", model=model)).eval()
    return lambda clip: module(clip)


def transformers_sdpa():
    from transformers import VivitConfig, VivitForVideoClassification

    config = VivitConfig(num_labels=400, attn_implementation="sdpa")
    module = VivitForVideoClassification(config).eval()
    assert module.config._attn_implementation == "sdpa"
    return lambda clip: module(pixel_values=clip).logits


def vit_pytorch_factorised_encoder():
    from vit_pytorch.vivit import ViViT

    module = ViViT(
        image_size=224,
        image_patch_size=16,
        frames=32,
        frame_patch_size=2,
        num_classes=400,
        dim=768,
        spatial_depth=12,
        temporal_depth=4,
        heads=12,
        mlp_dim=3072,
        dim_head=64,
        variant="factorized_encoder",
    ).eval()
    return lambda clip: module(clip.transpose(1, 2))


CONTESTANTS = {
    "Model 1, ours": lambda: ours("joint"),
    "Model 1, transformers sdpa": transformers_sdpa,
    "Model 2, ours": lambda: ours("factorised_encoder"),
    "Model 2, vit-pytorch": vit_pytorch_factorised_encoder,
}


def cpu_seconds(call) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    torch.manual_seed(0)
    clip = torch.rand(1, 32, 3, 224, 224) * 2 - 1
    a, b = torch.randn(2, 2048, 2048)
    models = {name: make() for name, make in CONTESTANTS.items()}
    seconds = {name: [] for name in ["matrix product 2048^3", *models]}
    with torch.inference_mode():
        for model in models.values():
            model(clip)  # warm up
        for turn in range(repeats):
            seconds["matrix product 2048^3"].append(cpu_seconds(lambda: a @ b))
            for name, model in models.items():
                seconds[name].append(cpu_seconds(lambda model=model: model(clip)))
            print(f"turn {turn + 1} of {repeats}, load {os.getloadavg()[0]:.1f}", flush=True)

    print(f"\ntorch {torch.__version__}, 1 thread, batch 1, {repeats} interleaved turns")
    for name, values in seconds.items():
        print(f"{name:30} {statistics.median(values):8.3f} s CPU (min {min(values):.3f})")
    for mine, theirs in [
        ("Model 1, ours", "Model 1, transformers sdpa"),
        ("Model 2, ours", "Model 2, vit-pytorch"),
    ]:
        ratios = [t / m for m, t in zip(seconds[mine], seconds[theirs], strict=True)]
        print(
            f"{mine} is {statistics.median(ratios):.2f}x as fast as {theirs.split(', ')[1]} "
            f"(turns: {', '.join(f'{r:.2f}' for r in ratios)})"
        )


if __name__ == "__main__":
    main()

"""Trains the small weights in assets/weights: python assets/train_weights.py [name ...]

The four models learn Arrow of Time (clips of 8 x 48 x 48), 64 wide and 4 blocks deep, so that they
run in a blink on any laptop. Seeds are fixed; log.json keeps what was reached. Three to five
minutes of one core each. Model 2 was trained with --seed 1: with seed 0 it does not find out in
700 steps which way the colours go. Same versions, same machine, one thread: same weights.

video_vit, from which the recipe cpu_small starts, is Model 1 of these after the hard level:
python -m vivit_lab finetune arrow-of-time:hard --init assets/weights/joint.safetensors \\
    --set model=joint temporal_depth=null crop=48 batch=32 lr=1e-3 lr_batch=null epochs=3 \\
    warmup_epochs=0.2
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivit_lab import ViViTConfig, build_model
from vivit_lab.data import ArrowOfTime
from vivit_lab.models import MODELS
from vivit_lab.video import normalise
from vivit_lab.weights import save_checkpoint

FOLDER = Path(__file__).resolve().parent / "weights"
SIZE, TRAIN, TEST, BATCH = 48, 8192, 2048, 32


def small_model(name: str) -> nn.Module:
    return build_model(
        ViViTConfig(
            model=name,
            frames=8,
            image_size=SIZE,
            tubelet=(2, 8, 8),
            dim=64,
            depth=4,
            heads=4,
            mlp_dim=256,
            temporal_depth=2 if name == "factorised_encoder" else None,
            num_classes=len(ArrowOfTime.classes),
        )
    )


def clips(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """uint8 (count, 8, 3, 48, 48) and labels (count,)."""
    return ArrowOfTime(count, frames=8, image_size=SIZE, seed=seed).batch(range(count))


@torch.inference_mode()
def accuracy(model: nn.Module, pixels: Tensor, labels: Tensor) -> float:
    model.eval()
    right = [
        (model(normalise(x)).argmax(-1) == y).sum()
        for x, y in zip(pixels.split(BATCH), labels.split(BATCH), strict=True)
    ]
    return sum(right).item() / len(labels)


def train(model: nn.Module, train_set: tuple, test_set: tuple, steps: int) -> dict:
    """AdamW 1e-3, 50 steps of warm-up, cosine to zero; returns what to write into the log."""
    pixels, labels = train_set
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min(1, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps)),
    )
    start, losses = time.process_time(), []
    epochs = -(-steps * BATCH // len(labels))
    order = torch.cat([torch.randperm(len(labels)) for _ in range(epochs)])
    model.train()
    for step, batch in enumerate(order[: steps * BATCH].split(BATCH)):
        loss = F.cross_entropy(model(normalise(pixels[batch])), labels[batch])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        rate.step()
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            mean = sum(losses[-100:]) / 100
            print(f"  step {step + 1} of {steps}, loss {mean:.3f}", flush=True)
    return {
        "steps": steps,
        "batch": BATCH,
        "loss of each 100 steps": [
            round(sum(losses[i : i + 100]) / 100, 4) for i in range(0, steps, 100)
        ],
        "test accuracy": accuracy(model, *test_set),
        "CPU minutes": round((time.process_time() - start) / 60, 1),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(MODELS))
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    log_file = FOLDER / "log.json"
    train_set, test_set = clips(TRAIN, seed=1), clips(TEST, seed=2)
    for name in options.names:
        print(name, flush=True)
        torch.manual_seed(options.seed)
        model = small_model(name)
        entry = train(model, train_set, test_set, options.steps)
        model.class_names = ArrowOfTime.classes
        save_checkpoint(FOLDER / f"{name}.safetensors", model, history=[entry])
        log = json.loads(log_file.read_text()) if log_file.exists() else {}
        log[name] = {"seed": options.seed} | entry
        log_file.write_text(json.dumps(log, indent=1) + "\n")
        print(json.dumps(entry), flush=True)


if __name__ == "__main__":
    main()

"""Trains the small image ViT in assets/weights: python assets/train_image_vit.py

It sees single frames of Arrow of Time (32 x 32 pixels) and tells five things that one frame shows:
shape, colour, where, at what angle, how large. What a frame cannot show is the class of its clip.
So its weights know pictures but nothing of time, as those of an ImageNet model do for real videos.
About a minute of one core. Same versions, same machine, one thread: same weights.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vivit_lab import build_model
from vivit_lab.data import ArrowOfTime
from vivit_lab.data.arrow_drawing import SHAPES
from vivit_lab.training import Recipe, evaluate, fit
from vivit_lab.weights import save_checkpoint

FOLDER = Path(__file__).resolve().parent / "weights"
FRAMES, CLIPS, TEST_CLIPS = 2, 12288, 1024  # short clips: single frames are all that is seen
RECIPE = Recipe.preset(
    "cpu_tiny",
    model="joint",
    temporal_depth=None,
    optimiser="adamw",
    lr=2e-3,
    lr_batch=None,
    batch=128,
    epochs=4,
    warmup_epochs=0.5,
)
CLASSES = {
    "shape": SHAPES,
    "colour": ("red", "green", "blue"),
    "column": tuple(f"column {i} of 8" for i in range(8)),
    "angle": tuple(f"{45 * i} to {45 * (i + 1)} degrees" for i in range(8)),
    "size": ("small", "medium", "large", "very large"),
}


class Frames(Dataset):
    """Single frames (1, 3, 32, 32) and {head: label}: all frames of some clips, one by one."""

    classes = CLASSES

    def __init__(self, clips: int, seed: int):
        self.clips = ArrowOfTime(clips, FRAMES, seed=seed)
        self.labels = [labels_of(self.clips, number) for number in range(clips)]

    def __len__(self) -> int:
        return FRAMES * len(self.clips)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, int]]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, dict[str, int]]]:
        needed = sorted({index // FRAMES for index in indices})
        clips, _ = self.clips.batch(needed)
        found = []
        for index in indices:
            number, frame = divmod(index, FRAMES)
            labels = {head: int(each[frame]) for head, each in self.labels[number].items()}
            found.append((clips[needed.index(number), frame : frame + 1], labels))
        return found


def labels_of(clips: ArrowOfTime, number: int) -> dict[str, np.ndarray]:
    """What each frame of a clip shows: head -> (T,) numbers of classes."""
    scene = clips.scene(number)
    smallest, largest = 0.25, 0.42  # radii of the easy level
    size = np.log(scene.radius / smallest) / np.log(largest / smallest)
    return {
        "shape": np.full(FRAMES, SHAPES.index(scene.shape)),
        "colour": scene.colour,
        "column": bins(scene.column, 8),
        "angle": bins(scene.turn, 8),
        "size": bins(size, 4),
    }


def bins(share: np.ndarray, count: int) -> np.ndarray:
    return np.clip((share * count).astype(int), 0, count - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    recipe = RECIPE.change(epochs=options.epochs, seed=options.seed)
    model = build_model(
        recipe.config(
            frames=1,
            tokenizer="uniform_frames",
            sampled_frames=1,
            tubelet=(1, 8, 8),
            num_classes={head: len(names) for head, names in CLASSES.items()},
        )
    )
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = fit(model, Frames(CLIPS, 0), recipe=recipe, folder=f"{folder}/run", device="cpu")
    minutes = (time.process_time() - started) / 60
    result = evaluate(model, Frames(TEST_CLIPS, 2), progress=False)
    entry = {
        "seed": options.seed,
        "frames": FRAMES * CLIPS,
        "epochs": options.epochs,
        "loss of each epoch": [round(epoch["loss"], 4) for epoch in run.history],
        "test accuracy": {head: round(each.top1, 4) for head, each in result.heads.items()},
        "CPU minutes": round(minutes, 1),
        "torch": torch.__version__,
    }
    save_checkpoint(FOLDER / "image_vit.safetensors", model, class_names=CLASSES, history=[entry])
    log_file = FOLDER / "log.json"
    log = json.loads(log_file.read_text()) | {"image_vit": entry}
    log_file.write_text(json.dumps(log, indent=1) + "\n")
    print(json.dumps(entry))


if __name__ == "__main__":
    main()

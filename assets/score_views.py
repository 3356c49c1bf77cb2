"""Makes assets/scores: python assets/score_views.py

A small Model 2 with two heads, verb and noun, learns clips of long videos that we render. Then it
is asked for 12 views (4 clips x 3 crops) of each of 800 other videos, written as mp4 files and read
by the loader that real videos take. Seeds are fixed; log.json keeps what was reached. About five
minutes of one core. Same versions, same machine, one thread: same weights and scores.
"""

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vivit_lab import build_model
from vivit_lab.data import LongVideos, ViewDataset
from vivit_lab.models import ViViT
from vivit_lab.training import Evaluation, Moment, Recipe, evaluate, fit
from vivit_lab.video import ByFrame, TestTransform
from vivit_lab.weights import save_checkpoint

FOLDER = Path(__file__).resolve().parent / "scores"
CROP, SAMPLING = 32, ByFrame(clip_frames=8, stride=2)
TRAIN = LongVideos(videos=8192, frames=40, seed=1)  # shorter: a clip rarely misses the action
TEST = LongVideos()
TOGETHER = 128  # drawn at once
RECIPE = Recipe.preset(
    "cpu_tiny",
    classes={"verb": 8, "noun": 5},
    model="factorised_encoder",
    temporal_depth=2,
    epochs=16,
    warmup_epochs=1,
    lr=1e-3,
    lr_batch=64,
    batch=64,
    weight_decay=0.05,
)

# What becomes of the eight verbs in a mirror, upside down, and backwards.
MIRRORED, UPSIDE_DOWN = (1, 0, 3, 2, 4, 5, 6, 7), (0, 1, 3, 2, 4, 5, 6, 7)
BACKWARDS = (1, 0, 3, 2, 5, 4, 7, 6)


class RandomClips(Dataset):
    """A clip of each video, at a random time and place, kept in memory.

    In each epoch half of them are mirrored, half upside down, half backwards, and their verbs are
    what they then are: eight clips for the price of one.
    """

    def __init__(self, videos: LongVideos, seed: int):
        self.classes, self.seed, self.epoch = videos.classes, seed, 0
        self.labels = [videos.label(number) for number in range(len(videos))]
        random = np.random.default_rng(seed)
        times = np.arange(videos.frames) / 25
        frames = np.array([SAMPLING.train(times, random) for _ in range(len(videos))])
        lefts = random.integers(0, 2 * videos.height - CROP + 1, len(videos))
        self.clips = np.empty((len(videos), SAMPLING.clip_frames, 3, CROP, CROP), np.uint8)
        for first in range(0, len(videos), TOGETHER):
            numbers = range(first, min(first + TOGETHER, len(videos)))
            for number, wide in zip(numbers, videos.draw(numbers, frames[numbers]), strict=True):
                self.clips[number] = wide[..., lefts[number] : lefts[number] + CROP]

    def __len__(self) -> int:
        return len(self.labels)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, number: int) -> tuple[Tensor, dict[str, int]]:
        clip, verb = self.clips[number], self.labels[number]["verb"]
        drawn = np.random.default_rng((self.seed, self.epoch, number)).random(3) < 0.5
        ways = (3, MIRRORED), (2, UPSIDE_DOWN), (0, BACKWARDS)  # axis of the clip, verbs
        for (axis, verbs), turned in zip(ways, drawn, strict=True):
            if turned:
                clip, verb = np.flip(clip, axis), verbs[verb]
        return torch.from_numpy(clip.copy()), self.labels[number] | {"verb": verb}


def tell(moment: Moment) -> None:
    """Print how an epoch went."""
    if moment.after_epoch:
        loss, right = moment.loss, moment.accuracy
        print(f"epoch {moment.epoch}: loss {loss:.3f}, heads right {right:.1%}", flush=True)


def train(videos: LongVideos, recipe: Recipe) -> tuple[ViViT, list[dict]]:
    """A model with two heads, and the figures of its epochs."""
    torch.manual_seed(recipe.seed)
    model, clips = build_model(recipe.config()), RandomClips(videos, recipe.seed)
    with tempfile.TemporaryDirectory() as folder:
        run = fit(
            model,
            clips,
            recipe=recipe,
            folder=f"{folder}/run",
            device="cpu",
            progress=False,
            callback=tell,
        )
    return run.model, run.history


def score(model: ViViT, videos: LongVideos, clips: int = 4, crops: int = 3) -> Evaluation:
    """All views of videos that the model has not seen, through mp4 files."""
    with tempfile.TemporaryDirectory() as folder:
        transform = TestTransform(CROP, videos.height, crops)
        views = ViewDataset(videos.write(folder), SAMPLING, clips, transform)
        scores = evaluate(model, views, progress=False).scores
    name = f"LongVideos(videos={len(videos)}, seed={videos.seed})"  # the folder is gone
    origin = dataclasses.replace(scores.origin, data=name)
    return Evaluation(dataclasses.replace(scores, origin=origin))


def make(
    folder: Path,
    train_set: LongVideos = TRAIN,
    test_set: LongVideos = TEST,
    recipe: Recipe = RECIPE,
) -> Evaluation:
    """Train, score, and write model, scores and log into a folder."""
    start = time.process_time()
    model, history = train(train_set, recipe)
    trained = time.process_time()
    result = score(model, test_set)
    folder.mkdir(parents=True, exist_ok=True)
    save_checkpoint(folder / "two_heads.safetensors", model, history=history)
    result.save(folder / "long_videos.npz")
    log = {
        "seed": recipe.seed,
        "training videos": len(train_set),
        "recipe": recipe.to_dict(),
        "epochs": history,
        "result": result.to_dict(),
        "CPU minutes of training": round((trained - start) / 60, 1),
        "CPU minutes of scoring": round((time.process_time() - trained) / 60, 1),
        "torch": torch.__version__,
    }
    (folder / "log.json").write_text(json.dumps(log, indent=1, ensure_ascii=False) + "\n")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to write")
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    print(make(folder))


if __name__ == "__main__":
    main()

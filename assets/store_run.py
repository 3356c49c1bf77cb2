"""Makes the runs of notebook 07 in assets/runs: python assets/store_run.py [name ...]

failing      seven short runs of one small model, of which five have a fault: for the exercise "read
             a failing curve"; two minutes of one core
starts       six runs of notebook 07's model on its classes, from random weights and from our
             inflated image ViT, three seeds each; two minutes
fine_tuning  the run that notebook 07 opens with: its own code cells, up to the end of its training

Seeds are fixed, one thread. Same versions, same machine: same curves.
"""

import argparse
import itertools
import json
import os
import tempfile
from pathlib import Path

import torch
from torch.utils.data import Dataset

from vivit_lab import build_model
from vivit_lab.data import ArrowOfTime
from vivit_lab.training import Recipe, fit, read_log
from vivit_lab.weights import inflate, small_image_vit

HERE = Path(__file__).resolve().parent
FOLDER, NOTEBOOK = HERE / "runs", HERE.parent / "notebooks" / "src" / "07_fine_tuning.py"
CLASSES = ("moves right", "moves left", "grows", "shrinks")
HEALTHY = Recipe.preset(
    "cpu_tiny",
    classes=len(CLASSES),
    batch=32,
    lr=2e-3,
    lr_batch=32,
    betas=(0.9, 0.98),
    epochs=8,
    warmup_epochs=1,
)
FAULTS = {  # letter -> what is wrong, recipe, clips
    "A": ("labels shuffled", HEALTHY.change(epochs=64, warmup_epochs=8), 64),
    "B": ("nothing", HEALTHY, 512),
    "C": ("learning rate too high", HEALTHY.change(lr=0.1), 512),
    "D": ("too few clips", HEALTHY.change(epochs=128, warmup_epochs=16), 32),
    "E": ("learning rate too low", HEALTHY.change(lr=1e-4), 512),
    "F": ("classes in another order", HEALTHY, 512),
    "G": ("pixels 0 to 255", HEALTHY, 512),  # no fault, as it turned out
}


class FourClasses(Dataset):
    """Clips of Arrow of Time that move or change their size; with labels shuffled if asked."""

    classes = CLASSES

    def __init__(self, clips: int, seed: int, shuffled: bool = False):
        self.all = ArrowOfTime(2 * clips, frames=8, seed=seed)
        here = [self.all.classes.index(name) for name in CLASSES]
        self.numbers = [8 * (i // 4) + here[i % 4] for i in range(clips)]
        self.labels = torch.arange(clips) % 4
        if shuffled:
            random = torch.Generator().manual_seed(seed)
            self.labels = self.labels[torch.randperm(clips, generator=random)]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.all[self.numbers[index]][0], int(self.labels[index])


def failing() -> None:
    """Train all seven; keep the loss of each step, and both accuracies of each epoch."""
    found = {letter: trained(*FAULTS[letter]) for letter in FAULTS}
    rows = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in found.items())
    (FOLDER / "failing.json").write_text(f"{{\n{rows}\n}}\n")


def trained(fault: str, recipe: Recipe, clips: int) -> dict:
    """One of the runs, as its log has it."""
    torch.manual_seed(0)
    model = build_model(recipe.config())
    if fault == "pixels 0 to 255":
        model.patch_embed.register_forward_pre_hook(lambda _, given: (127.5 * (given[0] + 1),))
    train = FourClasses(clips, seed=0, shuffled=fault == "labels shuffled")
    with tempfile.TemporaryDirectory() as folder:
        run, others = Path(folder, "run"), FourClasses(80, seed=1)
        if fault == "classes in another order":
            others.labels = torch.tensor([1, 0, 2, 3])[others.labels]  # two have changed places
        fit(model, train, others, recipe=recipe, folder=run, device="cpu", progress=False)
        steps, epochs = read_log(run)
    print(
        f"{fault}: {epochs[-1]['accuracy']:.1%}, validation {epochs[-1]['validation']['top1']:.1%}"
    )
    return {
        "fault": fault,
        "clips": clips,
        "loss": [round(step["loss"], 3) for step in steps],
        "training": [round(epoch["accuracy"], 3) for epoch in epochs],
        "validation": [round(epoch["validation"]["top1"], 3) for epoch in epochs],
    }


def starts() -> None:
    """Validation accuracy after each epoch, by start and seed; of 0 epochs: chance, by design."""
    found = []
    for seed, start in itertools.product(range(3), ("random", "central frame")):
        recipe = HEALTHY.change(epochs=5, warmup_epochs=0.4, seed=seed)
        torch.manual_seed(seed)
        model = build_model(recipe.config())
        if start == "central frame":
            inflate(model, small_image_vit(), tubelet="central_frame")
        with tempfile.TemporaryDirectory() as folder:
            run = fit(model, FourClasses(1024, seed=0), FourClasses(160, seed=1), recipe=recipe,
                      folder=Path(folder, "run"), device="cpu", progress=False)  # fmt: skip
        reached = [1 / len(CLASSES), *(epoch["validation"]["top1"] for epoch in run.history)]
        found.append({"start": start, "seed": seed, "validation": reached})
        print(found[-1], flush=True)
    rows = ",\n".join(f" {json.dumps(row)}" for row in found)
    (FOLDER / "starts.json").write_text(f"[\n{rows}\n]\n")


def fine_tuning() -> None:
    """Run the notebook's code cells, without the one that shows this run, and keep the run."""
    import jupytext

    from vivit_lab.training import StoredRun

    os.environ["VIVIT_LAB_SETUP"] = "cpu"
    space: dict = {}
    for cell in jupytext.read(NOTEBOOK).cells:
        if cell.cell_type == "code" and "StoredRun.load" not in cell.source:
            exec(cell.source, space)
            if "cockpit.wait()" in cell.source:
                break
    run = StoredRun.of(space["run"].folder)
    run.save(FOLDER / "fine_tuning.npz")
    print(run.title, run.epochs[-1], f"{(FOLDER / 'fine_tuning.npz').stat().st_size / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=["failing", "starts", "fine_tuning"])
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    for name in parser.parse_args().what:
        {"failing": failing, "starts": starts, "fine_tuning": fine_tuning}[name]()


if __name__ == "__main__":
    main()

"""A cockpit over a tiny training, and a gate that holds the training where a test wants it."""

import io
import sys
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

from vivit_lab.training import fit
from vivit_lab.widgets import TrainingCockpit

sys.path.append(str(Path(__file__).resolve().parents[1] / "training"))
from tiny_training import Glows, tiny_model, tiny_recipe

LONG = {"epochs": 4, "drop_path": 0.1, "mixup": 0.2}  # draws random numbers in every step


def cockpit(folder, *, model=None, recipe=None, train=None, validation=None, **options):
    recipe = tiny_recipe() if recipe is None else recipe
    model = tiny_model(drop_path=recipe.drop_path) if model is None else model
    train = Glows() if train is None else train
    return TrainingCockpit(model, train, validation, recipe=recipe, folder=folder, **options)


def plain_run(folder, **changes):
    recipe = tiny_recipe(**changes)
    model = tiny_model(drop_path=recipe.drop_path)
    return fit(model, Glows(), recipe=recipe, folder=folder, progress=False)


def at(watched, act) -> None:
    """Calls act(moment) before the cockpit hears of each step and epoch."""
    heard = watched.training._heard
    watched.training._heard = lambda moment: (act(moment), heard(moment))


def pixels(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)


def until(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.005)


class Gate:
    """Lets a data set give clips only as often as a test says: training stands where it should."""

    def __init__(self):
        self.open, self.asked = threading.Event(), threading.Semaphore(0)

    def data(self, batches=3):
        gate = self

        class Gated(Glows):
            count = 0

            def __getitem__(self, index):
                self.count += 1
                if self.count > 16 * batches + 2:  # the first is looked at twice before it begins
                    gate.asked.release()
                    assert gate.open.wait(300)
                return super().__getitem__(index)

        Gated.__name__ = Glows.__name__  # to a run that goes on they are the same data
        return Gated()


def held(folder, batches=3, **options):
    """A cockpit whose training stands before the step after so many, and what lets it go on."""
    gate = Gate()
    watched = cockpit(folder, train=gate.data(batches), **options)
    watched.start()
    gate.asked.acquire()
    return watched, gate.open

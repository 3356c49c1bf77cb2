"""What goes wrong in training is said in the cockpit, nothing is lost, and start tries again."""

import errno
import html
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vivit_lab.training import TrainingError, read_log
from vivit_lab.training import run as state_module
from vivit_lab.widgets import TrainingCockpit
from vivit_lab.widgets import live_strip as strip_module
from vivit_lab.widgets import training_cockpit as cockpit_module

sys.path.append(str(Path(__file__).resolve().parents[1] / "training"))
from tiny_training import SHAPE, Glows, same_weights, tiny_model, tiny_recipe


def cockpit(folder, *, model=None, recipe=None, train=None, validation=None, **options):
    return TrainingCockpit(
        tiny_model() if model is None else model,
        Glows() if train is None else train,
        validation,
        recipe=tiny_recipe() if recipe is None else recipe,
        folder=folder,
        **options,
    )


def said(watched) -> str:
    return html.unescape(re.sub("<[^>]*>", "", watched.message.value))


def fails(watched, kind, match):
    """It ends with this error; the message box says it, above a picture that is still there."""
    with pytest.raises(kind, match=match):
        watched.wait(120)
    assert watched.state == "failed"
    assert re.search(match, said(watched))
    assert watched.picture.layout.display is None and watched.picture.value
    assert not watched.start_button.disabled and watched.pause_button.disabled
    assert watched.start_button.description == "Go on"


def test_the_folder_holds_another_run_and_keeps_it(tmp_path):
    run = cockpit(tmp_path / "run").wait(120)
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    model = tiny_model(seed=1)
    watched = cockpit(tmp_path / "run", model=model)
    fails(watched, FileExistsError, "holds a run already")
    watched.start()
    fails(watched, FileExistsError, "holds a run already")  # start does not turn into resume
    assert {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()} == before
    assert same_weights(model, tiny_model(seed=1))
    shutil.rmtree(tmp_path / "run")  # what the message asks for
    watched.start()
    assert watched.wait(120).steps == run.steps and said(watched) == ""


def test_data_that_does_not_fit_is_said(tmp_path):
    watched = cockpit(tmp_path / "run", model=tiny_model(num_classes=5))
    fails(watched, ValueError, "The training set has 4 classes, but the model has 5")
    assert not (tmp_path / "run").exists()
    watched = cockpit(tmp_path / "run", model=tiny_model(frames=6))
    fails(watched, ValueError, "but the model was built for")


def test_not_a_number(tmp_path):
    model = tiny_model()
    with torch.no_grad():
        model.head.weight[0, 0] = torch.nan
    fails(cockpit(tmp_path / "run", model=model), TrainingError, "The loss is nan at step 1")


class Breaks(Glows):
    """Raises at one of its clips, until it is mended."""

    def __init__(self, at: int, error: Exception):
        super().__init__()
        self.count, self.at, self.error, self.mended = 0, at, error, False

    def __getitem__(self, index):
        self.count += 1
        if self.count > self.at and not self.mended:
            raise self.error
        return super().__getitem__(index)


@pytest.mark.parametrize("at", [2, 45, 100], ids=["at once", "first epoch", "second epoch"])
def test_after_an_error_start_goes_on_and_ends_with_the_same_weights(tmp_path, at):
    plain = cockpit(tmp_path / "plain").wait(120)
    data = Breaks(at, OSError(errno.EIO, "the disk is gone"))
    watched = cockpit(tmp_path / "run", train=data)
    fails(watched, Exception, "the disk is gone")
    data.mended = True
    watched.start()
    run = watched.wait(120)
    assert said(watched) == "" and watched.state == "finished"
    assert same_weights(run.model, plain.model)
    assert read_log(tmp_path / "run") == read_log(tmp_path / "plain")
    assert watched.training.record.steps[:, 0].tolist() == list(range(1, 9))


def test_after_an_error_the_run_goes_on_with_the_rate_of_the_slider(tmp_path):
    data = Breaks(25, OSError("gone"))
    watched = cockpit(tmp_path / "run", train=data)
    fails(watched, Exception, "gone")
    data.mended, watched.lr.value = True, 0.01
    watched.start()
    watched.wait(120)
    expected = [0.01 * tiny_recipe().learning_rate(step, 4) for step in range(8)]  # 0 at first
    lrs = [entry["lr"] for entry in read_log(tmp_path / "run")[0]]
    assert lrs == pytest.approx(expected)


def test_a_full_disk_loses_nothing_and_start_goes_on_when_there_is_room(tmp_path, monkeypatch):
    plain = cockpit(tmp_path / "plain").wait(120)
    write, full = state_module.write_safetensors, [False]

    def writing(path, *rest):
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, *rest)

    monkeypatch.setattr(state_module, "write_safetensors", writing)
    watched = cockpit(tmp_path / "run")
    heard = watched.training.record.heard
    watched.training.record.heard = lambda moment: (
        heard(moment),
        full.__setitem__(0, moment.step == 8),
    )
    fails(watched, TrainingError, "No space left on device.*make room")
    watched.training.record.heard = heard
    full[0] = False
    watched.start()
    assert same_weights(watched.wait(120).model, plain.model)


def test_a_run_whose_folder_was_removed_cannot_go_on_and_says_so(tmp_path):
    model = tiny_model()
    watched = cockpit(tmp_path / "run", model=model, recipe=tiny_recipe(epochs=3))
    heard = watched.training.record.heard
    watched.training.record.heard = lambda moment: (
        heard(moment),
        watched.stop() if moment.step == 6 else None,
    )
    assert watched.wait(120).stopped
    weights = {name: each.clone() for name, each in model.state_dict().items()}
    shutil.rmtree(tmp_path / "run")
    watched.start()
    fails(watched, FileNotFoundError, "state.safetensors' is gone, so this run cannot go on")
    assert all(each.equal(weights[name]) for name, each in model.state_dict().items())


def test_an_error_of_no_kind_we_know_is_named(tmp_path):
    data = Breaks(30, ZeroDivisionError("division by zero"))
    fails(cockpit(tmp_path / "run", train=data), Exception, "division by zero")


def test_a_worker_process_that_fails_is_said(tmp_path):
    data = Breaks(20, OSError("the network is gone"))
    fails(cockpit(tmp_path / "run", train=data, workers=1), Exception, "the network is gone")


def test_workers_feed_a_training_in_a_thread(tmp_path):
    plain = cockpit(tmp_path / "plain").wait(120)
    run = cockpit(tmp_path / "run", workers=1).wait(120)
    assert same_weights(run.model, plain.model)


# ---- trouble with pictures is not worth a training


def test_a_strip_that_cannot_be_drawn_is_noted_and_training_goes_on(tmp_path, monkeypatch):
    def breaks(*_):
        raise MemoryError("no room for maps")

    monkeypatch.setattr(strip_module, "attention_maps", breaks)
    watched = cockpit(tmp_path / "run")
    assert not watched.wait(120).stopped
    assert "No attention strip: no room for maps" in said(watched)


def test_a_picture_that_cannot_be_drawn_is_noted_and_training_goes_on(tmp_path, monkeypatch):
    watched = cockpit(tmp_path / "run")
    draw = cockpit_module.draw

    def breaks(shown):
        if shown.phase != "finished":
            raise ZeroDivisionError("no pen")
        return draw(shown)

    monkeypatch.setattr(cockpit_module, "draw", breaks)
    watched.training.start()
    assert not watched.wait(120).stopped
    assert "could not be drawn: ZeroDivisionError('no pen')" in said(watched)


def test_a_cockpit_whose_widgets_were_closed_goes_on_training(tmp_path):
    watched = cockpit(tmp_path / "run")
    watched.start()
    watched.ui.close()
    watched.picture.close()
    assert not watched.wait(120).stopped


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    fails(cockpit(tmp_path / "file" / "run"), Exception, "file")
    fails(cockpit(tmp_path / "file"), FileExistsError, "is a file, but must be the folder")
    assert (tmp_path / "file").read_text() == "in the way"


# ---- the clip


def test_a_clip_of_another_shape_is_refused(tmp_path):
    for clip in (torch.zeros(SHAPE), torch.zeros(4, 3, 16, 18, dtype=torch.uint8), "clip.mp4"):
        with pytest.raises(
            ValueError, match=r"clip is .*, but must be torch.uint8 .*\(4, 3, 16, 16\)"
        ):
            cockpit(tmp_path / "run", clip=clip)


def test_a_first_clip_that_cannot_be_read_is_the_trainings_affair(tmp_path):
    watched = cockpit(tmp_path / "run", train=Breaks(0, OSError("unreadable")))
    assert watched.shown().strips is None
    fails(watched, Exception, "unreadable")


def test_the_clip_that_was_given_is_drawn(tmp_path):
    clip = torch.full(SHAPE, 200, dtype=torch.uint8)
    watched = cockpit(tmp_path / "run", clip=clip)
    assert np.unique(watched.shown().strips[0].pixels).tolist() == [200]

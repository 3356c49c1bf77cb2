"""What goes wrong in training is said in the cockpit, nothing is lost, and start tries again."""

import errno
import html
import re
import shutil

import numpy as np
import pytest
import torch
from cockpits import at, cockpit
from tiny_training import SHAPE, Glows, logged, same_weights, tiny_model, tiny_recipe

from vivit_lab.training import TrainingError, read_log
from vivit_lab.training import run as run_module
from vivit_lab.widgets import run_view


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A run without faults; a worker reads its clips."""
    return cockpit(tmp_path_factory.mktemp("plain") / "run", workers=1).wait(300)


def said(watched) -> str:
    return html.unescape(re.sub("<[^>]*>", "", watched.message.value))


def fails(watched, kind, match):
    """It ends with this error; the message box says it, above a picture that is still there."""
    with pytest.raises(kind, match=match):
        watched.wait(300)
    assert watched.state == "failed"
    assert re.search(match, said(watched))
    assert watched.picture.layout.display is None and watched.picture.value
    assert not watched.start_button.disabled and watched.pause_button.disabled
    assert watched.start_button.description == "Go on"


def test_the_folder_holds_another_run_and_keeps_it(tmp_path, plain):
    folder = tmp_path / "run"
    shutil.copytree(plain.folder, folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    model = tiny_model(seed=1)
    watched = cockpit(folder, model=model)
    for _ in range(2):
        fails(watched, FileExistsError, "holds a run already")
        assert len(watched.shown().points) == 0  # what is there is not this run
        watched.start()  # does not turn into resume
    fails(watched, FileExistsError, "holds a run already")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert same_weights(model, tiny_model(seed=1))
    shutil.rmtree(folder)  # what the message asks for
    watched.start()
    assert watched.wait(300).steps == plain.steps and said(watched) == ""


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


def test_what_ends_a_training_is_said(tmp_path):
    wide, nan, file = tiny_model(num_classes=5), tiny_model(), tmp_path / "file"
    torch.nn.init.constant_(nan.head.weight, torch.nan)
    file.write_text("in the way")
    unknown = Breaks(30, ZeroDivisionError("division by zero"))
    away = Breaks(20, OSError("the network is gone"))
    for folder, options, kind, match in (
        ("wide", {"model": wide}, ValueError, "training set has 4 classes, but the model has 5"),
        ("nan", {"model": nan}, TrainingError, "The loss is nan at step 1"),
        ("a", {"train": unknown}, Exception, "division by zero"),
        ("b", {"train": away, "workers": 1}, Exception, "the network is gone"),
        ("file/run", {}, Exception, "file"),
        ("file", {}, NotADirectoryError, "Not a directory"),
    ):
        fails(cockpit(tmp_path / folder, **options), kind, match)
    assert not (tmp_path / "wide").exists() and file.read_text() == "in the way"


def test_after_an_error_start_goes_on_and_ends_with_the_same_weights(tmp_path, plain):
    for clip in (2, 45, 100):  # at once, in the first epoch, in the second one
        data = Breaks(clip, OSError(errno.EIO, "the disk is gone"))
        watched = cockpit(tmp_path / str(clip), train=data)
        fails(watched, Exception, "the disk is gone")
        data.mended = True
        watched.start()
        run = watched.wait(300)
        assert said(watched) == "" and watched.state == "finished"
        assert same_weights(run.model, plain.model)
        assert logged(run.folder) == logged(plain.folder)
        assert watched.shown().points[:, 0].tolist() == list(range(1, 9))


def test_after_an_error_the_run_goes_on_with_the_rate_of_the_slider(tmp_path):
    data = Breaks(25, OSError("gone"))
    watched = cockpit(tmp_path / "run", train=data)
    fails(watched, Exception, "gone")
    data.mended, watched.lr.value = True, 0.01
    watched.start()
    watched.wait(300)
    expected = [0.01 * tiny_recipe().learning_rate(step, 4) for step in range(8)]  # 0 at first
    assert [entry["lr"] for entry in read_log(tmp_path / "run")[0]] == pytest.approx(expected)


def test_a_full_disk_loses_nothing_and_start_goes_on_when_there_is_room(
    tmp_path, plain, monkeypatch
):
    write, full = run_module.io.write_safetensors, []

    def writing(path, *rest):
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, *rest)

    monkeypatch.setattr(run_module.io, "write_safetensors", writing)
    watched = cockpit(tmp_path / "run")
    at(watched, lambda moment: moment.step == 8 and full.append(1))
    fails(watched, TrainingError, "No space left on device.*make room")
    del watched.training._heard
    full.clear()
    watched.start()
    assert same_weights(watched.wait(300).model, plain.model)


def test_a_run_whose_folder_was_removed_cannot_go_on_and_says_so(tmp_path):
    model = tiny_model()
    watched = cockpit(tmp_path / "run", model=model, recipe=tiny_recipe(epochs=3))
    at(watched, lambda moment: moment.step == 6 and watched.stop())
    assert watched.wait(300).stopped
    weights = {name: each.clone() for name, each in model.state_dict().items()}
    shutil.rmtree(tmp_path / "run")
    watched.start()
    fails(watched, FileNotFoundError, "state.safetensors' is gone, so this run cannot go on")
    assert all(each.equal(weights[name]) for name, each in model.state_dict().items())


def test_pictures_that_cannot_be_drawn_are_noted_and_training_goes_on(tmp_path, monkeypatch):
    def breaks(*_):
        raise MemoryError("no room for maps")

    with monkeypatch.context() as patched:
        patched.setattr(run_view, "attention_maps", breaks)
        watched = cockpit(tmp_path / "a")
        assert not watched.wait(300).stopped
        assert "No attention strip: no room for maps" in said(watched)
    draw = run_view.draw

    def breaks_while_it_trains(shown):
        if shown.phase != "finished":
            raise ZeroDivisionError("no pen")
        return draw(shown)

    watched = cockpit(tmp_path / "b")
    monkeypatch.setattr(run_view, "draw", breaks_while_it_trains)
    watched.training.start()
    watched.ui.close(), watched.picture.close()  # closed widgets are no reason to stop, either
    assert not watched.wait(300).stopped
    assert "could not be drawn: ZeroDivisionError('no pen')" in said(watched)


def test_the_clip(tmp_path):
    for clip in (torch.zeros(SHAPE), torch.zeros(4, 3, 16, 18, dtype=torch.uint8), "clip.mp4"):
        message = r"clip is .*, but must be torch.uint8 .*\(4, 3, 16, 16\)"
        with pytest.raises(ValueError, match=message):
            cockpit(tmp_path / "run", clip=clip)
    clip = torch.full(SHAPE, 200, dtype=torch.uint8)
    watched = cockpit(tmp_path / "run", clip=clip)
    assert np.unique(watched.shown().strips["the clip"].pixels).tolist() == [200]
    watched = cockpit(tmp_path / "run", train=Breaks(0, OSError("unreadable")))
    assert watched.shown().strips is None  # a first clip that cannot be read: `fit` says so
    fails(watched, Exception, "unreadable")

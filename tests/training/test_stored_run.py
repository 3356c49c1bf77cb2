"""A run in one small file: nothing is invented, nothing is lost but what is said to be."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
from tiny_training import Glows, tiny_model, tiny_recipe

from vivit_lab.training import Recipe, StoredRun, fit, read_log
from vivit_lab.training import run as runs

NAMES = ("step", "loss", "accuracy", "lr", "low", "high")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    fit(tiny_model(), Glows(), Glows(32, seed=1), recipe=tiny_recipe(), folder=folder,
        device="cpu", progress=False)  # fmt: skip
    return folder


def strips(count: int, seed: int = 0) -> np.ndarray:
    """Smooth pictures, (count, 2, 104, 104, 3): JPEG changes them little."""
    corners = np.random.default_rng(seed).integers(0, 255, (count, 2, 1, 1, 3))
    ramp = np.linspace(0.5, 1, 104)[:, None, None]
    return (corners * ramp * np.ones((104, 104, 1))).astype(np.uint8)


@pytest.fixture
def watched(folder, tmp_path):
    """The run as if a cockpit had seen it."""
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    runs.write_strips(copy, {epoch: runs.jpeg_of(strip) for epoch, strip in enumerate(strips(3))})
    return copy


# ---- from a folder


def test_it_holds_what_the_log_holds(folder):
    run, (steps, epochs) = StoredRun.of(folder), read_log(folder)
    assert [[point[name] for name in NAMES[:4]] for point in run.steps] == [
        [step[name] for name in NAMES[:4]] for step in steps
    ]
    assert all(point["low"] == point["loss"] == point["high"] for point in run.steps)
    assert run.epochs == epochs and run.steps_per_epoch == 4
    assert Recipe.from_dict(run.recipe) == tiny_recipe()
    assert run.classes == Glows.classes and run.chance == 0.25
    assert run.title == "Model 2: factorised encoder, on 64 clips of Glows"
    seconds = sum(step["seconds"] for step in steps)
    assert run.clips_per_second == pytest.approx(16 * 8 / seconds)
    assert run.seconds == pytest.approx(seconds + sum(epoch["seconds"] for epoch in epochs))


def test_strips_are_those_of_a_cockpit_that_saw_all_of_it(folder, watched, tmp_path):
    assert StoredRun.of(folder).strips is None
    run = StoredRun.of(watched)
    assert run.strips.shape == (3, 2, 104, 104, 3)
    assert np.abs(run.strips.astype(int) - strips(3)).mean() < 3
    for file in ("run.json", "log.jsonl"):  # a run in its first epoch, of an older version
        shutil.copy(watched / file, tmp_path / file)
    lines = re.sub(r', "seconds": [^}]*', "", (watched / "log.jsonl").read_text()).splitlines(True)
    (tmp_path / "log.jsonl").write_text("".join(lines[:3]) + lines[3][:20])  # killed while writing
    young = StoredRun.of(tmp_path)
    assert len(young.steps) == 3 and young.epochs == [] and young.steps_per_epoch is None
    assert young.seconds is None and young.clips_per_second is None
    some = {epoch: jpeg for epoch, jpeg in runs.read_strips(watched).items() if epoch != 1}
    runs.write_strips(watched, some)
    assert StoredRun.of(watched).strips is None and runs.read_strips(watched) == some


def test_the_log_is_read_as_it_grows_and_anew_when_it_was_replaced(watched):
    text = (watched / "log.jsonl").read_text()
    lines = text.splitlines(keepends=True)
    file = watched / "growing" / "log.jsonl"
    file.parent.mkdir()
    file.write_text(lines[0][:20])
    log = runs.Log(file.parent).read()
    assert log.steps == []  # cut short: the rest may come
    file.write_text("".join(lines[:3]) + lines[3][:20])
    assert [step["step"] for step in log.read().steps] == [1, 2, 3]
    with open(file, "a") as more:
        more.write(lines[3][20:] + "".join(lines[4:]))
    log.read()
    assert (log.steps, log.epochs) == read_log(watched)
    other = file.with_name("other")
    other.write_text(2 * text.replace('"epoch": 0', '"epoch": 7'))  # larger than what was read
    other.replace(file)
    assert len(log.read().steps) == 16 and log.steps[0]["epoch"] == 7
    file.write_text("".join(lines[:2]))
    assert len(log.read().steps) == 2


# ---- to a file and back


def test_what_is_saved_comes_back(folder, watched, tmp_path):
    for source in (folder, watched):
        run = StoredRun.of(source)
        run.save(tmp_path / "run.npz")
        back = StoredRun.load(tmp_path / "run.npz")
        for field in dataclasses.fields(run):
            one, other = getattr(run, field.name), getattr(back, field.name)
            if field.name == "strips" and one is not None:
                assert one.shape == other.shape
                assert np.abs(one.astype(int) - other).mean() < 3  # JPEG once more
            elif field.name == "recipe":
                assert json.dumps(one) == json.dumps(other)  # tuples are lists in a file
            else:
                assert one == other, field.name
    assert [file.name for file in tmp_path.glob("*.npz")] == ["run.npz"]


def test_a_run_of_a_notebook_is_a_small_file(tmp_path):
    random = np.random.default_rng(0)
    rows = np.column_stack([np.arange(1, 10_001), random.random((10_000, 3))])
    points = [dict(zip(NAMES, row, strict=True)) for row in runs.thinned(rows).tolist()]
    epochs = [{"epoch": n, "loss": random.random(), "validation": {"top1": 0.5}} for n in range(8)]
    busy = random.integers(0, 255, (9, 4, 13, 13, 3)).astype(np.uint8)
    busy = busy.repeat(8, axis=2).repeat(8, axis=3)  # a colour for every cell: more than heat has
    classes = {"verb": ("cut", "wash"), "noun": ("pan", "cup", "lid")}
    about = {"kind": "ClipDataset", "source": "/data/" + "x" * 60 + ".csv"}
    title = runs.title_of("joint", about)
    assert title == "Model 1: spatio-temporal attention, on " + "x" * 21 + "…"
    assert runs.classes_of(None, {"verb": 2, "noun": 1}) == {"verb": ("0", "1"), "noun": ("0",)}
    run = StoredRun(title, {}, classes, points, epochs, busy, 9, 1.0, 1.0)
    run.save(tmp_path / "r.npz")
    assert (tmp_path / "r.npz").stat().st_size < 300_000
    assert StoredRun.load(tmp_path / "r.npz").classes == classes  # of several heads
    assert run.chance == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_thinned_steps_are_means_with_their_extremes():
    for count in (0, 1, 5, 399, 400, 401, 800, 4321, 100_000):
        random = np.random.default_rng(count)
        rows = np.column_stack([np.arange(1, count + 1), random.random((count, 3))])
        points = runs.thinned(rows)
        assert len(points) <= 400 and (count == 0 or len(points) > 190 or len(points) == count)
        together = -(-count // 400)
        for i, point in enumerate(points):
            part = rows[i * together : (i + 1) * together]
            assert point[0] == part[-1, 0]
            assert point[1:4] == pytest.approx(part[:, 1:].mean(axis=0))
            assert point[4] == part[:, 1].min() and point[5] == part[:, 1].max()
        assert not count or points[-1, 0] == count


# ---- bad input


def test_folders_that_hold_no_run(watched, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        StoredRun.of(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="cannot be used: There is no file .*run.json"):
        StoredRun.of(tmp_path)
    for name, text, message in (
        ("log.jsonl", "", "no step was logged yet"),
        ("log.jsonl", '{"step": 1, "loss": 2.0}\n', "cannot be used"),
        ("run.json", '{"recipe": {}}', "cannot be used"),
        ("run.json", "[]", "cannot be used"),
        ("attention.zip", "no pictures", "cannot be used"),
    ):
        sound = (watched / name).read_bytes()
        (watched / name).write_text(text)
        with pytest.raises(ValueError, match=message):
            StoredRun.of(watched)
        (watched / name).write_bytes(sound)


def test_files_that_hold_no_run(watched, tmp_path):
    good, bad = tmp_path / "good.npz", tmp_path / "bad.npz"
    run = StoredRun.of(watched)
    run.save(good)
    with np.load(good) as stored:
        arrays = dict(stored)
    about = json.loads(str(arrays.pop("vivit_lab_run")))
    for change, message in (
        ({"vivit_lab_run": None}, "holds no run, or is damaged"),
        ({"format_version": 9}, "format version 9.*newer"),
        ({"strip_2": None}, "there are 2 strips, but"),
        ({"strip_1": np.zeros(9, np.uint8)}, "holds a run that is damaged"),
        ({"classes": 3}, "holds a run that is damaged"),
    ):
        text = json.dumps(about | {name: v for name, v in change.items() if name in about})
        parts = arrays | {"vivit_lab_run": text} | change
        np.savez(
            bad, **{name: v for name, v in parts.items() if v is not None and name not in about}
        )
        with pytest.raises(ValueError, match=message):
            StoredRun.load(bad)
    for call, error, message in (
        (lambda: StoredRun.load(tmp_path / "none.npz"), FileNotFoundError, "none.npz"),
        (lambda: run.save(tmp_path / "run.json"), ValueError, "runs end in .npz: 'run.npz'"),
        (lambda: run.save(tmp_path / "nowhere" / "run.npz"), OSError, "nowhere"),
        (lambda: dataclasses.replace(run, steps=[]), ValueError, "every step must have"),
    ):
        with pytest.raises(error, match=message):
            call()

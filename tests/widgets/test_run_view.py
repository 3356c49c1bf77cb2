"""What the cockpit and the replay of a stored run show."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cockpits import cockpit, pixels
from tiny_training import Glows, tiny_model, tiny_recipe

from vivit_lab import ViViTConfig, build_model
from vivit_lab.analysis import attention_maps
from vivit_lab.data import ArrowOfTime
from vivit_lab.training import Recipe, StoredRun
from vivit_lab.video import normalise
from vivit_lab.widgets import TrainingCockpit, run_view
from vivit_lab.widgets import cockpit as cockpit_module
from vivit_lab.widgets.canvas import Canvas
from vivit_lab.widgets.charts import Plot, log_steps, round_steps


def shown(steps=60, total=100, seed=0, **changes) -> run_view.Shown:
    random = np.random.default_rng(seed)
    loss = 2 * np.exp(-np.arange(steps) / 30) + 0.1 * random.random(steps)
    points = np.column_stack(
        [np.arange(1, steps + 1), loss, random.random(steps), loss / 2000, loss, loss]
    )
    fields = {
        "title": "a title", "phase": "training", "figures": "step 60 of 100",
        "points": points, "total": total, "steps_per_epoch": 20,
        "epochs": [{"epoch": 1, "validation": {"top1": 0.4}}],
        "recipe": Recipe.preset("cpu_tiny"), "chance": 0.125, "chance_loss": 2.08,
        "log": False, "strip_words": "attention", "strips": None,
    }  # fmt: skip
    return run_view.Shown(**(fields | changes))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    watched = cockpit(folder, validation=Glows(32, seed=1))
    watched.wait(300)
    return watched


@pytest.fixture(scope="module")
def stored(finished):
    return StoredRun.of(finished.training.folder)


# ---- the picture


def test_every_state_can_be_drawn():
    unknown = {"total": None, "steps_per_epoch": None}
    long = np.zeros((20, 104, 104, 3), np.uint8)
    for changes in (
        {"steps": 0},
        {"steps": 1},
        {"steps": 2, **unknown},
        {"steps": 0, "epochs": [], **unknown},
        {"steps": 1, "total": 1, "steps_per_epoch": 1},
        {"steps": 400, "total": 400_000, "steps_per_epoch": 4000},
        {"log": True},
        {"log": True, "steps": 0},
        {"chance": 1.0, "chance_loss": 0.0, "steps": 0},
        {"chance_loss": 1e-9, "log": True, "steps": 0},
        {"strips": {"before training": None, "after epoch 1": None}},
        {"strips": {"before training": long, "after epoch 1": long[:, :50]}},
    ):
        assert run_view.draw(shown(**changes)).image.size == (920, 560), changes
    for loss in (0.0, 1e-12, 1e12):
        for log in (False, True):
            state = shown(log=log)
            state.points[30:, [1, 4, 5]] = loss
            run_view.draw(state)


def test_the_loss_curve_is_where_the_loss_is():
    for log, scale in ((False, np.array), (True, np.log)):
        state = shown(log=log)
        state.points[:, [1, 4, 5]] = 0.6
        image = np.asarray(run_view.draw(state).image).astype(int)[
            92:266, round(58 + 384 * 30 / 100)
        ]
        rows = np.flatnonzero(np.abs(image - (47, 111, 237)).sum(axis=1) < 120)  # nearly blue
        position = np.interp(scale(0.6), scale(run_view.loss_range(state)), (1, 0))
        assert rows.mean() / 172 == pytest.approx(position, abs=0.01)


def test_a_peak_in_a_single_step_is_seen_as_a_band():
    state = shown(steps=400, total=4000, steps_per_epoch=400)
    state.points[:, 0] *= 10
    plain = np.asarray(run_view.draw(state).image).astype(int)
    state.points[200, 5] = state.points[:, 5].max()
    peak = np.asarray(run_view.draw(state).image).astype(int)
    left, right = 58 + 384 // 2 - 6, 58 + 384 // 2 + 6
    assert np.abs(plain - peak)[92:266, left:right].sum() > 1000


def test_means_run_over_the_steps_that_the_picture_says():
    values = np.random.default_rng(0).random(50)
    for window in (1, 3, 50, 90):
        expected = [values[max(0, i - window + 1) : i + 1].mean() for i in range(50)]
        assert run_view.running_mean(values, window) == pytest.approx(expected)


# ---- attention


def test_every_model_has_a_strip_whose_weights_sum_to_one():
    frames = {"tokenizer": "uniform_frames", "tubelet": (1, 8, 8), "sampled_frames": 3}
    for name, changes in (
        ("joint", {}),
        ("joint", {"pooling": "mean"}),
        ("factorised_encoder", {"temporal_depth": 1}),
        ("factorised_encoder", {"temporal_depth": 0}),
        ("factorised_self_attention", {}),
        ("factorised_self_attention", {"attention_order": "time_space"}),
        ("factorised_dot_product", {}),
        ("joint", frames),
    ):
        config = ViViTConfig(
            **{"model": name, "frames": 8, "image_size": 16, "tubelet": (2, 8, 8), "dim": 16,
               "depth": 2, "heads": 2, "mlp_dim": 32, "num_classes": 4} | changes
        )  # fmt: skip
        model, clip = build_model(config), ArrowOfTime(8, 8, 16)[3][0]
        strip = run_view.AttentionStrip(clip, config)
        assert strip.of(model).shape == strip.frames.shape == (config.grid[0], 104, 104, 3)
        assert all(module.training for module in model.modules())  # as it was
        found = run_view.output_weights(attention_maps(model.eval(), normalise(clip)[None]))
        assert float(found.total) == pytest.approx(1), (name, changes)
        assert found.weights.shape == config.grid
        order = np.argsort(found.weights.numpy().ravel())  # the more attention, the more yellow
        cells = strip.of(model).astype(int).reshape(-1, 2, 52, 2, 52, 3).mean(axis=(2, 4))
        redness = (cells[..., 0] - cells[..., 2]).ravel()
        assert redness[order[-1]] > redness[order[0]] or name == "factorised_dot_product"


def test_the_clip_is_the_first_that_fits():
    config = tiny_model().config

    class Views(Glows):
        def __getitem__(self, index):
            clip, label = super().__getitem__(index)
            return torch.stack([clip * 0, clip, clip * 0]), label

    assert (run_view.clip_of(config, Views(), Glows()) == Glows()[0][0]).all()
    assert (run_view.clip_of(config, ArrowOfTime(8, 4, 32), None, Glows()) == Glows()[0][0]).all()
    assert run_view.clip_of(config, None, ArrowOfTime(8, 4, 32)) is None


# ---- the cockpit


def test_it_opens_with_the_plan_of_the_run_and_the_clip(tmp_path):
    watched = TrainingCockpit(tiny_model(), Glows(), recipe=tiny_recipe(), folder=tmp_path / "run")
    state = watched.shown()
    assert state.figures == "2 epochs · 8 steps of 16 clips · press Start"
    assert (state.total, state.steps_per_epoch, state.chance) == (8, 4, 0.25)
    assert list(state.strips) == ["the clip", "after epoch 1"]
    assert state.strips["after epoch 1"] is None
    assert not (tmp_path / "run").exists()
    assert watched.start_button.description == "Start" and not watched.start_button.disabled
    assert watched.pause_button.disabled and watched.stop_button.disabled


def test_a_finished_run_shows_all_of_it(finished):
    state = finished.shown()
    assert state.phase == "finished" and len(state.points) == 8 and len(state.epochs) == 2
    assert (state.strips["after epoch 2"] != state.strips["before training"]).any()
    assert "epoch 2 of 2  ·  step 8 of 8" in state.figures
    still = finished.still()
    assert np.abs(pixels(still.data) - pixels(finished.picture.value)).mean() < 6
    assert len(still.data) < 110_000
    linear = finished.picture.value
    finished.loss_axis.value = True
    assert finished.picture.value != linear
    finished.loss_axis.value = False
    assert finished.picture.value == linear


def test_pictures_come_no_faster_than_promised(finished, monkeypatch):
    clock, drawn, costs = [100.0], [], []

    def refresh():
        drawn.append(clock[0])
        clock[0] += costs[-1]

    monkeypatch.setattr(cockpit_module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(finished, "refresh", refresh)
    monkeypatch.setattr(finished, "_due", 0.0)
    for cost, rate in ((0.001, 4), (0.02, 0.012 / 0.02)):
        costs.append(cost)
        drawn.clear()
        for _ in range(20_000):
            clock[0] += 0.001  # a step
            finished._on_training(now=False)
        assert np.diff(drawn).min() >= 1 / rate  # at most 4 a second, at most 1.2 % of the time
        assert len(drawn) > 15 * rate
    finished._on_training(now=True)
    assert drawn[-1] == pytest.approx(clock[0] - costs[-1])


# ---- replay


def test_the_replay_ends_with_the_picture_of_the_run(finished, stored):
    replay = TrainingCockpit.replay(stored)
    live, again = finished.shown(), replay.shown()
    assert (again.points == live.points).all()
    for name in (
        "title", "total", "steps_per_epoch", "epochs", "recipe", "chance", "chance_loss",
        "strip_words",
    ):  # fmt: skip
        assert getattr(again, name) == getattr(live, name)
    below = np.abs(pixels(replay.picture.value) - pixels(finished.picture.value))[60:]
    assert below.max() < 3  # the same curves and strips


def test_the_slider_leads_through_the_run_and_the_strips_follow_the_epochs(stored):
    replay = TrainingCockpit.replay(stored)
    seen = []
    for step in [0, *range(1, 9)]:
        replay.step.value = step
        state = replay.shown()
        assert len(state.points) == step
        assert len(state.epochs) == step // 4
        strips = list(state.strips.values())
        assert (strips[0] == stored.strips[0]).all()
        assert (strips[1] is None) if step < 4 else (strips[1] == stored.strips[step // 4]).all()
        seen.append(replay.picture.value)
    assert len(set(seen)) == 9
    replay.step.value = 3
    assert replay.picture.value == seen[3]


def test_play_runs_over_every_point_and_of_a_long_run_over_about_a_hundred(stored):
    names = tuple(stored.steps[0])
    for count in (8, 101, 257, 399, 400):
        rows = [[i, 1.0, 0.5, 1e-3, 1.0, 1.0] for i in range(1, count + 1)]
        steps = [dict(zip(names, row, strict=True)) for row in rows]
        replay = TrainingCockpit.replay(dataclasses.replace(stored, steps=steps))
        last = replay.play.max
        assert replay.play.value == last  # at the end: play begins at the beginning
        assert last == 8 if count == 8 else 50 <= last <= 100
        with replay.quiet():
            seen = []
            for value in range(last + 1):
                replay.play.value = value
                assert replay.play.value == value
                seen.append(replay.step.value)
            replay.step.value = seen[3]
            assert replay.play.value == 3  # it goes on from where the slider was put
        assert seen[0] == 0 and seen[-1] == count and (np.diff(seen) > 0).all()


def test_a_replay_without_strips_or_epochs_or_names(stored):
    for changes in (
        {"strips": None},
        {"epochs": [], "strips": None, "steps_per_epoch": None},
        {"clips_per_second": None, "seconds": None},
    ):
        replay = TrainingCockpit.replay(dataclasses.replace(stored, **changes))
        assert replay.message.value == "" and replay.still().data
    heads = {"verb": ("cut", "wash"), "noun": ("pan", "cup", "lid")}
    replay = TrainingCockpit.replay(dataclasses.replace(stored, classes=heads))
    assert replay.shown().chance == pytest.approx(5 / 12)


# ---- charts


def test_ticks_are_few_and_round_and_inside():
    for high in (1e-7, 0.003, 0.97, 1, 2.3, 17, 99, 12_345, 3e11):
        ticks = round_steps(0, high)
        assert 2 <= len(ticks) <= 5 and ticks[0] == 0 and ticks[-1] <= high * 1.000001
        assert np.diff(ticks) == pytest.approx(ticks[1] - ticks[0])
        for low in (high / 3, high / 40, high / 1e7):
            ticks = log_steps(low, high)
            assert 1 <= len(ticks) <= 5 and all(low <= tick <= high for tick in ticks)


def test_lines_stay_inside_the_axes_and_their_margin():
    canvas = Canvas(200, 160)
    plot = Plot(canvas, 50, 40, 100, 60, (0, 10), (0, 1))
    plot.line([-50, 5, 90], [-9, 0.5, 30], "#ff0000")
    plot.dots([5, 5], [-3, 8], "#ff0000")
    plot.band([0, 10], [-5, -5], [6, 6], "#ff0000")
    rows, columns = np.where(np.asarray(canvas.image).min(axis=2) < 255)
    assert rows.min() >= 35 and rows.max() < 105 and columns.min() >= 45 and columns.max() < 155

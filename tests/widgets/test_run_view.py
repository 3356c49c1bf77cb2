"""What the cockpit and the replay of a stored run show."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cockpits import Gate, cockpit, pixels, until
from tiny_training import Glows, tiny_model, tiny_recipe

from vivit_lab import ViViTConfig, build_model
from vivit_lab.analysis import attention_maps
from vivit_lab.data import ArrowOfTime
from vivit_lab.training import Recipe, StoredRun
from vivit_lab.training.run import strip_of
from vivit_lab.video import normalise
from vivit_lab.widgets import TrainingCockpit, run_view
from vivit_lab.widgets import cockpit as cockpit_module
from vivit_lab.widgets.canvas import BLUE, Canvas, Picture
from vivit_lab.widgets.charts import Plot, log_steps, round_steps
from vivit_lab.widgets.surface import TURN


def shown(steps=60, total=100, seed=0, **changes) -> run_view.Shown:
    random = np.random.default_rng(seed)
    loss = 2 * np.exp(-np.arange(steps) / 30) + 0.1 * random.random(steps)
    points = np.column_stack(
        [np.arange(1, steps + 1), loss, random.random(steps), loss / 2000, loss, loss]
    )
    fields = {
        "title": "a title", "phase": "training", "figures": "step 60 of 100",
        "points": points, "ahead": points[:0], "paces": np.arange(steps) + 100,
        "total": total, "steps_per_epoch": 20,
        "epochs": [{"epoch": 1, "validation": {"top1": 0.4}}] if steps >= 20 else [],
        "recipe": Recipe.preset("cpu_tiny"), "chance": 0.125, "chance_loss": 2.08,
        "log": False, "whole": True, "attends": ("all tokens", "last block"), "strips": None,
        "time_steps": 4, "epoch": 1,
    }  # fmt: skip
    return run_view.Shown(**(fields | changes))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    watched = cockpit(folder, validation=Glows(32, seed=1))
    watched._stored, stored = SimpleNamespace(update=lambda still, raw: stored.append(still)), []
    watched.wait(300)
    watched.stored = stored
    return watched


@pytest.fixture(scope="module")
def stored(finished):
    return StoredRun.of(finished.training.folder)


def region(canvas: Canvas, name: str) -> dict:
    """The columns of this name: steps, or epochs."""
    (found,) = [each for each in canvas.regions if each.get("across", [""])[0] == name]
    return found


# ---- the picture


def test_every_state_can_be_drawn():
    unknown = {"total": None, "steps_per_epoch": None}
    wide = Picture(np.zeros((104, 20 * 104, 3), np.uint8))
    for changes in (
        {"steps": 0},
        {"steps": 1},
        {"steps": 2, **unknown},
        {"steps": 0, "epochs": [], "epoch": 0, **unknown},
        {"steps": 1, "total": 1, "steps_per_epoch": 1},
        {"steps": 400, "total": 400_000, "steps_per_epoch": 4000, "epochs": []},
        {"log": True},
        {"log": True, "steps": 0},
        {"paces": None, "epochs": [{"epoch": 1}]},
        {"chance": 1.0, "chance_loss": 0.0, "steps": 0},
        {"chance_loss": 1e-9, "log": True, "steps": 0},
        {"strips": {"before": None, "epoch 1": None}},
        *({"strips": {"before": wide, "epoch 1": wide}, "time_steps": n} for n in (1, 2, 5, 8, 20)),
    ):
        for whole in (True, False):
            canvas = run_view.draw(shown(whole=whole, **changes))
            assert canvas.image().size == (run_view.WIDTH, run_view.HEIGHT), changes
            for _, _, *_, x, y, width, height, _, _, _ in (
                each for each in canvas.commands if each[0] == "f"
            ):
                assert x + width <= run_view.WIDTH - 12 and y + height <= run_view.HEIGHT - 5
    for loss in (0.0, 1e-12, 1e12):
        for log in (False, True):
            state = shown(log=log)
            state.points[30:, [1, 4, 5]] = loss
            run_view.draw(state).image()


def curves(canvas: Canvas, colour: str) -> list[np.ndarray]:
    return [np.reshape(each[1], (-1, 2)) for each in canvas.commands if each[:3:2] == ["c", colour]]


def test_the_loss_curve_is_where_the_loss_is():
    for log, scale in ((False, np.array), (True, np.log)):
        for whole in (True, False):
            state = shown(log=log, whole=whole, steps=30)
            state.points[:, [1, 4, 5]] = 0.6
            loss, accuracy = curves(run_view.draw(state), BLUE)
            position = np.interp(scale(0.6), scale(run_view.loss_range(state)), (1, 0))
            assert loss[:, 1] == pytest.approx(82 + 120 * position, abs=0.01)
            left, right = 60, accuracy[0, 0] + (accuracy[-1, 0] - accuracy[0, 0]) / 29 * 29
            steps = (loss[:, 0] - left) / (loss[1, 0] - loss[0, 0])
            assert steps == pytest.approx(range(1, 31), abs=0.02) and right == loss[-1, 0]


def test_a_peak_in_a_single_step_is_seen_as_a_band():
    state = shown(steps=400, total=4000, steps_per_epoch=400)
    state.points[:, 0] *= 10
    assert len(curves(run_view.draw(state), run_view.PALE)[0]) == 400  # a line
    state.points[200, 5] = state.points[:, 5].max() * 1.5
    band = curves(run_view.draw(state), run_view.PALE)[0]
    assert len(band) == 800 and band[:, 1].argmin() == 800 - 200 - 1


def test_up_to_now_shows_the_half_or_quarter_of_the_run_that_holds_all_points():
    for total, steps in ((100, 60), (100, 13), (100, 12), (640, 3), (640, 39), (640, 640), (7, 3)):
        whole, now = (shown(steps, total, whole=whole).end for whole in (True, False))
        assert whole == total and now >= steps and np.log2(whole / now) % 1 == 0
        assert steps > now / 2 or now < 16, "half of the axis at least is used"
    assert shown(0, 640, whole=False).end == 640  # the plan
    assert shown(5, None, whole=False).end == 5


def test_a_hovered_step_says_its_exact_figures():
    state = shown(epochs=[{"epoch": 1, "validation": {"top1": 0.4}}, {"epoch": 2}])
    found = region(run_view.draw(state), "step")
    assert found["across"][1] == list(range(1, 61)) and np.diff(found["places"]).min() > 1
    for i, (step, loss, accuracy, rate, *_) in enumerate(state.points):
        lines = [
            f"step {step:.0f}, epoch {1 + i // 20}", f"loss {loss:.4f}", f"accuracy {accuracy:.1%}",
            f"learning rate {rate:.3g}", f"{100 + i} clips/s",
        ]  # fmt: skip
        lines += ["then, in validation: 40.0%"] if step == 20 else []
        assert found["values"][i] == "\n".join(lines)
    state.points[:, 0] *= 10  # each is of ten steps
    words = region(run_view.draw(state), "step")["values"][3]
    assert words.startswith("mean of steps 31–40, epoch 2\nloss ") and " to " in words


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
        assert strip.of(model).shape == (config.grid[0], 104, 104, 3)
        assert strip.picture.pixels.shape == (16, config.grid[0] * 16, 3)
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
    assert list(state.strips) == ["the clip", "epoch 1"] and state.strips["epoch 1"] is None
    words = "ready: 2 epochs · 8 steps of 16 clips · press Start."
    assert words in watched.picture.scene["words"] and not watched.picture.scene["play"]
    assert not (tmp_path / "run").exists()
    assert watched.start_button.description == "Start" and not watched.start_button.disabled
    assert watched.pause_button.disabled and watched.stop_button.disabled


def test_a_finished_run_shows_all_of_it_and_so_does_the_notebook(finished):
    state, scene = finished.shown(), finished.picture.scene
    assert state.phase == "finished" and len(state.points) == 8 and len(state.epochs) == 2
    assert "epoch 2 of 2  ·  step 8 of 8" in state.figures
    assert ". finished: epoch 2 of 2, step 8 of 8, " in scene["words"]
    assert f"Loss {state.points[-1, 1]:.3f} (guessing: 1.386)" in scene["words"]
    assert "% after epoch 2, learning rate" in scene["words"]
    (still,) = finished.stored
    assert still["text/plain"] == scene["words"] and still["text/html"].startswith("<img class=")
    assert np.abs(pixels(finished.still().data) - pixels(finished.picture.value)).mean() < 6
    assert len(finished.still().data) < 110_000
    for control in (finished.loss_axis, finished.step_axis):
        control.value = True
        assert (finished.picture.scene["commands"] != scene["commands"]) == (
            control is finished.loss_axis  # at the end "up to now" is all of it
        )
        control.value = False
        assert finished.picture.scene["commands"] == scene["commands"]


def test_the_strip_of_each_epoch_is_chosen_by_a_press_and_played(finished):
    training = finished.training
    assert finished.picture.scene["play"]["values"] == [0, 1, 2] and finished.epoch.value == 2
    for at, epoch in (
        ({"epoch": 1}, 1), ({"epoch": 2}, 2), ({"step": 3}, 0), ({"step": 4}, 1), ({"step": 8}, 2),
    ):  # fmt: skip
        finished._on_touch({"press": at})
        before, now = finished.shown().strips.values()
        assert finished.epoch.value == finished.picture.scene["play"]["now"] == epoch
        assert before.file == training.strips[0]  # as it was stored
        assert (now and now.file) == (training.strips[epoch] if epoch else None)
        assert (strip_of(before.file, 2) == np.split(before.pixels, 2, axis=1)).all()
    finished._on_touch({"key": [0, -1]})
    assert finished.epoch.value == 1
    finished.epoch.value = 2


def test_the_newest_strip_is_shown_until_an_earlier_one_is_chosen(tmp_path):
    gate = Gate()
    watched = cockpit(tmp_path / "run", recipe=tiny_recipe(epochs=3), train=gate.data(batches=9))
    watched.start()
    gate.asked.acquire()
    until(lambda: watched.epoch.value == 2)
    watched.epoch.value = 3  # there is none yet
    assert watched.epoch.value == 2
    watched.epoch.value = 1
    gate.open.set()
    watched.wait(300)
    assert watched.epoch.value == 1 and watched.picture.scene["play"]["values"] == [0, 1, 2, 3]


def test_pictures_come_no_faster_and_no_slower_than_promised(finished, monkeypatch):
    clock, drawn, costs = [100.0], [], []

    def refresh():
        drawn.append(clock[0])
        clock[0] += costs[-1]

    times = dict.fromkeys(("monotonic", "thread_time"), lambda: clock[0])
    monkeypatch.setattr(cockpit_module, "time", SimpleNamespace(**times))
    monkeypatch.setattr(finished, "refresh", refresh)
    monkeypatch.setattr(finished, "_due", 0.0)
    for cost, rate in ((0.001, 4), (0.006, 0.012 / 0.006), (0.05, 1)):
        costs.append(cost)
        drawn.clear()
        for _ in range(20_000):
            clock[0] += 0.001  # a step
            finished._on_training(now=False)
        assert np.diff(drawn).min() >= 1 / rate  # at most 4 a second, at most 1.2 % of the time
        assert np.diff(drawn).max() < 1.06 / rate + cost  # but one in a second
    finished._on_training(now=True)
    assert drawn[-1] == pytest.approx(clock[0] - costs[-1])


def test_a_training_does_not_wait_for_what_other_threads_draw(tmp_path):
    watched = cockpit(tmp_path / "run", recipe=tiny_recipe(epochs=30))
    watched.start()
    until(lambda: watched.training.last is not None)
    with TURN:  # another explorer is at work
        step = watched.training.last.step
        until(lambda: watched.training.last.step >= step + 20, seconds=30)
        assert f"step {step + 20}" not in watched.picture.scene["words"]
    watched.stop()
    watched.wait(300)
    assert ". stopped: " in watched.picture.scene["words"]


# ---- replay


def test_the_replay_ends_with_the_picture_of_the_run(finished, stored):
    replay = TrainingCockpit.replay(stored)
    live, again = finished.shown(), replay.shown()
    assert (again.points == live.points).all()
    for name in (
        "title", "total", "steps_per_epoch", "epochs", "recipe", "chance", "chance_loss",
        "attends", "time_steps", "epoch",
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
        before, now = (each and np.split(each.pixels, 2, axis=1) for each in state.strips.values())
        assert (before == stored.strips[0]).all()
        assert now is None if step < 4 else (now == stored.strips[step // 4]).all()
        assert replay.epoch.value == step // 4
        assert f"step {step} of 8" in replay.picture.scene["words"]
        seen.append(replay.picture.value)
    assert len(set(seen)) == 9
    replay.step.value = 3
    assert replay.picture.value == seen[3]


def test_a_press_on_any_step_or_epoch_goes_there_also_on_one_to_come(stored):
    replay = TrainingCockpit.replay(stored)
    replay.step.value = 2
    canvas = replay.picture.canvas
    assert region(canvas, "step")["across"][1] == list(range(1, 9))
    assert region(canvas, "epoch")["across"][1] == [0, 1, 2]
    for message, step in (
        ({"press": {"step": 7}}, 7), ({"press": {"epoch": 1}}, 4), ({"press": {"epoch": 0}}, 0),
        ({"key": [0, 1]}, 1), ({"key": [1, 1]}, 4), ({"key": [0, -1]}, 3), ({"key": [1, 9]}, 8),
    ):  # fmt: skip
        replay._on_touch(message)
        assert replay.step.value == step and replay.epoch.value == step // 4


def test_play_runs_over_every_point_and_of_a_long_run_over_about_a_hundred(stored):
    names = tuple(stored.steps[0])
    for count in (8, 101, 257, 399, 400):
        rows = [[i, 1.0, 0.5, 1e-3, 1.0, 1.0] for i in range(1, count + 1)]
        steps = [dict(zip(names, row, strict=True)) for row in rows]
        replay = TrainingCockpit.replay(dataclasses.replace(stored, steps=steps))
        play = replay.picture.scene["play"]
        assert play["now"] == play["values"][-1] == count  # at the end: it begins at the beginning
        assert play["values"][0] == 0 and (np.diff(play["values"]) > 0).all()
        assert len(play["values"]) == 9 if count == 8 else 50 <= len(play["values"]) <= 102
        replay._on_touch({"press": {"step": 5}})  # it goes on from where the slider was put
        assert replay.picture.scene["play"]["now"] == 5 in replay.picture.scene["play"]["values"]


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
    rows, columns = np.where(np.asarray(canvas.image()).min(axis=2) < 255)
    assert rows.min() >= 35 and rows.max() < 105 and columns.min() >= 45 and columns.max() < 155

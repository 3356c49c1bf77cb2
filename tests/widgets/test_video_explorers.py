"""Explorers of tokens, clips, the start and inflation: what is drawn is what the package says."""

import itertools

import numpy as np
import pytest
import torch
from written import is_shown, written

from vivit_lab.data import sample
from vivit_lab.models import token_voxels
from vivit_lab.video import ByFrame, BySegment, ByTime, test_clips, train_clip
from vivit_lab.widgets import ClipExplorer, InflationExplorer, StartExplorer, TokenExplorer
from vivit_lab.widgets.clip_explorer import WAYS, after_the_end
from vivit_lab.widgets.footage import Clip
from vivit_lab.widgets.inflation_explorer import (
    METHODS,
    STRIDES,
    TUBELETS,
    compare,
    source,
    tubelet_frames,
)
from vivit_lab.widgets.start_explorer import spotlight
from vivit_lab.widgets.token_explorer import motion_lost

# ---- tokens


def test_only_legal_tubelets_can_be_chosen_and_a_value_moves_to_the_nearest():
    explorer = TokenExplorer("crossing", frames=32, tubelet=(16, 16, 16))
    explorer.frames.value = 24
    assert explorer.tubelet_t.value == 12
    assert explorer.sampled.value == 4  # still legal, so it stays
    explorer.image_size.value = 96
    assert (explorer.tubelet_h.value, explorer.tubelet_w.value) == (16, 16)
    for frames, size in itertools.product((12, 32, 4, 24), (160, 96, 224)):
        explorer.frames.value, explorer.image_size.value = frames, size
        assert all(frames % t == 0 for t in explorer.tubelet_t.options)
        for sides in (explorer.tubelet_h.options, explorer.tubelet_w.options):
            assert all(size % side == 0 for side in sides)
        assert max(explorer.sampled.options) == frames
        assert explorer.token.max == explorer.state().tubelets.tokens - 1  # checked by the config
        assert is_shown(explorer)


def test_token_and_pixel_sliders_move_each_other_and_the_pixel_stays_when_the_tubelet_changes():
    explorer = TokenExplorer("crossing", frames=8, image_size=96, tubelet=(2, 16, 16))
    explorer.token.value = 2 * 36 + 3 * 6 + 4
    assert [slider.value for slider in explorer.voxel] == [4, 48, 64]
    explorer.voxel[0].value, explorer.voxel[1].value = 7, 95
    assert explorer.token.value == 3 * 36 + 5 * 6 + 4
    seen = token_voxels(explorer.state().tubelets, explorer.token.value)
    for span, slider in zip(seen, explorer.voxel, strict=True):
        assert slider.value in span
    explorer.tubelet_t.value = 4
    assert [slider.value for slider in explorer.voxel] == [7, 95, 64]
    assert explorer.token.value == 1 * 36 + 5 * 6 + 4


def test_what_is_pressed_comes_under_the_microscope_and_keys_go_from_token_to_token():
    for sampled, kept in ((2, False), (8, True)):
        explorer = TokenExplorer("crossing", 8, 96, tubelet=(2, 16, 12), sampled_frames=sampled)
        explorer._on_touch({"press": {"frame": 7}})
        (grid,) = (
            each for each in explorer.picture.scene["regions"] if "token {value}" in each["says"]
        )
        patches = itertools.product(grid["down"][1], grid["across"][1])
        for token, (row, column) in zip(grid["values"], patches, strict=True):
            explorer._on_touch({"press": grid["at"] | {"row": row, "column": column}})
            assert explorer.token.value == token
        assert token == explorer.token.max and "rows {row}–{row+15}" in grid["says"]
        uniform = f"token {{value{7 * 48 - 3 * 48:+d}}}" if kept else "frame 7 is not looked at"
        assert grid["says"].endswith(f"uniform sampling: {uniform}")
        for axis, far in enumerate((1, 8, 48)):
            explorer._on_touch({"key": [axis, -1]})
            token -= far
            assert explorer.token.value == token
        explorer._on_touch({"press": {"skipped": 0, "row": 32, "column": 24, "pixel_row": 41}})
        assert [slider.value for slider in explorer.voxel] == [0, 41, 24]


def test_the_microscope_names_the_frames_that_uniform_sampling_sees():
    explorer = TokenExplorer("crossing", frames=16, image_size=96, tubelet=(4, 16, 16))
    explorer.voxel[0].value = 6  # of frames 4 to 7
    for kept, words in ((1, "none"), (6, "5, 7 only"), (16, "them all, one token each")):
        with written() as lines:
            explorer.sampled.value = kept
        assert f"uniform sampling sees {words}" in [line.words for line in lines]


def test_motion_lost_is_zero_with_all_frames_and_grows_with_fewer():
    clip = Clip(np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8))
    losses = [motion_lost(clip, tuple(range(0, 16, step))) for step in (1, 3, 5, 15)]
    assert losses[0] == 0
    assert losses == sorted(losses)
    assert 0.5 < losses[-1] < 1
    assert motion_lost(Clip(np.zeros_like(clip.pixels)), (0, 15)) == 0


# ---- clips


def test_the_clips_drawn_are_those_of_the_package():
    explorer = ClipExplorer("counter", clip_frames=16, stride=4, seed=3)
    assert np.array_equal(explorer.clips()[0], train_clip(300, 16, 4, seed=3))
    explorer.mode.value = "test"
    explorer.recipe.value = explorer.recipe.options[1]
    assert np.array_equal(explorer.clips(), test_clips(300, 10, 16, 4))
    assert explorer.state().crops(256, 340) == (256, 256, [(0, 0), (0, 42), (0, 84)])

    explorer = ClipExplorer("variable_rate", clip_frames=16)
    times = explorer.picker.footage.video.times
    ways = {"by frame": ByFrame(16, 2), "by time": ByTime(16, 12.5), "by segment": BySegment(16)}
    for way, sampling in ways.items():
        explorer.way.value, explorer.mode.value = way, "train"
        assert np.array_equal(explorer.clips()[0], explorer.state().each_way(times)[way])
        explorer.mode.value = "test"
        assert np.array_equal(explorer.clips(), sampling.test(times, 4))
    explorer.way.value, explorer.clip_frames.value = "by time", 64
    looped = explorer.clips()[0]
    explorer.short.value = "hold"
    assert looped.max() == 59 and (np.diff(looped) < 0).any()
    assert (np.diff(explorer.clips()[0]) >= 0).all() and explorer.clips()[0, -1] == 59


def test_a_clip_starts_where_it_is_dragged_and_goes_back_to_what_the_seed_draws():
    for name, way in itertools.product(("counter", "variable_rate", "crossing"), WAYS[:2]):
        explorer = ClipExplorer(name, clip_frames=8, stride=3, seed=5, way=way)
        times, drawn = explorer.picker.footage.video.times, explorer.clips()[0]
        (drag,) = (each for each in explorer.picture.scene["regions"]
                   if each.get("across", [""])[0] == "start")  # fmt: skip
        starts = drag["across"][1]
        assert starts[0] == 0 and drag["places"] == sorted(drag["places"])
        assert explorer.start.max in range(starts[-1], starts[-1] + 2)
        for start in (*starts[::5], explorer.start.max):
            explorer._on_touch({"press": {"start": start}})
            (clip,) = explorer.clips()
            seconds = times[start] + np.arange(8) * 3 / 25
            right = start + 3 * np.arange(8)
            if way == "by time":  # a millisecond, by which containers round, counts as equal
                right = np.searchsorted(times, seconds + 0.0011, side="right") - 1
            assert np.array_equal(clip, right) and clip[-1] < len(times)
            for each in (drawn, clip):
                assert 0 <= each[0] <= explorer.start.max
        boxes = explorer.state().crops(256, 340)
        explorer.start.value = 1
        assert explorer.state().crops(256, 340) == boxes  # only the seed draws another
        explorer.stride.value = 2
        assert explorer.clips()[0, 0] == 1
        explorer._on_touch({"key": [1, 1]})
        assert explorer.seed.value == 6
        assert np.array_equal(
            explorer.clips()[0], explorer.state().sampling.train(times, np.random.default_rng(6))
        )
        assert explorer.start.value == explorer.clips()[0, 0]


def test_lanes_views_and_frames_are_pressed():
    explorer = ClipExplorer("portrait", clip_frames=16, training=False)
    for view, (crop, name) in itertools.product(range(4), enumerate(("top", "centre", "bottom"))):
        explorer._on_touch({"press": {"view": view, "crop": crop}})
        said = f"View {3 * view + crop + 1} of 12: clip {view + 1}, {name} crop"
        assert any(said in str(command[3]) for command in explorer.picture.scene["commands"])
        strip = [each["at"] for each in explorer.picture.scene["regions"] if "shown" in each["at"]]
        frames = explorer.clips()[view].tolist()
        assert [each["frame"] for each in strip] == frames
        assert explorer.picture.scene["films"][0]["values"] == frames
    explorer._on_touch({"press": strip[3]})
    assert explorer.shown.value == 3
    explorer.film.value = True
    assert explorer.picture.scene["films"][0]["values"] == list(range(100))
    explorer.mode.value = "train"
    explorer._on_touch({"press": {"way": "by segment", "frame": 40}})
    assert explorer.way.value == "by segment" and explorer.clips().shape == (1, 16)


def test_what_comes_after_the_end_is_said_and_marked():
    explorer = ClipExplorer("bars", clip_frames=64, stride=2)
    state, times = explorer.state(), explorer.picker.footage.video.times
    assert state.runs_out(times) and state.choice(times) == "shorter than the clip: it starts again"
    assert after_the_end(explorer.clips()[0], 32).tolist() == [False] * 16 + [True] * 48
    explorer.short.value = "hold"
    assert "held" in explorer.state().choice(times)
    assert after_the_end(explorer.clips()[0], 32).tolist() == [False] * 17 + [True] * 47
    explorer.way.value = "by segment"
    assert "some are shown again" in explorer.state().choice(times)
    assert explorer.state().is_short(times) and not explorer.state().runs_out(times)
    explorer.clip_frames.value = 32
    assert not explorer.state().is_short(times)
    assert ClipExplorer("bars", clip_frames=9, stride=4).state().is_short(times)  # by one frame
    assert (
        ClipExplorer("bars", clip_frames=8, stride=4).state().choice(times) == "4 possible starts"
    )
    assert after_the_end(np.array([0, 2, 1, 0]), 3).tolist() == [False, False, True, True]


def test_every_kind_of_video_and_every_setting_can_be_drawn():
    lengths, modes = ((4, 8), (64, 1), (64, 8)), ("train", "test")
    for clip in ("portrait", "rotated", "variable_rate", "crossing"):
        explorer = ClipExplorer(clip)
        for (length, stride), mode, way in itertools.product(lengths, modes, WAYS):
            explorer.clip_frames.value, explorer.stride.value = length, stride
            explorer.mode.value, explorer.way.value = mode, way
            assert is_shown(explorer)


# ---- the start


def test_untrained_models_say_half_and_half_and_a_head_can_learn_one_clip():
    explorer = StartExplorer("rabbit", frames=4)
    for answer in explorer.answers():
        assert answer.probabilities.tolist() == [0.5, 0.5]
        assert answer.looks.sum() == pytest.approx(1, abs=1e-5) and answer.looks.min() >= 0
    explorer.by_heart.value = True
    assert all(answer.probabilities[0] > 0.97 for answer in explorer.answers())
    explorer.backwards.value = True
    assert all(answer.probabilities[1] > 0.97 for answer in explorer.answers())


def test_the_slider_reaches_through_all_stages():
    explorer = StartExplorer("crossing", frames=4)
    pairs = []
    for frames in (4, 8, 16):
        explorer.frames.value = frames
        assert len(explorer.clip()) == frames
        answers = explorer.answers()
        assert {answer.looks.shape for answer in answers} == {(frames // 2, 7, 7)}
        pairs.append([answer.pairs for answer in answers])
    ratios = np.divide(pairs[2], pairs[1])
    assert ratios[0] == pytest.approx(4, rel=0.02)  # Model 1: all pairs
    assert (ratios[1:] < 2.5).all()  # the factorised ones


def test_the_spotlight_is_bright_where_the_weight_is():
    frame = np.full((1, 2, 3), 200, np.uint8)
    assert spotlight(frame, np.array([[1.0, 0.0]]))[0, :, 0].tolist() == [200, 40]


# ---- inflation


def test_the_theorem_on_a_frozen_clip_both_ways_start_equal_random_does_not():
    explorer = InflationExplorer("crossing", stride=0)
    for t, method in itertools.product(TUBELETS, METHODS.values()):
        explorer.t.value, explorer.method.value = t, method
        assert (explorer.difference().largest < 1e-5) == (method != "random")
        assert is_shown(explorer)


def test_with_motion_only_the_central_frame_stays_equal():
    explorer = InflationExplorer("rabbit", method="filter_inflation", t=8)
    means = []
    for stride in STRIDES:
        explorer.stride.value = stride
        means.append(explorer.difference().mean)
    assert means[0] < 1e-5 < means[1]
    assert means[-1] > 3 * means[1]
    explorer.method.value = "central_frame"
    assert explorer.difference().largest < 1e-5


def test_the_difference_is_measured_token_by_token():
    clip = torch.rand(1, 2, 3, 112, 112) * 2 - 1
    clip[:, 0] = clip[:, 1]
    clip[:, 0, :, 8:16, 24:32] *= -1  # one patch: row 1, column 3
    (found,) = compare("filter_inflation", clip)
    assert np.argwhere(found.tokens > 1e-4).tolist() == [[1, 3]]
    assert found.tokens.shape == source().grid


def test_the_source_is_one_that_load_timm_could_have_given():
    image = source()
    assert image.state["patch_embed.proj.weight"].shape == (image.dim, 3, *image.patch)
    assert image.state["patch_embed.proj.weight"].flatten(1).std(dim=1).min() > 1e-3


def test_the_central_frame_is_the_moment_and_ends_repeat():
    for t, stride in itertools.product(TUBELETS, STRIDES):
        numbers = tubelet_frames(50, t, stride, 101)
        assert numbers[t // 2] == 50
        assert set(np.diff(numbers)) <= {stride}
    assert tubelet_frames(99, 8, 8, 100) == [67, 75, 83, 91, 99, 99, 99, 99]


def test_curves_frames_and_tokens_say_their_differences_and_are_pressed():
    explorer = InflationExplorer("crossing", method="random", t=4, stride=2)
    for method, stride in itertools.product(METHODS.values(), (0, 3, 8)):
        regions = explorer.picture.scene["regions"]
        (curve,) = (r for r in regions if "levels" in r and r["at"]["method"] == method)
        explorer._on_touch({"press": curve["at"] | {"stride": stride}})
        assert (explorer.method.value, explorer.stride.value) == (method, stride)
        now, regions = explorer.difference(), explorer.picture.scene["regions"]
        assert curve["values"][STRIDES.index(stride)] == f"{100 * now.mean:.2f} %"
        (tokens,) = (r for r in regions if "down" in r and "values" in r)
        assert tokens["values"] == [f"{100 * share:.2f} %" for share in now.tokens.flat]
    for index in (0, 3, 1):
        seen = tubelet_frames(explorer.moment.value, 4, 8, explorer.moment.max + 1)
        regions = explorer.picture.scene["regions"]
        found = [r["at"] for r in regions if "moment" in r["at"] and r["at"]["index"] == index]
        explorer._on_touch({"press": found[0]})
        assert explorer.moment.value == seen[index]
        assert len([r for r in regions if r["at"].get("index") == index]) == 6  # with 5 slices
    explorer._on_touch({"key": [0, -1]})
    assert explorer.stride.value == 6


def test_another_clip_brings_its_own_moments():
    explorer = InflationExplorer("counter")
    explorer.moment.value = 250
    explorer.picker.path.value = str(sample("crossing"))
    last = explorer.picker.footage.video.num_frames - 1
    assert (explorer.moment.max, explorer.moment.value) == (last, last)
    explorer.picker.path.value = str(sample("counter"))
    assert (explorer.moment.max, explorer.moment.value) == (299, last)
    assert is_shown(explorer)

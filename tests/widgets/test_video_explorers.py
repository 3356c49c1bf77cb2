"""Explorers of tokens, clips, the start and inflation: what is drawn is what the package says."""

import itertools

import numpy as np
import pytest
import torch
from written import check_readable, ends, is_shown, written

from vivit_lab import ViViTConfig, build_model
from vivit_lab.data import ArrowOfTime, sample
from vivit_lab.models import MODELS, token_voxels
from vivit_lab.video import ByFrame, BySegment, ByTime, normalise, test_clips, train_clip
from vivit_lab.weights import save_checkpoint, save_huggingface
from vivit_lab.widgets import ClipExplorer, InflationExplorer, StartExplorer, TokenExplorer
from vivit_lab.widgets.clip_explorer import WAYS, after_the_end
from vivit_lab.widgets.footage import Clip, arrow_clip
from vivit_lab.widgets.inflation_explorer import (
    METHODS,
    STRIDES,
    TUBELETS,
    compare,
    source,
    tubelet_frames,
)
from vivit_lab.widgets.start_explorer import places
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
        uniform = f"token {{value{7 * 48 - 3 * 48:+d}}}" if kept else "frame 7 is not kept"
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
    for kept, words in ((1, "none"), (6, "5, 7 only"), (16, "all, each for a token of its own")):
        with written() as lines:
            explorer.sampled.value = kept
        assert f"uniform sampling keeps {words}" in [line.words for line in lines]


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
    crops = {"left": (0, 0), "centre": (0, 42), "right": (0, 84)}
    assert explorer.state().crops(256, 340) == (256, 256, crops)

    explorer = ClipExplorer("variable_rate", clip_frames=16)
    times = explorer.picker.footage.video.times
    ways = {"by frame": ByFrame(16, 2), "by time": ByTime(16, 12.5), "by segment": BySegment(16)}
    for way, sampling in ways.items():
        explorer.way.value, explorer.mode.value = way, "train"
        assert np.array_equal(explorer.clips()[0], sampling.train(times, np.random.default_rng(0)))
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
            (left, wide), places = next(
                (each["grip"], each["places"])
                for each in explorer.picture.scene["regions"] if "grip" in each
            )  # fmt: skip
            if start in starts:  # where the clip lies is where its middle is dragged
                assert left + wide / 2 == pytest.approx(places[starts.index(start)], abs=0.02)
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
    assert state.choice(times) == "shorter than the clip: it starts again"
    assert state.late(explorer.clips()[0], times).tolist() == [False] * 16 + [True] * 48
    explorer.short.value = "hold"
    assert "held" in explorer.state().choice(times)
    assert explorer.state().late(explorer.clips()[0], times).tolist() == [False] * 17 + [True] * 47
    explorer.way.value = "by segment"
    assert "some are shown again" in explorer.state().choice(times)
    assert explorer.state().is_short(times)
    assert after_the_end(explorer.clips()[0], 32).any()  # frames that are shown again: not late
    assert not explorer.state().late(explorer.clips()[0], times).any()
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


def numbers(explorer, name: str) -> np.ndarray:
    """What hovers over regions with this name in their words say, as numbers."""
    found = [each for each in explorer.picture.canvas.regions if name in each["says"]]
    values = [value for each in found for value in each.get("values", ())]
    return np.array([float(value.strip("%").replace("−", "-")) for value in values])


@pytest.mark.parametrize("name", MODELS)
def test_every_number_of_the_walk_is_the_models_own(name):
    explorer = StartExplorer("crossing", shape="turns clockwise")
    explorer.model.value = name
    model, (step, row, column) = explorer.models[name], (2, 4, 1)
    for slider, value in zip(explorer.place, (step, row, column), strict=True):
        slider.value = value
    frames = arrow_clip("turns clockwise", 0, 8, 48).frames()
    with torch.inference_mode():
        logits, maps = model(normalise(frames)[None], return_attention=True)
        tokens = [model.patch_embed(normalise(each)[None])[0, step, row * 6 + column]
                  for each in (frames, explorer.clip("video", 48, 8).frames())]  # fmt: skip
    explorer.stage.value = 3
    shown = numbers(explorer, "number {index}")
    assert shown == pytest.approx(torch.cat(tokens).numpy(), abs=6e-4)

    explorer.stage.value = 4
    shown = numbers(explorer, "column {column}: {value}").reshape(4, 6, 6) / 100
    last = {kind: weights[0].mean(dim=-3) for block in maps for kind, weights in block.items()}
    right, place, cls = np.zeros((4, 36)), row * 6 + column, model.config.pooling == "cls"
    if name == "joint":
        right += last["joint"][1 + step * 36 + place, 1:].view(4, 36).numpy()
    else:
        share = 1 if cls else 0.5  # of the attention over space
        right[step] += share * last["space"][step, cls + place, cls:].numpy()
    if not cls:
        right[:, place] += 0.5 * last["time"][place, step].numpy()
    assert shown.reshape(4, 36) == pytest.approx(right, abs=6e-5)
    weights, on_cls, steps = explorer.ask(name).looks((step, row, column))
    assert weights.sum() + on_cls == pytest.approx(1, abs=1e-5)
    may = explorer.ask(name).may((step, row, column))
    assert ((weights > 0) == may).all()
    assert may.sum() == {"joint": 144, "factorised_encoder": 36}.get(name, 39)
    if steps is not None:
        assert steps == pytest.approx(last["time"][1 + step, 1:].numpy(), abs=1e-5)

    explorer.stage.value = 5
    shown = numbers(explorer, "{shape}: {value}") / 100
    assert shown == pytest.approx(logits[0].softmax(-1).numpy(), abs=6e-6)
    reads = explorer.ask(name).reads()
    if name == "joint":
        assert reads.ravel() == pytest.approx(last["joint"][0, 1:].numpy(), abs=1e-5)
    elif cls:  # the last temporal map times the last spatial one
        product = last["time"][0, 1:, None] * last["space"][:, 0, 1:]
        assert reads.ravel() == pytest.approx(product.numpy().ravel(), abs=1e-5)
    else:
        assert (reads == 1 / 144).all()


def test_a_clip_played_backwards_is_named_as_the_other_class_of_its_pair():
    """The first clip of each class by all models; of ten of each class 98 % at least."""
    explorer, classes = StartExplorer("crossing"), ArrowOfTime.classes
    for shape, back in itertools.product(classes, (False, True)):
        with explorer.quiet():
            explorer.shape.value, explorer.backwards.value = shape, back
        truth = classes[classes.index(shape) ^ back]
        assert explorer.truth(back) == truth
        assert [explorer.ask(name).says for name in MODELS] == [truth] * 4
    clips, labels = ArrowOfTime(160, 8, 48, seed=3).batch(range(80))  # those of the walk
    assert torch.equal(clips[8 * 5 + 2], arrow_clip(classes[2], 5, 8, 48).frames())
    for name, back in itertools.product(MODELS, (False, True)):
        with torch.inference_mode():
            says = explorer.models[name](normalise(clips.flip(1) if back else clips)).argmax(-1)
        assert (says == (labels ^ back)).float().mean() >= 0.98, (name, back)


def test_what_is_said_of_an_answer_is_right_wrong_or_unknown(monkeypatch):
    explorer = StartExplorer("crossing")
    explorer.stage.value = 5
    for truth, words in (("moves right", ": correct"), ("grows", ": wrong"), (None, "")):
        monkeypatch.setattr(explorer, "truth", lambda back, truth=truth: truth)
        with written() as lines:
            explorer.refresh()
        assert f"“moves right”{words}" in [line.words for line in lines]


def moving(explorer) -> dict[str, list]:
    """The box of each thing with a name."""
    named = [each for each in explorer.picture.canvas.commands if each[0] in "fb" and each[-1]]
    boxes = {each[-1]: each[6:10] if each[0] == "f" else each[1:5] for each in named}
    assert len(boxes) == len(named)  # no two of one name
    return boxes


def test_frames_are_cut_and_their_parts_move_on_and_change_places_when_time_is_reversed():
    explorer, stages = StartExplorer("crossing"), []
    for stage in range(6):
        explorer.stage.value = stage
        stages.append(moving(explorer))
    file, frames, tubelets, tokens, attention, answer = stages
    both = {f"{kind} {i}" for kind in ("shapes", "video") for i in range(8)}
    assert both < file.keys() and both < frames.keys()
    assert {f"{each}/{k}" for each in both for k in range(36)} < tubelets.keys()
    parts = {f"shapes {i}/{k}" for i in (0, 2, 4, 6) for k in range(36)}  # one a token
    for stage in (tokens, attention, answer):
        assert parts < stage.keys()
    explorer.backwards.value = True
    back = moving(explorer)
    assert [back[f"shapes {i}"] for i in range(8)] == [answer[f"shapes {7 - i}"] for i in range(8)]
    assert back["bar 0"][2] < answer["bar 0"][2] and back["bar 1"][2] > answer["bar 1"][2]


def test_stages_models_frames_tokens_and_classes_are_pressed_and_played():
    explorer = StartExplorer("crossing")
    touch = explorer._on_touch
    for at, controls in (
        ({"frame": 7}, {"frame": 7, "step": 3}),
        ({"stage": 4}, {"stage": 4}),
        ({"step": 1, "row": 0, "column": 5}, {"step": 1, "row": 0, "column": 5, "frame": 2}),
        ({"model": "factorised_encoder"}, {"model": "factorised_encoder"}),
        ({"stage": 5}, {"stage": 5}),
        ({"backwards": True}, {"backwards": True}),
        ({"shape": "grows"}, {"shape": "grows", "backwards": False}),
    ):
        regions = [end for each in explorer.picture.canvas.regions for end in ends(each)]
        assert any(each.keys() == at.keys() for each in regions), f"nothing to press for {at}"
        touch({"press": at})
        assert {name: getattr(explorer, name).value for name in controls} == controls
    touch({"key": [0, -9]}), touch({"key": [1, 2]}), touch({"key": [2, 1]})
    assert [slider.value for slider in explorer.place] == [2, 2, 0]
    explorer.stage.value = 1
    touch({"key": [0, -1]})
    assert (explorer.frame.value, explorer.step.value, explorer.picture.scene["keys"]) == (3, 1, 1)
    play = explorer.picture.scene["play"]
    assert (play["name"], play["values"], play["now"]) == ("stage", list(range(6)), 1)


@pytest.mark.parametrize(("config", "save"), [
    ({"frames": 16, "image_size": 64, "tubelet": (2, 8, 8), "num_classes": 20}, save_huggingface),
    ({"frames": 4, "image_size": 32, "tubelet": (2, 16, 16), "num_classes": 3, "temporal_depth": 1,
      "model": "factorised_encoder"}, lambda model, file, _names: save_checkpoint(file, model)),
])  # fmt: skip
def test_a_published_model_takes_the_video_through_all_stages(tmp_path, config, save):
    torch.manual_seed(0)
    model = build_model(ViViTConfig(dim=12, heads=2, depth=2, mlp_dim=8, **config)).eval()
    torch.nn.init.normal_(model.head.weight)
    names = [f"class {k}" for k in range(config["num_classes"])]
    save(model, tmp_path / "published.safetensors", names)
    explorer = StartExplorer("bars", published=tmp_path / "published.safetensors")
    explorer.model.value = "video"
    for stage in (1, 2, 3, 4, 0, 5):
        with written() as lines:
            explorer.stage.value = stage
        check_readable(lines, explorer.width, explorer.height)
        assert is_shown(explorer) and "Video: bars" in explorer.picture.canvas.words
    clip = explorer.clip("video", config["image_size"], config["frames"])
    with torch.inference_mode():
        right = model(normalise(clip.frames())[None])[0].softmax(-1).numpy()
    best = np.sort(right)[-8:]
    assert np.sort(numbers(explorer, "{shape}: {value}")) / 100 == pytest.approx(best, abs=6e-6)


def test_without_published_weights_the_walk_says_why_the_video_is_not_shown():
    with written() as lines:
        StartExplorer("crossing").stage.value = 4
    assert "The video is not shown here" in " ".join(line.words for line in lines)


def test_squares_lie_within_their_area_and_apart():
    for count, width, high in itertools.product((1, 4, 8, 16, 32), (200, 900), (40, 160)):
        squares = places(count, 10, 20, width, high, below=4)
        side = squares[0][2]
        assert all(x + side <= 10 + width and y + side <= 20 + high for x, y, _ in squares)
        for (x, y, _), (left, top, _) in itertools.combinations(squares, 2):
            assert abs(x - left) >= side or abs(y - top) >= side


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

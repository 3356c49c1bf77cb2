"""The attention explorer, driven without a browser."""

import itertools

import numpy as np
import pytest
import torch
from written import check_readable, ends, is_shown, written

from vivit_lab import ViViTConfig, build_model
from vivit_lab.analysis import attention_maps, rollout
from vivit_lab.data import ArrowOfTime
from vivit_lab.models import MODELS
from vivit_lab.video import normalise
from vivit_lab.weights import save_checkpoint
from vivit_lab.widgets import AttentionExplorer, attention_explorer
from vivit_lab.widgets.attention_explorer import models
from vivit_lab.widgets.canvas import Canvas
from vivit_lab.widgets.charts import BLACK, heat


def values(control) -> list:
    return [option[1] for option in control.options]


@pytest.mark.parametrize("model", MODELS)
def test_every_map_can_be_drawn_at_every_end_of_every_slider(model):
    """And its sums are one, and what is no attention says so."""
    explorer = AttentionExplorer("grows", model=model)
    kinds = ["attention"] if model == "joint" else ["product", "space", "time"]
    assert values(explorer.show) == [*kinds, "rollout"]
    for show, query, end in itertools.product([*kinds, "rollout"], ("output", "token"), (0, -1)):
        with explorer.one_redraw():
            explorer.show.value, explorer.query.value = show, query
            explorer.layer.value = explorer.layer.max * -end
            explorer.head.value = explorer.head.options[end]
            for slider in explorer.place:
                slider.value = slider.max * -end
        with written() as lines:
            explorer.refresh()
        assert is_shown(explorer)
        check_readable(lines, explorer.width, explorer.height)
        shown = explorer.looks()
        for part in (shown.strip, shown.space, shown.time):
            assert float(part.total) == pytest.approx(1, abs=1e-6)
        assert any("sums to 1.000" in line.words for line in lines)
        says = any("not attention" in line.words for line in lines)
        assert says == (show in ("product", "rollout"))


def test_what_is_shown_is_what_the_package_says_of_the_same_clip():
    explorer = AttentionExplorer("turns clockwise", model="factorised_self_attention")
    explorer.weights.value = "random"
    explorer.number.value = 2
    model = models()["random"]["factorised_self_attention"]
    frames, _, size, _ = model.config.clip_shape
    dataset = ArrowOfTime(160, frames, size, seed=3)
    clip, label = dataset[2 * 8 + 2]
    assert dataset.classes[label] == "turns clockwise"
    clip = normalise(clip)[None]
    maps = attention_maps(model, clip)
    explorer.query.value = "token"
    explorer.step.value, explorer.row.value, explorer.column.value = 1, 2, 3
    explorer.layer.value, explorer.head.value = 2, 1
    for show, right in {
        "space": maps.at(2, "space").row((1, 2, 3), head=1),
        "time": maps.at(2, "time").row((1, 2, 3), head=1),
        "product": maps.product(2, (1, 2, 3), head=1),
        "rollout": rollout(model, clip),
    }.items():
        explorer.show.value = show
        strip = explorer.looks().strip
        assert strip.kind == right.kind
        assert torch.equal(strip.weights, right.weights)


def test_a_products_parts_are_the_maps_beside_it():
    explorer = AttentionExplorer("moves left", model="factorised_encoder")
    config = models()["random"]["factorised_encoder"].config
    depth, last = config.depth, config.depth + config.temporal_depth - 1
    for layer, titles in {
        1: ("Space map of block 1", f"Time map of block {last}"),
        depth: (f"Space map of block {depth - 1}", f"Time map of block {depth}"),
    }.items():
        explorer.layer.value = layer
        shown = explorer.looks()
        assert (shown.space_title, shown.time_title) == titles
        steps = shown.strip.weights.sum(dim=(1, 2)) / shown.time.weights.flatten()
        assert (steps <= 1).all() and (steps > 0.5).all()  # the rest stays on class tokens


def test_only_what_the_model_has_can_be_chosen():
    explorer = AttentionExplorer(model="factorised_encoder")
    assert "class token" in explorer.query.options[0][0]
    config = models()["random"]["factorised_encoder"].config
    explorer.layer.value = explorer.layer.max
    assert explorer.layer.value == config.depth + config.temporal_depth - 1
    explorer.head.value = config.heads - 1
    explorer.model.value = "factorised_dot_product"
    assert explorer.layer.value == explorer.layer.max == config.depth - 1
    assert list(explorer.head.options) == ["mean", *range(config.heads // 2)]
    assert explorer.head.value == "mean"
    assert values(explorer.show) == ["product", "space", "time", "rollout"]
    assert "mean of all" in explorer.query.options[0][0]
    assert is_shown(explorer)


def test_moving_a_slider_asks_no_model_again():
    explorer = AttentionExplorer()
    explorer.query.value = "token"
    asked = explorer._maps.cache_info().misses
    for control in (explorer.step, explorer.row, explorer.column, explorer.layer, explorer.head):
        control.value = 1
    assert explorer._maps.cache_info().misses == asked
    explorer.shape.value = "shrinks"
    assert explorer._maps.cache_info().misses == asked + 1


def test_the_controls_and_the_picture_agree_on_which_clip_is_shown(tmp_path):
    """A video takes the place of the shape, and a bad file does not."""
    explorer = AttentionExplorer("moves left")
    assert explorer.picker.name.value is None  # so that any sample can be chosen
    assert explorer.picker.message.value == ""
    explorer.picker.path.value = str(tmp_path / "missing.mp4")
    assert explorer.shape.value == "moves left" and "moves left, number 0" in said(explorer)
    assert "missing.mp4" in explorer.picker.message.value
    assert "still shows" not in explorer.picker.message.value  # it shows a shape
    for name in ("rabbit", "crossing"):
        explorer.picker.name.value = name
        assert explorer.shape.value == attention_explorer.VIDEO
        assert f"Clip: {name};" in said(explorer)
    assert explorer.clip().pixels.shape[1:] == (192, 192, 3) and is_shown(explorer)
    explorer.shape.value = "grows"
    assert explorer.picker.name.value is None and "Clip: grows, number 0" in said(explorer)
    explorer.shape.value = attention_explorer.VIDEO
    assert explorer.picker.name.value == "crossing" and "Clip: crossing;" in said(explorer)
    assert AttentionExplorer("crossing").shape.value == attention_explorer.VIDEO


def said(explorer) -> str:
    return explorer.picture.scene["words"]


@pytest.mark.parametrize("model", MODELS)
def test_what_is_pressed_is_asked_or_shown_and_hovers_say_the_exact_weights(model):
    explorer = AttentionExplorer("grows", model=model)
    names = set()
    for show in values(explorer.show):
        explorer.show.value = show
        regions = explorer.picture.scene["regions"]
        strip = explorer.looks().strip.weights
        for region in regions:
            if "step" in region["at"]:
                shape = explorer.looks().space.weights.shape[1:]
                right = strip[region["at"]["step"]].expand(shape).flatten().tolist()
                cells = [f"{weight:.4f}" for weight in right]
                assert region["across"] == ["column", list(range(shape[1]))]
                assert region["down"] == ["row", list(range(shape[0]))]
                assert region["values"] == cells
        for at in (at for region in regions for at in ends(region)):
            explorer.show.value, explorer.query.value = show, "output"
            explorer._on_touch({"press": at})
            assert {name: explorer.control(name).value for name in at} == at
            assert explorer.show.value != "rollout"
            is_token = bool(at.keys() & {"step", "row", "column"})
            assert explorer.query.value == ("token" if is_token else "output")
            names |= at.keys()
    assert names == {"step", "row", "column", "layer", "head"}
    explorer.show.value = "rollout"
    explorer.row.value = 2
    explorer._on_touch({"key": [1, 1]})  # arrows ask as well
    assert explorer.state().query[1] == 3 and explorer.show.index == 0


def test_the_small_maps_are_those_of_each_block_and_head():
    for model in MODELS:
        explorer = AttentionExplorer("shrinks", model=model)
        for show in values(explorer.show)[:-1]:
            explorer.show.value = show
            maps, kind = explorer._now()[0], "time" if show == "time" else "space"
            brightest = []
            for layer in range(maps.depth):
                kinds = {each.kind for each in maps if each.layer == layer}
                asked = maps.at(layer, kind if len(kinds) > 1 else None)
                summed = (1, 2) if asked.kind == "time" else 0
                for head in explorer.head.options:
                    weights = asked.row(explorer.state().query, head).weights
                    brightest.append(f"{weights.sum(dim=summed).max():.3f}")
            assert explorer.picture.scene["regions"][3]["values"] == brightest  # of the blocks


def test_a_cell_is_as_bright_as_its_weight_and_stands_where_it_belongs():
    weights = np.zeros((3, 4))
    weights[2, 1] = 1
    canvas = Canvas(200, 20)
    heat(canvas, 0, 0, 16, 12, BLACK, weights)
    heat(canvas, 40, 0, 160, 12, BLACK, np.linspace(0, 1, 40)[None])
    lit = np.asarray(canvas.image()).astype(int)[..., 0]
    assert (lit[8:12, 4:8] > 180).all()
    assert lit[:12, :16].max() - lit[:8, :16].max() > 100
    rising = np.diff(lit[0, 40:])
    assert (rising >= 0).all() and rising.sum() > 100


def test_trained_weights_of_any_size_are_found_and_random_ones_do_without(tmp_path, monkeypatch):
    size = {
        "frames": 8, "image_size": 32, "tubelet": (2, 8, 8), "dim": 16, "depth": 2, "heads": 2,
        "mlp_dim": 16, "num_classes": 8,
    }  # fmt: skip
    for name in MODELS:
        model = build_model(ViViTConfig(model=name, **size))
        torch.nn.init.normal_(model.head.weight)
        model.class_names = ArrowOfTime.classes
        save_checkpoint(tmp_path / f"{name}.safetensors", model)
    monkeypatch.setattr(attention_explorer, "WEIGHTS", tmp_path)
    found = models.__wrapped__()  # what it finds when first asked
    (tmp_path / "joint.safetensors").unlink()
    without = models.__wrapped__()
    for name in MODELS:
        assert found["random"][name].config == found["trained"][name].config
    everything = [model for kind in found.values() for model in kind.values()]
    assert {model.config.grid for model in everything} == {(4, 4, 4)}
    assert not any(model.training for model in everything)

    monkeypatch.setattr(attention_explorer, "models", lambda: found)
    explorer = AttentionExplorer()
    assert list(explorer.weights.options) == ["trained", "random"]
    for model in MODELS:
        explorer.model.value = model
        before = explorer.picture.value
        explorer.weights.value = "random"
        assert is_shown(explorer) and explorer.picture.value != before
        explorer.weights.value = "trained"
        assert explorer.picture.value == before
    assert explorer.step.max == explorer.row.max == 3

    assert without["trained"] == {}
    monkeypatch.setattr(attention_explorer, "models", lambda: without)
    explorer = AttentionExplorer(trained=True)
    assert list(explorer.weights.options) == ["random"]
    assert is_shown(explorer)

"""The attention explorer, driven without a browser."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from vivit_lab import ViViTConfig, build_model
from vivit_lab.analysis import attention_maps, rollout
from vivit_lab.data import ArrowOfTime, sample
from vivit_lab.models import MODELS
from vivit_lab.video import normalise
from vivit_lab.weights import save_checkpoint
from vivit_lab.widgets import AttentionExplorer, attention_explorer
from vivit_lab.widgets.attention_explorer import heat, models
from vivit_lab.widgets.surface import Canvas

FACTORISED = ("product", "space", "time", "rollout")
SHOWN = [
    ("joint", "attention"),
    ("joint", "rollout"),
    *[
        (name, show)
        for name in list(MODELS)[1:]
        for show in ("product", "space", "time", "rollout")
    ],
]


def pixels(explorer) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(explorer.picture.value))).astype(int)


def is_shown(explorer) -> bool:
    return explorer.picture.layout.display is None and explorer.message.value == ""


def pick(explorer, model: str, show: str) -> None:
    explorer.model.value = model
    explorer.show.value = show


def test_it_opens_with_a_picture_of_the_promised_size_and_the_same_bytes_each_time():
    explorer = AttentionExplorer()
    assert is_shown(explorer)
    assert pixels(explorer).shape == (explorer.height, explorer.width, 3)
    assert AttentionExplorer().picture.value == explorer.picture.value
    assert len(explorer.still().data) < 110_000
    assert isinstance(explorer._repr_mimebundle_()["image/jpeg"], str)


@pytest.mark.parametrize(("model", "show"), SHOWN)
def test_every_model_and_map_can_be_drawn_at_every_end_of_every_slider(model, show):
    explorer = AttentionExplorer("grows")
    pick(explorer, model, show)
    for query in ("output", "token"):
        explorer.query.value = query
        for layer in (0, explorer.layer.max):
            explorer.layer.value = layer
            for head in (explorer.head.options[0], explorer.head.options[-1]):
                explorer.head.value = head
                for end in (0, 1):
                    with explorer.one_redraw():
                        for slider in (explorer.step, explorer.row, explorer.column):
                            slider.value = end * slider.max
                    assert is_shown(explorer)
                    shown = explorer.looks()
                    for part in (shown.strip, shown.space, shown.time):
                        assert float(part.total) == pytest.approx(1, abs=1e-6)


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
    explorer.show.value = "product"
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
    explorer = AttentionExplorer(model="joint")
    values = lambda control: [option[1] for option in control.options]  # noqa: E731
    assert values(explorer.show) == ["attention", "rollout"]
    pooling = models()["random"]["joint"].config.pooling
    assert {"cls": "class token", "mean": "mean of all"}[pooling] in explorer.query.options[0][0]
    explorer.model.value = "factorised_encoder"
    explorer.layer.value = explorer.layer.max
    config = models()["random"]["factorised_encoder"].config
    assert explorer.layer.value == config.depth + config.temporal_depth - 1
    explorer.head.value = config.heads - 1
    explorer.model.value = "factorised_dot_product"
    assert explorer.layer.value == explorer.layer.max == config.depth - 1
    assert list(explorer.head.options) == ["mean", *range(config.heads // 2)]
    assert explorer.head.value == "mean"
    assert values(explorer.show) == ["product", "space", "time", "rollout"]
    assert "mean of all" in explorer.query.options[0][0]
    assert is_shown(explorer)


def test_controls_that_do_nothing_are_disabled():
    explorer = AttentionExplorer()
    places = (explorer.step, explorer.row, explorer.column)
    assert all(control.disabled for control in places)
    explorer.query.value = "token"
    assert not any(control.disabled for control in (*places, explorer.layer, explorer.head))
    explorer.show.value = "rollout"
    assert all(c.disabled for c in (*places, explorer.layer, explorer.head, explorer.query))
    assert not explorer.number.disabled
    explorer.picker.name.value = "crossing"
    assert explorer.number.disabled


def test_every_control_changes_the_picture_and_draws_once():
    explorer = AttentionExplorer(model="factorised_self_attention")
    explorer.query.value = "token"
    drawn = []
    explorer.draw = lambda draw=explorer.draw: drawn.append(1) or draw()
    for control, value in (
        (explorer.step, 1),
        (explorer.row, 1),
        (explorer.column, 0),
        (explorer.layer, 1),
        (explorer.head, 2),
        (explorer.show, "space"),
        (explorer.number, 5),
        (explorer.shape, "shrinks"),
        (explorer.model, "factorised_dot_product"),
        (explorer.query, "output"),
        (explorer.picker.name, "crossing"),
        (explorer.picker.name, "bars"),
        (explorer.shape, "grows"),
    ):
        before = explorer.picture.value
        drawn.clear()
        control.value = value
        assert len(drawn) == 1, control.description
        assert explorer.picture.value != before, control.description


def test_moving_a_slider_asks_no_model_again():
    explorer = AttentionExplorer()
    explorer.query.value = "token"
    asked = explorer._maps.cache_info().misses
    for control in (explorer.step, explorer.row, explorer.column, explorer.layer, explorer.head):
        control.value = 1
    assert explorer._maps.cache_info().misses == asked
    explorer.shape.value = "shrinks"
    assert explorer._maps.cache_info().misses == asked + 1


def test_a_video_takes_the_place_of_the_shape_and_a_bad_file_does_not(tmp_path):
    explorer = AttentionExplorer("moves left")
    before = explorer.picture.value
    fake = tmp_path / "fake.mp4"
    fake.write_text("this is no video\n" * 40)
    explorer.picker.path.value = str(fake)
    assert "this is a text file" in explorer.picker.message.value
    assert (explorer.shape.value, explorer.picture.value) == ("moves left", before)
    explorer.picker.path.value = str(sample("bars"))
    assert explorer.picker.message.value == ""
    assert explorer.shape.value == attention_explorer.VIDEO
    assert explorer.picture.value != before
    name = {"name": "a.mp4", "type": "video/mp4", "size": 1, "content": memoryview(b"x" * 99)}
    explorer.picker.choose_upload((name,))
    assert "a.mp4" in explorer.picker.message.value and is_shown(explorer)


def test_it_takes_the_name_of_a_sample_too():
    assert AttentionExplorer("crossing").clip().pixels.shape[1:] == (192, 192, 3)
    with pytest.raises(Exception, match=r"rabit.*no such file"):
        AttentionExplorer("rabit")


def test_without_trained_weights_only_random_ones_are_offered(monkeypatch):
    monkeypatch.setattr(attention_explorer, "models", lambda: models() | {"trained": {}})
    explorer = AttentionExplorer(trained=True)
    assert list(explorer.weights.options) == ["random"]
    assert is_shown(explorer)


def test_what_is_no_attention_says_so_in_the_picture(monkeypatch):
    written, text = [], Canvas.text

    def noted(canvas, x, y, words, *arguments, **named):
        written.append(words)
        text(canvas, x, y, words, *arguments, **named)

    monkeypatch.setattr(Canvas, "text", noted)
    explorer = AttentionExplorer()
    for model, show in SHOWN:
        pick(explorer, model, show)
        written.clear()
        explorer.refresh()
        assert any("not attention" in words for words in written) == (
            show in ("product", "rollout")
        )
        assert any("sums to 1.000" in words for words in written)


def test_a_cell_is_as_bright_as_its_weight_and_stands_where_it_belongs():
    frame = Image.new("RGB", (8, 6), (90, 90, 90))
    weights = np.zeros((3, 4))
    weights[2, 1] = 1
    lit = np.asarray(heat(frame, weights)).astype(int)
    assert (lit[4:, 2:4, 0] > 200).all()
    assert lit[..., 0].max() - lit[:4, :, 0].max() > 100
    rising = np.asarray(heat(Image.new("RGB", (40, 1)), np.linspace(0, 1, 40)[None]))[0, :, 0]
    assert (np.diff(rising.astype(int)) >= 0).all()


@pytest.mark.parametrize("name", MODELS)
def test_both_kinds_of_weights_have_the_same_shape(name):
    for kind in models().values():
        if kind:
            assert kind[name].config == models()["random"][name].config
            assert not kind[name].training


def test_trained_weights_of_any_size_are_found_and_shown(tmp_path, monkeypatch):
    size = {
        "frames": 8, "image_size": 32, "tubelet": (2, 8, 8), "dim": 16, "depth": 2, "heads": 2,
        "mlp_dim": 16, "num_classes": 8,
    }  # fmt: skip
    for name in MODELS:
        model = build_model(ViViTConfig(model=name, **size))
        torch.nn.init.normal_(model.head.weight)
        model.class_names = ArrowOfTime.classes
        save_checkpoint(tmp_path / f"{name}.safetensors", model)
    with monkeypatch.context() as patch:
        patch.setattr(attention_explorer, "WEIGHTS", tmp_path)
        found = models.__wrapped__()  # what it finds when first asked
        (tmp_path / "joint.safetensors").unlink()
        assert models.__wrapped__()["trained"] == {}
    assert {model.config.grid for kind in found.values() for model in kind.values()} == {(4, 4, 4)}
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

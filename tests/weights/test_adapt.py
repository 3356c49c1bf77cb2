"""A trained model for other clips and classes: positions resized, the rest untouched."""

import sys
from pathlib import Path

import pytest
import torch

from vivit_lab.weights import WeightsError, adapt, resize_positions

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from small import VARIANTS, clips, small_model


def fresh(variant, **changes):
    """A model that shares no number with small_model(variant)."""
    model = small_model(variant, **changes)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    return model


def test_the_same_configuration_is_a_copy():
    for variant in VARIANTS:
        source, model = small_model(variant), fresh(variant)
        report = adapt(model, source)
        assert report.counts == {"copied": len(model.state_dict())}
        assert all(torch.equal(v, model.state_dict()[k]) for k, v in source.state_dict().items())
        with torch.inference_mode():
            assert torch.equal(model.eval()(clips()), source.eval()(clips()))


def test_positions_are_resized_on_their_own_grid_and_all_else_is_copied():
    for variant in VARIANTS:
        changes = {"frames": 16, "image_size": (40, 16)}  # grid 4 x 3 x 4 -> 8 x 5 x 2
        if variant == "uniform_frames":
            changes["sampled_frames"] = 8
        source, model = small_model(variant), fresh(variant, **changes)
        report = adapt(model, source)
        before, after = source.state_dict(), model.state_dict()
        is_encoder = source.config.model == "factorised_encoder"
        grids = {"pos_embed": ((3, 4), (5, 2)) if is_encoder else ((4, 3, 4), (8, 5, 2))}
        if "temporal_pos_embed" in before:
            grids["temporal_pos_embed"] = ((4, 1, 1), (8, 1, 1))
        assert {entry.name for entry in report["resized"]} == set(grids)
        for name, tensor in before.items():
            if name in grids:
                cls = source.config.pooling == "cls"
                tensor = resize_positions(tensor, *grids[name], cls=cls)
            assert torch.equal(after[name], tensor), (variant, name)
        model.eval()(torch.zeros(1, *model.config.clip_shape))


def test_only_what_changed_is_resized():
    source = small_model("factorised_encoder")
    report = adapt(fresh("factorised_encoder", frames=4), source)
    assert [entry.name for entry in report["resized"]] == ["temporal_pos_embed"]
    assert "4 x 1 x 1 to 2 x 1 x 1" in str(report)
    report = adapt(fresh("factorised_encoder", image_size=(32, 32)), source)
    assert [entry.name for entry in report["resized"]] == ["pos_embed"]


def test_other_classes_leave_the_head_as_it_is():
    source, model = small_model("joint"), fresh("joint", num_classes=9)
    source.class_names = tuple("abcde")
    report = adapt(model, source)
    for kind in ("new", "unused"):
        assert [entry.name for entry in report[kind]] == ["head.weight", "head.bias"]
    assert "9 classes here, 5 classes in the source" in str(report)
    assert (model.head.weight == 7).all() and (model.head.bias == 7).all()
    assert model.class_names is None and report.class_names is None


def test_class_names_come_along_with_their_head_and_other_names_are_other_classes():
    source, model = small_model("joint"), fresh("joint", frames=4)
    source.class_names = tuple("abcde")
    report = adapt(model, source)
    assert model.class_names == report.class_names == tuple("abcde")
    assert torch.equal(model.head.weight, source.head.weight)
    model = fresh("joint")
    model.class_names = ["a", "b", "c", "e", "d"]
    report = adapt(model, source)
    assert (model.head.weight == 7).all() and len(report["new"]) == 2
    assert "of other names" in str(report) and report.class_names == ["a", "b", "c", "e", "d"]
    model.class_names = list("abcde")  # a list for a tuple is no other name
    assert not adapt(model, source)["new"]


def test_several_heads_are_matched_by_name():
    source = small_model("joint", num_classes={"noun": 3, "verb": 2})
    model = fresh("joint", num_classes={"verb": 2, "noun": 4, "tool": 3})
    report = adapt(model, source)
    assert torch.equal(model.head["verb"].weight, source.head["verb"].weight)
    wanted = {f"head.{head}.{kind}" for head in ("noun", "tool") for kind in ("weight", "bias")}
    assert {entry.name for entry in report["new"]} == wanted
    assert {e.name for e in report["unused"]} == {"head.noun.weight", "head.noun.bias"}
    adapt(fresh("joint"), source)  # and from several to one
    adapt(model, small_model("joint"))


def test_another_kind_of_model_is_refused():
    for variant, changes, message, source in (
        ("joint_mean", {}, "pooling is 'cls' in the source, 'mean' in the model", "joint"),
        ("joint", {"tubelet": (4, 8, 8)}, r"tubelet is \(2, 8, 8\) in .*, \(4, 8, 8\)", "joint"),
        ("joint", {"dim": 96}, "dim is 48 in the source, 96 in the model", "joint"),
        ("joint", {"depth": 2}, "depth is 3 in the source, 2 in the model", "joint"),
        ("joint", {"heads": 6}, "heads is 4 in the source, 6 in the model", "joint"),
        ("joint", {"mlp_dim": 48}, "mlp_dim is 96 in the source, 48 in the model", "joint"),
        ("joint", {"gelu": "exact"}, "gelu is 'tanh' in the source, 'exact' in", "joint"),
        ("joint", {"in_channels": 1}, "in_channels is 3 in the source, 1 in the model", "joint"),
        ("joint", {"layer_scale": 0.1}, "LayerScale is False in the source, True", "joint"),
        ("uniform_frames", {}, "tokenizer is 'tubelet' in the source, 'uniform_frames'", "joint"),
        ("factorised_encoder", {}, "model is 'joint' in .*, 'factorised_encoder' in", "joint"),
        ("factorised_dot_product", {}, "model is 'joint' in .*, 'factorised_dot_p", "joint"),
        ("factorised_self_attention", {}, "attention_order is 'time_space' in", "time_space"),
        ("factorised_encoder", {}, "temporal_depth is 0 in .*, 4 in", "encoder_average"),
    ):
        model = fresh(variant, **changes)
        with pytest.raises(WeightsError, match=message):
            adapt(model, small_model(source))
        assert all((parameter == 7).all() for parameter in model.parameters())
    model, broken = fresh("joint"), small_model("joint")
    with torch.no_grad():
        broken.norm.weight[3] = float("nan")
    with pytest.raises(WeightsError, match=r"norm\.weight.*not finite"):
        adapt(model, broken)
    assert all((parameter == 7).all() for parameter in model.parameters())

"""A trained model for other clips and classes: positions resized, the rest untouched."""

import pytest
import torch
from shared import VARIANTS, clips, equal, refused, sevens, small_model

from vivit_lab.weights import WeightsError, adapt, resize_positions


def fresh(variant, **changes):
    return sevens(small_model(variant, **changes).config)


def names(entries):
    return {entry.name for entry in entries}


def test_the_same_configuration_is_a_copy():
    for variant in VARIANTS:
        source, model = small_model(variant), fresh(variant)
        assert adapt(model, source).counts == {"copied": len(model.state_dict())}
        assert equal(model, source)
        with torch.inference_mode():
            assert torch.equal(model.eval()(clips()), source.eval()(clips()))


def test_positions_are_resized_on_their_own_grid_and_all_else_is_copied():
    for variant in VARIANTS:
        changes = {"frames": 16, "image_size": (40, 16)}  # grid 4 x 3 x 4 -> 8 x 5 x 2
        if variant == "uniform_frames":
            changes["sampled_frames"] = 8
        source, model = small_model(variant), fresh(variant, **changes)
        report = adapt(model, source)
        wanted = source.state_dict()
        is_encoder = source.config.model == "factorised_encoder"
        grids = {"pos_embed": ((3, 4), (5, 2)) if is_encoder else ((4, 3, 4), (8, 5, 2))}
        if "temporal_pos_embed" in wanted:
            grids["temporal_pos_embed"] = ((4, 1, 1), (8, 1, 1))
        assert names(report["resized"]) == set(grids)
        for name, both in grids.items():
            wanted[name] = resize_positions(wanted[name], *both, cls=source.config.pooling == "cls")
        assert equal(model, wanted), variant
        model.eval()(torch.zeros(1, *model.config.clip_shape))


def test_only_what_changed_is_resized():
    source = small_model("factorised_encoder")
    for changes, name, words in (
        ({"frames": 4}, "temporal_pos_embed", "4 x 1 x 1 to 2 x 1 x 1"),
        ({"image_size": (32, 32)}, "pos_embed", "1 x 3 x 4 to 1 x 4 x 4"),
    ):
        report = adapt(fresh("factorised_encoder", **changes), source)
        assert names(report["resized"]) == {name} and words in str(report)


def test_a_head_comes_along_with_its_names_if_its_classes_are_the_same():
    source = small_model("joint")
    source.class_names = tuple("abcde")
    for changes, own, after, note in (
        ({"frames": 4}, None, tuple("abcde"), ""),
        ({}, list("abcde"), list("abcde"), ""),  # a list for a tuple is no other name
        ({}, list("abced"), list("abced"), "of other names"),
        ({"num_classes": 9}, None, None, "9 classes here, 5 classes in the source"),
    ):
        model = fresh("joint", **changes)
        model.class_names = own
        report = adapt(model, source)
        assert model.class_names == report.class_names == after and note in str(report)
        head = {"head.weight", "head.bias"} if note else set()
        assert names(report["new"]) == names(report["unused"]) == head
        wanted = fresh("joint", **changes) if note else source
        assert equal(model.head, wanted.head)


def test_several_heads_are_matched_by_name():
    source = small_model("joint", num_classes={"noun": 3, "verb": 2})
    model = fresh("joint", num_classes={"verb": 2, "noun": 4, "tool": 3})
    report = adapt(model, source)
    assert equal(model.head["verb"], source.head["verb"])
    assert {name.split(".")[1] for name in names(report["new"])} == {"noun", "tool"}
    assert names(report["unused"]) == {"head.noun.weight", "head.noun.bias"}
    one = small_model("joint")
    one.class_names = tuple("abcde")
    adapt(fresh("joint"), source)  # and from several to one, and back
    adapt(model, one)


def test_another_kind_of_model_is_refused():
    broken, empty = small_model("joint"), small_model("joint").to("meta")
    with torch.no_grad():
        broken.norm.weight[3] = float("nan")
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
        ("joint", {}, r"norm\.weight.*not finite", broken),
        ("joint", {}, "a shape, but no numbers: it is on the meta device", empty),
    ):
        source = small_model(source) if isinstance(source, str) else source
        refused(message, adapt, fresh(variant, **changes), source)


def test_a_model_without_a_head_takes_no_names_and_one_without_memory_is_refused():
    trained = small_model("joint")
    trained.class_names = ["a", "b", "c", "d", "e"]
    headless = fresh("joint", num_classes=0)
    report = adapt(headless, trained)
    assert report.counts["unused"] == 2 and headless.class_names is None
    assert report.counts["copied"] == len(headless.state_dict())
    with pytest.raises(WeightsError, match="to_empty"):
        adapt(fresh("joint").to("meta"), trained)

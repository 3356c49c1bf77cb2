"""transformers' ViViT and our Model 1 give the same logits, whichever way the weights went."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vivit_lab import ViViTConfig, build_model
from vivit_lab.weights import WeightsError, load_huggingface, save_huggingface

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from small import SMALL, small_model

# image_size, num_frames, tubelet, hidden, heads, layers, mlp, channels, labels, activation
SHAPES = {
    "small": (32, 8, [2, 8, 8], 48, 4, 3, 96, 3, 5, "gelu_fast"),
    "flat tubelets": (24, 6, [3, 8, 4], 32, 2, 1, 40, 3, 2, "gelu_fast"),
    "tall image": ((48, 32), 4, [1, 16, 8], 24, 3, 2, 50, 3, 7, "gelu_fast"),
    "grey, exact gelu": (16, 4, [4, 4, 8], 16, 1, 2, 16, 1, 3, "gelu"),
}


def their_model(shape="small", kind="VivitForVideoClassification", **changes):
    import transformers

    size, frames, tubelet, dim, heads, depth, mlp, channels, labels, act = SHAPES[shape]
    settings = {
        "image_size": size,
        "num_frames": frames,
        "tubelet_size": tubelet,
        "hidden_size": dim,
        "num_attention_heads": heads,
        "num_hidden_layers": depth,
        "intermediate_size": mlp,
        "num_channels": channels,
        "num_labels": labels,
        "hidden_act": act,
    }
    config = transformers.VivitConfig(**(settings | changes))
    model = getattr(transformers, kind)(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():  # also what starts at zero or one
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def clip_for(config):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, *config.clip_shape, generator=generator) * 2 - 1


def same_logits(ours, theirs):
    clip = clip_for(ours.config)
    with torch.inference_mode():
        expected = theirs(pixel_values=clip).logits
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(ours.eval()(clip), expected, atol=1e-5, rtol=1e-5)


# ---- from transformers


@pytest.mark.parametrize("shape", SHAPES)
def test_their_models_give_the_same_logits_here(shape, tmp_path):
    theirs = their_model(shape)
    theirs.save_pretrained(tmp_path)
    ours, report = load_huggingface(tmp_path)
    same_logits(ours, theirs)
    assert report.counts == {"copied": len(ours.state_dict())}
    assert ours.config.gelu == ("exact" if shape.endswith("exact gelu") else "tanh")


def test_both_spellings_of_their_names_are_read(tmp_path):
    theirs = their_model()
    theirs.save_pretrained(tmp_path)
    names = {}
    for folder in ("as saved", "as in the module"):
        shutil.copytree(tmp_path, tmp_path / folder, ignore=shutil.ignore_patterns("as *"))
    save_file(theirs.state_dict(), tmp_path / "as in the module" / "model.safetensors")
    for folder in ("as saved", "as in the module"):
        ours, _ = load_huggingface(tmp_path / folder)
        same_logits(ours, theirs)
        names[folder] = ours.state_dict()
    assert all(torch.equal(names["as saved"][k], v) for k, v in names["as in the module"].items())


def test_the_older_names_are_read(tmp_path):
    """As transformers 4 wrote them, spelled out here whatever the installed version writes."""
    ours = small_model("joint")
    save_huggingface(ours, tmp_path)
    from safetensors import safe_open

    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        names = set(file.keys())
    block = "vivit.encoder.layer.0."
    assert {name.removeprefix(block) for name in names if name.startswith(block)} == {
        f"{part}.{kind}"
        for kind in ("weight", "bias")
        for part in (
            "attention.attention.query",
            "attention.attention.key",
            "attention.attention.value",
            "attention.output.dense",
            "intermediate.dense",
            "output.dense",
            "layernorm_before",
            "layernorm_after",
        )
    }
    again, _ = load_huggingface(tmp_path)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in ours.state_dict().items())


def test_weights_in_several_files(tmp_path):
    theirs = their_model()
    theirs.save_pretrained(tmp_path, max_shard_size="100KB")
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 1
    same_logits(load_huggingface(tmp_path)[0], theirs)
    shards[0].unlink()
    with pytest.raises(FileNotFoundError, match=shards[0].name):
        load_huggingface(tmp_path)


def test_a_folder_without_classifier_gets_a_new_head(tmp_path):
    theirs = their_model(kind="VivitModel")
    theirs.save_pretrained(tmp_path)
    ours, report = load_huggingface(tmp_path)
    assert [entry.name for entry in report["new"]] == ["head.weight", "head.bias"]
    assert {entry.name.split(".")[0] for entry in report["unused"]} == {"pooler"}
    assert not ours.head.weight.any() and ours.config.num_classes == 5
    clip = clip_for(ours.config)
    ours.head = torch.nn.Identity()
    with torch.inference_mode():
        expected = theirs(pixel_values=clip).last_hidden_state[:, 0]
        torch.testing.assert_close(ours.eval()(clip), expected, atol=1e-5, rtol=1e-5)


def test_queries_without_bias(tmp_path):
    theirs = their_model(qkv_bias=False)
    theirs.save_pretrained(tmp_path)
    ours, report = load_huggingface(tmp_path)
    same_logits(ours, theirs)
    assert not ours.blocks[0].attn.qkv.bias.any()
    assert "no bias there" in str(report)


def test_half_precision_files_become_float32(tmp_path):
    theirs = their_model().half()
    theirs.save_pretrained(tmp_path)
    ours, _ = load_huggingface(tmp_path)
    assert ours.head.weight.dtype == torch.float32
    same_logits(ours, theirs.float())


def test_a_bin_file_is_read_as_plain_tensors_and_only_then(tmp_path):
    theirs = their_model()
    theirs.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    ours, report = load_huggingface(tmp_path)
    same_logits(ours, theirs)
    assert "pytorch_model.bin" in str(report)


def test_class_names_travel(tmp_path):
    names = ["push", "pull", "lift", "drop", "turn"]
    theirs = their_model(id2label=dict(enumerate(names)))
    theirs.save_pretrained(tmp_path)
    ours, report = load_huggingface(tmp_path)
    assert ours.class_names == report.class_names == tuple(names)
    their_model().save_pretrained(tmp_path)  # LABEL_0, LABEL_1, ...: no names at all
    assert load_huggingface(tmp_path)[0].class_names is None


# ---- to transformers


@pytest.mark.parametrize("shape", SHAPES)
def test_our_models_give_the_same_logits_there(shape, tmp_path):
    import transformers

    size, frames, tubelet, dim, heads, depth, mlp, channels, labels, act = SHAPES[shape]
    ours = small_model(
        "joint", image_size=size, frames=frames, tubelet=tuple(tubelet), dim=dim, heads=heads,
        depth=depth, mlp_dim=mlp, in_channels=channels, num_classes=labels,
        gelu="tanh" if act == "gelu_fast" else "exact",
    )  # fmt: skip
    with torch.no_grad():
        ours.head.weight.mul_(10)
    save_huggingface(ours, tmp_path / "folder")
    found = transformers.VivitForVideoClassification.from_pretrained(
        tmp_path / "folder", output_loading_info=True
    )
    theirs, info = found
    assert not info["missing_keys"] and not info["unexpected_keys"]
    same_logits(ours, theirs.eval())
    again, _ = load_huggingface(tmp_path / "folder")
    assert again.config == ours.config
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in ours.state_dict().items())


def test_our_class_names_travel(tmp_path):
    import transformers

    ours = small_model("joint")
    ours.class_names = ("push", "pull", "lift", "drop", "turn")
    save_huggingface(ours, tmp_path / "own")
    save_huggingface(ours, tmp_path / "given", class_names=list("abcde"))
    for folder, names in (("own", ours.class_names), ("given", "abcde")):
        theirs = transformers.VivitForVideoClassification.from_pretrained(tmp_path / folder)
        assert theirs.config.id2label == dict(enumerate(names))
        assert load_huggingface(tmp_path / folder)[0].class_names == tuple(names)
    with pytest.raises(ValueError, match="2 names, but the model has 5"):
        save_huggingface(ours, tmp_path / "wrong", class_names=["a", "b"])
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize(
    "variant, changes, message",
    [
        ("factorised_encoder", {}, "Model 2"),
        ("factorised_self_attention", {}, "Model 3"),
        ("factorised_dot_product", {}, "Model 4"),
        ("joint_mean", {}, "mean"),
        ("uniform_frames", {}, "uniform"),
        ("joint", {"layer_scale": 0.1}, "LayerScale"),
        ("joint", {"num_classes": {"noun": 3, "verb": 2}}, "noun, verb"),
    ],
)
def test_what_transformers_cannot_express_is_refused(variant, changes, message, tmp_path):
    with pytest.raises(WeightsError, match=message):
        save_huggingface(small_model(variant, **changes), tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


# ---- the wrong folder


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_type": "videomae"}, "videomae"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps is 1e-05"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"hidden_act": ["gelu"]}, "hidden_act"),
        ({"num_frames": 7}, "frames = 7"),
        ({"num_frames": 16}, "pos_embed"),
        ({"hidden_size": 10**12}, "which no model has"),
        ({"hidden_size": 2**24}, "does not fit|cls_token"),
        ({"num_hidden_layers": 10**6}, "too few"),
        ({"num_hidden_layers": 2}, "no place for"),
        ({"tubelet_size": None}, "tubelet"),
        ({"tubelet_size": [1, 8, 8]}, "patch_embed|pos_embed"),
        ({"id2label": {"0": "a"}}, "head.weight is 1 x 48"),
        ({"id2label": {"1": "a", "7": "b"}}, "id2label"),
        ({"id2label": ["a"]}, "id2label"),
        ({"image_size": "large"}, "image_size"),
    ],
)
def test_a_config_that_does_not_fit(change, message, tmp_path):
    save_huggingface(small_model("joint"), tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | change))
    with pytest.raises(WeightsError, match=message):
        load_huggingface(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "nonsense", "[" * 100_000, "\x00\xff"])
def test_a_config_that_is_no_json(text, tmp_path):
    save_huggingface(small_model("joint"), tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsError, match="config.json"):
        load_huggingface(tmp_path)


def test_files_that_are_not_there(tmp_path):
    save_huggingface(small_model("joint"), tmp_path / "folder")
    with pytest.raises(WeightsError, match="give the folder"):
        load_huggingface(tmp_path / "folder" / "model.safetensors")
    for nowhere in (tmp_path / "nowhere", "./nowhere", "../nowhere", "nowhere"):
        with pytest.raises(FileNotFoundError, match="no folder"):
            load_huggingface(nowhere)
    (tmp_path / "folder" / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        load_huggingface(tmp_path / "folder")
    (tmp_path / "folder" / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_huggingface(tmp_path / "folder")


def test_an_index_cannot_reach_outside_its_folder(tmp_path):
    save_huggingface(small_model("joint"), tmp_path / "folder")
    shutil.move(tmp_path / "folder" / "model.safetensors", tmp_path / "model.safetensors")
    index = {"weight_map": {"classifier.bias": "../model.safetensors"}}
    (tmp_path / "folder" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match="which file holds which tensor"):
        load_huggingface(tmp_path / "folder")


# ---- repositories


def test_a_repository_is_downloaded_without_pickles(tmp_path, monkeypatch):
    import huggingface_hub

    ours = small_model("joint")
    save_huggingface(ours, tmp_path)
    asked = []

    def download(repository, revision=None, allow_patterns=None):
        asked.append((repository, revision, tuple(allow_patterns)))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    again, report = load_huggingface("someone/vivit", revision="v2")
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in ours.state_dict().items())
    assert report.source == "someone/vivit"
    assert [(repository, revision) for repository, revision, _ in asked] == [
        ("someone/vivit", "v2")
    ]
    assert not any("bin" in pattern for pattern in asked[0][2])


def test_without_a_network_the_offline_way_is_named(monkeypatch):
    import huggingface_hub

    def download(*args, **kwargs):
        raise ConnectionError("no route to host\nand much more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(WeightsError) as caught:
        load_huggingface("google/vivit-b-16x2-kinetics400")
    message = str(caught.value)
    assert "no route to host" in message and "and much more" not in message
    assert re.search(r"hf download google/vivit-b-16x2-kinetics400 .* pass it", message)


def test_dropout_rates_travel_both_ways(tmp_path):
    config = ViViTConfig(**(SMALL | {"dropout": 0.1, "attention_dropout": 0.2}))
    save_huggingface(build_model(config), tmp_path)
    assert load_huggingface(tmp_path)[0].config == config

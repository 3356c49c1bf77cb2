"""transformers' ViViT and our Model 1 give the same logits, whichever way the weights went."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from vivit_lab.weights import WeightsError, load_huggingface, save_huggingface

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from small import small_model

# image_size, num_frames, tubelet, hidden, heads, layers, mlp, channels, labels, activation
SHAPES = {
    "small": (32, 8, [2, 8, 8], 48, 4, 3, 96, 3, 5, "gelu_fast"),
    "flat tubelets": (24, 6, [3, 8, 4], 32, 2, 1, 40, 3, 2, "gelu_fast"),
    "tall image": ((48, 32), 4, [1, 16, 8], 24, 3, 2, 50, 3, 7, "gelu_fast"),
    "grey, exact gelu": (16, 4, [4, 4, 8], 16, 1, 2, 16, 1, 3, "gelu"),
}
FIELDS = ("image_size", "num_frames", "tubelet_size", "hidden_size", "num_attention_heads",
          "num_hidden_layers", "intermediate_size", "num_channels", "num_labels",
          "hidden_act")  # fmt: skip


def their_model(shape="small", kind="VivitForVideoClassification", **changes):
    import transformers

    settings = dict(zip(FIELDS, SHAPES[shape], strict=True))
    model = getattr(transformers, kind)(transformers.VivitConfig(**(settings | changes))).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():  # also what starts at zero or one
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """(a model of transformers, its folder); copy the folder to change it."""
    folder = tmp_path_factory.mktemp("theirs")
    model = their_model()
    model.save_pretrained(folder)
    return model, folder


def clip_for(config):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, *config.clip_shape, generator=generator) * 2 - 1


def same_logits(ours, theirs):
    clip = clip_for(ours.config)
    with torch.inference_mode():
        expected = theirs(pixel_values=clip).logits
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(ours.eval()(clip), expected, atol=1e-5, rtol=1e-5)


def same_weights(one, other):
    return all(torch.equal(v, other.state_dict()[k]) for k, v in one.state_dict().items())


# ---- from transformers


@pytest.mark.parametrize("shape", SHAPES)
def test_their_models_give_the_same_logits_here(shape, tmp_path):
    theirs = their_model(shape)
    theirs.save_pretrained(tmp_path)
    ours, report = load_huggingface(tmp_path)
    same_logits(ours, theirs)
    assert report.counts == {"copied": len(ours.state_dict())}
    assert ours.config.gelu == ("exact" if shape.endswith("exact gelu") else "tanh")
    assert ours.class_names is None  # LABEL_0, LABEL_1, ...: no names at all


def test_weights_in_several_files(theirs, tmp_path):
    model, folder = theirs
    model.save_pretrained(tmp_path, max_shard_size="100KB")
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert same_weights(load_huggingface(tmp_path)[0], load_huggingface(folder)[0])
    shards[0].unlink()
    with pytest.raises(WeightsError, match="has no 'embeddings.cls_token'"):
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


def test_half_precision_and_bin_files_and_class_names(theirs, tmp_path):
    model, folder = theirs
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    half = {name: tensor.half() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(half, tmp_path / "model.safetensors")
    ours, _ = load_huggingface(tmp_path)
    assert ours.head.weight.dtype == torch.float32
    assert torch.equal(ours.head.weight, half["classifier.weight"].float())
    (tmp_path / "model.safetensors").unlink()
    torch.save(
        load_file(folder / "model.safetensors"), tmp_path / "pytorch_model.bin"
    )  # read only where it is alone
    settings = json.loads((tmp_path / "config.json").read_text())
    names = ["push", "pull", "lift", "drop", "turn"]
    settings["id2label"] = {str(i): name for i, name in enumerate(names)}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    ours, report = load_huggingface(tmp_path)
    same_logits(ours, model)
    assert "pytorch_model.bin" in str(report)
    assert ours.class_names == report.class_names == tuple(names)


# ---- to transformers


@pytest.mark.parametrize("shape", SHAPES)
def test_our_models_give_the_same_logits_there(shape, tmp_path):
    import transformers

    size, frames, tubelet, dim, heads, depth, mlp, channels, labels, act = SHAPES[shape]
    ours = small_model(
        "joint", image_size=size, frames=frames, tubelet=tuple(tubelet), dim=dim, heads=heads,
        depth=depth, mlp_dim=mlp, in_channels=channels, num_classes=labels, dropout=0.1,
        gelu="tanh" if act == "gelu_fast" else "exact", attention_dropout=0.2,
    )  # fmt: skip
    with torch.no_grad():
        ours.head.weight.mul_(10)
    save_huggingface(ours, tmp_path)
    theirs, info = transformers.VivitForVideoClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    same_logits(ours, theirs.eval())
    again, _ = load_huggingface(tmp_path)
    assert again.config == ours.config and same_weights(ours, again)


def test_our_files_have_the_names_of_transformers_4(tmp_path):
    """Spelled out here whatever the installed version writes."""
    save_huggingface(small_model("joint"), tmp_path)
    block = "vivit.encoder.layer.0."
    names = {name for name in load_file(tmp_path / "model.safetensors") if name.startswith(block)}
    parts = ["query", "key", "value"]
    layers = [f"attention.attention.{part}" for part in parts] + ["attention.output.dense"]
    layers += ["intermediate.dense", "output.dense", "layernorm_before", "layernorm_after"]
    wanted = {f"{block}{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    assert names == wanted


def test_our_class_names_travel(tmp_path):
    import transformers

    ours = small_model("joint")
    ours.class_names = ("push", "pull", "lift", "drop", "turn")
    save_huggingface(ours, tmp_path / "own")
    save_huggingface(ours, tmp_path / "given", class_names=list("abcde"))
    for folder, names in (("own", ours.class_names), ("given", "abcde")):
        config = transformers.VivitConfig.from_pretrained(tmp_path / folder)
        assert config.id2label == dict(enumerate(names))
        assert load_huggingface(tmp_path / folder)[0].class_names == tuple(names)
    with pytest.raises(ValueError, match="2 names, but the model has 5"):
        save_huggingface(ours, tmp_path / "wrong", class_names=["a", "b"])
    assert not (tmp_path / "wrong").exists()


def test_what_transformers_cannot_express_is_refused(tmp_path):
    for variant, changes, message in (
        ("factorised_encoder", {}, "Model 2"),
        ("factorised_self_attention", {}, "Model 3"),
        ("factorised_dot_product", {}, "Model 4"),
        ("joint_mean", {}, "mean"),
        ("uniform_frames", {}, "uniform"),
        ("joint", {"layer_scale": 0.1}, "LayerScale"),
        ("joint", {"num_classes": {"noun": 3, "verb": 2}}, "heads .*noun.*verb"),
    ):
        with pytest.raises(WeightsError, match=message):
            save_huggingface(small_model(variant, **changes), tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


# ---- the wrong folder


def test_a_config_that_does_not_fit(tmp_path):
    save_huggingface(small_model("joint"), tmp_path)
    config = tmp_path / "config.json"
    settings = json.loads(config.read_text())
    for change, message in (
        ({"model_type": "videomae"}, "videomae"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps is 1e-05"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"hidden_act": ["gelu"]}, "hidden_act"),
        ({"num_frames": 7}, "frames = 7"),
        ({"num_frames": 16}, "pos_embed"),
        ({"hidden_size": 10**12}, "impossible model"),
        ({"num_hidden_layers": 10**6}, "too few"),
        ({"num_hidden_layers": 2}, "no place for"),
        ({"tubelet_size": None}, "tubelet"),
        ({"tubelet_size": [1, 8, 8]}, "patch_embed|pos_embed"),
        ({"id2label": {"0": "a"}}, "head.weight is 1 x 48"),
        ({"id2label": {"1": "a", "7": "b"}}, "id2label"),
        ({"id2label": ["a"]}, "id2label"),
        ({"image_size": "large"}, "image height is .large"),
    ):
        config.write_text(json.dumps(settings | change))
        with pytest.raises(WeightsError, match=message):
            load_huggingface(tmp_path)
    for text in ("", "{", "[1]", "nonsense", "[" * 100_000, "\x00\xff"):
        config.write_text(text)
        with pytest.raises(WeightsError, match=r"config\.json"):
            load_huggingface(tmp_path)


def test_files_that_are_not_there(tmp_path):
    folder = tmp_path / "folder"
    save_huggingface(small_model("joint"), folder)
    for nowhere in (
        folder / "model.safetensors",
        tmp_path / "nowhere",
        "./nowhere",
        "../nowhere",
        "nowhere",
    ):
        with pytest.raises(FileNotFoundError, match="no folder"):
            load_huggingface(nowhere)
    for name in ("model.safetensors", "config.json"):
        (folder / name).unlink()
        with pytest.raises(FileNotFoundError, match=name):
            load_huggingface(folder)


# ---- repositories


def test_a_repository_is_downloaded_without_pickles(tmp_path, monkeypatch):
    ours, asked = small_model("joint"), []
    save_huggingface(ours, tmp_path)

    def download(repository, revision=None, allow_patterns=None):
        asked.append((repository, revision, tuple(allow_patterns)))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    again, report = load_huggingface("someone/vivit", revision="v2")
    assert same_weights(ours, again)
    assert report.source == "someone/vivit"
    assert len(asked) == 1 and asked[0][:2] == ("someone/vivit", "v2")
    assert not any("bin" in pattern for pattern in asked[0][2])
    (tmp_path / "model.safetensors").unlink()  # only then the .bin is asked for
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        load_huggingface("someone/vivit")
    assert "pytorch_model.bin" in asked[-1][2]


def test_without_a_network_the_offline_way_is_named(monkeypatch):
    def download(*args, **kwargs):
        raise ConnectionError("no route to host\nand much more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(WeightsError) as caught:
        load_huggingface("google/vivit-b-16x2-kinetics400")
    message = str(caught.value)
    assert "no route to host" in message and "and much more" not in message
    assert re.search(r"hf download google/vivit-b-16x2-kinetics400 .* pass it", message)

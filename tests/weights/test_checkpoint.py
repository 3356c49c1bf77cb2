"""Our checkpoints: what goes in comes out, and a failed write leaves nothing behind."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vivit_lab import ViViTConfig, build_model
from vivit_lab.weights import WeightsError, load_checkpoint, read_checkpoint_info, save_checkpoint

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from small import SMALL, VARIANTS, clips, small_model

NAMES = ("push", "pull", "lift", "drop", "turn")


def rewritten(file, **changes):
    """The checkpoint with another JSON document in its header; None takes a field away."""
    with safe_open(file, "pt") as opened:
        document = json.loads(opened.metadata()["vivit_lab"])
    document = {k: v for k, v in (document | changes).items() if v is not None}
    save_file(load_file(file), file, metadata={"vivit_lab": json.dumps(document)})
    return document


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_model_comes_back_bit_by_bit(variant, tmp_path):
    model = small_model(variant)
    save_checkpoint(tmp_path / "model.safetensors", model)
    again, report = load_checkpoint(tmp_path / "model.safetensors")
    assert type(again) is type(model) and again.config == model.config
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())
    assert report.counts == {"copied": len(model.state_dict())}
    assert report.source == "model.safetensors"
    with torch.inference_mode():
        assert torch.equal(again.eval()(clips()), model.eval()(clips()))


def test_every_field_of_the_configuration_comes_back(tmp_path):
    config = ViViTConfig(
        model="factorised_encoder", frames=6, image_size=(16, 24), in_channels=2,
        tokenizer="uniform_frames", tubelet=(1, 8, 8), sampled_frames=3, dim=24, depth=2, heads=3,
        mlp_dim=20, temporal_depth=1, num_classes={"noun": 2, "verb": 3}, pooling="mean",
        gelu="exact", layer_scale=0.25, dropout=0.1, attention_dropout=0.2, drop_path=0.3,
    )  # fmt: skip
    save_checkpoint(tmp_path / "model.safetensors", build_model(config))
    assert load_checkpoint(tmp_path / "model.safetensors")[0].config == config
    assert read_checkpoint_info(tmp_path / "model.safetensors").config == config


def test_class_names_and_history_come_back(tmp_path):
    file, model = tmp_path / "model.safetensors", small_model("joint")
    history = [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": float("inf"), "views": [4, 3]}]
    save_checkpoint(file, model, class_names=NAMES, history=history)
    again, report = load_checkpoint(file)
    info = read_checkpoint_info(file)
    assert again.class_names == report.class_names == info.class_names == NAMES
    assert info.history == history
    assert model.class_names is None  # saving changes nothing
    save_checkpoint(file, again)  # the model's own names
    assert load_checkpoint(file)[0].class_names == NAMES
    two = small_model("joint", num_classes={"noun": 2, "verb": 1})
    save_checkpoint(file, two, class_names={"verb": ["cut"], "noun": ["bread", "knife"]})
    assert load_checkpoint(file)[0].class_names == {"noun": ("bread", "knife"), "verb": ("cut",)}


def test_other_frames_size_and_classes(tmp_path):
    file, model = tmp_path / "model.safetensors", small_model("factorised_encoder")
    save_checkpoint(file, model, class_names=NAMES)
    again, report = load_checkpoint(file, frames=16, image_size=40, drop_path=0.2)
    assert again.config.clip_shape == (16, 3, 40, 40) and again.config.drop_path == 0.2
    assert again.class_names == report.class_names == NAMES
    assert len(report["resized"]) == 2
    assert torch.equal(again.head.weight, model.head.weight)
    other, report = load_checkpoint(file, num_classes=9)
    assert other.class_names is None and not other.head.weight.any()
    with pytest.raises(ValueError, match="Did you mean 'frames'"):
        load_checkpoint(file, frame=16)
    with pytest.raises(ValueError, match="must divide frames"):
        load_checkpoint(file, frames=7)
    with pytest.raises(WeightsError, match="dim is 48 in the source, 96"):
        load_checkpoint(file, dim=96)


def test_loading_draws_no_random_numbers(tmp_path):
    save_checkpoint(tmp_path / "model.safetensors", small_model("joint"))
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_checkpoint(tmp_path / "model.safetensors")
    assert torch.equal(torch.rand(3), expected)


def test_any_reader_of_the_format_can_open_it(tmp_path):
    model = small_model("joint")
    save_checkpoint(tmp_path / "model.safetensors", model)
    state = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_half_precision_comes_back_as_float32(tmp_path):
    model = small_model("joint").bfloat16()
    save_checkpoint(tmp_path / "model.safetensors", model)
    again, _ = load_checkpoint(tmp_path / "model.safetensors")
    assert again.norm.weight.dtype == torch.float32
    assert torch.equal(again.norm.weight, model.norm.weight.float())


# ---- what is not written


@pytest.mark.parametrize(
    "names, error, message",
    [
        (("push", "pull"), ValueError, "2 names, but the model has 5 classes"),
        (("push", "pull", "lift", "drop", "push"), ValueError, "'push' twice"),
        ("abcde", TypeError, "list of texts"),
        ((1, 2, 3, 4, 5), TypeError, "list of texts"),
        ({"verb": NAMES}, TypeError, "a list of names"),
    ],
)
def test_names_that_do_not_fit(names, error, message, tmp_path):
    with pytest.raises(error, match=message):
        save_checkpoint(tmp_path / "model.safetensors", small_model("joint"), class_names=names)
    assert not list(tmp_path.iterdir())


def test_names_of_several_heads_that_do_not_fit(tmp_path):
    model = small_model("joint", num_classes={"noun": 2, "verb": 1})
    for names, message in (
        (["a", "b"], "a dict with noun, verb"),
        ({"noun": ["a", "b"]}, "heads noun, but the model has noun, verb"),
        ({"noun": ["a", "b"], "verb": ["c", "d"]}, r"'verb'\] holds 2 names"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            save_checkpoint(tmp_path / "model.safetensors", model, class_names=names)
    assert not list(tmp_path.iterdir())


def test_what_else_is_refused(tmp_path):
    model = small_model("joint")
    with pytest.raises(ValueError, match=r"'model\.safetensors'"):
        save_checkpoint(tmp_path / "model.pt", model)
    with pytest.raises(TypeError, match=r"history\[1\]"):
        save_checkpoint(
            tmp_path / "m.safetensors", model, history=[{}, {"loss": torch.tensor(1.0)}]
        )
    with pytest.raises(TypeError, match=r"history\[0\] is 3"):
        save_checkpoint(tmp_path / "m.safetensors", model, history=[3])
    with torch.no_grad():
        model.norm.bias[0] = float("inf")
    with pytest.raises(WeightsError, match=r"norm\.bias.*not finite"):
        save_checkpoint(tmp_path / "m.safetensors", model)
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError):
        save_checkpoint(tmp_path / "no such folder" / "m.safetensors", small_model("joint"))


def half_written(tensors, path, metadata=None):
    Path(path).write_bytes(b"\x00" * 100)
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("existed", [True, False], ids=["over an older file", "new"])
@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_failed_write_leaves_what_was_there(step, existed, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    file = tmp_path / "model.safetensors"
    if existed:
        save_checkpoint(file, small_model("joint"))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    if step == "write":
        monkeypatch.setattr("safetensors.torch.save_file", half_written)
    else:
        monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(file, small_model("factorised_encoder"))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


# ---- headers that do not fit


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"format_version": 2}, "format version 2, but this package reads 1"),
        ({"format_version": None}, "format version None"),
        ({"format_version": True}, "format version True"),
        ({"config": None}, "no configuration"),
        ({"config": [1]}, "no configuration"),
        ({"config": {"frames": 8, "fps": 25}}, "unknown configuration field 'fps'"),
        ({"config": {"model": "cnn"}}, "model is 'cnn'"),
        ({"config": SMALL | {"depth": 10**9}}, "which no model has"),
        ({"config": SMALL | {"depth": 10**6}}, "too few for the 1000000 blocks"),
        ({"config": SMALL | {"dim": 2**24}}, "in the model, but"),
        ({"config": SMALL | {"frames": 10**30}}, "which no model has"),
        ({"config": SMALL | {"frames": 16}}, "pos_embed is"),
        ({"config": SMALL | {"depth": 2}}, "no place for|no 'blocks.2"),
        ({"config": SMALL | {"num_classes": 6}}, r"head\.\w+ is 6"),
        ({"config": SMALL | {"model": "factorised_encoder"}}, "pos_embed"),
        ({"class_names": ["a"]}, "1 names, but the model has 5"),
        ({"class_names": list("abcda")}, "'a' twice"),
        ({"class_names": 3}, "class_names"),
        ({"history": {"loss": 1}}, "history"),
        ({"history": [1]}, "history"),
    ],
)
def test_a_header_that_does_not_fit(changes, message, tmp_path):
    file = tmp_path / "model.safetensors"
    save_checkpoint(file, small_model("joint"))
    rewritten(file, **changes)
    with pytest.raises(WeightsError, match=message):
        load_checkpoint(file)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "NaN"])
def test_a_header_that_is_no_json_object(text, tmp_path):
    file = tmp_path / "model.safetensors"
    save_file(small_model("joint").state_dict(), file, metadata={"vivit_lab": text})
    for read in (load_checkpoint, read_checkpoint_info):
        with pytest.raises(WeightsError, match="vivit_lab"):
            read(file)


def test_the_document_is_what_the_format_says(tmp_path):
    """Other programs may rely on it: a change here needs another FORMAT_VERSION."""
    file = tmp_path / "model.safetensors"
    save_checkpoint(file, small_model("joint"), class_names=NAMES, history=[{"loss": 1.5}])
    document = rewritten(file)
    assert set(document) == {"format_version", "config", "class_names", "history"}
    assert document["format_version"] == 1
    assert document["config"]["tubelet"] == [2, 8, 8] and document["config"]["pooling"] == "cls"
    assert document["class_names"] == list(NAMES) and document["history"] == [{"loss": 1.5}]


def test_others_may_read_what_any_file_here_lets_them_read(tmp_path):
    (tmp_path / "plain").touch()
    save_checkpoint(tmp_path / "model.safetensors", small_model("joint"))
    rights = [path.stat().st_mode for path in sorted(tmp_path.iterdir())]
    assert rights[0] == rights[1]

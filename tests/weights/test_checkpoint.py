"""Our checkpoints: what goes in comes out, and a failed write leaves nothing behind."""

import json
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


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.safetensors"


def test_a_model_comes_back_bit_by_bit(file):
    for variant in VARIANTS:
        model = small_model(variant)
        save_checkpoint(file, model)
        again, report = load_checkpoint(file)
        assert type(again) is type(model) and again.config == model.config
        state = load_file(file)  # as any reader of the format opens it
        for name, tensor in model.state_dict().items():
            assert torch.equal(again.state_dict()[name], tensor) and torch.equal(
                state[name], tensor
            )
        assert report.counts == {"copied": len(state)} and report.source == "model.safetensors"
        with torch.inference_mode():
            assert torch.equal(again.eval()(clips()), model.eval()(clips()))


def test_every_field_of_the_configuration_comes_back(file):
    config = ViViTConfig(
        model="factorised_encoder", frames=6, image_size=(16, 24), in_channels=2,
        tokenizer="uniform_frames", tubelet=(1, 8, 8), sampled_frames=3, dim=24, depth=2, heads=3,
        mlp_dim=20, temporal_depth=1, num_classes={"noun": 2, "verb": 3}, pooling="mean",
        gelu="exact", layer_scale=0.25, dropout=0.1, attention_dropout=0.2, drop_path=0.3,
    )  # fmt: skip
    save_checkpoint(file, build_model(config))
    assert load_checkpoint(file)[0].config == config
    assert read_checkpoint_info(file).config == config


def test_class_names_and_history_come_back(file):
    model = small_model("joint")
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


def test_other_frames_size_and_classes(file):
    model = small_model("factorised_encoder")
    save_checkpoint(file, model, class_names=NAMES)
    again, report = load_checkpoint(file, frames=16, image_size=40, drop_path=0.2)
    assert again.config.clip_shape == (16, 3, 40, 40) and again.config.drop_path == 0.2
    assert again.class_names == report.class_names == NAMES
    assert len(report["resized"]) == 2
    assert torch.equal(again.head.weight, model.head.weight)
    other, _ = load_checkpoint(file, num_classes=9)
    assert other.class_names is None and not other.head.weight.any()
    for changes, words in (
        ({"frame": 16}, "Did you mean 'frames'"),
        ({"frames": 7}, "must divide frames"),
        ({"dim": 96}, "dim is 48 in the source, 96"),
    ):
        with pytest.raises(ValueError, match=words):
            load_checkpoint(file, **changes)


def test_loading_draws_no_random_numbers_and_gives_float32(file):
    model = small_model("joint").bfloat16()
    save_checkpoint(file, model)
    before = torch.get_rng_state()
    again, _ = load_checkpoint(file)
    assert torch.equal(torch.get_rng_state(), before)
    assert again.norm.weight.dtype == torch.float32
    assert torch.equal(again.norm.weight, model.norm.weight.float())


# ---- what is not written


def test_what_does_not_fit_is_not_written(file):
    model, two = small_model("joint"), small_model("joint", num_classes={"noun": 2, "verb": 1})
    for saved, names, error, message in (
        (model, ("push", "pull"), ValueError, "2 names, but the model has 5 classes"),
        (model, ("push", "pull", "lift", "drop", "push"), ValueError, "a name twice"),
        (model, "abcde", TypeError, "list of texts"),
        (model, (1, 2, 3, 4, 5), TypeError, "list of texts"),
        (model, {"verb": NAMES}, TypeError, "a list of texts"),
        (two, ["a", "b"], TypeError, "a dict with the heads noun, verb"),
        (two, {"noun": ["a", "b"]}, TypeError, "a dict with the heads noun, verb"),
        (two, {"noun": ["a", "b"], "verb": ["c", "d"]}, ValueError, r"'verb'\] holds 2 names"),
    ):
        with pytest.raises(error, match=message):
            save_checkpoint(file, saved, class_names=names)
    with pytest.raises(ValueError, match=r"'model\.safetensors'"):
        save_checkpoint(file.with_suffix(".pt"), model)
    for history, words in (([{}, {"loss": torch.ones(1)}], "JSON"), ([3], "history must be dicts")):
        with pytest.raises(TypeError, match=words):
            save_checkpoint(file, model, history=history)
    with torch.no_grad():
        model.norm.bias[0] = float("inf")
    with pytest.raises(WeightsError, match=r"norm\.bias.*not finite"):
        save_checkpoint(file, model)
    assert not list(file.parent.iterdir())
    with pytest.raises(OSError):
        save_checkpoint(file.parent / "no such folder" / "m.safetensors", two)


def test_a_failed_write_leaves_what_was_there(file, monkeypatch):
    def half_written(tensors, path, metadata=None):
        Path(path).write_bytes(b"\x00" * 100)
        raise OSError(28, "No space left on device")

    for existed in (False, True):
        if existed:
            save_checkpoint(file, small_model("joint"))
            (file.parent / "plain").touch()
            assert file.stat().st_mode == (file.parent / "plain").stat().st_mode
        before = {path: path.read_bytes() for path in file.parent.iterdir()}
        with monkeypatch.context() as patch:
            patch.setattr("safetensors.torch.save_file", half_written)
            with pytest.raises(OSError, match="No space left"):
                save_checkpoint(file, small_model("factorised_encoder"))
        assert {path: path.read_bytes() for path in file.parent.iterdir()} == before


# ---- headers that do not fit


def rewritten(file, **changes):
    """The checkpoint with another JSON document in its header; None takes a field away."""
    with safe_open(file, "pt") as opened:
        document = json.loads(opened.metadata()["vivit_lab"])
    document = {k: v for k, v in (document | changes).items() if v is not None}
    save_file(load_file(file), file, metadata={"vivit_lab": json.dumps(document)})
    return document


def test_a_header_that_does_not_fit(file):
    for changes, message in (
        ({"format_version": 2}, "format version 2, but this package reads 1"),
        ({"format_version": None}, "format version None"),
        ({"config": None}, "no configuration"),
        ({"config": [1]}, "must be a mapping"),
        ({"config": {"frames": 8, "fps": 25}}, "unexpected keyword argument 'fps'"),
        ({"config": {"model": "cnn"}}, "model is 'cnn'"),
        ({"config": SMALL | {"depth": 10**9}}, "too few for 1000000000 blocks"),
        ({"config": SMALL | {"dim": 2**24}}, "impossible model|in the model, but"),
        ({"config": SMALL | {"frames": 10**30}}, "impossible model"),
        ({"config": SMALL | {"frames": 16}}, "pos_embed is"),
        ({"config": SMALL | {"depth": 2}}, "no place for|no 'blocks.2"),
        ({"config": SMALL | {"num_classes": 6}}, r"head\.\w+ is 6"),
        ({"config": SMALL | {"model": "factorised_encoder"}}, "pos_embed"),
        ({"class_names": ["a"]}, "1 names, but the model has 5"),
        ({"class_names": list("abcda")}, "a name twice"),
        ({"class_names": 3}, "class_names"),
        ({"history": {"loss": 1}}, "history"),
        ({"history": [1]}, "history"),
    ):
        save_checkpoint(file, small_model("joint"))
        rewritten(file, **changes)
        with pytest.raises(WeightsError, match=message):
            load_checkpoint(file)
    for text in ("", "{", "[]", "null", "[" * 100_000, "NaN"):
        save_file(small_model("joint").state_dict(), file, metadata={"vivit_lab": text})
        for read in (load_checkpoint, read_checkpoint_info):
            with pytest.raises(WeightsError, match="vivit_lab"):
                read(file)


def test_the_document_is_what_the_format_says(file):
    """Other programs may rely on it: a change here needs another FORMAT_VERSION."""
    save_checkpoint(file, small_model("joint"), class_names=NAMES, history=[{"loss": 1.5}])
    document = rewritten(file)
    assert set(document) == {"format_version", "config", "class_names", "history"}
    assert document["format_version"] == 1
    assert document["config"]["tubelet"] == [2, 8, 8] and document["config"]["pooling"] == "cls"
    assert document["class_names"] == list(NAMES) and document["history"] == [{"loss": 1.5}]

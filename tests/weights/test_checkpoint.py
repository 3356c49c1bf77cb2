"""Our checkpoints: what goes in comes out, and a failed write leaves nothing behind."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from shared import SMALL, VARIANTS, clips, equal, refused, small_model

from vivit_lab import ViViTConfig, build_model
from vivit_lab.video import ByTime, Preprocessing
from vivit_lab.weights import load_checkpoint, read_checkpoint_info, save_checkpoint

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
        assert equal(again, model) and equal(load_file(file), model)  # as any reader opens it
        assert report.counts == {"copied": len(model.state_dict())}
        assert report.source == "model.safetensors"
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
    assert load_checkpoint(file)[0].config == read_checkpoint_info(file).config == config
    save_checkpoint(file, small_model("joint", num_classes=0))
    assert load_checkpoint(file)[0].config.num_classes == 0


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
    again, report = load_checkpoint(file)
    assert again.class_names == {"noun": ("bread", "knife"), "verb": ("cut",)}
    assert str(report).endswith("Classes of noun: 'bread', 'knife'.\nClasses of verb: 'cut'.")


def test_other_frames_size_and_classes(file):
    model = small_model("factorised_encoder")
    save_checkpoint(file, model, class_names=NAMES)
    again, report = load_checkpoint(file, frames=16, image_size=40, drop_path=0.2)
    assert again.config.clip_shape == (16, 3, 40, 40) and again.config.drop_path == 0.2
    assert again.class_names == report.class_names == NAMES
    assert len(report["resized"]) == 2 and equal(again.head, model.head)
    other, _ = load_checkpoint(file, num_classes=9)
    assert other.class_names is None and not other.head.weight.any()
    for changes, words in (
        ({"frame": 16}, "Did you mean 'frames'"),
        ({"frames": 7}, "must divide frames"),
        ({"dim": 96}, "dim is 48 in the source, 96"),
    ):
        refused(words, load_checkpoint, file, error=ValueError, **changes)


def test_the_preprocessing_comes_back_and_follows_the_clips(file):
    model = small_model("joint", image_size=(16, 16))
    save_checkpoint(file, model)
    assert load_checkpoint(file)[0].preprocessing is None  # as of every older checkpoint
    expects = Preprocessing(ByTime(8, 12.5), 16, 20, std=(0.25, 0.25, 0.25))
    model.preprocessing, model.class_names = expects, NAMES
    save_checkpoint(file, model.for_inference())
    again, report = load_checkpoint(file)
    read = read_checkpoint_info(file).preprocessing
    assert again.preprocessing == report.preprocessing == read == expects
    assert copy.deepcopy(again).preprocessing == again.for_inference().preprocessing == expects
    assert str(report).endswith(
        "Classes: 'push', 'pull', 'lift', 'drop' and 1 more.\n"
        "Expects 8 frames at 12.5 a second, short side 20, crop 16, pixels -2..2."
    )
    for changes, wanted, words in (
        ({"num_classes": 9}, expects, "Expects 8 frames"),
        ({"frames": 4}, replace(expects, sampling=ByTime(4, 12.5)), f"was: {expects}"),
        ({"image_size": 24}, replace(expects, crop=24, short_side=30), f"was: {expects}"),
        ({"image_size": (16, 24)}, None, "16 x 24 is not square: the preprocessing was left out"),
    ):
        again, report = load_checkpoint(file, **changes)
        assert again.preprocessing == report.preprocessing == wanted and words in str(report)


def test_loading_draws_no_random_numbers_and_gives_float32(file):
    model = small_model("joint").bfloat16()
    save_checkpoint(file, model)
    before = torch.get_rng_state()
    again, _ = load_checkpoint(file)
    assert torch.equal(torch.get_rng_state(), before)
    assert again.norm.weight.dtype == torch.float32 and equal(again, model.float())


# ---- what is not written


def test_what_does_not_fit_is_not_written(file):
    model, two = small_model("joint"), small_model("joint", num_classes={"noun": 2, "verb": 1})
    pt, nowhere = file.with_suffix(".pt"), file.parent / "no such folder" / "m.safetensors"
    for where, saved, options, error, words in (
        (file, model, {"class_names": NAMES[:2]}, ValueError, "2 names, but the model has 5 cl"),
        (file, model, {"class_names": NAMES[:4] + NAMES[:1]}, ValueError, "a name twice"),
        (file, model, {"class_names": "abcde"}, TypeError, "list of texts"),
        (file, model, {"class_names": (1, 2, 3, 4, 5)}, TypeError, "list of texts"),
        (file, model, {"class_names": {"verb": NAMES}}, TypeError, "a list of texts"),
        (file, two, {"class_names": list("ab")}, TypeError, "dict with the classifiers noun, verb"),
        (file, two, {"class_names": {"noun": list("ab")}}, TypeError, "the classifiers noun, verb"),
        (file, two, {"class_names": dict.fromkeys(("noun", "verb"), "ab")}, TypeError, "of texts"),
        (file, two, {"class_names": {"noun": list("ab"), "verb": list("cd")}}, ValueError,
         r"'verb'\] holds 2 names"),
        (file, model, {"history": [{}, {"loss": torch.ones(1)}]}, TypeError, "JSON"),
        (file, model, {"history": [3]}, TypeError, "history must be dicts"),
        (pt, model, {}, ValueError, r"'model\.safetensors'"),
        (nowhere, model, {}, OSError, "no such folder"),
    ):  # fmt: skip
        refused(words, save_checkpoint, where, saved, error=error, **options)
    assert not list(file.parent.iterdir())


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
            refused("No space", save_checkpoint, file, small_model("joint_mean"), error=OSError)
        assert {path: path.read_bytes() for path in file.parent.iterdir()} == before


# ---- headers


def test_the_document_is_what_the_format_says(file):
    """Other programs may rely on it: what goes or changes here needs another FORMAT_VERSION."""
    save_checkpoint(file, small_model("joint"), class_names=NAMES, history=[{"loss": 1.5}])
    with safe_open(file, "pt") as opened:
        document = json.loads(opened.metadata()["vivit_lab"])
    parts = {"format_version", "config", "class_names", "history", "preprocessing"}
    assert set(document) == parts and document["preprocessing"] is None
    assert document["format_version"] == 1
    assert document["config"]["tubelet"] == [2, 8, 8] and document["config"]["pooling"] == "cls"
    assert document["class_names"] == list(NAMES) and document["history"] == [{"loss": 1.5}]


def test_a_header_that_does_not_fit(file):
    state, whole = small_model("joint").state_dict(), {"format_version": 1, "config": SMALL}

    def header(text):
        save_file(state, file, metadata={"vivit_lab": text})

    header(json.dumps(whole))
    assert equal(load_checkpoint(file)[0], state)
    for changes, message in (
        ({"format_version": 2}, "format version 2, but this package reads 1"),
        ({"format_version": None}, "format version None"),
        ({"config": None}, "does not describe a model"),
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
        ({"preprocessing": [1]}, "describe a model: 'list' object is not a mapping"),
        ({"preprocessing": {"crop": 32}}, "by is None, which is not one of 'ByFrame'"),
        ({"preprocessing": {"sampling": {"by": "ByFrame", "stride": 0}}}, "stride is 0"),
    ):
        header(json.dumps(whole | changes))
        refused(message, load_checkpoint, file)
    for text in ("", "{", "[]", "null", "[" * 100_000, "NaN", "{}", '{"format_version": 1}'):
        header(text)
        for read in (load_checkpoint, read_checkpoint_info):
            refused("vivit_lab|format version|no configuration", read, file)

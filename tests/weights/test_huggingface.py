"""transformers' ViViT and our Model 1 give the same logits, whichever way the weights went."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from shared import equal, refused, shaken, small_model

sys.path.insert(0, str(Path(__file__).parents[1] / "video"))
from clips import write_clip

from vivit_lab.training import Recipe, predict
from vivit_lab.video import ByFrame, Preprocessing
from vivit_lab.weights import load_huggingface, save_huggingface
from vivit_lab.weights.huggingface import FIELDS as DEFAULTS

# image_size, num_frames, tubelet, hidden, heads, layers, mlp, channels, labels, activation
SHAPES = (
    (32, 8, [2, 8, 8], 48, 4, 3, 96, 3, 5, "gelu_fast"),
    (24, 6, [3, 8, 4], 32, 2, 1, 40, 3, 2, "gelu_fast"),
    ((48, 32), 4, [1, 16, 8], 24, 3, 2, 50, 3, 7, "gelu_fast"),  # tall images
    (16, 4, [4, 4, 8], 16, 1, 2, 16, 1, 3, "gelu"),
)
FIELDS = ("image_size", "num_frames", "tubelet_size", "hidden_size", "num_attention_heads",
          "num_hidden_layers", "intermediate_size", "num_channels", "num_labels",
          "hidden_act")  # fmt: skip
NAMES = ("push", "pull", "lift", "drop", "turn")


def their_model(shape=SHAPES[0], kind="VivitForVideoClassification", **changes):
    import transformers

    settings = dict(zip(FIELDS, shape, strict=True))
    config = transformers.VivitConfig(**(settings | changes))
    return shaken(getattr(transformers, kind)(config).eval())


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """(a model of transformers, its folder); copy the folder to change it."""
    folder = tmp_path_factory.mktemp("theirs")
    model = their_model()
    model.save_pretrained(folder)
    return model, folder


def assert_same_outputs(ours, theirs, read=lambda outputs: outputs.logits):
    clip = torch.rand(2, *ours.config.clip_shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = read(theirs(pixel_values=clip * 2 - 1))
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(ours.eval()(clip * 2 - 1), expected, atol=1e-5, rtol=1e-5)


def rewrite(config, **changes):
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))


# ---- from transformers


def test_their_models_give_the_same_logits_here(tmp_path):
    for shape in SHAPES:
        theirs = their_model(shape)
        theirs.save_pretrained(tmp_path)
        ours, report = load_huggingface(tmp_path)
        assert_same_outputs(ours, theirs)
        assert report.counts == {"copied": len(ours.state_dict())}
        assert ours.config.gelu == {"gelu": "exact", "gelu_fast": "tanh"}[shape[-1]]
        assert ours.class_names is None  # LABEL_0, LABEL_1, ...: no names at all


def test_what_config_json_leaves_out_is_as_transformers_has_it():
    import transformers

    config = transformers.VivitConfig()
    for theirs, (_, default) in DEFAULTS.items():
        value = getattr(config, theirs)
        assert (tuple(value) if theirs == "tubelet_size" else value) == default


def test_weights_in_several_files(theirs, tmp_path):
    model, folder = theirs
    model.save_pretrained(tmp_path, max_shard_size="100KB")
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert equal(load_huggingface(tmp_path)[0], load_huggingface(folder)[0])
    shards[0].unlink()
    refused("has no 'embeddings.cls_token'", load_huggingface, tmp_path)


def test_a_folder_without_classifier_gets_a_new_head(tmp_path):
    theirs = their_model(kind="VivitModel")
    theirs.save_pretrained(tmp_path)
    ours, report = load_huggingface(tmp_path)
    assert [entry.name for entry in report["new"]] == ["head.weight", "head.bias"]
    assert {entry.name.split(".")[0] for entry in report["unused"]} == {"pooler"}
    assert not ours.head.weight.any() and ours.config.num_classes == 5
    ours.head = torch.nn.Identity()
    assert_same_outputs(ours, theirs, lambda outputs: outputs.last_hidden_state[:, 0])


def test_queries_without_bias(tmp_path):
    theirs = their_model(qkv_bias=False)
    theirs.save_pretrained(tmp_path)
    ours, report = load_huggingface(tmp_path)
    assert_same_outputs(ours, theirs)
    assert not ours.blocks[0].attn.qkv.bias.any() and "no bias there" in str(report)


def test_half_precision_and_bin_files_and_class_names(theirs, tmp_path):
    model, folder = theirs
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    save_file({name: tensor.half() for name, tensor in state.items()}, file)
    ours, _ = load_huggingface(tmp_path)
    assert ours.head.weight.dtype == torch.float32
    assert torch.equal(ours.head.weight, state["classifier.weight"].half().float())
    file.unlink()
    torch.save(state, tmp_path / "pytorch_model.bin")  # read only where it is alone
    rewrite(tmp_path / "config.json", id2label={str(i): name for i, name in enumerate(NAMES)})
    ours, report = load_huggingface(tmp_path)
    assert_same_outputs(ours, model)
    assert "pytorch_model.bin" in str(report)
    assert ours.class_names == report.class_names == NAMES


# ---- to transformers


def test_our_models_give_the_same_logits_there(tmp_path):
    import transformers

    for size, frames, tubelet, dim, heads, depth, mlp, channels, labels, act in SHAPES:
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
        assert_same_outputs(ours, theirs.eval())
        again, _ = load_huggingface(tmp_path)
        assert again.config == ours.config and equal(ours, again)


def test_our_files_have_the_names_of_transformers_4(tmp_path):
    """Spelled out here whatever the installed version writes."""
    save_huggingface(small_model("joint"), tmp_path)
    block = "vivit.encoder.layer.0."
    names = {name for name in load_file(tmp_path / "model.safetensors") if name.startswith(block)}
    layers = [f"attention.attention.{part}" for part in ("query", "key", "value")]
    layers += ["attention.output.dense", "intermediate.dense", "output.dense"]
    layers += ["layernorm_before", "layernorm_after"]
    assert names == {f"{block}{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}


def test_our_class_names_travel(tmp_path):
    import transformers

    ours = small_model("joint")
    ours.class_names = NAMES
    for given, names in ((None, NAMES), (list("abcde"), tuple("abcde"))):
        save_huggingface(ours, tmp_path / "folder", class_names=given)
        config = transformers.VivitConfig.from_pretrained(tmp_path / "folder")
        assert config.id2label == dict(enumerate(names))
        assert load_huggingface(tmp_path / "folder")[0].class_names == names


def test_what_transformers_cannot_express_is_refused(tmp_path):
    for variant, changes, names, words in (
        ("factorised_encoder", {}, None, "a model with model='factorised_encoder'"),
        ("factorised_self_attention", {}, None, "model='factorised_self_attention'"),
        ("factorised_dot_product", {}, None, "model='factorised_dot_product'"),
        ("joint_mean", {}, None, "pooling='mean'"),
        ("uniform_frames", {}, None, "tokenizer='uniform"),
        ("joint", {"layer_scale": 0.1}, None, "layer_scale=0.1"),
        ("joint", {"num_classes": {"noun": 3, "verb": 2}}, None, "one classifier: .*noun.*verb"),
        ("joint", {"num_classes": 0}, None, "num_classes=0"),
        ("joint", {}, ["a", "b"], "2 names, but the model has 5"),
    ):
        model, folder = small_model(variant, **changes), tmp_path / "folder"
        refused(words, save_huggingface, model, folder, names, error=ValueError)
        assert not folder.exists()


# ---- what goes before the model: frames and pixels


def answers_of_pipeline(folder, video, monkeypatch):
    """name -> probability, by transformers, which reads videos with PyAV here."""
    import transformers

    try:  # newer ones take torchcodec, which needs FFmpeg's libraries
        from transformers.video_utils import load_video

        read = "transformers.video_processing_utils"
        monkeypatch.setattr(f"{read}.is_torchcodec_usable", lambda decode: True)
        monkeypatch.setattr(
            f"{read}.load_video",
            lambda video, backend, **rest: load_video(video, backend="pyav", **rest),
        )
    except (ImportError, AttributeError):
        pass  # older ones take PyAV, and the first frames
    answer = transformers.pipeline("video-classification", model=str(folder), device="cpu")
    return {each["label"]: each["score"] for each in answer(str(video))}


def ours_at(scale):
    model = small_model("joint", image_size=16)
    model.class_names = NAMES
    model.preprocessing = scale and Preprocessing(ByFrame(8, 1), 16, 18, *scale)
    return model


def saved_by_them(folder):
    """With the settings of google/vivit-b-16x2-kinetics400, but for the sizes."""
    import transformers

    names = dict(enumerate(NAMES))
    labels = {"id2label": names, "label2id": {name: i for i, name in names.items()}}
    their_model((16, *SHAPES[0][1:]), **labels).save_pretrained(folder)
    sizes = {"size": {"shortest_edge": 18}, "crop_size": {"height": 16, "width": 16}}
    transformers.VivitImageProcessor(do_normalize=True, offset=True, **sizes).save_pretrained(
        folder
    )


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (None, "the first of each equal part of the video, short side 18, crop 16, pixels -1..1"),
        (((0.5,) * 3, (0.5,) * 3), "8 frames at stride 1, short side 18, crop 16, pixels -1..1"),
        (((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), "pixels of mean (0.485, 0.456, 0.406)"),
        (
            "theirs",
            "the first of each equal part of the video, short side 18, crop 16, pixels -3..1",
        ),
    ],
)
def test_the_pipeline_of_transformers_answers_as_we_do(scale, words, tmp_path, monkeypatch):
    """Of a size that needs no scaling, for each library has its own filter."""
    saved_by_them(tmp_path) if scale == "theirs" else save_huggingface(ours_at(scale), tmp_path)
    model, report = load_huggingface(tmp_path)
    assert f"Expects {model.preprocessing}." in str(report) and words in str(report)
    if isinstance(scale, tuple):
        assert model.preprocessing == ours_at(scale).preprocessing
    assert ("which is not the paper's" in str(report)) == ("-1..1" not in words)
    for frames in (8, 21):
        if frames > 8 and isinstance(model.preprocessing.sampling, ByFrame):
            continue  # the pipeline spreads its frames over the whole video
        video = write_clip(tmp_path / f"{frames}.mp4", frames, 18, 28)
        theirs = answers_of_pipeline(tmp_path, video, monkeypatch)
        ours = predict(model, video, clips=1, crops=1)[0].answers["class"]
        assert max(theirs.values()) - min(theirs.values()) > 0.05
        assert theirs == pytest.approx(ours, abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, "short side 18, crop 16, pixels -1..1"),
        ({"do_normalize": True, "image_mean": 0.5, "image_std": 0.5}, "pixels -3..1"),
        ({"offset": False, "rescale_factor": 1 / 255}, "pixels 0..1"),
        ({"do_rescale": False}, "pixels 0..255"),
        ({"size": 20}, "short side 20"),
        ({"size": {"height": 16, "width": 16}}, "it does not scale to a short side"),
        ({"do_resize": False}, "it does not scale to a short side"),
        ({"size": {"shortest_edge": 12}}, "short_side is 12, but must be at least 16"),
        ({"rescale_factor": "1"}, "was not used"),
        ({"do_normalize": True, "image_std": [1, 1]}, "std is"),
    ],
)
def test_a_processor_is_followed_or_named(changes, found, tmp_path):
    save_huggingface(ours_at(None), tmp_path)
    rewrite(tmp_path / "preprocessor_config.json", **changes)
    model, report = load_huggingface(tmp_path)
    assert found in str(report)
    assert (
        (model.preprocessing is None)
        == ("Expects" not in str(report))
        == ("preprocessor_config.json was not used" in str(report))
    )


def test_other_processors_and_none(tmp_path):
    save_huggingface(ours_at(None), tmp_path)
    file, newer = tmp_path / "preprocessor_config.json", tmp_path / "video_preprocessor_config.json"
    other = {"image_processor_type": "VideoMAEImageProcessor", "rescale_factor": 1 / 255}
    normal = {"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    file.write_text(json.dumps(other | normal | {"size": {"shortest_edge": 16}}))
    assert str(load_huggingface(tmp_path)[0].preprocessing).endswith("crop 16, pixels -1..1")
    newer.write_text(json.dumps({"video_processor_type": "VivitVideoProcessor"}))
    model, _ = load_huggingface(tmp_path)
    assert str(model.preprocessing).endswith("short side 256, crop 16, pixels -3..1")
    save_huggingface(ours_at(None), tmp_path)  # the newer one would win
    assert str(load_huggingface(tmp_path)[0].preprocessing).endswith("crop 16, pixels -1..1")
    file.unlink(), newer.unlink()
    assert load_huggingface(tmp_path)[0].preprocessing is None


def test_the_card_says_what_is_known_and_never_replaces_yours(tmp_path):
    card = tmp_path / "README.md"
    save_huggingface(small_model("joint"), tmp_path)
    assert "LABEL_0" in card.read_text() and "Recipe" not in card.read_text()
    about = {"recipe": Recipe.preset("cpu_tiny").to_dict()}
    about["training set"] = {"kind": "ClipDataset", "samples": 40, "source": "/home/me/signs"}
    last = {"epoch": 3, "loss": 0.12345, "validation": {"top1": 0.75}}
    save_huggingface(ours_at(((0.5,) * 3,) * 2), tmp_path, history=[about, {"epoch": 2}, last])
    for part in (
        "Classes (5): push, pull", "Made for: 8 frames at stride 1", "40 clips of signs.",
        "Recipe: cpu_tiny; adamw, lr", "epoch 3, loss 0.1235, validation top1 0.75",
    ):  # fmt: skip
        assert part in card.read_text()
    assert "/home" not in card.read_text()
    card.write_text("mine")
    save_huggingface(small_model("joint"), tmp_path)
    assert card.read_text() == "mine"


# ---- the wrong folder


def test_a_config_that_does_not_fit(tmp_path):
    save_huggingface(small_model("joint"), tmp_path)
    config = tmp_path / "config.json"
    whole = config.read_text()
    for change, words in (
        ({"model_type": "videomae"}, "videomae"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps is 1e-05"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"num_frames": 7}, "frames = 7"),
        ({"num_frames": 16}, "pos_embed"),
        ({"num_hidden_layers": 2}, "no place for"),
        ({"tubelet_size": [1, 8, 8]}, "patch_embed|pos_embed"),
        ({"id2label": {"0": "a"}}, "head.weight is 1 x 48"),
        ({"id2label": {"1": "a", "7": "b"}}, "id2label"),
        ({"id2label": ["a"]}, "id2label"),
        ({"image_size": "large"}, "image height is .large"),
    ):
        config.write_text(whole)
        rewrite(config, **change)
        refused(words, load_huggingface, tmp_path)
    for text in ("", "[1]", "\x00\xff"):
        config.write_text(text)
        refused(r"config\.json", load_huggingface, tmp_path)


def test_files_that_are_not_there(tmp_path):
    folder = tmp_path / "folder"
    save_huggingface(small_model("joint"), folder)
    nowhere = (folder / "model.safetensors", tmp_path / "no", "./no", "../no", "no")
    for source in nowhere:
        refused("no folder", load_huggingface, source, error=FileNotFoundError)
    for name in ("model.safetensors", "config.json"):
        (folder / name).unlink()
        refused(name, load_huggingface, folder, error=FileNotFoundError)


# ---- repositories


def test_a_repository_is_downloaded_without_pickles(tmp_path, monkeypatch):
    ours, asked = small_model("joint"), []
    save_huggingface(ours, tmp_path)

    def download(repository, revision=None, allow_patterns=None):
        asked.append((repository, revision, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    again, report = load_huggingface("someone/vivit", revision="v2")
    assert equal(ours, again) and report.source == "someone/vivit"
    wanted = ["config.json", "video_preprocessor_config.json", "preprocessor_config.json"]
    assert asked == [("someone/vivit", "v2", [*wanted, "*.safetensors"])]
    (tmp_path / "model.safetensors").unlink()  # only then the .bin is asked for
    missing = r"model\.safetensors"
    refused(missing, load_huggingface, "someone/vivit", error=FileNotFoundError)
    assert "pytorch_model.bin" in asked[-1][2]


def test_without_a_network_the_offline_way_is_named(monkeypatch):
    def download(*args, **kwargs):
        raise ConnectionError("no route to host\nand much more")

    name = "google/vivit-b-16x2-kinetics400"
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    words = rf"\(no route to host\).*hf download {name} .*pass it"
    refused(words, load_huggingface, name)

"""Models that other tools have wrapped, and the files that those tools write."""

import argparse
import json
import re

import numpy as np
import pytest
import timm
import torch
from flax_like import official
from safetensors.torch import load_file, save_file
from shared import equal, image_vit, refused, sevens, shaken, small_model
from torch import distributed, nn
from torch.nn.utils import parametrizations, prune
from torch.optim.swa_utils import AveragedModel

from vivit_lab import build_model, weights
from vivit_lab.weights.files import read_safetensors, read_tensors

TIMM = "test_vit"  # timm's own tiny one
TIMM_STATE = shaken(timm.create_model(TIMM, pretrained=False)).state_dict()
VIT, KNOWN = image_vit().state_dict(), {"heads": 4, "grid": (3, 4)}
CONTAINERS = "state_dict_ema model_ema state_dict model model_state_dict model_state module net"
CONTAINERS += " network teacher ema"


def saved(path, content, modern=True):
    torch.save(content, path, _use_new_zipfile_serialization=modern)
    return path


# ---- saving: the model inside a wrapper, or a refusal before anything is written


def save(model, folder):
    """By both: (our tensors and header, those for transformers)."""
    weights.save_checkpoint(folder / "m.safetensors", model)
    weights.save_huggingface(model, folder)
    return read_safetensors(folder / "m.safetensors"), load_file(folder / "model.safetensors")


def test_what_wraps_a_model_is_saved_as_the_model(tmp_path):
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    model, ddp = small_model("joint"), nn.parallel.DistributedDataParallel
    model.class_names = tuple("abcde")
    (ours, header), theirs = save(model, tmp_path)
    ways = (torch.compile, ddp, nn.DataParallel, AveragedModel, type(model).for_inference)
    for wrapped in [way(model) for way in ways] + [AveragedModel(ddp(torch.compile(model)))]:
        (found, head), again = save(wrapped, tmp_path)
        assert equal(found, ours) and head == header and equal(again, theirs), type(wrapped)
    distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore")  # quantize_dynamic is deprecated, and still in use
def test_what_no_loader_would_take_is_refused_at_saving(tmp_path):
    adapted, pruned, normed, more, less, wide, whole, nan, good = (
        small_model("joint") for _ in range(9)
    )
    adapted.blocks[1].attn.qkv = nn.Sequential(adapted.blocks[1].attn.qkv)
    prune.l1_unstructured(pruned.head, "weight", 0.5)
    parametrizations.weight_norm(normed.head)
    more.norm.lora = nn.Parameter(torch.ones(2))
    less.blocks, wide.head = less.blocks[:2], nn.Linear(48, 9)
    whole.norm.weight = nn.Parameter(torch.ones(48, dtype=torch.int), requires_grad=False)
    nan.norm.weight.data[3] = torch.nan
    scaled = nn.Sequential(good)
    scaled.scale = nn.Parameter(torch.ones(1))
    quantised = torch.ao.quantization.quantize_dynamic(good, {nn.Linear})
    for model, error, words in (
        (adapted, TypeError, "JointSp.* blocks.1.attn.qkv is a Sequential: .*'blocks.1.attn.qkv.w"),
        (nn.DataParallel(adapted), TypeError, "is a DataParallel whose blocks.1.attn.qkv is a Seq"),
        (quantised, TypeError, "blocks.0.attn.qkv is a Linear: .*'blocks.0.attn.qkv.weight'"),
        (pruned, TypeError, "head is a Linear: .*have 'head.weight', 'head.weight_orig'"),
        (normed, TypeError, "head is a ParametrizedLinear: .*'head.weight'"),
        (more, TypeError, "norm is a LayerNorm: .*have 'norm.lora'"),
        (less, TypeError, "blocks.2.norm1 is a missing part"),
        (scaled, TypeError, "is a Sequential, but must be a ViViT"),
        (nn.Sequential(good, nn.Softmax(-1)), TypeError, "is a Sequential, but must be a ViViT"),
        (good.state_dict(), TypeError, "is a .*[dD]ict, but must be a ViViT"),
        (wide, ValueError, "head.weight of the model is 9 x 48, but 5 x 48 by the configuration"),
        (whole, ValueError, "norm.weight of the model is not a plain tensor of floats.*int32"),
        (sevens(good.config).to("meta"), ValueError, "float32 on meta"),
        (nan, ValueError, r"norm\.weight of the model holds numbers that are not finite"),
    ):
        for write in (weights.save_checkpoint, lambda file, x: weights.save_huggingface(x, file)):
            with pytest.raises(error, match=f"{words}.*not saved"):
                write(tmp_path / "m.safetensors", model)
    assert not list(tmp_path.iterdir())


# ---- loading: prefixes and averaged weights, in every format


def image(source):
    return source.state, source


def scenic(source):
    model = sevens(small_model("joint").config)
    return model, weights.load_scenic(model, source)


def inflated(path):
    tensors = torch.load(path)
    model = build_model(weights.ImageViT("x", VIT, **KNOWN).config(frames=4))
    return model, weights.inflate(model, tensors, **KNOWN)


def test_prefixes_and_averages_are_understood_by_every_loader(tmp_path):
    (ours, header), theirs = save(small_model("joint"), tmp_path)
    vit_leaves = official(VIT, 4, "big_vision", head="head")
    timm_leaves = official(TIMM_STATE, 2, "augreg", head="head")
    for load, tensors, name in (
        (lambda path: weights.load_checkpoint(path, drop_path=0.1), ours, "m.safetensors"),
        (lambda path: weights.load_huggingface(path.parent), theirs, "model.safetensors"),
        (scenic, official(ours, 4), "m.npz"),
        (lambda path: scenic(dict(np.load(path))), official(ours, 4), "m.npz"),
        (lambda path: image(weights.load_flax_image_vit(path, (3, 4))), vit_leaves, "m.npz"),
        (lambda path: image(weights.load_timm(TIMM, path)), TIMM_STATE, "m.pth"),
        (lambda path: image(weights.load_timm(TIMM, path)), timm_leaves, "m.npz"),
        (inflated, VIT, "m.pth"),
    ):
        path = tmp_path / name

        def loaded(prefix, beside=None, load=load, path=path, tensors=tensors):
            named = (beside or {}) | {prefix + name: x for name, x in tensors.items()}
            if path.suffix == ".safetensors":
                save_file(named, path, metadata=header)
            else:
                np.savez(path, **named) if path.suffix == ".npz" else saved(path, named)
            found, report = load(path)
            return found, report.notes

        right, plain = loaded("")
        for prefix in ("module.", "_orig_mod.", "model.", "_orig_mod.module.", "state_dict.model."):
            found, notes = loaded(prefix)
            note = f"The weights are those under {prefix[:-1]!r}."
            assert equal(found, right) and {*notes} - {*plain} == {note}, load
        raw = {f"model.{name}": x * 0 for name, x in tensors.items()}
        for beside, key in ((raw, "model_ema"), ({"n_averaged": torch.tensor(3)}, "module")):
            found, notes = loaded(f"{key}.", beside)
            words = rf"{key}', averaged .*not read: '(model|n_averaged)'\."
            assert equal(found, right) and re.search(words, str(notes)), load


def test_containers_of_trainers(tmp_path):
    state, other, path = {"a.w": torch.ones(2)}, {"a.w": torch.zeros(2)}, tmp_path / "m.pth"
    wrapped = {"module.a.w": state["a.w"]}
    dino = {"module.backbone.a.w": state["a.w"], "module.head.w": torch.ones(1)}
    emas = {"epoch": 3, "state_dict": other, "state_dict_ema": wrapped, "optimizer": {"lr": 1}}
    for content, words in (
        *(({key: state, "x": 3}, f"under '{key}'.*not read: 'x'") for key in CONTAINERS.split()),
        (emas, "ict_ema.module', averaged .*not read: 'epoch', 'state_dict', 'optimizer'"),
        ({"model": other, "model_ema": state}, "'model_ema', averaged .*not read: 'model'"),
        ({"state_dict": state, "state_dict_ema": None, "model_ema": {}}, "under 'state_dict'; "),
        ({"student": other, "teacher": dino}, "'teacher.module.backbone';.* 'student', 'head'"),
        ({"model": {"state_dict": wrapped}}, r"'model.state_dict.module'\."),
        (state, None),
    ):
        for modern in (True, False):
            found, notes = read_tensors(saved(path, content, modern))
            assert equal(found, state) and (re.search(words, *notes) if words else not notes)
    for plain in ({"module": torch.ones(1)}, {"module.a": torch.ones(1), "b": torch.ones(1)}):
        found, notes = read_tensors(saved(path, plain))  # no wrapper of all names
        assert equal(found, plain) and not notes
    itself = {}
    itself["model"] = itself
    for content, words in (
        ({"epoch": 3, "params": state}, "but 'epoch', 'params'; .* under 'state_dict_ema', 'mod"),
        ({"model": {"epoch": 3}}, "tensors by name, but 'epoch'"),
        ({3: torch.ones(1)}, "tensors by name, but 3"),
        (itself, "tensors by name, but 'model'"),
        (torch.ones(1), "tensors by name, but a Tensor"),
    ):
        refused(words, read_tensors, saved(path, content))


def test_a_file_with_other_things_is_converted_as_the_message_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw = {k: x * 0 for k, x in TIMM_STATE.items()}
    for name, content in (
        ("model_best.pth.tar", {"state_dict": raw, "state_dict_ema": TIMM_STATE, "epoch": 3}),
        ("last.ckpt", {"state_dict": {f"model.{k}": x for k, x in TIMM_STATE.items()}}),
        ("vit.pth", TIMM_STATE),
    ):
        for modern in (True, False):
            saved(tmp_path / name, content | {"args": argparse.Namespace(model="x")}, modern)
            with pytest.raises(weights.WeightsError, match="it holds argparse.Namespace") as caught:
                weights.load_timm(TIMM, name)
            code = re.findall(r"^    (.*)$", str(caught.value), re.MULTILINE)
            assert len(code) == 3
            exec("\n".join(code), {})
            converted = f"{name.partition('.')[0]}.tensors.pt"
            assert equal(weights.load_timm(TIMM, converted).state, TIMM_STATE)


# ---- class names


def test_class_names_that_stand_twice_are_told_apart(tmp_path):
    save(small_model("joint"), tmp_path)
    config, names = tmp_path / "config.json", ["crane", "crane (2)", "crane", "b", "crane"]
    settings = json.loads(config.read_text()) | {"id2label": dict(enumerate(names))}
    config.write_text(json.dumps(settings))
    model, report = weights.load_huggingface(tmp_path)
    assert model.class_names == ("crane", "crane (2)", "crane (2) (2)", "b", "crane (4)")
    told = "twice .*'crane (2) (2)', 'crane (4)'".replace("(", r"\(").replace(")", r"\)")
    assert re.search(told, str(report.notes))
    save(model, tmp_path)
    again, report = weights.load_huggingface(tmp_path)
    assert again.class_names == model.class_names and not re.search(told, str(report.notes))

"""Image ViTs by timm's name: from timm, from a file, and refused where they are no plain ViT."""

import functools
import subprocess
import sys

import huggingface_hub
import numpy as np
import safetensors.torch
import timm
import torch
from flax_like import official
from shared import assert_starts_as, equal, refused, shaken

from vivit_lab import build_model
from vivit_lab.weights import inflate, load_timm

SMALL = "test_vit"  # timm's own tiny one: patch 16, 160 pixels, dim 64, 2 heads
DINO = "vit_small_patch14_dinov2"


def made(**changes) -> torch.nn.Module:
    return shaken(timm.create_model(SMALL, pretrained=False, **changes).eval())


def saved(folder, state, suffix=".safetensors", **options):
    path = folder / f"weights{suffix}"
    save = safetensors.torch.save_file if suffix == ".safetensors" else torch.save
    save(state, path, **options)
    return path


def test_what_inflation_needs_to_know():
    for name, *wanted in (
        ("vit_tiny_patch16_224", 192, 3, (14, 14), (16, 16), True, False),
        ("vit_base_patch16_gap_224", 768, 16, (14, 14), (16, 16), False, False),
        ("deit3_small_patch16_224", 384, 6, (14, 14), (16, 16), True, True),
        (DINO, 384, 6, (37, 37), (14, 14), True, True),
        (SMALL, 64, 2, (10, 10), (16, 16), True, False),
    ):
        source = load_timm(name, pretrained=False)
        found = [source.dim, source.heads, source.grid, source.patch, source.has_cls]
        assert [*found, source.has_layer_scale] == wanted
        assert (source.gelu, source.name) == ("exact", f"{name} (random weights)")


def test_a_file_gives_the_features_of_timms_model(tmp_path):
    vit, bare = made(), made(num_classes=0)
    for model, suffix in ((vit, ".safetensors"), (vit, ".pth"), (bare, ".safetensors")):
        source = load_timm(SMALL, saved(tmp_path, model.state_dict(), suffix))
        assert source.name == f"{SMALL} (weights{suffix})"
        assert_starts_as(model, source)


def test_layer_scale_patch_14_half_precision_and_a_table_for_518_pixels(tmp_path):
    state = timm.create_model(DINO, pretrained=False).state_dict()
    half = {name: tensor.half() for name, tensor in state.items()}
    source = load_timm(DINO, saved(tmp_path, half))
    assert (source.grid, source.notes) == ((37, 37), ())
    assert source.state["norm.weight"].dtype == torch.float32
    model = build_model(source.config(frames=4, image_size=56, num_classes=3))
    assert "37 x 37 to 4 x 4, bilinear" in str(inflate(model, source))
    shallow = {name: x for name, x in half.items() if not name.startswith("blocks.11.")}
    words = "blocks.11.attn.proj.bias is None in the .*for another"
    refused(words, load_timm, DINO, saved(tmp_path, shallow))


def test_a_table_of_another_size_is_inferred_if_square_and_asked_for_if_not(tmp_path):
    source = load_timm(SMALL, saved(tmp_path, made(img_size=96).state_dict()))
    assert source.grid == (6, 6) and "6 x 6, is inferred" in source.notes[0]
    oblong = made(img_size=(64, 96))
    path = saved(tmp_path, oblong.state_dict())
    refused("25 rows .* not a class token and 4 x 4 .*Give grid", load_timm, SMALL, path)
    assert_starts_as(oblong, load_timm(SMALL, path, grid=(4, 6)))


def test_an_npz_of_the_official_code_is_read(tmp_path):
    vit, path = made(), tmp_path / "weights.npz"
    np.savez(path, **official(vit.state_dict(), 2, "augreg", head="head"))
    source = load_timm(SMALL, path)
    assert equal(source.state, vit)
    assert_starts_as(vit, source)
    np.savez(path, **official(vit.state_dict(), 4, "augreg", head="head"))
    refused(r"weights.npz.*heads is 4 in the source, 2 in", load_timm, SMALL, path)


# ---- timm's own weights, over the network or from the cache


def test_pretrained_weights_are_timms(monkeypatch):
    """The hub's library would try for a minute; its setting is put back in any case."""
    vit, create, seen = made(), timm.create_model, []

    class Session:
        answers = True

        def head(self, url, timeout):
            if not self.answers:
                raise OSError("nobody there")

    def record(name, pretrained):
        if pretrained:
            seen.append(huggingface_hub.constants.HF_HUB_OFFLINE)
            if not Session.answers:
                raise ConnectionError("not in the cache\nand more")
        return vit if pretrained else create(name)

    monkeypatch.setattr(huggingface_hub, "get_session", Session)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(timm, "create_model", record)
    source = load_timm(SMALL)
    assert source.name == SMALL and equal(source.state, vit)
    Session.answers = False
    where = rf"https://huggingface\.co/timm/{SMALL}\.\w+/resolve/main/model\.safetensors"
    words = rf"could not get .*ConnectionError: not in the cache\)\. .*copy {where} here, .*--file"
    refused(words, load_timm, SMALL)
    assert seen == [False, True]
    assert huggingface_hub.constants.HF_HUB_OFFLINE is False


# ---- refusals


def test_what_is_no_plain_vit_is_refused_by_name(monkeypatch):
    for name, words in (
        ("vit_tiny_patch16_225", "The closest are 'vit_tiny_patch16_224'"),
        ("vit_tiny_patch16_224.nonsense", "nonsense"),
        ("resnet18", "resnet18 has 'conv1.weight'"),
        ("vit_small_patch14_reg4_dinov2", "has 'reg_token'"),
        ("vit_base_patch16_clip_224", "has 'norm_pre.weight'"),
        ("vit_base_patch16_siglip_224", "has 'attn_pool.latent'"),
        ("vit_giant_patch14_dinov2", "it has GluMlp"),
        ("vit_small_r26_s32_224", "has 'patch_embed.backbone"),
        ("vit_small_patch16_18x2_224", "has 'blocks.0.attns.0"),
        ("deit_tiny_distilled_patch16_224", "has 'dist_token'"),
        ("beit_base_patch16_224", "has 'blocks.0.gamma_1'"),
        ("vit_intern300m_patch14_448", "no final norm .*features would not be the same"),
    ):
        refused(words, load_timm, name)  # before anything is downloaded
    plain = timm.models.vision_transformer.test_vit
    for changes, words in (
        ({"norm_layer": functools.partial(torch.nn.LayerNorm, eps=1e-5)}, "Norm with eps 1e-05"),
        ({"act_layer": torch.nn.ReLU}, "it has ReLU"),
    ):
        changed = functools.partial(plain, **changes)
        monkeypatch.setitem(timm.models._registry._model_entrypoints, SMALL, changed)
        refused(words, load_timm, SMALL, pretrained=False)


def test_a_file_for_another_model_is_refused(tmp_path):
    state = made().state_dict()
    wide = {k: v.repeat(*(2 if n == 64 else 1 for n in v.shape)) for k, v in state.items()}
    tiny = "vit_tiny_patch16_224"
    for name, changed, words in (
        (SMALL, {"reg_token": torch.zeros(1, 4, 64)}, r"reg_token is \(1, 4, 64\) in .*, None in"),
        (SMALL, {"blocks.0.ls1.gamma": torch.ones(64)}, r"ls1.gamma is \(64,\) in .*, None in"),
        (SMALL, wide, r"is \(.*\) in the source, \(.*\) in.*another"),  # the same names
        (tiny, {}, r"is \(64.*in the source"),
    ):
        refused(words, load_timm, name, saved(tmp_path, state | changed))


def test_files_that_cannot_be_read_are_said_to_be(tmp_path):
    missing = tmp_path / "no_such.safetensors"
    refused("no_such", load_timm, SMALL, missing, error=FileNotFoundError)
    for suffix in (".safetensors", ".npz"):
        broken = tmp_path / f"broken{suffix}"
        broken.write_bytes(b"this is no file of weights" * 40)
        refused(f"broken{suffix}", load_timm, SMALL, broken)


def test_little_is_imported_until_it_is_asked_for():
    code = "import sys, vivit_lab.weights; print({'timm', 'torchvision', 'safetensors', 'msgpack'}"
    code += " & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

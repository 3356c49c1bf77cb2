"""Image ViTs by timm's name: from timm, from a file, and refused where they are no plain ViT."""

import functools
import subprocess
import sys

import huggingface_hub
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from flax_like import official

from vivit_lab import build_model
from vivit_lab.weights import WeightsError, inflate, load_timm

SMALL = "test_vit"  # timm's own tiny one: patch 16, 160 pixels, dim 64, 2 heads
DINO = "vit_small_patch14_dinov2"


def made(name: str = SMALL, seed: int = 0, **changes) -> torch.nn.Module:
    torch.manual_seed(seed)
    vit = timm.create_model(name, pretrained=False, **changes).eval()
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return vit


def saved(folder, state: dict, suffix: str = ".safetensors"):
    path = folder / f"weights{suffix}"
    if suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return path


def assert_starts_as(vit, source, size: tuple[int, int]) -> None:
    """Model 2, averaging over time, on a clip of equal frames."""
    fields = {"frames": 4, "temporal_depth": 0, "num_classes": 3}
    pooling = "cls" if source.has_cls else "mean"
    model = build_model(source.config(model="factorised_encoder", pooling=pooling, **fields)).eval()
    inflate(model, source)
    frame = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(2)) * 2 - 1
    with torch.no_grad():
        features = model.encode(frame[:, None].expand(-1, 4, -1, -1, -1), False)[0]
        right = vit.forward_head(vit.forward_features(frame), pre_logits=True)
    torch.testing.assert_close(features, right, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("vit_tiny_patch16_224", (192, 3, (14, 14), (16, 16), True, False)),
        ("vit_base_patch16_gap_224", (768, 16, (14, 14), (16, 16), False, False)),
        ("deit3_small_patch16_224", (384, 6, (14, 14), (16, 16), True, True)),
        (DINO, (384, 6, (37, 37), (14, 14), True, True)),
        (SMALL, (64, 2, (10, 10), (16, 16), True, False)),
    ],
)
def test_what_inflation_needs_to_know(name, fields):
    source = load_timm(name, pretrained=False)
    found = (
        source.dim, source.heads, source.grid, source.patch, source.has_cls, source.has_layer_scale
    )  # fmt: skip
    assert found == fields
    assert (source.gelu, source.name) == ("exact", f"{name} (random weights)")
    assert all(tensor.dtype == torch.float32 for tensor in source.state.values())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_gives_the_features_of_timms_model(suffix, tmp_path):
    vit = made()
    source = load_timm(SMALL, saved(tmp_path, vit.state_dict(), suffix))
    assert source.name == f"{SMALL} (weights{suffix})"
    assert_starts_as(vit, source, (160, 160))


def test_a_wrapped_state_dict_is_found(tmp_path):
    state = made().state_dict()
    for wrapper, legacy in (("state_dict", False), ("model", True)):
        wrapped = {wrapper: {f"module.{k}": v for k, v in state.items()}, "epoch": 3}
        path = tmp_path / "weights.pth"
        torch.save(wrapped, path, _use_new_zipfile_serialization=not legacy)
        source = load_timm(SMALL, str(path))
        assert all(torch.equal(source.state[name], state[name]) for name in state)


def test_layer_scale_patch_14_half_precision_and_a_table_for_518_pixels(tmp_path):
    vit = made(DINO, depth=2)
    state = {name: tensor.half() for name, tensor in vit.state_dict().items()}
    full = timm.create_model(DINO, pretrained=False).state_dict()
    with pytest.raises(WeightsError, match="blocks.10.attn.proj.bias is None in the .*for another"):
        load_timm(DINO, saved(tmp_path, state))
    half = {name: tensor.half() for name, tensor in full.items()}
    source = load_timm(DINO, saved(tmp_path, half))
    assert (source.grid, source.notes) == ((37, 37), ())
    assert source.state["norm.weight"].dtype == torch.float32
    model = build_model(source.config(frames=4, image_size=56, num_classes=3))
    assert "37 x 37 to 4 x 4, bilinear" in str(inflate(model, source))


def test_a_table_of_another_size_is_inferred_if_square_and_asked_for_if_not(tmp_path):
    state = made(img_size=96).state_dict()
    source = load_timm(SMALL, saved(tmp_path, state))
    assert source.grid == (6, 6)
    assert "6 x 6 is inferred" in source.notes[0]
    oblong = made(img_size=(64, 96))
    path = saved(tmp_path, oblong.state_dict())
    with pytest.raises(WeightsError, match="25 rows .* not a class token and 4 x 4 .*Give grid"):
        load_timm(SMALL, path)
    assert_starts_as(oblong, load_timm(SMALL, path, grid=(4, 6)), (64, 96))


def test_a_head_for_other_classes_or_none_does_not_matter(tmp_path):
    vit = made(num_classes=0)
    assert_starts_as(vit, load_timm(SMALL, saved(tmp_path, vit.state_dict())), (160, 160))


def test_pretrained_weights_are_timms(monkeypatch):
    vit, create = made(), timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda name, pretrained: vit if pretrained else create(name)
    )
    source = load_timm(SMALL)
    assert source.name == SMALL
    assert torch.equal(source.state["norm.bias"], vit.norm.bias)


def test_without_a_network_the_error_says_how_to_do_without(monkeypatch):
    create = timm.create_model

    def offline(name, pretrained):
        if pretrained:
            raise ConnectionError("Name or service not known")
        return create(name)

    monkeypatch.setattr(timm, "create_model", offline)
    words = rf"could not get .*ConnectionError: Name or.*load_timm\('{SMALL}', file\)"
    with pytest.raises(WeightsError, match=words):
        load_timm(SMALL)


@pytest.mark.parametrize("answers", [True, False])
def test_only_where_the_hub_is_silent_the_cache_must_do(monkeypatch, answers):
    """The hub library would otherwise try for a minute; its setting comes back in any case."""
    create, seen = timm.create_model, []

    class Session:
        def head(self, url, timeout):
            if not answers:
                raise OSError("nobody there")

    def record(name, pretrained):
        if pretrained:
            seen.append(huggingface_hub.constants.HF_HUB_OFFLINE)
            raise ConnectionError("not in the cache")
        return create(name)

    monkeypatch.setattr(huggingface_hub, "get_session", Session)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(timm, "create_model", record)
    with pytest.raises(WeightsError, match="not in the cache"):
        load_timm(SMALL)
    assert seen == [not answers]
    assert huggingface_hub.constants.HF_HUB_OFFLINE is False


# ---- refusals


def test_what_is_no_plain_vit_is_refused_by_name():
    for name, words in (
        ("vit_tiny_patch16_225", "The closest are 'vit_tiny_patch16_224'"),
        ("vit_tiny_patch16_224.nonsense", "nonsense"),
        ("resnet18", "it has ResNet"),
        ("vit_small_patch14_reg4_dinov2", "has 'reg_token'"),
        ("vit_base_patch16_clip_224", "LayerNorm with eps 1e-05"),
        ("vit_base_patch16_siglip_224", "it has AttentionPool"),
        ("vit_giant_patch14_dinov2", "it has GluMlp"),
        ("vit_small_r26_s32_224", "HybridEmbed"),
        ("vit_small_patch16_18x2_224", "ParallelThingsBlock"),
        ("deit_tiny_distilled_patch16_224", "VisionTransformerDistilled"),
        ("beit_base_patch16_224", "it has Beit"),
    ):
        with pytest.raises(WeightsError, match=words):
            load_timm(name)  # before anything is downloaded


def test_other_norms_and_activations_are_refused(monkeypatch):
    from timm.models import vision_transformer

    plain, norm = vision_transformer.test_vit, functools.partial(torch.nn.LayerNorm, eps=1e-5)
    for changes, words in (
        ({"norm_layer": norm}, "it has LayerNorm with eps 1e-05"),
        ({"act_layer": torch.nn.ReLU}, "it has ReLU"),
    ):
        changed = functools.partial(plain, **changes)
        monkeypatch.setitem(timm.models._registry._model_entrypoints, SMALL, changed)
        with pytest.raises(WeightsError, match=words):
            load_timm(SMALL, pretrained=False)


def test_a_file_for_another_model_is_refused(tmp_path):
    state = made().state_dict()
    path = saved(tmp_path, state | {"reg_token": torch.zeros(1, 4, 64)})
    with pytest.raises(WeightsError, match=r"reg_token is \(1, 4, 64\) in the source, None in"):
        load_timm(SMALL, path)
    path = saved(tmp_path, state | {"blocks.0.ls1.gamma": torch.ones(64)})
    with pytest.raises(WeightsError, match=r"blocks.0.ls1.gamma is \(64,\) in the source, None in"):
        load_timm(SMALL, path)
    path = saved(tmp_path, state)
    with pytest.raises(WeightsError, match=r"is \(64.*in the source"):
        load_timm("vit_tiny_patch16_224", path)
    # the same names, another width
    wide = {k: v.repeat(*(2 if n == 64 else 1 for n in v.shape)) for k, v in state.items()}
    with pytest.raises(WeightsError, match=r"is \(.*\) in the source, \(.*\) in.*another"):
        load_timm(SMALL, saved(tmp_path, wide))


def test_files_that_cannot_be_read_are_said_to_be(tmp_path):
    with pytest.raises(FileNotFoundError, match="no_such"):
        load_timm(SMALL, tmp_path / "no_such.safetensors")
    for suffix in (".safetensors", ".pth", ".npz", ".h5"):
        broken = tmp_path / f"broken{suffix}"
        broken.write_bytes(b"this is no file of weights" * 40)
        with pytest.raises(WeightsError, match=f"broken{suffix}"):
            load_timm(SMALL, broken)
    for content in (torch.ones(3), {"model": {"epoch": 3}}, {3: torch.ones(1)}):
        with pytest.raises(WeightsError, match="does not hold tensors by name"):
            load_timm(SMALL, saved(tmp_path, content, ".pth"))


def test_an_npz_of_the_official_code_is_read(tmp_path):
    vit = made()
    path = tmp_path / "weights.npz"
    np.savez(path, **official(vit.state_dict(), 2, "augreg", head="head"))
    source = load_timm(SMALL, path)
    assert all(torch.equal(source.state[name], x) for name, x in vit.state_dict().items())
    assert_starts_as(vit, source, (160, 160))
    np.savez(path, **official(vit.state_dict(), 4, "augreg", head="head"))
    with pytest.raises(WeightsError, match=r"weights.npz.*heads is 4 in the source, 2 in"):
        load_timm(SMALL, path)


def test_little_is_imported_until_it_is_asked_for():
    code = "import sys, vivit_lab.weights; print({'timm', 'torchvision', 'safetensors', 'msgpack'}"
    code += " & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

"""Our four models compute the official code's logits from the official code's parameters."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vivit_lab import ViViTConfig, build_model

CASES = sorted((Path(__file__).parent / "official").glob("*.json"))
MODEL = {
    "spacetime": "joint",
    "factorized_encoder": "factorised_encoder",
    "factorized_self_attention_block": "factorised_self_attention",
    "factorized_dot_product_attention": "factorised_dot_product",
}


def config_of(case: dict) -> ViViTConfig:
    uniform = case.get("encoding") == "temporal_sampling"
    is_encoder = case["scenic_attention_type"] == "factorized_encoder"
    temporal_depth = 0 if case.get("spatial_only_baseline") else case["temporal_layers"]
    return ViViTConfig(
        model=MODEL[case["scenic_attention_type"]],
        frames=case["frames"],
        image_size=(case["height"], case["width"]),
        tokenizer="uniform_frames" if uniform else "tubelet",
        sampled_frames=case["n_sampled_frames"] if uniform else None,
        tubelet=(1 if uniform else case["tubelet_t"], case["patch"], case["patch"]),
        dim=case["hidden"],
        depth=case["layers"],
        heads=case["heads"],
        mlp_dim=case["mlp"],
        temporal_depth=temporal_depth if is_encoder else None,
        attention_order=case.get("attention_order", "space_time"),
        num_classes=case["classes"],
        pooling={"token": "cls", "gap": "mean"}[case["classifier"]],
    )


def our_parameters(flax: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Official names and layouts -> ours. Every official leaf is used exactly once."""
    left = dict(flax)

    def linear(source: str, target: str) -> dict:
        kernel, bias = left.pop(source + "/kernel"), left.pop(source + "/bias")
        return {f"{target}.weight": kernel.reshape(-1, bias.size).T, f"{target}.bias": bias}

    def norm(source: str, target: str) -> dict:
        return {
            f"{target}.weight": left.pop(source + "/scale"),
            f"{target}.bias": left.pop(source + "/bias"),
        }

    def attention(source: str, target: str) -> dict:
        q, k, v = ([left.pop(f"{source}/{n}/{p}") for p in ("kernel", "bias")] for n in QKV)
        width = q[0].shape[0]
        return {
            f"{target}.qkv.weight": np.concatenate([x[0].reshape(width, -1).T for x in (q, k, v)]),
            f"{target}.qkv.bias": np.concatenate([x[1].ravel() for x in (q, k, v)]),
        } | linear(source + "/out", target + ".proj")

    def encoder(source: str, prefix: str) -> dict:
        found = norm(f"{source}/encoder_norm", f"{prefix}norm")
        found[f"{prefix}pos_embed"] = left.pop(f"{source}/posembed_input/pos_embedding")
        depth = len({k.split("/")[1] for k in flax if k.startswith(f"{source}/encoderblock_")})
        for i in range(depth):
            src, dst = f"{source}/encoderblock_{i}", f"{prefix}blocks.{i}"
            for name, (function, ours) in BLOCK.items():
                if any(key.startswith(f"{src}/{name}/") for key in left):
                    found |= {"norm": norm, "attention": attention, "linear": linear}[function](
                        f"{src}/{name}", f"{dst}.{ours}"
                    )
        return found

    found = linear("output_projection", "head")
    kernel = left.pop("embedding/kernel")
    found["patch_embed.proj.weight"] = np.moveaxis(kernel, (-1, -2), (0, 1))
    found["patch_embed.proj.bias"] = left.pop("embedding/bias")
    for source, prefix in (
        ("Transformer", ""),
        ("SpatialTransformer", ""),
        ("TemporalTransformer", "temporal_"),
    ):
        if any(key.startswith(source + "/") for key in left):
            found |= encoder(source, prefix)
        token = "cls" if source == "Transformer" else f"cls_{source}"
        if token in left:
            found[f"{prefix}cls_token"] = left.pop(token)
    assert not left, f"official leaves without a place: {sorted(left)}"
    return found


QKV = ("query", "key", "value")
BLOCK = {
    "LayerNorm_0": ("norm", "norm1"),
    "LayerNorm_space": ("norm", "norm1"),
    "LayerNorm_time": ("norm", "norm_time"),
    "LayerNorm_1": ("norm", "norm2"),
    "LayerNorm_mlp": ("norm", "norm2"),
    "MultiHeadDotProductAttention_0": ("attention", "attn"),
    "MultiHeadDotProductAttention_space": ("attention", "attn"),
    "MultiHeadDotProductAttention_time": ("attention", "attn_time"),
    "MlpBlock_0/Dense_0": ("linear", "mlp.fc1"),
    "MlpBlock_0/Dense_1": ("linear", "mlp.fc2"),
    "MlpBlock/Dense_0": ("linear", "mlp.fc1"),
    "MlpBlock/Dense_1": ("linear", "mlp.fc2"),
}


def load_case(path: Path) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    arrays = np.load(path.with_suffix(".npz"))
    flax = {k.removeprefix("params/"): arrays[k] for k in arrays if k.startswith("params/")}
    model = build_model(config_of(json.loads(path.read_text()))).eval()
    parameters = {k: torch.tensor(np.ascontiguousarray(v)) for k, v in our_parameters(flax).items()}
    model.load_state_dict(parameters)  # strict: no parameter of ours is left over
    clip = torch.from_numpy(arrays["input"]).permute(0, 1, 4, 2, 3)
    return model, clip, torch.from_numpy(arrays["logits"])


def test_the_cases_cover_all_models_and_both_tokenizers():
    configs = [config_of(json.loads(path.read_text())) for path in CASES]
    assert {c.model for c in configs} == set(MODEL.values())
    assert {c.tokenizer for c in configs} == {"tubelet", "uniform_frames"}
    assert {c.attention_order for c in configs} == {"space_time", "time_space"}


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "explicit"])
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_logits_are_the_official_ones(path, fused):
    model, clip, logits = load_case(path)
    for module in model.modules():
        if hasattr(module, "fused"):
            module.fused = fused
    with torch.inference_mode():
        torch.testing.assert_close(model(clip), logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_in_double_precision_only_the_official_rounding_is_left(path):
    model, clip, logits = load_case(path)
    with torch.inference_mode():
        ours = model.double()(clip.double())
    torch.testing.assert_close(ours, logits.double(), atol=1e-6, rtol=0)

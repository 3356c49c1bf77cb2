"""Our four models compute the official code's logits from the official code's parameters."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vivit_lab import ViViTConfig, build_model
from vivit_lab.weights import load_scenic

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


def test_the_cases_cover_all_models_and_both_tokenizers():
    configs = [config_of(json.loads(path.read_text())) for path in CASES]
    assert {c.model for c in configs} == set(MODEL.values())
    assert {c.tokenizer for c in configs} == {"tubelet", "uniform_frames"}
    assert {c.attention_order for c in configs} == {"space_time", "time_space"}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_logits_are_the_official_ones_and_in_double_precision_only_rounding_is_left(path):
    arrays = np.load(path.with_suffix(".npz"))
    model = build_model(config_of(json.loads(path.read_text()))).eval()
    report = load_scenic(model, path.with_suffix(".npz"))
    assert report.counts == {"copied": len(model.state_dict())}  # none of ours is left over
    clip = torch.from_numpy(arrays["input"]).permute(0, 1, 4, 2, 3)
    logits = torch.from_numpy(arrays["logits"])
    with torch.inference_mode():
        for fused in (True, False):
            for module in model.modules():
                if hasattr(module, "fused"):
                    module.fused = fused
            torch.testing.assert_close(model(clip), logits, atol=1e-5, rtol=0)
        ours = model.double()(clip.double())
    torch.testing.assert_close(ours, logits.double(), atol=1e-6, rtol=0)

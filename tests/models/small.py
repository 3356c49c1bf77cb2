"""Small versions of the four models, with every parameter drawn at random (the head too)."""

import pytest
import torch

from vivit_lab import ViViTConfig, build_model
from vivit_lab.models import MODELS

SMALL = {
    "frames": 8,
    "image_size": (24, 32),
    "tubelet": (2, 8, 8),
    "dim": 48,
    "depth": 3,
    "heads": 4,
    "mlp_dim": 96,
    "num_classes": 5,
}

# every path through encode(): the four models, both poolings, both orders, both tokenizers
VARIANTS = {name: {"model": name} for name in MODELS} | {
    "joint_mean": {"model": "joint", "pooling": "mean"},
    "encoder_mean": {"model": "factorised_encoder", "pooling": "mean"},
    "encoder_average": {"model": "factorised_encoder", "temporal_depth": 0},
    "time_space": {"model": "factorised_self_attention", "attention_order": "time_space"},
    "uniform_frames": {
        "model": "joint",
        "tokenizer": "uniform_frames",
        "sampled_frames": 4,
        "tubelet": (1, 8, 8),
    },
    "layer_scale": {"model": "factorised_self_attention", "layer_scale": 0.3, "gelu": "exact"},
}


def small_model(variant: str, **overrides):
    torch.manual_seed(1)
    model = build_model(ViViTConfig(**(SMALL | VARIANTS[variant] | overrides)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def clips(batch: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 8, 3, 24, 32, generator=generator) * 2 - 1


every_variant = pytest.mark.parametrize("variant", VARIANTS)


def close(a, b, atol=1e-5):
    torch.testing.assert_close(a, b, atol=atol, rtol=0)

"""What the tests of weights share: small models, equal weights, and calls that must be refused."""

import sys
from pathlib import Path

import pytest
import torch

from vivit_lab import build_model
from vivit_lab.weights import WeightsError, inflate

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from small import SMALL, VARIANTS, clips, small_model
from test_official_outputs import CASES as OFFICIAL
from test_official_outputs import config_of as official_config

# for the tests beside this file
__all__ = ["OFFICIAL", "SMALL", "VARIANTS", "clips", "official_config", "small_model"]


def state(model):
    return model.state_dict() if isinstance(model, torch.nn.Module) else model


def equal(one, other):
    """Whether two models or state dicts hold the same numbers under the same names."""
    a, b = state(one), state(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def sevens(config):
    """A model of this configuration that shares no number with any other."""
    model = build_model(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    return model


def refused(words, function, *args, error=WeightsError, **options):
    """The call raises in these words; a model that is its first argument stays as it was."""
    model = args[0] if isinstance(args[0], torch.nn.Module) else {}
    before = {name: tensor.clone() for name, tensor in state(model).items()}
    with pytest.raises(error, match=words):
        function(*args, **options)
    assert equal(model, before)


# ---- image ViTs


def image_vit(seed=0, **changes):
    """timm's own ViT, small, not square, every parameter drawn at random."""
    from timm.models.vision_transformer import VisionTransformer

    fields = {
        "img_size": (24, 32), "patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 4,
        "mlp_ratio": 2, "num_classes": 7,
    }  # fmt: skip
    return shaken(VisionTransformer(**(fields | changes)).eval(), seed)


@torch.no_grad()
def shaken(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():  # also what starts at zero or one
        parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def assert_close(found, right):
    torch.testing.assert_close(found, right, atol=1e-5, rtol=0)


@torch.no_grad()
def both_features(model, vit):
    """Of a clip of equal frames, and of one of its frames."""
    shape = model.config.clip_shape
    frame = torch.rand(2, *shape[1:], generator=torch.Generator().manual_seed(9)) * 2 - 1
    found = model.encode(frame[:, None].expand(-1, shape[0], -1, -1, -1), False)[0]
    return found, vit.forward_head(vit.forward_features(frame), pre_logits=True)


def assert_starts_as(vit, source, options=None, **fields):
    """Inflated, a model (Model 2, averaging over time) gives the features of the image ViT."""
    average = {"model": "factorised_encoder", "temporal_depth": 0}
    fields = fields if "model" in fields else average | fields
    model = build_model(source.config(**({"frames": 8} | fields))).eval()
    report = inflate(model, source, **(options or {}))
    assert_close(*both_features(model, vit))
    return report

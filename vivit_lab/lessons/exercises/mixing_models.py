"""Small models for notebook 03's exercises: Model 2, and four ways to let clips mix in a batch."""

import torch
from einops import rearrange
from torch import Tensor, nn

from vivit_lab.models import FactorisedEncoder, ViViTConfig, build_model

SIZE = {
    "frames": 8, "image_size": 16, "tubelet": (2, 8, 8), "dim": 16, "heads": 4, "mlp_dim": 24,
    "depth": 2, "num_classes": 5,
}  # fmt: skip


def lively(module: nn.Module) -> nn.Module:
    """Random biases, norms and tokens too, so that no part can be left out unseen."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(3)
        for parameter in module.parameters():
            if parameter.ndim == 1:
                parameter += 0.5 * torch.randn_like(parameter)
            elif parameter.ndim == 3:  # class tokens and positions
                nn.init.normal_(parameter)
    return module.eval()


class MixingModel2(FactorisedEncoder):
    """Model 2, as somebody wrote it: right for one clip at a time, wrong for a batch."""

    def encode(self, clip, return_attention=False):
        b = len(clip)
        x = rearrange(self.patch_embed(clip), "b t s d -> (b t) s d")
        x = torch.cat([self.cls_token.expand(len(x), 1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            x, _ = block(x)
        x = self.frame_tokens(self.norm(x)[:, 0], b)
        x = torch.cat([self.temporal_cls_token.expand(b, 1, -1), x], dim=1)
        x = x + self.temporal_pos_embed
        for block in self.temporal_blocks:
            x, _ = block(x)
        return self.temporal_norm(x)[:, 0], []

    def frame_tokens(self, x, b):
        return rearrange(x, "(t b) d -> b t d", b=b)


class RememberingModel2(FactorisedEncoder):
    """Model 2 with a state: what it saw last time leaks into what it says now."""

    seen = 0.0

    def encode(self, clip, return_attention=False):
        features, maps = super().encode(clip, return_attention)
        mixed = features + 0.1 * self.seen
        self.seen = features.mean(dim=0)
        return mixed, maps


class CentringModel2(FactorisedEncoder):
    """Model 2 that takes the mean of the batch away: one clip alone always says the same."""

    def encode(self, clip, return_attention=False):
        features, maps = super().encode(clip, return_attention)
        return features - features.mean(dim=0), maps


class NeighbourModel2(FactorisedEncoder):
    """Model 2 that gives the last clip of a batch a bit of the first."""

    def encode(self, clip, return_attention=False):
        features, maps = super().encode(clip, return_attention)
        mixed = features.clone()
        mixed[-1] += 0.1 * features[0] * (len(features) > 1)
        return mixed, maps


def small_model_2(kind: type[FactorisedEncoder] = FactorisedEncoder) -> FactorisedEncoder:
    """A small Model 2 with random weights, classifier included; the same ones for every kind.

    Example:
        >>> model = small_model_2(MixingModel2)
        >>> model(torch.zeros(3, *model.config.clip_shape)).shape
        torch.Size([3, 5])
    """
    config = ViViTConfig(model="factorised_encoder", temporal_depth=1, **SIZE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = build_model(config) if kind is FactorisedEncoder else kind(config)
        nn.init.normal_(model.head.weight)
    return lively(model)


def small_clips(count: int, seed: int = 0) -> Tensor:
    """Random clips (count, 8, 3, 16, 16) in [-1, 1] for `small_model_2`.

    Example:
        >>> small_clips(3).shape
        torch.Size([3, 8, 3, 16, 16])
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 8, 3, 16, 16, generator=generator) * 2 - 1

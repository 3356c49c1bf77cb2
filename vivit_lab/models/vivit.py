"""The four models of the paper (section 3.3), one class each, and `build_model`.

All take a clip (B, T, C, H, W), float in [-1, 1], and return logits (B, num_classes), or a dict of
them. Parameter names are timm's where an image ViT has the same part, so that image weights fit.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vivit_lab.errors import takes_plain
from vivit_lab.models.config import ViViTConfig
from vivit_lab.models.inference import InferenceModel
from vivit_lab.models.layers import (
    LAYER_NORM_EPS,
    Block,
    FactorisedDotProductAttention,
    FactorisedSelfAttentionBlock,
)
from vivit_lab.models.tokens import TubeletEmbedding, UniformFrameEmbedding, check_clip

POSITIONS_STD = 0.02  # as in the official code

AttentionMaps = list[dict[str, Tensor]]  # one entry a block: {"joint" | "space" | "time": weights}


class ViViT(nn.Module, ABC):
    """What the four models share: the clip's check and tokenizer before, the head after.

    forward(clip, return_attention=False):
        clip: (B, T, C, H, W), float in [-1, 1], of exactly the shape in the configuration; else a
            TypeError or ValueError that names the axes.
        return_attention: also return the attention weights, one dict a block, from the first block
            to the last: "joint" (B, heads, N, N), "space" (B, t, heads, s, s), "time"
            (B, s, heads, t, t); in the temporal encoder of Model 2 (B, heads, t, t). N, s and t
            count class tokens, at index 0. `attention_bytes(model, batch)` says what that takes.

    Returns logits (B, num_classes), {head: logits} where num_classes is a dict, features (B, D)
    where it is 0; with return_attention a pair (logits, maps).
    """

    def __init__(self, config: ViViTConfig):
        super().__init__()
        self.config = config
        # names in the order of the logits, or {head: names}; loaders set it, checkpoints keep it
        self.class_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None
        # what it expects of a video, a vivit_lab.video.Preprocessing; set and kept likewise
        self.preprocessing = None
        self.grad_checkpointing = False
        self.pooling = config.pooling  # of the last encoder
        # a last block answers for the class token alone where no other token is read
        self.class_token_only = config.pooling == "cls"
        uniform = config.tokenizer == "uniform_frames"
        self.patch_embed = (UniformFrameEmbedding if uniform else TubeletEmbedding)(config)
        self.pos_drop = nn.Dropout(config.dropout)

    def reset_parameters(self) -> None:
        """Draw all weights as `build_model` does. (torch's Linear alone would draw its own way.)"""
        for module in reversed([*self.modules()][1:]):  # the parts before the whole
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        for name, parameter in self.named_parameters():
            if name.endswith("pos_embed"):
                nn.init.normal_(parameter, std=POSITIONS_STD)
            elif name.endswith("cls_token") or name.startswith("head."):
                nn.init.zeros_(parameter)
            elif name.endswith("gamma"):
                nn.init.constant_(parameter, self.config.layer_scale)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Activation checkpointing (timm's name): less memory in training, one more forward pass.

        Each block then keeps only its input, and is computed again on the way back. Gradients are
        the same to the last bit, dropout included. Source: Chen et al. 2016 (arXiv 1604.06174).
        """
        self.grad_checkpointing = enable

    def for_inference(self, precision: str = "float32") -> InferenceModel:
        """A copy that only answers, as fast as this machine can, and that says what was done.

        precision: "float32" is exact. "fast_float32" lets the processor round inside matrix
        products, where a trial shows that this is faster. "bfloat16" rounds weights and
        activations, which is faster only on a processor with units for it.

        Example:
            >>> config = ViViTConfig(frames=4, image_size=32, dim=48, heads=4, depth=2, mlp_dim=96)
            >>> ready = build_model(config).for_inference()
            >>> ready(torch.zeros(1, 4, 3, 32, 32)).shape
            torch.Size([1, 400])
        """
        return InferenceModel(self, precision)

    def run(self, block: nn.Module, x: Tensor, return_attention: bool, is_last: bool = False):
        """One block, checkpointed if that is on; is_last: no token but the first is read of it."""
        first_only = is_last and self.class_token_only and not return_attention
        how = (return_attention, True) if first_only else (return_attention,)
        if self.grad_checkpointing and torch.is_grad_enabled():
            return checkpoint(block, x, *how, use_reentrant=False)
        return block(x, *how)

    @abstractmethod
    def encode(self, clip: Tensor, return_attention: bool, every_token: bool = False):
        """(B, T, C, H, W) -> features (B, D), or the tokens (B, N, D) behind them; and the maps."""

    def forward(self, clip: Tensor, return_attention: bool = False):
        check_clip(clip, self.config)
        features, maps = self.encode(clip, return_attention)
        logits = self.head(features)
        return (logits, maps) if return_attention else logits

    # ---- features and heads, under timm's names

    def forward_features(self, clip: Tensor) -> Tensor:
        """Tokens (B, N, D) after the last norm, the class token first, then time slowest.

        N: all tokens of a clip; in Model 2 one token a time step.

        Example:
            >>> config = ViViTConfig(frames=4, image_size=32, dim=48, heads=4, depth=2, mlp_dim=96)
            >>> model = build_model(config)
            >>> tokens = model.forward_features(torch.zeros(1, 4, 3, 32, 32))
            >>> tokens.shape, model.forward_head(tokens, pre_logits=True).shape
            (torch.Size([1, 9, 48]), torch.Size([1, 48]))
        """
        check_clip(clip, self.config)
        return self.encode(clip, return_attention=False, every_token=True)[0]

    def forward_head(self, tokens: Tensor, pre_logits: bool = False):
        """What `forward` makes of `forward_features`: logits; with pre_logits features (B, D)."""
        features = pool(tokens, self.pooling)
        return features if pre_logits else self.head(features)

    def get_classifier(self) -> nn.Module:
        """The head: a Linear, Heads by name, or the Identity where there is none."""
        return self.head

    def reset_classifier(self, num_classes: int | Mapping[str, int]) -> None:
        """A new head, which starts at zero; 0: none, so that the model returns features (B, D)."""
        like = next(self.parameters())
        self.config = dataclasses.replace(self.config, num_classes=num_classes)
        self.class_names = None
        self.head = classifier(self.config).to(like.device, like.dtype).train(self.training)


class JointSpaceTime(ViViT):
    """Model 1: every token attends to every other token of the clip (section 3.3.1).

    Example:
        >>> config = ViViTConfig(frames=4, image_size=32, dim=48, heads=4, depth=2, mlp_dim=96)
        >>> JointSpaceTime(config)(torch.zeros(1, 4, 3, 32, 32)).shape
        torch.Size([1, 400])
    """

    def __init__(self, config: ViViTConfig):
        super().__init__(config)
        self.cls_token = class_token(config)
        self.pos_embed = positions(config, config.tokens + (config.pooling == "cls"))
        self.blocks = encoder_blocks(config, config.depth, "space_time")
        self.norm = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)
        self.head = classifier(config)

    def encode(self, clip, return_attention, every_token=False):
        x = rearrange(self.patch_embed(clip), "b t s d -> b (t s) d")
        x = prepend(self.cls_token, x)
        x = self.pos_drop(x + self.pos_embed)  # eq. 1
        maps, last = [], None if every_token else self.blocks[-1]
        for block in self.blocks:
            x, weights = self.run(block, x, return_attention, block is last)
            maps.append({"joint": weights})
        x = self.norm(x)
        return x if every_token else pool(x, self.pooling), maps


class FactorisedEncoder(ViViT):
    """Model 2: a spatial encoder for each time step, then a temporal encoder (section 3.3.2).

    Both encoders have a class token and a final norm of their own. With temporal_depth = 0 the
    temporal encoder is left out and the time steps are averaged: the paper's baseline.

    Example:
        >>> config = ViViTConfig(model="factorised_encoder", frames=4, image_size=32, dim=48,
        ...                      heads=4, depth=2, mlp_dim=96, temporal_depth=1)
        >>> FactorisedEncoder(config)(torch.zeros(1, 4, 3, 32, 32)).shape
        torch.Size([1, 400])
    """

    def __init__(self, config: ViViTConfig):
        super().__init__(config)
        has_cls = config.pooling == "cls"
        self.cls_token = class_token(config)
        self.pos_embed = positions(config, config.spatial_tokens + has_cls)
        self.blocks = encoder_blocks(config, config.depth, "space")
        self.norm = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)
        if config.temporal_depth:
            self.temporal_cls_token = class_token(config)
            self.temporal_pos_embed = positions(config, config.temporal_tokens + has_cls)
            self.temporal_blocks = encoder_blocks(config, config.temporal_depth, "time")
            self.temporal_norm = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)
        else:
            self.pooling = "mean"  # of the time steps
        self.head = classifier(config)

    def encode(self, clip, return_attention, every_token=False):
        x = self.patch_embed(clip)  # (b, t, s, d): t is a batch axis here
        x = prepend(self.cls_token, x)
        x = self.pos_drop(x + self.pos_embed)
        maps = []
        for block in self.blocks:
            x, weights = self.run(block, x, return_attention, block is self.blocks[-1])
            maps.append({"space": weights})
        x = pool(self.norm(x), self.config.pooling)  # (b, t, d): one token a time step
        if self.config.temporal_depth:
            x = prepend(self.temporal_cls_token, x)
            x = self.pos_drop(x + self.temporal_pos_embed)
            last = None if every_token else self.temporal_blocks[-1]
            for block in self.temporal_blocks:
                x, weights = self.run(block, x, return_attention, block is last)
                maps.append({"time": weights})
            x = self.temporal_norm(x)
        return x if every_token else pool(x, self.pooling), maps


class FactorisedSelfAttention(ViViT):
    """Model 3: in every block attention over space, then over time (section 3.3.3).

    Example:
        >>> config = ViViTConfig(model="factorised_self_attention", frames=4, image_size=32,
        ...                      dim=48, heads=4, depth=2, mlp_dim=96)
        >>> FactorisedSelfAttention(config)(torch.zeros(1, 4, 3, 32, 32)).shape
        torch.Size([1, 400])
    """

    def __init__(self, config: ViViTConfig):
        super().__init__(config)
        self.pos_embed = positions(config, config.tokens)
        self.blocks = nn.ModuleList(
            FactorisedSelfAttentionBlock(config, rate)
            for rate in drop_path_rates(config, config.depth)
        )
        self.norm = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)
        self.head = classifier(config)

    def encode(self, clip, return_attention, every_token=False):
        x = self.patch_embed(clip)  # (b, t, s, d)
        x = self.pos_drop(x + rearrange(self.pos_embed, "1 (t s) d -> 1 t s d", t=x.shape[1]))
        maps = []
        for block in self.blocks:
            x, weights = self.run(block, x, return_attention)
            maps.append(weights)
        x = rearrange(self.norm(x), "b t s d -> b (t s) d")
        return x if every_token else pool(x, self.pooling), maps


class FactorisedDotProduct(ViViT):
    """Model 4: in every block half of the heads see time, half see space (section 3.3.4).

    Example:
        >>> config = ViViTConfig(model="factorised_dot_product", frames=4, image_size=32,
        ...                      dim=48, heads=4, depth=2, mlp_dim=96)
        >>> FactorisedDotProduct(config)(torch.zeros(1, 4, 3, 32, 32)).shape
        torch.Size([1, 400])
    """

    def __init__(self, config: ViViTConfig):
        super().__init__(config)
        self.pos_embed = positions(config, config.tokens)
        self.blocks = nn.ModuleList(
            Block(config, rate, FactorisedDotProductAttention)
            for rate in drop_path_rates(config, config.depth)
        )
        self.norm = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)
        self.head = classifier(config)

    encode = FactorisedSelfAttention.encode  # only what a block does inside is another


CLASSES = {
    "joint": JointSpaceTime,
    "factorised_encoder": FactorisedEncoder,
    "factorised_self_attention": FactorisedSelfAttention,
    "factorised_dot_product": FactorisedDotProduct,
}


def build_model(config: ViViTConfig) -> ViViT:
    """The model that `config.model` names, with new weights as the official code draws them.

    The classifier starts at zero (weights and bias), so an untrained model gives logits of
    exactly 0. Draws come from torch's global generator: call torch.manual_seed for the same ones.
    Source: paper section 3.3.

    Example:
        >>> config = ViViTConfig.preset("Ti/16x2", model="factorised_encoder", num_classes=10)
        >>> model = build_model(config)
        >>> sum(p.numel() for p in model.parameters())
        7457098
    """
    if not isinstance(config, ViViTConfig):
        raise TypeError(
            f"build_model takes a ViViTConfig, not {config!r}; for a preset call "
            "build_model(ViViTConfig.preset('B/16x2', model='joint'))."
        )
    return CLASSES[config.model](config)


@takes_plain
def attention_bytes(model: ViViT, batch: int = 1) -> int:
    """Memory that `model(clip, return_attention=True)` keeps for the maps, in bytes, exact.

    ViViT-B/16x2 as Model 1 needs 5.7 GB for one clip of 32 x 224 x 224; Model 4 needs 0.19.

    Example:
        >>> attention_bytes(build_model(ViViTConfig(model="factorised_dot_product")))
        191471616
    """
    weights = sum(kind.depth * kind.weights for kind in model.config.attentions())
    return batch * weights * next(model.parameters()).element_size()


# ---- the small parts that the models are put together from


def class_token(config: ViViTConfig) -> nn.Parameter | None:
    """(1, 1, D), zeros at first; None where the model pools by the mean."""
    return nn.Parameter(torch.zeros(1, 1, config.dim)) if config.pooling == "cls" else None


def positions(config: ViViTConfig, length: int) -> nn.Parameter:
    """A learned table (1, length, D); the class token owns row 0."""
    return nn.Parameter(nn.init.normal_(torch.empty(1, length, config.dim), std=POSITIONS_STD))


def prepend(token: Tensor | None, x: Tensor) -> Tensor:
    """(..., N, D) -> (..., 1 + N, D), or x itself where there is no class token."""
    if token is None:
        return x
    return torch.cat([token.expand(*x.shape[:-2], 1, -1), x], dim=-2)


def pool(x: Tensor, pooling: str) -> Tensor:
    """(..., N, D) -> (..., D): the class token, or the mean of all tokens."""
    return x[..., 0, :] if pooling == "cls" else x.mean(dim=-2)


def encoder_blocks(config: ViViTConfig, depth: int, axis: str) -> nn.ModuleList:
    """`depth` blocks that attend along one axis."""
    blocks = nn.ModuleList(Block(config, rate) for rate in drop_path_rates(config, depth))
    for block in blocks:
        block.attn.axes = (axis,)
    return blocks


def drop_path_rates(config: ViViTConfig, depth: int) -> list[float]:
    """Stochastic depth: 0 at the first block, config.drop_path at the last, linear between."""
    return [config.drop_path * i / max(depth - 1, 1) for i in range(depth)]


class Heads(nn.ModuleDict):
    """One linear head a name: (B, D) -> {name: logits}."""

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        return {name: head(features) for name, head in self.items()}


def classifier(config: ViViTConfig) -> nn.Linear | Heads | nn.Identity:
    """A linear head, or one a name, or none; all start at zero, as in the official code."""
    heads = {name: nn.Linear(config.dim, count) for name, count in config.classes.items()}
    for head in heads.values():
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    if not heads:
        return nn.Identity()
    return heads[""] if "" in heads else Heads(heads)

"""Official (Flax) parameter names and layouts, turned into ours."""

import re
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from vivit_lab.weights.flax_files import FlaxParameters, as_tensor
from vivit_lab.weights.report import WeightsError

# Official names on the left, ours (timm's, where an image ViT has the part) on the right.
TOP = {
    "embedding": "patch_embed.proj",
    "output_projection": "head",  # Scenic
    "head": "head",  # big_vision
    "pre_logits": "pre_logits.fc",  # no model of ours has it
}
TOKENS = {
    "cls": "cls_token",
    "cls_SpatialTransformer": "cls_token",
    "cls_TemporalTransformer": "temporal_cls_token",
}
ENCODERS = {"Transformer": "", "SpatialTransformer": "", "TemporalTransformer": "temporal_"}
BLOCK = {
    "LayerNorm_0": "norm1",
    "LayerNorm_space": "norm1",  # Model 3
    "LayerNorm_time": "norm_time",
    "LayerNorm_1": "norm2",
    "LayerNorm_2": "norm2",  # numbering of the published image ViTs
    "LayerNorm_mlp": "norm2",
    "MultiHeadDotProductAttention_0": "attn",
    "MultiHeadDotProductAttention_1": "attn",  # published image ViTs
    "MultiHeadDotProductAttention_space": "attn",
    "MultiHeadDotProductAttention_time": "attn_time",
    "MlpBlock_0": "mlp",
    "MlpBlock_3": "mlp",  # published image ViTs
    "MlpBlock": "mlp",
}
# inside attention and MLP: our name, and which third of it
INNER = {
    "query": ("qkv", 0),
    "key": ("qkv", 1),
    "value": ("qkv", 2),
    "out": ("proj", 0),
    "Dense_0": ("fc1", 0),
    "Dense_1": ("fc2", 0),
}
QKV = ("query", "key", "value")


def timm_names(flax: Mapping[str, np.ndarray | Tensor]) -> dict[str, Tensor]:
    """Official parameters, 'a/b/c' -> array, under our names and in PyTorch's layouts.

    Takes an image ViT (Scenic, or big_vision in its old and new naming) or any of the four video
    models. Linear kernels are transposed, heads flattened, query, key and value joined, and the
    embedding's channels brought to the front. big_vision's newer models (`pos_embedding` at the
    top) add positions before the class token is there: the table gets a first row of zeros for
    it. dtypes stay.

    Raises:
        WeightsError: a leaf that has no place, fills a place twice, or has the wrong number of
            axes; one of query, key and value is missing. The message names the leaf.

    Source: the official code's parameter trees.

    Example:
        >>> kernel, bias = np.zeros((8, 8, 3, 48)), np.zeros(48)
        >>> named = timm_names({"embedding/kernel": kernel, "embedding/bias": bias})
        >>> {name: tuple(tensor.shape) for name, tensor in named.items()}
        {'patch_embed.proj.weight': (48, 3, 8, 8), 'patch_embed.proj.bias': (48,)}
    """
    leaves = _one_by_one({name: as_tensor(name, leaf) for name, leaf in flax.items()})
    parts: dict[str, dict[int, Tensor]] = {}
    for name, leaf in leaves.items():
        target, part = _target(name)
        thirds = parts.setdefault(target, {})
        if part in thirds:
            raise WeightsError(f"{name!r} would fill {target!r}, which another leaf fills already.")
        thirds[part] = _our_layout(name, leaf)
    named = {target: _join(target, thirds) for target, thirds in parts.items()}
    if "pos_embedding" in leaves and "cls" in leaves:
        table = named["pos_embed"]
        named["pos_embed"] = torch.cat([torch.zeros_like(table[:, :1]), table], dim=1)
    return named


def _one_by_one(leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    """big_vision can keep all blocks in one array, (depth, ...): take them apart."""
    stacked = "Transformer/encoderblock/"
    found = {}
    for name, leaf in leaves.items():
        if not name.startswith(stacked):
            found[name] = leaf
        elif leaf.ndim:
            rest = name.removeprefix(stacked)
            found |= {f"Transformer/encoderblock_{i}/{rest}": x for i, x in enumerate(leaf)}
    return found


def _target(name: str) -> tuple[str, int]:
    """Our name for an official leaf, and which part of it the leaf is."""
    if name in TOKENS:
        return TOKENS[name], 0
    if name == "pos_embedding":
        return "pos_embed", 0
    module, _, leaf = name.rpartition("/")
    ours = {"kernel": "weight", "scale": "weight", "bias": "bias"}.get(leaf)
    if module in TOP and ours:
        return f"{TOP[module]}.{ours}", 0
    encoder, _, inside = module.partition("/")
    if encoder in ENCODERS:
        prefix = ENCODERS[encoder]
        if name == f"{encoder}/posembed_input/pos_embedding":
            return f"{prefix}pos_embed", 0
        if inside == "encoder_norm" and ours:
            return f"{prefix}norm.{ours}", 0
        block = re.fullmatch(r"encoderblock_(0|[1-9]\d{0,3})/(\w+)(?:/(\w+))?", inside)
        if block and ours and block[2] in BLOCK and (block[3] is None or block[3] in INNER):
            inner, part = INNER[block[3]] if block[3] else (None, 0)
            middle = f".{inner}" if inner else ""
            return f"{prefix}blocks.{block[1]}.{BLOCK[block[2]]}{middle}.{ours}", part
    raise WeightsError(f"{name!r} is not a parameter of an official ViT or ViViT.")


def _our_layout(name: str, leaf: Tensor) -> Tensor:
    module, _, kind = name.rpartition("/")
    last = module.rpartition("/")[2]
    if kind == "bias" and last in QKV:
        return _with_axes(name, leaf, 2).flatten()  # (heads, d)
    if kind in ("bias", "scale"):
        return _with_axes(name, leaf, 1)
    if kind != "kernel":
        return _with_axes(name, leaf, 3)  # class tokens and positions: (1, N, D)
    if last in QKV:
        return _with_axes(name, leaf, 3).flatten(1).T.contiguous()  # (D, heads, d) -> (D, D)
    if last == "out":
        return _with_axes(name, leaf, 3).flatten(0, 1).T.contiguous()  # (heads, d, D) -> (D, D)
    if module == "embedding":  # ([t,] h, w, C, D) -> (D, C, [t,] h, w)
        return _with_axes(name, leaf, 4, 5).movedim((-1, -2), (0, 1)).contiguous()
    return _with_axes(name, leaf, 2).T.contiguous()  # (in, out) -> (out, in)


def _with_axes(name: str, leaf: Tensor, *counts: int) -> Tensor:
    if leaf.ndim not in counts:
        wanted = " or ".join(map(str, counts))
        raise WeightsError(f"{name!r} has shape {tuple(leaf.shape)}, but must have {wanted} axes.")
    return leaf


def _join(target: str, thirds: dict[int, Tensor]) -> Tensor:
    if ".qkv." not in target:
        return thirds[0]
    if len(thirds) < 3:
        missing = ", ".join(QKV[i] for i in range(3) if i not in thirds)
        raise WeightsError(f"There is no {missing} for {target!r}.")
    return torch.cat([thirds[i] for i in range(3)])


def number_of_heads(found: FlaxParameters) -> int:
    """Attention heads, from the shape (heads, d, D) of the output kernels.

    Raises:
        WeightsError: the blocks differ, or there are none.

    Example:
        >>> name = "Transformer/encoderblock_0/MultiHeadDotProductAttention_0/out/kernel"
        >>> leaves = {name: torch.zeros(4, 12, 48)}
        >>> number_of_heads(FlaxParameters("vit.npz", leaves, others=0))
        4
    """
    kernels = (leaf for name, leaf in found.leaves.items() if name.endswith("/out/kernel"))
    heads = {leaf.shape[-3] for leaf in kernels if leaf.ndim >= 3}
    if len(heads) != 1:
        counts = ", ".join(map(str, sorted(heads))) or "none"
        raise WeightsError(f"{found.source} should have one number of heads, but has {counts}.")
    return heads.pop()

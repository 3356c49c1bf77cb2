"""Files as flax and big_vision write them, for the tests: our parameters the other way round."""

import re

import msgpack
import numpy as np
import torch
from einops import rearrange

QKV = ("query", "key", "value")
# the parts of a block, by the style of the names
STYLES = {
    "augreg": ("LayerNorm_0", "MultiHeadDotProductAttention_1", "LayerNorm_2", "MlpBlock_3"),
    "big_vision": ("LayerNorm_0", "MultiHeadDotProductAttention_0", "LayerNorm_1", "MlpBlock_0"),
    "model 3": (
        *("LayerNorm_space", "MultiHeadDotProductAttention_space", "LayerNorm_mlp", "MlpBlock"),
        *("LayerNorm_time", "MultiHeadDotProductAttention_time"),
    ),
}
PARTS = ("norm1", "attn", "norm2", "mlp", "norm_time", "attn_time")
LAYOUTS = {
    ("patch_embed.proj", "kernel"): "D C ... h w -> ... h w C D",
    ("qkv", "kernel"): "(n heads d) D -> n D heads d",
    ("qkv", "bias"): "(n heads d) -> n heads d",
    ("proj", "kernel"): "D (heads d) -> heads d D",
}


def official(state, heads, style="big_vision", encoder="Transformer", head="output_projection"):
    """Our names and layouts -> official ones, 'a/b/c' -> array; Models 1-4 and image ViTs."""
    style = "model 3" if any("attn_time" in name for name in state) else style
    inside = dict(zip(PARTS, STYLES[style], strict=False))
    inside |= {"qkv": "qkv", "proj": "out", "fc1": "Dense_0", "fc2": "Dense_1"}
    flax = {}
    for name, tensor in state.items():
        x, root = tensor.detach().numpy(), encoder
        if name.startswith("temporal_"):
            name, root = name.removeprefix("temporal_"), "TemporalTransformer"
        module, _, last = name.rpartition(".")
        if name == "cls_token":
            flax["cls" if root == "Transformer" else f"cls_{root}"] = x
            continue
        if name == "pos_embed":
            flax[f"{root}/posembed_input/pos_embedding"] = x
            continue
        kind = "bias" if last == "bias" else "kernel" if x.ndim > 1 else "scale"
        where = {"patch_embed.proj": "embedding", "norm": f"{root}/encoder_norm", "head": head}
        if module in where:
            path = [where[module]]
        else:
            _, number, *parts = module.split(".")
            path = [root, f"encoderblock_{number}", *(inside[part] for part in parts)]
            module = parts[-1]
        layout = LAYOUTS.get((module, kind))
        if layout:
            axes = {"heads": heads, "n": 3}
            sizes = {axis: size for axis, size in axes.items() if re.search(rf"\b{axis}\b", layout)}
            x = rearrange(x, layout, **sizes)
        elif kind == "kernel":
            x = x.T
        thirds = zip(QKV, x, strict=True) if module == "qkv" else [(path[-1], x)]
        flax |= {"/".join([*path[:-1], last, kind]): part for last, part in thirds}
    return flax


def nested(flat):
    tree = {}
    for name, value in flat.items():
        *path, last = name.split("/")
        branch = tree
        for step in path:
            branch = branch.setdefault(step, {})
        branch[last] = value
    return tree


def packed(tree):
    """bytes as flax.serialization.msgpack_serialize gives them; bfloat16 tensors too."""

    def ext(value):
        if isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16:
            array, dtype = value.contiguous().view(torch.int16).numpy(), "bfloat16"
        else:
            array = np.asarray(value)
            dtype = array.dtype.name
        content = msgpack.packb((array.shape, dtype, array.tobytes()))
        return msgpack.ExtType(3 if isinstance(value, np.generic) else 1, content)

    return msgpack.packb(tree, default=ext, strict_types=True)

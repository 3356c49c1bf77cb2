"""Files as flax and big_vision write them, for the tests: our parameters the other way round."""

import msgpack
import numpy as np
import torch

# per naming style: (attention, second norm, MLP)
IMAGE_STYLES = {
    "augreg": ("MultiHeadDotProductAttention_1", "LayerNorm_2", "MlpBlock_3"),
    "big_vision": ("MultiHeadDotProductAttention_0", "LayerNorm_1", "MlpBlock_0"),
}
QKV = ("query", "key", "value")


def official(state, heads, style="big_vision", encoder="Transformer", head="output_projection"):
    """Our names and layouts -> official ones, 'a/b/c' -> array; Models 1-4 and image ViTs."""
    attention, norm2, mlp = IMAGE_STYLES[style]
    inside = {"norm1": "LayerNorm_0", "attn": attention, "norm2": norm2, "mlp": mlp}
    if any("attn_time" in name for name in state):
        inside = {
            "norm1": "LayerNorm_space",
            "attn": "MultiHeadDotProductAttention_space",
            "norm_time": "LayerNorm_time",
            "attn_time": "MultiHeadDotProductAttention_time",
            "norm2": "LayerNorm_mlp",
            "mlp": "MlpBlock",
        }
    flax = {}
    for name, tensor in state.items():
        x, root = tensor.detach().numpy(), encoder
        if name.startswith("temporal_"):
            name, root = name.removeprefix("temporal_"), "TemporalTransformer"
        if name == "cls_token":
            flax["cls" if root == "Transformer" else f"cls_{root}"] = x
        elif name == "pos_embed":
            flax[f"{root}/posembed_input/pos_embedding"] = x
        elif name.startswith("patch_embed"):
            kernel = x.ndim > 1
            flax[f"embedding/{'kernel' if kernel else 'bias'}"] = (
                np.moveaxis(x, (0, 1), (-1, -2)) if kernel else x
            )
        elif name.startswith("head."):
            flax[f"{head}/{'kernel' if x.ndim > 1 else 'bias'}"] = x.T
        elif name.startswith("norm."):
            flax[f"{root}/encoder_norm/{'scale' if name.endswith('weight') else 'bias'}"] = x
        else:
            _, number, part, *rest = name.split(".")
            put_block(flax, f"{root}/encoderblock_{number}/{inside[part]}", rest, x, heads)
    return flax


def put_block(flax, module, rest, x, heads):
    if len(rest) == 1:
        flax[f"{module}/{'scale' if rest[0] == 'weight' else 'bias'}"] = x
    elif rest[0] == "qkv":
        for third, part in zip(QKV, np.split(x, 3), strict=True):
            if rest[1] == "weight":
                flax[f"{module}/{third}/kernel"] = part.T.reshape(part.shape[1], heads, -1)
            else:
                flax[f"{module}/{third}/bias"] = part.reshape(heads, -1)
    elif rest[0] == "proj":
        kernel = x.T.reshape(heads, -1, x.shape[0]) if rest[1] == "weight" else x
        flax[f"{module}/out/{'kernel' if rest[1] == 'weight' else 'bias'}"] = kernel
    else:
        dense = {"fc1": "Dense_0", "fc2": "Dense_1"}[rest[0]]
        flax[f"{module}/{dense}/{'kernel' if rest[1] == 'weight' else 'bias'}"] = x.T


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
            data = value.contiguous().view(torch.int16).numpy().tobytes()
            content = (tuple(value.shape), "bfloat16", data)
        elif isinstance(value, complex):
            return msgpack.ExtType(2, msgpack.packb((value.real, value.imag)))
        else:
            scalar = isinstance(value, np.generic)
            array = np.asarray(value)
            content = (array.shape, array.dtype.name, array.tobytes("C"))
            return msgpack.ExtType(3 if scalar else 1, msgpack.packb(content))
        return msgpack.ExtType(1, msgpack.packb(content))

    return msgpack.packb(tree, default=ext, strict_types=True)


def chunked(array, pieces=3):
    """An array over 1 GB as flax writes it (here a small one)."""
    flat = np.array_split(array.reshape(-1), pieces)
    return {
        "__msgpack_chunked_array__": True,
        "shape": {str(i): n for i, n in enumerate(array.shape)},
        "chunks": {str(i): chunk for i, chunk in enumerate(flat)},
    }

"""The official weights (Scenic) into our models: their names, the configuration, the loading."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from einops import EinopsError, rearrange
from torch import Tensor

from vivit_lab.models import ViViT, ViViTConfig
from vivit_lab.weights.files import as_tensor, flat, read_tensors, unwrapped
from vivit_lab.weights.report import Loading, LoadReport, WeightsError, listed, refuse_differences

# Where the parameters lie: old Scenic, new Scenic, big_vision, or the parameters alone.
PREFIXES = ("optimizer/target/", "opt/target/", "params/params/", "params/img/", "params/", "")
ANCHOR = "embedding/kernel"  # every Flax ViT and ViViT has it

QKV = ("query", "key", "value")
# Each part of our names (timm's, where an image ViT has it), and of official ones: 'part/part/part'
PARTS = {
    "": "Transformer SpatialTransformer posembed_input",
    "temporal_": "TemporalTransformer",
    "patch_embed.proj.": "embedding",
    "cls_token": "cls cls_SpatialTransformer",
    "temporal_cls_token": "cls_TemporalTransformer",
    "pos_embed": "pos_embedding",
    "norm.": "encoder_norm",
    "norm1.": "LayerNorm_0 LayerNorm_space",  # "space", "time" and "mlp" are Model 3's
    "norm_time.": "LayerNorm_time",
    "norm2.": "LayerNorm_1 LayerNorm_mlp LayerNorm_2",  # the last is the published image ViTs'
    "attn.": "MultiHeadDotProductAttention_0 MultiHeadDotProductAttention_space "
    "MultiHeadDotProductAttention_1",
    "attn_time.": "MultiHeadDotProductAttention_time",
    "qkv.": "query key value",  # three tensors there, one here
    "proj.": "out",
    "mlp.": "MlpBlock_0 MlpBlock MlpBlock_3",
    "fc1.": "Dense_0",
    "fc2.": "Dense_1",
    "pre_logits.fc.": "pre_logits",  # no model of ours has it
    "head.": "output_projection head",  # Scenic, big_vision
    "weight": "kernel scale",
    "bias": "bias",
}
OURS = {official: ours for ours, several in PARTS.items() for official in several.split()}
LAYOUTS = {  # of a kernel, by the last part of its module's name
    "embedding": "... h w C D -> D C ... h w",  # of a video model: (t, h, w, C, D)
    **dict.fromkeys(QKV, "D heads d -> (heads d) D"),
    "out": "heads d D -> D (heads d)",
}
# fields of ViViTConfig that can be seen in the parameters
SEEN = ("tokenizer", "tubelet", "in_channels", "dim", "depth", "temporal_depth", "heads")
SEEN += ("mlp_dim", "pooling")
EPIC_HEADS = ("noun", "verb")  # order of the official EPIC-Kitchens logits: 300 nouns, 97 verbs


def scenic_config(
    source: str | Path | Mapping,
    *,
    model: str | None = None,
    frames: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    attention_order: str | None = None,
    num_classes: int | Mapping[str, int] | None = None,
) -> ViViTConfig:
    """The configuration that fits an official checkpoint, read off the shapes in it.

    Args:
        source: as in `load_scenic`.
        model: needed without a class token: Model 1 with mean pooling is like Model 4 then.
        frames, image_size: of a clip, where the positions do not show them. In Models 1, 3 and 4
            they show a product, so that one of the two is needed; a square is assumed. With
            uniform frame sampling, or without a temporal encoder, the frames leave no trace.
        attention_order: needed for Model 3, which has the same parameters in both orders.
        num_classes: names the heads of one output matrix: {"noun": 300, "verb": 97} for EPIC.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: not an official ViViT; something needed is missing, or does not fit.

    Example:
        >>> block = "Transformer/encoderblock_0/"
        >>> shapes = {"embedding/kernel": (2, 16, 16, 3, 48), "cls": (1, 1, 48),
        ...           "Transformer/posembed_input/pos_embedding": (1, 3137, 48),
        ...           block + "MultiHeadDotProductAttention_0/out/kernel": (4, 12, 48),
        ...           block + "MlpBlock_0/Dense_0/kernel": (48, 96),
        ...           "output_projection/kernel": (48, 400)}
        >>> leaves = {name: torch.zeros(shape) for name, shape in shapes.items()}
        >>> config = scenic_config(leaves, frames=32)
        >>> config.image_size, config.depth, config.heads, config.num_classes
        ((224, 224), 1, 4, 400)
    """
    source, leaves, *_ = official_parameters(source)
    shapes = timm_names({name: leaf.to("meta") for name, leaf in leaves.items()})
    facts = _facts(source, leaves, shapes)
    models = facts["models"]
    model = models[0] if model is None and len(models) == 1 else model
    if model not in models:  # without class token Models 1 and 4 have the same parameters
        options = " or ".join(map(repr, models))
        raise WeightsError(f"{source} holds the parameters of {options}, but model is {model!r}.")
    if model == "factorised_self_attention" and attention_order is None:
        raise WeightsError(
            f"{source} does not show in which order Model 3 attends: give attention_order, "
            "'time_space' (the official default) or 'space_time' (the paper)."
        )
    num_classes = facts["num_classes"] if num_classes is None else num_classes
    frames, image_size, n_t = _clip_size(source, facts, frames, image_size)
    config = ViViTConfig(
        model=model,
        frames=frames,
        image_size=image_size,
        sampled_frames=n_t if facts["tokenizer"] == "uniform_frames" else None,
        attention_order=attention_order or "space_time",
        num_classes=num_classes,
        **{name: facts[name] for name in SEEN},
    )
    _check_same_model(source, facts, config, "Check frames, image_size and num_classes.")
    return config


def load_scenic(model: ViViT, source: str | Path | Mapping) -> LoadReport:
    """The official code's weights into a model of ours: every tensor finds its place, or none.

    Args:
        model: any of the four: `build_model(scenic_config(source, frames=32))` fits. The heads
            {"noun": 300, "verb": 97} get their rows of the one matrix of an EPIC-Kitchens model.
        source: a checkpoint as released (Flax msgpack), an .npz, or a dict of arrays, nested or
            flat: {"Transformer/encoder_norm/scale": array}. Optimiser state is passed over.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: another model, size or class count, a parameter too many or too few, numbers
            that are not finite floats, a damaged file. The model is as it was.

    Source: the official code's parameter trees; the paper's Models 1-4 (section 3.3).

    Example:
        >>> from vivit_lab import build_model
        >>> model = build_model(ViViTConfig(frames=2, image_size=16, dim=6, depth=1, heads=2))
        >>> load_scenic(model, {"embedding": {"kernel": torch.ones(2, 16, 16, 3, 6)}})
        Traceback (most recent call last):
        vivit_lab.weights.report.WeightsError: the given dict holds no ViViT of the official \
code: no 'blocks.0.mlp.fc1.weight'.
    """
    source, leaves, beside, choices = official_parameters(source)
    named = timm_names(leaves)
    facts = _facts(source, leaves, named)
    config = model.config
    advice = "scenic_config finds a model that fits; adapt changes its size or number of classes."
    _check_same_model(source, facts, config, advice)
    dtype = next(model.parameters()).dtype  # in it, what overflows is seen beforehand
    named = {k: x.to(dtype) if x.is_floating_point() else x for k, x in named.items()}
    loading = Loading(model, source, named)
    for name in named:
        if not name.startswith("head."):
            loading.copy(name)
    _place_head(loading, config.num_classes)

    notes = {
        f"Arrays that lie beside the parameters, not read: {beside}.": beside,
        "The official code computes GELU by its tanh approximation, this model exactly: "
        "logits may differ by about 1e-4.": config.gelu != "tanh",
        "Model 1 with mean pooling and Model 4 have the same parameters: check which it is.": (
            len(facts["models"]) > 1
        ),
        f"Attention order is not in the file; this model's is {config.attention_order}.": (
            config.model == "factorised_self_attention"
        ),
    }
    loading.notes += [*choices, *(note for note, holds in notes.items() if holds)]
    return loading.finish()


def _check_same_model(source: str, facts: Mapping, config: ViViTConfig, advice: str) -> None:
    model = config.model if config.model in facts["models"] else " or ".join(facts["models"])
    is_encoder = config.model == "factorised_encoder"
    positions = config.spatial_tokens if is_encoder else config.tokens
    steps = facts["time_steps"] or config.temporal_tokens
    pairs = {name: (facts[name], getattr(config, name)) for name in SEEN}
    pairs = {"model": (model, config.model), **pairs} | {
        "the number of classes": (facts["num_classes"], sum(config.classes.values())),
        "the number of positions": (facts["positions"], positions),
        "the number of time steps": (steps, config.temporal_tokens),
        "layer_scale": (None, config.layer_scale),  # the official code has none
    }
    refuse_differences(source, pairs, advice)


def _place_head(loading: Loading, num_classes: int | Mapping[str, int]) -> None:
    """The output matrix into one head, or its rows into several."""
    if not isinstance(num_classes, Mapping):
        loading.copy("head.weight")
        loading.copy("head.bias")
        return
    heads = EPIC_HEADS if set(num_classes) == set(EPIC_HEADS) else tuple(num_classes)
    for kind in ("weight", "bias"):
        matrix, first = loading.take(f"head.{kind}"), 0
        for head in heads:
            rows = matrix[first : first + num_classes[head]]
            note = f"rows {first} to {first + len(rows) - 1}"
            loading.place(f"head.{head}.{kind}", rows, "copied", f"head.{kind}", matrix.shape, note)
            first += len(rows)
    order = ", ".join(heads)
    loading.notes.append(f"One output matrix was divided among the heads in this order: {order}.")


# ---- what the shapes of a checkpoint tell of its model


def _facts(source: str, leaves: Mapping, named: Mapping[str, Tensor]) -> dict[str, object]:
    """Fields of ViViTConfig that can be seen in the parameters, and what limits the others."""

    def shape(name: str, *axes: int) -> tuple[int, ...]:
        if name not in named or named[name].ndim not in axes:
            raise WeightsError(f"{source} holds no ViViT of the official code: no {name!r}.")
        return tuple(named[name].shape)

    dim, channels, *patch = shape("patch_embed.proj.weight", 4, 5)
    is_encoder = any(name.startswith("SpatialTransformer/") for name in leaves)
    has_cls = "cls_token" in named
    if is_encoder:
        models = ("factorised_encoder",)
    elif any(".attn_time." in name for name in named):
        models = ("factorised_self_attention",)
    else:
        models = ("joint",) if has_cls else ("joint", "factorised_dot_product")
    depth = number_of_blocks(named, "temporal_") if is_encoder else None
    return {
        "models": models,
        "tokenizer": "tubelet" if len(patch) == 3 else "uniform_frames",
        "tubelet": (1, *patch)[-3:],
        "in_channels": channels,
        "dim": dim,
        "depth": number_of_blocks(named),
        "temporal_depth": depth,
        "mlp_dim": shape("blocks.0.mlp.fc1.weight", 2)[0],
        "heads": number_of_heads(source, leaves),
        "pooling": "cls" if has_cls else "mean",
        "num_classes": shape("head.weight", 2)[0],
        "positions": shape("pos_embed", 3)[1] - has_cls,
        "time_steps": shape("temporal_pos_embed", 3)[1] - has_cls if depth else None,
    }


def number_of_blocks(names: Mapping, prefix: str = "") -> int:
    """How many blocks these parameters are of."""
    found = (re.match(rf"{prefix}blocks\.\d+\.", name) for name in names)
    return len({match[0] for match in found if match})


def number_of_heads(source: str, leaves: Mapping[str, Tensor]) -> int:
    """Attention heads, from the shape ([depth,] heads, d, D) of the output kernels."""
    kernels = (leaf for name, leaf in leaves.items() if name.endswith("/out/kernel"))
    heads = {leaf.shape[-3] for leaf in kernels if leaf.ndim >= 3}
    if len(heads) != 1:
        counts = ", ".join(map(str, sorted(heads))) or "none"
        raise WeightsError(f"{source} should have one number of heads, but has {counts}.")
    return heads.pop()


def _clip_size(source: str, facts, frames, image_size) -> tuple[int, tuple[int, int], int]:
    """(frames, (height, width), time steps), from what was given and the tables of positions."""
    t, h, w = facts["tubelet"]
    uniform = facts["tokenizer"] == "uniform_frames"
    is_encoder = facts["temporal_depth"] is not None
    positions, n_t = facts["positions"], facts["time_steps"]
    if n_t is None and frames is not None and not uniform:
        n_t = frames // t
    n_hw = positions if is_encoder else None
    if image_size is not None:
        height, width = image_size if isinstance(image_size, (tuple, list)) else (image_size,) * 2
        image_size, n_hw = (height, width), (height // h) * (width // w)
    if not is_encoder:  # one table for n_t x n_hw tokens: the one shows the other
        n_t = n_t or (n_hw and positions // n_hw)
        n_hw = n_hw or (n_t and positions // n_t)
    if frames is None and not uniform and n_t:
        frames = n_t * t
    if not (n_t and n_hw and frames):
        wanted, hint = "frames" if is_encoder else "frames and image_size", ""
        if not is_encoder and not uniform:
            wanted = "frames or image_size"
            sides = [n for n in range(math.isqrt(positions), 0, -1) if positions % (n * n) == 0]
            pairs = [f"frames={positions // n**2 * t} with image_size={n * h}" for n in sides]
            hint = f" Square ones that fit: {', '.join(pairs)}." if h == w else ""
        raise WeightsError(
            f"{source} has {positions} positions, which do not show the size of a clip: give "
            f"{wanted}, or write its ViViTConfig by hand.{hint}"
        )
    side = math.isqrt(n_hw)
    return frames, image_size or (side * h, side * w), n_t


# ---- official names and layouts, turned into ours


def official_parameters(
    source: str | Path | Mapping,
) -> tuple[str, dict[str, Tensor], int, tuple[str, ...]]:
    """(name for reports, {'a/b/c': tensor}, how many lie beside, notes) of a file or a dict."""
    if isinstance(source, Mapping):
        name, (found, notes) = "the given dict", unwrapped(flat(source))
    else:
        name, (found, notes) = Path(source).name, read_tensors(source)
    for prefix in PREFIXES:
        if prefix + ANCHOR in found:
            wanted = [leaf for leaf in found if leaf.startswith(prefix)]
            leaves = {leaf.removeprefix(prefix): as_tensor(leaf, found[leaf]) for leaf in wanted}
            return name, leaves, len(found) - len(leaves), notes
    raise WeightsError(
        f"{name} holds no ViT or ViViT of the official code: there is no {ANCHOR!r} (it may lie "
        f"in {', '.join(p for p in PREFIXES if p)}). It holds {listed(sorted(found)) or 'nothing'}."
    )


def timm_names(flax: Mapping[str, object]) -> dict[str, Tensor]:
    """Official parameters, 'a/b/c' -> array, of a video model or an image ViT, under our names.

    A name that is not official comes out as no name of ours, which whoever loads it refuses.
    """
    leaves = {}
    for name, leaf in flax.items():
        tensor = as_tensor(name, leaf)
        if name.startswith("Transformer/encoderblock/") and tensor.ndim:
            for i, x in enumerate(tensor):  # big_vision can keep all blocks in one array
                leaves[name.replace("block/", f"block_{i}/", 1)] = x
        else:
            leaves[name] = tensor
    thirds: dict[str, dict[str, Tensor]] = {}  # {our name: {the last part of its module: tensor}}
    for name, leaf in leaves.items():
        ours, module = _our_name(name), name.split("/")[-2:][0]
        parts = thirds.setdefault(ours, {})
        if parts and (".qkv." not in ours or module in parts):
            raise WeightsError(f"{name!r} would fill {ours!r}, which another leaf fills already.")
        parts[module] = _our_layout(name, leaf)
    named = {}
    for ours, parts in thirds.items():
        missing = [part for part in QKV if ".qkv." in ours and part not in parts]
        if missing:
            raise WeightsError(f"There is no {', '.join(missing)} for {ours!r}.")
        named[ours] = torch.cat([parts[part] for part in QKV if part in parts] or [*parts.values()])
    if "pos_embedding" in leaves and "cls" in leaves:
        table = named["pos_embed"]  # added before the class token is there: a row of zeros for it
        named["pos_embed"] = torch.cat([torch.zeros_like(table[:, :1]), table], dim=1)
    return named


def _our_name(name: str) -> str:
    """Our name for an official one; the same if a part of it is not official."""
    parts = re.sub(r"encoderblock_(\d+)", r"blocks.\1.", name).split("/")
    ours = [part if part.startswith("blocks.") else OURS.get(part) for part in parts]
    return name if None in ours else "".join(ours)


def _our_layout(name: str, leaf: Tensor) -> Tensor:
    module, _, kind = name.rpartition("/")
    last = module.rpartition("/")[2]
    layout = "one N D -> one N D"  # class tokens and positions
    if kind == "kernel":
        layout = LAYOUTS.get(last, "inputs outputs -> outputs inputs")
    elif kind in ("bias", "scale"):
        layout = "heads d -> (heads d)" if last in QKV else "D -> D"
    try:
        return rearrange(leaf, layout).contiguous()
    except EinopsError:
        axes = layout.partition(" ->")[0]
        shape = tuple(leaf.shape)
        raise WeightsError(f"{name!r} has shape {shape}, but must have the axes {axes}.") from None

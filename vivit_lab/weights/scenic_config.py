"""What an official checkpoint shows of its model, and the configuration that fits it."""

import math
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from vivit_lab.models import ViViTConfig
from vivit_lab.weights.flax_files import FlaxParameters, read_flax
from vivit_lab.weights.flax_names import number_of_heads, timm_names
from vivit_lab.weights.image_vit import number_of_blocks
from vivit_lab.weights.report import WeightsError


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

    Two lines open one: `model = build_model(scenic_config(file, frames=32))`, then
    `load_scenic(model, file)`.

    Args:
        source: as in `load_scenic`.
        model: needed where there is no class token, as Model 1 with mean pooling and Model 4
            have the same parameters.
        frames: T of a clip. Needed for Models 1, 3, 4 unless image_size is given, as a table of
            positions shows only the product of their grid; and wherever the frame count leaves
            no trace (uniform frame sampling, no temporal encoder).
        image_size: pixels; a square one is assumed where frames tell the rest. Needed for
            uniform frame sampling in Models 1, 3, 4.
        attention_order: needed for Model 3, which has the same parameters in both orders.
        num_classes: names the heads of one output matrix: {"noun": 300, "verb": 97} for EPIC.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: not an official ViViT; something needed is missing; or something given is
            not what the file holds.

    Example:
        >>> import torch
        >>> leaves = {"embedding/kernel": torch.zeros(2, 16, 16, 3, 48),
        ...           "embedding/bias": torch.zeros(48), "cls": torch.zeros(1, 1, 48),
        ...           "Transformer/posembed_input/pos_embedding": torch.zeros(1, 3137, 48)}
        >>> for i in range(2):
        ...     block = f"Transformer/encoderblock_{i}/"
        ...     leaves[block + "MultiHeadDotProductAttention_0/out/kernel"] = torch.zeros(4, 12, 48)
        ...     leaves[block + "MlpBlock_0/Dense_0/kernel"] = torch.zeros(48, 96)
        >>> leaves["output_projection/kernel"] = torch.zeros(48, 400)
        >>> config = scenic_config(leaves, frames=32)
        >>> config.image_size, config.depth, config.heads, config.num_classes
        ((224, 224), 2, 4, 400)
    """
    found = read_flax(source)
    shapes = timm_names({name: leaf.to("meta") for name, leaf in found.leaves.items()})
    facts = facts_of(found, shapes)
    name = _choose_model(found.source, facts, model)
    if name == "factorised_self_attention" and attention_order is None:
        raise WeightsError(
            f"{found.source} is Model 3, whose parameters do not show in which order it attends: "
            "give attention_order, 'time_space' (the official default) or 'space_time' (the paper)."
        )
    frames, image_size, n_t = _clip_size(found.source, facts, frames, image_size)
    if num_classes is not None and total(num_classes) != facts["num_classes"]:
        raise WeightsError(
            f"num_classes is {num_classes}, {total(num_classes)} in all, but {found.source} has "
            f"{facts['num_classes']} classes."
        )
    uniform = facts["tokenizer"] == "uniform_frames"
    fields = ("tokenizer", "tubelet", "in_channels", "dim", "depth", "heads", "mlp_dim")
    return ViViTConfig(
        model=name,
        frames=frames,
        image_size=image_size,
        sampled_frames=n_t if uniform else None,
        temporal_depth=facts["temporal_depth"],
        attention_order=attention_order or "space_time",
        num_classes=facts["num_classes"] if num_classes is None else num_classes,
        pooling=facts["pooling"],
        **{field: facts[field] for field in fields},
    )


def total(num_classes: int | Mapping[str, int]) -> int:
    """Classes of all heads together.

    Example:
        >>> total({"noun": 300, "verb": 97})
        397
    """
    return sum(num_classes.values()) if isinstance(num_classes, Mapping) else num_classes


def facts_of(found: FlaxParameters, named: Mapping[str, Tensor]) -> dict[str, object]:
    """Fields of ViViTConfig that can be seen in the parameters, and what limits the others."""

    def shape(name: str, axes: int) -> tuple[int, ...]:
        if name not in named or named[name].ndim != axes:
            raise WeightsError(f"{found.source} holds no ViViT of the official code: no {name!r}.")
        return tuple(named[name].shape)

    if any(name.startswith("pre_logits") for name in named):
        raise WeightsError(
            f"{found.source} has a pre_logits layer (representation_size), which none of the "
            "paper's models and none of ours has."
        )
    kernel = shape("patch_embed.proj.weight", named["patch_embed.proj.weight"].ndim)
    is_encoder = any(name.startswith("SpatialTransformer/") for name in found.leaves)
    has_cls = "cls_token" in named
    if is_encoder:
        models = ("factorised_encoder",)
    elif any(".attn_time." in name for name in named):
        models = ("factorised_self_attention",)
    else:
        models = ("joint",) if has_cls else ("joint", "factorised_dot_product")
    temporal_depth = number_of_blocks(named, "temporal_") if is_encoder else None
    table = shape("temporal_pos_embed", 3)[1] - has_cls if temporal_depth else None
    return {
        "models": models,
        "tokenizer": "tubelet" if len(kernel) == 5 else "uniform_frames",
        "tubelet": kernel[2:] if len(kernel) == 5 else (1, *kernel[2:]),
        "in_channels": kernel[1],
        "dim": kernel[0],
        "depth": number_of_blocks(named),
        "temporal_depth": temporal_depth,
        "heads": number_of_heads(found),
        "mlp_dim": shape("blocks.0.mlp.fc1.weight", 2)[0],
        "pooling": "cls" if has_cls else "mean",
        "num_classes": shape("head.weight", 2)[0],
        "positions": shape("pos_embed", 3)[1] - has_cls,
        "temporal_positions": table,
    }


def _choose_model(source: str, facts: Mapping, model: str | None) -> str:
    models = facts["models"]
    options = " or ".join(map(repr, models))
    if model is None and len(models) > 1:
        raise WeightsError(
            f"{source} has no class token: Model 1 with mean pooling and Model 4 have the same "
            f"parameters then, so give model, {options}."
        )
    if model is not None and model not in models:
        raise WeightsError(f"model is {model!r}, but {source} holds {options}.")
    return model or models[0]


def _clip_size(
    source: str, facts: Mapping, frames: int | None, image_size: int | tuple[int, int] | None
) -> tuple[int, tuple[int, int], int]:
    """(frames, (height, width), time steps), from what was given and the tables of positions."""
    t, h, w = facts["tubelet"]
    uniform = facts["tokenizer"] == "uniform_frames"
    positions, n_t = facts["positions"], facts["temporal_positions"]
    is_encoder = facts["temporal_depth"] is not None
    n_hw = positions if is_encoder else None
    if image_size is not None:
        image_size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        n_hw = (image_size[0] // h) * (image_size[1] // w)
    if n_t is None and frames is not None and not uniform:
        n_t = frames // t
    if not is_encoder:
        if n_hw is None and n_t is None:
            raise WeightsError(
                f"{source} has {positions} positions, which is only the product of its grid: give "
                + ("image_size and frames." if uniform else f"frames or image_size.{_sizes(facts)}")
            )
        n_t = n_t or positions // max(n_hw, 1)
        n_hw = n_hw or positions // max(n_t, 1)
    if frames is None and (uniform or n_t is None):
        raise WeightsError(f"{source} does not show how many frames a clip has: give frames.")
    if n_t is None:
        raise WeightsError(
            f"{source} does not show how many frames are sampled: write its ViViTConfig by hand."
        )
    frames = n_t * t if frames is None else frames
    if image_size is None:
        side = math.isqrt(n_hw)
        image_size = (side * h, side * w)
    _check_grid(source, facts, frames, image_size, n_t)
    return frames, image_size, n_t


def _check_grid(source: str, facts: Mapping, frames: int, image_size: tuple, n_t: int) -> None:
    t, h, w = facts["tubelet"]
    n_hw = (image_size[0] // h) * (image_size[1] // w)
    steps = n_t if facts["tokenizer"] == "uniform_frames" else frames // t
    is_encoder = facts["temporal_depth"] is not None
    fits = (n_hw if is_encoder else steps * n_hw) == facts["positions"]
    if not fits or facts["temporal_positions"] not in (None, steps):
        tables = f"{facts['positions']} positions"
        if facts["temporal_positions"] is not None:
            tables += f" in a frame and {facts['temporal_positions']} in time"
        raise WeightsError(
            f"frames {frames} and image_size {image_size} make {steps} x {n_hw} tokens, but "
            f"{source} has {tables}."
        )


def _sizes(facts: Mapping) -> str:
    """The square sizes that have so many positions, as a hint."""
    t, h, w = facts["tubelet"]
    positions = facts["positions"]
    sides = [n for n in range(1, math.isqrt(positions) + 1) if positions % (n * n) == 0]
    shown = [f"frames={positions // (n * n) * t} with image_size={n * h}" for n in sides if h == w]
    return f" Square ones that fit: {', '.join(reversed(shown))}." if shown else ""

"""Whether an image ViT fits a ViViT, and whether the ViViT will start exactly as the image ViT."""

import math
from collections.abc import Mapping

from torch import Tensor

from vivit_lab.models import ViViTConfig
from vivit_lab.weights.image_vit import ImageViT
from vivit_lab.weights.report import WeightsError


def as_image_vit(
    source: ImageViT | Mapping[str, Tensor],
    config: ViViTConfig,
    heads: int | None,
    grid: tuple[int, int] | None,
) -> ImageViT:
    """The source of `inflate` as an ImageViT; a state dict needs `heads`, and perhaps `grid`.

    Raises:
        WeightsError: what cannot be seen from the shapes was not given.
        TypeError, ValueError: not a source, or heads and grid given beside an ImageViT.

    Example:
        >>> as_image_vit({}, ViViTConfig(), heads=None, grid=None)
        Traceback (most recent call last):
        vivit_lab.weights.report.WeightsError: How many heads a state dict is for cannot be seen \
from its shapes. Give heads = ...; the model has 12.
    """
    if isinstance(source, ImageViT):
        if heads is not None or grid is not None:
            raise ValueError(
                f"heads and grid describe a state dict, but {source.name} is an ImageViT and knows "
                f"its own: {source.heads} heads, a grid of {by(source.grid)}. Leave them out."
            )
        return source
    if not isinstance(source, Mapping):
        raise TypeError(
            f"source is of type {type(source).__name__}, but must be an ImageViT (from load_timm) "
            "or a state dict under timm's names; of a module pass module.state_dict()."
        )
    if heads is None:
        raise WeightsError(
            "How many heads a state dict is for cannot be seen from its shapes. Give heads = ...; "
            f"the model has {config.heads}."
        )
    note = "Of a state dict the GELU cannot be seen: it is taken to be exact, as in timm's ViTs."
    image = ImageViT("the state dict", source, heads, grid, notes=(note,))
    own = config.grid[1:]
    if grid is None and own != image.grid and math.prod(own) == math.prod(image.grid):
        raise WeightsError(
            f"The {math.prod(own)} patches of the state dict may lie {by(image.grid)}, or "
            f"{by(own)} as in the model. Give grid = (rows, columns)."
        )
    return image


def check_fit(config: ViViTConfig, source: ImageViT) -> None:
    """Raise WeightsError, saying both values, wherever model and source are not alike.

    Example:
        >>> from vivit_lab.weights import load_timm
        >>> source = load_timm("test_vit", pretrained=False)
        >>> check_fit(source.config(frames=8), source)
    """
    pairs = {
        "dim": (config.dim, source.dim),
        "depth": (config.depth, source.depth),
        "heads": (config.heads, source.heads),
        "mlp_dim": (config.mlp_dim, source.mlp_dim),
        "patch (h, w)": (config.tubelet[1:], source.patch),
        "in_channels": (config.in_channels, source.in_channels),
        "LayerScale": (config.layer_scale is not None, source.has_layer_scale),
    }
    wrong = [
        f"{name} is {_shown(ours)} in the model, {_shown(theirs)} in the source"
        for name, (ours, theirs) in pairs.items()
        if ours != theirs
    ]
    if wrong:
        raise WeightsError(
            f"{source.name} does not fit the model: {'; '.join(wrong)}. source.config(model=..., "
            "frames=..., num_classes=...) is a configuration that fits."
        )


def gelu_note(config: ViViTConfig, source: ImageViT) -> str:
    """What the reader must know if model and source compute GELU in different ways, else "".

    Example:
        >>> from vivit_lab.weights import load_timm
        >>> source = load_timm("test_vit", pretrained=False)
        >>> gelu_note(source.config(frames=8), source)
        ''
    """
    if config.gelu == source.gelu:
        return ""
    return (
        f"GELU: the model computes the {config.gelu} one, the source was trained with the "
        f'{source.gelu} one. A model built with gelu="{source.gelu}", as source.config(...) has '
        "it, has no such difference."
    )


def start_note(
    config: ViViTConfig,
    source: ImageViT,
    tubelet: str,
    positions: str,
    position_grid: tuple[int, int] | None,
    temporal_attention: str | None,
    cls_copied: bool,
) -> str:
    """Whether all frames alike give the image ViT's features, and if not, the first reason.

    Args:
        tubelet, positions, position_grid, temporal_attention: as `inflate` has them.
        cls_copied: whether the model's class token is now the source's.

    Example:
        >>> from vivit_lab.weights import load_timm
        >>> source = load_timm("test_vit", pretrained=False)
        >>> config = source.config(frames=8, model="factorised_encoder", temporal_depth=0)
        >>> start_note(config, source, "central_frame", "bilinear", None, None, cls_copied=True)
        "Start: on a clip of equal frames the features are exactly the image ViT's."
    """
    same_pooling = cls_copied or (config.pooling == "mean" and not source.has_cls)
    one_step = config.temporal_tokens == 1
    reasons = {
        "its GELU is another": config.gelu != source.gelu,
        "its embedding is random": tubelet == "random",
        "its kernel sums to zero over time": (
            tubelet == "rank_pooling" and config.tokenizer == "tubelet"
        ),
        "its positions are new": positions == "new",
        "its positions were resized": source.grid != config.grid[1:],
        "its positions do not line up": position_grid not in (None, config.grid[1:]),
        "half of its heads attend over time": config.model == "factorised_dot_product",
        "its class token is new": config.pooling == "cls" and not cls_copied,
        "it pools by the mean, without the source's class token": not same_pooling,
        "its class token meets every patch once for each time step": (
            config.model == "joint" and config.pooling == "cls" and not one_step
        ),
        "its attention over time already acts": (
            config.model == "factorised_self_attention"
            and (temporal_attention or "identity") != "identity"
        ),
    }
    reason = next((reason for reason, holds in reasons.items() if holds), None)
    if reason:
        return f"Start: not exactly the image ViT's features, for {reason}."
    if config.model == "factorised_encoder" and config.temporal_depth:
        return (
            "Start: on a clip of equal frames each frame embedding is exactly the image ViT's "
            "features; the temporal encoder after it is new."
        )
    return "Start: on a clip of equal frames the features are exactly the image ViT's."


def _shown(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def by(grid: tuple[int, int]) -> str:
    """A grid in words.

    Example:
        >>> by((14, 14))
        '14 x 14'
    """
    return " x ".join(map(str, grid))

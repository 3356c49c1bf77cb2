"""Inflation: the weights of an image ViT as the start of a ViViT (paper section 3.4)."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from vivit_lab.errors import one_of, whole
from vivit_lab.models import ViViT, ViViTConfig
from vivit_lab.weights.adapt import METHODS, repeat_positions, resize_positions
from vivit_lab.weights.files import unwrapped
from vivit_lab.weights.image_vit import ImageViT, unused_because
from vivit_lab.weights.report import Loading, LoadReport, WeightsError, by, refuse_differences

KERNELS = ("central_frame", "filter_inflation", "rank_pooling")
TEMPORAL_ATTENTION = ("identity", "space", "new")


def inflate_kernel(kernel: Tensor, t: int, how: str = "central_frame") -> Tensor:
    """A tubelet kernel from an image kernel: (D, C, h, w) -> (D, C, t, h, w).

    Args:
        kernel: of the image ViT's patch embedding.
        t: frames of a tubelet, at least 1.
        how: "central_frame", zeros but for time index t // 2 (eq. 9; of two frames the second);
            "filter_inflation", the image kernel divided by t at every index (eq. 8). With both, t
            equal frames become the image ViT's token. Or "rank_pooling", of the official code
            alone: weights that rise with time and sum to zero, so that the token shows change.

    Source: paper section 3.4; rank pooling is of Bilen et al., "Dynamic Image Networks", 2016.

    Example:
        >>> kernel = torch.ones(1, 1, 1, 1)
        >>> inflate_kernel(kernel, 4).flatten().tolist()
        [0.0, 0.0, 1.0, 0.0]
        >>> inflate_kernel(kernel, 4, "filter_inflation").flatten().tolist()
        [0.25, 0.25, 0.25, 0.25]
    """
    one_of("how", how, KERNELS)
    whole("t", t)
    if kernel.ndim != 4:
        raise ValueError(f"kernel has shape {tuple(kernel.shape)}, but must be (D, C, h, w).")
    if how == "filter_inflation":
        return torch.stack([kernel / t] * t, dim=2)  # eq. 8
    if how == "rank_pooling":
        harmonic = [sum(1 / k for k in range(1, i + 1)) for i in range(t + 1)]
        weights = [2 * (t - i) - (t + 1) * (harmonic[t] - harmonic[i]) for i in range(t)]
        return torch.stack([kernel * weight / t for weight in weights], dim=2)
    inflated = torch.zeros_like(kernel).unsqueeze(2).repeat(1, 1, t, 1, 1)
    inflated[:, :, t // 2] = kernel  # eq. 9
    return inflated


def inflate(
    model: ViViT,
    source: ImageViT | Mapping[str, Tensor],
    *,
    tubelet: str = "central_frame",
    positions: str = "bilinear",
    position_grid: tuple[int, int] | None = None,
    temporal_attention: str | None = None,
    cls_token: str | None = None,
    heads: int | None = None,
    grid: tuple[int, int] | None = None,
) -> LoadReport:
    """Start a ViViT from an image ViT: every block copied, the rest made to fit.

    Args:
        model: any of the four, with the source's width, depth, heads, MLP and patch, as
            `source.config(model=..., frames=...)` has them. Its image size may differ.
        source: from `load_timm` for example; or a state dict under timm's names, and then `heads`
            must be given, and `grid` unless the patches are a square.
        tubelet: "central_frame", "filter_inflation" or "rank_pooling" as in `inflate_kernel`; or
            "random", which keeps the model's own embedding. With uniform frame sampling the image
            kernel is taken as it is, unless "random".
        positions: where the grids differ: "bilinear" (the official code's way), "bicubic" (timm's)
            or "bicubic_plain" as in `resize_positions`; or "new", which keeps the model's own.
        position_grid: (rows, columns) that the image table is resized to, before it is repeated
            until it fills the model's table; the model's own by default, which alone lines up.
        temporal_attention: of Model 3. "identity" (default) zeroes the output projection alone: the
            block starts as the image ViT's, and learns from the first step on (with q, k and v
            zeroed too it never would). "space" copies the spatial attention, as the official code
            does. "new" keeps the model's own.
        cls_token: "copied" (by default, where both have one) or "new", as in the official Model 2.
        heads, grid: of a source that is a state dict.

    Returns:
        A report, which also says whether the model now starts exactly as the image ViT. Model 2's
        temporal encoder and the head stay as they are.

    Raises:
        WeightsError: the source is no plain ViT, or does not fit the model; nothing has changed.
        ValueError, TypeError: an unknown option, or one that means nothing here.

    Source: paper section 3.4; the official code.

    Example:
        >>> from vivit_lab import build_model
        >>> from vivit_lab.weights import load_timm
        >>> source = load_timm("vit_tiny_patch16_224", pretrained=False)
        >>> model = build_model(source.config(model="factorised_encoder", frames=8, num_classes=5))
        >>> inflate(model, source).counts
        {'copied': 149, 'inflated': 1, 'new': 54, 'unused': 2}
    """
    if not isinstance(model, ViViT):
        raise TypeError(f"model is a {type(model).__name__}, but must be a ViViT from build_model.")
    config = model.config
    _check_options(config, tubelet, positions, position_grid, temporal_attention, cls_token)
    source = _as_image_vit(source, config, heads, grid)
    _check_fit(config, source, cls_token)
    tensors = dict(source.state)
    if source.has_cls and config.pooling != "cls":  # so that the report can say what becomes of it
        tensors["pos_embed[:, :1]"] = tensors["pos_embed"][:, :1]
        tensors["pos_embed"] = tensors["pos_embed"][:, 1:]
    loading = Loading(model, source.name, tensors)

    _place_embedding(loading, tubelet)
    _place_cls(loading, config, source, cls_token)
    _place_positions(loading, config, source, positions, position_grid)
    for name in loading.parameters:
        if name.startswith("temporal_"):
            loading.keep(name, "temporal encoder")
        elif name.startswith("head."):
            loading.keep(name, "classifier")
        elif "_time." in name:
            _place_temporal(loading, name, temporal_attention or "identity")
        elif name.startswith(("blocks.", "norm.")):
            loading.copy(name)
    for name in filter(unused_because, list(loading.left)):
        loading.leave(name, unused_because(name))

    loading.notes += source.notes
    if config.gelu != source.gelu:
        loading.notes.append(
            f"GELU: the model computes the {config.gelu} one, the source was trained with the "
            f'{source.gelu} one. A model built with gelu="{source.gelu}", as source.config(...) '
            "has it, does not differ."
        )
    options = tubelet, positions, position_grid, temporal_attention, cls_token
    loading.notes.append(_start_note(config, source, *options))
    return loading.finish()


# ---- the parts of the model, one by one


def _place_embedding(loading: Loading, tubelet: str) -> None:
    name, bias = "patch_embed.proj.weight", "patch_embed.proj.bias"
    if tubelet == "random":
        for part, note in ((name, "random"), (bias, "")):
            loading.keep(part, note)
            loading.leave(part, 'tubelet = "random"')
        return
    shape = loading.parameters[name].shape
    if len(shape) == 4:
        loading.copy(name)
    else:
        kernel, t = loading.take(name), shape[2]
        how = {
            "central_frame": f"central frame: index {t // 2} of {t}, zeros elsewhere (eq. 9)",
            "filter_inflation": f"filter inflation: 1/{t} at each of {t} indices (eq. 8)",
            "rank_pooling": f"rank pooling: {t} weights that sum to 0 (not in the paper)",
        }
        value = inflate_kernel(kernel, t, tubelet)
        loading.place(name, value, "inflated", name, kernel.shape, how[tubelet])
    loading.copy(bias)


def _place_cls(loading: Loading, config: ViViTConfig, source: ImageViT, how: str | None) -> None:
    if config.pooling == "cls" and not source.has_cls:
        loading.keep("cls_token", "the source has none")
    elif config.pooling == "cls" and how == "new":
        loading.keep("cls_token")
        loading.leave("cls_token", 'cls_token = "new"')
    elif config.pooling == "cls":
        loading.copy("cls_token")
    elif source.has_cls:
        loading.leave("cls_token", "the model pools by the mean")
        loading.leave("pos_embed[:, :1]", "the class token's position")


def _place_positions(loading: Loading, config, source, method, position_grid) -> None:
    target = loading.parameters["pos_embed"]
    if method == "new":
        loading.keep("pos_embed", 'positions = "new"')
        loading.leave("pos_embed", 'positions = "new"')
        return
    table = loading.take("pos_embed")
    shape = tuple(table.shape)
    has_row = config.pooling == "cls"
    action, note = "copied", []
    if has_row and not source.has_cls:
        table = torch.cat([target[:, :1].detach().to(table), table], dim=1)
        note.append("row 0 new: the source has no class token")
    rows, own = target.shape[1] - has_row, config.grid[1:]
    new_grid = own if position_grid is None else tuple(position_grid)
    if rows % math.prod(new_grid):
        table = f"the {rows} rows of the model's table; its own grid is {by(own)}"
        raise ValueError(f"position_grid is {by(new_grid)}, but its product must divide {table}.")
    if new_grid != source.grid:
        table = resize_positions(table, source.grid, new_grid, cls=has_row, method=method)
        action = "resized"
        note.insert(0, f"{by(source.grid)} to {by(new_grid)}, {method}")
    times = rows // math.prod(new_grid)
    if times > 1:
        table = repeat_positions(table, times, cls=has_row)
        action = "repeated" if action == "copied" else action
        note.append(f"the same for all {times} time steps")
    loading.place("pos_embed", table, action, "pos_embed", shape, "; ".join(note))


def _place_temporal(loading: Loading, name: str, how: str) -> None:
    """Model 3's attention over time, from the attention over space beside it."""
    spatial = name.replace(".attn_time.", ".attn.").replace(".ls_time.", ".ls1.")
    if ".norm_time." in name or how == "new" or (how == "identity" and ".qkv." in name):
        loading.keep(name)
    elif how == "identity" and ".proj." in name:
        zeros = torch.zeros_like(loading.parameters[name])
        loading.place(name, zeros, "new", "", note="set to 0, so that the block starts without it")
    else:
        loading.place(name, loading.tensors[spatial], "copied", spatial)


def _start_note(
    config, source, tubelet, positions, position_grid, temporal_attention, cls_token
) -> str:
    """Whether all frames alike give the image ViT's features, and if not, the first reason."""
    is_tubelet, has_cls = config.tokenizer == "tubelet", config.pooling == "cls"
    is_new = has_cls and (cls_token == "new" or not source.has_cls)
    reasons = {
        "its GELU is another": config.gelu != source.gelu,
        "its embedding is random": tubelet == "random",
        "its kernel sums to zero over time": tubelet == "rank_pooling" and is_tubelet,
        "its positions are new": positions == "new",
        "its positions were resized": source.grid != config.grid[1:],
        "its positions do not match those of the source": position_grid
        not in (None, config.grid[1:]),
        "half of its heads attend over time": config.model == "factorised_dot_product",
        "its class token is new": is_new,
        "it pools by the mean, without the source's class token": (source.has_cls and not has_cls),
        "each patch is there once for each time step, but its class token only once": (
            config.model == "joint" and has_cls and config.temporal_tokens > 1
        ),
        "its attention over time is not zero": temporal_attention in ("space", "new"),
    }
    reason = next((reason for reason, holds in reasons.items() if holds), None)
    if reason:
        return f"Start: not exactly the image ViT's features, because {reason}."
    if config.model == "factorised_encoder" and config.temporal_depth:
        return (
            "Start: on a clip of equal frames each frame embedding is exactly the image ViT's "
            "features; the temporal encoder after it is new."
        )
    return "Start: on a clip of equal frames the features are exactly the image ViT's."


# ---- checks


def _check_options(
    config, tubelet, positions, position_grid, temporal_attention, cls_token
) -> None:
    one_of("tubelet", tubelet, (*KERNELS, "random"))
    one_of("positions", positions, (*METHODS, "new"))
    one_of("temporal_attention", temporal_attention, (None, *TEMPORAL_ATTENTION))
    one_of("cls_token", cls_token, (None, "copied", "new"))
    over_time = config.model == "factorised_self_attention"
    for name, value, means_nothing in (
        ("position_grid", position_grid, positions == "new" and "positions = 'new'"),
        ("temporal_attention", temporal_attention, not over_time and f"model = {config.model!r}"),
        ("cls_token", cls_token, config.pooling == "mean" and "a model that pools by the mean"),
    ):
        if value is not None and means_nothing:
            raise ValueError(f"{name} is {value!r}, but with {means_nothing} it must be None.")
    if position_grid and (len(position_grid) != 2 or min(position_grid) < 1):
        raise ValueError(f"position_grid is {position_grid!r}, but must be (rows, columns) > 0.")


def _as_image_vit(source, config: ViViTConfig, heads, grid) -> ImageViT:
    """The source as an ImageViT; a state dict needs `heads`, and perhaps `grid`."""
    if isinstance(source, ImageViT):
        if heads is not None or grid is not None:
            raise ValueError(f"{source.name} has its heads and grid already: leave them out.")
        return source
    if not isinstance(source, Mapping):
        raise TypeError(
            f"source is a {type(source).__name__}, but must be an ImageViT (from load_timm) or a "
            "state dict under timm's names; of a module pass module.state_dict()."
        )
    if heads is None:
        has = f"the model has {config.heads}"
        raise WeightsError(
            f"A state dict does not show its number of heads. Give heads = ...; {has}."
        )
    source, notes = unwrapped(source)
    notes += ("A state dict does not show its GELU: the exact one is assumed, as in timm.",)
    image, own = ImageViT("the state dict", source, heads, grid, notes=notes), config.grid[1:]
    if grid is None and own != image.grid and math.prod(own) == math.prod(image.grid):
        where = f"{by(image.grid)}, or {by(own)} as in the model. Give grid = (rows, columns)."
        raise WeightsError(f"The {math.prod(own)} patches of the state dict may lie {where}")
    return image


def _check_fit(config: ViViTConfig, source: ImageViT, cls_token: str | None) -> None:
    """Raise WeightsError, saying both values, wherever model and source are not alike."""
    names = ("dim", "depth", "heads", "mlp_dim", "in_channels")
    pairs = {name: (getattr(source, name), getattr(config, name)) for name in names}
    pairs["patch (h, w)"] = (source.patch, config.tubelet[1:])
    pairs["LayerScale"] = (source.has_layer_scale, config.layer_scale is not None)
    advice = "source.config(model=..., frames=..., num_classes=...) is one that fits."
    refuse_differences(source.name, pairs, advice)
    if cls_token == "copied" and not source.has_cls:
        raise WeightsError(f"cls_token is 'copied', but {source.name} has no class token.")

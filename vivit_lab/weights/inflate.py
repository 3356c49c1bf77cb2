"""Inflation: the weights of an image ViT as the start of a ViViT (paper section 3.4)."""

import math
from collections.abc import Mapping

import torch
from einops import repeat
from torch import Tensor

from vivit_lab.errors import one_of, whole
from vivit_lab.models import ViViT, ViViTConfig
from vivit_lab.weights.fit import as_image_vit, by, check_fit, gelu_note, start_note
from vivit_lab.weights.image_vit import ImageViT, unused_because
from vivit_lab.weights.report import Loading, LoadReport, WeightsError
from vivit_lab.weights.resize import METHODS, repeat_positions, resize_positions

KERNELS = ("central_frame", "filter_inflation", "rank_pooling")
TEMPORAL_ATTENTION = ("identity", "space", "new")
CLS_TOKEN = ("copied", "new")
SPATIAL = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")


def inflate_kernel(kernel: Tensor, t: int, how: str = "central_frame") -> Tensor:
    """A tubelet kernel from an image kernel: (D, C, h, w) -> (D, C, t, h, w).

    Args:
        kernel: of the image ViT's patch embedding.
        t: frames of a tubelet, at least 1.
        how: "central_frame", zeros but for time index t // 2, where the image kernel stands (eq. 9;
            of two frames that is the second, as in the official code); "filter_inflation", the
            image kernel divided by t at every index (eq. 8); "rank_pooling", which is not in the
            paper but in its code: weights that rise with time and sum to zero, so that the token
            says how the patch changes.

    With the first two the kernel sums over time to the image kernel, so that a tubelet of t equal
    frames becomes the token that the image ViT makes of one of them.

    Source: paper section 3.4, equations 8 and 9; approximate rank pooling is of Bilen et al.,
    "Dynamic Image Networks for Action Recognition", 2016.

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
        return repeat(kernel / t, "d c h w -> d c t h w", t=t).clone()  # eq. 8
    if how == "rank_pooling":
        return torch.stack([kernel * weight / t for weight in _rank_pooling(t)], dim=2)
    d, c, h, w = kernel.shape
    inflated = kernel.new_zeros(d, c, t, h, w)
    inflated[:, :, t // 2] = kernel  # eq. 9
    return inflated


def _rank_pooling(t: int) -> list[float]:
    """2 (t - i + 1) - (t + 1) (H_t - H_(i-1)) for i = 1..t, with H the harmonic numbers."""
    harmonic = [sum(1 / k for k in range(1, i + 1)) for i in range(t + 1)]
    return [2 * (t - i + 1) - (t + 1) * (harmonic[t] - harmonic[i - 1]) for i in range(1, t + 1)]


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
        model: any of the four; it must have the source's width, depth, heads, MLP and patch
            (`source.config(model=..., frames=...)` is such a configuration). Its image size may
            differ.
        source: from `load_timm` for example; or a state dict under timm's names, and then `heads`
            must be given, and `grid` unless the patches are a square.
        tubelet: "central_frame" (eq. 9), "filter_inflation" (eq. 8), "rank_pooling" (in the
            official code only, see `inflate_kernel`), or "random", which keeps the model's own
            embedding, kernel and bias. A model with uniform frame sampling takes the image kernel
            as it is, unless "random".
        positions: how the image table is resized where the grids differ: "bilinear" (the official
            code's way), "bicubic" (timm's), "bicubic_plain" (`resize_positions` says more); or
            "new", which keeps the model's own table.
        position_grid: (rows, columns) that the image table is resized to; then it is repeated until
            it fills the model's table. The default is the model's (n_h, n_w), which alone lines
            up; others are here to reproduce the official code where it takes the square root of a
            joint table's length.
        temporal_attention: Model 3 only, for the attention over time that an image ViT lacks.
            "identity" (default) zeroes its output projection alone: the block starts as the image
            ViT's, and learns from the first step on (with q, k and v zeroed too it never would).
            "space" copies the spatial attention, as the official code does by default. "new" keeps
            the model's own. Its norm stays new each time, its LayerScale is the spatial one's
            unless "new".
        cls_token: "copied" or "new", for models with a class token. By default it is copied where
            the source has one, also in Model 2, whose frame embeddings are then the image ViT's.
            The official code leaves it new in Model 2, though it copies position row 0.
        heads, grid: of a source that is a state dict.

    Model 2's temporal encoder and the head stay as they are. The source's head, and a class token
    that the model has no place for, are reported as unused.

    Returns:
        A report of every parameter and every tensor, which also says whether the model now starts
        exactly as the image ViT.

    Raises:
        WeightsError: the source is no plain ViT, or does not fit the model; nothing has changed.
        ValueError, TypeError: an unknown option, or one that means nothing here.

    Source: paper section 3.4; the official code where the paper is silent.

    Example:
        >>> from vivit_lab import build_model
        >>> from vivit_lab.weights import load_timm
        >>> source = load_timm("vit_tiny_patch16_224", pretrained=False)
        >>> model = build_model(source.config(model="factorised_encoder", frames=8, num_classes=5))
        >>> inflate(model, source).counts
        {'copied': 149, 'inflated': 1, 'new': 54, 'unused': 2}
    """
    config = _config_of(model)
    _check_options(config, tubelet, positions, position_grid, temporal_attention, cls_token)
    source = as_image_vit(source, config, heads, grid)
    check_fit(config, source)
    _check_cls(config, source, cls_token)
    tensors = dict(source.state)
    if source.has_cls and config.pooling != "cls":  # so that the report can say what becomes of it
        tensors["pos_embed[:, :1]"] = tensors["pos_embed"][:, :1]
        tensors["pos_embed"] = tensors["pos_embed"][:, 1:]
    loading = Loading(model, source.name, tensors)

    _place_embedding(loading, tubelet)
    cls_copied = _place_cls(loading, config, source, cls_token)
    _place_positions(loading, config, source, positions, position_grid)
    for i in range(config.depth):
        _place_block(loading, config, f"blocks.{i}", temporal_attention or "identity")
    loading.copy("norm.weight")
    loading.copy("norm.bias")
    for name in loading.parameters:
        if name.startswith("temporal_"):
            loading.keep(name, "temporal encoder")
        if name.startswith("head."):
            loading.keep(name, "classifier")
    for name in [name for name in loading.left if unused_because(name)]:
        loading.leave(name, unused_because(name))

    for note in (*source.notes, gelu_note(config, source)):
        if note:
            loading.say(note)
    loading.say(
        start_note(
            config, source, tubelet, positions, position_grid, temporal_attention, cls_copied
        )
    )
    return loading.finish()


# ---- the parts of the model, one by one


def _place_embedding(loading: Loading, tubelet: str) -> None:
    name, bias = "patch_embed.proj.weight", "patch_embed.proj.bias"
    if tubelet == "random":
        loading.keep(name, "random")
        loading.keep(bias)
        loading.leave(name, 'tubelet = "random"')
        loading.leave(bias, 'tubelet = "random"')
        return
    kernel = loading.take(name)
    target = loading.parameters[name]
    if target.ndim == 4:
        loading.place(name, kernel, "copied", name)
    else:
        t = target.shape[2]
        how = {
            "central_frame": f"central frame: index {t // 2} of {t}, zeros elsewhere (eq. 9)",
            "filter_inflation": f"filter inflation: 1/{t} at each of {t} indices (eq. 8)",
            "rank_pooling": f"rank pooling: {t} weights that sum to 0 (not in the paper)",
        }
        inflated = inflate_kernel(kernel, t, tubelet)
        loading.place(name, inflated, "inflated", name, kernel.shape, how[tubelet])
    loading.copy(bias)


def _place_cls(loading: Loading, config: ViViTConfig, source: ImageViT, how: str | None) -> bool:
    """Returns whether the model's class token is now the source's."""
    if config.pooling != "cls":
        if source.has_cls:
            loading.leave("cls_token", "the model pools by the mean")
            loading.leave("pos_embed[:, :1]", "the class token's position")
        return False
    if source.has_cls and how != "new":
        loading.copy("cls_token")
        return True
    loading.keep("cls_token", "" if source.has_cls else "the source has none")
    if source.has_cls:
        loading.leave("cls_token", 'cls_token = "new"')
    return False


def _place_positions(
    loading: Loading,
    config: ViViTConfig,
    source: ImageViT,
    method: str,
    position_grid: tuple[int, int] | None,
) -> None:
    target = loading.parameters["pos_embed"]
    if method == "new":
        loading.keep("pos_embed", 'positions = "new"')
        loading.leave("pos_embed", 'positions = "new"')
        return
    table = loading.take("pos_embed")
    shape = tuple(table.shape)
    has_row = config.pooling == "cls"
    note = []
    if has_row and not source.has_cls:
        table = torch.cat([target[:, :1].detach().to(table), table], dim=1)
        note.append("row 0 new: the source has no class token")
    new_grid = _new_grid(config, target.shape[1] - has_row, position_grid)
    action = "copied"
    if new_grid != source.grid:
        table = resize_positions(table, source.grid, new_grid, cls=has_row, method=method)
        action = "resized"
        note.insert(0, f"{by(source.grid)} to {by(new_grid)}, {method}")
    times = (target.shape[1] - has_row) // math.prod(new_grid)
    if times > 1:
        table = repeat_positions(table, times, cls=has_row)
        action = "repeated" if action == "copied" else action
        note.append(f"the same for all {times} time steps")
    loading.place("pos_embed", table, action, "pos_embed", shape, "; ".join(note))


def _new_grid(config: ViViTConfig, rows: int, wanted: tuple[int, int] | None) -> tuple[int, int]:
    if wanted is None:
        return config.grid[1:]
    if len(wanted) != 2:
        raise ValueError(f"position_grid is {wanted!r}, but must be (rows, columns).")
    for axis, size in zip(("rows", "columns"), wanted, strict=True):
        whole(f"position_grid {axis}", size)
    if rows % math.prod(wanted):
        raise ValueError(
            f"position_grid is {by(wanted)}, but rows x columns must divide the {rows} rows of "
            f"the model's table; its own grid is {by(config.grid[1:])}."
        )
    return tuple(wanted)


def _place_block(loading: Loading, config: ViViTConfig, block: str, how: str) -> None:
    for part in [f"{part}.{kind}" for part in SPATIAL for kind in ("weight", "bias")]:
        tensor = loading.take(f"{block}.{part}")
        loading.place(f"{block}.{part}", tensor, "copied", f"{block}.{part}")
        if config.model == "factorised_self_attention" and part.startswith("attn."):
            _place_temporal(loading, f"{block}.{part}", tensor, how)
    if config.model == "factorised_self_attention":
        loading.keep(f"{block}.norm_time.weight")
        loading.keep(f"{block}.norm_time.bias")
    if config.layer_scale is None:
        return
    for scale in ("ls1.gamma", "ls2.gamma"):
        tensor = loading.take(f"{block}.{scale}")
        loading.place(f"{block}.{scale}", tensor, "copied", f"{block}.{scale}")
        if config.model == "factorised_self_attention" and scale == "ls1.gamma":
            if how == "new":
                loading.keep(f"{block}.ls_time.gamma")
            else:
                loading.place(f"{block}.ls_time.gamma", tensor, "copied", f"{block}.{scale}")


def _place_temporal(loading: Loading, spatial: str, tensor: Tensor, how: str) -> None:
    name = spatial.replace(".attn.", ".attn_time.")
    if how == "space":
        loading.place(name, tensor, "copied", spatial)
    elif how == "identity" and ".proj." in name:
        zeros = torch.zeros_like(tensor)
        loading.place(name, zeros, "new", "", note="set to 0, so that the block starts without it")
    else:
        loading.keep(name)


# ---- checks


def _config_of(model: ViViT) -> ViViTConfig:
    if not isinstance(model, ViViT):
        raise TypeError(
            f"model is of type {type(model).__name__}, but must be a ViViT from build_model."
        )
    return model.config


def _check_options(
    config, tubelet, positions, position_grid, temporal_attention, cls_token
) -> None:
    one_of("tubelet", tubelet, (*KERNELS, "random"))
    one_of("positions", positions, (*METHODS, "new"))
    if positions == "new" and position_grid is not None:
        raise ValueError(
            f"position_grid is {position_grid!r}, but positions = 'new' takes nothing from the "
            "source; leave it None."
        )
    if temporal_attention is not None:
        one_of("temporal_attention", temporal_attention, TEMPORAL_ATTENTION)
        if config.model != "factorised_self_attention":
            raise ValueError(
                f"temporal_attention is {temporal_attention!r}, but only model = "
                f"'factorised_self_attention' has one to start; leave it None for {config.model!r}."
            )
    if cls_token is not None:
        one_of("cls_token", cls_token, CLS_TOKEN)
        if config.pooling != "cls":
            raise ValueError(
                f"cls_token is {cls_token!r}, but the model pools by the mean and has none; leave "
                "it None."
            )


def _check_cls(config: ViViTConfig, source: ImageViT, cls_token: str | None) -> None:
    if cls_token == "copied" and not source.has_cls:
        raise WeightsError(
            f"cls_token is 'copied', but {source.name} has no class token; leave it None to keep "
            "the model's own."
        )

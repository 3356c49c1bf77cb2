"""A trained ViViT's weights for another clip size, frame count or set of classes."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, cat

from vivit_lab.errors import one_of, whole
from vivit_lab.models import ViViT, ViViTConfig
from vivit_lab.weights.report import Loading, LoadReport, by, refuse_differences

# What must be the same on both sides: the parameters' shapes, or what they mean, hang on it.
SAME = ("model", "tokenizer", "tubelet", "in_channels", "dim", "depth", "temporal_depth", "heads")
SAME += ("mlp_dim", "pooling", "attention_order", "gelu")


def adapt(model: ViViT, source_model: ViViT) -> LoadReport:
    """One ViViT's weights into another that sees other clips or knows other classes.

    frames, sampled_frames, image_size, num_classes and the rates of dropout may differ. Tables of
    positions are resized on their grids. A head comes along, with the names of its classes, unless
    these differ in number or by name. The preprocessing comes along, for the new clips. All else
    is copied.

    Raises:
        WeightsError: another paper model, tubelet, width, depth and so on; the model is as it was.

    Source: paper section 3.4 (resizing positions); 4.1 fine-tunes at other sizes in this way.

    Example:
        >>> from vivit_lab import build_model
        >>> config = ViViTConfig(frames=4, image_size=32, dim=48, heads=4, depth=2, mlp_dim=96)
        >>> longer = build_model(replace(config, frames=8, num_classes=10))
        >>> report = adapt(longer, build_model(config))
        >>> [entry.name for entry in report["resized"]], [entry.name for entry in report["new"]]
        (['pos_embed'], ['head.weight', 'head.bias'])
    """
    config, source = model.config, source_model.config
    pairs = {name: (getattr(source, name), getattr(config, name)) for name in SAME}
    pairs["LayerScale"] = (source.layer_scale is not None, config.layer_scale is not None)
    advice = "Only frames, image_size and num_classes may differ."
    refuse_differences("The trained model", pairs, advice)
    loading = Loading(model, "the given model", source_model.state_dict())
    for name in list(loading.left):
        if name.endswith("pos_embed"):
            _place_positions(loading, name, source)
        elif not name.startswith("head."):
            loading.copy(name)
    heads_are_the_same = _place_heads(loading, model, source_model)
    expected, (height, width) = source_model.preprocessing, config.image_size
    if height != width and expected is not None:
        loading.notes.append(f"{height} x {width} is not square: the preprocessing was left out.")
        expected = None
    elif expected and (config.frames, height) != (expected.sampling.clip_frames, expected.crop):
        loading.notes.append(f"The preprocessing was: {expected}.")
        expected = expected.resized(config.frames, height)
    report = loading.finish()
    if heads_are_the_same and model.class_names is None:
        model.class_names = source_model.class_names
    if model.preprocessing is None:
        model.preprocessing = expected
    known = {"class_names": model.class_names, "preprocessing": model.preprocessing}
    return replace(report, **known)


def _place_positions(loading: Loading, name: str, source: ViViTConfig) -> None:
    grid, new_grid = _grid(name, source), _grid(name, loading.model.config)
    if grid == new_grid:
        loading.copy(name)
        return
    table = loading.take(name)
    new = resize_positions(table, grid, new_grid, cls=source.pooling == "cls")
    note = f"grid {by(grid)} to {by(new_grid)}"
    loading.place(name, new, "resized", name, table.shape, note)


def _grid(name: str, config: ViViTConfig) -> tuple[int, int, int]:
    t, h, w = config.grid
    if name == "temporal_pos_embed":
        return t, 1, 1
    return (1, h, w) if config.model == "factorised_encoder" else (t, h, w)


def _place_heads(loading: Loading, model: ViViT, source: ViViT) -> bool:
    """Copy the heads whose classes are the same; return whether all are."""
    old, all_the_same = source.config.classes, bool(model.config.classes)
    for head, count in model.config.classes.items():
        names, old_names = _names(model, head), _names(source, head)
        renamed = None not in (names, old_names) and names != old_names
        same = old.get(head) == count and not renamed
        all_the_same &= same
        there = f"{old[head]} classes" if head in old else "no such head"
        there += " of other names" if renamed else ""
        for kind in ("weight", "bias"):
            name = f"head.{head}.{kind}" if head else f"head.{kind}"
            if same:
                loading.copy(name)
            else:
                loading.keep(name, f"{count} classes here, {there} in the source")
    for name in [name for name in loading.left if name.startswith("head.")]:
        loading.leave(name, "its classes are not the model's")
    return all_the_same


def _names(model: ViViT, head: str) -> list[str] | None:
    """Names of a head's classes, if they are known; a single head has no name itself."""
    names = model.class_names
    names = names.get(head) if isinstance(names, Mapping) else (None if head else names)
    return names and list(names)


# ---- tables of positions, tiled and resized


METHODS = {
    "bilinear": {"mode": "bilinear", "align_corners": True},
    "bicubic": {"mode": "bicubic", "antialias": True},
    "bicubic_plain": {"mode": "bicubic"},
}


def resize_positions(
    table: Tensor,
    grid: tuple[int, ...],
    new_grid: tuple[int, ...],
    *,
    cls: bool,
    method: str = "bilinear",
) -> Tensor:
    """A position table (1, [cls +] N, D) for another grid of tokens, in its dtype: N -> N'.

    Args:
        grid, new_grid: both (h, w), or both (t, h, w), time slowest; of time alone: (t, 1, 1).
        cls: whether row 0 belongs to a class token. It is never resized.
        method: for space: "bilinear", corners on corners (the official code's scipy zoom of order
            1); "bicubic", timm's, smoothed where the grid shrinks; "bicubic_plain", not smoothed.
            Time runs in straight lines from the first step to the last.

    Raises ValueError: a grid that does not fit the table, or an unknown method.

    Source: paper section 3.4, "Positional embeddings".

    Example:
        >>> import torch
        >>> table = torch.tensor([9.0, 0.0, 1.0]).reshape(1, 3, 1)  # class token, left, right
        >>> resize_positions(table, (1, 2), (1, 3), cls=True).flatten().tolist()
        [9.0, 0.0, 0.5, 1.0]
    """
    one_of("method", method, METHODS)
    if len(grid) not in (2, 3) or len(new_grid) != len(grid) or min(*grid, *new_grid) < 1:
        grids = f"grid is {tuple(grid)} and new_grid {tuple(new_grid)}"
        raise ValueError(f"{grids}, but both must be (h, w), or both (t, h, w), of at least 1.")
    if table.ndim != 3 or table.shape[:2] != (1, math.prod(grid) + cls):
        raise ValueError(
            f"table has shape {tuple(table.shape)}, but grid {tuple(grid)} and cls = {cls} make it "
            f"(1, {math.prod(grid) + cls}, D)."
        )
    first, rows = table[:, : int(cls)], table[:, int(cls) :]
    t, h, w = (1, *grid)[-3:]
    new_t, new_h, new_w = (1, *new_grid)[-3:]
    images = rearrange(rows.double(), "1 (t h w) d -> t d h w", t=t, h=h, w=w)
    if (h, w) != (new_h, new_w):
        images = F.interpolate(images, (new_h, new_w), **METHODS[method])
    if t != new_t:
        lines = rearrange(images, "t d h w -> (h w) d t")
        lines = F.interpolate(lines, new_t, mode="linear", align_corners=True)
        images = rearrange(lines, "(h w) d t -> t d h w", h=new_h)
    rows = rearrange(images, "t d h w -> 1 (t h w) d").to(table.dtype)
    return cat([first, rows], dim=1)


def repeat_positions(table: Tensor, times: int, *, cls: bool) -> Tensor:
    """The same table for every time step: (1, [cls +] s, D) -> (1, [cls +] times * s, D).

    Time is slowest. With `cls`, row 0 belongs to a class token and stands once (section 3.4).

    Example:
        >>> import torch
        >>> table = torch.tensor([9.0, 0.0, 1.0]).reshape(1, 3, 1)
        >>> repeat_positions(table, 2, cls=True).flatten().tolist()
        [9.0, 0.0, 1.0, 0.0, 1.0]
    """
    whole("times", times)
    first, rows = table[:, : int(cls)], table[:, int(cls) :]
    return cat([first, repeat(rows, "1 s d -> 1 (t s) d", t=times)], dim=1)

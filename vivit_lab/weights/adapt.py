"""A trained ViViT's weights for another clip size, frame count or set of classes."""

from collections.abc import Mapping
from dataclasses import replace

from vivit_lab.models import ViViT, ViViTConfig
from vivit_lab.weights.report import Loading, LoadReport, refuse_differences
from vivit_lab.weights.resize import resize_positions

# What must be the same on both sides: the parameters' shapes, or what they mean, hang on it.
SAME = ("model", "tokenizer", "tubelet", "in_channels", "dim", "depth", "temporal_depth", "heads")
SAME += ("mlp_dim", "pooling", "attention_order", "gelu")


def adapt(model: ViViT, source_model: ViViT) -> LoadReport:
    """One ViViT's weights into another that sees other clips or knows other classes.

    frames, sampled_frames, image_size and num_classes may differ, and the rates of dropout. Tables
    of positions are resized on their grids; a class token keeps its row. A head whose classes
    differ, in number or by name, stays as the model has it; names of classes come along with their
    head. All else is copied.

    Raises:
        WeightsError: another paper model, tubelet, width, depth and so on; the message names both
            values, and the model is as it was.

    Source: paper section 3.4 (resizing positions); 4.1 fine-tunes at other sizes in this way.

    Example:
        >>> from vivit_lab import build_model
        >>> config = ViViTConfig(frames=4, image_size=32, dim=48, heads=4, depth=2, mlp_dim=96)
        >>> trained = build_model(config)
        >>> longer = build_model(replace(config, frames=8, num_classes=10))
        >>> report = adapt(longer, trained)
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
    report = loading.finish()
    if heads_are_the_same and model.class_names is None:
        model.class_names = source_model.class_names
    return replace(report, class_names=model.class_names)


def _place_positions(loading: Loading, name: str, source: ViViTConfig) -> None:
    grid, new_grid = _grid(name, source), _grid(name, loading.model.config)
    if grid == new_grid:
        loading.copy(name)
        return
    table = loading.take(name)
    new = resize_positions(table, grid, new_grid, cls=source.pooling == "cls")
    note = f"grid {' x '.join(map(str, grid))} to {' x '.join(map(str, new_grid))}"
    loading.place(name, new, "resized", name, tuple(table.shape), note)


def _grid(name: str, config: ViViTConfig) -> tuple[int, int, int]:
    t, h, w = config.grid
    if name == "temporal_pos_embed":
        return t, 1, 1
    return (1, h, w) if config.model == "factorised_encoder" else (t, h, w)


def _place_heads(loading: Loading, model: ViViT, source: ViViT) -> bool:
    """Copy the heads whose classes are the same; return whether all are."""
    old, all_the_same = source.config.classes, True
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

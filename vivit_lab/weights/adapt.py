"""A trained ViViT's weights for another clip size, frame count or set of classes."""

from collections.abc import Mapping
from dataclasses import replace

from vivit_lab.models import MODELS, ViViT, ViViTConfig
from vivit_lab.weights.report import Loading, LoadReport, WeightsError
from vivit_lab.weights.resize import resize_positions

# What must be the same on both sides: the parameters' shapes, or what they mean, hang on it.
SAME = (
    "tokenizer",
    "tubelet",
    "in_channels",
    "dim",
    "depth",
    "temporal_depth",
    "heads",
    "mlp_dim",
    "pooling",
    "attention_order",
    "gelu",
)


def adapt(model: ViViT, source_model: ViViT) -> LoadReport:
    """One ViViT's weights into another that sees other clips or knows other classes.

    frames, sampled_frames, image_size and num_classes may differ, and the rates of dropout. Tables
    of positions are resized on their grids: (t, h, w) in Models 1, 3, 4; (h, w) and t in Model 2;
    a class token keeps its row. A head whose classes differ, in number or by name, stays as the
    model has it; all else is copied. Names of classes come along with their head.

    Args:
        model: receives the weights.
        source_model: of the same paper model, however it was loaded; not changed.

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
    _check_same_kind(model.config, source_model.config)
    loading = Loading(model, "the given model", source_model.state_dict())
    for name in list(loading.left):
        if name.startswith("head."):
            continue
        if name.endswith("pos_embed"):
            _place_positions(loading, name, source_model.config)
        else:
            loading.copy(name)
    names = _place_heads(loading, model, source_model)
    report = loading.finish()
    if names is not None:
        model.class_names = names
    return replace(report, class_names=model.class_names)


def _check_same_kind(config: ViViTConfig, source: ViViTConfig) -> None:
    if config.model != source.model:
        raise WeightsError(
            f"The weights are of {MODELS[source.model]}, the model is {MODELS[config.model]}. Each "
            "learns other things under the same names, so only the same model can be adapted."
        )
    wrong = [
        f"{name} is {getattr(source, name)!r} in the source, {getattr(config, name)!r} in the model"
        for name in SAME
        if getattr(source, name) != getattr(config, name)
    ]
    if (config.layer_scale is None) != (source.layer_scale is None):
        has = "the model" if source.layer_scale is None else "the source"
        wrong.append(f"only {has} has LayerScale")
    if wrong:
        raise WeightsError(
            f"The weights cannot be adapted: {'; '.join(wrong)}. Only frames, image_size and "
            "num_classes may differ."
        )


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


def _place_heads(loading: Loading, model: ViViT, source: ViViT) -> object:
    """Copy the heads whose classes are the same; return the names of their classes, if known."""
    heads, old = _heads(model), _heads(source)
    same = {
        head
        for head, count in heads.items()
        if old.get(head) == count and not _renamed(_names(model, head), _names(source, head))
    }
    for head, count in heads.items():
        for kind in ("weight", "bias"):
            name = ".".join(filter(None, ("head", head, kind)))
            if head in same:
                loading.copy(name)
            else:
                there = f"{old[head]} classes" if head in old else "no such head"
                there += " of other names" if old.get(head) == count else ""
                loading.keep(name, f"{count} classes here, {there} in the source")
    for name in [name for name in loading.left if name.startswith("head.")]:
        loading.leave(name, "its classes are not the model's")
    if same != set(heads) or model.class_names is not None:
        return None
    return source.class_names


def _heads(model: ViViT) -> dict[str, int]:
    """{head: classes}; a single head has no name."""
    classes = model.config.num_classes
    return dict(classes) if isinstance(classes, Mapping) else {"": classes}


def _names(model: ViViT, head: str) -> list[str] | None:
    names = model.class_names.get(head) if head and model.class_names else model.class_names
    return None if names is None else list(names)


def _renamed(names: list[str] | None, others: list[str] | None) -> bool:
    return names is not None and others is not None and names != others

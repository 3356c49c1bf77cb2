"""Models that a file describes: built only once its weights are known to fit."""

import dataclasses
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from vivit_lab.models import ViViT, ViViTConfig, build_model
from vivit_lab.weights.report import Loading, LoadReport, WeightsError

LARGEST = 2**24  # no width, length or class count of a real model is larger


def described_config(source: str, fields: Mapping[str, object]) -> ViViTConfig:
    """A configuration out of a file.

    Args:
        source: for errors, the name of the file.
        fields: of ViViTConfig.

    Raises:
        WeightsError: unknown fields, absurdly large numbers, or what ViViTConfig refuses.

    Example:
        >>> described_config("m.safetensors", {"frames": 16, "fps": 25})
        Traceback (most recent call last):
        vivit_lab.weights.report.WeightsError: 'm.safetensors' has the unknown configuration field \
'fps'.
    """
    unknown = set(fields) - {field.name for field in dataclasses.fields(ViViTConfig)}
    if unknown:
        listed = ", ".join(map(repr, sorted(unknown)))
        raise WeightsError(f"{source!r} has the unknown configuration field {listed}.")
    for name, value in fields.items():
        for number in _numbers(value):
            if number > LARGEST:
                raise WeightsError(f"{source!r} gives {name} as {number}, which no model has.")
    try:
        return ViViTConfig(**fields)
    except (TypeError, ValueError) as reason:
        raise WeightsError(f"{source!r} does not describe a model: {reason}") from None


def _numbers(value: object) -> list[int]:
    if isinstance(value, Mapping):
        value = list(value.values())
    values = value if isinstance(value, (list, tuple)) else [value]
    return [number for number in values if isinstance(number, (int, float))]


def described_model(
    source: str,
    config: ViViTConfig,
    tensors: Mapping[str, Tensor],
    place: Callable[[Loading], None],
) -> tuple[ViViT, LoadReport]:
    """The model of a configuration, filled with tensors; memory is taken only if they fit.

    Args:
        place: puts the tensors into their places, or keeps and leaves them. Is called twice, the
            first time for a model without memory. What it keeps is zero.

    Raises:
        WeightsError: the tensors do not fit the configuration.

    Example:
        >>> config = ViViTConfig(frames=2, image_size=16, dim=6, depth=1, heads=2, mlp_dim=4)
        >>> tensors = build_model(config).state_dict()
        >>> def place(loading):
        ...     for name in tensors:
        ...         loading.copy(name)
        >>> model, report = described_model("a dict", config, tensors, place)
        >>> report.counts
        {'copied': 20}
    """
    if config.depth + (config.temporal_depth or 0) > len(tensors):
        raise WeightsError(
            f"{source!r} holds {len(tensors)} tensors, too few for the {config.depth} blocks that "
            "it describes."
        )
    try:
        with torch.device("meta"):  # shapes without memory
            model = build_model(config)
    except (RuntimeError, OverflowError) as reason:
        raise WeightsError(f"{source!r} describes an impossible model: {reason}") from None
    for device in ("meta", "cpu"):
        model.to_empty(device=device)
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
        loading = Loading(model, source, tensors)
        place(loading)
        report = loading.finish()
    return model, report

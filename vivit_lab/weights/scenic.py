"""The official weights (Scenic) into our models; Google's image ViTs as sources."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from vivit_lab.models import ViViT, ViViTConfig
from vivit_lab.weights.flax_files import FlaxParameters, read_flax
from vivit_lab.weights.flax_names import number_of_heads, timm_names
from vivit_lab.weights.image_vit import ImageViT
from vivit_lab.weights.report import Loading, LoadReport, WeightsError
from vivit_lab.weights.scenic_config import facts_of, total

OF_A_VIDEO = re.compile(r"temporal_|blocks\.\d+\.(attn|norm)_time")
EPIC_HEADS = ("noun", "verb")  # order of the official EPIC-Kitchens logits: 300 nouns, 97 verbs


def load_scenic(model: ViViT, source: str | Path | Mapping) -> LoadReport:
    """The official code's weights into a model of ours: every tensor finds its place, or none.

    Args:
        model: any of the four; `scenic_config` finds the configuration that fits a file.
        source: a checkpoint as released (Flax msgpack), an .npz, or a dict of arrays, nested or
            flat: {"Transformer/encoder_norm/scale": array}. Optimiser state is passed over.
            Neither flax nor jax is needed.

    The official EPIC-Kitchens models have one matrix for both heads, nouns first: a model with
    num_classes {"noun": 300, "verb": 97} (in either order) gets its rows of it.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: another model, another size or class count, a parameter too many or too
            few, numbers that are not finite floats, a damaged file, a pickle. The message names
            what and why, and the model is as it was.

    Source: the official code's parameter trees; the paper's Models 1-4 (section 3.3).

    Example:
        >>> import torch
        >>> from vivit_lab import ViViTConfig, build_model
        >>> config = ViViTConfig(frames=2, image_size=16, dim=6, depth=1, heads=2, mlp_dim=4,
        ...                      num_classes=3, pooling="mean")
        >>> attention = {name: {"kernel": torch.ones(6, 2, 3), "bias": torch.zeros(2, 3)}
        ...              for name in ("query", "key", "value")}
        >>> attention["out"] = {"kernel": torch.ones(2, 3, 6), "bias": torch.zeros(6)}
        >>> norm = {"scale": torch.ones(6), "bias": torch.zeros(6)}
        >>> official = {
        ...     "embedding": {"kernel": torch.ones(2, 16, 16, 3, 6), "bias": torch.zeros(6)},
        ...     "Transformer": {
        ...         "posembed_input": {"pos_embedding": torch.zeros(1, 1, 6)},
        ...         "encoderblock_0": {
        ...             "LayerNorm_0": norm, "MultiHeadDotProductAttention_0": attention,
        ...             "LayerNorm_1": norm, "MlpBlock_0": {
        ...                 "Dense_0": {"kernel": torch.ones(6, 4), "bias": torch.zeros(4)},
        ...                 "Dense_1": {"kernel": torch.ones(4, 6), "bias": torch.zeros(6)}}},
        ...         "encoder_norm": norm},
        ...     "output_projection": {"kernel": torch.ones(6, 3), "bias": torch.zeros(3)}}
        >>> load_scenic(build_model(config), official).counts
        {'copied': 19}
    """
    found = read_flax(source, most_numbers=sum(p.numel() for p in model.parameters()))
    named = timm_names(found.leaves)
    facts = facts_of(found, named)
    _check_same_model(found.source, facts, model.config)
    loading = Loading(model, found.source, _as_precise_as(model, named))
    for name in named:
        if not name.startswith("head."):
            loading.copy(name)
    _place_head(loading, model.config.num_classes)
    _remark(loading, found, facts, model.config)
    return loading.finish()


def load_flax_image_vit(file: str | Path, grid: tuple[int, int] | None = None) -> ImageViT:
    """An image ViT as Google publishes them, ready for `inflate`.

    Args:
        file: big_vision's .npz, the first ones (of "How to train your ViT") included, or a Scenic
            checkpoint of an image ViT. Optimiser state in it is passed over.
        grid: (rows, columns) of patches; needed only where they are not a square.

    Returns:
        the parameters under timm's names; the GELU is the tanh approximation, flax's default. A
        pre_logits layer (`pre_logits.fc`) stays among them, and finds no use in a ViViT.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: not such a file, damaged, a video model, or a grid that does not fit; the
            message names the file and the reason.

    Source: paper section 3.4 starts from such models.

    Example:
        >>> import tempfile, numpy as np
        >>> block = "Transformer/encoderblock_0/"
        >>> leaves = {"embedding/kernel": (4, 4, 3, 8), "pos_embedding": (1, 9, 8),
        ...           block + "MultiHeadDotProductAttention_0/out/kernel": (2, 4, 8),
        ...           block + "MlpBlock_0/Dense_0/kernel": (8, 16)}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/vit.npz", **{k: np.zeros(shape) for k, shape in leaves.items()})
        ...     vit = load_flax_image_vit(f"{folder}/vit.npz")
        >>> vit.grid, vit.heads, vit.gelu, vit.has_cls
        ((3, 3), 2, 'tanh', False)
    """
    found = read_flax(file)
    named = timm_names(found.leaves)
    kernel = named.get("patch_embed.proj.weight")
    if (kernel is not None and kernel.ndim == 5) or any(map(OF_A_VIDEO.match, named)):
        raise WeightsError(f"{found.source} holds a video model, not an image's: use load_scenic.")
    return ImageViT(found.source, named, heads=number_of_heads(found), grid=grid, gelu="tanh")


def _check_same_model(source: str, facts: Mapping, config: ViViTConfig) -> None:
    wrong = []
    if config.model not in facts["models"]:
        wrong.append(f"it holds {' or '.join(facts['models'])}, the model is {config.model}")
    names = ("tokenizer", "tubelet", "in_channels", "dim", "depth", "temporal_depth", "heads")
    for name in (*names, "mlp_dim", "pooling"):
        here, there = getattr(config, name), facts[name]
        if here != there and not (name == "temporal_depth" and wrong):
            wrong.append(f"{name} is {there!r} in it, {here!r} in the model")
    if total(config.num_classes) != facts["num_classes"]:
        wrong.append(
            f"num_classes is {facts['num_classes']} in it, {config.num_classes} in the model"
        )
    is_encoder = config.model == "factorised_encoder"
    tokens = config.spatial_tokens if is_encoder else config.tokens
    if not wrong and facts["positions"] != tokens:
        wrong.append(f"it has positions for {facts['positions']} tokens, the model for {tokens}")
    if facts["temporal_positions"] not in (None, config.temporal_tokens):
        there, here = facts["temporal_positions"], config.temporal_tokens
        wrong.append(f"it has positions for {there} time steps, the model for {here}")
    if config.layer_scale is not None:
        wrong.append("the official code has no LayerScale, the model has")
    if wrong:
        raise WeightsError(
            f"{source} does not fit the model: {'; '.join(wrong)}. scenic_config(source) makes the "
            "configuration that fits, and adapt takes weights on to another size or class count."
        )


def _as_precise_as(model: ViViT, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Floats in the model's own precision, so that what overflows there is seen beforehand."""
    dtype = next(model.parameters()).dtype
    return {k: x.to(dtype) if x.is_floating_point() else x for k, x in named.items()}


def _place_head(loading: Loading, num_classes: int | Mapping[str, int]) -> None:
    """The output matrix into one head, or its rows into several."""
    if not isinstance(num_classes, Mapping):
        for kind in ("weight", "bias"):
            loading.copy(f"head.{kind}")
        return
    heads = EPIC_HEADS if set(num_classes) == set(EPIC_HEADS) else tuple(num_classes)
    for kind in ("weight", "bias"):
        whole, first = loading.take(f"head.{kind}"), 0
        for head in heads:
            rows = whole[first : first + num_classes[head]]
            note = f"rows {first} to {first + len(rows) - 1}"
            loading.place(
                f"head.{head}.{kind}", rows, "copied", f"head.{kind}", tuple(whole.shape), note
            )
            first += len(rows)
    loading.say(f"One output matrix was shared out to the heads in this order: {', '.join(heads)}.")


def _remark(loading: Loading, found: FlaxParameters, facts: Mapping, config: ViViTConfig) -> None:
    if found.others:
        loading.say(f"Arrays that lie beside the parameters, not read: {found.others}.")
    if config.gelu != "tanh":
        loading.say(
            "The official code computes GELU by its tanh approximation, this model exactly: "
            "logits may differ by about 1e-4."
        )
    if len(facts["models"]) > 1:
        loading.say("Model 1 with mean pooling and Model 4 have the same parameters: check which.")
    if config.model == "factorised_self_attention":
        loading.say(
            f"Attention order is not in the file; this model's is {config.attention_order}."
        )

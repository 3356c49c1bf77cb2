"""Out of memory: what a step needs by our count, and which settings would fit."""

import torch

from vivit_lab.analysis.cost import cost, in_bytes
from vivit_lab.models import ViViT
from vivit_lab.training.recipe import Recipe


def step_bytes(model: ViViT, recipe: Recipe, processes: int = 1) -> int:
    """Memory of one training step on each device, by the count of `analysis.cost`.

    With bf16 the activations take half, weights and gradients stay in float32. What a frozen part
    saves is not subtracted: the number is then too high.

    Example:
        >>> from vivit_lab import build_model
        >>> recipe = Recipe.preset("cpu_tiny")
        >>> whole = step_bytes(build_model(recipe.config()), recipe)
        >>> whole > step_bytes(build_model(recipe.config()), recipe.change(accumulate=2))
        True
    """
    price = cost(
        model,
        batch=max(1, recipe.batch // (processes * recipe.accumulate)),
        training=True,
        checkpointing=recipe.checkpointing,
        optimiser=recipe.optimiser,
    )
    return round(price.total_bytes - (price.activation_bytes / 2 if recipe.bf16 else 0))


def what_would_fit(model: ViViT, recipe: Recipe, processes: int, available: int | None) -> str:
    """A message for who ran out of memory: what was needed, and each way to need less.

    processes: devices that share the batch. available: bytes of one device; None: unknown.

    Example:
        >>> from vivit_lab import build_model
        >>> recipe = Recipe.preset("cpu_tiny", batch=64)
        >>> print(what_would_fit(build_model(recipe.config()), recipe, 1, 30_000_000))
        Out of memory. By our count a step of 64 clips on each device needs 54.99 MB, of 30.00 MB.
          accumulate=2                             28.66 MB  fits
          checkpointing=True                       38.63 MB  too much
          bf16=True                                28.66 MB  fits
          all three                                11.41 MB  fits
        The result stays the same up to rounding. Libraries take some hundred MB besides.
    """
    clips = recipe.batch // (processes * recipe.accumulate)
    ways = {}
    if clips % 2 == 0:
        ways[f"accumulate={2 * recipe.accumulate}"] = {"accumulate": 2 * recipe.accumulate}
    if not recipe.checkpointing:
        ways["checkpointing=True"] = {"checkpointing": True}
    if not recipe.bf16:
        ways["bf16=True"] = {"bf16": True}
    if len(ways) > 1:
        ways["all three" if len(ways) == 3 else "both"] = {
            name: value for way in ways.values() for name, value in way.items()
        }
    of = f", of {in_bytes(available)}" if available else ""
    lines = [
        f"Out of memory. By our count a step of {clips} clips on each device needs "
        f"{in_bytes(step_bytes(model, recipe, processes))}{of}."
    ]
    for name, changes in ways.items():
        needed = step_bytes(model, recipe.change(**changes), processes)
        verdict = "" if available is None else "  fits" if needed < available else "  too much"
        lines.append(f"  {name:36} {in_bytes(needed):>12}{verdict}")
    if not ways:
        lines.append("  Nothing is left to save in the recipe: take a smaller model or clip.")
    lines.append(
        "The result stays the same up to rounding. Libraries take some hundred MB besides."
    )
    return "\n".join(lines)


def available_bytes(device: torch.device) -> int | None:
    """All memory of a GPU, in bytes; None for other devices.

    Example:
        >>> available_bytes(torch.device("cpu")) is None
        True
    """
    if device.type != "cuda":
        return None
    return torch.cuda.get_device_properties(device).total_memory

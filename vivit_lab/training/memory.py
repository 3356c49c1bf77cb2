"""Out of memory: what a step needs by our count, and which settings would fit."""

from vivit_lab.analysis.cost import cost, in_bytes
from vivit_lab.data.loader import LoadingError
from vivit_lab.errors import divisors
from vivit_lab.models import ViViT
from vivit_lab.training.recipe import Recipe


def step_bytes(model: ViViT, recipe: Recipe, processes: int = 1) -> int:
    """Memory of one training step on each device, by the count of `analysis.cost`.

    With bf16 the activations take half, weights and gradients stay in float32. What a frozen part
    saves is not subtracted: the number is then too high.
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
          checkpointing=True                               38.63 MB  too much
          bf16=True                                        28.66 MB  fits
          checkpointing=True, bf16=True                    20.48 MB  fits
          accumulate=2                                     28.66 MB  fits
          accumulate=2, checkpointing=True, bf16=True      11.41 MB  fits
        The result stays the same up to rounding and to what is drawn. Libraries take some hundred \
MB besides.
    """

    def needed(**changes) -> int:
        return step_bytes(model, recipe.change(**changes), processes)

    def fits(**changes) -> bool:
        return available is None or needed(**changes) < available

    clips, least = recipe.batch // (processes * recipe.accumulate), 2 if recipe.mixup else 1
    more = [recipe.accumulate * d for d in divisors(clips)[1:] if clips // d >= least]  # parts
    switches = {name: True for name in ("checkpointing", "bf16") if not getattr(recipe, name)}
    ways = [{name: True} for name in switches] + [switches] * (len(switches) > 1)
    for others in ({}, switches) if switches else ({},):  # in as few parts as will do
        if more:
            parts = next((n for n in more if fits(accumulate=n, **others)), more[-1])
            ways.append({"accumulate": parts, **others})
    lines = [
        f"Out of memory. By our count a step of {clips} clips on each device needs "
        f"{in_bytes(needed())}{f', of {in_bytes(available)}' if available else ''}."
    ]
    for way in ways:
        verdict = "" if available is None else "  fits" if fits(**way) else "  too much"
        name = ", ".join(f"{field}={value}" for field, value in way.items())
        lines.append(f"  {name:44} {in_bytes(needed(**way)):>12}{verdict}")
    if not ways:
        lines.append("  Nothing is left to save in the recipe: take a smaller model or clip.")
    lines.append(
        "The result stays the same up to rounding and to what is drawn. Libraries take some "
        "hundred MB besides."
    )
    return "\n".join(lines)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not enough, of the GPU or of the machine."""
    if isinstance(error, LoadingError):
        return False  # of a process that reads clips; it says itself what to do
    said = str(error)  # the CPU's and older backends' is a plain RuntimeError
    of_memory = isinstance(error, MemoryError) or "out of memory" in said
    return of_memory or "can't allocate memory" in said

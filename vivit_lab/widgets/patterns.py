"""Who may look at whom: the four attention patterns as sets of tokens, and what they cost.

A set of tokens is a mask, and an attention is a function from a set to the set of all that its
members look at. Following the layers backwards from one token gives all that can reach it. The
tests compare every set with the gradients of the real models.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_

import numpy as np

from vivit_lab.errors import one_of
from vivit_lab.models import ViViTConfig
from vivit_lab.models.config import AttentionShape

STAGES = {  # what of a model is looked at, in the order of the slider
    "space": "attention over space",
    "time": "attention over time",
    "1 block": "one whole block",
    "2 blocks": "two blocks",
    "12 blocks": "twelve blocks",
}
AXES = ("space_time", "space", "time")


@dataclass(frozen=True, eq=False)
class Who:
    """A set of tokens of one model."""

    tokens: np.ndarray  # (t, s), bool: those of the clip, time slowest
    cls: np.ndarray  # (1,) in Model 1; (t,) in Model 2: one a time step; (0,) in Models 3 and 4
    top: bool = False  # the class token of Model 2's temporal encoder

    @property
    def count(self) -> int:
        """How many tokens are in the set, class tokens included."""
        return int(self.tokens.sum() + self.cls.sum() + self.top)

    def __or__(self, other: "Who") -> "Who":
        return Who(self.tokens | other.tokens, self.cls | other.cls, self.top or other.top)


def nobody(config: ViViTConfig) -> Who:
    """The empty set of a model's tokens."""
    t, s = config.temporal_tokens, config.spatial_tokens
    has_two_encoders = config.temporal_depth is not None
    class_tokens = t if has_two_encoders else config.attentions()[0].tokens - t * s
    return Who(np.zeros((t, s), bool), np.zeros(class_tokens, bool))


def look(who: Who, axis: str) -> Who:
    """All that the members look at in an attention along an axis."""
    if axis == "space_time":
        return Who(np.ones_like(who.tokens), np.ones_like(who.cls))
    if axis == "time":
        return Who(np.zeros_like(who.tokens) | who.tokens.any(axis=0), who.cls)
    steps = who.tokens.any(axis=1)
    steps = steps | who.cls if who.cls.size else steps  # a step's class token belongs to it
    return Who(np.zeros_like(who.tokens) | steps[:, None], steps if who.cls.size else who.cls)


@dataclass(frozen=True)
class Pattern:
    """What one token of one model sees at one stage."""

    asks: Who  # the one token that asks
    direct: dict[str, Who]  # for each attention: "space_time" | "space" | "time"
    # all whose content can be in the token after the stage: within a stage that is one attention
    # since the beginning of the block (Model 2's temporal encoder: of the model)
    reached: Who

    @property
    def looked_at(self) -> Who:
        """All that it looks at directly."""
        return _all(self.direct.values())


def _all(sets: Iterable[Who]) -> Who:
    return reduce(or_, sets)


def pattern(
    config: ViViTConfig, stage: str, query: tuple[int, int] | str, step: int = 0
) -> Pattern | None:
    """Whom one token may look at, and whom it reaches.

    Args:
        stage: one of STAGES. Blocks are those of the encoder that the token lives in: in Model 2
            the spatial one, which has its say before the temporal one ("time") begins.
        query: (time step, place) of a token, or "cls". In Model 2's temporal encoder a token is
            stood for by its time step's one token, and "cls" is that encoder's own.
        step: whose class token is meant, where each time step has one.

    Returns:
        None where there is no class token to ask.

    Source: paper section 3.3.

    Example:
        >>> config = ViViTConfig(model="factorised_dot_product", frames=8, image_size=112)
        >>> [pattern(config, stage, (1, 20)).reached.count for stage in STAGES]
        [49, 4, 52, 196, 196]
    """
    one_of("stage", stage, STAGES)
    asks, has_two_encoders = nobody(config), config.temporal_depth is not None
    in_time = has_two_encoders and stage == "time"
    if query == "cls" and not asks.cls.size:
        return None
    if query == "cls" and in_time:
        asks = replace(asks, top=True)
    elif query == "cls" or in_time:
        where = step if query == "cls" else query[0]
        asks.cls[where if len(asks.cls) > 1 else 0] = True
    else:
        asks.tokens[query] = True
    if in_time:  # a token for each time step, which has heard from all of its step
        steps = Who(np.zeros_like(asks.tokens), np.ones_like(asks.cls), top=True)
        return Pattern(asks, {"time": steps}, steps | look(steps, "space"))

    layers = [("space",)] if has_two_encoders else _layers(config)
    axes = sorted((axis for layer in layers for axis in layer), key=AXES.index)
    if stage in axes:
        axes = [stage]
        last = next(i for i, layer in enumerate(layers) if stage in layer)
        layers = [*layers[:last], (stage,)]
    elif stage.endswith("blocks"):
        layers = layers * 2  # twelve reach no further: after two, all that can be reached is
    reached = asks
    for layer in reversed(layers):  # backwards: the later attention first
        reached = _all(look(reached, axis) for axis in layer)
    return Pattern(asks, {axis: look(asks, axis) for axis in axes}, reached)


def _layers(config: ViViTConfig) -> list[tuple[str, ...]]:
    """The axes of a block's attentions, one layer after the other, side by side where they share
    the heads."""
    attentions = config.attentions()
    axes = [attention.axis for attention in attentions]
    return [tuple(axes)] if _share_heads(config) else [(axis,) for axis in axes]


def _share_heads(config: ViViTConfig) -> bool:
    return sum(attention.heads for attention in config.attentions()) == config.heads


# ---- what it costs


@dataclass(frozen=True)
class Pairs:
    """(query, key) pairs that one block compares, for all tokens of a clip together."""

    paper: str  # section 3.3's formula, which counts one sequence along each axis
    paper_numbers: str
    paper_value: int
    exact: str  # counts every sequence and the class tokens
    exact_numbers: str
    value: int


def pairs(config: ViViTConfig) -> Pairs:
    """The pairs of one block, averaged over its heads; Model 2: a spatial and a temporal block.

    Example:
        >>> found = pairs(ViViTConfig(model="factorised_encoder"))
        >>> print(found.exact, "=", found.exact_numbers, "=", f"{found.value:,}")
        t·(s + 1)² + (t + 1)² = 16·197² + 17² = 621,233
        >>> print(found.paper, "=", found.paper_numbers, "=", f"{found.paper_value:,}")
        (n_h·n_w)² + n_t² = 196² + 16² = 38,672
    """
    t, s = config.temporal_tokens, config.spatial_tokens
    attentions = sorted(config.attentions(), key=lambda attention: AXES.index(attention.axis))
    value = sum(attention.sequences * attention.length**2 for attention in attentions)
    terms = [_term(config, attention) for attention in attentions]
    exact, numbers = (" + ".join(words) for words in zip(*terms, strict=True))
    if attentions[0].axis == "space_time":
        paper = "(n_t·n_h·n_w)²", f"{t * s:,}²", (t * s) ** 2
    else:
        paper = "(n_h·n_w)² + n_t²", f"{s}² + {t}²", s**2 + t**2
        if _share_heads(config):
            exact, numbers, value = f"½ ({exact})", f"½ ({numbers})", value // 2
    return Pairs(*paper, exact, numbers, value)


def _term(config: ViViTConfig, attention: AttentionShape) -> tuple[str, str]:
    """An attention's pairs in letters and in numbers: t·(s + 1)², 16·197²."""
    many, length = {
        "space_time": ("", "t·s"),
        "space": ("t·", "s"),
        "time": ("s·" if config.temporal_depth is None else "", "t"),
    }[attention.axis]
    length += " + 1" * (config.pooling == "cls")
    length = f"({length})" if len(length) > 1 else length
    number = f"{attention.sequences}·" if many else ""
    return f"{many}{length}²", f"{number}{attention.length:,}²"

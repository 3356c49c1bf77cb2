"""Who may look at whom: the four attention patterns as sets of tokens, and what they cost.

A set of tokens is a mask, and a layer's attention is a function from a set to the set of all that
its members look at. Following the layers backwards from one token gives all that can reach it. The
tests compare every set with the gradients of the real models.
"""

from dataclasses import dataclass, replace

import numpy as np

from vivit_lab.errors import one_of
from vivit_lab.models import ViViTConfig

STAGES = {  # what of a model is looked at, in the order of the slider
    "space": "attention over space",
    "time": "attention over time",
    "1 block": "one whole block",
    "2 blocks": "two blocks",
    "12 blocks": "twelve blocks",
}


@dataclass(frozen=True, eq=False)
class Who:
    """A set of tokens of one model.

    Args:
        tokens: (t, s), bool: the tokens of the clip, time slowest.
        cls: (1,) in Model 1, whose class token belongs to the clip; (t,) in Model 2's spatial
            encoder, where each time step has one; (0,) in Models 3 and 4, which have none.
        top: the class token of Model 2's temporal encoder.
    """

    tokens: np.ndarray
    cls: np.ndarray
    top: bool = False

    @property
    def count(self) -> int:
        """How many tokens are in the set, class tokens included."""
        return int(self.tokens.sum() + self.cls.sum() + self.top)

    def __or__(self, other: "Who") -> "Who":
        return Who(self.tokens | other.tokens, self.cls | other.cls, self.top or other.top)


def nobody(config: ViViTConfig) -> Who:
    """The empty set of a model's tokens.

    Example:
        >>> nobody(ViViTConfig(model="factorised_encoder")).cls.shape
        (16,)
    """
    t, s = config.temporal_tokens, config.spatial_tokens
    class_tokens = {"joint": 1, "factorised_encoder": t}.get(config.model, 0)
    return Who(np.zeros((t, s), bool), np.zeros(class_tokens, bool))


def jointly(who: Who) -> Who:
    """All that the members look at in Model 1: everything.

    Example:
        >>> jointly(nobody(ViViTConfig(frames=4, image_size=32))).count
        9
    """
    return Who(np.ones_like(who.tokens), np.ones_like(who.cls))


def over_space(who: Who) -> Who:
    """All that the members look at in an attention over space: their time steps.

    Example:
        >>> who = nobody(ViViTConfig(model="factorised_self_attention", frames=4, image_size=32))
        >>> who.tokens[1, 3] = True
        >>> over_space(who).tokens.astype(int).tolist()
        [[0, 0, 0, 0], [1, 1, 1, 1]]
    """
    steps = who.tokens.any(axis=1)
    steps = steps | who.cls if who.cls.size else steps
    tokens = np.repeat(steps[:, None], who.tokens.shape[1], axis=1)
    return Who(tokens, steps if who.cls.size else who.cls)


def over_time(who: Who) -> Who:
    """All that the members look at in an attention over time: their places, at every step.

    Example:
        >>> who = nobody(ViViTConfig(model="factorised_self_attention", frames=4, image_size=32))
        >>> who.tokens[1, 3] = True
        >>> over_time(who).tokens.astype(int).tolist()
        [[0, 0, 0, 1], [0, 0, 0, 1]]
    """
    places = who.tokens.any(axis=0)
    return Who(np.repeat(places[None], len(who.tokens), axis=0), who.cls)


def over_time_steps(who: Who) -> Who:
    """All that the members look at in Model 2's temporal encoder: one token for each time step.

    Example:
        >>> over_time_steps(nobody(ViViTConfig(model="factorised_encoder", frames=32))).count
        17
    """
    return Who(np.zeros_like(who.tokens), np.ones_like(who.cls), top=True)


@dataclass(frozen=True)
class Pattern:
    """What one token of one model sees at one stage.

    `direct` has one set for each attention of the stage: {"joint" | "space" | "time": Who}.
    `reached` is all whose content can be in the token after the stage, through whatever was looked
    at before: within a stage that is one attention, since the beginning of the block (in Model 2's
    temporal encoder, since the beginning of the model).
    """

    asks: Who  # the one token that asks
    direct: dict[str, Who]
    reached: Who

    @property
    def looked_at(self) -> Who:
        """All that it looks at directly."""
        sets = list(self.direct.values())
        return sets[0] | sets[-1]


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
    asks = _asker(config, stage, query, step)
    if asks is None:
        return None
    if config.model == "joint":
        return Pattern(asks, {"joint": jointly(asks)}, jointly(asks))
    if config.model == "factorised_encoder":
        return _factorised_encoder(asks, stage)
    if config.model == "factorised_self_attention":
        return _factorised_self_attention(config, asks, stage)
    return _factorised_dot_product(asks, stage)


def _asker(config: ViViTConfig, stage: str, query: tuple[int, int] | str, step: int) -> Who | None:
    asks = nobody(config)
    is_cls = query == "cls"
    if is_cls and not asks.cls.size:
        return None
    if config.model == "factorised_encoder" and stage == "time":
        if is_cls:
            return replace(asks, top=True)
        asks.cls[query[0]] = True
    elif is_cls:
        asks.cls[step if len(asks.cls) > 1 else 0] = True
    else:
        asks.tokens[query] = True
    return asks


def _factorised_encoder(asks: Who, stage: str) -> Pattern:
    if stage == "time":
        steps = over_time_steps(asks)
        return Pattern(asks, {"time": steps}, steps | over_space(steps))
    space = over_space(asks)  # however many blocks: a time step's own tokens are all there is
    return Pattern(asks, {"space": space}, space)


def _factorised_self_attention(config: ViViTConfig, asks: Who, stage: str) -> Pattern:
    ways = {"space": over_space, "time": over_time}
    first, second = config.attention_order.split("_")
    both = {axis: way(asks) for axis, way in ways.items()}
    if stage == first:
        return Pattern(asks, {stage: both[stage]}, both[stage])
    reached = ways[first](ways[second](asks))  # backwards: the later attention first
    return Pattern(asks, {stage: both[stage]} if stage == second else both, reached)


def _factorised_dot_product(asks: Who, stage: str) -> Pattern:
    both = {"space": over_space(asks), "time": over_time(asks)}
    if stage in both:
        return Pattern(asks, {stage: both[stage]}, both[stage])
    reached = asks
    for _ in range(min(int(stage.split()[0]), 2)):  # the second block already reaches all
        reached = over_space(reached) | over_time(reached)
    return Pattern(asks, both, reached)


# ---- what it costs


@dataclass(frozen=True)
class Pairs:
    """(query, key) pairs that one block compares, for all tokens of a clip together.

    `paper` is section 3.3's formula, which counts one sequence along each axis; `exact` counts
    every sequence and the class tokens. Both with their numbers, and the numbers' values.
    """

    paper: str
    paper_numbers: str
    paper_value: int
    exact: str
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
    cls = int(config.pooling == "cls")
    plus = " + 1" if cls else ""
    if config.model == "joint":
        n = t * s + cls
        return Pairs(
            "(n_t·n_h·n_w)²", f"{t * s:,}²", (t * s) ** 2, f"(t·s{plus})²", f"{n:,}²", n**2
        )
    paper = "(n_h·n_w)² + n_t²", f"{s}² + {t}²", s**2 + t**2
    if config.model == "factorised_encoder":
        a, b = s + cls, t + cls
        exact = f"t·(s{plus})² + (t{plus})²" if cls else "t·s² + t²"
        return Pairs(*paper, exact, f"{t}·{a}² + {b}²", t * a**2 + b**2)
    both, numbers = t * s**2 + s * t**2, f"{t}·{s}² + {s}·{t}²"
    if config.model == "factorised_self_attention":
        return Pairs(*paper, "t·s² + s·t²", numbers, both)
    return Pairs(*paper, "½ (t·s² + s·t²)", f"½ ({numbers})", both // 2)

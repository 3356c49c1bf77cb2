"""What a model costs in work, memory and time, from its configuration alone.

Memory is what the code holds at once; `measure_memory` runs the code and looks. Time is every kind
of work at the rate that `calibrate` measured for it, added up.
"""

import math
from dataclasses import dataclass

from vivit_lab.analysis.flops import (
    ATTENTION,
    closed_form,
    configuration,
    count_parameters,
    encoders,
    in_units,
    title_of,
)
from vivit_lab.errors import one_of, takes_plain, whole
from vivit_lab.models import ViViT, ViViTConfig
from vivit_lab.tables import Tabular

BYTES = {"float32": 4, "bfloat16": 2}  # of one number
OPTIMISERS = {"adamw": 2, "sgd": 1}  # numbers kept for each parameter: moments, or the momentum


@dataclass(frozen=True)
class Machine:
    """How fast a machine does each kind of work; `calibrate` measures one.

    Example:
        >>> Machine("a dream", 1e15, 1e15, 1e13, 0).name
        'a dream'
    """

    name: str
    linear: float  # MACs a second in matrix products with weights
    attention: float  # MACs a second in fused attention
    elementwise: float  # bytes a second read and written by norms, GELU, sums
    block: float  # seconds that a block takes if there is nothing to compute

    def __str__(self) -> str:
        return (
            f"{self.name}: {in_units(self.linear)}MAC/s in linear maps, "
            f"{in_units(self.attention)}MAC/s in attention, {in_bytes(self.elementwise)}/s in "
            f"element-wise work, {in_seconds(self.block)} a block at least"
        )


@dataclass(frozen=True)
class Cost(Tabular):
    """What a forward pass or a training step costs; printed, it is a small table.

    Example:
        >>> price = cost(ViViTConfig(), views=12)
        >>> f"{price.macs_per_video / 1e12:.1f} TMACs"
        '5.0 TMACs'
    """

    title: str
    macs: int  # one clip, forward, as this package computes it
    views: int  # clips of a video that are looked at, and averaged
    params: int
    parameter_bytes: int
    gradient_bytes: int  # 0 unless training, as for the next one
    optimiser_bytes: int
    activation_bytes: int  # the most that a pass holds at once; the clips themselves included
    total_bytes: int  # the most at once; in training less than the sum, see `cost`
    seconds: float | None  # predicted for one pass or step of the whole batch; None: no machine

    @property
    def macs_per_video(self) -> int:
        """Forward MACs of all views of one video."""
        return self.macs * self.views

    def _table(self) -> tuple:
        rows = [("one clip, forward", f"{in_units(self.macs)}MACs")]
        if self.views > 1:
            rows.append((f"one video, {self.views} views", f"{in_units(self.macs_per_video)}MACs"))
        of_parameters = f"{in_bytes(self.parameter_bytes)} for {in_units(self.params).strip()}"
        rows.append(("parameters", of_parameters))
        if self.gradient_bytes:
            rows.append(("gradients", in_bytes(self.gradient_bytes)))
            rows.append(("optimiser", in_bytes(self.optimiser_bytes)))
        rows.append(("activations", in_bytes(self.activation_bytes)))
        rows.append(("memory in all", in_bytes(self.total_bytes)))
        if self.seconds is not None:
            what = "a step" if self.gradient_bytes else "a pass"
            rows.append((f"{what}, predicted", in_seconds(self.seconds)))
        return rows, "lr", [self.title]


@takes_plain
def cost(
    config_or_model: ViViTConfig | ViViT,
    *,
    batch: int = 1,
    views: int = 1,
    training: bool = False,
    dtype: str = "float32",
    explicit_attention: bool = False,
    checkpointing: bool = False,
    optimiser: str = "adamw",
    machine: Machine | None = None,
) -> Cost:
    """MACs, memory and time of a forward pass, or of a training step.

    Args:
        config_or_model: what to price.
        batch: clips that go through at once.
        views: clips of a video that are looked at in a test; the paper looks at 4 x 3 = 12.
        training: forward, backward and the optimiser's step. Memory in all is less than the sum:
            gradients of parameters come as activations go.
        dtype: "float32" | "bfloat16", of everything.
        explicit_attention: hold the attention weights in memory, as without a fused kernel.
        checkpointing: keep only the input of each block (`model.set_grad_checkpointing()`).
        optimiser: "adamw" | "sgd" (with momentum).
        machine: predict the time on it, from `calibrate()`.

    Dropout is taken to be 0, as in the paper's recipes. torch's own few hundred MB are not counted.
    Raises ValueError or TypeError for illegal options. Source: paper sections 3.3, 4.1.

    Example:
        >>> print(cost(ViViTConfig.preset("B/16x2", model="factorised_encoder"), training=True))
        Model 2: factorised encoder · 1 x 32 x 224 x 224 · float32 · training step
        one clip, forward            265.66 GMACs
        parameters         460.25 MB for 115.06 M
        gradients                       460.25 MB
        optimiser                       920.50 MB
        activations                       1.89 GB
        memory in all                     3.27 GB
    """
    config = configuration(config_or_model)
    one_of("dtype", dtype, BYTES)
    one_of("optimiser", optimiser, OPTIMISERS)
    whole("batch", batch)
    whole("views", views)
    if checkpointing and not training:
        raise ValueError("checkpointing is True, but saves memory in training only: training=True.")
    if isinstance(config_or_model, ViViT):
        params = sum(p.numel() for p in config_or_model.parameters())
    else:
        params = count_parameters(config)
    size = BYTES[dtype]
    if training:
        kept, working = kept_numbers(config, explicit_attention, checkpointing)
        activations = batch * size * (kept + working)
        most = max(activations, params * size + batch * size * working)
        most += params * size * (1 + OPTIMISERS[optimiser])
    else:
        activations = batch * size * peak_numbers(config, explicit_attention)
        most = activations + params * size
    seconds = None
    if machine is not None:
        passes = 3 + checkpointing if training else 1  # the way back costs two ways there
        moved = batch * size * _moved_numbers(config, explicit_attention)
        seconds = passes * _forward_seconds(config, batch, moved, machine)
    what = "training step" if training else "forward pass"
    return Cost(
        title=f"{title_of(config, batch)} · {dtype} · {what}",
        macs=sum(term.macs for term in closed_form(config, as_run=True)),
        views=views,
        params=params,
        parameter_bytes=params * size,
        gradient_bytes=params * size * training,
        optimiser_bytes=params * size * OPTIMISERS[optimiser] * training,
        activation_bytes=round(activations),
        total_bytes=round(most),
        seconds=seconds,
    )


def in_bytes(number: float) -> str:
    """Memory in human units (1 kB = 1000 bytes).

    >>> in_bytes(460_251_712)
    '460.25 MB'
    """
    return f"{in_units(number)}B"


def in_seconds(seconds: float) -> str:
    """Time in human units."""
    for unit, factor in (("days", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= factor:
            value = seconds / factor
            return f"{value:.{0 if value >= 100 else 1}f} {unit}"
    return f"{1000 * seconds:.{0 if seconds >= 0.01 else 2}f} ms"


# ---- memory

# Vectors of width D that a block keeps for the way back, a token: its input, the norm's output,
# q, k, v, what attention answers, the sum, the second norm's output. (In the MLP there are two
# more, of the MLP's width: before and after the GELU.) Model 3 has a second attention; Model 4,
# with fused attention, also holds its temporal heads' q, k, v in an order of their own (not for
# one clip alone), and both halves side by side.
KEPT = {
    "joint": 8,
    "factorised_encoder": 8,
    "factorised_self_attention": 14,
    "factorised_dot_product": 10.5,
}


def kept_numbers(
    config: ViViTConfig, explicit_attention: bool = False, checkpointing: bool = False
) -> tuple[float, float]:
    """Numbers kept for the way back, of one clip, it included; what the largest block needs too."""
    d, mlp, cls = config.dim, config.mlp_dim, config.pooling == "cls"
    halves = config.model == "factorised_dot_product"
    rows = 8 if explicit_attention and halves else KEPT[config.model]
    kept, working = float(math.prod(config.clip_shape) + _box_numbers(config)), 0.0
    for kinds in encoders(config):
        depth, tokens, sequences = kinds[0].depth, kinds[0].tokens, kinds[0].sequences
        maps = sum(kind.weights for kind in kinds) * explicit_attention
        a_block = tokens * (rows * d + 2 * mlp + config.heads) + maps
        last = tokens * 5 * d + sequences * (3 * d + 2 * mlp)  # for class tokens only
        full = depth - cls
        out = (sequences if cls else tokens) * d
        on_the_way_back = tokens * 2 * (d + mlp) + 2 * maps if full else 0
        if checkpointing:
            kept += depth * tokens * d + out
            on_the_way_back += a_block if full else last
        else:
            kept += full * a_block + last * cls + out
        working = max(working, on_the_way_back)
    return kept, working


def peak_numbers(config: ViViTConfig, explicit_attention: bool = False) -> float:
    """The most numbers that a forward pass on one clip holds at once, the clip included."""
    d, mlp, cls = config.dim, config.mlp_dim, config.pooling == "cls"
    held = 3 if config.model == "factorised_self_attention" else 4
    most = _box_numbers(config) + config.tokens * d  # the tokenizer
    for kinds in encoders(config):
        tokens, largest = kinds[0].tokens, max(kind.weights for kind in kinds)
        most = max(most, tokens * 3 * d)  # positions, class tokens
        if kinds[0].depth > cls:  # the MLP's hidden layers; weights before and after the softmax
            most = max(most, tokens * (held * d + 2 * mlp))
            most = max(most, tokens * 5 * d + 2 * largest * explicit_attention)
        if cls:
            most = max(most, tokens * 5 * d)
    return math.prod(config.clip_shape) + most


def _box_numbers(config: ViViTConfig) -> int:
    """The voxels of all tokens, cut out and put side by side."""
    return config.tokens * config.in_channels * math.prod(config.tubelet)


# ---- time: every kind of work at its own rate, one after the other


def _forward_seconds(config: ViViTConfig, batch: int, moved: float, machine: Machine) -> float:
    macs = {True: 0, False: 0}  # in attention, in linear maps
    for term in closed_form(config, batch=batch, as_run=True):
        macs[term.part in ATTENTION.values()] += term.macs
    seconds = macs[False] / machine.linear + macs[True] / machine.attention
    seconds += moved / machine.elementwise
    return seconds + machine.block * sum(first.depth for first, *_ in encoders(config))


# numbers read or written a token, as multiples of D: a norm 2, a sum 3, a change of order 2
MOVED = {
    "joint": 10,
    "factorised_encoder": 10,
    "factorised_self_attention": 20,
    "factorised_dot_product": 15,
}


def _moved_numbers(config: ViViTConfig, explicit_attention: bool) -> float:
    """Numbers that element-wise work on one clip reads and writes."""
    cls, moved = config.pooling == "cls", 2.0 * _box_numbers(config)
    for kinds in encoders(config):
        full, tokens = kinds[0].depth - cls, kinds[0].tokens
        maps = sum(kind.weights for kind in kinds) * explicit_attention
        moved += full * tokens * (MOVED[config.model] * config.dim + 2 * config.mlp_dim)
        moved += cls * tokens * 2 * config.dim + 4 * full * maps
    return moved

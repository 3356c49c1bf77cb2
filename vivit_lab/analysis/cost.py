"""What a model costs in work, memory and time, from its configuration alone.

Memory is counted from what the code of this package holds at once; `measure_memory` runs the code
and looks, and a test compares the two. Time is a roofline: every kind of work at the rate that
`calibrate` measured for it, added up.
"""

import html
from dataclasses import dataclass

from vivit_lab.analysis.flops import closed_form, configuration, count_parameters, in_units
from vivit_lab.errors import one_of, whole
from vivit_lab.models import MODELS, ViViT, ViViTConfig

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
class Cost:
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
    batch: int = 1

    @property
    def macs_per_video(self) -> int:
        """Forward MACs of all views of one video."""
        return self.macs * self.views

    @property
    def seconds_per_video(self) -> float | None:
        """All views of one video at the predicted pace."""
        return None if self.seconds is None else self.seconds / self.batch * self.views

    def rows(self) -> list[tuple[str, str]]:
        """(what, how much) for the table."""
        rows = [("one clip, forward", f"{in_units(self.macs)}MACs")]
        if self.views > 1:
            rows.append((f"one video, {self.views} views", f"{in_units(self.macs_per_video)}MACs"))
        rows.append(
            ("parameters", f"{in_bytes(self.parameter_bytes)} for {in_units(self.params).strip()}")
        )
        if self.gradient_bytes:
            rows.append(("gradients", in_bytes(self.gradient_bytes)))
            rows.append(("optimiser", in_bytes(self.optimiser_bytes)))
        rows.append(("activations", in_bytes(self.activation_bytes)))
        rows.append(("memory in all", in_bytes(self.total_bytes)))
        if self.seconds is not None:
            what = "a step" if self.gradient_bytes else "a pass"
            rows.append((f"{what}, predicted", in_seconds(self.seconds)))
        return rows

    def __str__(self) -> str:
        return "\n".join([self.title, *(f"{what:24} {much:>22}" for what, much in self.rows())])

    def _repr_html_(self) -> str:
        cell = '<td style="padding:2px 14px 2px 0;text-align:{}">{}</td>'
        body = "".join(
            f"<tr>{cell.format('left', html.escape(what))}{cell.format('right', much)}</tr>"
            for what, much in self.rows()
        )
        table = f'<table style="border-collapse:collapse">{body}</table>'
        return f"<div><b>{html.escape(self.title)}</b></div>{table}"


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
        training: forward, backward and the optimiser's step. Memory in all is then less than the
            sum: on the way back, gradients of parameters come as activations go.
        dtype: "float32" | "bfloat16", of everything.
        explicit_attention: hold the attention weights in memory, as without a fused kernel.
        checkpointing: keep only the input of each block (`model.set_grad_checkpointing()`).
        optimiser: "adamw" | "sgd" (with momentum).
        machine: predict the time on it, from `calibrate()`.

    Raises:
        TypeError, ValueError: naming the argument.

    Dropout is taken to be 0, as in all of the paper's recipes. Memory that a library takes for
    itself, torch's few hundred MB among it, is not counted.

    Source: paper section 3.3 (work), section 4.1 (views).

    Example:
        >>> print(cost(ViViTConfig.preset("B/16x2", model="factorised_encoder"), training=True))
        Model 2: factorised encoder · 1 x 32 x 224 x 224 · float32 · training step
        one clip, forward                  263.80 GMACs
        parameters               460.25 MB for 115.06 M
        gradients                             460.25 MB
        optimiser                             920.50 MB
        activations                             1.88 GB
        memory in all                           3.26 GB
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
        seconds = _seconds(
            config, batch, size, training, checkpointing, explicit_attention, machine
        )
    return Cost(
        title=_title(config, batch, dtype, training),
        macs=sum(term.macs for term in closed_form(config, as_run=True)),
        views=views,
        params=params,
        parameter_bytes=params * size,
        gradient_bytes=params * size * training,
        optimiser_bytes=params * size * OPTIMISERS[optimiser] * training,
        activation_bytes=round(activations),
        total_bytes=round(most),
        seconds=seconds,
        batch=batch,
    )


def in_bytes(number: float) -> str:
    """Memory in human units (1 kB = 1000 bytes).

    Example:
        >>> in_bytes(460_251_712)
        '460.25 MB'
    """
    return f"{in_units(number)}B"


def in_seconds(seconds: float) -> str:
    """Time in human units.

    Example:
        >>> in_seconds(0.0123), in_seconds(75)
        ('12 ms', '75.0 s')
    """
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{1000 * seconds:.{0 if seconds >= 0.01 else 2}f} ms"


def _title(config: ViViTConfig, batch: int, dtype: str, training: bool) -> str:
    height, width = config.image_size
    clips = f"{batch} x {config.frames} x {height} x {width}"
    what = "training step" if training else "forward pass"
    return " · ".join([MODELS[config.model], clips, dtype, what])


# ---- memory


@dataclass(frozen=True)
class _Stack:
    """Blocks one after another over the same tokens; numbers are for one clip."""

    depth: int
    tokens: int  # that go through a block, class tokens included
    maps: int  # attention weights of one block, all heads
    largest: int  # of these, the weights along the axis that has the most
    sequences: int  # that attend to themselves, each with a class token if `first_only`
    first_only: bool  # the last block answers for the class tokens alone


def _stacks(config: ViViTConfig) -> list[_Stack]:
    kinds = config.attentions()
    if config.model in ("factorised_self_attention", "factorised_dot_product"):
        maps = [kind.weights for kind in kinds]  # both kinds in one block, over the same tokens
        return [_Stack(config.depth, config.tokens, sum(maps), max(maps), 0, False)]
    cls = config.pooling == "cls"
    return [_Stack(k.depth, k.tokens, k.weights, k.weights, k.sequences, cls) for k in kinds]


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
    """Numbers that a training step on one clip holds: kept by forward, and needed on the way back.

    Returns:
        (kept for the way back, the clip included; what the largest block needs besides).

    Example:
        >>> kept, working = kept_numbers(ViViTConfig(), checkpointing=True)
        >>> round(kept / 1e6), round(working / 1e6)
        (39, 63)
    """
    d, mlp = config.dim, config.mlp_dim
    kept, working = float(_clip_numbers(config) + _box_numbers(config)), 0.0
    for stack in _stacks(config):
        rows = KEPT[config.model]
        if explicit_attention and config.model == "factorised_dot_product":
            rows = 8
        a_block = stack.tokens * (rows * d + 2 * mlp + config.heads)
        a_block += stack.maps * explicit_attention
        last = stack.tokens * 4 * d + stack.sequences * (4 * d + 2 * mlp)  # for class tokens only
        full = stack.depth - stack.first_only
        out = (stack.sequences if stack.first_only else stack.tokens) * d
        on_the_way_back = stack.tokens * 2 * (d + mlp) + 2 * stack.maps * explicit_attention
        on_the_way_back *= full > 0
        if checkpointing:
            kept += stack.depth * stack.tokens * d + out
            on_the_way_back += a_block if full else last
        else:
            kept += full * a_block + last * stack.first_only + out
        working = max(working, on_the_way_back)
    return kept, working


def peak_numbers(config: ViViTConfig, explicit_attention: bool = False) -> float:
    """The most numbers that a forward pass on one clip holds at once, the clip included.

    The largest moment is in the MLP, with both of its hidden layers, or in the attention that
    holds its weights before and after the softmax.

    Example:
        >>> peak_numbers(ViViTConfig()) < peak_numbers(ViViTConfig(), explicit_attention=True)
        True
    """
    d, mlp = config.dim, config.mlp_dim
    tokens = config.tokens
    moments = [_box_numbers(config) + tokens * d]  # the tokenizer
    for stack in _stacks(config):
        moments.append(stack.tokens * 3 * d)  # positions, class tokens
        if stack.depth > stack.first_only:
            held = 3 if config.model == "factorised_self_attention" else 4
            moments.append(stack.tokens * (held * d + 2 * mlp))
            moments.append(stack.tokens * 5 * d + 2 * stack.largest * explicit_attention)
        if stack.first_only:
            moments.append(stack.tokens * 5 * d)
    return _clip_numbers(config) + max(moments)


def _clip_numbers(config: ViViTConfig) -> int:
    frames, channels, height, width = config.clip_shape
    return frames * channels * height * width


def _box_numbers(config: ViViTConfig) -> int:
    """The voxels of all tokens, cut out and put side by side."""
    t, h, w = config.tubelet
    return config.tokens * config.in_channels * t * h * w


# ---- time


def _seconds(
    config: ViViTConfig,
    batch: int,
    size: int,
    training: bool,
    checkpointing: bool,
    explicit_attention: bool,
    machine: Machine,
) -> float:
    """Every kind of work at its own rate, one after the other."""
    linear = attention = 0
    for term in closed_form(config, batch=batch, as_run=True):
        if term.part.endswith(" attention"):
            attention += term.macs
        else:
            linear += term.macs
    forward = linear / machine.linear + attention / machine.attention
    forward += batch * size * _moved_numbers(config, explicit_attention) / machine.elementwise
    forward += machine.block * sum(stack.depth for stack in _stacks(config))
    passes = 3 + checkpointing if training else 1  # the way back costs two ways there
    return passes * forward


# numbers read or written a token, as multiples of D: a norm 2, a sum 3, a change of order 2
MOVED = {
    "joint": 10,
    "factorised_encoder": 10,
    "factorised_self_attention": 20,
    "factorised_dot_product": 15,
}


def _moved_numbers(config: ViViTConfig, explicit_attention: bool) -> float:
    """Numbers that element-wise work on one clip reads and writes."""
    moved = 2.0 * _box_numbers(config)
    for stack in _stacks(config):
        full = stack.depth - stack.first_only
        moved += full * stack.tokens * (MOVED[config.model] * config.dim + 2 * config.mlp_dim)
        moved += stack.first_only * stack.tokens * 2 * config.dim
        moved += 4 * full * stack.maps * explicit_attention
    return moved

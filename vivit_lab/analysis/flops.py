"""What one forward pass computes, in multiply-accumulates, counted in three ways that must agree.

1 MAC = 1 multiply-accumulate = 2 FLOPs. The "GFLOPs" of the paper's tables are GMACs of one view.
Counted are matrix products, in which all of the cost lies but for half a percent: the paper's
numbers also hold the element-wise work (norms, GELU, softmax), as XLA counts it.
"""

import copy
import dataclasses
import html
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from vivit_lab.errors import one_of, whole
from vivit_lab.models import MODELS, ViViT, ViViTConfig, build_model
from vivit_lab.models.layers import Attention, Mlp

COUNTERS = ("fvcore", "torch", "closed_form")
PARTS = (
    "tokenizer",
    "projections",  # the linear maps to q, k and v, and back
    "joint attention",  # attention's own two products: q with k, weights with v
    "spatial attention",
    "temporal attention",
    "mlp",
    "head",
)


@dataclass(frozen=True)
class Term:
    """One line of the closed form: what is multiplied, and how often."""

    part: str  # of the model: a key of FlopCount.by_part
    what: str
    formula: str  # in the paper's letters; N is the length of a sequence, class token included
    macs: int
    section: str  # of the paper


@dataclass(frozen=True)
class FlopCount:
    """What a model computes in one forward pass; printed, it is a small table.

    Example:
        >>> FlopCount("torch", {"mlp": 60, "head": 4}, params=20, title="a toy").flops
        128
    """

    counter: str  # who counted: one of COUNTERS
    by_part: dict[str, int]  # MACs of each of PARTS that the model has
    params: int  # exact
    title: str  # what was counted
    terms: tuple[Term, ...] = ()  # the closed form's lines; the other counters have none

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all matrix products."""
        return sum(self.by_part.values())

    @property
    def flops(self) -> int:
        """2 x MACs: a multiplication and an addition each."""
        return 2 * self.macs

    def rows(self) -> list[tuple[str, str, str]]:
        """(part, MACs, share) for the table; the last row is the total."""
        return [
            (part, f"{in_units(macs)}MACs", f"{100 * macs / max(self.macs, 1):.1f} %")
            for part, macs in [*self.by_part.items(), ("total", self.macs)]
        ]

    def __str__(self) -> str:
        rows = [f"{part:20} {macs:>14} {share:>8}" for part, macs, share in self.rows()]
        return "\n".join([self._header(), *rows, self._footer()])

    def _repr_html_(self) -> str:
        cell = '<td style="padding:2px 14px 2px 0;text-align:{}">{}</td>'
        body = "".join(
            f"<tr>{cell.format('left', html.escape(part))}{cell.format('right', macs)}"
            f"{cell.format('right', share)}</tr>"
            for part, macs, share in self.rows()
        )
        return (
            f"<div><b>{html.escape(self._header())}</b></div>"
            f'<table style="border-collapse:collapse">{body}</table><div>{self._footer()}</div>'
        )

    def _header(self) -> str:
        return f"{self.title} · counted by {self.counter.replace('_', ' ')}"

    def _footer(self) -> str:
        return f"{self.params:,} parameters · 1 MAC = 2 FLOPs: {self.flops / 1e9:,.2f} GFLOP"


def in_units(number: float) -> str:
    """A count in human units, to be followed by what was counted.

    Example:
        >>> in_units(451_524_753_408) + "MACs", in_units(88_954_000)
        ('451.52 GMACs', '88.95 M')
    """
    for unit, factor in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= factor:
            return f"{number / factor:.2f} {unit}"
    return f"{number:.0f} "


def count_flops(
    config_or_model: ViViTConfig | ViViT,
    *,
    counter: str = "fvcore",
    batch: int = 1,
    as_run: bool = False,
    naive: bool = False,
) -> FlopCount:
    """MACs of one forward pass, by part, and the parameters. Nothing is really computed.

    Args:
        config_or_model: a configuration, or a model, which stays as it is.
        counter: "fvcore" | "torch": let that library watch a model without memory (torch's meta
            device) run; "closed_form": the formulas of `closed_form`, from the configuration.
        batch: clips.
        as_run: False counts the whole last block, as the paper does. True counts what this
            package's forward really does: where only the class token is read after the last block,
            that block answers for the class token alone (the same logits for less work).
        naive: count as counters do that do not know fused attention: its products vanish.

    Raises:
        TypeError, ValueError: for anything else, naming it.

    Warns:
        UserWarning: fvcore met an operation that it cannot count.

    Source: paper section 3.3 and table 2.

    Example:
        >>> config = ViViTConfig.preset("B/16x2", model="factorised_encoder")
        >>> count = count_flops(config, counter="closed_form")
        >>> round(count.macs / 1e9, 1), count.params
        (283.3, 115062928)
    """
    one_of("counter", counter, COUNTERS)
    whole("batch", batch)
    config = configuration(config_or_model)
    if counter == "closed_form":
        terms = tuple(closed_form(config, batch=batch, as_run=as_run))
        by_part = _sums(terms)
        params = count_parameters(config)
    else:
        terms = ()
        model, times = _stand_in(config_or_model)
        if not as_run:
            _compute_every_token(model)
        count = _count_by_fvcore if counter == "fvcore" else _count_by_torch
        clip = torch.empty(batch, *config.clip_shape, device="meta")
        with torch.inference_mode():
            by_part = _by_part(model, count(model, clip, naive), times)
        params = sum(p.numel() * _repeats(name, times) for name, p in model.named_parameters())
    if naive and counter != "fvcore":  # fvcore really does not see them
        by_part = {part: 0 if part.endswith(" attention") else n for part, n in by_part.items()}
    return FlopCount(counter, by_part, params, _title(config, batch, as_run, naive), terms)


def configuration(config_or_model: ViViTConfig | ViViT) -> ViViTConfig:
    """The configuration of either.

    Example:
        >>> configuration(ViViTConfig(frames=16)).frames
        16
    """
    if isinstance(config_or_model, ViViTConfig):
        return config_or_model
    if isinstance(config_or_model, ViViT):
        return config_or_model.config
    raise TypeError(
        f"This takes a ViViTConfig or a ViViT model, not {type(config_or_model).__name__}; for a "
        "preset write ViViTConfig.preset('B/16x2', model='joint')."
    )


def _sums(terms: Sequence[Term]) -> dict[str, int]:
    """MACs by part, in the order of PARTS."""
    found = {term.part for term in terms}
    return {p: sum(t.macs for t in terms if t.part == p) for p in PARTS if p in found}


def _title(config: ViViTConfig, batch: int, as_run: bool, naive: bool) -> str:
    height, width = config.image_size
    words = [MODELS[config.model], f"{batch} x {config.frames} x {height} x {width}"]
    words += ["last block as run"] * as_run + ["fused attention overlooked"] * naive
    return " · ".join(words)


# ---- closed form: every matrix product, one line each


def closed_form(config: ViViTConfig, *, batch: int = 1, as_run: bool = False) -> list[Term]:
    """Every matrix product of the model as a formula with its value.

    Letters as in the paper: t and s tokens in time and in a frame, D the width, L the blocks, N the
    length of a sequence that attends to itself, class token included. The two products of attention
    (q with k, weights with v) are a term each, summed over the heads, whose number cancels out.

    Args:
        batch: clips.
        as_run: count the last block for the class token alone, where that is all that is read.

    Source: paper sections 3.1-3.3, a section number with each term. Attention grows with (t s)^2 in
        Model 1, with t s^2 + t^2 in Model 2 and with t s^2 + s t^2 in Models 3 and 4.

    Example:
        >>> terms = closed_form(ViViTConfig())
        >>> print(terms[3].what, "=", terms[3].formula, "=", terms[3].macs)
        q with k = L · N² · D = 90692527104
    """
    t, s, d = config.temporal_tokens, config.spatial_tokens, config.dim
    has_cls = config.pooling == "cls"
    first_only = as_run and has_cls
    terms = [
        Term("tokenizer", "embedding", "t·s · (voxels of a token) · D",
             batch * t * s * _voxels(config) * d, "3.2"),
    ]  # fmt: skip
    if config.model == "joint":
        terms += _encoder(
            config, "joint", "3.3.1", batch, t * s + has_cls, config.depth, first_only
        )
    elif config.model == "factorised_encoder":
        terms += _encoder(
            config, "spatial", "3.3.2", batch * t, s + has_cls, config.depth, first_only
        )
        if config.temporal_depth:
            terms += _encoder(
                config, "temporal", "3.3.2", batch, t + has_cls, config.temporal_depth, first_only
            )
    elif config.model == "factorised_self_attention":
        terms += _factorised_self_attention(config, batch)
    else:
        terms += _factorised_dot_product(config, batch)
    for name, classes in _heads(config).items():
        terms.append(Term("head", name, "D · classes", batch * d * classes, "3.1"))
    return terms


def _encoder(
    config: ViViTConfig,
    axis: str,
    section: str,
    sequences: int,
    n: int,
    depth: int,
    first_only: bool,
) -> list[Term]:
    """`depth` blocks (eqs. 2-3) over `sequences` sequences of `n` tokens."""
    d, mlp = config.dim, config.mlp_dim
    blocks = depth * sequences
    full = blocks - sequences * first_only  # passes that answer for all n tokens
    one = sequences * first_only  # passes of the last block for the class token alone
    outs = full * n + one  # tokens that come out of all blocks
    attention = f"{axis} attention"
    by = "L · t · N" if axis == "spatial" else "L · N"
    last = ", less in the last block" if first_only else ""
    return [
        Term("projections", "to q, k, v", f"{by} · 3D²{last}", (outs + 2 * blocks * n) * d * d,
             section),
        Term("projections", "back", f"{by} · D²{last}", outs * d * d, section),
        Term(attention, "q with k", f"{by}² · D{last}", outs * n * d, section),
        Term(attention, "weights with v", f"{by}² · D{last}", outs * n * d, section),
        Term("mlp", "two layers", f"{by} · 2D·D_mlp{last}", outs * 2 * d * mlp, "3.1"),
    ]  # fmt: skip


def _factorised_self_attention(config: ViViTConfig, batch: int) -> list[Term]:
    """Model 3: two attentions a block, over space and over time, each with its own projections."""
    t, s, d, mlp = config.temporal_tokens, config.spatial_tokens, config.dim, config.mlp_dim
    n, blocks = t * s, config.depth * batch
    return [
        Term("projections", "to q, k, v, twice", "2 · L · t·s · 3D²", 2 * blocks * n * 3 * d * d,
             "3.3.3"),
        Term("projections", "back, twice", "2 · L · t·s · D²", 2 * blocks * n * d * d, "3.3.3"),
        Term("spatial attention", "q with k", "L · t·s² · D", blocks * t * s * s * d, "3.3.3"),
        Term("spatial attention", "weights with v", "L · t·s² · D", blocks * t * s * s * d,
             "3.3.3"),
        Term("temporal attention", "q with k", "L · s·t² · D", blocks * s * t * t * d, "3.3.3"),
        Term("temporal attention", "weights with v", "L · s·t² · D", blocks * s * t * t * d,
             "3.3.3"),
        Term("mlp", "two layers", "L · t·s · 2D·D_mlp", blocks * n * 2 * d * mlp, "3.1"),
    ]  # fmt: skip


def _factorised_dot_product(config: ViViTConfig, batch: int) -> list[Term]:
    """Model 4: one attention a block, half of its width over space, the other half over time."""
    t, s, d, mlp = config.temporal_tokens, config.spatial_tokens, config.dim, config.mlp_dim
    n, blocks, half = t * s, config.depth * batch, config.dim // 2
    return [
        Term("projections", "to q, k, v", "L · t·s · 3D²", blocks * n * 3 * d * d, "3.3.4"),
        Term("projections", "back", "L · t·s · D²", blocks * n * d * d, "3.3.4"),
        Term("spatial attention", "q with k", "L · t·s² · D/2", blocks * t * s * s * half, "3.3.4"),
        Term("spatial attention", "weights with v", "L · t·s² · D/2", blocks * t * s * s * half,
             "3.3.4"),
        Term("temporal attention", "q with k", "L · s·t² · D/2", blocks * s * t * t * half,
             "3.3.4"),
        Term("temporal attention", "weights with v", "L · s·t² · D/2", blocks * s * t * t * half,
             "3.3.4"),
        Term("mlp", "two layers", "L · t·s · 2D·D_mlp", blocks * n * 2 * d * mlp, "3.1"),
    ]  # fmt: skip


def count_parameters(config: ViViTConfig) -> int:
    """Parameters of the model that `build_model(config)` would make, exactly.

    Example:
        >>> count_parameters(ViViTConfig())
        88954000
    """
    d, mlp = config.dim, config.mlp_dim
    t, s, has_cls = config.temporal_tokens, config.spatial_tokens, config.pooling == "cls"
    norm, scale = 2 * d, d * (config.layer_scale is not None)
    branch = norm + scale
    attention = (d + 1) * 3 * d + (d + 1) * d  # with biases
    block = branch + attention + branch + (d + 1) * mlp + (mlp + 1) * d
    table = t * s * d
    total = (_voxels(config) + 1) * d + norm  # the tokenizer; the norm after the last block
    if config.model == "factorised_self_attention":
        block += branch + attention
    if config.model == "factorised_encoder":
        table = (s + has_cls) * d
        if config.temporal_depth:
            total += (t + has_cls) * d + has_cls * d + norm + config.temporal_depth * block
    if config.model == "joint":
        table += has_cls * d
    total += table + has_cls * d + config.depth * block
    return total + sum((d + 1) * classes for classes in _heads(config).values())


def _voxels(config: ViViTConfig) -> int:
    return config.in_channels * math.prod(config.tubelet)


def _heads(config: ViViTConfig) -> dict[str, int]:
    classes = config.num_classes
    return classes if isinstance(classes, dict) else {"classes": classes}


# ---- counters that watch a model run


def _stand_in(config_or_model: ViViTConfig | ViViT) -> tuple[ViViT, dict[str, int]]:
    """A model on the meta device, and how often each of its blocks stands for its like.

    The blocks of a stack are alike but for the last one, so two of them do for a configuration.
    A model that is given is copied whole, weights apart, in case somebody has changed it.
    """
    if isinstance(config_or_model, ViViT):
        kept = [*config_or_model.parameters(), *config_or_model.buffers()]
        memo = {id(tensor): _without_memory(tensor) for tensor in kept}
        return copy.deepcopy(config_or_model, memo).eval(), {}
    config = config_or_model
    depth = {"depth": config.depth, "temporal_depth": config.temporal_depth}
    two = {name: min(blocks, 2) for name, blocks in depth.items() if blocks}
    with torch.device("meta"):
        model = build_model(dataclasses.replace(config, **two)).eval()
    return model, {
        stack: depth[name] - 1
        for stack, name in (("blocks", "depth"), ("temporal_blocks", "temporal_depth"))
        if (depth[name] or 0) > 1
    }


def _without_memory(tensor: torch.Tensor) -> torch.Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty) if isinstance(tensor, nn.Parameter) else empty


def _repeats(name: str, times: dict[str, int]) -> int:
    """How often the module or parameter `name` stands in the whole model."""
    stack, _, rest = name.partition(".")
    return times.get(stack, 1) if rest.partition(".")[0] == "0" else 1


def _compute_every_token(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, Attention):
            module.first_only = False


Counts = dict[str, dict[str, int]]  # module: {operation: MACs}, what its submodules do included


def _count_by_fvcore(model: nn.Module, clip: torch.Tensor, naive: bool) -> Counts:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore imports what torch has deprecated
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(model, clip)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.tracer_warnings("none")
        analysis.set_op_handle("aten::layer_norm", _no_product)  # which fvcore adds to the rest
        if not naive:
            analysis.set_op_handle("aten::scaled_dot_product_attention", _fused_attention)
        analysis.set_op_handle("aten::baddbmm", _batched_product_and_sum)
        counts = analysis.by_module_and_operator()
    overlooked = analysis.unsupported_ops().keys() - ELEMENTWISE
    overlooked -= {"aten::scaled_dot_product_attention"} if naive else set()
    if overlooked:
        warnings.warn(
            f"fvcore cannot count {', '.join(sorted(overlooked))}: the MACs may be too few.",
            stacklevel=3,
        )
    return {
        name: {operation: int(macs) for operation, macs in operations.items()}
        for name, operations in counts.items()
    }


# what fvcore has no formula for and needs none: no matrix product
ELEMENTWISE = {
    f"aten::{name}{suffix}"
    for name in ("add", "sub", "mul", "div", "neg", "exp", "softmax", "gelu", "tanh", "mean", "sum")
    for suffix in ("", "_")  # a trailing _ works in place
}


def _no_product(inputs: list, outputs: list) -> int:
    return 0


def _fused_attention(inputs: list, outputs: list) -> int:
    """q (..., N, d), k (..., M, d), v (..., M, e): N·M·d for q with k, N·M·e for weights with v."""
    q, k, v = (value.type().sizes() for value in inputs[:3])
    return math.prod(q[:-1]) * k[-2] * (q[-1] + v[-1])


def _batched_product_and_sum(inputs: list, outputs: list) -> int:
    a, b = (value.type().sizes() for value in inputs[1:3])
    return math.prod(a) * b[-1]


def _count_by_torch(model: nn.Module, clip: torch.Tensor, naive: bool) -> Counts:
    """On the meta device torch takes fused attention apart, so that its products are counted."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, _ContiguousLinear():
        model(clip)
    root = type(model).__name__
    return {
        "" if name == "Global" else name.removeprefix(f"{root}."): {
            str(operation): flops // 2 for operation, flops in operations.items()
        }
        for name, operations in counter.get_flop_counts().items()
        if name != root
    }


class _ContiguousLinear(TorchFunctionMode):
    """Let torch see a linear map as one; of a strided input it makes a batched product."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.nn.functional.linear:
            args = (args[0].contiguous(), *args[1:])
        return function(*args, **(kwargs or {}))


LINEAR = ("linear", "aten.addmm", "aten.mm")  # products with weights; attention's are batched


def _by_part(model: ViViT, counts: Counts, times: dict[str, int]) -> dict[str, int]:
    """Sum what the modules did into the parts that the closed form has."""
    by_part = dict.fromkeys(_sums(closed_form(model.config)), 0)

    def add(part: str, macs: int) -> None:
        by_part[part] = by_part.get(part, 0) + macs

    once = 0  # what was seen, every block counted as often as it ran
    for name, module in model.named_modules():
        operations = counts.get(name, {})
        repeats = _repeats(name, times)
        outside = name == "patch_embed" or (name.startswith("head") and type(module) is nn.Linear)
        if isinstance(module, (Attention, Mlp)) or outside:
            once += sum(operations.values())
        if isinstance(module, Attention):
            linear = sum(operations.get(op, 0) for op in LINEAR)
            add("projections", repeats * linear)
            attention = repeats * (sum(operations.values()) - linear)
            for part, macs in _along_axes(name, attention, model.config).items():
                add(part, macs)
        elif isinstance(module, Mlp):
            add("mlp", repeats * sum(operations.values()))
        elif outside:
            add("tokenizer" if name == "patch_embed" else "head", sum(operations.values()))
    rest = sum(counts.get("", {}).values()) - once
    return by_part | ({"other": rest} if rest else {})  # somebody has changed the model


def _along_axes(name: str, macs: int, config: ViViTConfig) -> dict[str, int]:
    """Name the axis that the attention module `name` looks along."""
    if config.model == "joint":
        return {"joint attention": macs}
    if config.model == "factorised_dot_product":  # one module for both: s : t by the tokens seen
        t, s = config.temporal_tokens, config.spatial_tokens
        spatial = macs * s // (s + t)
        return {"spatial attention": spatial, "temporal attention": macs - spatial}
    over_time = name.startswith("temporal_blocks") or name.endswith("attn_time")
    return {"temporal attention" if over_time else "spatial attention": macs}

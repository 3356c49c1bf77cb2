"""What one forward pass computes, in multiply-accumulates, counted in three ways that must agree.

1 MAC = 1 multiply-accumulate = 2 FLOPs. The "GFLOPs" of the paper's tables are GMACs of one view,
and half a percent larger: they also hold element-wise work, which is not counted here.
"""

import copy
import dataclasses
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from vivit_lab.errors import one_of, takes_plain, whole
from vivit_lab.models import MODELS, ViViT, ViViTConfig, build_model
from vivit_lab.models.config import AttentionShape
from vivit_lab.models.layers import Attention, Mlp
from vivit_lab.tables import Tabular

COUNTERS = ("fvcore", "torch", "closed_form")
# attention's own two products (q with k, weights with v), by what a token looks along
ATTENTION = {
    "space_time": "joint attention",
    "space": "spatial attention",
    "time": "temporal attention",
}
# projections: the linear maps to q, k and v, and back
PARTS = ("tokenizer", "projections", *ATTENTION.values(), "mlp", "head")


@dataclass(frozen=True)
class Term:
    """One line of the closed form: what is multiplied, and how often."""

    part: str  # of the model: a key of FlopCount.by_part
    what: str
    formula: str  # in the paper's letters; N is the length of a sequence, class token included
    macs: int
    section: str  # of the paper


@dataclass(frozen=True)
class FlopCount(Tabular):
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

    def _table(self) -> tuple:
        rows = [
            (part, f"{in_units(macs)}MACs", f"{100 * macs / max(self.macs, 1):.1f} %")
            for part, macs in [*self.by_part.items(), ("total", self.macs)]
        ]
        above = f"{self.title} · counted by {self.counter.replace('_', ' ')}"
        below = f"{self.params:,} parameters · 1 MAC = 2 FLOPs: {self.flops / 1e9:,.2f} GFLOP"
        return rows, "lr", [above], [below]


def in_units(number: float) -> str:
    """A count in human units, to be followed by what was counted.

    >>> in_units(451_524_753_408) + "MACs", in_units(88_954_000)
    ('451.52 GMACs', '88.95 M')
    """
    for unit, factor in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= factor:
            return f"{number / factor:.2f} {unit}"
    return f"{number:.0f} "


@takes_plain
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
        as_run: False counts the whole last block, as the paper does. True counts what our forward
            does: a last block of which only the class token is read answers for it alone.
        naive: count as counters do that do not know fused attention: its products vanish.

    Warns where fvcore met an operation that it cannot count. Raises ValueError or TypeError for
    illegal options. Source: paper section 3.3, table 2.

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
        model.class_token_only &= as_run
        count = _count_by_fvcore if counter == "fvcore" else _count_by_torch
        clip = torch.empty(batch, *config.clip_shape, device="meta")
        with torch.inference_mode():
            by_part = _by_part(model, count(model, clip, naive), times)
        params = sum(p.numel() * _repeats(name, times) for name, p in model.named_parameters())
    if naive and counter != "fvcore":  # fvcore really does not see them
        by_part |= {part: 0 for part in by_part if part in ATTENTION.values()}
    title = title_of(config, batch)
    title += " · last block as run" * as_run + " · fused attention overlooked" * naive
    return FlopCount(counter, by_part, params, title, terms)


def configuration(config_or_model: ViViTConfig | ViViT) -> ViViTConfig:
    """The configuration of either."""
    if isinstance(config_or_model, ViViTConfig):
        return config_or_model
    if isinstance(config_or_model, ViViT):
        return config_or_model.config
    raise TypeError(
        f"This takes a ViViTConfig or a ViViT model, not {type(config_or_model).__name__}; for a "
        "preset write ViViTConfig.preset('B/16x2', model='joint')."
    )


def title_of(config: ViViTConfig, batch: int) -> str:
    """What was counted: the model, and the clips."""
    height, width = config.image_size
    return f"{MODELS[config.model]} · {batch} x {config.frames} x {height} x {width}"


# ---- closed form: every matrix product, one line each


@takes_plain
def closed_form(config: ViViTConfig, *, batch: int = 1, as_run: bool = False) -> list[Term]:
    """Every matrix product of the model as a formula with its value.

    Letters as in the paper: t and s tokens in time and in a frame, D the width, L the blocks, N the
    length of a sequence that attends to itself, class token included. batch, as_run: as in
    `count_flops`.

    Source: paper sections 3.1-3.3, a section number with each term. Attention grows with (t s)^2 in
        Model 1, with t s^2 + t^2 in Model 2 and with t s^2 + s t^2 in Models 3 and 4.

    Example:
        >>> terms = closed_form(ViViTConfig())
        >>> print(terms[3].what, "=", terms[3].formula, "=", terms[3].macs)
        q with k = L · N² · D = 90692527104
    """
    d, hidden = config.dim, config.mlp_dim
    section = f"3.3.{[*MODELS].index(config.model) + 1}"
    letters = {"space_time": "N", "space": "t·s", "time": "s·t"}  # tokens that attend
    if config.model == "factorised_encoder":
        letters = {"space": "t · N", "time": "N"}
    last = ", less in the last block" if as_run and config.pooling == "cls" else ""
    twice = "2 · " if config.model == "factorised_self_attention" else ""
    half = "/2" if config.model == "factorised_dot_product" else ""

    embedding = batch * config.tokens * _voxels(config) * d
    terms = [Term("tokenizer", "embedding", "t·s · (values of a tubelet) · D", embedding, "3.2")]
    for kinds in encoders(config):
        first = kinds[0]
        tokens = batch * first.depth * first.tokens  # that come into all blocks
        out = tokens - batch * (first.tokens - first.sequences) * bool(last)  # and out of them
        by, width = f"L · {letters[first.axis]}", d * d * (2 if twice else 1)
        often = ", twice" if twice else ""
        terms += [
            Term("projections", f"to q, k, v{often}", f"{twice}{by} · 3D²",
                 tokens * 3 * width, section),
            Term("projections", f"back{often}", f"{twice}{by} · D²{last}", out * width, section),
        ]  # fmt: skip
        for kind in kinds:
            macs = out * kind.length * d * kind.heads // config.heads
            formula = f"L · {letters[kind.axis]}² · D{half}{last}"
            for what in ("q with k", "weights with v"):
                terms.append(Term(ATTENTION[kind.axis], what, formula, macs, section))
        terms.append(
            Term("mlp", "two layers", f"{by} · 2D·D_mlp{last}", out * 2 * d * hidden, "3.1")
        )
    for name, classes in config.classes.items():
        terms.append(Term("head", name or "classes", "D · classes", batch * d * classes, "3.1"))
    return terms


def encoders(config: ViViTConfig) -> list[tuple[AttentionShape, ...]]:
    """The attentions of each encoder, space first; the two of Models 3 and 4 share every block."""
    kinds = tuple(sorted(config.attentions()))
    one_after_the_other = config.model in ("joint", "factorised_encoder")
    return [(kind,) for kind in kinds] if one_after_the_other else [kinds]


def count_parameters(config: ViViTConfig) -> int:
    """Parameters of the model that `build_model(config)` would make, exactly.

    >>> count_parameters(ViViTConfig())
    88954000
    """
    d, hidden, cls = config.dim, config.mlp_dim, config.pooling == "cls"
    norm, attention = 2 * d, 4 * d * (d + 1)  # with biases
    branch = norm + d * (config.layer_scale is not None)
    attentions = 2 if config.model == "factorised_self_attention" else 1
    block = attentions * (branch + attention) + branch + (d + 1) * hidden + (hidden + 1) * d
    total = (_voxels(config) + 1) * d + sum((d + 1) * n for n in config.classes.values())
    for first, *others in encoders(config):
        positions = first.tokens if others else first.length
        total += (positions + cls) * d + first.depth * block + norm
    return total


def _voxels(config: ViViTConfig) -> int:
    return config.in_channels * math.prod(config.tubelet)


def _sums(terms: Sequence[Term]) -> dict[str, int]:
    """MACs by part, in the order of PARTS."""
    found = {term.part for term in terms}
    return {p: sum(t.macs for t in terms if t.part == p) for p in PARTS if p in found}


# ---- counters that watch a model run


def _stand_in(config_or_model: ViViTConfig | ViViT) -> tuple[ViViT, dict[str, int]]:
    """A model on the meta device, and how often the first block of a stack stands for its like.

    Two blocks do for a configuration: all are alike but for the last. A model is copied whole.
    """
    if isinstance(config_or_model, ViViT):
        kept = [*config_or_model.parameters(), *config_or_model.buffers()]
        memo = {}
        for tensor in kept:
            empty = torch.empty_like(tensor, device="meta")
            memo[id(tensor)] = nn.Parameter(empty) if isinstance(tensor, nn.Parameter) else empty
        return copy.deepcopy(config_or_model, memo).eval(), {}
    config = config_or_model
    depths = {"blocks": config.depth, "temporal_blocks": config.temporal_depth or 0}
    shallow = {"depth": min(config.depth, 2)}
    if config.temporal_depth:
        shallow["temporal_depth"] = min(config.temporal_depth, 2)
    with torch.device("meta"):
        model = build_model(dataclasses.replace(config, **shallow)).eval()
    return model, {stack: depth - 1 for stack, depth in depths.items() if depth > 1}


def _repeats(name: str, times: dict[str, int]) -> int:
    """How often the module or parameter `name` stands in the whole model."""
    stack, _, rest = name.partition(".")
    return times.get(stack, 1) if rest.partition(".")[0] == "0" else 1


Counts = dict[str, dict[str, int]]  # module: {operation: MACs}, what its submodules do included


def _count_by_fvcore(model: nn.Module, clip: torch.Tensor, naive: bool) -> Counts:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore imports what torch has deprecated
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(model, clip)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.tracer_warnings("none")
        analysis.set_op_handle("aten::layer_norm", lambda *_: 0)  # which fvcore adds to the rest
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
    seen = 0  # every block counted as often as it ran
    for name, module in model.named_modules():
        operations = counts.get(name, {})
        macs, repeats = sum(operations.values()), _repeats(name, times)
        if isinstance(module, Attention):
            linear = sum(operations.get(op, 0) for op in LINEAR)
            by_part["projections"] += repeats * linear
            kinds = [kind for kind in model.config.attentions() if kind.axis in module.axes]
            for kind in kinds:  # of Model 4's two each its share
                share = (macs - linear) * kind.weights // sum(kind.weights for kind in kinds)
                by_part[ATTENTION[kind.axis]] += repeats * share
        elif isinstance(module, Mlp):
            by_part["mlp"] += repeats * macs
        elif name == "patch_embed":
            by_part["tokenizer"] += macs
        elif name.startswith("head") and type(module) is nn.Linear:
            by_part["head"] += macs
        else:
            continue
        seen += macs
    other = sum(counts.get("", {}).values()) - seen  # somebody has changed the model
    return by_part | ({"other": other} if other else {})

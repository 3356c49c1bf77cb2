"""Where a model looks: attention maps of every model as (t, h, w), their products, and rollout.

Kept are queries and keys, from which rows are computed: ViViT-B/16x2 as Model 1 takes 0.23 GB so,
where `model(clip, return_attention=True)` keeps 5.7 GB of weights.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from einops import rearrange
from torch import Tensor

from vivit_lab.errors import nearest, one_of
from vivit_lab.models import ViViT, ViViTConfig
from vivit_lab.models.layers import Attention, FactorisedDotProductAttention

CHUNK = 2**22  # weights that are in memory at once: 16 MB

LABELS = {
    "joint": "attention over the whole clip",
    "space": "attention over space, within one time step",
    "time": "attention over time, at one place",
    "steps": "attention over time, between whole time steps",
    "product": "product of a time map and a space map: an approximation, not attention",
    "rollout": "rollout, all blocks multiplied: an approximation, not attention",
}

Query = str | int | tuple[int, int, int]  # "cls" | "mean" | token index | (step, row, column)


def attention_maps(
    model: ViViT, clip: Tensor, layers: Iterable[int] | None = None
) -> "AttentionMaps":
    """Run a clip through a model and keep what its attention maps can be computed from.

    The model takes its usual fast path and stays as it was. Any row of a map can then be asked for:
    `maps.at(layer, kind).row(query)`.

    Args:
        model: one of the four (a compiled or wrapped one hides its blocks), in eval mode.
        clip: (1, T, C, H, W), float in [-1, 1], as the model takes it.
        layers: numbers of the blocks to keep, negative ones counted from the last; None keeps all.
            Model 2 counts its temporal blocks after the spatial ones.

    Returns maps of 2 * tokens * dim numbers each (Model 3: two maps a block), on the model's
    device. Raises TypeError or ValueError for another model, training mode, several clips. Source:
    paper equations 4-8; the weights are those of `return_attention=True`.

    Example:
        >>> from vivit_lab import ViViTConfig, build_model
        >>> config = ViViTConfig(model="factorised_encoder", frames=8, image_size=32, dim=48,
        ...                      heads=4, depth=2, temporal_depth=1)
        >>> maps = attention_maps(build_model(config).eval(), torch.zeros(1, 8, 3, 32, 32))
        >>> [(found.layer, found.kind) for found in maps]
        [(0, 'space'), (1, 'space'), (2, 'time')]
        >>> looks = maps.at(layer=0).row(query=5)
        >>> looks.weights.shape, round(float(looks.total), 6)
        (torch.Size([4, 2, 2]), 1.0)
    """
    check_one_clip(model, clip)
    blocks, maps, hooks = blocks_of(model), [], []
    wanted = range(len(blocks)) if layers is None else {_layer(i, len(blocks)) for i in layers}
    try:
        for layer in sorted(wanted):
            watch = functools.partial(_keep_map, maps, model.config, layer)
            for attention in blocks[layer].modules():
                if isinstance(attention, Attention):
                    hooks.append(attention.register_forward_pre_hook(watch))
        with torch.no_grad():
            model(clip)
    finally:
        for hook in hooks:
            hook.remove()
    return AttentionMaps(model, maps)


def _keep_map(
    maps: list, config: ViViTConfig, layer: int, attention: Attention, inputs: tuple[Tensor]
) -> None:
    """Keep the map of one call of an attention (Model 4: its two maps)."""
    q, k, _ = (x[0] for x in attention.split_heads(inputs[0]))  # of the only clip
    parts = dict.fromkeys(attention.axes, (q, k))
    if isinstance(attention, FactorisedDotProductAttention):  # (t, heads, s, d), time heads first
        half = attention.heads // 2
        time = (rearrange(x[:, :half], "t h s d -> s h t d") for x in (q, k))
        parts = {"time": time, "space": (x[:, half:] for x in (q, k))}
    for axis, part in parts.items():
        q, k = (x.clone().reshape(-1, *x.shape[-3:]) for x in part)  # no view of something larger
        kind, over = axis.replace("space_time", "joint"), config.grid
        if kind == "time" and len(q) == 1:  # Model 2: whole time steps
            over = (config.temporal_tokens, 1, 1)
        has_cls = config.pooling == "cls"
        maps.append(AttentionMap(kind, layer, config.grid, over, has_cls, q, k))


def rollout(model: ViViT, clip: Tensor) -> "TokenWeights":
    """Attention rollout: how much the output token draws on every token of the clip, by attention.

    Every attention is taken as 0.5 A + 0.5 I (heads averaged; I stands for the residual), and all
    of them are multiplied, from the last block to the first as vector times matrix: memory grows
    with the tokens, not with their square. It begins with the class token, or with the mean.

    * Model 1: the N x N maps, class token included.
    * Model 2: the temporal encoder shares out the time steps; each step's share then runs through
      the spatial encoder, from that step's class token. Exact.
    * Model 3: space and time are two attentions with a residual each, in the model's order.
    * Model 4: one attention a block, the average of its space heads and its time heads.

    Returns weights (t, h, w), and `on_cls`, the share that stays on class tokens; `total` is one.

    Source: Abnar and Zuidema, "Quantifying Attention Flow in Transformers", 2020. It is not part
    of the ViViT paper, and what it means for factorised models is our reading.

    Example:
        >>> from vivit_lab import ViViTConfig, build_model
        >>> config = ViViTConfig(frames=4, image_size=(32, 48), dim=48, heads=4, depth=2)
        >>> found = rollout(build_model(config).eval(), torch.zeros(1, 4, 3, 32, 48))
        >>> found.weights.shape, round(float(found.total), 6)
        (torch.Size([2, 2, 3]), 1.0)
    """
    return attention_maps(model, clip).rollout()


@dataclass(frozen=True)
class TokenWeights:
    """What is taken from every token of the clip. All shares together sum to one.

    Example:
        >>> found = TokenWeights("joint", torch.full((2, 3, 4), 0.03), torch.tensor(0.28))
        >>> round(float(found.total), 6), found.label
        (1.0, 'attention over the whole clip')
    """

    kind: str  # "joint" | "space" | "time" | "product" | "rollout"
    weights: Tensor  # (t, h, w), or (heads, t, h, w); float64, on the CPU, each 0..1
    on_cls: Tensor  # () or (heads,): the share of class tokens, 0 where there are none

    @property
    def total(self) -> Tensor:
        """() or (heads,): all shares together, one but for rounding."""
        return self.weights.sum(dim=(-3, -2, -1)) + self.on_cls

    @property
    def label(self) -> str:
        """What this is in words, and where it is no attention map, that it is none."""
        is_steps = self.kind == "time" and self.weights.shape[-2:] == (1, 1)  # Model 2
        return LABELS["steps" if is_steps else self.kind]


class AttentionMaps(Sequence):
    """The maps of one clip, a sequence in the order in which the model computes them.

    Example:
        >>> from vivit_lab import ViViTConfig, build_model
        >>> config = ViViTConfig(model="factorised_self_attention", frames=4, image_size=32,
        ...                      dim=48, heads=4, depth=2)
        >>> maps = attention_maps(build_model(config).eval(), torch.zeros(1, 4, 3, 32, 32))
        >>> maps.product(layer=-1, query=(1, 0, 0)).label
        'product of a time map and a space map: an approximation, not attention'
    """

    def __init__(self, model: ViViT, maps: list["AttentionMap"]):
        self.config = model.config
        self.depth = len(blocks_of(model))  # blocks of the model, kept or not
        self._maps = maps

    def __getitem__(self, index):
        return self._maps[index]

    def __len__(self) -> int:
        return len(self._maps)

    @property
    def nbytes(self) -> int:
        """Memory that is held, in bytes."""
        return sum(found.nbytes for found in self)

    @property
    def output(self) -> str:
        """The query that the classifier reads: "cls", or "mean" over all tokens."""
        return self.config.pooling

    def at(self, layer: int, kind: str | None = None) -> "AttentionMap":
        """The map of one block; kind: "space" or "time" where it has both (Models 3 and 4)."""
        layer = _layer(layer, self.depth)
        kinds = {found.kind: found for found in self if found.layer == layer}
        if not kinds:
            close = nearest(layer, sorted({found.layer for found in self}))
            raise ValueError(f"layer {layer} was not kept; the nearest that was is {close}.")
        if kind is None and len(kinds) > 1:
            raise ValueError(f"layer {layer} has two maps: say kind='space' or kind='time'.")
        if kind is not None:
            one_of(f"kind of map in layer {layer}", kind, kinds)
        return kinds[kind or next(iter(kinds))]

    def product(
        self,
        layer: int,
        query: Query | None = None,
        head: int | str = "mean",
        time_layer: int | None = None,
    ) -> TokenWeights:
        """A time map and a space map multiplied: where two looks, one along each axis, would end.

        No model computes this. What the time map gives to a time step, the space map of that step
        hands on (the other way round in a Model 3 that attends over time first), without residuals
        and values. query, head: as in `row`, the output by default. In Model 2 the time map is the
        temporal encoder's, of block `time_layer` (the last by default), over whole time steps.
        """
        is_encoder = self.config.model == "factorised_encoder"
        if time_layer is not None and not is_encoder:
            raise ValueError(f"time_layer is {time_layer}, but only for Model 2: leave it None.")
        if head == "each":
            raise ValueError("head is 'each', but a product is of one head, or of their 'mean'.")
        space = self.at(layer, "space")
        if is_encoder:
            layer = -1 if time_layer is None else time_layer
        time = self.at(layer, "time")
        time_last = self.config.attention_order == "time_space"
        first, second = (space, time) if time_last else (time, space)
        reached = first.times(first.start(self.output if query is None else query), head)
        stayed = 0.0
        if is_encoder:
            stayed = reached.cls.sum()
            reached = _into_space(reached.tokens, space)
        weights, on_cls = second.laid_out(second.times(reached, head))
        return TokenWeights("product", weights, on_cls + stayed)

    def rollout(self) -> TokenWeights:
        """Attention rollout from the output to the tokens: see the function of this name."""
        kept = len({found.layer for found in self})
        if kept < self.depth:
            what = f"rollout runs through all {self.depth} blocks, but only {kept} were kept"
            raise ValueError(f"{what}: leave `layers` None.")
        spatial, stayed, shares = self, 0.0, self[-1].start(self.output)
        if self.config.model == "factorised_encoder":
            depth, t = self.config.depth, self.config.temporal_tokens
            spatial, temporal = self[:depth], self[depth:]
            steps = torch.full((t, 1), 1 / t)  # temporal_depth = 0: the plain average
            if temporal:
                rolled = self._rolled(temporal, shares)
                steps, stayed = rolled.tokens, rolled.cls.sum()
            shares = _into_space(steps, spatial[0])
        weights, on_cls = spatial[0].laid_out(self._rolled(spatial, shares))
        return TokenWeights("rollout", weights, on_cls + stayed)

    def _rolled(self, maps: Sequence["AttentionMap"], shares: "Shares") -> "Shares":
        """The row vector times (0.5 A + 0.5 I) of each attention, the last one first."""
        beside = 2 if self.config.model == "factorised_dot_product" else 1  # halves of one block
        for i in reversed(range(0, len(maps), beside)):
            taken = [found.times(shares) for found in maps[i : i + beside]]
            tokens = sum(part.tokens for part in taken) / beside
            cls = sum(part.cls for part in taken) / beside if maps[i].has_cls else shares.cls
            shares = Shares(0.5 * shares.tokens + 0.5 * tokens, 0.5 * shares.cls + 0.5 * cls)
        return shares


@dataclass(frozen=True)
class Shares:
    """A row vector over the tokens that an attention runs over, and over their class tokens."""

    tokens: Tensor  # (..., t, s), float64
    cls: Tensor  # (..., sequences, 1), or (..., sequences, 0) where there is no class token


@dataclass(frozen=True)
class AttentionMap:
    """The attention of one block along one axis; `attention_maps` makes it.

    It runs over one sequence of N tokens ("joint"), one for each time step ("space"), or one for
    each place ("time"). In the temporal encoder of Model 2 a token stands for a whole time step:
    weights come as (t, 1, 1), and a query asks for its step.

    Example:
        >>> from vivit_lab import ViViTConfig, build_model
        >>> config = ViViTConfig(frames=4, image_size=(32, 48), dim=48, heads=4, depth=2)
        >>> last = attention_maps(build_model(config).eval(), torch.zeros(1, 4, 3, 32, 48)).at(-1)
        >>> last.row((1, 0, 2), head="each").weights.shape
        torch.Size([4, 2, 2, 3])
    """

    kind: str  # "joint" | "space" | "time"
    layer: int  # number of its block, as in the list of model(clip, return_attention=True)
    grid: tuple[int, int, int]  # (n_t, n_h, n_w), the model's tokens
    # tokens that it runs over: the grid; (n_t, 1, 1) in the temporal encoder of Model 2
    over: tuple[int, int, int]
    has_cls: bool  # a class token stands at index 0 of every sequence
    q: Tensor = field(repr=False)  # (sequences, heads, N, d)
    k: Tensor = field(repr=False)  # (sequences, heads, N, d)

    @property
    def heads(self) -> int:
        """Heads that attend along this axis: half of the model's in Model 4."""
        return self.q.shape[1]

    @property
    def nbytes(self) -> int:
        """Memory of queries and keys, in bytes."""
        return self.q.nbytes + self.k.nbytes

    def row(self, query: Query, head: int | str = "mean") -> TokenWeights:
        """What one query takes from every token: a row of the map, laid out as (t, h, w).

        Args:
            query: token index (time slowest, class tokens not counted), or (step, row, column);
                "cls" for the class token (Model 2's spatial blocks have one a time step: then the
                mean over them, each step's share 1 / t); "mean" for the mean over all tokens.
            head: its number, "mean" over heads, or "each" for all of them as a leading axis.

        Weights are 0 where this attention cannot look.
        """
        return TokenWeights(self.kind, *self.laid_out(self.times(self.start(query), head)))

    def full(self) -> Tensor:
        """All weights at once, (sequences, heads, N, N): 0.47 GB in Model 1 as B/16x2."""
        return _softmax(self.q, self.k)

    def start(self, query: Query) -> Shares:
        """The row vector that asks: one at the query, or equal shares where it is a mean."""
        t, s = self.over[0], self.over[1] * self.over[2]
        tokens = torch.zeros(t, s, dtype=torch.float64)
        cls = torch.zeros(len(self.q), int(self.has_cls), dtype=torch.float64)
        if query == "cls" and not self.has_cls:
            raise ValueError("query is 'cls', but this model has no class token: ask for 'mean'.")
        if query == "cls":
            cls += 1 / len(cls)
        elif query == "mean":
            tokens += 1 / tokens.numel()
        else:
            step, row, column = place_of(query, self.grid)
            tokens[step, row * self.grid[2] + column if self.over == self.grid else 0] = 1
        return Shares(tokens, cls)

    def times(self, shares: Shares, head: int | str = "mean") -> Shares:
        """A row vector times the map, with a few of its rows in memory at a time."""
        heads = self._heads(head)
        vector = self._as_sequences(shares)  # (sequences, N)
        sequences, tokens = (vector.any(dim).nonzero()[:, 0] for dim in (1, 0))  # where to look
        count, length = self.q[:1, heads].shape[1:3]
        result = torch.zeros(count, *vector.shape, dtype=torch.float64)
        rows = max(1, CHUNK // (count * length))
        for s in sequences.split(max(1, rows // max(1, len(tokens)))):
            q, k = self.q[s.to(self.q.device), heads], self.k[s.to(self.k.device), heads]
            for i in tokens.split(rows):
                weights = _softmax(q[:, :, i.to(q.device)], k)
                part = vector[s][:, i].to(weights)
                part = torch.einsum("gi,ghin->hgn", part, weights)
                result[:, s] += part.to(result)
        if head != "each":
            result = result.mean(dim=0)
        return self._as_shares(result)

    def laid_out(self, shares: Shares) -> tuple[Tensor, Tensor]:
        """Shares -> weights (..., t, h, w), and the sum over class tokens (...)."""
        return shares.tokens.unflatten(-1, self.over[1:]), shares.cls.sum(dim=(-2, -1))

    # ---- (t, s) and class tokens <-> (sequences, N)

    def _as_sequences(self, shares: Shares) -> Tensor:
        x = shares.tokens.double()
        x = {"joint": x.reshape(1, -1), "space": x, "time": x.mT}[self.kind]
        return torch.cat([shares.cls.double(), x], dim=-1) if self.has_cls else x

    def _as_shares(self, x: Tensor) -> Shares:
        cls, x = x[..., : self.has_cls], x[..., self.has_cls :]
        if self.kind == "joint":
            x = x.squeeze(-2).unflatten(-1, (self.over[0], -1))
        return Shares(x.mT if self.kind == "time" else x, cls)

    def _heads(self, head: int | str) -> slice:
        if isinstance(head, str):
            one_of("head", head, ["mean", "each"])
            return slice(None)
        _within("head", head, self.heads)
        return slice(head, head + 1)


def blocks_of(model: ViViT) -> list[torch.nn.Module]:
    """All blocks in the order of the forward pass; Model 2's temporal ones after the spatial."""
    return [*model.blocks, *getattr(model, "temporal_blocks", ())]


def _into_space(steps: Tensor, space: AttentionMap) -> Shares:
    """Shares of time steps (t, 1), given to what Model 2's temporal encoder reads of each step."""
    s = space.over[1] * space.over[2]
    if space.has_cls:
        return Shares(torch.zeros(len(steps), s, dtype=torch.float64), steps)
    return Shares((steps / s).expand(-1, s), torch.zeros(len(steps), 0, dtype=torch.float64))


def _softmax(q: Tensor, k: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) (eq. 7), in float32 at least."""
    q, k = (x.float() if x.element_size() < 4 else x for x in (q, k))
    return (q * q.shape[-1] ** -0.5 @ k.mT).softmax(dim=-1)


# ---- checks


def check_one_clip(model: object, clip: Tensor) -> None:
    if not isinstance(model, ViViT):
        raise TypeError(
            f"model is a {type(model).__name__}, but must be a ViViT of build_model; of a compiled "
            "model pass model._orig_mod, of one made for inference model.model."
        )
    if any(module.training for module in model.modules()):
        raise ValueError("the model is in training mode, with dropout: call model.eval() first.")
    if isinstance(clip, Tensor) and clip.ndim == 5 and len(clip) != 1:
        raise ValueError(f"clip holds {len(clip)} clips, but maps are of one: pass clip[:1].")


def _layer(value: int, count: int) -> int:
    """A block's number, counted from the first."""
    _within("layer", value, count, least=-count)
    return value % count


def place_of(query: object, grid: tuple[int, int, int]) -> tuple[int, int, int]:
    """(step, row, column) of a query that is a token."""
    if isinstance(query, str):
        one_of("query", query, ["cls", "mean"])
    if isinstance(query, (tuple, list)):
        if len(query) != 3:
            raise ValueError(f"query is {query!r}, but a token's place is (step, row, column).")
        for name, value, count in zip(("step", "row", "column"), query, grid, strict=True):
            _within(f"query {name}", value, count)
        return tuple(query)
    t, h, w = grid
    _within("query", query, t * h * w)
    return query // (h * w), query // w % h, query % w


def _within(name: str, value: object, count: int, least: int = 0) -> None:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} is {value!r}, but must be a whole number.")
    if not least <= value < count:
        raise ValueError(f"{name} is {value}, but must be between {least} and {count - 1}.")

"""What a ViViT is made of: one frozen, checked dataclass, and the paper's presets."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch.nn import ModuleDict

from vivit_lab.errors import divisors, fraction, nearest, one_of, takes_plain, whole

MODELS = {
    "joint": "Model 1: spatio-temporal attention",
    "factorised_encoder": "Model 2: factorised encoder",
    "factorised_self_attention": "Model 3: factorised self-attention",
    "factorised_dot_product": "Model 4: factorised dot-product attention",
}
POOLINGS = ("cls", "mean")
ATTENTION_ORDERS = ("space_time", "time_space")
CHOICES = {
    "model": MODELS,
    "tokenizer": ("tubelet", "uniform_frames"),
    "attention_order": ATTENTION_ORDERS,
    "gelu": ("tanh", "exact"),
}

# name: (dim, depth, heads, mlp_dim), as in ViT, DeiT and the paper's section 4.1
SIZES = {
    "Ti": (192, 12, 3, 768),
    "S": (384, 12, 6, 1536),
    "B": (768, 12, 12, 3072),
    "L": (1024, 24, 16, 4096),
    "H": (1280, 32, 16, 5120),
}


class AttentionShape(NamedTuple):
    """One kind of attention of a model, as numbers for one clip."""

    axis: str  # what a token looks along: "space_time" | "space" | "time"
    sequences: int  # side by side; a token looks at its own sequence only
    length: int  # tokens of a sequence, the class token at its head included
    heads: int  # for each sequence
    depth: int  # blocks that do this

    @property
    def tokens(self) -> int:
        """Tokens of all sequences."""
        return self.sequences * self.length

    @property
    def weights(self) -> int:
        """Attention weights of one block, all heads: pairs of a query and a key."""
        return self.sequences * self.heads * self.length**2


@takes_plain
@dataclass(frozen=True, kw_only=True)
class ViViTConfig:
    """A complete description of one ViViT; checked when it is made, and immutable after.

    Lengths are counted in frames and pixels of the clip that the model is given, (B, T, C, H, W).
    The defaults are ViViT-B/16x2 on Kinetics-400, Model 1, as in the official code. ValueError or
    TypeError for an illegal field, with the rule and the nearest legal value. Source: paper
    sections 3.2-3.3 and 4.1.

    Example:
        >>> config = ViViTConfig(model="factorised_encoder", frames=16, image_size=112)
        >>> config.grid, config.tokens
        ((8, 7, 7), 392)
    """

    # Which of the paper's models: "joint" (1), "factorised_encoder" (2),
    # "factorised_self_attention" (3), "factorised_dot_product" (4).
    model: str = "joint"
    frames: int = 32  # T, frames in a clip
    image_size: int | tuple[int, int] = 224  # (H, W) in pixels; one number means a square
    in_channels: int = 3  # C, channels of a frame

    tokenizer: str = "tubelet"  # "tubelet" (3.2, fig. 3) | "uniform_frames" (3.2, fig. 2)
    tubelet: tuple[int, int, int] = (2, 16, 16)  # (t, h, w) of one token; uniform frames: t = 1
    sampled_frames: int | None = None  # uniform frames only: how many of the T frames are kept

    dim: int = 768  # D, width of a token
    depth: int = 12  # L, blocks (of the spatial encoder in Model 2)
    heads: int = 12  # attention heads in every block
    mlp_dim: int = 3072  # hidden width of the MLP
    temporal_depth: int | None = None  # Model 2: L_t, default 4; 0 = average pooling over time
    attention_order: str = "space_time"  # Model 3: "space_time" (the paper) | "time_space"

    # classes, or {"verb": 97, "noun": 300}; 0 = no head: the model returns its features (B, D)
    num_classes: int | Mapping[str, int] = 400
    pooling: str | None = None  # "cls" | "mean"; default cls (Models 1-2), mean (Models 3-4)

    gelu: str = "tanh"  # "tanh" (the official code) | "exact" (timm's image ViTs)
    layer_scale: float | None = None  # initial factor on every branch (CaiT, DINOv2); None = off
    dropout: float = 0.0  # after the positions, the attention output, and twice in the MLP
    attention_dropout: float = 0.0  # on the attention weights
    drop_path: float = 0.0  # stochastic depth: rate at the last block, rising linearly from 0

    def __post_init__(self):
        for name, options in CHOICES.items():
            one_of(name, getattr(self, name), options)
        for name in ("frames", "in_channels", "dim", "depth", "heads", "mlp_dim"):
            whole(name, getattr(self, name))
        for name in ("dropout", "attention_dropout", "drop_path"):
            fraction(name, getattr(self, name))
        if self.layer_scale is not None and not self.layer_scale > 0:
            self._refuse("layer_scale", "must be above 0, for example 1e-5; None switches it off")
        self._check_sizes()
        self._check_model()
        self._check_classes()

    @classmethod
    def preset(cls, name: str, **overrides) -> "ViViTConfig":
        """The paper's shorthand: `B/16x2` is ViViT-Base with tubelets of 16 x 16 pixels, 2 frames.

        name: `<size>/<patch>x<frames of a tubelet>`; size is Ti, S, B, L or H, the other two are
        any whole numbers that divide the image and the frame count. overrides: any field.

        Example:
            >>> ViViTConfig.preset("L/16x2", model="factorised_encoder", num_classes=600).depth
            24
        """
        match = re.fullmatch(r"([A-Za-z]+)/(\d+)x(\d+)", name)
        if not match:
            raise ValueError(
                f"preset is {name!r}, but must be <size>/<patch>x<tubelet frames>, for example "
                f"'B/16x2'; sizes are {', '.join(SIZES)}."
            )
        size, patch, t = match[1], int(match[2]), int(match[3])
        one_of("preset size", size, SIZES)
        for field in overrides:
            one_of("field of ViViTConfig", field, [f.name for f in dataclasses.fields(cls)])
        dim, depth, heads, mlp_dim = SIZES[size]
        if overrides.get("tokenizer") == "uniform_frames":
            t = 1
        fields = {"dim": dim, "depth": depth, "heads": heads, "mlp_dim": mlp_dim}
        return cls(**(fields | {"tubelet": (t, patch, patch)} | overrides))

    # ---- derived sizes

    @property
    def grid(self) -> tuple[int, int, int]:
        """(n_t, n_h, n_w): tokens along time, height and width (paper section 3.2)."""
        t, h, w = self.tubelet
        kept = self.sampled_frames if self.tokenizer == "uniform_frames" else self.frames // t
        return kept, self.image_size[0] // h, self.image_size[1] // w

    @property
    def temporal_tokens(self) -> int:
        """n_t: tokens along time."""
        return self.grid[0]

    @property
    def spatial_tokens(self) -> int:
        """n_h * n_w: tokens in one time step."""
        return self.grid[1] * self.grid[2]

    @property
    def tokens(self) -> int:
        """n_t * n_h * n_w: tokens of a clip, class tokens not counted."""
        return self.temporal_tokens * self.spatial_tokens

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """(T, C, H, W) of a clip that fits."""
        return self.frames, self.in_channels, *self.image_size

    def attentions(self) -> tuple[AttentionShape, ...]:
        """Who attends to what (paper section 3.3), in the order in which a block or model does it.

        (axis, sequences, length, heads, depth) of each kind of attention, for one clip. Model 4 has
        both of its kinds in every block, side by side, with half of the heads each.

        Example:
            >>> for attention in ViViTConfig(model="factorised_encoder").attentions():
            ...     print(*attention)
            space 16 197 12 12
            time 1 17 12 4
        """
        t, s, heads, depth = self.temporal_tokens, self.spatial_tokens, self.heads, self.depth
        cls = self.pooling == "cls"
        if self.model == "joint":
            return (AttentionShape("space_time", 1, t * s + cls, heads, depth),)
        if self.model == "factorised_encoder":
            space = AttentionShape("space", t, s + cls, heads, depth)
            time = AttentionShape("time", 1, t + cls, heads, self.temporal_depth)
            return (space, time) if self.temporal_depth else (space,)
        halves = self.model == "factorised_dot_product"
        heads = heads // 2 if halves else heads
        space = AttentionShape("space", t, s, heads, depth)
        time = AttentionShape("time", s, t, heads, depth)
        return (time, space) if halves or self.attention_order == "time_space" else (space, time)

    @property
    def classes(self) -> dict[str, int]:
        """Classes of each head; the only one of a model has the name ""; {} where there is none."""
        if isinstance(self.num_classes, Mapping):
            return dict(self.num_classes)
        return {"": self.num_classes} if self.num_classes else {}

    # ---- checks

    def _refuse(self, field: str, rule: str) -> None:
        raise ValueError(f"{field} is {getattr(self, field)!r}, but {rule}.")

    def _set(self, field: str, value: object) -> None:
        object.__setattr__(self, field, value)  # the one way to complete a frozen dataclass

    def _check_sizes(self) -> None:
        """The clip can be cut into tokens."""
        if not isinstance(self.image_size, tuple):
            self._set("image_size", (self.image_size, self.image_size))
        if len(self.image_size) != 2:
            self._refuse("image_size", "must be one number or (height, width)")
        if not isinstance(self.tubelet, tuple) or len(self.tubelet) != 3:
            self._refuse("tubelet", "must be three whole numbers (t, h, w), frames first")
        height, width = self.image_size
        lengths = {"frames": self.frames, "image height": height, "image width": width}
        for axis, size, (name, length) in zip("thw", self.tubelet, lengths.items(), strict=True):
            whole(name, length)
            whole(f"tubelet {axis}", size)
            if length % size:
                raise ValueError(
                    f"tubelet {axis} is {size}, but must divide {name} = {length}; the nearest "
                    f"tubelet {axis} that does is {nearest(size, divisors(length))}. (The official "
                    f"code would drop the last {length % size} of {length} without a word.)"
                )
        if self.tokenizer == "tubelet":
            if self.sampled_frames is not None:
                self._refuse("sampled_frames", "belongs to uniform_frames; leave it None")
            return
        t, h, w = self.tubelet
        if t != 1:
            self._refuse("tubelet", f"uniform frames are single ones: it must be (1, {h}, {w})")
        if self.sampled_frames is None:
            example = max(1, self.frames // 2)
            rule = f"must say how many of the {self.frames} frames to keep, for example {example}"
            self._refuse("sampled_frames", rule)
        whole("sampled_frames", self.sampled_frames)
        if self.sampled_frames > self.frames:
            self._refuse("sampled_frames", f"the largest legal value is frames = {self.frames}")

    def _check_model(self) -> None:
        """The options that only some of the models have."""
        halves = self.model == "factorised_dot_product"
        legal = [d for d in divisors(self.dim) if d % 2 == 0 or not halves]
        if self.heads not in legal:
            rule = " and be even: half of them see time, half space" if halves else ""
            hint = f"the nearest is {nearest(self.heads, legal)}" if legal else "dim must be even"
            self._refuse("heads", f"must divide dim = {self.dim}{rule}; {hint}")
        is_encoder = self.model == "factorised_encoder"
        if self.temporal_depth is None and is_encoder:
            self._set("temporal_depth", 4)
        if is_encoder:
            whole("temporal_depth", self.temporal_depth, least=0)
        elif self.temporal_depth is not None:
            rule = "only model = 'factorised_encoder' has a temporal encoder; leave it None"
            self._refuse("temporal_depth", rule)
        if self.attention_order != "space_time" and self.model != "factorised_self_attention":
            rule = "only model = 'factorised_self_attention' attends along one axis after the other"
            self._refuse("attention_order", f"{rule}; leave it 'space_time'")
        has_cls = self.model in ("joint", "factorised_encoder")
        if self.pooling is None:
            self._set("pooling", "cls" if has_cls else "mean")
        one_of("pooling", self.pooling, POOLINGS)
        if self.pooling == "cls" and not has_cls:
            rule = "has no class token: attention along one axis at a time has no place for it"
            self._refuse("pooling", f"{self.model!r} {rule} (paper section 3.3). Use 'mean'")

    def _check_classes(self) -> None:
        if not isinstance(self.num_classes, Mapping):
            whole("num_classes", self.num_classes, least=0)
            return
        for name, count in self.num_classes.items() or [("", 0)]:
            if not isinstance(name, str) or not name.isidentifier() or hasattr(ModuleDict(), name):
                rule = "take an identifier that torch's modules do not use, as in {'verb': 97}"
                self._refuse("num_classes", f"{name!r} cannot name a head: {rule}")
            whole(f"num_classes[{name!r}]", count)

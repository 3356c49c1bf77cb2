"""An image ViT as a source of weights: its parameters under timm's names, and what they imply."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vivit_lab.errors import whole
from vivit_lab.models import ViViTConfig
from vivit_lab.weights.report import WeightsError

# What a plain ViT block, and with it a ViViT, has no place for: pattern of the name -> what it is.
FOREIGN = {
    r"reg_token|register_tokens": "register tokens",
    r"dist_token": "a distillation token",
    r"norm_pre\.|ln_pre\.": "a norm before the first block, as in CLIP",
    r"fc_norm\.": "a norm after the mean over tokens, where a ViViT has it before",
    r"attn_pool\.": "attention pooling",
    r"rel_pos|relative_position": "relative positions",
    r"rope|freqs": "rotary positions",
    r"attn\.(q|k)_norm\.": "norms on queries and keys",
    r"attn\.(norm|gate)\.|mlp\.norm\.": "a further norm or gate inside a block",
    r"attn\.(q|k|v)_proj\.|attn\.(q|v)_bias": "separate queries, keys and values, as in EVA",
    r"mlp\.(w12|w3|fc1_g|fc1_x)\.": "a gated MLP (SwiGLU)",
    r"blocks\.\d+\.gamma_\d": "BEiT's factors on the branches",
    r"patch_embed\.norm\.": "a norm on the patches",
    r"patch_embed\.(backbone|conv|stem)": "a convolutional stem",
    r"mask_embedding|^decoder": "a decoder",
}
PLAIN = re.compile(
    r"patch_embed\.proj\.(weight|bias)|cls_token|pos_embed|norm\.(weight|bias)|blocks\.\d+\."
    r"((norm[12]|attn\.qkv|attn\.proj|mlp\.fc[12])\.(weight|bias)|ls[12]\.gamma)"
)
# Parts of a plain ViT behind its features, or for pre-training only, and why a ViViT leaves them.
UNUSED = {
    r"head(_drop|\.|$)": "the image model's own classes",
    r"pre_logits\.": "a layer of the image model's head",
    r"mask_token$": "stood for hidden patches in pre-training",
}


@dataclass(frozen=True)
class ImageViT:
    """What inflation needs to know of an image ViT; checked when it is made.

    `state` holds tensors under timm's names: `patch_embed.proj.weight` (D, C, h, w), `cls_token`
    (1, 1, D) unless there is none, `pos_embed` (1, [1 +] h * w, D), `blocks.0.norm1.weight` and so
    on, `norm.weight`, perhaps `head.weight`. After the check it holds float32, biases that the
    source did without are zeros, and `pos_embed` has a first row exactly if there is a class token.
    `notes` says what was filled in or inferred.

    Raises:
        WeightsError: a parameter that a plain ViT does not have (the message says what it is), a
            missing one, heads that do not divide the width, a position table that does not fit
            `grid`, or, without `grid`, one that is not a square.

    Source: paper section 3.1, which takes over the image ViT (arXiv 2010.11929).

    Example:
        >>> from vivit_lab.weights import load_timm
        >>> source = load_timm("vit_tiny_patch16_224", pretrained=False)
        >>> source.grid, source.heads, source.gelu, source.depth
        ((14, 14), 3, 'exact', 12)
    """

    name: str  # for reports: a timm name or a file name
    state: Mapping[str, Tensor] = field(repr=False)
    heads: int  # cannot be seen from the shapes
    grid: tuple[int, int] | None = None  # (rows, columns) of patches; None: square, and noted
    gelu: str = "exact"  # "exact" (timm) | "tanh" (the official code)
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        refuse_foreign(self.name, self.state)
        state = {name: _float32(self.name, name, tensor) for name, tensor in self.state.items()}
        object.__setattr__(self, "state", state)  # the one way to complete a frozen dataclass
        self._check_parts()
        self._fill_biases()
        self._check_grid()

    # ---- what the tensors imply

    @property
    def dim(self) -> int:
        """D, width of a token."""
        return self.state["patch_embed.proj.weight"].shape[0]

    @property
    def in_channels(self) -> int:
        """C, channels of an image."""
        return self.state["patch_embed.proj.weight"].shape[1]

    @property
    def patch(self) -> tuple[int, int]:
        """(h, w) of a patch, in pixels."""
        return tuple(self.state["patch_embed.proj.weight"].shape[2:])

    @property
    def depth(self) -> int:
        """L, number of blocks."""
        return number_of_blocks(self.state)

    @property
    def mlp_dim(self) -> int:
        """Hidden width of the MLP."""
        return self.state["blocks.0.mlp.fc1.weight"].shape[0]

    @property
    def has_cls(self) -> bool:
        """Whether there is a class token."""
        return "cls_token" in self.state

    @property
    def has_layer_scale(self) -> bool:
        """Whether every branch has a learned factor (`blocks.0.ls1.gamma`)."""
        return "blocks.0.ls1.gamma" in self.state

    def config(self, **fields) -> ViViTConfig:
        """A ViViT that this image ViT can be inflated into.

        Width, depth, heads, MLP, patch, channels, GELU and LayerScale are the image model's; the
        image size too, unless given; tubelets span 2 frames, unless given.

        Args:
            fields: any field of ViViTConfig, `model`, `frames`, `num_classes` for example.
        """
        height, width = self.patch
        implied = {
            "dim": self.dim,
            "depth": self.depth,
            "heads": self.heads,
            "mlp_dim": self.mlp_dim,
            "in_channels": self.in_channels,
            "image_size": (self.grid[0] * height, self.grid[1] * width),
            "tubelet": (1 if fields.get("tokenizer") == "uniform_frames" else 2, height, width),
            "gelu": self.gelu,
            "layer_scale": 1e-5 if self.has_layer_scale else None,
        }
        return ViViTConfig(**(implied | fields))

    # ---- checks

    def _check_parts(self) -> None:
        for name, axes in (("patch_embed.proj.weight", 4), ("pos_embed", 3)):
            if name not in self.state:
                raise WeightsError(f"{self.name} has no {name!r}, so it is not an image ViT.")
            if self.state[name].ndim != axes:
                shape = tuple(self.state[name].shape)
                raise WeightsError(f"{name} of {self.name} is {shape}, but must have {axes} axes.")
        if "blocks.0.mlp.fc1.weight" not in self.state:
            raise WeightsError(f"{self.name} has no 'blocks.0.mlp.fc1.weight', so it is not a ViT.")
        whole("heads", self.heads)
        if self.dim % self.heads:
            raise WeightsError(
                f"heads is {self.heads}, but must divide the width {self.dim} of {self.name}."
            )

    def _fill_biases(self) -> None:
        """A linear layer without bias is one whose bias is zero."""
        wanted = ["patch_embed.proj"]
        for i in range(self.depth):
            layers = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
            wanted += [f"blocks.{i}.{layer}" for layer in layers]
        missing = [
            w for w in wanted if f"{w}.weight" in self.state and f"{w}.bias" not in self.state
        ]
        for layer in missing:
            width = self.state[f"{layer}.weight"].shape[0]
            self.state[f"{layer}.bias"] = torch.zeros(width)
        if missing:
            kinds = ", ".join(dict.fromkeys(re.sub(r"blocks\.\d+\.", "", m) for m in missing))
            self._note(f"The source has no bias in {kinds}: zeros are the same.")

    def _check_grid(self) -> None:
        rows = self.state["pos_embed"].shape[1]
        if self.grid is None:
            object.__setattr__(self, "grid", self._square(rows))
        if len(self.grid) != 2:
            raise WeightsError(f"grid is {self.grid!r}, but must be (rows, columns) of patches.")
        for axis, size in zip(("rows", "columns"), self.grid, strict=True):
            whole(f"grid {axis}", size)
        grid = tuple(self.grid)
        object.__setattr__(self, "grid", grid)
        patches = math.prod(grid)
        if self.has_cls and rows == patches:  # timm's no_embed_class
            table = self.state["pos_embed"]
            self.state["pos_embed"] = torch.cat([torch.zeros_like(table[:, :1]), table], dim=1)
            self._note(
                "The source adds no position to its class token: a row of zeros is the same."
            )
        elif rows != patches + self.has_cls:
            plus = " and a class token's" if self.has_cls else ""
            raise WeightsError(
                f"pos_embed of {self.name} has {rows} rows, but a grid of {grid[0]} x {grid[1]}"
                f"{plus} make {patches + self.has_cls}. Give grid = (rows, columns) of its patches."
            )

    def _square(self, rows: int) -> tuple[int, int]:
        patches = rows - self.has_cls
        side = math.isqrt(patches)
        if side * side != patches or not patches:
            plus = " and a class token's row" if self.has_cls else ""
            raise WeightsError(
                f"pos_embed of {self.name} has {rows} rows, which are not a square of patches"
                f"{plus}. Give grid = (rows, columns) of its patches."
            )
        self._note(
            f"That the source's {patches} patches lie {side} x {side} is inferred from their "
            "number; if they do not, give grid = (rows, columns)."
        )
        return side, side

    def _note(self, words: str) -> None:
        object.__setattr__(self, "notes", (*self.notes, words))


def refuse_foreign(source: str, names: Mapping[str, object]) -> None:
    """Raise WeightsError if a name belongs to no plain ViT; say what architecture it belongs to.

    Example:
        >>> refuse_foreign("vit", {"reg_token": None})
        Traceback (most recent call last):
        vivit_lab.weights.report.WeightsError: vit has register tokens ('reg_token'), which a \
ViViT has no place for. Left out, it would be another model.
    """
    for name in names:
        if PLAIN.fullmatch(name) or unused_because(name):
            continue
        for pattern, what in FOREIGN.items():
            if re.search(pattern, name):
                raise WeightsError(
                    f"{source} has {what} ({name!r}), which a ViViT has no place for. Left out, it "
                    "would be another model."
                )
        raise WeightsError(
            f"{name!r} of {source} is no parameter of a plain ViT under timm's names, such as "
            "'blocks.0.attn.qkv.weight'."
        )


def number_of_blocks(names: Iterable[str], prefix: str = "") -> int:
    """How many blocks these parameters are of.

    Example:
        >>> number_of_blocks(["blocks.0.norm1.bias", "blocks.1.norm1.bias", "norm.bias"])
        2
    """
    found = (re.match(rf"{prefix}blocks\.(\d+)\.", name) for name in names)
    return len({match[1] for match in found if match})


def unused_because(name: str) -> str:
    """Why a ViViT leaves a parameter of a plain image ViT; empty if it does not.

    Example:
        >>> unused_because("head.weight"), unused_because("norm.weight")
        ("the image model's own classes", '')
    """
    return next((why for pattern, why in UNUSED.items() if re.match(pattern, name)), "")


def _float32(source: str, name: str, tensor: Tensor) -> Tensor:
    if not isinstance(tensor, Tensor):
        kind = type(tensor).__name__
        raise WeightsError(f"{name!r} of {source} is of type {kind}, but must be a torch.Tensor.")
    if not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise WeightsError(f"{name!r} of {source} holds {kind}, but must hold floats.")
    return tensor.detach().float()

"""An image ViT as a source of weights: its parameters under timm's names, and what they imply."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from vivit_lab.models import ViViTConfig


@dataclass(frozen=True)
class ImageViT:
    """What inflation needs to know of an image ViT.

    `state` holds float32 tensors under timm's names: `patch_embed.proj.weight` (D, C, h, w),
    `cls_token` (1, 1, D) unless there is none, `pos_embed` (1, N, D) with the class token's row
    first, `blocks.0.norm1.weight` and so on, `norm.weight`, perhaps `head.weight`.

    Example:
        >>> from vivit_lab.weights import load_timm
        >>> source = load_timm("vit_tiny_patch16_224", pretrained=False)
        >>> source.grid, source.heads, source.gelu, source.depth
        ((14, 14), 3, 'exact', 12)
    """

    name: str  # for reports: a timm name or a file name
    state: Mapping[str, Tensor] = field(repr=False)
    heads: int  # cannot be seen from the shapes
    grid: tuple[int, int]  # (rows, columns) of patches that pos_embed is for
    gelu: str = "exact"  # "exact" (timm) | "tanh" (the official code)
    class_names: tuple[str, ...] | None = None

    @property
    def dim(self) -> int:
        """D, width of a token."""
        return self.state["patch_embed.proj.weight"].shape[0]

    @property
    def patch(self) -> tuple[int, int]:
        """(h, w) of a patch, in pixels."""
        return tuple(self.state["patch_embed.proj.weight"].shape[2:])

    @property
    def depth(self) -> int:
        """L, number of blocks."""
        return len({m[1] for name in self.state if (m := re.match(r"blocks\.(\d+)\.", name))})

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
            "mlp_dim": self.state["blocks.0.mlp.fc1.weight"].shape[0],
            "in_channels": self.state["patch_embed.proj.weight"].shape[1],
            "image_size": (self.grid[0] * height, self.grid[1] * width),
            "tubelet": (1 if fields.get("tokenizer") == "uniform_frames" else 2, height, width),
            "gelu": self.gelu,
            "layer_scale": 1e-5 if self.has_layer_scale else None,
        }
        return ViViTConfig(**(implied | fields))

"""Model 4's attention in slow motion: every number between a token and what comes of it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vivit_lab.models.layers import FactorisedDotProductAttention


@dataclass(frozen=True, eq=False)
class HalfHeads:
    """What one attention of Model 4 computes on the way, for one clip; h is half of the heads.

    Everything that has two axes of the same meaning is (query, key).
    """

    x: Tensor  # (t, s, D), what goes in
    q: Tensor  # (t, 2h, s, d), of all heads
    k: Tensor
    v: Tensor
    products_time: Tensor  # (s, h, t, t): q · k, not yet divided by the square root of d
    products_space: Tensor  # (t, h, s, s)
    weights_time: Tensor  # (s, h, t, t), rows that sum to one
    weights_space: Tensor  # (t, h, s, s)
    out_time: Tensor  # (s, h, t, d)
    out_space: Tensor  # (t, h, s, d)
    joined: Tensor  # (t, s, D): time's half first
    projection: Tensor  # (D, D), W_O
    y: Tensor  # (t, s, D), what comes out
    apart: float  # largest difference to what the module itself says

    @property
    def half(self) -> int:
        """h: the number of heads over each axis."""
        return self.weights_time.shape[1]

    @property
    def width(self) -> int:
        """d: numbers of a head."""
        return self.q.shape[-1]


@torch.inference_mode()
def half_heads(attention: FactorisedDotProductAttention, x: Tensor) -> HalfHeads:
    """Follow (t, s, D) tokens of one clip through Model 4's attention, one step after another.

    Source: paper section 3.3.4, equation 7 with K_s, V_s and K_t, V_t.

    Example:
        >>> from vivit_lab import ViViTConfig
        >>> attention = FactorisedDotProductAttention(ViViTConfig(dim=48, heads=4)).eval()
        >>> found = half_heads(attention, torch.randn(3, 5, 48))
        >>> tuple(found.weights_time.shape), found.apart < 1e-5
        ((5, 2, 3, 3), True)
    """
    q, k, v = attention.split_heads(x)  # (t, 2h, s, d)
    half, root = attention.heads // 2, q.shape[-1] ** 0.5
    q_t, k_t, v_t = (part[:, :half].permute(2, 1, 0, 3) for part in (q, k, v))  # (s, h, t, d)
    q_s, k_s, v_s = (part[:, half:] for part in (q, k, v))  # (t, h, s, d)
    products_time, products_space = q_t @ k_t.mT, q_s @ k_s.mT
    weights_time = (products_time / root).softmax(dim=-1)
    weights_space = (products_space / root).softmax(dim=-1)
    out_time, out_space = weights_time @ v_t, weights_space @ v_s
    joined = torch.cat(
        [out_time.permute(2, 0, 1, 3).flatten(2), out_space.permute(0, 2, 1, 3).flatten(2)], dim=-1
    )
    y = attention.proj(joined)
    apart = (attention(x[None])[0][0] - y).abs().max().item()
    return HalfHeads(
        x, q, k, v, products_time, products_space, weights_time, weights_space, out_time, out_space,
        joined, attention.proj.weight.detach(), y, apart,
    )  # fmt: skip

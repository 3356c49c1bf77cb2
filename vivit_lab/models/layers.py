"""The parts that all four models share: attention, MLP, block."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vivit_lab.models.config import ViViTConfig

LAYER_NORM_EPS = 1e-6  # flax's default, and timm's in its ViTs; PyTorch's is 1e-5


def dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, *, dropout: float = 0.0, fused: bool = True
) -> tuple[Tensor, Tensor | None]:
    """softmax(q k^T / sqrt(d)) v (paper eq. 7), by one fused kernel or step by step.

    Args:
        q, k, v: (..., heads, N, d), any number of leading axes.
        dropout: rate on the attention weights, 0 <= rate < 1.
        fused: True never holds the N x N weights in memory; False does, and returns them:
            (..., heads, N, N), rows (queries) summing to one before dropout.

    Example:
        >>> q = k = v = torch.randn(1, 4, 9, 16)
        >>> fast, _ = dot_product_attention(q, k, v)
        >>> slow, weights = dot_product_attention(q, k, v, fused=False)
        >>> torch.allclose(fast, slow, atol=1e-5), weights.shape
        (True, torch.Size([1, 4, 9, 9]))
    """
    if fused:
        four_axes = (x.reshape(-1, *x.shape[-3:]) for x in (q, k, v))  # all that the kernels take
        out = F.scaled_dot_product_attention(*four_axes, dropout_p=dropout)
        return out.reshape(q.shape), None
    weights = (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(dim=-1)
    return F.dropout(weights, dropout) @ v, weights


class Attention(nn.Module):
    """Multi-headed self-attention (MSA) over the next-to-last axis.

    forward: (..., N, D) -> (..., N, D), and the weights (..., heads, N, N) if asked for, else None;
    first_only: of the first token alone, (..., 1, D), for less work. To attend over another axis,
    bring it to the place of N: `x.transpose(1, 2)` turns space attention into time attention.
    """

    axes = ("space_time",)  # what its tokens look along, as in config.attentions()

    def __init__(self, config: ViViTConfig):
        super().__init__()
        self.heads = config.heads
        self.fused = True  # False: step by step; asking for the weights takes that way anyway
        self.qkv = nn.Linear(config.dim, 3 * config.dim)
        self.attn_drop = config.attention_dropout
        self.proj = nn.Linear(config.dim, config.dim)
        self.proj_drop = nn.Dropout(config.dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for weight in (*self.qkv.weight.chunk(3), self.proj.weight):  # q, k and v one by one
            nn.init.xavier_uniform_(weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.proj.bias)

    def split_heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(..., N, D) -> q, k, v, each (..., heads, N, D / heads)."""
        qkv = rearrange(self.qkv(x), "... n (three h d) -> three ... h n d", three=3, h=self.heads)
        return qkv.unbind(0)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, return_attention: bool):
        dropout = self.attn_drop if self.training else 0.0
        fused = self.fused and not return_attention
        return dot_product_attention(q, k, v, dropout=dropout, fused=fused)

    def forward(self, x: Tensor, return_attention: bool = False, first_only: bool = False):
        q, k, v = self.split_heads(x)
        if first_only:
            q = q[..., :1, :]
        x, weights = self.attend(q, k, v, return_attention)
        x = rearrange(x, "... h n d -> ... n (h d)")
        return self.proj_drop(self.proj(x)), weights if return_attention else None


class FactorisedDotProductAttention(Attention):
    """Model 4: half of the heads attend over time, half over space (section 3.3, figure 6).

    forward: (B, t, s, D) -> (B, t, s, D), and {"time": (B, s, heads/2, t, t),
    "space": (B, t, heads/2, s, s)} if asked for. The first half of the heads is the temporal one,
    as in the official code; the paper writes Concat(Y_s, Y_t). It matters for loading weights.
    """

    axes = ("time", "space")

    def forward(self, x: Tensor, return_attention: bool = False) -> tuple[Tensor, dict | None]:
        qkv = self.split_heads(x)  # each (b, t, h, s, d): ready for space
        time = [rearrange(y[:, :, : self.heads // 2], "b t h s d -> b s h t d") for y in qkv]
        space = [y[:, :, self.heads // 2 :] for y in qkv]
        y_t, weights_t = self.attend(*time, return_attention)
        y_s, weights_s = self.attend(*space, return_attention)
        y_t = rearrange(y_t, "b s h t d -> b t s (h d)")
        y_s = rearrange(y_s, "b t h s d -> b t s (h d)")
        out = self.proj_drop(self.proj(torch.cat([y_t, y_s], dim=-1)))
        return out, {"time": weights_t, "space": weights_s} if return_attention else None


class Mlp(nn.Module):
    """Two linear layers with a GELU between them (eq. 3): (..., D) -> (..., D)."""

    def __init__(self, config: ViViTConfig):
        super().__init__()
        self.fc1 = nn.Linear(config.dim, config.mlp_dim)
        self.act = nn.GELU(approximate="tanh" if config.gelu == "tanh" else "none")
        self.drop1 = nn.Dropout(config.dropout)
        self.fc2 = nn.Linear(config.mlp_dim, config.dim)
        self.drop2 = nn.Dropout(config.dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in (self.fc1, self.fc2):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop2(self.fc2(self.drop1(self.act(self.fc1(x)))))


class LayerScale(nn.Module):
    """A learned factor on every channel of a branch (CaiT, DINOv2): (..., D) -> (..., D)."""

    def __init__(self, dim: int, initial: float):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), float(initial)))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class DropPath(nn.Module):
    """Stochastic depth: in training, drop a whole branch, one draw for each clip of the batch.

    Kept branches are divided by the chance of being kept, as in timm, so that the expected value is
    that of evaluation. The official code does not (and has no stochastic depth in Model 3).
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * kept.to(x.dtype) / (1 - self.rate)


def _layer_scale(config: ViViTConfig) -> nn.Module:
    off = config.layer_scale is None
    return nn.Identity() if off else LayerScale(config.dim, config.layer_scale)


class Block(nn.Module):
    """A pre-norm transformer block (eqs. 2-3), with the attention that the model asks for.

    forward: (B, ..., N, D) -> the same shape, and what its attention returns as weights; `how` is
    for the attention: with first_only the block too gives (B, ..., 1, D).
    """

    def __init__(
        self, config: ViViTConfig, drop_path: float = 0.0, attention: type[Attention] = Attention
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)
        self.attn = attention(config)
        self.ls1 = _layer_scale(config)
        self.drop_path1 = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(config)
        self.ls2 = _layer_scale(config)
        self.drop_path2 = DropPath(drop_path)

    def forward(self, x: Tensor, *how: bool):
        y, weights = self.attn(self.norm1(x), *how)  # eq. 2
        x = x[..., : y.shape[-2], :] + self.drop_path1(self.ls1(y))
        x = x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))  # eq. 3
        return x, weights


class FactorisedSelfAttentionBlock(nn.Module):
    """Model 3: attention over space, then over time, then the MLP (eqs. 4-6, figure 5).

    forward: (B, t, s, D) -> (B, t, s, D), and {"space": (B, t, heads, s, s),
    "time": (B, s, heads, t, t)} if asked for, else None. The spatial half has an image ViT's names
    (`norm1`, `attn`); the temporal half stands beside it (`norm_time`, `attn_time`).
    """

    def __init__(self, config: ViViTConfig, drop_path: float = 0.0):
        super().__init__()
        self.order = config.attention_order.split("_")
        self.norm1 = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)
        self.attn = Attention(config)
        self.ls1 = _layer_scale(config)
        self.drop_path1 = DropPath(drop_path)
        self.norm_time = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)
        self.attn_time = Attention(config)
        self.ls_time = _layer_scale(config)
        self.drop_path_time = DropPath(drop_path)
        self.attn.axes, self.attn_time.axes = ("space",), ("time",)
        self.norm2 = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(config)
        self.ls2 = _layer_scale(config)
        self.drop_path2 = DropPath(drop_path)

    def attend_space(self, x: Tensor, return_attention: bool):
        y, weights = self.attn(self.norm1(x), return_attention)  # eq. 4
        return x + self.drop_path1(self.ls1(y)), weights

    def attend_time(self, x: Tensor, return_attention: bool):
        y = self.norm_time(x).transpose(1, 2)  # (B, s, t, D)
        y, weights = self.attn_time(y, return_attention)  # eq. 5
        return x + self.drop_path_time(self.ls_time(y.transpose(1, 2))), weights

    def forward(self, x: Tensor, return_attention: bool = False) -> tuple[Tensor, dict | None]:
        weights = {}
        for axis in self.order:
            step = self.attend_space if axis == "space" else self.attend_time
            x, weights[axis] = step(x, return_attention)
        x = x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))  # eq. 6
        return x, weights if return_attention else None

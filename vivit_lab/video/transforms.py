"""Which pixels: the paper's training and test transforms, on a whole uint8 clip (T,C,H,W) at once.

One draw a clip: all frames get the same size, crop, flip and colours, so that the only motion in
the clip is its own. Pixels stay uint8 until `normalise`, which belongs on the device.
"""

import contextlib
from collections.abc import Iterator

import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from vivit_lab.legal import whole
from vivit_lab.video.sampling import resized_size, three_crops

BRIGHTNESS = 32  # of 255, added or taken away
CONTRAST = SATURATION = (0.6, 1.4)  # factors; 1 changes nothing
HUE = 0.2  # of a full turn of the colour circle, either way


class TrainTransform:
    """Random scale, crop, flip and colours: clip uint8 (T,C=3,H,W) -> uint8 (T,3,crop,crop).

    crop: pixels a side, at least 2. min_short_side, max_short_side: the short side is drawn from
    these pixels, both included. flip, colour, grey: probabilities 0..1 of mirroring left-right, of
    colour jitter (brightness, saturation, contrast, hue), and of taking the colours out after it.
    rand_augment: (layers, magnitude 0..30), which takes the place of colour and grey, or None;
    torchvision's set of operations, which turns and shears too (the official set does not).
    Set flip=0 where left and right matter (Something-Something).

    Raises TypeError or ValueError for an illegal setting, or a clip of another shape or dtype.
    Source: section 4.1 (short side 256-320, crop 224), and the official recipe for Kinetics.

    >>> transform = TrainTransform(crop=32, min_short_side=36, max_short_side=48)
    >>> transform(torch.zeros(8, 3, 60, 80, dtype=torch.uint8), seed=0).shape
    torch.Size([8, 3, 32, 32])
    """

    def __init__(
        self,
        crop: int = 224,
        min_short_side: int = 256,
        max_short_side: int = 320,
        flip: float = 0.5,
        colour: float = 0.8,
        grey: float = 0.1,
        rand_augment: tuple[int, int] | None = None,
    ):
        whole("crop", crop, least=2)
        whole("min_short_side", min_short_side, least=crop)
        whole("max_short_side", max_short_side, least=min_short_side)
        for name, value in (("flip", flip), ("colour", colour), ("grey", grey)):
            _probability(name, value)
        self.crop = crop
        self.min_short_side, self.max_short_side = min_short_side, max_short_side
        self.flip, self.colour, self.grey = flip, colour, grey
        self.rand_augment, self._operations = rand_augment, None
        if rand_augment is not None:
            self._operations = _rand_augment(rand_augment)

    def __repr__(self) -> str:
        colours = f"colour={self.colour}, grey={self.grey}"
        if self.rand_augment is not None:
            colours = f"rand_augment={self.rand_augment}"
        return (
            f"TrainTransform(crop={self.crop}, min_short_side={self.min_short_side}, "
            f"max_short_side={self.max_short_side}, flip={self.flip}, {colours})"
        )

    def __call__(self, clip: torch.Tensor, seed: int | None = None) -> torch.Tensor:
        """Transform one clip: uint8 (T,3,H,W) -> uint8 (T,3,crop,crop), on the CPU.

        With a seed (whole number of at least 0) the draw is the same each time, and torch's global
        random numbers are left as they were; without one the draw takes from them.
        Raises TypeError or ValueError for a clip of another shape or dtype. Source: section 4.1.

        >>> clip = torch.arange(48, dtype=torch.uint8).reshape(1, 3, 4, 4)
        >>> transform = TrainTransform(crop=4, min_short_side=4, max_short_side=4, colour=0, grey=0)
        >>> transform(clip, seed=0).shape
        torch.Size([1, 3, 4, 4])
        """
        _check_clip(clip)
        if seed is None:
            return self._draw(clip)
        with _seeded(seed):
            return self._draw(clip)

    def crop_box(self, height: int, width: int, seed: int) -> tuple[int, int, int]:
        """Where the draw of `seed` cuts a clip of height x width: (short_side, top, left).

        All in pixels; top and left count in the clip scaled to that short side. It is the draw that
        calling the transform with this seed makes. Raises TypeError or ValueError for sizes or
        seeds that are no whole numbers. Source: section 4.1.

        >>> TrainTransform().crop_box(720, 1280, seed=0)
        (285, 61, 105)
        """
        whole("height", height)
        whole("width", width)
        with _seeded(seed):
            return self._draw_box(height, width)

    def _draw_box(self, height: int, width: int) -> tuple[int, int, int]:
        short_side = _integer(self.min_short_side, self.max_short_side)
        height, width = resized_size(height, width, short_side)
        return short_side, _integer(0, height - self.crop), _integer(0, width - self.crop)

    def _draw(self, clip: torch.Tensor) -> torch.Tensor:
        short_side, top, left = self._draw_box(*clip.shape[-2:])
        clip = _resize(clip, short_side)
        clip = clip[..., top : top + self.crop, left : left + self.crop]
        if _chance(self.flip):
            clip = F.horizontal_flip(clip)
        if self._operations is not None:
            return self._operations(clip).contiguous()
        if _chance(self.colour):
            clip = _jitter_colours(clip)
        if _chance(self.grey):
            clip = F.rgb_to_grayscale(clip, num_output_channels=3)
        return clip.contiguous()


class TestTransform:
    """The crops of one test clip: uint8 (T,C=3,H,W) -> uint8 (crops,T,3,crop,crop). No chance.

    crop: pixels a side, at least 2. short_side: pixels to which the clip is scaled first. crops: 3
    (left, centre, right, or top, centre, bottom of a portrait clip) or 1 (the centre).

    Raises TypeError or ValueError for an illegal setting, or a clip of another shape or dtype.
    Source: section 4.1 (4 clips x 3 crops of 224, averaged).

    >>> transform = TestTransform(crop=32, short_side=40)
    >>> transform(torch.zeros(8, 3, 60, 80, dtype=torch.uint8)).shape
    torch.Size([3, 8, 3, 32, 32])
    """

    __test__ = False  # pytest: the name is the paper's word, this is no test

    def __init__(self, crop: int = 224, short_side: int = 256, crops: int = 3):
        whole("crop", crop, least=2)
        whole("short_side", short_side, least=crop)
        whole("crops", crops)
        if crops not in (1, 3):
            nearest = 1 if crops < 3 else 3
            raise ValueError(f"crops is {crops}, but must be 1 or 3; the nearest is {nearest}.")
        self.crop, self.short_side, self.crops = crop, short_side, crops

    def __repr__(self) -> str:
        return f"TestTransform(crop={self.crop}, short_side={self.short_side}, crops={self.crops})"

    def __call__(self, clip: torch.Tensor) -> torch.Tensor:
        """Crop one clip: uint8 (T,3,H,W) -> uint8 (crops,T,3,crop,crop).

        Raises TypeError or ValueError for a clip of another shape or dtype. Source: section 4.1.

        >>> clip = torch.arange(12, dtype=torch.uint8).reshape(1, 1, 2, 6).expand(1, 3, 2, 6)
        >>> TestTransform(crop=2, short_side=2)(clip)[:, 0, 0, 0]
        tensor([[0, 1],
                [2, 3],
                [4, 5]], dtype=torch.uint8)
        """
        _check_clip(clip)
        clip = _resize(clip, self.short_side)
        corners = three_crops(*clip.shape[-2:], self.crop)
        if self.crops == 1:
            corners = corners[1:2]
        size = self.crop
        return torch.stack([clip[..., y : y + size, x : x + size] for y, x in corners])


def normalise(clip: torch.Tensor) -> torch.Tensor:
    """Pixels as the models take them: uint8 0..255 -> float32 -1..1 (x / 127.5 - 1), any shape.

    No mean and standard deviation: the official code has none. Run it on the device, after the
    uint8 clip has travelled there. Raises TypeError for anything but uint8: float pixels have
    usually been normalised already. Source: official code, zero_centering.

    >>> normalise(torch.tensor([0, 255], dtype=torch.uint8))
    tensor([-1.,  1.])
    """
    if not isinstance(clip, torch.Tensor) or clip.dtype != torch.uint8:
        raise TypeError(
            f"normalise takes a uint8 tensor with values 0..255, not {_kind(clip)}. Was the clip "
            "normalised already? Values 0..1 become uint8 by (clip * 255).round().to(torch.uint8)."
        )
    return clip.to(torch.float32) / 127.5 - 1


def denormalise(clip: torch.Tensor) -> torch.Tensor:
    """Pixels to look at: float -1..1 -> uint8 0..255, any shape; undoes `normalise` exactly.

    Values beyond -1..1 are clamped. Raises TypeError for anything but a float tensor.
    Source: official code, zero_centering.

    >>> denormalise(torch.tensor([-1.0, 0.0, 1.0, 1.5]))
    tensor([  0, 128, 255, 255], dtype=torch.uint8)
    """
    if not isinstance(clip, torch.Tensor) or not clip.is_floating_point():
        raise TypeError(
            f"denormalise takes a float tensor with values -1..1, not {_kind(clip)}. uint8 pixels "
            "can be shown as they are."
        )
    return ((clip.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def _jitter_colours(clip: torch.Tensor) -> torch.Tensor:
    shift = _integer(-BRIGHTNESS, BRIGHTNESS)
    clip = (clip.to(torch.int16) + shift).clamp(0, 255).to(torch.uint8)
    clip = F.adjust_saturation(clip, _uniform(*SATURATION))
    clip = F.adjust_contrast(clip, _uniform(*CONTRAST))
    return F.adjust_hue(clip, _uniform(-HUE, HUE))


def _resize(clip: torch.Tensor, short_side: int) -> torch.Tensor:
    size = list(resized_size(*clip.shape[-2:], short_side))
    return F.resize(clip, size, antialias=True)  # bilinear; nothing happens at the same size


def _rand_augment(setting: tuple[int, int]) -> v2.RandAugment:
    if not isinstance(setting, (tuple, list)) or len(setting) != 2:
        raise TypeError(
            f"rand_augment is {setting!r}, but must be None or (layers, magnitude), e.g. (2, 15)."
        )
    layers, magnitude = setting
    whole("rand_augment's number of layers", layers)
    whole("rand_augment's magnitude", magnitude, least=0)
    if magnitude > 30:
        raise ValueError(f"rand_augment's magnitude is {magnitude}, but must be at most 30.")
    return v2.RandAugment(num_ops=layers, magnitude=magnitude)


def _check_clip(clip: torch.Tensor) -> None:
    if not isinstance(clip, torch.Tensor) or clip.dtype != torch.uint8:
        raise TypeError(
            f"The clip is {_kind(clip)}, but must be a uint8 tensor (T,C,H,W) with values 0..255; "
            "normalise it after the transform, not before."
        )
    if clip.ndim != 4:
        raise ValueError(
            f"The clip has shape {tuple(clip.shape)}, but must have the 4 axes (T,C,H,W). "
            "Transform the clips of a batch one by one; write clip[None] for a single picture."
        )
    if clip.shape[1] != 3:
        hint = ""
        if clip.shape[0] == 3:
            hint = " If this is (C,T,H,W), use clip.permute(1, 0, 2, 3)."
        elif clip.shape[3] == 3:
            hint = " If this is (T,H,W,C), use clip.permute(0, 3, 1, 2)."
        raise ValueError(
            f"The clip has shape {tuple(clip.shape)}, but axis C of (T,C,H,W) must be 3 (RGB), not "
            f"{clip.shape[1]}.{hint}"
        )
    if 0 in clip.shape:
        raise ValueError(
            f"The clip has shape {tuple(clip.shape)}, but each axis of (T,C,H,W) needs at least 1."
        )


def _kind(value: object) -> str:
    if not isinstance(value, torch.Tensor):
        return f"a {type(value).__name__}"
    return f"a {str(value.dtype).removeprefix('torch.')} tensor"


def _probability(name: str, value: float) -> None:
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(
            f"{name} is {value!r}, but is a probability: from 0 (never) to 1 (always)."
        )


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw as `seed` says, and leave torch's global random numbers as they were."""
    whole("seed", seed, least=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _integer(low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, ()))  # both ends included


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def _chance(probability: float) -> bool:
    return float(torch.rand(())) < probability

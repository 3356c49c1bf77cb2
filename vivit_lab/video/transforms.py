"""Which pixels: the paper's training and test transforms, on a whole uint8 clip (T,C,H,W) at once.

One draw a clip: all frames get the same size, crop, flip and colours, so that the only motion in
the clip is its own. Pixels stay uint8 until `normalise`, which belongs on the device.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from vivit_lab.errors import one_of, whole
from vivit_lab.video.colours import ClipRandAugment, Colours
from vivit_lab.video.flipping import FlipLabels, Label, flipped_label
from vivit_lab.video.pixels import check_clip, denormalise, normalise
from vivit_lab.video.sampling import resized_size, three_crops

__all__ = ["Draw", "TestTransform", "TrainTransform", "denormalise", "normalise"]

SCALES = ("uniform", "inverse", "stretch", "area")
STRETCH = (0.9, 1.33)  # factors of height and width, each by itself
AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)  # part of the picture; width / height
BRIGHTNESS = 32  # of 255, added or taken away
CONTRAST = SATURATION = (0.6, 1.4)  # factors; 1 changes nothing
HUE = 0.2  # of a full turn of the colour circle, either way


@dataclass(frozen=True)
class Draw:
    """What `TrainTransform` has drawn for one clip: enough to read it at once at the right size."""

    short_side: int  # pixels to which the video is scaled
    top: int  # the box that is cut out, in pixels of the scaled video
    left: int
    height: int
    width: int
    flip: bool
    colours: Colours
    operations_seed: int  # of RandAugment, which draws for itself

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(top, left, height, width), as `VideoReader.read` takes its `crop`."""
        return self.top, self.left, self.height, self.width


class TrainTransform:
    """Random scale, crop, flip and colours: clip uint8 (T,C=3,H,W) -> uint8 (T,3,crop,crop).

    crop: pixels a side, at least 2. scale, and min_short_side and max_short_side in pixels:
        "uniform": short side drawn from min to max, both included (the paper);
        "inverse": 1 / short side drawn evenly, so that small ones come more often (SlowFast);
        "stretch": short side min_short_side, then height and width times 0.9 to 1.33, each drawn by
            itself, so that the shape changes (the official code);
        "area": a box of 8 to 100 % of the picture, 3:4 to 4:3, made square (MViT, DeiT); needs no
            short side.
    flip, colour, grey: probabilities 0..1 of mirroring left-right, of colour jitter (brightness,
    saturation, contrast, hue), and of taking the colours out after it. flip_labels: labels that
    change places in a mirror, {label: label}, see `flip_pairs`; or set flip=0 where left and right
    matter (Something-Something).
    rand_augment: (layers, magnitude 0..30), which takes the place of colour and grey, or None;
    torchvision's set of operations, which turns and shears too (the official set does not).

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
        scale: str = "uniform",
        flip: float = 0.5,
        flip_labels: FlipLabels | None = None,
        colour: float = 0.8,
        grey: float = 0.1,
        rand_augment: tuple[int, int] | None = None,
    ):
        whole("crop", crop, least=2)
        one_of("scale", scale, SCALES)
        whole("min_short_side", min_short_side, least=1 if scale == "area" else crop)
        whole("max_short_side", max_short_side, least=min_short_side)
        for name, value in (("flip", flip), ("colour", colour), ("grey", grey)):
            _probability(name, value)
        self.crop, self.scale = crop, scale
        self.min_short_side, self.max_short_side = min_short_side, max_short_side
        self.flip, self.flip_labels = flip, flip_labels
        self.colour, self.grey = colour, grey
        self.rand_augment, self._operations = rand_augment, None
        if rand_augment is not None:
            self._operations = _rand_augment(rand_augment)

    def __repr__(self) -> str:
        scale = f", scale={self.scale!r}" if self.scale != "uniform" else ""
        labels = f", flip_labels={self.flip_labels}" if self.flip_labels is not None else ""
        colours = f"colour={self.colour}, grey={self.grey}"
        if self.rand_augment is not None:
            colours = f"rand_augment={self.rand_augment}"
        return (
            f"TrainTransform(crop={self.crop}, min_short_side={self.min_short_side}, "
            f"max_short_side={self.max_short_side}{scale}, flip={self.flip}{labels}, {colours})"
        )

    def __call__(self, clip: torch.Tensor, seed: int | None = None) -> torch.Tensor:
        """Transform one clip: uint8 (T,3,H,W) -> uint8 (T,3,crop,crop), on the CPU.

        With a seed (whole number of at least 0) the draw is the same each time, and torch's global
        random numbers are left as they were; without one the draw takes from them.
        Raises TypeError or ValueError for a clip of another shape or dtype, and ValueError where
        flip_labels are set: the label belongs to it, see `with_label`. Source: section 4.1.

        >>> clip = torch.arange(48, dtype=torch.uint8).reshape(1, 3, 4, 4)
        >>> transform = TrainTransform(crop=4, min_short_side=4, max_short_side=4, colour=0, grey=0)
        >>> transform(clip, seed=0).shape
        torch.Size([1, 3, 4, 4])
        """
        if self.flip_labels is not None:
            raise ValueError(
                "This transform has flip_labels, so a flip changes the label too; call "
                "transform.with_label(clip, label, seed), which gives both back."
            )
        return self.with_label(clip, None, seed)[0]

    def with_label(
        self, clip: torch.Tensor, label: Label, seed: int | None = None
    ) -> tuple[torch.Tensor, Label]:
        """Transform one clip and its label, which changes if the clip is flipped and it says so.

        label: a whole number, a dict of them for several heads, or None. Else as `__call__`.

        >>> clip = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
        >>> transform = TrainTransform(4, 4, 4, flip=1, flip_labels={0: 1, 1: 0})
        >>> transform.with_label(clip, 0, seed=0)[1], transform.with_label(clip, 5, seed=0)[1]
        (1, 5)
        """
        check_clip(clip)
        draw = self.draw(*clip.shape[-2:], seed)
        return self.apply(clip, draw), self.label(label, draw)

    def draw(self, height: int, width: int, seed: int | None = None) -> Draw:
        """Draw for a video of height x width pixels, before any of its frames is read.

        The clip can then be read at `draw.short_side` and given to `apply`, or read so with
        `draw.box` as the crop and given to `finish`, which is quicker.
        Raises TypeError or ValueError for sizes or seeds that are no whole numbers.

        >>> draw = TrainTransform().draw(720, 1280, seed=0)
        >>> draw.short_side, draw.top, draw.left, draw.height, draw.width
        (285, 61, 105, 224, 224)
        """
        whole("height", height)
        whole("width", width)
        with _seeded(seed):
            box = self._box(height, width)
            flip = _chance(self.flip)
            return Draw(*box, flip, self._colours(), _integer(0, 2**31))

    def apply(self, clip: torch.Tensor, draw: Draw) -> torch.Tensor:
        """Do what was drawn: clip uint8 (T,3,H,W) -> uint8 (T,3,crop,crop).

        The clip is scaled to `draw.short_side` unless it was read so already.
        Raises TypeError or ValueError for a clip of another shape or dtype, or of another aspect
        than the draw was made for.

        >>> transform = TrainTransform(crop=4, min_short_side=6, max_short_side=6)
        >>> draw = transform.draw(60, 90, seed=0)
        >>> transform.apply(torch.zeros(2, 3, 6, 9, dtype=torch.uint8), draw).shape
        torch.Size([2, 3, 4, 4])
        """
        check_clip(clip)
        clip = _resize(clip, draw.short_side)
        bottom, right = draw.top + draw.height, draw.left + draw.width
        if bottom > clip.shape[-2] or right > clip.shape[-1]:
            raise ValueError(
                f"The draw cuts out rows up to {bottom} and columns up to {right}, but the clip "
                f"scaled to it has {clip.shape[-2]} x {clip.shape[-1]}; draw for the sizes of this "
                "video."
            )
        return self.finish(clip[..., draw.top : bottom, draw.left : right], draw)

    def finish(self, clip: torch.Tensor, draw: Draw) -> torch.Tensor:
        """What is left to do after the cut: uint8 (T,3,H,W) of the box -> uint8 (T,3,crop,crop).

        For a clip that was read at `draw.short_side`, and no more of it than `draw.box`.
        Raises TypeError or ValueError for a clip of another shape or dtype.

        >>> transform = TrainTransform(crop=4, min_short_side=6, max_short_side=6)
        >>> draw = transform.draw(60, 90, seed=0)
        >>> transform.finish(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), draw).shape
        torch.Size([2, 3, 4, 4])
        """
        check_clip(clip)
        if clip.shape[-2:] != (draw.height, draw.width):
            raise ValueError(
                f"The clip has {clip.shape[-2]} x {clip.shape[-1]} pixels, but the box drawn is "
                f"{draw.height} x {draw.width}."
            )
        if (draw.height, draw.width) != (self.crop, self.crop):
            clip = F.resize(clip, [self.crop, self.crop], antialias=True)
        if draw.flip:
            clip = F.horizontal_flip(clip)
        clip = draw.colours(clip)
        if self._operations is not None:
            with _seeded(draw.operations_seed):
                clip = self._operations(clip)
        return clip.contiguous()

    def label(self, label: Label, draw: Draw) -> Label:
        """The label of the clip after this draw: another one only if flipped and in flip_labels.

        >>> transform = TrainTransform(flip=1, flip_labels={86: 87, 87: 86})
        >>> transform.label(87, transform.draw(256, 340, seed=0))
        86
        """
        if not draw.flip or self.flip_labels is None:
            return label
        return flipped_label(label, self.flip_labels)

    def _box(self, height: int, width: int) -> tuple[int, int, int, int, int]:
        """(short_side, top, left, height, width) of the box that becomes the crop."""
        if self.scale == "area":
            return _area_box(height, width, self.crop)
        short_side, box_height, box_width = self.min_short_side, self.crop, self.crop
        if self.scale == "uniform":
            short_side = _integer(self.min_short_side, self.max_short_side)
        elif self.scale == "inverse":
            short_side = round(1 / _uniform(1 / self.max_short_side, 1 / self.min_short_side))
        height, width = resized_size(height, width, short_side)
        if self.scale == "stretch":  # a crop of the stretched picture is a smaller box of this one
            box_height = min(round(self.crop / _uniform(*STRETCH)), height)
            box_width = min(round(self.crop / _uniform(*STRETCH)), width)
        top, left = _integer(0, height - box_height), _integer(0, width - box_width)
        return short_side, top, left, box_height, box_width

    def _colours(self) -> Colours:
        if self._operations is not None:
            return Colours()
        jitter = ()
        if _chance(self.colour):
            brightness = _integer(-BRIGHTNESS, BRIGHTNESS)
            saturation, contrast = _uniform(*SATURATION), _uniform(*CONTRAST)
            jitter = (brightness, saturation, contrast, _uniform(-HUE, HUE))
        grey = _chance(self.grey)
        return Colours(*jitter, grey=grey)


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
        check_clip(clip)
        clip = _resize(clip, self.short_side)
        corners = three_crops(*clip.shape[-2:], self.crop)
        if self.crops == 1:
            corners = corners[1:2]
        size = self.crop
        return torch.stack([clip[..., y : y + size, x : x + size] for y, x in corners])


def _area_box(height: int, width: int, crop: int) -> tuple[int, int, int, int, int]:
    """torchvision's box for a random resized crop, on the video scaled so that it is about `crop`.

    Never scaled up: (short_side, top, left, height, width).
    """
    picture = torch.empty(1).expand(1, height, width)
    box = v2.RandomResizedCrop(crop, scale=AREA, ratio=ASPECT).make_params([picture])
    short_side = min(height, width)
    if min(box["height"], box["width"]) > crop:
        short_side = math.ceil(short_side * crop / min(box["height"], box["width"]))
    new_height, new_width = resized_size(height, width, short_side)
    box_height = min(max(round(box["height"] * new_height / height), 1), new_height)
    box_width = min(max(round(box["width"] * new_width / width), 1), new_width)
    top = min(round(box["top"] * new_height / height), new_height - box_height)
    left = min(round(box["left"] * new_width / width), new_width - box_width)
    return short_side, top, left, box_height, box_width


def _resize(clip: torch.Tensor, short_side: int) -> torch.Tensor:
    size = list(resized_size(*clip.shape[-2:], short_side))
    return F.resize(clip, size, antialias=True)  # bilinear; nothing happens at the same size


def _rand_augment(setting: tuple[int, int]) -> ClipRandAugment:
    if not isinstance(setting, (tuple, list)) or len(setting) != 2:
        raise TypeError(
            f"rand_augment is {setting!r}, but must be None or (layers, magnitude), e.g. (2, 15)."
        )
    layers, magnitude = setting
    whole("rand_augment's number of layers", layers)
    whole("rand_augment's magnitude", magnitude, least=0)
    if magnitude > 30:
        raise ValueError(f"rand_augment's magnitude is {magnitude}, but must be at most 30.")
    return ClipRandAugment(num_ops=layers, magnitude=magnitude)


def _probability(name: str, value: float) -> None:
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(
            f"{name} is {value!r}, but is a probability: from 0 (never) to 1 (always)."
        )


@contextlib.contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Draw as `seed` says, and leave torch's global numbers as they were; None draws from them."""
    if seed is None:
        yield
        return
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

"""Which pixels: the paper's training and test transforms, on a whole uint8 clip (T,C,H,W) at once:
all frames get the same size, crop, flip and colours. Pixels stay uint8 until `normalise`, which
belongs on the device."""

import contextlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch

from vivit_lab.errors import one_of, takes_plain, whole
from vivit_lab.video.sampling import resized_size, three_crops

Label = int | Mapping[str, int] | None
FlipLabels = Mapping[int, int] | Mapping[str, Mapping[int, int]]

SCALES = ("uniform", "inverse", "stretch", "area")
STRETCH = (0.9, 1.33)  # factors of height and width, each by itself
AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)  # part of the picture; width / height
BRIGHTNESS = 32  # of 255, added or taken away
CONTRAST = SATURATION = (0.6, 1.4)  # factors; 1 changes nothing
HUE = 0.2  # of a full turn of the colour circle, either way
LUMA = torch.tensor([0.299, 0.587, 0.114])  # of red, green, blue: how bright each looks
RGB_TO_YIQ = torch.tensor([LUMA.tolist(), [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


@cache
def _torchvision():
    """Its transforms, imported by the first transform made: `normalise` need not wait for them."""
    from torchvision.transforms import v2

    return v2


@dataclass(frozen=True)
class Colours:
    """What happens to the colours of a clip, in this order; the defaults change nothing.

    One 3 x 3 matrix and an offset for all frames, in a thirteenth of the time of torchvision's four
    functions: they go through HSV, where this turns the colours about the grey axis, as NVIDIA's
    DALI.
    """

    brightness: int = 0  # added, of 255
    saturation: float = 1.0  # factor: 0 is grey, 1 changes nothing
    contrast: float = 1.0  # factor, about the mean brightness of the clip
    hue: float = 0.0  # turn of the colour circle, -0.5 to 0.5
    grey: bool = False  # takes all colour out in the end

    def __call__(self, clip: torch.Tensor) -> torch.Tensor:
        """Change a clip: uint8 (T,3,H,W) -> uint8 (T,3,H,W), rounded, and clamped once."""
        if self == Colours():
            return clip
        pixels = clip.flatten(2).float()  # (T,3,H*W)
        matrix, offset = self._matrix(pixels.mean((0, 2)))
        pixels = (matrix @ pixels).add_((offset + 0.5)[:, None]).clamp_(0, 255)
        return pixels.to(torch.uint8).view(clip.shape)

    def _matrix(self, mean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(3,3) and (3,): new colour = matrix @ colour + offset; mean: colour of the clip, (3,)."""
        grey = LUMA.expand(3, 3)
        matrix = self.saturation * torch.eye(3) + (1 - self.saturation) * grey
        offset = torch.full((3,), float(self.brightness))  # grey, so that saturation keeps it
        middle = LUMA @ (matrix @ mean + offset)
        matrix, offset = self.contrast * matrix, self.contrast * (offset - middle) + middle
        if self.hue:  # turns the colour plane of YIQ; brightness (Y) stays, and so does grey
            cosine, sine = math.cos(2 * math.pi * self.hue), math.sin(2 * math.pi * self.hue)
            turn = torch.tensor([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]])
            matrix = torch.linalg.inv(RGB_TO_YIQ) @ turn @ RGB_TO_YIQ @ matrix
        return (grey @ matrix if self.grey else matrix), offset


@cache
def clip_rand_augment(layers: int, magnitude: int):
    """torchvision's RandAugment, but histogram and mean brightness are those of the whole clip, as
    in the official code: measured for each frame by itself, a clip would flicker."""
    v2 = _torchvision()

    class ClipRandAugment(v2.RandAugment):
        def _apply_image_or_video_transform(self, image, transform_id, *settings, **named):
            apply = super()._apply_image_or_video_transform
            if transform_id not in ("AutoContrast", "Equalize", "Contrast"):
                return apply(image, transform_id, *settings, **named)
            frames, _, height, width = image.shape
            tall = image.transpose(0, 1).reshape(3, frames * height, width)
            tall = apply(tall, transform_id, *settings, **named)
            return tall.view(3, frames, height, width).transpose(0, 1)

    return ClipRandAugment(num_ops=layers, magnitude=magnitude)


@takes_plain
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


@takes_plain
@dataclass(frozen=True)
class TrainTransform:
    """Random scale, crop, flip and colours: clip uint8 (T,C=3,H,W) -> uint8 (T,3,crop,crop).

    scale says how the short side of the video is drawn, or the box that becomes the crop:
        "uniform": from min_short_side to max_short_side, both included (the paper);
        "inverse": 1 / short side drawn evenly, so that small ones come more often (SlowFast);
        "stretch": short side min_short_side, then height and width times 0.9 to 1.33, each drawn by
            itself, so that the shape changes (the official code);
        "area": a box of 8 to 100 % of the picture, 3:4 to 4:3, made square (MViT, DeiT); needs no
            short side.
    Where left and right matter (Something-Something), set flip_labels or flip=0. rand_augment has
    torchvision's set of operations, which turns and shears too (the official set does not).

    A call takes a clip, and a seed (whole number of at least 0), with which the draw is the same
    each time and torch's global random numbers stay as they were; without one it takes from them.
    Raises TypeError or ValueError for an illegal setting, or a clip of another shape or dtype.
    Source: section 4.1 (short side 256-320, crop 224), and the official recipe for Kinetics.

    >>> transform = TrainTransform(crop=32, min_short_side=36, max_short_side=48)
    >>> transform(torch.zeros(8, 3, 60, 80, dtype=torch.uint8), seed=0).shape
    torch.Size([8, 3, 32, 32])
    """

    crop: int = 224  # pixels a side, at least 2
    min_short_side: int = 256  # pixels
    max_short_side: int = 320
    scale: str = "uniform"  # one of SCALES
    flip: float = 0.5  # probability of mirroring left-right
    flip_labels: FlipLabels | None = None  # labels that change places in a mirror: `flip_pairs`
    colour: float = 0.8  # probability of changing brightness, saturation, contrast and hue
    grey: float = 0.1  # probability of taking the colours out, after that
    rand_augment: tuple[int, int] | None = None  # layers, magnitude 0..30: for colour and grey

    def __post_init__(self) -> None:
        whole("crop", self.crop, least=2)
        one_of("scale", self.scale, SCALES)
        whole("min_short_side", self.min_short_side, 1 if self.scale == "area" else self.crop)
        whole("max_short_side", self.max_short_side, self.min_short_side)
        for name in ("flip", "colour", "grey"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise ValueError(f"{name} is {value!r}, but must be from 0 (never) to 1 (always).")
        if self.rand_augment is not None:
            if not isinstance(self.rand_augment, (tuple, list)) or len(self.rand_augment) != 2:
                rule = "None or (layers, magnitude), e.g. (2, 15)"
                raise TypeError(f"rand_augment is {self.rand_augment!r}, but must be {rule}.")
            layers, magnitude = self.rand_augment
            whole("rand_augment's number of layers", layers)
            whole("rand_augment's magnitude", magnitude, least=0)
            if magnitude > 30:
                raise ValueError(f"rand_augment's magnitude is {magnitude}, but is at most 30.")
        _torchvision()  # here, so that the processes of a loader find it imported

    def __call__(self, clip: torch.Tensor, seed: int | None = None) -> torch.Tensor:
        """Transform one clip: uint8 (T,3,H,W) -> uint8 (T,3,crop,crop), on the CPU."""
        if self.flip_labels is not None:
            raise ValueError(
                "This transform has flip_labels, so a flip changes the label too; call "
                "transform.with_label(clip, label, seed), which gives both back."
            )
        return self.with_label(clip, None, seed)[0]

    def with_label(
        self, clip: torch.Tensor, label: Label, seed: int | None = None
    ) -> tuple[torch.Tensor, Label]:
        """Transform one clip and its label (a whole number, a dict of them for several heads, or
        None), which changes if the clip is flipped and it says so."""
        check_clip(clip)
        draw = self.draw(*clip.shape[-2:], seed)
        return self.apply(clip, draw), self.label(label, draw)

    def draw(self, height: int, width: int, seed: int | None = None) -> Draw:
        """Draw for a video of height x width pixels, before any of its frames is read.

        The clip can then be read at `draw.short_side` and given to `apply`, or read so with
        `draw.box` as the crop and given to `finish`, which is quicker.

        >>> draw = TrainTransform().draw(720, 1280, seed=0)
        >>> draw.short_side, draw.box
        (285, (61, 105, 224, 224))
        """
        whole("height", height)
        whole("width", width)
        with seeded(seed):
            box = self._box(height, width)
            flip = _chance(self.flip)
            return Draw(*box, flip, self._colours(), _integer(0, 2**31))

    def apply(self, clip: torch.Tensor, draw: Draw) -> torch.Tensor:
        """Do what was drawn: clip uint8 (T,3,H,W) -> uint8 (T,3,crop,crop). Raises TypeError or
        ValueError for a clip of another shape, dtype or aspect than the draw was made for."""
        check_clip(clip)
        clip = _scaled(clip, draw.short_side)
        box = clip[..., draw.top : draw.top + draw.height, draw.left : draw.left + draw.width]
        return self.finish(box, draw)

    def finish(self, clip: torch.Tensor, draw: Draw) -> torch.Tensor:
        """What is left to do after the cut, for a clip of which `draw.box` was read, at
        `draw.short_side`: uint8 (T,3,H,W) -> uint8 (T,3,crop,crop). Raises as `apply`."""
        if clip.shape[-2:] != (draw.height, draw.width):
            size, box = f"{clip.shape[-2]} x {clip.shape[-1]}", f"{draw.height} x {draw.width}"
            raise ValueError(
                f"The clip has {size} pixels, but the box drawn is {box}; draw for its own size."
            )
        check_clip(clip)
        functional = _torchvision().functional
        if (draw.height, draw.width) != (self.crop, self.crop):
            clip = functional.resize(clip, [self.crop, self.crop], antialias=True)
        if draw.flip:
            clip = functional.horizontal_flip(clip)
        clip = draw.colours(clip)
        if self.rand_augment is not None:
            with seeded(draw.operations_seed):
                clip = clip_rand_augment(*self.rand_augment)(clip)
        return clip.contiguous()

    def label(self, label: Label, draw: Draw) -> Label:
        """The label of the clip after this draw: another one only if flipped and in flip_labels."""
        return flipped_label(label, self.flip_labels) if draw.flip else label

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
        if self.rand_augment is not None:
            return Colours()
        jitter = ()
        if _chance(self.colour):
            brightness = _integer(-BRIGHTNESS, BRIGHTNESS)
            saturation, contrast = _uniform(*SATURATION), _uniform(*CONTRAST)
            jitter = (brightness, saturation, contrast, _uniform(-HUE, HUE))
        return Colours(*jitter, grey=_chance(self.grey))


@takes_plain
@dataclass(frozen=True)
class TestTransform:
    """The crops of one test clip: uint8 (T,C=3,H,W) -> uint8 (crops,T,3,crop,crop). No chance.

    Raises TypeError or ValueError for an illegal setting, or a clip of another shape or dtype.
    Source: section 4.1 (4 clips x 3 crops of 224, averaged).

    >>> transform = TestTransform(crop=32, short_side=40)
    >>> transform(torch.zeros(8, 3, 60, 80, dtype=torch.uint8)).shape
    torch.Size([3, 8, 3, 32, 32])
    """

    crop: int = 224  # pixels a side, at least 2
    short_side: int = 256  # pixels to which the clip is scaled first
    crops: int = 3  # left, centre, right (of a portrait clip top, centre, bottom); or 1, the centre
    __test__ = False  # pytest: the name is the paper's word, this is no test

    def __post_init__(self) -> None:
        whole("crop", self.crop, least=2)
        whole("short_side", self.short_side, least=self.crop)
        one_of("crops", self.crops, (1, 3))
        _torchvision()

    def __call__(self, clip: torch.Tensor) -> torch.Tensor:
        """Crop one clip: uint8 (T,3,H,W) -> uint8 (crops,T,3,crop,crop)."""
        check_clip(clip)
        clip = _scaled(clip, self.short_side)
        corners = three_crops(*clip.shape[-2:], self.crop)
        if self.crops == 1:
            corners = corners[1:2]
        size = self.crop
        return torch.stack([clip[..., y : y + size, x : x + size] for y, x in corners])


def _area_box(height: int, width: int, crop: int) -> tuple[int, int, int, int, int]:
    """torchvision's box for a random resized crop, on the video scaled so that it is about `crop`,
    never scaled up: (short_side, top, left, height, width)."""
    picture = torch.empty(1).expand(1, height, width)
    box = _torchvision().RandomResizedCrop(crop, scale=AREA, ratio=ASPECT).make_params([picture])
    short_side = min(height, width)
    if min(box["height"], box["width"]) > crop:
        short_side = math.ceil(short_side * crop / min(box["height"], box["width"]))
    new_height, new_width = resized_size(height, width, short_side)
    box_height = min(max(round(box["height"] * new_height / height), 1), new_height)
    box_width = min(max(round(box["width"] * new_width / width), 1), new_width)
    top = min(round(box["top"] * new_height / height), new_height - box_height)
    left = min(round(box["left"] * new_width / width), new_width - box_width)
    return short_side, top, left, box_height, box_width


def _scaled(clip: torch.Tensor, short_side: int) -> torch.Tensor:
    size = list(resized_size(*clip.shape[-2:], short_side))
    return _torchvision().functional.resize(clip, size, antialias=True)  # bilinear


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Draw as `seed` says, and leave torch's global numbers as they were; None draws from them."""
    if seed is not None:
        whole("seed", seed, least=0)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        yield


def _integer(low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, ()))  # both ends included


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def _chance(probability: float) -> bool:
    return float(torch.rand(())) < probability


# --- what a left-right flip does to a label ---


def flip_pairs(class_names: Sequence[str] | Mapping[str, Sequence[str]]) -> FlipLabels:
    """Which labels change places in a mirror: {label: label}, for `TrainTransform(flip_labels=)`.

    A class whose name has the word "left" or "right" becomes the class with these two words
    swapped. Labels without such a word stay, and are left out. class_names: a list, label 0 first,
    or a dict of lists for several heads, which gives a dict of the same heads.
    Raises ValueError with the names of the classes whose mirror image is no class; for these
    classes no clip may be flipped: set flip=0.
    Source: TSN's and TSM's loaders swap labels 86 and 87, 93 and 94, 166 and 167 of
    Something-Something V2.

    >>> flip_pairs(["Pushing it from left to right", "Pushing it from right to left", "Opening it"])
    {0: 1, 1: 0}
    """
    if isinstance(class_names, Mapping):
        return {head: flip_pairs(names) for head, names in class_names.items()}
    labels = {name: label for label, name in enumerate(class_names)}
    pairs, alone = {}, []
    for name, label in labels.items():
        # a word, or part of a_name
        mirrored = re.sub("(?<![a-z])(left|right)(?![a-z])", _other_side, name, flags=re.IGNORECASE)
        if mirrored == name:
            continue
        if mirrored in labels:
            pairs[label] = labels[mirrored]
        else:
            alone.append(f"{name!r} (label {label}; no class {mirrored!r})")
    if alone:
        raise ValueError(
            "These classes have no partner with left and right swapped, so that a flipped clip of "
            f"them would have no label: {'; '.join(alone)}. Set flip=0 for this data set."
        )
    return pairs


def _other_side(word: re.Match) -> str:
    other = "right" if word[0].lower() == "left" else "left"
    return other if word[0].islower() else other.title() if word[0].istitle() else other.upper()


def flipped_label(label: Label, flip_labels: FlipLabels) -> Label:
    """The label of the mirrored clip: an int, a dict of ints for several heads, or None."""
    if label is None or not flip_labels:
        return label
    heads = {head for head, pairs in flip_labels.items() if isinstance(pairs, Mapping)}
    if isinstance(label, Mapping) != bool(heads) or not heads <= set(label if heads else ()):
        raise TypeError(
            f"The label is {label} and flip_labels is {flip_labels}, but both must name the "
            'same classifiers, as in {"verb": {3: 4, 4: 3}}, or neither may name any.'
        )
    if not heads:
        return flip_labels.get(int(label), label)
    return {head: flipped_label(one, flip_labels.get(head, {})) for head, one in label.items()}


# --- the contract about pixels: uint8 0..255 up to the device, float -1..1 in the models ---


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
            f"denormalise takes a float tensor with values -1..1, not {_kind(clip)}. uint8 "
            "pixels can be shown as they are."
        )
    return ((clip.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def check_clip(clip: torch.Tensor) -> None:
    """Raise TypeError or ValueError unless the clip is uint8 (T,C=3,H,W) with something in it."""
    if not isinstance(clip, torch.Tensor) or clip.dtype != torch.uint8:
        raise TypeError(
            f"The clip is {_kind(clip)}, but must be a uint8 tensor (T,C,H,W) with values "
            "0..255; normalise it after the transform, not before."
        )
    if clip.ndim == 4 and clip.shape[1] == 3 and clip.numel():
        return
    raise ValueError(
        f"The clip has shape {tuple(clip.shape)}, but must be (T,C,H,W): C is 3 (RGB), and no axis "
        "is empty. Use clip.permute(1, 0, 2, 3) for (C,T,H,W), clip.permute(0, 3, 1, 2) for "
        "(T,H,W,C), clip[None] for a single picture; transform the clips of a batch one by one."
    )


def _kind(value: object) -> str:
    """What something is, in words: its type, and of a tensor its dtype."""
    if not isinstance(value, torch.Tensor):
        return f"a {type(value).__name__}"
    return f"a {str(value.dtype).removeprefix('torch.')} tensor"

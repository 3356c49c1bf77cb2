"""What a model expects of a video: which frames, which pixels, and their scale."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from vivit_lab.errors import one_of, takes_plain, whole
from vivit_lab.video.sampling import ByFrame, BySegment, BySpan, ByTime

SAMPLINGS = {kind.__name__: kind for kind in (ByFrame, ByTime, BySpan, BySegment)}
HALF = (0.5, 0.5, 0.5)


@takes_plain
@dataclass(frozen=True)
class Preprocessing:
    """What a model expects of a video; a model carries it as `model.preprocessing`.

    mean, std: of red, green and blue, of pixel values 0..1; the model takes (value - mean) / std.
    The defaults make the -1..1 of `normalise`, which loaders give; `rescale` makes the rest.

    Raises TypeError or ValueError for an illegal setting. Source: paper section 4.1; mean and std
    as in transformers' image processors.

    >>> print(Preprocessing(ByFrame(clip_frames=32, stride=2), crop=224, short_side=256))
    32 frames at stride 2, short side 256, crop 224, pixels -1..1
    """

    sampling: ByFrame | ByTime | BySpan | BySegment  # which frames, and how many
    crop: int  # pixels a side that the model sees
    short_side: int  # pixels to which a video is scaled before the crop
    mean: tuple[float, float, float] = HALF
    std: tuple[float, float, float] = HALF

    def __post_init__(self) -> None:
        if type(self.sampling) not in SAMPLINGS.values():
            kinds = ", ".join(SAMPLINGS)
            raise TypeError(f"sampling is {self.sampling!r}, but must be one of {kinds}.")
        whole("crop", self.crop, least=2)
        whole("short_side", self.short_side, least=self.crop)
        for name, least in (("mean", -math.inf), ("std", 0)):
            values, rule = getattr(self, name), f"must be three numbers (std above 0): {HALF}"
            numbers = [x for x in values if isinstance(x, (int, float)) and least < x < math.inf]
            if len(values) != 3 or len(numbers) != 3:
                raise ValueError(f"{name} is {values!r}, but {rule}.")

    def test_transform(self, crops: int = 1):
        """Which pixels in testing: the `TestTransform` of so many crops (1 or 3)."""
        from vivit_lab.video.transforms import TestTransform

        return TestTransform(self.crop, self.short_side, crops)

    def rescale(self, clip):
        """Pixels -1..1, float (..., C=3, H, W), as the model takes them; most come back as is."""
        if self.mean == self.std == HALF:
            return clip
        mean, std = (clip.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (clip + 1 - 2 * mean) / (2 * std)

    def resized(self, clip_frames: int, crop: int) -> "Preprocessing":
        """The same for other clips; the short side keeps its proportion to the crop."""
        short_side = round(self.short_side * crop / self.crop)
        sampling = replace(self.sampling, clip_frames=clip_frames)
        return replace(self, sampling=sampling, crop=crop, short_side=short_side)

    def to_dict(self) -> dict:
        """All fields, as JSON can hold them."""
        sampling = {"by": type(self.sampling).__name__, **asdict(self.sampling)}
        return asdict(self) | {"sampling": sampling}

    @classmethod
    def from_dict(cls, fields: Mapping) -> "Preprocessing":
        """What `to_dict` described; raises TypeError or ValueError for anything else."""
        fields = {"sampling": {}, **fields}
        sampling = {"by": None, **fields["sampling"]}
        one_of("by", kind := sampling.pop("by"), SAMPLINGS)
        return cls(**fields | {"sampling": SAMPLINGS[kind](**sampling)})

    def __str__(self) -> str:
        ranges = {(-m / s, (1 - m) / s) for m, s in zip(self.mean, self.std, strict=True)}
        pixels = f"pixels of mean {self.mean}, std {self.std}"
        if len(ranges) == 1:
            pixels = "pixels {:z.4g}..{:z.4g}".format(*ranges.pop())
        return f"{clips_text(self.sampling, self.short_side, self.crop)}, {pixels}"


def clips_text(sampling, short_side: int, crop: int) -> str:
    """In words: which frames make a clip, and at which size."""
    words = {
        ByFrame: "{0.clip_frames} frames at stride {0.stride}",
        ByTime: "{0.clip_frames} frames at {0.frames_per_second:g} a second",
        BySpan: "{0.clip_frames} frames at stride {0.stride} of {0.frames_per_second:g} a second",
        BySegment: "{0.clip_frames} frames, the {0.frame} of each equal part of the video",
    }
    text, short = words.get(type(sampling), "{0}"), getattr(sampling, "short", "loop")
    text += f" (short videos: {short})" * (short != "loop")
    return f"{text.format(sampling)}, short side {short_side}, crop {crop}"

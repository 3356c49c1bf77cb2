"""What the clip explorer is set to: which frames, which crops, and the words that say it."""

from dataclasses import dataclass, replace

import numpy as np

from vivit_lab.video import (
    ByFrame,
    BySegment,
    ByTime,
    TrainTransform,
    resized_size,
    three_crops,
)
from vivit_lab.video.sampling import duration

WAYS = ("by frame", "by time", "by segment")
USUAL_RATE = 25  # frames a second; "by time" keeps the pace that the stride has in such a video
RECIPES = {  # name: (clips, crops, crop size, short side)
    "ViViT: 4 clips × 3 crops of 224": (4, 3, 224, 256),
    "SlowFast: 10 clips × 3 crops of 256": (10, 3, 256, 256),
    "quick: 1 clip × 1 crop of 224": (1, 1, 224, 256),
}


@dataclass(frozen=True)
class ClipState:
    """All that the picture depends on, besides the video.

    Example:
        >>> state = ClipState(training=False, clip_frames=16, recipe=list(RECIPES)[0])
        >>> state.clips(np.arange(300) / 25)[:, 0]
        array([  0,  89, 178, 268])
    """

    training: bool = True
    clip_frames: int = 32
    stride: int = 2
    seed: int = 0
    recipe: str = next(iter(RECIPES))  # of testing
    way: str = "by frame"  # one of WAYS
    short: str = "loop"  # a video shorter than the clip: "loop" or "hold"

    @property
    def sampling(self) -> ByFrame | ByTime | BySegment:
        """The way to sample that these settings stand for."""
        if self.way == "by time":
            return ByTime(self.clip_frames, USUAL_RATE / self.stride, self.short)
        if self.way == "by segment":
            return BySegment(self.clip_frames)
        return ByFrame(self.clip_frames, self.stride, self.short)

    def clips(self, times: np.ndarray) -> np.ndarray:
        """Frame numbers, (clips, clip_frames): one clip in training, several in testing."""
        if self.training:
            return self.sampling.train(times, np.random.default_rng(self.seed))[None]
        return self.sampling.test(times, RECIPES[self.recipe][0])

    def each_way(self, times: np.ndarray) -> dict[str, np.ndarray]:
        """The training clip (clip_frames,) of each of the three ways, at the same settings."""
        return {way: replace(self, way=way, training=True).clips(times)[0] for way in WAYS}

    def crops(self, height: int, width: int) -> tuple[int, int, list[tuple[int, int]]]:
        """(short side, crop size, [(top, left), ...]) in pixels of the scaled video."""
        if self.training:
            draw = TrainTransform().draw(height, width, self.seed)
            return draw.short_side, draw.height, [(draw.top, draw.left)]
        _, crops, size, short_side = RECIPES[self.recipe]
        boxes = three_crops(*resized_size(height, width, short_side), size)
        return short_side, size, boxes if crops == 3 else boxes[1:2]

    def is_short(self, times: np.ndarray) -> bool:
        """Whether the video has less than the clip asks for."""
        if self.way == "by segment":
            return len(times) < self.clip_frames
        if self.way == "by time":
            return (self.clip_frames - 1) * self.stride / USUAL_RATE >= duration(times)
        return (self.clip_frames - 1) * self.stride >= len(times)

    def runs_out(self, times: np.ndarray) -> bool:
        """Whether a clip goes on after the video has ended; one frame of each part never does."""
        return self.way != "by segment" and self.is_short(times)

    def span(self, times: np.ndarray) -> str:
        """What one clip stands for, in words."""
        frames, stride = self.clip_frames, self.stride
        if self.way == "by segment":
            return f"{frames} parts of {len(times)} frames = the whole video"
        if self.way == "by time":
            seconds = frames * stride / USUAL_RATE
            return f"{frames} frames at {USUAL_RATE / stride:.4g} a second = {seconds:.2f} s"
        seconds = frames * stride * duration(times) / len(times)
        return f"span {frames} × {stride} = {frames * stride} frames = {seconds:.2f} s"

    def choice(self, times: np.ndarray) -> str:
        """What there was to choose from, or what happens to a video that is too short."""
        if self.is_short(times):
            if self.way == "by segment":
                return "fewer frames than parts: some are shown again"
            then = "it starts again" if self.short == "loop" else "its last frame is held"
            return f"shorter than the clip: {then}"
        if self.way == "by segment":
            if self.training:
                return "a random frame of each part"
            one = RECIPES[self.recipe][0] == 1
            return "the middle of each part" if one else "evenly spread over each part"
        if not self.training:
            return "starts evenly spread, first to last"
        if self.way == "by time":
            room = duration(times) - (self.clip_frames - 1) * self.stride / USUAL_RATE
            return f"starts anywhere in the first {room:.2f} s"
        return f"{len(times) - (self.clip_frames - 1) * self.stride} possible starts"


def after_the_end(clip: np.ndarray, num_frames: int) -> np.ndarray:
    """Which frames of a clip come after the video has ended: looped, or its last one held.

    Example:
        >>> after_the_end(np.array([0, 2, 1, 0]), 3).tolist()
        [False, False, True, True]
    """
    step = np.diff(clip, prepend=-1)
    return np.logical_or.accumulate((step < 0) | ((step == 0) & (clip == num_frames - 1)))

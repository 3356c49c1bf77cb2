"""Clips for training, and views for testing, of the videos that a catalogue lists.

All that is drawn for a sample (frames, crop, flip, colours) is drawn from (seed, epoch, number of
the sample): it is the same on every machine, in any order, with any number of workers.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from operator import length_hint
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vivit_lab.data.catalog import Catalog, Segment
from vivit_lab.errors import one_of, takes_plain, whole
from vivit_lab.video.frame_folder import FrameFolder
from vivit_lab.video.opening import VideoError
from vivit_lab.video.reader import VideoReader, open_source
from vivit_lab.video.sampling import (
    ByFrame,
    BySegment,
    BySpan,
    ByTime,
    frames_between,
    resized_size,
    three_crops,
)
from vivit_lab.video.transforms import TestTransform, TrainTransform

ATTEMPTS = 10  # videos tried for one sample, one after the other, before giving up
SHOWN = 10  # files that an error lists before it says "and so many more"
Sampling = ByFrame | ByTime | BySpan | BySegment
Video = VideoReader | FrameFolder
Label = int | Mapping[str, int] | None


class BadVideo(NamedTuple):
    """What became of one video that could not be used.

    >>> print(BadVideo(0, 7, "/videos/a.mp4: the file is empty (0 bytes).", replaced_by=31))
    epoch 0, sample 7: /videos/a.mp4: the file is empty (0 bytes). Sample 31 is used in its place.
    """

    epoch: int
    number: int  # of the sample that was asked for
    reason: str  # begins with the file's name
    replaced_by: int | None  # number of the sample in its place; None: it was left out

    def __str__(self) -> str:
        outcome = "It is left out."
        if self.replaced_by is not None:
            outcome = f"Sample {self.replaced_by} is used in its place."
        return f"epoch {self.epoch}, sample {self.number}: {self.reason} {outcome}"


class BadVideoWarning(UserWarning):
    """A video could not be used; the message is that of its `BadVideo`.

    >>> BadVideoWarning("epoch 0, sample 7: a.mp4: the file is empty. It is left out.")
    BadVideoWarning('epoch 0, sample 7: a.mp4: the file is empty. It is left out.')
    """


class TooManyBadVideos(VideoError):
    """More videos than `max_bad` allows cannot be used. The message names them, with reasons.

    >>> TooManyBadVideos("1 of 20 videos cannot be used, and max_bad allows 0.")
    TooManyBadVideos('1 of 20 videos cannot be used, and max_bad allows 0.')
    """


class Fetched(NamedTuple):
    """What a data set hands to a loader: a sample, and the bad videos met on the way to it."""

    clip: Tensor | None  # uint8; None: the video is bad, and left out
    label: Label
    number: int  # of the sample whose clip this is
    bad: tuple[BadVideo, ...]


class _CatalogDataset(Dataset):
    """What is the same for training and testing: the samples are the segments of a catalogue."""

    catalog: Catalog

    def __len__(self) -> int:
        return len(self.catalog.segments)

    def name_of(self, number: int) -> str:
        """What messages call a sample: the path of its video."""
        return str(self.catalog.segments[number].path)

    def checked(self, number: int) -> int:
        """The number of a sample, counted from 0; IndexError if there is none."""
        if not -len(self) <= number < len(self):
            raise IndexError(f"sample {number}, but the samples are 0 to {len(self) - 1}.")
        return int(number) % len(self)


@takes_plain
class DrawnClips:
    """What ClipDataset and ShardDataset share: settings, the epoch, the clip of an open video."""

    clips = 1  # of a video, when testing

    def __init__(self, sampling, transform, seed: int, max_bad: int | float, count: int):
        whole("seed", seed, least=0)
        self.seed, self.epoch = seed, 0
        self.sampling = ByFrame() if sampling is None else sampling
        self.transform = TrainTransform() if transform is None else transform
        self.testing = isinstance(self.transform, TestTransform)
        self.bad_limit = 0 if self.testing else allowed(max_bad, count)
        self._reasons: dict[int, str] = {}  # of the bad videos met so far

    @takes_plain
    def set_epoch(self, epoch: int) -> None:
        """Draw other clips from now on: those of this epoch, a whole number of at least 0."""
        whole("epoch", epoch, least=0)
        self.epoch = epoch

    def read(self, video: Video, segment: Segment, random: np.random.Generator) -> tuple:
        """A training clip of a segment, uint8 (T,3,H,W), or its test views; and the label."""
        sampling, transform = self.sampling, self.transform
        if self.testing:
            return read_views(video, segment, sampling, self.clips, transform), segment.label
        numbers = frames_of(video, segment, lambda times: sampling.train(times, random))
        draw = transform.draw(video.height, video.width, int(random.integers(2**31)))
        clip = video.read(numbers, short_side=draw.short_side, crop=draw.box)
        return transform.finish(clip, draw), transform.label(segment.label, draw)

    def why_bad(self, number: int, name: object, error: Exception) -> str:
        """Why a sample cannot be used. Raises TooManyBadVideos if it is one too many."""
        self._reasons[number] = reason(name, error)
        check_limit(self, self._reasons)
        return self._reasons[number]


class ClipDataset(DrawnClips, _CatalogDataset):
    """One clip of each segment of a catalogue, drawn anew in every epoch: the training set.

    sampling: which frames; by default the paper's 32 at stride 2. transform: which pixels; by
    default the paper's `TrainTransform()`. seed: a whole number from 0 on. `dataset[i]` is a clip,
    uint8 (T,3,H,W), and its label: a whole number, a dict of them for several heads, or None. Call
    `set_epoch` before each epoch, or let a `ClipLoader` do so.

    A video that cannot be used (unreadable, or too short where short="error", or with a segment
    beyond its end) is replaced by another, with a BadVideoWarning. max_bad: how many different
    videos may be bad, as a number or as a share of the data set; one more raises TooManyBadVideos.

    With `transform=TestTransform(crops=1)` nothing is drawn, and a bad video is always an error:
    the first test clip and its centre crop, for a quick look at accuracy between epochs.

    Raises TypeError or ValueError for illegal settings. Source: section 4.1.

    >>> from vivit_lab.data import Catalog, Segment, sample
    >>> catalog = Catalog([Segment(sample("counter"), label=0)], ["counting"], source="here")
    >>> clip, label = ClipDataset(catalog)[0]
    >>> clip.shape, clip.dtype, label
    (torch.Size([32, 3, 224, 224]), torch.uint8, 0)
    """

    def __init__(
        self,
        catalog: Catalog,
        sampling: Sampling | None = None,
        transform: TrainTransform | TestTransform | None = None,
        seed: int = 0,
        max_bad: int | float = 0.01,
    ):
        self.catalog = _not_empty(catalog)
        super().__init__(sampling, transform, seed, max_bad, len(catalog))
        if self.testing and self.transform.crops != 1:
            raise ValueError(
                f"A ClipDataset gives one clip for each sample, but the transform is "
                f"{self.transform!r}. Use TestTransform(crops=1), or ViewDataset for several views "
                "of a video."
            )

    def __getitem__(self, number: int) -> tuple[Tensor, Label]:
        fetched = self.fetch(number)
        for video in fetched.bad:
            warnings.warn(str(video), BadVideoWarning, stacklevel=2)
        return fetched.clip, fetched.label

    def fetch(self, number: int) -> Fetched:
        """As `dataset[number]`, but bad videos are returned, not warned of."""
        here = number = self.checked(number)
        tried, bad = {}, []
        for attempt in range(min(ATTEMPTS, len(self))):
            random = generator(self.seed, self.epoch, number, attempt)
            if attempt:
                before = here
                while here in tried:
                    here = int(random.integers(len(self)))
                bad.append(BadVideo(self.epoch, before, tried[before], replaced_by=here))
            segment = self.catalog.segments[here]
            try:
                with open_source(segment.path, fps=segment.fps) as video:
                    clip, label = self.read(video, segment, random)
            except (VideoError, OSError) as error:
                tried[here] = self.why_bad(here, segment.path, error)
            else:
                return Fetched(clip[0] if self.testing else clip, label, here, tuple(bad))
        raise TooManyBadVideos(
            f"Sample {number} and those drawn in its place cannot be used:\n"
            f"{listed(tried.values())}\n{_how_to_find_all(self)}"
        )


class ViewDataset(_CatalogDataset):
    """All views of each segment of a catalogue, in ONE pass over its video: the test set.

    sampling: as for `ClipDataset`. clips: evenly spread over the segment; the transform takes
    `crops` of each (paper: 4 clips x 3 crops = 12 views). `dataset[i]` is uint8
    (clips * crops, T, 3, H, W), clip by clip and in each crop by crop, and the label.

    A bad video is never replaced: accuracy would count another video in its place. bad="error"
    raises VideoError. With bad="leave_out" a `ClipLoader` leaves the sample out of its batch,
    warns, and lists it in `loader.bad`; `dataset[i]` itself raises even then.

    Raises TypeError or ValueError for illegal settings, VideoError for a bad video.
    Source: section 4.1.

    >>> from vivit_lab.data import Catalog, Segment, sample
    >>> catalog = Catalog([Segment(sample("counter"), label=0)], ["counting"], source="here")
    >>> ViewDataset(catalog, ByFrame(clip_frames=4, stride=2))[0][0].shape
    torch.Size([12, 4, 3, 224, 224])
    """

    def __init__(
        self,
        catalog: Catalog,
        sampling: Sampling | None = None,
        clips: int = 4,
        transform: TestTransform | None = None,
        bad: str = "error",
    ):
        whole("clips", clips)
        one_of("bad", bad, ("error", "leave_out"))
        self.catalog, self.clips, self.bad = _not_empty(catalog), clips, bad
        self.sampling = ByFrame() if sampling is None else sampling
        self.transform = TestTransform() if transform is None else transform
        if not isinstance(self.transform, TestTransform):
            raise TypeError(f"transform is {transform!r}, but must be a TestTransform.")

    def __getitem__(self, number: int) -> tuple[Tensor, Label]:
        segment = self.catalog.segments[self.checked(number)]
        try:
            with open_source(segment.path, fps=segment.fps) as video:
                views = read_views(video, segment, self.sampling, self.clips, self.transform)
        except OSError as error:
            raise VideoError(reason(segment.path, error)) from error
        return views, segment.label

    def fetch(self, number: int) -> Fetched:
        """As `dataset[number]`, but with bad="leave_out" a bad video comes back as a None clip."""
        try:
            return Fetched(*self[number], number, ())
        except VideoError as error:
            if self.bad == "error":
                raise
            segment = self.catalog.segments[number]
            left_out = BadVideo(0, number, reason(segment.path, error), None)
            return Fetched(None, segment.label, number, (left_out,))


def _not_empty(catalog: Catalog) -> Catalog:
    if not len(catalog):
        raise ValueError(
            "The catalogue is empty: no video that it lists was found. print(catalog.report()) "
            "says what it looked for."
        )
    return catalog


def read_views(
    video: Video, segment: Segment, sampling: Sampling, clips: int, transform: TestTransform
) -> Tensor:
    """`transform(clip)` of one test clip after the other, uint8 (clips * crops, T, 3, crop, crop),
    read in one pass: each frame is decoded once, however many views show it."""
    numbers = frames_of(video, segment, lambda times: sampling.test(times, clips))  # (clips, T)
    distinct, places = np.unique(numbers, return_inverse=True)
    side, size = transform.crop, (video.height, video.width)
    corners = three_crops(*resized_size(*size, transform.short_side), side)
    if transform.crops == 1:
        corners = corners[1:2]
    (top, left), (bottom, right) = np.min(corners, axis=0), np.max(corners, axis=0) + side
    box = (top, left, bottom - top, right - left)  # all that any view shows
    frames = video.read(distinct, short_side=transform.short_side, crop=box)
    pixels = frames.permute(0, 2, 3, 1).numpy()  # as they lie in memory: a row is copied at once
    views = np.empty((clips, len(corners), numbers.shape[1], side, side, 3), np.uint8)
    for (clip, frame), place in np.ndenumerate(places.reshape(numbers.shape)):
        for crop, (y, x) in enumerate(np.subtract(corners, (top, left))):
            views[clip, crop, frame] = pixels[place, y : y + side, x : x + side]
    return torch.from_numpy(views).movedim(-1, -3).flatten(0, 1)


def frames_of(video: Video, segment: Segment, choose: Callable) -> np.ndarray:
    """Frame numbers chosen from a segment, as numbers of the whole video."""
    try:
        first, stop = frames_between(video.times, segment.start, segment.end)
        return first + choose(video.times[first:stop])
    except ValueError as error:  # beyond the end, or too short: a fault of the data
        raise VideoError(f"{video.name}: {error}") from error


def generator(seed: int, epoch: int, number: int, attempt: int = 0) -> np.random.Generator:
    """Random numbers that depend on these four whole numbers only."""
    return np.random.default_rng((seed, epoch, number, attempt))


def reason(name: object, error: Exception) -> str:
    """Why a video is bad, in a sentence that begins with its name."""
    said = str(error) or type(error).__name__
    if str(name) not in said:
        said = f"{name}: {said}"
    return said if said.endswith((".", "!", "?")) else said + "."


def allowed(max_bad: int | float, count: int) -> int:
    """How many of `count` videos may be bad: `max_bad` itself if whole, else that share of them."""
    share = isinstance(max_bad, float)
    if not isinstance(max_bad, (int, float)) or not 0 <= max_bad < (1 if share else math.inf):
        raise ValueError(
            f"max_bad is {max_bad!r}, but must be a number of videos, such as 10, or a share of "
            "the data set, such as 0.01."
        )
    return math.ceil(max_bad * count) if share else max_bad


def check_limit(dataset: Dataset, reasons: Mapping[int, str]) -> None:
    """Raise TooManyBadVideos if there are more `reasons`, by sample, than `dataset.bad_limit`."""
    limit = getattr(dataset, "bad_limit", math.inf)
    if len(reasons) > limit:
        count = length_hint(dataset)  # 0: shards without an index
        of = f" of {count:,}" if count else ""
        raise TooManyBadVideos(
            f"{len(reasons):,}{of} videos cannot be used, and max_bad allows {limit:,}:\n"
            f"{listed(reasons.values())}\n{_how_to_find_all(dataset)}"
        )


def _how_to_find_all(dataset: Dataset) -> str:
    catalog = getattr(dataset, "catalog", None)
    return f"To find them all: python -m vivit_lab check {getattr(catalog, 'source', 'PATH')}"


def listed(reasons: Iterable[str]) -> str:
    """One line for each of the first reasons, and how many more there are."""
    lines = [f"  {reason}" for reason in reasons]
    more = [f"  and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
    return "\n".join(lines[:SHOWN] + more)

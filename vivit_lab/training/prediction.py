"""What new videos show: names and probabilities of each, and a time line along a long one."""

import glob
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vivit_lab.data.catalog import Catalog, Segment, plural
from vivit_lab.data.dataset import BadVideoWarning, Video, ViewDataset, frames_of, read_views
from vivit_lab.data.formats import PathLike, is_video, walk
from vivit_lab.errors import whole
from vivit_lab.models import ViViTConfig
from vivit_lab.tables import as_html, as_text
from vivit_lab.training.evaluation import score_views
from vivit_lab.training.metrics import percent, softmax
from vivit_lab.training.optim import open_accelerator
from vivit_lab.training.results import ONLY, ViewScores
from vivit_lab.video.frame_folder import FrameFolder
from vivit_lab.video.opening import VideoError
from vivit_lab.video.preprocessing import Preprocessing
from vivit_lab.video.reader import VideoReader
from vivit_lab.video.sampling import ByFrame, BySegment, duration, positive, span_seconds
from vivit_lab.weights.checkpoint import checkpoint_in, load_checkpoint
from vivit_lab.weights.huggingface import load_huggingface

AHEAD = 256  # frames that a time line reads at once: each read decodes from the key frame before


class Prediction(NamedTuple):
    """What a model says of one video.

    >>> Prediction("a.mp4", {"class": {"jump": 0.75, "run": 0.25}}).answers["class"]["jump"]
    0.75
    """

    video: str
    answers: dict[str, dict[str, float]]  # head -> class -> probability, the most probable first


class Part(NamedTuple):
    """A stretch of a time line in which a model names the same class all along.

    >>> part = Part(0.0, 63.5, "jump", 0.75)
    >>> clock(part.start), clock(part.end)
    ('0:00.0', '1:03.5')
    """

    start: float  # seconds since the first frame
    end: float
    name: str
    probability: float


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


class _Said(ABC):
    """What predictions and a time line have in common: a table, and JSON."""

    def __init__(self, scores: ViewScores, expected: Preprocessing, notes: Sequence[str]):
        self.scores, self.expected, self.views = scores, expected, scores.view_text
        self.notes = (*notes, *scores.origin.notes)
        self.unreadable = scores.origin.unreadable  # each with the reason

    def best(self, probabilities: Mapping[str, np.ndarray], top: int) -> dict[str, dict]:
        """The answers of each head, of its probabilities (K,), the most probable first."""
        return {
            head: {
                self.name_of(head, k): float(each[k])
                for k in np.argsort(-each, kind="stable")[:top]
            }
            for head, each in probabilities.items()
        }

    def name_of(self, head: str, number: int) -> str:
        """A class's name; its number, where the model carries no names."""
        names = self.scores.class_names[head]
        return names[number] if names else f"class {number}"

    @abstractmethod
    def to_dict(self) -> dict:
        """All but the scores of the views, as JSON can hold it."""
        about = {"model": self.scores.origin.model, "expects": str(self.expected)}
        lists = {"unreadable": list(self.unreadable), "notes": list(self.notes)}
        return about | {"views": self.views} | lists

    @abstractmethod
    def rows(self) -> list[tuple[str, ...]]:
        """The table, with its header; the column before the last two is the head."""

    def _table(self) -> dict:
        rows, below = self.rows(), [f"{self.views}, each {self.expected}"]
        if list(self.scores.logits) == [ONLY]:
            rows = [(*row[:-3], *row[-2:]) for row in rows]
        below += [f"Note: {note}." for note in self.notes]
        below += [f"Not readable: {reason}" for reason in self.unreadable]
        return {"rows": rows, "align": "l" * (len(rows[0]) - 1) + "r", "below": below}

    def __repr__(self) -> str:
        return as_text(**self._table())

    def _repr_html_(self) -> str:
        return as_html(**self._table())


class Predictions(_Said, Sequence[Prediction]):
    """What `predict` found: a Prediction a video, printed as a table.

    probabilities  of all classes: head -> float64 (videos, classes)
    unreadable     files that could not be read, each with the reason
    notes          what else there is to know
    scores         the ViewScores behind it
    """

    def __init__(self, scores: ViewScores, expected: Preprocessing, notes, average: str, top: int):
        super().__init__(scores, expected, notes)
        self.average, self.probabilities = average, scores.average(average)
        if average == "logits":
            self.probabilities = {head: softmax(p) for head, p in self.probabilities.items()}
        self.videos = [
            Prediction(name, self.best({h: p[row] for h, p in self.probabilities.items()}, top))
            for row, name in enumerate(scores.names)
        ]

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, number: int) -> Prediction:
        return self.videos[number]

    def to_dict(self) -> dict:
        """All but the scores of the views, as JSON can hold it."""
        videos = [each._asdict() for each in self]
        return super().to_dict() | {"average": self.average, "videos": videos}

    def rows(self) -> list[tuple[str, ...]]:
        """The table of all videos, with its header."""
        rows = [("video", "head", "class", "probability")]
        for video, answers in self:
            for head, each in answers.items():
                for name, probability in each.items():
                    rows.append((video, head, name, percent(probability)))
                    video = head = ""
        return rows


class Timeline(_Said):
    """What `timeline` found, printed as a table of its parts.

    video          what it is of
    parts          stretches of one class, with its mean probability: head -> list of Part
    edges          float64 (moments + 1,), seconds: between two of them the answer is one
    probabilities  at each moment, averaged over the windows that show it: head -> (moments,
                   classes); nan where no window could be read
    overall        averaged over all windows: head -> (classes,)
    window, step   seconds
    unreadable, notes, scores: as in Predictions, for windows in place of videos
    """

    def __init__(self, scores: ViewScores, expected: Preprocessing, notes, windows: "_Windows"):
        super().__init__(scores, expected, notes)
        self.video, self.window, self.step = windows.name, windows.window, windows.step
        count, crops = plural(scores.videos, "window"), plural(scores.views, "crop")
        self.views = f"{count} of {self.window:.4g} s, one every {self.step:.4g} s, {crops}"
        edges = np.unique(np.round([*windows.starts, *windows.ends], 4))
        starts, ends = windows.starts[scores.numbers], windows.ends[scores.numbers]
        shown = [(starts <= middle) & (middle < ends) for middle in (edges[1:] + edges[:-1]) / 2]
        self.edges = windows.seconds(edges)
        self.overall, self.probabilities, self.parts = {}, {}, {}
        for head, each in scores.average().items():
            self.overall[head], none = each.mean(axis=0), np.full(each.shape[1], np.nan)
            moments = [each[some].mean(axis=0) if some.any() else none for some in shown]
            self.probabilities[head] = np.stack(moments)
            self.parts[head] = self._parts(head)

    def _parts(self, head: str) -> list[Part]:
        each, found = self.probabilities[head], []
        best = np.where(np.isnan(each[:, 0]), -1, each.argmax(axis=1))
        bounds = [0, *(np.flatnonzero(np.diff(best)) + 1), len(best)]
        for first, stop in pairwise(bounds):
            if (number := best[first]) >= 0:
                lengths = np.diff(self.edges[first : stop + 1])
                mean = float(np.average(each[first:stop, number], weights=lengths))
                span = float(self.edges[first]), float(self.edges[stop])
                found.append(Part(*span, self.name_of(head, number), mean))
        return found

    def to_dict(self) -> dict:
        """All but the scores of the windows, as JSON can hold it."""
        parts = {head: [part._asdict() for part in each] for head, each in self.parts.items()}
        about = {"video": self.video, "window": self.window, "step": self.step}
        return super().to_dict() | about | {"overall": self.best(self.overall, 5), "parts": parts}

    def rows(self) -> list[tuple[str, ...]]:
        """The table of all parts, with its header."""
        rows = [("from", "to", "head", "class", "probability")]
        for head, parts in self.parts.items():
            for start, end, name, probability in parts:
                rows.append((clock(start), clock(end), head, name, percent(probability)))
        return rows


def predict(
    run_or_model: nn.Module | PathLike,
    videos: PathLike | Iterable[PathLike],
    top: int = 5,
    *,
    clips: int = 4,
    crops: int = 3,
    average: str = "softmax",
    preprocessing: Preprocessing | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    workers: int = 0,
    progress: bool = False,
) -> Predictions:
    """What videos show: the names of the most probable classes, averaged over views of each.

    run_or_model: a model, which stays where it is; the folder of a run (its best, or newest
    checkpoint); a checkpoint; a folder of transformers, or a repository of the Hugging Face hub, as
    "google/vivit-b-16x2-kinetics400". What is loaded here goes to `device`: auto, cpu, cuda, mps.
    videos: a file, a folder (all videos in it, at any depth), a pattern as "clips/*.mp4", or a list
    of these. top: answers a head.
    clips, crops (1 or 3): views of each video. average: over them, as in `evaluate`.
    preprocessing: which frames and sizes, if not those that the model carries. A model that carries
    none gets the paper's, and a note. The pixel scale is always the model's.
    batch_size, workers, progress: as in `evaluate`.

    A file that cannot be read is named in `unreadable`, and the others are answered.
    Raises FileNotFoundError for a folder without a video; ValueError where no file can be read, or
    for illegal options; WeightsError for weights that cannot be had. Source: paper section 4.1.

    >>> from vivit_lab.data import sample
    >>> from vivit_lab.data.samples import ASSETS
    >>> found = predict(ASSETS / "weights" / "joint.safetensors", sample("counter"), top=1)
    >>> len(found), found[0].answers.keys()
    (1, dict_keys(['class']))
    """
    whole("top", top)
    model = open_model(run_or_model, device)
    expected, notes = preprocessing_of(model, preprocessing)
    files = find_videos(videos)
    segments = [Segment(Path(os.path.abspath(file)), None, name=file) for file in files]
    source = videos if isinstance(videos, (str, os.PathLike)) else plural(len(files), "file")
    catalog = Catalog(segments, model.class_names or [], source)
    transform = expected.test_transform(crops)
    views = ViewDataset(catalog, expected.sampling, clips, transform, bad="leave_out")
    settings = {"batch_size": batch_size, "workers": workers, "progress": progress}
    return Predictions(_scores(model, views, **settings), expected, notes, average, top)


def timeline(
    run_or_model: nn.Module | PathLike,
    video: PathLike | bytes | Video,
    *,
    window: float | None = None,
    step: float | None = None,
    crops: int = 1,
    preprocessing: Preprocessing | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    progress: bool = False,
) -> Timeline:
    """What a long video shows, and when: a window moves along it, and the model names each.

    video: a path, the bytes of a file, or an open reader. window: seconds, by default those that a
    clip of the model spans; a model that takes its frames from the whole video (BySegment) has no
    such span, and needs it. step: seconds from window to window, by default half a window. crops: 1
    (the middle) or 3. The rest is as in `predict`.

    Frames are read in order, some hundreds at once, and forgotten after their last window: an hour
    takes the memory of a minute. Where the video changes, what is found does, to within a window.
    Raises VideoError for a video that cannot be read; otherwise as `predict`. Source: our own.

    >>> from vivit_lab.data import sample
    >>> from vivit_lab.data.samples import ASSETS
    >>> found = timeline(ASSETS / "weights" / "joint.safetensors", sample("counter"), window=4)
    >>> found.edges
    array([ 0.,  2.,  4.,  6.,  8., 10., 12.])
    """
    model = open_model(run_or_model, device)
    expected, notes = preprocessing_of(model, preprocessing)
    is_open = isinstance(video, (VideoReader, FrameFolder))
    with nullcontext(video) if is_open else VideoReader(video) as reader:
        windows = _Windows(reader, expected, crops, window, step)
        scores = _scores(model, windows, batch_size=batch_size, progress=progress)
    return Timeline(scores, expected, notes, windows)


def open_model(source: nn.Module | PathLike, device: str = "auto") -> nn.Module:
    """A model as it is; or that of a run, a checkpoint, a folder or repository of transformers."""
    if isinstance(source, nn.Module):
        return source
    path = Path(source)
    if (path / "config.json").exists() or not (path.exists() or path.suffix == ".safetensors"):
        model, _ = load_huggingface(source)
    else:
        model, _ = load_checkpoint(checkpoint_in(path))
    return model.to(open_accelerator(device).device)


def find_videos(videos: PathLike | Iterable[PathLike]) -> list[str]:
    """The files that are meant by a file, a folder, a pattern, or a list of these; each once."""
    found = {}  # by the file itself, as it was named first
    for given in [videos] if isinstance(videos, (str, os.PathLike)) else videos:
        given = os.fspath(given)
        paths = [given] if os.path.exists(given) else sorted(glob.glob(given, recursive=True))
        files = []
        for path in paths or [given]:
            files += filter(is_video, walk(path)) if os.path.isdir(path) else [path]
        if not files:
            raise FileNotFoundError(f"{given!r} holds no video, nor does a folder below it.")
        for file in files:
            found.setdefault(os.path.realpath(file), file)
    if not found:
        raise ValueError("videos is empty: give a file, a folder, or a pattern.")
    return list(found.values())


def preprocessing_of(
    model: nn.Module, wanted: Preprocessing | None = None
) -> tuple[Preprocessing, list[str]]:
    """Which frames and pixels a model gets: those wanted, its own, or the paper's with a note."""
    own, config = getattr(model, "preprocessing", None), getattr(model, "config", None)
    if wanted or own:
        return wanted or own, []  # score_views notes where they are not the same
    if not isinstance(config, ViViTConfig) or len(set(config.image_size)) > 1:
        raise ValueError(
            "The model does not say what it expects of a video, as a square ViViT would: give "
            "preprocessing=Preprocessing(...)."
        )
    crop = config.image_size[0]
    paper = Preprocessing(ByFrame(config.frames), crop, round(crop * 256 / 224))
    return paper, [
        "the model does not say what it expects of a video; it was given the paper's stride and "
        "short side, and may have been trained with others"
    ]


def _scores(model: nn.Module, views: ViewDataset, **settings) -> ViewScores:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BadVideoWarning)  # the answer names every one
        return score_views(model, views, **settings)


class _Windows(ViewDataset):
    """The windows of one video as samples, to be read in order.

    To `read_views` it is the reader. A frame that several windows show is read once, with those
    that follow, and forgotten after the last of the windows.
    """

    def __init__(self, video: Video, expected: Preprocessing, crops: int, window, step):
        self.video, self.name, sampling = video, video.name, expected.sampling
        self.height, self.width = video.height, video.width
        self.times = video.times - video.times[0]
        if isinstance(sampling, ByFrame):  # windows of so many frames, whatever their times
            self.times = np.arange(len(self.times)) / video.fps
        if window is None:
            if isinstance(sampling, BySegment):
                raise ValueError(
                    "The model takes its frames from a whole video, however long: give the window "
                    "in seconds, as long as its training videos were."
                )
            rate = getattr(sampling, "frames_per_second", video.fps)
            window = span_seconds(sampling.clip_frames, getattr(sampling, "stride", 1), rate)
        step = window / 2 if step is None else step
        positive("window", window)
        positive("step", step)
        if step > window:
            raise ValueError(f"step is {step:g} s, but must be at most the window, {window:g} s.")
        self.window, self.step, self.length = window, step, duration(self.times)
        self.starts = np.arange(0, max(self.length - window, 0) + 1e-6, step)
        if self.starts[-1] + window < self.length - 1e-6:
            self.starts = np.append(self.starts, self.length - window)
        self.ends = np.minimum(self.starts + window, self.length)
        segments = [
            Segment(Path(video.name), None, *span, name=f"{video.name} at {span[0]:g} s")
            for span in zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        ]
        transform = expected.test_transform(crops)
        super().__init__(Catalog(segments, [], video.name), sampling, 1, transform, "leave_out")
        each = [frames_of(self, segment, lambda t: sampling.test(t, 1)) for segment in segments]
        self.planned = np.unique(each)
        self.numbers, self.frames = np.empty(0, np.int64), None  # those that are kept

    def __getitem__(self, number: int) -> tuple[Tensor, None]:
        return read_views(self, self.catalog[number], self.sampling, 1, self.transform), None

    def read(self, numbers: np.ndarray, short_side: int, crop: tuple) -> Tensor:
        """Frames of a window, by number, ascending; with them the next ones that will be wanted."""
        if not (len(self.numbers) and numbers[0] >= self.numbers[0]):
            self.numbers, self.frames = self.numbers[:0], None
        if not len(self.numbers) or numbers[-1] > self.numbers[-1]:
            keep = self.numbers >= numbers[0]
            least = self.numbers[-1] + 1 if keep.any() else numbers[0]
            first, stop = np.searchsorted(self.planned, (least, numbers[-1] + 1))
            new = self.planned[first : max(stop, first + AHEAD)]
            try:
                frames = self.video.read(new, short_side=short_side, crop=crop)
            except VideoError:  # the damage may lie further on
                new = self.planned[first:stop]
                frames = self.video.read(new, short_side=short_side, crop=crop)
            kept = [self.frames[torch.from_numpy(keep)]] if keep.any() else []
            self.frames = torch.cat([*kept, frames])
            self.numbers = np.append(self.numbers[keep], new)
        return self.frames[torch.from_numpy(np.searchsorted(self.numbers, numbers))]

    def seconds(self, moments: np.ndarray) -> np.ndarray:
        """Seconds since the first frame of moments that count frames where windows do."""
        times = self.video.times
        shown = np.append(times - times[0], duration(times))
        return np.interp(moments, np.append(self.times, self.length), shown)

"""What new videos show: names and probabilities of each, and a time line along a long one."""

import glob
import os
import warnings
from collections.abc import Iterable, Sequence
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
from vivit_lab.tables import Tabular
from vivit_lab.training.evaluation import score_views
from vivit_lab.training.metrics import percent
from vivit_lab.training.optim import open_accelerator
from vivit_lab.training.results import ONLY, ViewScores
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


class _Answers(Tabular):
    """What predictions and a time line have in common: a table, and JSON."""

    rows: list[tuple[str, ...]]  # of the table; the column before the last two is the head
    about: dict  # what of them goes into JSON

    def __init__(self, scores: ViewScores, expected: Preprocessing, notes: Sequence[str]):
        self.scores, self.expected, self.views = scores, expected, scores.view_text
        self.notes = (*notes, *scores.origin.notes)
        self.unreadable = scores.origin.unreadable  # each with the reason

    def name_of(self, head: str, number: int) -> str:
        """A class's name; its number, where the model carries no names."""
        names = self.scores.class_names[head]
        return names[number] if names else f"class {number}"

    def best(self, head: str, probabilities: np.ndarray, top: int = 5) -> dict[str, float]:
        """The answers of a head, of its probabilities (K,), the most probable first; no nan."""
        known = np.flatnonzero(probabilities >= 0)
        order = known[np.argsort(-probabilities[known], kind="stable")][:top]
        return {self.name_of(head, k): float(probabilities[k]) for k in order}

    def to_dict(self) -> dict:
        """All but the scores of the views, as JSON can hold it."""
        about = {"model": self.scores.origin.model, "expects": str(self.expected)}
        lists = {"unreadable": list(self.unreadable), "notes": list(self.notes)}
        return about | {"views": self.views} | lists | self.about

    def _table(self) -> tuple:
        only, below = list(self.scores.logits) == [ONLY], [f"{self.views}, each {self.expected}"]
        rows = [(*row[:-3], *row[-2:]) if only else row for row in self.rows]
        below += [f"Note: {note}." for note in self.notes]
        below += [f"Not readable: {reason}" for reason in self.unreadable]
        return rows, "l" * (len(rows[0]) - 1) + "r", (), below


class Predictions(_Answers, Sequence[Prediction]):
    """What `predict` found: a Prediction a video, printed as a table.

    probabilities  of all classes: head -> float64 (videos, classes)
    unreadable     files that could not be read, each with the reason
    notes          what else there is to know
    scores         the ViewScores behind it
    """

    def __init__(self, scores: ViewScores, expected: Preprocessing, notes: Sequence[str], top: int):
        super().__init__(scores, expected, notes)
        self.probabilities = scores.average()
        self.videos, self.rows = [], [("video", "head", "class", "probability")]
        for number, video in enumerate(scores.names):
            answers = {h: self.best(h, p[number], top) for h, p in self.probabilities.items()}
            self.videos.append(Prediction(video, answers))
            for head, each in answers.items():
                for name, probability in each.items():
                    self.rows.append((video, head, name, percent(probability)))
                    video = head = ""
        self.about = {"videos": [each._asdict() for each in self.videos]}

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, number: int) -> Prediction:
        return self.videos[number]


class Timeline(_Answers):
    """What `timeline` found, printed as a table of its parts.

    video          what it is of
    parts          stretches of one class, with its mean probability: head -> list of Part
    edges          float64 (moments + 1,), seconds: between two of them the answer is one
    probabilities  at each moment, averaged over the windows that show it: head -> (moments,
                   classes); nan where no window could be read
    window, step   seconds
    unreadable, notes, scores: as in Predictions, for windows in place of videos
    """

    def __init__(self, scores: ViewScores, expected: Preprocessing, notes, windows: "_Windows"):
        super().__init__(scores, expected, notes)
        self.video, self.edges = windows.name, windows.seconds
        self.window, self.step = windows.window, windows.step
        count, crops = plural(scores.videos, "window"), plural(scores.views, "crop")
        self.views = f"{count} of {self.window:.4g} s, one every {self.step:.4g} s, {crops}"
        middles = (windows.edges[1:] + windows.edges[:-1]) / 2  # a moment: windows first to stop
        first = np.searchsorted(windows.ends[scores.numbers], middles, "right")
        stop = np.searchsorted(windows.starts[scores.numbers], middles, "right")
        self.probabilities, self.parts = {}, {}
        self.rows = [("from", "to", "head", "class", "probability")]
        for head, each in scores.average().items():
            none, shown = np.full(each.shape[1], np.nan), zip(first, stop, strict=True)
            moments = [each[i:end].mean(axis=0) if i < end else none for i, end in shown]
            self.probabilities[head] = np.stack(moments)
            self.parts[head] = self._parts(head, self.probabilities[head])
            for start, end, name, share in self.parts[head]:
                self.rows.append((clock(start), clock(end), head, name, percent(share)))
        parts = {head: [part._asdict() for part in each] for head, each in self.parts.items()}
        about = {"video": self.video, "window": self.window, "step": self.step}
        self.about = about | {"parts": parts}

    def _parts(self, head: str, each: np.ndarray) -> list[Part]:
        best = np.where(np.isnan(each[:, 0]), -1, each.argmax(axis=1))
        bounds, found = [0, *(np.flatnonzero(np.diff(best)) + 1), len(best)], []
        for first, stop in pairwise(bounds):
            if (number := best[first]) >= 0:
                edges, name = self.edges[first : stop + 1], self.name_of(head, number)
                mean = np.average(each[first:stop, number], weights=np.diff(edges))
                found.append(Part(float(edges[0]), float(edges[-1]), name, float(mean)))
        return found


def predict(
    run_or_model: nn.Module | PathLike,
    videos: PathLike | Iterable[PathLike],
    top: int = 5,
    *,
    clips: int = 4,
    crops: int = 3,
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
    clips, crops (1 or 3): views of each video, whose probabilities are averaged.
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
    catalog, transform = Catalog(segments, [], source), expected.test_transform(crops)
    views = ViewDataset(catalog, expected.sampling, clips, transform, bad="leave_out")
    settings = {"batch_size": batch_size, "workers": workers, "progress": progress}
    return Predictions(_scores(model, views, **settings), expected, notes, top)


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
    with nullcontext(video) if isinstance(video, Video) else VideoReader(video) as reader:
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
            raise FileNotFoundError(
                f"{given!r} holds no video, and neither do the folders below it."
            )
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
            "The model has no preprocessing, and only for a ViViT of square clips there is a usual "
            "one: give preprocessing=Preprocessing(...)."
        )
    crop = config.image_size[0]
    paper = Preprocessing(ByFrame(config.frames), crop, round(crop * 256 / 224))
    return paper, [
        "the model has no preprocessing: the paper's stride and short side were used, but the "
        "model may have been trained with others"
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
        real = self.times = video.times - video.times[0]
        if isinstance(sampling, ByFrame):  # windows of so many frames, whatever their times
            self.times = np.arange(len(real)) / video.fps
        if window is None:
            if isinstance(sampling, BySegment):
                raise ValueError(
                    "The model takes its frames from a whole video of any length: give the window "
                    "in seconds, as long as its training videos were."
                )
            rate = getattr(sampling, "frames_per_second", video.fps)
            window = span_seconds(sampling.clip_frames, getattr(sampling, "stride", 1), rate)
        step = window / 2 if step is None else step
        positive("window", window)
        positive("step", step)
        if step > window:
            raise ValueError(f"step is {step:g} s, but must be at most the window, {window:g} s.")
        self.window, self.step, length = window, step, duration(self.times)
        last = max(length - window, 0)
        self.starts = np.append(np.arange(0, last - 1e-6, step), last)
        self.ends = np.minimum(self.starts + window, length)
        self.edges = np.unique(np.round([*self.starts, *self.ends], 4))
        known = np.append(self.times, length), np.append(real, duration(real))
        self.seconds = np.interp(self.edges, *known)  # that the edges stand for
        segments = [
            Segment(Path(video.name), None, *span, name=f"{video.name} at {span[0]:g} s")
            for span in zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        ]
        transform = expected.test_transform(crops)
        super().__init__(Catalog(segments, [], video.name), sampling, 1, transform, "leave_out")
        each = [frames_of(self, segment, lambda t: sampling.test(t, 1)) for segment in segments]
        self.planned, self.frames = np.unique(each), {}  # by number: those that are kept

    def __getitem__(self, number: int) -> tuple[Tensor, None]:
        return read_views(self, self.catalog[number], self.sampling, 1, self.transform), None

    def read(self, numbers: np.ndarray, **size) -> Tensor:
        """Frames of a window, by number, ascending; with them the next ones that will be wanted."""
        numbers = numbers.tolist()
        self.frames = {n: frame for n, frame in self.frames.items() if n >= numbers[0]}
        if new := [n for n in numbers if n not in self.frames]:
            least = min(new[0], max(self.frames, default=new[0]) + 1)
            first, stop = np.searchsorted(self.planned, (least, new[-1] + 1))
            ahead = self.planned[first : max(stop, first + AHEAD)]
            try:
                frames = self.video.read(ahead, **size)
            except VideoError:  # the damage may lie further on
                frames = self.video.read(ahead := self.planned[first:stop], **size)
            self.frames |= zip(ahead.tolist(), frames, strict=True)
        return torch.stack([self.frames[n] for n in numbers])

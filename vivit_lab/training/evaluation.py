"""How good a model is: the paper's multi-view evaluation.

The model is run over every view of every video, once; results.py does the rest.
"""

import contextlib
import dataclasses
import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.utils.data import Dataset, IterableDataset, Subset, default_collate
from tqdm import tqdm

from vivit_lab.analysis.cost import cost
from vivit_lab.analysis.flops import count_flops
from vivit_lab.data.dataset import ViewDataset
from vivit_lab.data.loader import Batch, ClipLoader
from vivit_lab.errors import one_of, whole
from vivit_lab.io import npz_path
from vivit_lab.models import MODELS, ViViTConfig
from vivit_lab.training.results import (
    AVERAGES,
    NO_LABELS,
    ONLY,
    ORDERS,
    Evaluation,
    Origin,
    ViewScores,
    load_scores,
    prefix,
    view_text,
)
from vivit_lab.training.sanity import class_names_of, free_bytes
from vivit_lab.video.preprocessing import clips_text

SAVE_EVERY = 300  # seconds
CPU_BYTES = 10**9  # of activations: more views at once than that gain nothing
GPU_SHARE = 0.5  # of the free memory
MOST_VIEWS, UNKNOWN_VIEWS = 64, 8  # at once: more gain nothing; where we cannot count the memory


class NothingScored(ValueError):
    """Of all videos not one could be read; the message names the first, with reasons."""


def evaluate(
    model: nn.Module,
    data: Dataset,
    average: str = "softmax",
    *,
    batch_size: int | None = None,
    workers: int | ClipLoader = 0,
    frames: str = "in_order",
    seed: int = 0,
    file: str | Path | None = None,
    progress: bool = True,
) -> Evaluation:
    """Accuracy of a model, where it is (CPU or GPU), with its scores of every view.

    model: a ViViT, `model.for_inference()`, or any module that gives logits (B,K), or a dict of
    them, for clips (B,T,C,H,W) in [-1, 1]. Its weights and training mode stay as they are.
    data: a ViewDataset (all views of each video), or any data set of (uint8 clip, label).
    average: "softmax", as the paper describes it, or "logits", as the official code does it.
    batch_size: views at once; None: as many as fit. workers: processes that read videos ahead; or
    what `reader_of` made, whose processes go on living for the next evaluation of the same data.
    frames: "in_order"; or, to see whether the model looks at time at all, "shuffled" (by `seed`),
    "reversed", or "middle" (that frame alone, repeated).
    file: keep the scores there (.npz), also when stopped: the same call then goes on from there.

    Where torch.distributed runs (Accelerate, torchrun) call it in every process: each takes a share
    of the videos, none of them twice, and all get the whole result.

    Labels are matched to the model's classes by name, where both carry names. Videos that are
    missing or unreadable are reported, and accuracy is over the others. Pixels get the scale of
    model.preprocessing; a note tells where its frames or sizes are not those of the data.

    Raises TypeError or ValueError: options, classes, labels, scores or a file that do not fit.
    VideoError: a bad video, where the data set says that it is an error. MemoryError: a view does
    not fit. Source: paper section 4.1; SlowFast (Feichtenhofer et al. 2019).

    >>> from vivit_lab import build_model
    >>> from vivit_lab.data import ArrowOfTime
    >>> config = ViViTConfig(frames=4, image_size=16, tubelet=(2, 8, 8), dim=12, heads=2, depth=1,
    ...                      mlp_dim=8, num_classes=8)
    >>> result = evaluate(build_model(config), ArrowOfTime(80, 4, 16), progress=False)
    >>> 0 <= result.top1 <= result.top5 <= 1
    True
    """
    one_of("average", average, AVERAGES)
    if unlabelled(data):
        raise ValueError(NO_LABELS.format(data.catalog.source))
    scores = score_views(model, data, batch_size=batch_size, workers=workers, frames=frames,
                         seed=seed, file=file, progress=progress)  # fmt: skip
    return Evaluation(scores, average)


def score_views(
    model: nn.Module,
    data: Dataset,
    *,
    batch_size: int | None = None,
    workers: int | ClipLoader = 0,
    frames: str = "in_order",
    seed: int = 0,
    file: str | Path | None = None,
    progress: bool = True,
) -> ViewScores:
    """What a model says of every view of every video; for its arguments see `evaluate`.

    The data need no labels: `.average()` of the result are predictions. Raises as `evaluate` does.

    >>> from vivit_lab import build_model
    >>> from vivit_lab.data import ArrowOfTime
    >>> from vivit_lab.training import Recipe
    >>> model = build_model(Recipe.preset("cpu_tiny").config())
    >>> score_views(model, ArrowOfTime(24, frames=8), progress=False).logits["class"].shape
    (24, 1, 8)
    """
    one_of("frames", frames, ORDERS)
    whole("seed", seed, least=0)
    if batch_size is not None:
        whole("batch_size", batch_size)
    _check_numbered(data)
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}, but must be a torch.nn.Module.")
    return _Scoring(model, data, batch_size, file, frames, seed).run(workers, progress)


def _check_numbered(data: Dataset) -> None:
    if isinstance(data, IterableDataset) or not hasattr(data, "__getitem__"):
        raise TypeError(
            f"data is {type(data).__name__}, but must be a data set with numbered samples, such as "
            "a ViewDataset: only then is it sure that each video counts once."
        )
    if not len(data):
        raise ValueError(f"data is empty: {type(data).__name__} has no sample to evaluate.")


def reader_of(data: Dataset, workers: int, rank: int = 0, processes: int = 1) -> ClipLoader:
    """Reads this process's share of the data for one `evaluate` after another, to be closed."""
    _check_numbered(data)
    first = min(rank, len(data) - 1)  # with fewer videos than processes some have nothing to read
    return ClipLoader(Subset(data, range(first, len(data), processes)), workers=workers)


class _Scoring:
    """One run of `score_views`: a model, a data set, and what the one said of the other so far."""

    def __init__(self, model, data, batch_size, file, frames, seed):
        while isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module  # testing needs no exchange
        self.model, self.data = model, data
        self.bare = getattr(model, "_orig_mod", model)  # inside torch.compile
        self.batch_size = batch_size or views_that_fit(self.bare)
        self.file = None if file is None else npz_path(file, "scores")
        self.places = places_of(data)
        self.origin = _origin(self.bare, data, frames, seed, checksum=file is not None)
        self.rank, self.processes = 0, 1
        if distributed.is_available() and distributed.is_initialized():
            self.rank, self.processes = distributed.get_rank(), distributed.get_world_size()
        self.scored: dict[int, tuple[dict, dict]] = {}  # video -> by head: logits, labels
        self.unreadable: list[str] = []
        self.class_names: dict[str, tuple[str, ...] | None] = {}
        self.numbering: dict[str, np.ndarray] = {}  # head -> the model's class of each of theirs
        self.notes: list[str] = []
        self.expected = getattr(self.bare, "preprocessing", None)
        if self.expected is not None and isinstance(data, ViewDataset):
            sides = [(each.short_side, each.crop) for each in (self.expected, data.transform)]
            made_for = clips_text(self.expected.sampling, *sides[0])
            if made_for != (given := clips_text(data.sampling, *sides[1])):
                self.notes.append(f"the model was made for {made_for}; evaluated on {given}")
        if not getattr(data, "testing", True):  # a ClipDataset as in training
            random = "the clips were drawn at random, as in training"
            self.notes.append(f"{random}: to report a figure take a ViewDataset")

    def run(self, workers: int | ClipLoader, progress: bool) -> ViewScores:
        """Score all videos that the file has not, each process its share of them."""
        known = self._read_file()
        left = [number for number in range(len(self.data)) if number not in known]
        failure = None
        try:
            self._score(left[self.rank :: self.processes], workers, progress and self.rank == 0)
        except KeyboardInterrupt:
            self._save()
            raise
        except Exception as error:
            failure = error
        said = failure and f"{type(failure).__name__}: {failure}"
        parts = self._from_all((self.scored, self.unreadable, said))
        self.scored, self.unreadable = {}, []
        for rank, (scored, unreadable, said) in enumerate(parts):
            self.scored = scored | self.scored  # a video that comes twice counts once, the first
            self.unreadable += unreadable
            if said and failure is None:  # the failure of one process is one of all
                result = "so the result is incomplete"
                failure = RuntimeError(f"Process {rank} failed, {result}: {said}")
        self._save()
        if failure is not None:
            raise failure
        return self._scores()

    def _score(self, numbers: list[int], workers: int | ClipLoader, progress: bool) -> None:
        """Ask the model for every view of these videos, and leave it in the mode that it was in."""
        if not numbers:
            return
        loader, stays = workers, contextlib.nullcontext()
        if not isinstance(loader, ClipLoader):
            loader = stays = ClipLoader(Subset(self.data, numbers), workers=workers)
        loader.batch_size = max(1, self.batch_size // len(self.places))
        loader.set_epoch(getattr(self.data, "epoch", 0))  # random clips are those of now
        known, saved, hits, done = len(self.scored), time.monotonic(), 0, 0
        bar = tqdm(initial=known, total=known + len(numbers), leave=False, disable=not progress)
        bar.unit = " videos"
        modes = {module: module.training for module in self.bare.modules()}
        self.bare.eval()
        try:
            with stays, bar:
                for batch in loader.on(_a_weight(self.bare).device):
                    hits, done = hits + self._take(batch), done + len(batch.numbers)
                    bar.update(len(batch.numbers))
                    if batch.labels is not None:
                        bar.set_postfix_str(f"top-1 so far {100 * hits / done:.1f} %", False)
                    if time.monotonic() - saved > SAVE_EVERY:
                        self._save()
                        saved = time.monotonic()
        finally:
            self.unreadable += [bad.reason for bad in loader.bad]
            for module, training in modes.items():
                module.training = training

    def _take(self, batch: Batch) -> int:
        """Score a batch; how many of its videos are right when logits are averaged."""
        clips = batch.clips if batch.clips.ndim == 6 else batch.clips[:, None]  # (B,V,T,C,H,W)
        if clips.ndim != 6 or clips.shape[1] != len(self.places):
            raise ValueError(
                f"The data give clips of shape {tuple(batch.clips.shape[1:])}, but must give "
                f"(T,C,H,W), or (views,T,C,H,W) from a ViewDataset of {len(self.places)} views."
            )
        numbers = batch.numbers.tolist()
        clips = reorder(clips, self.origin.frames, self.origin.seed, numbers)
        if self.expected is not None:
            clips = self.expected.rescale(clips)
        answer = self._answer(clips.flatten(0, 1))
        logits = {head: each.reshape(*clips.shape[:2], -1) for head, each in answer.items()}
        names = [name_of(self.data, number) for number in numbers]
        for head, each in logits.items():
            for row in np.flatnonzero(~np.isfinite(each).all(axis=(1, 2)))[:1]:
                raise ValueError(
                    f"The model's {head} scores for {names[row]} are not finite. Are its weights "
                    "damaged? In float16 numbers overflow; bfloat16 or float32 do not."
                )
        self._match_classes(logits)
        labels = self._renumbered(batch.labels, names)
        self._keep(numbers, logits, labels)
        right = [logits[head].mean(1).argmax(-1) == each for head, each in labels.items()]
        return int(np.all(right, axis=0).sum()) if right else 0

    def _answer(self, clips: Tensor) -> dict[str, np.ndarray]:
        """Logits of views (N,T,C,H,W), in pieces of equal size: head -> float32 (N,K).

        Out of memory on a GPU, it starts again with half as many at once, and stays at that.
        """
        while True:
            pieces = clips.tensor_split(math.ceil(len(clips) / self.batch_size))
            try:
                with torch.inference_mode():
                    answers = [self.model(piece) for piece in pieces]
                break
            except torch.OutOfMemoryError as error:
                size = len(pieces[0])
                if size == 1:
                    raise MemoryError(
                        f"One view alone does not fit into the memory of {clips.device}. Try "
                        'model.for_inference("bfloat16"), or the CPU.'
                    ) from error
                self.batch_size = size // 2
                said = f"{size} views at once did not fit: continued with {self.batch_size}"
                self.notes.append(said)
                torch.cuda.empty_cache()
        answers = [each if isinstance(each, Mapping) else {ONLY: each} for each in answers]
        for head, logits in answers[0].items():
            if not isinstance(logits, Tensor) or logits.shape[:-1] != (len(pieces[0]),):
                shape = getattr(logits, "shape", type(logits).__name__)
                raise TypeError(
                    f"For {len(pieces[0])} clips the model gave {shape} as {head!r}, but must give "
                    "logits (B, classes), or a dict of them."
                )
        heads = {head: torch.cat([each[head] for each in answers]) for head in answers[0]}
        return {head: logits.float().cpu().numpy() for head, logits in heads.items()}

    def _keep(self, numbers: Sequence[int], logits: Mapping, labels: Mapping) -> None:
        for row, number in enumerate(numbers):
            own = [{head: each[row] for head, each in part.items()} for part in (logits, labels)]
            self.scored.setdefault(number, tuple(own))  # in place of another it counts once

    def _match_classes(self, logits: Mapping[str, np.ndarray]) -> None:
        """Find the data's classes among the model's, once: by name, where both carry names."""
        if self.numbering:
            return
        for head, each in logits.items():
            count, which = each.shape[-1], prefix(head)
            ours, theirs = _names_of(self.bare, head), _names_of(self.data, head)
            self.class_names[head] = ours or theirs
            if theirs and len(theirs) != count:
                raise ValueError(
                    f"The model has {count} {which}classes, but the data have {len(theirs)}: "
                    "read them with its names, read_folder(path, classes=model.class_names), or "
                    "train a classifier of theirs."
                )
            self.numbering[head] = np.arange(count)
            if unlabelled(self.data):  # the numbering serves labels only
                continue
            if not ours or not theirs:
                whose = "data carry" if ours else "model carries"
                note = f"the order of the {which}classes was not checked: the {whose} no names"
                self.notes.append(note)
            elif places := _other_places(ours, theirs, which):
                self.numbering[head] = np.array(places)
                self.notes.append(
                    f"the data have the {which}classes in another order than the model: their "
                    "labels were renumbered by name"
                )

    def _renumbered(self, labels: object, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Labels of the videos of these names, in the order of the model's classes."""
        if labels is None:
            return {}
        labels, found = labels if isinstance(labels, Mapping) else {ONLY: labels}, {}
        for head, ours in self.numbering.items():
            if head not in labels:
                raise ValueError(
                    f"The model's classifiers are {', '.join(self.numbering)}, but the labels of "
                    f"the data are {', '.join(labels)}: the classifier {head!r} has no labels."
                )
            here = labels[head].cpu().numpy()
            for row in np.flatnonzero((here < 0) | (here >= len(ours)))[:1]:
                raise ValueError(
                    f"{names[row]} has the {prefix(head)}label {here[row]}, but the model has "
                    f"{len(ours)} {prefix(head)}classes: labels run from 0 to {len(ours) - 1}."
                )
            found[head] = ours[here]
        return found

    def _read_file(self) -> set[int]:
        """Take the scores that the file has, into the first process; of which videos they are."""
        problem = None
        if self.rank == 0 and self.file is not None and self.file.exists():
            try:
                self._take_over(load_scores(self.file))
            except (ValueError, OSError) as error:
                problem = error
        known, problem = self._from_all((set(self.scored), problem))[0]
        if problem:
            raise problem
        return known

    def _take_over(self, scores: ViewScores) -> None:
        """Keep earlier scores, if they are of the same evaluation."""
        was, now, numbers = scores.origin, self.origin, scores.numbers.tolist()
        names = "model", "data", "clips", "frames", "seed"
        both = {name: (getattr(was, name), getattr(now, name)) for name in names}
        both["weights"] = was.weights[:8], now.weights[:8]
        both["views"] = scores.view_text, view_text(self.places)
        found = [f"{what} {old!r}, here {new!r}" for what, (old, new) in both.items() if old != new]
        for number, name in zip(numbers, scores.names, strict=True):
            if number >= len(self.data) or name_of(self.data, number) != name:
                found.append(f"video {number} is {name!r} there, but not here")
                break
        if found:
            raise ValueError(
                f"{self.file} holds the scores of another evaluation: {'; '.join(found)}. "
                "Give another file, or delete this one."
            )
        self._match_classes(scores.logits)
        labels, catalog = scores.labels or {}, getattr(self.data, "catalog", None)
        if catalog is not None:  # the annotations may have been mended since
            labels = [catalog[number].label for number in numbers]
            labels = None if labels[0] is None else default_collate(labels)
            labels = self._renumbered(labels, scores.names)
        self._keep(numbers, scores.logits, labels)

    def _save(self) -> None:
        """Save what there is; where several processes still run, the first one's part."""
        if self.file is not None and self.rank == 0 and self.scored:
            self._scores().save(self.file)

    def _scores(self) -> ViewScores:
        if not self.scored:
            reasons = "\n".join(f"  {reason}" for reason in self.unreadable[:5])
            raise NothingScored(f"No video of {self.origin.data} could be scored.\n{reasons}")
        numbers = sorted(self.scored)
        logits, labels = zip(*(self.scored[number] for number in numbers), strict=True)
        self._match_classes(logits[0])  # a process may have had no video itself
        unreadable, notes = tuple(sorted(set(self.unreadable))), tuple(self.notes)
        heads = labels[0] if all(labels) else ()
        return ViewScores(
            logits={head: np.stack([each[head] for each in logits]) for head in logits[0]},
            labels={head: np.array([each[head] for each in labels]) for head in heads} or None,
            numbers=np.array(numbers),
            names=tuple(name_of(self.data, number) for number in numbers),
            class_names=self.class_names,
            places=self.places,
            origin=dataclasses.replace(self.origin, unreadable=unreadable, notes=notes),
        )

    def _from_all(self, mine: object) -> list:
        """What every process has, in their order."""
        found = [mine] * self.processes
        if self.processes > 1:
            distributed.all_gather_object(found, mine)
        return found


def reorder(clips: Tensor, frames: str, seed: int, numbers: Sequence[int]) -> Tensor:
    """The views of some videos, (B, V, T, C, H, W), with their frames in another of the ORDERS.

    numbers: of the B videos. A shuffle depends on (seed, number, view) alone: not on the batch
    that a video is in. "middle" is frame T // 2, T times.

    >>> clip = torch.arange(4).reshape(1, 1, 4, 1, 1, 1)
    >>> reorder(clip, "reversed", 0, [7]).flatten().tolist()
    [3, 2, 1, 0]
    """
    views, length = clips.shape[1:3]
    if frames == "reversed":
        return clips.flip(2)
    if frames == "middle":
        return clips[:, :, length // 2 : length // 2 + 1].expand_as(clips)
    if frames == "shuffled":
        orders = [
            [np.random.default_rng((seed, n, view)).permutation(length) for view in range(views)]
            for n in numbers
        ]
        index = torch.from_numpy(np.array(orders)).to(clips.device)  # (B, V, T)
        return clips.gather(2, index[..., None, None, None].expand_as(clips))
    return clips


def views_that_fit(model: nn.Module) -> int:
    """How many views at once fit into the memory where the model is, beside what is there."""
    config, weight = _config_of(model), _a_weight(model)
    if config is None:
        return UNKNOWN_VIEWS
    halved = weight.dtype.itemsize == 2 or torch.is_autocast_enabled(weight.device.type)
    kind = "bfloat16" if halved else "float32"
    space = GPU_SHARE * free_bytes(weight.device) if weight.is_cuda else CPU_BYTES
    return int(min(max(space // cost(config, dtype=kind).activation_bytes, 1), MOST_VIEWS))


def unlabelled(data: Dataset) -> bool:
    """Whether the samples are known to have no labels."""
    catalog = getattr(data, "catalog", None)
    return catalog is not None and catalog[0].label is None


def name_of(data: Dataset, number: int) -> str:
    """What reports call a sample: the data set's own id, else the file, else the number."""
    catalog = getattr(data, "catalog", None)
    if catalog is not None:
        return catalog[number].name or str(catalog[number].path)
    named = data.name_of(number) if hasattr(data, "name_of") else ""
    return named or f"sample {number}"


def places_of(data: Dataset) -> tuple[tuple[int, int], ...]:
    """(clip, crop) of each view of a sample, in the order in which the data set gives them."""
    crops = getattr(getattr(data, "transform", None), "crops", None)
    if crops is None or not hasattr(data, "clips"):
        return ((0, 0),)
    return tuple((clip, crop) for clip in range(data.clips) for crop in range(crops))


def _origin(model: nn.Module, data: Dataset, frames: str, seed: int, checksum: bool) -> Origin:
    """What is known of a model and a data set before the first answer."""
    title, macs, source = type(model).__name__, None, type(data).__name__
    if config := _config_of(model):
        height, width = config.image_size
        title = f"{MODELS[config.model]} · {config.frames} x {height} x {width}"
        if hasattr(model, "precision"):  # made for inference
            title += f" · {model.precision}"
        macs = count_flops(config, counter="closed_form").macs
    if catalog := getattr(data, "catalog", None):
        source = str(catalog.source)
    else:
        own = getattr(data, "__dict__", {}).items()  # a list has none
        plain = [(name, value) for name, value in own if isinstance(value, (int, float, str))]
        settings = ", ".join(f"{k}={v!r}" for k, v in plain if not k.startswith("_"))
        source += f"({settings})" if settings else f" of {len(data):,} samples"
    missing = catalog.missing if catalog else ()
    described = hasattr(data, "sampling") and hasattr(data, "transform")
    return Origin(
        model=title,
        weights=_checksum(model) if checksum else "",
        macs=macs,
        data=source,
        listed=len(data) + len(missing),
        clips=f"{data.sampling}, {data.transform}" if described else "",
        absent=tuple(str(segment.path) for segment in missing),
        frames=frames,
        seed=seed,
    )


def _checksum(model: nn.Module) -> str:
    """Of all weights: other weights have another."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _config_of(model: nn.Module) -> ViViTConfig | None:
    config = getattr(model, "config", None)
    return config if isinstance(config, ViViTConfig) else None


def _a_weight(model: nn.Module) -> Tensor:
    return next(model.parameters(), torch.empty(0))


def _names_of(thing: object, head: str) -> tuple[str, ...] | None:
    """Names of the classes of a head that a model or data set carries."""
    names = class_names_of(thing)
    names = names if isinstance(names, dict) else {ONLY: names}
    return tuple(names[head]) if names.get(head) else None


def _other_places(model: Sequence[str], data: Sequence[str], which: str) -> list[int] | None:
    """The model's number of each class of the data, found by name; None: the same order."""
    # Kinetics has `high jump`, its folders are called `high_jump`
    plain = str if set(model) == set(data) else lambda name: name.replace("_", " ")
    ours, theirs = [plain(name) for name in model], [plain(name) for name in data]
    if set(ours) != set(theirs):
        only_here, only_there = (
            ", ".join(repr(name) for name in names if plain(name) not in others)[:200] or "no other"
            for names, others in ((model, theirs), (data, ours))
        )
        raise ValueError(
            f"The model's {which}classes and those of the data are not the same. Only the model "
            f"has {only_here}; only the data have {only_there}."
        )
    return None if ours == theirs else [ours.index(name) for name in theirs]

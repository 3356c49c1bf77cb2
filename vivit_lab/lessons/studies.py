"""Studies: many small runs that differ in one thing, each with several seeds, and their results.

An Arm is one way to build and train; a study compares some of them. Every run goes through `fit`
and `evaluate`, on Arrow of Time, by the recipe cpu_tiny. Results are stored in assets/runs, so that
a notebook shows a study at once; assets/run_studies.py runs what is missing.
"""

import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from vivit_lab.analysis import count_flops
from vivit_lab.data import ArrowOfTime
from vivit_lab.data.samples import ASSETS
from vivit_lab.errors import one_of, whole
from vivit_lab.models import ViViT, ViViTConfig, build_model
from vivit_lab.training import Moment, Recipe, evaluate, fit
from vivit_lab.training.evaluation import reorder
from vivit_lab.training.run import versions
from vivit_lab.weights import inflate, small_image_vit

RUNS = ASSETS / "runs"  # STUDY.json, written by assets/run_studies.py
STARTS = ("random", "image_vit_central_frame", "image_vit_filter_inflation", "image_vit_random")
CLIPS = 4096  # in the training set of cpu_tiny
TEST_CLIPS = 1024  # the same for every arm, and none of them trained on
VALIDATION_SEED, TEST_SEED = 1, 2  # of other clips than those of training, whose seed is 0
VALIDATION_CLIPS = 256
POINTS = 48  # of a learning curve


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to build and train a tiny ViViT: the recipe cpu_tiny, but for what is said here.

    changes, config: fields of Recipe and of ViViTConfig that differ. start: "random" weights, or
    inflated from our image ViT; the last word is how its patch embedding is (`inflate` says more).
    clips, level: of Arrow of Time, to train on. shuffled: the frames of every clip, in training
    and in testing, come in random order.

    Raises ValueError or TypeError: unknown fields or starts, fields that make no legal recipe.

    Example:
        >>> arm = Arm(name="deep", title="Two more blocks", config={"depth": 5})
        >>> arm.model_config().depth, arm.recipe(seed=3).seed
        (5, 3)
    """

    name: str
    title: str
    changes: Mapping[str, object] = field(default_factory=dict)
    config: Mapping[str, object] = field(default_factory=dict)
    start: str = "random"
    clips: int = CLIPS
    level: str = "easy"
    shuffled: bool = False

    def __post_init__(self):
        one_of("start", self.start, STARTS)
        whole("clips", self.clips)
        self.model_config()

    def recipe(self, seed: int = 0) -> Recipe:
        """How it is trained."""
        return Recipe.preset("cpu_tiny", **self.changes, seed=seed)

    def model_config(self) -> ViViTConfig:
        """What is trained."""
        return self.recipe().config(**self.config)


# ---- the four models and their baselines: the whole recipe, so that all can show what they can

OTHER = {"temporal_depth": None}  # Models 1, 3, 4 have no temporal encoder
FRAMES = {"tubelet": (1, 8, 8)}  # tokens of single frames
BRIEF = {"batch": 32, "lr": 2e-3, "lr_batch": 32, "betas": (0.9, 0.98), "warmup_epochs": 0.4}
LARGER = BRIEF | {"epochs": 5}  # the recipe's clips, in half as many steps

# What sees single frames only is helped by the image ViT, which the others do not need: if it
# stays below its bound all the same, then not for want of knowing pictures.
INFLATED = "image_vit_central_frame"

FOUR_MODELS = (
    Arm(
        name="one_frame",
        title="One frame",
        changes=LARGER | OTHER | {"model": "joint"},
        config=FRAMES | {"tokenizer": "uniform_frames", "sampled_frames": 1},
        start=INFLATED,
    ),
    Arm(
        name="bag_of_frames",
        title="Bag of frames (clips shuffled)",
        changes=LARGER,
        config=FRAMES,
        start=INFLATED,
        shuffled=True,
    ),
    Arm(
        name="average_pooling",
        title="Average pooling of frames",
        changes=LARGER | {"temporal_depth": 0},
        config=FRAMES,
        start=INFLATED,
    ),
    Arm(
        name="average_pooling_tubelets",
        title="Average pooling of 2-frame tubelets",
        changes={"temporal_depth": 0},
    ),
    Arm(name="joint", title="Model 1: joint", changes=OTHER | {"model": "joint"}),
    Arm(name="factorised_encoder", title="Model 2: factorised encoder"),
    Arm(
        name="factorised_self_attention",
        title="Model 3: factorised self-attention",
        changes=OTHER | {"model": "factorised_self_attention"},
    ),
    Arm(
        name="factorised_dot_product",
        title="Model 4: factorised dot-product",
        changes=OTHER | {"model": "factorised_dot_product"},
    ),
)

# ---- the others stop early, while the arms still differ: at the recipe's end all are near 100 %

SHORT, FEW_CLIPS = BRIEF | {"epochs": 3}, 1024  # 96 steps


def _short(
    name: str, title: str, changes: Mapping = (), config: Mapping = (), start: str = "random"
) -> Arm:
    """Model 2 on a short budget, with these differences."""
    changes = SHORT | dict(changes)
    return Arm(
        name=name, title=title, changes=changes, config=dict(config), start=start, clips=FEW_CLIPS
    )


def _started(name: str, title: str, start: str, config: Mapping = ()) -> Arm:
    """Model 1, from these weights (paper, table 1)."""
    return _short(name, title, OTHER | {"model": "joint"}, config, start)


SAMPLED = FRAMES | {"tokenizer": "uniform_frames", "sampled_frames": 4}  # as many tokens
INITIALISATION = (
    _started("uniform_frames", "Uniform frame sampling", INFLATED, SAMPLED),
    _started("tubelet_random", "Tubelets, random embedding", "image_vit_random"),
    _started("filter_inflation", "Tubelets, filter inflation", "image_vit_filter_inflation"),
    _started("central_frame", "Tubelets, central frame", INFLATED),
    _started("all_random", "Tubelets, all weights random", "random"),
)

MODEL_3 = OTHER | {"model": "factorised_self_attention"}
ORDERS = (
    _short("space_time", "Space, then time", MODEL_3),
    _short("time_space", "Time, then space", MODEL_3, {"attention_order": "time_space"}),
)

TEMPORAL_DEPTH = tuple(
    _short(f"depth_{depth}", f"Temporal depth {depth}", {"temporal_depth": depth})
    for depth in (0, 1, 2, 4)
)

# ---- regularisation: few clips, seen often. Table 4's RandAugment and flips would change classes

DROP, SMOOTH, MIX = {"drop_path": 0.1}, {"label_smoothing": 0.1}, {"mixup": 0.2}


def _few(name: str, title: str, changes: Mapping = (), start: str = INFLATED) -> Arm:
    """Model 2 on 256 clips, each seen 12 times: as many steps again."""
    changes = BRIEF | {"epochs": 12} | dict(changes)
    return Arm(name=name, title=title, changes=changes, start=start, clips=256)


REGULARISATION = (
    _few("nothing", "Random weights", start="random"),
    _few("start", "Image ViT as the start"),
    _few("start_drop", "+ stochastic depth", DROP),
    _few("start_drop_smooth", "+ label smoothing", DROP | SMOOTH),
    _few("start_drop_smooth_mix", "+ mixup", DROP | SMOOTH | MIX),
)

# ---- trade-offs: more tokens, in four ways; accuracy against cost

TUBELET_LENGTH = tuple(
    _short(f"length_{t}", f"Tubelets of {t} frame{'s' * (t > 1)}", config={"tubelet": (t, 8, 8)})
    for t in (4, 2, 1)
)
TUBELET_SIZE = tuple(
    _short(f"size_{side}", f"Tubelets of {side} x {side}", config={"tubelet": (2, side, side)})
    for side in (16, 8)
)
CROP = tuple(
    _short(f"crop_{side}", f"Crops of {side} x {side}", config={"image_size": side})
    for side in (16, 32, 48)
)
FRAME_COUNT = tuple(
    _short(f"frames_{count}", f"{count} frames", config={"frames": count}) for count in (4, 8, 16)
)

STUDIES: dict[str, tuple[Arm, ...]] = {
    "four_models": FOUR_MODELS,
    "initialisation": INITIALISATION,
    "orders": ORDERS,
    "temporal_depth": TEMPORAL_DEPTH,
    "regularisation": REGULARISATION,
    "tubelet_length": TUBELET_LENGTH,
    "tubelet_size": TUBELET_SIZE,
    "crop": CROP,
    "frames": FRAME_COUNT,
}


def find_arm(study: str, name: str) -> Arm:
    """One arm of a study. Raises ValueError for an unknown study or arm.

    Example:
        >>> find_arm("four_models", "joint").title
        'Model 1: joint'
    """
    one_of("study", study, STUDIES)
    one_of("arm", name, [arm.name for arm in STUDIES[study]])
    return next(arm for arm in STUDIES[study] if arm.name == name)


def settings(arm: Arm) -> dict:
    """Everything that a run of an arm depends on, but its seed and the versions.

    Example:
        >>> settings(STUDIES["four_models"][0])["data"]["clips"] == STUDIES["four_models"][0].clips
        True
    """
    recipe = arm.recipe(0).to_dict()
    for name in ("name", "notes", "seed"):
        del recipe[name]
    fields = {
        "recipe": recipe,
        "config": dataclasses.asdict(arm.model_config()),
        "start": arm.start,
        "data": {"clips": arm.clips, "level": arm.level, "in_random_order": arm.shuffled},
    }
    return json.loads(json.dumps(fields))  # lists for tuples, as they come back from a file


# ---- running an arm


@dataclass(frozen=True)
class Result:
    """What one arm reached with one seed. Shares are 0..1, all of clips that were never trained on.

    Example:
        >>> result = Result("joint", 0, top1=0.9, shuffled=0.5, reversed=0.1, per_class=(0.9,) * 8,
        ...                 macs=10**7, params=10**5, seconds=30.0, cpu_seconds=29.0,
        ...                 history=[], curve=[], settings={}, versions={})
        >>> Result.from_dict(json.loads(json.dumps(result.to_dict()))) == result
        True
    """

    arm: str
    seed: int
    top1: float
    shuffled: float  # top-1 where the frames of each test clip come in random order
    reversed: float  # top-1 where they come backwards, and the labels stay
    per_class: tuple[float, ...]  # in the order of ArrowOfTime.classes
    macs: int  # of one clip forwards, as the paper counts
    params: int
    seconds: float  # of training, on whatever machine it was
    cpu_seconds: float  # of all threads together
    history: list[dict]  # an entry for each epoch, as `fit` returns them
    curve: list[dict]  # {"clips" seen, "loss", "accuracy"}: means over equally many steps
    settings: dict  # everything that the run depends on but the versions
    versions: dict
    model: "ViViT | None" = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict:
        """All but the model, as JSON can hold it."""
        fields = [each.name for each in dataclasses.fields(self) if each.name != "model"]
        return {name: getattr(self, name) for name in fields}

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> "Result":
        """The result that `to_dict` described."""
        return cls(**(dict(fields) | {"per_class": tuple(fields["per_class"])}))


def load_results(study: str, folder: str | Path = RUNS) -> list[Result]:
    """The stored results of a study, arm by arm in its order, and seed by seed; model is None.

    Raises:
        ValueError: an unknown study, or a file that is no stored study.
        FileNotFoundError: it was not run; the message says how to.

    Example:
        >>> {result.arm for result in load_results("four_models")} >= {"joint", "one_frame"}
        True
    """
    one_of("study", study, STUDIES)
    file = Path(folder) / f"{study}.json"
    if not file.exists():
        raise FileNotFoundError(
            f"There is no file {str(file)!r}: the study was not run on this machine. "
            f"`python assets/run_studies.py {study}` runs it."
        )
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        results = [Result.from_dict(each) for each in document["results"]]
    except (KeyError, TypeError, ValueError) as reason:
        raise ValueError(f"{str(file)!r} is no stored study, or is damaged: {reason}") from None
    order = [arm.name for arm in STUDIES[study]]
    known = [result for result in results if result.arm in order]
    return sorted(known, key=lambda result: (order.index(result.arm), result.seed))


@dataclass(frozen=True)
class Spread:
    """A figure over several seeds.

    Example:
        >>> str(Spread.of([0.98, 0.99, 0.97]))
        '98.0 % (97.0-99.0)'
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Mean, smallest and largest of at least one value."""
        return cls(statistics.fmean(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.mean:.1%} ({100 * self.low:.1f}-{100 * self.high:.1f})".replace("%", " %")


def train_arm(
    arm: Arm,
    seed: int = 0,
    folder: str | Path | None = None,
    progress: bool = False,
    device: str = "cpu",
) -> Result:
    """Train one arm of a study, and test it: some seconds to two minutes on one core.

    seed: of weights, order and what drops; the clips are the same for every seed. folder: of the
    run, for its log and checkpoints, must be new; None keeps nothing. device: as for `fit`.
    Raises as `fit` does. The same versions, machine and threads give the same figures.
    """
    whole("seed", seed, least=0)
    recipe, model = arm.recipe(seed), start_model(arm, seed)
    train = DrawnOnce(clips_of(arm, 0, arm.clips))
    validation = clips_of(arm, VALIDATION_SEED, VALIDATION_CLIPS)
    test = clips_of(arm, TEST_SEED, TEST_CLIPS)
    steps: list[Moment] = []
    started, cpu_started = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as aside:
        run = fit(
            model,
            train,
            validation,
            recipe=recipe,
            folder=folder or f"{aside}/run",
            callback=lambda moment: moment.after_epoch or steps.append(moment),
            device=device,
            progress=progress,
        )
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    in_order, shuffled, backwards = (
        evaluate(run.model, test, frames=frames, progress=False)
        for frames in ("in_order", "shuffled", "reversed")
    )
    count = count_flops(model.config, counter="closed_form")
    return Result(
        arm=arm.name,
        seed=seed,
        top1=round(in_order.top1, 6),
        shuffled=round(shuffled.top1, 6),
        reversed=round(backwards.top1, 6),
        per_class=tuple(round(float(share), 4) for share in in_order.per_class),
        macs=count.macs,
        params=count.params,
        seconds=round(seconds, 1),
        cpu_seconds=round(cpu_seconds, 1),
        history=[
            {
                "epoch": epoch["epoch"],
                "loss": round(epoch["loss"], 4),
                "accuracy": round(epoch["accuracy"], 4),
                "validation": round(epoch["validation"]["top1"], 4),
            }
            for epoch in run.history
        ],
        curve=_learning_curve(steps, recipe.batch),
        settings=settings(arm),
        versions=versions(),
        model=run.model,
    )


def start_model(arm: Arm, seed: int) -> ViViT:
    """The model of an arm before its first step: new weights, or inflated ones."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = build_model(arm.model_config())
    if arm.start != "random":
        inflate(model, small_image_vit(), tubelet=arm.start.removeprefix("image_vit_"))
    return model


def clips_of(arm: Arm, seed: int, count: int) -> Dataset:
    """Clips of the size and level that an arm wants; `seed` says which."""
    config = arm.model_config()
    clips = ArrowOfTime(count, config.frames, config.image_size[0], seed, arm.level)
    return InRandomOrder(clips) if arm.shuffled else clips


class InRandomOrder(Dataset):
    """Clips whose frames come in random order, each clip in one of its own: bags of frames."""

    def __init__(self, clips: ArrowOfTime):
        self.clips, self.classes = clips, clips.classes

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """Many at once, as torch's DataLoader asks for them."""
        clips, labels = self.clips.batch(indices)
        mixed = reorder(clips[:, None], "shuffled", self.clips.seed, indices)[:, 0]
        return list(zip(mixed, labels.tolist(), strict=True))


class DrawnOnce(InRandomOrder):
    """Clips that are kept once they are drawn: later epochs need not wait for them."""

    def __init__(self, clips: ArrowOfTime | InRandomOrder):
        super().__init__(clips)
        self._kept: dict[int, tuple[Tensor, int]] = {}

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        new = [index for index in indices if index not in self._kept]
        if new:
            self._kept.update(zip(new, self.clips.__getitems__(new), strict=True))
        return [self._kept[index] for index in indices]


def _learning_curve(steps: list[Moment], batch: int) -> list[dict]:
    """Means over equally many steps, at most POINTS of them."""
    width, curve = -(-len(steps) // POINTS), []
    for start in range(0, len(steps), width):
        part = steps[start : start + width]
        means = {
            name: round(statistics.fmean(getattr(each, name) for each in part), 4)
            for name in ("loss", "accuracy")
        }
        curve.append({"clips": part[-1].step * batch, **means})
    return curve

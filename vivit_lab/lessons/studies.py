"""Studies: many small runs that differ in one thing, each with several seeds, and their results.

Every run goes through `fit` and `evaluate`, on Arrow of Time, by the recipe cpu_tiny. Results are
stored in assets/runs; assets/run_studies.py runs what is missing.
"""

import dataclasses
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from torch import Tensor

from vivit_lab.analysis import count_flops
from vivit_lab.data import ArrowOfTime
from vivit_lab.data.samples import ASSETS
from vivit_lab.errors import one_of, whole
from vivit_lab.io import read_json
from vivit_lab.models import ViViT, ViViTConfig, build_model
from vivit_lab.training import Moment, Recipe, evaluate, fit
from vivit_lab.training.evaluation import reorder
from vivit_lab.training.run import versions
from vivit_lab.video.transforms import seeded
from vivit_lab.weights import inflate, small_image_vit

RUNS = ASSETS / "runs"  # STUDY.json, written by assets/run_studies.py
STARTS = ("random", "image_vit_central_frame", "image_vit_filter_inflation", "image_vit_random")
CLIPS = 4096  # in the training set of cpu_tiny
TEST_CLIPS = 1024  # the same for every arm, and none of them trained on
VALIDATION_SEED, TEST_SEED = 1, 2  # of other clips than those of training, whose seed is 0
VALIDATION_CLIPS = 256
POINTS = 48  # of a learning curve
OUTSIDE = "name", "notes", "init", "seed", "patience"  # of a recipe: an arm does not depend on them


@dataclass(frozen=True)
class Arm:
    """One way to build and train a tiny ViViT: the recipe cpu_tiny, but for what is said here.

    changes, config: fields of Recipe and of ViViTConfig that differ. start: "random" weights, or
    inflated from our image ViT, with its patch embedding as the last word says. clips, level: of
    Arrow of Time, to train on. shuffled: the frames of every clip come in random order. paper: the
    per cent that the paper reports of it. ValueError or TypeError: no legal recipe or start.

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
    paper: float | None = None

    def __post_init__(self):
        one_of("start", self.start, STARTS)
        whole("clips", self.clips)
        self.model_config()

    def recipe(self, seed: int = 0) -> Recipe:
        return Recipe.preset("cpu_tiny", **self.changes, seed=seed)

    def model_config(self) -> ViViTConfig:
        return self.recipe().config(**self.config)


STUDIES: dict[str, tuple[Arm, ...]] = {}  # the arms that each compares

# ---- the four models and their baselines: the whole recipe, so that all can show what they can

OTHER = {"temporal_depth": None}  # Models 1, 3, 4 have no temporal encoder
MODEL_1 = OTHER | {"model": "joint"}
MODEL_3 = OTHER | {"model": "factorised_self_attention"}
MODEL_4 = OTHER | {"model": "factorised_dot_product"}
FRAMES = {"tubelet": (1, 8, 8)}  # tokens of single frames
SAMPLED = FRAMES | {"tokenizer": "uniform_frames"}
BRIEF = {"batch": 32, "lr": 2e-3, "lr_batch": 32, "betas": (0.9, 0.98), "warmup_epochs": 0.4}
LARGER = BRIEF | {"epochs": 5}  # the recipe's clips, in half as many steps
POOLED = {"temporal_depth": 0}

# What sees single frames only is helped by the image ViT, which the others do not need: if it
# stays below its bound all the same, then not for want of knowing pictures.
INFLATED = "image_vit_central_frame"
ONE, BAG = "One frame", "Bag of frames (clips shuffled)"

STUDIES["four_models"] = (
    Arm("one_frame", ONE, LARGER | MODEL_1, SAMPLED | {"sampled_frames": 1}, INFLATED),
    Arm("bag_of_frames", BAG, LARGER, FRAMES, INFLATED, shuffled=True),
    Arm("average_pooling", "Average pooling of frames", LARGER | POOLED, FRAMES, INFLATED),
    Arm("average_pooling_tubelets", "Average pooling of 2-frame tubelets", POOLED, paper=75.8),
    Arm("joint", "Model 1: joint", MODEL_1, paper=80.0),
    Arm("factorised_encoder", "Model 2: factorised encoder", paper=78.8),
    Arm("factorised_self_attention", "Model 3: factorised self-attention", MODEL_3, paper=77.4),
    Arm("factorised_dot_product", "Model 4: factorised dot-product", MODEL_4, paper=76.3),
)

# ---- the others stop early, while the arms still differ: at the recipe's end all are near 100 %


def _short(
    name: str, title: str, changes: Mapping = (), config: Mapping = (), start="random", paper=None
) -> Arm:
    """Model 2 on a short budget, 96 steps, with these differences."""
    changes = BRIEF | {"epochs": 3} | dict(changes)
    return Arm(name, title, changes, dict(config), start, clips=1024, paper=paper)


RANDOM, FILTERS = "image_vit_random", "image_vit_filter_inflation"
FOUR = SAMPLED | {"sampled_frames": 4}  # as many tokens
EIGHT = SAMPLED | {"sampled_frames": 8}  # no frame is left out: what does a gap cost?
STUDIES["initialisation"] = (  # Model 1
    _short("uniform_frames", "Uniform frame sampling", MODEL_1, FOUR, INFLATED, 78.5),
    _short("all_frames", "Patches of all 8 frames", MODEL_1, EIGHT, INFLATED),
    _short("tubelet_random", "Tubelets, random embedding", MODEL_1, start=RANDOM, paper=73.2),
    _short("filter_inflation", "Tubelets, filter inflation", MODEL_1, start=FILTERS, paper=77.6),
    _short("central_frame", "Tubelets, central frame", MODEL_1, start=INFLATED, paper=79.2),
    _short("all_random", "Tubelets, all weights random", MODEL_1),
)

STUDIES["orders"] = (
    _short("space_time", "Space, then time", MODEL_3),
    _short("time_space", "Time, then space", MODEL_3, {"attention_order": "time_space"}),
)

STUDIES["temporal_depth"] = tuple(
    _short(f"depth_{depth}", f"Temporal depth {depth}", {"temporal_depth": depth}, paper=paper)
    for depth, paper in ((0, 75.8), (1, 78.6), (2, None), (4, 78.8))
)

# ---- regularisation: few clips, seen often. Table 4's RandAugment and flips would change classes


def _few(name: str, title: str, changes: Mapping, paper=None, start: str = INFLATED) -> Arm:
    """Model 2 on 256 clips, each seen 12 times: as many steps again."""
    changes = BRIEF | {"epochs": 12} | dict(changes)
    return Arm(name, title, changes, start=start, clips=256, paper=paper)


DROP = {"drop_path": 0.1}
SMOOTH = DROP | {"label_smoothing": 0.1}
STUDIES["regularisation"] = (
    _few("nothing", "Random weights", {}, start="random"),
    _few("start", "Image ViT as the start", {}, 38.4),  # then 39.6: Kinetics-400, not had here
    _few("start_drop", "+ stochastic depth", DROP, 40.2),
    _few("start_drop_smooth", "+ label smoothing", SMOOTH, 43.1),
    _few("start_drop_smooth_mix", "+ mixup", SMOOTH | {"mixup": 0.2}, 43.7),
)

# ---- trade-offs: more tokens, in four ways; accuracy against cost

STUDIES["tubelet_length"] = tuple(
    _short(f"length_{t}", f"Tubelets of {t} frame{'s' * (t > 1)}", config={"tubelet": (t, 8, 8)})
    for t in (4, 2, 1)
)
STUDIES["tubelet_size"] = tuple(
    _short(f"size_{side}", f"Tubelets of {side} x {side}", config={"tubelet": (2, side, side)})
    for side in (16, 8)
)
STUDIES["crop"] = tuple(
    _short(f"crop_{side}", f"Crops of {side} x {side}", config={"image_size": side})
    for side in (16, 32, 48)
)
STUDIES["frames"] = tuple(
    _short(f"frames_{count}", f"{count} frames", config={"frames": count}) for count in (4, 8, 16)
)


@dataclass(frozen=True)
class Reported:
    """What a study asks, and what the paper says of it."""

    study: str
    question: str
    where: str  # in the paper
    says: str  # in one sentence
    measure: str = ""  # of the figures

    @property
    def figures(self) -> dict[str, float]:
        """Per cent, as reported in the paper, by the name of the arm."""
        return {arm.name: arm.paper for arm in STUDIES[self.study] if arm.paper is not None}


K400, EPIC = "Kinetics-400 top-1", "EPIC-Kitchens action"
# fmt: off
REPORTED = {paper.study: paper for paper in (
    Reported("four_models", "Four models and their baselines", "Table 2",
             "Model 1 leads, averaging over time is last.", K400),
    Reported("initialisation", "Tokens, and where the weights start", "Table 1",
             "Central frame leads, a random embedding is last.", K400),
    Reported("orders", "Model 3: which attention comes first?", "section 3.3.3",
             "The order makes no difference."),
    Reported("temporal_depth", "Model 2: how many temporal blocks?", "Table 3",
             "One block gives nearly all that there is to gain.", K400),
    Reported("regularisation", "Few clips: what helps against memorising?", "Table 4",
             "Each step adds something, label smoothing (after RandAugment) most.", EPIC),
    Reported("tubelet_length", "How many frames should a tubelet span?", "section 4.2",
             "Shorter tubelets do better, and cost more."),
    Reported("tubelet_size", "How many pixels should a tubelet span?", "section 4.2",
             "More tokens do better, and cost more."),
    Reported("crop", "How large should the crop be?", "section 4.2",
             "Larger crops do better, and cost more."),
    Reported("frames", "How many frames should a clip have?", "section 4.2",
             "More frames do better, but gain less with several views."),
)}
# fmt: on


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
    """Everything that a run of an arm depends on, but its seed and the versions."""
    recipe = arm.recipe().to_dict().items()
    fields = {
        "recipe": {k: v for k, v in recipe if k not in OUTSIDE},
        "config": dataclasses.asdict(arm.model_config()),
        "start": arm.start,
        "data": {"clips": arm.clips, "level": arm.level, "in_random_order": arm.shuffled},
    }
    return json.loads(json.dumps(fields))  # lists in place of tuples, as in a file


# ---- running an arm


@dataclass(frozen=True)
class Result:
    """What one arm reached with one seed. Shares are 0..1, of clips that were never trained on."""

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
        return {name: value for name, value in vars(self).items() if name != "model"}

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> "Result":
        return cls(**(dict(fields) | {"per_class": tuple(fields["per_class"])}))


def load_results(study: str, folder: str | Path = RUNS) -> list[Result]:
    """The stored results of a study, arm by arm in its order, and seed by seed; model is None.

    ValueError: an unknown study, or a damaged file. FileNotFoundError: it was not run.

    Example:
        >>> {result.arm for result in load_results("orders")} == {"space_time", "time_space"}
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
        results = [Result.from_dict(each) for each in read_json(file)["results"]]
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
    run, must be new; None keeps nothing. device, errors: as for `fit`. The same versions, machine
    and threads give the same figures.
    """
    whole("seed", seed, least=0)
    recipe, model = arm.recipe(seed), start_model(arm, seed)
    data = clips_of(arm, 0, arm.clips), clips_of(arm, VALIDATION_SEED, VALIDATION_CLIPS)
    test = clips_of(arm, TEST_SEED, TEST_CLIPS)
    steps: list[Moment] = []
    how = {"recipe": recipe, "device": device, "progress": progress}
    how["callback"] = lambda moment: moment.after_epoch or steps.append(moment)
    started, cpu_started = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as aside:
        run = fit(model, *data, folder=folder or f"{aside}/run", **how)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    in_order, shuffled, backwards = (
        evaluate(run.model, test, frames=frames, progress=False)
        for frames in ("in_order", "shuffled", "reversed")
    )
    count = count_flops(model.config, counter="closed_form")
    return Result(
        arm.name,
        seed,
        top1=round(in_order.top1, 6),
        shuffled=round(shuffled.top1, 6),
        reversed=round(backwards.top1, 6),
        per_class=tuple(round(float(share), 4) for share in in_order.per_class),
        macs=count.macs,
        params=count.params,
        seconds=round(seconds, 1),
        cpu_seconds=round(cpu_seconds, 1),
        history=[
            {name: round(epoch[name], 4) for name in ("epoch", "loss", "accuracy")}
            | {"validation": round(epoch["validation"]["top1"], 4)}
            for epoch in run.history
        ],
        curve=_learning_curve(steps, recipe.batch),
        settings=settings(arm),
        versions=versions(),
        model=run.model,
    )


def start_model(arm: Arm, seed: int) -> ViViT:
    """The model of an arm before its first step: new weights, or inflated ones."""
    with seeded(seed):
        model = build_model(arm.model_config())
    if arm.start != "random":
        inflate(model, small_image_vit(), tubelet=arm.start.removeprefix("image_vit_"))
    return model


def clips_of(arm: Arm, seed: int, count: int) -> list[tuple[Tensor, int]]:
    """Clips and labels of the size and level that an arm wants, drawn once; `seed` says which.

    A bag of frames has the frames of each clip in a random order of its own.
    """
    config, numbers = arm.model_config(), range(count)
    drawn = ArrowOfTime(count, config.frames, config.image_size[0], seed, arm.level)
    clips, labels = drawn.batch(numbers)
    if arm.shuffled:
        clips = reorder(clips[:, None], "shuffled", seed, numbers)[:, 0]
    return list(zip(clips, labels.tolist(), strict=True))


def _learning_curve(steps: list[Moment], batch: int) -> list[dict]:
    """Means over equally many steps, at most POINTS of them."""
    width, curve = -(-len(steps) // POINTS), []
    for start in range(0, len(steps), width):
        part = steps[start : start + width]
        point = {"clips": part[-1].step * batch}
        for name in ("loss", "accuracy"):
            point[name] = round(statistics.fmean(getattr(each, name) for each in part), 4)
        curve.append(point)
    return curve


# ---- against the paper


@dataclass(frozen=True)
class Agreement:
    """Pairs of arms that the paper ranks: whether our seeds say the same."""

    same: int
    other: int
    open: int

    @property
    def pairs(self) -> int:
        return self.same + self.other + self.open

    def __str__(self) -> str:
        if not self.pairs:
            return "The paper gives no figures to rank here, only a sentence."
        return (
            f"Of {self.pairs} pairs that the paper ranks, {self.same} come out the same way, "
            f"{self.other} the other way, and {self.open} are open: their seeds overlap."
        )


def ranked_pairs(study: str, results: Sequence[Result]) -> list[tuple[Arm, Arm, str]]:
    """Pairs of arms that the paper ranks, the better one first, and what our seeds say of them.

    "same" or "other": the worst seed of one is above the best of the other, in the paper's order or
    against it; with three seeds that happens by chance to one pair in ten that are really equal.
    "open": the seeds overlap.

    Example:
        >>> study = "temporal_depth"
        >>> deeper, pooled, verdict = ranked_pairs(study, load_results(study))[0]
        >>> deeper.title, pooled.title, verdict
        ('Temporal depth 1', 'Temporal depth 0', 'open')
    """
    spreads, found = spread_by_arm(results), []
    arms = [arm for arm in STUDIES[study] if arm.paper is not None and arm.name in spreads]
    for pair in combinations(arms, 2):
        worse, better = sorted(pair, key=lambda arm: arm.paper)
        low, high = spreads[worse.name], spreads[better.name]
        verdict = "same" if high.low > low.high else "other" if low.low > high.high else "open"
        found.append((better, worse, verdict))
    return found


def agreement(study: str, results: Sequence[Result]) -> Agreement:
    """How many of `ranked_pairs` come out as in the paper, the other way, or open."""
    counts = Counter(verdict for *_, verdict in ranked_pairs(study, results))
    return Agreement(counts["same"], counts["other"], counts["open"])


def spread_by_arm(results: Sequence[Result], measure: str = "top1") -> dict[str, Spread]:
    """Mean and range of "top1", "shuffled" or "reversed" over the seeds of each arm."""
    values: dict[str, list[float]] = {}
    for result in results:
        values.setdefault(result.arm, []).append(getattr(result, measure))
    return {arm: Spread.of(each) for arm, each in values.items()}


def table_of(study: str, measures: Sequence[str] = ("top1",)) -> str:
    """The stored results of a study as text: mean and range over the seeds, the paper, cost.

    measures: of "top1", "shuffled", "reversed"; the paper's figure stands beside the first. Errors:
    as of `load_results`.

    Example:
        >>> table_of("temporal_depth").splitlines()[3]
        'Temporal depth 2             70.1 (70.0-70.3)    not on file    9.0'
    """
    results, paper = load_results(study), REPORTED[study]
    macs = {result.arm: result.macs for result in results}
    columns = [spread_by_arm(results, measure) for measure in measures]
    seeds = f"{len({result.seed for result in results})} seeds: mean (range), in %"
    rows = [(seeds, measures[0], f"paper {paper.where}", *measures[1:], "MMACs")]
    for arm in (arm for arm in STUDIES[study] if arm.name in macs):
        first, *shares = (str(column[arm.name]).replace(" %", "") for column in columns)
        there = "not on file" if arm.paper is None else f"{arm.paper:.1f}"
        rows.append((arm.title, first, there, *shares, f"{macs[arm.name] / 1e6:.1f}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for title, *cells in rows:
        beside = zip(cells, widths[1:], strict=True)
        lines.append(f"{title:{widths[0]}}" + "".join(f"{x:>{wide + 2}}" for x, wide in beside))
    of = paper.measure if paper.figures else paper.says
    return "\n".join([*lines, f"Reported in the paper, {paper.where}: {of}"])

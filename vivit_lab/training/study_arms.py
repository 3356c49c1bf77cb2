"""What the studies compare: an Arm is one way to build and train, a study some of them."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from vivit_lab.errors import one_of, whole
from vivit_lab.models import ViViTConfig
from vivit_lab.training.recipe import Recipe

STARTS = ("random", "image_vit_central_frame", "image_vit_filter_inflation", "image_vit_random")
CLIPS = 4096  # in the training set of cpu_tiny
TEST_CLIPS = 1024  # the same for every arm, and none of them trained on


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

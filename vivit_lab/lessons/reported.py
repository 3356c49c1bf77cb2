"""What the paper reports of each study's question, and whether our small runs say the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from vivit_lab.lessons.studies import STUDIES, Result, Spread, load_results


@dataclass(frozen=True)
class Reported:
    """What a study asks, and figures as reported in the paper: per cent, by the arm they match."""

    question: str
    where: str  # in the paper
    says: str  # in one sentence
    figures: Mapping[str, float] = field(default_factory=dict)
    measure: str = ""  # of the figures


K400 = "Kinetics-400 top-1"
REPORTED: dict[str, Reported] = {
    "four_models": Reported(
        "Four models and their baselines",
        "Table 2",
        "Model 1 leads, averaging over time is last.",
        {
            "average_pooling_tubelets": 75.8,
            "joint": 80.0,
            "factorised_encoder": 78.8,
            "factorised_self_attention": 77.4,
            "factorised_dot_product": 76.3,
        },
        K400,
    ),
    "initialisation": Reported(
        "Tokens, and where the weights start",
        "Table 1",
        "Central frame leads, a random embedding is last.",
        {
            "uniform_frames": 78.5,
            "tubelet_random": 73.2,
            "filter_inflation": 77.6,
            "central_frame": 79.2,
        },
        K400,
    ),
    "orders": Reported(
        "Model 3: which attention comes first?",
        "section 3.3.3",
        "The order makes no difference.",
    ),
    "temporal_depth": Reported(
        "Model 2: how many temporal blocks?",
        "Table 3",
        "One block gives nearly all that there is to gain.",
        {"depth_0": 75.8, "depth_1": 78.6, "depth_4": 78.8},
        K400,
    ),
    "regularisation": Reported(
        "Few clips: what helps against learning by heart?",
        "Table 4",
        "Each step adds something, label smoothing (after RandAugment) most.",
        {
            "nothing": 38.4,
            "start": 39.6,
            "start_drop": 40.2,
            "start_drop_smooth": 43.1,
            "start_drop_smooth_mix": 43.7,
        },
        "EPIC-Kitchens action",
    ),
    "tubelet_length": Reported(
        "How many frames should a tubelet span?",
        "section 4.2",
        "Shorter tubelets do better, and cost more.",
    ),
    "tubelet_size": Reported(
        "How many pixels should a tubelet span?",
        "section 4.2",
        "More tokens do better, and cost more.",
    ),
    "crop": Reported(
        "How large should the crop be?",
        "section 4.2",
        "Larger crops do better, and cost more.",
    ),
    "frames": Reported(
        "How many frames should a clip have?",
        "section 4.2",
        "More frames do better, with several views less so.",
    ),
}


@dataclass(frozen=True)
class Agreement:
    """Pairs of arms that the paper ranks, and what our seeds say of them.

    Example:
        >>> print(Agreement(same=4, other=1, open=5))
        Of 10 pairs that the paper ranks, 4 come out the same way, 1 the other way, and 5 lie \
within the spread of the seeds.
    """

    same: int
    other: int
    open: int

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return self.same + self.other + self.open

    def __str__(self) -> str:
        if not self.pairs:
            return "The paper gives no figures to rank here, only a sentence."
        pairs = "1 pair" if self.pairs == 1 else f"{self.pairs} pairs"
        return (
            f"Of {pairs} that the paper ranks, {self.same} come out the same way, {self.other} "
            f"the other way, and {self.open} lie within the spread of the seeds."
        )


def agreement(study: str, results: Sequence[Result]) -> Agreement:
    """Compare two arms at a time: is the better one of the paper the better one here?

    Two arms differ where their seeds do not overlap: the worst of one is above the best of the
    other. With three seeds that happens by chance to one pair in ten that are really equal.

    Example:
        >>> agreement("orders", []).pairs
        0
    """
    spreads = spread_by_arm(results)
    figures = REPORTED[study].figures
    same = other = undecided = 0
    for a, b in combinations([arm for arm in figures if arm in spreads], 2):
        high, low = (a, b) if figures[a] > figures[b] else (b, a)
        if spreads[high].low > spreads[low].high:
            same += 1
        elif spreads[low].low > spreads[high].high:
            other += 1
        else:
            undecided += 1
    return Agreement(same, other, undecided)


def spread_by_arm(results: Sequence[Result], measure: str = "top1") -> dict[str, Spread]:
    """Mean and range over the seeds of each arm, in the order in which the arms come.

    measure: "top1", "shuffled" or "reversed".

    Example:
        >>> spread_by_arm([])
        {}
    """
    values: dict[str, list[float]] = {}
    for result in results:
        values.setdefault(result.arm, []).append(getattr(result, measure))
    return {arm: Spread.of(each) for arm, each in values.items()}


def table_of(study: str, measures: Sequence[str] = ("top1",)) -> str:
    """The stored results of a study as text: mean and range over the seeds, cost, the paper.

    measures: of "top1", "shuffled", "reversed". Raises as `load_results` does.

    Example:
        >>> table_of("orders").splitlines()[1].split()[:3]
        ['Space,', 'then', 'time']
    """
    results, paper = load_results(study), REPORTED[study]
    columns = [spread_by_arm(results, measure) for measure in measures]
    seeds = len({result.seed for result in results})
    heading = "".join(f"{measure:>22}" for measure in measures)
    reported = f"   {paper.where}" if paper.figures else ""
    lines = [f"{f'{seeds} seeds: mean (range)':36}{heading}    MMACs{reported}"]
    for arm in STUDIES[study]:
        macs = next((each.macs for each in results if each.arm == arm.name), None)
        if macs is None:
            continue
        shares = "".join(f"{column[arm.name]!s:>22}" for column in columns)
        figure = paper.figures.get(arm.name)
        beside = "" if figure is None else f"   {figure:.1f}"
        lines.append(f"{arm.title:36}{shares}{macs / 1e6:9.1f}{beside}")
    if paper.figures:
        lines.append(f"{paper.where}: {paper.measure} in %, as reported in the paper")
    return "\n".join(lines)

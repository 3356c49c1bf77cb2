"""The stored runs of notebook 07's exercise show what the exercise says of them."""

import json
import math
from statistics import fmean

from vivit_lab.data.samples import ASSETS
from vivit_lab.lessons.exercises.fine_tuning import RIGHT, WHY_NOT, failing_runs

STORED = json.loads((ASSETS / "runs" / "failing.json").read_text())
GUESSING = math.log(4)


def test_the_learner_sees_complete_runs_of_the_same_length_and_not_their_faults():
    assert {letter: STORED[letter]["fault"] for letter in RIGHT} == RIGHT
    assert set(RIGHT.values()) == set(WHY_NOT)
    for letter, run in STORED.items():
        assert len(run["loss"]) == 128, letter
        assert len(run["training"]) == len(run["validation"]) == 128 * 32 // run["clips"], letter
    shown = {each: {k: v for k, v in STORED[each].items() if k != "fault"} for each in RIGHT}
    assert failing_runs() == shown and set(shown["A"]) == {
        "clips",
        "loss",
        "training",
        "validation",
    }


def test_each_fault_is_to_be_seen():
    a, b, c, d, e, f = (STORED[letter] for letter in "ABCDEF")
    ends = {letter: (run["training"][-1], run["validation"][-1]) for letter, run in STORED.items()}
    # A: labels without meaning are learnt by heart at most
    assert ends["A"][0] > 0.9 and 0.1 < ends["A"][1] < 0.4 and max(a["validation"]) < 0.45
    # B is sound. So is G: pixels of another range did no harm, which surprised people
    assert min(*ends["B"], *ends["G"]) > 0.95
    # C: too high a rate jumps, and never gets below guessing
    assert max(c["loss"]) > 1.2 * GUESSING > 1.02 * max(e["loss"])
    assert fmean(c["loss"][16:]) > GUESSING and ends["C"][1] < 0.35
    # D: too few clips leave a gap
    assert d["clips"] < b["clips"] / 10
    assert ends["D"][0] > 0.97 and 0.35 < ends["D"][1] < ends["B"][1] - 0.05
    # E: too low a rate is slow and smooth
    assert max(e["loss"]) < 1.1 * GUESSING and 0.5 < fmean(e["loss"][-8:]) < e["loss"][0]
    assert ends["E"][0] < 0.9 and abs(ends["E"][0] - ends["E"][1]) < 0.05
    # F: another order leaves whole classes wrong, of which training knows nothing
    assert f["training"] == b["training"] and abs(ends["F"][1] - 0.5) < 0.04

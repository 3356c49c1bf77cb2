"""The stored runs of notebook 07's exercise show what the exercise says of them."""

import json
import math

from vivit_lab.data.samples import ASSETS
from vivit_lab.lessons.exercises.fine_tuning import FAULTS, RIGHT, WHY_NOT, failing_runs

STORED = json.loads((ASSETS / "runs" / "failing.json").read_text())
GUESSING = math.log(4)


def ends(letter: str, what: str) -> float:
    return STORED[letter][what][-1]


def test_the_answer_is_what_was_done_to_each_run():
    assert {letter: STORED[letter]["fault"] for letter in RIGHT} == RIGHT
    assert set(FAULTS) == set(RIGHT.values()) == set(WHY_NOT)


def test_the_learner_sees_the_runs_and_not_their_faults():
    shown = failing_runs()
    assert list(shown) == list(RIGHT)
    for letter, run in shown.items():
        assert set(run) == {"clips", "loss", "training", "validation"}
        assert run == {name: value for name, value in STORED[letter].items() if name != "fault"}


def test_all_are_complete_runs_of_the_same_length():
    for letter, run in STORED.items():
        assert len(run["loss"]) == 128, letter
        assert len(run["training"]) == len(run["validation"]) == 128 * 32 // run["clips"], letter


def test_labels_without_meaning_are_learnt_by_heart_at_most():
    assert ends("A", "training") > 0.9
    assert max(STORED["A"]["validation"]) < 0.45 and 0.1 < ends("A", "validation") < 0.4


def test_the_sound_run_is_sound():
    assert ends("B", "training") > 0.95 and ends("B", "validation") > 0.95


def test_too_high_a_rate_jumps_and_never_gets_below_guessing():
    losses = STORED["C"]["loss"]
    assert max(losses) > 1.2 * GUESSING > 1.02 * max(STORED["E"]["loss"])
    assert sum(losses[16:]) / len(losses[16:]) > GUESSING and ends("C", "validation") < 0.35


def test_too_few_clips_leave_a_gap():
    assert STORED["D"]["clips"] < STORED["B"]["clips"] / 10
    assert ends("D", "training") > 0.97
    assert 0.35 < ends("D", "validation") < ends("B", "validation") - 0.05


def test_too_low_a_rate_is_slow_and_smooth():
    losses, training = STORED["E"]["loss"], ends("E", "training")
    assert max(losses) < 1.1 * GUESSING and 0.5 < sum(losses[-8:]) / 8 < losses[0]
    assert training < 0.9 and abs(training - ends("E", "validation")) < 0.05


def test_another_order_leaves_whole_classes_wrong():
    assert STORED["F"]["training"] == STORED["B"]["training"]  # training knows nothing of it
    assert abs(ends("F", "validation") - 0.5) < 0.04


def test_pixels_of_another_range_did_no_harm():
    """What the notebook says surprised people."""
    assert ends("G", "training") > 0.95 and ends("G", "validation") > 0.95

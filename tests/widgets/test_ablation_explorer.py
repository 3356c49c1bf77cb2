"""The ablation explorer, driven without a browser, on stored and on made-up results."""

import dataclasses
import json

import numpy as np
import pytest
from written import check_readable, is_shown, written

from vivit_lab.lessons.studies import REPORTED, STUDIES, Arm, Result, load_results, settings
from vivit_lab.widgets import AblationExplorer
from vivit_lab.widgets import ablation_explorer as module
from vivit_lab.widgets.ablation_explorer import EVERY, MEASURES, AblationState, draw
from vivit_lab.widgets.canvas import Canvas


def made_up(arm: Arm, seed: int, top1: float) -> Result:
    curve = [{"clips": 2048 * (i + 1), "loss": 1.0, "accuracy": top1 * i / 2} for i in range(3)]
    history = [{"epoch": i + 1, "loss": 1, "accuracy": top1, "validation": top1} for i in range(3)]
    return Result(
        arm=arm.name, seed=seed, top1=top1, shuffled=top1 / 2, reversed=0.01,
        per_class=(top1,) * 8, macs=10**7, params=10**5, seconds=1.0, cpu_seconds=1.0,
        history=history, curve=curve, settings=settings(arm), versions={},
    )  # fmt: skip


def state(*accuracies: float, study: str = "orders", **rest) -> AblationState:
    """Every arm of a study with these accuracies, a seed each."""
    results = [
        made_up(arm, seed, accuracy)
        for arm in STUDIES[study]
        for seed, accuracy in enumerate(accuracies)
    ]
    return AblationState(study, tuple(results), **rest)


def words_of(explored: AblationState) -> list[str]:
    with written() as lines:
        draw(explored)
    return [line.words for line in lines]


def test_all_stored_studies_are_offered_by_their_question_and_shown():
    explorer = AblationExplorer()
    assert list(explorer.study.options) == [REPORTED[name].question for name in STUDIES]
    for question, (name, _) in explorer.studies.items():
        explorer.study.value = question
        assert explorer.state().study == name
        assert list(explorer.state().results) == load_results(name)
        assert is_shown(explorer)
        assert len(explorer.still().data) < 110_000


def test_another_study_offers_its_own_arms_and_lights_them_all():
    explorer = AblationExplorer("four_models")
    explorer.arm.value = "Model 1: joint"
    explorer.study.value = REPORTED["temporal_depth"].question
    assert explorer.arm.value == EVERY
    titles = [arm.title for arm in STUDIES["temporal_depth"]]
    assert list(explorer.arm.options) == [EVERY, *titles]


def test_the_words_are_the_figures_and_the_papers_stand_beside_them():
    words = words_of(state(0.5, 0.75, 0.625))
    assert words.count("62.5") == words.count("50.0-75.0") == words.count("10.0") == 2
    assert "31.2" in words_of(state(0.5, 0.75, 0.625, measure="shuffled"))
    with written() as lines:
        draw(state(0.9, 0.8, study="temporal_depth"))
    ends = {line.words: line.right for line in lines}
    figures = [f"{figure:.1f}" for figure in REPORTED["temporal_depth"].figures.values()]
    assert {*figures, "–"} <= set(ends)  # the dash: depth 2, of which the paper says nothing
    assert any("As reported in the paper" in line for line in ends)
    for heading, below in (
        ("and range", "80.0-90.0"),
        ("a clip", "10.0"),
        ("reported", figures[0]),
    ):
        assert abs(ends[heading] - ends[below]) <= 2, heading  # figures end below their headings


def test_the_plots_show_means_and_seeds_where_they_belong(monkeypatch):
    """Held-out clips after each epoch, the line of training, and accuracy against cost."""
    first, second = STUDIES["orders"]
    results = []
    for arm, macs in ((first, 10**7), (second, 15 * 10**6)):
        for seed, top1 in enumerate((0.5, 0.7)):
            result = made_up(arm, seed, top1)
            history = [each | {"validation": top1 * each["epoch"] / 3} for each in result.history]
            results.append(dataclasses.replace(result, macs=macs, history=history))
    explored, dots, lines = AblationState("orders", tuple(results)), {}, {}

    def noted(canvas, points, colour, *rest):
        dots.setdefault(colour, []).append(np.array(points))

    with monkeypatch.context() as patch:
        patch.setattr(Canvas, "dots", lambda canvas, *a, **k: noted(canvas, *a))
        patch.setattr(
            Canvas, "curve", lambda canvas, points, colour, *a: lines.update({colour: points})
        )
        draw(explored)
    canvas = Canvas(module.WIDTH, module.HEIGHT)
    learned = explored.plot(canvas, module.CURVES, 3 * 2048, 0)
    costs = explored.plot(canvas, module.COSTS, 16, 0.4)
    for arm, cost in ((first, 10), (second, 15)):
        seeds, held_out, by_cost = dots[explored.colour(arm)]
        assert np.allclose(np.diff(seeds[:, 0]), 340 * 0.2 / 0.6)
        assert np.allclose(held_out, learned.place([2048, 4096, 6144], [0.2, 0.4, 0.6]))
        assert np.allclose(by_cost, costs.place([cost, cost], [0.5, 0.7]))
        line = learned.place([2048, 4096, 6144], [0, 0.3, 0.6])
        assert np.allclose(lines[explored.colour(arm)], line)


def test_one_arm_in_the_light_makes_the_others_pale():
    lit, other = STUDIES["orders"]
    plain, explored = state(0.5), state(0.5, arm=lit.title)
    assert explored.colour(lit) == plain.colour(lit)
    assert explored.colour(other) != plain.colour(other)


def test_an_arm_without_results_is_left_out():
    first = STUDIES["orders"][0]
    explored = AblationState("orders", tuple(state(0.5, 0.6).of(first)))
    assert explored.arms == [first]
    draw(explored)


@pytest.mark.parametrize("accuracies", [(0.0,), (1.0, 1.0), (0.05, 0.99, 0.5), (0.996, 1.0)])
def test_no_text_leaves_the_card_and_no_dot_its_axis(monkeypatch, accuracies):
    dots = Canvas.dots

    def inside(canvas, points, colour, radius, edge=0):
        assert len(points) == len(accuracies) or len(points) == 3  # none was cut off
        assert all(radius <= x <= module.WIDTH - radius for x, _ in points)
        dots(canvas, points, colour, radius, edge)

    monkeypatch.setattr(Canvas, "dots", inside)
    for measure in MEASURES:
        for name in STUDIES:
            with written() as lines:
                draw(state(*accuracies, study=name, measure=measure))
            check_readable(lines, module.WIDTH, module.HEIGHT)


def test_only_what_is_stored_is_offered_and_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"orders\.json"):
        AblationExplorer("orders", folder=tmp_path)
    with pytest.raises(ValueError, match="Did you mean 'orders'"):
        AblationExplorer("order")
    results = [result.to_dict() for result in state(0.5, 0.6).results]
    (tmp_path / "orders.json").write_text(json.dumps({"results": results}))
    explorer = AblationExplorer("orders", folder=tmp_path)
    assert list(explorer.study.options) == [REPORTED["orders"].question]
    assert is_shown(explorer)


def test_what_agrees_with_the_paper_is_said_of_frames_in_order_only():
    for measure in MEASURES:
        words = words_of(state(0.7, 0.8, study="four_models", measure=measure))
        assert any("that the paper ranks" in line for line in words) == (measure == "in order")

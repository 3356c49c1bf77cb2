"""The ablation explorer, driven without a browser, on stored and on made-up results."""

import dataclasses
import json
from collections import defaultdict

import numpy as np
import pytest
from written import check_readable, is_shown, written

from vivit_lab.lessons.studies import REPORTED, STUDIES, Arm, Result, load_results, settings
from vivit_lab.widgets import AblationExplorer
from vivit_lab.widgets import ablation_explorer as module
from vivit_lab.widgets.ablation_explorer import EVERY, MEASURES, AblationState, draw
from vivit_lab.widgets.canvas import Canvas


def made_up(arm: Arm, seed: int, top1: float, macs: int = 10**7) -> Result:
    curve = [{"clips": 2048 * (i + 1), "loss": 1.0, "accuracy": top1 * i / 2} for i in range(3)]
    history = [
        {"epoch": i, "loss": 1, "accuracy": 1, "validation": top1 * i / 3} for i in (1, 2, 3)
    ]
    return Result(
        arm=arm.name, seed=seed, top1=top1, shuffled=top1 / 2, reversed=0.01,
        per_class=(top1,) * 8, macs=macs, params=10**5, seconds=1.0, cpu_seconds=1.0,
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


def words_of(explored: AblationState) -> dict[str, int]:
    """The words of a picture, and where they end; all can be read."""
    with written() as lines:
        draw(explored)
    check_readable(lines, module.WIDTH, module.HEIGHT)
    return {line.words: line.right for line in lines}


@pytest.fixture
def drawn(monkeypatch) -> tuple[dict, dict]:
    """What is drawn in each colour: the points of each call, of dots and of curves."""
    found = {name: defaultdict(list) for name in ("dots", "curve")}
    for name, points_of in found.items():
        monkeypatch.setattr(
            Canvas, name, lambda _, points, colour, *a, of=points_of, **k: of[colour].append(points)
        )
    return found["dots"], found["curve"]


def test_all_stored_studies_are_offered_by_their_question_and_light_all_their_arms():
    explorer = AblationExplorer()
    explorer.arm.value = "Model 1: joint"
    assert list(explorer.study.options) == [REPORTED[name].question for name in STUDIES]
    for question, (name, _) in reversed(explorer.studies.items()):
        explorer.study.value = question
        assert list(explorer.state().results) == load_results(name)
        assert explorer.arm.value == EVERY
        assert list(explorer.arm.options) == [EVERY, *(arm.title for arm in STUDIES[name])]
        assert is_shown(explorer)
        assert len(explorer.still().data) < 110_000
        explorer.arm.value = explorer.arm.options[1]


def test_the_words_are_the_figures_and_the_papers_stand_beside_them():
    assert "31.2" in words_of(state(0.5, 0.75, 0.625, measure="shuffled"))
    ends = words_of(state(0.5, 0.75, 0.625, study="temporal_depth"))
    figures = list(map(str, REPORTED["temporal_depth"].figures.values()))
    assert {"62.5", *figures, "not on file"} <= set(ends)  # the paper has no row of depth 2
    assert "not on file" in words_of(state(0.5, study="orders"))
    assert any("As reported in the paper" in line for line in ends)
    columns = {"range": "50.0-75.0", "a clip": "10.0", "paper, %": figures[0]}
    for heading, below in columns.items():
        assert abs(ends[heading] - ends[below]) <= 2, heading  # figures end below their headings
    for measure in MEASURES:  # what agrees with the paper is said of frames in order only
        words = words_of(state(0.7, 0.8, study="four_models", measure=measure))
        assert any("that the paper ranks" in line for line in words) == (measure == "in order")


def test_the_plots_show_means_and_seeds_where_they_belong(drawn):
    """Held-out clips after each epoch, the line of training, and accuracy against cost."""
    costs = list(zip(STUDIES["orders"], (10, 15), strict=True))
    results = [
        made_up(arm, seed, top1, 10**6 * cost)
        for arm, cost in costs
        for seed, top1 in enumerate((0.5, 0.7))
    ]
    explored = AblationState("orders", tuple(results))
    draw(explored)
    canvas, clips = Canvas(module.WIDTH, module.HEIGHT), [2048, 4096, 6144]
    learned = explored.plot(canvas, module.CURVES, 3 * 2048, 0)
    priced = explored.plot(canvas, module.COSTS, 16, 0.4)
    for arm, cost in costs:
        seeds, held_out, by_cost = drawn[0][explored.colour(arm)]
        assert np.allclose(np.diff(seeds, axis=0), [(module.DOTS_END - module.DOTS) * 0.2 / 0.6, 0])
        assert np.allclose(held_out, learned.place(clips, [0.2, 0.4, 0.6]))
        assert np.allclose(by_cost, priced.place([cost, cost], [0.5, 0.7]))
        (line,) = drawn[1][explored.colour(arm)]
        assert np.allclose(line, learned.place(clips, [0, 0.3, 0.6]))


def test_no_text_leaves_the_card_and_no_dot_its_axis(drawn):
    for accuracies in ((0.0,), (1.0, 1.0), (0.05, 0.99, 0.5), (0.93, 1.0)):
        for measure in MEASURES:
            for name in STUDIES:
                words_of(state(*accuracies, study=name, measure=measure))
        for points in (each for calls in drawn[0].values() for each in calls):
            assert len(points) in (len(accuracies), 3)  # none was cut off
            assert all(4 <= x <= module.WIDTH - 4 for x, _ in points)
        drawn[0].clear()


def test_other_arms_become_pale_and_one_without_results_is_left_out():
    lit, other = STUDIES["orders"]
    plain, explored = state(0.5), state(0.5, arm=lit.title)
    assert explored.colour(lit) == plain.colour(lit)
    assert explored.colour(other) != plain.colour(other)
    alone = dataclasses.replace(plain, results=tuple(plain.of(lit)))
    assert alone.arms == [lit]
    words_of(alone)


def test_an_arm_is_pressed_in_its_row_its_curve_and_its_dots_and_again_for_all():
    explorer = AblationExplorer("initialisation")
    results = load_results("initialisation")
    for measure, field in MEASURES.items():
        explorer.measure.value = measure
        regions = explorer.picture.scene["regions"]
        for arm in STUDIES["initialisation"]:
            own = [region for region in regions if region["at"]["arm"] == arm.title]
            runs = [result for result in results if result.arm == arm.name]
            figures = [f"seed {run.seed}: {100 * getattr(run, field):.2f} %" for run in runs]
            rows = [region for region in own if region["box"][2] > 800]
            curves = [region for region in own if "levels" in region and "dots" not in region]
            dots, held = (
                [region for region in own if region.get("across", [""])[0] == name]
                for name in ("seed", "epoch")
            )
            assert (len(rows), len(curves), len(dots), len(held)) == (1, 1, 2, 1)
            assert "\n".join(figures) in rows[0]["says"]
            for dot in dots:
                seeds = zip(dot["across"][1], dot["values"], strict=True)
                assert [f"seed {seed}: {value} %" for seed, value in seeds] == figures
                assert len(dot["places"]) == len(dot["levels"]) == len(runs)
            ends = f"{100 * np.mean([run.history[-1]['validation'] for run in runs]):.1f}"
            assert held[0]["values"][-1] == ends
            assert all(region["press"] and region["once"] for region in own)
            for region in (rows[0], curves[0], dots[-1]):
                button = {"study": explorer.study.value, "arm": arm.title}
                for at, lit in (
                    (region["at"], arm.title),
                    (button, arm.title),
                    (region["at"], EVERY),
                ):
                    explorer._on_touch({"press": at})
                    assert explorer.arm.value == lit


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

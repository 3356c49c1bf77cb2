"""The ablation explorer, driven without a browser, on stored and on made-up results."""

import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from vivit_lab.lessons.reported import REPORTED
from vivit_lab.lessons.studies import STUDIES, Arm, Result, load_results, settings
from vivit_lab.widgets import AblationExplorer
from vivit_lab.widgets import ablation_explorer as module
from vivit_lab.widgets.ablation_explorer import EVERY, MEASURES, AblationState, draw

every_study = pytest.mark.parametrize("name", STUDIES)


def pixels(explorer) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(explorer.picture.value))).astype(int)


def is_shown(explorer) -> bool:
    return explorer.picture.layout.display is None and explorer.message.value == ""


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


def written(monkeypatch, explored: AblationState) -> list[str]:
    """All words in the picture."""
    words = []
    original = module.Canvas.text
    monkeypatch.setattr(
        module.Canvas, "text", lambda self, x, y, text, *a, **k: words.append(text)
        or original(self, x, y, text, *a, **k)
    )  # fmt: skip
    draw(explored)
    return words


@every_study
def test_every_study_opens_and_redraws_to_the_same_picture(name):
    explorer = AblationExplorer(name)
    assert is_shown(explorer)
    assert pixels(explorer).shape == (explorer.height, explorer.width, 3)
    assert AblationExplorer(name).picture.value == explorer.picture.value
    assert len(explorer.still().data) < 110_000


def test_all_stored_studies_are_offered_by_their_question():
    explorer = AblationExplorer()
    assert list(explorer.study.options) == [REPORTED[name].question for name in STUDIES]
    for question, (name, _) in explorer.studies.items():
        explorer.study.value = question
        assert explorer.state().study == name
        assert list(explorer.state().results) == load_results(name)
        assert is_shown(explorer)


def test_every_choice_changes_the_picture():
    explorer = AblationExplorer("four_models")
    seen = {explorer.picture.value}
    for control, value in (
        (explorer.measure, "shuffled"),
        (explorer.measure, "backwards"),
        (explorer.arm, explorer.arm.options[3]),
        (explorer.study, REPORTED["orders"].question),
    ):
        control.value = value
        assert is_shown(explorer)
        seen.add(explorer.picture.value)
    assert len(seen) == 5


def test_another_study_offers_its_own_arms_and_lights_them_all():
    explorer = AblationExplorer("four_models")
    explorer.arm.value = "Model 1: joint"
    explorer.study.value = REPORTED["temporal_depth"].question
    assert explorer.arm.value == EVERY
    titles = [arm.title for arm in STUDIES["temporal_depth"]]
    assert list(explorer.arm.options) == [EVERY, *titles]


def test_the_words_are_the_figures(monkeypatch):
    words = written(monkeypatch, state(0.5, 0.75, 0.625))
    assert words.count("62.5") == 2
    assert words.count("50.0-75.0") == 2
    assert words.count("10.0") == 2  # MMACs
    halved = written(monkeypatch, state(0.5, 0.75, 0.625, measure="shuffled"))
    assert "31.2" in halved


def test_the_papers_figures_stand_beside_their_arms(monkeypatch):
    words = written(monkeypatch, state(0.9, 0.8, study="temporal_depth"))
    for figure in REPORTED["temporal_depth"].figures.values():
        assert f"{figure:.1f}" in words
    assert "–" in words  # depth 2, of which the paper says nothing
    assert any("As reported in the paper" in line for line in words)


def test_figures_stand_below_their_headings(monkeypatch):
    places = {}
    monkeypatch.setattr(
        module.Canvas, "text", lambda self, x, y, words, *a, **k: places.setdefault(words, x)
    )
    draw(state(0.9, 0.8, study="temporal_depth"))
    figure = next(iter(REPORTED["temporal_depth"].figures.values()))
    for heading, words in (("and range", "80.0-90.0"), ("MMACs", "10.0"), ("reported", figure)):
        words = words if isinstance(words, str) else f"{words:.1f}"
        assert places[heading] == places[words], heading


def test_the_plots_show_means_and_seeds_where_they_belong(monkeypatch):
    """Held-out clips after each epoch, the line of training, and accuracy against cost."""
    first, second = STUDIES["orders"]
    results = []
    for arm, macs in ((first, 10**7), (second, 15 * 10**6)):
        for seed, top1 in enumerate((0.5, 0.7)):
            result = made_up(arm, seed, top1)
            history = [each | {"validation": top1 * each["epoch"] / 3} for each in result.history]
            results.append(dataclasses.replace(result, macs=macs, history=history))
    explored = AblationState("orders", tuple(results))
    dots, lines = [], {}
    monkeypatch.setattr(
        module.Canvas, "box",
        lambda self, x, y, width, height, fill=None, **k: dots.append((x + 4, y + 4, fill))
        if width == height == 8 else None,
    )  # fmt: skip
    monkeypatch.setattr(
        module.Canvas, "line", lambda self, points, colour, *a: lines.setdefault(colour, points)
    )
    draw(explored)
    for arm, cost in ((first, 10 / 16), (second, 15 / 16)):
        colour = explored.colour(arm)
        left, wide = module.CURVES, module.CURVES_END - module.CURVES
        wanted = [(left + wide * k / 3, explored.height(0.6 * k / 3)) for k in (1, 2, 3)]
        x = module.COSTS + (module.COSTS_END - module.COSTS) * cost
        wanted += [(x, explored.height((top1 - 0.4) / 0.6)) for top1 in (0.5, 0.7)]
        found = [(x, y) for x, y, fill in dots if fill == colour]
        assert np.allclose(found, wanted)
        line = [(left + wide * (k + 1) / 3, explored.height(0.6 * k / 2)) for k in range(3)]
        assert np.allclose(lines[colour], line)


def test_one_arm_in_the_light_makes_the_others_pale():
    lit, other = STUDIES["orders"]
    plain, explored = state(0.5), state(0.5, arm=lit.title)
    assert explored.colour(lit) == plain.colour(lit)
    assert explored.colour(other) != plain.colour(other)


def test_an_arm_without_results_is_left_out():
    whole = state(0.5, 0.6)
    first = STUDIES["orders"][0]
    explored = AblationState("orders", tuple(whole.of(first)))
    assert explored.arms == [first]
    draw(explored)


@pytest.mark.parametrize("accuracies", [(0.0,), (1.0, 1.0), (0.05, 0.99, 0.5), (0.996, 1.0)])
@pytest.mark.parametrize("measure", MEASURES)
def test_no_text_leaves_the_card_and_no_dot_its_axis(monkeypatch, accuracies, measure):
    edges = []
    monkeypatch.setattr(
        module.Canvas, "box",
        lambda self, x, y, width, height, **k: edges.append((x, y, x + width, y + height)),
    )  # fmt: skip
    texts = []
    original = module.Canvas.text

    def text(self, x, y, words, size=13, colour=module.INK, bold=False, anchor="la"):
        original(self, x, y, words, size, colour, bold, anchor)
        from vivit_lab.widgets.canvas import _font

        left, top, right, bottom = _font(size, bold).getbbox(words, anchor=anchor)
        texts.append((x + left, y + top, x + right, y + bottom, words))

    monkeypatch.setattr(module.Canvas, "text", text)
    for name in STUDIES:
        edges.clear()
        texts.clear()
        draw(state(*accuracies, study=name, measure=measure))
        assert min(x for x, *_ in edges) >= 0
        assert max(right for _, _, right, _ in edges) <= module.WIDTH
        for left, top, right, bottom, words in texts:
            assert left >= 0 and right <= module.WIDTH, words
            assert top >= 0 and bottom <= module.HEIGHT, words
        for i, (left, top, right, bottom, words) in enumerate(texts):
            for other in texts[i + 1 :]:
                apart = right <= other[0] or other[2] <= left or bottom <= other[1]
                assert apart or other[3] <= top, (name, words, other[4])


def test_only_what_is_stored_is_offered_and_trouble_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="study orders"):
        AblationExplorer("orders", folder=tmp_path)
    with pytest.raises(ValueError, match="Did you mean 'orders'"):
        AblationExplorer("order")
    results = [result.to_dict() for result in state(0.5, 0.6).results]
    (tmp_path / "orders.json").write_text(json.dumps({"results": results}))
    explorer = AblationExplorer("orders", folder=tmp_path)
    assert list(explorer.study.options) == [REPORTED["orders"].question]
    assert is_shown(explorer)


@pytest.mark.parametrize("measure", MEASURES)
def test_what_agrees_with_the_paper_is_said_of_frames_in_order_only(monkeypatch, measure):
    words = written(monkeypatch, state(0.7, 0.8, study="four_models", measure=measure))
    assert any("that the paper ranks" in line for line in words) == (measure == "in order")

"""The cost explorer, driven without a browser."""

import itertools

import numpy as np
import pytest
from written import check_readable, is_shown, written

from vivit_lab.analysis import Machine, cost, count_flops
from vivit_lab.models import ViViTConfig
from vivit_lab.models.config import SIZES
from vivit_lab.widgets import CostExplorer, cost_explorer
from vivit_lab.widgets.cost_explorer import AXES, COUNTERS, NAMES, CostState, flips


def test_only_legal_values_can_be_chosen_whatever_moves_and_extremes_can_be_drawn():
    explorer, sizes, axes = CostExplorer(), itertools.cycle(SIZES), itertools.cycle(AXES)
    for frames, side in itertools.product((2, 12, 128, 18, 64), (64, 448, 112, 320)):
        explorer.size.value = next(sizes)
        explorer.frames.value, explorer.image_size.value = frames, side
        for end in (0, -1):
            for slider in (explorer.t, explorer.patch, explorer.batch):
                slider.value = slider.options[end]
            explorer.axis.value = next(axes)
            with written() as lines:
                explorer.refresh()
            check_readable(lines, explorer.width, explorer.height)
            state = explorer.state()
            assert len({config.tokens for config in state.configs()}) == 1
            for axis, name in AXES.items():
                assert getattr(state, name) in state.legal(axis)
                for value in state.legal(axis):  # all are checked by ViViTConfig itself
                    state.at(axis, value).configs()
    assert is_shown(CostExplorer(frames=40, image_size=72, t=20, patch=72, size="L"))
    state = CostState(size="L", t=4)
    assert state.name == "ViViT-L/16x4"
    assert state.configs()[1] == ViViTConfig.preset("L/16x4", model="factorised_encoder")


def test_the_counters_show_what_each_library_says():
    """The naive one is what fvcore says of the models as they run."""
    for config in CostState(frames=4, image_size=64, size="Ti").configs():
        for counter in ("closed form", "fvcore", "torch"):
            parts = cost_explorer._parts(config, COUNTERS[counter])
            assert parts == cost_explorer._parts(config, "closed_form")
        fvcore = count_flops(config, counter="fvcore", as_run=True, naive=True)
        assert cost_explorer._parts(config, "naive") == fvcore.by_part


def test_the_library_counters_wait_until_a_slider_is_let_go():
    explorer = CostExplorer(frames=2, size="Ti")
    for counter in ("torch", "closed form"):
        explorer.counter.value = counter
        assert explorer.frames.continuous_update == (counter == "closed form")


@pytest.mark.parametrize("axis", AXES)
def test_ranks_flip_where_it_says(axis):
    state = CostState(axis=axis)
    values, found = state.legal(axis), flips(state)
    assert found
    for words in found:
        first, rest = words.split(" above ")
        second, place = rest.split(f" from {axis} = ")
        a, b = map(NAMES.index, (first, second))
        here = values.index(int(place))
        for value, passed in ((values[here - 1], False), (values[here], True)):
            configs = state.at(axis, value).configs()
            counts = [count_flops(configs[i], counter="closed_form").macs for i in (a, b)]
            assert (counts[0] > counts[1]) == passed


def test_the_button_measures_and_predicts_with_it(monkeypatch):
    explorer, machine = CostExplorer(), Machine("a snail (slow)", 1e6, 1e6, 1e6, 1.0)
    monkeypatch.setattr(cost_explorer, "calibrate", lambda: machine)
    before = explorer.picture.value
    explorer.button.click()
    assert explorer.state().machine is machine
    assert explorer.picture.value != before and not explorer.button.disabled


@pytest.mark.parametrize("axis", AXES)
def test_curves_say_what_their_points_cost_at_true_distances_and_can_be_pressed(axis):
    explorer, name = CostExplorer(size="S"), AXES[axis]
    explorer.axis.value = axis
    control, start, regions = (
        getattr(explorer, name),
        explorer.state(),
        explorer.picture.scene["regions"],
    )
    curves, rates = [each for each in regions if "levels" in each], []
    assert [each["at"]["row"] for each in curves][-1] == start.model  # on top
    for curve in curves:
        row, (axis_name, values) = NAMES.index(curve["at"]["row"]), curve["across"]
        left, top, width, height = np.add(curve["box"], (8, 8, -16, -16))
        assert axis_name == name and values == start.legal(axis)
        assert np.allclose(curve["places"], left + np.divide(values, values[-1]) * width, atol=0.01)
        for value, level, words in zip(values, curve["levels"], curve["values"], strict=True):
            config = start.at(axis, value).configs()[row]
            macs, price = count_flops(config, counter="closed_form").macs, cost(config)
            for exact in (macs, round(macs / config.tokens), config.tokens, price.params):
                assert f"{exact:,} " in words
            rates.append(macs / config.tokens / (top + height - level))
            explorer._on_touch({"press": curve["at"] | {name: value}})
            assert (control.value, explorer.model.value) == (value, start.model)
    assert len(rates) >= 25 and np.allclose(rates, rates[0], rtol=1e-3)  # linear, from 0
    control.value = values[0]
    explorer._on_touch({"key": [0, 1]})
    assert control.value == control.options[1]


def test_a_pressed_bar_makes_its_model_stand_out():
    explorer = CostExplorer()
    for name in (*NAMES[1:], NAMES[0]):
        pieces = [each for each in explorer.picture.scene["regions"] if "part" in each["at"]]
        piece = next(each for each in pieces if each["at"].get("model") == name)
        explorer._on_touch({"press": piece["at"]})
        assert (
            explorer.state().model == name and f"{name} stands out" in explorer.picture.canvas.words
        )
        total = count_flops(explorer.state().configs()[NAMES.index(name)], counter="closed_form")
        assert any(command[3] == f"{name}: {total.macs:,} MACs" for command
                   in explorer.picture.scene["commands"] if command[0] == "t")  # fmt: skip
    explorer._on_touch({"key": [1, 1]})
    assert explorer.model.value == NAMES[1]

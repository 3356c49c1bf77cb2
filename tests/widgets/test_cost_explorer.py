"""The cost explorer, driven without a browser."""

import dataclasses

import numpy as np
import pytest
from written import is_shown

from vivit_lab.analysis import Machine, count_flops
from vivit_lab.models import ViViTConfig
from vivit_lab.models.config import SIZES
from vivit_lab.widgets import CostExplorer, cost_explorer
from vivit_lab.widgets.cost_explorer import COUNTERS, ROWS, CostState, flips


@pytest.fixture
def explorer() -> CostExplorer:
    return CostExplorer()


def test_only_legal_values_can_be_chosen_whatever_moves(explorer):
    for frames in (2, 12, 128, 18, 64):
        explorer.frames.value = frames
        for size in (64, 448, 112, 320):
            explorer.image_size.value = size
            for name in ("Ti", "L"):
                explorer.size.value = name
                assert all(frames % t == 0 for t in explorer.t.options)
                assert all(size % side == 0 for side in explorer.patch.options)
                configs = explorer.state().configs()  # checked by ViViTConfig itself
                assert len({config.tokens for config in configs}) == 1
                assert is_shown(explorer)


def test_extremes_can_be_drawn(explorer):
    for size in SIZES:
        explorer.size.value = size
        for frames, side, t, patch, batch in ((128, 448, 1, 8, 64), (2, 64, 2, 32, 1)):
            explorer.frames.value, explorer.image_size.value = frames, side
            explorer.t.value, explorer.patch.value, explorer.batch.value = t, patch, batch
            for axis in explorer.axis.options if size == "B" else explorer.axis.options[:1]:
                explorer.axis.value = axis
                assert is_shown(explorer)


def test_the_counters_show_what_each_library_says():
    """The naive one is what fvcore says of the models as they run."""
    for config in CostState(frames=4, image_size=64, size="Ti").configs():
        for counter in ("fvcore", "torch"):
            parts = cost_explorer._parts(config, COUNTERS[counter])
            assert parts == cost_explorer._parts(config, "closed_form")
        fvcore = count_flops(config, counter="fvcore", as_run=True, naive=True)
        assert cost_explorer._parts(config, "naive") == fvcore.by_part


def test_the_library_counters_wait_until_a_slider_is_let_go(explorer):
    explorer.frames.value, explorer.size.value = 2, "Ti"
    assert explorer.frames.continuous_update
    explorer.counter.value = "torch"
    assert not explorer.frames.continuous_update
    explorer.counter.value = "closed form"
    assert explorer.frames.continuous_update


def test_to_the_naive_counter_model_1_looks_cheapest():
    def order(counter):
        macs = [cost_explorer._macs(config, counter) for config in CostState().configs()]
        return np.argsort(macs).tolist()

    assert order("closed_form")[-1] == 0
    assert order("naive")[0] == 0
    assert [row[0]["model"] for row in ROWS][0] == "joint"


@pytest.mark.parametrize("axis", ["frames", "tubelet t", "patch", "image size"])
def test_ranks_flip_where_it_says(axis):
    state = CostState(axis=axis)
    values = state.legal(axis)
    found = flips(state)
    assert found
    for words in found:
        first, rest = words.split(" passes ")
        second, place = rest.split(f" at {axis} = ")
        a, b = (next(i for i, row in enumerate(ROWS) if row[1] == n) for n in (first, second))
        here = values.index(int(place))
        for value, passed in ((values[here - 1], False), (values[here], True)):
            configs = state.at(axis, value).configs()
            counts = [count_flops(configs[i], counter="closed_form").macs for i in (a, b)]
            assert (counts[0] > counts[1]) == passed


def test_the_button_measures_and_predicts_with_it(explorer, monkeypatch):
    machine = Machine("a snail (slow)", 1e6, 1e6, 1e6, 1.0)
    monkeypatch.setattr(cost_explorer, "calibrate", lambda: machine)
    before = explorer.picture.value
    explorer.button.click()
    assert explorer.state().machine is machine
    assert explorer.picture.value != before
    assert not explorer.button.disabled


def test_the_state_names_the_model():
    state = dataclasses.replace(CostState(), size="L", t=4)
    assert state.name == "ViViT-L/16x4"
    assert state.configs()[1] == ViViTConfig.preset("L/16x4", model="factorised_encoder")

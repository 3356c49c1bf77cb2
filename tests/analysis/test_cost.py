"""Memory counted against memory measured, and time predicted from rates."""

import functools
import sys
from pathlib import Path

import pytest
import torch

from vivit_lab import ViViTConfig
from vivit_lab.analysis import (
    Machine,
    calibrate,
    closed_form,
    cost,
    count_flops,
    measure_memory,
    measure_time,
)
from vivit_lab.analysis.cost import in_bytes, in_seconds, kept_numbers
from vivit_lab.models import MODELS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from small import small_model

ROWS = [{"model": name} for name in MODELS]
ROWS += [ROWS[0] | {"pooling": "mean"}, ROWS[1] | {"temporal_depth": 0}]
every_row = pytest.mark.parametrize("row", ROWS, ids=str)
WAYS = [{}, {"explicit_attention": True}, {"checkpointing": True}]
BATCH = 2


def base(row: dict, depth: int = 12) -> ViViTConfig:
    return ViViTConfig.preset("B/16x2", depth=depth, **row)


# ---- memory


@every_row
def test_training_memory_is_what_a_dry_run_of_vivit_b_holds(row, record_property):
    config = base(row, depth=5)
    for way in WAYS:
        price = cost(config, batch=BATCH, training=True, **way)
        measured = measure_memory(config, batch=BATCH, training=True, **way)
        kept = 4 * BATCH * kept_numbers(config, **way)[0]
        besides_the_state = price.total_bytes - price.parameter_bytes - price.optimiser_bytes
        assert kept == pytest.approx(measured.kept, rel=0.02)
        assert besides_the_state == pytest.approx(measured.peak, rel=0.15)
        text = f"{besides_the_state / measured.peak - 1:+.1%} of {in_bytes(measured.peak)}"
        record_property("figure", f"training memory {row} {way}: counted is off by {text}")


@every_row
def test_inference_memory_is_what_a_dry_run_of_vivit_b_holds(row):
    config = base(row)
    for way in WAYS[:2]:
        price = cost(config, batch=BATCH, **way)
        measured = measure_memory(config, batch=BATCH, **way)
        assert price.activation_bytes == pytest.approx(measured.peak, rel=0.02)
        assert price.total_bytes == price.parameter_bytes + price.activation_bytes
        assert price.gradient_bytes == price.optimiser_bytes == 0


@pytest.mark.parametrize("name", MODELS)
def test_a_dry_run_holds_what_a_real_one_does(name):
    model = small_model(name)
    for way in WAYS:
        real = measure_memory(model, batch=BATCH, training=True, **way)
        assert measure_memory(model.config, batch=BATCH, training=True, **way) == real
        counted = 4 * BATCH * kept_numbers(model.config, **way)[0]
        assert counted == pytest.approx(real.kept, rel=0.05)


def test_measuring_leaves_the_model_alone():
    model = small_model("joint").eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure_memory(model, training=True, explicit_attention=True, checkpointing=True)
    assert not model.training and not model.grad_checkpointing
    assert all(block.attn.fused for block in model.blocks)
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_saves_memory_and_what_grows_with_the_batch():
    config = base({"model": "joint"})
    plain = cost(config, training=True)
    assert cost(config, training=True, checkpointing=True).total_bytes < 0.7 * plain.total_bytes
    assert cost(config, training=True, dtype="bfloat16").total_bytes == plain.total_bytes / 2
    explicit = cost(config, training=True, explicit_attention=True)
    maps = 11 * 12 * 3137**2 * 4  # the last block needs the class token's row only
    assert explicit.activation_bytes - plain.activation_bytes >= maps
    sgd = cost(config, training=True, optimiser="sgd")
    assert plain.optimiser_bytes == 2 * sgd.optimiser_bytes == 2 * plain.parameter_bytes
    assert plain.gradient_bytes == plain.parameter_bytes == 4 * plain.params
    for row in ROWS:
        one, four = (cost(base(row), batch=b, training=True) for b in (1, 4))
        assert four.activation_bytes == pytest.approx(4 * one.activation_bytes)
        assert (four.parameter_bytes, four.macs) == (one.parameter_bytes, one.macs)


# ---- work and time


def test_macs_are_those_that_the_counters_see():
    for row in ROWS:
        price = cost(base(row), views=12)
        assert price.macs == count_flops(base(row), counter="torch", as_run=True).macs
        assert price.macs_per_video == 12 * price.macs
        assert price.seconds is None
    model = small_model("joint")
    assert cost(model).params == sum(p.numel() for p in model.parameters())


def test_time_is_every_work_at_its_rate():
    config = base({"model": "joint"})
    terms = closed_form(config, as_run=True)
    attention = sum(term.macs for term in terms if term.part == "joint attention")
    rest = sum(term.macs for term in terms) - attention
    fast = 1e30

    def seconds(linear=fast, attention=fast, elementwise=fast, block=0.0, **options):
        machine = Machine("test", linear, attention, elementwise, block)
        return cost(config, machine=machine, **options).seconds

    assert seconds(linear=1e9) == pytest.approx(rest / 1e9)
    assert seconds(attention=1e9) == pytest.approx(attention / 1e9)
    assert seconds(block=0.5) == pytest.approx(12 * 0.5)
    assert seconds(elementwise=1e9) > 1
    assert seconds(elementwise=1e9, explicit_attention=True) > 10
    assert seconds(linear=1e9, batch=3) == pytest.approx(3 * rest / 1e9)
    assert seconds(linear=1e9, training=True) == pytest.approx(3 * rest / 1e9)
    assert seconds(linear=1e9, training=True, checkpointing=True) == pytest.approx(4 * rest / 1e9)


def test_this_machine_does_all_kinds_of_work(record_property):
    machine = calibrate()
    assert min(machine.linear, machine.attention, machine.elementwise, machine.block) > 0
    small = {"frames": 4, "image_size": 112, "depth": 4}
    configs = [ViViTConfig.preset("S/16x2", **small, **row) for row in ROWS]
    measured = measure_time(*configs, repeats=1)
    assert min(measured) > 0
    for row, config, seconds in zip(ROWS, configs, measured, strict=True):
        ratio = cost(config, machine=machine).seconds / seconds
        record_property("figure", f"S/16x2 {row}: predicted / measured time {ratio:.2f}")


def test_models_are_timed_in_turns_and_left_as_they_were(monkeypatch):
    models = [small_model("joint").train(), small_model("factorised_encoder").eval()]
    turns = []
    for n, model in enumerate(models):
        noted = functools.partial(lambda n, _: turns.append((n, models[n].training)), n)
        monkeypatch.setattr(model, "forward", noted)
    assert len(measure_time(*models, repeats=2)) == 2
    assert turns == [(0, False), (1, False)] * 3
    assert [model.training for model in models] == [True, False]


# ---- how it reads


def test_it_prints_human_units():
    machine = Machine("test", 1e10, 1e10, 1e9, 0)
    config = base({"model": "joint"})
    text = str(cost(config, views=12, training=True, machine=machine))
    for words in ("419.77 GMACs", "12 views", "5.04 TMACs", "355.82 MB for 88.95 M", "gradients"):
        assert words in text
    assert "a step, predicted" in text and "views" not in str(cost(config))
    price = cost(config, machine=machine)
    assert "gradients" not in str(price) and "a pass, predicted" in price._repr_html_()
    assert [in_bytes(1), in_bytes(2_500), in_bytes(3e9)] == ["1 B", "2.50 kB", "3.00 GB"]
    seconds = {0.0012: "1.20 ms", 0.034: "34 ms", 7.25: "7.2 s", 5400: "1.5 h", 1e7: "116 days"}
    assert {number: in_seconds(number) for number in seconds} == seconds
    assert "MAC/s in linear maps" in str(machine)


def test_bad_input_is_named():
    config = base({"model": "joint"})
    for call, message in [
        (lambda: cost(config, dtype="float16"), "dtype is 'float16'"),
        (lambda: cost(config, optimiser="adam"), "optimiser is 'adam'.*'adamw'"),
        (lambda: cost(config, views=0), "views is 0"),
        (lambda: cost(config, checkpointing=True), "checkpointing is True.*training=True"),
        (lambda: cost("B/16x2"), "not str"),
        (lambda: calibrate("int8"), "dtype is 'int8'"),
        (lambda: measure_time(config, repeats=0), "repeats is 0"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            call()

"""Three counters, one answer: the paper's table, and properties over small models."""

import dataclasses
import sys
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vivit_lab import ViViTConfig, build_model
from vivit_lab.analysis import FlopCount, closed_form, count_flops
from vivit_lab.analysis.flops import COUNTERS, PARTS, count_parameters
from vivit_lab.models import MODELS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from small import SMALL, VARIANTS, small_model

# (model, temporal depth): (GMACs in the paper's table 2, matrix products alone, exact parameters)
PAPER = {
    ("joint", None): (455.2, 451.5, 88_954_000),
    ("factorised_encoder", None): (284.4, 283.3, 115_062_928),
    ("factorised_self_attention", None): (372.3, 371.1, 117_319_312),
    ("factorised_dot_product", None): (277.1, 276.2, 88_952_464),
    ("factorised_encoder", 0): (283.9, 282.9, 86_696_080),
}
# GMACs and parameters of the official code, Model 2
OFFICIAL = {
    ("L/16x2", 4): (990.9, 354_903_440),
    ("L/16x2", 24): (995.2, 606_827_920),
    ("B/16x4", 4): (144.1, 116_236_432),
    ("B/32x2", 4): (73.1, 118_488_976),
}
MORE = {
    "uniform_encoder": {
        "model": "factorised_encoder",
        "tokenizer": "uniform_frames",
        "sampled_frames": 3,
        "tubelet": (1, 8, 8),
    },
    "two_heads": {"model": "factorised_encoder", "num_classes": {"verb": 7, "noun": 11}},
    "one_block": {"model": "joint", "depth": 1},
    "one_temporal_block": {"model": "factorised_encoder", "temporal_depth": 1},
    "grey": {"model": "factorised_dot_product", "in_channels": 1},
    "as_long_as_wide": {"model": "factorised_dot_product", "frames": 24},  # t = s
}
every_variant = pytest.mark.parametrize("variant", [*VARIANTS, *MORE])
every_model = pytest.mark.parametrize("model", MODELS)
every_counter = pytest.mark.parametrize("counter", COUNTERS)
either_way = pytest.mark.parametrize("as_run", [False, True], ids=["paper", "as_run"])


def config_of(variant: str, **overrides) -> ViViTConfig:
    return ViViTConfig(**(SMALL | (VARIANTS | MORE)[variant] | overrides))


@every_counter
@pytest.mark.parametrize("row", PAPER, ids=str)
def test_the_papers_table_2(row, counter, record_property):
    model, temporal_depth = row
    gmacs, products, params = PAPER[row]
    config = ViViTConfig.preset("B/16x2", model=model, temporal_depth=temporal_depth)
    count = count_flops(config, counter=counter)
    assert count.params == params
    assert round(count.macs / 1e9, 1) == products
    assert count.macs / 1e9 == pytest.approx(gmacs, rel=0.01)
    if counter == "closed_form":
        text = f"{count.macs / 1e9:.1f} GMACs of products, the paper says {gmacs}"
        record_property("figure", f"{model}, temporal depth {temporal_depth}: {text}")


@every_counter
@pytest.mark.parametrize("row", OFFICIAL, ids=str)
def test_other_sizes_of_the_official_code(row, counter):
    name, temporal_depth = row
    gmacs, params = OFFICIAL[row]
    config = ViViTConfig.preset(name, model="factorised_encoder", temporal_depth=temporal_depth)
    count = count_flops(config, counter=counter)
    assert count.params == params
    assert count.macs / 1e9 == pytest.approx(gmacs, rel=0.01)


@either_way
@every_variant
def test_the_three_counters_agree_on_every_part(variant, as_run):
    config = config_of(variant)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing in our models is new to a counter
        counts = [count_flops(config, counter=counter, as_run=as_run) for counter in COUNTERS]
    *watched, formula = counts
    for count in watched:
        assert count.by_part == formula.by_part
        assert count.params == formula.params
    assert list(formula.by_part) == [part for part in PARTS if part in formula.by_part]
    assert min(formula.by_part.values()) > 0


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_they_agree_on_models_drawn_at_random(data):
    def draw(*options):
        return data.draw(st.sampled_from(options))

    model = draw(
        "joint", "factorised_encoder", "factorised_self_attention", "factorised_dot_product"
    )
    options = {}
    if model in ("joint", "factorised_encoder"):
        options["pooling"] = draw("cls", "mean")
    if model == "factorised_encoder":
        options["temporal_depth"] = draw(0, 1, 2, 3)
    if model == "factorised_self_attention":
        options["attention_order"] = draw("space_time", "time_space")
    frames, t = draw(2, 4, 6, 12), draw(1, 2, 3)
    assume(frames % t == 0)
    if t == 1 and draw(True, False):
        options |= {"tokenizer": "uniform_frames", "sampled_frames": draw(1, 2)}
    config = ViViTConfig(
        model=model,
        frames=frames,
        image_size=(4 * draw(1, 2, 5), 6 * draw(1, 3)),
        tubelet=(t, 4, 6),
        in_channels=draw(1, 3),
        dim=draw(12, 24),
        heads=draw(2, 6),
        mlp_dim=draw(8, 50),
        depth=draw(1, 2, 4),
        layer_scale=draw(None, 0.1),
        num_classes=draw(3, {"verb": 2, "noun": 5}),
        **options,
    )
    as_run, batch = draw(False, True), draw(1, 3)
    counts = [count_flops(config, counter=c, as_run=as_run, batch=batch) for c in COUNTERS]
    assert counts[0].by_part == counts[1].by_part == counts[2].by_part
    assert len({count.params for count in counts}) == 1
    assert counts[0].params == sum(p.numel() for p in build_model(config).parameters())


@every_variant
def test_parameters_are_those_of_the_model(variant):
    config = config_of(variant)
    with torch.device("meta"):
        model = build_model(config)
    assert count_parameters(config) == sum(p.numel() for p in model.parameters())


@either_way
@every_counter
@every_model
def test_a_model_counts_like_its_configuration_and_stays_as_it_is(model, counter, as_run):
    model = small_model(model).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first_only = [getattr(module, "first_only", None) for module in model.modules()]
    count = count_flops(model, counter=counter, as_run=as_run)
    other = count_flops(model.config, counter="closed_form", as_run=as_run)
    assert (count.by_part, count.params) == (other.by_part, other.params)
    assert model.training
    assert [getattr(module, "first_only", None) for module in model.modules()] == first_only
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("counter", ["fvcore", "torch"])
def test_what_was_added_to_a_model_is_counted_as_other(counter):
    model = small_model("joint")
    plain = count_flops(model, counter=counter)
    model.norm = torch.nn.Sequential(model.norm, torch.nn.Linear(48, 48))
    count = count_flops(model, counter=counter)
    tokens = model.config.tokens + 1
    assert count.by_part == plain.by_part | {"other": tokens * 48 * 48}
    as_run = count_flops(model, counter=counter, as_run=True)
    assert as_run.by_part["other"] == 48 * 48
    assert count.params == plain.params + 48 * 49


def test_fvcore_says_what_it_cannot_count():
    model = small_model("joint")

    class Cumulative(torch.nn.Module):
        def forward(self, x):
            return torch.linalg.matrix_exp(x @ x.transpose(-2, -1)) @ x

    model.norm = Cumulative()
    with pytest.warns(UserWarning, match="linalg_matrix_exp.*too few"):
        count_flops(model, counter="fvcore")


@every_counter
@every_model
def test_a_batch_of_three_costs_three_times_as_much(model, counter):
    one = count_flops(config_of(model), counter=counter)
    three = count_flops(config_of(model), counter=counter, batch=3)
    assert three.by_part == {part: 3 * macs for part, macs in one.by_part.items()}
    assert three.params == one.params


@every_counter
@every_model
def test_a_naive_counter_overlooks_attention_and_nothing_else(model, counter):
    count = count_flops(config_of(model), counter="closed_form")
    naive = count_flops(config_of(model), counter=counter, naive=True)
    attention = {part: 0 for part in count.by_part if part.endswith(" attention")}
    assert attention
    assert naive.by_part == count.by_part | attention


def test_to_a_naive_counter_model_1_looks_cheapest():
    def ranking(**options):
        configs = {
            row: ViViTConfig.preset("B/16x2", model=row[0], temporal_depth=row[1]) for row in PAPER
        }
        macs = {
            r: count_flops(c, counter="closed_form", **options).macs for r, c in configs.items()
        }
        return sorted(macs, key=macs.get)

    assert ranking()[-1] == ("joint", None)
    assert ranking(naive=True, as_run=True)[0] == ("joint", None)


@pytest.mark.parametrize("variant", VARIANTS)
def test_as_run_is_less_only_where_a_class_token_is_read(variant):
    config = config_of(variant)
    whole = count_flops(config, counter="closed_form").macs
    as_run = count_flops(config, counter="closed_form", as_run=True).macs
    assert (as_run < whole) == (config.pooling == "cls")


@pytest.mark.parametrize("variant", VARIANTS)
def test_terms_sum_to_the_parts(variant):
    count = count_flops(config_of(variant), counter="closed_form")
    assert sum(term.macs for term in count.terms) == count.macs == sum(count.by_part.values())
    assert count.flops == 2 * count.macs
    assert {term.section[0] for term in count.terms} == {"3"}


def test_attention_grows_as_the_paper_says():
    def attention(model, **sizes):
        config = config_of("joint", model=model, pooling=None, **sizes)
        config = dataclasses.replace(config, pooling="mean")
        parts = count_flops(config, counter="closed_form").by_part
        return [macs for part, macs in parts.items() if part.endswith(" attention")]

    twice = {"frames": 16}
    assert attention("joint", **twice) == [4 * n for n in attention("joint")]  # (t s)^2
    space, time = attention("factorised_encoder")  # t s^2 + t^2
    assert attention("factorised_encoder", **twice) == [2 * space, 4 * time]
    space, time = attention("factorised_self_attention")  # t s^2 + s t^2
    assert attention("factorised_self_attention", **twice) == [2 * space, 4 * time]
    assert attention("factorised_dot_product") == [space // 2, time // 2]


def test_it_prints_as_a_table_that_says_macs():
    count = count_flops(ViViTConfig.preset("B/16x2"), counter="closed_form")
    lines = str(count).splitlines()
    assert "Model 1" in lines[0]
    assert "counted by closed form" in lines[0]
    assert lines[-2].split() == ["total", "451.52", "GMACs", "100.0", "%"]
    assert "88,954,000 parameters" in lines[-1]
    assert "1 MAC = 2 FLOPs: 903.05 GFLOP" in lines[-1]
    assert count._repr_html_().count("<tr>") == len(count.by_part) + 1


def test_what_is_written_in_a_table_cannot_smuggle_html():
    count = FlopCount("torch", {"<b>": 1}, 1, "<script>")
    assert "<script>" not in count._repr_html_()
    assert "<b>1" not in count._repr_html_()


def test_bad_input_is_named():
    config = config_of("joint")
    with pytest.raises(ValueError, match="counter is 'fvcor'.*Did you mean 'fvcore'"):
        count_flops(config, counter="fvcor")
    with pytest.raises(TypeError, match="takes a ViViTConfig or a ViViT model, not str"):
        count_flops("B/16x2")
    with pytest.raises(ValueError, match="batch is 0"):
        count_flops(config, batch=0)


def test_the_closed_form_is_exact_for_numbers_that_floats_are_not():
    config = ViViTConfig.preset("H/14x2", frames=510, image_size=700)
    macs = sum(term.macs for term in closed_form(config))
    assert macs > 2**53
    assert macs == count_flops(config, counter="torch").macs

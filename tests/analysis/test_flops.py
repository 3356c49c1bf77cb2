"""Three counters, one answer: the paper's table, and properties over small models."""

import dataclasses
import sys
import warnings
from pathlib import Path

import pytest
import torch

from vivit_lab import ViViTConfig, build_model
from vivit_lab.analysis import FlopCount, closed_form, count_flops
from vivit_lab.analysis.flops import ATTENTION, COUNTERS, PARTS
from vivit_lab.models import MODELS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from small import SMALL, VARIANTS, small_model

M1, M2, M3, M4 = MODELS
# preset, model, temporal depth, GMACs and exact parameters: the paper's table 2 and the official
# code; what matrix products alone make, of the paper's rows
OFFICIAL = [
    ("B/16x2", M1, None, 455.2, 88_954_000, 451.5),
    ("B/16x2", M2, None, 284.4, 115_062_928, 283.3),
    ("B/16x2", M3, None, 372.3, 117_319_312, 371.1),
    ("B/16x2", M4, None, 277.1, 88_952_464, 276.2),
    ("B/16x2", M2, 0, 283.9, 86_696_080, 282.9),
    ("L/16x2", M2, 4, 990.9, 354_903_440, None),
    ("L/16x2", M2, 24, 995.2, 606_827_920, None),
    ("B/16x4", M2, 4, 144.1, 116_236_432, None),
    ("B/32x2", M2, 4, 73.1, 118_488_976, None),
]
UNIFORM = {"tokenizer": "uniform_frames", "sampled_frames": 3, "tubelet": (1, 8, 8)}
MORE = {
    "uniform_encoder": {"model": M2} | UNIFORM,
    "one_block": {"model": M1, "depth": 1},
    "one_temporal_block": {"model": M2, "temporal_depth": 1},
    "as_long_as_wide": {"model": M4, "frames": 24},  # t = s
}


def config_of(variant: str, **overrides) -> ViViTConfig:
    return ViViTConfig(**(SMALL | (VARIANTS | MORE)[variant] | overrides))


def closed(config: ViViTConfig, **options) -> FlopCount:
    return count_flops(config, counter="closed_form", **options)


@pytest.mark.parametrize("row", OFFICIAL, ids=str)
def test_the_papers_table_2_and_other_sizes_of_the_official_code(row, record_property):
    preset, model, temporal_depth, gmacs, params, products = row
    config = ViViTConfig.preset(preset, model=model, temporal_depth=temporal_depth)
    for counter in COUNTERS:
        count = count_flops(config, counter=counter)
        assert count.params == params
        assert count.macs / 1e9 == pytest.approx(gmacs, rel=0.01)
        assert products in (None, round(count.macs / 1e9, 1))
    text = f"{count.macs / 1e9:.1f} GMACs of products, the paper says {gmacs}"
    record_property("figure", f"{preset} {model}, temporal depth {temporal_depth}: {text}")


def check_counters(config: ViViTConfig, **options) -> FlopCount:
    """All three agree on every part, and on the parameters of the real model."""
    formula = closed(config, **options)
    assert list(formula.by_part) == [part for part in PARTS if part in formula.by_part]
    assert min(formula.by_part.values()) > 0
    assert sum(term.macs for term in formula.terms) == formula.macs
    assert {term.section[0] for term in formula.terms} == {"3"}
    for counter in ("fvcore", "torch"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # nothing in our models is new to a counter
            count = count_flops(config, counter=counter, **options)
        assert (count.by_part, count.params) == (formula.by_part, formula.params)
    with torch.device("meta"):
        model = build_model(config)
    assert formula.params == sum(p.numel() for p in model.parameters())
    return formula


OTHER_SIZES = {
    "image_size": (40, 24), "in_channels": 1, "dim": 24, "heads": 6, "mlp_dim": 50, "depth": 4,
    "layer_scale": 0.1, "num_classes": {"verb": 2, "noun": 5},
}  # fmt: skip


@pytest.mark.parametrize("variant", [*VARIANTS, *MORE])
def test_the_three_counters_agree_on_every_part(variant):
    config = config_of(variant)
    whole, as_run = (check_counters(config, as_run=as_run).macs for as_run in (False, True))
    assert (as_run < whole) == (config.pooling == "cls")
    other = dataclasses.replace(config, tubelet=(config.tubelet[0], 4, 8), **OTHER_SIZES)
    check_counters(other, as_run=True, batch=3)


@pytest.mark.parametrize("counter", COUNTERS)
@pytest.mark.parametrize("name", MODELS)
def test_models_batches_and_naive_counters(name, counter):
    model = small_model(name).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one = closed(model.config)
    for as_run in (False, True):  # a model counts like its configuration
        count = count_flops(model, counter=counter, as_run=as_run)
        other = closed(model.config, as_run=as_run)
        assert (count.by_part, count.params) == (other.by_part, other.params)
    assert model.training  # and stays as it is
    assert model.class_token_only == (model.config.pooling == "cls")
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    three = count_flops(model.config, counter=counter, batch=3)
    assert three.by_part == {part: 3 * macs for part, macs in one.by_part.items()}
    naive = count_flops(model.config, counter=counter, naive=True)
    attention = {part: 0 for part in one.by_part if part in ATTENTION.values()}
    assert attention and naive.by_part == one.by_part | attention


def test_to_a_naive_counter_model_1_looks_cheapest():
    def ranking(**options):
        rows = [row for row in OFFICIAL if row[5]]
        configs = [ViViTConfig.preset(p, model=m, temporal_depth=d) for p, m, d, *_ in rows]
        return [config.model for config in sorted(configs, key=lambda c: closed(c, **options).macs)]

    assert ranking()[-1] == M1
    assert ranking(naive=True, as_run=True)[0] == M1


def test_what_was_added_to_a_model_is_counted_as_other_or_told():
    class Exponential(torch.nn.Module):
        def forward(self, x):
            return torch.linalg.matrix_exp(x @ x.transpose(-2, -1)) @ x

    model = small_model("joint")
    plain, norm, tokens = closed(model.config), model.norm, model.config.tokens + 1
    model.norm = torch.nn.Sequential(norm, torch.nn.Linear(48, 48))
    for counter in ("fvcore", "torch"):
        count = count_flops(model, counter=counter)
        assert count.by_part == plain.by_part | {"other": tokens * 48 * 48}
        as_run = count_flops(model, counter=counter, as_run=True)
        assert as_run.by_part["other"] == 48 * 48
        assert count.params == plain.params + 48 * 49
    model.norm = Exponential()
    with pytest.warns(UserWarning, match="linalg_matrix_exp.*too few"):
        count_flops(model, counter="fvcore")


def test_attention_grows_as_the_paper_says():
    def attention(model, **sizes):
        config = config_of("joint", model=model, pooling=None, **sizes)
        parts = closed(dataclasses.replace(config, pooling="mean")).by_part
        return [macs for part, macs in parts.items() if part in ATTENTION.values()]

    twice = {"frames": 16}
    assert attention(M1, **twice) == [4 * n for n in attention(M1)]  # (t s)^2
    for model in (M2, M3):  # t s^2 + t^2, t s^2 + s t^2
        space, time = attention(model)
        assert attention(model, **twice) == [2 * space, 4 * time]
    assert attention(M4) == [space // 2, time // 2]


def test_it_prints_as_a_table_that_says_macs():
    count = closed(ViViTConfig.preset("B/16x2"))
    lines = str(count).splitlines()
    assert "Model 1" in lines[0] and "counted by closed form" in lines[0]
    assert lines[-2].split() == ["total", "451.52", "GMACs", "100.0", "%"]
    assert "88,954,000 parameters" in lines[-1] and "2 FLOPs: 903.05 GFLOP" in lines[-1]
    assert count._repr_html_().count("<tr>") == len(count.by_part) + 1
    page = FlopCount("torch", {"<b>": 1}, 1, "<script>")._repr_html_()
    assert "<script>" not in page and "<b>1" not in page
    assert "last block as run" in closed(config_of("joint"), as_run=True).title
    assert "fused attention overlooked" in closed(config_of("joint"), naive=True).title


def test_bad_input_is_named():
    for what, options, words in (
        (config_of("joint"), {"counter": "fvcor"}, "counter is 'fvcor'.*Did you mean 'fvcore'"),
        (config_of("joint"), {"batch": 0}, "batch is 0"),
        ("B/16x2", {}, "takes a ViViTConfig or a ViViT model, not str"),
    ):
        with pytest.raises((ValueError, TypeError), match=words):
            count_flops(what, **options)


def test_the_closed_form_is_exact_for_numbers_that_floats_are_not():
    config = ViViTConfig.preset("H/14x2", frames=510, image_size=700)
    macs = sum(term.macs for term in closed_form(config))
    assert macs > 2**53
    assert macs == count_flops(config, counter="torch").macs

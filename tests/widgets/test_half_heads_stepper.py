"""The stepper through Model 4's attention: its numbers are the module's, its figures readable."""

import inspect
import operator

import pytest
import torch
from written import check_readable, ends, is_shown, written

from vivit_lab import ViViTConfig
from vivit_lab.data import ArrowOfTime
from vivit_lab.models import layers, vivit
from vivit_lab.models.layers import FactorisedDotProductAttention
from vivit_lab.video import normalise
from vivit_lab.widgets import HalfHeadsStepper, half_heads_stepper
from vivit_lab.widgets.attention_explorer import models
from vivit_lab.widgets.half_heads_stepper import BOXES, STEPS, half_heads


@pytest.fixture
def stepper() -> HalfHeadsStepper:
    return HalfHeadsStepper()


def test_the_numbers_are_those_of_the_module_and_one_that_does_otherwise_is_found_out(monkeypatch):
    for t, s, dim, heads in ((4, 36, 64, 4), (2, 5, 48, 2), (7, 3, 24, 6)):
        torch.manual_seed(t)
        attention = FactorisedDotProductAttention(ViViTConfig(dim=dim, heads=heads)).eval()
        torch.nn.init.normal_(attention.qkv.bias)
        torch.nn.init.normal_(attention.proj.bias)
        x = torch.randn(t, s, dim)
        found = half_heads(attention, x)
        with torch.no_grad():
            y, weights = attention(x[None], return_attention=True)
        torch.testing.assert_close(found.y, y[0], atol=1e-5, rtol=0)
        for axis in ("space", "time"):
            half = getattr(found, axis)
            torch.testing.assert_close(half.weights, weights[axis][0], atol=1e-5, rtol=0)
            scaled = half.products / (dim // heads) ** 0.5
            torch.testing.assert_close(half.weights, scaled.softmax(-1), atol=1e-6, rtol=0)
            torch.testing.assert_close(half.out, half.weights @ half.v, atol=1e-6, rtol=0)
        assert found.apart < 1e-5
        assert found.q.shape == (t, heads, s, dim // heads)
        assert (*found.time.heads, *found.space.heads) == tuple(range(heads))
    right = FactorisedDotProductAttention.forward
    monkeypatch.setattr(
        FactorisedDotProductAttention, "forward", lambda self, x: (right(self, x)[0] + 0.1, None)
    )
    assert half_heads(attention, x).apart == pytest.approx(0.1, abs=1e-4)


def test_it_follows_the_first_block_of_the_trained_model(stepper):
    model = models()["trained"]["factorised_dot_product"]
    frames, _, size, _ = model.config.clip_shape
    clip = normalise(ArrowOfTime(8, frames, size, seed=3)[0][0])[None]
    heard = {}
    hook = lambda _, given, out: heard.update(x=given[0], y=out[0])  # noqa: E731
    handle = model.blocks[0].attn.register_forward_hook(hook)
    with torch.no_grad():
        model(clip)
    handle.remove()
    found = stepper.scene().found
    torch.testing.assert_close(found.x, heard["x"][0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found.y, heard["y"][0], atol=1e-5, rtol=0)


def test_the_code_and_the_shapes_shown_are_those_of_the_package(stepper):
    source = inspect.getsource(layers) + inspect.getsource(vivit)
    found = stepper.scene().found
    t, s, dim = found.x.shape
    sizes = {"t": t, "s": s, "D": dim, "d": found.q.shape[-1], "heads": found.q.shape[1]}
    sizes["heads/2"] = sizes["heads"] // 2
    for step in STEPS:
        assert step.code in source, step.title
        letters, shape = step.letters, operator.attrgetter(step.numbers)(found).shape
        names = letters[letters.index("(") + 1 : letters.index(")")].split(", ")
        assert [sizes[name] for name in names] == list(shape), step.title


def test_every_part_of_the_map_is_lit_in_its_turn():
    lit = [name for step in STEPS[:-1] for name in step.lit]
    assert set(lit) == set(BOXES)
    assert all(len(step.lit) < len(BOXES) / 2 for step in STEPS[:-1])  # the rest is dim


def test_everything_written_can_be_read_and_softmax_rows_are_printed_as_they_are():
    for clip, at in (
        ("moves right", (1, 2, 2)),
        ("red, green, blue", (0, 0, 0)),
        ("grows", (3, 5, 5)),
    ):
        stepper = HalfHeadsStepper(clip, at=at)
        for number in range(1, len(STEPS) + 1):
            stepper.step.value = number
            with written() as lines:
                stepper.refresh()
            check_readable(lines, stepper.width, stepper.height)
            assert is_shown(stepper)
            if number == 9:
                words = [line.words for line in lines]
                row = stepper.scene().found.time.weights[at[1] * 6 + at[2], 0, at[0]]
                assert all(f"{share:.3f}" in words for share in row.tolist())
                assert words.count("1.000") == 2


def test_a_box_of_the_map_goes_to_its_step_and_play_goes_through_all(stepper):
    steps = list(range(1, len(STEPS) + 1))
    assert stepper.picture.scene["play"] == {
        "name": "step", "values": steps, "seconds": 5, "now": 1
    }  # fmt: skip
    reached = set()
    for region in [each for each in stepper.picture.scene["regions"] if "step" in each["at"]]:
        stepper._on_touch({"press": region["at"]})
        assert region["says"] == f"step {stepper.step.value}: {STEPS[stepper.step.value - 1].title}"
        reached.add(stepper.step.value)
    assert reached == {1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12}  # 4 has no box of its own, 13 has all


def test_every_token_that_is_seen_can_be_followed_and_every_number_is_exact(stepper):
    """Frames, keys, weights and values: a press on what stands for a token follows it."""
    for number in range(1, len(STEPS) + 1):
        stepper.step.value = number
        scene = stepper.scene()
        for region in stepper.picture.scene["regions"]:
            if "step" in region["at"]:
                continue
            axes = [region[axis] for axis in ("across", "down") if axis in region]
            is_whole = "values" in region and "number" in region["says"] and number in (5, 7, 8, 10)
            if is_whole and "down" in region:  # the matrix of keys or of values
                part = scene.half.k if number in (5, 8) else scene.half.v
                head = region["at"]["head"] - scene.half.heads[0]
                right = part[scene.along[0], head].flatten().tolist()
                words = [value.replace("\N{MINUS SIGN}", "-") for value in region["values"]]
                assert list(map(float, words)) == pytest.approx(right, abs=6e-4)
            names = {*region["at"], *(name for name, _ in axes)}
            if not region["press"]:
                assert not names & {"time", "row", "column"}
                continue
            for at in ends(region):
                with stepper.quiet():
                    for slider in stepper.place:
                        slider.value = 1
                stepper._on_touch({"press": at})
                now = stepper.scene()
                assert now.step == at.get("time", 1)
                assert now.place == at.get("place", 1 * 6 + 1)


def test_next_and_back_stop_at_the_ends(stepper):
    assert stepper.back.disabled and not stepper.next.disabled
    pictures = [stepper.picture.value]
    for _ in range(len(STEPS) + 2):
        stepper.next.click()
        pictures.append(stepper.picture.value)
    assert stepper.step.value == len(STEPS) == len(set(pictures))
    assert stepper.next.disabled and not stepper.back.disabled
    stepper.back.click()
    assert stepper.step.value == len(STEPS) - 1 and not stepper.next.disabled
    stepper.step.value = 1
    assert stepper.picture.value == pictures[0]


def test_moving_the_token_changes_every_step_and_computes_nothing_again(stepper):
    misses = half_heads_stepper._follow.cache_info().misses
    for step in range(1, len(STEPS)):
        stepper.step.value = step
        for slider in stepper.place:
            before = stepper.picture.value
            slider.value = slider.value % slider.max + 1
            assert stepper.picture.value != before, slider.description
    assert half_heads_stepper._follow.cache_info().misses == misses


def test_without_trained_weights_random_ones_do(monkeypatch):
    monkeypatch.setattr(half_heads_stepper, "models", lambda: models() | {"trained": {}})
    stepper = HalfHeadsStepper(step=9)
    assert is_shown(stepper)
    assert stepper.model is models()["random"]["factorised_dot_product"]

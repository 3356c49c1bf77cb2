"""The inflation explorer, driven without a browser."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from vivit_lab.data import sample
from vivit_lab.widgets import InflationExplorer
from vivit_lab.widgets.inflation_explorer import (
    METHODS,
    STRIDES,
    TUBELETS,
    compare,
    embedding,
    source,
    tubelet_frames,
)


def small() -> InflationExplorer:
    return InflationExplorer("crossing", t=2)


def pixels(explorer) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(explorer.picture.value))).astype(int)


def is_shown(explorer) -> bool:
    return explorer.picture.layout.display is None and explorer.message.value == ""


def test_it_opens_with_a_picture_of_the_promised_size_always_the_same():
    explorer = small()
    assert is_shown(explorer)
    assert pixels(explorer).shape == (explorer.height, explorer.width, 3)
    assert small().picture.value == explorer.picture.value
    assert len(explorer.still().data) < 110_000


def test_the_theorem_on_a_frozen_clip_both_ways_start_equal_random_does_not():
    explorer = InflationExplorer("rabbit", stride=0)
    for t in TUBELETS:
        explorer.t.value = t
        for method in METHODS.values():
            explorer.method.value = method
            assert (explorer.difference().largest < 1e-5) == (method != "random")
            assert is_shown(explorer)


def test_with_motion_only_the_central_frame_stays_equal():
    explorer = InflationExplorer("rabbit", method="filter_inflation", t=8)
    means = []
    for stride in STRIDES:
        explorer.stride.value = stride
        means.append(explorer.difference().mean)
    assert means[0] < 1e-5 < means[1]
    assert means[-1] > 3 * means[1]
    explorer.method.value = "central_frame"
    assert explorer.difference().largest < 1e-5


def test_filter_inflation_is_the_mean_of_the_image_vits_tokens():
    clip = torch.rand(1, 4, 3, 112, 112) * 2 - 1
    found = embedding("filter_inflation", 4)(clip)[0, 0]
    one_by_one = embedding("central_frame", 1)(clip.flatten(0, 1)[:, None])[:, 0]
    torch.testing.assert_close(found, one_by_one.mean(0), atol=1e-5, rtol=0)


def test_the_difference_is_measured_token_by_token():
    clip = torch.rand(1, 2, 3, 112, 112) * 2 - 1
    clip[:, 0] = clip[:, 1]
    clip[:, 0, :, 8:16, 24:32] *= -1  # one patch: row 1, column 3
    (found,) = compare("filter_inflation", clip)
    assert np.argwhere(found.tokens > 1e-4).tolist() == [[1, 3]]
    assert found.tokens.shape == source().grid


def test_the_source_is_one_that_load_timm_could_have_given():
    image = source()
    assert image.state["patch_embed.proj.weight"].shape == (image.dim, 3, *image.patch)
    assert image.state["patch_embed.proj.weight"].flatten(1).std(dim=1).min() > 1e-3


def test_the_central_frame_is_the_moment_and_ends_repeat():
    for t in TUBELETS:
        for stride in STRIDES:
            numbers = tubelet_frames(50, t, stride, 101)
            assert numbers[t // 2] == 50
            assert {b - a for a, b in zip(numbers, numbers[1:], strict=False)} <= {stride}
    assert tubelet_frames(99, 8, 8, 100) == [67, 75, 83, 91, 99, 99, 99, 99]


@pytest.mark.parametrize("method", METHODS.values())
def test_every_control_changes_the_picture(method):
    explorer = InflationExplorer("rabbit", method=method, t=2, stride=1)
    for control, value in (
        (explorer.t, 8),
        (explorer.stride, 8),
        (explorer.moment, 5),
        (explorer.picker.name, "crossing"),
    ):
        before = explorer.picture.value
        control.value = value
        assert explorer.picture.value != before, control.description
        assert is_shown(explorer)


def test_one_move_of_a_control_draws_once():
    explorer = small()
    drawn = []
    explorer.draw = lambda draw=explorer.draw: drawn.append(1) or draw()
    for control, value in (
        (explorer.method, "random"),
        (explorer.t, 4),
        (explorer.stride, 3),
        (explorer.moment, 7),
        (explorer.picker.name, "counter"),
    ):
        drawn.clear()
        control.value = value
        assert len(drawn) == 1


def test_another_clip_brings_its_own_moments():
    explorer = InflationExplorer("counter")
    explorer.moment.value = 250
    explorer.picker.path.value = str(sample("crossing"))
    last = explorer.picker.footage.video.num_frames - 1
    assert (explorer.moment.max, explorer.moment.value) == (last, last)
    explorer.picker.path.value = str(sample("counter"))
    assert (explorer.moment.max, explorer.moment.value) == (299, last)
    assert is_shown(explorer)


def test_a_file_that_is_no_video_is_said_in_place(tmp_path):
    explorer = small()
    before = explorer.picture.value
    text = tmp_path / "notes.mp4"
    text.write_text("no video\n" * 40)
    explorer.picker.path.value = str(text)
    assert "this is a text file" in explorer.picker.message.value
    assert explorer.picture.value == before

"""The pattern explorer, driven without a browser: the cells drawn are the sets of patterns.py."""

import io

import numpy as np
import pytest
from PIL import Image
from written import check_readable, written

from vivit_lab.data import sample
from vivit_lab.models import MODELS
from vivit_lab.widgets import PatternExplorer
from vivit_lab.widgets.cells import rgb
from vivit_lab.widgets.footage import Clip
from vivit_lab.widgets.pattern_explorer import (
    COLOURS,
    LEFT,
    PITCH,
    TOP,
    VIOLET,
    PatternState,
    draw,
    frame_size,
)
from vivit_lab.widgets.patterns import STAGES


@pytest.fixture
def explorer() -> PatternExplorer:
    return PatternExplorer("crossing", frames=8)


def pixels(explorer) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(explorer.picture.value))).astype(int)


def is_shown(explorer) -> bool:
    return explorer.picture.layout.display is None and explorer.message.value == ""


def test_it_opens_with_a_picture_of_the_promised_size_and_the_same_bytes_each_time(explorer):
    assert is_shown(explorer)
    assert pixels(explorer).shape == (explorer.height, explorer.width, 3)
    assert PatternExplorer("crossing", frames=8).picture.value == explorer.picture.value
    assert len(explorer.still().data) < 110_000
    assert isinstance(explorer._repr_mimebundle_()["image/jpeg"], str)


# ---- what is drawn

GREY = Clip(np.full((6, 64, 64, 3), 128, np.uint8))  # so that a cell's colour is all its tint
GREY_32 = Clip(np.full((32, 64, 64, 3), 128, np.uint8))


def kinds_drawn(state: PatternState, row: int) -> np.ndarray:
    """For each cell of a model's strip: "own", "joint", "space", "time", "reached", "out"."""
    image = np.asarray(draw(state, GREY).image).astype(int)
    steps, rows, columns = state.config("joint").grid
    pitch, side = frame_size(steps)
    found = np.empty((steps, rows, columns), object)
    for step, i, j in np.ndindex(found.shape):
        x = round(LEFT + step * pitch + (j + 0.5) * side / columns)
        y = round(TOP + row * PITCH + 22 + (i + 0.5) * side / rows)
        found[step, i, j] = kind_of(image[y, x])
    return found.reshape(steps, rows * columns)


def kind_of(pixel: np.ndarray) -> str:
    if pixel[0] > 240 and pixel[1] > 200 and pixel[2] < 60:
        return "own"
    if pixel.min() == pixel.max():
        return "out" if pixel[0] > 200 else "plain"
    shift = pixel - 128.0
    hues = {**{axis: rgb(colour) for axis, colour in COLOURS.items()}, "reached": rgb(VIOLET)}
    directions = {name: np.array(hue) - 128.0 for name, hue in hues.items()}
    return max(
        directions,
        key=lambda name: shift @ directions[name] / np.linalg.norm(directions[name]),
    )


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("order", ["space_time", "time_space"])
@pytest.mark.parametrize("place", [(0, 0, 0), (2, 1, 3)])
def test_every_cell_has_the_colour_of_how_it_is_seen(stage, order, place):
    state = PatternState(6, 2, 56, "token", *place, stage, order)
    for row, model in enumerate(MODELS):
        found, kinds = state.pattern(model), kinds_drawn(state, row)
        own = found.asks.tokens
        assert (kinds[own] == "own").all()
        assert np.array_equal((kinds == "out") | (kinds == "plain"), ~found.reached.tokens & ~own)
        assert not (kinds == "plain").any()
        for axis in COLOURS:
            direct = found.direct[axis].tokens if axis in found.direct else np.zeros_like(own)
            drawn = (kinds == axis) | own
            if axis == "space" and "time" in found.direct:
                direct = direct & ~found.direct["time"].tokens  # one colour a cell
            assert np.array_equal(drawn, direct | own), (model, axis)


def test_the_token_that_asks_can_be_found_among_the_papers_3136():
    image = np.asarray(
        draw(PatternState(32, 2, 16, "token", 7, 0, 13, "time", "space_time"), GREY_32).image
    )
    strip = image[TOP : TOP + PITCH].astype(int)
    yellow = (strip[..., 0] > 240) & (strip[..., 1] > 200) & (strip[..., 2] < 60)
    assert yellow.sum() >= 25


def test_a_class_token_asks_where_there_is_one():
    state = PatternState(6, 2, 56, "cls", 1, 0, 0, "space", "space_time")
    assert (kinds_drawn(state, 0) == "joint").all()
    spatial = kinds_drawn(state, 1)
    assert (spatial[1] == "space").all() and (spatial[[0, 2]] == "out").all()
    with written() as lines:
        draw(state, GREY)
    assert sum("No class token here" in line.words for line in lines) == 2


@pytest.mark.parametrize("query", ["token", "cls"])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("frames", "t", "patch"), [(4, 2, 112), (12, 2, 32), (32, 2, 16)])
def test_everything_written_can_be_read(query, stage, frames, t, patch):
    clip = Clip(np.full((frames, 64, 64, 3), 128, np.uint8))
    last = frames // t - 1, 224 // patch - 1, 224 // patch - 1
    with written() as lines:
        canvas = draw(PatternState(frames, t, patch, query, *last, stage, "time_space"), clip)
    check_readable(lines, canvas.width, canvas.height)


# ---- the controls


def test_only_legal_values_can_be_chosen_whatever_moves(explorer):
    for frames in (32, 4, 12, 16, 8):
        explorer.frames.value = frames
        for t in list(explorer.t.options):
            explorer.t.value = t
            for patch in explorer.patch.options:
                explorer.patch.value = patch
                config = explorer.state().config("joint")  # checked by ViViTConfig itself
                assert config.temporal_tokens <= 16
                for slider, count in zip(explorer.place, config.grid, strict=True):
                    assert slider.max == count - 1 and 0 <= slider.value <= slider.max
        assert is_shown(explorer)


def test_the_token_that_asks_stays_or_moves_to_the_nearest(explorer):
    for slider, value in zip(explorer.place, (3, 6, 5), strict=True):
        slider.value = value
    explorer.patch.value = 16
    assert [slider.value for slider in explorer.place] == [3, 6, 5]
    explorer.patch.value, explorer.t.value = 56, 8
    assert [slider.value for slider in explorer.place] == [0, 3, 3]


def test_every_control_changes_the_picture_and_draws_once(explorer):
    drawn = []
    explorer.draw = lambda draw=explorer.draw: drawn.append(1) or draw()
    for control, value in (
        (explorer.step, 0),
        (explorer.row, 1),
        (explorer.column, 2),
        (explorer.stage, "time"),
        (explorer.order, "time_space"),
        (explorer.patch, 28),
        (explorer.t, 1),
        (explorer.frames, 16),
        (explorer.stage, "12 blocks"),
        (explorer.query, "cls"),
        (explorer.picker.name, "bars"),
    ):
        before = explorer.picture.value
        drawn.clear()
        control.value = value
        assert len(drawn) == 1, control.description
        assert explorer.picture.value != before, control.description


def test_controls_that_do_nothing_are_disabled(explorer):
    assert not any(control.disabled for control in explorer.place)
    explorer.query.value = "cls"
    assert [control.disabled for control in explorer.place] == [False, True, True]


def test_a_bad_path_is_said_in_place_and_the_clip_stays(explorer, tmp_path):
    before = explorer.picture.value
    text = tmp_path / "fake.mp4"
    text.write_text("this is no video\n" * 40)
    explorer.picker.path.value = str(text)
    assert "this is a text file" in explorer.picker.message.value
    assert explorer.picture.value == before
    explorer.picker.path.value = str(sample("bars"))
    assert explorer.picker.message.value == "" and explorer.picture.value != before
    explorer.picker.choose_upload(
        ({"name": "a.mp4", "type": "video/mp4", "size": 9, "content": memoryview(b"x" * 99)},)
    )
    assert "a.mp4" in explorer.picker.message.value and is_shown(explorer)


def test_what_cannot_be_built_is_an_error_at_once():
    with pytest.raises(ValueError, match="tubelet t is 3, but must divide frames = 8"):
        PatternExplorer("crossing", frames=8, t=3)

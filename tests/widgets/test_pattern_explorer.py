"""The pattern explorer, driven without a browser: the cells drawn are the sets of `pattern`."""

import itertools

import numpy as np
from written import check_readable, ends, is_shown, written

from vivit_lab.models import MODELS
from vivit_lab.widgets import PatternExplorer
from vivit_lab.widgets.canvas import BLUE, ORANGE, TEAL, VIOLET, rgb
from vivit_lab.widgets.footage import Clip
from vivit_lab.widgets.pattern_explorer import (
    KINDS,
    MARGIN,
    PANEL,
    PITCH,
    STAGES,
    TOP,
    PatternState,
    draw,
    frame_places,
)

COLOURS = {"space_time": TEAL, "space": BLUE, "time": ORANGE}


def grey(frames: int) -> Clip:
    """A clip in which a cell's colour is all its tint."""
    return Clip(np.full((frames, 64, 64, 3), 128, np.uint8))


def kinds_drawn(state: PatternState, panel: int) -> np.ndarray:
    """For each cell of a model's strip: "own", "space_time", "space", "time", "reached", "out"."""
    image = np.asarray(draw(state, grey(6)).image()).astype(int)
    steps, rows, columns = state.config("joint").grid
    side, corners = frame_places(steps)
    found = np.empty((steps, rows, columns), object)
    for step, i, j in np.ndindex(found.shape):
        left, top = corners[step]
        x = round(MARGIN + panel % 2 * PANEL + left + (j + 0.5) * side / columns)
        y = round(TOP + panel // 2 * PITCH + 21 + top + (i + 0.5) * side / rows)
        found[step, i, j] = kind_of(image[y, x])
    return found.reshape(steps, rows * columns)


def kind_of(pixel: np.ndarray) -> str:
    if is_yellow(pixel):
        return "own"
    if pixel.min() == pixel.max():
        return "out" if pixel[0] > 200 else "plain"
    shift = pixel - 128.0
    hues = {**{axis: rgb(colour) for axis, colour in COLOURS.items()}, "reached": rgb(VIOLET)}
    hues = {name: np.array(hue) - 128.0 for name, hue in hues.items()}
    return max(hues, key=lambda name: shift @ hues[name] / np.linalg.norm(hues[name]))


def is_yellow(pixels: np.ndarray) -> np.ndarray:
    return (pixels[..., 0] > 240) & (pixels[..., 1] > 200) & (pixels[..., 2] < 60)


def test_every_cell_has_the_colour_of_how_it_is_seen():
    places = ("space_time", (0, 0, 0)), ("time_space", (2, 1, 3))
    for stage, (order, place) in itertools.product(STAGES, places):
        state = PatternState(6, 2, 56, "token", *place, stage, order)
        for panel, model in enumerate(MODELS):
            found, kinds = state.pattern(model), kinds_drawn(state, panel)
            own = found.asks.tokens
            assert (kinds[own] == "own").all()
            assert np.array_equal(kinds == "out", ~found.reached.tokens & ~own)
            for axis in COLOURS:
                direct = found.direct[axis].tokens if axis in found.direct else np.zeros_like(own)
                if axis == "space" and "time" in found.direct:
                    direct = direct & ~found.direct["time"].tokens  # one colour a cell
                assert np.array_equal((kinds == axis) | own, direct | own), (stage, model, axis)


def test_the_token_that_asks_can_be_found_among_the_papers_3136():
    state = PatternState(32, 2, 16, "token", 7, 0, 13, "time", "space_time")
    strip = np.asarray(draw(state, grey(32)).image())[TOP : TOP + PITCH].astype(int)
    assert is_yellow(strip).sum() >= 25


def test_a_class_token_asks_where_there_is_one():
    state = PatternState(6, 2, 56, "cls", 1, 0, 0, "space", "space_time")
    assert (kinds_drawn(state, 0) == "space_time").all()
    spatial = kinds_drawn(state, 1)
    assert (spatial[1] == "space").all() and (spatial[[0, 2]] == "out").all()
    with written() as lines:
        draw(state, grey(6))
    assert sum("No class token here" in line.words for line in lines) == 2


def test_any_token_of_any_model_asks_when_it_is_pressed_and_says_how_each_model_sees_it():
    explorer = PatternExplorer("crossing", frames=6, t=2, patch=56)
    for stage, query in itertools.product(STAGES, ("token", "cls")):
        explorer.row.value, explorer.column.value = 1, 3
        explorer.stage.value, explorer.query.value = stage, query
        regions = explorer.picture.scene["regions"]
        tokens = [each for each in regions if each["at"]["query"] == "token"]
        frames, on_top = {}, {}
        for region in tokens:
            _, step, *place = region["at"].values()
            (on_top if place else frames)[(step, *place)] = region["says"]
        for step, row, column in np.ndindex(3, 4, 4):
            says = on_top.get((step, row, column), frames[step,]).split("\n")[1:]
            for words, model in zip(says, MODELS, strict=True):
                found, place = explorer.state().pattern(model), (step, row * 4 + column)
                sets = found.kinds if found else {}
                kind = ["away", *(name for name in sets if sets[name].tokens[place])][-1]
                assert words == f"{MODELS[model][:7]}: {KINDS[kind][0]}", (stage, step, row, column)
        pressed = regions if stage == "1 block" else regions[:1]
        for at in (at for region in pressed for at in ends(region)):
            explorer._on_touch({"press": at})
            assert {name: explorer.control(name).value for name in at} == at
    at_last = {"query": "token", "step": 2, "row": 3, "column": 3}
    explorer._on_touch({"press": at_last})
    explorer._on_touch({"press": {"query": "cls", "step": 1}})
    explorer._on_touch({"key": [0, -1]})
    assert explorer.query.value == "token" and explorer.column.value == at_last["column"] - 1


def test_everything_written_can_be_read():
    for (frames, t, patch), query, stage in itertools.product(
        ((4, 2, 112), (12, 2, 32), (32, 2, 16)), ("token", "cls"), STAGES
    ):
        last = frames // t - 1, 224 // patch - 1, 224 // patch - 1
        state = PatternState(frames, t, patch, query, *last, stage, "time_space")
        with written() as lines:
            canvas = draw(state, grey(frames))
        check_readable(lines, canvas.width, canvas.height)


def test_only_legal_values_can_be_chosen_and_the_token_moves_to_the_nearest():
    explorer = PatternExplorer("crossing", frames=8)
    for slider, value in zip(explorer.place, (3, 6, 5), strict=True):
        slider.value = value
    explorer.patch.value = 16
    assert [slider.value for slider in explorer.place] == [3, 6, 5]
    explorer.patch.value, explorer.t.value = 56, 8
    assert [slider.value for slider in explorer.place] == [0, 3, 3]
    for frames in (32, 4, 12):
        explorer.frames.value = frames
        for t, patch in itertools.product(list(explorer.t.options), (16, 32, 112)):
            explorer.t.value, explorer.patch.value = t, patch
            grid = explorer.state().config("joint").grid  # checked by ViViTConfig itself
            assert grid[0] <= 16
            for slider, count in zip(explorer.place, grid, strict=True):
                assert slider.max == count - 1 and 0 <= slider.value <= slider.max
        assert is_shown(explorer)

"""What all explorers have in common, driven without a browser, and the parts they are made of."""

import io
import re
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image
from written import check_legible, check_readable, is_shown, pixels, written

from vivit_lab.data import sample
from vivit_lab.data.samples import ASSETS
from vivit_lab.lessons.studies import REPORTED
from vivit_lab.training import timeline
from vivit_lab.training.metrics import percent
from vivit_lab.training.prediction import clock
from vivit_lab.video import VideoError, VideoReader
from vivit_lab.widgets import (
    AblationExplorer,
    AttentionExplorer,
    BlockExplorer,
    ClipExplorer,
    ConfusionExplorer,
    CostExplorer,
    EvaluationExplorer,
    HalfHeadsStepper,
    InflationExplorer,
    PatternExplorer,
    RegularisationExplorer,
    StartExplorer,
    TimelineExplorer,
    TokenExplorer,
    film_strip,
    surface,
    timeline_picture,
)
from vivit_lab.widgets import footage as footage_module
from vivit_lab.widgets.canvas import Canvas
from vivit_lab.widgets.charts import Plot, tinted_film
from vivit_lab.widgets.evaluation_explorer import LISTS
from vivit_lab.widgets.footage import Clip, Footage, FootagePicker
from vivit_lab.widgets.surface import Explorer, legal_slider, place_sliders

sys.path.append(str(Path(__file__).resolve().parents[1] / "video"))
from clips import write_clip

# each: how it is made, and moves, each of which changes the picture
EXPLORERS = {
    "ablation": (
        lambda: AblationExplorer("four_models"),
        [("measure", "shuffled"), ("measure", "backwards"), ("arm", "Model 1: joint"),
         ("study", REPORTED["orders"].question)],
    ),
    "attention": (
        lambda: AttentionExplorer("crossing", model="factorised_self_attention"),
        [("query", "token"), ("place.0", 1), ("place.1", 1), ("place.2", 0), ("layer", 1),
         ("head", 2), ("show", "space"), ("shape", "shrinks"), ("number", 5),
         ("model", "factorised_dot_product"), ("query", "output"), ("picker.name", "rabbit")],
    ),
    "block": (
        lambda: BlockExplorer("grows"),
        [("number", 3), ("place.0", 1), ("place.1", 1), ("place.2", 0), ("weights", "random"),
         ("weights", "trained"), ("model", "factorised_encoder"), ("shape", "shrinks")],
    ),
    "clip": (
        lambda: ClipExplorer("crossing", clip_frames=8),
        [("clip_frames", 16), ("stride", 3), ("seed", 3), ("start", 18), ("shown", 2),
         ("way", "by time"), ("mode", "test"), ("view", 3), ("crop", 2),
         ("recipe", "quick: 1 clip × 1 crop"), ("clip_frames", 64), ("short", "hold"),
         ("way", "by segment"), ("picker.name", "bars")],
    ),
    "confusion": (
        ConfusionExplorer,
        [("page", 2), ("truth", "turns clockwise"), ("answer", "grows"), ("count", 5),
         ("average", "logits"), ("show", "share"), ("head", "noun"), ("head", "action")],
    ),
    "cost": (
        CostExplorer,
        [("frames", 16), ("image_size", 112), ("t", 4), ("patch", 28), ("size", "S"), ("batch", 8),
         ("views", 4), ("counter", "naive counter"), ("axis", "patch"), ("model", "Model 4")],
    ),
    "evaluation": (
        EvaluationExplorer,
        [("count", 5), ("average", "logits"), ("views.4", False), ("video", 7), ("head", "action"),
         ("which", list(LISTS)[1])],
    ),
    "half heads": (
        lambda: HalfHeadsStepper(step=6),
        [("place.0", 2), ("place.1", 1), ("place.2", 4), ("clip", "grows"), ("step", 11)],
    ),
    "inflation": (
        lambda: InflationExplorer("crossing", t=2, stride=2),
        [("method", "filter_inflation"), ("t", 4), ("stride", 3), ("moment", 7),
         ("method", "random"), ("picker.name", "bars")],
    ),
    "pattern": (
        lambda: PatternExplorer("crossing", frames=8),
        [("step", 0), ("row", 1), ("column", 2), ("stage", "time"), ("order", "time_space"),
         ("patch", 28), ("t", 1), ("frames", 16), ("stage", "12 blocks"), ("query", "cls"),
         ("picker.name", "bars")],
    ),
    "regularisation": (
        lambda: RegularisationExplorer("crossing", partner="bars"),
        [("magnitude", 30), ("magnitude", "off"), ("share", 0.2), ("smoothing", 0.5),
         ("drop_path", 0.5), ("seed", 5), ("partner", "counter"), ("picker.name", "bars")],
    ),
    "start": (
        lambda: StartExplorer("crossing"),
        [("frame", 5), ("stage", 1), ("place.0", 0), ("stage", 2), ("place.1", 2),
         ("stage", 3), ("place.2", 5), ("picker.name", "bars"), ("stage", 4), ("place.0", 3),
         ("model", "factorised_encoder"), ("backwards", True), ("shape", "grows"), ("number", 8),
         ("stage", 5), ("model", "factorised_dot_product"), ("frame", 2), ("backwards", False)],
    ),
    "timeline": (
        lambda: TimelineExplorer(ASSETS / "weights" / "joint.safetensors", "crossing"),
        [("moment", 10), ("step", 0.25), ("picker.name", "bars")],
    ),
    "token": (
        lambda: TokenExplorer("crossing", frames=8, image_size=96, sampled_frames=2),
        [("frames", 16), ("image_size", 112), ("tubelet_t", 4), ("tubelet_h", 8),
         ("tubelet_w", 28), ("sampled", 6), ("token", 3), ("voxel.0", 6), ("voxel.1", 70),
         ("voxel.2", 70), ("picker.name", "bars")],
    ),
}  # fmt: skip


def control(explorer, path: str):
    for part in path.split("."):
        explorer = explorer[int(part)] if part.isdigit() else getattr(explorer, part)
    return explorer


@pytest.mark.parametrize("name", EXPLORERS)
def test_every_move_changes_the_picture_and_draws_once(name):
    """And it opens with a picture of the promised size, always the same one, and a small still."""
    make, moves = EXPLORERS[name]
    explorer = make()
    assert is_shown(explorer)
    assert pixels(explorer).shape == (explorer.height, explorer.width, 3)
    assert make().picture.value == explorer.picture.value
    still = explorer.still()
    shown = np.asarray(Image.open(io.BytesIO(still.data))).astype(int)
    assert np.abs(shown - pixels(explorer)).mean() < 6  # the same but for compression
    assert len(still.data) < 110_000

    drawn = []
    explorer.draw = lambda draw=explorer.draw: drawn.append(1) or draw()
    for path, value in moves:
        before = explorer.picture.value
        drawn.clear()
        with written() as lines:
            control(explorer, path).value = value
        check_readable(lines, explorer.width, explorer.height)
        assert is_shown(explorer), path
        assert explorer.picture.value != before, path
        assert len(drawn) == 1, path


def test_a_cell_shows_the_still_and_the_live_widgets_and_the_still_can_be_renewed(monkeypatch):
    shown, renewed = [], Mock()
    monkeypatch.setattr(
        surface.display, "display", lambda data, **how: shown.append(data) or renewed
    )
    explorer = TokenExplorer("crossing", frames=8, image_size=96)
    explorer.renew_still()
    assert not renewed.update.called  # it is in no notebook yet
    explorer._ipython_display_()
    still, live = shown
    assert still["text/plain"] == explorer.picture.canvas.words
    assert 'class="vl-still"' in still["text/html"] and surface.HIDE_LOST in still["text/html"]
    assert live["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.ui.model_id
    assert live["text/plain"] == surface.RUN_ME
    explorer.frames.value = 16
    explorer.renew_still()
    ((data,), _how) = renewed.update.call_args
    assert data["text/plain"] == explorer.picture.canvas.words != still["text/plain"]
    monkeypatch.setattr(TokenExplorer, "clip", Mock(side_effect=VideoError("no frame")))
    broken = TokenExplorer("crossing")
    broken._ipython_display_()  # no picture to store
    assert len(shown) == 3 and "no frame" in broken.message.value


@pytest.mark.parametrize("name", EXPLORERS)
def test_every_text_can_be_read_in_both_themes_and_every_state_is_said(name):
    """Letters of 12 pixels or more, contrast 4.5 or more to what is behind; words with figures."""
    make, moves = EXPLORERS[name]
    explorer, said = make(), set()
    for path, value in [(None, None), *moves]:
        if path:
            control(explorer, path).value = value
        check_legible(explorer.picture.canvas)
        words = explorer.picture.canvas.words
        assert re.search(r"\d", words) and len(words) > 20, f"{words!r} says too little"
        said.add(words)
    assert len(said) > len(moves) / 2, said


def test_what_cannot_be_drawn_is_said_in_the_pictures_place_and_nowhere_else(monkeypatch):
    read = VideoReader.read

    def damaged(video, indices, short_side=None):
        if 40 in indices:
            raise VideoError(f"{video.name}: frame 40 cannot be decoded.")
        return read(video, indices, short_side)

    monkeypatch.setattr(VideoReader, "read", damaged)
    explorer = ClipExplorer("crossing", clip_frames=4, training=False)
    explorer.recipe.value = explorer.recipe.options[2]  # one clip, at the beginning
    assert is_shown(explorer)
    explorer.way.value = "by segment"
    assert "frame 40 cannot be decoded" in explorer.message.value
    assert explorer.picture.layout.display == "none"
    explorer.way.value = "by frame"
    assert is_shown(explorer)
    for error in (ValueError, TypeError, OSError, TimeoutError):
        monkeypatch.setattr(explorer, "draw", Mock(side_effect=error("t is 3 <b>")))
        explorer.refresh()
        assert "t is 3 &lt;b&gt;" in explorer.message.value and not is_shown(explorer)


@pytest.mark.parametrize(("make", "controls", "moves"), [
    (lambda: ClipExplorer("crossing", clip_frames=8), "seed start recipe view crop stride short",
     [("seed", 1, "recipe view crop"), ("mode", "test", "seed start"),
      ("way", "by segment", "seed start stride short"),
      ("mode", "train", "start recipe view crop stride short"),
      ("way", "by frame", "recipe view crop"), ("clip_frames", 64, "start recipe view crop")]),
    (AttentionExplorer, "number query layer head step row column",
     [("query", "output", "step row column"), ("query", "token", ""),
      ("show", "rollout", "query layer head step row column"),
      ("picker.name", "crossing", "number query layer head step row column")]),
    (lambda: PatternExplorer("crossing", frames=8), "step row column",
     [("step", 0, ""), ("query", "cls", "row column")]),
])  # fmt: skip
def test_controls_that_do_nothing_are_disabled(make, controls, moves):
    explorer = make()
    for path, value, disabled in moves:
        control(explorer, path).value = value
        found = [name for name in controls.split() if getattr(explorer, name).disabled]
        assert found == disabled.split(), path


def test_a_wrong_start_is_an_error_that_says_why():
    for make, words in (
        (lambda: CostExplorer(t=3), "tubelet t is 3, but must divide frames = 32"),
        (lambda: PatternExplorer("crossing", frames=8, t=3), "t is 3, but must divide frames = 8"),
        (lambda: TokenExplorer("rabit"), "rabit.*no such file"),
        (lambda: AttentionExplorer("rabit"), "rabit.*no such file"),
    ):
        with pytest.raises((ValueError, VideoError), match=words):
            make()


# ---- the parts


def test_set_options_keeps_a_legal_value_and_moves_an_illegal_one():
    slider = legal_slider("t", [1, 2, 4, 8], 8)
    Explorer.set_options(slider, [1, 2, 4, 8, 16])
    assert slider.value == 8
    Explorer.set_options(slider, [1, 3, 6, 12])
    assert slider.value == 6


def test_places_start_in_the_middle_and_end_with_the_grid():
    for at, right in (((), [2, 3, 3]), ((1, 0, 6), [1, 0, 6])):
        sliders = place_sliders((4, 6, 7), at)
        assert [each.value for each in sliders] == right
        assert [each.max for each in sliders] == [3, 5, 6]


def test_axes_place_points_where_they_belong_and_draw_nothing_beyond():
    canvas = Canvas(300, 120)
    plot = Plot(canvas, 40, 10, 250, 90, x=(0, 100), y=(0, 2))
    assert plot.place([0, 50, 100], [0, 1, 2]).tolist() == [[40, 100], [165, 55], [290, 10]]
    plot.dots([50, 200, 50], [1, 1, 9], "#000000", radius=4)
    dark = np.argwhere(np.asarray(canvas.image().convert("L")) < 128)
    assert abs(dark - (54.5, 164.5)).max() <= 4.5  # one dot, around (165, 55)
    log = Plot(canvas, 0, 0, 100, 100, x=(0, 1), y=(0.1, 10), log=True)
    assert np.allclose(log.place([0, 0, 1], [0.1, 1, 10]), [[0, 100], [0, 50], [100, 0]])


def test_a_tinted_film_shows_the_first_frame_of_every_time_step():
    levels = np.arange(0, 240, 40, dtype=np.uint8)
    clip, canvas = Clip(np.broadcast_to(levels[:, None, None, None], (6, 8, 8, 3))), Canvas(60, 9)
    kinds, tints = np.zeros((3, 2, 2), int), ("", None, "#ff0000")
    kinds[1], kinds[2, 1, 1] = 1, 2  # a faded frame; a cell unlike the others
    tinted_film(canvas, [(0, 0), (20, 0), (40, 0)], 8, clip.pictures, kinds, tints)
    shown = np.asarray(canvas.image()).astype(int)
    assert [shown[1, x, 0] for x in (1, 41)] == [0, 160] and shown[1, 21, 0] > 200
    assert shown[5, 45].tolist() == [255, 0, 0] and shown[5, 41, 1] == 160


def test_a_film_strip_has_a_row_a_clip():
    clip = np.zeros((4, 3, 60, 80), np.uint8)
    still = film_strip({"black": clip, "white": clip[:2] + 255}, side=30)
    shown = np.asarray(Image.open(io.BytesIO(still.data)).convert("L")).astype(int)
    assert shown.shape == (124, 184) and still.width == 184
    assert still.alt == "Frames in rows: black (4 frames); white (2 frames)."
    assert f'alt="{still.alt}"' in still.bundle()["text/html"]
    assert (shown[30:50, 8:40] < 20).all() and (shown[90:110, 100:] > 235).all()


@pytest.fixture
def asked(monkeypatch) -> list[list[int]]:
    """Which frames are read of videos."""
    asked, read = [], VideoReader.read
    noted = lambda video, indices, **how: asked.append(list(indices)) or read(video, indices, **how)  # noqa: E731
    monkeypatch.setattr(VideoReader, "read", noted)
    return asked


def test_footage_decodes_each_frame_once(asked):
    footage = Footage("counter")
    first = footage.clip([0, 2, 4], 64)
    second = footage.clip([2, 4, 6], 64)
    assert asked == [[0, 2, 4], [6]]
    assert np.array_equal(first.pixels[1:], second.pixels[:2])
    assert footage.clip([0, 2, 4], 64) is first
    assert footage.middle_clip(3, 64).pixels.shape == (3, 64, 64, 3)


def test_a_large_video_is_not_decoded_ahead_and_ends_when_it_takes_too_long(asked, monkeypatch):
    Footage("counter", decode=32)
    assert asked.pop() == list(range(300))
    monkeypatch.setattr(footage_module, "MOST_PIXELS", 299 * 340 * 256)  # as if it were 8K
    footage = Footage("counter", decode=32)
    assert asked == []
    monkeypatch.setattr(footage_module, "PATIENCE", 0)
    with pytest.raises(TimeoutError, match=r"counter.*340 x 256.*8 of 20 frames.*kept"):
        footage.clip(range(20), 32)
    monkeypatch.setattr(footage_module, "PATIENCE", 60)
    assert len(footage.clip(range(20), 32)) == 20
    assert list(map(len, asked)) == [8, 8, 4]  # those of the first try were kept


def test_the_drop_down_the_message_and_the_picture_agree_on_the_video(tmp_path, monkeypatch):
    changes = []
    picker = FootagePicker("crossing", on_change=lambda: changes.append(1))
    text = b"this is no video\n" * 40
    (tmp_path / "fake.mp4").write_bytes(text)
    (tmp_path / "empty.mp4").touch()
    write_clip(tmp_path / "strip.mp4", 3, width=1024, height=16)
    film = sample("bars").read_bytes()

    def upload(name: str, content: bytes, size: int | None = None) -> None:
        size = len(content) if size is None else size
        picker.choose_upload(({"name": name, "size": size, "content": memoryview(content)},))

    def check(shown: str, trouble: str = "") -> None:
        """One more change, or words why there is none; a sample can be chosen in any state."""
        assert (picker.footage.name, picker.name.value) == (shown, shown)
        assert picker.upload.value == ()
        if trouble:
            assert trouble in picker.message.value and not changes
            assert f"The picture still shows {shown}." in picker.message.value
        else:
            assert picker.message.value == "" and changes == [1]
        changes.clear()

    for path, words in (
        (tmp_path / "nothing.mp4", "nothing.mp4: there is no such file"),
        (tmp_path, "folder"),
        (tmp_path / "fake.mp4", "fake.mp4: this is a text file"),
        (tmp_path / "empty.mp4", "empty"),
        (tmp_path / "strip.mp4", "1024 x 16 is too long and narrow"),
    ):
        picker.path.value = str(path)
        check("crossing", words)
    upload("diary.mp4", text)
    check("crossing", "diary.mp4: this is a text file")
    upload("film.mp4", b"", 3 * 1024**3)
    check("crossing", "film.mp4: an upload of 3072 MB is too large")
    with monkeypatch.context() as patch:
        patch.setattr(footage_module, "MOST_BYTES", 1000)
        upload("film.mp4", bytes(2000), 1)  # it lies about its size
    check("crossing", "film.mp4: an upload of 0 MB is too large")

    picker.path.value = f" '{sample('counter')}' "
    check("counter.mp4")
    upload("bars.mp4", film)
    check("bars.mp4")
    own = picker.footage
    upload("bars.mp4", film)  # the same one again
    check("bars.mp4")
    assert picker.footage is not own
    upload("cut.mp4", film[: len(film) // 2])
    check("bars.mp4", "cut.mp4")
    upload("nothing.mp4", b"")
    check("bars.mp4", "nothing.mp4")
    for name in ("crossing", "bars.mp4", "rabbit"):
        picker.name.value = name
        check(name)
    assert FootagePicker(sample("bars"), print).name.value == "bars.mp4"


def test_the_part_for_an_own_video_is_folded_at_first():
    picker = FootagePicker("crossing", print)
    assert picker.folded.layout.display == "none"
    picker.fold.value = True
    assert picker.folded.layout.display is None


def test_moments_and_parts_of_a_time_line_are_pressed_say_the_classes_and_are_played():
    explorer = TimelineExplorer(ASSETS / "weights" / "joint.safetensors", "counter")
    found, footage = explorer.found(), explorer.picker.footage
    length = found.edges[-1]
    for moment in (0, 37, 100):
        explorer._on_touch({"press": {"moment": moment}})
        scene, time = explorer.picture.scene, moment / 100 * length
        assert explorer.moment.value == moment and f"At {clock(time)}: " in scene["words"]
        (line,) = (each for each in scene["regions"] if "places" in each)
        assert line["across"] == ["moment", list(range(101))]
        assert line["places"][moment] == pytest.approx(58 + 8.38 * moment, abs=0.01)
        for when, words in zip(np.arange(101) / 100 * length, line["values"], strict=True):
            window = min(np.searchsorted(found.edges, when, "right"), len(found.edges) - 1) - 1
            best = found.best("class", found.probabilities["class"][window])
            says = [f"{name} {percent(probability)}" for name, probability in best.items()]
            assert words.split("\n") == [clock(when), *says]
        (film,) = scene["films"]
        assert film["name"] == "moment" and film["values"] == list(range(101))
        assert len(film["keys"]) / film["rate"] == length  # as fast as it is
        shown = [each for each in scene["commands"] if each[0] == "f"][-1][1]
        times = footage.video.times - footage.video.times[0]
        (right,) = footage.pictures([np.searchsorted(times, time, "right") - 1], 122)
        assert shown == film["keys"][moment] == right.key
    parts = [each["at"] for each in explorer.picture.scene["regions"] if "part" in each["at"]]
    for at, part in zip(parts, found.parts["class"], strict=True):
        explorer._on_touch({"press": at})
        assert part.start < explorer.moment.value / 100 * length < part.end
        assert at["class"] == part.name
    explorer._on_touch({"key": [0, -1]})
    assert explorer.moment.value == at["part"] - 1
    explorer._on_touch({"press": {"clip": "bars"}})
    assert explorer.picture.scene["words"].startswith("bars, ")


def test_a_time_line_shows_parts_where_they_are_and_says_what_could_not_be_read(monkeypatch):
    model = TimelineExplorer(ASSETS / "weights" / "joint.safetensors", "counter").model
    found = timeline(model, sample("counter"), window=2)
    with written() as lines:
        picture = timeline_picture(found, "counter")
    check_readable(lines, 920, 362)
    assert picture.format == "jpeg" and not any(line.words.startswith("At ") for line in lines)
    for part in found.parts["class"]:
        middle = 58 + 838 * (part.start + part.end) / 2 / found.edges[-1]
        (line,) = (each for each in lines if each.top > 104 and each.bottom < 130
                   and abs((each.left + each.right) / 2 - middle) < 3)  # fmt: skip
        assert part.name.startswith(line.words.rstrip("…"))
    with written() as lines:
        explorer = TimelineExplorer(model, "bars")
    said = " ".join(line.words for line in lines)
    assert "has no preprocessing" in said and "At 0:0" in said
    explorer.picker.path.value = str(ASSETS / "log.json")
    assert "log.json" in explorer.picker.message.value and is_shown(explorer)

    def broken(video, numbers, *rest, read=VideoReader.read, **named):
        if 100 in numbers:
            raise VideoError("frame 100 cannot be decoded.")
        return read(video, numbers, *rest, **named)

    monkeypatch.setattr(VideoReader, "read", broken)
    explorer = TimelineExplorer(model, "counter")
    with written() as lines:
        explorer.moment.value = 33  # of which no window could be read
    said = " ".join(line.words for line in lines)
    assert "frame 100" in said and "At 0:04.0" in said and is_shown(explorer)
    assert not any(line.top > 340 and line.words.endswith("%") for line in lines)

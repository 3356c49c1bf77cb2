"""The explorers, driven without a browser: set a control's value, look at picture and message."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vivit_lab.data import sample
from vivit_lab.models import token_voxels
from vivit_lab.video import (
    ByFrame,
    BySegment,
    ByTime,
    VideoError,
    VideoReader,
    test_clips,
    train_clip,
)
from vivit_lab.widgets import (
    AttentionExplorer,
    ClipExplorer,
    InflationExplorer,
    StartExplorer,
    TokenExplorer,
)
from vivit_lab.widgets import footage as footage_module
from vivit_lab.widgets.clip_state import WAYS, after_the_end
from vivit_lab.widgets.footage import Footage, FootagePicker
from vivit_lab.widgets.start_explorer import ask, small_model
from vivit_lab.widgets.surface import legal_slider, message_html, set_options
from vivit_lab.widgets.token_explorer import motion_lost

sys.path.append(str(Path(__file__).resolve().parents[1] / "video"))
from clips import write_clip

EXPLORERS = {
    "token": lambda: TokenExplorer("crossing", frames=8, image_size=96, sampled_frames=2),
    "clip": lambda: ClipExplorer("crossing", clip_frames=8),
    "start": lambda: StartExplorer("crossing", frames=4),
    "attention": lambda: AttentionExplorer("crossing"),
    "inflation": lambda: InflationExplorer("crossing", stride=2),
}
every_explorer = pytest.mark.parametrize("make", EXPLORERS.values(), ids=EXPLORERS)


def pixels(explorer) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(explorer.picture.value))).astype(int)


def is_shown(explorer) -> bool:
    return explorer.picture.layout.display is None and explorer.message.value == ""


# ---- what all have in common


@every_explorer
def test_it_opens_with_a_picture_of_the_promised_size(make):
    explorer = make()
    assert is_shown(explorer)
    assert pixels(explorer).shape == (explorer.height, explorer.width, 3)


@every_explorer
def test_the_same_state_gives_the_same_bytes(make):
    assert make().picture.value == make().picture.value


@every_explorer
def test_still_is_the_picture_without_a_kernel_and_small(make):
    explorer = make()
    still = explorer.still()
    shown = np.asarray(Image.open(io.BytesIO(still.data))).astype(int)
    assert np.abs(shown - pixels(explorer)).mean() < 6  # the same but for compression
    assert len(still.data) < 110_000


@every_explorer
def test_a_notebook_keeps_the_still_beside_the_widget(make):
    bundle = make()._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert isinstance(bundle["image/jpeg"], str)


@every_explorer
@pytest.mark.parametrize("bad", ["missing", "folder", "text", "sound"])
def test_a_bad_path_is_said_in_place_and_the_clip_stays(make, bad, tmp_path):
    explorer = make()
    before = explorer.picture.value
    text = tmp_path / "fake.mp4"
    text.write_text("this is no video\n" * 40)
    (tmp_path / "empty.mp4").touch()
    path, words = {
        "missing": (tmp_path / "nothing.mp4", "there is no such file"),
        "folder": (tmp_path, "folder"),
        "text": (text, "this is a text file"),
        "sound": (tmp_path / "empty.mp4", "empty"),
    }[bad]
    explorer.picker.path.value = str(path)
    assert words in explorer.picker.message.value
    assert path.name in explorer.picker.message.value
    assert explorer.picture.value == before
    explorer.picker.path.value = str(sample("bars"))
    assert explorer.picker.message.value == ""
    assert explorer.picture.value != before


@every_explorer
def test_an_upload_is_taken_or_refused_in_place(make):
    explorer = make()
    before = explorer.picture.value

    def upload(name: str, content: bytes, size: int | None = None) -> None:
        size = len(content) if size is None else size
        file = {"name": name, "type": "video/mp4", "size": size, "content": memoryview(content)}
        explorer.picker.choose_upload((file,))

    upload("diary.mp4", b"Dear diary, nothing happened today.\n" * 30)
    assert "diary.mp4: this is a text file" in explorer.picker.message.value
    upload("film.mp4", b"", size=3 * 1024**3)
    assert "too large to go through the browser" in explorer.picker.message.value
    assert explorer.picture.value == before
    upload("bars.mp4", sample("bars").read_bytes())
    assert explorer.picker.message.value == ""
    assert explorer.picture.value != before


@every_explorer
def test_what_cannot_be_drawn_is_said_in_the_pictures_place(make, monkeypatch):
    explorer = make()

    def fail():
        raise ValueError("tubelet t is 3, but must divide frames = 8.")

    with monkeypatch.context() as patch:
        patch.setattr(explorer, "draw", fail)
        explorer.refresh()
    assert "tubelet t is 3" in explorer.message.value
    assert explorer.picture.layout.display == "none"
    explorer.refresh()
    assert is_shown(explorer)


# ---- tokens


def test_only_legal_tubelets_can_be_chosen_whatever_moves():
    explorer = TokenExplorer("crossing", frames=16)
    for frames in (12, 32, 4, 24):
        explorer.frames.value = frames
        for size in (160, 96, 224):
            explorer.image_size.value = size
            assert all(frames % t == 0 for t in explorer.tubelet_t.options)
            assert all(size % h == 0 for h in explorer.tubelet_h.options)
            assert max(explorer.sampled.options) == frames
            config = explorer.state().tubelets  # checked by ViViTConfig itself
            assert explorer.token.max == config.tokens - 1
            assert is_shown(explorer)


def test_a_value_that_is_no_longer_legal_moves_to_the_nearest():
    explorer = TokenExplorer("crossing", frames=32, tubelet=(16, 16, 16))
    explorer.frames.value = 24
    assert explorer.tubelet_t.value == 12
    assert explorer.sampled.value == 4  # still legal, so it stays
    explorer.image_size.value = 96
    assert (explorer.tubelet_h.value, explorer.tubelet_w.value) == (16, 16)


def test_token_and_pixel_sliders_move_each_other():
    explorer = TokenExplorer("crossing", frames=8, image_size=96, tubelet=(2, 16, 16))
    explorer.token.value = 2 * 36 + 3 * 6 + 4
    assert [slider.value for slider in explorer.voxel] == [4, 48, 64]
    explorer.voxel[0].value = 7
    explorer.voxel[1].value = 95
    assert explorer.token.value == 3 * 36 + 5 * 6 + 4
    frames, rows, columns = token_voxels(explorer.state().tubelets, explorer.token.value)
    for seen, slider in zip((frames, rows, columns), explorer.voxel, strict=True):
        assert slider.value in seen


def test_the_pixel_under_the_microscope_stays_when_the_tubelet_changes():
    explorer = TokenExplorer("crossing", frames=8, image_size=96, tubelet=(2, 16, 16))
    explorer.voxel[0].value, explorer.voxel[2].value = 5, 70
    explorer.tubelet_t.value = 4
    assert [slider.value for slider in explorer.voxel] == [5, 48, 70]
    assert explorer.token.value == 1 * 36 + 3 * 6 + 4


def test_one_move_of_a_slider_draws_once():
    explorer = TokenExplorer("crossing", frames=8, image_size=96)
    drawn = []
    explorer.draw = lambda draw=explorer.draw: drawn.append(1) or draw()
    for control, value in (
        (explorer.frames, 16),
        (explorer.tubelet_t, 4),
        (explorer.token, 7),
        (explorer.voxel[0], 9),
        (explorer.sampled, 3),
    ):
        drawn.clear()
        control.value = value
        assert len(drawn) == 1


def test_every_slider_changes_the_picture():
    explorer = TokenExplorer("rabbit", frames=8, image_size=96)
    for control, value in (
        (explorer.frames, 16),
        (explorer.image_size, 112),
        (explorer.tubelet_t, 4),
        (explorer.tubelet_h, 8),
        (explorer.tubelet_w, 28),
        (explorer.sampled, 6),
        (explorer.token, 3),
        (explorer.voxel[0], 6),
        (explorer.voxel[1], 70),
        (explorer.voxel[2], 70),
    ):
        before = explorer.picture.value
        control.value = value
        assert explorer.picture.value != before, control.description


def test_motion_lost_is_zero_with_all_frames_and_grows_with_fewer():
    clip = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)
    losses = [motion_lost(clip, range(0, 16, step)) for step in (1, 3, 5, 15)]
    assert losses[0] == 0
    assert losses == sorted(losses)
    assert 0.5 < losses[-1] < 1
    assert motion_lost(np.zeros_like(clip), [0, 15]) == 0


# ---- clips


def test_the_clips_drawn_are_those_of_the_package():
    explorer = ClipExplorer("counter", clip_frames=16, stride=4, seed=3)
    assert np.array_equal(explorer.clips()[0], train_clip(300, 16, 4, seed=3))
    explorer.mode.value = "test"
    assert np.array_equal(explorer.clips(), test_clips(300, 4, 16, 4))
    explorer.recipe.value = explorer.recipe.options[1]
    assert explorer.clips().shape == (10, 16)
    assert explorer.state().crops(256, 340) == (256, 256, [(0, 0), (0, 42), (0, 84)])


def test_three_ways_and_two_ends_are_those_of_the_package():
    explorer = ClipExplorer("variable_rate", clip_frames=16, training=False)
    times = explorer.picker.footage.video.times
    for way, sampling in {
        "by frame": ByFrame(16, 2),
        "by time": ByTime(16, 12.5),
        "by segment": BySegment(16),
    }.items():
        explorer.way.value = way
        assert np.array_equal(explorer.clips(), sampling.test(times, 4))
        explorer.mode.value = "train"
        assert np.array_equal(explorer.clips()[0], explorer.state().each_way(times)[way])
        explorer.mode.value = "test"
    explorer.way.value, explorer.clip_frames.value = "by time", 64
    looped = explorer.clips()[0]
    explorer.short.value = "hold"
    assert looped.max() == 59 and (np.diff(looped) < 0).any()
    assert (np.diff(explorer.clips()[0]) >= 0).all() and explorer.clips()[0, -1] == 59


def test_what_comes_after_the_end_is_said_and_marked():
    explorer = ClipExplorer("bars", clip_frames=64, stride=2)
    state, times = explorer.state(), explorer.picker.footage.video.times
    assert state.runs_out(times) and state.choice(times) == "shorter than the clip: it starts again"
    assert after_the_end(explorer.clips()[0], 32).tolist() == [False] * 16 + [True] * 48
    explorer.short.value = "hold"
    assert "held" in explorer.state().choice(times)
    assert after_the_end(explorer.clips()[0], 32).tolist() == [False] * 17 + [True] * 47
    explorer.way.value = "by segment"
    assert "some are shown again" in explorer.state().choice(times)
    assert explorer.state().is_short(times) and not explorer.state().runs_out(times)
    explorer.clip_frames.value = 32
    assert not explorer.state().is_short(times)


def test_controls_that_do_nothing_are_disabled():
    explorer = ClipExplorer("crossing", clip_frames=8)
    assert (explorer.seed.disabled, explorer.recipe.disabled) == (False, True)
    explorer.mode.value = "test"
    assert (explorer.seed.disabled, explorer.recipe.disabled) == (True, False)
    assert (explorer.stride.disabled, explorer.short.disabled) == (False, False)
    explorer.way.value = "by segment"
    assert (explorer.stride.disabled, explorer.short.disabled) == (True, True)


@pytest.mark.parametrize("clip", ["rabbit", "portrait", "rotated", "variable_rate", "crossing"])
def test_every_sample_and_every_setting_can_be_drawn(clip):
    explorer = ClipExplorer(clip)
    for length in (4, 64):
        explorer.clip_frames.value = length
        for stride in (1, 8):
            explorer.stride.value = stride
            for mode in ("train", "test"):
                explorer.mode.value = mode
                for way in WAYS:
                    explorer.way.value = way
                    assert is_shown(explorer)


# ---- the start


def test_untrained_models_say_half_and_half_and_a_head_can_learn_one_clip():
    explorer = StartExplorer("rabbit", frames=4)
    assert [answer.probabilities.tolist() for answer in explorer.answers()] == [[0.5, 0.5]] * 4
    explorer.by_heart.value = True
    assert all(answer.probabilities[0] > 0.97 for answer in explorer.answers())
    explorer.backwards.value = True
    assert all(answer.probabilities[1] > 0.97 for answer in explorer.answers())


def test_the_slider_reaches_through_all_stages():
    explorer = StartExplorer("crossing", frames=4)
    pairs = {}
    for frames in (4, 8, 16):
        explorer.frames.value = frames
        assert len(explorer.clip()) == frames
        answers = explorer.answers()
        assert {answer.looks.shape for answer in answers} == {(frames // 2, 7, 7)}
        pairs[frames] = [answer.pairs for answer in answers]
    ratios = [b / a for a, b in zip(pairs[8], pairs[16], strict=True)]
    assert ratios[0] == pytest.approx(4, rel=0.02)  # Model 1: all pairs
    assert all(ratio < 2.5 for ratio in ratios[1:])  # the factorised ones


@pytest.mark.parametrize("name", ["joint", "factorised_encoder", "factorised_dot_product"])
def test_where_a_model_looks_sums_to_one(name):
    model = small_model(name, 4)
    import torch

    clip = torch.rand(1, 4, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 2 - 1
    looks = ask(model, clip).looks
    assert looks.sum() == pytest.approx(1, abs=1e-5)
    assert looks.min() >= 0


# ---- the parts


def test_set_options_keeps_a_legal_value_and_moves_an_illegal_one():
    slider = legal_slider("t", [1, 2, 4, 8], 8)
    set_options(slider, [1, 2, 4, 8, 16])
    assert slider.value == 8
    set_options(slider, [1, 3, 6, 12])
    assert slider.value == 6


def test_messages_cannot_smuggle_html():
    assert "<script>" not in message_html("<script>alert(1)</script>")


def test_footage_decodes_each_frame_once():
    footage = Footage("counter")
    read, asked = footage.video.read, []
    footage.video.read = lambda indices, short_side: (
        asked.extend(indices) or read(indices, short_side)
    )
    first = footage.clip([0, 2, 4], 64)
    second = footage.clip([2, 4, 6], 64)
    assert asked == [0, 2, 4, 6]
    assert np.array_equal(first.pixels[1:], second.pixels[:2])
    assert footage.clip([0, 2, 4], 64) is first


def test_a_large_video_is_not_decoded_ahead_and_ends_when_it_takes_too_long(monkeypatch):
    footage, asked = Footage("counter"), []
    read = footage.video.read
    footage.video.read = lambda indices, short_side: (
        asked.append(len(indices)) or read(indices, short_side)
    )
    monkeypatch.setattr(footage_module, "MOST_PIXELS", 299 * 340 * 256)  # as if it were 8K
    footage.decode_all(32)
    assert asked == []
    monkeypatch.setattr(footage_module, "PATIENCE", 0)
    with pytest.raises(TimeoutError, match=r"counter.*340 x 256.*8 of 20 frames.*kept"):
        footage.clip(range(20), 32)
    monkeypatch.setattr(footage_module, "PATIENCE", 60)
    assert len(footage.clip(range(20), 32)) == 20
    assert asked == [8, 8, 4]  # those of the first try were kept


def test_waiting_too_long_is_said_in_the_pictures_place(monkeypatch):
    monkeypatch.setattr(footage_module, "MOST_PIXELS", 0)
    explorer = ClipExplorer("crossing", clip_frames=64)
    monkeypatch.setattr(footage_module, "PATIENCE", 0)
    explorer.picker.choose("counter")
    assert "take long to decode" in explorer.message.value and not is_shown(explorer)
    monkeypatch.setattr(footage_module, "PATIENCE", 60)
    explorer.refresh()
    assert is_shown(explorer)


def test_a_damaged_frame_is_said_where_it_is_wanted_and_nowhere_else(monkeypatch):
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
    assert "frame 40 cannot be decoded" in explorer.message.value and not is_shown(explorer)
    explorer.way.value = "by frame"
    assert is_shown(explorer)


def test_a_long_narrow_picture_is_refused_before_it_grows(tmp_path):
    path = tmp_path / "strip.mp4"
    write_clip(path, 3, width=1024, height=16)
    picker = FootagePicker("crossing", on_change=lambda: None)
    picker.choose_path(str(path))
    assert "1024 x 16 is too long and narrow" in picker.message.value
    assert picker.footage.name == "crossing"


def test_an_upload_that_lies_about_its_size_is_measured(monkeypatch):
    monkeypatch.setattr(footage_module, "MOST_BYTES", 1000)
    picker = FootagePicker("crossing", on_change=lambda: None)
    picker.choose_upload(({"name": "film.mp4", "size": 1, "content": memoryview(bytes(2000))},))
    assert "too large to go through the browser" in picker.message.value


def test_the_picker_says_what_is_wrong_and_keeps_what_it_has():
    changes = []
    picker = FootagePicker("crossing", on_change=lambda: changes.append(1))
    picker.path.value = "missing.mp4"
    assert (picker.footage.name, len(changes)) == ("crossing", 0)
    picker.name.value = "bars"
    assert (picker.footage.name, len(changes), picker.message.value) == ("bars", 1, "")


def test_an_unknown_clip_is_an_error_when_an_explorer_is_made():
    with pytest.raises(Exception, match=r"rabit.*no such file"):
        TokenExplorer("rabit")

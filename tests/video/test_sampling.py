"""Which frames and crops: hand-worked cases, and properties for any sizes."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivit_lab.video import (
    resized_size,
    span_frames,
    span_seconds,
    three_crops,
    train_clip,
)
from vivit_lab.video import test_clips as even_clips

patient = settings(deadline=None)  # a busy machine is no fault
lengths = st.integers(1, 2000)
counts = st.integers(1, 64)
strides = st.integers(1, 12)
seeds = st.integers(0, 2**32)


# --- by hand ---


def test_span_of_the_paper():
    assert span_frames() == span_frames(32, 2) == 64
    assert span_seconds(32, 2, fps=25) == 2.56
    assert span_seconds(32, 2, fps=12) == pytest.approx(5.333, abs=1e-3)


def test_train_clip_that_just_fits_has_one_start():
    assert train_clip(7, clip_frames=4, stride=2, seed=5).tolist() == [0, 2, 4, 6]


def test_train_clip_shorter_than_the_span():
    assert train_clip(3, clip_frames=5, stride=1).tolist() == [0, 1, 2, 0, 1]
    assert train_clip(3, clip_frames=4, stride=2).tolist() == [0, 2, 1, 0]
    assert train_clip(3, clip_frames=5, stride=1, short="hold").tolist() == [0, 1, 2, 2, 2]


def test_four_clips_of_ten_seconds():
    clips = even_clips(300, clips=4, clip_frames=32, stride=2)
    assert clips.shape == (4, 32)
    assert clips[:, 0].tolist() == [0, 78, 157, 236]  # 300 - 64 = 236 in three steps of 78.67
    assert clips[:, -1].tolist() == [62, 140, 219, 298]


def test_even_clips_where_nothing_can_move():
    assert (
        even_clips(10, clips=3, clip_frames=4, stride=4, short="hold").tolist()
        == [[0, 4, 8, 9]] * 3
    )
    assert even_clips(100, clips=1, clip_frames=2, stride=1).tolist() == [[0, 1]]


def test_resized_size_by_hand():
    assert resized_size(256, 340, 256) == (256, 340)
    assert resized_size(720, 1280, 256) == (256, 455)
    assert resized_size(1280, 720, 256) == (455, 256)
    assert resized_size(100, 100, 224) == (224, 224)


def test_three_crops_by_hand():
    assert three_crops(256, 340, 224) == [(16, 0), (16, 58), (16, 116)]
    assert three_crops(340, 256, 224) == [(0, 16), (58, 16), (116, 16)]
    assert three_crops(224, 224, 224) == [(0, 0)] * 3
    assert three_crops(10, 15, 10) == [(0, 0), (0, 3), (0, 5)]  # 2.5 goes up


# --- for any sizes ---


@patient
@given(lengths, counts, strides, seeds, st.sampled_from(["loop", "hold"]))
def test_train_clip_is_the_rule_said_in_words(length, frames, stride, seed, short):
    clip = train_clip(length, frames, stride, seed, short)
    assert clip.dtype == np.int64 and clip.shape == (frames,)
    start = clip[0]
    assert 0 <= start < max(length - (frames - 1) * stride, 1)
    wanted = [start + k * stride for k in range(frames)]
    wrapped = [i % length if short == "loop" else min(i, length - 1) for i in wanted]
    assert clip.tolist() == wrapped


@patient
@given(lengths, counts, strides, seeds)
def test_train_clip_error_only_where_it_does_not_fit(length, frames, stride, seed):
    if (frames - 1) * stride < length:
        clip = train_clip(length, frames, stride, seed, short="error")
        assert (np.diff(clip) == stride).all() and clip[-1] < length
    else:
        with pytest.raises(ValueError, match=f"{length} frames.*reach"):
            train_clip(length, frames, stride, seed, short="error")


@patient
@given(lengths, counts, strides, seeds)
def test_a_seed_repeats_and_a_generator_goes_on(length, frames, stride, seed):
    again = train_clip(length, frames, stride, seed)
    assert train_clip(length, frames, stride, seed).tolist() == again.tolist()
    generator = np.random.default_rng(seed)
    assert train_clip(length, frames, stride, generator).tolist() == again.tolist()


def test_a_generator_draws_another_clip_each_time():
    generator = np.random.default_rng(0)
    assert len({train_clip(5000, seed=generator)[0] for _ in range(8)}) == 8


def test_every_start_is_drawn_and_about_equally_often():
    generator = np.random.default_rng(0)
    starts = [train_clip(13, 4, 2, generator)[0] for _ in range(7000)]
    counted = np.bincount(starts)
    assert len(counted) == 7  # 13 - 6 starts, the last one included
    assert counted.min() > 850 and counted.max() < 1150


@patient
@given(lengths, st.integers(1, 12), counts, strides)
def test_even_clips_spread_over_the_whole_video(length, clips, frames, stride):
    indices = even_clips(length, clips, frames, stride)
    room = max(0, length - frames * stride)
    starts = [int(Fraction(room * k, max(clips - 1, 1))) for k in range(clips)]
    assert indices[:, 0].tolist() == [start % length for start in starts]
    assert indices.min() >= 0 and indices.max() < length
    if frames * stride <= length:
        assert (np.diff(indices, axis=1) == stride).all()
        assert clips == 1 or starts[-1] == room


@patient
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 600))
def test_resizing_keeps_the_shape(height, width, short_side):
    new_height, new_width = resized_size(height, width, short_side)
    assert min(new_height, new_width) == short_side
    assert (new_height <= new_width) if height <= width else (new_height >= new_width)
    exact = max(height, width) * short_side / min(height, width)
    assert exact - 1 < max(new_height, new_width) <= exact
    assert resized_size(width, height, short_side) == (new_width, new_height) or height == width


@patient
@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_crops_lie_inside_and_touch_both_ends(height, width, data):
    size = data.draw(st.integers(1, min(height, width)))
    crops = three_crops(height, width, size)
    for top, left in crops:
        assert 0 <= top <= height - size and 0 <= left <= width - size
    along = [crop[0] if height > width else crop[1] for crop in crops]
    assert (along[0], along[2]) == (0, max(height, width) - size)
    assert along[0] <= along[1] <= along[2] and abs(along[1] * 2 - along[2]) <= 1
    across = {crop[1] if height > width else crop[0] for crop in crops}
    assert len(across) == 1


# --- bad input ---


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: train_clip(0), ValueError, "num_frames is 0"),
        (lambda: train_clip(10.0), TypeError, "num_frames is 10.0"),
        (lambda: train_clip(10, clip_frames=0), ValueError, "clip_frames is 0"),
        (lambda: train_clip(10, stride=0), ValueError, "stride is 0"),
        (lambda: train_clip(10, seed=-1), ValueError, "seed is -1"),
        (lambda: train_clip(10, seed="7"), TypeError, "seed is '7'"),
        (lambda: train_clip(10, short="lop"), ValueError, "Did you mean 'loop'"),
        (lambda: train_clip(10, 4, 5, short="error"), ValueError, "at most 2 frames"),
        (lambda: even_clips(10, clips=0), ValueError, "clips is 0"),
        (lambda: even_clips(10, short="wrap"), ValueError, "not one of 'loop', 'hold', 'error'"),
        (lambda: span_seconds(32, 2, fps=0), ValueError, "fps is 0"),
        (lambda: three_crops(256, 200, 224), ValueError, "256x200.*largest that fits is 200"),
        (lambda: resized_size(256, 340, 0), ValueError, "short_side is 0"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


# --- what an import costs ---


def test_arithmetic_comes_without_av_and_torchvision_and_the_rest_names_them():
    code = """
import sys, torch
import vivit_lab.video as video
video.train_clip(300), video.normalise(torch.zeros(1, dtype=torch.uint8))
print(video.flip_pairs(["left", "right"]))
print([name for name in ("av", "torchvision") if name in sys.modules])
sys.modules["av"] = sys.modules["torchvision"] = None  # as if not installed
for use in (lambda: video.VideoReader, video.TestTransform, lambda: video.VideoRaeder):
    try:
        use()
    except (ImportError, AttributeError) as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pairs, imported, reader, transform, misspelt = done.stdout.splitlines()
    assert (pairs, imported) == ("{0: 1, 1: 0}", "[]")
    assert "VideoReader needs the package av" in reader and "pip install av" in reader
    assert "torchvision" in transform
    assert "has no 'VideoRaeder'; it has" in misspelt

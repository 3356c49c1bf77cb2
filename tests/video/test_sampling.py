"""Which frames and crops: hand-worked cases, properties for any sizes, and the four ways to sample,
each against its definition worked out the slow way."""

import itertools
import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vivit_lab.video import (
    ByFrame,
    BySegment,
    BySpan,
    ByTime,
    frames_between,
    resized_size,
    span_frames,
    span_seconds,
    three_crops,
    train_clip,
)
from vivit_lab.video import test_clips as even_clips
from vivit_lab.video.sampling import duration

lengths, counts, strides = st.integers(1, 2000), st.integers(1, 64), st.integers(1, 12)
seeds = st.integers(0, 2**32)
WAYS = (ByFrame(8, 2), ByTime(8, 12.5), BySpan(8, 2), BySegment(8))
shorts = st.sampled_from(["loop", "hold"])
rates = st.sampled_from([12.0, 24000 / 1001, 25.0, 30000 / 1001, 29.97, 30.0, 50.0, 60.0])
gaps = st.lists(st.integers(2, 400), min_size=0, max_size=60)  # hundredths: never a close call


def varying(gaps):
    return np.concatenate([[0.0], np.cumsum(gaps) / 100])


def constant(count, rate=25.0):
    return np.arange(count) / rate


# --- by hand ---


def test_the_papers_numbers_and_cases_worked_out_by_hand():
    assert span_frames() == span_frames(32, 2) == 64
    assert span_seconds(32, 2, fps=25) == 2.56
    assert span_seconds(32, 2, fps=12) == pytest.approx(5.333, abs=1e-3)
    assert train_clip(7, clip_frames=4, stride=2, seed=5).tolist() == [0, 2, 4, 6]  # just fits
    assert train_clip(3, clip_frames=5, stride=1).tolist() == [0, 1, 2, 0, 1]
    assert train_clip(3, clip_frames=4, stride=2).tolist() == [0, 2, 1, 0]
    assert train_clip(3, clip_frames=5, stride=1, short="hold").tolist() == [0, 1, 2, 2, 2]
    clips = even_clips(300, clips=4, clip_frames=32, stride=2)
    assert clips.shape == (4, 32)
    assert clips[:, 0].tolist() == [0, 78, 157, 236]  # 300 - 64 = 236 in three steps of 78.67
    assert clips[:, -1].tolist() == [62, 140, 219, 298]
    nowhere_to_go = even_clips(10, clips=3, clip_frames=4, stride=4, short="hold")
    assert nowhere_to_go.tolist() == [[0, 4, 8, 9]] * 3
    assert even_clips(100, clips=1, clip_frames=2, stride=1).tolist() == [[0, 1]]
    assert resized_size(256, 340, 256) == (256, 340)
    assert resized_size(720, 1280, 256) == (256, 455)
    assert resized_size(1280, 720, 256) == (455, 256)
    assert resized_size(100, 100, 224) == (224, 224)
    assert three_crops(256, 340, 224) == [(16, 0), (16, 58), (16, 116)]
    assert three_crops(340, 256, 224) == [(0, 16), (58, 16), (116, 16)]
    assert three_crops(224, 224, 224) == [(0, 0)] * 3
    assert three_crops(10, 15, 10) == [(0, 0), (0, 3), (0, 5)]  # 2.5 goes up


# --- for any sizes ---


@given(lengths, counts, strides, seeds, st.sampled_from(["loop", "hold"]))
def test_train_clip_is_the_rule_said_in_words(length, frames, stride, seed, short):
    clip = train_clip(length, frames, stride, seed, short)
    assert clip.dtype == np.int64 and clip.shape == (frames,)
    start = clip[0]
    assert 0 <= start < max(length - (frames - 1) * stride, 1)
    wanted = [start + k * stride for k in range(frames)]
    wrapped = [i % length if short == "loop" else min(i, length - 1) for i in wanted]
    assert clip.tolist() == wrapped


@given(lengths, counts, strides, seeds)
def test_train_clip_error_only_where_it_does_not_fit(length, frames, stride, seed):
    if (frames - 1) * stride < length:
        clip = train_clip(length, frames, stride, seed, short="error")
        assert (np.diff(clip) == stride).all() and clip[-1] < length
    else:
        with pytest.raises(ValueError, match=f"{length} frames.*reach"):
            train_clip(length, frames, stride, seed, short="error")


def test_every_start_is_drawn_and_about_equally_often():
    random, by_time = np.random.default_rng(0), ByTime(4, 12.5)
    for draw in (lambda: train_clip(13, 4, 2, random), lambda: by_time.train(constant(13), random)):
        clips = np.array([draw() for _ in range(7000)])
        assert (np.diff(clips) == 2).all()
        counted = np.bincount(clips[:, 0])
        assert len(counted) == 7  # 13 - 6 starts, the last one included
        assert counted.min() > 850 and counted.max() < 1150


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


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 600))
def test_resizing_keeps_the_shape(height, width, short_side):
    new_height, new_width = resized_size(height, width, short_side)
    assert min(new_height, new_width) == short_side
    assert (new_height <= new_width) if height <= width else (new_height >= new_width)
    exact = max(height, width) * short_side / min(height, width)
    assert exact - 1 < max(new_height, new_width) <= exact
    assert resized_size(width, height, short_side) == (new_width, new_height) or height == width


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


# --- what all ways have in common ---


@given(gaps, st.integers(1, 12), seeds)
def test_shapes_types_and_bounds(gaps, clips, seed):
    for way in WAYS:
        times = varying(gaps)
        clip, views = way.train(times, np.random.default_rng(seed)), way.test(times, clips)
        assert (clip.dtype, clip.shape) == (np.int64, (8,))
        assert (views.dtype, views.shape) == (np.int64, (clips, 8))
        assert min(clip.min(), views.min()) >= 0 and max(clip.max(), views.max()) < len(times)


@given(gaps, seeds, st.floats(0, 1000))
def test_only_the_seconds_since_the_first_frame_count(gaps, seed, later):
    for way in WAYS:
        later = round(later, 2)
        times = varying(gaps)
        clip = way.train(times, np.random.default_rng(seed))
        assert way.train(times + later, np.random.default_rng(seed)).tolist() == clip.tolist()
        assert way.test(times + later, 3).tolist() == way.test(times, 3).tolist()


def test_a_seed_repeats_and_a_generator_goes_on():
    for way in WAYS:
        times, random = constant(500), np.random.default_rng(3)
        first = way.train(times, random)
        assert way.train(times, np.random.default_rng(3)).tolist() == first.tolist()
        assert way.train(times, 3).tolist() == first.tolist()
        assert any(way.train(times, random).tolist() != first.tolist() for _ in range(4))


@pytest.mark.filterwarnings("error")
def test_one_frame_is_a_video_too_and_frames_of_the_same_second_do_no_harm():
    for way in WAYS:
        for times in ([0.0], [7.5], np.zeros(5), [0, 0, 0, 0, 9]):
            indices = [*way.train(times, 0), *way.test(times, 2).flat]
            assert min(indices) >= 0 and max(indices) < len(times)


# --- by frame ---


@given(
    st.integers(1, 400), st.integers(1, 40), st.integers(1, 6), st.integers(1, 10), seeds, shorts
)
def test_by_frame_is_the_rule_of_the_official_code(count, frames, stride, clips, seed, short):
    way = ByFrame(frames, stride, short)
    expected = train_clip(count, frames, stride, seed, short)
    assert way.train(constant(count), np.random.default_rng(seed)).tolist() == expected.tolist()
    expected = even_clips(count, clips, frames, stride, short)
    assert way.test(constant(count), clips).tolist() == expected.tolist()


# --- by time ---


def on_show(times, second):
    """The definition: the last frame with time <= second."""
    return max(i for i, time in enumerate(times) if time <= second)


@given(gaps, st.integers(1, 12), st.integers(1, 9), shorts)
def test_by_time_takes_the_frame_on_show(gaps, frames, clips, short):
    times, rate = varying(gaps), Fraction(7)
    exact = [Fraction(round(t * 100), 100) for t in times]
    length = exact[-1] + Fraction(round((duration(times) - times[-1]) * 1000), 1000)
    wanted = []
    for k in range(clips):
        start = max(length - frames / rate, 0) * k / max(clips - 1, 1)
        seconds = [start + i / rate for i in range(frames)]
        wanted.append([s % length if short == "loop" else s for s in seconds])
    if min(abs(s - t) for row in wanted for s in row for t in (*exact, length) if s != t) < 0.003:
        assume(False)  # closer than the milliseconds that count as equal
    views = ByTime(frames, float(rate), short).test(times, clips)
    assert views.tolist() == [[on_show(exact, s) for s in row] for row in wanted]


@given(
    st.integers(1, 300), st.integers(1, 24), st.integers(1, 5), rates, st.integers(1, 10), shorts
)
def test_by_time_is_by_frame_at_a_constant_rate(count, frames, stride, rate, clips, short):
    by_frame, by_time = ByFrame(frames, stride, short), ByTime(frames, rate / stride, short)
    times = constant(count, rate)
    assert by_time.test(times, clips).tolist() == by_frame.test(times, clips).tolist()
    rounded = np.round(times, 3)  # as Matroska writes them
    assert short == "loop" or by_time.test(rounded, 1).tolist() == by_frame.test(times, 1).tolist()


def test_29_97_frames_a_second_skip_and_repeat_nothing():
    for times in (
        np.arange(3000) * (1001 / 30000),  # the exact times of the standard
        np.arange(3000) / 29.97,
        np.round(np.arange(3000) * 1001 / 30000, 3),
        np.floor(np.arange(3000) * 1001 / 30) / 1000,
    ):
        for rate in (29.97, 30000 / 1001):
            assert ByTime(2000, rate).test(times, 1)[0].tolist() == list(range(2000))


@given(gaps, seeds)
def test_by_time_keeps_its_pace_in_a_video_of_any_rate(gaps, seed):
    times, way = varying(gaps), ByTime(5, 10)
    assume(duration(times) > 0.5)
    shown = times[way.train(times, np.random.default_rng(seed))]
    longest = max(np.diff(times).max(), 0) + 0.002
    for i in range(5):  # each shown time is at most one frame behind the second wanted
        assert abs((shown[i] - shown[0]) - i / 10) <= longest


def test_a_pause_lasts_as_long_as_it_lasts_and_a_short_video_goes_on():
    times = np.array([0, 0.1, 0.2, 1.2, 1.3, 1.4])
    assert ByTime(8, 5).test(times, 1).tolist() == [[0, 2, 2, 2, 2, 2, 3, 5]]
    for short, expected in (("loop", [0, 1, 2, 0, 1, 2, 0]), ("hold", [0, 1, 2, 2, 2, 2, 2])):
        assert ByTime(7, 25, short).test(constant(3), 2).tolist() == [expected] * 2
        assert ByTime(7, 25, short).train(constant(3), 0).tolist() == expected


def test_a_loop_begins_exactly_where_the_video_ends():
    rates = (24000 / 1001, 25.0, 29.97, 30000 / 1001, 60.0)
    for rate, later, count in itertools.product(rates, (0.0, 1.0, 1234.5), range(2, 40)):
        clip = ByTime(5 * count, rate).test(constant(count, rate) + later, 1)[0]
        assert clip.tolist() == [k % count for k in range(5 * count)]


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 4), rates)
def test_error_only_where_the_clip_does_not_fit(count, frames, stride, rate):
    way, times = ByTime(frames, rate / stride, "error"), constant(count, rate)
    if count > 1 and (frames - 1) * stride < count:
        assert (np.diff(way.test(times, 1)[0]) == stride).all()
    elif count > 1:
        fits = (count - 1) // stride + 1
        with pytest.raises(ValueError, match=f"lasts.*{frames} frames.*at most {fits} frames"):
            way.train(times, 0)


# --- by span ---


@given(st.integers(2, 400), st.integers(2, 33), st.integers(1, 8), st.integers(1, 10), rates)
def test_by_span_is_slowfasts_two_functions(count, frames, stride, clips, rate):
    def slowfast(clip):
        size = stride * frames / 30 * rate
        start = max(count - size, 0) * clip / clips
        return [min(max(x, 0), count - 1) for x in np.linspace(start, start + size - 1, frames)]

    assume(stride * frames / 30 * rate >= 1)
    views = BySpan(frames, stride).test(constant(count, rate), clips)
    for clip in range(clips):
        exact = np.array(slowfast(clip))
        if (np.abs(exact + 0.01 - np.round(exact)) < 0.001).any():
            assume(False)  # as close to the next frame as just counts as equal
        assert np.floor(exact + 0.01).tolist() == views[clip].tolist()


def test_by_span_draws_from_the_whole_room_and_no_further_and_jitter_makes_it_shorter():
    random, way = np.random.default_rng(0), BySpan(32, 2)
    drawn = np.array([way.train(constant(100, 30), random) for _ in range(3000)])
    assert set(drawn[:, 0]) == set(range(36)) and drawn.max() == 99 - 1
    times = constant(300, 30)
    lengths = [np.ptp(BySpan(32, 2, jitter=30).train(times, random)) for _ in range(200)]
    assert 31 <= min(lengths) < 35 and 60 < max(lengths) <= 63


# --- by segment ---


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 6), seeds)
def test_one_frame_of_each_part(count, parts, clips, seed):
    way, times = BySegment(parts), constant(count)
    rows = [way.train(times, np.random.default_rng(seed)), *way.test(times, clips)]
    owner = [  # the part of each frame, by the definition
        next(p for p in range(parts) if p * count // parts <= i < (p + 1) * count // parts)
        for i in range(count)
    ]
    for row in rows:
        if count >= parts:
            assert [owner[i] for i in row] == list(range(parts))
        else:
            assert row.tolist() == [p * count // parts for p in range(parts)]
        assert (np.diff(row) >= 0).all()


def test_segments_by_hand():
    assert BySegment(4).test(constant(40), 1).tolist() == [[5, 15, 25, 35]]
    assert BySegment(4).test(constant(10), 1).tolist() == [[1, 3, 6, 8]]  # 0-1, 2-4, 5-6, 7-9
    assert BySegment(2).test(constant(20), 5)[:, 0].tolist() == [1, 3, 5, 7, 9]
    assert BySegment(6).test(constant(3), 1).tolist() == [[0, 0, 1, 1, 2, 2]]


@given(st.integers(1, 40), st.integers(1, 20))
def test_the_middle_is_tsms_where_the_parts_are_equal(size, parts):
    count = size * parts
    tsm = [math.floor(Fraction(size, 2) + size * x) for x in range(parts)]
    assert BySegment(parts).test(constant(count), 1)[0].tolist() == tsm


def test_every_frame_of_a_part_is_drawn_about_equally_often():
    random = np.random.default_rng(0)
    drawn = np.array([BySegment(3).train(constant(14), random) for _ in range(4000)])
    for part, frames in enumerate([range(4), range(4, 9), range(9, 14)]):
        counted = np.bincount(drawn[:, part], minlength=14)[list(frames)]
        assert counted.sum() == 4000
        assert counted.min() > 0.85 * 4000 / len(frames)


# --- trimmed segments ---


@given(gaps, st.data())
def test_frames_between_are_those_on_show(gaps, data):
    times = varying(gaps)
    exact = [round(t * 100) for t in times]
    length = int(duration(times) * 100)
    start = data.draw(st.integers(0, length - 1))
    end = data.draw(st.integers(start + 1, length))
    first, stop = frames_between(times, start / 100, end / 100)
    shown = [  # frame i is on show from its time to that of the next
        i for i, time in enumerate(exact) if time < end and (exact + [length + 1])[i + 1] > start
    ]
    assert list(range(first, stop)) == shown


def test_parts_join_without_gap_and_ends_may_be_rounded_up():
    times = np.round(np.arange(300) * 1001 / 30000, 3)
    cuts = [0, 2.002, 5.005, 7.3073, duration(times)]
    parts = [frames_between(times, a, b) for a, b in zip(cuts, cuts[1:], strict=False)]
    assert parts[0][0] == 0 and parts[-1][1] == 300
    assert all(a[1] == b[0] for a, b in zip(parts[:2], parts[1:3], strict=True))
    assert frames_between(constant(250)) == (0, 250)
    assert frames_between(constant(250), None, 10.03) == (0, 250)
    assert frames_between(constant(250), 9.99) == (249, 250)
    assert frames_between(constant(250) + 5, 2, 4) == (50, 100)
    assert frames_between([0.0]) == (0, 1)
    assert frames_between(constant(250), 0.0395, 0.0399) == (1, 2)  # never no frame at all


# --- bad input ---


def test_bad_input_is_named():
    for call, error, words in [
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
        (lambda: ByFrame(0), ValueError, "clip_frames is 0"),
        (lambda: ByFrame(4, 2.0), TypeError, "stride is 2.0"),
        (lambda: ByFrame(short="lop"), ValueError, "Did you mean 'loop'"),
        (lambda: ByFrame(4, 5, "error").train(constant(9), 0), ValueError, "at most 2 frames"),
        (lambda: ByTime(frames_per_second=0), ValueError, "frames_per_second is 0"),
        (lambda: ByTime(frames_per_second="25"), TypeError, "frames_per_second is '25'"),
        (lambda: ByTime(frames_per_second=math.inf), ValueError, "frames_per_second is inf"),
        (lambda: ByTime(short="wrap"), ValueError, "not one of 'loop', 'hold', 'error'"),
        (lambda: ByTime(True), TypeError, "clip_frames is True"),
        (lambda: BySpan(jitter=-1), ValueError, "jitter is -1"),
        (lambda: BySpan(stride=0), ValueError, "stride is 0"),
        (lambda: BySegment(0), ValueError, "clip_frames is 0"),
        (lambda: BySegment(4).test(constant(9), 0), ValueError, "clips is 0"),
        (lambda: ByTime().test(constant(9), 1.5), TypeError, "clips is 1.5"),
        (lambda: ByTime().train(constant(9), "7"), TypeError, "seed is '7'"),
        (lambda: BySegment().train([], 0), ValueError, r"shape \(0,\).*\(N,\)"),
        (lambda: ByTime().test(np.zeros((2, 2))), ValueError, r"shape \(2, 2\)"),
        (lambda: BySpan().test([0, math.nan]), ValueError, "finite.*frame 1 is shown at nan s"),
        (lambda: ByFrame().test([0, 2, 1]), ValueError, "frame 2 is shown at 1 s, after 2 s"),
        (lambda: frames_between(constant(250), 3, 3), ValueError, "3 to 3 s ends before it"),
        (lambda: frames_between(constant(250), 5, 2), ValueError, "lasts 10 s"),
        (lambda: frames_between(constant(250), 5, 12), ValueError, "beyond.*lasts 10 s"),
        (lambda: frames_between(constant(250), 10, None), ValueError, "beyond.*lasts 10 s"),
        (lambda: frames_between(constant(250), -1, 3), ValueError, "start.* is -1"),
        (lambda: frames_between(constant(250), 0, math.nan), ValueError, "end.* is nan"),
        (lambda: frames_between(constant(250), "0:02"), TypeError, "start, in seconds, is '0:02'"),
    ]:
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

"""Which frames and crops: hand-worked cases, properties for any sizes, and the four ways to sample,
each against its definition worked out the slow way."""

import itertools
import math
import re
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
seeds, sizes = st.integers(0, 2**32), st.integers(1, 3000)
WAYS = (ByFrame(8, 2), ByTime(8, 12.5), BySpan(8, 2), BySegment(8))
shorts, fitted = st.sampled_from(["loop", "hold"]), st.sampled_from(["loop", "hold", "error"])
rates = st.sampled_from([12.0, 24000 / 1001, 25.0, 30000 / 1001, 29.97, 30.0, 50.0, 60.0])
gaps = st.lists(st.integers(2, 400), min_size=0, max_size=60)  # hundredths: never a close call


def varying(gaps):
    return np.concatenate([[0.0], np.cumsum(gaps) / 100])


def constant(count, rate=25.0):
    return np.arange(count) / rate


def outcome(call, *arguments):
    """What it gives; of a refusal, how many frames would fit."""
    try:
        return call(*arguments).tolist()
    except ValueError as error:
        return re.search(r"at most (\d+) frames", str(error))[1]


def test_cases_worked_out_by_hand():
    assert span_seconds(32, 2, fps=12) == pytest.approx(5.333, abs=1e-3)
    assert even_clips(10, clips=3, clip_frames=4, stride=4, short="hold").tolist() == (
        [[0, 4, 8, 9]] * 3  # nowhere to go
    )
    assert three_crops(10, 15, 10) == [(0, 0), (0, 3), (0, 5)]  # 2.5 goes up
    assert BySegment(4).test(constant(10), 1).tolist() == [[1, 3, 6, 8]]  # 0-1, 2-4, 5-6, 7-9
    assert BySegment(2).test(constant(20), 5)[:, 0].tolist() == [1, 3, 5, 7, 9]
    assert BySegment(4, "first").test(constant(10), 1).tolist() == [[0, 2, 5, 7]]
    assert BySegment(2, "first").test(constant(20), 2)[:, 0].tolist() == [0, 5]
    assert BySegment(6).test(constant(3), 1).tolist() == [[0, 0, 1, 1, 2, 2]]
    pause = np.array([0, 0.1, 0.2, 1.2, 1.3, 1.4])  # lasts as long as it lasts
    assert ByTime(8, 5).test(pause, 1).tolist() == [[0, 2, 2, 2, 2, 2, 3, 5]]
    for short, expected in (("loop", [0, 1, 2, 0, 1, 2, 0]), ("hold", [0, 1, 2, 2, 2, 2, 2])):
        for way in (ByTime(7, 25, short), ByFrame(7, 1, short)):
            assert way.test(constant(3), 2).tolist() == [expected] * 2
            assert way.train(constant(3), 0).tolist() == expected


# --- by frame, and sizes ---


@given(lengths, counts, strides, seeds, fitted)
def test_train_clip_is_the_rule_said_in_words(length, frames, stride, seed, short):
    clip = outcome(train_clip, length, frames, stride, seed, short)
    random = np.random.default_rng(seed)
    assert outcome(ByFrame(frames, stride, short).train, constant(length), random) == clip
    room = length - (frames - 1) * stride
    if short == "error" and room < 1:
        assert clip == str((length - 1) // stride + 1)
        return
    assert 0 <= clip[0] < max(room, 1)
    wanted = [clip[0] + k * stride for k in range(frames)]
    assert clip == [min(i, length - 1) if short == "hold" else i % length for i in wanted]


@given(lengths, st.integers(1, 12), counts, strides, shorts)
def test_even_clips_spread_over_the_whole_video(length, clips, frames, stride, short):
    indices = even_clips(length, clips, frames, stride, short)
    room = max(0, length - frames * stride)
    starts = [int(Fraction(room * k, max(clips - 1, 1))) for k in range(clips)]
    assert indices[:, 0].tolist() == [start % length for start in starts]
    assert indices.min() >= 0 and indices.max() < length
    if frames * stride <= length:
        assert (np.diff(indices, axis=1) == stride).all()
        assert clips == 1 or starts[-1] == room
    by_frame = ByFrame(frames, stride, short).test(constant(length), clips)
    assert by_frame.tolist() == indices.tolist()


@given(sizes, sizes, st.integers(1, 600))
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
    tops, lefts = zip(*three_crops(height, width, size), strict=True)
    along, across = (tops, lefts) if height > width else (lefts, tops)
    assert (along[0], along[2]) == (0, max(height, width) - size)
    for middle, room in ((along[1], along[2]), (across[0], min(height, width) - size)):
        assert 0 <= middle * 2 - room <= 1
    assert len(set(across)) == 1


# --- what all ways have in common ---


@given(gaps, st.integers(1, 12), seeds, st.integers(0, 10**5))
def test_shapes_types_and_bounds_and_only_the_seconds_since_the_first_frame(
    gaps, clips, seed, later
):
    times = varying(gaps)
    for way in WAYS:
        clip, views = way.train(times, np.random.default_rng(seed)), way.test(times, clips)
        assert (clip.dtype, clip.shape) == (np.int64, (8,))
        assert (views.dtype, views.shape) == (np.int64, (clips, 8))
        assert min(clip.min(), views.min()) >= 0 and max(clip.max(), views.max()) < len(times)
        moved = times + later / 100
        assert way.train(moved, np.random.default_rng(seed)).tolist() == clip.tolist()
        assert way.test(moved, clips).tolist() == views.tolist()


def test_a_seed_repeats_and_a_generator_goes_on():
    for way in WAYS:
        times, random = constant(500), np.random.default_rng(3)
        first = way.train(times, random).tolist()
        assert way.train(times, np.random.default_rng(3)).tolist() == first
        assert way.train(times, 3).tolist() == first
        assert any(way.train(times, random).tolist() != first for _ in range(4))


@pytest.mark.filterwarnings("error")
def test_one_frame_is_a_video_too_and_frames_of_the_same_second_do_no_harm():
    for way in WAYS:
        for times in ([0.0], [7.5], np.zeros(5), [0, 0, 0, 0, 9]):
            indices = [*way.train(times, 0), *way.test(times, 2).flat]
            assert min(indices) >= 0 and max(indices) < len(times)


def test_every_start_is_drawn_and_about_equally_often():
    random = np.random.default_rng(0)
    for way in (ByFrame(4, 2), ByTime(4, 12.5)):
        clips = np.array([way.train(constant(13), random) for _ in range(7000)])
        assert (np.diff(clips) == 2).all()
        counted = np.bincount(clips[:, 0])
        assert len(counted) == 7  # 13 - 6 starts, the last one included
        assert counted.min() > 850 and counted.max() < 1150
    drawn = np.array([BySegment(3).train(constant(14), random) for _ in range(4000)])
    for part, frames in enumerate([range(4), range(4, 9), range(9, 14)]):
        counted = np.bincount(drawn[:, part], minlength=14)[list(frames)]
        assert counted.sum() == 4000 and counted.min() > 0.85 * 4000 / len(frames)


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
    st.integers(2, 300), st.integers(1, 24), st.integers(1, 5), rates, st.integers(1, 10), fitted
)
def test_by_time_is_by_frame_at_a_constant_rate(count, frames, stride, rate, clips, short):
    by_frame, by_time = ByFrame(frames, stride, short), ByTime(frames, rate / stride, short)
    times = constant(count, rate)
    expected = outcome(by_frame.test, times, clips)
    assert outcome(by_time.test, times, clips) == expected
    if isinstance(expected, str):
        assert outcome(by_time.train, times, 0) == expected
    elif short == "hold":
        rounded = np.round(times, 3)  # as Matroska writes them
        assert by_time.test(rounded, 1).tolist() == by_frame.test(times, 1).tolist()


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
    # each shown time is at most one frame behind the second wanted
    late = np.abs(shown - shown[0] - np.arange(5) / 10)
    assert late.max() <= max(np.diff(times).max(), 0) + 0.002


def test_a_loop_begins_exactly_where_the_video_ends():
    rates = (24000 / 1001, 25.0, 29.97, 30000 / 1001, 60.0)
    for rate, later, count in itertools.product(rates, (0.0, 1.0, 1234.5), range(2, 40)):
        clip = ByTime(5 * count, rate).test(constant(count, rate) + later, 1)[0]
        assert clip.tolist() == [k % count for k in range(5 * count)]


# --- by span, by segment ---


@given(st.integers(2, 400), st.integers(2, 33), st.integers(1, 8), st.integers(1, 10), rates)
def test_by_span_is_slowfasts_two_functions(count, frames, stride, clips, rate):
    size = stride * frames / 30 * rate
    assume(size >= 1)
    views = BySpan(frames, stride).test(constant(count, rate), clips)
    for clip in range(clips):
        start = max(count - size, 0) * clip / clips
        exact = np.linspace(start, start + size - 1, frames).clip(0, count - 1) + 0.01
        if (np.abs(exact - np.round(exact - 0.01)) < 0.001).any():
            assume(False)  # as close to the next frame as just counts as equal
        assert np.floor(exact).tolist() == views[clip].tolist()


def test_by_span_draws_from_the_whole_room_and_no_further_and_jitter_makes_it_shorter():
    random, way = np.random.default_rng(0), BySpan(32, 2)
    drawn = np.array([way.train(constant(100, 30), random) for _ in range(3000)])
    assert set(drawn[:, 0]) == set(range(36)) and drawn.max() == 99 - 1
    times = constant(300, 30)
    lengths = [np.ptp(BySpan(32, 2, jitter=30).train(times, random)) for _ in range(200)]
    assert 31 <= min(lengths) < 35 and 60 < max(lengths) <= 63


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 6), seeds)
def test_one_frame_of_each_part(count, parts, clips, seed):
    way, times = BySegment(parts), constant(count)
    views = way.test(times, clips)
    first = [part * count // parts for part in range(parts + 1)]
    for row in (way.train(times, np.random.default_rng(seed)), *views):
        if count >= parts:
            assert all(first[part] <= i < first[part + 1] for part, i in enumerate(row))
        else:
            assert row.tolist() == first[:-1]
    if clips == 1 and count % parts == 0:  # the middle is TSM's
        size = count // parts
        tsm = [math.floor(Fraction(size, 2) + size * part) for part in range(parts)]
        assert views[0].tolist() == tsm


# --- trimmed segments ---


@given(gaps, st.data())
def test_frames_between_are_those_on_show(gaps, data):
    times = varying(gaps)
    exact = [round(t * 100) for t in times]
    length = int(duration(times) * 100)
    start = data.draw(st.integers(0, length - 1))
    end = data.draw(st.integers(start + 1, length))
    first, stop = frames_between(times, start / 100, end / 100)
    ends = [*exact[1:], length + 1]  # frame i is on show from its time to that of the next
    shown = [i for i, time in enumerate(exact) if time < end and ends[i] > start]
    assert list(range(first, stop)) == shown


def test_parts_join_without_gap_and_ends_may_be_rounded_up():
    times = np.round(np.arange(300) * 1001 / 30000, 3)
    cuts = [0, 2.002, 5.005, 7.3073, duration(times)]
    parts = [frames_between(times, a, b) for a, b in zip(cuts, cuts[1:], strict=False)]
    assert parts[0][0] == 0 and parts[-1][1] == 300
    assert all(a[1] == b[0] for a, b in zip(parts[:2], parts[1:3], strict=True))
    for times, start, end, expected in (
        (constant(250), None, None, (0, 250)),
        (constant(250), None, 10.03, (0, 250)),
        (constant(250), 9.99, None, (249, 250)),
        (constant(250) + 5, 2, 4, (50, 100)),
        ([0.0], None, None, (0, 1)),
        (constant(250), 0.0395, 0.0399, (1, 2)),  # never no frame at all
    ):
        assert frames_between(times, start, end) == expected


# --- bad input ---


def test_settings_that_are_no_such_numbers_are_named():
    picture, frames = {"height": 9, "width": 9}, {"num_frames": 10}
    for call, rest, names in (
        (train_clip, frames, "num_frames clip_frames stride seed"),
        (even_clips, frames, "num_frames clips clip_frames stride"),
        (span_frames, {}, "clip_frames stride"),
        (span_seconds, {"clip_frames": 4, "stride": 2}, "fps"),
        (resized_size, {**picture, "short_side": 9}, "height width short_side"),
        (three_crops, {**picture, "size": 9}, "height width size"),
        (ByFrame, {}, "clip_frames stride"),
        (ByTime, {}, "clip_frames frames_per_second"),
        (BySpan, {}, "clip_frames stride frames_per_second jitter"),
        (BySegment, {}, "clip_frames"),
        *((way.test, {"times": constant(9)}, "clips") for way in WAYS),
        *((lambda seed, way=way: way.train(constant(9), seed), {}, "seed") for way in WAYS),
    ):
        for name in names.split():
            for wrong, error in ((-1, ValueError), ("7", TypeError), (True, TypeError)):
                with pytest.raises(error, match=f"^{name} is {wrong!r}, but"):
                    call(**{**rest, name: wrong})
            if name not in ("seed", "jitter"):
                with pytest.raises(ValueError, match=f"^{name} is 0, but"):
                    call(**{**rest, name: 0})
    for call in (even_clips, train_clip):
        with pytest.raises(ValueError, match="Did you mean 'loop'"):
            call(10, short="lop")
    for way in (ByFrame, ByTime):
        with pytest.raises(ValueError, match="not one of 'loop', 'hold', 'error'"):
            way(short="wrap")


def test_bad_input_is_named():
    for call, error, words in (
        (lambda: three_crops(256, 200, 224), ValueError, "256x200.*largest that fits is 200"),
        (lambda: ByTime(frames_per_second=math.inf), ValueError, "frames_per_second is inf"),
        (lambda: BySegment().train([], 0), ValueError, r"shape \(0,\).*\(N,\)"),
        (lambda: ByTime().test(np.zeros((2, 2))), ValueError, r"shape \(2, 2\)"),
        (lambda: BySpan().test([0, math.nan]), ValueError, "finite.*frame 1 is shown at nan s"),
        (lambda: BySpan().test([0, math.inf]), ValueError, "finite.*frame 1 is shown at inf s"),
        (lambda: ByFrame().test([0, 2, 1]), ValueError, "frame 2 is shown at 1 s, after 2 s"),
        (lambda: frames_between(constant(250), 3, 3), ValueError, "3 to 3 s ends before it"),
        (lambda: frames_between(constant(250), 5, 2), ValueError, "lasts 10 s"),
        (lambda: frames_between(constant(250), 5, 12), ValueError, "outside.*lasts 10 s"),
        (lambda: frames_between(constant(250), 10, None), ValueError, "outside.*lasts 10 s"),
        (lambda: frames_between(constant(250), -1, 3), ValueError, "start.* is -1"),
        (lambda: frames_between(constant(250), 0, math.nan), ValueError, "end.* is nan"),
        (lambda: frames_between(constant(250), "0:02"), TypeError, "start, in seconds, is '0:02'"),
    ):
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

"""ClipDataset and ViewDataset: the right frames, read once, drawn by (seed, epoch, sample)."""

import itertools
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from numbered import FRAMES, PLAIN, SAMPLING, SIDE, WHOLE, catalog_of, shown
from PIL import Image

from vivit_lab.data import dataset as module
from vivit_lab.data.catalog import Catalog, Segment
from vivit_lab.data.dataset import BadVideoWarning, ClipDataset, TooManyBadVideos, ViewDataset
from vivit_lab.video import TestTransform, TrainTransform, VideoError, VideoReader
from vivit_lab.video.sampling import ByFrame, BySegment


@pytest.fixture(scope="module")
def catalog(paths):
    return catalog_of(paths)


@pytest.fixture
def broken(paths, tmp_path):
    """The same six videos, but the second is empty and the fifth cut in half."""
    copies = [Path(shutil.copy(path, tmp_path)) for path in paths]
    copies[1].write_bytes(b"")
    data = copies[4].read_bytes()
    copies[4].write_bytes(data[: len(data) // 2])
    return catalog_of(copies)


class Counting:
    """Opens as the data set does, and writes down what is read."""

    def __init__(self, monkeypatch):
        self.reads, opened = [], module.open_source

        def open_source(path, fps=None, name=None):
            video = opened(path, fps=fps)
            read = video.read

            def counted(indices, short_side, crop):
                self.reads.append((list(indices), short_side, crop))
                return read(indices, short_side=short_side, crop=crop)

            video.read = counted
            return video

        monkeypatch.setattr(module, "open_source", open_source)


# --- training clips ---


def test_a_clip_shows_frames_at_the_stride_of_the_video_that_was_asked_for(catalog):
    dataset = ClipDataset(catalog, SAMPLING, PLAIN)
    assert len(dataset) == 6
    for number in range(6):
        clip, label = dataset[number]
        video, frames = shown(clip)
        assert (video, label) == (number, number)
        assert np.diff(frames).tolist() == [2, 2, 2]
    assert shown(dataset[-1][0])[0] == 5
    with pytest.raises(IndexError, match="0 to 5"):
        dataset[6]


def test_the_draw_depends_on_seed_epoch_and_sample_and_on_nothing_else(catalog):
    transform = TrainTransform(crop=48, min_short_side=56, max_short_side=80)

    def clips(seed, epoch, order):
        dataset = ClipDataset(catalog, SAMPLING, transform, seed)
        dataset.set_epoch(epoch)
        return {number: dataset[number][0] for number in order}

    first = clips(0, 0, range(6))
    torch.manual_seed(99)
    np.random.seed(99)
    again = clips(0, 0, [3, 3, 5, 0, 2, 4, 1])
    assert all(torch.equal(first[number], again[number]) for number in range(6))
    for other in (clips(1, 0, range(6)), clips(0, 1, range(6))):
        assert not any(torch.equal(first[number], other[number]) for number in range(6))


def test_every_start_is_drawn_in_the_course_of_the_epochs(catalog):
    dataset = ClipDataset(catalog, ByFrame(clip_frames=2, stride=1), PLAIN)
    starts = set()
    for epoch in range(150):
        dataset.set_epoch(epoch)
        starts.add(shown(dataset[2][0])[1][0])
    assert min(starts) == 0 and max(starts) == FRAMES - 2 and len(starts) > 30


def test_a_trimmed_segment_gives_its_own_frames_only(paths):
    segment = Segment(paths[3], 7, start=0.4, end=0.8)  # frames 10 to 19 of 25 a second
    dataset = ClipDataset(Catalog([segment], [""] * 8, "x"), ByFrame(3, 2), PLAIN)
    seen = set()
    for epoch in range(40):
        dataset.set_epoch(epoch)
        seen.update(shown(dataset[0][0])[1])
    assert min(seen) == 10 and max(seen) == 19
    views, _ = ViewDataset(dataset.catalog, ByFrame(3, 2), 2, TestTransform(SIDE, SIDE, 1))[0]
    assert [shown(view)[1] for view in views] == [[10, 12, 14], [14, 16, 18]]


def test_only_the_frames_of_the_clip_are_read_once_at_the_drawn_size(catalog, monkeypatch):
    counting = Counting(monkeypatch)
    dataset = ClipDataset(catalog, SAMPLING, TrainTransform(32, 40, 60))
    for number in range(6):
        dataset[number]
    assert len(counting.reads) == 6
    assert all(len(numbers) == 4 for numbers, *_ in counting.reads)
    assert all(crop[2:] == (32, 32) for *_, crop in counting.reads)
    sizes = {short_side for _, short_side, _ in counting.reads}
    assert len(sizes) > 1 and min(sizes) >= 40 and max(sizes) <= 60


def test_reading_at_the_drawn_size_is_close_to_scaling_afterwards(catalog):
    transform = TrainTransform(48, 56, 80, colour=0, grey=0)
    dataset = ClipDataset(catalog, SAMPLING, transform)
    clip, _ = dataset[2]
    random = module.generator(0, 0, 2)
    numbers = SAMPLING.train(np.arange(FRAMES) / 25, random)
    seed = int(random.integers(2**31))
    with VideoReader(catalog[2].path) as video:
        whole = transform(video.read(numbers), seed=seed)
    assert clip.shape == whole.shape

    def apart(one, other):
        return float((one.float() - other.float()).abs().mean())

    near = apart(clip, whole)  # hard edges of colour, which a file keeps at half the size
    assert near < 6
    for axis in (-1, -2):  # not moved by one pixel
        assert near < apart(clip[..., 1:-1, 1:-1], whole.roll(1, axis)[..., 1:-1, 1:-1])


def test_labels_of_several_heads_none_at_all_and_swapped_by_the_flip(paths):
    two = {"verb": 3, "noun": 40}
    segments = [Segment(paths[0], two), Segment(paths[1], None), Segment(paths[2], 0)]
    dataset = ClipDataset(Catalog(segments, ["left", "right"], "x"), SAMPLING, PLAIN)
    assert [dataset[number][1] for number in range(3)] == [two, None, 0]
    always = TrainTransform(**WHOLE, flip=1, colour=0, grey=0, flip_labels={0: 1, 1: 0})
    flipped = ClipDataset(dataset.catalog, SAMPLING, always)
    clip, label = flipped[2]
    assert label == 1 and torch.equal(clip.flip(-1), dataset[2][0])


def test_a_folder_of_frames_is_a_video_too(paths, tmp_path):
    with VideoReader(paths[2]) as video:
        for number, frame in enumerate(video.read(range(20))):
            Image.fromarray(frame.permute(1, 2, 0).numpy()).save(
                tmp_path / f"frame_{number:010d}.png"
            )
    catalog = Catalog([Segment(tmp_path, 1, fps=25.0)], ["a", "b"], "x")
    clip, label = ClipDataset(catalog, SAMPLING, PLAIN)[0]
    assert label == 1 and shown(clip)[0] == 2


# --- bad videos ---


def test_a_bad_video_is_replaced_by_another_with_a_warning_that_names_it(broken):
    dataset = ClipDataset(broken, SAMPLING, PLAIN, max_bad=2)
    with pytest.warns(BadVideoWarning) as caught:
        clip, label = dataset[1]
    assert any("video_1.mp4: the file is empty" in str(one.message) for one in caught)
    assert shown(clip)[0] == label != 1
    with warnings.catch_warnings(action="error", category=BadVideoWarning):
        dataset[0]
    for bad in (1, 4):
        places = []
        for _ in range(2):
            fetched = ClipDataset(broken, SAMPLING, PLAIN, max_bad=2).fetch(bad)
            assert fetched.bad[0].number == bad and fetched.bad[-1].replaced_by == fetched.number
            assert fetched.label == fetched.number not in (1, 4)
            places.append((fetched.number, shown(fetched.clip)))
        assert places[0] == places[1]


def test_the_replacement_changes_with_the_epoch_and_is_none_that_failed_already(broken):
    dataset, chosen = ClipDataset(broken, SAMPLING, PLAIN, max_bad=2), set()
    worst = catalog_of([broken[number].path for number in (1, 4, 0)])
    unlucky = ClipDataset(worst, SAMPLING, PLAIN, max_bad=2)
    for epoch in range(20):
        dataset.set_epoch(epoch)
        unlucky.set_epoch(epoch)
        chosen.add(dataset.fetch(1).number)
        failed = [bad.number for bad in unlucky.fetch(0).bad]
        assert failed in ([0], [0, 1])
    assert chosen == {0, 2, 3, 5}


def test_too_many_bad_videos_are_an_error_with_names_and_reasons(broken):
    with pytest.raises(TooManyBadVideos, match="video_1.mp4: the file is empty"):
        ClipDataset(broken, SAMPLING, PLAIN, max_bad=0)[1]
    dataset = ClipDataset(broken, SAMPLING, PLAIN, max_bad=1)
    dataset.fetch(0)
    with pytest.raises(TooManyBadVideos) as caught:
        for epoch in range(9):  # the same one over and over counts once
            dataset.set_epoch(epoch)
            dataset.fetch(1)
        dataset.fetch(4)
    said = str(caught.value)
    assert "2 of 6 videos" in said and "max_bad allows 1" in said
    assert "video_1.mp4" in said and "video_4.mp4" in said
    assert "python -m vivit_lab check list.csv" in said


def test_a_share_is_rounded_up(broken):
    assert ClipDataset(broken, max_bad=0.01).bad_limit == 1
    assert ClipDataset(catalog_of([broken[0].path] * 200), max_bad=0.02).bad_limit == 4
    for wrong in (-1, 1.5, -0.1):
        with pytest.raises(ValueError, match="max_bad"):
            ClipDataset(broken, max_bad=wrong)


def test_too_short_beyond_the_end_and_gone_are_bad_too(paths, tmp_path):
    gone = Segment(tmp_path / "gone.mp4", 1)
    beyond = Segment(paths[1], 1, start=30.0, end=32.0)
    good = Segment(paths[0], 0)
    for segment, why in ((gone, "gone.mp4: there is no such file"), (beyond, "lies beyond")):
        dataset = ClipDataset(Catalog([good, segment], ["a", "b"], "x"), SAMPLING, PLAIN)
        fetched = dataset.fetch(1)
        assert fetched.number == 0 and why in fetched.bad[0].reason
        assert str(segment.path) in fetched.bad[0].reason
    long = ByFrame(clip_frames=30, stride=2, short="error")
    dataset = ClipDataset(Catalog([good], ["a"], "x"), long, PLAIN, max_bad=1)
    with pytest.raises(TooManyBadVideos, match="video_0.mp4: .*40 frames"):
        dataset[0]


def test_a_mistake_in_the_code_is_no_bad_video(catalog):
    class Mistaken(TrainTransform):
        def finish(self, clip, draw):
            raise ZeroDivisionError("oh")

    with pytest.raises(ZeroDivisionError):
        ClipDataset(catalog, SAMPLING, Mistaken(**WHOLE), max_bad=5)[0]


def test_an_empty_catalogue_is_refused():
    for kind in (ClipDataset, ViewDataset):
        with pytest.raises(ValueError, match="empty"):
            kind(Catalog([], ["a"], "x"))


# --- views ---


def test_views_are_the_transformed_clips_one_after_the_other(catalog):
    for crops, sampling in itertools.product((1, 3), (SAMPLING, ByFrame(16, 2), BySegment(5))):
        transform = TestTransform(crop=48, short_side=64, crops=crops)
        views, label = ViewDataset(catalog, sampling, clips=3, transform=transform)[2]
        with VideoReader(catalog[2].path) as video:
            numbers = sampling.test(video.times, 3)
            clips = [transform(video.read(clip, short_side=64)) for clip in numbers]
        assert label == 2 and views.dtype == torch.uint8
        assert torch.equal(views, torch.cat(clips))


def test_twelve_views_read_each_frame_once(catalog, monkeypatch):
    counting = Counting(monkeypatch)
    sampling = ByFrame(clip_frames=12, stride=2)  # four clips of 24 in 40 frames overlap
    views, _ = ViewDataset(catalog, sampling, 4, TestTransform(64, 72))[0]
    assert views.shape == (12, 12, 3, 64, 64)
    ((numbers, short_side, crop),) = counting.reads
    assert numbers == sorted(set(sampling.test(np.arange(FRAMES) / 25, 4).ravel().tolist()))
    assert short_side == 72 and crop == (4, 0, 64, 72)  # all that is shown


def test_a_bad_video_never_gets_the_views_of_another(broken):
    transform = TestTransform(48, 64)
    for bad in ("error", "leave_out"):
        dataset = ViewDataset(broken, SAMPLING, 2, transform, bad=bad)
        with pytest.raises(VideoError, match="video_1.mp4: the file is empty"):
            dataset[1]
    fetched = dataset.fetch(1)
    assert fetched.clip is None and fetched.bad[0].replaced_by is None
    assert "video_1.mp4" in str(fetched.bad[0]) and "left out" in str(fetched.bad[0])
    with pytest.raises(VideoError, match=r"video_4\.mp4"):
        ViewDataset(broken, SAMPLING, 2, transform).fetch(4)


def test_one_test_clip_for_a_quick_look(broken):
    transform = TestTransform(crop=48, short_side=64, crops=1)
    dataset = ClipDataset(broken, SAMPLING, transform)
    clip, label = dataset[3]
    views, _ = ViewDataset(broken, SAMPLING, 1, transform)[3]
    assert label == 3 and torch.equal(clip, views[0])
    dataset.set_epoch(7)
    assert torch.equal(dataset[3][0], clip)
    with pytest.raises(TooManyBadVideos):
        dataset[1]
    with pytest.raises(ValueError, match="ViewDataset"):
        ClipDataset(broken, SAMPLING, TestTransform(48, 64, crops=3))

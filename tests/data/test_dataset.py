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

VIEWS = TestTransform(crop=48, short_side=64)


@pytest.fixture(scope="module")
def catalog(paths):
    return catalog_of(paths)


@pytest.fixture
def broken(paths, tmp_path):
    """The same six videos, but the second is empty and the fifth cut in half."""
    copies = [Path(shutil.copy(path, tmp_path)) for path in paths]
    copies[1].write_bytes(b"")
    copies[4].write_bytes(copies[4].read_bytes()[: copies[4].stat().st_size // 2])
    return catalog_of(copies)


def listing(*segments):
    return Catalog(segments, ["a", "b"], "x")


def epochs_of(dataset, count):
    for epoch in range(count):
        dataset.set_epoch(epoch)
        yield dataset


@pytest.fixture
def reads(monkeypatch):
    """What is read: (frames, short side, crop) of each call."""
    reads, opened = [], module.open_source

    def open_source(path, fps=None):
        video = opened(path, fps=fps)
        read = video.read

        def counted(indices, short_side, crop):
            reads.append((list(indices), short_side, crop))
            return read(indices, short_side=short_side, crop=crop)

        video.read = counted
        return video

    monkeypatch.setattr(module, "open_source", open_source)
    return reads


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


def test_every_start_is_drawn_and_a_segment_gives_its_own_frames_only(paths):
    trimmed = Segment(paths[3], 0, start=0.4, end=0.8)  # frames 10 to 19 of 25 a second
    for segment, sampling, epochs, first, last in (
        (Segment(paths[2], 0), ByFrame(clip_frames=2, stride=1), 150, 0, FRAMES - 1),
        (trimmed, ByFrame(3, 2), 40, 10, 19),
    ):
        dataset = ClipDataset(listing(segment), sampling, PLAIN)
        seen = {frame for each in epochs_of(dataset, epochs) for frame in shown(each[0][0])[1]}
        assert min(seen) == first and max(seen) == last and len(seen) > 0.7 * (last - first)
    views, _ = ViewDataset(dataset.catalog, sampling, 2, TestTransform(SIDE, SIDE, 1))[0]
    assert [shown(view)[1] for view in views] == [[10, 12, 14], [14, 16, 18]]


def test_only_the_frames_that_are_shown_are_read_once_and_at_their_size(catalog, reads):
    dataset = ClipDataset(catalog, SAMPLING, TrainTransform(32, 40, 60))
    assert len([dataset[number] for number in range(6)]) == len(reads) == 6
    assert all(len(numbers) == 4 and crop[2:] == (32, 32) for numbers, _, crop in reads)
    sizes = {short_side for _, short_side, _ in reads}
    assert len(sizes) > 1 and min(sizes) >= 40 and max(sizes) <= 60

    reads.clear()
    sampling = ByFrame(clip_frames=12, stride=2)  # four clips of 24 in 40 frames overlap
    views, _ = ViewDataset(catalog, sampling, 4, TestTransform(64, 72))[0]
    assert views.shape == (12, 12, 3, 64, 64)
    ((numbers, short_side, crop),) = reads
    assert numbers == sorted(set(sampling.test(np.arange(FRAMES) / 25, 4).ravel().tolist()))
    assert short_side == 72 and crop == (4, 0, 64, 72)  # all that is shown


def test_reading_at_the_drawn_size_is_close_to_scaling_afterwards(catalog):
    transform = TrainTransform(48, 56, 80, colour=0, grey=0)
    clip, _ = ClipDataset(catalog, SAMPLING, transform)[2]
    random = module.generator(0, 0, 2)
    numbers = SAMPLING.train(np.arange(FRAMES) / 25, random)
    seed = int(random.integers(2**31))
    with VideoReader(catalog[2].path) as video:
        whole = transform(video.read(numbers), seed=seed)
    assert clip.shape == whole.shape

    def apart(other):
        return float((clip.float() - other.float())[..., 1:-1, 1:-1].abs().mean())

    assert apart(whole) < 6  # hard edges of colour, which a file keeps at half the size
    assert all(apart(whole) < apart(whole.roll(1, axis)) for axis in (-1, -2))  # not moved


def test_labels_of_several_heads_none_at_all_and_swapped_by_the_flip(paths, tmp_path):
    with VideoReader(paths[2]) as video:
        for number, frame in enumerate(video.read(range(20))):
            picture = Image.fromarray(frame.permute(1, 2, 0).numpy())
            picture.save(tmp_path / f"frame_{number:010d}.png")
    two = {"verb": 3, "noun": 40}
    segments = [Segment(paths[0], two), Segment(paths[1], None), Segment(paths[2], 0)]
    segments.append(Segment(tmp_path, 1, fps=25.0))  # a folder of frames is a video, too
    dataset = ClipDataset(listing(*segments), SAMPLING, PLAIN)
    assert [dataset[number][1] for number in range(4)] == [two, None, 0, 1]
    assert shown(dataset[3][0])[0] == 2
    always = TrainTransform(**WHOLE, flip=1, colour=0, grey=0, flip_labels={0: 1, 1: 0})
    clip, label = ClipDataset(dataset.catalog, SAMPLING, always)[2]
    assert label == 1 and torch.equal(clip.flip(-1), dataset[2][0])


# --- bad videos ---


def test_a_bad_video_is_replaced_by_another_with_a_warning_that_names_it(broken):
    dataset = ClipDataset(broken, SAMPLING, PLAIN, max_bad=2)
    with pytest.warns(BadVideoWarning, match=r"video_1\.mp4: the file is empty"):
        clip, label = dataset[1]
    assert shown(clip)[0] == label != 1
    with warnings.catch_warnings(action="error", category=BadVideoWarning):
        dataset[0]
    for bad in (1, 4):
        fetched = ClipDataset(broken, SAMPLING, PLAIN, max_bad=2).fetch(bad)
        assert fetched.bad[0].number == bad and fetched.bad[-1].replaced_by == fetched.number
        assert fetched.label == fetched.number not in (1, 4)
        again = ClipDataset(broken, SAMPLING, PLAIN, max_bad=2).fetch(bad)
        assert torch.equal(again.clip, fetched.clip) and again.bad == fetched.bad


def test_the_replacement_changes_with_the_epoch_and_is_none_that_failed_already(broken):
    dataset = ClipDataset(broken, SAMPLING, PLAIN, max_bad=2)
    assert {each.fetch(1).number for each in epochs_of(dataset, 20)} == {0, 2, 3, 5}
    worst = catalog_of([broken[number].path for number in (1, 4, 0)])
    for each in epochs_of(ClipDataset(worst, SAMPLING, PLAIN, max_bad=2), 20):
        assert [bad.number for bad in each.fetch(0).bad] in ([0], [0, 1])


def test_too_many_bad_videos_are_an_error_with_names_and_reasons(broken):
    with pytest.raises(TooManyBadVideos, match="video_1.mp4: the file is empty"):
        ClipDataset(broken, SAMPLING, PLAIN, max_bad=0)[1]
    dataset = ClipDataset(broken, SAMPLING, PLAIN, max_bad=1)
    dataset.fetch(0)
    with pytest.raises(TooManyBadVideos) as caught:
        for each in epochs_of(dataset, 9):  # the same one over and over counts once
            each.fetch(1)
        dataset.fetch(4)
    said = ["2 of 6 videos", "max_bad allows 1", "video_1.mp4", "video_4.mp4"]
    assert all(words in str(caught.value) for words in said)
    assert "python -m vivit_lab check list.csv" in str(caught.value)
    assert ClipDataset(broken, max_bad=0.01).bad_limit == 1  # a share is rounded up
    assert ClipDataset(catalog_of([broken[0].path] * 200), max_bad=0.02).bad_limit == 4
    for wrong in (-1, 1.5, -0.1):
        with pytest.raises(ValueError, match="max_bad"):
            ClipDataset(broken, max_bad=wrong)


def test_too_short_beyond_the_end_and_gone_are_bad_too_but_no_mistake_in_the_code(paths, tmp_path):
    gone, good = Segment(tmp_path / "gone.mp4", 1), Segment(paths[0], 0)
    beyond = Segment(paths[1], 1, start=30.0, end=32.0)
    for segment, why in ((gone, "gone.mp4: there is no such file"), (beyond, "is outside of")):
        fetched = ClipDataset(listing(good, segment), SAMPLING, PLAIN).fetch(1)
        assert fetched.number == 0 and why in fetched.bad[0].reason
        assert str(segment.path) in fetched.bad[0].reason
    long = ByFrame(clip_frames=30, stride=2, short="error")
    with pytest.raises(TooManyBadVideos, match="video_0.mp4: .*40 frames"):
        ClipDataset(listing(good), long, PLAIN, max_bad=1)[0]

    class Mistaken(TrainTransform):
        def finish(self, clip, draw):
            raise ZeroDivisionError("oh")

    with pytest.raises(ZeroDivisionError):
        ClipDataset(listing(good), SAMPLING, Mistaken(**WHOLE), max_bad=5)[0]
    for kind in (ClipDataset, ViewDataset):
        with pytest.raises(ValueError, match="empty"):
            kind(listing())


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


def test_a_bad_video_never_gets_the_views_of_another(broken):
    for bad in ("error", "leave_out"):
        dataset = ViewDataset(broken, SAMPLING, 2, VIEWS, bad=bad)
        with pytest.raises(VideoError, match="video_1.mp4: the file is empty"):
            dataset[1]
    fetched = dataset.fetch(1)
    assert fetched.clip is None and fetched.bad[0].replaced_by is None
    assert "video_1.mp4" in str(fetched.bad[0]) and "left out" in str(fetched.bad[0])
    with pytest.raises(VideoError, match=r"video_4\.mp4"):
        ViewDataset(broken, SAMPLING, 2, VIEWS).fetch(4)


def test_one_test_clip_for_a_quick_look(broken):
    transform = TestTransform(crop=48, short_side=64, crops=1)
    dataset = ClipDataset(broken, SAMPLING, transform)
    views, _ = ViewDataset(broken, SAMPLING, 1, transform)[3]
    for each in epochs_of(dataset, 8):
        clip, label = each[3]
        assert label == 3 and torch.equal(clip, views[0])
    with pytest.raises(TooManyBadVideos):
        dataset[1]
    with pytest.raises(ValueError, match="ViewDataset"):
        ClipDataset(broken, SAMPLING, VIEWS)

"""The long videos of notebook 08: what they show, where something changes, and as files."""

from collections import Counter

import numpy as np
import pytest

from vivit_lab.data import LongVideos, ViewDataset
from vivit_lab.data.long_videos import ACTION, LOOKS
from vivit_lab.video import ByFrame, TestTransform, VideoReader


def changes(video: np.ndarray) -> np.ndarray:
    """How much each frame differs from the one before, beyond what noise can do."""
    apart = np.abs(np.diff(video.astype(int), axis=0))
    return (apart > 2 * LOOKS.noise + 1).sum(axis=(1, 2, 3))


def test_something_changes_in_the_action_and_nowhere_else():
    for seed, frames, height in ((0, 20, 16), (1, 33, 32), (2**31, 80, 16)):
        videos = LongVideos(videos=16, frames=frames, height=height, seed=seed)
        for number in range(16):
            video, (start, stop) = videos.video(number), videos.action(number)
            assert video.shape == (frames, 3, height, 2 * height) and video.dtype == np.uint8
            assert 0 <= start <= frames - ACTION and stop - start == ACTION
            moving = changes(video)  # [i] is from frame i to i + 1
            assert not moving[:start].any() and not moving[stop - 1 :].any()
            assert moving[start : stop - 1].any()


def test_the_action_may_be_anywhere_and_all_pairs_are_equally_frequent():
    videos = LongVideos(videos=2000)
    starts = [videos.action(number)[0] for number in range(2000)]
    assert (min(starts), max(starts)) == (0, 80 - ACTION)
    assert 0.2 < np.mean(np.array(starts) < 15) < 0.3
    pairs = Counter(tuple(videos.label(number).values()) for number in range(80))
    assert len(pairs) == 40 and set(pairs.values()) == {2}
    assert {head: len(names) for head, names in videos.classes.items()} == {"verb": 8, "noun": 5}


def test_before_the_action_the_verb_does_not_show():
    """The same shape, place and colour are possible with every verb: the mean frame is alike."""
    videos = LongVideos(videos=800, height=16)
    first = videos.draw(range(800), np.zeros((800, 1), int))[:, 0].astype(float)
    verbs = np.arange(800) % 8
    means = np.array([first[verbs == verb].mean(axis=0) for verb in range(8)])
    error = first.std(axis=0) / 100**0.5
    assert (np.abs(means - means.mean(axis=0)) / error).max() < 5.5


def test_a_pair_runs_opposite_ways():
    videos, ways = LongVideos(videos=8), []
    for label in range(8):
        scene = videos._scenes([label], np.arange(80)[None])[0]
        smallest, largest = LOOKS.radii
        size = np.log(scene.radius / smallest) / np.log(largest / smallest)
        phase = (scene.column, scene.turn, size, scene.colour / 3)[label // 2]
        start, stop = videos.action(label)
        shaken = np.diff(scene.camera).any(axis=0).nonzero()[0]  # the camera, and only then
        assert shaken.min() == start and shaken.max() == stop - 2
        steps = (np.diff(phase[start:stop]) + 0.5) % 1 - 0.5  # the short way round
        ways.append(np.sign(np.median(steps[steps != 0])))
    assert all(sorted(ways[i : i + 2]) == [-1, 1] for i in (0, 2, 4, 6))


def test_a_video_depends_on_its_number_and_seed_alone_drawn_together_or_not():
    some, more = LongVideos(videos=10), LongVideos(videos=800)
    assert np.array_equal(some.video(7), more.video(7))
    assert some.label(7) == more.label(7) and some.action(7) == more.action(7)
    other = LongVideos(videos=10, seed=1)
    assert not np.array_equal(some.video(7), other.video(7))
    assert [some.action(n) for n in range(10)] != [other.action(n) for n in range(10)]
    videos, frames = LongVideos(videos=9), np.array([[0, 30, 60], [5, 6, 7], [79, 40, 1]])
    together = videos.draw([2, 8, 5], frames)
    for row, number in enumerate((2, 8, 5)):
        assert np.array_equal(together[row], videos.draw([number], frames[row : row + 1])[0])


def test_files_show_the_same_and_are_read_by_the_usual_loader_and_a_folder_in_use_is_left(tmp_path):
    videos = LongVideos(videos=3, frames=24)
    catalog = videos.write(tmp_path / "new")
    assert [segment.label for segment in catalog] == [videos.label(n) for n in range(3)]
    assert catalog.class_names["noun"][0] == "disc"
    with VideoReader(catalog[1].path) as video:
        assert (video.num_frames, video.height, video.width) == (24, 32, 64)
        apart = video.read(range(24)).numpy().astype(int) - videos.video(1)
    assert np.abs(apart).mean() < 8
    views = ViewDataset(catalog, ByFrame(8, 2), 2, TestTransform(crop=32, short_side=32))
    assert views[2][0].shape == (6, 8, 3, 32, 32) and views[2][1] == {"verb": 2, "noun": 0}

    before = sorted((tmp_path / "new").iterdir())
    with pytest.raises(FileExistsError, match="is not empty"):
        LongVideos(videos=1).write(tmp_path / "new")
    assert sorted((tmp_path / "new").iterdir()) == before

"""ClipLoader: the same batches whoever loads them, every sample once, a place to come back to."""

import gc
import multiprocessing
import os
import shutil
import time
import warnings
from pathlib import Path

import pytest
import torch
from numbered import PLAIN, SAMPLING, catalog_of, shown, write_videos
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from vivit_lab.data import ArrowOfTime
from vivit_lab.data.dataset import BadVideoWarning, ClipDataset, TooManyBadVideos, ViewDataset
from vivit_lab.data.loader import ClipLoader
from vivit_lab.video import TestTransform, TrainTransform, VideoError, normalise


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_videos(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def dataset(paths):
    transform = TrainTransform(crop=48, min_short_side=56, max_short_side=72)
    return ClipDataset(catalog_of(paths, repeat=4), SAMPLING, transform)


@pytest.fixture
def broken(paths, tmp_path):
    copies = [Path(shutil.copy(path, tmp_path)) for path in paths]
    copies[1].write_bytes(b"")
    copies[4].write_bytes(b"")
    return catalog_of(copies)


class Slow(Dataset):
    """(number as a clip, number), some milliseconds each."""

    def __init__(self, count, seconds=0.0):
        self.count, self.seconds = count, seconds

    def __len__(self):
        return self.count

    def __getitem__(self, number):
        time.sleep(self.seconds)
        return torch.full((1, 3, 1, 1), number, dtype=torch.uint8), {"verb": number, "noun": 0}


def same(one, other):
    one, other = list(one), list(other)
    assert len(one) == len(other)
    return all(torch.equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y))  # noqa: B905


def numbers(loader):
    return [batch.numbers.tolist() for batch in loader]


# --- batches ---


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_batches_are_the_same_whatever_the_number_of_workers(dataset, workers):
    alone = ClipLoader(dataset, batch_size=5, shuffle=True, seed=3)
    several = ClipLoader(dataset, batch_size=5, shuffle=True, seed=3, workers=workers)
    for epoch in range(2):
        one, other = list(alone), list(several)
        assert same(one, other) and len(one) == len(alone) == 5
        batch = one[0]
        assert batch.clips.shape == (5, 4, 3, 48, 48) and batch.clips.dtype == torch.uint8
        assert batch.labels.tolist() == [number % 6 for number in batch.numbers.tolist()]
        assert alone.epoch == several.epoch == epoch + 1


def test_each_epoch_has_every_sample_in_another_order_with_other_clips(dataset):
    loader = ClipLoader(dataset, batch_size=5, shuffle=True)
    first, second = list(loader), list(loader)
    orders = [torch.cat([batch.numbers for batch in epoch]).tolist() for epoch in (first, second)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(24))
    assert orders[0] != orders[1] and orders[0] != list(range(24))
    row = orders[1].index(orders[0][0])
    assert not torch.equal(first[0].clips[0], torch.cat([b.clips for b in second])[row])
    loader.set_epoch(0)
    assert same(loader, first)
    other = ClipLoader(dataset, batch_size=5, shuffle=True, seed=1)
    assert numbers(other) != [batch.numbers.tolist() for batch in first]
    assert numbers(ClipLoader(dataset, batch_size=5))[0] == [0, 1, 2, 3, 4]


def test_the_last_batch_is_smaller_or_left_out():
    loader = ClipLoader(Slow(10), batch_size=4)
    assert [len(batch.numbers) for batch in loader] == [4, 4, 2] and len(loader) == 3
    loader = ClipLoader(Slow(10), batch_size=4, drop_last=True)
    assert [len(batch.numbers) for batch in loader] == [4, 4] and len(loader) == 2


def test_labels_of_several_heads_and_none(paths):
    batch = next(iter(ClipLoader(Slow(10), batch_size=4)))
    assert (
        batch.labels["verb"].tolist() == [0, 1, 2, 3] and batch.labels["noun"].dtype == torch.int64
    )
    unlabelled = ClipDataset(catalog_of(paths), SAMPLING, PLAIN)
    unlabelled.catalog.segments[:] = [
        type(segment)(segment.path, None) for segment in unlabelled.catalog
    ]
    assert next(iter(ClipLoader(unlabelled, batch_size=2))).labels is None


@pytest.mark.parametrize("workers", [0, 2])
def test_any_map_style_data_set_and_views_go_through(dataset, workers):
    arrows = ClipLoader(ArrowOfTime(clips=8), batch_size=4, workers=workers)
    clips, labels, order = next(iter(arrows))
    assert torch.equal(clips[3], ArrowOfTime(clips=8)[3][0]) and labels.tolist() == [0, 1, 2, 3]
    views = ViewDataset(dataset.catalog, SAMPLING, 2, TestTransform(48, 56))
    batch = next(iter(ClipLoader(views, batch_size=3, workers=workers)))
    assert batch.clips.shape == (3, 6, 4, 3, 48, 48) and torch.equal(batch.clips[1], views[1][0])
    assert batch.clips.movedim(-3, -1).is_contiguous()  # as the decoder has them


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [1, 23, 24])
def test_processes_share_every_sample_and_take_equally_many(count, world_size):
    taken = []
    for rank in range(world_size):
        loader = ClipLoader(Slow(count), 4, shuffle=True, seed=2, rank=rank, world_size=world_size)
        loader.set_epoch(3)
        taken.append([number for batch in numbers(loader) for number in batch])
    assert {len(share) for share in taken} == {-(-count // world_size)}
    everyone = [number for share in taken for number in share]
    assert set(everyone) == set(range(count))
    assert len(everyone) - count == -count % world_size  # repeated, as torch does it


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_workers_may_start_in_every_way(dataset, context):
    if context not in multiprocessing.get_all_start_methods():
        pytest.fail(f"this platform has no {context}")
    with ClipLoader(dataset, batch_size=8, workers=1, shuffle=True, context=context) as loader:
        assert same(loader, ClipLoader(dataset, batch_size=8, shuffle=True))


def test_torchs_random_numbers_are_left_alone(dataset):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    list(ClipLoader(dataset, batch_size=8, workers=1))
    list(ClipLoader(dataset, batch_size=8))
    assert torch.equal(torch.rand(1), expected)


# --- the place ---


@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 0), (2, 1), (1, 3)])
def test_a_saved_place_is_gone_on_from_exactly(dataset, before, after):
    first = ClipLoader(dataset, batch_size=5, shuffle=True, workers=before, prefetch=3)
    expected = list(first) + list(first)  # epochs 0 and 1
    first.set_epoch(0)
    running = iter(first)
    for _ in range(2):
        next(running)
    state = first.state_dict()  # others have been prefetched by now
    second = ClipLoader(dataset, batch_size=5, shuffle=True, workers=after)
    second.load_state_dict(state)
    assert same(list(second) + list(second), expected[2:])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loop_that_was_left_goes_on_where_it_stopped(workers):
    loader = ClipLoader(Slow(10), batch_size=2, workers=workers)
    for batch in loader:
        if batch.numbers[0] == 4:
            break
    assert numbers(loader) == [[6, 7], [8, 9]]
    assert numbers(loader) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]


def test_the_place_on_a_device_counts_what_was_handed_out():
    loader = ClipLoader(Slow(10), batch_size=2, workers=1)
    batches = loader.on("cpu")
    next(batches)
    next(batches)
    assert loader.state_dict()["taken"] == [4]
    batches.close()
    assert len(list(loader.on("cpu"))) == 3 and loader.epoch == 1


def test_a_place_in_other_data_or_another_order_is_refused():
    state = ClipLoader(Slow(10), batch_size=2, shuffle=True).state_dict()
    for wrong in (
        ClipLoader(Slow(11), batch_size=2, shuffle=True),
        ClipLoader(Slow(10), batch_size=2),
        ClipLoader(Slow(10), batch_size=2, shuffle=True, seed=1),
        ClipLoader(Slow(10), batch_size=2, shuffle=True, world_size=2),
    ):
        with pytest.raises(ValueError, match="other batches would follow"):
            wrong.load_state_dict(state)
    ClipLoader(Slow(10), batch_size=5, shuffle=True).load_state_dict(state)


# --- bad videos ---


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_each_replacement_is_warned_of_once_in_the_main_process(broken, workers, capfd):
    dataset = ClipDataset(broken, SAMPLING, PLAIN, max_bad=2)
    loader = ClipLoader(dataset, batch_size=2, workers=workers, shuffle=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")  # which shows equal sentences once
        batches = list(loader) + list(loader)
    loader.close()
    texts = [str(one.message) for one in caught if one.category is BadVideoWarning]
    assert sorted(texts) == sorted(str(bad) for bad in loader.bad)
    assert len(set(texts)) == len(texts)
    for epoch in range(2):
        asked = {bad.number for bad in loader.bad if bad.epoch == epoch}
        assert asked >= {1, 4}
    assert all(one.filename == __file__ for one in caught)
    assert "BadVideo" not in capfd.readouterr().err
    for batch in batches:
        for clip, label, number in zip(batch.clips, batch.labels, batch.numbers, strict=True):
            assert shown(clip)[0] == label == number and label not in (1, 4)
    everyone = torch.cat([batch.numbers for batch in batches])
    assert len(everyone) == 12


@pytest.mark.parametrize("workers", [0, 2])
def test_the_limit_holds_for_all_workers_together(broken, workers):
    dataset = ClipDataset(broken, SAMPLING, PLAIN, max_bad=1)
    # samples 1 and 4 go to different workers, each of which meets one bad video only
    loader = ClipLoader(dataset, batch_size=1, workers=workers)
    with (
        pytest.warns(BadVideoWarning),
        pytest.raises(TooManyBadVideos, match="2 of 6 videos") as caught,
    ):
        loader.set_epoch(next(_replacing_well(dataset)))
        list(loader)
    assert "video_1.mp4" in str(caught.value) and "video_4.mp4" in str(caught.value)


def _replacing_well(dataset):
    """Epochs in which the two bad videos are not replaced by each other."""
    patient = ClipDataset(dataset.catalog, SAMPLING, PLAIN, max_bad=2)
    for epoch in range(100):
        patient.set_epoch(epoch)
        if all(len(patient.fetch(number).bad) == 1 for number in (1, 4)):
            yield epoch


@pytest.mark.parametrize("workers", [0, 1])
def test_test_sets_leave_out_or_fail_but_never_replace(broken, workers):
    transform = TestTransform(48, 56, crops=1)
    strict = ViewDataset(broken, SAMPLING, 2, transform)
    with pytest.raises(VideoError, match="video_1.mp4: the file is empty"):
        list(ClipLoader(strict, batch_size=2, workers=workers))
    lenient = ClipLoader(
        ViewDataset(broken, SAMPLING, 2, transform, bad="leave_out"), 2, workers=workers
    )
    with pytest.warns(BadVideoWarning, match="left out"):
        assert numbers(lenient) == [[0], [2, 3], [5]]
    assert [bad.number for bad in lenient.bad] == [1, 4]
    single = ClipLoader(lenient.dataset, batch_size=1, workers=workers)
    with pytest.warns(BadVideoWarning):  # a batch with nothing left in it is not handed out
        assert numbers(single) == [[0], [2], [3], [5]]


# --- device, time, memory ---


def test_on_a_device_the_pixels_are_normalised(dataset):
    plain = list(ClipLoader(dataset, batch_size=5))
    for workers in (0, 1):
        moved = list(ClipLoader(dataset, batch_size=5, workers=workers).on("cpu"))
        assert len(moved) == len(plain)
        for batch, expected in zip(moved, plain, strict=True):
            assert torch.equal(batch.clips, normalise(expected.clips))
            assert torch.equal(batch.labels, expected.labels)


def test_starving_is_measured():
    slow = ClipLoader(Slow(6, seconds=0.05), batch_size=2)
    list(slow)
    assert slow.waited >= 0.3
    ahead = ClipLoader(Slow(6, seconds=0.05), batch_size=2, workers=1, prefetch=3)
    rests = []
    for _ in range(3):  # the best of three: the machine may stand still for a moment
        waited = []
        for _ in ahead:
            waited.append(ahead.waited)
            time.sleep(0.5)  # training takes longer than loading: hardly any waiting afterwards
        assert waited[0] > 0.1
        rests.append(waited[-1] - waited[0])
    assert min(rests) < 0.2  # what loading the rest takes


def test_a_loader_dropped_in_mid_epoch_leaves_nothing_behind(dataset):
    def left():
        gc.collect()
        return len(multiprocessing.active_children()), len(os.listdir("/proc/self/fd"))

    def drop():
        loader = ClipLoader(dataset, batch_size=4, workers=2)
        for _ in loader:
            break
        return [worker.pid for worker in multiprocessing.active_children()]

    drop()
    before = left()  # of shared memory each piece is an open file
    for _ in range(3):
        assert len(drop()) == before[0] + 2
    for _ in range(100):  # torch's own threads may take a moment to close what they hold
        processes, handles = left()
        if processes == before[0] and handles <= before[1]:
            return
        time.sleep(0.1)
    pytest.fail(f"{processes} processes and {handles} handles are left, before {before}")


def test_close_ends_the_workers_and_the_next_loop_starts_others(dataset):
    loader = ClipLoader(dataset, batch_size=8, workers=2)
    expected = list(loader)
    loader.close()
    assert not multiprocessing.active_children()
    loader.set_epoch(0)
    assert same(loader, expected)
    with loader:
        pass
    assert not multiprocessing.active_children()


# --- settings ---


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"workers": -1}, "workers is -1"),
        ({"rank": 2, "world_size": 2}, "rank is 2.*0 to 1"),
        ({"context": "frok"}, "Did you mean 'fork'"),
        ({"timeout": -1}, "timeout"),
        ({"prefetch": 0}, "prefetch"),
    ],
)
def test_illegal_settings_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        ClipLoader(Slow(4), **settings)


def test_wrappers_that_hide_the_epoch_are_refused(dataset):
    for wrapper in (Subset(dataset, [1, 2]), ConcatDataset([dataset, dataset])):
        with pytest.raises(TypeError, match=r"catalog\[:100\]"):
            ClipLoader(wrapper)
    assert numbers(ClipLoader(Subset(Slow(10), [4, 2]), batch_size=2)) == [[0, 1]]


def test_empty_and_foreign_data_sets_are_refused():
    with pytest.raises(ValueError, match="empty"):
        ClipLoader(TensorDataset(torch.zeros(0, 1), torch.zeros(0)))

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(range(4))

    with pytest.raises(TypeError, match="ShardDataset"):
        ClipLoader(Stream())

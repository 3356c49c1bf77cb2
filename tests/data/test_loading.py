"""ClipLoader: the same batches whoever loads them, every sample once, a place to come back to."""

import gc
import itertools
import json
import multiprocessing
import os
import shutil
import sys
import threading
import time
import warnings
from collections import Counter
from pathlib import Path

import pytest
import torch
from numbered import PLAIN, SAMPLING, Marks, catalog_of, shown
from torch.utils.data import ConcatDataset, IterableDataset, Subset, TensorDataset

from vivit_lab.data import (
    ArrowOfTime,
    BadVideoWarning,
    Catalog,
    ClipDataset,
    ClipLoader,
    Segment,
    TooManyBadVideos,
    ViewDataset,
)
from vivit_lab.video import TestTransform, TrainTransform, VideoError, normalise


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


def same(one, other):
    """Whether two epochs have equal batches."""
    pairs = zip(one, other, strict=True)
    return all(torch.equal(a, b) for pair in pairs for a, b in zip(*pair, strict=True))


def numbers(loader):
    return [batch.numbers.tolist() for batch in loader]


class Named(Marks):
    """Marks of the segments of a catalogue: no video is read."""

    def __init__(self, catalog):
        super().__init__(len(catalog))
        self.catalog = catalog


# --- batches ---


def test_batches_depend_on_seed_and_epoch_alone_and_have_every_sample(dataset):
    settings = {"dataset": dataset, "batch_size": 5, "shuffle": True, "seed": 3}
    alone = ClipLoader(**settings)
    epochs = [list(alone), list(alone)]
    for more in (
        {"workers": 2},
        {"workers": 1, "context": "spawn"},
        {"workers": 1, "context": "fork"},
    ):
        with ClipLoader(**settings, **more) as several:
            for epoch, expected in enumerate(epochs):
                assert several.epoch == epoch and len(several) == len(expected) == 5
                assert same(several, expected)
    orders = [torch.cat([batch.numbers for batch in epoch]).tolist() for epoch in epochs]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(24))
    assert orders[0] != orders[1] and orders[0] != list(range(24))
    batch, row = epochs[0][0], orders[1].index(orders[0][0])
    assert batch.clips.shape == (5, 4, 3, 48, 48) and batch.clips.dtype == torch.uint8
    assert batch.labels.tolist() == [number % 6 for number in batch.numbers.tolist()]
    assert not torch.equal(batch.clips[0], torch.cat([b.clips for b in epochs[1]])[row])
    alone.set_epoch(0)
    for there, here in zip(alone.on("cpu"), epochs[0], strict=True):
        assert torch.equal(there.clips, normalise(here.clips))
        assert torch.equal(there.labels, here.labels)
    assert numbers(ClipLoader(**{**settings, "seed": 1}))[0] != numbers(epochs[0])[0]
    assert numbers(ClipLoader(dataset, batch_size=5))[0] == [0, 1, 2, 3, 4]


def test_the_last_batch_is_smaller_or_left_out():
    for drop_last, sizes in ((False, [4, 4, 2]), (True, [4, 4])):
        loader = ClipLoader(Marks(10), batch_size=4, drop_last=drop_last)
        assert [len(batch.numbers) for batch in loader] == sizes and len(loader) == len(sizes)
        loader.load_state_dict({**loader.state_dict(), "taken": [3]})  # of batches of one or three
        assert sum(len(batch.numbers) for batch in loader) == sum(sizes) - 3


def test_any_map_style_data_set_goes_through_with_labels_of_several_heads_or_none(paths):
    labels = next(iter(ClipLoader(Marks(10), batch_size=4))).labels
    assert labels["verb"].tolist() == [0, 1, 2, 3] and labels["noun"].dtype == torch.int64
    catalog = Catalog([Segment(path, None) for path in paths], ["a"], "x")
    views = ViewDataset(catalog, SAMPLING, 2, TestTransform(48, 56))
    for workers in (0, 1):
        with ClipLoader(ArrowOfTime(clips=8), batch_size=4, workers=workers) as loader:
            clips, labels, _ = next(iter(loader))
        assert torch.equal(clips[3], ArrowOfTime(clips=8)[3][0])
        assert labels.tolist() == [0, 1, 2, 3]
        with ClipLoader(views, batch_size=3, workers=workers) as loader:
            clips, labels, _ = next(iter(loader))
        assert clips.shape == (3, 6, 4, 3, 48, 48) and torch.equal(clips[1], views[1][0])
        assert labels is None and clips.movedim(-3, -1).is_contiguous()  # as the decoder has them


def test_a_part_of_a_data_set_keeps_its_numbers_its_epoch_and_its_limit(dataset, broken):
    for whole in (Marks(10), ArrowOfTime(clips=10)):  # the second makes many at once
        assert numbers(ClipLoader(Subset(whole, [4, 2, 7]), batch_size=2)) == [[4, 2], [7]]
    part = ClipLoader(Subset(dataset, [2, 9]), batch_size=2)
    first, second = list(part) + list(part)
    assert not torch.equal(first.clips, second.clips)
    dataset.set_epoch(1)
    assert torch.equal(second.clips[1], dataset[9][0])
    with pytest.raises(TooManyBadVideos):
        list(ClipLoader(Subset(ClipDataset(broken, SAMPLING, PLAIN, max_bad=0), [0, 4])))


def test_processes_share_every_sample_and_take_equally_many():
    for count, world_size in itertools.product((1, 23, 24), (1, 2, 3, 5)):
        taken = []
        for rank in range(world_size):
            loader = ClipLoader(Marks(count), 4, 0, True, 2, rank=rank, world_size=world_size)
            loader.set_epoch(3)
            taken.append(sum(numbers(loader), []))
        assert {len(share) for share in taken} == {-(-count // world_size)}
        assert set(sum(taken, [])) == set(range(count))  # some repeated, as torch does it


def test_no_process_with_threads_is_forked(monkeypatch):
    """As a Jupyter kernel, whose threads may hold locks: Python warns of it since 3.12."""

    def forked():
        raise AssertionError("this process was forked")

    monkeypatch.setattr(os, "fork", forked)
    waits = threading.Event()
    threading.Thread(target=waits.wait, daemon=True).start()
    with warnings.catch_warnings(action="error"), ClipLoader(Marks(4), 2, workers=1) as loader:
        assert numbers(loader) == [[0, 1], [2, 3]]
    waits.set()


def test_torchs_random_numbers_are_left_alone():
    drawn = set()
    for workers in (0, 1, None):
        torch.manual_seed(0)
        if workers is not None:
            list(ClipLoader(Marks(8), workers=workers))
        drawn.add(torch.rand(1).item())
    assert len(drawn) == 1


# --- the place ---


@pytest.mark.parametrize(("before", "after"), [(0, 1), (2, 0)])
def test_a_saved_place_is_gone_on_from_exactly(dataset, before, after):
    first = ClipLoader(dataset, batch_size=5, shuffle=True, workers=before, prefetch=3)
    expected = list(first) + list(first)  # epochs 0 and 1
    first.set_epoch(0)
    running = iter(first)
    next(running), next(running)
    state = first.state_dict()  # others have been prefetched by now
    second = ClipLoader(dataset, batch_size=5, shuffle=True, workers=after)
    second.load_state_dict(state)
    assert same(list(second) + list(second), expected[2:])


def test_a_loop_that_was_left_goes_on_where_it_stopped():
    for workers in (0, 1):
        loader = ClipLoader(Marks(10), batch_size=2, workers=workers)
        batches = loader.on("cpu")
        next(batches), next(batches)
        there = {worker.pid for worker in multiprocessing.active_children()}
        loader.set_epoch(0)
        assert next(loader.on("cpu")).numbers.tolist() == [0, 1]
        loader.set_epoch(0)
        batches = loader.on("cpu")
        next(batches), next(batches)
        assert loader.state_dict()["taken"] == [4]
        batches.close()
        assert numbers(loader) == [[4, 5], [6, 7], [8, 9]] and loader.epoch == 1
        assert {worker.pid for worker in multiprocessing.active_children()} == there  # no others
        assert numbers(loader) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
        next(iter(loader))
        loader.set_epoch(2)
        assert numbers(loader)[0] == [0, 1] and loader.epoch == 3


def test_a_place_in_other_data_or_another_order_is_refused():
    settings = {"dataset": Marks(10), "batch_size": 2, "shuffle": True}
    state = ClipLoader(**settings).state_dict()
    for wrong in ({"dataset": Marks(11)}, {"shuffle": False}, {"seed": 1}, {"world_size": 2}):
        with pytest.raises(ValueError, match="the next batches would not be the same"):
            ClipLoader(**{**settings, **wrong}).load_state_dict(state)
    ClipLoader(**{**settings, "batch_size": 5}).load_state_dict(state)


def test_balanced_epochs_draw_each_class_equally_often_and_go_on_where_they_stopped():
    labels = [0] * 180 + [1] * 24 + [3] * 6
    catalog = Catalog([Segment(Path("x.mp4"), label) for label in labels], list("abcd"), "l.csv")
    dataset = Named(catalog)
    settings = {"dataset": dataset, "batch_size": 7, "shuffle": "balanced", "seed": 3}
    loader, drawn = ClipLoader(**settings), []
    for _ in range(10):
        drawn.append(list(itertools.chain.from_iterable(numbers(loader))))
    assert {len(epoch) for epoch in drawn} == {len(labels)} and drawn[0] != drawn[1]
    counts = Counter(labels[number] for epoch in drawn for number in epoch)
    assert len(counts) == 3 and all(abs(count - 700) < 87 for count in counts.values())  # 4 sigma
    assert len(set(drawn[0]) & set(range(204, 210))) == 6  # not one of a class for all

    place = ClipLoader(**settings, workers=1)  # in the middle of an epoch, read by another process
    next(batches := iter(place))
    batches.close()
    place.close()
    again = ClipLoader(**settings)
    again.load_state_dict(place.state_dict())
    assert list(itertools.chain.from_iterable(numbers(again))) == drawn[0][7:]
    with pytest.raises(ValueError, match="shuffle = 'balanced', but here shuffle is True"):
        ClipLoader(**{**settings, "shuffle": True}).load_state_dict(place.state_dict())

    ranks = [ClipLoader(**settings, rank=rank, world_size=2) for rank in range(2)]
    shares = [itertools.chain.from_iterable(numbers(rank)) for rank in ranks]
    assert [n for pair in zip(*shares, strict=True) for n in pair] == drawn[0]
    part = ClipLoader(**{**settings, "dataset": Subset(dataset, [0, 1, 2, 205])})
    assert set(itertools.chain.from_iterable(numbers(part))) <= {0, 1, 2, 205}


def test_what_cannot_be_balanced_is_refused():
    heads = Catalog([Segment(Path("x.mp4"), {"verb": 0})], {"verb": ["a"]}, "l.csv")
    for dataset in (Marks(4), Named(heads)):
        with pytest.raises(ValueError, match="with one class for each sample"):
            ClipLoader(dataset, shuffle="balanced")
    with pytest.raises(ValueError, match="Did you mean 'balanced'"):
        ClipLoader(Marks(4), shuffle="balanced ")


# --- bad videos ---


@pytest.mark.parametrize("workers", [0, 2])
def test_each_bad_file_is_warned_of_once_in_the_main_process(broken, workers, capfd):
    """In two epochs, by two workers, with two segments of each file."""
    twice = Catalog(broken.segments * 2, broken.class_names, "x")
    dataset = ClipDataset(twice, SAMPLING, PLAIN, max_bad=4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")  # which shows equal sentences once
        with ClipLoader(dataset, batch_size=2, workers=workers, shuffle=True) as loader:
            batches = list(loader) + list(loader)
            again = ClipLoader(dataset, batch_size=2, shuffle=True)
            again.load_state_dict(json.loads(json.dumps(loader.state_dict())))
            list(again)
    texts = [str(one.message) for one in caught if one.category is BadVideoWarning]
    assert [text.count("video_1") + text.count("video_4") for text in texts] == [1, 1]
    assert sorted(bad.number for bad in loader.bad) == [1, 4, 7, 10] and again.bad == loader.bad
    assert set(texts) <= {str(bad) for bad in loader.bad}
    assert all(one.filename == __file__ for one in caught)
    assert "BadVideo" not in capfd.readouterr().err
    rows = [row for batch in batches for row in zip(*batch, strict=True)]
    assert len(rows) == 24
    for clip, label, number in rows:
        assert shown(clip)[0] == label == number % 6 and label not in (1, 4)


def test_the_limit_holds_for_all_workers_together(broken):
    patient = ClipDataset(broken, SAMPLING, PLAIN, max_bad=2)
    for epoch in range(100):  # in which the two bad videos are not replaced by each other
        patient.set_epoch(epoch)
        if all(len(patient.fetch(number).bad) == 1 for number in (1, 4)):
            break
    for workers in (0, 2):
        # samples 1 and 4 go to different workers, each of which meets one bad video only
        loader = ClipLoader(ClipDataset(broken, SAMPLING, PLAIN, max_bad=1), 1, workers)
        loader.set_epoch(epoch)
        said = r"(?s)2 of 6 videos.*video_1\.mp4.*video_4\.mp4"
        with pytest.warns(BadVideoWarning), pytest.raises(TooManyBadVideos, match=said):
            list(loader)


def test_test_sets_leave_out_or_fail_but_never_replace(broken):
    transform = TestTransform(48, 56, crops=1)
    strict = ViewDataset(broken, SAMPLING, 2, transform)
    lenient = ViewDataset(broken, SAMPLING, 2, transform, bad="leave_out")
    for workers, size, expected in (
        (0, 2, [[0], [2, 3], [5]]),
        (1, 2, [[0], [2, 3], [5]]),
        (0, 1, [[0], [2], [3], [5]]),  # a batch with nothing left in it is not handed out
    ):
        with pytest.raises(VideoError, match=r"^\S*video_1.mp4: the file is empty"):
            list(ClipLoader(strict, size, workers))
        loader = ClipLoader(lenient, size, workers)
        with loader, pytest.warns(BadVideoWarning, match="left out"):
            assert numbers(loader) == expected
        assert [bad.number for bad in loader.bad] == [1, 4]


# --- time, memory ---


def slowly():
    time.sleep(0.3)


def test_starving_is_measured_and_training_is_not(monkeypatch):
    loader = ClipLoader(Marks(8, slowly), batch_size=2)
    begun = time.perf_counter()
    for _ in loader:
        time.sleep(0.1)  # a step of training
    assert 0.3 <= loader.waited <= time.perf_counter() - begun - 4 * 0.1
    loader.dataset.action = None
    loader.waited = 100
    list(loader)
    assert loader.waited < 100  # of this epoch only
    new_loader = loader._new_loader
    monkeypatch.setattr(loader, "_new_loader", lambda: (time.sleep(0.3), new_loader())[1])
    loader.close()
    list(loader)
    assert loader.waited >= 0.3  # with the start of the workers


def test_a_loader_dropped_in_mid_epoch_leaves_nothing_behind_and_close_ends_the_workers():
    def left():
        gc.collect()
        return len(multiprocessing.active_children()), len(os.listdir("/proc/self/fd"))

    def drop():
        next(iter(ClipLoader(Marks(40), batch_size=4, workers=2)))

    drop()
    before = left()  # of shared memory each piece is an open file
    for _ in range(2):
        drop()
    for _ in range(300):  # torch's own threads may take a moment to close what they hold
        processes, handles = left()
        if processes == before[0] and handles <= before[1]:
            break
        time.sleep(0.1)
    else:
        pytest.fail(f"{processes} processes and {handles} handles are left, before {before}")

    loader = ClipLoader(Marks(), batch_size=8, workers=1)
    for _ in range(2):  # the next loop starts others
        loader.set_epoch(0)
        assert numbers(loader) == numbers(ClipLoader(Marks(), batch_size=8))
        assert len(multiprocessing.active_children()) == before[0] + 1
        loader.close()
        assert len(multiprocessing.active_children()) == before[0]


# --- what is refused ---


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(4))


def test_illegal_settings_and_data_sets_are_refused(dataset):
    for error, settings, said in (
        (ValueError, {"batch_size": 0}, "batch_size is 0"),
        (ValueError, {"workers": -1}, "workers is -1"),
        (ValueError, {"rank": 2, "world_size": 2}, "rank is 2.*0 to 1"),
        (ValueError, {"context": "frok"}, "Did you mean 'fork'"),
        (ValueError, {"timeout": -1}, "timeout"),
        (ValueError, {"prefetch": 0}, "prefetch"),
        (ValueError, {"dataset": TensorDataset(torch.zeros(0, 1), torch.zeros(0))}, "empty"),
        (TypeError, {"dataset": ConcatDataset([dataset, dataset])}, "hides the epoch.*Join the"),
        (TypeError, {"dataset": Stream()}, "ShardDataset"),
    ):
        with pytest.raises(error, match=said):
            ClipLoader(**{"dataset": Marks(4), **settings})


def test_what_is_defined_in_a_notebook_is_read_without_workers_only(monkeypatch):
    class Cell(Marks):
        __module__ = "__main__"

    for name in ("__file__", "__spec__"):  # a notebook is no file that workers could import
        monkeypatch.setattr(sys.modules["__main__"], name, None, raising=False)
        monkeypatch.delattr(sys.modules["__main__"], name)
    assert len(list(ClipLoader(Cell(8), 4))) == 2
    transformed = Marks(8)
    transformed.transform = Cell
    for dataset in (Cell(8), transformed, Subset(Cell(8), [1, 2])):
        with pytest.raises(TypeError, match=r"Cell is defined in a notebook.*\.py file.*workers=0"):
            list(ClipLoader(dataset, 4, workers=1))
    assert not multiprocessing.active_children()

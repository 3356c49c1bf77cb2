"""Shards: the same clips as from the files, every sample exactly once, and no silent loss."""

import errno
import io
import itertools
import json
import multiprocessing
import shutil
import struct
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from numbered import PLAIN, SAMPLING, shown, write_videos
from torch.utils.data import DataLoader

from vivit_lab.cli import main
from vivit_lab.data import (
    BadVideoWarning,
    Catalog,
    ClipDataset,
    ClipLoader,
    LoadingError,
    Segment,
    ShardDataset,
    ShardError,
    TooManyBadVideos,
    ViewDataset,
    shards,
    write_shards,
)
from vivit_lab.data.loader import IMPORTED_ONCE
from vivit_lab.video import TestTransform, TrainTransform, VideoError

multiprocessing.set_forkserver_preload(IMPORTED_ONCE)  # who starts it first decides

COUNT = 25  # samples, in shards of 4: seven, the last with one
EVERY = set(range(COUNT))
VIEWS = TestTransform(crop=48, short_side=56)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """25 different files, copies of five videos; in the folders of their classes."""
    folder, segments = tmp_path_factory.mktemp("videos"), []
    names = [f"class {label}" for label in range(5)]
    videos = write_videos(tmp_path_factory.mktemp("five"), 5, frames=12)
    for name in names:
        (folder / name).mkdir()
    for number in range(COUNT):
        path = folder / names[number % 5] / f"{number}.copy.mp4"
        shutil.copy(videos[number % 5], path)
        segments.append(Segment(path, number % 5, name=f"clip {number}"))
    return Catalog(segments, names, source=folder)


@pytest.fixture(scope="module")
def folder(catalog, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards") / "train"
    write_shards(catalog, folder, samples_per_shard=4)
    return folder


class Numbers(ShardDataset):
    """Gives each sample's number at once, without decoding."""

    def _clip(self, sample, random):
        return torch.zeros(1, 3, 1, 1, dtype=torch.uint8), sample.number


def numbers(batches):
    return [batch.numbers.tolist() for batch in batches]


def index_of(folder):
    return json.loads((folder / "index.json").read_text())


def contents(path):
    with tarfile.open(path) as tar:
        return {file.name: tar.extractfile(file).read() for file in tar}


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write_tar(path, files):
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
    return path


# --- writing ---


def test_the_bytes_are_those_of_the_files_and_the_index_says_all(catalog, folder):
    index, seen = index_of(folder), []
    assert index["samples"] == COUNT and index["left_out"] == []
    assert index["class_names"] == catalog.class_names
    assert [shard["samples"] for shard in index["shards"]] == [4] * 6 + [1]
    names = [f"{number:06d}.tar" for number in range(7)]
    assert sorted(files_of(folder)) == [*names, "index.json"]
    for name in names:
        files = contents(folder / name)
        for label in filter(lambda file: file.endswith(".json"), files):
            about = json.loads(files[label])
            segment = catalog[about["number"]]
            assert files[label.replace(".json", ".mp4")] == segment.path.read_bytes()
            assert (about["name"], about["label"]) == (segment.name, segment.label)
            seen.append(about["number"])
    assert sorted(seen) == list(range(COUNT)) != seen  # in a random order
    write_shards(catalog, folder.parent / "again", samples_per_shard=4)
    assert files_of(folder.parent / "again") == files_of(folder)


def test_a_shard_ends_after_so_many_megabytes(catalog, tmp_path):
    segments = []
    for segment in catalog[:3]:
        segments.append(Segment(Path(shutil.copy(segment.path, tmp_path)), 0))
        with open(segments[-1].path, "ab") as file:
            file.write(struct.pack(">I4s", 600_000, b"free") + bytes(599_992))
    write_shards(Catalog(segments, ["a"], "x"), tmp_path / "out", megabytes_per_shard=1)
    assert [shard["samples"] for shard in index_of(tmp_path / "out")["shards"]] == [2, 1]


def test_bad_videos_are_reported_and_left_out(catalog, tmp_path):
    empty, frames = tmp_path / "empty.mp4", tmp_path / "frames"
    empty.write_bytes(b"")
    frames.mkdir()
    bad = [Segment(empty, 1), Segment(catalog[1].path, 1, start=9.0, end=11.0)]
    bad.append(Segment(frames, 0, fps=25.0))
    report = write_shards(
        Catalog([*catalog[:2], bad[0], *bad[2:]], ["a", "b"], "x"), tmp_path / "a", 1
    )
    assert (report.samples, report.shards, len(report.left_out)) == (2, 2, 2)
    assert "empty.mp4: the file is empty" in str(report) and "frames: " in str(report)
    assert index_of(tmp_path / "a")["left_out"] == report.left_out
    assert len(list((tmp_path / "a").glob("*.tar"))) == 2
    with pytest.raises(ShardError, match=r"none of the videos(?s:.*)1\.copy\.mp4.*outside"):
        write_shards(Catalog(bad, ["a", "b"], "x"), tmp_path / "none")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_an_interruption_is_gone_on_from(catalog, folder, tmp_path, monkeypatch, error):
    out, calls, write = tmp_path / "100% out", [], shards.wds.TarWriter.write

    def failing(self, sample):
        calls.append(sample["__key__"])
        if len(calls) == 11:  # in the third shard
            raise error
        return write(self, sample)

    monkeypatch.setattr(shards.wds.TarWriter, "write", failing)
    with pytest.raises(type(error)):
        write_shards(catalog, out, samples_per_shard=4)
    with pytest.raises(ShardError, match="unfinished"):
        ShardDataset(out)
    with pytest.raises(ShardError, match="other shards in it"):
        write_shards(catalog, out, samples_per_shard=5)
    write_shards(catalog, out, samples_per_shard=4)
    assert len(calls) == 11 + COUNT - 8  # the first two shards were kept
    assert files_of(out) == files_of(folder)


# --- reading ---


def test_clips_and_views_out_of_a_shard_are_those_out_of_the_file(catalog, folder):
    transform = TrainTransform(crop=48, min_short_side=56, max_short_side=72)
    files = ClipDataset(catalog, SAMPLING, transform, seed=3)
    stored = ShardDataset(folder, SAMPLING, transform, seed=3)
    assert stored.class_names == catalog.class_names and len(stored) == COUNT
    for epoch in range(2):
        files.set_epoch(epoch)
        fetched = list(stored.stream(epoch))
        assert sorted(one.number for one in fetched) == list(range(COUNT))
        for one in fetched:
            clip, label = files[one.number]
            assert torch.equal(one.clip, clip) and one.label == label
    views = ViewDataset(catalog, SAMPLING, 2, VIEWS)
    stored = ShardDataset(folder, SAMPLING, VIEWS, shuffle=False, clips=2)
    batch = next(iter(ClipLoader(stored, batch_size=3)))
    for clip, number in zip(batch.clips, batch.numbers.tolist(), strict=True):
        assert torch.equal(clip, views[number][0])


def streamed(dataset, monkeypatch, workers, rank, *share):
    """What the workers of a process get of an epoch, as numbers of samples."""
    found = []
    for worker in range(workers):
        info = SimpleNamespace(id=worker, num_workers=workers)
        monkeypatch.setattr(shards, "get_worker_info", lambda info=info: info)
        found.append([one.number for one in dataset.stream(3, rank, *share)])
    return found


def test_every_sample_comes_and_all_processes_make_equally_many_steps(folder, monkeypatch):
    training = Numbers(folder, buffer=3)
    testing = Numbers(folder, transform=VIEWS, buffer=3)
    pattern = Numbers(f"{folder}/{{000000..000006}}.tar", buffer=3)
    for dataset, last, count in ((training, False, 26), (training, True, 24), (testing, False, 25)):
        settings = {"batch_size": 2, "drop_last": last, "world_size": 2}
        loaders = [ClipLoader(dataset, rank=rank, **settings) for rank in range(2)]
        both = [numbers(loader) for loader in loaders]
        assert [len(each) for each in both] == [len(loader) for loader in loaders]
        assert len(both[0]) == len(both[1]) or dataset is testing  # gradients meet at each step
        found = sum(both[0] + both[1], [])
        assert len(found) == count and len(set(found)) == min(count, COUNT)
    for world_size, workers in itertools.product((1, 2, 3, 5), (1, 2, 3)):
        for dataset, drop_last in ((training, False), (training, True), (testing, False)):
            share, processes = (world_size, 2, drop_last), []
            for rank in range(world_size):
                found = streamed(dataset, monkeypatch, workers, rank, *share)
                assert sum(len(each) % 2 for each in found) <= 1  # the last batch may be small
                steps = sum(-(-len(each) // 2) for each in found)
                assert steps == dataset.batches(rank, *share)
                processes.append(sum(found, []))
            together, lengths = sum(processes, []), {len(each) for each in processes}
            if dataset is testing:  # an evaluation counts each sample once
                assert sorted(together) == sorted(EVERY) and max(lengths) - min(lengths) <= 1
            elif drop_last:
                assert lengths == {COUNT // world_size // 2 * 2}
                assert len(set(together)) == len(together)
            else:  # as with files
                assert lengths == {-(-COUNT // world_size)} and set(together) == EVERY
        ranks = range(world_size)  # without an index whole shards
        found = [streamed(pattern, monkeypatch, workers, rank, *share) for rank in ranks]
        assert sorted(sum(sum(found, []), [])) == sorted(EVERY)
    with pytest.raises(TypeError, match="no index"):
        len(pattern)


def test_plain_loaders_of_torch_pipes_and_urls(folder):
    loader = DataLoader(Numbers(folder), None, num_workers=2, multiprocessing_context="forkserver")
    assert sorted(int(label) for _, label in loader) == sorted(EVERY)
    pipes = [f"pipe:cat {path}" for path in sorted(folder.glob("*.tar"))]
    assert sorted(label for _, label in Numbers(pipes)) == sorted(EVERY)
    assert len(list(Numbers(f"file:{folder}/000002.tar"))) == 4
    with pytest.raises(ShardError, match="pipe:exit 3"):
        list(Numbers("pipe:exit 3"))


def test_the_order_changes_with_the_epoch_and_the_seed_and_shuffles_within_the_buffer(folder):
    def order(epoch, source=folder, **settings):
        dataset = Numbers(source, **settings)
        dataset.set_epoch(epoch)
        return [label for _, label in dataset]

    stored = order(0, shuffle=False)
    assert stored == order(1, shuffle=False)
    assert order(0) == order(0) != order(1) and order(0) != order(0, seed=1) and order(0) != stored
    # not only the shards change places
    assert len({tuple(order(epoch, folder / "000000.tar")) for epoch in range(9)}) > 1
    inside = order(0, buffer=1)  # the shards in another order, the samples in theirs
    assert inside != stored
    inside.remove(stored[-1])
    blocks = [stored[start : start + 4] for start in range(0, 24, 4)]
    assert sorted(inside[start : start + 4] for start in range(0, 24, 4)) == sorted(blocks)


def test_a_loop_goes_on_but_a_resume_starts_the_epoch_again_and_says_so(folder):
    orders = []
    for workers in (0, 1):
        with ClipLoader(Numbers(folder, buffer=5), batch_size=2, workers=workers) as loader:
            epochs = [numbers(loader) for _ in range(2)]
            assert epochs[0] != epochs[1] and len(loader) == len(epochs[0]) == 13
            orders.append(epochs)
            loader.set_epoch(1)
            first = numbers(batch for _, batch in zip(range(3), loader, strict=False))
            state = loader.state_dict()
            assert state["taken"] == [6] and first == epochs[1][:3]
            assert numbers(loader) == epochs[1][3:]
            with pytest.warns(UserWarning, match="epoch 1 starts again, although 6 of its samples"):
                loader.load_state_dict(state)
            assert loader.state_dict()["taken"] == [0] and numbers(loader) == epochs[1]
    assert orders[0] == orders[1]  # in any process
    with pytest.raises(ValueError, match="the next batches would not be the same"):
        loader.load_state_dict({**state, "samples": 24})


# --- bad samples, bad shards ---


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_bad_video_in_a_shard_is_replaced_with_a_warning(folder, tmp_path, shuffle):
    first = next(iter(Numbers(folder, shuffle=False)))[1]  # before which there is no sound one
    emptied = {first, (first + 7) % COUNT}
    bad = shutil.copytree(folder, tmp_path / "bad")
    index = index_of(bad)
    for shard in index["shards"]:
        path = bad / shard["file"]
        videos = {f"{number:08d}.mp4" for number in emptied}
        files = {name: b"" if name in videos else data for name, data in contents(path).items()}
        shard["bytes"] = write_tar(path, files).stat().st_size
    (bad / "index.json").write_text(json.dumps(index))

    dataset = ShardDataset(bad, SAMPLING, PLAIN, max_bad=2, shuffle=shuffle, buffer=4)
    loader = ClipLoader(dataset, batch_size=4)
    with pytest.warns(BadVideoWarning, match=rf"\.tar: clip {first} "):
        batches = list(loader)
    found = sum(numbers(batches), [])
    assert len(found) == COUNT and set(found) == EVERY - emptied
    assert {one.number for one in loader.bad} == emptied
    for batch in batches:
        for clip, label in zip(batch.clips, batch.labels.tolist(), strict=True):
            assert shown(clip)[0] == label
    with pytest.warns(BadVideoWarning), pytest.raises(TooManyBadVideos, match="2 of 25"):
        list(ClipLoader(ShardDataset(bad, SAMPLING, PLAIN, max_bad=1, shuffle=False), 4, workers=1))
    with pytest.raises(VideoError, match=rf"clip ({'|'.join(map(str, emptied))}) "):
        list(ShardDataset(bad, SAMPLING, VIEWS))


def test_what_is_wrong_in_a_shard_is_named_with_the_shard(catalog, folder, tmp_path):
    whole = (folder / "000002.tar").read_bytes()
    path, video = tmp_path / "a.tar", catalog[1].path.read_bytes()
    for cut in (100, 512 * 9, len(whole) // 2):
        path.write_bytes(whole[:cut])
        with pytest.raises(ShardError, match=r"a\.tar cannot be read: "):
            list(Numbers(str(path)))
    with pytest.raises(LoadingError, match=r"a\.tar cannot be read: "):
        list(ClipLoader(Numbers(str(path)), batch_size=2, workers=1))
    for files, said in (
        ({"7.mp4": b"x"}, "sample 7 should be .* but has mp4 "),
        ({"7.mp4": b"x", "7.json": b"{}"}, "sample 7 should be .* but has mp4, json "),
        ({"7.mp4": b"x", "7.json": b"[]"}, "sample 7 should be"),
        ({"7.mp4": b"x", "7.json": b"{"}, "sample 7 should be"),
        ({"7.mp4": b"x", "7.cls": b"two"}, "sample 7 should be"),
        ({"7.json": b'{"label": 1}'}, "sample 7 should be .* but has json "),
        ({"7.avi": b"x", "7.mp4": b"x", "7.cls": b"1"}, "sample 7 should be"),
        ({"7.mp4": b"", "7.cls": b"1"}, "None of the videos can be used"),
    ):
        write_tar(path, files)
        with pytest.raises(ShardError, match=said):
            list(ShardDataset(str(path), SAMPLING, PLAIN))
    write_tar(path, {"x/7.mp4": video, "x/7.cls": b"4"})  # as others make them
    ((clip, label),) = ShardDataset(str(path), SAMPLING, PLAIN)
    assert label == 4 and shown(clip)[0] == 1


def test_what_is_there_stays_and_what_is_no_folder_of_shards_is_refused(catalog, folder, tmp_path):
    notes, none = tmp_path / "notes.txt", tmp_path / "none"
    notes.write_text("mine")
    twice = [Segment(catalog[0].path, 0, 0.0, 0.2), Segment(catalog[0].path, 1, 0.2, 0.4)]
    twice = Catalog(twice, ["a", "b"], "x")
    broken = shutil.copytree(folder, tmp_path / "broken")
    index, shard = index_of(broken), broken / "000002.tar"
    index["shards"][2]["samples"] = 5
    (broken / "index.json").write_text(json.dumps(index))
    for call, said in (
        (lambda: write_shards(catalog, folder), "other shards in it"),
        (lambda: write_shards(catalog, tmp_path), "not empty"),
        (lambda: write_shards(twice, none), "several segments are of one video.*ffmpeg"),
        (lambda: ShardDataset(tmp_path), "has an index.json .* vivit_lab shard"),
        (lambda: ShardDataset(tmp_path / "none.tar"), "no such shard.* vivit_lab shard"),
        (lambda: list(Numbers(broken)), "000002.tar cannot be read: it ends after 4 of 5 samples"),
        (lambda: shard.write_bytes(b"") or Numbers(broken), "000002.tar: it has 0 of .* bytes"),
        (lambda: shard.unlink() or Numbers(broken), "000002.tar: it has 0 of"),
    ):
        with pytest.raises(ShardError, match=said):
            call()
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "broken"}
    with pytest.raises(ValueError, match="shuffle to ShardDataset"):
        ClipLoader(ShardDataset(folder), shuffle=True)


# --- the command ---


def test_the_command_reports_and_goes_on_after_ctrl_c(catalog, tmp_path, monkeypatch, capsys):
    (catalog.source / "class 4" / "empty.mp4").write_bytes(b"")
    command = ["shard", str(catalog.source), str(tmp_path / "out"), "--samples", "10", "--in-order"]

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shards.wds.ShardWriter, "close", stop)
        assert main(command) == 130
    assert "continues from here" in capsys.readouterr().err
    assert main(command) == 1
    said = capsys.readouterr().out
    assert "25 videos in 3 shards" in said and "empty.mp4: the file is empty" in said
    assert sorted(label for _, label in Numbers(tmp_path / "out")) == sorted(EVERY)
    assert main(command) == 2
    assert "other shards in it" in capsys.readouterr().err
    assert main(["shard", str(tmp_path / "none"), str(tmp_path / "other")]) == 2

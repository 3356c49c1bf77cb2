"""Shards: the same clips as from the files, every sample exactly once, and no silent loss."""

import errno
import io
import json
import multiprocessing
import re
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


@pytest.fixture(scope="module")
def short_paths(tmp_path_factory):
    """25 different files: copies of five videos."""
    folder = tmp_path_factory.mktemp("videos")
    videos = write_videos(folder, 5, frames=12)
    return [
        Path(shutil.copy(videos[number % 5], folder / f"{number}.copy.mp4"))
        for number in range(COUNT)
    ]


@pytest.fixture(scope="module")
def catalog(short_paths):
    segments = [
        Segment(path, number % 5, name=f"clip {number}") for number, path in enumerate(short_paths)
    ]
    return Catalog(segments, [f"class {label}" for label in range(5)], source="list.csv")


@pytest.fixture(scope="module")
def folder(catalog, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards") / "train"
    write_shards(catalog, folder, samples_per_shard=4)
    return folder


class Numbers(ShardDataset):
    """Gives each sample's number at once, without decoding."""

    def _clip(self, sample, random):
        return torch.zeros(1, 3, 1, 1, dtype=torch.uint8), sample.number


def index_of(folder):
    return json.loads((folder / "index.json").read_text())


def contents(path):
    with tarfile.open(path) as tar:
        return {file.name: tar.extractfile(file).read() for file in tar}


def write_tar(path, files):
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))


# --- writing ---


def test_the_bytes_are_those_of_the_files_and_the_index_says_all(catalog, folder):
    index = index_of(folder)
    assert index["samples"] == COUNT and index["left_out"] == []
    assert index["class_names"] == catalog.class_names
    assert [shard["samples"] for shard in index["shards"]] == [4] * 6 + [1]
    names = [f"{number:06d}.tar" for number in range(7)]
    assert sorted(path.name for path in folder.iterdir()) == [*names, "index.json"]
    seen = []
    for name in names:
        files = contents(folder / name)
        for label in [label for label in files if label.endswith(".json")]:
            about = json.loads(files[label])
            segment = catalog[about["number"]]
            assert files[label.replace(".json", ".mp4")] == segment.path.read_bytes()
            assert (about["name"], about["label"]) == (segment.name, segment.label)
            seen.append(about["number"])
    assert sorted(seen) == list(range(COUNT)) != seen  # in a random order
    other = folder.parent / "again"
    write_shards(catalog, other, samples_per_shard=4)
    assert all((other / path.name).read_bytes() == path.read_bytes() for path in folder.iterdir())


def test_a_shard_ends_after_so_many_megabytes(short_paths, tmp_path):
    segments = []
    for number in range(3):
        path = Path(shutil.copy(short_paths[number], tmp_path))
        with open(path, "ab") as file:
            file.write(struct.pack(">I4s", 600_000, b"free") + bytes(599_992))
        segments.append(Segment(path, 0))
    write_shards(Catalog(segments, ["a"], "x"), tmp_path / "out", megabytes_per_shard=1)
    assert [shard["samples"] for shard in index_of(tmp_path / "out")["shards"]] == [2, 1]


def test_what_is_there_stays_and_one_video_is_not_stored_twice(catalog, folder, tmp_path):
    with pytest.raises(ShardError, match="other shards in it"):
        write_shards(catalog, folder)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ShardError, match="not empty"):
        write_shards(catalog, tmp_path)
    twice = [Segment(catalog[0].path, 0, 0.0, 0.2), Segment(catalog[0].path, 1, 0.2, 0.4)]
    with pytest.raises(ShardError, match="several segments are of one video.*ffmpeg"):
        write_shards(Catalog(twice, ["a", "b"], "x"), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_bad_videos_are_reported_and_left_out(short_paths, tmp_path):
    empty, frames = tmp_path / "empty.mp4", tmp_path / "frames"
    empty.write_bytes(b"")
    frames.mkdir()
    beyond = Segment(short_paths[1], 1, start=9.0, end=11.0)
    segments = [Segment(short_paths[0], 0), Segment(empty, 1), beyond, Segment(short_paths[2], 2)]
    segments.append(Segment(frames, 0, fps=25.0))
    report = write_shards(Catalog(segments, ["a", "b", "c"], "x"), tmp_path / "out", 1)
    assert (report.samples, report.shards, len(report.left_out)) == (2, 2, 3)
    assert "empty.mp4: the file is empty" in str(report) and "frames: " in str(report)
    assert any("1.copy.mp4" in why and "beyond" in why for why in report.left_out)
    assert index_of(tmp_path / "out")["left_out"] == report.left_out
    assert len(list((tmp_path / "out").glob("*.tar"))) == 2
    with pytest.raises(ShardError, match="not one of the videos"):
        write_shards(Catalog([segments[1]], ["a", "b"], "x"), tmp_path / "none")


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
    names = sorted(path.name for path in folder.iterdir())
    assert sorted(path.name for path in out.iterdir()) == names
    assert all((out / name).read_bytes() == (folder / name).read_bytes() for name in names)


# --- reading ---


def test_a_clip_out_of_a_shard_is_that_out_of_the_file(catalog, folder):
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
    plain = list(ShardDataset(folder, SAMPLING, PLAIN))
    assert sorted(shown(clip)[0] for clip, _ in plain) == sorted(label for _, label in plain)


def test_views_come_out_of_shards_too(catalog, folder):
    transform = TestTransform(crop=48, short_side=56)
    stored = ShardDataset(folder, SAMPLING, transform, shuffle=False, clips=2)
    views = ViewDataset(catalog, SAMPLING, 2, transform)
    batch = next(iter(ClipLoader(stored, batch_size=3)))
    for clip, number in zip(batch.clips, batch.numbers.tolist(), strict=True):
        assert torch.equal(clip, views[number][0])


def streamed(dataset, monkeypatch, world_size, workers, **share):
    """What each process gets of an epoch, worker by worker, as numbers of samples."""
    found = []
    for rank in range(world_size):
        found.append([])
        for worker in range(workers):
            info = SimpleNamespace(id=worker, num_workers=workers)
            monkeypatch.setattr(shards, "get_worker_info", lambda info=info: info)
            numbers = [one.number for one in dataset.stream(3, rank, world_size, **share)]
            found[-1].append(numbers)
    return found


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_every_sample_comes_and_all_processes_make_equally_many_steps(
    folder, monkeypatch, world_size
):
    training = Numbers(folder, buffer=3)
    testing = Numbers(folder, transform=TestTransform(48, 56), buffer=3)
    for workers in (1, 2, 3):
        share = {"world_size": world_size, "workers": workers, "batch_size": 2}
        for dataset, drop_last in ((training, False), (training, True), (testing, False)):
            found = streamed(dataset, monkeypatch, drop_last=drop_last, **share)
            everyone = [sum(process, []) for process in found]
            lengths = {len(process) for process in everyone}
            for rank, process in enumerate(found):  # only one batch of a process may be small
                assert sum(len(worker) % 2 for worker in process) <= 1
                steps = sum(-(-len(worker) // 2) for worker in process)
                assert steps == dataset.batches(rank, world_size, 2, drop_last)
            numbers = sorted(sum(everyone, []))
            if dataset is testing:  # an evaluation counts each sample once
                assert numbers == list(range(COUNT)) and max(lengths) - min(lengths) <= 1
            elif drop_last:
                assert lengths == {COUNT // world_size // 2 * 2}
                assert len(set(numbers)) == len(numbers)
            else:  # as with files
                assert lengths == {-(-COUNT // world_size)} and set(numbers) == set(range(COUNT))
        pattern = Numbers(f"{folder}/{{000000..000006}}.tar", buffer=3)
        found = streamed(pattern, monkeypatch, drop_last=False, **share)
        assert sorted(sum(sum(found, []), [])) == list(range(COUNT))  # whole shards
    with pytest.raises(TypeError, match="no index"):
        len(pattern)


def one_of_two(rank, folder, store, answers):
    """Train and evaluate as one of two processes, which meet at each step."""
    meeting = {"init_method": f"file://{store}", "rank": rank, "world_size": 2}
    torch.distributed.init_process_group("gloo", **meeting)
    for transform in (None, TestTransform(48, 56)):
        dataset = Numbers(folder, transform=transform)
        numbers, both = [], [None, None]
        for batch in ClipLoader(dataset, 2, rank=rank, world_size=2):
            numbers += batch.numbers.tolist()
            if transform is None:  # gradients meet: a step that the other does not make hangs
                torch.distributed.all_reduce(torch.ones(1))
        torch.distributed.all_gather_object(both, numbers)
        answers.put(both)
    torch.distributed.destroy_process_group()


def test_two_processes_meet_at_every_step_and_evaluate_every_sample_once(folder, tmp_path):
    context = multiprocessing.get_context("forkserver")
    answers = context.Queue()
    arguments = folder, tmp_path / "store", answers
    both = [context.Process(target=one_of_two, args=(rank, *arguments)) for rank in range(2)]
    for process in both:
        process.start()
    found = [answers.get(timeout=300) for _ in range(4)]
    for process in both:
        process.join()
        assert process.exitcode == 0
    assert found[0] != found[-1]
    for one, other in found:
        if len(one) == len(other):
            assert len(one) == 13 and set(one + other) == set(range(COUNT))
        else:
            assert sorted(one + other) == list(range(COUNT))
    assert sum(len(one) == len(other) for one, other in found) == 2


def test_plain_data_loaders_of_torch_share_it_out_to_their_workers(folder):
    loader = DataLoader(Numbers(folder), None, num_workers=2, multiprocessing_context="forkserver")
    assert sorted(int(label) for _, label in loader) == list(range(COUNT))


def test_pipes_and_urls_are_read_as_webdataset_reads_them(folder):
    pipes = [f"pipe:cat {path}" for path in sorted(folder.glob("*.tar"))]
    assert sorted(label for _, label in Numbers(pipes)) == list(range(COUNT))
    sample = next(iter(Numbers(f"file:{folder}/000002.tar", shuffle=False)))
    assert sample[1] in range(COUNT)
    with pytest.raises(ShardError, match="pipe:exit 3"):
        list(Numbers("pipe:exit 3"))


def test_the_order_changes_with_the_epoch_and_the_seed_and_shuffles_within_the_buffer(folder):
    def order(epoch, **settings):
        dataset = Numbers(folder, **settings)
        dataset.set_epoch(epoch)
        return [label for _, label in dataset]

    stored = order(0, shuffle=False)
    assert stored == order(1, shuffle=False)
    assert order(0) == order(0) != order(1) and order(0) != order(0, seed=1) and order(0) != stored
    one, orders = Numbers(folder / "000000.tar"), set()
    for epoch in range(9):
        one.set_epoch(epoch)
        orders.add(tuple(label for _, label in one))
    assert len(orders) > 1  # not only the shards change places
    inside = order(0, buffer=1)  # the shards in another order, the samples in theirs
    blocks = [stored[start : start + 4] for start in range(0, COUNT, 4)]
    last = inside.index(blocks[-1][0])
    del inside[last]
    assert sorted(inside[start : start + 4] for start in range(0, 24, 4)) == sorted(blocks[:-1])


def test_a_loop_goes_on_but_a_resume_starts_the_epoch_again_and_says_so(folder):
    for workers in (0, 1):
        loader = ClipLoader(Numbers(folder, buffer=5), batch_size=2, workers=workers)
        epochs = [[batch.numbers.tolist() for batch in loader] for _ in range(2)]
        assert epochs[0] != epochs[1] and len(loader) == len(epochs[0]) == 13
        loader.set_epoch(1)
        first = [batch.numbers.tolist() for _, batch in zip(range(3), loader, strict=False)]
        state = loader.state_dict()
        assert state["taken"] == [6] and first == epochs[1][:3]
        assert [batch.numbers.tolist() for batch in loader] == epochs[1][3:]
        with pytest.warns(UserWarning, match="epoch 1 starts again, though 6 of its samples"):
            loader.load_state_dict(state)
        assert [batch.numbers.tolist() for batch in loader] == epochs[1]
        loader.close()
    with pytest.raises(ValueError, match="other batches would follow"):
        loader.load_state_dict({**state, "samples": 24})


# --- bad samples, bad shards ---


def with_bad(folder, target, bad):
    """The same shards, but the videos of these numbers are empty."""
    shutil.copytree(folder, target)
    index = index_of(target)
    for shard in index["shards"]:
        path = target / shard["file"]
        files = contents(path)
        emptied = {name for name in files if name.endswith("mp4") and int(name[:8]) in bad}
        write_tar(path, files | dict.fromkeys(emptied, b""))
        shard["bytes"] = path.stat().st_size
    (target / "index.json").write_text(json.dumps(index))
    return target


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_bad_video_in_a_shard_is_replaced_with_a_warning(folder, tmp_path, shuffle):
    first = next(iter(Numbers(folder, shuffle=False)))[1]  # before which there is no sound one
    other = (first + 7) % COUNT
    bad = with_bad(folder, tmp_path / "bad", {first, other})
    dataset = ShardDataset(bad, SAMPLING, PLAIN, max_bad=2, shuffle=shuffle, buffer=4)
    loader = ClipLoader(dataset, batch_size=4)
    with pytest.warns(BadVideoWarning, match=rf"\.tar: clip {first} "):
        batches = list(loader)
    numbers = [number for batch in batches for number in batch.numbers.tolist()]
    assert len(numbers) == COUNT and set(numbers) == set(range(COUNT)) - {first, other}
    assert {one.number for one in loader.bad} == {first, other}
    for batch in batches:
        for clip, label in zip(batch.clips, batch.labels.tolist(), strict=True):
            assert shown(clip)[0] == label
    with pytest.warns(BadVideoWarning), pytest.raises(TooManyBadVideos, match="2 of 25"):
        list(ClipLoader(ShardDataset(bad, SAMPLING, PLAIN, max_bad=1, shuffle=False), 4, workers=1))
    with pytest.raises(VideoError, match=f"clip ({first}|{other})"):
        list(ShardDataset(bad, SAMPLING, TestTransform(48, 56)))
    alone = tmp_path / "alone.tar"
    write_tar(alone, {"7.mp4": b"", "7.cls": b"1"})
    with pytest.raises(ShardError, match="Not one of the videos can be used"):
        list(ShardDataset(alone, SAMPLING, PLAIN, max_bad=1))


def test_a_shard_that_is_cut_short_is_named(folder, tmp_path):
    whole = (folder / "000002.tar").read_bytes()
    path = tmp_path / "000002.tar"
    for cut in (100, 512 * 9, len(whole) // 2):
        path.write_bytes(whole[:cut])
        with pytest.raises(ShardError, match="000002.tar: "):
            list(Numbers(str(path)))
    with pytest.raises(LoadingError, match="000002.tar"):
        list(ClipLoader(Numbers(str(path)), batch_size=2, workers=1))
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    shutil.copy(path, broken)
    with pytest.raises(ShardError, match=r"000002.tar: it has .* of .* bytes"):
        ShardDataset(broken)
    (broken / "000002.tar").unlink()
    with pytest.raises(ShardError, match=r"000002.tar: it has 0 of"):
        ShardDataset(broken)


def test_a_shard_with_fewer_samples_than_the_index_says_is_named(folder, tmp_path):
    broken = shutil.copytree(folder, tmp_path / "broken")
    index = index_of(broken)
    index["shards"][2]["samples"] = 5
    (broken / "index.json").write_text(json.dumps(index))
    with pytest.raises(ShardError, match="000002.tar: it ends after 4 of 5 samples"):
        list(Numbers(broken))


def test_a_sample_that_is_not_complete_is_named_with_its_shard(tmp_path):
    path = tmp_path / "a.tar"
    for files in (
        {"7.mp4": b"x"},
        {"7.mp4": b"x", "7.json": b"{}"},
        {"7.mp4": b"x", "7.json": b"[]"},
        {"7.mp4": b"x", "7.json": b"{"},
        {"7.mp4": b"x", "7.cls": b"two"},
        {"7.json": b'{"label": 1}'},
        {"7.avi": b"x", "7.mp4": b"x", "7.cls": b"1"},
    ):
        write_tar(path, files)
        said = re.escape(", ".join(name.removeprefix("7.") for name in files))
        with pytest.raises(ShardError, match=rf"a\.tar: sample 7 should be.*but has {said} "):
            list(Numbers(str(path)))


def test_shards_of_others_are_read_by_their_cls_files(short_paths, tmp_path):
    write_tar(tmp_path / "a.tar", {"x/7.mp4": short_paths[1].read_bytes(), "x/7.cls": b"4"})
    ((clip, label),) = ShardDataset(str(tmp_path / "a.tar"), SAMPLING, PLAIN)
    assert label == 4 and shown(clip)[0] == 1


def test_what_is_no_shard_is_refused(tmp_path):
    with pytest.raises(ShardError, match=r"no file .*index.json.*vivit_lab shard"):
        ShardDataset(tmp_path)
    (tmp_path / "index.json").write_text("{}")
    with pytest.raises(ShardError, match="not of the format"):
        ShardDataset(tmp_path)
    with pytest.raises(ShardError, match="no such shard.*vivit_lab shard"):
        ShardDataset(tmp_path / "none.tar")
    write_tar(tmp_path / "a.tar", {})
    with pytest.raises(ValueError, match="shuffle to ShardDataset"):
        ClipLoader(ShardDataset(str(tmp_path / "a.tar")), shuffle=True)


# --- the command ---


def command(*arguments):
    return main(["shard", *map(str, arguments)])


def test_the_command_writes_reports_and_goes_on_after_ctrl_c(
    short_paths, tmp_path, monkeypatch, capsys
):
    for number, path in enumerate(short_paths):
        target = tmp_path / "videos" / f"class {number % 5}"
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (target / "empty.mp4").write_bytes(b"")
    arguments = [tmp_path / "videos", tmp_path / "out", "--samples", 10, "--in-order"]

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shards.wds.ShardWriter, "close", stop)
        assert command(*arguments) == 130
    assert "goes on from here" in capsys.readouterr().err
    assert command(*arguments) == 1
    said = capsys.readouterr().out
    assert "25 videos in 3 shards" in said and "empty.mp4: the file is empty" in said
    assert sorted(label for _, label in Numbers(tmp_path / "out")) == list(range(COUNT))
    assert command(*arguments) == 2
    assert "other shards in it" in capsys.readouterr().err
    assert command(tmp_path / "none", tmp_path / "other") == 2

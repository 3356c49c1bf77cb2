"""Shards: the same clips as from the files, every sample exactly once, and no silent loss."""

import errno
import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest
import torch
from numbered import PLAIN, SAMPLING, shown, write_videos
from torch.utils.data import DataLoader

from vivit_lab.cli import main
from vivit_lab.data import shards as shard_writing
from vivit_lab.data.catalog import Catalog, Segment
from vivit_lab.data.dataset import BadVideoWarning, ClipDataset, TooManyBadVideos, ViewDataset
from vivit_lab.data.loader import ClipLoader, LoadingError
from vivit_lab.data.shards import ShardDataset, ShardError, read_index, write_shards
from vivit_lab.video import TestTransform, TrainTransform, VideoError

COUNT = 25  # samples, in shards of 4: seven, the last with one


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """25 different files: copies of five videos."""
    folder = tmp_path_factory.mktemp("videos")
    videos = write_videos(folder, 5, frames=12)
    return [
        Path(shutil.copy(videos[number % 5], folder / f"{number}.copy.mp4"))
        for number in range(COUNT)
    ]


@pytest.fixture(scope="module")
def catalog(paths):
    segments = [
        Segment(path, number % 5, name=f"clip {number}") for number, path in enumerate(paths)
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


def taken(dataset, world_size, workers, **settings):
    """The numbers that each process gets, batch by batch."""
    found = []
    for rank in range(world_size):
        loader = ClipLoader(dataset, workers=workers, rank=rank, world_size=world_size, **settings)
        found.append([batch.numbers.tolist() for batch in loader])
        assert found[-1] == [] or dataset.counts is None or len(found[-1]) == len(loader)
        loader.close()
    return found


# --- writing ---


def test_the_bytes_are_those_of_the_files_and_the_index_says_all(catalog, folder):
    index = read_index(folder)
    assert index["samples"] == COUNT and index["left_out"] == []
    assert index["class_names"] == catalog.class_names
    assert [shard["samples"] for shard in index["shards"]] == [4] * 6 + [1]
    assert sorted(path.name for path in folder.iterdir()) == [
        *(f"{number:06d}.tar" for number in range(7)),
        "index.json",
    ]
    seen = []
    for shard in index["shards"]:
        with tarfile.open(folder / shard["file"]) as tar:
            files = {file.name: tar.extractfile(file).read() for file in tar}
        for name in [name for name in files if name.endswith(".json")]:
            about = json.loads(files[name])
            segment = catalog[about["number"]]
            assert files[name.replace(".json", ".mp4")] == segment.path.read_bytes()
            assert (about["name"], about["label"]) == (segment.name, segment.label)
            seen.append(about["number"])
    assert sorted(seen) == list(range(COUNT)) != seen  # in a random order
    other = folder.parent / "again"
    write_shards(catalog, other, samples_per_shard=4)
    assert all((other / path.name).read_bytes() == path.read_bytes() for path in folder.iterdir())


def test_a_shard_ends_at_so_many_megabytes(tmp_path):
    sizes = [400_000, 500_000, 200_000, 2_000_000, 10, 10]
    divided = list(shard_writing._divided(list(range(6)), sizes, 2, 10**6))
    assert divided == [[0, 1], [2], [3], [4, 5]]


def test_nothing_is_overwritten(catalog, folder, tmp_path):
    with pytest.raises(ShardError, match="shards in it already"):
        write_shards(catalog, folder)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ShardError, match="not empty"):
        write_shards(catalog, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_bad_videos_are_reported_and_left_out(paths, tmp_path):
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    segments = [
        Segment(paths[0], 0),
        Segment(empty, 1),
        Segment(paths[1], 1, start=9.0, end=11.0),
        Segment(paths[2], 2),
    ]
    catalog = Catalog(segments, ["a", "b", "c"], "x")
    report = write_shards(catalog, tmp_path / "out")
    assert report.samples == 2 and len(report.left_out) == 2
    assert "empty.mp4: the file is empty" in str(report)
    assert any("1.copy.mp4" in why and "beyond" in why for why in report.left_out)
    assert read_index(tmp_path / "out")["left_out"] == report.left_out
    with pytest.raises(ShardError, match="not one of the videos"):
        write_shards(Catalog([segments[1]], ["a", "b"], "x"), tmp_path / "none")


def test_one_video_in_several_segments_and_folders_of_frames_are_refused(paths, tmp_path):
    twice = [Segment(paths[0], 0, 0.0, 0.2, line=2), Segment(paths[0], 1, 0.2, 0.4, line=3)]
    with pytest.raises(ShardError, match="lines 2 and 3.*ffmpeg"):
        write_shards(Catalog(twice, ["a", "b"], "x"), tmp_path / "out")
    with pytest.raises(ShardError, match="folder of frames"):
        write_shards(Catalog([Segment(tmp_path, 0, fps=25.0)], ["a"], "x"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_an_interruption_leaves_whole_shards_and_is_gone_on_from(
    catalog, folder, tmp_path, monkeypatch, error
):
    out, calls, write = tmp_path / "out", [], shard_writing.wds.TarWriter.write

    def failing(self, sample):
        calls.append(sample["__key__"])
        if len(calls) == 11:  # in the third shard
            raise error
        return write(self, sample)

    monkeypatch.setattr(shard_writing.wds.TarWriter, "write", failing)
    with pytest.raises((ShardError, KeyboardInterrupt)) as caught:
        write_shards(catalog, out, samples_per_shard=4)
    if isinstance(error, OSError):
        assert "disk is full" in str(caught.value) and "same command" in str(caught.value)
    assert sorted(path.name for path in out.glob("*.tar")) == ["000000.tar", "000001.tar"]
    assert not list(out.glob("*.part"))
    with pytest.raises(ShardError, match="unfinished"):
        ShardDataset(out)
    with pytest.raises(ShardError, match="other videos or settings"):
        write_shards(catalog, out, samples_per_shard=5)
    write_shards(catalog, out, samples_per_shard=4)
    assert len(calls) == 11 + COUNT - 8  # the first two shards were kept
    assert sorted(path.name for path in out.iterdir()) == sorted(
        path.name for path in folder.iterdir()
    )
    assert all((out / path.name).read_bytes() == path.read_bytes() for path in folder.iterdir())


def test_a_disk_that_is_too_small_is_told_beforehand(catalog, tmp_path, monkeypatch):
    usage = type(shutil.disk_usage("/"))(10**9, 10**9 - 10, 10)
    monkeypatch.setattr(shard_writing.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ShardError, match="need .* MB, but the disk has 0 MB free"):
        write_shards(catalog, tmp_path / "out")


# --- reading ---


def test_a_clip_out_of_a_shard_is_that_out_of_the_file(catalog, folder):
    transform = TrainTransform(crop=48, min_short_side=56, max_short_side=72)
    files = ClipDataset(catalog, SAMPLING, transform, seed=3)
    shards = ShardDataset(folder, SAMPLING, transform, seed=3)
    assert shards.class_names == catalog.class_names and len(shards) == COUNT
    for epoch in range(2):
        files.set_epoch(epoch)
        fetched = list(shards.stream(epoch, 0, 1, 1, False, 0, 1))
        assert sorted(one.number for one in fetched) == list(range(COUNT))
        for one in fetched:
            clip, label = files[one.number]
            assert torch.equal(one.clip, clip) and one.label == label
    plain = list(ShardDataset(folder, SAMPLING, PLAIN))
    assert sorted(shown(clip)[0] for clip, _ in plain) == sorted(label for _, label in plain)


def test_views_come_out_of_shards_too(catalog, folder):
    transform = TestTransform(crop=48, short_side=56)
    shards = ShardDataset(folder, SAMPLING, transform, shuffle=False, clips=2)
    views = ViewDataset(catalog, SAMPLING, 2, transform)
    batch = next(iter(ClipLoader(shards, batch_size=3)))
    for clip, number in zip(batch.clips, batch.numbers.tolist(), strict=True):
        assert torch.equal(clip, views[number][0])


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_every_sample_goes_to_one_worker_of_one_process(folder, world_size, workers):
    found = taken(Numbers(folder, buffer=3), world_size, workers, batch_size=2)
    everyone = [number for process in found for batch in process for number in batch]
    assert sorted(everyone) == list(range(COUNT))
    lengths = [sum(len(batch) for batch in process) for process in found]
    assert max(lengths) - min(lengths) <= 1
    for process in found:  # only one batch of a process may be small
        assert sum(len(batch) < 2 for batch in process) <= 1
    whole = taken(Numbers(folder), world_size, workers, batch_size=2, drop_last=True)
    assert {len(process) for process in whole} == {COUNT // world_size // 2}
    assert all(len(batch) == 2 for process in whole for batch in process)


@pytest.mark.parametrize(("world_size", "workers"), [(1, 0), (2, 1), (3, 2), (5, 3)])
def test_without_an_index_whole_shards_are_shared_out(folder, world_size, workers):
    pattern = f"{folder}/{{000000..000006}}.tar"
    found = taken(Numbers(pattern, buffer=3), world_size, workers, batch_size=2)
    everyone = [number for process in found for batch in process for number in batch]
    assert sorted(everyone) == list(range(COUNT))
    with pytest.raises(TypeError, match="no index"):
        len(Numbers(pattern))


@pytest.mark.parametrize("workers", [0, 2])
def test_plain_data_loaders_of_torch_share_it_out_too(folder, workers):
    loader = DataLoader(Numbers(folder), batch_size=None, num_workers=workers)
    assert sorted(int(label) for _, label in loader) == list(range(COUNT))


def test_pipes_and_urls_are_read_as_webdataset_reads_them(folder):
    shards = [f"pipe:cat {path}" for path in sorted(folder.glob("*.tar"))]
    everyone = [label for _, label in Numbers(shards)]
    assert sorted(everyone) == list(range(COUNT))
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
    inside = order(0, buffer=1)
    blocks = [set(stored[start : start + 4]) for start in range(0, COUNT, 4)]
    assert sum(set(inside[start : start + 4]) in blocks for start in range(0, COUNT, 4)) < 7


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_saved_place_in_shards_is_exact_with_the_same_workers(folder, workers):
    def loader(workers=workers, batch_size=2):
        return ClipLoader(Numbers(folder, buffer=5), batch_size=batch_size, workers=workers)

    first = loader()
    expected = [batch.numbers.tolist() for _ in range(2) for batch in first]
    first.set_epoch(0)
    running = iter(first)
    for _ in range(5):
        next(running)
    state = first.state_dict()
    second = loader()
    second.load_state_dict(state)
    found = [batch.numbers.tolist() for _ in range(2) for batch in second]
    rest = expected[5:]
    half = len(expected) // 2 - 5
    assert sorted(found[:half]) == sorted(rest[:half])  # the workers' turns may be others
    assert found[half:] == rest[half:]
    for other in (loader(workers=workers + 1), loader(batch_size=3)):
        with pytest.raises(ValueError, match="other batches would follow"):
            other.load_state_dict(state)


# --- bad samples, bad shards ---


def with_bad(folder, target, bad):
    """The same shards, but the videos of these numbers are empty."""
    shutil.copytree(folder, target)
    index = json.loads((target / "index.json").read_text())
    for shard in index["shards"]:
        path = target / shard["file"]
        with tarfile.open(path) as tar:
            files = {file.name: tar.extractfile(file).read() for file in tar}
        write_tar(
            path,
            {
                name: b"" if name.endswith("mp4") and int(name[:8]) in bad else data
                for name, data in files.items()
            },
        )
        shard["bytes"] = path.stat().st_size
    (target / "index.json").write_text(json.dumps(index))
    return target


def write_tar(path, files):
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_bad_video_in_a_shard_is_replaced_with_a_warning(folder, tmp_path, shuffle):
    bad = with_bad(folder, tmp_path / "bad", {3, 17})
    last = [label for _, label in Numbers(folder, shuffle=False)][-1]
    dataset = ShardDataset(bad, SAMPLING, PLAIN, max_bad=2, shuffle=shuffle, buffer=4)
    loader = ClipLoader(dataset, batch_size=4, workers=1)
    with pytest.warns(BadVideoWarning, match=r"\.tar: clip 3 "):
        batches = list(loader)
    numbers = [number for batch in batches for number in batch.numbers.tolist()]
    assert len(numbers) == COUNT and {3, 17}.isdisjoint(numbers) and last in numbers
    assert {one.number for one in loader.bad} == {3, 17}
    for batch in batches:
        for clip, label in zip(batch.clips, batch.labels.tolist(), strict=True):
            assert shown(clip)[0] == label
    with pytest.warns(BadVideoWarning), pytest.raises(TooManyBadVideos, match="2 of 25"):
        list(ClipLoader(ShardDataset(bad, SAMPLING, PLAIN, max_bad=1), 4, workers=1))
    with pytest.raises(VideoError, match="clip (3|17)"):
        list(ShardDataset(bad, SAMPLING, TestTransform(48, 56)))


@pytest.mark.parametrize("cut", [100, 512 * 9, -5000, -10240, "before the last sample"])
def test_a_shard_that_is_cut_short_is_named(folder, tmp_path, cut):
    path = Path(shutil.copy(folder / "000002.tar", tmp_path))
    data = path.read_bytes()
    if isinstance(cut, str):  # between two samples a tar shows no seam
        with tarfile.open(path) as tar:
            last = tar.getmembers()[-1].name.split(".")[0]
            cut = min(m.offset for m in tar.getmembers() if m.name.startswith(last))
    path.write_bytes(data[:cut])
    with pytest.raises(ShardError, match="000002.tar: it is cut short"):
        list(Numbers(str(path)))
    with pytest.raises((LoadingError, ShardError), match="000002.tar"):
        list(ClipLoader(Numbers(str(path)), batch_size=2, workers=1))
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    shutil.copy(path, broken)
    with pytest.raises(ShardError, match=r"000002.tar: it has .* bytes in place of"):
        ShardDataset(broken)
    (broken / "000002.tar").unlink()
    with pytest.raises(ShardError, match=r"000002.tar: this shard is missing"):
        ShardDataset(broken)


def test_a_shard_with_fewer_samples_than_the_index_says_is_named(folder, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    index = json.loads((broken / "index.json").read_text())
    index["shards"][2]["samples"] = 5
    (broken / "index.json").write_text(json.dumps(index))
    with pytest.raises(ShardError, match="000002.tar: it is cut short after 4 samples of 5"):
        list(Numbers(broken))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"7.mp4": b"x"}, "sample 7 has no label"),
        ({"7.mp4": b"x", "7.json": b"{}"}, "sample 7 has no label"),
        ({"7.mp4": b"x", "7.json": b"{"}, "label of sample 7 cannot be read"),
        ({"7.mp4": b"x", "7.cls": b"two"}, "label of sample 7 cannot be read"),
        ({"7.json": b'{"label": 1}'}, "sample 7 should have one video, but has none"),
        ({"7.avi": b"x", "7.mp4": b"x", "7.cls": b"1"}, "but has avi, mp4"),
    ],
)
def test_a_sample_that_is_not_complete_is_named_with_its_shard(tmp_path, files, said):
    write_tar(tmp_path / "a.tar", files)
    with pytest.raises(ShardError, match=rf"a\.tar: .*{said}"):
        list(Numbers(str(tmp_path / "a.tar")))


def test_shards_of_others_are_read_by_their_cls_files(paths, tmp_path):
    write_tar(tmp_path / "a.tar", {"x/7.mp4": paths[1].read_bytes(), "x/7.cls": b"4"})
    ((clip, label),) = ShardDataset(str(tmp_path / "a.tar"), SAMPLING, PLAIN)
    assert label == 4 and shown(clip)[0] == 1


def test_what_is_no_shard_is_refused(tmp_path):
    with pytest.raises(ShardError, match=r"no index.json"):
        ShardDataset(tmp_path)
    with pytest.raises(ShardError, match="no such shard"):
        ShardDataset(tmp_path / "none.tar")
    with pytest.raises(ValueError, match="max_bad is 0.1, a share"):
        write_tar(tmp_path / "a.tar", {})
        ShardDataset(str(tmp_path / "a.tar"), max_bad=0.1)
    with pytest.raises(ValueError, match="shuffle to the ShardDataset"):
        ClipLoader(ShardDataset(str(tmp_path / "a.tar")), shuffle=True)


# --- the command ---


def command(*arguments):
    return main(["shard", *map(str, arguments)])


def test_the_command_writes_reports_and_goes_on_after_ctrl_c(paths, tmp_path, monkeypatch, capsys):
    for number, path in enumerate(paths):
        target = tmp_path / "videos" / f"class {number % 5}"
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (target / "empty.mp4").write_bytes(b"")
    arguments = [tmp_path / "videos", tmp_path / "out", "--samples", 10, "--in-order"]

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shard_writing, "_finish", stop)
        assert command(*arguments) == 130
    assert "goes on from here" in capsys.readouterr().err
    assert command(*arguments) == 1
    said = capsys.readouterr().out
    assert "25 videos in 3 shards" in said and "empty.mp4: the file is empty" in said
    assert sorted(label for _, label in Numbers(tmp_path / "out")) == list(range(COUNT))
    assert command(*arguments) == 2
    assert "shards in it already" in capsys.readouterr().err
    assert command(tmp_path / "none", tmp_path / "other") == 2

"""Arrow of Time as mp4 files: whole or not there, and still nothing but order."""

import errno
import io
import json
from pathlib import Path

import av
import numpy as np
import pytest

from vivit_lab.data import ArrowOfTime, read_csv, read_folder, write_arrow_of_time
from vivit_lab.data import arrow_of_time as module
from vivit_lab.data.arrow_of_time import encode
from vivit_lab.video import VideoReader

SMALL = {"clips": 16, "frames": 10, "image_size": 32, "progress": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_arrow_of_time(tmp_path_factory.mktemp("data") / "train", **SMALL)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_both_catalogues_read_it_with_the_labels_of_the_data_set(folder):
    classes = folder / "classes.json"
    assert tuple(json.loads(classes.read_text())) == ArrowOfTime.classes
    for catalog in (
        read_csv(folder / "clips.csv", folder, classes=classes),
        read_folder(folder, classes=classes),
    ):
        assert list(catalog.class_names) == list(ArrowOfTime.classes)
        assert not catalog.missing
        labels = {segment.path.name: segment.label for segment in catalog}
        assert labels == {f"{i:06d}.mp4": i % 8 for i in range(16)}


def test_the_reader_gives_back_the_frames_in_their_order(folder):
    for number in (3, 8):
        clip, _ = ArrowOfTime(16, 10, 32)[number]
        (path,) = folder.rglob(f"{number:06d}.mp4")
        with VideoReader(path) as video:
            assert (video.num_frames, video.height, video.width, video.fps) == (10, 32, 32, 25)
            read = video.read(range(10)).float()
        apart = (read[:, None] - clip[None].float()).abs().mean(dim=(2, 3, 4))  # each from each
        assert apart.diagonal().max() < 8
        assert apart.argmin(dim=1).tolist() == list(range(10))


def decoded(content: bytes) -> np.ndarray:
    with av.open(io.BytesIO(content)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def test_no_frame_keeps_a_trace_of_its_neighbours():
    """Coded backwards a clip is, decoded, the same frames backwards: the bounds hold in files."""
    for clip in ArrowOfTime(4, 8, 48, level="hard").batch(range(4))[0].numpy():
        there, back = decoded(encode(clip)), decoded(encode(clip[::-1]))
        assert (there == back[::-1]).all()
        assert (there[5] == decoded(encode(clip[5:6]))[0]).all()


def test_a_folder_is_left_or_refused_or_filled_when_it_is_empty(folder, tmp_path):
    before = everything(folder)
    stamp = (folder / "clips.csv").stat().st_mtime_ns
    assert write_arrow_of_time(folder, **SMALL) == folder
    assert (folder / "clips.csv").stat().st_mtime_ns == stamp
    with pytest.raises(FileExistsError, match=r"Arrow of Time with .*\"seed\": 0.*Name anoth"):
        write_arrow_of_time(folder, **SMALL, seed=1)
    used, empty = tmp_path / "used", tmp_path / "empty"
    used.mkdir(), empty.mkdir()
    (used / "mine.txt").write_text("a")
    with pytest.raises(FileExistsError, match="holds something else; nothing is overwritten"):
        write_arrow_of_time(used, **SMALL)
    assert everything(folder) == before and [p.name for p in used.iterdir()] == ["mine.txt"]
    assert everything(write_arrow_of_time(empty, **SMALL)) == before
    assert {p.name for p in tmp_path.iterdir()} == {"used", "empty"}


@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_stopped_in_the_middle_it_goes_on_from_there(folder, tmp_path, monkeypatch, stop):
    target, write, written = tmp_path / "train", Path.write_bytes, []

    def until_stopped(path, content):
        written.append(path)
        if len(written) > 10:
            write(path, content[: len(content) // 2])
            raise stop
        return write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", until_stopped)
        with pytest.raises(type(stop)):
            write_arrow_of_time(target, **SMALL)
    assert not target.exists()
    whole, there = everything(folder), everything(tmp_path / "train.unfinished")
    assert len(there) == 10
    assert all(whole[name] == content for name, content in there.items())
    with pytest.raises(FileExistsError, match=r"train\.unfinished holds Arrow of Time"):
        write_arrow_of_time(target, **SMALL, level="hard")

    coded = []
    monkeypatch.setattr(module, "encode", lambda clip: coded.append(1) or encode(clip))
    write_arrow_of_time(target, **SMALL)
    assert everything(target) == whole and not target.with_name("train.unfinished").exists()
    assert len(coded) == 16 - 9  # what was whole was not done again

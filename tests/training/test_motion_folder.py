"""The folder of tests/benchmarks/motion_folder.py: what is measured on it stands in the README."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import motion_folder
from motion_folder import CUT, HTML, MOTIONS, RATES, SIZES, TILE, draw, write_clip, write_folder

from vivit_lab.cli import main
from vivit_lab.data import check, read_folder
from vivit_lab.data.samples import ASSETS
from vivit_lab.video import VideoReader


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("motion") / "videos", clips=2, seed=5)


def test_the_class_is_in_the_motion_alone():
    """The first frame is the same to the bit, whatever the class; the next one is another."""
    clips = [draw(motion, (0, 3))[0] for motion in MOTIONS]
    assert all((clip[0] == clips[0][0]).all() for clip in clips)
    assert len({clip[1].tobytes() for clip in clips}) == len(MOTIONS)


def test_the_blob_moves_as_its_class_is_called(monkeypatch):
    """White on black: the shift of its middle, and the turn of its longest axis, in three frames"""
    monkeypatch.setattr(motion_folder, "NOISE", 0)
    for motion, way in MOTIONS.items():
        tiles = (np.full((TILE, TILE, 3), grey, np.float32) for grey in (0, 255))
        monkeypatch.setattr(motion_folder, "texture", lambda *_, tiles=tiles: next(tiles))
        places = []
        for blob in draw(motion, (0, 2))[0][:4:3, 0]:
            rows, columns = np.nonzero(blob > 127)
            (yy, xy), (_, xx) = np.cov(rows, columns)
            places.append((rows.mean(), columns.mean(), 20 * np.arctan2(2 * xy, xx - yy)))
        moved = np.diff(places, axis=0)[0]  # down, right, clockwise: rows count downwards
        assert (np.sign(moved) * (abs(moved) > 2)).tolist() == list(way), (motion, moved)


def test_the_same_seed_writes_the_same_files(folder, tmp_path):
    for number in range(6):
        write_clip(tmp_path, 5, number)
    for file in tmp_path.rglob("*.mp4"):
        assert file.read_bytes() == (folder / file.relative_to(tmp_path)).read_bytes()
    (tmp_path / "other").mkdir()
    write_clip(tmp_path / "other", 6, 0)
    name = f"{next(iter(MOTIONS))}/000.mp4"
    assert (tmp_path / "other" / name).read_bytes() != (folder / name).read_bytes()


def test_sizes_and_rates_are_mixed_and_both_bad_files_are_named(folder):
    catalog = read_folder(folder)
    assert catalog.class_names == sorted(MOTIONS)
    assert [sum(each.label == k for each in catalog) for k in range(6)] == [2, 2, 2, 3, 3, 2]
    seen = set()
    for segment in catalog:
        if segment.path.relative_to(folder).as_posix() not in (CUT, HTML):
            with VideoReader(segment.path) as video:
                seen.add((video.height, video.width))
                assert round(1 / np.diff(video.times).mean()) in RATES
                assert video.times[-1] > 1.3  # long enough for 8 frames at 6 a second
    assert seen <= set(SIZES) and len(seen) > 2
    report = check(folder, workers=1, report=folder.parent / "known.jsonl")
    assert not report.ok and all(str(report.text()).count(name) == 1 for name in (CUT, HTML))


def test_a_new_file_is_predicted(folder, tmp_path, capsys):
    """By a model of other classes: what ours says of it stands in the README of the benchmarks."""
    write_clip(tmp_path, 7, 0)
    run = ASSETS / "weights" / "joint.safetensors"
    assert (
        main(["predict", str(run), str(tmp_path), "--fps", "6", "--clips", "1", "--workers", "0"])
        == 0
    )
    assert "000.mp4" in capsys.readouterr().out

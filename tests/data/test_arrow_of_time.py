"""Arrow of Time: the scenes, the pictures, the promises; the bounds by construction."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from vivit_lab.data import ArrowOfTime, LongVideos, write_arrow_of_time
from vivit_lab.data import arrow_drawing as drawing
from vivit_lab.data.arrow_drawing import LEVELS, NUMBERS, PROPERTIES, WAYS, render, scenes_of
from vivit_lab.data.arrow_of_time import CLASSES

every_level = pytest.mark.parametrize("level", LEVELS)


def phases(level, scenes) -> np.ndarray:
    """The four properties as positions on a circle, 0..1 (colour: in thirds): (4, ..., T)."""
    smallest, largest = LEVELS[level].radii
    size = np.log(scenes.radius / smallest) / np.log(largest / smallest)
    place = (scenes.column - scenes.camera[..., 1, :]) % 1
    return np.stack([place, scenes.turn, size, scenes.colour / 3])


def drawn(level, clips, frames, seed=0):
    numbers = np.random.default_rng(seed).random((clips, NUMBERS))
    labels = np.arange(clips) % len(CLASSES)
    return numbers, labels, scenes_of(LEVELS[level], labels, numbers, frames)


@every_level
def test_backwards_the_same_numbers_are_the_other_class_of_the_pair_to_the_pixel(level):
    for frames in (2, 3, 17):
        numbers, labels, scenes = drawn(level, 24, frames)
        mirrored = np.concatenate([1 - numbers[:, :WAYS], numbers[:, WAYS:]], axis=1)
        partners = scenes_of(LEVELS[level], labels ^ 1, mirrored, frames)
        clips, others = render(scenes, 32), render(partners, 32)
        assert (clips[:, ::-1] == others).all()
        assert (clips != others).any(axis=(1, 2, 3, 4)).mean() > 0.9  # not because nothing moves


@every_level
def test_what_does_not_belong_to_the_pair_is_the_same_for_every_class(level):
    """Label enters through the changing property only: all else comes from numbers of its own."""
    numbers = np.repeat(np.random.default_rng(1).random((20, NUMBERS)), 8, axis=0)
    scenes = scenes_of(LEVELS[level], np.arange(160) % 8, numbers, 8)
    own = {name: getattr(scenes, name) for name in ("waves", "camera", "shape", "stripes", "row")}
    for name, values in {**vars(scenes.others), **own, "grey": scenes.background}.items():
        values = values.reshape(20, 8, -1)
        assert (values == values[:, :1]).all(), name


@every_level
def test_at_any_moment_every_property_is_uniform_and_knows_nothing_of_the_others(level):
    _, labels, scenes = drawn(level, 8 * 1500, 16, seed=2)
    for label in range(8):
        ours = phases(level, scenes)[:, labels == label]
        for moment in (0, 6, 15):
            for name, values in zip(PROPERTIES, ours[..., moment], strict=True):
                bins = 3 if name == "colour" else 6
                counts = np.histogram(values + 1e-9, bins=bins, range=(0, 1))[0]
                expected = len(values) / bins
                assert ((counts - expected) ** 2 / expected).sum() < 30, (CLASSES[label], name)
            turns = np.exp(2j * np.pi * ours[..., moment])
            products = abs((turns[:, None] * turns[None].conj()).mean(axis=-1))
            assert products[~np.eye(4, dtype=bool)].max() < 0.1


@every_level
def test_one_property_runs_round_and_its_direction_is_the_class(level):
    numbers = np.random.default_rng(4).random((200, NUMBERS))
    for label, frames in ((label, frames) for label in range(8) for frames in (4, 8, 32)):
        scenes = scenes_of(LEVELS[level], np.full(200, label), numbers, frames)
        step = np.diff(phases(level, scenes), axis=-1)
        step = (step + 0.5) % 1 - 0.5  # the short way round
        for i in range(len(PROPERTIES)):
            if i != label // 2:
                assert abs(step[i]).max() < 1e-9
        way = step[label // 2] * (-1) ** label
        assert way.min() > -1e-9 and (way.max(axis=-1) > 0.01).all()
        if label < 6:
            rounds = way.mean(axis=-1) * frames
            low, high = (min(r, drawing.FASTEST * frames) for r in drawing.ROUNDS)
            assert low - 1e-9 <= rounds.min() <= rounds.max() <= high + 1e-9


def test_the_picture_shows_the_scene():
    dataset = ArrowOfTime(clips=80, frames=12, image_size=64, seed=2)
    for index in range(0, 80, 9):
        scene, (clip, label) = dataset.scene(index), dataset[index]
        assert clip.shape == (12, 3, 64, 64) and clip.dtype == torch.uint8
        assert label == scene.label == index % 8
        lit = (clip.float() - scene.background).abs().amax(1) > 20  # (T, H, W)
        near = lit & (clip.float().amax(1) - clip.float().amin(1) > 100)  # the coloured half
        for t in range(12):
            rows, columns = lit[t].nonzero(as_tuple=True)
            angle = 2 * np.pi * (columns + 0.5) / 64  # the columns wrap round: a circular mean
            centre = np.angle(np.exp(1j * angle.numpy()).mean()) / (2 * np.pi)
            assert abs((centre - scene.column[t] + 0.5) % 1 - 0.5) < 0.06
            assert abs((rows.float().mean() + 0.5) / 64 - scene.row[t]) < 0.06
            assert clip[t][:, near[t]].float().mean(1).argmax() == scene.colour[t]
            assert lit[t].float().mean() > 0.6 * scene.radius[t] ** 2


def test_turning_clockwise_is_clockwise_on_the_screen():
    """The coloured half is above at 0, on the right at a quarter turn, below at a half."""
    scene = ArrowOfTime(clips=8, frames=4, image_size=64)._scenes([2])[0]
    rows, columns = np.mgrid[:64, :64] - 31.5
    middle, turn = np.full((1, 4), 0.5), np.array([[0, 0.25, 0.5, 0.75]])
    values = {"row": middle, "column": middle, "radius": 0.8 * middle, "turn": turn}
    for shape in drawing.SHAPES:
        values |= {"shape": np.array([shape]), "colour": np.zeros((1, 4), int)}
        clip = render(replace(scene, **values), 64)[0].astype(int)
        red = clip[:, 0] - clip[:, 1] > 100  # (T, H, W)
        for t, (row, column) in enumerate([(-1, 0), (0, 1), (1, 0), (0, -1)]):
            assert (row * rows + column * columns)[red[t]].mean() > 5
            assert abs(column * rows + row * columns)[red[t]].mean() < 16


@every_level
def test_a_clip_is_the_same_whoever_asks(level):
    few, many = (ArrowOfTime(n, frames=4, seed=3, level=level) for n in (16, 4000))
    clips, labels = many.batch([9, 3, 15, 9])
    assert labels.tolist() == [1, 3, 7, 1] and labels.dtype == torch.int64
    for clip, label, number in zip(clips, labels, [9, 3, 15, 9], strict=True):
        assert torch.equal(clip, few[number][0]) and label == few[number][1]
    assert torch.equal(pickle.loads(pickle.dumps(many))[9][0], clips[0])
    assert not torch.equal(clips[0], ArrowOfTime(16, 4, seed=4, level=level)[9][0])
    assert not torch.equal(clips[0], many[17][0])
    large = ArrowOfTime(70, 4, 64, level=level)  # which are drawn a few at a time
    assert torch.equal(large[69][0], large.batch(range(70))[0][69])


def test_torchs_loader_gets_whole_batches(monkeypatch):
    dataset, asked, batch = ArrowOfTime(40, frames=4, level="hard"), [], ArrowOfTime.batch
    monkeypatch.setattr(dataset, "batch", lambda n: asked.append(len(n)) or batch(dataset, n))
    clips, labels = zip(*DataLoader(dataset, batch_size=16), strict=True)
    assert asked == [16, 16, 8]
    assert torch.equal(torch.cat(clips), batch(dataset, range(40))[0])
    assert torch.cat(labels).tolist() == [i % 8 for i in range(40)]


def test_a_scene_can_be_drawn_at_any_size():
    small, large = (ArrowOfTime(16, 4, size, seed=1).batch(range(16))[0] for size in (32, 128))
    shrunk = torch.nn.functional.avg_pool2d(large.flatten(0, 1).float(), 4).view(small.shape)
    assert (shrunk - small.float()).abs().mean() < 3


def test_harder_levels_have_more_in_the_picture():
    clips = {level: ArrowOfTime(64, 8, level=level).batch(range(64))[0].float() for level in LEVELS}
    still = {level: (clip[:, 1:] - clip[:, :-1]).abs() for level, clip in clips.items()}
    changed = [(still[level] > 2).float().mean() for level in LEVELS]
    assert changed[0] < 0.35 < changed[1] < changed[2]
    scenes = {level: ArrowOfTime(8, level=level).scene(0) for level in LEVELS}
    assert [len(scene.others.shape) for scene in scenes.values()] == [0, 0, 3]
    assert [bool(scene.camera.any()) for scene in scenes.values()] == [False, True, True]
    scenes = ArrowOfTime(4, 4, level="medium")._scenes(range(4))[0]
    here = replace(scenes, radius=np.full((4, 4), 1e-3))  # all but unseen
    there = replace(here, camera=here.camera + [[8 / 32], [4 / 32]])
    still, moved = render(here, 32).astype(int), render(there, 32)  # the background moves along
    assert abs(moved[..., 8:, 4:] - still[..., :-8, :-4]).mean() < 1


def test_noise_is_unbiased_and_as_large_as_it_says():
    level = LEVELS["medium"]
    dataset = ArrowOfTime(16, 8, level="medium")
    clean = render(dataset._scenes(range(16))[0], 32).astype(int)
    change = dataset.batch(range(16))[0].numpy() - clean
    inner = change[(clean > level.noise) & (clean < 255 - level.noise)]
    assert inner.min() == -level.noise and inner.max() == level.noise
    assert abs(inner.mean()) < 0.1 and abs(inner.std() - ((2 * 12 + 1) ** 2 / 12) ** 0.5) < 0.1


def test_bad_input_is_told_what_is_legal(tmp_path):
    for error, call, words in (
        (ValueError, lambda: ArrowOfTime(frames=1), "frames is 1, but must be at least 2"),
        (ValueError, lambda: ArrowOfTime(image_size=8), "image_size is 8, but must be at least 16"),
        (ValueError, lambda: ArrowOfTime(level="hadr"), "Did you mean 'hard'"),
        (ValueError, lambda: ArrowOfTime(clips=0), "clips is 0"),
        (ValueError, lambda: ArrowOfTime(seed=-1), "seed is -1"),
        (IndexError, lambda: ArrowOfTime(16)[16], "clip 16, but the clips are 0 to 15"),
        (IndexError, lambda: ArrowOfTime(16)[-1], "clip -1, but the clips are 0 to 15"),
        (ValueError, lambda: LongVideos(videos=0), "videos is 0, but must be at least 1"),
        (ValueError, lambda: LongVideos(frames=19), "frames is 19, but must be at least 20"),
        (ValueError, lambda: LongVideos(height=33), "height is 33, but must be even.* is 34"),
        (ValueError, lambda: LongVideos(height=8), "height is 8, but must be at least 16"),
        (ValueError, lambda: LongVideos(seed=-1), "seed is -1"),
        (IndexError, lambda: LongVideos(4).label(-1), "the videos are 0 to 3"),
        (IndexError, lambda: LongVideos(4).video(4), "the videos are 0 to 3"),
        (
            ValueError,
            lambda: write_arrow_of_time(tmp_path / "a", clips=8, image_size=33),
            "image_size is 33, but must be even.*is 34",
        ),
    ):
        with pytest.raises(error, match=words):
            call()
    assert not list(tmp_path.iterdir())

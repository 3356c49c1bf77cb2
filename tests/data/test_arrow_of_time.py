"""Arrow of Time: a frame says nothing, a bag of frames only the pair, the order all."""

import numpy as np
import pytest
import torch

from vivit_lab.data.arrow_of_time import CLASSES, PROPERTIES, RADII, ArrowOfTime, render


def phases(scene) -> dict[str, np.ndarray]:
    """The four properties as positions on a circle, 0..1 (colour: in thirds)."""
    size = np.log(scene.radius / RADII[0]) / np.log(RADII[1] / RADII[0])
    return {
        "place": scene.column,
        "angle": scene.turn,
        "size": size,
        "colour": scene.colour / 3,
    }


@pytest.fixture(scope="module")
def scenes():
    dataset = ArrowOfTime(clips=8 * 400, frames=16, seed=5)
    return [dataset.scene(i) for i in range(len(dataset))]


@pytest.mark.parametrize("moment", [0, 7, 15])
@pytest.mark.parametrize("label", range(8), ids=lambda i: CLASSES[i])
def test_one_frame_says_nothing(scenes, label, moment):
    ours = [scene for scene in scenes if scene.label == label]
    for name in PROPERTIES:
        values = np.array([phases(scene)[name][moment] for scene in ours])
        thirds = np.histogram(values, bins=[0, 0.333, 0.666, 1])[0] / len(values)
        assert abs(thirds - 1 / 3).max() < 4.5 * (2 / 9 / len(values)) ** 0.5, name
    shapes = [scene.shape for scene in ours]
    assert min(shapes.count(shape) for shape in set(shapes)) > 60


@pytest.mark.parametrize("label", range(8), ids=lambda i: CLASSES[i])
def test_one_property_runs_round_and_its_direction_is_the_class(scenes, label):
    for scene in [scene for scene in scenes if scene.label == label][:50]:
        for i, name in enumerate(PROPERTIES):
            step = np.diff(phases(scene)[name])
            step = (step + 0.5) % 1 - 0.5  # the short way round
            if i != label // 2:
                assert abs(step).max() == 0
            elif label % 2 == 0:
                assert step.min() > -1e-9 and step.sum() > 0.4
            else:
                assert step.max() < 1e-9 and step.sum() < -0.4


def test_backwards_is_the_other_class_of_the_pair(scenes):
    """Frames in reverse order have the steps of the partner: no bag of frames can tell them."""
    for scene in scenes[:80]:
        name = PROPERTIES[scene.label // 2]
        forwards = phases(scene)[name]
        partner = next(s for s in scenes if s.label == (scene.label ^ 1))
        steps = [((np.diff(p) + 0.5) % 1 - 0.5).sum() for p in (forwards, forwards[::-1])]
        other = ((np.diff(phases(partner)[name]) + 0.5) % 1 - 0.5).sum()
        assert np.sign(steps[1]) == np.sign(other) == -np.sign(steps[0])


def test_the_picture_shows_the_scene():
    dataset = ArrowOfTime(clips=80, frames=12, image_size=64, seed=2)
    for index in range(0, 80, 9):
        scene, (clip, label) = dataset.scene(index), dataset[index]
        assert clip.shape == (12, 3, 64, 64) and clip.dtype == torch.uint8
        assert label == scene.label == index % 8
        lit = (clip.float() - scene.background).abs().sum(1) > 60  # (T, H, W)
        for t in range(12):
            rows, columns = lit[t].nonzero(as_tuple=True)
            angle = 2 * np.pi * (columns + 0.5) / 64  # the columns wrap round: a circular mean
            centre = np.angle(np.exp(1j * angle.numpy()).mean()) / (2 * np.pi)
            away = (centre - scene.column[t] + 0.5) % 1 - 0.5
            assert abs(away) < 0.06
            assert abs((rows.float().mean() + 0.5) / 64 - scene.row) < 0.06
            brightest = clip[t].flatten(1)[:, lit[t].flatten()].float().mean(1).argmax()
            assert brightest == scene.colour[t]


def test_turning_clockwise_is_clockwise_on_the_screen():
    dataset = ArrowOfTime(clips=8, frames=2, image_size=64)
    scene = dataset.scene(2)
    for turn, (row, column) in {0: (20, 32), 0.25: (32, 44), 0.5: (44, 32)}.items():
        still = {"row": 0.5, "column": np.array([0.5]), "turn": np.array([turn])}
        shown = {"shape": "disc", "radius": np.array([0.3]), "colour": np.array([0])}
        picture = render(type(scene)(label=2, background=0, **still, **shown), 64)[0, 0]
        assert picture[row, column] > 200 > picture[63 - row, 63 - column]


def test_a_clip_is_the_same_whoever_asks_and_other_seeds_make_others():
    a, b = ArrowOfTime(16, seed=3), ArrowOfTime(4000, seed=3)
    assert torch.equal(b[9][0], a[9][0]) and torch.equal(a[9][0], a[9][0])
    assert not torch.equal(a[9][0], ArrowOfTime(16, seed=4)[9][0])
    with pytest.raises(IndexError, match="0 to 15"):
        a[16]
    with pytest.raises(ValueError, match="frames is 1, but must be at least 2"):
        ArrowOfTime(frames=1)

"""Both bounds of Arrow of Time, asked of classifiers that could break them.

Ridge regressions read random filters of the pictures: a strict one, which sees a faint trace in a
single feature, and a loose one, which fits many. Shown one frame they must be at chance, though
they read the colour off the same frame. Shown a bag of frames they must tell the pairs, and not the
direction. Shown pairs of neighbouring frames they must tell the direction: so they could have.
"""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F

from vivit_lab.data.arrow_of_time import ArrowOfTime
from vivit_lab.data.arrow_scenes import LEVELS

TRAIN, TEST, FRAMES, SIZE = 3000, 1500, 8, 32
FILTERS = 64
STRICT, LOOSE = 3.0, 3e-3
SIGMAS = 3.5  # of the binomial distribution, for a classifier that guesses


@dataclass
class Clips:
    pixels: torch.Tensor  # (N, T, 3, H, W), about -1..1
    labels: torch.Tensor  # (N,)
    colours: torch.Tensor  # (N, T)
    seen: list[torch.Tensor]  # (N, D) of every frame


@pytest.fixture(scope="module", params=LEVELS)
def clips(request) -> Clips:
    dataset = ArrowOfTime(TRAIN + TEST, FRAMES, SIZE, seed=11, level=request.param)
    pixels, labels = dataset.batch(range(len(dataset)))
    pixels = pixels.float() / 100 - 1
    colours = torch.from_numpy(dataset._scenes(range(len(dataset)))[0].colour)
    return Clips(pixels, labels, colours, [features(frame) for frame in pixels.unbind(1)])


def features(pictures: torch.Tensor) -> torch.Tensor:
    """Random filters of 6 x 6 pixels, rectified, averaged over 4 x 4 parts; mean and least value
    of every colour: (N, D)."""
    random = torch.Generator().manual_seed(0)
    filters = torch.randn(FILTERS, pictures.shape[1], 6, 6, generator=random)
    filters[::2] -= filters[::2].mean(dim=(2, 3), keepdim=True)  # half of them look for edges
    filters /= filters.flatten(1).norm(dim=1)[:, None, None, None]
    found = [
        F.adaptive_avg_pool2d(F.conv2d(some, filters, stride=3).relu(), 4).flatten(1)
        for some in pictures.split(500)
    ]
    return torch.cat([torch.cat(found), pictures.mean((2, 3)), pictures.amin((2, 3))], dim=1)


def scores(inputs: torch.Tensor, targets: torch.Tensor, strength: float) -> torch.Tensor:
    """Ridge regression of the first TRAIN inputs on their classes, asked about the rest."""
    inputs = (inputs - inputs[:TRAIN].mean(0)) / (inputs[:TRAIN].std(0) + 1e-6)
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1).double()
    wanted = F.one_hot(targets[:TRAIN]).double()
    known = inputs[:TRAIN]
    square = known.T @ known + strength * TRAIN * torch.eye(known.shape[1]).double()
    return inputs[TRAIN:] @ torch.linalg.solve(square, known.T @ wanted)


def limit(share: float, count: int) -> float:
    """What a guesser with this chance of being right stays below."""
    return share + SIGMAS * (share * (1 - share) / count) ** 0.5


def direction(found: torch.Tensor, labels: torch.Tensor) -> float:
    """How often the class gets a higher score than its partner."""
    own, other = (found.gather(1, which[:, None]) for which in (labels, labels ^ 1))
    return (own > other).float().mean().item()


def directions(inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """How often the direction is found, by each of those who could find it."""
    asked, found = labels[TRAIN:], {}
    for strength in (STRICT, LOOSE):
        found[f"in the pair, {strength}"] = direction(scores(inputs, labels, strength), asked)
        backwards = scores(inputs, labels % 2, strength).argmax(1) == asked % 2
        found[f"in all pairs alike, {strength}"] = backwards.float().mean().item()
    return found


@pytest.mark.parametrize("moment", [0, 5])
def test_one_frame_says_nothing_to_who_sees_its_colour(clips, moment):
    asked, seen = clips.labels[TRAIN:], clips.seen[moment]
    colour = scores(seen, clips.colours[:, moment], LOOSE).argmax(1)
    assert (colour == clips.colours[TRAIN:, moment]).float().mean() > 0.95
    for strength in (STRICT, LOOSE):
        answer = scores(seen, clips.labels, strength).argmax(1)
        assert (answer == asked).float().mean() < limit(1 / 8, TEST)
    found = directions(seen, clips.labels)
    assert max(found.values()) < limit(1 / 2, TEST), found


def test_a_bag_of_frames_tells_the_pair_and_not_the_direction(clips):
    asked, each = clips.labels[TRAIN:], torch.stack(clips.seen)
    bag = torch.cat([each.mean(0), each.std(0)], dim=1)
    answer = scores(bag, clips.labels, LOOSE).argmax(1)
    assert (answer // 2 == asked // 2).float().mean() > 0.6
    assert (answer == asked).float().mean() < limit(1 / 2, TEST)
    found = directions(bag, clips.labels)
    assert max(found.values()) < limit(1 / 2, TEST), found


def test_who_sees_the_order_can_tell_the_direction(clips):
    steps = [clips.pixels[:, t : t + 2].flatten(1, 2) for t in (0, 2, 4, 6)]
    seen = sum(features(step) for step in steps) / len(steps)
    found = scores(seen, clips.labels, LOOSE)
    assert direction(found, clips.labels[TRAIN:]) > 0.6 > limit(1 / 2, TEST) + 0.05

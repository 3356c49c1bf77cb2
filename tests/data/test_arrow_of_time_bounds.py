"""Both bounds of Arrow of Time, asked of classifiers that could break them.

Ridge regressions read random filters of the pictures: a strict one, which sees a faint trace in a
single feature, and a loose one, which fits many. Shown one frame they must be at chance, though
they read the colour off the same frame. Shown a bag of frames they must tell the pairs, and not the
direction. Shown pairs of neighbouring frames they must tell the direction: so they could have.
"""

import pytest
import torch
import torch.nn.functional as F

from vivit_lab.data import ArrowOfTime

TRAIN, TEST, FRAMES = 2000, 1000, 8
FILTERS = 32
STRICT, LOOSE = 3.0, 3e-3
SIGMAS = 3.5  # of the binomial distribution, for a classifier that guesses


def features(pictures: torch.Tensor) -> torch.Tensor:
    """Random filters of 6 x 6 pixels, rectified, averaged over 4 x 4 parts; mean and least value
    of every colour: (N, D)."""
    random = torch.Generator().manual_seed(0)
    filters = torch.randn(FILTERS, pictures.shape[1], 6, 6, generator=random)
    filters[::2] -= filters[::2].mean(dim=(2, 3), keepdim=True)  # half of them look for edges
    filters /= filters.flatten(1).norm(dim=1)[:, None, None, None]
    found = F.adaptive_avg_pool2d(F.conv2d(pictures, filters, stride=3).relu(), 4).flatten(1)
    return torch.cat([found, pictures.mean((2, 3)), pictures.amin((2, 3))], dim=1)


def scores(inputs: torch.Tensor, targets: torch.Tensor, strength: float) -> torch.Tensor:
    """Ridge regression of the first TRAIN inputs on their classes, asked about the rest."""
    inputs = (inputs - inputs[:TRAIN].mean(0)) / (inputs[:TRAIN].std(0) + 1e-6)
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1).double()
    known, wanted = inputs[:TRAIN], F.one_hot(targets[:TRAIN]).double()
    square = known.T @ known + strength * TRAIN * torch.eye(known.shape[1]).double()
    return inputs[TRAIN:] @ torch.linalg.solve(square, known.T @ wanted)


def limit(share: float) -> float:
    """What a guesser with this chance of being right stays below."""
    return share + SIGMAS * (share * (1 - share) / TEST) ** 0.5


def direction(found: torch.Tensor, labels: torch.Tensor) -> float:
    """How often the class gets a higher score than its partner."""
    own, other = (found.gather(1, which[:, None]) for which in (labels, labels ^ 1))
    return (own > other).float().mean().item()


@pytest.mark.parametrize("level", ["easy", "hard"])  # medium has nothing that hard has not
def test_one_frame_says_nothing_a_bag_the_pair_and_only_the_order_says_the_direction(level):
    dataset = ArrowOfTime(TRAIN + TEST, FRAMES, 32, seed=11, level=level)
    pixels, labels = dataset.batch(range(len(dataset)))
    pixels, asked = pixels.float() / 100 - 1, labels[TRAIN:]
    colours = torch.from_numpy(dataset._scenes(range(len(dataset)))[0].colour)
    frames = [features(frame) for frame in pixels.unbind(1)]
    each = torch.stack(frames)
    bag = torch.cat([each.mean(0), each.std(0)], dim=1)

    for moment in (0, 5):
        colour = scores(frames[moment], colours[:, moment], LOOSE).argmax(1)
        assert (colour == colours[TRAIN:, moment]).float().mean() > 0.95
    assert (scores(bag, labels, LOOSE).argmax(1) // 2 == asked // 2).float().mean() > 0.6
    for seen, chance in ((frames[0], 1 / 8), (frames[5], 1 / 8), (bag, 1 / 2)):
        for strength in (STRICT, LOOSE):
            found = scores(seen, labels, strength)
            assert (found.argmax(1) == asked).float().mean() < limit(chance)
            assert direction(found, asked) < limit(1 / 2)
            backwards = scores(seen, labels % 2, strength).argmax(1)  # in all pairs alike
            assert (backwards == asked % 2).float().mean() < limit(1 / 2)

    steps = sum(features(pixels[:, t : t + 2].flatten(1, 2)) for t in (0, 2, 4, 6)) / 4
    assert direction(scores(steps, labels, LOOSE), asked) > 0.6 > limit(1 / 2) + 0.04

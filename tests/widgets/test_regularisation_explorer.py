"""What the picture of regularisation shows is what a training step does."""

import numpy as np
import torch

from vivit_lab.data import sample
from vivit_lab.models import ViViTConfig
from vivit_lab.models.vivit import drop_path_rates
from vivit_lab.video import TrainTransform
from vivit_lab.widgets import RegularisationExplorer
from vivit_lab.widgets import regularisation_explorer as drawn

MOVING = "Shear", "Translate", "Rotate"  # names of operations that move pixels


def test_rand_augment_is_the_transforms_own_the_same_for_all_frames_and_named():
    frame = torch.randint(100, 200, (1, 3, 40, 40), generator=torch.Generator().manual_seed(0))
    clip, named = frame.to(torch.uint8).expand(3, -1, -1, -1), set()
    transform = TrainTransform(40, 40, 40, flip=0, rand_augment=(2, 20))
    for seed in range(20):
        found, words = drawn.augmented(clip, 20, seed)
        operations = words.split(" and ")
        assert torch.equal(found, transform(clip, seed))
        assert (found == found[:1]).all()
        assert len(operations) == 2
        black = (found[0, :, [0, 0, -1, -1], [0, -1, 0, -1]] == 0).all(dim=0).any()
        if operations[-1].startswith(MOVING):
            assert black, operations  # what comes in from outside at a corner
        elif not any(each.startswith(MOVING) for each in operations):
            assert not black, operations
        weaker = drawn.augmented(clip, 5, seed)
        assert weaker[1] == words  # another magnitude: the same operations
        named |= {*operations}
    assert len(named) > 6
    found, operations = drawn.augmented(clip, drawn.OFF, 0)
    assert torch.equal(found, clip) and operations == "as it was read"


def test_the_target_is_the_papers_and_the_lowest_loss_lies_at_it():
    classes, own, partner = 5, 3, 1
    for share in (0.0, 0.3, 1.0):
        for smoothing in (0.0, 0.2):
            right = torch.full((classes,), smoothing / classes)
            right[own] += share * (1 - smoothing)
            right[partner] += (1 - share) * (1 - smoothing)
            found = drawn.target((own, partner), classes, share, smoothing)
            torch.testing.assert_close(found, right)
            best = drawn.SURE[drawn.losses(found, own).argmin()]
            assert abs(best - right[own]) < 0.0011
    both = drawn.target((own, own), classes, 0.3, 0.2)
    assert abs(both[own] - 0.84) < 1e-6


def test_branches_are_dropped_at_the_models_rates_and_what_is_kept_is_divided():
    gone = np.mean([np.equal(drawn.factors(0.5, seed), 0) for seed in range(600)], axis=0)
    rates = np.array([layer.rate for layer in drawn.branches(0.5).values()])
    config = ViViTConfig(model="factorised_encoder", drop_path=0.5)
    expected = [*drop_path_rates(config, 12), *drop_path_rates(config, 4)]
    assert np.allclose(rates, np.repeat(expected, 2))
    assert np.abs(gone - rates).max() < 0.09
    factors = np.array(drawn.factors(0.5, 3))
    kept = factors > 0
    assert 16 < kept.sum() < 32
    assert np.allclose(factors[kept], 1 / (1 - rates)[kept])


def test_a_press_on_a_class_makes_it_the_partner_and_a_file_is_a_class_of_its_own():
    explorer = RegularisationExplorer("crossing", partner="bars")
    explorer._on_touch({"press": {"partner": "counter"}})
    assert explorer.partner.value == "counter"
    assert "its partner counter" in explorer.picture.canvas.words
    before = len(explorer.target())
    explorer.picker.choose(sample("bars").read_bytes(), "mine.mp4")
    assert len(explorer.target()) == before + 1
    assert explorer.picture.canvas.words.startswith("mine.mp4 and its partner counter")

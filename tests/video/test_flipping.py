"""What a mirror does to labels: partners found, lonely classes named, heads kept apart."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vivit_lab.video import TrainTransform, flip_pairs
from vivit_lab.video.transforms import flipped_label

patient = settings(deadline=None)  # a busy machine is no fault
SSV2 = [
    "Pushing [something] from left to right",
    "Turning the camera right while filming [something]",
    "Approaching [something] with your camera",
    "Pushing [something] from right to left",
    "Taking the leftovers, upright",
    "Turning the camera left while filming [something]",
]


def test_partners_are_found_by_their_words():
    assert flip_pairs(SSV2) == {0: 3, 3: 0, 1: 5, 5: 1}
    assert flip_pairs(["Left turn", "Right turn", "LEFT", "RIGHT"]) == {0: 1, 1: 0, 2: 3, 3: 2}
    assert flip_pairs(["move_left", "move_right"]) == {0: 1, 1: 0}
    assert flip_pairs(["jump", "run"]) == {}
    assert flip_pairs({"verb": ["left", "right"], "noun": ["cup"]}) == {
        "verb": {0: 1, 1: 0},
        "noun": {},
    }


@patient
@given(st.permutations(SSV2))
def test_flipping_twice_changes_nothing(names):
    pairs = flip_pairs(names)
    for label, name in enumerate(names):
        mirrored = flipped_label(label, pairs)
        assert flipped_label(mirrored, pairs) == label
        assert (mirrored != label) == ("left" in name.split() or "right" in name.split())


def test_classes_without_a_partner_are_named():
    with pytest.raises(ValueError, match=r"'turn left' \(label 1; no class 'turn right'\).*flip=0"):
        flip_pairs(["go", "turn left", "right arm", "left arm"])


def test_several_heads():
    pairs = {"verb": {0: 1, 1: 0}}
    assert flipped_label({"verb": 1, "noun": 0}, pairs) == {"verb": 0, "noun": 0}
    assert flipped_label(None, pairs) is None
    with pytest.raises(TypeError, match="speaks of the heads verb.*single number 3"):
        flipped_label(3, pairs)
    with pytest.raises(TypeError, match="several heads"):
        flipped_label({"verb": 1}, {0: 1, 1: 0})
    with pytest.raises(ValueError, match="head 'verb', but the label has action"):
        flipped_label({"action": 1}, pairs)


def test_label_and_pixels_are_flipped_together_or_not_at_all():
    clip = torch.arange(8, dtype=torch.uint8).expand(2, 3, 8, 8)
    transform = TrainTransform(8, 8, 8, flip_labels={4: 5, 5: 4}, colour=0, grey=0)
    seen = set()
    for seed in range(40):
        out, label = transform.with_label(clip, 4, seed)
        mirrored = torch.equal(out, clip.flip(-1))
        assert mirrored or torch.equal(out, clip)
        assert label == (5 if mirrored else 4)
        assert transform.with_label(clip, 9, seed)[1] == 9
        seen.add(mirrored)
    assert seen == {True, False}


def test_a_label_cannot_be_forgotten():
    transform = TrainTransform(8, 8, 8, flip_labels={0: 1, 1: 0})
    with pytest.raises(ValueError, match="flip_labels.*with_label"):
        transform(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))

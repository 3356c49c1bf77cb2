"""What a model expects of a video: as JSON and back, in words, and the scale of the pixels."""

import json
from dataclasses import replace

import pytest
import torch

from vivit_lab.video import ByFrame, BySegment, BySpan, ByTime, Preprocessing, TestTransform

USUAL = Preprocessing(ByFrame(8, 2), 32, 36)
IN_WORDS = {
    ByFrame(8, 2): "8 frames at stride 2",
    ByFrame(8, 2, "hold"): "8 frames at stride 2 (short videos: hold)",
    ByTime(8, 12.5): "8 frames at 12.5 a second",
    BySpan(8, 4, 30): "8 frames at stride 4 of 30 a second",
    BySegment(8): "8 frames, the middle of each equal part of the video",
    BySegment(8, "first"): "8 frames, the first of each equal part of the video",
}


def test_it_comes_back_from_json_and_has_words_for_each_sampling():
    for sampling, words in IN_WORDS.items():
        expects = replace(USUAL, sampling=sampling, mean=(0.1, 0.2, 0.3))
        assert Preprocessing.from_dict(json.loads(json.dumps(expects.to_dict()))) == expects
        again = replace(expects, mean=(0.5,) * 3)
        assert str(again) == f"{words}, short side 36, crop 32, pixels -1..1"
    assert str(expects).endswith("pixels of mean (0.1, 0.2, 0.3), std (0.5, 0.5, 0.5)")
    assert USUAL.test_transform(3) == TestTransform(32, 36, 3)
    assert (
        str(USUAL.resized(16, 64)) == "16 frames at stride 2, short side 72, crop 64, pixels -1..1"
    )


def test_pixels_are_rescaled_channel_by_channel():
    clip = torch.rand(2, 4, 3, 5, 5) * 2 - 1
    assert USUAL.rescale(clip) is clip
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    found = replace(USUAL, mean=mean, std=std).rescale(clip)
    for c in range(3):
        wanted = ((clip[:, :, c] + 1) / 2 - mean[c]) / std[c]
        torch.testing.assert_close(found[:, :, c], wanted)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"sampling": 8}, "sampling is 8, but must be one of ByFrame, ByTime, BySpan, BySegment"),
        ({"crop": 1}, "crop is 1, but must be at least 2"),
        ({"short_side": 31}, "short_side is 31, but must be at least 32"),
        ({"mean": (0.5,)}, r"mean is \(0.5,\), but must be three numbers"),
        ({"mean": (0.5, float("nan"), 0.5)}, r"but must be three numbers \(std above 0\): \(0.5"),
        ({"std": (0.5, 0.5)}, r"std is \(0.5, 0.5\), but must be three numbers"),
        ({"std": (0.5, 0.5, 0)}, "three numbers"),
    ],
)
def test_what_is_refused(fields, words):
    with pytest.raises((TypeError, ValueError), match=words):
        replace(USUAL, **fields)

"""Tokenisation: every voxel is in exactly one token, in the documented order."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from vivit_lab import ViViTConfig
from vivit_lab.models.tokens import (
    PatchProjection,
    TubeletEmbedding,
    TubeletProjection,
    token_voxels,
    uniform_frame_indices,
    voxel_token,
)

CONFIG = ViViTConfig(frames=8, image_size=(24, 32), tubelet=(2, 8, 16), dim=48, heads=4)


def test_a_projection_is_the_convolution_where_boxes_overlap_too():
    cases = [(TubeletProjection, F.conv3d, (2, 4, 8)), (PatchProjection, F.conv2d, (4, 8))]
    for projection, convolution, size in cases:
        images = torch.randn(2, 3, *(2 * n for n in size))
        for stride in (size, tuple(n // 2 for n in size)):
            layer = projection(3, 16, size, stride=stride)
            torch.nn.init.normal_(layer.bias)
            right = convolution(images, layer.weight, layer.bias, stride)
            torch.testing.assert_close(layer(images), right, atol=1e-5, rtol=0)


def test_a_token_sees_its_own_voxels_and_no_others():
    embed = TubeletEmbedding(CONFIG)
    clip = torch.zeros(1, 8, 3, 24, 32)
    nt, nh, nw = CONFIG.grid
    silent = embed(clip)
    for frame, row, column in [(0, 0, 0), (3, 9, 15), (5, 23, 31), (7, 8, 16)]:
        lit = clip.clone()
        lit[0, frame, :, row, column] = 1
        changed = (embed(lit) - silent).abs().amax(-1)[0].nonzero().tolist()
        assert changed == [[frame // 2, row // 8 * nw + column // 16]]
        token = voxel_token(CONFIG, frame, row, column)
        assert [[token // (nh * nw), token % (nh * nw)]] == changed
    assert silent.shape == (1, nt, nh * nw, 48)


def test_uniform_frame_indices_by_hand():
    for frames, sampled, expected in [
        (8, 4, [2, 3, 5, 6]),
        (32, 8, [4, 7, 11, 14, 18, 21, 25, 28]),
        (32, 16, [2, 4, 6, 8, 9, 11, 13, 15, 17, 19, 21, 23, 24, 26, 28, 30]),
        (9, 5, [2, 3, 4, 6, 8]),  # 1.5 and 4.5 and 7.5 round to even
        (5, 5, [0, 1, 2, 3, 4]),
        (7, 1, [4]),  # 3.5 rounds to even
    ]:
        assert uniform_frame_indices(frames, sampled).tolist() == expected
        with torch.device("meta"):  # where models are built without memory
            assert uniform_frame_indices(frames, sampled).tolist() == expected


def test_uniform_frame_indices_are_distinct_ascending_and_inside():
    for frames in (*range(1, 40), 250, 300):
        for sampled in range(1, frames + 1):
            indices = uniform_frame_indices(frames, sampled).tolist()
            assert len(indices) == sampled and indices == sorted(set(indices))
            assert 0 <= indices[0] <= indices[-1] < frames


@pytest.mark.parametrize("tokenizer", ["tubelet", "uniform_frames"])
def test_tokens_and_voxels_are_each_others_inverse(tokenizer):
    uniform = {"tokenizer": "uniform_frames", "sampled_frames": 3, "tubelet": (1, 2, 4)}
    fields = uniform if tokenizer == "uniform_frames" else {"tubelet": (2, 2, 4)}
    config = ViViTConfig(frames=4, image_size=(4, 8), **fields)
    seen = {}
    for token in range(config.tokens):
        frames, rows, columns = token_voxels(config, token)
        for voxel in itertools.product(frames, rows, columns):
            assert voxel_token(config, *voxel) == token
            seen[voxel] = token
    kept = range(4) if tokenizer == "tubelet" else uniform_frame_indices(4, 3).tolist()
    assert sorted(seen) == sorted(itertools.product(kept, range(4), range(8)))
    dropped = [frame for frame in range(4) if frame not in kept]
    assert [voxel_token(config, frame, 0, 0) for frame in dropped] == [None] * len(dropped)


def test_a_token_or_voxel_outside_the_clip_is_named():
    with pytest.raises(ValueError, match="token is 48, but must be between 0 and 23"):
        token_voxels(CONFIG, 48)
    with pytest.raises(ValueError, match="row is 24, but must be between 0 and 23"):
        voxel_token(CONFIG, 0, 24, 0)


def test_the_projection_is_drawn_with_the_right_spread_and_no_tails():
    torch.manual_seed(0)
    proj = TubeletEmbedding(ViViTConfig(tubelet=(2, 8, 8), dim=2000, heads=4)).proj
    std = (3 * 2 * 8 * 8) ** -0.5
    assert proj.weight.std().item() == pytest.approx(std, rel=0.01)
    assert proj.weight.abs().max() <= 2 * std / 0.8796 * 1.001
    assert not proj.bias.any()

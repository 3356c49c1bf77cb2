"""Resizing positions: what stays, what moves, and agreement with scipy and timm."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange

from vivit_lab.weights.adapt import METHODS, repeat_positions, resize_positions

every_method = pytest.mark.parametrize("method", METHODS)


def table(rows: int, dim: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, rows, dim, generator=torch.Generator().manual_seed(seed))


@every_method
def test_what_stays(method):
    for cls in (True, False):  # all of it on the same grid
        old = table(3 * 4 * 2 + cls)
        assert torch.equal(resize_positions(old, (3, 4, 2), (3, 4, 2), cls=cls, method=method), old)
    old = table(13)  # the class token's row, which touches no other
    new = resize_positions(old, (3, 4), (5, 7), cls=True, method=method)
    assert torch.equal(new[:, 0], old[:, 0])
    without = resize_positions(old[:, 1:], (3, 4), (5, 7), cls=False, method=method)
    assert torch.equal(new[:, 1:], without)
    new = resize_positions(torch.full((1, 12, 3), 0.7), (3, 4), (7, 2), cls=False, method=method)
    torch.testing.assert_close(new, torch.full((1, 14, 3), 0.7))
    old = table(12).half()
    assert resize_positions(old, (3, 4), (2, 2), cls=False, method=method).dtype == torch.float16


def test_bilinear_is_linear_interpolation_with_corners_on_corners():
    """Against weights written out by hand: new row i looks at i * (old - 1) / (new - 1)."""

    def weights(old: int, new: int) -> torch.Tensor:
        rows = [np.interp(np.linspace(0, old - 1, new), range(old), one) for one in np.eye(old)]
        return torch.tensor(np.array(rows)).T

    for (h, w), (new_h, new_w) in (
        ((4, 4), (8, 8)),
        ((24, 24), (14, 14)),
        ((3, 5), (7, 4)),
        ((2, 2), (1, 3)),
        ((1, 4), (3, 2)),
    ):
        old = table(h * w)
        pixels = rearrange(old[0].double(), "(h w) d -> h w d", h=h)
        right = torch.einsum("ih,jw,hwd->ijd", weights(h, new_h), weights(w, new_w), pixels)
        new = resize_positions(old, (h, w), (new_h, new_w), cls=False)
        torch.testing.assert_close(new, right.reshape(1, new_h * new_w, -1).float())


def test_bicubic_is_timms_and_plain_bicubic_is_torchs():
    from timm.layers import resample_abs_pos_embed

    old = table(37 * 3 + 1)
    new = resize_positions(old, (37, 3), (16, 5), cls=True, method="bicubic")
    torch.testing.assert_close(new, resample_abs_pos_embed(old, [16, 5], [37, 3]))
    old = table(20 * 20)
    new = resize_positions(old, (20, 20), (8, 8), cls=False, method="bicubic_plain")
    pixels = rearrange(old, "1 (h w) d -> 1 d h w", h=20)
    right = rearrange(F.interpolate(pixels, (8, 8), mode="bicubic"), "1 d h w -> 1 (h w) d")
    torch.testing.assert_close(new, right)
    smoothed = resize_positions(old, (20, 20), (8, 8), cls=False, method="bicubic")
    assert (new - smoothed).abs().max() > 0.1


@every_method
def test_a_joint_table_is_resized_step_by_step_and_space_and_time_in_either_order(method):
    def resized(old, *grids, cls=False):
        return resize_positions(old, *grids, cls=cls, method=method)

    old = table(3 * 4 * 5 + 1)
    new = resized(old, (3, 4, 5), (3, 6, 2), cls=True)
    for step in range(3):
        right = resized(old[:, 1 + step * 20 : 1 + (step + 1) * 20], (4, 5), (6, 2))
        torch.testing.assert_close(new[:, 1 + step * 12 : 1 + (step + 1) * 12], right)
    old = table(3 * 4 * 4)
    both = resized(old, (3, 4, 4), (5, 2, 6))
    for between in ((3, 2, 6), (5, 4, 4)):
        first = resized(old, (3, 4, 4), between)
        torch.testing.assert_close(both, resized(first, between, (5, 2, 6)))


def test_time_runs_in_straight_lines_from_the_first_step_to_the_last():
    old = torch.tensor([0.0, 2.0, 6.0]).reshape(1, 3, 1)
    new = resize_positions(old, (3, 1, 1), (5, 1, 1), cls=False)
    assert new.flatten().tolist() == [0, 1, 2, 4, 6]
    assert resize_positions(old, (3, 1, 1), (2, 1, 1), cls=False).flatten().tolist() == [0, 6]


def test_repeated_over_time_a_table_is_the_same_in_every_step():
    old = table(2 * 3 + 1)
    new = repeat_positions(old, 4, cls=True)
    assert torch.equal(new, torch.cat([old[:, :1], *[old[:, 1:]] * 4], dim=1))
    # resizing over time what does not change over time changes nothing
    longer = resize_positions(new, (4, 2, 3), (7, 2, 3), cls=True)
    torch.testing.assert_close(longer, repeat_positions(old, 7, cls=True))


def test_bad_input_is_refused():
    for rows, grid, new_grid, cls, words in (
        (17, (4, 4), (8, 8), False, r"shape \(1, 17, 5\), but .*cls = False make it \(1, 16, D\)"),
        (16, (4, 4), (8, 8), True, r"shape \(1, 16, 5\), but .*cls = True make it \(1, 17, D\)"),
        (16, (4, 4), (2, 8, 8), False, r"both must be \(h, w\), or both \(t, h, w\)"),
        (16, (16,), (8,), False, r"both must be \(h, w\)"),
        (16, (4, 4), (0, 8), False, "new_grid \\(0, 8\\), but .*of at least 1"),
    ):
        with pytest.raises(ValueError, match=words):
            resize_positions(table(rows), grid, new_grid, cls=cls)
    with pytest.raises(ValueError, match="Did you mean 'bilinear'"):
        resize_positions(table(4), (2, 2), (3, 3), cls=False, method="billinear")
    with pytest.raises(ValueError, match=r"shape \(4, 5\), but"):
        resize_positions(table(4)[0], (2, 2), (3, 3), cls=False)
    with pytest.raises(ValueError, match="times is 0"):
        repeat_positions(table(4), 0, cls=False)

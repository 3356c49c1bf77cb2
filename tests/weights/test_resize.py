"""Resizing positions: what stays, what moves, and agreement with scipy and timm."""

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from shared import refused

from vivit_lab.weights.adapt import METHODS, repeat_positions, resize_positions


def table(rows: int, dim: int = 5) -> torch.Tensor:
    return torch.randn(1, rows, dim, generator=torch.Generator().manual_seed(0))


def resized(old, *grids, cls=False, method="bilinear"):
    return resize_positions(old, *grids, cls=cls, method=method)


def test_what_stays():
    for method in METHODS:
        for cls in (True, False):  # all of it on the same grid
            old = table(3 * 4 * 2 + cls)
            assert torch.equal(resized(old, (3, 4, 2), (3, 4, 2), cls=cls, method=method), old)
        old = table(13)  # the class token's row, which touches no other
        new = resized(old, (3, 4), (5, 7), cls=True, method=method)
        without = resized(old[:, 1:], (3, 4), (5, 7), method=method)
        assert torch.equal(new, torch.cat([old[:, :1], without], dim=1))
        new = resized(torch.full((1, 12, 3), 0.7), (3, 4), (7, 2), method=method)
        torch.testing.assert_close(new, torch.full((1, 14, 3), 0.7))
        assert resized(old[:, 1:].half(), (3, 4), (2, 2), method=method).dtype == torch.float16


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
        new = resized(old, (h, w), (new_h, new_w))
        torch.testing.assert_close(new, right.reshape(1, new_h * new_w, -1).float())


def test_bicubic_is_timms_and_plain_bicubic_is_torchs():
    from timm.layers import resample_abs_pos_embed

    old = table(37 * 3 + 1)
    new = resized(old, (37, 3), (16, 5), cls=True, method="bicubic")
    torch.testing.assert_close(new, resample_abs_pos_embed(old, [16, 5], [37, 3]))
    old = table(20 * 20)
    new = resized(old, (20, 20), (8, 8), method="bicubic_plain")
    pixels = rearrange(old, "1 (h w) d -> 1 d h w", h=20)
    right = rearrange(F.interpolate(pixels, (8, 8), mode="bicubic"), "1 d h w -> 1 (h w) d")
    torch.testing.assert_close(new, right)
    smoothed = resized(old, (20, 20), (8, 8), method="bicubic")
    assert (new - smoothed).abs().max() > 0.1


def test_a_joint_table_is_resized_step_by_step_and_space_and_time_in_either_order():
    for method in METHODS:
        old = table(3 * 4 * 5 + 1)
        new = resized(old, (3, 4, 5), (3, 6, 2), cls=True, method=method)
        steps = [resized(x, (4, 5), (6, 2), method=method) for x in old[:, 1:].split(20, dim=1)]
        torch.testing.assert_close(new, torch.cat([old[:, :1], *steps], dim=1))
        old = table(3 * 4 * 4)
        both = resized(old, (3, 4, 4), (5, 2, 6), method=method)
        for between in ((3, 2, 6), (5, 4, 4)):
            first = resized(old, (3, 4, 4), between, method=method)
            second = resized(first, between, (5, 2, 6), method=method)
            torch.testing.assert_close(both, second)


def test_time_runs_in_straight_lines_from_the_first_step_to_the_last():
    old = torch.tensor([0.0, 2.0, 6.0]).reshape(1, 3, 1)
    for steps, right in ((5, [0, 1, 2, 4, 6]), (2, [0, 6])):
        assert resized(old, (3, 1, 1), (steps, 1, 1)).flatten().tolist() == right


def test_repeated_over_time_a_table_is_the_same_in_every_step():
    old = table(2 * 3 + 1)
    new = repeat_positions(old, 4, cls=True)
    assert torch.equal(new, torch.cat([old[:, :1], *[old[:, 1:]] * 4], dim=1))
    # resizing over time what does not change over time changes nothing
    longer = resized(new, (4, 2, 3), (7, 2, 3), cls=True)
    torch.testing.assert_close(longer, repeat_positions(old, 7, cls=True))


def test_bad_input_is_refused():
    for old, grid, new_grid, cls, words in (
        (table(17), (4, 4), (8, 8), False, r"\(1, 17, 5\), but .*cls = False make it \(1, 16, D\)"),
        (table(16), (4, 4), (8, 8), True, r"\(1, 16, 5\), but .*cls = True make it \(1, 17, D\)"),
        (table(16), (4, 4), (2, 8, 8), False, r"both must be \(h, w\), or both \(t, h, w\)"),
        (table(16), (16,), (8,), False, r"both must be \(h, w\)"),
        (table(16), (4, 4), (0, 8), False, r"new_grid \(0, 8\), but .*of at least 1"),
        (table(4)[0], (2, 2), (3, 3), False, r"shape \(4, 5\), but"),
    ):
        refused(words, resized, old, grid, new_grid, cls=cls, error=ValueError)
    grids = (2, 2), (3, 3)
    refused("Did you mean 'bilin", resized, table(4), *grids, method="billinear", error=ValueError)
    refused("times is 0", repeat_positions, table(4), 0, cls=False, error=ValueError)

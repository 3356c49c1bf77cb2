"""Resizing positions: what stays, what moves, and agreement with scipy and timm."""

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange

from vivit_lab.weights.resize import METHODS, repeat_positions, resize_positions

every_method = pytest.mark.parametrize("method", METHODS)


def table(rows: int, dim: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, rows, dim, generator=torch.Generator().manual_seed(seed))


def ramp(grid: tuple[int, int]) -> torch.Tensor:
    """Channel 0 is the row, channel 1 the column, both from 0 to 1."""
    rows, columns = torch.linspace(0, 1, grid[0]), torch.linspace(0, 1, grid[1])
    pixels = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)
    return pixels.reshape(1, -1, 2)


@every_method
@pytest.mark.parametrize("cls", [True, False])
def test_the_same_grid_gives_the_same_table(method, cls):
    old = table(3 * 4 * 2 + cls)
    assert torch.equal(resize_positions(old, (3, 4, 2), (3, 4, 2), cls=cls, method=method), old)


@every_method
def test_the_class_tokens_row_is_untouched_and_touches_nothing(method):
    old = table(13)
    new = resize_positions(old, (3, 4), (5, 7), cls=True, method=method)
    assert torch.equal(new[:, 0], old[:, 0])
    without = resize_positions(old[:, 1:], (3, 4), (5, 7), cls=False, method=method)
    assert torch.equal(new[:, 1:], without)


@every_method
def test_a_constant_table_stays_constant(method):
    new = resize_positions(torch.full((1, 12, 3), 0.7), (3, 4), (7, 2), cls=False, method=method)
    torch.testing.assert_close(new, torch.full((1, 14, 3), 0.7))


def test_bilinear_keeps_straight_lines_straight_on_either_axis():
    # fails if rows and columns are swapped anywhere
    for new_grid in ((9, 3), (2, 8), (5, 5)):
        new = resize_positions(ramp((3, 5)), (3, 5), new_grid, cls=False)
        torch.testing.assert_close(new, ramp(new_grid))


SIZES = [
    ((4, 4), (8, 8)),
    ((14, 14), (16, 16)),
    ((24, 24), (14, 14)),
    ((3, 5), (7, 4)),
    ((2, 2), (1, 3)),
    ((1, 4), (3, 2)),
]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_bilinear_is_linear_interpolation_with_corners_on_corners(sizes):
    """Against weights written out by hand: new row i looks at i * (old - 1) / (new - 1)."""

    def weights(old: int, new: int) -> torch.Tensor:
        found = torch.zeros(new, old, dtype=torch.float64)
        for i in range(new):
            place = i * (old - 1) / (new - 1) if new > 1 else 0.0
            low = min(int(place), old - 1)
            found[i, low] += 1 - (place - low)
            if place > low:
                found[i, low + 1] += place - low
        return found

    (h, w), (new_h, new_w) = sizes
    old = table(h * w)
    pixels = rearrange(old[0].double(), "(h w) d -> h w d", h=h)
    right = torch.einsum("ih,jw,hwd->ijd", weights(h, new_h), weights(w, new_w), pixels)
    new = resize_positions(old, *sizes, cls=False)
    torch.testing.assert_close(new, right.reshape(1, new_h * new_w, -1).float())


def test_bicubic_is_timms():
    from timm.layers import resample_abs_pos_embed

    old = table(37 * 3 + 1)
    new = resize_positions(old, (37, 3), (16, 5), cls=True, method="bicubic")
    torch.testing.assert_close(new, resample_abs_pos_embed(old, [16, 5], [37, 3]))


def test_plain_bicubic_is_torchs_and_another_thing():
    old = table(20 * 20)
    new = resize_positions(old, (20, 20), (8, 8), cls=False, method="bicubic_plain")
    pixels = rearrange(old, "1 (h w) d -> 1 d h w", h=20)
    right = rearrange(F.interpolate(pixels, (8, 8), mode="bicubic"), "1 d h w -> 1 (h w) d")
    torch.testing.assert_close(new, right)
    smoothed = resize_positions(old, (20, 20), (8, 8), cls=False, method="bicubic")
    assert (new - smoothed).abs().max() > 0.1


@every_method
def test_a_joint_table_is_resized_step_by_step(method):
    old = table(3 * 4 * 5 + 1)
    new = resize_positions(old, (3, 4, 5), (3, 6, 2), cls=True, method=method)
    for step in range(3):
        one = old[:, 1 + step * 20 : 1 + (step + 1) * 20]
        right = resize_positions(one, (4, 5), (6, 2), cls=False, method=method)
        found = new[:, 1 + step * 12 : 1 + (step + 1) * 12]
        torch.testing.assert_close(found, right)


@every_method
def test_space_and_time_can_be_resized_in_either_order(method):
    old = table(3 * 4 * 4)
    both = resize_positions(old, (3, 4, 4), (5, 2, 6), cls=False, method=method)
    space = resize_positions(old, (3, 4, 4), (3, 2, 6), cls=False, method=method)
    then_time = resize_positions(space, (3, 2, 6), (5, 2, 6), cls=False, method=method)
    time = resize_positions(old, (3, 4, 4), (5, 4, 4), cls=False, method=method)
    then_space = resize_positions(time, (5, 4, 4), (5, 2, 6), cls=False, method=method)
    torch.testing.assert_close(both, then_time)
    torch.testing.assert_close(both, then_space)


def test_time_runs_in_straight_lines_from_the_first_step_to_the_last():
    old = torch.tensor([0.0, 2.0, 6.0]).reshape(1, 3, 1)
    new = resize_positions(old, (3, 1, 1), (5, 1, 1), cls=False)
    assert new.flatten().tolist() == [0, 1, 2, 4, 6]
    assert resize_positions(old, (3, 1, 1), (2, 1, 1), cls=False).flatten().tolist() == [0, 6]


def test_repeated_over_time_a_table_is_the_same_in_every_step():
    old = table(2 * 3 + 1)
    new = repeat_positions(old, 4, cls=True)
    assert new.shape == (1, 25, 5)
    assert torch.equal(new[:, 0], old[:, 0])
    for step in range(4):
        assert torch.equal(new[:, 1 + 6 * step : 7 + 6 * step], old[:, 1:])
    # resizing over time what does not change over time changes nothing
    longer = resize_positions(new, (4, 2, 3), (7, 2, 3), cls=True)
    torch.testing.assert_close(longer, repeat_positions(old, 7, cls=True))


@every_method
def test_the_dtype_stays(method):
    old = table(12).half()
    assert resize_positions(old, (3, 4), (2, 2), cls=False, method=method).dtype == torch.float16


@pytest.mark.parametrize(
    ("rows", "grid", "new_grid", "cls", "words"),
    [
        (17, (4, 4), (8, 8), False, r"17 rows, but the grid 4 x 4 make 16.*cls \(now False\)"),
        (16, (4, 4), (8, 8), True, "16 rows, but the grid 4 x 4 and the class token's make 17"),
        (16, (4, 4), (2, 8, 8), False, r"both must be \(h, w\), or both \(t, h, w\)"),
        (16, (16,), (8,), False, r"both must be \(h, w\)"),
        (16, (4, 4), (0, 8), False, "new_grid h is 0, but must be at least 1"),
    ],
)
def test_grids_that_do_not_fit_are_refused(rows, grid, new_grid, cls, words):
    with pytest.raises(ValueError, match=words):
        resize_positions(table(rows), grid, new_grid, cls=cls)


def test_other_bad_input_is_refused():
    with pytest.raises(ValueError, match="Did you mean 'bilinear'"):
        resize_positions(table(4), (2, 2), (3, 3), cls=False, method="billinear")
    with pytest.raises(ValueError, match=r"must be \(1, rows, D\)"):
        resize_positions(table(4)[0], (2, 2), (3, 3), cls=False)
    with pytest.raises(ValueError, match="times is 0"):
        repeat_positions(table(4), 0, cls=False)

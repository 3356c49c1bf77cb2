"""Wrong answers to the exercises of attention, each with words of its message."""

import torch
from einops import rearrange

from vivit_lab.lessons.exercises.attention import _rolled


def _by_matrices(maps):
    product = torch.eye(len(maps[0]))
    for weights in maps:
        product = (0.5 * weights + 0.5 * torch.eye(len(weights))) @ product
    return product[0]


def _read(pattern):
    return lambda a, g: rearrange(a.mean(0)[0, 1:], pattern, t=g[0], h=g[1])


map_bytes = {
    "counts": (lambda n, h, d: d * h * (n + 1) ** 2, "4 bytes as a float32"),
    "no class token": (lambda n, h, d: 4 * d * h * n**2, "leaves the class token out"),
    "one head": (lambda n, h, d: 4 * d * (n + 1) ** 2, "is for one head"),
    "one block": (lambda n, h, d: 4 * h * (n + 1) ** 2, "is for one block"),
    "linear": (lambda n, h, d: 4 * d * h * (n + 1), "grows with the tokens"),
}


mended_map = {
    "bars": (_read("(h w t) -> t h w"), "bars are still there"),
    "swapped": (_read("(t w h) -> t h w"), "Rows and columns are swapped"),
    "last patch": (lambda a, g: a.mean(0)[0, :-1].reshape(g), "dropped the last patch"),
    "column": (lambda a, g: a.mean(0)[1:, 0].reshape(g), "That is a column"),
    "one head": (lambda a, g: a[0, 0, 1:].reshape(g), "first head alone"),
    "every head": (lambda a, g: a[:, 0, 1:].reshape(-1, *g), "a map for every head"),
    "flat": (lambda a, g: a.mean(0)[0, 1:], "the grid (t, h, w)"),
    "class token in": (lambda a, g: a.mean(0)[0].reshape(g), "raised RuntimeError"),
}


rollout_row = {
    "matrix product": (_by_matrices, "multiply two N x N matrices"),
    "no identity": (lambda maps: _rolled(maps, 0, 1), "attentions alone"),
    "not halved": (lambda maps: _rolled(maps, 1, 1), "rows that sum to 2"),
    "layer order": (lambda maps: _rolled(maps[::-1]), "from the first block to the last"),
    "wrong side": (lambda maps: _rolled([a.T for a in maps]), "from the wrong side"),
    "column": (lambda maps: _rolled([a.T for a in maps[::-1]]), "column 0 of the whole"),
    "last block": (lambda maps: _rolled(maps[-1:]), "last block alone"),
    "no class token": (lambda maps: _rolled(maps)[1:], "one row has 9 weights"),
    "in place": (lambda maps: _rolled([a.mul_(0.5) for a in maps]), "maps that you were given"),
    "mean": (lambda maps: _rolled(maps) * 0 + 1 / 9, "not those of the rollout"),
}

"""Wrong answers to the exercises of attention, by words of the message that they get."""

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
    "4 bytes as a float32": lambda n, h, d: d * h * (n + 1) ** 2,
    "as in float16": lambda n, h, d: 2 * d * h * (n + 1) ** 2,
    "leaves the class token out": lambda n, h, d: 4 * d * h * n**2,
    "is for one head": lambda n, h, d: 4 * d * (n + 1) ** 2,
    "is for one block": lambda n, h, d: 4 * h * (n + 1) ** 2,
    "grows with the tokens": lambda n, h, d: 4 * d * h * (n + 1),
}


mended_map = {
    "bars are still there": _read("(h w t) -> t h w"),
    "Rows and columns are swapped": _read("(t w h) -> t h w"),
    "dropped the last patch": lambda a, g: a.mean(0)[0, :-1].reshape(g),
    "That is a column": lambda a, g: a.mean(0)[1:, 0].reshape(g),
    "first head alone": lambda a, g: a[0, 0, 1:].reshape(g),
    "a map for every head": lambda a, g: a[:, 0, 1:].reshape(-1, *g),
    "the grid (t, h, w)": lambda a, g: a.mean(0)[0, 1:],
    "raised RuntimeError": lambda a, g: a.mean(0)[0].reshape(g),
}


rollout_row = {
    "multiply two N x N matrices": _by_matrices,
    "attentions alone": lambda maps: _rolled(maps, 0, 1),
    "rows that sum to 2": lambda maps: _rolled(maps, 1, 1),
    "from the first block to the last": lambda maps: _rolled(maps[::-1]),
    "from the wrong side": lambda maps: _rolled([a.T for a in maps]),
    "column 0 of the whole": lambda maps: _rolled([a.T for a in maps[::-1]]),
    "last block alone": lambda maps: _rolled(maps[-1:]),
    "one row has 9 weights": lambda maps: _rolled(maps)[1:],
    "maps that you were given": lambda maps: _rolled([a.mul_(0.5) for a in maps]),
    "not those of the rollout": lambda maps: _rolled(maps) * 0 + 1 / 9,
}

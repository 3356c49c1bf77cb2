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
    "one side lacks": lambda n, h, d: 4 * d * h * n * (n + 1),
}


mended_map = {
    "still the scrambled map": _read("(h w t) -> t h w"),
    "Rows and columns are swapped": _read("(t w h) -> t h w"),
    "dropped the last patch": lambda a, g: a.mean(0)[0, :-1].reshape(g),
    "That is a column": lambda a, g: a.mean(0)[1:, 0].reshape(g),
    "divided by the sum": lambda a, g: a.mean(0)[0, 1:].div(a.mean(0)[0, 1:].sum()).reshape(g),
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


def _lens(pick, after=lambda x: x):
    """A lens: the classifier of what is picked from (tokens, norm, pooling), then `after`."""
    return lambda left, norm, classifier, pooling: after(
        torch.stack([classifier(pick(x, norm, pooling)) for x in left])
    )


def _pool(x, norm, pooling):
    return norm(x)[0] if pooling == "cls" else norm(x).mean(0)


lens_rows = {
    "left out the norm": _lens(lambda x, norm, how: x[0] if how == "cls" else x.mean(0)),
    "took the mean first": _lens(
        lambda x, norm, how: norm(x[0] if how == "cls" else x.mean(dim=0))
    ),
    "pooled the other way": _lens(lambda x, norm, how: norm(x)[0]),
    "that is the last token": _lens(lambda x, norm, how: norm(x)[-1]),
    "that is token 1": _lens(lambda x, norm, how: norm(x)[1]),
    "every row is the last block's": _lens(_pool, lambda rows: rows[-1:].expand(3, -1)),
    "in reverse order": _lens(_pool, lambda rows: rows.flip(0)),
    "left token 0 out": _lens(
        lambda x, norm, how: norm(x)[0] if how == "cls" else norm(x)[1:].mean(0)
    ),
    "these are probabilities": _lens(_pool, lambda rows: rows.softmax(-1)),
    "a row for each block": _lens(_pool, lambda rows: rows[-1]),
    "logits for every token": _lens(lambda x, norm, how: norm(x)),
}

"""Wrong answers to the exercises of tokenisation, by words of the message that they get."""

from einops import rearrange
from torch.nn.functional import conv3d

from vivit_lab.lessons.exercises.tokenisation import _tubelets


def _embedded(tokens, inside):
    """A wrong answer: the tokens in this order, with the voxels of each box in this one."""
    pattern = f"b (nt t) c (nh h) (nw w) -> b ({tokens}) ({inside})"
    return lambda x, w, b: _tubelets(x, pattern) @ w.flatten(1).T + b


def _moved(pattern):
    return lambda x, grid: rearrange(x, pattern, t=grid[0], h=grid[1])


token_count = {
    "forgets time": lambda f, s, t: f * (s // t[1]) * (s // t[2]),
    "you added the three": lambda f, s, t: f // t[0] + s // t[1] + s // t[2],
    "counts the class token": lambda f, s, t: f // t[0] * (s // t[1]) * (s // t[2]) + 1,
    "does not divide the width": lambda f, s, t: f * s * s // (t[0] * t[1]),
    "height of the patch for its width": lambda f, s, t: f // t[0] * (s // t[1]) ** 2,
    "have 1, which is not right": lambda f, s, t: 1,
    "is a float": lambda f, s, t: f / t[0] * (s / t[1]) * (s / t[2]),
}


tubelet_embedding = {
    "their order is (h w t)": _embedded("nh nw nt", "c t h w"),
    "uses a convolution": lambda x, w, b: (
        conv3d(x.transpose(1, 2), w, b, w.shape[2:]).flatten(2).mT
    ),
    "the bias is missing": lambda x, w, b: _tubelets(x) @ w.flatten(1).T,
    "a box as (t c h w)": _embedded("nt nh nw", "t c h w"),
    "height before width": _embedded("nt nh nw", "c t w h"),
    "only reshaped": lambda x, w, b: x.reshape(2, 16, -1) @ w.flatten(1).T + b,
    "16 tokens of width 5": lambda x, w, b: _tubelets(x),
    "channels as if they were frames": lambda x, w, b: rearrange(
        x, "b c (nt t) (nh h) (nw w) -> b (nt nh nw) (c t h w)", t=2, h=4, w=3
    ),
    "raised RuntimeError": lambda x, w, b: x @ w,
}


uniform_frames = {
    "fractions off": lambda t, n: [int(k * t / (n + 1)) for k in range(1, n + 1)],
    "you divide 29": lambda t, n: [round(k * (t - 1) / (n + 1)) for k in range(1, n + 1)],
    "start at the first": lambda t, n: [round(k * (t - 1) / (n - 1)) for k in range(n)],
    "from 0 on": lambda t, n: list(range(0, t, t // n))[:n],
    "middles of n": lambda t, n: [round((k + 0.5) * t / n) for k in range(n)],
    "first cut is at 0": lambda t, n: [round(k * t / (n + 1)) for k in range(n)],
    "30 numbers, but it must have 8": lambda t, n: list(range(t)),
    "a list of frame numbers": lambda t, n: 3,
}


mended_order = {
    "order as before": lambda x, grid: x,
    "repeats the mistake": _moved("b (t h w) d -> b (h w t) d"),
    "columns are exchanged": _moved("b (w h t) d -> b (t h w) d"),
    "it is not (t h w)": lambda x, grid: x.flip(1),
    "the same tokens in another order": _moved("b (h w t) d -> b t h w d"),
}

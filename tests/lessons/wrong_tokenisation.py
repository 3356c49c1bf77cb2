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
    "multiply; you added": lambda f, s, t: f // t[0] + s // t[1] + s // t[2],
    "counts the class token": lambda f, s, t: f // t[0] * (s // t[1]) * (s // t[2]) + 1,
    "divides the width by 1": lambda f, s, t: f * s * s // (t[0] * t[1]),
    "have 1, which is not right": lambda f, s, t: 1,
}


tubelet_embedding = {
    "order (h w t)": _embedded("nh nw nt", "c t h w"),
    "a convolution made it": lambda x, w, b: (
        conv3d(x.transpose(1, 2), w, b, w.shape[2:]).flatten(2).mT
    ),
    "missing is the bias": lambda x, w, b: _tubelets(x) @ w.flatten(1).T,
    "flattened as (t c h w)": _embedded("nt nh nw", "t c h w"),
    "Height and width are swapped": _embedded("nt nh nw", "c t w h"),
    "16 tokens of width 5": lambda x, w, b: _tubelets(x),
    "raised RuntimeError": lambda x, w, b: x @ w,
}


uniform_frames = {
    "fractions off": lambda t, n: [int(k * t / (n + 1)) for k in range(1, n + 1)],
    "start at the first": lambda t, n: [round(k * (t - 1) / (n - 1)) for k in range(n)],
    "never seen": lambda t, n: list(range(0, t, t // n))[:n],
    "8 numbers, but you have 32": lambda t, n: list(range(t)),
    "a list of frame numbers": lambda t, n: 3,
}


mended_order = {
    "nothing has moved": lambda x, grid: x,
    "a second time": _moved("b (t h w) d -> b (h w t) d"),
    "rows and columns are swapped": _moved("b (w h t) d -> b (t h w) d"),
    "not to (t h w)": lambda x, grid: x.flip(1),
    "the same tokens in another order": _moved("b (h w t) d -> b t h w d"),
}

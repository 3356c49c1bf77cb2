"""Wrong answers to the exercises of tokenisation, each with words of its message."""

from einops import rearrange

from vivit_lab.lessons.exercises.tokenisation import _tubelets


def _embedded(tokens, inside):
    """A wrong answer: the tokens in this order, with the voxels of each box in this one."""
    pattern = f"b (nt t) c (nh h) (nw w) -> b ({tokens}) ({inside})"
    return lambda x, w, b: _tubelets(x, pattern) @ w.flatten(1).T + b


def _moved(pattern):
    return lambda x, grid: rearrange(x, pattern, t=grid[0], h=grid[1])


token_count = {
    "forgets time": (lambda f, s, t: f * (s // t[1]) * (s // t[2]), "forgets time"),
    "adds": (lambda f, s, t: f // t[0] + s // t[1] + s // t[2], "multiply; you added"),
    "class": (lambda f, s, t: f // t[0] * (s // t[1]) * (s // t[2]) + 1, "counts the class token"),
    "no width": (lambda f, s, t: f * s * s // (t[0] * t[1]), "divides the width by 1"),
    "float": (lambda f, s, t: f / t[0] * (s / t[1]) * (s / t[2]), "have 3136.0, but it is 3136"),
}


tubelet_embedding = {
    "(h w t)": (_embedded("nh nw nt", "c t h w"), "order (h w t)"),
    "no bias": (lambda x, w, b: _tubelets(x) @ w.flatten(1).T, "missing is the bias"),
    "(t c h w)": (_embedded("nt nh nw", "t c h w"), "flattened as (t c h w)"),
    "(c t w h)": (_embedded("nt nh nw", "c t w h"), "Height and width are swapped"),
    "only cut": (lambda x, w, b: _tubelets(x), "12 tokens of width 5"),
    "raises": (lambda x, w, b: x @ w, "raised RuntimeError"),
}


uniform_frames = {
    "cut off": (lambda t, n: [int(k * t / (n + 1)) for k in range(1, n + 1)], "fractions off"),
    "ends": (lambda t, n: [round(k * (t - 1) / (n - 1)) for k in range(n)], "start at the first"),
    "from zero": (lambda t, n: list(range(0, t, t // n))[:n], "never seen"),
    "too many": (lambda t, n: list(range(t)), "8 numbers, but you have 32"),
    "a number": (lambda t, n: 3, "a list of frame numbers"),
}


mended_order = {
    "nothing": (lambda x, grid: x, "nothing has moved"),
    "twice": (_moved("b (t h w) d -> b (h w t) d"), "a second time"),
    "swapped": (_moved("b (w h t) d -> b (t h w) d"), "rows and columns are swapped"),
    "reversed": (lambda x, grid: x.flip(1), "not to (t h w)"),
    "another shape": (_moved("b (h w t) d -> b t h w d"), "the same tokens in another order"),
}

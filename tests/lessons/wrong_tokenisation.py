"""Wrong answers to the exercises of tokenisation, each with words of its message."""

from einops import rearrange

from vivit_lab.lessons.exercises.tokenisation import _RIGHT, _tubelets

token_count = {
    "forgets time": (lambda f, s, t: f * (s // t[1]) * (s // t[2]), "forgets time"),
    "adds": (lambda f, s, t: f // t[0] + s // t[1] + s // t[2], "multiply; you added"),
    "class token": (
        lambda f, s, t: (f // t[0]) * (s // t[1]) * (s // t[2]) + 1,
        "counts the class token",
    ),
    "no width": (lambda f, s, t: f * s * s // (t[0] * t[1]), "divides the width by 1"),
    "true division": (
        lambda f, s, t: (f / t[0]) * (s / t[1]) * (s / t[2]),
        "you have 3136.0, but it is 3136",
    ),
}


tubelet_embedding = {
    "(h w t)": (
        lambda x, w, b: (
            _tubelets(x, "b (nt t) c (nh h) (nw w) -> b (nh nw nt) (c t h w)") @ w.flatten(1).T + b
        ),
        "order (h w t)",
    ),
    "no bias": (lambda x, w, b: _tubelets(x, _RIGHT) @ w.flatten(1).T, "missing is the bias"),
    "(t c h w)": (
        lambda x, w, b: (
            _tubelets(x, "b (nt t) c (nh h) (nw w) -> b (nt nh nw) (t c h w)") @ w.flatten(1).T + b
        ),
        "flattened as (t c h w)",
    ),
    "(c t w h)": (
        lambda x, w, b: (
            _tubelets(x, "b (nt t) c (nh h) (nw w) -> b (nt nh nw) (c t w h)") @ w.flatten(1).T + b
        ),
        "Height and width are swapped",
    ),
    "only cut": (lambda x, w, b: _tubelets(x, _RIGHT), "12 tokens of width 5"),
    "raises": (lambda x, w, b: x @ w, "raised RuntimeError"),
}


uniform_frames = {
    "cut off": (lambda t, n: [int(k * t / (n + 1)) for k in range(1, n + 1)], "fractions off"),
    "both ends": (
        lambda t, n: [round(k * (t - 1) / (n - 1)) for k in range(n)],
        "start at the first frame",
    ),
    "from zero": (lambda t, n: list(range(0, t, t // n))[:n], "never seen"),
    "too many": (lambda t, n: list(range(t)), "you have 32 numbers"),
    "a number": (lambda t, n: 3, "a list of frame numbers"),
}


mended_order = {
    "nothing": (lambda x, grid: x, "nothing has moved"),
    "twice": (
        lambda x, grid: rearrange(x, "b (t h w) d -> b (h w t) d", t=grid[0], h=grid[1]),
        "a second time",
    ),
    "swapped": (
        lambda x, grid: rearrange(x, "b (w h t) d -> b (t h w) d", t=grid[0], h=grid[1]),
        "rows and columns are swapped",
    ),
    "reversed": (lambda x, grid: x.flip(1), "not to (t h w)"),
    "another shape": (
        lambda x, grid: rearrange(x, "b (h w t) d -> b t h w d", t=grid[0], h=grid[1]),
        "the same tokens in another order",
    ),
}

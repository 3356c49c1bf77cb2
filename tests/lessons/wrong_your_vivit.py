"""Wrong answers to the exercises of your_vivit, by words of the message that they get.

Most are the notebook's own solution with one slip in it.
"""

import re
from pathlib import Path

import torch

SOURCE = Path(__file__).parents[2] / "notebooks" / "src" / "11_your_vivit.py"
SOLUTIONS = re.findall(r"# ```python\n(.*?)# ```", SOURCE.read_text(encoding="utf-8"), re.DOTALL)
CODE = [re.sub(r"^# ?", "", solution, flags=re.MULTILINE) for solution in SOLUTIONS]
IMPORTS = """
import torch
import torch.nn.functional as F
from einops import rearrange
from vivit_lab import ViViTConfig
"""


def slip(function: str, *changes: tuple[str, str]):
    """A function of the solutions, with changes in the last of them that has the words."""
    code = [*CODE]
    for old, new in changes:
        number = max(i for i, text in enumerate(code) if old in text and i <= LAST[function])
        code[number] = code[number].replace(old, new)
    space = {}
    exec(IMPORTS + "\n".join(code), space)
    return space[function]


LAST = {"embed": 0, "block": 1, "model_1": 2, "model_2": 3, "model_3": 4, "model_4": 5}
BOXES = "(c t h w)"
NORM1, NORM2 = 'norm(x, p, f"{name}.norm1")', 'norm(x, p, f"{name}.norm2")'
EXACT, EPS = ('approximate="tanh"', 'approximate="none"'), ("1e-6)", "1e-5)")
TABLE = 'x = x + p["pos_embed"].view(1, *x.shape[1:])'
MEAN = 'norm(x, p, "norm").mean(dim=(1, 2))'
ROUND = ('name = f"blocks.{i}"', 'name = "blocks.0"')

embedding = {
    "Only the bias is missing": lambda clip, p, tubelet: (
        slip("embed")(clip, p, tubelet) - p["patch_embed.proj.bias"]
    ),
    "column by column": slip("embed", ("(nh nw)", "(nw nh)")),
    "Keep time and space apart": slip("embed", ("nt (nh nw)", "(nt nh nw)")),
    "another order than the weight": slip("embed", (BOXES, "(t c h w)")),
    "the numbers are not": lambda *given: 2 * slip("embed")(*given),
    "raised KeyError": slip("embed", ('p, "patch_embed.proj"', 'p, "patch_embed"')),
    "but not for others": slip("embed", ("t, h, w = tubelet", "t, h, w = 2, 8, 8")),
}

block = {
    "The MLP is missing": slip("block", ("x + mlp(", "x + 0 * mlp(")),
    "The attention is missing": slip("block", ("x + attention(", "x + 0 * attention(")),
    "residual around the MLP": slip("block", ("return x + mlp(", "return mlp(")),
    "residual around the attention": slip("block", ("x = x + attention(", "x = attention(")),
    "MLP's residual adds": slip(
        "block", ("x = x + attention(", "z, x = x, x + attention("), ("x + mlp(", "z + mlp(")
    ),
    "norms come after": slip(
        "block",
        (
            f'x = x + attention({NORM1}, p, f"{{name}}.attn", heads)',
            f'x = x + attention(x, p, f"{{name}}.attn", heads)\n    x = {NORM1}',
        ),
        (
            f'return x + mlp({NORM2}, p, f"{{name}}.mlp")',
            f'x = x + mlp(x, p, f"{{name}}.mlp")\n    return {NORM2}',
        ),
    ),
    "attention you add LN(z)": slip("block", ("x = x + attention(", f"x = {NORM1} + attention(")),
    "MLP you add LN(y)": slip("block", ("return x + mlp(", f"return {NORM2} + mlp(")),
    "In both residuals you add": slip(
        "block",
        ("x = x + attention(", f"x = {NORM1} + attention("),
        ("return x + mlp(", f"return {NORM2} + mlp("),
    ),
    "Both norms are norm1": slip("block", ("norm2", "norm1")),
    "before the attention is missing": slip("block", (NORM1, "x")),
    "before the MLP is missing": slip("block", (NORM2, "x")),
    "The scale is missing": slip("block", (" * q.shape[-1] ** -0.5", "")),
    "The scale is that of all D": slip("block", ("q.shape[-1] ** -0.5", "64**-0.5")),
    "runs over the queries": slip("block", ("softmax(dim=-1)", "softmax(dim=-2)")),
    "All heads are one": slip("block", ("three=3, h=heads", "three=3, h=1")),
    "You always make 4 heads": slip("block", ("h=heads", "h=4")),
    "any number of axes before N": slip("block", ('"... h n d -> ... n', '"b h n d -> b n')),
    "cut in the order (heads, three, d)": slip("block", ("(three h d)", "(h three d)")),
    "cut in the order (three, d, heads)": slip("block", ("(three h d)", "(three d h)")),
    "cut in the order (d, three": slip("block", ("(three h d)", "(h d three)")),
    "joined in the order (d h)": slip("block", ('n (h d)"', 'n (d h)"')),
    "Queries and keys": slip("block", ("look(q, k, v)", "look(k, q, v)")),
    "Keys and values": slip("block", ("look(q, k, v)", "look(q, v, k)")),
    "Queries and values": slip("block", ("look(q, k, v)", "look(v, k, q)")),
    "first third of qkv": slip("block", ("look(q, k, v)", "look(v, q, k)")),
    "The GELU is the exact one": slip("block", EXACT),
    "torch's default": slip("block", EPS),
    "the shape of x": lambda *given: slip("block")(*given)[..., :1],
    "the numbers are not": slip("block", ("x = x + attention(", "x = x + 0.5 * attention(")),
}


def _common(function: str, rounds: tuple[str, str]) -> dict:
    return {
        "Every round uses blocks.0": slip(function, rounds),
        "The last block is missing": slip(function, ("config.depth)", "config.depth - 1)")),
        "but not for others": slip(function, ("range(config.depth)", "range(4)")),
        "The GELU is the exact one": slip(function, EXACT),
        "torch's default": slip(function, EPS),
        "Nearly: the logits": lambda *given: slip(function)(*given) * 1.001,
        "logits, (B, K)": lambda *given: torch.zeros(2),
        "the numbers are not": lambda *given: slip(function)(*given).flip(1),
    }


model_1 = _common("model_1", ('f"blocks.{i}"', '"blocks.0"')) | {
    "The last norm is missing": slip("model_1", ('norm(x, p, "norm")[:, 0]', "x[:, 0]")),
    "No positions are added": slip("model_1", (' + p["pos_embed"]', "")),
    "the mean of all": slip("model_1", ("[:, 0]", ".mean(dim=1)")),
    "the mean without": slip("model_1", ("[:, 0]", "[:, 1:].mean(dim=1)")),
    "the last token": slip("model_1", ("[:, 0]", "[:, -1]")),
    "places come first": slip("model_1", (".flatten(1, 2)", ".transpose(1, 2).flatten(1, 2)")),
    "class token gets no position": slip(
        "model_1",
        (
            'prepend(p["cls_token"], x) + p["pos_embed"]',
            'prepend(p["cls_token"], x + p["pos_embed"][:, 1:])',
        ),
    ),
}

READS = '"temporal_norm")[:, 0]'
model_2 = _common("model_2", ('f"blocks.{i}"', '"blocks.0"')) | {
    "The last norm is missing": slip("model_2", ('norm(x, p, "temporal_norm")[:, 0]', "x[:, 0]")),
    "No positions are added": slip("model_2", (' + p["pos_embed"]', "")),
    "the mean of all": slip("model_2", (READS, '"temporal_norm").mean(dim=1)')),
    "the mean without": slip("model_2", (READS, '"temporal_norm")[:, 1:].mean(dim=1)')),
    "the last token": slip("model_2", (READS, '"temporal_norm")[:, -1]')),
    "read as (t b)": slip(
        "model_2",
        ("[:, :, 0]", "[:, :, 0].flatten(0, 1).unflatten(0, (-1, len(x))).transpose(0, 1)"),
    ),
    "not the mean of its places": slip("model_2", ("[:, :, 0]", "[:, :, 1:].mean(dim=2)")),
    "positions in time are missing": slip("model_2", (' + p["temporal_pos_embed"]', "")),
    "a last norm of its own (norm)": slip("model_2", ('norm(x, p, "norm")[:, :, 0]', "x[:, :, 0]")),
    "The last norm is norm": slip("model_2", ('"temporal_norm"', '"norm"')),
    "uses temporal_norm": slip("model_2", ('x, p, "norm"', 'x, p, "temporal_norm"')),
    "Both class tokens": slip("model_2", ('"temporal_cls_token"', '"cls_token"')),
    "blocks of the spatial one": slip("model_2", ('f"temporal_blocks.{i}"', 'f"blocks.{i}"')),
    "round in time": slip("model_2", ('f"temporal_blocks.{i}"', '"temporal_blocks.0"')),
    "not the mean of its tokens": slip("model_2", ("[:, :, 0]", ".mean(dim=2)")),
    "class token of a time step gets": slip(
        "model_2",
        (
            'prepend(p["cls_token"], x) + p["pos_embed"]',
            'prepend(p["cls_token"], x + p["pos_embed"][:, 1:])',
        ),
    ),
}


def _mean(function: str) -> dict:
    places_first = 'x + p["pos_embed"].view(1, x.shape[2], x.shape[1], -1).transpose(1, 2)'
    return _common(function, ROUND) | {
        "The last norm is missing": slip(function, (MEAN, "x.mean(dim=(1, 2))")),
        "No positions are added": slip(function, (TABLE, "")),
        "read the mean of all tokens": slip(function, (MEAN, 'norm(x, p, "norm")[:, 0, 0]')),
        "mean is taken before": slip(function, (MEAN, 'norm(x.mean(dim=(1, 2)), p, "norm")')),
        "The places come first": slip(function, (TABLE, f"x = {places_first}")),
    }


OVER_SPACE = f'x = x + attention({NORM1}, p, f"{{name}}.attn", config.heads)  # eq. 4\n'
OVER_TIME = (
    'y = norm(x, p, f"{name}.norm_time").transpose(1, 2)\n'
    '    x = x + attention(y, p, f"{name}.attn_time", config.heads).transpose(1, 2)  # eq. 5\n'
)
THERE = ('norm_time").transpose(1, 2)', 'norm_time").reshape(len(x), x.shape[2], -1, 64)')
BACK = ("config.heads).transpose(1, 2)", "config.heads).reshape(x.shape)")
model_3 = _mean("model_3") | {
    "time first, then space": slip(
        "model_3",
        (
            OVER_SPACE + "        " + OVER_TIME.replace("\n    x", "\n        x"),
            OVER_TIME.replace("\n    x", "\n        x") + "        " + OVER_SPACE,
        ),
    ),
    "runs over space again": slip("model_3", (".transpose(1, 2)", "")),
    "Both attentions are attn": slip("model_3", ('f"{name}.attn_time"', 'f"{name}.attn"')),
    "residual around the attention over space": slip(
        "model_3", ("x = x + attention(norm", "x = attention(norm")
    ),
    "residual around the attention over time": slip(
        "model_3", ("x = x + attention(y", "x = attention(y")
    ),
    "residual around the MLP": slip("model_3", ("x = x + mlp(", "x = mlp(")),
    "The MLP is missing": slip("model_3", ("x = x + mlp(", "x = x + 0 * mlp(")),
    "uses norm1": slip("model_3", ("norm_time", "norm1")),
    "exchanged before the": slip("model_3", THERE),
    "exchanged after the": slip("model_3", BACK),
    "exchanged before and after": slip("model_3", THERE, BACK),
}

ATTENDED = f'attention({NORM1}, p, f"{{name}}.attn", config.heads)'
SPACE, TIME = ATTENDED, ATTENDED.replace("),", ").transpose(1, 2),", 1) + ".transpose(1, 2)"


def _twice(first: str, second: str):
    halves = f"x = x + {ATTENDED}".replace("attention", "half_heads")
    return slip("model_4", (halves, f"x = x + {first}\n        x = x + {second}"))


model_4 = _mean("model_4") | {
    "first half of the heads runs over space": slip(
        "model_4",
        ("y[:, :, :half]", "y[:, :, half:]"),
        ("qkv[:, :, :, half:]", "qkv[:, :, :, :half]"),
        ("[y_t, y_s]", "[y_s, y_t]"),
    ),
    "second half of the heads runs over time": slip(
        "model_4",
        ("y[:, :, :half]", "y[:, :, half:]"),
        ("qkv[:, :, :, half:]", "qkv[:, :, :, :half]"),
    ),
    "joined in the wrong order": slip("model_4", ("[y_t, y_s]", "[y_s, y_t]")),
    "That is Model 1": slip(
        "model_4",
        (f"half_heads({NORM1}", f"attention({NORM1}.flatten(1, 2)"),
        ('.attn", config.heads)', '.attn", config.heads).view(x.shape)'),
    ),
    "over space and over time. Model 4": _twice(SPACE, TIME),
    "over time and over space. Model 4": _twice(TIME, SPACE),
    "All heads run over space": slip("model_4", ("x + half_heads(", "x + attention(")),
    "In each half": slip("model_4", ("b t s (h d)", "b t s (d h)")),
    "A reshape brings": slip(
        "model_4",
        ("rearrange(look(*time)", "rearrange(look(*time).reshape(qkv[0][:, :, half:].shape)"),
        ('"b s h t d -> b t s', '"b t h s d -> b t s'),
    ),
}

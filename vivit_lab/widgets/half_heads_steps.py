"""What the stepper through Model 4's attention shows and says, step by step."""

from collections.abc import Callable
from dataclasses import dataclass

from vivit_lab.widgets import half_heads_figures as figures
from vivit_lab.widgets.half_heads import HalfHeads
from vivit_lab.widgets.half_heads_parts import Scene
from vivit_lab.widgets.surface import Canvas

BOXES = {  # of the map at the top: name -> (words, x, row, width)
    "x": ("tokens x", 12, 1, 84),
    "qkv": ("q, k, v", 116, 1, 76),
    "heads": ("heads", 212, 1, 70),
    "time keys": ("K_t: own place", 312, 2, 126),
    "space keys": ("K_s: own frame", 312, 0, 126),
    "time weights": ("softmax(q K_tᵀ)", 456, 2, 134),
    "space weights": ("softmax(q K_sᵀ)", 456, 0, 134),
    "time sum": ("× V_t", 608, 2, 66),
    "space sum": ("× V_s", 608, 0, 66),
    "join": ("join", 704, 1, 64),
    "project": ("× W_O", 786, 1, 64),
    "y": ("y", 868, 1, 40),
}
WIRES = (
    ("x", "qkv"), ("qkv", "heads"), ("heads", "time keys"), ("heads", "space keys"),
    ("time keys", "time weights"), ("space keys", "space weights"), ("time weights", "time sum"),
    ("space weights", "space sum"), ("time sum", "join"), ("space sum", "join"),
    ("join", "project"), ("project", "y"),
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One step: what of the map is lit, the figure, what is said, and the package's line for it."""

    title: str
    lit: tuple[str, ...]
    shape: Callable[[HalfHeads], tuple[str, tuple[int, ...]]]  # letters and numbers
    figure: Callable[[Canvas, Scene], None]
    says: tuple[str, ...]
    code: str


STEPS = (
    Step(
        "The tokens",
        ("x",),
        lambda f: ("x (t, s, D)", f.x.shape),
        figures.tokens,
        (
            "A clip is t time steps of s places, D numbers in each. We follow one token, the "
            "yellow one, through one attention.",
            "It has come through the norm of the first block. Move it with the sliders above.",
        ),
        "y, weights = self.attn(self.norm1(x), return_attention)  # eq. 2",
    ),
    Step(
        "Query, key and value",
        ("x", "qkv"),
        lambda f: ("q, k, v (t, s, D), each", f.x.shape),
        figures.queries,
        (
            "Three linear maps, the same for every token of every step, and the same as in Models "
            "1 to 3.",
            "A token asks with q; it is found by k; what it then hands over is v.",
        ),
        "qkv = self.split_heads(x)  # each (b, t, h, s, d): ready for space",
    ),
    Step(
        "Cut into heads",
        ("qkv", "heads"),
        lambda f: ("q, k, v (t, heads, s, d)", f.q.shape),
        figures.heads,
        (
            "Nothing is computed here. D numbers are cut into heads of d numbers, and each head "
            "will ask for itself.",
            "Up to this point Model 4 is Model 1.",
        ),
        'rearrange(self.qkv(x), "... n (three h d) -> three ... h n d", three=3, h=self.heads)',
    ),
    Step(
        "Half and half",
        ("heads",),
        lambda f: ("each half (t, heads/2, s, d)", f.q[:, : f.half].shape),
        figures.halves,
        (
            "The idea of Model 4: leave queries, keys and values as they are, and change only "
            "which keys a query meets.",
            "One half of the heads meets the tokens of its own time step, the other those of its "
            "own place.",
        ),
        'time = [rearrange(y[:, :, : self.heads // 2], "b t h s d -> b s h t d") for y in qkv]',
    ),
    Step(
        "Over space: whose keys?",
        ("space keys",),
        lambda f: ("K_s (t, heads/2, s, d)", f.k[:, f.half :].shape),
        figures.space_keys,
        (
            "The blue half compares our query with the keys of its own frame: K_s in the paper. No "
            "other frame is looked at.",
        ),
        "space = [y[:, :, self.heads // 2 :] for y in qkv]",
    ),
    Step(
        "Over space: the weights",
        ("space weights",),
        lambda f: ("weights (t, heads/2, s, s)", f.weights_space.shape),
        figures.space_weights,
        (
            "Equation 7: the product of our query with each key, divided by √d, through a softmax. "
            "One number for each place.",
            "Each head has weights of its own. The bluer a cell, the more our token takes from it.",
        ),
        "y_s, weights_s = self.attend(*space, return_attention)",
    ),
    Step(
        "Over space: the output",
        ("space sum",),
        lambda f: ("Y_s (t, heads/2, s, d)", f.out_space.shape),
        figures.space_output,
        (
            "The values of the frame, added up by weight: d numbers for each head. That is our "
            "token's row of Y_s.",
        ),
        "y_s, weights_s = self.attend(*space, return_attention)",
    ),
    Step(
        "Over time: whose keys?",
        ("time keys",),
        lambda f: ("K_t (s, heads/2, t, d)", f.k[:, : f.half].permute(2, 1, 0, 3).shape),
        figures.time_keys,
        (
            "The orange half has the same kind of queries and keys, but meets the tokens of its "
            "own place at every step: K_t.",
            "In the code only the axes change places; attention itself does not know the "
            "difference.",
        ),
        'time = [rearrange(y[:, :, : self.heads // 2], "b t h s d -> b s h t d") for y in qkv]',
    ),
    Step(
        "Over time: the weights",
        ("time weights",),
        lambda f: ("weights (s, heads/2, t, t)", f.weights_time.shape),
        figures.time_weights,
        (
            "The same equation 7, with so few keys that all of it fits here. Check a row with a "
            "pocket calculator.",
        ),
        "y_t, weights_t = self.attend(*time, return_attention)",
    ),
    Step(
        "Over time: the output",
        ("time sum",),
        lambda f: ("Y_t (s, heads/2, t, d)", f.out_time.shape),
        figures.time_output,
        ("The values of our place at the time steps, added up by weight: our token's row of Y_t.",),
        "y_t, weights_t = self.attend(*time, return_attention)",
    ),
    Step(
        "Join the halves",
        ("join",),
        lambda f: ("Concat (t, s, D)", f.joined.shape),
        figures.joined,
        (
            "All heads side by side are D numbers again, as if nobody had been split. The paper "
            "writes Concat(Y_s, Y_t).",
            "The official code, and this package, put time first. W_O learns either order; loading "
            "weights needs the right one.",
        ),
        "out = self.proj_drop(self.proj(torch.cat([y_t, y_s], dim=-1)))",
    ),
    Step(
        "One projection for both",
        ("project", "y"),
        lambda f: ("y (t, s, D)", f.y.shape),
        figures.projected,
        (
            "Y = Concat(Y_s, Y_t) W_O. Then the residual and the MLP follow, as in every block.",
            "A token has now heard from its frame and from its place. Through the next block it "
            "hears from everybody.",
        ),
        "out = self.proj_drop(self.proj(torch.cat([y_t, y_s], dim=-1)))",
    ),
    Step(
        "What it saves",
        tuple(BOXES),
        lambda f: ("y (t, s, D)", f.y.shape),
        figures.compared,
        (
            "The reach of a factorised model with the parameters of Model 1. Model 3 needs a "
            "second set of q, k, v and W_O.",
            "Attention's products shrink; the projections and the MLP cost what they always did.",
        ),
        "Block(config, rate, FactorisedDotProductAttention)",
    ),
)

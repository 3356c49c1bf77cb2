"""Notebook 05: the checks of its exercises, and the mistakes that they name."""

import numbers

from vivit_lab import ViViTConfig
from vivit_lab.analysis import count_flops
from vivit_lab.lessons.checking import Wrong, call, exercise, expect, like, refuse


@exercise("Papers write FLOPs and mean MACs: a factor of 2 between two tables is often just that.")
def linear_cost(cost) -> None:
    for tokens, wide_in, wide_out in ((3137, 768, 3072), (5, 7, 11)):
        answer = like(call(cost, tokens, wide_in, wide_out), (0, 0))
        is_pair = isinstance(answer, tuple) and len(answer) == 2
        if not is_pair or not all(isinstance(each, numbers.Real) for each in answer):
            raise Wrong(f"The answer is two numbers, (MACs, FLOPs), but you have {answer!r}.")
        macs, right = answer[0], tokens * wide_in * wide_out
        what = f"{tokens} tokens from {wide_in} to {wide_out} numbers"
        mistakes = {
            "that is for one token. Every token goes through the layer.": macs
            == wide_in * wide_out,
            "you count the sum with the bias as a MAC. It is no product, and counters leave it out "
            "(the bias is a parameter, though).": macs == tokens * (wide_in + 1) * wide_out,
        }
        refuse(mistakes, what)
        mistakes = {
            "the two are swapped. A FLOP is the smaller unit: there are more.": (2 * right, right),
            "the MACs are right, but each MAC is a product and a sum.": (right, right),
            "your MACs are FLOPs already; both numbers are double.": (2 * right, 4 * right),
            "the MACs are right. Your FLOPs hold the sums with the bias, too; counters leave them "
            "out.": (right, 2 * right + tokens * wide_out),
            "the MACs are right. wide_in products do need one sum less, but FLOPs are counted as "
            "twice the MACs.": (right, 2 * right - tokens * wide_out),
        }
        expect(tuple(answer), (right, 2 * right), what, mistakes)


def _right_attention(model: int, t: int, s: int, d: int) -> int:
    return {
        1: 2 * (t * s + 1) ** 2 * d,
        2: 2 * t * (s + 1) ** 2 * d,
        3: 2 * (t * s**2 + s * t**2) * d,
        4: (t * s**2 + s * t**2) * d,
    }[model]


@exercise("The number of heads cancels out. Only who may attend to whom is left.")
def attention_macs(attention) -> None:
    for t, s, d in ((16, 196, 768), (3, 5, 8)):
        for model in (1, 2, 3, 4):
            right = _right_attention(model, t, s, d)
            all_pairs = 2 * (t * s) ** 2 * d
            no_token = {1: all_pairs, 2: 2 * t * s**2 * d}
            single = {2: 2 * (s + 1) ** 2 * d, 3: 2 * (s**2 + t**2) * d}
            space = {3: 2 * t * s**2 * d, 4: t * s**2 * d}
            twice = "that is twice too much: FLOPs, or all heads counted twice."
            half = "that is half of it: there are two products, q with k and the weights with v."
            if model == 4:
                twice = "only half of the heads, so half of D, attend along each axis."
                half = "you halved d twice, or took one of the two products."
            mistakes = {
                twice: 2 * right,
                half: right // 2,
                "you added the temporal encoder. The question is a block of the spatial one.": (
                    right + 2 * (t + 1) ** 2 * d if model == 2 else None
                ),
                "the class token is missing from the sequence.": no_token.get(model),
                "that is one sequence along each axis. Every time step has its own sequence over "
                "space (and in Models 3 and 4 every place one over time).": single.get(model),
                "that is over space alone; the attention over time is missing.": space.get(model),
                "that is every token with every other token, as in Model 1.": all_pairs,
                "the tokens are t times s, not t plus s.": 2 * (t + s) ** 2 * d,
            }
            what = f"Model {model}, t = {t}, s = {s}, D = {d}"
            expect(call(attention, model, t, s, d), right, what, mistakes)


@exercise("3,073 for ViT-B. Model 1 at 32 frames of 224 × 224 has 3,137, a little more.")
def attention_overtakes_mlp(crossing) -> None:
    for d, mlp in ((24, 60), (768, 3072)):
        mistakes = {
            f"at {mlp} tokens both cost the same. Attention must cost more.": mlp,
            "attention has two products, with k and with v. You took one.": 2 * mlp + 1,
            "the MLP has two layers. You took one.": mlp // 2 + 1,
            "there attention costs more than the four projections (4 N D²), not the MLP.": 2 * d
            + 1,
            f"{d} is the width of a token, but the MLP's hidden width counts.": d + 1,
        }
        expect(call(crossing, d, mlp), mlp + 1, f"D = {d}, an MLP of {mlp}", mistakes)


def _of_both(frames: int) -> str:
    """GMACs of Models 1 and 3 in the size of ViViT-L, in words."""
    found = []
    for model in ("joint", "factorised_self_attention"):
        config = ViViTConfig.preset("L/16x2", model=model, frames=frames)
        found.append(count_flops(config, counter="closed_form").macs / 1e9)
    return "at {} frames Model 1 costs {:.1f} GMACs and Model 3 {:.1f}:".format(frames, *found)


@exercise("24 frames, not 18: with wider tokens projections grow as D², pairs only as D.")
def model_1_overtakes(frames) -> None:
    mistakes = {
        "12 is the number of time steps. A time step is 2 frames.": 12,
        "11 time steps are 22 frames, where Model 3 still costs more.": 11,
        "that is where it happens in ViViT-B. ViViT-L has wider tokens.": 18,
        **{f"{_of_both(n)} Model 3 still costs more.": n for n in (16, 20, 22)},
        "23 frames do not make tubelets of 2 frames.": 23,
        "that compares attention's own products alone. Model 3 also has a second set of "
        "projections in every block.": 2,
        "28 is the answer for the model as it runs (as_run=True). Count whole blocks.": 28,
        **{f"{_of_both(n)} this is not the smallest number yet.": n for n in (26, 30, 32)},
    }
    expect(frames, 24, "the number of frames", mistakes)

"""Notebook 05: the checks of its exercises, and the mistakes that they name."""

import numbers

from vivit_lab.lessons.checking import Wrong, call, exercise, expect, like, refuse


@exercise("Papers write FLOPs and mean MACs: a factor of 2 between two tables is often just that.")
def linear_cost(cost) -> None:
    for tokens, wide_in, wide_out in ((3137, 768, 3072), (5, 7, 11)):
        answer = like(call(cost, tokens, wide_in, wide_out), (0, 0))
        is_pair = isinstance(answer, tuple) and len(answer) == 2
        if not is_pair or not all(isinstance(each, numbers.Real) for each in answer):
            raise Wrong(f"This asks for two numbers, (MACs, FLOPs), but got {answer!r}.")
        macs, right = answer[0], tokens * wide_in * wide_out
        what = f"{tokens} tokens from {wide_in} to {wide_out} numbers"
        mistakes = {
            "that is one token. Each goes through the same map.": macs == wide_in * wide_out,
            "you count adding the bias as a MAC. It is no product, and counters leave it out (the "
            "bias is a parameter, though).": macs == tokens * (wide_in + 1) * wide_out,
        }
        refuse(mistakes, what)
        mistakes = {
            "the two are swapped. A FLOP is the smaller unit: there are more.": (2 * right, right),
            "the MACs are right, but each MAC is a product and a sum.": (right, right),
            "what you call MACs are FLOPs already; both are double.": (2 * right, 4 * right),
        }
        expect(tuple(answer), (right, 2 * right), what, mistakes)


def _right_attention(model: int, t: int, s: int, d: int) -> int:
    return {
        1: 2 * (t * s + 1) ** 2 * d,
        2: 2 * t * (s + 1) ** 2 * d,
        3: 2 * (t * s**2 + s * t**2) * d,
        4: (t * s**2 + s * t**2) * d,
    }[model]


@exercise("The number of heads cancels out. Only who may look at whom is left, and it decides.")
def attention_macs(attention) -> None:
    for t, s, d in ((16, 196, 768), (3, 5, 8)):
        for model in (1, 2, 3, 4):
            right = _right_attention(model, t, s, d)
            all_pairs = 2 * (t * s) ** 2 * d
            no_token = {1: all_pairs, 2: 2 * t * s**2 * d}
            single = {2: 2 * (s + 1) ** 2 * d, 3: 2 * (s**2 + t**2) * d}
            space = {3: 2 * t * s**2 * d, 4: t * s**2 * d}
            twice = "that is twice too much: FLOPs, or all heads counted twice."
            if model == 4:
                twice = "only half of the heads, half of D, look along each axis."
            mistakes = {
                twice: 2 * right,
                "that is half of it: two products, q with k and the weights with v.": right // 2,
                "the class token is missing from the sequence.": no_token.get(model),
                "that is one sequence along each axis; every frame has its own.": single.get(model),
                "that is over space alone; the attention over time is missing.": space.get(model),
                "that is every token with every other. What is factorised here?": all_pairs,
                "the tokens are t times s, not t plus s.": 2 * (t + s) ** 2 * d,
            }
            what = f"Model {model}, t = {t}, s = {s}, D = {d}"
            expect(call(attention, model, t, s, d), right, what, mistakes)


@exercise("3,073 for ViT-B. Model 1 at 32 frames of 224 has 3,137: it has just crossed.")
def attention_overtakes_mlp(crossing) -> None:
    for d, mlp in ((24, 60), (768, 3072)):
        mistakes = {
            f"at {mlp} tokens both cost the same; this asks for more.": mlp,
            "attention multiplies twice, with k and with v. You took one.": 2 * mlp + 1,
            "the MLP has two layers, there and back. You took one layer.": mlp // 2 + 1,
            "that is where attention passes the four projections (4 N D²).": 2 * d + 1,
            f"{d} is the width of a token, but the MLP's hidden width counts.": d + 1,
        }
        expect(call(crossing, d, mlp), mlp + 1, f"D = {d}, an MLP of {mlp}", mistakes)


@exercise("Up to 16 frames Model 3, though it factorises, is the dearest of all.")
def model_1_overtakes(frames) -> None:
    mistakes = {
        "9 is the number of time steps; a step is 2 frames.": 9,
        "at 16 frames Model 3 still costs more, 185.3 GMACs against 180.5.": 16,
        "the line crosses near 17, but 17 frames do not make tubelets of 2.": 17,
        "that compares attention alone. Model 3 also pays for a second set of projections in every "
        "block.": 2,
        "at 32 it has long been dearer; look at fewer frames.": 32,
    }
    expect(frames, 18, "the number of frames", mistakes)

"""Wrong answers to the exercises of flops, by words of the message that they get."""

from vivit_lab.lessons.exercises.flops import _right_attention


def _wrong_for(**models):
    """A wrong answer: right, but for these models, m1 to m4, which take functions of t, s, d."""

    def attention(model, *sizes):
        return models.get(f"m{model}", lambda *_: _right_attention(model, *sizes))(*sizes)

    return attention


linear_cost = {
    "two are swapped": lambda n, i, o: (2 * n * i * o, n * i * o),
    "a product and a sum": lambda n, i, o: (n * i * o, n * i * o),
    "FLOPs already": lambda n, i, o: (2 * n * i * o, 4 * n * i * o),
    "for one token": lambda n, i, o: (i * o, 2 * i * o),
    "count the sum with the bias": lambda n, i, o: (n * (i + 1) * o, 2 * n * (i + 1) * o),
    "hold the sums with the bias": lambda n, i, o: (n * i * o, 2 * n * i * o + n * o),
    "do need one sum less": lambda n, i, o: (n * i * o, n * o * (2 * i - 1)),
    "is two numbers": lambda n, i, o: n * i * o,
}


attention_macs = {
    "twice too much": lambda *a: 2 * _right_attention(*a),
    "that is half of it": lambda *a: _right_attention(*a) // 2,
    "halved d twice": _wrong_for(m4=lambda *a: _right_attention(4, *a) // 2),
    "added the temporal encoder": _wrong_for(
        m2=lambda t, s, d: 2 * d * (t * (s + 1) ** 2 + (t + 1) ** 2)
    ),
    "class token is missing": _wrong_for(m2=lambda t, s, d: 2 * t * s * s * d),
    "own sequence over": _wrong_for(m2=lambda t, s, d: 2 * (s + 1) ** 2 * d),
    "over time is missing": _wrong_for(m3=lambda t, s, d: 2 * t * s * s * d),
    "as in Model 1": _wrong_for(m3=lambda t, s, d: 2 * (t * s) ** 2 * d),
    "half of the heads": _wrong_for(m4=lambda *a: 2 * _right_attention(4, *a)),
    "t times s, not t plus s": lambda m, t, s, d: 2 * (t + s) ** 2 * d,
}


attention_overtakes_mlp = {
    "both cost the same": lambda d, mlp: mlp,
    "with k and with v": lambda d, mlp: 2 * mlp + 1,
    "the MLP has two layers": lambda d, mlp: mlp // 2 + 1,
    "than the four projections": lambda d, mlp: 2 * d + 1,
    "the width of a token": lambda d, mlp: d + 1,
}


model_1_overtakes = {
    "number of time steps": 12,
    "happens in ViViT-B": 18,
    "22 frames Model 1 costs 883.5 GMACs and Model 3 893.4: Model 3 still": 22,
    "20 frames Model 1 costs 784.3": 20,
    "16 frames Model 1 costs 597.3": 16,
    "11 time steps are 22 frames": 11,
    "model as it runs": 28,
    "26 frames Model 1 costs 1093.1": 26,
    "do not make tubelets": 23,
    "own products alone": 2,
    "32 frames Model 1 costs 1436.0": 32,
}

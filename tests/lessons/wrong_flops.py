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
    "that is one token": lambda n, i, o: (i * o, 2 * i * o),
    "adding the bias": lambda n, i, o: (n * (i + 1) * o, 2 * n * (i + 1) * o),
    "asks for two numbers": lambda n, i, o: n * i * o,
}


attention_macs = {
    "twice too much": lambda *a: 2 * _right_attention(*a),
    "that is half of it": lambda *a: _right_attention(*a) // 2,
    "class token is missing": _wrong_for(m2=lambda t, s, d: 2 * t * s * s * d),
    "every frame has its own": _wrong_for(m2=lambda t, s, d: 2 * (s + 1) ** 2 * d),
    "over time is missing": _wrong_for(m3=lambda t, s, d: 2 * t * s * s * d),
    "What is factorised here": _wrong_for(m3=lambda t, s, d: 2 * (t * s) ** 2 * d),
    "half of the heads": _wrong_for(m4=lambda *a: 2 * _right_attention(4, *a)),
    "t times s, not t plus s": lambda m, t, s, d: 2 * (t + s) ** 2 * d,
}


attention_overtakes_mlp = {
    "both cost the same": lambda d, mlp: mlp,
    "with k and with v": lambda d, mlp: 2 * mlp + 1,
    "there and back": lambda d, mlp: mlp // 2 + 1,
    "four projections": lambda d, mlp: 2 * d + 1,
    "the width of a token": lambda d, mlp: d + 1,
}


model_1_overtakes = {
    "number of time steps": 9,
    "still costs more": 16,
    "do not make tubelets": 17,
    "compares attention alone": 2,
    "long been dearer": 32,
}

"""Wrong answers to the exercises of flops, each with words of its message."""

from vivit_lab.lessons.exercises.flops import _right_attention


def _wrong_for(**models):
    """A wrong answer: right, but for these models, m1 to m4, which take functions of t, s, d."""

    def attention(model, *sizes):
        return models.get(f"m{model}", lambda *_: _right_attention(model, *sizes))(*sizes)

    return attention


def _joint(t, s, d):
    return 2 * (t * s) ** 2 * d


def _over_space(t, s, d):
    return 2 * t * s * s * d


linear_cost = {
    "swapped": (lambda n, i, o: (2 * n * i * o, n * i * o), "two are swapped"),
    "the same": (lambda n, i, o: (n * i * o, n * i * o), "a product and a sum"),
    "double": (lambda n, i, o: (2 * n * i * o, 4 * n * i * o), "FLOPs already"),
    "one token": (lambda n, i, o: (i * o, 2 * i * o), "that is one token"),
    "bias": (lambda n, i, o: (n * (i + 1) * o, 2 * n * (i + 1) * o), "adding the bias"),
    "one number": (lambda n, i, o: n * i * o, "asks for two numbers"),
}


attention_macs = {
    "FLOPs": (lambda *a: 2 * _right_attention(*a), "twice too much"),
    "softmax(QK) only": (lambda *a: _right_attention(*a) // 2, "that is half of it"),
    "no class token": (_wrong_for(m1=_joint, m2=_over_space), "class token is missing"),
    "one frame": (_wrong_for(m2=lambda t, s, d: 2 * (s + 1) ** 2 * d), "every frame has its own"),
    "space only": (_wrong_for(m3=_over_space), "over time is missing"),
    "all pairs": (_wrong_for(m3=_joint), "What is factorised here"),
    "all heads": (_wrong_for(m4=lambda *a: 2 * _right_attention(4, *a)), "half of the heads"),
    "sum": (lambda m, t, s, d: 2 * (t + s) ** 2 * d, "t times s, not t plus s"),
}


attention_overtakes_mlp = {
    "the same": (lambda d, mlp: mlp, "both cost the same"),
    "one product": (lambda d, mlp: 2 * mlp + 1, "with k and with v"),
    "one layer": (lambda d, mlp: mlp // 2 + 1, "there and back"),
    "projections": (lambda d, mlp: 2 * d + 1, "four projections"),
    "width": (lambda d, mlp: d + 1, "the width of a token"),
}


model_1_overtakes = {
    "steps": (9, "number of time steps"),
    "one early": (16, "still costs more"),
    "odd": (17, "do not make tubelets"),
    "attention alone": (2, "compares attention alone"),
    "the default": (32, "long been dearer"),
}

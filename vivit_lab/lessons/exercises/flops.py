"""Notebook 05: the checks of its exercises, and the mistakes that they name."""

from vivit_lab.lessons.exercises.checking import Exercise, Wrong, call, expect

# ---- 1. MAC or FLOP?


def _judge_linear_cost(cost) -> None:
    for tokens, wide_in, wide_out in ((3137, 768, 3072), (5, 7, 11)):
        answer = call(cost, tokens, wide_in, wide_out)
        what = f"{tokens} tokens from {wide_in} to {wide_out} numbers"
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            raise Wrong(f"This asks for two numbers, (MACs, FLOPs), but got {answer!r}.")
        macs, flops = answer
        right = tokens * wide_in * wide_out
        if (macs, flops) == (2 * right, right):
            raise Wrong(f"{what}: the two are swapped. A FLOP is the smaller unit: there are more.")
        if macs == flops == right:
            raise Wrong(f"{what}: the MACs are right, but each MAC is a product and a sum.")
        if (macs, flops) == (2 * right, 4 * right):
            raise Wrong(f"{what}: what you call MACs are FLOPs already; both are double.")
        if macs == wide_in * wide_out:
            raise Wrong(f"{what}: that is one token. Each goes through the same map.")
        if macs == tokens * (wide_in + 1) * wide_out:
            raise Wrong(
                f"{what}: you count adding the bias as a MAC. It is no product, and counters leave "
                "it out (the bias is a parameter, though)."
            )
        expect(tuple(answer), (right, 2 * right), what)


linear_cost = Exercise(
    praise="Papers write FLOPs and mean MACs: a factor of 2 between two tables is often just that.",
    judge=_judge_linear_cost,
)


# ---- 2. The attention of the four models


def _right_attention(model: int, t: int, s: int, d: int) -> int:
    return {
        1: 2 * (t * s + 1) ** 2 * d,
        2: 2 * t * (s + 1) ** 2 * d,
        3: 2 * (t * s**2 + s * t**2) * d,
        4: (t * s**2 + s * t**2) * d,
    }[model]


def _judge_attention_macs(attention) -> None:
    for t, s, d in ((16, 196, 768), (3, 5, 8)):
        for model in (1, 2, 3, 4):
            answer = call(attention, model, t, s, d)
            right = _right_attention(model, t, s, d)
            if answer != right:
                _name_attention_mistake(answer, right, model, t, s, d)


def _name_attention_mistake(answer: object, right: int, model: int, t: int, s: int, d: int) -> None:
    twice = "that is twice too much: FLOPs, or all heads counted twice."
    if model == 4:
        twice = "only half of the heads, half of D, look along each axis."
    guesses = (
        (2 * right, twice),
        (right / 2, "that is half of it: two products, q with k and the weights with v."),
        (
            {1: 2 * (t * s) ** 2 * d, 2: 2 * t * s**2 * d}.get(model),
            "the class token is missing from the sequence; it attends as well.",
        ),
        (
            {2: 2 * (s + 1) ** 2 * d, 3: 2 * (s**2 + t**2) * d}.get(model),
            "that is one sequence along each axis; every frame has its own.",
        ),
        (
            {3: 2 * t * s**2 * d, 4: t * s**2 * d}.get(model),
            "that is the attention over space alone; the one over time is missing.",
        ),
        (
            2 * (t * s) ** 2 * d,
            "that is every token with every other, as in Model 1. What is factorised here?",
        ),
        (2 * (t + s) ** 2 * d, "the tokens are t times s, not t plus s."),
    )
    for wrong, words in guesses:
        if answer == wrong:
            raise Wrong(f"Model {model}, t = {t}, s = {s}, D = {d}: {words}")
    expect(answer, right, f"Model {model}, t = {t}, s = {s}, D = {d}")


attention_macs = Exercise(
    praise="The number of heads cancels out. Only who may look at whom is left, and it decides.",
    judge=_judge_attention_macs,
)


# ---- 3. When attention costs more than the MLP


def _judge_crossing(crossing) -> None:
    for d, mlp in ((24, 60), (768, 3072)):
        answer = call(crossing, d, mlp)
        what = f"D = {d}, an MLP of {mlp}"
        if answer == mlp:
            raise Wrong(f"{what}: at {mlp} tokens both cost the same; this asks for more.")
        if answer == 2 * mlp + 1:
            raise Wrong(f"{what}: attention multiplies twice, with k and with v. You took one.")
        if answer == mlp // 2 + 1:
            raise Wrong(f"{what}: the MLP has two layers, there and back. You took one layer.")
        if answer == 2 * d + 1:
            raise Wrong(f"{what}: that is where attention passes the four projections (4 N D²).")
        if answer == d + 1:
            raise Wrong(f"{what}: {d} is the width of a token, but the MLP's hidden width counts.")
        expect(answer, mlp + 1, what)


attention_overtakes_mlp = Exercise(
    praise="3,073 for ViT-B. Model 1 at 32 frames of 224 has 3,137: it has just crossed.",
    judge=_judge_crossing,
)


# ---- 4. When Model 1 becomes the dearest


def _judge_overtaking(frames) -> None:
    reasons = {
        9: "9 is the number of time steps; a step is 2 frames.",
        16: "at 16 frames Model 3 still costs more, 185.3 GMACs against 180.5.",
        17: "the line crosses near 17, but 17 frames do not make tubelets of 2.",
        2: (
            "that compares attention alone. Model 3 also pays for a second set of projections in "
            "every block."
        ),
        32: "at 32 it has long been dearer; look at fewer frames.",
    }
    if isinstance(frames, int) and frames in reasons:
        raise Wrong(reasons[frames][0].upper() + reasons[frames][1:])
    expect(frames, 18, "the number of frames")


model_1_overtakes = Exercise(
    praise="Up to 16 frames Model 3, though it factorises, is the dearest of all.",
    judge=_judge_overtaking,
)

"""The figures of the stepper through Model 4's attention: one for each step, with real numbers."""

from collections.abc import Sequence

import numpy as np

from vivit_lab.widgets.cells import draw_numbers
from vivit_lab.widgets.half_heads_parts import (
    MARGIN,
    TOP,
    Scene,
    film,
    head_place,
    in_heads,
    scale,
    shaded_frame,
    softmax_table,
    vector,
    weighted_sum,
    where,
)
from vivit_lab.widgets.surface import BLUE, INK, LINE, MUTED, ORANGE, Canvas

EXACT = 1e-5  # two ways of computing the same: no more apart than that


def tokens(canvas: Canvas, scene: Scene) -> None:
    """The film strip, and our token's numbers."""
    film(canvas, TOP + 10, 170, scene)
    own = scene.own(scene.found.x)
    label = f"our token: {len(own)} numbers"
    vector(canvas, MARGIN, 360, 896, label, own, scale(own))


def queries(canvas: Canvas, scene: Scene) -> None:
    """x, and the three vectors that are made of it."""
    found = scene.found
    own = scene.own(found.x)
    film(canvas, TOP, 84, scene)
    vector(canvas, 400, TOP + 14, 508, "x, our token", own, scale(own))
    rows = (("q: what it asks", found.q), ("k: what others find", found.k))
    for i, (label, part) in enumerate((*rows, ("v: what it hands over", found.v))):
        values = scene.own(part).ravel()
        y = 246 + 64 * i
        canvas.text(MARGIN, y + 31, f"x · W_{label[0]}  =", anchor="lm", colour=MUTED)
        vector(canvas, 100, y, 808, label, values, scale(values))


def heads(canvas: Canvas, scene: Scene, halves: bool = False) -> None:
    """Query, key and value cut into heads; `halves` says which look where."""
    found = scene.found
    count = 2 * found.half
    if halves:
        for heads_, colour, words in (
            (scene.heads_time, ORANGE, "these will look over time"),
            (scene.heads_space, BLUE, "these will look over space"),
        ):
            left, _, _ = head_place(heads_[0], count, 0)
            right = sum(head_place(heads_[-1], count, 0)[::2])
            canvas.box(left - 5, TOP + 8, right - left + 10, 282, colour, colour + "18", 2, 8)
            canvas.text((left + right) / 2, TOP + 22, words, 13, colour, True, "ma")
    for i in range(count):
        x, _, width = head_place(i, count, 0)
        canvas.text(x + width / 2, TOP + 52, f"head {i}", colour=MUTED, anchor="ma")
    for i, (name, part) in enumerate((("q", found.q), ("k", found.k), ("v", found.v))):
        in_heads(canvas, TOP + 84 + 70 * i, name, scene.own(part), scale(scene.own(part)), 34)


def halves(canvas: Canvas, scene: Scene) -> None:
    """The heads in their two halves."""
    heads(canvas, scene, halves=True)


def space_keys(canvas: Canvas, scene: Scene) -> None:
    """Our frame's keys, and the shapes that keep time apart."""
    found, head = scene.found, scene.found.half
    keys = found.k[scene.step, head].numpy()  # (s, d)
    title = f"K_s: the {len(keys)} keys of step {scene.step}, head {head}"
    _keys(canvas, scene, "space", head, keys, title)
    lines = (
        ("q, k, v as they are", found.q),
        ("the half over space", found.q[:, found.half :]),
    )
    _shapes(canvas, lines, "(t, heads, s, d)", BLUE)
    canvas.text(MARGIN, 396, "Attention runs over the last but one axis: s.", colour=BLUE)
    canvas.text(MARGIN, 416, "t is a batch axis: every time step is a sequence of its own.")


def time_keys(canvas: Canvas, scene: Scene) -> None:
    """Our place's keys, and the shapes after t and s have changed places."""
    found = scene.found
    keys = found.k[:, 0, scene.place].numpy()  # (t, d)
    title = f"K_t: the {len(keys)} keys of our place, head 0"
    _keys(canvas, scene, "time", 0, keys, title)
    turned = found.q[:, : found.half].permute(2, 1, 0, 3)
    lines = (("q, k, v as they are", found.q), ("the half over time, turned", turned))
    _shapes(canvas, lines, "(t, heads, s, d)", ORANGE)
    canvas.text(MARGIN, 396, "t and s change places: (s, heads, t, d).", colour=ORANGE)
    canvas.text(MARGIN, 416, "s is a batch axis: every place is a sequence of its own.")


def _keys(canvas: Canvas, scene: Scene, axis: str, head: int, keys, title: str) -> None:
    """The neighbourhood on the film strip, one query, and the keys that it meets."""
    film(canvas, TOP, 116, scene, seen=axis)
    query = scene.own(scene.found.q)[head]
    most = scale(np.concatenate([keys, query[None]]))
    canvas.text(560, TOP, f"q of our token, head {head}: {len(query)} numbers", bold=True)
    draw_numbers(canvas, 560, TOP + 20, 348, 20, query, most)
    canvas.text(560, TOP + 56, title, bold=True)
    height = min(24, 222 / len(keys))
    draw_numbers(canvas, 560, TOP + 76, 348, height * len(keys), keys, most)
    own = scene.place if axis == "space" else scene.step
    canvas.box(557, TOP + 75 + own * height, 354, height + 2, outline=INK, line=1.5)
    below = TOP + 82 + height * len(keys)
    canvas.text(560, below, "framed: the token's own key", size=11, colour=MUTED)


def _shapes(canvas: Canvas, lines: Sequence, letters: str, colour: str) -> None:
    canvas.line([(MARGIN, 288), (500, 288)], LINE)
    canvas.text(MARGIN + 250, 300, letters, size=12, colour=MUTED)
    for i, (name, part) in enumerate(lines):
        canvas.text(MARGIN, 324 + 24 * i, name)
        shape = ", ".join(map(str, part.shape))
        canvas.text(MARGIN + 250, 324 + 24 * i, f"({shape})", colour=colour if i else INK, bold=i)


def space_weights(canvas: Canvas, scene: Scene) -> None:
    """Where two heads look, and how the largest weights come about."""
    found, side = scene.found, 200
    for i, head in enumerate(scene.heads_space[:2]):
        weights = found.weights_space[scene.step, i, scene.place].numpy()
        x = MARGIN + i * (side + 20)
        canvas.text(x, TOP, f"head {head}", bold=True, colour=BLUE)
        shaded_frame(canvas, x, TOP + 22, side, scene, weights)
        words = f"largest {weights.max():.3f}, sum {weights.sum():.3f}"
        canvas.text(x, TOP + 28 + side, words, size=12, colour=MUTED)
    best = found.weights_space[scene.step, 0, scene.place].argsort(descending=True)[:6].tolist()
    names = [where(scene, place) for place in best]
    head = scene.heads_space[0]
    products = found.products_space[scene.step, 0, scene.place]
    softmax_table(canvas, 462, head, found.width, names, best, products, BLUE)


def time_weights(canvas: Canvas, scene: Scene) -> None:
    """All weights over time of two heads, number by number."""
    found = scene.found
    for i, head in enumerate(scene.heads_time[:2]):
        products = found.products_time[scene.place, head, scene.step]
        steps = list(range(len(products)))
        names = [f"step {step}" for step in steps]
        x = MARGIN + 462 * i
        softmax_table(canvas, x, head, found.width, names, steps, products, ORANGE, step=88)
    film(canvas, 340, 88, scene, seen="time")


def space_output(canvas: Canvas, scene: Scene) -> None:
    """The values of our frame, and their weighted sums."""
    found = scene.found
    for i, head in enumerate(scene.heads_space[:2]):
        weights = found.weights_space[scene.step, i, scene.place].numpy()
        values = found.v[scene.step, head].numpy()
        out = found.out_space[scene.step, i, scene.place].numpy()
        weighted_sum(canvas, MARGIN + 462 * i, head, weights, values, out, BLUE)


def time_output(canvas: Canvas, scene: Scene) -> None:
    """The values of our place, and their weighted sums."""
    found = scene.found
    for i, head in enumerate(scene.heads_time[:2]):
        weights = found.weights_time[scene.place, head, scene.step].numpy()
        values = found.v[:, head, scene.place].numpy()
        out = found.out_time[scene.place, head, scene.step].numpy()
        weighted_sum(canvas, MARGIN + 462 * i, head, weights, values, out, ORANGE)
    film(canvas, 356, 72, scene, seen="time")


def joined(canvas: Canvas, scene: Scene) -> None:
    """The heads' outputs side by side."""
    found = scene.found
    count = 2 * found.half
    own = scene.own(found.joined)
    pieces, most = own.reshape(count, -1), scale(own)
    for i, piece in enumerate(pieces):
        x, y, width = head_place(i, count, TOP + 34)
        colour = ORANGE if i in scene.heads_time else BLUE
        name = "time" if i in scene.heads_time else "space"
        canvas.text(x + width / 2, TOP + 8, f"head {i}, over {name}", 13, colour, True, "ma")
        canvas.box(x - 4, y - 4, width + 8, 42, colour, colour + "20", 2, 4)
        draw_numbers(canvas, x, y, width, 34, piece, most)
        middle = 100 + (i + 0.5) * 794 / count
        canvas.line([(x + width / 2, y + 42), (middle, TOP + 148)], colour, 2)
    canvas.text(MARGIN, TOP + 169, "joined", bold=True, anchor="lm")
    draw_numbers(canvas, 100, TOP + 152, 794, 34, own, most)
    lines = (
        f"{count} × {found.width} = {len(own)} numbers for our token, "
        f"and the same for the other {found.x.shape[0] * found.x.shape[1] - 1} tokens.",
        "The half over time turns back first: (s, h/2, t, d) becomes (t, s, h/2 · d).",
    )
    for i, words in enumerate(lines):
        canvas.text(100, TOP + 214 + 24 * i, words)


def projected(canvas: Canvas, scene: Scene) -> None:
    """The last linear map, and the check against the module itself."""
    found = scene.found
    own, y = scene.own(found.joined), scene.own(found.y)
    vector(canvas, MARGIN, TOP, 560, "joined", own, scale(own))
    canvas.text(MARGIN, TOP + 62, "× W_O, and a bias", bold=True)
    side = 192
    weights = found.projection.T.numpy()
    draw_numbers(canvas, MARGIN, TOP + 84, side, side, weights, scale(weights))
    half = side / 2
    for i, (name, colour) in enumerate((("time's half", ORANGE), ("space's half", BLUE))):
        top = TOP + 84 + i * half
        canvas.box(MARGIN + side + 6, top + 2, 5, half - 4, fill=colour)
        canvas.text(MARGIN + side + 18, top + half / 2, name, 12, colour, anchor="lm")
    vector(canvas, 340, TOP + 122, 568, "= y, our token after attention", y, scale(y))
    word = "the same" if found.apart < EXACT else "NOT the same"
    canvas.text(
        340, TOP + 190, f"Checked: the module itself says {word}, for all tokens.", bold=True
    )
    words = f"largest difference below {EXACT:g}" if found.apart < EXACT else f"{found.apart:g}"
    canvas.text(340, TOP + 212, words, colour=MUTED)
    words = "Here the two halves meet: every number of y is made of both."
    canvas.text(340, TOP + 242, words)


def compared(canvas: Canvas, scene: Scene) -> None:
    """Keys, pairs and parameters of Models 1, 3 and 4."""
    t, s, d = scene.found.x.shape
    pairs = {1: (t * s) ** 2, 3: t * s**2 + s * t**2, 4: (t * s**2 + s * t**2) // 2}
    attention = 4 * d * d + 4 * d  # weights and biases of q, k, v and out
    rows = (
        ("", "keys a query meets", "pairs, all queries, mean over heads", "weights and biases"),
        ("Model 1", f"{t * s} in each head", f"{pairs[1]:,}", f"{attention:,}"),
        ("Model 3", f"{s}, then {t}, in each head", f"{pairs[3]:,}", f"{2 * attention:,}"),
        ("Model 4", f"{s} or {t}, by head", f"{pairs[4]:,}", f"{attention:,}"),
    )
    for i, row in enumerate(rows):
        y = TOP + 20 + 52 * i
        canvas.line([(MARGIN, y + 36), (908, y + 36)], LINE)
        for x, words in zip((MARGIN, 130, 390, 720), row, strict=True):
            mine = i == len(rows) - 1
            size = 12 if i == 0 else 15
            canvas.text(x, y + 8, words, size, MUTED if i == 0 else INK, mine or x == MARGIN)
        if i:
            number_ = (1, 3, 4)[i - 1]
            canvas.box(480, y + 10, 200 * pairs[number_] / pairs[1], 14, fill="#0f9d7a")
    words = f"one attention of a block, {t} × {s} tokens of {d} numbers; no class tokens"
    canvas.text(MARGIN, TOP + 240, words, size=12, colour=MUTED)

"""Wrong answers to the exercises of clip_sampling, each with words of its message."""

import numpy as np

from vivit_lab.video import three_crops


def _along_width(height, width, size):
    return [((height - size) // 2, left) for left in (0, (width - size) // 2, width - size)]


def _in_the_corner(height, width, size):
    crops = three_crops(height, width, size)
    return [(top, 0) if height > width else (0, left) for top, left in crops]


def _centred(n, t):
    return [(n - 1 - (n // t) * (t - 1)) // 2 + i * (n // t) for i in range(t)]


def _evenly_spaced(times, seconds):
    return [min(int(s * len(times) / times[-1]), len(times) - 1) for s in seconds]


def _nearest(times, seconds):
    return [min(range(len(times)), key=lambda i: abs(times[i] - s)) for s in seconds]


clip_seconds = {
    "no stride": (lambda t, s, fps: t / fps, "leaves out the stride"),
    "times fps": (lambda t, s, fps: t * s * fps, "multiplies by the frame rate"),
    "fence posts": (lambda t, s, fps: (t - 1) * s / fps, "first frame to the last"),
    "divided": (lambda t, s, fps: t / s / fps, "divides by the stride"),
    "frames": (lambda t, s, fps: float(t * s), "is in frames"),
    "words": (lambda t, s, fps: "2.56 s", "a number of seconds"),
}


even_clip = {
    "linspace": (lambda n, t: np.linspace(0, n - 1, t).astype(int), "gaps are 4 and 5"),
    "too short": (_centred, "4 still fits"),
    "too long": (lambda n, t: [i * -(-n // (t - 1)) for i in range(t)], "you ask for frame 20"),
    "at the start": (lambda n, t: [i * ((n - 1) // (t - 1)) for i in range(t)], "in the middle of"),
    "too many": (lambda n, t: range(n), "5 numbers, but you have 18"),
}


portrait_crops = {
    "along the width": (_along_width, "go along the width"),
    "in the corner": (_in_the_corner, "sit in a corner"),
    "turned": (lambda *s: [crop[::-1] for crop in three_crops(*s)], "the pairs are (left, top)"),
    "over the edge": (lambda h, w, s: [(16, 0), (16, w // 2), (16, w)], "hangs over the edge"),
    "one": (lambda *s: three_crops(*s)[1:2], "you have 1 crops"),
    "none": (lambda *s: [], "three pairs (top, left), but got []"),
    "numbers": (lambda h, w, s: [0, 58, 116], "got [0, 58, 116]"),
}


view_starts = {
    "below zero": (lambda n, c, s: np.linspace(0, n - s, c), "no room to move in"),
    "past the end": (lambda n, c, s: np.linspace(0, n - 1, c), "runs past the end"),
    "a gap too many": (
        lambda n, c, s: [max(0, n - s) * k // c for k in range(c)],
        "3 gaps",
    ),
    "one start": (lambda n, c, s: [0], "4 numbers, but you have 1"),
}


on_show = {
    "even spacing": (_evenly_spaced, "as evenly spaced"),
    "nearest": (_nearest, "has not come yet"),
    "before only": (lambda ts, at: [sum(t < s for t in ts) - 1 for s in at], "that very second"),
    "next": (lambda ts, at: np.searchsorted(ts, at).clip(max=len(ts) - 1), "next frame to come"),
    "past the end": (np.searchsorted, "but the last, 6, stays"),
    "one": (lambda times, seconds: [0], "6 numbers, but you have 1"),
    "a number": (lambda times, seconds: 2, "a list of frame numbers"),
}

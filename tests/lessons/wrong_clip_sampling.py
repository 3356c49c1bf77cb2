"""Wrong answers to the exercises of clip_sampling, each with words of its message."""

import numpy as np

from vivit_lab.video import three_crops


def _along_width(height, width, size):
    top = (height - size) // 2
    return [(top, 0), (top, (width - size) // 2), (top, width - size)]


def _in_the_corner(height, width, size):
    if height > width:
        return [(0, 0), ((height - size) // 2, 0), (height - size, 0)]
    return [(0, 0), (0, (width - size) // 2), (0, width - size)]


clip_seconds = {
    "no stride": (lambda t, s, fps: t / fps, "leaves out the stride"),
    "times fps": (lambda t, s, fps: t * s * fps, "multiplies by the frame rate"),
    "fence posts": (lambda t, s, fps: (t - 1) * s / fps, "first frame to the last"),
    "divided": (lambda t, s, fps: t / s / fps, "divides by the stride"),
    "frames": (lambda t, s, fps: float(t * s), "is in frames"),
    "words": (lambda t, s, fps: "2.56 s", "a number of seconds"),
}


even_clip = {
    "linspace": (
        lambda n, t: np.linspace(0, n - 1, t).astype(int),
        "gaps are 4 and 5",
    ),
    "too short": (
        lambda n, t: [(n - 1 - (n // t) * (t - 1)) // 2 + i * (n // t) for i in range(t)],
        "4 still fits",
    ),
    "too long": (lambda n, t: [i * -(-n // (t - 1)) for i in range(t)], "you ask for frame 20"),
    "at the start": (
        lambda n, t: [i * ((n - 1) // (t - 1)) for i in range(t)],
        "in the middle of the video",
    ),
    "too many": (lambda n, t: range(n), "you have 18 numbers"),
}


portrait_crops = {
    "along the width": (_along_width, "go along the width"),
    "in the corner": (_in_the_corner, "sit in a corner"),
    "(left, top)": (
        lambda h, w, s: [(left, top) for top, left in three_crops(h, w, s)],
        "the pairs are (left, top)",
    ),
    "over the edge": (
        lambda h, w, s: [(16, 0), (16, w // 2), (16, w)],
        "hangs over the edge",
    ),
    "one": (lambda h, w, s: three_crops(h, w, s)[1:2], "you have 1 crops"),
    "numbers": (lambda h, w, s: [0, 58, 116], "three pairs"),
}


view_starts = {
    "below zero": (
        lambda n, c, s: [int(x) for x in np.linspace(0, n - s, c)],
        "no room to move in",
    ),
    "past the end": (
        lambda n, c, s: [int(x) for x in np.linspace(0, n - 1, c)],
        "runs past the end",
    ),
    "one gap too many": (
        lambda n, c, s: [max(0, n - s) * k // c for k in range(c)],
        "3 gaps between them",
    ),
    "one start": (lambda n, c, s: [0], "you have 1 starts"),
}


on_show = {
    "even spacing": (
        lambda times, seconds: [
            min(int(s * len(times) / times[-1]), len(times) - 1) for s in seconds
        ],
        "as evenly spaced",
    ),
    "nearest": (
        lambda times, seconds: [
            min(range(len(times)), key=lambda i: abs(times[i] - s)) for s in seconds
        ],
        "has not come yet",
    ),
    "before only": (
        lambda times, seconds: [sum(t < s for t in times) - 1 for s in seconds],
        "at that very second",
    ),
    "next": (
        lambda times, seconds: [min(sum(t < s for t in times), len(times) - 1) for s in seconds],
        "the next frame to come",
    ),
    "past the end": (
        lambda times, seconds: np.searchsorted(times, seconds),
        "After it has come, it stays",
    ),
    "one": (lambda times, seconds: [0], "1 numbers for 6 seconds"),
    "a number": (lambda times, seconds: 2, "a list of frame numbers"),
}

"""Wrong answers to the exercises of clip_sampling, by words of the message that they get."""

import numpy as np

from vivit_lab.video import three_crops


def _along_width(height, width, size):
    return [((height - size) // 2, left) for left in (0, (width - size) // 2, width - size)]


def _centred(n, t):
    return [(n - 1 - (n // t) * (t - 1)) // 2 + i * (n // t) for i in range(t)]


clip_seconds = {
    "leaves out the stride": lambda t, s, fps: t / fps,
    "multiplies by the frame rate": lambda t, s, fps: t * s * fps,
    "first frame to the last": lambda t, s, fps: (t - 1) * s / fps,
    "both included": lambda t, s, fps: ((t - 1) * s + 1) / fps,
    "divides by the stride": lambda t, s, fps: t / s / fps,
    "is a number of frames": lambda t, s, fps: float(t * s),
    "a number of seconds": lambda t, s, fps: "2.56 s",
}


even_clip = {
    "gaps are 4 and 5": lambda n, t: np.linspace(0, n - 1, t).astype(int),
    "a longer one still fits": _centred,
    "you use frame 20": lambda n, t: [i * -(-n // (t - 1)) for i in range(t)],
    "not in the middle of": lambda n, t: [i * ((n - 1) // (t - 1)) for i in range(t)],
    "18 numbers, but it must have 5": lambda n, t: range(n),
}


portrait_crops = {
    "go along the width": _along_width,
    "go along the height": lambda h, w, s: [
        (top, (w - s) // 2) for top in (0, (h - s) // 2, h - s)
    ],
    "start in a corner": lambda h, w, s: [
        (y * (h > w), x * (h <= w)) for y, x in three_crops(h, w, s)
    ],
    "the pairs are (left, top)": lambda *s: [crop[::-1] for crop in three_crops(*s)],
    "reaches over the edge": lambda h, w, s: [(16, 0), (16, w // 2), (16, w)],
    "you have 1 crops": lambda *s: three_crops(*s)[1:2],
    "three pairs (top, left), but got []": lambda *s: [],
    "got [0, 58, 116]": lambda h, w, s: [0, 58, 116],
}


view_starts = {
    "the span has no room": lambda n, c, s: np.linspace(0, n - s, c),
    "runs past the end": lambda n, c, s: np.linspace(0, n - 1, c),
    "3 gaps": lambda n, c, s: [max(0, n - s) * k // c for k in range(c)],
    "fraction of a gap": lambda n, c, s: [max(0, n - s) // (c - 1) * k for k in range(c)],
    "you round": lambda n, c, s: [round(max(0, n - s) * k / (c - 1)) for k in range(c)],
    "1 numbers, but it must have 4": lambda n, c, s: [0],
}


on_show = {
    "as evenly spaced": lambda ts, at: [min(int(s * len(ts) / ts[-1]), len(ts) - 1) for s in at],
    "a constant frame rate": lambda ts, at: [min(int(s * 25), len(ts) - 1) for s in at],
    "has not come yet": lambda ts, at: [np.abs(np.array(ts) - s).argmin() for s in at],
    "exactly at that second": lambda ts, at: [sum(t < s for t in ts) - 1 for s in at],
    "next frame to come": np.searchsorted,
    "but the last frame is 6": lambda ts, at: [len(ts)] * len(at),
    "that have come by then": lambda ts, at: np.searchsorted(ts, at, side="right"),
    "1 numbers, but it must have 6": lambda times, seconds: [0],
    "a list of frame numbers": lambda times, seconds: 2,
}

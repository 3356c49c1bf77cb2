"""Notebook 01: the checks of its exercises, and the mistakes that they name."""

import numpy as np

from vivit_lab.lessons.exercises.checking import Exercise, Wrong, call, expect
from vivit_lab.video import three_crops

# ---- 1. How long is a clip?


def _judge_span(span) -> None:
    for frames, stride, fps in ((32, 2, 25.0), (16, 4, 30.0)):
        answer = call(span, frames, stride, fps)
        what = f"{frames} frames at stride {stride} and {fps:g} frames a second"
        if not isinstance(answer, (int, float)):
            raise Wrong(f"This asks for a number of seconds, but got {answer!r}.")
        for wrong, reason in (
            (frames / fps, "leaves out the stride: between two frames of the clip lie others."),
            (frames * stride * fps, "multiplies by the frame rate: frames / (frames a second)."),
            (
                (frames - 1) * stride / fps,
                "measures from the first frame to the last. The span counts whole strides: the "
                f"last frame stands for {stride} frames too.",
            ),
            (frames / stride / fps, "divides by the stride, but a stride makes a clip longer."),
            (float(frames * stride), "is in frames; divide by the frame rate."),
        ):
            if abs(answer - wrong) < 1e-6:
                raise Wrong(f"For {what}, {answer:g} {reason}")
        expect(float(answer), frames * stride / fps, what)


clip_seconds = Exercise(
    praise="64 frames: 2.56 s at 25 frames a second, and only 1.07 s at 60.",
    judge=_judge_span,
)


# ---- 2. One step for all


def _judge_even_clip(choose) -> None:
    for length, frames in ((18, 5), (300, 32), (33, 32)):
        answer = call(choose, length, frames)
        what = f"{frames} of {length} frames"
        try:
            answer = np.array([int(i) for i in answer])
        except TypeError:
            raise Wrong(f"This asks for a list of frame numbers, but got {answer!r}.") from None
        if len(answer) != frames:
            raise Wrong(f"For {what} you have {len(answer)} numbers.")
        if answer.min() < 0 or answer.max() >= length:
            raise Wrong(f"For {what} you ask for frame {answer.max()}; the last is {length - 1}.")
        gaps = sorted(set(np.diff(answer).tolist()))
        if len(gaps) > 1:
            raise Wrong(
                f"For {what} the gaps are {' and '.join(map(str, gaps))}. One step that is longer "
                "than the others looks like a jump in the motion. Use one whole number."
            )
        stride = (length - 1) // (frames - 1)
        if gaps[0] != stride:
            raise Wrong(
                f"For {what} the stride is {gaps[0]}, but {stride} still fits: the last frame is "
                "start + (frames - 1) · stride."
            )
        start = (length - 1 - stride * (frames - 1)) // 2
        if answer[0] != start:
            raise Wrong(
                f"For {what} the clip starts at frame {answer[0]}; in the middle of the video it "
                f"starts at {start}."
            )


even_clip = Exercise(
    praise="Equal gaps: the model sees motion at one speed.",
    judge=_judge_even_clip,
)


# ---- 3. Three crops of a portrait video


def _judge_portrait_crops(crops) -> None:
    for height, width, size in ((256, 340, 224), (340, 256, 224), (256, 256, 224)):
        answer = call(crops, height, width, size)
        what = f"a video of {height} x {width} (height x width)"
        try:
            answer = [(int(top), int(left)) for top, left in answer]
        except (TypeError, ValueError):
            raise Wrong(f"This asks for three pairs (top, left), but got {answer!r}.") from None
        right = three_crops(height, width, size)
        if answer == right:
            continue
        if len(answer) != 3:
            raise Wrong(f"For {what} you have {len(answer)} crops; this asks for three.")
        if answer == [(left, top) for top, left in right]:
            raise Wrong(f"For {what} the pairs are (left, top); this asks for (top, left).")
        if any(t < 0 or t > height - size or s < 0 or s > width - size for t, s in answer):
            raise Wrong(f"For {what} a crop hangs over the edge: {answer}.")
        if height > width and len({top for top, _ in answer}) == 1:
            raise Wrong(
                f"For {what} the crops go along the width, but a portrait video has its length in "
                "the height: top, centre, bottom."
            )
        if answer[0] == (0, 0):
            raise Wrong(
                f"For {what} the crops sit in a corner. Along the shorter side they are centred: "
                f"{right}."
            )
        raise Wrong(f"For {what} you have {answer}, but it is {right}.")


portrait_crops = Exercise(
    praise="Together the three cover the whole long side: nothing in the video goes unseen.",
    judge=_judge_portrait_crops,
)


# ---- 4. Views of a video that is too short


def _judge_view_starts(starts) -> None:
    for length, clips, span in ((300, 4, 64), (100, 3, 64), (40, 4, 64)):
        answer = call(starts, length, clips, span)
        what = f"{clips} clips of span {span} in {length} frames"
        try:
            answer = [int(i) for i in answer]
        except TypeError:
            raise Wrong(f"This asks for a list of frame numbers, but got {answer!r}.") from None
        room = max(0, length - span)
        right = [room * k // (clips - 1) for k in range(clips)]
        if answer == right:
            continue
        if len(answer) != clips:
            raise Wrong(f"For {what} you have {len(answer)} starts.")
        if min(answer) < 0:
            raise Wrong(
                f"For {what} a start is {min(answer)}. A video shorter than the span has no room "
                "to move in: all starts are 0, and the reader goes round (or holds the last frame)."
            )
        if max(answer) > room:
            raise Wrong(
                f"For {what} the last clip starts at {max(answer)} and runs past the end: there "
                f"is room for {room}."
            )
        if answer == [room * k // clips for k in range(clips)]:
            raise Wrong(
                f"For {what} the last start is {answer[-1]}, so the end of the video is not seen. "
                f"{clips} starts have {clips - 1} gaps between them."
            )
        raise Wrong(f"For {what} you have {answer}, but it is {right}.")


view_starts = Exercise(
    praise="First clip at the start, last at the end, and no start below zero.",
    judge=_judge_view_starts,
)


# ---- 5. What is on the screen?

_TIMES = [0.0, 0.04, 0.08, 0.5, 0.54, 0.58, 1.5]  # it stands still twice
_SECONDS = [0.02, 0.4, 0.5, 0.56, 1.4, 2.0]


def _judge_on_show(on_show) -> None:
    answer = call(on_show, _TIMES, _SECONDS)
    what = f"frames shown at {_TIMES}"
    try:
        answer = [int(i) for i in answer]
    except TypeError:
        raise Wrong(f"This asks for a list of frame numbers, but got {answer!r}.") from None
    if len(answer) != len(_SECONDS):
        raise Wrong(f"You have {len(answer)} numbers for {len(_SECONDS)} seconds.")
    if max(answer) >= len(_TIMES):
        raise Wrong(
            f"For {what} you ask for frame {max(answer)}; the last is {len(_TIMES) - 1}. After it "
            "has come, it stays."
        )
    times, seconds = np.array(_TIMES), np.array(_SECONDS)
    right = np.searchsorted(times, seconds, side="right") - 1
    mistakes = (
        (
            np.minimum((seconds * len(times) / times[-1]).astype(int), len(times) - 1),
            "takes the frames as evenly spaced. They are not: look each second up in `times`.",
        ),
        (
            np.abs(times - seconds[:, None]).argmin(1),
            "is the nearest frame. At 0.4 s the one of 0.5 s is nearer, but it has not come yet.",
        ),
        (
            np.searchsorted(times, seconds, side="left") - 1,
            "leaves out a frame that comes at that very second: at 0.5 s it is on show already.",
        ),
        (
            np.minimum(np.searchsorted(times, seconds), len(times) - 1),
            "is the next frame to come; on show is the one before it.",
        ),
    )
    for wrong, reason in mistakes:
        if answer == wrong.tolist():
            raise Wrong(f"For {what}, {answer} {reason}")
    expect(answer, right.tolist(), f"{what}, at {_SECONDS}")


on_show = Exercise(
    praise="Whatever the file's rate does, a clip now runs at one pace.",
    judge=_judge_on_show,
)

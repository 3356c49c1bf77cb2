"""Notebook 01: the checks of its exercises, and the mistakes that they name."""

import numpy as np

from vivit_lab.lessons.checking import Wrong, call, exercise, expect, expect_number, frame_numbers
from vivit_lab.video import three_crops


@exercise("64 frames: 2.56 s at 25 frames a second, and only 1.07 s at 60.")
def clip_seconds(span) -> None:
    for frames, stride, fps in ((32, 2, 25.0), (16, 4, 30.0)):
        answer = call(span, frames, stride, fps)
        expect_number(answer, "of seconds")
        what = f"{frames} frames at stride {stride} and {fps:g} frames a second"
        mistakes = {
            "this leaves out the stride: between two frames of the clip lie others.": frames / fps,
            "this multiplies by the frame rate: frames / (frames a second).": frames * stride * fps,
            "this measures from the first frame to the last. The span counts whole strides: the "
            f"last frame stands for {stride} frames too.": (frames - 1) * stride / fps,
            "this divides by the stride, but a stride makes a clip longer.": frames / stride / fps,
            "this is in frames; divide by the frame rate.": float(frames * stride),
        }
        expect(float(answer), frames * stride / fps, what, mistakes)


@exercise("Equal gaps: the model sees motion at one speed.")
def even_clip(choose) -> None:
    for length, frames in ((18, 5), (300, 32), (33, 32)):
        what = f"{frames} of {length} frames"
        answer = frame_numbers(call(choose, length, frames), frames, what)
        gaps = sorted(set(np.diff(answer).tolist()))
        stride = (length - 1) // (frames - 1)
        start = (length - 1 - stride * (frames - 1)) // 2
        mistakes = {
            f"you ask for frame {max(answer)}; the last is {length - 1}.": max(answer) >= length,
            f"the gaps are {' and '.join(map(str, gaps))}. One step that is longer than the others "
            "looks like a jump in the motion. Use one whole number.": len(gaps) > 1,
            f"the stride is {gaps[0]}, but a longer one still fits: the last frame is start + "
            "(frames - 1) · stride.": gaps[0] != stride,
            f"the clip starts at frame {answer[0]}, so it is not in the middle of the video: as "
            "many frames must be left before it as after it, or one more after it.": True,
        }
        expect(answer, [start + i * stride for i in range(frames)], what, mistakes)


@exercise("Together the three cover the whole long side: nothing in the video goes unseen.")
def portrait_crops(crops) -> None:
    for height, width, size in ((256, 340, 224), (340, 256, 224), (256, 256, 224)):
        answer, right = call(crops, height, width, size), three_crops(height, width, size)
        try:
            answer = [(int(top), int(left)) for top, left in answer]
            tops, lefts = zip(*answer, strict=True)
        except (TypeError, ValueError):
            raise Wrong(f"This asks for three pairs (top, left), but got {answer!r}.") from None
        corner = (tops[0], lefts[0]) == (0, 0)
        inside = min(answer[0]) >= 0 and max(tops) <= height - size and max(lefts) <= width - size
        mistakes = {
            f"you have {len(answer)} crops; this asks for three.": len(answer) != 3,
            "the pairs are (left, top); this asks for (top, left).": [p[::-1] for p in right],
            f"a crop hangs over the edge: {answer}.": not inside,
            "the crops go along the width, but a portrait video has its length in the height: "
            "top, centre, bottom.": height > width and len(set(tops)) == 1,
            "the crops sit in a corner. Along the shorter side they are centred.": corner,
        }
        if height == width and answer == [pair[::-1] for pair in right]:
            continue  # of a square both sides are the longer one
        expect(answer, right, f"a video of {height} x {width} (height x width)", mistakes)


@exercise("First clip at the start, last at the end, and no start below zero.")
def view_starts(starts) -> None:
    for length, clips, span in ((300, 4, 64), (100, 3, 64), (40, 4, 64)):
        what = f"{clips} clips of span {span} in {length} frames"
        answer = frame_numbers(call(starts, length, clips, span), clips, what)
        room = max(0, length - span)
        mistakes = {
            f"a start is {min(answer)}. A video shorter than the span has no room to move in: all "
            "starts are 0, and the reader goes round (or holds the last frame).": min(answer) < 0,
            f"the last clip starts at {max(answer)} and runs past the end of the video.": max(
                answer
            )
            > room,
            f"the last start is {answer[-1]}, so the end of the video is not seen. {clips} starts "
            f"have {clips - 1} gaps between them.": [room * k // clips for k in range(clips)],
        }
        expect(answer, [room * k // (clips - 1) for k in range(clips)], what, mistakes)


_TIMES = [0.0, 0.04, 0.08, 0.5, 0.54, 0.58, 1.5]  # it stands still twice
_SECONDS = [0.02, 0.4, 0.5, 0.56, 1.4, 2.0]


@exercise("Whatever the file's rate does, a clip now runs at one pace.")
def on_show(function) -> None:
    what = f"frames shown at {_TIMES}, at {_SECONDS}"
    answer = frame_numbers(call(function, _TIMES, _SECONDS), len(_SECONDS), what)
    times, seconds, last = np.array(_TIMES), np.array(_SECONDS), len(_TIMES) - 1
    to_come = np.searchsorted(times, seconds)
    before, to_come = (to_come - 1).tolist(), to_come.clip(max=last).tolist()
    evenly = (seconds * len(times) / times[-1]).astype(int).clip(max=last).tolist()
    rate = 1 / times[1]  # of the first frames
    at_one_rate = [np.floor(seconds * rate + half).astype(int) for half in (1e-6, 0.5)]
    constant = "you take the frame rate as constant: second times rate. Look the second up."
    mistakes = {
        constant: any(answer in (n.tolist(), n.clip(max=last).tolist()) for n in at_one_rate),
        f"you ask for frame {max(answer)}, but the last, {last}, stays.": max(answer) > last,
        "you take the frames as evenly spaced. Look each second up in `times`.": evenly,
        "this is the nearest frame. At 0.4 s the one of 0.5 s is nearer, but it has not come "
        "yet.": np.abs(times - seconds[:, None]).argmin(1).tolist(),
        "a frame that comes at that very second, 0.5 s, is on show already.": before,
        "this is the next frame to come; on show is the one before it.": to_come,
    }
    right = np.searchsorted(times, seconds, side="right") - 1
    expect(answer, right.tolist(), what, mistakes)

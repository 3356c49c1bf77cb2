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
            "this leaves out the stride: the clip skips frames of the video.": frames / fps,
            "this multiplies by the frame rate. Divide by it.": frames * stride * fps,
            "this measures from the first frame to the last. The span counts whole strides: the "
            f"last frame stands for {stride} frames too.": (frames - 1) * stride / fps,
            "this counts the frames from the first to the last, both included. The span counts "
            f"whole strides: the last frame stands for {stride} frames too.": (
                (frames - 1) * stride + 1
            )
            / fps,
            "this divides by the stride, which makes a clip longer.": frames / stride / fps,
            "this is a number of frames. Divide it by the frame rate.": float(frames * stride),
        }
        expect(float(answer), frames * stride / fps, what, mistakes)


@exercise("All gaps are equal, so the model sees the motion at one speed.")
def even_clip(choose) -> None:
    for length, frames in ((18, 5), (300, 32), (33, 32)):
        what = f"{frames} of {length} frames"
        answer = frame_numbers(call(choose, length, frames), frames, what)
        gaps = sorted(set(np.diff(answer).tolist()))
        stride = (length - 1) // (frames - 1)
        start = (length - 1 - stride * (frames - 1)) // 2
        mistakes = {
            f"you use frame {max(answer)}; the last is {length - 1}.": max(answer) >= length,
            f"the gaps are {' and '.join(map(str, gaps))}. A gap that is longer than the others "
            "looks like a jump in the motion. Use one whole number for all gaps.": len(gaps) > 1,
            f"the stride is {gaps[0]}, but a longer one still fits: the last frame is start + "
            "(frames - 1) · stride.": gaps[0] != stride,
            f"the clip starts at frame {answer[0]}, so it is not in the middle of the video. "
            "Before it, leave as many frames as after it, or one frame less.": True,
        }
        expect(answer, [start + i * stride for i in range(frames)], what, mistakes)


@exercise("Together the three crops cover the whole longer side of the video.")
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
            f"a crop reaches over the edge of the frame: {answer}.": not inside,
            "the crops go along the width, but the longer side of a portrait video is its height: "
            "top, centre, bottom.": height > width and len(set(tops)) == 1,
            "the crops go along the height, but the longer side of this video is its width: left, "
            "centre, right.": height < width and len(set(lefts)) == 1,
            "the crops start in a corner. Along the shorter side they must be centred.": corner,
        }
        if height == width and answer == [pair[::-1] for pair in right]:
            continue  # of a square both sides are the longer one
        expect(answer, right, f"a video of {height} x {width} (height x width)", mistakes)


@exercise("The first clip starts at frame 0, the last ends with the video, none starts below 0.")
def view_starts(starts) -> None:
    for length, clips, span in ((300, 4, 64), (100, 3, 64), (40, 4, 64)):
        what = f"{clips} clips of span {span} in {length} frames"
        answer = frame_numbers(call(starts, length, clips, span), clips, what)
        room = max(0, length - span)
        mistakes = {
            f"a start is {min(answer)}. A video that is shorter than the span has no room: all "
            "starts are 0.": min(answer) < 0,
            f"the last start is {max(answer)}: this clip runs past the end.": max(answer) > room,
            f"the last start is {answer[-1]}, so no clip sees the end of the video. There are "
            f"{clips - 1} gaps between {clips} starts.": [room * k // clips for k in range(clips)],
            "you cut the fraction of a gap off, before you multiply. Multiply first.": [
                room // (clips - 1) * k for k in range(clips)
            ],
            f"you round: {answer}. Cut off the fraction of each start.": [
                round(room * k / (clips - 1)) for k in range(clips)
            ],
        }
        expect(answer, [room * k // (clips - 1) for k in range(clips)], what, mistakes)


_TIMES = [0.0, 0.04, 0.08, 0.5, 0.54, 0.58, 1.5]  # it stands still twice
_SECONDS = [0.02, 0.4, 0.5, 0.56, 1.4, 2.0]


@exercise("Now a clip has one speed, even if the frame rate of the file changes.")
def on_show(function) -> None:
    what = f"times {_TIMES} and seconds {_SECONDS}"
    answer = frame_numbers(call(function, _TIMES, _SECONDS), len(_SECONDS), what)
    times, seconds, last = np.array(_TIMES), np.array(_SECONDS), len(_TIMES) - 1
    to_come = np.searchsorted(times, seconds)
    before, to_come = (to_come - 1).tolist(), [to_come.tolist(), to_come.clip(max=last).tolist()]
    evenly = (seconds * len(times) / times[-1]).astype(int).clip(max=last).tolist()
    rate = 1 / times[1]  # of the first frames
    at_one_rate = [np.floor(seconds * rate + half).astype(int) for half in (1e-6, 0.5)]
    constant = "this is the second times a constant frame rate. Look each second up in `times`."
    right = np.searchsorted(times, seconds, side="right") - 1
    mistakes = {
        "this is the number of frames that have come by then. Frame numbers start at 0, so the "
        "last of these frames has a number that is 1 less.": answer
        in ((right + 1).tolist(), (right + 1).clip(max=last).tolist()),
        constant: any(answer in (n.tolist(), n.clip(max=last).tolist()) for n in at_one_rate),
        "this is the next frame to come. The frame before it is on the screen.": answer in to_come,
        f"you use frame {max(answer)}, but the last frame is {last}.": max(answer) > last,
        "this treats the frames as evenly spaced. Look each second up in `times`.": evenly,
        "this is the nearest frame. At 0.4 s the frame of 0.5 s is nearer, but it has not come "
        "yet.": np.abs(times - seconds[:, None]).argmin(1).tolist(),
        "a frame that comes exactly at that second (0.5 s) is already on the screen.": before,
    }
    expect(answer, right.tolist(), what, mistakes)

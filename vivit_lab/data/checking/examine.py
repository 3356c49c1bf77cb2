"""One video: can it be opened and read, how long is it, are its segments inside it?"""

from vivit_lab.video.frame_folder import open_source
from vivit_lab.video.opening import VideoError
from vivit_lab.video.sampling import frames_between

SHORT_SIDE = 16  # pixels; the frames are decoded whole, but nobody looks at them
AT_ONCE = 50_000  # frames, so that an hour of video takes no more than 100 MB


def examine(path: str, fps: float | None, full: bool, segments: list[list]) -> dict:
    """What was found in one video; all values are as JSON has them.

    path: a file, or a folder of frames, which are shown at `fps`. full: decode every frame, not
    only the first, the middle and the last. segments: [start, end] in seconds, None where open.

    Returns {"frames", "fps", "seconds", "height", "width", "segments"}, where "segments" has the
    number of frames of each, or a text that says why it cannot be cut; or {"reason"}, if the video
    cannot be read, with "retry": True if the machine or the reader may be to blame.

    >>> from vivit_lab.data import sample
    >>> found = examine(str(sample("counter")), None, full=False, segments=[[1.0, 3.0]])
    >>> found["frames"], found["fps"], found["segments"]
    (300, 25.0, [50])
    """
    try:
        with open_source(path, fps) as video:
            count = video.num_frames
            numbers = range(count) if full else sorted({0, count // 2, count - 1})
            for first in range(0, len(numbers), AT_ONCE):
                video.read(numbers[first : first + AT_ONCE], short_side=SHORT_SIDE)
            return {
                "frames": count,
                "fps": round(video.fps, 4),
                "seconds": round(video.duration, 4),
                "height": video.height,
                "width": video.width,
                "segments": [_frames_in(video.times, *segment) for segment in segments],
            }
    except VideoError as error:
        return {"reason": str(error).removeprefix(f"{path}: ")}
    except MemoryError:
        return {"reason": "there is not enough memory to read it.", "retry": True}
    except Exception as error:  # whatever a strange file does to the reader, the scan goes on
        return {"reason": f"the reader failed: {type(error).__name__}: {error}", "retry": True}


def _frames_in(times, start: float | None, end: float | None) -> int | str:
    try:
        first, stop = frames_between(times, start, end)
    except ValueError as error:
        return str(error)
    return stop - first

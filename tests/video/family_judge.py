"""Whether a reader does with a file of the family what it may do.

Files are tried in a process of their own, one after the other, so that a hang ends in a verdict,
a crash has a name, and memory is counted.
"""

import contextlib
import multiprocessing
import os
import re
import resource
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from clips import number_in
from family_making import Entry, check

from vivit_lab.video import VideoError

SECONDS = 30  # far more than any file needs, on a busy machine too
MEMORY = 1500  # MB above what an idle process takes; two pictures of 8K and what codes them
CEILING = 12 * 2**30  # bytes of address space, most of which is never touched

EXACT, REFUSED = "exact", "refused"  # the two that can be right
UNNAMED = "error without a name"  # the wrong kind of error, or one that says too little
WRONG = "wrong pictures"  # something else passed off as what was asked for; or a wrong count, size
HUNG, CRASHED, GREEDY = "hung", "crashed", "too much memory"
ALLOWED = {"good": [EXACT], "bad": [REFUSED]}  # the other kinds: both


@dataclass(frozen=True)
class Verdict:
    """What a reader did. `words` say where it went wrong, or how it refused."""

    outcome: str
    words: str = ""

    def is_allowed(self, entry: Entry) -> bool:
        said = self.outcome == EXACT or entry.says in self.words
        return self.outcome in ALLOWED.get(entry.kind, [EXACT, REFUSED]) and said


class _Wrong(Exception):
    """A picture, a count or a size that is not what the file has."""


# --- one reader, one file, in this process ---


def judge(reader, path: Path, entry: Entry, as_bytes: bool = False) -> Verdict:
    """Try `reader(path)`, or `reader(bytes, name)`, which has the face of VideoReader."""
    name = "upload of " + entry.name if as_bytes else str(path)
    try:
        with reader(path.read_bytes(), name) if as_bytes else reader(path) as video:
            if entry.kind == "bad":
                video.read(list(range(min(video.num_frames, 100))))
                return Verdict(WRONG, "read as if nothing were the matter")
            _check_facts(video, entry)
            if entry.kind == "damaged":
                return _one_by_one(video, entry, name)
            for indices, short_side in _requests(entry):
                _check_pictures(video, indices, short_side, entry)
    except _Wrong as error:
        return Verdict(WRONG, str(error))
    except Exception as error:
        return _refusal(error, name)
    return Verdict(EXACT)


def _refusal(error: Exception, name: str) -> Verdict:
    text = str(error)
    named = isinstance(error, VideoError) and text.startswith(f"{name}: ") and "\n" not in text
    says_why = len(text) - len(name) > 12
    return Verdict(REFUSED if named and says_why else UNNAMED, f"{type(error).__name__}: {text}")


def _check_facts(video, entry: Entry) -> None:
    count = len(entry.numbers)
    few = entry.kind == "damaged" and 0 < video.num_frames <= count
    if video.num_frames != count and not few:
        raise _Wrong(f"num_frames is {video.num_frames}; there are {count}")
    if (video.height, video.width) != tuple(entry.size):
        raise _Wrong(f"said to be {video.height}x{video.width}; it is {entry.size}")
    aspect = getattr(video, "pixel_aspect", entry.pixel_aspect)
    if abs(aspect - entry.pixel_aspect) > 1e-3:
        raise _Wrong(f"pixel_aspect is {aspect}; it is {entry.pixel_aspect}")
    if entry.seconds is not None and hasattr(video, "times"):
        off = np.abs(np.asarray(video.times) - video.times[0] - np.asarray(entry.seconds)).max()
        if off > 0.002:
            raise _Wrong(f"times are up to {off} s off")


def _requests(entry: Entry) -> list[tuple[list[int], int | None]]:
    """(frame numbers, short side): all in order, then some in every other way."""
    count, random = len(entry.numbers), np.random.default_rng(0)
    if entry.size[0] * entry.size[1] > 1_000_000:  # 4K, 8K: once is dear enough
        return [(list(range(count)), None), ([count - 1], 96)]
    few = 3 if count > 1000 else 8
    alone = [([number], None) for number in random.permutation(count)[:few].tolist()]
    some = random.integers(0, count, 7).tolist()
    step = max(1, count // 40)
    return [
        (list(range(count)), None),
        *alone,
        (list(range(count))[:: -2 * step], None),  # backwards
        (list(range(0, count, 3 * step)), None),
        (some, None),  # no order, with repeats
        ([count - 1, 0, count - 1], None),
        (some, max(40, min(entry.size) * 3 // 4) if entry.code != "shade" else None),
    ]


def _check_pictures(video, indices: list[int], short_side: int | None, entry: Entry) -> None:
    clip = video.read(indices, short_side=short_side) if short_side else video.read(indices)
    clip = np.asarray(clip)
    height, width = clip.shape[2:]
    if clip.dtype != np.uint8 or clip.shape[:2] != (len(indices), 3):
        raise _Wrong(f"{clip.dtype} {clip.shape} for {len(indices)} frames")
    if not short_side and (height, width) != tuple(entry.size):
        raise _Wrong(f"pictures of {height}x{width}; they are {entry.size}")
    if short_side and min(height, width) != short_side:
        raise _Wrong(f"pictures of {height}x{width} for a short side of {short_side}")
    for index, image in zip(indices, clip.transpose(0, 2, 3, 1), strict=True):
        shown = READ[entry.code](image)
        true = entry.numbers[index] if index < len(entry.numbers) else "nothing"
        if shown != true and not (entry.garbles and shown == -1):
            raise _Wrong(f"frame {index} of {indices[:9]} shows {shown}; it should show {true}")


def _one_by_one(video, entry: Entry, name: str) -> Verdict:
    """A damaged file: every frame alone, then all together. Errors are welcome."""
    count, refused = video.num_frames, None
    for indices in [*([index] for index in range(count)), list(range(count))]:
        try:
            _check_pictures(video, indices, None, entry)
        except _Wrong:
            raise
        except Exception as error:
            refused = _refusal(error, name)
            if refused.outcome == UNNAMED:
                return refused
    return refused or Verdict(EXACT)


def _colour_number(image: np.ndarray) -> int:
    """The number, or -1 if the picture is turned, broken, or patched together."""
    half = len(image) // 2
    number = number_in(image[:half])
    return number if number >= 0 and number_in(image[half:]) == check(number) else -1


def _grey_number(image: np.ndarray) -> int:
    if np.ptp(image.astype(int), axis=2).max() > 12:
        return -1
    tinted = image.astype(float)
    sign = np.where(tinted[..., 0] > 128, 1, -1)  # `number_in` wants red and blue to disagree
    tinted[..., 2] = 128 - 60 * sign
    return _colour_number(tinted)


def _shade_number(image: np.ndarray) -> int:
    steps = (image.mean() - 20) / 9
    return round(steps) if abs(steps - round(steps)) < 0.4 else -1


READ = {"colour": _colour_number, "grey": _grey_number, "shade": _shade_number}


# --- in a process of its own ---


class Judge:
    """Tries files in another process; starts a new one after a hang, a crash or a feast."""

    def __init__(self, seconds: float = SECONDS, memory: float = MEMORY):
        self.seconds, self.memory, self._process = seconds, memory, None

    def try_file(self, reader, path: Path, entry: Entry, as_bytes: bool = False) -> Verdict:
        if self._process is None:
            self._start()
        plain = replace(entry, make=None)  # functions without a name cannot be sent
        self._ask.send((reader, os.fsencode(path), plain, as_bytes, self.memory))
        verdict = Verdict(HUNG, f"no answer after {self.seconds} s")
        try:
            if self._ask.poll(self.seconds):
                verdict = self._ask.recv()
        except EOFError:
            self._process.join()
            verdict = Verdict(CRASHED, f"the process ended with code {self._process.exitcode}")
        if verdict.outcome in (HUNG, CRASHED, GREEDY):
            self.close()
        return verdict

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._ask, answer = context.Pipe()
        self._process = context.Process(target=_serve, args=(answer,), daemon=True)
        self._process.start()
        answer.close()
        self._ask.recv()  # everything is imported, which is not counted

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._ask.close()
            self._process = None


def _serve(answer) -> None:
    from vivit_lab.video import VideoReader  # noqa: F401

    if sys.platform == "linux":  # so that a bomb cannot take the whole machine with it
        resource.setrlimit(resource.RLIMIT_AS, (CEILING, CEILING))
    idle = _peak()
    answer.send("ready")
    with contextlib.suppress(EOFError):
        while True:
            reader, path, entry, as_bytes, memory = answer.recv()
            verdict = judge(reader, Path(os.fsdecode(path)), entry, as_bytes)
            taken = _peak() - idle
            if taken > memory:
                verdict = Verdict(GREEDY, f"{taken:.0f} MB; {verdict.words}")
            answer.send(verdict)


def _peak() -> float:
    """The most memory that this process ever took, in MB."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # no Linux
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    # not getrusage: on Linux a new process begins with the peak of the one that started it
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024

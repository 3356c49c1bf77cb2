"""What other readers make of the family of hostile files (tests/video/family.py), beside ours.

    make bench            or            python tests/benchmarks/faults.py --only mkv

Each file is read in a process of its own with a limit in time and memory. "Named" is an error that
says which file it is about. A reader does right by a good file if every picture is the one asked
for, in every order; by a bad one, if it refuses it by name; by a damaged one, if it does either.
"""

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "video"))
import numpy as np
import torch
from family import FAMILY
from family_judge import CRASHED, EXACT, GREEDY, HUNG, REFUSED, UNNAMED, WRONG, Judge
from family_making import Workshop
from measuring import usable

from vivit_lab.data import sample
from vivit_lab.video import VideoError, VideoReader

SECONDS = 15


class Other:
    """Another reader with the face of ours; its errors count as named if they name the file."""

    def __init__(self, open_file: Callable, path: Path):
        self.path = str(path)
        self.frames, *facts = self._guarded(open_file, self.path)
        self.num_frames, self.height, self.width = map(int, facts)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def read(self, indices, short_side=None):
        clip = self._guarded(self.frames, [int(index) for index in indices])  # (N,3,H,W) uint8
        if short_side:
            scale = short_side / min(clip.shape[2:])
            size = [max(1, round(side * scale)) for side in clip.shape[2:]]
            clip = torch.nn.functional.interpolate(clip, size, mode="bilinear", antialias=True)
        return clip

    def _guarded(self, function, argument):
        try:
            return function(argument)
        except Exception as error:
            words = " ".join(str(error).split())
            if os.path.basename(self.path) in words:
                raise VideoError(f"{self.path}: {words}, said in full") from None
            raise


# Each opens a file: what reads its frames by number, how many there are, height, width.


def torchcodec(path: str) -> tuple:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(path, seek_mode="exact", num_ffmpeg_threads=1)
    about = decoder.metadata
    facts = about.num_frames, about.height, about.width
    return (lambda indices: decoder.get_frames_at(indices).data), *facts


def decord(path: str) -> tuple:
    import decord

    decoder = decord.VideoReader(path, num_threads=1)
    facts = len(decoder), *decoder[0].shape[:2]
    return (lambda indices: stacked(decoder.get_batch(indices).asnumpy())), *facts


def opencv(path: str) -> tuple:
    """Frames by number, as its documentation has it: set CAP_PROP_POS_FRAMES, then read."""
    import cv2

    decoder = cv2.VideoCapture(path)
    if not decoder.isOpened():
        raise ValueError("cannot be opened")  # it only says False

    def frames(indices):
        pictures, here = [], None
        for index in indices:
            if index != here:
                decoder.set(cv2.CAP_PROP_POS_FRAMES, index)
            good, picture = decoder.read()
            if not good:
                raise ValueError("no picture")  # it only says False
            pictures.append(picture[..., ::-1])
            here = index + 1
        return stacked(pictures)

    facts = cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH
    return frames, *map(decoder.get, facts)


def plain_pyav(path: str) -> tuple:
    """The recipe of many a documentation: from the beginning, keep those that are wanted."""
    import av

    decoder = av.open(path)
    stream = decoder.streams.video[0]

    def frames(indices):
        decoder.seek(0)
        found = {}
        for number, frame in enumerate(decoder.decode(video=0)):
            if number > max(indices):
                break
            if number in indices:
                found[number] = frame.to_ndarray(format="rgb24")
        return stacked([found[index] for index in indices])

    return frames, stream.frames, stream.height, stream.width


def stacked(pictures) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


READERS = {
    "ViViT Lab": VideoReader,
    "torchcodec": partial(Other, torchcodec),
    "decord": partial(Other, decord),
    "OpenCV": partial(Other, opencv),
    "PyAV, plainly": partial(Other, plain_pyav),
}
KINDS = "good", "bad", "damaged"
COLUMNS = {  # title -> which outcomes, of files of which kinds
    "good: exact": (["good"], {EXACT}),
    "wrong": (["good"], {WRONG}),
    "error": (["good"], {REFUSED, UNNAMED}),
    "bad: named": (["bad"], {REFUSED}),
    "unnamed": (["bad"], {UNNAMED}),
    "read": (["bad"], {WRONG}),
    "damaged: right": (["damaged"], {EXACT, REFUSED}),
    "passed off": (["damaged"], {WRONG}),
    "error without a name": (["damaged"], {UNNAMED}),
    "hung, crashed, too much memory": (KINDS, {HUNG, CRASHED, GREEDY}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="files whose name contains this")
    parser.add_argument("--show", action="store_true", help="each file that is not as it may be")
    arguments = parser.parse_args()
    logging.disable()

    def tried(reader: Callable) -> Callable:
        reader(sample("counter")).read([0])
        return reader

    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder))
        files = [(e, e.write(workshop)) for e in FAMILY if arguments.only in e.name]
        kinds = ["damaged" if entry.kind == "either" else entry.kind for entry, _ in files]
        print(", ".join(f"{kinds.count(kind)} {kind}" for kind in KINDS))
        print(" | ".join(("reader", *COLUMNS)))
        for name, reader in usable(READERS, tried).items():
            judge, outcomes = Judge(SECONDS), []
            for kind, (entry, path) in zip(kinds, files, strict=True):
                verdict = judge.try_file(reader, path, entry)
                outcomes.append((kind, verdict.outcome))
                if arguments.show and not verdict.is_allowed(entry):
                    print(f"    {entry.name}: {verdict.outcome}. {verdict.words[:150]}")
            judge.close()
            counts = [
                sum(kind in counted and outcome in seen for kind, outcome in outcomes)
                for counted, seen in COLUMNS.values()
            ]
            print(" | ".join((name, *map(str, counts))), flush=True)


if __name__ == "__main__":
    main()

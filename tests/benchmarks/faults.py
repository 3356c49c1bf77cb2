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

    def __init__(self, path):
        self.path = str(path)
        self._guarded(self.open)

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

    def _guarded(self, function, *arguments):
        try:
            return function(*arguments)
        except Exception as error:
            words = " ".join(str(error).split())
            if os.path.basename(self.path) in words:
                raise VideoError(f"{self.path}: {words}, said in full") from None
            raise


class TorchCodec(Other):
    def open(self):
        from torchcodec.decoders import VideoDecoder

        self.decoder = VideoDecoder(self.path, seek_mode="exact", num_ffmpeg_threads=1)
        about = self.decoder.metadata
        self.num_frames, self.height, self.width = about.num_frames, about.height, about.width

    def frames(self, indices):
        return self.decoder.get_frames_at(indices).data


class Decord(Other):
    def open(self):
        import decord

        self.decoder = decord.VideoReader(self.path, num_threads=1)
        self.num_frames = len(self.decoder)
        self.height, self.width = self.decoder[0].shape[:2]

    def frames(self, indices):
        pictures = self.decoder.get_batch(indices).asnumpy()
        return torch.from_numpy(pictures).permute(0, 3, 1, 2)


class OpenCV(Other):
    """Frames by number, as its documentation has it: set CAP_PROP_POS_FRAMES, then read."""

    def open(self):
        import cv2

        self.cv2, self.decoder = cv2, cv2.VideoCapture(self.path)
        if not self.decoder.isOpened():
            raise ValueError("cannot be opened")  # it only says False
        self.num_frames = int(self.decoder.get(cv2.CAP_PROP_FRAME_COUNT))
        self.height = int(self.decoder.get(cv2.CAP_PROP_FRAME_HEIGHT))
        self.width = int(self.decoder.get(cv2.CAP_PROP_FRAME_WIDTH))

    def frames(self, indices):
        pictures, here = [], None
        for index in indices:
            if index != here:
                self.decoder.set(self.cv2.CAP_PROP_POS_FRAMES, index)
            good, picture = self.decoder.read()
            if not good:
                raise ValueError("no picture")  # it only says False
            pictures.append(picture[..., ::-1])
            here = index + 1
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


class PlainPyAV(Other):
    """The recipe of many a documentation: from the beginning, keep those that are wanted."""

    def open(self):
        import av

        self.decoder = av.open(self.path)
        stream = self.decoder.streams.video[0]
        self.num_frames, self.height, self.width = stream.frames, stream.height, stream.width

    def frames(self, indices):
        self.decoder.seek(0)
        wanted, found = set(indices), {}
        for number, frame in enumerate(self.decoder.decode(video=0)):
            if number > max(wanted):
                break
            if number in wanted:
                found[number] = frame.to_ndarray(format="rgb24")
        pictures = np.stack([found[index] for index in indices])
        return torch.from_numpy(pictures).permute(0, 3, 1, 2)


READERS = {
    "ViViT Lab": VideoReader,
    "torchcodec": TorchCodec,
    "decord": Decord,
    "OpenCV": OpenCV,
    "PyAV, plainly": PlainPyAV,
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

    def tried(reader: type) -> type:
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

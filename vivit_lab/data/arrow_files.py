"""Writes Arrow of Time as mp4 files, so that it comes through the loader that real videos take."""

import errno
import io
import json
import os
import shutil
from pathlib import Path

import av
import numpy as np
from tqdm.auto import tqdm

from vivit_lab.data.arrow_of_time import CLASSES, ArrowOfTime

FRAMES_PER_SECOND = 25
# Every frame is coded on its own, and with the same loss as any other. Otherwise a frame would
# keep traces of those before it, and one frame would no longer say nothing.
CODING = {"g": "1", "qp": "23"}
TOGETHER = 64  # clips drawn at once
SETTINGS, CLASS_FILE, LIST = "arrow_of_time.json", "classes.json", "clips.csv"


def write_arrow_of_time(
    folder: str | os.PathLike,
    clips: int = 800,
    frames: int = 64,
    image_size: int = 64,
    seed: int = 0,
    level: str = "easy",
    progress: bool = True,
) -> Path:
    """Write the clips of `ArrowOfTime` as mp4 files (H.264, 25 frames a second).

    Args:
        folder: will hold a folder per class, `classes.json` (the names in their order) and
            `clips.csv`, a line a clip: the file and its label, parted by a blank. It must not
            exist, be empty, or hold this very data set.
        clips, frames, image_size, seed, level: as in `ArrowOfTime`. image_size must be even. Give
            the training and the validation set different seeds.
        progress: show a bar.

    The folder appears when all is done, in one step; until then the files are in
    `<folder>.unfinished`. Interrupted, call it again: it goes on where it was.

    The bounds of the data set hold for the decoded frames, each of which is coded on its own. They
    do not hold for the files: a loader that looks at their sizes could learn something.

    Returns the folder.

    Raises:
        FileExistsError: the folder holds something else.
        OSError: the disk is full, or the folder cannot be written to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as here:
        ...     folder = write_arrow_of_time(Path(here, "train"), clips=8, frames=8, progress=False)
        ...     (folder / "clips.csv").read_text().splitlines()[:2]
        ['moves_right/000000.mp4 0', 'moves_left/000001.mp4 1']
    """
    dataset = ArrowOfTime(clips, frames, image_size, seed, level)
    if image_size % 2:
        raise ValueError(
            f"image_size is {image_size}, but must be even in a file (a colour is kept for every "
            f"2 x 2 pixels); the nearest even number is {image_size + 1}."
        )
    folder = Path(folder)
    settings = _settings(dataset)
    if _is_there(folder, settings):
        return folder
    unfinished = folder.with_name(folder.name + ".unfinished")
    if not _is_there(unfinished, settings):
        _write(unfinished / SETTINGS, settings.encode())
    _write_clips(dataset, unfinished, progress)
    _write(unfinished / CLASS_FILE, json.dumps(CLASSES, indent=1).encode())
    lines = (f"{_file(number)} {number % len(CLASSES)}\n" for number in range(clips))
    _write(unfinished / LIST, "".join(lines).encode())
    if folder.exists():
        folder.rmdir()  # empty, as was checked
    os.replace(unfinished, folder)
    return folder


def _settings(dataset: ArrowOfTime) -> str:
    names = ("clips", "frames", "image_size", "seed", "level")
    return json.dumps({name: getattr(dataset, name) for name in names}, indent=1) + "\n"


def _is_there(folder: Path, settings: str) -> bool:
    """Whether the folder holds this data set; FileExistsError if it holds something else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    written = folder / SETTINGS
    if written.is_file() and written.read_text() == settings:
        return True
    held = f"Arrow of Time with {written.read_text()}" if written.is_file() else "something else"
    raise FileExistsError(
        f"{folder} holds {' '.join(held.split())}; nothing is written over. Name another folder, "
        "or remove this one."
    )


def _file(number: int) -> str:
    """Where a clip lies: the folder is the class, with underscores for blanks."""
    return f"{CLASSES[number % len(CLASSES)].replace(' ', '_')}/{number:06d}.mp4"


def _write_clips(dataset: ArrowOfTime, folder: Path, progress: bool) -> None:
    missing = [number for number in range(len(dataset)) if not (folder / _file(number)).is_file()]
    with tqdm(total=len(dataset), initial=len(dataset) - len(missing), unit="clip",
              desc=folder.name, disable=not progress) as bar:  # fmt: skip
        for first in range(0, len(missing), TOGETHER):
            numbers = missing[first : first + TOGETHER]
            for number, clip in zip(numbers, dataset.batch(numbers)[0].numpy(), strict=True):
                _write(folder / _file(number), encode(clip))
                bar.update()


def encode(clip: np.ndarray) -> bytes:
    """A clip, uint8 (T, 3, H, W), as an mp4 file.

    Example:
        >>> encode(np.zeros((4, 3, 32, 32), np.uint8))[4:8]
        b'ftyp'
    """
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=CODING)
        stream.height, stream.width = clip.shape[-2:]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for picture in clip.transpose(0, 2, 3, 1):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".half")
    try:
        half.write_bytes(content)
        os.replace(half, path)
    except OSError as error:
        half.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(path.parent).free
            raise OSError(
                error.errno,
                f"the disk is full ({free / 1e6:.0f} MB free). What is whole stays; make room and "
                "call it again with the same arguments: it goes on from here",
                str(path),
            ) from error
        raise

"""Arrow of Time: clips that we render, whose class is nothing but the order of their frames.

Four properties of one shape can change: its place, its angle, its size, its colour. In every clip
one of them runs round a circle at constant speed, forwards or backwards, from a random start, and
the rest stand still at random values. Two bounds follow, on every level:

* one frame says nothing: every property is uniform at every moment, whatever the class;
* a bag of frames says no more than the pair: backwards is forwards with its frames reversed.
"""

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vivit_lab.data.arrow_drawing import LEVELS, NUMBERS, Scene, add_noise, render, scenes_of
from vivit_lab.errors import one_of, takes_plain, whole
from vivit_lab.io import write_atomically

CLASSES = (  # forwards and backwards for each of arrow_drawing.PROPERTIES
    "moves right", "moves left", "turns clockwise", "turns anticlockwise",
    "grows", "shrinks", "red, green, blue", "blue, green, red",
)  # fmt: skip
FRAMES_PER_SECOND = 25  # of a file
# Every frame is coded on its own, and with the same loss as any other. Otherwise a frame would
# keep traces of those before it, and one frame would no longer say nothing.
CODING = {"g": "1", "qp": "23"}
TOGETHER = 64  # clips drawn at once


@takes_plain
class ArrowOfTime(Dataset):
    """Rendered clips in eight classes, four pairs that are each other's time reversal.

    clips: how many; clip i has class i % 8. frames: T, at least 2. The changing property makes 1.5
    to 2 rounds in a clip of any length (below 8 frames less, a quarter from frame to frame).
    image_size: height and width in pixels, at least 16. seed: another seed, other clips; clip i is
    the same whoever asks. level: "easy" (plain dark background, large shapes: a small ViViT learns
    it in a minute), "medium" (texture, noise, more shapes) or "hard" (more of it, a moving camera,
    three shapes that move without meaning).

    `dataset[i]` is a clip, uint8 (T, 3, H, W), and its label; `dataset.classes[label]` names it.
    `dataset.batch(numbers)` draws many at once in much less time; torch's DataLoader does so.
    Raises TypeError or ValueError for illegal settings, IndexError for no clip of that number.

    >>> dataset = ArrowOfTime(clips=800, frames=16, image_size=32)
    >>> clip, label = dataset[3]
    >>> clip.shape, clip.dtype, dataset.classes[label]
    (torch.Size([16, 3, 32, 32]), torch.uint8, 'turns anticlockwise')
    """

    classes = CLASSES

    def __init__(
        self,
        clips: int = 4096,
        frames: int = 16,
        image_size: int = 32,
        seed: int = 0,
        level: str = "easy",
    ):
        whole("clips", clips)
        whole("frames", frames, least=2)
        whole("image_size", image_size, least=16)
        whole("seed", seed, least=0)
        one_of("level", level, LEVELS)
        self.clips, self.frames, self.image_size = clips, frames, image_size
        self.seed, self.level = seed, level

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        clips, labels = self.batch([index])
        return clips[0], int(labels[0])

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """What torch's DataLoader asks for: the clips of a batch, drawn together."""
        clips, labels = self.batch(indices)
        return list(zip(clips, labels.tolist(), strict=True))

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Many clips, uint8 (N, T, 3, H, W), and their labels, int64 (N,)."""
        scenes, sources = self._scenes(indices)
        clips = render(scenes, self.image_size)
        if noise := LEVELS[self.level].noise:
            for clip, random in zip(clips, sources, strict=True):
                add_noise(clip, noise, random)
        return torch.from_numpy(clips), torch.from_numpy(scenes.label)

    def scene(self, index: int) -> Scene:
        """What clip `index` shows, before it is drawn: where the shape is, and how it changes."""
        return self._scenes([index])[0][0]

    def _scenes(self, indices: Sequence[int]) -> tuple[Scene, list[np.random.Generator]]:
        """The scenes, and each clip's own source of numbers, from which its noise comes too."""
        indices = [int(index) for index in indices]
        for index in indices:
            if not 0 <= index < self.clips:
                raise IndexError(f"clip {index}, but the clips are 0 to {self.clips - 1}.")
        sources = [np.random.default_rng((self.seed, index)) for index in indices]
        numbers = np.array([source.random(NUMBERS) for source in sources]).reshape(-1, NUMBERS)
        labels = np.array(indices, np.int64) % len(CLASSES)
        return scenes_of(LEVELS[self.level], labels, numbers, self.frames), sources


def write_arrow_of_time(
    folder: str | os.PathLike,
    clips: int = 800,
    frames: int = 64,
    image_size: int = 64,
    seed: int = 0,
    level: str = "easy",
    progress: bool = True,
) -> Path:
    """Write the clips of `ArrowOfTime` as mp4 files (H.264, 25 frames a second); returns `folder`.

    folder: will hold a folder per class, `classes.json` (the names in their order) and `clips.csv`,
    a line a clip: the file and its label. It must not exist, be empty, or hold this very data set.
    clips, frames, image_size (even), seed, level: as in `ArrowOfTime`. Give the training and the
    validation set different seeds. progress: show a bar.

    The folder appears when all is done; until then the files are in `<folder>.unfinished`. Call it
    again after an interruption, and it goes on where it was. The bounds of the data set hold for
    the decoded frames, not for the files: their sizes could tell something. Raises FileExistsError
    if the folder holds something else, OSError if it cannot be written to.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as here:
    ...     folder = write_arrow_of_time(Path(here, "train"), clips=8, frames=8, progress=False)
    ...     (folder / "clips.csv").read_text().splitlines()[:2]
    ['moves_right/000000.mp4 0', 'moves_left/000001.mp4 1']
    """
    from tqdm import tqdm

    dataset = ArrowOfTime(clips, frames, image_size, seed, level)
    even("image_size", image_size)
    folder = Path(folder)
    settings = json.dumps(vars(dataset), indent=1) + "\n"
    if _is_there(folder, settings):
        return folder
    unfinished = folder.with_name(folder.name + ".unfinished")
    if not _is_there(unfinished, settings):
        unfinished.mkdir(parents=True, exist_ok=True)
        write_atomically(unfinished / "arrow_of_time.json", settings)
    names = [name.replace(" ", "_") for name in CLASSES]
    files = [f"{names[number % len(names)]}/{number:06d}.mp4" for number in range(clips)]
    missing = [number for number in range(clips) if not (unfinished / files[number]).is_file()]
    for name in names:
        (unfinished / name).mkdir(exist_ok=True)
    done = clips - len(missing)
    bar = tqdm(total=clips, initial=done, unit="clip", desc=folder.name, disable=not progress)
    with bar:
        for first in range(0, len(missing), TOGETHER):
            numbers = missing[first : first + TOGETHER]
            for number, clip in zip(numbers, dataset.batch(numbers)[0].numpy(), strict=True):
                write_atomically(unfinished / files[number], encode(clip))
                bar.update()
    write_atomically(unfinished / "classes.json", json.dumps(CLASSES, indent=1))
    lines = (f"{file} {number % len(CLASSES)}\n" for number, file in enumerate(files))
    write_atomically(unfinished / "clips.csv", "".join(lines))
    if folder.exists():
        folder.rmdir()  # empty, as was checked
    os.replace(unfinished, folder)
    return folder


def even(name: str, value: int) -> None:
    if value % 2:
        rule = f"must be even in a file; the nearest is {value + 1}"
        raise ValueError(f"{name} is {value}, but {rule}.")


def _is_there(folder: Path, settings: str) -> bool:
    """Whether the folder holds this data set; FileExistsError if it holds something else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    written = folder / "arrow_of_time.json"
    held = written.read_text() if written.is_file() else None
    if held == settings:
        return True
    held = f"Arrow of Time with {' '.join(held.split())}" if held else "something else"
    raise FileExistsError(
        f"{folder} holds {held}; nothing is overwritten. Name another folder, or remove this one."
    )


def encode(clip: np.ndarray, rate: int = FRAMES_PER_SECOND) -> bytes:
    """A clip, uint8 (T, 3, H, W), as an mp4 file of so many frames a second."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options=CODING)
        stream.height, stream.width = clip.shape[-2:]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for picture in clip.transpose(0, 2, 3, 1):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()

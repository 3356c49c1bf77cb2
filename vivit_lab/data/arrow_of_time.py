"""Arrow of Time: clips that we render, whose class is nothing but the order of their frames.

Four properties of one shape can change: its place, its angle, its size, its colour. In every clip
one of them runs round a circle at constant speed, forwards or backwards, from a random start, and
the rest stand still at random values. Two bounds follow, on every level:

* one frame says nothing: every property is uniform at every moment, whatever the class;
* a bag of frames says no more than the pair: backwards is forwards with its frames reversed.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vivit_lab.data.arrow_drawing import add_noise, render
from vivit_lab.data.arrow_scenes import LEVELS, NUMBERS, Scene, scenes_of
from vivit_lab.errors import one_of, whole

CLASSES = (  # forwards and backwards for each of PROPERTIES
    "moves right",
    "moves left",
    "turns clockwise",
    "turns anticlockwise",
    "grows",
    "shrinks",
    "red, green, blue",
    "blue, green, red",
)


class ArrowOfTime(Dataset):
    """Rendered clips in eight classes, four pairs that are each other's time reversal.

    Args:
        clips: how many; clip i has class i % 8, so that every class is equally frequent.
        frames: T, at least 2. The changing property makes 1.5 to 2 rounds in a clip of any length
            (in one below 8 frames less, a quarter from frame to frame).
        image_size: height and width in pixels, at least 16. A clip of another size, on the easy
            level, shows the same scene; noise is drawn anew for every pixel.
        seed: another seed, other clips. Clip i is the same whoever asks, in whatever order.
        level: "easy" (plain dark background, large shapes: a small ViViT learns it in a minute),
            "medium" (texture, noise, more shapes) or "hard" (more of it, a moving camera, three
            shapes that move without meaning).

    `dataset[i]` is a clip, uint8 (T, 3, H, W), and its label; `dataset.classes[label]` names it.
    `dataset.batch(numbers)` draws many at once in much less time; torch's DataLoader does so.

    Raises:
        IndexError: no clip of that number.

    Example:
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
        """Many clips, uint8 (N, T, 3, H, W), and their labels, int64 (N,).

        Example:
            >>> clips, labels = ArrowOfTime(frames=8, level="hard").batch(range(64))
            >>> clips.shape, labels[:9].tolist()
            (torch.Size([64, 8, 3, 32, 32]), [0, 1, 2, 3, 4, 5, 6, 7, 0])
        """
        scenes, sources = self._scenes(indices)
        clips = render(scenes, self.image_size)
        if noise := LEVELS[self.level].noise:
            for clip, random in zip(clips, sources, strict=True):
                add_noise(clip, noise, random)
        return torch.from_numpy(clips), torch.from_numpy(scenes.label)

    def scene(self, index: int) -> Scene:
        """What clip `index` shows, before it is drawn: where the shape is, and how it changes.

        Example:
            >>> scene = ArrowOfTime().scene(0)
            >>> CLASSES[scene.label], str(scene.shape), scene.column.shape
            ('moves right', 'bar', (16,))
        """
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

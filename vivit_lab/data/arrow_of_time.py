"""Arrow of Time: clips that we render, whose class is nothing but the order of their frames.

Four properties of one shape can change: its place, its angle, its size, its colour. In every clip
one of them runs round a circle at constant speed, forwards or backwards, from a random start, and
the rest stand still at random values. Two bounds follow:

* one frame says nothing: every property is uniform at every moment, whatever the class;
* a bag of frames says no more than the pair: backwards is forwards with its frames reversed.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vivit_lab.legal import whole

CLASSES = (
    "moves right",
    "moves left",
    "turns clockwise",
    "turns anticlockwise",
    "grows",
    "shrinks",
    "red, green, blue",
    "blue, green, red",
)
SHAPES = ("disc", "square", "triangle", "bar")
COLOURS = np.array([[255, 92, 72], [84, 222, 96], [84, 140, 255]], np.float32)
PROPERTIES = ("place", "angle", "size", "colour")  # each is a phase on a circle, 0..1
SPEEDS = {  # revolutions a frame; with 16 frames each class is plain to the eye
    "place": (1 / 16, 1 / 8),
    "angle": (1 / 16, 1 / 8),
    "size": (1 / 12, 1 / 8),
    "colour": (1 / 12, 1 / 8),
}
RADII = 0.14, 0.30  # smallest and largest shape, as a share of the picture's side


@dataclass(frozen=True)
class Scene:
    """What one clip shows. Arrays have a value a frame; lengths are shares of the picture's side.

    Example:
        >>> scene = ArrowOfTime().scene(0)
        >>> CLASSES[scene.label], scene.shape, scene.column.shape
        ('moves right', 'triangle', (16,))
    """

    label: int
    shape: str
    row: float  # of the shape's centre; the column moves
    column: np.ndarray  # (T,), 0..1, round the edge
    turn: np.ndarray  # (T,), 0..1 of a clockwise turn
    radius: np.ndarray  # (T,)
    colour: np.ndarray  # (T,), index into COLOURS
    background: float  # grey level, 0..255


class ArrowOfTime(Dataset):
    """Rendered clips in eight classes, four pairs that are each other's time reversal.

    Args:
        clips: how many; clip i has class i % 8, so that every class is equally frequent.
        frames: T, at least 2.
        image_size: height and width in pixels, at least 16.
        seed: another seed, other clips. Clip i is the same whoever asks, in whatever order.

    `dataset[i]` is a clip, uint8 (T, 3, H, W), and its label; `dataset.classes[label]` names it.

    Raises:
        IndexError: no clip of that number.

    Example:
        >>> dataset = ArrowOfTime(clips=800, frames=16, image_size=32)
        >>> clip, label = dataset[3]
        >>> clip.shape, clip.dtype, dataset.classes[label]
        (torch.Size([16, 3, 32, 32]), torch.uint8, 'turns anticlockwise')
    """

    classes = CLASSES

    def __init__(self, clips: int = 4096, frames: int = 16, image_size: int = 32, seed: int = 0):
        whole("clips", clips)
        whole("frames", frames, least=2)
        whole("image_size", image_size, least=16)
        whole("seed", seed, least=0)
        self.clips, self.frames, self.image_size, self.seed = clips, frames, image_size, seed

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        scene = self.scene(index)
        return torch.from_numpy(render(scene, self.image_size)), scene.label

    def scene(self, index: int) -> Scene:
        """What clip `index` shows, before it is drawn: where the shape is, and how it changes."""
        if not 0 <= index < self.clips:
            raise IndexError(f"clip {index}, but the clips are 0 to {self.clips - 1}.")
        random = np.random.default_rng((self.seed, index))
        label = index % len(CLASSES)
        changing, backwards = PROPERTIES[label // 2], label % 2
        phase = {}
        for name in PROPERTIES:
            speed = random.uniform(*SPEEDS[name]) * (name == changing)
            run = np.arange(self.frames) * (-speed if backwards else speed)
            phase[name] = (random.uniform() + run) % 1
        smallest, largest = RADII
        return Scene(
            label=label,
            shape=SHAPES[random.integers(len(SHAPES))],
            row=random.uniform(0.3, 0.7),  # whole at the top and the bottom
            column=phase["place"],
            turn=phase["angle"],
            radius=smallest * (largest / smallest) ** phase["size"],
            colour=(3 * phase["colour"]).astype(int),
            background=random.uniform(8, 40),
        )


def render(scene: Scene, image_size: int) -> np.ndarray:
    """Draw a scene: uint8 (T, 3, H, W). Who leaves on the right comes back on the left."""
    pixels = (np.arange(image_size, dtype=np.float32) + 0.5) / image_size
    across = _wrapped(pixels[None] - scene.column[:, None].astype(np.float32))[:, None, :]
    down = (pixels - np.float32(scene.row))[None, :, None]
    turn = (2 * np.pi * scene.turn).astype(np.float32)[:, None, None]
    radius = scene.radius.astype(np.float32)[:, None, None]
    u = np.cos(turn) * across + np.sin(turn) * down  # the shape's own axes: (T, H, W)
    v = np.cos(turn) * down - np.sin(turn) * across
    inside = (0.5 - _outside(scene.shape, u, v, radius) * image_size).clip(0, 1)  # soft edge
    bright = 0.4 + 0.6 * (0.5 - v * image_size).clip(0, 1)  # two tones: the far half is darker
    colour = COLOURS[scene.colour][:, :, None, None]  # (T, 3, 1, 1)
    picture = scene.background + inside[:, None] * (colour * bright[:, None] - scene.background)
    return (picture + 0.5).astype(np.uint8)


def _wrapped(distance: np.ndarray) -> np.ndarray:
    """The shorter way round: -0.5..0.5."""
    return (distance + 0.5) % 1 - 0.5


def _outside(shape: str, u: np.ndarray, v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Distance from the shape's edge, negative inside."""
    if shape == "disc":
        return np.hypot(u, v) - radius
    if shape == "square":
        return np.maximum(abs(u), abs(v)) - 0.85 * radius
    if shape == "triangle":
        return np.maximum(abs(u) * np.float32(0.866) - v * np.float32(0.5), v) - 0.62 * radius
    return np.maximum(abs(u) - 0.45 * radius, abs(v) - 1.05 * radius)

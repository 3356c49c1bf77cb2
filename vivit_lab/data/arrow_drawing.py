"""Draws scenes of Arrow of Time: many clips at once, because small pictures cost more calls than
pixels.

Every picture is a formula of its scene, with soft edges, so that a scene can be drawn at any size.
"""

import numpy as np

from vivit_lab.data.arrow_scenes import Moving, Scene

COLOURS = np.array([[255, 72, 56], [40, 208, 72], [56, 112, 255]], np.float32)  # of one half
WHITE, DARK = np.float32(250), np.float32(60)  # of the other half
CYCLES = 1.2  # of the stripes in a radius
TOGETHER = 60_000  # pixels that are drawn in one go: what is needed for them fits a cache


def render(scenes: Scene, image_size: int) -> np.ndarray:
    """Draw B scenes, without their noise: uint8 (B, T, 3, H, W).

    Example:
        >>> from vivit_lab.data.arrow_scenes import LEVELS, NUMBERS, scenes_of
        >>> numbers = np.full((2, NUMBERS), 0.5)
        >>> clips = render(scenes_of(LEVELS["hard"], np.array([0, 1]), numbers, frames=8), 32)
        >>> clips.shape, (clips[0] == clips[1, ::-1]).all()
        ((2, 8, 3, 32, 32), np.True_)
    """
    clips, frames = scenes.row.shape
    pictures = np.empty((clips, frames, 3, image_size, image_size), np.uint8)
    step = max(1, TOGETHER // (frames * image_size**2))
    for first in range(0, clips, step):
        some = slice(first, first + step)
        pictures[some] = _draw(scenes[some], image_size)
    return pictures


def add_noise(clip: np.ndarray, largest: int, random: np.random.Generator) -> None:
    """Change every value of a uint8 clip, in place, by -largest..largest, all alike likely."""
    noise = random.integers(-largest, largest, clip.shape, np.int8, endpoint=True)
    np.clip(clip + noise.astype(np.int16), 0, 255, out=clip, casting="unsafe")


def _draw(scenes: Scene, size: int) -> np.ndarray:
    """float32 (B, T, 3, H, W), 0..255."""
    picture = _background(scenes, size)
    for number in range(scenes.others.row.shape[1]):
        _paint(scenes.others[:, number], picture)
    _paint(scenes, picture)
    picture += np.float32(0.5)  # what follows cuts off
    return np.clip(picture, 0, 255, out=picture)


def _background(scenes: Scene, size: int) -> np.ndarray:
    """Waves at every angle. cos(a + b) = cos a cos b - sin a sin b: rows times columns."""
    grey = scenes.background[:, None, None, None, None].astype(np.float32)
    if not scenes.waves[..., 3:].any():
        return np.broadcast_to(grey, (*scenes.row.shape, 3, size, size)).copy()
    down, across, place = np.moveaxis(scenes.waves[:, None, :, :3], -1, 0)[..., None]
    rows, columns = np.moveaxis(_centres(size) - scenes.camera[..., None, None], 1, 0)
    a = 2 * np.pi * (down * rows + place)  # (B, T, WAVES, H)
    b = 2 * np.pi * across * columns  # (B, T, WAVES, W)
    brightness = scenes.waves[:, None, :, 3:].swapaxes(-1, -2)[..., None]  # (B, 1, 3, WAVES, 1)
    a = np.concatenate([np.cos(a), -np.sin(a)], axis=2)[:, :, None] * np.tile(brightness, (2, 1))
    b = np.concatenate([np.cos(b), np.sin(b)], axis=2)[:, :, None]
    return a.astype(np.float32).swapaxes(-1, -2) @ b.astype(np.float32) + grey


def _paint(shapes: Moving, picture: np.ndarray) -> None:
    """Put a shape a clip, (B, T), on top of the picture (B, T, 3, H, W)."""
    size = picture.shape[-1]
    canvas = np.moveaxis(picture, 2, -1)  # (B, T, H, W, 3)
    reach = int(1.2 * shapes.radius.max() * size) + 2  # pixels: no shape is larger
    if 4 * reach > size:
        every = np.arange(size)
        return _blend(shapes, canvas, every, every, size)
    window = np.arange(-reach, reach + 1)
    rows, columns = (
        (np.floor(place * size).astype(int)[..., None] + window) % size
        for place in (shapes.row, shapes.column)
    )
    clip, frame = np.ix_(*map(np.arange, shapes.row.shape))
    here = clip[..., None, None], frame[..., None, None], rows[..., None], columns[..., None, :]
    part = canvas[here]
    _blend(shapes, part, rows, columns, size)
    canvas[here] = part


def _blend(shapes: Moving, canvas: np.ndarray, rows, columns, size) -> None:
    """Put a shape a clip on rows (..., h) and columns (..., w) of the picture, (B, T, h, w, 3)."""
    across = _shorter_way((columns + 0.5) / size - shapes.column[..., None])[:, :, None, :]
    down = _shorter_way((rows + 0.5) / size - shapes.row[..., None])[:, :, :, None]
    turn = 2 * np.pi * shapes.turn[..., None, None]
    cos, sin = np.cos(turn).astype(np.float32), np.sin(turn).astype(np.float32)
    u, v = cos * across + sin * down, cos * down - sin * across  # the shape's own axes
    radius = shapes.radius[..., None, None].astype(np.float32)

    inside = _soft(_outside(shapes.shape, u, v, radius), size)  # 0..1
    near = _soft(v, size)  # half of it is coloured, a quarter white, a quarter dark
    rest = (1 - near) * (DARK + (WHITE - DARK) * _soft(u, size))
    light = _striped(shapes, u / radius, v / radius)
    colour = COLOURS[shapes.colour][:, :, None, None]  # (B, T, 1, 1, 3)
    for channel in range(3):
        below = canvas[..., channel]
        below += inside * (light * (rest + near * colour[..., channel]) - below)


def _centres(size: int) -> np.ndarray:
    """Where the middles of the pixels are, 0..1."""
    return (np.arange(size) + 0.5) / size


def _shorter_way(distance: np.ndarray) -> np.ndarray:
    """Round the edge if that is shorter: -0.5..0.5."""
    return ((distance + 0.5) % 1 - 0.5).astype(np.float32)


def _soft(outside: np.ndarray, size: int) -> np.ndarray:
    """1 inside, 0 outside, from one to the other within a pixel."""
    return (np.float32(0.5) - outside * np.float32(size)).clip(0, 1)


def _striped(shapes: Moving, u: np.ndarray, v: np.ndarray) -> np.ndarray | np.float32:
    """Brightness 0..1 of a shape with stripes; u and v in radii."""
    depth, turn, place = shapes.stripes.T[..., None, None, None].astype(np.float32)
    if not depth.any():
        return np.float32(1)
    turn = 2 * np.pi * turn
    phase = CYCLES * (np.cos(turn) * u + np.sin(turn) * v) + place
    return 1 - depth * (0.5 + 0.5 * np.cos(2 * np.pi * phase))


def _outside(names: np.ndarray, u: np.ndarray, v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Distance from the shapes' edges, negative inside."""
    outside = np.empty_like(u)
    for name in np.unique(names):
        mine = names == name
        outside[mine] = _OUTSIDE[name](u[mine], v[mine], radius[mine])
    return outside


def _disc(u: np.ndarray, v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    return np.sqrt(u * u + v * v) - radius


def _ring(u: np.ndarray, v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    disc = _disc(u, v, radius)
    return np.maximum(disc, np.float32(-0.65) * radius - disc)


def _square(u: np.ndarray, v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    return np.maximum(abs(u), abs(v)) - np.float32(0.85) * radius


def _triangle(u: np.ndarray, v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    sides = np.float32(3**0.5 / 2) * abs(u) - np.float32(0.5) * v
    return np.maximum(sides, v) - np.float32(0.58) * radius


def _bar(u: np.ndarray, v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    return np.maximum(abs(u) - np.float32(0.55) * radius, abs(v) - radius)


_OUTSIDE = {"disc": _disc, "ring": _ring, "square": _square, "triangle": _triangle, "bar": _bar}

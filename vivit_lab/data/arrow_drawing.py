"""What a clip of Arrow of Time shows, frame by frame, and how it is drawn.

A scene comes from its label and from numbers drawn uniformly from 0..1. The label says which of
the shape's four properties runs round its circle, and which way; the numbers say all the rest.
Time is counted from the middle of the clip. So the same numbers with the other label of the pair
give the same shape backwards, to the bit; what else moves goes either way with the same chance.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

SHAPES = ("disc", "ring", "square", "triangle", "bar")
PROPERTIES = ("place", "angle", "size", "colour")  # each is a phase on a circle, 0..1
ROUNDS = 1.5, 2.0  # of its circle that the changing property makes in a clip of any length
FASTEST = 0.25  # of a round from frame to frame: half a round would look the same backwards

OTHERS = 3  # shapes that move without meaning
WAVES = 6  # in the texture of the background
WAYS = 4 + 3 * OTHERS  # numbers that say which way something moves: u one way, 1 - u the other
NUMBERS = WAYS + 4 + 8 * OTHERS + 6 * WAVES + 10  # that make a scene

COLOURS = np.array([[255, 72, 56], [40, 208, 72], [56, 112, 255]], np.float32)  # of one half
WHITE, DARK = np.float32(250), np.float32(60)  # of the other half
CYCLES = 1.2  # of the stripes in a radius
TOGETHER = 60_000  # pixels that are drawn in one go: what is needed for them fits a cache


@dataclass(frozen=True)
class Level:
    """How hard Arrow of Time is. Lengths are shares of the picture's side, brightness is 0..255."""

    radii: tuple[float, float]  # smallest and largest shape
    rows: tuple[float, float]  # where its centre may be
    background: tuple[float, float] = (8, 40)  # its grey level, of a texture the mean
    texture: float = 0  # brightness of the waves in the background, as a standard deviation
    stripes: float = 0  # how much darker the stripes on the shapes are, 0..1
    noise: int = 0  # largest change of a pixel's brightness
    drift: float = 0  # how far the camera swings slowly
    shake: float = 0  # and how far quickly
    others: int = 0  # shapes that move without meaning, 0 to OTHERS


LEVELS = {
    "easy": Level((0.25, 0.42), (0.47, 0.53)),
    "medium": Level(
        (0.2, 0.36), (0.4, 0.6), (72, 104), texture=12, stripes=0.3, noise=12, shake=0.01
    ),
    "hard": Level(
        (0.18, 0.34), (0.4, 0.6), (40, 90), texture=24, stripes=0.5, noise=24,
        drift=0.06, shake=0.015, others=3,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Moving:
    """A shape that moves: arrays with a value a frame, lengths as shares of the picture's side."""

    shape: np.ndarray  # its name, one of SHAPES
    row: np.ndarray  # (T,) of its centre, 0..1 from the upper edge
    column: np.ndarray  # (T,) of its centre; who leaves on the right comes back on the left
    turn: np.ndarray  # (T,) 0..1 of a clockwise turn
    radius: np.ndarray  # (T,)
    colour: np.ndarray  # (T,) 0 red, 1 green, 2 blue
    stripes: np.ndarray  # (3,) how much darker, 0..1; direction and place, 0..1 round

    def __getitem__(self, clips: int | slice | np.ndarray | tuple) -> "Moving":
        """One of many, or some of them."""
        return type(self)(*(getattr(self, field.name)[clips] for field in fields(self)))


@dataclass(frozen=True)
class Scene(Moving):
    """The shape that matters, and all the rest. Scenes of B clips: every array is (B, ...)."""

    label: np.ndarray
    background: np.ndarray  # grey level, 0..255; of a texture the mean
    waves: np.ndarray  # (WAVES, 6) cycles down and across, place, brightness of red, green, blue
    camera: np.ndarray  # (2, T) how far everything is moved down, and to the right
    others: Moving  # shapes without meaning, from back to front; arrays are (others, ...)


def scenes_of(level: Level, labels: np.ndarray, numbers: np.ndarray, frames: int) -> Scene:
    """The scenes of B clips of T `frames`.

    labels: (B,) whole numbers; 2 i and 2 i + 1 let property i run forwards and backwards. numbers:
    (B, NUMBERS), 0..1. With 1 - u for each u of the first WAYS, and the other label of the pair,
    the same scenes run backwards.
    """
    time = (np.arange(frames) - (frames - 1) / 2) / frames  # -0.5..0.5, 0 in the middle
    parts = np.split(numbers, np.cumsum((4, 3 * OTHERS, 4, 8 * OTHERS, 6 * WAVES)), axis=1)
    swings, paths, paces, looks, waves, own = parts
    camera = _camera(level, swings.reshape(-1, 2, 2), paces.reshape(-1, 2, 2), time)
    others = _others(level, paths.reshape(-1, OTHERS, 3), looks.reshape(-1, OTHERS, 8), time)
    grey, shape, angle_of_stripes, place_of_stripes, row, round_, *middle = own.T[..., None]

    rounds = np.minimum(_between(ROUNDS, round_), FASTEST * frames)
    run = np.where(labels % 2, -1, 1)[:, None] * rounds * time  # (B, T)
    place, angle, size, colour = (
        (middle[i] + run * (labels // 2 == i)[:, None]) % 1 for i in range(len(PROPERTIES))
    )
    smallest, largest = level.radii
    main = Moving(
        shape=_shape(shape[:, 0]),
        row=_between(level.rows, row) + np.zeros(frames),
        column=place,
        turn=angle,
        radius=smallest * (largest / smallest) ** size,
        colour=(3 * colour).astype(int),
        stripes=_stripes(level, np.hstack([angle_of_stripes, place_of_stripes])),
    )
    return Scene(
        **vars(_seen_by(camera, main)),
        label=np.asarray(labels),
        background=_between(level.background, grey[:, 0]),
        waves=_waves(level, waves.reshape(-1, WAVES, 6)),
        camera=camera,
        others=_seen_by(camera[:, None], others),
    )


def _between(limits: tuple[float, float], u: np.ndarray) -> np.ndarray:
    return limits[0] + (limits[1] - limits[0]) * u


def _shape(u: np.ndarray) -> np.ndarray:
    return np.array(SHAPES)[(u * len(SHAPES)).astype(int)]


def _stripes(level: Level, u: np.ndarray) -> np.ndarray:
    return np.concatenate([np.full_like(u[..., :1], level.stripes), u], axis=-1)


def _seen_by(camera: np.ndarray, shape: Moving) -> Moving:
    down, right = camera[..., 0, :], camera[..., 1, :]
    return replace(shape, row=(shape.row + down) % 1, column=(shape.column + right) % 1)


def _camera(level: Level, ways: np.ndarray, paces: np.ndarray, time: np.ndarray) -> np.ndarray:
    """(B, 2, T): down and right, a slow swing and a fast one each, begun anywhere.

    `ways` and `paces` are (B, axis, swing). A cosine is even: begun at 1 - u it runs backwards.
    """
    extent = np.array([level.drift, level.shake])[:, None]
    paces = np.stack([_between((0.3, 0.8), paces[..., 0]), _between((2, 4), paces[..., 1])], -1)
    phase = (ways[..., None] - 0.5) + paces[..., None] * time  # (B, axis, swing, T) in rounds
    return (extent * np.cos(2 * np.pi * phase)).sum(axis=2)


def _others(level: Level, ways: np.ndarray, rest: np.ndarray, time: np.ndarray) -> Moving:
    """Smaller shapes that cross the picture and turn: from ways (B, OTHERS, 3), rest (..., 8)."""
    ways, rest = ways[:, : level.others, :, None], rest[:, : level.others, :, None]
    run = ROUNDS[1] * (2 * ways - 1) * time  # (B, others, 3, T)
    row, column, turn = np.moveaxis((rest[:, :, :3] + run) % 1, 2, 0)
    still = np.zeros_like(time)
    return Moving(
        shape=_shape(rest[:, :, 3, 0]),
        row=row,
        column=column,
        turn=turn,
        radius=level.radii[0] * _between((0.4, 0.7), rest[:, :, 4]) + still,
        colour=(3 * rest[:, :, 5] + still).astype(int),
        stripes=_stripes(level, rest[:, :, 6:, 0]),
    )


def _waves(level: Level, u: np.ndarray) -> np.ndarray:
    """(B, WAVES, 6) from as many numbers: direction, cycles, place, and three brightnesses."""
    cycles = _between((1, 4), u[..., 1])
    turn = 2 * np.pi * u[..., 0]
    brightness = level.texture * (2 / WAVES) ** 0.5 * _between((0.4, 1.6), u[..., 3:])
    where = [cycles * np.sin(turn), cycles * np.cos(turn), u[..., 2]]
    return np.concatenate([np.stack(where, axis=-1), brightness], axis=-1)


# --- drawing ---


def render(scenes: Scene, image_size: int) -> np.ndarray:
    """Draw B scenes, without their noise: uint8 (B, T, 3, H, W)."""
    clips, frames = scenes.row.shape
    pictures = np.empty((clips, frames, 3, image_size, image_size), np.uint8)
    step = max(1, TOGETHER // (frames * image_size**2))
    for first in range(0, clips, step):
        some = scenes[first : first + step]
        picture = _background(some, image_size)
        for number in range(some.others.row.shape[1]):
            _paint(some.others[:, number], picture)
        _paint(some, picture)
        picture += np.float32(0.5)  # uint8 cuts off
        pictures[first : first + step] = np.clip(picture, 0, 255, out=picture)
    return pictures


def add_noise(clip: np.ndarray, largest: int, random: np.random.Generator) -> None:
    """Change every value of a uint8 clip, in place, by -largest..largest, all alike likely."""
    noise = random.integers(-largest, largest, clip.shape, np.int8, endpoint=True)
    np.clip(clip + noise.astype(np.int16), 0, 255, out=clip, casting="unsafe")


def _background(scenes: Scene, size: int) -> np.ndarray:
    """Waves at every angle, float32 (B, T, 3, H, W)."""
    grey = scenes.background[:, None, None, None, None].astype(np.float32)
    if not scenes.waves[..., 3:].any():
        return np.broadcast_to(grey, (*scenes.row.shape, 3, size, size)).copy()
    down, across, place = np.moveaxis(scenes.waves[:, None, :, :3], -1, 0)[..., None]
    centres = (np.arange(size) + 0.5) / size  # of the pixels
    rows, columns = np.moveaxis(centres - scenes.camera[..., None, None], 1, 0)
    a = 2 * np.pi * (down * rows + place)  # (B, T, WAVES, H)
    b = 2 * np.pi * across * columns  # (B, T, WAVES, W)
    brightness = scenes.waves[:, None, :, 3:].swapaxes(-1, -2)[..., None]  # (B, 1, 3, WAVES, 1)
    # cos(a + b) = cos a cos b - sin a sin b: rows times columns
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

    outside = np.empty_like(u)  # distance from the edge, negative inside
    for name in np.unique(shapes.shape):
        mine = shapes.shape == name
        outside[mine] = _OUTSIDE[name](u[mine], v[mine], radius[mine])
    inside = _soft(outside, size)  # 0..1
    near = _soft(v, size)  # half of it is coloured, a quarter white, a quarter dark
    rest = (1 - near) * (DARK + (WHITE - DARK) * _soft(u, size))
    light = _striped(shapes, u / radius, v / radius)
    colour = COLOURS[shapes.colour][:, :, None, None]  # (B, T, 1, 1, 3)
    for channel in range(3):
        below = canvas[..., channel]
        below += inside * (light * (rest + near * colour[..., channel]) - below)


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


def _ring(u: np.ndarray, v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    disc = np.sqrt(u * u + v * v) - radius
    return np.maximum(disc, np.float32(-0.65) * radius - disc)


def _triangle(u: np.ndarray, v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    sides = np.float32(3**0.5 / 2) * abs(u) - np.float32(0.5) * v
    return np.maximum(sides, v) - np.float32(0.58) * radius


_OUTSIDE = {
    "disc": lambda u, v, radius: np.sqrt(u * u + v * v) - radius,
    "ring": _ring,
    "square": lambda u, v, radius: np.maximum(abs(u), abs(v)) - np.float32(0.85) * radius,
    "triangle": _triangle,
    "bar": lambda u, v, radius: np.maximum(abs(u) - np.float32(0.55) * radius, abs(v) - radius),
}

"""Small clips whose pictures carry their own number, written with PyAV for the tests."""

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BRIGHT, DARK = (236, 200, 80), (24, 40, 110)  # RGB; told apart even when red and blue are swapped
COLUMNS = 14  # 0 0, ten bits of the number, 1 0: no turn or mirror image reads as a number


def picture(number: int, height: int = 96, width: int = 168) -> np.ndarray:
    """uint8 (H,W,3): the number's bits in the upper half, their opposites in the lower half."""
    bits = [0, 0, *(number >> k & 1 for k in range(9, -1, -1)), 1, 0]
    cells = np.array([bits, [1 - bit for bit in bits]])
    rows, columns = np.arange(height) * 2 // height, np.arange(width) * COLUMNS // width
    image = np.where(cells[rows][:, columns, None] == 1, BRIGHT, DARK)
    ripple = 10 * np.sin((np.arange(width) + 4 * number) / 9) * np.ones((height, 1))
    return np.clip(image + ripple[..., None], 0, 255).astype(np.uint8)  # it moves, so B pays off


def number_in(image: np.ndarray) -> int:
    """The number in an RGB picture (H,W,3), or -1 if it is turned, blurred, broken, not RGB."""
    height, width, _ = image.shape
    upper = image[height // 8 : 3 * height // 8].mean(axis=0)  # (W,3)
    lower = image[5 * height // 8 : 7 * height // 8].mean(axis=0)
    middles = ((np.arange(COLUMNS) + 0.5) * width / COLUMNS).astype(int)
    difference = (upper - lower)[middles]  # (columns, 3)
    bits = (difference[:, 0] > 0).astype(int)
    clear = np.abs(difference[:, 0]) > 60
    tinted = difference[:, 0] * difference[:, 2] < 0  # red and blue go opposite ways
    if not (clear & tinted).all() or [*bits[:2], *bits[-2:]] != [0, 0, 1, 0]:
        return -1
    return int("".join(map(str, bits[2:12])), 2)


def numbers_in(clip) -> list[int]:
    """The number of each picture in a uint8 tensor (N,C,H,W)."""
    return [number_in(image) for image in clip.permute(0, 2, 3, 1).numpy()]


@contextlib.contextmanager
def same_scheduling() -> Iterator[None]:
    """Whatever goes on inside, this thread is scheduled afterwards as it was before.

    Run by root on Linux, SVT-AV1 makes the thread that opens it a real-time one, before which all
    others wait, and with it every process that it starts: JupyterLab and Chromium stood still.
    """
    if not hasattr(os, "sched_setscheduler"):  # not Linux
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def write_clip(
    path: Path,
    frames: int = 40,
    height: int = 96,
    width: int = 168,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict | None = None,
    ticks: list[int] | None = None,
    rate: int = 25,
    time_base: Fraction | None = None,
    turn: tuple[float, ...] = (),
    drawn=picture,
    container_options: dict | None = None,
    format: str | None = None,
) -> Path:
    """Write pictures 0..frames-1, drawn as RGB or RGBA; `ticks` are their times in units of
    `time_base`; `turn` is a, b, c, d of the display matrix, by which they are to be shown."""
    time_base = time_base or Fraction(1, rate)
    to_container = {"options": container_options or {}, "format": format}
    with same_scheduling(), av.open(str(path), "w", **to_container) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.pix_fmt, stream.height, stream.width = pix_fmt, height, width
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = time_base
        if turn:
            a, b, c, d = (round(number * 65536) for number in turn)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        for i in range(frames):
            image = np.ascontiguousarray(drawn(i, height, width))
            frame = av.VideoFrame.from_ndarray(image, "rgb24" if image.shape[2] == 3 else "rgba")
            frame.pts, frame.time_base = ticks[i] if ticks else i, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path: Path, seconds: float = 1) -> Path:
    """Silence, no video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        samples = np.zeros((1, int(16000 * seconds)), np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def decode_all(path: Path) -> np.ndarray:
    """Every picture in showing order, by PyAV from beginning to end: uint8 (N,H,W,3)."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])

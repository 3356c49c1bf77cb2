"""Rows of frames as one plain picture, for the notebooks' still figures."""

from collections.abc import Mapping

import numpy as np
import torch
from IPython import display

from vivit_lab.widgets.surface import Canvas, thumbnail


def film_strip(rows: Mapping[str, torch.Tensor | np.ndarray], side: int = 100) -> display.Image:
    """Frames in rows, each row under its title, as a small JPEG.

    Args:
        rows: title -> uint8 (N, 3, H, W), as VideoReader gives them.
        side: height of a frame in pixels of the picture.

    Example:
        >>> film_strip({"black": torch.zeros(4, 3, 60, 80, dtype=torch.uint8)}).format
        'jpeg'
    """
    strips = {title: np.asarray(clip).transpose(0, 2, 3, 1) for title, clip in rows.items()}
    widths = {title: side * clip.shape[2] / clip.shape[1] for title, clip in strips.items()}
    right = max(len(clip) * (widths[title] + 4) for title, clip in strips.items())
    canvas = Canvas(round(right) + 8, len(strips) * (side + 30) + 4)
    for row, (title, clip) in enumerate(strips.items()):
        top = row * (side + 30)
        canvas.text(4, top + 6, title, bold=True)
        for i, frame in enumerate(clip):
            image = thumbnail(np.ascontiguousarray(frame), widths[title], side)
            canvas.thumbnail(4 + i * (widths[title] + 4), top + 26, image)
    return display.Image(canvas.small_jpeg(), format="jpeg", width=canvas.width)

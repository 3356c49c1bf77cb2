"""The video that an explorer shows (sample, path or upload), and the controls to choose it."""

import contextlib
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import torch
from IPython import display

from vivit_lab.data import ArrowOfTime, sample, samples
from vivit_lab.video import VideoError, VideoReader, test_clips
from vivit_lab.widgets.canvas import Canvas, Picture
from vivit_lab.widgets.charts import plural
from vivit_lab.widgets.surface import REPORTED, Still, dropdown, look, message_html, one_at_a_time

MOST_FRAMES = 400  # that are remembered at one size
MOST_BYTES = 200 * 1024**2  # of an upload, which the browser sends through the kernel's memory
MOST_PIXELS = 400 * 1280 * 720  # of a video that is decoded whole, in a few seconds
LONGEST = 8  # sides: a longer and narrower picture would be huge once its short side is scaled
PATIENCE = 15.0  # seconds that a picture may take to decode
PIECE = 8  # frames; between two pieces the clock is looked at
STRIDE = 2  # of the frames in the middle of a video, as in the paper


class Footage:
    """A sample, file or upload whose frames are remembered: no slider decodes them again."""

    def __init__(self, source: str | Path | bytes, name: str | None = None, decode=None):
        if isinstance(source, str) and source in samples():
            source, name = sample(source), source
        self.video = VideoReader(source, name)
        height, width = self.video.height, self.video.width
        if max(height, width) > LONGEST * min(height, width):
            self.video.close()
            raise ValueError(
                f"{self.video.name}: a picture of {width} x {height} is too long and narrow to be "
                f"drawn here; one side may be at most {LONGEST} times the other."
            )
        self.name = Path(self.video.name).name  # of a path its last part, to be shown
        self._frames = {}  # short side -> {frame number: Picture}
        self._clip = functools.lru_cache(maxsize=8)(self._put_together)
        frames = self.video.num_frames
        self.is_large = frames > MOST_FRAMES or frames * height * width > MOST_PIXELS
        if decode and not self.is_large:  # nothing waits later
            with contextlib.suppress(VideoError):
                self.pictures(range(frames), decode)

    def clip(self, indices: Sequence[int], short_side: int, square: bool = False) -> "Clip":
        """Frames by number, the short side scaled; `square` keeps the middle only."""
        return self._clip(tuple(int(i) for i in indices), short_side, square)

    def middle(self, frames: int) -> list[int]:
        """The numbers of so many frames at stride 2, from the video's middle."""
        return test_clips(self.video.num_frames, 3, frames, STRIDE)[1].tolist()

    def middle_clip(self, frames: int, side: int) -> "Clip":
        return self.clip(self.middle(frames), side, square=True)

    def pictures(self, indices: Sequence[int], short_side: int) -> list[Picture]:
        """Frames by number for a canvas; after a TimeoutError the next try goes on from there."""
        indices = [int(i) for i in indices]
        known = self._frames.setdefault(short_side, {})
        if len(known.keys() | set(indices)) > MOST_FRAMES:
            known.clear()
        missing = sorted(set(indices) - known.keys())
        video, started = self.video, time.monotonic()
        size = PIECE if self.is_large else MOST_FRAMES
        for first in range(0, len(missing), size):
            if first and time.monotonic() - started > PATIENCE:
                raise TimeoutError(
                    f"{video.name}: {video.width} x {video.height} pixels take long to decode: "
                    f"{first} of {len(missing)} frames in {PATIENCE:.0f} s. They are kept: move a "
                    "slider to go on; or take fewer frames, or a smaller copy of the video."
                )
            piece = missing[first : first + size]
            frames = video.read(piece, short_side=short_side).permute(0, 2, 3, 1).numpy()
            known.update(zip(piece, map(Picture, frames), strict=True))
        return [known[i] for i in indices]

    def _put_together(self, indices: tuple[int, ...], short_side: int, square: bool) -> "Clip":
        pixels = np.stack([each.pixels for each in self.pictures(indices, short_side)])
        if square:
            top, left = (pixels.shape[1] - short_side) // 2, (pixels.shape[2] - short_side) // 2
            pixels = pixels[:, top : top + short_side, left : left + short_side]
        return Clip(pixels)


class Clip:
    """Decoded frames, uint8 (T, H, W, 3)."""

    def __init__(self, pixels: np.ndarray):
        self.pixels = np.ascontiguousarray(pixels)  # not to be written into

    @classmethod
    def of(cls, frames: torch.Tensor) -> "Clip":  # uint8 (T, C, H, W)
        return cls(frames.permute(0, 2, 3, 1).numpy())

    def frames(self) -> torch.Tensor:  # uint8 (T, C, H, W)
        return torch.from_numpy(self.pixels).permute(0, 3, 1, 2)

    @functools.cached_property
    def pictures(self) -> list[Picture]:
        return [Picture(frame) for frame in self.pixels]

    def __len__(self) -> int:
        return len(self.pixels)


@functools.lru_cache(maxsize=32)
def arrow_clip(name: str, number: int, frames: int, size: int) -> Clip:
    """One of 20 clips of a class of Arrow of Time: the same scene at any size."""
    classes = ArrowOfTime.classes
    dataset = ArrowOfTime(20 * len(classes), frames, size, seed=3)
    return Clip.of(dataset[number * len(classes) + classes.index(name)][0])


def film_strip(rows: Mapping[str, torch.Tensor | np.ndarray], side: int = 100) -> display.Image:
    """Frames in rows, each row under its title, as a small JPEG.

    Args:
        rows: title -> uint8 (N, 3, H, W), as VideoReader gives them.
        side: height of a frame in pixels of the picture.

    Example:
        >>> film_strip({"black": torch.zeros(4, 3, 60, 80, dtype=torch.uint8)}).format
        'jpeg'
    """
    clips = {title: Clip.of(torch.as_tensor(frames)) for title, frames in rows.items()}
    widths = [side * clip.pixels.shape[2] / clip.pixels.shape[1] for clip in clips.values()]
    lengths = [len(clip) * (w + 4) for clip, w in zip(clips.values(), widths, strict=True)]
    canvas = Canvas(round(max(lengths)) + 8, len(clips) * (side + 30) + 4)
    counts = (f"{title} ({plural(len(clip), 'frame')})" for title, clip in clips.items())
    canvas.words = f"Frames in rows: {'; '.join(counts)}."
    for row, ((title, clip), width) in enumerate(zip(clips.items(), widths, strict=True)):
        top = row * (side + 30)
        canvas.text(4, top + 6, title, bold=True)
        for i, picture in enumerate(clip.pictures):
            canvas.frame(4 + i * (width + 4), top + 26, width, side, picture)
    return Still(canvas)


class FootagePicker:
    """Drop-down of samples, a folded part for a video of one's own, and a message.

    `footage` is the video in use, named in the drop-down; a file that cannot be read leaves it as
    it was. `decode`: the short side at which a small video is decoded at once.
    """

    def __init__(self, clip: str | Path, on_change: Callable[[], None], decode: int | None = None):
        self._on_change, self._decode, self._own = on_change, decode, None
        self.name = dropdown("clip", samples())
        self.name.layout = widgets.Layout(flex="1 1 0", width="auto", min_width="0")
        tip = "Choose a video of your own, by its path or by an upload"
        self.fold = widgets.ToggleButton(description="own …", tooltip=tip)
        self.fold.layout = widgets.Layout(width="64px", flex="none")
        empty = {"placeholder": "path of a video on this machine", "continuous_update": False}
        self.path = widgets.Text(description="path", **empty, **look())
        self.upload = widgets.FileUpload(accept="video/*,.gif", description="or upload a video")
        self.upload.layout = widgets.Layout(width="calc(98% - 104px)", margin="2px 0 0 104px")
        self.folded = widgets.VBox([self.path, self.upload], layout=widgets.Layout(display="none"))
        self.message = widgets.HTML()
        first = widgets.HBox([self.name, self.fold], layout=widgets.Layout(width="98%"))
        self.ui = widgets.VBox([first, self.folded, self.message])
        self.name.observe(self._on_name, "value")
        self._take(Footage(clip, decode=decode))
        self.fold.observe(self._on_fold, "value")
        self.path.observe(lambda change: self.choose_path(change["new"]), "value")
        self.upload.observe(lambda change: self.choose_upload(change["new"]), "value")

    @one_at_a_time
    def choose(self, source: str | Path | bytes, name: str | None = None) -> None:
        """Take another video: name of a sample, path, or bytes."""
        try:
            footage = Footage(source, name, self._decode)
        except REPORTED as error:
            self._say(str(error))
        else:
            self._take(footage)
            self._on_change()

    def _take(self, footage: Footage) -> None:
        self.footage, self.message.value = footage, ""
        if footage.name not in samples():
            self._own = footage
        self.name.unobserve(self._on_name, "value")
        with self.name.hold_sync():
            self.name.options = [*samples(), *([self._own.name] if self._own else [])]
            self.name.value = footage.name
        self.name.observe(self._on_name, "value")

    @one_at_a_time
    def _on_name(self, change: dict) -> None:
        for footage in filter(None, (self.footage, self._own)):
            if footage.name == change["new"]:
                self._take(footage)
                return self._on_change()
        if change["new"]:  # a moving shape takes the video's place: no name
            self.choose(change["new"])

    def _say(self, reason: str) -> None:
        still = f" The picture still shows {self.name.value}." if self.name.value else ""
        self.message.value = message_html(reason + still)

    def _on_fold(self, change: dict) -> None:
        self.folded.layout.display = None if change["new"] else "none"

    def choose_path(self, path: str) -> None:
        if path.strip():
            self.choose(Path(path.strip().strip("'\"")).expanduser())

    @one_at_a_time
    def choose_upload(self, files: Sequence[dict]) -> None:
        for file in files:
            size = max(file["size"], len(file["content"]))
            if size > MOST_BYTES:
                self._say(
                    f"{file['name']}: an upload of {size / 1024**2:.0f} MB is too large to "
                    f"go through the browser; up to {MOST_BYTES // 1024**2} MB will do. Type the "
                    "file's path instead."
                )
            else:
                self.choose(bytes(file["content"]), name=file["name"])
        self.upload.value = ()  # or the same file could not be uploaded again

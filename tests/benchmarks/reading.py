"""The reader beside named peers in the same run, on four kinds of file that it renders itself.

    make bench            or            python tests/benchmarks/reading.py --turns 30

Three tasks, each from a closed file to pixels in memory, as a loader meets a video that it has not
seen before: a training clip (32 of 64 frames at a random start, short side 256, centre crop 224,
uint8), the paper's 12 views of a 10 s video (4 clips x 3 crops), and one frame. All on one thread.
Contestants take turns. Reported: the median of each one's CPU milliseconds, the median of the
ratios turn by turn, the peak memory of each in a process of its own, and whether its frames were
those asked for: nearer to the true frame than to either neighbour.

The files (artefacts/reading, kept for the next run, 2 minutes to make) show texture that moves
under noise, coded by x264 as it does by default, with B pictures.
"""

import argparse
import importlib.metadata
import itertools
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import av
import numpy as np
import torch
from measuring import cpu_seconds, load, peak_megabytes, print_peak, ratio, take_turns, usable
from torchvision.transforms import v2 as transforms

from vivit_lab.video import VideoReader, resized_size, test_clips, three_crops
from vivit_lab.video.decoder import forget_lists

FOLDER = Path(__file__).parents[2] / "artefacts" / "reading"
FILES = {  # name: (width, height, seconds, frames a group: what x264 does by default, or less)
    "340x256, GOP 12": (340, 256, 10, 12),
    "340x256, GOP 250": (340, 256, 10, 250),
    "1280x720": (1280, 720, 10, 250),
    "640x360, 60 s": (640, 360, 60, 250),
}
RATE, SHORT, CROP = 30, 256, 224


# --- the files ---


def render(path: Path, width: int, height: int, seconds: int, group: int) -> None:
    """A textured scene that the camera pans over, a second that crosses it, and sensor noise."""
    random = np.random.default_rng(0)
    scene = texture(random, height + 64, width + 256)
    walker = 255 - texture(random, height // 2, width // 4)
    noise = random.normal(0, 3, (8, height, width, 1)).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"g": str(group)})
        stream.pix_fmt, stream.width, stream.height = "yuv420p", width, height
        for i in range(seconds * RATE):
            x, y = (np.array([128 + 127 * np.sin(i / 40), 32 + 31 * np.cos(i / 25)])).astype(int)
            image = scene[y : y + height, x : x + width].copy()
            left = 3 * i % (width - width // 4)
            image[height // 4 : height // 4 + height // 2, left : left + width // 4] = walker
            image = np.clip(image + noise[i % 8], 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def texture(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """float32 (H,W,3): noise at several scales, as in foliage or clothes."""
    image = torch.zeros(1, 3, height, width)
    for cell in (4, 16, 64):
        coarse = random.normal(0, 1, (1, 3, height // cell + 2, width // cell + 2))
        coarse = torch.from_numpy(coarse.astype(np.float32))
        image += cell**0.5 * torch.nn.functional.interpolate(
            coarse, (height, width), mode="bicubic"
        )
    return np.clip(128 + 12 * image[0].permute(1, 2, 0).numpy(), 0, 255)


def file(name: str) -> Path:
    """One of FILES; it is rendered the first time."""
    path = FOLDER / ("_".join(map(str, FILES[name])) + ".mp4")
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        print(f"rendering {path.name} ...", flush=True)
        half = path.with_suffix(".half.mp4")
        render(half, *FILES[name])
        half.rename(path)  # so that an interrupted run leaves no half a file
    return path


def size_of(name: str) -> tuple[int, int]:
    """(height, width) to which its frames are scaled."""
    width, height, *_ = FILES[name]
    return resized_size(height, width, SHORT)


# --- the contestants: (path, frame numbers, size or None) -> uint8 (N,3,H,W) ---
# Each is told the size (height, width) beforehand, which spares some of them a look at the file.


def ours(path, numbers, size, box=None) -> torch.Tensor:
    with VideoReader(path) as video:
        return video.read(numbers, short_side=size and min(size), crop=box)


def torchcodec(mode: str, resize_later: bool = False) -> Callable:
    from torchcodec.decoders import VideoDecoder

    def read(path, numbers, size):
        steps = [transforms.Resize(size)] if size and not resize_later else None
        decoder = VideoDecoder(str(path), seek_mode=mode, num_ffmpeg_threads=1, transforms=steps)
        frames = decoder.get_frames_at(numbers).data
        return shrunk(frames, size) if resize_later else frames

    return read


def decord() -> Callable:
    from decord import VideoReader as Reader

    def read(path, numbers, size):
        height, width = size or (-1, -1)
        video = Reader(str(path), num_threads=1, width=width, height=height)
        return torch.from_numpy(video.get_batch(numbers).asnumpy()).permute(0, 3, 1, 2)

    return read


def opencv() -> Callable:
    import cv2

    cv2.setNumThreads(1)

    def read(path, numbers, size):
        video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        video.set(cv2.CAP_PROP_POS_FRAMES, numbers[0])
        here, pictures = numbers[0], {}
        for number in sorted(set(numbers)):
            while here <= number:
                video.grab()
                here += 1
            _, image = video.retrieve()
            if size:
                image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
            pictures[number] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        clip = np.stack([pictures[number] for number in numbers])
        return torch.from_numpy(clip).permute(0, 3, 1, 2)

    return read


def naive(path, numbers, size) -> torch.Tensor:
    """Decode all, then pick: as tutorials do."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        frames = list(container.decode(video=0))
        picked = np.stack([frames[number].to_ndarray(format="rgb24") for number in numbers])
    return shrunk(torch.from_numpy(picked).permute(0, 3, 1, 2), size)


def shrunk(clip: torch.Tensor, size: tuple[int, int] | None) -> torch.Tensor:
    return transforms.functional.resize(clip, list(size), antialias=True) if size else clip


CONTESTANTS = {
    "ours": lambda: ours,
    "torchcodec, approximate": lambda: torchcodec("approximate"),
    "torchcodec, exact": lambda: torchcodec("exact"),
    "torchcodec, resized later": lambda: torchcodec("approximate", resize_later=True),
    "decord": decord,
    "OpenCV": opencv,
    "PyAV, decode all": lambda: naive,
}
PACKAGES = "torch", "av", "torchcodec", "decord", "opencv-python-headless"


# --- the tasks: (contestant, path, a first frame, size) -> what a loader would keep ---


def clip(read: Callable, path: Path, start: int, size: tuple[int, int]) -> torch.Tensor:
    """(T,C,224,224): 32 of 64 frames, the centre."""
    top, left = (size[0] - CROP) // 2, (size[1] - CROP) // 2
    numbers = list(range(start, start + 64, 2))
    if read is ours:  # cuts while it reads; the others have nothing for that
        return read(path, numbers, size, (top, left, CROP, CROP))
    return crop(read(path, numbers, size), top, left)


def views(read: Callable, path: Path, start: int, size: tuple[int, int]) -> torch.Tensor:
    """(views,T,C,224,224): 4 clips, evenly spaced, x 3 crops along the long side."""
    numbers = test_clips(10 * RATE, clips=4)  # (4,32)
    frames = read(path, numbers.flatten().tolist(), size)
    parts = [crop(frames, *corner) for corner in three_crops(*size, CROP)]
    return torch.stack(parts).unflatten(1, numbers.shape)


def one_frame(read: Callable, path: Path, start: int, size: tuple[int, int]) -> torch.Tensor:
    """(1,C,H,W): the first one, in its own size."""
    return read(path, [0], None)


def crop(frames: torch.Tensor, top: int, left: int) -> torch.Tensor:
    """Copied, in the decoders' own order of memory."""
    part = frames[:, :, top : top + CROP, left : left + CROP]
    return part.clone(memory_format=torch.channels_last)


TASKS = {"clip": clip, "views": views, "one frame": one_frame}


def wrong_frames(read: Callable, path: Path, size: tuple[int, int]) -> int:
    """How many of a clip are not clearly nearer to the true frame than to its neighbours."""
    height, width = size
    to_pixels = {"format": "rgb24", "width": width, "height": height, "interpolation": "BILINEAR"}
    with av.open(str(path)) as container:
        frames = itertools.islice(container.decode(video=0), 100)
        true = [frame.to_ndarray(**to_pixels).astype(int) for frame in frames]
    numbers, wrong = range(30, 94, 2), 0
    for number, frame in zip(numbers, read(path, list(numbers), size), strict=True):
        near = range(number - 1, number + 2)
        image = frame.permute(1, 2, 0).numpy()
        wrong += min(near, key=lambda n, image=image: np.abs(image - true[n]).mean()) != number
    return wrong


def take_part(name: str, task: str, contestants: dict[str, Callable], turns: int) -> None:
    """Time a task on a file, and print how long each took."""
    starts = np.random.default_rng(1).integers(1, FILES[name][2] * RATE - 65, turns).tolist()

    def timed(read: Callable, first: Iterator[int]) -> float:
        forget_lists()  # as if the file was never seen
        return cpu_seconds(TASKS[task], read, file(name), next(first), size_of(name))

    measures = {who: partial(timed, read, iter(starts)) for who, read in contestants.items()}
    seconds = take_turns(measures, turns)
    print(f"\n{name}, {task}, {turns} turns, {load()}")
    for who, values in seconds.items():
        middle = 1000 * statistics.median(values)
        print(f"  {who:26} {middle:7.1f} ms CPU, {ratio(values, seconds['ours'])} times ours")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--only", choices=FILES, nargs="+", default=list(FILES))
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak:
        read, name = CONTESTANTS[options.peak[0]](), options.peak[1]
        return print_peak(lambda: clip(read, file(name), 100, size_of(name)))

    def tried(make: Callable) -> Callable:
        read = make()
        read(file(options.only[0]), [0], None)
        return read

    contestants = usable(CONTESTANTS, tried)
    installed = {found.name: found.version for found in importlib.metadata.distributions()}
    print("Reading on one thread:", *(f"{each} {installed.get(each)}," for each in PACKAGES))
    for name in options.only:
        for who, read in contestants.items():
            wrong = wrong_frames(read, file(name), size_of(name))
            print(f"{name}: {who}: {f'{wrong} of 32 frames WRONG' if wrong else 'all right'}")
        for task in TASKS:
            if task != "views" or FILES[name][2] == 10:
                take_part(name, task, contestants, options.turns)
        print(f"\n{name}, clip, peak memory over the imports")
        for who in contestants:
            print(f"  {who:26} {peak_megabytes(who, name):7.0f} MB", flush=True)
        print()
    return None


if __name__ == "__main__":
    main()

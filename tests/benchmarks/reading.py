"""The reader beside named peers in the same run, on four kinds of file that it renders itself.

    make bench            or            python tests/benchmarks/reading.py --repeats 30

Three tasks, each from a closed file to pixels in memory, as a loader meets a video that it has not
seen before: a training clip (32 of 64 frames at a random start, short side 256, centre crop 224,
uint8), the paper's 12 views of a 10 s video (4 clips x 3 crops), and one frame. All on one thread.
Contestants take turns (A B C A B C ...), so that a change in the machine's load meets all alike.
Reported: the median of each one's CPU milliseconds, the median of the ratios turn by turn, the peak
memory of each in a process of its own, and whether its frames were those asked for: nearer to the
true frame than to either neighbour.

The files (artefacts/reading, kept for the next run, 2 minutes to make) show texture that moves
under noise, coded by x264 as it does by default, with B pictures.
"""

import argparse
import importlib.metadata
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import torch
from torchvision.transforms.v2 import functional as transforms

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


def files() -> dict[str, Path]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, size in FILES.items():
        path = paths[name] = FOLDER / ("_".join(map(str, size)) + ".mp4")
        if not path.exists():
            print(f"rendering {path.name} ...", flush=True)
            half = path.with_suffix(".half.mp4")
            render(half, *size)
            half.rename(path)  # so that an interrupted run leaves no half a file
    return paths


# --- the contestants: (path, frame numbers, size or None) -> uint8 (N,3,H,W) ---
# Each is told the size (height, width) beforehand, which spares some of them a look at the file.


def ours(
    path: Path, numbers: list[int], size: tuple[int, int] | None, box: tuple | None = None
) -> torch.Tensor:
    with VideoReader(path) as video:
        return video.read(numbers, short_side=size and min(size), crop=box)


def torchcodec(mode: str, resize_later: bool = False) -> Callable:
    from torchcodec.decoders import VideoDecoder
    from torchvision.transforms.v2 import Resize

    def read(path, numbers, size):
        steps = [Resize(size)] if size and not resize_later else None
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
        video.release()
        clip = np.stack([pictures[number] for number in numbers])
        return torch.from_numpy(clip).permute(0, 3, 1, 2)

    return read


def naive() -> Callable:
    """Decode all, then pick: as tutorials do."""

    def read(path, numbers, size):
        with av.open(str(path)) as container:
            container.streams.video[0].codec_context.thread_count = 1
            frames = list(container.decode(video=0))
            picked = np.stack([frames[number].to_ndarray(format="rgb24") for number in numbers])
        return shrunk(torch.from_numpy(picked).permute(0, 3, 1, 2), size)

    return read


def shrunk(clip: torch.Tensor, size: tuple[int, int] | None) -> torch.Tensor:
    return transforms.resize(clip, list(size), antialias=True) if size else clip


CONTESTANTS = {
    "ours": lambda: ours,
    "torchcodec, approximate": lambda: torchcodec("approximate"),
    "torchcodec, exact": lambda: torchcodec("exact"),
    "torchcodec, resized later": lambda: torchcodec("approximate", resize_later=True),
    "decord": decord,
    "OpenCV": opencv,
    "PyAV, decode all": naive,
}
PACKAGES = ("torch", "av", "torchcodec", "decord", "opencv-python-headless", "opencv-python")


def usable(path: Path) -> dict[str, Callable]:
    """The contestants that can read a frame here; the others are named, with the reason."""
    found = {}
    for name, make in CONTESTANTS.items():
        try:
            read = make()
            read(path, [0], None)
            found[name] = read
        except Exception as error:  # not installed, or a library that it needs is not
            reason, *_ = re.split(r"\n|\. ", str(error).strip())
            print(f"{name} is left out: {reason}")
    return found


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
    corners = three_crops(*frames.shape[2:], CROP)
    parts = [crop(frames, top, left) for top, left in corners]
    return torch.stack(parts).unflatten(1, numbers.shape)


def one_frame(read: Callable, path: Path, start: int, size: tuple[int, int]) -> torch.Tensor:
    """(1,C,H,W): the first one, in its own size."""
    return read(path, [0], None)


def crop(frames: torch.Tensor, top: int, left: int) -> torch.Tensor:
    """Copied, in the decoders' own order of memory."""
    part = frames[:, :, top : top + CROP, left : left + CROP]
    return part.clone(memory_format=torch.channels_last)


TASKS = {"clip": clip, "views": views, "one frame": one_frame}


# --- whether the frames are those asked for ---


def wrong_frames(read: Callable, path: Path, numbers: list[int], size: tuple[int, int]) -> int:
    """How many are not clearly nearer to the true frame than to its neighbours."""
    with av.open(str(path)) as container:
        around = {number + step for number in numbers for step in (-1, 0, 1)}
        true = {i: f for i, f in enumerate(container.decode(video=0)) if i in around}
    frames = read(path, numbers, size)
    wrong = 0
    for number, frame in zip(numbers, frames, strict=True):
        image = frame.permute(1, 2, 0).numpy().astype(int)
        off = {n: distance(image, true[n], size) for n in (number - 1, number, number + 1)}
        wrong += min(off, key=off.get) != number
    return wrong


def distance(image: np.ndarray, frame: av.VideoFrame, size: tuple[int, int]) -> float:
    height, width = size
    true = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="BILINEAR")
    return np.abs(image - true).mean()


# --- time and memory ---


def cpu_seconds(call: Callable, *arguments: object) -> float:
    start = time.process_time()
    call(*arguments)
    return time.process_time() - start


def take_turns(task: str, path: Path, size, starts: list[int], contestants: dict) -> dict:
    seconds = {name: [] for name in contestants}
    for start in starts:
        for name, read in contestants.items():
            forget_lists()  # as if the file was never seen
            seconds[name].append(cpu_seconds(TASKS[task], read, path, start, size))
    return seconds


def report(title: str, seconds: dict[str, list[float]]) -> None:
    print(f"\n{title}, {len(seconds['ours'])} turns, load {os.getloadavg()[0]:.1f}")
    for name, values in seconds.items():
        ratios = [theirs / mine for theirs, mine in zip(values, seconds["ours"], strict=True)]
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"  {name:26} {1000 * statistics.median(values):7.1f} ms CPU, {ratio} times ours")


def peak_megabytes(name: str, path: Path, size: tuple[int, int]) -> float:
    """Peak memory of one clip in a process of its own, over that of its imports."""
    command = [sys.executable, __file__, "--peak", name, str(path), *map(str, size)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_peak(name: str, path: str, height: str, width: str) -> None:
    torch.set_num_threads(1)
    read = CONTESTANTS[name]()
    before = high_water()
    clip(read, Path(path), 100, (int(height), int(width)))
    print(high_water() - before)


def high_water() -> float:
    """The most memory that this process ever held, in MB. (getrusage would tell the parent's.)"""
    status = Path("/proc/self/status").read_text()  # Linux only
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def versions() -> str:
    known = {found.name: found.version for found in importlib.metadata.distributions()}
    return ", ".join(f"{name} {known[name]}" for name in PACKAGES if name in known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--only", choices=FILES, nargs="+", default=list(FILES))
    parser.add_argument("--tasks", choices=TASKS, nargs="+", default=list(TASKS))
    parser.add_argument("--peak", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        return print_peak(*options.peak)
    torch.set_num_threads(1)
    paths = files()
    contestants = usable(next(iter(paths.values())))
    print(f"Reading on one thread: {versions()}")
    for kind in options.only:
        path, (width, height, seconds, _) = paths[kind], FILES[kind]
        size = resized_size(height, width, SHORT)
        random = np.random.default_rng(1)
        starts = random.integers(1, seconds * RATE - 65, options.repeats).tolist()
        numbers = list(range(starts[0], starts[0] + 64, 2))
        for name, read in contestants.items():
            wrong = wrong_frames(read, path, numbers, size)
            print(
                f"{kind}: {name}: " + (f"{wrong} WRONG of 32" if wrong else "all 32 frames right")
            )
        for task in options.tasks:
            if task == "views" and seconds > 10:
                continue
            report(f"{kind}, {task}", take_turns(task, path, size, starts, contestants))
        print(f"\n{kind}, clip, peak memory over the imports")
        for name in contestants:
            print(f"  {name:26} {peak_megabytes(name, path, size):7.0f} MB", flush=True)
        print()
    return None


if __name__ == "__main__":
    main()

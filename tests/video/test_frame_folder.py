"""A folder of numbered pictures reads like a video, or an error names the picture."""

import os
import struct
import zlib

import numpy as np
import pytest
import torch
from clips import numbers_in, picture, write_clip
from PIL import Image

from vivit_lab.video import FrameFolder, VideoError, VideoReader, open_source

FACE = ["num_frames", "fps", "duration", "times", "height", "width", "pixel_aspect"]
PADDED, TEN = "frame_{:010d}.png", range(1, 11)


def write_frames(folder, numbers=TEN, name=PADDED, height=96, width=168):
    folder.mkdir(exist_ok=True)
    for number in numbers:
        Image.fromarray(picture(number, height, width)).save(folder / name.format(number))
    return folder


def test_the_pictures_come_in_the_order_of_their_numbers(tmp_path):
    names = PADDED, "{}.png", "img_{:05d}.jpg", "v2_clip {{7}}%d_{:03d}.JPG", "a{:02d}.webp"
    for name in names:
        for first in (0, 1):
            folder = write_frames(tmp_path / f"{first}{name}", range(first, first + 12), name)
            with FrameFolder(folder, fps=25) as video:
                assert video.num_frames == 12 and video.key_frames == list(range(12))
                wanted = [11, 0, 3, 3, 9]
                assert numbers_in(video.read(wanted)) == [first + n for n in wanted]


def test_it_has_the_face_of_a_video_and_open_source_takes_either(tmp_path):
    folder = write_frames(tmp_path / "f", range(10))
    clip = write_clip(tmp_path / "clip.mp4", frames=10, options={"crf": "1"})
    with open_source(folder, fps=25) as frames, open_source(clip) as video:
        assert isinstance(frames, FrameFolder) and isinstance(video, VideoReader)
        for name in FACE:
            assert np.allclose(getattr(frames, name), getattr(video, name)), name
        ours, theirs = frames.read([2, 5], short_side=48), video.read([2, 5], short_side=48)
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        assert ours.stride() == theirs.stride()
        assert numbers_in(ours) == numbers_in(theirs) == [2, 5]
        assert (ours.float() - theirs.float()).abs().mean() < 6
        for top, left, height, width in ((0, 0, 48, 84), (8, 3, 5, 80)):
            part = frames.read([2, 5], short_side=48, crop=(top, left, height, width))
            assert torch.equal(part, ours[..., top : top + height, left : left + width])
        assert frames.read(torch.tensor([], dtype=torch.int64)).shape == (0, 3, 96, 168)
        for wrong, options, error in (
            ([10], {}, IndexError),
            ([-1], {}, IndexError),
            ([0.5], {}, TypeError),
            ([2], {"crop": (0, 0, 97, 10)}, ValueError),
        ):
            words = []
            for reader in (frames, video):
                with pytest.raises(error) as caught:
                    reader.read(wrong, **options)
                words.append(str(caught.value).removeprefix(f"{reader.name}: "))
            assert words[0] == words[1]


def test_gaps_numbers_that_are_there_twice_and_two_series(tmp_path):
    for number, (pattern, parts, says) in enumerate((
        ("*", {PADDED: [1, 2, 4]}, "frame_0000000003.png is missing, but later pictures"),
        ("*", {PADDED: [5, 6, 7]}, "frame_0000000001.png is missing, but later pictures"),
        ("*", {}, "no numbered picture"),
        ("*", {"{:02d}.png": range(3), "{}.png": [1]}, "twice"),
        ("*", {PADDED: [0], "flow_{:03d}.png": [0]}, r"flow_\*.png and frame_\*.png; choose one"),
        ("x_*", {PADDED: [0], "flow_{:03d}.png": [0]}, "'x_"),
    )):  # fmt: skip
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, numbers in parts.items():
            write_frames(folder, numbers, name, 16, 24)
        with pytest.raises(VideoError, match=says) as error:
            FrameFolder(folder, fps=25, pattern=pattern)
        assert str(error.value).startswith(str(folder))


def test_a_pattern_chooses_other_files_do_not_matter_and_an_added_picture_is_seen(tmp_path):
    folder = write_frames(tmp_path / "f", range(3))
    for name in ("notes.txt", ".frame_0000000009.png", "Thumbs.db"):
        (folder / name).write_text("x")
    assert FrameFolder(folder, fps=25).num_frames == 3
    write_frames(folder, [3])
    os.utime(folder, ns=(0, 10**18))
    assert FrameFolder(folder, fps=25).num_frames == 4
    write_frames(folder, range(6), "flow_{:03d}.png")
    os.utime(folder, ns=(0, 2 * 10**18))
    assert FrameFolder(folder, fps=25, pattern="flow_*").num_frames == 6


def huge(data: bytes, width: int) -> bytes:
    """A PNG whose header claims another size."""
    header = b"IHDR" + struct.pack(">II", width, 10_000) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def test_a_bad_picture_is_named(tmp_path):
    folder = write_frames(tmp_path / "f")
    path = folder / PADDED.format(5)
    data = path.read_bytes()
    video = FrameFolder(folder, fps=25)
    for bad, says in (
        (data[: len(data) // 2], "is damaged"),
        (b"", "is no picture"),
        (b"this is no picture", "is no picture"),
        (huge(data, 7000), "over the limit of 67,108,864"),
        (huge(data, 70_000), "over the limit of 67,108,864"),
        (picture(5, 48, 84), "has 48x84 pixels, but the first picture 96x168"),
        (np.zeros((96, 168), np.uint16), "more than 8 bits"),
        (None, "does not exist any more, or is not an ordinary file"),
        (os.mkfifo, "does not exist any more, or is not an ordinary file"),
    ):
        path.unlink(missing_ok=True)
        if isinstance(bad, bytes):
            path.write_bytes(bad)
        elif isinstance(bad, np.ndarray):
            Image.fromarray(bad).save(path)
        elif bad:
            bad(path)
        with pytest.raises(VideoError, match=says) as error:
            video.read([0, 4])
        assert path.name in str(error.value) and str(folder) in str(error.value)
        assert numbers_in(video.read([3, 5])) == [4, 6]  # its neighbours are still there


def test_a_picture_is_turned_upright_and_any_kind_of_8_bits_becomes_rgb(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    upright = Image.fromarray(picture(77))
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "0.jpg", exif=exif, quality=95)
    with FrameFolder(tmp_path, fps=25) as video:
        assert (video.height, video.width) == (96, 168)
        assert numbers_in(video.read([0])) == [77]
    for number, mode in enumerate(["L", "P", "RGBA", "1"]):
        Image.new("RGB", (8, 6), "white").convert(mode).save(tmp_path / f"{number}.png")
    with FrameFolder(tmp_path, fps=25, pattern="*.png") as video:
        assert video.read(range(4)).unique().tolist() == [255]


def test_closed_and_wrong_arguments(tmp_path):
    folder = write_frames(tmp_path / "f")
    video = FrameFolder(folder, fps=25)
    video.close()
    video.close()
    for call, error, words in (
        (lambda: video.read([0]), VideoError, "closed"),
        (lambda: FrameFolder(tmp_path / "nothing", fps=25), VideoError, "cannot be read"),
        (lambda: open_source(folder), ValueError, "frame rate"),
        (lambda: open_source(tmp_path / "nothing.mp4"), VideoError, "no such file"),
        *((lambda n=n: FrameFolder(folder, n), ValueError, "fps") for n in (0, -1, float("nan"))),
        *((lambda n=n: FrameFolder(folder, n), TypeError, "fps") for n in ("25", None, True)),
    ):
        with pytest.raises(error, match=words):
            call()

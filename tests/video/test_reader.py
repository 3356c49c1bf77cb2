"""VideoReader: exactly the frame asked for, or an error that names the file and the reason."""

import subprocess
import sys
import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from clips import decode_all, numbers_in, write_clip
from family import FAMILY
from family_judge import READ
from family_making import Workshop, remux

from vivit_lab.video import VideoError, VideoReader, resized_size
from vivit_lab.video.decoder import BEGINNING, Decoder

UNEVEN = np.cumsum([0, *np.random.default_rng(0).choice([17, 33, 41, 100, 250], 39)]).tolist()
X264 = {"bf": "3", "g": "12", "x264-params": "b-adapt=0"}
KINDS = ("h264_b_pictures.mp4", "h264_open_gop", "h264_16", "h264_444")
KINDS += ("mpeg1", "vp8.webm", "gif_local")
PAIRS = {"ticks": [1000 * (i // 2) + i % 2 for i in range(40)], "time_base": Fraction(1, 10_000)}
PAIRS["options"] = {**X264, "g": "5"}  # so that some pairs begin before a key picture


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Some files of the family, by name."""
    workshop = Workshop(tmp_path_factory.mktemp("family"))
    kinds = {entry.name: entry.write(workshop) for entry in FAMILY if entry.name.startswith(KINDS)}
    return {**kinds, "pairs.mkv": write_clip(workshop.new("pairs.mkv"), **PAIRS)}


@pytest.fixture(scope="module")
def basic(tmp_path_factory):
    """40 numbered pictures with B pictures, a key picture at least every 12."""
    return write_clip(tmp_path_factory.mktemp("clips") / "b_pictures.mp4", options=X264)


# --- exact frames ---


def as_images(clip):
    """(N,C,H,W) as an array (N,H,W,C)."""
    return clip.permute(0, 2, 3, 1).numpy()


def test_every_kind_of_file_reads_exactly(kinds):
    """To the pixel as PyAV decodes it; which picture is which, the family tells of many more."""
    for path in kinds.values():
        truth, random = decode_all(path), np.random.default_rng(1)
        with VideoReader(path) as video:
            count = video.num_frames
            assert count == len(truth) == len(video.times), path
            assert (np.diff(video.times) >= 0).all()
            alone = [[int(i)] for i in random.permutation(count)[:10]]
            some = random.integers(0, count, 7), random.permutation(count), range(count)
            for indices in [*alone, *some, [count - 1, 0, count - 1]]:
                frames = video.read(indices)
                assert frames.dtype == torch.uint8
                assert np.array_equal(as_images(frames), truth[list(indices)]), path


def test_numbers_and_sources_of_every_kind(basic):
    data = basic.read_bytes()
    with VideoReader(basic) as video, VideoReader(memoryview(data), name="my.mp4") as upload:
        for indices in (np.array([3, 1]), torch.tensor([3, 1]), range(3, 0, -2), (3, np.int32(1))):
            assert numbers_in(video.read(indices)) == [3, 1]
        assert video.read([]).shape == (0, 3, 96, 168)
        assert upload.name == "my.mp4" and VideoReader(data).name == "upload"
        assert torch.equal(upload.read([11, 2]), video.read([11, 2]))


TURNS = {  # a, b, c, d of the display matrix, and what they make of a picture
    (1, 0, 0, 1): lambda image: image,
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),  # a quarter turn clockwise
    (-1, 0, 0, -1): lambda image: np.rot90(image, 2),
    (0, -1, 1, 0): lambda image: np.rot90(image, 1),
    (-1, 0, 0, 1): lambda image: image[:, ::-1],
    (1, 0, 0, -1): lambda image: image[::-1],
    (0, 1, 1, 0): lambda image: image.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda image: np.rot90(image, 2).transpose(1, 0, 2),
}


def test_pictures_are_turned_scaled_and_cropped_as_the_file_and_the_caller_ask(tmp_path):
    for turn, shown in TURNS.items():
        path = write_clip(tmp_path / "turned.mp4", frames=8, turn=turn, options=X264)
        truth = np.stack([shown(image) for image in decode_all(path)])
        with av.open(str(path)) as container:
            third = list(container.decode(video=0))[2]
        with VideoReader(path) as video:
            assert (video.height, video.width) == truth.shape[1:3], turn
            assert np.array_equal(as_images(video.read([4, 1])), truth[[4, 1]])
            whole = video.read([6, 2], short_side=48)
            height, width = whole.shape[2:]
            for crop in ((0, 0, height, width), (5, 7, 20, 30), (height - 1, width - 1, 1, 1)):
                rows, columns = slice(crop[0], crop[0] + crop[2]), slice(crop[1], crop[1] + crop[3])
                part = video.read([6, 2], short_side=48, crop=crop)
                assert torch.equal(part, whole[..., rows, columns])
            for short_side in (40, 61, 96, 97, 128, 131):  # widths odd and even
                size = resized_size(*truth.shape[1:3], short_side)
                ours = as_images(video.read([2], short_side=short_side))[0].astype(int)
                height, width = size if turn[0] else size[::-1]
                kind = {"format": "rgb24", "interpolation": "BILINEAR"}
                theirs = shown(third.to_ndarray(width=width, height=height, **kind))
                assert ours.shape == theirs.shape == (*size, 3)
                assert np.abs(ours - theirs).max() <= 1 and np.abs(ours - theirs).mean() < 0.01
    slanted = write_clip(tmp_path / "slant.mp4", frames=3, turn=[0.707, 0.707, -0.707, 0.707])
    with VideoReader(slanted) as video:
        for use in (lambda: video.height, lambda: video.read([2])):
            with pytest.raises(VideoError, match="slant.mp4: its rotation is not a multiple"):
                use()


def test_wrong_arguments_are_named_and_the_reader_goes_on(basic):
    flat, small = "must be a flat list of whole numbers", {"short_side": 48}
    for indices, options, error, words in (
        ([40], {}, IndexError, "no frame 40; frames run from 0 to 39. The nearest is 39"),
        ([0, -1], {}, IndexError, "no frame -1.*The nearest is 0"),
        ([1.0], {}, TypeError, rf"indices is \[1.0\], but {flat}"),
        ([True], {}, TypeError, flat),
        (["3"], {}, TypeError, flat),
        (5, {}, TypeError, "indices is 5"),
        (None, {}, TypeError, "indices is None"),
        (np.zeros((2, 2), int), {}, TypeError, flat),
        (torch.tensor([0.5]), {}, TypeError, flat),
        ([0], {"short_side": 0}, ValueError, "short_side is 0"),
        ([0], {"short_side": 3.5}, TypeError, "short_side is 3.5"),
        ([0], {**small, "crop": (0, 0, 49, 84)}, ValueError, r"48x84.*is \(0, 0, 48, 84\)"),
        ([0], {**small, "crop": (30, 80, 20, 20)}, ValueError, r"is \(28, 64, 20, 20\)"),
        ([0], {**small, "crop": (0, 80, 20, 20)}, ValueError, r"is \(0, 64, 20, 20\)"),
        ([0], {"crop": (-1, 0, 8, 8)}, ValueError, "crop: top is -1, but must be at least 0"),
        ([0], {"crop": (0, 0, 0, 8)}, ValueError, "crop: height is 0, but must be at least 1"),
        ([0], {"crop": (0, 0, 8.0, 8)}, TypeError, "height is 8.0, but must be a whole number"),
        ([0], {"crop": (0, 0, 8)}, ValueError, r"must be \(top, left, height, width\)"),
    ):
        with VideoReader(basic) as video:
            with pytest.raises(error, match=words) as caught:
                video.read(indices, **options)
            assert options or str(caught.value).startswith(str(basic))
            assert numbers_in(video.read([3])) == [3]
    with pytest.raises(VideoError, match="reader is closed"):
        video.read([0])
    for wrong in (None, 7, ["clip.mp4"]):
        with pytest.raises(TypeError, match=f"given a {type(wrong).__name__}, but reads the path"):
            VideoReader(wrong)


# --- what is said about the video ---


def test_facts(basic, tmp_path):
    with VideoReader(basic) as video:
        assert (video.num_frames, video.fps, video.duration) == (40, 25.0, pytest.approx(1.6))
        assert (video.height, video.width, video.pixel_aspect) == (96, 168, 1.0)
        assert video.times == pytest.approx(np.arange(40) / 25)
        assert video.key_frames[0] == 0 and max(np.diff(video.key_frames)) <= 12
        assert repr(video).endswith("b_pictures.mp4': 40 frames of 96x168, 25 fps)")
    uneven = {"ticks": UNEVEN, "time_base": Fraction(1, 1000), "options": X264}
    with VideoReader(write_clip(tmp_path / "uneven.mp4", **uneven)) as video:
        assert video.fps == pytest.approx(39_000 / UNEVEN[-1], rel=0.01)
    with VideoReader(write_clip(tmp_path / "late.mp4", ticks=list(range(125, 165)))) as video:
        assert video.times[0] == pytest.approx(5.0)  # kept in the times, not in the duration
        assert video.duration == pytest.approx(1.6)


# --- the way to a frame ---


def test_decoding_starts_at_the_last_key_picture_that_will_do(kinds):
    for name, path in kinds.items():
        with VideoReader(path) as video:
            listed = video._listed
        early = 0  # pictures of open groups: after their key picture in the file, shown before it
        for number, pts in enumerate(listed.pts):
            start = listed.start_before(number)
            assert listed.keys[start] and listed.stamps[start] <= pts
            later = slice(start + 1, listed.places[listed.pts.searchsorted(pts)] + 1)
            assert not (listed.keys[later] & (listed.stamps[later] <= pts)).any()
            early += listed.keys[later].any()
        assert early > 5 or name != "h264_open_gop.mp4"


@pytest.fixture
def seeks(monkeypatch):
    """To which places the decoder seeks."""
    seeks, straight = [], Decoder._packets_from

    def packets(self, seek_to):
        seeks.append(seek_to)
        return straight(self, seek_to)

    monkeypatch.setattr(Decoder, "_packets_from", packets)
    return seeks


def test_one_seek_for_frames_near_each_other_and_no_second_try(tmp_path, seeks):
    long = write_clip(tmp_path / "long.mp4", frames=200, options=X264)
    for ending in ("mp4", "mkv", "ts"):
        with VideoReader(remux(tmp_path / f"copy.{ending}", long)) as video:
            starts = [video._listed.start_before(number) for number in (3, 150)]
            seeks.clear()
            assert numbers_in(video.read([155, 3, 14, 16, 150])) == [155, 3, 14, 16, 150]
        if ending == "ts":  # seeking in it lands a little later than asked for: a second try
            assert seeks.count(BEGINNING) <= 1
        else:
            assert seeks == starts


def test_a_seek_that_fails_is_made_up_for_from_the_beginning(kinds, seeks, monkeypatch):
    straight = Decoder._packets_from
    monkeypatch.setattr(
        Decoder, "_packets_from", lambda *a: straight(*a) if a[1] == BEGINNING else iter(())
    )
    for name in ("h264_open_gop.mp4", "h264_open_gop.ts", "mpeg1.mpg"):
        seeks.clear()
        with VideoReader(kinds[name]) as video:
            assert [READ["colour"](i) for i in as_images(video.read([22, 15]))] == [22, 15]
            assert seeks.count(BEGINNING) == 1
            # opened anew: what the first container said is gone
            steady = np.arange(video.num_frames) / 25
            assert video.times - video.times[0] == pytest.approx(steady, abs=1e-4)
            assert video.fps == pytest.approx(25)
            assert video._decoder.stream.container is video._decoder._container


def test_packets_that_are_not_those_listed_are_never_used(basic):
    with VideoReader(basic.read_bytes()) as video:
        video._listed.sizes[video._listed.start_before(35) + 1] += 1
        with pytest.raises(VideoError, match="frame 35 of 40 cannot be decoded"):
            video.read([35])


def test_a_damaged_group_of_pictures_is_refused_and_the_rest_is_exact(tmp_path):
    path = write_clip(tmp_path / "noisy.mp4", frames=60, options={**X264, "b": "1M"})
    truth, data = decode_all(path), bytearray(path.read_bytes())
    middle = data.index(b"mdat") + len(data) // 3
    data[middle : middle + 800] = np.random.default_rng(0).bytes(800)
    path.write_bytes(data)
    refused = 0
    with VideoReader(path) as video:
        for number in range(60):
            try:
                assert np.array_equal(as_images(video.read([number]))[0], truth[number])
            except VideoError as error:
                assert "noisy.mp4: frame" in str(error) and "damaged" in str(error)
                refused += 1
    assert 0 < refused < 30


def test_damaged_pictures_without_times_are_refused(tmp_path):
    data = bytearray(write_clip(tmp_path / "raw.h264", options={**X264, "b": "1M"}).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = np.random.default_rng(0).bytes(300)
    with pytest.raises(VideoError, match="raw.h264: .* cannot be numbered"):
        VideoReader(bytes(data), name="raw.h264")


def test_more_than_4_gib_at_once_is_refused_before_room_is_made(basic):
    frames = 2**32 // (96 * 168 * 3) + 1
    with VideoReader(basic) as video:
        tracemalloc.start()
        with pytest.raises(VideoError, match=f"{frames} frames of 96x168 are over .* 4 GiB") as no:
            video.read([0] * frames)
        assert tracemalloc.get_traced_memory()[1] < 100e6
        tracemalloc.stop()
        assert f"at most {frames - 1} at once" in str(no.value)


def test_pictures_that_change_their_size(tmp_path):
    small, large = (
        write_clip(tmp_path / "part.h264", 12, h, w).read_bytes()
        for h, w in ((96, 168), (120, 210))
    )
    with VideoReader(small + large, name="both") as video:
        assert (video.num_frames, video.height) == (24, 96)
        assert numbers_in(video.read([0, 11])) == [0, 11]
        for short_side in (None, 48):
            with pytest.raises(VideoError, match="both: frame 12 has 120x210 pixels, but .*96x168"):
                video.read([3, 12], short_side=short_side)


def test_threads_that_share_a_reader_take_turns(tmp_path):
    """In a process of its own: without turns FFmpeg ends it with a segmentation fault."""
    script = """
import sys, threading, torch
from vivit_lab.data import sample
from vivit_lab.video import VideoReader
with VideoReader(sample("counter")) as video:
    every = video.read(range(300), short_side=32)
    wrong = []
    def read(seed):
        order = torch.randperm(300, generator=torch.Generator().manual_seed(seed))[:60]
        for start in range(0, 60, 12):
            part = order[start : start + 12]
            wrong.extend((video.read(part, short_side=32) != every[part]).flatten(1).any(1))
    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
print(len(wrong), int(sum(wrong)))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (run.returncode, run.stdout.split()) == (0, ["240", "0"]), run.stderr

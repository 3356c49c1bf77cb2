"""VideoReader: exactly the frame asked for, or an error that names the file and the reason."""

import os
import subprocess
import sys
import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from clips import (
    copy_packets,
    decode_all,
    join_packets,
    number_in,
    numbers_in,
    picture,
    write_clip,
    write_sound,
)
from PIL import Image

from vivit_lab.video import VideoError, VideoReader, resized_size
from vivit_lab.video.decoder import BEGINNING, Decoder

QUARTER = 65536  # 1.0 in a display matrix
ONE = 1 << 30


def matrix(a, b, c, d):
    return [a * QUARTER, b * QUARTER, 0, c * QUARTER, d * QUARTER, 0, 0, 0, ONE]


UNEVEN = np.cumsum([0, *np.random.default_rng(0).choice([17, 33, 41, 100, 250], 39)]).tolist()
X264 = {"bf": "3", "g": "12", "x264-params": "b-adapt=0"}
KINDS = {
    "b_pictures.mp4": {"options": X264},
    "one_key_picture.mp4": {"options": {"g": "1000", "sc_threshold": "0"}, "frames": 70},
    "open_gop.mp4": {
        "options": {
            "g": "10",
            "sc_threshold": "0",
            "x264-params": "open-gop=1:bframes=4:b-adapt=0:b-pyramid=2",
        }
    },
    "shared_times.mkv": {
        "options": {**X264, "g": "5"},  # some pairs begin before a key picture
        "ticks": [1000 * (i // 2) + i % 2 for i in range(40)],  # 0.1 ms apart: one tick in mkv
        "time_base": Fraction(1, 10_000),
    },
    "odd_444.mp4": {"options": X264, "pix_fmt": "yuv444p", "height": 97, "width": 171},
    "stream.ts": {"options": X264},
    "mpeg1.mpg": {"codec": "mpeg1video", "options": {"g": "12", "b": "2M"}},
    "vp8.webm": {"codec": "libvpx", "options": {"g": "16", "deadline": "realtime", "b": "2M"}},
    "picture_show.gif": {"codec": "gif", "pix_fmt": "rgb8", "rate": 10, "frames": 12},
}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """A file of each kind, by its name."""
    folder = tmp_path_factory.mktemp("clips")
    return {name: write_clip(folder / name, **settings) for name, settings in KINDS.items()}


@pytest.fixture(scope="module")
def basic(kinds):
    """40 numbered pictures with B pictures, a key picture at least every 12."""
    return kinds["b_pictures.mp4"]


# --- the pictures that the tests rely on ---


def test_a_number_survives_only_upright_and_in_rgb():
    for number in (0, 1, 37, 512, 1023):
        image = picture(number)
        assert number_in(image) == number
        for wrong in (image[::-1], image[:, ::-1], image[::-1, ::-1], image[..., ::-1], image * 0):
            assert number_in(wrong) == -1
        assert number_in(np.rot90(image)) == -1
    assert number_in((picture(1).astype(int) + picture(2)) // 2) == -1


# --- exact frames ---


def test_every_kind_of_file_reads_exactly(kinds):
    """To the pixel as PyAV decodes it; which picture is which, the family tells of many more."""
    for path in kinds.values():
        truth, random = decode_all(path), np.random.default_rng(1)
        with VideoReader(path) as video:
            count = video.num_frames
            assert count == len(truth) == len(video.times), path
            assert (np.diff(video.times) >= 0).all()
            assert numbers_in(video.read(range(count))) == list(range(count))
            alone = [[int(i)] for i in random.permutation(count)[:10]]
            some = random.integers(0, count, 7), random.permutation(count)
            for indices in [*alone, *some, [count - 1, 0, count - 1]]:
                frames = video.read(indices)
                assert frames.dtype == torch.uint8
                shown = frames.permute(0, 2, 3, 1).numpy()
                assert np.array_equal(shown, truth[list(indices)]), path


def test_neighbouring_seeds_of_a_clip_do_not_disturb_each_other(basic):
    with VideoReader(basic) as video:
        first = video.read([30, 3])
        video.read([39])
        assert torch.equal(video.read([30, 3]), first)


def test_indices_may_be_numpy_tensors_ranges_or_none_at_all(basic):
    with VideoReader(basic) as video:
        for indices in (np.array([3, 1]), torch.tensor([3, 1]), range(3, 0, -2), (3, np.int32(1))):
            assert numbers_in(video.read(indices)) == [3, 1]
        assert video.read([]).shape == (0, 3, 96, 168)


def test_short_side_scales_and_keeps_the_shape(basic):
    with VideoReader(basic) as video:
        for short_side in (48, 61, 96, 130):
            frames = video.read([5, 17], short_side=short_side)
            assert frames.shape[2:] == resized_size(96, 168, short_side)
            assert numbers_in(frames) == [5, 17]
            whole = torch.nn.functional.interpolate(
                video.read([5]).float(), frames.shape[2:], mode="bilinear", antialias=True
            )
            assert (whole - frames[:1]).abs().mean() < 3


@pytest.mark.parametrize("turn", [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, 1)])
def test_crops_and_scaled_pictures_are_as_the_file_wants_them_shown(tmp_path, turn):
    path = write_clip(tmp_path / "turned.mp4", frames=8, matrix=matrix(*turn), options=X264)
    with av.open(str(path)) as container:
        picture = list(container.decode(video=0))[2]
    with VideoReader(path) as video:
        whole = video.read([6, 2], short_side=48)
        for crop in ((0, 0, 48, 84), (5, 7, 20, 30), (47, 83, 1, 1), (0, 0, 48, 1)):
            top, left, height, width = crop if not turn[1] else (*crop[1::-1], *crop[:1:-1])
            part = video.read([6, 2], short_side=48, crop=(top, left, height, width))
            assert torch.equal(part, whole[..., top : top + height, left : left + width])
        for short_side in (40, 61, 96, 97, 128, 131):  # widths odd and even, smaller and larger
            size = resized_size(video.height, video.width, short_side)
            ours = video.read([2], short_side=short_side)[0].permute(1, 2, 0).numpy().astype(int)
            height, width = size[::-1] if turn[1] else size
            kind = {"format": "rgb24", "interpolation": "BILINEAR"}
            theirs = picture.to_ndarray(width=width, height=height, **kind)
            theirs = np.rot90(theirs, -1) if turn[1] else theirs[:, :: turn[0]]
            assert ours.shape == theirs.shape == (*size, 3)
            assert np.abs(ours - theirs).max() <= 1 and np.abs(ours - theirs).mean() < 0.01


def test_a_crop_that_does_not_fit(basic):
    with VideoReader(basic) as video:
        for crop, error, words in (
            ((0, 0, 49, 84), ValueError, r"picture of 48x84.*nearest.*\(0, 0, 48, 84\)"),
            ((30, 80, 20, 20), ValueError, r"the nearest that does is \(28, 64, 20, 20\)"),
            ((-1, 0, 8, 8), ValueError, "crop: top is -1, but must be at least 0"),
            ((0, 0, 0, 8), ValueError, "crop: height is 0, but must be at least 1"),
            ((0, 0, 8.0, 8), TypeError, "crop: height is 8.0, but must be a whole number"),
            ((0, 0, 8), ValueError, r"must be \(top, left, height, width\)"),
        ):
            with pytest.raises(error, match=words):
                video.read([3], short_side=48, crop=crop)
            assert numbers_in(video.read([3])) == [3]  # it goes on


def test_upload_reads_like_the_file(basic):
    data = basic.read_bytes()
    with VideoReader(basic) as file, VideoReader(memoryview(data), name="my upload.mp4") as upload:
        assert upload.name == "my upload.mp4" and VideoReader(data).name == "upload"
        assert torch.equal(upload.read([11, 2]), file.read([11, 2]))


# --- what is said about the video ---


def test_facts(basic):
    with VideoReader(basic) as video:
        assert (video.num_frames, video.fps, video.duration) == (40, 25.0, pytest.approx(1.6))
        assert (video.height, video.width, video.pixel_aspect) == (96, 168, 1.0)
        assert video.times == pytest.approx(np.arange(40) / 25)
        assert video.key_frames[0] == 0 and max(np.diff(video.key_frames)) <= 12
        assert repr(video).endswith("b_pictures.mp4': 40 frames of 96x168, 25 fps)")


def test_uneven_times_and_a_late_start(tmp_path):
    ticks = {"ticks": UNEVEN, "time_base": Fraction(1, 1000), "options": X264}
    with VideoReader(write_clip(tmp_path / "uneven.mp4", **ticks)) as video:
        assert video.times == pytest.approx(np.array(UNEVEN) / 1000, abs=1e-3)
        assert video.fps == pytest.approx(39_000 / UNEVEN[-1], rel=0.01)
    late = {"ticks": list(range(125, 165)), "options": X264}
    with VideoReader(write_clip(tmp_path / "late.mp4", **late)) as video:
        assert video.times[0] == pytest.approx(5.0)  # kept in the times, not in the duration
        assert video.duration == pytest.approx(1.6)


def test_turned_and_mirrored_as_the_file_asks(tmp_path):
    for turn, shown in (
        (matrix(0, 1, -1, 0), lambda image: np.rot90(image, -1)),  # a quarter turn clockwise
        (matrix(-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        (matrix(0, -1, 1, 0), lambda image: np.rot90(image, 1)),
        (matrix(-1, 0, 0, 1), lambda image: image[:, ::-1]),
        (matrix(1, 0, 0, -1), lambda image: image[::-1]),
        (matrix(0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
        (matrix(0, -1, -1, 0), lambda image: np.rot90(image, 2).transpose(1, 0, 2)),
    ):
        path = write_clip(tmp_path / "turned.mp4", frames=6, matrix=turn)
        truth = np.stack([shown(image) for image in decode_all(path)])
        with VideoReader(path) as video:
            assert (video.height, video.width) == truth.shape[1:3], turn
            assert np.array_equal(video.read([4, 1]).permute(0, 2, 3, 1).numpy(), truth[[4, 1]])
            size = resized_size(*truth.shape[1:3], 40)
            assert video.read([0], short_side=40).shape[2:] == size


def test_pixel_aspect_is_stated_and_turns_along(tmp_path):
    options = {"x264-params": "sar=2/1"}
    with VideoReader(write_clip(tmp_path / "wide.mp4", frames=4, options=options)) as video:
        assert (video.pixel_aspect, video.width) == (2.0, 168)
    path = write_clip(tmp_path / "tall.mp4", frames=4, options=options, matrix=matrix(0, 1, -1, 0))
    with VideoReader(path) as video:
        assert (video.pixel_aspect, video.width) == (0.5, 96)


def test_pictures_cut_away_by_an_edit_list_are_not_counted(basic, tmp_path):
    ticks = 7 * 512  # of 1/12800 s
    path = copy_packets(basic, tmp_path / "cut.mp4", shift=ticks, avoid_negative_ts="disabled")
    with VideoReader(path) as video:
        assert video.num_frames == 33
        assert numbers_in(video.read([0, 20, 32])) == [7, 27, 39]


# --- the way to a frame ---


def test_decoding_starts_at_the_last_key_picture_that_will_do(kinds):
    for path in kinds.values():
        with VideoReader(path) as video:
            listed = video._listed
        for number, pts in enumerate(listed.pts):
            start = listed.start_before(number)
            assert listed.keys[start] and listed.stamps[start] <= pts
            first = listed.places[listed.pts.searchsorted(pts)]
            later = slice(start + 1, first + 1)
            assert not (listed.keys[later] & (listed.stamps[later] <= pts)).any()


def test_open_groups_have_pictures_before_their_key_picture(kinds):
    with VideoReader(kinds["open_gop.mp4"]) as video:
        stamps, keys = video._listed.stamps, video._listed.keys
        last_key = np.maximum.accumulate(np.where(keys, np.arange(len(keys)), 0))
        assert (stamps < stamps[last_key]).sum() > 5  # else the tests above say nothing of them


@pytest.fixture
def sought(monkeypatch) -> list[int]:
    """To which places the decoder seeks; a list that grows."""
    places, straight = [], Decoder._packets_from

    def packets(self, seek_to):
        places.append(seek_to)
        return straight(self, seek_to)

    monkeypatch.setattr(Decoder, "_packets_from", packets)
    return places


def test_one_seek_for_frames_near_each_other_and_no_second_try(tmp_path, sought):
    long = write_clip(tmp_path / "long.mp4", frames=200, options=X264)
    for ending in ("mp4", "mkv", "ts"):
        with VideoReader(copy_packets(long, tmp_path / f"copy.{ending}")) as video:
            starts = [video._listed.start_before(number) for number in (3, 150)]
            sought.clear()
            assert numbers_in(video.read([155, 3, 14, 16, 150])) == [155, 3, 14, 16, 150]
        if ending == "ts":  # seeking in it lands a little later than asked for: a second try
            assert sought.count(BEGINNING) <= 1
        else:
            assert sought == starts


@pytest.fixture
def no_seeking(monkeypatch) -> list[int]:
    """Every seek fails."""
    places, straight = [], Decoder._packets_from

    def packets(self, seek_to):
        places.append(seek_to)
        return straight(self, seek_to) if seek_to == BEGINNING else iter(())

    monkeypatch.setattr(Decoder, "_packets_from", packets)
    return places


def test_a_seek_that_fails_is_made_up_for_from_the_beginning(kinds, no_seeking):
    with VideoReader(kinds["b_pictures.mp4"]) as video:
        assert numbers_in(video.read([38, 15])) == [38, 15]
    assert no_seeking[-1] == BEGINNING and no_seeking.count(BEGINNING) == 1
    for name in ("stream.ts", "mpeg1.mpg"):  # opened anew: what the first container said is gone
        with VideoReader(kinds[name]) as video:
            assert video.times - video.times[0] == pytest.approx(np.arange(40) / 25, abs=1e-4)
            assert video.fps == pytest.approx(25)
            assert video._decoder.stream.container is video._decoder._container


def test_packets_that_are_not_those_listed_are_never_used(basic):
    with VideoReader(basic.read_bytes()) as video:
        video._listed.sizes[video._listed.start_before(35) + 1] += 1
        with pytest.raises(VideoError, match="frame 35 of 40 cannot be decoded"):
            video.read([35])


def test_a_damaged_group_of_pictures_is_refused_and_the_rest_is_exact(basic, tmp_path):
    path = write_clip(tmp_path / "noisy.mp4", frames=60, options={**X264, "b": "1M"})
    truth, data = decode_all(path), bytearray(path.read_bytes())
    middle = data.index(b"mdat") + len(data) // 3
    data[middle : middle + 800] = np.random.default_rng(0).bytes(800)
    path.write_bytes(data)
    refused = []
    with VideoReader(path) as video:
        for number in range(60):
            try:
                frame = video.read([number])[0].permute(1, 2, 0).numpy()
            except VideoError as error:
                assert "noisy.mp4: frame" in str(error) and "damaged" in str(error)
                refused.append(number)
            else:
                assert np.array_equal(frame, truth[number])
    assert 0 < len(refused) < 30


# --- what cannot be read ---


def refusal(source, **options):
    with pytest.raises(VideoError) as caught:
        VideoReader(source, **options)
    message = str(caught.value)
    assert message.startswith(options.get("name", str(source)) + ": ")
    assert message.count("\n") == 0
    return message


def test_files_that_are_no_video(basic):
    for name, content, reason in (
        ("empty.mp4", b"", "empty (0 bytes)"),
        ("text.mp4", b"Dear diary,\nnothing happened.\n", "text file"),
        ("page.mp4", b"\n<!DOCTYPE html><html>404</html>", "web page"),
        ("lfs.mp4", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        ("concat.mp4", b"ffconcat version 1.0\nfile basic.mp4\n", "playlist"),
        ("list.mp4", b"#EXTM3U\n#EXTINF:1\nbasic.mp4\n", "playlist"),
        ("noise.mp4", np.random.default_rng(0).bytes(5000), "no video that can be read"),
        ("zeros.mp4", bytes(5000), "no video that can be read"),
    ):
        path = basic.parent / name  # beside the clip that the playlists point at
        path.write_bytes(content)
        assert reason in refusal(path)
        assert reason in refusal(content, name=name)


def test_still_pictures_and_sound_only(tmp_path):
    for ending in ("jpg", "png", "bmp", "webp", "tiff"):
        path = tmp_path / f"still.{ending}"
        Image.fromarray(picture(3)).save(path)
        assert "still picture" in refusal(path)
        assert "still picture" in refusal(path.read_bytes(), name="still.mp4")
    assert "sound" in refusal(write_sound(tmp_path / "song.mp4"))


def test_missing_folder_pipe_and_odd_paths(tmp_path):
    assert "no such file" in refusal(tmp_path / "absent.mp4")
    assert "folder" in refusal(tmp_path)
    assert "cannot be opened" in refusal("nul\0.mp4")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.mp4")
        assert "pipe or a device" in refusal(tmp_path / "pipe.mp4")
    for wrong in (None, 7, ["clip.mp4"]):
        with pytest.raises(TypeError, match=f"given a {type(wrong).__name__}, but reads the path"):
            VideoReader(wrong)


def test_cut_short(tmp_path):
    late = write_clip(tmp_path / "late.mp4", options=X264).read_bytes()
    assert "without its index (moov)" in refusal(late[: len(late) * 6 // 10], name="late.mp4")
    options = {"movflags": "faststart"}
    early = write_clip(tmp_path / "early.mp4", container_options=options).read_bytes()
    assert "cut short" in refusal(early[: len(early) * 6 // 10], name="early.mp4")
    assert "cut short" in refusal(early[: early.index(b"mdat") + 4], name="early.mp4")
    avi = write_clip(tmp_path / "cut.avi", codec="mpeg4", options={"b": "2M"}).read_bytes()
    assert "cut short" in refusal(avi[: len(avi) * 6 // 10], name="cut.avi")


def test_a_recording_that_begins_between_key_pictures(basic, tmp_path):
    path = copy_packets(basic, tmp_path / "tuned in.ts", first=4)
    assert "begins between two key frames" in refusal(path)


def test_pictures_without_times_are_numbered_as_they_come_out(tmp_path):
    x265 = {"codec": "libx265", "options": {"x265-params": "log-level=none"}}
    for name, settings in (
        ("raw.h264", {"options": X264}),
        ("raw.hevc", x265),
        ("guessed.avi", {"options": X264}),
    ):
        with VideoReader(write_clip(tmp_path / name, **settings)) as video:
            assert not video._listed.stamped
            assert numbers_in(video.read(range(40))) == list(range(40))
            for numbers in ([39], [0], [20, 3, 20], [7], [6]):
                assert numbers_in(video.read(numbers)) == numbers
            assert video.times == pytest.approx(np.arange(40) / 25)


def test_damaged_pictures_without_times_are_refused(tmp_path):
    data = bytearray(write_clip(tmp_path / "raw.h264", options={**X264, "b": "1M"}).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = np.random.default_rng(0).bytes(300)
    assert "cannot be numbered" in refusal(bytes(data), name="raw.h264")


def test_too_many_pixels(tmp_path):
    header = b"GIF89a" + (16000).to_bytes(2, "little") * 2 + b"\x80\0\0\0\0\0\xff\xff\xff"
    tiny = header + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
    assert "16000x16000 are over the limit" in refusal(tiny, name="bomb.gif")


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
    plain = {"bf": "0"}
    small = write_clip(tmp_path / "small.ts", frames=12, options=plain)
    later = {"height": 120, "width": 210, "ticks": list(range(12, 24))}
    large = write_clip(tmp_path / "large.ts", frames=12, options=plain, **later)
    path = join_packets([small, large], tmp_path / "both.ts")
    with VideoReader(path) as video:
        assert (video.num_frames, video.height) == (24, 96)
        assert numbers_in(video.read([0, 11])) == [0, 11]
        for short_side in (None, 48):
            with pytest.raises(VideoError, match="both.ts: frame 12 has 120x210 pixels, but .*96x"):
                video.read([3, 12], short_side=short_side)


def test_a_slanted_display_matrix(tmp_path):
    slanted = [46341, 46341, 0, -46341, 46341, 0, 0, 0, ONE]  # 45 degrees
    with VideoReader(write_clip(tmp_path / "slant.mp4", frames=3, matrix=slanted)) as video:
        for use in (lambda: video.height, lambda: video.read([2])):
            with pytest.raises(VideoError, match="slant.mp4: it asks to be shown at a slant"):
                use()


def test_wrong_indices(basic):
    with VideoReader(basic) as video:
        for indices, error, words in (
            ([40], IndexError, "no frame 40; frames run from 0 to 39. The nearest is 39"),
            ([0, -1], IndexError, "no frame -1.*The nearest is 0"),
            ([1.0], TypeError, r"indices is \[1.0\], but must be a flat list of whole numbers"),
            ([True], TypeError, "flat list"),
            (["3"], TypeError, "flat list"),
            (5, TypeError, "indices is 5"),
            (None, TypeError, "indices is None"),
            (np.zeros((2, 2), int), TypeError, "flat list"),
            (torch.tensor([0.5]), TypeError, "flat list"),
        ):
            with pytest.raises(error, match=words) as caught:
                video.read(indices)
            assert str(caught.value).startswith(str(basic))


def test_wrong_short_side_and_closed_reader(basic):
    with VideoReader(basic) as video:
        with pytest.raises(ValueError, match="short_side is 0"):
            video.read([0], short_side=0)
        with pytest.raises(TypeError, match="short_side is 3.5"):
            video.read([0], short_side=3.5)
    video.close()
    with pytest.raises(VideoError, match="reader is closed"):
        video.read([0])


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

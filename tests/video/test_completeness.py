"""Whether a file is whole is told by a walk over its parts: cuts and noise, and no false alarm."""

import io

import pytest
from clips import write_clip
from family_making import box, noise, words

from vivit_lab.video import VideoError, VideoReader
from vivit_lab.video.opening import CUT, NOISE, fault

VPX = {"codec": "libvpx", "options": {"g": "8", "deadline": "realtime", "b": "1M"}}
FORMATS = {
    "mkv": {"container_options": {"cluster_time_limit": "200"}},
    "live.mkv": {"container_options": {"live": "1"}},  # of no size that is stated
    "webm": VPX,
    "avi": {"codec": "mpeg4", "options": {"b": "1M"}},
    "mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "4"}},
    "flv": {},
    "ogv": VPX,
    "gif": {"codec": "gif", "pix_fmt": "rgb8", "rate": 10},
    "ts": {},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Bytes of 16 pictures, by ending."""
    folder = tmp_path_factory.mktemp("whole")
    return {
        ending: write_clip(folder / f"clip.{ending}", frames=16, **FORMATS[ending]).read_bytes()
        for ending in FORMATS
    }


def fault_in(data: bytes) -> str | None:
    return fault(io.BytesIO(data))


def refused(data: bytes, ending: str) -> bool:
    with pytest.raises(VideoError, match=f"clip.{ending}: .*(cut short|damaged|breaks off)"):
        VideoReader(data, name=f"clip.{ending}")
    return True


def test_a_whole_file_has_no_fault_and_a_cut_is_seen_wherever_it_is(whole):
    for ending, data in whole.items():
        assert fault_in(data) is None
        for percent in (60, 75, 90):
            part = data[: len(data) * percent // 100 | 1]  # odd: not the end of a packet of 188
            assert fault_in(part) == CUT and refused(part, ending), (ending, percent)


@pytest.mark.parametrize("ending", ["mp4", "mov", "webm", "mkv", "avi"])
def test_a_cut_inside_what_says_how_to_read_it_is_told_as_a_cut(tmp_path, ending):
    settings = FORMATS.get(ending, {}) | {"container_options": {"movflags": "faststart"}}
    data = write_clip(tmp_path / f"whole.{ending}", frames=100, **settings).read_bytes()
    first, last = 60, data.index(b"mdat") if ending in ("mp4", "mov") else 400
    for cut in {first + (last - first) * part // 100 for part in range(101)}:
        (tmp_path / f"cut.{ending}").write_bytes(data[:cut])
        for source in (tmp_path / f"cut.{ending}", data[:cut]):
            with pytest.raises(VideoError, match="cut short"):
                VideoReader(source)


def test_noise_is_seen_where_parts_begin_and_one_wrong_bit_by_a_check_sum(whole):
    for ending in ("mkv", "webm", "mp4", "flv", "ogv", "gif", "ts"):
        data = whole[ending]
        middle, length = len(data) // 3, len(data) // 2
        broken = data[:middle] + noise(length) + data[middle + length :]
        assert fault_in(broken) in (NOISE, CUT) and refused(broken, ending), ending
    # FFmpeg would leave the whole page of Ogg out, and the pictures on it
    for place in range(100, len(whole["ogv"]) - 100, len(whole["ogv"]) // 9):
        data = bytearray(whole["ogv"])
        data[place] ^= 4
        assert fault_in(data) in (NOISE, CUT)


def test_padding_and_what_lies_behind_the_end_that_a_file_states_are_no_fault(whole):
    padding = box("free", bytes(492)), (b"G\x1f\xff\x10" + b"\xff" * 184) * 20, b"\xec\x81\0"
    garbage = bytes(5000), noise(5000, seed=1)
    for ending, extra in (
        *((ending, extra) for ending in ("mkv", "webm", "avi", "gif") for extra in garbage),
        *zip(("mp4", "ts", "mkv"), padding, strict=True),
    ):
        data = whole[ending] + extra
        assert fault_in(data) is None, ending
        with VideoReader(data) as video:
            assert video.num_frames == 16


def test_the_end_of_a_transport_stream(tmp_path):
    """A torn last packet is common. But where B pictures are missing before the end, the last would
    pass for one of them; and cut between two packets (of 0, 3, 1, 2, ...) it ends in a hole."""
    data = write_clip(tmp_path / "clip.ts", options={"bf": "2"}).read_bytes()
    assert [fault_in(data[:-torn]) for torn in (1, 100, 187, 188)] == [CUT, CUT, CUT, None]
    for count in (2, 3, 5):
        ticks = [*range(count), count + 2]
        path = write_clip(tmp_path / "hole.ts", count + 1, ticks=ticks, options={"bf": "0"})
        with pytest.raises(VideoError, match="cut short"):
            VideoReader(path)
    for frames in (1, 2):
        with VideoReader(write_clip(tmp_path / f"{frames}.ts", frames, 480, 640)) as video:
            assert video.num_frames == frames


def test_a_picture_larger_than_its_file_and_more_pictures_than_it_has_room_for(tmp_path):
    """FFmpeg leaves out this picture, and all after it, without a word."""
    for options in ({}, {"movflags": "faststart"}):
        path = write_clip(tmp_path / "huge.mp4", container_options=options)
        data = bytearray(path.read_bytes())
        assert fault_in(data) is None
        sizes = data.index(b"stsz") + 12
        data[sizes + 16 : sizes + 20] = words(0x7FFFFFF0)
        assert fault_in(data) == NOISE
        with pytest.raises(VideoError, match="huge.mp4: the file is damaged"):
            VideoReader(bytes(data), name="huge.mp4")
        data[sizes : sizes + 4] = b"\xff" * 4
        assert fault_in(data) == NOISE  # takes no memory for so many

"""A reader among threads, forks and spawned workers; ten thousand of them; one that is stuck."""

import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import av
import pytest
import torch
from clips import numbers_in, write_clip, write_sound
from family_making import remux, without

from vivit_lab.video import VideoError, VideoReader
from vivit_lab.video import decoder as decoder_module
from vivit_lab.video import reader as reader_module
from vivit_lab.video.watchdog import GivenUp, Overdue, Watch

OPTIONS = {"g": "12", "bf": "2"}
# since Python 3.12: the watchdog's threads wait while the tests fork, which is the point
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=60, options=OPTIONS)


# --- forks ---


def in_a_fork(work) -> bytes:
    """What `work` returns, worked out in a forked child that ends in its own way."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        answer = b"failed"
        signal.alarm(30)  # ends a child that waits for ever
        try:
            answer = work()
        finally:
            os.write(send, answer)
            os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


def test_parent_and_child_read_at_the_same_time_and_do_not_disturb_each_other(clip):
    with VideoReader(clip) as video:
        video.read([3])
        # a child that shared the open file would move the parent's position in it
        assert in_a_fork(lambda: str(video._decoder).encode()) == b"None"
        child = os.fork()
        if child == 0:
            wrong = 1
            try:
                wrong = sum(numbers_in(video.read([n, 59 - n])) != [n, 59 - n] for n in range(60))
            finally:
                os._exit(min(wrong, 100))
        wrong = sum(numbers_in(video.read([59 - n, n])) != [59 - n, n] for n in range(60))
        assert (wrong, os.waitpid(child, 0)[1]) == (0, 0)


def read_or_refused(video, *numbers) -> bytes:
    try:
        return bytes(numbers_in(video.read(numbers)))
    except VideoError as error:
        return str(error).encode()


def test_an_upload_and_a_closed_reader_after_a_fork(clip):
    with VideoReader(clip.read_bytes()) as video:
        assert in_a_fork(lambda: read_or_refused(video, 41, 2)) == bytes([41, 2])
    assert in_a_fork(lambda: read_or_refused(video, 1)).endswith(b"open the video again.")


def test_a_fork_while_another_thread_is_reading(clip):
    """The child has no such thread: nobody there would ever give the turn back."""
    with VideoReader(clip) as video:
        inside, go_on = threading.Event(), threading.Event()
        thread = threading.Thread(
            target=lambda: video._watched("waiting", lambda: inside.set() or go_on.wait())
        )
        thread.start()
        inside.wait()
        try:
            answer = in_a_fork(lambda: read_or_refused(video, 33))
        finally:
            go_on.set()
            thread.join()
        assert answer == bytes([33])
        assert numbers_in(video.read([34])) == [34]
    with decoder_module._recent._lock:  # or looks up a list
        assert in_a_fork(lambda: read_or_refused(VideoReader(clip), 33)) == bytes([33])


def test_a_file_that_was_replaced_is_not_taken_for_the_old_one(clip, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip.read_bytes())
    with VideoReader(path) as video:
        other = write_clip(tmp_path / "other.mp4", frames=50, options=OPTIONS)
        os.replace(other, path)
        with VideoReader(path) as fresh:
            assert fresh.num_frames == 50
        assert b"the file has changed" in in_a_fork(lambda: read_or_refused(video, 1))
        assert numbers_in(video.read([59])) == [59]  # here the old file is still open


# --- other processes ---


def read_in_worker(video: VideoReader, numbers: list[int]) -> list[int]:
    return numbers_in(video.read(numbers))


def test_a_spawned_worker_opens_the_video_again(clip):
    spawn = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    with VideoReader(clip, name="my clip") as video, spawn as pool:
        assert pool.submit(read_in_worker, video, [50, 1]).result(timeout=100) == [50, 1]


def test_pickling_keeps_the_name_and_tells_what_is_wrong(clip, tmp_path):
    path = tmp_path / "gone.mp4"
    path.write_bytes(clip.read_bytes())
    with VideoReader(path, name="my clip", time_limit=7) as video:
        packed = pickle.dumps(video)
        with pickle.loads(packed) as again:
            assert (again.name, again._watch.seconds) == ("my clip", 7)
            assert torch.equal(again.read([5]), video.read([5]))
        path.unlink()
        with pytest.raises(VideoError, match="my clip: there is no such file"):
            pickle.loads(packed)
    with pytest.raises(VideoError, match="the reader is closed"):
        pickle.dumps(video)
    with VideoReader(clip.read_bytes()) as upload, pickle.loads(pickle.dumps(upload)) as again:
        assert numbers_in(again.read([5])) == [5]


# --- what is stuck ---


class Stuck:
    """Stands before an FFmpeg call, and does not let it return before it is let go."""

    def __init__(self):
        self.let_go, self.left = threading.Event(), threading.Event()

    def __call__(self, *_):
        self.let_go.wait(100)
        self.left.set()
        return iter(())


@pytest.fixture
def stuck():
    stuck = Stuck()
    yield stuck
    stuck.let_go.set()


def test_a_stuck_decode_ends_in_an_error_and_frees_nothing_that_is_in_use(clip, monkeypatch, stuck):
    video = VideoReader(clip)
    video._watch.seconds = 0.3  # not for the opening, which is real
    closed, container = [], video._decoder._container
    monkeypatch.setattr(decoder_module.Decoder, "close", lambda self: closed.append(self))
    monkeypatch.setattr(decoder_module.Decoder, "_packets_from", stuck)
    with pytest.raises(VideoError) as caught:
        video.read([17])
    assert not stuck.left.is_set()  # nobody waited for it
    assert str(caught.value).startswith(f"{clip}: decoding frame 17 of 60 took longer than the")
    assert "limit of 0.3 s" in str(caught.value)
    for use in (lambda: video.read([1]), lambda: pickle.dumps(video)):
        with pytest.raises(VideoError, match="the reader is closed"):
            use()
    video.close()  # does not wait, and does not free what is in use
    assert closed == [] and len(container.streams) == 1


def test_a_stuck_opening_ends_in_an_error(clip, monkeypatch, stuck):
    monkeypatch.setattr(decoder_module, "open_video", stuck)
    with pytest.raises(VideoError, match="clip.mp4: opening it took longer than the limit of 0.3"):
        VideoReader(clip, time_limit=0.3)


def test_a_decode_that_is_slow_but_gets_on_is_let_be(clip, monkeypatch):
    straight = decoder_module.Decoder._decode

    def slow(self, numbers, seek_to):
        for found in straight(self, numbers, seek_to):
            time.sleep(0.12)
            yield found

    monkeypatch.setattr(decoder_module.Decoder, "_decode", slow)
    with VideoReader(clip, time_limit=2) as video:
        assert numbers_in(video.read(range(20))) == list(range(20))  # longer than the limit


def test_work_that_is_given_up_ends_at_its_next_step():
    watch, ended, go_on = Watch(seconds=0.05), threading.Event(), threading.Event()

    def work():
        go_on.wait(30)
        try:
            watch.check()
        except GivenUp:
            ended.set()

    with pytest.raises(Overdue):
        watch.run("waiting", work)
    go_on.set()
    assert ended.wait(10)


def test_ctrl_c_gets_through_a_stuck_decode(clip, tmp_path):
    script = f"""
import threading
from vivit_lab.video import VideoReader, decoder
video = VideoReader({str(clip)!r})
def stuck(*_):
    print("stuck", flush=True)
    threading.Event().wait()
decoder.Decoder._packets_from = stuck
try:
    video.read([0])
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "stuck\n"
        run.send_signal(signal.SIGINT)
        assert run.communicate(timeout=20)[0] == "interrupted\n"
        assert run.returncode == 0


def test_a_failed_opening_closes_the_file_at_once(clip, tmp_path, monkeypatch):
    """While the error is kept, which keeps what it came through."""
    opened, kept, straight = [], [], av.open
    monkeypatch.setattr(av, "open", lambda *a, **k: opened.append(straight(*a, **k)) or opened[-1])
    between = remux(tmp_path / "between.ts", clip, change=without(*range(4)))
    cut, song = tmp_path / "cut.mkv", write_sound(tmp_path / "song.mp4")
    cut.write_bytes(remux(tmp_path / "whole.mkv", clip).read_bytes()[:-700])
    slanted = write_clip(tmp_path / "slant.avi", frames=3, codec="mpeg4")
    monkeypatch.setattr(reader_module, "Display", lambda *_: 1 / 0)  # on the first picture
    for path in (between, cut, song, slanted):
        opened.clear()
        with pytest.raises((VideoError, ZeroDivisionError)) as error:
            VideoReader(path)
        kept.append(error)
        with pytest.raises(AssertionError, match="not open"):
            opened[-1].seek(0)


# --- nothing piles up ---


def test_thousands_of_readers_and_reads_leave_nothing_behind(clip, tmp_path):
    """Sound, cut short, not there: handles stay flat, and memory, after the first 500."""
    sound = write_clip(tmp_path / "small.mp4", frames=4, height=32, width=56)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(sound.read_bytes()[:-700])
    script = f"""
import os
from vivit_lab.video import VideoError, VideoReader
sound, cut, upload = {str(sound)!r}, {str(cut)!r}, open({str(sound)!r}, "rb").read()
def megabytes():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
def handles():
    return len(os.listdir("/proc/self/fd"))
refused = 0
for turn in range(4000):
    source = [sound, sound, upload, cut, sound + ".gone"][turn % 5]
    try:
        video = VideoReader(source)
        video.read([turn % 4])
        if turn % 2:
            video.close()
    except VideoError:
        refused += 1
    if turn == 500:
        before = megabytes(), handles()
print(refused, megabytes() - before[0], handles() - before[1])
with VideoReader({str(clip)!r}) as video:
    for turn in range(1000):
        video.read([turn % 60], short_side=48)
        if turn == 200:
            before = megabytes()
print(megabytes() - before)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    refused, by_readers, handles, by_reads = map(float, run.stdout.split())
    assert refused == 1600 and handles <= 2
    assert by_readers < 4 and by_reads < 3


# --- the lists that are kept ---


def test_a_file_seen_before_is_not_listed_again_unless_it_changed(clip, tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip.read_bytes())
    listed, make = [], decoder_module.PacketList
    listing = lambda *args: listed.append(args[0]) or make(*args)  # noqa: E731
    monkeypatch.setattr(decoder_module, "PacketList", listing)
    for _ in range(2):
        with VideoReader(path) as video:
            assert numbers_in(video.read([50])) == [50]
    assert len(listed) == 1
    write_clip(path, frames=20, options=OPTIONS)
    with VideoReader(path) as video:
        assert numbers_in(video.read(range(video.num_frames))) == list(range(20))
    assert len(listed) == 2
    for _ in range(2):
        VideoReader(clip.read_bytes()).close()  # an upload has no place to know it by
    assert len(listed) == 4


def test_a_change_is_seen_by_each_sign_alone(clip, tmp_path):
    """Place on the disk, size, time of the last change: another file has one of them different."""
    path, other = tmp_path / "clip.mp4", tmp_path / "other.mp4"
    new = write_clip(tmp_path / "new.mp4", frames=50, options=OPTIONS).read_bytes()
    for same in ("size and time", "place and size", "place and time"):
        path.unlink(missing_ok=True)
        path.write_bytes(clip.read_bytes())
        VideoReader(path).close()
        before, content = os.stat(path), new
        if "size" in same:
            spare = before.st_size - len(content)
            content += struct.pack(">I4s", spare, b"free") + bytes(spare - 8)
        if "place" in same:
            path.write_bytes(content)
        else:
            other.write_bytes(content)
            os.replace(other, path)
        if "time" in same:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = os.stat(path)
        for word, key in [("size", "st_size"), ("place", "st_ino"), ("time", "st_mtime_ns")]:
            assert (getattr(before, key) == getattr(after, key)) == (word in same)
        with VideoReader(path) as video:
            assert numbers_in(video.read(range(video.num_frames))) == list(range(50)), same


def test_only_so_many_lists_are_kept(clip, tmp_path, monkeypatch):
    recent = decoder_module._Recent()
    monkeypatch.setattr(decoder_module, "_recent", recent)
    monkeypatch.setattr(decoder_module, "KEPT_PACKETS", 500)
    paths = [tmp_path / f"{i}.mp4" for i in range(5)]
    for path in paths:
        path.write_bytes(clip.read_bytes())
        VideoReader(path).close()
        VideoReader(paths[0]).close()  # used again and again: it stays
    kept = [key[0] for key in recent._lists]
    assert kept == [str(paths[i]) for i in (3, 4, 0)]

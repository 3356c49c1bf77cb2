"""A reader among threads, forks and spawned workers; ten thousand of them; one that is stuck."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from unittest.mock import Mock

import av
import pytest
import torch
from clips import numbers_in, write_clip, write_sound
from family_making import box, remux, without

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


def forked(work):
    """Calls `work` in a forked child that ends in its own way; call what it gives for the answer,
    or the words of the VideoError."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        answer = b"failed"
        signal.alarm(30)  # ends a child that waits for ever
        try:
            answer = repr(work()).encode()
        except VideoError as error:
            answer = str(error).encode()
        finally:
            os.write(send, answer)
            os._exit(0)
    os.close(send)

    def answer() -> str:
        with os.fdopen(receive, "rb") as pipe:
            said = pipe.read().decode()
        os.waitpid(child, 0)
        return said

    return answer


def shown(video, *numbers) -> list[int]:
    return numbers_in(video.read(numbers))


def test_parent_and_child_read_at_the_same_time_and_do_not_disturb_each_other(clip):
    with VideoReader(clip) as video, VideoReader(clip.read_bytes()) as upload:
        video.read([3])
        # a child that shared the open file would move the parent's position in it
        assert forked(lambda: video._decoder)() == "None"
        child = forked(lambda: [n for n in range(60) if shown(video, n, 59 - n) != [n, 59 - n]])
        wrong = [n for n in range(60) if shown(video, 59 - n, n) != [59 - n, n]]
        assert (wrong, child()) == ([], "[]")
        assert forked(lambda: shown(upload, 41, 2))() == "[41, 2]"
    assert forked(lambda: shown(upload, 1))().endswith("open the video again.")


def test_a_fork_while_another_thread_is_reading(clip):
    """The child has no such thread: nobody there would ever give the turn back."""
    with VideoReader(clip) as video:
        inside, go_on = threading.Event(), threading.Event()
        thread = threading.Thread(
            target=lambda: video._watched("waiting", lambda: inside.set() or go_on.wait())
        )
        thread.start()
        inside.wait()
        answer = forked(lambda: shown(video, 33))()
        go_on.set()
        thread.join()
        assert (answer, shown(video, 34)) == ("[33]", [34])
    with decoder_module._recent._lock:  # or looks up a list
        assert forked(lambda: shown(VideoReader(clip), 33))() == "[33]"


def test_a_file_that_was_replaced_is_not_taken_for_the_old_one(clip, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip.read_bytes())
    with VideoReader(path) as video:
        other = write_clip(tmp_path / "other.mp4", frames=50, options=OPTIONS)
        os.replace(other, path)
        with VideoReader(path) as fresh:
            assert fresh.num_frames == 50
        assert "the file has changed" in forked(lambda: shown(video, 1))()
        assert shown(video, 59) == [59]  # here the old file is still open


# --- other processes ---


def test_a_spawned_worker_opens_the_video_again(clip):
    spawn = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    with VideoReader(clip, name="my clip") as video, spawn as pool:
        assert pool.submit(shown, video, 50, 1).result(timeout=100) == [50, 1]


def test_pickling_keeps_the_name_and_tells_what_is_wrong(clip, tmp_path):
    path = tmp_path / "gone.mp4"
    path.write_bytes(clip.read_bytes())
    for source in (path, clip.read_bytes()):
        with VideoReader(source, name="my clip", time_limit=7) as video:
            packed = pickle.dumps(video)
            with pickle.loads(packed) as again:
                assert (again.name, again._watch.seconds) == ("my clip", 7)
                assert torch.equal(again.read([5]), video.read([5]))
        with pytest.raises(VideoError, match="the reader is closed"):
            pickle.dumps(video)
        if source == path:
            path.unlink()
            with pytest.raises(VideoError, match="my clip: there is no such file"):
                pickle.loads(packed)


# --- what is stuck ---


@pytest.fixture
def stuck():
    """Stands before an FFmpeg call, and does not let it return before the test has ended."""
    let_go = threading.Event()

    def stuck(*_):
        stuck.left.append(let_go.wait(100))
        return iter(())

    stuck.left = []
    yield stuck
    let_go.set()


def test_what_is_stuck_ends_in_an_error_and_frees_nothing_that_is_in_use(clip, monkeypatch, stuck):
    video = VideoReader(clip)
    video._watch.seconds = 0.3  # not for the opening, which is real
    closed, container = [], video._decoder._container
    monkeypatch.setattr(decoder_module.Decoder, "close", lambda self: closed.append(self))
    monkeypatch.setattr(decoder_module.Decoder, "_packets_from", stuck)
    with pytest.raises(VideoError, match=f"^{clip}: decoding frame 17 of 60 .* limit of 0.3 s"):
        video.read([17])
    assert not stuck.left  # nobody waited for it
    for use in (lambda: video.read([1]), lambda: pickle.dumps(video)):
        with pytest.raises(VideoError, match="the reader is closed"):
            use()
    video.close()  # does not wait, and does not free what is in use
    assert closed == [] and len(container.streams) == 1
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


def test_ctrl_c_gets_through_a_stuck_decode(clip):
    script = f"""
import threading
from vivit_lab.video import VideoReader, decoder
video = VideoReader({str(clip)!r})
decoder.Decoder._packets_from = lambda *_: print("stuck", flush=True) or threading.Event().wait()
try:
    video.read([0])
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "stuck\n"
        run.send_signal(signal.SIGINT)
        assert run.communicate(timeout=300)[0] == "interrupted\n"
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
    listing = Mock(side_effect=decoder_module.PacketList)
    monkeypatch.setattr(decoder_module, "PacketList", listing)
    for _ in range(2):
        assert shown(VideoReader(path), 50) == [50]
    assert listing.call_count == 1
    write_clip(path, frames=20, options=OPTIONS)
    assert shown(VideoReader(path), *range(20)) == list(range(20))
    assert listing.call_count == 2
    for _ in range(2):
        VideoReader(clip.read_bytes()).close()  # an upload has no place to know it by
    assert listing.call_count == 4


def test_a_change_is_seen_by_each_sign_alone(clip, tmp_path):
    """Place on the disk, size, time of the last change: another file has one of them different."""
    path, other = tmp_path / "clip.mp4", tmp_path / "other.mp4"
    new = write_clip(tmp_path / "new.mp4", frames=50, options=OPTIONS).read_bytes()
    for changed in ("st_ino", "st_size", "st_mtime_ns"):
        path.unlink(missing_ok=True)
        path.write_bytes(clip.read_bytes())
        VideoReader(path).close()
        before = os.stat(path)
        padding = box("free", bytes(before.st_size - len(new) - 8))
        place = other if changed == "st_ino" else path
        place.write_bytes(new if changed == "st_size" else new + padding)
        os.replace(place, path)
        if changed != "st_mtime_ns":
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = os.stat(path)
        for key in ("st_ino", "st_size", "st_mtime_ns"):
            assert (getattr(before, key) != getattr(after, key)) == (key == changed)
        with VideoReader(path) as video:
            assert shown(video, *range(video.num_frames)) == list(range(50)), changed


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

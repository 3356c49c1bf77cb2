"""`check` finds every bad video, survives what videos do to it, and goes on where it stopped."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import data_sets
import pytest
from data_sets import EPIC_ROW, epic, kinetics, touch, write
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "video"))
from clips import write_clip

from vivit_lab.cli import main
from vivit_lab.data import CheckReport, check, checking, read_csv


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """40 frames, 25 a second."""
    return write_clip(tmp_path_factory.mktemp("clip") / "good.mp4", frames=40)


def in_this_process(tasks, workers, timeout):
    for task in tasks:
        yield task, checking.examine(task, timeout)


@pytest.fixture
def at_once(monkeypatch):
    """Look at videos in this process: for what does not depend on the others, and quick."""
    monkeypatch.setattr(checking, "_examine_all", in_this_process)


def copies(clip, root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(clip, path)
    return root


def spoil(root):
    """The bad ones that everybody meets."""
    whole = (root / "good.mp4").read_bytes()
    write(root / "short.mp4", whole[: len(whole) // 2])
    write(root / "empty.mp4", b"")
    write(root / "text.mp4", "Dear diary, ...")
    return root


def statuses(report: CheckReport) -> dict[str, str]:
    return {os.path.relpath(f.path, report.base): f.status for f in report.findings}


def found_in(file: Path) -> dict[str, dict]:
    """What a report file knows: name of the video -> what was found."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return {os.path.basename(line["path"]): line["found"] for line in lines}


# --- what it finds -------------------------------------------------------------------------------


def test_bad_videos_are_named_with_their_reason_and_the_worst_comes_first(tmp_path, clip, at_once):
    root = spoil(copies(clip, tmp_path / "v", "good.mp4", "deep/er/good.mp4", "no_extension"))
    touch(root, "notes.md", ".hidden.mp4")
    counts = {"unreadable": 3, "missing": 0, "outside": 0, "short": 0, "ok": 3}
    words = ["the file is empty (0 bytes)", "this is a text file", ".md (1)", "25 fps (3)"]
    words += ["96x168 (3)", "1.60 to 1.60 s", "40 to 40"]
    for full in (False, True):
        report = check(root, full=full)
        assert not report.ok and not report.remaining and report.counts == counts
        assert [f.status for f in report.findings] == ["unreadable"] * 3 + ["ok"] * 3
        text = report.text()
        assert text.index("short.mp4") < text.index("VIDEOS")
        assert all(each in text for each in words) and ("every frame" in text) == full


def test_damage_in_the_middle_is_found_when_every_frame_is_decoded(tmp_path, at_once):
    path = write_clip(tmp_path / "v.mp4", frames=250, options={"g": "10", "bf": "0"})
    data = bytearray(path.read_bytes())
    data[len(data) // 5 : len(data) // 5 + 400] = bytes(400)
    path.write_bytes(data)
    report = check(path, full=True)
    assert report.counts["unreadable"] == 1 and "damaged" in report.findings[0].reason


def test_what_the_readers_can_is_reached_from_the_command_line(
    tmp_path, at_once, capsys, clip, monkeypatch
):
    frames = tmp_path / "f" / "run" / "v1"
    frames.mkdir(parents=True)
    for number in (1, 2, 3):
        Image.new("RGB", (32, 24)).save(frames / f"img_{number:05d}.jpg")
    videos = copies(clip, tmp_path / "v", "run/0.mp4", "run/1.mp4", "run/2.mp4")
    write(tmp_path / "h" / "run_test_split1.txt", "0.mp4 1\n1.mp4 2\n2.mp4 2\n")
    write(tmp_path / "l.csv", "path;class;set\nrun/0.mp4;run;a\nrun/1.mp4;run;b\nv1;run;a\n")
    write(tmp_path / "n.csv", f"{videos}/run/0.mp4,0\n{tmp_path}/f/run/v1,1\n")
    touch(tmp_path / "e", ".hidden", "__MACOSX/x.mp4")
    monkeypatch.chdir(tmp_path)
    for words, count in [
        (("f", "--frame-rate", "5"), 1),
        (("f/run/v1", "--frame-rate", "5"), 1),
        (("f", "--format", "folder", "--frame-rate", "5"), 1),
        (("f",), None),
        (("f", "--frame-rate", "0"), None),
        (("f", "--format", "folder"), None),
        (("h", "--root", "v"), 1),
        (("h", "--root", "v", "--subset", "test"), 2),
        (("h", "--root", "v", "--split", "2"), None),
        (("l.csv", "--root", "v"), None),
        (("l.csv", "--root", "v", "--split", "b"), 1),
        (("n.csv", "--root", "v", "--frame-rate", "5"), None),
        (("n.csv", "--root", "v", "--frame-rate", "5", "--allow-outside"), 2),
        (("v", "--split", "run"), None),  # there are no classes below
        (("e",), None),
    ]:
        status = main(["check", *words, "--report", str(tmp_path / "r.jsonl"), "--restart"])
        said = capsys.readouterr()
        assert status == (2 if count is None else 0), (words, said.err)
        if count is not None:
            assert re.search(rf"^ *{count}  ok$", said.out, re.MULTILINE), said.out
        else:
            assert said.err.startswith("check: ") and "Traceback" not in said.err


def test_a_short_report_shows_a_dozen_of_each_kind(tmp_path, clip, at_once):
    report = check(touch(copies(clip, tmp_path, "good.mp4"), *(f"{n:02d}.mp4" for n in range(15))))
    assert "11.mp4" in repr(report) and "12.mp4" not in repr(report)
    assert "... and 3 more" in repr(report) and "14.mp4" in report.text()
    assert not CheckReport("/data", "/data", remaining=1).ok  # interrupted


def test_a_catalog_brings_missing_ones_classes_and_lines(tmp_path, clip, at_once):
    root = copies(clip, tmp_path / "v", "a.mp4", "b.mp4")
    write(root / "b.mp4", b"")
    annotations = write(tmp_path / "l.csv", "path,label\na.mp4,run\nb.mp4,jump\nc.mp4,run\n")
    report = check(annotations, root=root)
    assert statuses(report) == {"b.mp4": "unreadable", "c.mp4": "missing", "a.mp4": "ok"}
    assert [f.line for f in report.findings] == [3, 4, 2]
    text = str(report)
    assert "c.mp4  [line 4]" in text and "1 class without a segment: 'jump'" in text
    again = check(read_csv(annotations, root), root=root)
    assert str(again).split("\n\n")[1:] == text.split("\n\n")[1:]


def test_clips_are_held_against_the_real_length_and_the_span(tmp_path, clip, at_once):
    assert check(clip).ok and check(clip, frames=20, stride=2).ok  # 39 frames
    report = check(clip, frames=21, stride=2)
    assert report.counts["short"] == 1 and not report.ok and "40 of 41 frames" in str(report)
    copies(clip, tmp_path, "abc.mp4")
    rows = ["x,abc,0,1,t", "x,abc,1,2,t", "x,abc,0,60,t", "x,abc,59,69,t"]
    report = check(kinetics(tmp_path, *rows), frames=16, stride=1)
    found = [(f.status, f.line) for f in report.findings]
    assert found == [("outside", 3), ("outside", 4), ("outside", 5), ("ok", 2)]
    assert "lasts 1.6 s" in str(report)
    assert "25 of 26" in str(check(tmp_path / "train.csv", frames=26, stride=1))


def test_folders_of_frames(tmp_path, at_once):
    folder = tmp_path / "P01" / "rgb_frames" / "P01_101"
    folder.mkdir(parents=True)
    for number in range(1, 121):
        Image.new("RGB", (32, 24)).save(folder / f"frame_{number:010d}.jpg")
    annotations = epic(tmp_path, EPIC_ROW)
    report = check(annotations, frames=87, stride=1)  # frames 26 to 112, both included
    assert report.ok and report.videos[0]["fps"] == 50
    write(folder / "frame_0000000061.jpg", b"x")
    assert "frame_0000000061.jpg" in check(annotations).findings[0].reason


def test_names_that_are_hard_to_print(tmp_path, clip, at_once):
    names = ["two\nlines.mp4", 'a "quoted" %03d, *.mp4', "-dash.mp4", "тест 視頻.mp4"]
    root = copies(clip, tmp_path / "v", *names)
    shutil.copyfile(clip, os.fsencode(root) + b"/not_utf8_\xff.mp4")
    touch(root, os.fsdecode(b"bad\xfe\n.mp4"))
    report = check(root, report=tmp_path / "r.jsonl")
    assert report.counts["ok"] == 5 and report.counts["unreadable"] == 1
    assert "bad\\udcfe\\n.mp4" in str(report)
    again = check(root, report=tmp_path / "r.jsonl")
    assert again.looked_at == 0 and again.counts == report.counts


def test_nothing_to_check(tmp_path, clip):
    with pytest.raises(FileNotFoundError, match="no such file"):
        check(tmp_path / "nothing")
    with pytest.raises(ValueError, match="no video in this folder"):
        check(tmp_path)
    for option in ("stride", "frames", "workers", "timeout"):
        with pytest.raises(ValueError, match=option):
            check(clip, **{option: 0})


# --- processes of their own ----------------------------------------------------------------------


def test_a_video_that_ends_its_process_is_named_and_the_rest_goes_on(tmp_path, monkeypatch):
    root, file = touch(tmp_path / "v", *(f"{n}.mp4" for n in range(6))), tmp_path / "r.jsonl"
    monkeypatch.setattr(checking, "examine", data_sets.hurt)
    report = check(root, workers=2, report=file)
    assert report.counts["ok"] == 4 and report.looked_at == 6
    reasons = {os.path.basename(f.path): f.reason for f in report.findings if f.reason}
    assert sorted(reasons) == ["1.mp4", "3.mp4"]
    assert "exit status -9" in reasons["1.mp4"] and "exit status 7" in reasons["3.mp4"]

    monkeypatch.setattr(checking, "_examine_all", in_this_process)
    monkeypatch.setattr(checking, "examine", lambda task, timeout: data_sets.facts(task))
    again = check(root, report=file)  # the machine may have been to blame: they are tried again
    assert again.ok and again.looked_at == 2


def test_a_video_that_hangs_is_given_up_and_tried_again_next_time(tmp_path, clip, at_once):
    file = tmp_path / "r.jsonl"
    report = check(clip, report=file, timeout=1e-9)
    assert "longer than the limit" in report.findings[0].reason
    assert check(clip, report=file).ok


def test_processes_that_cannot_start_are_no_fault_of_the_videos(tmp_path, monkeypatch):
    monkeypatch.setattr(checking.signal, "SIG_IGN", "no handler")  # a worker's first step fails
    with pytest.raises(RuntimeError):
        check(touch(tmp_path / "v", "a.mp4", "b.mp4"), workers=2)


SCRIPT = """
import multiprocessing, threading
from vivit_lab.data import check
threading.Thread(target=threading.Event().wait, daemon=True).start()  # a notebook has threads
report = check({root!r}, workers=2)
print(report.ok, multiprocessing.active_children())
"""


def test_it_works_from_a_script_without_a_main_guard_and_leaves_no_process_behind(tmp_path, clip):
    """What trips multiprocessing: a script that starts processes as it is imported."""
    root = copies(clip, tmp_path / "v", "a.mp4", "b.mp4", "c.mp4")
    script = write(tmp_path / "script.py", SCRIPT.format(root=str(root)))
    command = [sys.executable, "-W", "error", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.stdout == "True []\n", done.stderr


# --- resuming ------------------------------------------------------------------------------------


def test_only_what_has_changed_is_looked_at_again(tmp_path, clip, at_once):
    root, file = spoil(copies(clip, tmp_path / "v", "good.mp4", "b.mp4")), tmp_path / "r.jsonl"
    first, again = check(root, report=file), check(root, report=file)
    assert (first.looked_at, again.looked_at) == (5, 0) and again.counts == first.counts
    assert "5 videos known" in str(again) and f"report: {file}" in str(again)
    found = found_in(file)
    assert found["good.mp4"]["frames"] == 40 and found["good.mp4"]["height"] == 96
    assert "empty" in found["empty.mp4"]["reason"] and len(found) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.jsonl", "v"]

    copies(clip, root, "text.mp4", "new.mp4")
    (root / "b.mp4").unlink()
    os.utime(root / "good.mp4", (1, 1))
    third = check(root, report=file)
    assert third.looked_at == 3
    good = dict.fromkeys(["good.mp4", "new.mp4", "text.mp4"], "ok")
    assert statuses(third) == {"empty.mp4": "unreadable", "short.mp4": "unreadable", **good}
    assert check(root, report=file, restart=True).looked_at == 5
    last = file.read_bytes().splitlines(keepends=True)[-5:]
    write(file, b"".join(last)[:-30])  # cut short by a crash
    assert [check(root, report=file).looked_at for _ in range(2)] == [1, 0]


def test_more_is_looked_at_when_more_is_asked(tmp_path, clip, at_once):
    copies(clip, tmp_path, "abc.mp4")
    annotations, options = kinetics(tmp_path, "x,abc,0,1,t"), {"report": tmp_path / "r.jsonl"}
    assert check(annotations, **options).looked_at == 1
    assert check(annotations, full=True, **options).looked_at == 1
    assert check(annotations, **options).looked_at == 0  # every frame was decoded before
    kinetics(tmp_path, "x,abc,0,1,t", "x,abc,0,9,t")
    report = check(annotations, **options)
    assert report.looked_at == 1 and report.counts["outside"] == 1


def test_a_report_that_is_something_else_or_cannot_be_written(tmp_path, clip, at_once):
    for text in ('{"words": 80000}\n', "[1]\n", "Dear diary"):
        precious = write(tmp_path / "thesis.jsonl", text)
        with pytest.raises(ValueError, match="is not a report of this command"):
            check(clip, report=precious, restart=True)
        assert precious.read_text() == text
    for place in (tmp_path, "/dev/full"):
        with pytest.raises(OSError, match="cannot be written"):
            check(clip, report=place)
    root = copies(clip, tmp_path / "v", *(f"{n}.mp4" for n in range(12)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (40, 2000):  # the disk is full in the middle of a line
        file = tmp_path / f"{size}.jsonl"
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            with pytest.raises(OSError, match="cannot be written"):
                check(root, report=file)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        known = file.read_bytes().count(b"\n")
        assert known < 12 and (known > 2) == (size == 2000)
        assert check(root, report=file).looked_at == 12 - known and len(found_in(file)) == 12


SLOW = """
import sys
sys.path.insert(0, {here!r})
import data_sets
from vivit_lab.cli import main
from vivit_lab.data import checking
checking.examine = data_sets.slow
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_keeps_what_is_done_and_the_next_run_reads_the_rest_only(tmp_path):
    """A real SIGINT to a real process; each video that is opened leaves a line in a log."""
    count, root, report = 16, tmp_path / "v", tmp_path / "r.jsonl"
    touch(root, *(f"{n:02d}.mp4" for n in range(count)))
    command = [sys.executable, "-c", SLOW.format(here=str(Path(__file__).parent))]
    command += ["check", str(root), "--workers", "1", "--report", str(report)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    run = subprocess.Popen(command, **pipes)
    while not report.exists() or report.read_text().count("\n") < 5:
        assert run.poll() is None, run.communicate()
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)  # while 05.mp4 is being looked at, which takes for ever
    out, err = run.communicate(timeout=240)
    assert run.returncode == 130, err
    for said in (
        "Stopped: 11 videos are not checked yet",
        "same report file",
        "11  not looked at",
        "5  ok",
    ):
        assert said in out and "Traceback" not in err
    done = set(found_in(report))
    assert len(done) == 5

    (root / "opened.log").unlink()
    touch(root, "go.txt")
    again = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0, again.stderr
    opened = [os.path.basename(path) for path in (root / "opened.log").read_text().split()]
    assert sorted(opened) == [f"{n:02d}.mp4" for n in range(count) if f"{n:02d}.mp4" not in done]
    assert f"{count}  ok" in again.stdout and "5 videos known from an earlier check" in again.stdout

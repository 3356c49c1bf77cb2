"""`check` finds every bad video, survives what videos do to it, and goes on where it stopped."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from data_sets import EPIC_ROW, epic, kinetics, write

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "video"))
from clips import write_clip

from vivit_lab.data import CheckReport, check, read_csv
from vivit_lab.data.checking import CheckInterrupted, pool, scan
from vivit_lab.data.checking.examine import examine
from vivit_lab.data.checking.records import ReportError


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """40 frames, 25 a second."""
    return write_clip(tmp_path_factory.mktemp("clip") / "good.mp4", frames=40)


def in_this_process(tasks, workers, limit):
    for task in tasks:
        yield task, examine(**task)


@pytest.fixture
def at_once(monkeypatch):
    """Look at videos in this process: for what does not depend on the others, and quick."""
    monkeypatch.setattr(scan, "examine_all", in_this_process)


def copies(clip, root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(clip, path)
    return root


def spoil(root):
    """The bad ones that everybody meets."""
    whole = (root / "good.mp4").read_bytes()
    (root / "short.mp4").write_bytes(whole[: len(whole) // 2])
    (root / "empty.mp4").write_bytes(b"")
    (root / "text.mp4").write_text("Dear diary, ...")
    return root


def statuses(report: CheckReport) -> dict[str, str]:
    return {os.path.relpath(f.path, report.base): f.status for f in report.findings}


# --- what it finds --------------------------------------------------------------------------------


@pytest.mark.parametrize("full", [False, True])
def test_bad_videos_are_named_with_their_reason_and_the_worst_comes_first(
    tmp_path, clip, full, at_once
):
    root = spoil(copies(clip, tmp_path / "v", "good.mp4", "deep/er/good.mp4"))
    (root / "notes.md").write_text("x")
    report = check(root, full=full)
    assert not report.ok
    assert report.counts == {"unreadable": 3, "missing": 0, "outside": 0, "short": 0, "ok": 2}
    assert [f.status for f in report.findings] == ["unreadable"] * 3 + ["ok"] * 2
    text = str(report)
    assert text.index("short.mp4") < text.index("VIDEOS")
    for words in ("the file is empty (0 bytes)", "this is a text file", "1 .md", "all 25 fps"):
        assert words in text
    assert "all 96x168" in text and "1.60 to 1.60 s" in text and "40 to 40" in text


def test_damage_in_the_middle_is_found_when_every_frame_is_decoded(tmp_path, at_once):
    path = write_clip(tmp_path / "v.mp4", frames=250, options={"g": "10", "bf": "0"})
    data = bytearray(path.read_bytes())
    data[len(data) // 5 : len(data) // 5 + 400] = bytes(400)
    path.write_bytes(data)
    report = check(path, full=True)
    assert report.counts["unreadable"] == 1 and "damaged" in report.findings[0].reason


def test_one_video_and_one_without_an_extension(tmp_path, clip, at_once):
    assert check(clip).ok
    root = copies(clip, tmp_path, "no_extension")
    assert check(root).counts["ok"] == 1


def test_short_clips_are_named_only_if_a_span_is_asked_for(clip, at_once):
    assert check(clip).ok
    assert check(clip, frames=20, stride=2).ok  # 39 frames
    report = check(clip, frames=21, stride=2)
    assert report.counts["short"] == 1 and not report.ok
    assert "40 of 41 frames" in str(report)


def test_a_catalog_brings_missing_ones_classes_and_lines(tmp_path, clip, at_once):
    root = copies(clip, tmp_path / "v", "a.mp4", "b.mp4")
    (root / "b.mp4").write_bytes(b"")
    annotations = write(tmp_path / "l.csv", "path,label\na.mp4,run\nb.mp4,jump\nc.mp4,run\n")
    report = check(annotations, root=root)
    assert statuses(report) == {"b.mp4": "unreadable", "c.mp4": "missing", "a.mp4": "ok"}
    assert [f.line for f in report.findings] == [3, 4, 2]
    text = str(report)
    assert "c.mp4  [line 4]" in text and "1 class without a segment: 'jump'" in text
    assert (
        str(check(read_csv(annotations, root), root=root)).split("\n\n")[1:]
        == (text.split("\n\n")[1:])
    )


def test_segments_are_held_against_the_real_length(tmp_path, clip, at_once):
    copies(clip, tmp_path, "abc.mp4")
    rows = ["x,abc,0,1,t", "x,abc,1,2,t", "x,abc,0,60,t", "x,abc,59,69,t"]
    report = check(kinetics(tmp_path, *rows), frames=16, stride=1)
    assert [(f.status, f.line) for f in report.findings] == [
        ("outside", 3),
        ("outside", 4),
        ("outside", 5),
        ("ok", 2),
    ]
    assert "lasts 1.6 s" in str(report)
    assert "25 of 26" in str(check(tmp_path / "train.csv", frames=26, stride=1))


def test_folders_of_frames(tmp_path, at_once):
    from PIL import Image

    folder = tmp_path / "P01" / "rgb_frames" / "P01_101"
    folder.mkdir(parents=True)
    for number in range(1, 121):
        Image.new("RGB", (32, 24)).save(folder / f"frame_{number:010d}.jpg")
    annotations = epic(tmp_path, EPIC_ROW)
    report = check(annotations, frames=87, stride=1)  # frames 26 to 112, both included
    assert report.ok and report.videos[0]["fps"] == 50
    (folder / "frame_0000000061.jpg").write_bytes(b"x")
    assert "frame_0000000061.jpg" in check(annotations).findings[0].reason


def test_names_that_are_hard_to_print(tmp_path, clip, at_once):
    names = ["two\nlines.mp4", 'a "quoted" %03d, *.mp4', "-dash.mp4", "тест 視頻.mp4"]
    root = copies(clip, tmp_path / "v", *names)
    shutil.copyfile(clip, os.fsencode(root) + b"/not_utf8_\xff.mp4")
    with open(os.fsencode(root) + b"/bad\xfe\n.mp4", "wb"):
        pass
    report = check(root, report=tmp_path / "r.jsonl")
    assert report.counts["ok"] == 5 and report.counts["unreadable"] == 1
    assert "bad\\udcfe\\n.mp4" in str(report)
    assert "bad\\udcfe\\n.mp4" in (tmp_path / "r.txt").read_text()
    again = check(root, report=tmp_path / "r.jsonl")
    assert again.looked_at == 0 and again.counts == report.counts


def test_nothing_to_check(tmp_path, at_once):
    with pytest.raises(FileNotFoundError, match="no such file"):
        check(tmp_path / "nothing")
    with pytest.raises(ValueError, match="no video in this folder"):
        check(tmp_path)


# --- videos that hang or kill ---------------------------------------------------------------------


UNKIND = """if path[-5] == "1": os.kill(os.getpid(), 9)
        if path[-5] == "2": time.sleep(1000)
        if path[-5] == "3": os._exit(7)"""


def test_a_video_that_kills_or_hangs_its_process_is_named_and_the_rest_goes_on(
    tmp_path, clip, monkeypatch
):
    root, file = copies(clip, tmp_path / "v", *(f"{n}.mp4" for n in range(6))), tmp_path / "r.jsonl"
    with monkeypatch.context() as unkind:
        before_each(unkind, tmp_path, UNKIND)
        report = check(root, workers=1, timeout=8, report=file)
    assert report.counts["ok"] == 3
    reasons = {os.path.basename(f.path): f.reason for f in report.findings if f.reason}
    assert sorted(reasons) == ["1.mp4", "2.mp4", "3.mp4"]
    assert "SIGKILL" in reasons["1.mp4"]
    assert "nothing came back within 8 s" in reasons["2.mp4"]
    assert "exit status 7" in reasons["3.mp4"]

    monkeypatch.setattr(scan, "examine_all", in_this_process)
    again = check(root, report=file)  # the machine may have been to blame: they are tried again
    assert again.ok and again.looked_at == 3


def test_a_process_that_died_between_two_videos_is_not_the_next_ones_fault(clip):
    worker = pool.Worker(60)
    task = {"path": str(clip), "fps": None, "full": False, "segments": []}
    try:
        assert worker.examine(task)["frames"] == 40
        worker._process.kill()
        worker._process.wait()
        assert worker.examine(task)["frames"] == 40
    finally:
        worker.stop()
        worker._end()


def test_processes_that_cannot_start_say_why(clip, monkeypatch):
    monkeypatch.setattr(sys, "path", ["/nowhere"])
    monkeypatch.setattr(sys, "executable", "/usr/bin/env")
    with pytest.raises(pool.WorkerError, match="could not start"):
        check(clip)


def before_each(monkeypatch, folder, line):
    """Run `line` in the workers before they open a video; `path` is its path.

    Python imports `sitecustomize` when it starts; the workers find ours in their path.
    """
    code = f"""
import os, sys, time

def isdir(path, real=os.path.isdir, seen=set()):  # the first thing that is asked about a video
    path = os.fspath(path)
    if str(path).endswith(".mp4") and path not in seen:
        seen.add(path)
        {line}
    return real(path)

if "checking.worker" in " ".join(sys.orig_argv):
    os.path.isdir = isdir
"""
    write(folder / "site" / "sitecustomize.py", code)
    monkeypatch.syspath_prepend(folder / "site")


# --- resuming -------------------------------------------------------------------------------------


def test_only_what_has_changed_is_looked_at_again(tmp_path, clip, at_once):
    root = spoil(copies(clip, tmp_path / "v", "good.mp4", "b.mp4"))
    file = tmp_path / "report.jsonl"
    first = check(root, report=file)
    assert first.looked_at == 5
    again = check(root, report=file)
    assert again.looked_at == 0 and again.counts == first.counts and "5 videos known" in str(again)
    shutil.copyfile(clip, root / "text.mp4")
    (root / "b.mp4").unlink()
    copies(clip, root, "new.mp4")
    os.utime(root / "good.mp4", (1, 1))
    third = check(root, report=file)
    assert third.looked_at == 3
    assert statuses(third) == {
        "empty.mp4": "unreadable",
        "short.mp4": "unreadable",
        **dict.fromkeys(["good.mp4", "new.mp4", "text.mp4"], "ok"),
    }
    assert check(root, report=file, restart=True).looked_at == 5


def test_more_is_looked_at_when_more_is_asked(tmp_path, clip, at_once):
    copies(clip, tmp_path, "abc.mp4")
    file, options = tmp_path / "r.jsonl", {"report": tmp_path / "r.jsonl"}
    annotations = kinetics(tmp_path, "x,abc,0,1,t")
    assert check(annotations, **options).looked_at == 1
    assert check(annotations, full=True, **options).looked_at == 1
    assert check(annotations, **options).looked_at == 0  # every frame was decoded before
    kinetics(tmp_path, "x,abc,0,1,t", "x,abc,0,9,t")
    report = check(annotations, **options)
    assert report.looked_at == 1 and report.counts["outside"] == 1
    assert json.loads(file.read_text().splitlines()[0])["outside"] == 1


def test_the_files_that_it_writes(tmp_path, clip, at_once):
    root = spoil(copies(clip, tmp_path / "v", "good.mp4"))
    report = check(root, report=tmp_path / "r.jsonl")
    head, *lines = map(json.loads, (tmp_path / "r.jsonl").read_text().splitlines())
    assert head["complete"] and head["unreadable"] == 3 and head["ok"] == 1
    assert [line["status"] for line in lines] == ["unreadable"] * 3 + ["ok"]
    assert lines[3]["frames"] == 40 and lines[3]["height"] == 96
    assert (tmp_path / "r.txt").read_text() == report.text() + "\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.jsonl", "r.txt", "v"]


def test_a_line_cut_short_by_a_crash_is_looked_at_again(tmp_path, clip, at_once):
    root, file = copies(clip, tmp_path / "v", "a.mp4", "b.mp4"), tmp_path / "r.jsonl"
    check(root, report=file)
    file.write_bytes(file.read_bytes()[:-30])
    assert check(root, report=file).looked_at == 1
    assert check(root, report=file).looked_at == 0


def test_a_file_that_is_something_else_is_not_overwritten(tmp_path, clip, at_once):
    precious = write(tmp_path / "thesis.jsonl", '{"words": 80000}\n')
    with pytest.raises(ReportError, match="is no report of this command"):
        check(clip, report=precious, restart=True)
    assert precious.read_text() == '{"words": 80000}\n'
    root = copies(clip, tmp_path / "v", "a.mp4")
    check(root, report=tmp_path / "r.jsonl")
    with pytest.raises(ReportError, match="is the report on"):
        check(clip, report=tmp_path / "r.jsonl")
    with pytest.raises(ReportError, match="must not end in .txt"):
        check(clip, report=tmp_path / "r.txt")
    assert check(clip, report=tmp_path / "r.jsonl", restart=True).ok


def test_an_interrupted_check_hands_over_what_it_has(tmp_path, clip, at_once, monkeypatch):
    root, file = copies(clip, tmp_path / "v", *(f"{n}.mp4" for n in range(5))), tmp_path / "r.jsonl"
    check(root, report=file)
    for name in ("1.mp4", "2.mp4", "3.mp4"):
        (root / name).write_bytes(b"")  # what is known of them is no longer true

    def interrupted(tasks, *rest):
        yield next(in_this_process(tasks, *rest))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scan, "examine_all", interrupted)
        with pytest.raises(CheckInterrupted, match="2 videos to go") as stopped:
            check(root, report=file)
    report = stopped.value.report
    assert (report.remaining, report.looked_at, report.ok) == (2, 1, False)
    assert report.counts["ok"] == 2 and report.counts["unreadable"] == 1
    assert "2  not looked at" in str(report) and "2 more known" in str(report)
    assert check(root, report=file).looked_at == 2


def test_ctrl_c_keeps_what_is_done_and_the_next_run_reads_the_rest_only(tmp_path, clip):
    """A real SIGINT to a real process; each video that is opened leaves a line in a log."""
    count, log = 16, tmp_path / "opened.log"
    root = copies(clip, tmp_path / "v", *(f"{n:02d}.mp4" for n in range(count)))
    slow = f"open({str(log)!r}, 'a').write(path + chr(10)); time.sleep(0.3)"
    patch = pytest.MonkeyPatch()
    before_each(patch, tmp_path, slow)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    patch.undo()  # this process is spared; those that it starts are not
    command = [sys.executable, "-m", "vivit_lab", "check", str(root), "--workers", "1"]
    command += ["--report", str(tmp_path / "r.jsonl")]
    run = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    deadline = time.monotonic() + 240
    report = tmp_path / "r.jsonl"
    while not report.exists() or report.read_text().count("\n") < 1 + 4:  # a heading, four videos
        assert time.monotonic() < deadline and run.poll() is None, run.communicate()
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=240)
    assert run.returncode == 130, err
    assert "Stopped" in out and "goes on from here" in out and "Traceback" not in err
    done = [
        json.loads(line)["path"] for line in (tmp_path / "r.jsonl").read_text().splitlines()[1:]
    ]
    assert 4 <= len(done) < count and f"{count - len(done)}  not looked at" in out

    log.unlink()
    again = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert again.returncode == 0, again.stderr
    opened = log.read_text().split()
    assert not set(opened) & set(done)
    assert len(opened) == len(set(opened)) == count - len(done)
    assert f"{count}  ok" in again.stdout


SCRIPT = """
import os, subprocess, threading
from vivit_lab.data import check
report = check({root!r}, workers=2)
left = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "args="], capture_output=True)
threads = [thread for thread in threading.enumerate() if "_work" in thread.name]
print(report.ok, b"checking.worker" in left.stdout, threads)
"""


def test_it_works_from_a_script_without_a_main_guard_and_leaves_no_process_behind(tmp_path, clip):
    """What trips multiprocessing: a script that starts processes as it is imported."""
    root = copies(clip, tmp_path / "v", "a.mp4", "b.mp4", "c.mp4")
    script = write(tmp_path / "script.py", SCRIPT.format(root=str(root)))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=240)
    assert done.stdout == "True False []\n", done.stderr


# --- a full disk ----------------------------------------------------------------------------------

LIMITED = """
import resource, sys
from vivit_lab.__main__ import main
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("size", [40, 2000])
def test_a_full_disk_leaves_whole_lines_and_a_clear_sentence(tmp_path, clip, size, at_once):
    root = copies(clip, tmp_path / "v", *(f"{n}.mp4" for n in range(12)))
    file = tmp_path / "r.jsonl"
    command = [sys.executable, "-c", LIMITED.format(size=size), "check", str(root)]
    command += ["--report", str(file), "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 2 and "cannot be written" in done.stderr, done.stdout
    assert "Traceback" not in done.stderr
    if size == 40:  # not even the first line
        assert [path.name for path in tmp_path.iterdir()] == ["v"]
        return
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.jsonl", "v"]
    assert file.read_bytes().endswith(b"\n")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert 2 < len(lines) < 12
    assert check(root, report=file).looked_at == 12 - (len(lines) - 1)


@pytest.mark.parametrize("place", ["/dev/full", "folder"])
def test_what_is_no_ordinary_file_is_not_replaced_by_a_report(tmp_path, clip, place):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ReportError, match="a folder, or a device"):
        check(clip, report=tmp_path / place)
    assert not Path("/dev/full").is_file() and (tmp_path / "folder").is_dir()

"""ClipLoader when things go wrong: a clear error within seconds, and nobody left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset

from vivit_lab.data.loader import ClipLoader, LoadingError

SECONDS = 60  # far more than any of this should take on a busy machine


class Faulty(Dataset):
    """Does `action` at sample 5; the other samples are fine."""

    def __init__(self, action, count=40):
        self.action, self.count = action, count

    def __len__(self):
        return self.count

    def name_of(self, number):
        return f"/videos/{number}.mp4"

    def __getitem__(self, number):
        if number == 5:
            self.action()
        return torch.zeros(1, 3, 8, 8, dtype=torch.uint8), number


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def bus_error():
    signal.signal(signal.SIGBUS, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGBUS)


def no_shared_memory():
    raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left")


def divide():
    return 1 / 0


def sleep():
    time.sleep(1000)


def leave():
    os._exit(3)


def failed(action, **settings):
    """The error that the loader ends in, and how long it took; no worker is left."""
    settings = {"batch_size": 2, "workers": 2, **settings}
    loader, begun = ClipLoader(Faulty(action), **settings), time.monotonic()
    with pytest.raises(LoadingError) as caught:
        list(loader)
    assert time.monotonic() - begun < SECONDS
    assert not multiprocessing.active_children()
    return caught.value


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_a_killed_worker_is_named_with_the_sample_that_it_had(context):
    said = str(failed(kill, context=context))
    assert "worker 0" in said and "sample 5 (/videos/5.mp4)" in said and "out of memory" in said


def test_a_worker_that_just_ends_is_named_too():
    assert "sample 5 (/videos/5.mp4)" in str(failed(leave))


def test_a_worker_killed_while_training_computes():
    loader, begun = ClipLoader(Faulty(int), batch_size=2, workers=2), time.monotonic()
    with pytest.raises(RuntimeError, match=r"[Ww]orker.* (ended|killed|exited)"):
        for _ in loader:
            for worker in multiprocessing.active_children():
                os.kill(worker.pid, signal.SIGKILL)
            time.sleep(0.2)
    assert time.monotonic() - begun < SECONDS
    loader.close()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_exception_names_the_sample_its_file_and_the_line(workers):
    error = failed(divide, workers=workers)
    assert str(error) == "sample 5 (/videos/5.mp4): ZeroDivisionError: division by zero"
    (note,) = error.__notes__
    assert "return 1 / 0" in note


def test_a_stuck_worker_is_given_up():
    loader = ClipLoader(Faulty(sleep), batch_size=2, workers=2)
    batches = iter(loader)
    next(batches), next(batches)  # to start may take a worker long
    loader._timeout, begun = 1.5, time.monotonic()
    with pytest.raises(LoadingError) as caught:
        list(batches)
    assert time.monotonic() - begun < SECONDS
    assert not multiprocessing.active_children()
    said = str(caught.value)
    assert "No batch came for 1.5 s" in said and "sample 5 (/videos/5.mp4)" in said


@pytest.mark.parametrize("action", [bus_error, no_shared_memory])
def test_shared_memory_that_is_full_comes_with_advice(action):
    said = str(failed(action))
    assert "MB free of" in said and "--shm-size" in said and "fewer workers" in said
    assert "5" in said


def test_the_signal_that_killed_a_worker_is_known_where_torch_did_not_hear_of_it():
    list(ClipLoader(Faulty(int), workers=1))  # torch listens from its first worker on
    listens = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        assert "MB free of" in str(failed(bus_error))
        assert "signal (Killed): worker 0" in str(failed(kill))
    finally:
        signal.signal(signal.SIGCHLD, listens)


def test_a_connection_that_breaks_as_a_worker_dies_is_a_death(monkeypatch):
    """The system closes what a dying process has open before it says that the process is dead."""
    loader = ClipLoader(Faulty(int), batch_size=2, workers=2)
    batches = iter(loader)
    next(batches), next(batches)  # both workers are at work
    listens = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch is not the first to know

    def broken(_):
        os.kill(loader._batches._workers[1].pid, signal.SIGKILL)
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(type(loader._batches), "__next__", broken)
    try:
        with pytest.raises(LoadingError, match=r"signal \(Killed\): worker 1"):
            list(loader)
    finally:
        signal.signal(signal.SIGCHLD, listens)
    assert not multiprocessing.active_children()


def test_a_connection_that_breaks_while_all_live_is_no_death(monkeypatch):
    loader = ClipLoader(Faulty(int), batch_size=2, workers=2)
    next(iter(loader))

    def broken(_):
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(type(loader._batches), "__next__", broken)
    monkeypatch.setattr("vivit_lab.data.loader.PATIENCE", 0.1)
    with pytest.raises(ConnectionResetError):
        list(loader)
    assert not multiprocessing.active_children()


def test_clips_of_different_shapes_are_named():
    class Ragged(Faulty):
        def __getitem__(self, number):
            return torch.zeros(1, 3, 8, 8 + number, dtype=torch.uint8), number

    with pytest.raises(LoadingError, match=r"samples \[0, 1\].*different shapes"):
        next(iter(ClipLoader(Ragged(int), batch_size=2, workers=1)))


def test_an_error_of_training_itself_passes_through_and_the_loader_goes_on():
    loader = ClipLoader(Faulty(int), batch_size=4, workers=2)
    with pytest.raises(ZeroDivisionError):
        for _ in loader:
            divide()
    begun = time.monotonic()
    assert [batch.numbers[0].item() for batch in loader] == list(range(4, 40, 4))
    loader.close()
    assert time.monotonic() - begun < SECONDS and not multiprocessing.active_children()


class Large(Faulty):
    """Clips of 12 MB, so that handing one over takes a while."""

    def __getitem__(self, number):
        return torch.zeros(1, 3, 2000, 2000, dtype=torch.uint8), number


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_workers_that_are_handing_over_a_clip_end_in_peace(capfd, context):
    for _ in range(3):
        loader = ClipLoader(Large(int), batch_size=1, workers=2, context=context)
        next(iter(loader))
        loader.close()
    assert capfd.readouterr().err == ""
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("context", ["spawn", "forkserver"])
def test_what_cannot_be_sent_to_a_worker_is_explained(context):
    with pytest.raises(TypeError, match="cannot be sent to workers.*lambda"):
        list(ClipLoader(Faulty(lambda: None), workers=1, context=context))
    assert not multiprocessing.active_children()


class SecondIsLate(Faulty):
    """The second worker needs three seconds longer to start than the first."""

    def __setstate__(self, state):
        if multiprocessing.current_process().name.endswith("-2"):
            time.sleep(3)
        self.__dict__ = state


SCRIPT = """
import atexit, multiprocessing, signal, sys, time
import torch

if __name__ == "__main__":  # run after what vivit_lab registers, before Python ends the workers
    atexit.register(lambda: print(repr(signal.getsignal(signal.SIGCHLD)), flush=True))

sys.path.insert(0, {folder!r})
from test_loading_faults import Faulty, SecondIsLate
from vivit_lab.data.loader import ClipLoader

if __name__ == "__main__":
    loader = ClipLoader({dataset}(int), batch_size=1, workers=2, context={context!r})
    if {early}:
        loader._start()
        print("started", flush=True)
    for batch in loader:
        pids = [worker.pid for worker in multiprocessing.active_children()]
        print("pids", *pids, flush=True)
        while True:
            time.sleep(0.1)
"""


@pytest.mark.parametrize(
    ("context", "early", "dataset"),
    [
        ("fork", 0, "Faulty"),
        ("spawn", 0, "Faulty"),
        ("spawn", 0, "SecondIsLate"),
        ("spawn", 1, "Faulty"),
    ],
)
def test_ctrl_c_ends_everybody_with_one_stack(tmp_path, context, early, dataset):
    script = tmp_path / "script.py"
    folder = str(Path(__file__).parent)
    script.write_text(SCRIPT.format(folder=folder, context=context, early=early, dataset=dataset))
    with subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        line = running.stdout.readline().split()
        if early:  # the workers are importing
            time.sleep(0.5)
        os.killpg(running.pid, signal.SIGINT)  # as the terminal does: to everybody
        rest, errors = running.communicate(timeout=SECONDS)
    assert running.returncode not in (0, None)
    assert errors.count("Traceback") == 1 and errors.rstrip().endswith("KeyboardInterrupt")
    assert "SIG_DFL" in rest.splitlines()[-1]  # else torch tells, now and then, of a death
    for pid in line[1:]:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
    assert _gone(running.pid)


def _gone(session: int) -> bool:
    """Whether nobody is left in the session; Python's own helper of spawn takes a moment."""
    for _ in range(100):
        try:
            os.killpg(session, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False

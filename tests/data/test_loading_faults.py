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
from numbered import Marks, divide, kill, sleep

from vivit_lab.data import ClipLoader, LoadingError

SECONDS = 60  # far more than any of this should take on a busy machine


@pytest.fixture(autouse=True)
def nobody_is_left_behind():
    yield
    assert not multiprocessing.active_children()


def kill_all():
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, signal.SIGKILL)


@pytest.mark.parametrize("context", ["forkserver", "fork"])
def test_killed_workers_are_an_error_that_says_what_may_have_happened(context):
    for dataset, meanwhile in ((Marks(action=kill), int), (Marks(), kill_all)):
        loader = ClipLoader(dataset, batch_size=2, workers=2, context=context)
        with pytest.raises(LoadingError, match="If a worker ended.*may have run"):
            for _ in loader:
                meanwhile()


def test_an_exception_names_the_sample_its_file_and_the_line():
    for workers in (0, 1):
        with pytest.raises(LoadingError) as error:
            list(ClipLoader(Marks(action=divide), 2, workers))
        said = "sample 5 (/videos/5.mp4): ZeroDivisionError: division by zero"
        (note,) = error.value.__notes__
        assert str(error.value) == said and "return 1 / 0" in note
        assert not multiprocessing.active_children()  # though the error holds the loader


def test_a_stuck_worker_is_given_up_and_so_is_a_broken_connection(monkeypatch):
    loader = ClipLoader(Marks(action=sleep), batch_size=2, workers=2)
    batches = iter(loader)
    next(batches), next(batches)  # to start may take a worker long
    loader._timeout = 1.5
    with pytest.raises(LoadingError, match=r"No batch came for 1\.5 s"):
        list(batches)

    def broken(_):
        raise ConnectionResetError(104, "Connection reset by peer")

    loader = ClipLoader(Marks(), batch_size=2, workers=1)
    next(iter(loader))
    monkeypatch.setattr(type(loader._batches), "__next__", broken)
    with pytest.raises(LoadingError, match="reset by peer.*If a worker ended"):
        list(loader)


class Ragged(Marks):
    def __getitem__(self, number):
        return torch.zeros(1, 3, 8, 8 + number, dtype=torch.uint8), number


class Unlike(Marks):
    def __getitem__(self, number):
        return torch.zeros(1, 3, 8, 8), [{"verb": 1}, {"noun": 2}, None][number % 3]


def test_samples_that_do_not_go_side_by_side_are_named():
    for kind, said in (
        (Ragged, "equal size"),
        (Unlike, "different classifiers, or some are missing"),
    ):
        with pytest.raises(LoadingError, match=rf"^the batch of samples \[0, 1\].*{said}"):
            list(ClipLoader(kind(), batch_size=2))


def test_an_error_of_training_itself_passes_through_and_the_loader_goes_on():
    with ClipLoader(Marks(), batch_size=4, workers=2) as loader:
        with pytest.raises(ZeroDivisionError):
            for _ in loader:
                divide()
        assert [batch.numbers[0].item() for batch in loader] == list(range(4, 40, 4))


@pytest.mark.filterwarnings("ignore:Got pickle error")  # torch's own advice, before ours
def test_what_cannot_be_sent_to_a_worker_is_explained():
    with pytest.raises(TypeError, match="cannot be sent to workers.*lambda"):
        list(ClipLoader(Marks(action=lambda: None), workers=1))


SCRIPT = """
import multiprocessing, os, sys, time

sys.path.insert(0, {folder!r})
if __name__ == "__mp_main__":  # in a worker, which imports for long
    os.write(1, b"importing\\n")
    time.sleep(1)
from numbered import Marks
from vivit_lab.data import ClipLoader

def tell():
    print(*(worker.pid for worker in multiprocessing.active_children()), flush=True)

if __name__ == "__main__":
    try:
        loader = ClipLoader(Marks(), batch_size=1, workers=2, context="spawn")
        loader._start()
        tell()
        next(iter(loader))
    except KeyboardInterrupt:
        loader.close()
    for batch in ClipLoader(Marks(), batch_size=1, workers=2):
        tell()
        time.sleep(1000)
"""


def test_ctrl_c_ends_everybody_with_one_stack(tmp_path):
    """First while the workers are still importing, then while they are at work."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(folder=str(Path(__file__).parent)))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, script], start_new_session=True, **pipes) as running:
        pids = []
        for _ in range(2):
            lines = [running.stdout.readline().split() for _ in range(3)]
            pids += [word for line in lines for word in line if word != "importing"]
            os.killpg(running.pid, signal.SIGINT)  # as the terminal does: to everybody
        _, errors = running.communicate(timeout=SECONDS)
    assert running.returncode not in (0, None) and len(set(pids)) == 4
    assert errors.count("Traceback") == 1 and errors.rstrip().endswith("KeyboardInterrupt")
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
    for _ in range(10 * SECONDS):  # Python's own helpers take a moment
        try:
            os.killpg(running.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("somebody is left in the session")

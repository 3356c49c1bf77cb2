"""The Makefile with stand-ins for Python: which one it takes, what it says, when it installs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ["help", "lab", "test", "notebooks", "bench", "lint", "clean"]
TOOLS = ["sh", "make", "id", "mkdir", "touch", "tee", "echo", "cp", "rm", "find"]

pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS), reason="needs make and a Unix shell"
)

OLD = 'case "$*" in *"%d.%d"*) echo 3.9 ;; *) exit 1 ;; esac'
NO_VENV = 'case "$*" in *"%d.%d"*) echo 3.11 ;; *ensurepip*) exit 1 ;; esac'
SHIM = 'echo "pyenv: python3: command not found" >&2; exit 127'
# A Python that works: writes down how it was called; `-m venv` makes a .venv with itself inside.
GOOD = """
case "$*" in
    *"%d.%d"*) echo 3.12 ;;
    *"-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    *"pip install"*) echo "Downloading torch.whl (900.1 MB)"; echo "Collecting timm" ;;
esac
echo "$*" >> calls
"""
PIP_FAILS = GOOD.replace('"Collecting timm"', '"ERROR: no network"; exit 1')


@pytest.fixture
def house(tmp_path):
    """A folder with the Makefile, and a PATH with a few tools and no Python but the given ones."""
    return House(tmp_path)


class House:
    def __init__(self, folder):
        self.folder, self.bin = folder / "vivit lab", folder / "bin"
        self.folder.mkdir()
        self.bin.mkdir()
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.folder)
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))

    def python(self, name, script):
        file = self.bin / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return file

    def make(self, *arguments):
        # a bare environment: nothing of the `make test` that may be running this
        environment = {"PATH": str(self.bin), "HOME": str(self.folder), "LC_ALL": "C"}
        return subprocess.run(
            ["make", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def calls(self):
        """How the good Python was called since the last time that this was asked."""
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines


@pytest.mark.parametrize(
    ("scripts", "arguments", "words"),
    [
        ({}, [], ["no Python found", "3.11 or newer"]),
        ({"python3": SHIM}, [], ["no Python found", "3.11 or newer"]),
        ({"python3": OLD}, [], ["python3 is Python 3.9", "3.11 or newer", "PYTHON="]),
        ({"python3": NO_VENV}, [], ["venv", "apt install python3.11-venv"]),
        ({"python3": OLD, "python3.11": NO_VENV}, [], ["apt install python3.11-venv"]),
        ({"python3": GOOD, "mine": OLD}, ["PYTHON=mine"], ["mine is Python 3.9"]),
        ({"python3": GOOD}, ["PYTHON=./nowhere"], ["./nowhere does not start"]),
    ],
)
def test_what_is_missing_is_said_in_one_line(house, scripts, arguments, words):
    for name, script in scripts.items():
        house.python(name, script)
    done = house.make("lab", *arguments)
    assert done.returncode == 2
    said = (done.stdout + done.stderr).splitlines()
    assert len(said) == 1
    for word in words:
        assert word in said[0]


@pytest.mark.parametrize(
    ("scripts", "arguments", "taken"),
    [
        ({"python3": GOOD, "python3.12": GOOD}, [], "python3"),
        ({"python3": SHIM, "python3.12": GOOD}, [], "python3.12"),
        ({"python3": OLD, "python3.13": NO_VENV, "python3.11": GOOD}, [], "python3.11"),
        ({"python3": GOOD, "mine": GOOD}, ["PYTHON=mine"], "mine"),
    ],
)
def test_the_first_python_that_works_is_taken(house, scripts, arguments, taken):
    for name, script in scripts.items():
        house.python(name, script)
    assert f"Making .venv with {taken} ..." in house.make("lab", *arguments).stdout


def test_a_path_with_spaces_is_taken(house):
    mine = house.python("my python", GOOD)
    assert house.make("lab", f"PYTHON={mine}").returncode == 0


def test_lab_installs_once_and_says_what_it_does(house):
    house.python("python3", GOOD)
    first = house.make("lab", "LAB_FLAGS=--no-browser")
    assert "Installing . (3 to 5 minutes;" in first.stdout
    assert "Downloading torch.whl (900.1 MB)" in first.stdout
    assert "Collecting" not in first.stdout
    calls = house.calls()
    assert [call for call in calls if "pip install" in call and call.endswith("-e .")]
    assert "-m jupyterlab" in calls[-1] and calls[-1].endswith("--no-browser")
    assert "default_url=/lab/tree/notebooks/00_start_here.ipynb" in calls[-1]
    assert ("--allow-root" in calls[-1]) == (os.getuid() == 0)
    settings = house.folder / ".venv/share/jupyter/lab/settings/overrides.json"
    assert '"fetchNews": "false"' in settings.read_text()

    second = house.make("lab")
    assert second.stdout == ""
    assert len(house.calls()) == 1  # JupyterLab alone


@pytest.mark.parametrize("given, passed_on", [((), "1000"), (("GOMP_SPINCOUNT=7",), "7")])
def test_idle_threads_are_told_to_give_up_the_core_soon(house, given, passed_on):
    """Of whatever make starts."""
    house.python("python3", GOOD + 'echo "$GOMP_SPINCOUNT" > spins')
    house.make("lab", *given)
    assert (house.folder / "spins").read_text().strip() == passed_on


def test_conda_and_the_command_line_tell_idle_threads_the_same():
    assert "\n  GOMP_SPINCOUNT: 1000 " in (ROOT / "environment.yml").read_text()
    script = "import os, vivit_lab.__main__; print(os.environ['GOMP_SPINCOUNT'])"
    command = [sys.executable, "-c", script]
    bare = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"}
    assert subprocess.check_output(command, env=bare, cwd=ROOT, text=True) == "1000\n"


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_a_change_of_requirements_installs_again(house, changed):
    house.python("python3", GOOD)
    house.make("lab")
    house.calls()
    later = (house.folder / ".venv/lab.stamp").stat().st_mtime + 10
    os.utime(house.folder / changed, (later, later))
    assert "Installing . (under a minute) ..." in house.make("lab").stdout
    calls = house.calls()
    assert sum("pip install" in call for call in calls) == 1
    assert not any("-m venv" in call for call in calls)


def test_extras_are_installed_by_the_targets_that_need_them(house):
    house.python("python3", GOOD)
    house.python("chromium", "exit 0")
    for target, extra in [("lab", "."), ("test", ".[test]"), ("bench", ".[test,bench]")]:
        assert house.make(target).returncode == 0
        pips = [call for call in house.calls() if "pip install" in call]
        assert len(pips) == 1 and pips[0].endswith(f"-e {extra}")
    for target in TARGETS[:-1]:
        house.make(target)
    assert not [call for call in house.calls() if "pip install" in call]


def test_a_failed_install_stops_and_is_tried_again(house):
    house.python("python3", PIP_FAILS)
    for _ in range(2):
        done = house.make("lab")
        assert done.returncode == 2
        assert "ERROR: no network" in done.stderr
        assert "Installing failed: .venv/install.log has the details." in done.stderr
        assert not any("jupyterlab" in call for call in house.calls())


def test_test_lints_then_runs_pytest(house):
    house.python("python3", GOOD)
    house.python("google-chrome", "exit 0")
    house.make("test", "PYTEST_FLAGS=-k tubelet")
    after = house.calls()[-3:]
    assert [call.split()[1] for call in after] == ["ruff", "ruff", "pytest"]
    assert after[-1].endswith("-k tubelet")


def test_without_a_chromium_playwright_is_asked_and_a_clear_line_said(house):
    house.python("python3", GOOD)
    assert house.make("test").returncode == 0
    assert "-m playwright install chromium" in house.calls()

    shutil.rmtree(house.folder / ".venv")
    house.python("python3", GOOD.replace("esac", '*"playwright install"*) exit 1 ;;\nesac'))
    done = house.make("test")
    assert done.returncode == 2
    assert "apt install chromium" in done.stderr and "NO_BROWSER=1" in done.stderr

    assert house.make("test", "NO_BROWSER=1").returncode == 0
    assert "--ignore=tests/browser" in house.calls()[-1]


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_a_recipe(house, target):
    house.python("python3", GOOD)
    done = house.make("-n", target)
    assert done.returncode == 0, done.stderr
    assert f"make {target} " in house.make().stdout or target == "help"


def test_clean_leaves_no_environment(house):
    house.python("python3", GOOD)
    house.make("lab")
    for name in ("notebooks", "tests", "vivit_lab"):
        (house.folder / name / "__pycache__").mkdir(parents=True)
    assert house.make("clean").returncode == 0
    assert not (house.folder / ".venv").exists()
    assert not list(house.folder.glob("*/__pycache__"))
    assert house.make("lab").returncode == 0

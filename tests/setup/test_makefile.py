"""The Makefile with stand-ins for Python: which one it takes, what it says, when it installs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ["help", "lab", "test", "notebooks", "bench", "lint", "clean"]
TOOLS = ["sh", "make", "id", "mkdir", "touch", "tee", "echo", "cp", "rm", "find"]

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)), reason="needs make and a Unix shell"
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
echo "$GOMP_SPINCOUNT" > spins
echo "$*" >> calls
"""
PIP_FAILS = GOOD.replace('"Collecting timm"', '"ERROR: no network"; exit 1')


class House:
    """A folder with the Makefile, and a PATH with a few tools and no Python but the given ones."""

    def __init__(self, folder, **scripts):
        self.folder, self.bin = folder / "vivit lab", folder / "bin"
        self.folder.mkdir(parents=True)
        self.bin.mkdir()
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.folder)
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        for name, script in scripts.items():
            self.program(name.replace("_", "."), script)

    def program(self, name, script="exit 0"):
        file = self.bin / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return file

    def make(self, *arguments):
        # a bare environment: nothing of the `make test` that may be running this
        bare = {"PATH": str(self.bin), "HOME": str(self.folder), "LC_ALL": "C"}
        how = {"cwd": self.folder, "env": bare, "stdin": subprocess.DEVNULL, "text": True}
        return subprocess.run(["make", *arguments], capture_output=True, **how)

    def calls(self):
        """How the good Python was called since the last time that this was asked."""
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines


@pytest.fixture
def house(tmp_path):
    return House(tmp_path, python3=GOOD)


def test_the_first_python_that_works_is_taken_or_what_is_missing_is_said_in_one_line(tmp_path):
    for number, (words, arguments, scripts) in enumerate(
        (
            ("Making .venv with python3 ...", [], {"python3": GOOD, "python3_12": GOOD}),
            ("with python3.12 ...", [], {"python3": SHIM, "python3_12": GOOD}),
            (
                "with python3.11 ...",
                [],
                {"python3": OLD, "python3_13": NO_VENV, "python3_11": GOOD},
            ),
            ("with mine ...", ["PYTHON=mine"], {"python3": GOOD, "mine": GOOD}),
            ("no Python found.*3.11 or newer", [], {}),
            ("no Python found.*3.11 or newer", [], {"python3": SHIM}),
            ("python3 is Python 3.9.*3.11 or newer.*PYTHON=", [], {"python3": OLD}),
            ("venv.*apt install python3.11-venv", [], {"python3": NO_VENV}),
            ("apt install python3.11-venv", [], {"python3": OLD, "python3_11": NO_VENV}),
            ("mine is Python 3.9", ["PYTHON=mine"], {"python3": GOOD, "mine": OLD}),
            ("./nowhere does not start", ["PYTHON=./nowhere"], {"python3": GOOD}),
        )
    ):
        done = House(tmp_path / str(number), **scripts).make("lab", *arguments)
        said = done.stdout + done.stderr
        assert re.search(words, said), said
        if "with" not in words:
            assert done.returncode == 2 and len(said.splitlines()) == 1
    house = House(tmp_path / "spaces")
    mine = house.program("my python", GOOD)
    assert house.make("lab", f"PYTHON={mine}").returncode == 0


def test_lab_installs_once_and_says_what_it_does_and_clean_leaves_nothing(house):
    said = house.make("lab", "LAB_FLAGS=--no-browser").stdout
    assert "Installing . (3 to 5 minutes;" in said and "Downloading torch.whl (900.1 MB)" in said
    assert "Collecting" not in said
    calls = house.calls()
    assert [call for call in calls if "pip install" in call and call.endswith("-e .")]
    assert "-m jupyterlab" in calls[-1] and calls[-1].endswith("--no-browser")
    assert "default_url=/lab/tree/notebooks/00_start_here.ipynb" in calls[-1]
    assert ("--allow-root" in calls[-1]) == (os.getuid() == 0)
    settings = house.folder / ".venv/share/jupyter/lab/settings/overrides.json"
    assert '"fetchNews": "false"' in settings.read_text()
    assert house.make("lab").stdout == "" and len(house.calls()) == 1  # JupyterLab alone

    for changed in ("pyproject.toml", "constraints.txt"):  # other requirements: again
        later = (house.folder / ".venv/lab.stamp").stat().st_mtime + 10
        os.utime(house.folder / changed, (later, later))
        assert "Installing . (under a minute) ..." in house.make("lab").stdout
        os.utime(house.folder / changed, (later - 20, later - 20))
        calls = house.calls()
        assert sum("pip install" in call for call in calls) == 1
        assert not any("-m venv" in call for call in calls)

    for name in ("notebooks", "tests", "vivit_lab"):
        (house.folder / name / "__pycache__").mkdir(parents=True)
    assert house.make("clean").returncode == 0
    assert not [*house.folder.glob(".venv"), *house.folder.glob("*/__pycache__")]
    assert house.make("lab").returncode == 0


def test_idle_threads_are_told_to_give_up_the_core_soon(house, monkeypatch):
    """By make, by conda, and by the package, where torch is not loaded yet; else doctor says so."""
    for given, passed_on in ((), "1000"), (("GOMP_SPINCOUNT=7",), "7"):
        house.make("lab", *given)
        assert (house.folder / "spins").read_text().strip() == passed_on
    assert "\n  GOMP_SPINCOUNT: 1000 " in (ROOT / "environment.yml").read_text()
    told = "print(os.environ.get('GOMP_SPINCOUNT'), vivit_lab.doctor().checks[1])"
    for modules, given, passed_on, ok in (
        ("vivit_lab, torch", None, "1000", True),
        ("torch, vivit_lab", None, "None", sys.platform != "linux"),
        ("torch, vivit_lab", "7", "7", True),
    ):
        monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
        if given:
            monkeypatch.setenv("GOMP_SPINCOUNT", given)
        command = [sys.executable, "-c", f"import os, {modules}; {told}"]
        said = subprocess.check_output(command, cwd=ROOT, text=True)
        assert said.startswith(f"{passed_on} Check(name='torch', ok={ok}"), said
    for source in sorted(ROOT.glob("notebooks/src/*.py")):
        imports = re.findall(r"^(?:import|from) (\w+)", source.read_text(), re.MULTILINE)
        others = set(imports[: imports.index("vivit_lab")])
        assert others <= sys.stdlib_module_names, source.name


def test_every_target_has_a_recipe_and_installs_the_extras_that_it_needs(house):
    house.program("chromium")
    said = house.make().stdout
    for target in TARGETS:
        assert house.make("-n", target).returncode == 0, target
        assert f"make {target} " in said or target == "help"
    for target, extra in [("lab", "."), ("test", ".[test]"), ("bench", ".[test,bench]")]:
        assert house.make(target).returncode == 0
        pips = [call for call in house.calls() if "pip install" in call]
        assert len(pips) == 1 and pips[0].endswith(f"-e {extra}")
    for target in TARGETS[:-1]:
        house.make(target)
    assert not [call for call in house.calls() if "pip install" in call]


def test_a_failed_install_stops_and_is_tried_again(tmp_path):
    house = House(tmp_path, python3=PIP_FAILS)
    for _ in range(2):
        done = house.make("lab")
        assert done.returncode == 2 and not any("jupyterlab" in call for call in house.calls())
        for words in ("ERROR: no network", "Installing failed: .venv/install.log has the details."):
            assert words in done.stderr


def test_test_lints_then_runs_pytest_with_a_chromium_or_says_what_to_do(house):
    assert house.make("test").returncode == 0
    assert "-m playwright install chromium" in house.calls()

    house.program("google-chrome")
    house.make("test", "PYTEST_FLAGS=-k tubelet")
    after = house.calls()[-3:]
    assert [call.split()[1] for call in after] == ["ruff", "ruff", "pytest"]
    assert after[-1].endswith("-k tubelet")

    (house.bin / "google-chrome").unlink()
    shutil.rmtree(house.folder / ".venv")
    house.program("python3", GOOD.replace("esac", '*"playwright install"*) exit 1 ;;\nesac'))
    done = house.make("test")
    assert done.returncode == 2
    assert "apt install chromium" in done.stderr and "NO_BROWSER=1" in done.stderr
    assert house.make("test", "NO_BROWSER=1").returncode == 0
    assert "--deselect=tests/browser" in house.calls()[-1]

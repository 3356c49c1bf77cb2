"""The files that say what to install agree: pyproject.toml, environment.yml, constraints.txt."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
# conda-forge's name -> PyPI's
PYPI_NAME = {"pytorch": "torch", "matplotlib-base": "matplotlib", "msgpack-python": "msgpack"}


@pytest.fixture(scope="module")
def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def environment():
    return yaml.safe_load((ROOT / "environment.yml").read_text())


def wanted(lines):
    """["av>=14", ...] -> {"av": its bounds}"""
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(each.name): each.specifier for each in requirements}


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {
        canonicalize_name(line.split("==")[0]): line.split("==")[1]
        for line in lines
        if line and not line.startswith("#")
    }


def test_conda_environment_is_equal_to_pyproject(environment, pyproject):
    *conda, pip = environment["dependencies"]
    conda = [re.sub(r"^[\w-]+", lambda name: PYPI_NAME.get(name[0], name[0]), c) for c in conda]
    from_pip = [line for line in pip["pip"] if not line.startswith("-")]
    listed = wanted(conda + from_pip)

    assert str(listed.pop("python")) == pyproject["project"]["requires-python"]
    assert str(listed.pop("pip")) == ""
    extras = pyproject["project"]["optional-dependencies"]
    assert listed == wanted(pyproject["project"]["dependencies"] + extras["test"])


def test_conda_environment_names_conda_forge_alone_and_installs_the_package(environment):
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert "--editable ." in environment["dependencies"][-1]["pip"]


def test_tested_versions_lie_within_the_bounds(pyproject):
    project = pyproject["project"]
    lines = project["dependencies"] + sum(project["optional-dependencies"].values(), [])
    tested = pins()
    for name, bounds in wanted(lines).items():
        assert name in tested, f"constraints.txt has no version of {name}"
        assert tested[name] in bounds, f"constraints.txt has {name} {tested[name]}, not {bounds}"


def test_tested_versions_fit_every_platform():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    for line in lines:
        assert line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.]+", line), line  # no "+cu130"
    linux_only = [name for name in pins() if name.startswith(("nvidia-", "cuda-", "triton"))]
    assert not linux_only


def test_every_folder_of_tests_is_run(pyproject):
    run = pyproject["tool"]["pytest"]["ini_options"]["testpaths"]
    folders = {
        file.relative_to(ROOT).parts[1]
        for file in ROOT.glob("tests/**/test_*.py")
        if file.parent.name != "benchmarks"
    }
    assert {f"tests/{folder}" for folder in folders} <= set(run)

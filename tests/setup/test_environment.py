"""The files that say what to install agree: pyproject.toml, environment.yml, constraints.txt."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
# conda-forge's name -> PyPI's
PYPI_NAME = {"pytorch": "torch", "matplotlib-base": "matplotlib", "msgpack-python": "msgpack"}


PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, EXTRAS = PYPROJECT["project"], PYPROJECT["project"]["optional-dependencies"]


def wanted(lines):
    """["av>=14", ...] -> {"av": its bounds}"""
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(each.name): each.specifier for each in requirements}


def test_conda_environment_is_equal_to_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    conda = [re.sub(r"^[\w-]+", lambda name: PYPI_NAME.get(name[0], name[0]), c) for c in conda]
    from_pip = [line for line in pip["pip"] if not line.startswith("-")]
    listed = wanted(conda + from_pip)

    assert str(listed.pop("python")) == PROJECT["requires-python"]
    assert str(listed.pop("pip")) == ""
    assert listed == wanted(PROJECT["dependencies"] + EXTRAS["test"])
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert "--editable ." in pip["pip"]


def test_tested_versions_lie_within_the_bounds_and_fit_every_platform():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    for line in lines:  # no "+cu130"
        assert re.fullmatch(r"(?!nvidia-|cuda-|triton)[\w.-]+==[\w.]+", line), line
    tested = {canonicalize_name(name): found for name, found in (x.split("==") for x in lines)}
    for name, bounds in wanted(PROJECT["dependencies"] + sum(EXTRAS.values(), [])).items():
        assert name in tested, f"constraints.txt has no version of {name}"
        assert tested[name] in bounds, f"constraints.txt has {name} {tested[name]}, not {bounds}"


def test_every_folder_of_tests_is_run():
    folders = {file.relative_to(ROOT).parts[1] for file in ROOT.glob("tests/**/test_*.py")}
    run = PYPROJECT["tool"]["pytest"]["ini_options"]["testpaths"]
    assert {f"tests/{folder}" for folder in folders} <= set(run)

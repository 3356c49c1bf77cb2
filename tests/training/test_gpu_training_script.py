"""The script for training on a GPU runs from end to end; here at toy size, on what there is."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
SCRIPT = FOLDER / "gpu_training.py"
sys.path.insert(0, str(FOLDER))
from headless import code_cells, run_notebook  # noqa: E402


def run(*arguments, **options):
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_it_checks_measures_and_prints(tmp_path):
    sections = ("check", "means", "files", "notebook")
    done = run("--toy", "--steps", 2, "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("losses differ by") == 3 + 4
    rows = re.findall(
        r"^\| (joint|factorised_encoder) \| (.+?) \| ([\d.e+]+) \|", done.stdout, re.M
    )
    ways = ["as it is", "compiled", "float32", "accumulate=4", "checkpointing"]
    wanted = [("joint", way) for way in ways] + [("factorised_encoder", way) for way in ways]
    wanted.append(("factorised_encoder", "frozen spatial encoder"))
    assert [row[:2] for row in rows] == wanted and all(float(row[2]) > 0 for row in rows)
    assert "the aim is 50 %" in done.stdout
    for way in ("loader alone, 1 workers", "memory", "mp4 files"):
        assert done.stdout.count(f": {way} |") == 2
    found = json.loads((tmp_path / "gpu_training.json").read_text())
    assert {*sections, "peak", "device", "torch"} <= set(found)
    assert all(row["of the peak"] > 0 for row in found["means"])
    fed = [row for row in found["files"] if row["way"] == "mp4 files"]
    assert len(fed) == 2 and all(0 <= row["waited"] <= 1 and row["clips"] > 0 for row in fed)
    report = Path(found["notebook"]["report"])
    assert "all cells ran" in done.stdout and report.parent == tmp_path
    assert "8 x 4 x 32 x 32" in report.read_text()  # eight clips a step: the setup "trial"


def test_a_missing_package_is_named_and_what_it_is_for(tmp_path):
    hide = f"""
import importlib.util, sys
find = importlib.util.find_spec
hidden = ("av", "IPython")
importlib.util.find_spec = lambda name, *more: None if name in hidden else find(name, *more)
sys.path.insert(0, {str(FOLDER)!r})
sys.argv = ["gpu_training.py", "--toy", "--only", "files", "notebook", "--out", {str(tmp_path)!r}]
import gpu_training
sys.exit(gpu_training.main())
"""
    done = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "files is left out; not installed here: av (mp4 files)" in done.stdout
    assert "notebook is left out" in done.stdout and "IPython (the notebook's" in done.stdout


def test_without_a_gpu_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = run("--out", tmp_path)
    assert done.returncode == 2 and "--toy" in done.stderr


# ---- running a notebook headless

SOURCE = """# %% [markdown]
# # A title

# %%
import os

x = 6

# %%
def seven():
    return 7


print(x * seven(), os.environ["WHERE"])

# %%
{last}
"""


@pytest.mark.parametrize("plain", [False, True], ids=["kernel", "plain"])
@pytest.mark.parametrize("last", ["print('the end')", "1 / 0"], ids=["well", "broken"])
def test_all_cells_run_until_one_fails_and_the_report_is_kept(tmp_path, plain, last):
    import os

    source = tmp_path / "small.py"
    source.write_text(SOURCE.format(last=last))
    given = dict(os.environ) | {"WHERE": "far away"}
    report, well = run_notebook(source, tmp_path, given, plain=plain)
    text = report.read_text()
    assert "42 far away" in text
    assert well == (last != "1 / 0")
    assert ("the end" in text) == well and ("ZeroDivisionError" in text) != well
    assert report.suffix == (".txt" if plain else ".ipynb")


def test_cells_are_those_that_jupytext_finds():
    import jupytext

    for path in sorted((FOLDER.parents[1] / "notebooks" / "src").glob("*.py")):
        wanted = [cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code"]
        text = path.read_text(encoding="utf-8")
        found = code_cells(text)
        assert [cell.strip() for _, cell in found] == [each.strip() for each in wanted], path.name
        lines = text.splitlines()
        assert all(lines[line - 1] == cell.splitlines()[0] for line, cell in found)

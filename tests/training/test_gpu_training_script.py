"""The script for training on a GPU runs from end to end; here at toy size, on what there is."""

import contextlib
import json
import os
import re
import sys
from pathlib import Path

import jupytext
import pytest
import torch

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(FOLDER))
import gpu_training  # noqa: E402
from headless import code_cells, run_notebook  # noqa: E402

SOURCE = """# %% [markdown]
# # A title

# %%
import os

x = 6

# %%
def seven():
    return 7


print(x * seven(), os.environ["VIVIT_LAB_SETUP"])

# %%
{last}
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Runs it in this process with arguments, and returns its exit status."""

    def run(*arguments) -> int:
        words = ["gpu_training.py", *map(str, arguments), "--out", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", words)
        return gpu_training.main()

    return run


def test_it_checks_measures_and_prints(script, tmp_path, monkeypatch, capsys):
    source = tmp_path / "small.py"  # notebook 07 itself is run by the tests of the notebooks
    source.write_text(SOURCE.format(last="print('the end')"))
    monkeypatch.setattr(gpu_training, "NOTEBOOK", source)
    monkeypatch.setattr(gpu_training, "WARM_UP", 1)
    assert script("--toy", "--steps", 1, "--batch", 4, "--videos", 8) == 0
    printed = capsys.readouterr().out
    assert printed.count("losses differ by") == 3 + 4
    rows = re.findall(r"^\| (joint|factorised_encoder) \| (.+?) \| ([\d.e+]+) \|", printed, re.M)
    ways = ["as it is", "compiled", "float32", "accumulate=4", "checkpointing"]
    wanted = [("joint", way) for way in ways] + [("factorised_encoder", way) for way in ways]
    wanted += [("factorised_encoder", "frozen spatial encoder"), ("joint", "transformers sdpa")]
    assert [row[:2] for row in rows] == wanted and all(float(row[2]) > 0 for row in rows)
    assert "the aim is 50 %" in printed and "all cells ran" in printed
    for way in ("loader alone, 1 workers", "memory", "mp4 files"):
        assert printed.count(f": {way} |") == 2
    found = json.loads((tmp_path / "gpu_training.json").read_text())
    assert {"check", "means", "files", "notebook", "peak", "device", "torch"} <= set(found)
    assert all(row["of the peak"] > 0 for row in found["means"])
    fed = [row for row in found["files"] if row["way"] == "mp4 files"]
    assert len(fed) == 2 and all(0 <= row["waited"] <= 1 and row["clips"] > 0 for row in fed)
    report = Path(found["notebook"]["report"])
    assert report.parent == tmp_path and "42 trial" in report.read_text()


def test_a_row_out_of_memory_costs_no_other_and_all_is_written_as_it_comes(
    script, tmp_path, monkeypatch, capsys
):
    real, file, seen = gpu_training.steps_of, tmp_path / "gpu_training.json", []

    @contextlib.contextmanager
    def steps_of(recipe, *given):
        with real(recipe, *given) as (step, loader):
            if file.exists():
                seen.append(len(json.loads(file.read_text()).get("means", ())))
            if recipe.checkpointing:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            yield step, loader

    monkeypatch.setattr(gpu_training, "steps_of", steps_of)
    monkeypatch.setattr(gpu_training, "WARM_UP", 1)
    ways = {"as it is": {}, "checkpointing": {"checkpointing": True}, "float32": {}}
    monkeypatch.setattr(gpu_training, "MEANS", ways)
    assert script("--toy", "--only", "means", "--steps", 1, "--batch", 4) == 0
    printed = capsys.readouterr().out
    assert printed.count("| checkpointing | out of memory |") == 2 and "the aim is 50 %" in printed
    rows = json.loads(file.read_text())["means"]
    assert [row["clips"] > 0 for row in rows] == [True, False, True] * 2 + [True]
    assert seen == [0, 1, 2, 3, 4, 5]  # rows in the file when the next one began


def test_what_is_missing_is_named_and_what_it_is_for(script, monkeypatch, capsys):
    find, hidden = gpu_training.importlib.util.find_spec, ("av", "IPython")
    monkeypatch.setattr(
        gpu_training.importlib.util,
        "find_spec",
        lambda name, *more: None if name in hidden else find(name, *more),
    )
    assert script("--toy", "--only", "files", "notebook") == 1
    printed = capsys.readouterr().out
    assert "files is left out; not installed here: av (mp4 files)" in printed
    assert "notebook is left out" in printed and "IPython (the notebook's" in printed
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        script()
    assert ended.value.code == 2 and "--toy" in capsys.readouterr().err


# ---- running a notebook headless


@pytest.mark.parametrize(
    "plain, last", [(True, "print('the end')"), (True, "1 / 0"), (False, "1 / 0")]
)
def test_all_cells_run_until_one_fails_and_the_report_is_kept(tmp_path, plain, last):
    source = tmp_path / "small.py"
    source.write_text(SOURCE.format(last=last))
    given = dict(os.environ) | {"VIVIT_LAB_SETUP": "far away"}
    report, well = run_notebook(source, tmp_path, given, plain=plain)
    text = report.read_text()
    assert "42 far away" in text
    assert well == (last != "1 / 0")
    assert ("the end" in text) == well and ("ZeroDivisionError" in text) != well
    assert report.suffix == (".txt" if plain else ".ipynb")


def test_cells_are_those_that_jupytext_finds():
    for path in sorted((FOLDER.parents[1] / "notebooks" / "src").glob("*.py")):
        wanted = [cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code"]
        text = path.read_text(encoding="utf-8")
        found = code_cells(text)
        assert [cell.strip() for _, cell in found] == [each.strip() for each in wanted], path.name
        lines = text.splitlines()
        assert all(lines[line - 1] == cell.splitlines()[0] for line, cell in found)

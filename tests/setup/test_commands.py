"""The command line: each command in the table works, its help teaches, its exit status is right."""

import dataclasses
import inspect
import json
import re
import subprocess
import sys

import pytest

from vivit_lab.cli import COMMANDS, main
from vivit_lab.data import checking, sample


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch, tmp_path):
    """Reports go to a folder of the test; videos are looked at in this process."""
    monkeypatch.chdir(tmp_path)

    def examine_all(tasks, workers, timeout):
        for task in tasks:
            yield task, checking.examine(task, timeout)

    monkeypatch.setattr(checking, "_examine_all", examine_all)


def helped(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    return capsys.readouterr().out


def test_each_command_has_a_line_in_the_help_and_a_help_of_its_own(capsys):
    whole = helped(capsys, "--help")
    for name in COMMANDS:
        assert f"    {name} " in whole
        own = helped(capsys, name, "--help")
        assert f"python -m vivit_lab {name}" in own and "xit status" in own
    assert "ShardDataset(" in helped(capsys, "shard", "--help")


def test_options_take_type_and_default_from_the_function_that_is_called(capsys):
    from vivit_lab.training import Recipe, fit

    own = helped(capsys, "finetune", "--help")
    for name in ("save_every", "keep"):
        default = inspect.signature(fit).parameters[name].default
        assert re.search(rf"--{name.replace('_', '-')} N .*\(default\s+{default}\)", own, re.S)
    for field in dataclasses.fields(Recipe):
        assert f" {field.name}" in own


def test_study_names_the_script_that_took_its_place(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["study", "orders"])
    assert stopped.value.code == 2 and "assets/run_studies.py" in capsys.readouterr().err


def test_help_needs_nothing_heavy():
    code = "import sys; from vivit_lab.cli import main\ntry: main(['--help'])\n"
    code += "except SystemExit: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = set(done.stderr.split())
    assert "argparse" in loaded and not loaded & {"torch", "av", "numpy", "tqdm", "PIL"}


def test_check_says_that_all_is_well(capsys, tmp_path):
    assert main(["check", str(sample("counter"))]) == 0
    out = capsys.readouterr().out
    assert "1  ok" in out and "25 fps (1)" in out
    line = json.loads((tmp_path / "counter.mp4.check.jsonl").read_text())
    assert line["path"] == str(sample("counter")) and line["found"]["frames"] == 300


def test_check_says_what_is_wrong(capsys, tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "a.mp4").write_text("Dear diary")
    assert main(["check", "v", "--report", "r.jsonl"]) == 1
    out = capsys.readouterr().out
    assert "UNREADABLE (1)" in out and "this is a text file" in out and "report: " in out


def test_check_short_clips(capsys):
    counter = str(sample("counter"))  # 300 frames
    assert main(["check", counter, "--frames", "150"]) == 0
    assert main(["check", counter, "--frames", "151"]) == 1
    assert "300 of 301 frames" in capsys.readouterr().out
    assert main(["check", counter, "--frames", "151", "--stride", "1", "--full"]) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing/"], "there is no such file or folder"),
        (["list.csv"], "list.csv, line 2: time_start is 'x', but must be a number"),
        (["list.csv", "--format", "kinetic"], "Did you mean 'kinetics'?"),
        (["list.csv", "--root", "nowhere"], "no such folder"),
        (["list.csv", "--workers", "0"], "workers is 0"),
        (["list.csv", "--timeout", "-1"], "timeout is -1"),
    ],
)
def test_check_that_cannot_begin(capsys, tmp_path, arguments, says):
    text = "label,youtube_id,time_start,time_end\nyoga,a,x,10\n"
    if "--root" in arguments:
        text = text.replace("x", "0")
    (tmp_path / "list.csv").write_text(text)
    assert main(["check", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("check: ") and says in said
    assert [path.name for path in tmp_path.iterdir()] == ["list.csv"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a", "b"],
        ["a", "--ful"],  # today's abbreviation is another option tomorrow
        ["a", "--timeout", "x"],
        ["a", "--frames", "1.5"],
    ],
)
def test_check_with_arguments_that_make_no_sense(capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        main(["check", *arguments])
    assert stopped.value.code == 2 and "usage:" in capsys.readouterr().err


def test_an_option_before_the_command_is_explained(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--full"])
    assert stopped.value.code == 2

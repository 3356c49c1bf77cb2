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
from vivit_lab.training import Recipe, fit


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch, tmp_path):
    """Reports go to a folder of the test; videos are looked at in this process."""
    monkeypatch.chdir(tmp_path)

    def examine_all(tasks, workers, timeout):
        for task in tasks:
            yield task, checking.examine(task, timeout)

    monkeypatch.setattr(checking, "_examine_all", examine_all)


def ends(capsys, status, *arguments):
    """What is printed by a command that argparse ends, with this exit status."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == status, arguments
    said = capsys.readouterr()
    return said.err if status else said.out


def test_each_command_has_a_line_in_the_help_and_a_help_of_its_own(capsys):
    """Options take type and default from the function that is called."""
    whole = ends(capsys, 0, "--help")
    assert main([]) == 0 and capsys.readouterr().out == whole
    assert "make lab" in whole and "exit status" in whole and "vivit_lab.doctor()" in whole
    for name in COMMANDS:
        assert f"    {name} " in whole
        own = ends(capsys, 0, name, "--help")
        assert f"python -m vivit_lab {name}" in own and "xit status" in own
    assert "ShardDataset(" in ends(capsys, 0, "shard", "--help")
    own = ends(capsys, 0, "finetune", "--help")
    for name in ("save_every", "keep"):
        default = inspect.signature(fit).parameters[name].default
        assert re.search(rf"--{name.replace('_', '-')} N .*\(default\s+{default}\)", own, re.S)
    for field in dataclasses.fields(Recipe):
        assert f" {field.name} " in own or field.name == "notes"


def test_help_needs_nothing_heavy():
    code = "import sys; from vivit_lab.cli import main\ntry: main(['--help'])\n"
    code += "except SystemExit: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = set(done.stderr.split())
    assert "argparse" in loaded and not loaded & {"torch", "av", "numpy", "tqdm", "PIL"}


def test_what_makes_no_sense_is_refused(capsys):
    for words, says in (
        ("docter", "choose from"),
        ("--full", "usage:"),
        ("check", "usage:"),
        ("check a b", "usage:"),
        ("check a --ful", "usage:"),  # today's abbreviation is another option tomorrow
        ("check a --timeout x", "usage:"),
        ("check a --frames 1.5", "usage:"),
    ):
        assert says in ends(capsys, 2, *words.split()), words


def test_check_says_that_all_is_well_or_what_is_wrong_and_names_short_clips(capsys, tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "a.mp4").write_text("Dear diary")
    counter = str(sample("counter"))  # 300 frames
    for status, arguments, words in (
        (0, [counter], "1  ok.*25 fps .1."),
        (1, ["v", "--report", "r.jsonl"], "UNREADABLE .1..*this is a text file.*report: "),
        (0, [counter, "--frames", "150"], "1  ok"),
        (1, [counter, "--frames", "151"], "300 of 301 frames"),
        (0, [counter, "--frames", "151", "--stride", "1", "--full"], "1  ok"),
    ):
        assert main(["check", *arguments]) == status
        assert re.search(words, capsys.readouterr().out, re.DOTALL), arguments
    line = json.loads((tmp_path / "counter.mp4.check.jsonl").read_text().splitlines()[0])
    assert line["path"] == counter and line["found"]["frames"] == 300


def test_check_that_cannot_begin(capsys, tmp_path):
    (tmp_path / "bad.csv").write_text("label,youtube_id,time_start,time_end\nyoga,a,x,10\n")
    (tmp_path / "list.csv").write_text("label,youtube_id,time_start,time_end\nyoga,a,0,10\n")
    for words, says in (
        ("nothing/", "there is no such file or folder"),
        ("bad.csv", "bad.csv, line 2: time_start is 'x', but must be a number"),
        ("list.csv --root nowhere", "no such folder"),
        ("list.csv --workers 0", "workers is 0"),
        ("list.csv --timeout -1", "timeout is -1"),
    ):
        assert main(["check", *words.split()]) == 2
        said = capsys.readouterr().err
        assert said.startswith("check: ") and says in said
    assert "'kinetics'" in ends(capsys, 2, "check", "list.csv", "--format", "kinetic")
    assert {path.name for path in tmp_path.iterdir()} == {"bad.csv", "list.csv"}

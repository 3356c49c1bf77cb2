"""The script for machines with a GPU runs from end to end; here at toy size, on what there is."""

import json
import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu.py"


def test_it_checks_measures_and_prints_a_row_for_everybody(tmp_path):
    file = tmp_path / "gpu.json"
    sizes = ["--toy", "--batch", "2", "--repeats", "1", "--turns", "1", "--out", file]
    run = subprocess.run([sys.executable, SCRIPT, *sizes], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("largest difference") == 4
    rows = re.findall(
        r"^\| (.+?) \| (forward|train step) \| (yes|no) \| ([\d.e+]+) ", run.stdout, re.M
    )
    names = {name for name, *_ in rows}
    assert len(names) == 5 and "Model 1 transformers sdpa" in names
    assert len(rows) == 5 * 2 * 2 and all(float(clips) > 0 for *_, clips in rows)
    assert len(json.loads(file.read_text())["figures"]) == 20


def test_without_a_gpu_it_says_so(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    run = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True)
    assert run.returncode == 2 and "--toy" in run.stderr

"""The README's examples run as they stand, one after the other."""

import re
from pathlib import Path

import onnxruntime
import torch

from vivit_lab.data import sample

SMALL = '"Ti/16x2", depth=1, temporal_depth=1'
README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # one of them writes a file
    first, *others = re.findall(r"```python\n(.*?)```", README, re.S)
    for here, test in (("clip.mp4", str(sample("counter"))), ('"B/16x2"', SMALL)):
        assert first.count(here) == 1
        first = first.replace(here, test)
    names = {}
    exec(first, names)
    torch.nn.init.normal_(names["model"].head.weight)  # which is zero at first
    exec("".join(others), names)
    assert names["logits"].shape == (1, 400) and len(names["attention"]) > 0
    assert names["features"].shape == (1, 192) and names["probe"].weight.grad.any()
    clip, logits = names["clip"], names["model"](names["clip"]).detach()
    assert logits.std() > 0.1
    session = onnxruntime.InferenceSession(tmp_path / "vivit.onnx")
    answer = session.run(None, {session.get_inputs()[0].name: clip.numpy()})[0]
    for found in (names["exported"].module()(clip), torch.from_numpy(answer)):
        torch.testing.assert_close(found, logits, atol=1e-4, rtol=1e-4)

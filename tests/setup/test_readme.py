"""The README's examples run as they stand, one after the other."""

import re
from pathlib import Path

from vivit_lab.data import sample

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def test_the_examples_run():
    first, *others = re.findall(r"```python\n(.*?)```", README, re.S)
    for here, test in (("clip.mp4", str(sample("counter"))), ("B/16x2", "Ti/16x2")):
        assert first.count(here) == 1
        first = first.replace(here, test)
    names = {}
    exec("".join([first, *others]), names)
    assert names["logits"].shape == (1, 400) and len(names["attention"]) > 0
    assert names["features"].shape == (1, 192) and names["probe"].weight.grad.any()

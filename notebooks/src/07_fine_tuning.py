# %% [markdown]
# # 07 · How do I make it mine?
#
# You have a folder of clips, a class for each, and a machine. This notebook takes an image ViT, inflates it into a ViViT, and fine-tunes
# it on mp4 files: first what that costs, then a check that takes a second, then the training, which you can steer, then a test of the result.
# The same cells train 0.2 million parameters on a laptop or ViViT-B/16x2 on a GPU. At the end they train on *your* folder.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), sections 3.4 and 4.1 · about 2 minutes of computing on a laptop, an hour with the
# exercises · works offline, without a GPU · before this: [06 Inflation](06_inflation.ipynb) · words: [glossary](glossary.ipynb)
#
# *All pictures here are of clips that we render ourselves, so there is no CC BY 3.0 film to credit.*

# %%
import dataclasses
import json
import os
import shutil
import tempfile
import textwrap
import time
from pathlib import Path

from vivit_lab import ViViTConfig, build_model
from vivit_lab.analysis import calibrate, cost
from vivit_lab.data import ClipDataset, ViewDataset, read_folder, write_arrow_of_time
from vivit_lab.data.samples import ASSETS
from vivit_lab.lessons.exercises import fine_tuning
from vivit_lab.lessons.studies import Spread
from vivit_lab.training import Recipe, StoredRun, evaluate, fit, overfit_one_batch
from vivit_lab.training.sanity import what_would_fit
from vivit_lab.weights import inflate, load_checkpoint, load_timm, small_image_vit
from vivit_lab.widgets import CostExplorer, TrainingCockpit, film_strip

import matplotlib.pyplot as plt
import torch

# %% [markdown]
# ## What it will look like
#
# This is a real run of the cells below, stored while it trained. Press play, or pull a slider. Hover over the curves for the figures of a
# step; press one, or an epoch below, to go there.

# %%
TrainingCockpit.replay(StoredRun.load(ASSETS / "runs" / "fine_tuning.npz"))

# %% [markdown]
# The loss of each step, beside that of guessing. The accuracy of the training clips in each step, and of other clips after each epoch
# (dots). The learning rate. And where the model looks in one clip that never changes, before training and after the epoch shown.
#
# Questions to take along:
# * For how many steps does the loss stay at guessing? What is the learning rate doing meanwhile?
# * After the first epoch, is validation above or below training? How can a model be better on clips that it has never seen?
#
# <details><summary>An answer to the second</summary>
#
# A training accuracy is that of the model as it was in each step, averaged. Validation asks the model that came out at the end.
#
# </details>
#
# ## One switch
#
# What differs between a laptop and a GPU is in this cell, and nowhere else. `SETUP` chooses; write `"cpu"`, `"gpu"` or `"trial"` (the GPU's
# way in a toy size, to see that everything runs) in its place if you want another one. By our count the GPU's way takes 8.9 GB, so that a
# card of 16 GB will do, and one without bfloat16 as well; with 40 GB or more `server` needs no `accumulate`.

# %%
SETUP = os.environ.get("VIVIT_LAB_SETUP") or ("gpu" if torch.cuda.is_available() else "cpu")
IMAGE_VIT = os.environ.get("VIVIT_LAB_IMAGE_VIT")  # gpu, no network: a file with ViT-B/16
CLASSES = ["grows", "moves_left", "moves_right", "shrinks"]

few = {"classes": 4, "stride": 2, "flip": 0.0}
pace = {"batch": 32, "lr": 2e-3, "lr_batch": 32, "betas": (0.9, 0.98), "warmup_epochs": 0.4}
laptop = Recipe.preset("cpu_tiny", **few, **pace, epochs=5, init="small_image_vit")
server = Recipe.preset("small_data", **few, epochs=20, accumulate=4)
small = {"size": "Ti/16x2", "frames": 4, "crop": 32, "min_short_side": 32, "max_short_side": 32}
trial = server.change(**small, batch=8, epochs=2, warmup_epochs=1, init="vit_tiny_patch16_224")
recipe = {"cpu": laptop, "gpu": server, "trial": trial}[SETUP]
sizes = {"cpu": (2048, 16, 32), "gpu": (800, 64, 128), "trial": (256, 8, 32)}
videos, frames, pixels = sizes[SETUP]
workers = min(8, (os.cpu_count() or 1) - 1)

# %% [markdown]
# `flip` is 0 because a mirrored clip of *moves right* moves left. Ask that first of your own data: a wrong augmentation teaches something
# false, and no error says so. (Where class names tell left from right, `recipe.train_transform(names)` swaps the labels instead.)
#
# ## The clips, as files
#
# Arrow of Time as mp4 files, a folder for each class, as yours might be. One frame says nothing about the class. Four of its eight
# classes are enough for a minute; the other folders are removed.

# %%
scratch = tempfile.TemporaryDirectory(prefix="vivit_lab_")  # gone when the kernel ends
here = Path(scratch.name)
for name, count, seed in (("train", videos, 0), ("val", videos // 8, 1)):
    root = write_arrow_of_time(here / name, count, frames, pixels, seed, progress=False)
    for folder in root.iterdir():
        if folder.is_dir() and folder.name not in CLASSES:
            shutil.rmtree(folder)
print(read_folder(here / "train").report().partition("\n")[2])

# %%
catalog = read_folder(here / "train")
others = read_folder(here / "val", classes=catalog.class_names)  # the same classes, the same order

train = ClipDataset(catalog, recipe.sampling(), recipe.train_transform(catalog.class_names))
validation = ViewDataset(others, recipe.sampling(), 1, recipe.test_transform(crops=1))
print(recipe.sampling())
print(train.transform)
shown = (train[0], train[len(train) // 3])
film_strip({catalog.class_names[label]: clip for clip, label in shown}, side=64)

# %% [markdown]
# Nothing here knows that the clips are rendered: the reader seeks in the file, decodes the frames that were drawn, and scales and crops
# them on the way. Each epoch draws other frames.
#
# ## The recipe
#
# A recipe is everything about a training run that is neither the data nor the machine. It is checked when it is made, and it prints
# itself.

# %%
print(recipe)

# %% [markdown]
# These are the paper's, one a data set, beside one of ours for little data:
#
# **Predict first.** Kinetics has 215,000 training videos, EPIC-Kitchens 67,000, Something-Something 169,000. For which of them does the
# paper hold the model back most (mixup, label smoothing, stochastic depth)?
#
# <details><summary>Then look</summary>
#
# Something-Something v2, then EPIC-Kitchens. For Kinetics nothing of the kind, beyond flips and colours: enough videos regularise by
# themselves, and the scenes give the action away early.
#
# </details>

# %%
names = ("kinetics400_joint", "kinetics400_factorised_encoder", "moments_in_time_large")
names += ("epic_kitchens_large", "something_something_v2_large", "small_data")
fields = ("lr", "lr_batch", "epochs", "stride", "mixup", "label_smoothing", "drop_path")
print(f"{'':32}{'  '.join(f'{field:>6}' for field in fields)}  RandAugment")
for name in names:
    paper = Recipe.preset(name)
    row = "  ".join(f"{getattr(paper, field):>{max(6, len(field))}}" for field in fields)
    print(f"{name:32}{row}  {str(paper.rand_augment or '-'):>11}")

# %%
paper = Recipe.preset("something_something_v2_large")
print(Recipe.preset("small_data").difference(paper))
for note in paper.notes[:3]:
    print(textwrap.fill(f"* {note}", 100, subsequent_indent="  "))

# %% [markdown]
# The paper trains with SGD at a rate of 0.1 to 0.5 (for `lr_batch` clips a step), on tens to hundreds of thousands of videos. `small_data` is for
# hundreds: AdamW, and a rate that shrinks from each block to the one below (`layer_decay`), so that what the image model knows stays. The notes
# say where paper and official code differ; there is one for each difference we know of.
#
# ## The price, before you pay it
#
# **Predict first.** ViViT-B/16x2, 32 frames of 224 × 224, batch 8, training in float32. Does it fit into a GPU of 16 GB?
#
# <details><summary>Then look</summary>
#
# Hardly. By our count Models 1 and 2 take 16.0 and 16.4 GB, and libraries some hundred MB more: a card of 16 GiB (17.2 GB) has no room left
# with them, and is too small for Models 3 and 4.
#
# </details>

# %%
dial = CostExplorer()
dial.batch.value = 8
dial.views.value = 1
dial

# %% [markdown]
# Look at *memory to train*, then move **batch** to 1, **frames** to 16. (Accumulation gives you the large batch at the price of the small
# one; more about that below.) Now your own setup, with the speed of this processor measured.
#
# **Predict first.** The cockpit at the top says how long that run took, on two cores. How much of it was arithmetic?

# %%
config = recipe.config()
steps = recipe.epochs * (len(train) // recipe.batch)
print(cost(config, batch=recipe.batch, training=True))
if SETUP != "gpu":  # calibrate() measures the processor
    price = cost(config, batch=recipe.batch, training=True, machine=calibrate())
    print(f"\n{steps} steps, predicted: {price.seconds * steps:.0f} s")

# %% [markdown]
# A small part. The price takes every product at the speed of large ones, which those of so small a model do not reach. And half of the time training
# waits for its clips: each is found in its mp4 file, decoded and scaled again in every epoch. With ViViT-B on a GPU the arithmetic is what counts, as
# long as there are workers enough. (These MACs are those that the package computes. The report below counts more: there the last spatial block
# is counted for all tokens, as in the paper. [05](05_flops.ipynb) says why.)
#
# ## From an image model
#
# On a laptop the image model is our own small one: it was trained to say what one frame of such clips shows (shape, colour, place, angle,
# size), and has never seen two frames. On a GPU it is timm's ViT-B/16. Either is inflated as in [06](06_inflation.ipynb).

# %%
if SETUP == "cpu":
    source = small_image_vit()
elif SETUP == "gpu":
    source = load_timm(recipe.init, IMAGE_VIT)
else:
    source = load_timm(recipe.init, pretrained=False)


# %%
def inflated(tubelet: str = "central_frame", seed: int = 0):
    """A ViViT for this notebook's clips, from `source`, and the load report."""
    torch.manual_seed(seed)
    model = build_model(dataclasses.replace(recipe.config(), gelu=source.gelu))
    return model, inflate(model, source, tubelet=tubelet)


model, report = inflated()
print(report.counts, *(textwrap.fill(note, 100) for note in report.notes), sep="\n")

# %% [markdown]
# ## Can it memorise one batch?
#
# Before any training: can the model memorise eight clips? To try takes a second. If it cannot, no recipe will help, and you have saved hours.
#
# **Predict first.** The same check with the labels shuffled among all clips. Does it pass?
#
# <details><summary>Then look</summary>
#
# It passes as well. Eight clips can be memorised whatever they are called. The check finds broken code, frozen weights and mixed-up
# clips, but never a wrong label. For that there is only validation.
#
# </details>

# %%
print(overfit_one_batch(model, train, recipe=recipe))
order = torch.randperm(len(catalog), generator=torch.Generator().manual_seed(7)).tolist()
wrong = [
    dataclasses.replace(segment, label=catalog[other].label)
    for segment, other in zip(catalog, order, strict=True)
]
nonsense = type(catalog)(wrong, catalog.class_names, catalog.source)
shuffled = ClipDataset(nonsense, train.sampling, train.transform)
print(overfit_one_batch(model, shuffled, recipe=recipe))

# %% [markdown]
# ## Training, which you can steer
#
# The cockpit trains in a thread of its own, so that you can run other cells. **Start**, **pause**, **stop**; a slider multiplies the learning
# rate from the next step on. What happens is written to the run's folder, and the weights are saved after each epoch.
#
# Things to try:
# 1. While it trains, press an earlier epoch below the curves, or play: where did the model look then?
# 2. In a second run (another folder): multiply the learning rate by 10 in mid-run. How long until the loss shows it? Does it come back
#    when you do?
# 3. Press **stop**, then **go on**. The curve goes on as if nothing had happened.

# %%
cockpit = TrainingCockpit(
    model, train, validation, recipe=recipe, folder=here / "run", workers=workers
)
cockpit.offer(
    {"1 · epoch 1": {"epoch": 1}, "2 · rate × 10": {"lr": 10}, "2 · back to × 1": {"lr": 1}}
)

# %% [markdown]
# The next cell waits until training is done, and starts it if you have not. (When it is done the notebook keeps the last picture; without a
# kernel that is what you see above.)

# %%
run = cockpit.wait()
for epoch in run.history:
    print(f"epoch {epoch['epoch']}: loss {epoch['loss']:.3f}, accuracy {epoch['accuracy']:.1%}, "
          f"validation {epoch['validation']['top1']:.1%}")  # fmt: skip

# %% [markdown]
# The strip shows where the class tokens look: the share of each time step times the share of each place in it. All of it together is at most
# 100 %; the rest looks at class tokens. Before the first step the places are those that the image model looked at; the time steps come from
# temporal blocks that are still random.
#
# ## Was it worth it?
#
# Accuracy between epochs is from one view of each video. Now two, and then the question that every video model should be asked: does it
# look at time at all?
#
# **Predict first.** Every class here has its reverse in the set. What is the accuracy if the frames of each clip are shuffled? And if
# they run backwards?
#
# <details><summary>Then look</summary>
#
# Shuffled, about a half: what changes (place or size) can be seen without any order, which way it changes cannot. Backwards, almost
# nothing is right: the model is sure, and answers with the other class of the pair.
#
# </details>

# %%
views = ViewDataset(others, recipe.sampling(), 2, recipe.test_transform(crops=1))
result = evaluate(run.model, views, workers=workers, progress=False)
print(str(result).replace(f"{here}/", ""))  # the scratch folder has another name each time

# %%
for frame_order in ("in_order", "shuffled", "reversed"):
    answer = evaluate(run.model, validation, frames=frame_order, workers=workers, progress=False)
    print(f"frames {frame_order:9} {answer.top1:.1%}")

# %% [markdown]
# Much more about this in [08 Evaluation](08_evaluation.ipynb). On the command line:
# `python -m vivit_lab evaluate runs/mine videos/val`.
#
# ## What is left of a run, and how it goes on
#
# Everything is in the run's folder: how it was made, a line of log for each step, the weights after the last epochs and those of the
# best, and the state from which it goes on.

# %%
print(*sorted(file.name for file in run.folder.iterdir()), sep="\n")
best, info = load_checkpoint(run.folder / "best.safetensors")
print(f"\n{type(best).__name__} that knows its classes: {best.class_names}")

# %% [markdown]
# A run that is killed, at any moment, goes on from the last saved state: `fit(..., resume=True)`. Here one run goes through, another is
# stopped after its first epoch and resumed with a new model object.
#
# **Predict first.** How far are the weights of the two apart, on a CPU?
#
# <details><summary>Then look</summary>
#
# Not at all. What a step draws (order, frames, crops, what is dropped) follows from the seed and the number of the step, not from what
# happened before. On a GPU some sums are added up in another order each time, and the last digits differ.
#
# </details>


# %%
def stop_after_one(moment):
    moment.control.stop = moment.after_epoch and moment.epoch == 1


part = ClipDataset(catalog[::8], train.sampling, train.transform)
short = {"recipe": recipe.change(epochs=2, warmup_epochs=0), "progress": False}
whole = fit(inflated()[0], part, folder=here / "whole", **short)
begun = fit(inflated()[0], part, folder=here / "parts", callback=stop_after_one, **short)
ended = fit(inflated()[0], part, folder=here / "parts", resume=True, **short)

# %%
pairs = zip(whole.model.parameters(), ended.model.parameters(), strict=True)
apart = max((one - other).abs().max().item() for one, other in pairs)
print(f"stopped after step {begun.steps} of {whole.steps}, then on to step {ended.steps}")
print(f"largest difference of any weight: {apart}")

# %% [markdown]
# ## Does the start matter?
#
# In the paper it matters more than the model (its table 1; [06](06_inflation.ipynb) quotes it): millions of labelled images stand behind its
# start, and real scenes are recognised by what is in them. Here is the same question about the run above: our image ViT, inflated by
# central frame, or everything random; the same clips, the same recipe, three seeds each. (Stored runs; `python assets/store_run.py
# starts` makes them again.)
#
# **Predict first.** These classes are motion and nothing else: one frame says nothing. How much will an image model help?
#
# <details><summary>Then look</summary>
#
# Not at all: both end at 99 to 100 %, and random weights are ahead after two epochs and after three. A likely reason: what the image model knows (shapes,
# places, sizes in a frame) is quickly learnt from pictures as plain as these, and a central frame sees no motion within a tubelet at first.
#
# </details>

# %%
stored = json.loads((ASSETS / "runs" / "starts.json").read_text())
fig, ax = plt.subplots(figsize=(8, 2.8), dpi=72, facecolor="white")
for name, colour in (("random", "#6b7280"), ("central frame", "#2f6fed")):
    runs = [row for row in stored if row["start"] == name]
    for row in runs:
        ax.plot(range(len(row["validation"])), row["validation"], "o-", color=colour, ms=3)
    ax.plot([], [], color=colour, label=f"{name}: {Spread.of([r['validation'][-1] for r in runs])}")
ax.set(xlabel="epochs", ylabel="validation accuracy", ylim=(0.2, 1.02), xticks=range(6))
_ = ax.legend(frameon=False, loc="lower right")

# %% [markdown]
# So ask of any start: what does it know that my clips cannot teach quickly? With real scenes and few clips that is almost everything.
# The same comparison with all eight classes, and the other ways to inflate, is in [09](09_ablations.ipynb).

# %% [markdown]
# ## Your own clips, in ten lines
#
# A folder for each class, clips of any length, size and rate in it. Every fifth is kept for the test. Point `FOLDER` at yours.

# %%
FOLDER = here / "train"  # yours: FOLDER/jump/a.mp4, FOLDER/run/b.mp4, ...
mine = read_folder(FOLDER)
own = recipe.change(classes=len(mine.class_names), epochs=1, warmup_epochs=0)
most = type(mine)([each for i, each in enumerate(mine) if i % 5], mine.class_names, mine.source)
clips = ClipDataset(most, own.sampling(), own.train_transform(mine.class_names))
tests = ViewDataset(mine[::5], own.sampling(), 2, own.test_transform(crops=1))
model = build_model(dataclasses.replace(own.config(), gelu=source.gelu))
inflate(model, source)
done = fit(model, clips, recipe=own, folder=here / "own", workers=workers, progress=False)
print(f"{evaluate(done.model, tests, workers=workers, progress=False).top1:.1%} of {len(tests)}")

# %% [markdown]
# One epoch is only to show that it runs. For real clips take `SETUP = "gpu"` and some thirty epochs of `small_data`. Broken files? Ask
# first: `python -m vivit_lab check FOLDER`. The same training without a notebook, and then its evaluation:
#
# ```
# python -m vivit_lab finetune videos/train --validation videos/val --folder runs/mine
# python -m vivit_lab evaluate runs/mine videos/val
# ```
#
# ## More than one GPU
#
# The recipe stays. Its batch is the batch of all devices together, so eight GPUs do the same steps, each with an eighth of the clips:
#
# ```
# accelerate launch --num_processes 8 -m vivit_lab finetune videos/train --validation videos/val \
#     --folder runs/mine --workers 12
# ```
#
# On several machines `accelerate launch` takes `--num_machines`, `--machine_rank` and `--main_process_ip` as well. If you make the batch
# larger, the learning rate follows (`lr_batch`); that is the first exercise.
#
# ## A small GPU
#
# Memory in training is mostly what the forward pass keeps for the way back ([05](05_flops.ipynb)). Four ways to keep less:
#
# * **accumulate**: the batch in parts, one after the other, and one step at the end. The same result up to rounding.
# * **precision**: matrix products, and what they keep, in two bytes a number instead of four: `"bf16"`, or `"fp16"` on GPUs from before
#   2020. `"auto"`, as in `small_data`, takes what the GPU has; on a CPU it changes nothing.
# * **checkpointing**: keep only each block's input, compute the rest again on the way back. The same result to the last bit.
# * **freeze="spatial_encoder"**: Model 2's spatial encoder stays as the image model was, and keeps nothing at all. Another result: it
#   learns less.
#
# **Predict first.** Which saves the most memory? Which costs no time?
#
# <details><summary>Then look</summary>
#
# The frozen encoder saves the most, and time as well: there is no way back through it. Accumulation costs little time as long as a part
# still fills the machine. Checkpointing pays with one more forward pass: a third by the count, here a bit more.
#
# </details>
#
# Measured here, on the processor, with ViViT-Ti/16x2 on 4 clips of 8 × 112 × 112: every tensor is watched as it comes and goes; of three
# steps the quickest counts.

# %%
from vivit_lab.analysis import measure_memory
from vivit_lab.training.optim import freeze

middle = ViViTConfig.preset("Ti/16x2", model="factorised_encoder", frames=8, image_size=112)


def measured(batch: int = 4, bf16=False, checkpointing=False, frozen=None):
    """(memory of a training step without the weights, its seconds)."""
    model = build_model(middle).train()
    freeze(model, frozen)
    model.set_grad_checkpointing(checkpointing)
    clips, seconds = torch.rand(4, *middle.clip_shape) * 2 - 1, []
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        memory = measure_memory(model, batch=batch, training=True, checkpointing=checkpointing)
        for _ in range(3):
            started = time.perf_counter()
            for part in clips.split(batch):
                model(part).sum().backward()
            seconds.append(time.perf_counter() - started)
    return memory, min(seconds)


# %%
ways = {"as it is": {}, "accumulate=2": {"batch": 2}, "precision='bf16'": {"bf16": True}}
ways |= {"checkpointing": {"checkpointing": True}}
ways |= {"freeze='spatial_encoder'": {"frozen": "spatial_encoder"}}
for name, way in ways.items():
    memory, seconds = measured(**way)
    print(f"{name:26} peak {memory.peak / 1e6:6.1f} MB, a step {seconds:.2f} s")

# %% [markdown]
# The seconds of bf16 are those of a processor that may have no units for it; a GPU has. `python tests/benchmarks/gpu_training.py` measures
# the same on a GPU, with ViViT-B/16x2. For that model `fit` says what would fit when memory runs out. With 16 GB:

# %%
full = Recipe.preset("small_data", precision="float32")
print(what_would_fit(full.config(), full, 1, 16 * 10**9))

# %% [markdown]
# ## Exercises
#
# ### 1 · The learning rate and the batch
# Difficulty ●○○○ · importance ●●●● · 5 minutes
#
# A recipe has its highest learning rate `lr` for `lr_batch` clips a step. You train on `devices` GPUs, each of which takes `clips` clips at
# a time, and `accumulate` times before a step. What is your highest learning rate, by the linear rule?
#
# <details><summary>Hint</summary>
#
# How many clips has one step of the optimiser seen?
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def scaled_lr(lr: float, lr_batch: int, devices: int, clips: int, accumulate: int) -> float:
#     return lr * devices * clips * accumulate / lr_batch
# ```
#
# </details>


# %%
def scaled_lr(lr: float, lr_batch: int, devices: int, clips: int, accumulate: int) -> float:
    """The highest learning rate for this total batch."""
    ...  # your code


fine_tuning.scaled_lr.check(scaled_lr)

# %% [markdown]
# ### 2 · Up in a line, down a half cosine
# Difficulty ●●○○ · importance ●●●○ · 10 minutes
#
# The learning rate of step 0, 1, ..., `total` - 1: from 0 in a line to `peak`, which step `warm` is the first to have; from there half a
# cosine down to 0, which step `total` would have.
#
# <details><summary>Hint</summary>
#
# (1 + cos x) / 2 falls from 1 to 0 while x goes from 0 to π.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# import math
#
#
# def schedule(step: int, peak: float, warm: int, total: int) -> float:
#     if step < warm:
#         return peak * step / warm
#     return peak * (1 + math.cos(math.pi * (step - warm) / (total - warm))) / 2
# ```
#
# </details>


# %%
def schedule(step: int, peak: float, warm: int, total: int) -> float:
    """Learning rate of a step."""
    ...  # your code


fine_tuning.schedule.check(schedule)

# %% [markdown]
# ### 3 · Read a failing curve
# Difficulty ●●●○ · importance ●●●● · 15 minutes
#
# Six real runs of one small model on four classes, 128 steps each. One is as it should be, five have a fault. Which has which?

# %%
grid = {"nrows": 2, "ncols": 6, "sharey": "row", "facecolor": "white"}
fig, axes = plt.subplots(**grid, figsize=(11, 4), dpi=76)
for (letter, record), (top, low) in zip(fine_tuning.failing_runs().items(), axes.T, strict=True):
    top.plot(record["loss"], color="#2f6fed", lw=1)
    top.axhline(1.386, color="#6b7280", lw=1, ls=":")
    top.set(title=f"{letter}: {record['clips']} clips", ylim=(0, 2), xticks=(0, 128))
    for name, colour in (("training", "#2f6fed"), ("validation", "#f26b1d")):
        at = [(i + 1) * 128 / len(record[name]) for i in range(len(record[name]))]
        low.plot(at, record[name], color=colour, lw=1.5, label=name)
    low.axhline(0.25, color="#6b7280", lw=1, ls=":")
    low.set(ylim=(0, 1.04), xlabel="step", xticks=(0, 128))
axes[0, 0].set_ylabel("loss")
axes[1, 0].set_ylabel("accuracy")
axes[1, 1].legend(frameon=False, fontsize=8)
fig.tight_layout()

# %% [markdown]
# Dotted: guessing. Choose from these words: *nothing*, *learning rate too high*, *learning rate too low*, *labels shuffled*, *too few
# clips*, *classes in another order* (validation numbers its classes otherwise than training).
#
# <details><summary>Hint</summary>
#
# First sort by validation: near 100 %, in between, chance. Then look at the loss, and at how many clips there were.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# diagnosis = {
#     "A": "labels shuffled",
#     "B": "nothing",
#     "C": "learning rate too high",
#     "D": "too few clips",
#     "E": "learning rate too low",
#     "F": "classes in another order",
# }
# ```
#
# </details>

# %%
diagnosis = {"A": ..., "B": ..., "C": ..., "D": ..., "E": ..., "F": ...}

fine_tuning.diagnosis.check(diagnosis)

# %% [markdown]
# ## What surprised people
#
# * **A model that passes the check with nonsense for labels.** Eight clips are memorised whatever they are called. In run A above 64 are
#   memorised, to 100 %, and validation stays at chance.
# * **The image model did not help here.** With classes that are motion alone, random weights were as good at the end, and ahead after two
#   epochs. The paper's gain comes from real scenes, and from weights that have seen millions of images.
# * **Pixels of 0 to 255 did no harm.** A seventh run, `"G"` in [failing.json](../assets/runs/failing.json), had clips of 0 to 255 in place of -1
#   to 1, and learnt as well as run B: the norms in each block take the scale out. With pretrained weights do not count on it: theirs were
#   made for -1 to 1.
# * **Thirty-two clips teach much.** Run D has seen nothing else, 128 times each, and still answers four in five clips right that it has
#   never seen, where guessing gets one in four.
# * **Backwards is worse than shuffled.** A model that has understood time is confidently wrong when it runs the other way.
#
# ## Where next
#
# [08 Evaluation](08_evaluation.ipynb): how good is it really? Then [09 The paper's ablations](09_ablations.ipynb), in miniature. The loop that
# trained here is two functions: [loop.py](../vivit_lab/training/loop.py). The recipes are in [presets.py](../vivit_lab/training/presets.py).

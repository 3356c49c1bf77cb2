# %% [markdown]
# # 07 · How do I make it mine?
#
# You have a folder of clips, one subfolder for each class, and a computer. This notebook takes an image ViT, inflates it into a ViViT, and
# trains the ViViT on mp4 files. Training that starts from weights learnt elsewhere is called *fine-tuning*. The steps are:
#
# 1. count what the training costs;
# 2. check in a second that the model can learn at all;
# 3. train, and steer the training while it runs;
# 4. test the result;
# 5. see what *regularisation* does, and who needs it;
# 6. train on *your* folder.
#
# The same cells train 0.2 million parameters on a laptop or ViViT-B/16x2 on a GPU.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), sections 3.4, 4.1 and table 4 · about 2 minutes of computing on a laptop, an hour and a
# quarter with the exercises · works offline, without a GPU · before this: [06 Inflation](06_inflation.ipynb) · words:
# [glossary](glossary.ipynb)
#
# *The rabbit is from Big Buck Bunny, CC BY 3.0, Blender Foundation, peach.blender.org. We rendered all other clips ourselves.*

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
from vivit_lab.training.optim import mixup
from vivit_lab.training.sanity import step_bytes, what_would_fit
from vivit_lab.video import TrainTransform
from vivit_lab.weights import adapt, inflate, load_checkpoint, load_timm, small_image_vit
from vivit_lab.weights.checkpoint import SMALL_VIDEO_VIT
from vivit_lab.widgets import CostExplorer, RegularisationExplorer, TrainingCockpit, film_strip

import matplotlib.pyplot as plt
import torch

# %% [markdown]
# ## What it will look like
#
# This picture replays a run of the cells below. We stored the run when we wrote the notebook. Press play, or move a slider. Hover over a
# curve to read the figures of a step. Press a step, or an epoch below the curves, to go there.

# %%
TrainingCockpit.replay(StoredRun.load(ASSETS / "runs" / "fine_tuning.npz"))

# %% [markdown]
# From top to bottom: the loss of each step (the dashed line is the loss of guessing); the accuracy of the training clips in each step, and
# after each epoch that of other clips (*validation*, dots); the learning rate. On the right: where the model looks in one clip that never
# changes, before training and after the epoch shown. An *epoch* is one pass through all training clips: 32 steps of 32 clips here.
#
# **Predict first.**
# 1. For how many steps does the loss stay at guessing? What does the learning rate do in these steps?
# 2. In this run, validation after epoch 1 is above the mean training accuracy of epoch 1. How can a model be better on clips that it has never
#    seen?
#
# <details><summary>Then look</summary>
#
# 1. For 12 to 15 steps, nearly half of the first epoch. In these steps the learning rate rises from 0 to its highest value (*warm-up*): at
#    first the steps are too small to change much.
# 2. The training accuracy of an epoch is a mean over its steps. In the first steps the model still knew nothing. Validation tests the model
#    that exists after the last step of the epoch.
#
# </details>
#
# Your own run below will differ from this one in detail: another speed, and other last digits in long sums, from which the curves drift
# apart.
#
# ## One switch
#
# All that differs between a laptop and a GPU is in the next cell. `SETUP` chooses:
#
# * `"cpu"`: a small ViViT, for any laptop;
# * `"gpu"`: ViViT-B/16x2, for a GPU with 16 GB or more (*The price* below counts the memory);
# * `"trial"`: the GPU's code in a toy size, to see that everything runs.

# %%
SETUP = os.environ.get("VIVIT_LAB_SETUP") or ("gpu" if torch.cuda.is_available() else "cpu")
IMAGE_VIT = os.environ.get("VIVIT_LAB_IMAGE_VIT")  # gpu, no network: a file with ViT-B/16
CLASSES = ["grows", "moves_left", "moves_right", "shrinks"]

few = {"classes": 4, "stride": 2, "flip": 0.0}
pace = {"batch": 32, "lr": 2e-3, "lr_batch": 32, "betas": (0.9, 0.98), "warmup_epochs": 0.4}
laptop = Recipe.preset("cpu_tiny", **few, **pace, epochs=5, init="small_image_vit", notes=())
server = Recipe.preset("small_data", **few, epochs=20, accumulate=4)
small = {"size": "Ti/16x2", "frames": 4, "crop": 32, "min_short_side": 32, "max_short_side": 32}
trial = server.change(**small, batch=8, epochs=2, warmup_epochs=1, init="vit_tiny_patch16_224")
recipe = {"cpu": laptop, "gpu": server, "trial": trial}[SETUP]
sizes = {"cpu": (2048, 16, 32), "gpu": (800, 64, 128), "trial": (256, 8, 32)}
videos, frames, pixels = sizes[SETUP]
workers = min(8, (os.cpu_count() or 1) - 1)

# %% [markdown]
# `flip` is the chance that a clip is mirrored left to right. A mirrored clip of *moves right* moves left. Check this
# first for your own data: no error tells you of a wrong augmentation. (An *augmentation* is a random change of a
# training clip that must keep its class.) Where class names tell left from right, `recipe.train_transform(names)`
# exchanges the labels of mirrored clips. Here `flip` is 0, so no clip is mirrored.
#
# ## The clips, as files
#
# The clips are those of Arrow of Time, written as mp4 files, with one folder for each class. Your own data can have the same form. One frame
# does not tell the class: only the order of the frames does. Four of the eight classes are enough here; the cell removes the others.

# %%
scratch = tempfile.TemporaryDirectory(prefix="vivit_lab_")  # gone when the kernel ends
here = Path(scratch.name)
for name, count, seed in (("train", videos, 0), ("val", videos // 8, 1)):
    root = write_arrow_of_time(here / name, count, frames, pixels, seed, progress=False)
    for folder in root.iterdir():
        if folder.is_dir() and folder.name not in CLASSES:
            shutil.rmtree(folder)
print(read_folder(here / "train").report().partition("\n")[2])

# %% [markdown]
# A *segment* in this report is a stretch of a video with one label. Here each video is one segment.

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
# From here on, nothing depends on the fact that the clips are rendered. For each clip the reader finds its frames in the file, decodes them,
# scales them and crops them. In each epoch every video gives another random clip. (Our videos are short: they have 16 frames, and 8 frames
# at stride 2 cover 15 of them. So only two clips are possible. Long videos offer more.)
#
# ## The recipe
#
# A *recipe* contains all settings of a training run, except the data and the machine. It is checked when it is made, and it can be printed.

# %%
print(recipe)

# %% [markdown]
# Some rows need a word. `classes` is a number, or a number for each of several classifiers (EPIC-Kitchens has one for verbs and one for
# nouns). `ema` keeps a running mean of the weights, which is then tested in place of the weights. `layer_decay` gives each block a smaller
# learning rate than the block above it. The last group changes only the cost of a step: *A small GPU* below explains it.
#
# The next cell prints recipes of the paper, and `small_data`, which is ours. *Regularisation* below explains the last four columns (`drop_path` is stochastic depth).

# %%
names = ("kinetics400_joint", "kinetics400_factorised_encoder", "moments_in_time_large")
names += ("epic_kitchens_large", "something_something_v2_large", "small_data")
fields = ("lr", "epochs", "flip", "colour", "mixup", "label_smoothing", "drop_path")
print(f"{'':30}{'  '.join(f'{field:>6}' for field in fields)}  RandAugment")
for name in names:
    paper = Recipe.preset(name)
    row = "  ".join(f"{getattr(paper, field):>{max(6, len(field))}}" for field in fields)
    print(f"{name:30}{row}  {str(paper.rand_augment or '-'):>11}")

# %%
paper = Recipe.preset("something_something_v2_large")
print(Recipe.preset("small_data").difference(paper))
for note in paper.notes:
    print(textwrap.fill(f"* {note}", 100, subsequent_indent="  "))

# %% [markdown]
# The paper trains with SGD at a rate of 0.1 to 0.5 (for `lr_batch` clips a step), on tens to hundreds of thousands of videos. `small_data` is
# for hundreds of videos. It uses AdamW, and a small learning rate in the lower blocks (`layer_decay`), so that these keep what the image model
# knows. The notes say where the paper and the official code differ, as far as we know.
#
# ## The price, before you pay it
#
# **Predict first.** ViViT-B/16x2, 32 frames of 224 × 224, batch 8, training in float32. Do the four models fit into a GPU with 16 GiB?
#
# <details><summary>Then look</summary>
#
# No. 16 GiB are 17.2 GB. Read the column *memory to train* below: Model 3 needs 22.9 GB and Model 4 19.3 GB. Models 1 and 2 need 16.1 and
# 16.5 GB. This is below 17.2 GB on paper. But libraries take some hundred MB more, and the memory of a GPU cannot be filled without gaps.
# Plan for a smaller batch.
#
# </details>

# %%
dial = CostExplorer()
dial.batch.value = 8
dial.views.value = 1
tries = {"batch 1": {"batch": 1}, "16 frames": {"frames": 16}, "back": {"batch": 8, "frames": 32}}
dial.offer(tries)

# %% [markdown]
# Try the buttons, and look only at *memory to train*. ([05](05_flops.ipynb) explains the rest of the picture.) The next cell prints Model 2's
# column. The last line but one is the step of `SETUP = "gpu"`: with `accumulate=4` a step goes through the GPU in 4 parts. The last line is the
# same step in one part.

# %%
for batch, count in ((8, 32), (1, 32), (1, 16)):
    config = ViViTConfig.preset("B/16x2", model="factorised_encoder", frames=count)
    needed = cost(config, batch=batch, training=True).total_bytes
    print(f"float32, batch {batch}, {count} frames: {needed / 1e9:5.2f} GB")
for parts in (4, 1):
    gpu = server.change(accumulate=parts, precision="bf16")
    print(f"bf16, batch 32, accumulate={parts}: {step_bytes(gpu.config(), gpu) / 1e9:7.2f} GB")

# %% [markdown]
# *bf16* and *fp16* are numbers of two bytes. The count is the same for both. So a GPU of 16 GB can do the step in 4 parts, also an older one
# that has fp16 but not bf16. With 40 GB you can set `accumulate` to 1.
#
# Now your own setup, with the speed of this processor measured.
#
# **Predict first.** The next cell predicts the time of the matrix products alone. Will the training take much longer than that?
#
# <details><summary>Then look</summary>
#
# Yes: compare the prediction with the seconds at the top of the cockpit's picture below. There are two reasons:
#
# * The prediction uses the speed that this processor reaches in large matrix products. The products of so small a model are slower.
# * The training waits for its clips: in every epoch each clip is found in its mp4 file, decoded and scaled again.
#
# With ViViT-B on a GPU, matrix products take most of the time, if enough workers read clips.
#
# </details>

# %%
config = recipe.config()
steps = recipe.epochs * (len(train) // recipe.batch)
print(cost(config, batch=recipe.batch, training=True))
if SETUP != "gpu":  # calibrate() measures the processor
    price = cost(config, batch=recipe.batch, training=True, machine=calibrate())
    print(f"\n{steps} steps, predicted: {price.seconds * steps:.0f} s")

# %% [markdown]
# Two notes on the table. *Memory in all* is less than the sum of its rows: while the gradients of the parameters are computed, activations are
# freed, so the two are never complete at the same time. And the MACs are those that this package computes. The report of `evaluate` below counts
# more: there the last spatial block is counted for all tokens, as in the paper ([05](05_flops.ipynb) says why).
#
# ## From an image model
#
# On a laptop the image model is our own small one. It was trained to say what one frame of such clips shows (shape, colour, place, angle,
# size), and it has never seen two frames together. On a GPU it is timm's ViT-B/16. Both are inflated as in [06](06_inflation.ipynb). The
# activation function GELU has an exact and an approximate form. The video model must use the form of its weights: `gelu=source.gelu`.
#
# In the counts below, *new* are the temporal encoder and the classifier. *Unused* are the classifiers of the image model: our small one has five,
# each with weights and biases.

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
# A check before any training: can the model memorise eight clips? If it cannot, no recipe will help. `overfit_one_batch` trains a copy: `model` itself stays untrained.
#
# **Predict first.** We shuffle the labels among all clips and do the check again. Does the model pass?
#
# <details><summary>Then look</summary>
#
# Yes. Eight clips can be memorised with any labels. The check finds broken code and frozen weights, but it cannot find wrong labels. Only
# validation can.
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
# The cockpit trains in its own thread, so that you can run other cells meanwhile. It has the buttons **Start**, **Pause** and **Stop**. A slider
# multiplies the learning rate, from the next step on.
#
# Things to try:
# 1. Go back to the first picture and press epoch 0, 1 and 5 below its curves. Which time steps and places get the most attention? (Here you can do
#    the same while the model trains.)
# 2. In a second run: multiply the learning rate by 10 in the middle of the run, and set it back 30 steps later. How soon does the loss show
#    it? Does the loss come back? (Copy the next cell. `model` is trained by then, so
#    take a new one, `inflated()[0]`, and another folder, `here / "second"`.)
# 3. Press **Stop**, then **Go on**. Does the curve show where you stopped?
#
# <details><summary>Then look</summary>
#
# 1. Before training a few single places stand out. After epoch 1 the attention is almost even. After epoch 5 the second and the last time step
#    get most of it, mostly in the two middle columns, and the third gets almost nothing. Your own run may differ. The map is the product of a
#    map over time and a map over space; no layer computes it ([04](04_attention_maps.ipynb)). It does not say why the model looks there.
# 2. In our try the loss rose to that of guessing within two steps. It fell again, even at the high rate. But the last validation accuracy was
#    clearly lower than in the first run: by then the schedule had made the steps small, and no time was left to repair the damage.
# 3. No. The run goes on with the same numbers; a section below tests this.
#
# </details>

# %%
cockpit = TrainingCockpit(
    model, train, validation, recipe=recipe, folder=here / "run", workers=workers
)
cockpit.offer(
    {"1 · epoch 1": {"epoch": 1}, "2 · rate × 10": {"lr": 10}, "2 · back to × 1": {"lr": 1}}
)

# %% [markdown]
# The next cell waits until training is done. It starts the training if you have not. (At the end the notebook stores the last picture. Without a
# kernel you see it above.)

# %%
run = cockpit.wait()
for epoch in run.history:
    print(f"epoch {epoch['epoch']}: loss {epoch['loss']:.3f}, accuracy {epoch['accuracy']:.1%}, "
          f"validation {epoch['validation']['top1']:.1%}")  # fmt: skip

# %% [markdown]
# Training loss and accuracy in the picture are means of the last 10 steps. The printed ones are means of all steps of the epoch: so the loss
# is higher and the accuracy lower.
#
# *Where it looks* shows the clip's time steps from top to bottom (each is drawn as the first of its 2 frames), and over each the attention of the
# class tokens in the last blocks. It is a product: the share of the time step times the share of the place in it. An *even* share would be
# one part in 64: 4 time steps × 16 places. Bright yellow is 4 times this or more; dark means nearly none. All shares together are at most 100 %: the
# rest goes to the class tokens themselves. Before the first step, the places are those that the image model attended to; the shares of the
# time steps come from temporal blocks that are still random.
#
# ## Was it worth it?
#
# Between epochs, accuracy comes from one view of each video. Now each video gets two views. (The videos are short, so the two overlap almost
# completely.) Then comes the question that you should put to every video model: does it use time at all?
#
# **Predict first.** Each of our classes is another class played backwards. What is the accuracy if the frames of each clip are shuffled? What is it if
# they are played backwards?
#
# <details><summary>Then look</summary>
#
# Shuffled: about a half. Without the order, one can still see *what* changes (place or size), but not in which direction. Backwards: almost
# nothing is right. The model answers with the other class of the pair.
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
# [08 Evaluation](08_evaluation.ipynb) explains the report: the average over views, the interval, *top-5* (empty for so few classes).
#
# ## What a run leaves, and how it goes on
#
# The run's folder contains the settings, one line of log for each step, the weights after the last two epochs, the weights of the best epoch, and
# the state from which the run can go on. `attention.zip` has the pictures of *Where it looks* after all epochs.

# %%
print(*sorted(file.name for file in run.folder.iterdir()), sep="\n")
best, info = load_checkpoint(run.folder / "best.safetensors")
print(f"\n{type(best).__name__} that knows its classes: {best.class_names}")

# %% [markdown]
# A run can be killed at any moment. `fit(..., resume=True)` then goes on from the last saved state. In the next cell one run is not
# interrupted. Another is stopped after its first epoch, and resumed with a new model object.
#
# **Predict first.** How much do the weights of the two runs differ in the end, on a CPU?
#
# <details><summary>Then look</summary>
#
# Not at all. All random choices of a step (clips, frames, crops, dropped branches) follow from the seed and from the number of the step, not from what
# happened before. On a GPU some sums are added up in another order each time, so the last digits differ.
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
# In the paper the start of one layer, the tubelet embedding, matters more than the choice of the model. On Kinetics-400, Model 1 reaches 73.2 %
# with a random tubelet embedding and 79.2 % with central frame (its table 1). All other weights come from the image model in both cases. The four
# models differ by 3.7 points, 76.3 % to 80.0 % (its table 2).
#
# Here is a larger question about the run above: does the image model help at all? We compare our image ViT, inflated by central frame, with *all*
# weights random; the same clips, the same recipe, three seeds each. (The runs are stored. `python assets/store_run.py starts` makes them
# again.)
#
# **Predict first.** Our classes differ only in motion: one frame does not tell them apart. How much does the image model help?
#
# <details><summary>Then look</summary>
#
# Not at all. Both starts end at 99 to 100 %. In the mean of three seeds, central frame is a little ahead after one epoch (because of one of its three seeds), and random weights are ahead after two. A likely reason: what the image model knows about such plain pictures (shapes, places, sizes) is
# learnt quickly; and at first a central frame sees no motion within a tubelet.
#
# </details>

# %%
stored = json.loads((ASSETS / "runs" / "starts.json").read_text())
fig, ax = plt.subplots(figsize=(8, 2.8), dpi=72, facecolor="white")
for name, colour, width in (("random", "#b4bac4", 5), ("central frame", "#2f6fed", 1.5)):
    runs = [row["validation"] for row in stored if row["start"] == name]
    for row in runs:
        ax.plot(range(len(row)), row, "o-", color=colour, lw=width, ms=width + 2)
    label = f"{name}: {Spread.of([row[-1] for row in runs])}"
    ax.plot([], [], color=colour, lw=width, label=label)
    means = [sum(each) / len(each) for each in zip(*runs, strict=True)]
    print(f"{name:14} mean after 1, 2, 3, 4, 5 epochs:", *(f"{each:.1%}" for each in means[1:]))
ax.set(xlabel="epochs", ylabel="validation accuracy", ylim=(0.2, 1.02), xticks=range(6))
_ = ax.legend(frameon=False, loc="lower right")

# %% [markdown]
# The legend gives the mean of the last accuracies (lowest to highest seed). The paper's case is another one: its image model has seen millions of
# labelled images, and in Kinetics one frame often tells the action. So ask about each start: what does it know that my clips cannot teach quickly?
# Real scenes and objects cannot be learnt from few clips. The same comparison with all eight classes, and the other ways to inflate, is in
# [09](09_ablations.ipynb).
#
# ## Regularisation: training clips that are harder than test clips
#
# A large model can memorise a small training set. Then training accuracy goes to 100 % and validation stops early. This is called
# *overfitting*. *Regularisation* makes memorising harder. The paper uses four kinds beside crops, flips and colours:
#
# | kind | changes | in words |
# |---|---|---|
# | RandAugment | the pixels | Two random operations, for example a turn and a change of contrast. All frames of a clip get the same ones. |
# | mixup | pixels and target | The clip times a share λ, plus another clip of the batch times 1 − λ. The target has both labels, with these shares. |
# | label smoothing | the target | A share ε of the target is spread evenly over all classes. The rest stays on the label. |
# | stochastic depth | the model | A block adds two *branches* to its input: attention, then the MLP. Each clip loses some of them at random. |
#
# The *target* is the probability of each class that the loss wants as an answer. Without regularisation it is 1 for the label and 0 for
# all others. All four are off in a test.
#
# The picture shows one training step on one clip, by the transform, the loss and the layers that `fit` uses. After mixup only the mixed clip
# goes through the model. We pretend that each sample clip is a class. The start is the paper's recipe for EPIC-Kitchens (RandAugment 15, smoothing 0.2, stochastic depth 0.2).
#
# Things to try:
# 1. **RandAugment.** Set the magnitude to 30. Which two operations does the clip get? Do the frames differ from each other? Then press play: each
#    *draw* is another training step. Why is magnitude 0 not the same as *off*?
# 2. **mixup.** Set the share to 0.5. Can you still see both clips? What does the target say? Press another class: it becomes the partner.
# 3. **Label smoothing.** Turn mixup off (share 1), and smoothing too. For which answer is the loss lowest? Then set smoothing to 0.2: for which
#    one now? (From left to right the answers of the curve give a larger share to the clip's class. They
#    divide the rest as the target does.)
# 4. **Stochastic depth.** Set it to 0.5. Which blocks lose most branches? What happens to a branch that is kept? (Hover over it.)
#
# <details><summary>Then look</summary>
#
# 1. The title of the second row names them. The frames get the same change: a change from frame to frame would look like motion. At magnitude 0
#    a turn is a turn by 0 degrees, but *AutoContrast* and *Equalize* have no magnitude and still act.
# 2. Both clips are visible, each half as strong. The target has two bars.
# 3. Without smoothing it is lowest at the right end, for an answer of 100 %: no logit is large enough for that. With ε = 0.2 and K classes it is
#    lowest at 1 − 0.2 + 0.2 / K, which is 82.2 % for the 9 classes here. A model that is surer than that has a higher loss.
# 4. The later ones: the rate rises in a straight line from 0 at the first block to 0.5 at the last. In the temporal encoder it rises again from
#    0. A branch that is kept is divided by its chance of being kept. So the mean over all draws is the whole branch, which a test uses.
#
# </details>

# %%
step = RegularisationExplorer("rabbit")
step.offer(
    {"1 · magnitude 30": {"magnitude": 30}, "1 · off": {"magnitude": "off"},
     "2 · half and half": {"share": 0.5}, "3 · label alone": {"share": 1.0, "smoothing": 0.0},
     "3 · smoothed": {"smoothing": 0.2}, "4 · rate 0.5": {"drop_path": 0.5}}
)  # fmt: skip

# %% [markdown]
# In training λ is not chosen but drawn, from the distribution Beta(α, α). `mixup` in a recipe is α. The paper's values are small: 0.1 and 0.3.
#
# **Predict first.** With α = 0.1, how often are the two clips visibly mixed, say with at least 10 % of each?
#
# <details><summary>Then look</summary>
#
# In about a fifth of the steps. In the others one of the two clips is alone, or nearly. With α = 1 all shares are equally likely.
#
# </details>

# %%
torch.manual_seed(0)
for alpha in (0.1, 0.3, 1.0):
    shares = [mixup(torch.zeros(2, 1), alpha)[1] for _ in range(2000)]
    mixed = sum(0.1 <= share <= 0.9 for share in shares) / len(shares)
    print(f"mixup {alpha}: {mixed:.0%} of the draws have a share between 0.1 and 0.9")

# %% [markdown]
# What do the four cost? A test costs the same as before. Stochastic depth could save time, since a dropped branch need
# not be computed. It does not here: one batch holds clips that keep a branch and clips that drop it, so the branch is computed for all clips, and
# multiplied by 0 for some. Mixup costs next to nothing: it is the weighted sum of two clips. RandAugment works on each clip before the model sees
# it: the workers must keep up. The next two cells measure this on the processor. Small differences are chance.


# %%
def quickest(do, *given, tries: int = 5) -> float:
    """Seconds of the quickest of some tries."""
    seconds = []
    for _ in range(tries):
        started = time.perf_counter()
        do(*given)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


clip = torch.randint(0, 256, (32, 3, 224, 224), dtype=torch.uint8)
ways = {
    "nothing": {"colour": 0},
    "colours": {"colour": 1},
    "RandAugment": {"rand_augment": (2, 15)},
}
for name, way in ways.items():
    change = TrainTransform(min_short_side=224, max_short_side=224, flip=0, grey=0, **way)
    seconds = [quickest(change, clip, seed, tries=1) for seed in range(12)]
    print(f"{name:12} {sum(seconds) / 12:.3f} s a clip of 32 × 224 × 224, mean of 12 draws")


# %%
def one_step(model, clips, alpha=0.0):
    model(mixup(clips, alpha)[0]).sum().backward()


clips = torch.rand(32, *recipe.config().clip_shape) * 2 - 1
for rate, alpha in ((0.0, 0.0), (0.3, 0.0), (0.0, 0.3)):
    seconds = quickest(one_step, build_model(recipe.config(drop_path=rate)).train(), clips, alpha)
    print(f"stochastic depth {rate}, mixup {alpha}: {seconds:.3f} s a step, quickest of 5")

# %% [markdown]
# The larger price cannot be seen in one step: a regularised model learns more slowly. It may need more epochs.
#
# ### What the paper gains
#
# The paper's table 4, on EPIC-Kitchens (action top-1: verb and noun both right), with the factorised encoder (Model 2). Each row keeps all that stands
# above it. All figures are the paper's. (In our recipe for EPIC-Kitchens `colour` is 0: RandAugment takes the place of the colour jitter.)
#
# | row | top-1 | gain |
# |---|---|---|
# | random crop, flip, colour jitter | 38.4 | |
# | + start from Kinetics-400 | 39.6 | + 1.2 |
# | + stochastic depth | 40.2 | + 0.6 |
# | + RandAugment | 41.1 | + 0.9 |
# | + label smoothing | 43.1 | + 2.0 |
# | + mixup | 43.7 | + 0.6 |
#
# Together the four bring 4.1 points. Read the table with care: a gain holds beside the rows
# above it, and in another order each kind could gain more or less. The paper gives no spread over seeds. In [09](09_ablations.ipynb), seeds of
# our own small study differ by more than such a gain.
#
# ### Why do 169,000 videos (Something-Something) need it, and 215,000 (Kinetics) not?
#
# *What the paper says:* transformers need much data; on EPIC-Kitchens and Something-Something its models overfitted, although they started from image
# weights; with the four regularisers they could be trained there. On Kinetics and Moments in Time it uses crops, flips and colours only.
#
# *Our reading of the reasons:* 215,000 is not much more than 169,000, so the number of videos alone explains little.
#
# * **Kinetics-400.** Scenes and objects often give the class away: a pool, a guitar. The image weights know them already, so the video model
#   has little to learn, and begins near a good answer.
# * **Something-Something v2.** The classes are motions with any object: "pushing something from left to right". Scene and object
#   do not tell the class, so the image weights help less. What tells it, motion, must be learnt from these videos, and until then it is easier for the
#   model to memorise the videos by their scenes.
# * **EPIC-Kitchens.** There are 97 verbs and 300 nouns. A few pairs are frequent, and very many have few clips (a *long tail*). All videos come
#   from kitchens. Names overlap, too: several verbs may describe one action. Label smoothing punishes a model that is too sure; in
#   table 4 it gains the most.
# * **The models are large** for all three:

# %%
videos_of = {"Kinetics-400": 215_000, "Something-Something v2": 169_000, "EPIC-Kitchens": 67_000}
for size in ("B/16x2", "L/16x2"):
    params = cost(ViViTConfig.preset(size, model="factorised_encoder", temporal_depth=4)).params
    print(f"{size}: {params / 1e6:.1f} M weights. Weights for each training video:")
    for name, count in videos_of.items():
        print(f"  {name:23} {params / count:6,.0f}")

# %% [markdown]
# ### Which one for my data?
#
# A rule of thumb, ours, not the paper's. First train without. Compare training and validation accuracy.
#
# | what you see, or know | take | why |
# |---|---|---|
# | training is not far above validation | nothing | The model does not memorise. Regularisation would only slow it down. |
# | training near 100 %, validation far below | stochastic depth (0.1), then mixup (0.2) | They need no knowledge about your data. |
# | test clips have other light, colours, camera positions | RandAugment, colours | They show the model such changes. |
# | labels overlap, or people disagree about them | label smoothing (0.1) | The target then admits that it may be wrong. |
# | left and right, or a direction, is the class | no flip, or flip with exchanged labels | A mirrored clip has another class. |
# | colour is the class (a traffic light), or the angle | no colours; no RandAugment, which changes colours and turns | They would change the class. |
# | few epochs, and fine motion tells the class | no mixup, even if validation is far below training | A mixed clip shows two motions at half strength; 09 has an example. |
#
# ## Which size can this machine train?
#
# The clips above have 32 × 32 pixels: enough for a moving shape. In your own clips a hand or a tool may need more. On a laptop, sizes
# between 48 and 112 pixels are possible. The next cell measures steps of 16 clips, for two models: our small video ViT (a Model 1; 64 numbers a
# token, patches of 8 × 8), and ViViT-Ti/16x2 (a Model 2; 192 numbers a token, patches of 16 × 16).
#
# **Predict first.** From 48 to 96 pixels the number of tokens grows four times. By how much do the MACs of the Model 1 grow?
#
# <details><summary>Then look</summary>
#
# Almost seven times: attention compares all pairs of tokens, and there are 16 times as many pairs. The seconds do not follow the MACs alone: memory,
# the widths of the matrices and what else the machine does count too.
#
# </details>

# %%
small_video_vit = load_checkpoint(SMALL_VIDEO_VIT)[0]  # Model 1, trained on Arrow of Time
choices = {}
for count, side in ((8, 48), (8, 64), (8, 96), (16, 96), (8, 112)):
    fields = {"frames": count, "image_size": side}
    choices[f"small, {count} × {side}²"] = dataclasses.replace(small_video_vit.config, **fields)
tiny = {"model": "factorised_encoder", "frames": 8, "image_size": 96}
choices["ViViT-Ti, 8 × 96²"] = ViViTConfig.preset("Ti/16x2", **tiny)
for name, config in choices.items():
    clips = torch.rand(16, *config.clip_shape) * 2 - 1
    seconds = quickest(one_step, build_model(config).train(), clips, tries=2)
    minutes = seconds * 500 / 16 / 60
    print(f"{name:18} {config.tokens:5,} tokens, {cost(config).macs / 1e6:3.0f} MMACs, "
          f"{seconds:5.2f} s a step, {minutes:4.1f} min an epoch of 500 clips")  # fmt: skip

# %% [markdown]
# The epoch is matrix products alone: reading and decoding clips comes on top, and can take as long. The recipe `cpu_small` needs 40 epochs.
#
# A larger size is not always better. On a folder of moving textures that we rendered, crops of 64 and of 96 pixels were no better than
# crops of 48 ([benchmarks](../tests/benchmarks/README.md), *A folder of videos*): there the motion can be seen at 48. Take the smallest size at which *you* still see in a clip what tells the
# classes apart.
#
# ViViT-Ti can start from real images: `load_timm("vit_tiny_patch16_224")` (with a network) knows objects and scenes. Our small models do not.
#
# ## Your own clips
#
# One folder for each class; clips of any length, size and rate. Every fifth clip is kept for the test. The cell first renders a folder to show that
# the code runs: clips of 112 × 112. Delete that line and point `FOLDER` at yours.
#
# On a CPU the recipe is `cpu_small` at 96 × 96 pixels, and training starts from our small video ViT, `small_video_vit` (loaded in the section before). `adapt` copies its weights, and resizes the table
# of positions. `flip` is 0 here. Delete `flip=0.0` if a mirrored clip keeps its class, or if it has the class with the words *left* and
# *right* exchanged.

# %%
FOLDER = here / "own"  # yours: FOLDER/jump/a.mp4, FOLDER/run/b.mp4, ...
write_arrow_of_time(FOLDER, 160, 32, 112, seed=2, progress=False)  # delete this line
middle = {"crop": 96, "min_short_side": 96, "max_short_side": 112, "flip": 0.0}
own = Recipe.preset("cpu_small", **middle) if SETUP == "cpu" else recipe
mine = read_folder(FOLDER)
own = own.change(classes=len(mine.class_names), epochs=1, warmup_epochs=0)

most = type(mine)([each for i, each in enumerate(mine) if i % 5], mine.class_names, mine.source)
clips = ClipDataset(most, own.sampling(), own.train_transform(mine.class_names))
tests = ViewDataset(mine[::5], own.sampling(), 2, own.test_transform(crops=1))

# %%
if SETUP == "cpu":
    of_mine = {"image_size": own.crop, "frames": own.frames, "num_classes": own.classes}
    model = build_model(dataclasses.replace(small_video_vit.config, **of_mine))
    model.class_names = mine.class_names  # not its own classes: the classifier starts at zero
    adapt(model, small_video_vit)
else:
    model = build_model(dataclasses.replace(own.config(), gelu=source.gelu))
    inflate(model, source)
started = time.perf_counter()
done = fit(model, clips, recipe=own, folder=here / "own_run", workers=workers, progress=False)
print(f"{done.steps} steps in {time.perf_counter() - started:.0f} s, reading included")
print(f"{evaluate(done.model, tests, workers=workers, progress=False).top1:.1%} of {len(tests)}")

# %% [markdown]
# Do not expect so high an accuracy after one epoch on your clips: our small video ViT was trained on moving shapes of just this kind. For your clips delete `epochs=1, warmup_epochs=0`: then the recipe's
# own epochs and warm-up apply (`cpu_small`: 40 and 2). An epoch takes whole batches of 16 clips, in a new order each time, and leaves out what
# does not fill one; with fewer than 16 clips make `batch` smaller. Take the cockpit in place of `fit` if you want to watch. To look for broken
# files first: `python -m vivit_lab check FOLDER`. The same training without a notebook, its evaluation, and the answer to a new video
# ([08](08_evaluation.ipynb)):
#
# ```
# python -m vivit_lab finetune videos/train --validation videos/val --folder runs/mine \
#     --recipe cpu_small --set crop=96 min_short_side=96 max_short_side=112 flip=0
# python -m vivit_lab evaluate runs/mine videos/val
# python -m vivit_lab predict runs/mine new.mp4
# ```
#
# ## More than one GPU
#
# The recipe stays the same. Its batch is the batch of all GPUs together: eight GPUs take the same steps, each with an eighth of the clips. The program
# `accelerate`, which is installed with this package, starts one process for each GPU:
#
# ```
# accelerate launch --num_processes 8 -m vivit_lab finetune videos/train --validation videos/val \
#     --folder runs/mine --workers 12
# ```
#
# If you make the batch larger, the learning rate follows (`lr_batch`). The first exercise is about this.
#
# ## A small GPU
#
# In training, most memory holds what the forward pass keeps for the backward pass ([05](05_flops.ipynb)). There are four ways to keep less:
#
# * **accumulate**: the batch goes through in parts, one after the other, and one optimiser step follows. The result is the same up to rounding.
# * **precision**: matrix products, and what they keep, take two bytes a number in place of four: `"bf16"`, or `"fp16"` on GPUs from before 2020.
#   `"auto"`, as in `small_data`, takes what the GPU has. On a CPU `"auto"` changes nothing.
# * **checkpointing**: each block keeps only its input. The backward pass computes the rest again. The result is the same.
# * **freeze="spatial_encoder"**: Model 2's spatial encoder stays as the image model was, and keeps nothing. The result is another one: the
#   model learns less.
#
# **Predict first.** Which way saves the most memory? Which ways should cost no time?
#
# <details><summary>Then look</summary>
#
# The frozen encoder saves the most, and saves time as well: it has no backward pass. bf16 saves time on a GPU that has units for it. Checkpointing repeats
# the forward pass, so it costs time. Accumulation computes the same products in smaller parts: it costs little only if a part is large enough to
# keep a GPU busy. On a processor the first three can all cost time, as the output shows.
#
# </details>
#
# The next cells measure this on the processor, with ViViT-Ti/16x2 on 4 clips of 8 × 112 × 112. The memory is the peak of all tensors that a step
# makes. The time is that of the quickest of three steps.

# %%
from vivit_lab.analysis import measure_memory
from vivit_lab.training.optim import freeze

ti = ViViTConfig.preset("Ti/16x2", model="factorised_encoder", frames=8, image_size=112)


def in_parts(model, clips, size):
    for part in clips.split(size):
        one_step(model, part)


def measured(batch: int = 4, bf16=False, checkpointing=False, frozen=None):
    """(memory of a training step without the weights, its seconds)."""
    model, clips = build_model(ti).train(), torch.rand(4, *ti.clip_shape) * 2 - 1
    freeze(model, frozen)
    model.set_grad_checkpointing(checkpointing)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        memory = measure_memory(model, batch=batch, training=True, checkpointing=checkpointing)
        return memory, quickest(in_parts, model, clips, batch, tries=3)


# %%
ways = {"as it is": {}, "accumulate=2": {"batch": 2}, "precision='bf16'": {"bf16": True}}
ways |= {"checkpointing": {"checkpointing": True}}
ways |= {"freeze='spatial_encoder'": {"frozen": "spatial_encoder"}}
for name, way in ways.items():
    memory, seconds = measured(**way)
    print(f"{name:26} peak {memory.peak / 1e6:6.1f} MB, a step {seconds:.2f} s")

# %% [markdown]
# `python tests/benchmarks/gpu_training.py` measures the same on a GPU, with
# ViViT-B/16x2. When a GPU runs out of memory, `fit` says what would fit. Here is what it says for that model in
# float32 and 16 GB:

# %%
full = Recipe.preset("small_data", precision="float32")
print(what_would_fit(full.config(), full, 1, 16 * 10**9))

# %% [markdown]
# ## Exercises
#
# ### 1 · The learning rate and the batch
# Difficulty ●○○○ · importance ●●●● · 5 minutes
#
# A recipe has its highest learning rate `lr` for `lr_batch` clips a step. You train on `devices` GPUs. Each takes `clips` clips at a time, and does
# this `accumulate` times before one step of the optimiser. What is your highest learning rate, by the linear rule (twice the clips, twice the
# rate)? Example: `scaled_lr(0.1, 64, 1, 16, 2)` is 0.05.
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
# ### 2 · A rise in a straight line, a fall along half a cosine
# Difficulty ●●○○ · importance ●●●○ · 10 minutes
#
# Write the learning rate of a step. The steps have the numbers 0, 1, ..., `total` − 1.
#
# * *Warm-up*: the rate rises in a straight line. Step 0 has the rate 0. Step `warm` is the first step that has the rate `peak`.
# * Then the rate falls along half a cosine. It would reach 0 at step `total`, which is never taken. So the last step has a rate a little
#   above 0.
#
# Example: with `peak=0.5, warm=20, total=100`, step 10 has 0.25, step 20 has 0.5, and step 60 has 0.25.
#
# <details><summary>Hint</summary>
#
# (1 + cos x) / 2 falls from 1 to 0 while x goes from 0 to π. Which x has step `warm`? Which x has step `total`?
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
# Six real runs of one small model on four classes: 128 steps of 32 clips each. Above each run stands the number of its training clips. One run
# is as it should be. Five have a fault. Which run has which fault?

# %%
grid = {"nrows": 2, "ncols": 6, "sharey": "row", "facecolor": "white"}
fig, axes = plt.subplots(**grid, figsize=(11, 4), dpi=70)
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
# The dotted lines are the loss and the accuracy of guessing. Choose from these words: *nothing*, *learning rate too high*, *learning rate too
# low*, *labels shuffled*, *too few clips*, *classes in another order* (validation numbers its classes in another order than training).
#
# <details><summary>Hint</summary>
#
# First sort the runs by validation: near 100 %, in between, at chance. Then look at the loss and at the number of clips.
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
# Run D has seen 32 clips, 128 times each. It is right on more than four in five clips that it has never seen: few clips can teach much.
#
# </details>

# %%
diagnosis = {"A": ..., "B": ..., "C": ..., "D": ..., "E": ..., "F": ...}

fine_tuning.diagnosis.check(diagnosis)

# %% [markdown]
# ### 4 · The target of mixup and label smoothing
# Difficulty ●●○○ · importance ●●●○ · 10 minutes
#
# A clip of class `own` keeps `share` of itself, and gets the rest from a clip of class `partner`. Then label smoothing spreads the share
# `smoothing` of this target evenly over all `classes` classes, the right ones too. Return the target of the loss: a list of `classes` numbers. `own`
# and `partner` may be the same class. Example: `target(0, 1, 0.7, 0.0, 3)` is `[0.7, 0.3, 0.0]`.
#
# <details><summary>Hint</summary>
#
# First write the target of mixup alone. Then each of its numbers y becomes y (1 − smoothing) + smoothing / classes.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def target(own: int, partner: int, share: float, smoothing: float, classes: int) -> list[float]:
#     mixed = [0.0] * classes
#     mixed[own] += share
#     mixed[partner] += 1 - share
#     return [y * (1 - smoothing) + smoothing / classes for y in mixed]
# ```
#
# </details>


# %%
def target(own: int, partner: int, share: float, smoothing: float, classes: int) -> list[float]:
    """The probability of each class that the loss asks for."""
    ...  # your code


fine_tuning.target.check(target)

# %% [markdown]
# ### 5 · Drop a branch
# Difficulty ●●●○ · importance ●●●○ · 15 minutes
#
# A block adds a branch to its input: x + branch. Write this sum with stochastic depth.
#
# * `x` and `branch` have the shape (clips, tokens, D).
# * `block` is 0 for the first of `depth` blocks, and `depth` − 1 for the last. The rate at which branches are dropped is 0 at the first block,
#   `rate` at the last, and rises in a straight line.
# * In training `kept` is a tensor of True and False, (clips,): False drops the branch of that clip. Choose what you do with a kept
#   branch so that the mean over all draws of `kept` is x + branch.
# * In evaluation `kept` is None.
#
# <details><summary>Hint</summary>
#
# A branch with the rate r is kept with the chance 1 − r. Which number c makes (1 − r) · c · branch equal to the branch? And how does `kept` get
# the axes of `branch`?
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def drop_branch(x, branch, block: int, depth: int, rate: float, kept=None):
#     if kept is None:
#         return x + branch
#     own = rate * block / (depth - 1)
#     return x + branch * kept[:, None, None] / (1 - own)
# ```
#
# </details>


# %%
def drop_branch(x, branch, block: int, depth: int, rate: float, kept=None):
    """x + branch, (clips, tokens, D), with stochastic depth."""
    ...  # your code


fine_tuning.drop_branch.check(drop_branch)

# %% [markdown]
# ## What surprised people
#
# * **Pixels from 0 to 255 did no harm to a model trained from scratch.** `fit` and `normalise` refuse such pixels ([01](01_clip_sampling.ipynb)). For a
#   seventh run, `"G"` in [failing.json](../assets/runs/failing.json), we brought the pixels to 0 to 255 inside the model, after that check. The run
#   learnt as well as a run without a fault: the norm in each block removes the scale, and the model had never seen other pixels. Pretrained weights
#   were made for −1 to 1. If pretrained weights give bad results, check the range of the pixels first.
# * **Backwards is worse than shuffled.** A model that has understood time gives the opposite answer when a clip is played backwards.
#
# ## Where next
#
# [08 Evaluation](08_evaluation.ipynb): how good is it really? Then [09 The paper's ablations](09_ablations.ipynb), in miniature. The loop that
# trained here is two functions: [loop.py](../vivit_lab/training/loop.py). The recipes are in [presets.py](../vivit_lab/training/presets.py).

# %% [markdown]
# # 08 · How good is it really?
#
# A clip shows a model a part of a video, and a crop shows a part of each picture.
# So the paper tests a model on several views of each video and averages the answers. A *view* is one clip with one crop. This notebook shows what more
# views improve and what they cost, and how much of an accuracy is luck.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), section 4.1 and the view counts of its tables · about a minute of computing on a
# laptop, 40 minutes with the exercises · works offline, without a GPU · before this:
# [01 Clip sampling](01_clip_sampling.ipynb), which explains views · words: [glossary](glossary.ipynb)

# %%
import contextlib
import dataclasses
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from vivit_lab import ViViTConfig, build_model
from vivit_lab.analysis import count_flops
from vivit_lab.data import LongVideos, ViewDataset, write_arrow_of_time
from vivit_lab.data.arrow_drawing import LEVELS, NUMBERS, render, scenes_of
from vivit_lab.data.arrow_of_time import encode
from vivit_lab.data.samples import ASSETS
from vivit_lab.lessons.exercises import evaluation
from vivit_lab.models import MODELS
from vivit_lab.training import Evaluation, evaluate, load_evaluation, predict, timeline
from vivit_lab.training.metrics import interval
from vivit_lab.video import ByFrame, Preprocessing, TestTransform, span_seconds
from vivit_lab.weights import load_checkpoint
from vivit_lab.widgets import ConfusionExplorer, EvaluationExplorer, TimelineExplorer

import numpy as np
import torch

# %% [markdown]
# ## Twelve views
#
# The test set has 800 videos of 80 frames. Each picture is twice as wide as high. Each video shows a shape that changes. The shape is the *noun*: disc,
# ring, square, triangle or bar. The change is the *verb*: the shape moves, turns, grows or runs through its colours, in one of two directions. The change
# takes 20 of the 80 frames, and can be anywhere in the video.
#
# The model is a small Model 2 with two classifiers, one for the verb and one for the noun. It was trained on other videos of this kind. A clip has 8 frames
# at stride 2, so it covers 15 of the 80 frames. The model has seen 12 views of each test video, 4 clips × 3 crops, and every answer was stored
# ([script](../assets/score_views.py), [log](../assets/scores/log.json)).
#
# **Predict first.** With one view, the best one, the verb is right in about 2 of 5 videos. How many are right with all twelve? The noun can be seen in
# one frame: does it gain as much? Which of the twelve views is the best if it is used alone?
#
# <details><summary>Then look</summary>
#
# The verb doubles, from 41 % to 81 %. The noun goes from 30 % to 40 %. It needs the right place, not the right moment, so other clips add little and
# other crops add some. For the verb, the views of clips 2 and 3 are the best, and clip 2 centre is the best of them:
# all 20 frames of a change must fit into the video, so few changes reach its very beginning or end.
#
# </details>

# %%
explorer = EvaluationExplorer()
explorer.count.value = 4
explorer.which.value = "wrong with 1 view, right with these"
explorer.offer(
    {
        "1 · 1 view": {"count": 1},
        "1 · 12 views": {"count": 12},
        "2 · 4 clips × 1 crop": {"count": 4},
        "2 · 2 clips × 2 crops": {"views": (3, 5, 6, 8)},
        "3 · wrong, then right": {"which": "wrong with 1 view, right with these"},
        "4 · right, then wrong": {"which": "right with 1 view, wrong with these"},
        "5 · noun": {"head": "noun"},
    }
)

# %% [markdown]
# *We drew these videos ourselves. The rabbit of the other notebooks (Big Buck Bunny, CC BY 3.0, Blender Foundation) has no class that a model could
# name.* Without a kernel you see a still picture; run the cell to get the controls.
#
# The bars in a view are its eight classes, in the order of the list below the views. The answers of the views can be averaged after the softmax or
# before it (*logits*). A section below compares the two.
#
# Things to try. The buttons below the controls have the numbers of this list:
# 1. Move **views** from 1 to 12, or press the points of the curve. Where does the curve rise, and where is it flat?
# 2. Press single views in either grid to take them in or leave them out. The name of a clip or of a crop takes all its views. Four views for the verb:
#    are 4 clips × 1 crop better than 2 clips × 2 crops? Does it matter which clips?
# 3. Set **videos** to *wrong with 1 view, right with these* ("these" are the views that are on); ▶ plays the clips. In how many of
#    the four clips does something change?
# 4. Set it to *right with 1 view, wrong with these*. More views also turn some right answers into wrong ones. Why are more views still better?
# 5. Press *noun*. Which views are the best now?
#
# <details><summary>Then look</summary>
#
# 3: in one or two of the four. In the other clips the shape stands still. 4: with 4 views 28 answers become wrong, but 240 become right. 5: all are nearly
# equal, between 29 and 33 %: a shape can be seen in every clip, if the crop shows it.
#
# </details>
#
# The explorer shows one object. `evaluate` makes it, and `load_evaluation` reads it from a file:

# %%
result = load_evaluation(ASSETS / "scores" / "long_videos.npz")
result

# %% [markdown]
# Read it line by line:
# * *Video* is the paper's figure. The views of a video are averaged, and the average gives one answer for the video.
# * *Clip* takes each of the 9,600 views as an answer. It is the same model on the same videos, but 31.5 % in place of 80.9 %. So do not compare the clip accuracy of one paper with the video accuracy of another.
# * *Mean of classes* gives every class the same weight, however many videos it has. Here all classes have equally many.
# * *Action* means: verb and noun are both right in the same video. (The noun has no top-5, because it has five classes.)
#
# ## Accuracy against cost
#
# A second view costs as much as the first. The next cell takes the first view, the first two, and so on. The centre crops come first, then the left and the right
# ones. Clip 2 is the first, and each next clip is as far as possible from those before it. Another order gives another curve.

# %%
crops = "left", "centre", "right"
named = [f"clip {clip + 1} {crops[crop]}" for clip, crop in result.scores.places]
chosen, one = set(), result.with_views(result.scores.spread(1))["verb"].right
for n in range(1, 13):
    views = set(result.scores.spread(n))  # one more view than before
    (added,), chosen = views - chosen, views
    verb = result.with_views(sorted(views))["verb"].right
    mended, spoilt = (verb & ~one).sum(), (one & ~verb).sum()
    share = f"verb {verb.mean():5.1%}"
    print(
        f"{n:2} + {named[added]:14} {share}, against 1 view: {mended:3} more right, {spoilt} lost"
    )

# %% [markdown]
# Each view costs the same. Views 2 to 6 add 34 points together, views 7 to 12 only 6.
#
# **Predict first.** Which is better for the verb: the three crops of one clip, or the centre crop of three clips? Both cost three views. Which is better
# for the noun?
#
# <details><summary>Then look</summary>
#
# Three clips are better for the verb, because the change happens at one moment. Three crops are better for the noun, because the shape is in one place
# all the time.
#
# </details>

# %%
number = {name: view for view, name in enumerate(named)}
choices = {
    "1 clip x 3 crops": [f"clip 2 {crop}" for crop in crops],
    "3 clips x 1 crop": [f"clip {clip} centre" for clip in (1, 2, 4)],  # the first three above
    "middle 2 x 2": [f"clip {clip} {crop}" for clip in (2, 3) for crop in ("left", "right")],
    "outer 2 x 2": [f"clip {clip} {crop}" for clip in (1, 4) for crop in ("left", "right")],
    "4 clips x 1 crop": [f"clip {clip} centre" for clip in (1, 2, 3, 4)],
    "4 clips x 3 crops": named,
}
few = {name: result.with_views([number[v] for v in views]) for name, views in choices.items()}
for name, some in few.items():
    shares = [f"{task} {some[task].top1:6.1%}" for task in ("verb", "noun", "action")]
    print(f"{name:18}", *shares, f"{some.macs * len(choices[name]) / 1e6:6.1f} MMACs", sep="   ")

# %% [markdown]
# It also matters *which* clips you take: four views of the two outer clips know the verb in 42.4 %, hardly more than the best view alone (40.6 %). Four views of the two
# middle clips know it in 69.6 %.
#
# The paper tests Kinetics with 4 × 3 views of 224 × 224 pixels; SlowFast uses 10 × 3 of 256 × 256, and the official code 4 × 1 for EPIC-Kitchens. If a table says "455 GFLOPs × 12", the cost of its accuracy is the product. (These "FLOPs" are MACs: see [05 FLOPs](05_flops.ipynb).)
#
# ## Frames or views?
#
# You can show a video of 10 s to a model as many short clips or as few long ones. With three crops each, 4 clips
# of 32 frames make 32 × 12, and 1 clip of 128 frames makes 128 × 3. In each case the model sees 128 frames, in three crops.
#
# **Predict first.** For which of the four models do longer clips cost more? How many seconds does one clip of 128 frames at stride 2 see, with 30 frames a second?

# %%
models = "".join(f"{f'Model {k}':>9}" for k in (1, 2, 3, 4))
print(
    f"{'frames x views':16}{'one clip sees':>14}{'all clips see':>15}{models}  GMACs a video (matrix products)"
)
for frames, clips in ((8, 16), (16, 8), (32, 4), (64, 2), (128, 1)):
    configs = [ViViTConfig.preset("B/16x2", model=name, frames=frames) for name in MODELS]
    costs = [3 * clips * count_flops(c, counter="closed_form").macs / 1e9 for c in configs]
    seen = span_seconds(frames, stride=2, fps=30)
    times = f"{f'{seen:.2f} s':>14}{f'{clips * seen:.2f} s':>15}"
    print(f"{f'{frames} x {3 * clips}':16}{times}", *(f"{cost:8,.0f}" for cost in costs))

# %% [markdown]
# * **Time.** All rows see 8.53 of the 10 seconds. The three crops remain, because the picture is still wider than the crop.
# * **Cost.** The table counts matrix products only: 12 × 451.5 G for Model 1 with 32 × 12. (The paper reports 455.2 G for a view.) In Model 1 every
#   token attends to every token of the clip. A clip of twice the length has four times as many pairs of tokens, but a video needs half as many clips. So the cost of
#   attention doubles from row to row (+542, +1,086, +2,175, +4,350), and the rest of the cost stays. In Models 2 to 4 spatial
#   attention stays inside a time step, and temporal attention takes one token of each time step. So their costs hardly change.
# * **Accuracy.** Only a long clip lets the model compare the first second with the eighth. An average over clips cannot do that. The paper reports that longer
#   clips help and that the gain is smaller with several views; this kit does not have its figures.
#
# ## Softmax or logits?
#
# You can average the answers of the views before or after the softmax. The paper follows SlowFast, which averages
# probabilities: after the softmax. The official code of ViViT averages logits: before the softmax. A probability is at most 1, so each view has at most one full vote. A logit has no
# upper limit, so one very sure view can have more weight than all the others.
#
# **Predict first.** A clip before the change shows a shape that stands still. What should a good model answer? Which average becomes
# worse if the model gives a wrong answer there, and is very sure of it?
#
# <details><summary>Then look</summary>
#
# It cannot know the verb, so it should give all eight the same probability. If it is sure and wrong, both averages become worse, the logits much more: two cells below.
#
# </details>

# %%
other = Evaluation(result.scores, "logits")
for task in ("verb", "noun", "action"):
    a, b = result[task].right, other[task].right
    only = f"only softmax right: {(a & ~b).sum()}, only logits: {(b & ~a).sum()}"
    print(f"{task:7} softmax {a.mean():.1%}   logits {b.mean():.1%}   {only}")

# %% [markdown]
# The logits are a little better, but 800 videos cannot confirm it (the section on luck below has the test).
#
# Why is there so little difference? This model was trained on clips of which many show no change. So it is unsure of them, both in probabilities and
# in logits. The next cell multiplies all logits of clip 1 by 10. Clip 1 gives the same answers as before, but with great
# confidence, whether they are right or wrong:

# %%
loud = {task: logits.copy() for task, logits in result.scores.logits.items()}
for logits in loud.values():
    logits[:, [number[f"clip 1 {crop}"] for crop in crops]] *= 10
scores = dataclasses.replace(result.scores, logits=loud)
for average in ("softmax", "logits"):
    print(f"{average:8} verb {Evaluation(scores, average)['verb'].top1:.1%}")

# %% [markdown]
# Both averages lose, and the logits lose more than twice as much.
#
# * **Average probabilities** if some views may show nothing. No view then has more than one vote.
# * **Average logits** if all views are equally reliable. The sum of the logits is, up to a constant, the logarithm of the *product* of the probabilities. A class to which one view gives nearly 0 then stays low, whatever the other views say.
# * **To compare with a published figure**, use the average that it used. Every report of the package says which average it is.
#
# ## Which classes?
#
# One accuracy does not say which classes are right and which are wrong. The *confusion matrix* does: its rows are the true classes, its columns the answers, and each cell counts
# videos.
#
# **Predict first.** The verbs come in pairs. Each verb, played backwards, is the other one of its pair. Do you expect mistakes within a pair or between
# pairs? Can a shape that grows be taken for one that changes its colour?
#
# <details><summary>Then look</summary>
#
# Four of five mistakes stay within a pair: only the direction needs the order of the frames. A growing shape is taken for a colour change in 2 of 100 videos.
#
# </details>

# %%
confusion = ConfusionExplorer()
confusion.offer(
    {
        "1 · 1 view": {"count": 1},
        "2 · noun": {"head": "noun"},
        "3 · action": {"head": "action"},
        "4 · verb": {"head": "verb", "count": 12},
        "5 · clockwise": {"head": "verb", "truth": "turns clockwise", "answer": "turns clockwise"},
        "5 · anticlockwise": {
            "head": "verb",
            "truth": "turns anticlockwise",
            "answer": "turns clockwise",
        },
    }
)

# %% [markdown]
# Things to try:
# 1. Move **views** down to 1. Are the mistakes spread evenly, or does one column get most of them?
# 2. Press *noun*. Which shapes does the model mistake for each other?
# 3. Press *action*: verb and noun together. Compare its accuracy with the product of the two accuracies, which is printed beside it.
# 4. Compare *k = 1* with *k = 2* for the verb. With 8 classes top-5 is nearly always right.
# 5. The two buttons show videos that the model takes for *turns clockwise*. The shapes of the first button do turn clockwise, those of the second
#    anticlockwise. Play both. Can you see which way they turn?
#
# <details><summary>Then look</summary>
#
# 1: one column gets most, *red, green, blue*. One view often shows a shape that stands still, and then the model gives this answer. 2: rings are taken for triangles and bars, bars for
# triangles, squares for discs. 5: most people can, the model cannot.
#
# </details>

# %%
for truth, answer, videos, share in result.most_confused(4):
    print(f"{truth:20} taken for {answer:20} {videos:3} times, {share:.0%} of its videos")
matrix = result["verb"].confusion
within = sum(matrix[k, k ^ 1] for k in range(8))  # k ^ 1 is the other class of k's pair
print(f"{within} of {matrix.sum() - np.trace(matrix)} mistakes are within a pair")
turns = np.isin(result["verb"].labels, (2, 3))
print(f"the two turns: {result['verb'].right[turns].mean():.0%} of {turns.sum()} videos are right")

# %% [markdown]
# The model sees *that* a shape turns. It does not know which way: 48 % is a guess between two. The models of
# [03 Four models](03_four_models.ipynb) have learned this pair, on clips with larger shapes and no noise.
#
# The noun's 40 % is a mean of very different classes:

# %%
noun = result["noun"]
for name, share in zip(noun.class_names, noun.per_class, strict=True):
    print(f"{name:9} {share:6.1%}")

# %% [markdown]
# **Verb × noun.** EPIC-Kitchens has labels of two kinds, 97 verbs and 300 nouns. The figure in the paper's tables is the *action*: both are right. The
# package scores a pair by the product of the two probabilities, as the official code does.
#
# **Predict first.** Is the accuracy of the action the product of the two accuracies? When is it not?

# %%
action, first, second = result["action"], result["verb"], result["noun"]
print(f"verb {first.top1:.1%} x noun {second.top1:.1%} = {first.top1 * second.top1:.1%}")
print(f"action, counted: {action.top1:.1%}   top-5 of the 40 pairs: {action.top5:.1%}")

# %% [markdown]
# Here the product is nearly right. In real videos one cause, such as a dark picture, often makes both wrong. Then they are wrong together, and so right together, more often than the product says.
#
# ## How much of it is luck?
#
# Another 800 videos would have given another accuracy. The *95 % interval* says how far away the true accuracy may be. "True" means: over very many
# such videos. The interval counts videos, not views: twelve views of one video are not twelve independent tests. The package uses Wilson's interval, which can also be used near 0 and 100 %. In the middle it is
# close to the simple formula of exercise 3, 1.96 *standard errors* to each side. A standard error is how far a measured accuracy typically is from the true one.
#
# **Predict first.** Two models reach 80.0 % and 79.2 %, as two rows of a table might. How many videos must the test set
# have before you may say that the first model is better?
#
# <details><summary>Then look</summary>
#
# If each model is tested on videos of its own: about 19,500 for each. If both
# models are tested on the *same* videos, fewer can be enough.
#
# </details>


# %%
def videos_to_tell(p, q):
    """Test videos for each of two models, so that p - q is 1.96 standard errors."""
    return 1.96**2 * (p * (1 - p) + q * (1 - q)) / (p - q) ** 2


for p, q in ((0.800, 0.788), (0.800, 0.792), (0.792, 0.785), (0.788, 0.786)):
    print(f"{p:.1%} against {q:.1%}: {videos_to_tell(p, q):8,.0f} videos for each model")
for n in (100, 800, 20_000):
    low, high = interval(round(0.8 * n), n)
    print(f"80 % right of {n:6,} videos: 95 % interval {low:.1%} to {high:.1%}")

# %% [markdown]
# Rows 1, 3 and 4 compare two models of the paper on Kinetics-400: Model 1 and Model 2 in row 1, tubelets (central frame) and uniform frame sampling in row 3, 4 temporal blocks and 1 in row 4. With different videos for each model, 20,000 (about as many as Kinetics-400 has for validation) are too few for 0.7 points, and far too few for 0.2.
#
# **The same videos** for both models give a sharper test. Only the videos count on which *exactly one* of the two is right: *d* videos of N. Count +1 if it is the first model, -1 if it is
# the second. If both models were equally good, each sign would be random. The sum of *d* such signs has a standard deviation of √d. So the error of
# the difference is 1.96 · √d / N. A difference larger than its error is *decided*; otherwise it is *open*. Our own rows:

# %%
two_by_two = few["middle 2 x 2"], few["4 clips x 1 crop"]
three = few["3 clips x 1 crop"], few["1 clip x 3 crops"]
for name, (a, b), tasks in (
    ("softmax - logits", (result, other), ("verb", "noun", "action")),
    ("3 clips - 3 crops", three, ("verb", "noun")),
    ("middle 2 x 2 - 4 x 1", two_by_two, ("verb", "noun")),
):
    for task in tasks:
        first, second = a[task].right, b[task].right
        error = 1.96 * (first != second).sum() ** 0.5 / len(first)
        print(f"{task:7}{name:21} {first.mean() - second.mean():+.1%}, plus-minus {error:.1%}")

# %% [markdown]
# Softmax against logits is open three times. Clips against crops is decided, for the verb and for the noun. The middle clips with two crops are better for the noun; for the verb
# they are open against four clips with one crop.
#
# Now the same rule for the paper's rows, with N = 20,000. A difference is decided if *d* is small enough. How small?

# %%
for p, q in ((0.800, 0.788), (0.792, 0.785), (0.788, 0.786)):
    limit, independent = 20_000 * (p - q) ** 2 / 1.96**2, p * (1 - q) + q * (1 - p)
    print(f"{p:.1%} - {q:.1%}: decided if exactly one is right in under {limit:.0%} of the videos")
print(f"If the mistakes were independent, exactly one would be right in {independent:.0%}.")

# %% [markdown]
# The paper does not give *d*. But 1.2 points are decided: two such models cannot differ in 75 % of the videos (exactly one can be right in at most 20.0 + 21.2 = 41.2 %). Two models often fail on the same videos, so *d* is probably below the 34 % of independent mistakes.
# Then 0.7 points may be decided. For 0.2 points *d* would have to be very small.
#
# **The seed** is a second kind of luck, and more videos do not help against it. The paper reports 80.0 for Model 1 in its Table 2, and
# 79.2 in its Table 1 for what seems to be the same model (row 2 above). This kit does not know why. [09 Ablations](09_ablations.ipynb) trains with several seeds.
#
# ## With the model
#
# Now with mp4 files, the loader and the model. `evaluate` is the whole call. 40 videos are few: look at the interval.

# %%
scratch = tempfile.TemporaryDirectory()
folder = Path(scratch.name)
model, _ = load_checkpoint(ASSETS / "scores" / "two_heads.safetensors")
catalog = LongVideos(videos=40, seed=5).write(folder / "videos")
views = ViewDataset(
    catalog, ByFrame(clip_frames=8, stride=2), 4, TestTransform(crop=32, short_side=32)
)
live = evaluate(model, views, progress=False)
print(live.report().replace(str(folder), "a folder"))

# %% [markdown]
# **Predict first.** Now the frames of each clip are shuffled, and nothing else changes. What happens to the verb, and what to the noun? And if the frames
# come backwards?
#
# <details><summary>Then look</summary>
#
# Shuffled, the verb falls from 85 % to 55 %; the noun does not fall. Backwards, the verb is right in 20 %: 32 of the 40 videos are now taken for the other
# verb of their pair, because that is what the model sees. 8 stay right; 5 of these 8 turn.
#
# </details>

# %%
for frames in ("in_order", "shuffled", "reversed"):
    test = live if frames == "in_order" else evaluate(model, views, frames=frames, progress=False)
    low, high = test["verb"].interval
    verb, noun = (f"{task} {test[task].top1:6.1%}" for task in ("verb", "noun"))
    print(f"{frames:9} {verb} ({low:.0%} to {high:.0%})   {noun}")
answers, labels = test["verb"].averaged.argmax(axis=1), test["verb"].labels
print(
    f"reversed: {(answers == labels ^ 1).sum()} videos are taken for the other verb of their pair,"
)
turns = np.isin(labels, (2, 3))
print(f"{(answers == labels).sum()} stay right, {(answers == labels)[turns].sum()} of these turn")

# %% [markdown]
# Always do this test with a video model of your own. If an accuracy stays the same after shuffling, the model does not use the order of the frames, whatever its architecture
# could do.
#
# The report looks for mistakes itself. Here is a new model: its classifiers are zero, as they are after loading weights without their
# classifier:

# %%
torch.manual_seed(0)
untrained = build_model(model.config)
for line in evaluate(untrained, views, progress=False).warnings:
    print(textwrap.fill(f"WARNING: {line}", 100))

# %% [markdown]
# ## From the command line
#
# The same function works on a folder with a folder for each class. Here are 48 clips of Arrow of Time as mp4 files, and the small Model 2 of
# [04 Attention maps](04_attention_maps.ipynb). (In a terminal you write `python -m vivit_lab evaluate ...` in place of `sys.executable`.)

# %%
_ = write_arrow_of_time(folder / "val", clips=48, frames=32, image_size=64, seed=9, progress=False)
weights = ASSETS / "weights" / "factorised_encoder.safetensors"


def command(*options):
    words = [sys.executable, "-m", "vivit_lab", "evaluate", str(weights), "val", *options]
    run = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    return run.stdout.replace(str(folder), "a folder")


print(command("--clips", "2", "--device", "cpu", "--workers", "0"))

# %% [markdown]
# (The short side of 55 is the crop of 48 times 256 / 224, the ratio of the paper's test sizes.)
#
# Is the model bad, or does the test not fit it? These files show the motion of the training clips, in 32 frames in place of 8. So a clip of eight frames at
# stride 2 differs from the training in two ways. It sees half of the motion, where the training always showed
# all of it. And from frame to frame the shape moves half as far. Stride 4 makes both as in training.
#
# **Predict first.** What does stride 4 do?

# %%
report = command("--clips", "2", "--stride", "4", "--device", "cpu", "--workers", "0")
print(*(line for line in report.splitlines() if line.startswith(("video", "clip"))), sep="\n")
files = [folder / f"factorised_encoder-on-val-2x3{end}.npz" for end in ("", "-stride-4")]
before, after = (load_evaluation(file)["class"].right for file in files)
error = 1.96 * (before != after).sum() ** 0.5 / len(after)
print(f"difference {after.mean() - before.mean():+.1%}, plus-minus {error:.1%}")

# %% [markdown]
# So the test did not fit the model: the difference is decided. (Which of the two reasons counts cannot be said, because both changed.)
#
# The command writes the report as JSON and the scores of every view as `.npz`. You can use these without running the model again:
#
# ```python
# result = load_evaluation("factorised_encoder-on-val-2x3.npz", average="logits")
# EvaluationExplorer(result)
# ```

# %% [markdown]
# ## What does a new video show?
#
# `predict` takes any videos (a file, a folder, a pattern, a list), shows the model the same twelve views of each
# as above, and names the best classes. A model's file usually says which frames and pixels the model expects. For these older weights we give the settings here.
#
# We make a video of three parts. Each part shows another class of Arrow of Time for 3.84 s; only the first part is 0.24 s shorter. So the parts meet at 3.60 s and 7.44 s.
#
# **Predict first.** `predict` averages four clips of 0.64 s, evenly spread. What will the model answer for the whole video?
#
# <details><summary>Then look</summary>
#
# A mixture. Each clip names what it sees. The second and the third clip lie mostly in the second part, so its class gets half of the probability. The average assumes that
# a video shows one thing from beginning to end, as the videos of Kinetics do. A video of your holiday does not.
#
# </details>

# %%
numbers = np.random.default_rng(0).random((3, NUMBERS))
numbers[:, -5] = 1  # two whole rounds in 16 frames: the end meets the beginning
scenes = scenes_of(LEVELS["easy"], np.array([0, 2, 5]), numbers, frames=16)
parts = [np.tile(part, (6, 1, 1, 1)) for part in render(scenes, 96)]
_ = (folder / "three_parts.mp4").write_bytes(encode(np.concatenate(parts)[6:]))
_ = (folder / "page.mp4").write_text("<html>Video not found</html>")

# %%
small, _ = load_checkpoint(ASSETS / "weights" / "joint.safetensors")
small.preprocessing = Preprocessing(ByFrame(8, stride=2), crop=48, short_side=48)
with contextlib.chdir(folder):
    found = predict(small, ["three_parts.mp4", "page.mp4"], top=3)
print(str(found).replace(f"{folder}/", ""))
first = ByFrame(8, stride=2).test(np.arange(282) / 25, 4)[:, 0] / 25  # of 282 frames
print("the four clips begin at", *(f"{each:.2f} s" for each in first))

# %% [markdown]
# A file that cannot be read is named, and the others get their answers. (This video is square: its three crops are the same picture, so 4 views would do.) If more than one thing happens in a video, use `timeline`. A window, as long as a clip,
# moves along the video in steps of half its length. Each moment gets the mean of the windows that show it.
#
# **Predict first.** The windows are 0.64 s long, and a step is 0.32 s. How far from the true borders can the borders of the time line be?
#
# <details><summary>Then look</summary>
#
# Less than a window. A window that shows both parts may name either. Its moments lie less than 0.64 s from the true border, and the answer changes only at multiples of the step. Here both borders come
# 0.24 s late, at 3.84 s and 7.68 s. With half the step the first one comes nearer, the second one stays.
#
# </details>

# %%
line = timeline(small, folder / "three_parts.mp4")
finer = timeline(small, folder / "three_parts.mp4", step=0.16)
for name, each in (("steps of 0.32 s", line), ("steps of 0.16 s", finer)):
    ends = [part.end for part in each.parts["class"][:-1]]
    print(name, *(f"border at {end:.2f} s" for end in ends), sep="   ")
line

# %% [markdown]
# Now use a video of your own: upload it, or give its path.

# %%
TimelineExplorer(small, folder / "three_parts.mp4").offer(
    {
        "1 · onto a border": {"moment": 34},
        "2 · a quarter of a window": {"step": 0.25},
        "3 · rabbit": {"clip": "rabbit"},
    }
)

# %% [markdown]
# Press a place along the frames or the curves to choose a moment, or drag it. Press a part to go to its middle. ▶ plays the video. Things to try:
# 1. Set **moment** to a border. Two windows show that moment. What does the average of their answers look like?
# 2. Set **a step is** to *a quarter of a window*. Which border moves? How many windows does the model see now?
# 3. Choose *rabbit*. The model knows eight changes of one shape, and must name one of them. Do its
#    probabilities tell you that none of them is right?
#
# <details><summary>Then look</summary>
#
# 1: just before the first border one window names the first part, the other the second. Their mean is half and half; the border stands at the end of this step. At the second border a window that shows two parts
# answers *moves left*, a class that is not in the video: no training clip had such a change. 2: the first; 68 windows in place of 35. 3: no. In the middle it gives 99 % to
# *red, green, blue*. A softmax shares 100 % among the classes that it has.
#
# </details>
#
# With a model of your own: `TimelineExplorer("runs/mine", "holiday.mp4")`. With the published one, which knows the 400 classes of Kinetics:
# `TimelineExplorer("google/vivit-b-16x2-kinetics400", "holiday.mp4")`. That downloads 350 MB, and takes seconds for a window on a laptop. Or from
# the command line:
#
# ```
# python -m vivit_lab predict runs/mine videos/ --top 3
# python -m vivit_lab predict runs/mine holiday.mp4 --timeline --json
# ```

# %% [markdown]
# ## Exercises
#
# Write in the cell, run it, and read the message of the check.
#
# ### 1 · Average the views
# Difficulty ●●○○ · importance ●●●● · 8 minutes
#
# `logits` is a NumPy array (videos, views, classes). Return the scores of the videos, an array (videos, classes). For `average="logits"` it is the mean
# of the logits over the views. For `average="softmax"` it is the mean of the views' probabilities. Example: for logits of shape (800, 12, 8) the answer has
# the shape (800, 8). Some logits of the check are as large as 1,000.
#
# <details><summary>Hint</summary>
#
# Softmax: `np.exp` of the logits, divided by its sum over the classes. Subtract the largest logit of each view first, so that nothing overflows.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def average_views(logits: np.ndarray, average: str) -> np.ndarray:
#     if average == "softmax":
#         powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
#         logits = powers / powers.sum(axis=-1, keepdims=True)
#     return logits.mean(axis=1)
# ```
#
# </details>


# %%
def average_views(logits: np.ndarray, average: str) -> np.ndarray:
    """(videos, views, classes) -> (videos, classes)."""
    ...  # your code


evaluation.average_views.check(average_views)

# %% [markdown]
# ### 2 · Action accuracy from two classifiers
# Difficulty ●●●○ · importance ●●●○ · 12 minutes
#
# `verb` (N, 8) and `noun` (N, 5) are the probabilities of N videos. `verb_labels` and `noun_labels` (N,) are the true classes. The score of a pair is the product
# of its two probabilities. In what share of the videos, a number from 0 to 1, is the right pair among the best `k` of the 40 pairs? Example: if this is so in 45 of 60 videos,
# return 0.75.
#
# <details><summary>Hint</summary>
#
# `verb[:, :, None] * noun[:, None, :]` is (N, 8, 5). How many pairs have a higher score than the right one? For k = 1 no pair may have a higher product.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def action_accuracy(verb, noun, verb_labels, noun_labels, k: int) -> float:
#     pairs = verb[:, :, None] * noun[:, None, :]
#     rows = np.arange(len(verb))
#     right = pairs[rows, verb_labels, noun_labels]
#     better = (pairs > right[:, None, None]).sum(axis=(1, 2))
#     return float((better < k).mean())
# ```
#
# </details>


# %%
def action_accuracy(verb, noun, verb_labels, noun_labels, k: int) -> float:
    """Share of the videos whose pair is among the best k pairs."""
    ...  # your code


evaluation.action_accuracy.check(action_accuracy)

# %% [markdown]
# ### 3 · How many videos?
# Difficulty ●●○○ · importance ●●●● · 6 minutes
#
# A model is right in a share `p` of the videos. How many videos N must a test set have so that its 95 % interval is `p` plus-minus `half`?
# Both are shares: `half = 0.004` is 0.4 points. The standard error of a share is √(p (1 − p) / N), and the interval is 1.96 standard errors to each side. The answer need not
# be a whole number.
#
# <details><summary>Hint</summary>
#
# Set 1.96 · √(p (1 − p) / N) equal to `half`, and solve for N.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def videos_needed(p: float, half: float) -> float:
#     return p * (1 - p) * (1.96 / half) ** 2
# ```
#
# </details>


# %%
def videos_needed(p: float, half: float) -> float:
    """N, so that the interval is p plus-minus half."""
    ...  # your code


evaluation.videos_needed.check(videos_needed)

# %% [markdown]
# 38,416 videos make two intervals of ±0.4 points that just touch, for 80.0 % and 79.2 %. Their difference needs only the 19,492 above.
# So two intervals may overlap a little although the difference is more than luck.
#
# ## What surprised people
#
# * **More views also do harm.** Against one view, twelve views make 352 verbs right and 30 wrong.
# * **40 % can hide a class below chance.** Rings are right in 11 % of the videos, less than a guess among five; triangles in 72 %.
# * **A wrong stride can look like a bad model.** The same weights on the same 48 files: 87.5 % at stride 2, 100 % at stride 4.
#
# ## Where next
#
# [09 Ablations](09_ablations.ipynb) compares the choices of the paper. [07 Fine-tuning](07_fine_tuning.ipynb) trains
# the model that you evaluate. The measures are in [metrics.py](../vivit_lab/training/metrics.py).

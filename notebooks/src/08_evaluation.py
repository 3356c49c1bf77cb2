# %% [markdown]
# # 08 · How good is it really?
#
# A clip shows a model about two and a half seconds of a video, and a crop shows a square of the picture. The video is longer, and the picture is wider.
# So the paper tests a model on several views of each video and averages the answers. A *view* is one clip with one crop. This notebook shows what more
# views improve and what they cost, how many different accuracies one test can give, and how much of an accuracy is luck.
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
# The model is a small Model 2 with two classifiers, one for the verb and one for the noun. It was trained on other videos of this kind. It has seen
# 12 views of each test video, 4 clips × 3 crops, and every answer was stored ([script](../assets/score_views.py),
# [log](../assets/scores/log.json)). So most of this notebook needs no model.
#
# **Predict first.** With one view, the best one, the verb is right in about 2 of 5 videos. How many are right with all twelve? The noun can be seen in
# one frame: does it gain as much? Which of the twelve views is the best if it is used alone?
#
# <details><summary>Then look</summary>
#
# The verb doubles, from 41 % to 81 %. The noun goes from 30 % to 40 %. It needs the right place, not the right moment, so other clips add little and
# other crops add some. No single view reaches 41 % for the verb. Clips 2 and 3 are the best, because a change that can be anywhere is seldom at
# the very beginning or end. Which crop it is makes little difference, because the shape can be anywhere.
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
# Things to try. The buttons below the controls have the numbers of this list:
# 1. Move **views** from 1 to 12, or press the points of the curve. Where does the curve rise, and where is it flat? The cost grows by the same amount
#    with each view.
# 2. Press single views in either grid to take them in or leave them out. The name of a clip or of a crop takes all its views. Four views for the verb:
#    are 4 clips × 1 crop better than 2 clips × 2 crops? Does it matter which clips?
# 3. Set **videos** to *wrong with 1 view, right with these* ("these" are the views that are on) and go through the list; ▶ plays the clips. How many of
#    the views show the change?
# 4. Set it to *right with 1 view, wrong with these*. More views also turn some right answers into wrong ones. Why are more views still better?
# 5. Press *noun*. Now the crops matter more than the clips. Why?
#
# The explorer shows one object. `evaluate` makes it, and `load_evaluation` reads it from a file. Its report gives the number of videos and the cost
# beside every accuracy:

# %%
result = load_evaluation(ASSETS / "scores" / "long_videos.npz")
result

# %% [markdown]
# Read it line by line:
# * *Video* is the paper's figure. The views of a video are averaged, and the average gives one answer for the video.
# * *Clip* takes each of the 9,600 views as an answer. It is the same model on the same videos, but 31.5 % in place of 80.9 %. (31.5 % is the mean of all
#   twelve views. The best view alone has 41 %.) So do not compare the clip accuracy of one paper with the video accuracy of another.
# * *Mean of classes* gives every class the same weight, however many videos it has. Here all classes have equally many.
# * *Action* means: verb and noun are both right in the same video.
# * The last lines say how many videos were missing or could not be read. They are left out of the average, and named.
#
# ## Accuracy against cost
#
# A second view costs as much as the first. `by_views` gives the accuracy with the first view, the first two, and so on. First come the views that see
# most of the video: the centre crops of clips that are far apart in time. Then come the outer crops.

# %%
for each in result.by_views():  # with two classifiers: of the action
    print(each)

# %% [markdown]
# The next cell prints which view is added at each step, and the accuracy of the verb alone:

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
# Views 2 to 6 add 34 points, views 7 to 12 add 6.
#
# **Predict first.** Which is better for the verb: the three crops of one clip, or the centre crop of three clips? Both cost three views. Which is better
# for the noun?
#
# <details><summary>Then look</summary>
#
# Three clips are better for the verb, because the change happens at one moment. Three crops are better for the noun, because the shape is in one place
# all the time. So the best numbers of clips and crops depend on the videos, not on the model.
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
# Which clips you take can matter more than how many. The left and right crops of the two middle clips are better than the centre crops of all
# four clips. The same crops of the two outer clips are not.
#
# The paper tests Kinetics with 4 × 3 views of 224 × 224 pixels. SlowFast uses 10 × 3 views of 256 × 256. For EPIC-Kitchens the official code lists
# 4 × 1. If a table says "455 GFLOPs × 12", the cost of its accuracy is the product. (These "FLOPs" are MACs: see [05 FLOPs](05_flops.ipynb).) Here is
# ViViT-B as Model 1, with 455.2 GMACs for a view of 224 × 224, as reported in the paper:

# %%
for name, views in (("1 view", 1), ("ViViT's 4 x 3", 12), ("30 such views", 30)):
    print(f"{name:15} {views:2} x 455.2 G = {views * 455.2 / 1000:5.2f} T a video")

# %% [markdown]
# ## Frames or views?
#
# A video of 10 s has 300 frames at 30 frames a second. You can show it to a model as many short clips or as few long ones. With three crops each, 4 clips
# of 32 frames make 32 × 12, 2 clips of 64 frames make 64 × 6, and 1 clip of 128 frames makes 128 × 3. In each case the model sees 384 frames.
#
# **Predict first.** For which of the four models do longer clips cost more? How many seconds does one clip of 128 frames at stride 2 see?

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
# * **Time.** All rows see 8.53 of the 10 seconds. One clip of 128 frames at stride 2 already sees 8.53 s, so it needs only one clip: one view in time.
#   The three crops remain, because the picture is still wider than the crop.
# * **Cost.** In Model 1 every token attends to every token of the clip. So its cost grows with the square of the clip's tokens, although it sees no frame
#   more. In Models 2 to 4 a token attends to its own time step, or to its own place at other times (Model 2: to one token for each time step). These
#   costs hardly change.
# * **Accuracy.** Only a long clip lets the model compare the first second with the eighth. An average over clips cannot do that. No count of MACs can tell how much accuracy this adds. The paper reports that longer clips help and that the gain is smaller with several views; its figures are not on
#   file here.
#
# ## Softmax or logits?
#
# You can average the answers of the views before or after the softmax. The paper's protocol comes from SlowFast, which averages
# probabilities: after the softmax. The official code averages logits: before it. A probability is at most 1, so each view has at most one full vote. A logit has no
# upper limit, so one very sure view can have more weight than all the others.
#
# **Predict first.** A clip before the change shows a shape that stands still. What should a good model answer? Which average becomes
# worse if the model gives a wrong answer there, and is very sure of it?

# %%
other = Evaluation(result.scores, "logits")
for task in ("verb", "noun", "action"):
    a, b = result[task].right, other[task].right
    only = f"only softmax right: {(a & ~b).sum()}, only logits: {(b & ~a).sum()}"
    print(f"{task:7} softmax {a.mean():.1%}   logits {b.mean():.1%}   {only}")

# %% [markdown]
# For the verb, 64 videos change between right and wrong: 31 one way, 33 the other. That is no difference. For the noun and the action the logits are a
# little better, but 800 videos cannot confirm it (the section on luck below has the test).
#
# Why is there so little difference? This model was trained on clips of which many show no change. So it is unsure of them, both in probabilities and
# in logits. Now let us make it sure. The next cell multiplies all logits of clip 1 by 10. Clip 1 gives the same answers as before, but with great
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
# * **Average probabilities** if some views may show nothing, or come from data that the model does not know. No view then has more than one vote.
# * **Average logits** if all views are equally reliable. Their mean adds up evidence: it is the logarithm of the product of the probabilities, up to
#   a constant. Three views that are each a little in favour of a class then count more than one that is a little against it.
# * **To compare with a published figure**, use the average that it used. The package averages probabilities unless you choose otherwise. Every report
#   says which average it is.
#
# ## Which classes?
#
# One accuracy does not say which classes are right and which are wrong. The *confusion matrix* does: its rows are the true classes, its columns the answers, and each cell counts
# videos. Look at it before you believe a top-1.
#
# **Predict first.** The verbs come in pairs. Each verb, played backwards, is the other one of its pair. Do you expect mistakes within a pair or between
# pairs? Can a shape that grows be taken for one that changes its colour?
#
# <details><summary>Then look</summary>
#
# Most mistakes stay within a pair. A growing shape is taken for a colour change in 2 of 100 videos. What changes can be seen in the frames without their
# order. Only the direction needs the order.
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
# 2. Press *noun*. Which shapes does the model mistake for each other? Do you, at this size?
# 3. Press *action*: verb and noun together. Compare its accuracy with the product of the two accuracies, which is printed beside it.
# 4. Compare *k = 1* with *k = 2* for the verb. With 8 classes top-5 is nearly always right. With 400 classes (Kinetics) or 97 × 300 (EPIC) it is a useful figure.
# 5. The two buttons show videos that the model takes for *turns clockwise*. The shapes of the first button do turn clockwise, those of the second
#    anticlockwise. Play both. Can you see which way they turn?

# %%
for truth, answer, videos, share in result.most_confused(4):
    print(f"{truth:20} taken for {answer:20} {videos:3} times, {share:.0%} of its videos")
matrix = result["verb"].confusion
within = sum(matrix[k, k ^ 1] for k in range(8))  # k ^ 1 is the other class of k's pair
print(f"{within} of {matrix.sum() - np.trace(matrix)} mistakes are within a pair")
turns = np.isin(result["verb"].labels, (2, 3))
print(f"the two turns: {result['verb'].right[turns].mean():.0%} of {turns.sum()} videos are right")

# %% [markdown]
# Four of five mistakes are within a pair. The model sees *that* a shape turns. It does not know which way: 48 % is a guess between two. It has
# not learned this one pair at this size of 32 pixels; the models of [03 Four models](03_four_models.ipynb), with larger shapes and no noise, have.
#
# The noun's 40 % is a mean of very different classes:

# %%
noun = result["noun"]
for name, share in zip(noun.class_names, noun.per_class, strict=True):
    print(f"{name:9} {share:6.1%}")

# %% [markdown]
# **Verb × noun.** EPIC-Kitchens has labels of two kinds, 97 verbs and 300 nouns. The figure in the paper's tables is the *action*: both are right. The
# package scores a pair by the product of the two probabilities, as the official code does. The best pair is then the best verb with the
# best noun, so top-1 needs no products. Top-5 does.
#
# **Predict first.** Is the accuracy of the action the product of the two accuracies? When is it not?

# %%
action, first, second = result["action"], result["verb"], result["noun"]
print(f"verb {first.top1:.1%} x noun {second.top1:.1%} = {first.top1 * second.top1:.1%}")
print(f"action, counted: {action.top1:.1%}   top-5 of the 40 pairs: {action.top5:.1%}")

# %% [markdown]
# Here the product is nearly right, because a video that is hard for the verb (a late change) is not hard for the noun. In real videos one cause, such as a
# dark or shaking picture, often makes both wrong. Then both are right more often than the product says.
#
# ## How much of it is luck?
#
# Another 800 videos would have given another accuracy. The *95 % interval* says how far away the true accuracy may be. "True" means: over very many
# such videos. The interval counts videos, not views: twelve views of one video are not twelve independent tests, so an interval over 9,600 views
# would be much too narrow. The package uses Wilson's interval. It is not symmetric, and it can also be used near 0 and 100 %. In the middle it is close to the simple formula of exercise 3, 1.96 *standard errors* to each side. A standard error is how far a measured accuracy typically is from the true one.
#
# **Predict first.** Two models reach 80.0 % and 79.2 %, as two rows of a table might. How many videos must the test set
# have before you may say that the first model is better?
#
# <details><summary>Then look</summary>
#
# If each model is tested on videos of its own: about 19,500 for each. Kinetics-400 has about 20,000 to validate on, so 0.8 points are just enough. If both models are tested on the *same* videos, fewer can be enough. The next two cells have both cases.
#
# </details>


# %%
def videos_to_tell(p, q):
    """Test videos for each of two models, so that p - q is 1.96 standard errors."""
    return 1.96**2 * (p * (1 - p) + q * (1 - q)) / (p - q) ** 2


print(f"{'':21}{'videos for each':>17}{'only one right on less than':>30}")
for p, q in ((0.800, 0.788), (0.800, 0.792), (0.792, 0.785), (0.788, 0.786)):
    share = 20_000 * (p - q) ** 2 / 1.96**2
    print(f"{p:.1%} against {q:.1%}: {videos_to_tell(p, q):16,.0f}{share:30.0%}")
for n in (100, 800, 20_000):
    low, high = interval(round(0.8 * n), n)
    print(f"80 % right of {n:6,} videos: 95 % interval {low:.1%} to {high:.1%}")

# %% [markdown]
# As reported in the paper, on Kinetics-400: row 1 is Model 1 against Model 2, row 3 is tubelets (central frame) against uniform frame sampling, row 4
# is 4 temporal blocks against 1.
#
# * **Different videos** (first column). On 20,000 videos 1.2 points are more than luck, and 0.8 points are at the limit. 0.7 points need 26,000 videos, 0.2 points more than
#   300,000.
# * **The same videos** (second column, for 20,000 videos), as in the paper's tables. Now only the videos count on which *exactly one* of the two models is right. If these are fewer than
#   the share in the column, the difference is more than luck. For 0.7 points the limit is 26 %. Two models with such accuracies
#   exceed it only if their mistakes are nearly independent, which is unlikely. So 0.7 points are probably real, but the table alone cannot show it: it does not give that
#   share. For 0.2 points the limit is 2 %, and no conclusion is safe.
# * **The seed.** More videos do not help against a second kind of luck: the seed of the training. The paper reports 80.0 for Model 1 in its Table 2, and
#   79.2 in its Table 1 for what seems to be the same model. This kit does not know why. [09 Ablations](09_ablations.ipynb) trains with several seeds.
#
# The next cell compares our own rows on the same videos. Where exactly one is right, each such video counts +1 or -1. If the two were equally good, these
# signs would be like the flips of a fair coin. The sum of *d* fair signs has a standard deviation of √d. So the error of the difference is 1.96 · √d / N:

# %%
crop_views, clip_views = few["1 clip x 3 crops"], few["3 clips x 1 crop"]
for name, a, b in (
    *((f"{task}: softmax - logits", result[task], other[task]) for task in result.results),
    ("verb: 3 clips - 3 crops", clip_views["verb"], crop_views["verb"]),
    ("noun: 3 clips - 3 crops", clip_views["noun"], crop_views["noun"]),
):
    difference, d = a.right.mean() - b.right.mean(), (a.right != b.right).sum()
    error = 1.96 * d**0.5 / len(a.right)
    print(f"{name:25} {difference:+.1%}, plus-minus {error:.1%}")

# %% [markdown]
# Softmax against logits is open three times: the error is larger than the difference. Clips against crops is decided, for the verb and for the noun.
#
# ## With the model
#
# Now with mp4 files, the loader and the model. `evaluate` is the whole call. 40 videos are few, and the interval
# shows it.

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
# Shuffled, the verb falls from 85 % to 55 %. The noun does not fall. Backwards, the verb is right in 20 %: 32 of the 40 videos are now taken for the other
# verb of their pair, because that is what the model sees. 8 stay right. 5 of these 8 turn, and for turns this model guesses.
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
# could do. (Here half of the verbs stay right. Without the order you can see *that* something moves, turns or grows. You cannot see which way.)
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
# The same function works without a notebook, on a folder with a folder for each class. Here are 24 clips of Arrow of Time as mp4 files, and the small Model 2 of
# [04 Attention maps](04_attention_maps.ipynb). (In a terminal you write `python -m vivit_lab evaluate ...` in place of `sys.executable`.)

# %%
_ = write_arrow_of_time(folder / "val", clips=24, frames=32, image_size=64, seed=9, progress=False)
weights = ASSETS / "weights" / "factorised_encoder.safetensors"


def command(*options):
    words = [sys.executable, "-m", "vivit_lab", "evaluate", str(weights), "val", *options]
    run = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    return run.stdout.replace(str(folder), "a folder")


print(command("--clips", "2", "--device", "cpu", "--workers", "0"))

# %% [markdown]
# (The short side of 55 is the model's crop of 48 times 256 / 224: the ratio of the paper's test sizes.)
#
# Is the model bad, or does the test not fit it? A clip of eight frames at stride 2 differs from the training in two ways. It sees half of these videos, where the training always showed
# the whole change. And from frame to frame the shape moves half as far. Stride 4 changes both, to what they were in training.
#
# **Predict first.** What does stride 4 do? (`--restart` forgets the stored scores. Without it the command continues with them.)

# %%
report = command("--clips", "2", "--stride", "4", "--device", "cpu", "--workers", "0", "--restart")
print(*(line for line in report.splitlines() if line.startswith(("video", "clip"))), sep="\n")

# %% [markdown]
# So the test did not fit the model. (This comparison cannot say which of the two reasons counts, because it changes both.)
#
# The command writes the report as JSON and the scores of every view as `.npz`. You can then average over fewer views, use the other average or look at the
# confusion matrix without running the model again:
#
# ```python
# result = load_evaluation("factorised_encoder-on-val-2x3.npz", average="logits")
# EvaluationExplorer(result)
# ```

# %% [markdown]
# ## What does a new video show?
#
# `predict` takes any videos (a file, a folder, a pattern, a list), shows the model the same twelve views of each
# as above, and names the best classes. A model's file usually says which frames and pixels the model expects. These small weights are older than
# that rule, so we give the settings here.
#
# We make a video of three parts. Each part shows another class of Arrow of Time for 3.84 s; only the first part is 0.24 s shorter.
#
# **Predict first.** `predict` averages four clips of 0.64 s, evenly spread. What will the model answer for the whole video?
#
# <details><summary>Then look</summary>
#
# A mixture. Each clip names what it sees. The average assumes that a video shows one thing from beginning to end.
# The videos of Kinetics are cut so that this is true. A video of your holiday is not.
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

# %% [markdown]
# A file that cannot be read is named, and the others get their answers. If more than one thing happens in a video, use `timeline`. A window, as long as a clip,
# moves along the video in steps of half its length. Each moment gets the mean of the windows that show it. Frames are
# read in order and then forgotten, so an hour of video needs no more memory than a minute.
#
# **Predict first.** The windows are 0.64 s long, and a step is 0.32 s. The true borders are at 3.60 s and 7.44 s. How far from these can the borders of the time line be?
#
# <details><summary>Then look</summary>
#
# The answer can change only where a window begins or ends: at multiples of the step, here 0.32 s. So the borders come out at 3.84 s and 7.68 s, 0.24 s late. With half the step
# there are more places for a border: the first one comes nearer, the second one stays. It depends on which part a window names that shows both.
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
# Now use a video of your own: upload it, or give its path. (Without a kernel you see a still picture.)

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
# Write in the cell, run it, and read the message of the check. Each check knows the usual mistakes.
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
# `verb[:, :, None] * noun[:, None, :]` is (N, 8, 5). How many pairs have a higher score than the right one? For k = 1 none may have.
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
# With intervals of ±0.4 points, 80.0 % and 79.2 % just touch. That takes twice as many videos as the 19,492 above. For the *difference* of two accuracies
# the squares of the errors add up: it has √2 times the error of one accuracy, not twice. So two intervals may overlap a little although the difference is more than luck.
#
# ## What surprised people
#
# * **Weak views, strong average.** No single view of the twelve names the verb in more than 41 % of the videos. Their average does in 81 %.
# * **Each view costs the same, but adds less and less.** Views 2 to 6 add 34 points, views 7 to 12 add 6.
# * **More views also do harm.** Against one view, twelve views make 352 verbs right and 30 wrong.
# * **Softmax or logits: no difference here** that 800 videos can show, until some views are sure and wrong. Then the logits lose far more.
# * **40 % can hide a class below chance.** Rings are right in 11 % of the videos, less than a guess among five; triangles in 72 %.
# * **85 % of 40 videos** can be any true accuracy from 71 % to 93 %. Accuracies on small test sets are often as uncertain as this.
# * **The stride can cost more than the model.** The same weights on the same files: 87.5 % at stride 2, 100 % at stride 4.
#
# ## Where next
#
# [09 Ablations](09_ablations.ipynb) uses all of this to find out which choices of the paper matter. [07 Fine-tuning](07_fine_tuning.ipynb) trains
# the model that you evaluate. The measures are in [metrics.py](../vivit_lab/training/metrics.py), a few lines each. The reasons for
# the warnings are in `warnings_about`, at its end.

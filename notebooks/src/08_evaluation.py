# %% [markdown]
# # 08 · How good is it really?
#
# A model sees two and a half seconds of a video, and a square cut out of its picture. The video is longer than that, and its picture wider. So the paper asks the model several times, about several *views* of each video, and averages what it says. This notebook is about what that
# buys and what it costs, in how many ways one accuracy can be computed, and how much of a figure in a table is luck.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), section 4.1 and the view counts of its tables · less than a minute of computing on a
# laptop, 40 minutes with the exercises · works offline, without a GPU · before this:
# [01 Clip sampling](01_clip_sampling.ipynb), where the views come from · words: [glossary](glossary.ipynb)

# %%
import contextlib
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
# 800 videos of 80 frames, twice as wide as high. Each shows a shape (the *noun*: disc, ring, square, triangle, bar) to which something
# happens (the *verb*: it moves, turns, grows, changes colour, one way or the other). It happens in 20 of the 80 frames, anywhere. A
# small Model 2 with two heads, trained on other such videos, was asked about 4 clips × 3 crops of each, and every answer was kept
# ([script](../assets/score_views.py), [log](../assets/scores/log.json)). So most of what follows needs no model any more.
#
# **Predict first.** With one view the verb is right in about 2 of 5 videos. With all twelve? And the noun, for which one frame would do:
# does it gain as much? Which of the twelve is the best view on its own?
#
# <details><summary>Then look</summary>
#
# The verb doubles, from 41 % to 81 %. The noun goes from 30 % to 40 %: it needs the right place, not the right moment, so that other
# clips add little and other crops add some. No view alone passes 41 %. For the verb clips 2 and 3 are the best, since an action
# somewhere in the video is less often seen at either end; which crop hardly matters, for the shape may stand anywhere.
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
# *We drew these videos ourselves: the rabbit of the other notebooks (Big Buck Bunny, CC BY 3.0, Blender Foundation) has no class to be
# guessed.* Without a kernel you see a still; run the cell for the controls.
#
# Things to try; the buttons below the controls have the numbers of this list:
# 1. Pull **views** from 1 to 12, or press the points of the curve. Where does it rise, where is it flat? The cost is a straight line all the way.
# 2. Press single views in and out, in either grid; the name of a clip or a crop takes all its views. Four views for the verb: are 4 clips × 1 crop
#    better than 2 clips × 2 crops? Does it matter which?
# 3. Set the list to *wrong with 1 view, right with these* and walk through it; ▶ plays the clips. How many views did it take to be right?
# 4. Set it to *right with 1 view, wrong with these*. More views also spoil some. Why is it still worth it?
# 5. Press *noun*. Now the crops matter more than the clips. Why?
#
# What the explorer shows is one object. `evaluate` makes it, `load_evaluation` brings it back from a file; its report puts the number of
# videos and the cost beside every accuracy:

# %%
result = load_evaluation(ASSETS / "scores" / "long_videos.npz")
result

# %% [markdown]
# Read it line by line. *Video* is the paper's figure: views averaged, then one answer a video. *Clip* takes each view for itself: the
# same model on the same videos, 31.5 % and not 80.9 %. A paper that reports clip accuracy cannot be compared with one that reports video
# accuracy. *Mean of classes* counts every class alike, however many videos it has; here all have equally many. *Action* is both heads
# right in the same video. The last lines say how many videos were missing or unreadable: those are left out of the average, and named.
#
# ## Accuracy against cost
#
# A second view costs as much as the first. `by_views` says what the first, the first two, ... would have given, those that see most of
# the video first: the middle crop of clips that lie far apart, then the outer crops.

# %%
for each in result.by_views():  # of two heads: the action
    print(each)

# %% [markdown]
# The same for the verb alone, with the package's own lines for choosing the views. The first six views bring 34 points, the last six 6.

# %%
order = [result.scores.spread(n) for n in range(1, 13)]
print("views of n = 4:", [result.scores.places[view] for view in order[3]], "(clip, crop)")
print("verb:", *(f"{result.with_views(views)['verb'].top1:.1%}" for views in order))

# %% [markdown]
# **Predict first.** Which is better for the verb: the three crops of one clip, or the middle crop of three clips? Both cost three views.
# And for the noun?
#
# <details><summary>Then look</summary>
#
# For the verb three clips: the action is somewhere in time. For the noun three crops: the shape is somewhere in the picture, all the
# time. So how many clips and how many crops is a question about the videos, not about the model.
#
# </details>

# %%
number = {place: view for view, place in enumerate(result.scores.places)}
choices = {
    "1 clip x 3 crops": [number[1, crop] for crop in range(3)],
    "3 clips x 1 crop": [number[clip, 1] for clip in (0, 1, 3)],  # as spread(3) takes them
    "2 clips x 2 crops": [number[clip, crop] for clip in (1, 2) for crop in (0, 2)],
    "4 clips x 1 crop": [number[clip, 1] for clip in range(4)],
    "4 clips x 3 crops": range(12),
}
for name, views in choices.items():
    fewer = result.with_views(views)
    shares = [f"{head} {fewer[head].top1:6.1%}" for head in ("verb", "noun", "action")]
    print(f"{name:18}", *shares, f"{fewer.macs * len(views) / 1e6:6.1f} MMACs", sep="   ")

# %% [markdown]
# Which clips matters more than how many: the two in the middle, each with its left and right crop, beat the middle crop of all four. The two at
# the ends do not (try it in the grid above).
#
# The paper tests Kinetics with 4 × 3 views of 224 × 224, SlowFast with 10 × 3 of 256 × 256; for EPIC-Kitchens the official code lists
# 4 × 1. When a table says "455 GFLOPs × 12", the price of its accuracy is the product. (Those are MACs:
# [05 FLOPs](05_flops.ipynb).) ViViT-B as Model 1, with the paper's 455.2 a view of 224 × 224 as reported there:

# %%
for name, views in (("1 view", 1), ("ViViT's 4 x 3", 12), ("10 x 3", 30)):
    print(f"{name:15} {views:2} x 455.2 G = {views * 455.2 / 1000:5.2f} T a video")

# %% [markdown]
# ## Frames or views?
#
# A video of 10 s has 300 frames at 30 a second. You can show it as many short clips or as few long ones: 32 frames × 12 views, 64 × 6, 128 × 3 show
# the model 384 frames each.
#
# **Predict first.** Which of the four models pays for longer clips? And how many seconds does one clip of 128 frames at stride 2 see?

# %%
print(
    f"{'frames x views':16}{'one clip sees':15}",
    *(f"Model {k}" for k in (1, 2, 3, 4)),
    " GMACs, whole video",
)
for frames, views in ((8, 48), (16, 24), (32, 12), (64, 6), (128, 3)):
    configs = [ViViTConfig.preset("B/16x2", model=name, frames=frames) for name in MODELS]
    costs = [views * count_flops(config, counter="closed_form").macs / 1e9 for config in configs]
    seen = f"{span_seconds(frames, stride=2, fps=30):.2f} s"
    print(f"{f'{frames} x {views}':16}{seen:15}", *(f"{cost:7,.0f}" for cost in costs))

# %% [markdown]
# Model 1's attention grows with the square of a clip's tokens, so its bill grows although it sees no frame more. The others pay the same: their frames
# meet only within a place, or as one token a step. A clip of 128 frames at stride 2 sees 8.53 s, nearly the whole video, so one view in time is enough, and three crops make
# 128 × 3. What longer clips bring to accuracy is another question, which no count can answer.
#
# ## Softmax or logits?
#
# The views' answers can be averaged before or after the softmax. The paper's protocol comes from SlowFast, which averages
# probabilities; the official code averages logits. A probability is at most 1, so every view has one vote at most. A logit has no
# upper end: one view that is very sure outvotes the rest.
#
# **Predict first.** A clip before the action shows a shape that stands still. What should a good model say of it? Which average
# suffers more if it says nonsense, but loudly?

# %%
other = Evaluation(result.scores, "logits")
for head in ("verb", "noun", "action"):
    a, b = result[head].ranks == 0, other[head].ranks == 0
    only = f"only softmax right: {(a & ~b).sum()}, only logits: {(b & ~a).sum()}"
    print(f"{head:7} softmax {a.mean():.1%}   logits {b.mean():.1%}   {only}")

# %% [markdown]
# Here there is no difference that 800 videos could show: 64 verbs change sides, 31 one way and 33 the other. What there is of one, for the noun, is
# to the credit of the logits. Look for the reason in the
# explorer, list *softmax right, logits wrong*: this model was trained on clips of which some show nothing, so it says little where
# there is little to say, in probabilities and in logits. A model that never met such a clip is less modest. The package averages
# probabilities unless told otherwise, and every report says which it was.
#
# ## Which classes?
#
# One number hides which classes it is made of. Look at the confusion matrix before you believe a top-1.
#
# **Predict first.** The verbs come in pairs that are each other backwards. Which mistakes do you expect: within a pair, or between
# pairs? And can a shape that grows be taken for one that changes colour?

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
# 1. Pull **views** down to 1. Do the mistakes spread evenly, or does one class swallow the others?
# 2. Press *noun*: which shapes look alike to the model? To you, at this size, too?
# 3. Press *action*: verb and noun together. Is the product of the two accuracies a good guess? When would it not be?
# 4. Compare *k = 1* with *k = 2* for the verb. With 8 classes top-5 says little; with 400 (Kinetics) or 97 × 300 (EPIC) it says more.
# 5. Press any cell, and ▶: its videos play. Of those taken for *turns clockwise*, can you tell which of them do?

# %%
for truth, answer, videos, share in result.most_confused(4):
    print(f"{truth:20} taken for {answer:20} {videos:3} times, {share:.0%} of its videos")

# %% [markdown]
# Four of five mistakes stay within a pair: the model sees *that* a shape turns, not which way. And the noun's 40 % is made of very
# different classes:

# %%
noun = result["noun"]
for name, share in zip(noun.class_names, noun.per_class, strict=True):
    print(f"{name:9} {share:6.1%}")

# %% [markdown]
# **Verb × noun.** EPIC-Kitchens asks for a verb (97) and a noun (300); the figure of the paper's tables is the *action*: both right. The
# package scores a pair by the product of the two probabilities, as the official code does. Then the best pair is simply best verb and
# best noun, and top-1 needs no products; top-5 does.

# %%
action, first, second = result["action"], result["verb"], result["noun"]
print(f"verb {first.top1:.1%} x noun {second.top1:.1%} = {first.top1 * second.top1:.1%}")
print(f"action, counted: {action.top1:.1%}   top-5 of the 40 pairs: {action.top5:.1%}")

# %% [markdown]
# ## How much of it is luck?
#
# 800 other videos would have given another figure. The 95 % interval says how far off it may be. It counts videos, not views: twelve
# views of one video are not twelve independent tries, and an interval over 9,600 views would be much too narrow.
#
# **Predict first.** Two models score 80.0 % and 79.2 % on the same test set, as two rows of a paper's table might. How many videos must
# the set have before you may say that the first one is better?
#
# <details><summary>Then look</summary>
#
# If each had been tested on a set of its own: about 19,500 in each. Kinetics-400 has about that many for validation, so a difference of
# 0.8 points there is just about at the edge, and one of 0.3 is not. On the *same* videos fewer will do, if the models mostly agree: only
# the videos on which exactly one of them is right count.
#
# </details>


# %%
def videos_to_tell(p, q):
    """Test videos of each of two models, until their difference is 1.96 standard errors."""
    return 1.96**2 * (p * (1 - p) + q * (1 - q)) / (p - q) ** 2


for p, q in ((0.800, 0.788), (0.800, 0.792), (0.792, 0.785), (0.788, 0.786)):
    print(f"{p:.1%} against {q:.1%}: {videos_to_tell(p, q):9,.0f} videos")
for n in (100, 800, 20_000):
    low, high = interval(round(0.8 * n), n)
    print(f"80 % right of {n:6,} videos: 95 % interval {low:.1%} to {high:.1%}")

# %% [markdown]
# The first row is Model 1 against Model 2 on Kinetics-400, the third tubelets (central frame) against uniform frame sampling, the last
# 4 temporal layers against 1: all as reported in the paper. The first difference is safe; 0.7 points would need more videos than there
# are; 0.2 points are no finding. And there is a second source of luck that no number of videos mends: the seed of the training.
# [09 Ablations](09_ablations.ipynb) trains with several.
#
# On the same videos less is needed: count only those on which exactly one of the two is right.

# %%
crops, clips = (result.with_views(choices[name]) for name in list(choices)[:2])
for name, a, b in (
    ("verb: softmax - logits", result["verb"], other["verb"]),
    ("verb: 3 clips - 3 crops", clips["verb"], crops["verb"]),
    ("noun: 3 clips - 3 crops", clips["noun"], crops["noun"]),
):
    gained, lost = ((x.ranks == 0) & (y.ranks > 0) for x, y in ((a, b), (b, a)))
    error = 1.96 * (gained | lost).sum() ** 0.5 / len(gained)
    print(f"{name:24} {gained.mean() - lost.mean():+.1%}, plus-minus {error:.1%}")

# %% [markdown]
# ## With the model
#
# Now for real: videos as mp4 files, the loader, the model, a report. `evaluate` is the whole call. 40 videos are few, and the interval
# says so.

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
# **Predict first.** The frames of each clip are shuffled, all else stays. What happens to the verb, and what to the noun?
#
# <details><summary>Then look</summary>
#
# The verb falls from 85 % to 55 %; the noun does not fall. Backwards the verb is right in 20 %: the model now sees the partner of the pair.
#
# </details>

# %%
for frames in ("in_order", "shuffled", "reversed"):
    test = live if frames == "in_order" else evaluate(model, views, frames=frames, progress=False)
    low, high = test["verb"].interval
    verb, noun = (f"{head} {test[head].top1:6.1%}" for head in ("verb", "noun"))
    print(f"{frames:9} {verb} ({low:.0%} to {high:.0%})   {noun}")

# %% [markdown]
# Always run this check on a video model of yours. Accuracy that survives shuffling was never about order, whatever the architecture
# can do. (Half of the verbs survive: *that* something moves, turns or grows can be seen without any order, which way it does cannot.)
#
# The report looks for trouble itself. Here the head is new, as after loading weights for other classes and forgetting to train:

# %%
torch.manual_seed(0)
untrained = build_model(model.config)
for line in evaluate(untrained, views, progress=False).warnings:
    print(textwrap.fill(f"WARNING: {line}", 100))

# %% [markdown]
# ## From the command line
#
# The same function without a notebook, on a folder of classes: 24 clips of Arrow of Time as mp4 files, and the small Model 2 of
# [04 Attention maps](04_attention_maps.ipynb). (By hand you leave `sys.executable` out and write `python -m vivit_lab evaluate ...`.)

# %%
_ = write_arrow_of_time(folder / "val", clips=24, frames=32, image_size=64, seed=9, progress=False)
weights = ASSETS / "weights" / "factorised_encoder.safetensors"


def command(*options):
    words = [sys.executable, "-m", "vivit_lab", "evaluate", str(weights), "val", *options]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout


print(command("--clips", "2", "--device", "cpu", "--workers", "0"))

# %% [markdown]
# Is that the model, or the test? Eight frames at stride 2 see half of these videos; in training the model always saw the whole action.
# **Predict first.** What does stride 4 do?

# %%
report = command("--clips", "2", "--stride", "4", "--device", "cpu", "--workers", "0", "--restart")
print(*(line for line in report.splitlines() if line.startswith(("video", "clip"))), sep="\n")

# %% [markdown]
# The command writes the report as JSON and the scores of every view as `.npz`. Averages over fewer views, the other average, the
# confusion matrix: none of them needs the model again, and nobody has to evaluate twice:
#
# ```python
# result = load_evaluation("factorised_encoder-on-val-2x3.npz", average="logits")
# EvaluationExplorer(result)
# ```

# %% [markdown]
# ## What does a new video show?
#
# A trained model is there to be asked. `predict` takes any videos (a file, a folder, a pattern, a list), asks for the same twelve views
# as above, and names the best classes. Which frames and pixels the model wants is part of its file; these small weights are older than
# that, so we say it here.
#
# Below is a video of three parts, each of another class of Arrow of Time, 3.84 s long.
#
# **Predict first.** Four clips of 0.64 s, evenly spread, are averaged. What will the model say of the whole?
#
# <details><summary>Then look</summary>
#
# A mixture: each clip names what it sees, and the average is as good as the assumption behind it, that a video shows one thing all along.
# Kinetics is cut that way. Your holiday is not.
#
# </details>

# %%
numbers = np.random.default_rng(0).random((3, NUMBERS))
numbers[:, -5] = 1  # two whole rounds in 16 frames: the end meets the beginning
scenes = scenes_of(LEVELS["easy"], np.array([0, 2, 5]), numbers, frames=16)
parts = [np.tile(part, (6, 1, 1, 1)) for part in render(scenes, 96)]
_ = (folder / "three_parts.mp4").write_bytes(encode(np.concatenate(parts)))
_ = (folder / "page.mp4").write_text("<html>Video not found</html>")

# %%
small, _ = load_checkpoint(ASSETS / "weights" / "joint.safetensors")
small.preprocessing = Preprocessing(ByFrame(8, stride=2), crop=48, short_side=48)
with contextlib.chdir(folder):
    found = predict(small, ["three_parts.mp4", "page.mp4"], top=3)
found

# %% [markdown]
# A file that cannot be read is named, and the others are answered. For a video in which more than one thing happens there is `timeline`: a
# window, as long as a clip, moves along it by half its length, and each moment gets the mean of the windows that show it. Frames are
# read in order and forgotten, so that an hour takes no more memory than a minute.
#
# **Predict first.** The windows are 0.64 s long. How far off can the borders at 3.84 s and 7.68 s be?

# %%
line = timeline(small, folder / "three_parts.mp4")
line

# %% [markdown]
# Now drop in a video of your own: by upload, or by its path. (Without a kernel you see a still.)

# %%
TimelineExplorer(small, folder / "three_parts.mp4").offer(
    {
        "1 · onto a border": {"moment": 33},
        "2 · a quarter of a window": {"step": 0.25},
        "3 · rabbit": {"clip": "rabbit"},
    }
)

# %% [markdown]
# Press a place along the frames or the curves to set the moment, or drag; press a part for its middle; ▶ plays the video while the moment
# travels. Things to try:
# 1. Set **moment** onto a border. Two windows show it: what does each say, to make this average?
# 2. Take *a quarter of a window* for a step. Are the borders better? What does it cost?
# 3. Choose *rabbit*. The model knows eight movements of one shape, and must name one of them all the same. Would you have seen from its
#    probabilities that none of them is right?
#
# With a model of yours: `TimelineExplorer("runs/mine", "holiday.mp4")`. With the published one, which knows the 400 classes of Kinetics,
# `TimelineExplorer("google/vivit-b-16x2-kinetics400", "holiday.mp4")`: that downloads 350 MB, and takes seconds a window on a laptop. Or from
# the command line:
#
# ```
# python -m vivit_lab predict runs/mine videos/ --top 3
# python -m vivit_lab predict runs/mine holiday.mp4 --timeline --json
# ```

# %% [markdown]
# ## Exercises
#
# Write in the cell, run it, and read what the check says. Each check knows the usual mistakes.
#
# ### 1 · Average the views
# Difficulty ●●○○ · importance ●●●● · 8 minutes
#
# `logits` is a NumPy array (videos, views, classes). Return the scores of the videos, (videos, classes): for `average="logits"` the mean
# of the logits over the views, for `average="softmax"` the mean of the views' probabilities.
#
# <details><summary>Hint</summary>
#
# Softmax: `np.exp` of the logits, divided by its sum over the classes. Subtract the largest logit first, so that nothing overflows.
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
# ### 2 · Action accuracy from two heads
# Difficulty ●●●○ · importance ●●●○ · 12 minutes
#
# `verb` (N, 8) and `noun` (N, 5) are probabilities of N videos, `verb_labels` and `noun_labels` (N,) the truth. Of how many videos, as a
# share from 0 to 1, is the right pair among the best `k` of the 40 pairs? A pair's score is the product of its two probabilities.
#
# <details><summary>Hint</summary>
#
# `verb[:, :, None] * noun[:, None, :]` is (N, 8, 5). How many pairs have a higher score than the right one?
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
# A model is right in a share `p` of the videos. How many videos must a test set have so that its 95 % interval is `p` plus-minus `half`
# (both are shares: 0.004 is 0.4 points)? The standard error of a share is √(p (1 − p) / N), and 95 % takes 1.96 of them.
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
# ## What surprised people
#
# * **Weak views, strong average.** No single view of the twelve names the verb in more than 41 % of the videos. Their average does in 81 %.
# * **The price is a straight line, the gain is not.** The first six views bring 34 points, the last six bring 6.
# * **More views also spoil.** Against one view, twelve mend 352 verbs and spoil 30.
# * **Softmax or logits: no difference here** that 800 videos could show. The official code and SlowFast disagree about it all the same.
# * **40 % can hide worse than chance.** Rings are named in 11 % of the cases, less than guessing would give; triangles in 72 %.
# * **85 % of 40 videos** means anything from 71 % to 93 %. Many a figure on somebody's own clips is of this kind.
# * **The stride can cost more than the model.** The same weights on the same files: 87.5 % at stride 2, 100 % at stride 4.
#
# ## Where next
#
# [09 Ablations](09_ablations.ipynb) uses all this to ask which choices of the paper matter. [07 Fine-tuning](07_fine_tuning.ipynb) makes
# the model that you evaluate. The measures are in [metrics.py](../vivit_lab/training/metrics.py), a few lines each; the reasons behind
# the warnings are in `warnings_about`, at its end.

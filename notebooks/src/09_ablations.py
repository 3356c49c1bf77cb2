# %% [markdown]
# # 09 · Which choice matters?
#
# The paper's tables answer one question each: which tokens, which start, which model, how deep in time, how much regularisation. A table
# gives one number a row. Here are the same tables in miniature, on clips that we render, with three seeds a row, so that you can see
# what a difference of one point is worth. Some come out as in the paper, some do not, and the reasons are the lesson.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), section 4.2 and tables 1 to 4 · about 2 minutes of computing on a laptop (everything but one
# cell is stored), an hour with the exercises · works offline, without a GPU · before this: [03 Four models](03_four_models.ipynb),
# [06 Inflation](06_inflation.ipynb) · words: [glossary](glossary.ipynb)
#
# All pictures are drawn from our own runs; no footage is shown, so there is nothing under CC BY 3.0 to credit.

# %%
from vivit_lab import ViViTConfig
from vivit_lab.analysis import count_flops
from vivit_lab.lessons.exercises import ablations
from vivit_lab.lessons.studies import (
    REPORTED,
    STUDIES,
    agreement,
    find_arm,
    load_results,
    spread_by_arm,
    table_of,
    train_arm,
)
from vivit_lab.widgets import AblationExplorer

import matplotlib.pyplot as plt
import torch

# %% [markdown]
# ## What was run
#
# 31 ways to train a tiny ViViT (8 frames of 32 × 32, 64 numbers a token, 3 blocks) on [Arrow of Time](../vivit_lab/data/arrow_of_time.py), each with
# three seeds: other first weights, another order of the clips. One of them stands in five studies, so that there are 35 arms. The test clips are 1,024
# that no run has trained on. Chance is 1 in 8.
# `python assets/run_studies.py NAME` ran them, through the same `fit` and `evaluate` that you use, on one core.

# %%
for name, arms in STUDIES.items():
    results = load_results(name)
    minutes = sum(result.cpu_seconds for result in results) / 60
    print(f"{name:16} {len(arms)} arms, {len(results):2} runs, {minutes:4.1f} CPU minutes stored")

# %% [markdown]
# **Predict first.** On Kinetics-400 the paper reports 80.0 for Model 1 and 76.3 for Model 4. Trained to the end on Arrow of Time, which of the
# four will lead, and by how much?
#
# <details><summary>Then look</summary>
#
# None: all four are between 99 and 100 %. This task has nothing left that could tell them apart.
#
# </details>

# %%
explorer = AblationExplorer("four_models")
in_order = {name: {"study": REPORTED[name].question, "measure": "in order"} for name in STUDIES}
explorer.offer(
    {
        "1 · shuffled": {"measure": "shuffled"},
        "1 · backwards": {"measure": "backwards"},
        "2 · tokens and start": in_order["initialisation"],
        "3 · one arm": in_order["four_models"] | {"arm": "Average pooling of 2-frame tubelets"},
        "4 · crops": in_order["crop"],
    }
)

# %% [markdown]
# Every dot is a run; the black tick is the mean. Without a kernel you see a still; run the cell for the controls. Things to try:
# 1. Set **test frames** to *shuffled*, then to *backwards*. Which arms notice? Why do those who notice fall *below chance* when time runs backwards?
# 2. Choose the **study** *Tokens, and where the weights start*. Which arms are apart, and which are merely in some order?
# 3. Press an arm's row, its curve or one of its dots: it is **in the light**, until you press it again. Follow its line. Where
#    does it stand still for a while, and at what accuracy? (One pair of classes is an eighth of the clips for each of its directions.)
# 4. In *How large should the crop be?* read the plot on the right from left to right: what does a point cost?
# 5. Compare the last line of the card in all studies (Page Down on the picture goes to the next): how often does the paper's order come out?
#
# ## When are two rows different?
#
# Three seeds a row, and no assumption: two rows differ if their seeds **do not overlap**, the worst of one above the best of the other.
# Everything else is open, whatever the means say. `agreement` applies that to every pair that the paper ranks.

# %%
for name, paper in REPORTED.items():
    found = agreement(name, load_results(name))
    counts = f"{found.same} same, {found.other} other, {found.open} open"
    print(f"{paper.where:14} {paper.question:49} {counts if found.pairs else paper.says}")

# %% [markdown]
# ## Table 2: the models
#
# A table of accuracies alone would say that the baselines are hopeless and the models are equal. The other two columns say why: the frames of
# the test clips shuffled, and played backwards.

# %%
print(table_of("four_models", ("top1", "shuffled", "reversed")))

# %% [markdown]
# * **The ceiling hides the ranks.** Where everybody ends between 99 and 100 %, a difference of half a point is five clips. The paper's
#   Kinetics-400 is nowhere near its ceiling, and there the models come apart.
# * **Backwards is far below chance.** An Arrow of Time clip played backwards *is* a clip of the other class of its pair. Who knows the order now names
#   the other class every time. Zero is not ignorance.
# * **Shuffled leaves less than half.** The pair can still be seen, the direction cannot.
# * **The bag of frames stops at its bound** of 50 %: it finds the pair. It was helped: all three arms that see single frames start from our image ViT,
#   so it is not for want of knowing pictures. (They see the same number of clips as the others, in batches of 32 instead of 16.)
# * **Averaging single frames does not even get there.** One frame looks the same in every class. So the *mean* of anything that is computed from single
#   frames has the same expectation in every class, and a linear classifier on that mean finds nothing to hold on to. Its three columns are equal, too:
#   an average cannot notice an order.
# * **Averaging 2-frame tubelets reaches the top.** Two frames are enough to see which way things go; [notebook 03](03_four_models.ipynb) has the details.
#
# ## Table 1: tokens, and where the weights start
#
# Our own [image ViT](../assets/train_image_vit.py) has learned to name shape, colour, place, angle and size in *single* frames of Arrow of Time. It
# knows pictures and nothing of time, as an ImageNet model does. Model 1 is inflated from it in three ways, and trained for a short while:
# 96 steps of 32 clips, a seventh of what the full recipe sees. All arms get the same steps and clips.
#
# **Predict first.** Central frame, filter inflation, a random embedding under inflated blocks, everything random: put them in order. And
# will uniform frame sampling (4 of the 8 frames, as many tokens) be near the top as in the paper?

# %%
print(table_of("initialisation"))

# %%
fig, ax = plt.subplots(figsize=(8, 3), facecolor="white")
for arm in STUDIES["initialisation"]:
    runs = [run for run in load_results("initialisation") if run.arm == arm.name]
    lines = torch.tensor([[100 * point["accuracy"] for point in run.curve] for run in runs])
    lines = lines.unflatten(1, (-1, 4)).mean(dim=2)  # means of 8 steps each
    clips = [point["clips"] for point in runs[0].curve[3::4]]
    (line,) = ax.plot(clips, lines.mean(dim=0), label=arm.title)
    ax.fill_between(clips, lines.amin(0), lines.amax(0), color=line.get_color(), alpha=0.12)
ax.set(xlabel="clips seen", ylabel="training accuracy, %", ylim=0)
_ = ax.legend(frameon=False, fontsize=8)

# %% [markdown]
# * **Central frame leads**, as in the paper, above every seed of filter inflation, which begins with a blur: the mean of two frames. Against *everything
#   random* it gains five points on average; yet its worst seed only ties with the best random one, so by our rule even that is open.
# * **A random embedding does no harm here.** In the paper it costs six points. Ours is a kernel for 8 × 8 pixels over rendered shapes, which 96 steps can
#   learn; theirs was learned from millions of photographs.
# * **Uniform frame sampling is last by far; in the paper it is second.** Things go round in 4 to 5 frames here. Sampling keeps frames 2, 3, 5 and 6: two
#   steps of one frame and one of two, nearly half a round, and half a round looks the same backwards. It has not found the order in 96 steps: played backwards
#   it scores the same (explorer, *test frames*). A tubelet sees every frame. Most of Kinetics can be told from a few frames; nothing of Arrow of Time can.
#
# ## Model 3: which attention comes first?
#
# **Predict first.** Space then time, or time then space. The paper finds no difference. Here?

# %%
print(table_of("orders"))

# %% [markdown]
# The seeds overlap from end to end: no difference, as in the paper. (Three blocks deep, the one order is nearly the other, shifted by half a block.) With a
# table of means alone we would have reported three points for the paper's order.
#
# ## Table 3: how deep in time?
#
# Model 2 with 0, 1, 2 and 4 temporal blocks. Depth 0 averages the time steps.
#
# **Predict first.** In the paper depth 0 loses three points on Kinetics-400. In [notebook 03](03_four_models.ipynb) averaging over 2-frame tubelets
# reached the top. Which of the two will this short budget look like?

# %%
print(table_of("temporal_depth"))

# %% [markdown]
# * **0, 1 and 2 blocks overlap.** Averaging is no handicap here, because a 2-frame tubelet already shows the direction. In Kinetics a direction takes longer.
# * **4 blocks are worse than 1 or 2**, beyond the seeds. That is the opposite of the table, and a matter of budget: all temporal blocks start from random
#   weights, and 96 steps do not teach four of them. The paper trains for 30 epochs of Kinetics. *An ablation at a small budget ranks how fast things learn,
#   not how good they become.*
#
# ## Table 4: regularisation
#
# The paper's Table 4 adds one thing after the other on EPIC-Kitchens. Two of its steps cannot be had here: a flip turns "moves right" into
# "moves left", and the colour operations of RandAugment change what two classes are about. The others can: a trained start, stochastic depth, label
# smoothing, mixup, added up as in the paper. There are only 256 clips, each seen 12 times, so that a model can memorise them.
#
# **Predict first.** 96 steps again, from 256 clips. What will the spread of three seeds be: 1 point, 5, 20?

# %%
print(table_of("regularisation"))

# %% [markdown]
# * **The models memorise**: open the study in the explorer. The lines (training) end far above the dots (held-out clips).
# * **Nearly nothing is decided.** The paper's steps are worth 0.6 to 2.0 points (label smoothing together with RandAugment, which is left out here: 2.9).
#   Here a single arm spreads over 20 points: two of three seeds gain from stochastic depth and label smoothing, the third ends at 70 % even on the clips
#   that it trains on. No table of means can be read at that spread.
# * **Mixup ends below the first two rows**, beyond the seeds; against the row to which it is added it is open. A mixed clip shows half of two directions,
#   and 96 steps are too few to learn from halves. It pays where a model sees the same clips for many epochs; the paper's EPIC-Kitchens recipe has 50.
# * **The rows are shifted.** The paper's first one (38.4) starts from an image model already, and its second adds training on Kinetics-400. Ours begins a
#   stage lower, with random weights.
#
# ## What a point costs
#
# More tokens, in four ways: shorter tubelets, smaller tubelets, larger crops, more frames. The same clips and steps for each. One arm, Model 2 with
# 8 frames of 32 × 32 and tubelets of 2 × 8 × 8, stands in all four panels, and in Table 3: the same three runs each time. That they lie so close is one piece
# of luck, not five.
#
# **Predict first.** In the paper each of the four raises accuracy, and cost. Which of them will help here? (Shapes fill a third of the picture,
# and go round in about 4 frames.)

# %%
fig, panels = plt.subplots(1, 4, figsize=(11, 2.8), facecolor="white", sharey=True)
for panel, name in zip(panels, ("tubelet_length", "tubelet_size", "crop", "frames"), strict=True):
    runs = load_results(name)
    for arm, spread in spread_by_arm(runs).items():
        macs = next(run.macs for run in runs if run.arm == arm) / 1e6
        seeds = [100 * run.top1 for run in runs if run.arm == arm]
        panel.plot([macs] * len(seeds), seeds, "o", color="#2f6fed", alpha=0.5)
        panel.text(macs, 100 * spread.low - 4, arm.split("_")[1], ha="center", va="top")
    panel.set(title=name.replace("_", " "), xlabel="MMACs of a clip", xlim=(0, 25), ylim=(0, 100))
panels[0].set_ylabel("top-1, %")
fig.tight_layout()

# %%
for name in ("tubelet_length", "tubelet_size", "crop", "frames"):
    print(table_of(name), end="\n\n")

# %% [markdown]
# * **Smaller tubelets and larger crops help**, as in the paper, as long as there is something to see: with 4 tokens a time step the shape is a blur. From 32
#   to 48 pixels the mean still rises, for twice the cost, but one seed of three does not: open.
# * **Shorter tubelets help from 4 frames to 2**, as in the paper, **and collapse at 1**, which costs most of all. A token of one frame has no direction in it;
#   the temporal blocks must find it, and 96 steps are too few.
# * **More frames do not help.** A clip of 8 or of 16 frames shows the same rounds (one of 4 frames only one); 16 frames only cut them finer, and are worse,
#   beyond the seeds. A longer clip of Kinetics shows more of the video.
#
# The fifth way to buy accuracy is **more views** of the same video at test time, without any training. That is
# [notebook 08](08_evaluation.ipynb): accuracy against cost from 1 view to 12.
#
# ## Run one yourself
#
# A stored number is a claim. This cell trains the arm *central frame* with a seed that is not among the stored ones.
#
# **Predict first.** Three seeds gave a range. How likely is it that a fourth falls inside?
#
# <details><summary>Then look</summary>
#
# One half, if all four come from the same source: of four numbers, each is as likely as the others to be the lowest or the highest, and two
# of the four places are inside. A range of three seeds is no error bar.
#
# </details>

# %%
torch.set_num_threads(1)  # so that it repeats to the last bit
live = train_arm(find_arm("initialisation", "central_frame"), seed=3)
spreads = spread_by_arm(load_results("initialisation"))
stored = spreads.pop("central_frame")
where = "inside" if stored.low <= live.top1 <= stored.high else "outside"
print(f"live, seed 3: {live.top1:.1%} after {live.seconds:.1f} s of training")
print(f"stored, seeds 0 to 2: {stored}. The live run lies {where} that range.")
print("above every seed of every other arm:", live.top1 > max(s.high for s in spreads.values()))

# %% [markdown]
# When we ran it, it fell outside, and below: under the best seed of filter inflation. So the one lead that three seeds had called safe does not survive the
# fourth. That is what "by luck, one pair in ten" looks like (exercise 2).
#
# ## What agrees, what does not, and why
#
# **As in the paper**: central frame is above filter inflation (with three seeds, not with four). The order inside Model 3 does not matter. Finer tokens and larger pictures buy accuracy and cost
# MACs, up to a point.
#
# **The other way**: uniform frame sampling is last, not second. Four temporal blocks are worse than one. One-frame tubelets, the dearest, are the worst.
# Sixteen frames are worse than eight. And averaging over 2-frame tubelets is above every seed of Models 1 and 2, by a handful of clips at the ceiling.
#
# **Open, at three seeds**: central frame against everything random. All of Table 4, but that mixup ends below the first two rows. The four models among
# themselves, which are all at the ceiling.
#
# Four reasons, and none of them is that a table is wrong:
# 1. **The data.** Here order is everything and pictures are simple. In Kinetics a few frames give most classes away, and pictures are the hard part: that is where
#    pre-training and good single frames pay.
# 2. **The budget.** 96 steps rank how fast an arm learns. Everything with new blocks, finer tokens or blurred labels learns more slowly, and may end higher.
# 3. **The size.** 130 to 260 thousand parameters and 64 tokens, where ViViT-B has 89 million and 3,136. Costs of attention over many tokens do not arise.
# 4. **The start.** Our image ViT has seen rendered shapes for a minute. The paper's has seen ImageNet-21k.
#
# So do not choose a ViViT by this notebook. Take the habit: several seeds, the spread beside the mean, equal budgets, cost beside accuracy.
#
# ## What would I choose for my own data?
#
# The paper's tables (reported there) and these small runs suggest, and no more than that:
#
# | your data | a choice to begin with | because |
# |---|---|---|
# | scenes or things tell the class, few videos | Model 2 from an inflated image ViT, central frame | an image model knows most of it already; Model 2 costs 283 GMACs where Model 1 costs 452, for 1.2 points less on Kinetics-400, and leads on EPIC-Kitchens |
# | scenes or things tell the class, very many videos | Model 1, if you can pay for it | it leads on Kinetics-400 (80.0 against 78.8) |
# | the direction of a motion tells the class | tubelets of 2 frames, and never uniform frame sampling alone | a tubelet sees the order within itself; sampled frames jumped over half a round here |
# | a long action tells the class | clips that span it (by segment, or a larger stride), and temporal blocks | averaging loses what comes first and what comes last (Table 3: 75.8 against 78.8) |
# | a few thousand videos or fewer | stochastic depth, label smoothing, mixup, and more epochs | each gained in Table 4; in our 96 steps mixup did not, so it needs the epochs |
#
# Then run two of them with three seeds each on your own videos, and look whether the seeds overlap.
#
# ## Exercises
#
# ### 1 · More than luck?
# Difficulty ●○○○ · importance ●●●● · 5 minutes
#
# Two arms, a list of accuracies each. Return `"a"` or `"b"` if that arm is better by the rule above (no overlap), and `"open"` otherwise.
#
# <details><summary>Hint</summary>
#
# The worst seed of the better arm against the best seed of the other. Equal is not better.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def better(a: list[float], b: list[float]) -> str:
#     if min(a) > max(b):
#         return "a"
#     return "b" if min(b) > max(a) else "open"
# ```
#
# </details>


# %%
def better(a: list[float], b: list[float]) -> str:
    """ "a", "b" or "open"."""
    ...  # your code


ablations.better.check(better)

# %% [markdown]
# ### 2 · How often is it luck?
# Difficulty ●●●○ · importance ●●●○ · 8 minutes
#
# Two arms that are really equal, `seeds` runs each, no two accuracies the same. What is the chance that they do not overlap all the same, either way round?
#
# <details><summary>Hint</summary>
#
# Sort all runs. Every choice of places for a's runs is equally likely. How many choices are there (`math.comb`), and how many leave the two apart?
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# import math
#
#
# def by_luck(seeds: int) -> float:
#     return 2 / math.comb(2 * seeds, seeds)
# ```
#
# </details>


# %%
def by_luck(seeds: int) -> float:
    """From 0 to 1."""
    ...  # your code


ablations.by_luck.check(by_luck)

# %% [markdown]
# ### 3 · What does a point cost in Table 3?
# Difficulty ●●○○ · importance ●●●○ · 8 minutes
#
# `points` are the accuracies of a table, row after row, `cost` the MACs. For each step from a row to the next, return how much more cost it takes
# for each point gained; `None` for a step that gains nothing. Then use it on Table 3 (as reported in the paper) with our count of the MACs.
#
# <details><summary>Hint</summary>
#
# Differences, not totals. `zip(points, points[1:])` gives the steps.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def price(points: list[float], cost: list[float]) -> list[float | None]:
#     found = []
#     for i in range(len(points) - 1):
#         gained = points[i + 1] - points[i]
#         found.append((cost[i + 1] - cost[i]) / gained if gained > 0 else None)
#     return found
# ```
#
# </details>

# %%
table_3 = {0: 75.8, 1: 78.6, 4: 78.8, 8: 78.8, 12: 78.9}  # as reported in the paper
for depth, top1 in table_3.items():
    config = ViViTConfig.preset("B/16x2", model="factorised_encoder", temporal_depth=depth)
    gmacs = count_flops(config, counter="closed_form").macs / 1e9
    print(f"temporal depth {depth:2}: {top1} %, {gmacs:.2f} GMACs")


# %%
def price(points: list[float], cost: list[float]) -> list[float | None]:
    """More cost for each point gained, step by step."""
    ...  # your code


ablations.price.check(price)

# %% [markdown]
# ### 4 · Is the comparison fair?
# Difficulty ●●○○ · importance ●●●● · 8 minutes
#
# Every result carries its `settings`: a dictionary whose values are dictionaries (`recipe`, `config`, `data`) or plain values (`start`). Two results
# have the same fields. Return the *set* of names in which they differ, `"recipe.epochs"` for a field of a part, `"start"` for a plain one.
#
# <details><summary>Hint</summary>
#
# `isinstance(value, dict)` tells the two kinds apart.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def differs(a: dict, b: dict) -> set[str]:
#     found = set()
#     for part, value in a.items():
#         if isinstance(value, dict):
#             found |= {f"{part}.{name}" for name in value if value[name] != b[part][name]}
#         elif value != b[part]:
#             found.add(part)
#     return found
# ```
#
# </details>


# %%
def differs(a: dict, b: dict) -> set[str]:
    """Names of the fields that differ."""
    ...  # your code


ablations.differs.check(differs)

# %% [markdown]
# When it works, ask it about these three pairs. One of them is a comparison that a careless table might make, and that says nothing:
#
# ```python
# pairs = [
#     (("temporal_depth", "depth_1"), ("temporal_depth", "depth_4")),
#     (("four_models", "joint"), ("initialisation", "all_random")),
#     (("initialisation", "central_frame"), ("initialisation", "all_random")),
# ]
# settings = lambda study, arm: next(r for r in load_results(study) if r.arm == arm).settings
# for a, b in pairs:
#     print(a, b, differs(settings(*a), settings(*b)))
# ```
#
# <details><summary>What it shows</summary>
#
# The first and the third differ in what they are about. The second is the same model with another number of epochs *and* of clips: a budget against a
# budget. And even the third has something that no setting shows: the image ViT was trained before, on 98,304 views of frames that the random arm
# never saw. That is what pre-training is; a fair sentence says so.
#
# </details>
#
# ## What surprised people
#
# * **Zero is not ignorance.** Played backwards, a good model is wrong on every clip.
# * **One seed can be a whole table.** Crops of 48 pixels reach 68, 76 and 86 % with three seeds, on the same clips. Any one of them, alone, tells another story.
# * **A narrow range is luck, too.** Model 2's three seeds on the short budget lie within half a point. The same model with one temporal block less
#   spreads over seven.
# * **More tokens, worse.** Tubelets of one frame cost nearly twice as much as those of two, and hardly leave chance in the same steps.
# * **Averaging single frames stays at chance**, though it is helped by an image ViT that can name all that changes. The mean of a feature does not say that it varied.
#
# ## Where next
#
# [08 Evaluation](08_evaluation.ipynb): more views, and what an accuracy hides. [07 Fine-tuning](07_fine_tuning.ipynb): the same recipe on your own clips.
# An ablation of your own is one `Arm` in [studies.py](../vivit_lab/lessons/studies.py) and one command.

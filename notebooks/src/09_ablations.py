# %% [markdown]
# # 09 · Which choice matters?
#
# Each of the paper's tables answers one question: which tokens, which initial weights, which model, how many temporal blocks, how much regularisation. A
# table gives one number a row. This notebook repeats these tables in miniature, on clips that we render, with three seeds a row. So you can see
# what a difference of one point is worth.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), section 4.2 and tables 1 to 4 · about 2 minutes of computing on a laptop (everything but one
# cell is stored), an hour with the exercises · works offline, without a GPU · before this: [03 Four models](03_four_models.ipynb),
# [06 Inflation](06_inflation.ipynb) · words: [glossary](glossary.ipynb)
#
# All pictures are drawn from our own runs. No footage is shown, so nothing here is under CC BY 3.0.

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
    ranked_pairs,
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
# An *ablation* changes one part of a model or of its training and keeps the rest. A *study* here compares some variants, its *arms*. Every arm trains a
# tiny ViViT (8 frames of 32 × 32 pixels, 64 numbers a token, 3 blocks) on [Arrow of Time](../vivit_lab/data/arrow_of_time.py) with
# three *seeds*. Another seed means other random weights and another order of the clips. All arms are tested on the same 1,024 scenes, drawn with the
# frames and pixels that the arm takes. These clips were *held out*: no run has trained on them. Chance is 1 in 8.
#
# `python assets/run_studies.py NAME` made these runs, with the same `fit` and `evaluate` that you use, on one core.

# %%
runs = [run for name in STUDIES for run in load_results(name)]
for name, arms in STUDIES.items():
    results = load_results(name)
    minutes = sum(run.cpu_seconds for run in results) / 60
    starts = sorted({" ".join(run.settings["start"].split("_")[:2]) for run in results})
    words = f"{len(arms)} arms, {len(results):2} runs, {minutes:4.1f} CPU minutes"
    print(f"{name:15}{words}, from: {', '.join(starts)}")
params, different = sorted(run.params for run in runs), {str(run.settings) for run in runs}
print(f"{len(different)} different arms of {params[0]:,} to {params[-1]:,} parameters")

# %% [markdown]
# The words after "from" say how the weights of the arms start: "random", or inflated from our small "image vit" (Table 1 explains it). One arm
# stands in five studies: Model 2 with random initial weights on a *short budget*, 96 steps of 32 clips.
#
# **Predict first.** Two rows of a table *differ* here if every seed of one is above every seed of the other. The paper's Table 2 ranks the four models and averaging: 10 pairs of rows.
# Ours, known from [03 Four models](03_four_models.ipynb), are all between 99 and 100 %. In how many of the 10 pairs do our rows differ?
#
# <details><summary>Then look</summary>
#
# In 2, and not in the paper's order. The last line of the picture says so.
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
# In the upper part every dot is a run and the black line is the mean of an arm. In *How they learned* lines and dots are means of the three seeds. Some lines and dots cover others. "Not on file": this kit has no figure of the paper for this row.
# Without a kernel you see a still picture; run the cell to get the controls. Things to try:
# 1. Set **test frames** to *shuffled*, then to *backwards*. Which arms become worse?
# 2. Choose the **study** *Tokens, and where the weights start*. Between which arms is there a gap, so that no dots overlap?
# 3. Press the row, the curve or a dot of an arm. This highlights the arm, until you press it again. Where does the curve of *Average pooling of 2-frame tubelets* hardly
#    rise for a while?
# 4. In *How large should the crop be?* read the plot on the right from left to right. How many points does the mean gain from 16 to 32 pixels and from 32 to 48,
#    and for how many MMACs?
# 5. Compare the last line of the picture in all studies (Page Down on the picture goes to the next one). How often do our seeds have the paper's order?
#
# <details><summary>Then look</summary>
#
# 2: the two arms with patches of single frames lie far below the four with tubelets. 3: at about 85 %, not far from 87.5 %: there a model is right about six classes, and guesses between the two of one pair. 4: 33.9 points
# for 6.3 MMACs, then 6.2 points for 11.5. 5: in 2 of 25 pairs; the next cell prints them by table.
#
# </details>
#
# ## When are two rows different?
#
# Our rule again: two rows differ if their seeds **do not overlap**. The worst seed of one is above the best seed of the other.
# All other pairs are *open*, whatever their means are: these runs show neither that the rows differ nor that they are equal. `agreement` applies the rule to every pair of rows for which the paper's figures are on file:

# %%
for name, paper in REPORTED.items():
    found = agreement(name, load_results(name))
    counts = f"{found.same} as in the paper, {found.other} the other way, {found.open} open"
    print(f"{paper.where:14} {paper.question:42} {counts if found.pairs else paper.says}")

# %% [markdown]
# ## Table 2: the models
#
# The paper's figure stands beside our accuracy in every table from here on. (Compare the paper's figures with each other only, not with ours: it has 400 classes
# of real videos.)

# %%
print(table_of("four_models", ("top1", "shuffled", "reversed")))

# %% [markdown]
# [03 Four models](03_four_models.ipynb) explains the rows of single frames and the columns *shuffled* and *reversed*. New is the comparison with the paper: it has the models at 80.0 to 76.3 % and averaging last.
# Here the rule puts averaging over 2-frame tubelets *above* Models 1 and 2. But these differences are one to eight of the 1,024 clips, and other test clips may change them. This task is too easy to rank
# models that are trained to the end. So all other arms train on the short budget.
#
# ## Table 1: tokens, and where the weights start
#
# Our own [image ViT](../assets/train_image_vit.py) has learned to name shape, colour, place, angle and size in *single* frames of Arrow of Time. It
# knows pictures and nothing about time, as a model trained on ImageNet does. All arms are Model 1 on the short budget, a seventh of the clips of the full recipe.
# In all arms but the last the blocks start from the image ViT. The arms differ in their tokens:
#
# * *uniform frame sampling*: patches of 4 of the 8 frames, as many tokens as with tubelets; *patches of all 8 frames*: no frame is left out. Both take over the image ViT's patch embedding;
# * *tubelets* of 2 frames. Their embedding starts with random weights, by *filter inflation*, or by *central frame*.
#
# **Predict first.** Put the arms in order. Will uniform frame sampling be near the top, as in the paper?

# %%
print(table_of("initialisation", ("top1", "reversed")))

# %%
fig, ax = plt.subplots(figsize=(9, 3), facecolor="white", layout="constrained")
for arm in STUDIES["initialisation"]:
    runs = [run for run in load_results("initialisation") if run.arm == arm.name]
    lines = torch.tensor([[100 * point["accuracy"] for point in run.curve] for run in runs])
    lines = lines.unflatten(1, (-1, 4)).mean(dim=2)  # means of 8 steps each
    clips = [point["clips"] for point in runs[0].curve[3::4]]
    label = f"{arm.title} (paper {arm.paper or 'not on file'})"
    (line,) = ax.plot(clips, lines.mean(dim=0), label=label)
    ax.fill_between(clips, lines.amin(0), lines.amax(0), color=line.get_color(), alpha=0.12)
ax.set(xlabel="clips seen", ylabel="training accuracy, %", ylim=0)
_ = ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))

# %% [markdown]
# The picture shows the accuracy on the training clips while the models learn. A line is the mean of three seeds; the pale band reaches from the lowest to the highest. The four arms with tubelets rise
# together. From about 1,000 clips on the two with patches of single frames stay below.
#
# * **Central frame has the highest mean**, as in the paper (79.2, the highest). Each of its seeds is above every seed of filter inflation (paper: 77.6), which begins with a blur: the mean of two frames. Against the
#   *random embedding* it is open.
# * **A random embedding does no harm here.** In the paper it costs six points (73.2). The kernel of our image ViT is for 8 × 8 pixels of rendered shapes, and 96 steps are enough to
#   learn it. The kernel of the paper's image model was learned from millions of photographs.
# * **Uniform frame sampling is last by far; in the paper it is second** (78.5). Backwards it scores nearly the same as in order: it does not use the order.
#   Is it because sampling leaves out frames? Mostly not: with patches of all 8 frames nothing is left out, and the test gives 39.8 %, only a little more. What both have in common is that a token shows one frame,
#   and one frame has no direction. The attention blocks must find the direction by comparing tokens, and 96 steps are too few for that. A tubelet of 2 frames has the direction in it, and its embedding can learn it.
#   Most classes of Kinetics can be told from a few frames. No class of Arrow of Time can.
#
# ## Model 3: which attention comes first?
#
# Random initial weights, the short budget.
#
# **Predict first.** Space then time, or time then space. The paper finds no difference. Here?

# %%
print(table_of("orders", ("top1", "reversed")))

# %% [markdown]
# The two ranges overlap: open. That does not contradict the paper, and does not confirm it: with ranges of 7 and 16 points a difference of several points may hide. A
# table of means alone would have reported an advantage of three points for *space, then time*.
#
# ## Table 3: how many temporal blocks?
#
# Model 2 with 0, 1, 2 and 4 blocks in its temporal encoder. Depth 0 averages the time steps. Random initial weights, the short budget.
#
# **Predict first.** In the paper depth 0 loses three points on Kinetics-400. In Table 2 above, averaging over 2-frame tubelets
# reached 100 %. Which of the two will this short budget resemble?

# %%
print(table_of("temporal_depth"))

# %% [markdown]
# * **0, 1 and 2 blocks overlap.** Averaging is no disadvantage here, because a 2-frame tubelet already shows the direction. In Kinetics a motion lasts longer than a tubelet, and the first block raises 75.8 to 78.6.
# * **4 blocks are worse than 1 or 2**, beyond the seeds. The paper has it the other way: 78.8 against 78.6, a difference that is decided only if on nearly all videos both models are right, or both wrong (notebook 08). The likely reason is the budget: four blocks with random weights
#   have to learn more, in the same 96 steps; the paper trains for 30 epochs of Kinetics. *An ablation on a
#   small budget ranks how fast things learn, not how good they become.*
#
# ## Table 4: regularisation
#
# The paper's Table 4 adds one thing after the other on EPIC-Kitchens. Three of its steps are not possible or not useful here. A flip turns "moves right" into
# "moves left". RandAugment changes colours, and two of our classes are about colours. And there is no Kinetics-400 for rendered shapes. We can repeat the others: start from an image model, then add stochastic depth, label
# smoothing and mixup. The arms train on only 256 clips, each seen 12 times (96 steps again), so a model can memorise them.
#
# **Predict first.** What will the range of three seeds be: 1 point, 5, 20?

# %%
print(table_of("regularisation"))

# %%
spreads = spread_by_arm(load_results("regularisation"))
steps = ("crop, flip, colour jitter", 38.4), ("+ Kinetics-400 initialisation", 39.6)
steps += ("+ stochastic depth", 40.2), ("+ RandAugment", 41.1), ("+ label smoothing", 43.1)
ours = {arm.paper: f"{arm.title:24} {spreads[arm.name]}" for arm in STUDIES["regularisation"]}
print("the paper's six rows, as reported there, and our row in its place")
for step, figure in (*steps, ("+ mixup", 43.7)):
    print(f"{step:31}{figure} %   {ours.get(figure, 'not done here')}")

# %%
print("at the end, with seeds 0, 1, 2")
for arm in STUDIES["regularisation"][1:4]:
    seeds = [run for run in load_results("regularisation") if run.arm == arm.name]
    trained = " ".join(f"{run.curve[-1]['accuracy']:5.0%}" for run in seeds)
    tested = " ".join(f"{run.top1:6.1%}" for run in seeds)
    print(f"{arm.title:22} training clips {trained}   test clips {tested}")

# %% [markdown]
# * **Training clips and held-out clips differ.** Open the study in the explorer: the lines (training clips) end far above the dots (held-out clips).
# * **Nearly nothing is decided.** The paper's steps are worth 0.6 to 2.0 points each. Here a single arm can have a range of 20 points and more. With stochastic depth and label smoothing seeds 0 and 1 are above all three of
#   the row without them, and seed 2 is far below, both on the training clips and on the test clips.
# * **Mixup is below the first two rows** by the rule, but only by two clips: its best seed has 65.0 %, the worst of the second row 65.2 %.
#   Against the two rows before it, it is open. The paper's EPIC-Kitchens recipe has 50 epochs.
#
# ## What a point costs
#
# There are four ways to more tokens: shorter tubelets, smaller tubelets, larger crops, more frames. All arms here are Model 2 with random initial weights and have the same number of clips and steps. One arm,
# 8 frames of 32 × 32 pixels with tubelets of 2 × 8 × 8, stands in all four panels and in Table 3. These are the same three runs each time. Their narrow range, 70.0 to 70.3, is luck: the other arms
# of these panels and of Table 3 have ranges of 2 to 39 points. A larger crop means that the same whole picture is rendered with more pixels. More frames mean smaller steps of the same motion; 4 frames
# show less of it.
#
# **Predict first.** In the paper each of the four raises accuracy and cost. Which of them will help here?

# %%
labels = {"tubelet_length": "frames of a tubelet", "tubelet_size": "width of a tubelet"}
labels |= {"crop": "width of the crop", "frames": "frames of a clip"}
says = "Shorter tubelets", "Smaller tubelets", "Larger crops", "More frames"
fig, panels = plt.subplots(1, 4, figsize=(11, 3), facecolor="white", sharey=True)
for panel, paper, (name, label) in zip(panels, says, labels.items(), strict=True):
    for arm, spread in spread_by_arm(load_results(name)).items():
        runs = [run for run in load_results(name) if run.arm == arm]
        macs, seeds = runs[0].macs / 1e6, [100 * run.top1 for run in runs]
        panel.plot([macs] * len(seeds), seeds, "o", color="#2f6fed", alpha=0.5)
        panel.text(macs, 100 * spread.high + 4, arm.split("_")[1], ha="center", weight="bold")
    panel.set(xlabel=f"MMACs of a clip\n(bold: {label})", xlim=(0, 25), ylim=(0, 105))
    panel.set_title(f"paper: {paper.lower()} do better", fontsize=9)
panels[0].set_ylabel("top-1, %")
fig.tight_layout()

# %%
for name in labels:
    measures = ("top1", "reversed") if name == "tubelet_length" else ("top1",)
    print(table_of(name, measures), end="\n\n")

# %% [markdown]
# * **Smaller tubelets help, and crops of 32 pixels in place of 16**, as in the paper. From 32
#   to 48 pixels the mean still rises, for twice the cost, but one of three seeds is below: open.
# * **Shorter tubelets help from 4 frames to 2**, as in the paper, **and fail at 1**, which costs most of all. Backwards it scores the same: again, tokens of one frame have no direction.
# * **More frames do not help.** 16 frames show the same motion as 8, and the change within a tubelet is smaller.
#   By the rule they are worse than 8, but only because the range of 8 frames is so narrow. Against 4 frames they are open. A longer clip of Kinetics shows more of the video.
#
# The fifth way to buy accuracy is **more views** of the same video at test time, without any training. That is
# [notebook 08](08_evaluation.ipynb): accuracy against cost for 1 to 12 views.
#
# ## Run one yourself
#
# This cell trains the arm *central frame* with a seed that is not stored.
#
# **Predict first.** Three seeds gave a range. How likely is it that a fourth is inside?
#
# <details><summary>Then look</summary>
#
# One half, if all four come from the same distribution. Each of four numbers is equally likely to be the lowest or the highest, so the fourth is one of the two in the middle in half of the cases.
# A range of three seeds is not an error bar.
#
# </details>

# %%
torch.set_num_threads(1)  # so that it repeats to the last bit
live = train_arm(find_arm("initialisation", "central_frame"), seed=3)
spreads = spread_by_arm(load_results("initialisation"))
stored, filters = spreads["central_frame"], spreads["filter_inflation"]
where = "inside" if stored.low <= live.top1 <= stored.high else "outside"
print(f"live, seed 3: {live.top1:.1%} after {live.seconds:.1f} s of training")
print(f"stored, seeds 0 to 2: {stored}. The live run lies {where} that range.")
print(
    f"filter inflation: {filters}. All four above it: {min(live.top1, stored.low) > filters.high}"
)

# %% [markdown]
# When we ran it, the fourth seed fell outside the range, below the best seed of filter inflation. So with four seeds this pair is open, which three seeds had decided.
#
# ## What agrees, what does not, and why
#
# These are all pairs that our three seeds decide, with the paper's figures beside ours:

# %%
decided = pairs = 0
for name, paper in REPORTED.items():
    spreads = spread_by_arm(load_results(name))
    for better, worse, verdict in ranked_pairs(name, load_results(name)):
        pairs, decided = pairs + 1, decided + (verdict != "open")
        if verdict != "open":
            print(f"{paper.where}, {'as in the paper' if verdict == 'same' else 'the other way'}:")
            for arm in (better, worse):
                print(f"    {arm.title:38} paper {arm.paper} %   here {spreads[arm.name]}")
print(f"{decided} of {pairs} pairs")

# %% [markdown]
# **Beyond luck**: the three pairs with uniform frame sampling, with a gap of more than 30 points. It is below central frame, as in the paper, but also below filter inflation and the random embedding.
#
# **Decided, but perhaps by luck**: the other five. Central frame against filter inflation is open with a fourth seed. Two pairs near 100 % and mixup against its start depend on a few clips. With four temporal blocks
# the best seed is two points below the worst with one. (Exercise 2: how many of the pairs would luck alone decide?)
#
# **Where the paper has only a sentence**: smaller tubelets, and crops of 32 pixels in place of 16, raise accuracy and cost, as in the paper. Tubelets of one frame, the most expensive, are the worst; 16 frames are
# not better than 8. **Open**: the order inside Model 3, crops of 48 pixels, and the other pairs of the tables, among them the four models.
#
# Why do our rows differ from the paper's?
# 1. **The data.** Here only the order counts, and pictures are simple. In Kinetics most classes can be told from a few frames, and pictures are the hard part. There
#    pre-training helps.
# 2. **The budget.** 96 steps rank how fast an arm learns. A slower arm may become better in the end.
# 3. **The size.** Our models have 115 to 267 thousand parameters and mostly 64 tokens. ViViT-B has 89 million and 3,136.
# 4. **The start.** Our image ViT has seen rendered shapes for a minute. The paper's has seen ImageNet-21k.
#
# So do not choose a ViViT by these figures. Use the method: several seeds, the range beside the mean, equal budgets, cost beside accuracy.
#
# ## What would I choose for my own data?
#
# The paper's tables (as reported there) and these small runs suggest a beginning, not an answer:
#
# | your data | a choice to begin with | the reason |
# |---|---|---|
# | scenes or objects tell the class, few videos | Model 2 from an inflated image ViT, central frame | The paper reports 78.8 for Model 2 with 284.4 GMACs, 80.0 for Model 1 with 455.2; on EPIC-Kitchens Model 2 reaches 43.7, Model 1 43.1. Central frame: 79.2, random embedding: 73.2. |
# | scenes or objects tell the class, very many videos | Model 1, if you can pay for it | It is the best on Kinetics-400: 80.0, Model 2: 78.8. |
# | the direction of a motion tells the class | tubelets of 2 frames, not patches of single frames | A tubelet shows the direction itself. Patches of single frames did not find it in our 96 steps (36 and 40 %, tubelets 75 to 81 %). In the paper they are close: 78.5 and 79.2. |
# | a long action tells the class | clips that cover the action (by segment, or with a larger stride), and temporal blocks | Averaging forgets what came first. In the paper: 75.8 without temporal blocks, 78.8 with four. |
# | few videos for each class | stochastic depth, label smoothing, and, if you have many epochs, mixup | In the paper's Table 4 they bring EPIC-Kitchens from 39.6 to 43.7, together with RandAugment, in 50 epochs. Our 96 steps are too few to test it. |
#
# Then train two of them with three seeds each on your own videos, and look whether the seeds overlap.
#
# ## Exercises
#
# ### 1 · More than luck?
# Difficulty ●○○○ · importance ●●●● · 5 minutes
#
# `a` and `b` are the accuracies of two arms, one number for each seed, in any order. Return `"a"` or `"b"` if that arm is better by the rule above (no overlap), and `"open"` otherwise.
# Example: `better([0.9, 0.8], [0.7, 0.6])` is `"a"`.
#
# <details><summary>Hint</summary>
#
# Compare the worst seed of one arm with the best seed of the other. Equal is not better.
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
# Two arms are in truth equal: only luck decides which run is better. Each arm has `seeds` runs, and no two accuracies are the same. What is the chance, from 0 to 1, that one arm is completely above the other, whichever
# of the two it is? Example: with one seed each the answer is 1, because one of two runs is always above the other.
#
# <details><summary>Hint</summary>
#
# Sort all runs by accuracy. Every choice of places for a's runs is equally likely. How many choices are there (`math.comb`)? In how many of them do the arms not overlap?
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
# The tables above have 25 pairs with figures of the paper, and three seeds decided 8. If all arms were equal, luck alone would decide one pair in ten, so 2 or 3 of the 25. Which of the 8 these are
# cannot be known, except where the gap is much wider than the ranges.
#
# ### 3 · What does a point cost in Table 3?
# Difficulty ●●○○ · importance ●●●○ · 8 minutes
#
# `points` are the accuracies of the rows of a table, in per cent, and `cost` their GMACs. Return a list with the price of a point for each step from one row to the next: the added cost divided by the
# points gained. A step that gains nothing, or loses, has the price `None`. Example: `price([70, 72, 71], [10, 14, 20])` is `[2.0, None]`. The next cell prints Table 3 as reported in the paper, with our count of the MACs. Afterwards try `price(points, gmacs)`.
#
# <details><summary>Hint</summary>
#
# Use the differences between neighbouring rows. `zip(points, points[1:])` gives the steps.
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
points, gmacs = list(table_3.values()), []
for depth, top1 in table_3.items():
    config = ViViTConfig.preset("B/16x2", model="factorised_encoder", temporal_depth=depth)
    gmacs.append(count_flops(config, counter="closed_form").macs / 1e9)
    print(f"temporal depth {depth:2}: {top1} %, {gmacs[-1]:.2f} GMACs")


# %%
def price(points: list[float], cost: list[float]) -> list[float | None]:
    """The added cost of each point gained, step by step."""
    ...  # your code


ablations.price.check(price)

# %% [markdown]
# ### 4 · Is the comparison fair?
# Difficulty ●●○○ · importance ●●●● · 8 minutes
#
# Every result has its `settings`: a dictionary whose values are dictionaries (`recipe`, `config`, `data`) or plain values (`start`). Both dictionaries
# have the same fields. Return the *set* of the names of the fields that differ: `"recipe.epochs"` for a field of a dictionary inside, `"start"` for a plain value. If nothing differs, return an empty set.
#
# <details><summary>Hint</summary>
#
# `isinstance(value, dict)` tells you which of the two kinds a value is.
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
# When it works, use it on these three pairs. A careless table might contain all three comparisons, but one of them is not fair:
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
# The first pair differs in `temporal_depth` (it stands in the recipe and in the config), the third in `start`: one thing each, and it is the one in question. The second pair is the same model with five other settings: `data.clips` and
# four of the recipe (`epochs`, `batch`, `lr`, `lr_batch`). Together they are the budget: the full one against the short one. It does not compare models. And even the third has a difference that no setting shows: the image ViT was trained
# before, on single frames that the random arm never saw. A fair sentence mentions this.
#
# </details>
#
# ## What surprised people
#
# * **One seed is not enough.** Crops of 48 pixels reach 67.6 to 85.6 % with three seeds, on the same clips.
# * **A narrow range can be luck.** Model 2's three seeds on the short budget lie within half a point. The same model with one temporal block less
#   has a range of seven.
# * **More tokens can be worse.** Tubelets of one frame cost nearly twice as much as those of two, and reach a third of their accuracy in the same steps.
#
# ## Where next
#
# [08 Evaluation](08_evaluation.ipynb): more views, and what an accuracy hides. [07 Fine-tuning](07_fine_tuning.ipynb): the same recipe on your own clips.
# An ablation of your own is one `Arm` in [studies.py](../vivit_lab/lessons/studies.py) and one command.

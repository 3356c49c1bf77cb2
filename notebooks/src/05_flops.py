# %% [markdown]
# # 05 · What does it cost?
#
# Four models see one clip. Which of them costs most, how much more, and when does that change? This notebook counts the work of every part in
# three ways, which must agree. It compares the counts with the paper's table. Then it measures time and memory on this machine.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), section 3.3 and table 2 · about 3 minutes of computing on a laptop, 45 minutes with the
# exercises · works offline, without a GPU · before this: [03 Four models](03_four_models.ipynb) · words: [glossary](glossary.ipynb)

# %%
import inspect
import time

from vivit_lab import ViViTConfig, build_model
from vivit_lab.analysis import calibrate, cost, count_flops, measure_memory
from vivit_lab.analysis import flops as counting
from vivit_lab.data import sample
from vivit_lab.lessons.exercises import flops
from vivit_lab.video import VideoReader, test_clips
from vivit_lab.widgets import CostExplorer, film_strip
from vivit_lab.widgets.cost_explorer import ROWS, THICKNESS, CostState, flips

import matplotlib.pyplot as plt
import torch

# %% [markdown]
# ## Five models side by side
#
# A **MAC** is one multiply-accumulate: a product, added to a sum. The picture counts the MACs of one clip (G: 10⁹, T: 10¹²). It shows the four models, and *averaging*, the
# fifth row of the paper's Table 2: Model 2 without its temporal encoder, which takes the mean over the time steps instead. A bar is cut into the parts of the model.
# *Projections* are the linear maps to queries, keys and values, and back. *Attention* is only its own two products: queries with keys, and weights with values.
#
# **Predict first.** ViViT-B/16x2 sees 32 frames of 224 × 224 as 3,136 tokens. Of all the MACs in Model 1, what share are attention's own
# products: a tenth, two fifths, nine tenths?
#
# <details><summary>Then look</summary>
#
# Two fifths: 181 of 452 GMACs, about as much as the MLPs. It is the piece *joint attention* of the first bar.
#
# </details>

# %%
explorer = CostExplorer()
explorer.offer(
    {
        "1 · 16 frames": {"frames": 16},
        "1 · 2 frames": {"frames": 2},
        "2 · tubelets of 4 frames": {"frames": 32, "t": 4},
        "3 · naive counter": {"frames": 32, "t": 2, "counter": "naive counter"},
        "4 · fvcore": {"counter": "fvcore"},
        "4 · torch": {"counter": "torch"},
    }
)

# %% [markdown]
# Without a kernel you see a still picture. Run the cell to get the controls. Press a bar to make its model stand out. Press a point of a curve, or drag
# along its axis, to move the slider of that axis. (Attention over time is so little work that its piece of a bar is too thin to be seen.) Things to try:
# 1. Move **frames** from 32 to 16, then to 2. Which model costs most each time?
# 2. Press → on **tubelet t**. The number of tokens halves. Which bars halve too, and which one shrinks more?
# 3. Set **count by** to *naive counter*. Which model looks cheapest now?
# 4. Set **count by** to *fvcore* or *torch*. These two libraries watch the models run, so the picture changes only
#    when you let a slider go. Do the numbers change?
# 5. Press **Measure this machine**. The predicted times are now those of your machine.
# 6. Look at the curve of Model 1 over frames. Its pairs of tokens grow with the square of the frames. Why is the curve a straight line?
#
# <details><summary>What you should see</summary>
#
# 1\. Model 1 at 32 frames, Model 3 at 16 and at 2. 2. All but Model 1's halve; Model 1 shrinks more, because its pairs become a quarter.
# 3\. Model 1; more about this below. 4. No. 5. The ratios of the models change as well, if attention has another speed on your machine than
# assumed. 6. The picture draws MACs *a token*. A square divided by the number of tokens is a straight line.
#
# </details>
#
# ## One unit, said each time
#
# **1 MAC = 2 FLOPs.** The paper's tables say "GFLOPs", but the numbers are GMACs (of one view). This notebook counts in
# MACs and always says so.
#
# Here are eight of the 32 frames of such a clip:

# %%
with VideoReader(sample("rabbit")) as video:
    indices = test_clips(video.num_frames, clips=3, clip_frames=32, stride=2)[1]
    frames = video.read(indices, short_side=224)[..., 87:311]
film_strip({"32 frames of 224 × 224, every fourth shown": frames[::4]}, side=88)

# %% [markdown]
# *Picture: Big Buck Bunny, © 2008 Blender Foundation, CC BY 3.0.* And this is the work of Model 1 on the clip:

# %%
model_1 = ViViTConfig.preset("B/16x2", model="joint")
whole = count_flops(model_1, counter="closed_form")
for term in whole.terms:
    print(f"{term.part:16} {term.what:15} {term.formula:32} {term.macs / 1e9:7.2f} GMACs")
as_run = count_flops(model_1, counter="closed_form", as_run=True)
print(f"{'all of it':65} {whole.macs / 1e9:7.2f} GMACs")
print(f"{'as it runs':65} {as_run.macs / 1e9:7.2f} GMACs ({as_run.macs / whole.macs - 1:+.1%})")

# %% [markdown]
# That is all of Model 1: seven kinds of matrix product. *L* is the number of blocks, *N* the tokens with the class token, *D* the numbers of a token, *t* · *s*
# the tokens (time steps times places). The values of a tubelet are 3 colours × 2 × 16 × 16 = 1,536 numbers. *head* is the classifier. Only two terms have an *N*². The number of heads does not matter: with 12 heads each is a twelfth as wide.
#
# Why are there two totals? The classifier of Models 1 and 2 reads only the class token. So this package computes the last block for the class token alone (keys and values still for all tokens). The
# logits are the same, and the work is less. The paper counts whole blocks. So does this notebook, except where it says *as it runs* (and in the naive counter).
#
# ## Three counters, one answer
#
# A formula can be wrong, and a library can miss operations. So the package counts in three ways. The *closed form* is the formula above. **fvcore** is a library that traces
# the model. **torch** has a counter of its own, which watches the operations that are called. fvcore needs help: the package gives it a formula for fused attention
# (shown below). fvcore and torch run the real model, here with a whole last block. It runs on torch's *meta device*, where tensors have a shape and no numbers. So a count
# needs no memory and little time.

# %%
configs = {f"{name}: {what}": ViViTConfig.preset("B/16x2", **row) for row, name, what, _ in ROWS}
for name, config in configs.items():
    counts = [count_flops(config, counter=who) for who in ("closed_form", "fvcore", "torch")]
    same = counts[0].by_part == counts[1].by_part == counts[2].by_part
    gmacs = "  ".join(f"{count.macs / 1e9:.3f}" for count in counts)
    products = sum(macs for part, macs in counts[0].by_part.items() if "attention" in part)
    share = f"attention's products: {products / counts[0].macs:5.1%}"
    print(f"{name.split(':')[0]:10} {gmacs} GMACs  all parts equal: {same}  {share}")

# %% [markdown]
# ## The paper's Table 2, again
#
# **Predict first.** Model 3 has the most parameters and Model 2 the second most. Averaging has the fewest and Model 4 the second fewest. Does
# the number of parameters tell how much work a model does?
#
# <details><summary>Then look</summary>
#
# No. Model 2 has 26 million parameters more than Model 1, and much less work. The text below says why.
#
# </details>

# %%
REPORTED = (  # in the paper: GMACs (it writes GFLOPs), Kinetics-400, EPIC action, runtime
    (455.2, 80.0, 43.1, 58.9),
    (284.4, 78.8, 43.7, 17.4),
    (372.3, 77.4, 39.1, 31.7),
    (277.1, 76.3, 39.5, 22.9),
    (283.9, 75.8, 38.8, 17.9),
)
print(" " * 40, "    counted here        |          reported in the paper")
print(" " * 40, "parameters    GMACs     |  GMACs   apart   K400   EPIC      ms")
for (name, config), (gmacs, k400, epic, runtime) in zip(configs.items(), REPORTED, strict=True):
    count = count_flops(config)
    ours = f"{count.params:11,} {count.macs / 1e9:8.1f}"
    apart = f"{100 * (count.macs / 1e9 / gmacs - 1):+.1f} %"
    print(f"{name:40}{ours}     |  {gmacs}  {apart}  {k400}   {epic}   {runtime:5}")

# %%
one, two, three, _, average = (count_flops(config) for config in configs.values())
second = three.by_part["projections"] / 2 + three.by_part["temporal attention"]
for what, params, macs in (
    ("Model 2's temporal encoder", two.params - average.params, two.macs - average.macs),
    ("Model 3's second attention", three.params - one.params, second),
):
    print(f"{what}: {params / 1e6:.1f} M parameters, {macs / 1e9:.1f} GMACs")

# %% [markdown]
# The parameters are exactly those of the official code. The MACs are within 1 % of the paper's, and always below. The reason: the paper's figures come from the program
# that compiles the official code, and it also counts norms, softmax and GELU. (It counts FLOPs. The official code halves them, which gives MACs.) Accuracy (top-1, %; EPIC: of the action) and runtime (ms) are as reported in the paper; this notebook
# cannot check them.
#
# Why do parameters tell so little about the work? A weight is used once for every token. In a block of Model 1 that is 3,137 times a clip. Model 2's temporal
# encoder and Model 3's second attention have equally many parameters. But the temporal encoder sees 17 tokens (16 time steps and a class token), and the second attention sees
# all 3,136. So one costs almost nothing and the other costs much.
#
# Averaging saves only what the temporal encoder costs, and in the paper it loses 3 points on Kinetics-400 (75.8 against 78.8).
#
# ## A counter that does not see attention
#
# **Predict first.** Let fvcore count these five models without any help. Which one will it call the cheapest?
#
# <details><summary>Then look</summary>
#
# Model 1, the one that costs most when everything is counted.
#
# </details>

# %%
from fvcore.nn import FlopCountAnalysis

for name, config in configs.items():
    with torch.device("meta"):
        model = build_model(config).eval()
        clip = torch.empty(1, *config.clip_shape)
    analysis = FlopCountAnalysis(model, clip).tracer_warnings("none")
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    says, run = analysis.total(), count_flops(config, as_run=True).macs
    blind = count_flops(config, as_run=True, naive=True).macs
    parts = f"{run / 1e9:.1f} - attention {(run - blind) / 1e9:.1f}"
    print(f"{name:40} {says / 1e9:.1f} GMACs = {parts} + LayerNorm {(says - blind) / 1e9:.1f}")
one, four = (count_flops(c, naive=True).macs / 1e9 for c in list(configs.values())[:4:3])
print(f"whole blocks, without attention: Model 1 {one:.1f} GMACs, Model 4 {four:.1f} GMACs")

# %% [markdown]
# Each line says how fvcore's number comes about: the work of the model as it runs, without attention's own products, and with LayerNorm, which fvcore counts though it is no
# matrix product. A *fused* kernel computes attention in one operation, `scaled_dot_product_attention`. fvcore has no formula for this operation, so it counts nothing. It says
# so in a warning that is easy to switch off, as above. Without attention's products Models 1 and 4 have nearly the same work left. Model 1 comes out lowest because
# it computes its last block for the class token alone, and Model 4 does not.
#
# The counter needs a formula for the missing operation. This is all of it:

# %%
print(inspect.getsource(counting._fused_attention))

# %% [markdown]
# ## How the cost grows, and when the order changes
#
# **Predict first.** At 32 frames Model 1 costs 1.6 times as much as Model 2. At 64 frames: 1.6, 2.2 or 3.2 times?
#
# <details><summary>Then look</summary>
#
# 2.2 times. Twice the frames give twice the tokens. Everything but the pairs of tokens doubles. The pairs quadruple in Model 1. In Model 2 they double, because
# each time step attends to itself only.
#
# </details>

# %%
axes = {
    "frames": (2, 4, 8, 16, 18, 32, 64),
    "tubelet t": (1, 2, 4, 8, 16),
    "patch": (8, 14, 16, 28, 32, 56, 112),
    "image size": (64, 96, 160, 192, 224, 320),
}
fig, panels = plt.subplots(1, 4, figsize=(10.5, 2.9), facecolor="white", sharey=True)
for panel, (axis, values) in zip(panels, axes.items(), strict=True):
    states = [CostState().at(axis, value) for value in values]
    counts = [[count_flops(c, counter="closed_form").macs for c in s.configs()] for s in states]
    for i, (_, name, _, colour) in enumerate(ROWS):
        ratios = [each[i] / each[1] for each in counts]  # to Model 2
        wide = THICKNESS[i]
        style = {"color": colour, "lw": wide, "ls": "--" if name == "Model 4" else "-"}
        panel.plot([*map(str, values)], ratios, label=name, zorder=9 - wide, **style)
    panel.set(xlabel=axis)
panels[0].set_ylabel("MACs / those of Model 2")
fig.legend(*panels[0].get_legend_handles_labels(), frameon=False, ncols=5, loc="upper center")
fig.tight_layout(rect=(0, 0, 1, 0.92))

# %%
for frames_ in (32, 64):
    one, two, *_ = (count_flops(c).macs for c in CostState().at("frames", frames_).configs())
    print(f"{frames_} frames: Model 1 / Model 2 = {one / two:.1f}")
for axis in axes:
    for words in flips(CostState(axis=axis)):
        print(words)

# %% [markdown]
# The picture shows each model's MACs divided by those of Model 2. (The axes are not to scale.) Many lines are too close to read; the list tells where two models change places. *Model 1 above Model 3 from frames = 18* means: with 18
# frames or more Model 1 costs more MACs than Model 3. All other axes stay as in ViViT-B/16x2.
#
# So the order of the models is not fixed. Model 1 costs most with 18 frames or more. Model 3 costs most with 16 frames or fewer, and also with tubelets of 4 frames or more, patches of 28 to 56, or
# images of 160 or smaller. Then its second set of projections (4*D*² MACs for each token) costs more than the pairs that it saves. With 2 frames there is a single time step. Then there is
# nothing to factorise, and Model 1 costs less than Model 2. Model 1 also costs less than Model 2 where a time step has few places (patches of 56 or more, images of 64): the class token of each time step in Model 2, and
# its temporal encoder, are then a larger share. With patches of 112 (4 places and one class token) Model 2 costs most of all.
#
# ## Times the views
#
# The paper tests with 4 clips × 3 crops = 12 views of each video and averages their answers. But its table gives the cost of *one* view. The next table has four columns: 1 view, 4 views (4 clips of one crop), the paper's 12, and 30 (10 clips × 3 crops,
# as in SlowFast).

# %%
for name, config in configs.items():
    tmacs = [count_flops(config).macs * views / 1e12 for views in (1, 4, 12, 30)]
    text = "  ".join(f"{x:5.2f}" for x in tmacs)
    print(f"{name:40} {text} TMACs with 1, 4, 12, 30 views")

# %% [markdown]
# ## What is in memory
#
# **Predict first.** You train ViViT-B as Model 1 on one clip. Which takes most memory: the parameters, the moments of the optimiser (two running averages that AdamW keeps for each
# parameter), or the activations (results that the forward pass keeps for the backward pass)?
#
# <details><summary>Then look</summary>
#
# The activations. And they grow with the batch, the others do not.
#
# </details>

# %%
price = cost(model_1, training=True)
print(f"{price}\n")
for name, config in configs.items():
    price = cost(config, training=True)
    fixed, kept = price.parameter_bytes + price.optimiser_bytes, price.activation_bytes
    parts = f"parameters and optimiser {fixed / 1e9:.2f} + activations {kept / 1e9:.2f}"
    print(f"{name.split(':')[0]:9} {parts} = {(fixed + kept) / 1e9:.2f} GB", end="; ")
    print(f"memory in all: {price.total_bytes / 1e9:.2f} GB")

# %% [markdown]
# *Memory in all* is the most that is held at one moment. Here this is the start of the backward pass: all activations are there, and no gradient yet. The backward pass then makes the gradients one after the
# other and frees activations on its way. Model 2 needs more than Model 1 because it has more parameters. Models 3 and 4 keep more activations: a second attention in Model 3,
# both halves of the heads side by side in Model 4, and in both a whole last block.
#
# `cost` adds up what the code holds. `measure_memory` runs the code without numbers and watches every tensor from its start to its end. The next cell compares the two, without parameters and
# optimiser, in three kinds of training step: as usual; one that stores the attention weights; and one with **checkpointing** (and fused attention), which keeps only the input of each block and computes
# the rest again in the backward pass.

# %%
ways = {
    "fused attention": {},
    "explicit attention": {"explicit_attention": True},
    "checkpointing": {"checkpointing": True},
}
for name, way in ways.items():
    price = cost(model_1, training=True, **way)
    counted = price.total_bytes - price.parameter_bytes - price.optimiser_bytes
    watched = measure_memory(model_1, training=True, **way).peak
    apart = f"apart {counted / watched - 1:+.1%}"
    print(f"{name:19} counted {counted / 1e6:5.0f} MB  watched {watched / 1e6:5.0f} MB  {apart}")
one_map = 4 * model_1.heads * (model_1.tokens + 1) ** 2
print(f"maps of a block: {one_map / 1e6:.0f} MB; 13 sets: {13 * one_map / 1e6:.0f} MB")

# %% [markdown]
# Explicit attention takes as much more as 13 sets of maps. 11 of the 12 blocks keep theirs. (The last block has a single row, for the class token.) The backward pass of a block holds two more sets
# for a moment: the gradients before and after the softmax. With checkpointing the largest moment is the end of the backward pass: all gradients and one block. The count is too high by some per cent: it adds up the needs of one block as if all came at the same moment.
#
# Checkpointing costs one more forward pass. A training step takes the time of about three forward passes (the backward pass takes about two), so this is about a third more
# time.
#
# ## Do the measured times agree?
#
# MACs are not seconds. `calibrate` measures for two seconds how fast this machine does linear maps, attention, and element-wise work (norms, GELU, sums; they mostly read and write memory, so
# their speed is in bytes). Its last number is the time of a block with nearly nothing to compute. `cost` takes every kind of work at its own speed and adds up the times. To save time the models are small here:
# ViViT-S (half as wide as ViViT-B), 16 frames of 112 × 112.
#
# Other programs use the machine as well. So the next cell uses one core and *processor time*, which counts only while this program computes. In each of eight rounds all models run in turn, and each time is divided by
# that of Model 2 in the same round. The median of the rounds counts.
#
# **Predict first.** Here Model 3 has 1.4 times as many MACs as Model 2. Will it take 1.4 times as long? (Compare the first and the third number of Model 3 in the table.)

# %%
small = [ViViTConfig.preset("S/16x2", frames=16, image_size=112, **row) for row, *_ in ROWS]
networks = [build_model(config).eval() for config in small]
clip = torch.zeros(1, *small[0].clip_shape)


def processor_seconds(model):
    start = time.process_time()
    model(clip)
    return time.process_time() - start


torch.set_num_threads(1)
machine = calibrate()
with torch.inference_mode():
    rounds = [[processor_seconds(each) for each in networks] for _ in range(9)]
rounds = torch.tensor(rounds[1:])  # the first one warms up
print(machine)

# %%
gmacs = torch.tensor([count_flops(config, as_run=True).macs / 1e9 for config in small])
predicted = torch.tensor([cost(config, machine=machine).seconds for config in small])
kinds = {
    "MACs as it runs": gmacs / gmacs[1],
    "predicted time": predicted / predicted[1],
    "measured time": (rounds / rounds[:, 1:2]).median(dim=0).values,
}
print(f"{'divided by Model 2':19}", *(f"{name:>10}" for _, name, *_ in ROWS))
for kind, ratios in kinds.items():
    print(f"{kind:19}", *(f"{ratio:10.2f}" for ratio in ratios))
_, predicted, measured = kinds.values()
apart = 100 * (predicted / measured - 1)
print(f"{'predicted apart':19}", *(f"{each:+8.0f} %" for each in apart))
same = bool((predicted.argsort() == measured.argsort()).all())
print(f"Model 3 takes longest: {'yes' if measured.argmax() == 2 else 'no'}", end="; ")
print(f"all five in the predicted order: {'yes' if same else 'no'}")

# %%
fig, ax = plt.subplots(figsize=(8, 3.2), facecolor="white", layout="constrained")
for place, (kind, ratios) in enumerate(kinds.items()):
    places = [i + 0.27 * (place - 1) for i in range(5)]
    bars = ax.barh(places, ratios, 0.25, color=("#d8dce3", "#9aa3b2", "#2f6fed")[place], label=kind)
    ax.bar_label(bars, fmt=" %.2f", fontsize=8)
ax.set(yticks=range(5), yticklabels=[name for _, name, *_ in ROWS])
ax.set(title="each divided by that of Model 2")
ax.margins(x=0.1)
ax.invert_yaxis()
ax.spines[["top", "right"]].set_visible(False)
_ = fig.legend(frameon=False, ncols=3, loc="outside lower center")

# %% [markdown]
# The prediction is simple, and the line *predicted apart* says how good it is on this machine. Models whose ratios differ by less than the largest percentage in that line can come in another order than predicted. One
# reason for the differences: the speeds are measured with matrices as wide as ViViT-B's and with sequences of 196 tokens. Here the matrices are narrower, and the sequences are shorter (8 to 50 tokens) or, in
# Model 1, longer (393 tokens).
#
# ## Exercises
#
# Write in the cell, run it, and read what the check says. Each check knows the usual mistakes.
#
# ### 1 · MAC or FLOP?
# Difficulty ●○○○ · importance ●●●● · 3 minutes
#
# A linear layer takes each of `tokens` tokens from `wide_in` to `wide_out` numbers. How many MACs and how many FLOPs does it cost? Leave the bias out, as counters do. For 2
# tokens from 3 to 4 numbers the answer is `(24, 48)`.
#
# <details><summary>Hint</summary>
#
# Each output number is a sum of `wide_in` products.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def linear_cost(tokens: int, wide_in: int, wide_out: int) -> tuple[int, int]:
#     macs = tokens * wide_in * wide_out
#     return macs, 2 * macs
# ```
#
# </details>


# %%
def linear_cost(tokens: int, wide_in: int, wide_out: int) -> tuple[int, int]:
    """(MACs, FLOPs)."""
    ...  # your code


flops.linear_cost.check(linear_cost)

# %% [markdown]
# ### 2 · Who attends to whom, in MACs
# Difficulty ●●●○ · importance ●●●● · 10 minutes
#
# Count the MACs of attention's own two products (queries with keys, weights with values; no projections) in **one block**, all heads together. There are `t` time steps
# of `s` tokens, with `d` numbers each. `model` is 1, 2, 3 or 4. For Model 2 take a block of the spatial encoder, for all time steps. Models 1 and 2 have
# a class token in each of their sequences. Models 3 and 4 have none. For `attention_macs(3, 2, 3, 4)` the answer is 240: 2 sequences of 3 tokens and 3 of 2, so 30 pairs, 4 numbers, two products.
#
# <details><summary>Hint</summary>
#
# A sequence of N tokens has N · N pairs. Each pair takes d products, twice. How many sequences are there, and how long are they? Model 3 attends over space and over time with all heads.
# In Model 4 half of the heads, so half of d, attend over space, and the other half over time.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def attention_macs(model: int, t: int, s: int, d: int) -> int:
#     both_axes = t * s**2 + s * t**2
#     pairs = {1: (t * s + 1) ** 2, 2: t * (s + 1) ** 2, 3: both_axes, 4: both_axes / 2}
#     return int(2 * pairs[model] * d)
# ```
#
# </details>


# %%
def attention_macs(model: int, t: int, s: int, d: int) -> int:
    """MACs of queries with keys and of weights with values."""
    ...  # your code


flops.attention_macs.check(attention_macs)

# %% [markdown]
# ### 3 · When pairs cost more than the MLP
# Difficulty ●●○○ · importance ●●●○ · 5 minutes
#
# A sequence has N tokens of `d` numbers. The MLP has two layers: from `d` to `mlp_dim` numbers, and back. What is the smallest N at which attention's two products cost
# more MACs than the MLP?
#
# <details><summary>Hint</summary>
#
# Compare 2 · N² · d with N · (d · mlp_dim + mlp_dim · d).
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def attention_overtakes_mlp(d: int, mlp_dim: int) -> int:
#     return mlp_dim + 1
# ```
#
# </details>


# %%
def attention_overtakes_mlp(d: int, mlp_dim: int) -> int:
    """Tokens of one sequence."""
    ...  # your code


flops.attention_overtakes_mlp.check(attention_overtakes_mlp)

# %% [markdown]
# ### 4 · When Model 1 costs more than Model 3
# Difficulty ●●○○ · importance ●●●○ · 5 minutes
#
# In ViViT-B/16x2 this happens from 18 frames on. Now take **ViViT-L/16x2** at 224 × 224, whose tokens have 1,024 numbers. What is the smallest number of frames at which a clip costs more MACs in
# Model 1 than in Model 3? Count whole blocks, as the paper does. First guess: more than 18, or fewer? Then find it with `count_flops`, or with algebra.
#
# <details><summary>Hint</summary>
#
# Tubelets have 2 frames, so the frames go in steps of 2. With algebra, leave out what both models have. What is left for each token of a block: 2 · N · D in Model 1, and
# 4 · D² + 2 · (s + t) · D in Model 3.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def macs(model, frames):
#     config = ViViTConfig.preset("L/16x2", model=model, frames=frames)
#     return count_flops(config, counter="closed_form").macs
#
#
# model_1_overtakes = next(
#     n for n in range(2, 64, 2) if macs("joint", n) > macs("factorised_self_attention", n)
# )
# ```
#
# </details>

# %%
model_1_overtakes = ...  # your number of frames

flops.model_1_overtakes.check(model_1_overtakes)

# %% [markdown]
# ## What surprised people
#
# * **"GFLOPs" that are GMACs.** The paper's 455.2 GFLOPs are multiply-accumulates. Someone who counts products and sums says 910 GFLOPs.
# * **Attention's products are a small part of Models 2 to 4.** In Model 4 they are 2 % of the work. The rest is mostly projections and MLPs, which no
#   factorisation of attention makes smaller. To save more, use fewer tokens.
# * **Runtime is not MACs.** In the paper's own table Model 4 has the fewest MACs and takes 22.9 ms. Model 2 has a few more and takes 17.4 ms.
#   MACs leave out the moving of data, and into how many small operations the work is split.
#
# ## Where next
#
# [06 Inflation](06_inflation.ipynb): how the weights of an image model get into these video models. [04 Attention maps](04_attention_maps.ipynb)
# shows what all those pairs are for. The formulas are in [flops.py](../vivit_lab/analysis/flops.py), one line for each term; memory and time are in
# [cost.py](../vivit_lab/analysis/cost.py).

# %% [markdown]
# # 05 · What does it cost?
#
# Four models see one clip. Which of them costs most, how much more, and when does that change? This notebook counts the work of every part in
# three ways, which must agree, compares it with the paper's table, and then measures time and memory on this machine.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), section 3.3 and table 2 · about 3 minutes of computing on a laptop, 45 minutes with the
# exercises · works offline, without a GPU · before this: [02 Tokenisation](02_tokenisation.ipynb) · words: [glossary](glossary.ipynb)

# %%
import inspect

from vivit_lab import ViViTConfig, build_model
from vivit_lab.analysis import calibrate, cost, count_flops, measure_memory, measure_time
from vivit_lab.analysis import flops as counting
from vivit_lab.data import sample
from vivit_lab.lessons.exercises import flops
from vivit_lab.video import VideoReader, test_clips
from vivit_lab.widgets import CostExplorer, film_strip
from vivit_lab.widgets.cost_explorer import ROWS, CostState, flips

import matplotlib.pyplot as plt
import torch

# %% [markdown]
# ## Turn the dials
#
# **Predict first.** ViViT-B/16x2 sees 32 frames of 224 × 224 as 3,136 tokens. Of all the multiplications in Model 1, what share is
# attention looking at pairs of tokens: a tenth, two fifths, nine tenths?
#
# <details><summary>Then look</summary>
#
# Two fifths: 181 of 452 GMACs, about as much as the MLPs (178). The red piece of the first bar.
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
# Without a kernel you see a still; run the cell for the controls. Press a bar, and its model stands out; press a point of a curve, or drag
# along its axis, and the slider of that axis follows. Things to try:
# 1. Move **frames** from 32 to 16, then to 2. Where does Model 1 stop being the dearest? Which one takes over?
# 2. Press → on **tubelet t**. Tokens halve; which bars halve with them, and which one shrinks faster?
# 3. Set **count by** to *naive counter*. Attention vanishes, and Model 1 looks cheapest. More about that below.
# 4. Set **count by** to *fvcore* or *torch*: these libraries watch the models run, so the picture waits until you let go. Nothing changes.
# 5. **Measure this machine** replaces the assumed speed by yours. Is the predicted time what you expect?
# 6. The curve of Model 1 over frames is a straight line, though its pairs grow with the square of the frames. Why? Which quantity is drawn?
#
# ## One unit, said each time
#
# **1 MAC** is one multiply-accumulate: a product, added to a sum. **1 MAC = 2 FLOPs.** The paper's tables say "GFLOPs" and count MACs (of
# one view); so do many others, and many do not. Everything below is in MACs, and says so.
#
# What does looking at one such clip cost? Eight of its 32 frames:

# %%
with VideoReader(sample("rabbit")) as video:
    indices = test_clips(video.num_frames, clips=3, clip_frames=32, stride=2)[1]
    frames = video.read(indices, short_side=224)[..., 87:311]
film_strip({"32 frames of 224 × 224, every fourth shown": frames[::4]}, side=88)

# %% [markdown]
# *Picture: Big Buck Bunny, © 2008 Blender Foundation, CC BY 3.0.*

# %%
model_1 = ViViTConfig.preset("B/16x2", model="joint")
for term in count_flops(model_1, counter="closed_form").terms:
    print(f"{term.part:16} {term.what:15} {term.formula:28} {term.macs / 1e9:7.2f} GMACs")

# %% [markdown]
# That is all of Model 1: 7 kinds of matrix product. *L* blocks, *N* tokens with the class token, *D* numbers a token, *t* · *s* tokens.
# Only two terms have an *N*², and 12 heads or one make no difference: each head is a twelfth as wide.
#
# ## Three counters, one answer
#
# A formula can be wrong, and a library can miss operations. So the package counts three ways: the closed form above, **fvcore**, which traces the
# model, and **torch's** own counter, which watches operations being called. The last two run the real model on torch's *meta* device:
# shapes, but no numbers, so a count takes a tenth of a second.

# %%
configs = {f"{name}: {what}": ViViTConfig.preset("B/16x2", **row) for row, name, what, _ in ROWS}
for name, config in configs.items():
    counts = [count_flops(config, counter=who) for who in ("closed_form", "fvcore", "torch")]
    same = counts[0].by_part == counts[1].by_part == counts[2].by_part
    gmacs = "  ".join(f"{count.macs / 1e9:.3f}" for count in counts)
    print(f"{name:40} {gmacs} GMACs  all parts equal: {same}")

# %% [markdown]
# ## The paper's Table 2, again
#
# **Predict first.** Model 3 has the most parameters and Model 2 the second most; averaging has the fewest and Model 4 the second fewest. Does
# the number of parameters tell how much work a model does?

# %%
REPORTED = (  # in the paper: GMACs (it writes GFLOPs), Kinetics-400, EPIC action, runtime
    (455.2, 80.0, 43.1, 58.9),
    (284.4, 78.8, 43.7, 17.4),
    (372.3, 77.4, 39.1, 31.7),
    (277.1, 76.3, 39.5, 22.9),
    (283.9, 75.8, 38.8, 17.9),
)
print(" " * 40, "    counted here        |          reported in the paper")
print(" " * 40, "parameters    GMACs     |  GMACs   apart   K400   EPIC  runtime")
for (name, config), (gmacs, k400, epic, runtime) in zip(configs.items(), REPORTED, strict=True):
    count = count_flops(config)
    ours = f"{count.params:11,} {count.macs / 1e9:8.1f}"
    apart = f"{100 * (count.macs / 1e9 / gmacs - 1):+.1f} %"
    print(f"{name:40}{ours}     |  {gmacs}  {apart}  {k400}   {epic}   {runtime:5}")

# %% [markdown]
# Parameters are those of the official code, to the last one. The MACs are within 1 %, always below: the paper's figures also hold norms,
# softmax and GELU, as the compiler of the official code counts them. Accuracy (top-1, %) and runtime (ms) are as reported in the paper;
# this notebook cannot check them.
#
# Parameters say little about the work. A weight is used once for every token: 3,137 times a clip in a block of Model 1. Model 2's four extra
# blocks (28 M parameters) see 17 tokens each and cost 0.5 GMACs; Model 3's second attention (28 M as well) sees all tokens and costs 90.
#
# Averaging over time (the last row) is cheaper by 0.5 GMACs than a temporal encoder, and in the paper it loses 3 points on Kinetics-400. The
# temporal encoder is the part of the table that gains most for its cost.
#
# ## The counter that does not see
#
# **Predict first.** Point fvcore at these five models without any help. Which one will it call the cheapest?

# %%
from fvcore.nn import FlopCountAnalysis

for name, config in configs.items():
    with torch.device("meta"):
        model = build_model(config).eval()
        clip = torch.empty(1, *config.clip_shape)
    analysis = FlopCountAnalysis(model, clip).tracer_warnings("none")
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    gmacs = analysis.total() / 1e9
    missed = analysis.unsupported_ops()["aten::scaled_dot_product_attention"]
    print(f"{name:40} {gmacs:.1f} GMACs?  fused attentions overlooked: {missed}")

# %% [markdown]
# Model 1. Its 181 GMACs of attention happen inside one operation, `scaled_dot_product_attention`, for which fvcore has no formula, so it
# counts nothing (and says so in a warning that is easy to switch off, as above). Tables in papers and READMEs have been made this way.
#
# (Two details. fvcore adds 0.3 GMACs of LayerNorm, which are no products. And this package computes the last block of Models 1 and 2 for the
# class token only, since the classifier reads nothing else: the logits are the same, and the work is 7 % less. fvcore counts what runs. The table above counts the whole
# block, as the paper does; `count_flops(config, as_run=True)` counts what runs.)
#
# So the counter needs a formula for the missing operation. This is all of it:

# %%
print(inspect.getsource(counting._fused_attention))

# %% [markdown]
# ## How it grows, and where the order of the models changes
#
# **Predict first.** At 32 frames Model 1 costs 1.6 times as much as Model 2. At 64 frames: 1.6, 2.2 or 3.2 times?

# %%
axes = {
    "frames": (8, 16, 24, 32, 48, 64),
    "tubelet t": (1, 2, 4, 8),
    "image size": (112, 160, 192, 224, 256, 320),
}
fig, panels = plt.subplots(1, 3, figsize=(10, 2.9), facecolor="white")
for panel, (axis, values) in zip(panels, axes.items(), strict=True):
    states = [CostState().at(axis, value) for value in values]
    for i, (_, name, _, colour) in enumerate(ROWS):
        counts = [count_flops(s.configs()[i], counter="closed_form").macs / 1e9 for s in states]
        panel.plot(values, counts, ".-", color=colour, label=name)
    panel.set(xlabel=axis, ylabel="GMACs of a clip", ylim=0)
panels[0].legend(frameon=False, fontsize=8)
fig.tight_layout()

# %%
for axis in ("frames", "tubelet t", "patch", "image size"):
    for words in flips(CostState(axis=axis)):
        print(words)

# %% [markdown]
# At 64 frames it is 2.2 times. Twice the frames are twice the tokens: all but the pairs doubles, and in Model 1 the pairs quadruple.
# In Model 2 they double too, because every frame attends to itself.
#
# The order of the models is not fixed. Model 1 costs most from 18 frames on; with 16, or with tubelets of 4 frames, or patches of 28, or
# images of 160, Model 3 is, because its second set of projections (4*D*² a token) costs more than the pairs that it saves. And with so few tokens
# that there is only one time step, factorising saves nothing at all.
#
# ## Times the views
#
# The paper tests with 4 clips × 3 crops = 12 views of each video and averages. Its table shows the cost of *one*.

# %%
for name, config in configs.items():
    tmacs = [count_flops(config).macs * views / 1e12 for views in (1, 4, 12, 30)]
    text = "  ".join(f"{x:5.2f}" for x in tmacs)
    print(f"{name:40} {text} TMACs with 1, 4, 12, 30 views")

# %% [markdown]
# ## What is in memory
#
# **Predict first.** To train ViViT-B as Model 1 on one clip, which is the largest: the parameters, the optimiser's moments, or the
# activations that wait for the backward pass?

# %%
price = cost(model_1, training=True)
print(price)

# %% [markdown]
# The activations, and they grow with the batch. `cost` adds up what the code holds at once; `measure_memory` runs the code without
# numbers and watches every tensor come and go. Here is the part that differs between a plain step, one that holds the attention weights,
# and one that keeps only each block's input and computes the rest again (*checkpointing*):

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
    print(
        f"{name:19} counted {counted / 1e6:6.0f} MB  watched {watched / 1e6:6.0f} MB  apart {counted / watched - 1:+.1%}"
    )

# %% [markdown]
# An attention map of Model 1 has 12 · 3,137² numbers, and there is one in each block: without a fused kernel they take more than everything else
# together. The next lever is checkpointing: one more forward pass, a third more time.
#
# ## Do the measured times agree?
#
# MACs are not seconds. `calibrate` measures for two seconds how fast this machine does linear maps, attention and element-wise work, and
# `cost` adds up every kind of work at its own rate. Then the models run in turn, and each prediction is compared with the measured time. To
# stay within the minutes promised, the models are smaller: ViViT-S, 16 frames of 112 × 112. They run on one core, because several cores wait
# for each other whenever the machine has something else to do.
#
# **Predict first.** Here Model 3 has 11.5 GMACs to do as it runs, Model 2 8.4. Will it take 1.4 times as long?

# %%
small = [ViViTConfig.preset("S/16x2", frames=16, image_size=112, **row) for row, *_ in ROWS]
torch.set_num_threads(1)
machine = calibrate()
predicted = [cost(config, machine=machine).seconds for config in small]
measured = measure_time(*small, repeats=5)
for (_, name, _, _), p, m in zip(ROWS, predicted, measured, strict=True):
    print(f"{name:10} predicted {1000 * p:.0f} ms, measured {1000 * m:.0f} ms")

# %%
fig, ax = plt.subplots(figsize=(8, 3), facecolor="white")
for shift, name, seconds in ((-0.2, "predicted", predicted), (0.2, "measured", measured)):
    places, milliseconds = [i + shift for i in range(5)], [1000 * s for s in seconds]
    bars = ax.barh(
        places, milliseconds, 0.36, color="#b9c2d0" if shift < 0 else "#2f6fed", label=name
    )
errors = [f" prediction {p / m - 1:+.0%}" for p, m in zip(predicted, measured, strict=True)]
ax.bar_label(bars, errors, fontsize=9)
ax.set(yticks=range(5), yticklabels=[name for _, name, *_ in ROWS], xlabel="ms for one clip")
ax.set(xlim=(0, 1400 * max(measured)), title=f"{machine.linear / 1e9:.0f} GMAC/s in linear maps")
ax.invert_yaxis()
_ = ax.legend(frameon=False, loc="lower right")

# %% [markdown]
# A prediction within a quarter is a good one: other programs, caches and the processor's clock move the measured times by that much from one
# run to the next. The order of the models is what to trust. Where it goes wrong systematically is instructive too: the rates were measured with
# matrices as wide as ViViT-B's, and narrower ones (ViViT-S, ViViT-Ti) run slower; so do short sequences (Model 3's 8 time steps).
#
# ## Exercises
#
# ### 1 · MAC or FLOP?
# Difficulty ●○○○ · importance ●●●● · 3 minutes
#
# A linear layer with bias takes each of `tokens` tokens from `wide_in` to `wide_out` numbers. How many MACs and how many FLOPs do its
# products cost, as counters count?
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
# ### 2 · Who looks at whom, in MACs
# Difficulty ●●●○ · importance ●●●● · 10 minutes
#
# MACs of attention's own two products (q with k, the weights with v; no projections) in **one block**, all heads together, for `t` time steps
# of `s` tokens, `d` numbers each. `model` is 1, 2, 3 or 4; for Model 2 a block of the spatial encoder, all time steps. Models 1 and 2 have
# a class token in each of their sequences, Models 3 and 4 have none.
#
# <details><summary>Hint</summary>
#
# A sequence of N tokens: N · N pairs, d products for each, twice. How many sequences are there, and how long? In Model 4, half of the heads, so
# half of d, do each of Model 3's two jobs.
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
    """MACs of q with k and of the weights with v."""
    ...  # your code


flops.attention_macs.check(attention_macs)

# %% [markdown]
# ### 3 · When pairs cost more than the MLP
# Difficulty ●●○○ · importance ●●●○ · 5 minutes
#
# One sequence of N tokens, `d` numbers each; the MLP has a hidden layer of `mlp_dim`. What is the smallest N at which attention's two products cost
# more MACs than the MLP?
#
# <details><summary>Hint</summary>
#
# Set 2 · N² · d against N · (d · mlp_dim + mlp_dim · d).
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
# ### 4 · When Model 1 becomes the dearest
# Difficulty ●●○○ · importance ●●●○ · 5 minutes
#
# ViViT-B/16x2 at 224 × 224: what is the smallest number of frames at which a clip costs more MACs in Model 1 than in Model 3? Find it with
# `count_flops`, or with algebra.
#
# <details><summary>Hint</summary>
#
# Tubelets have 2 frames, so frames go in steps of 2. By algebra, a token: 2 · N · D in Model 1 against 4 · D² + 2 · (s + t) · D in Model 3.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def macs(model, frames):
#     config = ViViTConfig.preset("B/16x2", model=model, frames=frames)
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
# * **"GFLOPs" that are GMACs.** The paper's 455.2 GFLOPs are multiply-accumulates: 910 GFLOP to somebody who counts sums as well. Check the
#   unit before you compare two papers.
# * **A counter can miss work.** A fast kernel does many operations in one call, and the counter sees only the call. If a count says that
#   joint attention over 3,137 tokens is the cheapest of all, trust the formula.
# * **Factorising is not always cheaper.** Up to 16 frames Model 3 costs more than Model 1.
# * **The dot products of Models 2 to 4 hardly count.** In Model 4 they are 2 % of the work; the rest are projections and MLPs, which no
#   factorisation of attention touches. The next saving has to be fewer tokens.
# * **Runtime is not MACs.** In the paper's own table (reported there) Model 4 has the fewest MACs and takes 22.9 ms, Model 2 with a few more takes 17.4.
#
# ## Where next
#
# [06 Inflation](06_inflation.ipynb): how an image model's weights get into these video models. [04 Attention maps](04_attention_maps.ipynb)
# shows what all those pairs are for. The formulas are in [flops.py](../vivit_lab/analysis/flops.py), one line a term; memory and time in
# [cost.py](../vivit_lab/analysis/cost.py).

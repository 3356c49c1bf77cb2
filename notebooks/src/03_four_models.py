# %% [markdown]
# # 03 · Four models: who may look at whom?
#
# In a transformer every token may look at every other one, and pays for it. A clip has so many tokens that the paper proposes four
# ways to look at fewer. They are the heart of ViViT. This notebook shows all four as pictures, as formulas and as code, explains
# the hardest of them slowly, and then lets them race.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), section 3.3 (equations 1 to 7) · about 2 minutes of computing on a laptop, an hour
# with the exercises · works offline, without a GPU · before this: [02 Tokenisation](02_tokenisation.ipynb) · words: [glossary](glossary.ipynb)

# %%
import inspect
import textwrap

from vivit_lab import ViViTConfig, build_model
from vivit_lab.data import ArrowOfTime
from vivit_lab.lessons.exercises import four_models
from vivit_lab.lessons.exercises.four_models import MixingModel2, small_clips, small_model_2
from vivit_lab.lessons.studies import Spread, find_arm, load_results, train_arm
from vivit_lab.models import MODELS, dot_product_attention
from vivit_lab.models.layers import FactorisedDotProductAttention, FactorisedSelfAttentionBlock
from vivit_lab.models.vivit import FactorisedEncoder, JointSpaceTime
from vivit_lab.training import evaluate
from vivit_lab.video import normalise
from vivit_lab.widgets import HalfHeadsStepper, PatternExplorer, film_strip
from vivit_lab.widgets.pattern_explorer import pairs, pattern

import matplotlib.pyplot as plt
import torch
from einops import rearrange

# %% [markdown]
# ## Ask one token
#
# Each frame below stands for one time step. One token asks, the yellow one. Which tokens does it look at?
#
# **Predict first.** Model 4 lets half of its heads look over space and the other half over time. After one block, what has our token heard
# of a token in another frame and at another place? And after two blocks?
#
# <details><summary>Then look</summary>
#
# Nothing after one block: the two halves look at the same moment, from the same start, and their union is a frame and a line through time.
# Everything after two: whoever our token looks at in the second block has looked around in the first.
#
# </details>

# %%
explorer = PatternExplorer("rabbit", frames=8, stage="1 block").offer(
    {
        "1 · over space": {"stage": "space"},
        "1 · twelve blocks": {"stage": "12 blocks"},
        "2 · over time": {"stage": "time"},
        "3 · a class token asks": {"query": "cls"},
        "4 · time, then space": {"order": "time_space", "stage": "space"},
        "5 · ViViT-B/16x2": {"frames": 32, "t": 2, "patch": 16},
    }
)
explorer

# %% [markdown]
# *Picture: Big Buck Bunny, © 2008 Blender Foundation, CC BY 3.0.* Without a kernel you see a still; run the cell for the sliders
# (and choose another clip, or your own video by path or upload). Press any token of any model, and it asks; point at one, and read how each model
# sees it.
#
# Things to try:
# 1. Move **stage** from *space* to *12 blocks*. How many blocks until everybody is reached? Does Model 2's spatial encoder ever get there?
# 2. At *time*, look at Model 2. What asks there is no token of the clip any more.
# 3. Let **a class token** ask: press one. Which models have none?
# 4. At *space* and at *time*, turn **Model 3** round: *time, then space*. What is violet now, and why?
# 5. 32 frames, tubelet 2, patch 16 is ViViT-B/16x2 of the paper. Watch the shares on the right of each model.
#
# A picture can be wrong. The gradient cannot: if a token's numbers depend on another token, the gradient to it is not zero.


# %%
def depends_on(model, step, place, blocks):
    """The tokens that one token's numbers depend on after some blocks, (t, s), from gradients."""
    config = model.config
    x = torch.randn(1, config.temporal_tokens, config.spatial_tokens, config.dim).double()
    y = x.requires_grad_()
    for block in model.blocks[:blocks]:
        y, _ = block(y)
    y[0, step, place].square().sum().backward()
    return x.grad[0].abs().amax(dim=-1) > 1e-12


# %%
TINY = {
    "frames": 8, "image_size": 32, "tubelet": (2, 8, 8), "dim": 64, "depth": 3, "heads": 4, "mlp_dim": 128,
}  # fmt: skip
for name in ("factorised_self_attention", "factorised_dot_product"):
    model = build_model(ViViTConfig(model=name, **TINY)).double().eval()
    for blocks, stage in ((1, "1 block"), (2, "2 blocks")):
        found = depends_on(model, 1, 5, blocks)
        drawn = pattern(model.config, stage, (1, 5)).reached.tokens
        same = (found.numpy() == drawn).all()
        print(f"{MODELS[name]}, {stage}: {found.sum()} of {found.numel()} tokens, as drawn: {same}")

# %% [markdown]
# ## What the pairs cost
#
# Attention compares queries with keys, pair by pair. Section 3.3 gives each model's number of pairs as a formula. With the numbers of
# ViViT-B/16x2, that is $n_t$ = 16 time steps of $n_h \cdot n_w$ = 14 · 14 places:
#
# **Predict first.** For Models 2, 3 and 4 the paper writes the same $(n_h \cdot n_w)^2 + n_t^2$. Do they compare the same number of pairs?
#
# <details><summary>Then look</summary>
#
# No. The formula counts *one* sequence along each axis. But every time step is a sequence over space, and in Models 3 and 4 every place is a
# sequence over time. Model 2 has a single sequence over time, of one token a step. Model 4 has both kinds, but gives each only half of the heads.
#
# </details>

# %%
print(f"{'':9}{'as the paper writes it':>42}      counted exactly, one block")
for name in MODELS:
    found = pairs(ViViTConfig.preset("B/16x2", model=name))
    paper = f"{found.paper} = {found.paper_numbers} = {found.paper_value:,}"
    exact = f"{found.exact} = {found.exact_numbers} = {found.value:,}"
    print(f"{MODELS[name].split(':')[0]:9}{paper:>42}      {exact}")

# %% [markdown]
# (Model 2's line is one block of each encoder. The 1 that is added is the class token.) The paper's formula says which axes are squared, not how
# many sequences there are, so it hides the growth: with twice the frames it hardly moves, from 38,672 to 39,440. Counted exactly, twice the frames
# are four times the pairs in Model 1, and about twice in the others. What all of it costs in the end, projections and MLPs included, is
# [notebook 05](05_flops.ipynb).
#
# ## Each model on one screen
#
# ### Model 1: everybody at once
#
# Flatten time and space, put a class token first, add positions, and it is an image ViT with more tokens.


# %%
def show(*functions):
    """Print the source of some functions."""
    for function in functions:
        print(textwrap.dedent(inspect.getsource(function)))


show(JointSpaceTime.encode)

# %% [markdown]
# Equations 1 to 3 of the paper, beside the lines that compute them, for a clip of $N$ tokens of $D$ numbers:
#
# | equation | code | shape |
# |---|---|---|
# | (1) $z^0 = [z_{cls}, E x_1, \dots, E x_N] + p$ | `prepend(self.cls_token, x)`, then `x + self.pos_embed` | $(B, 1 + N, D)$ |
# | (2) $y^\ell = \mathrm{MSA}(\mathrm{LN}(z^\ell)) + z^\ell$ | `x + self.attn(self.norm1(x))`, in `Block` | $(B, 1 + N, D)$ |
# | (3) $z^{\ell+1} = \mathrm{MLP}(\mathrm{LN}(y^\ell)) + y^\ell$ | `x + self.mlp(self.norm2(x))`, in `Block` | $(B, 1 + N, D)$ |
#
# The classifier reads $z_{cls}$ after the last block and one more norm. The same on one small clip, step by step:

# %%
torch.manual_seed(0)
model = build_model(ViViTConfig(**TINY)).eval()
with torch.no_grad():
    x = model.patch_embed(torch.zeros(1, *model.config.clip_shape))
    print("tokens                   ", tuple(x.shape), "(B, t, s, D)")
    x = torch.cat([model.cls_token, x.flatten(1, 2)], dim=1)
    print("one sequence, with cls   ", tuple(x.shape), "(B, 1 + N, D)")
    x = x + model.pos_embed  # eq. 1
    y = x + model.blocks[0].attn(model.blocks[0].norm1(x))[0]  # eq. 2
    z = y + model.blocks[0].mlp(model.blocks[0].norm2(y))  # eq. 3
    print("after the first block    ", tuple(z.shape), "the package's block agrees:", end=" ")
    print(torch.allclose(z, model.blocks[0](x)[0], atol=1e-5))
    print("what the classifier reads", tuple(model.norm(z)[:, 0].shape), "(B, D)")

# %% [markdown]
# ### Model 2: two encoders, one after the other
#
# The spatial encoder never mixes time steps: in its tensors *t* rides along beside the batch. Each time step leaves it as a single token, and
# the temporal encoder takes it from there.

# %%
show(FactorisedEncoder.encode)

# %% [markdown]
# **Predict first.** How many class tokens does Model 2 have as parameters, how many in a clip of 4 time steps? Which one does the classifier read?
#
# <details><summary>Then look</summary>
#
# Two as parameters. In the clip the first stands before each of the 4 time steps, the second before the 4 tokens that come of them: 5 in all.
# The classifier reads the last one.
#
# </details>

# %%
torch.manual_seed(0)
clips = ArrowOfTime(64, frames=8, image_size=32)
clip = normalise(clips[0][0])[None]  # (1, T, C, H, W), in [-1, 1]
model = build_model(ViViTConfig(model="factorised_encoder", temporal_depth=2, **TINY)).eval()
for part in ("cls_token", "pos_embed", "temporal_cls_token", "temporal_pos_embed"):
    print(f"{part:20}{tuple(getattr(model, part).shape)}")
with torch.no_grad():
    for i, maps in enumerate(model(clip, return_attention=True)[1]):
        print(f"block {i}:", {axis: tuple(weights.shape) for axis, weights in maps.items()})

# %% [markdown]
# 17 = 16 places and a class token, four times; 5 = 4 time steps and a class token, once. This is *late fusion*: until the last blocks, time
# steps know nothing of each other.
#
# ### Model 3: two attentions in every block
#
# Space, then time, then the MLP:
#
# | equation | code | attention runs over |
# |---|---|---|
# | (4) $y_s = \mathrm{MSA}(\mathrm{LN}(z_s)) + z_s$ | `attend_space` | the $s$ tokens of a time step, $B \cdot t$ times |
# | (5) $y_t = \mathrm{MSA}(\mathrm{LN}(y_s)) + y_s$ | `attend_time` | the $t$ tokens of a place, $B \cdot s$ times |
# | (6) $z' = \mathrm{MLP}(\mathrm{LN}(y_t)) + y_t$ | the last line of `forward` | none: a token at a time |
#
# Look for the three residuals, and for the two transposes that turn attention over
# space into attention over time.

# %%
show(
    FactorisedSelfAttentionBlock.attend_space,
    FactorisedSelfAttentionBlock.attend_time,
    FactorisedSelfAttentionBlock.forward,
)

# %% [markdown]
# The paper tried time before space as well, and reports that the order makes no difference to accuracy. It does make a difference to the function:

# %%
torch.manual_seed(0)
fields = {"model": "factorised_self_attention", **TINY}
space_time = build_model(ViViTConfig(**fields)).eval()
time_space = build_model(ViViTConfig(**fields, attention_order="time_space")).eval()
time_space.load_state_dict(space_time.state_dict())  # every weight the same
with torch.no_grad():
    a, b = (model.encode(clip, False)[0] for model in (space_time, time_space))
print(f"same weights, other order: features {(a - b).norm() / a.norm():.0%} apart")

# %% [markdown]
# Same weights, same cost, same reach, another function. Trained, either order does as well; [notebook 09](09_ablations.ipynb) tries it.
#
# There is no class token in Models 3 and 4. It would belong to no frame and no place, so no attention over space or over time would have
# room for it. The classifier reads the mean of all tokens instead.
#
# ### Model 4: two kinds of heads
#
# One attention in each block, with the parameters of Model 1. Half of the heads see the token's own frame, the other half its own place at
# all times. This is all of it:

# %%
show(FactorisedDotProductAttention.forward)

# %% [markdown]
# `attend` is equation 7 for either half, at one go or step by step:

# %%
print(inspect.getsource(dot_product_attention).split('"""')[2])

# %% [markdown]
# ## Model 4, slowly
#
# Those few lines are what readers of the paper find the hardest. So here they are one at a time, for one token of one clip, with the numbers
# that a small trained Model 4 really computes. Press **Next**, a box of the map at the top, or ▶ to see all steps one after the other. The map lights
# what is being explained; the line at the bottom is the package's. Point at any number to read it exactly.
#
# **Predict first.** Over time our token has 4 keys, over space 36. What are the shapes of the two weight tensors?
#
# <details><summary>Then look</summary>
#
# Over space (t, heads/2, s, s), over time (s, heads/2, t, t): what attention does not run over is a batch axis. Steps 6 and 9.
#
# </details>

# %%
stepper = HalfHeadsStepper("moves right").offer(
    {
        "1 · from the start": {"step": 1},
        "2 · step 6": {"step": 6},
        "3 · step 9": {"step": 9},
        "4 · step 5": {"step": 5},
        "4 · step 8": {"step": 8},
    }
)
stepper

# %% [markdown]
# Things to try:
# 1. Go through it once with **Next**. At which step does Model 4 part from Model 1?
# 2. At step 6 press one token after the other. Do the two heads look at the same places?
# 3. At step 9 take a calculator, and check one row.
# 4. At steps 5 and 8 compare the shapes: which axis is the batch axis?
#
# ## A race in which only order counts
#
# *Arrow of Time* is a set of clips that we render. Four properties of one shape can change: its place, its angle, its size, its colour. In
# every clip one of them runs round a circle at constant speed, forwards or backwards, from a random start; the other three stand still at
# random values. That makes eight classes in four pairs, and each class is its partner played backwards: **moves right** and **moves left**,
# **turns clockwise** and **turns anticlockwise**, **grows** and **shrinks**, **red, green, blue** and **blue, green, red**. A circle has no end:
# what leaves the picture on one side comes in on the other, and after the largest size comes the smallest. One clip of each pair:

# %%
film_strip(
    {f"{clips.classes[n]}, backwards {clips.classes[n ^ 1]}": clips[n][0] for n in (0, 2, 4, 6)},
    side=46,
)

# %% [markdown]
# Now one clip, the same clip backwards, and the same frames shuffled:


# %%
def rows(number):
    """A clip, the same frames backwards, and shuffled."""
    clip, label = clips[number]
    order = torch.randperm(len(clip), generator=torch.Generator().manual_seed(1))
    name, partner = clips.classes[label], clips.classes[label ^ 1]
    return {name: clip, f"backwards: {partner}": clip.flip(0), "shuffled: ?": clip[order]}


film_strip(rows(8), side=46)

# %% [markdown]
# A single frame says nothing about the class, because every property is equally likely to have any value at any moment, whatever the class. So it
# cannot beat chance, one in eight. A *bag* of frames, without their order, can see which property changes and so name the pair. But a clip and
# its partner are made of the same frames, so it has to toss a coin between them: 50 %. Both bounds hold by construction.
#
# The contestants see 8 frames of 32 × 32 and have 3 blocks of 64 numbers a token:
# * **One frame** goes through a ViT; the others are not seen.
# * **Bag of frames** is Model 2, trained and tested on clips whose frames are shuffled.
# * **Average pooling of frames** is Model 2 without its temporal encoder: a ViT on each frame, and the mean of what it says.
# * **Average pooling of 2-frame tubelets** is the same, but its tokens are 2 frames deep. This is the baseline of the paper's Table 2.
# * **Models 1 to 4** have 2-frame tubelets too.
#
# All learn from as many clips, by the recipe `cpu_tiny`. The first three do so in batches twice as large, and with a head start, the weights of a small
# image ViT; the others begin with random ones.
#
# **Predict first.** Which of them stay below 50 %? In particular: average pooling over tubelets throws the order of its time steps away, just as
# average pooling over frames does. Does the bound of the bag hold for it?
#
# <details><summary>Then look</summary>
#
# The bound holds for the first three only. A tubelet of 2 frames is not a frame: it holds a small piece of order in itself.
#
# </details>

# %%
results = {}
for result in load_results("four_models"):
    results.setdefault(result.arm, []).append(result)
TITLES = {name: find_arm("four_models", name).title for name in results}
SHORT = [title.partition(":")[0].partition(" (")[0] for title in TITLES.values()]

# an "arm" is one of the contestants, with everything that was fixed for it; "spread" is what its seeds
# reach: the mean, the lowest and the highest
print(f"{'':38}{'right, of unseen clips':24}seeds  parameters   MMACs  start, epochs x batch")
for name, found in results.items():
    spread, first = Spread.of([result.top1 for result in found]), found[0]
    cost = f"{first.params:12,}{first.macs / 1e6:8.1f}"
    recipes = [result.settings["recipe"] for result in found]
    start = find_arm("four_models", name).start.split("_central")[0].replace("_", " ")
    learnt = sorted({f"{recipe['epochs']} x {recipe['batch']}" for recipe in recipes})
    print(f"{TITLES[name]:38}{spread!s:24}{len(found):5}{cost}  {start}, {' or '.join(learnt)}")

# %% [markdown]
# (Mean over the seeds, then the lowest and the highest, on 1,024 clips that nobody was trained on. Of so many coin tosses 50 % come out right, give or take 1.6 points, one standard deviation.)


# %%
def dots(panel, results, field):
    """Every run as a dot, a line from the lowest to the highest, and the two bounds."""
    for x, words in ((1 / 8, "chance"), (1 / 2, "a bag's best")):
        panel.axvline(100 * x, color="#b9c2d0", lw=1)
        panel.annotate(
            words, (100 * x, -0.6), (0, 3), textcoords="offset points", ha="center", fontsize=8
        )
    for y, found in enumerate(results.values()):
        shares = [100 * getattr(result, field) for result in found]
        panel.plot([min(shares), max(shares)], [y, y], color="#2f6fed", lw=3, alpha=0.35)
        panel.plot(shares, [y] * len(shares), "o", color="#2f6fed", ms=5, alpha=0.8)
    panel.set(xlim=(-4, 104), ylim=(len(results) - 0.4, -0.6), xticks=range(0, 101, 25))
    panel.set(yticks=range(len(results)), yticklabels=SHORT)


# %%
fig, panel = plt.subplots(figsize=(6.4, 2.4), facecolor="white", dpi=72)
dots(panel, results, "top1")
_ = panel.set_xlabel("% right, of clips never trained on; one dot a seed")

# %% [markdown]
# Why does average pooling of frames not come near the bound, where the bag has half a chance? By construction a frame looks alike in every class. So any
# feature of single frames has the same mean in every class, and a *linear* classifier on the mean of features finds next to nothing to hold on to. The bag
# has a transformer over its frames, which can compare them.
#
# ## Train one yourself
#
# The cell below trains, now, from random weights. One name is in the list; put in others from the table, or all of them (`tuple(results)`):
# each takes at most a minute on two idle cores, and then you have your own fourth seed.

# %%
LIVE = ("factorised_encoder",)
SEED = 3  # one that is not in the table

live = {name: train_arm(find_arm("four_models", name), seed=SEED) for name in LIVE}
for name, result in live.items():
    words = f"{100 * result.top1:.1f} % right, trained in {result.seconds:.0f} s"
    print(f"{TITLES[name]}, seed {SEED}: {words}")


# %%
def draw_curve(panel, result, *style, **look):
    """Accuracy in training against the clips seen."""
    seen = [point["clips"] / 1000 for point in result.curve]
    panel.plot(seen, [100 * point["accuracy"] for point in result.curve], *style, **look)


fig, panel = plt.subplots(figsize=(6.4, 2.2), facecolor="white", dpi=72)
for name, result in live.items():
    for stored in results[name]:
        draw_curve(panel, stored, color="#b9c2d0", lw=1)
    draw_curve(panel, result, lw=2, label=f"yours: {TITLES[name]}")
panel.set(xlabel="thousand clips seen (grey: the stored seeds)", ylabel="% right", ylim=(0, 102))
_ = panel.legend(frameon=False, fontsize=8, loc="lower right")

# %% [markdown]
# Look for a plateau near 87.5 %. There a model knows all classes but one pair, whose direction it still tosses a coin for: (6 + 1) / 8. Many runs
# cross it so fast that it hardly shows; others wait there for a while, and now and then one waits to the end.
#
# ## Who notices?
#
# Now the trained models are tested again, on the same clips with their frames in another order. The labels stay.
#
# **Predict first.** The frames are shuffled: what is left of Model 2? The frames come backwards: who is at 0 %, and who does not notice at all?
#
# <details><summary>Then look</summary>
#
# Backwards, a clip *is* a clip of the partner class. Whoever reads order gives the partner's name, and is wrong almost always. Average
# pooling of frames cannot tell, and scores what it scored before. Shuffled, there is no order to read: at best the pair is left, and a coin.
#
# </details>

# %%
fig, panels = plt.subplots(1, 2, figsize=(8.4, 2.6), facecolor="white", sharey=True, dpi=72)
for panel, field in zip(panels, ("shuffled", "reversed"), strict=True):
    dots(panel, results, field)
    panel.set_xlabel(f"% right, frames {field}")
fig.tight_layout()

# %%
print(f"{'':38}{'in order':22}{'shuffled':22}reversed")
fields = ("top1", "shuffled", "reversed")
for name, found in results.items():
    columns = [Spread.of([getattr(result, field) for result in found]) for field in fields]
    print(f"{TITLES[name]:38}" + "".join(f"{spread!s:22}" for spread in columns))

# %% [markdown]
# What do the wrong answers say? Ask the model that you have just trained: is it at least the right pair? Backwards it is nearly always the right pair and the
# wrong class: exactly the partner. Shuffled, even the pair suffers, because a jumping shape looks like none that the model has ever seen.

# %%
model, test = live[LIVE[0]].model, ArrowOfTime(512, frames=8, image_size=32, seed=2)
for frames in ("in_order", "shuffled", "reversed"):
    confusion = torch.tensor(evaluate(model, test, frames=frames, progress=False).confusion)
    pair = rearrange(confusion, "(p a) (q b) -> p q a b", a=2, b=2).sum(dim=(2, 3))
    right, total = confusion.trace() / confusion.sum(), pair.trace() / pair.sum()
    print(f"{frames:10} right class {100 * right:5.1f} %   right pair {100 * total:5.1f} %")

# %% [markdown]
# ## Why the bound does not hold for tubelets
#
# The bound is about a bag of *frames*. Average pooling over tubelets is a bag of *tubelets*, and a tubelet of two frames knows which of them came
# first. It need not be trained to see this: a model with random weights does for the experiment.
#
# **Predict first.** Shuffle the pairs of frames, each pair staying as it is. Then swap the two frames in each pair. What happens to the features?

# %%
torch.manual_seed(0)
model = build_model(find_arm("four_models", "average_pooling_tubelets").model_config()).eval()
orders = {
    "pairs shuffled": [4, 5, 0, 1, 6, 7, 2, 3],
    "frames swapped in each pair": [1, 0, 3, 2, 5, 4, 7, 6],
    "all backwards": [7, 6, 5, 4, 3, 2, 1, 0],
}
with torch.inference_mode():
    before = model.encode(clip, False)[0]
    for words, order in orders.items():
        apart = (model.encode(clip[:, order], False)[0] - before).norm() / before.norm()
        print(f"{words:28}{'the same' if apart < 1e-5 else f'{apart:.0%} apart'}")

# %% [markdown]
# The order of the pairs is lost, the order within a pair is not. And the last two lines agree: backwards *is* swapped in each pair, as far as this
# model can tell. One step of motion is enough for Arrow of Time, where the motion is the same all the time. It would not be for "picks up, then puts
# down". That is what the temporal encoder is for, and what it gains in the paper (Table 3, as reported there, Kinetics-400: 75.8 % with
# average pooling, 78.8 % with four temporal layers).
#
# ## Exercises
#
# ### 1 · Model 3's block
# Difficulty ●●○○ · importance ●●●● · 10 minutes
#
# Put it together (equations 4 to 6). `block` has the parts: `norm1`, `attn`, `norm_time`, `attn_time`, `norm2`, `mlp`. An attention runs over the last
# but one axis, and returns a pair (output, weights).
#
# <details><summary>Hint</summary>
#
# `x.transpose(1, 2)` brings t to where s was. Where does each residual begin?
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def model_3_block(block, x: torch.Tensor) -> torch.Tensor:
#     x = x + block.attn(block.norm1(x))[0]
#     y = block.norm_time(x).transpose(1, 2)  # (b, s, t, d)
#     x = x + block.attn_time(y)[0].transpose(1, 2)
#     return x + block.mlp(block.norm2(x))
# ```
#
# </details>


# %%
def model_3_block(block, x: torch.Tensor) -> torch.Tensor:
    """(b, t, s, d) -> (b, t, s, d)."""
    ...  # your code


four_models.model_3_block.check(model_3_block)

# %% [markdown]
# ### 2 · Split the heads of Model 4
# Difficulty ●●●○ · importance ●●●● · 15 minutes
#
# `q`, `k` and `v` have the shape (b, t, heads, s, d). Let the first half of the heads attend over time and the second half over space, and join
# their outputs, head after head: (b, t, s, D). `dot_product_attention(q, k, v)[0]` attends over the last but one axis.
#
# <details><summary>Hint</summary>
#
# For the first half: `rearrange(x, "b t h s d -> b s h t d")`, attend, and back. Mind where the heads are when you join them.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def half_heads(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
#     half = q.shape[2] // 2
#     time = [rearrange(x[:, :, :half], "b t h s d -> b s h t d") for x in (q, k, v)]
#     space = [x[:, :, half:] for x in (q, k, v)]
#     y_t = rearrange(dot_product_attention(*time)[0], "b s h t d -> b t s (h d)")
#     y_s = rearrange(dot_product_attention(*space)[0], "b t h s d -> b t s (h d)")
#     return torch.cat([y_t, y_s], dim=-1)
# ```
#
# </details>


# %%
def half_heads(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """(b, t, heads, s, d) three times -> (b, t, s, heads * d)."""
    ...  # your code


four_models.half_heads.check(half_heads)

# %% [markdown]
# ### 3 · Does the batch matter?
# Difficulty ●●○○ · importance ●●●● · 10 minutes
#
# Here is somebody's Model 2. It runs, it has the right shapes, and for one clip it gives the right answer:

# %%
show(MixingModel2)
right, wrong, three = small_model_2(), small_model_2(MixingModel2), small_clips(3)
with torch.inference_mode():
    print("one clip, same answer:", torch.allclose(right(three[:1]), wrong(three[:1]), atol=1e-5))

# %% [markdown]
# Clips in a batch have nothing to do with each other. Write the test that finds out whether a model keeps to that: `True` if what it says of
# any clip depends on the others, or on what it was asked before.
#
# <details><summary>Hint</summary>
#
# Ask for all clips at once, and for each alone: `model(clips)`, `model(clips[i : i + 1])`. Rounding may differ a little.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def mixes_clips(model, clips: torch.Tensor) -> bool:
#     together = model(clips)
#     alone = torch.cat([model(clip[None]) for clip in clips])
#     return not torch.allclose(together, alone, atol=1e-5)
# ```
#
# </details>


# %%
def mixes_clips(model, clips: torch.Tensor) -> bool:
    """Whether the answers for some clips (N, T, C, H, W) depend on their company."""
    ...  # your code


four_models.batch_independence.check(mixes_clips)

# %% [markdown]
# ### 4 · Mend it
# Difficulty ●●○○ · importance ●●●○ · 5 minutes
#
# One line of `MixingModel2` is wrong: its `frame_tokens`. Which rows of `x` belong to the first clip?
#
# <details><summary>Hint</summary>
#
# Look at the line that made the batch of frames: which of b and t is the slower one?
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def frame_tokens(x: torch.Tensor, b: int) -> torch.Tensor:
#     return rearrange(x, "(b t) d -> b t d", b=b)
# ```
#
# </details>


# %%
def frame_tokens(x: torch.Tensor, b: int) -> torch.Tensor:
    """One token a frame, (b * t, d), as the spatial encoder leaves them -> (b, t, d)."""
    ...  # your code


four_models.frame_tokens.check(frame_tokens)

# %% [markdown]
# ## What surprised people
#
# * **Factorised does not mean blind.** Model 3 reaches the whole clip in one block, as Model 1 does, with a fraction of the pairs.
# * **Model 2's spatial encoder never looks at another frame**, however deep it is: all it knows of motion before the temporal encoder is inside
#   a tubelet. And yet in the paper (Table 2, as reported there) Model 2 is within 1.2 points of Model 1 on Kinetics-400, in less than a third of the
#   time.
# * **Two frames in a tubelet are enough to break the 50 % bound.** Average pooling is a bag of whatever its tokens are. The paper's own baseline of that name
#   has 2-frame tubelets, so it sees some motion.
# * **0 % is a good result.** A model that is always wrong about clips played backwards has understood the direction of time. One that is
#   as right as before has not looked at it.
# * **The bound is not always reached.** The mean of frames stays near chance, even with a head start, where a bag of the same frames gets its
#   half. That was decided by the architecture, not by the training.
#
# ## Where next
#
# [04 Attention maps](04_attention_maps.ipynb): what the models do with the pairs that they have. [05 FLOPs](05_flops.ipynb): what the pairs cost.
# [09 Ablations](09_ablations.ipynb): the paper's tables in miniature, with this recipe. The four models are in
# [vivit.py](../vivit_lab/models/vivit.py), their layers in [layers.py](../vivit_lab/models/layers.py).

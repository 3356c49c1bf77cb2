# %% [markdown]
# # 03 · Four models: which token may attend to which?
#
# A token *looks at* another token when its query is compared with the key of the other token. It then takes a part of the value of the other
# token. In an image transformer every token looks at every token. A clip has many more tokens than an image, so this costs a lot. The paper
# proposes four models. In three of them a token looks at fewer tokens. This notebook shows all four as pictures, as formulas and as code. It
# explains Model 4, the hardest one, step by step. At the end it trains the models and compares them.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), section 3.3 (equations 1 to 7) · about 3 minutes of computing on a laptop, an hour
# with the exercises · works offline, without a GPU · before this: [02 Tokenisation](02_tokenisation.ipynb) · words: [glossary](glossary.ipynb)

# %%
import inspect
import io
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
from IPython import display

# %% [markdown]
# ## One query, four models
#
# A *time step* is the tokens that share one position in time. A *place* is a row and a column in the grid of tokens. To look *over space* is to
# look at the tokens of the same time step. To look *over time* is to look at the tokens of the same place. The four models in one line each:
# * **Model 1**: every token looks at every token.
# * **Model 2**: a first encoder looks over space. A second encoder looks over time, with one token for each time step.
# * **Model 3**: every block looks over space, then over time.
# * **Model 4**: in every block, half of the attention heads look over space and the other half over time.
#
# In the picture, each frame stands for one time step. The yellow token is the *query token*. Which tokens does it look at? And which does it
# *reach*? The query token reaches another token if the numbers of the query token depend on the other token, directly or
# through tokens in between.
#
# **Predict first.** Take a token of another time step and of another place. Does the query token of Model 4 reach it after one block? After two
# blocks?
#
# <details><summary>Then look</summary>
#
# After one block: no. Both halves start from the input of the block. One half looks at the tokens of the same time step, the other half at the
# tokens of the same place. No head looks at any other token. After two blocks: yes. The tokens that the query token looks at in the second block
# have themselves looked at other tokens in the first block.
#
# </details>

# %%
explorer = PatternExplorer("rabbit", frames=8, stage="1 block").offer(
    {
        "1 · over space": {"stage": "space"},
        "1 · twelve blocks": {"stage": "12 blocks"},
        "2 · over time": {"stage": "time"},
        "3 · a class token": {"query": "cls"},
        "4 · time, then space": {"order": "time_space", "stage": "space"},
        "5 · ViViT-B/16x2": {"frames": 32, "t": 2, "patch": 16},
    }
)
explorer

# %% [markdown]
# *Picture: Big Buck Bunny, © 2008 Blender Foundation, CC BY 3.0.* Without a kernel you see a still picture. Run the cell to get the sliders. Then
# you can also choose another clip, or your own video by path or upload. Press a token of any model to make it the query token. Point at a token to
# read how each model treats it. The small boxes are class tokens. `cls` in Model 1 is the only one of that model. In Model 2, `cls 0` to `cls 3`
# belong to the time steps, and `clip` belongs to the second encoder.
#
# Things to try (a button has the number of the item that it belongs to):
# 1. Move **stage** from *space* to *12 blocks*. After how many blocks does the query token reach all tokens? Does it ever reach them in the first
#    encoder of Model 2, the spatial encoder?
# 2. Set **stage** to *time* and look at Model 2. The query token is no longer a token of the clip. What is it?
# 3. Press a class token to make it the query token. Which models have no class token?
# 4. Set **stage** to *space*, then to *time*, and set **Model 3** to *time, then space*. Which tokens are violet now, and why?
# 5. Choose 32 frames, tubelet t = 2 and patch 16. This is ViViT-B/16x2 of the paper. Compare the share of pairs at the right of each model.
#
# <details><summary>Answers</summary>
#
# 1. Models 1 and 3: one block. Model 4: two blocks. Model 2's spatial encoder: never. 2. It is the class token of its time step: the temporal
# encoder gets one token for each time step. 3. Models 3 and 4. 4. At *space*, all tokens of the other time steps are violet: attention over space
# now comes second, so the tokens it looks at have already looked over time. At *time* nothing is violet, because this attention comes first. 5.
# Model 4 has the smallest share, half of Model 3's. Model 2's share is a little smaller than Model 3's. The next section explains the numbers.
#
# </details>
#
# A picture can be wrong. So we check it with gradients, for Models 3 and 4. If the
# numbers of one token depend on another token, the gradient with respect to the other token is not zero.


# %%
def depends_on(model, step, place, blocks):
    """The tokens (t, s) that one token's numbers depend on after some blocks, found by gradients."""
    config = model.config
    x = torch.randn(1, config.temporal_tokens, config.spatial_tokens, config.dim).double()
    y = x.requires_grad_()
    for block in model.blocks[:blocks]:
        y, _ = block(y)
    y[0, step, place].square().sum().backward()
    return x.grad[0].abs().amax(dim=-1) > 1e-12


# %%
TINY = {
    "frames": 10, "image_size": 32, "tubelet": (2, 8, 8), "dim": 40, "depth": 3, "heads": 4, "mlp_dim": 80,
}  # fmt: skip  # t = 5 time steps, s = 4 · 4 = 16 places
for name in ("factorised_self_attention", "factorised_dot_product"):
    model = build_model(ViViTConfig(model=name, **TINY)).double().eval()
    for blocks, stage in ((1, "1 block"), (2, "2 blocks")):
        found = depends_on(model, 1, 5, blocks)
        drawn = pattern(model.config, stage, (1, 5)).reached.tokens
        same = (found.numpy() == drawn).all()
        print(f"{MODELS[name]}, {stage}: {found.sum()} of {found.numel()} tokens, as drawn: {same}")

# %% [markdown]
# 20 = 16 tokens of the same time step + 5 tokens of the same place − 1, the query token, which is in both.
#
# ## What the pairs cost
#
# Attention compares queries with keys. A *pair* is one query and one key that are compared. Section 3.3 of the paper gives the complexity of
# each model as O(a formula), an order of growth. Here we read the formula as a number of pairs. In ViViT-B/16x2 there are $n_t$ = 16 time steps, and each has $n_h \cdot n_w$ = 14 · 14 places.
#
# **Predict first.** The paper writes the same formula, $(n_h \cdot n_w)^2 + n_t^2$, for Models 2, 3 and 4. Do these models compare the same number
# of pairs?
#
# <details><summary>Then look</summary>
#
# No. The formula counts *one* sequence over space and *one* over time. But there is a sequence over space for every time step. In Models 3 and 4
# there is also a sequence over time for every place. Model 2 has only one sequence over time, with one token for each time step. Model 4 has all
# these sequences, but each of them gets only half of the heads.
#
# </details>

# %%
print(f"{'':9}{'by the formula of the paper':>42}      counted exactly, one block")
for name in MODELS:
    found = pairs(ViViTConfig.preset("B/16x2", model=name))
    paper = f"{found.paper} = {found.paper_numbers} = {found.paper_value:,}"
    exact = f"{found.exact} = {found.exact_numbers} = {found.value:,}"
    print(f"{MODELS[name].split(':')[0]:9}{paper:>42}      {exact}")

# %% [markdown]
# On the right the same numbers have the letters of the code: $t$ = $n_t$ is the number of time steps, $s$ = $n_h \cdot n_w$ the number of places.
# (In `tubelet t`, t is the number of frames of one tubelet.) Each count is a mean over the heads. In Models 1 to 3 every head compares all pairs.
# In Model 4 a head compares only the pairs over space or only those over time, hence the ½. The line of Model 2 counts one block of each of its
# two encoders. The 1 that is added is the class token. Now we take twice the frames:

# %%
for name in MODELS:
    presets = (ViViTConfig.preset("B/16x2", model=name, frames=frames) for frames in (32, 64))
    now, twice = (pairs(preset) for preset in presets)
    paper = f"by the paper's formula {now.paper_value:,} -> {twice.paper_value:,}"
    exact = f"exactly {now.value:,} -> {twice.value:,}, times {twice.value / now.value:.2f}"
    print(f"{MODELS[name].split(':')[0]}: {paper:48} {exact}")

# %% [markdown]
# The formula of Models 2 to 4 tells which axes are squared. It does not tell how many sequences there are, so it hides how the cost grows. Counted
# exactly, twice the frames mean four times the pairs in Model 1, and about twice the pairs in the others. [Notebook 05](05_flops.ipynb) counts the
# whole cost, with the projections and the MLPs.
#
# ## The code of each model
#
# ### Model 1: spatio-temporal attention
#
# Model 1 puts all tokens of all time steps into one sequence, with a class token first, and adds positions. From then on it is an image ViT with
# more tokens.


# %%
def show(*functions):
    """Print the source of some functions."""
    for function in functions:
        print(textwrap.dedent(inspect.getsource(function)))


show(JointSpaceTime.encode)

# %% [markdown]
# `run` calls a block. Of the last block only the class token is read, so `run` may leave out the other tokens there. `maps` are the attention
# weights, if they are asked for. `pool` returns the class token, or the mean of all tokens. With `every_token`, all tokens are returned.
# `pos_drop` is dropout. It does nothing here.
#
# The table has equations 1 to 3 of the paper, the code for each, and the shape of the result. A clip has $N = t \cdot s$ tokens of $D$
# numbers (`d` in the code), and a batch has $B$ clips. $x_i$ is a tubelet, $E$ the linear map that makes its token, and $p$ the position
# embedding. MSA is multi-head self-attention and LN is layer norm.
#
# | equation | code | shape of the result |
# |---|---|---|
# | (1) $z^0 = [z_{cls}, E x_1, \dots, E x_N] + p$ | `prepend(self.cls_token, x)`, then `x + self.pos_embed` | $(B, 1 + N, D)$ |
# | (2) $y^\ell = \mathrm{MSA}(\mathrm{LN}(z^\ell)) + z^\ell$ | `x + self.attn(self.norm1(x))`, in `Block` | $(B, 1 + N, D)$ |
# | (3) $z^{\ell+1} = \mathrm{MLP}(\mathrm{LN}(y^\ell)) + y^\ell$ | `x + self.mlp(self.norm2(x))`, in `Block` | $(B, 1 + N, D)$ |
#
# The classifier reads $z_{cls}$ after the last block and one more norm. Now the same lines one by one, on one small clip. The clip is one of Arrow
# of Time, which a later section defines: 10 frames of 32 × 32. Tubelets of 2 × 8 × 8 make $t$ = 5 time steps of $s$ = 16 places, so $N$ = 80.
# There are 4 heads, and $D$ is 40.

# %%
clip, _ = ArrowOfTime(8, frames=10, image_size=32)[0]
clip = normalise(clip)[None]  # (B, T, C, H, W) = (1, 10, 3, 32, 32), in [-1, 1]


def tell(words, x):
    """Print what a tensor is, and its shape."""
    print(f"{words:46}{tuple(x.shape)}")


def compare(x, package):
    """Print whether a tensor is what the package computes, up to rounding."""
    print("the package computes the same:", torch.allclose(x, package, atol=1e-5))


# %%
torch.manual_seed(0)
model = build_model(ViViTConfig(**TINY)).eval()
block = model.blocks[0]
with torch.no_grad():
    x = model.patch_embed(clip)
    tell("tokens (B, t, s, D)", x)
    x = torch.cat([model.cls_token, x.flatten(1, 2)], dim=1) + model.pos_embed  # eq. 1
    tell("one sequence, class token first (B, 1 + N, D)", x)
    y = block.attn(block.norm1(x))[0] + x  # eq. 2
    z = block.mlp(block.norm2(y)) + y  # eq. 3
tell("after the first block (B, 1 + N, D)", z)
compare(z, block(x)[0])

# %%
with torch.no_grad():
    for block in model.blocks:
        x, _ = block(x)
    features = model.norm(x)[:, 0]  # of the class token
    tell("features, which the classifier reads (B, D)", features)
    compare(features, model.encode(clip, False)[0])

# %% [markdown]
# We compare features, not logits. The classifier of a new model is zero. So its logits are 0 for every clip, and comparing them proves nothing.
#
# ### Model 2: two encoders, one after the other
#
# The spatial encoder works on each time step alone. In its tensors *t* is a batch axis, as *b* is. It turns each time step into one token. The
# temporal encoder then works on the sequence of these tokens. (`self.pooling` differs from `self.config.pooling` only without a temporal encoder:
# then it is the mean of the time steps.)

# %%
show(FactorisedEncoder.encode)

# %% [markdown]
# **Predict first.** How many class tokens does Model 2 have as parameters? How many class tokens are there in a clip of 5 time steps? Which one
# does the classifier read?
#
# <details><summary>Then look</summary>
#
# Two as parameters. In the clip, the first one stands before the tokens of each of the 5 time steps. The second one stands before the sequence of
# 5 tokens in the temporal encoder. That is 5 + 1 = 6 in all. The classifier reads the last one.
#
# </details>

# %%
torch.manual_seed(0)
model = build_model(ViViTConfig(model="factorised_encoder", temporal_depth=2, **TINY)).eval()
for part in ("cls_token", "pos_embed", "temporal_cls_token", "temporal_pos_embed"):
    tell(part, getattr(model, part))
with torch.no_grad():
    for i, maps in enumerate(model(clip, return_attention=True)[1]):
        for axis, weights in maps.items():
            tell(f"block {i}, attention weights over {axis}", weights)

# %% [markdown]
# The weights over space are (B, t, heads, 1 + s, 1 + s): 17 = 16 places and a class token, in each of the 5 time steps. The weights over time are
# (B, heads, 1 + t, 1 + t): 6 = 5 time steps and a class token. Step by step, first the spatial encoder:

# %%
with torch.no_grad():
    x = model.patch_embed(clip)
    tell("tokens (B, t, s, D)", x)
    x = torch.cat([model.cls_token.expand(1, 5, 1, 40), x], dim=2) + model.pos_embed
    tell("a class token in each step (B, t, 1 + s, D)", x)
    for block in model.blocks:
        x, _ = block(x)
    x = model.norm(x)[:, :, 0]
    tell("one token for each time step (B, t, D)", x)

# %% [markdown]
# Then the temporal encoder:

# %%
with torch.no_grad():
    x = torch.cat([model.temporal_cls_token, x], dim=1) + model.temporal_pos_embed
    tell("a sequence over time (B, 1 + t, D)", x)
    for block in model.temporal_blocks:
        x, _ = block(x)
    features = model.temporal_norm(x)[:, 0]
    tell("features (B, D)", features)
    compare(features, model.encode(clip, False)[0])

# %% [markdown]
# This is *late fusion*: tokens of different time steps meet only in the last part of the model.
#
# ### Model 3: two attentions in every block
#
# Each block attends over space, then over time, and ends with the MLP:
#
# | equation | code | attention runs over | shape |
# |---|---|---|---|
# | (4) $y_s = \mathrm{MSA}(\mathrm{LN}(z_s)) + z_s$ | `attend_space` | the $s$ tokens of one time step, $B \cdot t$ times | $(B, t, s, D)$ |
# | (5) $y_t = \mathrm{MSA}(\mathrm{LN}(y_s)) + y_s$ | `attend_time` | the $t$ tokens of one place, $B \cdot s$ times | $(B, s, t, D)$ inside, then $(B, t, s, D)$ |
# | (6) $z' = \mathrm{MLP}(\mathrm{LN}(y_t)) + y_t$ | the line of `forward` with `self.mlp` | nothing: each token alone | $(B, t, s, D)$ |
#
# Find the three residuals in the code. Find the two transposes that turn attention over space into attention over time. (`ls1`, `ls_time` and
# `ls2` are the optional layer scale, `drop_path` is stochastic depth. Both do nothing here.)

# %%
show(
    FactorisedSelfAttentionBlock.attend_space,
    FactorisedSelfAttentionBlock.attend_time,
    FactorisedSelfAttentionBlock.forward,
)

# %% [markdown]
# The lines of one block, step by step:

# %%
torch.manual_seed(0)
model = build_model(ViViTConfig(model="factorised_self_attention", **TINY)).eval()
block = model.blocks[0]
with torch.no_grad():
    z_s = model.patch_embed(clip) + model.pos_embed.unflatten(1, (5, 16))
    y_s = block.attn(block.norm1(z_s))[0] + z_s  # eq. 4
    tell("after attention over space (B, t, s, D)", y_s)
    turned = block.norm_time(y_s).transpose(1, 2)
    tell("t and s change places (B, s, t, D)", turned)

# %%
with torch.no_grad():
    y_t = block.attn_time(turned)[0].transpose(1, 2) + y_s  # eq. 5
    tell("after attention over time (B, t, s, D)", y_t)
    z = block.mlp(block.norm2(y_t)) + y_t  # eq. 6
    tell("after the MLP (B, t, s, D)", z)
    compare(z, block(z_s)[0])

# %% [markdown]
# The paper also tried time before space. It reports that the order makes no difference to the accuracy. But the two orders are different
# functions:

# %%
torch.manual_seed(0)
fields = {"model": "factorised_self_attention", **TINY}
space_time = build_model(ViViTConfig(**fields)).eval()
time_space = build_model(ViViTConfig(**fields, attention_order="time_space")).eval()
time_space.load_state_dict(space_time.state_dict())  # every weight the same
with torch.no_grad():
    a, b = (model.encode(clip, False)[0] for model in (space_time, time_space))
print(f"same weights, other order: the features differ by {(a - b).norm() / a.norm():.0%}")

# %% [markdown]
# Both orders have the same weights, the same cost and the same reach. [Notebook 09](09_ablations.ipynb) trains both and compares the accuracy.
#
# Models 3 and 4 have no class token. In Model 2 each encoder has its own sequences, so each can have its own class token. In Models 3 and 4 the
# same tokens form sequences over space and sequences over time. One class token for the clip belongs to no time step and to no place, so it fits
# into none of them. The classifier reads the mean of all tokens instead.
#
# ### Model 4: two kinds of heads
#
# Each block of Model 4 has one attention, with the same parameters as in Model 1. Half of the heads look at the tokens of the same time step. The
# other half look at the tokens of the same place, at all time steps. This is the whole code:

# %%
show(FactorisedDotProductAttention.forward)

# %% [markdown]
# Equation 7 of the paper is $\mathrm{Attention}(Q, K, V) = \mathrm{softmax}(Q K^\top / \sqrt{d_k})\, V$. Model 4 uses it twice. $h$ is the number
# of heads, and each head has $d = d_k = D / h$ numbers:
#
# | equation | code | shape over space | shape over time |
# |---|---|---|---|
# | $Q, K, V$ of all heads | `self.split_heads(x)` | $(B, t, h, s, d)$ | $(B, t, h, s, d)$ |
# | $Q, K_s, V_s$ and $Q, K_t, V_t$: half of the heads each, also of $Q$ | `space`, `time` | $(B, t, h/2, s, d)$ | $(B, s, h/2, t, d)$ |
# | (7) $\mathrm{softmax}(Q K^\top / \sqrt{d_k})$, the weights | `self.attend(...)` | $(B, t, h/2, s, s)$ | $(B, s, h/2, t, t)$ |
# | (7) $Y_s$ and $Y_t$: the weights times $V$ | `self.attend(...)` | $(B, t, h/2, s, d)$ | $(B, s, h/2, t, d)$ |
# | the heads side by side | the last two `rearrange` | $(B, t, s, D/2)$ | $(B, t, s, D/2)$ |
# | $Y = \mathrm{Concat}(Y_s, Y_t)\, W_O$ | `self.proj(torch.cat([y_t, y_s], dim=-1))` | both: $(B, t, s, D)$ | |
#
# Mind the order: the paper writes space first, but the official code and this package give the *first* half of the heads to time. `attend` calls
# the function below. It computes equation 7 with one fused kernel. If the weights are asked for, it computes it in two lines and also returns the
# weights:

# %%
signature, _, body = inspect.getsource(dot_product_attention).split('"""')
print(signature.rstrip() + body)

# %% [markdown]
# Step by step, with 4 heads of $d$ = 10 numbers. First the queries, keys and values of all heads:

# %%
torch.manual_seed(0)
model = build_model(ViViTConfig(model="factorised_dot_product", **TINY)).eval()
block = model.blocks[0]
with torch.no_grad():
    x = block.norm1(model.patch_embed(clip) + model.pos_embed.unflatten(1, (5, 16)))
    q, k, v = block.attn.split_heads(x)
tell("x (B, t, s, D)", x)
tell("q, and also k and v (B, t, h, s, d)", q)

# %% [markdown]
# Heads 2 and 3 look over space, heads 0 and 1 over time. The two formulas are the same. Only the axes differ:

# %%
with torch.no_grad():
    q_s, k_s, v_s = (part[:, :, 2:] for part in (q, k, v))
    weights = (q_s @ k_s.mT / 10**0.5).softmax(dim=-1)
    tell("weights over space (B, t, h/2, s, s)", weights)
    y_s = weights @ v_s  # eq. 7
    q_t, k_t, v_t = (part[:, :, :2].transpose(1, 3) for part in (q, k, v))
    weights = (q_t @ k_t.mT / 10**0.5).softmax(dim=-1)
    tell("weights over time (B, s, h/2, t, t)", weights)
    y_t = (weights @ v_t).transpose(1, 3)  # eq. 7, and back to (B, t, h/2, s, d)

# %%
with torch.no_grad():
    joined = rearrange(torch.cat([y_t, y_s], dim=2), "b t h s d -> b t s (h d)")
    tell("all heads side by side (B, t, s, D)", joined)
    y = block.attn.proj(joined)  # W_O
    compare(y, block.attn(x)[0])

# %% [markdown]
# ## Model 4, slowly
#
# Readers of the paper find these few lines the hardest part. So here they are again, one figure for each step. The figures follow one token of one
# clip, with the numbers that a small trained Model 4 computes. Press **Next**, a box of the map at the top, or ▶ to see all steps one after the
# other. The map marks the part that the figure explains. The line at the bottom is a line of the package. Green numbers are positive, pink ones
# negative. Point at a number to read it. It is another model than the one above: it has $t$ = 4 time steps of 2 frames, $s$ = 36 places, and 4 heads of 16 numbers.
#
# **Predict first.** Over time our token has 4 keys, over space it has 36. What are the shapes of the two tensors of weights?
#
# <details><summary>Then look</summary>
#
# Over space (t, heads/2, s, s) = (4, 2, 36, 36). Over time (s, heads/2, t, t) = (36, 2, 4, 4). The axis that attention does not run over is a
# batch axis. Steps 6 and 9 show both.
#
# </details>

# %%
stepper = HalfHeadsStepper("moves right").offer(
    {
        "1 · from the start": {"step": 1},
        "2 · step 5": {"step": 5},
        "2 · step 8": {"step": 8},
        "3 · step 6": {"step": 6},
        "4 · step 9": {"step": 9},
    }
)
stepper

# %% [markdown]
# Things to try:
# 1. Go through all steps once with **Next**. At which step does Model 4 begin to differ from Model 1?
# 2. Compare the shapes at steps 5 and 8. Which axis is the batch axis?
# 3. At step 6, press several tokens, one after the other. Do the two heads give their largest weights to the same places?
# 4. At step 9, take a calculator and check one row. (The figure rounds all numbers, so a last digit can differ.)
#
# <details><summary>Answer to 1</summary>
#
# At step 4: half of the heads use the keys of their own time step, the others those of their own place. Up to step 3, Model 4 does the same as
# Model 1.
#
# </details>
#
# The figures of these steps, for a reader without a kernel. Steps 5 and 8: the query token is the same. Its queries differ, because each
# head has its own, and the keys differ. Over space there are 36 keys, those of the time step of our token. Over time there are 4 keys, those
# of its place. Batch axis: t in step 5, s in step 8.


# %%
def figure(step):
    """A step as a picture of few colours, which is small in a stored notebook."""
    canvas, file = HalfHeadsStepper("moves right", step=step).draw(), io.BytesIO()
    small = canvas.image().quantize(128, method=1)  # method 1 keeps rare colours
    small.save(file, "PNG", optimize=True)
    return display.Image(file.getvalue(), width=canvas.width, alt=canvas.words)


display.display(figure(5), figure(8))

# %% [markdown]
# Step 6, the weights over space. The bluer a place, the larger its weight. Heads 2 and 3 have most of their weight on different places.

# %%
figure(6)

# %% [markdown]
# Step 9, the weights over time. Only 4 keys: every number of the softmax is in the figure. The cell below the figure computes the last column of
# head 0 again.

# %%
figure(9)

# %%
half = HalfHeadsStepper("moves right").scene().found.time  # what the heads over time compute
place, head, step = 2 * 6 + 2, 0, 1  # of our token: row 2 and column 2 of a grid of 6 × 6
powers = (half.products[place, head, step] / 16**0.5).exp()  # of q · k / √d, for 4 keys
print("computed here:", [f"{share:.3f}" for share in powers / powers.sum()])
print("by the model: ", [f"{share:.3f}" for share in half.weights[place, head, step]])

# %% [markdown]
# ## A comparison where only the order of frames counts
#
# *Arrow of Time* is a set of clips that this kit draws. A clip shows one shape. The shape has four properties: place, angle, size and colour. In
# every clip exactly one property changes. It changes at constant speed, forwards or backwards, from a random start. The other three keep random
# values. Four properties and two directions make eight classes. Here are their names, and what wraps round, that is, what follows after the last
# value:
#
# | property | forwards | backwards | what wraps round |
# |---|---|---|---|
# | place | moves right | moves left | what leaves the picture on one side comes in on the other side |
# | angle | turns clockwise | turns anticlockwise | after a full turn the angle is the same again |
# | size | grows | shrinks | after the largest size comes the smallest, or the other way round |
# | colour | red, green, blue | blue, green, red | after blue comes red, or the other way round |
#
# So each property runs on a circle, which has no first and no last value. In one clip it moves by the same part of the circle from each frame to
# the next. There are only three colours, so two frames in a row can have the same colour.
#
# The two classes of a row are *partners*, or a pair of classes: each is the other one played backwards. Below is one strip for each class. The
# second strip of each pair has the same frames as the first, in reversed order. The last strip has the frames of the first strip, shuffled.

# %%
clips, strips = ArrowOfTime(64, frames=8, image_size=32), {}
for n in (0, 2, 4, 6):
    strips[clips.classes[n]] = clips[n][0]
    strips[clips.classes[n + 1]] = clips[n][0].flip(0)
order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
strips["shuffled: moves right, or moves left?"] = clips[0][0][order]
film_strip(strips, side=40)

# %% [markdown]
# **One frame cannot tell the class.** A frame shows one value of each property. In every class and at every moment, all values of each property
# are equally likely. So a frame looks the same in all classes, and the best a model can do is guess: 1 of 8, or 12.5 %. This is *chance*.
#
# **A bag of frames can tell the pair, but not the direction.** A bag of frames has all frames of a clip, without their order. It shows which
# property changes, so it can tell the pair. But a clip and the same clip backwards consist of the same frames, and both are equally likely. So the
# best a model can do is guess between two partners: 50 %.
#
# These two limits hold for every model and every training, because they follow from how the clips are made.
#
# We compare eight models on this set. They see 8 frames of 32 × 32, and they have 3 blocks and 64 numbers for each token. An *arm* is one of the
# models, with everything that is fixed for it: its data, its start and its recipe (the settings of the training). The arms:
# * **One frame**: an image ViT that sees one frame in the middle of the clip, number 4 of 0 to 7.
# * **Bag of frames**: Model 2, trained and tested on clips with shuffled frames.
# * **Average pooling of frames**: Model 2 without its temporal encoder. A ViT works on each frame, and the classifier reads the mean of their
#   features.
# * **Average pooling of 2-frame tubelets**: the same, but its tokens are 2 frames deep. This is the baseline of the paper's Table 2.
# * **Models 1 to 4**, with tubelets of 2 frames. (Model 1 is called *joint*.)
#
# All arms learn from the same clips, by the recipe `cpu_tiny`, with one exception. The tokens of the first three arms are made of single
# frames. These arms start from a small image ViT that was trained to tell shape, colour, place, angle and size in single frames. So if they do
# not pass their limit, the reason is not that they know too little about images. The exception: they train in batches twice as large, with
# half as many steps. This cannot help them past a limit that holds for every training. The other arms start from random weights.
#
# **Predict first.** Which arms cannot pass 50 %? Average pooling of tubelets ignores the order of its time steps, just as average pooling of
# frames does. Does the limit of 50 % hold for it?
#
# <details><summary>Then look</summary>
#
# The limit holds for the first three arms only. A tubelet of 2 frames is not a frame. Inside it, the order of its two frames counts.
#
# </details>

# %%
results = {}
for result in load_results("four_models"):
    results.setdefault(result.arm, []).append(result)
TITLES = {name: find_arm("four_models", name).title for name in results}
SHORT = [title.partition(":")[0].partition(" (")[0] for title in TITLES.values()]

print(f"{'':38}{'right, of unseen clips':24}seeds  parameters   MMACs  start, epochs x batch")
for name, found in results.items():
    spread, first = Spread.of([result.top1 for result in found]), found[0]
    cost = f"{first.params:12,}{first.macs / 1e6:8.1f}"
    recipes = [result.settings["recipe"] for result in found]
    start = find_arm("four_models", name).start.split("_central")[0].replace("_", " ")
    learnt = sorted({f"{recipe['epochs']} x {recipe['batch']}" for recipe in recipes})
    print(f"{TITLES[name]:38}{spread!s:24}{len(found):5}{cost}  {start}, {' or '.join(learnt)}")
clips_seen = find_arm("four_models", "joint").clips
print(f"{clips_seen:,} clips to train on; 1 standard deviation of 1,024 guesses at 50 %:", end=" ")
print(f"{100 * (0.25 / 1024) ** 0.5:.1f} points")

# %% [markdown]
# Each arm was trained three times, with three *seeds*. A seed is the number from which all random numbers of a training start. The *spread* of an
# arm is what its seeds reach. The table prints it as the mean, and in brackets the lowest and the highest. All arms are tested on the same 1,024
# clips, and no arm was trained on these. The bag of frames is above its limit of 50 %, its best seed by about one standard deviation. A finite test allows that: who
# guesses 1,024 times is right a little more or a little less than 512 times. (1 MMAC is a million multiply-accumulates for one clip.)


# %%
def dots(panel, results, field):
    """Every run as a dot, a line from the lowest to the highest, and the two limits."""
    for x, words in ((1 / 8, "chance"), (1 / 2, "limit of a bag")):
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
# The bag of frames reaches its limit of 50 %. Average pooling of frames stays near chance. Why? A frame looks the same in all classes. So, over
# many clips, the features of a frame have the same average in all classes. The classifier of average pooling is linear, and it reads the mean of
# the frame features of one clip. So, over many clips, its logits have the same average in all classes, too. So a class gets, on average, no
# higher logit from its own clips than from other clips, and guessing gives 12.5 %. Only how far the logits of single clips lie from the
# average can depend on the class. A linear classifier can use this only a little: 18.1 % is the best of the three seeds. The bag of frames has
# a transformer over its frames, which can compare them.
#
# ## Train one yourself
#
# The cell below trains one arm, now, from random weights. Put other names of `results` into `LIVE`, or all of them (`tuple(results)`), to train
# other arms. Most arms take about a minute on two idle cores, and several minutes on a busy machine. The output is the result of a fourth seed.

# %%
LIVE = ("factorised_encoder",)
SEED = 3  # one that is not in the table

print("names:", *results, sep="\n  ")
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
panel.axhline(87.5, color="#5b6472", lw=0.6)
panel.set(xlabel="thousand clips seen (grey: the stored seeds)", ylabel="% right", ylim=(0, 102))
_ = panel.legend(frameon=False, fontsize=8, loc="lower right")

# %% [markdown]
# A new seed can reach more or less than the spread in the table: three seeds do not show everything that can happen. Another processor or another
# number of threads rounds sums differently, and this can change the result of the same seed.
#
# Look for a flat part of the curve (accuracy on the clips of training) near 87.5 % (the thin horizontal line). There a model knows all
# classes but one pair, and still guesses between its two partners: 6 classes of 8 are right, and half of the other two, (6 + 1) / 8 = 87.5 %.
# Many runs pass this point so fast that it is hard to see. Others stay there for a while, and sometimes one stays there to the end.
#
# ## Who notices the order?
#
# Now we test the trained models again, on the same clips with their frames in another order. The labels stay the same.
#
# **Predict first.** With shuffled frames, how many clips can Model 2 still get right, at best? With reversed frames, which arms fall to 0 %,
# and which do not notice?
#
# <details><summary>Then look</summary>
#
# A reversed clip *is* a clip of the partner class. A model that uses the order answers with the partner, so it is almost always wrong. Average
# pooling of frames cannot notice, and its result stays the same. The results of one frame and of a bag of frames change only by chance. In a
# shuffled clip there is no order to use. At best, a model still knows the pair and guesses between the partners: 50 %. Model 2 gets only 38.4 %,
# because it often misses the pair, too.
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
# Are the wrong answers at least in the right pair? We test the model that you have just trained, on 512 other clips. With reversed frames it
# almost always names the right pair and the wrong class: the partner. With shuffled frames it often misses even the pair, because in training it
# has never seen a shape that jumps like this.

# %%
model, test = live[LIVE[0]].model, ArrowOfTime(512, frames=8, image_size=32, seed=2)
for frames in ("in_order", "shuffled", "reversed"):
    confusion = torch.tensor(evaluate(model, test, frames=frames, progress=False).confusion)
    pair = rearrange(confusion, "(p a) (q b) -> p q a b", a=2, b=2).sum(dim=(2, 3))
    right, total = confusion.trace() / confusion.sum(), pair.trace() / pair.sum()
    print(f"{frames:10} right class {100 * right:5.1f} %   right pair {100 * total:5.1f} %")

# %% [markdown]
# ## Why the limit does not hold for tubelets
#
# The limit of 50 % holds for a bag of *frames*. Average pooling of tubelets is a bag of *tubelets*. In a tubelet of two frames, the order of the
# two frames counts. We can see this without training. A model with random weights is enough:
#
# **Predict first.** First we shuffle the pairs of frames, and keep each pair as it is. Then we exchange the two frames in each pair. When do the
# features change?

# %%
torch.manual_seed(0)
model = build_model(find_arm("four_models", "average_pooling_tubelets").model_config()).eval()
clip = normalise(clips[0][0])[None]  # 8 frames: 4 tubelets in a row
orders = {
    "pairs shuffled": [4, 5, 0, 1, 6, 7, 2, 3],
    "frames exchanged in each pair": [1, 0, 3, 2, 5, 4, 7, 6],
    "all backwards": [7, 6, 5, 4, 3, 2, 1, 0],
}
with torch.inference_mode():
    before = model.encode(clip, False)[0]
    for words, order in orders.items():
        apart = (model.encode(clip[:, order], False)[0] - before).norm() / before.norm()
        print(f"{words:30}{'the same' if apart < 1e-5 else f'{apart:.0%} apart'}")

# %% [markdown]
# The order of the pairs is lost. The order inside a pair is not. The last two lines are equal: for this model, playing a clip backwards is the
# same as exchanging the frames in each pair. In Arrow of Time the motion is the same all the time, so one step of motion tells the class. It would
# not tell "picks up, then puts down", where the order of two motions counts. For this a model needs a temporal encoder. In the paper, the temporal
# encoder of Model 2 helps on Kinetics-400: 75.8 % with average pooling (Tables 2 and 3), 78.8 % with four temporal layers (Table 3).
#
# ## Exercises
#
# Write in the cell, run it, and read what the check tells you.
#
# ### 1 · Model 3's block
# Difficulty ●●○○ · importance ●●●● · 10 minutes
#
# Write the block of Model 3 (equations 4 to 6): space, then time, then the MLP. Try it without looking back. `block` has the parts `norm1`, `attn`
# (space), `norm_time`, `attn_time` (time), `norm2` and `mlp`. `x` has the shape (b, t, s, d). An attention runs over the second-to-last axis. It
# returns a pair (output, weights). Return a tensor of the shape of `x`.
#
# <details><summary>Hint</summary>
#
# `x.transpose(1, 2)` brings t to where s was. Each residual adds the input of its own part: which tensor is that?
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
# `q`, `k` and `v` have the shape (b, t, heads, s, d). Let the *first* half of the heads attend over time and the second half over space. Put the
# outputs of all heads side by side, head after head: (b, t, s, heads · d). `dot_product_attention(q, k, v)[0]` attends over the second-to-last
# axis. For 4 heads of 6 numbers, t = 3 and s = 5, the shape of the result is (b, 3, 5, 24).
#
# <details><summary>Hint</summary>
#
# For the first half: `rearrange(x, "b t h s d -> b s h t d")`, attend, and rearrange back. Before you join the heads, the axis of the heads must
# stand beside the axis d.
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
# Here is a Model 2 that somebody wrote. It runs, its shapes are right, and for one clip it gives the right answer:

# %%
show(MixingModel2)
right, wrong, three = small_model_2(), small_model_2(MixingModel2), small_clips(3)
with torch.inference_mode():
    print("one clip, same answer:", torch.allclose(right(three[:1]), wrong(three[:1]), atol=1e-5))

# %% [markdown]
# The clips of a batch are independent. Write a test that finds out whether a model respects this. `model(clips)` gives the logits (N, classes) of
# a batch.
# * Return `True` if the logits of any clip depend on the other clips of its batch, or on the clips of an earlier call in your test (the model
#   may keep something from call to call). Else return `False`.
# * Raise a `ValueError` if all clips, each alone, have equal logits, 0 or others. In a new model the classifier is zero, so all its logits are 0. Then your
#   test cannot find a mistake, and must not return `False`. (The models in the check have a random classifier, except for the last three.)
#
# <details><summary>Hint</summary>
#
# Call the model with all clips at once, and with each clip alone: `model(clips)`, `model(clips[i : i + 1])`. If the model keeps something from an
# earlier call, the two results differ as well. Rounding may also make a small difference: use `torch.allclose(..., atol=1e-5)`.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def mixes_clips(model, clips: torch.Tensor) -> bool:
#     together = model(clips)
#     if torch.allclose(together, together[:1], atol=1e-5):
#         raise ValueError("all logits are equal: give the model a random classifier first")
#     alone = torch.cat([model(clip[None]) for clip in clips])
#     return not torch.allclose(together, alone, atol=1e-5)
# ```
#
# </details>


# %%
def mixes_clips(model, clips: torch.Tensor) -> bool:
    """Whether the logits for some clips (N, T, C, H, W) depend on other clips."""
    ...  # your code


four_models.batch_independence.check(mixes_clips)

# %% [markdown]
# ### 4 · Mend it
# Difficulty ●○○○ · importance ●●●○ · 5 minutes
#
# One line of `MixingModel2` is wrong: the line in `frame_tokens`. Write `frame_tokens` correctly. Its `x` has one token for each time step of each
# clip, with the shape (b · t, d). Return (b, t, d). Which rows of `x` belong to the first clip?
#
# <details><summary>Hint</summary>
#
# Look at the line that makes the batch of time steps, "b t s d -> (b t) s d". In `(b t)` the index t changes faster than b.
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
    """One token a time step, (b * t, d), as the spatial encoder leaves them -> (b, t, d)."""
    ...  # your code


four_models.frame_tokens.check(frame_tokens)

# %% [markdown]
# ## What surprised people
#
# * **A factorised model can still see the whole clip.** Factorised means that attention treats space and time apart. In one block Model 3 reaches
#   the whole clip, as Model 1 does, with far fewer pairs.
# * **Model 2's spatial encoder never looks at another time step**, however deep it is. Before the temporal encoder, only the frames inside one
#   tubelet show it motion. And yet, in the paper's Table 2, Model 2 is within 1.2 points of Model 1 on Kinetics-400, and takes
#   17.4 ms instead of 58.9 ms. (The paper measured this on its own hardware. On a CPU the ratio is another one, see notebook 00.)
# * **Two frames in a tubelet are enough to pass the limit of 50 %.** Average pooling takes the mean of its tokens, whatever they contain. The
#   paper's baseline of this name has tubelets of 2 frames, so it sees some motion.
# * **0 % on reversed clips is a good result.** Such a model uses the direction of time. A model that is as often right as before does not use it.
# * **Not every model reaches its limit.** Average pooling of frames stays near chance, though it starts from an image model. The bag of frames,
#   with the same frames and the same start, reaches 50 %. The difference is the architecture, not the training.
#
# ## Where next
#
# [04 Attention maps](04_attention_maps.ipynb): to which tokens do trained models give large weights? [05 FLOPs](05_flops.ipynb): what do the pairs cost? [09
# Ablations](09_ablations.ipynb): the paper's tables in small, with this recipe. The four models are in [vivit.py](../vivit_lab/models/vivit.py),
# their layers in [layers.py](../vivit_lab/models/layers.py).

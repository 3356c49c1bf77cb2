# %% [markdown]
# # 02 · What is a token?
#
# A transformer reads a sequence of vectors, the tokens. A clip is a box of pixels. This notebook shows the step from the box to the
# sequence. The paper has two ways to do it, **uniform frame sampling** and **tubelet embedding**. Here they stand side by side on the same clip.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), section 3.2 (figures 2 and 3) · about 4 minutes of computing on a laptop,
# an hour with the exercises · works offline, without a GPU · before this: [01 Clip sampling](01_clip_sampling.ipynb) · words: [glossary](glossary.ipynb)

# %%
import inspect
from functools import partial
from textwrap import fill
from time import process_time
from timeit import repeat

from vivit_lab import ViViTConfig, build_model
from vivit_lab.data import sample
from vivit_lab.lessons.exercises import tokenisation
from vivit_lab.models import MODELS, TubeletEmbedding, uniform_frame_indices
from vivit_lab.models.tokens import TubeletProjection
from vivit_lab.video import VideoReader, normalise, test_clips
from vivit_lab.widgets import TokenExplorer, film_strip
from vivit_lab.widgets.token_explorer import motion_lost

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from einops import rearrange

# %% [markdown]
# ## Two ways to cut up a clip
#
# * *Uniform frame sampling* keeps a few frames, evenly spread over the clip. It cuts each kept frame into patches (rectangles of pixels), as an
#   image ViT does.
# * *Tubelet embedding* cuts the whole clip into tubelets. A tubelet is a box of $t$ frames × $h$ rows × $w$ columns. One pixel of one frame
#   in such a box is a voxel.
#
# In both ways, one linear map turns every piece into one token. The tokens that come from the same frames are a time step.
#
# **Predict first.** A clip has 16 frames of 224 × 224 pixels.
# 1. How many tokens do tubelets of 2 × 16 × 16 make?
# 2. How many tokens do 4 kept frames with patches of 16 × 16 make?
# 3. Add up how much all pixels change (in absolute value) from each frame to the next. Do the same for the 4 kept frames, from each kept frame to the next. The
#    second sum is smaller. Guess how large a part of the first sum is missing.
#
# <details><summary>Then look</summary>
#
# 1. 8 · 14 · 14 = 1,568 tokens: 16 / 2 time steps, and 224 / 16 = 14 patches along each side.
# 2. 4 · 14 · 14 = 784 tokens.
# 3. That depends on the clip. Here 50 % is missing: 40 % of the first sum lies before the first kept frame or after the last one. The
#    rest lies between the kept frames: a pixel that gets brighter and then darker again between two kept frames looks the same in both. The
#    explorer calls the sum *motion lost*.
#
# </details>

# %%
explorer = TokenExplorer("rabbit", frames=16)
tries = {
    "2 · longer tubelets": {"tubelet_t": 4},
    "3 · keep 16 frames": {"tubelet_t": 2, "sampled": 16},
    "4 · token + 1": {"tubelet_t": 2, "tubelet_h": 16, "tubelet_w": 16, "token": 890},
    "4 · + 14": {"tubelet_t": 2, "tubelet_h": 16, "tubelet_w": 16, "token": 903},
    "4 · + 196": {"tubelet_t": 2, "tubelet_h": 16, "tubelet_w": 16, "token": 1085},
    "5 · patches of 28 × 14": {"tubelet_h": 28, "tubelet_w": 14},
}
explorer.offer(tries)

# %% [markdown]
# *Picture: Big Buck Bunny, © 2008 Blender Foundation, CC BY 3.0.* Until you run the cell, you see a still picture. Run the cell to get the
# sliders. Then you can also choose another clip, or your own video by path or upload.
#
# A line under the frames of a strip marks a time step. Orange marks one token. The microscope shows the pixels of this token, enlarged.
#
# Things to try (a button does what the item with its number says):
# 1. Press a patch of the large frame and drag: the microscope follows. You can also press a frame in a strip, or a pixel under the microscope.
#    The keys ← → ↑ ↓ go from patch to patch, Page Up and Page Down from time step to time step. Then play the clip (▶). How many frames of the
#    lower strip light up?
# 2. Press → on **tubelet t**. There are half as many tokens, each has twice as many frames, and every frame is still used.
# 3. Move **kept frames** up to 16: now all frames are kept. No motion is lost, but there are twice as many tokens as with tubelets of 2 frames.
# 4. Move **token** on from 889: by 1, by 14 (the patches in a row) or by 196 (the patches in a frame). In which direction does the token move?
# 5. Set **tubelet h** to 28 and **tubelet w** to 14. Is the patch now tall or wide?
#
# <details><summary>Answers to 1, 4 and 5</summary>
#
# 1: Four, the kept ones. 4: To the patch on the right; to the patch below; to the same patch one time step later. 5: Tall: 28 rows high, 14 columns wide.
#
# </details>
#
# Here the package counts the same things. The grid is the number of tubelets along time, height and width. An attention pair is one query with one
# key: $N$ tokens and a class token (an extra token, see *Positions*) make $(N + 1)^2$ pairs.

# %%
clip = {"frames": 16, "image_size": 224}
uniform = {"tokenizer": "uniform_frames", "sampled_frames": 4, "tubelet": (1, 16, 16)}
ways = {"tubelets, t = 2": {"tubelet": (2, 16, 16)}, "tubelets, t = 4": {"tubelet": (4, 16, 16)}}
for name, way in (ways | {"4 kept frames": uniform}).items():
    config = ViViTConfig(**clip, **way)
    pairs = (config.tokens + 1) ** 2
    print(f"{name:16} grid {config.grid}, {config.tokens:5,} tokens, {pairs:9,} attention pairs")

kept = uniform_frame_indices(16, 4).tolist()
pixels = TokenExplorer("rabbit", frames=16).clip()
lost = motion_lost(pixels, tuple(kept))
ends = motion_lost(pixels, tuple(range(kept[0], kept[-1] + 1)))
print(f"kept frames: {kept}, motion lost: {lost:.0%}; {ends:.0%} of all lies at the two ends")

# %% [markdown]
# Twice the $t$ gives half the tokens and about a quarter of the pairs. The kept frames have gaps of 3, 4 and 3: they are evenly spread, and then
# rounded to whole frames. A clip with one stride (notebook 01) has equal gaps. Uniform frame sampling has uneven ones, in the official code too.
#
# The sides of a tubelet must divide the clip. If they do not, the official code drops the rest without a message. This package raises an error,
# which names the nearest value that is allowed:

# %%
try:
    ViViTConfig(frames=33, tubelet=(4, 16, 16))
except ValueError as error:
    print(fill(str(error), 90))

# %% [markdown]
# What can a model miss when a frame is not kept? In the clip `crossing`, a star flashes for three frames. Tubelets contain all frames, so some
# tokens contain the flash. The kept frames do not. (Before the flash, the line has a dip. There a disc hides a part of a square.)

# %%
with VideoReader(sample("crossing")) as video:
    frames = video.read(range(video.num_frames), short_side=64)
brightness, kept = frames.float().flatten(1).mean(1), uniform_frame_indices(64, 8)
flash = brightness > brightness[0] + 2
print("frames with the flash:", flash.nonzero().flatten().tolist())
print("kept frames:          ", kept.tolist())

fig, ax = plt.subplots(figsize=(8, 2), facecolor="white")
ax.plot(brightness, color="#1f2430", label="mean brightness, 0 to 255")
ax.plot(kept, brightness[kept], "o", color="#0f9d7a", label="8 kept frames")
ax.set(xlabel="frame", title="The flash lies between two kept frames")
_ = ax.legend(frameon=False)

# %%
film_strip({"frames 32 to 43 of the clip": frames[32:44]}, side=60)

# %% [markdown]
# ## Tubelet embedding, three ways
#
# The paper describes tubelet embedding as a 3-D convolution that moves on by the size of its kernel (its weights) each time. So the boxes do
# not overlap, and no convolution is needed: cut the boxes out, flatten them, multiply by the weights. Here is the package's code:
# * The pattern `boxes` is the main idea: `rearrange` cuts and flattens with it, and `F.linear` multiplies. It starts with "b c", because a `Conv3d` wants
#   the channels before the time. The package exchanges these two axes of the clip before this step.
# * `sizes` is the dictionary of the three sides, for example `{"t": 2, "h": 16, "w": 16}`.
# * The `if` is for other layers, whose boxes do overlap.

# %%
print(f'    boxes = "{TubeletProjection.boxes}"\n')
print(inspect.getsource(TubeletProjection.forward))

# %% [markdown]
# **Predict first.** The three functions below compute the same sums. Which one is the fastest on one core of your processor?

# %%
config = ViViTConfig(frames=32, image_size=224, tubelet=(2, 16, 16))
embed = TubeletEmbedding(config)
weight, bias = embed.proj.weight, embed.proj.bias

with VideoReader(sample("rabbit")) as video:
    indices = test_clips(video.num_frames, clips=1, clip_frames=32, stride=2)[0]
    clip = video.read(indices, short_side=224)[..., :224]
clip = normalise(clip)[None].contiguous()  # (B, T, C, H, W), in [-1, 1]


# %%
def by_convolution(clip):
    volume = F.conv3d(clip.transpose(1, 2), weight, bias, stride=(2, 16, 16))
    return rearrange(volume, "b d t h w -> b t (h w) d")


def by_unfolding(clip):
    boxes = clip.unfold(1, 2, 2).unfold(3, 16, 16).unfold(4, 16, 16)  # (b, nt, c, nh, nw, t, h, w)
    boxes = boxes.permute(0, 1, 3, 4, 2, 5, 6, 7).flatten(4).flatten(2, 3)
    return F.linear(boxes, weight.flatten(1), bias)


# %%
ways = {"F.conv3d": by_convolution, "unfold, linear": by_unfolding, "einops, linear": embed}
with torch.inference_mode():
    outputs = [way(clip) for way in ways.values()]
    for name, output in zip(ways, outputs, strict=True):
        error = (output - outputs[0]).abs().max().item()
        print(f"{name:15} {tuple(output.shape)}  largest difference {error:.0e}")

# %%
threads = torch.get_num_threads()
torch.set_num_threads(1)
with torch.inference_mode():
    runs = [repeat(partial(way, clip), timer=process_time, number=1) for way in ways.values()]
torch.set_num_threads(threads)

fig, ax = plt.subplots(figsize=(8, 1.6), facecolor="white")
bars = ax.barh(
    list(ways), [1000 * min(each) for each in runs], color=["#6b7280", "#6b7280", "#2f6fed"]
)
ax.bar_label(bars, fmt=" %.0f ms", padding=2)
ax.set(title="One clip of 32 × 224 × 224, processor time on one core, best of 5 runs")
ax.invert_yaxis()
ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# The three outputs are equal, except for rounding. That is always so when the boxes do not overlap. The times depend on the processor. On the
# machine that built this notebook, the two matrix products take less time than the convolution. So the package multiplies. (On another machine
# the order can be another one. The times also depend on the order of the numbers in
# memory. Without `.contiguous()` the channels are last in memory, and then the convolution takes less time than the products on this
# machine.) The package still stores the weight as a `Conv3d` does, under timm's name `patch_embed.proj`, so that weights from elsewhere fit.
#
# ## The order of the tokens: time changes slowest
#
# Tokens are numbered in the order $(t, h, w)$: first all patches of the first time step, row by row, then those of the next time step. The
# shape of a tensor does not show this order: $(h, w, t)$ has the same shape. Below, a clip of coloured bars is cut into tokens and put together
# again, first in the right order, then in the wrong one.

# %%
with VideoReader(sample("bars")) as video:
    bars = video.read(range(0, 8), short_side=112).float() / 255
box = {"t": 2, "h": 16, "w": 16}
pieces = rearrange(bars, "(nt t) c (nh h) (nw w) -> (nt nh nw) (c t h w)", **box)
size = box | {"c": 3, "nt": 4, "nh": 7}

right = rearrange(pieces, "(nt nh nw) (c t h w) -> (nt t) (nh h) (nw w) c", **size)
wrong = rearrange(pieces, "(nh nw nt) (c t h w) -> (nt t) (nh h) (nw w) c", **size)
fig, axes = plt.subplots(2, 4, figsize=(8, 4.5), facecolor="white", layout="constrained")
for row, (name, frames) in enumerate({"(t h w)": right, "(h w t)": wrong}.items()):
    for column in range(4):
        axes[row, column].imshow(frames[2 * column])
        axes[row, column].set(xticks=[], yticks=[], title=f"{name}, step {column}")

# %% [markdown]
# A model with this mistake raises no error, and it trains. What is wrong then?
# * Models 2, 3 and 4 take the tokens of one time step out of the sequence. They get a mixture of times and places instead.
# * Positions that were copied from an image model (notebook 06) are added to tokens of other places.
# * Attention maps (notebook 04) are drawn at the wrong places.
#
# ## Positions
#
# Attention takes its tokens as a set: it does not know their order. So a learned vector is added to every token once, before the first block. This vector is the
# token's position embedding. Position embeddings are stored as a table with one row for each position. Which tables do the four models have? (Notebook 00 shows the
# four models, notebook 03 explains them.)

# %%
for name, title in MODELS.items():
    with torch.device("meta"):  # shapes only
        tables = build_model(ViViTConfig.preset("B/16x2", model=name)).state_dict()
    for key, table in tables.items():
        if "pos_embed" in key:
            print(f"{title:46} {key:18} {tuple(table.shape)!s:15} {table.numel():>9,} parameters")

# %% [markdown]
# * **Model 1** has a row for each of the 16 · 14 · 14 = 3,136 tokens, and one row for its class token. (The class token is an extra learned
#   token. The classifier, the last layer, reads only this token.)
# * **Model 2** has two tables. Its spatial encoder gets the tokens of one time step at a time: 14 · 14 = 196 places, the same in every time step. So
#   all time steps share one table. Its temporal encoder then gets one token for each of the 16 time steps, and adds a table for time. Each
#   encoder has a class token, so each table has one row more.
# * **Models 3 and 4** have the joint table of Model 1, without the row of the class token.
#
# **Why do Models 3 and 4 not have a table for space and a table for time, although their attention does separate space and time?** Like Model 1, they
# give all 3,136 tokens to the first block, and all tokens stay until the last block. Only the attention inside a block is different: it compares
# tokens of one time step, or tokens of one place. The position is added only once, before all of this. So it must contain both: attention over space
# needs the place of a token, attention over time needs its time. One row for each token gives both. A table for space and a table for
# time, both added to each token, would be possible too, with fewer numbers. The official code has one joint table. Models 3 and 4 have no class token, because such a token has no
# place and no time. (The reasons are our reading; the tables are those of the official code.)
#
# **Predict first.** Shuffle all tokens of a clip before a small Model 1. Do its logits (the scores of the classes) change? Do they change if each row of
# the table moves with its token? Do they change without positions?

# %%
small = ViViTConfig(frames=32, image_size=224, dim=96, depth=2, heads=4, mlp_dim=192, num_classes=5)
torch.manual_seed(0)
model = build_model(small).eval()
torch.nn.init.normal_(model.head.weight)  # a new classifier is zero, and would hide any change


def logits(order, table):
    """Of Model 1, with its tokens in this order and these positions."""
    tokens = model.patch_embed(clip).flatten(1, 2)[:, order]
    x = torch.cat([model.cls_token, tokens], dim=1) + table  # equation 1
    for block in model.blocks:
        x, _ = block(x)
    return model.head(model.norm(x)[:, 0])


# %%
order, table = torch.arange(small.tokens), model.pos_embed
shuffled = torch.randperm(small.tokens)
moved = torch.cat([table[:, :1], table[:, 1:][:, shuffled]], dim=1)
with torch.inference_mode():
    print(f"largest logit, tokens in order: {logits(order, table).abs().max().item():.2f}\n")
    for name, before, after in (
        ("positions stay", table, table),
        ("positions move, too", table, moved),
        ("no positions", 0 * table, 0 * table),
    ):
        change = (logits(shuffled, after) - logits(order, before)).abs().max().item()
        print(f"{name:20} shuffling changes the logits by {change:.0e}")

# %% [markdown]
# * **Positions stay**: the logits change. (They change little, because the positions of an untrained model are small.)
# * **Positions move, too**: only rounding is left. So a Model 1 that is trained from random weights can use any order of the tokens, if it always
#   uses the same.
# * **No positions**: only rounding is left. Model 1 sees a set of tubelets without an order. It still knows the order of the frames *inside* a
#   tubelet, because the linear map has a weight of its own for each voxel.
#
# ## Exercises
#
# Write your answer in the cell, run the cell, and read what the check says. Each check knows the usual mistakes.
#
# ### 1 · How many tokens?
# Difficulty ●○○○ · importance ●●●● · 3 minutes
#
# A clip has `frames` frames of `size` × `size` pixels. It is cut into tubelets of `(t, h, w)`, which divide the clip. Return the number of tokens, as
# a whole number (`int`, not `float`), without class tokens. Example: `token_count(16, 224, (2, 16, 16))` is 1568.
#
# <details><summary>Hint</summary>
#
# How many boxes fit along each of the three axes?
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def token_count(frames: int, size: int, tubelet: tuple[int, int, int]) -> int:
#     t, h, w = tubelet
#     return (frames // t) * (size // h) * (size // w)
# ```
#
# </details>


# %%
def token_count(frames: int, size: int, tubelet: tuple[int, int, int]) -> int:
    """Tokens of a clip."""
    ...  # your code


tokenisation.token_count.check(token_count)

# %% [markdown]
# ### 2 · Write tubelet embedding
# Difficulty ●●●○ · importance ●●●● · 15 minutes
#
# `clip` is a tensor (B, T, C, H, W). `weight` is (D, C, t, h, w), as a `Conv3d` has it, and `bias` is (D,). Return the tokens (B, N, D) in the order
# (t, h, w). Do not use a convolution. (The clip has time before channels. The pattern `boxes` above has them the other way round.)
#
# <details><summary>Hint</summary>
#
# One `rearrange` makes (B, N, voxels of a box). Flatten the voxels in the same order as `weight.flatten(1)` has its weights.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def tubelet_embedding(clip: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
#     _, _, t, h, w = weight.shape
#     boxes = rearrange(
#         clip, "b (nt t) c (nh h) (nw w) -> b (nt nh nw) (c t h w)", t=t, h=h, w=w
#     )
#     return boxes @ weight.flatten(1).T + bias
# ```
#
# </details>


# %%
def tubelet_embedding(clip: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """(B, T, C, H, W) -> (B, N, D)."""
    ...  # your code


tokenisation.tubelet_embedding.check(tubelet_embedding)

# %% [markdown]
# ### 3 · Write uniform frame sampling
# Difficulty ●●○○ · importance ●●○○ · 10 minutes
#
# A clip has `frames` frames, and `sampled` of them are kept (fewer than all). Divide the length `frames` into `sampled + 1` equal parts, by
# `sampled` cuts (no cut lies at the start or at the end). For each cut, keep the frame with the nearest number; if two are equally near, either is
# right. Return the frame numbers as an ascending list. Example:
# `uniform_frames(16, 4)` is `[3, 6, 10, 13]`, because the cuts lie at 3.2, 6.4, 9.6 and 12.8.
#
# <details><summary>Hint</summary>
#
# There are n cuts in a length of T. The k-th cut lies at k · T / (n + 1). Python's `round` rounds it.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def uniform_frames(frames: int, sampled: int) -> list[int]:
#     return [round(k * frames / (sampled + 1)) for k in range(1, sampled + 1)]
# ```
#
# </details>


# %%
def uniform_frames(frames: int, sampled: int) -> list[int]:
    """Ascending frame numbers."""
    ...  # your code


tokenisation.uniform_frames.check(uniform_frames)

# %% [markdown]
# ### 4 · Repair the order of the tokens
# Difficulty ●●○○ · importance ●●●○ · 5 minutes
#
# `tokens` is a tensor (B, N, D). Its tokens are in the wrong order $(h, w, t)$, as in the lower row of the picture above. `grid` is
# $(n_t, n_h, n_w)$. Return the same tokens in the order $(t, h, w)$, again as (B, N, D).
#
# Example: for the grid (2, 1, 2) the tokens come in as *time 0 left, time 1 left, time 0 right, time 1 right*. They go out as *time 0 left,
# time 0 right, time 1 left, time 1 right*.
#
# <details><summary>Hint</summary>
#
# `rearrange(tokens, "b (…) d -> b (t h w) d", …)`: write the order that the tokens have now on the left.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def mended_order(tokens: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
#     return rearrange(tokens, "b (h w t) d -> b (t h w) d", t=grid[0], h=grid[1])
# ```
#
# </details>


# %%
def mended_order(tokens: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
    """(B, N, D) in (h w t) order -> (B, N, D) in (t h w) order."""
    ...  # your code


tokenisation.mended_order.check(mended_order)

# %% [markdown]
# ## What surprised people
#
# * **Tubelets alone are not better.** These are the paper's own results (Table 1: Model 1, B/16x2, Kinetics-400). Uniform frame sampling
#   reaches 78.5 %. Tubelets whose weights start at random reach only 73.2 %. Tubelets that start from an image model reach 79.2 %, if they take its
#   weights at one frame and 0 at the others (*central frame*). As we read the paper, the rest of the model starts from an image model in all of these runs. Notebook 06 explains this.
# * **Two frames in a token are enough to show a direction.** A mean over tubelets of two frames can still tell left from right.
#   A mean over single frames cannot. (Notebook 03 tests both.)
# * **A wrong order of the tokens does not harm every model.** A Model 1 from random weights learns equally well with it. Models 2 to 4 then mix places
#   and times in every attention.
#
# ## Where next
#
# [03 Four models](03_four_models.ipynb): there are tokens now. Which tokens may attend to which? In this package, uniform frame sampling is
# `ViViTConfig(tokenizer="uniform_frames", sampled_frames=8, tubelet=(1, 16, 16))`. Its code is `UniformFrameEmbedding`
# in [tokens.py](../vivit_lab/models/tokens.py).

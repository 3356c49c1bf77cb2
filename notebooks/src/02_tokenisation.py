# %% [markdown]
# # 02 · What is a token?
#
# A transformer reads a sequence of vectors. A video is a box of pixels. This notebook is about the step between the two:
# **uniform frame sampling** and **tubelet embedding**, side by side on the same clip.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), section 3.2 (figures 2 and 3) · about 4 minutes of computing on a laptop,
# an hour with the exercises · works offline, without a GPU · before this: [01 Clip sampling](01_clip_sampling.ipynb) · words: [glossary](glossary.md)

# %%
import inspect
import statistics
import time

from vivit_lab import ViViTConfig, build_model
from vivit_lab.data import sample
from vivit_lab.lessons.exercises import tokenisation
from vivit_lab.models import TubeletEmbedding, uniform_frame_indices
from vivit_lab.models.tokens import TubeletProjection
from vivit_lab.video import VideoReader, normalise, test_clips
from vivit_lab.widgets import TokenExplorer

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from einops import rearrange

# %% [markdown]
# ## Two ways to cut up a clip
#
# *Uniform frame sampling* keeps a few frames, evenly spread, and cuts each into patches like an image ViT. *Tubelet embedding*
# cuts the whole clip into boxes of $t \times h \times w$ voxels. Either way one linear map turns every piece into one token.
#
# **Predict first.** A clip has 16 frames of 224 × 224. How many tokens do tubelets of 2 × 16 × 16 make? How many does uniform
# sampling of 4 frames make? Of the change from frame to frame, how much do those 4 frames miss?
#
# <details><summary>Then look</summary>
#
# 8 · 14 · 14 = 1,568 tokens against 4 · 14 · 14 = 784. What the 4 frames miss depends on the clip: the explorer says 50 % here.
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
# *Picture: Big Buck Bunny, © 2008 Blender Foundation, CC BY 3.0.* Without a kernel you see a still; run the cell for the sliders
# (and choose another clip, or your own video by path or upload).
#
# Things to try (the buttons do what the items of their number say):
# 1. Press a patch of the large frame and drag: the microscope follows. Press a frame in a strip, a pixel under the microscope; ← → ↑ ↓ go
#    from patch to patch, Page Up and Page Down from tubelet to tubelet. What you point at lights up wherever it is seen. Play the clip (▶):
#    how often does the lower strip flash?
# 2. Press → on **tubelet t**. Tokens halve, the box under the microscope grows, and every frame is still seen.
# 3. Move **kept frames** up to 16: nothing is lost any more, at twice the tokens of 2-frame tubelets.
# 4. Move **token** by one, then by the number of patches in a row, then by the number in a frame. Which way does it go each time?
# 5. Set **tubelet h** to 28 and **tubelet w** to 14. Which side of the patch is the tall one?
#
# The clip `crossing` has a star that flashes for three frames. Tubelets cannot overlook it. Sampled frames can:

# %%
video = VideoReader(sample("crossing"))
frames = video.read(range(video.num_frames), short_side=64).float()
brightness = frames.flatten(1).mean(1)

kept = uniform_frame_indices(64, 8)
fig, ax = plt.subplots(figsize=(8, 2), facecolor="white")
ax.plot(brightness, color="#1f2430", label="mean brightness")
ax.plot(kept, brightness[kept], "o", color="#0f9d7a", label="8 sampled frames")
ax.set(xlabel="frame", title="The flash falls between two sampled frames")
_ = ax.legend(frameon=False)
# %% [markdown]
# ## Tubelet embedding, three ways
#
# The paper writes it as a 3-D convolution whose stride equals its kernel. Boxes that do not overlap need no convolution, though:
# cut, flatten, multiply. Here is the package's version; the pattern of `rearrange` is the whole idea.

# %%
print(f'    boxes = "{TubeletProjection.boxes}"\n')
print(inspect.getsource(TubeletProjection.forward))

# %% [markdown]
# **Predict first.** All three below compute the same sums. Which is the fastest on your processor?

# %%
config = ViViTConfig(frames=32, image_size=224, tubelet=(2, 16, 16))
embed = TubeletEmbedding(config)
weight, bias = embed.proj.weight, embed.proj.bias

with VideoReader(sample("rabbit")) as video:
    indices = test_clips(video.num_frames, clips=1, clip_frames=32, stride=2)[0]
    clip = video.read(indices, short_side=224)[..., :224]
clip = normalise(clip)[None]  # (B, T, C, H, W), in [-1, 1]


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
def seconds(way, repeats=7):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        way(clip)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


with torch.inference_mode():
    medians = [1000 * seconds(way) for way in ways.values()]
fig, ax = plt.subplots(figsize=(8, 1.6), facecolor="white")
bars = ax.barh(list(ways), medians, color=["#6b7280", "#6b7280", "#2f6fed"])
ax.bar_label(bars, fmt=" %.0f ms", padding=2)
ax.set(title="One clip of 32 × 224 × 224, on this machine, median of 7")
ax.invert_yaxis()
ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# The three agree to rounding. That they do is a theorem about strides; which one is the fastest depends on the processor. On one core
# of the machine that this notebook was built on, the matrix product takes half the time of the convolution, which is why the package
# multiplies. Its weight is still stored as a `Conv3d`, under timm's name
# `patch_embed.proj`, so that weights from elsewhere fit.
#
# ## Order: time slowest, then rows
#
# Tokens are numbered $(t, h, w)$: all patches of the first time step, row by row, then the next step. Nothing in the shapes says
# so: $(h, w, t)$ has the same length. The bars below are cut into tokens and put together again, once in the right order, once not.

# %%
with VideoReader(sample("bars")) as video:
    bars = video.read(range(0, 8), short_side=112).float() / 255
box = {"t": 2, "h": 16, "w": 16}
pieces = rearrange(bars, "(nt t) c (nh h) (nw w) -> (nt nh nw) (c t h w)", **box)
size = box | {"c": 3, "nt": 4, "nh": 7}

right = rearrange(pieces, "(nt nh nw) (c t h w) -> (nt t) (nh h) (nw w) c", **size)
wrong = rearrange(pieces, "(nh nw nt) (c t h w) -> (nt t) (nh h) (nw w) c", **size)
fig, axes = plt.subplots(2, 4, figsize=(8, 4.2), facecolor="white")
for row, (name, frames) in enumerate({"(t h w)": right, "(h w t)": wrong}.items()):
    for column in range(4):
        axes[row, column].imshow(frames[2 * column])
        axes[row, column].set(xticks=[], yticks=[], title=f"{name}, step {column}")
fig.tight_layout()

# %% [markdown]
# A model with this mistake still trains. It only never finds out which patches are neighbours, and its positions mean nothing.
#
# ## Positions
#
# Attention treats its tokens as a set. What tells it where a token was is a learned vector, added once at the start. The four
# models keep different tables, as long as the sequences that they attend over:

# %%
for model in ("joint", "factorised_encoder", "factorised_self_attention"):
    with torch.device("meta"):  # shapes only
        tables = build_model(ViViTConfig.preset("B/16x2", model=model)).state_dict()
    for name, table in tables.items():
        if "pos_embed" in name:
            print(f"{model:26} {name:20} {tuple(table.shape)}  {table.numel():>9,} parameters")

# %% [markdown]
# Model 1 has a row for each of the 3,136 tokens and one for its class token. Model 2 has one table for space, shared by all time
# steps, and one for time. Models 3 and 4 have the joint table, but no class token: they too keep all tokens of the clip from the
# first block to the last, so each token needs a position of its own. Only Model 2 gives the time steps to another encoder, which then
# adds positions in time.
#
# **Predict first.** Shuffle all tokens of a clip before a small Model 1. Does its answer change? And with the positions set to 0?

# %%
small = ViViTConfig(frames=32, image_size=224, dim=96, depth=2, heads=4, mlp_dim=192, num_classes=5)
torch.manual_seed(0)
model = build_model(small).eval()
torch.nn.init.normal_(model.head.weight)
order = torch.randperm(small.tokens)

embed_clip = model.patch_embed.forward


def embed_shuffled(clip):
    return embed_clip(clip).flatten(1, 2)[:, order].unflatten(1, (16, 196))


with torch.inference_mode():
    for name in ("with positions", "without"):
        model.patch_embed.forward = embed_clip
        in_order = model(clip)
        model.patch_embed.forward = embed_shuffled
        change = (model(clip) - in_order).abs().max().item()
        print(f"{name:15} shuffling changes the logits by {change:.1e}")
        model.pos_embed.zero_()

# %% [markdown]
# Without positions the video is a bag of tubelets: what is left is rounding. Order *inside* a tubelet is safe either way, because the
# linear map sees which voxel is which.
#
# ## Exercises
#
# Write in the cell, run it, and read what the check says. Each check knows the usual mistakes.
#
# ### 1 · How many tokens?
# Difficulty ●○○○ · importance ●●●● · 3 minutes
#
# `frames` frames of `size` × `size` pixels, tubelets `(t, h, w)`. Class tokens do not count.
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
# `clip` is (B, T, C, H, W), `weight` (D, C, t, h, w) as a `Conv3d` has it, `bias` (D,). Return (B, N, D), time slowest. No
# convolution.
#
# <details><summary>Hint</summary>
#
# One `rearrange` makes (B, N, voxels of a box); the voxels must be flattened in the order in which `weight.flatten(1)` has them.
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
# Which `sampled` of `frames` frames are kept? They cut the clip into `sampled + 1` equal parts; round to the nearest frame.
#
# <details><summary>Hint</summary>
#
# The k-th of n cuts of a length T lies at k · T / (n + 1). Python's `round` does the rest.
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
# ### 4 · Mend the picture with bars
# Difficulty ●●○○ · importance ●●●○ · 5 minutes
#
# Somebody's loader hands over tokens in the order of the lower picture, $(h, w, t)$, as (B, N, D). `grid` is $(n_t, n_h, n_w)$.
# Put them in order.
#
# <details><summary>Hint</summary>
#
# `rearrange(tokens, "b (…) d -> b (t h w) d", …)`: on the left stands the order in which the tokens are now.
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
# * **Tubelets alone are not better.** In the paper's Table 1 (reported there: Model 1, B/16x2, Kinetics-400) uniform frame sampling
#   reaches 78.5 %, tubelets from a random start only 73.2 %. Started from an image model's weights the right way (*central frame*)
#   they reach 79.2 %. That is notebook 06.
# * **Longer tubelets are cheaper, not stronger.** Doubling t halves the tokens; attention over all of them costs a quarter.
# * **Two frames in a token are enough to know a direction.** Averaging over tubelets of two frames can still tell left from right;
#   averaging over single frames cannot (notebook 03).
# * **Remainders.** With 33 frames and t = 2 the official code drops the last frame silently. This package refuses, and names the
#   nearest legal value: `ViViTConfig(frames=33)`.
#
# ## Where next
#
# [03 Four models](03_four_models.ipynb): now that there are tokens, who may look at whom? The uniform tokenizer in this package is
# `ViViTConfig(tokenizer="uniform_frames", sampled_frames=8, tubelet=(1, 16, 16))`; its source is `UniformFrameEmbedding`, ten lines
# in [tokens.py](../vivit_lab/models/tokens.py).

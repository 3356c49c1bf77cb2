# %% [markdown]
# # 04 · Where does it look?
#
# Attention gives every token of a clip a weight, so it can be laid back over the frames. This notebook does that for the four models,
# exactly and in little memory, multiplies maps into *rollout*, and then asks what such pictures do not tell.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), section 3.3; rollout is from
# [Abnar and Zuidema, 2020](https://arxiv.org/abs/2005.00928) · about a minute of computing on a laptop, an hour with the exercises ·
# works offline, without a GPU · before this: [02 Tokenisation](02_tokenisation.ipynb) · words: [glossary](glossary.ipynb)

# %%
import copy
import inspect
from pathlib import Path

from vivit_lab import ViViTConfig, build_model
from vivit_lab.analysis import attention_maps, logit_lens, rollout
from vivit_lab.data import ArrowOfTime, Catalog, Segment, ViewDataset, sample
from vivit_lab.lessons.exercises import attention
from vivit_lab.models import MODELS, attention_bytes
from vivit_lab.training import predict
from vivit_lab.video import VideoReader, normalise, test_clips
from vivit_lab.weights import load_huggingface
from vivit_lab.widgets import AttentionExplorer, BlockExplorer
from vivit_lab.widgets.attention_explorer import models

import matplotlib.pyplot as plt
import torch
from einops import rearrange, reduce, repeat
from IPython.display import display

# %% [markdown]
# ## Ask any token
#
# Four small models, each with two sets of weights: *trained* to tell moving shapes apart (clips that we render, in eight classes such as
# "moves right"), and *random*. The trained ones are small, and good at this one thing: they name 99 % or more of unseen clips
# ([log](../assets/weights/log.json)). Pick a query, a block and a head. Yellow cells are those that the query takes most from.
#
# **Predict first.** Model 3 attends over space, then over time. Ask one token for its *space map*: how many of the time steps in the
# film strip can light up? And for its *time map*: how many cells of each frame?
#
# <details><summary>Then look</summary>
#
# One step, its own. One cell, its own place. Everything else is not small but exactly 0, because no attention connects them.
#
# </details>

# %%
explorer = AttentionExplorer("moves right", model="joint").offer(
    {
        "1 · on the shape": {"step": 1, "row": 2, "column": 1},
        "1 · off the shape": {"step": 1, "row": 0, "column": 5},
        "2 · one head": {"layer": 3, "head": 1},
        "3 · random weights": {"weights": "random"},
        "4 · Model 2, last block": {"model": "factorised_encoder", "layer": 5},
        "5 · rollout": {"show": "rollout"},
    }
)
explorer

# %% [markdown]
# Without a kernel you see a still; run the cell for the sliders (and choose another clip, or your own video by path or upload).
#
# Press a token of a frame, and it is the query; press one of the small maps, and it is shown large.
#
# Things to try:
# 1. Press a token on the shape, then one off it. Does the shape look at itself?
# 2. Compare the small maps of one **block**. Heads disagree; their mean hides it.
# 3. Switch **weights** between trained and random, with everything else as it is.
# 4. Take **Model 2** and move **block** from first to last. The last blocks are the temporal encoder's, which sees whole time steps.
# 5. Choose **rollout**. The sliders that play no part in it go grey.
#
# ## A map is a row
#
# `attention_maps` runs a clip through a model. What one query takes from every token is a row of the attention matrix, and comes back as
# $(t, h, w)$, whatever the layout inside the model. A row of a softmax sums to one; class tokens have their share of it.

# %%
kinds = models()
group = kinds["trained"]
config = group["joint"].config
frames, _, size, _ = config.clip_shape
dataset = ArrowOfTime(160, frames, size, seed=3)
pixels, label = dataset[0]
clip = normalise(pixels)[None]  # (1, T, C, H, W), in [-1, 1]
print(tuple(clip.shape), dataset.classes[label], "-> tokens", config.grid)

# %%
maps = attention_maps(group["joint"], clip)
row = maps.at(layer=-1).row("cls", head="each")
print(row.label, tuple(row.weights.shape), "(heads, t, h, w)")
for head in range(len(row.weights)):
    on_tokens, on_cls = row.weights[head].sum(), row.on_cls[head]
    print(f"head {head}: tokens {on_tokens:.3f} + class token {on_cls:.3f} = {row.total[head]:.3f}")

# %% [markdown]
# These are the model's own weights, not an estimate. `model(clip, return_attention=True)` returns the same numbers, as whole matrices:

# %%
with torch.no_grad():
    _, own = group["joint"](clip, return_attention=True)
last = own[-1]["joint"][0]  # (heads, N, N), the class token at index 0
difference = last[:, 0, 1:] - row.weights.flatten(1)
print(f"largest difference {difference.abs().max():.0e}")

# %% [markdown]
# ## The map with bars
#
# Here is that row on the frames: the class token's map in the last block, mean over heads. The lower strip is the same row, reshaped as
# $(h, w, t)$ by mistake. It has the right shape and the right sum, and it is wrong in every cell.


# %%
def strips(rows):
    """A row of pictures for each name: (t, h, w), from 0 to the largest of its row."""
    steps = len(next(iter(rows.values())))
    side = min(1.25, 8 / steps)
    fig, axes = plt.subplots(len(rows), steps, facecolor="white", dpi=80)
    fig.set_size_inches(steps * side, len(rows) * (side + 0.2))
    for line, (name, weights) in zip(axes, rows.items(), strict=True):
        for step, ax in enumerate(line):
            colours = "gray" if name == "clip" else "inferno"
            ax.imshow(weights[step], vmin=0, vmax=weights.max(), cmap=colours)
            ax.set(xticks=[], yticks=[])
        line[0].set_title(name, loc="left", fontsize=10)
    fig.tight_layout(pad=0.4)


# %%
row = maps.at(layer=-1).row("cls").weights  # (t, h, w)
scrambled = rearrange(row.flatten(), "(h w t) -> t h w", h=row.shape[1], w=row.shape[2])
grey = reduce(pixels.float(), "(n t) c h w -> n h w", "mean", n=len(row))
strips({"clip": grey, "class token, (t h w)": row, "the same read as (h w t)": scrambled})

# %% [markdown]
# ## Two maps and a product
#
# Models 2, 3 and 4 never compare a token with all others. There is a map over space and a map over time, and each is a true attention
# map. Their product looks like a map over the whole clip. It is not one: no layer computes it, and residuals and values are missing
# from it. So it carries another label.

# %%
maps = attention_maps(group["factorised_self_attention"], clip)
middle = tuple(n // 2 for n in config.grid)
space = maps.at(2, "space").row(middle)
time = maps.at(2, "time").row(middle)
product = maps.product(2, middle)
for found in (space, time, product):
    print(f"{(found.weights > 0).sum():4} tokens above 0, sum {found.total:.3f}: {found.label}")

# %%
strips(
    {"space map of one token": space.weights, "time map": time.weights, "product": product.weights}
)

# %% [markdown]
# ## Class tokens
#
# **Predict first.** Model 1 has one class token. How many does Model 2 have, and which of them does the classifier read?
#
# <details><summary>Then look</summary>
#
# Every time step of Model 2 has one in the spatial encoder (the same learned vector to start with, another one after the first block),
# and there is one more in the temporal encoder. The classifier reads that last one only.
#
# </details>

# %%
maps = attention_maps(group["factorised_encoder"], clip)
for found in maps:
    row = found.row("cls")
    tokens = "time steps" if found.over[1:] == (1, 1) else "patches"
    shares = f"{tokens} {row.weights.sum():.3f}, class token itself {row.on_cls:.3f}"
    print(f"block {found.layer}, {found.kind:5}: {shares}")

# %% [markdown]
# Models 3 and 4 have no class token: their classifier reads the mean of all tokens, so "where does it look" is `row("mean")`, the
# mean of all rows.
#
# ## Rollout
#
# One block's map says where that block looks. But from the second block on, every token already carries something of the others.
# *Rollout* follows that back: each block is taken as half attention, half residual, $0.5 A + 0.5 I$, and all blocks are multiplied.
#
# **Predict first.** The product of $L$ matrices of $N \times N$ takes $(L-1) N^3$ MACs. The class token is one row of it. What does the row
# alone take?
#
# <details><summary>Then look</summary>
#
# $L N^2$ MACs: start with the row that is 1 at the class token, multiply it by the last block's matrix, then the one before, back to the first.
#
# </details>

# %%
for name, model in group.items():
    found = rollout(model, clip)
    shares = f"tokens {found.weights.sum():.4f} + class tokens {found.on_cls:.4f}"
    print(f"{MODELS[name][:8]} {shares} = {found.total:.4f}")
print(f"\n{found.label}")

# %% [markdown]
# What a factorised model's rollout is, nobody has laid down; this is our reading. Model 2 passes the temporal encoder's shares on to the
# time steps' class tokens. Model 3 has two attentions and two residuals a block. Model 4 averages its space heads and its time heads. Nowhere
# is an $N \times N$ matrix made, and the rows sum to one. The loop, from the package:

# %%
print(inspect.getsource(type(maps)._rolled))

# %% [markdown]
# ## What it costs to look
#
# Attention kernels are fast because they never store the weights. Asking for them all brings the whole memory bill back. But a map is made
# of queries and keys, $2 N$ vectors; whoever keeps those can compute any row later, and that is what `attention_maps` does.

# %%
for name in MODELS:
    with torch.device("meta"):  # shapes only
        big = build_model(ViViTConfig.preset("B/16x2", model=name))
    attentions = big.config.depth * (2 if name == "factorised_self_attention" else 1)
    held = attentions * 2 * big.config.tokens * big.config.dim * 4
    print(
        f"{MODELS[name][:8]} B/16x2, one clip: all maps {attention_bytes(big) / 1e6:5.0f} MB, "
        f"queries and keys {held / 1e6:4.0f} MB"
    )

# %% [markdown]
# (Class tokens and Model 2's four temporal blocks add less than 1 % to the right column.) The maps of Model 1 are about 25 times as large as
# what they are made of. In Models 3 and 4 they are so small that keeping them would even be cheaper.
#
# ## Trained against random
#
# Do trained models look at the shape? For 24 clips: the share of rollout that falls on tokens which see the shape, divided by what an
# even spread would give them. 1 is no preference.


# %%
def sees_shape(index):
    """(t, h, w): which tokens have some of the shape in them."""
    t, h, w = config.tubelet
    bright = (dataset[index][0].float() - dataset.scene(index).background).abs()
    return reduce(bright, "(n t) c (nh h) (nw w) -> n nh nw", "max", t=t, h=h, w=w) > 20


def preference(model):
    found = []
    for index in range(24):
        weights = rollout(model, normalise(dataset[index][0])[None]).weights
        shape = sees_shape(index)
        found.append((weights[shape].mean() / weights.mean()).item())
    return sum(found) / len(found)


# %%
fig, ax = plt.subplots(figsize=(8, 2.4), facecolor="white")
for offset, (kind, colour) in enumerate({"trained": "#2f6fed", "random": "#9aa3b2"}.items()):
    heights = [preference(model) for model in kinds[kind].values()]
    places = [i + 0.38 * offset for i in range(4)]
    ax.bar_label(ax.bar(places, heights, 0.36, label=kind, color=colour), fmt="%.2f")
ax.axhline(1, color="#1f2430", linewidth=0.8)
ax.set(xticks=[i + 0.19 for i in range(4)], xticklabels=[text[:7] for text in MODELS.values()])
ax.set(title="rollout on the shape, against an even spread")
ax.margins(y=0.3)
ax.spines[["top", "right"]].set_visible(False)
_ = ax.legend(frameon=False, ncols=2, loc="upper right")

# %% [markdown]
# All four trained models give the shape clearly more than an even spread would; the random ones hardly do.

# %% [markdown]
# ## What the model would say after each block
#
# Attention maps say where information comes from. They do not say what has become of it. Another way to look inside is to ask the model early:
# take the tokens that a block leaves, skip all later blocks, and apply the model's own last norm and classifier. This is called the *logit
# lens* ([nostalgebraist, 2020](https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens)); it comes from language
# models. The last row is the model's answer.
#
# **Predict first.** One frame says nothing about the class of these clips. Model 2 has four blocks of a spatial encoder, which never see two
# time steps at once, and then two blocks of a temporal one. After which block can its answer become right?
#
# <details><summary>Then look</summary>
#
# After block 5, the first temporal block. Before it the lens averages over the time steps, and an average has no order: it is a bag of frames. A
# bag of frames can tell the pair (moves, turns, grows, or changes colour), but not the two of a pair apart.
#
# </details>

# %%
right = dict.fromkeys(MODELS, 0)  # of 80 clips, the share that is right: (blocks,)
for index in range(80):
    pixels_, label_ = dataset[index]
    for name, model in group.items():
        logits = logit_lens(model, normalise(pixels_)[None])  # (blocks, K)
        right[name] = right[name] + (logits.argmax(-1) == label_).float() / 80
for name, shares in right.items():
    print(
        f"{MODELS[name][:8]}", *(f"block {i + 1}: {share:4.0%}" for i, share in enumerate(shares))
    )

# %% [markdown]
# The same for one clip, class by class, and below it another question to the tokens of every block: how alike is one of them to all others (the
# cosine of the two vectors)? Press a model to see its tokens, and any token to compare it.

# %%
BlockExplorer("moves right", model="factorised_encoder").offer(
    {
        "1 · a clip that grows": {"shape": "grows"},
        "2 · the tokens of Model 1": {"model": "joint"},
        "3 · random weights": {"weights": "random"},
        "4 · trained again": {"weights": "trained"},
    }
)

# %% [markdown]
# Things to try:
# 1. Take a clip that **grows**. Which classes compete with the right one in the early blocks of each model?
# 2. Look at the tokens of **Model 1**. After the first block a token is like those that see the same. After the last one all are more alike.
# 3. Take **random** weights. They say nothing, since the classifier is zero. Their tokens grow alike too: attention averages. So tokens that
#    are alike are no sign that a model has learnt anything.
# 4. Go back to **trained**, and drag the token from the shape to the background.
#
# **What the lens cannot tell.** The last norm and the classifier were trained for what the last block leaves. An early block may know the
# answer and keep it in other directions, which this classifier does not read; then the lens shows a wrong answer or none. So a right answer
# after block 3 says that the answer can be read there. A wrong one does not say that it is not there.
#
# ## What attention is not an explanation of
#
# **1. It is not the output.** Attention says where information is fetched, not which. Below the value channels of the first block are put in
# another order: what is fetched is scrambled, where from is not.
#
# **Predict first.** Does the map change? Does the answer?

# %%
scrambled = copy.deepcopy(group["joint"])
qkv = scrambled.blocks[0].attn.qkv
torch.manual_seed(0)
with torch.no_grad():
    order = 2 * config.dim + torch.randperm(config.dim)
    qkv.weight[2 * config.dim :] = qkv.weight[order]

# %%
for name, model in {"as trained": group["joint"], "values scrambled": scrambled}.items():
    with torch.no_grad():
        share = model(clip)[0].softmax(-1)[label]
    seen = attention_maps(model, clip, layers=[0])
    first = attention_maps(group["joint"], clip, layers=[0])
    change = (seen[0].full() - first[0].full()).abs().max()
    print(f"{name:17} {dataset.classes[label]!r}: {share:.2f}; its map differs by {change:.3f}")

# %% [markdown]
# The same map of that block, in every row and head, stands for two different answers. Alone it explains neither.
#
# **2. It lights up without any training.** A real clip, rollout of Model 1. Neither set of weights has ever seen a rabbit; one has never seen
# anything.

# %%
with VideoReader(sample("rabbit")) as video:
    indices = test_clips(video.num_frames, clips=3, clip_frames=frames, stride=2)[1]
    rabbit = video.read(indices, short_side=size)
left = (rabbit.shape[-1] - size) // 2
rabbit = rabbit[..., left : left + size]
grey = reduce(rabbit.float(), "(n t) c h w -> n h w", "mean", t=config.tubelet[0])
rows = {"clip": grey}
for kind in kinds:
    rows[f"rollout, {kind}"] = rollout(kinds[kind]["joint"], normalise(rabbit)[None]).weights
strips(rows)

# %% [markdown]
# *Pictures: Big Buck Bunny, © 2008 Blender Foundation, CC BY 3.0.* The random model's brightest cell lies on the rabbit in every step. Queries and
# keys compare patches with each other even when nobody has taught them what for, so patches unlike the rest stand out. A map that looks
# sensible to us is no evidence that the model learnt anything.
#
# **3. Ask the model instead.** If cells that light up matter, covering them must hurt more than covering others. That is an experiment, and
# it needs no opinion on the picture. A quarter of the tokens is painted over with the background: the right class then gets which
# probability, in Models 1 to 4? (A clip with holes is a strange clip, so compare the ways of covering with each other.)


# %%
def covered(index, tokens):
    """The clip with the background painted over some tokens (t, h, w)."""
    t, h, w = config.tubelet
    mask = repeat(tokens, "n nh nw -> (n t) 1 (nh h) (nw w)", t=t, h=h, w=w)
    painted = torch.where(mask, dataset.scene(index).background, dataset[index][0].float())
    return normalise(painted.byte())[None]


@torch.no_grad()
def certainty(model, watched, choose):
    """Mean probability of the right class, with a quarter of the tokens covered.

    `choose` says which, from the rollout of the model `watched`.
    """
    found = []
    for index in range(24):
        weights = rollout(watched, normalise(dataset[index][0])[None]).weights
        tokens = torch.zeros(weights.numel(), dtype=torch.bool)
        tokens[choose(weights.flatten())[: len(tokens) // 4]] = True
        shares = model(covered(index, tokens.view(weights.shape)))[0].softmax(-1)
        found.append(shares[index % len(dataset.classes)])
    return sum(found) / len(found)


# %%
def brightest(weights):
    return weights.argsort(descending=True)


ways = {
    "nothing": ("trained", lambda weights: brightest(weights)[:0]),
    "the faintest": ("trained", lambda weights: brightest(weights).flip(0)),
    "any": ("trained", lambda weights: torch.randperm(len(weights))),
    "the brightest of the random model": ("random", brightest),
    "the brightest": ("trained", brightest),
}
for way, (kind, choose) in ways.items():
    torch.manual_seed(0)
    found = [certainty(model, kinds[kind][name], choose) for name, model in group.items()]
    print(f"{way:34} covered: {'  '.join(f'{share:.2f}' for share in found)}")

# %% [markdown]
# Covering the brightest cells hurts all four models far more than covering the faintest: here the maps do point at what matters, which we
# know because we asked. But read the line above. Covering what the map of the *random* model points at hurts Model 1 as much and Model 3 even
# more, and the random model has learnt nothing. In these clips whatever differs from the background is the shape, and that is easy to
# find. And Model 4 suffers from any holes nearly as much. Pointing at the right place is one thing, showing what was learnt another.
#
# ## The published model, on your video
#
# All models above are small, and know moving shapes only. Google published Model 1 in the paper's size, trained on Kinetics-400. Where does
# it look in a video of yours? Fill in two lines. (A clip takes it some seconds on a laptop.)

# %%
PUBLISHED = ""  # "google/vivit-b-16x2-kinetics400" downloads 350 MB; or a folder with its files
VIDEO = sample("rabbit")  # or the path of a video of yours


# %%
def where_it_looks(source, video):
    """What a model of transformers names in the first clip of a video, and its rollout."""
    published = load_huggingface(source)[0].eval()
    found = predict(published, video, top=3, clips=1, crops=1)
    catalog = Catalog([Segment(Path(video), None)], [], video)
    expected = found.expected
    views, _ = ViewDataset(catalog, expected.sampling, 1, expected.test_transform())[0]
    weights = rollout(published, expected.rescale(normalise(views))).weights
    seen = reduce(views[0].float(), "(n t) c h w -> n h w", "mean", n=len(weights))
    strips({"clip": seen, "rollout of the class token": weights})
    return found


if PUBLISHED:
    display(where_it_looks(PUBLISHED, VIDEO))
else:
    print(
        "Set PUBLISHED above. Without a network: on a machine that has one, run\n"
        "    hf download google/vivit-b-16x2-kinetics400 --local-dir vivit\n"
        'bring the folder here, and set PUBLISHED = "vivit".'
    )

# %% [markdown]
# If it names what you see, does the map lie on it? And if the map lies on it, is that why? Cover it, and ask again.
#
# ## Exercises
#
# Write in the cell, run it, and read what the check says. Each check knows the usual mistakes.
#
# ### 1 · The memory of all maps
# Difficulty ●○○○ · importance ●●●○ · 3 minutes
#
# Model 1 with `tokens` tokens and a class token, `depth` blocks of `heads` heads. How many bytes do all its attention maps take for one clip,
# in float32?
#
# <details><summary>Hint</summary>
#
# One head of one block has a weight for every pair of a query and a key.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def map_bytes(tokens: int, heads: int, depth: int) -> int:
#     return 4 * depth * heads * (tokens + 1) ** 2
# ```
#
# </details>


# %%
def map_bytes(tokens: int, heads: int, depth: int) -> int:
    """Bytes of all maps of one clip."""
    ...  # your code


attention.map_bytes.check(map_bytes)

# %% [markdown]
# ### 2 · Mend the map with bars
# Difficulty ●●○○ · importance ●●●● · 5 minutes
#
# `weights` (heads, N, N) are a block's weights in Model 1, the class token at index 0; `grid` is $(t, h, w)$. This function made the
# lower strip above. Find what is wrong, and return the class token's map, mean over heads, as (t, h, w).
#
# ```python
# def broken_map(weights, grid):
#     t, h, w = grid
#     row = weights.mean(0)[0, 1:]
#     return rearrange(row, "(h w t) -> t h w", h=h, w=w)
# ```
#
# <details><summary>Hint</summary>
#
# The pattern's left side says how the tokens are numbered. Which axis is the slowest?
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def mended_map(weights: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
#     t, h, w = grid
#     row = weights.mean(0)[0, 1:]
#     return rearrange(row, "(t h w) -> t h w", h=h, w=w)
# ```
#
# </details>


# %%
def mended_map(weights: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
    """(heads, N, N) -> (t, h, w), what the class token takes from every patch."""
    ...  # your code


attention.mended_map.check(mended_map)

# %% [markdown]
# ### 3 · Rollout by vectors
# Difficulty ●●●○ · importance ●●●○ · 10 minutes
#
# `maps` are the blocks' maps from first to last, (N, N) each, already averaged over heads. Return the class token's row of the rollout, (N,),
# token 0 being the class token. No product of two matrices: the check watches.
#
# <details><summary>Hint</summary>
#
# Start with the row that is 1 at token 0. Which block does the output come from, the first or the last? A row times $(0.5 A + 0.5 I)$ is half
# the row plus half the row times $A$.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def rollout_row(maps: list[torch.Tensor]) -> torch.Tensor:
#     row = torch.zeros(len(maps[0]))
#     row[0] = 1
#     for weights in reversed(maps):
#         row = 0.5 * row + 0.5 * row @ weights
#     return row
# ```
#
# </details>


# %%
def rollout_row(maps: list[torch.Tensor]) -> torch.Tensor:
    """What the class token draws on every token, through all blocks."""
    ...  # your code


attention.rollout_row.check(rollout_row)

# %% [markdown]
# ## What surprised people
#
# * **Attention need not follow the reason.** [Jain and Wallace, 2019](https://arxiv.org/abs/1902.10186) found other attention weights that
#   gave text classifiers the same answer; [Wiegreffe and Pinter](https://arxiv.org/abs/1908.04626) replied that it depends on what one calls
#   an explanation. Covering cells, as above, needs no such word.
# * **Large image ViTs stare at the background.** A few patches with nothing in them draw much of the attention, and serve as scratch paper
#   ([Darcet et al., 2023](https://arxiv.org/abs/2309.16588)).
# * **Tools for image ViTs do not fit.** They expect one map a block over one grid of patches. Of the four models only Model 1 has
#   one map over all tokens. For the others it is tempting to draw a product and call it attention.
# * **Asking for the weights changes the speed.** Fused kernels never store them, so `return_attention=True` must take a slower way. The hooks
#   of `attention_maps` leave the model on its fast path.
#
# ## Where next
#
# [05 FLOPs](05_flops.ipynb): what the four ways of looking cost. The source of this notebook's maps is
# [attention.py](../vivit_lab/analysis/attention.py).

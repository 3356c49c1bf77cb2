# %% [markdown]
# # 04 · Where does it look?
#
# In attention one token, the *query*, takes something from every token of the clip. A weight says how much. A token has a place in the clip, so its weight can be
# drawn there: this is an **attention map**.
# This notebook computes the maps of the four models exactly and in little memory. It multiplies them into a *rollout*. Then it tests what such
# pictures can tell, and what they cannot.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), section 3.3; rollout is from
# [Abnar and Zuidema, 2020](https://arxiv.org/abs/2005.00928) · about a minute of computing on a laptop, an hour with the exercises ·
# works offline, without a GPU · before this: [03 Four models](03_four_models.ipynb) · words: [glossary](glossary.ipynb)

# %%
import copy
import inspect
import json
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
from vivit_lab.widgets.attention_explorer import WEIGHTS, models

import matplotlib.pyplot as plt
import torch
from einops import rearrange, reduce, repeat
from IPython.display import display

# %% [markdown]
# ## The map of any token
#
# Here are the four models in a small size, each with two sets of weights. The *trained* weights come from Arrow of Time, but these
# models are larger than those of notebook 03. The *random* weights have never been trained. Choose a query, a block and a head. The map shows how much the query takes from each cell:
# the colour of a cell is its weight, on the scale beside the picture; where the weight is nothing, only the dimmed frame is left. Point at
# a cell to read its weight. *Even* is what each cell would get if all got the same.
#
# **Predict first.** Model 3 attends over space, then over time. Take one token as the query. In its *space map*, how many of the time steps
# can have a weight above 0? In its *time map*, how many cells of each time step?
#
# <details><summary>Then look</summary>
#
# In the space map one time step: the token's own. In the time map one cell of each time step: the token's own place. All other weights are exactly 0,
# because no attention connects these tokens.
#
# </details>

# %%
explorer = AttentionExplorer("moves right", model="joint").offer(
    {
        "1 · on the shape": {"step": 1, "row": 2, "column": 1},
        "1 · off the shape": {"step": 1, "row": 0, "column": 5},
        "2 · one head": {"layer": 3, "head": 1},
        "3 · random weights": {"weights": "random"},
        "4 · Model 2, time map": {"model": "factorised_encoder", "show": "time"},
        "5 · rollout": {"show": "rollout"},
    }
)
explorer

# %% [markdown]
# Without a kernel you see a still picture. Run the cell to get the controls; then you can also choose another clip, or your own video by path or
# upload. Press a token of a frame to make it the query. Press one of the small maps to see it large. (A small map of Model 1 is
# summed over the time steps, and so is the map *Summed over time*. Under this one lies the frame of one step only. Every map is coloured up to its own largest weight.)
#
# Things to try:
# 1. Press a token on the shape, then a token off the shape. Does the shape attend to itself?
# 2. Compare the small maps of one **block**. How different are the heads, and how much of that does their mean show?
# 3. Switch **weights** between trained and random, and change nothing else.
# 4. Take **Model 2**, set **show** to *time map*, and look at the small maps. Which blocks belong to the temporal encoder?
# 5. Choose **rollout**. Which controls turn grey, and why?
#
# <details><summary>What you should see</summary>
#
# 1\. In the last block both queries take most from the same few cells of the shape. 2. The heads differ much. The mean shows no single head.
# 3\. The random maps are closer to even (compare the numbers *× even*, not the colours), but some cells of the shape are bright there, too. 4. Blocks 4 and 5: their small maps have one weight for each time
# step. (Beside the chosen block, the picture shows the last block of the other encoder.) 5. Query, block and head: rollout takes all blocks and the mean of the heads, and starts at the output.
#
# </details>
#
# ## A map is a row
#
# Attention is a matrix: one row for each query, one column for each key. `attention_maps` runs a clip through a model. Then it lays any row of the matrix out
# as $(t, h, w)$, the grid of the tokens. A row comes out of a softmax, so it sums to one. Where a model has class tokens, they get a share of it.

# %%
kinds = models()
group = kinds["trained"]
config = group["joint"].config
frames, _, size, _ = config.clip_shape
dataset = ArrowOfTime(160, frames, size, seed=3)
pixels, label = dataset[0]
clip = normalise(pixels)[None]  # (1, T, C, H, W), in [-1, 1]
print(tuple(clip.shape), dataset.classes[label], "-> tokens", config.grid)
for name, log in json.loads((WEIGHTS / "log.json").read_text()).items():
    if name in MODELS:  # after the training, on clips of another seed
        print(
            f"{MODELS[name][:7]}, trained: {log['test accuracy']:.2%} of 2,048 unseen clips right"
        )

# %%
maps = attention_maps(group["joint"], clip)
row = maps.at(layer=-1).row("cls", head="each")
print(row.label, tuple(row.weights.shape), "(heads, t, h, w)")
for head in range(len(row.weights)):
    on_tokens, on_cls = row.weights[head].sum(), row.on_cls[head]
    print(f"head {head}: tokens {on_tokens:.3f} + class token {on_cls:.3f} = {row.total[head]:.3f}")

# %% [markdown]
# These are the model's own weights, not an estimate. `model(clip, return_attention=True)` returns the same numbers as whole matrices:

# %%
with torch.no_grad():
    _, own = group["joint"](clip, return_attention=True)
last = own[-1]["joint"][0]  # (heads, N, N), the class token at index 0
difference = last[:, 0, 1:] - row.weights.flatten(1)
print(f"largest difference {difference.abs().max():.0e}")

# %% [markdown]
# ## The scrambled map
#
# The second row of pictures below is the class token's map in the last block, mean over heads. The third row holds the same weights, but reads
# them as $(h, w, t)$ by mistake. Its shape is right and its sum is right, but nearly every weight is in a wrong cell.
# (Each row of pictures has its own colours, from its smallest weight to its largest.)


# %%
def strips(rows):
    """A row of pictures for each name: (t, h, w), coloured from its smallest to its largest."""
    steps = len(next(iter(rows.values())))
    side = min(1.25, 8 / steps)
    size = steps * side, len(rows) * (side + 0.2)
    fig, axes = plt.subplots(len(rows), steps, facecolor="white", dpi=80, figsize=size)
    for line, (name, weights) in zip(axes, rows.items(), strict=True):
        for step, ax in enumerate(line):
            colours = "gray" if name == "clip" else "inferno"
            ax.imshow(weights[step], vmin=weights.min(), vmax=weights.max(), cmap=colours)
            ax.set(xticks=[], yticks=[])
        line[0].set_title(name, loc="left", fontsize=10)
    fig.subplots_adjust(0.01, 0.01, 0.99, 1 - 0.2 / size[1], 0.06, 0.22 / side)


# %%
row = maps.at(layer=-1).row("cls").weights  # (t, h, w)
scrambled = rearrange(row.flatten(), "(h w t) -> t h w", h=row.shape[1], w=row.shape[2])
grey = reduce(pixels.float(), "(n t) c h w -> n h w", "mean", n=len(row))
strips({"clip": grey, "class token, (t h w)": row, "the same read as (h w t)": scrambled})
print(f"cells with the right weight in the third row: {(scrambled == row).sum()} of {row.numel()}")

# %% [markdown]
# ## Two maps and a product
#
# In Models 2, 3 and 4 no token is compared with all others. There is a map over space and a map over time, and each is a true attention map.
# People multiply the two to get one map of the whole clip. Here this is done for one token of Model 3. Its time map gives each time step a share. In that time
# step the share lands on the token at the same place. There it is multiplied with the space map *of that token*. So the product needs one
# space map for each time step, not only the query's own.

# %%
maps = attention_maps(group["factorised_self_attention"], clip)
query = tuple(n // 2 for n in config.grid)  # (2, 3, 3): step, row, column
space, time = maps.at(-1, "space"), maps.at(-1, "time")
product = maps.product(-1, query)
for found in (space.row(query), time.row(query), product):
    print(f"{(found.weights > 0).sum():4} tokens above 0, sum {found.total:.3f}: {found.label}")
same_place = [space.row((step, *query[1:])).weights for step in range(config.grid[0])]
same_place = sum(same_place)  # each has weights in its own time step only
by_hand = time.row(query).weights.sum((1, 2))[:, None, None] * same_place
print("shares times these space maps = product:", torch.allclose(by_hand, product.weights))

# %%
strips(
    {
        "space map of the query": space.row(query).weights,
        "time map of the query": time.row(query).weights,
        "space maps of the same place in each step, another scale": same_place,
        "product of the last two": product.weights,
    }
)

# %% [markdown]
# The product looks like a map of the whole clip, but it is not attention. No layer computes it, and it leaves out the residuals and the values. So
# the package gives it another label.
#
# ## Class tokens
#
# **Predict first.** Model 1 has one class token. How many does Model 2 have in this clip, and which of them does the classifier read?
#
# <details><summary>Then look</summary>
#
# In the spatial encoder every time step has a class token, so four here. They start as the same learned vector and differ after the first block. The
# temporal encoder has one more. The classifier reads only that one.
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
# In the spatial blocks this is the mean over the four class tokens. Models 3 and 4 have no class token.
# Their classifier reads the mean of all tokens. So "where does the model look" is the mean of all rows there: `row("mean")`.
#
# ## Rollout
#
# The map of one block says where that block takes from. But from the second block on, every token already holds something of other tokens.
# **Rollout** takes this into account. Each block counts as half attention, half residual (a convention): $0.5 A + 0.5 I$, where $A$ is the mean over the heads. The
# matrices of all blocks are multiplied. The MLP is left out, because it moves nothing from one token to another. The result is read at what the classifier reads: the
# row of the class token in Models 1 and 2, the mean of all rows in Models 3 and 4.
#
# **Predict first.** The product of $L$ matrices of $N \times N$ takes $(L-1) N^3$ MACs (one MAC is one product and one sum). How many
# MACs does the class token's row alone take?
#
# <details><summary>Then look</summary>
#
# $(L-1) N^2$. Start with the class token's row of the last block's matrix. Multiply it by the matrix of the block before, and so on to the
# first block. No product of two matrices is needed.
#
# </details>

# %%
for name, model in group.items():
    found = rollout(model, clip)
    shares = f"tokens {found.weights.sum():.4f} + class tokens {found.on_cls:.4f}"
    print(f"{MODELS[name][:8]} {shares} = {found.total:.4f}")
halves = 0.5**4, 0.5**2 + (1 - 0.5**2) * 0.5**4
print("on class tokens by the residuals alone: Model 1 {:.4f}, Model 2 {:.4f}".format(*halves))
print(f"\n{found.label}")

# %% [markdown]
# Why does so much stay on Model 2's class tokens? In each block the residual leaves half of the share where it is. In Model 1 the class token
# keeps $0.5^4$ over four blocks. In Model 2 the class token of the temporal encoder keeps $0.5^2$ over two blocks. The rest goes to the class tokens
# of the time steps, and these keep $0.5^4$ of it. What is above these numbers is attention to class tokens.
#
# Rollout was not defined for factorised models. What follows is this package's reading. Model 3: each block has two attentions, each with its
# own residual. Model 4: $A$ is the mean of its space heads and its time heads. Model 2: the loop below runs twice. First it runs through the temporal encoder, which gives each
# time step a share. This share is put on the class token of that time step. Then the loop runs through the spatial encoder.
#
# In the loop, `shares` is the row vector, in two parts: tokens and class tokens. Without class tokens `shares.cls` is empty and stays so. `found.times(shares)` is this row times
# $A$. It computes a few rows of $A$ at a time, so no $N \times N$ matrix is ever held. `beside` is 2 in Model 4, whose two kinds of heads work side by side in one block.

# %%
print(inspect.getsource(type(maps)._rolled))

# %% [markdown]
# ## What it costs to look
#
# A fused kernel is one operation that computes attention without storing the weights. This saves memory and time. If you ask for all weights, they must be
# stored after all. But a map is made of queries and keys. These are only $2 N$ vectors for each attention, and any row can be computed from them later. `attention_maps` keeps
# queries and keys.

# %%
for name in MODELS:
    with torch.device("meta"):  # shapes only
        big = build_model(ViViTConfig.preset("B/16x2", model=name))
    attentions = big.config.depth * (2 if name == "factorised_self_attention" else 1)
    held, whole = attentions * 2 * big.config.tokens * big.config.dim * 4, attention_bytes(big)
    print(
        f"{MODELS[name][:8]} B/16x2, one clip: all maps {whole / 1e6:5.0f} MB, "
        f"queries and keys {held / 1e6:4.0f} MB, ratio {whole / held:4.1f}"
    )

# %% [markdown]
# (The queries and keys of class tokens and of Model 2's temporal encoder are left out here. They are few.) In Model 1 the maps are many times as large as queries
# and keys. In Models 3 and 4 the maps are a little smaller. `attention_maps` keeps queries and keys there as well, so that all four models go one way.
#
# ## Trained against random
#
# Do trained models look at the shape? Take the rollout of 24 clips. Divide the mean weight of the tokens that see the shape by the mean weight
# of all tokens. 1 means no preference. How large could this ratio be? (The cell prints it.)


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


shares = torch.stack([sees_shape(index).float().mean() for index in range(24)])
print(f"tokens that see the shape: {shares.mean():.0%}, in single clips {shares.min():.0%}", end="")
print(f" to {shares.max():.0%}; with all weight on them: {(1 / shares).mean():.2f}")

# %%
fig, ax = plt.subplots(figsize=(8, 2.4), facecolor="white")
for offset, (kind, colour) in enumerate({"trained": "#2f6fed", "random": "#9aa3b2"}.items()):
    heights = [preference(model) for model in kinds[kind].values()]
    places = [i + 0.38 * offset for i in range(4)]
    ax.bar_label(ax.bar(places, heights, 0.36, label=kind, color=colour), fmt="%.2f")
ax.axhline(1, color="#1f2430", linewidth=0.8)
ax.set(xticks=[i + 0.19 for i in range(4)], xticklabels=[text[:7] for text in MODELS.values()])
ax.set(title="rollout: mean weight on the shape / mean weight of all tokens")
ax.margins(y=0.3)
ax.spines[["top", "right"]].set_visible(False)
_ = ax.legend(frameon=False, ncols=2, loc="upper right")

# %% [markdown]
# All four trained models give the shape more than an even spread would. The random models hardly do: their maps are nearly even.
#
# ## What the model would say after each block
#
# Attention maps show where information comes from. They do not show what the model makes of it. The **logit lens** is another way to look inside: take the
# tokens that a block returns, skip all later blocks, and apply the model's own last norm and classifier
# ([nostalgebraist, 2020](https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens)). The tokens are pooled
# as at the end of the model: the class token in Models 1 and 2, the mean of all tokens in Models 3 and 4. The spatial encoder of Model 2 returns one class token
# for each time step. All of them go through the model's last norm, that of the temporal encoder, and the lens takes their mean. After the last block the lens is
# the model's answer.
#
# **Predict first.** Model 2 has blocks 0 to 3 in its spatial encoder and blocks 4 and 5 in its temporal encoder. The spatial encoder never sees two
# time steps at once. After which block can you rely on the lens to be right?
#
# <details><summary>Then look</summary>
#
# After block 4, the first temporal block. Until then nothing compares two time steps, and the mean over the time steps has no order. One time step is 2 frames, so it can hold
# a little motion: in notebook 03, average pooling of 2-frame tubelets learnt from exactly that. But this model was not trained to name the class so early.
# Even the pair (moves, turns, grows, changes colour) is right in only about half of the clips.
#
# </details>

# %%
right, pair = dict.fromkeys(MODELS, 0), dict.fromkeys(MODELS, 0)  # shares of 80 clips: (blocks,)
for index in range(80):
    pixels_, label_ = dataset[index]
    for name, model in group.items():
        named = logit_lens(model, normalise(pixels_)[None]).argmax(-1)  # (blocks,)
        right[name] = right[name] + (named == label_) / 80
        pair[name] = pair[name] + (named // 2 == label_ // 2) / 80  # classes 0 and 1 are a pair
for what, found in {"class": right, "pair": pair}.items():
    for name, shares in found.items():
        blocks = "  ".join(f"{i}: {share:4.0%}" for i, share in enumerate(shares))
        print(f"{what:5} right, {MODELS[name][:7]}, after block {blocks}")

# %% [markdown]
# The picture shows the lens for one clip, class by class. Below it, the tokens of one model are compared: how alike is the marked token to each of the
# others, after each block? The measure is the cosine of the two vectors. Press a model to see its tokens. Press a token to compare it with the others.
# In the temporal encoder of Model 2 (blocks 4 and 5) a token is a whole time step, so all cells of a time step have one colour.

# %%
BlockExplorer("moves left", model="factorised_encoder").offer(
    {
        "1 · moves right": {"shape": "moves right"},
        "2 · a clip that grows": {"shape": "grows"},
        "3 · the tokens of Model 1": {"model": "joint", "shape": "moves left"},
        "4 · random weights": {"weights": "random"},
        "5 · a token of the background": {"weights": "trained", "step": 2, "row": 0, "column": 0},
    }
)

# %% [markdown]
# Things to try:
# 1. Take **moves right** instead. After which blocks does Model 2 name it? Is the lens better for this clip?
# 2. Take a clip that **grows**. Which classes compete with the right one in the early blocks of each model?
# 3. Look at the tokens of **Model 1**. To which tokens is the marked one alike after the first block, and after the last?
# 4. Take **random** weights. What does the lens show, and what happens to the tokens?
# 5. Go back to **trained**, and move the marked token from the shape to the background.
#
# <details><summary>What you should see</summary>
#
# 1\. After every block. But after block 0 this lens names *moves right* for many clips of other classes as well (try *turns clockwise*). Then the answer tells little.
# 2\. In Models 1 and 2 classes of other pairs; in Models 3 and 4 also *shrinks*, the other class of the pair. 3. After the first block a token is alike to those that see the same. Then all tokens become more alike from block to block, but not in the spatial encoder of Model 2. 4. All classes have the same probability, because the classifier of an untrained model is zero. The tokens grow alike here as
# well, because attention averages. So tokens that are alike are no sign that a model has learnt something. 5. In Model 1, now the other tokens of the background are alike to the marked one.
#
# </details>
#
# **What the lens cannot tell.** The last norm and the classifier were trained for what the last block returns. An earlier block may hold the
# answer in a form that this classifier does not read. Then the lens shows a wrong answer. So if the lens is right for many clips after a
# block, the answer can be read there. If it is wrong, the answer may still be there.
#
# ## What attention does not explain
#
# **1. A map is not the answer.** Attention decides from where values are taken. What the values are is decided elsewhere. Below, the channels of the values are put in another order
# in the first block of Model 1. Its queries and keys stay as they are.
#
# **Predict first.** Does the map of that block change? Does the answer?
#
# <details><summary>Then look</summary>
#
# The map stays the same, in every row and every head: it depends only on queries and keys. The answer is lost: the right class gets almost no probability.
#
# </details>

# %%
scrambled = copy.deepcopy(group["joint"])
qkv = scrambled.blocks[0].attn.qkv
torch.manual_seed(0)
order = 2 * config.dim + torch.randperm(config.dim)  # the last third of the outputs are values
with torch.no_grad():
    for parameter in (qkv.weight, qkv.bias):
        parameter[2 * config.dim :] = parameter[order]

# %%
for name, model in {"as trained": group["joint"], "values scrambled": scrambled}.items():
    with torch.no_grad():
        share = model(clip)[0].softmax(-1)[label]
    pairs = zip(attention_maps(model, clip), attention_maps(group["joint"], clip), strict=True)
    changes = [(seen.full() - first.full()).abs().max() for seen, first in pairs]
    by_block = " ".join(f"{change:.3f}" for change in changes)
    print(f"{name:17} {dataset.classes[label]!r}: {share:.2f}; maps differ by {by_block}")

# %% [markdown]
# One map belongs to two different answers. So this map alone explains neither of them. (The maps of the later blocks change: their queries and keys are made from these values.)
#
# **2. An untrained model has a map with a pattern, too.** Here is the rollout of Model 1 on a real clip. The trained model has never seen a rabbit, and the random
# model has seen nothing at all.

# %%
with VideoReader(sample("rabbit")) as video:
    indices = test_clips(video.num_frames, clips=3, clip_frames=frames, stride=2)[1]
    rabbit = video.read(indices, short_side=size)
left = (rabbit.shape[-1] - size) // 2
rabbit = rabbit[..., left : left + size]
rows = {"clip": reduce(rabbit.float(), "(n t) c h w -> n h w", "mean", t=config.tubelet[0])}
for kind in kinds:
    found = rollout(kinds[kind]["joint"], normalise(rabbit)[None]).weights
    low, high = found.min() / found.mean(), found.max() / found.mean()
    rows[f"rollout, {kind}: {low:.2f} to {high:.2f} × even"] = found
strips(rows)

# %% [markdown]
# *Pictures: Big Buck Bunny, © 2008 Blender Foundation, CC BY 3.0.* In every time step the brightest cell of the random model lies on the rabbit. But dark
# cells lie on it as well, and much of the ground is bright. Queries and keys compare patches even if nobody trained them, so a patch that is unlike the others gets another
# weight. If you look for the rabbit in such a map, you find it. The trained model's map has larger differences. That is no better evidence: the model was trained on moving shapes only. The
# colours hide how small the differences are; the numbers above the rows tell it.
#
# **3. Test the model instead.** Suppose the bright cells matter. Then covering them must hurt more than covering others. A quarter of the
# tokens is painted over with the background. What probability does the right class get then? (A clip with holes is unlike all clips of the training. So
# compare the ways of covering with each other, not with *nothing*.) A cell of the background does not change when it is painted over. So the table also says how many of the covered cells
# show the shape, in brackets.


# %%
def covered(index, tokens):
    """The clip with the background painted over some tokens (t, h, w)."""
    t, h, w = config.tubelet
    mask = repeat(tokens, "n nh nw -> (n t) 1 (nh h) (nw w)", t=t, h=h, w=w)
    painted = torch.where(mask, dataset.scene(index).background, dataset[index][0].float())
    return normalise(painted.byte())[None]


@torch.no_grad()
def certainty(model, watched, score, share=0.25):
    """Mean probability of the right class with some tokens covered, and how many show the shape.

    Covered are those of the highest score: `score` takes the rollout of the model `watched`, and
    what sees the shape.
    """
    found = []
    for index in range(24):
        weights = rollout(watched, normalise(dataset[index][0])[None]).weights
        shape, tokens = sees_shape(index), torch.zeros(weights.shape, dtype=torch.bool)
        order = score(weights, shape).flatten().argsort(descending=True)
        tokens.view(-1)[order[: int(share * len(order))]] = True
        right = model(covered(index, tokens))[0].softmax(-1)[index % len(dataset.classes)]
        found.append((right, shape[tokens].float().mean()))
    return torch.tensor(found).mean(dim=0).tolist()


# %%
ways = {
    "the faintest": ("trained", lambda weights, shape: -weights),
    "a random quarter": ("trained", lambda weights, shape: torch.rand(shape.shape)),
    "random, on the shape": ("trained", lambda weights, shape: torch.rand(shape.shape) + shape),
    "the random model's brightest": ("random", lambda weights, shape: weights),
    "the brightest": ("trained", lambda weights, shape: weights),
}
score = ways["the brightest"][1]
nothing = [certainty(model, model, score, share=0)[0] for model in group.values()]
print(f"{'covered':30}", *(f"{text[:7]:13}" for text in MODELS.values()))
print(f"{'nothing':30}", *(f"{right:.2f}         " for right in nothing))
for way, (kind, score) in ways.items():
    torch.manual_seed(0)
    found = [certainty(model, kinds[kind][name], score) for name, model in group.items()]
    print(f"{way:30}", *(f"{right:.2f} ({shape:4.0%})  " for right, shape in found))

# %% [markdown]
# (These are mean probabilities. A model can be right and not be certain, so they are lower than the share of right answers.)
#
# Covering the brightest cells hurts all four models far more than covering the faintest. Part of this has a simple reason: nearly all of the brightest cells show the shape, and half or more of the
# faintest do not. So the fair comparison is *random, on the shape*, where every covered cell shows it. Models 1, 2 and 3 lose more with the brightest cells than with those. So their maps point at
# cells that matter more than others of the shape. The map of Model 4 finds the shape, and no more: any cells of the shape do the same harm.
#
# Now read the line *the random model's brightest*. The random model has learnt nothing. Covering the cells that its map points at hurts Models 1 and 3 about as much as covering those of the trained map (Models 2 and 4 less). Its map is nearly even, but the order of its cells is enough. It finds the shape, and in Models 1 and 3 even cells of the shape that matter. In these clips everything that
# differs from the background is the shape, and that is easy to find. So a map that points at the right place does not prove that the model learnt to use it.
#
# ## The published model, on your video
#
# All models above are small, and they know moving shapes only. Google published Model 1 in the paper's size, trained on Kinetics-400. Where does
# it look in a video of yours? Fill in two lines.

# %%
PUBLISHED = ""  # "google/vivit-b-16x2-kinetics400" downloads 350 MB; or a folder with its files
VIDEO = sample("rabbit")  # or the path of a video of yours


# %%
def where_it_looks(source, video):
    """What a model of transformers names in the first clip of a video, and its rollout."""
    published = load_huggingface(source)[0].eval()
    found = predict(published, video, top=3, clips=1, crops=1)
    catalog = Catalog([Segment(Path(video), None)], [], video)  # a data set of this one video
    expected = found.expected  # how this model wants its clips: frames, size, scale
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
# ## Exercises
#
# Write in the cell, run it, and read what the check says. Each check knows the usual mistakes.
#
# ### 1 · The memory of all maps
# Difficulty ●○○○ · importance ●●●○ · 3 minutes
#
# Model 1 has `tokens` tokens and one class token, and `depth` blocks of `heads` heads each. How many bytes do all its attention maps take for one clip,
# in float32 (4 bytes a number)?
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
# ### 2 · Repair the scrambled map
# Difficulty ●○○○ · importance ●●●● · 3 minutes
#
# `weights` (heads, N, N) are a block's weights in Model 1, with the class token at index 0. `grid` is $(t, h, w)$. The function below made the
# third row of pictures above. Find what is wrong. Return the class token's map, mean over heads, as (t, h, w). Do not rescale it.
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
# The left side of the pattern gives the order of the tokens. Which axis is the slowest?
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
# `maps` are the maps of Model 1's blocks, from the first to the last, (N, N) each, already averaged over heads. Token 0 is the class token. Return the
# class token's row of the rollout, (N,). Do not multiply two matrices; the check looks for that.
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
    """What the class token takes from every token, through all blocks."""
    ...  # your code


attention.rollout_row.check(rollout_row)

# %% [markdown]
# ### 4 · The logit lens
# Difficulty ●●○○ · importance ●●●○ · 6 minutes
#
# `outputs` holds the tokens that each block returns for one clip, from the first block to the last, (N, D) each. `norm` is the model's last norm, `classifier`
# its classifier, from D numbers to K logits. `pooling` is `"cls"` (token 0 is the class token) or `"mean"` (there is no class token). Return the logits of the lens,
# a tensor (blocks, K). For 3 blocks and 4 classes the shape is (3, 4).
#
# <details><summary>Hint</summary>
#
# In both kinds of model the last norm comes before the pooling: it is applied to each token. Is the norm of a mean the same as the mean of norms?
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def lens_rows(outputs: list[torch.Tensor], norm, classifier, pooling: str) -> torch.Tensor:
#     rows = []
#     for tokens in outputs:
#         normed = norm(tokens)
#         rows.append(classifier(normed[0] if pooling == "cls" else normed.mean(dim=0)))
#     return torch.stack(rows)
# ```
#
# </details>


# %%
def lens_rows(outputs: list[torch.Tensor], norm, classifier, pooling: str) -> torch.Tensor:
    """(N, D) for each block -> (blocks, K), what the model would say after each block."""
    ...  # your code


attention.lens_rows.check(lens_rows)

# %% [markdown]
# ## What surprised people
#
# * **Other weights, same answer.** [Jain and Wallace, 2019](https://arxiv.org/abs/1902.10186) found other attention weights that
#   gave text classifiers the same answer. Above it is the other way round: the same attention weights and another answer.
#   [Wiegreffe and Pinter](https://arxiv.org/abs/1908.04626) replied that it depends on what one calls an explanation.
# * **Large image ViTs attend to the background.** A few patches with nothing in them get much of the attention. The model uses them as memory
#   ([Darcet et al., 2023](https://arxiv.org/abs/2309.16588)).
# * **Asking for the weights makes a model slower.** `return_attention=True` must store them. `attention_maps` uses
#   hooks, functions that torch calls when a layer runs, and leaves the model on its fast way.
#
# ## Where next
#
# [05 FLOPs](05_flops.ipynb): what the four kinds of attention cost. The source of this notebook's maps is
# [attention.py](../vivit_lab/analysis/attention.py).

# %% [markdown]
# # 11 · Your ViViT
#
# In notebooks 02 and 03 you wrote a tubelet embedding, a block of Model 3 and the two halves of Model 4's heads. Here they become one program of about 70 lines.
# It computes all four models. It takes the parameters of trained models and must give their logits, with differences of about 0.00001 at most. At the end you train it.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), section 3 · without your answers a few seconds, with them two minutes of computing · an hour or two of writing, no time limit ·
# works offline, without a GPU · before this: [03 Four models](03_four_models.ipynb) and its exercises · words: [glossary](glossary.ipynb)
#
# **Predict first.** Each model has a function of its own, which calls shared ones. How many lines does it have?
#
# <details><summary>Then look</summary>
#
# 6 to 14 in the solutions. (Model 4 has a second function, `half_heads`; its lines are counted.) Embedding, norms, attention and MLP are the same in all four. Only the rule that says which tokens attend to which is different.
#
# </details>
#
# ## The parameters
#
# Each of your functions takes `p`, a dictionary of tensors by name. The names are those of the package, which are timm's names where an image ViT has the same part. The second cell below prints the
# weights of the four trained models. For Models 2 to 4 it prints only parameters that no model above has, or has in another shape; so Model 4 has none. (Models 3 and 4 have no class token.) Every `.weight` has a `.bias` beside it. Only block 0 is printed; the others have the same shapes.

# %%
import inspect
import runpy
from pathlib import Path
from statistics import fmean

from vivit_lab import ViViTConfig, build_model
from vivit_lab.data import ArrowOfTime
from vivit_lab.lessons.exercises import your_vivit
from vivit_lab.lessons.exercises.your_vivit import trained
from vivit_lab.lessons.studies import load_results
from vivit_lab.models import MODELS
from vivit_lab.video import normalise

import torch
import torch.nn.functional as F
from einops import rearrange  # noqa: F401 - for your code

# %%
printed = set()
for model, title in MODELS.items():
    print(title)
    for name, tensor in trained(model).state_dict().items():
        row = f"  {name:36}{tuple(tensor.shape)}"
        is_first_block = "blocks.0." in name or "blocks" not in name
        if is_first_block and not name.endswith(".bias") and row not in printed:
            print(row)
            printed.add(row)

# %% [markdown]
# The trained models see 8 frames of 48 × 48 pixels in tubelets of 2 × 8 × 8 voxels, so a clip has $t$ = 4 time steps of $s$ = 36 places. $D$ = 64 numbers make a token, and 4 attention heads have $d$ = 16 numbers each.
#
# The equations of [notebook 03](03_four_models.ipynb) that you need for one sequence of $N$ tokens:
#
# | | equation | in words |
# |---|---|---|
# | (1) | $z^0 = [z_{cls}, E x_1, \dots, E x_N] + p$ | the class token comes first, then positions are added |
# | (2) | $y = \mathrm{MSA}(\mathrm{LN}(z)) + z$ | norm, attention, residual |
# | (3) | $z' = \mathrm{MLP}(\mathrm{LN}(y)) + y$ | norm, MLP, residual |
# | (7) | $\mathrm{Attention}(Q, K, V) = \mathrm{Softmax}(Q K^\top / \sqrt{d})\, V$ | in each attention head; the softmax runs over the keys |
#
# ## Exercises
#
# Each exercise uses what the ones before it define. If you take a folded solution, note the names of its functions: the later solutions use
# `linear`, `norm`, `split`, `look`, `attention`, `mlp` and `prepend`.
#
# ### 1 · The embedding
# Difficulty ●○○○ · importance ●●●○ · 5 minutes
#
# Turn a batch of clips into tokens. Cut each clip into tubelets, flatten each tubelet in the order (c t h w), and multiply by the flattened weight `patch_embed.proj.weight`; add the bias. (Here t counts the frames of a tubelet, below it counts time steps.) Keep time and space as two
# axes: (B, t, s, D). The places of a time step run row by row.
#
# The function `linear` is given. It flattens the weight, so it takes the 5 axes of the tubelet kernel, too.
#
# <details><summary>Hint</summary>
#
# One `rearrange` cuts and flattens; `linear(boxes, p, "patch_embed.proj")` does the rest.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def linear(x, p, name):
#     """x W^T + b, with the parameters of this name; W is flattened to two axes."""
#     return x @ p[f"{name}.weight"].flatten(1).T + p[f"{name}.bias"]
#
#
# def embed(clip: torch.Tensor, p: dict, tubelet: tuple) -> torch.Tensor:
#     t, h, w = tubelet
#     boxes = rearrange(clip, "b (nt t) c (nh h) (nw w) -> b nt (nh nw) (c t h w)", t=t, h=h, w=w)
#     return linear(boxes, p, "patch_embed.proj")
# ```
#
# </details>


# %%
def linear(x, p, name):
    """x W^T + b, with the parameters of this name; W is flattened to two axes."""
    return x @ p[f"{name}.weight"].flatten(1).T + p[f"{name}.bias"]


def embed(clip: torch.Tensor, p: dict, tubelet: tuple) -> torch.Tensor:
    """(B, T, C, H, W) -> tokens (B, t, s, D). The weight is (D, C, *tubelet)."""
    ...  # your code


your_vivit.embedding.check(embed)

# %% [markdown]
# ### 2 · The block
# Difficulty ●●○○ · importance ●●●● · 20 minutes
#
# Write equations 2 and 3 for tokens (..., N, D): attention runs over the axis N, and all axes before it are batch axes. `name` is the start of the names, for example "blocks.0". The parts are
# `norm1`, `attn.qkv`, `attn.proj`, `norm2`, `mlp.fc1` and `mlp.fc2`. Write four functions: the MLP, the attention, and two parts of the attention, which are the cut into heads and equation 7. Models 3 and 4 need them.
#
# * The 192 numbers that `attn.qkv` makes of a token are in the order (three, heads, d): the queries of head 0, of head 1, and so on; then all keys; then all values.
# * `attn.proj` takes the heads one after another: (heads d).
# * The MLP is `fc1`, GELU, `fc2`. The GELU is the tanh approximation, as in the official code: `F.gelu(..., approximate="tanh")`.
#
# <details><summary>Hint</summary>
#
# Four functions: `split` (x to q, k and v, each (..., heads, N, d)), `look` (equation 7), `attention` and `mlp`. `k.mT` exchanges the last two axes.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def norm(x, p, name):
#     """Layer norm over the last axis; 1e-6 as in the official code."""
#     return F.layer_norm(x, x.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"], 1e-6)
#
#
# def block(x: torch.Tensor, p: dict, name: str, heads: int) -> torch.Tensor:
#     x = x + attention(norm(x, p, f"{name}.norm1"), p, f"{name}.attn", heads)
#     return x + mlp(norm(x, p, f"{name}.norm2"), p, f"{name}.mlp")
#
#
# def split(x, p, name, heads):
#     y = linear(x, p, f"{name}.qkv")
#     return rearrange(y, "... n (three h d) -> three ... h n d", three=3, h=heads)
#
#
# def look(q, k, v):
#     return (q @ k.mT * q.shape[-1] ** -0.5).softmax(dim=-1) @ v  # eq. 7
#
#
# def attention(x, p, name, heads):
#     y = rearrange(look(*split(x, p, name, heads)), "... h n d -> ... n (h d)")
#     return linear(y, p, f"{name}.proj")
#
#
# def mlp(x, p, name):
#     return linear(F.gelu(linear(x, p, f"{name}.fc1"), approximate="tanh"), p, f"{name}.fc2")
# ```
#
# </details>


# %%
def norm(x, p, name):
    """Layer norm over the last axis; 1e-6 as in the official code."""
    return F.layer_norm(x, x.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"], 1e-6)


def block(x: torch.Tensor, p: dict, name: str, heads: int) -> torch.Tensor:
    """Tokens (..., N, D) -> (..., N, D): equations 2 and 3."""
    ...  # your code


your_vivit.block.check(block)

# %% [markdown]
# ### 3 · Model 1
# Difficulty ●●○○ · importance ●●●● · 15 minutes
#
# Compute the logits of Model 1. All tokens of a clip become one sequence, time slowest. Then: class token and positions (equation 1; `pos_embed` has a row for the class token, too), the blocks 0 to
# `config.depth` - 1, the last norm `norm`, and the classifier `head`, which reads the class token.
#
# `config` has `tubelet`, `depth` and `heads`. The checks also try models of other sizes, so write no size as a number. The function `prepend` is given.
#
# <details><summary>Hint</summary>
#
# `x.flatten(1, 2)` makes one sequence of (B, t, s, D). The class token is token 0.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def prepend(token, x):
#     """Put a token (1, 1, D) before the tokens (..., N, D)."""
#     return torch.cat([token.expand(*x.shape[:-2], 1, -1), x], dim=-2)
#
#
# def model_1(clip: torch.Tensor, p: dict, config: ViViTConfig) -> torch.Tensor:
#     x = embed(clip, p, config.tubelet).flatten(1, 2)
#     x = prepend(p["cls_token"], x) + p["pos_embed"]  # eq. 1
#     for i in range(config.depth):
#         x = block(x, p, f"blocks.{i}", config.heads)
#     return linear(norm(x, p, "norm")[:, 0], p, "head")
# ```
#
# </details>


# %%
def prepend(token, x):
    """Put a token (1, 1, D) before the tokens (..., N, D)."""
    return torch.cat([token.expand(*x.shape[:-2], 1, -1), x], dim=-2)


def model_1(clip: torch.Tensor, p: dict, config: ViViTConfig) -> torch.Tensor:
    """Clips (B, T, C, H, W) -> logits (B, K)."""
    ...  # your code


your_vivit.model_1.check(model_1)

# %% [markdown]
# ### 4 · Model 2
# Difficulty ●●●○ · importance ●●●● · 15 minutes
#
# Compute the logits of Model 2. Each time step goes through the spatial encoder alone (the weights are the same for all steps): class token, positions, blocks and the norm `norm`, as in Model 1. Its class token becomes the token of the time step. These t tokens
# go through the temporal encoder in the same way: `temporal_cls_token`, `temporal_pos_embed`, `config.temporal_depth` blocks `temporal_blocks.0`, ..., and the norm `temporal_norm`. The classifier reads the second class token.
#
# <details><summary>Hint</summary>
#
# In the spatial encoder t is a batch axis, so keep the shape (B, t, s, D): your block takes any axes before the tokens.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def model_2(clip: torch.Tensor, p: dict, config: ViViTConfig) -> torch.Tensor:
#     x = embed(clip, p, config.tubelet)  # (B, t, s, D)
#     x = prepend(p["cls_token"], x) + p["pos_embed"]
#     for i in range(config.depth):
#         x = block(x, p, f"blocks.{i}", config.heads)
#     x = norm(x, p, "norm")[:, :, 0]  # (B, t, D): one token for each time step
#     x = prepend(p["temporal_cls_token"], x) + p["temporal_pos_embed"]
#     for i in range(config.temporal_depth):
#         x = block(x, p, f"temporal_blocks.{i}", config.heads)
#     return linear(norm(x, p, "temporal_norm")[:, 0], p, "head")
# ```
#
# </details>


# %%
def model_2(clip: torch.Tensor, p: dict, config: ViViTConfig) -> torch.Tensor:
    """Clips (B, T, C, H, W) -> logits (B, K)."""
    ...  # your code


your_vivit.model_2.check(model_2)

# %% [markdown]
# ### 5 · Model 3
# Difficulty ●●●○ · importance ●●●● · 15 minutes
#
# Compute the logits of Model 3. There is no class token. `pos_embed` is (1, t · s, D), time slowest. Each block has three steps, and each step has a norm before it and a residual around it:
#
# | | equation | parameters |
# |---|---|---|
# | (4) | $y_s = \mathrm{MSA}(\mathrm{LN}(z)) + z$, over the places of a time step | `norm1`, `attn` |
# | (5) | $y_t = \mathrm{MSA}(\mathrm{LN}(y_s)) + y_s$, over the time steps of a place | `norm_time`, `attn_time` |
# | (6) | $z' = \mathrm{MLP}(\mathrm{LN}(y_t)) + y_t$ | `norm2`, `mlp` |
#
# After the blocks comes the last norm `norm`. The classifier reads the mean of all tokens.
#
# <details><summary>Hint</summary>
#
# Attention runs over the axis before the last one. For equation 5 exchange t and s before the attention, and exchange them back after it.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def model_3(clip: torch.Tensor, p: dict, config: ViViTConfig) -> torch.Tensor:
#     x = embed(clip, p, config.tubelet)
#     x = x + p["pos_embed"].view(1, *x.shape[1:])
#     for i in range(config.depth):
#         name = f"blocks.{i}"
#         x = x + attention(norm(x, p, f"{name}.norm1"), p, f"{name}.attn", config.heads)  # eq. 4
#         y = norm(x, p, f"{name}.norm_time").transpose(1, 2)
#         x = x + attention(y, p, f"{name}.attn_time", config.heads).transpose(1, 2)  # eq. 5
#         x = x + mlp(norm(x, p, f"{name}.norm2"), p, f"{name}.mlp")  # eq. 6
#     return linear(norm(x, p, "norm").mean(dim=(1, 2)), p, "head")
# ```
#
# </details>


# %%
def model_3(clip: torch.Tensor, p: dict, config: ViViTConfig) -> torch.Tensor:
    """Clips (B, T, C, H, W) -> logits (B, K)."""
    ...  # your code


your_vivit.model_3.check(model_3)

# %% [markdown]
# ### 6 · Model 4
# Difficulty ●●●● · importance ●●●● · 20 minutes
#
# Compute the logits of Model 4. Positions, last norm and mean are as in Model 3. A block has equations 2 and 3, with one attention. Its first half of the heads attends over time, among the tokens of a place. Its second half
# attends over space, among the tokens of a time step. Then join the heads in the same order, the half over time first, and multiply by `attn.proj`.
#
# <details><summary>Hint</summary>
#
# `split` (see the hint of exercise 2) gives q, k and v of the shape (B, t, heads, s, d). For the first half of the heads bring t to the place of s, as in exercise 2 of notebook 03.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def model_4(clip: torch.Tensor, p: dict, config: ViViTConfig) -> torch.Tensor:
#     x = embed(clip, p, config.tubelet)
#     x = x + p["pos_embed"].view(1, *x.shape[1:])
#     for i in range(config.depth):
#         name = f"blocks.{i}"
#         x = x + half_heads(norm(x, p, f"{name}.norm1"), p, f"{name}.attn", config.heads)
#         x = x + mlp(norm(x, p, f"{name}.norm2"), p, f"{name}.mlp")
#     return linear(norm(x, p, "norm").mean(dim=(1, 2)), p, "head")
#
#
# def half_heads(x, p, name, heads):
#     qkv, half = split(x, p, name, heads), heads // 2
#     time = [rearrange(y[:, :, :half], "b t h s d -> b s h t d") for y in qkv]
#     y_t = rearrange(look(*time), "b s h t d -> b t s (h d)")
#     y_s = rearrange(look(*qkv[:, :, :, half:]), "b t h s d -> b t s (h d)")
#     return linear(torch.cat([y_t, y_s], dim=-1), p, f"{name}.proj")
# ```
#
# </details>


# %%
def model_4(clip: torch.Tensor, p: dict, config: ViViTConfig) -> torch.Tensor:
    """Clips (B, T, C, H, W) -> logits (B, K)."""
    ...  # your code


your_vivit.model_4.check(model_4)

# %% [markdown]
# ## It answers
#
# Now your models get the parameters of the trained ones, and 80 clips of Arrow of Time. The cell skips a model whose check is not passed yet.

# %%
yours = dict(zip(MODELS, (model_1, model_2, model_3, model_4), strict=True))
done = {}
for number, (name, answer) in enumerate(yours.items(), 1):
    if not getattr(your_vivit, f"model_{number}").check(answer).passed:
        print(f"{MODELS[name]:46} not yet, see exercise {number + 2}")
        continue
    model = trained(name)
    clips, labels = ArrowOfTime(80, model.config.frames, 48, seed=5).batch(range(80))
    done[name] = logits = answer(normalise(clips), dict(model.state_dict()), model.config)
    apart = (logits - model(normalise(clips))).abs().max()
    right = (logits.argmax(-1) == labels).float().mean()
    print(f"{MODELS[name]:46} {apart:.0e} from the package's logits, {right:.0%} right")

# %% [markdown]
# "6e-06 from", for example, means: no logit is further than 0.000006 from the package's. The checks allow 0.00001, plus 0.00001 times the logit. The package's models in turn are tested against outputs
# of the official code ([test_official_outputs.py](../tests/models/test_official_outputs.py)).
#
# ## One file
#
# When all four are right, this cell writes the functions that you defined into the file `my_vivit.py`, beside this notebook. It then runs the file and compares its logits with those of your cells. Only functions are written:
# if they use anything else (a constant, a class, another import), add it to `FIRST_LINES`. The package is imported for the type `ViViTConfig` only.

# %%
FIRST_LINES = """import torch
import torch.nn.functional as F
from einops import rearrange
from vivit_lab import ViViTConfig"""

if len(done) == len(MODELS):
    mine = [f for f in [*globals().values()] if getattr(f, "__module__", "") == "__main__"]
    parts = dict.fromkeys(inspect.getsource(f) for f in mine if inspect.isfunction(f))
    Path("my_vivit.py").write_text("\n\n\n".join([FIRST_LINES, *map(str.strip, parts)]) + "\n")
    written, alike = runpy.run_path("my_vivit.py"), True
    for number, (name, logits) in enumerate(done.items(), 1):
        state, config = dict(trained(name).state_dict()), trained(name).config
        again = written[f"model_{number}"](normalise(clips), state, config)
        alike = alike and torch.equal(again, logits)
    lines = [line for line in Path("my_vivit.py").read_text().splitlines() if line.strip()]
    print(f"my_vivit.py: {len(lines)} lines; the same logits: {alike}")

# %% [markdown]
# ## It learns
#
# Your forward pass uses no `nn.Module`. The parameters are tensors with gradients, and an optimiser changes them. Here Model 4 learns Arrow of Time from random parameters. It sees each clip once, so the clips of a
# step are new to the model when its answers are counted.
#
# What to expect: the package's Model 4 of the same size, in the stored runs of notebook 03 (batches of 16, too), got this far. These runs see 4,096 clips five times, by the recipe `cpu_tiny`; your shares can be higher.

# %%
runs = [run for run in load_results("four_models") if run.arm == "factorised_dot_product"]
for clips_seen in (2_400, 4_800, 9_600, 14_400):
    last = range(clips_seen - 2_399, clips_seen + 1)
    points = [[at["accuracy"] for at in run.curve if at["clips"] in last] for run in runs]
    shares = ", ".join(f"{fmean(accuracies):.0%}" for accuracies in points)
    print(f"after {clips_seen:6,} clips, {len(runs)} seeds: {shares} of the last 2,400 right")
print("of new clips, at the end:", ", ".join(f"{run.top1:.1%}" for run in runs))

# %%
SMALL = {
    "frames": 8, "image_size": 32, "tubelet": (2, 8, 8), "dim": 64, "depth": 3, "heads": 4, "mlp_dim": 128,
}  # fmt: skip
config = ViViTConfig(model="factorised_dot_product", num_classes=8, **SMALL)
if "factorised_dot_product" in done:
    torch.manual_seed(0)
    state = build_model(config).state_dict()  # random parameters
    p = {name: tensor.clone().requires_grad_() for name, tensor in state.items()}
    optimiser = torch.optim.AdamW(p.values(), lr=1e-3)
    dataset, steps, batch, right = ArrowOfTime(14_400, 8, 32), 900, 16, 0
    for step in range(steps):
        clips, labels = dataset.batch(range(step * batch, (step + 1) * batch))
        logits = model_4(normalise(clips), p, config)
        right += (logits.argmax(-1) == labels).sum().item()
        loss = F.cross_entropy(logits, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if (step + 1) % 150 == 0:
            print(
                f"after {(step + 1) * batch:6,} clips: {right / (150 * batch):.0%} of the last 2,400 right"
            )
            right = 0

# %% [markdown]
# The test: 512 clips of another seed, which no training has seen.

# %%
if "factorised_dot_product" in done:
    clips, labels = ArrowOfTime(512, 8, 32, seed=2).batch(range(512))
    with torch.no_grad():
        right = (model_4(normalise(clips), p, config).argmax(-1) == labels).float().mean()
    print(f"{right:.1%} of {len(labels)} new clips right")

# %% [markdown]
# ## What surprised people
#
# * **So little differs.** The models share embedding, norms, MLP and equation 7.
# * **The constants matter.** With torch's default layer norm (1e-5), or with the exact GELU, the logits are nearly right, and not equal. If you
#   load weights from another program, you need its constants, too.
# * **A block need not know what its axes mean.** The same lines attend over a clip, over a frame, and over time.
#
# ## Where next
#
# Compare your file with [vivit.py](../vivit_lab/models/vivit.py) and [layers.py](../vivit_lab/models/layers.py). They also have dropout, stochastic depth,
# checkpointing, attention maps on request, other sizes and poolings, and error messages. Then look for the defects of [10 The bug zoo](10_bug_zoo.ipynb) in your file.

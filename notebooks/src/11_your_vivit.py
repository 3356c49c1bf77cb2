# %% [markdown]
# # 11 · Your ViViT
#
# You have written a tubelet embedding, a block of Model 3 and half heads, each on its own. Here they become one thing: a file of about 70 lines,
# yours, that computes all four models. It takes the parameters of trained models and must give their logits to the fifth decimal. The package's
# models give those of the official code, so then yours do, too. At the end it trains.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), section 3 · a few minutes of computing, an hour or two of writing, no time limit · works offline, without a GPU ·
# before this: [03 Four models](03_four_models.ipynb) and its exercises · words: [glossary](glossary.ipynb)
#
# *No picture is shown here, so there is no CC BY 3.0 film to credit.*
#
# **Predict first.** How many of your lines will differ from one model to the next?
#
# <details><summary>Then look</summary>
#
# About ten a model. Tokens, norms, attention and MLP are the same in all four; only who meets whom is different.
#
# </details>
#
# Everything is a function of `p`, a dictionary of parameters under the package's names, which are timm's where an image ViT has the part:

# %%
from vivit_lab import ViViTConfig, build_model
from vivit_lab.data import ArrowOfTime
from vivit_lab.lessons.exercises import your_vivit
from vivit_lab.lessons.exercises.your_vivit import trained
from vivit_lab.models import MODELS
from vivit_lab.video import normalise

import torch
import torch.nn.functional as F
from einops import rearrange  # noqa: F401 - for your code

# %%
for name, tensor in trained("joint").state_dict().items():
    if "blocks" not in name or "blocks.0" in name:
        print(f"{name:28}{tuple(tensor.shape)}")

# %% [markdown]
# ## Exercises
#
# They build on each other: each uses what the ones before it defined, so keep your cells. If you are stuck, a solution brings all that the next one needs.
#
# ### 1 · The embedding
# Difficulty ●○○○ · importance ●●●○ · 5 minutes
#
# <details><summary>Hint</summary>
#
# The parameters are `patch_embed.proj.weight` and `.bias`. It is exercise 2 of notebook 02, but time and space stay apart.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def linear(x, p, name):
#     """x W^T + b, with the parameters of this name."""
#     return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]
#
#
# def embed(clip: torch.Tensor, p: dict, tubelet: tuple) -> torch.Tensor:
#     t, h, w = tubelet
#     boxes = rearrange(clip, "b (nt t) c (nh h) (nw w) -> b nt (nh nw) (c t h w)", t=t, h=h, w=w)
#     weight = p["patch_embed.proj.weight"].flatten(1)
#     return boxes @ weight.T + p["patch_embed.proj.bias"]
# ```
#
# </details>


# %%
def linear(x, p, name):
    """x W^T + b, with the parameters of this name."""
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def embed(clip: torch.Tensor, p: dict, tubelet: tuple) -> torch.Tensor:
    """(B, T, C, H, W) -> tokens (B, t, s, D). The weight is (D, C, t, h, w)."""
    ...  # your code


your_vivit.embedding.check(embed)

# %% [markdown]
# ### 2 · The block
# Difficulty ●●○○ · importance ●●●● · 20 minutes
#
# <details><summary>Hint</summary>
#
# Write `split` (x to q, k and v, each (..., heads, N, d)), `look` (equation 7), `attention` and `mlp` as functions of their own: Models 3 and 4 need them. The GELU is `F.gelu(..., approximate="tanh")`.
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
    """(..., N, D) -> the same: equations 2 and 3. name is "blocks.0", and so on; the parts are
    norm1, attn.qkv, attn.proj, norm2, mlp.fc1 and mlp.fc2."""
    ...  # your code


your_vivit.block.check(block)

# %% [markdown]
# ### 3 · Model 1
# Difficulty ●●○○ · importance ●●●● · 15 minutes
#
# <details><summary>Hint</summary>
#
# Equation 1, all blocks, the last norm (`norm`), the class token, and `head`.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def prepend(token, x):
#     """(1, 1, D) before the tokens (..., N, D)."""
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
    """(1, 1, D) before the tokens (..., N, D)."""
    return torch.cat([token.expand(*x.shape[:-2], 1, -1), x], dim=-2)


def model_1(clip: torch.Tensor, p: dict, config: ViViTConfig) -> torch.Tensor:
    """(B, T, C, H, W) -> logits (B, K). config has tubelet, depth and heads."""
    ...  # your code


your_vivit.model_1.check(model_1)

# %% [markdown]
# ### 4 · Model 2
# Difficulty ●●●○ · importance ●●●● · 15 minutes
#
# <details><summary>Hint</summary>
#
# In the spatial encoder t is a batch axis: your block takes any axes before the tokens. The second encoder's names begin with `temporal_`.
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
#     x = norm(x, p, "norm")[:, :, 0]  # (B, t, D): one token a time step
#     x = prepend(p["temporal_cls_token"], x) + p["temporal_pos_embed"]
#     for i in range(config.temporal_depth):
#         x = block(x, p, f"temporal_blocks.{i}", config.heads)
#     return linear(norm(x, p, "temporal_norm")[:, 0], p, "head")
# ```
#
# </details>


# %%
def model_2(clip: torch.Tensor, p: dict, config: ViViTConfig) -> torch.Tensor:
    """(B, T, C, H, W) -> logits (B, K). config has temporal_depth, too."""
    ...  # your code


your_vivit.model_2.check(model_2)

# %% [markdown]
# ### 5 · Model 3
# Difficulty ●●●○ · importance ●●●● · 15 minutes
#
# <details><summary>Hint</summary>
#
# `pos_embed` is (1, t · s, D). No class token: the classifier reads the mean. Bring t to the place of s for the second attention, and back.
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
    """(B, T, C, H, W) -> logits (B, K). A block has norm_time and attn_time, too."""
    ...  # your code


your_vivit.model_3.check(model_3)

# %% [markdown]
# ### 6 · Model 4
# Difficulty ●●●● · importance ●●●● · 20 minutes
#
# <details><summary>Hint</summary>
#
# As Model 3, with one attention a block: the first half of the heads looks along time (exercise 2 of notebook 03).
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
    """(B, T, C, H, W) -> logits (B, K)."""
    ...  # your code


your_vivit.model_4.check(model_4)

# %% [markdown]
# ## It answers
#
# All four, with the parameters of the trained models, on clips of Arrow of Time. (Until your six checks are green this cell says so.)

# %%
yours = dict(zip(MODELS, (model_1, model_2, model_3, model_4), strict=True))
checks = (your_vivit.model_1, your_vivit.model_2, your_vivit.model_3, your_vivit.model_4)
done = all(check.check(f).passed for check, f in zip(checks, yours.values(), strict=True))
print("Your ViViT is complete." if done else "Not complete yet: see the checks above.")
for name, answer in yours.items() if done else ():
    model = trained(name)
    dataset = ArrowOfTime(80, model.config.frames, model.config.image_size[0], seed=5)
    clips, labels = dataset.batch(range(80))
    logits = answer(normalise(clips), dict(model.state_dict()), model.config)
    apart = (logits - model(normalise(clips))).abs().max()
    right = (logits.argmax(-1) == labels).float().mean()
    print(f"{MODELS[name]:42} {apart:.0e} from the package's logits, {right:.0%} right")

# %% [markdown]
# ## It learns
#
# Nothing in it needs a class of torch's. The parameters are tensors with gradients, and an optimiser moves them: Model 4, from random weights, in
# about a minute.

# %%
SMALL = {
    "frames": 8, "image_size": 32, "tubelet": (2, 8, 8), "dim": 64, "depth": 3, "heads": 4, "mlp_dim": 128,
}  # fmt: skip
if done:
    torch.manual_seed(0)
    config = ViViTConfig(model="factorised_dot_product", num_classes=8, **SMALL)
    state = build_model(config).state_dict()
    p = {name: tensor.clone().requires_grad_() for name, tensor in state.items()}
    optimiser = torch.optim.AdamW(p.values(), lr=1e-3)
    dataset, steps, batch = ArrowOfTime(20_000, 8, 32), 900, 16
    for step in range(1, steps + 1):
        clips, labels = dataset.batch(range((step - 1) * batch, step * batch))
        logits = model_4(normalise(clips), p, config)
        loss = F.cross_entropy(logits, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 150 == 0:
            right = (logits.argmax(-1) == labels).float().mean()
            print(f"step {step}: loss {loss:.2f}, {right:.0%} of the batch right")

# %% [markdown]
# ## What surprised people
#
# * **So little differs.** Models 1 to 4 share all their parts. What the paper calls four models are four answers to one question: which tokens meet.
# * **The constants matter.** With torch's default layer norm (1e-5) and the exact GELU the logits are nearly right, and not equal. Whoever loads
#   weights from elsewhere needs the constants from there, too.
# * **A block need not know what its axes mean.** The same lines attend over a clip, over a frame, and over time.
#
# ## Where next
#
# Compare yours with [vivit.py](../vivit_lab/models/vivit.py) and [layers.py](../vivit_lab/models/layers.py). What they have more is dropout, stochastic depth,
# checkpointing, attention maps on request, other sizes and poolings, and clear errors. Then break it, as in [10 The bug zoo](10_bug_zoo.ipynb).

# %% [markdown]
# # 06 · How does an image model become a video model?
#
# There are few labelled videos and many labelled images. So a ViViT does not start from random weights: it is *inflated* from an image ViT. The
# paper reports six points of accuracy between its best way to do so and its worst. This notebook is about what is copied, what is stretched,
# what is new, and which models start exactly as the image model and which cannot.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), section 3.4 (equations 8 and 9) · about 4 minutes of computing on a laptop, an hour
# with the exercises · works offline, without a GPU · before this: [02 Tokenisation](02_tokenisation.ipynb) · words: [glossary](glossary.ipynb)

# %%
import inspect
import tempfile

from vivit_lab import build_model
from vivit_lab.lessons.exercises import inflation
from vivit_lab.weights import (
    ImageViT,
    WeightsError,
    inflate,
    inflate_kernel,
    load_timm,
    resize_positions,
)
from vivit_lab.widgets import InflationExplorer

import matplotlib.pyplot as plt
import timm
import torch
from safetensors.torch import save_file

# %% [markdown]
# ## One kernel for an image, one for a tubelet
#
# An image ViT multiplies each patch by a kernel of $h \times w$. A tubelet has $t$ frames, and needs a kernel of
# $t \times h \times w$. *Filter inflation* puts the image kernel, divided by $t$, at every time index (equation 8). *Central frame*
# puts it at index $\lfloor t/2 \rfloor$ and zeros elsewhere (equation 9).
#
# **Predict first.** The clip is frozen: all frames are the same. Which of the two gives the tokens of the image ViT? Then the clip
# begins to move: which one parts from the image ViT's tokens of the central frame?
#
# <details><summary>Then look</summary>
#
# On a frozen clip both do, to rounding: over time either kernel sums to the image kernel. With motion the central frame still does,
# because it sees no other frame. Filter inflation gives the mean over $t$ frames, in which whatever moves is blurred.
#
# </details>

# %%
explorer = InflationExplorer("rabbit", method="filter_inflation", t=4, stride=4)
explorer.offer(
    {
        "1 · tubelets of 2": {"t": 2},
        "1 · tubelets of 8": {"t": 8},
        "2 · frozen": {"method": "filter_inflation", "t": 4, "stride": 0},
        "3 · central frame, moving": {"method": "central_frame", "stride": 4},
        "4 · random, moving": {"method": "random", "stride": 4},
        "4 · random, frozen": {"method": "random", "stride": 0},
        "5 · filter inflation, longer": {"method": "filter_inflation", "t": 8, "stride": 4},
    }
)

# %% [markdown]
# *Picture: Big Buck Bunny, © 2008 Blender Foundation, CC BY 3.0.* Without a kernel you see a still; run the cell for the sliders
# (and choose another clip, or your own video by path or upload). Press a frame, and it becomes the central one; press a line of the plot
# for its method, or drag along the plot for more motion.
#
# Things to try:
# 1. Look at the column *sum*: over time either kernel sums to the image kernel. Is that so for every tubelet length?
# 2. Pull **motion** to 0. The two lines meet at zero, and the card says *equal*.
# 3. With motion, switch to **central frame**: equal again. What does this model know of motion at its first step?
# 4. Switch to **random**. Motion makes no difference any more. Why not?
# 5. Make the tubelet longer. Which line in the plot rises?
#
# The package's version is a few lines of arithmetic. (`rank_pooling` is in the official code but not in the paper: its weights sum to zero,
# so that a token says how its patch changes, and nothing about a frozen one.)

# %%
print(inspect.getsource(inflate_kernel).split('"""')[2])

# %% [markdown]
# The line to look at is `new_zeros`. An `expand` in its place would be a view of the image kernel, and zeroing the view would zero
# the kernel: the model would start from nothing, without an error. That is a bug found in public code, and the first exercise.
#
# ## Positions
#
# An image ViT has one position a patch. Model 1 needs one a tubelet: the image table is repeated for every time step. Model 2's
# spatial encoder takes it as it is. On another image size it is resized first.
#
# The source here is timm's ViT-S/16. Without a network its weights are random, and made larger so that its attention is not uniform. All that
# follows is true for any weights, trained or not.

# %%
torch.manual_seed(0)
drawn = load_timm("vit_small_patch16_224", pretrained=False)
state = {name: 3 * w if w.ndim == 2 else w for name, w in drawn.state.items()}
state = {name: w + 0.1 * torch.randn_like(w) if w.ndim != 2 else w for name, w in state.items()}
source = ImageViT("ViT-S/16, random", state, heads=drawn.heads, grid=drawn.grid)
print(f"{source.depth} blocks, {source.dim} wide, {source.heads} heads, patches of {source.patch},")
print(f"a grid of {source.grid}, class token: {source.has_cls}, GELU: {source.gelu}")

# %%
model = build_model(source.config(model="joint", frames=8, num_classes=400)).eval()
report = inflate(model, source, tubelet="central_frame")

image_rows = source.state["pos_embed"][0, 1:]
steps = model.pos_embed[0, 1:].unflatten(0, (4, 196))  # time slowest
print("every time step has the image table:", all(torch.equal(s, image_rows) for s in steps))
larger = resize_positions(source.state["pos_embed"], (14, 14), (16, 16), cls=True)
print("for 256 x 256 pixels:", tuple(larger.shape), "- the class token's row is not resized")

# %% [markdown]
# So at its start Model 1 cannot know whether a patch is from the first time step or the last. What tells the steps apart must be learned.
#
# ## The load report
#
# `inflate` says of every parameter where it comes from, and of every tensor of the source where it went. Nothing is left out, and
# when something does not fit, the model stays as it was.

# %%
report

# %% [markdown]
# Line by line:
# * **copied**: all blocks, all norms, the class token. They never see whether their tokens come from one frame or many.
# * **inflated**: the kernel above, from 4 axes to 5.
# * **repeated**: the position table, from 197 rows to 785.
# * **new**: the classifier, with zeros. The image model's 1,000 classes are not the video's.
# * **unused**: the image model's classifier of 1,000 classes.
# * The last line says whether the model now starts exactly as the image model, and if not, the first reason. What is behind it?
#
# ## Who starts exactly as the image model?
#
# Give the image ViT a picture, and the video model the same picture in all 8 frames. If inflation is perfect, the features before the
# classifier are equal. Models that average over their tokens have no class token; to be fair to them, they are inflated from a twin of
# the source that has none either.
#
# **Predict first.** Model 1 with a class token; without. Model 2 with average pooling over time. Model 3. Model 4. Which are exact?
#
# <details><summary>Then look</summary>
#
# Model 1 only without its class token, Model 2, and Model 3 if its attention over time starts silent. Model 4 never.
#
# </details>

# %%
parts = {name: w for name, w in source.state.items() if name != "cls_token"}
parts["pos_embed"] = parts["pos_embed"][:, 1:]
twin = ImageViT("without class token", parts, heads=source.heads, grid=source.grid)


def image_features(source, frame):
    """What timm computes with these weights."""
    mean = {"class_token": False, "global_pool": "avg", "fc_norm": False}
    vit = timm.create_model("vit_small_patch16_224", **({} if source.has_cls else mean)).eval()
    vit.load_state_dict(source.state)
    return vit.forward_head(vit.forward_features(frame), pre_logits=True)


# %%
cases = {
    "1, class token": (source, {"model": "joint"}, {}),
    "1, mean": (twin, {"model": "joint", "pooling": "mean"}, {}),
    "2, average over time": (source, {"model": "factorised_encoder", "temporal_depth": 0}, {}),
    "3, time silent": (twin, {"model": "factorised_self_attention"}, {}),
    "3, time copied": (
        twin, {"model": "factorised_self_attention"}, {"temporal_attention": "space"},
    ),
    "4": (twin, {"model": "factorised_dot_product"}, {}),
}  # fmt: skip

# %%
frame = torch.rand(1, 3, 224, 224) * 2 - 1
frozen = frame[:, None].expand(-1, 8, -1, -1, -1)  # 8 frames, all the same
torch.manual_seed(1)
with torch.inference_mode():
    for name, (image, fields, options) in cases.items():
        model = build_model(image.config(frames=8, **fields)).eval()
        report = inflate(model, image, **options)
        right = image_features(image, frame)
        apart = (model.encode(frozen, False)[0] - right).norm() / right.norm()
        reason = report.notes[-1].partition(", for ")[2]
        print(f"Model {name:22}{'exact' if apart < 1e-5 else f'{apart:.1%} apart':13} {reason}")

# %% [markdown]
# **Model 1 with a class token.** On a frozen clip every patch is there $n_t$ times, but the class token once. In the softmax of its
# attention its own key competes with $n_t$ times as many, so it looks at itself about $1/n_t$ as much as in the image model. Patches
# that look at patches are not affected: $n_t$ equal keys share the weight that one key would get. Here is the weight of the class token's own key:

# %%
for frames in (2, 4, 8, 16):
    model = build_model(source.config(model="joint", frames=frames, num_classes=5)).eval()
    inflate(model, source)
    clip = frame[:, None].expand(-1, frames, -1, -1, -1)
    with torch.inference_mode():
        x = torch.cat([model.cls_token, model.patch_embed(clip).flatten(1, 2)], dim=1)
        block = model.blocks[0]
        weights = block.attn(block.norm1(x + model.pos_embed), return_attention=True)[1]
    own = weights[0, :, 0, 0].mean().item()
    print(f"n_t = {frames // 2}: {own:.3%} on itself; times n_t: {own * frames / 2:.3%}")

# %% [markdown]
# The last column hardly changes. Without a class token every key is there $n_t$ times, and Model 1 is exact.
#
# **Model 2** runs the image ViT on each time step, with its class token. Its frame embeddings are the image model's, and the mean of equal ones is the
# same again. Its temporal encoder has no counterpart in an image model: its blocks start from random weights, as `build_model` draws them, and its
# class token from zero. So with a temporal encoder the features are new, but each frame embedding before it is exact.
#
# **Model 4** gives half of its heads to time. In a frozen clip such a head sees $n_t$ equal tokens from one place, where the image
# model's head saw the whole picture. No copy of weights can mend that. Only training can.
#
# ## Model 3: a branch that starts silent
#
# Model 3 has an attention over time that no image model can fill. The paper sets all its weights to zero: then the branch adds
# nothing, and the block starts as the image model's.
#
# **Predict first.** All weights zero: queries, keys, values, output. Which of them gets a gradient in the first step? In the second?
#
# <details><summary>Then look</summary>
#
# Only the output's bias, in every step. The output weights get their gradient through the values, which are zero. The values get
# theirs through the output weights, which are zero. Neither can move first.
#
# </details>


# %%
def gradients(model, clip, steps=4):
    """Largest gradient of the time branch's parts, in each step of plain gradient descent."""
    torch.manual_seed(2)
    direction, rows = torch.randn(model.config.dim), []
    for _ in range(steps):
        model.zero_grad()
        (model.encode(clip, False)[0] @ direction).sum().backward()
        branch = model.blocks[0].attn_time
        rows.append({n: p.grad.abs().max().item() for n, p in branch.named_parameters()})
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 1e-4 * (0 if parameter.grad is None else parameter.grad)
    return rows


# %%
clip = torch.rand(1, 4, 3, 112, 112) * 2 - 1
fields = {"model": "factorised_self_attention", "frames": 4, "image_size": 112}
found = {}
for name in ("all zero", "only the output zero"):
    torch.manual_seed(3)
    model = build_model(twin.config(**fields))
    inflate(model, twin, temporal_attention="identity")  # zeroes the output projection only
    if name == "all zero":
        for block in model.blocks:
            torch.nn.init.zeros_(block.attn_time.qkv.weight)
    found[name] = gradients(model, clip)

# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 2.6), facecolor="white", sharey=True)
for ax, (name, rows) in zip(axes, found.items(), strict=True):
    for part, style in (("proj.bias", "s-"), ("qkv.weight", "o-"), ("proj.weight", "o--")):
        colour = {"proj.bias": "#6b7280", "qkv.weight": "#2f6fed", "proj.weight": "#f26b1d"}[part]
        ax.plot([max(row[part], 1e-9) for row in rows], style, color=colour, label=part)
    ax.set(title=name, xlabel="step", yscale="log", xticks=range(4), ylim=(3e-10, 1e3))
    ax.set_yticks([1e-9, 1e-6, 1e-3, 1], ["0", "1e-6", "1e-3", "1"])
axes[0].set_ylabel("largest gradient (log, and 0)")
_ = axes[1].legend(frameon=False, loc="lower right")

# %% [markdown]
# On the left the branch never learns: the weights of queries, keys, values and output stay at zero, whatever the learning rate. The
# official code's option for zeros does this (and by default it does another thing: it copies the attention over space into the one
# over time, the row *time copied* above). On the right only the output projection is zero. Its weight learns at once, and from the
# next step on so do the others. That is `temporal_attention="identity"`, the default here.

# %% [markdown]
# ## Real weights
#
# With a network, pretrained weights are one name away. Without one, bring a file:
#
# ```python
# source = load_timm("vit_base_patch16_224.augreg_in21k")                 # timm fetches it
# source = load_timm("vit_base_patch16_224", "vit_b16.safetensors")        # a file of yours: .safetensors, .pth, .npz
# model = build_model(source.config(model="factorised_encoder", frames=32, num_classes=174))
# report = inflate(model, source, tubelet="central_frame")
# ```
#
# `source.config` takes everything from the image model, its exact GELU too; a ViViT built otherwise is told in the report. What a
# ViViT cannot compute is refused, never dropped:

# %%
with tempfile.TemporaryDirectory() as folder:
    save_file(
        {name: w.contiguous() for name, w in drawn.state.items()}, f"{folder}/mine.safetensors"
    )
    print(load_timm("vit_small_patch16_224", f"{folder}/mine.safetensors"))

for name in ("vit_small_patch14_reg4_dinov2", "vit_base_patch16_clip_224", "vit_smal_patch16_224"):
    try:
        load_timm(name)
    except WeightsError as error:
        print("\n" + str(error))

# %% [markdown]
# ## Exercises
#
# Write in the cell, run it, and read what the check says. Each check knows the usual mistakes.
#
# ### 1 · Central frame
# Difficulty ●●○○ · importance ●●●● · 10 minutes
#
# `kernel` is an image kernel (D, C, h, w). Return the tubelet kernel (D, C, t, h, w) of equation 9, and leave `kernel` as it was.
#
# <details><summary>Hint</summary>
#
# `kernel.new_zeros(...)` makes zeros of the same kind. Which of the axes is time?
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def central_frame(kernel: torch.Tensor, t: int) -> torch.Tensor:
#     d, c, h, w = kernel.shape
#     inflated = kernel.new_zeros(d, c, t, h, w)
#     inflated[:, :, t // 2] = kernel
#     return inflated
# ```
#
# </details>


# %%
def central_frame(kernel: torch.Tensor, t: int) -> torch.Tensor:
    """(D, C, h, w) -> (D, C, t, h, w)."""
    ...  # your code


inflation.central_frame.check(central_frame)

# %% [markdown]
# ### 2 · Positions for another size
# Difficulty ●●●○ · importance ●●●○ · 15 minutes
#
# `table` is (1, 1 + h·w, D): the class token's row, then the patches row by row. Resize it from `grid` to `new_grid`, both (rows,
# columns), by straight lines between the patches; the corner patches keep their values, and so does the class token.
#
# <details><summary>Hint</summary>
#
# `F.interpolate(..., mode="bilinear", align_corners=True)` wants (B, D, h, w).
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def resized_positions(table: torch.Tensor, grid: tuple, new_grid: tuple) -> torch.Tensor:
#     first, patches = table[:, :1], table[:, 1:]
#     picture = patches.mT.unflatten(2, grid)  # (1, D, h, w)
#     picture = torch.nn.functional.interpolate(
#         picture, new_grid, mode="bilinear", align_corners=True
#     )
#     return torch.cat([first, picture.flatten(2).mT], dim=1)
# ```
#
# </details>


# %%
def resized_positions(table: torch.Tensor, grid: tuple, new_grid: tuple) -> torch.Tensor:
    """(1, 1 + h w, D) -> (1, 1 + new h w, D)."""
    ...  # your code


inflation.resized_positions.check(resized_positions)

# %% [markdown]
# ### 3 · The same positions at every time step
# Difficulty ●○○○ · importance ●●●○ · 5 minutes
#
# `table` is (1, 1 + s, D). Make Model 1's table of it: one class token, then the s patches for each of `steps` time steps.
#
# <details><summary>Hint</summary>
#
# Time is slowest. `repeat` and `repeat_interleave` differ in just that.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def repeated_positions(table: torch.Tensor, steps: int) -> torch.Tensor:
#     return torch.cat([table[:, :1], table[:, 1:].repeat(1, steps, 1)], dim=1)
# ```
#
# </details>


# %%
def repeated_positions(table: torch.Tensor, steps: int) -> torch.Tensor:
    """(1, 1 + s, D) -> (1, 1 + steps * s, D)."""
    ...  # your code


inflation.repeated_positions.check(repeated_positions)

# %% [markdown]
# ## What surprised people
#
# * **The start matters more than the model.** In the paper's Table 1 (reported there: Model 1, B/16x2, Kinetics-400) a random tubelet
#   embedding reaches 73.2 %, filter inflation 77.6 %, central frame 79.2 %; uniform frame sampling, which needs no inflation of the
#   kernel, 78.5 %.
# * **The best start sees half of the frames.** Central frame with t = 2 ignores every other frame at first, and yet wins over the one
#   that sees them all. A likely reason: its tokens are of the kind that the blocks were trained on, moving or not.
# * **The central frame of two is the second.** $\lfloor 2/2 \rfloor = 1$, counted from 0.
# * **The official code leaves Model 2's class token new**, though it copies the class token's position. Here it is copied, so that the
#   frame embeddings are the image model's; `cls_token="new"` is the official way.
# * **In the very first step only the classifier learns.** It starts at zero, so no gradient passes through it. (The gradients above were
#   taken behind it, at the features.)
#
# ## Where next
#
# [07 Fine-tuning](07_fine_tuning.ipynb): an inflated model is trained, central frame against random side by side. What the blocks attend
# to before and after is [04 Attention maps](04_attention_maps.ipynb); what they cost is [05 FLOPs](05_flops.ipynb). The source of it all:
# [inflate.py](../vivit_lab/weights/inflate.py).

# %% [markdown]
# # 06 · How does an image model become a video model?
#
# There are few labelled videos and many labelled images. So a ViViT does not start from random weights: it is *inflated*, which means that its weights
# are made from those of an image ViT. This notebook shows which weights are copied, which are changed to fit, and which are new. It also
# shows which of the four models start exactly as the image model. In the paper (Table 1), the start of one layer alone, the tubelet embedding, changes the
# accuracy by six points.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), section 3.4 (equations 8 and 9) · about 4 minutes of computing on a laptop, an hour
# with the exercises · works offline, without a GPU · before this: [02 Tokenisation](02_tokenisation.ipynb) and [03 Four models](03_four_models.ipynb) ·
# words: [glossary](glossary.ipynb)

# %%
import inspect
import tempfile
from textwrap import fill

from vivit_lab import build_model
from vivit_lab.lessons.exercises import inflation
from vivit_lab.models import MODELS
from vivit_lab.weights import (
    ImageViT,
    WeightsError,
    inflate,
    inflate_kernel,
    load_timm,
    resize_positions,
)
from vivit_lab.widgets import InflationExplorer

import timm
import torch
from safetensors.torch import save_file

# %% [markdown]
# ## One kernel for an image, one for a tubelet
#
# An image ViT multiplies each patch by its kernel, the weights of its patch embedding. This kernel has $h \times w$ weights for each channel. A tubelet has $t$
# frames, so it needs a kernel of $t \times h \times w$. The paper compares two ways to make it from the image kernel:
# * *Filter inflation* puts the image kernel at every time index, divided by $t$ (equation 8).
# * *Central frame initialisation* puts the image kernel at the time index $\lfloor t/2 \rfloor$ and zeros at all others (equation 9).
#
# **Predict first.** A clip is frozen: all its frames are the same. Which of the two ways gives the tokens of the image ViT? Now the clip moves. Which
# of the two ways still gives the tokens that the image ViT makes of the central frame?
#
# <details><summary>Then look</summary>
#
# Frozen: both, except for rounding. Over time, each of the two kernels sums to the image kernel. Moving: only central frame, because it uses
# no other frame. Filter inflation gives the token of the mean of $t$ frames. In this mean, everything that moves is blurred.
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
# *Picture: Big Buck Bunny, © 2008 Blender Foundation, CC BY 3.0.* Until you run the cell, you see a still picture. Run the cell to get the sliders.
# Then you can also choose another clip, or your own video by path or upload. Press a frame to make it the central one. Press a line of the plot to choose its
# method. Drag along the plot to change the motion.
#
# *Mean difference*: how long the difference of two tokens is, in % of the mean length of the image ViT's tokens. *In one number*: the largest difference of any single
# number, not in %. Below 0.00001 the picture says *equal*.
#
# Things to try:
# 1. Look at the column *sum*. Is the sum over time the image kernel for every length of the tubelet?
# 2. Set **motion** to 0. The difference of filter inflation becomes zero, and the picture says *equal*.
# 3. Set **motion** to 4 and choose **central frame**. The tokens are equal again. (Its line in the plot lies on the axis.) What does this model know
#    about motion before it is trained?
# 4. Choose **random**. Now motion hardly matters. Why?
# 5. Choose **filter inflation** and make the tubelet longer. Which line in the plot rises?
#
# <details><summary>Answers</summary>
#
# 1: Yes, for filter inflation and central frame. 3: Nothing: each token contains one frame only. 4: The random kernel has nothing in common with the image kernel.
# So its tokens are as far from the image ViT's tokens with motion as without. 5: The line of filter inflation: a mean over a longer time is more blurred.
#
# </details>
#
# Here is the package's code:

# %%
print(inspect.getsource(inflate_kernel).split('"""')[2])

# %% [markdown]
# Look at the last three lines, which make the central frame. `repeat` copies its zeros, so `inflated` has memory of its own. There is a known bug
# in public code, which sets `kernel.unsqueeze(2).expand(...)` to zero instead. `expand` copies nothing: it is a view of the image kernel, so the image kernel is zero, too. Then the
# model starts from nothing, and there is no error. Exercise 1 tests for this.
#
# (You can skip `rank_pooling`. It is in the official code, but not in the paper. Its weights sum to zero over time, so a token contains
# only the change of its patch.)
#
# ## Positions
#
# An image ViT has one position embedding for each patch, and one for the class token. What do the four models need?
# * **Models 1, 3 and 4** need one for each tubelet. The rows of the image table are repeated for every time step. (Models 3 and 4 do not have the row of the
#   class token.)
# * **Model 2** uses the image table in its spatial encoder as it is. The table for time, in its temporal encoder, is new.
#
# If the video has another image size than the image model, the table is resized first: its rows are laid out as a picture, and the new rows come
# from bilinear interpolation. As in the official code, the patches in the corners keep their rows.
#
# The image model here is timm's ViT-S/16. Without a network we have no trained weights for it, so its weights are random. They are changed so that
# every part matters: matrices are made three times as large (so that the attention is not uniform), and random numbers are added to
# all other weights (so that no bias is zero). (GELU is the function
# inside the MLP of a block. timm computes it exactly. The official ViViT code uses an approximation with tanh.)

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
report = inflate(model, source, tubelet="central_frame")  # the default

image_rows = source.state["pos_embed"][0, 1:]
steps = model.pos_embed[0, 1:].unflatten(0, (4, 196))  # the order is (t h w)
print("every time step has the image table:", all(torch.equal(s, image_rows) for s in steps))
larger = resize_positions(source.state["pos_embed"], (14, 14), (16, 16), cls=True)
print("for 256 x 256 pixels:", tuple(larger.shape), "- the class token's row is not resized")

# %% [markdown]
# Before training, Model 1 cannot know whether a patch comes from the first time step or from the last. It must learn this.
#
# ## The load report
#
# `inflate` tells for every parameter of the model where it comes from, and for every tensor of the image model where it goes. If something
# does not fit, `inflate` raises an error and changes nothing.

# %%
report

# %% [markdown]
# Line by line:
# * **copied**: all blocks, all norms, the class token. They work on tokens, from one frame or from many.
# * **inflated**: the kernel of the embedding, from 4 axes to 5.
# * **repeated**: the position table, from 197 rows to 785.
# * **new**: the classifier, which starts at zero. The image model's 1,000 classes are not the classes of the videos.
# * **unused**: the image model's classifier.
# * The last line tells whether the model starts exactly as the image model. If it does not, the line gives the first reason.
#
# ## Which models start exactly as the image model?
#
# Give one picture to the image ViT. Give the same picture, 8 times, to the video model as a frozen clip. If the inflation is exact, the two models have equal
# features (the vector that the classifier reads).
#
# Models 3 and 4, and Model 1 if it averages, have no class token. They must be compared with an image ViT without a class token. So there is a second image model
# below, `twin`: the same weights, without the class token and its position. It averages its patches.
#
# **Predict first.** Which of these start exactly: Model 1 with a class token, Model 1 without one, Model 2 without its temporal encoder (it averages the time steps), Model 3 with an attention over time that adds zero, Model 4?
#
# <details><summary>Then look</summary>
#
# Model 1 only without a class token. Model 2. Model 3. Model 4 never.
#
# </details>

# %%
parts = {name: w for name, w in source.state.items() if name != "cls_token"}
parts["pos_embed"] = parts["pos_embed"][:, 1:]
twin = ImageViT("without class token", parts, heads=source.heads, grid=source.grid)


def image_features(source, frame):
    """Of timm's model with these weights."""
    mean = {"class_token": False, "global_pool": "avg", "fc_norm": False}
    vit = timm.create_model("vit_small_patch16_224", **({} if source.has_cls else mean)).eval()
    vit.load_state_dict(source.state)
    return vit.forward_head(vit.forward_features(frame), pre_logits=True)


# %%
cases = {
    "1, class token": (source, {"model": "joint"}, {}),
    "1, mean": (twin, {"model": "joint", "pooling": "mean"}, {}),
    "2, average over time": (source, {"model": "factorised_encoder", "temporal_depth": 0}, {}),
    "3, time adds zero": (twin, {"model": "factorised_self_attention"}, {}),
    "3, time random": (
        twin, {"model": "factorised_self_attention"}, {"temporal_attention": "new"},
    ),
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
        reason = report.notes[-1].partition(", because ")[2]
        print(f"Model {name:22}{'exact' if apart < 1e-5 else f'{apart:.1%} apart':13} {reason}")

# %% [markdown]
# *1.2 % apart* means: the difference of the two feature vectors has 1.2 % of the length of the image model's. With trained weights the same rows say *exact*, but the percentages are
# others. So the percentages here do not rank the starts.
#
# **Model 1 with a class token.** In a frozen clip, every patch is there $n_t$ times (once for each time step), but the class token is there once. In the attention of the class token,
# its own key competes with $n_t$ times as many keys of patches. So its own key gets less weight than in the image
# model. The $n_t$ equal keys of a patch share the weight that the one patch gets in the image model. Here is the weight of the class token's own key in block 0 (mean of the heads):

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
# The last column hardly changes, so the weight is about proportional to $1/n_t$. (Only because it is small: the own key is itself a part of the sum in the
# softmax.) Without a class token, every key is there $n_t$ times, and Model 1 is exact.
#
# **Model 2** runs the image ViT on each time step, with its class token. So each *frame embedding* (the class token after the spatial encoder, one for each time step) is the image model's, and the mean of equal vectors is
# the same vector. This is Model 2 *without* its temporal encoder; the next section adds it.
#
# **Model 3** is exact if its attention over time adds zero. It is not exact if this attention starts at random (*time random*), or with a copy of the weights of
# the attention over space (*time copied*).
#
# **Model 4** uses half of its heads for time. In a frozen clip such a head sees $n_t$ equal tokens of one place. In the image model the same head
# saw the whole picture.
#
# ## How the new parts start
#
# Model 2's temporal encoder and Model 3's attention over time do not exist in an image model. How do they start? Here are the new parameters of the
# two models (of the first block only):


# %%
def start(parameter):
    low, high = parameter.min().item(), parameter.max().item()
    return f"all {low:.0f}" if low == high else f"random, {low:.1g} to {high:.1g}"


settings = {"factorised_encoder": source, "factorised_self_attention": twin}
for name, image in settings.items():
    model = build_model(image.config(model=name, frames=8, num_classes=5))
    print(f"\n{MODELS[name]}")
    for entry in inflate(model, image)["new"]:
        if "blocks." not in entry.name or ".0." in entry.name:
            print(f"  {entry.name:36} {start(model.get_parameter(entry.name))}")

# %% [markdown]
# **Model 2.** The temporal encoder starts as in a model that nobody has trained: random matrices, norms of 1 and 0, small random positions, a class token of
# zero. (The biases of the MLP are random and nearly zero, as in the official code.) So the features are new. But each frame embedding that goes into this encoder is exactly the image model's. The temporal encoder has few blocks
# (4 in the paper's B/16x2), so not much must be learned from the start.
#
# **Model 3.** The attention over time lies inside every block, between layers that were copied. If it started at random, it would disturb all
# of them (*time random* above), because its output is added to the tokens in each block. So it must add zero at the start. The residual connection then hands the tokens
# on unchanged. But which weights should be zero?
#
# ## Model 3: zero, but able to learn
#
# The paper's text sets all weights of the attention over time to zero. The queries, keys and values are made by the matrices $W_q$, $W_k$ and $W_v$. $A$ are the attention
# weights that come from the queries and keys. The output matrix $W_o$ comes last. For tokens $x$, the attention over time adds
#
# $$ y = W_o \, A \, W_v \, x $$
#
# (biases left out; they start at zero, too). The gradients below are those of the features, so the classifier, which starts at zero, does not stop them.
#
# **Predict first.** (a) All four matrices are zero. Which of them get a gradient in the first step? And in the second? (b) Only $W_o$ is zero. The same questions.
#
# <details><summary>Then look</summary>
#
# (a) None, in any step. Take $y = a \cdot b$ with $a = b = 0$. The gradient of $a$ contains $b$, which is zero. The gradient of $b$ contains $a$, which is zero. Here $W_o$ and
# $W_v$ are such a pair. $W_q$ and $W_k$ only change the weights of a sum of zeros. Only the output's bias gets a gradient.
#
# (b) $W_o$ in the first step, because the values are not zero. From the second step on all of them, because $W_o$ is not zero any more.
#
# </details>


# %%
def gradients(model, clip, steps=3):
    """Largest gradient of each part of the first block's attention over time, step by step."""
    torch.manual_seed(2)
    direction, rows = torch.randn(model.config.dim), []
    for _ in range(steps):
        model.zero_grad()
        (model.encode(clip, False)[0] @ direction).sum().backward()  # any function of the features
        qkv, out = model.blocks[0].attn_time.qkv, model.blocks[0].attn_time.proj
        rows.append([*qkv.weight.grad.chunk(3), out.weight.grad, out.bias.grad])
        rows[-1] = [f"{gradient.abs().max().item():10.1g}" for gradient in rows[-1]]
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= 1e-4 * parameter.grad
    return rows


# %%
clip = torch.rand(1, 4, 3, 112, 112) * 2 - 1
fields = {"model": "factorised_self_attention", "frames": 4, "image_size": 112}
for name in ("all zero", "only the output zero"):
    torch.manual_seed(3)
    model = build_model(twin.config(**fields))
    inflate(model, twin, temporal_attention="new")  # over time: as build_model draws it
    for block in model.blocks:
        zeroed = block.attn_time if name == "all zero" else block.attn_time.proj
        for parameter in zeroed.parameters():
            torch.nn.init.zeros_(parameter)
    print(f"{name:20}       W_q       W_k       W_v       W_o  output bias")
    for step, row in enumerate(gradients(model, clip), 1):
        print(f"{f'step {step}':>20}{''.join(row)}")

# %% [markdown]
# **All zero**: the gradients of all four matrices are exactly zero in every step. Only the output's bias learns. It adds the same vector
# to all tokens, so frames still cannot see each other: this attention never learns to compare them. The official code has an option that does this. By default the official code does
# something else: it copies the attention over space into the attention over time (*time copied* above). So text and code differ. Which of them the paper's Model 3 used we cannot tell: the official code has no
# configuration and no weights for it.
#
# **Only the output zero**: $y$ is zero at the start, too, so the block starts as the image model's. But $W_o$ learns in the first step, and the others
# from the second step on: first by little, because $W_o$ is still small. This is the default of this package. Its name is `temporal_attention="identity"`.
#
# ## Why does central frame win in the paper?
#
# The paper's figures (Table 1: Model 1, B/16x2, Kinetics-400):
#
# | start of the embedding | accuracy |
# |---|---|
# | tubelets, random | 73.2 % |
# | tubelets, filter inflation | 77.6 % |
# | uniform frame sampling (the image kernel fits as it is) | 78.5 % |
# | tubelets, central frame | 79.2 % |
#
# **The paper's reason.** At the start, central frame acts like uniform frame sampling: each tubelet gives the token of one frame. During training, the kernel can learn to
# use the other frames, too. So it has the good start of the third row, and can become better than it.
#
# **Our reading.** The copied blocks know the tokens of sharp images. A mean over $t$ frames blurs everything that moves, so filter inflation gives
# them tokens of a kind that they have not seen. Central frame gives exactly an image's tokens, with motion or without. How different are the tokens
# in the explorer, with **motion** 2? (Its image ViT is not trained: its filters are waves from formulas.)

# %%
for t in (2, 4, 8):
    for method in ("central_frame", "filter_inflation", "random"):
        difference = InflationExplorer("rabbit", method=method, t=t, stride=2).difference()
        print(f"t = {t}  {method:18} {difference.mean:7.2%} of an image token's length")

# %% [markdown]
# For the three starts of tubelets the order is that of the paper's accuracies: the smaller the difference, the better the result. (Uniform frame sampling has no difference, either. Only the paper's reason explains why central frame is better than uniform frame sampling.) In this clip little moves, so the difference of filter
# inflation is small. Each kernel of *random* is another draw, so its change with t is chance.
#
# But central frame has zeros, as Model 3 has. Do these zeros learn? **Predict first:** are the gradients of the kernel zero at the index of the zeros? (Gradients of the features again.)

# %%
for how in ("central_frame", "filter_inflation"):
    model = build_model(twin.config(model="joint", frames=4, image_size=112))
    inflate(model, twin, tubelet=how)
    torch.manual_seed(2)
    (model.encode(clip, False)[0] @ torch.randn(twin.dim)).sum().backward()
    kernel = model.patch_embed.proj.weight
    for index in range(2):
        weight, gradient = (x[:, :, index].abs().max().item() for x in (kernel, kernel.grad))
        print(
            f"{how:18} index {index}: largest weight {weight:.2f}, largest gradient {gradient:.0f}"
        )

# %% [markdown]
# No, so they can learn at once. The gradient of a weight of the kernel contains the pixel that the weight is multiplied by, and pixels are not zero. So these weights
# start at zero, and learn what the other frame adds: the motion.
#
# That the blur costs accuracy is an argument, not a proof. [09 Ablations](09_ablations.ipynb) compares the starts on small models.

# %% [markdown]
# ## Real weights
#
# With a network, the name is enough to load pretrained weights. Without one, use a file:
#
# ```python
# source = load_timm("vit_base_patch16_224.augreg_in21k")  # timm fetches it
# source = load_timm("vit_base_patch16_224", "vit_b16.safetensors")  # or .pth, .npz
# model = build_model(source.config(model="factorised_encoder", frames=32, num_classes=174))
# report = inflate(model, source, tubelet="central_frame")
# ```
#
# `source.config` takes all sizes from the image model, and its GELU. If the ViViT was built with the other GELU, the report says so. If the image model has
# parts that a ViViT cannot compute, it is refused. No part is left out without a message:

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
        print("\n" + fill(str(error), 90))

# %% [markdown]
# ## Exercises
#
# Write your answer in the cell, run the cell, and read what the check says. Each check knows the usual mistakes.
#
# ### 1 · Central frame
# Difficulty ●●○○ · importance ●●●● · 10 minutes
#
# `kernel` is an image kernel, a tensor (D, C, h, w). Return the tubelet kernel (D, C, t, h, w) of equation 9. Do not change `kernel`. Example: for `t = 4`
# the image kernel is at time index 2.
#
# <details><summary>Hint</summary>
#
# `kernel.new_zeros(...)` makes a new tensor of zeros with the type of `kernel`. Which axis is time?
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
# `table` is a tensor (1, 1 + h·w, D): the row of the class token first, then the patches, row by row. Resize it from `grid` to `new_grid`, both given as
# (rows, columns), with bilinear interpolation. The patches in the corners keep their values, and so does the class token. Example: from `(14, 14)` to
# `(16, 16)`, a table of 197 rows becomes one of 257.
#
# <details><summary>Hint</summary>
#
# Make the patches a picture with D channels. `F.interpolate(..., mode="bilinear", align_corners=True)` takes (B, D, h, w).
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
# `table` is a tensor (1, 1 + s, D): the row of the class token, then s patches. Return Model 1's table (1, 1 + steps · s, D): the row of the class token
# once, then the s patches again for each of the `steps` time steps.
#
# <details><summary>Hint</summary>
#
# Tokens are in the order (t, h, w): time changes slowest. Do you need `repeat` or `repeat_interleave`?
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
# * **The start matters more than the model.** In the paper's Table 1 there are 6.0 points between the starts of one layer (73.2 to 79.2 %). In its
#   Table 2 there are 3.7 points between the four models (76.3 to 80.0 %, on Kinetics-400).
# * **The best start uses half of the frames.** With t = 2, central frame uses only the second frame of each tubelet (index $\lfloor 2/2 \rfloor = 1$) at first. Even so, it is better than filter
#   inflation, which uses both.
# * **Not every zero can learn.** A zero that is multiplied by pixels learns. A zero that is multiplied by another zero does not.
# * **The official code does not copy the class token into Model 2**, although it copies the position of the class token. This package copies both, so that the frame
#   embeddings are the image model's. `cls_token="new"` does it the official way.
# * **In the very first step of a training only the classifier learns.** It starts at zero, so no gradient goes through it. So what this notebook says of a first step holds for the
#   second one then.
#
# ## Where next
#
# [07 Fine-tuning](07_fine_tuning.ipynb): an inflated model is trained, central frame beside random weights. The code of this notebook is in
# [inflate.py](../vivit_lab/weights/inflate.py).

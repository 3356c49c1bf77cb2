# %% [markdown]
# # 10 · The bug zoo
#
# Eight defects that were found in public code of video transformers, written anew in a few lines each. None of them raises an error, and most of
# them let the loss fall. You will meet each by its symptom, as people describe it; then see the code, and a *property test* that is red; then you mend it.
# Everybody who writes such models has made some of these mistakes. What helps is a small test that cannot be fooled.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691) · a few seconds of computing, about 15 minutes of thinking a defect, no time limit · works offline, without a GPU · before
# this: [03 Four models](03_four_models.ipynb) · words: [glossary](glossary.ipynb)
#
# *All clips here are random numbers or drawn by us, so there is no CC BY 3.0 film to credit.*
#
# A property test does not compare with a known answer. It states something that must be true of *any* right program: a clip's answer does not
# depend on its neighbours in the batch; asked twice, a model says the same. **Predict first**, each time, before you run the test: will it be
# red, and why?
#
# Two more defects live elsewhere: a kernel that is zeroed through an expanded view ([06](06_inflation.ipynb), exercise 1), and frames that are
# sampled by rounding, so that one gap in four is longer ([01](01_clip_sampling.ipynb), exercise 2).

# %%
from vivit_lab.lessons.exercises import bug_zoo
from vivit_lab.lessons.exercises.bug_zoo import Mlp, Projection, seeded
from vivit_lab.lessons.exercises.four_models import MixingModel2, small_clips, small_model_2

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn


def test(name, green):
    """Print what a property test says."""
    print(f"{'green' if green else 'RED  '} {name}")


# %% [markdown]
# ## Exercises
#
# ### 1 · Attention over the batch
# Difficulty ●●○○ · importance ●●●● · 10 minutes
#
# "With a batch of one my model is fine. With sixteen it is worse, and the answers change when I shuffle the test set."


# %%
def attend(attention, x):
    """x (B, N, D): every token looks at the tokens of its clip. Is that so?"""
    return attention(x, x, x)[0]


attention = seeded(nn.MultiheadAttention, 8, 2)
x = torch.randn(3, 5, 8)
with torch.no_grad():
    alone = torch.cat([attend(attention, x[i : i + 1]) for i in range(3)])
    test(
        "a clip's answer does not depend on the batch", torch.allclose(attend(attention, x), alone)
    )

# %% [markdown]
# **Predict first.** What is wrong in the lines above, and what would the test say of a right version? Then write that version.
#
# <details><summary>Hint</summary>
#
# `attention` is as it is: mend the call. Which axis does `nn.MultiheadAttention` take for the sequence, if `batch_first` is not said? Its documentation has the shapes.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def attend_within_clips(attention, x: torch.Tensor) -> torch.Tensor:
#     y = x.transpose(0, 1)  # (N, B, D), as torch wants it by default
#     return attention(y, y, y)[0].transpose(0, 1)
# ```
#
# </details>


# %%
def attend_within_clips(attention, x: torch.Tensor) -> torch.Tensor:
    """attention: an nn.MultiheadAttention as torch makes it by default. x: (B, N, D) -> (B, N, D)."""
    ...  # your code


bug_zoo.attention_over_the_batch.check(attend_within_clips)

# %% [markdown]
# ### 2 · Positions in another order
# Difficulty ●●○○ · importance ●●●● · 10 minutes
#
# "I added positions in time, and nothing got better. Shuffling the frames hardly changes the answer."


# %%
def add_positions(x, space, time):
    """x (B, t h w, D), space (h, w, D), time (t, D)."""
    return x + rearrange(space[:, :, None] + time, "h w t d -> (h w t) d")


zero, space = torch.zeros(1, 4 * 2 * 3, 5), torch.zeros(2, 3, 5)
time = torch.arange(4.0)[:, None].expand(4, 5)  # step 0 gets 0, step 1 gets 1, ...
steps = add_positions(zero, space, time).view(4, 6, 5)  # tokens are (t h w)
test("all tokens of a time step get the same position in time", bool((steps.std(dim=1) == 0).all()))

# %% [markdown]
# **Predict first.** What is wrong in the lines above, and what would the test say of a right version? Then write that version.
#
# <details><summary>Hint</summary>
#
# Write what order the tokens have on the right of the arrow.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def with_positions(x: torch.Tensor, space: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
#     table = space + time[:, None, None]  # (t, h, w, D)
#     return x + rearrange(table, "t h w d -> (t h w) d")
# ```
#
# </details>


# %%
def with_positions(x: torch.Tensor, space: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """x (B, t h w, D), space (h, w, D), time (t, D) -> (B, t h w, D)."""
    ...  # your code


bug_zoo.positions_in_order.check(with_positions)

# %% [markdown]
# ### 3 · Dropout in eval
# Difficulty ●○○○ · importance ●●●● · 5 minutes
#
# "The same clip gets another answer each time I ask. I did call `model.eval()`."


# %%
def forward(mlp, x):
    return F.dropout(mlp.fc(x), mlp.rate)


mlp = seeded(Mlp)  # in eval mode
x = torch.randn(6, 16)
test("asked twice, the same answer", torch.equal(forward(mlp, x), forward(mlp, x)))

# %% [markdown]
# **Predict first.** What is wrong in the lines above, and what would the test say of a right version? Then write that version.
#
# <details><summary>Hint</summary>
#
# `F.dropout` does not know the module. Its third argument says whether to drop, and is True unless you say otherwise. A module knows its mode: `mlp.training`.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def mlp_forward(mlp, x: torch.Tensor) -> torch.Tensor:
#     return F.dropout(mlp.fc(x), mlp.rate, mlp.training)
# ```
#
# </details>


# %%
def mlp_forward(mlp, x: torch.Tensor) -> torch.Tensor:
    """mlp.fc, then dropout of mlp.rate in training, and none in eval mode."""
    ...  # your code


bug_zoo.dropout_in_eval.check(mlp_forward)

# %% [markdown]
# ### 4 · Pixels in another range
# Difficulty ●○○○ · importance ●●●○ · 5 minutes
#
# "The published weights give 74 % where their authors report 79 %. The code is theirs, only the loading is mine."


# %%
def prepare(clip):
    """uint8 (T, C, H, W) -> float, for weights that were trained on [-1, 1]."""
    return clip.float() / 255


ends = prepare(torch.tensor([0, 255], dtype=torch.uint8)).tolist()
test(f"black is -1 and white is 1, here {ends}", ends == [-1, 1])

# %% [markdown]
# **Predict first.** What is wrong in the lines above, and what would the test say of a right version? Then write that version.
#
# <details><summary>Hint</summary>
#
# A straight line through (0, -1) and (255, 1). Mind the type: what is 200 · 2 in uint8?
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def prepared(clip: torch.Tensor) -> torch.Tensor:
#     return clip.float() / 127.5 - 1
# ```
#
# </details>


# %%
def prepared(clip: torch.Tensor) -> torch.Tensor:
    """uint8 (T, C, H, W), 0 to 255 -> float in [-1, 1]."""
    ...  # your code


bug_zoo.pixel_range.check(prepared)

# %% [markdown]
# ### 5 · Labels in another order
# Difficulty ●●○○ · importance ●●●● · 10 minutes
#
# "Training says 95 %. The evaluation on my colleague's machine says 12 %, with the same weights and the same videos."


# %%
def numbers(train_folders, videos):
    """The class number of each video, named by its folder."""
    classes = []
    for name in videos:
        if name not in classes:
            classes.append(name)
    return [classes.index(name) for name in videos]


train = ["walk", "jump", "run", "sit"]
same = numbers(train, ["sit", "run"]) == numbers(train, ["run", "sit"])[::-1]
test("a class has the same number, whichever video comes first", same)

# %% [markdown]
# **Predict first.** What is wrong in the lines above, and what would the test say of a right version? Then write that version.
#
# <details><summary>Hint</summary>
#
# A disk lists folders in any order, and a test set need not have a video of every class. Which list is the same for everybody?
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def class_numbers(train_folders: list[str], videos: list[str]) -> list[int]:
#     classes = sorted(train_folders)
#     return [classes.index(name) for name in videos]
# ```
#
# </details>


# %%
def class_numbers(train_folders: list[str], videos: list[str]) -> list[int]:
    """The number of the class of each video. train_folders: the classes, as the disk lists them."""
    ...  # your code


bug_zoo.labels_in_order.check(class_numbers)

# %% [markdown]
# ### 6 · Mirrored clips, unmirrored labels
# Difficulty ●●○○ · importance ●●●○ · 10 minutes
#
# "*Pushing left to right* and *pushing right to left* stay at 50 %, all other classes are fine."


# %%
def augment(clip, label, partner):
    """Mirror a clip (T, C, H, W). partner: {class: its mirror image}, as {0: 1, 1: 0}."""
    return clip.flip(-1), label


clip = torch.randn(2, 3, 4, 6)
_, label = augment(clip, 0, {0: 1, 1: 0})
test("what moves right moves left in the mirror", label == 1)

# %% [markdown]
# **Predict first.** What is wrong in the lines above, and what would the test say of a right version? Then write that version.
#
# <details><summary>Hint</summary>
#
# Not every class has a partner: `partner.get`.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def mirrored(clip: torch.Tensor, label: int, partner: dict[int, int]):
#     return clip.flip(-1), partner.get(label, label)
# ```
#
# </details>


# %%
def mirrored(clip: torch.Tensor, label: int, partner: dict[int, int]):
    """(T, C, H, W) and its class -> the mirrored clip and the class that it shows."""
    ...  # your code


bug_zoo.mirrored_labels.check(mirrored)

# %% [markdown]
# ### 7 · A module that is read, not called
# Difficulty ●●○○ · importance ●●●○ · 10 minutes
#
# "I put LoRA into the model. It trains, the loss falls a little, and then I see that removing the adapters changes nothing."


# %%
def project(layer, x):
    return F.linear(x, layer.proj.weight, layer.proj.bias)


layer, heard = seeded(Projection), []
hook = layer.proj.register_forward_hook(lambda *_: heard.append(True))
project(layer, torch.randn(5, 6))
hook.remove()
test("a hook on the layer hears the forward pass", bool(heard))

# %% [markdown]
# **Predict first.** What is wrong in the lines above, and what would the test say of a right version? Then write that version.
#
# <details><summary>Hint</summary>
#
# A module does more in `__call__` than its arithmetic: hooks run there, and whatever was put in its place.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def projected(layer, x: torch.Tensor) -> torch.Tensor:
#     return layer.proj(x)
# ```
#
# </details>


# %%
def projected(layer, x: torch.Tensor) -> torch.Tensor:
    """What layer.proj, an nn.Linear or whatever has been put in its place, makes of x."""
    ...  # your code


bug_zoo.module_is_called.check(projected)

# %% [markdown]
# ### 8 · The classifier that hides them all
# Difficulty ●●●○ · importance ●●●● · 15 minutes
#
# "My test of batch independence is green. The trained model fails it."


# %%
def leaks(model, clips):
    """Whether the answers for clips depend on their company."""
    alone = torch.cat([model(clip[None]) for clip in clips])
    return not torch.allclose(model(clips), alone, atol=1e-5)


model = small_model_2(MixingModel2).requires_grad_(False)  # it mixes the clips of a batch, see 03
print("the leak is found:", leaks(model, small_clips(3)))
model.head.weight.zero_(), model.head.bias.zero_()  # as every new ViViT has it
test("the leak is found with a new classifier, too", leaks(model, small_clips(3)))

# %% [markdown]
# **Predict first.** What is wrong in the lines above, and what would the test say of a right version? Then write that version.
#
# <details><summary>Hint</summary>
#
# A new ViViT's logits are 0 for every clip. `model.encode(clips, False)[0]` gives the features (B, D) that the classifier reads.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def finds_the_leak(model, clips: torch.Tensor) -> bool:
#     alone = torch.cat([model.encode(clip[None], False)[0] for clip in clips])
#     return not torch.allclose(model.encode(clips, False)[0], alone, atol=1e-5)
# ```
#
# </details>


# %%
def finds_the_leak(model, clips: torch.Tensor) -> bool:
    """Whether a Model 2 mixes the clips (B, T, C, H, W) of a batch, whatever its classifier."""
    ...  # your code


bug_zoo.leak_behind_zeros.check(finds_the_leak)

# %% [markdown]
# ## What surprised people
#
# * **None of the eight raises an error.** Shapes fit, losses fall, and the model is worse than it could be. Nobody looks for what does not fail.
# * **A test of shapes finds none of them.** Each test above looks at values, and asks for something that must be true of any right program.
# * **A new model hides leaks.** Its classifier is zero, so all its answers are equal. A test that compares answers must first see that they differ.
# * **Three of them live in the data**, not in the model: pixels, labels, mirrors. `python -m vivit_lab check` and `overfit_one_batch` see wrong files
#   and broken code; a wrong label they cannot see ([07](07_fine_tuning.ipynb)).
#
# ## Where next
#
# The package has each of these tests, for all four models: [tests/models](../tests/models), [tests/weights](../tests/weights),
# [tests/data](../tests/data). Take them along for a model of your own. Back to the series: [00 Start here](00_start_here.ipynb).

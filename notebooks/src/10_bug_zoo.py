# %% [markdown]
# # 10 · The bug zoo
#
# This notebook shows eight defects. Seven were found in public code of transformers and video models, and are written anew here in a few lines; the eighth is in a test. None of
# them raises an error, and none of them stops a training. You meet each defect in four steps: its symptom, as people describe it; the code; a *property
# test*, which is red; and your own version, for which the same test is green.
#
# Careful people wrote the public code. A small test finds what careful reading does not.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691) · a few seconds of computing · 5 to 15 minutes for each defect, 75 minutes for all, no time limit · works offline, without a GPU ·
# before this: [00 Start here](00_start_here.ipynb) to [03 Four models](03_four_models.ipynb) · words: [glossary](glossary.ipynb)
#
# A **property test** checks a rule that a right program keeps for any weights and any input. It needs no stored answer. Two examples: the other clips of a
# batch do not change a clip's answer; a model in eval mode gives the same answer twice. Some rules follow from a choice that somebody made,
# such as the range of the pixels.
#
# The link in an exercise leads to a public report of such a defect. Exercise 8 has no link.
#
# Two more defects are in other notebooks: a kernel that is set to zero through an expanded view ([06](06_inflation.ipynb), exercise 1), and frame numbers
# that are rounded, so that one gap in four is longer ([01](01_clip_sampling.ipynb)).

# %%
from vivit_lab.lessons.exercises import bug_zoo
from vivit_lab.lessons.exercises.bug_zoo import Mlp, Projection, seeded
from vivit_lab.lessons.exercises.four_models import MixingModel2, small_clips, small_model_2
from vivit_lab.models import FactorisedEncoder

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn


# %%
def test(rule, holds, function):
    """Print whether a function keeps a rule. holds: takes the function, returns True or False."""

    def answered(*given):
        if (answer := function(*given)) is None:
            raise NotImplementedError
        return answer

    try:
        verdict = "green" if holds(answered) else "RED"
    except Exception as error:
        verdict = "none yet" if isinstance(error, NotImplementedError) else "error"
    print(f"{verdict:9} {function.__name__:20} {rule}")


# %% [markdown]
# Each line that `test` prints is a verdict, the name of the function and the rule. "none yet" means that the function returns nothing yet, "error" that it raised an error. `seeded(Module, ...)` makes a module with
# random weights, the same ones each time, in eval mode.
#
# ## Exercises
#
# ### 1 · Attention over the batch
# Difficulty ●●○○ · importance ●●●● · 10 minutes
#
# "I train with 16 clips in a batch, and the loss falls. My app sends one clip at a time, and there the answers are much worse."
#
# Reported in: [OmDet #19](https://github.com/om-ai-lab/OmDet/issues/19) (inference differs with the batch size).
#
# **Predict first.** `x` holds 3 clips of 5 tokens. At which tokens does token 0 of clip 0 look in `attend`?
#
# <details><summary>Then look</summary>
#
# At token 0 of each of the three clips, and at no other token of its own clip. `nn.MultiheadAttention` takes the first axis as the sequence, unless `batch_first=True`. With one clip in the batch every token sees
# only itself.
#
# </details>


# %%
def attend(attention, x):
    """x (B, N, D): each token should look at the tokens of its own clip."""
    return attention(x, x, x)[0]


def ignores_other_clips(attend):
    attention, x = seeded(nn.MultiheadAttention, 8, 2), torch.randn(3, 5, 8)
    others = torch.cat([x[:1], torch.randn(2, 5, 8)])  # clip 0 stays
    return torch.allclose(attend(attention, x)[0], attend(attention, others)[0], atol=1e-5)


def sees_its_own_clip(attend):
    attention, x = seeded(nn.MultiheadAttention, 8, 2), torch.randn(3, 5, 8)
    others = torch.cat([x[:, :1], torch.randn(3, 4, 8)], dim=1)  # token 0 of each clip stays
    return not torch.allclose(attend(attention, x)[0, 0], attend(attention, others)[0, 0])


# %%
test("other clips do not change a clip's answer", ignores_other_clips, attend)
test("other tokens of its clip change a token's answer", sees_its_own_clip, attend)

# %% [markdown]
# **Your version.** Each token must look at all tokens of its own clip, and at no others.
#
# <details><summary>Hint</summary>
#
# `attention` was made with `batch_first=False`, so it takes (N, B, D). You can turn x, or tell `attention` which axis is the batch.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def attend_within_clips(attention, x: torch.Tensor) -> torch.Tensor:
#     y = x.transpose(0, 1)  # (N, B, D), as torch takes it by default
#     return attention(y, y, y)[0].transpose(0, 1)
# ```
#
# </details>


# %%
def attend_within_clips(attention, x: torch.Tensor) -> torch.Tensor:
    """attention: an nn.MultiheadAttention as torch makes it by default. x: (B, N, D) -> (B, N, D)."""
    ...  # your code


bug_zoo.attention_over_the_batch.check(attend_within_clips)

# %%
test("other clips do not change a clip's answer", ignores_other_clips, attend_within_clips)
test("other tokens of its clip change a token's answer", sees_its_own_clip, attend_within_clips)

# %% [markdown]
# ### 2 · Positions in another order
# Difficulty ●●○○ · importance ●●●● · 10 minutes
#
# "I copied the position embeddings of the image model, and added new ones for time. The model starts no better than with random positions."
#
# Reported in: [Open-Sora-Plan #171](https://github.com/PKU-YuanGroup/Open-Sora-Plan/issues/171) (a reshape where the axes had to be exchanged first).
#
# **Predict first.** A clip has 4 time steps of 2 · 3 places. Which token is the first to get the position of time step 1?
#
# <details><summary>Then look</summary>
#
# Token 1. It belongs to time step 0: tokens 0 to 5 do. The first token of time step 1 is token 6.
#
# </details>


# %%
def add_positions(x, space, time):
    """x (B, t h w, D), space (h, w, D), time (t, D)."""
    return x + rearrange(space[:, :, None] + time, "h w t d -> (h w t) d")


zero = torch.zeros(1, 4 * 2 * 3, 5)


def shared_in_a_step(add):
    time = torch.arange(4.0)[:, None].expand(4, 5)  # step 0 gets 0, step 1 gets 1, ...
    steps = add(zero, torch.zeros(2, 3, 5), time).view(4, 6, 5)
    return bool((steps == steps[:, :1]).all()) and len(steps.unique()) == 4


def shared_at_a_place(add):
    space = torch.arange(6.0).view(2, 3, 1).expand(2, 3, 5)
    places = add(zero, space, torch.zeros(4, 5)).view(4, 6, 5)
    return bool((places == places[:1]).all()) and len(places.unique()) == 6


# %%
test("tokens of a time step share the position in time", shared_in_a_step, add_positions)
test("tokens of a place share the position in space", shared_at_a_place, add_positions)

# %% [markdown]
# **Your version.** Add to each token the position of its place and the position of its time step, in a new tensor. The tokens of `x` are in the order (t h w): the first h · w tokens are time step 0.
#
# <details><summary>Hint</summary>
#
# Make a table (t, h, w, D) first. On the right of the arrow, write the order that the tokens have.
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

# %%
test("tokens of a time step share the position in time", shared_in_a_step, with_positions)
test("tokens of a place share the position in space", shared_at_a_place, with_positions)

# %% [markdown]
# ### 3 · Dropout in eval mode
# Difficulty ●○○○ · importance ●●●● · 5 minutes
#
# "I give the model the same clip twice and get two answers. I did call `model.eval()`."
#
# Reported in: [nanoGPT #240](https://github.com/karpathy/nanoGPT/pull/240), [timm #1978](https://github.com/huggingface/pytorch-image-models/pull/1978) (dropout inside fused attention).
#
# **Predict first.** `mlp.eval()` sets `mlp.training` to False. `mlp.fc` is a linear layer, `mlp.rate` is 0.5. Which rule does `forward` break: that of eval mode or that of training mode?
#
# <details><summary>Then look</summary>
#
# That of eval mode. `F.dropout` is a function: it does not know the module, and its argument `training` is True by default.
#
# </details>


# %%
def forward(mlp, x):
    return F.dropout(mlp.fc(x), mlp.rate)


def twice(forward, mlp):
    """Whether two calls with the same input give the same answer."""
    x = torch.ones(6, 16)
    return torch.equal(forward(mlp, x), forward(mlp, x))


def same_in_eval(forward):
    return twice(forward, seeded(Mlp).eval())


def drops_in_training(forward):
    return not twice(forward, seeded(Mlp).train())


# %%
test("eval mode: the same answer twice", same_in_eval, forward)
test("training mode: two different answers", drops_in_training, forward)

# %% [markdown]
# **Your version.** Write the forward pass: `mlp.fc`, then dropout with the rate `mlp.rate`, in training mode only.
#
# <details><summary>Hint</summary>
#
# The third argument of `F.dropout` switches it on and off.
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
    """x (N, 16) -> (N, 64): mlp.fc, then dropout of mlp.rate in training mode, none in eval mode."""
    ...  # your code


bug_zoo.dropout_in_eval.check(mlp_forward)

# %%
test("eval mode: the same answer twice", same_in_eval, mlp_forward)
test("training mode: two different answers", drops_in_training, mlp_forward)

# %% [markdown]
# ### 4 · Pixels in another range
# Difficulty ●○○○ · importance ●●●○ · 5 minutes
#
# "With the published weights I get a lower accuracy than their authors report. The model is their code. Only the reading of the videos is mine."
#
# Reported in: [ig65m-pytorch #35](https://github.com/moabitcoin/ig65m-pytorch/issues/35) (pixels in [0, 1] for weights that were trained on another range).
#
# **Predict first.** The weights were trained on pixels in [-1, 1]. What does `prepare` make of a black pixel and of a white one?
#
# <details><summary>Then look</summary>
#
# Black becomes 0, and white 1. The contrast is half of what the weights were trained on, and everything is brighter.
#
# </details>


# %%
def prepare(clip):
    """uint8 (T, C, H, W) -> float, for weights that were trained on [-1, 1]."""
    return clip.float() / 255


def ends_agree(prepare):
    black, white = (torch.full((1, 3, 2, 2), value, dtype=torch.uint8) for value in (0, 255))
    return bool((prepare(black) == -1).all() and (prepare(white) == 1).all())


def exchanged_is_minus(prepare):
    clip = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    return torch.allclose(prepare(255 - clip), -prepare(clip), atol=1e-6)


# %%
test("black is -1 and white is 1", ends_agree, prepare)
test("255 - clip gives minus the numbers of clip", exchanged_is_minus, prepare)

# %% [markdown]
# **Your version.** Map the bytes 0 to 255 onto [-1, 1] with a straight line. The same byte must give the same number in every clip.
#
# <details><summary>Hint</summary>
#
# A straight line through (0, -1) and (255, 1). Convert to float first: a uint8 has no room for 200 · 2.
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

# %%
test("black is -1 and white is 1", ends_agree, prepared)
test("255 - clip gives minus the numbers of clip", exchanged_is_minus, prepared)

# %% [markdown]
# ### 5 · Labels in another order
# Difficulty ●●○○ · importance ●●●● · 10 minutes
#
# "On my machine the model is right for nearly every video. On my colleague's machine, with the same weights and the same videos, it is right no more often than chance."
#
# Reported in: [3D-ResNets-PyTorch #211](https://github.com/kenshohara/3D-ResNets-PyTorch/issues/211), [Keras #3052](https://github.com/keras-team/keras/pull/3052) (folders numbered as the disk lists them).
#
# **Predict first.** A video's class is the name of its folder. Which number does the class *run* get in `numbers` if the disk lists the folders [sit, run], and which if it lists [run, sit]?
#
# <details><summary>Then look</summary>
#
# 1 and 0: the number is the place of the folder in the disk's list.
#
# </details>


# %%
def numbers(train_folders, videos):
    """The class number of each video. train_folders: as the disk lists them; videos: class names."""
    return [train_folders.index(name) for name in videos]


def depends_on_the_name_alone(numbers):
    train = ["walk", "jump", "run", "sit"]
    sit, run = numbers(train, ["sit", "run"])
    other_disk = list(numbers(["run", "walk", "sit", "jump"], ["sit", "run"]))
    other_order, fewer = list(numbers(train, ["run", "sit"])), list(numbers(train, ["sit"]))
    return sit != run and other_disk == [sit, run] and other_order == [run, sit] and fewer == [sit]


# %%
test("a class has one number, whatever the disk and the videos", depends_on_the_name_alone, numbers)

# %% [markdown]
# **Your version.** Number the classes 0, 1, 2, ... in the alphabetical order of their names. `train_folders` has every class of the training, in the order in which this disk lists the folders; another disk lists
# them in another order. `videos` may lack some classes. Example: for the folders [walk, jump, run, sit], *jump* is 0 and *walk* is 3.
#
# <details><summary>Hint</summary>
#
# Which list is the same on every machine and for every list of videos?
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
    """The class number of each video. train_folders: all classes, in any order; videos: class names."""
    ...  # your code


bug_zoo.labels_in_order.check(class_numbers)

# %%
test(
    "a class has one number, whatever the disk and the videos",
    depends_on_the_name_alone,
    class_numbers,
)

# %% [markdown]
# ### 6 · Mirrored clips with the old labels
# Difficulty ●●○○ · importance ●●●○ · 10 minutes
#
# "I mirror half of the training clips, chosen at random. *Pushing left to right* and *pushing right to left* stay at 50 %. All other classes are fine."
#
# Reported in: [MotionSqueeze #1](https://github.com/arunos728/MotionSqueeze/issues/1), [mmaction2 #590](https://github.com/open-mmlab/mmaction2/issues/590) (random mirrors on labels that name a direction).
#
# **Predict first.** In the rules below classes 0 and 1 are mirror images of each other, and class 2 has no mirror image. Which of the two rules does `augment` break?
#
# <details><summary>Then look</summary>
#
# Only the first one. The second rule is true of every right version, and `augment` keeps it, too. A true rule need not find your defect, so write more than one.
#
# </details>


# %%
def augment(clip, label, partner):
    """Mirror a clip (T, C, H, W). partner: {class: its mirror image}, as {0: 1, 1: 0}."""
    return clip.flip(-1), label


partner = {0: 1, 1: 0}


def label_is_mirrored(augment):
    labels = [augment(torch.randn(2, 3, 4, 6), label, partner)[1] for label in (0, 1, 2)]
    return labels == [1, 0, 2]


def undone_by_itself(augment):
    clip = torch.randn(2, 3, 4, 6)
    again, label = augment(*augment(clip, 0, partner), partner)
    return torch.equal(again, clip) and label == 0


# %%
test("the label is that of the mirrored clip", label_is_mirrored, augment)
test("mirrored twice, clip and label are as before", undone_by_itself, augment)

# %% [markdown]
# **Your version.** Mirror the clip left to right, and return it with the label of what it shows then. A class that `partner` does not have keeps its label, but its clip is mirrored, too.
#
# <details><summary>Hint</summary>
#
# `partner.get` takes a second argument: the value for a key that is not there.
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

# %%
test("the label is that of the mirrored clip", label_is_mirrored, mirrored)
test("mirrored twice, clip and label are as before", undone_by_itself, mirrored)

# %% [markdown]
# ### 7 · A module that is not called
# Difficulty ●●○○ · importance ●●●○ · 10 minutes
#
# "I train LoRA adapters together with a new classifier, and the loss falls a little. Then I remove the adapters, and no answer changes."
#
# (A *LoRA adapter* replaces a linear layer: it computes the layer's output and adds a small part that can be trained. Here only the classifier has learned. The adapters were never used.)
#
# Reported in: [PyTorch #78109](https://github.com/pytorch/pytorch/issues/78109) (a hook on the output projection of `nn.MultiheadAttention` never runs).
#
# **Predict first.** `layer.proj` is an `nn.Linear`. A *hook* is a function that PyTorch runs each time a module is called. `project` computes the right numbers. Does it run the hook?
#
# <details><summary>Then look</summary>
#
# No. `project` reads the weights of `layer.proj` and calls `F.linear` with them. The module itself is never called, so neither its hooks nor a replacement's own `forward` run.
#
# </details>


# %%
def project(layer, x):
    return F.linear(x, layer.proj.weight, layer.proj.bias)


def runs_a_hook(project):
    layer, calls = seeded(Projection), []
    layer.proj.register_forward_hook(lambda *_: calls.append(1))
    project(layer, torch.randn(5, 6))
    return len(calls) > 0


class Doubled(nn.Linear):
    """In place of an adapter: a linear layer whose output is twice as large."""

    def forward(self, x):
        return 2 * super().forward(x)


def uses_a_replacement(project):
    layer, x = seeded(Projection), torch.randn(5, 6)
    layer.proj = Doubled(6, 4)
    return torch.allclose(project(layer, x), layer.proj(x), atol=1e-5)


# %%
test("a hook on layer.proj runs", runs_a_hook, project)
test("a module that replaces layer.proj is used", uses_a_replacement, project)

# %% [markdown]
# **Your version.** Return the output of `layer.proj` for `x`, so that hooks run and a replacement is used.
#
# <details><summary>Hint</summary>
#
# Calling a module does more than its arithmetic: `module(x)` runs the hooks and then the module's own `forward`.
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
    """The output of layer.proj, an nn.Linear or any module that replaces it. x (N, 6) -> (N, 4)."""
    ...  # your code


bug_zoo.module_is_called.check(projected)

# %%
test("a hook on layer.proj runs", runs_a_hook, projected)
test("a module that replaces layer.proj is used", uses_a_replacement, projected)

# %% [markdown]
# ### 8 · The classifier that hides a leak
# Difficulty ●●●○ · importance ●●●● · 15 minutes
#
# "I tested my new model: no clip depends on its neighbours in the batch. I trained it, and now its answers do depend on them."
#
# This time the defect is in the *test*. `MixingModel2` of [notebook 03](03_four_models.ipynb) mixes the clips of a batch: it has a leak. (It reads the class tokens of all time steps in the wrong order, as (t b).) The function `leaks` must return True for it. So the rules below
# are tests of a test.
#
# **Predict first.** A new ViViT has a classifier of zeros. What are its logits, alone and in a batch, if it has a leak?
#
# <details><summary>Then look</summary>
#
# All logits are 0 in both cases. They agree, so `leaks` returns False: it compares answers that cannot differ.
#
# </details>


# %%
def leaks(model, clips):
    """Whether the answers for clips depend on the other clips of the batch."""
    alone = torch.cat([model(clip[None]) for clip in clips])
    return not torch.allclose(model(clips), alone, atol=1e-5)


def says(wanted, kind, classifier):
    """A rule for `leaks`: it returns `wanted` for a model of this kind with this classifier."""

    def holds(leaks):
        model = small_model_2(kind).requires_grad_(False)  # a classifier of random numbers
        if classifier == "zero":  # as in a new model
            model.head.weight.zero_(), model.head.bias.zero_()
        return leaks(model, small_clips(3)) == wanted

    return holds


# %%
test("finds the leak, random classifier", says(True, MixingModel2, "random"), leaks)
test("finds the leak, zero classifier", says(True, MixingModel2, "zero"), leaks)
test("finds no leak in a sound model", says(False, FactorisedEncoder, "random"), leaks)

# %% [markdown]
# **Your version.** Write a test that returns True exactly if the model mixes the clips of a batch, whatever its classifier. It must look at every clip of the batch, allow for rounding, and leave the model as it is. It must not need the logits: compare what the classifier reads.
#
# <details><summary>Hint</summary>
#
# Compare what the classifier reads: `model.encode(clips, False)[0]` gives the features (B, D). (`False`: no attention maps.)
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

# %%
test("finds the leak, random classifier", says(True, MixingModel2, "random"), finds_the_leak)
test("finds the leak, zero classifier", says(True, MixingModel2, "zero"), finds_the_leak)
test("finds no leak in a sound model", says(False, FactorisedEncoder, "random"), finds_the_leak)

# %% [markdown]
# ## What surprised people
#
# * **None of the eight raises an error.** The shapes are right, and the training goes on. No error tells you to look.
# * **A test of shapes finds none of them.** Each test above looks at values.
# * **A new model hides leaks.** Its classifier is zero, so all its answers are equal. Before you compare answers, make sure that they can differ.
# * **Three of the eight are in the data**, not in the model: pixels, labels, mirrors. `python -m vivit_lab check` finds unusable files, and
#   `overfit_one_batch` finds broken code. Neither tool can see a wrong label ([07](07_fine_tuning.ipynb)).
#
# ## Where next
#
# The package has such tests for all four models: [tests/models](../tests/models), [tests/weights](../tests/weights),
# [tests/data](../tests/data). Copy them for a model of your own. Then build one: [11 Your ViViT](11_your_vivit.ipynb).

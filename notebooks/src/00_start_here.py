# %% [markdown]
# # 00 · Start here: what happens to a video in a ViViT?
#
# A *video vision transformer* ([ViViT](https://arxiv.org/abs/2103.15691), 2021) answers questions about a video the way a language
# model reads a text: the video is cut into small boxes, each box becomes a token, and attention decides which tokens may look at which.
# The paper proposes four answers to that last question. This kit holds all four, exactly as published, and lets you take them apart.
#
# About 2 minutes of computing on a laptop · works offline, without a GPU · paper: sections 1 and 3

# %%
import time

import vivit_lab
from vivit_lab import ViViTConfig, build_model
from vivit_lab.data import ArrowOfTime, sample
from vivit_lab.models import MODELS
from vivit_lab.video import VideoReader, normalise, train_clip
from vivit_lab.widgets import StartExplorer

import torch

# %% [markdown]
# ## One clip, all the way through
#
# File → frames → tubelets → tokens → attention → answer. The clip is a moving shape: this kit draws such clips, in eight classes ("moves
# right", "grows", ...) that come in pairs, each the other *played backwards*. Four small models, one of each kind in the paper, were trained on
# them. A real video is cut beside it. Press ▶, or a stage in the row at the top; in each stage, press what you see.
#
# **Predict first.** One frame of a clip, and even all eight frames in a heap, do not tell "moves right" from "moves left". What will a
# trained model say when the same clip is played backwards? And in which of the four models may a token look at every other?
#
# <details><summary>Then look</summary>
#
# It says the other class of the pair: the order of the frames is all that these classes are. So each of the four models must compare frames
# with each other, and each does it in a way of its own. Model 1 alone lets every token look at all others, in one attention: that costs
# 21,025 pairs of tokens a block. The others take space and time apart, and need 27 % of the pairs or less.
#
# </details>

# %%
explorer = StartExplorer("rabbit").offer(
    {
        "1 · backwards": {"stage": 5, "backwards": True},
        "2 · Model 3 asks": {"stage": 4, "model": "factorised_self_attention"},
        "3 · background asks": {"stage": 4, "step": 1, "row": 0, "column": 0},
        "4 · a mean": {"stage": 5, "model": "factorised_dot_product"},
        "5 · a wrong answer": {
            "stage": 5, "model": "factorised_dot_product", "shape": "grows", "number": 8,
        },
    }
)  # fmt: skip
explorer

# %% [markdown]
# *Picture: Big Buck Bunny, © 2008 Blender Foundation, CC BY 3.0.* Without a kernel you see a still; run the cell to walk (and to choose
# another video, or your own by path or upload).
#
# Things to try:
#
# 1. In **Answer**, press **play backwards**. The frames change places, the bars too. Press the name of another class to see its clip.
# 2. In **Attention**, press one model after the other. Green is where the token may look, yellow where it does.
# 3. Press a token of the background, then one on the shape. Whom do they ask? Arrow keys move the token, Page Up and Page Down in time.
# 4. Models 1 and 2 collect what they know in a class token; Models 3 and 4 take the mean of all tokens. See what the answer is made of.
# 5. One of the twenty "grows" clips is too much for Model 4. Which way does it fail, and do the other three agree?
#
# The models of the walk know moving shapes and nothing else. If you have the files of a published model (notebook 04 says how to get them),
# `StartExplorer("rabbit", published="path")` lets your video go through all stages.
#
# ## Is everything in place?
#
# If the picture stays still or empty, or anything else does not work: `doctor()` tries out what the notebooks need, and says what to do.

# %%
vivit_lab.doctor()

# %% [markdown]
# ## Does it know which way time runs?
#
# One clip proves little. Here are all twenty clips of each class, forwards and backwards; the right answer to a reversed clip is the other
# class of its pair.

# %%
clips, labels = ArrowOfTime(160, frames=8, image_size=48, seed=3).batch(range(160))
for name, title in MODELS.items():
    with torch.inference_mode():
        forwards = explorer.models[name](normalise(clips)).argmax(-1)
        backwards = explorer.models[name](normalise(clips.flip(1))).argmax(-1)
    right = (forwards == labels).float().mean(), (backwards == (labels ^ 1)).float().mean()
    print(f"{title:46} forwards {right[0]:6.1%}   backwards {right[1]:6.1%}")

# %% [markdown]
# Almost always right, and never by chance: a model that cannot see order is right in one of two at best. How the four come to see it, and
# which models do not, is the subject of [03 Four models](03_four_models.ipynb).
#
# ## The real size
#
# The models above are small, 64 wide and 4 blocks deep, so that a press is answered at once. Here is the rabbit through the paper's
# ViViT-B/16x2: 768 wide, 12 deep, 32 frames of 224 × 224, 400 classes. **Predict first:** which of the four is the slowest? And what will
# models say that nobody has trained?

# %%
with VideoReader(sample("rabbit")) as video:
    print(f"{video.num_frames} frames of {video.height} × {video.width}, {video.fps:g} a second")
    indices = train_clip(video.num_frames, clip_frames=32, stride=2, seed=0)
    frames = video.read(indices, short_side=224)  # uint8 (T, C, H, W)
clip = normalise(frames[..., 87:311])[None]  # the middle; float (B, T, C, H, W) in [-1, 1]
print("clip", tuple(clip.shape))

# %%
for name, title in MODELS.items():
    model = build_model(ViViTConfig.preset("B/16x2", model=name, num_classes=400)).eval()
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    start = time.perf_counter()
    with torch.inference_mode():
        logits = model(clip)
    seconds = time.perf_counter() - start
    print(
        f"{title:46} {parameters:5.1f} M parameters  {seconds:5.1f} s  "
        f"largest of {logits.shape[1]} logits: {float(logits.abs().max()):g}"
    )

# %% [markdown]
# An untrained model says nothing: its classifier starts at zero, as in the official code, so all logits are exactly 0 and every class gets
# 1/400. Parameters are the paper's, to the last one. Model 1 pays for letting everything look at everything; Model 2 has a second encoder
# (more parameters) and yet less to do; Model 4 needs no parameter more than Model 1.
#
# ## The series
#
# | | question | |
# |---|---|---|
# | **00** | What happens to a video in a ViViT? | you are here |
# | [**01**](01_clip_sampling.ipynb) | Which 32 frames does the model see? | clips, strides, crops, ranges, real files |
# | [**02**](02_tokenisation.ipynb) | What is a token? | tubelets against sampled frames, order, positions |
# | [**03**](03_four_models.ipynb) | Who may look at whom? | the four models, step by step, on clips where only order tells |
# | [**04**](04_attention_maps.ipynb) | Where does it look? | attention maps and rollout |
# | [**05**](05_flops.ipynb) | What does it cost? | the paper's table, counted three ways |
# | [**06**](06_inflation.ipynb) | How does an image model become a video model? | inflation: central frame and others |
# | [**07**](07_fine_tuning.ipynb) | How do I make it mine? | fine-tuning, small on a CPU, full on a GPU |
# | [**08**](08_evaluation.ipynb) | How good is it really? | views, averages, confusion |
# | [**09**](09_ablations.ipynb) | Does the paper's evidence hold in miniature? | its tables on tiny models: what agrees, what does not |
# | [**10**](10_bug_zoo.ipynb) | The bug zoo | eight real defects to find and mend |
# | [**11**](11_your_vivit.ipynb) | Your ViViT | what you wrote becomes one file, which gives the logits of all four models |
#
# The words of the notebooks are in the [glossary](glossary.ipynb), in English and Korean. The models and the video reader that they stand on are here already:
# [`vivit_lab/models`](../vivit_lab/models) reads top to bottom, and every model fits on one screen.

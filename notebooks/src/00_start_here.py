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
from vivit_lab.data import sample
from vivit_lab.models import MODELS
from vivit_lab.video import VideoReader, normalise, train_clip
from vivit_lab.widgets import StartExplorer

import torch

# %% [markdown]
# ## Is everything in place?
#
# `doctor()` tries out what the notebooks need and says what to do about the rest.

# %%
vivit_lab.doctor()

# %% [markdown]
# ## One clip, all the way through
#
# File → frames → boxes → tokens → four models → an answer. One slider, the number of **frames**, reaches through all of it.
#
# **Predict first.** With twice the frames there are twice the tokens. How many times the *pairs* of tokens that look at each other
# does Model 1 have then? And Model 2? And what will models say that nobody has trained?
#
# <details><summary>Then look</summary>
#
# Model 1 lets every token look at every other: four times the pairs. Model 2 looks at space and time one after the other: about
# twice. And untrained models say 50 % to each of two classes, exactly, because their last layer starts at zero, as in the official
# code. They already look at different places, but at random: bright is where their attention goes.
#
# </details>

# %%
explorer = StartExplorer("rabbit")
explorer

# %% [markdown]
# *Picture: Big Buck Bunny, © 2008 Blender Foundation, CC BY 3.0.* Without a kernel you see a still; run the cell for the controls (and
# choose another clip, or your own video by path or upload).
#
# ## Does it know which way time runs?
#
# The models above are random. Yet something about order is in them: the last line of each row says how far the clip's representation
# moves when the clip is **played backwards**. That is enough for a head to tell the two apart, if it is made for just this one clip.
# Tick **heads learn it by heart**, then **play it backwards**, and watch the bars; this cell does the same in words:

# %%
explorer.by_heart.value = True
explorer.backwards.value = True
for answer in explorer.answers():
    forwards, backwards = answer.probabilities
    print(
        f"{MODELS[answer.name]:46} backwards {backwards:4.0%}   reversal moves it {answer.order:.1%}"
    )
explorer.by_heart.value = explorer.backwards.value = False

# %% [markdown]
# Learning one clip by heart is no understanding: two different points can always be told apart, and 98 % was chosen, not reached. What
# it shows is that none of the four models is blind to order. To make the difference *mean* something takes training, on many clips.
#
# ## The real size
#
# The models above are toys, 96 wide and 3 blocks deep, so that the slider answers at once. Here is the same clip through the paper's
# ViViT-B/16x2: 768 wide, 12 deep, 32 frames of 224 × 224, 400 classes. **Predict first:** which of the four is the slowest?

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
        f"{title:46} {parameters:5.1f} M parameters  {seconds:5.1f} s  logits {tuple(logits.shape)}"
    )

# %% [markdown]
# Parameters are the paper's, to the last one. Model 1 pays for letting everything look at everything; Model 2 has a second encoder
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
# | **10** | The bug zoo | eight real defects to find and mend |
#
# The one without a link is being built. The models and the video reader that they stand on are here already:
# [`vivit_lab/models`](../vivit_lab/models) reads top to bottom, and every model fits on one screen.

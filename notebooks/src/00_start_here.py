# %% [markdown]
# # 00 · Start here: what happens to a video in a ViViT?
#
# A *video transformer* is a transformer that reads a video, for example to name the action in it.
# [ViViT](https://arxiv.org/abs/2103.15691) (2021) is one. It extends the image transformer ViT:
#
# * A *frame* is one picture of a video. A *clip* is the set of frames that the model sees at once, for example 32.
# * The clip is cut into small boxes, called *tubelets*. A tubelet is, for example, 2 frames of 16 × 16 pixels.
# * Each tubelet becomes one vector, a *token*.
# * A *block* is one layer of the transformer: attention, then an MLP. *Attention* adds to each token a weighted sum over tokens. The weights
#   come from comparing tokens in pairs. An *attention head* is one of several attentions that run in parallel in a block.
# * The *classifier* is the last linear layer. It turns one vector into *logits*: one score for each class, before the softmax.
#
# A video has many tokens, so it has very many pairs of tokens. The paper proposes four models. They differ in one point: which tokens a token
# may attend to. A *time step* is the set of tokens that come from the same frames.
#
# | model | a token may attend to |
# |---|---|
# | Model 1: spatio-temporal attention | all tokens of the clip |
# | Model 2: factorised encoder | the tokens of its own time step; then a second *encoder* (stack of blocks) works on one token for each step |
# | Model 3: factorised self-attention | in each block: its own time step, then its own place in all time steps |
# | Model 4: factorised dot-product attention | in each block: with half of the attention heads its own time step, with the others its own place |
#
# *Factorised* means that space and time are treated separately. Models 1 and 2 also have a *class token*: a learned token that stands before the
# others, and that the classifier reads. (In Model 2 the first encoder has one in each time step, and the second encoder has one more.) In Models 3 and 4 the classifier reads the mean of all tokens. This kit has all four models as
# published, and you can look at each part.
#
# About 2 minutes of computing on a laptop · works offline, without a GPU · paper: sections 1 and 3 · [한국어판](ko/00_start_here.ipynb)

# %%
import time

import vivit_lab
from vivit_lab import ViViTConfig, build_model
from vivit_lab.data import ArrowOfTime, sample
from vivit_lab.models import MODELS
from vivit_lab.video import VideoReader, normalise, train_clip
from vivit_lab.widgets import StartExplorer

import torch
from IPython.display import display

# %% [markdown]
# ## One clip, from the file to the answer
#
# File → frames → tubelets → tokens → attention → answer. The clip is a moving shape, which this kit draws. There are eight classes ("moves
# right"; "grows"; "red, green, blue", where the colour changes in this order; ...) in four pairs: each class is the other class of its pair,
# *played backwards*. A shape that leaves the frame on one side
# comes back on the opposite side. We trained four small models on such clips, one of each kind in the paper. Stages 1 to 4 also show a
# real video, cut into tokens in the same way. Press ▶, or a stage in the top row. In each stage, press parts of the picture.
#
# **Predict first.** One frame does not tell "moves right" from "moves left". All eight frames without their order do not tell it either.
#
# 1. A trained model names the clip "moves right". What does it say when the same clip is played backwards?
# 2. The small models have 144 tokens: 4 time steps of 36. How many pairs of tokens does Model 1 compare in one block? (Count the class token,
#    too. Each token makes a pair with each token that it may attend to, itself included. So two tokens can make two pairs.) How many does
#    Model 3 compare?
#
# <details><summary>Then look</summary>
#
# 1. "Moves left", the other class of the pair. The two classes differ only in the order of the frames, so each model must compare frames
#    with each other.
# 2. Model 1: 145 × 145 = 21,025 pairs. Model 3: 4 × 36 × 36 pairs in space and 36 × 4 × 4 pairs in time, 5,760 in total. This is 27.4 % of
#    Model 1's pairs. (A token has 36 + 4 = 40 pairs, but only 39 tokens to attend to: the pair with itself counts in space and in time.)
#
# </details>

# %%
explorer = StartExplorer("rabbit").offer(
    {
        "1 · backwards": {"stage": 5, "backwards": True},
        "2 · Model 3": {"stage": 4, "model": "factorised_self_attention"},
        "3 · a background token": {
            "stage": 4, "model": "factorised_self_attention", "step": 1, "row": 0, "column": 0,
        },
        "4 · a mean": {"stage": 5, "model": "factorised_dot_product"},
        "5 · a wrong answer": {
            "stage": 5, "model": "factorised_dot_product", "shape": "grows", "number": 8,
        },
    }
)  # fmt: skip
explorer

# %% [markdown]
# *Picture: Big Buck Bunny, © 2008 Blender Foundation, CC BY 3.0.* Without a running kernel you see a fixed picture. Run the cell to use it,
# and to choose another video, or your own by path or upload.
#
# Things to try (the button with the same number sets the controls):
#
# 1. In **Answer**, press **play backwards**. The order of the frames changes, and the answer (the bars on the right) changes too. Press the
#    name of another class to see its clip.
# 2. In **Attention**, press one model after another. **Which tokens a token may attend to (green) is fixed by the model. How much it attends
#    to each of them (yellow) is computed by attention, with query and key matrices that are learned in training.** (In the
#    small maps only tokens with hardly any weight are green. The others have the colour of their weight, from pink to yellow.)
# 3. In Model 3, press a token of the background, then a token on the shape. Which four tokens get the largest weights? The arrow keys move the token in
#    space, Page Up and Page Down move it in time.
# 4. In **Answer**, compare the maps of Model 1 (the classifier reads the class token) and Model 4 (it reads the mean of all tokens). Where
#    is the weight the same for all tokens?
# 5. Model 4 is wrong about one of the twenty "grows" clips. Which class does it choose? Is it also wrong when the clip is played backwards?
#    Are the other three models right?
#
# <details><summary>Answers to 3 to 5</summary>
#
# 3: In this clip, the tokens of its own place, one in each time step (itself is one of them). The map is the mean of attention over space and
# over time. Over time only 4 tokens share the whole weight. 4: In Model 4, because a mean gives each of the
# 144 tokens
# the weight 1 / 144. In Model 1 the weights are computed by attention, and differ. 5: Model 4 says "shrinks" in both directions. So it is wrong forwards and right backwards. The other three models are right both times.
#
# </details>
#
# These models know moving shapes only, so the real video ends at stage 4. If you have the files of a published model (notebook 04 says how to
# get them), `StartExplorer("rabbit", published="path")` takes your video through all stages.
#
# Here are stages 3, 5 and 6 as fixed pictures (the code counts the stages from 0):

# %%
walk = StartExplorer("rabbit")
walk.model.value = "factorised_self_attention"
for stage in (2, 4, 5):
    walk.stage.value = stage
    display(walk.still())

# %% [markdown]
# ## Does everything work on this machine?
#
# If the picture is empty or does not react, or if anything else fails, read this list. `doctor()` tests what the notebooks need, and says
# what to do about each problem.

# %%
vivit_lab.doctor()

# %% [markdown]
# ## Do the models know the direction of time?
#
# One clip proves little. Here are all twenty clips of each class, forwards and backwards. No model was trained on them. The right answer to a
# reversed clip is the other class of its pair.

# %%
clips, labels = ArrowOfTime(160, frames=8, image_size=48, seed=3).batch(range(160))
names, other = ArrowOfTime.classes, labels ^ 1  # classes 2k and 2k + 1 are a pair
for name, title in MODELS.items():
    for way, played, truth in (("forwards", clips, labels), ("backwards", clips.flip(1), other)):
        with torch.inference_mode():
            said = explorer.models[name](normalise(played)).argmax(-1)
        print(f"{title:42} {way:9} {(said == truth).float().mean():6.1%} right", end="  ")
        wrong = (said != truth).nonzero().flatten().tolist()
        print(*(f"clip {i // 8}: “{names[said[i]]}”, not “{names[truth[i]]}”" for i in wrong))

# %% [markdown]
# All four models are almost always right. Chance is no explanation. A model that ignores the order of the frames gives the same answer
# forwards and backwards, so at most one of the two answers is right: on average 50 % at most. [03 Four models](03_four_models.ipynb) shows how the four
# models see the order, and which other models do not.
#
# And this is how many pairs of tokens a block compares. (In the code Model 1 is `joint`.) Model 2 is counted with one block of each of its
# two encoders, 4 · 37² + 5², Model 4 as the mean over its attention heads.

# %%
most = explorer.ask("joint").costs[1]
for name, title in MODELS.items():
    _, pairs = explorer.ask(name).costs
    print(f"{title:42} {pairs:6,} pairs of tokens, {pairs / most:6.1%} of Model 1's")

# %% [markdown]
# ## The real size: B/16x2 taken apart
#
# The models above are small, so that every press gets an answer at once. The paper's usual model is **ViViT-B/16x2**. The name has three
# parts:
#
# | part | what it sets |
# |---|---|
# | **B** | the size of the transformer, "Base" as in ViT: *width* (numbers in a token), *depth* (number of blocks), attention heads, MLP |
# | **16** | height and width of a tubelet, in pixels |
# | **x2** | length of a tubelet, in frames |
#
# The name does not fix the clip. The paper uses 32 frames of 224 × 224 pixels. The cell prints each number from the configuration.

# %%
sizes = {"ViViT-B/16x2": ViViTConfig.preset("B/16x2"), "the small Model 1": explorer.config()}
for name, config in sizes.items():
    (t, h, w), (n_t, n_h, n_w), (height, width) = config.tubelet, config.grid, config.image_size
    print(
        f"{name}: width {config.dim:,}, depth {config.depth}, MLP of {config.mlp_dim:,},", end=" "
    )
    print(f"{config.heads} attention heads of {config.dim // config.heads} numbers")
    print(f"  tubelet: {t} × {h} × {w} pixels × 3 colours = {3 * t * h * w:,} numbers", end=" ")
    print(f"→ 1 token of {config.dim} numbers")
    print(f"  clip:    {config.frames} frames of {height} × {width}", end=" ")
    print(f"→ {n_t} × {n_h} × {n_w} = {config.tokens:,} tokens")

# %% [markdown]
# Now the rabbit goes through all four models of this size, with the 400 classes of the data set Kinetics-400. Nobody has trained them. **Predict first:** which of the four is
# the slowest? Which logits does an untrained model give?
#
# <details><summary>Then look</summary>
#
# Model 1. The paper's Table 2 gives 455.2, 284.4, 372.3 and 277.1 GFLOPs for Models 1 to 4. These numbers differ less than the numbers of
# pairs, because linear layers do most of the computing in all four models. Model 3 is not far behind Model 1: it has a second attention,
# with linear layers of its own, in each block. (The cell prints the processor time, in seconds. It depends on the machine.) All logits are exactly 0:
# see below.
#
# </details>

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
    parameters = sum(p.numel() for p in model.parameters())
    start = time.process_time()
    with torch.inference_mode():
        logits = model(clip)
    seconds = time.process_time() - start
    print(
        f"{title:42} {parameters:11,} parameters  {seconds:5.1f} s  "
        f"largest of {logits.shape[1]} logits: {float(logits.abs().max()):g}"
    )

# %% [markdown]
# The numbers of parameters are exactly those of the [official code](https://github.com/google-research/scenic/tree/main/scenic/projects/vivit)
# by the authors. (The paper prints 88.9, 115.1, 117.3 and 88.9 million. Here 88.95 is cut, not rounded.) Model 2 has more parameters than
# Model 1, for the second encoder, but less to compute. Model 3 has the most parameters: a second attention in each block. Model 4 has 1,536
# fewer than Model 1, because it has no class token (768 numbers) and no position embedding for it (768).
#
# ## The classifier starts at zero
#
# **In a new model all weights of the classifier are 0, as in the official code.** So an untrained model gives logit 0 to every class,
# whatever its other layers do, and each of 400 classes gets the probability 1/400. A test that only looks at the logits of an untrained model
# passes even if the model is wrong. So test the *features* (the vector that the classifier reads), or give the classifier random numbers
# first. In the code the classifier is `model.head`.

# %%
torch.manual_seed(0)
untrained, two = build_model(explorer.config()).eval(), normalise(clips[:2])
with torch.inference_mode():
    first, second = untrained(two)
    print(f"logits of two clips, classifier at zero: differ by {(first - second).abs().max():g}")
    first, second = untrained.forward_head(untrained.forward_features(two), pre_logits=True)
    print(f"features of two clips:                   differ by {(first - second).abs().max():.2f}")
    torch.nn.init.normal_(untrained.head.weight)
    first, second = untrained(two)
    print(f"logits of two clips, random classifier:  differ by {(first - second).abs().max():.2f}")

# %% [markdown]
# ## The series
#
# | | question | |
# |---|---|---|
# | **00** | What happens to a video in a ViViT? | you are here |
# | [**01**](01_clip_sampling.ipynb) | Which 32 frames does the model see? | clips, crops, ranges of pixel values, real files |
# | [**02**](02_tokenisation.ipynb) | What is a token? | tubelets or sampled frames, order, positions |
# | [**03**](03_four_models.ipynb) | Which token may attend to which? | the four models, step by step, on clips whose class depends on the order only |
# | [**04**](04_attention_maps.ipynb) | Where does the model look? | maps of the attention weights |
# | [**05**](05_flops.ipynb) | What does it cost? | the paper's table, counted in three ways |
# | [**06**](06_inflation.ipynb) | How does an image model become a video model? | weights of a ViT, reused |
# | [**07**](07_fine_tuning.ipynb) | How do I train it on my videos? | small on a CPU, full size on a GPU |
# | [**08**](08_evaluation.ipynb) | How good is it really? | several clips of one video, averages, confusion |
# | [**09**](09_ablations.ipynb) | Does the paper's evidence hold for small models? | its tables on tiny models: what agrees, what does not |
# | [**10**](10_bug_zoo.ipynb) | Which mistakes do people make? | eight real defects to find and repair |
# | [**11**](11_your_vivit.ipynb) | Can you write it yourself? | what you wrote becomes one file, which gives the logits of all four models |
#
# The [glossary](glossary.ipynb) explains the terms of the notebooks, in English and Korean. The code of the models is in
# [`vivit_lab/models`](../vivit_lab/models). You can read it from top to bottom, and every model fits on one screen.

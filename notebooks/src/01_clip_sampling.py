# %% [markdown]
# # 01 · Which 32 frames does the model see?
#
# Ten seconds of video are 250 or 300 or 600 frames; the model takes 32. Which ones, which part of each, and in what range of numbers
# is decided before any transformer runs, and it is where most of the mistakes happen.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), section 4.1; the test protocol descends from SlowFast (arXiv 1812.03982) · about 3
# minutes of computing on a laptop, an hour with the exercises · works offline · before this: [00 Start here](00_start_here.ipynb) · words: [glossary](glossary.ipynb)

# %%
from vivit_lab import ViViTConfig, build_model
from vivit_lab.data import sample
from vivit_lab.lessons.exercises import clip_sampling
from vivit_lab.video import (
    ByFrame,
    BySegment,
    BySpan,
    ByTime,
    TrainTransform,
    VideoError,
    VideoReader,
    normalise,
    span_seconds,
    test_clips,
    three_crops,
    train_clip,
)
from vivit_lab.widgets import ClipExplorer, film_strip

import av
import matplotlib.pyplot as plt
import numpy as np
import torch

# %% [markdown]
# ## A clip is a span, thinned out
#
# In training the paper takes 32 frames at stride 2, from a random place: they stand for a span of 64 frames.
#
# **Predict first.** How many seconds is that at 25 frames a second? At 60? And in how many places can it start in a video of 132
# frames?
#
# <details><summary>Then look</summary>
#
# 2.56 s and 1.07 s. The last of the 32 frames lies 62 frames after the first, so there are 132 − 62 = 70 places.
#
# </details>

# %%
explorer = ClipExplorer("rabbit")
usual = {"clip_frames": 32, "stride": 2, "short": "loop"}
tries = {
    "2 · another seed": {"mode": "train", "seed": 1},
    "3 · 64 frames at stride 4": {"way": "by frame", "clip_frames": 64, "stride": 4},
    "3 · hold the last frame": {"short": "hold"},
    "4 · by segment": usual | {"mode": "train", "way": "by segment"},
    "4 · variable rate, by time": {"clip": "variable_rate", "way": "by time"} | usual,
    "5 · testing": {"clip": "rabbit", "way": "by frame", "mode": "test"} | usual,
    "6 · counter": {"clip": "counter", "way": "by frame", "mode": "train"} | usual,
}
explorer.offer(tries)

# %% [markdown]
# *Picture: Big Buck Bunny, © 2008 Blender Foundation, CC BY 3.0.* Without a kernel you see a still; run the cell for the controls (and
# choose another clip, or your own video by path or upload).
#
# Things to try (the buttons do what the items of their number say):
# 1. Drag the blue clip along its lane: it starts where you let it go, at one of the starts that the seed could have drawn. Press a frame
#    to see it large, and play what the model sees (▶); let **the whole video** run, and watch which of its frames flash.
# 2. Press → on **seed**: another place, another size, another crop, but always one crop for all frames.
# 3. Set **stride** to 4 and **clip length** to 64. What happens to a clip that is longer than the video? Let it hold the last frame.
# 4. Press the lane **by segment**: 32 frames of the whole video. Then **by time**, with the clip `variable_rate`: the three lanes show
#    what each way takes from a file that stands still for a while.
# 5. Switch to **testing**: nothing is random any more. Press a lane, a crop or one of the small views. Why do the clips overlap here?
# 6. The clip `counter` has its frame numbers painted in: check that the time line tells the truth.
#
# The same 32 frames mean something else in another file:

# %%
for fps in (12, 25, 29.97, 50, 60):
    seconds = span_seconds(clip_frames=32, stride=2, fps=fps)
    print(f"{fps:5} frames a second: 32 frames at stride 2 stand for {seconds:.2f} s")

# %% [markdown]
# There are three ways out of that, each right for something. **By frame** is the paper's. **By time** takes so many frames *a second*,
# whatever the file's rate: for videos from many cameras. **By segment** cuts the whole video into 32 equal parts and takes one frame of
# each: for Something-Something, where the action fills the video, and what counts is its beginning and its end. **Predict first:** which
# of them sees a longer stretch of the video at 30 frames a second than at 60?

# %%
random = np.random.default_rng(0)
for way in (ByFrame(32, stride=2), ByTime(32, frames_per_second=12.5), BySegment(32)):
    for fps in (30, 60):
        times = np.arange(10 * fps) / fps  # second at which each frame is shown
        seen = times[way.train(times, random)]
        print(f"{way}: of 10 s at {fps} a second it sees {np.ptp(seen):.2f} s")

# %% [markdown]
# ## Test time: 4 clips × 3 crops = 12 views
#
# **Views are for testing. A training step sees one random clip of a video, with one crop.** But one random clip is a poor judge of a
# ten-second video. At test time the paper takes 4 clips, evenly spread, and of each the left,
# centre and right crop (top, centre, bottom of a portrait video), and averages the 12 answers. SlowFast takes 10 clips × 3 crops of
# 256: 30 views, thirty times the cost of one.

# %%
print("starts of 4 clips in 300 frames: ", test_clips(300, clips=4)[:, 0])
print("starts of 10 clips in 300 frames:", test_clips(300, clips=10)[:, 0])
print("the same in SlowFast's own code: ", BySpan().test(np.arange(300) / 30, clips=10)[:, 0])
print("(top, left) of 3 crops of 256 × 340:", three_crops(256, 340, size=224))
print("(top, left) of 3 crops of 340 × 256:", three_crops(340, 256, size=224))

# %% [markdown]
# SlowFast's code divides the room by 10 clips, not by the 9 gaps between them: its last clip ends at frame 275, and what comes after is
# never seen. Before you compare your number with a published one, compare the starts.

# %%
portrait = ClipExplorer("portrait", clip_frames=16, training=False)
portrait.still()

# %% [markdown]
# ## What is in the data sets
#
# How to sample depends on what the videos show, and where in them it happens. The paper reports results on these:
#
# | data set | what is in it | classes | a video lasts | what makes it hard |
# |---|---|---|---|---|
# | Kinetics-400, -600 | people do something: sports, music, housework (YouTube) | 400, 600 actions | about 10 s | 400 names for things alike; the place often gives the class away |
# | Something-Something v2 | hands move things about, filmed for the purpose | 174 movements ("pushing something from left to right") | 2 to 6 s | any thing may appear in any class, so only the motion counts |
# | EPIC-Kitchens-100 | kitchens, seen from the cook's head | 97 verbs × 300 nouns, an action is a pair | seconds, cut from 100 hours | many rare pairs; the camera moves |
# | Moments in Time | anything that happens, people, animals, weather | 339 events | 3 s | videos of one class have little in common |
#
# So a random clip of 2.56 s is often enough for Kinetics, where the action fills the video. In Something-Something it would miss the
# beginning or the end: there you would sample **by segment**.
#
# ## One stride, or even spacing?
#
# Some ports spread 32 frames over the whole video with `np.linspace` and round. **Predict first:** five frames of eighteen, are the
# gaps equal?

# %%
even = np.linspace(0, 17, 5).astype(int)
strided = 4 * np.arange(5)
print("linspace:", even, " gaps", np.diff(even))
print("stride 4:", strided, " gaps", np.diff(strided))

gaps = np.diff(np.linspace(0, 269, 64).astype(int))
fig, ax = plt.subplots(figsize=(8, 1.6), facecolor="white")
ax.bar(range(63), gaps, color=np.where(gaps == 4, "#2f6fed", "#f26b1d"))
_ = ax.set(
    title="64 of 270 frames by linspace: gaps of 4, with jumps of 5", xlabel="gap", yticks=[0, 4, 5]
)

# %% [markdown]
# To a model that looks at motion, a longer gap is a jump. With one stride all motion runs at one speed; what is left over at the end
# goes unseen, and other clips will see it.
#
# ## Which pixels: one draw for the whole clip
#
# The short side is drawn from 256 to 320, then a crop of 224, a flip, colours. All frames of a clip must get the *same* draw: below, the
# second row drew for every frame anew. The model would see a camera that shakes and lamps that flicker, and learn from that.

# %%
with VideoReader(sample("rabbit")) as video:
    frames = video.read(train_clip(video.num_frames, clip_frames=7, stride=8, seed=2))
transform = TrainTransform()
once = transform(frames, seed=5)
each = torch.cat([transform(frame[None], seed=10 + i) for i, frame in enumerate(frames)])
print(transform)
film_strip({"one draw for the clip": once, "one draw for each frame: wrong": each})

# %% [markdown]
# ## What range of numbers: [−1, 1]
#
# Clips stay uint8, 0 to 255, until they are on the device that computes; `normalise` then makes floats in [−1, 1], as the official code
# does. Nothing in a shape shows the range. **Predict first:** what does the model do with 0 … 1, or with 0 … 255?

# %%
config = ViViTConfig(frames=8, image_size=96, dim=96, depth=2, heads=4, mlp_dim=192, num_classes=5)
torch.manual_seed(0)
model = build_model(config).eval()
torch.nn.init.normal_(model.head.weight)
clip = once[:1, :, :96, :96].expand(8, -1, -1, -1)  # a small still clip
right = normalise(clip)[None]

with torch.inference_mode():
    for name, pixels in {"[-1, 1]": right, "[0, 1]": right / 2 + 0.5}.items():
        print(f"{name:8}", model(pixels).numpy().round(2))
    for name, pixels in {"0..255 as uint8": clip[None], "as float": clip[None].float()}.items():
        try:
            model(pixels)
        except (TypeError, ValueError) as error:
            print(f"{name}: {error}")

# %% [markdown]
# A range of [0, 1] raises no error and gives other answers: every weight was made for contrasts twice as large, around
# another middle. If your accuracy is strangely low, look here first. What cannot be right at all is refused.
#
# ## What goes wrong with real files
#
# **Seeking.** Only key frames can be decoded by themselves. Asking a file for "the frame at 4.0 s" takes you to the key frame before
# it, and many loaders hand that out. Each frame of `counter` is known, so the error can be measured:

# %%
wanted = np.random.default_rng(0).integers(0, 300, size=40)
with VideoReader(sample("counter")) as video:
    every = video.read(range(300), short_side=64)  # all frames, in order
    ours = video.read(wanted, short_side=64)
    exact = sum(torch.equal(frame, every[i]) for i, frame in zip(wanted, ours, strict=True))
    key_frames = video.key_frames
print(f"VideoReader: {exact} of {len(wanted)} frames are exactly the one asked for")

# %%
off = []
for i in wanted:
    with av.open(sample("counter")) as container:
        stream = container.streams.video[0]
        container.seek(int(i / 25 / stream.time_base), stream=stream)
        first = next(container.decode(stream))  # what a hasty loader takes
        off.append(i - round(first.time * 25))
print(
    f"seek, take the next frame: off by {min(off)} to {max(off)} frames, {np.mean(off):.0f} on average"
)
print("key frames:", key_frames)

# %% [markdown]
# **Variable frame rate.** Phones and screen recorders skip frames when nothing moves. "Frame = seconds × rate" is then wrong; the
# reader knows each frame's own time, and sampling by time uses it.

# %%
with VideoReader(sample("variable_rate")) as video:
    times = video.times
fig, ax = plt.subplots(figsize=(8, 2.4), facecolor="white")
for way, colour in ((ByFrame(28, stride=2), "#f26b1d"), (ByTime(28, 8), "#2f6fed")):
    ax.plot(times[way.test(times, clips=1)[0]], ".-", color=colour, label=type(way).__name__)
ax.set(xlabel="frame of the clip", ylabel="second of the video")
_ = ax.legend(frameon=False)

# %% [markdown]
# By frame the motion suddenly runs three times as fast, and then slow again; by time it is a straight line (with small steps: where
# the file has no newer frame, the last one is shown again).
#
# **Rotation.** A phone held upright stores the picture lying down, with a note to turn it. Sizes here are those of the picture as
# displayed. **Short clips** start again from their beginning (`short="loop"`, as in the official code), hold their last frame, or
# raise an error: you choose. **Lying headers** are not believed: frames are counted.

# %%
with av.open(sample("rotated")) as container:
    stream = container.streams.video[0]
    print(f"stored as {stream.width} × {stream.height}", end=", ")
with VideoReader(sample("rotated")) as video:
    print(f"displayed as {video.width} × {video.height}")
print("10 frames, clip of 8 at stride 2, loop:", train_clip(10, 8, 2, short="loop"))
print("10 frames, clip of 8 at stride 2, hold:", train_clip(10, 8, 2, short="hold"))

# %% [markdown]
# What cannot be read is said in one sentence. Try a file of your own, with the path field above or here:

# %%
half = sample("counter").read_bytes()[:20_000]
bad = {"download.mp4": b"<html>404 Not Found</html>", "half.mp4": half, "none.mp4": b""}
for name, data in bad.items():
    try:
        VideoReader(data, name)  # a path, or the bytes of an upload
    except VideoError as error:
        print(f"{type(error).__name__}: {error}")

# %% [markdown]
# ## Exercises
#
# ### 1 · How long is a clip?
# Difficulty ●○○○ · importance ●●●● · 3 minutes
#
# Seconds of video that a clip stands for.
#
# <details><summary>Hint</summary>
#
# Every frame of the clip stands for `stride` frames of the video.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def clip_seconds(clip_frames: int, stride: int, fps: float) -> float:
#     return clip_frames * stride / fps
# ```
#
# </details>


# %%
def clip_seconds(clip_frames: int, stride: int, fps: float) -> float:
    """Span in seconds."""
    ...  # your code


clip_sampling.clip_seconds.check(clip_seconds)

# %% [markdown]
# ### 2 · One step for all
# Difficulty ●●○○ · importance ●●○○ · 10 minutes
#
# Spread `clip_frames` frames over a video with one whole-number stride, as large as fits, and as nearly in the middle as whole numbers
# allow (what is left over, halved and rounded down, comes before the first).
#
# <details><summary>Hint</summary>
#
# The last frame is start + (clip_frames − 1) · stride, and must be at most num_frames − 1.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def even_clip(num_frames: int, clip_frames: int) -> list[int]:
#     stride = (num_frames - 1) // (clip_frames - 1)
#     start = (num_frames - 1 - stride * (clip_frames - 1)) // 2
#     return [start + i * stride for i in range(clip_frames)]
# ```
#
# </details>


# %%
def even_clip(num_frames: int, clip_frames: int) -> list[int]:
    """Frame numbers with equal gaps, from the whole video."""
    ...  # your code


clip_sampling.even_clip.check(even_clip)

# %% [markdown]
# ### 3 · Three crops of a portrait video
# Difficulty ●●○○ · importance ●●○○ · 10 minutes
#
# `(top, left)` of three crops of `size` × `size` along the longer side, centred along the other: left, centre, right; or top, centre,
# bottom.
#
# <details><summary>Hint</summary>
#
# Along the longer side the three offsets are 0, half of the rest, all of the rest.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def portrait_crops(height: int, width: int, size: int) -> list[tuple[int, int]]:
#     top, left = (height - size) // 2, (width - size) // 2
#     if height > width:
#         return [(0, left), (top, left), (height - size, left)]
#     return [(top, 0), (top, left), (top, width - size)]
# ```
#
# </details>


# %%
def portrait_crops(height: int, width: int, size: int) -> list[tuple[int, int]]:
    """Three pairs (top, left)."""
    ...  # your code


clip_sampling.portrait_crops.check(portrait_crops)

# %% [markdown]
# ### 4 · Views of a short video
# Difficulty ●●●○ · importance ●●●○ · 10 minutes
#
# Starts of `clips` test clips, evenly spread: the first at 0, the last where a span just fits, fractions cut off. Some videos are
# shorter than the span.
#
# <details><summary>Hint</summary>
#
# How many frames of room does a span have to move in? It cannot be less than none.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def view_starts(num_frames: int, clips: int, span: int) -> list[int]:
#     room = max(0, num_frames - span)
#     return [room * k // (clips - 1) for k in range(clips)]
# ```
#
# </details>


# %%
def view_starts(num_frames: int, clips: int, span: int) -> list[int]:
    """First frame of each clip."""
    ...  # your code


clip_sampling.view_starts.check(view_starts)

# %% [markdown]
# ### 5 · What is on the screen?
# Difficulty ●●●○ · importance ●●●○ · 10 minutes
#
# Frame i of a video is shown from `times[i]` until the next one comes. Which frames are on show at these `seconds`? The last frame
# stays. This is the heart of sampling by time.
#
# <details><summary>Hint</summary>
#
# `np.searchsorted(times, second, side="right")` counts the frames that have come by then, one that comes at that very second included.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def on_show(times: list[float], seconds: list[float]) -> list[int]:
#     return list(np.searchsorted(times, seconds, side="right") - 1)
# ```
#
# </details>


# %%
def on_show(times: list[float], seconds: list[float]) -> list[int]:
    """The number of the frame on show at each second."""
    ...  # your code


clip_sampling.on_show.check(on_show)

# %% [markdown]
# ## What surprised people
#
# * **"32 × 2" is no length of time.** The same recipe sees 2.56 s of one data set and 1.07 s of another. Accuracy moves when videos are
#   re-encoded at another rate. `ByTime` is the cure.
# * **The official code jitters the shape too**: height and width are scaled by separate draws. The paper speaks of the short side
#   only, and so does `TrainTransform`, unless you say `scale="stretch"`.
# * **Left and right.** Flipping is harmless for "playing tennis" and fatal for "pushing something from left to right". Use `flip=0`
#   there, or let the labels change places too: `TrainTransform(flip_labels=flip_pairs(class_names))`.
# * **Averaging what?** The official code averages logits over the views, the SlowFast description averages softmax scores.
#   [08 Evaluation](08_evaluation.ipynb) compares them.
#
# ## Where next
#
# [02 Tokenisation](02_tokenisation.ipynb): the clip is there; now it is cut into tokens. The arithmetic of this notebook is in
# [sampling.py](../vivit_lab/video/sampling.py), the pixels in [transforms.py](../vivit_lab/video/transforms.py).

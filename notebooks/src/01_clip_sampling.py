# %% [markdown]
# # 01 · Which 32 frames does the model see?
#
# Ten seconds of video have 250, 300 or 600 frames (at 25, 30 or 60 frames a second). The model takes 32 of them. Which frames, which part of
# each frame, which range of numbers: all this is decided before any transformer runs. Many mistakes happen here.
#
# Paper: [ViViT](https://arxiv.org/abs/2103.15691), section 4.1. Its rules for testing come from SlowFast (arXiv 1812.03982), an earlier video
# network · about 3 minutes of computing on a laptop, an hour with the exercises · works offline · before this:
# [00 Start here](00_start_here.ipynb) · words: [glossary](glossary.ipynb)

# %%
from vivit_lab.data import ArrowOfTime, sample
from vivit_lab.data.samples import ASSETS
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
from vivit_lab.weights import load_checkpoint
from vivit_lab.widgets import ClipExplorer, film_strip

import av
import matplotlib.pyplot as plt
import numpy as np
import torch

# %% [markdown]
# ## A clip stands for a span of the video
#
# In training the paper takes 32 frames at stride 2, from a random place. The *stride* is the distance from one sampled frame to the next:
# stride 2 takes every second frame. So the clip stands for a *span* of 32 × 2 = 64 frames of the video.
#
# **Predict first.** How many seconds are 64 frames at 25 frames a second? At 60? How many frames of a video with 132 frames can be the first
# frame of a clip?
#
# <details><summary>Then look</summary>
#
# 64 / 25 = 2.56 s and 64 / 60 = 1.07 s. The last sampled frame is 31 × 2 = 62 frames after the first, and it must exist. So
# 132 − 62 = 70 frames can be the first one.
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
# *Picture: Big Buck Bunny, © 2008 Blender Foundation, CC BY 3.0.* Without a running kernel you see a fixed picture. Run the cell to get the
# controls, and to choose another clip, or your own video by path or upload. The picture writes sizes as width × height. In code and tensors
# the height comes first.
#
# Things to try (the button with the same number sets the controls):
# 1. Drag the blue clip along its lane. It moves to the nearest possible start. Press a frame to enlarge it. Press ▶ to play what the model sees. Choose **the whole video**, and
#    see which of its frames are in the clip.
# 2. Press → on **seed**, the number from which random numbers start. You get another start, another size and another crop. All frames of a clip get the same crop.
# 3. Set **stride** to 4 and **clip length** to 64. What happens to a clip that is longer than the video? (*Short videos*, further
#    down, has the answer.) Then let it hold the last frame.
# 4. Press the lane **by segment**. The video is cut into 32 equal parts, and one frame of each part is taken: a random one in training, the
#    middle one in testing. Then press **by time**, with the clip `variable_rate`. Its frames come every 0.04 s, then every 0.12 s, then every
#    0.02 s. The lane **by time** takes 12.5 frames a second, as stride 2 does in a file of 25 a second.
# 5. Switch to **testing**. Now nothing is random. Press a lane, a crop or one of the small pictures. Why do the clips overlap?
#    (4 spans of 64 frames need 256 frames, and this video has 132.)
# 6. The clip `counter` shows its frame numbers in the picture. Compare them with the time line.
#
# In files of other frame rates, the same 32 frames stand for other lengths of time:

# %%
for fps in (12, 25, 30, 50, 60):
    seconds = span_seconds(clip_frames=32, stride=2, fps=fps)
    print(f"{fps:5} frames a second: 32 frames at stride 2 stand for {seconds:.2f} s")

# %% [markdown]
# There are three ways to choose the frames of a clip:
#
# | way | it takes | use it for |
# |---|---|---|
# | **by frame** (the paper's) | every 2nd frame of the file | videos that all have the same frame rate |
# | **by time** | so many frames *a second*, whatever the rate of the file | videos from many cameras |
# | **by segment** | one frame of each of 32 equal parts of the whole video | actions that fill the video, so that its beginning and its end count |
#
# **Predict first.** Two files show the same 10 seconds, at 30 and at 60 frames a second. Which of the three ways see a stretch of the same length
# in both files?
#
# <details><summary>Then look</summary>
#
# By time and by segment. By frame sees half as many seconds at 60.
#
# </details>

# %%
random = np.random.default_rng(0)
for way in (ByFrame(32, stride=2), ByTime(32, frames_per_second=12.5), BySegment(32)):
    for fps in (30, 60):
        times = np.arange(10 * fps) / fps  # second at which each frame is shown
        seen = times[way.train(times, random)]
        print(f"{way}: of 10 s at {fps} a second it sees {np.ptp(seen):.2f} s")

# %% [markdown]
# The output measures from the first sampled frame to the last: 62 / 30 = 2.07 s. The span counts the stride after the last frame too:
# 64 / 30 = 2.13 s. The last digits differ: by time takes the frame that is on the screen at each wanted time, and by segment draws a random
# frame of each part. (`frame='middle'` is the rule for testing. These are training clips.)
#
# ## Test time: 4 clips × 3 crops = 12 views
#
# **Views are for testing. A training step sees ONE random clip of a video, with one random crop.** At test time one random clip would be a poor
# sample of a ten-second video. So the paper takes 4 clips, evenly spread over the video, and 3 *crops* of each: left, centre and right (top,
# centre and bottom of a portrait video). A crop is a square cut out of all frames of the clip. One clip with one crop is a *view*. The model's
# answers to the 12 views are averaged. SlowFast takes 10 clips × 3 crops, 30 views: thirty times the computing of one view. (Its crops are
# 256 × 256, the paper's are 224 × 224. Both scale the short side of the frames to 256 before.)

# %%
print("starts of 4 clips in 300 frames: ", test_clips(300, clips=4)[:, 0])
print("starts of 10 clips in 300 frames:", test_clips(300, clips=10)[:, 0])
slowfast = BySpan().test(np.arange(300) / 30, clips=10)  # as SlowFast's code does it
print("starts in SlowFast's own code:   ", slowfast[:, 0])
print(
    "its last clip ends at frame", slowfast[-1, -1], "with gaps", np.unique(np.diff(slowfast[-1]))
)
print("(top, left) of 3 crops of 256 × 340:", three_crops(256, 340, size=224))
print("(top, left) of 3 crops of 340 × 256:", three_crops(340, 256, size=224))

# %% [markdown]
# A span of 64 frames leaves 300 − 64 = 236 frames of *room*: a test clip can start at frames 0 to 236. (In training there are 300 − 62 = 238
# starts, 0 to 237, as in the first question: there only the last sampled frame must exist. The two rules differ in the
# [official code](https://github.com/google-research/scenic/tree/main/scenic/projects/vivit), too.) SlowFast's code divides the room by the 10 clips, and
# not by the 9 gaps between them. Its last clip ends at frame 275, so it never sees the last frames of the video. Before you compare your
# accuracy with a published one, compare the starts. (It also spreads the 32 frames evenly over all 64 frames of the span and cuts fractions off.
# So one gap is 3.)
#
# Next, the views of a portrait video, with clips of 16 frames. The boxes on the frame at the left are the three crops, all of one size. The small
# pictures below it are the 12 views: a column for each clip, a row for each crop. Views are numbered clip by clip, so view 2 is clip 1 with
# the centre crop.

# %%
portrait = ClipExplorer("portrait", clip_frames=16, training=False)
portrait.still()

# %% [markdown]
# ## What is in the data sets
#
# How to sample depends on what the videos show, and on when it happens in them. The paper reports results on these data sets. (The numbers of
# training videos are those of the official code, rounded; the last one is the paper's.)
#
# | data set | what is in it | classes | training videos | a video lasts | what makes it hard |
# |---|---|---|---|---|---|
# | Kinetics-400, -600 | people do something: sports, music, housework (YouTube) | 400, 600 actions | 215,000, 363,000 | about 10 s | many similar actions; often the scene alone tells the class |
# | Something-Something v2 | a person does something with an object, filmed for this data set | 174 actions ("pushing something from left to right") | 169,000 | 2 to 6 s | any object can appear in any class, so only the motion counts |
# | EPIC-Kitchens-100 | cooking, filmed by a camera on the cook's head | 97 verbs and 300 nouns; an action is a pair of both | 67,000 | some seconds, cut from 100 hours | many rare pairs; the camera moves |
# | Moments in Time | events: people, animals, objects, nature | 339 events | 800,000 | 3 s | the videos of one class look very different |
#
# In Kinetics the action usually fills the whole video, so a random clip of 2.56 s is often enough. In Something-Something a short clip can miss the
# beginning or the end of the action. There, sampling **by segment** is usual.
#
# ## One stride, or equal spacing?
#
# Some reimplementations spread the frames over the whole video with `np.linspace`, and cut the fractions off. **Predict first:** take 5 of 18
# frames in this way. Are the gaps equal?
#
# <details><summary>Then look</summary>
#
# No. Four gaps must cover 17 frames, and 17 / 4 is not a whole number. One gap is 5, the others are 4.
#
# </details>

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
_ = ax.set_ylabel("frames")

# %% [markdown]
# The bars show a longer example: 64 of 270 frames. For a model that looks at motion, a longer gap looks like a jump. With one whole-number
# stride, all motion has one speed. The price: the clip does not reach both ends of the video. Sampling by segment chooses the opposite: it
# reaches the whole action, and its gaps are not equal.
#
# ## Which pixels: one random choice for the whole clip
#
# In training, the short side of the video (the smaller of height and width) is scaled to a random length from 256 to 320 pixels. Then come a
# random crop of 224 × 224, a random flip of left and right, and random colours. All frames of a clip must get the *same* random choices. In
# the second row below, the same frames of the video got one choice each. The model would see a shaking camera and a flickering light, and learn from them.

# %%
with VideoReader(sample("rabbit")) as video:
    frames = video.read(train_clip(video.num_frames, clip_frames=7, stride=8, seed=2))
transform = TrainTransform()
once = transform(frames, seed=5)
each = torch.cat([transform(frame[None], seed=10 + i) for i, frame in enumerate(frames)])
print(transform)
film_strip({"one random choice for the clip": once, "one for each frame: wrong": each})

# %% [markdown]
# The printed settings are these. `flip=0.5`: half of the clips are flipped. `colour=0.8`: 80 % of the clips get another brightness, contrast,
# saturation and hue. `grey=0.1`: 10 % lose their colours. `scale='uniform'`: height and width get the same factor. `flip_labels`: see the end of
# this notebook. `rand_augment`: see [07 Fine-tuning](07_fine_tuning.ipynb).
#
# ## Which range of numbers: [−1, 1]
#
# Clips stay uint8, 0 to 255, until they are on the device that computes. Then `normalise` makes floats in [−1, 1], as the official code does.
# The shape of a tensor does not show its range. The model below is the trained Model 1 of notebook 00, with 8 classes. **Predict first:** what
# happens if you give it pixels in [0, 1]? Or in 0 to 255?
#
# <details><summary>Then look</summary>
#
# Pixels in [0, 1] raise no error, but most answers are wrong: 20.6 % right instead of 100 %. (Guessing gives 12.5 %.) Pixels in 0 to 255 are
# refused with an error.
#
# </details>

# %%
model = load_checkpoint(ASSETS / "weights" / "joint.safetensors")[0].eval()
clips, labels = ArrowOfTime(160, frames=8, image_size=48, seed=3).batch(range(160))
right = normalise(clips)
with torch.inference_mode():
    for name, pixels in {"[-1, 1]": right, "[0, 1]": right / 2 + 0.5}.items():
        accuracy = (model(pixels).argmax(-1) == labels).float().mean()
        print(f"{name:8} {accuracy:6.1%} of {len(clips)} clips right, guessing: {1 / 8:.1%}")
for name, pixels in {"0..255 as uint8": clips, "0..255 as float": clips.float()}.items():
    try:
        model(pixels)
    except (TypeError, ValueError) as error:
        print(f"{name}: {error}")

# %% [markdown]
# The weights were trained with pixels in [−1, 1]. In [0, 1] the contrasts are half as large, around another middle. If your accuracy is
# strangely low, check the range first.
#
# ## What goes wrong with real files
#
# **Seeking.** A *key frame* is a frame that can be decoded without other frames. If you ask a file for "the frame at 4.0 s", it goes to the key
# frame before that time, and many loaders return the key frame. The clip `counter` shows its frame numbers, so we know each frame, and we
# can measure the error:

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
        first = next(container.decode(stream))  # what a careless loader takes
        off.append(i - round(first.time * 25))
print(
    f"seek, take the next frame: off by {min(off)} to {max(off)} frames, {np.mean(off):.0f} on average"
)
print("key frames:", key_frames)

# %% [markdown]
# **Variable frame rate.** Phones and screen recorders often change the frame rate within a file. In `variable_rate`, frames come every 0.04 s,
# then every 0.12 s, then every 0.02 s; a clock hand in the picture turns with constant speed. "Frame = seconds × rate" is wrong here. The reader
# knows the time of each frame, and sampling by time uses it.

# %%
with VideoReader(sample("variable_rate")) as video:
    times = video.times
print("seconds between frames:", np.diff(times).round(3)[[0, 20, 40]])
fig, ax = plt.subplots(figsize=(8, 2.4), facecolor="white")
# 28 frames stand for nearly the whole file: 56 of its 60 frames, or 3.5 s of its 3.6 s
for way, colour in ((ByFrame(28, stride=2), "#f26b1d"), (ByTime(28, 8), "#2f6fed")):
    ax.plot(times[way.test(times, clips=1)[0]], ".-", color=colour, label=type(way).__name__)
ax.set(xlabel="frame of the clip", ylabel="second of the video")
_ = ax.legend(frameon=False)

# %% [markdown]
# By frame, the clock suddenly runs three times as fast, and at the end with half its first speed. By time, the line is nearly straight. It
# has small steps, because the frame on the screen at a wanted time can be up to 0.12 s old.
#
# **Rotation.** A phone that is held upright often stores the picture turned by 90°, with a note to turn it back. `VideoReader` gives the
# sizes of the displayed picture. **Short videos.** A clip that is longer than the video starts again at its beginning (`short="loop"`, as in
# the official code), holds its last frame (`"hold"`) or raises an error (`"error"`): you choose. **Wrong headers.** The header of a file can
# state a wrong number of frames. `VideoReader` counts the frames itself.

# %%
with av.open(sample("rotated")) as container:
    stream = container.streams.video[0]
    print(f"stored as {stream.width} × {stream.height}", end=", ")
with VideoReader(sample("rotated")) as video:
    print(f"displayed as {video.width} × {video.height}")
print("10 frames, clip of 8 at stride 2, loop:", train_clip(10, 8, 2, short="loop"))
print("10 frames, clip of 8 at stride 2, hold:", train_clip(10, 8, 2, short="hold"))

# %% [markdown]
# If a file cannot be read, the error says why in one sentence. (For a file of your own, use the path field of the first picture.) Three examples:

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
# Return how many seconds of video a clip stands for: its span in seconds, a float. `fps` is the number of frames a second. Example:
# 16 frames at stride 5 and 20 frames a second stand for 4.0 s.
#
# <details><summary>Hint</summary>
#
# Each frame of the clip stands for `stride` frames of the video.
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
# ### 2 · One stride for all
# Difficulty ●●○○ · importance ●●○○ · 10 minutes
#
# Spread `clip_frames` frames (2 or more) over a video of `num_frames` frames (at least as many). Use one whole-number stride, the largest that
# fits. Put the clip in the middle: half of the frames that are left over, rounded down, come before the first frame of the clip. Return a list of
# frame numbers; the first frame of the video is 0. Example: 3 of 12 frames are [0, 5, 10], with one frame left over.
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
# ### 3 · Three crops, of portrait videos too
# Difficulty ●●○○ · importance ●●○○ · 10 minutes
#
# Return three pairs `(top, left)`: where crops of `size` × `size` pixels begin in a frame of `height` × `width`. The crops are spread along the
# longer side, and centred along the shorter side. In a portrait video (higher than wide) they are top, centre, bottom. In a wider video they
# are left, centre, right. For a square video both are accepted. Halves are rounded down. Example: 10 × 21 pixels and size 8 give [(1, 0), (1,
# 6), (1, 13)].
#
# <details><summary>Hint</summary>
#
# Along the longer side the three positions are 0, half of the rest, all of the rest. The rest is the length of the side minus `size`.
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
# Return the starts of `clips` test clips (2 or more), as a list of frame numbers. They are evenly spread: the first clip starts at 0, and the last
# one starts where a whole span of `span` frames just fits. Cut off the fraction of each start. Some videos are shorter than the span: then all clips start
# at 0. Example: 3 clips of span 60 in 101 frames start at [0, 20, 41].
#
# <details><summary>Hint</summary>
#
# Compute the room first: how many frames of the video does a span leave? It cannot be below 0.
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
# Frame i of a video is on the screen from `times[i]` (in seconds) until the next frame comes. The last frame stays. For each of the `seconds`,
# return the number of the frame that is on the screen, as a list. No second lies before `times[0]`. Sampling by time is built on this. Example:
# `times` = [0.0, 0.1, 0.5] and `seconds` = [0.1, 0.3, 9.0] give [1, 1, 2].
#
# <details><summary>Hint</summary>
#
# `np.searchsorted(times, second, side="right")` counts the frames that have come by then. A frame that comes exactly at that second is counted
# too. Frame numbers start at 0.
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
    """The number of the frame on the screen at each second."""
    ...  # your code


clip_sampling.on_show.check(on_show)

# %% [markdown]
# ## What surprised people
#
# * **"32 × 2" is not a length of time.** The same recipe sees 5.33 s of a file with 12 frames a second, and 1.07 s of a file with 60. If you encode
#   your videos again at another rate, the accuracy changes. `ByTime` avoids this.
# * **The official code also changes the shape.** It scales height and width by two different random factors. The paper speaks of the short side
#   only. `TrainTransform` follows the paper. `TrainTransform(scale="stretch")` follows the official code.
# * **Left and right.** A flip does no harm to "playing tennis", but it makes the label of "pushing something from left to right" wrong. Use
#   `flip=0` for such classes, or change the labels with the flip: `TrainTransform(flip_labels=flip_pairs(class_names))`.
# * **What is averaged?** The official code averages the logits of the views. SlowFast's paper averages softmax scores.
#   [08 Evaluation](08_evaluation.ipynb) compares both.
#
# ## Where next
#
# [02 Tokenisation](02_tokenisation.ipynb): the clip is cut into tokens. The code for frames is in
# [sampling.py](../vivit_lab/video/sampling.py), the code for pixels in [transforms.py](../vivit_lab/video/transforms.py).

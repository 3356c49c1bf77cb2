"""Where a model looks in one clip, as a strip of frames: a picture for each time step."""

import contextlib
from collections.abc import Iterator

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from vivit_lab.analysis import AttentionMaps, TokenWeights, attention_maps
from vivit_lab.models import ViViT, ViViTConfig, token_voxels
from vivit_lab.video import normalise
from vivit_lab.widgets.attention_explorer import heat

SIDE = 104  # height of a picture in pixels
BRIGHTEST = 4  # times the even share: what is drawn in full yellow


class AttentionStrip:
    """What the output of a model attends to in one clip, drawn on its frames.

    clip: uint8 (T, C, H, W), as models of this config take it. The colours mean the same for every
    model: from no attention to BRIGHTEST times the share of each token where all are even.

    frames   uint8 (t, h, w, 3), the first frame of each time step, without attention

    Example:
        >>> import torch
        >>> from vivit_lab import build_model
        >>> config = ViViTConfig(frames=4, image_size=(32, 64), dim=48, heads=4, depth=1)
        >>> strip = AttentionStrip(torch.zeros(4, 3, 32, 64, dtype=torch.uint8), config)
        >>> strip.of(build_model(config)).shape
        (2, 104, 208, 3)
    """

    def __init__(self, clip: Tensor, config: ViViTConfig):
        steps, rows, columns = config.grid
        firsts = [token_voxels(config, step * rows * columns)[0][0] for step in range(steps)]
        frames = clip[firsts].permute(0, 2, 3, 1).contiguous().numpy()
        size = max(1, round(SIDE * frames.shape[2] / frames.shape[1])), SIDE
        self.clip = clip
        self.frames = np.stack([Image.fromarray(frame).resize(size) for frame in frames])

    def of(self, model: ViViT) -> np.ndarray:
        """uint8 (t, h, w, 3), a picture for each time step. The model stays as it is.

        Raises as `attention_maps`.
        """
        pixels = normalise(self.clip)[None].to(next(model.parameters()).device)
        with _at_rest(model):
            weights = output_weights(attention_maps(model, pixels)).weights.numpy()
        shares = weights * weights.size / BRIGHTEST
        frames = map(Image.fromarray, self.frames)
        return np.stack([heat(*both) for both in zip(frames, shares, strict=True)])


def output_weights(maps: AttentionMaps) -> TokenWeights:
    """What the model's output attends to in its last block, mean of the heads.

    Model 1: its attention. Models 2 to 4: the product of time map and space map; a Model 2 that
    averages over time has only the latter, in which every time step has the same share.

    Example:
        >>> import torch
        >>> from vivit_lab import build_model
        >>> model = build_model(ViViTConfig(frames=4, image_size=32, dim=48, heads=4, depth=1))
        >>> found = output_weights(attention_maps(model.eval(), torch.zeros(1, 4, 3, 32, 32)))
        >>> found.kind, found.weights.shape
        ('joint', torch.Size([2, 2, 2]))
    """
    config = maps.config
    last = config.depth - 1  # of the spatial encoder in Model 2
    if config.model == "joint":
        return maps.at(last).row(maps.output)
    if config.model == "factorised_encoder" and not config.temporal_depth:
        return maps.at(last, "space").row(maps.output)
    return maps.product(last)


def strip_words(config: ViViTConfig) -> str:
    """What a strip of this model shows.

    >>> strip_words(ViViTConfig(model="factorised_self_attention"))
    'Attention of all tokens (mean), last block: time × space'
    """
    who = "the class token" if config.pooling == "cls" else "all tokens (mean)"
    if config.model == "joint":
        return f"Attention of {who}, last block"
    if config.model == "factorised_encoder" and not config.temporal_depth:
        return f"Attention of {who} in each time step, last block"
    return f"Attention of {who}, last block: time × space"


def clip_of(config: ViViTConfig, *datasets: Dataset | None) -> Tensor | None:
    """The first clip of the first data set that has one to show, uint8 (T, C, H, W); else None.

    Of several views the middle one. What is wrong with a clip is not told here: `fit` does.

    Example:
        >>> from vivit_lab.data import ArrowOfTime
        >>> config = ViViTConfig(frames=4, image_size=32)
        >>> clip_of(config, None, ArrowOfTime(8, frames=4)).shape
        torch.Size([4, 3, 32, 32])
    """
    for dataset in datasets:
        if dataset is None or isinstance(dataset, IterableDataset):
            continue
        with contextlib.suppress(Exception):
            clip = dataset[0][0]
            clip = clip if clip.ndim == 4 else clip[len(clip) // 2]
            if clip.shape == config.clip_shape:
                return clip
    return None


@contextlib.contextmanager
def _at_rest(model: ViViT) -> Iterator[None]:
    """In evaluation mode, and not compiled, which would hide the blocks; afterwards as before."""
    modes = [(module, module.training) for module in model.modules()]
    compiled, model._compiled_call_impl = model._compiled_call_impl, None
    model.eval()
    try:
        yield
    finally:
        model._compiled_call_impl = compiled
        for module, training in modes:
            module.training = training

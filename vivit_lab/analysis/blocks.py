"""What each block leaves behind: the answer that could be read off there, and how alike tokens are.

Both look at the residual stream, the tokens that go from one block to the next.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from vivit_lab.analysis.attention import Query, blocks_of, check_one_clip, place_of
from vivit_lab.models import ViViT
from vivit_lab.models.vivit import pool


def logit_lens(model: ViViT, clip: Tensor) -> Tensor | dict[str, Tensor]:
    """What the model would say after each block: its own last norm and classifier, applied there.

    The norm is applied to every token that a block leaves; then the class token is taken, or the
    mean of the tokens, as the model does at its end. After a block of Model 2's spatial encoder
    there is one class token a time step (or one mean): they go through the model's last norm, the
    temporal encoder's, and are averaged over the steps. The last row is the model's own answer.

    It is a reading and not what the model does: the last norm and the classifier were trained for
    the last block alone, so an early row may be wrong although its block knows the answer already.

    Args:
        model: one of the four, in eval mode.
        clip: (1, T, C, H, W), float in [-1, 1], as the model takes it.

    Returns logits (blocks, K), or {head: logits}; Model 2's temporal blocks come after the spatial
    ones. Raises TypeError or ValueError for another model, training mode, several clips. Source:
    nostalgebraist, "interpreting GPT: the logit lens", 2020; it is not part of the ViViT paper.

    Example:
        >>> from vivit_lab import ViViTConfig, build_model
        >>> config = ViViTConfig(model="factorised_encoder", frames=8, image_size=32, dim=48,
        ...                      heads=4, depth=3, temporal_depth=1, num_classes=10)
        >>> logit_lens(build_model(config).eval(), torch.zeros(1, 8, 3, 32, 32)).shape
        torch.Size([4, 10])
    """
    left = _left_behind(model, clip)
    norm = getattr(model, "temporal_norm", None) or model.norm
    with torch.no_grad():
        features = [pool(norm(x), model.config.pooling).mean(0) for x in left]
        return model.head(torch.stack(features))


def token_similarity(model: ViViT, clip: Tensor, query: Query) -> Tensor:
    """The cosine of one token with every token of the clip, after each block.

    query: token index (time slowest), or (step, row, column). Of Model 2's temporal encoder, where
    a token is a whole time step, the query's step is compared, and all places of a step are alike.

    Returns (blocks, t, h, w), each -1..1, 1 at the query. Errors as in `logit_lens`.

    Example:
        >>> from vivit_lab import ViViTConfig, build_model
        >>> config = ViViTConfig(frames=4, image_size=32, dim=48, heads=4, depth=3)
        >>> found = token_similarity(build_model(config).eval(), torch.zeros(1, 4, 3, 32, 32), 5)
        >>> found.shape, round(float(found[0].flatten()[5]), 6)
        (torch.Size([3, 2, 2, 2]), 1.0)
    """
    found, (t, h, w) = [], model.config.grid
    step, *place = place_of(query, model.config.grid)
    for x in _left_behind(model, clip):
        x = x[:, model.config.pooling == "cls" :].flatten(0, 1)  # no class tokens
        x = x.view(t, h, w, -1) if len(x) == t * h * w else x.view(t, 1, 1, -1).expand(t, h, w, -1)
        found.append(F.cosine_similarity(x, x[step, *place], dim=-1))
    return torch.stack(found)


def _left_behind(model: ViViT, clip: Tensor) -> list[Tensor]:
    """The tokens after each block, (sequences, n, D), a class token first where there is one.

    Model 2's spatial encoder has a sequence a time step; all else is one sequence.
    """
    check_one_clip(model, clip)
    found, shortcut = [], model.class_token_only

    def keep(_block, _inputs, outputs) -> None:
        x = outputs[0][0]  # of the only clip: (n, D), or (t, s, D)
        one_a_step = model.config.model == "factorised_encoder" and x.ndim == 3
        found.append(x if one_a_step else x.reshape(1, -1, x.shape[-1]))

    hooks = [block.register_forward_hook(keep) for block in blocks_of(model)]
    try:
        model.class_token_only = False  # the last block would leave the class token alone
        with torch.no_grad():
            model(clip)
    finally:
        model.class_token_only = shortcut
        for hook in hooks:
            hook.remove()
    return found

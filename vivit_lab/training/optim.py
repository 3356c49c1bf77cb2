"""Which parameters learn, at what rate: freezing, weight decay, layer-wise decay, SGD or AdamW."""

from types import SimpleNamespace

import torch
from torch import nn

from vivit_lab.models import ViViT
from vivit_lab.training.recipe import Recipe

# Model 2's first half; the same names are the whole of Models 1, 3, 4
SPATIAL_ENCODER = ("patch_embed.", "cls_token", "pos_embed", "blocks.", "norm.")
NEVER_DECAYED = ("cls_token", "pos_embed", "temporal_cls_token", "temporal_pos_embed")
LAYERS = {  # the layers from the clip to the head, as timm's layer-wise decay wants them
    "embedding": r"^cls_token|^pos_embed|^patch_embed",
    "blocks": [(r"^blocks\.(\d+)", None), (r"^norm\.", (99_999,))],
    "temporal_embedding": r"^temporal_cls_token|^temporal_pos_embed",
    "temporal_blocks": [(r"^temporal_blocks\.(\d+)", None), (r"^temporal_norm\.", (99_999,))],
}


def freeze(model: ViViT, what: str | None) -> list[nn.Parameter]:
    """Keep a part of the model as it is: no gradients, no optimiser state, no dropout in it.

    This is the low-memory way: nothing that the part computes is kept for the way back, because
    neither the clip nor any of its parameters wants a gradient. Source: `torch.autograd`.

    model: in training mode. what: "spatial_encoder" (Model 2), "all_but_head", or None.

    Returns the parameters that were frozen, so that they can be set free again.

    Example:
        >>> from vivit_lab import ViViTConfig, build_model
        >>> model = build_model(ViViTConfig.preset("Ti/16x2", model="factorised_encoder"))
        >>> len(freeze(model, "spatial_encoder"))
        150
    """
    if what is None:
        return []
    frozen = []
    for name, parameter in model.named_parameters():
        spatial = name.startswith(SPATIAL_ENCODER)
        if spatial or (what == "all_but_head" and not name.startswith("head.")):
            frozen += [parameter] if parameter.requires_grad else []
            parameter.requires_grad_(False)
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()
    return frozen


def build_optimiser(model: ViViT, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW, over the parameters that learn.

    The groups are timm's: biases, norms, positions and class tokens are not decayed; with
    `layer_decay` each has an `lr_scale`, 1 for the head and smaller towards the clip. The learning
    rate itself is set by the loop before each step.

    >>> from vivit_lab import build_model
    >>> recipe = Recipe.preset("cpu_tiny", layer_decay=0.5)
    >>> groups = build_optimiser(build_model(recipe.config()), recipe).param_groups
    >>> sorted({group["lr_scale"] for group in groups})
    [0.0078125, 0.015625, 0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0]
    """
    from timm.optim import param_groups_layer_decay, param_groups_weight_decay

    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("No parameter of the model wants a gradient: there is nothing to train.")
    decay, spared = recipe.weight_decay, NEVER_DECAYED
    if recipe.layer_decay is None:
        groups = param_groups_weight_decay(model, decay, no_weight_decay_list=spared)
    else:
        layers = SimpleNamespace(
            named_parameters=model.named_parameters, group_matcher=lambda coarse: LAYERS
        )
        groups = param_groups_layer_decay(
            layers, decay, no_weight_decay_list=spared, layer_decay=recipe.layer_decay
        )
    if recipe.optimiser == "sgd":
        momentum = 0.9 if recipe.momentum is None else recipe.momentum
        return torch.optim.SGD(groups, lr=recipe.peak_lr, momentum=momentum)
    return torch.optim.AdamW(groups, lr=recipe.peak_lr, betas=recipe.betas or (0.9, 0.999))

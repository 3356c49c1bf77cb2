"""Which parameters learn, at what rate: freezing, weight decay, layer-wise decay, SGD or AdamW."""

import torch
from torch import nn

from vivit_lab.models import ViViT
from vivit_lab.training.recipe import Recipe

# Model 2's first half, in the order of its layers; the same names are the whole of Models 1, 3, 4
EMBEDDING = r"^cls_token|^pos_embed|^patch_embed"
SPATIAL_ENCODER = ("patch_embed.", "cls_token", "pos_embed", "blocks.", "norm.")
NEVER_DECAYED = ("cls_token", "pos_embed", "temporal_cls_token", "temporal_pos_embed")


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

    Raises:
        ValueError: nothing is left to learn.

    Example:
        >>> from vivit_lab import build_model
        >>> recipe = Recipe.preset("cpu_tiny", layer_decay=0.5)
        >>> groups = build_optimiser(build_model(recipe.config()), recipe).param_groups
        >>> sorted({group["lr_scale"] for group in groups})
        [0.0078125, 0.015625, 0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0]
    """
    from timm.optim import param_groups_layer_decay, param_groups_weight_decay

    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("No parameter of the model wants a gradient: there is nothing to train.")
    if recipe.layer_decay is None:
        groups = param_groups_weight_decay(
            model, recipe.weight_decay, no_weight_decay_list=NEVER_DECAYED
        )
    else:
        groups = param_groups_layer_decay(
            _WithLayers(model),
            recipe.weight_decay,
            no_weight_decay_list=NEVER_DECAYED,
            layer_decay=recipe.layer_decay,
        )
    if recipe.optimiser == "sgd":
        momentum = 0.9 if recipe.momentum is None else recipe.momentum
        return torch.optim.SGD(groups, lr=recipe.peak_lr, momentum=momentum)
    return torch.optim.AdamW(groups, lr=recipe.peak_lr, betas=recipe.betas or (0.9, 0.999))


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its learning rate: `rate`, times its `lr_scale` if it has one.

    Example:
        >>> optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(2))], lr=1.0)
        >>> set_learning_rate(optimiser, 0.1)
        >>> optimiser.param_groups[0]["lr"]
        0.1
    """
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)


class _WithLayers:
    """A model as timm's function for layer-wise decay wants it: with the order of its layers."""

    def __init__(self, model: ViViT):
        self.named_parameters = model.named_parameters

    def group_matcher(self, coarse: bool) -> dict:
        return {
            "embedding": EMBEDDING,
            "blocks": [(r"^blocks\.(\d+)", None), (r"^norm\.", (99_999,))],
            "temporal_embedding": r"^temporal_cls_token|^temporal_pos_embed",
            "temporal_blocks": [
                (r"^temporal_blocks\.(\d+)", None),
                (r"^temporal_norm\.", (99_999,)),
            ],
        }

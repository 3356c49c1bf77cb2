"""What a step is made of: the device, mixup and loss, which parameters learn, the optimiser."""

import math
from collections.abc import Mapping
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from torch import Tensor, nn

from vivit_lab.errors import one_of
from vivit_lab.models import ViViT
from vivit_lab.training.recipe import Recipe

DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Model 2's first half; the same names are the whole of Models 1, 3, 4
SPATIAL_ENCODER = ("patch_embed.", "cls_token", "pos_embed", "blocks.", "norm.")
NEVER_DECAYED = ("cls_token", "pos_embed", "temporal_cls_token", "temporal_pos_embed")
LAYERS = {  # the layers from the clip to the classifier, as timm's layer-wise decay wants them
    "embedding": r"^cls_token|^pos_embed|^patch_embed",
    "blocks": [(r"^blocks\.(\d+)", None), (r"^norm\.", (99_999,))],
    "temporal_embedding": r"^temporal_cls_token|^temporal_pos_embed",
    "temporal_blocks": [(r"^temporal_blocks\.(\d+)", None), (r"^temporal_norm\.", (99_999,))],
}


def open_accelerator(device: str = "auto") -> Accelerator:
    """Accelerate for this process: one of several under `accelerate launch`, else alone.

    Precision and accumulation are the recipe's: a run is the same however it was launched.
    """
    one_of("device", device, DEVICES)
    missing = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
    if missing.get(device):
        raise ValueError(
            f"device is {device!r}, but torch sees no {'NVIDIA' if device == 'cuda' else 'Apple'} "
            "GPU here (python -m vivit_lab doctor says why). 'auto' uses what is there."
        )
    if PartialState(cpu=device == "cpu").num_processes == 1:
        # Accelerate keeps the first choice for the whole process; a notebook may choose again
        AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=device == "cpu", mixed_precision="no", gradient_accumulation_steps=1)


def precision_on(device: torch.device, precision: str) -> str:
    """One of DTYPES. "auto": bf16 where a GPU has it, fp16 on other NVIDIA GPUs, else float32."""
    if precision != "auto":
        return precision
    if device.type != "cuda":
        return "float32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Inside, matrix products are made in a recipe's precision; weights stay what they are."""
    dtype = DTYPES[precision_on(device, precision)]
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def grad_scaler(device: torch.device, precision: str) -> torch.amp.GradScaler:
    """For float16, whose small gradients would be 0: they are computed from a larger loss."""
    enabled = precision_on(device, precision) == "fp16"
    return torch.amp.GradScaler(device.type, enabled=enabled)


# ---- the loss


def by_head(value: object) -> dict:
    """Labels, names or counts as {head: ...}, a head being a classifier; the only one is ""."""
    return dict(value) if isinstance(value, Mapping) else {"": value}


def check_heads(given: Mapping, wanted: Mapping, what: str) -> None:
    """Raise ValueError unless labels, or names, are for the heads that the model has."""
    if given.keys() != wanted.keys():
        here, there = (
            "one classifier without a name"
            if "" in heads
            else f"the classifiers {', '.join(map(repr, heads))}"
            for heads in (given, wanted)
        )
        raise ValueError(f"{what} has {here}, but the model has {there}.")


def mixup(clips: Tensor, alpha: float) -> tuple[Tensor, float]:
    """Mix each clip (B,T,C,H,W) with its partner, the clip as far from the other end of the batch.

    One share is drawn for the whole batch, from Beta(alpha, alpha); 0 mixes and draws nothing.
    Returns the clips and the share that each keeps of itself; `loss_of` mixes the labels.

    Source: Zhang et al. (arXiv 1710.09412); the official code's rule, a reversed batch.
    (torchvision's MixUp takes the next clip for a partner, and labels of one head only.)
    """
    if not alpha:
        return clips, 1.0
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    return mixed(clips, share), share


def mixed(clips: Tensor, share: float) -> Tensor:
    """Each clip (B,T,C,H,W) times its share, and its partner in `mixup` times what is left."""
    return clips.flip(0).lerp_(clips, share)


def loss_of(
    logits: Tensor | Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    share: float = 1.0,
    smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Cross entropy, mean over clips and heads; and the share of clips with every head right.

    logits: (B,K), or {head: (B,K)}. labels: {head: int64 (B,)}; a single head is called "".
    share: that `mixup` drew. smoothing: that share of each label is spread evenly over all K
    classes, after mixing. An answer is right if it names the class that has the larger share.

    Source: the official code: smoothing y (1 - e) + e / K; verbs and nouns weigh the same.
    """
    answers = logits if isinstance(logits, Mapping) else {"": logits}
    losses, right = [], []
    for head, own in labels.items():
        answer, partner = answers[head].float(), own.flip(0)
        loss = F.cross_entropy(answer, own, label_smoothing=smoothing)
        if share < 1:
            other = F.cross_entropy(answer, partner, label_smoothing=smoothing)
            loss = share * loss + (1 - share) * other
        losses.append(loss)
        right.append(answer.argmax(dim=-1) == (own if share >= 0.5 else partner))
    return torch.stack(losses).mean(), torch.stack(right).all(dim=0).float().mean()


def in_range(
    labels: Tensor | Mapping[str, Tensor], classes: int | Mapping[str, int]
) -> tuple[dict[str, Tensor], Tensor]:
    """Labels by head, and how many of them are none of 0 .. classes - 1 (a tensor, no axes).

    The wrong ones are replaced, so that they can be counted without waiting for a GPU, on which a
    wrong label would end the process without a word. ValueError: they are for other heads.
    """
    heads, counts = by_head(labels), by_head(classes)
    check_heads(heads, counts, "A batch")
    safe = {head: y.clamp(0, counts[head] - 1) for head, y in heads.items()}
    return safe, sum((safe[head] != y).sum() for head, y in heads.items())


def chance_loss(classes: int | Mapping[str, int]) -> float:
    """Loss of a model that answers every clip alike: log K, the mean over the heads."""
    counts = by_head(classes).values()
    return sum(math.log(count) for count in counts) / len(counts)


# ---- the parameters


def freeze(model: ViViT, what: str | None) -> list[nn.Parameter]:
    """Keep a part of the model as it is: no gradients, no optimiser state, no dropout in it.

    Nothing that the part computes is kept for the way back: the low-memory way. model: in training
    mode. what: "spatial_encoder" (Model 2), "all_but_head", or None. Returns what was frozen.
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
    `layer_decay` each has an `lr_scale`, 1 for the classifier and smaller towards the clip.
    """
    from timm.optim import param_groups_layer_decay, param_groups_weight_decay

    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("No parameter of the model needs a gradient: there is nothing to train.")
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
    betas = recipe.betas or (0.9, 0.999)
    return torch.optim.AdamW(groups, lr=recipe.peak_lr, betas=betas, fused=True)  # one kernel

"""A model, data and a recipe so small that training takes a second."""

import copy

import torch
from torch.utils.data import Dataset

from vivit_lab import ViViTConfig, build_model
from vivit_lab.models import ViViT
from vivit_lab.training import Recipe, read_log
from vivit_lab.video import ByFrame, Preprocessing

SHAPE = (4, 3, 16, 16)  # (T, C, H, W)


class Glows(Dataset):
    """Clips of noise whose class is which of red and blue are bright: learnt in a second."""

    classes = ("neither", "blue", "red", "both")

    def __init__(self, clips: int = 64, seed: int = 0, heads: bool = False):
        random = torch.Generator().manual_seed(seed)
        self.labels = torch.arange(clips) % 4
        self.clips = torch.randint(0, 120, (clips, *SHAPE), generator=random).to(torch.uint8)
        for clip, label in zip(self.clips, self.labels.tolist(), strict=True):
            clip[:, 0] += 120 * (label // 2)
            clip[:, 2] += 120 * (label % 2)
        self.heads = heads
        if heads:
            self.class_names = {"red": ["dark", "bright"], "blue": ["dark", "bright"]}

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        label = int(self.labels[index])
        if self.heads:
            label = {"red": label // 2, "blue": label % 2}
        return self.clips[index], label


def tiny_recipe(**changes) -> Recipe:
    fields = {"epochs": 2, "batch": 16, "lr_batch": None, "lr": 2e-3, "warmup_epochs": 0.5}
    return Recipe.preset("cpu_tiny", **(fields | {"betas": None} | changes))


def tiny_model(seed: int = 0, **changes) -> ViViT:
    fields = {"model": "factorised_encoder", "frames": 4, "image_size": 16, "tubelet": (2, 8, 8)}
    fields |= {"dim": 16, "depth": 2, "heads": 2, "mlp_dim": 32, "num_classes": 4} | changes
    if fields["model"] == "factorised_encoder":
        fields.setdefault("temporal_depth", 1)
    torch.manual_seed(seed)
    model = build_model(ViViTConfig(**fields))
    with torch.no_grad():
        for parameter in model.parameters():  # the head too, so that all have gradients at once
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def same_weights(one: ViViT, other: ViViT) -> bool:
    """To the last bit."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(first[name].equal(second[name]) for name in first)


def assert_near(one: ViViT, other: ViViT, tolerance: float = 1e-5) -> None:
    for (name, p), q in zip(one.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=tolerance, msg=name)


def logged(folder) -> tuple[list[dict], list[dict]]:
    """The log of a run without its seconds, which no two runs share."""
    steps, epochs = read_log(folder)
    for entry in steps + epochs:
        assert entry.pop("seconds") >= 0
    return steps, epochs


def at_another_scale(model: ViViT) -> ViViT:
    """A copy for pixels -3..1, as transformers' published ViViT has them, with equal answers."""
    model = copy.deepcopy(model)
    scale = {"mean": (0.75,) * 3, "std": (0.25,) * 3}
    model.preprocessing = Preprocessing(ByFrame(4, 1), 16, 16, **scale)
    projection = model.patch_embed.proj
    with torch.no_grad():  # w x = w / 2 (2 x - 1) + w / 2
        projection.weight.div_(2)
        projection.bias.add_(projection.weight.sum((1, 2, 3, 4)))
    return model

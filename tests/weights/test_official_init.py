"""Inflation gives the official code's parameters: its own examples, and its rules written out.

`official/init` holds six initialisations that the official code made. Its rules are written down
once more below; they are held against the six and then stand in for it where there is no example.
"""

import itertools
import json
from math import isqrt, prod
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from shared import official_config

from vivit_lab import ViViTConfig, build_model
from vivit_lab.weights import ImageViT, inflate
from vivit_lab.weights.scenic import timm_names

CASES = sorted((Path(__file__).parent / "official" / "init").glob("*.json"))
MODEL = {
    "m1": "spacetime",
    "m2": "factorized_encoder",
    "m3": "factorized_self_attention_block",
    "m4": "factorized_dot_product_attention",
}
KERNEL = {
    "central_frame_initializer": "central_frame",
    "average_frame_initializer": "filter_inflation",
    "average_arp_frame_initializer": "rank_pooling",
}
# weights of rank pooling as the official code was seen to draw them, for tubelets of t frames
RANK_POOLING = {1: [0], 2: [-1 / 4, 1 / 4], 4: [-29 / 48, 7 / 48, 13 / 48, 9 / 48]}


# ---- our side


def config_of(target: dict) -> ViViTConfig:
    more = {"scenic_attention_type": MODEL[target["variant"]], "temporal_layers": None}
    return official_config(more | target)


def inflate_as(source: dict, before: dict, target: dict, options: dict):
    """(the model after our inflation, the report), from the official source and target."""
    model = build_model(config_of(target))
    model.load_state_dict(before)
    side = options["img"] // target["patch"]
    image = ImageViT("case", source, target["heads"], (side, side), "tanh")
    temporal = {True: "space", False: "new"}[options.get("init_temporal_transformer", True)]
    report = inflate(
        model,
        image,
        tubelet=KERNEL[target.get("kernel_init_method", "central_frame_initializer")],
        position_grid=official_grid(model.config, image, options["posemb"]),
        cls_token="new" if (target["variant"], target["classifier"]) == ("m2", "token") else None,
        temporal_attention=temporal if target["variant"] == "m3" else None,
    )
    return model, report


def official_grid(config: ViViTConfig, image: ImageViT, way: str) -> tuple[int, int]:
    """What the official code resizes the image table to, as an explicit grid."""
    rows = config.spatial_tokens if config.model == "factorised_encoder" else config.tokens
    if rows == prod(image.grid) or way == "tile":
        return image.grid
    return (isqrt(rows if way == "resize" else rows // config.temporal_tokens),) * 2


def assert_same(found: dict, right: dict) -> None:
    assert found.keys() == right.keys()
    for name, tensor in found.items():
        if name in ("patch_embed.proj.weight", "pos_embed"):  # some of them float64 there
            torch.testing.assert_close(tensor, right[name].float(), atol=1e-7, rtol=1e-6)
        else:
            assert torch.equal(tensor, right[name]), name


# ---- the official rules, in our names


def official_init(source: dict, before: dict, target: dict, options: dict) -> dict:
    result, variant = dict(before), target["variant"]
    for name, value in source.items():
        if name == "cls_token":  # Model 2's has another name there, so it is passed over
            result |= {name: value} if name in before and variant != "m2" else {}
        elif name == "patch_embed.proj.weight":
            result[name] = official_kernel(value, before[name], target)
        elif name == "pos_embed":
            result[name] = official_table(value, before[name], target, options)
        elif not name.startswith("head."):
            result[name] = value
            over_time = name.replace(".attn.", ".attn_time.")  # norm_time is never filled
            if options.get("init_temporal_transformer", True) and over_time in before:
                result[over_time] = value
    return result


def official_kernel(image, own, target):
    how, t = target.get("kernel_init_method"), own.shape[2]
    if image.shape == own.shape:
        return image
    weights = [float(i == t // 2) for i in range(t)]
    if how == "average_frame_initializer":
        weights = [1 / t] * t
    if how == "average_arp_frame_initializer":
        weights = RANK_POOLING[t]
    return torch.stack([image * weight for weight in weights], dim=2)


def official_table(image, own, target, options):
    way, steps = options["posemb"], target.get("n_sampled_frames")
    steps = steps or target["frames"] // target["tubelet_t"]
    has_token, needs_token = (x == "token" for x in (options["img_cls"], target["classifier"]))
    first = (image if has_token else own)[:, : int(needs_token)]
    rows, wanted = image[:, int(has_token) :], own.shape[1] - needs_token
    if rows.shape[1] != wanted and way != "tile":
        new = isqrt(wanted if way == "resize" else wanted // steps)
        pixels = rearrange(rows.double(), "1 (h w) d -> 1 d h w", h=isqrt(rows.shape[1]))
        pixels = F.interpolate(pixels, (new, new), mode="bilinear", align_corners=True)
        rows = rearrange(pixels, "1 d h w -> 1 (h w) d").to(rows.dtype)
    return torch.cat([first, rows.repeat(1, wanted // rows.shape[1], 1)], dim=1)


# ---- what the six files leave out, with parameters drawn at random


def drawn(target: dict, seed: int) -> dict:
    generator = torch.Generator().manual_seed(seed)
    state = build_model(config_of(target)).state_dict()
    return {name: torch.randn(x.shape, generator=generator) for name, x in state.items()}


UNIFORM = {"tubelet_t": 1, "encoding": "temporal_sampling"}
TARGET = {
    "frames": 8, "height": 32, "width": 32, "patch": 8, "tubelet_t": 2, "hidden": 24, "heads": 4,
    "mlp": 48, "layers": 2, "temporal_layers": 1, "classes": 5,
}  # fmt: skip
TILED = {"img": 32, "posemb": "tile"}


def made_up(variant: str) -> list[tuple[dict, dict]]:
    """(changes of the target, options) of each case."""
    kernels = itertools.product((1, 2, 4), KERNEL)
    way = "resize" if variant == "m2" else "resize_tile"
    return [
        *(({"tubelet_t": t, "kernel_init_method": how}, TILED) for t, how in kernels),
        *(({}, {"img": img, "posemb": way}) for img in (16, 24, 48)),
        (UNIFORM | {"n_sampled_frames": 4}, TILED),
        ({}, TILED | {"init_temporal_transformer": False}),
        ({}, {"img": 24, "posemb": "resize"}),  # square root of a joint table's length
        ({}, {"img": 16, "posemb": "tile"}),  # tiled from another size, misaligned
    ]


# ---- the tests


def test_the_official_results_are_reproduced():
    assert len(CASES) == 6
    for path in CASES:
        arrays, case = np.load(path.with_suffix(".npz")), json.loads(path.read_text())
        source, before, result = (
            timm_names({k.removeprefix(part): arrays[k] for k in arrays if k.startswith(part)})
            for part in ("source/", "target_before/", "result/")
        )
        target, options = case["target"], case["options"]
        model, report = inflate_as(source, before, target, options)
        assert_same(model.state_dict(), result)
        # the report knows which parameters the official code kept
        kept = {name for name, where in case["provenance"].items() if where == "kept"}
        kept = timm_names({name: arrays[f"target_before/{name}"] for name in kept})
        assert {entry.name for entry in report["new"]} == set(kept)
        # the rules written out here are the official ones
        assert_same(official_init(source, before, target, options), result)


@pytest.mark.parametrize("variant", MODEL)
def test_the_official_rules_are_reproduced_where_there_is_no_file(variant):
    classifiers = ("token", "gap") if variant in ("m1", "m2") else ("gap",)
    for classifier, token, (changes, options) in itertools.product(
        classifiers, ("token", "gap"), made_up(variant)
    ):
        target = TARGET | {"variant": variant, "classifier": classifier} | changes
        options = options | {"img_cls": token}
        # an image ViT has the parameters of a Model 1 that samples one frame of one
        one = target | UNIFORM | {"variant": "m1", "frames": 1, "n_sampled_frames": 1}
        side = {"classifier": token, "height": options["img"], "width": options["img"]}
        source, before = drawn(one | side, 1), drawn(target, 2)
        model, _ = inflate_as(source, before, target, options)
        assert_same(model.state_dict(), official_init(source, before, target, options))

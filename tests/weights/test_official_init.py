"""Inflation gives the official code's parameters: its own examples, and its rules written out.

`official/init` holds six initialisations that the official code made. The rules of the official
code are written down once more below, in its own names and in numpy; they are held against the six
and then stand in for it where there is no example.
"""

import itertools
import json
from math import isqrt, prod
from pathlib import Path

import numpy as np
import pytest
import torch
from flax_like import official

from vivit_lab import ViViTConfig, build_model
from vivit_lab.weights import ImageViT, inflate
from vivit_lab.weights.scenic import timm_names

CASES = sorted((Path(__file__).parent / "official" / "init").glob("*.json"))
MODEL = {
    "m1": "joint",
    "m2": "factorised_encoder",
    "m3": "factorised_self_attention",
    "m4": "factorised_dot_product",
}
KERNEL = {
    "central_frame_initializer": "central_frame",
    "average_frame_initializer": "filter_inflation",
    "average_arp_frame_initializer": "rank_pooling",
}
# weights of rank pooling as the official code was seen to draw them, for tubelets of t frames
RANK_POOLING = {1: [0], 2: [-1 / 4, 1 / 4], 4: [-29 / 48, 7 / 48, 13 / 48, 9 / 48]}
every_file = pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)


# ---- our side


def config_of(target: dict) -> ViViTConfig:
    uniform = target.get("encoding") == "temporal_sampling"
    return ViViTConfig(
        model=MODEL[target["variant"]],
        frames=target["frames"],
        image_size=(target["height"], target["width"]),
        tokenizer="uniform_frames" if uniform else "tubelet",
        sampled_frames=target["n_sampled_frames"] if uniform else None,
        tubelet=(target["tubelet_t"], target["patch"], target["patch"]),
        dim=target["hidden"],
        depth=target["layers"],
        heads=target["heads"],
        mlp_dim=target["mlp"],
        temporal_depth=target["temporal_layers"] if target["variant"] == "m2" else None,
        num_classes=target["classes"],
        pooling={"token": "cls", "gap": "mean"}[target["classifier"]],
    )


def ours(source: dict, before: dict, target: dict, options: dict):
    """(our model after inflation, the report), from the official source and untouched target."""
    config = config_of(target)
    model = build_model(config)
    model.load_state_dict(timm_names(before))
    side = options["img"] // target["patch"]
    image = ImageViT("case", timm_names(source), config.heads, (side, side), "tanh")
    temporal = {True: "space", False: "new"}[options.get("init_temporal_transformer", True)]
    report = inflate(
        model,
        image,
        tubelet=KERNEL[target.get("kernel_init_method", "central_frame_initializer")],
        position_grid=official_grid(config, image, options["posemb"]),
        cls_token="new" if (target["variant"], config.pooling) == ("m2", "cls") else None,
        temporal_attention=temporal if target["variant"] == "m3" else None,
    )
    return model, report


def official_grid(config: ViViTConfig, image: ImageViT, way: str) -> tuple[int, int]:
    """What the official code resizes the image table to, as an explicit grid."""
    rows = config.spatial_tokens if config.model == "factorised_encoder" else config.tokens
    if rows == prod(image.grid) or way == "tile":
        return image.grid
    side = isqrt(rows if way == "resize" else rows // config.temporal_tokens)
    return side, side


def assert_same(model, result: dict) -> None:
    for name, right in timm_names(result).items():
        tensor = model.state_dict()[name]
        if name in ("patch_embed.proj.weight", "pos_embed"):  # some of them float64 there
            torch.testing.assert_close(tensor, right.float(), atol=1e-7, rtol=1e-6)
        else:
            assert torch.equal(tensor, right), name
    assert timm_names(result).keys() == model.state_dict().keys()


# ---- the official rules, in the official names


def official_init(source: dict, before: dict, target: dict, options: dict) -> dict:
    result = dict(before)
    encoder = "SpatialTransformer" if target["variant"] == "m2" else "Transformer"
    steps = target.get("n_sampled_frames") or target["frames"] // target["tubelet_t"]
    for name, value in source.items():
        if name == "cls":
            if name in before:  # Model 2's has another name, so it is passed over
                result[name] = value
        elif name == "embedding/kernel":
            how = target.get("kernel_init_method", "central_frame_initializer")
            result[name] = official_kernel(value, before[name], how)
        elif name == "Transformer/posembed_input/pos_embedding":
            name = f"{encoder}/posembed_input/pos_embedding"
            tokens = (options["img_cls"] == "token", target["classifier"] == "token")
            result[name] = official_table(value, before[name], *tokens, options["posemb"], steps)
        elif not name.startswith("output_projection/"):
            for new_name in official_places(name, encoder, target["variant"], options):
                assert before[new_name].shape == value.shape
                result[new_name] = value
    return result


def official_kernel(image: np.ndarray, own: np.ndarray, how: str) -> np.ndarray:
    if image.shape == own.shape:
        return image
    frames = range(len(own))
    if how == "average_frame_initializer":
        return np.stack([image / len(own) for _ in frames])
    if how == "average_arp_frame_initializer":
        return np.stack([image * weight for weight in RANK_POOLING[len(own)]])
    return np.stack([image if i == len(own) // 2 else 0 * image for i in frames])


def official_table(image, own, source_token, target_token, way, steps) -> np.ndarray:
    if image.shape == own.shape:
        return image
    first = [image[0, :1]] if source_token and target_token else []
    if target_token and not source_token:
        first = [own[0, :1]]
    rows, wanted = image[0, int(source_token) :], own.shape[1] - target_token
    if len(rows) != wanted and way != "tile":
        rows = official_zoom(rows, wanted if way == "resize" else wanted // steps)
    if len(rows) != wanted:
        rows = np.tile(rows, (wanted // len(rows), 1))
    return np.concatenate([*first, rows])[None]


def official_zoom(rows: np.ndarray, wanted: int) -> np.ndarray:
    """Square to square, straight lines, corners on corners."""
    old, new = isqrt(len(rows)), isqrt(wanted)
    pixels = rows.reshape(old, old, -1).astype(np.float64)
    places = np.linspace(0, old - 1, new)

    def along_first(x):
        flat = x.reshape(old, -1)
        columns = [np.interp(places, np.arange(old), flat[:, i]) for i in range(flat.shape[1])]
        return np.stack(columns, -1).reshape(new, *x.shape[1:])

    pixels = along_first(pixels).swapaxes(0, 1)
    return along_first(pixels).swapaxes(0, 1).reshape(new * new, -1).astype(rows.dtype)


def official_places(name: str, encoder: str, variant: str, options: dict) -> list[str]:
    name = name.replace("Transformer/", f"{encoder}/")
    if variant != "m3" or "encoderblock" not in name:
        return [name]
    renamed = {
        "LayerNorm_0": ["LayerNorm_space"],  # LayerNorm_time is never filled
        "LayerNorm_1": ["LayerNorm_mlp"],
        "MlpBlock_0": ["MlpBlock"],
        "MultiHeadDotProductAttention_0": ["MultiHeadDotProductAttention_space"],
    }
    if options.get("init_temporal_transformer", True):
        renamed["MultiHeadDotProductAttention_0"].append("MultiHeadDotProductAttention_time")
    part = name.split("/")[2]
    return [name.replace(part, new) for new in renamed[part]]


# ---- what the six files leave out, with parameters drawn at random


def drawn(config: ViViTConfig, seed: int) -> dict:
    """The official parameters of a model of ours."""
    model, generator = build_model(config), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    is_encoder = config.model == "factorised_encoder"
    encoder = "SpatialTransformer" if is_encoder else "Transformer"
    return official(model.state_dict(), config.heads, encoder=encoder)


def drawn_image(target: dict, options: dict) -> dict:
    """An image ViT has the parameters of a Model 1 that samples one frame of one."""
    one = {"variant": "m1", "classifier": options["img_cls"], "frames": 1, "tubelet_t": 1}
    one |= {"encoding": "temporal_sampling", "n_sampled_frames": 1}
    return drawn(config_of(target | one | {"height": options["img"], "width": options["img"]}), 1)


def target_of(variant: str, classifier: str, **changes) -> dict:
    return {
        "variant": variant, "classifier": classifier, "frames": 8, "height": 32, "width": 32,
        "patch": 8, "tubelet_t": 2, "hidden": 24, "heads": 4, "mlp": 48, "layers": 2,
        "temporal_layers": 1, "classes": 5,
    } | changes  # fmt: skip


def made_up() -> list[tuple[dict, dict]]:
    """(target, options) of each case."""
    found, tiled = [], {"img": 32, "img_cls": "token", "posemb": "tile"}
    models = (("m1", "token"), ("m1", "gap"), ("m2", "token"), ("m2", "gap"))
    models += (("m3", "gap"), ("m4", "gap"))
    for (variant, classifier), cls in itertools.product(models, ("token", "gap")):
        for t, how in itertools.product((1, 2, 4), KERNEL):
            target = target_of(variant, classifier, tubelet_t=t, kernel_init_method=how)
            found.append((target, tiled | {"img_cls": cls}))
        way = "resize" if variant == "m2" else "resize_tile"
        for img in (16, 24, 48):
            options = {"img": img, "img_cls": cls, "posemb": way}
            found.append((target_of(variant, classifier), options))
        uniform = {"tubelet_t": 1, "n_sampled_frames": 4, "encoding": "temporal_sampling"}
        found.append((target_of(variant, classifier, **uniform), tiled | {"img_cls": cls}))
    m1 = target_of("m1", "token")
    return [
        *found,
        (target_of("m3", "gap"), tiled | {"init_temporal_transformer": False}),
        (m1, tiled | {"img": 24, "posemb": "resize"}),  # square root of a joint table's length
        (m1, tiled | {"img": 16}),  # tiled from another size, misaligned
    ]


# ---- the tests


def read(path: Path) -> tuple[dict, dict, dict, dict]:
    arrays, case = np.load(path.with_suffix(".npz")), json.loads(path.read_text())

    def part(prefix):
        return {k.removeprefix(prefix): arrays[k] for k in arrays if k.startswith(prefix)}

    return part("source/"), part("target_before/"), part("result/"), case


@every_file
def test_the_official_results_are_reproduced(path):
    source, before, result, case = read(path)
    target, options = case["target"], case["options"]
    model, report = ours(source, before, target, options)
    assert_same(model, result)
    # the report knows which parameters the official code kept
    kept = {name: before[name] for name, where in case["provenance"].items() if where == "kept"}
    assert {entry.name for entry in report["new"]} == set(timm_names(kept))
    # the rules written out here are the official ones
    found = official_init(source, before, target, options)
    assert found.keys() == result.keys()
    for name, right in result.items():
        np.testing.assert_allclose(found[name], right, atol=1e-7, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("variant", MODEL)
def test_the_official_rules_are_reproduced_where_there_is_no_file(variant):
    for target, options in made_up():
        if target["variant"] == variant:
            source, before = drawn_image(target, options), drawn(config_of(target), 2)
            model, _ = ours(source, before, target, options)
            assert_same(model, official_init(source, before, target, options))

"""Inflation gives the official code's parameters: its own examples, and its rules written out.

`official/init` holds six initialisations that the official code made. The rules of the official
code are written down once more below, in its own names and in numpy; they are held against the six
and then stand in for it where there is no example.
"""

import json
from math import isqrt, prod
from pathlib import Path

import numpy as np
import pytest
import torch

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
            torch.testing.assert_close(tensor, right.float(), atol=1e-7, rtol=1e-6, msg=name)
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


# ---- trees of the official code, drawn at random


class Tree:
    """Draws the parameters of an image ViT or a video model under the official names."""

    def __init__(self, seed: int, dim: int = 24, heads: int = 4, mlp: int = 48, patch: int = 8):
        self.rng = np.random.default_rng(seed)
        self.dim, self.heads, self.mlp, self.patch = dim, heads, mlp, patch
        self.leaves = {}

    def draw(self, name: str, *shape: int) -> None:
        self.leaves[name] = self.rng.standard_normal(shape).astype(np.float32)

    def encoder(self, name: str, rows: int, depth: int, factorised: bool = False) -> None:
        self.draw(f"{name}/posembed_input/pos_embedding", 1, rows, self.dim)
        self.norm(f"{name}/encoder_norm")
        for i in range(depth):
            block = f"{name}/encoderblock_{i}"
            norms = ("time", "space", "mlp") if factorised else ("0", "1")
            for norm in norms:
                self.norm(f"{block}/LayerNorm_{norm}")
            for axis in ("time", "space") if factorised else ("0",):
                self.attention(f"{block}/MultiHeadDotProductAttention_{axis}")
            mlp = f"{block}/MlpBlock" if factorised else f"{block}/MlpBlock_0"
            self.linear(f"{mlp}/Dense_0", (self.dim, self.mlp), (self.mlp,))
            self.linear(f"{mlp}/Dense_1", (self.mlp, self.dim), (self.dim,))

    def norm(self, name: str) -> None:
        self.draw(f"{name}/scale", self.dim)
        self.draw(f"{name}/bias", self.dim)

    def linear(self, name: str, kernel: tuple, bias: tuple) -> None:
        self.draw(f"{name}/kernel", *kernel)
        self.draw(f"{name}/bias", *bias)

    def attention(self, name: str) -> None:
        head = (self.heads, self.dim // self.heads)
        for part in ("query", "key", "value"):
            self.linear(f"{name}/{part}", (self.dim, *head), head)
        self.linear(f"{name}/out", (*head, self.dim), (self.dim,))

    def image(self, size: int, token: bool, depth: int = 2) -> dict:
        self.linear("embedding", (self.patch, self.patch, 3, self.dim), (self.dim,))
        self.linear("output_projection", (self.dim, 7), (7,))
        if token:
            self.draw("cls", 1, 1, self.dim)
        self.encoder("Transformer", (size // self.patch) ** 2 + token, depth)
        return self.leaves

    def video(self, target: dict) -> dict:
        token, t = target["classifier"] == "token", target["tubelet_t"]
        space = (target["height"] // self.patch) * (target["width"] // self.patch)
        steps = target.get("n_sampled_frames") or target["frames"] // t
        time = () if "n_sampled_frames" in target else (t,)
        self.linear("embedding", (*time, self.patch, self.patch, 3, self.dim), (self.dim,))
        self.linear("output_projection", (self.dim, target["classes"]), (target["classes"],))
        if target["variant"] == "m2":
            self.encoder("SpatialTransformer", space + token, target["layers"])
            self.encoder("TemporalTransformer", steps + token, target["temporal_layers"])
            names = ["cls_SpatialTransformer", "cls_TemporalTransformer"] if token else []
        else:
            factorised = target["variant"] == "m3"
            self.encoder("Transformer", steps * space + token, target["layers"], factorised)
            names = ["cls"] if token else []
        for name in names:
            self.draw(name, 1, 1, self.dim)
        return self.leaves


def target_of(variant: str, classifier: str, **changes) -> dict:
    return {
        "variant": variant, "classifier": classifier, "frames": 8, "height": 32, "width": 32,
        "patch": 8, "tubelet_t": 2, "hidden": 24, "heads": 4, "mlp": 48, "layers": 2,
        "temporal_layers": 1, "classes": 5,
    } | changes  # fmt: skip


def made_up() -> dict[str, tuple[dict, dict]]:
    """Name -> (target, options): what the six files leave out."""
    found = {}
    for variant, classifier in (("m1", "token"), ("m1", "gap"), ("m2", "token"), ("m2", "gap"),
                                ("m3", "gap"), ("m4", "gap")):  # fmt: skip
        for img_cls in ("token", "gap"):
            for t in (1, 2, 4):
                for how in KERNEL:
                    target = target_of(variant, classifier, tubelet_t=t, kernel_init_method=how)
                    options = {"img": 32, "img_cls": img_cls, "posemb": "tile"}
                    key = f"{variant}_{classifier}_from_{img_cls}_t{t}_{KERNEL[how]}"
                    found[key] = (target, options)
            way = "resize" if variant == "m2" else "resize_tile"
            for img in (16, 24, 48):
                options = {"img": img, "img_cls": img_cls, "posemb": way}
                key = f"{variant}_{classifier}_from_{img_cls}_{img}px_{way}"
                found[key] = (target_of(variant, classifier), options)
            target = target_of(
                variant, classifier, tubelet_t=1, n_sampled_frames=4, encoding="temporal_sampling"
            )
            options = {"img": 32, "img_cls": img_cls, "posemb": "tile"}
            found[f"{variant}_{classifier}_from_{img_cls}_uniform"] = (target, options)
    options = {"img": 32, "img_cls": "token", "posemb": "tile", "init_temporal_transformer": False}
    found["m3_temporal_new"] = (target_of("m3", "gap"), options)
    square = {"img": 24, "img_cls": "token", "posemb": "resize"}
    found["m1_square_root_of_a_joint_table"] = (target_of("m1", "token"), square)
    misaligned = {"img": 16, "img_cls": "token", "posemb": "tile"}
    found["m1_tiled_from_another_size"] = (target_of("m1", "token"), misaligned)
    return found


MADE_UP = made_up()


# ---- the tests


def read(path: Path) -> tuple[dict, dict, dict, dict]:
    arrays, case = np.load(path.with_suffix(".npz")), json.loads(path.read_text())

    def part(prefix):
        return {k.removeprefix(prefix): arrays[k] for k in arrays if k.startswith(prefix)}

    return part("source/"), part("target_before/"), part("result/"), case


@every_file
def test_the_official_results_are_reproduced(path):
    source, before, result, case = read(path)
    model, _ = ours(source, before, case["target"], case["options"])
    assert_same(model, result)


@every_file
def test_the_report_knows_which_parameters_the_official_code_kept(path):
    source, before, _, case = read(path)
    _, report = ours(source, before, case["target"], case["options"])
    kept = {name: before[name] for name, where in case["provenance"].items() if where == "kept"}
    thirds = {entry.name for entry in report["new"]}
    assert thirds == set(timm_names(kept))


@every_file
def test_the_rules_written_out_here_are_the_official_ones(path):
    source, before, result, case = read(path)
    found = official_init(source, before, case["target"], case["options"])
    assert found.keys() == result.keys()
    for name, right in result.items():
        np.testing.assert_allclose(found[name], right, atol=1e-7, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", MADE_UP)
def test_the_official_rules_are_reproduced_where_there_is_no_file(name):
    target, options = MADE_UP[name]
    source = Tree(1).image(options["img"], options["img_cls"] == "token")
    before = Tree(2).video(target)
    model, _ = ours(source, before, target, options)
    assert_same(model, official_init(source, before, target, options))

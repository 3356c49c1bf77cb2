"""transformers' ViViT, both ways: folders and repositories of VivitForVideoClassification."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from vivit_lab.models import MODELS, ViViT, ViViTConfig
from vivit_lab.models.layers import LAYER_NORM_EPS
from vivit_lab.weights.checkpoint import checked_names
from vivit_lab.weights.described import described_config, described_model
from vivit_lab.weights.files import (
    read_json,
    read_safetensors,
    read_torch_pickle,
    write_atomically,
    write_safetensors,
)
from vivit_lab.weights.report import Loading, LoadReport, WeightsError

# VivitConfig's fields: ours, and the value that transformers takes where config.json has none
FIELDS = {
    "num_frames": ("frames", 32),
    "image_size": ("image_size", 224),
    "num_channels": ("in_channels", 3),
    "tubelet_size": ("tubelet", (2, 16, 16)),
    "hidden_size": ("dim", 768),
    "num_hidden_layers": ("depth", 12),
    "num_attention_heads": ("heads", 12),
    "intermediate_size": ("mlp_dim", 3072),
    "hidden_dropout_prob": ("dropout", 0.0),
    "attention_probs_dropout_prob": ("attention_dropout", 0.0),
}
GELUS = {
    "gelu_fast": "tanh",  # 0.5 x (1 + tanh(0.7978845608 x (1 + 0.044715 x^2))): VivitConfig's own
    "gelu_new": "tanh",
    "gelu_pytorch_tanh": "tanh",
    "gelu_python_tanh": "tanh",
    "gelu_accurate": "tanh",
    "gelu": "exact",
    "gelu_python": "exact",
}
OUTSIDE = {  # ours: theirs
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "norm": "layernorm",
}
BLOCK = {
    "norm1": "layernorm_before",
    "attn.proj": "attention.output.dense",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
QKV = tuple(f"attention.attention.{name}" for name in ("query", "key", "value"))
# Names inside a transformers 5 model, should they ever reach a file; files have the older ones.
NEWER_NAMES = {
    r"^layers\.": "encoder.layer.",
    r"\.attention\.q_proj\.": ".attention.attention.query.",
    r"\.attention\.k_proj\.": ".attention.attention.key.",
    r"\.attention\.v_proj\.": ".attention.attention.value.",
    r"\.attention\.o_proj\.": ".attention.output.dense.",
    r"\.mlp\.fc1\.": ".intermediate.dense.",
    r"\.mlp\.fc2\.": ".output.dense.",
}


def load_huggingface(source: str | Path, revision: str | None = None) -> tuple[ViViT, LoadReport]:
    """A ViViT of transformers as our Model 1 with the same logits.

    Args:
        source: a folder with config.json and model.safetensors (also in several files), or the
            name of a repository on the Hugging Face hub, "google/vivit-b-16x2-kinetics400", which
            is downloaded, or taken from the cache. A pytorch_model.bin is used only where there
            is no .safetensors; nothing but tensors is let out of it (weights_only).
        revision: branch, tag or commit of the repository.

    Returns:
        the model, in float32 and in training mode, and the report. `model.class_names` and
        `report.class_names` are config.json's id2label, unless it only says LABEL_0, LABEL_1. A
        folder of VivitModel has no classifier: the head is new, and the pooler finds no use.

    Both models take clips (B, T, C, H, W), pixels in [-1, 1], as `vivit_lab.video.normalise` makes
    them. VivitImageProcessor does that too, but unless it is told do_normalize=False it goes on to
    (x - 0.5) / 0.5, that is to [-3, 1].

    Raises:
        FileNotFoundError: config.json or the weights are not in the folder.
        WeightsError: no such repository, no network, another kind of model, an option that ours
            does not have, tensors that do not fit, damaged files.

    Source: transformers' VivitConfig, VivitForVideoClassification.

    Example:
        >>> import tempfile
        >>> from vivit_lab import build_model
        >>> config = ViViTConfig(frames=2, image_size=16, dim=6, depth=1, heads=2, mlp_dim=4)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_huggingface(build_model(config), folder)
        ...     model, report = load_huggingface(folder)
        >>> model.config == config, report.counts
        (True, {'copied': 20})
    """
    folder = _folder(source, revision)
    settings = read_json(folder / "config.json")
    name = f"{folder.name}/config.json" if Path(source).is_dir() else str(source)
    tensors, notes = _tensors(folder)
    config = _config(name, settings)
    class_names = _class_names(name, settings, config.num_classes)
    model, report = described_model(
        str(source), config, tensors, lambda loading: _place(loading, config)
    )
    model.class_names = class_names
    return model, replace(report, class_names=class_names, notes=report.notes + notes)


def save_huggingface(
    model: ViViT, folder: str | Path, class_names: Sequence[str] | None = None
) -> None:
    """Write config.json and model.safetensors for VivitForVideoClassification.from_pretrained.

    transformers has Model 1 with a class token, and nothing else of ours. Stochastic depth does
    not travel (it does nothing in evaluation). A rectangular image_size needs transformers 5.

    Args:
        folder: is made if it is not there.
        class_names: names in the order of the logits; model.class_names if not given.

    Raises:
        WeightsError: a model that transformers cannot express; the message says why.
        ValueError, TypeError: names that do not fit the classes.
        OSError: the files cannot be written.

    Example:
        >>> import tempfile
        >>> from vivit_lab import build_model
        >>> config = ViViTConfig(frames=2, image_size=16, dim=6, depth=1, heads=2, mlp_dim=4)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_huggingface(build_model(config), folder)
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['config.json', 'model.safetensors']
    """
    config = model.config
    _check_expressible(config)
    names = checked_names(model.class_names if class_names is None else class_names,
                          config.num_classes)  # fmt: skip
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_settings(config, names), indent=2) + "\n"
    write_safetensors(folder / "model.safetensors", _their_tensors(model), {})
    write_atomically(folder / "config.json", lambda path: path.write_text(text, encoding="utf-8"))


# ---- reading


def _folder(source: str | Path, revision: str | None) -> Path:
    path = Path(source)
    if path.is_dir():
        return path
    if path.is_file():
        raise WeightsError(f"{path.name!r} is a file: give the folder that holds it.")
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", str(source)):
        raise FileNotFoundError(
            f"There is no folder {str(source)!r}, and a repository's name is owner/name."
        )
    return _download(str(source), revision)


def _download(repository: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        wanted = ["config.json", "*.safetensors", "*.safetensors.index.json"]
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
        if not any(folder.glob("*.safetensors")):
            wanted = ["config.json", "pytorch_model.bin"]
            folder = Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except Exception as reason:  # the hub's, the network's and the disk's errors share no class
        first_line = (str(reason).strip().splitlines() or [type(reason).__name__])[0]
        raise WeightsError(
            f"There is no folder {repository!r}, and the repository of that name could not be "
            f"downloaded ({first_line}). Without a network: on a machine that has one, run "
            f"`hf download {repository} --local-dir vivit`, bring the folder here, and pass it."
        ) from None
    return folder


def _tensors(folder: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """All tensors of a folder under VivitModel's older names, and what the reader should know."""
    notes = ()
    if (folder / "model.safetensors").exists():
        tensors = read_safetensors(folder / "model.safetensors")[0]
    elif (folder / "model.safetensors.index.json").exists():
        tensors = _shards(folder)
    elif (folder / "pytorch_model.bin").exists():
        tensors = read_torch_pickle(folder / "pytorch_model.bin")
        notes = ("There was no .safetensors: tensors, and nothing else, from pytorch_model.bin.",)
    else:
        raise FileNotFoundError(f"There is no model.safetensors in {str(folder)!r}.")
    renamed = {}
    for name, tensor in tensors.items():
        older = name.removeprefix("vivit.")
        for pattern, replacement in NEWER_NAMES.items():
            older = re.sub(pattern, replacement, older)
        if older in renamed:
            raise WeightsError(f"{folder.name!r} holds {older!r} twice.")
        renamed[older] = tensor
    return renamed, notes


def _shards(folder: Path) -> dict[str, Tensor]:
    index = folder / "model.safetensors.index.json"
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(map(_plain_name, weight_map.values())):
        raise WeightsError(f"{index.name!r} does not say which file holds which tensor.")
    tensors = {}
    for shard in sorted(set(weight_map.values())):
        tensors |= read_safetensors(folder / shard)[0]
    if set(tensors) != set(weight_map):
        some = sorted(set(tensors) ^ set(weight_map))[0]
        raise WeightsError(f"{index.name!r} and its files disagree, for example on {some!r}.")
    return tensors


def _plain_name(name: object) -> bool:
    return isinstance(name, str) and name.endswith(".safetensors") and Path(name).name == name


def _config(name: str, settings: Mapping) -> ViViTConfig:
    if settings.get("model_type") != "vivit":
        kind = settings.get("model_type")
        raise WeightsError(f"{name!r} is a model of type {kind!r}, but must be 'vivit'.")
    eps, act = settings.get("layer_norm_eps", 1e-6), str(settings.get("hidden_act", "gelu_fast"))
    if eps != LAYER_NORM_EPS:
        raise WeightsError(f"layer_norm_eps is {eps!r} in {name!r}, but ours is {LAYER_NORM_EPS}.")
    if act not in GELUS:
        known = ", ".join(GELUS)
        raise WeightsError(f"hidden_act is {act!r} in {name!r}, but must be one of {known}.")
    fields = {ours: settings.get(theirs, default) for theirs, (ours, default) in FIELDS.items()}
    labels = settings.get("id2label") or {}
    if not isinstance(labels, dict):
        raise WeightsError(f"id2label is {labels!r} in {name!r}, but must be a dict.")
    classes = len(labels) if labels else settings.get("num_labels", 2)
    return described_config(name, fields | {"gelu": GELUS[act], "num_classes": classes})


def _class_names(name: str, settings: Mapping, num_classes: int) -> tuple[str, ...] | None:
    labels = settings.get("id2label") or {}
    names = [labels.get(str(i)) for i in range(num_classes)]
    if labels and not all(isinstance(label, str) for label in names):
        raise WeightsError(f"id2label in {name!r} does not give classes 0 to {num_classes - 1}.")
    if not labels or names == [f"LABEL_{i}" for i in range(num_classes)]:
        return None
    return tuple(names)


def _place(loading: Loading, config: ViViTConfig) -> None:
    def layer(ours: str, theirs: str) -> None:
        for kind in ("weight", "bias"):
            loading.copy(f"{ours}.{kind}", f"{theirs}.{kind}")

    for ours, theirs in OUTSIDE.items():
        if ours in loading.parameters:
            loading.copy(ours, theirs)
        else:
            layer(ours, theirs)
    for i in range(config.depth):
        block, their_block = f"blocks.{i}", f"encoder.layer.{i}"
        _place_qkv(loading, f"{block}.attn.qkv", their_block)
        for ours, theirs in BLOCK.items():
            layer(f"{block}.{ours}", f"{their_block}.{theirs}")
    if "classifier.weight" in loading.left:
        layer("head", "classifier")
    else:
        for kind in ("weight", "bias"):
            loading.keep(f"head.{kind}", "a VivitModel has no classifier")
    for name in [name for name in loading.left if name.startswith("pooler.")]:
        loading.leave(name, "only VivitModel itself uses its pooler")


def _place_qkv(loading: Loading, ours: str, their_block: str) -> None:
    for kind in ("weight", "bias"):
        names = [f"{their_block}.{part}.{kind}" for part in QKV]
        source = f"{their_block}.attention.attention.query|key|value.{kind}"
        if kind == "bias" and not any(name in loading.left for name in names):
            zeros = torch.zeros(loading.parameters[f"{ours}.bias"].shape[0], device="cpu")
            loading.place(f"{ours}.bias", zeros, "copied", source, None, "no bias there: zeros")
            continue
        parts = [loading.take(name) for name in names]
        if len({part.shape for part in parts}) > 1 or parts[0].ndim == 0:
            raise WeightsError(f"{source!r} of {loading.source} have different shapes.")
        loading.place(f"{ours}.{kind}", torch.cat(parts), "copied", source)


# ---- writing


def _check_expressible(config: ViViTConfig) -> None:
    def refuse(what: str) -> None:
        raise WeightsError(f"transformers cannot express this model: {what}.")

    if config.model != "joint":
        refuse(f"it is {MODELS[config.model]}, and transformers only has Model 1")
    if config.pooling != "cls":
        refuse("it pools by the mean of all tokens, and transformers reads the class token")
    if config.tokenizer != "tubelet":
        refuse("it samples frames uniformly, and transformers embeds tubelets")
    if config.layer_scale is not None:
        refuse("it has LayerScale")
    if isinstance(config.num_classes, Mapping):
        refuse(f"it has several heads ({', '.join(config.num_classes)})")


def _settings(config: ViViTConfig, names: Sequence[str] | None) -> dict:
    height, width = config.image_size
    names = names or [f"LABEL_{i}" for i in range(config.num_classes)]
    ours = {theirs: getattr(config, ours) for theirs, (ours, _) in FIELDS.items()}
    return {
        "architectures": ["VivitForVideoClassification"],
        "model_type": "vivit",
        **ours,
        "image_size": height if height == width else [height, width],
        "hidden_act": "gelu_fast" if config.gelu == "tanh" else "gelu",
        "layer_norm_eps": LAYER_NORM_EPS,
        "qkv_bias": True,
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }


def _their_tensors(model: ViViT) -> dict[str, Tensor]:
    state = dict(model.state_dict())
    found = {}

    def layer(ours: str, theirs: str) -> None:
        for kind in ("weight", "bias"):
            found[f"{theirs}.{kind}"] = state.pop(f"{ours}.{kind}")

    for ours, theirs in OUTSIDE.items():
        if ours in state:
            found[f"vivit.{theirs}"] = state.pop(ours)
        else:
            layer(ours, f"vivit.{theirs}")
    for i in range(model.config.depth):
        for kind in ("weight", "bias"):
            parts = state.pop(f"blocks.{i}.attn.qkv.{kind}").chunk(3)
            for part, tensor in zip(QKV, parts, strict=True):
                found[f"vivit.encoder.layer.{i}.{part}.{kind}"] = tensor.clone()
        for ours, theirs in BLOCK.items():
            layer(f"blocks.{i}.{ours}", f"vivit.encoder.layer.{i}.{theirs}")
    layer("head", "classifier")
    return found

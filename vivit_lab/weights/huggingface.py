"""transformers' ViViT, both ways: folders and repositories of VivitForVideoClassification."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from vivit_lab.errors import one_of
from vivit_lab.io import read_json, write_atomically, write_safetensors
from vivit_lab.models import ViViT, ViViTConfig
from vivit_lab.models.layers import LAYER_NORM_EPS
from vivit_lab.video.preprocessing import HALF, Preprocessing
from vivit_lab.video.sampling import BySegment
from vivit_lab.weights.checkpoint import checked_names, into_new_model, what_to_save
from vivit_lab.weights.files import read_tensors
from vivit_lab.weights.report import Loading, LoadReport, WeightsError, by, listed

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
EXACT_GELUS = ("gelu", "gelu_python")
TANH_GELUS = ("gelu_fast", "gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_accurate")
# Parts of our names, and theirs; a head has no "vivit." before it
NAMES = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj.": "embeddings.patch_embeddings.projection.",
    "blocks.": "encoder.layer.",
    "norm1.": "layernorm_before.",
    "attn.proj.": "attention.output.dense.",
    "norm2.": "layernorm_after.",
    "mlp.fc1.": "intermediate.dense.",
    "mlp.fc2.": "output.dense.",
    "norm.": "layernorm.",
    "head.": "classifier.",
}
# What may say how clips are made: transformers takes the first that is there
PROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json")
SAMPLING = "vivit_lab_sampling"  # in config.json: transformers has no word for it
CARD = "<!-- Written by save_huggingface of vivit_lab, which will replace it. -->"
QKV = tuple(f"attention.attention.{name}." for name in ("query", "key", "value"))


def load_huggingface(source: str | Path, revision: str | None = None) -> tuple[ViViT, LoadReport]:
    """A ViViT of transformers as our Model 1 with the same logits.

    Args:
        source: a folder with config.json, model.safetensors (also in several files, or a
            pytorch_model.bin) and preprocessor_config.json, or a repository on the hub, as
            "google/vivit-b-16x2-kinetics400", which is downloaded, or taken from the cache.
        revision: branch, tag or commit of the repository.

    Returns:
        the model, in float32 and in training mode, and the report; both with the class names of
        config.json, unless it only says LABEL_0, LABEL_1, and with the preprocessing, if it can be
        expressed here; else a note says why not. Of a VivitModel the head is new.

    Pixels are those of the processor: -1..1 as everywhere here where do_normalize is False, but
    -3..1 where offset and do_normalize are both on, as in the published ViViT. `evaluate` and
    `predict` see to that; else call `model(model.preprocessing.rescale(normalise(clip)))`. Frames
    are those of transformers' pipeline, the first of each equal part of the video, unless we saved
    the model ourselves.

    Raises:
        FileNotFoundError: config.json or the weights are not in the folder.
        WeightsError: no such repository, no network, another kind of model, damaged files.

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
    name = f"{folder.name}/config.json" if Path(source).is_dir() else str(source)
    try:
        config, class_names, renamed = _described(settings := read_json(folder / "config.json"))
    except (TypeError, ValueError) as reason:
        raise WeightsError(f"{name!r}: {reason}") from None
    tensors, notes = _tensors(folder)
    expected, scaled = _expected(folder, settings.get(SAMPLING), config)
    loading = into_new_model(str(source), config, tensors, (*notes, *renamed, *scaled))
    _place(loading)
    report, model = loading.finish(), loading.model
    model.class_names, model.preprocessing = class_names, expected
    return model, replace(report, class_names=class_names, preprocessing=expected)


def save_huggingface(
    model: nn.Module,
    folder: str | Path,
    class_names: Sequence[str] | None = None,
    *,
    history: Sequence[Mapping] = (),
) -> None:
    """Write a folder for VivitForVideoClassification, `pipeline("video-classification", folder)`.

    It gets config.json, model.safetensors, preprocessor_config.json, and a model card, README.md,
    unless there is one that we did not write. transformers has Model 1 with a class token, and
    nothing else of ours. Stochastic depth does not travel. A rectangular image_size needs
    transformers 5.9. `load_huggingface` has an example.

    Args:
        model: a ViViT, or a wrapper of it, as in `save_checkpoint`.
        folder: is made if it is not there.
        class_names: names in the order of the logits; model.class_names if not given.
        history: for the card, as in a run's checkpoint: `read_checkpoint_info(file).history`.

    Raises:
        WeightsError: a model that transformers cannot express; the message says why.
        ValueError, TypeError: names that do not fit the classes; a model or weights that
            `save_checkpoint` too would refuse.
        OSError: the files cannot be written.
    """
    model, state = what_to_save(model)
    config = model.config
    rules = {"model": "joint", "pooling": "cls", "tokenizer": "tubelet", "layer_scale": None}
    other = [name for name, only in rules.items() if getattr(config, name) != only]
    if not isinstance(config.num_classes, int) or not config.num_classes:
        other.append("num_classes")
    if other:
        fields = ", ".join(f"{name}={getattr(config, name)!r}" for name in other)
        raise WeightsError(
            "transformers only has Model 1 with a class token, tubelets, no LayerScale and one "
            f"classifier: it cannot express a model with {fields}."
        )
    names = checked_names(model.class_names if class_names is None else class_names, config)
    names = names or [f"LABEL_{i}" for i in range(config.num_classes)]
    height, width = config.image_size
    expected = Preprocessing(BySegment(config.frames, "first"), 224, 256)  # pipeline and paper
    expected = model.preprocessing or expected.resized(config.frames, min(height, width))
    settings = {
        "architectures": ["VivitForVideoClassification"],
        "model_type": "vivit",
        **{theirs: getattr(config, ours) for theirs, (ours, _) in FIELDS.items()},
        "image_size": height if height == width else [height, width],
        "hidden_act": "gelu_fast" if config.gelu == "tanh" else "gelu",
        "layer_norm_eps": LAYER_NORM_EPS,
        "qkv_bias": True,
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
        SAMPLING: expected.to_dict()["sampling"],
    }
    processor = {  # (255 x / 127.5 - 1 - their mean) / their std = (x - mean) / std
        "image_processor_type": "VivitImageProcessor",
        "size": {"shortest_edge": expected.short_side},
        "crop_size": {"height": height, "width": width},
        "resample": 2,  # bilinear
        "rescale_factor": 1 / 127.5,
        "image_mean": [2 * mean - 1 for mean in expected.mean],
        "image_std": [2 * std for std in expected.std],
        **dict.fromkeys(("do_resize", "do_center_crop", "do_rescale", "offset"), True),
        "do_normalize": expected.mean != HALF or expected.std != HALF,
    }
    tensors = {}
    for name, tensor in state.items():
        if ".qkv." in name:
            for part, third in zip(QKV, tensor.chunk(3), strict=True):
                tensors["vivit." + _their_name(name.replace("attn.qkv.", part))] = third.clone()
        else:
            prefix = "" if name.startswith("head.") else "vivit."
            tensors[prefix + _their_name(name)] = tensor
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "model.safetensors", tensors, {})
    files = {"config.json": settings, PROCESSORS[-1]: processor}
    files |= {name: processor for name in PROCESSORS if (folder / name).exists()}
    for name, content in files.items():  # of an older model no processor stays
        write_atomically(folder / name, json.dumps(content, indent=2) + "\n")
    card = folder / "README.md"
    if not card.exists() or CARD in card.read_text("utf-8", "replace"):
        write_atomically(card, _card(config, names, model.preprocessing, history))


def _card(config: ViViTConfig, names: Sequence[str], expected, history: Sequence[Mapping]) -> str:
    """The model card: what is known of classes, clips, data, recipe and figures."""
    facts = [f"Classes ({len(names)}): {', '.join(names)}"]
    facts += [f"Clips: {config.frames} frames of {by(config.image_size)} pixels"]
    facts += [f"Made for: {expected}"] * (expected is not None)
    about, last = (history[0], history[-1]) if history else ({}, {})
    if data := about.get("training set"):
        source = Path(data.get("source", data["kind"])).name  # no path of this machine
        facts.append(f"Trained on: {data.get('samples', 'many')} clips of {source}")
    if recipe := about.get("recipe"):
        facts.append("Recipe: {name}; {optimiser}, lr {lr}, batch {batch}".format(**recipe))
    figures = last | {f"validation {k}": v for k, v in last.get("validation", {}).items()}
    figures = [f"{k} {v:.4g}" for k, v in figures.items() if isinstance(v, (int, float))]
    facts += [f"In the end: {', '.join(figures)}"] * bool(figures)
    head = ["---", "library_name: transformers", "pipeline_tag: video-classification", "---", CARD]
    body = ["", "A ViViT (arXiv 2103.15691), Model 1.", "", *(f"* {x}." for x in facts), ""]
    end = '`pipeline("video-classification", folder)` of transformers chooses frames itself; '
    end += "`predict(folder, video)` of vivit_lab takes those\nthat it was trained with.\n"
    return "\n".join([*head, *body, end])


# ---- reading


def _folder(source: str | Path, revision: str | None) -> Path:
    path = Path(source)
    if path.is_dir():
        return path
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", str(source)):
        raise FileNotFoundError(f"There is no folder {str(source)!r}; a repository is owner/name.")
    from huggingface_hub import snapshot_download

    try:
        for weights in ("*.safetensors", "pytorch_model.bin"):
            wanted = ["config.json", *PROCESSORS, weights]
            path = Path(snapshot_download(str(source), revision=revision, allow_patterns=wanted))
            if any(path.glob("*.safetensors")):
                break
        return path
    except Exception as reason:  # the hub's, the network's and the disk's errors share no class
        first_line = str(reason).strip().partition("\n")[0] or type(reason).__name__
        raise WeightsError(
            f"There is no folder {str(source)!r}, and the repository of that name could not be "
            f"downloaded ({first_line}). Without a network: on a machine that has one, run "
            f"`hf download {source} --local-dir vivit`, copy the folder here, and pass its path."
        ) from None


def _tensors(folder: Path) -> tuple[dict[str, Tensor], list[str]]:
    """All tensors of a folder under VivitModel's names, and what the reader should know."""
    notes, whole = [], folder / "model.safetensors"
    files = [whole] if whole.exists() else sorted(folder.glob("model-*.safetensors"))  # in pieces
    if not files:
        files = sorted(folder.glob("pytorch_model.bin"))
        notes = ["There was no .safetensors, so only the tensors of pytorch_model.bin were read."]
    if not files:
        raise FileNotFoundError(f"There is no model.safetensors in {str(folder)!r}.")
    tensors = {}
    for file in files:
        found, more = read_tensors(file)
        tensors, notes = tensors | found, notes + [note for note in more if note not in notes]
    return {name.removeprefix("vivit."): tensor for name, tensor in tensors.items()}, notes


def _described(settings: Mapping) -> tuple[ViViTConfig, tuple[str, ...] | None, list[str]]:
    """(our configuration, the class names, notes on them) of what config.json says."""
    if (kind := settings.get("model_type")) != "vivit":
        raise ValueError(f"it is a model of type {kind!r}, but must be 'vivit'.")
    eps, act = settings.get("layer_norm_eps", 1e-6), str(settings.get("hidden_act", "gelu_fast"))
    if eps != LAYER_NORM_EPS:
        raise ValueError(f"layer_norm_eps is {eps!r}, but ours is {LAYER_NORM_EPS}.")
    one_of("hidden_act", act, (*EXACT_GELUS, *TANH_GELUS))
    fields = {ours: settings.get(theirs, default) for theirs, (ours, default) in FIELDS.items()}
    labels = settings.get("id2label") or {}
    classes = len(labels) if labels else settings.get("num_labels", 2)
    gelu = "exact" if act in EXACT_GELUS else "tanh"
    config = ViViTConfig(**fields, gelu=gelu, num_classes=classes)
    names = [isinstance(labels, dict) and labels.get(str(i)) for i in range(len(labels))]
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"id2label does not name the classes 0 to {classes - 1}.")
    if names == [f"LABEL_{i}" for i in range(len(labels))]:  # also where there are none
        return config, None, []
    unique = []
    for i, name in enumerate(names):
        while name in unique:
            name += f" ({i})"  # two classes are not told apart by one name
        unique.append(name)
    new = [name for name, old in zip(unique, names, strict=True) if name != old]
    note = f"Names that config.json has twice now end with their class number: {listed(new)}."
    return config, tuple(unique), [note] if new else []


def _expected(
    folder: Path, sampling: Mapping | None, config: ViViTConfig
) -> tuple[Preprocessing | None, list[str]]:
    """What a folder's processor makes of a video, and what the reader should know of that."""
    file = next((folder / name for name in PROCESSORS if (folder / name).exists()), None)
    if file is None:
        return None, []
    try:
        theirs, (height, width) = read_json(file), config.image_size
        kind = theirs.get("image_processor_type") or theirs.get("video_processor_type", "Vivit")
        scale, offset = 255, 0
        if theirs.get("do_rescale", True):
            scale *= theirs.get("rescale_factor", 1 / 127.5)
            offset = theirs.get("offset", kind.startswith("Vivit"))
        mean, std = theirs.get("image_mean", HALF), theirs.get("image_std", HALF)
        if not theirs.get("do_normalize", True):
            mean, std = (0, 0, 0), (1, 1, 1)
        mean, std = (x if isinstance(x, (list, tuple)) else (x,) * 3 for x in (mean, std))
        mean = [round((offset + value) / scale, 9) for value in mean]
        std = [round(value / scale, 9) for value in std]  # (scale x - offset - their mean) / std
        side = theirs.get("size", {"shortest_edge": 256})
        side = side.get("shortest_edge") if isinstance(side, Mapping) else side
        if height != width or not side or not theirs.get("do_resize", True):
            raise ValueError("it does not scale to a short side and cut out a square")
        first = {"by": "BySegment", "clip_frames": config.frames, "frame": "first"}
        fields = {"sampling": sampling or first, "crop": height, "short_side": side}
        expected = Preprocessing.from_dict(fields | {"mean": mean, "std": std})
    except (AttributeError, TypeError, ValueError) as reason:
        return None, [f"{file.name} was not used: {reason}."]
    if expected.mean == expected.std == HALF:
        return expected, []
    return expected, [f"Pixels get the scale of {file.name}, which is not the paper's -1..1."]


def _their_name(name: str) -> str:
    for ours, theirs in NAMES.items():
        name = name.replace(ours, theirs)
    return name


def _place(loading: Loading) -> None:
    has_head = "classifier.weight" in loading.left
    for name in loading.parameters:
        if ".qkv." in name:
            _place_qkv(loading, name)
        elif name.startswith("head.") and not has_head:
            zeros = torch.zeros_like(loading.parameters[name])
            loading.place(name, zeros, "new", "", note="a VivitModel has no classifier")
        else:
            loading.copy(name, _their_name(name))
    for name in [name for name in loading.left if name.startswith("pooler.")]:
        loading.leave(name, "only VivitModel itself uses its pooler")


def _place_qkv(loading: Loading, name: str) -> None:
    names = [_their_name(name.replace("attn.qkv.", part)) for part in QKV]
    source = _their_name(name.replace("attn.qkv.", "attention.attention.query|key|value."))
    if name.endswith("bias") and not any(name in loading.left for name in names):
        zeros = torch.zeros(loading.parameters[name].shape)
        loading.place(name, zeros, "copied", source, None, "no bias there: zeros")
        return
    parts = [loading.take(name) for name in names]
    if len({part.shape for part in parts}) > 1:
        raise WeightsError(f"{source!r} of {loading.source} have different shapes.")
    loading.place(name, torch.cat([*map(torch.atleast_1d, parts)]), "copied", source)

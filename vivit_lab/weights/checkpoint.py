"""Our own checkpoints: a .safetensors file with weights, configuration, names, preprocessing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from vivit_lab.data.samples import ASSETS
from vivit_lab.errors import one_of, takes_plain
from vivit_lab.io import parse_json, write_safetensors
from vivit_lab.models import ViViT, ViViTConfig, build_model
from vivit_lab.video.preprocessing import Preprocessing
from vivit_lab.weights.adapt import adapt
from vivit_lab.weights.files import read_safetensors, read_tensors
from vivit_lab.weights.report import Loading, LoadReport, WeightsError, by, listed

FIELD = "vivit_lab"  # of the file's header: a JSON document
FORMAT_VERSION = 1
SMALL_VIDEO_VIT = ASSETS / "weights" / "video_vit.safetensors"  # Model 1, learnt Arrow of Time

ClassNames = Sequence[str] | Mapping[str, Sequence[str]] | None


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself, beside its weights."""

    config: ViViTConfig
    class_names: ClassNames  # names in the order of the logits, or {head: names}
    history: list[dict]  # what the writer noted: training steps, losses, accuracies
    preprocessing: Preprocessing | None  # what the model expects of a video, where it is known


@takes_plain
def save_checkpoint(
    file: str | Path,
    model: nn.Module,
    *,
    class_names: ClassNames = None,
    history: Sequence[Mapping] | None = None,
) -> None:
    """Write a model into one .safetensors file, completely or not at all.

    Its header holds configuration, class names, model.preprocessing and history, as JSON.

    Args:
        file: path ending in .safetensors; its folder must be there.
        model: a ViViT, or a wrapper of it: compiled, DDP, averaged, for_inference().
        class_names: in the order of the logits, or {head: names}; by default model.class_names.
        history: a dict for each entry, of what JSON can hold: {"epoch": 1, "loss": 2.3}.

    Raises:
        ValueError, TypeError: another suffix; names or a history that do not fit.
        TypeError: another kind of model, or layers that were replaced (adapters not merged).
        WeightsError: weights that no loader would take: of other shapes, or not finite.
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> config = ViViTConfig(frames=2, image_size=16, dim=6, depth=1, heads=2, mlp_dim=4,
        ...                      num_classes=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_checkpoint(f"{folder}/m.safetensors", build_model(config),
        ...                     class_names=["forwards", "backwards"], history=[{"epoch": 1}])
        ...     info = read_checkpoint_info(f"{folder}/m.safetensors")
        >>> info.config == config, info.class_names, info.history
        (True, ('forwards', 'backwards'), [{'epoch': 1}])
    """
    file = Path(file)
    if file.suffix != ".safetensors":
        wanted = file.with_suffix(".safetensors").name
        raise ValueError(f"file is {file.name!r}, but must end in .safetensors: {wanted!r}.")
    model, state = what_to_save(model)
    names = model.class_names if class_names is None else class_names
    document = {
        "format_version": FORMAT_VERSION,
        "config": asdict(model.config),
        "class_names": checked_names(names, model.config),
        "preprocessing": model.preprocessing and model.preprocessing.to_dict(),
    }
    try:
        text = json.dumps(document | {"history": [dict(entry) for entry in history or []]})
    except (TypeError, ValueError) as reason:
        raise TypeError(f"history must be dicts that JSON can hold: {reason}.") from None
    write_safetensors(file, state, {FIELD: text})


def what_to_save(model: nn.Module) -> tuple[ViViT, dict[str, Tensor]]:
    """The ViViT inside wrappers, and its weights, if they are what its configuration gives.

    Raises TypeError or WeightsError, as `save_checkpoint` says.
    """
    kind = type(model).__name__
    while not isinstance(model, ViViT):  # down through wrappers that have no weights of their own
        parts = [*model.children()] if isinstance(model, nn.Module) else []
        if len(parts) != 1 or [*model.parameters(recurse=False)]:
            rule = "must be a ViViT, or wrap one and hold no other part"
            raise TypeError(f"model is a {kind}, but {rule}: not saved.")
        model = parts[0]
    state, wanted = model.state_dict(), without_numbers(model.config).state_dict()
    wrong = [name for name in (*wanted, *state) if (name in state) != (name in wanted)]
    if wrong:
        layers = {name: type(layer).__name__ for name, layer in model.named_modules()}
        layer = wrong[0].rpartition(".")[0]
        raise TypeError(
            f"model is a {kind} whose {layer} is a {layers.get(layer, 'missing part')}: its "
            f"configuration and its weights do not both have {listed(wrong)}: not saved. Merge "
            "adapters (merge_and_unload) and take off pruning or parametrizations first."
        )
    for name, tensor in state.items():
        shape, reason = wanted[name].shape, ""
        if tensor.shape != shape:
            reason = f"is {by(tensor.shape)}, but {by(shape)} by the configuration"
        elif type(tensor) is not Tensor or tensor.is_meta or not tensor.is_floating_point():
            reason = (
                f"is not a plain tensor of floats, but {type(tensor).__name__} of {tensor.dtype}"
            )
            reason += f" on {tensor.device}"
        elif not tensor.float().isfinite().all():
            reason = "holds numbers that are not finite"
        if reason:
            raise WeightsError(f"{name} of the model {reason}: not saved.")
    return model, state


def load_checkpoint(file: str | Path, **changes) -> tuple[ViViT, LoadReport]:
    """The model in a checkpoint of ours, as it was saved or for other clips and classes.

    Args:
        file: what `save_checkpoint` wrote.
        changes: fields of ViViTConfig that shall be different, as far as `adapt` allows.

    Returns:
        the model, in float32 and in training mode, and the report; both with the class names,
        unless the classes were changed, and the preprocessing, changed with the clips.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a change that is no field, or makes no legal configuration.
        WeightsError: not a checkpoint of ours, damaged, or a change that weights cannot follow.

    Example:
        >>> import tempfile
        >>> config = ViViTConfig(frames=2, image_size=16, dim=6, depth=1, heads=2, mlp_dim=4)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_checkpoint(f"{folder}/m.safetensors", build_model(config))
        ...     model, report = load_checkpoint(f"{folder}/m.safetensors", frames=4, num_classes=5)
        >>> report.counts
        {'copied': 17, 'resized': 1, 'new': 2, 'unused': 2}
    """
    file = Path(file)
    for field in changes:
        one_of("field of ViViTConfig", field, [f.name for f in fields(ViViTConfig)])
    info, (tensors, notes) = read_checkpoint_info(file), read_tensors(file)

    loading = into_new_model(file.name, info.config, tensors, notes)
    for name in tensors:
        loading.copy(name)
    report, saved = loading.finish(), loading.model
    saved.class_names, saved.preprocessing = info.class_names, info.preprocessing
    if not changes:
        known = {"class_names": info.class_names, "preprocessing": info.preprocessing}
        return saved, replace(report, **known)
    model = build_model(replace(info.config, **changes))
    adapted = adapt(model, saved)
    return model, replace(adapted, source=file.name, notes=(*notes, *adapted.notes))


def checkpoint_in(path: Path) -> Path:
    """The checkpoint that a path names: a file itself, or the best or newest of a run's folder."""
    if not path.is_dir():
        return path
    found = [*sorted(path.glob("epoch-*.safetensors")), *path.glob("best.safetensors")]
    if found:
        return found[-1]
    raise FileNotFoundError(
        f"{str(path)!r} holds neither best.safetensors nor epoch-*.safetensors: it is not the "
        "folder of a run, or no epoch of it has ended."
    )


def read_checkpoint_info(file: str | Path) -> CheckpointInfo:
    """Configuration, names, history, preprocessing of a checkpoint; its weights are not read.

    Raises FileNotFoundError or WeightsError. `save_checkpoint` has an example.
    """
    name, header = Path(file).name, read_safetensors(file, header_only=True)[1]
    if FIELD not in header:
        raise WeightsError(
            f"{name!r} is not a checkpoint of this package: its header has no {FIELD!r}. A folder "
            "of transformers is for load_huggingface, an image ViT for load_timm."
        )
    try:
        document = parse_json(header[FIELD], f"its header's {FIELD!r}")
        version = document.get("format_version")
        if version != FORMAT_VERSION:
            reads = f"this package reads {FORMAT_VERSION}: a newer vivit_lab wrote it."
            raise ValueError(f"format version {version!r}, but {reads}")
        config = ViViTConfig(**document.get("config"))
        names = checked_names(document.get("class_names"), config)
        history = document.get("history", [])
        if not all(isinstance(entry, dict) for entry in history):
            raise ValueError("its history is not a list of dicts.")
        preprocessing = document.get("preprocessing")
        preprocessing = preprocessing and Preprocessing.from_dict(preprocessing)
    except (TypeError, ValueError) as reason:
        raise WeightsError(f"{name!r} does not describe a model: {reason}") from None
    return CheckpointInfo(config, names, history, preprocessing)


def checked_names(names: ClassNames, config: ViViTConfig) -> ClassNames:
    """Class names as tuples, if there is one for each class and none is there twice."""
    if names is None:
        return None
    several = isinstance(config.num_classes, Mapping)
    given = names if several else {"": names}
    if not isinstance(given, Mapping) or set(given) != set(config.classes):
        heads = ", ".join(config.classes)
        raise TypeError(
            f"class_names is {names!r}, but must be a dict with the classifiers {heads}."
        )
    for head, count in config.classes.items():
        texts, what = given[head], f"class_names[{head!r}]" if several else "class_names"
        is_list = isinstance(texts, Sequence) and not isinstance(texts, str)
        if not is_list or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"{what} is {texts!r}, but must be a list of texts.")
        if len(texts) != count:
            raise ValueError(f"{what} holds {len(texts)} names, but the model has {count} classes.")
        if len(set(texts)) < count:
            raise ValueError(f"{what} holds a name twice, but each class needs its own: {texts}.")
    found = {head: tuple(given[head]) for head in config.classes}
    return found if several else found[""]


# ---- models that a file describes, for transformers' files too


def into_new_model(
    source: str, config: ViViTConfig, tensors: Mapping[str, Tensor], notes: Sequence[str]
) -> Loading:
    """These tensors on the way into a model of this configuration, whose numbers are undefined."""
    blocks = config.depth + (config.temporal_depth or 0)
    if blocks > len(tensors):
        raise WeightsError(f"{source!r} holds {len(tensors)} tensors, too few for {blocks} blocks.")
    try:
        model = without_numbers(config).to_empty(device="cpu")
    except (RuntimeError, OverflowError, TypeError) as reason:
        why = str(reason).partition("\n")[0]
        raise WeightsError(f"{source!r} describes an impossible model: {why}") from None
    loading = Loading(model, source, tensors)
    loading.notes += notes
    return loading


def without_numbers(config: ViViTConfig) -> ViViT:
    """The model of this configuration, without memory and without a random draw."""
    with torch.device("meta"):
        return build_model(config)

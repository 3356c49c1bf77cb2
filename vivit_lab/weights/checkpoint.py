"""Our own checkpoints: one .safetensors file with weights, configuration and class names."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vivit_lab.errors import one_of
from vivit_lab.models import ViViT, ViViTConfig, build_model
from vivit_lab.weights.adapt import adapt
from vivit_lab.weights.described import described_config, described_model
from vivit_lab.weights.files import (
    parse_json,
    read_safetensors,
    read_safetensors_header,
    write_safetensors,
)
from vivit_lab.weights.report import Loading, LoadReport, WeightsError

FIELD = "vivit_lab"  # of the file's header: a JSON document
FORMAT_VERSION = 1

ClassNames = Sequence[str] | Mapping[str, Sequence[str]] | None


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself, beside its weights."""

    config: ViViTConfig
    class_names: ClassNames  # names in the order of the logits, or {head: names}
    history: list[dict]  # what the writer noted: training steps, losses, accuracies


def save_checkpoint(
    file: str | Path,
    model: ViViT,
    *,
    class_names: ClassNames = None,
    history: Sequence[Mapping] | None = None,
) -> None:
    """Write a model into one .safetensors file, which any reader of that format can open.

    Its header also holds the configuration, the class names and the history, as JSON. The file
    appears complete or not at all: a full disk leaves what was there before.

    Args:
        file: path ending in .safetensors; its folder must be there.
        class_names: names in the order of the logits, or {head: names}; model.class_names if not
            given.
        history: anything that JSON can hold, a dict for each entry: {"epoch": 1, "loss": 2.3}.

    Raises:
        ValueError, TypeError: another suffix; names that do not fit the classes, or are there
            twice; a history that JSON cannot hold.
        WeightsError: weights that are not finite, which no loader would take.
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> config = ViViTConfig(frames=2, image_size=16, dim=6, depth=1, heads=2, mlp_dim=4,
        ...                      num_classes=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_checkpoint(f"{folder}/m.safetensors", build_model(config),
        ...                     class_names=["forwards", "backwards"])
        ...     model, report = load_checkpoint(f"{folder}/m.safetensors")
        >>> model.config == config, report.class_names
        (True, ('forwards', 'backwards'))
    """
    file = Path(file)
    if file.suffix != ".safetensors":
        raise ValueError(
            f"file is {file.name!r}, but a checkpoint ends in .safetensors: "
            f"{file.with_suffix('.safetensors').name!r}."
        )
    names = model.class_names if class_names is None else class_names
    document = {
        "format_version": FORMAT_VERSION,
        "config": dataclasses.asdict(model.config),
        "class_names": checked_names(names, model.config.num_classes),
        "history": _checked_history(history),
    }
    state = model.state_dict()
    for name, tensor in state.items():
        if not tensor.isfinite().all():
            raise WeightsError(f"{name} of the model holds numbers that are not finite: not saved.")
    write_safetensors(file, state, {FIELD: json.dumps(document)})


def load_checkpoint(file: str | Path, **changes) -> tuple[ViViT, LoadReport]:
    """The model in a checkpoint of ours, as it was saved or for other clips and classes.

    Args:
        file: what `save_checkpoint` wrote.
        changes: fields of ViViTConfig that shall be different: frames, image_size, num_classes
            and what else `adapt` allows, the rates of dropout for instance.

    Returns:
        the model, in float32 and in training mode, and the report. Both have the class names,
        unless the classes were changed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a change that is no field, or makes no legal configuration.
        WeightsError: not a checkpoint of ours, one of a later version, damaged, a pickle, or a
            change that weights cannot follow.

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
        one_of("field of ViViTConfig", field, [f.name for f in dataclasses.fields(ViViTConfig)])
    tensors, header = read_safetensors(file)
    info = _read_info(file.name, header)

    def place(loading: Loading) -> None:
        for name in tensors:
            loading.copy(name)

    saved, report = described_model(file.name, info.config, tensors, place)
    saved.class_names = info.class_names
    if not changes:
        return saved, dataclasses.replace(report, class_names=info.class_names)
    model = build_model(dataclasses.replace(info.config, **changes))
    return model, dataclasses.replace(adapt(model, saved), source=file.name)


def read_checkpoint_info(file: str | Path) -> CheckpointInfo:
    """Configuration, class names and history of a checkpoint, without reading its weights.

    Raises:
        FileNotFoundError, WeightsError: as `load_checkpoint`.

    Example:
        >>> import tempfile
        >>> config = ViViTConfig(frames=2, image_size=16, dim=6, depth=1, heads=2, mlp_dim=4)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_checkpoint(f"{folder}/m.safetensors", build_model(config),
        ...                     history=[{"epoch": 1, "loss": 2.5}])
        ...     read_checkpoint_info(f"{folder}/m.safetensors").history
        [{'epoch': 1, 'loss': 2.5}]
    """
    return _read_info(Path(file).name, read_safetensors_header(file))


def checked_names(names: ClassNames, num_classes: int | Mapping[str, int]) -> ClassNames:
    """Class names as tuples, if there is one for each class and none is there twice.

    Raises:
        ValueError, TypeError: the message names the head and the count, or the name.

    Example:
        >>> checked_names(["push", "pull", "push"], 3)
        Traceback (most recent call last):
        ValueError: class_names holds 'push' twice, but every class needs a name of its own.
    """
    if names is None:
        return None
    if isinstance(num_classes, Mapping) != isinstance(names, Mapping):
        form = f"a dict with {', '.join(num_classes)}" if isinstance(num_classes, Mapping) else (
            "a list of names"
        )  # fmt: skip
        raise TypeError(f"class_names is a {type(names).__name__}, but must be {form}.")
    if not isinstance(num_classes, Mapping):
        return _checked_list("class_names", names, num_classes)
    if set(names) != set(num_classes):
        raise ValueError(
            f"class_names has the heads {', '.join(names)}, but the model has "
            f"{', '.join(num_classes)}."
        )
    return {
        head: _checked_list(f"class_names[{head!r}]", names[head], count)
        for head, count in num_classes.items()
    }


def _checked_list(what: str, names: Sequence[str], count: int) -> tuple[str, ...]:
    is_list = isinstance(names, Sequence) and not isinstance(names, str)
    if not is_list or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{what} is {names!r}, but must be a list of texts.")
    if len(names) != count:
        raise ValueError(f"{what} holds {len(names)} names, but the model has {count} classes.")
    seen = set()
    for name in names:
        if name in seen:
            raise ValueError(
                f"{what} holds {name!r} twice, but every class needs a name of its own."
            )
        seen.add(name)
    return tuple(names)


def _checked_history(history: Sequence[Mapping] | None) -> list[dict]:
    entries = [] if history is None else list(history)
    for i, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise TypeError(f"history[{i}] is {entry!r}, but must be a dict.")
        try:
            json.dumps(dict(entry))
        except (TypeError, ValueError) as reason:
            raise TypeError(f"history[{i}] cannot be written as JSON: {reason}.") from None
    return [dict(entry) for entry in entries]


def _read_info(name: str, header: Mapping[str, str]) -> CheckpointInfo:
    """The JSON document in a header, checked."""
    if FIELD not in header:
        raise WeightsError(
            f"{name!r} is not a checkpoint of this package: its header has no {FIELD!r}. A folder "
            "of transformers is for load_huggingface, an image ViT for load_timm."
        )
    document = parse_json(header[FIELD], f"{FIELD!r} in the header of {name!r}")
    version = document.get("format_version")
    if type(version) is not int or version != FORMAT_VERSION:
        raise WeightsError(
            f"{name!r} has format version {version!r}, but this package reads {FORMAT_VERSION}: "
            "a newer vivit_lab wrote it."
        )
    fields = document.get("config")
    if not isinstance(fields, dict):
        raise WeightsError(f"{name!r} holds no configuration.")
    history = document.get("history", [])
    if not (isinstance(history, list) and all(isinstance(entry, dict) for entry in history)):
        raise WeightsError(f"{name!r} has a history that is not a list of dicts.")
    config = described_config(name, fields)
    try:
        names = checked_names(document.get("class_names"), config.num_classes)
    except (TypeError, ValueError) as reason:
        raise WeightsError(f"{name!r}: {reason}") from None
    return CheckpointInfo(config, names, history)

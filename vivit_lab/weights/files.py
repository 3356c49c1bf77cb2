"""Weights files, opened with care (never a pickle) and written whole or not at all."""

import json
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from vivit_lab.io import write_atomically
from vivit_lab.weights.report import WeightsError

WRAPPERS = ("state_dict", "model", "model_state_dict")  # where trainers keep the parameters
MOST_HEADER_BYTES = 100_000_000  # the safetensors format's own limit


def first_bytes(path: str | Path, count: int = 16) -> bytes:
    """The beginning of a weights file that may be opened.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: a folder, an empty file, or a pickle (which can run any code when opened).

    Example:
        >>> first_bytes("no_such_file")
        Traceback (most recent call last):
        FileNotFoundError: There is no file 'no_such_file'.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "not a plain file"
        raise WeightsError(f"{path.name!r} is {kind}, but must be a file of weights.")
    with open(path, "rb") as file:
        start = file.read(max(count, 512))
    if not start:
        raise WeightsError(f"{path.name!r} is empty.")
    if _looks_pickled(start):
        raise WeightsError(
            f"{path.name!r} is a pickle (PyTorch's .pt, .pth and .bin are, too). Opening one can "
            "run any program, so it stays closed: save the weights as .safetensors instead."
        )
    return start[:count]


def _looks_pickled(start: bytes) -> bool:
    header = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and header <= MOST_HEADER_BYTES:
        return False  # .safetensors, whose header's length may begin as a pickle does
    protocol_2_or_later = start[:1] == b"\x80" and start[1:2] in (
        b"\x02",
        b"\x03",
        b"\x04",
        b"\x05",
    )
    torch_zip = start.startswith(b"PK") and b"/data.pkl" in start
    protocol_0 = start[:2] in (b"(d", b"(l", b"cc", b"c_") or start[:9] == b"c__builtin"
    return protocol_2_or_later or torch_zip or protocol_0


def read_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a .safetensors file, and the text fields of its header.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: it is something else, or damaged; the message names the file and the reason.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_safetensors(f"{folder}/one.safetensors", {"w": torch.ones(2)}, {"by": "me"})
        ...     tensors, texts = read_safetensors(f"{folder}/one.safetensors")
        >>> tensors, texts["by"]
        ({'w': tensor([1., 1.])}, 'me')
    """
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def read_safetensors_header(path: str | Path) -> dict[str, str]:
    """The text fields of a .safetensors file's header, without its tensors.

    Raises:
        FileNotFoundError, WeightsError: as `read_safetensors`.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_safetensors(f"{folder}/one.safetensors", {"w": torch.ones(2)}, {"by": "me"})
        ...     read_safetensors_header(f"{folder}/one.safetensors")["by"]
        'me'
    """
    with _opened(path) as file:
        return dict(file.metadata() or {})


@contextmanager
def _opened(path: str | Path):
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    start = first_bytes(path)
    length = int.from_bytes(start[:8], "little")
    if start[8:9] != b"{" or length > MOST_HEADER_BYTES:
        raise WeightsError(f"{path.name!r} is not a .safetensors file, or its start is damaged.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            yield file
    except WeightsError:
        raise
    except (SafetensorError, ValueError, TypeError, RuntimeError, KeyError) as reason:
        raise WeightsError(f"{path.name!r} cannot be read: {reason}") from None


def write_safetensors(
    path: str | Path, tensors: Mapping[str, Tensor], texts: Mapping[str, str]
) -> None:
    """Write a .safetensors file completely or not at all.

    Args:
        tensors: by name; written in the dtype that they have.
        texts: fields for the header.

    Raises:
        OSError: the disk is full, the folder is not there. What was at `path` stays.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    def write(temporary: Path) -> None:
        on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        try:
            save_file(on_cpu, temporary, metadata={"format": "pt", **texts})
        except SafetensorError as reason:
            raise OSError(f"{str(path)!r} could not be written: {reason}") from None

    write_atomically(path, write)


def read_torch_pickle(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a PyTorch .bin or .pth file, read so that nothing in it can run.

    Where trainers keep them one level deeper ("state_dict", "model"), that level is opened; the
    "module." that data parallelism writes before every name is taken off.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: it is damaged, or holds anything beside tensors by name.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"w": torch.ones(2)}, f"{folder}/one.bin")
        ...     read_torch_pickle(f"{folder}/one.bin")
        {'w': tensor([1., 1.])}
    """
    import torch

    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as reason:  # a pickle can go wrong in any way
        raise WeightsError(
            f"{path.name!r} cannot be read as plain tensors ({type(reason).__name__}). What else "
            "it holds could run any program, so it stays closed."
        ) from None
    for wrapper in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in found.items()
    ):
        raise WeightsError(f"{path.name!r} must hold nothing but tensors by name.")
    return {name.removeprefix("module."): tensor for name, tensor in found.items()}


def read_json(path: str | Path) -> dict:
    """The object in a .json file.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: it is not JSON, or not an object.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "config.json")
        ...     _ = path.write_text('{"model_type": "vivit"}')
        ...     read_json(path)
        {'model_type': 'vivit'}
    """
    path = Path(path)
    first_bytes(path)
    return parse_json(path.read_bytes(), path.name)


def parse_json(text: str | bytes, name: str) -> dict:
    """The object that a JSON text holds, or a WeightsError that names it.

    Example:
        >>> parse_json("[1, 2]", "config.json")
        Traceback (most recent call last):
        vivit_lab.weights.report.WeightsError: config.json should hold a JSON object, but holds a \
list.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as reason:
        raise WeightsError(f"{name} is not sound JSON: {reason}") from None
    if not isinstance(found, dict):
        kind = type(found).__name__
        raise WeightsError(f"{name} should hold a JSON object, but holds a {kind}.")
    return found

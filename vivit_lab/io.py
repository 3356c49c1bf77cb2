"""Files written whole or not at all; JSON and .npz read with a clear error."""

import json
import os
import secrets
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

DAMAGE = (KeyError, TypeError, ValueError, AttributeError, OSError, EOFError)
DAMAGE += (zipfile.BadZipFile, zlib.error)  # what a broken .npz raises


def write_atomically(path: str | Path, content: str | bytes | Callable[[Path], object]) -> None:
    """Write `content` to a temporary file beside `path`, then put it there in one step.

    content: the text or the bytes, or a function that fills the temporary file. OSError: the disk
    is full, the folder is not there; what was at `path` stays.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        temporary.touch()
        rights = temporary.stat().st_mode  # those of any new file here; some writers keep it secret
        if callable(content):
            content(temporary)
        else:
            data = content.encode("utf-8") if isinstance(content, str) else content
            temporary.write_bytes(data)
        os.chmod(temporary, rights)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())  # on the disk before it gets its name
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path: str | Path) -> dict:
    """The object in a .json file; FileNotFoundError or ValueError, naming the file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    return parse_json(path.read_bytes(), path.name)


def parse_json(text: str | bytes, name: str) -> dict:
    """The object that a JSON text holds, or a ValueError that names it.

    >>> parse_json("[1, 2]", "config.json")
    Traceback (most recent call last):
    ValueError: config.json should hold a JSON object, but holds a list.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as reason:
        raise ValueError(f"{name} is not sound JSON: {reason}") from None
    if isinstance(found, dict):
        return found
    raise ValueError(f"{name} should hold a JSON object, but holds a {type(found).__name__}.")


def write_safetensors(path: str | Path, tensors: Mapping, texts: Mapping[str, str]) -> None:
    """Write tensors by name; `texts` are fields of the file's header."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    def write(temporary: Path) -> None:
        on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        try:
            save_file(on_cpu, temporary, metadata={"format": "pt", **texts})
        except SafetensorError as reason:
            raise OSError(f"{str(path)!r} could not be written: {reason}") from None

    write_atomically(path, write)


def npz_path(file: str | Path, things: str) -> Path:
    """The path of a file for things ("scores", "runs"); ValueError unless it ends in .npz."""
    file = Path(file)
    if file.suffix != ".npz":
        right = file.with_suffix(".npz").name
        raise ValueError(f"The file is {file.name!r}, but {things} end in .npz: {right!r}.")
    return file


def write_npz(file: Path, entry: str, about: dict, arrays: dict, *, compressed: bool) -> None:
    """Write arrays, and `about` as JSON under the name `entry`, into one .npz file."""
    import numpy as np

    save = np.savez_compressed if compressed else np.savez

    def write(path: Path) -> None:
        with open(path, "wb") as stream:
            save(stream, **{entry: np.array(json.dumps(about)), **arrays})

    write_atomically(file, write)


def read_npz(file: str | Path, entry: str, thing: str, version: int) -> tuple[dict, dict]:
    """What `write_npz` wrote: `about`, less its "format_version", and the arrays.

    thing: what the file should hold, for the messages. FileNotFoundError, or ValueError for a file
    that is damaged, holds something else, or is of another version.
    """
    import numpy as np

    if not Path(file).exists():
        raise FileNotFoundError(f"There is no file {str(file)!r}.")
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
        about = json.loads(str(arrays.pop(entry)))
        found = about.pop("format_version")
    except DAMAGE as reason:
        raise ValueError(
            f"{str(file)!r} holds no {thing}, or is damaged ({type(reason).__name__}: {reason})."
        ) from None
    if found != version:
        raise ValueError(
            f"{str(file)!r} has format version {found!r}, but this package reads {version}: "
            "a newer vivit_lab wrote it."
        )
    return about, arrays

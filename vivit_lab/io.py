"""Files written whole or not at all, and JSON read with a clear error."""

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: str | Path, content: str | bytes | Callable[[Path], object]) -> None:
    """Write `content` to a temporary file beside `path`, then put it there in one step.

    content: the text or the bytes, or a function that fills the temporary file. OSError: the disk
    is full, the folder is not there; what was at `path` stays.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "note.txt")
    ...     write_atomically(path, "all of it")
    ...     path.read_text(), len(list(Path(folder).iterdir()))
    ('all of it', 1)
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
    """The object in a .json file; FileNotFoundError or ValueError, naming the file.

    >>> read_json("no_such_file.json")
    Traceback (most recent call last):
    FileNotFoundError: There is no file 'no_such_file.json'.
    """
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
    if not isinstance(found, dict):
        kind = type(found).__name__
        raise ValueError(f"{name} should hold a JSON object, but holds a {kind}.")
    return found

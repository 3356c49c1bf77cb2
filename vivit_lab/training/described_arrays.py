"""Arrays and their description in one .npz file, with a version: stored scores, stored runs."""

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vivit_lab.io import write_atomically

DAMAGE = (KeyError, TypeError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error)


def npz_path(file: str | Path, things: str) -> Path:
    """A path for things ("scores", "runs"); ValueError unless it ends in .npz.

    >>> npz_path("scores.json", "scores")
    Traceback (most recent call last):
    ValueError: The file is 'scores.json', but scores end in .npz: 'scores.npz'.
    """
    file = Path(file)
    if file.suffix != ".npz":
        right = file.with_suffix(".npz").name
        raise ValueError(f"The file is {file.name!r}, but {things} end in .npz: {right!r}.")
    return file


def write_npz(
    file: Path,
    entry: str,
    about: Mapping,
    arrays: Mapping[str, np.ndarray],
    *,
    version: int,
    compressed: bool,
) -> None:
    """Write arrays, and `about` as JSON under the name `entry`; the file appears complete or not.

    Raises OSError if it cannot be written.
    """
    description = json.dumps({"format_version": version, **about})
    save = np.savez_compressed if compressed else np.savez

    def write(path: Path) -> None:
        with open(path, "wb") as stream:
            save(stream, **{entry: np.array(description), **arrays})

    write_atomically(file, write)


def read_npz(
    file: str | Path, entry: str, thing: str, *, version: int
) -> tuple[dict, dict[str, np.ndarray]]:
    """What `write_npz` wrote: the description, and the arrays.

    thing: what the file should hold, for the messages.

    Raises FileNotFoundError; ValueError for a file that is damaged, holds something else, or is of
    another version.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "a.npz")
    ...     write_npz(file, "about", {"n": 2}, {"x": np.ones(2)}, version=1, compressed=True)
    ...     about, arrays = read_npz(file, "about", "numbers", version=1)
    >>> about, arrays["x"].tolist()
    ({'n': 2}, [1.0, 1.0])
    """
    file = Path(file)
    if not file.exists():
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

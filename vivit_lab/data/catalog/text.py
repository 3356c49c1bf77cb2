"""Annotation files as text: UTF-8, or an error that says where it is not."""

import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from vivit_lab.data.catalog.segments import AnnotationError


def read_text(path: str | os.PathLike) -> str:
    """The text of a UTF-8 file; a byte order mark is dropped, line ends stay as they are.

    Raises FileNotFoundError, or AnnotationError if it is empty, no ordinary file, or not UTF-8.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such annotation file.")
    if not stat.S_ISREG(path.stat().st_mode):
        kind = "a folder" if path.is_dir() else "a pipe or a device"
        raise AnnotationError(f"this is {kind}, but must be a file.", path)
    data = path.read_bytes()
    if not data:
        raise AnnotationError("the file is empty (0 bytes).", path)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise AnnotationError(
            "the bytes at position 0 are the mark of UTF-16. Save the file as UTF-8, e.g. with: "
            "iconv -f UTF-16 -t UTF-8",
            path,
            line=1,
            column=1,
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = place_of(data, error.start, b"\n")
        raise AnnotationError(
            f"the byte 0x{data[error.start]:02x} at position {error.start} is not UTF-8. Save the "
            "file as UTF-8; from Western European Windows: iconv -f CP1252 -t UTF-8",
            path,
            line,
            column,
        ) from None
    if "\0" in text:
        line, column = place_of(text, text.index("\0"), "\n")
        raise AnnotationError(
            "there is a NUL byte. The file is damaged, or it is UTF-16: save it as UTF-8.",
            path,
            line,
            column,
        )
    if not text.strip():
        raise AnnotationError("there is nothing but blank lines.", path)
    return text


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """(line number, line) of those that are not blank, whatever the line ends."""
    lines = io.StringIO(text, newline=None)  # \n, \r\n and \r, and no other character
    for number, line in enumerate(lines, 1):
        if line := line.strip():
            yield number, line


def place_of(text: str | bytes, at: int, newline: str | bytes) -> tuple[int, int]:
    """(line, column) of a position, both from 1."""
    return text.count(newline, 0, at) + 1, at - text.rfind(newline, 0, at)

"""Annotation files as JSON, every item of a list with its line."""

import json
import os
import re
from collections.abc import Iterator

from vivit_lab.data.catalog.segments import AnnotationError
from vivit_lab.data.catalog.text import place_of, read_text


def read_json(path: str | os.PathLike) -> object:
    """A whole JSON file. Raises AnnotationError where it is broken; a key that comes twice is."""
    text = read_text(path)
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _distinct(pairs, text, path))
    except json.JSONDecodeError as error:
        raise _broken(error, path) from None
    except (RecursionError, ValueError) as error:
        if isinstance(error, AnnotationError):
            raise
        raise AnnotationError(f"this is no usable JSON ({error}).", path) from None


def json_items(path: str | os.PathLike) -> Iterator[tuple[int, object]]:
    """(line, item) of each item of a JSON list. Raises AnnotationError where it is broken."""
    text = read_text(path)
    space, decoder = re.compile(r"[ \t\r\n]*"), json.JSONDecoder()
    at = space.match(text).end()
    if text[at] != "[":
        raise AnnotationError("the file must be a JSON list, [...].", path, 1, at + 1)
    at, counted, line = space.match(text, at + 1).end(), 0, 1
    try:
        while text[at : at + 1] != "]":
            line, counted = line + text.count("\n", counted, at), at
            item, at = decoder.raw_decode(text, at)
            yield line, item
            at = space.match(text, at).end()
            if text[at : at + 1] == ",":
                at = space.match(text, at + 1).end()
                if text[at : at + 1] == "]":
                    raise json.JSONDecodeError("Another item expected after ','", text, at)
            elif text[at : at + 1] != "]":
                raise json.JSONDecodeError("Expecting ',' or ']' after an item", text, at)
        if (end := space.match(text, at + 1).end()) != len(text):
            raise json.JSONDecodeError("Extra text after the list", text, end)
    except json.JSONDecodeError as error:
        raise _broken(error, path) from None
    except (RecursionError, ValueError) as error:
        if isinstance(error, AnnotationError):
            raise
        raise AnnotationError(f"this is no usable JSON ({error}).", path, line) from None


def _broken(error: json.JSONDecodeError, path: str | os.PathLike) -> AnnotationError:
    return AnnotationError(
        f"the JSON is broken here ({error.msg}); the file may be cut short.",
        path,
        error.lineno,
        error.colno,
    )


def _distinct(pairs: list[tuple[str, object]], text: str, path: str | os.PathLike) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for place, key in enumerate(keys) if key in keys[:place])
        written = json.dumps(twice)
        at = text.find(written, text.find(written) + 1)
        line, column = place_of(text, at, "\n") if at > 0 else (None, None)
        raise AnnotationError(f"{twice!r} is there twice.", path, line, column)
    return found

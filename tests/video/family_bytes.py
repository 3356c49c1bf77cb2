"""Surgery on bytes: find a box of an mp4, overwrite it, put something in, make one."""

import struct
from pathlib import Path

SAMPLE_TABLE = ("moov", "trak", "mdia", "minf", "stbl")


def find_box(data: bytes, *names: str) -> tuple[int, int]:
    """Start and end of an mp4 box, found by its path, e.g. find_box(data, "moov", "trak")."""
    start, end = 0, len(data)
    for depth, name in enumerate(names):
        place = start if depth == 0 else start + 8
        while place < end:
            size, kind = struct.unpack_from(">I4s", data, place)
            header = 8
            if size == 1:
                (size,), header = struct.unpack_from(">Q", data, place + 8), 16
            if kind == name.encode():
                start, end = place, place + (size or end - place)
                break
            place += max(size, header)
        else:
            raise LookupError(f"no box {name} in {names}")
    return start, end


def replaced(source: Path, target: Path, old: bytes, new: bytes) -> Path:
    """A copy in which every `old` is a `new` of the same length; there must be one."""
    data = source.read_bytes()
    if old not in data or len(old) != len(new):
        raise LookupError(f"{source.name} has no {old!r} to replace by {new!r}")
    target.write_bytes(data.replace(old, new))
    return target


def inserted(source: Path, target: Path, *path: str, at: int, new: bytes) -> Path:
    """A copy of an mp4 whose moov comes last, with bytes put into the box at `path`, `at` bytes
    from its start; all boxes around it grow."""
    data = bytearray(source.read_bytes())
    starts = [find_box(data, *path[: depth + 1])[0] for depth in range(len(path))]
    for start in starts:
        (size,) = struct.unpack_from(">I", data, start)
        struct.pack_into(">I", data, start, size + len(new))
    data[starts[-1] + at : starts[-1] + at] = new
    target.write_bytes(data)
    return target


def box(name: str, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), name.encode()) + body

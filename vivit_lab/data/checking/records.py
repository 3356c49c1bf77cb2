"""The report file: JSON lines, one a video, written as the scan goes and read when it resumes."""

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

VERSION = 1


class ReportError(Exception):
    """The report cannot be written, or the file is something else."""


class Records:
    """What is known of each video by its path, kept in a file (or in memory only, path None).

    source: what is checked; a file that reports on something else is refused. restart: forget what
    the file knows. Raises ReportError.

    >>> records = Records(None, source="/data")
    >>> records.add({"path": "/data/a.mp4", "frames": 30})
    >>> records.known["/data/a.mp4"]["frames"]
    30
    """

    def __init__(self, path: str | os.PathLike | None, source: str, restart: bool = False):
        self.path, self.source = path and Path(path), source
        self.known: dict[str, dict] = {}
        self._file = None
        if self.path is None:
            return
        if self.path.suffix == ".txt":
            raise ReportError(f"the report {path} must not end in .txt: the table beside it does.")
        _refuse_special(self.path)
        try:
            new = not self.path.exists() or not self.path.stat().st_size
            if not new:
                self._load(restart)
            if new or restart:
                write_whole(self.path, [self._header(complete=False)])
            self._file = open(self.path, "r+b", buffering=0)  # noqa: SIM115
            self._end = self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise ReportError(_cannot(self.path, error)) from None

    def add(self, record: dict) -> None:
        """Remember one video. If the disk is full the file ends with the line before."""
        self.known[record["path"]] = record
        if self._file is None:
            return
        line = f"{json.dumps(record)}\n".encode("ascii")
        try:
            written = self._file.write(line)
            while written < len(line):
                written += self._file.write(line[written:])
            self._end += len(line)
        except OSError as error:
            with contextlib.suppress(OSError):  # /dev/full, say, cannot be made shorter
                self._file.truncate(self._end)
            raise ReportError(_cannot(self.path, error)) from None

    def finish(self, lines: Iterable[dict], counts: dict[str, int]) -> None:
        """Write the file anew, completely or not at all: what is true now, and no more."""
        if self.path is None:
            return
        self.close()
        text = [self._header(complete=True, **counts)]
        text += [f"{json.dumps(line)}\n" for line in lines]
        write_whole(self.path, text)

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _load(self, restart: bool) -> None:
        with open(self.path, "rb") as file:
            header = _parsed(file.readline())
            if header is None or header.get("vivit_lab_check") != VERSION:
                raise ReportError(
                    f"{self.path} is there, but is no report of this command. Choose another file "
                    "for the report (--report)."
                )
            if header["source"] != self.source and not restart:
                raise ReportError(
                    f"{self.path} is the report on {header['source']}. Choose another file for "
                    "this one (--report), or begin it anew (--restart)."
                )
            if restart:
                return
            end = file.tell()
            for line in file:
                record = _parsed(line)
                if record and "path" in record and "mtime_ns" in record:
                    self.known[record["path"]] = record
                end += len(line) if line.endswith(b"\n") else 0
        if end < self.path.stat().st_size:  # a run was killed in the middle of a line
            os.truncate(self.path, end)

    def _header(self, complete: bool, **counts: int) -> str:
        about = {"vivit_lab_check": VERSION, "source": self.source, "complete": complete, **counts}
        return f"{json.dumps(about)}\n"


def table_beside(path: Path) -> Path:
    """Where the readable table of a report goes."""
    return path.with_suffix(".txt")


def write_whole(path: Path, lines: Iterable[str]) -> None:
    """Write a text file, completely or not at all. Raises ReportError."""
    _refuse_special(path)
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise ReportError(_cannot(path, error)) from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def _refuse_special(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise ReportError(f"the report {path} cannot be written: it is a folder, or a device.")


def _parsed(line: bytes) -> dict | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _cannot(path: Path, error: OSError) -> str:
    return (
        f"the report {path} cannot be written: {error.strerror or error}. What was written before "
        "is kept. Make room, or choose another place (--report), and run the same again."
    )

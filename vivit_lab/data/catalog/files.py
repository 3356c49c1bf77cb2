"""Finding the videos that annotation files speak of: each folder is listed once, none is searched.

A name in an annotation file and a file on disk are the same where they are equal, or differ only in
the extension (`.avi` re-encoded as `.mp4`) or in spaces for underscores. Nothing else is guessed.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath, PureWindowsPath

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
    *(".flv", ".wmv", ".asf", ".3gp", ".3g2", ".ogv", ".gif", ".mxf", ".ivf", ".dv", ".vob"),
    *(".h264", ".hevc", ".apng"),
)


def is_video(name: str) -> bool:
    """Whether a file's name has the extension of a video, in capitals or not.

    >>> is_video("P01_101.MP4"), is_video("notes.txt")
    (True, False)
    """
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def stem(name: str) -> str:
    """A file's name without the extension of a video; other full stops belong to the name.

    >>> stem("v_1.2.avi"), stem("v_1.2")
    ('v_1.2', 'v_1.2')
    """
    return os.path.splitext(name)[0] if is_video(name) else name


def outside(relative: str) -> str | None:
    """Why a path of an annotation file may lead out of the data's folder, or None if it does not.

    Symbolic links inside the folder are followed: whoever owns the disk has put them there.

    >>> outside("../secret.mp4"), outside("C:/clip.mp4"), outside("jump/a..b.mp4")
    ("it has '..' in it", 'it is absolute', None)
    """
    windows = PureWindowsPath(relative)
    if PurePosixPath(relative).is_absolute() or windows.drive or windows.root:
        return "it is absolute"
    if ".." in relative.split("/") or ".." in windows.parts:
        return "it has '..' in it"
    return None


@dataclass
class Listing:
    """The names of the files and folders in one folder."""

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    @cached_property
    def alike_files(self) -> dict[str, list[str]]:
        """Loose name without the extension -> the names of the videos that it fits, sorted."""
        return _grouped((_loose(stem(name)), name) for name in self.files if is_video(name))

    @cached_property
    def alike_folders(self) -> dict[str, list[str]]:
        """Loose name -> the names of the folders that it fits, sorted."""
        return _grouped((_loose(name), name) for name in self.folders)


class Folders:
    """The folders below `root`, each listed when it is first asked about, and then remembered.

    Raises FileNotFoundError or NotADirectoryError if there is no folder `root`.
    """

    def __init__(self, root: str | os.PathLike):
        self.root = os.path.abspath(root)
        if not os.path.isdir(self.root):
            kind = NotADirectoryError if os.path.exists(self.root) else FileNotFoundError
            raise kind(f"root is {os.fspath(root)!r}, but there is no such folder.")
        self._listings: dict[str, Listing] = {}
        self._places: dict[str, list[str]] = {"": [self.root]}

    def listing(self, folder: str) -> Listing:
        """What lies in a folder (an absolute path); nothing where there is none."""
        if folder not in self._listings:
            self._listings[folder] = _list(folder)
        return self._listings[folder]

    def find(self, relative: str) -> list[str]:
        """Absolute paths of the video at `relative` to the root ("/" between folders), best first.

        Empty where there is none. More than one: no name is equal, and several are alike.
        """
        if "./" in relative or "//" in relative:
            relative = "/".join(part for part in relative.split("/") if part not in ("", "."))
        folder, _, name = relative.rpartition("/")
        alike = []
        for place in self._alike(folder):
            listing = self.listing(place)
            if name in listing.files:
                return [os.path.join(place, name)]
            names = listing.alike_files.get(_loose(stem(name)), ())
            alike += [os.path.join(place, each) for each in names]
        return alike

    def find_anywhere(self, path: str) -> list[str]:
        """As `find`, for a path that is absolute or has `..` in it."""
        folder, name = os.path.split(os.path.normpath(os.path.join(self.root, path)))
        return Folders(folder).find(name) if os.path.isdir(folder) else []

    def walk(self, depth: int | None = None) -> list[str]:
        """Every folder from the root down, sorted; `depth` levels at most; hidden ones left out."""
        found, level, seen = [], [self.root], set()
        while level and (depth is None or depth >= 0):
            below = []
            for folder in level:
                place = os.path.realpath(folder)  # a link may lead back up: not round in circles
                if place in seen:
                    continue
                seen.add(place)
                found.append(folder)
                names = self.listing(folder).folders
                below += [os.path.join(folder, n) for n in names if not n.startswith(".")]
            level, depth = below, None if depth is None else depth - 1
        return sorted(found)

    def videos(self, folder: str) -> list[str]:
        """Absolute paths of the videos in one folder, sorted; hidden ones left out."""
        names = (name for name in self.listing(folder).files if is_video(name))
        return [os.path.join(folder, name) for name in sorted(names) if name[0] != "."]

    def _alike(self, relative: str) -> list[str]:
        """Absolute paths of the folder at `relative`: the one of that name, or those alike."""
        if relative not in self._places:
            parent, _, name = relative.rpartition("/")
            places = []
            for place in self._alike(parent):
                listing = self.listing(place)
                if name in listing.folders:
                    places = [os.path.join(place, name)]
                    break
                alike = listing.alike_folders.get(_loose(name), ())
                places += [os.path.join(place, each) for each in alike]
            self._places[relative] = places
        return self._places[relative]

    def expected(self, relative: str) -> str:
        """Where a video that was not found should lie."""
        return os.path.join(self.root, relative)


def _list(folder: str) -> Listing:
    found = Listing()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    found.folders.add(entry.name)
                elif not entry.is_symlink() or os.path.exists(entry.path):  # no dangling link
                    found.files.add(entry.name)
    except (FileNotFoundError, NotADirectoryError):
        pass
    return found


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for key, name in sorted(pairs):
        groups.setdefault(key, []).append(name)
    return groups


def _loose(name: str) -> str:
    return name.replace(" ", "_")

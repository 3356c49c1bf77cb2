"""Where files lie: names that mean something elsewhere, links, and things that are no files."""

import os
import socket
import sys
from pathlib import Path

from family_entry import Entry
from family_writing import Workshop

NAMES = {
    "spaces": " two  spaces .mp4",
    "quotes": 'it\'s "quoted" `x` $(y).mp4',
    "percent": "frame%03d.mp4",  # FFmpeg's image2 takes it for a numbered series
    "colon": "http:clip.mp4",  # ... and this for a protocol
    "pipe_protocol": "pipe:0",
    "concat_protocol": "concat:a.mp4|b.mp4",
    "file_protocol": "file:clip.mp4",
    "glob": "*[1]{2}?.mp4",
    "dash": "-i.mp4",
    "backslash": "a\\b.mp4",
    "newline_tab": "two\tlines\u2028.mp4",
    "umlauts": "Über Größe ← 視頻.mp4",
    "hidden": ".mp4",
    "dots": "clip..mp4.",
    "250_bytes": "n" * 246 + ".mp4",
    "no_extension": "clip",
    "wrong_extension": "clip.avi",
    "picture_extension": "clip.jpg",  # FFmpeg's image2 takes it for a still picture
    "text_extension": "clip.txt",
    "playlist_extension": "clip.m3u8",
}


def called(label: str, name: str | bytes) -> Entry:
    """The base file under another name, in a folder of its own."""

    def make(shop: Workshop, path: Path) -> Path:
        folder = shop.folder / f"called {label}"
        folder.mkdir()
        target = folder / os.fsdecode(name)
        target.write_bytes(shop.h264.read_bytes())
        return target

    return Entry(f"called_{label}", "good", f"called {name!r}"[:60], make, is_file=False)


def place(name: str, kind: str, note: str, make) -> Entry:
    return Entry(name, kind, note, make, is_file=False)


def link_to(target: str):
    """A symbolic link to this path, which need not exist."""
    return lambda shop, path: path.symlink_to(target)


def relative_link(shop: Workshop, path: Path) -> None:
    path.symlink_to(os.path.relpath(shop.h264, path.parent))


def chain(shop: Workshop, path: Path) -> None:
    links = [shop.new(f"link {step}") for step in range(5)] + [path]
    for link, target in zip(links, [shop.h264, *links], strict=False):
        link.symlink_to(target)


def loop(shop: Workshop, path: Path) -> None:
    path.symlink_to(path.name + "2")
    path.with_name(path.name + "2").symlink_to(path.name)


def through_linked_folder(shop: Workshop, path: Path) -> Path:
    path.symlink_to(shop.h264.parent)
    return path / shop.h264.name


def forbidden(shop: Workshop, path: Path) -> None:
    path.write_bytes(shop.h264.read_bytes())
    path.chmod(0)


def listening_socket(shop: Workshop, path: Path) -> None:
    """A Unix socket; its name must be short, so that it is bound from within its folder."""
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def beside(shop: Workshop, path: Path) -> Path:
    """A path that goes on where a file ends."""
    path.write_bytes(shop.h264.read_bytes())
    return path / "clip.mp4"


CAN_READ_ANYTHING = hasattr(os, "geteuid") and os.geteuid() == 0  # so can root

PLACES = [
    *(called(label, name) for label, name in NAMES.items()),
    place("relative_link.mp4", "good", "a relative symbolic link", relative_link),
    place("chain_of_links.mp4", "good", "a link to a link to a link ...", chain),
    place("linked_folder", "good", "a folder on the way is a link", through_linked_folder),
    place("loop_of_links.mp4", "bad", "two links that point at each other", loop),
    place("dangling_link.mp4", "bad", "a link to nothing", link_to("nothing.mp4")),
    place("missing.mp4", "bad", "no such file", lambda shop, path: None),
    place("folder.mp4", "bad", "a folder", lambda shop, path: path.mkdir()),
    place("file_as_folder.mp4", "bad", "a path that goes on where a file ends", beside),
    place("name_too_long", "bad", "300 bytes", lambda shop, path: shop.folder / ("n" * 300)),
    place("nul_in_name", "bad", "a NUL in the name", lambda shop, path: shop.folder / "a\0b.mp4"),
    place(
        "no_permission.mp4",
        "good" if CAN_READ_ANYTHING else "bad",
        "nobody may read it; root may all the same",
        forbidden,
    ),
]
if hasattr(os, "mkfifo"):
    PLACES += [
        place(
            "pipe.mp4", "bad", "a named pipe that nobody writes to", lambda _, path: os.mkfifo(path)
        ),
        place("socket.mp4", "bad", "a socket", listening_socket),
        place("link_to_zero.mp4", "bad", "a link to an endless device", link_to("/dev/zero")),
        place("link_to_random.mp4", "bad", "another one", link_to("/dev/urandom")),
        place("link_to_null.mp4", "bad", "a link to an empty device", link_to("/dev/null")),
        place("link_to_folder.mp4", "bad", "a link to a folder", link_to(".")),
    ]
if sys.platform == "linux":
    PLACES += [
        called("non_utf8", b"caf\xe9 \xff.mp4"),
        place("link_to_full.mp4", "bad", "a device that is always full", link_to("/dev/full")),
        place(
            "link_to_proc.mp4",
            "bad",
            "a file of 0 bytes that has text in it",
            link_to("/proc/cpuinfo"),
        ),
        place(
            "link_to_memory.mp4",
            "bad",
            "a file whose beginning is not readable",
            link_to("/proc/self/mem"),
        ),
        place(
            "link_to_pagemap.mp4",
            "bad",
            "a file without end that says 0 bytes",
            link_to("/proc/self/pagemap"),
        ),
    ]

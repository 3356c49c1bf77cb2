"""Files that lie on purpose: pictures of monstrous size, impossible tables, other codecs."""

import struct
import zlib
from pathlib import Path

from family_bytes import SAMPLE_TABLE, box, find_box, replaced
from family_damage import source
from family_entry import Entry, bad, damaged, numbered
from family_no_video import holding
from family_writing import Workshop, clip, remux


def patched_table(name: str, offset: int, new: bytes, base: str = "fast_start"):
    """An mp4 with some bytes of a table of its index overwritten."""

    def make(shop: Workshop, path: Path) -> None:
        data = bytearray(getattr(shop, base).read_bytes())
        start = find_box(data, *SAMPLE_TABLE, name)[0] + offset
        data[start : start + len(new)] = new
        path.write_bytes(data)

    return make


def long_box(name: str, size: int, base: str = "fast_start"):
    """An mp4 in which a box says a 64-bit size that it cannot have."""

    def make(shop: Workshop, path: Path) -> None:
        data = getattr(shop, base).read_bytes()
        start, _ = find_box(data, name)
        header = struct.pack(">I4sQ", 1, name.encode(), size)
        path.write_bytes(data[:start] + header + data[start + 8 :])

    return make


def deep(shop: Workshop, path: Path) -> None:
    """Boxes in boxes, 20 000 of them."""
    data = b""
    for _ in range(20_000):
        data = struct.pack(">I4s", 8 + len(data), b"moov") + data
        if len(data) > 160_000:
            break
    path.write_bytes(box("ftyp", b"isom", bytes(4), b"isom") + data)


def endless_element(shop: Workshop, path: Path) -> None:
    """A Matroska element near the end says that it has 2^56 - 2 bytes."""
    remux(path, shop.rich)
    data = bytearray(path.read_bytes())
    start = data.rindex(bytes.fromhex("1f43b675"))  # Cluster
    data[start + 4 : start + 12] = b"\x01" + b"\xff" * 6 + b"\xfe"
    path.write_bytes(data)


def foreign_index(shop: Workshop, path: Path) -> None:
    """The index of one file before the pictures of another."""
    other = clip(
        shop.new("foreign.mp4"), options={"g": "5"}, drawn=lambda n, h, w: numbered(n + 99, h, w)
    )
    index, pictures = source(shop, "mp4").read_bytes(), other.read_bytes()
    start, _ = find_box(index, "mdat")
    path.write_bytes(index[:start] + pictures[slice(*find_box(pictures, "mdat"))])


def encrypted(shop: Workshop, path: Path) -> None:
    """As shops sell them: the pictures are there, the key is not."""
    secret = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "ab" * 16,
        "encryption_kid": "cd" * 16,
    }
    remux(path, shop.h264, options=secret)


def gif_bomb(shop: Workshop, path: Path) -> None:
    """35 bytes that ask for 256 million pixels."""
    header = b"GIF89a" + struct.pack("<HH", 16000, 16000) + b"\x80\0\0\0\0\0\xff\xff\xff"
    path.write_bytes(header + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;")


def png_bomb(shop: Workshop, path: Path) -> None:
    """An animated PNG of 60000x60000 zeros, which compress well."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    size = struct.pack(">II", 60_000, 60_000)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", size + bytes([8, 2, 0, 0, 0]))
        + chunk(b"acTL", struct.pack(">II", 1, 0))
        + chunk(b"fcTL", struct.pack(">I", 0) + size + struct.pack(">IIHHBB", 0, 0, 1, 25, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(10_000_000)))
        + chunk(b"IEND", b"")
    )


def jpeg_bomb(shop: Workshop, path: Path) -> None:
    """Motion JPEG whose second picture says that it has 65500x65500 pixels."""
    data = bytearray(source(shop, "mjpeg.avi").read_bytes())
    first = data.index(b"\xff\xc0")
    second = data.index(b"\xff\xc0", first + 2)
    data[second + 5 : second + 9] = struct.pack(">HH", 65_500, 65_500)
    path.write_bytes(data)


FORGED = [
    Entry("bomb.gif", "bad", "35 bytes, 256 million pixels", gif_bomb),
    bad("bomb.png", "60000x60000", png_bomb),
    bad("bomb.y4m", "65535x65535", holding("YUV4MPEG2 W65535 H65535 F25:1 C420\nFRAME\n")),
    damaged("bomb_inside.avi", "the second picture says 65500x65500", jpeg_bomb),
    damaged(
        "sizes_2_31.mp4",
        "the table of sizes claims 2^31 - 1 pictures",
        patched_table("stsz", 16, b"\x7f\xff\xff\xff"),
    ),
    damaged(
        "times_2_31.mp4",
        "the table of times claims 2^31 entries",
        patched_table("stts", 12, b"\x80\0\0\0"),
    ),
    damaged(
        "times_2_32.mp4",
        "one step of the table of times is repeated 2^32 - 1 times",
        patched_table("stts", 16, b"\xff" * 4),
    ),
    damaged(
        "offsets_2_31.mp4",
        "the table of places claims 2^31 - 1 entries",
        patched_table("stco", 12, b"\x7f\xff\xff\xff"),
    ),
    damaged(
        "chunks_2_31.mp4",
        "a chunk claims 2^31 - 1 pictures",
        patched_table("stsc", 20, b"\x7f\xff\xff\xff"),
    ),
    damaged(
        "huge_picture.mp4", "a picture claims 2 GB", patched_table("stsz", 32, b"\x7f\xff\xff\xf0")
    ),
    damaged("empty_picture.mp4", "a picture of 0 bytes", patched_table("stsz", 32, bytes(4))),
    damaged(
        "place_beyond.mp4",
        "pictures lie behind the end of the file",
        patched_table("stco", 16, b"\x7f\0\0\0"),
    ),
    damaged("place_zero.mp4", "pictures lie at its beginning", patched_table("stco", 16, bytes(4))),
    damaged("box_2_63.mp4", "moov says 2^63 - 1 bytes", long_box("moov", 2**63 - 1)),
    damaged("box_2_64.mp4", "moov says 2^64 - 1 bytes", long_box("moov", 2**64 - 1)),
    damaged(
        "mdat_2_63.mp4",
        "mdat says 2^63 - 8 bytes, and moov follows",
        long_box("mdat", 2**63 - 8, "h264"),
    ),
    damaged("endless_element.mkv", "a cluster says 2^56 - 2 bytes", endless_element),
    bad("deep.mp4", "boxes in boxes in boxes", deep),
    bad("encrypted.mp4", "encrypted", encrypted),
    bad(
        "unknown_codec.mp4",
        "a codec that nobody knows",
        lambda s, path: replaced(s.h264, path, b"avc1", b"zz9z"),
    ),
    bad(
        "unknown_codec.mkv",
        "a codec that nobody knows",
        lambda shop, path: replaced(
            remux(shop.new("k.mkv"), shop.h264), path, b"V_MPEG4/ISO/AVC", b"V_MPEG9/XYZ/ABC"
        ),
    ),
    bad(
        "unknown_codec.avi",
        "a codec that nobody knows",
        lambda s, path: replaced(s.mpeg4, path, b"FMP4", b"ZZ9Z"),
    ),
    damaged(
        "wrong_codec.mp4",
        "H.264 that says it is HEVC",
        lambda s, path: replaced(s.h264, path, b"avc1", b"hvc1"),
    ),
    damaged("foreign_index.mp4", "the index of one file, the pictures of another", foreign_index),
]

"""How pictures are coded today: H.264, HEVC, AV1, VP8 and VP9, and sizes from 1x1 to 8K."""

from pathlib import Path

from family_entry import FRAMES, HEIGHT, WIDTH, Entry, grey, large, shade, wrapping
from family_writing import Workshop, clip, remux
from PIL import Image


def coded(name: str, note: str, **settings) -> Entry:
    """A good file written by `clips.write_clip` with these settings."""
    facts = {
        key: settings.pop(key) for key in ("code", "numbers", "pixel_aspect") if key in settings
    }
    size = settings.get("height", HEIGHT), settings.get("width", WIDTH)
    numbers = facts.pop("numbers", range(settings.get("frames", FRAMES)))
    return Entry(name, "good", note, lambda _, path: clip(path, **settings), numbers, size, **facts)


def x264(**params) -> dict:
    """Options for libx264: its own by their own names, `_` for `-`."""
    params = {"b_adapt": 0, "scenecut": 0, "mbtree": 0, **params}
    listed = ":".join(f"{key.replace('_', '-')}={value}" for key, value in params.items())
    return {"x264-params": listed}


def x265(**params) -> dict:
    quiet = {"log_level": "error", "pools": "none", "keyint": 8, "bframes": 2, "scenecut": 0}
    listed = {key.replace("_", "-"): value for key, value in {**quiet, **params}.items()}
    return {"preset": "ultrafast", "x265-params": ":".join(f"{k}={v}" for k, v in listed.items())}


def smallest_gif(shop: Workshop, path: Path) -> None:
    pictures = [Image.fromarray(shade(number, 1, 1)) for number in range(FRAMES)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)


def begins_without_idr(shop: Workshop, path: Path) -> None:
    """Picture 8 on: where the intra refresh of the second period starts to roll."""
    whole = clip(shop.new("refresh.ts"), options=REFRESH)
    remux(path, whole, change=lambda place, packet: place >= 8)


REFRESH = {"bf": "0", **x264(intra_refresh=1, keyint=8, bframes=0)}
OPEN = {"open_gop": 1, "bframes": 4, "b_pyramid": 2, "keyint": 8}
BITS = {"b": "2M"}
VPX = {"deadline": "realtime", "cpu-used": "8", "g": "8", "b": "2M"}
AV1 = {"preset": "8", "g": "8", "crf": "20", "svtav1-params": "lp=1"}


CODECS = [
    # H.264
    coded("h264_b_pictures.mp4", "coding order differs from showing order"),
    coded("h264_keys_only.mp4", "every picture is a key picture", options={"g": "1", "bf": "0"}),
    coded(
        "h264_one_key_in_3000.mp4",
        "one key picture in 3000",
        frames=3000,
        drawn=wrapping,
        numbers=[number % 1024 for number in range(3000)],
        options={"g": "9999", "preset": "ultrafast"},
    ),
    coded(
        "h264_open_gop.mp4",
        "pictures after a key picture in the file, shown before it, need the one before",
        frames=40,
        options=x264(**OPEN),
    ),
    coded("h264_open_gop.ts", "the same without an index", frames=40, options=x264(**OPEN)),
    coded(
        "h264_16_b_pictures.mkv",
        "a deep pyramid of B pictures and four references",
        frames=50,
        options={"bf": "16", "g": "48", **x264(b_pyramid=2, ref=4)},
    ),
    coded(
        "h264_intra_refresh.mp4",
        "key pictures that are clean only eight pictures later",
        options=REFRESH,
    ),
    coded("h264_interlaced.mp4", "two fields a picture", options=x264(tff=1)),
    coded(
        "h264_fake_interlaced.mp4",
        "whole pictures marked as fields",
        options=x264(fake_interlaced=1),
    ),
    coded("h264_pulldown.mkv", "3:2 pulldown marks", options=x264(pulldown=32)),
    coded("h264_four_slices.mp4", "four slices a picture", options=x264(slices=4)),
    coded(
        "h264_weighted.mp4", "weighted prediction, eight references", options=x264(weightp=2, ref=8)
    ),
    coded("h264_lossless.mp4", "QP 0, High 4:4:4 Predictive", options={"qp": "0", "crf": "0"}),
    coded("h264_422.mp4", "4:2:2", pix_fmt="yuv422p"),
    coded("h264_444_odd.mp4", "4:4:4, an odd size", pix_fmt="yuv444p", height=65, width=115),
    coded("h264_10_bit.mp4", "10 bits", pix_fmt="yuv420p10le"),
    coded("h264_full_range.mp4", "0..255, as phones and cameras have it", pix_fmt="yuvj420p"),
    coded("h264_grey.mp4", "no colour", pix_fmt="gray", drawn=grey, code="grey"),
    coded("h264_rgb.mp4", "coded as red, green and blue", codec="libx264rgb", pix_fmt="rgb24"),
    coded(
        "h264_sar_2to1.mp4",
        "pixels twice as wide as high",
        options=x264(sar="2/1"),
        pixel_aspect=2.0,
    ),
    coded(
        "h264_sar_huge.mkv",
        "PAL widescreen, 64:45",
        options=x264(sar="64/45"),
        pixel_aspect=64 / 45,
    ),
    # not from the beginning
    Entry(
        "h264_intra_refresh_no_idr.ts",
        "damaged",
        "a recording of periodic intra refresh that has no IDR picture at all",
        begins_without_idr,
        numbers=range(8, FRAMES),
    ),
    # sizes
    Entry("size_1x1.gif", "good", "1x1", smallest_gif, size=(1, 1), code="shade"),
    coded(
        "size_1x1.mkv",
        "1x1, FFV1",
        codec="ffv1",
        pix_fmt="bgr0",
        height=1,
        width=1,
        drawn=shade,
        code="shade",
    ),
    coded("size_2x2.mp4", "2x2", height=2, width=2, drawn=shade, code="shade"),
    coded("size_16x16.mp4", "one macroblock", height=16, width=16, drawn=shade, code="shade"),
    coded("size_wide.mp4", "2048x32", height=32, width=2048),
    coded("size_tall.mp4", "112x1024", height=1024, frames=4),
    coded(
        "size_vp8_odd.webm",
        "an odd size in 4:2:0",
        codec="libvpx",
        options=VPX,
        height=65,
        width=113,
    ),
    coded(
        "size_4k.mp4",
        "3840x2160",
        height=2160,
        width=3840,
        frames=2,
        drawn=large,
        options={"preset": "ultrafast", "crf": "40"},
    ),
    coded(
        "size_8k.mp4",
        "7680x4320",
        height=4320,
        width=7680,
        frames=1,
        drawn=large,
        codec="mjpeg",
        pix_fmt="yuvj420p",
        options={"qmin": "24"},
    ),
    # HEVC, AV1, VP8, VP9
    coded("hevc.mp4", "HEVC", codec="libx265", options=x265()),
    coded("hevc.ts", "HEVC in a transport stream", codec="libx265", options=x265()),
    coded(
        "hevc_open_gop.mp4",
        "open groups: CRA pictures with leading ones (RASL)",
        codec="libx265",
        options=x265(open_gop=1, bframes=4, b_adapt=0),
    ),
    coded(
        "hevc_open_gop.ts",
        "the same without an index",
        codec="libx265",
        options=x265(open_gop=1, bframes=4, b_adapt=0),
    ),
    coded(
        "hevc_hdr.mp4",
        "10 bits, BT.2020, PQ, as phones record",
        codec="libx265",
        pix_fmt="yuv420p10le",
        options=x265(colorprim="bt2020", transfer="smpte2084", colormatrix="bt2020nc", hdr10=1),
    ),
    coded("av1.mp4", "AV1", codec="libsvtav1", options=AV1),
    coded("av1.webm", "AV1 in WebM", codec="libsvtav1", options=AV1),
    coded("av1_10_bit.mkv", "AV1, 10 bits", codec="libsvtav1", pix_fmt="yuv420p10le", options=AV1),
    coded(
        "vp9_12_fps.webm",
        "VP9 at 12 fps, as Something-Something has it",
        codec="libvpx-vp9",
        options=VPX,
        rate=12,
    ),
    coded(
        "vp9_hidden_frames.webm",
        "VP9 with hidden alternate reference pictures",
        codec="libvpx-vp9",
        options={
            "deadline": "good",
            "cpu-used": "5",
            "g": "12",
            "auto-alt-ref": "1",
            "lag-in-frames": "12",
            "b": "500k",
        },
    ),
    coded("vp9_444.webm", "VP9 profile 1", codec="libvpx-vp9", pix_fmt="yuv444p", options=VPX),
    coded("vp8.webm", "VP8", codec="libvpx", options=VPX),
    coded(
        "vp8_hidden_frames.webm",
        "VP8 with hidden alternate reference pictures",
        codec="libvpx",
        options={
            "deadline": "good",
            "cpu-used": "5",
            "g": "12",
            "auto-alt-ref": "1",
            "lag-in-frames": "12",
            "b": "500k",
        },
    ),
    coded("vp8.ogv", "VP8 in Ogg", codec="libvpx", options=VPX),
]

# ruff: noqa: F403, F405 - the tools of family_making have names that speak for themselves
"""How pictures are coded: today, before, in cameras, studios, on the web; from 1x1 to 8K."""

from pathlib import Path

import numpy as np
from family_making import *
from PIL import Image


def coded(name: str, *parts: dict, **settings) -> Entry:
    """A good file written by `clips.write_clip` with these settings."""
    for part in reversed(parts):
        settings = {**part, **settings}
    known = ("code", "numbers", "pixel_aspect", "seconds")
    facts = {key: settings.pop(key) for key in known if key in settings}
    size = settings.get("height", HEIGHT), settings.get("width", WIDTH)
    numbers = facts.pop("numbers", range(settings.get("frames", FRAMES)))
    return good(name, of(**settings), numbers, size, **facts)


def each_coded(names: str, *parts: dict, **settings) -> list[Entry]:
    """Several files of the same settings, by their names."""
    return [coded(name, *parts, **settings) for name in names.split()]


def with_holes(number: int) -> Image.Image:
    """Paints only the columns that changed since the picture before, through a transparent mask."""
    indices, before = (
        np.where(np.asarray(flat(n))[..., 0] > 128, 1, 2).astype(np.uint8)
        for n in (number, max(number - 1, 0))
    )
    frame = Image.fromarray(np.where(indices == before, 0, indices) if number else indices, "P")
    frame.putpalette([0, 0, 0, *BRIGHT, *DARK])
    return frame


def begins_without_idr(shop: Workshop, path: Path) -> None:
    """Picture 8 on: where the intra refresh of the second period starts to roll."""
    whole = clip(shop.new("refresh.ts"), options=REFRESH)
    remux(path, whole, change=without(*range(8)))


REFRESH = {"bf": "0", **x264(intra_refresh=1, keyint=8, bframes=0)}
OPEN = {"frames": 40, "options": x264(open_gop=1, bframes=4, b_pyramid=2, keyint=8)}
HEVC_OPEN = {"codec": "libx265", "options": x265(open_gop=1, bframes=4, b_adapt=0)}
HDR = x265(colorprim="bt2020", transfer="smpte2084", colormatrix="bt2020nc", hdr10=1)
DEEP = {"bf": "16", "g": "48", **x264(b_pyramid=2, ref=4)}
ONE_KEY = {"frames": 3000, "drawn": later(0), "numbers": [n % 1024 for n in range(3000)]}
ONE_KEY["options"] = {"g": "9999", "preset": "ultrafast"}
STEADY = [number / 25 for number in range(FRAMES)]
SHADES = {"drawn": shade, "code": "shade"}
HIDDEN = {"deadline": "good", "cpu-used": "5", "g": "12", "b": "500k"}
HIDDEN |= {"auto-alt-ref": "1", "lag-in-frames": "12"}
INTERLACED = {"codec": "mpeg2video"}
INTERLACED["options"] = {"flags": "+ildct+ilme", "top": "1", **MPEG}

CODED = [
    # H.264
    coded("h264_b_pictures.mp4"),  # coding order differs from showing order
    coded("h264_keys_only.mp4", options={"g": "1", "bf": "0"}),
    coded("h264_one_key_in_3000.mp4", ONE_KEY),
    # pictures that follow a key picture in the file, but are shown before it
    *each_coded("h264_open_gop.mp4 h264_open_gop.ts", OPEN),
    coded("h264_16_b_pictures.mkv", frames=50, options=DEEP),  # a deep pyramid, four references
    coded("h264_intra_refresh.mp4", options=REFRESH),  # keys that are clean eight pictures later
    damaged("h264_intra_refresh_no_idr.ts", begins_without_idr, numbers=range(8, FRAMES)),
    coded("h264_interlaced.mp4", options=x264(tff=1)),  # two fields a picture
    coded("h264_fake_interlaced.mp4", options=x264(fake_interlaced=1)),  # only marked as fields
    coded("h264_pulldown.mkv", options=x264(pulldown=32)),
    coded("h264_four_slices.mp4", options=x264(slices=4)),
    coded("h264_weighted.mp4", options=x264(weightp=2, ref=8)),
    coded("h264_lossless.mp4", options={"qp": "0", "crf": "0"}),  # High 4:4:4 Predictive
    coded("h264_422.mp4", pix_fmt="yuv422p"),
    coded("h264_444_odd.mp4", pix_fmt="yuv444p", height=65, width=115),
    coded("h264_10_bit.mp4", pix_fmt="yuv420p10le"),
    coded("h264_full_range.mp4", pix_fmt="yuvj420p"),  # 0..255, as phones and cameras have it
    coded("h264_grey.mp4", pix_fmt="gray", drawn=grey, code="grey"),
    coded("h264_rgb.mp4", codec="libx264rgb", pix_fmt="rgb24"),
    coded("h264_sar_2to1.mp4", options=x264(sar="2/1"), pixel_aspect=2.0),  # wide pixels
    coded("h264_sar_huge.mkv", options=x264(sar="64/45"), pixel_aspect=64 / 45),  # PAL
    # sizes
    good("size_1x1.gif", drawn_by_pillow(lambda number: Image.fromarray(shade(number, 1, 1))),
         size=(1, 1), code="shade"),
    coded("size_1x1.mkv", SHADES, codec="ffv1", pix_fmt="bgr0", height=1, width=1),
    coded("size_2x2.mp4", SHADES, height=2, width=2),
    coded("size_16x16.mp4", SHADES, height=16, width=16),  # one macroblock
    coded("size_wide.mp4", height=32, width=2048),
    coded("size_tall.mp4", height=1024, frames=4),
    coded("size_vp8_odd.webm", VP8, height=65, width=113),  # an odd size in 4:2:0
    coded("size_4k.mp4", height=2160, width=3840, frames=2, drawn=large,
          options={"preset": "ultrafast", "crf": "40"}),
    coded("size_8k.mp4", JPEG, height=4320, width=7680, frames=1, drawn=large,
          options={"qmin": "24"}),
    # HEVC, AV1, VP8, VP9; last the raw ones
    *each_coded("hevc.mp4 hevc.ts", HEVC),
    *each_coded("hevc_open_gop.mp4 hevc_open_gop.ts", HEVC_OPEN),  # CRA, leading pictures (RASL)
    coded("hevc_hdr.mp4", codec="libx265", pix_fmt="yuv420p10le", options=HDR),  # BT.2020, PQ
    *each_coded("av1.mp4 av1.webm av1.ivf raw.obu", AV1),
    coded("av1_10_bit.mkv", AV1, pix_fmt="yuv420p10le"),
    coded("vp9.ivf", VP9),
    coded("vp9_12_fps.webm", VP9, rate=12),  # as Something-Something has it
    coded("vp9_hidden_frames.webm", VP9, options=HIDDEN),  # alternate references, never shown
    coded("vp9_444.webm", VP9, pix_fmt="yuv444p"),
    *each_coded("vp8.webm vp8.ogv", VP8),
    coded("vp8_hidden_frames.webm", VP8, options=HIDDEN),
    # the older ones
    coded("mpeg1.mpg", MPEG1),
    *each_coded("mpeg2_interlaced.mpg mpeg2_interlaced.ts", INTERLACED),
    *each_coded("mpeg2.vob mpeg2.mxf raw.m2v", MPEG2),  # a DVD's; as broadcasters have it
    # AVI has no times for B pictures
    *each_coded("mpeg4_b_pictures.avi mpeg4_b_pictures.mp4", MPEG4, options=MPEG),
    coded("mpeg4_long_gop.avi", MPEG4, options={"g": "200", **BITS}),  # as UCF101: few keys
    coded("msmpeg4.avi", codec="msmpeg4", options=NO_B),  # Microsoft's MPEG-4 (DivX 3)
    coded("wmv2.wmv", WMV2),
    coded("flv1.flv", codec="flv1", options=NO_B),  # Sorenson H.263 in Flash
    coded("h263.3gp", codec="h263", height=144, width=176, pixel_aspect=12 / 11, options=NO_B),
    *each_coded("mjpeg.avi raw.mjpeg", JPEG),
    coded("mjpeg.mov", JPEG, pix_fmt="yuvj422p"),
    coded("huffyuv.avi", codec="huffyuv", pix_fmt="rgb24"),
    coded("raw_rgb.avi", codec="rawvideo", pix_fmt="bgr24", frames=8),  # upside down
    coded("ffv1.mkv", codec="ffv1", pix_fmt="yuv444p"),
    coded("prores.mov", codec="prores_ks", pix_fmt="yuv422p10le"),
    coded("dnxhd.mov", codec="dnxhd", pix_fmt="yuv422p", height=128, width=256, frames=4,
          options={"profile": "dnxhr_sq"}),
    coded("dv.dv", codec="dvvideo", height=576, width=720, frames=4, pixel_aspect=16 / 15),
    # with alpha
    coded("vp9_alpha.webm", drawn=fading, codec="libvpx-vp9", pix_fmt="yuva420p"),
    coded("vp8_alpha.webm", drawn=fading, codec="libvpx", pix_fmt="yuva420p",
          options={"auto-alt-ref": "0"}),
    coded("prores_alpha.mov", drawn=fading, codec="prores_ks", pix_fmt="yuva444p10le"),
    coded("qtrle_alpha.mov", drawn=fading, codec="qtrle", pix_fmt="argb"),
    # moving pictures of the web
    good("gif_local_palettes.gif", gif(100)),  # a palette for each picture
    good("gif_no_delay.gif", gif(0)),
    good("gif_uneven.gif", gif([20, 500, 40, 100] * 6)),
    good("gif_transparent.gif",
         drawn_by_pillow(with_holes, transparency=0, disposal=1, optimize=False)),
    coded("animated.png", drawn=fading, codec="apng", pix_fmt="rgba", format="apng"),
    *(either(f"animated.{ending}", drawn_by_pillow(flat)) for ending in ("webp", "avif")),
    # without a container: neither sizes nor times
    coded("raw.h264", seconds=STEADY),
    coded("raw.hevc", HEVC, seconds=STEADY),
    coded("raw.m1v", codec="mpeg1video", options=NO_B),
    coded("raw.m4v", MPEG4),
    coded("raw.y4m", codec="wrapped_avframe", pix_fmt="yuv420p"),  # a line of text before each
]  # fmt: skip

# ruff: noqa: F403, F405 - the tools of family_making have names that speak for themselves
"""How pictures are coded: today, before, in cameras, studios, on the web; from 1x1 to 8K."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from family_making import *
from PIL import Image


def coded(name: str, note: str, *parts: dict, **settings) -> Entry:
    """A good file written by `clips.write_clip` with these settings."""
    for part in reversed(parts):
        settings = {**part, **settings}
    known = ("code", "numbers", "pixel_aspect", "seconds")
    facts = {key: settings.pop(key) for key in known if key in settings}
    size = settings.get("height", HEIGHT), settings.get("width", WIDTH)
    numbers = facts.pop("numbers", range(settings.get("frames", FRAMES)))
    return good(name, note, lambda _, path: clip(path, **settings), numbers, size, **facts)


def transparent(codec: str, pix_fmt: str, format: str | None = None, **options):
    """Pictures of which the left half is quite opaque and the right half fades away."""

    def make(shop: Workshop, path: Path) -> None:
        with av.open(str(path), "w", format=format) as container:
            stream = container.add_stream(codec, rate=25, options=options)
            stream.pix_fmt, stream.height, stream.width = pix_fmt, HEIGHT, WIDTH
            alpha = np.linspace(510, 40, WIDTH).clip(0, 255) * np.ones((HEIGHT, 1))
            for number in range(FRAMES):
                image = np.dstack([numbered(number, HEIGHT, WIDTH), alpha.astype(np.uint8)])
                frame = av.VideoFrame.from_ndarray(image, format="rgba")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())

    return make


def drawn_by_pillow(pictures, **settings):
    def make(shop: Workshop, path: Path) -> None:
        first, *rest = pictures()
        first.save(path, save_all=True, append_images=rest, duration=40, **settings)

    return make


def flats() -> list[Image.Image]:
    return [flat(number) for number in range(FRAMES)]


def smallest() -> list[Image.Image]:
    return [Image.fromarray(shade(number, 1, 1)) for number in range(FRAMES)]


def with_holes() -> list[Image.Image]:
    """Each picture paints only the columns that changed, through a transparent mask."""
    pictures, before = [], None
    for picture in flats():
        indices = np.where(np.asarray(picture)[..., 0] > 128, 1, 2).astype(np.uint8)
        holes = indices if before is None else np.where(indices == before, 0, indices)
        frame = Image.fromarray(holes, "P")
        frame.putpalette([0, 0, 0, 236, 200, 80, 24, 40, 110])
        pictures.append(frame)
        before = indices
    return pictures


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
STEADY = [number / 25 for number in range(FRAMES)]
SHADES = {"drawn": shade, "code": "shade"}
HIDDEN = {"deadline": "good", "cpu-used": "5", "g": "12", "b": "500k"}
HIDDEN |= {"auto-alt-ref": "1", "lag-in-frames": "12"}
INTERLACED = {"codec": "mpeg2video"}
INTERLACED["options"] = {"flags": "+ildct+ilme", "top": "1", **MPEG}

CODED = [
    # H.264
    coded("h264_b_pictures.mp4", "coding order differs from showing order"),
    coded("h264_keys_only.mp4", "key pictures only", options={"g": "1", "bf": "0"}),
    coded("h264_one_key_in_3000.mp4", "one key picture in 3000", ONE_KEY,
          options={"g": "9999", "preset": "ultrafast"}),
    coded("h264_open_gop.mp4", "pictures after a key picture, shown before it", OPEN),
    coded("h264_open_gop.ts", "the same without an index", OPEN),
    coded("h264_16_b_pictures.mkv", "a deep pyramid, four references", frames=50, options=DEEP),
    coded("h264_intra_refresh.mp4", "keys that are clean eight pictures later", options=REFRESH),
    coded("h264_interlaced.mp4", "two fields a picture", options=x264(tff=1)),
    coded("h264_fake_interlaced.mp4", "marked as fields", options=x264(fake_interlaced=1)),
    coded("h264_pulldown.mkv", "3:2 pulldown marks", options=x264(pulldown=32)),
    coded("h264_four_slices.mp4", "four slices a picture", options=x264(slices=4)),
    coded("h264_weighted.mp4", "weighted, eight references", options=x264(weightp=2, ref=8)),
    coded("h264_lossless.mp4", "High 4:4:4 Predictive", options={"qp": "0", "crf": "0"}),
    coded("h264_422.mp4", "4:2:2", pix_fmt="yuv422p"),
    coded("h264_444_odd.mp4", "4:4:4, an odd size", pix_fmt="yuv444p", height=65, width=115),
    coded("h264_10_bit.mp4", "10 bits", pix_fmt="yuv420p10le"),
    coded("h264_full_range.mp4", "0..255, as phones and cameras have it", pix_fmt="yuvj420p"),
    coded("h264_grey.mp4", "no colour", pix_fmt="gray", drawn=grey, code="grey"),
    coded("h264_rgb.mp4", "red, green and blue", codec="libx264rgb", pix_fmt="rgb24"),
    coded("h264_sar_2to1.mp4", "wide pixels", options=x264(sar="2/1"), pixel_aspect=2.0),
    coded("h264_sar_huge.mkv", "PAL", options=x264(sar="64/45"), pixel_aspect=64 / 45),
    damaged("h264_intra_refresh_no_idr.ts", "periodic intra refresh, no IDR picture at all",
            begins_without_idr, numbers=range(8, FRAMES)),
    # sizes
    good("size_1x1.gif", "1x1", drawn_by_pillow(smallest), size=(1, 1), code="shade"),
    coded("size_1x1.mkv", "FFV1", SHADES, codec="ffv1", pix_fmt="bgr0", height=1, width=1),
    coded("size_2x2.mp4", "2x2", SHADES, height=2, width=2),
    coded("size_16x16.mp4", "one macroblock", SHADES, height=16, width=16),
    coded("size_wide.mp4", "2048x32", height=32, width=2048),
    coded("size_tall.mp4", "112x1024", height=1024, frames=4),
    coded("size_vp8_odd.webm", "an odd size in 4:2:0", VP8, height=65, width=113),
    coded("size_4k.mp4", "3840x2160", height=2160, width=3840, frames=2, drawn=large,
          options={"preset": "ultrafast", "crf": "40"}),
    coded("size_8k.mp4", "7680x4320", height=4320, width=7680, frames=1, drawn=large,
          codec="mjpeg", pix_fmt="yuvj420p", options={"qmin": "24"}),
    # HEVC, AV1, VP8, VP9
    coded("hevc.mp4", "HEVC", HEVC),
    coded("hevc.ts", "HEVC in a transport stream", HEVC),
    coded("hevc_open_gop.mp4", "CRA pictures with leading ones (RASL)", HEVC_OPEN),
    coded("hevc_open_gop.ts", "the same without an index", HEVC_OPEN),
    coded("hevc_hdr.mp4", "BT.2020, PQ", codec="libx265", pix_fmt="yuv420p10le", options=HDR),
    coded("av1.mp4", "AV1", AV1),
    coded("av1.webm", "AV1 in WebM", AV1),
    coded("av1_10_bit.mkv", "AV1, 10 bits", AV1, pix_fmt="yuv420p10le"),
    coded("vp9_12_fps.webm", "12 fps, as Something-Something has it", VP9, rate=12),
    coded("vp9_hidden_frames.webm", "hidden alternate references", VP9, options=HIDDEN),
    coded("vp9_444.webm", "VP9 profile 1", VP9, pix_fmt="yuv444p"),
    coded("vp8.webm", "VP8", VP8),
    coded("vp8_hidden_frames.webm", "hidden alternate references", VP8, options=HIDDEN),
    coded("vp8.ogv", "VP8 in Ogg", VP8),
    # the older ones
    coded("mpeg1.mpg", "MPEG-1 program stream", MPEG1),
    coded("mpeg2_interlaced.mpg", "MPEG-2, two fields a picture", INTERLACED),
    coded("mpeg2_interlaced.ts", "the same in a transport stream", INTERLACED),
    coded("mpeg2.vob", "a DVD's program stream", MPEG2),
    coded("mpeg2.mxf", "MPEG-2 in MXF, as broadcasters have it", MPEG2),
    coded("mpeg4_b_pictures.avi", "AVI has no times for B pictures", MPEG4, options=MPEG),
    coded("mpeg4_b_pictures.mp4", "MPEG-4 part 2 in mp4", MPEG4, options=MPEG),
    coded("mpeg4_long_gop.avi", "as UCF101: few keys", MPEG4, options={"g": "200", **BITS}),
    coded("msmpeg4.avi", "Microsoft's MPEG-4 (DivX 3)", codec="msmpeg4", options=NO_B),
    coded("wmv2.wmv", "Windows Media in ASF", codec="wmv2", options=NO_B),
    coded("flv1.flv", "Sorenson H.263 in Flash", codec="flv1", options=NO_B),
    coded("h263.3gp", "H.263, as old phones recorded", codec="h263", height=144, width=176,
          pixel_aspect=12 / 11, options=NO_B),
    coded("mjpeg.avi", "a JPEG a picture", JPEG),
    coded("mjpeg.mov", "the same in QuickTime", JPEG, pix_fmt="yuvj422p"),
    coded("huffyuv.avi", "lossless HuffYUV", codec="huffyuv", pix_fmt="rgb24"),
    coded("raw_rgb.avi", "not coded, upside down", codec="rawvideo", pix_fmt="bgr24", frames=8),
    coded("ffv1.mkv", "lossless FFV1", codec="ffv1", pix_fmt="yuv444p"),
    coded("prores.mov", "ProRes 4:2:2, 10 bits", codec="prores_ks", pix_fmt="yuv422p10le"),
    coded("dnxhd.mov", "DNxHR", codec="dnxhd", pix_fmt="yuv422p", height=128, width=256, frames=4,
          options={"profile": "dnxhr_sq"}),
    coded("dv.dv", "camcorder tape, 720x576", codec="dvvideo", height=576, width=720, frames=4,
          pixel_aspect=16 / 15),
    # with alpha
    good("vp9_alpha.webm", "alpha beside it", transparent("libvpx-vp9", "yuva420p")),
    good("vp8_alpha.webm", "alpha beside it",
         transparent("libvpx", "yuva420p", **{"auto-alt-ref": "0"})),
    good("prores_alpha.mov", "ProRes 4444", transparent("prores_ks", "yuva444p10le")),
    good("qtrle_alpha.mov", "QuickTime animation with alpha", transparent("qtrle", "argb")),
    # moving pictures of the web
    good("gif_local_palettes.gif", "a palette for each picture", gif(100)),
    good("gif_no_delay.gif", "every delay is 0", gif(0)),
    good("gif_uneven.gif", "delays of 20 to 500 ms", gif([20, 500, 40, 100] * 6)),
    good("gif_transparent.gif", "each picture paints what changed",
         drawn_by_pillow(with_holes, transparency=0, disposal=1, optimize=False)),
    good("animated.png", "APNG", transparent("apng", "rgba", format="apng")),
    either("animated.webp", "animated WebP", drawn_by_pillow(flats)),
    either("animated.avif", "animated AVIF", drawn_by_pillow(flats)),
    # without a container: neither sizes nor times
    coded("raw.h264", "H.264", seconds=STEADY),
    coded("raw.hevc", "HEVC", HEVC, seconds=STEADY),
    coded("raw.m2v", "MPEG-2", MPEG2),
    coded("raw.m1v", "MPEG-1", codec="mpeg1video", options=NO_B),
    coded("raw.m4v", "MPEG-4 part 2", MPEG4),
    coded("raw.mjpeg", "JPEGs one after the other", JPEG),
    coded("raw.y4m", "a line of text before each", codec="wrapped_avframe", pix_fmt="yuv420p"),
    coded("raw.obu", "AV1", AV1),
    coded("vp9.ivf", "VP9 in IVF", VP9),
    coded("av1.ivf", "AV1 in IVF", AV1),
]  # fmt: skip

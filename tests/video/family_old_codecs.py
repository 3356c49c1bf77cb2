"""How pictures were coded before, and are in cameras, studios and on the web."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from family_codecs import AV1, BITS, VPX, coded, x265
from family_entry import FRAMES, HEIGHT, WIDTH, Entry, numbered
from family_writing import Workshop
from PIL import Image


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


def flat(number: int) -> Image.Image:
    """The number without the ripple: two colours, so that a palette holds them."""
    image = numbered(number, HEIGHT, WIDTH)
    bright = image[..., 0] > 128
    return Image.fromarray(np.where(bright[..., None], (236, 200, 80), (24, 40, 110)).astype("u1"))


def gif(durations, **settings):
    """A GIF as web sites make them: each picture only where it differs, a palette of its own."""

    def make(shop: Workshop, path: Path) -> None:
        pictures = [flat(number).quantize(4) for number in range(FRAMES)]
        first, rest = pictures[0], pictures[1:]
        first.save(path, save_all=True, append_images=rest, duration=durations, **settings)

    return make


def gif_with_holes(shop: Workshop, path: Path) -> None:
    """Each picture paints only the columns that changed, through a transparent mask."""
    pictures, before = [], None
    for number in range(FRAMES):
        image = np.asarray(flat(number))
        indices = np.where(image[..., 0] > 128, 1, 2).astype(np.uint8)
        holes = indices if before is None else np.where(indices == before, 0, indices)
        frame = Image.fromarray(holes, "P")
        frame.putpalette([0, 0, 0, 236, 200, 80, 24, 40, 110])
        pictures.append(frame)
        before = indices
    settings = {"duration": 40, "transparency": 0, "disposal": 1, "optimize": False}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **settings)


def pillow_animation(shop: Workshop, path: Path) -> None:
    pictures = [flat(number) for number in range(FRAMES)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)


JPEG = {"qmin": "2", "qmax": "4"}
NO_B = {"g": "8", **BITS}
MPEG = {"g": "8", "bf": "2", **BITS}
INTERLACED = {"flags": "+ildct+ilme", "top": "1", "g": "8", "bf": "2", **BITS}


OLD_CODECS = [
    # the older ones
    coded(
        "mpeg1.mpg",
        "MPEG-1 program stream",
        codec="mpeg1video",
        options=MPEG,
    ),
    coded(
        "mpeg2_interlaced.mpg",
        "MPEG-2, two fields a picture",
        codec="mpeg2video",
        options=INTERLACED,
    ),
    coded(
        "mpeg2_interlaced.ts",
        "the same in a transport stream",
        codec="mpeg2video",
        options=INTERLACED,
    ),
    coded(
        "mpeg2.vob",
        "a DVD's program stream",
        codec="mpeg2video",
        options=MPEG,
    ),
    coded(
        "mpeg2.mxf",
        "MPEG-2 in MXF, as broadcasters have it",
        codec="mpeg2video",
        options=MPEG,
    ),
    coded(
        "mpeg4_b_pictures.avi",
        "AVI has no showing times: B pictures come without",
        codec="mpeg4",
        options=MPEG,
    ),
    coded(
        "mpeg4_b_pictures.mp4",
        "MPEG-4 part 2 in mp4",
        codec="mpeg4",
        options=MPEG,
    ),
    coded(
        "mpeg4_long_gop.avi",
        "UCF101's like: few key pictures",
        codec="mpeg4",
        options={"g": "200", **BITS},
    ),
    coded("msmpeg4.avi", "Microsoft's MPEG-4 (DivX 3)", codec="msmpeg4", options=NO_B),
    coded("wmv2.wmv", "Windows Media in ASF", codec="wmv2", options=NO_B),
    coded("flv1.flv", "Sorenson H.263 in Flash", codec="flv1", options=NO_B),
    coded(
        "h263.3gp",
        "H.263, as old phones recorded",
        codec="h263",
        height=144,
        width=176,
        pixel_aspect=12 / 11,
        options=NO_B,
    ),
    coded(
        "mjpeg.avi",
        "a JPEG a picture",
        codec="mjpeg",
        pix_fmt="yuvj420p",
        options=JPEG,
    ),
    coded(
        "mjpeg.mov",
        "the same in QuickTime",
        codec="mjpeg",
        pix_fmt="yuvj422p",
        options=JPEG,
    ),
    coded("huffyuv.avi", "lossless HuffYUV", codec="huffyuv", pix_fmt="rgb24"),
    coded(
        "raw_rgb.avi",
        "pictures not coded at all, upside down in the file",
        codec="rawvideo",
        pix_fmt="bgr24",
        frames=8,
    ),
    coded("ffv1.mkv", "lossless FFV1", codec="ffv1", pix_fmt="yuv444p"),
    coded("prores.mov", "ProRes 4:2:2, 10 bits", codec="prores_ks", pix_fmt="yuv422p10le"),
    coded(
        "dnxhd.mov",
        "DNxHR",
        codec="dnxhd",
        pix_fmt="yuv422p",
        height=128,
        width=256,
        frames=4,
        options={"profile": "dnxhr_sq"},
    ),
    coded(
        "dv.dv",
        "camcorder tape, 720x576",
        codec="dvvideo",
        height=576,
        width=720,
        frames=4,
        pixel_aspect=16 / 15,
    ),
    # with alpha
    Entry(
        "vp9_alpha.webm",
        "good",
        "VP9 with an alpha channel beside it",
        transparent("libvpx-vp9", "yuva420p"),
    ),
    Entry(
        "vp8_alpha.webm",
        "good",
        "VP8 with an alpha channel beside it",
        transparent("libvpx", "yuva420p", **{"auto-alt-ref": "0"}),
    ),
    Entry(
        "prores_alpha.mov",
        "good",
        "ProRes 4444 with alpha",
        transparent("prores_ks", "yuva444p10le"),
    ),
    Entry(
        "qtrle_alpha.mov", "good", "QuickTime animation with alpha", transparent("qtrle", "argb")
    ),
    # moving pictures of the web
    Entry("gif_local_palettes.gif", "good", "a palette for each picture", gif(100)),
    Entry("gif_no_delay.gif", "good", "every delay is 0", gif(0)),
    Entry("gif_uneven.gif", "good", "delays of 20 to 500 ms", gif([20, 500, 40, 100] * 6)),
    Entry("gif_transparent.gif", "good", "each picture paints what changed", gif_with_holes),
    Entry("animated.png", "good", "APNG", transparent("apng", "rgba", format="apng")),
    Entry("animated.webp", "either", "animated WebP", pillow_animation),
    Entry("animated.avif", "either", "animated AVIF", pillow_animation),
    # without a container
    coded("raw.h264", "no container, no times", container_options={}),
    coded("raw.hevc", "no container, no times", codec="libx265", options=x265()),
    coded(
        "raw.m2v",
        "no container, no times",
        codec="mpeg2video",
        options=MPEG,
    ),
    coded("raw.m1v", "no container, no times", codec="mpeg1video", options=NO_B),
    coded("raw.m4v", "MPEG-4 part 2 without a container", codec="mpeg4", options=NO_B),
    coded(
        "raw.mjpeg",
        "JPEGs one after the other",
        codec="mjpeg",
        pix_fmt="yuvj420p",
        options=JPEG,
    ),
    coded(
        "raw.y4m",
        "pictures not coded, a line of text before each",
        codec="wrapped_avframe",
        pix_fmt="yuv420p",
    ),
    coded("raw.obu", "AV1 without a container", codec="libsvtav1", options=AV1),
    coded("vp9.ivf", "VP9 in IVF", codec="libvpx-vp9", options=VPX),
    coded("av1.ivf", "AV1 in IVF", codec="libsvtav1", options=AV1),
]

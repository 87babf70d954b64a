"""The encoders of the bundled FFmpeg: what they hold, and how a frame is handed to one.

An `EncodeSpec` freezes the choice; pixel format, colour tags and codec context follow from it and the clip.
"""

import contextlib
import io
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import cv2

from vremove_cli.errors import MediaError
from vremove_cli.media.clip import SEQUENCE, ClipInfo
from vremove_cli.media.colour import (
    BT470BG,
    BT709,
    BT2020_NCL,
    FCC,
    FULL_RANGE,
    HD_LINES,
    IDENTITY,
    LIMITED_RANGE,
    SMPTE170M,
    SMPTE240M,
    Colour,
)
from vremove_cli.media.encoder_clock import encoder_rate, stream_clock
from vremove_cli.media.jpeg import LONGEST_SIDE, sampling_of
from vremove_cli.media.pixel_format import SIBLINGS, Layout, layout_of

LOSSLESS = (
    "ffv1", "png", "tiff", "bmp", "huffyuv", "ffvhuff", "utvideo", "qtrle", "rawvideo", "v210", "dpx", "targa",
    "jpeg2000", "magicyuv", "ljpeg", "jpegls", "zmbv", "zlib", "flashsv",
    "avrp", "r210", "r10k", "v308", "v408", "v410", "y41p", "yuv4",
)  # fmt: skip
# PyAV's names (av.video.reformatter.Colorspace) of the matrix codes of H.273.
_MATRIX_NAMES = {
    BT709: "ITU709",
    FCC: "FCC",
    BT470BG: "ITU601",
    SMPTE170M: "ITU601",
    SMPTE240M: "SMPTE240M",
    BT2020_NCL: "BT2020",
}
_MAX_CONVERSIONS = 6  # pixel formats that are tried when samples must be converted
_PALETTE = "pal8"
JPEG = "jpeg"  # name of the encoder of JPEG files, `media.jpeg`, among FFmpeg's names of encoders
_JPEG_FORMATS = ("yuvj420p", "yuvj422p", "yuvj444p", "gray")  # that it writes as they are, from any source
_X264 = ("libx264", "libx264rgb")
_MACROBLOCK = 16  # pixels
# x264's code for AVX-512 weighs the macroblocks of a row in groups of 8 (mbtree_propagate_list, core 165). Past the end
# of the last row it reads memory that nobody has set, and the same frames give other bits from run to run. The code
# for AVX2 stops at the end, and every CPU with AVX-512 has AVX2.
_MACROBLOCK_GROUP = 8
_WITHOUT_AVX512 = "asm=avx2"
_CPU_AVX512_SKX = 256  # OpenCV's number for AVX-512 F, CD, BW, DQ and VL, which x264 asks for, too
# Encoders that `missing_encoders` looks for.
_REQUIRED = (
    "libx264",
    "libx265",
    "libsvtav1",
    "libvpx-vp9",
    "prores_ks",
    "dnxhd",
    "ffv1",
    "png",
    "tiff",
    "gif",
)


@dataclass(frozen=True)
class EncodeSpec:
    """Everything that decides the encoded bits, frozen in the plan.

    Attributes:
        container: FFmpeg's name of the muxer, or `clip.SEQUENCE`.
        encoder: FFmpeg's name of the encoder, or `JPEG`.
        pix_fmt: Pixel format that the encoder gets.
        options: Options of the encoder.
        threads: Threads of the encoder.
    """

    container: str
    encoder: str
    pix_fmt: str
    options: dict[str, str]
    threads: int

    @property
    def lossless(self) -> bool:
        """Whether the encoder keeps every sample."""
        by_option = self.options.get("lossless") == "1"
        return by_option or self.encoder in LOSSLESS or (self.options.get("crf") == "0" and "libx264" in self.encoder)

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec."""
        return "mjpeg" if self.encoder == JPEG else str(av.Codec(self.encoder, "w").canonical_name)

    @property
    def bit_rate(self) -> int | None:
        """Mean bits a second; None where a quality is kept, whatever it takes."""
        stated = self.options.get("b", "")
        return int(stated) or None if stated.isdecimal() else None

    def __str__(self) -> str:
        quality = f" crf {self.options['crf']}" if "crf" in self.options else ""
        if self.bit_rate:
            quality = f" {self.bit_rate / 1e6:.4g} Mbit/s"
        if self.encoder == JPEG:
            return f"{self.encoder} {sampling_of(sibling_layout(self.pix_fmt))}"
        return f"{self.encoder} {self.pix_fmt}{quality}"


def sibling_layout(pix_fmt: str) -> Layout:
    """Return the layout of a pixel format or of its sibling; raises `MediaError` as `layout_of` does."""
    return layout_of(SIBLINGS.get(pix_fmt, pix_fmt))


def encoder_formats(encoder: str) -> list[str] | None:
    """Return the pixel formats of an encoder, empty where it does not list them; None if there is no such encoder."""
    if encoder == JPEG:
        return list(_JPEG_FORMATS)
    try:
        return [f.name for f in av.Codec(encoder, "w").video_formats or []]
    except av.codec.codec.UnknownCodecError:
        return None


def nearest_formats(pix_fmt: str, formats: list[str]) -> list[str]:
    """Sort pixel formats by how little of another they lose.

    Args:
        pix_fmt: The source's pixel format.
        formats: Pixel formats of an encoder.

    Returns:
        At most six formats. A lost alpha channel weighs most, then lost colour, depth, chroma resolution, and a change
        between R'G'B' and Y'CbCr.
    """
    source = sibling_layout(pix_fmt)

    def loss(name: str) -> tuple[bool, bool, int, int, bool, int]:
        layout = sibling_layout(name)
        loses_alpha = source.alpha and not layout.alpha
        loses_colour = layout.model == "gray" != source.model
        chroma = layout.sub_x + layout.sub_y - (source.sub_x + source.sub_y)
        depth = source.bits - layout.bits
        changes_model = layout.model != source.model
        return (loses_alpha, loses_colour, max(depth, 0), max(chroma, 0), changes_model, abs(depth) + abs(chroma))

    usable = []
    for name in formats:
        if name == _PALETTE:  # its samples are indices into a palette that nobody makes here
            continue
        try:
            usable.append((loss(name), name))
        except MediaError:
            continue
    return [name for _, name in sorted(usable)][:_MAX_CONVERSIONS]


def output_colour(info: ClipInfo, pix_fmt: str) -> Colour:
    """Return the colour tags of the output: the clip's own, unless samples change between R'G'B' and Y'CbCr."""
    source, target = info.layout.model, sibling_layout(pix_fmt).model
    if source == "rgb" and target == "yuv":
        return replace(info.colour, matrix=BT709, range=FULL_RANGE if "yuvj" in pix_fmt else LIMITED_RANGE)
    if source == "yuv" and target == "rgb":
        return replace(info.colour, matrix=IDENTITY, range=FULL_RANGE)
    return replace(info.colour, range=FULL_RANGE) if "yuvj" in pix_fmt else info.colour


def to_format(raw: av.VideoFrame, info: ClipInfo, pix_fmt: str) -> av.VideoFrame:
    """Convert a decoded frame to the output's pixel format and colour tags.

    Args:
        raw: A frame in the clip's edit format.
        info: The clip.
        pix_fmt: Pixel format of the output.

    Returns:
        The same object if it has the format already.
    """
    return raw if raw.format.name == pix_fmt else _converted(raw, info, pix_fmt, output_colour(info, pix_fmt))


def to_jfif(raw: av.VideoFrame, info: ClipInfo, pix_fmt: str) -> av.VideoFrame:
    """Convert a decoded frame to an 8-bit format and the colours of JPEG files; arguments as of `to_format`."""
    if raw.format.name == pix_fmt and is_jfif(info):
        return raw
    return _converted(raw, info, pix_fmt, replace(info.colour, matrix=BT470BG, range=FULL_RANGE))


def is_jfif(info: ClipInfo) -> bool:
    """Return whether a clip's samples have the colours of a JPEG file: full range, the matrix of BT.601 (JFIF 1.02)."""
    full, matrix = info.colour.full(info.layout), _matrix_name(info.colour, info)
    return info.codec == "mjpeg" or info.layout.model != "yuv" or (full and matrix == _MATRIX_NAMES[BT470BG])


def _converted(raw: av.VideoFrame, info: ClipInfo, pix_fmt: str, tags: Colour) -> av.VideoFrame:
    """Convert a frame to a pixel format and colour tags."""
    out = raw.reformat(
        format=pix_fmt,
        src_colorspace=_matrix_name(info.colour, info),
        dst_colorspace=_matrix_name(tags, info),
        src_color_range=FULL_RANGE if info.colour.full(info.layout) else LIMITED_RANGE,
        dst_color_range=FULL_RANGE if tags.full(sibling_layout(pix_fmt)) else LIMITED_RANGE,
    )
    out.color_primaries, out.color_trc = tags.primaries, tags.transfer
    out.colorspace, out.color_range = tags.matrix, tags.range
    return out


def _matrix_name(tags: Colour, info: ClipInfo) -> str:
    return _MATRIX_NAMES.get(tags.matrix, "ITU709" if info.height >= HD_LINES else "ITU601")


def configure_encoder(context: av.CodecContext, spec: EncodeSpec, info: ClipInfo, rate: Fraction) -> None:
    """Set an encoder's picture size, pixel format, timing, options and colour tags.

    Args:
        context: Codec context that is not open yet.
        spec: The encoder's specification.
        info: The clip.
        rate: Frames a second. The encoder's clock counts them.
    """
    context.width, context.height, context.pix_fmt = info.width, info.height, spec.pix_fmt
    context.framerate, context.time_base = rate, 1 / rate
    context.options = _options_here(spec, info)
    context.thread_count = spec.threads
    if info.aspect:
        context.sample_aspect_ratio = info.aspect
    tags = output_colour(info, spec.pix_fmt)
    context.color_primaries, context.color_trc = tags.primaries, tags.transfer
    context.colorspace, context.color_range = tags.matrix, tags.range


def _options_here(spec: EncodeSpec, info: ClipInfo) -> dict[str, str]:
    """Return an encoder's options on this machine: those of the specification, and what keeps its bits the same.

    The plan cannot hold the latter: it may be carried out on a machine with another CPU.
    """
    columns = -(-info.width // _MACROBLOCK)
    if spec.encoder not in _X264 or columns % _MACROBLOCK_GROUP == 0 or not cv2.checkHardwareSupport(_CPU_AVX512_SKX):
        return dict(spec.options)
    given = spec.options.get("x264-params")
    return {**spec.options, "x264-params": f"{given}:{_WITHOUT_AVX512}" if given else _WITHOUT_AVX512}


def black_frame(info: ClipInfo, pix_fmt: str) -> av.VideoFrame:
    """Return a frame whose bytes are 0, for a trial."""
    frame = av.VideoFrame(info.width, info.height, pix_fmt)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    return frame


def can_write(spec: EncodeSpec, info: ClipInfo) -> bool:
    """Return whether an encoder accepts a specification, and its container the stream: a header is written on trial.

    A container may hold a codec and not all of its pixel formats, such as raw video in Matroska.
    """
    if spec.encoder == JPEG:
        return max(info.width, info.height) <= LONGEST_SIDE
    rate = encoder_rate(info.times, spec.encoder)
    try:
        if spec.container == SEQUENCE:
            context = av.CodecContext.create(spec.encoder, "w")
            configure_encoder(context, spec, info, rate)
            context.open()
        else:
            _write_header(spec, info, rate)
    except (av.error.FFmpegError, ValueError, RuntimeError):
        return False
    return True


def _write_header(spec: EncodeSpec, info: ClipInfo, rate: Fraction) -> None:
    """Begin a file in memory with the encoder's stream."""
    trial = av.open(io.BytesIO(), "w", format=spec.container)
    try:
        stream = trial.add_stream(spec.encoder, rate=rate, options=spec.options)
        configure_encoder(stream.codec_context, spec, info, rate)
        stream.time_base = stream_clock(info.times, spec.container)
        trial.start_encoding()
    finally:
        with contextlib.suppress(av.error.FFmpegError):  # some muxers refuse to end a file without frames
            trial.close()


def library_versions() -> str:
    """Return the versions of the FFmpeg libraries, such as `libavcodec 62.28.100`."""
    return ", ".join(f"{name} {'.'.join(map(str, v))}" for name, v in sorted(av.library_versions.items()))


def missing_encoders() -> list[str]:
    """Return the names of encoders that the tool uses and this build of FFmpeg lacks."""
    return [name for name in _REQUIRED if encoder_formats(name) is None]

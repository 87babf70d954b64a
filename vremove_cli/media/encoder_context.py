"""How a frame is handed to an encoder: the frozen specification, pixel format, colour tags, context."""

from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.colour import Colour
from vremove_cli.media.pixel_format import SIBLINGS, Layout, layout_of

BT709 = 1
_LOSSLESS = ("ffv1", "png", "tiff", "bmp", "huffyuv", "ffvhuff", "utvideo", "qtrle", "rawvideo", "v210", "dpx", "targa")


@dataclass(frozen=True)
class EncodeSpec:
    """Everything that decides the encoded bits, frozen in the plan."""

    container: str
    encoder: str
    pix_fmt: str
    options: dict[str, str]
    threads: int

    @property
    def lossless(self) -> bool:
        return self.encoder in _LOSSLESS or (self.options.get("crf") == "0" and self.encoder.startswith("libx264"))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        quality = f" crf {self.options['crf']}" if "crf" in self.options else ""
        return f"{self.encoder} {self.pix_fmt}{quality}"


def layout_for(pix_fmt: str) -> Layout:
    """The layout of a format, or of the sibling that stands for it."""
    return layout_of(SIBLINGS.get(pix_fmt, pix_fmt))


def output_colour(info: ClipInfo, pix_fmt: str) -> Colour:
    """The colour tags of the result: the source's own, unless samples change between RGB and YCbCr."""
    had, gets = info.layout.model, layout_for(pix_fmt).model
    if had == "rgb" and gets == "yuv":
        return replace(info.colour, matrix=BT709, range=2 if "yuvj" in pix_fmt else 1)
    if had == "yuv" and gets == "rgb":
        return replace(info.colour, matrix=0, range=2)
    return replace(info.colour, range=2) if "yuvj" in pix_fmt else info.colour


def to_format(raw: Any, info: ClipInfo, pix_fmt: str) -> Any:
    """A decoded frame in the result's pixel format and tags; the same object when nothing changes."""
    if raw.format.name == pix_fmt:
        return raw
    tags = output_colour(info, pix_fmt)
    out = raw.reformat(
        format=pix_fmt,
        src_colorspace=_matrix_name(info.colour, info),
        dst_colorspace=_matrix_name(tags, info),
        src_color_range=2 if info.colour.full(info.layout) else 1,
        dst_color_range=2 if tags.full(layout_for(pix_fmt)) else 1,
    )
    out.color_primaries, out.color_trc = tags.primaries, tags.transfer
    out.colorspace, out.color_range = tags.matrix, tags.range
    return out


def _matrix_name(tags: Colour, info: ClipInfo) -> str:
    wide = info.height >= 720
    return {1: "ITU709", 5: "ITU601", 6: "ITU601", 4: "FCC", 7: "SMPTE240M", 9: "BT2020"}.get(
        tags.matrix, "ITU709" if wide else "ITU601"
    )


def set_up(context: Any, spec: EncodeSpec, info: ClipInfo, time_base: Fraction) -> None:
    """Give an encoder context the picture's size, format, timing and colour tags."""
    context.width, context.height, context.pix_fmt = info.width, info.height, spec.pix_fmt
    context.time_base = time_base
    context.framerate = info.times.rate.limit_denominator(60000)
    context.options = dict(spec.options)
    context.thread_count = spec.threads
    if info.aspect:
        context.sample_aspect_ratio = info.aspect
    tags = output_colour(info, spec.pix_fmt)
    context.color_primaries, context.color_trc = tags.primaries, tags.transfer
    context.colorspace, context.color_range = tags.matrix, tags.range

"""Which encoder gives back the source's kind of file, decided and tried before any work is done."""

import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

import av

from vremove_cli.errors import MediaError, UsageError
from vremove_cli.media import sequence
from vremove_cli.media.clip import SEQUENCE, ClipInfo
from vremove_cli.media.encoder_context import EncodeSpec, layout_for, set_up

# x265 and SVT-AV1 write their own banners to stderr; these silence them.
os.environ.setdefault("SVT_LOG", "0")

CONTAINERS = {
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi", ".ts": "mpegts",
    ".mts": "mpegts", ".m2ts": "mpegts", ".gif": "gif", ".mxf": "mxf", ".flv": "flv", ".nut": "nut", ".mpg": "mpeg",
}  # fmt: skip
IMAGE_ENCODERS = {".png": "png", ".tif": "tiff", ".tiff": "tiff", ".jpg": "mjpeg", ".jpeg": "mjpeg", ".bmp": "bmp",
                  ".dpx": "dpx", ".tga": "targa", ".webp": "libwebp"}  # fmt: skip

# The encoder for a codec family, where its name differs from the codec's.
_ENCODERS = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9", "vp8": "libvpx", "av1": "libsvtav1",
             "prores": "prores_ks", "webp": "libwebp"}  # fmt: skip
_ALIASES = {"x264": "h264", "x265": "hevc", "h265": "hevc", "dnxhr": "dnxhd", "jpeg": "mjpeg"}
# What is tried, in this order, where the source's own family cannot hold the picture.
_FALLBACKS = {
    "mp4": ("h264", "hevc", "av1", "vp9"), "mov": ("h264", "hevc", "prores"), "webm": ("vp9", "av1"),
    "matroska": ("h264", "hevc", "vp9", "av1", "ffv1"), "avi": ("h264", "ffv1"), "mpegts": ("h264", "hevc"),
    "mxf": ("dnxhd",), "flv": ("h264",), "nut": ("ffv1",), "mpeg": ("mpeg2video",), "gif": ("gif",),
}  # fmt: skip
# Editing codecs: what an editor's timeline expects matters more than the last two bits of depth.
_MASTERING = ("prores", "dnxhd", "cfhd")
# Muxers that do not say which codecs they take.
_UNLISTED = {
    "mpegts": ("h264", "hevc", "mpeg2video", "mpeg1video", "mpeg4"), "mpeg": ("mpeg2video", "mpeg1video"),
    "mxf": ("dnxhd", "mpeg2video", "prores", "h264"),
}  # fmt: skip
# Formats that hold the same samples in another arrangement.
_SAME = {
    "yuvj420p": ("yuv420p",), "yuvj422p": ("yuv422p",), "yuvj444p": ("yuv444p",), "yuvj440p": ("yuv440p",),
    "yuv420p": ("yuvj420p",), "yuv422p": ("yuvj422p",), "yuv444p": ("yuvj444p",),
    "gbrp": ("rgb24", "bgr24", "bgr0"), "rgb24": ("gbrp", "bgr24", "bgr0"), "bgr24": ("gbrp", "rgb24", "bgr0"),
    "bgr0": ("gbrp", "rgb24", "bgr24"), "rgb0": ("gbrp", "rgb24", "bgr0"), "0rgb": ("gbrp", "rgb24", "bgr0"),
    "rgba": ("bgra", "argb"), "bgra": ("rgba", "argb"), "argb": ("rgba", "bgra"),
    "rgb48be": ("rgb48le", "gbrp16le"), "rgb48le": ("rgb48be", "gbrp16le"), "gbrp16le": ("rgb48le", "rgb48be"),
    "rgba64be": ("rgba64le",), "rgba64le": ("rgba64be",), "gray16be": ("gray16le",), "gray16le": ("gray16be",),
}  # fmt: skip
_CRF = {"libx264": 16, "libx264rgb": 16, "libx265": 16, "libvpx-vp9": 18, "libvpx": 4, "libsvtav1": 18}
_PRESET = {"libx264": "medium", "libx264rgb": "medium", "libx265": "medium", "libsvtav1": "7"}
_PRORES = {"apco": "0", "apcs": "1", "apcn": "2", "apch": "3", "ap4h": "4", "ap4x": "5"}
_QUALITY_CODECS = ("mjpeg", "mpeg4", "mpeg2video", "mpeg1video", "flv", "wmv2", "wmv1", "h263")
_QSCALE_UNIT = 118  # FFmpeg's lambda units in one step of a quantiser scale


@dataclass(frozen=True)
class EncoderOptions:
    """What the user asked of the encoder; None means: as the source."""

    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    pix_fmt: str | None = None


def container_of(output: str, *, images: bool = False) -> str:
    """FFmpeg's name of the output's container, or `SEQUENCE`; raises `UsageError` for an unknown ending.

    `images` says that the source is an image sequence: then a name without a known ending is a folder.
    """
    suffix = Path(output).suffix.lower()
    if images and suffix not in CONTAINERS:
        return SEQUENCE
    if suffix in sequence.IMAGES or suffix == "":
        return SEQUENCE
    if suffix not in CONTAINERS:
        known = " ".join(CONTAINERS)
        raise UsageError(f"no container is known for '{suffix}'", f"end the output's name in one of {known}")
    return CONTAINERS[suffix]


def choose_encoder(info: ClipInfo, output: str, wishes: EncoderOptions, notes: list[str]) -> EncodeSpec:
    """The encoder for a clip and an output path; what differs from the source is added to `notes`.

    Raises `UsageError` when the user's wish cannot be met and `MediaError` when nothing can hold the picture.
    """
    spec = _choose(info, output, wishes, notes)
    if info.pix_fmt not in (info.edit_fmt, spec.pix_fmt) and spec.encoder != "gif":
        notes.append(f"{info.pix_fmt} pictures are written as {spec.pix_fmt}")
    if info.layout.alpha and not layout_for(spec.pix_fmt).alpha:
        notes.append(f"the alpha channel is lost: {spec.encoder} writes {spec.pix_fmt}")
    if info.hdr and spec.encoder not in ("libx265", "libsvtav1"):
        notes.append(f"static HDR metadata is lost: {spec.encoder} cannot write it")
    return spec


def _choose(info: ClipInfo, output: str, wishes: EncoderOptions, notes: list[str]) -> EncodeSpec:
    container = container_of(output, images=info.is_sequence)
    if info.dynamic_hdr:
        notes.append("dynamic HDR metadata (HDR10+ or Dolby Vision) is dropped: no encoder here can write it")
    if container == SEQUENCE:
        return _image_spec(info, output, wishes, notes)
    families = _families(info, container, wishes)
    for family in families:
        spec = None if info.is_sequence and not wishes.pix_fmt else _try(info, container, family, wishes, families)
        if spec is None and family == info.codec in _MASTERING:
            spec = _candidate(info, container, family, wishes, exact=False)
            if spec is not None:
                notes.append(f"pixels are converted from {info.edit_fmt} to {spec.pix_fmt}: {spec.encoder} has no more")
        if spec is None:
            continue
        wanted = _ALIASES.get(wishes.codec or "", wishes.codec) or info.codec
        if family != wanted and not info.is_sequence:
            notes.append(f"{wanted} cannot hold {info.width}x{info.height} {info.edit_fmt} here: {family} is used")
        return spec
    if wishes.codec or info.is_sequence or wishes.pix_fmt or info.codec not in families:
        for family in families:
            spec = _candidate(info, container, family, wishes, exact=False)
            if spec is not None:
                notes.append(f"pixels are converted from {info.edit_fmt} to {spec.pix_fmt} for {spec.encoder}")
                return spec
    if wishes != EncoderOptions():
        raise UsageError(
            f"{wishes.codec or info.codec} cannot write {info.width}x{info.height} {wishes.pix_fmt or info.edit_fmt} "
            f"to {container} with these options",
            "leave out --codec, --crf, --preset and --pix-fmt, or write to .mkv",
        )
    raise MediaError(
        f"no encoder for {container} can hold {info.width}x{info.height} {info.edit_fmt}",
        "write to .mkv with -o OUT.mkv",
    )


def _try(info: ClipInfo, container: str, family: str, wishes: EncoderOptions, families: list[str]) -> EncodeSpec | None:
    """A candidate that keeps every sample; a wish that only the first family must meet rules the others out."""
    try:
        return _candidate(info, container, family, wishes, exact=True)
    except UsageError:
        if family == families[0]:
            raise
        return None


def _families(info: ClipInfo, container: str, wishes: EncoderOptions) -> list[str]:
    """Codec families to try: the one asked for alone, or the source's own and then the container's."""
    if wishes.codec:
        family = _ALIASES.get(wishes.codec, wishes.codec)
        try:
            if av.Codec(_ENCODERS.get(family, family), "w").type != "video":
                raise UsageError(
                    f"'{wishes.codec}' is no video codec", "use h264, hevc, av1, vp9, prores, dnxhr or ffv1"
                )
        except av.codec.codec.UnknownCodecError as error:
            raise UsageError(
                f"no encoder for '{wishes.codec}'", "use h264, hevc, av1, vp9, prores, dnxhr or ffv1"
            ) from error
        return [family]
    own = [] if info.is_sequence else [info.codec]
    return list(dict.fromkeys([*own, *_FALLBACKS.get(container, ())]))


def _candidate(
    info: ClipInfo, container: str, family: str, wishes: EncoderOptions, *, exact: bool
) -> EncodeSpec | None:
    """A spec that was opened on trial, or None. `exact` keeps every sample up to the encoder."""
    encoders = [_ENCODERS.get(family, family)]
    if family == "h264":
        encoders.append("libx264rgb")
    if family == "gif":
        return EncodeSpec(container, "gif", info.edit_fmt, {}, 1) if container == "gif" else None
    if not _holds(container, family):
        return None
    for encoder in encoders:
        try:
            formats = [f.name for f in av.Codec(encoder, "w").video_formats or []]
        except av.codec.codec.UnknownCodecError:
            continue
        wanted = [wishes.pix_fmt] if wishes.pix_fmt else [info.pix_fmt, info.edit_fmt, *_SAME.get(info.edit_fmt, ())]
        if info.pix_fmt == "pal8" and not wishes.pix_fmt:
            wanted = wanted[1:]  # an encoder would need the palette
        if not exact and not wishes.pix_fmt:
            wanted = nearest(info.edit_fmt, formats)
            if info.is_sequence and "yuv420p" in formats:
                wanted = ["yuv420p", *wanted]  # what every player shows
        for pix_fmt in wanted:
            if formats and pix_fmt not in formats:
                continue
            options = _options(info, container, encoder, pix_fmt, wishes)
            spec = EncodeSpec(container, encoder, pix_fmt, options, _threads(encoder))
            if _opens(spec, info):
                return spec
    return None


def nearest(pix_fmt: str, formats: list[str]) -> list[str]:
    """An encoder's formats by how little of `pix_fmt` they lose: depth first, then chroma, then colour model."""
    source = layout_for(pix_fmt)

    def loss(name: str) -> tuple[bool, bool, int, int, int, int]:
        layout = layout_for(name)
        grayed = layout.model == "gray" != source.model
        chroma = layout.sub_x + layout.sub_y - (source.sub_x + source.sub_y)
        depth = source.bits - layout.bits
        lost = source.alpha and not layout.alpha
        return (lost, grayed, max(depth, 0), max(chroma, 0), layout.model != source.model, abs(depth) + abs(chroma))

    usable = []
    for name in formats:
        try:
            usable.append((loss(name), name))
        except MediaError:
            continue
    return [name for _, name in sorted(usable)][:6]


def _holds(container: str, family: str) -> bool:
    if container in _UNLISTED:
        return family in _UNLISTED[container]
    with av.open(io.BytesIO(), "w", format=container) as trial:
        names = trial.supported_codecs
    return family in names or _ENCODERS.get(family, family) in names


def _threads(encoder: str) -> int:
    return 1 if encoder in _QUALITY_CODECS else min(os.cpu_count() or 1, 16)


def _options(info: ClipInfo, container: str, encoder: str, pix_fmt: str, wishes: EncoderOptions) -> dict[str, str]:
    options: dict[str, str] = {}
    if encoder in _CRF:
        options["crf"] = str(_CRF[encoder] if wishes.crf is None else wishes.crf)
    elif wishes.crf is not None:
        raise UsageError(f"{encoder} has no --crf", "leave it out, or choose --codec h264, hevc, av1 or vp9")
    if encoder in _PRESET:
        options["preset"] = wishes.preset or _PRESET[encoder]
    elif wishes.preset:
        raise UsageError(f"{encoder} has no --preset", "leave it out, or choose --codec h264, hevc or av1")
    options |= _special(info, encoder, pix_fmt)
    if container in ("avi", "flv"):
        options["bf"] = "0"  # no presentation times of their own: reordered frames would come back elsewhere
    return options


def _special(info: ClipInfo, encoder: str, pix_fmt: str) -> dict[str, str]:
    """Options that an encoder needs beside its quality."""
    if encoder == "libx265":
        hdr = "".join(f":{k}={v}" for k, v in info.hdr.items())
        return {"x265-params": f"log-level=none{hdr}{':hdr10=1' if hdr else ''}"}
    if encoder == "libsvtav1" and info.hdr:
        return {"svtav1-params": ":".join(_svt_hdr(info.hdr))}
    if encoder == "libvpx-vp9":
        return {"b": "0", "row-mt": "1", "deadline": "good", "cpu-used": "4"}
    if encoder == "libvpx":
        return {"b": "60M", "deadline": "good", "cpu-used": "2"}
    if encoder == "prores_ks":
        rich = layout_for(pix_fmt).sub_x == 0
        return {"profile": _PRORES.get(info.tag, "4" if rich else "3"), "vendor": "apl0"}
    if encoder == "dnxhd":
        layout = layout_for(pix_fmt)
        return {"profile": "dnxhr_444" if layout.sub_x == 0 else "dnxhr_hqx" if layout.bits > 8 else "dnxhr_hq"}
    if encoder == "ffv1":
        return {"level": "3", "slicecrc": "1"}
    if encoder in _QUALITY_CODECS:
        return {"flags": "+qscale", "global_quality": str(2 * _QSCALE_UNIT), "qmin": "1"}
    return {}


def _svt_hdr(hdr: dict[str, str]) -> list[str]:
    """SVT-AV1's notation of x265's: numbers as they are instead of in steps of 1/50000 and 1/10000."""
    out = []
    if "master-display" in hdr:
        pairs = re.findall(r"([A-Z]+)\((\d+),(\d+)\)", hdr["master-display"])
        units = {"L": 10000}
        parts = (f"{k}({int(a) / units.get(k, 50000):.5f},{int(b) / units.get(k, 50000):.5f})" for k, a, b in pairs)
        out.append("mastering-display=" + "".join(parts))
    if "max-cll" in hdr:
        out.append(f"content-light={hdr['max-cll']}")
    return out


def _opens(spec: EncodeSpec, info: ClipInfo) -> bool:
    context = av.CodecContext.create(spec.encoder, "w")
    set_up(context, spec, info, info.times.time_base)
    try:
        context.open()
    except (av.error.FFmpegError, ValueError, RuntimeError):
        return False
    return True


def image_suffix(output: str, info: ClipInfo) -> str:
    """The ending of the images that are written: the output's own, else the source's, else PNG."""
    suffix = Path(output).suffix.lower()
    if suffix in sequence.IMAGES:
        return suffix
    return Path(info.files[0]).suffix.lower() if info.files else ".png"


def _image_spec(info: ClipInfo, output: str, wishes: EncoderOptions, notes: list[str]) -> EncodeSpec:
    """Images keep their own kind and depth, or take the one that the output's name says."""
    suffix = image_suffix(output, info)
    named = Path(output).suffix.lower()
    if info.frames > 1 and named in sequence.IMAGES and not sequence.has_number(output):
        raise UsageError(
            f"{Path(output).name} is one picture and the clip has {info.frames} frames",
            f"name a folder, or a pattern such as {Path(output).stem}.%04d{named}",
        )
    if suffix not in IMAGE_ENCODERS:
        raise UsageError(f"images of kind '{suffix}' cannot be written", "use .png, .tif or .jpg")
    encoder = IMAGE_ENCODERS[suffix]
    formats = [f.name for f in av.Codec(encoder, "w").video_formats or []]
    exact = [info.edit_fmt, *_SAME.get(info.edit_fmt, ())]
    if encoder == "mjpeg":  # a JPEG file is full range by definition: limited-range samples must be converted
        exact = [f for f in exact if "yuvj" in f or info.colour.full(info.layout)]
    wanted = [wishes.pix_fmt] if wishes.pix_fmt else [*exact, *nearest(info.edit_fmt, formats)]
    options = _options(info, SEQUENCE, encoder, info.edit_fmt, wishes)
    for pix_fmt in wanted:
        spec = EncodeSpec(SEQUENCE, encoder, pix_fmt, options, 1)
        if pix_fmt in formats and _opens(spec, info):
            if pix_fmt not in exact:
                notes.append(f"pixels are converted from {info.edit_fmt} to {pix_fmt} for {encoder}")
            return spec
    raise UsageError(f"{encoder} cannot hold {info.edit_fmt}", "write .png or .tif images")

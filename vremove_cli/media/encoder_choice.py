"""Choose the encoder that gives back the source's kind of file, and open it on trial before any work is done.

The order of preference: the source's own codec and pixel format; another codec of the container that keeps every
sample; a conversion of the pixel format that loses as little as possible.
"""

import io
from dataclasses import replace
from pathlib import Path

import av

from vremove_cli.errors import MediaError, UsageError, VremoveError
from vremove_cli.media import sequence
from vremove_cli.media.clip import SEQUENCE, ClipInfo
from vremove_cli.media.encoder_clock import rounding_clock
from vremove_cli.media.encoder_context import (
    JPEG,
    LOSSLESS,
    EncodeSpec,
    can_write,
    encoder_formats,
    is_jfif,
    nearest_formats,
    sibling_layout,
)
from vremove_cli.media.encoder_options import (
    HDR_ENCODERS,
    EncoderOptions,
    encoder_options,
    encoder_threads,
    has_quality,
)
from vremove_cli.media.hardware import on_hardware
from vremove_cli.media.jpeg import holds_sampling
from vremove_cli.media.picture_metadata import holds_orientation, lost_metadata
from vremove_cli.media.pixel_format import SAME_SAMPLES

# FFmpeg's muxer by file suffix.
CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".3gp": "3gp",
    ".3g2": "3g2",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
    ".ts": "mpegts",
    ".mts": "mpegts",
    ".m2ts": "mpegts",
    ".gif": "gif",
    ".mxf": "mxf",
    ".flv": "flv",
    ".nut": "nut",
    ".mpg": "mpeg",
    ".mpeg": "mpeg",
}
# The encoder of images by file suffix: FFmpeg's, or `JPEG`.
IMAGE_ENCODERS = {
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".jpg": JPEG,
    ".jpeg": JPEG,
    ".bmp": "bmp",
    ".dpx": "dpx",
    ".tga": "targa",
    ".webp": "libwebp",
}

# The encoder of a codec family, where FFmpeg may have several. Of the other families it has one.
_ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "vp9": "libvpx-vp9",
    "vp8": "libvpx",
    "av1": "libsvtav1",
    "prores": "prores_ks",
    "webp": "libwebp",
}
# The codec family by other names that users give.
_ALIASES = {"x264": "h264", "x265": "hevc", "h265": "hevc", "dnxhr": "dnxhd", "jpeg": "mjpeg"}
# Codec families of a container, in the order in which they are tried when the source's own cannot hold the picture.
_FALLBACKS = {
    "mp4": ("h264", "hevc", "av1", "vp9"),
    "mov": ("h264", "hevc", "prores"),
    "3gp": ("h264",),
    "3g2": ("h264",),
    "webm": ("vp9", "av1"),
    "matroska": ("h264", "hevc", "vp9", "av1", "ffv1"),
    "avi": ("h264", "ffv1"),
    "mpegts": ("h264", "hevc"),
    "mxf": ("dnxhd",),
    "flv": ("h264",),
    "nut": ("ffv1",),
    "mpeg": ("mpeg2video", "mpeg1video"),
    "gif": ("gif",),
}
_HDR_FAMILIES = ("hevc", "av1")  # their encoders write static HDR metadata, and screens expect them with it
# Codecs that an editor's timeline expects. They stay, even where their encoder has less depth than the source.
_EDITING_CODECS = ("prores", "dnxhd", "cfhd")
# Codecs of muxers that do not list what they hold.
_UNLISTED = {
    "mpegts": ("h264", "hevc", "mpeg2video", "mpeg1video", "mpeg4"),
    "mpeg": ("mpeg2video", "mpeg1video"),
    "mxf": ("dnxhd", "mpeg2video", "prores", "h264"),
}
_KINDS = {"pal8": "palette", "monob": "1-bit", "monow": "1-bit"}  # of pictures, by pixel format, as people know them
_KNOWN_CODECS = "use h264, hevc, av1, vp9, prores, dnxhr or ffv1"


def container_of(output: str, *, images: bool = False) -> str:
    """Return the container of an output.

    Args:
        output: Path of the output.
        images: Whether the source is an image sequence. A name without a known suffix is then a folder of images.

    Returns:
        FFmpeg's name of the muxer, or `SEQUENCE`.

    Raises:
        UsageError: The suffix is unknown.
    """
    suffix = Path(output).suffix.lower()
    if images and suffix not in CONTAINERS:
        return SEQUENCE
    if suffix in sequence.IMAGES or suffix == "":
        return SEQUENCE
    if suffix not in CONTAINERS:
        known = " ".join(CONTAINERS)
        raise UsageError(f"no container is known for '{suffix}'", f"use one of {known}")
    return CONTAINERS[suffix]


def choose_encoder(info: ClipInfo, output: str, choice: EncoderOptions, notes: list[str]) -> EncodeSpec:
    """Choose the encoder for a clip and an output path.

    Args:
        info: The clip.
        output: Path of the output.
        choice: The user's options.
        notes: Takes a sentence for every difference from the source.

    Raises:
        UsageError: The user's options cannot be met.
        MediaError: No encoder of the container can hold the picture.
    """
    # Presets of hardware have names of their own.
    software = choice if choice.encoder == "software" else replace(choice, preset=None)
    spec = on_hardware(_choose(info, output, software, notes), info, choice, notes)
    gray_bmp = spec.encoder == "bmp" and spec.pix_fmt == "gray"  # whose gray is a palette
    if info.pix_fmt not in (info.edit_fmt, spec.pix_fmt) and spec.encoder != "gif" and not gray_bmp:
        notes.append(f"{_KINDS.get(info.pix_fmt, info.pix_fmt)} pictures are written as {spec.pix_fmt}")
    if info.layout.alpha and not sibling_layout(spec.pix_fmt).alpha:
        notes.append(f"the alpha channel is lost: {spec.encoder} writes {spec.pix_fmt}")
    if info.hdr and spec.encoder not in HDR_ENCODERS:
        notes.append(f"static HDR metadata is lost: {spec.encoder} cannot write it")
    notes += lost_metadata(info, spec)
    same_name = Path(output).suffix.lower() == Path(info.path).suffix.lower()
    if same_name and not info.is_sequence and spec.container not in info.container.split(","):
        notes.append(f"the file's name means {spec.container}, and it is {info.container}: {spec.container} is written")
    clock = rounding_clock(info.times, spec.container)
    if clock:
        notes.append(f"times are rounded to 1/{clock.denominator} s: {spec.container} has no finer ones")
    return spec


def _choose(info: ClipInfo, output: str, choice: EncoderOptions, notes: list[str]) -> EncodeSpec:
    container = container_of(output, images=info.is_sequence)
    if info.dynamic_hdr:
        notes.append("dynamic HDR metadata (HDR10+ or Dolby Vision) is dropped: no encoder here can write it")
    if container == SEQUENCE:
        return _image_spec(info, output, choice, notes)
    families = _families(info, container, choice)
    spec = _same_samples(info, container, families, choice, notes)
    if spec is None and (choice.codec or info.is_sequence or choice.pix_fmt or info.codec not in families):
        spec = _converted(info, container, families, choice, notes)
    if spec is None:
        raise _nothing_holds(info, container, choice)
    return spec


def _same_samples(
    info: ClipInfo, container: str, families: list[str], choice: EncoderOptions, notes: list[str]
) -> EncodeSpec | None:
    """Return the first family's specification that keeps every sample; an editing codec may lose depth."""
    for family in families:
        spec = None
        if choice.pix_fmt or not info.is_sequence:
            spec = _try_exact(info, container, family, choice, required=family == families[0])
        if spec is None and family == info.codec in _EDITING_CODECS:
            spec = _candidate(info, container, family, choice, exact=False)
            if spec is not None:
                notes.append(
                    f"pixels are converted from {info.edit_fmt} to {spec.pix_fmt}, the closest that {spec.encoder} has"
                )
        if spec is not None:
            expected = _ALIASES.get(choice.codec or "", choice.codec) or info.codec
            if family != expected and not info.is_sequence:
                notes.append(f"{_why_not(info, container, expected)}: {family} is used")
            return spec
    return None


def _why_not(info: ClipInfo, container: str, family: str) -> str:
    """Return why a codec family is not used."""
    if not has_quality(_encoder_of(family)):
        return f"{family} cannot be written without a loss that shows"
    return f"{family} cannot hold {info.width}x{info.height} {info.edit_fmt} in {container}"


def _try_exact(
    info: ClipInfo, container: str, family: str, choice: EncoderOptions, *, required: bool
) -> EncodeSpec | None:
    """Return a candidate that keeps every sample; raise `UsageError` for the user's options only if `required`."""
    try:
        return _candidate(info, container, family, choice, exact=True)
    except UsageError:
        if required:
            raise
        return None


def _converted(
    info: ClipInfo, container: str, families: list[str], choice: EncoderOptions, notes: list[str]
) -> EncodeSpec | None:
    """Return the first family's specification with converted samples."""
    for family in families:
        spec = _candidate(info, container, family, choice, exact=False)
        if spec is not None:
            if info.codec not in families and not info.is_sequence and not choice.codec:
                notes.append(f"{_why_not(info, container, info.codec)}: {family} is used")
            notes.append(f"pixels are converted from {info.edit_fmt} to {spec.pix_fmt} for {spec.encoder}")
            return spec
    return None


def _home(codec: str | None) -> str:
    """Return the suffix of a container that takes a codec family in any case: editors expect theirs in .mov."""
    return ".mov" if _ALIASES.get(codec or "", codec) in _EDITING_CODECS else ".mkv"


def _nothing_holds(info: ClipInfo, container: str, choice: EncoderOptions) -> VremoveError:
    size = f"{info.width}x{info.height}"
    if choice != EncoderOptions():
        return UsageError(
            f"{choice.codec or info.codec} cannot write {size} {choice.pix_fmt or info.edit_fmt} to {container} with "
            "these options",
            f"leave out --codec, --crf, --bitrate, --preset and --pix-fmt, or write to {_home(choice.codec)}",
        )
    return MediaError(f"no encoder for {container} can hold {size} {info.edit_fmt}", "write to .mkv with -o OUT.mkv")


def _families(info: ClipInfo, container: str, choice: EncoderOptions) -> list[str]:
    """Return the codec families to try: the user's alone, or the source's own and then the container's.

    Raises:
        UsageError: The user's codec is not a video codec or has no encoder.
    """
    if not choice.codec:
        own = [info.codec] if not info.is_sequence and has_quality(_encoder_of(info.codec)) else []
        others = _FALLBACKS.get(container, ())
        if info.hdr:
            others = tuple(sorted(others, key=lambda family: family not in _HDR_FAMILIES))
        if _encoder_of(info.codec) in LOSSLESS and not info.is_sequence:
            others = tuple(sorted(others, key=lambda family: family not in LOSSLESS))
        return list(dict.fromkeys([*own, *others]))
    family = _ALIASES.get(choice.codec, choice.codec)
    try:
        kind = av.Codec(_encoder_of(family), "w").type
    except av.codec.codec.UnknownCodecError as error:
        raise UsageError(f"no encoder for '{choice.codec}'", _KNOWN_CODECS) from error
    if kind != "video":
        raise UsageError(f"'{choice.codec}' is no video codec", _KNOWN_CODECS)
    if not has_quality(_encoder_of(family)):
        raise UsageError(f"'{choice.codec}' cannot be written without a loss that shows", _KNOWN_CODECS)
    return [family]


def _candidate(
    info: ClipInfo, container: str, family: str, choice: EncoderOptions, *, exact: bool
) -> EncodeSpec | None:
    """Return a specification that opened on trial, or None.

    Args:
        info: The clip.
        container: FFmpeg's name of the muxer.
        family: Codec family.
        choice: The user's options.
        exact: Whether every sample must reach the encoder unchanged.

    Raises:
        UsageError: The family's encoder lacks an option of the user's.
    """
    if family == "gif":
        options = encoder_options(info, container, "gif", info.edit_fmt, choice)
        return EncodeSpec(container, "gif", info.edit_fmt, options, 1) if container == "gif" else None
    if not _container_holds(container, family):
        return None
    encoders = [_encoder_of(family), *(["libx264rgb"] if family == "h264" else [])]
    for encoder in encoders:
        formats = encoder_formats(encoder)
        if formats is None:
            continue
        for pix_fmt in _formats_to_try(info, formats, choice, exact):
            if formats and pix_fmt not in formats:
                continue
            options = encoder_options(info, container, encoder, pix_fmt, choice)
            spec = EncodeSpec(container, encoder, pix_fmt, options, encoder_threads(encoder))
            if can_write(spec, info):
                return spec
    return None


def _formats_to_try(info: ClipInfo, formats: list[str], choice: EncoderOptions, exact: bool) -> list[str]:
    """Return pixel formats in the order of preference."""
    if choice.pix_fmt:
        return [choice.pix_fmt]
    if exact:
        # The decoder's format comes first; an encoder would need the palette of pal8.
        own = [] if info.pix_fmt == "pal8" else [info.pix_fmt]
        return [*own, info.edit_fmt, *SAME_SAMPLES.get(info.edit_fmt, ())]
    closest = nearest_formats(info.edit_fmt, formats)
    # Every player shows yuv420p.
    return ["yuv420p", *closest] if info.is_sequence and "yuv420p" in formats else closest


def _container_holds(container: str, family: str) -> bool:
    if container in _UNLISTED:
        return family in _UNLISTED[container]
    with av.open(io.BytesIO(), "w", format=container) as trial:
        names = trial.supported_codecs
    return family in names or _encoder_of(family) in names


def _encoder_of(family: str) -> str:
    """Return the name of a codec family's encoder, such as "flv" of "flv1"; the family's own where there is none."""
    if family in _ENCODERS:
        return _ENCODERS[family]
    try:
        return av.Codec(family, "w").name
    except av.codec.codec.UnknownCodecError:
        return family


def image_suffix(output: str, info: ClipInfo) -> str:
    """Return the suffix of the output's images: the output's own, else the source's, else `.png`."""
    suffix = Path(output).suffix.lower()
    if suffix in sequence.IMAGES:
        return suffix
    return Path(info.files[0]).suffix.lower() if info.files else ".png"


def _image_spec(info: ClipInfo, output: str, choice: EncoderOptions, notes: list[str]) -> EncodeSpec:
    """Return the specification of an image sequence: the suffix decides the encoder, the source the depth."""
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
    if not (info.orientation.identity or holds_orientation(encoder)):
        raise UsageError(f"'{suffix}' images cannot say that they are shown turned", "use .png, .tif or .jpg")
    formats = encoder_formats(encoder) or []
    exact = [info.edit_fmt, *SAME_SAMPLES.get(info.edit_fmt, ())]
    if encoder == JPEG:
        own = [info.edit_fmt] if info.is_sequence and info.codec == "mjpeg" else []  # any sampling, and R'G'B', too
        exact = [f for f in exact if "yuvj" in f or f == "gray"] if is_jfif(info) else []
        exact, formats = [*own, *exact], [*own, *formats]
    tried = [choice.pix_fmt] if choice.pix_fmt else [*exact, *nearest_formats(info.edit_fmt, formats)]
    for pix_fmt in (f for f in tried if f in formats):
        options = encoder_options(info, SEQUENCE, encoder, pix_fmt, choice)
        spec = EncodeSpec(SEQUENCE, encoder, pix_fmt, options, 1)
        if can_write(spec, info):
            if pix_fmt not in exact:
                notes.append(f"pixels are converted from {info.edit_fmt} to {pix_fmt} for {encoder}")
            if encoder == JPEG and not holds_sampling(sibling_layout(pix_fmt)):
                notes.append(f"chroma of {pix_fmt} is written with more samples, as {spec}")
            return spec
    raise UsageError(f"{encoder} cannot hold {info.edit_fmt}", "write .png or .tif images")

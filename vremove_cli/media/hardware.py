"""Encoders in hardware: the same family of codecs as the software encoder that was chosen, if this machine has one.

Whether it has one is known once a few frames are encoded; the names that FFmpeg was built with say nothing.
"""

from fractions import Fraction

import av

from vremove_cli.errors import MediaError, UsageError
from vremove_cli.media.clip import SEQUENCE, ClipInfo
from vremove_cli.media.encoder_clock import encoder_rate
from vremove_cli.media.encoder_context import EncodeSpec, black_frame, can_write, configure_encoder, encoder_formats
from vremove_cli.media.encoder_options import FF_QP2LAMBDA, EncoderOptions, bit_rate
from vremove_cli.media.pixel_format import SAME_SAMPLES, SIBLINGS

# Families of codecs by kind of hardware (FFmpeg's names of encoders are FAMILY_KIND).
_FAMILIES = {
    "nvenc": ("h264", "hevc", "av1"),
    "qsv": ("h264", "hevc", "av1", "vp9"),
    "videotoolbox": ("h264", "hevc"),
}
# Option of a constant quality, with the default of libx264 and libx265, whose scale they follow.
_QUALITY = {"nvenc": ("cq", 16), "qsv": ("global_quality", 16)}
_FIXED_OPTIONS = {
    "nvenc": {"rc": "vbr", "preset": "p5", "b": "0"},  # without a bit rate, vbr keeps the quality
    "qsv": {"preset": "slower"},
    "videotoolbox": {"flags": "+qscale", "global_quality": str(75 * FF_QP2LAMBDA)},  # 75 of 100
}
_PRESETS = {
    "nvenc": tuple(f"p{n}" for n in range(1, 8)),
    "qsv": ("veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"),
    "videotoolbox": (),
}
_WITH_CAPTIONS = ("h264", "hevc")  # families whose encoders copy captions, which `captions` writes
_TRIAL_FRAMES = 8
_TRIAL_RATE = Fraction(25)  # frames a second
_TRIAL_SIDE = 256  # pixels, above the least that any of them takes


def kind_of(encoder: str) -> str:
    """Return the kind of hardware of an encoder; empty for software."""
    kind = encoder.rpartition("_")[2]
    return kind if kind in _FAMILIES else ""


def on_hardware(spec: EncodeSpec, info: ClipInfo, choice: EncoderOptions, notes: list[str]) -> EncodeSpec:
    """Return the specification of the hardware encoder that the user wants, or the software's where there is none.

    Args:
        spec: What software would encode.
        info: The clip.
        choice: The user's options.
        notes: Takes the sentence that names the software encoder where it is used.

    Raises:
        UsageError: The hardware's encoders lack an option of the user's.
    """
    kind = choice.encoder
    if kind not in _FAMILIES:
        return spec
    family = spec.codec
    if spec.container == SEQUENCE or family not in _FAMILIES[kind]:
        notes.append(f"{kind} has no encoder for {family}: {spec} is used")
        return spec
    options = _options(kind, family, info, choice)
    for pix_fmt in _same_samples(spec.pix_fmt, encoder_formats(f"{family}_{kind}") or []):
        wanted = EncodeSpec(spec.container, f"{family}_{kind}", pix_fmt, options, 1)
        if encodes(wanted, info):
            return wanted
    notes.append(f"{kind} cannot encode this clip on this machine: {spec} is used")
    return spec


def _same_samples(pix_fmt: str, formats: list[str]) -> list[str]:
    """Return those of an encoder's pixel formats that hold the same samples."""
    packed = [name for name, planes in SIBLINGS.items() if planes == pix_fmt]
    return [name for name in (pix_fmt, *SAME_SAMPLES.get(pix_fmt, ()), *packed) if name in formats]


def _options(kind: str, family: str, info: ClipInfo, choice: EncoderOptions) -> dict[str, str]:
    """Return the options of a hardware encoder; raises `UsageError` for one that it lacks."""
    options = dict(_FIXED_OPTIONS[kind])
    if family in _WITH_CAPTIONS:
        options["a53cc"] = "0"
    if choice.preset:
        if choice.preset not in _PRESETS[kind]:
            advice = f"choose {', '.join(_PRESETS[kind])}" if _PRESETS[kind] else "leave it out"
            raise UsageError(f"{kind} has no --preset {choice.preset}", advice)
        options["preset"] = choice.preset
    wanted = bit_rate(info, choice)
    if wanted:
        return {k: v for k, v in options.items() if k not in ("flags", "global_quality")} | {"b": str(wanted)}
    if kind not in _QUALITY:
        if choice.crf is not None:
            raise UsageError(f"{kind} has no --crf", "leave it out, or add --bitrate")
        return options
    name, usual = _QUALITY[kind]
    return options | {name: str(usual if choice.crf is None else choice.crf)}


def encodes(spec: EncodeSpec, info: ClipInfo) -> bool:
    """Return whether an encoder takes a few frames and gives as many packets, and its container the stream."""
    if not can_write(spec, info):
        return False
    try:
        context = av.CodecContext.create(spec.encoder, "w")
        configure_encoder(context, spec, info, encoder_rate(info.times, spec.encoder))
        packets = 0
        for index in range(_TRIAL_FRAMES):
            frame = black_frame(info, spec.pix_fmt)
            frame.pts, frame.time_base = index, context.time_base
            packets += len(context.encode(frame))
        return packets + len(context.encode(None)) == _TRIAL_FRAMES
    except (av.error.FFmpegError, ValueError, RuntimeError):
        return False


def require(spec: EncodeSpec, info: ClipInfo) -> None:
    """Raise `MediaError` where a plan's hardware encoder does not work on this machine, or does not any more."""
    if kind_of(spec.encoder) and not encodes(spec, info):
        raise MediaError(
            f"{spec.encoder} cannot encode on this machine",
            "finish where it was planned, or plan again with --encoder software: the work is kept",
        )


def working() -> list[str]:
    """Return the names of the hardware encoders that encode on this machine."""
    found = []
    for kind, families in _FAMILIES.items():
        for name in (f"{family}_{kind}" for family in families):
            if any(_opens(name, f) for f in ("nv12", "yuv420p") if f in (encoder_formats(name) or [])):
                found.append(name)
    return found


def _opens(encoder: str, pix_fmt: str) -> bool:
    try:
        context = av.CodecContext.create(encoder, "w")
        context.width, context.height, context.pix_fmt = _TRIAL_SIDE, _TRIAL_SIDE, pix_fmt
        context.framerate, context.time_base = _TRIAL_RATE, 1 / _TRIAL_RATE
        context.open()
    except (av.error.FFmpegError, ValueError, RuntimeError):
        return False
    return True

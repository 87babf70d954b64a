"""The options of each encoder: quality, speed, profile and static HDR metadata."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from vremove_cli import threads
from vremove_cli.errors import UsageError
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.encoder_context import LOSSLESS, sibling_layout
from vremove_cli.media.frame_metadata import CHROMATICITY_STEPS, LUMINANCE_STEPS
from vremove_cli.media.tiff_image import OTHERWISE, compression

# SVT-AV1 writes a banner to stderr without this.
os.environ.setdefault("SVT_LOG", "0")

FEW_FRAMES = 4  # frames up to which x265, flushed before it has decided on B-frames, leaves the dts to chance

# Default quality by encoder, visually lossless, as a constant rate factor in the encoder's own scale.
_CRF = {"libx264": 16, "libx264rgb": 16, "libx265": 16, "libvpx-vp9": 18, "libvpx": 4, "libsvtav1": 18}
_X264_NAMES = {"master-display": "mastering-display", "max-cll": "cll"}  # of x265's options
_PRESET = {"libx264": "medium", "libx264rgb": "medium", "libx265": "medium", "libsvtav1": "7"}
_SPEEDS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
_PRESETS = {
    **dict.fromkeys(("libx264", "libx264rgb", "libx265"), _SPEEDS),
    "libsvtav1": tuple(str(n) for n in range(14)),
}
HDR_ENCODERS = ("libx264", "libx265", "libsvtav1")  # those that write static HDR metadata
# Profile of prores_ks by the codec's tag: proxy, LT, standard, HQ, 4444, 4444 XQ.
_PRORES_PROFILES = {"apco": "0", "apcs": "1", "apcn": "2", "apch": "3", "ap4h": "4", "ap4x": "5"}
# Encoders with a quality of their own.
_OWN_QUALITY = (*_CRF, "prores_ks", "dnxhd", "cfhd", "libwebp", "gif", *LOSSLESS)
# Encoders that keep the picture with a fixed quantiser scale: 38 to 44 dB at _QSCALE, on a scene with noise.
_QUANTISER = (
    "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v2", "msmpeg4", "wmv1", "wmv2", "flv", "h261", "h263", "h263p",
    "mjpeg", "speedhq", "asv2",
)  # fmt: skip
_QSCALE = 2  # 1 is the best of 31
_WEBP_QUALITY = "100"  # of 100: 43 dB, as the quantiser scale of JPEG gives
_FIXED_OPTIONS = {
    "libvpx-vp9": {"b": "0", "row-mt": "1", "deadline": "good", "cpu-used": "4"},
    "libvpx": {"b": "60M", "deadline": "good", "cpu-used": "2"},
    "ffv1": {"level": "3", "slicecrc": "1"},
    "jpeg2000": {"pred": "dwt53"},  # a reversible wavelet
}
FF_QP2LAMBDA = 118  # lambda units in one step of a quantiser scale (libavutil/avutil.h)
# x264 keeps to a bit rate within a tenth of its usual tolerance: 96 frames came out at .96 to .97 of 0.5 and 2 Mbit/s,
# and with the usual one at .86 to .88 (tests/benchmarks/bitrate.py).
_RATE_TOLERANCE = "ratetol=0.1"
MATCH = "match"  # the bit rate of the source
_MAX_THREADS = 16
# Containers without presentation times of their own: frames reordered by B-frames would come back elsewhere.
_WITHOUT_PTS = ("avi", "flv", "mxf")


@dataclass(frozen=True)
class EncoderOptions:
    """The user's encoder options. None keeps the source's value or takes the encoder's default.

    Attributes:
        codec: Codec family or FFmpeg's name of a codec, such as "hevc".
        crf: Constant rate factor in the encoder's scale.
        preset: Speed preset of the encoder.
        pix_fmt: Pixel format of the output.
        bitrate: Mean bits a second, or "match" for those of the source's video stream.
        encoder: "software", or a kind of hardware (`hardware`).
    """

    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    bitrate: str | None = None
    encoder: str = "software"


def has_quality(encoder: str) -> bool:
    """Return whether an encoder keeps the picture. FFmpeg gives 200 kbit/s to one without a rule, whatever its size."""
    return encoder in _OWN_QUALITY or encoder in _QUANTISER


def encoder_threads(encoder: str) -> int:
    """Return the number of threads: one with a quantiser scale, else as many as the job may use, up to 16."""
    return 1 if encoder not in _OWN_QUALITY else min(threads.count(), _MAX_THREADS)


def encoder_options(
    info: ClipInfo, container: str, encoder: str, pix_fmt: str, choice: EncoderOptions
) -> dict[str, str]:
    """Return the options of an encoder.

    Args:
        info: The clip.
        container: FFmpeg's name of the muxer.
        encoder: FFmpeg's name of the encoder.
        pix_fmt: Pixel format that the encoder gets.
        choice: The user's options.

    Raises:
        UsageError: The user gives an option that the encoder does not have.
    """
    options = _own_options(info, encoder, pix_fmt)
    wanted = bit_rate(info, choice)
    if wanted:
        options = _at_bit_rate(encoder, options, wanted)
    elif encoder in _CRF:
        options["crf"] = str(_CRF[encoder] if choice.crf is None else choice.crf)
    elif choice.crf is not None:
        raise UsageError(f"{encoder} has no --crf", "leave it out, or choose --codec h264, hevc, av1 or vp9")
    if encoder in _PRESET:
        options["preset"] = choice.preset or _PRESET[encoder]
        if options["preset"] not in _PRESETS[encoder]:
            raise UsageError(f"{encoder} has no --preset {choice.preset}", f"choose {', '.join(_PRESETS[encoder])}")
    elif choice.preset:
        raise UsageError(f"{encoder} has no --preset", "leave it out, or choose --codec h264, hevc or av1")
    if container in _WITHOUT_PTS:
        options["bf"] = "0"
    return options


def bit_rate(info: ClipInfo, choice: EncoderOptions) -> int | None:
    """Return the mean bits a second that the user wants; None where a quality is to be kept.

    Raises:
        UsageError: The clip has no bit rate to match.
    """
    if choice.bitrate is None:
        return None
    if choice.bitrate != MATCH:
        return int(choice.bitrate)
    if not info.bit_rate:
        raise UsageError("images have no bit rate to match", "write it, as in --bitrate 8M")
    return info.bit_rate


def _at_bit_rate(encoder: str, options: dict[str, str], wanted: int) -> dict[str, str]:
    """Return an encoder's options with a bit rate instead of a quality.

    Raises:
        UsageError: The encoder's quality or its losslessness decides how large a frame is.
    """
    if encoder not in (*_CRF, *_QUANTISER):
        raise UsageError(f"{encoder} has no --bitrate", "leave it out, or choose --codec h264, hevc, av1 or vp9")
    kept = {k: v for k, v in options.items() if k not in ("flags", "global_quality", "qmin")}
    if encoder in ("libx264", "libx264rgb"):
        kept["x264-params"] = ":".join(filter(None, [kept.get("x264-params"), _RATE_TOLERANCE]))
    return kept | {"b": str(wanted)}


def _own_options(info: ClipInfo, encoder: str, pix_fmt: str) -> dict[str, str]:
    """Return the options of one encoder besides its CRF and preset."""
    if encoder in ("prores_ks", "dnxhd"):
        return _mastering_options(info, encoder, pix_fmt)
    if encoder in ("libx264", "libx264rgb"):
        hdr = ":".join(f"{_X264_NAMES.get(k, k)}={v}" for k, v in info.hdr.items())
        return {"a53cc": "0", **({"x264-params": hdr} if hdr else {})}  # closed captions are written by `captions`
    if encoder == "libx265":
        hdr = "".join(f":{k}={v}" for k, v in info.hdr.items())
        few = ":bframes=0" if info.frames <= FEW_FRAMES else ""
        return {"x265-params": f"log-level=none{few}{hdr}{':hdr10=1' if hdr else ''}"}
    if encoder == "libsvtav1" and info.hdr:
        return {"svtav1-params": ":".join(_svt_hdr(info.hdr))}
    if encoder in _FIXED_OPTIONS:
        return dict(_FIXED_OPTIONS[encoder])
    if encoder == "tiff":
        return {"compression_algo": compression(Path(info.files[0])) if info.codec == "tiff" else OTHERWISE}
    if encoder == "libwebp":
        return {"lossless": "1"} if sibling_layout(pix_fmt).model == "rgb" else {"quality": _WEBP_QUALITY}
    if encoder in _QUANTISER:
        return {"flags": "+qscale", "global_quality": str(_QSCALE * FF_QP2LAMBDA), "qmin": "1"}
    return {}


def _mastering_options(info: ClipInfo, encoder: str, pix_fmt: str) -> dict[str, str]:
    """Return the profile of an editing codec: the source's own, or the least that keeps the pixel format."""
    layout = sibling_layout(pix_fmt)
    full_chroma = layout.sub_x == 0
    if encoder == "prores_ks":
        return {"profile": _PRORES_PROFILES.get(info.tag, "4" if full_chroma else "3"), "vendor": "apl0"}
    return {"profile": "dnxhr_444" if full_chroma else "dnxhr_hqx" if layout.bits > 8 else "dnxhr_hq"}


def _svt_hdr(hdr: dict[str, str]) -> list[str]:
    """Convert x265's notation of static HDR metadata to SVT-AV1's, whose numbers are plain decimals."""
    out = []
    if "master-display" in hdr:
        pairs = re.findall(r"([A-Z]+)\((\d+),(\d+)\)", hdr["master-display"])
        units = {"L": LUMINANCE_STEPS}
        parts = (
            f"{k}({int(a) / units.get(k, CHROMATICITY_STEPS):.5f},{int(b) / units.get(k, CHROMATICITY_STEPS):.5f})"
            for k, a, b in pairs
        )
        out.append("mastering-display=" + "".join(parts))
    if "max-cll" in hdr:
        out.append(f"content-light={hdr['max-cll']}")
    return out

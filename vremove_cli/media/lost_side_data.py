"""Say what pictures carry beside their samples and the chosen encoder does not write."""

from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.encoder_context import EncodeSpec
from vremove_cli.media.frame_metadata import UNNAMED_KIND

# FFmpeg's numbers (libavutil/frame.h) of kinds that PyAV does not name.
_LCEVC, _VIEW_ID, _ST_2094_50 = (UNNAMED_KIND.format(n) for n in (28, 29, 32))
_X264 = ("libx264", "libx264rgb")
# What is lost, by kind, and the encoders that keep it. HDR metadata is judged where the encoder is chosen.
_KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    _VIEW_ID: ("the second view of stereoscopic video (MV-HEVC)", ()),
    _LCEVC: ("the LCEVC enhancement layer", ()),
    _ST_2094_50: ("dynamic HDR metadata (SMPTE ST 2094-50)", ()),
    "SPHERICAL": ("the projection of 360-degree video", ()),
    "STEREO3D": ("how stereoscopic pictures are arranged", _X264),
    "A53_CC": ("closed captions", (*_X264, "libx265", "mpeg2video")),
    "ICC_PROFILE": ("the ICC colour profile", ("png", "mjpeg", "libwebp", "tiff")),
    "AFD": ("the active format description", ()),
    "S12M_TIMECODE": ("timecodes in the pictures", ()),
    "AMBIENT_VIEWING_ENVIRONMENT": ("the ambient viewing environment", ()),
}


def lost_side_data(info: ClipInfo, spec: EncodeSpec) -> list[str]:
    """Return a sentence about what is lost, or none."""
    found = [_KINDS[k] for k in info.side_data if k in _KINDS]
    lost = [what for what, encoders in found if spec.encoder not in encoders]
    return [f"lost with {spec.encoder}: {', '.join(lost)}"] if lost else []

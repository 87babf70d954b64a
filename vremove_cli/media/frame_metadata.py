"""Read what a decoded frame says of itself: colour tags, display matrix and HDR metadata."""

import math
import struct
from fractions import Fraction

import av
from av.sidedata.sidedata import Type

from vremove_cli.errors import MediaError
from vremove_cli.geometry import Orientation
from vremove_cli.media.colour import Colour

# A display matrix (libavutil/display.h) holds 16.16 fixed-point numbers, its last column 2.30.
_ONE_16_16, _ONE_2_30 = 1 << 16, 1 << 30
# Units of x265's --master-display: chromaticity in steps of 0.00002, luminance in steps of 0.0001 cd/m2.
CHROMATICITY_STEPS, LUMINANCE_STEPS = 50000, 10000
# Codecs whose side data must not be listed: a colour profile with a name crashes PyAV 18 when the frame is freed.
_UNLISTED = ("png", "apng")
UNNAMED_KIND = "KIND_{}"  # name of a kind of side data that PyAV has no name for, with FFmpeg's number
_DYNAMIC_HDR = (Type.DYNAMIC_HDR_PLUS, Type.DOVI_METADATA, Type.DOVI_RPU_BUFFER, Type.DYNAMIC_HDR_VIVID)


def colour_of(frame: av.VideoFrame) -> Colour:
    """Return the colour tags of a decoded frame."""
    codes = (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range)
    return Colour(*(int(c) for c in codes))


def display_matrix(frame: av.VideoFrame, path: str, codec: str) -> tuple[int, ...]:
    """Return the display matrix of a decoded frame.

    Args:
        frame: The clip's first frame.
        path: Path of the clip, for the error.
        codec: FFmpeg's name of its codec.

    Returns:
        Nine fixed-point numbers in row order; empty if the frame is shown as it is stored.

    Raises:
        MediaError: The rotation is not a multiple of 90 degrees.
    """
    data = side_data(frame, Type.DISPLAYMATRIX, codec)
    if data is not None:
        matrix = struct.unpack("<9i", data[:36])
    elif frame.rotation:
        angle = math.radians(frame.rotation)
        cosine, sine = round(math.cos(angle) * _ONE_16_16), round(math.sin(angle) * _ONE_16_16)
        matrix = (cosine, -sine, 0, sine, cosine, 0, 0, 0, _ONE_2_30)
    else:
        return ()
    if Orientation.from_matrix(matrix) is None:
        raise MediaError(
            f"{path} is rotated by an angle that is no multiple of 90 degrees",
            "turn it upright first, for example with ffmpeg",
        )
    return matrix


def static_hdr(frame: av.VideoFrame, codec: str) -> dict[str, str]:
    """Return static HDR metadata (SMPTE ST 2086, CTA-861.3) in x265's notation, by the name of x265's option."""
    options = {}
    mastering = side_data(frame, Type.MASTERING_DISPLAY_METADATA, codec)
    if mastering is not None:
        # AVMasteringDisplayMetadata: red, green, blue and white as (x, y), then least and largest luminance.
        numbers = struct.unpack("<20i", mastering[:80])
        values = [Fraction(n, d or 1) for n, d in zip(numbers[::2], numbers[1::2], strict=True)]
        red, green, blue, white = (
            (round(values[i] * CHROMATICITY_STEPS), round(values[i + 1] * CHROMATICITY_STEPS)) for i in (0, 2, 4, 6)
        )
        least, largest = (round(v * LUMINANCE_STEPS) for v in values[8:10])
        pairs = [f"{k}({x},{y})" for k, (x, y) in (("G", green), ("B", blue), ("R", red), ("WP", white))]
        options["master-display"] = "".join(pairs) + f"L({largest},{least})"
    light = side_data(frame, Type.CONTENT_LIGHT_LEVEL, codec)
    if light is not None:
        options["max-cll"] = "{},{}".format(*struct.unpack("<2I", light[:8]))
    return options


def has_dynamic_hdr(frame: av.VideoFrame, codec: str) -> bool:
    """Return whether a frame carries dynamic HDR metadata, which no bundled encoder writes."""
    return any(side_data(frame, kind, codec) is not None for kind in _DYNAMIC_HDR)


def side_data_kinds(frame: av.VideoFrame, codec: str) -> set[str]:
    """Return the names of the kinds of side data that a frame has."""
    return set() if codec in _UNLISTED else {str(data.type.name) for data in frame.side_data}


def side_data(frame: av.VideoFrame, kind: Type, codec: str) -> bytes | None:
    """Return side data of a frame; None if it has none of that kind."""
    if codec in _UNLISTED:
        return None
    data = frame.side_data.get(kind)
    return None if data is None else bytes(data)


def _unnamed(cls: type[Type], number: int) -> Type:
    """Return a member for a kind of side data that FFmpeg has and PyAV does not name."""
    member = object.__new__(cls)
    member._name_ = UNNAMED_KIND.format(number)
    member._value_ = number  # type: ignore[assignment]
    return member


# PyAV lists all side data of a frame at once, and a kind without a name raises an error: one would hide all others.
Type._missing_ = classmethod(_unnamed)  # type: ignore[assignment, method-assign]

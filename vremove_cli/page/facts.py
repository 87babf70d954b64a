"""What every page must know of a clip."""

from fractions import Fraction
from pathlib import Path
from typing import Any

from vremove_cli.media.clip import ClipInfo


def clip_facts(info: ClipInfo) -> dict[str, Any]:
    """Return a clip's size as it is displayed, its times in seconds and its cuts, as JSON values."""
    width, height = info.shown_size
    aspect = info.aspect or Fraction(1)
    return {
        "name": Path(info.path).name,
        "frames": info.frames,
        "width": width,
        "height": height,
        "aspect": float(1 / aspect if info.orientation.transpose else aspect),
        "seconds": [round(float(info.times.seconds(i)), 4) for i in range(info.frames)],
        "timecode": info.timecode,
        "rate": float(info.times.rate),
        "cuts": list(info.cuts),
    }

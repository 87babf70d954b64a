"""The score of a result: its measures, and one number made of them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_ASPECTS = (("background",), ("warp_error", "flicker"), ("sharpness", "grain"), ("seam",), ("outside_kept",))
_SHARES = ("background", "outside_kept")
_LEAST = 0.01  # of a factor: one measure alone, as far from its optimum as it may be, does not make all others vain


@dataclass(frozen=True)
class Score:
    """How good a result is. A measure is None where the clip, or what was given, does not allow it.

    Measures that are called a ratio are means in the hole over means in the ring round it: 1 is best. `docs/score.md`
    says what each means and where it fails.

    Attributes:
        overall: 0 to 100, from the measures without a truth; see `overall_of`.
        still_there: Share of the object that the result still shows, 0 (gone) to 1.
        background: Share, 0 to 1, of the hole's pixels that show what other frames of the source show in their place,
            within 12 of 255 levels.
        background_known: Share of the hole's pixels, 0 to 1, that other frames show.
        warp_error: Ratio of the differences from neighbouring frames, warped by the background's flow.
        flicker: Ratio of the second differences in time along that flow.
        sharpness: Ratio of the Laplacian's mean magnitude.
        grain: Ratio of the noise's standard deviation.
        seam: Ratio of the steepest line along the hole's border to lines parallel to it.
        outside_kept: Share, 0 to 1, of the pixels outside the grown mask that are within 12 levels of the source's.
        outside_equal: Share, 0 to 1, of them that are equal to the source's as 8-bit R'G'B'.
        outside_psnr: PSNR of them against the source, dB, 68.1 at most.
        psnr: PSNR of the hole against the truth, dB, 68.1 at most.
        ssim: Mean structural similarity of the hole to the truth's, -1 to 1.
        lpips: Mean LPIPS distance of the box round the hole from the truth's, 0 for equal pictures.
        success_median: Median over the frames of the learnt success score, 0 to 1.
        success_p10: 10th percentile of it.
        frames: Number of frames of the result.
        measured: Number of frames whose hole was measured.
    """

    overall: float
    still_there: float
    background: float | None
    background_known: float
    warp_error: float | None
    flicker: float | None
    sharpness: float
    grain: float
    seam: float | None
    outside_kept: float | None
    outside_equal: float | None
    outside_psnr: float | None
    psnr: float | None
    ssim: float | None
    lpips: float | None
    success_median: float | None
    success_p10: float | None
    frames: int
    measured: int


def overall_of(measures: Mapping[str, float | None]) -> float:
    """Return the overall number of a result.

    It is 100, times the share of the object that is gone, times the geometric mean of one factor for each aspect:
    background, time, texture, border, outside. The factor of an aspect is the geometric mean of its measures'. A share
    is its own factor; a ratio r counts as the smaller of r and 1 / r. What is None does not count, and the background
    counts as much as other frames show of it.

    Args:
        measures: The measures by the names of `Score`'s fields.

    Returns:
        0 to 100.
    """
    logs: list[float] = []
    weights: list[float] = []
    for aspect in _ASPECTS:
        known = [_factor(name, value) for name in aspect if (value := measures[name]) is not None]
        if known:
            logs.append(float(np.mean(np.log(known))))
            weights.append(measures["background_known"] or 0.0 if aspect == ("background",) else 1.0)
    mean = np.average(np.array(logs), weights=np.array(weights))
    return 100 * (1 - (measures["still_there"] or 0.0)) * float(np.exp(mean))


def _factor(name: str, value: float) -> float:
    """Return the factor, 0.01 to 1, of a measure."""
    factor = value if name in _SHARES else min(value, 1 / max(value, _LEAST))
    return max(factor, _LEAST)

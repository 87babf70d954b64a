"""Confidence of a mask: the intersection over union that is to be expected with the true mask.

A linear function of what can be measured without the truth, fitted by least squares on drawn scenes.
"""

from dataclasses import astuple, dataclass

import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.tracking.flow.colour_histogram import histogram
from vremove_cli.tracking.flow.initial_mask import separation

_CONSTANT, _WEIGHTS = 0.0, (0.48, 0.41, 0.78)  # fitted on drawn scenes 0-31


@dataclass(frozen=True)
class MaskFeatures:
    """What is measured of a mask, 0 to 1 each.

    Attributes:
        agreement: How well trial segmentations of the prompted frame agreed.
        familiarity: How like the colours of the prompted frame's mask its colours are (Bhattacharyya coefficient).
        separation: How different its colours and those of its surroundings are.
    """

    agreement: float
    familiarity: float
    separation: float


def measure_mask(bins: Array, mask: Array, object_histogram: Array, agreement: float) -> MaskFeatures:
    """Measure a mask.

    Args:
        bins: Histogram bins (H, W) of the frame's colours.
        mask: Mask (H, W) bool, not empty.
        object_histogram: Colours of the object on the prompted frame.
        agreement: How well trial segmentations of the prompted frame agreed, 0 to 1.
    """
    return MaskFeatures(
        agreement=agreement,
        familiarity=float(np.sqrt(histogram(bins, mask * 1.0) * object_histogram).sum()),
        separation=separation(mask, bins),
    )


def expected_iou(features: MaskFeatures) -> float:
    """Return the intersection over union with the true mask that is to be expected, 0 to 1."""
    return float(np.clip(_CONSTANT + np.dot(_WEIGHTS, astuple(features)), 0, 1))

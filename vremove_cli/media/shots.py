"""Detect cuts between shots from thumbnails.

A frame starts a new shot when three measures of the change from the frame before agree:

1. The mean absolute difference of the two thumbnails exceeds `MIN_DIFFERENCE`.
2. It exceeds `MIN_RATIO` times the median difference of the surrounding frames. A fast pan fails here: its differences
   are large before and after as well.
3. The intersection of the two colour histograms (Swain and Ballard, "Color indexing", IJCV 1991) is below
   `MAX_INTERSECTION`. Moved content of the same scene fails here.
"""

import av
import cv2
import numpy as np

from vremove_cli.geometry import Array

THUMBNAIL = (64, 36)  # width and height in pixels
MIN_DIFFERENCE = 14.0  # mean absolute difference of R, G and B, in 8-bit code values (0 to 255)
MIN_RATIO = 3.0  # difference over the median of its neighbours
MAX_INTERSECTION = 0.6  # 0 for disjoint histograms to 1 for equal ones
NEIGHBOURS = 4  # frames before and after that give the median
_BINS = 6  # of the histogram, for each of R, G and B
_LEAST_MEDIAN = 1.0  # 8-bit code values; in a still shot noise is no cut


class CutDetector:
    """Finds cuts in frames that arrive in display order."""

    def __init__(self) -> None:
        self._previous: Array | None = None
        self._differences: list[float] = []
        self._intersections: list[float] = []

    def add(self, frame: av.VideoFrame) -> None:
        """Add the next decoded frame."""
        thumbnail = frame.reformat(*THUMBNAIL, format="rgb24").to_ndarray()
        if self._previous is not None:
            self._differences.append(float(np.abs(thumbnail.astype(np.int16) - self._previous).mean()))
            self._intersections.append(_intersection(thumbnail, self._previous))
        self._previous = thumbnail

    @property
    def cuts(self) -> tuple[int, ...]:
        """Indices of the first frames of new shots, without frame 0."""
        out = []
        for i, difference in enumerate(self._differences):
            around = self._differences[max(0, i - NEIGHBOURS) : i] + self._differences[i + 1 : i + 1 + NEIGHBOURS]
            usual = max(float(np.median(around)), _LEAST_MEDIAN) if around else _LEAST_MEDIAN
            if (
                difference > MIN_DIFFERENCE
                and difference > MIN_RATIO * usual
                and self._intersections[i] < MAX_INTERSECTION
            ):
                out.append(i + 1)
        return tuple(out)


def _intersection(a: Array, b: Array) -> float:
    """Return the intersection of the normalised RGB histograms of two pictures (h, w, 3) uint8, in [0, 1]."""
    histograms = []
    for picture in (a, b):
        counts = cv2.calcHist([picture], [0, 1, 2], None, [_BINS] * 3, [0, 256] * 3)
        histograms.append(counts / counts.sum())
    return float(np.minimum(*histograms).sum())

"""Where one shot ends and another begins."""

from typing import Any

import cv2
import numpy as np

from vremove_cli.geometry import Array

THUMB = (64, 36)
# A cut changes the picture far more than its neighbours do: mean change of a thumbnail in 8-bit levels, its ratio to
# the changes around it, and how little the two colour histograms have in common. All three must hold, so that a fast
# pan (large change, but as large before and after) or a flash (same histogram shape soon after) is no cut.
CHANGE = 14.0
RATIO = 3.0
OVERLAP = 0.6
NEIGHBOURS = 4


class CutFinder:
    """Collects frames in display order; `cuts` are the first frames of new shots."""

    def __init__(self) -> None:
        self._last: Array | None = None
        self._changes: list[float] = []
        self._overlaps: list[float] = []

    def add(self, frame: Any) -> None:
        """Take the next decoded frame (an av.VideoFrame)."""
        thumb = frame.reformat(*THUMB, format="rgb24").to_ndarray()
        if self._last is not None:
            self._changes.append(float(np.abs(thumb.astype(np.int16) - self._last).mean()))
            self._overlaps.append(_overlap(thumb, self._last))
        self._last = thumb

    @property
    def cuts(self) -> tuple[int, ...]:
        out = []
        for i, change in enumerate(self._changes):
            around = self._changes[max(0, i - NEIGHBOURS) : i] + self._changes[i + 1 : i + 1 + NEIGHBOURS]
            usual = max(float(np.median(around)), 1.0) if around else 1.0
            if change > CHANGE and change > RATIO * usual and self._overlaps[i] < OVERLAP:
                out.append(i + 1)
        return tuple(out)


def _overlap(a: Array, b: Array) -> float:
    """Histogram intersection of two thumbnails in [0, 1]."""
    shares = []
    for picture in (a, b):
        counts = cv2.calcHist([picture], [0, 1, 2], None, [6, 6, 6], [0, 256] * 3)
        shares.append(counts / counts.sum())
    return float(np.minimum(*shares).sum())

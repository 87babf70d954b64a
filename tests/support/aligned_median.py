"""Baseline of the benchmarks: the median over time of frames aligned by similarities, the simplest that can work."""

import cv2
import numpy as np

MOST_FRAMES = 32  # of the median
STILL = 0.15  # pixels: median motion below which a frame is taken as aligned already, and exactly so


def grown(mask: np.ndarray, px: int) -> np.ndarray:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * px + 1, 2 * px + 1))
    return np.stack([cv2.dilate(m.astype(np.uint8), disc) for m in mask]) > 0


class Alignment:
    """Similarities from every frame to the middle one, chained between neighbours and then refined; and exposures."""

    def __init__(self, clip: np.ndarray, mask: np.ndarray) -> None:
        self._grays = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in clip]
        self._free = [(~m).astype(np.uint8) for m in grown(mask, 6)]
        self._centre = len(clip) // 2
        self.to_centre = {self._centre: np.eye(3)}
        for step in (1, -1):
            for t in range(self._centre + step, len(clip) if step > 0 else -1, step):
                chained = self.to_centre[t - step] @ self._similarity(t, t - step, np.eye(3))
                self.to_centre[t] = self._similarity(t, self._centre, chained)
        self.still = all(np.array_equal(m, np.eye(3)) for m in self.to_centre.values())
        self.exposure = [self._exposure(t) for t in range(len(clip))]

    def _similarity(self, t: int, s: int, start: np.ndarray) -> np.ndarray:
        """The similarity from frame t to frame s, near `start`; `start` itself if too little is seen in both."""
        size = self._grays[t].shape[::-1]
        moved = cv2.warpPerspective(self._grays[t], start, size)
        free = cv2.warpPerspective(self._free[t], start, size) & self._free[s]
        moved = cv2.convertScaleAbs(moved, alpha=_gain(moved, self._grays[s], free))  # LK wants equal brightness
        corners = cv2.goodFeaturesToTrack(self._grays[s], 400, 0.01, 8, mask=free)
        if corners is None or len(corners) < 12:
            return start
        found, state, _ = cv2.calcOpticalFlowPyrLK(self._grays[s], moved, corners, None, winSize=(21, 21))
        tracked = state[:, 0] > 0
        if np.count_nonzero(tracked) < 12:
            return start
        here, there = found[tracked], corners[tracked]
        if float(np.median(np.linalg.norm((here - there)[:, 0], axis=1))) < STILL:
            return start
        fitted, _ = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=1.0, maxIters=2000)
        return start if fitted is None else np.vstack([fitted, [0, 0, 1]]) @ start

    def _exposure(self, t: int) -> float:
        """Factor that makes frame t as bright as the middle one."""
        size = self._grays[t].shape[::-1]
        moved = cv2.warpPerspective(self._grays[t], self.to_centre[t], size)
        free = cv2.warpPerspective(self._free[t], self.to_centre[t], size) & self._free[self._centre]
        return _gain(moved, self._grays[self._centre], free)


def _gain(moved: np.ndarray, target: np.ndarray, free: np.ndarray) -> float:
    """Factor that makes one picture (H, W) as bright as another, from what both show."""
    seen = (free > 0) & (moved > 16) & (moved < 240)
    return float(np.median(target[seen].astype(np.float32) / moved[seen])) if seen.any() else 1.0


def aligned_median(clip: np.ndarray, mask: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The baseline: the clip with the median of aligned frames on the wanted pixels (T, H, W) bool."""
    alignment, hidden = Alignment(clip, mask), grown(mask, 4)
    sources = np.unique(np.linspace(0, len(clip) - 1, min(MOST_FRAMES, len(clip))).round().astype(int))
    out = clip.copy()
    for t, where in enumerate(wanted):
        seen = np.stack([_seen_from(t, s, alignment, clip[s], hidden[s], where) for s in sources])
        count = np.isfinite(seen[..., 0]).sum(axis=0)
        ordered = np.sort(seen, axis=0)  # NaN last
        lower, upper = (
            np.take_along_axis(ordered, k[None, :, None], 0)[0] for k in (np.maximum(count - 1, 0) // 2, count // 2)
        )
        out[t][where] = np.clip(np.rint(np.nan_to_num((lower + upper) / 2)), 0, 255)
        never = np.zeros(where.shape, np.uint8)
        never[where] = count == 0
        out[t] = cv2.inpaint(out[t], never, 5, cv2.INPAINT_TELEA) if never.any() else out[t]
    return out


def _seen_from(
    t: int, s: int, alignment: Alignment, picture: np.ndarray, hidden: np.ndarray, where: np.ndarray
) -> np.ndarray:
    """What frame s shows (N, 3) of the wanted pixels of frame t; NaN where it is hidden or outside."""
    free = np.where(hidden, 0, 1).astype(np.uint8)
    if not alignment.still:
        matrix, size = np.linalg.inv(alignment.to_centre[t]) @ alignment.to_centre[s], where.shape[::-1]
        picture = cv2.warpPerspective(picture, matrix, size, flags=cv2.INTER_CUBIC)
        free = cv2.warpPerspective(free, matrix, size, flags=cv2.INTER_NEAREST)
    values = picture[where].astype(np.float32) * (alignment.exposure[s] / alignment.exposure[t])
    values[free[where] == 0] = np.nan
    return values

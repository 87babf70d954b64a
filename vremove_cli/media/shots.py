"""Detect cuts between shots from thumbnails.

A frame continues a shot if its blocks are found again in the frame before: at the same place, or near where the motion
of the whole picture moved them (phase correlation; Kuglin and Hines, "The phase correlation image alignment method",
1975). Blocks are compared by their normalised covariance, which a change of light does not alter. A frame starts a new
shot if

1. few of its blocks are found, and many more in the frames around. A whip pan and noise that is new in each frame fail
   here: their blocks are lost in the neighbours as well. (The ratio to the neighbours is the idea of PySceneDetect's
   AdaptiveDetector.)
2. no frame after it shows what one before it showed. After a flash, or something that fills the picture, the shot goes
   on.

Where the pictures have no structure, such as cards in one colour, a sudden difference of colour is a cut.
"""

import av
import cv2
import numpy as np

from vremove_cli.geometry import Array

THUMBNAIL = (128, 72)  # width and height in pixels
BLOCK = 16  # pixels of a thumbnail
FOUND = 0.6  # normalised covariance from which a block is the same
LOST = 0.4  # share of blocks found below which the pictures differ
MARGIN = 0.15  # by which the neighbours' share is higher
FLASH = 4  # frames that a flash may last
NEIGHBOURS = 3  # frames before and after that are compared
MIN_DIFFERENCE = 14.0  # mean absolute difference of Y, Cb and Cr between cards, in 8-bit code values
_REACH = 6  # pixels by which a block may move besides the whole picture
_JUMP = 12.0  # pixels from which the picture's motion must be that of a neighbour, too: else it is another view
_NOISE = 3.0  # variance of a thumbnail's noise, in squared 8-bit code values
_TEXTURE = 2.0  # standard deviation of a block that has structure, in 8-bit code values
_FEW = 5  # blocks with structure below which a picture has none


class CutDetector:
    """Finds cuts in frames that arrive in display order."""

    def __init__(self) -> None:
        self._thumbnails: dict[int, Array] = {}
        self._count = 0
        # Of the last transitions, by the number of the frame before:
        self._shares: dict[int, float] = {}  # blocks found; below 0 where there is no structure
        self._colours: dict[int, float] = {}  # difference of colour
        self._shifts: dict[int, tuple[float, float]] = {}
        self._cuts: list[int] = []
        self._window = cv2.createHanningWindow(THUMBNAIL, cv2.CV_32F)

    def add(self, frame: av.VideoFrame) -> None:
        """Add the next decoded frame."""
        small = frame.reformat(*THUMBNAIL, format="yuv444p")
        self._thumbnails[self._count] = small.to_ndarray().copy()
        self._count += 1
        if self._count > 1:
            self._compare(self._count - 1)
        self._decide(self._count - 1 - NEIGHBOURS - FLASH)
        for facts in (self._thumbnails, self._shares, self._colours, self._shifts):
            facts.pop(self._count - 3 * (NEIGHBOURS + FLASH), None)

    @property
    def cuts(self) -> tuple[int, ...]:
        """Indices of the first frames of new shots, without frame 0."""
        late = range(max(1, self._count - NEIGHBOURS - FLASH), self._count)
        return tuple(self._cuts) + tuple(t for t in late if self._is_cut(t))

    def _compare(self, t: int) -> None:
        """Measure the change from the frame before frame t."""
        before, after = self._thumbnails[t - 1], self._thumbnails[t]
        self._colours[t - 1] = float(np.abs(after.astype(np.int16) - before).mean())
        one, two = before[0].astype(np.float32), after[0].astype(np.float32)
        share, shift = _share_found(one, two, (0.0, 0.0)), (0.0, 0.0)
        if 0 <= share < 1 - LOST:
            # It multiplies its arguments by the window in place.
            (x, y), _ = cv2.phaseCorrelate(two.copy(), one.copy(), self._window)
            shift = (x, y)
            if max(abs(x), abs(y)) > 1:
                share = max(share, _share_found(one, two, shift))
        self._shares[t - 1], self._shifts[t - 1] = share, shift

    def _decide(self, t: int) -> None:
        if t > 0 and self._is_cut(t):
            self._cuts.append(t)

    def _is_cut(self, t: int) -> bool:
        i = t - 1  # of the transition
        if self._shares[i] < 0:
            return self._changes_colour(i)
        share = self._steady_share(t)
        around = [s for s in self._around(self._shares, i) if s >= 0]
        usual = float(np.median(around)) if around else 1.0
        return share < LOST and usual > share + MARGIN and not self._returns(t)

    def _steady_share(self, t: int) -> float:
        """Return the share of blocks found, without a motion that no neighbour has: a jump is another view."""
        i = t - 1
        x, y = self._shifts[i]
        if max(abs(x), abs(y)) <= _JUMP or any(
            np.hypot(x - u, y - v) < 0.6 * np.hypot(x, y)
            for u, v in (self._shifts[k] for k in (i - 1, i + 1) if k in self._shifts)
        ):
            return self._shares[i]
        return self._alike(t - 1, t)

    def _changes_colour(self, i: int) -> bool:
        usual = max(1.0, float(np.median(self._around(self._colours, i) or [0.0])))
        return self._colours[i] > max(MIN_DIFFERENCE, 3 * usual) and not self._returns(i + 1)

    def _around(self, values: dict[int, float], i: int) -> list[float]:
        return [values[k] for k in range(i - NEIGHBOURS, i + NEIGHBOURS + 1) if k != i and k in values]

    def _returns(self, t: int) -> bool:
        """Return whether a frame soon after t shows what one soon before it showed."""
        pairs = [(t - 1, t + k) for k in range(1, FLASH + 1)] + [(t - 1 - k, t) for k in range(1, FLASH + 1)]
        return any(self._alike(a, b) > LOST for a, b in pairs if a in self._thumbnails and b in self._thumbnails)

    def _alike(self, a: int, b: int) -> float:
        """Return the share of blocks of frame b that frame a shows near their place; of cards, whether they agree."""
        one, two = self._thumbnails[a], self._thumbnails[b]
        share = _share_found(one[0].astype(np.float32), two[0].astype(np.float32), (0.0, 0.0))
        return share if share >= 0 else float(np.abs(one.astype(np.int16) - two).mean() < MIN_DIFFERENCE)


def _deviation(picture: Array) -> Array:
    """Return the standard deviation of the block at each place, from its upper left corner."""
    deviation: Array = np.sqrt(np.maximum(_mean(picture**2) - _mean(picture) ** 2, 0))
    return deviation


def _mean(picture: Array) -> Array:
    """Return the mean of the block at each place, from its upper left corner."""
    return cv2.boxFilter(picture, -1, (BLOCK, BLOCK), anchor=(0, 0), borderType=cv2.BORDER_REPLICATE)


def _share_at_place(one: Array, two: Array, deviations: tuple[Array, Array], corners: list[tuple[int, int]]) -> float:
    """Return the share of a thumbnail's blocks with structure that another shows at the same place."""
    covariance = _mean(one * two) - _mean(one) * _mean(two)
    same = covariance / (deviations[0] * deviations[1] + _NOISE) > FOUND
    sought = [same[y, x] for x, y in corners if deviations[1][y, x] > _TEXTURE]
    return float(np.mean(sought))


def _share_found(one: Array, two: Array, shift: tuple[float, float]) -> float:
    """Return the share of the blocks of a thumbnail that another shows.

    Args:
        one: Luma (h, w) float32 that is searched.
        two: Luma whose blocks are sought; the other way round if it has less structure.
        shift: Where they lie, in pixels from their own place.

    Returns:
        The share, or -1 if neither has structure.
    """
    width, height = THUMBNAIL
    corners = [(x, y) for y in range(4, height - BLOCK + 1, BLOCK) for x in range(0, width - BLOCK + 1, BLOCK)]
    deviations = _deviation(one), _deviation(two)
    counts = [sum(d[y, x] > _TEXTURE for x, y in corners) for d in deviations]
    if max(counts) < _FEW:
        return -1.0
    if counts[0] > counts[1]:
        one, two, deviations = two, one, deviations[::-1]
        shift = (-shift[0], -shift[1])
    if shift == (0.0, 0.0):
        at_place = _share_at_place(one, two, deviations, corners)
        if at_place > 1 - LOST:  # most of the frames of most clips: no search is needed
            return at_place
    found = total = 0
    dx, dy = round(shift[0]), round(shift[1])
    for x, y in corners:
        spread = float(deviations[1][y, x])
        left, top = max(0, x + dx - _REACH), max(0, y + dy - _REACH)
        right, bottom = min(width, x + dx + BLOCK + _REACH), min(height, y + dy + BLOCK + _REACH)
        if spread <= _TEXTURE or right - left < BLOCK or bottom - top < BLOCK:
            continue
        covariance = cv2.matchTemplate(one[top:bottom, left:right], two[y : y + BLOCK, x : x + BLOCK], cv2.TM_CCOEFF)
        rows, columns = covariance.shape
        there = deviations[0][top : top + rows, left : left + columns]
        found += float((covariance / BLOCK**2 / (spread * there + _NOISE)).max()) > FOUND
        total += 1
    return found / total if total >= _FEW else 0.0

"""Measures a clip, shot by shot and frame by frame, and adds up what it finds."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.arrays import dilate_disc
from vremove_cli.geometry import Array
from vremove_cli.masks.morphology import MAX_GROW
from vremove_cli.quality import reference, temporal, texture
from vremove_cli.quality.background import Background, presence, right
from vremove_cli.quality.perceptual import Distance
from vremove_cli.quality.score import Score, overall_of
from vremove_cli.quality.zones import Zones, zones_of

# (source, result, mask) of a frame, (H, W, 3) uint8 twice and (H, W) bool -> how likely the erasure succeeded, 0 to 1
Success = Callable[[Array, Array, Array], float]

# 8-bit levels (levels per pixel for the seam) added to both sides of a ratio, so that what is invisible does not decide
# it: about what rounding alone gives after the same filter; for the smoothed differences, half a level.
_ROUNDING = {"warp_error": 0.5, "flicker": 0.5, "sharpness": 1.0, "grain": 0.29, "seam": 0.1}


@dataclass(frozen=True)
class Pictures:
    """One frame of all clips, as it is displayed.

    Attributes:
        source: (H, W, 3) uint8.
        result: (H, W, 3) uint8.
        mask: (H, W) bool, the object.
        truth: (H, W, 3) uint8, the frame without the object; None where that is not known.
    """

    source: Array
    result: Array
    mask: Array
    truth: Array | None = None


@dataclass(frozen=True)
class _Small:
    """A frame at the size of the shot's background: source and result (h, w, 3) uint8, the zones of its mask."""

    source: Array
    result: Array
    zones: Zones | None


class _Ratio:
    """The mean of a value in the hole over its mean round it, over many frames; the largest of several lines'."""

    def __init__(self, floor: float) -> None:
        self._floor, self._weight = floor, 0.0
        self._inside, self._around = np.zeros(1), 0.0

    def add(self, pair: tuple[Array | float, float], weight: float) -> None:
        """Add a frame's means in the hole and round it, and how much they count: by pixels."""
        self._inside, self._around = self._inside + weight * np.asarray(pair[0]), self._around + weight * pair[1]
        self._weight += weight

    @property
    def value(self) -> float | None:
        """The ratio; None if nothing was added."""
        if not self._weight:
            return None
        inside, around = float(np.max(self._inside)) / self._weight, self._around / self._weight
        return (inside + self._floor) / (around + self._floor)


class _Mean:
    """A mean over the pixels of many frames."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0.0

    def add(self, values: Array) -> None:
        """Add pixels."""
        self._sum += float(values.sum(dtype=np.float64))
        self._count += values.size

    @property
    def value(self) -> float | None:
        """The mean; None if nothing was added."""
        return self._sum / self._count if self._count else None


class Meter:
    """Measures one result against its source.

    Args:
        success: Learnt judge of a frame, if its weights are here.
        distance: Perceptual distance of two pictures (h, w, 3) uint8, if its weights are here.
    """

    def __init__(self, success: Success | None = None, distance: Distance | None = None) -> None:
        self._success, self._distance = success, distance
        self._ratios = {name: _Ratio(floor) for name, floor in _ROUNDING.items()}
        names = "background", "known", "kept", "equal", "outside", "error", "ssim", "lpips"
        self._means = {name: _Mean() for name in names}
        self._left = self._own = 0.0  # of the object: what the result shows, and what the source shows
        self._successes: list[float] = []
        self._frames = self._measured = 0

    def add_shot(self, source: Array, mask: Array, pictures: Iterable[Pictures]) -> Iterator[None]:
        """Measure the frames of a shot, or of a part of one.

        Args:
            source: The frames (T, h, w, 3) uint8, all at once, at the size to model their background at.
            mask: The object in them, (T, h, w) bool.
            pictures: The same frames, one at a time, at full size.

        Yields:
            Nothing, once for each frame that is done.
        """
        background = Background(source, mask) if mask.any() else None
        window: deque[_Small] = deque(maxlen=3)
        for t, picture in enumerate(pictures):
            self._frames += 1
            self._add_outside(picture)
            result = cv2.resize(picture.result, source.shape[2:0:-1], interpolation=cv2.INTER_AREA)
            window.append(_Small(source[t], result, zones_of(mask[t])))
            if background is not None:
                movers = self._add_background(background, t, window[-1])
                self._add_hole(picture, movers)
                if len(window) > 1:
                    self._add_changes(background, t - 1, list(window))
            yield

    def _add_outside(self, picture: Pictures) -> None:
        """Compare the frame with its source where nothing was to be erased."""
        outside = ~dilate_disc(picture.mask, MAX_GROW)
        error = reference.squared_error(picture.source, picture.result)[outside]
        self._means["outside"].add(error)
        self._means["equal"].add(error == 0)
        self._means["kept"].add(right(picture.source, picture.result)[outside])

    def _add_hole(self, picture: Pictures, movers: Array) -> None:
        """Measure what needs one frame at full size; `movers` is (h, w) bool at any size."""
        zones = zones_of(picture.mask)
        if zones is None:
            return
        part, area = zones.box.slices, float(np.count_nonzero(zones.hole))
        gray = _gray(picture.result[part])
        self._ratios["sharpness"].add(texture.sharpness(gray, zones), area)
        self._ratios["grain"].add(texture.grain(gray, zones), area)
        size = picture.mask.shape[::-1]
        near = cv2.resize(movers.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)[part]
        steep = texture.seam(gray, zones, dilate_disc(near > 0, 2 * zones.reach))
        if steep is not None:
            self._ratios["seam"].add(*steep)
        if self._success is not None:
            self._successes.append(self._success(picture.source, picture.result, picture.mask))
        if picture.truth is not None:
            self._add_truth(picture.result[part], picture.truth[part], zones.hole)

    def _add_truth(self, result: Array, truth: Array, hole: Array) -> None:
        self._means["error"].add(reference.squared_error(result, truth)[hole])
        self._means["ssim"].add(reference.structural_similarity(_gray(result), _gray(truth))[hole])
        if self._distance is not None:
            self._means["lpips"].add(np.array(self._distance(result, truth)))

    def _add_background(self, background: Background, t: int, frame: _Small) -> Array:
        """Compare a frame with the background that other frames show; return what moves before it, (h, w) bool."""
        if frame.zones is None:
            return np.zeros(frame.source.shape[:2], bool)
        self._measured += 1
        view, hole = background.view(t, frame.source), np.zeros(frame.source.shape[:2], bool)
        hole[frame.zones.box.slices] = frame.zones.hole
        self._means["known"].add(view.known[hole])
        self._means["background"].add(right(frame.result, view.colour)[hole & view.known])
        left, own = presence(frame.source, frame.result, view, hole)
        self._left, self._own = self._left + left, self._own + own
        return background.movers(t, frame.source, view)

    def _add_changes(self, background: Background, t: int, frames: list[_Small]) -> None:
        """Compare frame t, the last but one, with its neighbours."""
        here, others = frames[-2], [*frames[:-2], frames[-1]]
        if here.zones is None:
            return
        times = [*([t - 1] if len(frames) == 3 else []), t + 1]
        gray, box = cv2.cvtColor(here.source, cv2.COLOR_RGB2GRAY), here.zones.box
        places = [
            temporal.background_positions(
                gray, cv2.cvtColor(other.source, cv2.COLOR_RGB2GRAY), background.hidden[t], background.hidden[s],
                background.between(t, s), box,
            )
            for s, other in zip(times, others, strict=True)
        ]  # fmt: skip
        found = temporal.changes(here.result, [other.result for other in others], places, box)
        area = float(np.count_nonzero(here.zones.hole))
        self._ratios["warp_error"].add(temporal.warp_error(found, here.zones), area)
        if len(found) == 2:
            self._ratios["flicker"].add(temporal.flicker(found, here.zones), area)

    def score(self) -> Score | None:
        """Return the score of all frames so far; None if no mask was large enough to be measured."""
        means = {name: mean.value for name, mean in self._means.items()}
        ratios = {name: ratio.value for name, ratio in self._ratios.items()}
        known, sharpness, grain = means["known"], ratios["sharpness"], ratios["grain"]
        if known is None or sharpness is None or grain is None:
            return None
        still_there = float(np.clip(self._left / self._own, 0, 1)) if self._own else 1.0
        shares = {"background": means["background"], "background_known": known, "outside_kept": means["kept"]}
        success = np.percentile(self._successes, [50, 10]) if self._successes else None
        error, outside = means["error"], means["outside"]
        return Score(
            overall=overall_of({"still_there": still_there, **shares, **ratios}),
            still_there=still_there,
            background=means["background"],
            background_known=known,
            warp_error=ratios["warp_error"],
            flicker=ratios["flicker"],
            sharpness=sharpness,
            grain=grain,
            seam=ratios["seam"],
            outside_kept=means["kept"],
            outside_equal=means["equal"],
            outside_psnr=None if outside is None else reference.psnr(outside),
            psnr=None if error is None else reference.psnr(error),
            ssim=means["ssim"],
            lpips=means["lpips"],
            success_median=None if success is None else float(success[0]),
            success_p10=None if success is None else float(success[1]),
            frames=self._frames,
            measured=self._measured,
        )


def _gray(rgb: Array) -> Array:
    """Return the gray levels (h, w) float32 of a picture (h, w, 3) uint8."""
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)

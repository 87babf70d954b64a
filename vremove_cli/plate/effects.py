"""Find shadows, reflections and mirror images: pixels that differ from the clean plate and move with the object.

ROSE (sec. 4.4) and UnderEraser (eq. 1-2) define the side effects of an object as the difference between a clip with and
without it. Here the clip without it is estimated as a median plate at a small size (`median_plate`). The difference is
averaged over time in the *object's* coordinates: its shadow stays, people who walk by, leaves in the wind and badly
aligned texture wash out. The plate is then built once more without the pixels found, which shows an effect to its full
penumbra. A verdict for the whole range of frames decides whether to believe the result.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli import threads
from vremove_cli.arrays import keep_components
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array
from vremove_cli.masks.morphology import grow
from vremove_cli.plate.median_plate import FrameEvidence, Scene, compare_with_plate

WIDTH = 320  # pixels of the longer side at which effects are searched: they are soft, and masks grow again
WINDOW = 16  # frames on each side over which differences are averaged in the object's coordinates
STRIDES = (4, 2)  # every how many frames are compared, in the first and in the second pass
SEARCH_MARGIN = 1.5  # distance from the object within which effects are searched, in its longer sides
MIN_TRAVEL = 1.0  # sizes of itself that the object must travel for its background to be known

# Difference that does not count, in the first and the second pass: multiple of the sources' spread, 8-bit levels.
_FIRST_TOLERANCE, _SECOND_TOLERANCE = (0.4, 5.0), (1.5, 4.0)
# Growth of a found mask: before the second plate is built, and in the result; the distance of ambient pixels. Pixels.
_HIDDEN_GROWTH, _RESULT_GROWTH, _AMBIENT_DISTANCE = 5, 2, 12
_MIN_CORE_PIXELS, _MIN_CORE_SHARE = 12, 0.01  # size of a region's core, in pixels and in shares of the object
_MIN_MEASURED_PIXELS = 10  # changed pixels of a region below which a frame does not count in the measures
_CHANGED_FROM = 0.5  # difference from which a pixel counts as changed in the measures
_OVER_AMBIENT = 12.0  # a pixel of the result must persist this many times more than the rest of the picture
_SCALE_LIMITS = (0.5, 2)  # change of the object's size that is compensated

# The verdict's limits. On composites of people without shadows, people who walk along, and shadows painted in, these
# divide the two kinds.
_MIN_CONTRAST = 24.0  # persistence of the regions over that of the rest
_AMBIENT_OFFSET = 0.005  # persistence added to the rest, so that a still picture does not decide alone
_MIN_DARKENED = 0.6  # share of the regions that is a darkened plate
_MAX_TEXTURE_LOSS = 0.65
_MIN_AREA = 0.1  # of the object's size; a smaller effect is ignored

_NOTHING = "no shadow or reflection of the object was found"
_STILL = "the object hardly moves, so its shadow or reflection cannot be told from the picture"
_COMPANY = "something goes along with the object that is neither a shadow nor a reflection: left alone"
_UNSTEADY = "the picture changes all over, so a shadow or reflection cannot be told from the rest: left alone"


@dataclass(frozen=True)
class _Limits:
    """Persistence limits (0 to 1) of a region: `core` somewhere inside it, `edge` in all its pixels."""

    core: float
    edge: float


_SUSPECTED = _Limits(0.4, 0.3)  # hidden from the second plate
_JUDGED = _Limits(0.6, 0.3)  # measured for the verdict
_TAKEN = _Limits(0.4, 0.1)  # part of the result


@dataclass(frozen=True)
class Effects:
    """The effects found in a range of frames.

    Attributes:
        masks: (H, W) bool by frame, on the small grid; frames without effects are left out.
        verdict: A sentence for the user.
        clear: False if an effect may be present that could not be told apart: the area near the object is in doubt.
    """

    masks: Mapping[int, Array]
    verdict: str
    clear: bool


@dataclass(frozen=True)
class Measures:
    """What the verdict is drawn from, over all frames.

    Attributes:
        persistence: Mean persistence of the regions, 0 to 1.
        ambient: Mean persistence of the rest of the picture, 0 to 1.
        darkened: Share of the regions' changed pixels that are the plate darkened.
        texture_loss: Mean texture loss of the regions' changed pixels.
        area: Share of the picture that the regions cover.
        object_area: Share of the picture that the object covers.
    """

    persistence: float
    ambient: float
    darkened: float
    texture_loss: float
    area: float
    object_area: float


def find_effects(rgb: Array, masks: Array, span: FrameRange, tick: Callable[[int], None] = lambda _: None) -> Effects:
    """Find the shadows and reflections of an object.

    Args:
        rgb: (T, H, W, 3) uint8, small frames (longer side `WIDTH`).
        masks: (T, H, W) bool. They should hold the whole object: parts that stick out are taken for effects.
        span: The frames to report; others in `rgb` serve as sources.
        tick: Called with the number of frames of `span` done so far.

    Returns:
        The effects in the frames of `span`; no masks where the verdict does not believe them.
    """
    if not masks.any():
        return Effects({}, _NOTHING, True)
    scene = Scene(rgb, masks)
    if scene.travel() < MIN_TRAVEL:
        return Effects({}, _STILL, False)
    comparer = _Comparer(scene, span, tick)
    suspects = _measure_persistence(scene, comparer.compare(masks, _FIRST_TOLERANCE, STRIDES[0]))
    if not any(_regions(p, masks[t], _SUSPECTED).any() for t, p in suspects.items()):
        return Effects({}, _NOTHING, True)
    suspected = {t: _grow(p > _SUSPECTED.edge, _HIDDEN_GROWTH) for t, p in suspects.items()}
    evidence = comparer.compare(masks | _spread_over_frames(scene, suspected), _SECOND_TOLERANCE, STRIDES[1])
    persistence = _measure_persistence(scene, evidence)
    regions = {t: _regions(p, masks[t], _JUDGED) for t, p in persistence.items()}
    measures = _measure(scene, evidence, persistence, regions)
    verdict, believed = judge(measures)
    if not believed:
        return Effects({}, verdict, verdict != _COMPANY)
    taken = _Limits(_TAKEN.core, max(_TAKEN.edge, _OVER_AMBIENT * measures.ambient))
    found = {t: _grow(_regions(p, masks[t], taken), _RESULT_GROWTH) for t, p in persistence.items()}
    everywhere = _spread_over_frames(scene, found)
    return Effects({t: everywhere[t] for t in range(*span) if everywhere[t].any()}, verdict, True)


def judge(measures: Measures) -> tuple[str, bool]:
    """Return a sentence for the user on the effects found, and whether to believe them."""
    if measures.area < _MIN_AREA * measures.object_area:
        return _NOTHING, False
    if measures.persistence < _MIN_CONTRAST * (measures.ambient + _AMBIENT_OFFSET):
        return _UNSTEADY, False
    if measures.darkened < _MIN_DARKENED or measures.texture_loss > _MAX_TEXTURE_LOSS:
        return _COMPANY, False
    return f"a shadow or reflection was found ({100 * measures.area:.1f} % of the picture)", True


class _Comparer:
    """Compares the frames in and near a range with their plates, and reports progress over both passes."""

    def __init__(self, scene: Scene, span: FrameRange, tick: Callable[[int], None]) -> None:
        self._scene, self._span, self._tick = scene, span, tick
        self._low, self._high = max(0, span.start - WINDOW), min(len(scene.rgb), span.stop + WINDOW)
        self._total = sum((self._high - self._low) // stride for stride in STRIDES)
        self._done = 0

    def compare(self, hidden: Array, tolerance: tuple[float, float], stride: int) -> dict[int, FrameEvidence]:
        """Compare every `stride`-th frame that shows the object; the other arguments as in `compare_with_plate`."""
        scene = self._scene
        frames = [t for t in range(self._low, self._high, stride) if scene.placements[t] is not None]
        evidence = {}
        with threads.pool() as pool:
            compared = pool.map(lambda t: compare_with_plate(scene, t, hidden, tolerance), frames)
            for t, found in zip(frames, compared, strict=True):
                evidence[t] = found
                self._done += 1
                self._tick(self._span.length * self._done // max(1, self._total))
        return evidence


def _move_with_object(values: Array, scene: Scene, s: int, t: int, *, scaled: bool) -> Array:
    """Values (H, W) float32 of frame s, moved to where the object is in frame t; -1 beyond the frame."""
    target, source = scene.placement(t), scene.placement(s)
    scale = float(np.clip(source.size / target.size, *_SCALE_LIMITS)) if scaled else 1.0
    matrix = np.array([[scale, 0, source.x - scale * target.x], [0, scale, source.y - scale * target.y]])
    height, width = values.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=-1)


def _measure_persistence(scene: Scene, evidence: Mapping[int, FrameEvidence]) -> dict[int, Array]:
    """Mean difference over nearby frames in the object's coordinates, by frame, (H, W) float32 in [0, 1]."""
    known = {s: ((one.difference >= 0) & ~scene.masks[s]).astype(np.float32) for s, one in evidence.items()}
    difference = {s: one.difference * known[s] for s, one in evidence.items()}
    out = {}
    for t in evidence:
        total = np.zeros(scene.gray[t].shape, np.float32)
        weight = np.zeros_like(total)
        for s in evidence:
            if abs(s - t) <= WINDOW:
                total += np.maximum(_move_with_object(difference[s], scene, s, t, scaled=True), 0)
                weight += np.maximum(_move_with_object(known[s], scene, s, t, scaled=True), 0)
        out[t] = total / np.maximum(weight, 1e-3)
    return out


def _regions(persistence: Array, mask: Array, limits: _Limits) -> Array:
    """The persistent regions (H, W) bool near the object, each with a strong core."""
    rows, columns = np.nonzero(mask)
    margin = int(SEARCH_MARGIN * max(np.ptp(rows), np.ptp(columns)))
    top, bottom = max(0, rows.min() - margin), rows.max() + margin + 1
    left, right = max(0, columns.min() - margin), columns.max() + margin + 1
    near = np.zeros_like(mask)
    near[top:bottom, left:right] = True
    candidates = (persistence > limits.edge) & near
    core, least = persistence > limits.core, max(_MIN_CORE_PIXELS, _MIN_CORE_SHARE * len(rows))
    return keep_components(candidates, lambda labels, areas: np.bincount(labels[core], minlength=len(areas)) >= least)


@dataclass(frozen=True)
class _FrameMeasures:
    """One frame's part in `Measures`; its `weight` is the regions' area in pixels, 0 if too little changed there."""

    weight: int
    persistence: float
    ambient: float
    darkened: float
    texture_loss: float


def _measure_frame(mask: Array, evidence: FrameEvidence, persistence: Array, region: Array) -> _FrameMeasures:
    far = ~_grow(mask | region, _AMBIENT_DISTANCE) & (evidence.difference >= 0)
    ambient = float(persistence[far].mean()) if far.any() else 0.0
    changed = region & (evidence.difference > _CHANGED_FROM) & ~mask
    if changed.sum() < _MIN_MEASURED_PIXELS:
        return _FrameMeasures(0, 0, ambient, 0, 0)
    darkened, texture_loss = evidence.darkened[changed].mean(), evidence.texture_loss[changed].mean()
    return _FrameMeasures(int(region.sum()), persistence[region].mean(), ambient, darkened, texture_loss)


def _measure(
    scene: Scene, evidence: Mapping[int, FrameEvidence], persistence: Mapping[int, Array], regions: Mapping[int, Array]
) -> Measures:
    """Average the frames' measures, weighted by the regions' areas."""
    frames = [_measure_frame(scene.masks[t], evidence[t], persistence[t], region) for t, region in regions.items()]
    area_weight = _column([f.weight for f in frames])
    area_weight = area_weight / max(1, area_weight.sum())
    pixels = sum(int(region.sum()) for region in regions.values())
    return Measures(
        persistence=float((_column([f.persistence for f in frames]) * area_weight).sum()),
        ambient=float(_column([f.ambient for f in frames]).mean()) if frames else 0.0,
        darkened=float((_column([f.darkened for f in frames]) * area_weight).sum()),
        texture_loss=float((_column([f.texture_loss for f in frames]) * area_weight).sum()),
        area=pixels / max(1, len(regions) * scene.gray[0].size) if area_weight.any() else 0.0,
        object_area=float(np.mean([scene.masks[t].mean() for t in regions])) if regions else 0.0,
    )


def _column(values: Sequence[float]) -> Array:
    return np.array(values, np.float64)


def _spread_over_frames(scene: Scene, found: Mapping[int, Array]) -> Array:
    """Masks (T, H, W) bool for all frames from those of some: the nearest ones, moved with the object and joined."""
    out = np.zeros(scene.masks.shape, bool)
    available = np.array(sorted(found))
    for t in range(len(out)):
        if scene.placements[t] is None or not len(available):
            continue
        distance = np.abs(available - t)
        for s in available[distance <= max(1, distance.min())]:
            out[t] |= _move_with_object(found[int(s)].astype(np.float32), scene, int(s), t, scaled=False) > 0.5
    return out


def _grow(mask: Array, px: int) -> Array:
    return np.asarray(grow(mask.astype(np.uint8), px) > 0)

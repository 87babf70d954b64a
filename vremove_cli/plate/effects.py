"""Shadows, reflections and mirror images: what differs from the clean plate and goes where the object goes.

ROSE (sec. 4.4) and UnderEraser (eq. 1-2) define the side effects of an object as the difference between a clip with and
without it. Here the clip without it is estimated: at a small size, each frame is compared with the median of what
aligned other frames show. What differs is averaged over time in the *object's* coordinates: its shadow stays, people
who walk by, leaves in the wind and badly aligned texture wash out. The plate is then built once more without what was
found, which shows the effect to its full penumbra. A verdict for the whole run of frames decides whether to believe it.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.frame_ranges import FrameRange, spread_evenly
from vremove_cli.geometry import Array
from vremove_cli.masks.morphology import grow
from vremove_cli.motion.camera import estimate_homography
from vremove_cli.motion.flow import fast_flow
from vremove_cli.motion.warp import grid, project, warp_back

WIDTH = 320  # pixels of the longer side at which effects are looked for: they are soft, and masks grow again
WITNESSES = 14  # frames that the plate is the median of
NEAREST, FARTHEST = 3, 40  # frames away
FEWEST = 3  # witnesses below which a pixel is unknown
WINDOW = 16  # frames on each side over which differences are averaged in the object's coordinates
STEPS = (4, 2)  # every how many frames are compared, the first and the second time
ROOM = 1.5  # how far from the object effects are looked for, in its longer sides
TRAVEL = 1.0  # sizes of itself that the object must travel for its background to be known

_FULL = 10.0  # 8-bit levels of difference that count as certain
_FIRST, _SECOND = (0.4, 5.0), (1.5, 4.0)  # share of the witnesses' spread and levels that are no difference
# Persistence of a region's core and of all its pixels: to be left out of the second plate, to be judged, to be taken.
_SUSPECTED, _JUDGED, _TAKEN = (0.4, 0.3), (0.6, 0.3), (0.4, 0.1)
_NOTHING = "no shadow or reflection of the object was found"
_STILL = "the object hardly moves, so its shadow or reflection cannot be told from the picture"
_COMPANY = "something goes along with the object that is neither a shadow nor a reflection: left alone"
_WORSE = 2.0  # witnesses this much worse aligned than the best, and as many levels, are not asked
# The verdict: how far regions stand out from the rest, how much of them is a darkened plate and keeps its texture. On
# composites of people without shadows, people who walk along, and shadows painted in, these divide the two kinds.
_CLEAR, _SHADY, _TORN = 24.0, 0.6, 0.65
_LEAST = 0.1  # of the object's size: what is smaller is left out of account
_WORKERS = 2


@dataclass(frozen=True)
class Evidence:
    """One frame against its plate: `differ` (h, w) float32 in [0, 1], -1 where unknown; `shade` and `torn` (h, w):
    whether the pixel is the plate's colour darkened, and how little of its texture the plate explains."""

    differ: Array
    shade: Array
    torn: Array


@dataclass(frozen=True)
class Effects:
    """What was found: masks (h, w) bool by frame, on the small grid, and what to tell the user about it.

    `clear` is False when an effect may be there that could not be told apart: what lies near the object is in doubt.
    """

    masks: Mapping[int, Array]
    verdict: str
    clear: bool


@dataclass(frozen=True)
class Measures:
    """What the verdict is drawn from, over all frames: `strength` is the mean persistence of the regions, `ambient`
    that of the rest of the picture, `shade` and `torn` the regions' means, `area` their share of the picture,
    `size` the object's."""

    strength: float
    ambient: float
    shade: float
    torn: float
    area: float
    size: float


class Scene:
    """A run of frames at the small size: `rgb` (T, h, w, 3) uint8, object masks (T, h, w) bool, the camera's way."""

    def __init__(self, rgb: Array, masks: Array) -> None:
        self.rgb, self.masks = rgb, masks
        self.gray = np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in rgb])
        busy = masks.astype(np.uint8) * 255
        self.camera = [np.eye(3)]
        for t in range(len(rgb) - 1):
            step = estimate_homography(self.gray[t], self.gray[t + 1], busy[t], busy[t + 1])
            self.camera.append(step @ self.camera[-1])
        self.centre = [_centre(m) for m in masks]

    def between(self, t: int, s: int) -> Array:
        """Homography (3, 3) that takes pixels of frame t to frame s."""
        return np.asarray(self.camera[s] @ np.linalg.inv(self.camera[t]))

    def travelled(self) -> float:
        """How many times its own size the object moves across the background, at most between any two frames."""
        seen = [t for t, c in enumerate(self.centre) if c is not None]
        best = 0.0
        for t in seen[:: max(1, len(seen) // 12)]:
            for s in seen[:: max(1, len(seen) // 12)]:
                if abs(s - t) <= FARTHEST:
                    one, two = self.centre[t], self.centre[s]
                    assert one is not None
                    assert two is not None
                    moved = project(self.between(t, s), np.array([one[:2]], np.float32))[0] - np.array(two[:2])
                    best = max(best, float(np.linalg.norm(moved)) / one[2])
        return best


def find_effects(
    rgb: Array, masks: Array, span: FrameRange, tick: Callable[[int], None] = lambda done: None
) -> Effects:
    """Effects in frames run[0] <= t < run[1] of small frames `rgb` (T, h, w, 3) uint8, object masks (T, h, w) bool.

    The masks should hold the whole object: what sticks out of them is taken for an effect.
    """
    if not masks.any():
        return Effects({}, _NOTHING, True)
    scene = Scene(rgb, masks)
    if scene.travelled() < TRAVEL:
        return Effects({}, _STILL, False)
    low, high = max(0, span.start - WINDOW), min(len(rgb), span.stop + WINDOW)
    total = sum((high - low) // step for step in STEPS)
    done = 0

    def compare(hidden: Array, margin: tuple[float, float], step: int) -> dict[int, Evidence]:
        nonlocal done
        frames = [t for t in range(low, high, step) if scene.centre[t] is not None]
        found = {}
        with ThreadPoolExecutor(_WORKERS) as pool:
            for t, one in zip(frames, pool.map(lambda t: _compare(scene, t, hidden, margin), frames), strict=True):
                found[t] = one
                done += 1
                tick((span.length) * done // max(1, total))
        return found

    first = _persistence(scene, compare(masks, _FIRST, STEPS[0]))
    if not any(_regions(p, masks[t], *_SUSPECTED).any() for t, p in first.items()):
        return Effects({}, _NOTHING, True)
    hidden = masks | _everywhere(scene, {t: _grown(p > _SUSPECTED[1], 5) for t, p in first.items()})
    evidence = compare(hidden, _SECOND, STEPS[1])
    lasting = _persistence(scene, evidence)
    sure = {t: _regions(p, masks[t], *_JUDGED) for t, p in lasting.items()}
    measures = _measure(scene, evidence, lasting, sure)
    verdict, believed = judge(measures)
    if not believed:
        return Effects({}, verdict, verdict != _COMPANY)
    least = max(_TAKEN[1], 12 * measures.ambient)
    taken = {t: _grown(_regions(p, masks[t], _TAKEN[0], least), 2) for t, p in lasting.items()}
    whole = _everywhere(scene, taken)
    return Effects({t: whole[t] for t in range(*span) if whole[t].any()}, verdict, True)


def judge(measures: Measures) -> tuple[str, bool]:
    """A sentence on what was found, and whether it is to be believed."""
    if measures.area < _LEAST * measures.size:
        return _NOTHING, False
    if measures.strength < _CLEAR * (measures.ambient + 0.005):
        return "the picture changes all over, so a shadow or reflection cannot be told from the rest: left alone", False
    if measures.shade < _SHADY or measures.torn > _TORN:
        return _COMPANY, False
    return f"a shadow or reflection was found ({100 * measures.area:.1f} % of the picture)", True


def _centre(mask: Array) -> tuple[float, float, float] | None:
    """Centre x, y and size (square root of the area) of a mask; None when it is empty."""
    rows, columns = np.nonzero(mask)
    return (float(columns.mean()), float(rows.mean()), float(np.sqrt(len(rows)))) if len(rows) else None


def _witnesses(t: int, count: int) -> list[int]:
    """Frames that frame t of `count` is compared with: the nearer, the denser; at an end, more from the other side."""
    steps = [NEAREST * (FARTHEST / NEAREST) ** (k / (WITNESSES - 1)) for k in range(WITNESSES)]
    near = list(dict.fromkeys(s for o in steps for s in (t - round(o), t + round(o)) if 0 <= s < count))
    return [near[k] for k in spread_evenly(0, len(near), WITNESSES)]


def _compare(scene: Scene, t: int, hidden: Array, margin: tuple[float, float]) -> Evidence:
    """A frame against the median of its witnesses."""
    seen = [_witness(scene, t, s, hidden) for s in _witnesses(t, len(scene.rgb))]
    if not seen:
        nothing = np.zeros(hidden.shape[1:], np.float32)
        return Evidence(nothing - 1, nothing > 0, nothing.astype(np.float16))
    errors = np.array([e for _, _, e in seen])
    good = [seen[k] for k in np.flatnonzero(errors <= _WORSE * errors.min() + _WORSE)]
    plate, spread, count = _median(np.stack([v for v, _, _ in good]), np.stack([k for _, k, _ in good]))
    known = cv2.erode((count >= FEWEST).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    here = cv2.blur(scene.rgb[t].astype(np.float32), (3, 3))
    plate = cv2.blur(plate, (3, 3))
    differ = np.abs(here - plate).max(axis=2) - margin[0] * cv2.blur(spread, (3, 3)) - margin[1]
    differ = np.where(known, np.clip(differ / _FULL, 0, 1), -1).astype(np.float32)
    return Evidence(differ, _shade(here, plate), _torn(scene.rgb[t], plate).astype(np.float16))


def _witness(scene: Scene, t: int, s: int, hidden: Array) -> tuple[Array, Array, float]:
    """Frame s seen from frame t, (h, w, 3) uint8, where it shows the background (h, w) bool, and how far the two are
    apart there, in levels."""
    height, width = scene.gray[t].shape
    step = scene.between(t, s)
    partner = warp_back(scene.gray[s], step, width, height)
    free = np.where(hidden[s], 0, 255).astype(np.uint8)
    shown = warp_back(free, step, width, height, nearest=True) > 0
    here = np.where(shown & ~scene.masks[t], scene.gray[t], partner)
    at = grid(width, height) + fast_flow(here, partner)
    at = project(step, at.reshape(-1, 2)).reshape(height, width, 2)
    colour = cv2.remap(scene.rgb[s], at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    clear = cv2.remap(free, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    known = clear > 250
    apart = cv2.mean(cv2.absdiff(colour, scene.rgb[t]), (known & ~hidden[t]).astype(np.uint8))
    return colour, known, sum(apart[:3]) / 3


def _median(colours: Array, known: Array) -> tuple[Array, Array, Array]:
    """Median (h, w, 3) float32 of N pictures (N, h, w, 3) uint8 where known (N, h, w), half the spread between their
    quartiles (h, w) float32, and how many there are (h, w)."""
    count = known.sum(axis=0)
    ordered = np.sort(np.where(known[..., None], colours, 255), axis=0)

    def rank(k: Array) -> Array:
        k = np.clip(k, 0, len(colours) - 1)[None, ..., None]
        return np.take_along_axis(ordered, k, axis=0)[0].astype(np.float32)

    middle = (rank((count - 1) // 2) + rank(count // 2)) / 2
    spread = (rank(count - 1 - count // 4) - rank(count // 4)).max(axis=2) / 2
    return middle, spread, count


def _shade(here: Array, plate: Array) -> Array:
    """Where a picture is the plate darkened, all channels by about the same factor."""
    ratio = (here + 4) / (plate + 4)
    most, least = ratio.max(axis=2), ratio.min(axis=2)
    return np.asarray((most - least < 0.2) & (most < 1.03) & (least > 0.15))


def _torn(here: Array, plate: Array) -> Array:
    """What a local linear function of the plate leaves of the picture's texture, against their mean difference."""
    a, b = here.astype(np.float32).mean(axis=2), plate.mean(axis=2)

    def mean(x: Array) -> Array:
        return np.asarray(cv2.blur(x, (7, 7)))

    mean_a, mean_b = mean(a), mean(b)
    together = mean(a * b) - mean_a * mean_b
    left = mean(a * a) - mean_a**2 - together**2 / np.maximum(mean(b * b) - mean_b**2, 1)
    return np.asarray(np.sqrt(np.maximum(left, 0)) / (np.abs(mean_a - mean_b) + 4))


def _moved(values: Array, scene: Scene, s: int, t: int, *, scaled: bool) -> Array:
    """Values (h, w) of frame s where they would be if the object stood as in frame t; -1 beyond the frame."""
    one, two = scene.centre[t], scene.centre[s]
    assert one is not None
    assert two is not None
    scale = float(np.clip(two[2] / one[2], 0.5, 2)) if scaled else 1.0
    matrix = np.array([[scale, 0, two[0] - scale * one[0]], [0, scale, two[1] - scale * one[1]]])
    height, width = values.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=-1)


def _persistence(scene: Scene, evidence: Mapping[int, Evidence]) -> dict[int, Array]:
    """For each frame the mean difference over the frames round it, in the object's coordinates, (h, w) float32."""
    known = {s: ((one.differ >= 0) & ~scene.masks[s]).astype(np.float32) for s, one in evidence.items()}
    differ = {s: one.differ * known[s] for s, one in evidence.items()}
    out = {}
    for t in evidence:
        total = np.zeros(scene.gray[t].shape, np.float32)
        weight = np.zeros_like(total)
        for s in evidence:
            if abs(s - t) <= WINDOW:
                total += np.maximum(_moved(differ[s], scene, s, t, scaled=True), 0)
                weight += np.maximum(_moved(known[s], scene, s, t, scaled=True), 0)
        out[t] = total / np.maximum(weight, 1e-3)
    return out


def _regions(lasting: Array, mask: Array, core: float, least: float) -> Array:
    """The parts (h, w) bool near the object that persist, each with a strong core."""
    rows, columns = np.nonzero(mask)
    room = int(ROOM * max(np.ptp(rows), np.ptp(columns)))
    near = np.zeros_like(mask)
    near[max(0, rows.min() - room) : rows.max() + room + 1, max(0, columns.min() - room) : columns.max() + room + 1] = 1
    weak = (lasting > least) & near
    count, labels = cv2.connectedComponents(weak.astype(np.uint8), connectivity=8)
    strong = np.bincount(labels[lasting > core], minlength=count)
    keep = strong >= max(12, 0.01 * len(rows))
    keep[0] = False
    return np.asarray(keep[labels])


def _measure(
    scene: Scene, evidence: Mapping[int, Evidence], lasting: Mapping[int, Array], regions: Mapping[int, Array]
) -> Measures:
    rows = []
    pixels = 0
    for t, region in regions.items():
        far = ~_grown(scene.masks[t] | region, 12) & (evidence[t].differ >= 0)
        ambient = float(lasting[t][far].mean()) if far.any() else 0.0
        on = region & (evidence[t].differ > 0.5) & ~scene.masks[t]
        count = int(region.sum())
        pixels += count
        if on.sum() >= 10:
            one = evidence[t]
            rows.append((count, lasting[t][region].mean(), ambient, one.shade[on].mean(), one.torn[on].mean()))
        else:
            rows.append((0, 0, ambient, 0, 0))
    table = np.array(rows, np.float64).reshape(-1, 5)
    weight = table[:, 0] / max(1, table[:, 0].sum())
    strength, shade, torn = (float((table[:, k] * weight).sum()) for k in (1, 3, 4))
    area = pixels / max(1, len(regions) * scene.gray[0].size) if weight.any() else 0.0
    ambient = float(table[:, 2].mean()) if len(table) else 0.0
    size = float(np.mean([scene.masks[t].mean() for t in regions])) if regions else 0.0
    return Measures(strength, ambient, shade, torn, area, size)


def _everywhere(scene: Scene, found: Mapping[int, Array]) -> Array:
    """Masks (T, h, w) bool for all frames from those of every few: moved along with the object, joined."""
    out = np.zeros(scene.masks.shape, bool)
    have = np.array(sorted(found))
    for t in range(len(out)):
        if scene.centre[t] is None or not len(have):
            continue
        away = np.abs(have - t)
        for s in have[away <= max(1, away.min())]:
            out[t] |= _moved(found[int(s)].astype(np.float32), scene, int(s), t, scaled=False) > 0.5
    return out


def _grown(mask: Array, px: int) -> Array:
    return np.asarray(grow(mask.astype(np.uint8), px) > 0)

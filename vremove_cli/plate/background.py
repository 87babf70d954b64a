"""Model the background of a shot: one mosaic for all frames, what differs from it, and whose each difference is.

Round by round the mosaic loses what does not belong to the background: the object and its surroundings, the object's
effects, and other things that move. What is left over inside a hole, because something moves behind the object or the
picture does not hold still there, is for optical flow.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from vremove_cli import threads
from vremove_cli.arrays import dilate_disc, dilate_square, distance_from, label_components
from vremove_cli.frame_ranges import FrameRange, spread_evenly
from vremove_cli.geometry import Array
from vremove_cli.motion.flow import fast_flow, warp_by_flow
from vremove_cli.motion.mosaic import Canvas, Mosaic
from vremove_cli.motion.pixelwise import at_rank, gradient_magnitude, mean_channel, sorted_stack
from vremove_cli.motion.registration import Registration, median_of_frames
from vremove_cli.plate.effects import SAMPLES, EffectRegion, EvidenceSum, LaidEvidence, find_region, frame_effects
from vremove_cli.plate.foreground import Foreground, another_thing
from vremove_cli.plate.ghosts import outline_votes
from vremove_cli.plate.movers import clean_movers, hidden_movers
from vremove_cli.plate.object_frame import ObjectFrame
from vremove_cli.plate.reflection import MirrorTest
from vremove_cli.plate.scene_model import BESIDE, DOUBTFUL, FREE, HIDDEN, NEAR, TOLD

LONG_SIDE = 480  # pixels at most of the frames that are compared
ROUNDS = 2  # of finding what does not belong to the background
MIN_TRAVEL = 0.7  # sizes of itself that an object must travel for its effects to be told from the background

# Pixels round the object that are no background: its fringe and blur grow with its size.
_MARGIN, _MARGIN_SHARE = 3, 0.06
_FRINGE = 2  # pixels round the object that are never looked at
_TOUCH = 4  # pixels round the object from which an effect touches it
_EFFECT_GROWTH = 3  # pixels by which an effect grows: its faint end
_MIN_COUNT = 2  # sources that must show a pixel
_STRAY_RIM = 24  # pixels round a hole in which the mosaic must lie on the frame
_MAX_STRAY = 0.8  # pixels by which it may be beside it
_STRAY_WINDOW = (15, 15)  # pixels in which moving the mosaic must bring it closer to the frame
_STRAY_GAIN, _STRAY_NOISE = 1.15, 0.5  # factor and 8-bit levels by which it must
# Parallax: the squared difference of frames to the mosaic must fall by this factor when optical flow moves it. On drawn
# scenes 0-31 it falls by at most 1.05 where the camera only turns, and by 1.19 to 1.62 on shots with parallax.
_PARALLAX_GAIN = 1.1
_PARALLAX_SAMPLES = 24  # frames in which parallax is looked for
_NOWHERE = 1e6  # pixels of parallax where nothing is seen
_MAX_SQUARE = 900.0  # squared 8-bit levels at which a difference is capped: it is another thing
_MAX_PARALLAX = 0.5  # pixels of parallax in the median frame above which the mosaic does not tell a place
_MOSTLY = 0.4  # share of a hole with parallax from which none of it is told
_GHOST_SAMPLES, _MIN_GHOSTS = 24, 1.5  # frames that are asked for ghosts, and votes that make one
_MIN_ALIGNED = 0.5  # share of the frames that the mosaic explains, below which effects are not told
# Spread of the samples from which a pixel does not hold still: levels, and shares of the noise and of the gradient.
_SPREAD, _SPREAD_NOISE, _SPREAD_GRADIENT = 4.0, 3.0, 0.2
_MIN_AREA = 0.02  # of the object's size; a smaller effect is not worth a sentence

FOUND = "a shadow or reflection was found and removed"
NOTHING = "no shadow or reflection of the object was found"
STILL = "the object hardly moves, so its shadow or reflection cannot be told from the picture and may remain"
ALONE = "in one picture a shadow or reflection cannot be told from the ground: if one remains, mark it, too"
COMPANY = "something goes along with the object that is neither a shadow nor a reflection: left alone"
UNSTEADY = "the picture changes all over, so a shadow or reflection may remain"


@dataclass(frozen=True)
class ShotBackground:
    """The background of T frames and what moves before it.

    Attributes:
        registration: The camera and the exposure, in pixels of the frames compared.
        effects: (T, H, W) bool, shadows, reflections and light of the object.
        blocked: (T, H, W) uint8, what the frames show: see `scene_model`.
        told: (T, H, W) uint8, what the mosaic tells of the holes: see `scene_model`.
        verdict: A sentence on the effects for the user.
        clear: False if an effect may remain.
    """

    registration: Registration
    effects: Array
    blocked: Array
    told: Array
    verdict: str
    clear: bool

    def with_registration(self, registration: Registration) -> "ShotBackground":
        """Return the same with the registration in other pixels."""
        return replace(self, registration=registration)


def model_background(
    rgb: Array,
    masks: Array,
    registration: Registration,
    span: FrameRange,
    given: Array | None = None,
    tick: Callable[[], None] = lambda: None,
) -> ShotBackground:
    """Model the background of a shot.

    Args:
        rgb: Frames (T, H, W, 3) uint8, longer side at most `LONG_SIDE`.
        masks: (T, H, W) bool, the object.
        registration: Of these frames, in their pixels.
        span: The frames that matter; the others are sources.
        given: (T, H, W) bool, the object's effects, where they are known.
        tick: Called once for each frame and round.
    """
    shot = _Shot(rgb, masks, registration)
    effects, movers = np.zeros_like(masks) if given is None else given, np.zeros_like(masks)
    region, place = None, ObjectFrame.around(masks, shot.canvas)
    for round_ in range(ROUNDS if place else 0):
        assert place is not None
        mosaic = shot.mosaic(effects, movers, careful=round_ == 0)
        if not round_:
            shot.measure_parallax(mosaic, effects, movers)
        compared = _compare(shot, mosaic, place, tick)
        if given is None:
            region = find_region(compared.evidence.result(), place.usual_shape(masks), place.size, region)
            effects = _effects(shot, compared, region, place)
        movers = _movers(shot, mosaic, compared, effects)
    told = _told(shot, effects, movers, place)
    verdict, clear = _judge(shot, effects, region, place, span)
    if given is None and not clear and verdict in (ALONE, STILL, UNSTEADY):
        effects = np.zeros_like(effects)
    hidden = masks | effects | np.stack([dilate_square(m, 1) for m in movers])
    hidden |= ~registration.aligned[:, None, None]
    blocked = np.where(hidden, np.uint8(HIDDEN), np.where(shot.near, np.uint8(NEAR), np.uint8(FREE)))
    return ShotBackground(registration, effects, blocked, told, verdict, clear)


class _Shot:
    """The frames, the object and what surrounds it."""

    def __init__(self, rgb: Array, masks: Array, registration: Registration) -> None:
        self.rgb, self.masks, self.registration = rgb, masks, registration
        areas = [int(m.sum()) for m in masks if m.any()]
        self.size = float(np.sqrt(np.median(areas))) if areas else 0.0
        margin = _MARGIN + round(_MARGIN_SHARE * self.size)
        self.near = np.stack([dilate_disc(m, margin) for m in masks])
        self.canvas = Canvas.around(registration.homographies, (rgb.shape[2], rgb.shape[1]))
        self.parallax = False

    def mosaic(self, effects: Array, movers: Array, *, careful: bool) -> Mosaic:
        """The mosaic without the object, its effects and movers; `careful` about shadows that are not known yet."""
        shown = ~self.near & self.registration.aligned[:, None, None]
        for t in self.canvas.sources:
            shown[t] &= ~dilate_disc(effects[t], _EFFECT_GROWTH) & ~movers[t]

        def distance(t: int) -> Array:
            return np.minimum(distance_from(self.masks[t]), np.float32(1.5 * self.size))

        return median_of_frames(self.rgb, shown, self.registration, distance if careful else None)

    def background(self, mosaic: Mosaic, t: int) -> tuple[Array, Array]:
        """The background as frame t sees it at its brightness (H, W, 3), and how many sources show it (H, W)."""
        view, count = self._view(mosaic, t, cubic=True)
        if self.parallax:
            view = warp_by_flow(view, self._stray(view, count, t))
        return view, count

    def _view(self, mosaic: Mosaic, t: int, *, cubic: bool) -> tuple[Array, Array]:
        """The mosaic under the registered camera alone; the result as of `background`."""
        view = mosaic.canvas.view(mosaic.colour, t, cubic=cubic) * np.float32(self.registration.gains[t])
        return view, mosaic.canvas.view(mosaic.count, t, nearest=True)

    def _stray(self, view: Array, count: Array, t: int) -> Array:
        """The optical flow (H, W, 2) from frame t to its view of the mosaic; about zero where that is hidden."""
        expected = cv2.cvtColor(np.clip(view, 0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
        shown = cv2.cvtColor(self.rgb[t], cv2.COLOR_RGB2GRAY)
        return fast_flow(np.where(self.near[t] | (count < _MIN_COUNT), expected, shown), expected)

    def measure_parallax(self, mosaic: Mosaic, effects: Array, movers: Array) -> Array:
        """By how many pixels (H, W) the mosaic lies beside the median frame; 0 without parallax, which is set."""
        still = np.zeros(mosaic.count.shape, np.float32)
        chosen = [t for t in spread_evenly(0, len(self.rgb), _PARALLAX_SAMPLES) if self.registration.aligned[t]]
        if self.registration.still or not chosen:
            return still

        def one(t: int) -> tuple[Array, float, float]:
            view, count = self._view(mosaic, t, cubic=False)
            flow = self._stray(view, count, t)
            hidden = self.near[t] | (count < _MIN_COUNT) | dilate_disc(effects[t], _EFFECT_GROWTH)
            shown = ~(hidden | dilate_square(movers[t], _FRINGE))
            before, after = (self._misfit(one, t)[shown] for one in (view, warp_by_flow(view, flow)))
            distance, pose, size = np.linalg.norm(flow, axis=2), self.canvas.poses[t], self.canvas.size
            laid = cv2.warpPerspective(
                np.where(shown, distance, np.float32(_NOWHERE)),
                pose,
                size,
                flags=cv2.INTER_NEAREST,
                borderValue=_NOWHERE,
            )
            return laid, *(float(np.minimum(d**2, _MAX_SQUARE).sum()) for d in (before, after))

        found = list(threads.each(one, chosen))
        self.parallax = sum(b for _, b, _ in found) > _PARALLAX_GAIN * sum(a for *_, a in found)
        if not self.parallax:
            return still
        ordered = sorted_stack(laid for laid, *_ in found)
        middle = at_rank(ordered, np.maximum((ordered < _NOWHERE).sum(axis=0) - 1, 0) // 2)
        return np.where(middle < _NOWHERE, middle, 0).astype(np.float32)

    def strays(self, mosaic: Mosaic, t: int, hole: Array, movers: Array) -> Array:
        """Where round a hole (H, W) bool the mosaic is beside the frame by more than `_MAX_STRAY`, (H, W) bool."""
        if self.registration.still:
            return np.zeros_like(hole)
        view, count = self._view(mosaic, t, cubic=False)
        flow = self._stray(view, count, t)
        before, after = (cv2.blur(self._misfit(one, t), _STRAY_WINDOW) for one in (view, warp_by_flow(view, flow)))
        distance = np.where(before > _STRAY_GAIN * after + _STRAY_NOISE, np.linalg.norm(flow, axis=2), 0)
        hidden = self.near[t] | hole | dilate_square(movers, _FRINGE) | (count < _MIN_COUNT)
        rim = (dilate_square(hole, _STRAY_RIM) & ~hidden).astype(np.float32)
        sigma = _STRAY_RIM / 2
        weight = np.maximum(cv2.GaussianBlur(rim, (0, 0), sigma), 1e-6)
        return np.asarray(cv2.GaussianBlur(distance.astype(np.float32) * rim, (0, 0), sigma) / weight > _MAX_STRAY)

    def _misfit(self, view: Array, t: int) -> Array:
        """By how much (H, W) a frame differs from a view of the background, 8-bit levels, mean of the channels."""
        return mean_channel(np.abs(self.rgb[t] - view))


@dataclass(frozen=True)
class _Compared:
    """All frames against a mosaic: what changed and what is another thing, (T, H, W) bool; mirrored masks by frame."""

    changed: Array
    other: Array
    evidence: EvidenceSum
    mirrored: Mapping[int, Array]


def _compare(shot: _Shot, mosaic: Mosaic, place: ObjectFrame, tick: Callable[[], None]) -> _Compared:
    """Compare all frames with a mosaic."""
    sampled = {place.shown[k] for k in spread_evenly(0, len(place.shown), SAMPLES)}
    changed, other = np.zeros_like(shot.masks), np.zeros_like(shot.masks)
    mirror, evidence = MirrorTest(), EvidenceSum(place, sampled)

    def compare(t: int) -> tuple[Foreground, Array, Array]:
        background, count = shot.background(mosaic, t)
        known = count >= _MIN_COUNT
        found = Foreground.of_frame(shot.rgb[t], background, known, ~shot.near[t])
        free = known & ~dilate_disc(shot.masks[t], _FRINGE)
        changed[t] = found.mask
        other[t] = another_thing(shot.rgb[t], background, found, shot.size) & free
        return found, background, free

    kept: dict[int, Array] = {}
    shown = set(place.shown)
    for t, (found, background, free) in enumerate(threads.each(compare, range(len(shot.rgb)))):
        if t in shown and shot.registration.aligned[t]:
            mirror.add(t, shot.rgb[t], background, shot.masks[t], found.mask)
            evidence.add_difference(t, found.difference)
            kept[t] = free
        tick()
    mirrored = mirror.masks if mirror.passed else {}

    def lay(t: int) -> LaidEvidence:
        if t in mirrored:
            other[t] &= ~dilate_disc(mirrored[t], _FRINGE + 1)
        return evidence.lay(t, changed[t], other[t], kept[t], dilate_disc(shot.masks[t], _TOUCH))

    for laid in threads.each(lay, kept):
        evidence.add(laid)
    return _Compared(changed, other, evidence, mirrored)


def _effects(shot: _Shot, compared: _Compared, region: EffectRegion, place: ObjectFrame) -> Array:
    """The object's effects in all frames, (T, H, W) bool."""
    out = np.zeros_like(shot.masks)
    if not region.region.any():
        return out

    def one(t: int) -> None:
        inside = place.view_mask(region.region, t)
        if not shot.registration.aligned[t]:
            out[t] = dilate_disc(inside, _EFFECT_GROWTH) & shot.masks[t].any()
            return
        things = clean_movers(compared.other[t] & ~shot.near[t])
        others = clean_movers(compared.other[t] & ~inside & ~shot.near[t]) | _outside(things, inside)
        always = place.view_mask(region.always, t) & shot.masks[t].any()  # a hidden object's shadow may be hidden too
        found = frame_effects(inside, always, compared.changed[t], compared.mirrored.get(t))
        out[t] = dilate_disc(found & ~others, _EFFECT_GROWTH) & ~others

    list(threads.each(one, place.poses))
    return out


def _outside(things: Array, region: Array) -> Array:
    """The components (H, W) bool of things that lie mostly outside a region."""
    labels, areas = label_components(things)
    kept = np.bincount(labels[~region], minlength=len(areas)) > 0.5 * areas
    kept[0] = False
    return np.asarray(kept[labels])


def _movers(shot: _Shot, mosaic: Mosaic, compared: _Compared, effects: Array) -> Array:
    """What moves and is neither the object nor its effect, (T, H, W) bool."""
    own = [dilate_disc(effects[t] | shot.masks[t], _EFFECT_GROWTH) for t in range(len(effects))]
    found = np.stack(list(threads.each(lambda t: clean_movers(compared.changed[t] & ~own[t]), range(len(own)))))
    ghosts = _ghosts(shot, mosaic, found)
    if not ghosts.any():
        return found

    def swap(t: int) -> Array:
        """A ghost is not in the frames that differ from it, but in those that look like it."""
        ghost = shot.canvas.view(ghosts.astype(np.uint8), t, nearest=True) > 0
        return clean_movers((compared.changed[t] ^ ghost) & ~own[t])

    return np.stack(list(threads.each(swap, range(len(own)))))


def _ghosts(shot: _Shot, mosaic: Mosaic, changed: Array) -> Array:
    """Where the mosaic shows a thing that stood there for most of the shot, (H, W) bool on the mosaic."""
    canvas = shot.canvas
    ahead, behind = np.zeros((2, canvas.size[1], canvas.size[0]), np.float32)
    chosen = [t for t in spread_evenly(0, len(changed), _GHOST_SAMPLES) if shot.registration.aligned[t]]

    def one(t: int) -> tuple[Array, Array]:
        background, count = shot.background(mosaic, t)
        votes = outline_votes(shot.rgb[t], background, changed[t], ~shot.near[t] & (count >= _MIN_COUNT))
        ghost, thing = (cv2.warpPerspective(v.astype(np.float32), canvas.poses[t], canvas.size) for v in votes)
        return ghost, thing

    for ghost, thing in threads.each(one, [t for t in chosen if changed[t].any()]):
        ahead += ghost
        behind += thing
    return np.asarray((ahead > _MIN_GHOSTS) & (ahead > behind))


def _told(shot: _Shot, effects: Array, movers: Array, place: ObjectFrame | None) -> Array:
    """What the mosaic tells of the holes, (T, H, W) uint8: see `scene_model`."""
    mosaic = shot.mosaic(effects, movers, careful=False)
    holes = np.stack([dilate_disc(m | e, _FRINGE) for m, e in zip(shot.masks, effects, strict=True)])
    doubtful = np.zeros_like(holes)
    if place is not None:
        shape = place.usual_shape(shot.masks)
        bodies = np.stack([place.view_mask(shape, t) if m.any() else m for t, m in enumerate(shot.masks)])
        objects = np.stack([dilate_disc(mask, _FRINGE) for mask in shot.masks])
        doubtful = hidden_movers(movers, objects, bodies, shot.canvas)
    quiet = float(np.median(mosaic.spread[mosaic.count >= _MIN_COUNT])) if (mosaic.count >= _MIN_COUNT).any() else 0.0
    gradient = gradient_magnitude(mean_channel(mosaic.colour))
    restless = (mosaic.spread > _SPREAD + _SPREAD_NOISE * quiet + _SPREAD_GRADIENT * gradient).astype(np.float32)
    restless = cv2.morphologyEx(restless, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))

    parallax = shot.measure_parallax(mosaic, effects, movers)
    out = np.full(holes.shape, np.uint8(TOLD))

    def one(t: int) -> None:
        if not shot.registration.aligned[t]:
            out[t][holes[t]] = BESIDE
        elif holes[t].any():
            unsteady = mosaic.canvas.view(restless, t, nearest=True) > 0
            found = doubtful[t] | (holes[t] & (unsteady | shot.strays(mosaic, t, holes[t], movers[t])))
            found = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
            out[t][found > 0] = DOUBTFUL
            beside = holes[t] & (mosaic.canvas.view(parallax, t) > _MAX_PARALLAX)
            out[t][holes[t] if beside.sum() > _MOSTLY * holes[t].sum() else beside] = BESIDE

    list(threads.each(one, range(len(out))))
    return out


def _judge(
    shot: _Shot, effects: Array, region: EffectRegion | None, place: ObjectFrame | None, span: FrameRange
) -> tuple[str, bool]:
    """A sentence for the user on the effects, and whether none may remain."""
    shown = [t for t in range(*span) if shot.masks[t].any()]
    if place is None or not shown or region is None:
        return NOTHING, True
    if np.mean(shot.registration.aligned[shown]) < _MIN_ALIGNED:
        return UNSTEADY, False
    if place.travel < MIN_TRAVEL:
        return (ALONE if len(shot.registration.aligned) == 1 else STILL), False
    found = [t for t in shown if effects[t].sum() > _MIN_AREA * shot.size**2]
    if not found:
        return (COMPANY, False) if region.company else (NOTHING, True)
    area = float(np.mean([effects[t].mean() for t in found]))
    part = "" if len(found) == len(shown) else f" on {len(found)} of {len(shown)} frames"
    return f"{FOUND}{part} ({100 * area:.1f} % of the picture)", True

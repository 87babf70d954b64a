"""Measure all background motion that a range of frames needs, once, in both directions of time.

Three steps: the camera's homography between neighbours; the background's flow with the object kept out of it; and, once
the holes are filled with what that flow finds, the flow of the filled frames (rounds of refinement).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

from vremove_cli import threads
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import NOWHERE, Array, Placed
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.read import Clip
from vremove_cli.motion.camera import CameraMotion, estimate_camera_motion
from vremove_cli.motion.flow import HoleFlow, filled_flow, hole_flow
from vremove_cli.motion.laplace_fill import laplace_fill
from vremove_cli.motion.trace import TraceResult, sample_mask, trace
from vremove_cli.motion.warp import sample
from vremove_cli.plate.scene_model import SceneModel

LONG_SIDE = 960  # pixels at most for measuring motion: it is smooth, and colours are sampled at full size anyway
ROUNDS = 2  # of refinement: the first gains 0.3 dB on real clips, the second 0.14

_REFINED_MARGIN = 20  # frames round a range in which motion is refined: most hidden pixels are visible within them
_MEAN_LEVEL = 110.0  # 8-bit level at which a factor of exposure counts as levels
_RIM = 8  # pixels round a hole that its unseen parts are continued from

_FramePair = tuple[int, int]  # a frame, and the next or the previous one


@dataclass(frozen=True)
class MotionField:
    """Motion of the hidden background.

    Attributes:
        ahead: Flow from frame t to t + 1, by t, in working pixels.
        back: Flow from frame t to t - 1, by t.
        brightness: 8-bit luma levels by which each frame is brighter than the first, by frame.
        scale: Working pixels per frame pixel.
    """

    ahead: Mapping[int, HoleFlow]
    back: Mapping[int, HoleFlow]
    brightness: Mapping[int, float]
    scale: float

    def overlaid(self, other: "MotionField") -> "MotionField":
        """Return this field with the pairs and the brightness of another one where that has them."""
        first = min(other.brightness)
        shift = self.brightness[first] - other.brightness[first]
        brightness = {t: level + shift for t, level in other.brightness.items()}
        return MotionField(
            {**self.ahead, **other.ahead},
            {**self.back, **other.back},
            {**self.brightness, **brightness},
            self.scale,
        )


@dataclass(frozen=True)
class _WorkingFrame:
    """A frame at working size.

    Attributes:
        gray: (h, w) uint8.
        mask: Its erase mask, 0 or 255.
    """

    gray: Array
    mask: Placed

    @property
    def full_mask(self) -> Array:
        return self.mask.full(self.gray.shape[1], self.gray.shape[0])


def working_scale(info: ClipInfo) -> float:
    """Return the size at which motion is measured, in working pixels per frame pixel."""
    return min(1.0, LONG_SIDE / max(info.width, info.height))


def camera_field(reach: FrameRange, model: SceneModel) -> MotionField:
    """Return the motion of the background under the camera of a scene's model, for every pair of a range of frames."""
    scale = working_scale(model.info)
    registration = replace(model, registration=model.registration.scaled(scale))
    nothing = np.zeros((0, 0, 2), np.int16)

    def flow(t: int, s: int) -> HoleFlow:
        return HoleFlow(registration.homography(t, s), NOWHERE, nothing)

    pairs = range(reach.start, reach.stop - 1)
    brightness = {t: _MEAN_LEVEL * (model.gain(t, reach.start) - 1) for t in range(*reach)}
    return MotionField({t: flow(t, t + 1) for t in pairs}, {t + 1: flow(t + 1, t) for t in pairs}, brightness, scale)


def measure_motion(
    clip: Clip,
    span: FrameRange,
    reach: FrameRange,
    masks: Mapping[int, Placed],
    tick: Callable[[], None] = lambda: None,
) -> MotionField:
    """Measure the background motion behind the masks.

    All gray frames of `reach` are held in memory at working size; pairs in which nothing is hidden are skipped.

    Args:
        clip: The clip.
        span: The frames in and near which motion is refined.
        reach: The frames between which motion is measured.
        masks: Erase masks by frame, 0 or 255, at full size.
        tick: Called without arguments, once for each frame of `reach`.

    Returns:
        Flow for every pair of neighbours of which one hides something.
    """
    start, stop = reach
    scale = working_scale(clip.info)
    frames = dict(_working_frames(clip, reach, masks, scale))
    hiding = [t for t in range(start, stop - 1) if not (frames[t].mask.empty and frames[t + 1].mask.empty)]
    with threads.pool() as pool:
        cameras = dict(zip(hiding, pool.map(partial(_camera_motion, frames), hiding), strict=True))
        homographies = {(t, t + 1): camera.homography for t, camera in cameras.items()}
        homographies |= {(t + 1, t): np.linalg.inv(camera.homography) for t, camera in cameras.items()}
        flows: dict[_FramePair, HoleFlow] = {}
        rough = pool.map(partial(_rough_flow, frames, homographies), homographies)
        for pair, flow in zip(homographies, rough, strict=True):
            flows[pair] = flow
            if pair[1] > pair[0]:
                tick()
        for _ in range(stop - start - len(hiding)):
            tick()
        near = range(max(start, span.start - _REFINED_MARGIN), min(stop, span.stop + _REFINED_MARGIN))
        refined_pairs = [pair for pair in homographies if min(pair) >= near[0] and max(pair) <= near[-1]]
        brightness = _accumulate_brightness(cameras, start, stop)
        for _ in range(ROUNDS):
            field = _field(flows, brightness, scale)
            filled = dict(zip(near, pool.map(partial(_fill_hole, frames, field), near), strict=True))
            refined = pool.map(partial(_refined_flow, frames, filled, homographies), refined_pairs)
            flows |= dict(zip(refined_pairs, refined, strict=True))
        return _field(flows, brightness, scale)


def _working_frames(
    clip: Clip, reach: FrameRange, masks: Mapping[int, Placed], scale: float
) -> Iterator[tuple[int, _WorkingFrame]]:
    info = clip.info
    size = (max(1, round(info.width * scale)), max(1, round(info.height * scale)))
    for frame in clip.frames(*reach):
        gray = frame.gray()
        mask = masks.get(frame.index, Placed.nothing())
        if scale < 1:
            gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
            small = cv2.resize(mask.full(info.width, info.height), size, interpolation=cv2.INTER_AREA)
            mask = Placed.tight((small > 0).astype(np.uint8) * 255)
        yield frame.index, _WorkingFrame(np.array(gray), mask)


def _camera_motion(frames: Mapping[int, _WorkingFrame], t: int) -> CameraMotion:
    a, b = frames[t], frames[t + 1]
    return estimate_camera_motion(a.gray, b.gray, a.full_mask, b.full_mask)


def _rough_flow(
    frames: Mapping[int, _WorkingFrame], homographies: Mapping[_FramePair, Array], pair: _FramePair
) -> HoleFlow:
    """Flow between two frames with the object kept out of it."""
    a, b = frames[pair[0]], frames[pair[1]]
    return hole_flow(a.gray, b.gray, a.full_mask, b.full_mask, homographies[pair])


def _refined_flow(
    frames: Mapping[int, _WorkingFrame],
    filled: Mapping[int, Array],
    homographies: Mapping[_FramePair, Array],
    pair: _FramePair,
) -> HoleFlow:
    """Flow between two frames with their holes filled; `filled` are the pixels of the masks' boxes."""
    a, b = (_with_hole_filled(frames[t], filled[t]) for t in pair)
    return filled_flow(a, b, frames[pair[0]].mask.box, homographies[pair])


def _with_hole_filled(frame: _WorkingFrame, filled: Array) -> Array:
    gray = frame.gray.copy()
    gray[frame.mask.box.slices] = filled
    return gray


def _accumulate_brightness(cameras: Mapping[int, CameraMotion], start: int, stop: int) -> dict[int, float]:
    """8-bit levels by which each frame is brighter than frame `start`."""
    brightness = {start: 0.0}
    for t in range(start, stop - 1):
        brightness[t + 1] = brightness[t] + (cameras[t].brightness if t in cameras else 0.0)
    return brightness


def _field(flows: Mapping[_FramePair, HoleFlow], brightness: Mapping[int, float], scale: float) -> MotionField:
    ahead = {t: flow for (t, s), flow in flows.items() if s > t}
    back = {t: flow for (t, s), flow in flows.items() if s < t}
    return MotionField(ahead, back, brightness, scale)


def _fill_hole(frames: Mapping[int, _WorkingFrame], field: MotionField, t: int) -> Array:
    """The box of a frame's mask (h, w) uint8 gray, with the hole as other frames show it.

    Both directions' observations are weighted by 1 / frames travelled; unseen pixels continue their surroundings.
    """
    frame = frames[t]
    box = frame.mask.box
    if frame.mask.empty:
        return frame.gray[box.slices]
    rows, columns = np.nonzero(frame.mask.values)
    rows, columns = rows + box.y0, columns + box.x0
    points = np.stack([columns, rows], axis=1).astype(np.float32)
    total = np.zeros(len(points), np.float32)
    weight = np.zeros_like(total)
    for visible in _trace_both_ways(frames, field, t, points):
        for s in np.unique(visible.frame[visible.frame >= 0]):
            which = visible.frame == s
            brightening = field.brightness[t] - field.brightness[int(s)]
            observed = sample(frames[int(s)].gray, visible.points[which], cubic=True) + brightening
            total[which] += observed / visible.distance[which]
            weight[which] += 1 / visible.distance[which]
    out = frame.gray.astype(np.float32)
    out[rows, columns] = total / np.maximum(weight, 1e-6)
    if (weight == 0).any():
        unknown = np.zeros(out.shape, bool)
        unknown[rows, columns] = weight == 0
        near = box.grow(_RIM).clip(out.shape[1], out.shape[0]).slices
        out[near] = laplace_fill(out[near], unknown[near])
    return np.clip(np.rint(out[box.slices]), 0, 255).astype(np.uint8)


def _trace_both_ways(
    frames: Mapping[int, _WorkingFrame], field: MotionField, t: int, points: Array
) -> Iterator[TraceResult]:
    """Where points (N, 2) of working frame t become visible, forward and backward in time."""
    height, width = frames[t].gray.shape

    def mask_at(s: int, positions: Array) -> Array:
        return sample_mask(frames[s].mask, positions)

    for direction, stop, flows in ((1, max(frames) + 1, field.ahead), (-1, min(frames) - 1, field.back)):
        yield trace(points, t, direction, stop, flows, mask_at, (width, height), 1.0)

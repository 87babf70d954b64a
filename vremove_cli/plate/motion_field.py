"""All background motion that a run of frames needs, worked out once, in both directions of time.

Three steps: the camera's step between neighbours, the flow of the background with the object kept out of it, and, once
the holes have been filled with what that flow finds, the flow of the filled frames (rounds of refinement).
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array, Placed
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.read import Clip
from vremove_cli.motion.camera import Step, best_step
from vremove_cli.motion.flow import HoleFlow, filled_flow, hole_flow
from vremove_cli.motion.laplace_fill import membrane
from vremove_cli.motion.trace import mask_lookup, trace
from vremove_cli.motion.warp import sample

LONG_SIDE = 960  # motion is measured at this size at most; it is smooth, and colours are sampled at full size anyway
WORKERS = 2
ROUNDS = 2  # of refinement: the first gains 0.3 dB on real clips, the second 0.14
_NEAR = 20  # frames round a run in which motion is refined: most of what is hidden is seen within them
_RIM = 8  # pixels round a hole that its unseen parts are continued from


@dataclass(frozen=True)
class MotionField:
    """Flow of the hidden background to the next (`ahead`) and the previous frame (`back`), by frame.

    `scale` is the size of a working pixel's grid against the frame's: working = frame * scale. `light` is the level
    (8-bit, luma) by which the picture has become brighter since the first frame.
    """

    ahead: Mapping[int, HoleFlow]
    back: Mapping[int, HoleFlow]
    light: Mapping[int, float]
    scale: float


@dataclass(frozen=True)
class _Small:
    """A frame at working size: gray (h, w) uint8, and its mask (0 or 255)."""

    gray: Array
    mask: Placed

    @property
    def hole(self) -> Array:
        return self.mask.full(self.gray.shape[1], self.gray.shape[0])


def working_scale(info: ClipInfo) -> float:
    """Size at which motion is measured, against the frame's."""
    return min(1.0, LONG_SIDE / max(info.width, info.height))


def measure(
    clip: Clip,
    span: FrameRange,
    reach: FrameRange,
    masks: Mapping[int, Placed],
    tick: Callable[[], None] = lambda: None,
) -> MotionField:
    """Motion of frames reach[0] <= t < reach[1], refined in and near `span`; `masks` are binary (0 or 255), full size.

    The gray frames of `reach` are in memory at working size; pairs in which nothing is hidden are passed over. `tick`
    is called once for each frame of `reach`.
    """
    start, stop = reach
    scale = working_scale(clip.info)
    frames = dict(_shrunk(clip, start, stop, masks, scale))
    pairs = [t for t in range(start, stop - 1) if not (frames[t].mask.empty and frames[t + 1].mask.empty)]
    with ThreadPoolExecutor(WORKERS) as pool:
        steps = dict(zip(pairs, pool.map(lambda t: _step(frames, t), pairs), strict=True))
        way = {(t, t + 1): step.matrix for t, step in steps.items()}
        way |= {(t + 1, t): np.linalg.inv(step.matrix) for t, step in steps.items()}
        flows: dict[tuple[int, int], HoleFlow] = {}
        rough = pool.map(lambda pair: hole_flow(*_both(frames, *pair), way[pair]), way)
        for pair, flow in zip(way, rough, strict=True):
            flows[pair] = flow
            if pair[1] > pair[0]:
                tick()
        for _ in range(stop - start - len(pairs)):
            tick()
        near = range(max(start, span.start - _NEAR), min(stop, span.stop + _NEAR))
        close = [pair for pair in way if min(pair) >= near[0] and max(pair) <= near[-1]]
        light = _brightness(steps, start, stop)
        for _ in range(ROUNDS):
            holes = dict(zip(near, pool.map(partial(_filled, frames, _field(flows, light)), near), strict=True))
            refined = pool.map(partial(_refined, frames, holes, way), close)
            flows |= dict(zip(close, refined, strict=True))
        return replace(_field(flows, light), scale=scale)


def _shrunk(
    clip: Clip, start: int, stop: int, masks: Mapping[int, Placed], scale: float
) -> Iterator[tuple[int, _Small]]:
    info = clip.info
    size = (max(1, round(info.width * scale)), max(1, round(info.height * scale)))
    for frame in clip.frames(start, stop):
        gray = frame.gray()
        mask = masks.get(frame.index, Placed.nothing())
        if scale < 1:
            gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
            small = cv2.resize(mask.full(info.width, info.height), size, interpolation=cv2.INTER_AREA)
            mask = Placed.tight((small > 0).astype(np.uint8) * 255)
        yield frame.index, _Small(np.array(gray), mask)


def _step(frames: Mapping[int, _Small], t: int) -> Step:
    a, b = frames[t], frames[t + 1]
    return best_step(a.gray, b.gray, a.hole, b.hole)


def _both(frames: Mapping[int, _Small], t: int, s: int) -> tuple[Array, Array, Array, Array]:
    return frames[t].gray, frames[s].gray, frames[t].hole, frames[s].hole


def _refined(
    frames: Mapping[int, _Small],
    holes: Mapping[int, Array],
    way: Mapping[tuple[int, int], Array],
    pair: tuple[int, int],
) -> HoleFlow:
    """Flow between two frames with their holes filled."""

    def whole(t: int) -> Array:
        gray = frames[t].gray.copy()
        gray[frames[t].mask.box.slices] = holes[t]
        return gray

    return filled_flow(whole(pair[0]), whole(pair[1]), frames[pair[0]].mask.box, way[pair])


def _brightness(steps: Mapping[int, Step], start: int, stop: int) -> dict[int, float]:
    """How much brighter each frame is than the first."""
    light = {start: 0.0}
    for t in range(start, stop - 1):
        light[t + 1] = light[t] + (steps[t].light if t in steps else 0.0)
    return light


def _field(flows: Mapping[tuple[int, int], HoleFlow], light: Mapping[int, float]) -> MotionField:
    ahead = {t: f for (t, s), f in flows.items() if s > t}
    return MotionField(ahead, {t: f for (t, s), f in flows.items() if s < t}, light, 1.0)


def _filled(frames: Mapping[int, _Small], field: MotionField, t: int) -> Array:
    """The box of a frame's mask, (h, w) uint8 gray, with the hole as other frames show it: both sightings, weighted by
    nearness in time."""
    here = frames[t]
    if here.mask.empty:
        return here.gray[here.mask.box.slices]
    rows, columns = np.nonzero(here.mask.values)
    points = np.stack([columns + here.mask.box.x0, rows + here.mask.box.y0], axis=1).astype(np.float32)
    height, width = here.gray.shape

    def hidden(s: int, at: Array) -> Array:
        return mask_lookup(frames[s].mask, at)

    total = np.zeros(len(points), np.float32)
    weight = np.zeros_like(total)
    for step, stop, flows in ((1, max(frames) + 1, field.ahead), (-1, min(frames) - 1, field.back)):
        ends = trace(points, t, step, stop, flows, hidden, (width, height), 1.0)
        for s in np.unique(ends.frame[ends.frame >= 0]):
            which = ends.frame == s
            seen = sample(frames[int(s)].gray, ends.points[which], cubic=True) + (field.light[t] - field.light[int(s)])
            total[which] += seen / ends.distance[which]
            weight[which] += 1 / ends.distance[which]
    out = here.gray.astype(np.float32)
    at = (rows + here.mask.box.y0, columns + here.mask.box.x0)
    out[at] = total / np.maximum(weight, 1e-6)
    if (weight == 0).any():
        unknown = np.zeros(out.shape, bool)
        unknown[at] = weight == 0
        room = here.mask.box.grow(_RIM).clip(width, height).slices
        out[room] = membrane(out[room][..., None], unknown[room])[..., 0]
    return np.clip(np.rint(out[here.mask.box.slices]), 0, 255).astype(np.uint8)

"""Recover the clean plate: what other frames show of the background, brought to where the object hides it.

Where the scene's model explains the picture, each hidden pixel has many sightings, which are fused (`sightings`) and
judged (`agreement`). Elsewhere the motion of the hidden background is measured with the object kept out of it
(`motion_field`); every pixel is traced in both directions of time until a frame shows it (`sample_group`), and its two
observations are fused by their gradients (`fuse`).
Pixels that no frame shows are synthesised once, in the frame with the most of them (`heal`), and carried to the others
along the same traces.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from vremove_cli import threads
from vremove_cli.compose import subsample_mask
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array, Placed, bounds, put
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.colour import gray8
from vremove_cli.media.read import Clip
from vremove_cli.plate.confidence import NEVER_SEEN
from vremove_cli.plate.heal import heal, seen_by_heal
from vremove_cli.plate.hole import Hole, RecoveredHole
from vremove_cli.plate.motion_field import MotionField, camera_field, measure_motion, working_scale
from vremove_cli.plate.sample_group import Planes, Sources
from vremove_cli.plate.scene_model import SceneModel

BATCH_BYTES = 300 << 20  # memory for the observations of the frames that are worked on together
FLOW_BYTES = 400 << 20  # memory for the flow of a range
FLOW_BYTES_PER_PIXEL = 8  # two directions of two 16-bit numbers

FLOW_REACH = 60  # frames round one that needs flow in which it is measured

_REACH_STEP = 5  # frames by which a reach shrinks at a time, on each side
_GRID = 8  # pixels between the points that tell how much of a frame is never seen


def affordable_reach(info: ClipInfo, span: FrameRange, reach: FrameRange, masks: Mapping[int, Placed]) -> FrameRange:
    """Shrink a reach until the motion of its holes fits into `FLOW_BYTES`.

    Args:
        info: The clip.
        span: The frames to recover; the reach never becomes smaller.
        reach: The frames to read.
        masks: Erase masks by frame.

    Returns:
        The reach, shrunk evenly on both sides.
    """
    scale = working_scale(info)

    def flow_bytes(t: int) -> float:
        return masks[t].box.width * masks[t].box.height * scale**2 * FLOW_BYTES_PER_PIXEL if t in masks else 0

    low, high = reach
    while (low, high) != span and sum(flow_bytes(t) for t in range(low, high)) > FLOW_BYTES:
        low, high = min(low + _REACH_STEP, span.start), max(high - _REACH_STEP, span.stop)
    return FrameRange(low, high)


def recover(
    clip: Clip,
    span: FrameRange,
    reach: FrameRange,
    masks: Mapping[int, Placed],
    feather: float,
    model: SceneModel,
    clean: Mapping[int, Planes] | None = None,
    *,
    distrust_rim: bool = True,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[tuple[int, RecoveredHole | None]]:
    """Fill the masks of a range of frames with the background that other frames show.

    Args:
        clip: The clip.
        span: The frames to fill.
        reach: The frames to read; holds `span`.
        masks: Erase masks, 0 or 255, for every frame of `reach` that has one.
        feather: Width of the masks' soft border in pixels.
        model: The camera and what moves.
        clean: Components of frames that are known without the object, by frame.
        distrust_rim: Whether a shadow or a remnant of the object may lie on the holes' rims: see `fuse`.
        tick: Called without arguments, once for each frame of `reach` measured and each frame of `span` filled.

    Yields:
        Each frame of `span`, in order, and its filled hole; None where the frame has no mask.
    """
    motion = background_motion(clip, span, reach, masks, model, tick)
    sources = Sources(clip.info, motion, masks, reach, clean or {})
    sources = replace(sources, synthesised=_synthesise(clip, span, sources, feather, model))
    with threads.pool() as pool:
        for batch in _batches(span, sources, feather, model):
            holes = [hole for hole in batch.values() if hole is not None]
            _read(clip, sources, {t for hole in holes for t in hole.wanted_frames()}, holes, Hole.sight)
            list(pool.map(lambda hole: hole.tell(model), holes))
            list(pool.map(lambda hole: hole.trace(sources), holes))
            _read(clip, sources, {t for hole in holes for t in hole.source_frames()}, holes, Hole.observe)
            solved = pool.map(partial(_solve, sources=sources, distrust_rim=distrust_rim), holes)
            for t, hole in batch.items():
                yield t, None if hole is None else next(solved)
                tick()


def background_motion(
    clip: Clip,
    span: FrameRange,
    reach: FrameRange,
    masks: Mapping[int, Placed],
    model: SceneModel,
    tick: Callable[[], None] = lambda: None,
) -> MotionField:
    """Return the motion of the background behind the holes.

    It is the camera's where the model tells the holes, and optical flow in and near other frames. Parameters as those
    of `recover`.
    """
    needing = [t for t in range(*span) if t in masks and model.told[t - model.reach.start].any()]
    camera = camera_field(reach, model)
    if not needing:
        for _ in range(*reach):
            tick()
        return camera
    low, high = max(reach.start, needing[0] - FLOW_REACH), min(reach.stop, needing[-1] + 1 + FLOW_REACH)
    near = FrameRange(max(low, span.start), min(high, span.stop))
    for _ in range(reach.length - (high - low)):
        tick()
    flow = measure_motion(clip, near, FrameRange(low, high), masks, tick)
    return camera.overlaid(flow)


def _solve(hole: Hole, sources: Sources, distrust_rim: bool) -> RecoveredHole:
    """A hole's picture; in a frame that is known without the object, that frame's own samples."""
    if hole.index not in sources.clean:
        return hole.solve(distrust_rim=distrust_rim)
    certain = np.where(hole.matte > 0, 255, 0).astype(np.uint8)
    return RecoveredHole(hole.box, hole.known, hole.matte, certain)


def _batches(span: FrameRange, sources: Sources, feather: float, model: SceneModel) -> Iterator[dict[int, Hole | None]]:
    """The holes of a range of frames, in order, as many at a time as `BATCH_BYTES` hold."""
    batch: dict[int, Hole | None] = {}
    size = 0
    for t in range(*span):
        mask = sources.masks.get(t)
        told = None if t in sources.clean else model
        hole = None if mask is None or mask.empty else Hole.from_mask(sources.info, t, mask, feather, told)
        batch[t] = hole
        size += hole.memory_bytes if hole else 0
        if size > BATCH_BYTES:
            yield batch
            batch, size = {}, 0
    yield batch


def _read(
    clip: Clip,
    sources: Sources,
    wanted: set[int],
    holes: list[Hole],
    take: Callable[[Hole, Planes, int], None],
) -> None:
    """Read each wanted frame once, and let every hole take what it needs."""
    if not wanted:
        return
    low, high = sources.reach
    for frame in clip.frames(max(low, min(wanted)), min(high, max(wanted) + 1)):
        if frame.index in wanted:
            planes = sources.clean.get(frame.index) or frame.planes()
            for hole in holes:
                take(hole, planes, frame.index)


def _synthesise(
    clip: Clip, span: FrameRange, sources: Sources, feather: float, model: SceneModel
) -> tuple[int, Planes] | None:
    """The frame with the most never-seen pixels, and its components with these synthesised; None if all are seen."""
    never_seen = {t: _count_never_seen(t, sources) for t in range(*span) if t not in sources.clean}
    key = max(never_seen, key=never_seen.__getitem__, default=None)
    if key is None or not never_seen[key]:
        return None
    hole = Hole.from_mask(sources.info, key, sources.masks[key], feather, model)
    _read(clip, sources, hole.wanted_frames(), [hole], Hole.sight)
    hole.tell(model)
    hole.trace(sources)
    _read(clip, sources, hole.source_frames(), [hole], Hole.observe)
    recovered = hole.solve(distrust_rim=False)
    (frame,) = clip.frames(key, key + 1)
    layout, size = sources.info.layout, (sources.info.width, sources.info.height)
    planes = frame.editable()
    for plane, component, values in zip(planes, layout.components, recovered.planes, strict=True):
        box = recovered.box.scale(component.sub_x, component.sub_y)
        inside = subsample_mask(recovered.confidence > 0, component.sub_x, component.sub_y)
        put(plane, box, np.where(inside, values, plane[box.slices]))
    never = recovered.confidence == NEVER_SEEN
    if not never.any():
        return key, planes
    tight = bounds(never)
    gaps = Placed(tight.moved(recovered.box.x0, recovered.box.y0), never[tight.slices].astype(np.uint8))
    near = seen_by_heal(gaps, layout, size)  # a picture of 100 megapixels must not be there in floating point
    parts = tuple(
        plane[near.scale(c.sub_x, c.sub_y).slices] for plane, c in zip(planes, layout.components, strict=True)
    )
    for part, healed in zip(parts, heal(parts, layout, gray8(parts, layout), gaps.on(near) > 0), strict=True):
        part[...] = healed
    return key, planes


def _count_never_seen(t: int, sources: Sources) -> int:
    """How many points of a grid over a frame's hole no other frame shows."""
    mask = sources.masks.get(t)
    if mask is None or mask.empty:
        return 0
    rows, columns = np.nonzero(mask.values[::_GRID, ::_GRID])
    points: Array = np.stack([columns * _GRID + mask.box.x0, rows * _GRID + mask.box.y0], axis=1).astype(np.float32)
    ahead, back = (sources.trace(points, t, direction) for direction in (1, -1))
    return int(((ahead.frame < 0) & (back.frame < 0)).sum())

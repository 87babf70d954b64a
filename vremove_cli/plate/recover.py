"""Recover the clean plate: what other frames show of the background, brought to where the object hides it.

Motion of the hidden background is measured with the object kept out of it (`motion_field`). Every hidden pixel is
traced in both directions of time until a frame shows it (`sample_group`), and its two observations are fused (`fuse`).
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
from vremove_cli.geometry import Array, Placed, put
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.colour import gray8
from vremove_cli.media.read import Clip
from vremove_cli.plate.confidence import NEVER_SEEN
from vremove_cli.plate.heal import heal
from vremove_cli.plate.hole import Hole, RecoveredHole
from vremove_cli.plate.motion_field import measure_motion, working_scale
from vremove_cli.plate.sample_group import Planes, Sources

BATCH_BYTES = 300 << 20  # memory for the observations of the frames that are worked on together
FLOW_BYTES = 400 << 20  # memory for the flow of a range
FLOW_BYTES_PER_PIXEL = 8  # two directions of two 16-bit numbers

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
        clean: Components of frames that are known without the object, by frame.
        distrust_rim: Whether a shadow or a remnant of the object may lie on the holes' rims: see `fuse`.
        tick: Called without arguments, once for each frame of `reach` measured and each frame of `span` filled.

    Yields:
        Each frame of `span`, in order, and its filled hole; None where the frame has no mask.
    """
    sources = Sources(clip.info, measure_motion(clip, span, reach, masks, tick), masks, reach, clean or {})
    sources = replace(sources, synthesised=_synthesise(clip, span, sources, feather))
    with threads.pool() as pool:
        for batch in _batches(span, sources, feather):
            holes = [hole for hole in batch.values() if hole is not None]
            list(pool.map(lambda hole: hole.trace(sources), holes))
            _observe(clip, holes, sources)
            solved = pool.map(partial(_solve, sources=sources, distrust_rim=distrust_rim), holes)
            for t, hole in batch.items():
                yield t, None if hole is None else next(solved)
                tick()


def _solve(hole: Hole, sources: Sources, distrust_rim: bool) -> RecoveredHole:
    """A hole's picture; in a frame that is known without the object, that frame's own samples."""
    if hole.index not in sources.clean:
        return hole.solve(distrust_rim=distrust_rim)
    certain = np.where(hole.matte > 0, 255, 0).astype(np.uint8)
    return RecoveredHole(hole.box, hole.known, hole.matte, certain)


def _batches(span: FrameRange, sources: Sources, feather: float) -> Iterator[dict[int, Hole | None]]:
    """The holes of a range of frames, in order, as many at a time as `BATCH_BYTES` hold."""
    batch: dict[int, Hole | None] = {}
    size = 0
    for t in range(*span):
        mask = sources.masks.get(t)
        hole = None if mask is None or mask.empty else Hole.from_mask(sources.info, t, mask, feather)
        batch[t] = hole
        size += hole.memory_bytes if hole else 0
        if size > BATCH_BYTES:
            yield batch
            batch, size = {}, 0
    yield batch


def _observe(clip: Clip, holes: list[Hole], sources: Sources) -> None:
    """Read each frame that any of the holes needs, once."""
    needed = {hole.index for hole in holes}
    for hole in holes:
        needed |= hole.source_frames()
    if not needed:
        return
    low, high = sources.reach
    for frame in clip.frames(max(low, min(needed)), min(high, max(needed) + 1)):
        if frame.index in needed:
            planes = sources.clean.get(frame.index) or frame.planes()
            for hole in holes:
                hole.observe(planes, frame.index)


def _synthesise(clip: Clip, span: FrameRange, sources: Sources, feather: float) -> tuple[int, Planes] | None:
    """The frame with the most never-seen pixels, and its components with these synthesised; None if all are seen."""
    never_seen = {t: _count_never_seen(t, sources) for t in range(*span) if t not in sources.clean}
    key = max(never_seen, key=never_seen.__getitem__, default=None)
    if key is None or not never_seen[key]:
        return None
    hole = Hole.from_mask(sources.info, key, sources.masks[key], feather)
    hole.trace(sources)
    _observe(clip, [hole], sources)
    recovered = hole.solve(distrust_rim=False)
    (frame,) = clip.frames(key, key + 1)
    layout = sources.info.layout
    planes = tuple(np.array(plane) for plane in frame.planes())
    for plane, component, values in zip(planes, layout.components, recovered.planes, strict=True):
        box = recovered.box.scale(component.sub_x, component.sub_y)
        inside = subsample_mask(recovered.confidence > 0, component.sub_x, component.sub_y)
        put(plane, box, np.where(inside, values, plane[box.slices]))
    gaps = Placed(recovered.box, recovered.confidence == NEVER_SEEN).full(sources.info.width, sources.info.height)
    return key, heal(planes, layout, gray8(planes, layout), gaps)


def _count_never_seen(t: int, sources: Sources) -> int:
    """How many points of a grid over a frame's hole no other frame shows."""
    mask = sources.masks.get(t)
    if mask is None or mask.empty:
        return 0
    rows, columns = np.nonzero(mask.values[::_GRID, ::_GRID])
    points: Array = np.stack([columns * _GRID + mask.box.x0, rows * _GRID + mask.box.y0], axis=1).astype(np.float32)
    ahead, back = (sources.trace(points, t, direction) for direction in (1, -1))
    return int(((ahead.frame < 0) & (back.frame < 0)).sum())

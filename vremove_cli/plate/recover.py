"""The clean plate: what other frames saw of the background, brought to where the object hides it.

Motion of the hidden background is measured with the object kept out of it (`motion_field`), every hidden pixel is
followed both ways in time until a frame shows it (`hole`), and the two sightings are fused (`fuse`). What no frame
shows is made up once, in the frame that lacks most (`heal`), and carried to the others along the same paths.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array, Placed, put
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.colour import gray8
from vremove_cli.media.read import Clip
from vremove_cli.plate.coarse import subsample_mask
from vremove_cli.plate.confidence import NEVER
from vremove_cli.plate.heal import heal
from vremove_cli.plate.hole import Hole, Planes, Recovered, Sources
from vremove_cli.plate.motion_field import WORKERS, measure, working_scale

BATCH_BYTES = 300 << 20  # memory for the sightings of the frames that are worked on together
FLOW_BYTES, FLOW_BYTES_PER_PIXEL = 400 << 20, 8  # two directions of two 16-bit numbers
_GRID = 8  # pixels between the points that tell how much of a frame is never seen


def affordable(info: ClipInfo, span: FrameRange, reach: FrameRange, masks: Mapping[int, Placed]) -> FrameRange:
    """`reach`, drawn in evenly round `span` until the motion of its holes fits into `FLOW_BYTES`."""
    scale = working_scale(info)

    def bytes_of(t: int) -> float:
        return masks[t].box.width * masks[t].box.height * scale**2 * FLOW_BYTES_PER_PIXEL if t in masks else 0

    low, high = reach
    while (low, high) != span and sum(bytes_of(t) for t in range(low, high)) > FLOW_BYTES:
        low, high = min(low + 5, span.start), max(high - 5, span.stop)
    return FrameRange(low, high)


def recover(
    clip: Clip,
    span: FrameRange,
    reach: FrameRange,
    masks: Mapping[int, Placed],
    feather: float,
    clean: Mapping[int, Planes] | None = None,
    *,
    wary: bool = True,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[tuple[int, Recovered | None]]:
    """Fill the masks of frames `span` from the frames of `reach` (both half-open); (index, None) where there is none.

    `masks` are binary (0 or 255) for every frame of `reach` that has one; `clean` are the components of frames that
    are known without the object. `wary` when a shadow or a rest of the object may lie on the holes' rims: see `fuse`.
    `tick` is called once for each frame of `reach` measured and once for each frame of `span` filled.
    """
    sources = Sources(clip.info, measure(clip, span, reach, masks, tick), masks, reach, clean or {})
    sources = replace(sources, guess=_guess(clip, span, sources, feather))
    with ThreadPoolExecutor(WORKERS) as pool:
        for holes in _batches(span, sources, feather):
            todo = [hole for hole in holes.values() if hole is not None]
            list(pool.map(lambda hole: hole.follow(sources), todo))
            _look(clip, todo, sources)
            solved = pool.map(lambda hole: _solve(hole, sources, wary), todo)
            for t, hole in holes.items():
                yield t, None if hole is None else next(solved)
                tick()


def _solve(hole: Hole, sources: Sources, wary: bool) -> Recovered:
    """A hole's picture; of a frame that is known without the object, that picture itself."""
    if hole.index not in sources.clean:
        return hole.solve(wary=wary)
    return Recovered(hole.box, hole.known, hole.matte, np.where(hole.matte > 0, 255, 0).astype(np.uint8))


def _batches(span: FrameRange, sources: Sources, feather: float) -> Iterator[dict[int, Hole | None]]:
    """The holes of a run of frames, in order, as many at a time as `BATCH_BYTES` hold."""
    batch: dict[int, Hole | None] = {}
    size = 0
    for t in range(*span):
        mask = sources.masks.get(t)
        hole = None if mask is None or mask.empty else Hole.at(sources.info, t, mask, feather)
        batch[t] = hole
        size += hole.bytes if hole else 0
        if size > BATCH_BYTES:
            yield batch
            batch, size = {}, 0
    yield batch


def _look(clip: Clip, holes: list[Hole], sources: Sources) -> None:
    """Read the frames that any of the holes needs, once."""
    wanted = {hole.index for hole in holes}
    for hole in holes:
        wanted |= hole.sources()
    if not wanted:
        return
    low, high = sources.reach
    for frame in clip.frames(max(low, min(wanted)), min(high, max(wanted) + 1)):
        if frame.index in wanted:
            planes = sources.clean.get(frame.index) or frame.planes()
            for hole in holes:
                hole.look(planes, frame.index)


def _guess(clip: Clip, span: FrameRange, sources: Sources, feather: float) -> tuple[int, Planes] | None:
    """The frame of the run that lacks most, with what it lacks made up; None when every frame's hole is seen."""
    missing = {t: _never_seen(t, sources) for t in range(*span) if t not in sources.clean}
    key = max(missing, key=missing.__getitem__, default=None)
    if key is None or not missing[key]:
        return None
    hole = Hole.at(sources.info, key, sources.masks[key], feather)
    hole.follow(sources)
    _look(clip, [hole], sources)
    found = hole.solve(wary=False)
    (frame,) = clip.frames(key, key + 1)
    layout = sources.info.layout
    planes = tuple(np.array(p) for p in frame.planes())
    for plane, part, values in zip(planes, layout.components, found.planes, strict=True):
        at = found.box.scale(part.sub_x, part.sub_y)
        inside = subsample_mask(found.sure > 0, part.sub_x, part.sub_y)
        put(plane, at, np.where(inside, values, plane[at.slices]))
    gaps = Placed(found.box, found.sure == NEVER).full(sources.info.width, sources.info.height)
    return key, heal(planes, layout, gray8(planes, layout), gaps)


def _never_seen(t: int, sources: Sources) -> int:
    """How many points of a grid over a frame's hole no other frame shows."""
    mask = sources.masks.get(t)
    if mask is None or mask.empty:
        return 0
    rows, columns = np.nonzero(mask.values[::_GRID, ::_GRID])
    points: Array = np.stack([columns * _GRID + mask.box.x0, rows * _GRID + mask.box.y0], axis=1).astype(np.float32)
    ends = [sources.trace(points, t, step) for step in (1, -1)]
    return int(((ends[0].frame < 0) & (ends[1].frame < 0)).sum())

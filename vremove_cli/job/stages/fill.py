"""The task of a remover's stage: what it sees, what it makes, and how that becomes patches."""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from vremove_cli.compose import blend, paint, place
from vremove_cli.errors import VremoveError
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import NOWHERE, Array, Box, Placed, bounds, put
from vremove_cli.job.erase_mask import affected_masks
from vremove_cli.job.events import Emit, Note, Progress
from vremove_cli.job.model_fetch import fetch_progress
from vremove_cli.job.plan import Plan
from vremove_cli.job.stages.plate import Patch, pixels_to_fill, plate_patches
from vremove_cli.job.task_graph import Task, connected_groups, shot_info
from vremove_cli.job.workdir.artifacts import PatchWriter
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.media.colour import to_rgb
from vremove_cli.media.read import Clip, Frame
from vremove_cli.plate.coarse import subsample_mask
from vremove_cli.plate.hole import matte_of
from vremove_cli.removers import registry
from vremove_cli.removers.base import Fill, RemoverSpec, Settings, Shot, Stage
from vremove_cli.removers.common.resize import harmonise, resize
from vremove_cli.removers.void import quadmask
from vremove_cli.weights import store

_GLOBAL = 0.5  # share of the picture beside the object beyond which a change is no effect of the object


@dataclass(frozen=True)
class _Work:
    """One stage: its frames' asked pixels and what will move there, by frame, on the `region` that is shown."""

    plan: Plan
    folder: WorkFolder
    task: Task
    stage: Stage
    spec: RemoverSpec
    region: Box
    size: tuple[int, int] | None
    asked: dict[int, Placed]
    affected: dict[int, Placed]

    def masked(self, masks: dict[int, Placed], t: int) -> Array:
        """A frame's mask on the region, (H, W) bool."""
        return masks[t].on(self.region) > 0 if t in masks else np.zeros((self.region.height, self.region.width), bool)


def run_fill(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> dict[str, Any]:
    """Let the remover generate what the plate could not recover in a stage's frames, and what is said to change."""
    remover = registry.make(plan.remover, _settings(plan, emit))
    stages = remover.stages(shot_info(plan.clip, plan.span, plan.segments))
    stage = next(s for s in stages if f"fill-{s.id}" == task.id)
    work = _work(plan, folder, task, stage, remover.spec, connected_groups(stages)[stage.id])
    if work.region.empty or not any(m.values.any() for m in (*work.asked.values(), *work.affected.values())):
        return {"nothing": True}
    shown = plan.clip.orientation.size(work.region.width, work.region.height)
    work = replace(work, size=remover.size(*shown))
    shot = _shot(work, emit)
    before = {s: _load_fill(folder, s) for s in stages if s.id in stage.needs and _made(folder, s)}
    fill = remover.run(stage, shot, before)
    if fill.frames.shape != shot.frames.shape:
        raise VremoveError(f"{plan.remover} returned {fill.frames.shape} instead of {shot.frames.shape}")
    _keep_fill(folder, stage, fill, stages)
    emit(_progress(work, 1.0))
    return {"where": _write_fill(work, _credible(work, fill, emit))} if stage.step == 1 else {"anchors": True}


def _progress(work: _Work, share: float) -> Progress:
    """How far filling is, in frames of the range, when a share of a stage is done: keyframes are work beside them."""
    fills = [t.id for t in work.plan.tasks if t.kind == "fill"]
    length = work.plan.span.length
    return Progress("fill", round((fills.index(work.task.id) + share) / len(fills) * length), length)


def _work(plan: Plan, folder: WorkFolder, task: Task, stage: Stage, spec: RemoverSpec, group: FrameRange) -> _Work:
    affected = affected_masks(plan, folder, *task.span) if spec.physics else {}
    asked = {}
    for t, patch, sure in plate_patches(plan, folder, *task.span):
        if patch is not None and t in stage.frames:
            asked[t] = Placed(patch[0], pixels_to_fill(patch[2], sure, plan.request.recover).astype(np.uint8))
    return _Work(plan, folder, task, stage, spec, _region(plan, folder, spec, group), None, asked, affected)


def _made(folder: WorkFolder, stage: Stage) -> bool:
    return not (folder.result(f"fill-{stage.id}") or {}).get("nothing")


def _settings(plan: Plan, emit: Emit) -> Settings:
    """What the remover is told; its models may have to come to this machine first."""
    request = plan.request
    places = {}
    for part in plan.parts:
        here = store.ensure_planned(part, request.accept_license, fetch_progress(emit))
        places[part.model.name] = here.path
    return request.settings(places)


def _keep_fill(folder: WorkFolder, stage: Stage, fill: Fill, stages: list[Stage]) -> None:
    """Keep what later stages need of a fill, and no more: of a long clip all of it would fill a disk."""
    wanted = {t for s in stages if stage.id in s.needs for t in s.frames}
    places = [i for i, t in enumerate(stage.frames) if t in wanted]
    if places:
        np.savez(
            folder.file("fill", f"fill-{stage.id}.npz"), places=places, frames=fill.frames[places].astype(np.float16)
        )


def _load_fill(folder: WorkFolder, stage: Stage) -> Fill:
    """What was kept of a fill; black where nobody needs it."""
    with np.load(folder.file("fill", f"fill-{stage.id}.npz")) as kept:
        frames = np.zeros((len(stage.frames), *kept["frames"].shape[1:]), np.float32)
        frames[kept["places"]] = kept["frames"]
    return Fill(frames)


def _region(plan: Plan, folder: WorkFolder, spec: RemoverSpec, group: FrameRange) -> Box:
    """What the remover is shown, for all stages of a group alike: the whole frame, or the part round all that is asked
    in the group's frames, with sides of its multiple."""
    size = (plan.clip.width, plan.clip.height)
    frame = Box(0, 0, *size)
    if spec.region == "frame" and spec.multiple == 1:
        return frame
    box = frame if spec.region == "frame" else _asked_in(plan, folder, group)
    if box.empty:
        return box
    box = box.grow(spec.context).clip(*size)
    m = max(spec.multiple, 8)
    x0, y0 = box.x0 // 8 * 8, box.y0 // 8 * 8
    return Box(x0, y0, x0 + -(-(box.x1 - x0) // m) * m, y0 + -(-(box.y1 - y0) // m) * m)


def _asked_in(plan: Plan, folder: WorkFolder, group: FrameRange) -> Box:
    """The box round all that is asked in some frames."""
    union = NOWHERE
    for task in plan.tasks:
        if task.kind == "plate" and task.span.start < group[1] and task.span.stop > group[0]:
            union = union.union(Box(*(folder.result(task.id) or {})["asked"]))
    return union


def _shot(work: _Work, emit: Emit) -> Shot:
    """The frames of the region as a remover wants them, upright, one at a time brought to its size, and the masks that
    go with them. What is erased is what the plate says it is: inside its matte."""
    plan, span, region, size = work.plan, work.task.span, work.region, work.size
    upright = plan.clip.orientation.upright
    rgb, asks, quad = [], [], []
    for frame, (t, patch, _) in zip(
        Clip(plan.clip).frames(*span), plate_patches(plan, work.folder, *span), strict=True
    ):
        if t not in work.stage.frames:
            continue
        picture = upright(_rgb(plan, _patched(frame, region, patch if work.spec.input == "plate" else None)))
        moved = work.masked(work.affected, t)
        wanted = upright(work.masked(work.asked, t) | moved)
        gone = Placed(patch[0], patch[2]).on(region) == 255 if patch else np.zeros_like(moved)
        levels = upright(quadmask.draw_quadmask(gone, moved)).astype(np.float32)
        if size is not None:
            picture, levels = resize(picture, size), 255 * resize(levels / 255, size)
            wanted = resize(wanted * 1.0, size) > 0
        rgb.append(picture)
        quad.append(levels)
        asks.append(wanted)

    def tick(done: int, total: int) -> None:
        emit(_progress(work, done / (total + 1)))

    return Shot(np.stack(rgb), np.stack(asks), np.stack(quad), span.start, region.x0, region.y0, tick)


def _credible(work: _Work, fill: Fill, emit: Emit) -> Fill:
    """A fill without the changes beside the object that are not wanted, or that cannot be an effect of it."""
    if fill.difference_mask is None or work.plan.request.effects != "auto":
        return Fill(fill.frames)
    share = float(fill.difference_mask.mean())
    if share <= _GLOBAL:
        return fill
    start, stop = work.task.span
    said = f"{work.plan.remover} changed {share:.0%} of the picture in frames {start} to {stop - 1}"
    emit(Note(f"{said}: only the hole is taken from it"))
    return Fill(fill.frames)


def _write_fill(work: _Work, fill: Fill) -> dict[str, Any]:
    """Store what a remover made as patches, at the clip's size and fit for its surroundings; gives where they lie."""
    plan, task, region = work.plan, work.task, work.region
    plates = plate_patches(plan, work.folder, *task.span)
    boxes = [  # all of what is used is not kept beside them: of a long stage it would fill the memory
        _box_for(plan, _used(work, fill, i)[0], patch, region)
        for i, (_, (_, patch, _)) in enumerate(zip(work.stage.frames, plates, strict=True))
    ]
    frames = zip(Clip(plan.clip).frames(*task.span), plate_patches(plan, work.folder, *task.span), strict=True)
    path = work.folder.file("fill", f"{task.id}.mkv")
    with PatchWriter(path, plan.clip.layout, boxes, ("matte", "changed")) as patches:
        for i, (frame, (t, patch, _)) in enumerate(frames):
            where, soft, changed = _used(work, fill, i)
            planes = _patched(frame, region, patch)
            made = np.ascontiguousarray(plan.clip.orientation.store(fill.frames[i]))
            if work.size is not None and where.any():
                made = harmonise(made, _rgb(plan, planes), where, np.random.default_rng((plan.request.seed, t)))
            parts, matte = _merged(plan, planes, patch, made, where, soft, region, boxes[i])
            patches.write(parts, matte, Placed(region, changed * np.uint8(255)).on(boxes[i]))
    return patches.where


def _used(work: _Work, fill: Fill, i: int) -> tuple[Array, Array, Array]:
    """Where a frame of a fill is used (H, W) bool on the region, its own matte there (H, W) uint8, and where it changed
    the picture beside what was asked (H, W) bool."""
    t, changed = work.stage.frames[i], np.zeros((work.region.height, work.region.width), bool)
    if fill.difference_mask is not None:
        stored = work.plan.clip.orientation.store(fill.difference_mask[i].astype(np.float32))
        size = (work.region.width, work.region.height)
        changed = cv2.resize(np.ascontiguousarray(stored), size, interpolation=cv2.INTER_LINEAR) > 0.5
    soft = matte_of(work.masked(work.affected, t) | changed, work.plan.request.feather)
    return work.masked(work.asked, t) | (soft > 0), soft, changed


def _rgb(plan: Plan, planes: tuple[Array, ...]) -> Array:
    """Components as R'G'B' (H, W, 3) float32 in [0, 1]."""
    values = to_rgb(planes, plan.clip.layout, plan.clip.colour, plan.clip.height)
    return np.asarray(np.clip(values, 0, 1), np.float32)


def _patched(frame: Frame, region: Box, patch: Patch | None) -> tuple[Array, ...]:
    """Components of a region with the plate's patch blended in."""
    if patch is not None:
        box, parts, matte = patch
        blend(frame.editable(), frame.layout, box, parts, matte)
    return tuple(np.array(p) for p in frame.crop(region))


def _box_for(plan: Plan, where: Array, patch: Patch | None, region: Box) -> Box:
    """The box that holds what was generated and the plate's patch."""
    layout, clip = plan.clip.layout, plan.clip
    had = patch[0] if patch else NOWHERE
    if not where.any():
        return had
    extra = bounds(where).moved(region.x0, region.y0).align(1 << max(layout.sub_x, layout.sub_y))
    return extra.union(had).clip(clip.width, clip.height)


def _merged(
    plan: Plan,
    planes: tuple[Array, ...],
    patch: Patch | None,
    made: Array,
    where: Array,
    soft: Array,
    region: Box,
    box: Box,
) -> tuple[tuple[Array, ...], Array]:
    """The plate's patch of a frame on its box, with the generated pixels put in `where` (H, W) bool on the region; and
    the matte: the plate's, or `soft` (H, W) uint8 where that is more."""
    layout, clip = plan.clip.layout, plan.clip
    if not where.any():
        return (patch[1], patch[2]) if patch is not None else ((), np.zeros((0, 0), np.uint8))
    painted = paint(planes, layout, clip.colour, clip.height, made, where)
    generated = place(painted, layout, region, box)
    inside = Placed(region, where).on(box)
    base = place(patch[1], layout, patch[0], box) if patch else generated
    matte = Placed(patch[0], patch[2]).on(box) if patch else np.zeros(inside.shape, np.uint8)
    return _overlay(base, generated, inside, layout), np.maximum(matte, Placed(region, soft).on(box))


def _overlay(planes: tuple[Array, ...], over: tuple[Array, ...], inside: Array, layout: Any) -> tuple[Array, ...]:
    out = []
    for old, new, part in zip(planes, over, layout.components, strict=True):
        merged = old.copy()
        mask = subsample_mask(inside, part.sub_x, part.sub_y)
        put(merged, Box(0, 0, old.shape[1], old.shape[0]), np.where(mask, new, old))
        out.append(merged)
    return tuple(out)

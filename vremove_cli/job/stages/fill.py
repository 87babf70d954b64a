"""The fill stage: what a remover sees, what it generates, and how that becomes patches."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

from vremove_cli.compose import blend, paint, place, subsample_mask
from vremove_cli.frame_ranges import FrameRange, spread_evenly
from vremove_cli.geometry import NOWHERE, Array, Box, Placed, bounds, put
from vremove_cli.job.attempts import Attempts, as_levels, best_attempt, make_judge
from vremove_cli.job.composite import FillResult, PlatePatch, PlateResult, plate_patches
from vremove_cli.job.erase_mask import affected_masks
from vremove_cli.job.events import Emit, Note
from vremove_cli.job.gpu_memory import is_deep
from vremove_cli.job.model_fetch import progress_if_allowed
from vremove_cli.job.plan import Plan
from vremove_cli.job.recovery import leaves_much
from vremove_cli.job.stages.base import Rest, StageKind
from vremove_cli.job.stages.generate import FillProgress, as_rgb, run_remover
from vremove_cli.job.stages.paint import run_paint
from vremove_cli.job.stages.plate import pixels_to_fill
from vremove_cli.job.task_graph import Task, connected_groups, kept_frames, shot_info
from vremove_cli.job.this_machine import joins
from vremove_cli.job.workdir.artifacts import Patch, PatchWriter
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.media.pixel_format import Layout
from vremove_cli.media.read import Clip, Frame
from vremove_cli.networks.model_pool import pool
from vremove_cli.networks.phases import clock
from vremove_cli.plate.hole import feather_matte
from vremove_cli.removers import registry
from vremove_cli.removers.base import Fill, Remover, RemoverSpec, Settings, Shot, Stage
from vremove_cli.removers.common.harmonise import changed_box, harmonise, ring_width
from vremove_cli.removers.common.resize import resize
from vremove_cli.removers.common.temporal_windows import is_join
from vremove_cli.weights import store

# Shares of a pixel, from the limits by which VOID's released code reads a resized quadmask (0 erase, 127 affected, 255
# keep): a level of at most 95 is erased, (255 - 95) / 255; at most 191 is affected, halfway from 255 to 127.
_ERASED, _AFFECTED = 160 / 255, 0.5
_CHROMA_REACH = 8  # chroma samples around a pixel that its R'G'B' depends on, at most
_SCORED = 5  # frames of a stage that are scored
_GLOBAL = 0.5  # share of the picture beside the object beyond which a change is no effect of the object


@dataclass(frozen=True)
class _Work:
    """One stage of a remover and what it is given.

    Attributes:
        plan: The plan.
        folder: The work folder.
        task: The task.
        stage: The remover's stage.
        spec: The remover's properties.
        region: Part of the stored frame that the remover sees.
        size: (width, height) it works at, upright; None: the region's own.
        to_fill: Inpaint masks by frame.
        affected: Masks of what will move, by frame.
        filling: Turns the share of the stage that is done into progress.
    """

    plan: Plan
    folder: WorkFolder
    task: Task
    stage: Stage
    spec: RemoverSpec
    region: Box
    size: tuple[int, int] | None
    to_fill: dict[int, Placed]
    affected: dict[int, Placed]
    filling: FillProgress

    def on_region(self, masks: dict[int, Placed], t: int) -> Array:
        """Return a frame's mask on the region, (H, W) bool."""
        if t in masks:
            return masks[t].on(self.region) > 0
        return np.zeros((self.region.height, self.region.width), bool)


def run_fill(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> FillResult | Rest[FillResult]:
    """Let the remover generate what the plate could not recover in a stage's frames, and what will move there.

    Restoring the fill to the clip is left for a thread beside the next stage's network.
    """
    pool.release("track", "detect", "reason")  # nothing is tracked any more: the remover gets their memory
    settings = _settings(plan, task, emit)
    remover = registry.make(plan.remover, settings)
    stages = remover.stages(shot_info(plan.clip, plan.span, plan.segments))
    stage = next(s for s in stages if f"fill-{s.id}" == task.id)
    group = connected_groups(stages)[stage.id]
    if plan.conditional and not leaves_much(plan, folder, group):
        return FillResult(None, generated=False)
    if remover.spec.paints:
        return run_paint(plan, task, folder, settings, stage, emit)
    work = _work(plan, folder, task, stage, remover.spec, group)
    clock.take()  # what an interrupted task has left
    masks = (*work.to_fill.values(), *work.affected.values())
    if work.region.empty or not any(m.values.any() for m in masks):
        return FillResult(None, generated=False)
    shown = plan.clip.orientation.size(work.region.width, work.region.height)
    work = replace(work, size=remover.size(*shown))
    fill, attempts = _best_fill(work, settings, stages, emit)
    _keep_fill(folder, stage, fill, stages)
    emit(work.filling.at(1.0))
    phases = clock.take() if remover.spec.network else {}
    left = FillResult(None, True, phases, (attempts,) if attempts else ())
    if stage.step > 1:
        return left
    return Rest(partial(_restore, work, _credible(work, fill, emit), left))


def _best_fill(work: _Work, settings: Settings, stages: list[Stage], emit: Emit) -> tuple[Fill, Attempts | None]:
    """Run the remover on a stage, again with other seeds while its score is too low; keep the best fill."""
    with clock.phase("read"):
        shot = _shot(work, emit)

    def make(settings: Settings) -> Fill:
        return _generate(work, shot, registry.make(work.plan.remover, settings), stages, emit)

    if is_join(work.stage):  # no noise has a part in a crossfade
        return make(settings), None
    return best_attempt(work.plan.request, settings, work.stage.start, make, partial(_score, work, shot))


def _score(work: _Work, shot: Shot, fill: Fill) -> float:
    """Return the median score of some frames of a fill."""
    holes = [i for i, mask in enumerate(shot.inpaint_mask) if mask.any()]
    judge, upright = make_judge(work.plan), work.plan.clip.orientation.upright
    scores = []
    for k in spread_evenly(0, len(holes), _SCORED):
        i = holes[k]
        t = work.stage.frames[i]
        (frame,) = Clip(work.plan.clip).frames(t, t + 1)
        source = upright(as_rgb(work.plan, tuple(np.array(p) for p in frame.crop(work.region))))
        source = source if work.size is None else resize(source, work.size)
        hole = shot.inpaint_mask[i] | shot.erase_mask[i]
        shown = np.where(hole[..., None], fill.frames[i], source)
        scores.append(judge(as_levels(source), as_levels(shown), hole))
    return float(np.median(scores))


def _generate(work: _Work, shot: Shot, remover: Remover, stages: list[Stage], emit: Emit) -> Fill:
    """Run the remover on a stage."""
    plan, folder, stage = work.plan, work.folder, work.stage
    with clock.phase("read"):
        inputs = {s: _load_fill(folder, s) for s in stages if s.id in stage.needs and _generated(folder, s)}
    return run_remover(plan, remover, stage, shot, inputs, emit)


def _restore(work: _Work, fill: Fill, left: FillResult) -> FillResult:
    """Store a fill as patches of the clip; `left` is what is known of it until now."""
    started = time.perf_counter()
    table = _write_fill(work, fill).table
    phases = {**left.phases, "restore": time.perf_counter() - started} if left.phases else {}
    return replace(left, patches=table, phases=phases)


def _settings(plan: Plan, task: Task, emit: Emit) -> Settings:
    """Return what the remover is told; its models may have to come to this machine first, except to crossfade."""
    request = plan.request
    progress = progress_if_allowed(request, emit)
    needed = () if joins(task) else plan.checkpoints
    checkpoints = [store.ensure_planned(c, request.accept_license, progress) for c in needed]
    models = {c.model.name: c for c in checkpoints}
    return request.settings(models, plan.memory, plan.arithmetic, deep=is_deep(plan.clip))


def _work(plan: Plan, folder: WorkFolder, task: Task, stage: Stage, spec: RemoverSpec, group: FrameRange) -> _Work:
    affected = affected_masks(plan, folder, *task.span) if spec.physics else {}
    to_fill = {}
    for t, plate in _plates(plan, folder, stage.frames):
        if plate is not None:
            pixels = pixels_to_fill(plate.patch.matte, plate.confidence, recovers=plan.request.recover == "on")
            to_fill[t] = Placed(plate.patch.box, pixels.astype(np.uint8))
    region = _region(plan, folder, spec, group)
    return _Work(plan, folder, task, stage, spec, region, None, to_fill, affected, FillProgress.of(plan, task))


def _plates(plan: Plan, folder: WorkFolder, frames: range) -> Iterator[tuple[int, PlatePatch | None]]:
    """Yield the plate's patches of a stage's frames; of those between keyframes none is read."""
    runs = [(frames.start, frames.stop)] if frames.step == 1 else [(t, t + 1) for t in frames]
    for start, stop in runs:
        yield from plate_patches(plan, folder, start, stop)


def _region(plan: Plan, folder: WorkFolder, spec: RemoverSpec, group: FrameRange) -> Box:
    """Return what the remover sees, the same for all stages of a connected group.

    It is the whole frame, or the part around all pixels to fill in the group's frames, with sides of its multiple.
    """
    size = (plan.clip.width, plan.clip.height)
    frame = Box(0, 0, *size)
    if spec.region == "frame" and spec.multiple == 1:
        return frame
    box = frame if spec.region == "frame" else _box_to_fill(plan, folder, group)
    if box.empty:
        return box
    box = box.grow(spec.context).clip(*size)
    m = max(spec.multiple, 8)
    x0, y0 = box.x0 // 8 * 8, box.y0 // 8 * 8
    return Box(x0, y0, x0 + -(-(box.x1 - x0) // m) * m, y0 + -(-(box.y1 - y0) // m) * m)


def _box_to_fill(plan: Plan, folder: WorkFolder, group: FrameRange) -> Box:
    """Return the box around all pixels to fill in some frames."""
    union = NOWHERE
    for task in plan.tasks_of("plate"):
        if task.span.overlaps(group):
            result = folder.result(task.id, PlateResult)
            assert result is not None
            union = union.union(Box(*result.to_fill))
    return union


def _shot(work: _Work, emit: Emit) -> Shot:
    """Return the region's frames and masks as the remover gets them: upright, at the size that it works at.

    The erase mask is the inside of the plate's matte. One frame at a time is resized, to save memory.
    """
    plan, span, region = work.plan, work.task.span, work.region
    upright = plan.clip.orientation.upright
    pictures: list[Array] = []
    inpaint: list[Array] = []
    erase: list[Array] = []
    affected: list[Array] = []

    def coverage(mask: Array) -> Array:
        """Return the share of each pixel of the remover's size that a mask (H, W) bool covers."""
        if work.size is None:
            return upright(mask) * np.float32(1)
        if not mask.any():  # true of most masks of effects and of many frames' holes
            return np.zeros(work.size[::-1], np.float32)
        return resize(upright(mask) * 1.0, work.size)

    frames = work.stage.frames
    for frame, (t, plate) in zip(Clip(plan.clip).picked(frames), _plates(plan, work.folder, frames), strict=True):
        patch = None if plate is None else plate.patch
        picture = upright(as_rgb(plan, _patched(frame, region, patch if work.spec.input == "plate" else None)))
        moved = work.on_region(work.affected, t)
        erased = np.zeros_like(moved) if patch is None else Placed(patch.box, patch.matte).on(region) == 255
        pictures.append(picture if work.size is None else resize(picture, work.size))
        inpaint.append(coverage(work.on_region(work.to_fill, t) | moved) > 0)
        erase.append(coverage(erased) >= _ERASED)
        affected.append(coverage(moved) >= _AFFECTED)

    def tick(done: int, total: int) -> None:
        emit(work.filling.at(done / (total + 1)))

    masks = (np.stack(inpaint), np.stack(erase), np.stack(affected))
    return Shot(np.stack(pictures), *masks, span.start, region.x0, region.y0, tick)


def _generated(folder: WorkFolder, stage: Stage) -> bool:
    """Return whether a finished stage generated anything."""
    result = folder.result(f"fill-{stage.id}", FillResult)
    return result is not None and result.generated


def _keep_fill(folder: WorkFolder, stage: Stage, fill: Fill, stages: list[Stage]) -> None:
    """Store what later stages need of a fill, and no more: all of a long clip would fill the disk."""
    indices = [stage.frames.index(t) for t in kept_frames(stages)[stage.id]]
    if indices:
        frames = fill.frames[indices].astype(np.float16)
        np.savez(folder.file("fill", f"fill-{stage.id}.npz"), indices=indices, frames=frames)


def _load_fill(folder: WorkFolder, stage: Stage) -> Fill:
    """Return what was stored of a fill; black where no stage needs it."""
    with np.load(folder.existing("fill", f"fill-{stage.id}.npz")) as kept:
        frames = np.zeros((len(stage.frames), *kept["frames"].shape[1:]), np.float32)
        frames[kept["indices"]] = kept["frames"]
    return Fill(frames)


def _credible(work: _Work, fill: Fill, emit: Emit) -> Fill:
    """Return a fill without its difference mask, if that is not wanted or covers too much to be an effect."""
    if fill.difference_mask is None or work.plan.request.effects != "auto":
        return Fill(fill.frames)
    share = float(fill.difference_mask.mean())
    if share <= _GLOBAL:
        return fill
    start, stop = work.task.span
    what = f"{work.plan.remover} changed {share:.0%} of the picture in frames {start} to {stop - 1}"
    emit(Note(f"{what}: only the hole is taken from it"))
    return Fill(fill.frames)


def _write_fill(work: _Work, fill: Fill) -> PatchWriter:
    """Store a fill as patches, at the clip's size and harmonised with its surroundings."""
    plan, task, region = work.plan, work.task, work.region
    plates = (p for _, p in plate_patches(plan, work.folder, *task.span))
    boxes = [  # computed first, and not kept with the masks: those of a long stage would fill the memory
        _box_for(plan, _used(work, fill, i).where, None if plate is None else plate.patch, region)
        for i, plate in enumerate(plates)
    ]
    frames = zip(Clip(plan.clip).frames(*task.span), plate_patches(plan, work.folder, *task.span), strict=True)
    path = work.folder.file("fill", f"{task.id}.mkv")
    with PatchWriter(path, plan.clip.layout, boxes, ("matte", "changed")) as writer:
        for i, (frame, (t, plate)) in enumerate(frames):
            used, patch = _used(work, fill, i), None if plate is None else plate.patch
            if used.where.any():
                near = _near(work, used.where)
                planes, part = _patched(frame, near, patch), used.on(region, near)
                rng = np.random.default_rng((plan.request.seed, t))
                generated = _fitted(work, fill.frames[i], near, planes, part.where, rng)
                parts, matte = _merge(plan, planes, patch, generated, part, near, boxes[i])
            else:
                parts, matte = (patch.planes, patch.matte) if patch else ((), np.zeros((0, 0), np.uint8))
            writer.write(parts, matte, Placed(region, used.changed * np.uint8(255)).on(boxes[i]))
    return writer


def _near(work: _Work, where: Array) -> Box:
    """Return the part of the region that the fill's pixels depend on, on whole chroma samples of the frame.

    It is what harmonising reads, and the samples from which chroma there is interpolated.
    """
    layout, region = work.plan.clip.layout, work.region
    step = 1 << max(layout.sub_x, layout.sub_y)
    box = changed_box(where).grow(_CHROMA_REACH * step).moved(region.x0, region.y0).align(step)
    return Box(max(box.x0, region.x0), max(box.y0, region.y0), min(box.x1, region.x1), min(box.y1, region.y1))


def _fitted(
    work: _Work, picture: Array, near: Box, planes: tuple[Array, ...], where: Array, rng: np.random.Generator
) -> Array:
    """Return a picture of the fill on a part of the region, at the clip's size and harmonised with its surroundings.

    Args:
        work: The stage.
        picture: R'G'B' of the whole region, upright, (h, w, 3) float32 at the remover's size.
        near: The part of the region.
        planes: Components of the clip there.
        where: Pixels that come from the fill, there.
        rng: Source of the grain.

    Returns:
        R'G'B' (H, W, 3) float32.
    """
    region, shape = work.region, (work.region.height, work.region.width)
    stored = np.ascontiguousarray(work.plan.clip.orientation.store(picture))
    if stored.shape[:2] != shape:
        stored = cv2.resize(stored, shape[::-1], interpolation=cv2.INTER_CUBIC)
    part = np.ascontiguousarray(stored[near.moved(-region.x0, -region.y0).slices])
    if work.size is None:
        return part
    return harmonise(part, as_rgb(work.plan, planes), where, ring_width(shape), rng)


@dataclass(frozen=True)
class _Used:
    """Where one frame of a fill is used, on the region.

    Attributes:
        where: Pixels that come from the fill, (H, W) bool.
        matte: The fill's own blend weights, (H, W) uint8.
        changed: Pixels that the remover changed beside the inpaint mask, (H, W) bool.
    """

    where: Array
    matte: Array
    changed: Array

    def on(self, region: Box, part: Box) -> "_Used":
        """Return this on a part of the region that it lies on."""
        where = part.moved(-region.x0, -region.y0).slices
        return _Used(self.where[where], self.matte[where], self.changed[where])


def _used(work: _Work, fill: Fill, i: int) -> _Used:
    t, changed = work.stage.frames[i], np.zeros((work.region.height, work.region.width), bool)
    if fill.difference_mask is not None:
        stored = work.plan.clip.orientation.store(fill.difference_mask[i].astype(np.float32))
        size = (work.region.width, work.region.height)
        changed = cv2.resize(np.ascontiguousarray(stored), size, interpolation=cv2.INTER_LINEAR) > 0.5
    matte = feather_matte(work.on_region(work.affected, t) | changed, work.plan.request.feather)
    return _Used(work.on_region(work.to_fill, t) | (matte > 0), matte, changed)


def _patched(frame: Frame, region: Box, patch: Patch | None) -> tuple[Array, ...]:
    """Return components of a region with the plate's patch blended in."""
    if patch is not None:
        blend(frame.editable(), frame.layout, patch.box, patch.planes, patch.matte)
    return tuple(np.array(p) for p in frame.crop(region))


def _box_for(plan: Plan, where: Array, patch: Patch | None, region: Box) -> Box:
    """Return the box that holds the generated pixels and the plate's patch."""
    layout, clip = plan.clip.layout, plan.clip
    plate_box = patch.box if patch else NOWHERE
    if not where.any():
        return plate_box
    filled = bounds(where).moved(region.x0, region.y0).align(1 << max(layout.sub_x, layout.sub_y))
    return filled.union(plate_box).clip(clip.width, clip.height)


def _merge(
    plan: Plan,
    planes: tuple[Array, ...],
    patch: Patch | None,
    generated: Array,
    used: _Used,
    part: Box,
    box: Box,
) -> tuple[tuple[Array, ...], Array]:
    """Put generated pixels over the plate's patch.

    Args:
        plan: The plan.
        planes: Components of a part of the frame that holds all generated pixels, with the plate's patch in them.
        patch: The plate's patch.
        generated: R'G'B' of the part, (H, W, 3) float32.
        used: Where the generated pixels are used, on the part.
        part: Where the part lies.
        box: Where the result lies.

    Returns:
        Components on `box`, and the matte there: the larger of the plate's and the fill's.
    """
    layout, clip = plan.clip.layout, plan.clip
    painted = place(paint(planes, layout, clip.colour, clip.height, generated, used.where), layout, part, box)
    inside = Placed(part, used.where).on(box)
    below = place(patch.planes, layout, patch.box, box) if patch else painted
    matte = Placed(patch.box, patch.matte).on(box) if patch else np.zeros(inside.shape, np.uint8)
    return _overlay(below, painted, inside, layout), np.maximum(matte, Placed(part, used.matte).on(box))


def _overlay(below: tuple[Array, ...], over: tuple[Array, ...], inside: Array, layout: Layout) -> tuple[Array, ...]:
    out = []
    for old, new, part in zip(below, over, layout.components, strict=True):
        merged = old.copy()
        mask = subsample_mask(inside, part.sub_x, part.sub_y)
        put(merged, Box(0, 0, old.shape[1], old.shape[0]), np.where(mask, new, old))
        out.append(merged)
    return tuple(out)


STAGE = StageKind(
    "fill",
    FillResult,
    run_fill,
    depends_on=(
        "affected_mask", "candidates", "compile", "conditioning", "effects", "feather", "guidance", "lora", "min_score",
        "negative_prompt", "prompt", "quadmask", "quality", "recover", "retry", "second_pass", "seed", "size",
        "skip_errors", "steps",
    ),
    reads=("clip", "affected"),
    remover=True,
)  # fmt: skip

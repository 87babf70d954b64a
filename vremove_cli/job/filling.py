"""The tasks that make pixels: the plate, and what a remover generates; and the patches as the writer sees them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from vremove_cli.compose import blend, paint, place
from vremove_cli.errors import VremoveError
from vremove_cli.geometry import NOWHERE, Array, Box, Placed, bounds, put
from vremove_cli.job.erasing import affected_masks, effect_masks, erase_masks
from vremove_cli.job.events import Emit, Progress
from vremove_cli.job.folder import WorkFolder
from vremove_cli.job.graph import Task, reach, shot_info
from vremove_cli.job.patches import PatchWriter, gray_path, load_masks, load_patches
from vremove_cli.job.plan import Plan
from vremove_cli.masks import quadmask
from vremove_cli.media.colour import to_rgb
from vremove_cli.media.read import Clip, Frame
from vremove_cli.plate.coarse import coarse
from vremove_cli.plate.confidence import NEVER, halved, recovered, unseen
from vremove_cli.plate.hole import hole_box
from vremove_cli.plate.recover import affordable, recover
from vremove_cli.plate.reference import clean_planes
from vremove_cli.removers import registry
from vremove_cli.removers.base import Fill, RemoverSpec, Settings, Shot
from vremove_cli.removers.room import fitted, restored
from vremove_cli.weights import store

Patch = tuple[Box, tuple[Array, ...], Array]


def plate_segment(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> dict[str, Any]:
    """Recover what other frames show of a segment's holes."""
    low, high = reach(task.run, plan.run, plan.clip)
    masks = erase_masks(plan, folder, low, high)
    low, high = affordable(plan.clip, task.run, (low, high), masks)
    boxes = [hole_box(masks[t], plan.clip, plan.request.feather) if t in masks else NOWHERE for t in range(*task.run)]
    counts = Counter[str]()
    steps, length, done = (high - low) + (task.run[1] - task.run[0]), task.run[1] - task.run[0], 0
    before = sum(t.run[1] - t.run[0] for t in plan.tasks if t.kind == "plate" and t.run[0] < task.run[0])

    def tick() -> None:
        nonlocal done
        done += 1
        emit(Progress("plate", before + round(done / steps * length), plan.run[1] - plan.run[0]))

    nothing = np.zeros((0, 0), np.uint8)
    path = folder.file("plate", f"{task.id}.mkv")
    clean = _clean(plan, low, high, masks)
    clear = bool(clean) or all((folder.result(n) or {}).get("clear", True) for n in task.needs)
    with PatchWriter(path, plan.clip.layout, boxes, ("matte", "sure")) as patches:
        wary = not clear or plan.request.effects == "off" or bool(effect_masks(plan, folder, *task.run))
        for _, found in recover(
            Clip(plan.clip), task.run, (low, high), masks, plan.request.feather, clean, wary=wary, tick=tick
        ):
            if found is None:
                patches.write((), nothing, nothing)
                continue
            sure = found.sure if clear else halved(found.sure)
            patches.write(found.planes, found.matte, sure)
            counts += _counted(sure)
    return {"where": patches.where, **{key: counts[key] for key in ("recovered", "doubtful", "unseen")}}


def _clean(plan: Plan, low: int, high: int, masks: dict[int, Placed]) -> dict[int, tuple[Array, ...]]:
    """Components of the frames that the user gave a clean picture of."""
    clip, out = Clip(plan.clip), {}
    for t, picture in plan.references.items():
        if low <= t < high and t in masks:
            (frame,) = clip.frames(t, t + 1)
            out[t] = clean_planes(Clip(picture), clip, frame, masks[t])
    return out


def _counted(sure: Array) -> Counter[str]:
    """Pixels of a hole by how they were found."""
    good, never = int(recovered(sure).sum()), int((sure == NEVER).sum())
    return Counter(recovered=good, doubtful=int((sure > 0).sum()) - good - never, unseen=never)


def _plate_files(
    plan: Plan, folder: WorkFolder, task: Task, start: int, stop: int
) -> Iterator[tuple[int, Patch | None, Array]]:
    """(frame, patch, how sure) of a plate task's frames start <= t < stop."""
    result = folder.result(task.id)
    assert result is not None
    low, high = start - task.run[0], stop - task.run[0]
    path, where = folder.file("plate", f"{task.id}.mkv"), result["where"]
    planes = load_patches(path, where, plan.clip.layout, low, high)
    mattes = load_masks(gray_path(path, "matte"), where, low, high)
    sures = load_masks(gray_path(path, "sure"), where, low, high)
    for t, (patch, matte, sure) in enumerate(zip(planes, mattes, sures, strict=True), start):
        if patch is None:
            yield t, None, np.zeros((0, 0), np.uint8)
        else:
            box, parts = patch
            yield t, (box, parts, matte.on(box)), sure.on(box)


def plate_patches(plan: Plan, folder: WorkFolder, start: int, stop: int) -> Iterator[tuple[int, Patch | None, Array]]:
    """(frame, patch, how sure) of every planned frame in start <= t < stop, in order."""
    for task in plan.tasks:
        if task.kind == "plate":
            low, high = max(start, task.run[0]), min(stop, task.run[1])
            if low < high:
                yield from _plate_files(plan, folder, task, low, high)


def fill_stage(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> dict[str, Any]:
    """Let the remover generate what the plate could not recover in a stage's frames, and what is said to change."""
    remover = registry.make(plan.remover, _settings(plan, emit))
    stage = next(s for s in remover.stages(shot_info(plan.clip, plan.run, plan.segments)) if f"fill-{s.id}" == task.id)
    affected = affected_masks(plan, folder, *task.run)
    asked = [
        _ask(patch, sure, plan.request.recover).united(affected.get(t, Placed.nothing()))
        for t, patch, sure in plate_patches(plan, folder, *task.run)
    ]
    region = _region(asked, remover.spec, plan)
    if region.empty:
        return {"nothing": True}
    size = remover.size(region.width, region.height)
    shot = _shot(plan, task, folder, asked, affected, region, remover.spec, size, emit)
    had = {n for n in stage.needs if not (folder.result(f"fill-{n}") or {}).get("nothing")}
    fill = remover.run(stage, shot, {n: _load_fill(folder, n) for n in sorted(had)})
    if fill.frames.shape != shot.frames.shape:
        raise VremoveError(f"{plan.remover} returned {fill.frames.shape} instead of {shot.frames.shape}")
    where = _write_fill(plan, task, folder, asked, region, fill, size is not None)
    np.save(folder.file("fill", f"{stage.id}.npy"), fill.frames.astype(np.float16))
    emit(Progress("fill", task.run[1] - plan.run[0], plan.run[1] - plan.run[0]))
    return {"where": where}


def _settings(plan: Plan, emit: Emit) -> Settings:
    """What the remover is told; its models may have to come to this machine first."""
    request = plan.request
    places = {}
    for part in plan.parts:
        here = store.brought(part, request.accept_license, lambda done, total: emit(Progress("fetch", done, total)))
        places[part.model.name] = here.path
    return Settings(request.prompt, request.second_pass, request.seed, request.device, places)


def _load_fill(folder: WorkFolder, stage: str) -> Fill:
    return Fill(np.load(folder.file("fill", f"{stage}.npy")).astype(np.float32))


def _ask(patch: Patch | None, sure: Array, recovered_kept: bool) -> Placed:
    """The pixels a remover is asked for."""
    if patch is None:
        return Placed.nothing()
    box, _, matte = patch
    wanted = unseen(sure) if recovered_kept else matte > 0
    return Placed(box, wanted.astype(np.uint8))


def _region(asked: list[Placed], spec: RemoverSpec, plan: Plan) -> Box:
    """What the remover is shown: the whole frame, or the part round all asked pixels; sides of its multiple."""
    union = NOWHERE
    for placed in asked:
        tight = bounds(placed.values)
        if not tight.empty:
            union = union.union(tight.moved(placed.box.x0, placed.box.y0))
    if union.empty:
        return union
    if spec.region == "frame" and spec.multiple == 1:
        return Box(0, 0, plan.clip.width, plan.clip.height)
    box = Box(0, 0, plan.clip.width, plan.clip.height) if spec.region == "frame" else union.grow(spec.context)
    box = box.clip(plan.clip.width, plan.clip.height)
    m = max(spec.multiple, 8)
    x0, y0 = box.x0 // 8 * 8, box.y0 // 8 * 8
    return Box(x0, y0, x0 + -(-(box.x1 - x0) // m) * m, y0 + -(-(box.y1 - y0) // m) * m)


def _shot(
    plan: Plan, task: Task, folder: WorkFolder, asked: list[Placed], affected: dict[int, Placed], region: Box,
    spec: RemoverSpec, size: tuple[int, int] | None, emit: Emit,
) -> Shot:  # fmt: skip
    """The frames of a region as a remover wants them, one at a time brought to its size, and the masks that go with
    them."""
    erase = erase_masks(plan, folder, *task.run)
    rgb, ask, quad = [], [], []
    clip = Clip(plan.clip).frames(*task.run)
    for frame, (t, patch, _), wanted in zip(clip, plate_patches(plan, folder, *task.run), asked, strict=True):
        picture = _rgb(plan, _patched(frame, region, patch if spec.shows == "plate" else None))
        gone = erase[t].on(region) > 0 if t in erase else np.zeros((region.height, region.width), bool)
        moved = affected[t].on(region) > 0 if t in affected else np.zeros_like(gone)
        levels = quadmask.drawn(gone, moved).astype(np.float32)
        if size is not None:
            picture, levels = fitted(picture, size), 255 * fitted(levels / 255, size)
        rgb.append(picture)
        quad.append(levels)
        ask.append(wanted.on(region) > 0 if size is None else fitted((wanted.on(region) > 0) * 1.0, size) > 0)
    length = plan.run[1] - plan.run[0]

    def tick(done: int, total: int) -> None:
        emit(Progress("fill", task.run[0] - plan.run[0] + done * (task.run[1] - task.run[0]) // (total + 1), length))

    return Shot(np.stack(rgb), np.stack(ask), np.stack(quad), task.run[0], region.x0, region.y0, tick)


def _write_fill(
    plan: Plan, task: Task, folder: WorkFolder, asked: list[Placed], region: Box, fill: Fill, other_size: bool
) -> dict[str, Any]:
    """Store what a remover made as patches, at the clip's size and fit for its surroundings; gives where they lie."""
    wheres = [_wanted(placed, region, fill, i) for i, placed in enumerate(asked)]
    plates = plate_patches(plan, folder, *task.run)
    boxes = [_box_for(plan, where, patch, region) for where, (_, patch, _) in zip(wheres, plates, strict=True)]
    path = folder.file("fill", f"{task.id}.mkv")
    clip = Clip(plan.clip).frames(*task.run)
    with PatchWriter(path, plan.clip.layout, boxes, ("matte",)) as patches:
        for i, (frame, (_, patch, _)) in enumerate(zip(clip, plate_patches(plan, folder, *task.run), strict=True)):
            planes, made = _patched(frame, region, patch), fill.frames[i]
            if other_size and wheres[i].any():
                rng = np.random.default_rng((plan.request.seed, task.run[0] + i))
                made = restored(made, _rgb(plan, planes), wheres[i], rng)
            patches.write(*_merged(plan, planes, patch, made, wheres[i], region, boxes[i]))
    return patches.where


def _wanted(asked: Placed, region: Box, fill: Fill, i: int) -> Array:
    """Where a frame of the fill is used, (H, W) bool on the region: where it was asked for, and where it says that it
    changed the picture."""
    where = asked.on(region) > 0
    return where if fill.changed is None else where | fill.changed[i]


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
    plan: Plan, planes: tuple[Array, ...], patch: Patch | None, made: Array, where: Array, region: Box, box: Box
) -> tuple[tuple[Array, ...], Array]:
    """The plate's patch of a frame on its box, with the generated pixels put in `where` it is asked; and the matte."""
    layout, clip = plan.clip.layout, plan.clip
    if not where.any():
        return (patch[1], patch[2]) if patch is not None else ((), np.zeros((0, 0), np.uint8))
    painted = paint(planes, layout, clip.colour, clip.height, made, where)
    generated = place(painted, layout, region, box)
    inside = Placed(region, where).on(box)
    base = place(patch[1], layout, patch[0], box) if patch else generated
    matte = Placed(patch[0], patch[2]).on(box) if patch else np.zeros(inside.shape, np.uint8)
    return _overlay(base, generated, inside, layout), np.where(inside & (matte == 0), 255, matte).astype(np.uint8)


def _overlay(planes: tuple[Array, ...], over: tuple[Array, ...], inside: Array, layout: Any) -> tuple[Array, ...]:
    out = []
    for old, new, part in zip(planes, over, layout.components, strict=True):
        merged = old.copy()
        mask = coarse(inside, part.sub_x, part.sub_y)
        put(merged, Box(0, 0, old.shape[1], old.shape[0]), np.where(mask, new, old))
        out.append(merged)
    return tuple(out)


def patches(plan: Plan, folder: WorkFolder, start: int, stop: int) -> Iterator[tuple[int, Patch | None]]:
    """What is blended into each frame start <= t < stop: the remover's patch where it made one, else the plate's."""
    used = {need for t in plan.tasks if t.kind == "fill" for need in t.needs}  # what later stages went on from
    last = [t for t in plan.tasks if t.kind == "fill" and t.id not in used]
    generated = [t for t in last if not (folder.result(t.id) or {}).get("nothing")]
    done = start
    for task in sorted(generated, key=lambda t: t.run):
        low, high = max(done, task.run[0]), min(stop, task.run[1])
        if low >= high:
            continue
        yield from ((t, p) for t, p, _ in plate_patches(plan, folder, done, low))
        yield from _filled(plan, folder, task, low, high)
        done = high
    yield from ((t, p) for t, p, _ in plate_patches(plan, folder, done, stop))


def by_frame(changes: Iterator[tuple[int, Patch | None]], count: int) -> Iterator[Patch | None]:
    """The patch of each of a clip's `count` frames, None where `changes` has none."""
    upcoming = next(changes, None)
    for t in range(count):
        patch = None
        if upcoming is not None and upcoming[0] == t:
            patch, upcoming = upcoming[1], next(changes, None)
        yield patch


def _filled(plan: Plan, folder: WorkFolder, task: Task, start: int, stop: int) -> Iterator[tuple[int, Patch | None]]:
    result = folder.result(task.id)
    assert result is not None
    low, high = start - task.run[0], stop - task.run[0]
    path, where = folder.file("fill", f"{task.id}.mkv"), result["where"]
    planes = load_patches(path, where, plan.clip.layout, low, high)
    mattes = load_masks(gray_path(path, "matte"), where, low, high)
    for t, (patch, matte) in enumerate(zip(planes, mattes, strict=True), start):
        yield t, None if patch is None else (patch[0], patch[1], matte.on(patch[0]))

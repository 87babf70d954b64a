"""The fill stage of a remover that paints single pictures: keyframes are painted, and carried to all other frames."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vremove_cli.arrays import dilate_square, label_components
from vremove_cli.compose import blend, paint, place, subsample_mask
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import NOWHERE, Array, Box, Placed, bounds, take
from vremove_cli.job.attempts import Attempts, as_levels, best_attempt, judges, make_judge
from vremove_cli.job.composite import FillResult, PlatePatch, patches, plate_patches
from vremove_cli.job.erase_mask import erase_masks
from vremove_cli.job.events import Emit
from vremove_cli.job.plan import Plan
from vremove_cli.job.stages.background import load_model
from vremove_cli.job.stages.generate import FillProgress, as_rgb, run_remover
from vremove_cli.job.stages.plate import pixels_to_fill
from vremove_cli.job.task_graph import Task, frames_in_reach
from vremove_cli.job.workdir.artifacts import CropTable, Patch, PatchWriter
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.masks.square_crop import square_crop
from vremove_cli.media.pixel_format import Layout
from vremove_cli.media.read import Clip
from vremove_cli.networks.phases import clock
from vremove_cli.plate.carry import CameraMotion, Carried, Coverage, FlowMotion, Keyframes, carry, replace_in
from vremove_cli.plate.recover import affordable_reach, background_motion
from vremove_cli.plate.regrain import measure_grain, with_grain, without_grain
from vremove_cli.plate.sample_group import Planes, Sources
from vremove_cli.plate.scene_model import FREE, SceneModel
from vremove_cli.removers import registry
from vremove_cli.removers.base import Settings, Shot, Stage
from vremove_cli.removers.common.harmonise import match_colours, ring_width
from vremove_cli.removers.common.resize import resize

_MOST_KEYFRAMES = 8  # of a segment: beyond, what no keyframe reaches continues its surroundings
_JOINED = 16  # pixels between two parts of a gap that are painted together
_EXPOSURE = 3.0  # times the usual exposure, or a third of it, from which a frame is a flash or black: no keyframe
_AGREEMENT = 25.0  # dB between two keyframes where both show the same, below which the earlier one counts


def run_paint(plan: Plan, task: Task, folder: WorkFolder, settings: Settings, stage: Stage, emit: Emit) -> FillResult:
    """Paint what no frame of a segment shows on keyframes, and carry it to the segment's other frames."""
    clock.take()  # what an interrupted task has left
    segment = _Segment(plan, task, folder)
    if not segment.gaps:
        return FillResult(None, generated=False)
    keyframes = segment.keyframes()
    keys = segment.choose_keyframes(keyframes)
    grain = segment.grain(keyframes)
    attempts: list[Attempts] = []
    filling = FillProgress.of(plan, task)
    for n, key in enumerate(keys):
        steps = _Steps(filling, n, len(keys), emit)
        source = segment.read(key) if judges(plan.request) else ()
        painter = _Painter(plan, settings, stage, key, source, steps, attempts)
        keyframes = _with_keyframe(segment, keyframes, painter, grain)
    phases = clock.take() if registry.spec_of(plan.remover).network else {}
    return FillResult(_write(segment, keyframes, grain), True, phases, tuple(attempts))


@dataclass(frozen=True)
class _Steps:
    """Turns steps of a keyframe into progress of the whole range."""

    filling: FillProgress
    number: int
    keyframes: int
    emit: Emit

    def tick(self, done: int, total: int) -> None:
        """Report how far a keyframe is."""
        self.emit(self.filling.at((self.number + done / (total + 1)) / self.keyframes))


class _Segment:
    """The frames of a task, with what recovery has left of their holes.

    Attributes:
        gaps: Pixels to paint (uint8, 0 or 255), by frame.
        motion: The background's motion: the camera's, if it explains all frames with gaps; else the flow.
    """

    def __init__(self, plan: Plan, task: Task, folder: WorkFolder) -> None:
        self.plan, self.task, self.folder, self.clip = plan, task, folder, Clip(plan.clip)
        self.gaps: dict[int, Placed] = {}
        self._masks = erase_masks(plan, folder, *self.reach)
        model = self._model()
        for t, plate in plate_patches(plan, folder, *task.span):
            if plate is not None:
                box, pixels = plate.patch.box, self._to_paint(t, plate, model)
                if pixels.any():
                    tight = bounds(pixels)
                    self.gaps[t] = Placed(tight.moved(box.x0, box.y0), pixels[tight.slices] * np.uint8(255))
        self._gains = model.registration.gains
        aligned = all(model.registration.aligned[t - model.reach.start] for t in self.gaps)
        self.motion = CameraMotion(model) if aligned else self._flow(model)

    def _model(self) -> SceneModel:
        """Return what is known of the shot; what frames show in front of the object is not its background."""
        (background,) = (t for t in self.plan.tasks_of("background") if t.span == self.task.span)
        model = load_model(self.plan, self.folder, background, self.reach)
        height, width = model.blocked.shape[1:]
        masks = np.zeros(model.blocked.shape, bool)
        for t, mask in self._masks.items():
            full = mask.full(self.plan.clip.width, self.plan.clip.height)
            masks[t - self.reach.start] = cv2.resize(full, (width, height), interpolation=cv2.INTER_AREA) > 127
        model = model.without_covered(masks)
        for t in self.plan.references:  # all of a clean picture is background
            if self.reach.holds(t):
                model.blocked[t - self.reach.start] = FREE
        return model

    @property
    def reach(self) -> FrameRange:
        """The frames that recovery looked at."""
        return frames_in_reach(self.task.span, self.plan.span, self.plan.clip)

    def _to_paint(self, t: int, plate: PlatePatch, model: SceneModel) -> Array:
        """Return the pixels of a plate's patch to paint, (h, w) bool.

        Where the camera's motion is known, these are also those that no frame shows by it: what the flow then found for
        them moves past the object, and is not what lies behind it.
        """
        matte, recovers = plate.patch.matte, self.plan.request.recover == "on"
        pixels = pixels_to_fill(matte, plate.confidence, recovers=recovers)
        if recovers and t not in self.plan.references and model.registration.aligned[t - model.reach.start]:
            pixels |= (matte > 0) & ~model.shown_on(t, plate.patch.box)
        return pixels

    def _flow(self, model: SceneModel) -> FlowMotion:
        """Return the background's motion by optical flow."""
        plan, span = self.plan, self.task.span
        wide = FrameRange(max(span.start - 1, self.reach.start), min(span.stop + 1, self.reach.stop))
        near = affordable_reach(plan.clip, wide, self.reach, self._masks)
        motion = background_motion(self.clip, span, near, self._masks, model)
        return FlowMotion(Sources(plan.clip, motion, self._masks, near, {}))

    def planes(self, t: int) -> Planes:
        """Return a frame's components with its patch in place: the plate's, or an earlier segment's fill."""
        (frame,) = self.clip.frames(t, t + 1)
        ((_, patch),) = patches(self.plan, self.folder, t, t + 1)
        if patch is not None:
            blend(frame.editable(), frame.layout, patch.box, patch.planes, patch.matte)
        return tuple(np.array(plane) for plane in frame.planes())

    def keyframes(self) -> Keyframes:
        """Return the keyframes to begin with: what the segment before left of its last gap, if it reaches this one."""
        keyframes = Keyframes(self.plan.clip, self.motion)
        before = next((name for name in self.task.needs if name.startswith("fill-")), None)
        left = _load_last(self.folder, before) if before else None
        if left is None or not self.reach.holds(left.frame) or left.frame not in self._steady([left.frame]):
            return keyframes
        planes = self.planes(left.frame)
        replace_in(planes, left.box, left.planes, left.gap, self.plan.clip.layout)
        return keyframes.plus(left.frame, planes, left.gap)

    def choose_keyframes(self, keyframes: Keyframes) -> list[int]:
        """Return the frames to paint, in order: each shows the most of what those before it do not reach."""
        coverage, out, usable = Coverage(keyframes, self.gaps), list[int](), self._steady(list(self.gaps))
        while (found := coverage.next_keyframe(usable)) is not None and len(out) < _MOST_KEYFRAMES:
            coverage.add(found, self.gaps[found])
            out.append(found)
        return out

    def _steady(self, frames: list[int]) -> list[int]:
        """Return the frames that are not black and no flash, of some; of several all, if none is."""
        gains = self._gains
        usual = float(np.median([gains[t - self.reach.start] for t in self.gaps]))
        near = [t for t in frames if usual / _EXPOSURE < gains[t - self.reach.start] < usual * _EXPOSURE]
        return near if near or len(frames) == 1 else frames

    def grain(self, keyframes: Keyframes) -> tuple[float, ...]:
        """Return the standard deviation of the grain of each component; 0 in a still picture."""
        clip = self.plan.clip
        widest = max(self._steady(list(self.gaps)), key=lambda t: self.gaps[t].area)
        near = [t for t in (widest + 1, widest - 1) if self.reach.holds(t) and t in self._steady([t])]
        other = next(iter(near), None)
        if other is None:
            return (0.0,) * len(clip.layout.components)
        first, second = (self.read(t) for t in (widest, other))
        return measure_grain(keyframes, widest, other, first, second, self.gaps[widest], self._masks)

    def read(self, t: int) -> Planes:
        """Return a frame's own components."""
        (frame,) = self.clip.frames(t, t + 1)
        return tuple(np.array(plane) for plane in frame.planes())


@dataclass(frozen=True)
class _Painter:
    """Paints a keyframe.

    Attributes:
        plan: The plan.
        settings: Settings of the remover.
        stage: Its stage.
        key: The keyframe.
        source: The keyframe's own components, with the object; empty where nothing is scored.
        steps: Reports progress.
        attempts: Gets the scores of all attempts.
    """

    plan: Plan
    settings: Settings
    stage: Stage
    key: int
    source: Planes
    steps: _Steps
    attempts: list[Attempts]

    def paint(self, planes: Planes, gap: Placed, agree: Placed) -> None:
        """Paint the gap of the keyframe, in place.

        Args:
            planes: Its components, with a first fill of the gap.
            gap: Pixels to paint (uint8).
            agree: Those that an earlier keyframe shows (uint8).
        """
        for part in _parts(gap):
            self._paint_part(planes, part, agree)

    def _paint_part(self, planes: Planes, gap: Placed, agree: Placed) -> None:
        """Paint one part of the gap, in a square around it."""
        clip, layout = self.plan.clip, self.plan.clip.layout
        remover, size = registry.make(self.plan.remover, self.settings), (clip.width, clip.height)
        side = (remover.size(*clip.shown_size) or size)[0]
        region = square_crop(gap.box, gap.area, size, side, 1 << max(layout.sub_x, layout.sub_y))
        crops, hole = _cut(planes, region, layout), gap.on(region) > 0
        rgb = as_rgb(self.plan, crops)

        def make(settings: Settings) -> Array:
            generated = self._generate(settings, region, rgb, hole, agree.on(region) > 0)
            return match_colours(generated, rgb, hole, ring_width(hole.shape))

        def score(painted: Array) -> float:
            upright = clip.orientation.upright
            before = as_levels(as_rgb(self.plan, _cut(self.source, region, layout)))
            shown = as_levels(np.where(hole[..., None], painted, rgb))
            return make_judge(self.plan)(upright(before), upright(shown), upright(hole))

        best, attempts = best_attempt(self.plan.request, self.settings, self.key, make, score)
        self.attempts.extend(filter(None, [attempts]))
        replace_in(planes, region, paint(crops, layout, clip.colour, clip.height, best, hole), gap, layout)

    def _generate(self, settings: Settings, region: Box, rgb: Array, hole: Array, agree: Array) -> Array:
        """Return the remover's picture of a region, (H, W, 3) float32 in [0, 1], stored as the clip is."""
        orientation, remover = self.plan.clip.orientation, registry.make(self.plan.remover, settings)
        size = remover.size(region.width, region.height) or (region.width, region.height)
        picture, inside, known = (resize(orientation.upright(x * np.float32(1)), size) for x in (rgb, hole, agree))
        shot = Shot(
            frames=picture[None],
            inpaint_mask=inside[None] > 0,
            erase_mask=inside[None] > 0,
            affected_mask=np.zeros((1, *inside.shape), bool),
            first=self.key,
            x=region.x0,
            y=region.y0,
            tick=self.steps.tick,
            agree=known[None] >= 0.5,
        )
        fill = run_remover(self.plan, remover, self.stage, shot, {}, self.steps.emit)
        painted = np.ascontiguousarray(orientation.store(fill.frames[0]))
        return np.asarray(cv2.resize(painted, (region.width, region.height), interpolation=cv2.INTER_CUBIC))


def _parts(gap: Placed) -> list[Placed]:
    """Return the parts of a gap that lie apart, the largest first."""
    near = dilate_square(np.pad(gap.values > 0, _JOINED), _JOINED)[_JOINED:-_JOINED, _JOINED:-_JOINED]
    labels, areas = label_components(near)
    out = []
    for label in 1 + np.argsort(-areas[1:], kind="stable"):
        values = np.where(labels == label, gap.values, 0)
        box = bounds(values)
        out.append(Placed(box.moved(gap.box.x0, gap.box.y0), values[box.slices]))
    return out


def _with_keyframe(segment: _Segment, keyframes: Keyframes, painter: _Painter, grain: tuple[float, ...]) -> Keyframes:
    """Paint a keyframe so that it agrees with the earlier ones, and return the keyframes with it."""
    key, layout = painter.key, segment.plan.clip.layout
    planes, gap = segment.planes(key), segment.gaps[key]
    carried = carry(keyframes, key, planes, gap) if keyframes.pictures else None
    agree = Placed(carried.box, carried.reached * np.uint8(255)) if carried else Placed.nothing()
    if carried:
        replace_in(planes, carried.box, carried.planes, agree, layout)
    painter.paint(planes, gap, agree)
    if carried and not agree.empty and _agreement(planes, carried, layout) < _AGREEMENT:
        replace_in(planes, carried.box, carried.planes, agree, layout)
    box = gap.box.align(1 << max(layout.sub_x, layout.sub_y))
    replace_in(planes, box, without_grain(_cut(planes, box, layout), grain), gap, layout)
    return keyframes.plus(key, planes, gap)


def _agreement(painted: Planes, carried: Carried, layout: Layout) -> float:
    """Return the PSNR in dB of a painted keyframe against the earlier ones, where they show the same."""
    differences = (_cut(painted, carried.box, layout)[0].astype(np.float32) - carried.planes[0])[carried.reached]
    return float(10 * np.log10(layout.peak**2 / max(float(np.square(differences).mean()), 1e-9)))


def _cut(planes: Planes, box: Box, layout: Layout) -> Planes:
    """Return the part of components in a box."""
    parts = zip(planes, layout.components, strict=True)
    return tuple(take(plane, box.scale(c.sub_x, c.sub_y)) for plane, c in parts)


@dataclass(frozen=True)
class _Last:
    """What the next segment goes on from: the last gap of a segment, filled, without the grain of its own frame.

    Attributes:
        frame: Its frame.
        box: Where the components lie.
        gap: The gap (uint8, 0 or 255).
        planes: Components (h', w').
    """

    frame: int
    box: Box
    gap: Placed
    planes: Planes


def _save_last(folder: WorkFolder, task: str, last: _Last) -> None:
    boxes = np.array([[b.x0, b.y0, b.x1, b.y1] for b in (last.box, last.gap.box)])
    planes: dict[str, Any] = {f"plane{n}": plane for n, plane in enumerate(last.planes)}
    np.savez(folder.file("fill", f"{task}.last.npz"), frame=last.frame, boxes=boxes, gap=last.gap.values, **planes)


def _load_last(folder: WorkFolder, task: str) -> _Last | None:
    """Return what a task left for the next segment; None if it filled nothing."""
    result = folder.result(task, FillResult)
    if result is None or not result.generated:
        return None
    with np.load(folder.existing("fill", f"{task}.last.npz")) as kept:
        box, gap = (Box(*map(int, numbers)) for numbers in kept["boxes"])
        count = sum(name.startswith("plane") for name in kept.files)
        planes = tuple(kept[f"plane{n}"] for n in range(count))
        return _Last(int(kept["frame"]), box, Placed(gap, kept["gap"]), planes)


def _write(segment: _Segment, keyframes: Keyframes, grain: tuple[float, ...]) -> CropTable:
    """Store the segment's patches with their gaps filled, and the last one for the next segment."""
    task, layout, seed = segment.task, segment.plan.clip.layout, segment.plan.request.seed
    boxes, last = [patch.box if patch else NOWHERE for patch in _plates(segment)], max(segment.gaps)
    path = segment.folder.file("fill", f"{task.id}.mkv")
    with PatchWriter(path, layout, boxes, ("matte", "changed")) as writer:
        for frame, patch in zip(segment.clip.frames(*task.span), _plates(segment), strict=True):
            t, nothing = frame.index, np.zeros((0, 0), np.uint8)
            if patch is None:
                writer.write((), nothing, nothing)
                continue
            planes = patch.planes
            if t in segment.gaps:
                blend(frame.editable(), layout, patch.box, patch.planes, patch.matte)
                box, values = _filled(segment, keyframes, t, frame.planes())
                if t == last:
                    _save_last(segment.folder, task.id, _Last(t, box, segment.gaps[t], values))
                grained = with_grain(values, grain, layout.peak, np.random.default_rng((seed, t)))
                planes = _over(patch, place(grained, layout, box, patch.box), segment.gaps[t], layout)
            writer.write(planes, patch.matte, np.zeros_like(patch.matte))
    return writer.table


def _plates(segment: _Segment) -> Iterator[Patch | None]:
    for _, plate in plate_patches(segment.plan, segment.folder, *segment.task.span):
        yield None if plate is None else plate.patch


def _filled(segment: _Segment, keyframes: Keyframes, t: int, planes: Planes) -> tuple[Box, Planes]:
    """Return a frame's gap as the keyframes show it: a box, and components on it."""
    layout, gap = segment.plan.clip.layout, segment.gaps[t]
    if t not in keyframes.pictures:
        carried = carry(keyframes, t, planes, gap)
        return carried.box, carried.planes
    box = gap.box.align(1 << max(layout.sub_x, layout.sub_y))
    return box, _cut(keyframes.pictures[t], box, layout)


def _over(patch: Patch, filled: Planes, gap: Placed, layout: Layout) -> Planes:
    """Return a patch's components with a gap filled."""
    return tuple(
        np.where(subsample_mask(gap.on(patch.box), c.sub_x, c.sub_y), new, old)
        for old, new, c in zip(patch.planes, filled, layout.components, strict=True)
    )

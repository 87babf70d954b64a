"""The background stage: the camera and the exposure of a segment, what moves, and the objects' effects.

Effects (shadows, reflections, light) are found, or read from the user's file.
"""

from collections.abc import Callable

import cv2
import numpy as np

from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array, Placed
from vremove_cli.job.erase_mask import BackgroundResult, grown_objects
from vremove_cli.job.events import Emit, Progress
from vremove_cli.job.plan import Plan
from vremove_cli.job.stages.base import StageKind
from vremove_cli.job.task_graph import Task, frames_in_reach
from vremove_cli.job.workdir.artifacts import save_masks
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.masks.io import MaskFile
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.ffv1 import read_gray, write_gray
from vremove_cli.media.read import Clip
from vremove_cli.motion.registration import LONG_SIDE as REGISTERED_SIDE
from vremove_cli.motion.registration import Registration, register
from vremove_cli.plate.background import LONG_SIDE, ROUNDS, ShotBackground, model_background
from vremove_cli.plate.scene_model import SceneModel

_TOLD = 4  # factor of what the model tells in a stored picture, beside what the frame shows
_ROUNDS = 3 + ROUNDS  # passes over the frames, about: the registration's and the comparison's


def run_background(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> BackgroundResult:
    """Model the background of a segment, and find its objects' effects or read them from the user's file."""
    reach = frames_in_reach(task.span, plan.span, plan.clip)
    tick = _Progress(plan, task, reach, emit).tick
    objects = grown_objects(plan, folder, *reach)
    found = _model(plan, task, reach, objects, tick)
    if plan.effects is not None:
        masks = [Placed.tight(mask) for mask in MaskFile(plan.effects, plan.clip).read(*task.span)]
        verdict, clear = "shadows and reflections are those of the file given", True
    elif plan.request.effects == "off":
        masks, verdict, clear = [Placed.nothing()] * task.span.length, "", True
    else:
        frames = (found.effects[t - reach.start] for t in range(*task.span))
        masks, verdict, clear = [_enlarge(mask, plan.clip) for mask in frames], found.verdict, found.clear
    _save_model(folder, task, found)
    table = save_masks(folder.file("background", f"{task.id}.mkv"), masks)
    emit(Progress("background", task.span.stop - plan.span.start, plan.span.length))
    return BackgroundResult(table, verdict=verdict, clear=clear)


def load_model(plan: Plan, folder: WorkFolder, task: Task, reach: FrameRange) -> SceneModel:
    """Return what a finished task of this stage knows of the frames in its reach."""
    with np.load(folder.existing("background", f"{task.id}.camera.npz")) as stored:
        registration = Registration(stored["homographies"], stored["gains"], bool(stored["still"]), stored["explained"])
    codes = np.stack(list(read_gray(folder.existing("background", f"{task.id}.scene.mkv"))))
    return SceneModel(plan.clip, registration, reach, codes % _TOLD, codes // _TOLD)


def _save_model(folder: WorkFolder, task: Task, found: ShotBackground) -> None:
    camera = found.registration
    path = folder.file("background", f"{task.id}.camera.npz")
    np.savez(path, homographies=camera.homographies, gains=camera.gains, still=camera.still, explained=camera.explained)
    codes = found.blocked + np.uint8(_TOLD) * found.told
    write_gray(folder.file("background", f"{task.id}.scene.mkv"), iter(codes), codes.shape[2], codes.shape[1])


class _Progress:
    """Turns steps of the model into frames of the whole range."""

    def __init__(self, plan: Plan, task: Task, reach: FrameRange, emit: Emit) -> None:
        self._plan, self._emit, self._span, self._done = plan, emit, task.span, 0
        self._steps = reach.length * _ROUNDS

    def tick(self) -> None:
        """Count one step."""
        self._done += 1
        share = min(1.0, self._done / self._steps)
        before = self._span.start - self._plan.span.start
        self._emit(Progress("background", before + round(share * self._span.length), self._plan.span.length))


def _model(
    plan: Plan, task: Task, reach: FrameRange, objects: dict[int, Placed], tick: Callable[[], None]
) -> ShotBackground:
    """The background of a segment and its reach; its registration is in full pixels."""
    clip = plan.clip
    size, small = _scaled(clip, REGISTERED_SIDE), _scaled(clip, LONG_SIDE)
    rgb = np.empty((reach.length, size[1], size[0], 3), np.uint8)
    for frame in Clip(clip).frames(*reach):
        rgb[frame.index - reach.start] = frame.rgb8(size)
    masks = np.zeros(rgb.shape[:3], bool)
    for t, mask in objects.items():
        masks[t - reach.start] = _shrink(mask.full(clip.width, clip.height), size)
    registration = register(rgb, masks, tick)
    if size != small:
        rgb, masks = _resized(rgb, masks, small)
        registration = registration.scaled(small[0] / size[0])
    given = None
    if plan.effects is not None:
        effects = MaskFile(plan.effects, clip).read(*reach)
        given = np.stack([_shrink(mask, small) for mask in effects])
    span = FrameRange(task.span.start - reach.start, task.span.stop - reach.start)
    found = model_background(rgb, masks, registration, span, given, tick)
    return found.with_registration(registration.scaled(clip.width / small[0]))


def _scaled(clip: ClipInfo, longest: int) -> tuple[int, int]:
    scale = min(1.0, longest / max(clip.width, clip.height))
    return max(1, round(clip.width * scale)), max(1, round(clip.height * scale))


def _resized(rgb: Array, masks: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    pictures = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in rgb])
    return pictures, np.stack([_shrink(mask, size) for mask in masks])


def _shrink(mask: Array, size: tuple[int, int]) -> Array:
    values = (mask > 0).astype(np.uint8) * 255
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA) > 0)


def _enlarge(mask: Array, clip: ClipInfo) -> Placed:
    soft = cv2.resize(mask.astype(np.uint8) * 255, (clip.width, clip.height), interpolation=cv2.INTER_LINEAR)
    return Placed.tight((soft > 127).astype(np.uint8) * 255)


STAGE = StageKind(
    "background",
    BackgroundResult,
    run_background,
    depends_on=("effects", "grow", "skip_errors"),
    reads=("clip", "effects"),
)

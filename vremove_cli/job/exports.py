"""Exports: masks, matte, plate and patch for compositors, and a sheet to check the result."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from vremove_cli.atomic import refuse_dash, refuse_existing
from vremove_cli.compose import blend
from vremove_cli.errors import UsageError
from vremove_cli.frame_ranges import spread_evenly
from vremove_cli.geometry import Array, Box, Placed
from vremove_cli.job.composite import all_effects, by_frame, patches, plate_patches
from vremove_cli.job.erase_mask import affected_masks, effect_masks, erase_masks
from vremove_cli.job.mask_store import UNCERTAIN, confidences, mask_results, object_masks
from vremove_cli.job.object_prompts import UNNAMED
from vremove_cli.job.plan import Plan
from vremove_cli.job.request import Exports, Request
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.masks.io import check_target, write_masks
from vremove_cli.media import sequence
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.picture_export import write_layers, write_rgb_image
from vremove_cli.media.read import Clip, Frame
from vremove_cli.plate.confidence import unrecovered_mask
from vremove_cli.preview import CELL, Row, outlined, sheet, tinted, with_grid
from vremove_cli.removers.void.quadmask import draw_quadmask

_ROWS, _DOUBTFUL = 5, 3  # evenly spread frames on a sheet, and least certain ones
_GRID = 640  # pixels: width of a picture with a grid
_CHUNK = 64  # frames whose masks are in memory at once

# (plan, work folder, first frame, frame after the last) -> masks by frame
MaskReader = Callable[[Plan, WorkFolder, int, int], dict[int, Placed]]


def check_exports(exports: Exports, request: Request, *, overwrite: bool) -> None:
    """Raise `UsageError` for a path that cannot or must not be written, before any work."""
    taken = {Path(p).resolve() for p in (request.input, request.output, *request.given_files)}
    for target in (*exports.layers, *filter(None, (exports.write_preview,))):
        refuse_dash(target)
        if Path(target).resolve() in taken:
            raise UsageError(f"{target} is used already", "give every output a name of its own")
        taken.add(Path(target).resolve())
        if _among_pictures(Path(target), request.input):
            raise UsageError(f"{target} lies among the input's pictures", "put it elsewhere")
        folder = Path(target).absolute().parent
        if not folder.is_dir():
            raise UsageError(f"the folder {folder} does not exist", "make it first")
        if not os.access(folder, os.W_OK):
            raise UsageError(f"{folder} may not be written", "choose another folder")
    for layer in exports.layers:
        picture = sequence.is_picture(request.input)
        check_target(layer, overwrite=overwrite, option="its --write option", picture=picture)
        is_folder, kinds = Path(layer).is_dir(), (".mkv", ".png") if picture else (".mkv",)
        if Path(layer).exists() and is_folder == (Path(layer).suffix.lower() in kinds):
            raise UsageError(f"{layer} is a {'folder' if is_folder else 'file'}", "choose another name")
    if exports.write_preview:
        if Path(exports.write_preview).suffix.lower() != ".png":
            raise UsageError(f"the preview {exports.write_preview} must be a .png", "name it sheet.png")
        refuse_existing(exports.write_preview, overwrite=overwrite, option="--write-preview")


def _among_pictures(target: Path, source: str) -> bool:
    """Return whether a path is a picture of the input sequence, or would lie among them."""
    if not sequence.is_sequence(source):
        return False
    if Path(source).is_dir():
        return target.resolve().parent == Path(source).resolve()
    return target.resolve() in {p.resolve() for p in sequence.find(source).files}


def mask_frames(plan: Plan, folder: WorkFolder, read: MaskReader = object_masks) -> Iterator[Array]:
    """Yield a mask (H, W) uint8 for every frame of the clip: the objects' before they are grown, or those of `read`."""
    size = (plan.clip.width, plan.clip.height)
    for start in range(0, plan.clip.frames, _CHUNK):
        stop = min(start + _CHUNK, plan.clip.frames)
        found = read(plan, folder, start, stop)
        for t in range(start, stop):
            yield found.get(t, Placed.nothing()).full(*size)


def quadmask_frames(plan: Plan, folder: WorkFolder) -> Iterator[Array]:
    """Yield VOID's quadmask (H, W) uint8 for every frame of the clip."""
    size = (plan.clip.width, plan.clip.height)
    for start in range(0, plan.clip.frames, _CHUNK):
        stop = min(start + _CHUNK, plan.clip.frames)
        erase, moved = erase_masks(plan, folder, start, stop), affected_masks(plan, folder, start, stop)
        for t in range(start, stop):
            erased, affected = (found.get(t, Placed.nothing()).full(*size) > 0 for found in (erase, moved))
            yield draw_quadmask(erased, affected)


def matte_frames(plan: Plan, folder: WorkFolder) -> Iterator[Array]:
    """Yield the blend weights (H, W) uint8 for every frame of the clip."""
    clip = plan.clip
    for patch in by_frame(patches(plan, folder, 0, clip.frames), clip.frames):
        yield (Placed(patch.box, patch.matte) if patch else Placed.nothing()).full(clip.width, clip.height)


def _layers(plan: Plan, folder: WorkFolder, *, whole: bool) -> Iterator[Array]:
    """Yield displayed pictures of every frame: the clean plate (H, W, 3), or patches with straight alpha (H, W, 4)."""
    clip = plan.clip
    changes = by_frame(patches(plan, folder, 0, clip.frames), clip.frames)
    for frame, patch in zip(Clip(clip).frames(), changes, strict=True):
        alpha = np.zeros((clip.height, clip.width, 1), np.float32)
        if patch is not None:
            matte = patch.matte if whole else np.where(patch.matte > 0, 255, 0)
            blend(frame.editable(), frame.layout, patch.box, patch.planes, matte)
            alpha[patch.box.slices] = patch.matte[..., None] / np.float32(255)
        yield _layer(clip, frame, None if whole else alpha)


def _layer(clip: ClipInfo, frame: Frame, alpha: Array | None) -> Array:
    """Return a displayed frame (H, W, 3) of the clip's depth; with straight `alpha` (H, W, 1) it is (H, W, 4)."""
    full, dtype = (255, np.uint8) if clip.layout.bits <= 8 else (65535, np.uint16)
    picture = frame.rgb(Box(0, 0, clip.width, clip.height))
    if alpha is not None:
        picture = np.concatenate([picture * (alpha > 0), alpha], axis=2)
    return clip.orientation.display(np.clip(np.rint(picture * full), 0, full).astype(dtype))


def write_object_masks(plan: Plan, folder: WorkFolder, output: str, *, overwrite: bool) -> None:
    """Write the mask of every object to a file or folder named after it."""
    for name, path in object_paths(output, list(plan.prompts)).items():

        def read(plan: Plan, folder: WorkFolder, low: int, high: int, name: str = name) -> dict[int, Placed]:
            return object_masks(plan, folder, low, high, name)

        write_masks(path, mask_frames(plan, folder, read), plan.clip, overwrite=overwrite, tracked=plan.tracked)


def object_paths(output: str, names: list[str]) -> dict[str, str]:
    """Return a path for each object: `mask.ball.mkv` for `ball` and `mask.mkv`, the folder `masks-ball` for `masks`."""
    path = Path(output)
    if path.name in ("", ".."):
        raise UsageError(
            f"'{output}' is not a name that objects' names can be added to", "write to .mkv or to a folder with a name"
        )
    if path.suffix.lower() in (".mkv", ".png"):
        return {n: str(path.with_name(f"{path.stem}.{n or UNNAMED}{path.suffix}")) for n in names}
    return {n: str(path.with_name(f"{path.name}-{n or UNNAMED}")) for n in names}


def write_cutout(plan: Plan, folder: WorkFolder, output: str) -> None:
    """Write the displayed objects alone, R'G'B'A with straight, soft alpha."""
    clip = plan.clip
    pairs = zip(Clip(clip).frames(), mask_frames(plan, folder), strict=True)
    write_layers(output, (_layer(clip, f, m[..., None].astype(np.float32) / 255) for f, m in pairs), clip)


def write_side_files(plan: Plan, folder: WorkFolder, exports: Exports, *, overwrite: bool) -> None:
    """Write all exports but the preview."""
    for path, frames in (
        (exports.write_mask, mask_frames(plan, folder)),
        (exports.write_matte, matte_frames(plan, folder)),
        (exports.write_effects, mask_frames(plan, folder, all_effects)),
        (exports.write_quadmask, quadmask_frames(plan, folder)),
    ):
        if path:
            tracked = plan.tracked and path == exports.write_mask
            write_masks(path, frames, plan.clip, overwrite=overwrite, tracked=tracked)
    for path, whole in ((exports.write_plate, True), (exports.write_patch, False)):
        if path:
            write_layers(path, _layers(plan, folder, whole=whole), plan.clip)
    if exports.write_cutout:
        write_cutout(plan, folder, exports.write_cutout)


class Sheet:
    """Collects the frames of a before | mask | after sheet while the result is written.

    Attributes:
        wanted: Indices of the frames that the sheet shows.
    """

    def __init__(self, plan: Plan, folder: WorkFolder) -> None:
        self._plan, self._folder = plan, folder
        self._rows: list[Row] = []
        self._before: Array | None = None
        self._confidence = confidences(plan, folder)
        self.wanted = set(_interesting(plan, folder, self._confidence))

    def before(self, frame: Frame) -> None:
        """Take a frame before it is edited."""
        self._before = self._plan.clip.orientation.display(frame.rgb8()).copy()

    def after(self, frame: Frame) -> None:
        """Take the same frame after it was edited."""
        t = frame.index
        assert self._before is not None
        marked = _marked(self._plan, self._folder, t, self._before)
        after = self._plan.clip.orientation.display(frame.rgb8()).copy()
        self._rows.append(Row(_caption(self._plan, t, self._confidence), (self._before, marked, after)))

    def write(self, path: str) -> None:
        """Write the sheet as PNG."""
        write_rgb_image(Path(path), sheet(self._rows, ("before", "mask", "after")))


def _marked(plan: Plan, folder: WorkFolder, t: int, rgb: Array) -> Array:
    """Return a displayed frame (H, W, 3) uint8 with its mask outlined, doubtful pixels and effects in colour."""
    size, display = (plan.clip.width, plan.clip.height), plan.clip.orientation.display
    if any(folder.finished(task.id) for task in plan.tasks_of("plate")):
        for _, plate in plate_patches(plan, folder, t, t + 1):
            if plate is not None:
                effect = effect_masks(plan, folder, t, t + 1).get(t, Placed.nothing())
                doubt = Placed(plate.patch.box, unrecovered_mask(plate.confidence).astype(np.uint8))
                rgb = tinted(rgb, display(doubt.full(*size)), display(effect.full(*size)))
    mask = object_masks(plan, folder, t, t + 1).get(t)
    return rgb if mask is None else outlined(rgb, display(mask.full(*size)))


def write_mask_sheet(plan: Plan, folder: WorkFolder, path: str, *, grid: bool = False) -> None:
    """Write a sheet of frames with the mask outlined, for `vremove mask`; with coordinates to read off, if `grid`."""
    rows = []
    confidence = confidences(plan, folder)
    clip = Clip(plan.clip)
    for t in _interesting(plan, folder, confidence):
        (frame,) = clip.frames(t, t + 1)
        rgb = plan.clip.orientation.display(frame.rgb8()).copy()
        pictures = (rgb, _marked(plan, folder, t, rgb))
        rows.append(
            Row(_caption(plan, t, confidence), tuple(with_grid(p, _GRID) for p in pictures) if grid else pictures)
        )
    write_rgb_image(Path(path), sheet(rows, ("frame", "mask"), 2 * _GRID if grid else CELL))


def _caption(plan: Plan, t: int, confidence: dict[int, float]) -> str:
    parts = [] if plan.clip.frames == 1 else [f"frame {t}"]
    if t in confidence and not confidence[t]:
        parts.append("nothing found: look here")
    elif t in confidence:
        parts.append(f"{100 * confidence[t]:.0f} % sure{': look here' if confidence[t] < UNCERTAIN else ''}")
    return ", ".join(parts)


def _interesting(plan: Plan, folder: WorkFolder, confidence: dict[int, float]) -> list[int]:
    """Return frames to look at: evenly spread over those with something to erase, and the least certain ones."""
    masked = []
    for task, result in mask_results(plan, folder):
        table = result.table
        masked += [t for i, t in enumerate(range(*task.span)) if not table.box(i).empty]
    frames = sorted(set(masked)) or list(range(*plan.span))
    chosen = {frames[i] for i in spread_evenly(0, len(frames), _ROWS)}
    apart = max(2, len(confidence) // 20)
    doubtful: list[int] = []
    for t in sorted(confidence, key=lambda t: confidence[t]):
        if len(doubtful) < _DOUBTFUL and all(abs(t - d) >= apart for d in doubtful):
            doubtful.append(t)
    return sorted(chosen | set(doubtful))

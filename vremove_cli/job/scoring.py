"""Scores results: finds what each was made of in the report beside it, and measures it against its source."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vremove_cli.atomic import write_text
from vremove_cli.errors import NothingError, UsageError
from vremove_cli.frame_ranges import FrameRange, segments
from vremove_cli.geometry import Array
from vremove_cli.job.events import Emit, Expected, Progress, silent
from vremove_cli.job.output_paths import report_path, score_path
from vremove_cli.masks.io import MaskFile
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.probe import scan
from vremove_cli.media.read import Clip
from vremove_cli.motion.registration import LONG_SIDE
from vremove_cli.quality.meter import Meter, Pictures, Success
from vremove_cli.quality.perceptual import lpips_distance
from vremove_cli.quality.score import Score

_SEGMENT = 120  # frames whose background is modelled at once: 80 MB at 640x360
_FRAMES_PER_SECOND = 12.0  # of a 640x360 clip on one core (docs/score.md)


@dataclass(frozen=True)
class Material:
    """What a result is scored with.

    Attributes:
        result: Absolute path of the result.
        source: Absolute path of the clip that it was made of.
        mask: Absolute path of the mask of what was erased.
        invert: Whether black is set in the mask.
        truth: Absolute path of the clip without the object; None where there is none.
    """

    result: str
    source: str
    mask: str
    invert: bool = False
    truth: str | None = None


def find_material(
    result: str, source: str | None = None, mask: str | None = None, truth: str | None = None
) -> Material:
    """Return what a result is scored with: what is given, else what the report beside it names.

    Raises:
        UsageError: The source or the mask is neither given nor known.
    """
    invert = False
    if source is None or mask is None:
        report = _read_report(report_path(Path(result).absolute()))
        source = source or report.get("input")
        if mask is None:
            mask, invert = _mask_of(report)
    if source is None:
        raise UsageError(f"nothing says what {result} was made of", "give the clip with --source")
    if mask is None:
        raise UsageError(
            f"no mask is known of what was erased from {result}",
            "give it with --mask, or erase with --write-mask, which the report then names",
        )
    return Material(
        os.path.abspath(result),
        os.path.abspath(source),
        os.path.abspath(mask),
        invert,
        truth and os.path.abspath(truth),
    )


def _read_report(path: Path) -> dict[str, Any]:
    """Return a report; empty if there is none."""
    if not path.exists():
        return {}
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if report["type"] != "report":
            raise ValueError(report["type"])
        return dict(report)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no report", "give --source and --mask") from error


def _mask_of(report: dict[str, Any]) -> tuple[str | None, bool]:
    """Return the mask that a report names, and whether it is inverted: the one that was written, else the user's."""
    written = [o["path"] for o in report.get("outputs", []) if o["kind"] == "mask" and not o["object"]]
    request = report.get("plan", {}).get("request", {})
    if written:
        return written[0], False
    return request.get("mask"), bool(request.get("invert_mask"))


def score_result(material: Material, on_event: Emit = silent, success: Success | None = None) -> Score:
    """Measure a result.

    Args:
        material: The clips.
        on_event: Gets `Expected` and `Progress`.
        success: Learnt judge of a frame, if its weights are here.

    Raises:
        MediaError: A clip cannot be read.
        UsageError: The clips have different sizes or numbers of frames.
        NothingError: The mask holds nothing that could be measured.
    """
    source, result = Clip(scan(material.source)), Clip(scan(material.result))
    truth = None if material.truth is None else Clip(scan(material.truth))
    _check_same(result.info, source.info, "result")
    if truth is not None:
        _check_same(truth.info, source.info, "truth")
    masks = MaskFile(scan(material.mask), source.info, invert=material.invert)
    frames = source.info.frames
    on_event(Expected({"score": frames / _FRAMES_PER_SECOND}))
    meter, done = Meter(success, lpips_distance() if truth else None), 0
    for span in segments(frames, source.info.cuts, _SEGMENT):
        for _ in meter.add_shot(*_small(source, masks, span), _pictures(source, result, masks, truth, span)):
            done += 1
            on_event(Progress("score", done, frames))
    score = meter.score()
    if score is None:
        raise NothingError(
            f"the mask {material.mask} holds nothing to measure on any frame",
            "give the mask of what was erased, with something left round it",
        )
    return score


def save_score(result: str, report: dict[str, Any]) -> None:
    """Write a score as JSON beside its result, in place of an earlier one."""
    write_text(score_path(Path(result)), json.dumps(report) + "\n")


def _check_same(clip: ClipInfo, source: ClipInfo, what: str) -> None:
    """Raise `UsageError` for a clip that is not of the source's size and length."""
    if clip.shown_size != source.shown_size:
        own, wanted = ("x".join(map(str, info.shown_size)) for info in (clip, source))
        raise UsageError(f"the {what} is {own} and its source {wanted}", f"give a {what} of the source's size")
    if clip.frames != source.frames:
        raise UsageError(
            f"the {what} has {clip.frames} frames and its source {source.frames}",
            f"give a {what} with every frame of the source",
        )


def _small(source: Clip, masks: MaskFile, span: FrameRange) -> tuple[Array, Array]:
    """Return a part of the source (T, h, w, 3) uint8, at the size its background is modelled at, and its mask."""
    info = source.info
    scale = min(1.0, LONG_SIDE / max(info.width, info.height))
    size = max(1, round(info.width * scale)), max(1, round(info.height * scale))
    upright = info.orientation.upright
    rgb = np.stack([upright(frame.rgb8(size)) for frame in source.frames(*span)])
    small = (cv2.resize(mask, size, interpolation=cv2.INTER_AREA) for mask in masks.read(*span))
    return rgb, np.stack([upright(mask > 127) for mask in small])


def _pictures(source: Clip, result: Clip, masks: MaskFile, truth: Clip | None, span: FrameRange) -> Iterator[Pictures]:
    """Yield the frames of all clips, as they are displayed."""

    def shown(clip: Clip) -> Iterator[Array]:
        return (clip.info.orientation.upright(frame.rgb8()) for frame in clip.frames(*span))

    clean = repeat(None) if truth is None else shown(truth)
    for a, b, mask, c in zip(shown(source), shown(result), masks.read(*span), clean, strict=False):
        yield Pictures(a, b, source.info.orientation.upright(mask > 0), c)

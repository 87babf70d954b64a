"""What the page for picking can ask: frames, masks, clicks, and the two commands, follow and erase."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vremove_cli.errors import UsageError
from vremove_cli.frame_ranges import ranges_of
from vremove_cli.geometry import Array
from vremove_cli.job.object_prompts import read_object_prompts
from vremove_cli.job.output_paths import default_output, plain_name
from vremove_cli.job.prompts_file import click_of, parse_entry
from vremove_cli.job.request import Request
from vremove_cli.media.probe import scan
from vremove_cli.media.read import Clip, open_clip
from vremove_cli.page.child import Child, answer_of
from vremove_cli.page.facts import clip_facts
from vremove_cli.page.frames import FrameSource
from vremove_cli.page.masks import Followed, LiveMasks, ShownMask
from vremove_cli.page.session import Session
from vremove_cli.prompts import frame_of, parse_prompt

# Options of `vremove erase` that the page has a control for.
ERASE_OPTIONS = ("remover", "quality", "effects", "accept_license")
_UNCERTAIN_SHOWN, _APART = 8, 5  # thumbnails of the least certain frames, and frames between them


class Pick:
    """One clip on the page.

    Args:
        clip: The clip.
        session: Its clicks.
        request: The options of tracking that the command line gave.
        given: Those options as the command line takes them, for `follow` and `erase`.
    """

    def __init__(self, clip: Clip, session: Session, request: Request, given: tuple[str, ...]) -> None:
        self.clip, self.session, self._given = clip, session, given
        self.frames = FrameSource(clip)
        folder = session.path.with_name(f"{session.path.stem}.vremove")
        self._work, self._masks_file = folder, session.path.with_name(f"{session.path.stem}.mask.mkv")
        self.followed = Followed(folder)
        self.live = LiveMasks(clip.info, request, self.followed)
        self.child = Child()
        self._followed_version = -1
        self._result: FrameSource | None = None
        self._result_path = ""
        self._effects: FrameSource | None = None
        self._effects_file = session.path.with_name(f"{session.path.stem}.effects.mkv")

    def facts(self) -> dict[str, Any]:
        """Return what the page must know of the clip once."""
        info = self.clip.info
        places = {"output": default_output(info.path), "prompts": str(self.session.path)}
        return {**clip_facts(info), "hover": self.live.hovers, **places}

    def state(self, known: str = "") -> dict[str, Any]:
        """Return everything that changes.

        Args:
            known: The stamp of the masks that the page knows: of a long clip they are not told twice.
        """
        now, stamp = self.session.now, self.followed.stamp
        running = self.child.state
        if running is not None and running.ended and running.result is not None and running.name == "erase":
            self._open_result(str(running.result["output"]))
        return {
            "version": now.version,
            "clicks": [{"kind": c.kind, "object": c.object, "frame": c.frame, "at": list(c.at)} for c in now.clicks],
            "can_undo": now.can_undo,
            "can_redo": now.can_redo,
            "stale": self._followed_version not in (-1, now.version),
            "masks": None if stamp and stamp == known else self._masks(stamp),
            "job": None
            if running is None
            else {
                "name": running.name,
                "ended": running.ended,
                "error": running.error,
                "notes": running.notes,
                "progress": running.progress,
                "result": running.result,
            },
            "result": self._result_path,
        }

    def _masks(self, stamp: str) -> dict[str, Any]:
        """Return what is known of the masks that were followed."""
        confidence = self.followed.confidences
        return {
            "stamp": stamp,
            "followed": ranges_of(sorted(confidence)),
            "confidence": {str(t): round(c, 3) for t, c in confidence.items()},
            "uncertain": least_certain(confidence),
        }

    def click(self, entry: dict[str, Any]) -> None:
        """Add a click; raises `UsageError` for a wrong one."""
        found = parse_entry(entry)
        if found is None or found.file:
            raise UsageError("this is no click", "reload the page")
        self.session.add(replace(found, at=tuple(round(float(n), 1) for n in found.at)))

    def paint(self, name: str, frame: int, png: bytes) -> None:
        """Take a painted mask of a frame; raises `UsageError` for another picture."""
        mask = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
        width, height = self.clip.info.shown_size
        if mask is None or mask.shape != (height, width):
            raise UsageError("the painted mask has another size than the frame", "reload the page")
        self.session.paint(name, frame, np.asarray(mask))

    def mask(self, frame: int, name: str, at: str = "") -> ShownMask | None:
        """Return the mask of an object on a frame; None where there is none.

        Args:
            frame: Number of the frame.
            name: Name of the object.
            at: "X,Y" of a point that would be clicked; empty without one.
        """
        own = [c for c in self.session.now.clicks if c.object == name]
        if at:
            painted = any(c.kind == "key_mask" and c.frame == frame for c in own)
            point = click_of(parse_prompt(at, "point"), frame)
            own = own if painted else [*own, replace(point, object=name)]
        by_frame = self.session.resolved(own).get(name, {}) if own else {}
        return self.live.mask(frame, name, by_frame) if by_frame else None

    def follow(self) -> None:
        """Start `vremove mask` with the clicks."""
        self._refuse_busy()
        self._followed_version = self.session.now.version
        paths = ("-o", str(self._masks_file), "--work", str(self._work), "--overwrite")
        self.child.start("follow", ["mask", self.clip.info.path, *self._with_prompts(), *paths])

    def erase(self, chosen: dict[str, Any], *, replace: bool) -> None:
        """Start the command that `command` names; the work of `follow` is used."""
        self._refuse_busy()
        self._result, self._result_path = None, ""
        self._followed_version = self.session.now.version
        beside = ["--work", str(self._work), "--keep-work", *(["--overwrite"] if replace else [])]
        self._effects = None
        if chosen.get("effects") != "off":
            self._effects_file.unlink(missing_ok=True)  # the page's own, of the erasure before
            beside += ["--write-effects", str(self._effects_file)]
        self.child.start("erase", [*self._erase(chosen), *beside])

    def command(self, chosen: dict[str, Any]) -> str:
        """Return the command that does what the page does, for a shell."""
        return shlex.join(["vremove", *self._erase(chosen)])

    def estimate(self, chosen: dict[str, Any]) -> dict[str, Any]:
        """Return what `vremove erase --dry-run` says of memory, time and downloads."""
        return answer_of([*self._erase(chosen), "--dry-run", "--overwrite"])

    def result(self) -> FrameSource:
        """Return the frames of the last result; raises `UsageError` without one."""
        if self._result is None:
            raise UsageError("nothing is erased yet", "press Erase")
        return self._result

    def effects(self, frame: int) -> Array | None:
        """Return where a shadow or reflection was found on a frame, (H, W) uint8; None before the first erasure."""
        if self._effects is None and self._result is not None and self._effects_file.exists():
            self._effects = FrameSource(open_clip(str(self._effects_file)))
        return None if self._effects is None else self._effects.rgb(frame)[..., 0].copy()

    def _open_result(self, path: str) -> None:
        if self._result is None or self._result_path != path:
            self._result, self._result_path = FrameSource(open_clip(path)), path

    def _refuse_busy(self) -> None:
        if self.child.busy:
            raise UsageError("a command is running", "wait for it, or cancel it")
        if not self.session.now.clicks:
            raise UsageError("nothing says what to erase", "click on the object, or draw a box around it")

    def _with_prompts(self) -> tuple[str, ...]:
        return ("--prompts", str(self.session.path), *self._given)

    def _erase(self, chosen: dict[str, Any]) -> list[str]:
        out = ["erase", str(Path(self.clip.info.path).absolute()), *self._with_prompts()]
        for name in ERASE_OPTIONS:
            value = chosen.get(name)
            if value:
                out += [f"--{name.replace('_', '-')}", str(value)]
        return out


def open_pick(path: str, save: str | None, request: Request, given: tuple[str, ...]) -> Pick:
    """Scan a clip and return its page.

    Args:
        path: The clip.
        save: The file of prompts; None for `CLIP.prompts.json` beside the clip.
        request: Clicks and options of tracking.
        given: The options of tracking as the command line takes them.
    """
    info = scan(path)
    prompts = [p.in_pixels(*info.shown_size) for p in read_object_prompts(request)]
    first = [click_of(p, frame_of(p.when, info) if p.when else 0) for p in prompts]
    target = Path(save) if save else prompts_beside(path)
    return Pick(Clip(info), Session(info, target, first), request, given)


def least_certain(confidence: dict[int, float]) -> list[int]:
    """Return some of the least certain frames, in the order of the clip; not one beside the other."""
    found: list[int] = []
    for t in sorted(confidence, key=lambda t: (confidence[t], t)):
        if len(found) < _UNCERTAIN_SHOWN and all(abs(t - other) >= _APART for other in found):
            found.append(t)
    return sorted(found)


def prompts_beside(path: str) -> Path:
    """Return `clip.prompts.json` beside `clip.mp4`; of a pattern, what stands before the number names the file."""
    clip = Path(path).absolute()
    return clip.with_name(f"{clip.stem if clip.is_file() else plain_name(clip)}.prompts.json")

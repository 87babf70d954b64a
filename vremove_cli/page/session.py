"""What was clicked, kept in prompts.json: reload and restart go on from there."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vremove_cli import atomic
from vremove_cli.errors import UsageError
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array
from vremove_cli.job.object_prompts import PromptsByObject, check_names, prompts_by_object
from vremove_cli.job.prompts_file import Click, read_prompts, write_prompts
from vremove_cli.media.clip import ClipInfo
from vremove_cli.prompts import check_inside

_MOST_UNDONE = 500  # steps that can be taken back


@dataclass(frozen=True)
class Prompts:
    """The clicks at one moment.

    Attributes:
        clicks: All of them, in the order in which they were made.
        version: Grows with every change, so that a page knows when to ask anew.
        can_undo: Whether there is a step to take back.
        can_redo: Whether a step was taken back.
    """

    clicks: tuple[Click, ...]
    version: int
    can_undo: bool
    can_redo: bool


class Session:
    """The clicks of one clip, with undo and redo; each change is saved at once.

    Args:
        info: The clip.
        path: The file, prompts.json.
        first: Clicks of the command line, behind those of the file.
    """

    def __init__(self, info: ClipInfo, path: Path, first: Iterable[Click] = ()) -> None:
        self.info, self.path = info, path.absolute()
        self._lock = threading.Lock()
        found = read_prompts(str(path)) if path.exists() else []
        self._clicks = tuple(dict.fromkeys([*found, *first]))
        self._undone: list[tuple[Click, ...]] = []
        self._before: list[tuple[Click, ...]] = [self._clicks[:n] for n in range(len(self._clicks))]
        self._version = 0
        self._check(self._clicks)
        if self._clicks != tuple(found):
            write_prompts(self.path, self._clicks)

    @property
    def now(self) -> Prompts:
        """The clicks now."""
        with self._lock:
            return Prompts(self._clicks, self._version, bool(self._before), bool(self._undone))

    def add(self, click: Click) -> None:
        """Add a click; a key mask replaces all clicks of its object on its frame.

        Raises:
            UsageError: It lies outside the frame, or its object has nothing yet that says where it is.
        """
        with self._lock:
            kept = self._clicks
            if click.kind == "key_mask":
                kept = tuple(c for c in kept if (c.object, c.frame) != (click.object, click.frame))
            elif any(c.kind == "key_mask" and (c.object, c.frame) == (click.object, click.frame) for c in kept):
                raise UsageError("the mask of this frame is painted", "paint on it, or take it back")
            self._change((*kept, click))

    def remove(self, names: Iterable[str], frame: int | None = None) -> None:
        """Remove all clicks of some objects, or those on one frame."""
        gone = set(names)
        with self._lock:
            self._change(tuple(c for c in self._clicks if c.object not in gone or frame not in (None, c.frame)))

    def undo(self) -> None:
        """Take the last step back."""
        with self._lock:
            if self._before:
                self._undone.append(self._clicks)
                self._set(self._before.pop())

    def redo(self) -> None:
        """Repeat the step that was taken back last."""
        with self._lock:
            if self._undone:
                self._before.append(self._clicks)
                self._set(self._undone.pop())

    def paint(self, name: str, frame: int, mask: Array) -> None:
        """Make a painted mask (H, W) uint8 of the displayed frame the key mask of an object."""
        folder = self.path.with_name(f"{self.path.stem}.masks")
        folder.mkdir(exist_ok=True)
        taken = len(list(folder.glob(f"{frame:06d}*.png")))
        file = folder / f"{frame:06d}{'-' if name else ''}{name}-{taken:03d}.png"  # undo needs the one before
        with atomic.replace_file(file) as hidden:
            hidden.write_bytes(bytes(cv2.imencode(".png", np.where(mask > 127, 255, 0).astype(np.uint8))[1]))
        self.add(Click("key_mask", name, frame, file=str(file)))

    def resolved(self, clicks: Iterable[Click]) -> PromptsByObject:
        """Return clicks in stored pixels, by object and frame; those that do not stand alone are refused."""
        return prompts_by_object([c.prompt for c in clicks], self.info, FrameRange(0, self.info.frames))

    def _change(self, clicks: tuple[Click, ...]) -> None:
        if clicks == self._clicks:
            return
        self._check(clicks)
        self._before = [*self._before[-_MOST_UNDONE:], self._clicks]
        self._undone.clear()
        self._set(clicks)

    def _set(self, clicks: tuple[Click, ...]) -> None:
        write_prompts(self.path, clicks)
        self._clicks = clicks
        self._version += 1

    def _check(self, clicks: tuple[Click, ...]) -> None:
        """Raise `UsageError` for clicks that the command line would refuse."""
        for click in clicks:
            if click.frame >= self.info.frames:
                raise UsageError(f"the clip has no frame {click.frame}", f"it has {self.info.frames} frames")
            if not click.file:
                check_inside(click.prompt, *self.info.shown_size)
        check_names([click.prompt for click in clicks])
        self.resolved(clicks)

"""The mask of one frame, as a click's answer: from the tracker at once, or as it was followed."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from vremove_cli.errors import VremoveError
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array
from vremove_cli.job.choosing import tracker_for
from vremove_cli.job.key_masks import read_key_mask
from vremove_cli.job.mask_store import confidences, object_masks
from vremove_cli.job.plan import Plan
from vremove_cli.job.request import Request
from vremove_cli.job.segment_view import SegmentView
from vremove_cli.job.target import target_of
from vremove_cli.job.task_graph import TRACK_SEGMENT, segments_in
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.read import open_clip
from vremove_cli.tracking import registry as trackers
from vremove_cli.tracking.base import ObjectPrompts, Tracker, TrackerFrame
from vremove_cli.tracking.static_overlay import StaticOverlayTracker, is_static_overlay

_VIEWS, _FRAMES = 2, 12  # segments with their background model, and prepared frames, that are kept

T = TypeVar("T")


@dataclass(frozen=True)
class ShownMask:
    """A mask for the page.

    Attributes:
        mask: Soft mask (h, w) uint8 as the frame is displayed, 128 and more inside; its size may be smaller.
        confidence: Expected overlap with the truth, 0 to 1.
        remark: The tracker's remark.
        followed: Whether it comes from following, and not from this frame's clicks alone.
    """

    mask: Array
    confidence: float
    remark: str
    followed: bool


class Followed:
    """Masks in the work folder of `vremove mask`, segment by segment as they are made.

    Args:
        folder: The work folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = WorkFolder(folder)
        self._plan: tuple[int, Plan] | None = None  # with the time of its file
        self._seen: tuple[str, dict[int, float]] = "", {}

    @property
    def plan(self) -> Plan | None:
        """The plan that was followed last; None without one."""
        try:
            stamp = self._folder.plan.stat().st_mtime_ns
            if self._plan is None or self._plan[0] != stamp:
                self._plan = stamp, Plan.load(self._folder.plan)
            return self._plan[1]
        except (OSError, VremoveError):
            return None

    def mask(self, frame: int, name: str) -> Array | None:
        """Return the stored mask (H, W) uint8 of an object on a frame; None where there is none."""
        plan = self.plan
        if plan is None or name not in plan.prompts:
            return None
        try:
            found = object_masks(plan, self._folder, frame, frame + 1, name).get(frame)
        except (OSError, VremoveError):  # the folder changes while it is worked in
            return None
        return None if found is None else found.full(plan.clip.width, plan.clip.height)

    @property
    def stamp(self) -> str:
        """What changes when there is more to see: the plan's time, and how many of its parts are done."""
        plan = self.plan
        if plan is None or self._plan is None:
            return ""
        return f"{self._plan[0]}/{sum(self._folder.finished(t.id) for t in plan.tasks)}"

    @property
    def confidences(self) -> dict[int, float]:
        """The least confidence of any object by frame, of frames that are done."""
        plan, stamp = self.plan, self.stamp
        if plan is None:
            return {}
        try:
            if self._seen[0] != stamp:
                self._seen = stamp, confidences(plan, self._folder)
        except (OSError, VremoveError):  # the folder changes while it is worked in
            return {}
        return self._seen[1]


class LiveMasks:
    """Segments single frames by their clicks, as the job would; evidence is kept for the next click.

    Args:
        info: The clip.
        request: The options of tracking.
        followed: Masks of frames around.
    """

    def __init__(self, info: ClipInfo, request: Request, followed: Followed) -> None:
        self.info, self._request, self._followed = info, request, followed
        self._lock = threading.Lock()
        self._views: OrderedDict[Hashable, SegmentView] = OrderedDict()
        self._frames: OrderedDict[Hashable, TrackerFrame] = OrderedDict()
        self._tracker: Tracker | None = None

    @property
    def hovers(self) -> bool:
        """Whether a click is answered so fast that the mask under the pointer can be shown: by a network's decoder."""
        return tracker_for(self._request).checkpoint is not None

    def mask(self, frame: int, name: str, by_frame: dict[int, ObjectPrompts]) -> ShownMask | None:
        """Return the mask of an object on a frame; None where nothing says what it is.

        Args:
            frame: Number of the frame.
            name: Name of the object.
            by_frame: Its clicks in stored pixels.
        """
        here = by_frame.get(frame)
        if here is None:
            stored = self._followed.mask(frame, name)
            return None if stored is None else self._shown(stored, self._followed.confidences.get(frame, 0.0), "", True)
        if here.mask:
            picture = open_clip(here.mask).info
            return self._shown(read_key_mask(picture, self.info), 1.0, "", False)
        with self._lock:
            return self._segmented(frame, name, here, first=frame == min(by_frame))

    def _segmented(self, frame: int, name: str, prompts: ObjectPrompts, *, first: bool) -> ShownMask:
        """Segment a frame by its clicks, and by the mask of the frame before if it is a correction."""
        view = self._view(frame)
        scaled = prompts.scaled(view.size[1] / self.info.height)
        static = self._request.static or (bool(scaled.boxes) and is_static_overlay(view.samples, scaled))
        tracker: Tracker = StaticOverlayTracker(view.samples) if static else self._own_tracker()
        picture = self._frame(view, frame, tracker)
        before = None if first or frame == 0 else self._followed.mask(frame - 1, name)
        if before is None or prompts.boxes:  # a box says where the whole object is
            _, result = tracker.begin(picture, prompts)
        else:
            small = cv2.resize(before, view.size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
            state = tracker.adopt(self._frame(view, frame - 1, tracker), None, small)
            _, result = tracker.correct(picture, state, prompts)
        soft = np.clip(result.mask, 0, 1)
        return self._shown((soft * 255).astype(np.uint8), result.confidence, result.remark, False)

    def _shown(self, stored: Array, confidence: float, remark: str, followed: bool) -> ShownMask:
        shown = np.ascontiguousarray(self.info.orientation.display(stored))
        return ShownMask(shown, confidence, remark, followed)

    def _own_tracker(self) -> Tracker:
        if self._tracker is None:
            choice = tracker_for(self._request)
            arithmetic = target_of(self._request).arithmetic
            self._tracker = trackers.make_tracker(choice, arithmetic, self.info.frames)
        return self._tracker

    def _view(self, frame: int) -> SegmentView:
        pieces = segments_in(FrameRange(0, self.info.frames), self.info, TRACK_SEGMENT)
        span = next(piece for piece in pieces if piece.holds(frame))
        return _kept(self._views, span, _VIEWS, lambda: SegmentView(self.info, span))

    def _frame(self, view: SegmentView, frame: int, tracker: Tracker) -> TrackerFrame:
        size = tracker.input_size
        return _kept(
            self._frames, (frame, size), _FRAMES, lambda: next(iter(view.frames(range(frame, frame + 1), size)))
        )


def _kept(cache: OrderedDict[Hashable, T], key: Hashable, most: int, make: Callable[[], T]) -> T:
    """Return what a cache holds, made where it is missing; the oldest of too many goes."""
    if key not in cache:
        cache[key] = make()
        while len(cache) > most:
            cache.popitem(last=False)
    cache.move_to_end(key)
    return cache[key]

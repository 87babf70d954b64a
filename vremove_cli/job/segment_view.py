"""A segment of a clip as trackers see it: small frames, in either direction, with evidence of the foreground."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import TypeVar

import cv2
import numpy as np

from vremove_cli.frame_ranges import FrameRange, shot_context, spread_evenly
from vremove_cli.geometry import Array
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.read import Clip, Frame
from vremove_cli.tracking.base import WORK_SIZE, TrackerFrame
from vremove_cli.tracking.flow.background_model import REACH, WIDTH, BackgroundModel
from vremove_cli.tracking.flow.object_motion import object_evidence
from vremove_cli.tracking.static_overlay import SAMPLES

_CHUNK = 16  # frames in memory while a clip is read backwards

T = TypeVar("T")


class SegmentView:
    """A segment as trackers see it.

    Attributes:
        full: (width, height) of the clip, in pixels.
        size: (width, height) at which masks are tracked.
    """

    def __init__(self, info: ClipInfo, span: FrameRange) -> None:
        self._clip, self.full, self._span = Clip(info), (info.width, info.height), span
        self.size = _scaled(self.full, min(1.0, WORK_SIZE / min(self.full)))

    @property
    def samples(self) -> Array:
        """Frames spread over the segment, (N, h, w, 3) uint8."""
        return np.stack(self._surroundings[1])

    def frames(self, order: range, input_size: tuple[int, int] | None) -> Iterator[TrackerFrame]:
        """Yield frames in the order of travel, at the size that a tracker wants."""
        return _prefetched(self._in_order(order, lambda frame: self._tracker_frame(frame, input_size)))

    def frame_pairs(
        self, order: range, keyframes: set[int], input_size: tuple[int, int] | None
    ) -> Iterator[tuple[TrackerFrame, TrackerFrame | None]]:
        """Yield frames for two trackers: one that sees every frame, and one of `input_size` that sees keyframes."""

        def both(frame: Frame) -> tuple[TrackerFrame, TrackerFrame | None]:
            large = self._tracker_frame(frame, input_size) if frame.index in keyframes else None
            return self._tracker_frame(frame, None), large

        return _prefetched(self._in_order(order, both))

    def grays(self, start: int, stop: int) -> Iterator[tuple[int, Array]]:
        """Yield index and gray picture, (h, w) uint8, of frames start <= t < stop."""
        return ((f.index, cv2.cvtColor(f.rgb8(self.size), cv2.COLOR_RGB2GRAY)) for f in self._clip.frames(start, stop))

    @cached_property
    def _surroundings(self) -> tuple[BackgroundModel, list[Array]]:
        """The background around the segment, and samples from the segment: read together, when first wanted."""
        info, small = self._clip.info, _scaled(self.full, min(1.0, WIDTH / max(self.full)))
        wanted = set(spread_evenly(*self._span, SAMPLES))
        frames, samples = {}, []
        for frame in self._clip.frames(*shot_context(self._span, info.frames, info.cuts, REACH)):
            frames[frame.index] = frame.rgb8(small)
            if frame.index in wanted:
                samples.append(frame.rgb8(self.size))
        return BackgroundModel(frames), samples

    def _in_order(self, order: range, convert: Callable[[Frame], T]) -> Iterator[T]:
        if order.step > 0:
            yield from (convert(f) for f in self._clip.frames(order.start, order.stop))
            return
        for high in range(order.start, order.stop, -_CHUNK):
            low = max(order.stop, high - _CHUNK)
            yield from reversed([convert(f) for f in self._clip.frames(low + 1, high + 1)])

    def _tracker_frame(self, frame: Frame, input_size: tuple[int, int] | None) -> TrackerFrame:
        """Return a frame; a tracker with an input size of its own needs no evidence."""
        rgb = frame.rgb8(input_size or self.size)
        if input_size:
            return TrackerFrame(frame.index, rgb, self.full, self.size)
        model, t = self._surroundings[0], frame.index
        scale = np.diag([*(a / b for a, b in zip(self.size, model.size, strict=True)), 1.0])
        return TrackerFrame(
            index=t,
            rgb=rgb,
            clip_size=self.full,
            mask_size=self.size,
            foreground=model.evidence(t),
            object_evidence=partial(object_evidence, model, t),
            camera=scale @ model.path.from_first[t] @ np.linalg.inv(scale),
        )


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(8, round(size[0] * scale)), max(8, round(size[1] * scale))


def _prefetched(items: Iterator[T]) -> Iterator[T]:
    """Yield items; the next one is made in another thread meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item

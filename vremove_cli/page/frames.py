"""Pictures of a clip by their number, as files that a browser shows."""

import threading
from collections import OrderedDict
from collections.abc import Iterator

import cv2

from vremove_cli.geometry import Array
from vremove_cli.media.read import Clip, Frame

_BYTES = 96 << 20  # of encoded pictures that are kept, and of decoded ones
_AHEAD = 24  # frames up to which decoding goes on instead of starting at a keyframe
_BEHIND = 8  # frames before the wanted one that are kept: the next requests may be for them
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]  # 1 is the fastest of 9; the page is on this machine
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 88]


def png(rgb: Array) -> bytes:
    """Return a picture (H, W, 3) uint8 R'G'B' or (H, W) uint8 as a PNG file."""
    return _encoded(".png", rgb, _PNG)


def _encoded(suffix: str, picture: Array, options: list[int]) -> bytes:
    ordered = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture.copy()
    return bytes(cv2.imencode(suffix, ordered, options)[1])


class FrameSource:
    """Decodes frames on demand and keeps the last ones as files; many threads may ask.

    Args:
        clip: The clip.
    """

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._size = 0
        self._decoded: OrderedDict[int, Frame] = OrderedDict()
        self._most = max(2 * _BEHIND, _BYTES // max(1, int(clip.info.width * clip.info.height * 3)))
        self._frames: Iterator[Frame] | None = None
        self._next = -1  # number of the frame that the open decoder gives next

    def file(self, index: int, width: int = 0) -> bytes:
        """Return a frame as it is displayed.

        Args:
            index: Number of the frame.
            width: Pixels to which a wider picture is scaled down, as JPEG; 0 for the exact picture, as PNG.
        """
        with self._lock:
            key = (index, width)
            if key not in self._kept:
                self._keep(key, self._make(index, width))
            self._kept.move_to_end(key)
            return self._kept[key]

    def rgb(self, index: int) -> Array:
        """Return a frame as it is displayed, (H, W, 3) uint8 R'G'B'."""
        with self._lock:
            return self._shown(self._frame(index), 0)

    def _make(self, index: int, width: int) -> bytes:
        picture = self._shown(self._frame(index), width)
        return _encoded(".jpg", picture, _JPEG) if width else png(picture)

    def _shown(self, frame: Frame, width: int) -> Array:
        info = self.clip.info
        shown_width = info.shown_size[0]
        scale = min(1.0, width / shown_width) if width else 1.0
        size = (max(1, round(info.width * scale)), max(1, round(info.height * scale)))
        return info.orientation.display(frame.rgb8(size if scale < 1 else None))

    def _frame(self, index: int) -> Frame:
        """Return a decoded frame, going on from the last one where it is near; frames around it are kept."""
        if index in self._decoded:
            return self._decoded[index]
        if self._frames is None or not self._next <= index < self._next + _AHEAD:
            first = max(0, index - _BEHIND)
            self._frames, self._next = self.clip.frames(first), first
        for frame in self._frames:
            self._next = frame.index + 1
            self._decoded[frame.index] = frame
            while len(self._decoded) > self._most:
                self._decoded.popitem(last=False)
            if frame.index == index:
                return frame
        raise IndexError(index)

    def _keep(self, key: tuple[int, int], data: bytes) -> None:
        self._kept[key] = data
        self._size += len(data)
        while self._size > _BYTES and len(self._kept) > 1:
            self._size -= len(self._kept.popitem(last=False)[1])

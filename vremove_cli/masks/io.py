"""Masks from and to files: a video, a folder or pattern of images, or one image. White means: erase."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from vremove_cli.atomic import refuse_existing
from vremove_cli.errors import MediaError, UsageError
from vremove_cli.geometry import Array
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.encoder_choice import CONTAINERS
from vremove_cli.media.ffv1 import GRAY, write_lossless
from vremove_cli.media.picture_export import write_folder, write_gray_image
from vremove_cli.media.provenance import TRACKED
from vremove_cli.media.read import Clip, Frame

_SAME_SHAPE = 0.02  # relative difference of aspect ratios that rounding to even sizes and padding to 16 rows may cause
_ROUNDING = 2  # pixels by which a side of a small picture may be rounded


class MaskFile:
    """A user's mask, checked against a clip. A mask of another size is scaled, one of another shape refused.

    Attributes:
        notes: Sentences for the user about the scaling.
    """

    def __init__(
        self,
        own: ClipInfo,
        info: ClipInfo,
        *,
        invert: bool = False,
        what: str = "mask",
        select: Callable[[Array], Array] | None = None,
    ) -> None:
        """Check the mask.

        Args:
            own: The scanned mask: as many frames as the clip, or one image for all of them.
            info: The clip.
            invert: Whether black is set instead of white.
            what: Name of the mask, for errors and notes.
            select: Takes gray levels (H, W) uint8 and returns where the mask is set, (H, W) bool: for masks of several
                values. Without it levels of 128 and more are set.

        Raises:
            MediaError: The mask cannot be read.
            UsageError: It has another number of frames, or another shape.
        """
        self._clip = Clip(own)
        self._info, self._invert, self._select = info, invert, select
        self._alpha = own.layout.alpha and _alpha_speaks(self._clip)
        self.notes: list[str] = []
        self._single = own.frames == 1 and info.frames > 1
        if own.frames != info.frames and not self._single:
            raise UsageError(
                f"the {what} has {own.frames} frames and the clip {info.frames}",
                f"export the {what} for every frame of the clip, or give one image for all",
            )
        check_shape(own, info, what)
        if own.shown_size != info.shown_size:
            original, target = ("x".join(map(str, s)) for s in (own.shown_size, info.shown_size))
            self.notes.append(f"the {what} is {original} and was scaled to the clip's {target}")

    def read(self, start: int, stop: int) -> Iterator[Array]:
        """Read masks.

        Args:
            start: First frame.
            stop: Frame after the last one.

        Yields:
            Masks (H, W) uint8, 0 or 255, in the clip's stored orientation.
        """
        if self._single:
            (frame,) = self._clip.frames(0, 1)
            mask = self._fit(frame)
            for _ in range(start, stop):
                yield mask
            return
        for frame in self._clip.frames(start, stop):
            yield self._fit(frame)

    def _fit(self, frame: Frame) -> Array:
        """Return a frame of the mask as 0 or 255, at the clip's size and in its stored orientation."""
        shown = self._clip.info.orientation.display(_alpha(frame) if self._alpha else _level(frame))
        size = self._info.shown_size
        if shown.shape[::-1] != size:
            way = cv2.INTER_NEAREST if self._select else cv2.INTER_LINEAR  # a mean of two values is a third value
            shown = cv2.resize(np.ascontiguousarray(shown), size, interpolation=way)
        stored = np.ascontiguousarray(self._info.orientation.store(shown))
        if self._select:
            return self._select(stored).astype(np.uint8) * 255
        mask = stored > 127
        return (mask != self._invert).astype(np.uint8) * 255


def check_shape(own: ClipInfo, clip: ClipInfo, what: str) -> None:
    """Raise `UsageError` when a picture or mask, scaled to the clip's size, would be stretched.

    Args:
        own: The picture or mask.
        clip: The clip; one whose pixels are not square may be met as it is stored or as it is shown.
        what: Name of the picture or mask.
    """
    (width, height), (clip_width, clip_height) = own.shown_size, clip.shown_size
    pixel = float(clip.aspect) or 1.0
    if clip.orientation.transpose:
        pixel = 1 / pixel
    for across in {clip_width, clip_width * pixel}:
        wanted = height * across / clip_height
        if abs(width - wanted) <= max(_ROUNDING, _SAME_SHAPE * wanted):
            return
    raise UsageError(
        f"the {what} is {width}x{height} and the clip {clip_width}x{clip_height}, which is another shape",
        "export it at the clip's size, or draw it on a picture of `vremove frame INPUT -o frame.png`",
    )


def _alpha_speaks(clip: Clip) -> bool:
    """Return whether a mask is in its alpha channel: whether any of three frames is not fully opaque."""
    samples = {0, clip.info.frames // 2, clip.info.frames - 1}
    return any(_alpha(f).min() < 255 for t in sorted(samples) for f in clip.frames(t, t + 1))


def _alpha(frame: Frame) -> Array:
    """Return the alpha channel (H, W) uint8."""
    return frame.raw.reformat(format="rgba").to_ndarray()[..., 3]


def _level(frame: Frame) -> Array:
    """Return the gray levels (H, W) uint8, 0 for black and 255 for white, whatever the clip's range."""
    gray = frame.gray()
    if frame.layout.model == "yuv" and not frame.tags.full(frame.layout):
        gray = np.clip((gray.astype(np.float32) - 16) * (255 / 219), 0, 255).astype(np.uint8)
    return gray


def check_target(output: str, *, overwrite: bool, option: str = "-o", picture: bool = False) -> None:
    """Raise `UsageError` when masks cannot be written to `output`, the path that `option` names.

    A single `picture` has its mask in a .png file, too.
    """
    target = Path(output)
    suffix = target.suffix.lower()
    if picture and suffix == ".png":
        refuse_existing(target, overwrite=overwrite, option=option)
        return
    if suffix and suffix not in (".mkv", ".png") and suffix in CONTAINERS:
        raise UsageError(f"masks are not written to {suffix}", "write to .mkv (lossless) or to a folder of PNG files")
    if suffix and suffix != ".mkv":
        raise UsageError(
            f"'{target.name}' is no place for pictures", "write to .mkv (lossless) or to a folder of PNG files"
        )
    refuse_existing(target, overwrite=overwrite, option=option)


def write_masks(output: str, masks: Iterable[Array], info: ClipInfo, *, overwrite: bool, tracked: bool = False) -> None:
    """Write masks, turned as the clip is displayed.

    Args:
        output: Path: `.mkv` for FFV1 gray with the clip's timestamps, `.png` for that of a single picture, otherwise a
            folder for PNG files named by frame number.
        masks: Masks (H, W) uint8 in stored orientation, one for every frame of the clip.
        info: The clip.
        overwrite: Whether to replace what exists.
        tracked: Whether a tracker made them; the files are then marked, so that they grow like tracked masks when they
            are given back.

    Raises:
        UsageError: Masks cannot be written to this path.
        MediaError: Writing failed.
    """
    picture = info.is_sequence and info.frames == 1
    check_target(output, overwrite=overwrite, picture=picture)
    target = Path(output)
    shown = (np.ascontiguousarray(info.orientation.display(m)) for m in masks)
    mark = TRACKED if tracked else ""
    if target.suffix.lower() == ".mkv":
        write_lossless(target, ((m,) for m in shown), GRAY, *info.shown_size, times=info.times, mark=mark)
        return
    try:
        if target.suffix.lower() == ".png":
            write_gray_image(target, next(shown), mark)
        else:
            write_folder(target, shown, info, partial(write_gray_image, mark=mark))
    except OSError as error:
        raise MediaError(
            f"the masks could not be written ({error})", "check the disk, or choose another place"
        ) from error

"""Masks that a Python program gives as arrays: written losslessly, so that the job reads them like any file."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from vremove_cli.errors import UsageError
from vremove_cli.geometry import Array
from vremove_cli.job.request import Request
from vremove_cli.media.ffv1 import GRAY, write_lossless
from vremove_cli.options import values_from

MASK_OPTIONS = ("mask", "effects", "affected_mask", "quadmask")


@contextmanager
def stored_masks(options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Write masks that are arrays to files while the block lasts.

    Args:
        options: Option values. A mask may be a path, an array (T, H, W), or any iterable of arrays (H, W): bool, or
            uint8 where 128 and more is set.

    Yields:
        The options with a path for every mask.

    Raises:
        UsageError: An array has another shape or type, or another option is wrong.
    """
    arrays = {name: options[name] for name in MASK_OPTIONS if _is_array(options.get(name))}
    if not arrays:
        yield options
        return
    values_from(Request, {name: value for name, value in options.items() if name not in arrays})  # raises before work
    with TemporaryDirectory(prefix="vremove-") as folder:
        paths = {}
        for name, masks in arrays.items():
            path = Path(folder) / f"{name}.mkv"
            _write(path, name, masks)
            paths[name] = str(path)
        yield {**options, **paths}


def refuse_arrays(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options; raise `UsageError` for a mask that is an array, which a plan could not refer to."""
    if name := next((n for n in MASK_OPTIONS if _is_array(options.get(n))), None):
        raise UsageError(f"{name} is an array, and a plan refers to files", "write the masks to a file first")
    return options


def _is_array(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | PathLike)


def _write(path: Path, name: str, masks: Iterable[Array]) -> None:
    """Write masks as gray FFV1, one frame at a time."""
    if isinstance(masks, np.ndarray) and masks.ndim == 2:
        masks = masks[None]
    frames = (_gray(name, mask) for mask in masks)
    first = next(frames, None)
    if first is None:
        raise UsageError(f"{name} holds no mask", "give one for every frame of the clip")
    height, width = first.shape

    def planes() -> Iterator[tuple[Array]]:
        yield (first,)
        for frame in frames:
            if frame.shape != (height, width):
                raise UsageError(f"{name} holds masks of {width}x{height} and others", "give them one size")
            yield (frame,)

    write_lossless(path, planes(), GRAY, width, height)


def _gray(name: str, mask: Array) -> Array:
    """Return a mask as gray levels (H, W) uint8."""
    array = np.asarray(mask)
    if array.ndim != 2 or array.dtype not in (np.bool_, np.uint8):
        what = f"an array of shape {array.shape} and type {array.dtype}"
        raise UsageError(f"{name} holds {what}", "give (H, W) arrays of bool or uint8")
    return np.ascontiguousarray(array.astype(np.uint8) * 255 if array.dtype == np.bool_ else array)

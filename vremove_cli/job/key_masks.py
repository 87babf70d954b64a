"""Key masks: the user's masks of single frames, which are prompts like clicks."""

import numpy as np

from vremove_cli.errors import UsageError
from vremove_cli.geometry import Array
from vremove_cli.job.object_prompts import PromptsByObject
from vremove_cli.masks.io import MaskFile
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.read import open_clip


def scan_key_masks(prompts: PromptsByObject, clip: ClipInfo, notes: list[str]) -> dict[str, ClipInfo]:
    """Scan and check all key masks.

    Args:
        prompts: Prompts by object name and frame.
        clip: The clip.
        notes: Gets sentences about scaling.

    Returns:
        The scanned files by their path.

    Raises:
        MediaError: A file is missing or cannot be read.
        UsageError: It has several frames or another shape than the clip, or it is empty.
    """
    paths = dict.fromkeys(p.mask for by_frame in prompts.values() for p in by_frame.values() if p.mask)
    return {path: _scanned(path, clip, notes) for path in paths}


def _scanned(path: str, clip: ClipInfo, notes: list[str]) -> ClipInfo:
    info = open_clip(path).info
    if info.frames != 1:
        raise UsageError(
            f"the key mask {path} has {info.frames} frames", "give one image, or a mask of every frame as --mask"
        )
    notes += MaskFile(info, clip, what=f"key mask {path}").notes
    if not read_key_mask(info, clip).any():
        raise UsageError(f"the key mask {path} is empty", "paint the object white")
    return info


def read_key_mask(info: ClipInfo, clip: ClipInfo) -> Array:
    """Return a scanned key mask, (H, W) uint8, 0 or 255, in the clip's size and stored orientation."""
    (mask,) = MaskFile(info, clip, what="key mask").read(0, 1)
    return np.asarray(mask)

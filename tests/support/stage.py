"""A drawn stage for effects: a ground that the camera pans over, an actor, what follows the actor, and the truth."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from support.clips import write_clip

SIZE, FRAMES = (240, 136), 40
_RNG = np.random.default_rng(21)
_WORLD = np.clip(
    cv2.resize(_RNG.uniform(70, 200, (40, 70, 3)).astype(np.float32), (420, 240), interpolation=cv2.INTER_CUBIC)
    + cv2.resize(_RNG.normal(0, 12, (120, 210, 3)).astype(np.float32), (420, 240), interpolation=cv2.INTER_CUBIC),
    10, 245,
)  # fmt: skip


def ground(t: int, width: int = SIZE[0], height: int = SIZE[1], *, deep: bool = False) -> np.ndarray:
    """The stage alone, (H, W, 3) uint8, under a camera that pans one pixel a frame; the nearer part three if `deep`."""
    out = _WORLD[40 : 40 + height, 30 + t : 30 + t + width].astype(np.uint8)
    if deep:
        out[70:] = _WORLD[110 : 40 + height, 30 + 3 * t : 30 + 3 * t + width]
    return out


def place(t: int) -> tuple[int, int]:
    """Where the actor stands."""
    return 30 + 4 * t, 60


def actor(t: int) -> np.ndarray:
    """The actor's mask (H, W) bool."""
    return cv2.circle(np.zeros(SIZE[::-1], np.uint8), place(t), 15, 1, -1) > 0


def shadow(t: int) -> np.ndarray:
    """How dark the ground is (H, W) float32: 1 in the light, 0.55 in the middle of a soft shadow."""
    x, y = place(t)
    disc = cv2.ellipse(np.zeros(SIZE[::-1], np.float32), (x + 4, y + 26), (19, 7), 0, 0, 360, 1.0, -1)
    return 1 - 0.45 * cv2.GaussianBlur(disc, (0, 0), 2)


def companion(t: int) -> np.ndarray:
    """The mask (H, W) bool of a stranger who walks along."""
    x, y = place(t)
    return cv2.rectangle(np.zeros(SIZE[::-1], np.uint8), (x + 24, y - 18), (x + 46, y + 22), 1, -1) > 0


def picture(
    t: int, *, shaded: bool = False, accompanied: bool = False, deep: bool = False, drawn: bool = True
) -> np.ndarray:
    """Frame t, (H, W, 3) uint8; without the actor and the shadow unless `drawn`."""
    out = ground(t, deep=deep).astype(np.float32)
    if shaded and drawn:
        out *= shadow(t)[..., None]
    if accompanied:
        stripes = np.where((np.indices(SIZE[::-1]).sum(axis=0) - 5 * t) // 5 % 2, 40.0, 225.0)
        out = np.where(companion(t)[..., None], np.stack([stripes, 255 - stripes, stripes * 0.3 + 60], -1), out)
    if drawn:
        out[actor(t)] = (225, 60, 40)
        out[actor(t) & (np.indices(SIZE[::-1])[1] % 7 < 2)] = (250, 230, 60)
    return np.clip(out, 0, 255).astype(np.uint8)


def mask_clip(path: Path, shape_of: Callable[[int], np.ndarray], frames: int = FRAMES) -> Path:
    """A lossless clip of masks (H, W) bool."""
    return write_clip(
        path, codec="ffv1", pix_fmt="gray", size=SIZE, frames=frames,
        picture=lambda t, w, h: np.repeat((shape_of(t) * np.uint8(255))[..., None], 3, axis=2),
    )  # fmt: skip


def masks() -> np.ndarray:
    """The actor on every frame with a margin, (T, H, W) bool."""
    disc = np.ones((5, 5), np.uint8)
    return np.stack([cv2.dilate(actor(t).astype(np.uint8), disc) > 0 for t in range(FRAMES)])

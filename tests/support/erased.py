"""A drawn scene with a known truth, results with one defect each, and their scores."""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from support import disc
from vremove_cli.quality.meter import Meter, Pictures, Success
from vremove_cli.quality.score import Score

FRAMES = 14
SIZE = disc.SIZE
GRAIN = 3.0  # 8-bit levels
Defect = Callable[[np.ndarray, int], np.ndarray]  # (truth (H, W, 3) float32, frame) -> the result of that frame


def grained(picture: np.ndarray, t: int, seed: int) -> np.ndarray:
    """A picture (H, W, 3) with the fine texture that the ground has at frame t, and a camera's grain."""
    rng = np.random.default_rng(100 + seed)
    fine = np.random.default_rng(5).uniform(-18, 18, (320, 640, 1)).astype(np.float32)
    texture = cv2.GaussianBlur(fine, (0, 0), 1.2)[..., None][60 : 60 + SIZE[1], 40 + 2 * t : 40 + 2 * t + SIZE[0]] * 4
    noisy = picture.astype(np.float32) + texture + rng.normal(0, GRAIN, (*picture.shape[:2], 1))
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def mask(t: int) -> np.ndarray:
    """The disc and its border, (H, W) bool."""
    return cv2.circle(np.zeros(SIZE[::-1], np.uint8), disc.centre(t), disc.RADIUS + 1, 1, -1) > 0


@cache
def truth() -> np.ndarray:
    """The scene without the disc, (T, H, W, 3) uint8."""
    return np.stack([grained(disc.view(t, *SIZE), t, t) for t in range(FRAMES)])


@cache
def source() -> np.ndarray:
    """The scene with a red disc that crosses it."""
    return np.stack([grained(disc.red_disc(t, *SIZE), t, t) for t in range(FRAMES)])


def masks() -> np.ndarray:
    """The masks (T, H, W) bool."""
    return np.stack([mask(t) for t in range(FRAMES)])


def with_defect(defect: Defect) -> np.ndarray:
    """The truth with a defect inside the hole."""
    out = truth().copy()
    for t, where in enumerate(masks()):
        made = defect(truth()[t].astype(np.float32), t)
        out[t][where] = np.clip(np.rint(made), 0, 255).astype(np.uint8)[where]
    return out


def telea(clip: np.ndarray) -> np.ndarray:
    """A clip (T, H, W, 3) whose hole is filled by Telea's inpainting, frame by frame."""
    holes = (cv2.dilate(m.astype(np.uint8), np.ones((5, 5), np.uint8)) for m in masks())
    return np.stack([cv2.inpaint(f, hole, 5, cv2.INPAINT_TELEA) for f, hole in zip(clip, holes, strict=True)])


def scored(
    result: np.ndarray,
    *,
    clip: np.ndarray | None = None,
    hole: np.ndarray | None = None,
    clean: np.ndarray | None = None,
    success: Success | None = None,
) -> Score:
    """The score of a result (T, H, W, 3) of the scene, or of another clip with another mask."""
    clip, hole = source() if clip is None else clip, masks() if hole is None else hole
    meter = Meter(success)
    frames = (
        Pictures(a, b, m, None if clean is None else clean[t])
        for t, (a, b, m) in enumerate(zip(clip, result, hole, strict=True))
    )
    for _ in meter.add_shot(clip, hole, frames):
        pass
    found = meter.score()
    assert found is not None
    return found

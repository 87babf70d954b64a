"""A red disc that crosses a ground under a panning camera: pictures, variants of them, and the truth."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from support.clips import write_clip

SIZE, FRAMES = (320, 180), 24
RADIUS = 24
_RNG = np.random.default_rng(11)
_GROUND = cv2.resize(_RNG.uniform(60, 190, (60, 120, 3)).astype(np.float32), (640, 320), interpolation=cv2.INTER_CUBIC)


def view(t: int, width: int, height: int) -> np.ndarray:
    """The background under a camera that pans two pixels a frame."""
    return np.clip(_GROUND[60 : 60 + height, 40 + 2 * t : 40 + 2 * t + width], 0, 255).astype(np.uint8)


def centre(t: int) -> tuple[int, int]:
    return 60 + 8 * t, 95


def red_disc(t: int, width: int, height: int) -> np.ndarray:
    return cv2.circle(view(t, width, height).copy(), centre(t), RADIUS, (225, 40, 30), -1)


def hidden_disc(t: int, width: int, height: int) -> np.ndarray:
    """The disc goes behind a post between frames 9 and 14."""
    out = red_disc(t, width, height)
    out[:, 120:215] = (40, 70, 60)
    return out


def handle(t: int) -> np.ndarray:
    """A blue bar on top of the disc, (H, W) bool."""
    x, y = centre(t)
    return cv2.rectangle(np.zeros(SIZE[::-1], np.uint8), (x - 5, y - 60), (x + 5, y - RADIUS), 1, -1) > 0


def handled_disc(t: int, width: int, height: int) -> np.ndarray:
    """The disc with the bar."""
    out = red_disc(t, width, height)
    out[handle(t)] = (30, 50, 220)
    return out


def truth(t: int) -> np.ndarray:
    """The disc, (H, W) bool."""
    return cv2.circle(np.zeros(SIZE[::-1], np.uint8), centre(t), RADIUS, 255, -1) > 0


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.count_nonzero(a & b)) / max(1, int(np.count_nonzero(a | b)))


def drawn(
    folder: Path, picture: Callable[[int, int, int], np.ndarray], frames: int = FRAMES, name: str = "clip.mkv"
) -> Path:
    """A lossless clip of pictures."""
    return write_clip(folder / name, codec="ffv1", size=SIZE, frames=frames, picture=picture)

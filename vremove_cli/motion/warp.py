"""Sampling pictures at arbitrary places."""

import cv2
import numpy as np

from vremove_cli.geometry import Array, Box

_ROW = 1024  # cv2.remap wants two dimensions, each below 32,767


def sample(image: Array, points: Array, *, cubic: bool = False, outside: float | None = None) -> Array:
    """Values of an image (H, W) or (H, W, C) at points (N, 2) as x, y; the result is (N,) or (N, C), of its dtype.

    Beyond the edge the nearest pixel counts, or the constant `outside`.
    """
    count = len(points)
    rows = -(-count // _ROW)
    padded = np.zeros((rows * _ROW, 2), np.float32)
    padded[:count] = points
    xy = padded.reshape(rows, _ROW, 2)
    out = cv2.remap(
        image,
        xy[..., 0],
        xy[..., 1],
        cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT,
        borderValue=[outside or 0.0] * 4,
    )
    return out.reshape(rows * _ROW, *image.shape[2:])[:count]


def project(matrix: Array, points: Array) -> Array:
    """Points (N, 2) through a homography (3, 3), float32."""
    x, y = points[:, 0], points[:, 1]
    m = matrix
    w = m[2, 0] * x + m[2, 1] * y + m[2, 2]
    out = np.empty((len(points), 2), np.float32)
    out[:, 0] = (m[0, 0] * x + m[0, 1] * y + m[0, 2]) / w
    out[:, 1] = (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / w
    return out


def warp_back(image: Array, matrix: Array, width: int, height: int, *, nearest: bool = False) -> Array:
    """The picture out(x) = image(matrix x), (height, width): `image` as seen from the frame that `matrix` starts in."""
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR)
    border = cv2.BORDER_CONSTANT if nearest else cv2.BORDER_REPLICATE
    return cv2.warpPerspective(image, matrix, (width, height), flags=flags, borderMode=border)


def seen_in(image: Array, matrix: Array, box: Box, *, nearest: bool = False) -> Array:
    """The part of a frame in `box` as another frame's `image` shows it; `matrix` leads from the frame to the other."""
    shift = np.array([[1, 0, box.x0], [0, 1, box.y0], [0, 0, 1]], np.float64)
    return warp_back(image, matrix @ shift, box.width, box.height, nearest=nearest)


def grid(width: int, height: int) -> Array:
    """Pixel coordinates (height, width, 2) as x, y, float32."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack([x, y], axis=-1)

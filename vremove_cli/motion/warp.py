"""Sample and warp pictures. Coordinates are pixels, x to the right, y down; pixel centres lie on whole numbers."""

import cv2
import numpy as np

from vremove_cli.geometry import Array, Box

_REMAP_WIDTH = 1024  # points per row: cv2.remap takes a two-dimensional grid, each side below 32,767


def sample(image: Array, points: Array, *, cubic: bool = False, outside: float | None = None) -> Array:
    """Sample an image at arbitrary points.

    Args:
        image: (H, W) or (H, W, C), of a dtype that cv2.remap takes.
        points: (N, 2) float32, x and y in pixels.
        cubic: Interpolate bicubically instead of bilinearly.
        outside: Value beyond the edge; None repeats the edge pixels.

    Returns:
        (N,) or (N, C), of the image's dtype.
    """
    count = len(points)
    if not count:
        return np.zeros((0, *image.shape[2:]), image.dtype)
    rows = -(-count // _REMAP_WIDTH)
    padded = np.zeros((rows * _REMAP_WIDTH, 2), np.float32)
    padded[:count] = points
    xy = padded.reshape(rows, _REMAP_WIDTH, 2)
    out = cv2.remap(
        image,
        xy[..., 0],
        xy[..., 1],
        cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT,
        borderValue=[outside or 0.0] * 4,
    )
    return out.reshape(rows * _REMAP_WIDTH, *image.shape[2:])[:count]


def project(homography: Array, points: Array) -> Array:
    """Map points (N, 2) through a homography (3, 3): (N, 2) float32."""
    x, y = points[:, 0], points[:, 1]
    h = homography
    w = h[2, 0] * x + h[2, 1] * y + h[2, 2]
    out = np.empty((len(points), 2), np.float32)
    out[:, 0] = (h[0, 0] * x + h[0, 1] * y + h[0, 2]) / w
    out[:, 1] = (h[1, 0] * x + h[1, 1] * y + h[1, 2]) / w
    return out


def warp_back(image: Array, homography: Array, width: int, height: int, *, nearest: bool = False) -> Array:
    """Warp a frame onto the frame that the homography starts in: out(x) = image(H x).

    Args:
        image: (H, W) or (H, W, C).
        homography: (3, 3), from the result's pixels to the image's.
        width: Width of the result in pixels.
        height: Height of the result in pixels.
        nearest: Take the nearest pixel, and 0 beyond the edge (for masks); else interpolate, and repeat the edge.

    Returns:
        (height, width) or (height, width, C), of the image's dtype.
    """
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR)
    border = cv2.BORDER_CONSTANT if nearest else cv2.BORDER_REPLICATE
    return cv2.warpPerspective(image, homography, (width, height), flags=flags, borderMode=border)


def warp_back_crop(image: Array, homography: Array, box: Box, *, nearest: bool = False) -> Array:
    """Return the part of `warp_back`'s result that lies in `box`, without computing the rest."""
    shift = np.array([[1, 0, box.x0], [0, 1, box.y0], [0, 0, 1]], np.float64)
    return warp_back(image, homography @ shift, box.width, box.height, nearest=nearest)


def grid(width: int, height: int) -> Array:
    """Return pixel coordinates (height, width, 2) float32, x then y."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack([x, y], axis=-1)

"""What differs from the background: its pixels, and which of them are another thing instead of another light.

A shadow, a light or a faint reflection changes the background's brightness and keeps its texture; a thing covers it.
Pictures are (H, W, 3), differences are in 8-bit levels.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.motion.pixelwise import gradient_magnitude, largest_channel, mean_channel, smallest_channel

_SMOOTHING = 1.2  # pixels (standard deviation) over which a difference is averaged
# A difference counts from 2.5 levels + 3.5 standard deviations of the noise + a quarter of the background's gradient,
# which a registration error of a quarter of a pixel explains.
_MIN_DIFFERENCE, _NOISE_MULTIPLE, _GRADIENT_SHARE = 2.5, 3.5, 0.25
_UNKNOWN_NOISE = 3.0  # 8-bit levels assumed where a frame shows too little background to tell

# Another light: the factors of the channels differ by less than a fifth, all darken or all brighten, within limits.
_MAX_TINT, _SAME_SIDE, _DARKEST, _BRIGHTEST = 0.2, 0.03, 0.12, 3.0
_RATIO_OFFSET = 4.0  # 8-bit levels added to both sides of a ratio, so that noise in dark pixels does not decide it
_WINDOW = (9, 9)  # pixels over which textures are compared
_MIN_WINDOW = 20  # pixels of the foreground in a window, from which its textures are compared
_MIN_SLOPE = 0.15  # share of the background's texture that must be left
_TEXTURED = 12.0  # variance from which the background has a texture, beyond six times that of the noise
_UNSHARP = 0.3  # share of the background's variance that it may miss because the mosaic is less sharp
_NEIGHBOURHOOD = 0.06  # of the object's size: half the window in which pixels decide together
_MIN_SHARE = 0.6  # of a window's foreground that must be another thing
_OWN_TEXTURE = 0.5  # of the mean difference: standard deviation from which a texture is the thing's own


@dataclass(frozen=True)
class Foreground:
    """One frame against the background.

    Attributes:
        difference: (H, W, 3) float32, smoothed frame - background.
        mask: (H, W) bool, where it differs by more than noise and registration explain.
        noise: Standard deviation of the smoothed difference elsewhere.
    """

    difference: Array
    mask: Array
    noise: float

    @classmethod
    def of_frame(cls, frame: Array, background: Array, known: Array, free: Array) -> "Foreground":
        """Compare a frame with the background.

        Args:
            frame: (H, W, 3) uint8.
            background: (H, W, 3) float32 at the frame's brightness.
            known: (H, W) bool, where the background is known.
            free: (H, W) bool, where the object certainly is not.
        """
        difference = cv2.GaussianBlur(frame.astype(np.float32) - background, (0, 0), _SMOOTHING)
        largest = largest_channel(np.abs(difference))
        quiet = largest[free & known]
        noise = 1.4826 * float(np.median(quiet)) if quiet.size else _UNKNOWN_NOISE
        limit = (
            _MIN_DIFFERENCE
            + _NOISE_MULTIPLE * noise
            + _GRADIENT_SHARE * gradient_magnitude(_smooth(mean_channel(background)))
        )
        return cls(difference, (largest > limit) & known, noise)


def another_thing(frame: Array, background: Array, foreground: Foreground, size: float) -> Array:
    """Return which foreground pixels are not the background in another light, (H, W) bool.

    The pixels of a neighbourhood decide together: a thing may have the background's hue on some of its stripes.

    Args:
        frame: (H, W, 3) uint8.
        background: (H, W, 3) float32 at the frame's brightness.
        foreground: The comparison of both.
        size: Of the object, in pixels; the neighbourhood grows with it.
    """
    smooth_frame, smooth_background = _smooth(frame.astype(np.float32)), _smooth(background)
    ratio = (smooth_frame + _RATIO_OFFSET) / (smooth_background + _RATIO_OFFSET)
    high, low = largest_channel(ratio), smallest_channel(ratio)
    even = (high - low < _MAX_TINT * np.maximum(1, high)) & (low > _DARKEST) & (high < _BRIGHTEST)
    even &= (high < 1 + _SAME_SIDE) | (low > 1 - _SAME_SIDE)
    strange = _has_other_texture(mean_channel(smooth_frame), mean_channel(smooth_background), foreground)
    other = (foreground.mask & (~even | strange)).astype(np.float32)
    window = (2 * max(2, round(_NEIGHBOURHOOD * size)) + 1,) * 2
    share = cv2.blur(other, window) / np.maximum(cv2.blur(foreground.mask.astype(np.float32), window), 1e-3)
    return np.asarray(foreground.mask & (share > _MIN_SHARE))


def _has_other_texture(frame: Array, background: Array, foreground: Foreground) -> Array:
    """Where a smoothed gray frame (H, W) has lost the background's texture, or has one of its own.

    Both are fitted to each other linearly, over the foreground's pixels of a window: its outline is no texture.
    """
    inside = cv2.erode(foreground.mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    share = cv2.blur(inside, _WINDOW)
    weight = np.maximum(share, 1e-6)

    def mean(values: Array) -> Array:
        return np.asarray(cv2.blur(values * inside, _WINDOW) / weight)

    mean_frame, mean_background = mean(frame), mean(background)
    covariance = mean(frame * background) - mean_frame * mean_background
    variance = mean(background * background) - mean_background**2
    noise = foreground.noise
    lost = (variance > _noise_variance(noise) + _TEXTURED) & (covariance < _MIN_SLOPE * variance)
    explained = np.where(variance > 0, covariance**2 / np.maximum(variance, 1), 0)
    own = mean(frame * frame) - mean_frame**2 - explained
    limit = np.maximum(_OWN_TEXTURE * np.abs(mean_frame - mean_background), 3.6 * noise + 5)
    return np.asarray((share * _WINDOW[0] * _WINDOW[1] > _MIN_WINDOW) & (lost | (own > limit**2 + _UNSHARP * variance)))


def _noise_variance(noise: float) -> float:
    """Six times the variance that noise leaves in a smoothed picture."""
    return 6 * (0.42 * noise) ** 2


def _smooth(picture: Array) -> Array:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1))

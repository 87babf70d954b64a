"""Evidence of what belongs to one object: what moves as a part of it does.

A part of the object, the seed, is found again in frames before and after. When those are shifted along with it, what
belongs to the object stays in place: its picture, and its silhouette against the background. What moves otherwise does
not, and neither does the background. Limbs change their picture, but stay near the silhouette.
"""

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from vremove_cli.geometry import Array, Box, bounds
from vremove_cli.motion.warp import project, warp_back
from vremove_cli.tracking.base import ForegroundEvidence
from vremove_cli.tracking.flow.background_model import BackgroundModel, gradient, largest_channel

_FOLLOWED, _STEP = 20, 2  # frames before and after that a seed is followed, and every which of them is compared
_SEARCH, _MISMATCH = 8, 40.0  # pixels round the guess, and 8-bit levels of difference up to which a seed is found
_PULL = 0.3  # 8-bit levels for a pixel from the guess: in a flat area, the guess is right
_BLUR = 1.0  # pixels: deviation of the Gaussian under which pictures are compared
_LEAST, _MISALIGNMENT = 6.0, 0.75  # differences allowed: 8-bit levels, pixels of gradient
_MIN_SHIFT = 2.5  # pixels that the seed must move against the camera, for its motion to tell anything
_MIN_SEED_SHARE = 0.3  # of the seed that must differ from the background, for the rest of it to be left out
_WITH_SEED, _OTHERWISE = 0.7, 1.5  # evidence of moving with the seed, and of moving otherwise
_LIMB_SHARE = 0.6  # of the frames in which a limb's place is silhouette


def object_evidence(model: BackgroundModel, t: int, seed: Array) -> ForegroundEvidence:
    """Return the evidence of frame `t` for the object that a seed belongs to.

    Args:
        model: Background model of the shot.
        t: Frame.
        seed: Part (h, w) bool of the object, of any size.

    Returns:
        The frame's evidence; its `motion` is raised where pixels move as the seed does, and lowered where they move
        otherwise. The frame's own evidence if the seed does not move, or is not found in other frames.
    """
    evidence = model.evidence(t)
    height, width = evidence.motion.shape
    seed = cv2.resize(seed.astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA) > 0
    differs = seed & (evidence.motion > 0)
    if np.count_nonzero(differs) > _MIN_SEED_SHARE * np.count_nonzero(seed):
        seed = differs
    with_seed, otherwise = object_motion(model, t, seed)
    motion = np.clip(evidence.motion + _WITH_SEED * with_seed, -1.5, 1.5) - _OTHERWISE * otherwise
    return replace(evidence, motion=motion.astype(np.float32))


def object_motion(model: BackgroundModel, t: int, seed: Array) -> tuple[Array, Array]:
    """Compare the motion of each pixel of frame `t` with a seed's.

    Args:
        model: Background model of the shot.
        t: Frame.
        seed: Part (h, w) bool of the object.

    Returns:
        Two arrays (h, w) float32, 0 everywhere if the seed is not found again or does not move: what moves with the
        seed and not with the camera, 1, to what moves with the camera and not with the seed, -1; and what moves
        otherwise than both, 0 to 1.
    """
    with_seed, with_camera = [], []
    silhouette, known = np.zeros(seed.shape, np.float32), np.zeros(seed.shape, np.float32)
    own, size = _blurred(model.rgb[t]), seed.shape[::-1]
    for s, shift, moved in _follow(model, t, seed):
        if moved < _MIN_SHIFT:
            continue
        back, other = np.array([[1, 0, -shift[0]], [0, 1, -shift[1]]], np.float32), _blurred(model.rgb[s])
        shifted = cv2.warpAffine(other, back, size, borderMode=cv2.BORDER_REPLICATE)
        with_seed.append(largest_channel(cv2.absdiff(own, shifted)))
        fixed = warp_back(other, model.path.motion(t, s), *size)
        with_camera.append(largest_channel(cv2.absdiff(own, fixed)))
        if (s - t) % (2 * _STEP) == 0:
            evidence = model.evidence(s)
            silhouette += cv2.warpAffine((evidence.motion > 0).astype(np.float32), back, size)
            seen = (evidence.motion != 0) | (evidence.illumination > 0)
            known += cv2.warpAffine(seen.astype(np.float32), back, size)
    if not with_seed:
        return np.zeros(seed.shape, np.float32), np.zeros(seed.shape, np.float32)
    allowed = _LEAST + _MISALIGNMENT * gradient(own)
    like_seed, like_camera = (
        np.clip(1.5 - np.median(np.stack(change), axis=0) / allowed, -1, 1) for change in (with_seed, with_camera)
    )
    limb = (silhouette > _LIMB_SHARE * known) & (known > 0.5)
    otherwise = np.where(limb, 0, np.maximum(-like_seed, 0) * np.maximum(-like_camera, 0))
    return ((like_seed - like_camera) / 2).astype(np.float32), otherwise.astype(np.float32)


def _blurred(rgb: Array) -> Array:
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), _BLUR))


def _follow(model: BackgroundModel, t: int, seed: Array) -> Iterator[tuple[int, tuple[int, int], float]]:
    """Yield frames around `t`, how far the seed (h, w) bool has moved there, (x, y) in pixels, and against the camera.

    The seed's picture is matched around the place where the camera's motion and its own carry it.
    """
    box = bounds(seed)
    if box.empty:
        return
    template = model.rgb[t][box.slices]
    mask = np.repeat(seed[box.slices].astype(np.uint8)[..., None], 3, axis=2)
    origin = np.array([box.x0, box.y0], np.float64)
    for step in (_STEP, -_STEP):
        place, speed = origin, np.zeros(2)
        for s in range(t + step, t + step * (_FOLLOWED // _STEP + 1), step):
            if s not in model.rgb or model.path.group[s] != model.path.group[t]:
                break
            carried = project(model.path.motion(s - step, s), place[None])[0]
            found = _match(model.rgb[s], template, mask, carried + speed)
            if found is None:
                break
            place, speed = found, 0.5 * speed + 0.5 * (found - carried)
            against = float(np.linalg.norm(place - project(model.path.motion(t, s), origin[None])[0]))
            yield s, (int(place[0]) - box.x0, int(place[1]) - box.y0), against


def _match(rgb: Array, template: Array, mask: Array, guess: Array) -> Array | None:
    """Return where (x, y) a masked template (h, w, 3) is in a frame, near a guess; None if nowhere."""
    height, width = template.shape[:2]
    x, y = np.rint(guess).astype(int)
    area = Box(x - _SEARCH, y - _SEARCH, x + width + _SEARCH, y + height + _SEARCH).clip(rgb.shape[1], rgb.shape[0])
    if area.width < width or area.height < height:
        return None
    error = cv2.matchTemplate(rgb[area.slices], template, cv2.TM_SQDIFF, mask=mask)
    column, row = np.meshgrid(np.arange(error.shape[1]) + area.x0 - x, np.arange(error.shape[0]) + area.y0 - y)
    error += (_PULL**2 * np.count_nonzero(mask)) * (column**2 + row**2)
    least, _, (dx, dy), _ = cv2.minMaxLoc(error)
    if max(float(least), 0.0) > _MISMATCH**2 * np.count_nonzero(mask):
        return None
    return np.array([area.x0 + dx, area.y0 + dy], np.float64)

"""Bring a clean picture of a frame, painted or shot by the user, onto the frame it is for."""

import cv2
import numpy as np

from vremove_cli.compose import paint
from vremove_cli.geometry import Array, Box, Placed
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.read import Clip, Frame
from vremove_cli.motion.camera import estimate_camera_motion
from vremove_cli.motion.flow import MARGIN, hole_flow
from vremove_cli.motion.warp import grid, sample


def clean_planes(picture: Clip, clip: Clip, frame: Frame, mask: Placed) -> tuple[Array, ...]:
    """Take a frame's masked pixels from a clean picture.

    The picture is scaled to the clip's size, aligned to the frame by the pixels outside the mask (homography, then
    optical flow, continued into the hole), and its brightness is matched.

    Args:
        picture: The clean picture, a clip of one frame.
        clip: The clip that is erased from.
        frame: The clip's frame.
        mask: The frame's erase mask, 0 or 255.

    Returns:
        The components of the whole frame, with the pixels inside the mask replaced.
    """
    info = clip.info
    rgb = _load_at_stored_size(picture, info)
    chroma_step = 1 << max(info.layout.sub_x, info.layout.sub_y)
    box = mask.box.grow(MARGIN).align(chroma_step).clip(info.width, info.height)
    hidden = mask.full(info.width, info.height)
    aligned = _align(rgb, frame.rgb8(), hidden, box)
    known = hidden[box.slices] == 0
    if known.any():
        aligned = aligned + np.median((frame.rgb(box) - aligned)[known], axis=0)
    aligned = np.clip(aligned, 0, 1).astype(np.float32)
    painted = paint(frame.crop(box), info.layout, info.colour, info.height, aligned, ~known)
    planes = tuple(np.array(plane) for plane in frame.planes())
    for plane, component, values in zip(planes, info.layout.components, painted, strict=True):
        plane[box.scale(component.sub_x, component.sub_y).slices] = values
    return planes


def _load_at_stored_size(picture: Clip, info: ClipInfo) -> Array:
    """The picture (H, W, 3) float32 in [0, 1], at the clip's stored size and orientation."""
    (frame,) = picture.frames(0, 1)
    stored = frame.rgb(Box(0, 0, picture.info.width, picture.info.height))
    shown = np.ascontiguousarray(picture.info.orientation.display(stored))
    if shown.shape[1::-1] != info.shown_size:
        shown = cv2.resize(shown, info.shown_size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(info.orientation.store(shown))


def _align(rgb: Array, target: Array, hidden: Array, box: Box) -> Array:
    """Align a picture to a frame.

    Args:
        rgb: The picture (H, W, 3) float32 in [0, 1].
        target: The frame (H, W, 3) uint8.
        hidden: (H, W) uint8, above 0 where the frame hides the background.
        box: The pixels to return.

    Returns:
        The picture's part in `box` as seen from the frame, (h, w, 3) float32.
    """
    picture8 = np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)
    gray, picture_gray = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (target, picture8))
    nothing_hidden = np.zeros_like(hidden)
    camera = estimate_camera_motion(gray, picture_gray, hidden, nothing_hidden)
    flow = hole_flow(gray, picture_gray, hidden, nothing_hidden, camera.homography)
    points = (grid(box.width, box.height) + np.array([box.x0, box.y0], np.float32)).reshape(-1, 2)
    aligned = sample(np.ascontiguousarray(rgb, np.float32), flow.map_points(points), cubic=True)
    return aligned.reshape(box.height, box.width, 3)

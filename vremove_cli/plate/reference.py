"""A clean picture of a frame, painted or shot by the user, brought onto the frame it is for."""

import cv2
import numpy as np

from vremove_cli.compose import paint
from vremove_cli.geometry import Array, Box, Placed
from vremove_cli.media.read import Clip, Frame
from vremove_cli.motion.camera import best_step
from vremove_cli.motion.flow import MARGIN, hole_flow
from vremove_cli.motion.warp import grid, sample


def clean_planes(picture: Clip, clip: Clip, frame: Frame, mask: Placed) -> tuple[Array, ...]:
    """The components of a whole frame with its mask's pixels taken from a picture of one frame.

    The picture is scaled to the clip's size, aligned to the frame by what both show outside the mask (homography, then
    optical flow, continued into the hole), and made as bright.
    """
    info = clip.info
    (shot,) = picture.frames(0, 1)
    whole = shot.rgb(Box(0, 0, picture.info.width, picture.info.height))
    shown = np.ascontiguousarray(picture.info.orientation.display(whole))
    if shown.shape[1::-1] != info.shown_size:
        shown = cv2.resize(shown, info.shown_size, interpolation=cv2.INTER_AREA)
    rgb = np.ascontiguousarray(info.orientation.store(shown))
    here, busy = frame.rgb8(), mask.full(info.width, info.height)
    other = np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)
    gray, other_gray = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (here, other))
    step = best_step(gray, other_gray, busy, np.zeros_like(busy))
    flow = hole_flow(gray, other_gray, busy, np.zeros_like(busy), step.matrix)
    align = 1 << max(info.layout.sub_x, info.layout.sub_y)
    box = mask.box.grow(MARGIN).align(align).clip(info.width, info.height)
    at = (grid(box.width, box.height) + np.array([box.x0, box.y0], np.float32)).reshape(-1, 2)
    moved = sample(np.ascontiguousarray(rgb, np.float32), flow.follow(at), cubic=True)
    moved = moved.reshape(box.height, box.width, 3)
    free = busy[box.slices] == 0
    if free.any():
        moved = moved + np.median((frame.rgb(box) - moved)[free], axis=0)
    planes = tuple(np.array(p) for p in frame.planes())
    crop = frame.crop(box)
    painted = paint(crop, info.layout, info.colour, info.height, np.clip(moved, 0, 1).astype(np.float32), ~free)
    for plane, part, values in zip(planes, info.layout.components, painted, strict=True):
        plane[box.scale(part.sub_x, part.sub_y).slices] = values
    return planes

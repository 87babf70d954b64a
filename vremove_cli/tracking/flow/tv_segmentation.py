"""Two-label segmentation as a convex problem: label cost plus edge-weighted total variation.

Solver: the first-order primal-dual scheme of Chambolle and Pock, "A First-Order Primal-Dual Algorithm for Convex
Problems with Applications to Imaging", 2011, algorithm 1, on the anisotropic total variation.
"""

import cv2
import numpy as np

from vremove_cli.geometry import Array

# Step size of both variables (tau and sigma of the paper): converges when 8 tau sigma <= 1, that is up to 0.353.
_STEP_SIZE = 0.35


def edge_weights(lab: Array) -> tuple[Array, Array]:
    """Return what a label boundary costs between neighbouring pixels.

    Args:
        lab: Lab picture (H, W, 3) float32.

    Returns:
        Weights (H, W) float32 between each pixel and its right neighbour, and its lower neighbour: near 1 in flat
        areas, near 0.05 across colour edges.
    """
    out = []
    for axis in (1, 0):
        squared = np.zeros(lab.shape[:2], np.float32)
        difference = (np.diff(lab, axis=axis) ** 2).sum(axis=2)
        if axis == 1:
            squared[:, :-1] = difference
        else:
            squared[:-1] = difference
        out.append(0.05 + 0.95 * np.exp(-squared / (2 * max(float(difference.mean()), 1e-3))))
    return out[0].astype(np.float32), out[1].astype(np.float32)


def solve_segmentation(
    cost: Array, weights: tuple[Array, Array], smoothness: float, iterations: int, initial: Array
) -> Array:
    """Minimise sum(cost u) + smoothness sum(weight |grad u|) over soft labels u.

    Args:
        cost: Cost (H, W) of the object label, negative where a pixel looks like the object.
        weights: Boundary weights (H, W) to the right and lower neighbour, see `edge_weights`.
        smoothness: Cost of a boundary of one pixel where the weight is 1.
        iterations: Number of primal-dual iterations.
        initial: Labels (H, W) to start from.

    Returns:
        Labels u (H, W) float32 in [0, 1].
    """
    limit_x, limit_y = smoothness * weights[0], smoothness * weights[1]
    u = initial.astype(np.float32)
    extrapolated, new = u.copy(), np.empty_like(u)
    dual_x, dual_y, step = np.zeros_like(u), np.zeros_like(u), np.empty_like(u)
    low_x, low_y = -limit_x, -limit_y
    scaled_cost = np.float32(_STEP_SIZE) * cost.astype(np.float32)
    for _ in range(iterations):
        np.subtract(extrapolated[:, 1:], extrapolated[:, :-1], out=step[:, :-1])
        cv2.scaleAdd(step[:, :-1], _STEP_SIZE, dual_x[:, :-1], dst=dual_x[:, :-1])
        np.subtract(extrapolated[1:], extrapolated[:-1], out=step[:-1])
        cv2.scaleAdd(step[:-1], _STEP_SIZE, dual_y[:-1], dst=dual_y[:-1])
        cv2.min(cv2.max(dual_x, low_x, dst=dual_x), limit_x, dst=dual_x)
        cv2.min(cv2.max(dual_y, low_y, dst=dual_y), limit_y, dst=dual_y)
        divergence = np.add(dual_x, dual_y, out=step)
        divergence[:, 1:] -= dual_x[:, :-1]
        divergence[1:] -= dual_y[:-1]
        cv2.scaleAdd(divergence, _STEP_SIZE, u, dst=new)
        new -= scaled_cost
        cv2.min(cv2.max(new, 0, dst=new), 1, dst=new)
        np.subtract(new, u, out=extrapolated)
        extrapolated += new
        u, new = new, u
    return u


def on_mask_side(soft: Array, mask: Array) -> Array:
    """Return a soft mask (H, W) float32 whose values are above 0.5 in the mask (H, W) bool and below outside."""
    return np.where(mask, np.maximum(soft, 0.51), np.minimum(soft, 0.49)).astype(np.float32)

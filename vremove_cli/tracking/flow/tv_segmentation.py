"""Two-label segmentation as a convex problem: label cost plus edge-weighted total variation.

Solver: the first-order primal-dual scheme of Chambolle and Pock, "A First-Order Primal-Dual Algorithm for Convex
Problems with Applications to Imaging", 2011, algorithm 1, on the anisotropic total variation.
"""

import numpy as np

from vremove_cli.geometry import Array

# Step size of both variables (tau and sigma of the paper): converges when 8 tau sigma <= 1, that is up to 0.353.
_STEP_SIZE = np.float32(0.35)


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
    extrapolated = u
    dual_x, dual_y = np.zeros_like(u), np.zeros_like(u)
    scaled_cost = _STEP_SIZE * cost.astype(np.float32)
    for _ in range(iterations):
        dual_x[:, :-1] += _STEP_SIZE * (extrapolated[:, 1:] - extrapolated[:, :-1])
        dual_y[:-1] += _STEP_SIZE * (extrapolated[1:] - extrapolated[:-1])
        np.clip(dual_x, -limit_x, limit_x, out=dual_x)
        np.clip(dual_y, -limit_y, limit_y, out=dual_y)
        divergence = dual_x + dual_y
        divergence[:, 1:] -= dual_x[:, :-1]
        divergence[1:] -= dual_y[:-1]
        new = np.clip(u + _STEP_SIZE * divergence - scaled_cost, 0, 1)
        extrapolated = 2 * new - u
        u = new
    return u


def on_mask_side(soft: Array, mask: Array) -> Array:
    """Return a soft mask (H, W) float32 whose values are above 0.5 in the mask (H, W) bool and below outside."""
    return np.where(mask, np.maximum(soft, 0.51), np.minimum(soft, 0.49)).astype(np.float32)

"""Segmentation as a convex problem: label cost plus edge-aware boundary length, solved for a soft label."""

import numpy as np

from vremove_cli.geometry import Array

_STEP = np.float32(0.35)


def edge_weights(lab: Array) -> tuple[Array, Array]:
    """How little a boundary costs between a pixel and its right and lower neighbour, (H, W) in [0.05, 1].

    Near 1 in flat areas, near 0.05 across colour edges of a Lab picture (H, W, 3) float32.
    """
    out = []
    for axis in (1, 0):
        step = np.zeros(lab.shape[:2], np.float32)
        difference = (np.diff(lab, axis=axis) ** 2).sum(axis=2)
        if axis == 1:
            step[:, :-1] = difference
        else:
            step[:-1] = difference
        out.append(0.05 + 0.95 * np.exp(-step / (2 * max(float(difference.mean()), 1e-3))))
    return out[0].astype(np.float32), out[1].astype(np.float32)


def solve_segmentation(cost: Array, weights: tuple[Array, Array], smooth: float, rounds: int, start: Array) -> Array:
    """Soft labels u (H, W) in [0, 1] that minimise sum(cost u) + smooth sum(weight |grad u|).

    `cost` (H, W) is negative where a pixel looks like the object. First-order primal-dual scheme (Chambolle and Pock,
    2011, algorithm 1) on the anisotropic total variation; `start` is a first guess.
    """
    limit_x, limit_y = smooth * weights[0], smooth * weights[1]
    u = start.astype(np.float32)
    ahead = u
    flow_x, flow_y = np.zeros_like(u), np.zeros_like(u)
    pull = _STEP * cost.astype(np.float32)
    for _ in range(rounds):
        flow_x[:, :-1] += _STEP * (ahead[:, 1:] - ahead[:, :-1])
        flow_y[:-1] += _STEP * (ahead[1:] - ahead[:-1])
        np.clip(flow_x, -limit_x, limit_x, out=flow_x)
        np.clip(flow_y, -limit_y, limit_y, out=flow_y)
        spread = flow_x + flow_y
        spread[:, 1:] -= flow_x[:, :-1]
        spread[1:] -= flow_y[:-1]
        new = np.clip(u + _STEP * spread - pull, 0, 1)
        ahead = 2 * new - u
        u = new
    return u

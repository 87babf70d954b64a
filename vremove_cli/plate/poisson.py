"""Solve a weighted Poisson equation on the pixels of a hole.

Perez et al., "Poisson image editing", 2003, generalised by edge weights and by an anchor to given values. The solver is
conjugate gradients, preconditioned by one multigrid V-cycle on 2x2 aggregates (Galerkin operators).
"""

from dataclasses import dataclass

import numpy as np

from vremove_cli.geometry import Array

_DAMPING = np.float32(0.8)  # of the Jacobi smoother
# Piecewise constant interpolation makes coarse corrections too timid; this factor makes up for it
# (Braess, "Towards algebraic multigrid for elliptic problems of second order", 1995, uses 1.8).
_OVERCORRECTION = np.float32(1.8)
_COARSEST_SIDE = 6  # pixels of the shorter side at which no coarser grid is made
_COARSEST_SWEEPS = 12  # Jacobi sweeps on the coarsest grid


@dataclass(frozen=True)
class _Level:
    """One grid of the linear system A u = r; all arrays (H, W) float32, zero where a pixel is fixed.

    Attributes:
        diagonal: Diagonal of A.
        inverse: Its inverse, zero where the diagonal is.
        right: Coupling of each pixel to its right neighbour.
        down: Coupling of each pixel to the neighbour below.
    """

    diagonal: Array
    inverse: Array
    right: Array
    down: Array

    @classmethod
    def of(cls, diagonal: Array, right: Array, down: Array) -> "_Level":
        inverse = np.divide(1, diagonal, out=np.zeros_like(diagonal), where=diagonal > 1e-8)
        return cls(diagonal, inverse, right, down)

    def apply(self, u: Array) -> Array:
        """A u, for u (C, H, W)."""
        out = self.diagonal * u
        out[:, :, :-1] -= self.right[:, :-1] * u[:, :, 1:]
        out[:, :, 1:] -= self.right[:, :-1] * u[:, :, :-1]
        out[:, :-1] -= self.down[:-1] * u[:, 1:]
        out[:, 1:] -= self.down[:-1] * u[:, :-1]
        return out


def solve_poisson(
    start: Array,
    unknown: Array,
    grad_x: Array,
    grad_y: Array,
    weight_x: Array,
    weight_y: Array,
    anchor: Array,
    *,
    tolerance: float = 2e-3,
    sweeps: int = 25,
) -> Array:
    """Fill unknown pixels with the values whose gradients come closest to given ones.

    Minimises the sum of w (f(x + e) - f(x) - g)^2 over all edges e that touch an unknown pixel, plus the sum of
    anchor (f - start)^2 over the unknown pixels.

    Args:
        start: (C, H, W) float32, the fixed values, and the first guess for the unknown ones.
        unknown: (H, W) bool.
        grad_x: (C, H, W), gradient g of the edge from each pixel to its right neighbour; the last column is unused.
        grad_y: (C, H, W), gradient of the edge to the pixel below; the last row is unused.
        weight_x: (H, W), weight w of the edge to the right.
        weight_y: (H, W), weight of the edge downward.
        anchor: (H, W), weight of the start values.
        tolerance: Stop when each channel's residual has fallen to this share of the first one.
        sweeps: Largest number of conjugate gradient iterations.

    Returns:
        (C, H, W) float32, equal to `start` outside `unknown`.
    """
    touching_x, touching_y = _edges_touching(unknown)
    weight_x = np.where(touching_x, weight_x, 0).astype(np.float32)
    weight_y = np.where(touching_y, weight_y, 0).astype(np.float32)
    levels = [_finest_level(unknown, weight_x, weight_y, anchor)]
    while min(levels[-1].diagonal.shape) > _COARSEST_SIDE:
        levels.append(_coarser_level(levels[-1]))
    out = start.astype(np.float32)
    residual = _divergence(out, grad_x, grad_y, weight_x, weight_y) * unknown
    return out + _conjugate_gradients(levels, residual, tolerance, sweeps)


def _edges_touching(unknown: Array) -> tuple[Array, Array]:
    """Edges to the right and downward with at least one unknown end."""
    x, y = np.zeros_like(unknown), np.zeros_like(unknown)
    x[:, :-1] = unknown[:, :-1] | unknown[:, 1:]
    y[:-1] = unknown[:-1] | unknown[1:]
    return x, y


def _finest_level(unknown: Array, weight_x: Array, weight_y: Array, anchor: Array) -> _Level:
    diagonal = weight_x + weight_y + anchor
    diagonal[:, 1:] += weight_x[:, :-1]
    diagonal[1:] += weight_y[:-1]
    diagonal = np.where(unknown, diagonal, 0).astype(np.float32)
    right, down = weight_x.copy(), weight_y.copy()
    right[:, :-1] *= unknown[:, :-1] & unknown[:, 1:]
    down[:-1] *= unknown[:-1] & unknown[1:]
    return _Level.of(diagonal, right, down)


def _coarser_level(level: _Level) -> _Level:
    """The Galerkin operator of 2x2 aggregates: couplings between blocks add up, those inside a block vanish."""
    right, down = _pad_to_even(level.right), _pad_to_even(level.down)
    inside = right[::2, ::2] + right[1::2, ::2] + down[::2, ::2] + down[::2, 1::2]
    across = right[::2, 1::2] + right[1::2, 1::2]
    below = down[1::2, ::2] + down[1::2, 1::2]
    return _Level.of(_block_sums(level.diagonal) - 2 * inside, across, below)


def _pad_to_even(a: Array) -> Array:
    """Pad the last two axes with zeros to even lengths."""
    pad = [(0, 0)] * (a.ndim - 2) + [(0, a.shape[-2] % 2), (0, a.shape[-1] % 2)]
    return np.pad(a, pad) if pad[-1][1] or pad[-2][1] else a


def _block_sums(a: Array) -> Array:
    """Sums over 2x2 blocks of the last two axes."""
    a = _pad_to_even(a)
    return a[..., ::2, ::2] + a[..., 1::2, ::2] + a[..., ::2, 1::2] + a[..., 1::2, 1::2]


def _divergence(f: Array, grad_x: Array, grad_y: Array, weight_x: Array, weight_y: Array) -> Array:
    """The equation's residual at f: div w (grad f - g), (C, H, W)."""
    flux_x = np.zeros_like(f)
    flux_y = np.zeros_like(f)
    flux_x[:, :, :-1] = weight_x[:, :-1] * (f[:, :, 1:] - f[:, :, :-1] - grad_x[:, :, :-1])
    flux_y[:, :-1] = weight_y[:-1] * (f[:, 1:] - f[:, :-1] - grad_y[:, :-1])
    out = flux_x + flux_y
    out[:, :, 1:] -= flux_x[:, :, :-1]
    out[:, 1:] -= flux_y[:, :-1]
    return out


def _v_cycle(levels: list[_Level], residual: Array) -> Array:
    """One V-cycle from zero, with a damped Jacobi step before and after the coarse correction."""
    level = levels[0]
    u = _DAMPING * level.inverse * residual
    if len(levels) == 1:
        for _ in range(_COARSEST_SWEEPS):
            u += _DAMPING * level.inverse * (residual - level.apply(u))
        return u
    coarse = _v_cycle(levels[1:], _block_sums(residual - level.apply(u)))
    height, width = residual.shape[-2:]
    correction = coarse.repeat(2, axis=-2).repeat(2, axis=-1)[..., :height, :width]
    u += _OVERCORRECTION * correction * (level.inverse > 0)
    u += _DAMPING * level.inverse * (residual - level.apply(u))
    return u


def _conjugate_gradients(levels: list[_Level], residual: Array, tolerance: float, sweeps: int) -> Array:
    """Solve A u = residual (C, H, W) with the V-cycle as preconditioner; the channels share the loop only."""
    u = np.zeros_like(residual)
    initial_norm = np.sqrt(_dot(residual, residual))
    if not initial_norm.max() > 0:
        return u
    z = _v_cycle(levels, residual)
    direction, rz = z.copy(), _dot(residual, z)
    for _ in range(sweeps):
        image = levels[0].apply(direction)
        curvature = _dot(direction, image)
        alpha = np.divide(rz, curvature, out=np.zeros_like(rz), where=curvature > 0)
        u += alpha[:, None, None] * direction
        residual = residual - alpha[:, None, None] * image
        if (np.sqrt(_dot(residual, residual)) <= tolerance * initial_norm).all():
            break
        z = _v_cycle(levels, residual)
        next_rz = _dot(residual, z)
        beta = np.divide(next_rz, rz, out=np.zeros_like(next_rz), where=rz > 0)
        direction = z + beta[:, None, None] * direction
        rz = next_rz
    return u


def _dot(a: Array, b: Array) -> Array:
    """Inner product (C,) of each channel."""
    return np.einsum("cij,cij->c", a, b, dtype=np.float32)

"""Weighted Poisson equation on the pixels of a hole, by conjugate gradients with a multigrid preconditioner."""

from dataclasses import dataclass

import numpy as np

from vremove_cli.geometry import Array

_DAMPING = np.float32(0.8)
# Piecewise constant interpolation makes coarse corrections too timid; this factor makes up for it
# (Braess, "Towards algebraic multigrid for elliptic problems of second order", 1995, uses 1.8).
_BOOST = np.float32(1.8)
_COARSEST = 6


@dataclass(frozen=True)
class _Level:
    """One grid: diagonal and couplings to the right and downward neighbour, zero where a pixel is fixed."""

    diagonal: Array
    inverse: Array
    right: Array
    down: Array

    def apply(self, u: Array) -> Array:
        out = self.diagonal * u
        out[:, :, :-1] -= self.right[:, :-1] * u[:, :, 1:]
        out[:, :, 1:] -= self.right[:, :-1] * u[:, :, :-1]
        out[:, :-1] -= self.down[:-1] * u[:, 1:]
        out[:, 1:] -= self.down[:-1] * u[:, :-1]
        return out


def solve_poisson(
    start: Array, unknown: Array, grad_x: Array, grad_y: Array, weight_x: Array, weight_y: Array,
    anchor: Array, *, tolerance: float = 2e-3, sweeps: int = 25,
) -> Array:  # fmt: skip
    """Values (C, H, W) float32 that equal `start` outside `unknown` (H, W) bool and inside follow given gradients.

    Minimises sum w (f(x + e) - f(x) - g)^2 over all edges that touch an unknown pixel. `grad_x` (C, H, W) and
    `weight_x` (H, W) belong to the edge from a pixel to its right neighbour (the last column is unused), `grad_y` and
    `weight_y` to the one below. `anchor` (H, W) adds w (f - start)^2 inside. `start` is also the first guess. Stops
    when the residual has fallen to `tolerance` of the first, or after `sweeps` iterations.
    """
    touch_x, touch_y = _touching(unknown)
    weight_x = np.where(touch_x, weight_x, 0).astype(np.float32)
    weight_y = np.where(touch_y, weight_y, 0).astype(np.float32)
    levels = [_finest(unknown, weight_x, weight_y, anchor)]
    while min(levels[-1].diagonal.shape) > _COARSEST:
        levels.append(_coarser(levels[-1]))
    out = start.astype(np.float32)
    residual = _divergence(out, grad_x, grad_y, weight_x, weight_y) * unknown
    return out + _conjugate_gradients(levels, residual, tolerance, sweeps)


def _touching(unknown: Array) -> tuple[Array, Array]:
    """Edges to the right and downward with at least one unknown end."""
    x, y = np.zeros_like(unknown), np.zeros_like(unknown)
    x[:, :-1] = unknown[:, :-1] | unknown[:, 1:]
    y[:-1] = unknown[:-1] | unknown[1:]
    return x, y


def _finest(unknown: Array, weight_x: Array, weight_y: Array, anchor: Array) -> _Level:
    diagonal = weight_x + weight_y + anchor
    diagonal[:, 1:] += weight_x[:, :-1]
    diagonal[1:] += weight_y[:-1]
    diagonal = np.where(unknown, diagonal, 0).astype(np.float32)
    right, down = weight_x.copy(), weight_y.copy()
    right[:, :-1] *= unknown[:, :-1] & unknown[:, 1:]
    down[:-1] *= unknown[:-1] & unknown[1:]
    return _level(diagonal, right, down)


def _level(diagonal: Array, right: Array, down: Array) -> _Level:
    inverse = np.divide(1, diagonal, out=np.zeros_like(diagonal), where=diagonal > 1e-8)
    return _Level(diagonal, inverse, right, down)


def _even(a: Array) -> Array:
    """Padded with zeros to even height and width."""
    pad = [(0, 0)] * (a.ndim - 2) + [(0, a.shape[-2] % 2), (0, a.shape[-1] % 2)]
    return np.pad(a, pad) if pad[-1][1] or pad[-2][1] else a


def _blocks(a: Array) -> Array:
    """Sums over 2x2 blocks of the last two axes."""
    a = _even(a)
    return a[..., ::2, ::2] + a[..., 1::2, ::2] + a[..., ::2, 1::2] + a[..., 1::2, 1::2]


def _coarser(level: _Level) -> _Level:
    """The Galerkin operator of 2x2 aggregates: couplings between blocks add up, those inside fall out."""
    right, down = _even(level.right), _even(level.down)
    inside = right[::2, ::2] + right[1::2, ::2] + down[::2, ::2] + down[::2, 1::2]
    across = right[::2, 1::2] + right[1::2, 1::2]
    below = down[1::2, ::2] + down[1::2, 1::2]
    return _level(_blocks(level.diagonal) - 2 * inside, across, below)


def _divergence(f: Array, grad_x: Array, grad_y: Array, weight_x: Array, weight_y: Array) -> Array:
    """What the equation still lacks at every pixel."""
    flux_x = np.zeros_like(f)
    flux_y = np.zeros_like(f)
    flux_x[:, :, :-1] = weight_x[:, :-1] * (f[:, :, 1:] - f[:, :, :-1] - grad_x[:, :, :-1])
    flux_y[:, :-1] = weight_y[:-1] * (f[:, 1:] - f[:, :-1] - grad_y[:, :-1])
    out = flux_x + flux_y
    out[:, :, 1:] -= flux_x[:, :, :-1]
    out[:, 1:] -= flux_y[:, :-1]
    return out


def _cycle(levels: list[_Level], residual: Array) -> Array:
    """One V-cycle from zero with a damped Jacobi step before and after."""
    level = levels[0]
    u = _DAMPING * level.inverse * residual
    if len(levels) == 1:
        for _ in range(12):
            u += _DAMPING * level.inverse * (residual - level.apply(u))
        return u
    coarse = _cycle(levels[1:], _blocks(residual - level.apply(u)))
    height, width = residual.shape[-2:]
    u += _BOOST * coarse.repeat(2, axis=-2).repeat(2, axis=-1)[..., :height, :width] * (level.inverse > 0)
    u += _DAMPING * level.inverse * (residual - level.apply(u))
    return u


def _conjugate_gradients(levels: list[_Level], residual: Array, tolerance: float, sweeps: int) -> Array:
    """Solve for each channel on its own; all channels share the loop."""
    u = np.zeros_like(residual)
    first = np.sqrt(_dot(residual, residual))
    if not first.max() > 0:
        return u
    z = _cycle(levels, residual)
    direction, power = z.copy(), _dot(residual, z)
    for _ in range(sweeps):
        image = levels[0].apply(direction)
        along = _dot(direction, image)
        rate = np.divide(power, along, out=np.zeros_like(power), where=along > 0)
        u += rate[:, None, None] * direction
        residual = residual - rate[:, None, None] * image
        if (np.sqrt(_dot(residual, residual)) <= tolerance * first).all():
            break
        z = _cycle(levels, residual)
        new = _dot(residual, z)
        direction = z + np.divide(new, power, out=np.zeros_like(new), where=power > 0)[:, None, None] * direction
        power = new
    return u


def _dot(a: Array, b: Array) -> Array:
    return np.einsum("cij,cij->c", a, b, dtype=np.float32)

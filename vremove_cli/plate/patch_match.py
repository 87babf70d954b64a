"""Find, for every patch of a hole, the patch of the picture round it that is most like it.

PatchMatch (Barnes et al., "PatchMatch: A Randomized Correspondence Algorithm", 2009): each patch tries the partners of
its neighbours, moved along, and random places round its own partner. All patches are tried at once, and neighbours are
taken at several distances (jump flooding), so that the work is done by NumPy.

Patches are compared by their principal components, which a few convolutions give for the whole picture. Positions are
indices into the flattened picture. A patch is named by its centre; `RADIUS` pixels reach to its border.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from vremove_cli.arrays import dilate_square
from vremove_cli.geometry import Array, Box

RADIUS = 3  # pixels; patches of 7x7
_SIDE = 2 * RADIUS + 1
_COMPONENTS = 20  # principal components that describe a patch
_SAMPLES = 2000  # patches from which the components are computed
_JUMPS = (8, 4, 2, 1)  # pixels between neighbours that exchange partners
_DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))


@dataclass(frozen=True)
class PatchField:
    """Patches that touch a hole, and their partners.

    Attributes:
        shape: (H, W) of the picture.
        targets: (N,) int, centres of the patches that touch the hole.
        slots: (H * W,) int, the place of each pixel in `targets`, -1 where it has none.
        sources: (N,) int, centres of the partners.
        costs: (N,) float32, distances of the patches to their partners; infinite where a partner is not allowed.
    """

    shape: tuple[int, int]
    targets: Array
    slots: Array
    sources: Array
    costs: Array


@dataclass(frozen=True)
class Descriptors:
    """Principal components of patches.

    Attributes:
        mean: (C,) float32, mean of the picture's channels.
        kernels: (K, 7, 7, C) float32.
        pull: Weight of a pixel of distance between a patch and its partner, in the unit of the channels.
    """

    mean: Array
    kernels: Array
    pull: float

    @classmethod
    def learn(cls, picture: Array, allowed: Array, pull: float) -> "Descriptors":
        """Compute the components from patches of a picture.

        Args:
            picture: (H, W, C) float32.
            allowed: (H * W,) bool, the centres to take.
            pull: Weight of distance, see `pull`.
        """
        width, channels = picture.shape[1:]
        centres = np.flatnonzero(allowed)
        centres = centres[:: max(1, len(centres) // _SAMPLES)]
        mean = picture.reshape(-1, channels)[centres].mean(axis=0)
        reach = np.arange(-RADIUS, RADIUS + 1)
        offsets = (reach[:, None] * width + reach).ravel()
        flat = (picture - mean).reshape(-1, channels)
        samples = flat[centres[:, None] + offsets].reshape(len(centres), -1)
        _, vectors = np.linalg.eigh(samples.T @ samples)
        kernels = vectors.T[::-1][:_COMPONENTS].reshape(-1, _SIDE, _SIDE, channels)
        return cls(mean, np.ascontiguousarray(kernels, np.float32), pull)

    def of(self, picture: Array, box: Box) -> Array:
        """Describe the patches of a part of a picture.

        Args:
            picture: (H, W, C) float32.
            box: The part, inside the picture. Patches that reach over it are mirrored at its border.

        Returns:
            (h, w, K + 2) float32; the last two are the position, in units of `pull`.
        """
        part = picture[box.slices]
        planes = [np.ascontiguousarray(part[..., c] - self.mean[c]) for c in range(part.shape[2])]
        out = np.empty((box.height, box.width, len(self.kernels) + 2), np.float32)
        for k, kernel in enumerate(self.kernels):
            out[..., k] = sum(
                cv2.filter2D(plane, cv2.CV_32F, np.ascontiguousarray(kernel[..., c])) for c, plane in enumerate(planes)
            )
        out[..., -2] = self.pull * np.arange(box.x0, box.x1)
        out[..., -1] = self.pull * np.arange(box.y0, box.y1)[:, None]
        return out


def allowed_sources(unknown: Array) -> Array:
    """Return the centres (H * W,) bool of patches inside the picture that touch no unknown pixel, (H, W) bool."""
    out = ~dilate_square(unknown, RADIUS)
    inside = np.zeros_like(out)
    inside[RADIUS:-RADIUS, RADIUS:-RADIUS] = True
    return np.asarray((out & inside).ravel())


def random_field(hole: Array, allowed: Array, rng: np.random.Generator) -> PatchField:
    """Give every patch that touches a hole (H, W) bool a random partner from `allowed` (H * W,) bool."""
    targets = np.flatnonzero(dilate_square(hole, RADIUS))
    slots = np.full(hole.size, -1)
    slots[targets] = np.arange(len(targets))
    sources = rng.choice(np.flatnonzero(allowed), len(targets))
    return PatchField(hole.shape, targets, slots, sources, np.full(len(targets), np.inf, np.float32))


def enlarge(coarse: PatchField, fresh: PatchField, allowed: Array) -> PatchField:
    """Carry partners from a level of half the size over to the next finer level.

    Args:
        coarse: The coarse level's field.
        fresh: A field of the finer level; its partners stay where the coarse ones are not allowed.
        allowed: (H * W,) bool, allowed centres of the finer level.

    Returns:
        The finer level's field.
    """
    (height, width), (coarse_height, coarse_width) = fresh.shape, coarse.shape
    y, x = np.divmod(fresh.targets, width)
    slot = coarse.slots[np.minimum(y // 2, coarse_height - 1) * coarse_width + np.minimum(x // 2, coarse_width - 1)]
    source_y, source_x = np.divmod(coarse.sources[slot], coarse_width)
    source_y, source_x = np.minimum(2 * source_y + y % 2, height - 1), np.minimum(2 * source_x + x % 2, width - 1)
    sources = source_y * width + source_x
    return replace(fresh, sources=np.where((slot >= 0) & allowed[sources], sources, fresh.sources))


def search(
    field: PatchField, wanted: Array, known: Array, allowed: Array, rng: np.random.Generator, radius: int
) -> PatchField:
    """Improve the partners of all patches.

    Args:
        field: The patches and their partners so far; their costs are computed anew.
        wanted: (N, K) float32, descriptors of the patches as they are now.
        known: (H * W, K) float32, descriptors of the known picture.
        allowed: (H * W,) bool, centres of allowed partners.
        rng: Source of the random trials.
        radius: Largest distance of the first random trials in pixels; it is halved down to 1.

    Returns:
        The field with better partners.
    """
    height, width = field.shape
    best = field.sources.copy()
    costs = _distance(wanted, known[best])

    def attempt(candidates: Array) -> None:
        candidates = np.clip(candidates, 0, height * width - 1)
        new = np.flatnonzero(allowed[candidates] & (candidates != best))
        distance = _distance(wanted[new], known[candidates[new]])
        better = distance < costs[new]
        chosen = new[better]
        best[chosen], costs[chosen] = candidates[chosen], distance[better]

    for jump in _JUMPS:
        for dy, dx in _DIRECTIONS:
            step = jump * (dy * width + dx)
            neighbours = field.slots[np.clip(field.targets + step, 0, height * width - 1)]
            attempt(np.where(neighbours >= 0, best[neighbours] - step, best))
    while radius >= 1:
        dy, dx = rng.integers(-radius, radius + 1, (2, len(best)))
        attempt(best + dy * width + dx)
        radius //= 2
    return replace(field, sources=best, costs=costs)


def _distance(a: Array, b: Array) -> Array:
    """Squared distances (N,) of descriptors (N, K)."""
    difference = a - b
    return np.asarray(np.einsum("nk,nk->n", difference, difference))

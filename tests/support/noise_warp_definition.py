"""The noise warp as its paper defines it, pixel by pixel."""

import numpy as np
import torch
from torch import Tensor

from vremove_cli.geometry import Array
from vremove_cli.motion.noise_warp import Canvas


def plainly(canvas: Canvas, flow: Tensor, fresh: Tensor) -> Canvas:  # noqa: C901  the definition, in its own order
    """The definition, pixel by pixel."""
    before, before_weight = canvas.noise.numpy(), canvas.weight.numpy()
    moves, drawings = flow.numpy(), fresh.numpy()
    channels, height, width = before.shape

    def landing(y: int, x: int, way: int) -> tuple[int, int]:
        return y + way * round(float(moves[1, y, x])), x + way * round(float(moves[0, y, x]))

    def inside(y: int, x: int) -> bool:
        return 0 <= y < height and 0 <= x < width

    blank = (np.zeros(channels), 1.0)
    came: dict[tuple[int, int], list[tuple[int, int]]] = {}
    candidates: dict[tuple[str, int, int], tuple[Array, float]] = {}
    for y in range(height):
        for x in range(width):
            to = landing(y, x, 1)
            here = (before[:, y, x], float(before_weight[y, x]))
            candidates["gather", y, x] = here if inside(*to) else blank
            came.setdefault(to if inside(*to) else (y, x), []).append((y, x))
    for y in range(height):
        for x in range(width):
            source = landing(y, x, -1)
            known = (y, x) not in came and inside(*source)
            found = (before[:, source[0], source[1]], float(before_weight[source])) if known else blank
            candidates["spread", y, x] = found
    groups: dict[float, list[tuple[str, int, int]]] = {}
    for key, (value, _) in candidates.items():
        groups.setdefault(float(value[0]), []).append(key)

    def drawn(key: tuple[str, int, int]) -> Array:
        side, y, x = key
        return drawings[:, y, x + (width if side == "spread" else 0)]

    noise, weight = np.zeros_like(before), np.zeros_like(before_weight)
    changed = {}
    for keys in groups.values():
        mean = np.mean([drawn(k) for k in keys], axis=0)
        for key in keys:
            value, w = candidates[key]
            changed[key] = (value / np.sqrt(len(keys)) + drawn(key) - mean, w / len(keys))
    for y in range(height):
        for x in range(width):
            if (y, x) in came:
                parts = [changed["gather", *source] for source in came[y, x]]
                weight[y, x] = sum(w for _, w in parts)
                noise[:, y, x] = sum(w * v for v, w in parts) / np.sqrt(sum(w * w for _, w in parts))
            else:
                noise[:, y, x], weight[y, x] = changed["spread", y, x]
    weight = ((weight / weight.mean() + 1e-5) ** 0.9999).astype(np.float32)
    return Canvas(torch.from_numpy(noise), torch.from_numpy(weight))

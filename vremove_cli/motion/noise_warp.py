"""Warp noise along optical flow so that every frame stays Gaussian, white and of unit variance.

Burgert et al., "Go-with-the-Flow: Motion-Controllable Video Diffusion Models Using Real-Time Warped Noise", 2025,
algorithm 1; a fast successor of Chang et al., "How I Warped Your Noise", 2024. Where the flow spreads, a pixel is
copied and its copies get fresh zero-mean noise; where it gathers, pixels are summed by their weights.

It runs in torch, on the device of the canvas. Noise is drawn by NumPy on the CPU, and sums run in a fixed order, so
that the device changes nothing but rounding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from vremove_cli import threads
from vremove_cli.geometry import Array

_MIN_WEIGHT = 1e-5  # keeps weights above 0
_WEIGHT_POWER = 0.9999  # pulls weights towards 1, so that old ones fade


@dataclass(frozen=True)
class Canvas:
    """The noise of one frame and the state that the next frame's depends on.

    Attributes:
        noise: Tensor (C, H, W) float32, standard normal.
        weight: Tensor (H, W) float32 on the same device, about one over the number of copies of each pixel.
    """

    noise: Any
    weight: Any


def warped_noise_frames(
    flows: Iterator[Array], channels: int, size: tuple[int, int], seed: int, device: str
) -> Iterator[Any]:
    """Yield white noise for the first frame, then the noise that each flow carries to the next frame.

    The next flow is computed and the next noise is drawn while a frame is warped.

    Args:
        flows: Flow (2, H, W) from each frame to the next: x and y displacement in pixels.
        channels: Number of noise channels C.
        size: (H, W) in pixels.
        seed: Seed of the noise.
        device: "cuda" or "cpu".

    Yields:
        Noise, a tensor (C, H, W) float32 on the device, one more than there are flows.
    """
    import torch

    rng = np.random.default_rng(seed)
    first = torch.from_numpy(rng.standard_normal((channels, *size), np.float32)).to(device)
    canvas = Canvas(first, torch.ones(size, device=device))
    yield canvas.noise
    steps = ((flow, rng.standard_normal((channels, size[0], 2 * size[1]), np.float32)) for flow in flows)
    for flow, fresh in threads.ahead(steps):
        canvas = warp_noise(canvas, *(torch.from_numpy(part).to(device) for part in (flow, fresh)))
        yield canvas.noise


def warp_noise(canvas: Canvas, flow: Any, fresh: Any) -> Canvas:
    """Carry a canvas to the next frame (algorithm 1).

    Each target pixel that source pixels reach takes their sum (gathering); each other one copies the pixel that the
    flow leads back to (spreading). Pixels beyond the frame count as zero noise of weight 1.

    Args:
        canvas: The current frame's noise (C, H, W) and weights.
        flow: Tensor (2, H, W), x and y displacement to the next frame in pixels.
        fresh: Tensor (C, H, 2W) float32, standard normal; the left half serves gathered pixels, the right half spread
            ones.

    Returns:
        The next frame's canvas.
    """
    import torch

    channels, height, width = canvas.noise.shape
    pixels = torch.arange(height * width, device=flow.device)
    targets, leaves = _gather_targets(flow)
    gathered = torch.bincount(targets, minlength=len(pixels)) > 0
    spread = torch.nonzero(~gathered)[:, 0]
    sources, outside = (part[spread] for part in _spread_sources(flow))
    # Candidates are what moves to a target: each pixel of the current frame, then a copy for each spread pixel.
    origins, blank = torch.cat([pixels, sources.where(~outside, 0)]), torch.nonzero(torch.cat([leaves, outside]))[:, 0]
    noise = canvas.noise.reshape(channels, -1).index_select(1, origins).index_fill_(1, blank, 0)
    weight = canvas.weight.reshape(-1).index_select(0, origins).index_fill_(0, blank, 1)
    left = pixels // width * (2 * width) + pixels % width  # the place of each pixel's noise in a flat `fresh`
    drawn = _Drawn(fresh.reshape(channels, -1), torch.cat([left, left[spread] + width]), left[gathered] + width)
    noise, copies = _decorrelate_copies(noise, drawn)
    noise, weight = _gather(noise, weight / copies, torch.cat([targets, spread]), len(pixels))
    weight = weight.double()  # in which no device differs in a mean or a power by enough to round to another float32
    weight = ((weight / weight.mean() + _MIN_WEIGHT) ** _WEIGHT_POWER).float()
    return Canvas(noise.reshape(canvas.noise.shape), weight.reshape(height, width))


def _gather_targets(flow: Any) -> tuple[Any, Any]:
    """Flat index (H * W,) of the pixel that each pixel moves to, itself if it leaves; and which leave, bool."""
    (x, y), size = _grid(flow), flow.shape[1:]
    target, leaves = _flat(x + flow[0].round().long(), y + flow[1].round().long(), size)
    return target.where(~leaves, _flat(x, y, size)[0]), leaves


def _spread_sources(flow: Any) -> tuple[Any, Any]:
    """Flat index (H * W,) of the pixel that the flow leads back to; and which lie beyond the frame, bool."""
    x, y = _grid(flow)
    back_x, back_y = ((at - part.double()).round().long() for at, part in zip((x, y), flow, strict=True))
    return _flat(back_x, back_y, flow.shape[1:])


def _grid(flow: Any) -> tuple[Any, Any]:
    """Columns and rows of the pixels, (H, W) int64 each."""
    import torch

    rows, columns = (torch.arange(side, device=flow.device) for side in flow.shape[1:])
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return x, y


def _flat(x: Any, y: Any, size: tuple[int, int]) -> tuple[Any, Any]:
    """Flat indices (H * W,) of positions (H, W) in a frame of (H, W) pixels; and which lie beyond it, bool."""
    height, width = size
    beyond = (x < 0) | (x >= width) | (y < 0) | (y >= height)
    return (y * width + x).reshape(-1), beyond.reshape(-1)


@dataclass(frozen=True)
class _Drawn:
    """Fresh noise of a step.

    Attributes:
        noise: Tensor (C, 2HW) float32.
        of_candidates: Column of each candidate's noise, (K,) int64.
        of_unused: Columns for the gathered pixels' right half, int64. They are no candidates, yet the algorithm counts
            them as copies of zero.
    """

    noise: Any
    of_candidates: Any
    of_unused: Any


def _decorrelate_copies(noise: Any, drawn: _Drawn) -> tuple[Any, Any]:
    """Make k copies of one value v independent: v / sqrt(k) + e_i - mean(e), e being fresh noise.

    Candidates with the same value in the first channel are copies of each other. A candidate without copies stays.

    Args:
        noise: Tensor (C, K) float32, changed in place.
        drawn: Fresh noise.

    Returns:
        The independent noise (C, K) float32, and the number of copies k of each candidate (K,) float32.
    """
    import torch

    bits = (noise[0] + 0.0).view(torch.int32)  # -0 becomes 0, and integers are sorted faster
    values, order = torch.sort(bits, stable=True)
    values, group, lengths = torch.unique_consecutive(values, return_inverse=True, return_counts=True)
    counts = lengths + (values == 0) * len(drawn.of_unused)
    copies = torch.empty_like(noise[0]).scatter_(0, order, counts[group].float())

    several = counts > 1
    members, lengths, counts = order[several[group]], lengths[several], counts[several]
    fresh = drawn.noise.index_select(1, drawn.of_candidates[members])
    total = _segment_sums(fresh, lengths)
    unused = drawn.noise.index_select(1, drawn.of_unused).sum(1, dtype=torch.float64)
    total += unused[:, None] * (values[several] == 0)
    mean = (total / counts).float().repeat_interleave(lengths, 1, output_size=len(members))
    kept = noise.index_select(1, members).div_(copies[members].sqrt())
    return noise.index_copy_(1, members, kept.add_(fresh.sub_(mean))), copies


def _gather(noise: Any, weight: Any, targets: Any, pixels: int) -> tuple[Any, Any]:
    """Sum candidates at their targets: noise sum(w v) / sqrt(sum(w^2)), weight sum(w).

    Args:
        noise: Tensor (C, K) float32.
        weight: Tensor (K,) float32, above 0.
        targets: Flat index of each candidate's target, (K,) int64; each pixel is one.
        pixels: Number of pixels H * W.

    Returns:
        Noise (C, H * W) and weight (H * W,) float32.
    """
    import torch

    candidates = torch.arange(len(targets), device=targets.device)
    first = torch.full_like(candidates[:pixels], len(targets)).scatter_reduce_(0, targets, candidates, "amin")
    out, total = noise.index_select(1, first), weight.index_select(0, first)

    several = torch.nonzero((torch.bincount(targets, minlength=pixels) > 1)[targets])[:, 0]
    reached, order = torch.sort(targets[several], stable=True)
    parts, (reached, lengths) = several[order], torch.unique_consecutive(reached, return_counts=True)
    w = weight[parts]
    sums, squares = _segment_sums(noise.index_select(1, parts).mul_(w), lengths), _segment_sums((w**2)[None], lengths)
    out.index_copy_(1, reached, sums.div_(squares.sqrt_().clamp_min_(1e-30)).float())
    return out, total.index_copy_(0, reached, _segment_sums(w[None], lengths)[0].float())


def _segment_sums(values: Any, lengths: Any) -> Any:
    """Sum runs of columns of a tensor (C, N) float32, of given lengths (G,) int64: (C, G) float64.

    Each sum runs in order. `index_add_` and `cumsum` would add in an order that changes from run to run on a GPU.
    """
    import torch

    rows = values.T.to(torch.float64, memory_format=torch.contiguous_format)
    return torch.segment_reduce(rows, "sum", lengths=lengths, unsafe=True).T.contiguous()

"""LPIPS (Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018).

The measure is the authors' package `lpips` on AlexNet. Nothing is fetched: it is left out where either is not here.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from vremove_cli.geometry import Array

Distance = Callable[[Array, Array], float]

_BACKBONE = "alexnet-owt-7be5be79.pth"  # torchvision's file in torch's own cache
_LEAST_SIDE = 64  # pixels below which AlexNet's last layers have nothing left


def lpips_distance() -> Distance | None:
    """Return the distance of two pictures (h, w, 3) uint8, 0 for equal ones; None where its weights are not here."""
    if find_spec("lpips") is None:
        return None
    import torch

    if not (Path(torch.hub.get_dir()) / "checkpoints" / _BACKBONE).exists():
        return None
    network = import_module("lpips").LPIPS(net="alex", verbose=False).eval()

    def tensor(picture: Array) -> "torch.Tensor":
        pad = [(0, max(0, _LEAST_SIDE - side)) for side in picture.shape[:2]]
        whole = np.pad(picture, (*pad, (0, 0)), mode="edge")
        return torch.from_numpy(whole.transpose(2, 0, 1)[None].astype(np.float32)) / 127.5 - 1

    def distance(a: Array, b: Array) -> float:
        with torch.inference_mode():
            return float(network(tensor(a), tensor(b)))

    return distance

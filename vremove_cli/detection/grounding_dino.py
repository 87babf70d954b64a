"""Objects by a phrase: an open-vocabulary detector gives boxes.

Liu et al., "Grounding DINO: Marrying DINO with Grounded Pre-Training for Open-Set Object Detection", 2023. The network
is transformers'.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from vremove_cli.errors import UsageError
from vremove_cli.geometry import Array

LEAST = 0.3  # score from which a box counts
_SAME = 0.6  # overlap from which two boxes are of one object


@dataclass(frozen=True)
class Detection:
    """A box (x0, y0, x1, y1) in pixels of the picture, and the detector's score (0..1)."""

    box: tuple[float, float, float, float]
    score: float


def detect(model: Any, picture: Array, phrase: str) -> list[Detection]:
    """What a phrase means in a picture (H, W, 3) uint8, best first, each object once.

    `model` is what `load_detector` gave. Raises `UsageError` for an empty phrase and for one that is too long.
    """
    import torch

    network, tokens, prepare = model
    text = phrase.strip().lower().rstrip(".")
    words = tokens(text + ".", return_tensors="pt")  # the full stop ends a phrase, as in training
    if words["input_ids"].shape[1] > network.config.max_text_len:
        raise UsageError(f"--text has {len(text.split())} words", "name the object in a few")
    pixels = prepare(images=picture, return_tensors="pt")
    device = network.device
    with torch.inference_mode():
        out = network(**{k: v.to(device) for k, v in {**words, **pixels}.items()})
    scores = out.logits[0].float().sigmoid().amax(-1).cpu().numpy()
    boxes = out.pred_boxes[0].float().cpu().numpy()
    return suppress_duplicates(boxes_in_pixels(boxes, scores, picture.shape[1], picture.shape[0]))


def boxes_in_pixels(boxes: Array, scores: Array, width: int, height: int) -> list[Detection]:
    """Boxes (N, 4) of centre and size in shares of the picture, with scores (N,), as matches within the picture."""
    out = []
    for (x, y, w, h), score in zip(boxes * [width, height, width, height], scores, strict=True):
        box = np.clip((x - w / 2, y - h / 2, x + w / 2, y + h / 2), 0, (width, height, width, height))
        if score >= LEAST and box[2] - box[0] >= 2 and box[3] - box[1] >= 2:
            out.append(Detection((float(box[0]), float(box[1]), float(box[2]), float(box[3])), float(score)))
    return out


def suppress_duplicates(found: list[Detection]) -> list[Detection]:
    """Matches, best first, without those that mean the same thing as a better one."""
    out: list[Detection] = []
    for match in sorted(found, key=lambda m: -m.score):
        if all(box_iou(match.box, other.box) < _SAME for other in out):
            out.append(match)
    return out


def box_iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / both if both > 0 else 0.0


@lru_cache(maxsize=1)
def load_detector(folder: str, device: str) -> tuple[Any, Any, Any]:
    """The network, its tokenizer and its picture processor, from a folder as on the Hub; raises `ModelError`."""
    import torch
    from transformers import AutoTokenizer, GroundingDinoForObjectDetection
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil

    from vremove_cli.weights.load import from_folder, reading

    network = from_folder(GroundingDinoForObjectDetection, folder, torch.float32).to(device).eval()
    with reading("the detector", folder):
        prepare = GroundingDinoImageProcessorPil.from_pretrained(folder, local_files_only=True)
        return network, AutoTokenizer.from_pretrained(folder, local_files_only=True), prepare

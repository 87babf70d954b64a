"""Detection of objects by a phrase, as boxes.

Liu et al., "Grounding DINO: Marrying DINO with Grounded Pre-Training for Open-Set Object Detection", 2023. The network
is transformers'.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vremove_cli.errors import UsageError
from vremove_cli.geometry import Array
from vremove_cli.networks.model_pool import pool

if TYPE_CHECKING:
    from transformers import GroundingDinoForObjectDetection, PreTrainedTokenizerBase
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil

MIN_SCORE = 0.3  # score (0..1) from which a box counts
_MIN_SIDE = 2  # pixels
_SAME_OBJECT = 0.6  # intersection over union from which two boxes are of one object


@dataclass(frozen=True)
class Detector:
    """Grounding DINO with what prepares its inputs."""

    network: "GroundingDinoForObjectDetection"
    tokenizer: "PreTrainedTokenizerBase"
    image_processor: "GroundingDinoImageProcessorPil"


@dataclass(frozen=True)
class Detection:
    """A box (x0, y0, x1, y1) in pixels of the picture, and the detector's score (0..1)."""

    box: tuple[float, float, float, float]
    score: float


def load_detector(folder: str, device: str) -> Detector:
    """Return the detector of a folder with the layout of the Hub; the pool keeps it.

    Args:
        folder: Folder with config.json, weights, tokenizer and image processor.
        device: cuda, mps or cpu.

    Raises:
        ModelError: The weights do not fit.
    """
    return pool.get("detect", folder, lambda: _load_detector(folder, device), device)


def _load_detector(folder: str, device: str) -> Detector:
    import torch
    from transformers import AutoTokenizer, GroundingDinoForObjectDetection
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil

    from vremove_cli.weights.load import explain_errors, from_folder

    network = from_folder(GroundingDinoForObjectDetection, folder, torch.float32).to(device).eval()
    with explain_errors("the detector", folder):
        image_processor = GroundingDinoImageProcessorPil.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return Detector(network, tokenizer, image_processor)


def detect(detector: Detector, picture: Array, phrase: str) -> list[Detection]:
    """Return the objects that a phrase names in a picture, best first, one box an object.

    Args:
        detector: The network and its processors.
        picture: (H, W, 3) uint8.
        phrase: A noun phrase, such as "the dog".

    Raises:
        UsageError: The phrase has more tokens than the network takes.
    """
    import torch

    text = phrase.strip().lower().rstrip(".")
    words = detector.tokenizer(text + ".", return_tensors="pt")  # a full stop ends a phrase, as in training
    if words["input_ids"].shape[1] > detector.network.config.max_text_len:
        raise UsageError(f"--text has {len(text.split())} words", "name the object in a few")
    pixels = detector.image_processor(images=picture, return_tensors="pt")
    device = detector.network.device
    with torch.inference_mode():
        out = detector.network(**{k: v.to(device) for k, v in {**words, **pixels}.items()})
    scores = out.logits[0].float().sigmoid().amax(-1).cpu().numpy()
    boxes = out.pred_boxes[0].float().cpu().numpy()
    return suppress_duplicates(boxes_in_pixels(boxes, scores, picture.shape[1], picture.shape[0]))


def boxes_in_pixels(boxes: Array, scores: Array, width: int, height: int) -> list[Detection]:
    """Return the boxes with a sufficient score, clipped to the picture; boxes of less than two pixels are left out.

    Args:
        boxes: (N, 4) float: centre x, centre y, width and height as shares of the picture.
        scores: (N,) float, 0 to 1.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
    """
    detections = []
    for (x, y, w, h), score in zip(boxes * [width, height, width, height], scores, strict=True):
        box = np.clip((x - w / 2, y - h / 2, x + w / 2, y + h / 2), 0, (width, height, width, height))
        if score >= MIN_SCORE and box[2] - box[0] >= _MIN_SIDE and box[3] - box[1] >= _MIN_SIDE:
            x0, y0, x1, y1 = (float(v) for v in box)
            detections.append(Detection((x0, y0, x1, y1), float(score)))
    return detections


def suppress_duplicates(detections: Iterable[Detection]) -> list[Detection]:
    """Return detections, best first, without those that overlap a better one (non-maximum suppression)."""
    kept: list[Detection] = []
    for candidate in sorted(detections, key=lambda d: -d.score):
        if all(box_iou(candidate.box, other.box) < _SAME_OBJECT for other in kept):
            kept.append(candidate)
    return kept


def box_iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Return the intersection over union of two boxes (x0, y0, x1, y1); 0 if both are empty."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    intersection = max(0.0, width) * max(0.0, height)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection
    return intersection / union if union > 0 else 0.0

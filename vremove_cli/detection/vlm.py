"""Asking a vision-language model what will move: one picture, one question, one answer in JSON.

VOID's own pipeline asks a model on somebody's server in this way (Netflix, 2026, its mask reasoner); this one runs
here, and is any that transformers reads as image-text-to-text. The question and the answer's form are our own.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from vremove_cli.errors import ModelError
from vremove_cli.geometry import Array, Box

CELLS = 8  # of the grid along the shorter side
MOST = 5  # things that are taken from an answer
_TOKENS = 400
_QUESTION = """The picture has a grid of {rows} rows and {columns} columns, numbered from 0 at the top left. The \
object painted red will be removed from the scene before it happens. Which other things will then fall, topple, roll, \
stop or otherwise be elsewhere? Count what it holds up, carries or pushes; leave out what only stands near or behind \
it, its shadow and its reflection. Answer with JSON alone, with the cells that each thing covers:
{{"moves": [{{"name": "book", "rows": [2, 3], "columns": [4, 6]}}]}}
and with {{"moves": []}} if nothing will."""


@dataclass(frozen=True)
class VisionLanguageModel:
    """A model with its processor, on a device."""

    model: Any
    processor: Any
    device: str


@lru_cache(maxsize=1)
def load_vlm(folder: str, device: str) -> VisionLanguageModel:
    """A model from a folder as on the Hub; raises `ModelError`."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from vremove_cli.weights.load import from_folder, reading

    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    model = from_folder(AutoModelForImageTextToText, folder, dtype).to(device).eval()
    with reading("the model's processor", folder):
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)  # type: ignore[no-untyped-call]
        return VisionLanguageModel(model, processor, device)


def ask_what_moves(reasoner: VisionLanguageModel, rgb: Array, mask: Array) -> list[tuple[str, Box]]:
    """What moves once the object in `mask` (H, W) bool is gone from a picture (H, W, 3) uint8: names and boxes in its
    pixels. Raises `ModelError` when the answer cannot be read."""
    import torch
    from PIL import Image

    rows, columns = grid_for(*mask.shape)
    question = _QUESTION.format(rows=rows, columns=columns)
    said = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    text = reasoner.processor.apply_chat_template(said, add_generation_prompt=True)
    picture = Image.fromarray(draw_question(rgb, mask, rows, columns))
    given = reasoner.processor(text=text, images=[picture], return_tensors="pt").to(reasoner.device)
    with torch.inference_mode():
        made = reasoner.model.generate(**given, max_new_tokens=_TOKENS, do_sample=False)
    (answer,) = reasoner.processor.batch_decode(made[:, given["input_ids"].shape[1] :], skip_special_tokens=True)
    return parse_answer(answer, rows, columns, mask.shape)


def grid_for(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of nearly square cells."""
    short = min(height, width)
    return max(CELLS, round(CELLS * height / short)), max(CELLS, round(CELLS * width / short))


def draw_question(rgb: Array, mask: Array, rows: int, columns: int) -> Array:
    """A picture (H, W, 3) uint8 with the object in red and a numbered grid."""
    out = rgb.copy()
    out[mask] = (0.6 * out[mask] + 0.4 * np.array([255, 0, 0])).astype(np.uint8)
    height, width = mask.shape
    for n in range(max(rows, columns)):
        x, y = n * width // columns, n * height // rows
        if n < columns:
            cv2.line(out, (x, 0), (x, height), (255, 255, 255), 1)
            cv2.putText(out, str(n), (x + 3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 0), 1)
        if n < rows:
            cv2.line(out, (0, y), (width, y), (255, 255, 255), 1)
            cv2.putText(out, str(n), (2, y + 24), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 255, 255), 1)
    return out


def parse_answer(answer: str, rows: int, columns: int, shape: tuple[int, ...]) -> list[tuple[str, Box]]:
    """Names and boxes from an answer, whatever stands round its JSON; raises `ModelError` when there is none.

    A thing without cells that lie in the grid is left out.
    """
    try:
        found = json.loads(answer[answer.index("{") : answer.rindex("}") + 1])["moves"]
        things = [(str(t["name"]), *_span(t["rows"]), *_span(t["columns"])) for t in found]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ModelError(
            f"the model's answer cannot be read ({answer.strip()[:60]!r})", "point at what will move: --affected-point"
        ) from error
    height, width = shape[:2]
    out = []
    for name, top, bottom, left, right in things[:MOST]:
        box = Box(left * width // columns, top * height // rows, -(-(right + 1) * width // columns),
                  -(-(bottom + 1) * height // rows)).clip(width, height)  # fmt: skip
        if not box.empty:
            out.append((name, box))
    return out


def _span(value: Any) -> tuple[int, int]:
    """The first and last of some numbers, or a single one twice."""
    numbers = [int(n) for n in value] if isinstance(value, list) else [int(value)]
    return min(numbers), max(numbers)

"""A vision-language model that names what will move: one picture, one question, one answer in JSON.

VOID's own pipeline asks a hosted model in this way (Netflix, 2026, its mask reasoner). This module runs any local
model that transformers loads as image-text-to-text. The question and the form of the answer are this project's.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from vremove_cli.errors import ModelError
from vremove_cli.geometry import Array, Box
from vremove_cli.networks.model_pool import pool

if TYPE_CHECKING:
    from transformers import GenerationMixin, ProcessorMixin

GRID_CELLS = 8  # cells of the grid along the picture's shorter side
MAX_THINGS = 5  # things that are taken from an answer
_MAX_TOKENS = 400  # of an answer
_QUESTION = """The picture has a grid of {rows} rows and {columns} columns, numbered from 0 at the top left. The \
object painted red will be removed from the scene before it happens. Which other things will then fall, topple, roll, \
stop or otherwise be elsewhere? Count what it holds up, carries or pushes; leave out what only stands near or behind \
it, its shadow and its reflection. Answer with JSON alone, with the cells that each thing covers:
{{"moves": [{{"name": "book", "rows": [2, 3], "columns": [4, 6]}}]}}
and with {{"moves": []}} if nothing will."""


@dataclass(frozen=True)
class VisionLanguageModel:
    """A model with its processor, on a device."""

    model: "GenerationMixin"
    processor: "ProcessorMixin"
    device: str


def load_vlm(folder: str, device: str) -> VisionLanguageModel:
    """Return the model of a folder with the layout of the Hub; the pool keeps it.

    bfloat16 on a GPU, float32 on a CPU.

    Args:
        folder: Folder with config.json, weights and processor.
        device: cuda, mps or cpu.

    Raises:
        ModelError: The weights do not fit.
    """
    return pool.get("reason", folder, lambda: _load_vlm(folder, device), device)


def _load_vlm(folder: str, device: str) -> VisionLanguageModel:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from vremove_cli.weights.load import explain_errors, from_folder

    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    model = from_folder(AutoModelForImageTextToText, folder, dtype).to(device).eval()
    with explain_errors("the model's processor", folder):
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)  # type: ignore[no-untyped-call]
        return VisionLanguageModel(model, processor, device)


def ask_what_moves(reasoner: VisionLanguageModel, rgb: Array, mask: Array) -> list[tuple[str, Box]]:
    """Return names and boxes of what will move once an object is gone.

    Args:
        reasoner: The model.
        rgb: Picture (H, W, 3) uint8.
        mask: The object, (H, W) bool.

    Returns:
        Names, and boxes in pixels of the picture.

    Raises:
        ModelError: The answer is not in the form that the question states.
    """
    import torch
    from PIL import Image

    rows, columns = grid_for(*mask.shape)
    question = _QUESTION.format(rows=rows, columns=columns)
    chat: list[Any] = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    text = reasoner.processor.apply_chat_template(chat, add_generation_prompt=True)
    picture = Image.fromarray(draw_question(rgb, mask, rows, columns))
    inputs = reasoner.processor(text=text, images=[picture], return_tensors="pt").to(reasoner.device)
    with torch.inference_mode():
        tokens = reasoner.model.generate(**inputs, max_new_tokens=_MAX_TOKENS, do_sample=False)
    reply = tokens[:, inputs["input_ids"].shape[1] :]
    (answer,) = reasoner.processor.batch_decode(reply, skip_special_tokens=True)  # type: ignore[no-untyped-call]
    return parse_answer(answer, rows, columns, mask.shape)


def grid_for(height: int, width: int) -> tuple[int, int]:
    """Return the rows and columns of a grid of nearly square cells over a picture of some pixels."""
    short = min(height, width)
    return max(GRID_CELLS, round(GRID_CELLS * height / short)), max(GRID_CELLS, round(GRID_CELLS * width / short))


def draw_question(rgb: Array, mask: Array, rows: int, columns: int) -> Array:
    """Return a picture (H, W, 3) uint8 with the object in `mask` (H, W) bool in red, and a numbered grid."""
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
    """Return names and boxes from an answer; text around its JSON is ignored.

    Args:
        answer: The model's text.
        rows: Rows of the grid.
        columns: Columns of the grid.
        shape: (H, W) of the picture.

    Returns:
        Names, and boxes in pixels of the picture; things outside of the grid are left out.

    Raises:
        ModelError: The text holds no JSON of the stated form.
    """
    try:
        moves = json.loads(answer[answer.index("{") : answer.rindex("}") + 1])["moves"]
        things = [(str(m["name"]), *_first_and_last(m["rows"]), *_first_and_last(m["columns"])) for m in moves]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ModelError(
            f"the model's answer cannot be read ({answer.strip()[:60]!r})", "point at what will move: --affected-point"
        ) from error
    height, width = shape[:2]
    found = []
    for name, top, bottom, left, right in things[:MAX_THINGS]:
        x0, x1 = left * width // columns, -(-(right + 1) * width // columns)
        y0, y1 = top * height // rows, -(-(bottom + 1) * height // rows)
        box = Box(x0, y0, x1, y1).clip(width, height)
        if not box.empty:
            found.append((name, box))
    return found


def _first_and_last(cells: object) -> tuple[int, int]:
    """The least and the greatest of a list of numbers, or a single number twice."""
    numbers = [int(n) for n in cells] if isinstance(cells, list) else [int(cells)]  # type: ignore[call-overload]
    return min(numbers), max(numbers)

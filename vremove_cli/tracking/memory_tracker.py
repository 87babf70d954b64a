"""The part of SAM 2's tracking that does not depend on whose code runs the network.

A tracker of this kind keeps a bank of memories of prompted and recent frames; a network makes masks and memories.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.tracking.base import (
    ABSENT,
    DOUBTFUL,
    FOUND_AGAIN,
    NO_OBJECT,
    ObjectPrompts,
    TrackerFrame,
    TrackerState,
    TrackResult,
)
from vremove_cli.tracking.sam2_memory import Memory, MemoryBank, MemoryReach

if TYPE_CHECKING:
    import torch

    Outputs = dict[str, torch.Tensor]
    Numbered = dict[int, Outputs]

CURRENT = 1 << 20  # frame number that the network is given for the current frame: earlier ones must not be negative
HEAD_CHANNELS = 256  # of an attention head at most, in all networks of this family
MAX_LOGITS = 32.0  # larger logits of a previous mask tell the prompt encoder nothing more
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB statistics of ImageNet, as the encoders were trained
_EDGE_LOGITS = 4.0  # logits at which the edge of a soft mask reaches 0 or 1
_MIN_CONFIDENCE = 0.8  # of a first mask, below which it is doubtful


class MemoryTracker(ABC):
    """Tracks one object by a memory bank; see `vremove_cli.tracking.base.Tracker`.

    A subclass runs the network. What it remembers of a frame are tensors of one object, by name: maskmem_features,
    maskmem_pos_enc, object_pointer, object_score_logits, pred_masks.
    """

    def __init__(self, name: str, side: int, reach: MemoryReach, every: int) -> None:
        """Make a tracker.

        Args:
            name: Name of the tracker.
            side: Side of the network's square input in pixels.
            reach: What the network attends to, and where it runs.
            every: Frames between keyframes, if it sees only those: time then runs in keyframes.
        """
        import torch

        self.name = name
        self.input_size: tuple[int, int] | None = (side, side)
        self._reach, self._every = reach, every
        self._mean, self._std = (torch.tensor(v, device=reach.device).view(1, 3, 1, 1) for v in (_MEAN, _STD))

    def begin(self, frame: TrackerFrame, prompts: ObjectPrompts) -> tuple[TrackerState, TrackResult]:
        """Segment the object on a prompted frame."""
        bank, result = self._segment(frame, MemoryBank((), frame.index, lost=False), prompts)
        if result.remark == ABSENT:
            return bank, TrackResult(result.mask, 0.0, NO_OBJECT)
        remark = DOUBTFUL if result.confidence < _MIN_CONFIDENCE else ""
        return bank, TrackResult(result.mask, result.confidence, remark)

    def correct(
        self, frame: TrackerFrame, state: TrackerState, prompts: ObjectPrompts
    ) -> tuple[TrackerState, TrackResult]:
        """Propagate the mask and correct it; a box, or a point while the object is lost, restarts segmentation."""
        bank = MemoryBank.from_state(state, self._reach).towards(frame.index)
        if prompts.boxes:
            return self._segment(frame, bank, prompts)
        context, outputs = self._run_with_memory(frame, bank)
        if float(outputs["object_score_logits"]) <= 0 and prompts.points:
            return self._segment(frame, bank, prompts)
        points = self._point_inputs(frame, prompts)
        refined = self._refine(context, outputs, points, reverse=frame.index < bank.index)
        return self._remember(frame, bank, Memory(frame.index, True, refined))

    def adopt(self, frame: TrackerFrame, state: TrackerState | None, mask: Array) -> TrackerState:
        """Remember a given mask as that of a prompted frame."""
        import torch

        empty = MemoryBank((), frame.index, lost=False)
        bank = empty if state is None else MemoryBank.from_state(state, self._reach).towards(frame.index)
        large = cv2.resize(mask, self.input_size, interpolation=cv2.INTER_LINEAR) > 0.5
        given = torch.from_numpy(large[None, None]).to(self._reach.device)
        return self._remember(frame, bank, Memory(frame.index, True, self._run_prompted(frame, mask=given)))[0]

    def propagate(self, frame: TrackerFrame, state: TrackerState) -> tuple[TrackerState, TrackResult]:
        """Propagate the mask to the next frame; a frame that was prompted keeps its mask."""
        bank = MemoryBank.from_state(state, self._reach).towards(frame.index)
        memory = next((m for m in bank.memories if m.index == frame.index and m.prompted), None)
        if memory is None:
            memory = Memory(frame.index, False, self._run_with_memory(frame, bank)[1])
        return self._remember(frame, bank, memory)

    def _segment(self, frame: TrackerFrame, bank: MemoryBank, prompts: ObjectPrompts) -> tuple[MemoryBank, TrackResult]:
        """Segment a frame by its prompts alone; several boxes are segmented apart and united."""
        import torch

        if len(prompts.boxes) <= 1:
            outputs = self._run_prompted(frame, points=self._point_inputs(frame, prompts))
            return self._remember(frame, bank, Memory(frame.index, True, outputs))
        parts = [ObjectPrompts((), prompts.negative, (box,)) for box in prompts.boxes]
        parts += [ObjectPrompts(prompts.points)] if prompts.points else []
        found = [self._run_prompted(frame, points=self._point_inputs(frame, p))["pred_masks"] for p in parts]
        union = torch.stack(found).amax(0).float()
        logits = union.reshape(1, 1, *union.shape[-2:])
        mask = torch.nn.functional.interpolate(logits, size=self.input_size, mode="bilinear") > 0
        outputs = {**self._run_prompted(frame, mask=mask), "pred_masks": union}
        return self._remember(frame, bank, Memory(frame.index, True, outputs))

    @abstractmethod
    def _run_prompted(
        self, frame: TrackerFrame, *, points: "Outputs | None" = None, mask: "torch.Tensor | None" = None
    ) -> "Outputs":
        """Run the network on a frame with point inputs or a mask (1, 1, S, S), without any memory."""

    @abstractmethod
    def _run_with_memory(self, frame: TrackerFrame, bank: MemoryBank) -> "tuple[Any, Outputs]":
        """Run the network on the next frame; return what `_refine` needs, and the frame's outputs."""

    @abstractmethod
    def _refine(self, context: Any, outputs: "Outputs", points: "Outputs", *, reverse: bool) -> "Outputs":
        """Run the network on the current frame again, with points and the logits of its mask.

        Args:
            context: What `_run_with_memory` returned for the frame.
            outputs: The frame's outputs.
            points: Point inputs for it.
            reverse: Whether the clip is followed backward.
        """

    def _numbered(self, frame: TrackerFrame, bank: MemoryBank, current: int) -> "tuple[Numbered, Numbered]":
        """Return the outputs of prompted frames and of others, by the numbers that the network knows them by.

        Prompted frames keep their distance in time, in keyframes; the others are numbered in the order of travel.

        Args:
            frame: The current frame.
            bank: Memories of the frames before it.
            current: Number of the current frame.
        """
        prompted: Numbered = {}
        others: Numbered = {}
        reverse = frame.index < bank.index
        for k, memory in enumerate(bank.memories):
            age = len(bank.memories) - k
            if memory.prompted:
                side = 1 if memory.index > frame.index else -1
                number = current + side * max(1, round(abs(memory.index - frame.index) / self._every))
                while number in prompted:
                    number += side
                prompted[number] = dict(memory.outputs)
            else:
                others[current + (age if reverse else -age)] = dict(memory.outputs)
        return prompted, others

    def _pixels(self, rgb: Array) -> "torch.Tensor":
        """Return the encoder's input (1, 3, S, S) for a picture (S, S, 3) uint8."""
        import torch

        pixels = torch.from_numpy(np.ascontiguousarray(rgb)).to(self._reach.device, non_blocking=True)
        return ((pixels.permute(2, 0, 1)[None].float() / 255 - self._mean) / self._std).to(self._reach.dtype)

    def _point_inputs(self, frame: TrackerFrame, prompts: ObjectPrompts) -> "dict[str, torch.Tensor]":
        """Return prompts as the network's points (1, 1, N, 2), in pixels of its picture, and labels (1, 1, N).

        Labels: 1 on the object, 0 beside it, 2 and 3 for the upper left and lower right corner of a box.
        """
        import torch

        rows = [(x, y, k) for b in prompts.boxes for (x, y), k in (((b[0], b[1]), 2), ((b[2], b[3]), 3))]
        rows += [(x, y, 1) for x, y in prompts.points] + [(x, y, 0) for x, y in prompts.negative]
        scale = np.array(self.input_size) / frame.clip_size
        coords = torch.tensor([[[(x * scale[0], y * scale[1]) for x, y, _ in rows]]], dtype=torch.float32)
        labels = torch.tensor([[[k for _, _, k in rows]]], dtype=torch.int32)
        device = self._reach.device
        return {"point_coords": coords.to(device), "point_labels": labels.to(device)}

    def _remember(self, frame: TrackerFrame, bank: MemoryBank, memory: Memory) -> tuple[MemoryBank, TrackResult]:
        """Add a frame's memory to the bank and drop those the network no longer attends to; return bank and mask."""
        import torch

        logits = memory.outputs["pred_masks"].float()
        joined = torch.cat([logits.flatten(), memory.outputs["object_score_logits"].float().flatten()])
        values = joined.cpu().numpy()  # one copy from the device for each frame
        low, score = values[:-1].reshape(logits.shape[-2:]), float(values[-1])
        lost = score <= 0 or not (low > 0).any()
        after = bank.remember(memory, self._reach, lost=lost)
        if lost:
            return after, TrackResult(np.zeros(frame.mask_size[::-1], np.float32), 0.0, ABSENT)
        fine = cv2.resize(low, frame.mask_size, interpolation=cv2.INTER_LINEAR)
        soft = np.clip(0.5 + fine / (2 * _EDGE_LOGITS), 0, 1).astype(np.float32)
        return after, TrackResult(soft, _confidence(low, score), FOUND_AGAIN if bank.lost else "")


def _confidence(logits: Array, score: float) -> float:
    """Return the probability of the object times the stability of its edge, 0 to 1.

    Stability score: IoU of the masks at thresholds one logit above and below 0 (Kirillov et al., "Segment Anything",
    2023). `logits` is (h, w), `score` the logit of the object's presence.
    """
    inner, outer = int(np.count_nonzero(logits > 1)), int(np.count_nonzero(logits > -1))
    return inner / max(outer, 1) / (1 + float(np.exp(-score)))

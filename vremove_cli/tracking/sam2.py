"""SAM 2.1 and EdgeTAM as trackers: a memory of prompted frames and of the latest ones, and a network that looks there.

Ravi et al., "SAM 2: Segment Anything in Images and Videos", 2024. The networks are transformers'. What is ours: frames
come one at a time, in either direction; the memory is a value that can be stored, with no more in it than the network
looks at; corrections see the mask that was there, and their frames stay in the memory as prompted ones do.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vremove_cli.errors import ModelError
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

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which the encoders were trained with
_NOW = 1 << 20  # the number that the network knows the frame at hand by: those before it must not be negative
_SOFT = 4.0  # logits at which the edge of a mask is fully in or out
_SURE = 0.8  # confidence of a first mask below which it is doubtful
_CLAMP = 32.0  # logits beyond which a mask says nothing more to the prompt encoder


@dataclass(frozen=True)
class Memory:
    """What is kept of one frame: its number, whether it was prompted, the network's outputs."""

    at: int
    prompted: bool
    outputs: dict[str, Any]


class MemoryBank(TrackerState):
    """Memories in the order of travel, as tensors where the network runs; `at` is the number of the last frame."""

    def __init__(self, memories: tuple[Memory, ...], at: int, *, lost: bool) -> None:
        self.memories, self.at, self.lost = memories, at, lost

    @property
    def arrays(self) -> dict[str, Array]:
        """Everything as NumPy arrays; what all memories have alike is stored once."""
        out: dict[str, Array] = {"sam2": np.array([self.at, self.lost])}
        for k, memory in enumerate(self.memories):
            out[f"{k}.what"] = np.array([memory.at, memory.prompted])
            out[f"{k}.names"] = np.array(list(memory.outputs))
            for name, tensor in memory.outputs.items():
                first = self.memories[0].outputs.get(name)
                if k == 0 or first is None or not first.equal(tensor):
                    out[f"{k}.{name}"] = _stored(tensor)
        return out


class Sam2Tracker:
    """See `masks.base.Tracker`. `frames` is how many it will see: of fewer than sixteen the network is told so, as it
    is by the authors' code. Where it sees keyframes only, `every` is their distance, and its time runs in those."""

    def __init__(self, model: Any, frames: int, every: int = 1) -> None:
        import torch

        self._model, self._every = model, every
        self._pointers = min(frames, int(model.config.max_object_pointers_in_encoder))
        self.name = "edgetam" if "EdgeTam" in type(model).__name__ else "sam2"
        side = int(model.config.image_size)
        self.input_size: tuple[int, int] | None = (side, side)
        self._mean, self._std = (torch.tensor(v, device=model.device).view(1, 3, 1, 1) for v in (_MEAN, _STD))

    def begin(self, sight: TrackerFrame, clicks: ObjectPrompts) -> tuple[TrackerState, TrackResult]:
        """The mask on a prompted frame."""
        bank, tracked = self._prompted(sight, MemoryBank((), sight.index, lost=False), clicks)
        if tracked.remark == ABSENT:
            return bank, TrackResult(tracked.mask, 0.0, NO_OBJECT)
        doubt = DOUBTFUL if tracked.confidence < _SURE else ""
        return bank, TrackResult(tracked.mask, tracked.confidence, doubt)

    def correct(
        self, sight: TrackerFrame, state: TrackerState, clicks: ObjectPrompts
    ) -> tuple[TrackerState, TrackResult]:
        """The mask on the next frame, put right. A box, or a point where nothing is followed, begins anew."""
        bank = self._travelled(state, sight.index)
        if clicks.boxes:
            return self._prompted(sight, bank, clicks)
        session, found = self._step(sight, bank)
        if float(found["object_score_logits"]) <= 0 and clicks.points:
            return self._prompted(sight, bank, clicks)
        refined = self._refined(session, sight.index < bank.at, found, self._points(sight, clicks))
        return self._told(sight, bank, Memory(sight.index, True, refined))

    def propagate(self, sight: TrackerFrame, state: TrackerState) -> tuple[TrackerState, TrackResult]:
        """The mask on the next frame in the direction of travel; on one that was prompted, the mask it has."""
        bank = self._travelled(state, sight.index)
        known = next((m for m in bank.memories if m.at == sight.index and m.prompted), None)
        return self._told(sight, bank, known or Memory(sight.index, False, self._step(sight, bank)[1]))

    def _prompted(self, sight: TrackerFrame, bank: MemoryBank, clicks: ObjectPrompts) -> tuple[MemoryBank, TrackResult]:
        """The mask that prompts mean on their own; with several boxes, all that is found in any of them."""
        import torch

        at = sight.index
        if len(clicks.boxes) <= 1:
            return self._told(sight, bank, Memory(at, True, self._alone(sight, points=self._points(sight, clicks))))
        each = [ObjectPrompts((), clicks.negative, (box,)) for box in clicks.boxes]
        each += [ObjectPrompts(clicks.points)] if clicks.points else []
        found = [self._alone(sight, points=self._points(sight, c))["pred_masks"] for c in each]
        whole = torch.stack(found).amax(0).float()
        fine = torch.nn.functional.interpolate(
            whole.reshape(1, 1, *whole.shape[-2:]), size=self.input_size, mode="bilinear"
        )
        return self._told(sight, bank, Memory(at, True, {**self._alone(sight, mask=fine > 0), "pred_masks": whole}))

    def _alone(self, sight: TrackerFrame, *, points: Any = None, mask: Any = None) -> dict[str, Any]:
        """What the network makes of a prompted frame without any memory."""
        session = self._session()
        if points is not None:
            session.add_point_inputs(0, _NOW, points)
        else:
            session.add_mask_inputs(0, _NOW, mask)
        session.obj_with_new_inputs = [1]
        self._run(session, sight, back=False)
        return _kept(session.output_dict_per_obj[0]["cond_frame_outputs"][_NOW])

    def _step(self, sight: TrackerFrame, bank: MemoryBank) -> tuple[Any, dict[str, Any]]:
        session, back = self._session(), sight.index < bank.at
        known = session.output_dict_per_obj[0]
        prompted, others = known["cond_frame_outputs"], known["non_cond_frame_outputs"]
        for k, memory in enumerate(bank.memories):
            ago = len(bank.memories) - k
            if memory.prompted:
                side = 1 if memory.at > sight.index else -1
                number = _NOW + side * max(1, round(abs(memory.at - sight.index) / self._every))
                while number in prompted:
                    number += side
                prompted[number] = dict(memory.outputs)
            else:
                others[_NOW + (ago if back else -ago)] = dict(memory.outputs)
        self._run(session, sight, back=back)
        return session, _kept(others[_NOW])

    def _run(self, session: Any, sight: TrackerFrame, *, back: bool) -> None:
        with self._few_pointers():
            self._model(inference_session=session, frame=self._pixels(sight.rgb), frame_idx=_NOW, reverse=back)

    @contextmanager
    def _few_pointers(self) -> Iterator[None]:
        """The network told of no more pointers than there are frames, while the block lasts."""
        config = self._model.config
        most, config.max_object_pointers_in_encoder = config.max_object_pointers_in_encoder, self._pointers
        try:
            yield
        finally:
            config.max_object_pointers_in_encoder = most

    def _refined(self, session: Any, back: bool, found: dict[str, Any], points: Any) -> dict[str, Any]:
        """A frame once more, with clicks and the mask that it had. (The public call would not show it that mask.)"""
        import torch

        sam2 = hasattr(self._model, "_batch_encode_memories")
        before = found["pred_masks"].reshape(1, 1, *found["pred_masks"].shape[-2:]).clamp(-_CLAMP, _CLAMP)
        with torch.inference_mode(), self._few_pointers():
            out = self._model._run_single_frame_inference(
                inference_session=session, frame_idx=_NOW, obj_idx=0, batch_size=1, is_init_cond_frame=False,
                point_inputs=points, mask_inputs=None, reverse=back, prev_sam_mask_logits=before, streaming=True,
                **({} if sam2 else {"run_mem_encoder": True}),
            )  # fmt: skip
            session.store_output(0, _NOW, output_value=out, is_conditioning_frame=True)
            if sam2:
                self._model._batch_encode_memories(
                    session, _NOW, [0], [out["high_res_masks"]], [out["object_score_logits"]], [True]
                )
        return _kept(session.output_dict_per_obj[0]["cond_frame_outputs"][_NOW])

    def _session(self) -> Any:
        """A session of one object that knows nothing yet."""
        import transformers

        kind = (
            transformers.EdgeTamVideoInferenceSession
            if self.name == "edgetam"
            else transformers.Sam2VideoInferenceSession
        )
        where, dtype = self._model.device, self._model.dtype
        session = kind(inference_device=where, inference_state_device=where, video_storage_device=where, dtype=dtype)
        session.obj_id_to_idx(1)
        return session

    def _pixels(self, rgb: Array) -> Any:
        """A picture (S, S, 3) uint8 as the encoder wants it, (1, 3, S, S)."""
        import torch

        pixels = torch.from_numpy(np.ascontiguousarray(rgb)).to(self._model.device, non_blocking=True)
        return ((pixels.permute(2, 0, 1)[None].float() / 255 - self._mean) / self._std).to(self._model.dtype)

    def _points(self, sight: TrackerFrame, clicks: ObjectPrompts) -> dict[str, Any]:
        """Prompts in pixels of the network's picture: a box is its two corners with labels of their own."""
        import torch

        rows = [(x, y, k) for b in clicks.boxes for (x, y), k in (((b[0], b[1]), 2), ((b[2], b[3]), 3))]
        rows += [(x, y, 1) for x, y in clicks.points] + [(x, y, 0) for x, y in clicks.negative]
        scale = np.array(self.input_size) / sight.clip_size
        where = torch.tensor([[[(x * scale[0], y * scale[1]) for x, y, _ in rows]]], dtype=self._model.dtype)
        labels = torch.tensor([[[k for _, _, k in rows]]], dtype=torch.int32)
        device = self._model.device
        return {"point_coords": where.to(device), "point_labels": labels.to(device)}

    def _told(self, sight: TrackerFrame, bank: MemoryBank, memory: Memory) -> tuple[MemoryBank, TrackResult]:
        """The memory with one frame more and without what the network no longer looks at, and the frame's mask."""
        import torch

        logits = memory.outputs["pred_masks"].float()
        both = torch.cat([logits.flatten(), memory.outputs["object_score_logits"].float().flatten()])
        values = both.cpu().numpy()  # the one copy from the device for each frame
        low, score = values[:-1].reshape(logits.shape[-2:]), float(values[-1])
        lost = score <= 0 or not (low > 0).any()
        others = [m for m in bank.memories if m.at != memory.at]
        after = MemoryBank(tuple(_pruned([*others, memory], self._model)), memory.at, lost=lost)
        if lost:
            return after, TrackResult(np.zeros(sight.mask_size[::-1], np.float32), 0.0, ABSENT)
        fine = cv2.resize(low, sight.mask_size, interpolation=cv2.INTER_LINEAR)
        soft = np.clip(0.5 + fine / (2 * _SOFT), 0, 1).astype(np.float32)
        return after, TrackResult(soft, _confidence(low, score), FOUND_AGAIN if bank.lost else "")

    def _travelled(self, state: TrackerState, to: int) -> MemoryBank:
        """A memory for the way to a frame. What was seen ahead before the way turned back there is forgotten: it is
        what a correction speaks against, and of some of it only the pointers are left."""
        bank = state if isinstance(state, MemoryBank) else self._loaded(state)
        behind = range(bank.at, 1 << 62) if to < bank.at else range(bank.at + 1)
        return MemoryBank(tuple(m for m in bank.memories if m.prompted or m.at in behind), bank.at, lost=bank.lost)

    def _loaded(self, state: TrackerState) -> MemoryBank:
        """A stored memory, brought back to where the network runs."""
        arrays = state.arrays
        at, lost = (int(v) for v in arrays["sam2"])
        memories: list[Memory] = []
        while (what := arrays.get(f"{len(memories)}.what")) is not None:
            k = len(memories)
            names = [str(n) for n in arrays[f"{k}.names"]]
            found = {n: arrays[f"{k}.{n}"] if f"{k}.{n}" in arrays else arrays[f"0.{n}"] for n in names}
            outputs = {n: _tensor(a, self._model, keep=n == "maskmem_features") for n, a in found.items()}
            memories.append(Memory(int(what[0]), bool(what[1]), outputs))
        return MemoryBank(tuple(memories), at, lost=bool(lost))


@lru_cache(maxsize=1)
def load_network(architecture: str, path: str, device: str) -> Any:
    """A network, ready: from a folder as on the Hub, or from one file with the original keys of SAM 2.1.

    bfloat16 on a GPU, float32 elsewhere. Raises `ModelError` when the weights do not fit.
    """
    import torch
    import transformers

    from vremove_cli.networks.sam2 import config_of, is_original, renamed
    from vremove_cli.weights.load import from_folder, load_strict, read_state

    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    if Path(path).is_dir():
        kind = transformers.EdgeTamVideoModel if architecture == "edgetam" else transformers.Sam2VideoModel
        model = from_folder(kind, path, dtype)
    else:
        state = read_state(path)
        if not is_original(state):
            raise ModelError(f"{path} has not the original keys of SAM 2.1", "give a folder with config.json beside it")
        model = transformers.Sam2VideoModel(config_of(state))
        load_strict(model, renamed(state), path)
    return model.to(device=device, dtype=dtype).eval()


def _kept(outputs: dict[str, Any]) -> dict[str, Any]:
    """What the network looks at later, and the mask."""
    wanted = ("maskmem_features", "maskmem_pos_enc", "object_pointer", "object_score_logits", "pred_masks")
    return {name: outputs[name] for name in wanted}


def _pruned(memories: list[Memory], model: Any) -> Iterable[Memory]:
    """Prompted frames, and as many others as the next frame looks at: some for their pointers, fewer for the rest."""
    for k, memory in enumerate(memories):
        ago = len(memories) - k
        if memory.prompted or ago < model.num_maskmem:
            yield memory
        elif ago < model.config.max_object_pointers_in_encoder:
            yield Memory(memory.at, False, {"object_pointer": memory.outputs["object_pointer"]})


def _confidence(logits: Array, score: float) -> float:
    """How sure the network is: that the object is there, and that the edge stays where it is when the threshold moves
    by one logit either way (the stability score of Kirillov et al., "Segment Anything", 2023)."""
    inner, outer = int(np.count_nonzero(logits > 1)), int(np.count_nonzero(logits > -1))
    return inner / max(outer, 1) / (1 + float(np.exp(-score)))


def _stored(tensor: Any) -> Array:
    import torch

    if tensor.dtype == torch.bfloat16:  # NumPy has none
        return np.asarray(tensor.cpu().contiguous().view(torch.int16).numpy())
    return np.asarray(tensor.cpu().numpy())


def _tensor(array: Array, model: Any, *, keep: bool) -> Any:
    """A stored tensor for a model, of its own type; those that are bfloat16 in every model are to `keep` that."""
    import torch

    tensor = torch.from_numpy(array)
    if tensor.dtype == torch.int16:
        tensor = tensor.view(torch.bfloat16)
    return tensor.to(model.device, dtype=None if keep else model.dtype)

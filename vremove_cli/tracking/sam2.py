"""SAM 2.1 and EdgeTAM as trackers: a memory bank of prompted and recent frames that the network attends to.

Ravi et al., "SAM 2: Segment Anything in Images and Videos", 2024; Zhou et al., "EdgeTAM: On-Device Track Anything
Model", 2025. The networks are those of transformers. Unlike its video sessions, frames come one at a time in either
direction; the bank is a value that can be stored and holds no more than the network attends to; a correction sees the
mask before it, and its frame stays in the bank as prompted ones do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np

from vremove_cli.errors import ModelError
from vremove_cli.geometry import Array
from vremove_cli.networks.model_pool import pool
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
from vremove_cli.tracking.sam2_memory import Memory, MemoryBank

if TYPE_CHECKING:
    import torch
    import transformers

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB statistics of ImageNet, as the encoders were trained
_CURRENT = 1 << 20  # frame number that the network is given for the current frame: earlier ones must not be negative
_EDGE_LOGITS = 4.0  # logits at which the edge of a soft mask reaches 0 or 1
_MIN_CONFIDENCE = 0.8  # of a first mask, below which it is doubtful
_MAX_LOGITS = 32.0  # larger logits of a previous mask tell the prompt encoder nothing more
_FREQUENCIES = "positional_embedding"  # name of the buffer that encodes positions
# What the network attends to later, and the mask.
_MEMORY_OUTPUTS = ("maskmem_features", "maskmem_pos_enc", "object_pointer", "object_score_logits", "pred_masks")


class Sam2Tracker:
    """Tracks one object with SAM 2.1 or EdgeTAM; see `vremove_cli.tracking.base.Tracker`."""

    def __init__(
        self, model: "transformers.Sam2VideoModel | transformers.EdgeTamVideoModel", frames: int, every: int = 1
    ) -> None:
        """Make a tracker.

        Args:
            model: The network, see `load_network`.
            frames: How many frames it will see. The authors' code limits the object pointers of clips shorter than 16
                frames, and so does this class.
            every: Frames between keyframes, if it sees only those: time then runs in keyframes.
        """
        import torch

        self._model = cast(Any, model)  # the stubs of transformers do not know all of it
        self._every = every
        self._pointers = min(frames, int(self._model.config.max_object_pointers_in_encoder))
        self.name = "edgetam" if "EdgeTam" in type(model).__name__ else "sam2"
        side = int(self._model.config.image_size)
        self.input_size: tuple[int, int] | None = (side, side)
        self._encoded: tuple[Array | None, Any] = None, None  # a picture, and the session's cache with its features
        self._mean, self._std = (torch.tensor(v, device=self._model.device).view(1, 3, 1, 1) for v in (_MEAN, _STD))

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
        bank = MemoryBank.from_state(state, self._model).towards(frame.index)
        if prompts.boxes:
            return self._segment(frame, bank, prompts)
        session, outputs = self._run_with_memory(frame, bank)
        if float(outputs["object_score_logits"]) <= 0 and prompts.points:
            return self._segment(frame, bank, prompts)
        points = self._point_inputs(frame, prompts)
        refined = self._refine(session, outputs, points, reverse=frame.index < bank.index)
        return self._remember(frame, bank, Memory(frame.index, True, refined))

    def adopt(self, frame: TrackerFrame, state: TrackerState | None, mask: Array) -> TrackerState:
        """Remember a given mask as that of a prompted frame."""
        import torch

        empty = MemoryBank((), frame.index, lost=False)
        bank = empty if state is None else MemoryBank.from_state(state, self._model).towards(frame.index)
        large = cv2.resize(mask, self.input_size, interpolation=cv2.INTER_LINEAR) > 0.5
        given = torch.from_numpy(large[None, None]).to(self._model.device)
        return self._remember(frame, bank, Memory(frame.index, True, self._run_prompted(frame, mask=given)))[0]

    def propagate(self, frame: TrackerFrame, state: TrackerState) -> tuple[TrackerState, TrackResult]:
        """Propagate the mask to the next frame; a frame that was prompted keeps its mask."""
        bank = MemoryBank.from_state(state, self._model).towards(frame.index)
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

    def _run_prompted(
        self,
        frame: TrackerFrame,
        *,
        points: "dict[str, torch.Tensor] | None" = None,
        mask: "torch.Tensor | None" = None,
    ) -> "dict[str, torch.Tensor]":
        """Run the network on a frame with point inputs or a mask (1, 1, S, S), without any memory."""
        session = self._new_session()
        if points is not None:
            session.add_point_inputs(0, _CURRENT, points)
        else:
            session.add_mask_inputs(0, _CURRENT, mask)
        session.obj_with_new_inputs = [1]
        self._run(session, frame, reverse=False)
        return _memory_outputs(session.output_dict_per_obj[0]["cond_frame_outputs"][_CURRENT])

    def _run_with_memory(self, frame: TrackerFrame, bank: MemoryBank) -> "tuple[Any, dict[str, torch.Tensor]]":
        """Run the network on the next frame; return the session and the frame's outputs.

        The network knows frames by number. Prompted ones keep their distance in time, in keyframes; the others are
        numbered in the order of travel.
        """
        session, reverse = self._new_session(), frame.index < bank.index
        outputs = session.output_dict_per_obj[0]
        prompted, others = outputs["cond_frame_outputs"], outputs["non_cond_frame_outputs"]
        for k, memory in enumerate(bank.memories):
            age = len(bank.memories) - k
            if memory.prompted:
                side = 1 if memory.index > frame.index else -1
                number = _CURRENT + side * max(1, round(abs(memory.index - frame.index) / self._every))
                while number in prompted:
                    number += side
                prompted[number] = dict(memory.outputs)
            else:
                others[_CURRENT + (age if reverse else -age)] = dict(memory.outputs)
        self._run(session, frame, reverse=reverse)
        return session, _memory_outputs(others[_CURRENT])

    def _run(self, session: Any, frame: TrackerFrame, *, reverse: bool) -> None:
        """Run the network on a frame; the picture that it encoded last is not encoded again."""
        encoded, cache = self._encoded
        if encoded is frame.rgb:
            session.cache = cache
        self._encoded = frame.rgb, session.cache
        with self._limited_pointers():
            self._model(inference_session=session, frame=self._pixels(frame.rgb), frame_idx=_CURRENT, reverse=reverse)

    @contextmanager
    def _limited_pointers(self) -> Iterator[None]:
        """Limit the network's object pointers to the number of frames while the block runs."""
        config = self._model.config
        limit, config.max_object_pointers_in_encoder = config.max_object_pointers_in_encoder, self._pointers
        try:
            yield
        finally:
            config.max_object_pointers_in_encoder = limit

    def _refine(
        self, session: Any, outputs: "dict[str, torch.Tensor]", points: "dict[str, torch.Tensor]", *, reverse: bool
    ) -> "dict[str, torch.Tensor]":
        """Run the network on the current frame again, with points and the logits of its mask.

        The public call of transformers does not pass the logits, hence the private one.
        """
        import torch

        is_sam2 = hasattr(self._model, "_batch_encode_memories")
        logits = outputs["pred_masks"].reshape(1, 1, *outputs["pred_masks"].shape[-2:])
        with torch.inference_mode(), self._limited_pointers():
            out = self._model._run_single_frame_inference(
                inference_session=session,
                frame_idx=_CURRENT,
                obj_idx=0,
                batch_size=1,
                is_init_cond_frame=False,
                point_inputs=points,
                mask_inputs=None,
                reverse=reverse,
                prev_sam_mask_logits=logits.clamp(-_MAX_LOGITS, _MAX_LOGITS),
                streaming=True,
                **({} if is_sam2 else {"run_mem_encoder": True}),
            )
            session.store_output(0, _CURRENT, output_value=out, is_conditioning_frame=True)
            if is_sam2:
                self._model._batch_encode_memories(
                    session, _CURRENT, [0], [out["high_res_masks"]], [out["object_score_logits"]], [True]
                )
        return _memory_outputs(session.output_dict_per_obj[0]["cond_frame_outputs"][_CURRENT])

    def _new_session(self) -> Any:
        """Return an empty inference session of one object."""
        import transformers

        kind = (
            transformers.EdgeTamVideoInferenceSession
            if self.name == "edgetam"
            else transformers.Sam2VideoInferenceSession
        )
        device, dtype = self._model.device, self._model.dtype
        session = kind(inference_device=device, inference_state_device=device, video_storage_device=device, dtype=dtype)
        session.obj_id_to_idx(1)
        return session

    def _pixels(self, rgb: Array) -> "torch.Tensor":
        """Return the encoder's input (1, 3, S, S) for a picture (S, S, 3) uint8."""
        import torch

        pixels = torch.from_numpy(np.ascontiguousarray(rgb)).to(self._model.device, non_blocking=True)
        return ((pixels.permute(2, 0, 1)[None].float() / 255 - self._mean) / self._std).to(self._model.dtype)

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
        device = self._model.device
        return {"point_coords": coords.to(device), "point_labels": labels.to(device)}

    def _remember(self, frame: TrackerFrame, bank: MemoryBank, memory: Memory) -> tuple[MemoryBank, TrackResult]:
        """Add a frame's memory to the bank and drop those the network no longer attends to; return bank and mask."""
        import torch

        logits = memory.outputs["pred_masks"].float()
        joined = torch.cat([logits.flatten(), memory.outputs["object_score_logits"].float().flatten()])
        values = joined.cpu().numpy()  # one copy from the device for each frame
        low, score = values[:-1].reshape(logits.shape[-2:]), float(values[-1])
        lost = score <= 0 or not (low > 0).any()
        after = bank.remember(memory, self._model, lost=lost)
        if lost:
            return after, TrackResult(np.zeros(frame.mask_size[::-1], np.float32), 0.0, ABSENT)
        fine = cv2.resize(low, frame.mask_size, interpolation=cv2.INTER_LINEAR)
        soft = np.clip(0.5 + fine / (2 * _EDGE_LOGITS), 0, 1).astype(np.float32)
        return after, TrackResult(soft, _confidence(low, score), FOUND_AGAIN if bank.lost else "")


def load_network(architecture: str, path: str, device: str) -> Any:
    """Return a network, ready to run; the pool keeps it until another tracker's network replaces it.

    bfloat16 on a GPU, float32 elsewhere.

    Args:
        architecture: sam2 or edgetam.
        path: Folder with config.json and weights as on the Hub, or one file with the original keys of SAM 2.1.
        device: cuda, mps or cpu.

    Raises:
        ModelError: The weights do not fit.
    """
    return pool.get("track", (architecture, path), lambda: _load_network(architecture, path, device), device)


def _load_network(architecture: str, path: str, device: str) -> Any:
    import torch
    import transformers

    from vremove_cli.networks.sam2 import is_original, make_config, sam2_state
    from vremove_cli.weights.load import from_folder, load_strict, read_state

    if Path(path).is_dir():
        model_class = transformers.EdgeTamVideoModel if architecture == "edgetam" else transformers.Sam2VideoModel
        model = from_folder(model_class, path, torch.float32)
    else:
        state = read_state(path)
        if not is_original(state):
            raise ModelError(
                f"{path} does not have the original keys of SAM 2.1", "give a folder with config.json and the weights"
            )
        model = transformers.Sam2VideoModel(make_config(state))
        load_strict(model, sam2_state(state), path)
    return in_precision(model.to(device=device), torch.bfloat16 if device == "cuda" else torch.float32).eval()


def in_precision(model: Any, dtype: "torch.dtype") -> Any:
    """Cast a network, but not the frequencies that encode positions: in bfloat16 a click is up to 2 pixels of 1024 off.

    Args:
        model: A network of SAM 2.1 or EdgeTAM in float32; changed in place.
        dtype: Its new dtype.
    """
    found = model.named_buffers(remove_duplicate=False)  # two modules share one
    kept = {name: buffer.clone() for name, buffer in found if name.endswith(_FREQUENCIES)}
    model.to(dtype)
    for name, buffer in kept.items():
        module = model.get_submodule(name.removesuffix(f".{_FREQUENCIES}"))
        setattr(module, _FREQUENCIES, buffer)
        module.register_forward_hook(lambda _module, _given, encoded: encoded.to(dtype))
    return model


def _memory_outputs(outputs: "dict[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    """Return the outputs that are remembered."""
    return {name: outputs[name] for name in _MEMORY_OUTPUTS}


def _confidence(logits: Array, score: float) -> float:
    """Return the probability of the object times the stability of its edge, 0 to 1.

    Stability score: IoU of the masks at thresholds one logit above and below 0 (Kirillov et al., "Segment Anything",
    2023). `logits` is (h, w), `score` the logit of the object's presence.
    """
    inner, outer = int(np.count_nonzero(logits > 1)), int(np.count_nonzero(logits > -1))
    return inner / max(outer, 1) / (1 + float(np.exp(-score)))

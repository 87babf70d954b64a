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

from vremove_cli.errors import ModelError
from vremove_cli.geometry import Array
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.networks.attention import attention_order
from vremove_cli.networks.model_pool import pool
from vremove_cli.tracking.base import TrackerFrame
from vremove_cli.tracking.memory_tracker import CURRENT, HEAD_CHANNELS, MAX_LOGITS, MemoryTracker
from vremove_cli.tracking.sam2_memory import MemoryBank, MemoryReach

if TYPE_CHECKING:
    import torch
    import transformers

_FREQUENCIES = "positional_embedding"  # name of the buffer that encodes positions
# What the network attends to later, and the mask.
_MEMORY_OUTPUTS = ("maskmem_features", "maskmem_pos_enc", "object_pointer", "object_score_logits", "pred_masks")


class Sam2Tracker(MemoryTracker):
    """Tracks one object with SAM 2.1 or EdgeTAM; see `vremove_cli.tracking.base.Tracker`."""

    def __init__(
        self,
        model: "transformers.Sam2VideoModel | transformers.EdgeTamVideoModel",
        frames: int,
        every: int = 1,
        attention: tuple[str, ...] = (),
    ) -> None:
        """Make a tracker.

        Args:
            model: The network, see `load_network`.
            frames: How many frames it will see. The authors' code limits the object pointers of clips shorter than 16
                frames, and so does this class.
            every: Frames between keyframes, if it sees only those: time then runs in keyframes.
            attention: Attention kernels in order, see `networks.arithmetic.Arithmetic`.
        """
        self._attention = attention
        self._model = cast(Any, model)  # the stubs of transformers do not know all of it
        config = self._model.config
        pointers = int(config.max_object_pointers_in_encoder)
        self._pointers = min(frames, pointers)
        self._encoded: tuple[Array | None, Any] = None, None  # a picture, and the session's cache with its features
        reach = MemoryReach(self._model.device, self._model.dtype, int(self._model.num_maskmem), pointers)
        name = "edgetam" if "EdgeTam" in type(model).__name__ else "sam2"
        super().__init__(name, int(config.image_size), reach, every)

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
            session.add_point_inputs(0, CURRENT, points)
        else:
            session.add_mask_inputs(0, CURRENT, mask)
        session.obj_with_new_inputs = [1]
        self._run(session, frame, reverse=False)
        return _memory_outputs(session.output_dict_per_obj[0]["cond_frame_outputs"][CURRENT])

    def _run_with_memory(self, frame: TrackerFrame, bank: MemoryBank) -> "tuple[Any, dict[str, torch.Tensor]]":
        """Run the network on the next frame; return the session and the frame's outputs."""
        session, reverse = self._new_session(), frame.index < bank.index
        outputs = session.output_dict_per_obj[0]
        prompted, others = self._numbered(frame, bank, CURRENT)
        outputs["cond_frame_outputs"].update(prompted)
        outputs["non_cond_frame_outputs"].update(others)
        self._run(session, frame, reverse=reverse)
        return session, _memory_outputs(outputs["non_cond_frame_outputs"][CURRENT])

    def _run(self, session: Any, frame: TrackerFrame, *, reverse: bool) -> None:
        """Run the network on a frame; the picture that it encoded last is not encoded again."""
        encoded, cache = self._encoded
        if encoded is frame.rgb:
            session.cache = cache
        self._encoded = frame.rgb, session.cache
        with self._in_inference():
            self._model(inference_session=session, frame=self._pixels(frame.rgb), frame_idx=CURRENT, reverse=reverse)

    @contextmanager
    def _in_inference(self) -> Iterator[None]:
        """Set the order of attention kernels, and limit the network's object pointers to the number of frames."""
        config = self._model.config
        limit, config.max_object_pointers_in_encoder = config.max_object_pointers_in_encoder, self._pointers
        try:
            with attention_order(self._attention, HEAD_CHANNELS):
                yield
        finally:
            config.max_object_pointers_in_encoder = limit

    def _refine(
        self, context: Any, outputs: "dict[str, torch.Tensor]", points: "dict[str, torch.Tensor]", *, reverse: bool
    ) -> "dict[str, torch.Tensor]":
        """Run the network on the current frame again, with points and the logits of its mask.

        The public call of transformers does not pass the logits, hence the private one.
        """
        import torch

        session = context
        is_sam2 = hasattr(self._model, "_batch_encode_memories")
        logits = outputs["pred_masks"].reshape(1, 1, *outputs["pred_masks"].shape[-2:])
        with torch.inference_mode(), self._in_inference():
            out = self._model._run_single_frame_inference(
                inference_session=session,
                frame_idx=CURRENT,
                obj_idx=0,
                batch_size=1,
                is_init_cond_frame=False,
                point_inputs=points,
                mask_inputs=None,
                reverse=reverse,
                prev_sam_mask_logits=logits.clamp(-MAX_LOGITS, MAX_LOGITS),
                streaming=True,
                **({} if is_sam2 else {"run_mem_encoder": True}),
            )
            session.store_output(0, CURRENT, output_value=out, is_conditioning_frame=True)
            if is_sam2:
                self._model._batch_encode_memories(
                    session, CURRENT, [0], [out["high_res_masks"]], [out["object_score_logits"]], [True]
                )
        return _memory_outputs(session.output_dict_per_obj[0]["cond_frame_outputs"][CURRENT])

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


def load_network(architecture: str, path: str, arithmetic: Arithmetic) -> Any:
    """Return a network, ready to run; the pool keeps it until another tracker's network replaces it.

    Args:
        architecture: sam2 or edgetam.
        path: Folder with config.json and weights as on the Hub, or one file with the original keys of SAM 2.1.
        arithmetic: Where it runs, and in which type.

    Raises:
        ModelError: The weights do not fit.
    """
    key = (architecture, path, arithmetic.dtype)
    return pool.get("track", key, lambda: _load_network(architecture, path, arithmetic), arithmetic.device)


def _load_network(architecture: str, path: str, arithmetic: Arithmetic) -> Any:
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
    return in_precision(model.to(device=arithmetic.device), arithmetic.torch_dtype).eval()


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

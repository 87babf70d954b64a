"""SAM 2 as a tracker by the authors' own `sam2` package: for fine-tunes with configurations of their own.

As in `sam2.py` frames come one at a time, and the bank is a value; only the network is another's. What a configuration
says of the authors' sessions (`fill_hole_area`, `non_overlap_masks`, `add_all_frames_to_correct_as_cond`,
`clear_non_cond_mem_around_input`) has no effect, because there are no such sessions here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vremove_cli.errors import ModelError
from vremove_cli.geometry import Array
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.networks.attention import attention_order
from vremove_cli.networks.model_pool import pool
from vremove_cli.networks.sam2_package import load_predictor
from vremove_cli.tracking.base import TrackerFrame
from vremove_cli.tracking.memory_tracker import CURRENT, HEAD_CHANNELS, MAX_LOGITS, MemoryTracker
from vremove_cli.tracking.sam2_memory import MemoryBank, MemoryReach

if TYPE_CHECKING:
    import torch

    from vremove_cli.tracking.memory_tracker import Numbered, Outputs

_PLAIN = Arithmetic()
_ENDLESS = 2 * CURRENT  # frames of the clip as the network is told: more than any number of a frame


@dataclass(frozen=True)
class _Context:
    """A frame as the network saw it: enough to run it again.

    Attributes:
        features: Arguments of `track_step` that are made from the picture.
        number: Number of the frame, as the network knows it.
        memories: Prompted frames and others, as the network knows them.
    """

    features: dict[str, Any]
    number: int
    memories: "dict[str, Numbered]"


class Sam2PackageTracker(MemoryTracker):
    """Tracks one object with the authors' code; see `vremove_cli.tracking.base.Tracker`."""

    def __init__(self, model: Any, frames: int, every: int = 1, arithmetic: Arithmetic = _PLAIN) -> None:
        """Make a tracker.

        Args:
            model: A `SAM2VideoPredictor`, see `load_network`.
            frames: How many frames it will see: the authors' code limits the object pointers of clips of few frames.
            every: Frames between keyframes, if it sees only those: time then runs in keyframes.
            arithmetic: How it computes.

        Raises:
            ModelError: The network has no memory of earlier frames.
        """
        import torch

        if model.num_maskmem < 1:
            raise ModelError("the configuration of the weights has num_maskmem: 0", "SAM 2 follows nothing without it")
        self._model, self._arithmetic = model, arithmetic
        pointers = int(model.max_obj_ptrs_in_encoder) if model.use_obj_ptrs_in_encoder else 0
        self._pointers = min(max(frames, 2), pointers)  # the network divides by one less
        self._encoded: tuple[Array | None, dict[str, Any]] = None, {}  # a picture, and what was made from it
        reach = MemoryReach(model.device, torch.float32, _reach_of_features(model), pointers)
        super().__init__("sam2", int(model.image_size), reach, every)

    def _run_prompted(
        self, frame: TrackerFrame, *, points: "Outputs | None" = None, mask: "torch.Tensor | None" = None
    ) -> "Outputs":
        """Run the network on a frame with point inputs or a mask (1, 1, S, S), without any memory."""
        context = _Context(self._features(frame.rgb), self._number(frame), _memories({}, {}))
        given = None if mask is None else mask.float()
        return self._run(context, is_init_cond_frame=True, point_inputs=_one_object(points), mask_inputs=given)

    def _run_with_memory(self, frame: TrackerFrame, bank: MemoryBank) -> "tuple[Any, Outputs]":
        """Run the network on the next frame; return what it saw, and the frame's outputs."""
        number = self._number(frame)
        context = _Context(self._features(frame.rgb), number, _memories(*self._numbered(frame, bank, number)))
        return context, self._run(context, track_in_reverse=frame.index < bank.index)

    def _refine(self, context: Any, outputs: "Outputs", points: "Outputs", *, reverse: bool) -> "Outputs":
        """Run the network on the current frame again, with points and the logits of its mask."""
        logits = outputs["pred_masks"].reshape(1, 1, *outputs["pred_masks"].shape[-2:])
        return self._run(
            context,
            point_inputs=_one_object(points),
            track_in_reverse=reverse,
            prev_sam_mask_logits=logits.clamp(-MAX_LOGITS, MAX_LOGITS),
        )

    def _run(self, context: _Context, **inputs: Any) -> "Outputs":
        """Run the network on a frame, and return what is remembered, in float32 but for the features of the memory."""
        import torch

        arguments = {"is_init_cond_frame": False, "point_inputs": None, "mask_inputs": None, **inputs}
        with self._in_inference():
            out = self._model.track_step(
                frame_idx=context.number,
                output_dict=context.memories,
                num_frames=_ENDLESS,
                **context.features,
                **arguments,
            )
        return {
            "maskmem_features": out["maskmem_features"].to(torch.bfloat16),  # as the authors' sessions store them
            "maskmem_pos_enc": out["maskmem_pos_enc"][-1].float(),
            "object_pointer": out["obj_ptr"].float(),
            "object_score_logits": out["object_score_logits"].float(),
            "pred_masks": out["pred_masks"].float(),
        }

    def _features(self, rgb: Array) -> dict[str, Any]:
        """Return what the network makes of a picture (S, S, 3) uint8; of the last picture it is kept."""
        if self._encoded[0] is not rgb:
            with self._in_inference():
                found = self._model.forward_image(self._pixels(rgb))
                _, features, positions, sizes = self._model._prepare_backbone_features(found)
            names = ("current_vision_feats", "current_vision_pos_embeds", "feat_sizes")
            self._encoded = rgb, dict(zip(names, (features, positions, sizes), strict=True))
        return self._encoded[1]

    def _number(self, frame: TrackerFrame) -> int:
        """Return the number that the network knows a frame by; it has the remainder that a memory's stride looks at."""
        stride = int(self._model.memory_temporal_stride_for_eval)
        return CURRENT // stride * stride + frame.index // self._every

    @contextmanager
    def _in_inference(self) -> Iterator[None]:
        """Run the network without gradients, in the planned type, with pointers as few as the frames of the clip."""
        import torch

        kind, own = self._reach.device.type, self._arithmetic
        limit, self._model.max_obj_ptrs_in_encoder = self._model.max_obj_ptrs_in_encoder, self._pointers
        try:
            with (
                torch.inference_mode(),
                torch.autocast(kind, torch.bfloat16, enabled=own.dtype == "bfloat16"),
                attention_order(own.attention, HEAD_CHANNELS),
            ):
                yield
        finally:
            self._model.max_obj_ptrs_in_encoder = limit


def load_network(path: str, device: str) -> Any:
    """Return a network, ready to run; the pool keeps it until another tracker's network replaces it.

    Args:
        path: A checkpoint or a folder, see `vremove_cli.networks.sam2_package.files_in`.
        device: cuda, mps or cpu.

    Raises:
        ModelError: The package is not here, the configuration makes no SAM 2, or the weights do not fit.
    """
    return pool.get("track", ("sam2 package", path), lambda: load_predictor(path, device), device)


def _reach_of_features(model: Any) -> int:
    """Return how many frames back, the current one included, the network may attend to features of memories.

    With a stride of r it takes the frame before, and the r-th frames before that.
    """
    further = max(0, int(model.num_maskmem) - 2)
    return min(int(model.num_maskmem), 2) + further * int(model.memory_temporal_stride_for_eval)


def _memories(prompted: "Numbered", others: "Numbered") -> "dict[str, Numbered]":
    """Return memories as `track_step` wants them."""
    kinds = {"cond_frame_outputs": prompted, "non_cond_frame_outputs": others}
    return {kind: {number: _as_package(o) for number, o in frames.items()} for kind, frames in kinds.items()}


def _as_package(outputs: "Outputs") -> dict[str, Any]:
    """Return remembered outputs under the package's names; of old frames there is only the pointer."""
    out: dict[str, Any] = {"obj_ptr": outputs["object_pointer"]}
    if "maskmem_features" in outputs:
        out["maskmem_features"] = outputs["maskmem_features"].float()
        out["maskmem_pos_enc"] = [outputs["maskmem_pos_enc"]]
    return out


def _one_object(points: "Outputs | None") -> "Outputs | None":
    """Return point inputs without the axis of objects: (1, N, 2) and (1, N)."""
    return None if points is None else {name: tensor[0] for name, tensor in points.items()}

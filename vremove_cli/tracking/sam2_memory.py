"""Memory bank of SAM 2.1 and EdgeTAM: the network's outputs of the frames that it attends to, in the order of travel.

The bank is a value: it can be stored, and it holds no more than the network attends to, however long the clip.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.tracking.base import TrackerState

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Memory:
    """What is remembered of one frame.

    Attributes:
        index: Number of the frame.
        prompted: Whether the frame had prompts.
        outputs: The network's outputs by name: memory features, object pointer, object score, mask logits.
    """

    index: int
    prompted: bool
    outputs: "dict[str, torch.Tensor]"


@dataclass(frozen=True)
class MemoryReach:
    """How far back a network attends, and where it runs.

    Attributes:
        device: Device of the network.
        dtype: Type that stored tensors come back in.
        features: Frames, the current one included, whose memory features it attends to.
        pointers: Frames, the current one included, whose object pointers it attends to.
    """

    device: "torch.device"
    dtype: "torch.dtype"
    features: int
    pointers: int


class MemoryBank(TrackerState):
    """State of a `MemoryTracker`: memories as tensors on the network's device.

    Attributes:
        memories: Memories in the order of travel, oldest first.
        index: Number of the last frame.
        lost: Whether the object was lost on it.
    """

    def __init__(self, memories: tuple[Memory, ...], index: int, *, lost: bool) -> None:
        self.memories, self.index, self.lost = memories, index, lost

    @property
    def arrays(self) -> dict[str, Array]:
        """Everything as NumPy arrays; an output that equals the first memory's is stored once."""
        out: dict[str, Array] = {"bank": np.array([self.index, self.lost])}
        for k, memory in enumerate(self.memories):
            out[f"{k}.frame"] = np.array([memory.index, memory.prompted])
            out[f"{k}.names"] = np.array(list(memory.outputs))
            for name, tensor in memory.outputs.items():
                first = self.memories[0].outputs.get(name)
                if k == 0 or first is None or not first.equal(tensor):
                    out[f"{k}.{name}"] = _to_array(tensor)
        return out

    @classmethod
    def from_state(cls, state: TrackerState, reach: MemoryReach) -> "MemoryBank":
        """Return a live or stored state as a bank.

        Args:
            state: State of a `MemoryTracker`.
            reach: Of the network; stored tensors go to its device.
        """
        if isinstance(state, MemoryBank):
            return state
        arrays = state.arrays
        index, lost = (int(v) for v in arrays["bank"])
        memories: list[Memory] = []
        while (entry := arrays.get(f"{len(memories)}.frame")) is not None:
            k = len(memories)
            names = [str(n) for n in arrays[f"{k}.names"]]
            stored = {n: arrays[f"{k}.{n}"] if f"{k}.{n}" in arrays else arrays[f"0.{n}"] for n in names}
            outputs = {n: _to_tensor(a, reach, keep_dtype=n == "maskmem_features") for n, a in stored.items()}
            memories.append(Memory(int(entry[0]), bool(entry[1]), outputs))
        return cls(tuple(memories), index, lost=bool(lost))

    def towards(self, index: int) -> "MemoryBank":
        """Return the bank for the direction of travel to frame `index`.

        Where the direction turns, unprompted frames ahead are dropped: a correction contradicts them, and of some only
        the object pointers are left.
        """
        behind = range(self.index, 1 << 62) if index < self.index else range(self.index + 1)
        memories = tuple(m for m in self.memories if m.prompted or m.index in behind)
        return MemoryBank(memories, self.index, lost=self.lost)

    def remember(self, memory: Memory, reach: MemoryReach, *, lost: bool) -> "MemoryBank":
        """Return the bank with one more memory, without those that the network no longer attends to.

        Args:
            memory: Memory of the next frame; it replaces an earlier one of the same frame.
            reach: Of the network.
            lost: Whether the object is lost on that frame.
        """
        others = [m for m in self.memories if m.index != memory.index]
        return MemoryBank(tuple(_prune([*others, memory], reach)), memory.index, lost=lost)


def _prune(memories: list[Memory], reach: MemoryReach) -> Iterable[Memory]:
    """Yield what the network attends to on the next frame: prompted frames, recent ones, and pointers of older ones."""
    for k, memory in enumerate(memories):
        age = len(memories) - k
        if memory.prompted or age < reach.features:
            yield memory
        elif age < reach.pointers:
            yield Memory(memory.index, False, {"object_pointer": memory.outputs["object_pointer"]})


def _to_array(tensor: "torch.Tensor") -> Array:
    """Return a tensor as an array; bfloat16, which NumPy lacks, as the int16 of the same bits."""
    import torch

    if tensor.dtype == torch.bfloat16:
        return np.asarray(tensor.cpu().contiguous().view(torch.int16).numpy())
    return np.asarray(tensor.cpu().numpy())


def _to_tensor(array: Array, reach: MemoryReach, *, keep_dtype: bool) -> "torch.Tensor":
    """Return a stored tensor on the network's device, in the network's dtype unless its own is to be kept.

    Memory features are bfloat16 in every network.
    """
    import torch

    tensor = torch.from_numpy(array)
    if tensor.dtype == torch.int16:
        tensor = tensor.view(torch.bfloat16)
    return tensor.to(reach.device, dtype=None if keep_dtype else reach.dtype)

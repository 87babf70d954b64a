"""The one owner of loaded networks: it keeps them between calls and releases one before it loads its successor.

Networks are kept by kind of task. Two networks of one kind are never in memory together, provided that callers keep no
reference to a network beyond the task that they asked for it.
"""

import gc
import os
import sys
from collections.abc import Callable, Collection, Hashable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from threading import RLock
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from vremove_cli import threads
from vremove_cli.networks import devices
from vremove_cli.networks.phases import clock

if TYPE_CHECKING:
    import torch

# A remover holds a transformer ("remove"), perhaps that of a second pass ("refine"), a VAE ("vae"), an image or text
# encoder ("encode") and the text encoder's small output ("embeds"). A judge scores what it made.
Kind = Literal["track", "detect", "reason", "remove", "refine", "vae", "encode", "embeds", "judge", "judge_vae"]
Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class _Entry:
    key: Hashable
    device: str
    loaded: object


class ModelPool:
    """Loaded networks, one of each kind. All methods may be called from several threads."""

    def __init__(self) -> None:
        self._entries: dict[Kind, _Entry] = {}
        self._lock = RLock()  # a loader may call `get` for another kind

    def get(self, kind: Kind, key: Hashable, load: Callable[[], Loaded], device: str) -> Loaded:
        """Return the network of a kind, loading it if another one or none is held.

        The network that is held is released before `load` runs. Other threads wait while `load` runs. If it raises,
        the pool holds nothing of this kind.

        Args:
            kind: Task of the network.
            key: What was loaded: files, types and placement. Equal keys mean the same network.
            load: Loads the network onto `device`; returns a module, or a tuple or dataclass that holds modules.
            device: cuda, xpu, mps or cpu; part of the key.

        Returns:
            What `load` returned, now or earlier.
        """
        with self._lock:
            threads.limit_torch()
            if self._holds(kind, key, device):
                return cast(Loaded, self._entries[kind].loaded)
            self.release(kind)
            with clock.phase("load"):
                quiet_libraries()
                loaded = load()
            self._entries[kind] = _Entry(key, device, loaded)
            return loaded

    def release(self, *kinds: Kind) -> None:
        """Drop the networks of some kinds and return their memory to the device; kinds without a network are fine."""
        with self._lock:
            dropped = [self._entries.pop(kind) for kind in kinds if kind in self._entries]
            if dropped:
                del dropped
                free_memory()

    def release_all(self) -> None:
        """Drop all networks and return their memory to the device."""
        with self._lock:
            self.release(*self._entries)

    def held_bytes(self, device: str, *, without: Collection[Kind] = ()) -> int:
        """Return the bytes of weights and buffers that the pool holds on a device.

        Args:
            device: cuda, xpu, mps or cpu.
            without: Kinds that are not counted.
        """
        with self._lock:
            entries = [entry for kind, entry in self._entries.items() if kind not in without]
            tensors = {id(t): t for entry in entries for t in _tensors(entry.loaded)}
            return sum(t.numel() * t.element_size() for t in tensors.values() if t.device.type == device)

    def _holds(self, kind: Kind, key: Hashable, device: str) -> bool:
        entry = self._entries.get(kind)
        return entry is not None and (entry.key, entry.device) == (key, device)


pool = ModelPool()  # of this process


def free_memory() -> None:
    """Collect garbage (hooks tie modules into reference cycles) and empty torch's caches of GPU memory."""
    gc.collect()
    if "torch" in sys.modules:
        devices.empty_caches()


@cache
def quiet_libraries() -> None:
    """Show errors only, and no progress bars, of diffusers and transformers."""
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    os.environ["DIFFUSERS_VERBOSITY"] = "error"  # read on its first import, which takes a second and may not be needed
    if "diffusers" in sys.modules:
        from diffusers.utils import logging as diffusers_logging

        diffusers_logging.set_verbosity_error()


def _tensors(loaded: object) -> Iterator["torch.Tensor"]:
    """Yield the tensors of a module, a tensor, or a tuple or dataclass of such; other objects hold none."""
    import torch

    if isinstance(loaded, torch.Tensor):
        yield loaded
    elif isinstance(loaded, torch.nn.Module):
        yield from loaded.parameters()
        yield from loaded.buffers()
    elif isinstance(loaded, tuple):
        for item in loaded:
            yield from _tensors(item)
    elif is_dataclass(loaded):
        for field in fields(loaded):
            yield from _tensors(getattr(loaded, field.name))

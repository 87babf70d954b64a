"""Bytes and multiplications of full-size networks, counted on the meta device: shapes are computed, values are not."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


class Meter(TorchDispatchMode):
    """Counts while the block lasts.

    Attributes:
        peak: Most bytes of tensors that were alive together: all that the block made, and what `hold` was given.
        flops: Multiplications and additions.
        attention: Those of attention, which are part of `flops`.
        traffic: Bytes that operations without multiplications read and wrote.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = self.flops = self.attention = self.traffic = 0
        self._live: dict[int, int] = {}
        self._bytes = 0

    def hold(self, *tensors: torch.Tensor) -> None:
        """Count tensors that were made before the block, such as weights and inputs."""
        for tensor in tensors:
            self._add(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        is_counted = func._overloadpacket in flop_registry
        if not is_counted and func is not torch.ops.prim.device.default:
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **kwargs)
        made = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
        if is_counted:
            self.flops += flop_registry[func._overloadpacket](*args, **kwargs, out_val=out)
        elif not any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns):
            given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
            self.traffic += sum(t.numel() * t.element_size() for t in (*given, *made))
        for tensor in made:
            self._add(tensor)
        return out

    def fused_attention(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any
    ) -> torch.Tensor:
        """Count attention as a fused kernel does it: the matrix of weights is never in memory."""
        work = 4 * query.numel() * key.shape[-2]
        self.attention += work
        self.flops += work
        batch, heads, tokens = query.shape[:3]
        made = query.new_empty(batch, tokens, heads, value.shape[-1])
        return made.transpose(1, 2)  # as the kernels lay it out

    def _add(self, tensor: torch.Tensor) -> None:
        if tensor.device.type != "meta":
            return
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._live:
            return
        self._live[key] = size
        self._bytes += size
        self.peak = max(self.peak, self._bytes)
        weakref.finalize(storage, self._remove, key)

    def _remove(self, key: int) -> None:
        self._bytes -= self._live.pop(key, 0)


@contextmanager
def metered(network: torch.nn.Module, *inputs: torch.Tensor) -> Iterator[Meter]:
    """Count what the block does on the meta device.

    Args:
        network: Its weights and buffers count as in memory. No reference to them is kept: layerwise casting replaces
            them.
        *inputs: Tensors that are in memory, too.
    """
    meter = Meter()
    attention = mock.patch.object(torch.nn.functional, "scaled_dot_product_attention", meter.fused_attention)
    with torch.inference_mode(), attention, meter:
        meter.hold(*network.parameters(), *network.buffers(), *inputs)
        yield meter

"""A CUDA device that is made of CPU memory, so that the path for CUDA can be tested without a GPU.

All tensors are ordinary CPU tensors. A table holds the storages that are "on the GPU". A dispatch mode reads the table
before each operation, raises an error where CUDA would refuse to mix devices, and adds the storages of results to it.

What it shows: mixed devices, tensors that stay on the GPU, copies between host and GPU, operations that make the host
wait, and a lack of memory. What it does not show: rounding of CUDA kernels, dtypes that a kernel lacks, the order of
work on several streams, workspaces of kernels, and time.

Limits: the mode belongs to one thread. Networks must run in `torch.inference_mode`: outside of it, autograd splits
composite operations in C++, which takes the device from the real tensors. `copy.deepcopy` of a tensor that is no
parameter gives a tensor on the CPU.
"""

import contextlib
import functools
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
import torch._dynamo  # a dispatch mode imports it on its first call, when what it reads of torch is replaced
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
GIB = 1 << 30
_REAL_DEVICE: Callable[[torch.Tensor], torch.device] = torch._C.TensorBase.device.__get__
_REAL_TO, _REAL_NUMPY, _REAL_TOLIST = torch.Tensor.to, torch.Tensor.numpy, torch.Tensor.tolist
_REAL_GENERATOR = torch.Generator

# The host waits for the result of these operations, because it needs a value, a shape that depends on
# values, or the code of an error.
_WAITS_FOR_VALUES = frozenset({
    "_local_scalar_dense", "_unique2", "allclose", "argwhere", "bincount", "equal", "is_nonzero", "item",
    "linalg_eigh", "linalg_inv", "linalg_lstsq", "linalg_solve", "linalg_svd", "masked_select", "nonzero",
    "nonzero_numpy", "one_hot", "unique_consecutive", "unique_dim", "unique_dim_consecutive",
})  # fmt: skip
# So it does for these overloads alone: `where` of a condition alone, and repetitions that a tensor states.
_WAITING_OVERLOADS = frozenset(
    {"aten.where.default", "aten.repeat_interleave.Tensor", "aten.repeat_interleave.self_Tensor"}
)
# Elementwise operations take a CPU tensor without dimensions beside GPU tensors. All other operations refuse it.
_TAKES_CPU_SCALARS = frozenset({
    "add", "addcdiv", "addcmul", "atan2", "bitwise_and", "bitwise_or", "bitwise_xor", "clamp", "clip", "copysign",
    "div", "divide", "eq", "fill", "float_power", "floor_divide", "fmax", "fmin", "fmod", "ge", "greater",
    "greater_equal", "gt", "hypot", "le", "lerp", "less", "less_equal", "logical_and", "logical_or", "logical_xor",
    "lt", "masked_fill", "maximum", "minimum", "mul", "multiply", "ne", "not_equal", "pow", "remainder", "rsub", "sub",
    "subtract", "true_divide", "where", "xlogy", "and", "or", "xor", "rpow",
})  # fmt: skip
_INDEXING = frozenset({"index", "_unsafe_index", "index_put", "_index_put_impl"})
# These read no more of their second tensor than its shape and its kind.
_READS_NO_VALUES = frozenset({"expand_as", "reshape_as", "view_as", "_has_compatible_shallow_copy_type"})


class DeviceMismatchError(RuntimeError):
    """Tensors of two devices in one operation."""


class StorageTable:
    """A set of storages and the sum of their bytes. It does not keep them alive."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[StorageWeakRef, int]] = {}
        self._bytes = 0

    def holds(self, tensor: torch.Tensor) -> bool:
        """Return whether a tensor's storage is in the table."""
        key = tensor.untyped_storage()._cdata
        entry = self._entries.get(key)
        if entry is None:
            return False
        if entry[0].expired():
            self._drop(key)
            return False
        return True

    def add(self, tensor: torch.Tensor) -> None:
        """Add a tensor's storage, which the table may hold already."""
        if not self.holds(tensor):
            storage = tensor.untyped_storage()
            self._entries[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
            self._bytes += storage.nbytes()

    def discard(self, tensor: torch.Tensor) -> None:
        """Remove a tensor's storage."""
        if self.holds(tensor):
            self._drop(tensor.untyped_storage()._cdata)

    def add_all(self, other: "StorageTable") -> None:
        """Add the storages of another table that are not freed."""
        other.bytes_alive()
        self._entries |= other._entries

    def bytes_at_most(self) -> int:
        """Return the bytes of all storages, freed ones included unless they were removed already."""
        return self._bytes

    def bytes_alive(self) -> int:
        """Remove freed storages and return the bytes of the others."""
        for key in [key for key, (reference, _) in self._entries.items() if reference.expired()]:
            self._drop(key)
        return self._bytes

    def _drop(self, key: int) -> None:
        self._bytes -= self._entries.pop(key)[1]


@dataclass
class Copies:
    """Copies in one direction, by the source line that asked for them.

    Attributes:
        counts: How many.
        sizes: Their bytes.
        blocking: How many of them the host waited for.
    """

    counts: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    blocking: Counter[str] = field(default_factory=Counter)

    def record(self, size: int, *, blocking: bool = True) -> None:
        """Count a copy of some bytes for the line that runs now."""
        line = source_line()
        self.counts[line] += 1
        self.sizes[line] += size
        self.blocking[line] += blocking


_LEFT_BEHIND = StorageTable()  # by former pretended GPUs, in caches of libraries: they stay on the GPU


class PretendedGpu:
    """The GPU's memory and what happened on it.

    Attributes:
        total: Bytes of its memory.
        capability: Compute capability (major, minor).
        syncs: Operations that made the host wait for the GPU, by source line; copies are not among them.
        to_host: Copies from the GPU to the host.
        to_gpu: Copies from the host to the GPU.
        peak: The most bytes that were allocated at once.
        reserved: The most bytes that were allocated at once since the cache was emptied.
        refused: How many allocations lacked memory.
        peak_pinned: The most bytes of host memory that were pinned at once.
    """

    def __init__(self, total: int, capability: tuple[int, int]) -> None:
        self.total, self.capability = total, capability
        self.syncs: Counter[str] = Counter()
        self.to_host, self.to_gpu = Copies(), Copies()
        self.peak = self.reserved = self.refused = self.peak_pinned = 0
        self.is_moving = False  # the dispatch mode lets everything pass meanwhile
        self._storages, self._pinned = StorageTable(), StorageTable()
        self._generators: set[int] = set()

    def allocated(self) -> int:
        """Return the bytes of all tensors on the GPU."""
        return self._storages.bytes_alive()

    def holds(self, tensor: torch.Tensor) -> bool:
        """Return whether a tensor is on the GPU."""
        return self._storages.holds(tensor) or _LEFT_BEHIND.holds(tensor)

    def put(self, tensor: torch.Tensor) -> None:
        """Allocate a tensor on the GPU.

        Raises:
            torch.OutOfMemoryError: The GPU lacks the memory.
        """
        if _LEFT_BEHIND.holds(tensor):
            return
        self._storages.add(tensor)
        # Freed storages are looked for only when the sum reaches a new maximum: that makes the maximum exact.
        if self._storages.bytes_at_most() <= min(self.reserved, self.peak, self.total):
            return
        allocated = self.allocated()
        if allocated > self.total:
            self._storages.discard(tensor)
            self.refused += 1
            size = tensor.untyped_storage().nbytes()
            raise torch.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {size} bytes. GPU 0 has a total capacity of {self.total} bytes "
                f"of which {self.total - allocated + size} bytes are free."
            )
        self.reserved = max(self.reserved, allocated)
        self.peak = max(self.peak, allocated)

    def leave(self) -> None:
        """End the device: what other code still holds stays on the GPU of later pretended devices."""
        _LEFT_BEHIND.add_all(self._storages)

    def empty_cache(self) -> None:
        """Give freed memory back to the driver."""
        self.reserved = self.allocated()

    def pin(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a copy of a CPU tensor in pinned memory, or the tensor itself if it is pinned."""
        if self.holds(tensor):
            raise RuntimeError("cannot pin 'torch.cuda.Tensor' only dense CPU tensors can be pinned")
        if self.is_pinned(tensor):
            return tensor
        copy = tensor.clone()
        self._pinned.add(copy)
        if self._pinned.bytes_at_most() > self.peak_pinned:
            self.peak_pinned = max(self.peak_pinned, self._pinned.bytes_alive())
        return copy

    def is_pinned(self, tensor: torch.Tensor) -> bool:
        """Return whether a tensor is in pinned memory."""
        return self._pinned.holds(tensor)

    def move(
        self, tensor: torch.Tensor, device: torch.device, dtype: torch.dtype, layout: torch.memory_format,
        *, blocking: bool,
    ) -> torch.Tensor:  # fmt: skip
        """Return a copy of a tensor on the other device."""
        self.is_moving = True
        try:
            copy = _REAL_TO(tensor, dtype, copy=True, memory_format=layout)
        finally:
            self.is_moving = False
        to_gpu = device.type == "cuda"
        (self.to_gpu if to_gpu else self.to_host).record(copy.numel() * copy.element_size(), blocking=blocking)
        if to_gpu:
            self.put(copy)
        return copy

    def record_sync(self, what: str) -> None:
        """Count an operation that makes the host wait, for the line that runs now."""
        self.syncs[f"{what} at {source_line()}"] += 1

    def adopt(self, generator: torch.Generator) -> None:
        """Make a generator one of the GPU. It keeps drawing the CPU's numbers."""
        self._generators.add(generator._cdata)  # type: ignore[attr-defined]  # the stubs lack it

    def owns(self, generator: torch.Generator) -> bool:
        """Return whether a generator belongs to the GPU; operations get it in a new Python object."""
        return generator._cdata in self._generators  # type: ignore[attr-defined]


def source_line() -> str:
    """Return the innermost line of the product, and after "<" the innermost one outside of torch, as folder/file:line.

    Both are the same if the product called torch itself.
    """
    own = outside = ""
    frame = sys._getframe(1)
    while frame is not None and not own:
        file = frame.f_code.co_filename
        if "/torch/" not in file and file != __file__:
            place = f"{'/'.join(file.split('/')[-2:])}:{frame.f_lineno}"
            outside = outside or place
            own = place if "/vremove_cli/" in file else ""
        frame = frame.f_back  # type: ignore[assignment]
    return f"{own or '?'} < {outside}"


@functools.cache
def _name(operation: Any) -> str:
    """An operation's name without its overload, underscores around it removed: aten.add_.Tensor is "add"."""
    name = str(operation._schema.name).split("::")[1]
    return name.strip("_") if name.startswith("__") else name.rstrip("_")


def _tensors_in(values: Any) -> Iterator[torch.Tensor]:
    """Yield the CPU tensors among an operation's arguments or results, which are values and lists of values."""
    for value in values:
        if isinstance(value, torch.Tensor):
            if _REAL_DEVICE(value).type == "cpu":
                yield value
        elif isinstance(value, list | tuple):
            yield from _tensors_in(value)


class _DeviceMode(TorchDispatchMode):
    """Checks the devices of each operation, and adds its results to the GPU's memory."""

    def __init__(self, gpu: PretendedGpu) -> None:
        super().__init__()
        self._gpu = gpu

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and the wrapper around each call takes longer than the call

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        asked = (kwargs or {}).get("device")
        device = None if asked is None else torch.device(asked)
        if self._gpu.is_moving or (device is not None and device.type not in ("cpu", "cuda")):
            return func(*args, **(kwargs or {}))
        kwargs = {**kwargs} if kwargs else {}
        if device is not None:
            kwargs["device"] = CPU
        if kwargs.get("pin_memory"):
            kwargs["pin_memory"] = False
        tensors = list(_tensors_in((*args, *kwargs.values())))
        on_gpu = [self._gpu.holds(t) for t in tensors]
        name = _name(func)
        if tensors and name in ("copy", "_to_copy", "to"):
            blocking = not (kwargs.get("non_blocking") or (name == "copy" and args[2:] == (True,)))
            is_gpu_result = self._copy(name, tensors, on_gpu, device, blocking=blocking)
        else:
            is_gpu_result = self._check(func, tensors, on_gpu, device)
        self._check_generator(kwargs.get("generator"), is_gpu_result)
        if is_gpu_result:
            self._record_syncs(func, args, kwargs)
        result = func(*args, **kwargs)
        if is_gpu_result:
            for tensor in _tensors_in(result if isinstance(result, list | tuple) else (result,)):
                self._gpu.put(tensor)
        return result

    def _copy(
        self, name: str, tensors: list[torch.Tensor], on_gpu: list[bool], device: torch.device | None, *, blocking: bool
    ) -> bool:
        """Count a copy between devices, and return whether its result is on the GPU.

        A conversion stays where it is unless it asks for the GPU. `Tensor.to` is replaced and does not come here; C++
        asks for the CPU where it takes a tensor's own device.
        """
        if name == "copy":
            target, source = on_gpu[0], on_gpu[-1]
        else:
            source = on_gpu[0]
            target = source or (device is not None and device.type == "cuda")
        if source != target:
            copies = self._gpu.to_gpu if target else self._gpu.to_host
            copies.record(tensors[-1].numel() * tensors[-1].element_size(), blocking=blocking)
        return target

    def _check(self, func: Any, tensors: list[torch.Tensor], on_gpu: list[bool], device: torch.device | None) -> bool:
        """Return whether an operation's result is on the GPU.

        Raises:
            DeviceMismatchError: CUDA would refuse the devices of its arguments.
        """
        if device is not None:
            return device.type == "cuda"
        if all(on_gpu) or not any(on_gpu):
            return any(on_gpu)
        name = _name(func)
        if name in _READS_NO_VALUES:
            return on_gpu[0]
        if not self._may_mix(func, name, tensors, on_gpu):
            shapes = ", ".join(
                f"{'cuda' if there else 'cpu'}{tuple(t.shape)}" for t, there in zip(tensors, on_gpu, strict=True)
            )
            raise DeviceMismatchError(
                f"Expected all tensors to be on the same device, but {func} got {shapes} at {source_line()}"
            )
        return True

    def _may_mix(self, func: Any, name: str, tensors: list[torch.Tensor], on_gpu: list[bool]) -> bool:
        """Whether CUDA takes these tensors of both devices together."""
        if not on_gpu[0] and (name in _INDEXING or func._schema.is_mutable):
            return False
        apart = [t for t, there in zip(tensors, on_gpu, strict=True) if not there]
        if name in _INDEXING:  # indices are brought to the GPU; a value has to be there or to be a scalar
            value = tensors[-1] if "put" in name else None
            for index in (t for t in apart if t is not value):
                self._gpu.to_gpu.record(index.numel() * index.element_size())
            return value is None or value.dim() == 0 or all(t is not value for t in apart)
        return name in _TAKES_CPU_SCALARS and all(t.dim() == 0 for t in apart)

    def _check_generator(self, generator: torch.Generator | None, is_gpu_result: bool) -> None:
        if generator is not None and self._gpu.owns(generator) != is_gpu_result:
            there, own = ("cuda", "cpu") if is_gpu_result else ("cpu", "cuda")
            raise RuntimeError(f"Expected a '{there}' device type for generator but found '{own}'")

    def _record_syncs(self, func: Any, args: Any, kwargs: Any) -> None:
        """Count an operation that makes the host wait for the GPU."""
        name = _name(func)
        waits = name in _WAITS_FOR_VALUES or (str(func) in _WAITING_OVERLOADS and kwargs.get("output_size") is None)
        if name in _INDEXING:  # the number of elements under a mask is known once the mask is
            masks = [t for t in _tensors_in(args[1:2]) if t.dtype in (torch.bool, torch.uint8)]
            waits = any(self._gpu.holds(mask) for mask in masks)
        if waits:
            self._gpu.record_sync(name)


def _tensor_patches(gpu: PretendedGpu) -> dict[str, Any]:
    """What replaces the attributes of `torch.Tensor` that tell or change the device."""

    def device(tensor: torch.Tensor) -> torch.device:
        real = _REAL_DEVICE(tensor)
        return CUDA if real.type == "cpu" and gpu.holds(tensor) else real

    def to(tensor: torch.Tensor, *args: Any, copy: bool = False, **kwargs: Any) -> torch.Tensor:
        if args and isinstance(args[0], torch.Tensor):
            args = (args[0].device, args[0].dtype, *args[1:])
        target, dtype, non_blocking, layout = torch._C._nn._parse_to(*args, **kwargs)
        dtype, layout = dtype or tensor.dtype, layout or torch.preserve_format
        here = device(tensor)
        if here.type == "meta" or (target is not None and target.type == "meta"):
            return _REAL_TO(tensor, target or here, dtype, copy=copy)
        if target is None or target.type == here.type:
            return _REAL_TO(tensor, dtype, copy=copy, memory_format=layout)
        return gpu.move(tensor, target, dtype, layout, blocking=not non_blocking)

    def numpy(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if gpu.holds(tensor):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        return _REAL_NUMPY(tensor, *args, **kwargs)

    def record_stream(tensor: torch.Tensor, stream: Any) -> None:
        if not gpu.holds(tensor):
            raise RuntimeError("record_stream is for tensors on the GPU")

    return {
        "device": property(device),
        "is_cuda": property(lambda tensor: device(tensor).type == "cuda"),
        "is_cpu": property(lambda tensor: device(tensor).type == "cpu"),
        "get_device": lambda tensor: 0 if gpu.holds(tensor) else -1,
        "to": to,
        "cpu": lambda tensor, **kwargs: to(tensor, "cpu", **kwargs),
        "cuda": lambda tensor, _=None, **kwargs: to(tensor, "cuda", **kwargs),
        "type_as": to,
        "numpy": numpy,
        "tolist": lambda tensor: _REAL_TOLIST(to(tensor, "cpu")),
        "new_tensor": lambda tensor, data, **kwargs: _made_by(torch.tensor, gpu)(
            data, **{"device": device(tensor), "dtype": tensor.dtype, **kwargs}
        ),
        "pin_memory": lambda tensor, *_: gpu.pin(tensor),
        "is_pinned": lambda tensor, *_: gpu.is_pinned(tensor),
        "record_stream": record_stream,
    }


def _made_by(make: Callable[..., torch.Tensor], gpu: PretendedGpu) -> Callable[..., torch.Tensor]:
    """A function that makes a tensor of data as `make` does: on the CPU, and then on the device that is asked for."""

    @functools.wraps(make)
    def made(data: Any, *args: Any, device: Any = None, **kwargs: Any) -> torch.Tensor:
        for scalar in _tensors_in(data if isinstance(data, list | tuple) else ()):
            if gpu.holds(scalar):
                gpu.record_sync("item")  # each scalar of a list is read on the host
        if device is None or torch.device(device).type not in ("cpu", "cuda"):
            return make(data, *args, **({} if device is None else {"device": device}), **kwargs)
        return make(data, *args, **kwargs).to(device)

    return made


class _Event:
    """Replaces `torch.cuda.Event`. All work is done at once, so that only waiting of the host is recorded."""

    gpu: PretendedGpu

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def record(self, *_: Any) -> None: ...

    def wait(self, *_: Any) -> None: ...

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        self.gpu.record_sync("Event.synchronize")

    def elapsed_time(self, _: Any) -> float:
        return 0.0


class _Stream:
    """Replaces `torch.cuda.Stream`."""

    gpu: PretendedGpu
    device = CUDA

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def wait_stream(self, *_: Any) -> None: ...

    def wait_event(self, *_: Any) -> None: ...

    def record_event(self, event: Any = None) -> Any:
        return event or torch.cuda.Event()

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        self.gpu.record_sync("Stream.synchronize")


def _generator_type(gpu: PretendedGpu) -> type:
    """What replaces `torch.Generator`."""

    class Generator(_REAL_GENERATOR):
        device = CUDA

        def __new__(cls, device: Any = "cpu") -> Any:
            if torch.device(device).type != "cuda":
                return _REAL_GENERATOR(device)
            made = super().__new__(cls)
            gpu.adopt(made)
            return made

    return Generator


def _cuda_patches(gpu: PretendedGpu) -> dict[str, Any]:
    """What replaces the functions and types of `torch.cuda`."""
    name = "a pretended GPU"
    properties = SimpleNamespace(
        name=name, major=gpu.capability[0], minor=gpu.capability[1], total_memory=gpu.total, multi_processor_count=132,
        gcnArchName="", uuid="00000000-0000-0000-0000-000000000001",
    )  # fmt: skip
    stream_type, event_type = (type(t.__name__[1:], (t,), {"gpu": gpu}) for t in (_Stream, _Event))
    default = stream_type()
    return {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda _: None,
        "device": lambda _: contextlib.nullcontext(),
        "get_device_name": lambda *_: name,
        "get_device_capability": lambda *_: gpu.capability,
        "get_device_properties": lambda *_: properties,
        "is_bf16_supported": lambda *_, **__: gpu.capability >= (8, 0),
        "mem_get_info": lambda *_: (gpu.total - max(gpu.reserved, gpu.allocated()), gpu.total),
        "memory_allocated": lambda *_: gpu.allocated(),
        "memory_reserved": lambda *_: gpu.reserved,
        "max_memory_allocated": lambda *_: gpu.peak,
        "max_memory_reserved": lambda *_: gpu.peak,
        "reset_peak_memory_stats": lambda *_: setattr(gpu, "peak", gpu.allocated()),
        "empty_cache": gpu.empty_cache,
        "ipc_collect": lambda: None,
        "synchronize": lambda *_: gpu.record_sync("cuda.synchronize"),
        "Stream": stream_type,
        "Event": event_type,
        "stream": lambda _: contextlib.nullcontext(),
        "current_stream": lambda *_: default,
        "default_stream": lambda *_: default,
    }


@contextlib.contextmanager
def pretended_gpu(total_bytes: int = 80 * GIB, capability: tuple[int, int] = (9, 0)) -> Iterator[PretendedGpu]:
    """Let torch have a CUDA device while the block runs.

    Args:
        total_bytes: The device's memory; an allocation beyond it raises `torch.OutOfMemoryError`.
        capability: Its compute capability; (9, 0) is that of an H100.

    Yields:
        The device, with records of what happened on it.
    """
    _device_constructors()  # torch keeps this list of its functions for ever: it must not see the replaced ones
    gpu = PretendedGpu(total_bytes, capability)
    with contextlib.ExitStack() as stack:

        def replace(owner: Any, replacements: dict[str, Any]) -> None:
            for name, value in replacements.items():
                stack.enter_context(mock.patch.object(owner, name, value))

        replace(torch.Tensor, _tensor_patches(gpu))
        replace(torch.cuda, _cuda_patches(gpu))
        replace(torch, {name: _made_by(getattr(torch, name), gpu) for name in ("tensor", "as_tensor", "asarray")})
        replace(torch, {"Generator": _generator_type(gpu)})
        stack.enter_context(_DeviceMode(gpu))
        stack.callback(gpu.leave)
        yield gpu

"""Where a remover's networks are while they run, chosen from what they need and what the GPU has."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from vremove_cli.errors import MemoryLimitError, VremoveError
from vremove_cli.networks import devices
from vremove_cli.networks.arithmetic import Arithmetic, arithmetic_here, torch_dtype
from vremove_cli.networks.attention import attention_order
from vremove_cli.networks.model_pool import Kind, pool
from vremove_cli.removers.common.vram_estimate import TILES, MemoryMode, Network, Weights, vram_bytes

if TYPE_CHECKING:
    import torch
    from diffusers import ModelMixin
    from transformers import PreTrainedModel

    from vremove_cli.removers.base import Settings

Asked = Literal["auto", "resident", "fp8", "offload"]  # the values of --memory
Result = TypeVar("Result")

RESIDENT = MemoryMode()
_REMOVER_KINDS: tuple[Kind, ...] = ("remove", "refine", "vae", "encode", "embeds")
_TRANSFORMERS: tuple[Kind, ...] = ("remove", "refine")
_ENCODER_KINDS: tuple[Kind, ...] = ("encode",)
_ENCODER = 1.1  # memory of an encoder that runs, in memories of its weights; chosen by eye
# What is left free: kernels' workspaces and fragments, which no count of tensors shows. Chosen, not measured.
_MARGIN_SHARE, _MARGIN_BYTES = 0.03, 400_000_000
_COMPILER = ("torch._dynamo", "torch._inductor", "triton")  # modules whose exceptions come from compiling
_EXACT = "time_embedding"  # modules of CogVideoX that diffusers would store in 8 bits; Wan's are kept by its own list


@dataclass(frozen=True)
class Runtime:
    """Where and how a remover's networks run.

    Attributes:
        device: cuda, xpu, mps or cpu.
        dtype: Type of the transformer and of encoders.
        vae_dtype: Type of the VAE.
        mode: Where the transformer's weights are.
        compiled: Whether the transformer's blocks are compiled.
    """

    device: str
    dtype: "torch.dtype"
    vae_dtype: "torch.dtype"
    mode: MemoryMode
    compiled: bool = False


def runtime_of(
    arithmetic: Arithmetic,
    mode: MemoryMode = RESIDENT,
    *,
    deep: bool = False,
    compiled: bool = False,
    half: bool = False,
) -> Runtime:
    """Return how a remover's networks run.

    In bfloat16 a VAE is wrong by half a level of 8 bits: for a deeper clip it runs in float32.

    Args:
        arithmetic: How networks compute.
        mode: Where the transformer's weights are.
        deep: Whether the clip has more than 8 bits a component.
        compiled: Whether blocks are to be compiled, which is done only where all weights stay on the device.
        half: Whether the transformer's type on a GPU is float16, and the VAE's float32.
    """
    import torch

    dtype = torch_dtype(arithmetic.dtype_of(half=half))
    vae_dtype = torch.float32 if deep or half else dtype
    return Runtime(arithmetic.device, dtype, vae_dtype, mode, compiled and mode.weights == "resident")


@dataclass(frozen=True)
class Demand:
    """What a job asks of a remover's networks.

    Attributes:
        network: The bytes of its networks; None for a remover without networks.
        size: (width, height) of the frames in pixels.
        batch: Inputs of the transformer that run together: 2 with guidance.
        deep: Whether the clip has more than 8 bits: the VAE then runs in float32.
    """

    network: Network | None
    size: tuple[int, int]
    batch: int = 1
    deep: bool = False

    def bytes_in(self, mode: MemoryMode, arithmetic: Arithmetic) -> int:
        """Return the bytes of a device's memory that a mode takes; for a CPU, what it would take of a GPU."""
        half = self.network is not None and self.network.half
        return self._bytes(mode, float32=arithmetic.device != "cpu" and arithmetic.dtype_of(half=half) == "float32")

    def bytes_of(self, runtime: Runtime) -> int:
        """Return the same for networks as they run."""
        return self._bytes(runtime.mode, float32=runtime.device != "cpu" and runtime.dtype.itemsize > 2)

    def _bytes(self, mode: MemoryMode, *, float32: bool) -> int:
        if self.network is None:
            return 0
        deep = self.deep or self.network.half
        return vram_bytes(self.network, mode, self.size, batch=self.batch, float32=float32, float32_vae=deep)


def choose_mode(
    demand: Demand,
    arithmetic: Arithmetic,
    asked: Asked = "auto",
    available: float | None = None,
    *,
    elsewhere: bool = False,
) -> MemoryMode:
    """Return the best memory mode that fits into the memory that a remover could have; the least one if none fits.

    In order: all in GPU memory, then with the VAE in tiles, as large as possible; block by block, where the machine's
    own memory holds the weights; in 8 bits.

    Args:
        demand: What the job asks of the networks.
        arithmetic: How they compute. A CPU has no memory of its own to run out of.
        asked: How the weights are stored; auto: any way.
        available: Bytes that a remover could have on the device; None: what it could have on this machine's.
        elsewhere: Whether another machine's own memory counts, which is taken to hold the weights.
    """
    if demand.network is None or arithmetic.device == "cpu":
        return MemoryMode("fp8" if asked == "fp8" and demand.network else "resident")
    available = available_memory(arithmetic.device) if available is None else available
    modes = list(_modes(asked, elsewhere or holds_on_host(demand.network)))
    fitting = (mode for mode in modes if demand.bytes_in(mode, arithmetic) <= available)
    return next(fitting, min(modes, key=lambda mode: demand.bytes_in(mode, arithmetic)))


def _modes(asked: Asked, offloads: bool) -> Iterator[MemoryMode]:
    """Yield memory modes, best first."""
    wanted: tuple[Weights, ...] = ("resident", "offload", "fp8") if asked == "auto" else (asked,)
    for weights in wanted:
        if weights != "offload" or offloads or asked == "offload":
            yield from (MemoryMode(weights, tile) for tile in (0, *TILES))


def holds_on_host(network: Network, values: int = 1) -> bool:
    """Return whether the machine's memory holds a transformer's weights.

    Args:
        network: The network.
        values: Size of a value, in values of bfloat16: 2 for float32, in which a CPU runs it.
    """
    import psutil

    return values * network.resident < psutil.virtual_memory().available


def mode_here(mode: MemoryMode, demand: Demand, arithmetic: Arithmetic) -> MemoryMode:
    """Return a planned mode as this machine runs it: block by block in place of resident, where the memory is short.

    The result is the same, so that machines with different GPUs make one clip alike.

    Args:
        mode: The mode of the plan.
        demand: What the job asks of the networks.
        arithmetic: How they compute.
    """
    if arithmetic.device == "cpu":
        return MemoryMode("fp8" if mode.weights == "fp8" else "resident", mode.tile)
    if mode.weights != "resident" or demand.bytes_in(mode, arithmetic) <= available_memory(arithmetic.device):
        return mode
    return MemoryMode("offload", mode.tile)


def run_networks(run: Callable[[Runtime], Result], settings: "Settings", demand: Demand, head_channels: int) -> Result:
    """Return what `run` returns for the arithmetic and the memory mode of a job, as this machine runs them.

    Args:
        run: Runs a remover's networks.
        settings: The settings of the remover.
        demand: What the job asks of the networks.
        head_channels: Channels of an attention head.

    Raises:
        UsageError: This machine lacks the device.
        MemoryLimitError: GPU memory runs out.
        VremoveError: Blocks are to be compiled, and torch cannot do that here.
    """
    import torch

    arithmetic = settings.arithmetic or arithmetic_here(devices.choose_device(settings.device)[0])
    half = demand.network is not None and demand.network.half

    def in_mode(mode: MemoryMode) -> Result:
        return run(runtime_of(arithmetic, mode, deep=settings.deep, compiled=settings.compile, half=half))

    with torch.inference_mode(), attention_order(arithmetic.attention, head_channels):
        return run_within_memory(in_mode, mode_here(settings.memory, demand, arithmetic))


def run_within_memory(run: Callable[[MemoryMode], Result], mode: MemoryMode) -> Result:
    """Return what `run` returns for a mode; if GPU memory runs out, run it again block by block, with the same result.

    Raises:
        MemoryLimitError: The memory runs out again, or there is no smaller mode of the same result.
        VremoveError: Blocks are to be compiled, and torch cannot do that here.
    """
    import torch

    try:
        with _compiler_errors():
            return run(mode)
    except torch.OutOfMemoryError:
        pass  # the exception keeps the tensors of the failed run alive: the second run is outside of its block
    pool.release(*_TRANSFORMERS)
    if mode.weights == "resident":
        try:
            return run(MemoryMode("offload", mode.tile))
        except torch.OutOfMemoryError:
            pass
        pool.release(*_TRANSFORMERS)
    advice = "give a smaller --size, --memory fp8, or --device cpu"
    raise MemoryLimitError("the GPU is out of memory", f"close other programs on it, {advice}")


@contextmanager
def _compiler_errors() -> Iterator[None]:
    """Turn an exception of torch's compiler into a `VremoveError`."""
    try:
        yield
    except Exception as error:
        if not any(kind.__module__.startswith(_COMPILER) for kind in type(error).__mro__):
            raise
        problem = f"torch cannot compile the network here ({str(error).strip().splitlines()[0]})"
        raise VremoveError(problem, "leave --compile out, or install a compiler that torch can use") from error


def make_room(kind: Kind, need: int, runtime: Runtime) -> None:
    """Release the pool's network of a kind, unless there is memory for another network beside it.

    Args:
        kind: Kind of the network to release.
        need: Bytes that the other network takes.
        runtime: How the networks run. Those on the CPU, and those moved block by block, take the machine's memory.
    """
    import psutil

    on_host = runtime.device == "cpu" or runtime.mode.weights == "offload"
    others = [other for other in _REMOVER_KINDS if other != kind]
    free = psutil.virtual_memory().available if on_host else available_memory(runtime.device, others)
    if need > free:
        pool.release(kind)


def available_memory(device: str, replaced: Collection[Kind] = _REMOVER_KINDS) -> float:
    """Return the bytes of memory that networks of some kinds could have on a device; infinite on a CPU.

    That is the free memory and what torch has reserved, without a margin and without the networks of other kinds that
    the pool holds.

    Args:
        device: cuda, xpu, mps or cpu.
        replaced: Kinds of networks that the memory is for: what the pool holds of them makes room for it.
    """
    if device == "cpu":
        return float("inf")
    free = devices.free_bytes(device) - _margin(devices.all_bytes(device))
    return free - pool.held_bytes(device, without=replaced)


def usable_memory(whole: float) -> float:
    """Return the bytes of memory that networks could have on a GPU of another machine that nothing else uses.

    Args:
        whole: Bytes of the GPU's memory.
    """
    return whole - _margin(whole)


def _margin(whole: float) -> float:
    """Return the bytes that are left free of a GPU's memory."""
    return _MARGIN_SHARE * whole + _MARGIN_BYTES


def with_margin(need: int) -> int:
    """Return the bytes of memory of a GPU on which networks could have so many."""
    return int((need + _MARGIN_BYTES) / (1 - _MARGIN_SHARE))


def place_encoder(encoder: "PreTrainedModel", device: str) -> "PreTrainedModel":
    """Return an encoder on a device, or on the CPU if it does not fit: it runs once and its output is small."""
    weights = sum(p.numel() * p.element_size() for p in encoder.parameters())
    fits = _ENCODER * weights < available_memory(device, _ENCODER_KINDS)
    encoder.to(device if fits else "cpu")  # type: ignore[arg-type]  # typed as if called without its instance
    return encoder


def place(transformer: "ModelMixin", runtime: Runtime) -> "ModelMixin":
    """Return a transformer ready to run, its weights stored as the memory mode says."""
    import torch

    device = runtime.device
    if runtime.mode.weights == "fp8":
        return store_in_fp8(transformer).to(device)
    if runtime.mode.weights == "offload":
        overlaps = device in ("cuda", "xpu")
        transformer.enable_group_offload(
            torch.device(device),
            torch.device("cpu"),
            offload_type="block_level" if _own_blocks(transformer) else "leaf_level",
            num_blocks_per_group=1 if _own_blocks(transformer) else None,
            use_stream=overlaps,
            # Pinning all weights at once takes twice their size and minutes: blocks are pinned when they are copied.
            record_stream=overlaps,
            low_cpu_mem_usage=overlaps,
        )
        return transformer
    transformer.to(device)
    if runtime.compiled:
        for block in blocks_of(transformer):
            block.compile()
    return transformer


def blocks_of(network: "ModelMixin") -> "Iterable[torch.nn.Module]":
    """Return a transformer's blocks: compiled one by one, they share one compilation; or the few blocks of a UNet."""
    return _own_blocks(network) or [*network.down_blocks, network.mid_block, *network.up_blocks]


def _own_blocks(network: "ModelMixin") -> "Iterable[torch.nn.Module] | None":
    """Return a transformer's blocks; None for a UNet, whose blocks are few and large: layers are moved one by one."""
    return getattr(network, "blocks", None) or getattr(network, "transformer_blocks", None)


def store_in_fp8(transformer: "ModelMixin") -> "ModelMixin":
    """Store a transformer's weights in 8 bits; each layer is cast to the transformer's own type when it runs."""
    import torch

    own = transformer._skip_layerwise_casting_patterns or ()
    transformer.enable_layerwise_casting(torch.float8_e4m3fn, transformer.dtype, skip_modules_pattern=(*own, _EXACT))
    return transformer

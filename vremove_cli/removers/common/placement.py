"""Where a remover's networks are while they run, chosen from what they need and what the GPU has."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from vremove_cli.networks.model_pool import Kind, pool
from vremove_cli.removers.common.vram_estimate import Network, vram_estimate

if TYPE_CHECKING:
    from diffusers import ModelMixin
    from transformers import PreTrainedModel

_REMOVER_KINDS: tuple[Kind, ...] = ("remove", "vae", "encode", "embeds")
_ENCODER_KINDS: tuple[Kind, ...] = ("encode",)
_MARGIN = 1.1  # memory of an encoder that runs, in memories of its weights; chosen by eye
Result = TypeVar("Result")


@dataclass(frozen=True)
class MemoryMode:
    """How a transformer's weights are stored, and whether the VAE works in tiles.

    Attributes:
        weights: All on the device (resident), all on the device in 8 bits (fp8), or moved there block by block
            (offload).
        tiled: Whether the VAE works in tiles.
    """

    weights: Literal["resident", "fp8", "offload"] = "resident"
    tiled: bool = False


def choose_mode(network: Network | None, size: tuple[int, int], device: str) -> MemoryMode:
    """Return the first mode whose estimate fits into the memory that a remover could have.

    The memory of a remover's networks that are loaded now counts as available, so that the mode is the same for every
    window of a job.

    Args:
        network: Shape of the transformer; None for a remover without networks.
        size: (width, height) of the frames in pixels.
        device: cuda, mps or cpu. Only cuda has memory of its own to run out of.
    """
    if device != "cuda" or network is None:
        return MemoryMode()
    need, available = vram_estimate(network, size), available_memory(device)
    if need.resident <= available:
        return MemoryMode()
    return MemoryMode("fp8" if need.fp8 <= available else "offload", tiled=True)


def available_memory(device: str, replaced: Collection[Kind] = _REMOVER_KINDS) -> float:
    """Return the bytes of memory that networks of some kinds could have on a device; infinite outside of CUDA.

    That is the free memory and what torch has reserved, without the networks of other kinds that the pool holds.

    Args:
        device: cuda, mps or cpu.
        replaced: Kinds of networks that the memory is for: what the pool holds of them makes room for it.
    """
    import torch

    if device != "cuda":
        return float("inf")
    total = torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()
    return float(total - pool.held_bytes(device, without=replaced))


def retry_without_transformer(run: Callable[[], Result]) -> Result:
    """Return what `run` returns; if GPU memory runs out, release the pool's transformer and run it once more."""
    import torch

    try:
        return run()
    except torch.OutOfMemoryError:
        pass  # the exception keeps the frames of the failed run alive: the retry is outside of its block
    pool.release("remove")
    return run()


def place_encoder(encoder: "PreTrainedModel", device: str) -> "PreTrainedModel":
    """Return an encoder on a device, or on the CPU if it does not fit: it runs once and its output is small."""
    weights = sum(p.numel() * p.element_size() for p in encoder.parameters())
    fits = _MARGIN * weights < available_memory(device, _ENCODER_KINDS)
    encoder.to(device if fits else "cpu")  # type: ignore[arg-type]  # typed as if called without its instance
    return encoder


def place(transformer: "ModelMixin", device: str, mode: MemoryMode) -> "ModelMixin":
    """Return a transformer ready to run on a device, its weights stored as `mode` says."""
    import torch

    if mode.weights == "fp8":
        return store_in_fp8(transformer).to(device)
    if mode.weights == "offload":
        transformer.enable_group_offload(
            torch.device(device),
            torch.device("cpu"),
            offload_type="block_level",
            num_blocks_per_group=1,
            use_stream=device == "cuda",
            # Pinning all weights at once takes twice their size and minutes: blocks are pinned when they are copied.
            record_stream=device == "cuda",
            low_cpu_mem_usage=device == "cuda",
        )
        return transformer
    return transformer.to(device)


def store_in_fp8(transformer: "ModelMixin") -> "ModelMixin":
    """Store a transformer's weights in 8 bits; each layer is cast to the transformer's own type when it runs."""
    import torch

    transformer.enable_layerwise_casting(torch.float8_e4m3fn, transformer.dtype)
    return transformer

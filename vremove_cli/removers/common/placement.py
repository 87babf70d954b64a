"""Where a large transformer lies while it runs, by what it needs and what a GPU has."""

from dataclasses import dataclass
from typing import Any

from vremove_cli.removers.common.vram_estimate import Network, vram_estimate


@dataclass(frozen=True)
class MemoryMode:
    """How weights lie (resident, fp8, offload), and whether the VAE works in tiles."""

    weights: str = "resident"
    tiled: bool = False


def choose_mode(network: Network | None, size: tuple[int, int], device: str) -> MemoryMode:
    """The first mode whose budget at a (width, height) fits in what the device could give, all of it freed: so it is
    the same for every window of a job."""
    if device != "cuda" or network is None:
        return MemoryMode()
    need, there = vram_estimate(network, size), available_memory(device)
    if need.resident <= there:
        return MemoryMode()
    return MemoryMode("fp8" if need.fp8 <= there else "offload", tiled=True)


def available_memory(device: str) -> float:
    """Bytes of memory that this process has or could have on a device; endless where it is not the GPU's own."""
    import torch

    if device != "cuda":
        return float("inf")
    return float(torch.cuda.mem_get_info()[0]) + torch.cuda.memory_reserved()


def place_encoder(encoder: Any, device: str) -> Any:
    """An encoder on a device, or on the CPU where it would not fit: what it says is small, and asked for once."""
    weights = sum(p.numel() * p.element_size() for p in encoder.parameters())
    return encoder.to(device if 1.1 * weights < available_memory(device) else "cpu")


def release_memory() -> None:
    """Give back what was freed: the garbage, and what torch keeps of a GPU for later."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def place(transformer: Any, device: str, mode: MemoryMode) -> Any:
    """A transformer ready to run on a device."""
    import torch

    if mode.weights == "fp8":
        return store_in_fp8(transformer).to(device)
    if mode.weights == "offload":
        transformer.enable_group_offload(
            torch.device(device), torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1,
            use_stream=device == "cuda",
        )  # fmt: skip
        return transformer
    return transformer.to(device)


def store_in_fp8(transformer: Any) -> Any:
    """A transformer whose weights lie in 8 bits and are brought to its own type layer by layer, when they are used."""
    import torch

    transformer.enable_layerwise_casting(torch.float8_e4m3fn, transformer.dtype)
    return transformer

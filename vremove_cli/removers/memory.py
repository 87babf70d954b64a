"""Where a large transformer lies while it runs, by what it needs and what a GPU has."""

from dataclasses import dataclass
from typing import Any

from vremove_cli.removers.budget import Network, budget


@dataclass(frozen=True)
class Mode:
    """How weights lie (resident, fp8, offload), and whether the VAE works in tiles."""

    weights: str = "resident"
    tiled: bool = False


def mode_for(network: Network | None, size: tuple[int, int], device: str) -> Mode:
    """The first mode whose budget at a (width, height) fits in what the device could give, all of it freed: so it is
    the same for every window of a job."""
    if device != "cuda" or network is None:
        return Mode()
    need, there = budget(network, size), available(device)
    if need.resident <= there:
        return Mode()
    return Mode("fp8" if need.fp8 <= there else "offload", tiled=True)


def available(device: str) -> float:
    """Bytes of memory that this process has or could have on a device; endless where it is not the GPU's own."""
    import torch

    if device != "cuda":
        return float("inf")
    return float(torch.cuda.mem_get_info()[0]) + torch.cuda.memory_reserved()


def home(encoder: Any, device: str) -> Any:
    """An encoder on a device, or on the CPU where it would not fit: what it says is small, and asked for once."""
    weights = sum(p.numel() * p.element_size() for p in encoder.parameters())
    return encoder.to(device if 1.1 * weights < available(device) else "cpu")


def released() -> None:
    """Give back what was freed: the garbage, and what torch keeps of a GPU for later."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def placed(transformer: Any, device: str, mode: Mode) -> Any:
    """A transformer ready to run on a device."""
    import torch

    if mode.weights == "fp8":
        return in_8_bits(transformer).to(device)
    if mode.weights == "offload":
        transformer.enable_group_offload(
            torch.device(device), torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1,
            use_stream=device == "cuda",
        )  # fmt: skip
        return transformer
    return transformer.to(device)


def in_8_bits(transformer: Any) -> Any:
    """A transformer whose weights lie in 8 bits and are brought to its own type layer by layer, when they are used."""
    import torch

    transformer.enable_layerwise_casting(torch.float8_e4m3fn, transformer.dtype)
    return transformer

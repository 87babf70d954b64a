"""Where a large transformer lies while it runs, by the memory that a GPU has free."""

from typing import Any

_ROOM = 8e9  # bytes that activations take beside the weights, for a window at the usual size


def mode_for(weights: float, free: float) -> str:
    """How weights of so many bytes (in bfloat16) fit beside the activations: whole, in 8 bits, or block by block."""
    if weights + _ROOM <= free:
        return "resident"
    return "fp8" if weights / 2 + _ROOM <= free else "offload"


def free(device: str) -> float:
    """Bytes of memory that are free on a device; endless where it is not the GPU's own."""
    import torch

    return float(torch.cuda.mem_get_info()[0]) if device == "cuda" else float("inf")


def home(encoder: Any, device: str) -> Any:
    """An encoder on a device, or on the CPU where it would not fit: what it says is small, and asked for once."""
    weights = sum(p.numel() * p.element_size() for p in encoder.parameters())
    return encoder.to(device if 1.1 * weights < free(device) else "cpu")


def placed(transformer: Any, device: str) -> Any:
    """A transformer ready to run on a device, as its memory allows."""
    import torch

    if device != "cuda":
        return transformer.to(device)
    weights = sum(p.numel() * p.element_size() for p in transformer.parameters())
    mode = mode_for(weights, free(device))
    if mode == "fp8":
        return in_8_bits(transformer).to(device)
    if mode == "offload":
        transformer.enable_group_offload(
            torch.device("cuda"), torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1,
            use_stream=True,
        )  # fmt: skip
        return transformer
    return transformer.to(device)


def in_8_bits(transformer: Any) -> Any:
    """A transformer whose weights lie in 8 bits and are brought to its own type layer by layer, when they are used."""
    import torch

    transformer.enable_layerwise_casting(torch.float8_e4m3fn, transformer.dtype)
    return transformer

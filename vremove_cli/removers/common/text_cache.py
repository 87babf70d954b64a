"""What text encoders made of prompts, kept on disk: a large encoder is loaded once on a machine."""

import hashlib
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vremove_cli import atomic
from vremove_cli.networks.phases import clock
from vremove_cli.settings import cache_folder

if TYPE_CHECKING:
    import torch

    States = dict[str, torch.Tensor]


def cached_states(
    files: Collection[Path], prompts: Collection[str], dtype: "torch.dtype", device: str, encode: Callable[[], "States"]
) -> "States":
    """Return an encoder's tensors for some prompts on the CPU: those on disk, or what `encode` returns.

    Args:
        files: The encoder's files: other files, or changed ones, have states of their own.
        prompts: The texts.
        dtype: Type that the encoder runs in.
        device: Device whose time is counted.
        encode: Loads the encoder and runs it.
    """
    from safetensors.torch import load_file, save_file

    facts = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    known = hashlib.sha256(repr((facts, str(dtype), *prompts)).encode()).hexdigest()
    stored = cache_folder() / "text" / f"{known[:32]}.safetensors"
    if stored.is_file():
        with suppress(Exception):  # a damaged file is replaced
            return load_file(stored)
    with clock.phase("text", device):
        states = {name: tensor.cpu() for name, tensor in encode().items()}
    with suppress(OSError):  # a read-only cache only costs time
        stored.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replace_file(stored) as hidden:
            save_file(states, hidden)
    return states

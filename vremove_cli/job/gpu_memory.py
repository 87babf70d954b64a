"""Where a remover's networks will be while they run: decided once, in the plan, for all machines that work on it."""

from math import isinf

from vremove_cli.errors import UsageError
from vremove_cli.job.request import Request
from vremove_cli.job.target import Target
from vremove_cli.media.clip import ClipInfo
from vremove_cli.removers.base import Remover
from vremove_cli.removers.common.placement import Demand, choose_mode
from vremove_cli.removers.common.vram_estimate import MemoryMode


def is_deep(clip: ClipInfo) -> bool:
    """Return whether a clip has more than 8 bits a component."""
    return clip.layout.bits > 8


def demand_of(remover: Remover, request: Request, clip: ClipInfo) -> Demand:
    """Return what a job asks of a remover's networks, for the region that is largest: the whole frame.

    Raises:
        UsageError: The remover cannot work at the size that is asked for.
    """
    size = remover.size(*clip.shown_size) or clip.shown_size
    return remover.spec.demand(request.settings({}, deep=is_deep(clip)), size)


def memory_mode(remover: Remover, request: Request, clip: ClipInfo, target: Target, notes: list[str]) -> MemoryMode:
    """Return the memory mode of `--memory`, or the best that fits into the GPU that the job is planned for.

    Args:
        remover: The remover.
        request: The request.
        clip: The clip.
        target: The device that the job is planned for.
        notes: Gets what the user should know.

    Raises:
        UsageError: The remover has no networks, and `--memory` is given.
    """
    name = remover.spec.name
    if remover.spec.network is None:
        if request.memory != "auto":
            raise UsageError(f"{name} runs no networks on a GPU", "leave --memory out, or choose another --remover")
        return MemoryMode()
    demand = demand_of(remover, request, clip)
    mode = choose_mode(demand, target.arithmetic, request.memory, target.free, elsewhere=not target.measured)
    if target.device != "cpu":
        notes.append(_memory_note(name, demand.bytes_in(mode, target.arithmetic), mode, target))
    elif target.elsewhere and request.device == "auto":
        notes.append(f"{name} is planned for CPUs, as this machine has no GPU: for GPUs add --gpu-memory 24")
    if request.compile and mode.weights != "resident":
        notes.append(f"--compile is left out: {mode}")
    return mode


def _memory_note(name: str, need: int, mode: MemoryMode, target: Target) -> str:
    """Return how much of the GPU's memory a remover takes."""
    free, takes = max(0.0, target.free), f"{name} takes about {need / 1e9:.1f} GB of GPU memory"
    if isinf(free):
        return f"{takes} ({mode}): a GPU with less runs it block by block; --gpu-memory chooses by what there is"
    text = f"{takes}, of {free / 1e9:.1f} GB free ({mode})"
    return text if need <= free else f"{text}: it may run out; give a smaller --size, or --device cpu"

"""Whether a model runs on this machine, and how: in words for `vremove models list`."""

from typing import Literal

from vremove_cli.networks import devices
from vremove_cli.networks.arithmetic import Arithmetic, arithmetic_here
from vremove_cli.removers import registry
from vremove_cli.removers.base import Settings
from vremove_cli.removers.common.placement import available_memory, choose_mode, holds_on_host
from vremove_cli.weights.catalogue import Model

RunsHere = Literal["in memory", "in 8 bits", "block by block", "slowly", "no"]

_CLIP = (1280, 720)  # (width, height) in pixels of the clip that a remover is asked about
_WORDS: dict[str, RunsHere] = {"resident": "in memory", "fp8": "in 8 bits", "offload": "block by block"}
_MEGABYTE = 1_000_000


def runs_here(model: Model) -> RunsHere:
    """Return how a model runs on this machine; "slowly" is on a CPU.

    A part of a remover runs as the remover does, on a clip of 1280x720.
    """
    arithmetic = arithmetic_here(devices.choose_device("auto")[0])
    verdicts = [_remover(name, arithmetic) for name, spec in registry.specs().items() if model.name in spec.all_models]
    if verdicts:
        return min(verdicts, key=[*_WORDS.values(), "slowly", "no"].index)
    return _small(model, arithmetic.device)


def _remover(name: str, arithmetic: Arithmetic) -> RunsHere:
    """Return how a remover runs."""
    remover = registry.make(name, Settings())
    network = remover.spec.network
    if network is None:
        return "in memory"
    if arithmetic.device == "cpu":
        return "slowly" if holds_on_host(network, values=2) else "no"
    demand = remover.spec.demand(Settings(), remover.size(*_CLIP) or _CLIP)
    mode = choose_mode(demand, arithmetic)
    if demand.bytes_in(mode, arithmetic) > available_memory(arithmetic.device):
        return "no"
    return _WORDS[mode.weights]


def _small(model: Model, device: str) -> RunsHere:
    """Return how a tracker, a detector or a reasoner runs, from the memory that its table says."""
    import psutil

    need = (model.memory or model.megabytes) * _MEGABYTE
    if device != "cpu" and need <= available_memory(device):
        return "in memory"
    return "slowly" if need <= psutil.virtual_memory().available else "no"


def licence_word(model: Model) -> Literal["free", "limited", "unstated"]:
    """Return a licence in one word: it allows every use, it limits the use, or there is none."""
    if model.commercial:
        return "free"
    return "unstated" if "none" in model.licence.lower() else "limited"

"""The device that a job is planned for: this machine's, or that of other machines which will run it."""

from dataclasses import dataclass, replace

from vremove_cli.job.request import Request
from vremove_cli.networks import devices
from vremove_cli.networks.arithmetic import Arithmetic, arithmetic_elsewhere, arithmetic_here
from vremove_cli.removers.common.placement import available_memory, usable_memory

_GIGABYTE = 1e9  # bytes of a unit of --gpu-memory
_TOLD = "as --gpu-memory says"


@dataclass(frozen=True)
class Target:
    """The device that a job is planned for.

    Attributes:
        arithmetic: The device, and how networks compute on it.
        why: The reason for the device, for the user.
        here: Whether this machine has it.
        told: Bytes that a GPU has by `--gpu-memory`; None where it is not given.
        elsewhere: Whether other machines may run the job.
    """

    arithmetic: Arithmetic
    why: str
    here: bool = True
    told: float | None = None
    elsewhere: bool = False

    @property
    def device(self) -> str:
        """The device: cuda, xpu, mps or cpu."""
        return self.arithmetic.device

    @property
    def measured(self) -> bool:
        """Whether this machine's memory counts, and not what is told of others."""
        return self.here and not (self.elsewhere and self.told is not None)

    @property
    def free(self) -> float:
        """Bytes of memory that networks could have; infinite on a CPU, and where nothing is known of the GPU."""
        if self.device == "cpu":
            return float("inf")
        told = float("inf") if self.told is None else usable_memory(self.told)
        return min(told, available_memory(self.device)) if self.measured else told

    def helper_request(self, request: Request) -> Request:
        """Return a request for what runs while planning, on this machine: without a device that it lacks."""
        return request if self.here else replace(request, device="auto")

    def notes(self, request: Request) -> list[str]:
        """Return what the user should know of the choice."""
        if not self.here:
            say = f"networks are planned for {self.device} in {self.arithmetic.dtype} on other machines"
            return [f"{say}: {self.why}"]
        if self.device == "cpu" and request.gpu_memory is not None:
            return ["--gpu-memory is left out: networks run on the CPU"]
        return []


def target_of(request: Request, *, elsewhere: bool = False) -> Target:
    """Return the device that a job is planned for.

    A machine without a GPU plans for one where the job runs elsewhere, and the request names a device or the memory of
    the GPUs: for CUDA, unless the request says otherwise.

    Args:
        request: The request.
        elsewhere: Whether other machines run the job.

    Raises:
        UsageError: This machine lacks the device, and the job is to run here.
    """
    told = None if request.gpu_memory is None else request.gpu_memory * _GIGABYTE
    asked = request.device
    if elsewhere and asked not in ("auto", "cpu") and not devices.is_here(asked):
        why = "this one has none" if told is None else _TOLD
        return Target(arithmetic_elsewhere(asked), why, False, told, True)
    device, why = devices.choose_device(asked)
    if elsewhere and device == "cpu" and asked == "auto" and told is not None:
        return Target(arithmetic_elsewhere("cuda"), _TOLD, False, told, True)
    return Target(arithmetic_here(device), why, True, told, elsewhere)

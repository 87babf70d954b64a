"""The steps of a submission: groups of workers that a scheduler starts one after another, and what they ask for."""

from dataclasses import dataclass
from pathlib import Path

from vremove_cli.errors import UsageError
from vremove_cli.job.estimate import memory_of
from vremove_cli.job.plan import Plan
from vremove_cli.job.task_needs import Needs, Phase, PhaseCount
from vremove_cli.options import refuse_odd_name
from vremove_cli.removers.common.placement import with_margin

MAX_WORKERS = 8  # of a step
_CORES = 4  # of a worker whose job names no --threads; chosen
# Main memory that is asked for beyond the estimate, since a scheduler ends a worker that takes more: a share of it, and
# what libraries take. Chosen, not measured.
_SHARE, _LIBRARIES = 0.25, 2 << 30
_MIB, _GIB = 1 << 20, 1 << 30


@dataclass(frozen=True)
class Step:
    """Workers that run the same command at the same time.

    Attributes:
        name: Unique in the submission.
        workers: How many.
        command: Name of the command of `vremove`; the list of jobs comes after it.
        options: What comes after the list.
        cores: Cores of a worker.
        memory: MiB of main memory of a worker.
        gpu: Whether a worker needs a GPU.
        gpu_memory: MiB of memory of that GPU; 0 where it is not known.
        always: Whether it also runs when steps before it have failed.
    """

    name: str
    workers: int
    command: str
    options: tuple[str, ...]
    cores: int
    memory: int
    gpu: bool = False
    gpu_memory: int = 0
    always: bool = False


class Submission:
    """Planned jobs that are submitted together; it keeps no plan.

    Attributes:
        folders: Their work folders.
    """

    def __init__(self) -> None:
        self.folders: list[str] = []
        self._phases = PhaseCount()
        self._clip = ""
        self._cores = self._memory = 0

    def add(self, plan: Plan, folder: Path) -> None:
        """Add a planned job.

        Raises:
            UsageError: The name of its work folder cannot stand in a list.
            VremoveError: Its remover or device is not known here.
        """
        place = str(folder.absolute())
        refuse_odd_name(place)
        if place.splitlines() != [place] or place.strip() != place:
            raise UsageError(f"the work folder {place!r} cannot stand on a line of a list", "name another with --work")
        self._phases.add(plan)
        self.folders.append(place)
        self._clip = Path(plan.request.input).name
        self._cores = max(self._cores, plan.request.threads or _CORES)
        self._memory = max(self._memory, memory_of(plan, "write"))

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases of all jobs together."""
        return self._phases.phases()

    @property
    def title(self) -> str:
        """What the jobs are called: the clip's name, or how many there are."""
        return self._clip if len(self.folders) == 1 else f"{len(self.folders)} clips"

    def workers(self, asked: int | None) -> int:
        """Return how many workers a step has at most: as asked, or as many as find work at the same time."""
        useful = max(len(self.folders), *(phase.at_once for phase in self.phases()))
        return asked or min(MAX_WORKERS, useful)

    def steps(self, asked: int | None) -> tuple[Step, ...]:
        """Return the steps: one for each phase, one that writes the results, and of several clips one that reports.

        A clip that fails keeps no other clip from being finished.

        Args:
            asked: Workers of a step at most; None: as many as find work at the same time.
        """
        several, most = len(self.folders) > 1, self.workers(asked)
        writing = _memory(Needs(gpu=False, gpu_memory=0, memory=self._memory))
        out = [
            Step(
                phase.name,
                min(most, phase.at_once),
                "work",
                ("--only", ",".join(phase.kinds), *(("--keep-going",) if several else ())),
                self._cores,
                _memory(phase.needs),
                phase.needs.gpu,
                -(-with_margin(phase.needs.gpu_memory) // _MIB) if phase.needs.gpu_memory else 0,
            )
            for phase in self.phases()
        ]
        finish = ("--skip-existing",)
        out.append(Step("finish", min(most, len(self.folders)), "finish", finish, self._cores, writing, always=several))
        if several:
            out.append(Step("report", 1, "finish", finish, self._cores, writing, always=True))
        return tuple(out)


def _memory(needs: Needs) -> int:
    """Return the MiB of main memory to ask for, in whole GiB."""
    asked = int((1 + _SHARE) * needs.memory) + _LIBRARIES
    return -(-asked // _GIB) * _GIB // _MIB

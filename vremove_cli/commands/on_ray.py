"""Commands that let a cluster of Ray do the work: their options, and jobs as the cluster takes them."""

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vremove_cli.commands.signature import Given, RayOptions
from vremove_cli.errors import UsageError
from vremove_cli.job.request import Request
from vremove_cli.options import values_from

if TYPE_CHECKING:
    from vremove_cli.batch.jobs import Job
    from vremove_cli.farm.ray_cluster import Cluster
    from vremove_cli.job.events import Event
    from vremove_cli.job.progress import Line
    from vremove_cli.job.render import Summary


def cluster_of(given: Given, *, allow_other_version: bool = False) -> "Cluster | None":
    """Return the cluster that the options name, to be entered with `with`; None if they name none.

    Raises:
        UsageError: An option about the cluster was given, and no cluster.
    """
    use: RayOptions = given.read(RayOptions)
    if use.ray is None:
        for name in given.of(RayOptions):
            raise UsageError(f"--{name.replace('_', '-')} is about a cluster of Ray", "add --ray auto")
        return None
    from vremove_cli.farm.ray_cluster import Cluster, RayUse

    threads: int | None = values_from(Request, given.of(Request)).get("threads")
    return Cluster(RayUse(use.ray, use.ray_transfer, use.ray_workers, use.gpu_type, threads, allow_other_version))


def erase_there(cluster: "Cluster", job: "Job", emit: "Callable[[Event], None]") -> "Summary":
    """Erase from one clip on a cluster."""
    from vremove_cli.farm.ray_erase import erase_on
    from vremove_cli.job.runner import erasure_of

    exports, files = job.read()
    erasure = erasure_of(job.input, job.output, exports=exports, options=job.options, **asdict(files))
    return erase_on(cluster, erasure, emit)


def as_lines(emit: "Callable[[Event | Line], None]") -> "Callable[[Event], None]":
    """Return a callback for the events of one of many jobs: notes are shown with the job's name."""
    from vremove_cli.job.events import Expected, Progress
    from vremove_cli.job.report import event_of

    def take(event: "Event") -> None:
        line: Any = event if isinstance(event, Progress | Expected) else event_of(event)
        if line is not None:
            emit(line)

    return take

"""How tasks on the nodes of a cluster get a job's files: from a shared folder, or through Ray's object store."""

from typing import Any, Protocol

from vremove_cli.farm.ray_cluster import Cluster, Workers
from vremove_cli.farm.ray_nodes import Doing, do_shipped, do_task, remove_shipped
from vremove_cli.farm.transfer import all_needs, pack_task, ship, unpack_task
from vremove_cli.job.plan import Plan
from vremove_cli.job.task_graph import Task
from vremove_cli.job.workdir.folder import WorkFolder


class Transport(Protocol):
    """Submits the tasks of a job."""

    def submit(self, task: Task, networks: Workers | None, needs: list[Any]) -> Any:
        """Submit a task; return the reference of its report.

        Args:
            task: The task.
            networks: Workers that do it; None: any process of any node.
            needs: References of what must be done before.
        """
        ...

    def collect(self, task: Task) -> None:
        """Bring the results of a task that is done into the work folder."""
        ...

    def close(self) -> None:
        """Remove what is left on the nodes."""
        ...


class SharedFolder:
    """Tasks find inputs and results in a folder that all nodes see at the same path.

    Args:
        cluster: The cluster.
        folder: The work folder.
    """

    def __init__(self, cluster: Cluster, folder: WorkFolder) -> None:
        self._doing = doing_in(cluster, folder)
        self._do = cluster.remote(do_task)

    def submit(self, task: Task, networks: Workers | None, needs: list[Any]) -> Any:
        """Submit a task; return the reference of its report."""
        if networks is None:
            return self._do.remote(self._doing, task.id, *needs)
        return networks.call("do", self._doing, task.id, *needs)

    def collect(self, task: Task) -> None:
        """Do nothing: the results are there."""

    def close(self) -> None:
        """Do nothing: there are no copies."""


class Objects:
    """Each node has a copy of the job; inputs and results are objects in Ray's store.

    Args:
        cluster: The cluster.
        plan: The plan.
        folder: The client's work folder, which gets all results.
    """

    def __init__(self, cluster: Cluster, plan: Plan, folder: WorkFolder) -> None:
        self._cluster, self._folder = cluster, folder
        self._needs = {t.id: t.needs for t in plan.tasks}
        self._doing = doing_in(cluster, folder)
        self._shipment = ship(plan, folder, cluster.put)
        self._do = cluster.remote(do_shipped, num_returns=2)
        self._files: dict[str, Any] = {}

    def submit(self, task: Task, networks: Workers | None, needs: list[Any]) -> Any:
        """Submit a task; return the reference of its report."""
        # In a list the references are passed on as they are: a node gets only what it does not have yet.
        needed = [(name, self._files_of(name)) for name in all_needs(self._needs, task.id)]
        arguments = (self._shipment, self._doing, task.id, needed, *needs)
        if networks is None:
            report, files = self._do.remote(*arguments)
        else:
            report, files = networks.call("do_shipped", *arguments, returns=2)
        self._files[task.id] = files
        return report

    def collect(self, task: Task) -> None:
        """Write the results of a task that is done into the client's work folder."""
        unpack_task(self._folder, task.id, self._cluster.result(self._files[task.id]))

    def close(self) -> None:
        """Delete the copies on all nodes."""
        self._files.clear()
        self._cluster.on_every_node(remove_shipped, self._shipment.name)

    def _files_of(self, name: str) -> Any:
        """Return the reference of what a task left, or will leave."""
        if name not in self._files:
            self._files[name] = self._cluster.put(pack_task(self._folder, name))
        return self._files[name]


def doing_in(cluster: Cluster, folder: WorkFolder) -> Doing:
    """Return how tasks of a work folder are done."""
    return Doing(str(folder.path.absolute()), cluster.threads, cluster.use.allow_other_version)

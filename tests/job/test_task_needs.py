"""What a plan's tasks need of a machine, and how they are grouped into phases."""

from dataclasses import replace

import pytest

from support.plans import plate_plan, with_network
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.job.plan import Plan
from vremove_cli.job.task_graph import Task
from vremove_cli.job.task_needs import KINDS, Phase, PhaseCount, needs_of
from vremove_cli.networks.arithmetic import arithmetic_elsewhere
from vremove_cli.removers import registry
from vremove_cli.removers.common.vram_estimate import MemoryMode, vram_bytes
from vremove_cli.tracking.registry import TrackerChoice
from vremove_cli.weights.catalogue import catalogue
from vremove_cli.weights.store import Checkpoint

MODELS = catalogue()
SAM2 = TrackerChoice("sam2-tiny", "", checkpoint=Checkpoint(MODELS["sam2-tiny"], "sam2.pt", ""))


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A plan of a point, the flow tracker and the plate alone."""
    return plate_plan(tmp_path_factory.mktemp("needs"))


def phases(plan: Plan) -> tuple[Phase, ...]:
    together = PhaseCount()
    together.add(plan)
    return together.phases()


def test_a_job_without_networks_is_one_phase(plate: Plan) -> None:
    (phase,) = phases(plate)
    assert phase.kinds == ("mask", "background", "plate")
    assert (phase.name, phase.tasks, phase.needs.gpu) == ("mask-background-plate", 3, False)
    assert phase.needs.memory == max(needs_of(plate, t).memory for t in plate.tasks)


def test_a_network_on_a_gpu_is_a_phase_of_its_own(plate: Plan) -> None:
    before, after = phases(with_network(plate, "cuda"))
    network = registry.spec_of("rose").network
    assert network is not None
    assert (before.needs.gpu, before.needs.gpu_memory) == (False, 0)
    assert (after.kinds, after.tasks, after.needs.gpu) == (("fill",), 1, True)
    size = registry.make("rose", plate.request.settings({})).size(96, 64) or (96, 64)
    assert after.needs.gpu_memory == vram_bytes(network, MemoryMode(), size)
    assert after.needs.memory >= network.resident  # through which the weights go to the GPU


def test_on_a_cpu_a_network_is_in_the_one_phase(plate: Plan) -> None:
    (phase,) = phases(with_network(plate, "cpu"))
    assert phase.kinds == ("mask", "background", "plate", "fill")


def test_a_tracker_with_a_checkpoint_needs_the_memory_of_its_table(plate: Plan) -> None:
    track = Task("track-object-0000", "track", FrameRange(0, 10))
    plan = replace(plate, tracker=SAM2, arithmetic=arithmetic_elsewhere("cuda"), tasks=(track, *plate.tasks))
    assert needs_of(plan, track).gpu_memory == MODELS["sam2-tiny"].memory * 1_000_000
    assert [p.kinds for p in phases(plan)] == [("mask",), ("track",), ("background", "plate")]


def test_several_jobs_share_phases(plate: Plan) -> None:
    """A kind that needs a GPU in one of the jobs is not among the phases without one."""
    together = PhaseCount()
    for plan in (plate, with_network(plate, "cuda"), with_network(plate, "cpu")):
        together.add(plan)
    assert [(p.kinds, p.tasks) for p in together.phases()] == [(("mask", "background", "plate"), 9), (("fill",), 2)]


def test_a_chain_is_done_one_task_at_a_time(plate: Plan) -> None:
    """Two objects in three segments: two chains of three tasks."""
    chains = tuple(
        Task(f"track-{name}-{k}", "track", FrameRange(0, 10), (f"track-{name}-{k - 1}",) if k else ())
        for name in "ab"
        for k in range(3)
    )
    (phase,) = phases(replace(plate, tasks=chains))
    assert (phase.tasks, phase.at_once) == (6, 2)


def test_every_kind_of_task_has_a_name_for_users() -> None:
    from vremove_cli.job.stages.kinds import STAGES

    assert tuple(KINDS.values()) == tuple(STAGES)

"""One job on machines that differ: the plan says how networks compute and by which versions, and workers keep to it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from support.clips import write_clip, write_masks
from support.command import Vremove
from support.pretended_gpu import pretended_gpu
from vremove_cli.errors import UsageError, VremoveError
from vremove_cli.job import tool_versions
from vremove_cli.job.events import Event, Note, silent
from vremove_cli.job.output_paths import make_request
from vremove_cli.job.plan import Plan
from vremove_cli.job.planner import make_plan
from vremove_cli.job.runner import run_erase, run_finish, run_plan, run_work
from vremove_cli.job.target import target_of
from vremove_cli.job.tool_versions import versions_here
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.job.working import Assignment
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.removers import registry
from vremove_cli.removers.base import Fill, RemoverSpec, Settings, Shot, ShotInfo, Stage
from vremove_cli.removers.common import placement
from vremove_cli.removers.common.temporal_windows import crossfade, is_join
from vremove_cli.removers.common.vram_estimate import MemoryMode, Network, Vae

HOPPER, AMPERE, TURING = (9, 0), (8, 6), (7, 5)
OTHERS = ("FLASH_ATTENTION", "EFFICIENT_ATTENTION", "MATH")
GB = 1_000_000_000
NETWORK = Network(
    resident=20 * GB, fp8=11 * GB, offload=2 * GB, token=1, fixed=0, window=1, longest=1, latents=1, vae=Vae(1, 1, 1)
)
JOB: dict[str, Any] = {"remover": "painter", "effects": "off", "recover": "off"}
RAN: list[tuple[placement.Runtime, tuple[str, ...]]] = []  # how networks ran, and the order of attention kernels then


class Painter:
    """A remover of one network that paints grey and notes how it was run."""

    spec: ClassVar[RemoverSpec] = RemoverSpec("painter", "Apache-2.0", "crop", network=NETWORK)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def stages(self, shot: ShotInfo) -> list[Stage]:
        return [Stage(f"{a:04d}", a, b) for a, b in shot.spans]

    def size(self, width: int, height: int) -> tuple[int, int] | None:
        return None

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        def run(runtime: placement.Runtime) -> Fill:
            RAN.append((runtime, tuple(torch.nn.attention.SDPBackend(n).name for n in _priorities())))
            return Fill(np.full_like(shot.frames, 0.5))

        return placement.run_networks(run, self._settings, self.spec.demand(self._settings, (96, 64)), 64)


class WindowPainter(Painter):
    """The same in two windows with a crossfade."""

    spec: ClassVar[RemoverSpec] = replace(Painter.spec, name="window-painter")

    def stages(self, shot: ShotInfo) -> list[Stage]:
        return [Stage("a", 0, 4), Stage("b", 2, 6), Stage("join-b", 2, 4, ("a", "b"))]

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        return Fill(crossfade(stage, inputs, shot.frames)) if is_join(stage) else super().run(stage, shot, inputs)


def _priorities() -> list[int]:
    return list(torch._C._get_sdp_priority_order())


@pytest.fixture(autouse=True)
def _painter() -> Iterator[None]:
    undo = [registry.register(kind.spec.name, kind) for kind in (Painter, WindowPainter)]
    RAN.clear()
    yield
    for one in undo:
        one()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder / "clip.mkv", codec="ffv1", frames=6)
    write_masks(folder / "masks", frames=6)
    return folder


def on(capability: tuple[int, int] | None) -> Any:
    """A machine with a GPU of some compute capability, or with none."""
    return nullcontext() if capability is None else pretended_gpu(capability=capability)


def planned(files: Path, work: Path, capability: tuple[int, int] | None = None, **options: Any) -> tuple[Plan, str]:
    """Plan the small job on a machine; gives the plan and its folder."""
    given: dict[str, Any] = {"mask": str(files / "masks"), **JOB, **options}
    work.mkdir(exist_ok=True)
    with on(capability):
        plan, folder = run_plan(str(files / "clip.mkv"), str(work / "out.mkv"), work=str(work / "job"), **given)
    return plan, str(folder)


# How networks compute.


@pytest.mark.parametrize(
    ("capability", "arithmetic"),
    [
        (HOPPER, Arithmetic("cuda", "bfloat16", ("CUDNN_ATTENTION", *OTHERS))),
        (AMPERE, Arithmetic("cuda", "bfloat16", OTHERS)), (TURING, Arithmetic("cuda", "float32", OTHERS)),
        (None, Arithmetic("cpu", "float32", ())),
    ],
)  # fmt: skip
def test_the_plan_says_how_the_planning_machine_computes_best(
    files: Path, tmp_path: Path, capability: tuple[int, int] | None, arithmetic: Arithmetic
) -> None:
    plan, folder = planned(files, tmp_path, capability)
    assert plan.arithmetic == Plan.load(WorkFolder(Path(folder)).plan).arithmetic == arithmetic


@pytest.mark.parametrize(
    ("there", "here", "dtype", "first"),
    [
        (HOPPER, AMPERE, torch.bfloat16, "CUDNN_ATTENTION"), (AMPERE, HOPPER, torch.bfloat16, "FLASH_ATTENTION"),
        (TURING, HOPPER, torch.float32, "FLASH_ATTENTION"), (TURING, TURING, torch.float32, "FLASH_ATTENTION"),
    ],
)  # fmt: skip
def test_a_worker_with_another_gpu_computes_as_planned(
    files: Path, tmp_path: Path, there: tuple[int, int], here: tuple[int, int], dtype: torch.dtype, first: str
) -> None:
    _, folder = planned(files, tmp_path, there)
    with on(here):
        run_work(folder)
    ((runtime, order),) = RAN
    assert (runtime.device, runtime.dtype, order[0]) == ("cuda", dtype, first)


def test_a_worker_with_a_gpu_computes_on_the_cpu_if_that_was_planned(files: Path, tmp_path: Path) -> None:
    _, folder = planned(files, tmp_path, None)
    with on(HOPPER):
        run_work(folder)
    assert [(r.device, r.dtype) for r, _ in RAN] == [("cpu", torch.float32)]


@pytest.mark.parametrize(
    ("here", "says"),
    [
        (None, "are planned for cuda in bfloat16, and torch sees no cuda device here: add --only cpu to do the tasks"),
        (TURING, "and the GPU here (a pretended GPU) has no bfloat16: add --only cpu to do the tasks without networks"),
    ],
)
def test_a_worker_that_cannot_compute_so_refuses_before_any_work(
    files: Path, tmp_path: Path, here: tuple[int, int] | None, says: str
) -> None:
    plan, folder = planned(files, tmp_path, HOPPER)
    with on(here), pytest.raises(UsageError, match=re.escape(says)):
        run_work(folder)
    assert not any(WorkFolder(Path(folder)).finished(t.id) for t in plan.tasks)


def test_a_worker_without_the_gpu_does_tasks_without_networks(files: Path, tmp_path: Path) -> None:
    _, folder = planned(files, tmp_path, HOPPER)
    assert run_work(folder, wanted=Assignment(task="mask-0000")).done == ["mask-0000"]


def test_only_cpu_does_all_that_runs_no_network_and_a_crossfade_is_one_of_it(files: Path, tmp_path: Path) -> None:
    _, folder = planned(files, tmp_path, HOPPER, remover="window-painter")
    rest, networks = (Assignment(device=device, wait=False) for device in ("cpu", "gpu"))
    assert run_work(folder, wanted=rest).done == ["mask-0000", "background-0000", "plate-0000"]
    with on(HOPPER):
        assert run_work(folder, wanted=networks).done == ["fill-a", "fill-b"]
    assert run_work(folder, wanted=rest).done == ["fill-join-b"]
    assert run_finish(folder).output


def test_a_gpu_that_has_gone_is_noticed_when_a_job_is_repeated(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    job: dict[str, Any] = {"mask": str(files / "masks"), **JOB, "keep_work": True, "overwrite": True}
    with on(HOPPER):
        run_erase(str(files / "clip.mkv"), str(out), **job)
    out.unlink()  # else the result that is there would be kept
    again = run_erase(str(files / "clip.mkv"), str(out), **job)
    assert [runtime.device for runtime, _ in RAN] == ["cuda", "cpu"]
    assert (again.done, again.reused) == (1, 3)


def keys_of(plan: Plan, *kinds: str) -> list[str]:
    return [t.key for t in plan.tasks_of(*kinds)]


def test_device_and_type_redo_what_a_network_made_and_nothing_else(files: Path, tmp_path: Path) -> None:
    plans = [planned(files, tmp_path / str(n), where)[0] for n, where in enumerate((None, TURING, AMPERE, HOPPER))]
    assert len({tuple(keys_of(p, "mask", "background", "plate")) for p in plans}) == 1
    cpu, turing, ampere, hopper = (keys_of(p, "fill") for p in plans)
    assert len({*cpu, *turing, *ampere}) == 3
    assert ampere == hopper  # kernels differ, and results are nearly equal


def tracked(files: Path, work: Path, capability: tuple[int, int] | None, **options: Any) -> tuple[Plan, str]:
    """Plan a job that tracks by a network, with weights that need not be there yet."""
    (files / "own.pt").write_bytes(b"weights")
    network = {"tracker": "sam2-tiny", "weights": f"sam2-tiny={files / 'own.pt'}", "track_every": 1}
    return planned(files, work, capability, mask=None, point="12,32", **{**network, **options})


def test_the_masks_of_a_network_are_redone_and_those_of_flow_are_not(files: Path, tmp_path: Path) -> None:
    flow = {"tracker": "flow", "weights": (), "track_every": None}
    for n, (options, same) in enumerate([({}, False), (flow, True)]):
        one, two = (tracked(files, tmp_path / f"{n}{gpu}", gpu, **options)[0] for gpu in (None, HOPPER))
        assert (keys_of(one, "track") == keys_of(two, "track")) == same


def test_tracking_by_a_network_is_refused_without_its_gpu(files: Path, tmp_path: Path) -> None:
    _, folder = tracked(files, tmp_path, HOPPER)
    with pytest.raises(UsageError, match="the job's networks are planned for cuda in bfloat16"):
        run_work(folder, wanted=Assignment(task="track-object-0000"))


# A machine without a GPU plans for one.


def elsewhere(files: Path, **options: Any) -> Plan:
    given: dict[str, Any] = {"mask": str(files / "masks"), **JOB, **options}
    return make_plan(make_request(str(files / "clip.mkv"), None, given), silent, elsewhere=True)


def test_a_machine_without_a_gpu_plans_for_one(files: Path) -> None:
    plan = elsewhere(files, device="cuda")
    assert plan.arithmetic == Arithmetic("cuda", "bfloat16", ("CUDNN_ATTENTION", *OTHERS))
    assert plan.memory == MemoryMode()
    assert "networks are planned for cuda in bfloat16 on other machines: this one has none" in plan.notes
    (note,) = [n for n in plan.notes if "GPU memory" in n]
    assert note.startswith("painter takes about 20.0 GB of GPU memory (weights in GPU memory)"), note


@pytest.mark.parametrize(
    ("gigabytes", "weights"), [(80, "resident"), (24, "resident"), (16, "offload"), (2, "offload")]
)
def test_the_memory_of_the_gpus_chooses_the_mode(
    files: Path, gigabytes: int, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "holds_on_host", lambda *_: False)  # the head node's own memory does not count
    plan = elsewhere(files, gpu_memory=gigabytes)
    assert (plan.arithmetic.device, plan.memory.weights) == ("cuda", weights)
    assert any("on other machines: as --gpu-memory says" in n for n in plan.notes)


def test_the_memory_of_the_gpus_counts_more_than_that_of_the_planning_machine(files: Path) -> None:
    with on(HOPPER):
        assert elsewhere(files, gpu_memory=12).memory == MemoryMode("offload")
        assert elsewhere(files).memory == MemoryMode()
    with pretended_gpu(4 * GB):
        assert elsewhere(files, gpu_memory=80).memory == MemoryMode()


def test_the_memory_that_is_told_bounds_what_a_job_takes_here(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "holds_on_host", lambda *_: True)
    given = {"mask": str(files / "masks"), **JOB, "gpu_memory": 12}
    with on(HOPPER):
        plan = make_plan(make_request(str(files / "clip.mkv"), None, given), silent)
    assert plan.memory == MemoryMode("offload")
    assert any("of 11.2 GB free" in n for n in plan.notes)


def test_auto_takes_what_runs_on_the_planned_gpu(files: Path) -> None:
    def reasons(**options: Any) -> dict[str, str]:
        (choice,) = [
            c for c in elsewhere(files, remover="auto", recover="on", **options).choices if c.what == "remover"
        ]
        return dict(choice.left_out)

    assert reasons()["rose"] == "there is no GPU"
    assert reasons(gpu_memory=24)["rose"] == "its weights are not here"
    assert "GB of GPU memory and" in reasons(gpu_memory=1)["rose"]


def test_what_helps_to_plan_runs_on_the_planning_machine(files: Path) -> None:
    request = make_request(str(files / "clip.mkv"), None, {"text": "the dog", "device": "cuda"})
    assert target_of(request, elsewhere=True).helper_request(request).device == "auto"
    with on(HOPPER):
        assert target_of(request, elsewhere=True).helper_request(request) is request


def test_a_plan_for_cpus_of_other_machines_says_so(files: Path) -> None:
    assert any("painter is planned for CPUs, as this machine has no GPU" in n for n in elsewhere(files).notes)


def test_a_gpu_is_planned_for_elsewhere_only(vremove: Vremove, files: Path, tmp_path: Path) -> None:
    job = (files / "clip.mkv", "--mask", files / "masks", "--remover", "painter", "--device", "cuda")
    refused = vremove("erase", *job, "-o", tmp_path / "out.mkv", "--gpu-memory", 24)
    assert refused.status == 2
    assert "torch sees no cuda device here" in refused.stderr
    again = [vremove("plan", *job, "--work", tmp_path / "job", "--gpu-memory", 24) for _ in range(2)]
    assert [said.status for said in again] == [0, 0]
    assert "going on with" in again[1].stderr


# Versions.


def with_versions(files: Path, tmp_path: Path, **other: str) -> str:
    """Plan the small job as if on a machine with other versions; gives its folder."""
    plan, folder = planned(files, tmp_path)
    replace(plan, versions={**plan.versions, **other}).save(WorkFolder(Path(folder)).plan)
    return folder


def test_the_plan_names_what_computes(files: Path, tmp_path: Path) -> None:
    plan, _ = planned(files, tmp_path)
    assert set(plan.versions) == {"vremove", "torch", "diffusers", "transformers", "numpy", "opencv", "av"}
    assert plan.versions["torch"] == torch.__version__.partition("+")[0]
    assert plan.versions["numpy"] == np.__version__


def test_a_worker_with_other_versions_is_refused_with_the_line_that_installs_them(files: Path, tmp_path: Path) -> None:
    folder = with_versions(files, tmp_path, torch="2.9.1", numpy="1.0")
    here = versions_here()
    with pytest.raises(VremoveError) as refusal:
        run_work(folder)
    assert str(refusal.value) == (
        f"the job was planned with torch 2.9.1, numpy 1.0, and this machine has torch {here['torch']}, numpy "
        f"{here['numpy']}: run `pip install torch==2.9.1 numpy==1.0` here, or add --allow-other-version"
    )


def test_another_version_of_the_tool_itself_is_refused(files: Path, tmp_path: Path) -> None:
    folder = with_versions(files, tmp_path, vremove="0.0.9")
    for run in (run_work, run_finish):
        with pytest.raises(VremoveError, match=r"planned with vremove 0\.0\.9, .* `pip install vremove==0\.0\.9`"):
            run(folder)


def test_other_versions_are_allowed_and_told(files: Path, tmp_path: Path) -> None:
    folder, heard = with_versions(files, tmp_path, opencv="4.0.0"), list[Event]()
    run_work(folder, allow_other_version=True, on_event=heard.append)
    run_finish(folder, allow_other_version=True, on_event=heard.append)
    told = [e.text for e in heard if isinstance(e, Note) and "the job was planned with opencv 4.0.0, and" in e.text]
    assert len(told) == 2
    assert told[0].endswith("results may differ")


def test_a_job_that_is_repeated_with_other_versions_goes_on_and_says_so(files: Path, tmp_path: Path) -> None:
    with_versions(files, tmp_path, av="1.0")
    heard: list[Event] = []
    planned(files, tmp_path, on_event=heard.append)
    assert any(isinstance(e, Note) and "planned with av 1.0" in e.text for e in heard)


def test_builds_of_a_version_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for build in ("+cpu", "+cu130", ""):
        monkeypatch.setattr(tool_versions, "version", lambda name, build=build: f"2.13.0{build}")
        found.append(versions_here()["torch"])
    assert found == ["2.13.0"] * 3

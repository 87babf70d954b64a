"""A real cluster of Ray on this machine, of two nodes: the same frames as without, whatever dies meanwhile."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from support.clips import same_frames, write_clip, write_masks
from support.command import Vremove
from support.process import run_main
from support.reports import report_of, reports_of
from support.tiny_removers import write_repos
from support.twins import undereraser_repos
from vremove_cli import plugins
from vremove_cli.errors import ExitCode

pytest.importorskip("ray")

FRAMES = 48
PLUGIN = Path(__file__).parents[1] / "support/short_windows"
MEMORY = 200e9  # bytes that a node says it has: the estimate is one for networks of full size


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster with a head node of one CPU, and an object store that is smaller than some inputs."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{PLUGIN}{os.pathsep}{PLUGIN.parents[2]}")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.syspath_prepend(str(PLUGIN))
        plugins._found.cache_clear()
        made = Cluster(initialize_head=True, head_node_args=node())
        try:
            yield made
        finally:
            made.shutdown()
            plugins._found.cache_clear()


@pytest.fixture(scope="module")
def second(cluster: Any) -> Any:
    """A second node of one CPU."""
    return cluster.add_node(**node())


def node() -> dict[str, Any]:
    return {"num_cpus": 1, "memory": MEMORY, "object_store_memory": 80 << 20, "include_dashboard": False}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """Arguments of a clip of several segments, and of its masks."""
    place = tmp_path_factory.mktemp("job")
    clip = write_clip(place / "clip.mkv", codec="ffv1", frames=FRAMES, audio="flac")
    masks = write_masks(place / "masks", frames=FRAMES)
    cuts = ",".join(map(str, range(6, FRAMES, 6)))
    return [clip, "--mask", masks, "--cuts", cuts, "--threads", 1]


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """Arguments of a clip that a tiny UnderEraser fills in windows, keyframes first; larger than the object store."""
    place = tmp_path_factory.mktemp("windows")
    (base,) = write_repos(place, undereraser_repos(place))
    clip, frames, size = place / "clip.mp4", 40, (48, 32)
    with write_clip(clip, frames=frames, size=size).open("ab") as file:
        length = 200 << 20
        file.write(length.to_bytes(4, "big") + b"free")
        file.truncate(file.tell() + length - 8)
    masks = write_masks(place / "masks", frames=frames, size=size)
    own = {"undereraser": place / "checkpoint.safetensors", "lightx2v": place / "lightx2v.safetensors"}
    weights = [text for name, path in (*own.items(), ("wan-fun-14b", base)) for text in ("--weights", f"{name}={path}")]
    how = ["--remover", "short-windows", "--steps", 1, "--size", "48x32", "--recover", "off", "--threads", 1]
    return [clip, "--mask", masks, "--codec", "ffv1", *how, *weights]


@pytest.fixture(scope="module")
def windows_here(windows: list[object], cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of one machine."""
    out = tmp_path_factory.mktemp("here") / "here.mkv"
    status, _, err = run_main("erase", *windows, "-o", out)
    assert status == 0, err
    return out


def done(vremove: Vremove, *arguments: object, status: int = 0) -> Any:
    outcome = vremove("erase", *arguments)
    assert outcome.status == status, outcome.stderr
    return outcome


@contextlib.contextmanager
def meanwhile(act: Callable[[], bool]) -> Iterator[None]:
    """Call a function again and again beside the block, until it has done its deed."""
    ended, did = threading.Event(), threading.Event()

    def run() -> None:
        while not ended.is_set() and not did.is_set():
            if act():
                did.set()
            time.sleep(0.02)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert did.is_set(), "the job ended before it happened"


def copies() -> set[Path]:
    return set(Path(f"/tmp/vremove-nodes-{os.getuid()}").glob("*/vremove-*"))


def kill_worker() -> bool:
    """Kill a process that runs a network at this moment."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            ours = os.environ["PYTHONPATH"] == process.environ().get("PYTHONPATH")  # not another run's cluster
            if ours and " ".join(process.cmdline()).startswith("ray::Networks.do"):
                process.send_signal(signal.SIGKILL)
                return True
    return False


@pytest.mark.slow
def test_the_frames_are_those_of_one_machine(
    vremove: Vremove, cluster: Any, second: Any, job: list[object], tmp_path: Path
) -> None:
    done(vremove, *job, "-o", tmp_path / "here.mkv")
    outcome = done(vremove, *job, "-o", tmp_path / "there.mkv", "--ray", cluster.address, "--json")
    assert same_frames(tmp_path / "here.mkv", tmp_path / "there.mkv")
    assert report_of(outcome.stdout)["done"] == 3 * FRAMES // 6
    assert not (tmp_path / "there.mkv.vremove").exists()


@pytest.mark.slow
def test_windows_are_generated_by_two_workers_of_which_one_is_killed(
    vremove: Vremove, cluster: Any, second: Any, windows: list[object], windows_here: Path, tmp_path: Path
) -> None:
    with meanwhile(kill_worker):
        outcome = done(vremove, *windows, "-o", tmp_path / "there.mkv", "--ray", cluster.address, "--ray-workers", 2)
    assert outcome.stdout == f"{tmp_path / 'there.mkv'}\n", "Ray's words stay away from the results"
    assert same_frames(windows_here, tmp_path / "there.mkv")


@pytest.mark.slow
def test_nodes_that_share_no_folder_get_inputs_larger_than_the_object_store(
    vremove: Vremove, cluster: Any, second: Any, windows: list[object], windows_here: Path, tmp_path: Path
) -> None:
    how = ("--ray-workers", 1, "--ray-transfer", "objects")
    others = copies()
    done(vremove, *windows, "-o", tmp_path / "there.mkv", "--ray", cluster.address, *how)
    assert same_frames(windows_here, tmp_path / "there.mkv")
    assert not copies() - others, "copies are deleted"


@pytest.mark.slow
def test_a_node_that_stops_loses_nothing(vremove: Vremove, cluster: Any, job: list[object], tmp_path: Path) -> None:
    lost = cluster.add_node(**node())
    begun = tmp_path / "there.mkv.vremove/done"

    def stop() -> bool:
        if len(list(begun.glob("background-*"))) < 2:
            return False
        cluster.remove_node(lost, allow_graceful=False)
        return True

    done(vremove, *job, "-o", tmp_path / "here.mkv")
    with meanwhile(stop):
        done(vremove, *job, "-o", tmp_path / "there.mkv", "--ray", cluster.address)
    assert same_frames(tmp_path / "here.mkv", tmp_path / "there.mkv")


@pytest.mark.slow
def test_many_clips_are_one_submission_with_one_report(
    vremove: Vremove, cluster: Any, job: list[object], tmp_path: Path
) -> None:
    clips = [write_clip(tmp_path / f"{name}.mp4") for name in "abc"]
    write_masks(tmp_path / "masks")
    rows = [f"{clip},{tmp_path / 'masks'}" for clip in (*clips, tmp_path / "gone.mp4")]
    (tmp_path / "jobs.csv").write_text("\n".join(["input,mask", *rows]))
    outcome = vremove("erase", "--batch", tmp_path / "jobs.csv", "--ray", cluster.address, "--json")
    assert outcome.status == ExitCode.BATCH, outcome.stderr
    assert [r["type"] for r in reports_of(outcome.stdout)].count("result") == 3
    assert "1 of 4 inputs failed" in outcome.stderr
    assert all(clip.with_name(f"{clip.stem}.clean.mp4").exists() for clip in clips)


@pytest.mark.slow
def test_a_planned_job_is_done_there_and_a_nodes_error_is_told(
    vremove: Vremove, cluster: Any, job: list[object], tmp_path: Path
) -> None:
    work = tmp_path / "job"
    assert vremove("plan", *job, "-o", tmp_path / "out.mkv", "--work", work).status == 0
    outcome = vremove("work", work, "--ray", cluster.address, "--json")
    assert outcome.status == 0, outcome.stderr
    assert len(report_of(outcome.stdout)["done"]) == 3 * FRAMES // 6
    assert vremove("finish", work).status == 0
    empty = tmp_path / "empty.png"
    Image.new("L", (96, 64)).save(empty)
    outcome = vremove("erase", job[0], "--mask", empty, "-o", tmp_path / "no.mkv", "--ray", cluster.address)
    assert outcome.status == ExitCode.NOTHING
    assert "the mask is empty on every frame" in outcome.stderr


@pytest.mark.slow
def test_a_planned_job_that_fails_there_ends_with_its_own_status(
    vremove: Vremove, cluster: Any, tmp_path: Path
) -> None:
    clip, masks = write_clip(tmp_path / "clip.mp4"), write_masks(tmp_path / "masks")
    work = tmp_path / "job"
    assert vremove("plan", clip, "--mask", masks, "--work", work).status == 0
    clip.unlink()
    here, there = (vremove("work", work, *how) for how in ((), ("--ray", cluster.address)))
    assert (there.status, there.stderr) == (here.status, here.stderr)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--ray", "127.0.0.1:1"], "no cluster of Ray answers at 127.0.0.1:1: start one with `ray start --head`"),
        (["--ray-workers", "2"], "--ray-workers is about a cluster of Ray: add --ray auto"),
    ],
)
def test_what_is_wrong_with_a_cluster_is_told(
    vremove: Vremove, job: list[object], tmp_path: Path, arguments: list[str], says: str
) -> None:
    assert says in done(vremove, *job, "-o", tmp_path / "out.mkv", *arguments, status=2).stderr

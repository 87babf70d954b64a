"""Leases: one owner at a time, on any file system, whatever happens to the owner."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.racer import no_links
from vremove_cli.job.workdir import lease, shares
from vremove_cli.job.workdir.folder import WorkFolder

ELSEWHERE = json.dumps({"host": "elsewhere", "pid": 1, "born": ""})
RACER = Path(__file__).parents[1] / "support/racer.py"
links_or_not = pytest.mark.parametrize("links", [True, False])


@pytest.fixture
def place(tmp_path: Path) -> WorkFolder:
    folder = WorkFolder(tmp_path)
    folder.claim()
    return folder


@pytest.fixture
def task(place: WorkFolder) -> Path:
    return place.path / "leases" / "task"


def aged(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_a_lease_is_exclusive(place: WorkFolder) -> None:
    with place.lease("task") as first, place.lease("task") as second:
        assert first
        assert not second


def test_a_lease_is_exclusive_without_hard_links(
    place: WorkFolder, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", no_links)
    with place.lease("task") as first, place.lease("task") as second:
        assert first
        assert not second
        assert json.loads(task.read_text())["pid"] == os.getpid()
    assert list(task.parent.iterdir()) == []


@links_or_not
def test_processes_that_want_one_lease_have_it_in_turns(tmp_path: Path, links: bool) -> None:
    """Some leave it behind as if killed, so that several others want to take it over at once."""
    (tmp_path / "leases").mkdir()
    (tmp_path / "counter").write_text("0")
    settings = json.dumps({"folder": str(tmp_path), "racers": 4, "times": 40, "links": links, "dies": 0.5})
    racers = [subprocess.Popen([sys.executable, str(RACER), settings], stderr=subprocess.PIPE) for _ in range(4)]
    said = [racer.communicate(timeout=60)[1].decode() for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4, said
    assert (tmp_path / "counter").read_text() == "160"


def test_a_lease_of_a_dead_process_is_taken_over(place: WorkFolder, task: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    task.write_text(json.dumps({**asdict(lease._identity()), "pid": dead.pid}))
    with place.lease("task") as mine:
        assert mine


def test_a_lease_of_another_host_is_taken_over_when_its_heart_stops(place: WorkFolder, task: Path) -> None:
    task.write_text(ELSEWHERE)
    with place.lease("task") as mine:
        assert not mine
    aged(task, 2 * lease.STALE)
    with place.lease("task") as mine:
        assert mine


def test_a_lease_dated_in_the_future_is_taken_over_when_it_does_not_change(
    place: WorkFolder, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "STALE", 0.3)
    task.write_text(ELSEWHERE)
    aged(task, -1e6)
    with place.lease("task") as mine:
        assert not mine
    time.sleep(0.4)
    with place.lease("task") as mine:
        assert mine


def test_a_process_number_means_nothing_in_another_container(
    place: WorkFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers of one machine may have its host name, and each has a process 1."""
    with monkeypatch.context() as patch:
        patch.setattr(lease, "_machine", lambda: "one container")
        with place.lease("task") as first:
            patch.setattr(lease, "_machine", lambda: "another container")
            with place.lease("task") as second:
                assert (first, second) == (True, False)
                assert place.used_by_others()
            patch.setattr(lease, "_machine", lambda: "one container")


def test_a_lease_that_is_being_written_is_not_abandoned(place: WorkFolder, task: Path) -> None:
    task.touch()
    with place.lease("task") as mine:
        assert not mine
    assert place.used_by_others()


def test_a_lease_that_was_never_written_is_taken_over(place: WorkFolder, task: Path) -> None:
    task.touch()
    aged(task, 2 * lease.UNWRITTEN)
    assert not place.used_by_others()
    with place.lease("task") as mine:
        assert mine


def test_an_owner_that_slept_before_it_wrote_does_not_have_the_lease(
    place: WorkFolder, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = lease._look

    def taken_meanwhile(path: Path) -> Any:
        if path == task and task.exists():
            task.write_text(ELSEWHERE)
        return look(path)

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(lease, "_look", taken_meanwhile)
    with place.lease("task") as mine:
        assert not mine
    assert task.read_text() == ELSEWHERE


def test_a_link_whose_answer_was_lost_is_a_lease(place: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.link

    def twice(source: Path, target: Path) -> None:
        real(source, target)
        real(source, target)

    monkeypatch.setattr(os, "link", twice)
    with place.lease("task") as mine:
        assert mine


@links_or_not
def test_a_lease_that_was_removed_by_mistake_is_put_back(
    task: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    task.write_text(ELSEWHERE)
    found = lease._look(task)
    assert found
    lease._bury(task, replace(found, content=b"of an owner before"))
    assert task.read_text() == ELSEWHERE
    assert list(task.parent.iterdir()) == [task]


def test_a_heartbeat_is_dated_by_the_file_system(
    place: WorkFolder, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SMB and sshfs send the client's time with a date that is set, and their own with what is written."""
    monkeypatch.setattr(lease, "HEARTBEAT", 0.02)
    monkeypatch.setattr(os, "utime", None)
    with place.lease("task"):
        first = task.stat().st_mtime_ns
        time.sleep(0.2)
        assert task.stat().st_mtime_ns > first


def test_a_result_that_a_share_believed_missing_is_seen_once_the_lease_is_held(
    place: WorkFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS asks again only when the folder is opened."""
    record, listed, exists = place.path / "done" / "task.json", [False], Path.exists

    def opened(path: Any) -> Any:
        listed[0] = True
        return real(path)

    real = os.scandir
    monkeypatch.setattr(os, "scandir", opened)
    monkeypatch.setattr(Path, "exists", lambda path: exists(path) and (path != record or listed[0]))
    assert not place.finished("task")
    record.touch()
    listed[0] = False
    with place.lease("task"):
        assert place.finished("task")


def mounted(monkeypatch: pytest.MonkeyPatch, folder: Path, kind: str, options: str = "rw") -> None:
    known = psutil.disk_partitions(all=True)
    here = type(known[0])("share", str(folder), kind, options)
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [*known, here])


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("fuse.gcsfuse", "rw", "use one worker"),
        ("fuse.sshfs", "rw", "dcache_timeout=1"),
        ("nfs4", "rw,nocto,hard", "mount it without that"),
        ("cifs", "rw,cache=loose", "cache=strict"),
        ("smb3", "rw,cache=strict,actimeo=60", "actimeo=1"),
    ],
)
def test_a_share_on_which_leases_may_fail_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, options: str, said: str
) -> None:
    mounted(monkeypatch, tmp_path, kind, options)
    (note,) = shares.share_notes(tmp_path)
    assert kind in note
    assert said in note


@pytest.mark.parametrize("kind", ["exfat", "cifs", "nfs"])
def test_a_share_without_hard_links_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    mounted(monkeypatch, tmp_path, kind)
    monkeypatch.setattr(os, "link", no_links)
    (note,) = shares.share_notes(tmp_path)
    assert f"on {kind}, which has no hard links" in note
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "options"), [("ext4", "rw"), ("nfs4", "rw,hard"), ("cifs", "rw,cache=strict,actimeo=1")]
)
def test_nothing_is_said_of_a_share_where_nothing_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, options: str
) -> None:
    mounted(monkeypatch, tmp_path, kind, options)
    assert shares.share_notes(tmp_path) == []

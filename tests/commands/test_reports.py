"""What machines read: every object has the form that docs/report.schema.json gives it, for one clip and for many."""

import json
from pathlib import Path

import jsonschema
import pytest

from support.clips import write_clip, write_masks
from support.command import Vremove
from support.reports import SCHEMA, report_of, reports_of
from vremove_cli import console
from vremove_cli.job import progress
from vremove_cli.job.events import Expected, Note, Progress
from vremove_cli.job.report import enveloped
from vremove_cli.job.request import Exports

BOX = ("--box", "4,24,20,40")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4")


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return write_masks(tmp_path / "masks")


def test_the_schema_is_a_schema() -> None:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    named = {ref["$ref"].rpartition("/")[2] for ref in schema["oneOf"]}
    assert set(schema["$defs"]) - named == {"file", "warning", "attempts"}
    for name in named:
        assert schema["$defs"][name]["properties"]["type"] == {"const": name}


def test_a_result_names_its_input_and_every_output(vremove: Vremove, clip: Path, masks: Path, tmp_path: Path) -> None:
    kinds = ("preview", "mask", "matte", "effects", "plate", "patch", "cutout")
    paths = {kind: tmp_path / f"{kind}{'.png' if kind == 'preview' else '.mkv'}" for kind in kinds}
    flags = [word for kind, path in paths.items() for word in (f"--write-{kind}", path)]
    report = report_of(vremove("erase", clip, "--mask", masks, "--json", *flags).stdout)
    assert report["input"] == str(clip)
    written = {o["kind"]: o["path"] for o in report["outputs"]}
    assert written["result"] == report["output"] == str(clip.with_name("clip.clean.mp4"))
    assert {kind: str(path) for kind, path in paths.items()}.items() <= written.items()
    assert all(Path(path).exists() for path in written.values())
    assert report["recovered"] + report["doubtful"] + report["unseen"] == pytest.approx(1)


def test_all_exports_have_a_kind_of_output() -> None:
    known = json.loads(SCHEMA.read_text())["$defs"]["file"]["properties"]["kind"]["enum"]
    assert {name.removeprefix("write_") for name in vars(Exports())} | {"result", "report"} == set(known)


def test_the_file_beside_a_result_is_a_report(vremove: Vremove, clip: Path, masks: Path) -> None:
    printed = report_of(vremove("erase", clip, "--mask", masks, "--json").stdout)
    stored = report_of(clip.with_name("clip.clean.vremove.json").read_text())
    own = {"type", "seconds", "plan"}
    assert {k: v for k, v in printed.items() if k not in own} == {k: v for k, v in stored.items() if k not in own}
    assert (stored["type"], stored["plan"]["request"]["input"]) == ("report", str(clip))


def test_masks_of_objects_are_named(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    done = vremove("mask", clip, "--box", "ball=4,24,20,40", "-o", tmp_path / "m.mkv", "--per-object", "--json")
    report = report_of(done.stdout)
    assert report["type"] == "mask"
    assert report["outputs"] == [{"kind": "mask", "path": str(tmp_path / "m.ball.mkv"), "object": "ball"}]


def test_warnings_have_a_kind_and_frames(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    report = report_of(vremove("mask", clip, "--box", "@3:60,2,90,20", "-o", tmp_path / "m.mkv", "--json").stdout)
    assert report["warnings"]
    for warning in report["warnings"]:
        assert warning["text"] in report["notes"]
        assert warning["frames"]
        assert all(0 <= first <= last < 10 for first, last in warning["frames"])


def test_one_clip_and_many_have_the_same_form(vremove: Vremove, clip: Path, masks: Path, tmp_path: Path) -> None:
    other = write_clip(tmp_path / "other.mp4")
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    one = report_of(vremove("erase", clip, "--mask", masks / "0000.png", "--json").stdout)
    done = vremove("erase", clip, bad, other, "--mask", masks / "0000.png", "--json", "--overwrite", "-q")
    first, failure, second = reports_of(done.stdout)
    assert done.status == 7
    assert first.keys() == second.keys() == one.keys()
    assert (failure["type"], failure["input"], failure["exit"]) == ("error", str(bad), 3)


def test_a_failure_names_its_input(vremove: Vremove, clip: Path) -> None:
    failure = report_of(vremove("erase", clip, "--point", "500,500", "--json").stdout)
    assert (failure["type"], failure["input"], failure["exit"]) == ("error", str(clip), 2)
    assert report_of(vremove("erase", "--json").stdout)["input"] is None


COMMANDS: dict[str, tuple[object, ...]] = {
    "estimate": ("erase", "CLIP", *BOX, "--dry-run"),
    "clip": ("info", "CLIP"),
    "plan": ("plan", "CLIP", *BOX, "--work", "WORK"),
    "tasks": ("work", "WORK", "--list"),
    "work": ("work", "WORK"),
    "result": ("finish", "WORK"),
    "doctor": ("doctor",),
    "models": ("models", "list"),
    "model": ("models", "show", "void-pass1"),
    "pins": ("models", "lock"),
}


def test_every_command_prints_an_object_of_the_schema(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    for kind, arguments in COMMANDS.items():
        words = [{"CLIP": clip, "WORK": tmp_path / "w"}.get(str(a), a) for a in arguments]
        done = vremove(*words, "--json")
        assert done.status == 0, done.stderr
        assert report_of(done.stdout)["type"] == kind


def test_progress_lines_tell_the_whole_job(vremove: Vremove, clip: Path, masks: Path) -> None:
    done = vremove("erase", clip, "--mask", masks, "--progress", "json", "-q")
    lines = [line for line in reports_of(done.stderr) if line["type"] == "progress"]
    assert [lines[0]["stage"], lines[-1]["stage"]] == ["scan", "write"]
    assert all(line["eta"] is not None and line["percent"] is not None for line in lines)
    assert lines[-1]["percent"] == pytest.approx(100, abs=1)
    assert [line["percent"] for line in lines] == sorted(line["percent"] for line in lines)
    assert all(line["fps"] is None or line["fps"] < 10_000 for line in lines)
    assert reports_of(done.stderr)[-1]["type"] == "result"


def test_failures_are_lines_of_progress_too(vremove: Vremove, clip: Path) -> None:
    last = reports_of(vremove("erase", clip, "--point", "500,500", "--progress", "json").stderr)[-1]
    assert (last["type"], last["exit"], last["input"]) == ("error", 2, str(clip))
    assert report_of(vremove("erase", clip, "--crff", "1", "--progress", "json").stderr)["exit"] == 2


def test_doctor_says_what_is_wrong(vremove: Vremove, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vremove_cli.media.encoder_context.missing_encoders", lambda: ["libx264"])
    done = vremove("doctor", "--json")
    report = report_of(done.stdout)
    assert (done.status, report["ok"]) == (1, False)
    assert "libx264" in report["problems"][0]


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def job() -> tuple[progress.JobProgress, Clock]:
    clock = Clock()
    return progress.JobProgress(clock), clock


def test_the_first_line_has_no_speed_and_an_eta(job: tuple[progress.JobProgress, Clock]) -> None:
    watched, clock = job
    clock.now += 0.001
    line = watched.update("scan", 1, 1000)
    assert line["fps"] is None
    assert line["percent"] == 0
    assert 10 < float(line["eta"] or 0) < 1000
    report_of(json.dumps(enveloped("progress", {**line, "input": None})))


def test_the_time_left_follows_the_jobs_own_speed(job: tuple[progress.JobProgress, Clock]) -> None:
    watched, clock = job
    watched.expect({"track": 10.0, "write": 10.0})
    for done in range(1, 101):
        clock.now += 1.0  # ten times as slow as expected
        line = watched.update("track", done, 100)
    assert line["fps"] == pytest.approx(1, rel=0.02)
    assert line["percent"] == pytest.approx(50, abs=1)
    assert line["eta"] == pytest.approx(10 * 102 / 12, rel=0.02)


def test_what_an_earlier_run_did_is_no_speed(job: tuple[progress.JobProgress, Clock]) -> None:
    watched, clock = job
    watched.expect({"track": 10.0})
    for done in range(901, 1001):
        clock.now += 0.1
        line = watched.update("track", done, 1000)
    assert line["fps"] == pytest.approx(10, rel=0.02)
    assert line["percent"] == 100


def test_an_unknown_speed_is_no_eta_until_it_is_seen(job: tuple[progress.JobProgress, Clock]) -> None:
    watched, clock = job
    watched.expect({"track": 1.0, "fill": None})
    clock.now += 1
    assert watched.update("track", 10, 10)["eta"] is None
    clock.now += 10
    watched.update("fill", 1, 10)
    clock.now += 10
    assert float(watched.update("fill", 2, 10)["eta"] or 0) > 10


def test_the_time_left_of_many_jobs_counts_those_to_come() -> None:
    clock = Clock()
    jobs = progress.CommandProgress(4, 1, clock)
    jobs.begin("a")
    clock.now += 30
    jobs.end("a")
    second = jobs.begin("b", elsewhere=True)
    assert isinstance(second, progress.Told)
    second.percent, second.eta = 50.0, 30.0
    assert jobs.percent == pytest.approx(37.5)
    assert jobs.eta == pytest.approx(30 + 2 * 30)
    assert jobs.place("b") == 2


def test_without_a_terminal_a_line_follows_every_silence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import time

    from vremove_cli.logbook import Logbook

    monkeypatch.setattr(console, "_SILENCE", 0.05)
    shown = console.Console(log=Logbook(str(tmp_path / "run.log")))
    with shown.watching("clip.mp4") as emit:
        emit(Expected({"track": 10.0, "write": 10.0}))
        emit(Progress("track", 5, 10))
        time.sleep(0.2)
        emit(Note("look at frame 3"))
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "tracking ..."
    assert any(line.startswith("tracking 5 of 10, ") and "% of the job, about " in line for line in said)
    log = (tmp_path / "run.log").read_text().splitlines()
    assert log[0] == "vremove log"
    assert any(line.endswith(" look at frame 3") and line[:2] == "20" for line in log)
    assert any("tracking 5 of 10" in line for line in log)


def test_a_log_gets_what_is_shown_and_what_quiet_hides(
    vremove: Vremove, clip: Path, masks: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        vremove("erase", clip, "--mask", masks, "--overwrite", "-q", "--log", tmp_path / "run.log")
    text = (tmp_path / "run.log").read_text()
    assert text.count("vremove log\n") == 1, "a second run adds to it"
    assert text.count("were recovered from other frames") == 2
    vremove("erase", clip, "--point", "500,500", "--overwrite", "-q", "--log", tmp_path / "run.log")
    assert "outside the frame" in (tmp_path / "run.log").read_text().splitlines()[-1]


def test_a_log_never_writes_into_another_file(vremove: Vremove, clip: Path, masks: Path) -> None:
    before = clip.read_bytes()
    done = vremove("erase", clip, "--mask", masks, "--log", clip)
    assert done.status == 2
    assert "no log of vremove" in done.stderr
    assert clip.read_bytes() == before

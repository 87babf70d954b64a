"""The Python API: what is public, the same options and checks as the command line, masks as arrays, events, errors."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vremove_cli
from support.clips import empty_scene, mask_of, planes_of, square, write_clip, write_masks
from support.command import Vremove
from support.disc import iou
from support.refusals import contents
from vremove_cli import (
    Clip,
    Estimate,
    Event,
    ExitCode,
    Expected,
    MediaError,
    ModelError,
    Note,
    NothingError,
    Plan,
    Progress,
    Summary,
    Tally,
    TaskDone,
    UsageError,
    VremoveError,
    erase,
    estimate,
    finish,
    mask,
    open_clip,
    plan,
    score,
    work,
)
from vremove_cli.job.file_options import FileOptions
from vremove_cli.media.ffv1 import read_gray
from vremove_cli.options import options_of

SIZE, FRAMES = (96, 64), 10
MASKS = np.stack([mask_of(t, *SIZE) for t in range(FRAMES)])
WRONG: dict[str, Any] = {
    "point": 5, "box": (1, 2, 3), "crf": 99, "grow": "much", "quality": "good", "recover": "yes", "start": [1],
    "seed": -1, "feather": "soft", "effects": False, "maks": "m.mkv", "write_maks": "m.mkv", "write_mask": 7,
    "write_preview": "sheet.jpg", "work_folder": "w", "json": True,
}  # fmt: skip


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mkv", codec="ffv1")


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return write_masks(tmp_path / "masks")


def box_at(t: int) -> tuple[int, int, int, int]:
    return square(t, *SIZE)


def test_what_is_public_is_listed_importable_and_described() -> None:
    assert vremove_cli.__all__ == sorted(vremove_cli.__all__)
    for name in vremove_cli.__all__:
        assert getattr(vremove_cli, name).__doc__, name
    own = {
        name
        for name, value in vars(vremove_cli).items()
        if callable(value) and not name.startswith("_") and str(getattr(value, "__module__", "")).startswith("vremove")
    }
    assert own <= set(vremove_cli.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        vremove_cli.nothing  # noqa: B018


def test_functions_say_what_they_take_return_and_raise() -> None:
    for function in (erase, mask, plan, work, finish, estimate, score, open_clip):
        documented = inspect.getdoc(function) or ""
        assert "Args:" in documented
        assert "Raises:" in documented
        assert "return" in function.__annotations__
        for name in inspect.signature(function).parameters:
            assert f"{name}:" in documented, f"{function.__name__} does not say what {name} is"


def test_defaults_are_those_of_the_command_line() -> None:
    for function in (erase, mask):
        parameters = inspect.signature(function).parameters
        for name, known in options_of(FileOptions).items():
            default = True if (function, name) == (mask, "keep_work") else known.default
            assert parameters[name].default == default


def test_import_loads_nothing_heavy() -> None:
    code = "import sys, vremove_cli; print([m for m in ('numpy', 'torch', 'av', 'cv2', 'typer') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_erase_from_a_clip_to_a_clip(clip: Path, masks: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    summary = erase(clip, tmp_path / "out.mkv", mask=masks, write_mask=tmp_path / "m.mkv", on_event=events.append)
    assert isinstance(summary, Summary)
    assert summary.output == str(tmp_path / "out.mkv")
    assert (summary.frames, summary.width, summary.height) == (FRAMES, *SIZE)
    assert summary.recovered > 0.5
    for frame in open_clip(tmp_path / "out.mkv").frames():
        error = np.abs(frame.rgb8().astype(int) - empty_scene(frame.index, *SIZE)).max(axis=2)
        assert np.percentile(error, 99) < 20
    assert all((m == MASKS[t]).all() for t, m in enumerate(read_gray(tmp_path / "m.mkv")))
    assert {type(e) for e in events} == {Expected, Note, Progress, TaskDone}
    assert {e.id for e in events if isinstance(e, TaskDone)} >= {"mask-0000", "plate-0000"}
    written = [e for e in events if isinstance(e, Progress) and e.stage == "write"]
    assert (written[-1].done, written[-1].total) == (FRAMES, FRAMES)
    assert not (tmp_path / "out.mkv.vremove").exists()


def test_default_output_work_folder_and_overwrite(clip: Path, masks: Path, tmp_path: Path) -> None:
    first = erase(str(clip), mask=str(masks), work=tmp_path / "w", keep_work=True)
    assert first.output == str(tmp_path / "clip.clean.mkv")
    assert (tmp_path / "w" / "plan.json").exists()
    with pytest.raises(UsageError, match="exists already"):
        erase(clip, mask=masks)
    again = erase(clip, mask=masks, work=tmp_path / "w", keep_work=True, overwrite=True)
    assert again.reused == first.done
    assert again.done == 0


def test_mask_writes_what_the_command_writes(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    summary = mask(clip, tmp_path / "m.mkv", box=box_at(0), write_preview=tmp_path / "sheet.png", grid=True)
    assert summary.output == str(tmp_path / "m.mkv")
    found = np.stack(list(read_gray(tmp_path / "m.mkv")))
    assert iou(found[0] > 0, MASKS[0] > 0) > 0.9
    box = ",".join(map(str, box_at(0)))
    assert vremove("mask", clip, "--box", box, "-o", tmp_path / "typed.mkv").status == 0
    assert np.array_equal(found, np.stack(list(read_gray(tmp_path / "typed.mkv"))))
    assert (tmp_path / "sheet.png").exists()
    each = mask(clip, tmp_path / "each.mkv", box=f"ball={box}", per_object=True)
    assert [(Path(o.path).name, o.object) for o in each.outputs] == [("each.ball.mkv", "ball")]


def test_plan_work_and_finish(clip: Path, masks: Path, tmp_path: Path) -> None:
    made, folder = plan(clip, tmp_path / "out.mkv", mask=masks, work=tmp_path / "w")
    assert isinstance(made, Plan)
    assert folder == tmp_path / "w"
    first = work(folder, task=made.tasks[0].id)
    assert isinstance(first, Tally)
    assert (first.done, first.reused) == ([made.tasks[0].id], [])
    with pytest.raises(UsageError, match="are not done"):
        finish(folder)
    rest = work(folder)
    assert rest.reused == first.done
    assert {*rest.done, *rest.reused} == {t.id for t in made.tasks}
    summary = finish(folder, write_plate=tmp_path / "plate.mkv")
    assert summary.output == str(tmp_path / "out.mkv")
    assert (tmp_path / "plate.mkv").exists()
    whole = erase(clip, tmp_path / "whole.mkv", mask=masks)
    assert same_frames(Path(whole.output), tmp_path / "out.mkv")


def same_frames(a: Path, b: Path) -> bool:
    pairs = zip(planes_of(a), planes_of(b), strict=True)
    return all(np.array_equal(x, y) for p, q in pairs for x, y in zip(p, q, strict=True))


def test_estimate_does_nothing(clip: Path, tmp_path: Path) -> None:
    before = contents(tmp_path)
    need = estimate(clip, mask=MASKS, crf=None)
    assert isinstance(need, Estimate)
    assert need.memory > 0
    assert need.seconds is not None
    assert need.seconds > 0
    assert need.downloads == ()
    assert "plate-0000" in need.tasks
    assert contents(tmp_path) == before


def test_open_clip_gives_frames_times_and_tags(clip: Path) -> None:
    found = open_clip(clip)
    assert isinstance(found, Clip)
    assert found.info.frames == FRAMES
    assert found.info.codec == "ffv1"
    assert [f.index for f in found.frames()] == list(range(FRAMES))


def test_options_have_the_names_and_checks_of_the_command_line(
    vremove: Vremove, clip: Path, masks: Path, tmp_path: Path
) -> None:
    flags = (
        "--mask", masks, "--start", "2", "--end", "0.3s", "--grow", "3", "--feather", "1.5", "--recover", "on",
        "--crf", "12", "--codec", "h264", "--seed", "4", "--drop-streams", "--effects", "off",
    )  # fmt: skip
    assert vremove("plan", clip, *flags, "--work", tmp_path / "a", "-o", tmp_path / "out.mkv").status == 0
    made, _ = plan(
        clip, tmp_path / "out.mkv", work=tmp_path / "b", mask=masks, start=2, end=0.3, grow=3, feather=1.5,
        recover=True, crf=12, codec="h264", seed=4, drop_streams=True, effects="off",
    )  # fmt: skip
    typed = Plan.load(tmp_path / "a" / "plan.json")
    assert typed.request == made.request
    assert [t.key for t in typed.tasks] == [t.key for t in made.tasks]


def test_python_values_mean_the_same_as_their_text(clip: Path, masks: Path, tmp_path: Path) -> None:
    def request(k: int, **options: Any) -> Any:
        return plan(clip, work=tmp_path / f"w{k}", **options)[0].request

    pairs: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
        ({"mask": masks, "recover": True}, {"mask": masks, "recover": "on"}),
        ({"mask": masks, "grow": "auto"}, {"mask": str(masks)}),
        ({"point": (12, 32)}, {"point": "12,32"}),
        ({"point": [(12, 32), (20, 32, 1)]}, {"point": ["12,32", "@1:20,32"]}),
        ({"box": np.array(box_at(0)), "end": 5}, {"box": ",".join(map(str, box_at(0))), "end": "5"}),
    )
    for k, (values, text) in enumerate(pairs):
        assert request(2 * k, **values) == request(2 * k + 1, **text)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_refused_before_any_work(clip: Path, masks: Path, tmp_path: Path, name: str) -> None:
    before = contents(tmp_path)
    prompt: dict[str, Any] = {} if name in ("point", "box") else {"mask": masks}
    functions: tuple[tuple[Callable[..., object], *tuple[Path, ...]], ...]
    functions = ((erase, clip), (mask, clip, tmp_path / "m.mkv"), (plan, clip))
    for function, *paths in functions:
        with pytest.raises(VremoveError) as caught:
            function(*paths, **prompt, **{name: WRONG[name]})
        assert isinstance(caught.value, UsageError)
        assert caught.value.advice
    assert contents(tmp_path) == before


def test_an_iterator_of_masks_is_not_read_for_a_refused_call(clip: Path) -> None:
    def reader() -> Iterator[Any]:
        raise AssertionError("read")
        yield

    with pytest.raises(UsageError, match="--crf 99 is out of range"):
        erase(clip, mask=reader(), crf=99)


def test_each_function_knows_its_own_options(clip: Path, masks: Path, tmp_path: Path) -> None:
    _, folder = plan(clip, work=tmp_path / "w", mask=masks)
    wrong: dict[str, Any] = {"crf": 12}
    for call in (lambda: mask(clip, tmp_path / "m.mkv", mask=masks, **wrong), lambda: finish(folder, **wrong)):
        with pytest.raises(UsageError, match="there is no option 'crf'"):
            call()
    with pytest.raises(UsageError, match="there is no option 'write_maks': did you mean 'write_mask'"):
        erase(clip, mask=masks, write_maks="m.mkv")  # type: ignore[call-arg]


GIVEN: dict[str, Callable[[], Any]] = {
    "array of uint8": lambda: MASKS,
    "array of bool": lambda: MASKS > 0,
    "iterator of uint8": lambda: (m for m in MASKS),
    "iterator of bool": lambda: (m > 0 for m in MASKS),
    "list": lambda: list(MASKS),
    "grey levels": lambda: np.where(MASKS > 0, 128, 127).astype(np.uint8),
    "not contiguous": lambda: np.asfortranarray(MASKS),
}


@pytest.mark.parametrize("name", GIVEN)
def test_masks_as_arrays_give_the_result_of_the_same_file(clip: Path, masks: Path, tmp_path: Path, name: str) -> None:
    erase(clip, tmp_path / "file.mkv", mask=masks)
    erase(clip, tmp_path / "array.mkv", mask=GIVEN[name](), write_mask=tmp_path / "m.mkv")
    assert same_frames(tmp_path / "file.mkv", tmp_path / "array.mkv")
    assert all((m == MASKS[t]).all() for t, m in enumerate(read_gray(tmp_path / "m.mkv")))


def test_one_mask_is_for_all_frames(clip: Path, tmp_path: Path) -> None:
    for k, given in enumerate((MASKS[0], MASKS[:1])):
        erase(clip, tmp_path / f"{k}.mkv", mask=given, write_mask=tmp_path / f"m{k}.mkv")
        assert all((m == MASKS[0]).all() for m in read_gray(tmp_path / f"m{k}.mkv"))


def test_effects_may_be_an_array_too(clip: Path, tmp_path: Path) -> None:
    summary = erase(clip, tmp_path / "o.mkv", mask=MASKS, effects=MASKS > 0)
    assert any("those of the file given" in note for note in summary.notes)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.zeros((FRAMES, 64, 96, 3), np.uint8), "mask holds an array of shape (64, 96, 3) and type uint8"),
        (MASKS.astype(np.float32), "type float32"),
        (MASKS.astype(np.int64), "type int64"),
        (MASKS[:7], "the mask has 7 frames and the clip 10"),
        ([MASKS[0], MASKS[1][:32]], "mask holds masks of 96x64 and others"),
        (iter(()), "mask holds no mask"),
        (["a.png", "b.png"], "mask holds an array of shape ()"),
        (np.zeros((0, 64, 96), bool), "mask holds no mask"),
        (5, "--mask 5 is not a text"),
        (True, "--mask True is not a text"),
    ],
)
def test_arrays_that_are_no_masks_are_refused(clip: Path, tmp_path: Path, given: Any, says: str) -> None:
    before = contents(tmp_path)
    with pytest.raises(UsageError) as caught:
        erase(clip, mask=given)
    assert says in caught.value.problem
    assert caught.value.advice
    assert contents(tmp_path) == before


def test_a_mask_of_another_size_is_scaled_with_a_note(clip: Path, tmp_path: Path) -> None:
    summary = erase(clip, tmp_path / "o.mkv", mask=MASKS[:, ::2, ::2])
    assert any("was scaled to the clip's 96x64" in note for note in summary.notes)


def test_a_plan_refuses_arrays(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mask is an array, and a plan refers to files"):
        plan(clip, work=tmp_path / "w", mask=MASKS)
    assert not (tmp_path / "w").exists()


def test_no_file_of_an_array_is_left(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    erase(clip, tmp_path / "o.mkv", mask=MASKS)
    with pytest.raises(UsageError):
        erase(clip, tmp_path / "o.mkv", mask=MASKS)
    assert list(place.iterdir()) == []


def test_errors_say_what_is_wrong_what_to_do_and_how_to_exit(clip: Path, tmp_path: Path) -> None:
    cases: tuple[tuple[type[VremoveError], ExitCode, dict[str, Any]], ...] = (
        (UsageError, ExitCode.USAGE, {}),
        (MediaError, ExitCode.MEDIA, {"mask": tmp_path / "none.mkv"}),
        (NothingError, ExitCode.NOTHING, {"mask": np.zeros_like(MASKS)}),
        (ModelError, ExitCode.MODEL, {"point": (12, 32), "remover": "minimax"}),
    )
    for kind, code, options in cases:
        with pytest.raises(kind) as caught:
            erase(clip, **options)
        error = caught.value
        assert isinstance(error, VremoveError)
        assert error.code == code
        assert error.problem
        assert error.advice
        assert str(error) == f"{error.problem}: {error.advice}"
    with pytest.raises(MediaError, match="does not exist"):
        open_clip(tmp_path / "none.mp4")


def test_a_report_can_be_read_back(clip: Path, masks: Path, tmp_path: Path) -> None:
    summary = erase(clip, tmp_path / "o.mkv", mask=masks)
    report = json.loads((tmp_path / "o.vremove.json").read_text())
    assert report["recovered"] == summary.recovered
    assert report["plan"]["request"]["mask"] == str(masks)

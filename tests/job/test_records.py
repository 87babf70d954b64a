"""Results of stages and plans as JSON: they survive the way to a file and back; a damaged file gives one sentence."""

import json
import tempfile
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.clips import write_clip, write_masks
from vremove_cli.errors import UsageError, VremoveError
from vremove_cli.job.composite import FillResult, PlateResult
from vremove_cli.job.erase_mask import BackgroundResult
from vremove_cli.job.mask_store import MaskResult
from vremove_cli.job.plan import SCHEMA, Plan
from vremove_cli.job.runner import run_plan
from vremove_cli.job.stages.kinds import STAGES
from vremove_cli.job.workdir.artifacts import CropTable
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.job.workdir.records import from_json, to_json, write_record

NUMBERS = st.integers(-(2**40), 2**40)
PAIRS = st.tuples(NUMBERS, NUMBERS)
BOXES = st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
TABLES = st.builds(
    CropTable, PAIRS, st.lists(PAIRS, max_size=5).map(tuple), st.lists(BOXES, max_size=5).map(tuple)
)  # fmt: skip
RESULTS: dict[type, st.SearchStrategy[Any]] = {
    MaskResult: st.builds(
        MaskResult,
        st.none() | TABLES,
        st.lists(st.floats(0, 1), max_size=5).map(tuple),
        st.none() | st.dictionaries(st.integers(0, 10**6), st.text(max_size=20), max_size=4),
        st.integers(0, 10**6),
    ),
    BackgroundResult: st.builds(BackgroundResult, TABLES, st.text(max_size=40), st.booleans()),
    PlateResult: st.builds(PlateResult, TABLES, BOXES, NUMBERS, NUMBERS, NUMBERS),
    FillResult: st.builds(FillResult, st.none() | TABLES, st.booleans()),
}
TABLE = CropTable((8, 8), ((0, 0), (2, 4)), ((0, 0, 8, 8), (0, 0, 0, 0)))
EXAMPLES: dict[type, Any] = {
    MaskResult: MaskResult(TABLE, (0.5, 1.0), {3: "lost"}, 1),
    BackgroundResult: BackgroundResult(TABLE, "a shadow", False),
    PlateResult: PlateResult(TABLE, (0, 0, 4, 4), 10, 2, 1),
    FillResult: FillResult(TABLE, True),
}


def test_the_results_of_all_stages_are_tested() -> None:
    assert {stage.result for stage in STAGES.values()} == set(RESULTS) == set(EXAMPLES)


@given(st.sampled_from(sorted(RESULTS, key=str)).flatmap(lambda kind: RESULTS[kind]))
def test_a_result_survives_json(result: Any) -> None:
    text = json.dumps(to_json(result))
    again = from_json(type(result), json.loads(text))
    assert again == result
    assert json.dumps(to_json(again)) == text


@pytest.mark.parametrize("kind", RESULTS)
def test_a_result_survives_the_work_folder(tmp_path: Path, kind: type) -> None:
    folder = WorkFolder(tmp_path / "w")
    folder.claim()
    assert folder.result("task", kind) is None
    folder.finish("task", EXAMPLES[kind], 1.5)
    assert folder.finished("task")
    assert folder.result("task", kind) == EXAMPLES[kind]


def damaged(result: Any) -> list[bytes]:
    """Return a task's file with damages of many kinds."""
    text = stored({"seconds": 1.0, "result": to_json(result)})
    values: dict[str, Any] = to_json(result)
    without = [{k: v for k, v in values.items() if k != name} for name in values]
    return [
        b"", b"{", text[: len(text) // 2], b"null", b"[]", b'"text"', b"7", b"{}", b'{"result": null}', b"\xff\xfe\x00",
        stored({}), stored({"result": [1, 2]}), stored({"result": "text"}), text.replace(b"1.0", b"1.1"),
        b"[" * 100_000,
        *(stored({"result": {**values, name: {"no": ["such"]}}}) for name in values),
        *(stored({"result": part}) for part in without if not can_miss(type(result), part)),
    ]  # fmt: skip


def stored(data: dict[str, Any]) -> bytes:
    """Return an object as a file of the work folder holds it, with its digest."""
    with tempfile.TemporaryDirectory() as place:
        write_record(Path(place) / "x", data)
        return (Path(place) / "x").read_bytes()


def can_miss(kind: Any, part: dict[str, Any]) -> bool:
    """Return whether the fields that a result lacks have a default."""
    return {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING} <= set(part)


@pytest.mark.parametrize("kind", RESULTS)
def test_a_damaged_result_gives_one_sentence(tmp_path: Path, kind: type) -> None:
    folder = WorkFolder(tmp_path / "w")
    folder.claim()
    path = folder.file("done", "task.json")
    for data in damaged(EXAMPLES[kind]):
        path.write_bytes(data)
        with pytest.raises(VremoveError) as caught:
            folder.result("task", kind)
        assert f"the work file {path} is damaged" in caught.value.problem, data
        assert caught.value.advice == "run the command again: it makes that anew"
        assert "\n" not in str(caught.value)
        assert not folder.finished("task")


def test_a_wrong_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^boxes\.1\.2: input should be a valid integer"):
        from_json(CropTable, {"size": [1, 1], "origins": [], "boxes": [[0, 0, 1, 1], [0, 0, "x", 1]]})
    with pytest.raises(ValueError, match=r"^generated: field required"):
        from_json(FillResult, {"patches": None})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    """A plan and its file."""
    place = tmp_path_factory.mktemp("plan")
    clip, masks = write_clip(place / "clip.mp4", audio="aac"), write_masks(place / "masks")
    plan, folder = run_plan(str(clip), str(place / "o.mp4"), work=str(place / "w"), mask=str(masks))
    return plan, WorkFolder(folder).plan


def test_a_plan_survives_json(made: tuple[Plan, Path]) -> None:
    plan, path = made
    assert Plan.load(path) == plan
    assert from_json(Plan, json.loads(json.dumps(plan.to_json()))) == plan
    assert from_json(Plan, to_json(replace(plan, notes=("a", "ö")))).notes == ("a", "ö")


WRONG: dict[str, Any] = {
    "request": 7, "fingerprints": ["a"], "clip": {}, "encode": "libx264", "streams": {"a": 1}, "references": [1],
    "tracker": None, "weights": 3, "remover": ["plate"], "checkpoints": [1], "span": {"start": "x"}, "segments": [[1]],
    "prompts": {"": 3}, "tasks": [{"id": 4}], "notes": [["a"]], "versions": None, "arithmetic": {"device": "tpu"},
}  # fmt: skip


@pytest.mark.parametrize("field", WRONG)
def test_a_plan_with_a_wrong_type_gives_one_sentence(made: tuple[Plan, Path], tmp_path: Path, field: str) -> None:
    path = tmp_path / "plan.json"
    write_record(path, {"schema": SCHEMA, **made[0].to_json(), field: WRONG[field]})
    with pytest.raises(VremoveError) as caught:
        Plan.load(path)
    assert f"{path} is damaged ({field}" in caught.value.problem
    assert caught.value.advice == "delete the work folder and plan again"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"7", b'"x"', b"{}", b"\xff", b'{"schema": 99}'])
def test_a_damaged_plan_gives_one_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(data)
    with pytest.raises(VremoveError, match=r"is damaged \(") as caught:
        Plan.load(path)
    assert not isinstance(caught.value, UsageError)


def test_a_plan_of_another_version_is_named(made: tuple[Plan, Path], tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_record(path, {**made[0].to_json(), "schema": SCHEMA + 1, "versions": {"vremove": "9.9"}})
    with pytest.raises(VremoveError, match=r"was made by another version \(9\.9\): plan the work again"):
        Plan.load(path)
    with pytest.raises(UsageError, match="holds no plan"):
        Plan.load(tmp_path / "none" / "plan.json")

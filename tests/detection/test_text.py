"""Objects named by a phrase: boxes from a detector, chosen among, in the clip's own pixels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import hub as fake
from support.clips import scene, write_clip
from support.command import Vremove
from support.disc import drawn, red_disc
from support.process import Cli
from support.twins import dino_repo
from vremove_cli.detection import grounding_dino
from vremove_cli.detection.grounding_dino import Detection, box_iou, boxes_in_pixels, suppress_duplicates
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.job.text_prompts import LOOKS, _search
from vremove_cli.media.read import open_clip

REPO = "IDEA-Research/grounding-dino-tiny"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return dino_repo()


@pytest.fixture(scope="module")
def folder(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("dino")
    for name, content in files.items():
        (made / name).write_bytes(content)
    return made


@pytest.fixture(scope="module")
def hub(files: dict[str, bytes]) -> Iterator[fake.Hub]:
    with fake.serving({REPO: fake.Repo(files)}) as server:
        yield server


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(tmp_path_factory.mktemp("disc"), red_disc, frames=6)


def test_boxes_are_in_pixels_of_the_picture() -> None:
    boxes, scores = np.array([[0.5, 0.5, 0.25, 0.5], [0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.1, 0.1]]), [0.9, 0.5, 0.1]
    found = boxes_in_pixels(boxes, np.array(scores), 320, 180)
    assert [m.box for m in found] == [(120, 45, 200, 135), (0, 0, 96, 54)]


def test_the_better_of_two_boxes_of_one_thing_stays() -> None:
    one, same, other = Detection((0, 0, 10, 10), 0.5), Detection((1, 0, 11, 10), 0.8), Detection((20, 0, 30, 10), 0.4)
    assert suppress_duplicates([one, same, other]) == [same, other]


@given(st.lists(st.tuples(*[st.floats(0, 50)] * 4, st.floats(0, 1)), max_size=12))
def test_distinct_boxes_hardly_overlap(rows: list[tuple[float, ...]]) -> None:
    found = suppress_duplicates([Detection((x, y, x + w + 1, y + h + 1), score) for x, y, w, h, score in rows])
    assert all(box_iou(a.box, b.box) < 0.6 for k, a in enumerate(found) for b in found[:k])
    assert [m.score for m in found] == sorted((m.score for m in found), reverse=True)


@pytest.mark.slow
def test_several_matches_are_listed_with_numbers_and_one_is_picked(hub: fake.Hub, clip: Path, tmp_path: Path) -> None:
    cli = Cli(hub, tmp_path)
    args = ("mask", clip, "--text", "the red disc", "--tracker", "flow", "-o", "mask.mkv", "--overwrite")
    _, said = cli(*args, status=2)
    listed = said.split('things match "the red disc": ')[1]
    second = listed.split("2: ")[1].split(";")[0]
    assert "add --pick NUMBER, or --all-matches" in said
    _, said = cli(*args, "--pick", 2, HF_HUB_OFFLINE="1")
    assert f'"the red disc": {second}' in said
    assert (tmp_path / "mask.mkv").exists()


def test_all_matches_are_objects_of_their_own(vremove: Vremove, folder: Path, clip: Path, tmp_path: Path) -> None:
    weights = f"grounding-dino-tiny={folder}"
    args = ("plan", clip, "--text", "the dog", "--weights", weights, "--all-matches", "--work", tmp_path / "job")
    said = vremove(*args)
    assert said.status == 0, said.stderr
    assert said.stderr.count('"the dog": ') >= 3
    assert '"match3"' in (tmp_path / "job/plan.json").read_text()


def test_the_masks_of_matches_are_named_and_not_written_over(
    vremove: Vremove, folder: Path, clip: Path, tmp_path: Path
) -> None:
    args = ("mask", clip, "--text", "the dog", "--weights", f"grounding-dino-tiny={folder}", "--pick", 1, "--pick", 2,
            "--end", 2, "--tracker", "flow", "--per-object", "-o", tmp_path / "m.mkv", "--no-keep-work")  # fmt: skip
    said = vremove(*args)
    assert said.stdout.split() == [str(tmp_path / "m.object.mkv"), str(tmp_path / "m.match2.mkv")]
    (tmp_path / "m.object.mkv").unlink()
    said = vremove(*args)
    assert said.status == 2
    assert "m.match2.mkv exists already" in said.stderr
    assert "tracking" not in said.stderr


def test_a_dry_run_without_the_detector_takes_negative_points_too(vremove: Vremove, clip: Path) -> None:
    said = vremove("erase", clip, "--text", "the dog", "--not-point", "5,5", "--dry-run")
    assert said.status == 0, said.stderr
    assert "downloads: grounding-dino-tiny" in said.stdout


def test_a_phrase_that_nothing_matches_is_told(
    vremove: Vremove, folder: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grounding_dino, "MIN_SCORE", 1.1)
    weights = f"grounding-dino-tiny={folder}"
    said = vremove("mask", clip, "--text", "the dog", "--weights", weights, "-o", tmp_path / "m.mkv")
    assert said.status == 4
    assert 'nothing matches "the dog"' in said.stderr


@pytest.mark.parametrize(
    ("file", "content"), [("preprocessor_config.json", None), ("tokenizer.json", b"{"), ("config.json", b"[]")]
)
def test_a_detector_with_a_file_missing_or_damaged_is_told(
    vremove: Vremove, files: dict[str, bytes], clip: Path, tmp_path: Path, file: str, content: bytes | None
) -> None:
    for name, known in {**files, file: content}.items():
        if known is not None:
            (tmp_path / name).write_bytes(known)
    weights = f"grounding-dino-tiny={tmp_path}"
    said = vremove("mask", clip, "--text", "dog", "--weights", weights, "-o", tmp_path / "m.mkv")
    assert said.status == 6
    assert f"the weights in {tmp_path} cannot be read" in said.stderr


def test_a_number_that_is_no_match_is_told(vremove: Vremove, folder: Path, clip: Path, tmp_path: Path) -> None:
    weights = f"grounding-dino-tiny={folder}"
    said = vremove("mask", clip, "--text", "dog", "--weights", weights, "--pick", 99, "-o", tmp_path / "m.mkv")
    assert said.status == 2
    assert "--pick 99 is none of the" in said.stderr


@pytest.mark.parametrize("frames", [1, 5, 15])
def test_a_shot_is_given_up_after_some_looks(tmp_path: Path, frames: int) -> None:
    info = open_clip(str(drawn(tmp_path, red_disc, frames=frames))).info
    seen: list[np.ndarray] = []

    def look(picture: np.ndarray) -> list[Detection]:
        seen.append(picture)
        return []

    assert _search(info, 0, FrameRange(0, frames), look) == []
    assert min(frames, LOOKS // 2) <= len(seen) <= LOOKS


def test_each_shot_is_looked_at(vremove: Vremove, folder: Path, tmp_path: Path) -> None:
    def picture(t: int, width: int, height: int) -> np.ndarray:
        return (red_disc if t < 8 else scene)(t, width, height)

    clip = write_clip(tmp_path / "cut.mkv", codec="ffv1", size=(320, 180), frames=16, picture=picture)
    weights = f"grounding-dino-tiny={folder}"
    said = vremove("plan", clip, "--text", "dog", "--weights", weights, "--all-matches", "--work", tmp_path / "job")
    assert "on frame 0 (" in said.stderr
    assert "on frame 8 (" in said.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--pick", "1", "--point", "5,5"), "choose among what --text finds"),
        (("--text", "dog", "--mask", "m.mkv"), "use one or the other"),
        (("--text", "dog", "--point", "object=5,5"), "one object is named 'object' and one has no name"),
        (("--text", " . "), "--text is empty"),
        (("--text", "dog " * 300), "name the object in a few"),
    ],
)
def test_wrong_uses_are_told(
    vremove: Vremove, folder: Path, clip: Path, tmp_path: Path, args: tuple[str, ...], says: str
) -> None:
    said = vremove("mask", clip, *args, "--weights", f"grounding-dino-tiny={folder}", "-o", tmp_path / "o.mkv")
    assert said.status == 2
    assert says in said.stderr

"""`vremove score`: what it takes from a report, what it prints and writes, what it refuses, and how it ranks."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from support.clips import empty_scene, mask_of, scene, write_clip, write_masks, write_sequence
from support.command import Outcome, Vremove
from support.refusals import assert_refused
from support.reports import SCHEMA, report_of, reports_of
from vremove_cli import erase, score
from vremove_cli.page.review import Review, read_report

SIZE, FRAMES = (128, 96), 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip, its truth and masks, what `erase` makes of it, and a stain of one colour."""
    made = tmp_path_factory.mktemp("scored")

    def stained(t: int, width: int, height: int) -> np.ndarray:
        out = scene(t, width, height)
        out[mask_of(t, width, height) > 0] = (90, 120, 60)
        return out

    for name, picture in (("clip", scene), ("truth", empty_scene), ("stain", stained)):
        write_clip(made / f"{name}.mkv", codec="ffv1", size=SIZE, frames=FRAMES, picture=picture)
    write_masks(made / "masks", size=SIZE, frames=FRAMES)
    erase(made / "clip.mkv", made / "ours.mkv", mask=made / "masks", write_mask=made / "written.mkv", effects="off")
    return made


def run(vremove: Vremove, folder: Path, *names: str, json: bool = True) -> Outcome:
    results = [folder / name for name in names]
    known = ("--source", folder / "clip.mkv", "--mask", folder / "masks")
    return vremove("score", *results, *known, *(["--json"] if json else []))


def test_the_report_names_source_and_mask(vremove: Vremove, folder: Path) -> None:
    found = report_of(vremove("score", folder / "ours.mkv", "--json").stdout)
    assert (found["input"], found["mask"]) == (str(folder / "clip.mkv"), str(folder / "written.mkv"))
    assert (found["type"], found["rank"], found["frames"]) == ("score", 1, FRAMES)
    assert found["still_there"] < 0.1
    assert (found["truth"], found["psnr"]) == (None, None)


def test_the_users_mask_counts_where_none_was_written(vremove: Vremove, folder: Path, tmp_path: Path) -> None:
    report = json.loads((folder / "ours.vremove.json").read_text())
    report["outputs"] = [o for o in report["outputs"] if o["kind"] != "mask"]
    (tmp_path / "ours.mkv").write_bytes((folder / "ours.mkv").read_bytes())
    (tmp_path / "ours.vremove.json").write_text(json.dumps(report))
    found = report_of(vremove("score", tmp_path / "ours.mkv", "--json").stdout)
    assert found["mask"] == str(folder / "masks")


def test_results_are_ranked(vremove: Vremove, folder: Path) -> None:
    found = reports_of(run(vremove, folder, "clip.mkv", "stain.mkv", "truth.mkv", "ours.mkv").stdout)
    assert [r["rank"] for r in found] == [1, 2, 3, 4]
    assert {Path(r["output"]).name for r in found[:2]} == {"truth.mkv", "ours.mkv"}  # lossless and smooth: alike
    assert [Path(r["output"]).name for r in found[2:]] == ["stain.mkv", "clip.mkv"]


def test_people_get_a_table(vremove: Vremove, folder: Path) -> None:
    lines = run(vremove, folder, "clip.mkv", "truth.mkv", json=False).stdout.splitlines()
    assert lines[0].split() == ["truth.mkv", "clip.mkv", "best"]
    rows = {line[:16].strip(): line[16:].split() for line in lines[1:]}
    assert rows["still there"][1:] == ["1.000", "0"]
    assert "psnr" not in rows


def test_a_truth_is_compared_with(vremove: Vremove, folder: Path) -> None:
    found = report_of(vremove("score", folder / "ours.mkv", "--truth", folder / "truth.mkv", "--json").stdout)
    assert found["psnr"] > 25
    assert found["ssim"] > 0.8


def test_a_picture_is_scored(vremove: Vremove, tmp_path: Path) -> None:
    for name, picture in (("in", scene), ("out", empty_scene)):
        rgb = cv2.cvtColor(picture(0, *SIZE), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(tmp_path / f"{name}.png"), rgb)
    cv2.imwrite(str(tmp_path / "mask.png"), mask_of(0, *SIZE))
    given = ("--source", tmp_path / "in.png", "--mask", tmp_path / "mask.png")
    found = report_of(vremove("score", tmp_path / "out.png", *given, "--json").stdout)
    assert (found["frames"], found["flicker"], found["warp_error"]) == (1, None, None)
    assert found["still_there"] < 0.5


def test_what_is_saved_is_shown_by_review(vremove: Vremove, folder: Path, tmp_path: Path) -> None:
    review = Review([read_report(folder / "ours.vremove.json")], tmp_path / "verdicts.jsonl")
    assert review.state()[0]["score"] is None
    printed = report_of(vremove("score", folder / "ours.mkv", "--json", "--save").stdout)
    saved = folder / "ours.score.json"
    assert json.loads(saved.read_text()) == printed
    assert review.state()[0]["score"]["overall"] == printed["overall"]
    os.utime(saved, ns=(0, 0))  # the result is newer
    assert review.state()[0]["score"] is None
    saved.unlink()


def test_python_has_the_same_numbers(vremove: Vremove, folder: Path) -> None:
    printed = report_of(vremove("score", folder / "ours.mkv", "--json").stdout)
    masks = np.stack([mask_of(t, *SIZE) for t in range(FRAMES)])
    found = score(folder / "ours.mkv", source=folder / "clip.mkv", mask=masks)
    assert {name: printed[name] for name in vars(found)} == vars(found)


def test_every_measure_is_in_the_schema() -> None:
    from dataclasses import fields

    from vremove_cli.quality.score import Score

    known = json.loads(SCHEMA.read_text())["$defs"]["score"]["properties"]
    assert {f.name for f in fields(Score)} <= set(known)


def test_refusals(vremove: Vremove, folder: Path, tmp_path: Path) -> None:
    result = tmp_path / "r.mkv"
    result.write_bytes((folder / "ours.mkv").read_bytes())
    clip, masks = ("--source", folder / "clip.mkv"), ("--mask", folder / "masks")
    assert_refused(vremove, tmp_path, 2, "what", "score", result)
    assert_refused(vremove, tmp_path, 2, "--write-mask", "score", result, *clip)
    assert_refused(vremove, tmp_path, 3, "does not exist", "score", tmp_path / "none.mkv", *clip, *masks)
    assert_refused(vremove, tmp_path, 3, "does not exist", "score", result, "--source", "none.mkv", *masks)
    short = write_clip(tmp_path / "short.mkv", codec="ffv1", size=SIZE, frames=FRAMES - 1)
    assert_refused(vremove, tmp_path, 2, "9 frames and its source 10", "score", short, *clip, *masks)
    small = write_clip(tmp_path / "small.mkv", codec="ffv1", frames=FRAMES)
    assert_refused(vremove, tmp_path, 2, "96x64 and its source 128x96", "score", small, *clip, *masks)
    assert_refused(vremove, tmp_path, 2, "the truth is 96x64", "score", result, *clip, *masks, "--truth", small)
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros(SIZE[::-1], np.uint8))
    assert_refused(vremove, tmp_path, 4, "nothing", "score", result, *clip, "--mask", tmp_path / "black.png")
    (tmp_path / "r.vremove.json").write_text("{}")
    assert_refused(vremove, tmp_path, 2, "is no report", "score", result)


def test_numbered_pictures_are_scored(vremove: Vremove, tmp_path: Path) -> None:
    for name, picture in (("in", scene), ("out", empty_scene)):
        write_sequence(tmp_path / name, size=SIZE, frames=4, picture=picture)
    masks = write_masks(tmp_path / "masks", size=SIZE, frames=4)
    done = vremove("score", tmp_path / "out", "--source", tmp_path / "in", "--mask", masks, "--json")
    assert report_of(done.stdout)["frames"] == 4

"""The command line: what is printed where, defaults, batches, and the small commands."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.clips import empty_scene, mask_of, planes_of, scene, square, write_clip, write_masks, write_sequence
from support.command import Vremove
from support.disc import iou
from vremove_cli.media.ffv1 import read_gray
from vremove_cli.media.read import open_clip

HEAVY = ("torch", "diffusers", "transformers", "sam2", "av", "cv2", "numpy", "PIL", "huggingface_hub")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", audio="aac")


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return write_masks(tmp_path / "masks")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nsys.argv = ['vremove', '--help']\nfrom vremove_cli.app import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_help_names_every_command(vremove: Vremove) -> None:
    shown = vremove("--help").stdout
    assert all(name in shown for name in ("erase", "mask", "frame", "info", "doctor", "plan", "work", "finish"))


def test_default_output_is_beside_the_input(vremove: Vremove, clip: Path, masks: Path) -> None:
    done = vremove("erase", clip, "--mask", masks)
    assert done.status == 0
    assert done.stdout.strip() == str(clip.with_name("clip.clean.mp4"))
    assert clip.with_name("clip.clean.mp4").exists()


def test_summary_is_talk_and_the_path_is_data(vremove: Vremove, clip: Path, masks: Path) -> None:
    done = vremove("erase", clip, "--mask", masks)
    assert "10 frames, 96x64, libx264 yuv420p crf 16, kept #1 audio aac" in done.stderr
    assert "recovered from other frames" in done.stderr
    assert done.stdout.count("\n") == 1


def test_json_is_one_object(vremove: Vremove, clip: Path, masks: Path) -> None:
    done = vremove("erase", clip, "--mask", masks, "--json")
    report = json.loads(done.stdout)
    assert report["frames"] == 10
    assert 0 <= report["recovered"] <= 1


def test_progress_json_is_lines_with_stage_rate_and_eta(vremove: Vremove, clip: Path, masks: Path) -> None:
    done = vremove("erase", clip, "--mask", masks, "--progress", "json")
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    written = [x for x in lines if x.get("stage") == "write"]
    assert written[-1]["done"] == written[-1]["total"] == 10
    assert {"fps", "eta"} <= written[-1].keys()


def test_quiet_says_nothing(vremove: Vremove, clip: Path, masks: Path) -> None:
    assert vremove("erase", clip, "--mask", masks, "--quiet").stderr == ""


def test_sidecar_says_how_it_was_made(vremove: Vremove, clip: Path, masks: Path) -> None:
    vremove("erase", clip, "--mask", masks, "--seed", "5")
    side = json.loads(clip.with_name("clip.clean.vremove.json").read_text())
    assert side["plan"]["request"]["seed"] == 5
    assert side["plan"]["fingerprints"]["clip"]
    assert side["plan"]["encode"]["encoder"] == "libx264"


def test_dry_run_does_nothing(vremove: Vremove, clip: Path, masks: Path, tmp_path: Path) -> None:
    before = sorted(p.name for p in tmp_path.iterdir())
    done = vremove("erase", clip, "--mask", masks, "--dry-run")
    assert done.status == 0
    assert all(word in done.stdout for word in ("tasks:", "memory:", "disk:", "time:", "downloads: none"))
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_overwrite_replaces(vremove: Vremove, clip: Path, masks: Path) -> None:
    target = clip.with_name("clip.clean.mp4")
    target.write_bytes(b"old")
    assert vremove("erase", clip, "--mask", masks, "--overwrite").status == 0
    assert open_clip(str(target)).info.frames == 10


def test_keep_work_leaves_the_folder(vremove: Vremove, clip: Path, masks: Path, tmp_path: Path) -> None:
    vremove("erase", clip, "--mask", masks, "--keep-work", "--work", tmp_path / "w")
    assert (tmp_path / "w" / "plan.json").exists()


def test_exports_are_written(vremove: Vremove, clip: Path, masks: Path, tmp_path: Path) -> None:
    done = vremove(
        "erase", clip, "--mask", masks, "--write-mask", tmp_path / "m.mkv", "--write-matte", tmp_path / "matte",
        "--write-preview", tmp_path / "sheet.png",
    )  # fmt: skip
    assert done.status == 0
    exported = list(read_gray(tmp_path / "m.mkv"))
    assert all((mask == mask_of(t, 96, 64)).all() for t, mask in enumerate(exported))
    assert len(list((tmp_path / "matte").glob("*.png"))) == 10
    assert Image.open(tmp_path / "sheet.png").width > 3 * 96


def test_batch_with_a_pattern(vremove: Vremove, tmp_path: Path, masks: Path) -> None:
    clips = [write_clip(tmp_path / f"{name}.mp4") for name in ("a", "b")]
    done = vremove("erase", *clips, "--mask", masks / "0000.png", "-o", tmp_path / "{stem}_out{ext}")
    assert done.status == 0
    assert (tmp_path / "a_out.mp4").exists()
    assert (tmp_path / "b_out.mp4").exists()


def shifted_scene(ahead: int, t: int, width: int, height: int) -> np.ndarray:
    return scene(t + ahead, width, height)


def test_batch_takes_each_clips_own_mask(vremove: Vremove, tmp_path: Path) -> None:
    later = 5  # frames that the second clip's square is ahead of the first one's
    for name, ahead in (("a", 0), ("b", later)):
        write_clip(tmp_path / f"{name}.mkv", codec="ffv1", picture=partial(shifted_scene, ahead))
        masks = tmp_path / "all" / name
        masks.mkdir(parents=True)
        for t in range(10):
            Image.fromarray(mask_of(t + ahead, 96, 64)).save(masks / f"{t:04d}.png")
    assert vremove("erase", tmp_path / "a.mkv", tmp_path / "b.mkv", "--mask", tmp_path / "all").status == 0
    for name in ("a", "b"):
        for frame in open_clip(str(tmp_path / f"{name}.clean.mkv")).frames():
            error = np.abs(frame.rgb8().astype(int) - empty_scene(frame.index, 96, 64)).max(axis=2)
            squares = (mask_of(frame.index, 96, 64) | mask_of(frame.index + later, 96, 64)) > 0
            assert np.percentile(error[squares], 95) < 20  # the square stands out by 100 and more


def test_batch_goes_on_after_a_failure_and_exits_7(vremove: Vremove, tmp_path: Path, masks: Path) -> None:
    good, bad = write_clip(tmp_path / "good.mp4"), tmp_path / "bad.mp4"
    bad.write_bytes(b"not a video")
    done = vremove("erase", bad, good, "--mask", masks / "0000.png")
    assert done.status == 7
    assert str(bad) in done.stderr
    assert (tmp_path / "good.clean.mp4").exists()


def test_mask_writes_every_frame(vremove: Vremove, clip: Path, masks: Path, tmp_path: Path) -> None:
    done = vremove("mask", clip, "--box", "4,24,20,40", "-o", tmp_path / "m.mkv", "--write-preview", tmp_path / "s.png")
    assert done.status == 0
    assert len(list(read_gray(tmp_path / "m.mkv"))) == 10
    assert (tmp_path / "s.png").exists()


def test_a_grid_moves_no_pixel(vremove: Vremove, tmp_path: Path) -> None:
    """An image viewer shows the frame's own coordinates."""
    clip = write_clip(tmp_path / "big.mp4", size=(480, 270), frames=4)
    assert vremove("frame", clip, "--at", "3", "--grid", "-o", tmp_path / "g.png").status == 0
    assert vremove("frame", clip, "--at", "0.12s", "-o", tmp_path / "f.png").status == 0
    plain, grid = (np.asarray(Image.open(tmp_path / name)) for name in ("f.png", "g.png"))
    assert grid.shape == plain.shape == (270, 480, 3)
    assert 0.7 < (grid == plain).all(axis=2).mean() < 0.97, "the lines alone differ"


def test_info_as_json(vremove: Vremove, clip: Path) -> None:
    facts = json.loads(vremove("info", clip, "--json").stdout)
    assert (facts["frames"], facts["size"], facts["codec"]) == (10, "96x64", "h264")
    assert facts["streams"] == ["#1 audio aac (und)"]


def test_info_looks_at_what_cannot_be_erased_too(vremove: Vremove, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "i.mp4", options={"flags": "+ildct+ilme", "x264-params": "interlaced=1"})
    done = vremove("info", clip, "--json")
    assert done.status == 0
    assert "interlaced" in json.loads(done.stdout)["notes"][0]


def test_the_parsers_complaints_are_one_sentence_too(vremove: Vremove, clip: Path) -> None:
    for option, says in (
        (("--crf", "lots"), "--crf lots is not a whole number"),
        (("--crff", "1"), "vremove erase --help"),
    ):
        done = vremove("erase", clip, *option, "--json")
        assert done.status == 2
        assert done.stderr.count("\n") == 1
        assert says in done.stderr
        assert json.loads(done.stdout)["exit"] == 2


def test_no_arguments_show_the_help(vremove: Vremove) -> None:
    done = vremove()
    assert done.status == 0
    assert "erase" in done.stdout


def test_doctor_finds_the_encoders(vremove: Vremove) -> None:
    facts = json.loads(vremove("doctor", "--json").stdout)
    assert (facts["ok"], facts["problems"], facts["missing_encoders"]) == (True, [], [])
    assert facts["packages"]["av"]


def test_settings_file_gives_defaults_that_flags_override(
    vremove: Vremove, clip: Path, masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vremove.toml").write_text("[erase]\ncrf = 30\n")
    assert "crf 30" in vremove("erase", clip, "--mask", masks).stderr
    assert "crf 12" in vremove("erase", clip, "--mask", masks, "--crf", "12", "--overwrite").stderr


def test_environment_beats_the_settings_file(
    vremove: Vremove, clip: Path, masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vremove.toml").write_text("[erase]\ncrf = 30\n")
    monkeypatch.setenv("VREMOVE_ERASE_CRF", "21")
    assert "crf 21" in vremove("erase", clip, "--mask", masks).stderr


def test_a_folder_of_images_gives_a_folder(vremove: Vremove, tmp_path: Path) -> None:
    shot = write_sequence(tmp_path / "shot")
    masks = write_masks(tmp_path / "masks")
    done = vremove("erase", shot, "--mask", masks)
    assert done.status == 0
    assert sorted(p.name for p in (tmp_path / "shot.clean").iterdir()) == sorted(p.name for p in shot.iterdir())


def test_a_file_number_names_a_frame_of_a_sequence(vremove: Vremove, tmp_path: Path) -> None:
    shot = write_sequence(tmp_path / "shot")
    x0, y0, x1, y1 = square(2, 96, 64)
    found = {}
    for when in ("#1003", "2", "3"):
        box = f"@{when}:{x0},{y0},{x1},{y1}"
        assert vremove("mask", shot, "--box", box, "-o", tmp_path / f"{when}.mkv").status == 0
        found[when] = np.stack(list(read_gray(tmp_path / f"{when}.mkv"))) > 127
    assert iou(found["#1003"][2], mask_of(2, 96, 64) > 0) > 0.9
    assert np.array_equal(found["#1003"], found["2"])
    assert not np.array_equal(found["#1003"], found["3"])


def test_steps_work_one_after_the_other(vremove: Vremove, clip: Path, masks: Path, tmp_path: Path) -> None:
    planned = vremove("plan", clip, "--mask", masks, "-o", tmp_path / "out.mp4")
    folder = planned.stdout.strip()
    assert planned.status == 0
    assert "left mask-0000" in vremove("work", folder, "--list").stdout
    assert vremove("finish", folder).status == 2
    assert vremove("work", folder).status == 0
    assert vremove("finish", folder, "--write-preview", tmp_path / "sheet.png").status == 0
    assert (tmp_path / "sheet.png").exists()
    assert len(planes_of(tmp_path / "out.mp4")) == 10

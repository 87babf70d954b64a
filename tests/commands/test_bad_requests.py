"""Bad requests: the right exit status, one sentence with what to do, no traceback, nothing written, nothing touched."""

import json
from pathlib import Path

import av
import numpy as np
import pytest

from support.clips import mask_of, write_clip, write_masks, write_sequence
from support.command import Vremove
from support.refusals import POINT, assert_refused, folder, touch
from vremove_cli.media.probe import scan


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", audio="aac")


def empty_masks(folder: Path) -> Path:
    masks = write_masks(folder)
    for file in masks.iterdir():
        import cv2

        cv2.imwrite(str(file), np.zeros((64, 96), np.uint8))
    return masks


def full_masks(folder: Path) -> Path:
    masks = write_masks(folder)
    for file in masks.iterdir():
        import cv2

        cv2.imwrite(str(file), np.full((64, 96), 255, np.uint8))
    return masks


PROMPTS = {
    "no prompt": ((), 2, "nothing says what to erase"),
    "words": (("--point", "here"), 2, "is not a point"),
    "one number": (("--point", "12"), 2, "is not a point"),
    "three numbers": (("--point", "1,2,3"), 2, "is not a point"),
    "negative number": (("--point", "-5,10"), 2, "coordinates begin at 0"),
    "outside": (("--point", "96,10"), 2, "outside the frame"),
    "frame too late": (("--point", "@10:5,5"), 2, "no frame 10"),
    "time too late": (("--point", "@9s:5,5"), 2, "after the end"),
    "bad moment": (("--point", "@soon:5,5"), 2, "is not a moment"),
    "file number in a video": (("--point", "@#1001:5,5"), 2, "no image sequence"),
    "bad name": (("--point", "4x=5,5"), 2, "is not a name"),
    "reversed box": (("--box", "40,40,10,10"), 2, "is empty"),
    "box of three": (("--box", "1,2,3"), 2, "is not a box"),
    "box outside": (("--box", "100,10,120,20"), 2, "outside the frame"),
    "only negative points": (("--not-point", "5,5"), 2, "nothing says what to erase"),
    "negative points of a named object": (("--point", "5,5", "--not-point", "cat=5,5"), 2, "only negative points"),
    "empty range": ((*POINT, "--start", "5", "--end", "5"), 2, "is empty"),
    "range backwards": ((*POINT, "--start", "0.2s", "--end", "0.1s"), 2, "is empty"),
    "prompt outside the range": (("--point", "@0:10,32", "--start", "4"), 2, "outside the range"),
    "bad grow": ((*POINT, "--grow", "much"), 2, "is not a whole number"),
    "huge grow": ((*POINT, "--grow", "9999"), 2, "out of range"),
    "keyframes of what stands still": ((*POINT, "--static", "--track-every", "5"), 2, "--static looks at every frame"),
    "unknown tracker": ((*POINT, "--tracker", "magic"), 2, "no tracker"),
    "unknown remover": ((*POINT, "--remover", "magic"), 2, "no remover"),
    "unknown progress": ((*POINT, "--progress", "loud"), 2, "unknown"),
    "unknown codec": ((*POINT, "--codec", "magic"), 2, "no encoder"),
    "codec that the container refuses": ((*POINT, "--codec", "ffv1", "-o", "OUT.webm"), 2, "cannot write"),
    "crf for prores": ((*POINT, "--codec", "prores", "--crf", "10", "-o", "OUT.mov"), 2, "has no --crf"),
    "unknown pixel format": ((*POINT, "--pix-fmt", "magic"), 2, "cannot write"),
    "codec that is no video codec": ((*POINT, "--codec", "aac"), 2, "no video codec"),
    "one picture for a clip": ((*POINT, "-o", "OUT.png"), 2, "is one picture"),
    "preset of another encoder": (
        (*POINT, "--codec", "vp9", "--preset", "fast", "-o", "OUT.webm"),
        2,
        "has no --preset",
    ),
    "shrunk to nothing": (("--box", "4,24,20,40", "--grow", "-100"), 4, "nothing is left of the mask"),
    "unknown ending": ((*POINT, "-o", "OUT.xyz"), 2, "no container"),
    "invert without mask": ((*POINT, "--invert-mask"), 2, "needs a mask"),
    "work folder that is something else": ((*POINT, "--work", "OTHER"), 2, "not a work folder"),
    "preview that is no png": ((*POINT, "--write-preview", "OUT.jpg"), 2, "must be a .png"),
    "mask export as mp4": ((*POINT, "--write-mask", "OUT.mp4"), 2, "masks are not written"),
    "output folder missing": ((*POINT, "-o", "nowhere/OUT.mp4"), 2, "does not exist"),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts_and_options(vremove: Vremove, clip: Path, tmp_path: Path, name: str) -> None:
    arguments, status, says = PROMPTS[name]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    here = [str(tmp_path / a.lower()) if isinstance(a, str) and ("OUT." in a or a == "OTHER") else a for a in arguments]
    assert_refused(vremove, tmp_path, status, says, "erase", clip, *here)


MASKS = {
    "missing mask": (lambda d: d / "no.mkv", 3, "does not exist"),
    "mask of another length": (lambda d: write_masks(d / "m", frames=7), 2, "has 7 frames and the clip 10"),
    "empty mask": (lambda d: empty_masks(d / "m"), 4, "empty on every frame"),
    "full mask": (lambda d: full_masks(d / "m"), 4, "mask file covers the whole picture"),
    "mask that is no mask": (lambda d: touch(d / "m.mkv", b"x" * 400), 3, "cannot be read"),
    "empty mask folder": (lambda d: folder(d / "m"), 3, "holds no images"),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks(vremove: Vremove, clip: Path, tmp_path: Path, name: str) -> None:
    make, status, says = MASKS[name]
    assert_refused(vremove, tmp_path, status, says, "erase", clip, "--mask", make(tmp_path))


def test_a_mask_that_covers_everything_once_it_is_grown(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    """Nothing is left to fill from; the mask file itself is not to blame."""
    masks = write_masks(tmp_path / "m")
    assert_refused(vremove, tmp_path, 4, "once it is grown", "erase", clip, "--mask", masks, "--grow", "90")


def test_the_mask_is_never_the_output(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    mask = write_clip(tmp_path / "m.mp4")
    assert_refused(vremove, tmp_path, 2, "is a mask", "erase", clip, "--mask", mask, "-o", mask, "--overwrite")


def test_the_mask_is_never_the_output_of_finish_either(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    mask = write_clip(tmp_path / "m.mp4", picture=lambda t, w, h: np.repeat(mask_of(t, w, h)[..., None], 3, axis=2))
    assert vremove("plan", clip, "--mask", mask, "--work", tmp_path / "w", "-o", tmp_path / "o.mp4").status == 0
    assert vremove("work", tmp_path / "w").status == 0
    done = vremove("finish", tmp_path / "w", "-o", mask, "--overwrite")
    assert done.status == 2
    assert "is a mask" in done.stderr


def test_a_preview_is_never_a_picture_of_the_input(vremove: Vremove, tmp_path: Path) -> None:
    shot = write_sequence(tmp_path / "shot", frames=3)
    target = shot / "shot.1001.png"
    assert_refused(
        vremove, tmp_path, 2, "input's pictures", "erase", shot, *POINT, "--write-preview", target, "--overwrite"
    )
    assert_refused(vremove, tmp_path, 2, "belongs to the input", "frame", shot, "-o", target, "--overwrite")


def test_a_report_of_the_users_own_is_kept(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    clip.with_name("clip.clean.vremove.json").write_text("[1, 2]")
    assert_refused(vremove, tmp_path, 2, "exists already", "erase", clip, *POINT)


def test_a_damaged_result_in_a_work_folder(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "m")
    folder = tmp_path / "w"
    assert vremove("plan", clip, "--mask", masks, "--work", folder).status == 0
    assert vremove("work", folder).status == 0
    (folder / "done" / "plate-0000.json").write_text("{")
    done = vremove("finish", folder)
    assert done.status == 1
    assert "is damaged" in done.stderr
    assert "Traceback" not in done.stderr


def test_mask_and_point_together(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "m")
    assert_refused(vremove, tmp_path, 2, "use one or the other", "erase", clip, "--mask", masks, *POINT)


def test_existing_output_is_kept(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    clip.with_name("clip.clean.mp4").write_bytes(b"precious")
    assert_refused(vremove, tmp_path, 2, "add --overwrite", "erase", clip, *POINT)


def test_the_input_is_never_the_output(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    assert_refused(vremove, tmp_path, 2, "is the input itself", "erase", clip, "-o", clip, "--overwrite", *POINT)


def test_a_stream_that_does_not_fit_is_named(vremove: Vremove, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", audio="flac", subtitle="srt")
    assert_refused(vremove, tmp_path, 3, "audio flac", "erase", clip, "-o", tmp_path / "out.webm", *POINT)


def test_a_stream_that_does_not_fit_may_be_dropped(vremove: Vremove, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", audio="flac")
    masks = write_masks(tmp_path / "m")
    done = vremove("erase", clip, "--mask", masks, "-o", tmp_path / "out.webm", "--drop-streams")
    assert done.status == 0
    assert "is dropped" in done.stderr


def test_one_output_for_two_inputs(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    assert_refused(vremove, tmp_path, 2, "one output", "erase", clip, clip, "-o", tmp_path / "x.mp4", *POINT)


def test_what_is_wrong_for_every_input_is_a_usage_error(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    other = write_clip(tmp_path / "other.mp4")
    assert_refused(vremove, tmp_path, 2, "is not a point", "erase", clip, other, "--point", "zzz")
    assert_refused(vremove, tmp_path, 2, "to one output", "erase", clip, other, "-o", tmp_path / "x{ext}", *POINT)


def test_a_batch_gives_one_json_object_for_each_clip(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    bad = touch(tmp_path / "bad.mp4", b"no video")
    done = vremove("erase", clip, bad, "--box", "4,24,20,40", "--json", "-q")
    result, error = map(json.loads, done.stdout.splitlines())
    assert done.status == 7
    assert (result["type"], result["input"]) == ("result", str(clip))
    assert (error["type"], error["input"], error["exit"]) == ("error", str(bad), 3)
    assert "cannot be read" in done.stderr


def test_a_broken_settings_file(vremove: Vremove, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vremove.toml").write_text("[erase\n")
    assert_refused(vremove, tmp_path, 2, "cannot be read", "erase", clip, *POINT)


def test_a_folder_without_a_plan(vremove: Vremove, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    assert_refused(vremove, tmp_path, 2, "holds no plan", "work", tmp_path / "w")


def test_a_damaged_plan(vremove: Vremove, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "plan.json").write_text('{"schema": 1')
    assert_refused(vremove, tmp_path, 1, "is damaged", "work", tmp_path / "w")


def test_frame_beyond_the_end(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    assert_refused(vremove, tmp_path, 2, "no frame 99", "frame", clip, "--at", "99", "-o", tmp_path / "f.png")


def test_a_clip_whose_ending_is_not_written_goes_where_the_user_says(vremove: Vremove, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mkv", codec="libx264")
    raw = tmp_path / "a.264"
    with av.open(str(clip)) as source, av.open(str(raw), "w", format="h264") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    done = vremove("erase", raw, "--point", "40,24", "-o", tmp_path / "out.mkv")
    assert done.status == 0, done.stderr
    assert scan(str(tmp_path / "out.mkv")).times.rate == 25  # the file has no times
    assert "name the result with -o" in vremove("erase", raw, "--point", "40,24").stderr

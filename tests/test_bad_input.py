"""Bad input: the right exit status, one sentence with what to do, no traceback, nothing written, nothing touched."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from clips import scene, write_clip, write_masks, write_sequence
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vremove_cli.errors import VremoveError
from vremove_cli.media.scan import scan


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder with a digest of its bytes."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def check(vremove, folder: Path, status: int, says: str, *arguments: object) -> None:
    """Run the command and hold it to the contract for failures."""
    before = contents(folder)
    done = vremove(*arguments)
    complaint = [line for line in done.stderr.splitlines() if line.startswith("vremove: ")]
    assert done.status == status, done.stderr
    assert len(complaint) == 1
    assert says in complaint[0]
    assert ": " in complaint[0].removeprefix("vremove: "), "what to do next is missing"
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert contents(folder) == before
    assert not [p for p in folder.rglob("*") if p.name.endswith((".vremove", ".part"))]


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mp4", audio="aac")


def audio_only(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def interlaced(path: Path) -> Path:
    return write_clip(path, options={"flags": "+ildct+ilme", "x264-params": "interlaced=1"})


def cut_off(path: Path, share: float, **how: object) -> Path:
    data = write_clip(path, frames=40, size=(160, 96), **how).read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def damaged(path: Path) -> Path:
    """A clip whose middle packets are garbage."""
    write_clip(path, frames=40, size=(160, 96), options={"g": "10"})
    with av.open(str(path)) as container:
        at = [(p.pos, p.size) for p in container.demux(video=0) if p.size and p.pos]
    data = bytearray(path.read_bytes())
    for pos, size in at[18:22]:
        data[pos + 8 : pos + size] = bytes(255 - (i * 37) % 251 for i in range(size - 8))
    path.write_bytes(bytes(data))
    return path


def tail_damaged(path: Path) -> Path:
    """A clip whose last packet is zeros, which a decoder with threads passes over in silence."""
    write_clip(path, frames=24)
    with av.open(str(path)) as container:
        pos, size = [(p.pos, p.size) for p in container.demux(video=0) if p.size][-1]
    data = bytearray(path.read_bytes())
    data[pos : pos + size] = bytes(size)
    path.write_bytes(bytes(data))
    return path


def stray_picture(path: Path) -> Path:
    write_sequence(path, frames=3)
    (path / "poster.png").write_bytes((path / "shot.1001.png").read_bytes())
    return path


def changing_size(path: Path) -> Path:
    """An MPEG-TS file whose picture grows half way."""
    small = write_clip(path.with_name("small.ts"), frames=5, size=(96, 64))
    large = write_clip(path.with_name("large.ts"), frames=5, size=(160, 96), pts=list(range(5, 10)))
    path.write_bytes(small.read_bytes() + large.read_bytes())
    return path


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


POINT = ("--point", "10,32")
# name: (input made from the test's folder, arguments after it, exit status, what the sentence says)
FILES = {
    "missing": (lambda d: d / "no.mp4", POINT, 3, "does not exist"),
    "empty file": (lambda d: touch(d / "e.mp4", b""), POINT, 3, "cannot be read"),
    "text as mp4": (lambda d: touch(d / "t.mp4", b"hello " * 500), POINT, 3, "cannot be read"),
    "zeros as mkv": (lambda d: touch(d / "z.mkv", bytes(5000)), POINT, 3, "cannot be read"),
    "audio only": (lambda d: audio_only(d / "a.mp4"), POINT, 3, "has no video"),
    "no name": (lambda d: "", POINT, 3, "without a name"),
    "cut off avi": (lambda d: cut_off(d / "c.avi", 0.5, options={"bf": "0"}), POINT, 3, "cut off"),
    "cut off webm": (lambda d: cut_off(d / "c.webm", 0.95, codec="libvpx-vp9"), POINT, 3, "cut off"),
    "damaged last packet": (lambda d: tail_damaged(d / "t.mp4"), POINT, 3, "damaged"),
    "unknown matrix": (lambda d: write_clip(d / "m.mp4", colour=(1, 1, 8, 1)), POINT, 3, "colour matrix 8"),
    "stray picture": (lambda d: stray_picture(d / "shot"), POINT, 3, "more than one sequence"),
    "no index": (lambda d: cut_off(d / "c.mp4", 0.6), POINT, 3, "cannot be read"),
    "cut off mkv": (lambda d: cut_off(d / "c.mkv", 0.5), POINT, 3, "cut off"),
    "cut off with index in front": (lambda d: cut_front(d / "f.mp4"), POINT, 3, "cut off"),
    "damaged packets": (lambda d: damaged(d / "d.mp4"), POINT, 3, "damaged"),
    "interlaced": (lambda d: interlaced(d / "i.mp4"), POINT, 3, "interlaced"),
    "size changes": (lambda d: changing_size(d / "s.ts"), POINT, 3, "changes its size"),
    "float pixels": (lambda d: float_pixels(d / "f.mkv"), POINT, 3, "floating-point"),
    "empty folder": (lambda d: folder(d / "none"), POINT, 3, "holds no images"),
    "pattern without files": (lambda d: d / "shot.%04d.png", POINT, 3, "holds no images"),
    "two sequences": (lambda d: two_sequences(d / "two"), POINT, 3, "more than one sequence"),
    "broken picture": (lambda d: broken_picture(d / "shot"), POINT, 3, "cannot be read"),
    "pictures of two sizes": (lambda d: two_sizes(d / "shot"), POINT, 3, "differs from"),
}


def touch(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def cut_front(path: Path) -> Path:
    """An MP4 with its index in front, cut in the middle of the pictures."""
    whole = write_clip(path.with_name("whole.mp4"), frames=40, size=(160, 96))
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as target:
        out = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = out
                target.mux(packet)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.6)])
    return path


def float_pixels(path: Path) -> Path:
    return write_clip(path, codec="ffv1", pix_fmt="gbrpf32le", options={"strict": "-2", "level": "4"})


def two_sequences(path: Path) -> Path:
    write_sequence(path, frames=3)
    for file in list(path.iterdir()):
        (path / file.name.replace("shot", "take")).write_bytes(file.read_bytes())
    return path


def broken_picture(path: Path) -> Path:
    write_sequence(path, frames=4)
    (path / "shot.1002.png").write_bytes(b"\x89PNG broken")
    return path


def two_sizes(path: Path) -> Path:
    write_sequence(path, frames=3)
    other = write_sequence(path.with_name("other"), frames=1, first=1003, size=(64, 64))
    (path / "shot.1003.png").write_bytes((other / "shot.1003.png").read_bytes())
    return path


@pytest.mark.parametrize("name", FILES)
def test_files(vremove, tmp_path, name):
    make, arguments, status, says = FILES[name]
    check(vremove, tmp_path, status, says, "erase", make(tmp_path), *arguments)


PROMPTS = {
    "no prompt": ((), 2, "nothing says what to erase"),
    "words": (("--point", "here"), 2, "is not a point"),
    "one number": (("--point", "12"), 2, "is not a point"),
    "three numbers": (("--point", "1,2,3"), 2, "is not a point"),
    "negative number": (("--point", "-5,10"), 2, "is not a point"),
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
    "bad grow": ((*POINT, "--grow", "much"), 2, "is no number"),
    "huge grow": ((*POINT, "--grow", "9999"), 2, "out of range"),
    "unknown tracker": ((*POINT, "--tracker", "magic"), 2, "no tracker"),
    "unknown remover": ((*POINT, "--remover", "magic"), 6, "no remover"),
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
    "work folder that is something else": ((*POINT, "--work", "OTHER"), 2, "no work folder"),
    "preview that is no png": ((*POINT, "--write-preview", "OUT.jpg"), 2, "must be a .png"),
    "mask export as mp4": ((*POINT, "--write-mask", "OUT.mp4"), 2, "masks are not written"),
    "output folder missing": ((*POINT, "-o", "nowhere/OUT.mp4"), 2, "does not exist"),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts_and_options(vremove, clip, tmp_path, name):
    arguments, status, says = PROMPTS[name]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    here = [str(tmp_path / a.lower()) if isinstance(a, str) and ("OUT." in a or a == "OTHER") else a for a in arguments]
    check(vremove, tmp_path, status, says, "erase", clip, *here)


MASKS = {
    "missing mask": (lambda d: d / "no.mkv", 3, "does not exist"),
    "mask of another length": (lambda d: write_masks(d / "m", frames=7), 2, "has 7 frames and the clip 10"),
    "empty mask": (lambda d: empty_masks(d / "m"), 4, "empty on every frame"),
    "full mask": (lambda d: full_masks(d / "m"), 4, "covers the whole picture"),
    "mask that is no mask": (lambda d: touch(d / "m.mkv", b"x" * 400), 3, "cannot be read"),
    "empty mask folder": (lambda d: folder(d / "m"), 3, "holds no images"),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks(vremove, clip, tmp_path, name):
    make, status, says = MASKS[name]
    check(vremove, tmp_path, status, says, "erase", clip, "--mask", make(tmp_path))


def test_the_mask_is_never_the_output(vremove, clip, tmp_path):
    mask = write_clip(tmp_path / "m.mp4")
    check(vremove, tmp_path, 2, "is the mask", "erase", clip, "--mask", mask, "-o", mask, "--overwrite")


def test_a_preview_is_never_a_picture_of_the_input(vremove, tmp_path):
    shot = write_sequence(tmp_path / "shot", frames=3)
    target = shot / "shot.1001.png"
    check(vremove, tmp_path, 2, "input's pictures", "erase", shot, *POINT, "--write-preview", target, "--overwrite")
    check(vremove, tmp_path, 2, "belongs to the input", "frame", shot, "-o", target, "--overwrite")


def test_a_report_of_the_users_own_is_kept(vremove, clip, tmp_path):
    clip.with_name("clip.clean.vremove.json").write_text("[1, 2]")
    check(vremove, tmp_path, 2, "exists already", "erase", clip, *POINT)


def test_a_damaged_result_in_a_work_folder(vremove, clip, tmp_path):
    masks = write_masks(tmp_path / "m")
    folder = tmp_path / "w"
    assert vremove("plan", clip, "--mask", masks, "--work", folder).status == 0
    assert vremove("work", folder).status == 0
    (folder / "done" / "plate-0000.json").write_text("{")
    done = vremove("finish", folder)
    assert done.status == 1
    assert "is damaged" in done.stderr
    assert "Traceback" not in done.stderr


def test_mask_and_point_together(vremove, clip, tmp_path):
    masks = write_masks(tmp_path / "m")
    check(vremove, tmp_path, 2, "use one or the other", "erase", clip, "--mask", masks, *POINT)


def test_existing_output_is_kept(vremove, clip, tmp_path):
    clip.with_name("clip.clean.mp4").write_bytes(b"precious")
    check(vremove, tmp_path, 2, "add --overwrite", "erase", clip, *POINT)


def test_the_input_is_never_the_output(vremove, clip, tmp_path):
    check(vremove, tmp_path, 2, "is the input itself", "erase", clip, "-o", clip, "--overwrite", *POINT)


def test_a_stream_that_does_not_fit_is_named(vremove, tmp_path):
    clip = write_clip(tmp_path / "clip.mkv", audio="flac", subtitle="srt")
    check(vremove, tmp_path, 3, "audio flac", "erase", clip, "-o", tmp_path / "out.webm", *POINT)


def test_a_stream_that_does_not_fit_may_be_dropped(vremove, tmp_path):
    clip = write_clip(tmp_path / "clip.mkv", audio="flac")
    masks = write_masks(tmp_path / "m")
    done = vremove("erase", clip, "--mask", masks, "-o", tmp_path / "out.webm", "--drop-streams")
    assert done.status == 0
    assert "is dropped" in done.stderr


def test_one_output_for_two_inputs(vremove, clip, tmp_path):
    check(vremove, tmp_path, 2, "one output", "erase", clip, clip, "-o", tmp_path / "x.mp4", *POINT)


def test_what_is_wrong_for_every_input_is_a_usage_error(vremove, clip, tmp_path):
    other = write_clip(tmp_path / "other.mp4")
    check(vremove, tmp_path, 2, "is not a point", "erase", clip, other, "--point", "zzz")
    check(vremove, tmp_path, 2, "to one output", "erase", clip, other, "-o", tmp_path / "x{ext}", *POINT)


def test_a_batch_gives_one_json_object(vremove, clip, tmp_path):
    bad = touch(tmp_path / "bad.mp4", b"no video")
    done = vremove("erase", clip, bad, "--box", "4,24,20,40", "--json", "-q")
    report = json.loads(done.stdout)
    assert done.status == 7
    assert [f["input"] for f in report["failed"]] == [str(bad)]
    assert "cannot be read" in done.stderr


def test_a_broken_settings_file(vremove, clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vremove.toml").write_text("[erase\n")
    check(vremove, tmp_path, 2, "cannot be read", "erase", clip, *POINT)


def test_a_folder_without_a_plan(vremove, tmp_path):
    (tmp_path / "w").mkdir()
    check(vremove, tmp_path, 2, "holds no plan", "work", tmp_path / "w")


def test_a_damaged_plan(vremove, tmp_path):
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "plan.json").write_text('{"schema": 1')
    check(vremove, tmp_path, 1, "is damaged", "work", tmp_path / "w")


def test_frame_beyond_the_end(vremove, clip, tmp_path):
    check(vremove, tmp_path, 2, "no frame 99", "frame", clip, "--at", "99", "-o", tmp_path / "f.png")


def test_damage_can_be_skipped(vremove, tmp_path):
    clip = damaged(tmp_path / "d.mp4")
    done = vremove("erase", clip, "--box", "4,36,30,60", "--skip-errors", "-o", tmp_path / "out.mp4")
    assert done.status == 0
    assert "the one before it is shown again" in done.stderr
    assert scan(str(tmp_path / "out.mp4")).frames == 40


LIMITED = (
    "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2);"
    "from vremove_cli.app import main; main()"
)


def test_a_file_that_may_not_grow(tmp_path):
    clip = write_clip(tmp_path / "clip.mkv", codec="ffv1", frames=10, size=(160, 96), picture=noisy)
    masks = write_masks(tmp_path / "m", size=(160, 96))
    before = contents(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "60000", "erase", str(clip), "--mask", str(masks)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("vremove: ")
    assert not clip.with_name("clip.clean.mkv").exists()
    assert {k: v for k, v in contents(tmp_path).items() if k in before} == before


def noisy(t: int, width: int, height: int) -> np.ndarray:
    rng = np.random.default_rng(t)
    return np.clip(scene(t, width, height) + rng.normal(0, 20, (height, width, 3)), 0, 255).astype(np.uint8)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no users on this system")
def test_a_folder_that_may_not_be_written(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    shut = folder(tmp_path / "shut")
    shut.chmod(0o555)
    target = shut / "out.mp4" if os.geteuid() else Path("/proc/out.mp4")  # root may write anywhere but there
    done = subprocess.run(
        [sys.executable, "-m", "vremove_cli", "erase", str(clip), *POINT, "-o", str(target)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("vremove: no ")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of small clips in several containers."""
    place = tmp_path_factory.mktemp("whole")
    made = [
        write_clip(place / f"clip{s}", codec=c)
        for s, c in ((".mp4", "libx264"), (".mkv", "ffv1"), (".webm", "libvpx-vp9"))
    ]
    return [(p.suffix, p.read_bytes()) for p in made]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_fuzzed_bytes_are_read_or_refused(whole, tmp_path, data):
    suffix, original = data.draw(st.sampled_from(whole))
    damage = data.draw(st.lists(st.tuples(st.integers(0, len(original) - 1), st.integers(0, 255)), max_size=12))
    end = data.draw(st.integers(len(original) // 20, len(original)))
    changed = bytearray(original)
    for at, value in damage:
        changed[at] = value
    path = tmp_path / f"fuzz{suffix}"
    path.write_bytes(bytes(changed[:end]))
    try:
        info = scan(str(path))
    except VremoveError as error:
        assert error.problem  # noqa: PT017
        assert error.advice  # noqa: PT017
    else:
        assert info.frames > 0

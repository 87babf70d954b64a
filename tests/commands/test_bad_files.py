"""Bad files: the right exit status, one sentence with what to do, no traceback, nothing written, nothing touched."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.clips import scene, write_clip, write_masks, write_sequence
from support.command import Vremove
from support.refusals import POINT, assert_refused, contents, folder, touch
from vremove_cli.errors import VremoveError
from vremove_cli.media.probe import scan


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


def cut_off(path: Path, share: float, **how: Any) -> Path:
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


@pytest.mark.parametrize("name", FILES)
def test_files(vremove: Vremove, tmp_path: Path, name: str) -> None:
    make, arguments, status, says = FILES[name]
    assert_refused(vremove, tmp_path, status, says, "erase", make(tmp_path), *arguments)


def test_damage_can_be_skipped(vremove: Vremove, tmp_path: Path) -> None:
    clip = damaged(tmp_path / "d.mp4")
    done = vremove("erase", clip, "--box", "4,36,30,60", "--skip-errors", "-o", tmp_path / "out.mp4")
    assert done.status == 0
    assert "a frame that cannot be decoded repeats the one before it" in done.stderr
    assert scan(str(tmp_path / "out.mp4")).frames == 40


LIMITED = (
    "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2);"
    "from vremove_cli.app import main; main()"
)


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
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
def test_a_folder_that_may_not_be_written(vremove: Vremove, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    shut = folder(tmp_path / "shut")
    shut.chmod(0o555)
    target = shut / "out.mp4" if os.geteuid() else Path("/proc/out.mp4")  # root may write anywhere but there
    done = vremove("erase", clip, *POINT, "-o", target)
    assert done.status == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("vremove: no ")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytes]]:
    """The bytes of small clips in several containers."""
    place = tmp_path_factory.mktemp("whole")
    made = [
        write_clip(place / f"clip{s}", codec=c)
        for s, c in ((".mp4", "libx264"), (".mkv", "ffv1"), (".webm", "libvpx-vp9"))
    ]
    return [(p.suffix, p.read_bytes()) for p in made]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_fuzzed_bytes_are_read_or_refused(whole: list[tuple[str, bytes]], tmp_path: Path, data: st.DataObject) -> None:
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

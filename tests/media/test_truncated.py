"""A file that was cut off is refused, wherever it was cut, and a whole one is not."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from support.clips import scene
from vremove_cli.errors import MediaError
from vremove_cli.media.read import open_clip

FRAMES = 40


@dataclass(frozen=True)
class Kind:
    """How a file is made."""

    suffix: str
    codec: str = "libx264"
    audio: str = ""
    pix_fmt: str = "yuv420p"
    muxing: dict[str, str] = field(default_factory=dict)
    encoding: dict[str, str] = field(default_factory=lambda: {"g": "8", "bf": "0"})


KINDS = {
    "fragmented mp4": Kind(".mp4", audio="aac", muxing={"movflags": "+frag_keyframe+empty_moov"}),
    "fragmented mp4, short": Kind(
        ".mp4", audio="aac", muxing={"movflags": "+empty_moov+default_base_moof", "frag_duration": "100000"}
    ),
    "indexed fragments": Kind(".mp4", muxing={"movflags": "+frag_keyframe+dash+global_sidx"}),
    "head first": Kind(".mp4", audio="aac", muxing={"movflags": "+faststart"}),
    "head first, mov": Kind(".mov", audio="pcm_s16le", muxing={"movflags": "+faststart"}),
    "matroska": Kind(".mkv", audio="aac"),
    "live matroska": Kind(".mkv", audio="aac", muxing={"live": "1"}),
    "webm": Kind(".webm", "libvpx", "libopus", encoding={"deadline": "realtime", "g": "8"}),
    "avi": Kind(".avi", "mpeg4", "pcm_s16le"),
    "flv": Kind(".flv", audio="aac"),
    "live flv": Kind(".flv", muxing={"flvflags": "+no_duration_filesize"}),
    "ts": Kind(".ts", audio="aac"),
    "m2ts": Kind(".m2ts", audio="ac3", muxing={"mpegts_m2ts_mode": "1"}),
    "ogg": Kind(".ogv", "libvpx", "flac", encoding={"deadline": "realtime", "g": "8"}),
    "asf": Kind(".asf", "mpeg4", "aac"),
    "mxf": Kind(".mxf", "mpeg2video", "pcm_s16le", encoding={"g": "8"}),
    "ivf": Kind(".ivf", "libvpx", encoding={"deadline": "realtime", "g": "8"}),
    "gif": Kind(".gif", "gif", pix_fmt="rgb8", encoding={}),
}
# Bytes that a cut leaves, as a share of the file, or that it takes from the end.
CUTS = [0.3, 0.5, 0.63, 0.87, -1, -9, -100]


def write(path: Path, kind: Kind) -> bytes:
    with av.open(str(path), "w", options=kind.muxing) as container:
        video = container.add_stream(kind.codec, rate=25, options=kind.encoding)
        video.width, video.height, video.pix_fmt = 96, 64, kind.pix_fmt
        video.time_base = video.codec_context.time_base = Fraction(1, 25)
        sound: Any = container.add_stream(kind.audio, rate=48000) if kind.audio else None
        for t in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(scene(t, 96, 64), "rgb24").reformat(format=kind.pix_fmt)
            frame.pts, frame.time_base = t, Fraction(1, 25)
            container.mux(video.encode(frame))
            if sound is not None:
                container.mux(sound.encode(silence(sound, t)))
        container.mux(video.encode())
        if sound is not None:
            container.mux(sound.encode())
    return path.read_bytes()


def silence(sound: Any, t: int) -> av.AudioFrame:
    """The sound of one picture."""
    planar = sound.codec_context.format.is_planar
    depth = {"flt": np.float32, "s16": np.int16, "s32": np.int32}[sound.codec_context.format.name.rstrip("p")]
    frame = av.AudioFrame.from_ndarray(
        np.zeros((2, 1920) if planar else (1, 3840), depth), sound.codec_context.format.name, "stereo"
    )
    frame.sample_rate, frame.pts, frame.time_base = 48000, 1920 * t, Fraction(1, 48000)
    return frame


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_refused_wherever_it_was_cut(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"clip{KINDS[kind].suffix}"
    whole = write(path, KINDS[kind])
    assert open_clip(str(path)).info.frames == FRAMES
    passed = []
    for cut in CUTS:
        if kind == "mxf" and cut < 0:
            continue  # the end of the footer: neither picture nor sound
        # An odd number of bytes: a transport stream that is cut between two packets may be whole.
        path.write_bytes(whole[: int(len(whole) * cut) | 1 if cut > 0 else int(cut)])
        try:
            info = open_clip(str(path)).info
        except MediaError as error:
            assert error.advice  # noqa: PT017
        else:
            passed.append((cut, info.frames))
    assert passed == []


def test_an_ivf_file_is_refused_between_two_frames_too(tmp_path: Path) -> None:
    path = tmp_path / "clip.ivf"
    whole = write(path, KINDS["ivf"])
    with av.open(str(path)) as container:
        third = sorted(p.pos for p in container.demux() if p.pos)[3]
    path.write_bytes(whole[:third])
    with pytest.raises(MediaError, match=r"cut off|ends"):
        open_clip(str(path))


@pytest.mark.parametrize("stated", [0, 0xFFFFFFFF, FRAMES * 40])
def test_an_ivf_file_may_state_no_number_of_frames_or_a_duration(tmp_path: Path, stated: int) -> None:
    path = tmp_path / "clip.ivf"
    whole = bytearray(write(path, KINDS["ivf"]))
    whole[24:28] = stated.to_bytes(4, "little")
    at = 32
    for t in range(FRAMES):
        whole[at + 4 : at + 12] = (40 * t).to_bytes(8, "little")  # ms
        at += 12 + int.from_bytes(whole[at : at + 4], "little")
    whole[16:20] = (1000).to_bytes(4, "little")
    path.write_bytes(whole)
    assert open_clip(str(path)).info.frames == FRAMES


@pytest.mark.parametrize("kind", ["fragmented mp4", "fragmented mp4, short"])
def test_a_fragmented_file_may_end_between_fragments_only(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "clip.mp4"
    whole = write(path, KINDS[kind])
    heads = [i - 4 for i in range(len(whole)) if whole[i : i + 4] == b"moof"]
    data = whole.index(b"mdat", heads[2]) - 4
    for end in (heads[2] + 4, heads[2] + 60, data, data + 8, data + 30):
        path.write_bytes(whole[:end])
        with pytest.raises(MediaError, match="is cut off: it ends after"):
            open_clip(str(path))
    path.write_bytes(whole[: heads[2]])
    assert 0 < open_clip(str(path)).info.frames < FRAMES


@pytest.mark.parametrize("kind", ["head first", "matroska", "ts", "flv", "avi"])
def test_a_cut_file_is_used_as_far_as_it_goes_when_errors_are_skipped(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"clip{KINDS[kind].suffix}"
    whole = write(path, KINDS[kind])
    path.write_bytes(whole[: len(whole) * 2 // 3])
    reader = open_clip(str(path), skip_errors=True)
    assert 10 < reader.info.frames < FRAMES
    assert len(list(reader.frames())) == reader.info.frames


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".bmp"])
def test_a_picture_that_was_cut_off_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    Image.fromarray(scene(0, 96, 64)).save(path)
    whole = path.read_bytes()
    assert open_clip(str(path)).info.frames == 1
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(MediaError, match="cut off"):
        open_clip(str(path))


@pytest.mark.parametrize("kind", ["head first", "matroska"])
def test_padding_behind_the_end_is_no_cut(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"clip{KINDS[kind].suffix}"
    path.write_bytes(write(path, KINDS[kind]) + bytes(700))
    assert open_clip(str(path)).info.frames == FRAMES

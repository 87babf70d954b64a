"""Encoding wishes: a size instead of a quality, and hardware with software as its named fallback."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from support.clips import scene, write_clip, write_masks, write_sequence
from support.command import Vremove
from vremove_cli import erase
from vremove_cli.errors import MediaError, UsageError
from vremove_cli.job.request import bits_a_second
from vremove_cli.media import hardware
from vremove_cli.media.encoder_choice import choose_encoder
from vremove_cli.media.encoder_options import EncoderOptions
from vremove_cli.media.read import open_clip
from vremove_cli.media.write import open_writer

FRAMES = 50


def grain(t: int, width: int, height: int) -> np.ndarray:
    """A scene with noise, which takes all bits that it is given."""
    noise = np.random.default_rng(t).normal(0, 12, (height, width, 3))
    return np.clip(scene(t, width, height) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("codec", "name"), [("libx264", "a.mp4"), ("libx265", "a.mkv"), ("mpeg2video", "a.mpg")])
def test_the_sources_bit_rate_comes_back(tmp_path: Path, codec: str, name: str) -> None:
    rate = {"b": "1500000"}
    clip = write_clip(tmp_path / name, codec=codec, size=(320, 240), frames=FRAMES, options=rate, picture=grain)
    masks = write_masks(tmp_path / "masks", size=(320, 240), frames=FRAMES)
    result = erase(str(clip), str(tmp_path / f"b{clip.suffix}"), mask=str(masks), effects="off", bitrate="match")
    before, after = open_clip(str(clip)).info.bit_rate, open_clip(result.output).info.bit_rate
    assert 0.7 < after / before < 1.15


@pytest.mark.parametrize(
    ("text", "bits"), [("8M", "8000000"), ("2.5m", "2500000"), ("800k", "800000"), ("64000", "64000")]
)
def test_bits_a_second(text: str, bits: str) -> None:
    assert bits_a_second(text) == bits


@pytest.mark.parametrize("text", ["8", "0M", "fast", "8MB", "-1M"])
def test_other_texts_are_no_bit_rate(text: str) -> None:
    with pytest.raises(UsageError, match="is no bit rate"):
        bits_a_second(text)


REFUSED = {
    "both": (("--crf", "20", "--bitrate", "1M"), "--crf and --bitrate were given: give a quality, or a size"),
    "lossless": (("--codec", "ffv1", "-o", "o.mkv", "--bitrate", "1M"), "ffv1 has no --bitrate"),
    "editing codec": (("--codec", "prores", "-o", "o.mov", "--bitrate", "1M"), "prores_ks has no --bitrate"),
    "another preset": (("--encoder", "nvenc", "--preset", "fast"), "nvenc has no --preset fast: choose p1"),
    "no such quality": (("--encoder", "videotoolbox", "--crf", "20"), "videotoolbox has no --crf"),
}


@pytest.mark.parametrize(("options", "said"), REFUSED.values(), ids=REFUSED)
def test_wishes_that_cannot_be_met_are_refused(
    tmp_path: Path, vremove: Vremove, options: tuple[str, ...], said: str
) -> None:
    done = vremove("erase", write_clip(tmp_path / "a.mp4"), "--point", "30,30", *options)
    assert done.status == 2
    assert said in done.stderr


def test_a_sequence_has_no_bit_rate_to_match(tmp_path: Path) -> None:
    info = open_clip(str(write_sequence(tmp_path / "in"))).info
    with pytest.raises(UsageError, match="images have no bit rate"):
        choose_encoder(info, str(tmp_path / "o.mp4"), EncoderOptions(bitrate="match"), [])


def test_a_gif_has_no_quality(tmp_path: Path) -> None:
    info = open_clip(str(write_clip(tmp_path / "a.mp4"))).info
    with pytest.raises(UsageError, match="gif has no --crf"):
        choose_encoder(info, str(tmp_path / "o.gif"), EncoderOptions(codec="gif", crf=20), [])


@pytest.mark.parametrize("kind", ["nvenc", "qsv", "videotoolbox"])
def test_software_is_named_where_hardware_is_missing(tmp_path: Path, kind: str) -> None:
    if any(kind in name for name in hardware.working()):
        pytest.skip("this machine has it")
    notes: list[str] = []
    info = open_clip(str(write_clip(tmp_path / "a.mp4"))).info
    spec = choose_encoder(info, str(tmp_path / "o.mp4"), EncoderOptions(encoder=kind), notes)
    assert spec.encoder == "libx264"
    assert f"{kind} cannot encode this clip on this machine: libx264 yuv420p crf 16 is used" in notes


def test_software_is_named_for_a_codec_that_hardware_lacks(tmp_path: Path) -> None:
    notes: list[str] = []
    info = open_clip(str(write_clip(tmp_path / "a.mkv", codec="ffv1"))).info
    choose_encoder(info, str(tmp_path / "o.mkv"), EncoderOptions(encoder="nvenc"), notes)
    assert "nvenc has no encoder for ffv1: ffv1 yuv420p is used" in notes


def test_hardware_that_works_is_used(tmp_path: Path) -> None:
    found = [name for name in hardware.working() if name.startswith("h264")]
    if not found:
        pytest.skip("this machine has no encoder in hardware")
    clip = write_clip(tmp_path / "a.mp4", size=(320, 240), frames=FRAMES)
    masks = write_masks(tmp_path / "masks", size=(320, 240), frames=FRAMES)
    kind = hardware.kind_of(found[0])
    result = erase(str(clip), str(tmp_path / "o.mp4"), mask=str(masks), effects="off", encoder=kind)  # type: ignore[arg-type]
    assert result.encoder.startswith(found[0])
    assert open_clip(result.output).info.times == open_clip(str(clip)).info.times


def test_a_plan_for_hardware_that_this_machine_lacks_is_refused_before_the_output(tmp_path: Path) -> None:
    if "h264_nvenc" in hardware.working():
        pytest.skip("this machine has it")
    info = open_clip(str(write_clip(tmp_path / "a.mp4"))).info
    spec = replace(choose_encoder(info, "o.mp4", EncoderOptions(), []), encoder="h264_nvenc")
    output = tmp_path / "o.mp4"
    with (
        pytest.raises(MediaError, match="h264_nvenc cannot encode on this machine"),
        open_writer(str(output), info, spec, (), overwrite=False),
    ):
        pass
    assert not output.exists()

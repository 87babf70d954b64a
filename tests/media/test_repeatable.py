"""The same frames give the same file, whatever lay in memory before."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from support.clips import packets_of, write_clip
from vremove_cli.media.encoder_choice import choose_encoder
from vremove_cli.media.encoder_context import configure_encoder
from vremove_cli.media.encoder_options import EncoderOptions
from vremove_cli.media.read import open_clip
from vremove_cli.media.write import open_writer

FRAMES = 24


def leave_in_memory(seed: int) -> np.ndarray:
    """Fill 64 MiB with small negative numbers and free it; the block that is returned keeps it from the system.

    As macroblocks these are motion to the left, into the picture, and costs.
    """
    large = np.ones(1 << 24, np.uint8)
    del large  # from now on the C library takes blocks up to this size from memory that was freed before
    rng = np.random.default_rng(seed)
    blocks = [rng.integers(-200, 0, 1 << 19, np.int16) for _ in range(65)]
    return blocks[-1]


def encoded(clip: Path, output: Path, codec: str) -> list[tuple[Fraction | None, bytes]]:
    source = open_clip(str(clip))
    spec = choose_encoder(source.info, str(output), EncoderOptions(codec=codec), [])
    with open_writer(str(output), source.info, spec, (), overwrite=True) as writer:
        for frame in source.frames():
            writer.write(frame)
    return packets_of(output, "video")


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_an_encoder_does_not_depend_on_what_lay_in_memory(tmp_path: Path, codec: str) -> None:
    """x264's code for AVX-512 read past the last macroblock of pictures whose width is no multiple of 128."""
    clip = write_clip(tmp_path / "a.mkv", codec="ffv1", frames=FRAMES)
    results, kept = [], []
    for seed in range(3):
        kept.append(leave_in_memory(seed))
        results.append(encoded(clip, tmp_path / f"{seed}.mkv", codec))
    assert results[1] == results[0]
    assert results[2] == results[0]


@pytest.mark.parametrize(
    ("has_avx512", "width", "given", "used"),
    [
        (True, 96, "", "asm=avx2"), (True, 96, "cll=1000,400", "cll=1000,400:asm=avx2"), (True, 128, "", ""),
        (False, 96, "", ""),
    ],
)  # fmt: skip
def test_x264_gets_code_that_the_cpu_can_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_avx512: bool, width: int, given: str, used: str
) -> None:
    """x264 does not check the code that it is told to use: an older CPU would stop at the first unknown instruction."""
    info = open_clip(str(write_clip(tmp_path / "a.mp4", size=(width, 64), frames=1))).info
    spec = choose_encoder(info, str(tmp_path / "b.mp4"), EncoderOptions(), [])
    if given:
        spec = replace(spec, options={**spec.options, "x264-params": given})
    monkeypatch.setattr(cv2, "checkHardwareSupport", lambda feature: has_avx512)
    context = av.CodecContext.create(spec.encoder, "w")
    configure_encoder(context, spec, info, Fraction(25))
    assert context.options.get("x264-params", "") == used

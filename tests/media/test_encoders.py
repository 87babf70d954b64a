"""Which encoder a clip gets, and that the clip's own times come back from it."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from support.clips import packets_of, write_clip, write_masks
from vremove_cli import erase
from vremove_cli.media.encoder_choice import choose_encoder
from vremove_cli.media.encoder_clock import encoder_rate, frame_rate
from vremove_cli.media.encoder_options import EncoderOptions
from vremove_cli.media.read import open_clip
from vremove_cli.media.timing import FrameTimes

HDR = {"master-display": "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)", "max-cll": "1000,400"}
NTSC = Fraction(1001, 30000)


def erased(clip: Path, folder: Path, name: str = "", **options: Any) -> Path:
    masks = write_masks(folder / "masks", frames=open_clip(str(clip)).info.frames)
    output = str(folder / name) if name else None
    return Path(erase(str(clip), output, mask=str(masks), effects="off", overwrite=True, **options).output)


def seconds(path: Path) -> list[Fraction]:
    times = open_clip(str(path)).info.times
    return [p * times.time_base for p in times.pts]


def sound_lag(path: Path) -> Fraction:
    """Seconds from the first frame to the first sound."""
    begins = packets_of(path, "audio")[0][0]
    assert begins is not None
    return begins - seconds(path)[0]


@pytest.mark.parametrize(
    ("name", "codec", "step"),
    [
        ("clip.mpg", "mpeg2video", NTSC), ("clip.mpg", "mpeg1video", Fraction(1, 25)), ("clip.ts", "mpeg2video", NTSC),
        ("clip.ts", "mpeg4", NTSC), ("clip.mp4", "mpeg4", Fraction(1, 25)), ("clip.flv", "flv1", Fraction(1, 25)),
        ("clip.avi", "msmpeg4v3", Fraction(1, 25)), ("clip.mkv", "mpeg2video", Fraction(1, 25)),
    ],
)  # fmt: skip
def test_codecs_with_a_frame_rate_come_back(tmp_path: Path, name: str, codec: str, step: Fraction) -> None:
    """Containers count in 1/90000 s or in milliseconds, which MPEG-1, -2 and -4 cannot hold as a frame rate."""
    clip = write_clip(tmp_path / name, codec=codec, time_base=step, pts=list(range(7, 17)))
    result = erased(clip, tmp_path)
    assert open_clip(str(result)).info.codec == codec
    assert seconds(result) == seconds(clip)


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "mpeg2video", "mpeg4", "ffv1"])
def test_an_uneven_clip_keeps_its_times_in_every_codec(tmp_path: Path, codec: str) -> None:
    clip = write_clip(
        tmp_path / "clip.mkv", pts=[0, 40, 73, 140, 150, 233, 300, 301, 400, 520], time_base=Fraction(1, 1000)
    )
    assert seconds(erased(clip, tmp_path, "out.mkv", codec=codec)) == seconds(clip)


def test_a_transport_stream_becomes_a_program_stream_in_step(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.ts", codec="mpeg2video", time_base=NTSC, pts=list(range(30, 40)), audio="mp2")
    result = erased(clip, tmp_path, "out.mpg")
    assert sound_lag(result) == sound_lag(clip)


def test_an_avi_or_mxf_has_the_clips_frame_rate(tmp_path: Path) -> None:
    """They store a rate and no times: a clock of 1/30000 s made empty frames, or other times."""
    clip = write_clip(tmp_path / "clip.mp4", time_base=Fraction(1, 30000), pts=[1001 * i for i in range(10)])
    for name in ("out.avi", "out.mxf"):
        result = erased(clip, tmp_path, name)
        assert open_clip(str(result)).info.times.time_base == NTSC
        assert seconds(result) == seconds(clip)


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(60)])
@pytest.mark.parametrize("ticks", [1000, 90000, 12800])
def test_a_frame_rate_is_read_off_rounded_times(rate: Fraction, ticks: int) -> None:
    times = FrameTimes(tuple(round(i * ticks / rate) for i in range(200)), Fraction(1, ticks), round(ticks / rate))
    assert frame_rate(times) == rate


def test_an_encoder_with_a_list_of_rates_gets_the_nearest() -> None:
    times = FrameTimes((0, 41, 80, 125, 170), Fraction(1, 1000), 36)
    assert encoder_rate(times, "mpeg1video") == Fraction(24)


@pytest.mark.parametrize(("codec", "output"), [("vp9", "out.mkv"), ("vp9", "out.mp4"), ("vp8", "out.mov")])
def test_a_fallback_keeps_hdr_metadata(tmp_path: Path, codec: str, output: str) -> None:
    clip = write_clip(tmp_path / "clip.mkv", codec="ffv1", pix_fmt="yuv420p10le", colour=(9, 16, 9, 1))
    info = replace(open_clip(str(clip)).info, codec=codec, hdr=HDR)  # no encoder here writes VP9 in 10 bits
    notes: list[str] = []
    assert choose_encoder(info, output, EncoderOptions(), notes).encoder == "libx265"
    assert not [n for n in notes if "lost" in n]


def test_h264_keeps_hdr_metadata(tmp_path: Path) -> None:
    params = ":".join(f"{k}={v}" for k, v in HDR.items())
    clip = write_clip(
        tmp_path / "clip.mp4", codec="libx265", pix_fmt="yuv420p10le", colour=(9, 16, 9, 1),
        options={"x265-params": f"log-level=none:hdr10=1:{params}"},
    )  # fmt: skip
    assert open_clip(str(erased(clip, tmp_path, "out.mp4", codec="h264"))).info.hdr == HDR


@pytest.mark.parametrize(("codec", "pix_fmt"), [("msmpeg4v2", "yuv420p"), ("asv1", "yuv420p")])
def test_every_lossy_encoder_has_a_quality(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    """FFmpeg's own default is 200 kbit/s, whatever the size."""
    clip = write_clip(tmp_path / "clip.avi", codec=codec, pix_fmt=pix_fmt)
    spec = choose_encoder(open_clip(str(clip)).info, "out.avi", EncoderOptions(), [])
    assert spec.options["flags"] == "+qscale"

"""SMPTE timecode: which frame an address names, in a clip that states where it begins and in one that does not."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.clips import write_clip
from support.command import Vremove
from vremove_cli.errors import UsageError
from vremove_cli.media.probe import scan
from vremove_cli.media.timecode import Timecode, frame_at, parse_timecode
from vremove_cli.media.timing import FrameTimes
from vremove_cli.prompts import frame_of, parse_key_mask, parse_prompt, parse_when

NTSC, NTSC_60, PAL = Fraction(30000, 1001), Fraction(60000, 1001), Fraction(25)


def times_at(rate: Fraction, frames: int = 40_000) -> FrameTimes:
    """Return the times of evenly spaced frames."""
    return FrameTimes(tuple(range(0, frames * rate.denominator, rate.denominator)), Fraction(1, rate.numerator), 1)


# SMPTE ST 12-1, 5.3: two numbers a minute are left out, and none each tenth minute.
@pytest.mark.parametrize(
    ("text", "rate", "frame"),
    [
        ("00:00:59;29", NTSC, 1799),
        ("00:01:00;02", NTSC, 1800),
        ("00:09:59;29", NTSC, 17981),
        ("00:10:00;00", NTSC, 17982),
        ("00:01:00;04", NTSC_60, 3600),
        ("00:10:00;00", NTSC_60, 35964),
        ("00:01:00:00", NTSC, 1800),
        ("00:10:00:12", PAL, 15012),
    ],
)
def test_a_timecode_names_a_frame(text: str, rate: Fraction, frame: int) -> None:
    timecode = parse_timecode(text)
    assert timecode is not None
    assert frame_at(timecode, "", times_at(rate)) == frame
    assert str(Timecode.at(frame, round(rate), drop=timecode.drop)) == text


@given(number=st.integers(0, 2_589_407), rate=st.sampled_from([30, 60]), drop=st.booleans())
def test_number_and_timecode_are_inverse(number: int, rate: int, drop: bool) -> None:
    assert Timecode.at(number, rate, drop=drop).number(rate) == number


@pytest.mark.parametrize(
    ("wanted", "start", "rate", "frame"),
    [
        ("01:00:00:12", "01:00:00:00", PAL, 12),
        ("01:00:10:00", "01:00:00;00", NTSC, 300),  # a colon for the semicolon of a clip with drop-frame timecode
        ("00:00:00:05", "23:59:59:00", PAL, 30),  # counting begins again at midnight
    ],
)
def test_a_timecode_counts_from_the_first_frames(wanted: str, start: str, rate: Fraction, frame: int) -> None:
    timecode = parse_timecode(wanted)
    assert timecode is not None
    assert frame_at(timecode, start, times_at(rate)) == frame


REFUSED = {
    "before the clip": ("00:59:59:00", "01:00:00:00", times_at(PAL, 100), "has no frame", "01:00:00:00 to 01:00:03:24"),
    "behind the clip": ("01:00:04:00", "01:00:00:00", times_at(PAL, 100), "has no frame", "01:00:00:00 to 01:00:03:24"),
    "left out": ("00:01:00;01", "", times_at(NTSC), "does not exist", "write 00:01:00;02"),
    "too many frames": ("00:00:00:25", "", times_at(PAL), "does not exist", "0 to 24"),
    "no drop-frame rate": ("00:00:01;00", "", times_at(PAL), "is drop-frame timecode", "write 00:00:01:00"),
    "clip does not drop": ("00:00:01;00", "00:00:00:00", times_at(NTSC), "is drop-frame", "write 00:00:01:00"),
    "frames of many lengths": ("00:00:01:00", "", FrameTimes((0, 1, 9), Fraction(1, 25), 3), "of one length", "4.5s"),
}


@pytest.mark.parametrize(("wanted", "start", "times", "problem", "advice"), REFUSED.values(), ids=REFUSED)
def test_a_timecode_that_names_no_frame_is_refused(
    wanted: str, start: str, times: FrameTimes, problem: str, advice: str
) -> None:
    timecode = parse_timecode(wanted)
    assert timecode is not None
    with pytest.raises(UsageError, match=problem) as caught:
        frame_at(timecode, start, times)
    assert advice in caught.value.advice


@pytest.mark.parametrize("text", ["1:2:3:4", "25:00:00:00", "00:61:00:00", "01:00:00:1a"])
def test_other_texts_are_no_moments(text: str) -> None:
    with pytest.raises(UsageError, match="is not a moment"):
        parse_when(text)


def test_prompts_and_key_masks_take_a_timecode(tmp_path: Path) -> None:
    assert parse_prompt("ball=@01:00:00;12:20%,40%", "point").when == parse_when("01:00:00;12")
    (tmp_path / "12:a.png").touch()
    assert parse_key_mask(f"@01:00:00:12:{tmp_path}/12:a.png").mask == f"{tmp_path}/12:a.png"


@pytest.mark.parametrize(
    ("suffix", "start"), [(".mov", "01:00:00;00"), (".mp4", "00:59:50:00"), (".mkv", "10:00:00:00")]
)
def test_the_start_is_read_from_the_file(tmp_path: Path, suffix: str, start: str) -> None:
    def state(container: Any) -> None:
        container.streams[0].metadata["timecode"] = start
        container.streams[0].codec_context.framerate = NTSC

    clip = write_clip(tmp_path / f"a{suffix}", time_base=1 / NTSC, before_mux=state)
    info = scan(str(clip))
    assert info.timecode == start
    assert frame_of(parse_when(start[:-2] + "07"), info) == 7


def test_a_range_ends_before_a_timecode(tmp_path: Path, vremove: Vremove) -> None:
    clip = write_clip(tmp_path / "a.mp4")
    done = vremove(
        "erase", clip, "--point", "@00:00:00:04:30,30", "--start", "00:00:00:02", "--end", "00:00:00:10", "--dry-run"
    )
    assert "frames 2 to 9 edited" in done.stdout

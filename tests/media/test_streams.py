"""The streams beside the picture: they stay with it in time, and what cannot be kept is named before the work."""

import struct
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from support.clips import Picture, packets_of, scene, write_clip
from support.rewrite import rewrite
from vremove_cli.errors import MediaError
from vremove_cli.media.read import open_clip

TICK = Fraction(1, 1000)  # seconds: what a container may round to
TS_PTS = [3600 * i for i in range(12)]  # 25 frames a second


def transport_stream(path: Path, pts: list[int] = TS_PTS, **options: Any) -> Path:
    return write_clip(path, time_base=Fraction(1, 90000), pts=pts, **options)


def times(path: Path, kind: str) -> list[Fraction]:
    return sorted(t for t, _ in packets_of(path, kind) if t is not None)


def joined(parts: list[Path], path: Path) -> Path:
    path.write_bytes(b"".join(p.read_bytes() for p in parts))
    return path


@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".mp4"])
def test_sound_stays_with_the_picture_where_times_start_again(tmp_path: Path, suffix: str) -> None:
    part = transport_stream(tmp_path / "part.ts", audio="aac")
    sound, picture = times(part, "audio"), times(part, "video")
    output = tmp_path / f"out{suffix}"
    notes = rewrite(joined([part, part, part], tmp_path / "clip.ts"), output)
    assert any("start again 2 time(s)" in n for n in notes)
    again, shown = times(output, "audio"), times(output, "video")
    assert len(shown) == 3 * len(picture)
    assert len(again) == 3 * len(sound)
    for k in range(3):
        lead = again[k * len(sound)] - shown[k * len(picture)]
        assert abs(lead - (sound[0] - picture[0])) <= 2 * TICK


def test_sound_that_is_longer_than_the_picture_does_not_shift_the_next_part(tmp_path: Path) -> None:
    part = transport_stream(tmp_path / "part.ts", audio="aac", pts=[*TS_PTS, 3600 * 30])
    short = transport_stream(tmp_path / "short.ts", audio="aac")
    output = tmp_path / "out.ts"
    rewrite(joined([part, short], tmp_path / "clip.ts"), output)
    shown, sound = times(output, "video"), times(output, "audio")
    assert abs((shown[-1] - sound[-1]) - (times(short, "video")[-1] - times(short, "audio")[-1])) <= 2 * TICK


def test_parts_of_variable_rate_keep_their_own_times(tmp_path: Path) -> None:
    part = transport_stream(tmp_path / "part.ts", pts=[0, 3600, 12600, 14400, 27000, 30600], options={"bf": "0"})
    shown = [int(t * 90000) for t in times(part, "video")]
    info = open_clip(str(joined([part, part], tmp_path / "clip.ts"))).info
    steps = [b - a for a, b in pairwise(shown)]
    assert [b - a for a, b in pairwise(info.times.pts[:6])] == steps
    assert [b - a for a, b in pairwise(info.times.pts[6:])] == steps


def test_every_frame_of_joined_parts_is_found_again(tmp_path: Path) -> None:
    options = {"g": "4", "bf": "2"}
    parts = [transport_stream(tmp_path / f"{k}.ts", picture=shifted(k), options=options) for k in range(3)]
    reader = open_clip(str(joined(parts, tmp_path / "clip.ts")))
    every = [np.array(f.planes()[0]) for f in reader.frames()]
    assert len(every) == 36
    for start in range(0, 36, 5):
        (frame,) = reader.frames(start, start + 1)
        assert (frame.planes()[0] == every[start]).all()


def shifted(k: int) -> Picture:
    return lambda t, width, height: scene(t + 12 * k, width, height)


def test_lost_frames_of_joined_parts_are_repeated_in_their_own_part(tmp_path: Path) -> None:
    part = transport_stream(tmp_path / "part.ts", pts=[3600 * i for i in range(40)], options={"g": "10", "bf": "0"})
    whole = joined([part, part], tmp_path / "whole.ts")
    data = bytearray(whole.read_bytes())
    for at in range(len(data) * 5 // 8 // 188 * 188, len(data) * 3 // 4 // 188 * 188, 188):
        if not data[at + 1] & 0x40:  # the head of a packet, with its time, stays
            data[at + 60 : at + 188] = bytes(128)
    damaged = tmp_path / "clip.ts"
    damaged.write_bytes(bytes(data))
    with pytest.raises(MediaError):
        open_clip(str(damaged))
    reader = open_clip(str(damaged), skip_errors=True)
    assert reader.info.frames == 80
    assert min(reader.info.repeated) >= 40
    assert [f.index for f in reader.frames()] == list(range(80))


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
@pytest.mark.parametrize("audio", ["libmp3lame", "mp2", "ac3", "pcm_s16le", "pcm_s24le"])
@pytest.mark.parametrize("clock", [(32, 122500), (1, 1), (1000, 1)])
def test_sound_in_avi_with_a_broken_clock_lasts_as_long_as_it_says(
    tmp_path: Path, clock: tuple[int, int], audio: str, suffix: str
) -> None:
    clip = write_clip(tmp_path / "clip.avi", codec="mpeg4", frames=30, options={"bf": "0"}, audio=audio)
    wanted = times(clip, "audio")
    data = bytearray(clip.read_bytes())
    at = data.find(b"auds")
    data[at + 20 : at + 28] = struct.pack("<II", *clock)  # scale and rate
    data[at + 44 : at + 48] = struct.pack("<I", 0)  # sample size: each chunk is one packet
    clip.write_bytes(bytes(data))
    rewrite(clip, tmp_path / f"out{suffix}")
    again = times(tmp_path / f"out{suffix}", "audio")
    assert len(again) == len(wanted)
    # AVI rounds AC-3, of which it does not know the length of a packet.
    if (audio, suffix) != ("ac3", ".avi"):
        assert all(abs(a - b) <= 2 * TICK for a, b in zip(again, wanted, strict=True))


def test_the_last_packet_of_sound_without_lengths_is_kept(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", audio="alac")
    rewrite(clip, tmp_path / "out.mp4")
    assert [d for _, d in packets_of(tmp_path / "out.mp4", "audio")] == [d for _, d in packets_of(clip, "audio")]


def test_sound_that_a_container_takes_and_cannot_finish_is_refused_before_the_work(tmp_path: Path) -> None:
    """PCM without a channel layout in mp4: the muxer refuses it when it writes the end of the file."""
    clip = write_clip(tmp_path / "clip.avi", audio="pcm_s16le", options={"bf": "0"})
    with pytest.raises(MediaError, match=r"#1 audio pcm_s16le does not fit into mp4: write to \.mkv, or add"):
        rewrite(clip, tmp_path / "out.mp4")


def with_sound_at(source: Path, clip: Path, moved: Callable[[int], int]) -> Path:
    """Copy a file with its sound at other times, in ticks."""
    with av.open(str(source)) as old, av.open(str(clip), "w") as new:
        outs = [new.add_stream_from_template(s) for s in old.streams]
        for packet in old.demux():
            if packet.size:
                if packet.stream.type == "audio":
                    packet.pts = packet.dts = moved(packet.dts)
                packet.stream = outs[packet.stream.index]
                new.mux(packet)
    return clip


def test_sound_with_times_that_repeat_is_written(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "source.mkv", audio="aac")
    clip = with_sound_at(source, tmp_path / "clip.mkv", lambda ticks: ticks // 60 * 60)
    rewrite(clip, tmp_path / "out.mp4")
    assert len(times(tmp_path / "out.mp4", "audio")) == len(times(clip, "audio"))


def test_sound_that_begins_late_is_said_to_begin_at_once_in_avi(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "source.mkv", audio="aac")
    clip = with_sound_at(source, tmp_path / "clip.mkv", lambda ticks: ticks + 700)
    assert not [n for n in rewrite(clip, tmp_path / "out.mp4") if "after the picture" in n]
    (said,) = [n for n in rewrite(clip, tmp_path / "out.avi") if "after the picture" in n]
    assert said.startswith("#1 audio aac starts 0.70 s after the picture")


def test_a_recording_that_starts_late_in_the_day_fits_into_avi(tmp_path: Path) -> None:
    early = transport_stream(tmp_path / "clip.ts", audio="mp2", options={"bf": "0"})
    late = tmp_path / "late.ts"
    with av.open(str(early)) as old, av.open(str(late), "w", options={"mpegts_copyts": "1"}) as new:
        outs = [new.add_stream_from_template(s) for s in old.streams]
        for packet in old.demux():
            if packet.size:
                packet.pts, packet.dts = packet.pts + 36000 * 90000, packet.dts + 36000 * 90000
                packet.stream = outs[packet.stream.index]
                new.mux(packet)
    rewrite(late, tmp_path / "out.avi")
    assert min(times(tmp_path / "out.avi", "video")) < Fraction(1, 10)
    assert len(times(tmp_path / "out.avi", "audio")) == len(times(late, "audio"))


def silent(container: Any) -> None:
    container.add_stream("aac", rate=48000).layout = "stereo"


@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".mp4"])
def test_a_stream_that_is_announced_and_has_no_content_is_dropped_with_a_note(tmp_path: Path, suffix: str) -> None:
    clip = transport_stream(tmp_path / "clip.ts", before_mux=silent, options={"bf": "0"})
    notes = rewrite(clip, tmp_path / f"out{suffix}")
    assert any("#1 audio aac is announced in the file and has no content: it is dropped" in n for n in notes)
    assert open_clip(str(tmp_path / f"out{suffix}")).info.frames == 12


def test_an_empty_subtitle_track_is_kept_where_it_fits(tmp_path: Path) -> None:
    def empty(container: Any) -> None:
        container.add_mux_stream("srt").metadata["language"] = "eng"

    clip = write_clip(tmp_path / "clip.mkv", before_mux=empty)
    notes = rewrite(clip, tmp_path / "out.mkv")
    assert notes == []
    with av.open(str(tmp_path / "out.mkv")) as result:
        assert [s.type for s in result.streams] == ["video", "subtitle"]


def subtitles_as_data(path: Path, name: bytes = b"gpmd") -> Path:
    """An mp4 whose subtitle track is called a track of timed metadata, as cameras write them."""
    clip = write_clip(path, subtitle="mov_text", time_base=TICK, pts=list(range(0, 400, 40)))
    clip.write_bytes(clip.read_bytes().replace(b"sbtl", b"meta").replace(b"tx3g", name))
    return clip


def test_a_data_track_is_kept_where_it_fits(tmp_path: Path) -> None:
    clip = subtitles_as_data(tmp_path / "clip.mp4")
    rewrite(clip, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as result:
        data = [bytes(p)[2:] for p in result.demux() if p.stream.type == "data" and p.size > 2]
    assert data == [b"first line", b"second line"]


@pytest.mark.parametrize(("suffix", "name"), [(".mkv", b"gpmd"), (".mp4", b"mebx")])
def test_a_data_track_that_does_not_fit_stops_the_job_unless_it_may_go(
    tmp_path: Path, suffix: str, name: bytes
) -> None:
    clip = subtitles_as_data(tmp_path / "clip.mp4", name)
    output = tmp_path / f"out{suffix}"
    with pytest.raises(MediaError, match=r"#1 data .*does not fit into .*: add --drop-streams to lose it") as refusal:
        rewrite(clip, output)
    assert ".mkv" not in str(refusal.value)
    assert any("#1 data" in n and "dropped" in n for n in rewrite(clip, output, drop=True))


def test_all_streams_that_do_not_fit_are_named_at_once(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", audio="flac", subtitle="srt", time_base=TICK, pts=list(range(0, 400, 40)))
    with pytest.raises(
        MediaError, match=r"#1 audio flac and #2 subtitle .* do not fit into .*: write to \.mkv, or add"
    ):
        rewrite(clip, tmp_path / "out.ts")


@pytest.mark.parametrize("words", ["mov_text", "srt"])
def test_subtitles_cross_between_mp4_and_matroska(tmp_path: Path, words: str) -> None:
    first, second = (".mp4", ".mkv") if words == "mov_text" else (".mkv", ".mp4")
    clip = write_clip(tmp_path / f"clip{first}", subtitle=words, time_base=TICK, pts=list(range(0, 400, 40)))
    there, back = tmp_path / f"there{second}", tmp_path / f"back{first}"
    said = [*rewrite(clip, there), *rewrite(there, back)]
    assert said == ["#1 subtitle mov_text (eng) is rewritten as plain text: its style is lost if it has one"]
    assert spoken(back) == spoken(clip) == [(0, b"first line"), (Fraction(3, 20), b"second line")]
    with av.open(str(there)) as result:
        assert [s.metadata["language"] for s in result.streams if s.type == "subtitle"] == ["eng"]


def spoken(path: Path) -> list[tuple[Fraction | None, bytes]]:
    packets = packets_of(path, "subtitle")
    if path.suffix != ".mp4":
        return packets
    return [(when, data[2:]) for when, data in packets if data != b"\0\0"]


def test_a_chapter_track_is_no_loss(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", chapters=True, time_base=TICK, pts=list(range(0, 400, 40)))
    notes = rewrite(clip, tmp_path / "out.mp4")
    assert not [n for n in notes if "data" in n]
    assert open_clip(str(tmp_path / "out.mp4")).info.chapters == 2

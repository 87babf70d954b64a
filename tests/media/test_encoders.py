"""Which encoder a clip gets, and that the clip's own times come back from it."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from support.clips import packets_of, planes_of, scene, write_clip, write_masks
from vremove_cli import erase
from vremove_cli.errors import UsageError
from vremove_cli.media.encoder_choice import choose_encoder
from vremove_cli.media.encoder_clock import encoder_rate, frame_rate
from vremove_cli.media.encoder_options import EncoderOptions
from vremove_cli.media.read import open_clip
from vremove_cli.media.timing import FrameTimes
from vremove_cli.media.write import open_writer

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


def noisy(t: int, width: int, height: int) -> np.ndarray:
    """A scene that does not compress well."""
    noise = np.random.default_rng(t).integers(-12, 13, (height, width, 1))
    return np.clip(scene(t, width, height) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("mpeg1video", "out.mpg"), ("mpeg2video", "out.mpg"), ("mpeg4", "out.mp4"), ("msmpeg4v2", "out.avi"),
        ("msmpeg4v3", "out.avi"), ("wmv1", "out.avi"), ("wmv2", "out.avi"), ("flv1", "out.flv"), ("h263", "out.3gp"),
        ("h263p", "out.avi"), ("h261", "out.nut"), ("mjpeg", "out.mov"), ("speedhq", "out.nut"), ("asv2", "out.avi"),
        ("jpeg2000", "out.mov"), ("magicyuv", "out.avi"), ("yuv4", "out.mov"),
    ],
)  # fmt: skip
def test_every_encoder_keeps_the_picture(tmp_path: Path, codec: str, name: str) -> None:
    """FFmpeg's own default is 200 kbit/s, whatever the size, which leaves 28 to 34 dB."""
    clip = write_clip(
        tmp_path / "clip.mkv", codec="ffv1", size=(352, 288), frames=3, picture=noisy, colour=(1, 1, 1, 1)
    )
    info = open_clip(str(clip)).info
    spec = choose_encoder(info, name, EncoderOptions(codec=codec), [])
    with open_writer(str(tmp_path / name), info, spec, (), overwrite=False) as writer:
        for frame in open_clip(str(clip)).frames():
            writer.write(frame)
    for before, after in zip(planes_of(clip), planes_of(tmp_path / name), strict=True):
        if "yuvj" in spec.pix_fmt:
            continue
        error = np.mean((before[0].astype(float) - after[0].astype(float)) ** 2)
        assert error == 0 if spec.lossless else 10 * np.log10(255**2 / error) > 37


@pytest.mark.parametrize(("codec", "pix_fmt", "name"), [("svq1", "yuv410p", "a.mov"), ("asv1", "yuv420p", "a.avi")])
def test_an_encoder_that_loses_too_much_is_not_used(tmp_path: Path, codec: str, pix_fmt: str, name: str) -> None:
    info = open_clip(str(write_clip(tmp_path / name, codec=codec, pix_fmt=pix_fmt))).info
    notes: list[str] = []
    assert choose_encoder(info, name, EncoderOptions(), notes).encoder == "libx264"
    assert f"{codec} cannot be written without a loss that shows: h264 is used" in notes
    with pytest.raises(UsageError, match="loss that shows"):
        choose_encoder(info, name, EncoderOptions(codec=codec), [])


@pytest.mark.parametrize("pix_fmt", ["yuv444p10le", "gbrp16le"])
def test_a_codec_whose_pixel_format_the_container_cannot_tag_is_passed_over(tmp_path: Path, pix_fmt: str) -> None:
    """Matroska holds raw video by its four-character code, which most formats of more than 8 bits lack."""
    clip = write_clip(tmp_path / "clip.nut", codec="rawvideo", pix_fmt=pix_fmt)
    notes: list[str] = []
    spec = choose_encoder(open_clip(str(clip)).info, "out.mkv", EncoderOptions(), notes)
    assert (spec.encoder, spec.pix_fmt) == ("ffv1", pix_fmt)  # what was lossless stays so
    assert any("rawvideo cannot hold" in n for n in notes)
    assert seconds(erased(clip, tmp_path, "out.mkv")) == [Fraction(i, 25) for i in range(10)]


def join_sound(source: Path, target: Path) -> Path:
    """Write a clip whose sound has two frames in every packet, as phones do it."""
    with av.open(str(source)) as clip, av.open(str(target), "w") as joined:
        outs = {s.index: joined.add_stream_from_template(s) for s in clip.streams}
        held: list[av.Packet] = []
        for packet in clip.demux():
            if packet.dts is None:
                continue
            held.append(packet)
            if packet.stream.type == "audio" and len(sounds := [p for p in held if p.stream.type == "audio"]) < 2:
                continue
            if packet.stream.type == "audio":
                pair = av.Packet(b"".join(bytes(p) for p in sounds))
                pair.pts, pair.dts, pair.time_base = sounds[0].pts, sounds[0].dts, packet.time_base
                pair.duration, pair.stream = 2 * packet.duration, outs[packet.stream.index]
                joined.mux(pair)
                held = []
            else:
                held.remove(packet)
                packet.stream = outs[packet.stream.index]
                joined.mux(packet)
    return target


def test_sound_of_old_phones_is_copied(tmp_path: Path) -> None:
    """They store many frames of AMR in one packet, and FFmpeg writes one at a time."""
    plain = tmp_path / "plain.3gp"
    with av.open(str(plain), "w") as target:
        video = target.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 176, 144, "yuv420p"
        sound = target.add_stream("libopencore_amrnb", rate=8000, layout="mono")
        sound.codec_context.options = {"b": "12200"}
        for t in range(4):
            picture = av.VideoFrame.from_ndarray(scene(t, 176, 144), "rgb24").reformat(format="yuv420p")
            picture.pts, picture.time_base = t, Fraction(1, 10)
            target.mux(video.encode(picture))
        target.mux(video.encode())
        for i in range(20):
            samples = np.random.default_rng(i).integers(-9000, 9000, (1, 160)).astype(np.int16)
            wave = av.AudioFrame.from_ndarray(samples, "s16", "mono")
            wave.sample_rate, wave.pts, wave.time_base = 8000, 160 * i, Fraction(1, 8000)
            target.mux(sound.encode(wave))
        target.mux(sound.encode())
    clip = join_sound(plain, tmp_path / "clip.nut")
    assert len(packets_of(clip, "audio")) < len(packets_of(plain, "audio"))
    masks = write_masks(tmp_path / "m", frames=4, size=(176, 144))
    erase(str(clip), str(tmp_path / "out.3gp"), mask=str(masks), effects="off")
    result, before = packets_of(tmp_path / "out.3gp", "audio"), packets_of(plain, "audio")
    assert [data for _, data in result] == [data for _, data in before[: len(result)]]
    assert [when for when, _ in result] == [Fraction(i, 50) for i in range(20)]


@pytest.mark.parametrize("suffix", [".3gp", ".3g2"])
def test_clips_of_old_phones_come_back(tmp_path: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / f"clip{suffix}", codec="h263", size=(176, 144), frames=5, audio="aac")
    result = Path(erase(str(clip), mask=str(write_masks(tmp_path / "m", frames=5, size=(176, 144)))).output)
    assert result.name == f"clip.clean{suffix}"
    assert seconds(result) == seconds(clip)
    assert packets_of(result, "audio") == packets_of(clip, "audio")


@pytest.mark.parametrize(("name", "rounded"), [("a.mkv", "1/1000"), ("a.mp4", ""), ("a.nut", ""), ("a.ts", "")])
def test_times_that_a_container_rounds_are_noted(tmp_path: Path, name: str, rounded: str) -> None:
    clip = write_clip(tmp_path / "clip.mp4", time_base=Fraction(1, 30000), pts=[1001 * i for i in range(10)])
    notes: list[str] = []
    choose_encoder(open_clip(str(clip)).info, name, EncoderOptions(), notes)
    assert [n.split()[4] for n in notes if "rounded" in n] == ([rounded] if rounded else [])


def test_no_times_are_rounded_where_the_container_holds_them(tmp_path: Path) -> None:
    notes: list[str] = []
    choose_encoder(open_clip(str(write_clip(tmp_path / "clip.mp4"))).info, "a.mkv", EncoderOptions(), notes)
    assert not [n for n in notes if "rounded" in n]


def test_sound_starts_on_its_own_tick(tmp_path: Path) -> None:
    """The movie's clock rounds the gap before a stream, and the video's ticks may be coarser than the sound's."""
    plain = write_clip(
        tmp_path / "plain.mov", audio="pcm_s16le", time_base=Fraction(1, 600), pts=list(range(0, 240, 24))
    )
    clip = tmp_path / "clip.mov"
    clocks = {"video_track_timescale": "600", "movie_timescale": "48000"}
    with av.open(str(plain)) as source, av.open(str(clip), "w", options=clocks) as target:
        outs = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "audio":
                packet.pts, packet.dts = packet.pts + 1001, packet.dts + 1001
            packet.stream = outs[packet.stream.index]
            target.mux(packet)
    assert sound_lag(clip) == Fraction(1001, 48000)
    assert sound_lag(erased(clip, tmp_path)) == Fraction(1001, 48000)

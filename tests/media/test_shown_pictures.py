"""A packet that shows no picture is no damage, and one that should show a picture and does not is."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from support.clips import write_clip
from support.rewrite import rewrite
from vremove_cli.errors import MediaError
from vremove_cli.media.read import open_clip

MPEG4_REPEATS = b"\x00\x00\x01\xb6" + bytes([0b01010000, 0b01001111])  # a picture that is not coded: the last one stays


def with_packets(clip: Path, output: Path, extra: dict[int, bytes]) -> Path:
    """Copy a clip, with further packets before those of some numbers, half a frame earlier."""
    with av.open(str(clip)) as source, av.open(str(output), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        packets = [p for p in source.demux(video=0) if p.size]
        for i, packet in enumerate(packets):
            if i in extra:
                hidden = av.Packet(extra[i])
                hidden.pts = hidden.dts = packet.pts - 20
                hidden.time_base, hidden.stream = packet.time_base, stream
                target.mux(hidden)
            packet.stream = stream
            target.mux(packet)
    return output


def packets(clip: Path) -> list[bytes]:
    with av.open(str(clip)) as source:
        return [bytes(p) for p in source.demux(video=0) if p.size]


# The bit of the first byte that shows the picture.
@pytest.mark.parametrize(("codec", "bit"), [("libvpx-vp9", 0x02), ("libvpx", 0x10)])
def test_pictures_that_are_only_referred_to_are_no_damage(tmp_path: Path, codec: str, bit: int) -> None:
    options = {"lag-in-frames": "0", "deadline": "realtime", "cpu-used": "8", "g": "1"}
    clip = write_clip(
        tmp_path / "clip.webm", codec=codec, options=options, time_base=Fraction(1, 1000), pts=list(range(0, 400, 40))
    )
    key = bytearray(packets(clip)[4])
    key[0] &= ~bit
    # Not into WebM: its muxer joins a hidden picture with the next one.
    hidden = with_packets(clip, tmp_path / "hidden.nut", {4: bytes(key), 7: bytes(key)})
    assert len(packets(hidden)) == 12
    for skip in (False, True):
        times = open_clip(str(hidden), skip_errors=skip).info.times
        assert [p * times.time_base for p in times.pts] == [Fraction(i, 25) for i in range(10)]


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_a_picture_that_is_not_coded_anew_is_no_damage(tmp_path: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / "clip.mkv", codec="mpeg4", options={"bf": "0"})
    hidden = tmp_path / f"hidden{suffix}"
    with av.open(str(clip)) as source, av.open(str(hidden), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for i, packet in enumerate(p for p in source.demux(video=0) if p.size):
            out = av.Packet(MPEG4_REPEATS) if i == 4 else packet
            out.pts, out.dts, out.time_base, out.stream = packet.pts, packet.dts, packet.time_base, stream
            target.mux(out)
    info = open_clip(str(hidden)).info
    assert not info.notes
    assert [p * info.times.time_base for p in info.times.pts] == [Fraction(i, 25) for i in range(10) if i != 4]


@pytest.mark.parametrize("comment", [b"\x21\xfe\x05hello\x00", b"\x21\xfe\x02hi\x00\x21\xff\x0bVREMOVETEST\x01x\x00"])
def test_a_comment_behind_the_last_picture_of_a_gif_is_no_damage(tmp_path: Path, comment: bytes) -> None:
    clip = write_clip(tmp_path / "clip.gif", codec="gif", pix_fmt="rgb8", time_base=Fraction(1, 10))
    whole = clip.read_bytes()
    clip.write_bytes(whole[:-1] + comment + whole[-1:])
    for skip in (False, True):
        assert open_clip(str(clip), skip_errors=skip).info.frames == 10
    rewrite(clip, tmp_path / "out.gif")
    assert open_clip(str(tmp_path / "out.gif")).info.frames == 10


@pytest.mark.parametrize(
    ("codec", "suffix", "delimiter"),
    [("libx264", ".h264", b"\0\0\0\1\x09\xf0"), ("libx265", ".hevc", b"\0\0\0\1\x46\x01\x50")],
)
def test_a_delimiter_behind_the_last_picture_is_no_damage(
    tmp_path: Path, codec: str, suffix: str, delimiter: bytes
) -> None:
    clip = write_clip(tmp_path / f"clip{suffix}", codec=codec)
    clip.write_bytes(clip.read_bytes() + delimiter)
    assert open_clip(str(clip)).info.frames == 10


@pytest.mark.parametrize("codec", ["libvpx-vp9", "libx264", "mpeg4"])
def test_a_packet_that_should_show_a_picture_and_does_not_is_damage(tmp_path: Path, codec: str) -> None:
    clip = write_clip(tmp_path / "clip.mkv", codec=codec, options={"bf": "0", "g": "5"}, size=(128, 96))
    damaged = tmp_path / "damaged.mkv"
    with av.open(str(clip)) as source, av.open(str(damaged), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for i, packet in enumerate(p for p in source.demux(video=0) if p.size):
            out = av.Packet(bytes([*bytes(packet)[:2], *bytes(30)])) if i == 6 else packet
            out.pts, out.dts, out.time_base, out.stream = packet.pts, packet.dts, packet.time_base, stream
            target.mux(out)
    with pytest.raises(MediaError, match="damaged"):
        open_clip(str(damaged))
    assert open_clip(str(damaged), skip_errors=True).info.frames == 10

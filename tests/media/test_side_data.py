"""What pictures carry beside their samples is kept, or named before the work."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.sidedata.sidedata import Type

from support.clips import scene, write_clip
from support.rewrite import rewrite
from vremove_cli.media.encoder_choice import choose_encoder
from vremove_cli.media.encoder_options import EncoderOptions
from vremove_cli.media.lost_side_data import lost_side_data
from vremove_cli.media.read import open_clip


def triplets(t: int, count: int) -> bytes:
    """Captions of frame t, with bytes that must be escaped."""
    return b"".join(bytes([0xFC + i % 2, (i * 37 + t) % 256, 0]) if i % 5 else b"\xfc\0\0" for i in range(count))


def message(data: bytes) -> bytes:
    """A unit for H.264 with at most 31 triplets (ATSC A/53 part 4), escaped as annex B asks for."""
    body = b"\xb5\0\x31GA94\x03" + bytes([0x40 | len(data) // 3, 0xFF]) + data + b"\xff"
    raw = bytes([4, len(body)]) + body + b"\x80"
    for low in range(4):
        raw = raw.replace(bytes([0, 0, low]), bytes([0, 0, 3, low]))
    return raw


def captioned(path: Path, codec: str, count: int, pix_fmt: str = "yuv420p") -> Path:
    head, is_slice = HEADS[codec]
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=quiet)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pix_fmt
        stream.time_base = stream.codec_context.time_base = Fraction(1, 25)

        def put(packets: list[av.Packet]) -> None:
            for packet in packets:
                data = bytes(packet)
                at = data.find(b"\0\0\1")
                while not is_slice(data[at + 3]):
                    at = data.find(b"\0\0\1", at + 3)
                at -= data[at - 1] == 0
                said = triplets(packet.pts, count)
                units = b"".join(b"\0\0\0\1" + head + message(said[i : i + 93]) for i in range(0, len(said), 93))
                out = av.Packet(data[:at] + units + data[at:])
                out.pts, out.dts, out.time_base = packet.pts, packet.dts, packet.time_base
                out.is_keyframe, out.stream = packet.is_keyframe, stream
                container.mux(out)

        for t in range(8):
            frame = av.VideoFrame.from_ndarray(scene(t, 96, 64), "rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = t, Fraction(1, 25)
            put(stream.encode(frame))
        put(stream.encode())
    return path


HEADS: dict[str, tuple[bytes, Callable[[int], bool]]] = {
    "libx264": (b"\x06", lambda head: 1 <= head & 31 <= 5),
    "libx265": (b"\x4e\1", lambda head: head >> 1 & 63 < 32),
}


def captions(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(f.side_data.get(Type.A53_CC) or b"") for f in container.decode(video=0)]


@pytest.mark.parametrize("count", [2, 31, 40, 112])
@pytest.mark.parametrize(("codec", "suffix"), [("libx264", ".mp4"), ("libx265", ".mkv"), ("libx265", ".ts")])
def test_captions_come_back_however_many_there_are(tmp_path: Path, codec: str, suffix: str, count: int) -> None:
    clip = captioned(tmp_path / f"clip{suffix}", codec, count)
    assert captions(clip) == [triplets(t, count) for t in range(8)]
    assert rewrite(clip, tmp_path / f"out{suffix}") == []
    assert captions(tmp_path / f"out{suffix}") == captions(clip)


def test_captions_cross_from_one_codec_to_another_and_are_missed_where_none_holds_them(tmp_path: Path) -> None:
    clip = captioned(tmp_path / "clip.mp4", "libx265", 4, "yuv420p10le")
    rewrite(clip, tmp_path / "out.ts")
    assert captions(tmp_path / "out.ts") == captions(clip)
    assert rewrite(clip, tmp_path / "out.webm")[-1].startswith("lost with ")
    assert "closed captions" in rewrite(clip, tmp_path / "out.webm")[-1]


def test_a_second_view_is_missed_before_the_work(tmp_path: Path) -> None:
    info = open_clip(str(write_clip(tmp_path / "clip.mp4"))).info
    stereo = replace(info, side_data=("KIND_29", "SEI_UNREGISTERED"))
    spec = choose_encoder(stereo, str(tmp_path / "out.mp4"), EncoderOptions(), [])
    assert lost_side_data(stereo, spec) == ["lost with libx264: the second view of stereoscopic video (MV-HEVC)"]
    assert lost_side_data(info, spec) == []


def boxed(kind: bytes, data: bytes) -> bytes:
    return (8 + len(data)).to_bytes(4, "big") + kind + data


def test_the_projection_of_a_sphere_is_missed_before_the_work(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    projection = boxed(b"prhd", bytes(16)) + boxed(b"equi", bytes(20))
    sphere = boxed(b"sv3d", boxed(b"svhd", bytes(4) + b"test\0") + boxed(b"proj", projection))
    data = clip.read_bytes()
    entry = data.index(b"avc1", data.index(b"stsd")) - 4
    end = entry + int.from_bytes(data[entry : entry + 4], "big")
    grown = bytearray(data[:end] + sphere + data[end:])
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        at = grown.index(kind, grown.index(b"moov") if kind != b"avc1" else entry) - 4
        grown[at : at + 4] = (int.from_bytes(grown[at : at + 4], "big") + len(sphere)).to_bytes(4, "big")
    clip.write_bytes(bytes(grown))
    assert rewrite(clip, tmp_path / "out.mp4") == ["lost with libx264: the projection of 360-degree video"]

"""An encrypted file is called encrypted, not damaged."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from support.clips import scene, write_clip
from vremove_cli.errors import MediaError
from vremove_cli.media.encoder_choice import choose_encoder
from vremove_cli.media.encoder_options import EncoderOptions
from vremove_cli.media.encryption import is_scrambled
from vremove_cli.media.read import open_clip
from vremove_cli.media.stream_plan import plan_streams

KEY = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
    "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
}


def protected(path: Path) -> Path:
    """An mp4 whose samples are encrypted."""
    with av.open(str(path), "w", options=KEY) as container:
        picture = container.add_stream("libx264", rate=25)
        picture.width, picture.height = 96, 64
        sound = container.add_stream("aac", rate=48000)
        sound.layout = "stereo"
        for t in range(10):
            frame = av.VideoFrame.from_ndarray(scene(t, 96, 64), "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = t, Fraction(1, 25)
            container.mux(picture.encode(frame))
            heard = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
            heard.sample_rate, heard.pts = 48000, 1024 * t
            container.mux(sound.encode(heard))
        container.mux(picture.encode())
        container.mux(sound.encode())
    return path


def test_an_encrypted_picture_is_named_so(tmp_path: Path) -> None:
    clip = protected(tmp_path / "clip.mp4")
    for skip in (False, True):
        with pytest.raises(MediaError, match="is encrypted: decrypt it first"):
            open_clip(str(clip), skip_errors=skip)


def test_a_scrambled_transport_stream_is_named_so(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.ts", frames=40)
    data = bytearray(clip.read_bytes())
    for at in range(0, len(data), 188):
        if data[at + 1] & 0x1F == 1 and not data[at + 1] & 0x40:  # of the picture, and without its time
            data[at + 3] |= 0xC0
            data[at + 60 : at + 188] = bytes(b ^ 0x5A for b in data[at + 60 : at + 188])
    clip.write_bytes(bytes(data))
    with pytest.raises(MediaError, match="is encrypted: decrypt it first"):
        open_clip(str(clip))


def test_times_before_the_packets_of_a_camera_are_no_encryption(tmp_path: Path) -> None:
    """A camera's packets have four bytes more, so that every 188th byte may be anything."""
    data = write_clip(tmp_path / "clip.ts", frames=40, size=(320, 240)).read_bytes()
    packets = [data[i : i + 188] for i in range(0, len(data), 188)]
    clip = tmp_path / "clip.m2ts"
    clip.write_bytes(b"".join(t.to_bytes(4, "big") + p for t, p in enumerate(packets)))
    assert not is_scrambled(str(clip), "mpegts")
    clip.write_bytes(b"".join(bytes(4) + p[:3] + bytes([p[3] | 0xC0]) + p[4:] for p in packets))
    assert is_scrambled(str(clip), "mpegts")


def test_encrypted_sound_is_not_copied_without_its_key(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", audio="aac")
    info = open_clip(str(clip)).info
    locked = replace(info, streams=tuple(replace(s, encrypted=True) for s in info.streams))
    spec = choose_encoder(locked, str(tmp_path / "out.mp4"), EncoderOptions(), [])
    with pytest.raises(MediaError, match=r"#1 audio aac \(und\) is encrypted: decrypt the file first, or add --drop"):
        plan_streams(locked, spec, drop=False, notes=[])
    notes: list[str] = []
    (plan,) = plan_streams(locked, spec, drop=True, notes=notes)
    assert plan.action == "drop"
    assert notes == ["#1 audio aac (und) is encrypted: it is dropped"]

"""HEIF pictures made of tiles, drawn box by box (ISO/IEC 23008-12)."""

import io
import struct
from pathlib import Path

import av
import pytest

from support.clips import write_clip
from vremove_cli.errors import MediaError
from vremove_cli.media.read import open_clip

_SIDE = 64  # pixels of a tile


def box(kind: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind.encode()) + body


def full(kind: str, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def tile(path: Path) -> tuple[bytes, bytes]:
    """The configuration and the bytes of a picture in HEVC."""
    options = {
        "x265-params": "log-level=none:bframes=0"
    }  # with B-frames, x265 leaves the decoding time of one frame to chance
    clip = write_clip(path, codec="libx265", size=(_SIDE, _SIDE), frames=1, options=options)
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        return bytes(stream.codec_context.extradata or b""), bytes(next(container.demux(stream)))


def tiled_picture(folder: Path) -> Path:
    """A picture of two tiles side by side: item 1 and 2 are tiles, item 3 is the grid."""
    configuration, data = tile(folder / "tile.mp4")
    grid = struct.pack(">4B2H", 0, 0, 0, 1, 2 * _SIDE, _SIDE)
    kinds = {1: b"hvc1", 2: b"hvc1", 3: b"grid"}
    items = [full("infe", struct.pack(">HH", i, 0), kind, b"\0", version=2) for i, kind in kinds.items()]
    properties = box(
        "ipco",
        box("hvcC", configuration),
        full("ispe", struct.pack(">II", _SIDE, _SIDE)),
        full("ispe", struct.pack(">II", 2 * _SIDE, _SIDE)),
    )
    owners = struct.pack(">I", 3) + b"".join(struct.pack(">HBBB", i, 2, 1, 2) for i in (1, 2))
    owners += struct.pack(">HBB", 3, 1, 3)

    def meta(start: int) -> bytes:
        places = [(1, start, len(data)), (2, start, len(data)), (3, start + len(data), len(grid))]
        located = b"".join(struct.pack(">HHHII", i, 0, 1, at, size) for i, at, size in places)
        return full(
            "meta",
            full("hdlr", struct.pack(">I4s3I", 0, b"pict", 0, 0, 0), b"\0"),
            full("pitm", struct.pack(">H", 3)),
            full("iloc", b"\x44\x00", struct.pack(">H", 3), located),
            full("iinf", struct.pack(">H", 3), *items),
            full("iref", box("dimg", struct.pack(">4H", 3, 2, 1, 2))),
            box("iprp", properties, full("ipma", owners)),
        )

    head = box("ftyp", b"heic\0\0\0\0mif1heic")
    start = len(head) + len(meta(0)) + 8
    path = folder / "photo.heic"
    path.write_bytes(head + meta(start) + box("mdat", data, grid))
    return path


def test_a_picture_of_tiles_is_refused(tmp_path: Path) -> None:
    """FFmpeg gives each tile as a stream: the first one was taken for the picture."""
    photo = tiled_picture(tmp_path)
    with av.open(io.BytesIO(photo.read_bytes())) as container:
        assert [s.width for s in container.streams.video] == [_SIDE, _SIDE]
    with pytest.raises(MediaError, match="made of tiles"):
        open_clip(str(photo))

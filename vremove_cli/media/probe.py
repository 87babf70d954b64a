"""One pass over the input before any work: exact frame times, cuts, keyframes, and everything that must be refused."""

import math
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from vremove_cli.errors import MediaError
from vremove_cli.geometry import Orientation
from vremove_cli.media import sequence
from vremove_cli.media.clip import SEQUENCE, ClipInfo, StreamInfo
from vremove_cli.media.colour import Colour
from vremove_cli.media.pixel_format import SIBLINGS, layout_of
from vremove_cli.media.shots import CutFinder
from vremove_cli.media.timing import FrameTimes, repaired
from vremove_cli.media.truncation import cut_off

Progress = Callable[[int, int], None]
SEQUENCE_RATE = 24
_DEINTERLACE = "deinterlace it first, for example: ffmpeg -i IN -vf bwdif -crf 12 OUT.mp4"
_ONE = 1 << 16  # 1.0 in a display matrix
# Damage must surface as an error: by default FFmpeg paints over it and goes on.
STRICT = {"err_detect": "explode"}


def scan(
    path: str, *, skip_errors: bool = False, look_only: bool = False, progress: Progress | None = None
) -> ClipInfo:
    """Decode a clip once and say what it is. `progress` gets (frames done, frames expected or 0).

    Raises `MediaError` for what cannot be read or edited, with what to do about it. With `skip_errors` a frame that
    cannot be decoded repeats the one before it; with `look_only` interlaced video is only noted.
    """
    if sequence.is_sequence(path):
        return _scan_sequence(path, progress)
    if not Path(path).exists():
        raise MediaError(f"{path} does not exist", "check the path")
    try:
        with open_input(path) as container:
            return _scan_video(path, container, skip_errors, progress, look_only=look_only)
    except av.error.FFmpegError as error:
        raise unreadable(path, error) from error


def open_input(path: str) -> Any:
    """A PyAV input container; raises `MediaError` when FFmpeg does not know the file."""
    try:
        return av.open(path, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise MediaError(f"{path} cannot be opened ({error})", "check that it is a video file") from error


def unreadable(path: str, error: Exception) -> MediaError:
    """The sentence for a file that FFmpeg cannot read."""
    if isinstance(error, PermissionError) and not os.access(path, os.R_OK):
        return MediaError(f"no permission to read {path}", "change its permissions, or copy it")
    why = getattr(error, "strerror", None) or str(error)
    return MediaError(
        f"{path} cannot be read as a video ({why})",
        "it may be damaged or cut off: play it to the end, or copy it again from its source",
    )


def video_stream(container: Any, path: str) -> Any:
    """The stream to edit: the best video stream that is no cover picture; raises `MediaError` when there is none."""
    moving = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not moving:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise MediaError(f"{path} has no video in it (it holds {kinds})", "give a file with a picture")
    best = container.streams.best("video")
    return best if best in moving else moving[0]


@dataclass
class _Found:
    """What the pass over the frames collects."""

    pts: list[int | None] = field(default_factory=list)
    keyframes: list[int] = field(default_factory=list)
    packet_pts: set[int] = field(default_factory=set)
    packet_dts: list[int] = field(default_factory=list)
    errors: int = 0
    corrupt: int = 0
    first: Any = None
    duration: int = 0


def _scan_video(
    path: str, container: Any, skip_errors: bool, progress: Progress | None, *, careful: bool = False,
    look_only: bool = False,
) -> ClipInfo:  # fmt: skip
    """`careful` decodes one frame at a time: threads lose good frames next to a damaged one."""
    stream = video_stream(container, path)
    if stream.codec_context is None:
        raise MediaError(f"{path}: no decoder for its video", "convert it to h264 or ProRes first")
    if stream.metadata.get("alpha_mode") == "1":
        raise MediaError(f"{path} has an alpha channel that would be lost", "convert it to ProRes 4444 or PNG first")
    stream.thread_type = "SLICE" if careful else "AUTO"
    stream.codec_context.options = STRICT
    cuts = CutFinder()
    found = _Found()
    interlaced = False
    for frame in _decode(container, stream, found):
        _check_frame(path, frame, found)
        interlaced = interlaced or frame.interlaced_frame
        if interlaced and not look_only:
            raise MediaError(f"{path} is interlaced", _DEINTERLACE)
        cuts.add(frame)
        if frame.key_frame:
            found.keyframes.append(len(found.pts))
        found.pts.append(frame.pts)
        found.duration = frame.duration or found.duration
        if progress:
            progress(len(found.pts), stream.frames)
    if found.first is None:
        why = "is cut off: it has" if cut_off(path, container.format.name, stream) else "has"
        raise MediaError(f"{path} {why} no frame that can be decoded", "play it to check it, or copy it again")
    if skip_errors and not careful and _is_damaged(found, stream):
        with open_input(path) as again:
            return _scan_video(path, again, True, progress, careful=True, look_only=look_only)
    notes = [f"interlaced: {_DEINTERLACE}"] if interlaced else []
    _check_whole(path, container, stream, found, skip_errors, notes)
    if container.format.name == "avi" and len(found.packet_dts) >= len(found.pts):
        # Its presentation times are FFmpeg's guess: the order is all there is, so a lost frame cannot be placed.
        in_order: list[int | None] = [*sorted(found.packet_dts)[: len(found.pts)]]
        if len(found.packet_dts) > len(found.pts):
            notes.append(f"{len(found.packet_dts) - len(found.pts)} frame(s) are missing: AVI does not say which")
        found.pts, found.packet_pts, found.keyframes = in_order, set(), [0]
    times, repeats = _times(stream, found, skip_errors, notes)
    return _info(path, container, stream, found, times, cuts.cuts, repeats, notes)


def _decode(container: Any, stream: Any, found: _Found) -> Iterator[Any]:
    for packet in container.demux(stream):
        if packet.size and packet.pts is not None and not packet.is_discard:
            found.packet_pts.add(packet.pts)
        if packet.size and packet.dts is not None:
            found.packet_dts.append(packet.dts)
        try:
            yield from packet.decode()
        except av.error.EOFError:
            return
        except (av.error.InvalidDataError, av.error.UnknownError, av.error.BugError):
            found.errors += 1


def _check_frame(path: str, frame: Any, found: _Found) -> None:
    if found.first is None:
        found.first = frame
        layout = layout_of(SIBLINGS.get(frame.format.name, frame.format.name))
        if layout.model == "yuv":
            colour_of(frame).luma_weights(frame.height)
    same = (frame.width, frame.height, frame.format.name) == (
        found.first.width,
        found.first.height,
        found.first.format.name,
    )
    if not same:
        raise MediaError(
            f"{path} changes its size or pixel format at frame {len(found.pts)}",
            "cut it there and erase the parts apart",
        )
    found.corrupt += bool(frame.is_corrupt)


def _check_whole(path: str, container: Any, stream: Any, found: _Found, skip_errors: bool, notes: list[str]) -> None:
    """Refuse a file that ends early or has frames that cannot be decoded, unless the user said to skip them."""
    advice = "copy it again, or add --skip-errors to go on with what can be read"
    if cut_off(path, container.format.name, stream):
        problem = f"{path} is cut off: it ends after {len(found.pts)} frames, before its header says it does"
    elif _is_damaged(found, stream):
        problem = f"{path} has {max(found.errors, len(_lost(found)), found.corrupt)} damaged frame(s)"
    else:
        return
    if not skip_errors:
        raise MediaError(problem, advice)
    notes.append(f"{problem}; where a frame cannot be decoded, the one before it is shown again")


def _lost(found: _Found) -> list[int]:
    """Times of packets that gave no frame, after the first one that did.

    What comes before it is no loss: a recording that starts between keyframes, pictures that lead an open group.
    """
    seen = {p for p in found.pts if p is not None}
    return sorted(p for p in found.packet_pts - seen if p > min(seen, default=0))


def _is_damaged(found: _Found, stream: Any) -> bool:
    """Whether frames are missing or broken. VP8 has packets that show nothing, so there only errors count."""
    silent = stream.codec_context.name in ("vp8", "libvpx")
    return bool(found.errors or found.corrupt or (not silent and _lost(found)))


def _times(stream: Any, found: _Found, skip_errors: bool, notes: list[str]) -> tuple[FrameTimes, tuple[int, ...]]:
    step = found.duration
    if not step:
        rate = stream.average_rate or Fraction(25)
        step = max(1, round(1 / (rate * stream.time_base)))
    seen = {p for p in found.pts if p is not None}
    lost = _lost(found) if skip_errors and _is_damaged(found, stream) else []
    raw: list[int | None] = list(found.pts)
    pts = sorted([*seen, *lost]) if lost else repaired(raw, step)
    if not lost and pts != raw:
        notes.append("some frames had no time of their own or one already taken; they were spaced evenly")
    missing = set(lost)
    repeats = tuple(i for i, p in enumerate(pts) if p in missing)
    return FrameTimes(tuple(pts), stream.time_base, step), repeats


def _info(
    path: str,
    container: Any,
    stream: Any,
    found: _Found,
    times: FrameTimes,
    cuts: tuple[int, ...],
    repeats: tuple[int, ...],
    notes: list[str],
) -> ClipInfo:
    frame, context = found.first, stream.codec_context
    matrix = _display_matrix(frame, path)
    hdr, dynamic = _hdr(frame)
    others = tuple(_stream_info(s) for s in container.streams if s.index != stream.index)
    # A seek is by the container's own times: where they were repaired or frames put in, reading starts at the first.
    keyframes = tuple(found.keyframes) if list(times.pts) == found.pts else (0,)
    return ClipInfo(
        path=str(path),
        container=container.format.name,
        codec=context.codec.canonical_name,
        profile=str(context.profile or ""),
        tag=context.codec_tag.strip("\0 "),
        width=frame.width,
        height=frame.height,
        pix_fmt=frame.format.name,
        edit_fmt=SIBLINGS.get(frame.format.name, frame.format.name),
        colour=colour_of(frame),
        matrix=matrix,
        aspect=stream.sample_aspect_ratio or Fraction(0),
        hdr=hdr,
        dynamic_hdr=dynamic,
        stream=stream.index,
        streams=others,
        rich_tags=any(k.startswith("com.") for k in container.metadata),
        chapters=len(container.chapters()),
        times=times,
        cuts=cuts,
        keyframes=keyframes,
        repeated=repeats,
        files=(),
        file_numbers=(),
        notes=tuple(notes),
    )


def _stream_info(stream: Any) -> StreamInfo:
    if stream.type == "attachment" or stream.codec_context is None:
        codec = getattr(stream, "mimetype", None) or "unknown"
    else:
        codec = stream.codec_context.name
    picture = stream.type == "video" and bool(stream.disposition & av.stream.Disposition.attached_pic)
    return StreamInfo(stream.index, stream.type, codec, stream.metadata.get("language", ""), picture)


def colour_of(frame: Any) -> Colour:
    """Colour tags of a decoded frame."""
    codes = (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range)
    return Colour(*(int(c) for c in codes))


def _side_data(frame: Any, kind: Any) -> bytes | None:
    """Side data of a frame; None too where PyAV cannot list it because the frame carries a kind it does not know."""
    try:
        found = frame.side_data.get(kind)
    except ValueError:
        return None
    return None if found is None else bytes(found)


def _display_matrix(frame: Any, path: str) -> tuple[int, ...]:
    data = _side_data(frame, av.sidedata.sidedata.Type.DISPLAYMATRIX)
    if data is not None:
        matrix = struct.unpack("<9i", data[:36])
    elif frame.rotation:
        turn = math.radians(frame.rotation)
        a, b = round(math.cos(turn) * _ONE), round(math.sin(turn) * _ONE)
        matrix = (a, -b, 0, b, a, 0, 0, 0, 1 << 30)
    else:
        return ()
    if Orientation.from_matrix(matrix) is None:
        raise MediaError(f"{path} is to be shown at an odd angle", "turn it upright first, for example with ffmpeg")
    return matrix


def _hdr(frame: Any) -> tuple[dict[str, str], bool]:
    """Static HDR metadata as x265 writes it, and whether there is dynamic metadata that no encoder here can carry."""
    kinds = av.sidedata.sidedata.Type
    out = {}
    mastering = _side_data(frame, kinds.MASTERING_DISPLAY_METADATA)
    if mastering is not None:
        numbers = struct.unpack("<20i", mastering[:80])
        values = [Fraction(n, d or 1) for n, d in zip(numbers[::2], numbers[1::2], strict=True)]
        red, green, blue, white = ((round(values[i] * 50000), round(values[i + 1] * 50000)) for i in (0, 2, 4, 6))
        low, high = (round(v * 10000) for v in values[8:10])
        pairs = [f"{k}({x},{y})" for k, (x, y) in (("G", green), ("B", blue), ("R", red), ("WP", white))]
        out["master-display"] = "".join(pairs) + f"L({high},{low})"
    light = _side_data(frame, kinds.CONTENT_LIGHT_LEVEL)
    if light is not None:
        out["max-cll"] = "{},{}".format(*struct.unpack("<2I", light[:8]))
    dynamic = (kinds.DYNAMIC_HDR_PLUS, kinds.DOVI_METADATA, kinds.DOVI_RPU_BUFFER, kinds.DYNAMIC_HDR_VIVID)
    return out, any(_side_data(frame, k) is not None for k in dynamic)


def read_image(path: Path) -> Any:
    """The one frame of a picture file; raises `MediaError`."""
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                return frame
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        raise unreadable(str(path), error) from error
    raise MediaError(f"{path} holds no picture", "save it again as PNG")


def _scan_sequence(path: str, progress: Progress | None) -> ClipInfo:
    found = sequence.find(path)
    cuts = CutFinder()
    first = None
    for i, file in enumerate(found.files):
        frame = read_image(file)
        first = first or frame
        if (frame.width, frame.height, frame.format.name) != (first.width, first.height, first.format.name):
            raise MediaError(f"{file} differs from {found.files[0]} in size or pixel format", "make them alike first")
        cuts.add(frame)
        if progress:
            progress(i + 1, len(found.files))
    assert first is not None
    edit = SIBLINGS.get(first.format.name, first.format.name)
    layout_of(edit)
    notes = [f"the sequence skips {found.gaps} number(s); the files keep theirs"] if found.gaps else []
    count = len(found.files)
    return ClipInfo(
        path=str(path), container=SEQUENCE, codec=_image_codec(found.files[0]), profile="", tag="",
        width=first.width, height=first.height, pix_fmt=first.format.name, edit_fmt=edit, colour=colour_of(first),
        matrix=_display_matrix(first, path), aspect=Fraction(0), hdr={}, dynamic_hdr=False, stream=0, streams=(),
        rich_tags=False,
        chapters=0, times=FrameTimes(tuple(range(count)), Fraction(1, SEQUENCE_RATE), 1), cuts=cuts.cuts,
        keyframes=tuple(range(count)), repeated=(), files=tuple(str(f) for f in found.files),
        file_numbers=found.numbers, notes=tuple(notes),
    )  # fmt: skip


def _image_codec(path: Path) -> str:
    with av.open(str(path)) as container:
        return str(container.streams.video[0].codec_context.codec.canonical_name)

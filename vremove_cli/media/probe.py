"""Scan a clip in one pass before any work: frame times, cuts, keyframes, tags, and whether it can be edited.

Every frame is decoded once, so that damage, a change of size or a wrong time is found before hours of work.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from vremove_cli import threads
from vremove_cli.errors import MediaError
from vremove_cli.media import sequence
from vremove_cli.media.clip import ClipInfo, StreamInfo
from vremove_cli.media.container import STRICT, codec_name, codec_tag, open_input, unreadable, video_stream
from vremove_cli.media.encryption import encrypted, has_key, is_encrypted, is_scrambled
from vremove_cli.media.frame_metadata import colour_of, display_matrix, has_dynamic_hdr, side_data_kinds, static_hdr
from vremove_cli.media.image_probe import scan_sequence
from vremove_cli.media.limits import refuse_small_address_space
from vremove_cli.media.packet_times import VideoTimes
from vremove_cli.media.pixel_format import SIBLINGS, layout_of
from vremove_cli.media.shots import CutDetector
from vremove_cli.media.shown_pictures import codec_of, delimits, shows_picture
from vremove_cli.media.timecode import parse_timecode
from vremove_cli.media.timing import FrameTimes, TimeList, are_fields, lost_times, repaired
from vremove_cli.media.truncation import is_truncated

Progress = Callable[[int, int], None]  # frames done, frames expected (0 where the file does not say)
_UNKNOWN_DATA = "bin_data"  # FFmpeg's name of any data
_UNKNOWN_RATE = Fraction(25)  # frames a second where neither the frames nor the stream say
_DEINTERLACE = "deinterlace it first, for example: ffmpeg -i IN -vf bwdif -crf 12 OUT.mp4"


def scan(
    path: str, *, skip_errors: bool = False, allow_interlaced: bool = False, progress: Progress | None = None
) -> ClipInfo:
    """Decode a clip once and describe it.

    Args:
        path: A video file, an image, a folder of images or a pattern such as `shot.%04d.png`.
        skip_errors: Whether a frame that cannot be decoded repeats the one before it instead of raising an error.
        allow_interlaced: Whether interlaced video is noted instead of refused.
        progress: Called after every frame.

    Raises:
        MediaError: The clip cannot be read or edited.
    """
    refuse_small_address_space()
    if sequence.is_sequence(path):
        return scan_sequence(path, progress)
    if not Path(path).exists():
        raise sequence.missing(path)
    try:
        with open_input(path) as container:
            return _scan_video(path, container, skip_errors, progress, allow_interlaced=allow_interlaced)
    except av.error.FFmpegError as error:
        raise unreadable(path, error) from error


@dataclass
class _Scan:
    """What one pass over the frames of a video collects.

    Attributes:
        pts: Presentation time of every frame in display order, in ticks; None where it has none.
        keyframes: Indices of frames at which decoding may start.
        packet_pts: Presentation times of all packets that should give a frame.
        packet_dts: Decoding times of all packets.
        hidden_dts: Decoding times of those that show no picture.
        bytes: Bytes of all packets.
        errors: Packets that could not be decoded.
        corrupt: Frames that the decoder marked as corrupt.
        first: The first frame.
        duration: Ticks of the last frame that states its length; 0 if none does.
        interlaced: Whether a frame is interlaced.
        detector: Finds the cuts.
        clock: Moves the packets' times where they start again.
        others: Indices of other streams that have a packet.
        encrypted: Indices of streams that have an encrypted packet.
        side_data: Kinds of side data that a frame has.
        partial: Whether the file ends within a packet.
    """

    pts: TimeList = field(default_factory=TimeList)
    keyframes: list[int] = field(default_factory=list)
    packet_pts: TimeList = field(default_factory=TimeList)
    packet_dts: TimeList = field(default_factory=TimeList)
    hidden_dts: TimeList = field(default_factory=TimeList)
    bytes: int = 0
    errors: int = 0
    corrupt: int = 0
    first: av.VideoFrame | None = None
    duration: int = 0
    interlaced: bool = False
    detector: CutDetector = field(default_factory=CutDetector)
    clock: VideoTimes = field(default_factory=VideoTimes)
    others: set[int] = field(default_factory=set)
    encrypted: set[int] = field(default_factory=set)
    side_data: set[str] = field(default_factory=set)
    partial: bool = False

    def add(self, frame: av.VideoFrame, codec: str) -> None:
        """Record a decoded frame."""
        self.detector.add(frame)
        self.side_data |= side_data_kinds(frame, codec)
        if frame.key_frame:
            self.keyframes.append(len(self.pts))
        self.pts.append(frame.pts)
        self.duration = frame.duration or self.duration


def _scan_video(
    path: str,
    container: InputContainer,
    skip_errors: bool,
    progress: Progress | None,
    *,
    one_thread: bool = False,
    allow_interlaced: bool = False,
) -> ClipInfo:
    """Scan a video file; `one_thread` decodes frame by frame, because threads lose good frames near a damaged one."""
    stream = video_stream(container, path)
    _check_stream(path, stream)
    stream.thread_type = "SLICE" if one_thread else "AUTO"
    stream.codec_context.thread_count = threads.count()
    stream.codec_context.options = STRICT
    found = _decode_all(path, container, stream, progress, allow_interlaced)
    if (found.first is None or _is_damaged(found)) and _is_protected(path, container, stream, found):
        raise encrypted(path)
    if found.first is None:
        problem = "is cut off: it has" if is_truncated(path, container) else "has"
        raise MediaError(f"{path} {problem} no frame that can be decoded", "play it to check it, or copy it again")
    if skip_errors and not one_thread and _is_damaged(found):
        with open_input(path) as again:
            return _scan_video(path, again, True, progress, one_thread=True, allow_interlaced=allow_interlaced)
    notes = [f"interlaced: {_DEINTERLACE}"] if found.interlaced else []
    _check_whole(path, container, found, skip_errors, notes)
    if found.clock.restarts:
        notes.append(f"the times in the file start again {len(found.clock.restarts)} time(s): they go on instead")
    if container.format.name == "avi" and len(found.packet_dts) >= len(found.pts):
        _use_avi_order(found, notes)
    times, repeats = _times(stream, found, skip_errors, notes)
    return _video_info(path, container, stream, found, times, repeats, notes)


def _check_stream(path: str, stream: VideoStream) -> None:
    if stream.codec_context is None:
        raise MediaError(f"{path}: no decoder for its video", "convert it to h264 or ProRes first")
    if stream.metadata.get("alpha_mode") == "1":
        raise MediaError(f"{path} has an alpha channel that would be lost", "convert it to ProRes 4444 or PNG first")


def _is_protected(path: str, container: InputContainer, stream: VideoStream, found: _Scan) -> bool:
    return stream.index in found.encrypted or has_key(stream) or is_scrambled(path, container.format.name)


def _decode_all(
    path: str, container: InputContainer, stream: VideoStream, progress: Progress | None, allow_interlaced: bool
) -> _Scan:
    found = _Scan()
    for frame in _decode(container, stream, found):
        _check_frame(path, frame, found)
        found.interlaced = found.interlaced or frame.interlaced_frame
        if found.interlaced and not allow_interlaced:
            raise MediaError(f"{path} is interlaced", _DEINTERLACE)
        found.add(frame, stream.codec_context.codec.canonical_name)
        if progress:
            progress(len(found.pts), stream.frames)
    return found


def _use_avi_order(found: _Scan, notes: list[str]) -> None:
    """Replace the times of AVI frames, which FFmpeg guesses, by the order of the packets.

    The order is all that the container stores, so a lost frame cannot be placed.
    """
    lost = len(found.packet_dts) - len(found.pts)
    if lost and lost == len(found.hidden_dts):
        hidden = set(found.hidden_dts)
        found.packet_dts, lost = TimeList(d for d in found.packet_dts if d not in hidden), 0
    if lost:
        notes.append(f"{lost} frame(s) are missing: AVI does not say which")
    ordered = sorted(d for d in found.packet_dts if d is not None)
    found.pts, found.packet_pts, found.keyframes = TimeList(ordered[: len(found.pts)]), TimeList(), [0]


def _decode(container: InputContainer, stream: VideoStream, found: _Scan) -> Iterator[av.VideoFrame]:
    """Decode all frames; record the packets' times and errors in `found`."""
    codec = codec_of(stream)
    for packet in container.demux():
        if is_encrypted(packet):
            found.encrypted.add(packet.stream.index)
        # FFmpeg marks a packet of which the end is missing; in a transport stream, one that some interference broke.
        found.partial |= packet.is_corrupt and container.format.name != "mpegts"
        if packet.stream.index != stream.index:
            _note_other(packet, found)
            continue
        shows = _note_packet(packet, found, codec)
        if packet.size and delimits(codec, packet):
            continue
        try:
            yield from packet.decode()
        except av.error.EOFError:
            return
        except (av.error.InvalidDataError, av.error.UnknownError, av.error.BugError):
            found.errors += shows


def _note_other(packet: av.Packet, found: _Scan) -> None:
    """Record a packet of another stream."""
    if packet.size:
        found.others.add(packet.stream.index)
        if packet.stream.type == "audio":
            found.clock.hear(packet)


def _note_packet(packet: av.Packet, found: _Scan, codec: str) -> bool:
    """Record a packet of the edited stream; returns whether it is to give a frame."""
    found.bytes += packet.size
    found.clock.move(packet)
    shows = bool(packet.size) and shows_picture(codec, packet)
    if shows and packet.pts is not None and not packet.is_discard:
        found.packet_pts.append(packet.pts)
    if packet.size and packet.dts is not None:
        found.packet_dts.append(packet.dts)
        if not shows:
            found.hidden_dts.append(packet.dts)
    return shows


def _check_frame(path: str, frame: av.VideoFrame, found: _Scan) -> None:
    """Refuse a frame that differs from the first in size or format, and a first one that cannot be edited."""
    if found.first is None:
        found.first = frame
        layout = layout_of(SIBLINGS.get(frame.format.name, frame.format.name))
        if layout.model == "yuv":
            colour_of(frame).luma_weights(frame.height)  # raises for a matrix that is not supported
    if _shape(frame) != _shape(found.first):
        raise MediaError(
            f"{path} changes its size or pixel format at frame {len(found.pts)}",
            "split it there and erase the parts one by one",
        )
    found.corrupt += bool(frame.is_corrupt)


def _shape(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


def _check_whole(path: str, container: InputContainer, found: _Scan, skip_errors: bool, notes: list[str]) -> None:
    """Refuse a file that ends early or has frames that cannot be decoded; note it if they are to be skipped."""
    advice = "copy it again, or add --skip-errors to use the frames that can be decoded"
    if found.partial or is_truncated(path, container):
        problem = f"{path} is cut off: it ends after {len(found.pts)} frames, before its header says it does"
    elif _is_damaged(found):
        problem = f"{path} has {max(found.errors, len(_lost(found)), found.corrupt)} damaged frame(s)"
    else:
        return
    if not skip_errors:
        raise MediaError(problem, advice)
    notes.append(f"{problem}; a frame that cannot be decoded repeats the one before it")


def _lost(found: _Scan) -> list[int]:
    """Return the times of packets that gave no frame; none where a frame's two fields came in two packets."""
    lost = lost_times(found.pts, found.packet_pts)
    fields = not found.errors and not found.corrupt and are_fields(found.pts, lost)
    return [] if fields else lost.tolist()


def _is_damaged(found: _Scan) -> bool:
    """Return whether frames are missing or broken."""
    return bool(found.errors or found.corrupt or _lost(found))


def _times(
    stream: VideoStream, found: _Scan, skip_errors: bool, notes: list[str]
) -> tuple[FrameTimes, tuple[int, ...]]:
    """Return the times of all frames and the indices of those that repeat the frame before."""
    assert stream.time_base is not None  # FFmpeg gives one to every stream that it opened
    step = found.duration
    if not step or not len(found.pts.known):  # a stream without any times may give its last frames a length of one tick
        rate = stream.average_rate or _UNKNOWN_RATE
        step = max(1, round(1 / (rate * stream.time_base)))
    lost = _lost(found) if skip_errors and _is_damaged(found) else []
    pts = sorted([*found.pts.known.tolist(), *lost]) if lost else repaired(found.pts, step)
    if not lost and any(a != b for a, b in zip(pts, found.pts, strict=True)):
        notes.append("some frames had no time or the time of another frame; they were spaced evenly")
    missing = set(lost)
    repeats = tuple(i for i, p in enumerate(pts) if p in missing)
    return FrameTimes(tuple(pts), stream.time_base, step), repeats


def _video_info(
    path: str,
    container: InputContainer,
    stream: VideoStream,
    found: _Scan,
    times: FrameTimes,
    repeats: tuple[int, ...],
    notes: list[str],
) -> ClipInfo:
    frame, context = found.first, stream.codec_context
    assert frame is not None
    # A seek uses the container's own times: where they were repaired or frames inserted, reading starts at frame 0.
    as_stated = len(times.pts) == len(found.pts) and all(a == b for a, b in zip(times.pts, found.pts, strict=True))
    seekable = as_stated and not found.clock.restarts
    keyframes = tuple(found.keyframes) if seekable else (0,)
    return ClipInfo(
        path=str(path),
        container=container.format.name,
        codec=context.codec.canonical_name,
        profile=str(context.profile or ""),
        tag=codec_tag(context),
        width=frame.width,
        height=frame.height,
        pix_fmt=frame.format.name,
        edit_fmt=SIBLINGS.get(frame.format.name, frame.format.name),
        colour=colour_of(frame),
        matrix=display_matrix(frame, path, context.codec.canonical_name),
        aspect=stream.sample_aspect_ratio or Fraction(0),
        hdr=static_hdr(frame, context.codec.canonical_name),
        dynamic_hdr=has_dynamic_hdr(frame, context.codec.canonical_name),
        side_data=tuple(sorted(found.side_data)),
        stream=stream.index,
        streams=tuple(
            _stream_info(s, empty=s.index not in found.others, encrypted=s.index in found.encrypted or has_key(s))
            for s in container.streams
            if s.index != stream.index
        ),
        restarts=tuple(found.clock.restarts),
        chapters=len(container.chapters()),
        bit_rate=round(found.bytes * 8 / times.end_seconds) if times.end_seconds else 0,
        timecode=_timecode(container, stream),
        times=times,
        cuts=found.detector.cuts,
        keyframes=keyframes,
        repeated=repeats,
        files=(),
        file_numbers=(),
        notes=tuple(notes),
    )


def _timecode(container: InputContainer, stream: VideoStream) -> str:
    """Return the timecode of the first frame: the video's own, a timecode track's, or the file's; empty without one."""
    for place in (stream, *container.streams, container):
        stated = next((v for k, v in place.metadata.items() if k.lower() == "timecode"), "")
        if parse_timecode(stated):
            return stated
    return ""


def _kind_of(stream: Stream) -> str:
    """Return the name of a stream's codec; of timed data without one, such as telemetry, what its writer called it."""
    name = codec_name(stream)
    if stream.type == "data" and name in ("", _UNKNOWN_DATA):
        name = stream.metadata.get("handler_name", "").strip()
    return name or "unknown"


def _stream_info(stream: Stream, *, empty: bool, encrypted: bool) -> StreamInfo:
    picture = stream.type == "video" and bool(stream.disposition & av.stream.Disposition.attached_pic)
    return StreamInfo(
        index=stream.index,
        type=stream.type,
        codec=_kind_of(stream),
        language=stream.metadata.get("language", ""),
        picture=picture,
        empty=empty and stream.type != "attachment" and not picture,
        encrypted=encrypted,
    )

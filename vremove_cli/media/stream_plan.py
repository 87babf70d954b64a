"""Decide, before any work, what happens to the streams beside the edited one, and say what the output cannot hold.

No table says what a container holds. The output's head, one picture and the first packet of every stream are written to
memory: what can be read back is what the container holds.
"""

import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

import av
from av.container import InputContainer
from av.stream import Discard, Stream

from vremove_cli.errors import MediaError
from vremove_cli.media.clip import SEQUENCE, ClipInfo, StreamInfo
from vremove_cli.media.container import codec_name, open_input
from vremove_cli.media.encoder_context import EncodeSpec, black_frame
from vremove_cli.media.lost_tags import lost_tags
from vremove_cli.media.streams import Action, StreamPlan
from vremove_cli.media.subtitles import is_mov_text, rewritten_as
from vremove_cli.media.write import open_video_file

_UNSEEN_DELAY = Fraction(3, 50)  # seconds by which sound may be late (EBU R37)
# Layers of MPEG audio share a number in mp4, and one decoder reads them all.
_MPEG_AUDIO, _LAYERS = "MPEG audio", ("mp2", "mp2float", "mp3", "mp3float")


def plan_streams(info: ClipInfo, spec: EncodeSpec, *, drop: bool, notes: list[str]) -> tuple[StreamPlan, ...]:
    """Decide what happens to every stream beside the edited one.

    Args:
        info: The clip.
        spec: The encoder's specification.
        drop: Whether a stream that the container cannot hold is dropped instead of raising an error.
        notes: Takes a sentence for every stream that is dropped and for all tags that are lost.

    Raises:
        MediaError: The container cannot hold a stream; the message names it.
    """
    if spec.container == SEQUENCE or info.is_sequence:
        if info.streams:
            notes.append("images hold no other streams: " + ", ".join(map(str, info.streams)) + " not written")
        return ()
    with open_input(info.path) as source:
        plans = [_plan(source.streams[s.index], s, spec.container) for s in info.streams]
        plans = _without_encrypted(plans, info, drop=drop, notes=notes)
        file = _trial(info, spec, plans)
        if file is None or not _holds(file, spec.container, source, plans):
            plans = _without_refused(plans, info, spec, source, drop=drop, notes=notes)
            file = _trial(info, spec, plans)
        if file is None:
            raise MediaError(f"{spec.encoder} cannot write this clip to {spec.container}", "write to .mkv")
        with _read_back(file, spec.container) as result:
            notes += lost_tags(source, result, info, spec.container, plans)
        styled = [p for p in plans if p.action == "text" and is_mov_text(source.streams[p.index])]
        notes += [f"{p.label} is rewritten as plain text: its style is lost if it has one" for p in styled]
        notes += _late_sound(plans, info, source) if spec.container == "avi" else []
    return tuple(plans)


def _plan(stream: Stream, info: StreamInfo, container: str) -> StreamPlan:
    """Return what is wanted for a stream, before it is known whether the container holds it."""
    start, time_base = stream.start_time, stream.time_base
    seconds = "" if start is None or time_base is None else str(start * time_base)
    action: Action = "copy"
    if _becomes_tag(stream):
        action = "drop"
    elif info.picture and container == "matroska":
        action = "attach"
    elif stream.type == "subtitle" and rewritten_as(info.codec, container):
        action = "text"
    return StreamPlan(info.index, action, str(info), seconds)


def _late_sound(plans: list[StreamPlan], info: ClipInfo, source: InputContainer) -> list[str]:
    """Return sentences about sound that begins after the picture, which AVI cannot say."""
    begins = info.times.pts[0] * info.times.time_base
    heard = [p for p in plans if p.action == "copy" and p.start and source.streams[p.index].type == "audio"]
    late = [(p, Fraction(p.start) - begins) for p in heard if Fraction(p.start) - begins > _UNSEEN_DELAY]
    return [f"{p.label} starts {float(delay):.2f} s after the picture, and in avi with it" for p, delay in late]


def _becomes_tag(stream: Stream) -> bool:
    """Return whether a track is written anew from a tag (its timecode) or from the chapters (their titles)."""
    return stream.type == "data" and ("timecode" in stream.metadata or stream.discard == Discard.all)


def _trial(info: ClipInfo, spec: EncodeSpec, plans: Iterable[StreamPlan]) -> bytes | None:
    """Return a file with one black picture and the first packet of each stream; None where that cannot be written."""
    file = io.BytesIO()
    try:
        with open_video_file(file, info, spec, tuple(plans)) as out:
            times = info.times
            frame = black_frame(info, out.video.pix_fmt or spec.pix_fmt)
            frame.pts, frame.time_base = times.pts[0] + out.shift, times.time_base
            out.copier.copy_first(times.pts[0] * times.time_base)
            for packet in [*out.video.encode(frame), *out.video.encode()]:
                packet.dts = packet.pts  # an encoder that is flushed so early may leave it to chance
                out.container.mux(packet)
    except (av.error.FFmpegError, MediaError, ValueError, AttributeError):
        return None
    return file.getvalue()


def _read_back(file: bytes, container: str) -> InputContainer:
    return av.open(io.BytesIO(file), format=container, metadata_errors="replace")


def _holds(file: bytes, container: str, source: InputContainer, plans: Iterable[StreamPlan]) -> bool:
    """Return whether all planned streams are found in a file, each as the codec that it was."""
    kept = [(p, source.streams[p.index]) for p in plans if p.action != "drop"]
    wanted = Counter(_kind(s, rewritten_as(codec_name(s), container) if p.action == "text" else None) for p, s in kept)
    with _read_back(file, container) as result:
        return wanted <= Counter(_kind(s) for s in result.streams)


def _kind(stream: Stream, text: str | None = None) -> tuple[str, str]:
    """Return what tells a stream from others in another file: `text` is the kind that subtitles were rewritten as."""
    if stream.type == "attachment":
        return stream.type, ""
    name = text or codec_name(stream)
    return stream.type, _MPEG_AUDIO if name in _LAYERS else name


def _without_refused(
    plans: list[StreamPlan],
    info: ClipInfo,
    spec: EncodeSpec,
    source: InputContainer,
    *,
    drop: bool,
    notes: list[str],
) -> list[StreamPlan]:
    """Return the plans in which streams that the container cannot hold are dropped.

    Raises:
        MediaError: One of them is not empty, and may not be dropped.
    """
    refused = {p.index for p in plans if p.action != "drop" and not _fits(p, info, spec, source)}
    empty = [s for s in info.streams if s.index in refused and s.empty]
    lost = [s for s in info.streams if s.index in refused and not s.empty]
    notes += [f"{s} is announced in the file and has no content: it is dropped" for s in empty]
    if lost:
        named, verb = " and ".join(map(str, lost)), "does" if len(lost) == 1 else "do"
        if not drop:
            raise MediaError(f"{named} {verb} not fit into {spec.container}", _advice(lost, plans, info, spec, source))
        notes.append(f"{named} {verb} not fit into {spec.container}: {_is_dropped(lost)}")
    return _without(plans, refused)


def _without_encrypted(plans: list[StreamPlan], info: ClipInfo, *, drop: bool, notes: list[str]) -> list[StreamPlan]:
    """Return the plans in which encrypted streams are dropped.

    Raises:
        MediaError: There is one, and it may not be dropped.
    """
    lost = [s for s in info.streams if s.encrypted]
    if lost:
        problem = f"{' and '.join(map(str, lost))} {'is' if len(lost) == 1 else 'are'} encrypted"
        if not drop:
            raise MediaError(problem, f"decrypt the file first, or {_drop_advice(lost)}")
        notes.append(f"{problem}: {_is_dropped(lost)}")
    return _without(plans, {s.index for s in lost})


def _without(plans: list[StreamPlan], indices: set[int]) -> list[StreamPlan]:
    return [replace(p, action="drop") if p.index in indices else p for p in plans]


def _is_dropped(lost: list[StreamInfo]) -> str:
    return "it is dropped" if len(lost) == 1 else "they are dropped"


def _drop_advice(lost: list[StreamInfo]) -> str:
    return f"add --drop-streams to lose {'it' if len(lost) == 1 else 'them'}"


def _fits(plan: StreamPlan, info: ClipInfo, spec: EncodeSpec, source: InputContainer) -> bool:
    file = _trial(info, spec, [plan])
    return file is not None and _holds(file, spec.container, source, [plan])


def _advice(
    lost: list[StreamInfo], plans: list[StreamPlan], info: ClipInfo, spec: EncodeSpec, source: InputContainer
) -> str:
    """Return what to do about streams that do not fit; Matroska is named only where it holds them."""
    indices, matroska = {s.index for s in lost}, replace(spec, container="matroska")
    drop = _drop_advice(lost)
    copies = [replace(p, action="copy") for p in plans if p.index in indices]
    if spec.container != "matroska" and all(_fits(p, info, matroska, source) for p in copies):
        return f"write to .mkv, or {drop}"
    return drop

"""Find the tags of a file that are lost in another one, by comparing what FFmpeg reads of both."""

from collections.abc import Iterable, Iterator

from av.container import InputContainer
from av.stream import Disposition, Stream

from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.completion import languages_of
from vremove_cli.media.streams import StreamPlan
from vremove_cli.media.tags import file_tags, stream_tags

_TIMECODE, _CREATED = "timecode", "creation_time"
# Tags that are not missed in a list: they have a sentence or a line of their own, or name the software component that
# wrote a track.
_UNNOTED = (_TIMECODE,)
_UNNOTED_OF_STREAMS = ("handler_name", _CREATED, "language")
_UNSET = "1970-01-01"  # the date of a track that has none
_UNKNOWN_LANGUAGE = ("", "und")


def lost_tags(
    source: InputContainer, result: InputContainer, info: ClipInfo, container: str, plans: Iterable[StreamPlan]
) -> list[str]:
    """Return sentences about the tags, roles and chapters of a source that a result lacks.

    Args:
        source: The source.
        result: A file with its tags and streams, as the output's container holds them.
        info: The clip.
        container: FFmpeg's name of the output's muxer.
        plans: What happens to the other streams.
    """
    lost = _lost(file_tags(source), file_tags(result))
    for stream, kept in _pairs(source, result, info, plans):
        where = f" of #{stream.index} {stream.type}"
        missing = _lost(stream_tags(stream), stream_tags(kept))
        lost += [name + where for name in missing if name.lower() not in _UNNOTED_OF_STREAMS]
        lost += [f"language {_language(stream)}{where}"] * (_language(stream) not in ("", _language(kept)))
        lost += [f"{_CREATED}{where}"] * _lost_date(source, stream, kept)
        lost += [f"role {role}{where}" for role in _roles(stream) if role not in _roles(kept)]
    notes = [f"{container} does not hold these tags, which are lost: {', '.join(lost)}"] if lost else []
    return notes + _lost_chapters(source, result, container) + _timecode(source, result, container)


def _lost(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the names of tags that are gone; some containers write names in capitals."""
    found = {k.lower() for k in after}
    return sorted(k for k in before if k.lower() not in found and k.lower() not in _UNNOTED)


def _pairs(
    source: InputContainer, result: InputContainer, info: ClipInfo, plans: Iterable[StreamPlan]
) -> Iterator[tuple[Stream, Stream]]:
    """Yield each kept stream of the source with its copy: they have the same order among those of a type."""
    indices = sorted([info.stream, *(p.index for p in plans if p.action != "drop")])
    copies: dict[str, list[Stream]] = {}
    for stream in result.streams:
        if not _is_picture(stream):
            copies.setdefault(stream.type, []).append(stream)
    for stream in (source.streams[i] for i in indices):
        if not _is_picture(stream) and copies.get(stream.type):
            yield stream, copies[stream.type].pop(0)


def _lost_date(source: InputContainer, stream: Stream, kept: Stream) -> bool:
    """Return whether a track has a date of its own, which the result's lacks; muxers give all tracks the file's."""
    date = stream.metadata.get(_CREATED, _UNSET)
    return not date.startswith(_UNSET) and date not in (source.metadata.get(_CREATED), kept.metadata.get(_CREATED))


def _is_picture(stream: Stream) -> bool:
    return stream.type == "attachment" or bool(stream.disposition & Disposition.attached_pic)


def _language(stream: Stream) -> str:
    language = str(stream.metadata.get("language", ""))
    return "" if language in _UNKNOWN_LANGUAGE else language


def _roles(stream: Stream) -> list[str]:
    """Return what a stream is for. Which one plays by default is no role: players choose where nothing is said."""
    return [str(d.name) for d in Disposition if d != Disposition.default and stream.disposition & d]


def _lost_chapters(source: InputContainer, result: InputContainer, container: str) -> list[str]:
    before, after = source.chapters(), result.chapters()
    if len(after) < len(before):
        return [f"{container} does not hold the {len(before)} chapter(s), which are lost"]
    lost = {n for b, a in zip(before, after, strict=False) for n in _lost(b["metadata"], a["metadata"])}
    if container not in ("matroska", "webm") and any(languages_of(source)):
        lost.add("language")
    names = ", ".join(sorted(lost))
    return [f"{container} does not hold these tags of chapters, which are lost: {names}"] if lost else []


def _timecode(source: InputContainer, result: InputContainer, container: str) -> list[str]:
    """Say what becomes of a timecode, which may be a track of its own."""
    stated = [s for s in source.streams if _TIMECODE in s.metadata]
    if not stated:
        return []
    first, *others = dict.fromkeys(s.metadata[_TIMECODE] for s in stated)
    found = [result, *result.streams]
    if not any(k.lower() == _TIMECODE for place in found for k in place.metadata):
        return [f"{container} does not hold the timecode {first}, which is lost"]
    kept = [f"the timecode {first} is kept as a tag"] if any(s.type == "data" for s in stated) else []
    return kept + [f"a second timecode, {other}, is lost" for other in others]

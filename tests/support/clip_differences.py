"""What a result has that differs from its source, read with PyAV alone: `python clip_differences.py SOURCE RESULT`.

Nothing of the product is imported: a fault of its reader must not hide itself. Differences are printed as a JSON list.
"""

import hashlib
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

Packets = list[tuple[Fraction | None, str]]

LEAST_PSNR = 38.0  # dB outside the edit; CRF 16 of x264 is above it, on small and noisy pictures just so
_MASK_PART = 8  # the mask is an eighth of each dimension, in the middle
_REACH = 32  # pixels round the mask that growing, feathering and the encoder may change
_LOSSLESS = ("ffv1", "png", "apng", "tiff", "bmp", "huffyuv", "ffvhuff", "utvideo", "qtrle", "rawvideo", "v210", "dpx")
# Tags that describe a file's encoding and not its content.
_ENCODING_TAGS = {"encoder", "duration", "number_of_frames", "number_of_bytes", "bps", "vendor_id"}
_ENCODING_TAGS |= {"major_brand", "minor_version", "compatible_brands"}
# Values of FLV's onMetaData that describe the file; FFmpeg shows them as tags.
_ENCODING_TAGS |= {"hasaudio", "hasvideo", "hasmetadata", "haskeyframes", "datasize", "videosize", "audiosize"}
_ENCODING_TAGS |= {
    "lasttimestamp",
    "lastkeyframetimestamp",
    "lastkeyframelocation",
    "cankeyframesseek",
    "metadatacreator",
}
_ENCODING_TAGS |= {"canseektoend"}
_PICTURES = re.compile(r"image2|\w+_pipe")  # FFmpeg's demuxers of picture files
_NO_SIDE_DATA = ("png", "apng")  # PyAV 18 crashes on colour profiles with a name
_ENCODERS_OWN = ("SEI_UNREGISTERED", "VIDEO_ENC_PARAMS", "REGIONS_OF_INTEREST")  # side data about an encoding
_LIMITED = 1  # AVCOL_RANGE_MPEG
_EMPTY_TEXT = b"\0\0"  # mov_text between two lines


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was.

    Attributes:
        topic: What it is about: "frames", "times", "pixels", "streams", "tags" ...
        text: The values before and after.
    """

    topic: str
    text: str


@dataclass
class Facts:
    """What a file says of itself, apart from its pictures.

    Attributes:
        values: Single values by topic.
        tags: Tags by "place.name", in lower case.
        chapters: Start, end and title of each.
        packets: Time and digest of every packet of each other stream, by "type codec number".
    """

    values: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    chapters: list[tuple[Fraction, Fraction, str]] = field(default_factory=list)
    packets: dict[str, Packets] = field(default_factory=dict)


def facts_of(path: Path) -> Facts:
    """Read everything but the pictures."""
    found = Facts()
    with av.open(str(path), metadata_errors="replace") as container:
        video = _main_video(container)
        found.values |= {
            "container": _PICTURES.sub("picture", container.format.name),
            "codec": video.codec_context.codec.canonical_name,
        }
        found.values |= {"aspect": video.sample_aspect_ratio or Fraction(1), "disposition": video.disposition.name}
        found.tags |= _tags("file", container.metadata) | _tags("video", video.metadata)
        # FFmpeg gives a HEIC picture of tiles as one stream a tile; the product that edits one has lost the others.
        if video.disposition & av.stream.Disposition.dependent:
            found.values["size: one tile of"] = len(container.streams.video)
        for chapter in container.chapters():
            base = chapter["time_base"] or Fraction(1)
            title = str(chapter["metadata"].get("title", ""))
            found.chapters.append((chapter["start"] * base, chapter["end"] * base, title))
        names: dict[int, str] = {}
        for stream in container.streams:
            # A timecode track becomes a tag, and tags are compared.
            if stream.index != video.index and not (stream.type == "data" and "timecode" in stream.metadata):
                names[stream.index] = _stream_name(stream, names)
                found.packets[names[stream.index]] = _attachment(stream)
                found.tags |= _tags(names[stream.index], stream.metadata)
        wanted = [s for s in container.streams if s.index in names and s.type != "attachment"]
        for packet in container.demux(wanted) if wanted else ():
            data = bytes(packet)
            if data and data != _EMPTY_TEXT:
                time = None if packet.pts is None else packet.pts * packet.time_base
                found.packets[names[packet.stream.index]].append((time, _digest(data)))
    found.values |= _picture_tags(path)
    return found


def _picture_tags(path: Path) -> dict[str, Any]:
    """What picture files say beside their pictures, which FFmpeg does not show."""
    try:
        with Image.open(path) as image:
            said = {**image.info, "orientation": image.getexif().get(0x0112, 1)}
            pages = getattr(image, "n_frames", 1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return {}
    if str(said.get("comment", b"")).startswith("b'Lavc"):
        del said["comment"]  # the encoder's name
    kinds = ("icc_profile", "dpi", "gamma", "chromaticity", "loop", "comment", "xmp", "exif", "orientation")
    return {"frames: pages": pages, **{f"picture tags: {kind}": _brief(said.get(kind)) for kind in kinds}}


def _brief(value: Any) -> Any:
    return f"{len(value)} bytes {_digest(value)[:8]}" if isinstance(value, bytes) else value


def _main_video(container: Any) -> Any:
    """The stream that is edited: the best one that is no cover art."""
    moving = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    best = container.streams.best("video")
    return best if best in moving else moving[0]


def _stream_name(stream: Any, names: dict[int, str]) -> str:
    codec = stream.codec_context.name if stream.codec_context else "unknown"
    kind = f"{stream.type} {codec}"
    if stream.type == "data":
        kind += f" {stream.metadata.get('handler_name', '').strip()}"
    return f"{kind} {sum(n.startswith(kind) for n in names.values())}"


def _attachment(stream: Any) -> Packets:
    return [(None, _digest(bytes(stream.data)))] if stream.type == "attachment" else []


def _tags(place: str, metadata: dict[str, str]) -> dict[str, str]:
    kept = {k.lower(): v for k, v in metadata.items() if not k.startswith("_STATISTICS")}
    kept = {k: v for k, v in kept.items() if k not in _ENCODING_TAGS and not v.startswith("Lavf") and v != "und"}
    return {f"{place}.{k}": v for k, v in kept.items()}


def _digest(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def frames_of(path: Path) -> Iterator[av.VideoFrame]:
    """Decode the edited stream; packets that cannot be decoded are skipped."""
    with av.open(str(path), metadata_errors="replace") as container:
        for packet in container.demux(_main_video(container)):
            try:
                yield from packet.decode()
            except (av.error.EOFError, av.error.InvalidDataError):
                continue


@dataclass
class Pictures:
    """What the frames of both files say, collected in one pass."""

    times: tuple[list[Fraction | None], list[Fraction | None]] = field(default_factory=lambda: ([], []))
    side_data: tuple[Counter[str], Counter[str]] = field(default_factory=lambda: (Counter(), Counter()))
    worst: float = 0.0  # mean squared difference of the worst frame outside the edit, of a peak of 1
    total: float = 0.0
    compared: int = 0


def differences(source: Path, result: Path) -> list[Difference]:
    """Everything in the result that differs from the source and lies outside the edit."""
    before, after = facts_of(source), facts_of(result)
    found: list[Difference] = []
    seen = _compare_frames(source, result, before, after, found)
    for name, value in before.values.items():
        if value is not None and _differs(name, value, after):
            topic, _, detail = name.partition(": ")
            found.append(Difference(topic, f"{detail} {value} -> {after.values.get(name)}".strip()))
    shift = _compare_times(seen, found)
    _compare_pixels(seen, before.values["codec"], after.values["codec"], found)
    _compare_streams(before, after, shift, found)
    moved = [(start + shift, end + shift, title) for start, end, title in before.chapters]
    if moved != after.chapters:
        found.append(Difference("chapters", f"{_short(moved)} -> {_short(after.chapters)}"))
    changed = {k: (v, after.tags.get(k)) for k, v in before.tags.items() if after.tags.get(k) != v}
    changed = {k: pair for k, pair in changed.items() if not _is_same_date(k, pair[0], after)}
    for name, (old, new) in changed.items():
        found.append(Difference("tags", f"{name}: {old[:40]!r} -> {None if new is None else new[:40]!r}"))
    return found


def _is_same_date(name: str, old: str, after: Facts) -> bool:
    """Whether a date is that of no day, or the result's, which a track may have from its file."""
    dates = {re.sub(r"[T ]|\.0+|Z", "", after.tags.get(k, "")) for k in (name, "file.creation_time")}
    return name.endswith(".creation_time") and (old.startswith("1970") or re.sub(r"[T ]|\.0+|Z", "", old) in dates)


def _differs(name: str, value: Any, after: Facts) -> bool:
    """Whether a value was lost; a video lacks what only picture files have."""
    only_pictures = name.startswith(("picture tags", "frames: pages"))
    return bool(after.values.get(name, value if only_pictures else None) != value)


def _compare_frames(source: Path, result: Path, before: Facts, after: Facts, found: list[Difference]) -> Pictures:
    seen = Pictures()
    for old, new in zip_longest(frames_of(source), frames_of(result)):
        for i, (frame, facts) in enumerate(((old, before), (new, after))):
            if frame is not None:
                if not seen.times[i]:
                    facts.values |= _look_of(frame)
                seen.times[i].append(None if frame.pts is None else frame.pts * frame.time_base)
                if facts.values["codec"] not in _NO_SIDE_DATA:
                    seen.side_data[i].update(_side_data(frame))
        if old is not None and new is not None and (old.width, old.height) == (new.width, new.height):
            squared = _squared_difference(old, new)
            seen.worst, seen.total = max(seen.worst, squared), seen.total + squared
            seen.compared += 1
    counts = tuple(map(len, seen.times))
    if counts[0] != counts[1]:
        found.append(Difference("frames", f"{counts[0]} -> {counts[1]}"))
    for kind in sorted(set(seen.side_data[0]) - set(_ENCODERS_OWN)):
        if seen.side_data[1][kind] < seen.side_data[0][kind]:
            found.append(Difference("side data", f"{kind}: {seen.side_data[0][kind]} -> {seen.side_data[1][kind]}"))
    return seen


def _look_of(frame: av.VideoFrame) -> dict[str, Any]:
    colour = {n: int(getattr(frame, n)) for n in ("color_range", "color_primaries", "color_trc", "colorspace")}
    colour["color_range"] = colour["color_range"] or _LIMITED  # what players take where nothing is said
    size = f"{frame.width}x{frame.height}"
    colours = "/".join(map(str, colour.values()))
    return {"size": size, "pixel format": frame.format.name, "rotation": frame.rotation, "colour": colours}


def _side_data(frame: av.VideoFrame) -> list[str]:
    try:
        return [str(data.type.name) for data in frame.side_data]
    except ValueError:  # a kind that PyAV has no name for
        return ["UNNAMED"]


def _squared_difference(old: av.VideoFrame, new: av.VideoFrame) -> float:
    """The mean squared difference outside the edit, of a peak of 1."""
    if old.format.name != new.format.name or not _is_planar(old):
        wide = "gbrap16le" if max(c.bits for c in old.format.components) > 8 else "gbrap"
        old, new = old.reformat(format=wide), new.reformat(format=wide)
    bits = old.format.components[0].bits
    total, count = 0.0, 0
    alpha = _samples(old.planes[-1], bits)
    for a, b in zip(old.planes, new.planes, strict=True):
        outside = np.ones((a.height, a.width), bool)
        reach = [n // (2 * _MASK_PART) + _REACH for n in outside.shape]
        rows, columns = (slice(max(0, n // 2 - r), n // 2 + r) for n, r in zip(outside.shape, reach, strict=True))
        outside[rows, columns] = False
        if len(old.planes) == 4 and alpha.shape == outside.shape:
            outside &= alpha > 0  # nobody sees the colours of what is transparent
        apart = _samples(a, bits)[outside] - _samples(b, bits)[outside]
        total, count = total + float(np.square(apart).sum()), count + apart.size
    return total / max(1, count) / (2**bits - 1) ** 2


def _is_planar(frame: av.VideoFrame) -> bool:
    bits = [c.bits for c in frame.format.components]
    return len(frame.planes) == len(bits) and min(bits) >= 8 and max(bits) <= 16


def _samples(plane: Any, bits: int) -> np.ndarray:
    kind = np.dtype(np.uint8 if bits <= 8 else "<u2")
    rows = np.frombuffer(plane, np.uint8).reshape(-1, abs(plane.line_size))[: plane.height]
    return np.ascontiguousarray(rows[:, : plane.width * kind.itemsize]).view(kind).astype(np.float32)


def _compare_times(seen: Pictures, found: list[Difference]) -> Fraction:
    """Compare the times of all frames; gives the seconds by which the result as a whole is later."""
    pairs = [(a, b) for a, b in zip(*seen.times, strict=False) if a is not None and b is not None]
    if not pairs:
        return Fraction(0)
    shift = pairs[0][1] - pairs[0][0]
    wrong = [i for i, (a, b) in enumerate(pairs) if b - a != shift]
    if wrong:
        a, b = pairs[wrong[0]]
        largest = max(abs(float(y - x - shift)) for x, y in pairs)
        text = f"{len(wrong)} frames, first {wrong[0]}: {a} s -> {b - shift} s, at most {largest:.4g} s"
        found.append(Difference("times", text))
    if shift and pairs[0][0] >= 0:  # many containers have no negative times
        found.append(Difference("start", f"{pairs[0][0]} s -> {pairs[0][1]} s"))
    return shift


def _compare_pixels(seen: Pictures, codec: str, new_codec: str, found: list[Difference]) -> None:
    mean = seen.total / max(1, seen.compared)
    if codec in _LOSSLESS and new_codec in _LOSSLESS and seen.worst:
        found.append(Difference("pixels", f"not equal: {_psnr(seen.worst):.1f} dB in the worst frame"))
    elif mean and _psnr(mean) < LEAST_PSNR:
        found.append(Difference("pixels", f"{_psnr(mean):.1f} dB, {_psnr(seen.worst):.1f} dB in the worst frame"))


def _psnr(squared: float) -> float:
    return -10 * math.log10(squared)


def _compare_streams(before: Facts, after: Facts, shift: Fraction, found: list[Difference]) -> None:
    for name, packets in before.packets.items():
        if name not in after.packets:
            found.append(Difference("streams", f"{name} ({len(packets)} packets) is lost"))
            continue
        have = after.packets[name]
        if len(have) != len(packets):
            found.append(Difference("streams", f"{name}: {len(packets)} -> {len(have)} packets"))
        elif [d for _, d in have] != [d for _, d in packets]:
            found.append(Difference("streams", f"{name}: the bytes of packets differ"))
        times = [(a, b) for (a, _), (b, _) in zip(packets, have, strict=False)]
        apart = [float(b - a - shift) for a, b in times if a is not None and b is not None]
        if any(apart):
            found.append(Difference("streams", f"{name}: moved against the video by up to {max(apart, key=abs):.4g} s"))
    for name in sorted(set(after.packets) - set(before.packets)):
        found.append(Difference("streams", f"{name} is new"))


def _short(chapters: list[tuple[Fraction, Fraction, str]]) -> str:
    return f"{len(chapters)}: " + ", ".join(f"{float(a):g}-{float(b):g} {t}" for a, b, t in chapters[:3])


if __name__ == "__main__":
    print(json.dumps([asdict(d) for d in differences(Path(sys.argv[1]), Path(sys.argv[2]))]))

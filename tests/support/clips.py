"""Clips made by code: a textured background, a patterned square that moves over it, and everything around them."""

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

Picture = Callable[[int, int, int], np.ndarray]
Frames = list[tuple[np.ndarray, ...]]


def background(width: int, height: int) -> np.ndarray:
    """A smooth, colourful texture, (H, W, 3) uint8, the same every time."""
    return _background(width, height).copy()


@cache
def _background(width: int, height: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    coarse = rng.uniform(50, 200, (max(3, height // 12), max(3, width // 12), 3)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 16, 235).astype(np.uint8)


def square(t: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Where the moving square is at frame t: x0, y0, x1, y1."""
    side = max(6, height // 4)
    x = 4 + t * max(2, side // 3) % max(1, width - side - 8)
    y = height // 2 - side // 2
    return x, y, x + side, y + side


def scene(t: int, width: int, height: int) -> np.ndarray:
    """The background with the square on it, (H, W, 3) uint8."""
    out = background(width, height)
    x0, y0, x1, y1 = square(t, width, height)
    out[y0:y1, x0:x1] = (230, 30, 40)
    out[y0 + 2 : y1 - 2 : 3, x0 + 1 : x1 - 1] = (250, 220, 40)
    return out


def empty_scene(t: int, width: int, height: int) -> np.ndarray:
    """The scene without the square."""
    return background(width, height)


def mask_of(t: int, width: int, height: int) -> np.ndarray:
    """The square's mask, (H, W) uint8."""
    out = np.zeros((height, width), np.uint8)
    x0, y0, x1, y1 = square(t, width, height)
    out[y0:y1, x0:x1] = 255
    return out


def write_clip(
    path: Path,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (96, 64),
    frames: int = 10,
    pts: list[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    rotation: int = 0,
    audio: str | None = None,
    subtitle: str | None = None,
    chapters: bool = False,
    colour: tuple[int, int, int, int] = (1, 1, 1, 1),
    options: dict[str, str] | None = None,
    picture: Picture = scene,
    metadata: dict[str, str] | None = None,
    before_mux: Callable[[object], None] | None = None,
) -> Path:
    """Encode `frames` pictures at `pts` (ticks of `time_base`), with the streams asked for."""
    width, height = size
    times = pts if pts is not None else list(range(frames))
    ticks = str(time_base.denominator)
    muxing = {"video_track_timescale": ticks, "movie_timescale": ticks} if path.suffix in (".mp4", ".mov") else {}
    if path.suffix == ".ts":
        muxing = {"mpegts_copyts": "1", "avoid_negative_ts": "disabled"}
    with av.open(str(path), "w", options=muxing) as container:
        container.metadata.update(metadata or {})
        quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        video = container.add_stream(codec, rate=25, options={**quiet, **(options or {})})
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        video.time_base = video.codec_context.time_base = time_base
        context = video.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = colour
        if rotation:
            video.set_display_rotation(rotation)
        sound = _add_audio(container, audio) if audio else None
        text = _add_subtitle(container, subtitle) if subtitle else None
        if chapters:
            container.set_chapters(
                [
                    {"id": 1, "start": 0, "end": 100, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}},
                    {"id": 2, "start": 100, "end": 300, "time_base": Fraction(1, 1000), "metadata": {"title": "two"}},
                ]
            )
        if before_mux:
            before_mux(container)
        for t, when in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(t, width, height), "rgb24")
            full = 2 if colour[3] == 2 or "yuvj" in pix_fmt or "rgb" in pix_fmt or "gbr" in pix_fmt else 1
            frame = frame.reformat(format=pix_fmt, dst_colorspace="ITU709", dst_color_range=full)
            frame.pts, frame.time_base = when, time_base
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound is not None:
            _write_sound(container, sound, float((times[-1] - times[0] + 1) * time_base))
        if text is not None:
            _write_text(container, text, subtitle or "")
    return path


def _add_audio(container: Any, codec: str) -> Any:
    sound = container.add_stream(codec, rate=48000)
    sound.layout = "stereo"
    return sound


def _write_sound(container: Any, sound: Any, seconds: float) -> None:
    size = sound.codec_context.frame_size or 1024
    rng = np.random.default_rng(1)
    kind = sound.codec_context.format.name
    for start in range(0, max(size, int(seconds * 48000)), size):
        wave = rng.uniform(-0.2, 0.2, (2, size)).astype(np.float32)
        if not kind.endswith("p"):  # all channels in one plane
            wave = wave.T.reshape(1, -1)
        samples = wave
        if kind.startswith("s"):
            depth = np.int32 if "32" in kind else np.int16
            samples = (wave * np.iinfo(depth).max).astype(depth)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), kind, "stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        container.mux(sound.encode(frame))
    container.mux(sound.encode())


def _add_subtitle(container: Any, codec: str) -> Any:
    text = container.add_mux_stream(codec)
    text.time_base = Fraction(1, 1000)
    text.metadata["language"] = "eng"
    return text


def _write_text(container: Any, text: Any, codec: str) -> None:
    for start, words in ((0, "first line"), (150, "second line")):
        data = words.encode()
        if codec == "mov_text":
            data = len(data).to_bytes(2, "big") + data
        packet = av.Packet(data)
        packet.stream = text
        packet.pts = packet.dts = start
        packet.duration, packet.time_base = 100, Fraction(1, 1000)
        container.mux(packet)


def write_sequence(
    folder: Path, *, suffix: str = ".png", pix_fmt: str = "rgb24", frames: int = 10, first: int = 1001,
    size: tuple[int, int] = (96, 64), picture: Picture = scene,
) -> Path:  # fmt: skip
    """Numbered pictures `shot.1001.png` and on; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder = {".png": "png", ".tif": "tiff", ".jpg": "mjpeg"}[suffix]
    for t in range(frames):
        context = av.CodecContext.create(encoder, "w")
        context.width, context.height = size
        context.pix_fmt, context.time_base = pix_fmt, Fraction(1, 24)
        if encoder == "mjpeg":
            context.options = {"flags": "+qscale", "global_quality": "236", "qmin": "1"}
        frame = av.VideoFrame.from_ndarray(picture(t, *size), "rgb24").reformat(format=pix_fmt)
        frame.pts = 0
        data = b"".join(bytes(p) for p in [*context.encode(frame), *context.encode()])
        (folder / f"shot.{first + t}{suffix}").write_bytes(data)
    return folder


def write_masks(folder: Path, *, frames: int = 10, size: tuple[int, int] = (96, 64), start: int = 0) -> Path:
    """The square's masks as PNG files; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(frames):
        cv2.imwrite(str(folder / f"{start + t:04d}.png"), mask_of(t, *size))
    return folder


def packets_of(path: Path | str, kind: str) -> list[tuple[Fraction | None, bytes]]:
    """(time in seconds, bytes) of every packet of all streams of a kind."""
    with av.open(str(path)) as container:
        streams = [s for s in container.streams if s.type == kind and s.codec_context is not None]
        if not streams:
            return []
        return [
            (None if p.pts is None else p.pts * p.time_base, bytes(p))
            for p in container.demux(streams)
            if p.size and (p.pts is not None or p.dts is not None)
        ]


def planes_of(path: Path | str) -> Frames:
    """The decoded components of every frame, as the tool itself sees them."""
    from vremove_cli.media.read import open_clip

    return [tuple(np.array(p) for p in f.planes()) for f in open_clip(str(path)).frames()]


def same_frames(one: Path | str, other: Path | str) -> bool:
    """Whether two files hold the same frames, to the last bit."""
    pairs = zip(planes_of(one), planes_of(other), strict=True)
    return all(np.array_equal(a, b) for frames in pairs for a, b in zip(*frames, strict=True))

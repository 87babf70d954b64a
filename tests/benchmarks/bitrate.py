"""Writes drawn clips at bit rates that were asked for, and prints the share of them that came out.

    python tests/benchmarks/bitrate.py [FRAMES ...]     default: 50 250 1000

A textured scene with noise and a moving square, 640x360 at 25 frames a second, through the tool's own encoders. The
baseline is x264 with its usual tolerance.
"""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from support.clips import scene, write_clip
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.encoder_choice import choose_encoder
from vremove_cli.media.encoder_context import EncodeSpec, configure_encoder
from vremove_cli.media.encoder_options import EncoderOptions
from vremove_cli.media.probe import scan

SIZE = (640, 360)
CODECS = {"h264": ".mp4", "hevc": ".mp4", "av1": ".mp4", "vp9": ".webm", "vp8": ".webm", "mpeg2video": ".mpg"}
RATES = (500_000, 2_000_000)  # bits a second


def pictures(frames: int) -> Iterator[np.ndarray]:
    """Yield frames (H, W, 3) uint8 with grain, as a camera has it."""
    rng = np.random.default_rng(5)
    grain = [rng.normal(0, 3, (SIZE[1], SIZE[0], 3)) for _ in range(7)]
    for t in range(frames):
        yield np.clip(scene(t, *SIZE) + grain[t % 7], 0, 255).astype(np.uint8)


def bits_a_second(info: ClipInfo, spec: EncodeSpec, frames: int) -> float:
    """Encode and return what came out."""
    context = av.CodecContext.create(spec.encoder, "w")
    configure_encoder(context, spec, info, info.times.rate)
    size = 0
    for t, picture in enumerate(pictures(frames)):
        frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=spec.pix_fmt)
        frame.pts, frame.time_base = t, 1 / info.times.rate
        size += sum(p.size for p in context.encode(frame))
    size += sum(p.size for p in context.encode(None))
    return float(size * 8 / (frames / info.times.rate))


def main() -> None:
    """Print a table."""
    counts = [int(n) for n in sys.argv[1:]] or [50, 250, 1000]
    with tempfile.TemporaryDirectory() as folder:
        clip = scan(str(write_clip(Path(folder) / "clip.mp4", size=SIZE)))
    print(f"{'encoder':24} {'Mbit/s':>7} " + " ".join(f"{n:>6}" for n in counts))
    for codec, suffix in CODECS.items():
        for rate in RATES:
            spec = choose_encoder(clip, f"a{suffix}", EncoderOptions(codec=codec, bitrate=str(rate)), [])
            tried = {spec.encoder: spec}
            if "x264-params" in spec.options:
                usual = {k: v for k, v in spec.options.items() if k != "x264-params"}
                tried["libx264, usual tolerance"] = replace(spec, options=usual)
            for name, each in tried.items():
                shares = [bits_a_second(clip, each, n) / rate for n in counts]
                print(f"{name:24} {rate / 1e6:7} " + " ".join(f"{s:6.2f}" for s in shares), flush=True)


if __name__ == "__main__":
    main()

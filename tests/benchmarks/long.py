"""Plans, works and renders clips of more and more frames, and prints processor time per frame and memory of each step.

    python tests/benchmarks/long.py [FRAMES ...]     default: 1000 10000 100000

100,000 frames have the segments of an hour of video. The frames are small, so that what is measured is what the tool
does for each segment, not for each pixel. An object crosses the picture again and again. Each step is a process of its
own; ratios are to the shortest clip.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from vremove_cli.geometry import Array

WIDTH, HEIGHT = 64, 48  # pixels
PERIOD, CROSSING = 90, 24  # frames between two crossings, and of one
STEPS = ("plan", "work", "finish")


def squares(frames: int) -> Iterator[tuple[int, int] | None]:
    """Yield left and top of the object on each frame, None where it is not there."""
    for t in range(frames):
        yield (2 * (t % PERIOD), 16) if t % PERIOD < CROSSING else None


def draw(folder: Path, frames: int) -> None:
    """Draw a clip and its mask."""
    ground = np.random.default_rng(3).integers(60, 180, (HEIGHT // 4, WIDTH // 4)).astype(np.uint8)
    ground = np.kron(ground, np.ones((4, 4), np.uint8))

    def pictures(back: Array, value: int) -> Iterator[Array]:
        for place in squares(frames):
            picture = back.copy()
            if place:
                picture[place[1] : place[1] + 12, place[0] : place[0] + 12] = value
            yield picture

    encode(folder / "clip.mkv", pictures(ground, 240), "libx264", "gray", {"preset": "ultrafast", "crf": "10"})
    encode(folder / "mask.mkv", pictures(np.zeros_like(ground), 255), "ffv1", "gray", {})


def encode(path: Path, pictures: Iterator[Array], codec: str, pix_fmt: str, options: dict[str, str]) -> None:
    """Encode gray pictures (H, W) uint8 at 25 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p" if codec == "libx264" else pix_fmt
        for t, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format=pix_fmt)
            frame.pts, frame.time_base = t, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def timed(command: list[str]) -> tuple[float, float]:
    """Run the command in a process of its own; gives seconds of all cores together and the most memory in MB."""
    with subprocess.Popen([sys.executable, "-m", "vremove_cli", *command], stdout=subprocess.DEVNULL) as process:
        _, state, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(state)
    assert process.returncode == 0, command
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    counts = [int(n) for n in sys.argv[1:]] or [1000, 10_000, 100_000]
    base: dict[str, tuple[float, float]] = {}
    print(f"{'frames':>8} {'step':8} {'s':>8} {'ms/frame':>9} {'ratio':>6} {'MB':>7} {'ratio':>6}")
    for frames in counts:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            draw(folder, frames)
            job, quiet = str(folder / "job"), ["-q", "--progress", "none"]
            commands = {
                "plan": ["plan", str(folder / "clip.mkv"), "--mask", str(folder / "mask.mkv"), "--work", job, *quiet],
                "work": ["work", job, *quiet],
                "finish": ["finish", job, "-o", str(folder / "out.mkv"), *quiet],
            }
            for step in STEPS:
                seconds, memory = timed(commands[step])
                each = 1000 * seconds / frames
                first = base.setdefault(step, (each, memory))
                row = f"{frames:8} {step:8} {seconds:8.1f} {each:9.3f} {each / first[0]:6.2f}"
                print(f"{row} {memory:7.0f} {memory / first[1]:6.2f}", flush=True)


if __name__ == "__main__":
    main()

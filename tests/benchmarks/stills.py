"""Speed and memory of single pictures: many small ones, and one of 100 megapixels.

    python tests/benchmarks/stills.py            both (about 8 minutes on two cores)
    python tests/benchmarks/stills.py --speed    photos of 640x480 a second in one process, and how its memory grows
    python tests/benchmarks/stills.py --memory   peak memory of `vremove erase` of 12000x8400, as JPEG and 16-bit PNG,
                                                 against that of decoding and encoding the same file alone

The pictures are drawn by code. A ratio compares runs of the same session on the same machine.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

LARGE = (12_000, 8_400)  # pixels
SMALL = (640, 480)
RADIUS = 0.018  # of the object, in the picture's height: it takes 0.07 % of it
_ALONE = """
import sys
from vremove_cli.media.encoder_choice import choose_encoder
from vremove_cli.media.encoder_options import EncoderOptions
from vremove_cli.media.read import open_clip
from vremove_cli.media.write import open_writer
clip = open_clip(sys.argv[1])
spec = choose_encoder(clip.info, sys.argv[2], EncoderOptions(), [])
with open_writer(sys.argv[2], clip.info, spec, (), overwrite=True) as writer:
    for frame in clip.frames():
        writer.write(frame)
"""
_COMMAND = "from vremove_cli.app import main; main()"


def draw(path: Path, size: tuple[int, int], seed: int, *, deep: bool = False) -> Path:
    """A smooth, colourful texture with a disc in its middle; `deep` in 16 bits."""
    width, height = size
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 200, (max(3, height // 60), max(3, width // 60), 3)).astype(np.uint8)
    picture = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    cv2.circle(picture, (width // 2, height // 2), max(12, round(RADIUS * height)), (20, 30, 230), -1)
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1] if path.suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 90]
    cv2.imwrite(str(path), picture.astype(np.uint16) * 257 if deep else picture, options)
    return path


def speed(folder: Path, count: int) -> None:
    from vremove_cli import erase

    photos = [draw(folder / f"{chr(97 + i % 26)}{i}x.jpg", SMALL, i) for i in range(count)]
    size, began = [], time.perf_counter()
    for i, photo in enumerate(photos):
        erase(str(photo), point=("50%,50%",))
        if i in (count // 4, count - 1):
            size.append(psutil.Process().memory_info().rss / 1e6)
    took = time.perf_counter() - began
    print(f"{count} photos of {SMALL[0]}x{SMALL[1]} in one process: {count / took:.2f} a second")
    print(f"  memory after a quarter {size[0]:.0f} MB, after all {size[1]:.0f} MB ({size[1] / size[0] - 1:+.1%})")


def peak(arguments: list[str]) -> tuple[float, float]:
    """Peak memory in MB and seconds of Python with some arguments."""
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert not process.returncode, f"exit status {process.returncode}"
    return usage.ru_maxrss / 1024, time.perf_counter() - began


def memory(folder: Path) -> None:
    for name in ("large.jpg", "large.png"):
        photo = draw(folder / name, LARGE, 1, deep=name.endswith("png"))
        alone, decoding = peak(["-c", _ALONE, str(photo), str(folder / f"plain{photo.suffix}")])
        whole, took = peak(["-c", _COMMAND, "erase", str(photo), "--point", "50%,50%", "-q"])
        print(f"{LARGE[0]}x{LARGE[1]} {name}: erase {whole:.0f} MB, decode and encode {alone:.0f} MB", flush=True)
        print(f"  ratio of memory {whole / alone:.2f}, of time {took / decoding:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--photos", type=int, default=200)
    args = parser.parse_args()
    both = not (args.speed or args.memory)
    with tempfile.TemporaryDirectory() as folder:
        if args.speed or both:
            speed(Path(folder), args.photos)
        if args.memory or both:
            memory(Path(folder))


if __name__ == "__main__":
    main()

"""How fast the page of `vremove pick` answers, in a real browser, and what memory it takes.

    python tests/benchmarks/page.py [--memory]

A click is timed from the mouse to the mask on the screen: the first one on a frame (the background around it is
modelled), the next ones on the same frame, and the first on another frame. Scrubbing is the number of frames that are
shown in a second while the clip plays faster than it can. The baseline of a click is `vremove mask` on one frame, which
starts anew each time. `--memory` requests 10,000 frames and prints the resident memory of the server on the way.
"""

import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import psutil

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from support.browser import PickPage, chromium, opened, serving
from support.clips import square, write_clip

SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080)}
FRAMES = 90
CLICKS = 6
SCRUBBED = 10_000


def middle(t: int, size: tuple[int, int]) -> tuple[float, float]:
    """The middle of the object."""
    x0, y0, x1, y1 = square(t, *size)
    return (x0 + x1) / 2, (y0 + y1) / 2


def clicked(page: PickPage, frame: int, version: int, at: tuple[float, float]) -> float:
    """Click, wait for the mask, and return the milliseconds."""
    place = page.on_screen(*at)
    began = time.perf_counter()
    page.page.mouse.click(*place)
    page.shows_masks(frame, version)
    return (time.perf_counter() - began) * 1000


def played(page: PickPage) -> float:
    """Return the frames that were shown in a second of playing."""
    page.page.focus("#timeline")
    page.page.keyboard.press("Home")
    page.page.wait_for_timeout(500)
    page.page.keyboard.press(" ")
    page.page.wait_for_timeout(3000)
    shown = int(page.page.get_attribute("#play", "data-shown") or 0)
    page.page.keyboard.press("k")
    return shown / 3


def alone(clip: Path, at: tuple[float, float]) -> float:
    """Return the milliseconds of `vremove mask` on one frame."""
    point = f"@0:{at[0]},{at[1]}"
    command = [sys.executable, "-m", "vremove_cli", "mask", str(clip), "--point", point, "--end", "1", "--overwrite"]
    began = time.perf_counter()
    subprocess.run([*command, "-o", str(clip.with_suffix(".mask.mkv"))], check=True, capture_output=True)
    return (time.perf_counter() - began) * 1000


def latency(folder: Path) -> None:
    """Print a row for each size."""
    print(f"{'':6} {'first':>7} {'next':>7} {'other frame':>12} {'shown/s':>8} {'mask, ms':>9} {'ratio':>6}")
    with chromium() as browser:
        for name, size in SIZES.items():
            # 60 frames a second: more than are shown, so that showing is the limit.
            clip = write_clip(folder / f"{name}.mp4", size=size, frames=FRAMES, time_base=Fraction(1, 60))
            with serving(clip) as address:
                page = opened(browser, address)
                first = clicked(page, 0, 1, middle(0, size))
                x, y = middle(0, size)
                nexts = [clicked(page, 0, 2 + k, (x + 2 + k, y)) for k in range(CLICKS)]
                page.page.focus("#timeline")
                page.page.keyboard.press("ArrowRight")
                page.page.wait_for_timeout(500)
                other = clicked(page, 1, 2 + CLICKS, middle(1, size))
                rate = played(page)
                page.page.close()
            baseline, usual = alone(clip, middle(0, size)), float(np.median(nexts))
            print(
                f"{name:6} {first:7.0f} {usual:7.0f} {other:12.0f} {rate:8.1f} {baseline:9.0f} {baseline / usual:6.1f}",
                flush=True,
            )


def memory(folder: Path) -> None:
    """Print the server's memory after each tenth of the frames."""
    clip = write_clip(folder / "long.mp4", size=SIZES["360p"], frames=1000)
    with serving(clip) as address:
        (server,) = psutil.Process().children()
        for n in range(SCRUBBED + 1):
            if n % (SCRUBBED // 10) == 0:
                print(f"{n:6} frames: {server.memory_info().rss / 2**20:.0f} MB", flush=True)
            with urlopen(f"{address}api/frame/{n * 7 % 1000 if n % 3000 > 2000 else n % 1000}?width=640") as answer:
                answer.read()


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as folder:
        if "--memory" in sys.argv:
            memory(Path(folder))
        else:
            latency(Path(folder))


if __name__ == "__main__":
    main()

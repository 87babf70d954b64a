"""CPU seconds a frame that a job spends beside the network of a remover: reading, preparing, restoring, encoding.

    python tests/benchmarks/beside_network.py [--frames 25] [--threads 1] [--profile PART] [--keep FOLDER]

Clips of 1280x720 and 1920x1080 are drawn by code: a textured ground that the camera pans over, with grain, and an
ellipse of about 2 % of the frame that moves. Stand-ins take the place of the removers: each has the region, the size
and the masks of the one that it is named after, and returns its input. All else is the job's own code.

Parts, each without what it calls of the others:
  read        decoding the clip, once for the remover and once for the hole, and the plate's patches
  prepare     the shot: R'G'B', resizing, masks
  difference  the difference mask
  restore     enlarging and harmonising the fill, merging it with the plate, writing the patches
  compose     blending the patches into the clip's frames, decoding both
  encode      encoding the result
One thread does all of it by default, so that what decoders and encoders do beside is counted where it is asked for.
`floor` is the time that the network needs at 650 TFLOP/s, by its FLOPs (docs/removers.md).
`--profile` prints what takes longest in a part (cProfile); `--keep` keeps the results, to compare their bytes.
"""

import argparse
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar, Literal

import cv2
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

from support.clips import write_clip
from vremove_cli import threads
from vremove_cli.job import render
from vremove_cli.job.request import Exports
from vremove_cli.job.runner import run_finish, run_plan, run_work
from vremove_cli.job.stages import fill as fill_stage
from vremove_cli.media.read import Clip
from vremove_cli.media.write import open_writer
from vremove_cli.removers import registry
from vremove_cli.removers.base import Fill, RemoverSpec, Settings, Shot, ShotInfo, Stage
from vremove_cli.removers.common.difference_mask import difference_mask
from vremove_cli.removers.common.resize import work_size

SIZES = ((1280, 720), (1920, 1080))
PARTS = ("read", "prepare", "difference", "restore", "compose", "encode")


@dataclass(frozen=True)
class Like:
    """What a stand-in shares with the remover that it is named after.

    Attributes:
        spec: Its properties.
        area: Pixels of a frame that it works at.
        differs: Whether it has a difference mask.
        floor: Seconds a frame that the network needs at 650 TFLOP/s.
    """

    spec: RemoverSpec
    area: int
    differs: bool
    floor: float


def like(name: str, area: int, floor: float, *, region: Literal["crop", "frame"], physics: bool = False) -> Like:
    spec = RemoverSpec(
        f"like-{name}", "Apache-2.0", region, multiple=16 if region == "crop" else 1, context=96,
        input="plate" if region == "crop" else "source", accepts=("size",), physics=physics,
    )  # fmt: skip
    return Like(spec, area, region == "frame", floor)


REMOVERS = (
    like("minimax", 480 * 832, 5.9 / 81, region="crop"),
    like("undereraser", 480 * 720, 11.5 / 81, region="frame"),
    like("rose", 480 * 720, 22.6 / 81, region="frame"),
    like("void", 384 * 672, 23.3 / 197, region="frame", physics=True),
)


class Clock:
    """Wall and CPU seconds by part; a part that begins inside another one stops the other's clock."""

    def __init__(self, profiled: str | None) -> None:
        self.wall, self.cpu = dict.fromkeys(PARTS, 0.0), dict.fromkeys(PARTS, 0.0)
        self._running: list[str] = []
        self._since = (0.0, 0.0)
        self._profiled, self.profile = profiled, cProfile.Profile()

    def _switch(self) -> None:
        now = time.perf_counter(), time.process_time()
        if self._running:
            self.wall[self._running[-1]] += now[0] - self._since[0]
            self.cpu[self._running[-1]] += now[1] - self._since[1]
        self._since = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._switch()
        self._running.append(name)
        profiles = name == self._profiled and self._running.count(name) == 1
        if profiles:
            self.profile.enable()
        try:
            yield
        finally:
            if profiles:
                self.profile.disable()
            self._switch()
            self._running.pop()

    def call(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return timed

    def items(self, name: str, function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Iterator[Any]:
            source, end = function(*args, **kwargs), object()
            while True:
                with self.part(name):
                    item = next(source, end)
                if item is end:
                    return
                yield item

        return timed


class TimedClip(Clip):
    clock: ClassVar[Clock]

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Any]:
        return self.clock.items("read", super().frames)(start, stop)


def timed_writer(clock: Clock) -> Callable[..., Any]:
    @contextmanager
    def opened(*args: Any, **kwargs: Any) -> Iterator[Any]:
        with ExitStack() as stack:
            with clock.part("encode"):
                writer = stack.enter_context(open_writer(*args, **kwargs))
                writer.write = clock.call("encode", writer.write)  # type: ignore[method-assign]
            yield writer
            with clock.part("encode"):
                stack.close()

    return opened


@contextmanager
def timed(clock: Clock) -> Iterator[None]:
    """Let the job's own functions be timed."""
    TimedClip.clock = clock
    changes: list[tuple[Any, str, Any]] = [
        (fill_stage, "Clip", TimedClip),
        (fill_stage, "plate_patches", clock.items("read", vars(fill_stage)["plate_patches"])),
        (fill_stage, "_shot", clock.call("prepare", vars(fill_stage)["_shot"])),
        (fill_stage, "_write_fill", clock.call("restore", vars(fill_stage)["_write_fill"])),
        (render, "edited_frames", clock.items("compose", render.edited_frames)),
        (render, "open_writer", timed_writer(clock)),
    ]
    before = [(module, name, vars(module)[name]) for module, name, _ in changes]
    try:
        for module, name, value in changes:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def stand_in(one: Like, clock: Clock) -> type:
    class StandIn:
        spec: ClassVar[RemoverSpec] = one.spec

        def __init__(self, settings: Settings) -> None:
            pass

        def stages(self, shot: ShotInfo) -> list[Stage]:
            return [Stage(f"{a:04d}", a, b) for a, b in shot.spans]

        def size(self, width: int, height: int) -> tuple[int, int]:
            return work_size(width, height, one.area, 16)

        def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
            if not one.differs:
                return Fill(shot.frames)
            with clock.part("difference"):
                return Fill(shot.frames, difference_mask(shot.frames, shot.frames, shot.erase_mask))

    return StandIn


def ground(width: int, height: int) -> np.ndarray:
    """Noise at several scales, larger than the frame, (H, W, 3) float32."""
    rng, size = np.random.default_rng(2), (width + 320, height + 80)
    total = np.full((size[1], size[0], 3), 120, np.float32)
    for cell in (8, 32, 128):
        layer = rng.normal(size=(-(-size[1] // cell), -(-size[0] // cell), 3)).astype(np.float32)
        total += 4 * cell**0.5 * cv2.resize(layer, size, interpolation=cv2.INTER_CUBIC)
    return total


def draw(folder: Path, size: tuple[int, int], frames: int) -> tuple[Path, Path]:
    """Write the clip and its masks."""
    world, rng, (w, h) = ground(*size), np.random.default_rng(3), size
    grain = rng.normal(0, 3, (h + 64, w + 64, 1)).astype(np.float32)

    def ellipse(picture: np.ndarray, t: int, colour: tuple[int, int, int]) -> np.ndarray:
        centre = (w // 4 + t * 4, round(h / 2 + h / 20 * np.sin(t / 20)))
        return cv2.ellipse(picture, centre, (w // 27, h // 7), 0, 0, 360, colour, -1)

    def picture(t: int, width: int, height: int) -> np.ndarray:
        out = ellipse(world[40 : 40 + h, 3 * t : 3 * t + w].copy(), t, (30, 60, 220))
        y, x = rng.integers(0, 64, 2)
        return np.clip(out + grain[y : y + h, x : x + w], 0, 255).astype(np.uint8)

    def mask(t: int, width: int, height: int) -> np.ndarray:
        return ellipse(np.zeros((h, w, 3), np.uint8), t, (255, 255, 255))

    clip, masks = folder / f"{w}.mp4", folder / f"{w}-mask.mkv"
    write_clip(clip, size=size, frames=frames, picture=picture, options={"preset": "veryfast", "crf": "20"})
    write_clip(masks, size=size, frames=frames, picture=mask, codec="ffv1", pix_fmt="gray")
    return clip, masks


def measure(folder: Path, clip: Path, masks: Path, one: Like, threads_used: int, profiled: str | None) -> Clock:
    """Run a job with a stand-in; its other stages are not timed."""
    clock = Clock(profiled)
    undo = registry.register(one.spec.name, stand_in(one, clock))
    job, output = folder / f"{clip.stem}-{one.spec.name}.work", folder / f"{clip.stem}-{one.spec.name}.mp4"
    try:
        run_plan(str(clip), str(output), mask=str(masks), remover=one.spec.name, recover="off", effects="auto",
                 threads=threads_used, work=str(job))  # fmt: skip
        with timed(clock):
            run_work(str(job))
            run_finish(str(job), exports=Exports(), overwrite=True)
    finally:
        undo()
    return clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--profile", choices=PARTS)
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    print(f"CPU (wall) seconds a frame, {args.frames} frames, {args.threads} of {threads.available()} threads")
    print(f"{'':22}" + "".join(f"{p:>15}" for p in (*PARTS, "sum")) + f"{'floor':>8}")
    with tempfile.TemporaryDirectory() as name:
        folder = args.keep or Path(name)
        folder.mkdir(exist_ok=True)
        for size in SIZES:
            clip, masks = draw(folder, size, args.frames)
            for one in REMOVERS:
                clock = measure(folder, clip, masks, one, args.threads, args.profile)
                both = [(clock.cpu[p] / args.frames, clock.wall[p] / args.frames) for p in PARTS]
                both.append((sum(c for c, _ in both), sum(w for _, w in both)))
                cells = "".join(f"{f'{cpu:.3f} ({wall:.3f})':>15}" for cpu, wall in both)
                print(f"{size[1]:>5}p {one.spec.name:15}{cells}{one.floor:8.3f}", flush=True)
                if args.profile:
                    pstats.Stats(clock.profile).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    main()

"""What a cluster of Ray costs: how near two workers come to twice one, and what each of a thousand clips takes.

    python tests/benchmarks/on_ray.py efficiency [--waiting] [--frames 161] [--steps 40] [--size 128x96] [--repeats 3]
    python tests/benchmarks/on_ray.py clips [--count 1000] [--only erase,export]

A real cluster of one node with 2 CPUs, and the real command in a process of its own. One thread for each task.

`efficiency`: a tiny UnderEraser on the CPU fills a drawn clip in windows of 17 frames, keyframes first. Its windows are
the tasks with a network; crossfades are not. Commands with 1 and with 2 workers take turns; the median counts.
A task's end is the time of its file in the work folder, its beginning that less its seconds. What is printed:
  command     seconds of the whole command
  fill        from the beginning of the first window to the end of the last one
  start-up    what a worker's first window takes beyond the median of all others: imports, networks into memory
  window      median seconds of a window that is not its worker's first
  between     median seconds between two windows of a worker: what the scheduler and the work folder cost
  steady      windows a second, from when all workers have done their first window until one has no more
With --waiting a step is 0.1 s of sleep, as for a process whose GPU computes: cores are free for everything else.
Efficiency of 2 workers is T1 / (2 T2). The ideal is the shortest that the graph lets 2 workers take: its windows in
order, each by the first worker that is free, with the seconds of a window, of a pause and of a start-up of 1 worker.
With start-up it is passed where a worker's start-up falls beside work that comes before.
`machine` is the efficiency of two processes that only compute, each for itself: no scheduler comes above it.

`clips`: one file of 8 frames under many names, with one mask, as one `erase --batch` on the cluster, and as one
`plan --batch --export openjd`. Memory is the client's: all, and what it shares with no file.
"""

import argparse
import contextlib
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

TESTS = Path(__file__).resolve().parents[1]
ROOT, PLUGIN = TESTS.parent, TESTS / "support/short_windows"
sys.path[:0] = [str(ROOT), str(TESTS), str(PLUGIN)]
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{PLUGIN}{os.pathsep}{ROOT}", "RAY_USAGE_STATS_ENABLED": "0"}
CPUS = 2
MEMORY = 200e9  # bytes that the node says it has: the estimate is one for networks of full size
SECONDS = 4.0  # of computing, for the machine's own efficiency
MARKS = (0.05, 0.1, 0.5, 1.0)  # shares of the clips after which memory is told
FRAMES = 8  # of each of many clips


@dataclass(frozen=True)
class Done:
    """A task that was done: seconds since the command began.

    Attributes:
        id: The task.
        began: When it began.
        ended: When its result was there.
    """

    id: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(frozen=True)
class Measured:
    """One command.

    Attributes:
        workers: How many workers it had.
        command: Its seconds.
        windows: Its windows by worker, in order.
        needs: For each window the windows that it needs.
    """

    workers: int
    command: float
    windows: list[list[Done]]
    needs: dict[str, list[str]]

    @property
    def every(self) -> list[Done]:
        return sorted((w for mine in self.windows for w in mine), key=lambda w: w.began)

    @property
    def fill(self) -> float:
        return max(w.ended for w in self.every) - self.every[0].began

    @property
    def window(self) -> float:
        return statistics.median(w.seconds for mine in self.windows for w in mine[1:])

    @property
    def start_up(self) -> float:
        return max(0.0, max(mine[0].seconds for mine in self.windows) - self.window)

    @property
    def between(self) -> float:
        return statistics.median(b.began - a.ended for mine in self.windows for a, b in pairwise(mine[1:]))

    @property
    def steady(self) -> float:
        """Windows a second; one that is under way at the limits counts by its share."""
        start, stop = max(mine[0].ended for mine in self.windows), min(mine[-1].ended for mine in self.windows)
        shares = [(min(w.ended, stop) - max(w.began, start)) / w.seconds for w in self.every]
        return sum(s for s in shares if s > 0) / (stop - start)


def ideal(measured: Measured, workers: int, *, start_up: bool) -> float:
    """Return the seconds that a number of workers need with the windows of a measured command."""
    each, first = measured.window + measured.between, measured.start_up if start_up else 0.0
    free = [(0.0, k) for k in range(workers)]
    heapify(free)
    begun: set[int] = set()
    ended: dict[str, float] = {}
    left = [w.id for w in measured.every]
    while left:
        now, worker = heappop(free)
        # The window that can begin first; of several, the first one.
        name = min(left, key=lambda w: max([now, *(ended.get(n, float("inf")) for n in measured.needs[w])]))
        left.remove(name)
        begin = max([now, *(ended[n] for n in measured.needs[name])])
        ended[name] = begin + each + (first if worker not in begun else 0.0)
        begun.add(worker)
        heappush(free, (ended[name], worker))
    return max(ended.values()) - measured.between


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """Yield the address of a cluster on this machine."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": CPUS, "memory": MEMORY, "object_store_memory": 200 << 20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=node)
    try:
        yield str(made.address)
    finally:
        made.shutdown()


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "vremove_cli", *map(str, arguments)]


def window_job(place: Path, args: argparse.Namespace) -> list[object]:
    """Draw a clip and its masks, write tiny networks, and return the arguments of a job."""
    from support.clips import write_clip, write_masks
    from support.tiny_removers import write_repos
    from support.twins import undereraser_repos

    (base,) = write_repos(place, undereraser_repos(place))
    clip = write_clip(place / "clip.mp4", frames=args.frames)
    masks = write_masks(place / "masks", frames=args.frames)
    own = {"undereraser": place / "checkpoint.safetensors", "lightx2v": place / "lightx2v.safetensors"}
    weights = [text for name, path in (*own.items(), ("wan-fun-14b", base)) for text in ("--weights", f"{name}={path}")]
    remover, size = ("waiting-windows", "48x32") if args.waiting else ("short-windows", args.size)
    how = ["--remover", remover, "--steps", args.steps, "--size", size, "--recover", "off"]
    return [clip, "--mask", masks, *how, "--threads", 1, *weights]


def run_windows(place: Path, job: list[object], address: str, workers: int) -> Measured:
    work = Path(tempfile.mkdtemp(dir=place)) / "job"
    there = ("--ray", address, "--ray-workers", workers)
    began = time.time()
    subprocess.run(
        command("erase", *job, "-o", work.with_suffix(".mp4"), "--work", work, "--keep-work", *there),
        check=True, capture_output=True,
    )  # fmt: skip
    seconds = time.time() - began
    tasks = {t["id"]: t["needs"] for t in json.loads((work / "plan.json").read_text())["tasks"]}
    names = [t for t in tasks if t.startswith("fill-") and "-join-" not in t]
    done = [finished(work / "done" / f"{name}.json", began) for name in names]
    needs = {name: [n for n in tasks[name] if n in names] for name in names}
    return Measured(workers, seconds, by_worker(done, workers), needs)


def finished(record: Path, since: float) -> Done:
    end = record.stat().st_mtime - since
    return Done(record.stem, end - json.loads(record.read_text())["seconds"], end)


def by_worker(done: list[Done], workers: int) -> list[list[Done]]:
    """Return windows by worker: each was done by the one that had ended its window last before."""
    out: list[list[Done]] = []
    for one in sorted(done, key=lambda d: d.began):
        free = [mine for mine in out if mine[-1].ended <= one.began + 0.02]
        if free:
            max(free, key=lambda mine: mine[-1].ended).append(one)
        else:
            out.append([one])
    assert len(out) <= workers, "more windows at once than workers"
    return out


def compute(seconds: float) -> int:
    """Compute as a network does, for some seconds, and return how often."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(1)
    clip, kernel = torch.randn(1, 32, 5, 48, 64), torch.randn(32, 32, 3, 3, 3)
    rounds, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        torch.nn.functional.conv3d(clip, kernel, padding=1)
        rounds += 1
    return rounds


def machine() -> float:
    """Return the efficiency of two processes that only compute."""
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(compute, [1.0, 1.0]))  # imports
        ratios = []
        for _ in range(3):
            alone = pool.submit(compute, SECONDS).result()
            ratios.append(sum(pool.map(compute, [SECONDS] * 2)) / (2 * alone))
    return statistics.median(ratios)


def efficiency(args: argparse.Namespace) -> None:
    found: dict[int, list[Measured]] = {1: [], 2: []}
    print(f"{'workers':>7} {'command':>8} {'fill':>7} {'start-up':>8} {'window':>7} {'between':>7} {'steady':>7}  load")
    with tempfile.TemporaryDirectory() as folder, cluster() as address:
        place = Path(folder)
        job = window_job(place, args)
        run_windows(place, job, address, 1)  # the first command reads every file of every library from the disk
        for _ in range(args.repeats):
            for workers, those in found.items():
                one = run_windows(place, job, address, workers)
                those.append(one)
                cells = f"{one.command:8.2f} {one.fill:7.2f} {one.start_up:8.2f} {one.window:7.3f} {one.between:7.3f}"
                print(f"{workers:7} {cells} {one.steady:7.3f}  {os.getloadavg()[0]:.1f}", flush=True)
    own = machine()

    def median(workers: int, what: str) -> float:
        return statistics.median(getattr(one, what) for one in found[workers])

    middle = sorted(found[1], key=lambda one: one.fill)[len(found[1]) // 2]
    print(f"{len(middle.every)} windows; medians of {args.repeats}")
    for what in ("command", "fill"):
        print(f"{what}: T1 / (2 T2) = {median(1, what) / (2 * median(2, what)):.3f}")
    for text, start_up in (("with a start-up of each worker", True), ("without start-up", False)):
        best = ideal(middle, 2, start_up=start_up)
        alone = ideal(middle, 1, start_up=start_up)
        reached = best / median(2, "fill")
        print(f"ideal {text}: {best:.2f} s, efficiency {alone / (2 * best):.3f}; reached {reached:.3f} of it")
    steady = median(2, "steady") / (2 * median(1, "steady"))
    slower = median(2, "window") / median(1, "window")
    print(f"steady: {steady:.3f}; a window takes {slower:.2f} times as long beside another; machine: {own:.3f}")


@dataclass(frozen=True)
class Sample:
    """Of the client, when a clip is done.

    Attributes:
        seconds: Since its start.
        memory: Bytes in memory.
        own: Bytes of those that no file or other process has.
    """

    seconds: float
    memory: int
    own: int


def draw_clips(place: Path, count: int) -> Path:
    """Draw a clip and its mask, give it many names, and return the list of jobs."""
    from support.clips import write_clip, write_masks

    first = write_clip(place / "clip.mp4", frames=FRAMES)
    mask = write_masks(place / "masks", frames=FRAMES)
    with (place / "jobs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["input", "mask"])
        for k in range(count):
            os.link(first, place / f"clip-{k:05d}.mp4")
            writer.writerow([place / f"clip-{k:05d}.mp4", mask])
    return place / "jobs.csv"


def watched(arguments: list[str], kind: str, count: int, errors: Path) -> tuple[list[Sample], dict[str, float]]:
    """Run a command that prints an object for each clip; return a sample for each, and the seconds of processors."""
    samples: list[Sample] = []
    seconds: dict[str, float] = {}
    began = time.monotonic()
    with errors.open("w") as err, subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=err, text=True) as process:
        client = psutil.Process(process.pid)
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["type"] == kind:
                used = client.memory_info()
                samples.append(Sample(time.monotonic() - began, used.rss, used.rss - used.shared))
            if len(samples) == count and not seconds:  # Ray's processes end with the client
                seconds = spent(process.pid)
    assert process.returncode == 0, errors.read_text()[-2000:]
    return samples, seconds


def clips(args: argparse.Namespace) -> None:
    print(f"{'command':8} {'clips':>6} {'s':>7} {'s/clip':>7} {'MB':>6} {'own MB':>7}")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        jobs = draw_clips(place, args.count)
        log = place / "errors"
        if "erase" in args.only:
            with cluster() as address:
                there = ("--threads", 1, "--ray", address, "--json", "--quiet")
                tell("erase", watched(command("erase", "--batch", jobs, *there), "result", args.count, log))
        if "export" in args.only:
            what = ("--export", "openjd", "--export-to", place / "farm.json", "--json", "--quiet")
            tell("export", watched(command("plan", "--batch", jobs, *what), "plan", args.count, log))


def spent(client: int) -> dict[str, float]:
    """Return seconds of processors until now: of the client, of the processes that do tasks, and of Ray's own."""
    out = {"client": 0.0, "tasks": 0.0, "Ray itself": 0.0}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            used, name = process.cpu_times(), " ".join(process.cmdline())
            kind = "client" if process.pid == client else "tasks" if name.startswith("ray::") else "Ray itself"
            out[kind] += used.user + used.system
    return out


def tell(name: str, found: tuple[list[Sample], dict[str, float]]) -> None:
    """Print memory and time at some shares of the clips."""
    samples, seconds = found
    counts = sorted({1, *(max(1, round(len(samples) * share)) for share in MARKS)})
    for count in counts:
        now = samples[count - 1]
        each = (now.seconds - samples[0].seconds) / max(1, count - 1)
        print(f"{name:8} {count:6} {now.seconds:7.1f} {each:7.3f} {now.memory / 1e6:6.0f} {now.own / 1e6:7.0f}")
    settled = samples[min(len(samples), 50) - 1]
    print(f"{name}: grows by {samples[-1].own / settled.own - 1:.1%} of its own memory after the first 50 clips")
    shares = (f"{what} {value / len(samples):.3f}" for what, value in seconds.items() if value)
    print(f"{name}: seconds of processors a clip, start-up included: {', '.join(shares)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands: Any = parser.add_subparsers(required=True)
    one = commands.add_parser("efficiency")
    one.add_argument("--frames", type=int, default=161)
    one.add_argument("--steps", type=int, default=40)
    one.add_argument("--size", default="128x96")
    one.add_argument("--waiting", action="store_true")
    one.add_argument("--repeats", type=int, default=3)
    one.set_defaults(run=efficiency)
    many = commands.add_parser("clips")
    many.add_argument("--count", type=int, default=1000)
    many.add_argument("--only", type=lambda text: text.split(","), default=["erase", "export"])
    many.set_defaults(run=clips)
    args = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    args.run(args)


if __name__ == "__main__":
    main()

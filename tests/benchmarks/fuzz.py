"""Gives the command mutated inputs, and counts what must never happen.

    python tests/benchmarks/fuzz.py [COUNT] [--seed N] [--first N] [--kind KIND] [--only N]

Kinds: `media` (a clip of one of many containers with bytes changed, cut out, doubled or cut off), `mask` (the same of
masks), `picture` (of a sequence), `work` (files of a planned work folder), `text` (odd values of options). Each input
is made from the seed and its number alone. A child is forked for each; it may take 60 s and 2 GB. Prints one line for
each finding, then a table: internal errors, crashes, too slow, too much memory, and how often each exit status came.
"""

import argparse
import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from support.clips import write_clip, write_masks

SECONDS, MEMORY = 60, 2_000_000_000  # limits of one input: s, bytes of resident memory
CLIPS = {  # file -> codec, of containers and codecs that are parsed by different code
    "a.mp4": "libx264", "b.mkv": "ffv1", "c.webm": "libvpx-vp9", "d.avi": "mpeg4", "e.ts": "libx264",
    "f.mov": "prores_ks", "g.mp4": "libx265", "h.mkv": "libx264", "i.mov": "mjpeg", "j.flv": "libx264",
}  # fmt: skip
PIECES = [
    "", "0", "1", "-1", "1e9", "nan", "inf", "0.5", "50%", "9" * 30, "9" * 4400, "x", "@", "@0:", "@1s:", "@-1:",
    "@#3:", "@9999:", "ball=", "=", ",", ",,", ":", ";", "é", "\u2028", "../..", "/", "{stem}", "%d", "[", "\\", "--",
    " ", "\t",
]  # fmt: skip
OPTIONS = [
    "--point", "--box", "--not-point", "--start", "--end", "--grow", "--crf", "--effects", "--mask", "--key-mask",
    "--reference", "--tracker", "--remover", "--pix-fmt", "--codec", "--threads", "--size", "--pick", "-o",
    "--write-mask", "--write-preview", "--work",
]  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What one input led to.

    Attributes:
        status: Exit status; negative for a signal.
        said: What the command said on stderr.
        seconds: How long it took.
        memory: Most resident memory, in bytes.
    """

    status: int
    said: str
    seconds: float
    memory: int

    @property
    def finding(self) -> str:
        """What must not happen and did; "" if nothing."""
        if "internal error" in self.said or "Traceback" in self.said:
            return "internal error"
        if self.seconds > SECONDS:
            return "too slow"
        if self.status < 0 or self.status > 130:
            return "crash"
        return "too much memory" if self.memory > MEMORY else ""


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return bytes with a few of them changed, a part cut out, doubled or overwritten, or the end cut off."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        if not out:
            break
        at, length = chance.randrange(len(out)), chance.choice((1, 2, 4, 8, 64, 512))
        if chance.random() < 0.4:  # where headers are
            at = chance.randrange(min(len(out), 600))
        part = bytes(out[at : at + length])
        changed = (
            bytes([part[0] ^ 1 << chance.randrange(8)]) + part[1:],
            chance.randbytes(len(part)), bytes(len(part)), b"\xff" * len(part), b"", part + part,
        )  # fmt: skip
        out[at : at + length] = chance.choice(changed)
        if chance.random() < 0.05:
            del out[at:]
    return bytes(out)


def text(chance: random.Random) -> str:
    """Return an odd value of an option."""
    return "".join(chance.choice([*PIECES, str(chance.randrange(200)), ","]) for _ in range(chance.randrange(1, 6)))


def spoil(path: Path, chance: random.Random) -> None:
    """Mutate a file in place."""
    path.write_bytes(mutated(path.read_bytes(), chance))


def media(place: Path, chance: random.Random) -> list[list[str]]:
    """Return the commands for a mutated clip."""
    name = chance.choice(list(CLIPS))
    spoil(place / name, chance)
    rest = ["--skip-errors"] if chance.random() < 0.3 else []
    if chance.random() < 0.3:
        return [["info", name, "--json"]]
    return [["erase", name, "--mask", "mask.png", "-o", f"out{Path(name).suffix}", *rest]]


def mask(place: Path, chance: random.Random) -> list[list[str]]:
    """Return the commands for a mutated mask."""
    name = chance.choice(["mask.png", "masks", "b.mkv", "a.mp4"])
    spoil(chance.choice(sorted((place / name).iterdir())) if (place / name).is_dir() else place / name, chance)
    option = chance.choice(["--mask", "--effects", "--key-mask"])
    return [["erase", "h.mkv", option, name, *(["--point", "40,24"] if option != "--mask" else []), "-o", "out.mkv"]]


def picture(place: Path, chance: random.Random) -> list[list[str]]:
    """Return the commands for a sequence with a mutated picture."""
    spoil(chance.choice(sorted((place / "shots").iterdir())), chance)
    return [["erase", "shots", "--mask", "mask.png", "-o", "out/"]]


def work(place: Path, chance: random.Random) -> list[list[str]]:
    """Return the commands for a planned, half-done work folder with a mutated file."""
    files = sorted(p for p in (place / "job").rglob("*") if p.is_file())
    spoil(chance.choice(files), chance)
    return [["work", "job"], ["finish", "job", "-o", "out.mkv"]]


def options(place: Path, chance: random.Random) -> list[list[str]]:
    """Return the commands for odd values of options."""
    given = [x for _ in range(chance.randrange(1, 4)) for x in (chance.choice(OPTIONS), text(chance))]
    command = chance.choice(["erase", "erase", "mask", "plan"])
    output = ["-o", "out.mkv"] if "-o" not in given else []
    return [[command, "h.mkv", *given, *output, *([] if command == "plan" else ["--overwrite"])]]


KINDS: dict[str, Callable[[Path, random.Random], list[list[str]]]] = {
    "media": media, "mask": mask, "picture": picture, "work": work, "text": options
}  # fmt: skip


def draw(folder: Path) -> int:
    """Draw the inputs that are mutated; gives an exit status."""
    folder.mkdir()
    for name, codec in CLIPS.items():
        fmt = {"prores_ks": "yuv422p10le", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        audio = "aac" if name[0] in "agf" else None
        write_clip(folder / name, codec=codec, pix_fmt=fmt, frames=8, size=(96, 64), audio=audio)
    write_masks(folder / "masks", frames=8)
    write_masks(folder / "shots", frames=8)
    shutil.copy(folder / "masks/0004.png", folder / "mask.png")
    os.chdir(folder)
    return run(
        [["plan", "h.mkv", "--mask", "masks", "-o", "out.mkv", "--work", "job"], ["work", "job", "--task", "mask-0000"]]
    )


def run_in(folder: Path, commands: list[list[str]]) -> int:
    """Run commands in a folder until one fails."""
    os.chdir(folder)
    return run(commands)


def run(commands: list[list[str]]) -> int:
    """Run commands in this process until one fails."""
    from vremove_cli import app

    for command in commands:
        sys.argv = ["vremove", *command, "--threads", "1", *([] if command[0] == "info" else ["--progress", "none"])]
        if command[0] == "info":
            sys.argv = ["vremove", *command]
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                app.main()
        except SystemExit as end:
            if end.code:
                return int(end.code)
    return 0


def forked(job: Callable[[], int], said: Path) -> Outcome:
    """Run something in a child that is killed after twice the allowed time."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        with said.open("w", errors="backslashreplace") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
            sys.stderr = stream
            signal.alarm(2 * SECONDS)
            try:
                status = job()
            except BaseException as error:
                print(f"Traceback: {error!r}", file=stream, flush=True)
                status = 99
            stream.flush()
            os._exit(status)
    _, state, usage = os.wait4(child, 0)
    spent = time.monotonic() - started
    return Outcome(os.waitstatus_to_exitcode(state), said.read_text(errors="replace"), spent, usage.ru_maxrss << 10)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("count", nargs="?", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the number of the first input")
    parser.add_argument("--kind", choices=list(KINDS))
    parser.add_argument("--only", type=int, help="the number of the only input to run; its commands are printed")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    place = Path(tempfile.mkdtemp())
    clean, at = place / "clean", place / "at"
    drawn = forked(partial(draw, clean), place / "said")
    assert drawn.status == 0, drawn.said
    counts: Counter[tuple[str, str]] = Counter()
    worst = {"seconds": 0.0, "memory": 0}
    inputs = range(given.first, given.first + given.count) if given.only is None else [given.only]
    for n in inputs:
        if n % 500 == 0:
            print(f"input {n}", file=sys.stderr, flush=True)
        chance = random.Random(f"{given.seed} {n}")
        kind = given.kind or chance.choice(list(KINDS))
        shutil.rmtree(at, ignore_errors=True)
        shutil.copytree(clean, at)
        commands = KINDS[kind](at, chance)
        outcome = forked(partial(run_in, at, commands), place / "said")
        counts[kind, outcome.finding or f"exit {outcome.status}"] += 1
        worst = {k: max(v, getattr(outcome, k)) for k, v in worst.items()}
        if outcome.finding or given.only is not None:
            last = (outcome.said.strip().splitlines() or [""])[-1][:300]
            print(json.dumps({"n": n, "kind": kind, "finding": outcome.finding, "said": last, "commands": commands}))
            sys.stdout.flush()
    shutil.rmtree(place)
    for (kind, what), number in sorted(counts.items()):
        print(f"{kind:8} {what:18} {number:6}")
    print(f"slowest {worst['seconds']:.1f} s, most memory {worst['memory'] / 1e6:.0f} MB")


if __name__ == "__main__":
    import av  # noqa: F401  (for the children)

    import vremove_cli.job.mask_runner
    import vremove_cli.job.runner  # noqa: F401

    main()

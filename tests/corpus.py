"""Run the real command on folders of media files and compare each result with its source.

    python tests/corpus.py FOLDER... [--out results.jsonl] [--resume] [--limit N] [--jobs N] [--edit FRAMES]

Every video and picture gets `vremove info` and `vremove erase` with a mask in the middle, in processes of their own
with a limit of time and memory; `support/clip_differences.py` then compares what the README promises. One line a file
says what happened:

    ok              nothing outside the edit differs
    noted           something differs, and a note of the summary says so
    refused         a sentence and exit status 2, 3 or 4
    differs         something differs and nothing was said
    error           another exit status, with a sentence
    internal error, crash, timeout, memory

At the end, two tables: verdicts by kind of file, and all sentences and differences with their counts, for a person to
judge. Effects are off, because a shadow may lie anywhere and pixels outside the edit are compared.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

ROOT = Path(__file__).parents[1]
_COMPARE = ROOT / "tests/support/clip_differences.py"
# The result keeps these suffixes, which the product writes; files with the others are written to .mkv.
_KEPT = re.compile(r"mp4|m4v|mov|mkv|webm|avi|ts|m2ts|mts|mpg|flv|mxf|gif|png|tiff?|jpe?g|webp|bmp")
_OTHERS = re.compile(
    r"mpeg|vob|f4v|3gp|3g2|wmv|asf|ogv|dv|y4m|[hx]?26[45]|hevc|ivf|obu|av1|m2v|mj2|rm|fl[ic]|apng|avif|heic|jp2|exr"
)
VERDICTS = ("ok", "noted", "refused", "differs", "error", "internal error", "crash", "timeout", "memory")
_POLL = 0.1  # seconds
_MASK_PART = 8  # the mask is an eighth of each dimension
_REFUSALS = (2, 3, 4)
# Words by which a note announces a difference of a topic.
_ANNOUNCED = {
    "frames": ("frame",),
    "times": ("time", "spaced", "frame(s) are missing"),
    "start": ("time", "moved", "shift", "is written"),
    "codec": ("is used", "converted", "written as"),
    "container": ("is used", "written to", "is written"),
    "pixel format": ("converted", "written as", "is used", "alpha"),
    "colour": ("converted", "colour"),
    "pixels": ("converted", "written as", "is used", "alpha", "damaged", "palette", "colours"),
    "side data": ("lost with", "HDR", "caption", "side data", "second eye", "is used"),
    "streams": ("cannot be copied", "dropped", "not written", "lost", "packet"),
    "picture tags": ("tag", "profile", "small copy"),
    "tags": ("tag", "cannot be copied", "dropped", "not written"),
    "chapters": ("chapter",),
}


@dataclass(frozen=True)
class Run:
    """How a process ended.

    Attributes:
        status: Exit status; negative for a signal.
        stdout: What it printed.
        stderr: What it printed.
        seconds: Time it took.
        peak: Largest resident memory in MB.
        stopped: "timeout" or "memory" if it was ended for that; else empty.
    """

    status: int
    stdout: str
    stderr: str
    seconds: float
    peak: float
    stopped: str = ""

    @property
    def sentence(self) -> str:
        """The error for the user, or the last line of stderr."""
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        said = [line for line in lines if line.startswith("vremove: ")]
        return (said or lines or [""])[-1].removeprefix("vremove: ")


@dataclass(frozen=True)
class Verdict:
    """What happened to one file.

    Attributes:
        path: The file, relative to the folder that was given.
        kind: Container and codec, and the suffix of the result if it is another one.
        verdict: One of `VERDICTS`.
        details: The sentence of a refusal, or the differences as "topic: text".
        notes: The notes of the summary.
        seconds: Time of `vremove erase`.
        peak: Its largest resident memory in MB.
    """

    path: str
    kind: str
    verdict: str
    details: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    peak: float = 0.0

    def __str__(self) -> str:
        return f"{self.path}  {self.kind}  {self.verdict}" + "".join(f"\n    {d}" for d in self.details)


@dataclass(frozen=True)
class Limits:
    """Most seconds and MB of one process, and how many frames are edited (0: all)."""

    seconds: float
    megabytes: float
    edit: int


def run(command: list[str], limits: Limits) -> Run:
    """Run a process to its end or to a limit."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    start, peak, stopped = time.monotonic(), 0.0, ""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=env)
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - start > limits.seconds:
                stopped = "timeout"
            elif _resident(process.pid) > limits.megabytes:
                stopped = "memory"
            if stopped:
                process.kill()
                _, status, usage = os.wait4(process.pid, 0)
                break
            time.sleep(_POLL)
        process.returncode = os.waitstatus_to_exitcode(status)
        peak = usage.ru_maxrss / 1024
        if peak > limits.megabytes:
            stopped = "memory"
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
    return Run(process.returncode, texts[0], texts[1], time.monotonic() - start, peak, stopped)


def _resident(pid: int) -> float:
    try:
        return float(psutil.Process(pid).memory_info().rss) / 2**20
    except psutil.Error:
        return 0.0


def vremove(limits: Limits, *args: object) -> Run:
    return run([sys.executable, "-m", "vremove_cli", *map(str, args)], limits)


def judge(file: Path, name: str, limits: Limits) -> Verdict:
    """Run the command on one file and compare; where it advises to write to .mkv, try that too."""
    suffix = _suffix(file)
    info = vremove(limits, "info", file, "--json")
    if info.status or info.stopped:
        return _failed(info, name, f"{suffix}/?")
    facts: dict[str, Any] = json.loads(info.stdout)
    kind = f"{facts['container'].split(',')[0]}/{facts['codec']}"
    if _KEPT.fullmatch(suffix):
        verdict = _erase_and_compare(file, name, kind, facts, suffix, limits)
    else:
        verdict = _erase_and_compare(file, name, f"{kind} .{suffix} > .mkv", facts, "mkv", limits)
    if verdict.verdict == "refused" and "write to .mkv" in verdict.details[0]:
        advised = _erase_and_compare(file, name, kind, facts, "mkv", limits)
        verdict.details.append(f"to .mkv, as advised: {advised.verdict}: " + "; ".join(advised.details))
    return verdict


def _erase_and_compare(file: Path, name: str, kind: str, facts: dict[str, Any], suffix: str, limits: Limits) -> Verdict:
    with tempfile.TemporaryDirectory() as folder:
        mask, result = Path(folder, "mask.png"), Path(folder, f"result.{suffix}")
        draw_mask(mask, facts["size"])
        command = ["erase", file, "--mask", mask, "-o", result, "--effects", "off", "--json", "--progress", "none"]
        if limits.edit and facts["frames"] > limits.edit:
            command += ["--end", limits.edit]
        erased = vremove(limits, *command)
        if erased.status or erased.stopped:
            return _failed(erased, name, kind)
        notes = list(dict.fromkeys([*facts["notes"], *json.loads(erased.stdout)["notes"]]))
        compared = run([sys.executable, str(_COMPARE), str(file), str(result)], limits)
    if compared.status or compared.stopped:
        why = compared.stopped or compared.sentence
        return Verdict(name, kind, "differs", [f"comparison failed: {why}"], notes, erased.seconds, erased.peak)
    found = json.loads(compared.stdout)
    if suffix != _suffix(file):  # another container by the caller's choice
        found = [d for d in found if d["topic"] not in ("container", "tags", "picture tags", "disposition")]
    silent = [d for d in found if not announced(d["topic"], notes)]
    verdict = "differs" if silent else "noted" if found else "ok"
    details = [f"{d['topic']}: {d['text']}" + ("" if d in silent else " (noted)") for d in found]
    return Verdict(name, kind, verdict, details, notes, erased.seconds, erased.peak)


def _suffix(file: Path) -> str:
    return file.suffix[1:].lower()


def _failed(process: Run, name: str, kind: str) -> Verdict:
    details = [f"{process.sentence} (exit {process.status})"]
    if process.stopped:
        verdict = process.stopped
    elif process.status < 0 or process.status > 130:
        verdict = "crash"
    elif "internal error" in process.stderr or "Traceback" in process.stderr:
        verdict = "internal error"
    else:
        verdict = "refused" if process.status in _REFUSALS else "memory" if process.status == 5 else "error"
    return Verdict(name, kind, verdict, details, [], process.seconds, process.peak)


def draw_mask(path: Path, size: str) -> None:
    """Write a picture that is white in its middle."""
    width, height = map(int, size.split("x"))
    mask = np.zeros((height, width), np.uint8)
    mask[_middle(height), _middle(width)] = 255
    cv2.imwrite(str(path), mask)


def _middle(length: int) -> slice:
    part = max(1, length // _MASK_PART)
    start = (length - part) // 2
    return slice(start, start + part)


def announced(topic: str, notes: list[str]) -> bool:
    """Whether a note speaks of a difference's topic."""
    words = _ANNOUNCED.get(topic, ())
    return any(word in note for note in notes for word in words)


def media_files(folders: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """All media files of the folders, each with its name relative to its folder."""
    for folder in folders:
        for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
            if path.is_file() and (_KEPT.fullmatch(_suffix(path)) or _OTHERS.fullmatch(_suffix(path))):
                yield path, str(path.relative_to(folder)) if folder.is_dir() else str(path)


def print_tables(verdicts: list[Verdict]) -> None:
    rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for v in verdicts:
        rows[v.kind][v.verdict] += 1
    rows["all"] = Counter(v.verdict for v in verdicts)
    columns, width = [v for v in VERDICTS if rows["all"][v]], max(map(len, rows))
    print("\n" + "kind".ljust(width) + "".join(f"{v:>15}" for v in columns))
    for kind, counts in sorted(rows.items(), key=lambda row: (row[0] == "all", row[0])):
        print(kind.ljust(width) + "".join(f"{counts[v] or '':>15}" for v in columns))
    for verdict in VERDICTS[1:]:
        texts: defaultdict[str, list[str]] = defaultdict(list)
        for v in verdicts:
            for detail in v.details if v.verdict == verdict else ():
                texts[_general(detail)].append(v.path)
        if texts:
            print(f"\n{verdict}:")
        for text, paths in sorted(texts.items(), key=lambda item: -len(item[1])):
            print(f"{len(paths):5}  {text}\n           {paths[0]}")


def _general(detail: str) -> str:
    """A sentence without the file's name and the numbers, or what differs without the values: equal ones count."""
    text = re.sub(r"/\S.*?\.\w{2,4}(?=[\s:']|$)", "FILE", detail)
    if " -> " in detail:
        topic, _, values = detail.partition(": ")
        name = values.partition(":")[0] if topic in ("tags", "side data") else values.partition(" ")[0]
        text = f"{topic}: {name} ..." if name[0].isalpha() else topic
        text += " (noted)" if detail.endswith(" (noted)") else ""
    return re.sub(r"\d+(?:[./]\d+)*", "N", text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, help="file for the verdicts, a JSON object a line")
    parser.add_argument("--resume", action="store_true", help="skip files whose verdict is in --out")
    parser.add_argument("--limit", type=int, help="most files to try")
    parser.add_argument("--jobs", type=int, default=1, help="files tried at once")
    parser.add_argument("--edit", type=int, default=8, help="frames to edit; 0 for all (default: 8)")
    parser.add_argument("--seconds", type=float, default=120, help="time limit of a process")
    parser.add_argument("--memory", type=float, default=4096, help="limit of its resident memory in MB")
    args = parser.parse_args()
    limits = Limits(args.seconds, args.memory, args.edit)
    verdicts: list[Verdict] = []
    if args.out and args.resume and args.out.exists():
        verdicts = [Verdict(**json.loads(line)) for line in args.out.read_text().splitlines()]
    elif args.out:
        args.out.write_text("")
    known = {v.path for v in verdicts}
    files = [f for f in media_files(args.folders) if f[1] not in known][: args.limit]
    with ThreadPoolExecutor(args.jobs) as pool:
        for verdict in pool.map(lambda file: judge(file[0], file[1], limits), files):
            print(verdict, flush=True)
            verdicts.append(verdict)
            if args.out:
                with args.out.open("a") as out:
                    out.write(json.dumps(asdict(verdict)) + "\n")
    print_tables(verdicts)
    return 0


if __name__ == "__main__":
    sys.exit(main())

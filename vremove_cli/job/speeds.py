"""The measured speeds, all in `speeds.json`: the benchmarks write it, the README quotes it, estimates are made from it.

What was not measured is not in the file, and an estimate says so.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("speeds.json")


@dataclass(frozen=True)
class Speeds:
    """Speeds of one machine.

    Attributes:
        machine: The machine, in words.
        pixels: Pixels of the frames that were measured.
        frames_per_second: Frames a second of each stage, with the tracker and the remover that need no network.
        networks: Seconds a frame of networks, by (name, device).
    """

    machine: str
    pixels: int
    frames_per_second: dict[str, float]
    networks: dict[tuple[str, str], float]


@cache
def measured() -> Speeds:
    """Return the speeds of the file."""
    data = json.loads(FILE.read_text(encoding="utf-8"))
    width, height = data["size"]
    networks = {(name, fact["device"]): fact["seconds_per_frame"] for name, fact in data["networks"].items()}
    return Speeds(data["machine"], width * height, data["frames_per_second"], networks)


def record(**facts: Any) -> None:
    """Replace values of the file: what a benchmark has measured."""
    data = {**json.loads(FILE.read_text(encoding="utf-8")), **facts}
    FILE.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")

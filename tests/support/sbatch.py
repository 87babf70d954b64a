"""A stand-in for Slurm's `sbatch`: it runs a job's whole array when it is submitted, and keeps how that ended.

It takes `--wrap` and the options below; the last of one name counts, as with the real one. Jobs are kept in the folder
that SBATCH_STAND_IN names: ID.json with the job's options and its state, slurm-ID_TASK.out with what a task printed.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

_VALUES = ("job-name", "array", "dependency", "gres", "mem", "cpus-per-task", "signal", "kill-on-invalid-dep", "wrap",
           "time", "partition")  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in _VALUES:
        parser.add_argument(f"--{name}")
    for name in ("parsable", "requeue"):
        parser.add_argument(f"--{name}", action="store_true")
    given = parser.parse_args()
    place = Path(os.environ["SBATCH_STAND_IN"])
    number = 100 + len(list(place.glob("*.json")))
    state = run(place, number, given) if can_begin(place, given.dependency) else "CANCELLED"
    (place / f"{number}.json").write_text(json.dumps({**vars(given), "state": state}))
    print(f"{number};stand-in" if given.parsable else f"Submitted batch job {number}")
    return 0


def can_begin(place: Path, dependency: str | None) -> bool:
    """Whether the jobs before have ended as they must."""
    for one in filter(None, (dependency or "").split(",")):
        how, *numbers = one.split(":")
        ended = [json.loads((place / f"{n}.json").read_text())["state"] for n in numbers]
        if {"afterok": set(ended) != {"COMPLETED"}, "afterany": False}[how]:
            return False
    return True


def run(place: Path, number: int, given: argparse.Namespace) -> str:
    """Run all tasks of an array at the same time."""
    script = place / f"{number}.sh"
    script.write_text(f"#!/bin/sh\n# This script was created by sbatch --wrap.\n\n{given.wrap}\n")
    first, last = map(int, given.array.split("-"))
    running = []
    for task in range(first, last + 1):
        env = {**os.environ, "SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(task)}
        with (place / f"slurm-{number}_{task}.out").open("wb") as out:
            running.append(subprocess.Popen(["sh", str(script)], env=env, stdout=out, stderr=out))
    statuses = [one.wait() for one in running]
    return "FAILED" if any(statuses) else "COMPLETED"


if __name__ == "__main__":
    sys.exit(main())

"""Entry of a worker on a machine of its own: `python machine.py SETTINGS ARGUMENTS...` runs `vremove ARGUMENTS...`.

SETTINGS is a JSON object:

    name: the machine's name in the log
    log: file that gets a line "NAME take|give LEASE SECONDS" while a lease is held, by a clock that all machines share
    heartbeat, stale: seconds, in place of those of a farm
    slow: seconds by kind of task that its lease is held before the task begins
    after: names of machines to wait for before the first lease is taken, so that none does all before another begins
"""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vremove_cli.job.workdir import folder, lease


def main(settings: dict[str, Any]) -> None:
    from vremove_cli import app

    vars(time)["sleep"] = lambda seconds: threading.Event().wait(seconds)  # libfaketime breaks the real one
    lease.HEARTBEAT, lease.STALE = settings["heartbeat"], settings["stale"]
    log, real = Path(settings["log"]), lease.lease

    def write(event: str, name: str) -> None:
        line = f"{settings['name']} {event} {name} {time.clock_gettime(time.CLOCK_MONOTONIC)}\n"
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line.encode())  # one write: lines of two machines do not mix
        os.close(descriptor)

    @contextmanager
    def told(path: Path) -> Iterator[bool]:
        with real(path) as acquired:
            if acquired:
                write("take", path.name)
                time.sleep(settings["slow"].get(path.name.split("-", maxsplit=1)[0], 0))
            yield acquired
            if acquired:
                write("give", path.name)

    vars(folder)["lease"] = told
    write("start", f"at-{time.time():.0f}")
    while any(f"{name} start " not in log.read_text() for name in settings["after"]):
        time.sleep(0.02)
    app.main()


if __name__ == "__main__":
    given = json.loads(sys.argv.pop(1))
    sys.argv[0] = "vremove"
    main(given)

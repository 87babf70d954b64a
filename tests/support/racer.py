"""One of several processes that want one lease: `python racer.py SETTINGS` counts in a file while it holds the lease.

SETTINGS is a JSON object: `folder`; `racers`: how many there are; `times`: how often each counts; `links`: whether
there are hard links; `dies`: the share of its turns after which it leaves the lease behind, as a process does that is
killed. It fails when another process holds the lease as well.
"""

import errno
import json
import os
import random
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vremove_cli.job.workdir import lease


def no_links(source: Any, target: Any, **_: Any) -> None:
    """Fail as a file system without hard links does."""
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def main(folder: Path, racers: int, times: int, links: bool, dies: float) -> None:
    if not links:
        os.link = no_links  # type: ignore[assignment]
    chance, path, counter = random.Random(os.getpid()), folder / "leases" / "task", folder / "counter"
    killed = json.dumps(asdict(replace(lease._identity(), pid=2**22 + 1)))
    (folder / f"ready.{os.getpid()}").touch()
    while len(list(folder.glob("ready.*"))) < racers:
        time.sleep(0.001)
    while times:
        with lease.lease(path) as acquired:
            if not acquired:
                time.sleep(chance.uniform(0, 0.002))
                continue
            os.close(os.open(folder / "inside", os.O_CREAT | os.O_EXCL))
            counter.write_text(str(int(counter.read_text()) + 1))
            os.unlink(folder / "inside")
            times -= 1
            if chance.random() < dies:
                hidden = folder / f"killed.{os.getpid()}"
                hidden.write_text(killed)
                os.replace(hidden, path)


if __name__ == "__main__":
    given: dict[str, Any] = json.loads(sys.argv[1])
    main(Path(given.pop("folder")), **given)

"""One job of a batch in a process of its own: the job as JSON on stdin, lines on stderr, the result on stdout."""

import json
import signal
import sys
from types import FrameType

from vremove_cli.batch.jobs import Job
from vremove_cli.batch.run import run_job
from vremove_cli.console import Console
from vremove_cli.errors import Interrupted


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise Interrupted


def main() -> int:
    """Do the job; returns the exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(as_json=True, progress="json")
    try:
        job = Job(**json.load(sys.stdin))
        console.input = job.input
        with console.watching(job.input) as event:
            summary = run_job(job, event)
    except BaseException as error:
        return int(console.complain(error))
    console.done(summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())

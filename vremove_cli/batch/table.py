"""The table at the end of a batch: one line for each clip."""

from pathlib import Path
from typing import TYPE_CHECKING

from vremove_cli.batch.run import Outcome

if TYPE_CHECKING:
    from vremove_cli.job.render import Summary

_HEAD = ("input", "output", "frames", "recovered", "doubtful", "unseen", "seconds", "")


def table(outcomes: list[Outcome], summaries: dict[str, "Summary"]) -> str:
    """Return the lines of the table.

    Args:
        outcomes: What became of each job.
        summaries: Summaries of the jobs that were done, by the job's name.
    """
    rows = [_HEAD, *(_row(outcome, summaries.get(outcome.job.name)) for outcome in outcomes)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(_HEAD))]
    return "\n".join("  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _row(outcome: Outcome, summary: "Summary | None") -> tuple[str, ...]:
    state = "" if outcome.state == "done" else outcome.state
    if summary is None:
        return (outcome.job.input, "", "", "", "", "", "", state)
    shares = (f"{share:.1%}" for share in (summary.recovered, summary.doubtful, summary.unseen))
    return (outcome.job.input, Path(summary.output).name, str(summary.frames), *shares, f"{summary.seconds:.1f}", state)

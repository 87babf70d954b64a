"""The table at the end of a batch: one line for each clip."""

from collections.abc import Sequence
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
    return aligned(rows)


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows of equally many cells as lines, in columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _row(outcome: Outcome, summary: "Summary | None") -> tuple[str, ...]:
    state = "" if outcome.state == "done" else outcome.state
    if summary is None:
        return (outcome.job.input, "", "", "", "", "", "", state)
    shares = (f"{share:.1%}" for share in (summary.recovered, summary.doubtful, summary.unseen))
    return (outcome.job.input, Path(summary.output).name, str(summary.frames), *shares, f"{summary.seconds:.1f}", state)

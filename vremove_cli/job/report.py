"""What machines read: one JSON object for each outcome, with its type and the version of its form.

`docs/report.schema.json` describes all of them; `docs/json.md` explains them.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vremove_cli.errors import explain
from vremove_cli.job.events import Event, Note, TaskDone

if TYPE_CHECKING:  # it imports NumPy, and a failure for want of memory must still be told
    from vremove_cli.job.render import Summary

SCHEMA = 1  # version of the objects' form: grows when a field changes its meaning or goes


def enveloped(kind: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Return facts with what every object begins with."""
    return {"type": kind, "schema": SCHEMA, **facts}


def result_of(summary: "Summary", kind: str = "result") -> dict[str, Any]:
    """Return what a run did; masks alone have no shares of recovered pixels."""
    facts = asdict(summary)
    if kind == "mask":
        for name in ("recovered", "doubtful", "unseen", "streams", "phases", "attempts"):
            facts.pop(name)
    return enveloped(kind, facts)


def error_of(error: BaseException, source: str | None) -> dict[str, Any]:
    """Return a failure, and the input that it happened with; None before any input was looked at."""
    code, sentence = explain(error)
    return enveloped("error", {"input": source, "error": sentence, "exit": int(code)})


def event_of(event: Event) -> dict[str, Any] | None:
    """Return a note or a finished task as a line of --progress json; None for other events."""
    if isinstance(event, Note):
        return enveloped("note", asdict(event))
    if isinstance(event, TaskDone):
        return enveloped("task", asdict(event))
    return None
